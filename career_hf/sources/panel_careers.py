"""Careers of any panel that is a table already: a row per person and year, quarter or month, or wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from ..careers.columns import is_text, make_dataset, read_table
from ..careers.frames import columns_of, read_long
from ..careers.ledger import Ledger
from ..careers.periods import person_periods
from ..careers.prepared import PreparedCareers
from ..careers.provenance import SOURCES, Limits
from ..careers.wide_tables import Periods, is_wide, period_columns, with_text_names
from ..number_ranges import within_ranges
from ..occupations.crosswalks import codes
from ..occupations.labels import NOT_WORKING, check_states
from ..occupations.weighted_crosswalks import as_crosswalk, coverage_of
from .spell_rules import crosswalk_recode
from .spell_years import is_text_file, read_header


@within_ranges
def panel(
    table: Any,
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
    missing: Sequence[str] = (),
    no_occupation: str | None = None,
    crosswalk: str | Path | pd.DataFrame | None = None,
    states: Mapping[str, str] = MappingProxyType({}),
    lacks: Sequence[str] = (),
    source: str = "panel",
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares careers of a table with one row per person and year, or of a wide one, by the rules of `from_frame`.

    Args:
        table: A CSV, Parquet or Stata file, or any table that `from_frame` takes.
        person, year, occupation, weight, stratum, psu, group: Names of the columns, as in `from_frame`; `year` may be
            the columns of a wide table, such as "Jul.93:Jun.99".
        covariates, static, outcomes: Names of columns, as in `from_frame`.
        unit: "year", "quarter" or "month", as in `from_frame`.
        missing: Texts that mean that a value is missing, such as NA. Empty cells always do.
        no_occupation: Label of rows without an occupation, or of empty cells of a wide table; if None, they are left
            out, and the ledger counts them.
        crosswalk: Coding of the occupations, which become occ1990dd codes, each its modal target: a name of
            `weighted_crosswalk`, a CSV file with columns source, occ1990dd and, if wished, weight, or such a frame.
            Codes without a target stay, behind the crosswalk's name. Without a crosswalk labels stay as they are.
        states: State by the table's label for it, such as {"nilf": "out_of_labor_force"}.
        lacks: States, or occ1990dd codes, that nobody can have in this table because of how it was collected, such as
            "unemployed" where it is not told apart from out of the labor force; training can leave them out of the
            softmax.
        source: Key of `SOURCES`, for the licence.
        salt: Salt of the split.

    Raises:
        ValueError: The file cannot be read or is of another kind, there is no such source or crosswalk, the table has
            a label of `lacks` or none of `states`, a state does not exist, or as in `from_frame`.
    """
    if source not in SOURCES:
        raise ValueError(f"there is no source {source!r}; sources are {', '.join(SOURCES)}")
    design = {"stratum": stratum, "psu": psu, "group": group}
    roles: dict[str, Any] = {"covariates": covariates, "static": static, "outcomes": outcomes}
    roles |= {"weight": weight, "design": design}
    others = [*covariates, *static, *outcomes, *(name for name in (weight, *design.values()) if name)]
    frame = with_text_names(_read_file(Path(table)) if isinstance(table, (str, Path)) else table)
    of_periods = list(period_columns(frame, year)) if is_wide(frame, year) else [str(year), occupation]
    frame = _without(read_table(frame, [person, *of_periods, *others]), missing)
    long, column, unit = read_long(frame, person, year, occupation, unit=unit, **roles)
    unit = long.periods(column, unit)[1]
    labels = long.labels(occupation)
    rows, unlabelled = len(labels), labels.null_count
    ledger, units = Ledger(), person_periods(unit)
    if no_occupation is None:
        kept = pc.is_valid(labels)
        long, labels = long.filter(kept.to_numpy(zero_copy_only=False)), labels.filter(kept)
        ledger.record(f"read {units}", "rows", rows, len(labels), {"no occupation": unlabelled})
    else:
        labels = pc.fill_null(labels, no_occupation)
        altered = {f"no occupation, now '{no_occupation}'": unlabelled} if unlabelled else {}
        ledger.record(f"read {units}", "rows", rows, rows, altered=altered)
    counts = {count["values"]: count["counts"] for count in pc.value_counts(labels).to_pylist()}
    check_states(states, counts)
    recoded = {label: states.get(label, label) for label in counts}
    settings: dict[str, Any] = {"table": Path(table).name} if isinstance(table, (str, Path)) else {}
    settings |= {"missing": list(missing), "no_occupation": no_occupation} if missing or no_occupation else {}
    if crosswalk is not None:
        name = "a table" if isinstance(crosswalk, pd.DataFrame) else Path(crosswalk).name.split(".")[0]
        settings["crosswalk"] = name
        targets = crosswalk_recode(as_crosswalk(crosswalk)).labels
        coded = [label for label in counts if label not in {*states, *NOT_WORKING, no_occupation}]
        recoded |= {label: targets.get(label, f"{name} {label}") for label in coded}
        mapped = pd.Series({label: counts[label] for label in coded}, dtype="int64").rename(recoded)
        ledger.note(f"{units} in occ1990dd: {coverage_of(mapped.groupby(level=0).sum())}")
    present = {recoded[label]: count for label, count in counts.items()}
    if lacking := [label for label in lacks if label in present]:
        raise ValueError(f"lacks= names {lacking[0]!r}, which {present[lacking[0]]} rows of the table have")
    if foreign := [label for label in lacks if label not in {*NOT_WORKING, *codes()}]:
        raise ValueError(
            f"lacks= names {foreign[0]!r}, which is no state ({', '.join(NOT_WORKING)}) and no occ1990dd code: "
            "correct it, or leave it out"
        )
    own = pa.array([recoded[label] for label in labels.to_pylist()], pa.string())
    careers = make_dataset(columns_of(long.replace(occupation, own), column, occupation, unit=unit, **roles))
    limits = Limits(lacks=tuple(lacks))
    return PreparedCareers.of_careers(source, (careers, ledger), salt=salt, settings=settings, limits=limits)


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


__all__ = ["panel"]
