"""The true law as an occupation model: the exact filter behind the forward signature of every other model.

All that scores or forecasts with an occupation model (`evaluation.transition_table`, `forecasting.forecast`,
`career-hf evaluate`) works with the truth too. The arrays of the world are saved as weights, so that a checkpoint does
not depend on how a later numpy draws random numbers.
"""

from typing import Any, Self, cast

import numpy as np
import torch
from torch import nn

from ..encoding.processing_career import CareerProcessor
from ..encoding.vocabulary import MISSING
from ..models.configuration_occupation import OccupationConfig
from ..models.modeling_occupation import OccupationModel
from ..models.strict_config import one_of, strict_config
from ..models.two_stage import IMPOSSIBLE
from .filtering import Filter, Knowledge
from .law import Law, People
from .world import COVARIATES, World, WorldConfig


SPECIAL = ["<pad>", "<start>"]
TYPE_COVARIATE = "latent_type"


@strict_config
class TrueOccupationConfig(OccupationConfig):
    r"""Configuration of [`TrueOccupationModel`].

    Args:
        world (`dict`): The numbers of the `WorldConfig`, by name.
        knowledge (`str`): Knowledge that the model has of a person's type: "history", all that the past tells (the
            exact filter, p*); "nothing", only the shares of types among people of that gender, race and birth year;
            "type", the type itself, which is then a covariate.

    The other arguments are those of [`OccupationConfig`], from `world_processor`.
    """

    model_type = "career_truth"

    world: dict[str, Any] | None = None
    knowledge: str = one_of("history", "history", "nothing", "type")


class TrueOccupationModel(OccupationModel):
    """p*(y_t | past), computed exactly in double precision. [`TrueOccupationModel.of_world`] makes it.

    A row holds one career, padded on the right, with every covariate known: this law gives no probabilities for
    careers with a missing covariate, so a missing level is an error. The model has no gradients and no cache.
    """

    config: TrueOccupationConfig
    config_class = TrueOccupationConfig
    model_tags = ["career", "occupation-prediction", "simulation"]
    description = "the true law of a simulated labor market"
    why_not_exported = "its filter is not made of tensors"
    filter_class = Filter  # tests replace it to check that a wrong filter is detected

    def __init__(self, config: TrueOccupationConfig):
        super().__init__(config)
        world = World.build(WorldConfig(**(config.world or {})))
        self.world_arrays = nn.ParameterDict(
            {
                name: nn.Parameter(torch.tensor(array, dtype=torch.float64), False)
                for name, array in world.arrays().items()
            }
        )
        self._law: Law | None = None
        self.post_init()

    @classmethod
    def of_world(cls, world: World, knowledge: Knowledge = "history") -> Self:
        """The true model of a world.

        Args:
            world: The world.
            knowledge: As in `TrueOccupationConfig`.
        """
        vocabulary = world_processor(world, knowledge).config_kwargs()
        model = cls(TrueOccupationConfig(**vocabulary, world=world.config.to_dict(), knowledge=knowledge))
        for name, array in world.arrays().items():
            model.world_arrays[name].data = torch.tensor(array, dtype=torch.float64)
        return model.eval()

    @property
    def law(self) -> Law:
        """The law, made from the arrays that the model was saved with."""
        if self._law is None:
            rounded = [name for name, value in self.world_arrays.items() if value.dtype != torch.float64]
            if rounded:
                raise ValueError(
                    f"the world's arrays ({rounded[0]} and others) were rounded to {self.dtype}, so this is another "
                    "world: load the model without dtype=, and do not convert it"
                )
            integers = {"family", "requirement", "senior", "recipes"}
            arrays = {name: value.detach().cpu().double().numpy() for name, value in self.world_arrays.items()}
            arrays = {name: a.astype(np.int64) if name in integers else a for name, a in arrays.items()}
            self._law = Law(World(WorldConfig(**(self.config.world or {})), **arrays))
        return self._law

    def log_probs(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None, position_ids: torch.Tensor | None
    ) -> tuple[torch.Tensor, None]:
        """True log-probabilities.

        Raises:
            ValueError: If a row does not hold one career, a covariate is missing, or a career cannot happen in this
                world.
        """
        ids, levels = input_ids.cpu().numpy(), cast(torch.Tensor, covariates).cpu().numpy()
        starts = ids == self.config.bos_token_id
        if not starts[:, 0].all() or starts[:, 1:].any():
            raise ValueError(
                "every row must hold one career, which begins with the beginning-of-career id: use PaddingCollator"
            )
        with np.errstate(divide="ignore"):
            logits = np.log(self._probabilities(ids, levels)).clip(min=IMPOSSIBLE)
        return torch.from_numpy(logits).to(input_ids.device, torch.float32), None

    def start(self, levels: np.ndarray) -> Filter:
        """A filter before the first wave, from the `(people, covariates)` levels at the first wave."""
        world = self.law.world
        codes = dict(zip(self.config.covariate_names, levels.T - 1, strict=True))  # level 0 is "missing"
        people = People(
            birth_year=world.config.first_birth_year + codes["birth_year"],
            **{name: codes[name] for name in ("gender", "race", "region")},
        )
        if self.config.knowledge == "type":
            return self.filter_class(self.law, people, np.eye(world.config.types)[codes[TYPE_COVARIATE]])
        return self.filter_class(self.law, people, learns=self.config.knowledge == "history")

    def _probabilities(self, ids: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """`(batch, time, vocabulary)`, zero at special ids; at padded steps the first occupation has all mass."""
        names = self.config.covariate_names
        first_year = self.law.world.config.first_year
        p = np.zeros((*ids.shape, self.config.vocab_size))
        p[:, :, len(SPECIAL)] = 1
        rows, forward_filter = np.arange(len(ids)), None
        for t in range(ids.shape[1]):
            continues = ids[rows, t] != self.config.pad_token_id
            if not continues.all():
                rows = rows[continues]
                forward_filter = forward_filter.take(continues) if forward_filter is not None else None
            if len(rows) == 0:
                break
            x = levels[rows, t]
            if (x == 0).any():
                row, column = np.argwhere(x == 0)[0]
                raise ValueError(
                    f"row {rows[row]}, step {t}: covariate '{names[column]}' is missing; the true law is known for "
                    "complete covariates only"
                )
            if forward_filter is None:
                forward_filter = self.start(x)
            else:
                forward_filter.observe_occupation(ids[rows, t] - len(SPECIAL))
            year = first_year + x[:, names.index("year")] - 1
            forward_filter.observe_covariates(year, x[:, names.index("education")] - 1)
            p[rows, t, len(SPECIAL) :] = forward_filter.probabilities()
        return p


def world_processor(world: World, knowledge: Knowledge = "history") -> CareerProcessor:
    """Makes the processor of a world's true model: it knows all states and levels of the world, seen or not.

    Args:
        world: The world.
        knowledge: With "type", the type is a covariate like the others.
    """
    levels = {name: world.covariate_levels[name] for name in COVARIATES}
    if knowledge == "type":
        levels[TYPE_COVARIATE] = [str(k) for k in range(world.config.types)]
    return CareerProcessor(
        occupations=[*SPECIAL, *world.labels],
        covariate_names=list(levels),
        covariate_levels=[[MISSING, *names] for names in levels.values()],
        time_covariate="year",
    )


__all__ = ["TrueOccupationConfig", "TrueOccupationModel", "world_processor"]
