"""What a careers dataset is: a `datasets.Dataset` with one row per person; long tables become careers and back.

Columns:

    person      string, unique
    year        list<int32>, strictly increasing: years, or the numbers of other periods (`periods`)
    occupation  list<string>, as long as `year`, nothing missing
    weight      float64, or list<float64> with one per year: survey weight, 0 or more  (optional)
    stratum, psu, group   string: survey design; family or household               (optional)
    time_unit   string, "quarter" or "month", the same for everybody; years have no such column
    any other column of type
        list<string>    a covariate that changes over time, null where missing
        string          a covariate that does not change, null where missing
        list<float64>   an outcome over time (log wage), null where missing

A year whose weight is 0 stays in the career as history, and counts in no weighted number. Labels are what a reader
would write, never bare ids. Every model gets its data from careers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, concatenate_datasets, load_from_disk

from ..argument_kinds import check_kind, check_names
from ..number_ranges import within_ranges
from .atomic_files import complete, move_into
from .columns import (
    RESERVED_NAMES,
    LongTable,
    career_table,
    is_list,
    is_text,
    is_weight,
    list_lengths,
    list_values,
    make_dataset,
    read_numbers,
    select_steps,
    sort_labels,
)
from .ledger import Ledger
from .periods import (
    TIME_UNIT,
    Period,
    finer_hint,
    period_label,
    period_labels,
    period_number,
    person_periods,
    time_unit,
    unit_column,
)
from .saved_files import MANIFEST, check_files, read_manifest, record_files
from .splits import DEFAULT_FRACTIONS, check_leaks, check_manifest, split_careers
from .splits_in_files import splits_in_files
from .validation import validate
from .wide_tables import Periods, is_wide, lengthen, widen, with_text_names


# A covariate with more different numbers that have decimals is a measurement.
MOST_DECIMALS = 100


@within_ranges
def from_frame(
    frame: Any,
    *,
    person: str = "person",
    year: Periods = "year",
    occupation: str = "occupation",
    covariates: Sequence[str] = (),
    static: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    weight: str | None = None,
    stratum: str | None = None,
    psu: str | None = None,
    group: str | None = None,
    unit: str | None = None,
) -> Dataset:
    """Turns a table into careers: a long one with one row per person and year, quarter or month, or a wide one with
    one row per person and one column per period.

    The order of rows does not matter: people are sorted by identifier (as numbers where all are whole numbers), years
    within people. Numeric labels become text, 12 and 12.0 both "12"; empty text and NaN are missing.

    Args:
        frame: A pandas, polars, duckdb or Arrow table, or a dict of columns.
        person: Column that identifies people.
        year: Column with the year, quarter or month: whole numbers, dates, pandas periods, or texts such as "1993-07",
            "Jul.93" or "1993Q3" (`careers.periods` lists them). Of a wide table the columns of periods, whose names
            are such texts: the first and the last of neighbours, "Jul.93:Jun.99"; a list of names; or the period by
            the column's name, {"state1": "1993-07", ...}. A missing cell there means that the person is not observed.
        occupation: Column with the occupation's label; a wide table needs none.
        covariates: Columns that change over time; a wide table can have none.
        static: Columns that must not change within a person.
        outcomes: Numeric columns over time, such as log wage; a wide table can have none.
        weight: Survey weight column, positive or 0. Where it changes within a person, as weights of a survey's rounds
            do, careers have a weight for each year; otherwise one for each person.
        stratum: Survey stratum column.
        psu: Primary sampling unit column.
        group: Family or household column; its people stay in one split.
        unit: What a period is, "year", "quarter" or "month". Unless given, labels such as "1993-07" say it, and days
            and whole numbers are years. Whole numbers below 1,000 may count months or quarters without a calendar.

    Returns:
        Careers, one row per person.

    Raises:
        ValueError: If a value cannot be read, a person has two rows for a year, values or columns name different
            units, a column in between is missing, a static column varies within a person, or a covariate is a
            measurement. The message names person, row (counting from 0), column and value, and says how to fix it.
    """
    design = {"stratum": stratum, "psu": psu, "group": group}
    columns = career_columns(frame, person, year, occupation, covariates, static, outcomes, weight, design, unit)
    return make_dataset(columns)


def career_columns(
    frame: Any,
    person: str = "person",
    year: Periods = "year",
    occupation: str = "occupation",
    covariates: Sequence[str] = (),
    static: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    weight: str | None = None,
    design: Mapping[str, str | None] = MappingProxyType({}),
    unit: str | None = None,
) -> dict[str, pa.Array]:
    """Makes the columns of `from_frame` as Arrow arrays, which is faster than making a `datasets.Dataset`.

    Args:
        design: Column by role: "stratum", "psu", "group". The other arguments are those of `from_frame`.
    """
    roles: dict[str, Any] = {"covariates": covariates, "static": static, "outcomes": outcomes}
    roles |= {"weight": weight, "design": design}
    long, column, unit = read_long(frame, person, year, occupation, unit=unit, **roles)
    if is_wide(frame, year):
        observed = pc.is_valid(long.labels(occupation)).to_numpy(zero_copy_only=False)
        lost = ~np.isin(long.rows, long.rows[observed])
        if lost.any():
            name = long.people[int(np.argmax(lost))].as_py()
            raise ValueError(
                f"person '{name}', row {long.rows[lost][0]}: every period is missing, so there is no career; drop the "
                "row, or give a cell a label"
            )
        long = long.filter(observed)
    return columns_of(long, column, occupation, unit=unit, **roles)


def read_long(
    frame: Any,
    person: str,
    year: Periods,
    occupation: str,
    covariates: Sequence[str],
    static: Sequence[str],
    outcomes: Sequence[str],
    weight: str | None,
    design: Mapping[str, str | None],
    unit: str | None,
) -> tuple[LongTable, str, str | None]:
    """Reads the columns of `career_columns` from a table that is long, or wide.

    Returns:
        The long table; of a wide one with a row for every cell, also an empty one. The name of its column of periods,
        and their unit, if that is known already.
    """
    _check_names(covariates=covariates, static=static, outcomes=outcomes)
    of_people = [*static, *(name for name in (*design.values(), weight) if name is not None)]
    if not is_wide(frame, year):
        names = [str(year), occupation, *covariates, *outcomes, *of_people]
        return LongTable(frame, person, names), str(year), unit
    if changing := [*covariates, *outcomes]:
        raise ValueError(
            f"column '{changing[0]}' cannot change over time in a wide table, which has one row per person: name it "
            "in static=, or make the table long, with one row per person and period"
        )
    long, unit = lengthen(with_text_names(frame), person, year, occupation, unit, of_people)
    return long, "year", unit


def columns_of(
    long: LongTable,
    year: str,
    occupation: str,
    covariates: Sequence[str],
    static: Sequence[str],
    outcomes: Sequence[str],
    weight: str | None,
    design: Mapping[str, str | None],
    unit: str | None,
) -> dict[str, pa.Array]:
    """Makes the columns of careers from a long table that was read; the arguments are those of `career_columns`."""
    per_person = {name: name for name in static} | {role: name for role, name in design.items() if name is not None}
    codes = long.people.dictionary_encode()
    people = sort_labels(codes.dictionary)
    rank = pc.index_in(codes.dictionary, value_set=people).to_numpy()[codes.indices.to_numpy()].astype(np.int64)
    years, unit = long.periods(year, unit)
    key = rank * (years.max() - years.min() + 1) + (years - years.min())
    order = np.argsort(key, kind="stable")
    repeated = np.flatnonzero(key[order[1:]] == key[order[:-1]])
    if len(repeated):
        first, second = order[repeated[0]], order[repeated[0] + 1]
        problem = f"row {long.rows[first]} already has this person and {unit}"
        fix = f"keep one row per person and {unit}"
        # Two days of one year, say, may be two months.
        if str(long.table[year][int(second)]) != str(long.table[year][int(first)]):
            problem += f", {period_label(years[first], unit)}"
            fix += finer_hint(unit)
        long.fail(int(second), year, problem, fix)

    rank = rank[order]
    starts = np.flatnonzero(np.concatenate([[True], rank[1:] != rank[:-1]]))
    offsets = pa.array(np.append(starts, len(order)), pa.int32())

    def over_time(values: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, values.take(pa.array(order)))

    def first_rows(name: str, codes: np.ndarray) -> np.ndarray:
        """Each person's first row, after a check that all rows of the person agree on the column."""
        ordered = codes[order]
        varies = np.flatnonzero((ordered[1:] != ordered[:-1]) & (rank[1:] == rank[:-1]))
        if len(varies):
            before, row = order[varies[0]], order[varies[0] + 1]
            earlier = long.table[name][int(before)].as_py()
            problem = f"differs from {earlier!r} in row {long.rows[before]}, but must not change within a person"
            long.fail(int(row), name, problem, "correct it, or pass a column that changes in covariates=")
        return order[starts]

    columns = {"person": people, "year": over_time(pa.array(years, pa.int32()))}
    columns["occupation"] = over_time(long.labels(occupation, required=True))
    labels = {name: long.labels(name) for name in (*covariates, *static)}
    for name, column in labels.items():
        _check_not_continuous(long, name, column)
    columns |= {name: over_time(labels[name]) for name in covariates}
    columns |= {name: over_time(pa.array(long.numbers(name), from_pandas=True)) for name in outcomes}
    for role, name in per_person.items():
        column = labels[name] if role in labels else long.labels(name, required=True)
        label_codes = column.dictionary_encode().indices
        columns[role] = column.take(pa.array(first_rows(name, pc.fill_null(label_codes, -1).to_numpy())))
    if weight is not None:
        weights, _ = read_numbers(long.table[weight])
        refused = np.flatnonzero(~is_weight(weights))
        if len(refused):
            row = int(refused[0])
            problem = f"not a finite number, positive or 0, in {period_label(years[row], unit)}"
            long.fail(row, weight, problem, f"correct the weight, or make it 0 to keep the {unit} as history only")
        ordered = weights[order]
        is_constant = (ordered[1:] == ordered[:-1])[rank[1:] == rank[:-1]].all()
        columns["weight"] = pa.array(ordered[starts]) if is_constant else over_time(pa.array(weights))
    return columns | unit_column(unit, len(people))


