"""Every rival of the paper beside CAREER on the same careers: Figure 2a, Tables 4, 5 and 8, Figure 4.

Every model that is trained gets the same number of validation trials, over learning rates and sizes, the same batches,
the same patience and the same ceiling of updates, with warmup within a tenth of it ("equal budget"). Trials have the
first seed; the best is frozen, and further seeds are trained with it. Test careers are scored once, at the end.
`rivals_tables.py` makes the tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..baselines.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
from ..baselines.base import BaselineConfig
from ..baselines.job2vec import Job2VecConfig, Job2VecForOccupationPrediction
from ..baselines.job_representation import JobRepresentationConfig, JobRepresentationForOccupationPrediction
from ..baselines.markov import tune_weight
from ..baselines.mixture import tune_mixture
from ..baselines.nemo import NemoConfig, NemoForOccupationPrediction
from ..baselines.regression import RegressionConfig, RegressionForOccupationPrediction
from ..careers import load_careers
from ..complete import complete
from ..modeling_career import CareerForOccupationPrediction
from ..processing_career import CareerProcessor
from ..simulation.world import NOT_WORKING
from ..training import Recipe, baseline_recipe, scratch_recipe
from ..transition_table import transition_table
from .cells import keep_settings, run_jobs, train_once, training_log


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

CAREER = "CAREER"


@dataclass(frozen=True)
class Rival:
    """A model that is trained by gradient descent.

    Args:
        model: Its class.
        config: Class of its config; None for CAREER, whose recipe makes it.
        sizes: Fields of the config to try; the paper's first.
    """

    model: type[PreTrainedModel]
    config: type[BaselineConfig] | None
    sizes: tuple[dict[str, Any], ...]


_EMBEDDINGS: tuple[dict[str, Any], ...] = ({}, {"embedding_size": 100})
RIVALS = {
    "Markov regression": Rival(RegressionForOccupationPrediction, RegressionConfig, ({},)),
    "NEMO": Rival(NemoForOccupationPrediction, NemoConfig, ({}, {"hidden_size": 100})),
    "job representation": Rival(JobRepresentationForOccupationPrediction, JobRepresentationConfig, _EMBEDDINGS),
    "Job2Vec": Rival(Job2VecForOccupationPrediction, Job2VecConfig, _EMBEDDINGS),
    "bag of jobs": Rival(BagOfJobsForOccupationPrediction, BagOfJobsConfig, ({}, {"embedding_size": 256})),
    CAREER: Rival(CareerForOccupationPrediction, None, ({}, {"num_hidden_layers": 2})),
}


@dataclass(frozen=True)
class Budget:
    """What every trained model gets.

    Args:
        trials: Validation trials of each model, at most 8: learning rates, or rates and sizes where it has two sizes.
        seeds: Training seeds; the first also has the trials.
        stages: Which forms are trained: 2 and 1 are two stages and one.
        tokens_per_batch: Person-years of an update.
        most_steps: Updates at most; early stopping comes before.
        warmup_steps: Updates to the peak.
        eval_steps: Updates between validations.
        patience: Validations without improvement before training stops.
        draws: Resamples of people behind the intervals.
    """

    trials: int = 8
    seeds: int = 3
    stages: tuple[int, ...] = (2, 1)
    tokens_per_batch: int = 4_000
    most_steps: int = 2_500
    warmup_steps: int = 250
    eval_steps: int = 100
    patience: int = 3
    draws: int = 1_000


# Learning rates in the order in which they are tried: few trials still span them.
RATES = (1e-3, 4e-3, 2e-3, 5e-4, 7e-3, 3e-4, 1.5e-3, 1e-2)


@dataclass(frozen=True)
class Trial:
    """One training run: a rival in one or two stages, its size and rate, and a seed."""

    rival: str
    stages: int
    rate: float
    seed: int = 0
    size: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name in tables."""
        return f"{self.rival}, {'two stages' if self.stages == 2 else 'one stage'}"

    @property
    def folder(self) -> str:
        """A name for its folder."""
        size = "".join(f", {key}={value}" for key, value in self.size.items())
        return f"{self.name}, {self.rate:g}{size}, {self.seed}"


def trials(budget: Budget) -> list[Trial]:
    """Every trial on the first seed; each rival has as many, whatever sizes it has."""
    return [
        Trial(rival, stages, rate, size=size)
        for rival, stages in itertools.product(RIVALS, budget.stages)
        for rate, size in itertools.islice(itertools.product(RATES, RIVALS[rival].sizes), budget.trials)
    ]


