"""A counted model of moves that backs off from the occupation to its broad group, and counts moves in both directions.

    p(j | i)     = p_stay(i)                                   j = i
                   (1 - p_stay(i)) q(j | i)                    j != i
    q(j | i)     = (n(i, j) + b n(j, i) + a q(j | g(i))) / (n(i, .) + b n(., i) + a)
    q(j | g)     = (n(g, j) + b n(j, g) + a' q(j)) / (n(g, .) + b n(., g) + a')

n counts moves, g(i) is the broad group of an occupation, and q(j) the share of moves into and out of j. Staying is
smoothed toward its share in the group, and first occupations toward all occupations. a, a' and b are chosen on
validation careers. It is not in the paper; of all that can be counted of the previous occupation alone it is the best
that is known here, and so the bar for what a network must add.
"""

import itertools
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from datasets import Dataset
from torch import nn

from ..encoding.processing_career import CareerProcessor
from ..models.configuration_occupation import OccupationConfig
from ..models.modeling_occupation import OccupationModel
from ..models.strict_config import number, strict_config
from ..models.two_stage import IMPOSSIBLE
from ..occupations.crosswalks import groups, groups_of
from .markov import counted_steps, refuse_covariates


# What `tune` tries: how many moves the simpler distributions weigh, and the weight of moves in the other direction.
STRENGTHS = (3.0, 10.0, 30.0, 100.0, 300.0)
REVERSE = (0.0, 0.3, 1.0)
# The table of all pairs of occupations is in memory.
MOST_OCCUPATIONS = 20_000


@strict_config
class BackoffConfig(OccupationConfig):
    r"""Configuration of [`BackoffForOccupationPrediction`].

    Args:
        occupation_strength (`float`): a, the number of moves that the group's distribution weighs.
        group_strength (`float`): a', the number of moves that the distribution of all moves weighs.
        reverse_weight (`float`): b, the weight of a move in the other direction.

    All other fields are those of [`OccupationConfig`]; there are no covariates.
    """

    model_type = "career_backoff"
    # The number of past occupations on which a step depends.
    order = 1

    occupation_strength: float | int = number(30.0, above=0)
    group_strength: float | int = number(100.0, above=0)
    reverse_weight: float | int = number(1.0, at_least=0)

    def validate_no_covariates(self):
        """Part of `@strict` validation: a counted model has no covariates, and a table of limited size."""
        refuse_covariates("a counted model", self)
        if self.vocab_size > MOST_OCCUPATIONS:
            raise ValueError(
                f"vocab_size is {self.vocab_size:,}, and pairs of over {MOST_OCCUPATIONS:,} take too much"
            )


class BackoffForOccupationPrediction(OccupationModel):
    """Counted moves that back off through broad groups; `fit` counts, `forward` is any occupation model's."""

    config: BackoffConfig
    config_class = BackoffConfig
    takes_packed_careers = True
    model_tags = ["career", "occupation-prediction", "markov"]
    description = "counted moves between occupations, in both directions, that back off through broad groups"
    is_counted = True
    why_not_exported = None
    spare_steps = 0
    _keep_in_fp32_modules_strict = ["table"]

    def __init__(self, config: BackoffConfig):
        super().__init__(config)
        # Log-probabilities of the next occupation (column) after each (row); special ids have those of first steps.
        self.table = nn.Embedding(config.vocab_size, config.vocab_size, _freeze=True)
        self.post_init()

    @classmethod
    def fit(
        cls,
        encoded: Dataset,
        processor: CareerProcessor,
        *,
        group_of: Mapping[str, str] | None = None,
        occupation_strength: float = 30.0,
        group_strength: float = 100.0,
        reverse_weight: float = 1.0,
        weighted: bool = False,
    ) -> Self:
        """Counts the steps of encoded careers.

        Args:
            encoded: Training careers as `processor.encode` returns them.
            processor: A processor without covariates.
            group_of: Group of every occupation; those of occ1990dd codes if None, and one group for other labels.
            occupation_strength, group_strength, reverse_weight: a, a' and b.
            weighted: Whether to count each step with its survey weight, or its person's.

        Raises:
            ValueError: The processor has covariates, an occupation has no group, there are no careers, or there are no
                weights to use.
        """
        settings = (occupation_strength, group_strength, reverse_weight)
        return cls._of(Counts(encoded, processor, group_of, weighted), processor, *settings)

    @classmethod
    def from_careers(
        cls,
        train: Dataset,
        validation: Dataset,
        processor: CareerProcessor,
        *,
        tune: bool = True,
        weighted: bool = False,
        seed: int = 0,
        group_of: Mapping[str, str] | None = None,
    ) -> Self:
        """A model with strengths chosen on validation careers, or the defaults; arguments as in `fit`.

        Args:
            train, validation: Encoded careers.
            processor: A processor without covariates.
            tune: Whether to choose the strengths.
            weighted: Whether to use survey weights.
            seed: Ignored, because nothing here is random.
            group_of: As in `fit`.
        """
        if not tune:
            return cls.fit(train, processor, group_of=group_of, weighted=weighted)
        counts, held_out = (Counts(careers, processor, group_of, weighted) for careers in (train, validation))

        def likelihood(settings: tuple[float, float, float]) -> float:
            return float((held_out.steps * counts.log_probs(*settings)).sum())

        best = max(itertools.product(STRENGTHS, STRENGTHS, REVERSE), key=likelihood)
        return cls._of(counts, processor, *best)

    @classmethod
    def _of(cls, counts: "Counts", processor: CareerProcessor, *settings: float) -> Self:
        names = ("occupation_strength", "group_strength", "reverse_weight")
        fields: dict[str, Any] = dict(zip(names, settings, strict=True))
        model = cls(BackoffConfig(**processor.config_kwargs(), **fields))
        model.table.weight.copy_(torch.from_numpy(counts.log_probs(*settings)))
        return model.eval()

    def log_probs(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None, position_ids: torch.Tensor | None
    ) -> tuple[torch.Tensor, None]:
        return self.table(input_ids), None


