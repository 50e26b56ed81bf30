"""What the paper reports in words (Appendices C and G): CAREER with one thing done otherwise, on the same careers.

Covariates that enter late, or choose the output weights, or are left out; learned positions; one stage, and two of
which stays teach both; other sizes; NEMO with CAREER's number of parameters; the bag of jobs with other embedding
sizes. Every variant has the same batches, schedule, ceiling of updates and patience, and tries the same learning rates
on validation careers with the first seed; the best is frozen and trained with every seed. Test careers are scored
once, at the end. `ablation_models.py` has the models that are nowhere else, `ablations_tables.py` table and figure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from career_hf.careers.columns import career_table, list_lengths
from career_hf.careers.frames import load_careers
from career_hf.careers.provenance import source_of
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.configuration_career import CareerConfig
from career_hf.models.configuration_occupation import OccupationConfig
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.rivals.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
from career_hf.rivals.nemo import NemoConfig, NemoForOccupationPrediction
from career_hf.training.trainer import Recipe, baseline_recipe, scratch_recipe

from .ablation_models import (
    CovariateOutputConfig,
    CovariateOutputForOccupationPrediction,
    LateCovariatesConfig,
    LateCovariatesForOccupationPrediction,
    LearnedPositionsConfig,
    LearnedPositionsForOccupationPrediction,
    TaughtByStaysConfig,
    TaughtByStaysForOccupationPrediction,
)
from .cells import keep_settings, likeliest, run_jobs, schedule, score_once, train_once


if TYPE_CHECKING:
    from datasets import Dataset

CAREER, NEMO, BAG = "CAREER", "NEMO, 200 hidden units", "bag of jobs, D = 1024"

# Person-years that one core trains on in a second, averaged over variants; for the cost that is announced.
SPEED = 25_000

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
        model, config: Classes.
        fields: Of the config.
        covariates: Whether it has any.
        career_size: Whether its hidden size is chosen so that it has as many parameters as CAREER.
    """

    group: str
    model: type[PreTrainedModel] = CareerForOccupationPrediction
    config: type[OccupationConfig] = CareerConfig
    fields: Mapping[str, Any] = field(default_factory=dict)
    covariates: bool = True
    career_size: bool = False


def _late(layers: int) -> Variant:
    fields = {"layers_before_covariates": layers}
    return Variant("covariates", LateCovariatesForOccupationPrediction, LateCovariatesConfig, fields)


def _wide(size: int) -> Variant:
    return Variant("size", fields={"hidden_size": size, "intermediate_size": 4 * size})


def _bag(size: int) -> Variant:
    return Variant("bag of jobs", BagOfJobsForOccupationPrediction, BagOfJobsConfig, {"embedding_size": size})


# CAREER is the paper's without pretraining: 4 layers, D = 64, 2 heads, 256 hidden units (`CareerConfig`).
VARIANTS = {
    CAREER: Variant("covariates"),
    "covariates before the last layer": _late(3),
    "covariates after the last layer": _late(4),
    "output weights for each covariate": Variant(
        "covariates", CovariateOutputForOccupationPrediction, CovariateOutputConfig
    ),
    "no covariates": Variant("covariates", covariates=False),
    "learned positions": Variant("positions", LearnedPositionsForOccupationPrediction, LearnedPositionsConfig),
    "one stage": Variant("stages", fields={"two_stage": False}),
    "second stage trained at stays too": Variant("stages", TaughtByStaysForOccupationPrediction, TaughtByStaysConfig),
    "2 layers": Variant("size", fields={"num_hidden_layers": 2}),
    "6 layers": Variant("size", fields={"num_hidden_layers": 6}),
    "D = 32": _wide(32),
    "D = 128": _wide(128),
    NEMO: Variant("NEMO", NemoForOccupationPrediction, NemoConfig),
    "NEMO, CAREER's size": Variant("NEMO", NemoForOccupationPrediction, NemoConfig, career_size=True),
    "bag of jobs, D = 256": _bag(256),
    "bag of jobs, D = 512": _bag(512),
    BAG: _bag(1024),
    "bag of jobs, D = 2048": _bag(2048),
}


@dataclass(frozen=True)
class Settings:
    """What every variant gets.

    Args:
        rates: Peak learning rates to try; they fall to zero at the last update.
        seeds: Training seeds; the first also has the trials.
        most_steps: Updates at most; early stopping may come before. A tenth of them is warmup, and as many lie between
            validations.
        tokens_per_batch: Person-years of an update.
        patience: Validations without improvement before training stops.
        draws: Resamples of people behind the intervals.
    """

    rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3, 4e-3)
    seeds: int = 3
    most_steps: int = 1_000
    tokens_per_batch: int = 4_000
    patience: int = 3
    draws: int = 1_000


