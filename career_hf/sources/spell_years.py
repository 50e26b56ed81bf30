"""Turns dated spells into one occupation a year (Appendix F, "Resumes"), by ibis expressions.

An engine turns the expressions into its own SQL: DuckDB by default, which is embedded, keeps to a memory limit and
spills to disk, or Spark where one machine is not enough. Both give the same rows. `clean_spells` gives every spell its
days and, if it is dropped, the reason; `people_of` sums up each person; `person_years` chooses the occupation of each
year. Nothing is computed until an engine is asked for the rows.
"""

from __future__ import annotations

import csv
import gzip
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..careers.columns import read_table
from ..careers.ledger import Ledger
from ..occupations.normalising import LARGEST_EXACT, WHOLE_WITH_POINT, label_of
from .spell_dates import EPOCH, new_year, read_dates
from .spell_rules import Recode, SpellRules


if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend as DuckDB

# Words in the place of an end date which say that the spell goes on, in English, German, Dutch, French and Spanish.
# fmt: off
ONGOING = (
    "present", "current", "currently", "now", "today", "ongoing", "to date", "till date", "to present", "till present",
    "until present", "to now", "till now", "until now", "till today", "until today", "present day", "infinity",
    "heute", "bis heute", "jetzt", "aktuell", "derzeit", "laufend", "gegenwärtig", "bis dato", "bis jetzt",
    "heden", "nu", "tot heden", "à ce jour", "aujourd'hui", "présent", "en cours", "actualidad", "actual", "presente",
)
# fmt: on
# Registers write the last day of the year 9999 for an end that is open, as text, number or date.
FAR_FUTURE = r"^9999([-/.]?\d{2}){0,2}([T ].*)?$|^(\d{1,2}[-/.]){1,2}9999$|^9999\.0+$|^99991231(\.0+)?$"
# Texts that say that there is no date.
NO_DATE = ("", "nan", "nat", "none", "null", "na", "n/a", "<na>", "-", ".", "0000-00-00", "0000-00-00 00:00:00")
OUTER_BLANKS = r"^[\s\p{Z}]+|[\s\p{Z}]+$"
# Where more of the spells have a date that cannot be read, users are warned.
MOST_UNREAD = 0.02
# Reasons that the code refers to. Spells of the first two describe the person, though they give no occupation.
NO_OCCUPATION = "no occupation"
REPEATS = "covers no day that other spells of the occupation leave"
NO_AS_OF = "goes on, but there is no as_of"
# A day plus this number has eight digits from the year 1000 to 2999, so that it sorts as text as it does as a number.
EIGHT_DIGITS = 20_000_000
# Labels and dates that a ledger names one by one.
EXAMPLES = 20


def spells_to_years(spells: Any, rules: SpellRules | None = None) -> tuple[ir.CachedTable, Ledger]:
    """Turns dated spells into one occupation a year: the one with most days in the year (Appendix F).

    A day that several spells of one occupation cover is counted once. Ties go to the occupation whose spell in that
    year started earlier, then to the label that comes first in the alphabet. The order of rows has no effect.

    Args:
        spells: Path of Parquet or CSV files (`*` allowed), a pandas, polars or Arrow table, all for DuckDB; or an ibis
            table of any engine, such as `ibis.pyspark.connect(session).read_parquet(path)`.
        rules: Meaning of the columns, and what is dropped.

    Returns:
        A table on the engine with one row per person and year and the columns person, year, occupation, `occupations`
        (how many the person had in the year), and the columns that `rules` names; and the ledger.

    Raises:
        ValueError: If a column is missing or has the wrong type, a static column changes within a
            person, a spell goes on but there is no `as_of`, or no spell is left.
    """
    import ibis

    rules = rules or SpellRules()
    connection = ibis.duckdb.connect(preserve_insertion_order=False)
    with readable(spells):
        years, counts = build_years(read_spells(spells, rules, connection), rules)
    return years, ledger_of(counts, rules)


