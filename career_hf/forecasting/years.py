"""The steps that a forecast takes after the end of each career: their years, and the levels of covariates at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from transformers.utils import logging

from ..careers.columns import LongTable, career_table, is_list, list_lengths, list_values
from ..careers.frames import long_table, to_frame
from ..careers.periods import PER_YEAR, period_column, period_label, plural, time_unit
from ..careers.wide_tables import column_names
from ..encoding.processing_career import CareerProcessor
from ..encoding.vocabulary import MISSING, index_labels, unused_columns, year_of


StepRule = Literal["observation", "interval"]
# What is known of covariates in coming years.
Covariates = Literal["last", "realised"]
# The covariate in whole years that advances with the calendar.
AGE = "age"

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class StepsAhead:
    """The steps after each career, person by person in the order of the careers.

    Args:
        people: `(people,)` identifiers.
        last_year: `(people,)`, where each career ends.
        lengths: `(people,)`, how many steps each person takes.
        year: `(steps,)`, the year of each step.
        wanted: `(steps,)`, whether it is part of the forecast, or only on the way.
    """

    people: list[str]
    last_year: np.ndarray
    lengths: np.ndarray
    year: np.ndarray
    wanted: np.ndarray

    @property
    def person(self) -> np.ndarray:
        """`(steps,)`, the place of each step's person."""
        return np.repeat(np.arange(len(self.people)), self.lengths)

    @property
    def previous_year(self) -> np.ndarray:
        """`(steps,)`, the year of the step before."""
        before = np.r_[0, self.year[:-1]]
        before[self.lengths.cumsum() - self.lengths] = self.last_year
        return before


def steps_ahead(
    careers: Dataset, horizon: int | None, years: Sequence[int] | None, rule: StepRule, step_length: int
) -> StepsAhead:
    """The steps of a forecast.

    Args:
        careers: Careers to continue.
        horizon: How many steps of `step_length` years to go after each person's own last year; or None.
        years: Without a horizon, the years to forecast, for everybody the same.
        rule: What a step between `years` is, as `step` of `forecast`.
        step_length: Years that a step takes.

    Raises:
        ValueError: Not exactly one of horizon and years is given, years do not increase, a person is observed in or
            after the first of them, or steps of `step_length` years do not lead to them.
    """
    table = career_table(careers)
    if table.num_rows == 0:
        raise ValueError("there are no careers to forecast: nobody qualifies; look at the ledger of truncate")
    people = table["person"].to_pylist()
    last_year = list_values(table, "year").to_numpy()[list_lengths(table, "year").cumsum() - 1].astype(np.int64)
    unit = time_unit(careers)
    units = plural(unit)
    if (horizon is None) == (years is None):
        found = "both are given" if years is not None else "neither is given"
        raise ValueError(f"{found}: give horizon=, the number of {units} ahead, or years=, a list of {units}")
    if horizon is not None:
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1, and is {horizon}")
        ahead = last_year[:, None] + step_length * np.arange(1, horizon + 1)
        return StepsAhead(people, last_year, np.full(len(people), horizon), ahead.ravel(), np.ones(ahead.size, bool))
    goals = np.array(years, dtype=np.int64)
    if len(goals) == 0 or (np.diff(goals) <= 0).any():
        labels = [period_label(year, unit) for year in years or []] if unit != "year" else years
        raise ValueError(f"{units} {labels} must be at least one, and must increase")
    late = np.flatnonzero(last_year >= goals[0])
    if len(late):
        seen, first, before = (period_label(n, unit) for n in (last_year[late[0]], goals[0], goals[0] - 1))
        before = before if unit == "year" else repr(before)
        raise ValueError(
            f"person '{people[late[0]]}' is observed in {seen}, so {first} is not ahead; cut careers "
            f"with truncate(careers, {before}), or forecast later {units}"
        )
    if rule == "observation":
        year = np.tile(goals, len(people))
        return StepsAhead(people, last_year, np.full(len(people), len(goals)), year, np.ones(len(year), bool))
    odd = np.argwhere((goals - last_year[:, None]) % step_length != 0)
    if len(odd):
        person, goal = odd[0]
        raise ValueError(
            f"person '{people[person]}' is last observed in {period_label(last_year[person], unit)}, from which steps "
            f"of {step_length} {units} do not lead to {period_label(goals[goal], unit)}; forecast other {units}, or "
            "use step='observation'"
        )
    lengths = (goals[-1] - last_year) // step_length
    number = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    year = np.repeat(last_year, lengths) + step_length * (number + 1)
    return StepsAhead(people, last_year, lengths, year, np.isin(year, goals))


