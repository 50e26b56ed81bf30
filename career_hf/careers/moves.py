"""Moves without people: counts of moves between occupations, as statistics publish them, as careers of two steps.

A table says how many people were in one occupation and, some time later, in another. `from_moves` makes one career of
each pair of occupations: its weight is the number of people. The first step has weight 0, because a table of moves
says where people go, and not where careers begin. No career is a person: identifiers begin with `splits.COUNTS`, all
careers are training data, and nobody can be held out of a count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset, DatasetDict

from ..number_ranges import Range, within_ranges
from ..occupations.crosswalks import codes
from ..occupations.labels import NOT_WORKING, check_states
from ..occupations.weighted_crosswalks import as_crosswalk, source_of_code
from .columns import RESERVED_NAMES, read_file, read_labels, read_numbers, read_table
from .frames import from_frame
from .ledger import Ledger
from .prepared import PreparedCareers
from .provenance import SOURCES, Limits
from .splits import COUNTS


# Covariates that the surveys' careers have, and whether they change over time: counts have them too, missing where the
# table does not give them, so that both can be joined.
SURVEY_COVARIATES = {"education": True, "region": False, "race": False, "gender": False}
SIDES = {"origin": "before", "destination": "after"}
# What to do about a column that the table does not have, by the argument that names it.
MISSING = {
    "origin": "name the column of the occupation before with origin=; a matrix is passed as a pandas frame with the "
    "occupations before as its index, as by pandas.read_csv(FILE, index_col=0, dtype=str)",
    "destination": "name the column of the occupation after with destination=",
    "count": "name the column of the number of people with count=, or give count=None if every row counts once",
}
# Years, or ages where a table has these; markers such as -5 or 9999 are neither.
YEARS = Range(0, 2_999)


@within_ranges
def from_moves(
    counts: Any,
    *,
    origin: str = "origin",
    destination: str = "destination",
    count: str | None = "count",
    crosswalk: str | Path | pd.DataFrame | None = None,
    shares: Mapping[str, float] | str | Path | None = None,
    titles: Mapping[str, str] | str | Path | None = None,
    states: Mapping[str, str] = MappingProxyType({}),
    year: int | None = None,
    year_column: str | None = None,
    gap: int = 1,
    covariates: Sequence[str] = (),
    stays: bool = True,
    source: str = "moves",
    name: str | None = None,
) -> PreparedCareers:
    """Turns counts of moves between occupations into weighted careers of two steps, all of them training data.

    A code with several targets is shared out by the crosswalk's weights, on either side of a move: a move from A to B
    gives the targets a and b the weight count x weight(A, a) x weight(B, b). People who stay in a code stay in each of
    its targets: the weight is count x weight(A, a), and only for a to a.

    Args:
        counts: A CSV or Parquet file, or a table, with one row per pair of occupations; or a matrix, as a pandas frame
            with origins as its index and destinations as its columns.
        origin: Column of the occupation before.
        destination: Column of the occupation after.
        count: Column of the number of people, or the sum of their weights; None if every row counts once.
        crosswalk: Coding of the occupations, which become occ1990dd codes: a name of `weighted_crosswalk`, a CSV file
            with columns source, occ1990dd and, if wished, weight, or such a frame. Without it labels stay as they are.
        shares: Employment by occ1990dd code, by which the targets of a code share what is counted, on top of the
            crosswalk's weights: a mapping, or a CSV file with the columns occ1990dd and share. A target that is not in
            it gets nothing, unless none of the code's targets is.
        titles: Code by title, for tables that have titles: a mapping, or a CSV file whose first two columns are code
            and title. Labels that are no title stay as they are.
        states: State by the table's label for it, such as {"nilf": "out_of_labor_force"}. Labels of
            `career_hf.occupations.labels.NOT_WORKING` need no entry.
        year: Year of the occupation before, for all rows.
        year_column: Column of the year of the occupation before. Without either, the two steps have the years 0 and
            `gap`, which are no calendar years.
        gap: Number of years between the two occupations.
        covariates: Columns that the table has for groups of people, such as gender. Education, region, race and gender
            are missing in all careers if they are not among them.
        stays: Whether people who stay in their occupation are kept. They include those who move between two codes of
            one occupation, who are left out too where the table has no stays.
        source: Key of `SOURCES`, for the licence.
        name: Name of the table in the identifiers; by default that of the file, else the source.

    Returns:
        Careers in one split, "train"; `limits` says what they cannot contain, so that training can leave it out.

    Raises:
        ValueError: If a column or label is missing, a count is not a number of 0 or more, there is no such source or
            crosswalk, a state does not exist, a year is negative or above 2,999, or nothing is left. The message
            names row (counting from 0), column and value.
    """
    if source not in SOURCES:
        raise ValueError(f"there is no source {source!r}; sources are {', '.join(SOURCES)}")
    if year is not None and not YEARS.has(year):
        raise ValueError(f"year is {year}, and must be {YEARS}: the year of the occupation before, such as 1980")
    if year is not None and year_column is not None:
        raise ValueError(f"year={year} and year_column={year_column!r} are both given: give one of them")
    if shares is not None and crosswalk is None:
        raise ValueError("shares= shares out the targets of a crosswalk, and there is none: give crosswalk= too")
    if reserved := [column for column in covariates if column in RESERVED_NAMES]:
        raise ValueError(f"column '{reserved[0]}' in covariates= has a reserved name: rename it in the table")
    if name is None:
        name = Path(counts).name.split(".")[0] if isinstance(counts, (str, Path)) else source

    ledger = Ledger()
    moves = _read(counts, origin, destination, count, year_column, covariates, ledger)
    labels = set(moves["origin"]) | set(moves["destination"])
    _check_texts("states", states)
    check_states(states, labels)
    code_of = _code_of_title(titles, labels)
    if titles is not None:
        _note_others(ledger, moves, {*code_of, *states, *NOT_WORKING}, "that are no title, and stay as they are")
    code_of |= states
    for side in SIDES:
        moves[side] = moves[side].map(lambda label: code_of.get(label, label))
    has_stays = stays and bool((moves["origin"] == moves["destination"]).any())
    possible = names = set(NOT_WORKING) & (set(moves["origin"]) | set(moves["destination"]))
    if crosswalk is None:
        _note_others(ledger, moves, {*codes(), *names}, "that are no occ1990dd code, and stay as they are")
    else:
        targets = _shared_out(as_crosswalk(crosswalk), shares)
        moves = _map(moves, targets, names, ledger)
        possible = names | set(targets["occ1990dd"])
        _check_left(moves, ledger)
    moves = moves.groupby([column for column in moves if column != "count"], as_index=False, dropna=False).sum()
    if not has_stays:
        moves = _without_stays(moves, ledger)
        _check_left(moves, ledger)

    ledger.note(
        "every career is a count of moves and no person; its weight is the number of people, so train on it weighted"
    )
    can_be = [*(codes() if crosswalk is not None else []), *NOT_WORKING]
    return PreparedCareers.of_splits(
        source,
        DatasetDict({"train": _careers(moves, name, year, gap)}),
        ledger,
        settings={
            "name": name,
            "crosswalk": _name_of(crosswalk),
            "shares": _name_of(shares),
            "year": year,
            "gap": gap,
        },
        limits=Limits(
            lacks=tuple(label for label in can_be if label not in possible),
            stays=has_stays,
            beginnings=False,
            calendar="year" in moves or year is not None,
        ),
    )


def _read(
    counts: Any,
    origin: str,
    destination: str,
    count: str | None,
    year: str | None,
    covariates: Sequence[str],
    ledger: Ledger,
) -> pd.DataFrame:
    """Origin, destination, count, year (if any) and covariates of every row whose count is not 0."""
    where = "the table"
    if isinstance(counts, (str, Path)):
        where, counts = str(counts), read_file(counts)
    if isinstance(counts, pd.DataFrame):
        columns = [*counts.columns, *(name for name in counts.index.names if name is not None)]
        # A matrix has labels as its index; a table has the numbers of its rows.
        if not {origin, destination} & {*columns} and not isinstance(counts.index, pd.RangeIndex):
            count = "count" if count is None else count
            matrix = counts.rename_axis(index=origin, columns=None)
            counts = matrix.reset_index().melt(id_vars=origin, var_name=destination, value_name=count)
            columns = list(counts.columns)
        for argument, name in {"origin": origin, "destination": destination, "count": count}.items():
            if name is not None and name not in columns:
                raise ValueError(f"{where} has no column '{name}', only {columns}: {MISSING[argument]}")
    read = [origin, destination, *(name for name in (count, year) if name is not None), *covariates]
    table = read_table(counts, read)
    if not table.num_rows:
        raise ValueError(f"{where} has no rows: give one for each pair of occupations, with the number of people")

    def refuse(good: Any, column: str, problem: str) -> None:
        if not np.all(good):
            row = int(np.argmin(good))
            raise ValueError(f"row {row}, column '{column}', value {table[column][row].as_py()!r}: {problem}")

    rows = {}
    for side, column in {"origin": origin, "destination": destination}.items():
        rows[side] = read_labels(table[column]).to_pandas()
        refuse(rows[side].notna().to_numpy(), column, "no occupation is named; drop the row, or name its state")
    rows["count"] = pd.Series(np.ones(table.num_rows))
    if count is not None:
        numbers, _ = read_numbers(table[count])
        refuse(
            np.isfinite(numbers) & (numbers >= 0), count, "not a number of people, 0 or more; correct it, or write 0"
        )
        rows["count"] = pd.Series(numbers)
    if year is not None:
        numbers, _ = read_numbers(table[year])
        is_year = (np.floor(numbers) == numbers) & (numbers >= YEARS.low) & (numbers <= YEARS.high)
        refuse(is_year, year, "not a year; years are whole numbers from 0 to 2,999, such as 1980")
        rows["year"] = pd.Series(numbers).astype(np.int64)
    rows |= {column: read_labels(table[column]).to_pandas() for column in covariates}
    moves = pd.DataFrame(rows)
    kept = moves[moves["count"] > 0].reset_index(drop=True)
    empty = len(moves) - len(kept)
    ledger.record("read table of moves", "rows", len(moves), len(kept), {"nobody counted": empty} if empty else {})
    _check_left(kept, ledger)
    return kept


def _check_left(moves: pd.DataFrame, ledger: Ledger) -> None:
    """Raises a ValueError if the latest step has left no move."""
    if not len(moves):
        step, dropped = ledger.entries[-1].step, ledger.entries[-1].dropped
        reasons = "; ".join(f"{reason} ({number:,})" for reason, number in dropped.items())
        raise ValueError(f"no move is left after the step '{step}', which dropped all: {reasons}")


def _note_others(ledger: Ledger, moves: pd.DataFrame, known: Collection[str], what: str) -> None:
    """Notes the occupations, before and after, that are none of the known ones, the largest first."""
    for side, words in SIDES.items():
        others = moves[~moves[side].isin(list(known))]
        counts = others["count"].groupby(others[side]).sum().sort_values(ascending=False)
        if len(counts):
            first = ", ".join(f"{code} ({number:,.0f})" for code, number in counts.head(10).items())
            ledger.note(f"occupations {words} {what}: {len(counts)}, of which the largest are {first}")


def _code_of_title(titles: Mapping[str, str] | str | Path | None, labels: Collection[str]) -> dict[str, str]:
    """Code by label, for the labels that are titles, whose case does not matter."""
    if titles is None:
        return {}
    if isinstance(titles, (str, Path)):
        table = read_file(titles)
        if len(table.columns) < 2:
            raise ValueError(f"{titles} has the column {list(table.columns)} alone: it must have code and title")
        titles = dict(zip(table.iloc[:, 1], table.iloc[:, 0], strict=True))
    _check_texts("titles", titles)
    code_of = {title.strip().casefold(): code for title, code in titles.items()}
    found = {label: code_of[label.casefold()] for label in labels if label.casefold() in code_of}
    if not found:
        raise ValueError(f"no label of the table is a title: the first titles are {list(titles)[:3]}")
    return found


def _check_texts(argument: str, texts: Any) -> None:
    if not isinstance(texts, Mapping) or not all(isinstance(text, str) for pair in texts.items() for text in pair):
        raise ValueError(f"{argument}= must be texts by text, such as {{'nilf': 'out_of_labor_force'}}")


def _shared_out(crosswalk: pd.DataFrame, shares: Mapping[str, float] | str | Path | None) -> pd.DataFrame:
    """A crosswalk whose weights are multiplied by the employment of the targets, and sum to one again."""
    if shares is None:
        return crosswalk
    if isinstance(shares, (str, Path)):
        table = read_file(shares)
        if missing := [column for column in ("occ1990dd", "share") if column not in table]:
            raise ValueError(f"{shares} has no column '{missing[0]}', only {list(table.columns)}")
        shares = dict(zip(table["occ1990dd"], pd.to_numeric(table["share"], errors="coerce"), strict=True))
    if refused := [code for code, share in shares.items() if not (np.isfinite(share) and share >= 0)]:
        raise ValueError(f"the share of {refused[0]} is {shares[refused[0]]!r}, and must be a number of 0 or more")
    if not set(shares) & set(crosswalk["occ1990dd"]):
        raise ValueError(f"shares= has no target of the crosswalk, only {list(shares)[:5]}: its codes are occ1990dd")
    weight = crosswalk["weight"] * crosswalk["occ1990dd"].map(dict(shares)).fillna(0).astype(float)
    total = weight.groupby(crosswalk["source"]).transform("sum")
    return crosswalk.assign(weight=(weight / total).where(total > 0, crosswalk["weight"])).query("weight > 0")


def _map(moves: pd.DataFrame, crosswalk: pd.DataFrame, states: set[str], ledger: Ledger) -> pd.DataFrame:
    """Moves between targets of a crosswalk; states stay as they are, and the ledger counts what has no target."""
    own_spelling = source_of_code(crosswalk) | {state: state for state in states}
    targets = pd.DataFrame(
        {
            "code": [*crosswalk["source"], *states],
            "target": [*crosswalk["occ1990dd"], *states],
            "weight": [*crosswalk["weight"], *[1.0] * len(states)],
        }
    )
    coded = moves.assign(**{side: moves[side].map(own_spelling) for side in SIDES})
    is_lost = {side: coded[side].isna() for side in SIDES}
    mapped = coded[~is_lost["origin"] & ~is_lost["destination"]]
    several = targets["code"].value_counts()
    is_split = mapped["origin"].map(several).gt(1) | mapped["destination"].map(several).gt(1)

    to = targets.rename(columns={"code": "destination", "target": "destination_target", "weight": "share"})
    from_targets = mapped.merge(targets.rename(columns={"code": "origin", "target": "origin_target"}), on="origin")
    is_stay = from_targets["origin"] == from_targets["destination"]
    between = from_targets[~is_stay].merge(to, on="destination")
    within = from_targets[is_stay].assign(share=1.0)
    within["destination_target"] = within["origin_target"]
    shared = pd.concat([between, within], ignore_index=True)
    shared["count"] *= shared["weight"] * shared["share"]

    _record(
        ledger,
        "map to occ1990dd",
        moves["count"].sum(),
        dropped={
            "occupation before without a target": moves["count"][is_lost["origin"]].sum(),
            "occupation after without a target": moves["count"][~is_lost["origin"] & is_lost["destination"]].sum(),
        },
        altered={"shared among several targets": mapped["count"][is_split].sum()},
    )
    _note_others(ledger, moves, own_spelling, "without a target")
    others = [column for column in moves if column not in ("origin", "destination", "count")]
    columns = {"origin": shared["origin_target"], "destination": shared["destination_target"]}
    return pd.DataFrame({**columns, **{column: shared[column] for column in ("count", *others)}})


def _without_stays(moves: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The moves that end in another occupation than they begin in."""
    is_stay = moves["origin"] == moves["destination"]
    left_out = {"the occupation is the same before and after": moves["count"][is_stay].sum()}
    _record(ledger, "leave out stays", moves["count"].sum(), dropped=left_out)
    return moves[~is_stay].reset_index(drop=True)


