"""Dated spells to one occupation a year (Appendix F, "Resumes"), written once as ibis expressions.

An engine turns the expressions into its own SQL: DuckDB by default, which is embedded, keeps to a memory limit and
spills to disk, or Spark where one machine is not enough. Both give the same rows.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..careers.columns import read_table
from ..careers.ledger import Ledger
from .spell_expressions import NO_AS_OF, clean_spells, people_of, person_years
from .spell_rules import SpellRules


if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend as DuckDB

# Labels and dates that a ledger names one by one.
EXAMPLES = 20


def spells_to_years(spells: Any, rules: SpellRules | None = None) -> tuple[ir.CachedTable, Ledger]:
    """Turns dated spells into one occupation a year: the one with most days in the year (Appendix F).

    Days of spells of one occupation are counted once, however many of them cover the day. Ties go to the occupation
    whose spell started earlier, of those in that year, then to the label that comes first in the alphabet. The order
    of rows has no effect.

    Args:
        spells: Path of Parquet or CSV files (`*` allowed), a pandas, polars or Arrow table, all for DuckDB; or an ibis
            table of any engine, such as `ibis.pyspark.connect(session).read_parquet(path)`.
        rules: What the columns are, and what is dropped.

    Returns:
        A table on the engine with one row per person and year and the columns person, year, occupation, `occupations`
        (how many the person had in the year), and those that `rules` names; and the ledger.

    Raises:
        ValueError: If a column is missing or has no use as what it is named for, a static column changes within a
            person, a spell goes on but there is no `as_of`, or no spell is left.
    """
    import ibis

    rules = rules or SpellRules()
    connection = ibis.duckdb.connect(preserve_insertion_order=False)
    with readable(spells):
        years, counts = build_years(read_spells(spells, rules, connection), rules)
    return years, ledger_of(counts, rules)


def read_spells(spells: Any, rules: SpellRules, connection: DuckDB) -> ir.Table:
    """A table of spells; CSV files are read as text, so that "007" stays as it is.

    Raises:
        ValueError: If a column is missing, or a file cannot be read.
    """
    import ibis

    if isinstance(spells, str | Path):
        spells = _read_csv(str(spells), connection) if is_text_file(spells) else connection.read_parquet(str(spells))
    elif not isinstance(spells, ibis.Table):
        spells = connection.create_table(ibis.util.gen_name("spells"), read_table(spells, rules.columns), temp=True)
    missing = [name for name in rules.columns if name not in spells.columns]
    if missing:
        raise ValueError(f"column '{missing[0]}' is not in the table of spells, whose columns are {spells.columns}")
    return spells.select(*dict.fromkeys(rules.columns))


def is_text_file(path: str | Path) -> bool:
    """Whether a path is one of CSV files."""
    return str(path).removesuffix(".gz").endswith((".csv", ".tsv", ".txt"))


def _read_csv(path: str, connection: DuckDB) -> ir.Table:
    # DuckDB would guess the form from all lines: with one broken line it skips others, or takes all for one column.
    files = sorted(glob(path)) or [path]
    delimiter, names = _read_header(files[0])
    for file in files[1:]:
        if _read_header(file) != (delimiter, names):
            raise ValueError(f"{file} has other columns than {files[0]}, {names}, or has them in another order")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{files[0]} has two columns '{twice[0]}': rename one")
    types = dict.fromkeys(names, "VARCHAR")
    form = {"header": True, "auto_detect": False, "delim": delimiter, "quote": '"', "escape": '"'}
    return connection.read_csv(path, columns=types, **form)


def _read_header(path: str) -> tuple[str, list[str]]:
    """The delimiter and the names of a CSV file's columns.

    Raises:
        ValueError: If there is no first line, or it is not text.
    """
    opened = gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")
    with opened as lines:
        line = lines.readline()
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be read: its first line is no UTF-8; save the file as UTF-8") from error
    if not text.strip():
        raise ValueError(f"{path} cannot be read: it has no first line with the names of its columns")
    delimiter = max([",", ";", "\t", "|"], key=text.count)
    return delimiter, [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]


@contextmanager
def readable(spells: Any) -> Iterator[None]:
    """Turns DuckDB's errors on files into ValueErrors that name them."""
    import duckdb

    try:
        yield
    except (duckdb.InvalidInputException, duckdb.IOException, OSError) as error:
        if not isinstance(spells, str | Path):
            raise
        # What DuckDB suggests are settings of its own.
        raise ValueError(f"{spells} cannot be read: {str(error).partition('Possible')[0].strip()}") from error


Counts = dict[str, Counter[str]]


def build_years(spells: ir.Table, rules: SpellRules) -> tuple[ir.CachedTable, Counts]:
    """The years of `spells_to_years`, held by the engine, and counts from which `ledger_of` makes the ledger.

    Raises:
        ValueError: As `spells_to_years` does, except where no spell is left.
    """
    with clean_spells(spells, rules).cache() as cleaned, people_of(cleaned, rules).cache() as people:
        counts = _count_spells(cleaned, rules) | _count_people(people, rules)
        years = person_years(cleaned, people, rules).cache()
        # Spark computes what it holds only when it is asked for rows: ask while it still holds the spells.
        filled = (years.occupations == 0).sum()
        totals = years.aggregate(all=years.count(), filled=filled, occupations=years.occupations.sum())
        counts["years"] = Counter(_row(totals))
    return years, counts


def _row(table: ir.Table) -> dict[str, Any]:
    """The only row of a table, with 0 for sums of nothing."""
    return {name: value or 0 for name, value in table.to_pyarrow().to_pylist()[0].items()}


