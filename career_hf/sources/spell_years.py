"""Dated spells to one occupation a year (Appendix F, "Resumes"), written once as ibis expressions.

An engine turns the expressions into its own SQL: DuckDB by default, which is embedded, keeps to a memory limit and
spills to disk, or Spark where one machine is not enough. Both give the same rows. `clean_spells` gives every spell its
days and, where it is of no use, the reason; `people_of` sums up each person; `person_years` chooses the occupation of
each year. Nothing is computed until an engine is asked for the rows.
"""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..careers.columns import read_table
from ..careers.ledger import Ledger
from .spell_dates import EPOCH, new_year, read_dates
from .spell_rules import Recode, SpellRules


if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend as DuckDB

# Ends that say in words that the spell goes on.
ONGOING = ("present", "current", "now", "today", "ongoing")
# Reasons that are asked for by name. Spells of the first two tell of the person, though not of an occupation.
NO_OCCUPATION = "no occupation"
REPEATS = "covers no day that other spells of the occupation leave"
NO_AS_OF = "goes on, but there is no as_of"
# Added to a day so that it has eight digits from the year 1000 to 2999, and sorts as text as it does as a number.
EIGHT_DIGITS = 20_000_000
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


def clean_spells(spells: ir.Table, rules: SpellRules) -> ir.Table:
    """Spells with their days, and the reason why each is of no use.

    Args:
        spells: A table with the columns that `rules` names.
        rules: The rules.

    Returns:
        One row per spell: person, occupation and the other columns as labels, recoded; the dates as written;
        `start_day`, `stop_day` (the first day after the spell) and `fresh_day` (from which on no other spell of the
        same person and occupation covers it), in days since 1970; `start_year` and `last_year`; `ongoing`, and `cut`
        if it ended after `as_of`; and `reason`, null for a spell that is used.
    """
    person = spells[rules.person]
    spells = spells.select(
        person=person if person.type().is_integer() else _label(person),
        occupation=_label(spells[rules.occupation]),
        start_written=_no_blanks(spells[rules.start]),
        end_written=_no_blanks(spells[rules.end]),
        **{name: _label(spells[column]) for name, column in rules.others.items()},
    )
    for name, recode in rules.recode.items():
        spells = _recoded(spells, name, recode)
    return _without_repeats(_with_reasons(_with_days(spells, rules), rules), rules).select(
        "person",
        "occupation",
        *rules.others,
        *("start_written", "end_written", "start_day", "stop_day", "fresh_day", "start_year", "last_year"),
        *("ongoing", "cut", "reason"),
    )


def _with_days(spells: ir.Table, rules: SpellRules) -> ir.Table:
    """Adds first day, first day after the end, their years, and whether the end is open or was cut."""
    import ibis

    starts, ends = read_dates(spells.start_written), read_dates(spells.end_written)
    spells = spells.left_join(starts, spells.start_written == starts.written).drop("written", "after")
    spells = spells.rename(start_year="year", start_day="first")
    spells = spells.left_join(ends, spells.end_written == ends.written).drop("written", "first")
    missing, end = spells.end_written.isnull(), spells.end_written
    in_words = end.lower().isin(ONGOING) if end.type().is_string() else ibis.literal(False)
    spells = spells.mutate(ongoing=ibis.coalesce(in_words, False) | (missing & (rules.missing_end == "as_of")))
    if not isinstance(rules.as_of, date):
        return spells.mutate(stop_day=spells.after, last_year=spells.year, cut=False)
    day_after = (rules.as_of - EPOCH).days + 1
    return spells.mutate(
        stop_day=spells.ongoing.ifelse(day_after, ibis.least(spells.after, day_after)).cast("int32"),
        last_year=spells.ongoing.ifelse(rules.as_of.year, ibis.least(spells.year, rules.as_of.year)).cast("int32"),
        cut=ibis.coalesce(~spells.ongoing & (spells.after > day_after), False),
    )


