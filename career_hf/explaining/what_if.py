"""Differences between predictions from careers and from edited careers, averaged over people.

Everything here is predictive, not causal. The model reads an edited career as if it had been observed, and predicts
what it expects of people whose record reads like that, whoever they are and however they came to be so. It does not
predict what would become of the same people if they were given a degree. People with another education differ in much
that the record does not hold, and a model of occupations rightly takes that into account.

Differences are averages over people and person-years whose predictions the edit can reach, survey-weighted if they
are asked to be. Intervals come from resampling PSUs or households where careers have them, otherwise people.
Both predictions are about the same people, so each resample gives a difference (paired). With too few clusters there
are none (`careers.clusters`). Intervals of one model hold it fixed: another training run is a further source of
differences. Those of an ensemble (`train_ensemble`) add how far its members differ (`resampling.between_members`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel
from transformers.utils import logging

from ..careers.clusters import DESIGN, clusters
from ..careers.columns import career_table, weights_by_step, with_weights
from ..careers.frames import as_careers, as_splits, truncate
from ..careers.ledger import Ledger
from ..careers.periods import Period
from ..encoding.checkpoints import as_ensemble
from ..encoding.collating import EncodedCareers, FlatCareers
from ..encoding.processing_career import CareerProcessor
from ..evaluation.resampling import between_spread, combine_members, interval, resample_means, spread
from ..evaluation.transition_table import distributions
from ..figures.style import save
from ..figures.what_if import what_if_figure
from ..forecasting.forecast import forecast
from ..number_ranges import within_ranges
from ..readable_values import ReadableResult
from .edits import Edit, check_known, edit_careers, support
from .outcome_groups import Groups, group_matrix


if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.get_logger(__name__)

READING = (
    "predictive, not causal: what the model expects of people whose record reads like this, not what would become of "
    "the same people"
)


@dataclass(frozen=True)
class Comparison:
    """Predictions from careers compared with predictions from edited careers.

    Args:
        differences: One row per outcome (and, for forecasts, year ahead): outcome, original and edited (average
            probabilities), difference (edited less original), standard_error, low and high (95%) of the difference.
            `attrs` have a sentence on how to read it ("reading"), edit, people, rows (number of averaged predictions),
            weighted, draws and members (number of models whose differences the interval holds).
        support: How often training saw the edited inputs, as `edits.support` counts it; None if no training careers
            were given.
        ledger: Counts of altered labels, and of predictions that the edit does not reach.
    """

    differences: pd.DataFrame
    support: pd.DataFrame | None
    ledger: Ledger


@dataclass(frozen=True, repr=False)
class WhatIf(ReadableResult):
    """Predictions and forecasts from careers compared with those from edited careers. Predictive, not causal.

    Args:
        next_step: The comparison of predictions of next steps.
        forecast: The comparison of forecasts; None if there are no forecasts.
        cut: The ledger of cutting careers at a year; None if they were not cut.
    """

    next_step: Comparison
    forecast: Comparison | None = None
    cut: Ledger | None = None

    @property
    def comparisons(self) -> dict[str, Comparison]:
        """The comparisons by name: "next_step" and, where there is one, "forecast"."""
        forecasts = {} if self.forecast is None else {"forecast": self.forecast}
        return {"next_step": self.next_step, **forecasts}

    def to_frame(self) -> pd.DataFrame:
        """All differences: comparison ("next_step" or "forecast"), years_ahead (null for next steps), outcome,
        original, edited, difference, standard_error, low and high."""
        frames = [part.differences.assign(comparison=name) for name, part in self.comparisons.items()]
        columns = ["comparison", "years_ahead", *self.next_step.differences.columns]
        frame = pd.concat(frames, ignore_index=True).reindex(columns=columns).astype({"years_ahead": "Int64"})
        frame.attrs = dict(self.next_step.differences.attrs)
        return frame

    def figure(self, name: Literal["next_step", "forecast"] = "next_step") -> Figure:
        """Differences in percentage points with their intervals, a row per outcome.

        Args:
            name: The comparison to draw; forecasts have a colour per year ahead.

        Returns:
            A matplotlib figure that no window shows.

        Raises:
            ValueError: There is no such comparison.
        """
        if name not in self.comparisons:
            raise ValueError(
                f"there is no comparison {name!r}, only {list(self.comparisons)}; forecasts need a horizon"
            )
        return what_if_figure(self.comparisons[name].differences)

    def save(self, folder: str | Path, *, figures: bool = False) -> None:
        """Saves, for each comparison, NAME.csv and NAME_ledger.json; and counts of training careers as `support.csv`.

        Args:
            folder: Destination folder.
            figures: Whether to save NAME.png too, which needs matplotlib.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, comparison in self.comparisons.items():
            comparison.differences.to_csv(folder / f"{name}.csv", index=False)
            comparison.ledger.save(folder / f"{name}_ledger.json")
            if figures:
                save(what_if_figure(comparison.differences), folder / f"{name}.png")
        if self.next_step.support is not None:
            self.next_step.support.to_csv(folder / "support.csv", index=False)