def read_spells(spells: Any, rules: SpellRules, connection: DuckDB) -> ir.Table:
    """Reads a table of spells; CSV files are read as text, so that "007" stays as it is.

    Raises:
        ValueError: If a column is missing, or a file cannot be read.
    """
    import ibis

    if isinstance(spells, str | Path):
        spells = _read_csv(str(spells), connection) if is_text_file(spells) else connection.read_parquet(str(spells))
    elif not isinstance(spells, ibis.Table):
        table = read_table(spells, rules.columns)
        for place, field in enumerate(table.schema):
            if str(field.type) == "null":  # DuckDB has no such type
                table = table.set_column(place, field.name, table[field.name].cast("string"))
        spells = connection.create_table(ibis.util.gen_name("spells"), table, temp=True)
    missing = [name for name in rules.columns if name not in spells.columns]
    if missing:
        raise ValueError(f"column '{missing[0]}' is not in the table of spells, whose columns are {spells.columns}")
    spells = spells.select(*dict.fromkeys(rules.columns))
    # People are cut into parts by their identifiers, so these must be labels before anything else is done.
    person = spells[rules.person]
    return spells if person.type().is_integer() else spells.mutate(**{rules.person: _label(person)})


def is_text_file(path: str | Path) -> bool:
    """Whether a path names CSV files."""
    return str(path).removesuffix(".gz").endswith((".csv", ".tsv", ".txt"))


def _read_csv(path: str, connection: DuckDB) -> ir.Table:
    # DuckDB's own detection reads all lines: one broken line makes it skip others, or read all as one column.
    files = sorted(glob(path)) or [path]
    delimiter, names = read_header(files[0])
    for file in files[1:]:
        if read_header(file) != (delimiter, names):
            raise ValueError(f"{file} has other columns than {files[0]}, {names}, or has them in another order")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{files[0]} has two columns '{repeated[0]}': rename one")
    types = dict.fromkeys(names, "VARCHAR")
    form = {"header": True, "auto_detect": False, "delim": delimiter, "quote": '"', "escape": '"'}
    return connection.read_csv(path, columns=types, **form)


def read_header(path: str) -> tuple[str, list[str]]:
    """Reads the delimiter and the column names of a CSV file.

    Raises:
        ValueError: If the file has no first line, or the line is not text.
    """
    opened = gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")
    with opened as lines:
        line = lines.readline()
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be read: its first line is not UTF-8; save the file as UTF-8") from error
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
        # The message ends with suggestions of DuckDB settings, which users cannot make.
        raise ValueError(f"{spells} cannot be read: {str(error).partition('Possible')[0].strip()}") from error


Counts = dict[str, Counter[str]]


def build_years(spells: ir.Table, rules: SpellRules) -> tuple[ir.CachedTable, Counts]:
    """Builds the years of `spells_to_years` on the engine, and the counts from which `ledger_of` makes the ledger.

    Raises:
        ValueError: As `spells_to_years` does, except where no spell is left.
    """
    with clean_spells(spells, rules).cache() as cleaned, people_of(cleaned, rules).cache() as people:
        counts = _count_spells(cleaned, rules) | _count_people(people, rules)
        years = person_years(cleaned, people, rules).cache()
        # Spark computes a cached table only when it is asked for rows: ask while the spells are cached too.
        filled = (years.occupations == 0).sum()
        totals = years.aggregate(all=years.count(), filled=filled, occupations=years.occupations.sum())
        counts["years"] = Counter(_only_row(totals))
    return years, counts


def _only_row(table: ir.Table) -> dict[str, Any]:
    """The only row of a table, with 0 for sums of nothing."""
    return {name: value or 0 for name, value in table.to_pyarrow().to_pylist()[0].items()}


def _count_spells(spells: ir.Table, rules: SpellRules) -> Counts:
    """Counts spells by reason, altered spells, labels that were not recoded, and dates that were not read."""
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
            for written, number in _value_counts(unread).items():
                counts["dates"][f"{getattr(rules, column)} '{written}'"] += number
    for name, recode in rules.recode.items():
        for label, number in _value_counts(spells[name]).items():
            if label == recode.otherwise:
                counts["altered"][f"{name} without a counterpart: {label}"] += number
            elif label not in recode.labels.values():
                counts["labels"][f"{name} '{label}'"] += number
    return counts


