"""Table 3: what careers add to wage regressions, on the simulated market or on a survey with wages.

Two protocols. "paper": models are trained on 80% of people (70% to learn from, 10% to stop by) and frozen, and the
regressions live on the other 20%, in five splits, for every training seed. "cross-fitted": models are trained on all
folds of people but one and represent that one, so that everybody is in the regressions, again in five splits. Nobody's
representation, and nobody's prediction by a wage head, comes from a model that was trained on that person.
`table3_tables.py` makes the tables and the figure.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from transformers import ProgressCallback, set_seed

from career_hf.careers.atomic_files import complete
from career_hf.careers.frames import load_careers, split_careers
from career_hf.careers.provenance import SOURCES, source_of, years_of
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.modeling_wage import CareerForWagePrediction
from career_hf.representing.cross_fitting import check_not_trained_on, cross_fit
from career_hf.representing.representations import Timing, representations
from career_hf.simulation import World, draw_wages, preset, wage_truth
from career_hf.training.trainer import Recipe, scratch_recipe
from career_hf.wages.design import BLAU_KAHN, LOG_WAGE, available_blocks, wage_frame
from career_hf.wages.regression import predict_held_out
from career_hf.wages.wage_head import build_wage_trainer, encode_wages, predict_log_wages, wage_recipe

from .cells import train_once


if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel

PAPER, CROSS_FITTED = "paper", "cross-fitted"
TIMINGS: tuple[Timing, ...] = ("before", "including")
BLAU_KAHN_ROW, WITHOUT_INDUSTRY = "Blau-Kahn", "Blau-Kahn without industry"
HEAD, TRUTH = "fine-tuned wage head", "E[log wage | career], the truth"
MARKET_COVARIATES = ("year", "education", "region", "race", "gender", "birth_year")


@dataclass(frozen=True)
class Settings:
    """Sizes of the study.

    Args:
        people: Of the simulated market.
        layers, hidden_size, heads: Of CAREER.
        rate, wage_rate: Peak learning rates of occupations and of the wage head after them.
        most_steps, warmup_steps, eval_steps, tokens_per_batch, patience: Of every training run; the rate falls to zero
            at `most_steps`.
        occupation_weight: Of the wage head's second task.
        seeds: Training seeds of the paper's protocol.
        folds: Of people, of the cross-fitted protocol.
        splits: Of people, of the regressions.
        draws: Resamples of people behind the intervals.
        exclude_covariates: Covariates that no model may see.
    """

    people: int = 6_000
    layers: int = 2
    hidden_size: int = 64
    heads: int = 2
    rate: float = 3e-3
    wage_rate: float = 1e-3
    most_steps: int = 700
    warmup_steps: int = 70
    eval_steps: int = 100
    tokens_per_batch: int = 2_000
    patience: int = 3
    occupation_weight: float = 1.0
    seeds: int = 3
    folds: int = 3
    splits: int = 5
    draws: int = 1_000
    exclude_covariates: tuple[str, ...] = ()


def cost(settings: Settings) -> tuple[int, float]:
    """Training runs, and core hours at most: 25,000 person-years a second with two layers of 64."""
    runs = 2 * (settings.seeds + settings.folds)
    return runs, runs * settings.most_steps * settings.tokens_per_batch / 25_000 / 3600


@dataclass(frozen=True)
class Source:
    """Where careers with wages come from.

    Args:
        data: Folder of careers, as `prepare` writes it; the simulated market if None.
        covariates: Of the models.
        people: Of the market.
    """

    data: Path | None
    covariates: tuple[str, ...]
    people: int

    @property
    def record(self) -> dict[str, str]:
        """What checkpoints keep of where careers come from."""
        return SOURCES["simulated"].record if self.data is None else source_of(self.data)

    def splits(self) -> DatasetDict:
        """Careers by split, train, validation and test.

        Raises:
            ValueError: Careers have no wages, or other splits.
        """
        if self.data is None:
            return split_careers(draw_wages(preset("survey").simulate(self.people)).careers)
        splits = load_careers(self.data)
        if set(splits) != {"train", "validation", "test"}:
            raise ValueError(f"{self.data} has splits {list(splits)}: prepare it with train, validation and test")
        if LOG_WAGE not in splits["train"].column_names:
            raise ValueError(f"careers in {self.data} have no outcome '{LOG_WAGE}': prepare them with wages")
        return splits

    def truth(self, careers: Dataset) -> pd.Series | None:
        """E[log wage | career] of every year at work, by its place in `to_frame(careers)`; None for a survey."""
        return None if self.data is not None else wage_truth(careers, self.world())["expected"]

    def world(self) -> World:
        """The simulated market's."""
        return World.build(preset("survey").world)


