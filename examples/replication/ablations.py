"""What the paper reports in words (Appendices C and G): CAREER with one thing done otherwise, on the same careers.

Covariates that enter late, or choose the output weights, or are left out; learned positions; one stage, and two of
which stays teach both; other sizes; NEMO with CAREER's number of parameters; the bag of jobs with other embedding
sizes. Every variant has the same batches, schedule, ceiling of updates and patience, and tries the same learning rates
on validation careers with the first seed; the best is frozen and trained with every seed. Test careers are scored
once, at the end.

Models that are nowhere else are here. Each is CAREER up to what its docstring says, with the same likelihood, recipe
and attention. What the paper tried is said in words there, so what exactly was added where is our reading. What stays
teach is a question of ours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from huggingface_hub.dataclasses import strict
from matplotlib.figure import Figure
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast

from career_hf.careers.columns import career_table, list_lengths
from career_hf.careers.provenance import source_of
from career_hf.cli.console import say, show
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import perplexity_differences, ranking, summarize
from career_hf.figures.style import forest, looks, new_figure, styled
from career_hf.models.configuration_career import CareerConfig
from career_hf.models.configuration_occupation import OccupationConfig
from career_hf.models.modeling_career import CareerForOccupationPrediction, CareerModel
from career_hf.models.positions import sinusoidal_positions
from career_hf.models.two_stage import occupation_log_probs
from career_hf.registration import register
from career_hf.rivals.bag_of_jobs import BagOfJobsForOccupationPrediction
from career_hf.rivals.nemo import NemoForOccupationPrediction
from career_hf.training.cells import fit_once
from career_hf.training.trainer import recipe_for

from .study import (
    CareersStudy,
    Covariates,
    Data,
    Made,
    MostSteps,
    Output,
    Rates,
    Seeds,
    StudyResult,
    StudySettings,
    Trial,
    Workers,
    studies,
)


@strict
class LateCovariatesConfig(CareerConfig):
    r"""Configuration of [`LateCovariatesForOccupationPrediction`].

    Args:
        layers_before_covariates (`int`): Layers that come before covariates are added; as many as there are adds them
            to what the last layer returns, and 0 is CAREER.

    The rest as in [`CareerConfig`].
    """

    model_type = "career_late_covariates"

    layers_before_covariates: int = 4

    def validate_place(self):
        """Part of `@strict` validation: covariates, and a layer for them."""
        if not 0 <= self.layers_before_covariates <= self.num_hidden_layers:
            raise ValueError(
                f"layers_before_covariates is {self.layers_before_covariates}, and there are {self.num_hidden_layers} "
                "layers: give a number from 0 to that"
            )


@strict
class LearnedPositionsConfig(CareerConfig):
    r"""Configuration of [`LearnedPositionsForOccupationPrediction`].

    Args:
        max_position_embeddings (`int`): Positions that are learned; a longer career is an error.

    The rest as in [`CareerConfig`].
    """

    model_type = "career_learned_positions"


@strict
class CovariateOutputConfig(CareerConfig):
    r"""Configuration of [`CovariateOutputForOccupationPrediction`], that of [`CareerConfig`]."""

    model_type = "career_covariate_output"


@strict
class TaughtByStaysConfig(CareerConfig):
    r"""Configuration of [`TaughtByStaysForOccupationPrediction`], that of [`CareerConfig`]."""

    model_type = "career_taught_by_stays"

    def validate_stages(self):
        """Part of `@strict` validation: two stages, since stays train a single softmax anyway."""
        if not self.two_stage:
            raise ValueError("two_stage is False, and a single softmax is trained at stays already: use CareerConfig")


class NoEmbedding(nn.Module):
    """Stands where Eq. 12 adds a covariate's embedding, and adds nothing."""

    def forward(self, level: torch.Tensor) -> float:
        return 0.0


class BlindCareerModel(CareerModel):
    """A transformer whose first layer does not see covariates."""

    def __init__(self, config: CareerConfig):
        super().__init__(config)
        self.embed_covariates = nn.ModuleDict({name: NoEmbedding() for name in config.covariate_names})