@within_ranges
def to_frame(careers: Dataset, kind: Literal["pandas", "polars", "arrow"] = "pandas", *, wide: bool = False) -> Any:
    """Turns careers into a long table, one row per person and year; static values are repeated in every row.

    Quarters and months are in a column of that name, as labels such as "1993Q3" and "1993-07"; `from_frame` reads them
    again with year="quarter" or year="month".

    Args:
        careers: Careers, one row per person.
        kind: Library whose table is returned.
        wide: Whether the table has one row per person, and a column for every period, named by its label, from the
            first to the last; cells are occupations, and missing where the person is not observed.

    Returns:
        A `pandas.DataFrame`, `polars.DataFrame` or `pyarrow.Table`, in the order of the careers.

    Raises:
        ValueError: The table is to be wide, and a column has a value for each period.
    """
    unit, table = time_unit(careers), career_table(careers)
    if TIME_UNIT in table.column_names:
        table = table.drop_columns([TIME_UNIT])
    if wide:
        changing = [f.name for f in table.schema if is_list(f.type) and f.name not in ("year", "occupation")]
        if changing:
            raise ValueError(
                f"column '{changing[0]}' has a value for each {unit}, for which a wide table has no place: drop it "
                f"first, with careers.remove_columns('{changing[0]}'), or take the long table"
            )
        long = widen(table, unit)
    else:
        long = long_table(table)
        if unit != "year":
            place = long.column_names.index("year")
            long = long.set_column(place, unit, pa.array(period_labels(long["year"], unit), pa.string()))
    if kind == "arrow":
        return long
    if kind == "pandas":
        return long.to_pandas()
    if kind == "polars":
        import polars

        return polars.from_arrow(long)
    raise ValueError(f"kind {kind!r} is not one of 'pandas', 'polars', 'arrow'")


