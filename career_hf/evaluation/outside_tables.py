"""Outside tables: what a program of any kind says of each step of some careers, checked and made a transition table.

An R script, a language model or another package writes one row per person and year with the natural log of the
probability that it gave to what happened. Nothing is guessed: numbers that need more than the table has are null, and
reports say "not given" in their place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from ..careers.benchmark import steps_of
from ..careers.columns import LongTable, read_file, read_labels, read_numbers
from ..careers.frames import long_table
from ..careers.periods import period_label, time_unit
from ..occupations.normalising import label_of
from .transition_table import ROUNDING, SUM_TOLERANCE, check_can_be_scored, table_of_steps


# Endings of files that are tables, and no checkpoints.
FILES = re.compile(r"\.(parquet|csv(\.(gz|bz2|xz|zip|zst))?)$")
PROBABILITY = re.compile(r"^p\((.*)\)$", re.DOTALL)
# Columns that a transition table has beside the required ones, from which AUCs, ranks and calibration follow.
GIVEN = ("p_stay", "p_top", "rank")
LARGEST = np.finfo(np.float64).max
# More years than a table may have, so that a person and a year make one number.
YEARS = 20_000


def is_outside_table(form: Any) -> bool:
    """Whether this stands for a table of a program's predictions: a frame, or the name of a Parquet or CSV file."""
    if isinstance(form, (str, Path)):
        return FILES.search(str(form)) is not None and not Path(form).is_dir()
    return hasattr(form, "columns")


def outside_table(
    table: Any,
    careers: Dataset,
    labels: Sequence[str],
    *,
    split: str | None = None,
    watch: Sequence[str] = (),
) -> pd.DataFrame:
    """Makes a transition table of what a program of any kind says of careers, after all checks of its rows.

    Rows may be in any order. Identifiers and labels are compared by the rule of `occupations.normalising`, so that 1,
    1.0 and "1" are the same person. Columns:

    person, year: which step; every step of the careers once, and no other;

    log_prob: the natural log of the probability that the program gave to the occupation of that year;

    p(LABEL), optional: the probability of a label. With those of all labels of the label set, which sum to one, AUCs,
    ranks and calibration follow; with some labels only, the AUCs of entering these;

    p_stay, p_top, rank, and unknown, optional: as in a transition table, which is an outside table too; the first
    three count where the table does not have the probabilities of all labels;

    occupation, optional: compared with that of the careers.

    Other columns are not read.

    Args:
        table: A frame (pandas, polars, Arrow), or a Parquet or CSV file.
        careers: The careers that are scored.
        labels: The label set (`careers.benchmark.label_set`).
        split: Label in the column `split`.
        watch: Labels whose probability the result keeps; null where the table does not have it.

    Returns:
        As in `transition_table`; p_stay, p_top, rank and p(LABEL) are null where they are not given.

    Raises:
        ValueError: The file cannot be read; a row is missing, is there twice or belongs to no step; a value is no
            log-probability or probability; probabilities do not sum to one, or that of the truth is another than
            `log_prob` says; or a column names no label. The message names person, column and value.
    """
    check_can_be_scored(careers, labels, watch)
    if isinstance(table, (str, Path)):
        table = read_file(table)
    names = list(table.column_names if isinstance(table, pa.Table) else table.columns)
    label_of_name = _label_of_name([name for name in names if isinstance(name, str)], labels, careers.column_names)
    optional = [name for name in ("occupation", "unknown", *GIVEN) if name in names]
    long = long_table(careers)
    unit = time_unit(long)
    # A transition table has the numbers of months and quarters in "year", and their labels in a column of their own.
    period = unit if unit in names else "year"
    rows = LongTable(table, "person", [period, "log_prob", *optional, *label_of_name])
    year = rows.periods(period, unit)[0]
    row, step = (
        _rows_of_steps(rows, period, year, long, f"the split '{split}'" if split else "the careers"),
        steps_of(long),
    )
    occupation = pc.index_in(long["occupation"].combine_chunks(), value_set=pa.array(labels)).to_numpy()
    previous = np.where(step == 0, -1, np.r_[-1, occupation[:-1]])
    steps = _Steps(rows, row, previous, occupation, labels)

    if "occupation" in optional:
        steps.check_occupation()
    log_prob = steps.numbers(
        "log_prob",
        (-LARGEST, ROUNDING),
        "the natural log of a probability, finite and not above 0",
        "give what happened a probability above 0, and write its natural log",
    )
    unknown = steps.unknown() if "unknown" in optional else np.zeros(len(row), dtype=bool)
    probabilities = steps.probabilities(label_of_name, np.exp(log_prob), unknown)
    if len(label_of_name) == len(labels):
        own, stay = (probabilities[np.arange(len(row)), place] for place in (occupation, previous))
        scores = {"p_stay": np.where(step == 0, np.nan, stay), "p_top": probabilities.max(axis=1)}
        scores["rank"] = 1.0 + (probabilities > own[:, None]).sum(axis=1)
    else:
        scores = {name: steps.given(name) if name in optional else np.full(len(row), np.nan) for name in GIVEN}
        steps.check_given(scores, np.exp(log_prob), unknown)
    if np.isfinite(scores["rank"]).all():
        scores["rank"] = scores["rank"].astype(np.int32)
    columns = {label: number for number, label in enumerate(label_of_name.values())}
    for label in watch:
        scores[f"p({label})"] = probabilities[:, columns[label]] if label in columns else np.full(len(row), np.nan)
    return table_of_steps(long, step, occupation, labels, {"log_prob": log_prob, **scores}, unknown, split)