@within_ranges
def what_if(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    change: Mapping[str, str | Mapping[str, str]],
    *,
    from_year: Period | None = None,
    from_age: int | None = None,
    split: str = "test",
    training: Dataset | None = None,
    horizon: int = 0,
    cutoff: Period | None = None,
    samples: int = 200,
    groups: Groups = "group",
    fewest: int = 10,
    draws: int = 1000,
    seed: int = 0,
    unknown_levels: Literal["error", "missing"] = "missing",
    weighted: bool = False,
) -> WhatIf:
    """Compares the predictions of a model from careers with its predictions from edited careers.

    Differences are predictive, not causal; see the head of this file.

    Args:
        model: An occupation model: a folder, a Hub id, a pair (model, processor) or what `train` returns. Or an
            ensemble, a list of these or the folder that `train_ensemble` wrote, whose intervals hold the uncertainty
            of the model too.
        careers: A folder of careers, or careers; people whom the model was not trained on.
        change: For each column its new label, or new labels by old ones: covariates of the model, or "occupation".
            Other old labels stay, and missing ones too.
        from_year: The first year, or label of a month or quarter, that is edited; earlier ones stay as they are.
        from_age: The first age that is edited; careers need a `birth_year`. Without a year or an age, whole careers
            are edited.
        split: The split of a folder, or of careers by split name, whose careers are edited.
        training: Careers that the model was trained on, to count the edited combinations of labels in; if None, the
            split "train" of the careers. Without either, combinations are not counted.
        horizon: Number of steps ahead for which forecasts are compared too; 0 compares no forecasts.
        cutoff: The last known year, or label of a month or quarter, after which careers are cut.
        samples: Number of trajectories of each person in forecasts.
        groups: The outcomes: "occupation" for single ones; a level of broad groups of occ1990dd, "group",
            "major_group" or "census_group"; or the group of every occupation.
        fewest: Number of person-years of training below which a combination counts as rare.
        draws: Number of resamples of clusters behind the intervals.
        seed: Random seed of the forecasts and of the resamples.
        unknown_levels: What to do with levels of the careers that training never saw, as in `processor.encode`. Those
            that the edit writes have to be known.
        weighted: Whether averages use the careers' survey weights. In forecasts, people count with the weight of
            their last known year.

    Example:
        >>> comparison = what_if("runs/mine", "careers/mine", {"education": "college"}, from_age=22)  # doctest: +SKIP

    Raises:
        ValueError: There is no such split, the edit cannot be made or reaches nobody, the model does not know a new
            label, careers cannot be encoded, or weights are asked for and missing.
    """
    covariates = {name: new for name, new in change.items() if name != "occupation"}
    edit = Edit(covariates, change.get("occupation"), from_year, from_age)
    if not isinstance(careers, Dataset):
        careers = as_splits(careers)
        training = careers.get("train") if training is None else training
    edited = with_weights(as_careers(careers, split), weighted)
    ensemble = as_ensemble(model)
    cut = None
    if cutoff is not None:
        edited, cut = truncate(edited, cutoff)
    options: dict[str, Any] = {"training": training, "groups": groups, "fewest": fewest, "draws": draws, "seed": seed}
    options["unknown_levels"] = unknown_levels
    next_step = next_step_differences(ensemble, edited, None, edit, **options)
    if not horizon:
        return WhatIf(next_step, cut=cut)
    options |= {"horizon": horizon, "samples": samples}
    return WhatIf(next_step, forecast_differences(ensemble, edited, None, edit, **options), cut)