def long_table(careers: Dataset | pa.Table) -> pa.Table:
    """Careers as `to_frame` makes them in Arrow, but with the numbers of periods, for computations."""
    table = careers if isinstance(careers, pa.Table) else career_table(careers)
    rows = pa.array(np.repeat(np.arange(table.num_rows), list_lengths(table, "year")))
    columns = {}
    for field in table.schema:
        values = list_values(table, field.name) if is_list(field.type) else table[field.name].take(rows)
        columns[field.name] = values
    return pa.table(columns)


@within_ranges
def covariate_names(careers: Dataset) -> tuple[list[str], list[str]]:
    """Names the covariates that change over time, and the covariates that do not.

    Args:
        careers: Careers, one row per person.

    Returns:
        Names of the list<string> columns and of the string columns, without reserved names, in the columns' order.
    """
    schema = careers.data.schema
    others = [field for field in schema if field.name not in RESERVED_NAMES]
    varying = [field.name for field in others if is_list(field.type) and is_text(field.type.value_type)]
    return varying, [field.name for field in others if is_text(field.type)]


@within_ranges
def truncate(careers: Dataset, cutoff: Period) -> tuple[Dataset, Ledger]:
    """Cuts careers at a year, as the training sets and the histories of forecasts are cut.

    Args:
        careers: Careers, one row per person.
        cutoff: The last year to keep; of careers in other units the label of the last period, such as "1993-07".

    Returns:
        The careers' steps up to and including that year, without the people who have none; and a ledger of people and
        person-years.

    Raises:
        ValueError: If nobody has a step up to that year, or the cutoff names no period.
    """
    return cut(careers, period_number(cutoff, time_unit(careers), "cutoff"))


