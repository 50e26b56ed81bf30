"""Columns of careers in Arrow: a long table's columns read as labels, years or numbers, careers as one plain table.

A frame may hold pandas categoricals, polars string views, Arrow dictionaries or numbers as text: this module returns
plain string or float64 arrays, or raises a ValueError that names person, row, column and value.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from reprlib import repr as short
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from ..occupations.normalising import LARGEST_EXACT, TOO_LARGE, WHOLE_WITH_POINT, label_of
from .periods import TIME_UNIT, WRITTEN, TimeUnit, UnreadablePeriodError, period_column, read_periods


RESERVED_NAMES = ("person", "year", "occupation", "weight", "stratum", "psu", "group", TIME_UNIT)
# The largest part of careers that is in memory at once where careers are gone through part by part.
PIECE_PEOPLE, PIECE_BYTES = 250_000, 256 << 20
NUMBER_PATTERN = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def read_labels(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Reads any column as labels by the rule of `occupations.normalising`: 12, 12.0 and "12.0" all become "12".

    Returns:
        A string array.

    Raises:
        TypeError: If the type has no obvious label (lists, structs, binary), or floats are too large to be told apart.
    """
    if isinstance(column, pa.ChunkedArray):
        return pa.concat_arrays([read_labels(chunk) for chunk in column.chunks] or [pa.array([], pa.string())])
    kind = column.type
    if pa.types.is_dictionary(kind):
        return read_labels(column.dictionary).take(column.indices)
    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    # The storage of an extension type, such as the month number of a period, is not what a reader sees.
    if pa.types.is_nested(kind) or is_bytes or isinstance(kind, pa.BaseExtensionType):
        raise TypeError(f"values of type {kind} are not labels")
    if pa.types.is_decimal(kind):
        column = pc.replace_substring_regex(column.cast(pa.string()), r"(\.[0-9]*?)0+$", r"\1")
        return pc.replace_substring_regex(column, r"\.$", "")
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.is_finite(column))
        if pc.any(pc.and_(whole, pc.greater_equal(pc.abs(column), LARGEST_EXACT))).as_py():
            raise TypeError(TOO_LARGE)
        as_integers = pc.if_else(whole, column, None).cast(pa.int64()).cast(pa.string())
        return pc.if_else(whole, as_integers, column.cast(pa.string()))
    labels = column.cast(pa.string())
    if is_text(kind):
        labels = pc.replace_substring_regex(pc.utf8_trim_whitespace(labels), WHOLE_WITH_POINT, r"\1")
    empty = pc.equal(labels, "")
    return pc.if_else(empty, pa.scalar(None, pa.string()), labels) if pc.any(empty).as_py() else labels


def read_numbers(column: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Reads any column as float64; nulls become NaN.

    Returns:
        The numbers, and a boolean mask of the values that are neither null nor a number ("19x0", dates, booleans).
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        numbers = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
        return numbers, np.zeros(len(numbers), dtype=bool)
    if pa.types.is_temporal(kind) or pa.types.is_boolean(kind):
        return np.full(len(column), np.nan), pc.is_valid(column).to_numpy(zero_copy_only=False)
    labels = pc.utf8_trim_whitespace(read_labels(column))
    readable = pc.match_substring_regex(labels, NUMBER_PATTERN)
    numbers = pc.if_else(readable, labels, pa.scalar(None, pa.string())).cast(pa.float64())
    unreadable = pc.and_not(pc.is_valid(labels), pc.fill_null(readable, False))
    return numbers.to_numpy(zero_copy_only=False), unreadable.to_numpy(zero_copy_only=False)


def sort_labels(labels: pa.Array) -> pa.Array:
    """Sorts distinct labels: as numbers where every label is a whole number ("9" before "10"), else as text."""
    labels = labels.drop_null()
    keys = {"label": labels}
    order = [("label", "ascending")]
    if pc.all(pc.match_substring_regex(labels, r"^-?\d{1,18}$")).as_py():
        keys["number"] = labels.cast(pa.int64())
        order.insert(0, ("number", "ascending"))
    return labels.take(pc.sort_indices(pa.table(keys), sort_keys=order))


def read_file(path: str | Path) -> pd.DataFrame:
    """Reads a table from a Parquet file, or from a CSV file (also compressed), whose cells stay text, as codes must.

    Raises:
        ValueError: If it is no such file; the message names it.
    """
    try:
        if Path(path).suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error


def read_table(frame: Any, columns: Sequence[str]) -> pa.Table:
    """Selects columns of a pandas, polars, duckdb or Arrow table, a dict of columns or a `datasets.Dataset`.

    Raises:
        ValueError: If a column is missing (the message lists the table's columns), or the frame is not a table.
    """
    if hasattr(frame, "with_format"):
        frame = frame.with_format("arrow")[:]
    if hasattr(frame, "assign"):
        _check_missing(columns, [*frame.columns, *(name for name in frame.index.names if name is not None)])
        frame = _plain_pandas(frame, columns)
    elif isinstance(frame, Mapping):
        _check_missing(columns, frame)
        frame = _plain_columns(frame, columns)
    elif getattr(frame, "ndim", 2) == 1:
        raise ValueError(
            f"a {type(frame).__name__} is one row or column of a table: pass the table, one row per person and year"
        )
    try:
        table = pa.table(frame)
    except pa.ArrowException as error:
        raise ValueError(f"a column mixes types ({error}): make each column all numbers or all text") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"a {type(frame).__name__} is not a table: pass a pandas, polars or Arrow table") from error
    _check_missing(columns, table.column_names)
    return table.select(list(dict.fromkeys(columns)))