def _value_counts(column: ir.StringColumn) -> dict[str, int]:
    """Counts how often each value occurs, without missing ones."""
    rows = column.name("value").as_table().drop_null().group_by("value").aggregate(n=lambda table: table.count())
    return {row["value"]: row["n"] for row in rows.to_pyarrow().to_pylist()}


def _count_people(people: ir.Table, rules: SpellRules) -> Counts:
    """Counts people who are used, unused or dropped, and their spells and years."""
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
        "missing": Counter(_only_row(people.aggregate(**missing)) if missing else {}),
        "people": Counter(
            _only_row(
                people.aggregate(
                    all=people.count(),
                    unused=(people.used_spells == 0).sum(),
                    long=long.sum(),
                    long_spells=people.used_spells.sum(where=long),
                    span=people.span.sum(where=~long),
                )
            )
        ),
    }


def ledger_of(counts: Counts, rules: SpellRules) -> Ledger:
    """Makes the ledger from counts, which are sums over all parts where there are several.

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
    unread, total = counts["dates"].total(), spells.total()
    if unread > MOST_UNREAD * total:
        text = f"{unread:,} of {total:,} spells ({unread / total:.1%}) are dropped because a date cannot be read"
        examples = ", ".join(name for name, _ in counts["dates"].most_common(3))
        ledger.note(f"warning: {text}")
        warnings.warn(f"{text}: {examples}; write dates as in 2014-03-17, 2014-03 or 2014", stacklevel=2)
    if not years["all"]:
        raise ValueError(f"no spell is left:\n{ledger}")

    used = people["all"] - people["unused"]
    ledger.record("read spells", "people", people["all"], used, _if_any("no spell left", people["unused"]))
    reason, spells_left = f"more than {rules.longest} years from first to last", spells["kept"] - people["long_spells"]
    step = "drop careers too long to be true"
    ledger.record(
        step, "spells", spells["kept"], spells_left, _if_any(reason, people["long_spells"]), depends_on="future"
    )
    people_left, dropped = used - people["long"], _if_any(reason, people["long"])
    ledger.record(step, "people", used, people_left, dropped, counts["missing"], depends_on="future")
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
    """Gives spells their days, and the reason why each is dropped, if it is.

    Args:
        spells: Table with the columns that `rules` names.
        rules: Meaning of the columns, and what is dropped.

    Returns:
        One row per spell: person, occupation and the other columns as labels, recoded; the dates as written;
        `start_day`, `stop_day` (the first day after the spell) and `fresh_day` (the first day from which no other
        spell of the same person and occupation covers it), in days since 1970; `start_year` and `last_year`;
        `ongoing`, and `cut` if it ended after `as_of`; and `reason`, null for a spell that is used.
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
        spells = _with_new_labels(spells, name, recode)
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
    words = end.cast("string").lower().strip()
    in_words = words.isin(ONGOING) | words.re_search(FAR_FUTURE)
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
    """Adds the first reason, if any, for which a spell is dropped."""
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
    """Adds the first day that no earlier spell of the occupation covers; spells without such a day are dropped."""
    import ibis

    used = spells.reason.isnull()
    earlier = ibis.window(
        group_by=[used, spells.person, spells.occupation],
        order_by=["start_day", ibis.desc("stop_day"), "ongoing", "cut", *rules.covariates],
        preceding=(None, 1),
    )
    # The earlier spells start no later, so together they cover all days from this spell's start to their last end.
    spells = spells.mutate(covered=spells.stop_day.max().over(earlier))
    spells = spells.mutate(fresh_day=ibis.coalesce(ibis.greatest(spells.covered, spells.start_day), spells.start_day))
    repeats = spells.reason.isnull() & (spells.fresh_day >= spells.stop_day)
    return spells.mutate(reason=repeats.ifelse(REPEATS, spells.reason))