def levels_ahead(
    steps: StepsAhead,
    last_levels: np.ndarray,
    careers: Dataset,
    processor: CareerProcessor,
    covariates: Any = None,
    *,
    gap_covariate: str | None = None,
    carry_forward: bool = True,
    unknown_levels: Literal["error", "missing"] = "error",
) -> tuple[np.ndarray, dict[int, int], dict[str, int], dict[str, int]]:
    """Levels of covariates at the steps ahead.

    The year is that of the step, and `gap_covariate` follows from the years. Other values come from the table, and are
    otherwise the last ones, but that people grow older: a covariate called `age` advances with the years.

    Args:
        steps: The steps.
        last_levels: `(people, covariates)`, levels at the end of each career.
        careers: The careers.
        processor: The model's processor, which has covariates.
        covariates: Careers or a long table, as in `forecast`; None if nothing is known.
        gap_covariate, carry_forward, unknown_levels: As in `forecast`.

    Returns:
        `(steps, covariates)` level ids; the trained year at which each year without training was placed; and for each
        covariate that changes over time, at how many steps it was carried forward, and at how many it was advanced.
    """
    levels = last_levels[steps.person]
    names, unit = processor.covariate_names, processor.time_unit
    if gap_covariate is not None and gap_covariate not in names:
        raise ValueError(f"gap_covariate '{gap_covariate}' is not one of the model's covariates, which are {names}")
    automatic = {processor.time_covariate, gap_covariate}
    given = {}
    if covariates is not None:
        given = _given(steps, covariates, [name for name in names if name not in automatic], processor, unknown_levels)
    placed: dict[int, int] = {}
    carried: dict[str, int] = {}
    advanced: dict[str, int] = {}
    for c, name in enumerate(names):
        if name == processor.time_covariate:
            levels[:, c], placed = _place_years(steps.year, processor, c)
        elif name == gap_covariate:
            levels[:, c] = _gap_levels(steps, processor, name, unknown_levels)
        else:
            exact, latest_level = given.get(name, (np.zeros(len(levels), bool), np.full(len(levels), -1)))
            levels[:, c] = np.where(latest_level >= 0, latest_level, levels[:, c])
            if name not in careers.column_names:
                continue  # an optional covariate that careers do not have, and so missing ahead too
            if is_list(careers.data.schema.field(name).type) and not exact.all():
                if name == AGE:
                    ages = _ages(steps, careers)
                    older = ~exact & ~np.isnan(ages)
                    if older.any():
                        levels[older, c] = _place_years(ages[older].astype(np.int64), processor, c)[0]
                        advanced[name] = int(older.sum())
                    exact = exact | older
                if exact.all():
                    continue
                if not carry_forward:
                    step = int(np.argmin(exact))
                    raise ValueError(
                        f"person '{steps.people[steps.person[step]]}', column '{name}': there is no value for "
                        f"{period_label(steps.year[step], unit)}; add it to covariates=, or allow carry_forward=True"
                    )
                carried[name] = int((~exact).sum())
    return levels, placed, carried, advanced


def _ages(steps: StepsAhead, careers: Dataset) -> np.ndarray:
    """Ages at the steps ahead, from the last one that each career has; NaN where it has none in whole years.

    In months or quarters a birthday is at the latest where the age of the last year of a career is seen first.
    """
    per_year = PER_YEAR[time_unit(careers)]
    long = long_table(careers).to_pandas()[["person", "year", AGE]]
    long = long.assign(age=pd.to_numeric(long[AGE], errors="coerce")).dropna(subset=[AGE])
    long = long[long[AGE] % 1 == 0]
    last = long.groupby("person")["year"].transform("max")
    births = (long["year"] - per_year * long[AGE])[long["year"] > last - per_year]
    born = births.groupby(long["person"]).min().reindex(steps.people).to_numpy(dtype=np.float64)
    return (steps.year - born[steps.person]) // per_year