def _with_reasons(spells: ir.Table, rules: SpellRules) -> ir.Table:
    """Adds the first reason, if any, for which a spell is of no use."""
    import ibis

    dated, as_of = ~spells.ongoing, rules.as_of
    too_late = spells.start_day > (as_of - EPOCH).days if isinstance(as_of, date) else ibis.literal(False)
    reason = ibis.cases(
        (spells.person.isnull(), "no person"),
        (spells.start_written.isnull(), "no start"),
        (spells.start_day.isnull(), "start cannot be read"),
        (dated & spells.end_written.isnull(), "no end"),
        (dated & spells.after.isnull(), "end cannot be read"),
        (spells.ongoing & (as_of is None), NO_AS_OF),
        (too_late, f"starts after {as_of}"),
        (spells.stop_day <= spells.start_day, "ends before it starts"),
        (spells.start_year < rules.first_year, f"starts before {rules.first_year}"),
        (spells.last_year - spells.start_year >= rules.longest, f"more than {rules.longest} years"),
        (spells.occupation.isnull(), NO_OCCUPATION),
    )
    return spells.mutate(reason=reason)


def _without_repeats(spells: ir.Table, rules: SpellRules) -> ir.Table:
    """Adds the day from which on no earlier spell of the same occupation covers a spell, and drops what has none."""
    import ibis

    used = spells.reason.isnull()
    earlier = ibis.window(
        group_by=[used, spells.person, spells.occupation],
        order_by=["start_day", ibis.desc("stop_day"), "ongoing", "cut", *rules.covariates],
        preceding=(None, 1),
    )
    # A spell that starts no earlier than others lacks no day between its start and the last of their ends.
    spells = spells.mutate(covered=spells.stop_day.max().over(earlier))
    spells = spells.mutate(fresh_day=ibis.coalesce(ibis.greatest(spells.covered, spells.start_day), spells.start_day))
    repeats = spells.reason.isnull() & (spells.fresh_day >= spells.stop_day)
    return spells.mutate(reason=repeats.ifelse(REPEATS, spells.reason))


def people_of(spells: ir.Table, rules: SpellRules) -> ir.Table:
    """One row per person of `clean_spells`.

    Returns:
        person; `held`, spells that are used; `span`, years from the first to the last of these; and for each static
        column its value, and `<column>_other`, another value where there are several.
    """
    used, told = spells.reason.isnull(), _tells(spells)
    static = {}
    for name in rules.static:
        static[name] = spells[name].min(where=told)
        static[f"{name}_other"] = spells[name].max(where=told)
    return (
        spells.filter(spells.person.notnull())
        .group_by("person")
        .aggregate(
            held=used.sum(),
            span=spells.last_year.max(where=used) - spells.start_year.min(where=used) + 1,
            **static,
        )
    )


def _tells(spells: ir.Table) -> ir.BooleanColumn:
    """Whether what a spell says of a person is used, such as the degree."""
    return spells.reason.isnull() | spells.reason.isin([NO_OCCUPATION, REPEATS])


def person_years(spells: ir.Table, people: ir.Table, rules: SpellRules) -> ir.Table:
    """One row per person and year, of people whose years are not too many.

    Args:
        spells: What `clean_spells` returns.
        people: What `people_of` returns.
        rules: The rules.

    Returns:
        person, year, occupation (the one with most days), `occupations` (how many there were; 0 in a year that is
        filled in), and the columns that `rules` names.
    """
    import ibis

    held = spells.filter(spells.reason.isnull())
    held = held.select(
        *("person", "occupation", "start_day", "stop_day", "fresh_day", *rules.covariates),
        year=ibis.range(held.start_year, held.last_year + 1).unnest(),
    )
    days = ibis.least(held.stop_day, new_year(held.year + 1)) - ibis.greatest(held.fresh_day, new_year(held.year))
    held = held.mutate(days=days)
    held = held.filter(held.days > 0)
    # The value of the spell with most days: text that begins with the days, then with the day (fewer the later).
    key = (held.days + 1000).cast("string") + (EIGHT_DIGITS - held.fresh_day).cast("string")
    occupations = held.group_by("person", "year", "occupation").aggregate(
        days=held.days.sum(),
        start_day=held.start_day.min(),
        **{name: (key + held[name]).max().substr(12) for name in rules.covariates},
    )
    place = ibis.row_number().over(
        group_by=["person", "year"], order_by=[ibis.desc("days"), "start_day", "occupation"]
    )
    ranked = occupations.mutate(place=place, occupations=ibis._.count().over(group_by=["person", "year"]))
    years = ranked.filter(ranked.place == 0).select("person", "year", "occupation", "occupations", *rules.covariates)
    if rules.no_occupation is not None:
        years = _filled(years, rules.no_occupation)
    if rules.carried:
        years = _carried(years, spells, rules)
    known = people.filter(people.span <= rules.longest).select("person", *rules.static)
    years = years.mutate(year=years.year.cast("int32")).inner_join(known, "person")
    missing = {name: recode.missing for name, recode in rules.recode.items() if recode.missing is not None}
    years = years.fill_null({name: label for name, label in missing.items() if name != "occupation"})
    return years.select(
        "person", "year", "occupation", *rules.covariates, *rules.carried, *rules.static, "occupations"
    )