class LateCovariatesModel(BlindCareerModel):
    """Covariates are added between two layers, or after the last, instead of in Eq. 12."""

    config: LateCovariatesConfig

    def __init__(self, config: LateCovariatesConfig):
        super().__init__(config)
        tables = zip(config.covariate_names, config.covariate_sizes, strict=True)
        self.late_covariates = nn.ModuleDict({name: nn.Embedding(size, config.hidden_size) for name, size in tables})
        self.post_init()

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPast:
        self.config.check_covariates(input_ids, covariates)
        if covariates is None:
            return super().forward(input_ids, covariates, **kwargs)
        levels = zip(self.late_covariates.values(), covariates.unbind(-1), strict=True)
        late = self.dropout(torch.stack([embed(level) for embed, level in levels]).sum(dim=0))
        # What comes next, a layer or the last LayerNorm, gets the sum.
        place = [*self.layers, self.norm][self.config.layers_before_covariates]
        added = place.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + late, *inputs[1:]))
        try:
            return super().forward(input_ids, covariates, **kwargs)
        finally:
            added.remove()


class LearnedPositionsModel(CareerModel):
    """The position embeddings e_t of Eq. 12 are parameters, drawn like all others."""

    def __init__(self, config: LearnedPositionsConfig):
        super().__init__(config)
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.post_init()

    def forward(  # type: ignore[override]
        self,
        input_ids: torch.Tensor,
        covariates: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        if position_ids is None:
            past = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = (torch.arange(input_ids.shape[1], device=input_ids.device) + past).unsqueeze(0)
        learned, longest = self.embed_positions, int(position_ids.max()) + 1
        if longest > learned.num_embeddings:
            raise ValueError(
                f"a career has {longest} steps, and positions were learned for {learned.num_embeddings}: train with a "
                "larger max_position_embeddings"
            )
        # The model adds sinusoids, which are taken out again where dropout gets the sum of Eq. 12.
        instead = learned(position_ids) - sinusoidal_positions(position_ids, self.config.hidden_size)
        swapped = self.dropout.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + instead,))
        try:
            return super().forward(
                input_ids, covariates, attention_mask, position_ids, past_key_values=past_key_values, **kwargs
            )
        finally:
            swapped.remove()