def _check_missing(columns: Sequence[str], present: Collection[str]) -> None:
    missing = [name for name in columns if name not in present]
    if missing:
        raise ValueError(
            f"column '{missing[0]}' is not in the table, whose columns are {list(present)}: rename it, or "
            "name the column that holds it (for instance person='caseid')"
        )


def _plain_pandas(frame: Any, columns: Sequence[str]) -> Any:
    """A pandas frame whose columns Arrow can hold: periods, intervals and values of mixed types become labels.

    Raises:
        ValueError: If two columns have one name, or a value has no label.
    """
    names = [name for name in dict.fromkeys(columns) if name in frame]
    for name in names:
        if frame[name].ndim > 1:
            raise ValueError(f"the table has two columns '{name}': rename or drop one")
    labels = {}
    for name in names:
        # Categories can mix types too, as in a Stata file that labels only some values.
        values = getattr(frame[name].dtype, "categories", frame[name])
        kind = values.dtype
        is_mixed = (
            kind.kind == "O" and type(kind).__module__.startswith("numpy") and not _fits_arrow(values.astype(object))
        )
        if is_mixed or type(kind).__name__ in ("PeriodDtype", "IntervalDtype"):
            try:
                labels[name] = [label_of(value) for value in frame[name].astype(object)]
            except (TypeError, ValueError) as error:
                raise ValueError(f"column '{name}' cannot be read as labels: {error}") from error
    indexes = [name for name in frame.index.names if name in columns and name not in names]
    plain = frame[names].assign(**labels)
    return plain.reset_index(level=indexes) if indexes else plain