def everybody(splits: DatasetDict) -> Dataset:
    """The people of all splits."""
    from datasets import concatenate_datasets

    return concatenate_datasets(list(splits.values()))


def train_cell(folder: Path, settings: Settings, source: Source, protocol: str, number: int) -> None:
    """Trains CAREER on occupations and then its wage head, for one seed or one fold, unless they are there.

    Args:
        folder: Of the study.
        settings, source: Of the study.
        protocol: PAPER or CROSS_FITTED.
        number: The seed, or the fold.
    """
    splits = source.splits()
    parts: Mapping[str, Dataset] = splits
    if protocol == CROSS_FITTED:
        folds = {str(fold): 1 / settings.folds for fold in range(settings.folds)}
        away = set(split_careers(everybody(splits), folds, "cross_fit")[str(number)]["person"])
        people = everybody(splits)
        others = people.select([row for row, person in enumerate(people["person"]) if person not in away])
        parts = split_careers(others, {"train": 0.9, "validation": 0.1}, "stopping")
    seed = number if protocol == PAPER else 0
    train_wage_head(folder, settings, source, protocol, number, parts, seed)


def train_occupations(
    folder: Path,
    settings: Settings,
    source: Source,
    protocol: str,
    number: int,
    parts: Mapping[str, Dataset],
    seed: int,
) -> tuple[PreTrainedModel, CareerProcessor]:
    """CAREER trained on occupations, from its folder if it is there; arguments as in `train_cell`."""
    covariates = [name for name in source.covariates if name not in settings.exclude_covariates]
    processor = CareerProcessor.fit(parts["train"], covariates, unknown_occupation="unknown")

    def recipe(output: Path) -> Recipe:
        return scratch_recipe(
            processor,
            output,
            **_schedule(settings, settings.rate, seed),
            config_overrides={
                "num_hidden_layers": settings.layers,
                "hidden_size": settings.hidden_size,
                "num_attention_heads": settings.heads,
                "intermediate_size": 4 * settings.hidden_size,
            },
        )

    place = folder / "models" / f"occupations, {protocol} {number}"
    careers = parts["train"], parts["validation"]
    return train_once(place, CareerForOccupationPrediction, processor, recipe, *careers, source.record)


def train_wage_head(
    folder: Path,
    settings: Settings,
    source: Source,
    protocol: str,
    number: int,
    parts: Mapping[str, Dataset],
    seed: int,
) -> None:
    """A wage head trained on top of `train_occupations`, with it, unless its folder is there."""
    place = folder / "models" / f"wages, {protocol} {number}"
    if not place.exists():
        start, processor = train_occupations(folder, settings, source, protocol, number, parts, seed)
        with complete(place) as unfinished:
            set_seed(seed)
            train, validation = (
                encode_wages(parts[name], processor, unknown_levels="missing")[0] for name in ("train", "validation")
            )
            model = CareerForWagePrediction.from_occupation_model(
                start,  # type: ignore[arg-type]
                np.concatenate(train[LOG_WAGE]),
                exclude_covariates=settings.exclude_covariates,
                occupation_weight=settings.occupation_weight,
            )
            schedule = _schedule(settings, settings.wage_rate, seed)
            recipe = wage_recipe(processor, model.config, unfinished / "training", **schedule)
            record = {**source.record, **years_of(parts["train"])}
            trainer = build_wage_trainer(model, processor, recipe, train, validation, source=record)
            trainer.remove_callback(ProgressCallback)
            trainer.train()
            trainer.state.save_to_json(str(unfinished / "trainer_state.json"))
            shutil.rmtree(unfinished / "training")
            model.save_pretrained(unfinished)
            trainer.processing_class.save_pretrained(unfinished)  # type: ignore[union-attr]