def next_step_differences(
    model: Any,
    careers: Dataset,
    processor: CareerProcessor | None,
    edit: Edit,
    *,
    training: Dataset | None,
    groups: Groups = "occupation",
    fewest: int = 10,
    draws: int = 1000,
    seed: int = 0,
    batch_tokens: int | None = None,
    unknown_levels: Literal["error", "missing"] = "error",
) -> Comparison:
    """Average differences in p(y_t | past) between original and edited careers.

    Averages are over all predictions that the edit can reach: the first step whose input, x_t or y_{t-1}, is edited,
    and all later steps. The occupation of a year does not affect the prediction of that year.

    Args:
        model: An occupation model, or an ensemble, as in `what_if`.
        careers: Careers; people whom the model was not trained on.
        processor: The processor of a model that is passed by itself; otherwise None.
        edit: The new labels.
        training: Careers that the model was trained on, to count the edited combinations of labels in; if None they
            are not counted, and a warning says so.
        groups: The outcomes, as in `what_if`.
        fewest: Number of person-years of training below which a combination counts as rare.
        draws, seed: Number and random seed of the resamples of people.
        batch_tokens: Steps per batch, padding included; chosen by the model's size and device if None.
        unknown_levels: What to do with levels of the careers that training never saw, as in `processor.encode`. Those
            that the edit writes have to be known.

    Raises:
        ValueError: The edit cannot be made or reaches nobody, the model does not know a new label, or careers cannot
            be encoded.
    """
    ensemble = as_ensemble(model, processor)
    pair = _edit_and_encode(ensemble, careers, edit, training, fewest, unknown_levels)
    reached = pair.reached_steps()
    counted = reached & (pair.weight > 0)
    labels, is_in_group = group_matrix(ensemble[0][1], groups)
    person = np.repeat(np.arange(len(careers)), pair.lengths)
    _check_reached(np.flatnonzero(reached), "predictions come before it in every career", edit)
    people = np.unique(person[counted])
    _check_reached(people, "whatever it reaches has weight 0", edit)
    weight = np.where(counted, pair.weight, 0)[np.isin(person, people)]
    mass = np.bincount(person[counted], weights=pair.weight[counted], minlength=len(careers))[people]
    means = np.stack(
        [
            _sums_by_person(member, EncodedCareers(encoded.select(people)), weight, is_in_group, batch_tokens)
            / mass[:, None]
            for (member, own), both in zip(ensemble, pair.of_members(ensemble, careers, unknown_levels), strict=True)
            for encoded in both
        ]
    )
    ledger = pair.ledger
    left_out = {"the edit comes later or changes nothing": int((~reached).sum())}
    if (reached & ~counted).any():
        left_out["weight 0 in this year"] = int((reached & ~counted).sum())
    ledger.record("compare predictions", "person-years", len(reached), int(counted.sum()), dropped=left_out)
    differences = _differences(labels, means[::2], means[1::2], mass, pair.cluster[people], draws, seed)
    differences.attrs = _attrs(edit, len(people), int(counted.sum()), pair.weighted, draws, len(ensemble))
    return Comparison(differences, pair.support, ledger)


