"""Vocabularies: the labels of careers, and the id of each label. An id is a place in an ordered list."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from reprlib import repr as short
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..careers.columns import RESERVED_NAMES, is_list, is_text, list_lengths, list_values, sort_labels
from ..careers.periods import period_label, plural, time_unit


MISSING = "missing"


def label_counts(labels: pa.Array) -> dict[str, int]:
    """The number of times that each label occurs."""
    counts = pc.value_counts(labels)
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))


def by_frequency(counts: Mapping[str, int]) -> list[str]:
    """Labels from the most to the least frequent, with ties by label."""
    return sorted(counts, key=lambda label: (-counts[label], label))


def learn_levels(table: pa.Table, name: str) -> list[str]:
    """The sorted levels of a covariate (as numbers if all are numbers), without "missing"."""
    labels = pc.unique(_covariate_labels(table, name))
    return [level for level in sort_labels(labels).to_pylist() if level != MISSING]


def hash_of_levels(levels: Sequence[str]) -> str:
    """The SHA-256 of a covariate's levels in the order of their ids, in hexadecimal."""
    return sha256(json.dumps(list(levels)).encode()).hexdigest()


def occupation_codes(
    table: pa.Table,
    occupations: Sequence[str],
    special_token_ids: Sequence[int],
    unknown_occupation: str | None,
    first_row: int = 0,
) -> tuple[np.ndarray, int]:
    """The ids of occupations, `(person-years,)` in int32, and the number of those that became the unknown occupation.

    The first career of the table is in row `first_row` of all careers.

    Raises:
        ValueError: If an occupation is not known and there is no unknown occupation.
    """
    labels = list_values(table, "occupation")
    codes = index_occupations(labels, occupations, special_token_ids)
    unknown = codes < 0
    if unknown.any() and unknown_occupation is None:
        step = int(np.argmax(unknown))
        fail(
            table,
            _row_of_step(table, step),
            step,
            f"occupation {labels[step].as_py()!r} is not among the {len(occupations) - len(special_token_ids)} known "
            "ones; correct it, add it with processor.extend(careers), or fit with unknown_occupation='unknown' (in "
            "train: occupations=, with 'unknown' among them; finetune adds the occupations of its careers)",
            first_row,
        )
    if unknown.any():
        codes[unknown] = occupations.index(str(unknown_occupation))
    return codes, int(unknown.sum())


def index_occupations(labels: pa.Array, occupations: Sequence[str], special_token_ids: Sequence[int]) -> np.ndarray:
    """The ids of occupation labels in int32, -1 where a label is unknown; the label of a special id is unknown."""
    codes = index_labels(labels, occupations)
    for special in special_token_ids:
        codes[codes == special] = -1
    return codes


def index_labels(labels: pa.Array, vocabulary: Sequence[str]) -> np.ndarray:
    """The place of each label in the vocabulary, in int32; -1 where the vocabulary does not have it."""
    kind = pa.large_string() if pa.types.is_large_string(labels.type) else pa.string()
    places = _without_nulls(pc.index_in(labels, value_set=pa.array(vocabulary, kind)), -1)
    return places.to_numpy(zero_copy_only=False).astype(np.int32)


def _without_nulls(values: pa.Array, value: int | str) -> pa.Array:
    """An array whose nulls are replaced; without a copy if it has none, which saves time for a single career."""
    return pc.fill_null(values, value) if values.null_count else values


def year_of(level: str) -> int | None:
    """The year that a level of the covariate "year" names; None of levels such as "missing"."""
    try:
        return int(level)
    except ValueError:
        return None


def nearest_years(table: pa.Table, levels: Sequence[str]) -> np.ndarray:
    """For each year of careers the level of the covariate "year" that is nearest, the earlier of two, in int32."""
    places = {year: i for i, level in enumerate(levels) if (year := year_of(level)) is not None}
    known = np.array(sorted(places))
    years = list_values(table, "year").to_numpy()
    after = np.searchsorted(known, years).clip(1, len(known) - 1) if len(known) > 1 else np.zeros(len(years), int)
    before = np.maximum(after - 1, 0)
    nearest = known[np.where(years - known[before] <= known[after] - years, before, after)]
    return np.array([places[year] for year in nearest.tolist()], dtype=np.int32)


