"""What would a model predict if careers read otherwise: average differences in predicted probabilities and forecasts.

Everything here is predictive, not causal. An edited career is asked about as if it had been observed: what comes out
is what the model expects of people whose record reads like that, whoever they are and however they came to be so. It
is not what would become of the same people if they were given a degree. People with another education differ in much
that the record does not hold, and a model of occupations rightly takes that into account.

Differences are averages over people and person-years whose predictions the edit can reach, survey-weighted where
careers have a `weight`. Intervals come from resampling people. Both predictions are of the same people, so each
resample gives a difference (paired). They hold the model fixed: another training run is another source of differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from transformers.utils import logging

from ..careers.ledger import Ledger
from ..encoding.collating import EncodedCareers, FlatCareers
from ..evaluation.metrics import INTERVAL
from ..evaluation.resampling import resample_means
from ..evaluation.transition_table import distributions
from ..forecasting.forecast import forecast
from .edits import Edit, check_known, edit_careers, support
from .outcome_groups import group_matrix


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from ..encoding.processing_career import CareerProcessor

logger = logging.get_logger(__name__)

READING = (
    "predictive, not causal: what the model expects of people whose record reads like this, not what would become of "
    "the same people"
)


@dataclass(frozen=True)
class WhatIf:
    """What a comparison found.

    Args:
        differences: One row per outcome (and, of forecasts, year ahead): outcome, original and edited (average
            probabilities), difference (edited less original), standard_error, low and high (95%) of the difference.
            `attrs` say how to read it ("reading"), and hold edit, people, rows (predictions averaged), weighted and
            draws.
        support: `career_edits.support`: how often training saw what the edit makes; None if no training careers were
            given.
        ledger: What was altered, and whose predictions the edit does not reach.
    """

    differences: pd.DataFrame
    support: pd.DataFrame | None
    ledger: Ledger


def next_step_differences(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    edit: Edit,
    *,
    training: Dataset | None,
    groups: Mapping[str, str] | None = None,
    fewest: int = 10,
    draws: int = 1000,
    seed: int = 0,
    batch_tokens: int = 16_000,
    unknown_levels: Literal["error", "missing"] = "error",
) -> WhatIf:
    """Average differences in p(y_t | past) between careers as they are and edited ones.

    They are over all predictions that the edit can reach: those of the first step that is told something else, x_t or
    y_{t-1}, and of every later one. What happened in a year is of no consequence for its own prediction.

    Args:
        model: An occupation model.
        careers: Careers; people whom the model was not trained on.
        processor: The model's processor.
        edit: What is to read otherwise.
        training: Careers that the model was trained on, in which combinations that the edit makes are counted; None
            not to count, which is said.
        groups: Group of every occupation, such as `groups_of(processor.occupations)`; single occupations without it.
        fewest: Person-years of training below which a combination counts as rare.
        draws, seed: Of the resampling of people.
        batch_tokens: Steps per batch, padding included.
        unknown_levels: What to do with levels of the careers that training never saw, as in `processor.encode`. Those
            that the edit writes have to be known.

    Raises:
        ValueError: The edit cannot be made or reaches nobody, the model does not know what it writes, or careers
            cannot be encoded.
    """
    pair = _Pair.of(model, careers, processor, edit, training, fewest, unknown_levels)
    reached = pair.told_otherwise()
    labels, matrix = group_matrix(processor, groups)
    person = np.repeat(np.arange(len(careers)), pair.lengths)
    people, count = np.unique(person[reached], return_counts=True)
    _require(people, "predictions come before it in every career", edit)
    of_people = reached[np.isin(person, people)]
    original, edited = (
        _sums_by_person(model, EncodedCareers(encoded.select(people)), of_people, matrix, batch_tokens)
        / count[:, None]
        for encoded in (pair.original, pair.edited)
    )
    ledger = pair.ledger
    before = {"the edit comes later or changes nothing": int((~reached).sum())}
    ledger.record("compare predictions", "person-years", len(reached), int(reached.sum()), dropped=before)
    differences = _differences(labels, original, edited, pair.weight[people] * count, draws, seed)
    differences.attrs = _attrs(edit, len(people), int(reached.sum()), pair.weighted, draws)
    return WhatIf(differences, pair.support, ledger)


def forecast_differences(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    edit: Edit,
    *,
    training: Dataset | None,
    horizon: int,
    groups: Mapping[str, str] | None = None,
    fewest: int = 10,
    draws: int = 1000,
    seed: int = 0,
    unknown_levels: Literal["error", "missing"] = "error",
    **options: Any,
) -> WhatIf:
    """Average differences between forecasts that go on from careers as they are and from edited ones.

    Covariates stay at their last level in both, the edited one too. The two forecasts of a person are sampled with the
    same random numbers, so that most of the sampling error is in both, and the rest is in the intervals.

    Args:
        model, careers, processor, edit, training, groups, fewest, draws, unknown_levels: As in
            `next_step_differences`. Forecasts begin where each career ends: cut them with `careers.truncate`.
        horizon: Steps ahead, each of `processor.step_length` years.
        seed: Of the forecasts and of the resampling of people.
        options: Further options of `forecasting.forecast`, such as samples and batch_tokens.

    Returns:
        As in `next_step_differences`, for each step ahead; the first column is `years_ahead`.

    Raises:
        ValueError: As in `next_step_differences` and `forecast`.
    """
    pair = _Pair.of(model, careers, processor, edit, training, fewest, unknown_levels)
    labels, matrix = group_matrix(processor, groups)
    people = np.flatnonzero(pair.reads_otherwise())
    _require(people, "everybody's career ends before it", edit)
    ledger = pair.ledger
    ends = {"the career ends before the edit, or the edit changes nothing": len(careers) - len(people)}
    ledger.record("compare forecasts", "people", len(careers), len(people), dropped=ends)
    ids = [i for i in range(len(processor.occupations)) if i not in set(processor.special_token_ids)]
    both = []
    for some in (careers.select(people), pair.careers.select(people)):
        found = forecast(model, some, processor, horizon=horizon, seed=seed, unknown_levels=unknown_levels, **options)
        both.append(found.probability.astype(np.float64) @ matrix[ids].numpy())
    frames = [
        _differences(labels, both[0][:, step], both[1][:, step], pair.weight[people], draws, seed).assign(
            years_ahead=(step + 1) * processor.step_length
        )
        for step in range(horizon)
    ]
    differences = pd.concat(frames, ignore_index=True)
    differences.insert(0, "years_ahead", differences.pop("years_ahead"))
    differences.attrs = _attrs(edit, len(people), len(people), pair.weighted, draws)
    differences.attrs |= {"samples": found.attrs["samples"], "years_placed_at": found.attrs["years_placed_at"]}
    return WhatIf(differences, pair.support, ledger)


@dataclass(frozen=True)
class _Pair:
    """The same careers twice.

    Args:
        careers: Edited.
        original, edited: Both, encoded.
        lengths: `(people,)`, person-years of each.
        weight: `(people,)`, survey weights, or ones.
        weighted: Whether careers have weights.
        support, ledger: As in `WhatIf`.
    """

    careers: Dataset
    original: Dataset
    edited: Dataset
    lengths: np.ndarray
    weight: np.ndarray
    weighted: bool
    support: pd.DataFrame | None
    ledger: Ledger

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        careers: Dataset,
        processor: CareerProcessor,
        edit: Edit,
        training: Dataset | None,
        fewest: int,
        unknown_levels: Literal["error", "missing"],
    ) -> _Pair:
        """Edits and encodes careers, and counts what training saw of the edited ones."""
        processor.check(model.config)
        check_known(edit, processor)
        careers_edited, ledger = edit_careers(careers, edit)
        original, edited = (processor.encode(some, unknown_levels)[0] for some in (careers, careers_edited))
        found = None
        if training is None:
            logger.warning("whether training saw anything like the edited careers is not checked: pass training=")
        else:
            seen = processor.encode(training, "missing")[0]
            found = support(EncodedCareers(original), EncodedCareers(edited), EncodedCareers(seen), processor, fewest)
        weighted = "weight" in careers.column_names
        return cls(
            careers=careers_edited,
            original=original,
            edited=edited,
            lengths=EncodedCareers(original).lengths,
            weight=np.array(careers["weight"][:]) if weighted else np.ones(len(careers)),
            weighted=weighted,
            support=found,
            ledger=ledger,
        )

    def told_otherwise(self) -> np.ndarray:
        """`(person-years,)`, whether anything that its prediction is told (x up to t, y before t) was edited."""
        before, after = self._flat()
        changed = before.input_ids != after.input_ids
        if before.covariates is not None and after.covariates is not None:
            changed |= (before.covariates != after.covariates).any(axis=1)
        so_far, starts = np.r_[0, changed.cumsum()], self.lengths.cumsum() - self.lengths
        return so_far[1:] > np.repeat(so_far[starts], self.lengths)

    def reads_otherwise(self) -> np.ndarray:
        """`(people,)`, whether anything of a career was edited, its last occupation included."""
        before, after = self._flat()
        changed = self.told_otherwise() | (before.labels != after.labels)
        return np.bincount(np.repeat(np.arange(len(self.lengths)), self.lengths), weights=changed) > 0

    def _flat(self) -> tuple[FlatCareers, FlatCareers]:
        both = [EncodedCareers(encoded) for encoded in (self.original, self.edited)]
        original, edited = (encoded.gather(np.arange(len(encoded))) for encoded in both)
        return original, edited


def _sums_by_person(
    model: PreTrainedModel, careers: EncodedCareers, reached: np.ndarray, matrix: torch.Tensor, batch_tokens: int
) -> np.ndarray:
    """`(people, groups)`, predicted probabilities summed over the steps of each person that the edit reaches."""
    person = np.repeat(np.arange(len(careers)), careers.lengths)
    sums = torch.zeros(len(careers), matrix.shape[1], dtype=torch.float64)
    for place, log_probs, _, _ in distributions(model, careers, batch_tokens):
        some = torch.from_numpy(reached[place])
        probabilities = log_probs[some.to(log_probs.device)].cpu().double().exp() @ matrix
        sums.index_add_(0, torch.from_numpy(person[place])[some], probabilities)
    return sums.numpy()


def _differences(
    labels: list[str], original: np.ndarray, edited: np.ndarray, weight: np.ndarray, draws: int, seed: int
) -> pd.DataFrame:
    """Weighted means of `(people, groups)` and of their differences, with intervals, one row per group."""
    both = np.concatenate([original, edited], axis=1)
    everybody, together = np.arange(len(both)), np.zeros(len(both), dtype=np.int64)
    means, resampled = resample_means(both, weight, everybody, together, draws=draws, seed=seed)
    before, after = np.split(means[0], 2)
    drawn_before, drawn_after = np.split(resampled[:, 0], 2, axis=1)
    drawn = drawn_after - drawn_before
    low, high = np.quantile(drawn, INTERVAL, axis=0)
    columns = {"outcome": labels, "original": before, "edited": after, "difference": after - before}
    return pd.DataFrame(columns | {"standard_error": drawn.std(axis=0, ddof=1), "low": low, "high": high})


def _require(people: np.ndarray, why: str, edit: Edit) -> None:
    if not len(people):
        raise ValueError(f"the edit ({edit}) reaches nobody: {why}, or they read like that already")


def _attrs(edit: Edit, people: int, rows: int, weighted: bool, draws: int) -> dict[str, Any]:
    attrs = {"reading": READING, "edit": str(edit), "people": people, "rows": rows}
    return attrs | {"weighted": weighted, "draws": draws}


__all__ = ["READING", "Edit", "WhatIf", "forecast_differences", "next_step_differences"]
