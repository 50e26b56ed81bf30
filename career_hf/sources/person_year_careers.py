"""Careers of a table that has a row per person and year already, from a CSV, Parquet or Stata file or in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from pyarrow import csv, parquet

from ..careers.columns import LongTable, is_text, read_table
from ..careers.frames import from_frame
from ..careers.ledger import Ledger
from ..careers.prepared import PreparedCareers
from ..number_ranges import within_ranges
from .spell_years import is_text_file, read_header


@within_ranges
def person_years(
    table: Any,
    *,
    person: str = "person",
    year: str = "year",
    occupation: str = "occupation",
    covariates: Sequence[str] = (),
    static: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    weight: str | None = None,
    stratum: str | None = None,
    psu: str | None = None,
    group: str | None = None,
    missing: Sequence[str] = (),
    no_occupation: str | None = None,
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares careers of a table with one row per person and year, by the rules of `from_frame`.

    Args:
        table: A CSV, Parquet or Stata file, or a table in memory.
        person, year, occupation, weight, stratum, psu, group: Names of the columns, as in `from_frame`.
        covariates, static, outcomes: Names of columns, as in `from_frame`.
        missing: Texts that mean that a value is missing, such as NA. Empty cells always do.
        no_occupation: Label of rows without an occupation; if None, they are left out, and the ledger counts them.
        salt: Salt of the split.

    Raises:
        ValueError: The file cannot be read or is of another kind, or as in `from_frame`.
    """
    roles = {"weight": weight, "stratum": stratum, "psu": psu, "group": group}
    columns = [year, occupation, *covariates, *static, *outcomes, *(name for name in roles.values() if name)]
    frame = _read_file(Path(table)) if isinstance(table, (str, Path)) else table
    long = _without(read_table(frame, [person, *columns]), missing)
    labels = LongTable(long, person, columns).labels(occupation)
    rows, unlabelled = len(labels), labels.null_count
    ledger = Ledger()
    if no_occupation is None:
        long = long.filter(pc.is_valid(labels))
        ledger.record("read person-years", "rows", rows, long.num_rows, {"no occupation": unlabelled})
    else:
        long = long.set_column(long.column_names.index(occupation), occupation, pc.fill_null(labels, no_occupation))
        altered = {f"no occupation, now '{no_occupation}'": unlabelled} if unlabelled else {}
        ledger.record("read person-years", "rows", rows, rows, altered=altered)
    careers: Dataset = from_frame(
        long,
        person=person,
        year=year,
        occupation=occupation,
        covariates=covariates,
        static=static,
        outcomes=outcomes,
        **roles,
    )
    settings = {"table": Path(table).name} if isinstance(table, (str, Path)) else {}
    settings |= {"missing": list(missing), "no_occupation": no_occupation} if missing or no_occupation else {}
    return PreparedCareers.of_careers("person-years", (careers, ledger), salt=salt, settings=settings)


def _read_file(path: Path) -> Any:
    """The table of a file; every cell of a CSV file is text, so that no code loses its leading zeros.

    Raises:
        ValueError: The file cannot be read, or its name ends with no ending that is known.
    """
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    try:
        if is_text_file(path):
            delimiter, names = read_header(str(path))
            if repeated := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"{path} has two columns '{repeated[0]}': rename one")
            return csv.read_csv(
                path,
                read_options=csv.ReadOptions(column_names=names, skip_rows=1),
                parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
                ),
            )
        if path.suffix == ".parquet":
            return parquet.read_table(path)
        if path.suffix == ".dta":
            return pd.read_stata(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path} cannot be read: {error}") from error
    raise ValueError(f"{path} is no table that is known: its name must end with .csv, .tsv, .txt, .parquet or .dta")


def _without(table: pa.Table, missing: Sequence[str]) -> pa.Table:
    """A table in which texts that mean missing are null."""
    for place, field in enumerate(table.schema if missing else ()):
        column = table[field.name]
        if pa.types.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        if is_text(column.type):
            told = pc.is_in(pc.utf8_trim_whitespace(column), value_set=pa.array(list(missing), column.type))
            table = table.set_column(place, field.name, pc.if_else(told, pa.scalar(None, column.type), column))
    return table


__all__ = ["person_years"]