def _label_of_name(names: Sequence[str], labels: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """The label of each column p(LABEL), in the order of the labels.

    Args:
        names: Columns of the outside table.
        labels: The label set.
        others: Columns of the careers, which may be in the table too.

    Raises:
        ValueError: A column names no label of the set, two name the same, or the name is a label alone.
    """
    places = {label: place for place, label in enumerate(labels)}
    found: dict[str, str] = {}
    for name in names:
        if name in places and name not in others:
            raise ValueError(f"column '{name}' has the name of an occupation: name columns of probabilities p({name})")
        if (inner := PROBABILITY.match(name)) is None:
            continue
        label = label_of(inner[1])
        if label not in places:
            raise ValueError(
                f"column '{name}' names none of the {len(labels)} labels of these careers, such as '{labels[0]}': "
                "give probabilities of their label set, which career_hf.benchmark lists"
            )
        if label in found.values():
            raise ValueError(f"column '{name}' is the second one about the label '{label}': keep one")
        found[name] = label
    return dict(sorted(found.items(), key=lambda pair: places[pair[1]]))


def _rows_of_steps(rows: LongTable, period: str, year: np.ndarray, long: pa.Table, where: str) -> np.ndarray:
    """`(steps,)`: the row of an outside table about each step of the careers.

    Raises:
        ValueError: Rows are missing, belong to no step, or are there twice.
    """
    people = read_labels(long["person"]).dictionary_encode()
    person = pc.index_in(rows.people, value_set=people.dictionary)
    if person.null_count:
        stranger = int(np.argmax(person.is_null().to_numpy(zero_copy_only=False)))
        fix = "keep the rows to be predicted, and identifiers as the careers write them, with leading zeros"
        rows.fail(stranger, "person", f"nobody in {where} has this identifier", fix)
    key = person.to_numpy().astype(np.int64) * YEARS + year
    wanted = people.indices.to_numpy().astype(np.int64) * YEARS + long["year"].to_numpy()
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    if len(twice := np.flatnonzero(ordered[1:] == ordered[:-1])):
        before, again = order[twice[0]], order[twice[0] + 1]
        rows.fail(int(again), period, f"row {before} already has this person and {period}", "keep one of them")
    if len(extra := np.flatnonzero(~np.isin(key, wanted))):
        rows.fail(int(extra[0]), period, f"{where} has no step of this person then", "keep the rows to be predicted")
    place = np.searchsorted(ordered, wanted).clip(max=len(ordered) - 1)
    if len(missing := np.flatnonzero(ordered[place] != wanted)):
        name, when = (long[column][int(missing[0])].as_py() for column in ("person", "year"))
        when = period_label(when, time_unit(long))
        raise ValueError(
            f"person '{name}', column '{period}', value {when}: there is no such row, as for {len(missing):,} of the "
            f"{len(wanted):,} steps of {where}; predict all of them, each person's first one too"
        )
    return order[place]


@dataclass(frozen=True)
class _Steps:
    """The steps of careers and the rows of an outside table about them, whose columns are read with checks.

    Args:
        rows: The outside table.
        row: `(steps,)`: the row of each step.
        previous, occupation: `(steps,)`: places in `labels` of y_{t-1}, -1 at first steps, and of y_t.
        labels: The label set.
    """

    rows: LongTable
    row: np.ndarray
    previous: np.ndarray
    occupation: np.ndarray
    labels: Sequence[str]

    def refuse(self, wrong: np.ndarray, name: str, problem: str, fix: str) -> None:
        """Raises a ValueError about the first of the steps at which a column is wrong, if there is one."""
        if wrong.any():
            self.rows.fail(int(self.row[int(wrong.argmax())]), name, problem, fix)

    def read(self, name: str) -> np.ndarray:
        """`(rows,)` float64: a column of the outside table; NaN where it is missing, infinite if it is no number."""
        try:
            numbers, unreadable = read_numbers(self.rows.table[name])
        except (TypeError, pa.ArrowException) as error:
            raise ValueError(f"column '{name}' cannot be read as numbers: {error}; convert it first") from error
        return np.where(unreadable, np.inf, numbers)

    def numbers(
        self, name: str, ends: tuple[float, float], what: str, fix: str, needed: np.ndarray | bool = True
    ) -> np.ndarray:
        """`(steps,)` float64: a column of numbers between two ends, wherever they are needed."""
        numbers = self.read(name)[self.row]
        # Comparisons with NaN are false.
        inside = (numbers >= ends[0]) & (numbers <= ends[1])
        self.refuse(~inside & needed, name, f"it must be {what}", fix)
        return numbers

    def texts(self, name: str) -> np.ndarray:
        """`(steps,)` objects: a column of labels, none of which may be missing."""
        return np.array(self.rows.labels(name, required=True).to_pylist(), dtype=object)[self.row]

    def check_occupation(self) -> None:
        """Compares the column `occupation` with that of the careers."""
        wanted = np.array(self.labels, dtype=object)[self.occupation]
        differs = self.texts("occupation") != wanted
        problem = f"the careers have '{wanted[int(differs.argmax())]}'"
        self.refuse(differs, "occupation", problem, "predict these careers, or leave the column out")

    def unknown(self) -> np.ndarray:
        """`(steps,)` bool: steps from or to an occupation that the program does not know.

        They are left out where models are compared, so all steps from and to such an occupation have to be marked.
        """
        values = np.array([text.lower() for text in self.texts("unknown")], dtype=object)
        unknown = (values == "true") | (values == "1")
        is_truth = unknown | (values == "false") | (values == "0")
        self.refuse(~is_truth, "unknown", "it must be true or false", "correct it, or leave the column out")
        later, known = self.previous >= 0, np.zeros(len(self.labels), dtype=bool)
        known[self.occupation[~unknown]] = known[self.previous[~unknown & later]] = True
        expected = ~known[self.occupation] | (later & ~known[self.previous])
        problem = "other steps from or to the same occupations say otherwise"
        self.refuse(unknown != expected, "unknown", problem, "mark all steps from and to an unknown occupation")
        return unknown

    def probabilities(self, label_of_name: Mapping[str, str], truth: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """`(steps, columns)`: the columns p(LABEL), in their order."""
        what, fix = "a probability, between 0 and 1", "give every label a probability at every step"
        columns = [self.numbers(name, (0.0, 1.0 + ROUNDING), what, fix) for name in label_of_name]
        found = np.stack(columns, axis=1) if columns else np.zeros((len(self.row), 0))
        total, is_whole = found.sum(axis=1), len(label_of_name) == len(self.labels)
        wrong = (total > 1 + SUM_TOLERANCE) | (is_whole & (total < 1 - SUM_TOLERANCE))
        if wrong.any():
            step = int(wrong.argmax())
            row = int(self.row[step])
            raise ValueError(
                f"person '{self.rows.people[row].as_py()}', row {row}, columns p(LABEL), value {total[step]:.6g}: it "
                f"is the sum over {len(label_of_name)} of {len(self.labels)} labels, and must "
                f"{'be 1' if is_whole else 'not be above 1'}; divide the probabilities by their sum"
            )
        places = {label: place for place, label in enumerate(self.labels)}
        for number, (name, label) in enumerate(label_of_name.items()):
            wrong = (self.occupation == places[label]) & ~unknown & ~_close(found[:, number], truth)
            problem = f"this is what happened, and exp(log_prob) is {truth[int(wrong.argmax())]:.6g}"
            self.refuse(wrong, name, problem, "make log_prob the natural log of this probability")
        return found

    def given(self, name: str) -> np.ndarray:
        """`(steps,)` float64: a column that transition tables have; null everywhere if it is empty."""
        if np.isnan(self.read(name)).all():
            return np.full(len(self.row), np.nan)
        fix = "correct it, or leave the column out"
        if name == "rank":
            ranks = self.numbers(name, (1.0, LARGEST), "a rank, a whole number from 1", fix)
            self.refuse(ranks % 1 != 0, name, "it must be a whole number", fix)
            return ranks
        needed = np.full(len(self.row), True) if name == "p_top" else self.previous >= 0
        numbers = self.numbers(name, (0.0, 1.0 + ROUNDING), "a probability, between 0 and 1", fix, needed)
        return np.where(needed, numbers, np.nan)

    def check_given(self, scores: Mapping[str, np.ndarray], truth: np.ndarray, unknown: np.ndarray) -> None:
        """Refuses what columns of a transition table cannot say of steps whose truth has these probabilities."""
        p_stay, p_top, rank = (scores[name] for name in GIVEN)
        fix, stayed = "correct it, or leave the column out", self.previous == self.occupation
        differs = ~np.isnan(p_stay) & ~_close(p_stay, truth)
        self.refuse(stayed & ~unknown & differs, "p_stay", "exp(log_prob) of this stay is another", fix)
        too_large = p_stay + truth > 1 + SUM_TOLERANCE
        self.refuse(~stayed & ~unknown & too_large, "p_stay", "with exp(log_prob) of this move it is above 1", fix)
        for other in (truth, p_stay):
            below = (p_top < other) & ~_close(p_top, other)
            self.refuse(below, "p_top", "another probability of this step is larger", fix)
        differs = ~np.isnan(p_top) & ~_close(p_top, truth)
        self.refuse((rank == 1) & differs, "rank", "p_top is not exp(log_prob)", fix)


def _close(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.isclose(found, wanted, rtol=SUM_TOLERANCE, atol=ROUNDING)


__all__ = ["is_outside_table", "outside_table"]
