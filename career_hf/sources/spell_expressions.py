"""Spells to years as ibis expressions: what `spells_to_years` does, in the order in which it does it.

`clean_spells` gives every spell its days and, where it is of no use, the reason; `people_of` sums up each person;
`person_years` chooses the occupation of each year. Nothing is computed until an engine is asked for the rows.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from .spell_dates import EPOCH, new_year, read_dates


if TYPE_CHECKING:
    import ibis.expr.types as ir

    from .spell_rules import Recode, SpellRules

# Ends that say in words that the spell goes on.
ONGOING = ("present", "current", "now", "today", "ongoing")
# Reasons that are asked for by name. Spells of the first two tell of the person, though not of an occupation.
NO_OCCUPATION = "no occupation"
REPEATS = "covers no day that other spells of the occupation leave"
NO_AS_OF = "goes on, but there is no as_of"
# Added to a day so that it has eight digits from the year 1000 to 2999, and sorts as text as it does as a number.
EIGHT_DIGITS = 20_000_000


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