class Counts:
    """Steps of careers by previous and next occupation, `(vocabulary, vocabulary)`, and what follows from them.

    Args:
        encoded, processor, group_of, weighted: As in `BackoffForOccupationPrediction.fit`.
    """

    def __init__(
        self, encoded: Dataset, processor: CareerProcessor, group_of: Mapping[str, str] | None, weighted: bool
    ) -> None:
        _, previous, occupation, weight = counted_steps(encoded, weighted)
        labels, special = processor.occupations, processor.special_token_ids
        size = len(labels)
        steps = np.bincount(previous * size + occupation, weights=weight, minlength=size**2)
        self.steps = steps.astype(float).reshape(size, size)
        self.is_occupation = np.ones(size, dtype=bool)
        self.is_occupation[special] = False
        occupations = [label for i, label in enumerate(labels) if self.is_occupation[i]]
        if group_of is None:
            in_occ1990dd = set(labels) & set(groups())
            group_of = groups_of(occupations) if in_occ1990dd else dict.fromkeys(occupations, "all")
        if missing := [label for label in occupations if label not in group_of]:
            raise ValueError(f"occupation '{missing[0]}' has no group: add it to group_of")
        names = sorted({group_of[label] for label in occupations})
        self.members = np.zeros((len(names), size))
        for i, label in enumerate(labels):
            if self.is_occupation[i]:
                self.members[names.index(group_of[label]), i] = 1

    def log_probs(self, occupation_strength: float, group_strength: float, reverse_weight: float) -> np.ndarray:
        """Log-probabilities of the next occupation after each, `(vocabulary, vocabulary)`."""
        steps, known = self.steps, self.is_occupation
        moves = np.where(known[:, None] & known, steps, 0)
        stays = moves.diagonal().copy()
        np.fill_diagonal(moves, 0)
        moves = moves + reverse_weight * moves.T
        overall = np.where(known, moves.sum(0) + steps.sum(0) / max(steps.sum(), 1) + 1e-3, 0)
        overall /= overall.sum()
        of_group = self.members @ moves + group_strength * overall
        of_group /= of_group.sum(1, keepdims=True)
        backed_off = self.members.T @ of_group
        to = moves + occupation_strength * backed_off
        np.fill_diagonal(to, 0)
        to[~known] = overall
        to /= to.sum(1, keepdims=True)
        # The group's share weighs as much as ten steps.
        leavers = np.where(known[:, None] & known, steps, 0).sum(1) - stays
        group_stays, group_steps = self.members @ stays, self.members @ (stays + leavers)
        share = self.members.T @ ((group_stays + 1) / (group_steps + 2))
        stay = (stays + 10 * share) / (stays + leavers + 10)
        p = np.where(known[:, None], (1 - stay)[:, None] * to, to)
        p[known, known] = stay[known]
        # First occupations: what was counted after the beginning of a career, and a little of everything.
        first = np.where(known, steps[~known].sum(0), 0) + 10 * overall
        p[~known] = first / first.sum()
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(p), IMPOSSIBLE)


__all__ = ["BackoffConfig", "BackoffForOccupationPrediction"]
