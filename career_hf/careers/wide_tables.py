"""Wide tables, with one row per person and one column per period, as sequence analysis keeps them; and back.

A column's name says its period (`periods` lists how it may be written), or the user does. A missing cell means that
the person is not observed in that period, before, after or between others; `widen` writes gaps in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..occupations.normalising import label_of
from .columns import LongTable, is_text, list_lengths, list_values
from .periods import TimeUnit, UnreadablePeriodError, finer_hint, period_label, read_periods


# Columns of periods in a wide table: "first:last", a list, or the period by the column's name.
Periods = str | Collection[Any] | Mapping[Any, Any]


def is_wide(frame: Any, year: Any) -> bool:
    """Whether `year` names several columns of a wide table, and not the column of a long one."""
    return not isinstance(year, str) or (":" in year and year not in column_names(frame))


def with_text_names(frame: Any) -> Any:
    """The frame; one of pandas whose columns are dates or periods gets their labels as names."""
    if isinstance(frame, pd.DataFrame) and not all(isinstance(name, str) for name in frame.columns):
        return frame.set_axis([str(name) for name in frame.columns], axis=1)
    return frame


def column_names(frame: Any) -> list[str]:
    """Names of the columns of a table of any library, in its order; none of what is no table."""
    names = getattr(frame, "column_names", getattr(frame, "columns", None))
    if isinstance(frame, Mapping):
        names = list(frame)
    return [] if names is None or callable(names) else [str(name) for name in names]


def period_columns(frame: Any, year: Periods) -> dict[str, Any]:
    """The columns of periods, and what says the period of each: its name, or the user.

    Args:
        frame: A wide table.
        year: Columns of periods, as `from_frame` takes them.

    Raises:
        ValueError: There are no such columns, or one is named twice.
    """
    names = column_names(frame)
    if isinstance(year, Mapping):
        wanted = {str(name): period for name, period in year.items()}
    elif isinstance(year, str):
        first, _, last = year.partition(":")
        for name in (first, last):
            if name not in names:
                raise ValueError(f"year='{year}' names columns from '{first}' to '{last}', and there is no '{name}'")
        if names.index(first) > names.index(last):
            raise ValueError(f"year='{year}': column '{last}' stands before '{first}'; write the first column first")
        wanted = {name: name for name in names[names.index(first) : names.index(last) + 1]}
    elif isinstance(year, Collection):
        listed = [str(name) for name in year]
        if twice := [name for name in listed if listed.count(name) > 1]:
            raise ValueError(f"column '{twice[0]}' is named twice in year=: name it once")
        wanted = {name: name for name in listed}
    else:
        raise ValueError(f"year is {year!r}, and must be the name of a column, or the columns of a wide table")
    if not wanted:
        raise ValueError("year names no columns: list the columns of a wide table, one for each period")
    if twice := [name for name in wanted if names.count(name) > 1]:
        raise ValueError(f"the table has two columns '{twice[0]}': rename or drop one")
    return wanted


def read_period_columns(columns: Mapping[str, Any], unit: str | None, is_told: bool) -> tuple[np.ndarray, TimeUnit]:
    """The number of each column's period, and their unit.

    Args:
        columns: What says the period, by the column's name.
        unit: The unit; that of the names unless given.
        is_told: Whether the user said the periods, which then may have gaps.

    Raises:
        ValueError: A column is no period, two are the same one, or one is missing in between.
    """
    names = list(columns)
    try:
        numbers, unit = read_periods([label_of(period) for period in columns.values()], unit)
    except UnreadablePeriodError as error:
        name = names[error.place]
        told = "" if columns[name] == name else f", value {columns[name]!r}"
        problem = error.said(lambda place: f"column '{names[place]}'")
        fix = "leave the column out of year=, or say its period there, as in year={'state7': '1993-07'}"
        raise ValueError(f"column '{name}'{told}: {problem}; {error.fix}; {fix}") from None
    order = np.argsort(numbers, kind="stable")
    gaps = np.diff(numbers[order])
    if (gaps == 0).any():
        one, other = (names[i] for i in order[int(np.argmin(gaps)) :][:2])
        label = period_label(int(numbers[order][int(np.argmin(gaps))]), unit)
        raise ValueError(f"columns '{one}' and '{other}' are both {unit} {label}: drop one{finer_hint(unit)}")
    if len(gaps) and (gaps != gaps[0]).any() and not is_told:
        step = int(gaps.min())
        place = int(np.argmax(gaps != step))
        before, after = names[order[place]], names[order[place + 1]]
        label, missing = (period_label(number, unit) for number in numbers[order[place]] + np.array([0, step]))
        raise ValueError(
            f"no column is {unit} {missing}, between '{before}' and '{after}': add it; or, if nobody was asked then, "
            f"say the period of every column, as in year={{'{before}': '{label}', ...}}"
        )
    return numbers, unit


def lengthen(
    frame: Any, person: str, year: Periods, occupation: str, unit: str | None, others: Collection[str]
) -> tuple[LongTable, TimeUnit]:
    """A wide table as a long one, with a row for every person and period, also where the cell is empty.

    Args:
        frame: A table with one row per person, whose names are texts.
        person: Column that identifies people.
        year: Columns of periods, as `from_frame` takes them.
        occupation: Name of the long table's column of cells. Its periods are in a column "year".
        unit: The unit; that of the columns' names unless given.
        others: Columns that are the same in all periods.

    Raises:
        ValueError: As `period_columns` and `read_period_columns`, a person has two rows or none is named.
    """
    columns = period_columns(frame, year)
    if in_two := [name for name in (person, *others) if name in columns]:
        raise ValueError(f"column '{in_two[0]}' is in year= and has another role: name the columns of periods alone")
    numbers, unit = read_period_columns(columns, unit, isinstance(year, Mapping))
    wide = LongTable(frame, person, [*columns, *others])
    first_row = pc.index_in(wide.people, value_set=wide.people).to_numpy()
    repeated = np.flatnonzero(first_row != np.arange(len(first_row)))
    if len(repeated):
        row = int(repeated[0])
        fix = "a wide table has one row per person; drop one of the two"
        wide.fail(row, person, f"row {first_row[row]} is already this person", fix)
    cells = pa.concat_arrays([wide.labels(name) for name in columns])
    rows = np.repeat(np.arange(len(wide.people)), len(columns))
    places = np.tile(np.arange(len(columns)), len(wide.people)) * len(wide.people) + rows
    taken = pa.array(rows)
    long = {name: _plain(wide.table[name]).take(taken) for name in dict.fromkeys([person, *others])}
    long |= {"year": pa.array(np.tile(numbers, len(wide.people))), occupation: cells.take(pa.array(places))}
    return LongTable(pa.table(long), person, list(long), rows), unit


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column; the views of text that polars writes, of which Arrow takes no rows, as text."""
    return column.cast(pa.string()) if is_text(column.type) else column


def widen(table: pa.Table, unit: TimeUnit) -> pa.Table:
    """Careers as a wide table: person, the columns with one value per person, and the occupation of every period.

    Periods nobody is observed in have a column too, unless all are as many apart, as in a survey every other year.

    Raises:
        ValueError: A column has a value for each period, for which a row per person has no place.
    """
    lengths, numbers = list_lengths(table, "year"), list_values(table, "year").to_numpy().astype(np.int64)
    columns = {name: table[name] for name in table.column_names if name not in ("year", "occupation")}
    distinct = np.unique(numbers)
    step = int(np.gcd.reduce(np.diff(distinct))) if len(distinct) > 1 else 1
    grid = np.arange(distinct[0], distinct[-1] + 1, step) if len(distinct) else distinct
    rows, occupations = np.repeat(np.arange(len(lengths)), lengths), list_values(table, "occupation")
    for number in grid.tolist():
        at = np.flatnonzero(numbers == number)
        place: np.ndarray = np.full(len(lengths), -1)
        place[rows[at]] = at
        columns[period_label(number, unit)] = occupations.take(pa.array(place, mask=place < 0))
    return pa.table(columns)