class CovariateOutputModel(BlindCareerModel):
    """Covariates do not enter; the representation is repeated for each of their levels.

    What is returned is `(batch, time, (1 + levels) D)`: h_t, then h_t once more at the place of every level that x_t
    has, and zeros at the other levels' places. A linear layer of it has weights of its own for each level.
    """

    def forward(  # type: ignore[override]
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutputWithPast:
        outputs = super().forward(input_ids, covariates, **kwargs)
        hidden_states = outputs.last_hidden_state
        given = [torch.ones_like(input_ids).unsqueeze(-1)]
        if covariates is not None:
            sizes = zip(covariates.unbind(-1), self.config.covariate_sizes, strict=True)
            given += [nn.functional.one_hot(level, size) for level, size in sizes]
        places = torch.cat(given, dim=-1).to(hidden_states.dtype)
        outputs.last_hidden_state = (places.unsqueeze(-1) * hidden_states.unsqueeze(-2)).flatten(-2)
        return outputs


class LateCovariatesForOccupationPrediction(CareerForOccupationPrediction):
    """CAREER with covariates that enter late: "introducing them later in the transformer architecture"."""

    config: LateCovariatesConfig
    config_class = LateCovariatesConfig

    def __init__(self, config: LateCovariatesConfig):
        super().__init__(config)
        self.model = LateCovariatesModel(config)
        self.post_init()


class LearnedPositionsForOccupationPrediction(CareerForOccupationPrediction):
    """CAREER with learned positions: "these embeddings could also be parameterized"."""

    config: LearnedPositionsConfig
    config_class = LearnedPositionsConfig

    def __init__(self, config: LearnedPositionsConfig):
        super().__init__(config)
        self.model = LearnedPositionsModel(config)
        self.post_init()


class CovariateOutputForOccupationPrediction(CareerForOccupationPrediction):
    """CAREER whose covariates choose the output weights: "different final-layer weights for each covariate".

        beta_j(x_t) = beta_j + sum_c beta_{j, c, x_tc},    eta(x_t) = eta + sum_c eta_{c, x_tc}

    in place of beta_j in Eq. 2 and eta in Eq. 1.
    """

    config: CovariateOutputConfig
    config_class = CovariateOutputConfig

    def __init__(self, config: CovariateOutputConfig):
        super().__init__(config)
        self.model = CovariateOutputModel(config)
        size = (1 + sum(config.covariate_sizes)) * config.hidden_size
        self.lm_head = nn.Linear(size, config.vocab_size, bias=False)
        self.stay_head = nn.Linear(size, 1, bias=False) if config.two_stage else None
        self.post_init()


class TaughtByStaysForOccupationPrediction(CareerForOccupationPrediction):
    """CAREER in two stages, whose second is trained at stays too, as one stage is.

    What it predicts is Eq. 18. In training, at y_t = y_{t-1}, the loss also has -log softmax(beta h_t)_{y_t} over all
    occupations: does a model learn to copy occupations from the past where they are kept? A compiled model
    skips this.
    """

    config: TaughtByStaysConfig
    config_class = TaughtByStaysConfig

    def _nll(
        self,
        hidden_states: torch.Tensor,
        stay_logit: torch.Tensor | None,
        previous: torch.Tensor,
        labels: torch.Tensor,
        history: Any,
    ) -> torch.Tensor:
        nll = super()._nll(hidden_states, stay_logit, previous, labels, history)
        stays = (labels == previous).nonzero(as_tuple=True)
        log_probs = occupation_log_probs(self._occupation_logits(hidden_states[stays]), self._excluded_ids())
        copied = -log_probs.gather(-1, labels[stays].unsqueeze(-1)).squeeze(-1)
        return nll.index_put(stays, copied, accumulate=True)


for _model in (
    LateCovariatesForOccupationPrediction,
    LearnedPositionsForOccupationPrediction,
    CovariateOutputForOccupationPrediction,
    TaughtByStaysForOccupationPrediction,
):
    register(_model)

CAREER, NEMO, BAG = "CAREER", "NEMO, 200 hidden units", "bag of jobs, D = 1024"

# What the paper chose in each group, which the others of the group are compared with.
CHOICES = {
    "covariates": CAREER,
    "positions": CAREER,
    "stages": CAREER,
    "size": CAREER,
    "NEMO": NEMO,
    "bag of jobs": BAG,
}


@dataclass(frozen=True)
class Variant:
    """A model, all of it CAREER's unless said otherwise.

    Args:
        group: What it varies.
        model: Its class.
        fields: Fields of its config.
        covariates: Whether it has any.
        career_size: Whether its hidden size is chosen so that it has as many parameters as CAREER.
    """

    group: str
    model: type[PreTrainedModel] = CareerForOccupationPrediction
    fields: Mapping[str, Any] = field(default_factory=dict)
    covariates: bool = True
    career_size: bool = False

    def config_for(self, processor: CareerProcessor, positions: int) -> OccupationConfig:
        """Its config for a processor's careers.

        Args:
            processor: Fitted on the training careers.
            positions: Steps of the longest career.
        """
        fields = dict(self.fields)
        if issubclass(self.model, CareerForOccupationPrediction):
            fields["max_position_embeddings"] = positions
        if self.career_size:
            fields["hidden_size"] = self._matching_size(processor)
        return self.model.config_class(**processor.config_kwargs(), **fields)

    def _matching_size(self, processor: CareerProcessor) -> int:
        """The smallest hidden size with which it has at least as many parameters as CAREER."""
        shared = processor.config_kwargs()

        def parameters(model: type[PreTrainedModel], config: OccupationConfig) -> int:
            with torch.device("meta"):
                return model(config).num_parameters()

        def of_size(size: int) -> int:
            return parameters(self.model, self.model.config_class(**shared, **self.fields, hidden_size=size))

        sizes = range(1, 4_096)
        target = parameters(CareerForOccupationPrediction, CareerConfig(**shared))
        return sizes[bisect_left(sizes, target, key=of_size)]


def _late(layers: int) -> Variant:
    return Variant("covariates", LateCovariatesForOccupationPrediction, {"layers_before_covariates": layers})


def _wide(size: int) -> Variant:
    return Variant("size", fields={"hidden_size": size, "intermediate_size": 4 * size})


def _bag(size: int) -> Variant:
    return Variant("bag of jobs", BagOfJobsForOccupationPrediction, {"embedding_size": size})


# CAREER is the paper's without pretraining: 4 layers, D = 64, 2 heads, 256 hidden units (`CareerConfig`).
VARIANTS = {
    CAREER: Variant("covariates"),
    "covariates before the last layer": _late(3),
    "covariates after the last layer": _late(4),
    "output weights for each covariate": Variant("covariates", CovariateOutputForOccupationPrediction),
    "no covariates": Variant("covariates", covariates=False),
    "learned positions": Variant("positions", LearnedPositionsForOccupationPrediction),
    "one stage": Variant("stages", fields={"two_stage": False}),
    "second stage trained at stays too": Variant("stages", TaughtByStaysForOccupationPrediction),
    "2 layers": Variant("size", fields={"num_hidden_layers": 2}),
    "6 layers": Variant("size", fields={"num_hidden_layers": 6}),
    "D = 32": _wide(32),
    "D = 128": _wide(128),
    NEMO: Variant("NEMO", NemoForOccupationPrediction),
    "NEMO, CAREER's size": Variant("NEMO", NemoForOccupationPrediction, career_size=True),
    "bag of jobs, D = 256": _bag(256),
    "bag of jobs, D = 512": _bag(512),
    BAG: _bag(1024),
    "bag of jobs, D = 2048": _bag(2048),
}


@dataclass(frozen=True, kw_only=True)
class AblationSettings(StudySettings):
    """What every variant gets; the rest as in `StudySettings`.

    Args:
        rates: Peak learning rates to try; they fall to zero at the last update.
    """

    rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3, 4e-3)

    def cost(self) -> tuple[int, float]:
        """Training runs, and core hours if none stops early."""
        runs = len(VARIANTS) * (len(self.rates) + self.seeds - 1)
        return runs, self.hours(runs)