def _place_years(years: np.ndarray, processor: CareerProcessor, covariate: int) -> tuple[np.ndarray, dict[int, int]]:
    """Level ids of years, or of other whole numbers: the number's own where the last training stage had it, else that
    of the latest one before. Before the first it is the first, if the covariate is optional, as in `encode`."""
    name, labels = processor.covariate_names[covariate], processor.covariate_levels[covariate]
    unit = processor.time_unit if name == processor.time_covariate else "year"
    counts = processor.trained_counts()[1][covariate] if processor.training_stages else np.ones(len(labels))
    # A dictionary of the original program has levels that are no years, such as <unk>.
    years_of_labels = [(year_of(label), count) for label, count in zip(labels[1:], counts[1:], strict=True)]
    trained = np.sort([year for year, count in years_of_labels if year is not None and count > 0]).astype(np.int64)
    place = np.searchsorted(trained, years, side="right") - 1
    if name in processor.optional_covariates and len(trained):
        place = np.maximum(place, 0)
    if (place < 0).any():
        first = period_label(trained[0], unit) if len(trained) else "every trained one"
        called = unit if name == processor.time_covariate else name
        raise ValueError(
            f"{called} {period_label(years[place < 0][0], unit)} lies before {first}, the "
            f"first {called} that was trained on, and cannot be placed; forecast careers that end later"
        )
    pairs = np.unique(np.stack([years, trained[place]], axis=-1), axis=0)
    ids = processor.level_ids(name, trained.astype(str).tolist())
    return ids[place], {int(year): int(at) for year, at in pairs if year != at}


def _gap_levels(
    steps: StepsAhead, processor: CareerProcessor, name: str, unknown_levels: Literal["error", "missing"]
) -> np.ndarray:
    """Level ids of the years since the step before."""
    gaps = steps.year - steps.previous_year
    labels = processor.covariate_levels[processor.covariate_names.index(name)]
    ids = index_labels(pa.array(gaps.astype(str)), labels)
    if (ids < 0).any() and unknown_levels == "error":
        step = int(np.argmin(ids))
        raise ValueError(
            f"person '{steps.people[steps.person[step]]}', column '{name}': "
            f"{period_label(steps.year[step], processor.time_unit)} is {gaps[step]} {plural(processor.time_unit)} "
            f"after the step before, but the model was trained on gaps of {', '.join(labels[1:])}; forecast "
            f"{plural(processor.time_unit)} in between, or use step='interval'"
        )
    return ids.clip(min=0)


def _given(
    steps: StepsAhead,
    covariates: Any,
    names: list[str],
    processor: CareerProcessor,
    unknown_levels: Literal["error", "missing"],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Future values of covariates from a table.

    Returns:
        For each covariate in the table, two arrays of `(steps,)`: whether the step's own year has a value; and the
        level id of the latest value up to it, -1 where there is none.
    """
    if hasattr(covariates, "features") and is_list(covariates.data.schema.field("year").type):
        covariates = to_frame(covariates, kind="arrow")
    columns, unit = column_names(covariates), processor.time_unit
    period = period_column(columns, unit)
    if problem := unused_columns([name for name in columns if name != period], names):
        logger.warning_once(f"covariates=: {problem}")
    names = [name for name in names if name in columns]
    table = LongTable(covariates, "person", [period, *names])
    place = index_labels(table.people, steps.people).astype(np.int64)
    year = table.periods(period, unit)[0]

    def fail(row: int, problem: str) -> NoReturn:
        raise ValueError(f"covariates, row {row}: person '{table.people[row].as_py()}' {problem}")

    if (place < 0).any():
        fail(int(np.argmin(place)), "is not in the careers; drop the row or add the career")
    twice = np.flatnonzero(pd.DataFrame({"person": place, "year": year}).duplicated())
    if len(twice):
        fail(int(twice[0]), f"has {unit} {period_label(year[twice[0]], unit)} twice; keep one row")
    # One number for person and year, so that "the latest value up to a year" is one search.
    first = min(year.min(initial=0), steps.last_year.min())
    span = max(year.max(initial=0), steps.year.max()) - first + 1
    wanted = steps.person * span + steps.year - first
    given = {}
    for name in names:
        labels = table.labels(name)
        ahead = np.flatnonzero(pc.is_valid(labels).to_numpy(zero_copy_only=False) & (year > steps.last_year[place]))
        levels = processor.covariate_levels[processor.covariate_names.index(name)]
        ids = index_labels(pc.fill_null(labels, MISSING), levels)
        unknown = ahead[ids[ahead] < 0]
        if len(unknown) and unknown_levels == "error":
            row = int(unknown[0])
            table.fail(row, name, f"level {labels[row].as_py()!r} of covariate '{name}' is not known", "correct it")
        ids = ids.clip(min=0)
        key = place[ahead] * span + year[ahead] - first
        order = np.argsort(key)
        latest = np.searchsorted(key[order], wanted, side="right") - 1
        has_value = latest >= 0
        has_value[has_value] = place[ahead][order][latest[has_value]] == steps.person[has_value]
        level_ids = np.where(has_value, ids[ahead][order][latest] if len(ahead) else -1, -1)
        given[name] = (has_value & (np.r_[key[order], 0][latest] == wanted), level_ids)
    return given