def level_codes(
    table: pa.Table, name: str, levels: Sequence[str], unknown_is_missing: bool, first_row: int = 0
) -> tuple[np.ndarray, int, str]:
    """The ids of a covariate's levels, `(person-years,)` in int32, the number of unknown ones, now "missing", and a
    sentence that names these.

    The first career of the table is in row `first_row` of all careers.

    Raises:
        ValueError: If the covariate is not a column, or a level is not known and `unknown_is_missing` is False.
    """
    labels = _covariate_labels(table, name)
    codes = index_labels(_without_nulls(labels, MISSING), levels)
    per_person = len(codes) == table.num_rows and name != "year" and not is_list(table.schema.field(name).type)
    unknown = codes < 0
    problem = ""
    if unknown.any():
        place = int(np.argmax(unknown))
        trained = f"levels {', '.join(levels[1:9])}{' and others' if len(levels) > 9 else ''}"
        label, unit = labels[place].as_py(), time_unit(table)
        if name == "year" and len(levels) > 1:
            years = [year for year in map(year_of, levels[1:]) if year is not None]
            label = period_label(label, unit)
            ends = [period_label(year, unit) for year in (min(years), max(years))] if years else []
            trained = f"{plural(unit)}, {' to '.join(ends)}" if years else trained
        if not unknown_is_missing:
            row = place if per_person else _row_of_step(table, place)
            step = int(list_lengths(table, "year")[:row].sum()) if per_person else place
            fail(
                table,
                row,
                step,
                f"{label!r} of covariate '{name}' is not among the trained {trained}; correct it, add it "
                "with processor.extend(careers), or encode with unknown_levels='missing'",
                first_row,
            )
        unknown_labels = pc.unique(labels.filter(pa.array(unknown))).to_pylist()
        if name == "year":
            unknown_labels = [period_label(one, unit) for one in unknown_labels]
        problem = (
            f"{short(unknown_labels)} of covariate '{name}' are not among the trained {trained}, and count as missing"
        )
    codes[unknown] = 0
    if per_person:
        lengths = list_lengths(table, "year")
        codes, unknown = np.repeat(codes, lengths), np.repeat(unknown, lengths)
    return codes, int(unknown.sum()), problem


def unused_columns(columns: Collection[str], covariates: Collection[str]) -> str | None:
    """A sentence on columns that a model has no use for, where it lacks covariates that they may be; None without any.

    Args:
        columns: Columns that the caller gives.
        covariates: Covariates that the caller may give.
    """
    absent = [name for name in covariates if name not in columns]
    unused = [name for name in columns if name not in (*RESERVED_NAMES, *covariates)]
    if not absent or not unused:
        return None
    return (
        f"columns {short(unused)} are not used, because the model has no such covariates; its covariates {absent} are "
        "not among the columns: rename a column that holds one of them"
    )


def fail(table: pa.Table, row: int, step: int, problem: str, first_row: int = 0) -> NoReturn:
    """Raises a ValueError about one person-year; `step` counts the person-years of the table from 0."""
    person, year, unit = table["person"][row].as_py(), list_values(table, "year")[step].as_py(), time_unit(table)
    raise ValueError(f"person '{person}', row {first_row + row}, {unit} {period_label(year, unit)}: {problem}")


def _covariate_labels(table: pa.Table, name: str) -> pa.Array:
    """A covariate's labels, one per person-year or, for a static covariate, one per person."""
    if name not in table.column_names:
        raise ValueError(
            f"careers have no covariate '{name}', only {table.column_names}: add it, rename the column that has it "
            f"(careers.rename_column(COLUMN, '{name}'), or --rename {name}=COLUMN where a checkpoint of the original "
            "is converted), or fit without it"
        )
    if name == "year":
        return list_values(table, name).cast(pa.string())
    column_type = table.schema.field(name).type
    if is_list(column_type) and is_text(column_type.value_type):
        return list_values(table, name)
    if is_text(column_type):
        return pa.concat_arrays(table[name].chunks) if table[name].chunks else pa.array([], pa.string())
    raise ValueError(
        f"column '{name}' has type {column_type} and is no covariate: pass it to from_frame in covariates= or static="
    )


def _row_of_step(table: pa.Table, step: int) -> int:
    """The row of the career that has a person-year."""
    return int(np.searchsorted(np.cumsum(list_lengths(table, "year")), step, side="right"))