def _schedule(settings: Settings, rate: float, seed: int) -> dict[str, Any]:
    return {
        "learning_rate": rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": settings.warmup_steps,
        "tokens_per_batch": settings.tokens_per_batch,
        "patience": settings.patience,
        "max_steps": settings.most_steps,
        "eval_steps": settings.eval_steps,
        "save_steps": settings.eval_steps,
        "seed": seed,
    }


def predict_cell(folder: Path, settings: Settings, source: Source, protocol: str, seed: int) -> None:
    """Writes held-out predictions of every specification, unless they are there.

    Args:
        folder, settings, source: Of the study.
        protocol: PAPER or CROSS_FITTED.
        seed: Of training, and of the splits of the regressions; 0 for CROSS_FITTED.
    """
    path = folder / "predictions" / f"{protocol} {seed}.parquet"
    if not path.exists():
        careers, frame = frame_of(folder, settings, source, protocol, seed)
        predictions = predict_held_out(frame, specifications(frame), splits=settings.splits, seed=seed)
        predictions[HEAD] = frame["wage_head"]
        truth = source.truth(careers)
        if truth is not None:
            predictions[TRUTH] = truth.loc[frame.index]
        with complete(path) as unfinished:
            predictions.to_parquet(unfinished)


def frame_of(
    folder: Path, settings: Settings, source: Source, protocol: str, seed: int
) -> tuple[Dataset, pd.DataFrame]:
    """Careers whose wages are explained, and their frame, with h in both timings and the wage head's prediction.

    Args:
        folder, settings, source, protocol, seed: As in `predict_cell`.
    """
    splits = source.splits()

    def load(task: str, number: int) -> tuple[Any, CareerProcessor]:
        return load_checkpoint(folder / "models" / f"{task}, {protocol} {number}")

    h: dict[str, np.ndarray] = {}
    fold: Any = None
    if protocol == PAPER:
        careers = splits["test"]
        model, processor = load("occupations", seed)
        check_not_trained_on(careers, splits["train"], processor)
        for timing in TIMINGS:
            h[timing] = representations(model, careers, processor, timing=timing, unknown_levels="missing")
        head, of_head = load("wages", seed)
        predicted = predict_log_wages(head, careers, of_head, unknown_levels="missing")
    else:
        careers = everybody(splits)
        for timing in TIMINGS:
            h[timing], fold = cross_fit(
                careers, settings.folds, lambda _, number: load("occupations", number), timing=timing
            )
        of_person = fold[np.cumsum([len(years) for years in careers["year"]]) - 1]
        predicted = np.empty(len(fold), dtype=np.float32)
        for number in range(settings.folds):
            people = careers.select(np.flatnonzero(of_person == number))
            head, of_head = load("wages", number)
            predicted[fold == number] = predict_log_wages(head, people, of_head, unknown_levels="missing")
    frame, ledger = wage_frame(careers, h, fold=fold)
    ledger.save(folder / f"ledger, {protocol}.json")
    return careers, frame.assign(wage_head=predicted[frame.index])


def specifications(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The rows of the table that are regressions: names of blocks, by the name of the row."""
    base = available_blocks(BLAU_KAHN, frame)[0]
    with_occupation = [*base, "occupation"]
    rows = {}
    if "industry" in base:
        fewer = [name for name in base if name != "industry"]
        rows = {WITHOUT_INDUSTRY: fewer, f"{WITHOUT_INDUSTRY}, + occupation": [*fewer, "occupation"]}
    return rows | {
        BLAU_KAHN_ROW: base,
        "+ occupation": with_occupation,
        "+ occupation, lagged occupation": [*with_occupation, "lagged occupation"],
        "+ h before": [*base, "h before"],
        "+ h including": [*base, "h including"],
        "+ occupation, h before": [*with_occupation, "h before"],
        "+ occupation, h including": [*with_occupation, "h including"],
        "+ occupation, wage head": [*with_occupation, "wage head"],
    }


def training_cells(folder: Path, settings: Settings, source: Source) -> list[Any]:
    """What is to be trained, as functions."""
    numbers = {PAPER: settings.seeds, CROSS_FITTED: settings.folds}
    return [
        partial(train_cell, folder, settings, source, protocol, number)
        for protocol, count in numbers.items()
        for number in range(count)
    ]


__all__ = ["Settings", "Source", "cost", "predict_cell", "specifications", "training_cells"]