def people_of(spells: ir.Table, rules: SpellRules) -> ir.Table:
    """Sums up each person of `clean_spells` in one row.

    Returns:
        person; `used_spells`, their number; `span`, years from the first to the last of these; and for each
        static column its value, and `<column>_other`, which is another value where there are several.
    """
    used, describes = spells.reason.isnull(), _describes_person(spells)
    static = {}
    for name in rules.static:
        static[name] = spells[name].min(where=describes)
        static[f"{name}_other"] = spells[name].max(where=describes)
    return (
        spells.filter(spells.person.notnull())
        .group_by("person")
        .aggregate(
            used_spells=used.sum(),
            span=spells.last_year.max(where=used) - spells.start_year.min(where=used) + 1,
            **static,
        )
    )


def _describes_person(spells: ir.Table) -> ir.BooleanColumn:
    """Whether the person's attributes in a spell, such as the degree, are used."""
    return spells.reason.isnull() | spells.reason.isin([NO_OCCUPATION, REPEATS])


def person_years(spells: ir.Table, people: ir.Table, rules: SpellRules) -> ir.Table:
    """Makes one row per person and year, without people whose careers are too long.

    Args:
        spells: What `clean_spells` returns.
        people: What `people_of` returns.
        rules: Meaning of the columns, and what is dropped.

    Returns:
        person, year, occupation (the one with most days), `occupations` (how many there were; 0 in a year that is
        filled in), and the columns that `rules` names.
    """
    import ibis

    used = spells.filter(spells.reason.isnull())
    spell_years = used.select(
        *("person", "occupation", "start_day", "stop_day", "fresh_day", *rules.covariates),
        year=ibis.range(used.start_year, used.last_year + 1).unnest(),
    )
    days = ibis.least(spell_years.stop_day, new_year(spell_years.year + 1)) - ibis.greatest(
        spell_years.fresh_day, new_year(spell_years.year)
    )
    spell_years = spell_years.mutate(days=days)
    spell_years = spell_years.filter(spell_years.days > 0)
    # The value of the spell with most days is the largest text that begins with the days, then the earliness.
    key = (spell_years.days + 1000).cast("string") + (EIGHT_DIGITS - spell_years.fresh_day).cast("string")
    occupations = spell_years.group_by("person", "year", "occupation").aggregate(
        days=spell_years.days.sum(),
        start_day=spell_years.start_day.min(),
        **{name: (key + spell_years[name]).max().substr(12) for name in rules.covariates},
    )
    place = ibis.row_number().over(
        group_by=["person", "year"], order_by=[ibis.desc("days"), "start_day", "occupation"]
    )
    ranked = occupations.mutate(place=place, occupations=ibis._.count().over(group_by=["person", "year"]))
    years = ranked.filter(ranked.place == 0).select("person", "year", "occupation", "occupations", *rules.covariates)
    if rules.no_occupation is not None:
        years = _with_gaps_filled(years, rules.no_occupation)
    if rules.carried:
        years = _with_carried_values(years, spells, rules)
    static = people.filter(people.span <= rules.longest).select("person", *rules.static)
    years = years.mutate(year=years.year.cast("int32")).inner_join(static, "person")
    missing = {name: recode.missing for name, recode in rules.recode.items() if recode.missing is not None}
    years = years.fill_null({name: label for name, label in missing.items() if name != "occupation"})
    return years.select(
        "person", "year", "occupation", *rules.covariates, *rules.carried, *rules.static, "occupations"
    )


def _with_gaps_filled(years: ir.Table, label: str) -> ir.Table:
    """Adds the years between the first and the last in which the person had no occupation."""
    import ibis

    gaps = years.mutate(next_year=years.year.lead().over(group_by="person", order_by="year"))
    gaps = gaps.filter(gaps.next_year > gaps.year + 1)
    gaps = gaps.select("person", year=ibis.range(gaps.year + 1, gaps.next_year).unnest())
    filled = {"occupation": ibis.literal(label), "occupations": ibis.literal(0, "int64")}
    empty = {name: ibis.null("string") for name in years.columns if name not in ("person", "year")}
    return years.union(gaps.mutate(**(empty | filled)))