@dataclass(frozen=True)
class Trial:
    """One training run: a variant, its learning rate and a seed."""

    variant: str
    rate: float
    seed: int = 0

    @property
    def folder(self) -> str:
        """A name for its folder."""
        return f"{self.variant}, {self.rate:g}, {self.seed}"


def trials(settings: Settings) -> list[Trial]:
    """Every trial on the first seed."""
    return [Trial(variant, rate) for variant in VARIANTS for rate in settings.rates]


def cost(settings: Settings) -> tuple[int, float]:
    """Training runs, and core hours if none stops early."""
    runs = len(VARIANTS) * (len(settings.rates) + settings.seeds - 1)
    return runs, runs * settings.most_steps * settings.tokens_per_batch / SPEED / 3600


def run(folder: Path, data: Path, covariates: Sequence[str], settings: Settings, workers: int = 2) -> None:
    """Tunes and trains every variant, then scores test careers; what is finished is not run again.

    Leaves `folder/tables/VARIANT/SEED.parquet`.

    Args:
        folder: Of the study.
        data: Folder of careers in splits, as `career-hf prepare` or `simulate` writes it.
        covariates: Of every variant that has covariates.
        settings: What every variant gets.
        workers: Processes, each of which uses one thread.

    Raises:
        ValueError: There are no covariates, or the folder holds a study with other settings.
    """
    if not covariates:
        raise ValueError("the ablations are of how covariates enter the model: name at least one covariate")
    keep_settings(folder, {"data": str(data), "covariates": list(covariates), **asdict(settings)})
    given = folder, data, covariates, settings
    run_jobs("Trials", [partial(train, *given, trial) for trial in trials(settings)], workers)
    frozen = [replace(best(folder, settings, name), seed=seed) for name in VARIANTS for seed in range(settings.seeds)]
    run_jobs("Further seeds, and scoring", [partial(score, *given, trial) for trial in frozen], workers)


def best(folder: Path, settings: Settings, variant: str) -> Trial:
    """The trial of a variant that validation careers like best."""
    return likeliest(folder, (trial for trial in trials(settings) if trial.variant == variant))


def train(
    folder: Path, data: Path, covariates: Sequence[str], settings: Settings, trial: Trial
) -> tuple[PreTrainedModel, CareerProcessor]:
    """Trains one variant, or loads it."""
    splits, variant = load_careers(data), VARIANTS[trial.variant]
    names = covariates if variant.covariates else []
    processor = CareerProcessor.fit(splits["train"], names, unknown_occupation="unknown")
    config = config_of(variant, processor, longest(splits))

    def recipe(output: Path) -> Recipe:
        how = schedule(settings, trial.rate, trial.seed)
        if isinstance(config, CareerConfig):
            return replace(scratch_recipe(processor, output, **how), config=config)
        return baseline_recipe(config, output, **how)

    place = folder / "models" / trial.folder
    parts = splits["train"], splits["validation"]
    return train_once(place, variant.model, processor, recipe, *parts, source_of(data))


def score(folder: Path, data: Path, covariates: Sequence[str], settings: Settings, trial: Trial) -> None:
    """Trains one variant, or loads it, and scores test careers."""
    made = train(folder, data, covariates, settings, trial)
    score_once(folder / "tables" / trial.variant / f"{trial.seed}.parquet", *made, load_careers(data)["test"])


def longest(splits: Mapping[str, Dataset]) -> int:
    """Steps of the longest career in any split: how many positions there are to learn."""
    return max(int(list_lengths(career_table(careers), "year").max()) for careers in splits.values())


def config_of(variant: Variant, processor: CareerProcessor, positions: int) -> OccupationConfig:
    """A variant's config for a processor's careers.

    Args:
        variant: The variant.
        processor: Fitted on the training careers.
        positions: Steps of the longest career.
    """
    fields = dict(variant.fields)
    if issubclass(variant.config, CareerConfig):
        fields["max_position_embeddings"] = positions
    if variant.career_size:
        fields["hidden_size"] = _matching_size(variant, processor)
    return variant.config(**processor.config_kwargs(), **fields)


def _matching_size(variant: Variant, processor: CareerProcessor) -> int:
    """The smallest hidden size with which a variant has at least as many parameters as CAREER."""
    shared = processor.config_kwargs()

    def parameters(model: type[PreTrainedModel], config: OccupationConfig) -> int:
        with torch.device("meta"):
            return model(config).num_parameters()

    target = parameters(CareerForOccupationPrediction, CareerConfig(**shared))
    sizes = range(1, 4_096)
    place = bisect_left(
        sizes,
        target,
        key=lambda size: parameters(variant.model, variant.config(**shared, **variant.fields, hidden_size=size)),  # type: ignore[call-arg]
    )
    return sizes[place]