def _plain_columns(frame: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Columns of a mapping as Arrow can hold them, by the rules for pandas: NaN is missing, mixed types are labels.

    Raises:
        ValueError: Columns are no lists or differ in length, or a value has no label.
    """
    plain = {name: frame[name] for name in columns}
    lengths: dict[str, int] = {}
    for name, values in plain.items():
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise ValueError(f"column '{name}' is {short(values)}, and must be a list with one value per row")
        lengths[name] = len(values)
        first = next(iter(lengths))
        if lengths[name] != lengths[first]:
            raise ValueError(
                f"column '{name}' has {lengths[name]} values, but '{first}' has {lengths[first]}: give one per row"
            )
        if not isinstance(values, pa.Array | pa.ChunkedArray):
            try:
                plain[name] = pa.array(values, from_pandas=True)
            except (pa.ArrowException, OverflowError):
                plain[name] = pa.array(_labels(name, values), pa.string())
            # Of periods Arrow has numbers.
            if isinstance(plain[name].type, pa.BaseExtensionType):
                plain[name] = pa.array(_labels(name, values), pa.string())
    return plain


def _labels(name: str, values: Any) -> list[str | None]:
    labels = []
    for row, value in enumerate(values):
        try:
            labels.append(label_of(value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"row {row}, column '{name}', value {short(value)} is no label: {error}") from error
    return labels


def _fits_arrow(values: Any) -> bool:
    kinds = {type(value) for value in values}
    if len(kinds) > 1 and kinds & {np.datetime64, np.timedelta64}:
        return False  # beside other values Arrow ends the process on these
    try:
        pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return False
    return True


class LongTable:
    """A long table (one row per person and year) whose readers name the person and row of a value they cannot read.

    Args:
        frame: pandas, polars, duckdb or Arrow table.
        person: Name of the column that identifies people.
        columns: Names of the other columns that will be read.
        rows: Number that each row has in the user's table, for errors; counted from 0 unless given.

    Raises:
        ValueError: If a column is missing, the table has no rows, or a row has no person.
    """

    def __init__(self, frame: Any, person: str, columns: Sequence[str], rows: np.ndarray | None = None) -> None:
        self.table = read_table(frame, [person, *columns])
        if self.table.num_rows == 0:
            raise ValueError("the table has no rows: pass one row per person and year")
        self.rows = np.arange(self.table.num_rows) if rows is None else rows
        self.people = self.labels(person)
        unnamed = np.flatnonzero(pc.is_null(self.people))
        if len(unnamed):
            raise ValueError(
                f"row {self.rows[unnamed[0]]}, column '{person}': no person is named; drop the row or name its person"
            )
        self.person = person

    def filter(self, selected: np.ndarray) -> LongTable:
        """The rows that a mask selects, which keep their numbers; at least one."""
        return LongTable(
            self.table.filter(pa.array(selected)), self.person, self.table.column_names, self.rows[selected]
        )

    def replace(self, name: str, values: pa.Array) -> LongTable:
        """The table with other values in a column."""
        table = self.table.set_column(self.table.column_names.index(name), name, values)
        return LongTable(table, self.person, table.column_names, self.rows)

    def fail(self, row: int, name: str, problem: str, fix: str) -> NoReturn:
        """Raises the ValueError for one cell; rows count from 0 in the order of the frame."""
        person, value = self.people[row].as_py(), self.table[name][row].as_py()
        raise ValueError(
            f"person '{person}', row {self.rows[row]}, column '{name}', value {value!r}: {problem}; {fix}"
        )

    def labels(self, name: str, required: bool = False) -> pa.Array:
        """Reads a column as labels; `required` refuses missing ones."""
        try:
            labels = read_labels(self.table[name])
        except (TypeError, pa.ArrowException) as error:
            raise ValueError(f"column '{name}' cannot be read as labels: {error}; convert it to text first") from error
        if required and labels.null_count:
            row = int(np.flatnonzero(pc.is_null(labels))[0])
            self.fail(row, name, "the value is missing", "drop the row or give it a label")
        return labels

    def numbers(self, name: str) -> np.ndarray:
        """Reads a column as float64 with NaN for missing values; infinite and unreadable values are errors."""
        numbers, unreadable = self._read_numbers(name)
        refused = np.flatnonzero(unreadable | np.isinf(numbers))
        if len(refused):
            self.fail(int(refused[0]), name, "not a finite number", "correct it, or leave it empty if it is missing")
        return numbers

    def _read_numbers(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        try:
            return read_numbers(self.table[name])
        except (TypeError, pa.ArrowException) as error:
            raise ValueError(f"column '{name}' cannot be read as numbers: {error}; convert it first") from error

    def periods(self, name: str, unit: str | None = None) -> tuple[np.ndarray, TimeUnit]:
        """Reads a column as int64 numbers of periods, with their unit; what names no period is an error.

        Args:
            name: The column.
            unit: The unit; that of the values unless given, as in `read_periods`.
        """
        column = self.table[name]
        if not pa.types.is_temporal(column.type):
            # Whole numbers and their texts, which nearly all tables have, are read without a look at each.
            numbers, unreadable = self._read_numbers(name)
            with np.errstate(invalid="ignore"):
                whole = ~unreadable & (np.floor(numbers) == numbers) & (np.abs(numbers) < 10_000)
            if unit in (None, "year") and whole.all():
                return numbers.astype(np.int64), "year"
        try:
            return read_periods(column, unit)
        except UnreadablePeriodError as error:
            problem = error.said(lambda row: f"the value in row {self.rows[row]}")
            self.fail(error.place, name, problem, f"{error.fix}; correct or drop the row")
        except (TypeError, pa.ArrowException) as error:
            word = unit or "year"
            raise ValueError(f"column '{name}' cannot be read as {word}s: {error}; {WRITTEN[word]}") from error


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds one list per person."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def has_row_per_person(table: Any) -> bool:
    """Whether this is a dataset with one row per person, as careers are, and not one row per person and year."""
    schema = table.data.schema if isinstance(table, Dataset) else pa.schema([])
    return "occupation" in schema.names and is_list(schema.field("occupation").type)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds labels."""
    # Polars writes string views.
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def make_dataset(columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> Dataset:
    """A `datasets.Dataset` of these columns."""
    table = pa.table(columns)
    return Dataset(table, fingerprint=_fingerprint(table))


def _fingerprint(table: pa.Table) -> str:
    """A hash of a table, read from its buffers: datasets would make its own from a pickled copy of the table."""
    digest = blake2b(repr(table.schema).encode(), digest_size=8)
    for column in table.columns:
        for chunk in column.chunks:
            _hash_array(chunk, digest)
    return digest.hexdigest()


def _hash_array(array: pa.Array, digest: Any) -> None:
    digest.update(f"{array.offset} {len(array)}".encode())
    for buffer in array.buffers():
        digest.update(b"-" if buffer is None else memoryview(buffer))


def career_table(careers: Dataset) -> pa.Table:
    """A `datasets.Dataset` as one Arrow table, every column in one chunk, in the order of the dataset's rows."""
    # A dataset whose rows were not rearranged is its table; reading it row by row would take a millisecond longer.
    table = careers.data.table if careers._indices is None else careers.with_format("arrow")[:]
    return table.combine_chunks()


def career_pieces(careers: Dataset, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Careers as Arrow tables of some of their rows each, in order, so that memory does not grow with the careers.

    What is computed piece by piece also has no trouble with labels of more than 2 GiB, which one Arrow array of text
    cannot hold. Few careers are one piece, as `career_table` returns it.

    Args:
        careers: Careers, one row per person.
        columns: The columns to take; all of them if None.
    """
    if columns is not None and careers._indices is not None:
        careers, columns = careers.select_columns(list(columns)), None
    table = careers.data.table if columns is None else careers.data.table.select(list(columns))
    usual = PIECE_BYTES * table.num_rows // max(table.nbytes, 1)
    first = 0
    while first < max(len(careers), 1):
        people = max(1, min(PIECE_PEOPLE, usual, len(careers) - first))
        piece = _rows(careers, table, first, people)
        while piece.nbytes > PIECE_BYTES and people > 1:
            people //= 2
            piece = _rows(careers, table, first, people)
        yield piece.combine_chunks()
        first += people


def _rows(careers: Dataset, table: pa.Table, first: int, people: int) -> pa.Table:
    if careers._indices is None:
        return table.slice(first, people)
    return careers.with_format("arrow")[first : first + people]


def list_values(table: pa.Table, name: str) -> pa.Array:
    """The values of a list column, one after another."""
    chunks = [chunk.flatten() for chunk in table[name].chunks]
    return pa.concat_arrays(chunks or [pa.array([], table.schema.field(name).type.value_type)])


def list_lengths(table: pa.Table, name: str) -> np.ndarray:
    """The length of each list of a list column, int64; -1 for a null list."""
    lengths = pc.fill_null(pc.list_value_length(table[name]), -1)
    return np.asarray(lengths.to_numpy(), dtype=np.int64)


def is_weight(numbers: np.ndarray) -> np.ndarray:
    """Which numbers are survey weights: finite, and positive or 0."""
    return (numbers >= 0) & np.isfinite(numbers)


def weights_by_step(table: pa.Table) -> np.ndarray:
    """`(steps,)` survey weights of careers, whether they have one per person or one per year; ones without weights."""
    lengths = list_lengths(table, "year")
    if "weight" not in table.column_names:
        return np.ones(int(lengths.sum()))
    if is_list(table.schema.field("weight").type):
        return np.asarray(list_values(table, "weight"), dtype=np.float64)
    return np.repeat(np.asarray(table["weight"], dtype=np.float64), lengths)


def weights_by_person(table: pa.Table) -> np.ndarray:
    """`(people,)` survey weights: each person's mean over the years, where weights change; ones without weights."""
    if "weight" in table.column_names and not is_list(table.schema.field("weight").type):
        return np.asarray(table["weight"], dtype=np.float64)
    weights, lengths = weights_by_step(table), list_lengths(table, "year")
    # From each person's first weight, so that the mean of equal weights is exactly their value.
    first = weights[lengths.cumsum() - lengths]
    person = np.repeat(np.arange(len(lengths)), lengths)
    return first + np.bincount(person, weights=weights - first[person], minlength=len(lengths)) / lengths


def with_weights(careers: Any, weighted: bool) -> Any:
    """Careers for a computation that is weighted, or is not: the one rule of everything that has `weighted=`.

    Nothing is weighted unless it is asked for.

    Args:
        careers: Careers, one row per person, in memory or in files (`shards.CareerShards`).
        weighted: Whether survey weights are used.

    Returns:
        The careers; without their column `weight` unless `weighted`.

    Raises:
        ValueError: Weights are asked for, and careers have none, or only zeros.
    """
    if not weighted:
        kept = [name for name in careers.column_names if name != "weight"]
        return careers.select_columns(kept) if "weight" in careers.column_names else careers
    if "weight" not in careers.column_names:
        raise ValueError("weighted: the careers have no column 'weight'")
    # Careers in files are gone through part by part.
    parts = [careers] if isinstance(careers, Dataset) else careers
    if len(careers) and not any(weights_by_step(piece).any() for part in parts for piece in career_pieces(part)):
        raise ValueError("weighted: column 'weight' is 0 for everybody in every year, so nothing would count")
    return careers


def select_steps(table: pa.Table, selected: np.ndarray) -> tuple[dict[str, pa.Array | pa.ChunkedArray], np.ndarray]:
    """Keeps some steps of careers, without the people who have none of them.

    Args:
        table: Careers, as `career_table` returns them.
        selected: Mask of the steps to keep, person by person.

    Returns:
        The columns of the remaining careers, and the `(people,)` mask of the people who remain.
    """
    lengths = list_lengths(table, "year")
    steps = np.bincount(np.repeat(np.arange(len(lengths)), lengths)[selected], minlength=len(lengths))
    remains = steps > 0
    offsets = pa.array(np.append(0, steps[remains].cumsum()), pa.int32())
    columns = {}
    for field in table.schema:
        if is_list(field.type):
            columns[field.name] = pa.ListArray.from_arrays(offsets, list_values(table, field.name).filter(selected))
        else:
            columns[field.name] = table[field.name].filter(remains)
    return columns, remains


def one_career(career: Mapping[str, Any], covariates: Sequence[str], unit: TimeUnit = "year") -> Mapping[str, Any]:
    """Turns one person's lists into a long table; a mapping with a list of people is a long table already.

    Args:
        career: `occupation`, `year` (or the unit), the covariates and optionally `person`; each a list or a single
            value.
        covariates: Names of the covariates to take.
        unit: The unit of the periods.

    Raises:
        ValueError: If something is missing, lists differ in length, or years do not increase.
    """
    if "person" in career and not isinstance(career["person"], str | int):
        return career
    columns: dict[str, Any] = {"person": [career.get("person", "1")]}
    period = period_column(career, unit)
    for name in dict.fromkeys(["occupation", period, *covariates]):
        if name not in career:
            raise ValueError(f"the career has no '{name}', only {list(career)}: add it (one value per {unit})")
        value = career[name]
        columns[name] = [value] if isinstance(value, str) or not hasattr(value, "__len__") else list(value)
    steps = len(columns["occupation"])
    for name, values in columns.items():
        if len(values) not in (1, steps):
            raise ValueError(f"'{name}' has {len(values)} values, but 'occupation' has {steps}: give one per {unit}")
    years = columns[period]
    numbers = years if unit == "year" else _period_numbers(period, years, unit)
    if any(later <= earlier for earlier, later in zip(numbers, numbers[1:], strict=False)):
        raise ValueError(f"'{period}' {years} does not increase: sort the career by {unit}, one step per {unit}")
    return {name: values if len(values) == steps else values * steps for name, values in columns.items()}


def _period_numbers(name: str, values: list[Any], unit: TimeUnit) -> list[int]:
    try:
        return [int(number) for number in read_periods(values, unit)[0]]
    except UnreadablePeriodError as error:
        problem = error.said(lambda place: repr(values[place]))
        raise ValueError(f"'{name}' has the value {values[error.place]!r}, {problem}: {error.fix}") from None