def _record(
    ledger: Ledger, step: str, before: float, dropped: Mapping[str, float], altered: Mapping[str, float] | None = None
) -> None:
    """Records moves, rounded to whole ones: sums of weights have fractions."""
    previous = next((entry.rows_out for entry in reversed(ledger.entries) if entry.unit == "moves"), round(before))
    lost = {reason: round(number) for reason, number in dropped.items() if round(number)}
    changed = {reason: round(number) for reason, number in (altered or {}).items() if round(number)}
    ledger.record(step, "moves", previous, previous - sum(lost.values()), lost, changed)


def _name_of(given: Any) -> str | None:
    """How a card names a crosswalk or a table of shares: by its name or file."""
    return None if given is None else Path(given).name if isinstance(given, (str, Path)) else "a table"


def _careers(moves: pd.DataFrame, name: str, year: int | None, gap: int) -> Dataset:
    """One career of two steps per row."""
    given = [column for column in moves if column not in ("origin", "destination", "count", "year")]
    person = COUNTS + name + ":" + moves["origin"] + ">" + moves["destination"]
    for column in (["year"] if "year" in moves else []) + given:
        person = person + f":{column}=" + moves[column].astype("string").fillna("")
    first = moves["year"].to_numpy() if "year" in moves else np.full(len(moves), year or 0)
    long = {
        "person": np.repeat(person.to_numpy(dtype=object), 2),
        "year": np.column_stack([first, first + gap]).ravel(),
        "occupation": moves[["origin", "destination"]].to_numpy(dtype=object).ravel(),
        "weight": np.column_stack([np.zeros(len(moves)), moves["count"]]).ravel(),
    }
    long |= {column: np.repeat(moves[column].to_numpy(dtype=object), 2) for column in given}
    missing = [covariate for covariate in SURVEY_COVARIATES if covariate not in given]
    long |= {covariate: pa.nulls(2 * len(moves), pa.string()) for covariate in missing}
    covariates = [*given, *missing]
    changing = [covariate for covariate in covariates if SURVEY_COVARIATES.get(covariate)]
    static = [covariate for covariate in covariates if covariate not in changing]
    return from_frame(long, covariates=changing, static=static, weight="weight")