def _filled(years: ir.Table, label: str) -> ir.Table:
    """Years with those between them in which the person had no occupation."""
    import ibis

    gaps = years.mutate(next_year=years.year.lead().over(group_by="person", order_by="year"))
    gaps = gaps.filter(gaps.next_year > gaps.year + 1)
    gaps = gaps.select("person", year=ibis.range(gaps.year + 1, gaps.next_year).unnest())
    filled = {"occupation": ibis.literal(label), "occupations": ibis.literal(0, "int64")}
    empty = {name: ibis.null("string") for name in years.columns if name not in ("person", "year")}
    return years.union(gaps.mutate(**(empty | filled)))


def _carried(years: ir.Table, spells: ir.Table, rules: SpellRules) -> ir.Table:
    """Years with the last value of each carried column that started in the year or earlier."""
    import ibis

    told = spells.filter(_tells(spells))
    # Text that begins with the day grows with time, so the last value is the greatest so far.
    day = (told.start_day + EIGHT_DIGITS).cast("string")
    values = told.select(
        "person", year=told.start_year.cast("int64"), **{name: day + told[name] for name in rules.carried}
    )
    values = values.filter(ibis.or_(*(values[name].notnull() for name in rules.carried)))
    rest = [name for name in years.columns if name not in ("person", "year")]
    rows = years.mutate(**{name: ibis.null("string") for name in rules.carried})
    values = values.mutate(**{name: ibis.null(years[name].type()) for name in rest}).select(*rows.columns)
    both = rows.union(values)
    so_far = ibis.window(
        group_by="person", order_by=[both.year, both.occupation.notnull()], preceding=None, following=0
    )
    both = both.mutate(**{name: both[name].max().over(so_far) for name in rules.carried})
    both = both.filter(both.occupation.notnull())
    return both.mutate(**{name: both[name].substr(8) for name in rules.carried})


def _recoded(spells: ir.Table, name: str, recode: Recode) -> ir.Table:
    """The table with new labels in one column."""
    import ibis

    table = {label.strip().lower(): new for label, new in recode.labels.items()}
    # A literal and no memtable, which ibis does not hand to Spark where a result is cached.
    pairs = ibis.literal(
        [{"label": label, "new": new} for label, new in table.items()],
        type="array<struct<label: string, new: string>>",
    )
    labels = pairs.unnest().name("pair").as_table().unpack("pair")
    spells = spells.left_join(labels, spells[name].strip().lower() == labels.label)
    if recode.otherwise is None:
        kept = ibis.literal(recode.prefix) + spells[name] if recode.prefix else spells[name]
    else:
        kept = spells[name].notnull().ifelse(recode.otherwise, None)
    # A covariate that is missing here may be known from another spell, so it is called missing in the end only.
    missing = recode.missing if name == "occupation" else None
    return spells.mutate(**{name: ibis.coalesce(spells.new, kept, missing)}).drop("label", "new")


def _no_blanks(column: ir.Column) -> ir.Column:
    """A column with empty text and NaN as null."""
    kind = column.type()
    if kind.is_floating():
        return column.isnan().ifelse(None, column)
    return column.cast("string").strip().nullif("") if kind.is_string() or kind.is_null() else column


def _label(column: ir.Column) -> ir.StringColumn:
    """A column as labels: whole numbers without decimals, empty text and NaN as null (as `read_labels` does)."""
    kind = column.type()
    if kind.is_string():
        return (column.strip() == "").ifelse(None, column)
    if kind.is_floating():
        whole = column.floor() == column
        return column.isnan().ifelse(None, whole.ifelse(column.cast("int64").cast("string"), column.cast("string")))
    if kind.is_integer() or kind.is_null():
        return column.cast("string")
    raise ValueError(f"column '{column.get_name()}' has type {kind}, which is no label: convert it to text")