def cut(careers: Dataset, cutoff: int) -> tuple[Dataset, Ledger]:
    """`truncate`, at the number of a period."""
    table, unit = career_table(careers), time_unit(careers)
    label = period_label(cutoff, unit)
    years = list_values(table, "year").to_numpy()
    early = years <= cutoff
    if not early.any():
        first = f"the first {unit} of all, {period_label(years.min(), unit)}" if len(years) else ""
        first = first or "everything: there are no careers"
        raise ValueError(f"nobody is observed up to {label}, which is before {first}; choose a later cutoff")
    columns, remains = select_steps(table, early)
    ledger = Ledger()
    people = {f"no step up to {label}": int((~remains).sum())}
    ledger.record("cut careers", "people", len(remains), int(remains.sum()), dropped=people, depends_on="past")
    steps, steps_left = {f"after {label}": int((~early).sum())}, int(early.sum())
    ledger.record("cut careers", person_periods(unit), len(years), steps_left, dropped=steps, depends_on="past")
    return make_dataset(columns), ledger


@within_ranges
def save_careers(
    splits: Dataset | DatasetDict,
    folder: str | Path,
    ledger: Ledger | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> None:
    """Saves careers, the ledger of their build (`ledger.json`), the manifest of their split (`split.json`) and the
    checksums of all these files (`checksums.json`).

    Args:
        splits: Careers, or careers by split name.
        folder: Destination folder; created if missing.
        ledger: What the build dropped and altered.
        manifest: What `split_manifest` returns.

    Splits without people are left out. Careers that the folder holds are replaced once the new ones are complete;
    other files stay.

    Raises:
        ValueError: If everything is empty, these are no careers that `load_careers` would load, or the folder holds a
            file or folder of the same name that is not ours.
    """
    if not isinstance(splits, (Dataset, DatasetDict)):
        raise ValueError(
            f"careers are a Dataset or a DatasetDict of splits, not a {type(splits).__name__}: from_frame makes them "
            "of a table"
        )
    if isinstance(splits, DatasetDict):
        # datasets cannot load a dataset without rows.
        splits = DatasetDict({name: part for name, part in splits.items() if part.num_rows})
    if not len(splits):
        raise ValueError("there are no careers to save: every split is empty")
    parts = splits if isinstance(splits, DatasetDict) else {"all": splits}
    for careers in parts.values():
        validate(careers)
    check_leaks(parts)
    with complete(Path(folder).absolute(), move_into) as unfinished:
        splits.save_to_disk(str(unfinished))
        if ledger is not None:
            ledger.save(unfinished / "ledger.json")
        if manifest is not None:
            people = {name: part for name, part in manifest["splits"].items() if part["people"]}
            text = json.dumps({**manifest, "splits": people}, indent=2)
            (unfinished / MANIFEST).write_text(text + "\n", encoding="utf-8")
        record_files(unfinished)


@within_ranges
def load_careers(folder: str | Path) -> DatasetDict:
    """Loads and validates careers that `save_careers` wrote; careers without splits are returned as the split "all".

    Args:
        folder: Folder of the careers.

    Returns:
        Careers by split name.

    Raises:
        ValueError: If a file is damaged, is missing or is not the one that was saved, names a file outside of the
            folder, careers are not valid, a person is in two splits, or `split.json` names other people; or if it is
            the folder of one split in Parquet files.
    """
    if any(Path(folder).glob("*.parquet")):
        raise ValueError(
            f"{folder} has Parquet files, and no folder for each split: pass the folder that it lies in and "
            f"split='{Path(folder).name}', or CareerShards({str(folder)!r})"
        )
    has_checksums = check_files(Path(folder))
    try:
        loaded = load_from_disk(str(Path(folder).absolute()))
        splits = loaded if isinstance(loaded, DatasetDict) else DatasetDict({"all": loaded})
        if not has_checksums:
            for careers in splits.values():
                careers.data.table.validate(full=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged file makes of the libraries that read it
        raise ValueError(
            f"{folder} cannot be read as careers, as after an interrupted copy: {type(error).__name__}: "
            + " ".join(str(error).split())
        ) from error
    for careers in splits.values():
        validate(careers)
    check_leaks(splits)
    manifest = Path(folder) / MANIFEST
    if manifest.exists():
        check_manifest(splits, read_manifest(manifest))
    return splits


@within_ranges
def as_splits(careers: str | Path | Dataset | DatasetDict) -> DatasetDict:
    """Returns careers by split name, whether they are given as a folder, as splits or as one dataset.

    Args:
        careers: A folder that `save_careers` wrote, careers by split name, or careers, which `split_careers` splits.
            Of a folder of Parquet files for each split (`save_shards`), a split is read when it is taken.

    Raises:
        ValueError: A folder cannot be loaded, or a split is no careers, such as a table.
    """
    if (in_files := splits_in_files(careers)) is not None:
        return cast(DatasetDict, in_files)
    if isinstance(careers, (str, Path)):
        return load_careers(careers)
    if isinstance(careers, Dataset):
        return split_careers(careers)
    for name, part in careers.items():
        check_kind(f"the split '{name}'", part, "Dataset")
    return careers


@within_ranges
def as_careers(careers: str | Path | Dataset | DatasetDict, split: str | None = None) -> Dataset:
    """Returns the careers of one split, or of all, whether they are given as a folder, as splits or as one dataset.

    Args:
        careers: A folder as in `as_splits`, careers by split name, or careers, which are returned as they are.
        split: The split to take from a folder or from careers by split name; all of them together if None. One dataset
            is taken whole, also where a verb names the split "test" unless told otherwise.

    Raises:
        ValueError: If there is no such split, or one dataset is given and the name is none of `split_careers`.
    """
    if isinstance(careers, Dataset):
        if split is not None and split not in DEFAULT_FRACTIONS:
            raise ValueError(
                f"split='{split}' names no split, because these careers are one dataset, which is taken whole: leave "
                "split out, or pass careers by split name"
            )
        return careers
    splits = as_splits(careers)
    if split is None:
        return concatenate_datasets(list(splits.values()))
    if split not in splits:
        raise ValueError(f"the careers have splits {list(splits)}, and none is '{split}'")
    return splits[split]


def _check_not_continuous(long: LongTable, name: str, labels: pa.Array) -> None:
    """Refuses a measurement in the place of a covariate, whose every value would be a level of its own.

    Raises:
        ValueError: The column has more than `MOST_DECIMALS` different numbers with decimals.
    """
    has_decimals = pc.fill_null(pc.match_substring_regex(labels, r"^[+-]?\d*\.\d+([eE][+-]?\d+)?$"), False)
    count = len(labels.filter(has_decimals).unique())
    if count > MOST_DECIMALS:
        row = int(np.argmax(has_decimals.to_numpy(zero_copy_only=False)))
        fix = "bin the column first, with pandas.cut for instance, or name it in outcomes="
        long.fail(row, name, f"one of {count:,} different numbers with decimals, and covariates are labels", fix)


def _check_names(**names: Sequence[str]) -> None:
    check_names(**names)
    names_so_far: set[str] = set()
    for argument, columns in names.items():
        for name in columns:
            if name in RESERVED_NAMES:
                passed = "" if name == TIME_UNIT else f", or pass it as {name}='{name}'"
                raise ValueError(
                    f"column '{name}' in {argument}= has a reserved name ({', '.join(RESERVED_NAMES)}): rename it in "
                    f"the table{passed}; the year need not be listed to be a covariate"
                )
            if name in names_so_far:
                raise ValueError(f"column '{name}' is named twice in covariates=, static= and outcomes=: name it once")
            names_so_far.add(name)