@dataclass(frozen=True)
class AblationStudy(CareersStudy):
    """Every variant on the same careers; leaves ablations.csv and ablations.png."""

    settings: AblationSettings = AblationSettings()

    def described(self) -> dict[str, Any]:
        if not self.covariates:
            raise ValueError("the ablations are of how covariates enter the model: name at least one covariate")
        return {"data": str(self.data), "covariates": list(self.covariates), **asdict(self.settings)}

    def trials(self) -> list[Trial]:
        return [Trial(variant, rate) for variant in VARIANTS for rate in self.settings.rates]

    def train(self, trial: Trial) -> Made:
        splits, variant = self.splits(), VARIANTS[trial.model]
        names = self.covariates if variant.covariates else []
        processor = CareerProcessor.fit(splits["train"], names, unknown_occupation="unknown")
        config, schedule = (
            variant.config_for(processor, longest(splits)),
            self.settings.schedule(trial.rate, trial.seed),
        )
        return fit_once(
            self.place(trial.folder),
            lambda _: variant.model(config),
            processor,
            lambda output: recipe_for(variant.model, processor, output, **schedule),
            splits["train"],
            splits["validation"],
            source_of(self.data),
        )

    def report(self) -> StudyResult:
        scored = self.tables()
        table = self.table({name: scored[name] for name in VARIANTS})
        return StudyResult({"ablations": table}, {"ablations": ablations_figure(table)})

    def table(self, tables: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
        """One row per variant.

        Returns:
            group; parameters; rate (the best trial's); hours (of all its training, one core); choice (what the paper
            chose in the group); perplexity with low, high (people resampled), seeds and seed_sd; differences of
            log-perplexity from CAREER and from the group's choice, with intervals; perplexity of stay, return and new;
            moving (area under the ROC curve); and `ranking` of the true occupation at known moves alone, among
            occupations other than the previous one: top-1, top-5 and top-10 accuracy, mean reciprocal rank, mean rank.
        """
        draws, rows = self.settings.draws, {}
        for name, chosen in self.best().items():
            group = VARIANTS[name].group
            rows[name] = {
                "group": group,
                "parameters": load_checkpoint(self.place(chosen.folder))[0].num_parameters(),
                "rate": chosen.rate,
                "hours": self.training_of(name)["hours"].sum(),
                "choice": CHOICES[group],
            }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
        summary = summarize(tables, draws).rename(columns={"stay_auc": "moving"})
        wanted = ["difference", "low", "high"]
        differences = {
            choice: perplexity_differences(tables, choice, draws)[wanted] for choice in table["choice"].unique()
        }
        from_choice = pd.DataFrame([differences[choice].loc[name] for name, choice in table["choice"].items()])
        ranks = pd.DataFrame({name: ranks_of_moves(of_model) for name, of_model in tables.items()}).T
        return table.join(
            [
                summary[["perplexity", "low", "high", "seeds", "seed_sd"]],
                differences[CAREER].add_suffix("_from_career"),
                from_choice.add_suffix("_from_choice"),
                summary[["stay", "return", "new", "moving"]],
                ranks,
            ]
        )


def longest(splits: Mapping[str, Dataset]) -> int:
    """Steps of the longest career in any split: how many positions there are to learn."""
    return max(int(list_lengths(career_table(careers), "year").max()) for careers in splits.values())


def ranks_of_moves(of_model: Sequence[pd.DataFrame]) -> pd.Series:
    """Averages over seeds of `ranking` at known moves, where to stay is not among what is ranked."""
    seeds = []
    for table in of_model:
        moves = table[table["transition"].isin(["return", "new"])]
        behind = moves["p_stay"] > np.exp(moves["log_prob"])
        seeds.append(ranking(moves.assign(rank=moves["rank"] - behind, p_stay=0.0)))
    return pd.DataFrame(seeds).mean()


@styled
def ablations_figure(table: pd.DataFrame) -> Figure:
    """Differences from what the paper chose in each group, and perplexity by number of parameters."""
    figure, (upper, lower) = new_figure(14.0, 2, height_ratios=(1.5, 1))
    rows = table[table.index != table["choice"]]
    names = [f"{name} (against {row['choice']})" for name, row in rows.iterrows()]
    of_group = looks(CHOICES)
    ends = {"estimate": "difference_from_choice", "low": "low_from_choice", "high": "high_from_choice"}
    forest(
        upper,
        rows.assign(name=names),
        **ends,
        name="name",
        series="group",
        series_looks=of_group,
        dodge=False,
        reference=0,
    )
    upper.set(
        title="Against what the paper chose; right of 0 is worse",
        xlabel="log-perplexity, nats per step (95% intervals)",
    )
    for group in ("size", "NEMO", "bag of jobs"):
        choice = CHOICES[group]
        family = choice.split(", ")[0]
        sizes = table[(table["group"] == group) | (table.index == choice)]
        lower.plot(sizes["parameters"], sizes["perplexity"], **of_group[group].point, label=family)
        for name, row in sizes.iterrows():
            lower.annotate(
                str(name).removeprefix(f"{family}, "),
                (row["parameters"], row["perplexity"]),
                # Six layers are beside CAREER and have their label above.
                xytext=(0, -16 if name == CAREER else 7),
                textcoords="offset points",
                ha="center",
            )
    lower.margins(x=0.2)
    lower.set_xscale("log")
    lower.set(title="Perplexity by size", xlabel="parameters", ylabel="test perplexity")
    lower.legend()
    return figure


@studies.command()
def ablations(
    data: Data,
    output: Output,
    covariates: Covariates = "year",
    workers: Workers = 2,
    seeds: Seeds = 3,
    rates: Rates = "0.0005,0.001,0.002,0.004",
    most_steps: MostSteps = 1_000,
) -> None:
    """What the paper reports in words: covariates late, learned positions, other sizes of CAREER and its rivals."""
    settings = AblationSettings(rates=tuple(map(float, rates.split(","))), seeds=seeds, most_steps=most_steps)
    runs, hours = settings.cost()
    say(f"{runs} training runs, at most {hours:.1f} core hours")
    table = AblationStudy(output, settings, data=data, covariates=tuple(covariates.split(","))).run(workers)[
        "ablations"
    ]
    levels = ["parameters", "perplexity", "low", "high", "seed_sd"]
    differences = {f"{name}_from_choice": name for name in ("difference", "low", "high")}
    show(table[levels], "Test perplexity, 95% intervals")
    for choice, rows in table.groupby("choice", sort=False):
        others = rows.drop(index=choice)[[*differences]].rename(columns=differences)
        show(others, f"Log-perplexity minus that of {choice}; above 0 is worse")
    show(table.loc[:, "top-1":], "Moves: rank of the true occupation among all but the previous one")  # type: ignore[misc]
    say(f"{output}/ablations.csv, ablations.png")