def forecast_differences(
    model: Any,
    careers: Dataset,
    processor: CareerProcessor | None,
    edit: Edit,
    *,
    training: Dataset | None,
    horizon: int,
    groups: Groups = "occupation",
    fewest: int = 10,
    draws: int = 1000,
    seed: int = 0,
    unknown_levels: Literal["error", "missing"] = "error",
    **options: Any,
) -> Comparison:
    """Average differences between forecasts that continue careers and forecasts that continue edited careers.

    Covariates stay at their last level in both, edited or not. The two forecasts of a person are sampled with the same
    random numbers, so that most of the sampling error cancels, and the rest is in the intervals.

    Args:
        model, careers, processor, edit, training, groups, fewest, draws, unknown_levels: As in
            `next_step_differences`. Forecasts begin where each career ends: cut them with `careers.truncate`.
        horizon: Number of steps ahead, each of `processor.step_length` years.
        seed: Random seed of the forecasts and of the resamples of people.
        options: Further options of `forecasting.forecast`, such as samples and batch_tokens.

    Returns:
        As in `next_step_differences`, for each step ahead; the first column is `years_ahead`.

    Raises:
        ValueError: As in `next_step_differences` and `forecast`.
    """
    ensemble = as_ensemble(model, processor)
    pair = _edit_and_encode(ensemble, careers, edit, training, fewest, unknown_levels)
    _, processor = ensemble[0]
    labels, is_in_group = group_matrix(processor, groups)
    last_weight = pair.weight[pair.lengths.cumsum() - 1]
    is_edited = pair.edited_people()
    _check_reached(np.flatnonzero(is_edited), "everybody's career ends before it", edit)
    people = np.flatnonzero(is_edited & (last_weight > 0))
    _check_reached(people, "whomever it reaches has weight 0", edit)
    ledger = pair.ledger
    ends = {"the career ends before the edit, or the edit changes nothing": int((~is_edited).sum())}
    if (is_edited & (last_weight == 0)).any():
        ends["weight 0 in the last year"] = int((is_edited & (last_weight == 0)).sum())
    ledger.record("compare forecasts", "people", len(careers), len(people), dropped=ends)
    ids = [i for i in range(len(processor.occupations)) if i not in set(processor.special_token_ids)]
    options |= {"horizon": horizon, "seed": seed, "unknown_levels": unknown_levels}
    forecasts = [forecast(ensemble, histories.select(people), **options) for histories in (careers, pair.careers)]
    original, edited = (
        np.stack([one.probability.astype(np.float64) @ is_in_group[ids].numpy() for one in result.members or [result]])
        for result in forecasts
    )
    frames = [
        _differences(
            labels, original[:, :, step], edited[:, :, step], last_weight[people], pair.cluster[people], draws, seed
        ).assign(years_ahead=(step + 1) * processor.step_length)
        for step in range(horizon)
    ]
    differences = pd.concat(frames, ignore_index=True)
    differences.insert(0, "years_ahead", differences.pop("years_ahead"))
    differences.attrs = _attrs(edit, len(people), len(people), pair.weighted, draws, len(ensemble))
    differences.attrs |= {name: forecasts[0].attrs[name] for name in ("samples", "years_placed_at")}
    return Comparison(differences, pair.support, ledger)


@dataclass(frozen=True)
class _EditedPair:
    """The same careers before and after an edit.

    Args:
        careers: Edited careers.
        original, edited: Original and edited careers, encoded.
        lengths: `(people,)`: number of person-years.
        weight: `(person-years,)`: survey weights, or ones.
        weighted: Whether careers have weights.
        cluster: `(people,)`: the cluster of each person, by which intervals resample.
        support, ledger: As in `Comparison`.
    """

    careers: Dataset
    original: Dataset
    edited: Dataset
    lengths: np.ndarray
    weight: np.ndarray
    weighted: bool
    cluster: np.ndarray
    support: pd.DataFrame | None
    ledger: Ledger

    def of_members(
        self,
        ensemble: Sequence[tuple[PreTrainedModel, CareerProcessor]],
        careers: Dataset,
        unknown_levels: Literal["error", "missing"],
    ) -> Iterator[tuple[Dataset, Dataset]]:
        """Original and edited careers as each member encodes them, whose covariates may be others."""
        yield self.original, self.edited
        for _, processor in ensemble[1:]:
            yield tuple(processor.encode(part, unknown_levels)[0] for part in (careers, self.careers))

    def reached_steps(self) -> np.ndarray:
        """`(person-years,)`: whether any input of the prediction (x up to t, y before t) was edited."""
        before, after = self._flat()
        changed = before.input_ids != after.input_ids
        if before.covariates is not None and after.covariates is not None:
            changed |= (before.covariates != after.covariates).any(axis=1)
        so_far, starts = np.r_[0, changed.cumsum()], self.lengths.cumsum() - self.lengths
        return so_far[1:] > np.repeat(so_far[starts], self.lengths)

    def edited_people(self) -> np.ndarray:
        """`(people,)`: whether anything in the career was edited, its last occupation included."""
        before, after = self._flat()
        changed = self.reached_steps() | (before.labels != after.labels)
        return np.bincount(np.repeat(np.arange(len(self.lengths)), self.lengths), weights=changed) > 0

    def _flat(self) -> tuple[FlatCareers, FlatCareers]:
        original, edited = EncodedCareers(self.original), EncodedCareers(self.edited)
        everybody = np.arange(len(original))
        return original.gather(everybody), edited.gather(everybody)