def run(folder: Path, data: Path, covariates: list[str], budget: Budget, workers: int = 2) -> None:
    """Tunes and trains every model, then scores test careers; what is finished is not run again.

    Leaves `folder/tables/MODEL/SEED.parquet`, and the same at groups of occupations where the careers' labels are
    occ1990dd codes.

    Args:
        folder: Of the study.
        data: Folder of careers in splits, as `career-hf prepare` writes it.
        covariates: Of every model that has covariates.
        budget: What every trained model gets.
        workers: Processes, each of which uses one thread.
    """
    keep_settings(folder, {"data": str(data), "covariates": covariates, **asdict(budget)})
    run_jobs("Trials", [partial(train, folder, data, covariates, budget, trial) for trial in trials(budget)], workers)
    chosen = [trial for trial in best(folder, budget) for trial in _seeds(trial, budget)]
    jobs: list[Callable[[], Any]] = [partial(train, folder, data, covariates, budget, trial) for trial in chosen]
    run_jobs("Further seeds", jobs, workers)
    scoring: list[Callable[[], Any]] = [partial(score, folder, data, covariates, budget, trial) for trial in chosen]
    run_jobs("Scoring", [*scoring, partial(count, folder, data)], workers)


def train(
    folder: Path, data: Path, covariates: list[str], budget: Budget, trial: Trial
) -> tuple[PreTrainedModel, CareerProcessor]:
    """Trains one model, or loads it."""
    splits = load_careers(data)
    processor = CareerProcessor.fit(splits["train"], covariates, unknown_occupation="unknown")
    rival = RIVALS[trial.rival]

    def recipe(output: Path) -> Recipe:
        settings: dict[str, Any] = {
            "learning_rate": trial.rate,
            "warmup_steps": budget.warmup_steps,
            "max_steps": budget.most_steps,
            "eval_steps": budget.eval_steps,
            "save_steps": budget.eval_steps,
            "tokens_per_batch": budget.tokens_per_batch,
            "patience": budget.patience,
            "seed": trial.seed,
        }
        fields = {**trial.size, "two_stage": trial.stages == 2}
        if rival.config is None:
            return scratch_recipe(processor, output, config_overrides=fields, **settings)
        return baseline_recipe(rival.config.from_processor(processor, **fields), output, **settings)

    place = folder / "models" / trial.folder
    return train_once(place, rival.model, processor, recipe, splits["train"], splits["validation"])


def best(folder: Path, budget: Budget) -> list[Trial]:
    """The trial with the best validation likelihood, for each rival and number of stages."""
    nll = training_log(folder)["best"]
    winners: dict[str, Trial] = {}
    for trial in trials(budget):
        if trial.name not in winners or nll[trial.folder] < nll[winners[trial.name].folder]:
            winners[trial.name] = trial
    return list(winners.values())


def _seeds(trial: Trial, budget: Budget) -> list[Trial]:
    return [Trial(trial.rival, trial.stages, trial.rate, seed, trial.size) for seed in range(budget.seeds)]


def score(folder: Path, data: Path, covariates: list[str], budget: Budget, trial: Trial) -> None:
    """Scores test careers with a chosen model."""
    model, processor = train(folder, data, covariates, budget, trial)
    keep_table(folder, trial.name, trial.seed, model, processor, load_careers(data)["test"])


def count(folder: Path, data: Path) -> None:
    """Counts Markov chains and fits mixtures of them, tunes their smoothing, and scores test careers."""
    splits = load_careers(data)
    processor = CareerProcessor.fit(splits["train"], [], unknown_occupation="unknown")
    encoded, validation = (processor.encode(splits[name])[0] for name in ("train", "validation"))
    for order in (1, 2):
        chain = tune_weight(encoded, validation, processor, order=order)
        keep_table(folder, f"Markov chain, order {order}", 0, chain, processor, splits["test"])
    mixture = tune_mixture(encoded, validation, processor)
    keep_table(folder, "mixture of Markov chains", 0, mixture, processor, splits["test"])


def keep_table(
    folder: Path, name: str, seed: int, model: PreTrainedModel, processor: CareerProcessor, test: Dataset
) -> None:
    """Writes a transition table, unless it is there."""
    path = folder / "tables" / name / f"{seed}.parquet"
    if not path.exists():
        watch = [label for label in NOT_WORKING if label in processor.occupations]
        table = transition_table(model, test, processor, split="test", unknown_levels="missing", watch=watch)
        with complete(path) as unfinished:
            table.to_parquet(unfinished)