def _with_carried_values(years: ir.Table, spells: ir.Table, rules: SpellRules) -> ir.Table:
    """Adds each carried column: the last value that started in the year or earlier."""
    import ibis

    described = spells.filter(_describes_person(spells))
    # Text that begins with the day grows with time, so the last value is the greatest so far.
    day = (described.start_day + EIGHT_DIGITS).cast("string")
    values = described.select(
        "person", year=described.start_year.cast("int64"), **{name: day + described[name] for name in rules.carried}
    )
    values = values.filter(ibis.or_(*(values[name].notnull() for name in rules.carried)))
    other_columns = [name for name in years.columns if name not in ("person", "year")]
    rows = years.mutate(**{name: ibis.null("string") for name in rules.carried})
    values = values.mutate(**{name: ibis.null(years[name].type()) for name in other_columns}).select(*rows.columns)
    merged = rows.union(values)
    so_far = ibis.window(
        group_by="person", order_by=[merged.year, merged.occupation.notnull()], preceding=None, following=0
    )
    merged = merged.mutate(**{name: merged[name].max().over(so_far) for name in rules.carried})
    merged = merged.filter(merged.occupation.notnull())
    return merged.mutate(**{name: merged[name].substr(8) for name in rules.carried})


def _with_new_labels(spells: ir.Table, name: str, recode: Recode) -> ir.Table:
    """Gives one column its new labels."""
    import ibis

    table = {str(label_of(label)).lower(): new for label, new in recode.labels.items()}
    # A literal, because ibis does not hand a memtable to Spark where a result is cached.
    pairs = ibis.literal(
        [{"label": label, "new": new} for label, new in table.items()],
        type="array<struct<label: string, new: string>>",
    )
    labels = pairs.unnest().name("pair").as_table().unpack("pair")
    spells = spells.left_join(labels, spells[name].strip().lower() == labels.label)
    if recode.otherwise is None:
        unlisted = ibis.literal(recode.prefix) + spells[name] if recode.prefix else spells[name]
    else:
        unlisted = spells[name].notnull().ifelse(recode.otherwise, None)
    # Another spell may give a covariate that is missing in this one, so `person_years` labels missing covariates.
    missing = recode.missing if name == "occupation" else None
    return spells.mutate(**{name: ibis.coalesce(spells.new, unlisted, missing)}).drop("label", "new")


def _no_blanks(column: ir.Column) -> ir.Column:
    """Turns empty text, NaN and texts that say that a date is missing into null."""
    kind = column.type()
    if kind.is_floating():
        return column.isnan().ifelse(None, column)
    if kind.is_string() or kind.is_null():
        text = column.cast("string").strip()
        return text.lower().isin(NO_DATE).ifelse(None, text)
    return column


def _label(column: ir.Column) -> ir.StringColumn:
    """Turns a column into labels by the rule of `occupations.normalising`."""
    kind = column.type()
    if kind.is_string():
        text = column.re_replace(OUTER_BLANKS, "")
        is_whole = text.re_search(WHOLE_WITH_POINT)
        return is_whole.ifelse(text.re_replace(r"\.0+$", ""), text).nullif("")
    if kind.is_floating():
        whole = column.floor() == column
        digits = (whole & (column.abs() < LARGEST_EXACT)).ifelse(column, None).cast("int64").cast("string")
        text = whole.ifelse(digits, column.cast("string"))
        return column.isnan().ifelse(None, text)
    if kind.is_decimal():
        text = column.cast("string")
        has_point = text.re_search(r"\.")
        return has_point.ifelse(text.re_replace(r"0+$", "").re_replace(r"\.$", ""), text)
    if kind.is_boolean():
        return column.ifelse("true", "false")
    if kind.is_integer() or kind.is_null():
        return column.cast("string")
    raise ValueError(f"column '{column.get_name()}' has type {kind}, which is not a label: convert it to text")