def _edit_and_encode(
    ensemble: Sequence[tuple[PreTrainedModel, CareerProcessor]],
    careers: Dataset,
    edit: Edit,
    training: Dataset | None,
    fewest: int,
    unknown_levels: Literal["error", "missing"],
) -> _EditedPair:
    """Edits careers, encodes them for the first model, and counts how often training saw the edited inputs."""
    for model, own in ensemble:
        own.check(model.config)
        check_known(edit, own)
    _, processor = ensemble[0]
    careers_edited, ledger = edit_careers(careers, edit)
    original, edited = (processor.encode(part, unknown_levels)[0] for part in (careers, careers_edited))
    counts = None
    if training is None:
        logger.warning("whether training saw anything like the edited careers is not checked: pass training=")
    else:
        seen = processor.encode(training, "missing")[0]
        counts = support(EncodedCareers(original), EncodedCareers(edited), EncodedCareers(seen), processor, fewest)
    return _EditedPair(
        careers=careers_edited,
        original=original,
        edited=edited,
        lengths=EncodedCareers(original).lengths,
        weight=weights_by_step(career_table(careers)),
        weighted="weight" in careers.column_names,
        cluster=clusters(
            pd.DataFrame({name: careers[name][:] for name in ("person", *DESIGN) if name in careers.features})
        ),
        support=counts,
        ledger=ledger,
    )


def _sums_by_person(
    model: PreTrainedModel,
    careers: EncodedCareers,
    weight: np.ndarray,
    is_in_group: torch.Tensor,
    batch_tokens: int | None,
) -> np.ndarray:
    """`(people, groups)`: predicted probabilities times `(person-years,)` weights, summed over each person's steps."""
    person = np.repeat(np.arange(len(careers)), careers.lengths)
    sums = torch.zeros(len(careers), is_in_group.shape[1], dtype=torch.float64)
    for place, log_probs, _, _ in distributions(model, careers, batch_tokens):
        counted = torch.from_numpy(weight[place] > 0)
        probabilities = log_probs[counted.to(log_probs.device)].cpu().double().exp() @ is_in_group
        probabilities *= torch.from_numpy(weight[place])[counted, None]
        sums.index_add_(0, torch.from_numpy(person[place])[counted], probabilities)
    return sums.numpy()


def _differences(
    labels: list[str],
    original: np.ndarray,
    edited: np.ndarray,
    weight: np.ndarray,
    cluster: np.ndarray,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Weighted means of `(members, people, groups)` and of their differences, with intervals, one row per group."""
    both = np.stack([original, edited], axis=1)
    members, _, people, groups = both.shape
    averages = both.transpose(2, 0, 1, 3).reshape(people, -1)
    drawn_together, together = np.unique(cluster, return_inverse=True)[1], np.zeros(people, dtype=np.int64)
    means, resampled = resample_means(averages, weight, drawn_together, together, draws=draws, seed=seed)
    of_members, drawn_of_members = (array.reshape(-1, members, 2, groups) for array in (means, resampled))
    before, after = of_members[0].mean(axis=0)
    differences, drawn_differences = (array[:, :, 1] - array[:, :, 0] for array in (of_members, drawn_of_members))
    _, drawn = combine_members(differences[0], drawn_differences, seed, -1, 1)
    count = int(drawn_together.max()) + 1
    low, high = interval(drawn, count)
    columns = {"outcome": labels, "original": before, "edited": after, "difference": after - before}
    error = np.hypot(spread(drawn_differences.mean(axis=1), count), between_spread(differences[0]))
    return pd.DataFrame(columns | {"standard_error": error, "low": low, "high": high})


def _check_reached(people: np.ndarray, why: str, edit: Edit) -> None:
    if not len(people):
        raise ValueError(f"the edit ({edit}) reaches nobody: {why}, or careers have the new labels already")


def _attrs(edit: Edit, people: int, rows: int, weighted: bool, draws: int, members: int) -> dict[str, Any]:
    attrs = {"reading": READING, "edit": str(edit), "people": people, "rows": rows}
    return attrs | {"weighted": weighted, "draws": draws, "members": members}
