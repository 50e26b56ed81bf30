"""Checks on careers that were made or changed by hand; `from_frame` makes careers that pass them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from ..number_ranges import within_ranges
from .columns import RESERVED_NAMES, career_pieces, is_list, is_text, is_weight, list_lengths, list_values
from .periods import period_label, time_unit
from .shards import CareerShards


@within_ranges
def validate(careers: Dataset) -> None:
    """Checks careers that were made or changed by hand.

    Args:
        careers: Careers, one row per person.

    Raises:
        ValueError: If a column is missing or has the wrong type, a person appears twice, lists of one person differ in
            length, a career is empty, years do not increase, an occupation is missing, or a weight is neither positive
            nor 0.
            The message names person, row (counting from 0), column and value, and says how to fix it.
    """
    for _ in validated_pieces(careers):
        pass


def validated_pieces(careers: Dataset | CareerShards) -> Iterator[pa.Table]:
    """Careers piece by piece, as `career_pieces` returns them, each after the checks of `validate`.

    In careers that are read from files part by part, a person who is in two parts is not noticed.
    """
    first_row = 0
    for part in careers if isinstance(careers, CareerShards) else [careers]:
        check_types(part)
        if len(part):
            check_people(part)
        for piece in career_pieces(part):
            check_careers(piece, first_row)
            yield piece
            first_row += piece.num_rows


def check_people(careers: Dataset) -> None:
    """Raises a ValueError if somebody has no identifier, or two rows."""
    pieces = [piece["person"] for piece in career_pieces(careers, ["person"])]
    # Identifiers of all people may be more text than an array with small offsets holds.
    people = pa.chunked_array([chunk.cast(pa.large_string()) for piece in pieces for chunk in piece.chunks])
    named = np.asarray(pc.is_valid(people))
    first_row = pc.index_in(people, value_set=people.combine_chunks()).to_numpy()
    for good, problem in (
        (named, "no person is named; give every career an identifier"),
        (first_row == np.arange(len(people)), "the person has two rows; merge them or rename one"),
    ):
        if not good.all():
            row = int(np.argmin(good))
            person = people[row].as_py()
            raise ValueError(f"person {person!r}, row {row}, column 'person', value {person!r}: {problem}")


def check_careers(table: pa.Table, first_row: int = 0) -> None:
    """Checks some careers, of which the first is in row `first_row` of all; raises the errors of `validate`."""

    def fail(row: int, name: str, problem: str, fix: str) -> NoReturn:
        person, value = table["person"][row].as_py(), table[name][row].as_py()
        raise ValueError(
            f"person {person!r}, row {first_row + row}, column '{name}', value {value!r}: {problem}; {fix}"
        )

    def check(good: Any, name: str, problem: str, fix: str) -> None:
        good = np.asarray(good, dtype=bool)
        if not good.all():
            fail(int(np.argmin(good)), name, problem, fix)

    unit = time_unit(table)
    lengths = list_lengths(table, "year")
    check(lengths > 0, "year", "the career is empty", "drop the person or give at least one year")
    for field in table.schema:
        if is_list(field.type):
            problem, fix = "the list is not as long as the person's years", "give one value per year, null if missing"
            check(list_lengths(table, field.name) == lengths, field.name, problem, fix)

    row_of_step = np.repeat(np.arange(len(lengths)), lengths)

    def check_steps(good: Any, name: str, problem: str, fix: str) -> None:
        good = np.asarray(good, dtype=bool)
        if not good.all():
            step = int(np.argmin(good))
            row = row_of_step[step]
            value = list_values(table, name)[step].as_py()
            fail(int(row), name, f"{value!r} at step {step - (np.cumsum(lengths) - lengths)[row]} {problem}", fix)

    years = list_values(table, "year")
    check_steps(pc.is_valid(years), "year", "is not a year", "drop the step or fill in its year")
    years = years.to_numpy()
    later = np.ones(len(years), dtype=bool)
    later[1:] = (years[1:] > years[:-1]) | (row_of_step[1:] != row_of_step[:-1])
    check_steps(later, "year", "is not after the year before it", "sort the career by year and keep one step per year")
    occupations = list_values(table, "occupation")
    # Each label is looked at once, and only a label that is none is looked for among the steps.
    labels = pc.unique(occupations)
    blank = labels.filter(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(labels), ""), True))
    if len(blank):
        named = pc.invert(pc.is_in(occupations, value_set=blank))
        check_steps(named, "occupation", "is not an occupation", "drop the step or give it a label such as 'unknown'")
    if "weight" in table.column_names:
        problem, fix = (
            "not a finite weight, positive or 0",
            "correct it, or make it 0 to keep the year as history only",
        )
        if is_list(table.schema.field("weight").type):
            good = is_weight(np.asarray(list_values(table, "weight").to_numpy(zero_copy_only=False), dtype=np.float64))
            check_steps(good, "weight", f"in {period_label(years[int(np.argmin(good))], unit)} is {problem}", fix)
        else:
            check(is_weight(np.asarray(table["weight"].to_numpy(), dtype=np.float64)), "weight", problem, fix)


def check_types(careers: Dataset) -> None:
    if isinstance(careers, DatasetDict):
        one = next(iter(careers), "train")
        raise ValueError(f"careers by split name are given, {list(careers)}: give one split, such as splits['{one}']")
    if not isinstance(careers, Dataset):
        raise ValueError(
            f"careers are a datasets.Dataset with one row per person, and no {type(careers).__name__}: make them of a "
            "long table with from_frame"
        )
    schema = careers.data.schema
    for name, form in {"person": "text", "year": "lists of whole numbers", "occupation": "lists of labels"}.items():
        if name not in schema.names:
            raise ValueError(f"careers have no column '{name}' ({form}): build them with from_frame, or add it")
    for field in schema:
        kind, name = field.type, field.name
        step = kind.value_type if is_list(kind) else None
        if name == "year":
            good, form = step is not None and pa.types.is_integer(step), "lists of whole numbers"
        elif name == "occupation":
            good, form = step is not None and is_text(step), "lists of text"
        elif name == "weight":
            number = kind if step is None else step
            good = pa.types.is_floating(number) or pa.types.is_integer(number)
            form = "one number per person, or lists with one per year"
        elif name in RESERVED_NAMES:
            good, form = is_text(kind), "one text per person"
        else:
            good = is_text(kind) or (step is not None and (is_text(step) or pa.types.is_floating(step)))
            form = "text (a static covariate), lists of text (one that changes) or lists of floats (an outcome)"
        if not good:
            raise ValueError(
                f"column '{name}' has type {kind}, but must hold {form}: convert it with careers.cast_column"
            )
