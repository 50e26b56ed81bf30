"""Careers of any yearly panel that is a table already, with one row per person and year."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import pyarrow as pa

from ..careers.columns import check_names, read_file, read_labels, read_table
from ..careers.frames import from_frame
from ..careers.ledger import Ledger
from ..careers.prepared import PreparedCareers
from ..careers.provenance import SOURCES, Limits
from ..occupations.labels import NOT_WORKING
from ..occupations.weighted_crosswalks import as_crosswalk, coverage_of
from .spell_rules import crosswalk_recode


def panel(
    table: Any,
    *,
    person: str = "person",
    year: str = "year",
    occupation: str = "occupation",
    covariates: Sequence[str] = (),
    static: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    weight: str | None = None,
    group: str | None = None,
    crosswalk: str | Path | pd.DataFrame | None = None,
    states: Mapping[str, str] = MappingProxyType({}),
    lacks: Sequence[str] = (),
    source: str = "panel",
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares careers of a table with one row per person and year.

    Args:
        table: A CSV or Parquet file, or any table that `from_frame` takes.
        person, year, occupation, covariates, static, outcomes, weight, group: Columns, as in `from_frame`.
        crosswalk: Coding of the occupations, which become occ1990dd codes, each its modal target: a name of
            `weighted_crosswalk`, a CSV file with columns source, occ1990dd and, if wished, weight, or such a frame.
            Codes without a target stay, behind the crosswalk's name. Without a crosswalk labels stay as they are.
        states: State by the table's label for it, such as {"nilf": "out_of_labor_force"}.
        lacks: Labels that nobody can have in this table because of how it was collected, such as "unemployed" where
            it is not told apart from out of the labor force; training can leave them out of the softmax.
        source: Key of `SOURCES`, for the licence.
        salt: Salt of the split.

    Raises:
        ValueError: As `from_frame` does, there is no such source or crosswalk, or the table has a label of `lacks`.
    """
    if source not in SOURCES:
        raise ValueError(f"there is no source {source!r}; sources are {', '.join(SOURCES)}")
    check_names(covariates=covariates, static=static, outcomes=outcomes, lacks=lacks)
    if isinstance(table, (str, Path)):
        table = read_file(table)
    columns = [person, year, occupation, *covariates, *static, *outcomes, *filter(None, (weight, group))]
    rows = read_table(table, columns)
    labels = read_labels(rows[occupation]).to_pandas()
    if foreign := [label for label in states if label not in set(labels)]:
        raise ValueError(f"states= names {foreign[0]!r}, which no row of the table has: correct it, or leave it out")
    state_of = {state: state for state in NOT_WORKING} | dict(states)
    recoded, name = dict(state_of), None
    if crosswalk is not None:
        name = "a table" if isinstance(crosswalk, pd.DataFrame) else Path(crosswalk).name.split(".")[0]
        targets = crosswalk_recode(as_crosswalk(crosswalk)).labels
        untold = set(labels.dropna()) - {*targets, *state_of}
        recoded = {label: f"{name} {label}" for label in untold} | dict(targets) | state_of
    rows = rows.set_column(
        rows.column_names.index(occupation),
        occupation,
        pa.array(labels.map(lambda label: recoded.get(label, label), na_action="ignore"), pa.string()),
    )
    careers = from_frame(
        rows,
        person=person,
        year=year,
        occupation=occupation,
        covariates=covariates,
        static=static,
        outcomes=outcomes,
        weight=weight,
        group=group,
    )
    count = rows[occupation].combine_chunks().value_counts().to_pandas()
    counts = pd.Series({entry["values"]: entry["counts"] for entry in count})
    if present := [label for label in lacks if label in counts.index]:
        raise ValueError(f"lacks= names {present[0]!r}, which {counts[present[0]]} rows of the table have")
    ledger = Ledger()
    ledger.record("read yearly table", "person-years", rows.num_rows, rows.num_rows)
    if name is not None:
        ledger.note(f"person-years in occ1990dd: {coverage_of(counts[~counts.index.isin([*state_of.values()])])}")
    settings = {"crosswalk": name}
    limits = Limits(lacks=tuple(lacks))
    return PreparedCareers.of_careers(source, (careers, ledger), salt=salt, settings=settings, limits=limits)