def _count_spells(spells: ir.Table, rules: SpellRules) -> Counts:
    """Spells by reason, altered spells, labels that were not recoded, dates that were not read."""
    reasons = spells.group_by("reason").aggregate(n=spells.count(), goes_on=spells.ongoing.sum(), cut=spells.cut.sum())
    counts = {name: Counter[str]() for name in ("spells", "altered", "labels", "dates")}
    for row in reasons.to_pyarrow().to_pylist():
        counts["spells"][row["reason"] or "kept"] = row["n"]
        if row["reason"] is None:
            counts["altered"][f"goes on: until {rules.as_of}"] = row["goes_on"]
            counts["altered"][f"ends after {rules.as_of}: cut"] = row["cut"]
    if number := counts["spells"][NO_AS_OF]:
        row = spells.filter(spells.reason == NO_AS_OF).order_by("person").limit(1).to_pyarrow().to_pylist()[0]
        raise ValueError(
            f"person '{row['person']}', column '{rules.end}', value {row['end_written']!r}: the spell goes on, as "
            f"{number} spells do: say on which day the data end, such as as_of='2022-12-31' "
            "(missing_end='drop' drops those without any end)"
        )
    for column in ("start", "end"):
        if counts["spells"][f"{column} cannot be read"]:
            unread = spells.filter(spells.reason == f"{column} cannot be read")[f"{column}_written"].cast("string")
            for written, number in _frequent(unread).items():
                counts["dates"][f"{getattr(rules, column)} '{written}'"] += number
    for name, recode in rules.recode.items():
        for label, number in _frequent(spells[name]).items():
            if label == recode.otherwise:
                counts["altered"][f"{name} without a counterpart: {label}"] += number
            elif label not in recode.labels.values():
                counts["labels"][f"{name} '{label}'"] += number
    return counts


def _frequent(column: ir.StringColumn) -> dict[str, int]:
    """How often each value that is not missing occurs."""
    rows = column.name("value").as_table().drop_null().group_by("value").aggregate(n=lambda table: table.count())
    return {row["value"]: row["n"] for row in rows.to_pyarrow().to_pylist()}


def _count_people(people: ir.Table, rules: SpellRules) -> Counts:
    """People by what becomes of them, and their spells and years."""
    for name in rules.static:
        other = people[f"{name}_other"]
        differing = people.filter(people[name] != other).order_by("person").limit(1).to_pyarrow().to_pylist()
        if differing:
            person, first, second = (differing[0][key] for key in ("person", name, f"{name}_other"))
            raise ValueError(
                f"person '{person}', column '{name}', values {first!r} and {second!r}: a static column must not "
                "change within a person; correct it, or name it in carried="
            )
    long = people.span > rules.longest
    missing = {
        f"{name} missing: {rules.recode[name].missing}": (people[name].isnull() & ~long).sum()
        for name in rules.static
        if name in rules.recode and rules.recode[name].missing is not None
    }
    return {
        "missing": Counter(_row(people.aggregate(**missing)) if missing else {}),
        "people": Counter(
            _row(
                people.aggregate(
                    all=people.count(),
                    unused=(people.held == 0).sum(),
                    long=long.sum(),
                    long_spells=people.held.sum(where=long),
                    span=people.span.sum(where=~long),
                )
            )
        ),
    }


def ledger_of(counts: Counts, rules: SpellRules) -> Ledger:
    """The ledger of counts, added up over parts where there are several.

    Raises:
        ValueError: If no spell is left.
    """
    spells, people, years, ledger = counts["spells"], counts["people"], counts["years"], Ledger()
    dropped = {reason: number for reason, number in sorted(spells.items()) if reason != "kept" and number}
    altered = {name: number for name, number in sorted(counts["altered"].items()) if number}
    ledger.record("read spells", "spells", spells.total(), spells["kept"], dropped, altered)
    for kind, text in {"dates": "not read", "labels": "not recoded"}.items():
        for name, number in counts[kind].most_common(EXAMPLES):
            ledger.note(f"{text}: {name} ({number:,} spells)")
        if len(counts[kind]) > EXAMPLES:
            ledger.note(f"{text}: {len(counts[kind]) - EXAMPLES} more, {counts[kind].total():,} spells in all")
    if not years["all"]:
        raise ValueError(f"no spell is left:\n{ledger}")

    used = people["all"] - people["unused"]
    ledger.record("read spells", "people", people["all"], used, _if_any("no spell left", people["unused"]))
    reason, kept = f"more than {rules.longest} years from first to last", spells["kept"] - people["long_spells"]
    step = "drop careers too long to be true"
    ledger.record(step, "spells", spells["kept"], kept, _if_any(reason, people["long_spells"]), depends_on="future")
    left, gone = used - people["long"], _if_any(reason, people["long"])
    ledger.record(step, "people", used, left, gone, counts["missing"], depends_on="future")
    step, observed = "one occupation a year", years["all"] - years["filled"]
    others = _if_any(
        "another has more days in the year, or as many and started earlier", years["occupations"] - observed
    )
    ledger.record(step, "occupations of a year", years["occupations"], observed, others)
    gaps = _if_any("no occupation", people["span"] - observed)
    if rules.no_occupation is None:
        ledger.record(step, "years from first to last", people["span"], observed, gaps)
    else:
        ledger.record(step, "years from first to last", people["span"], years["all"], altered=gaps)
    return ledger


def _if_any(reason: str, number: int) -> dict[str, int]:
    return {reason: number} if number else {}
