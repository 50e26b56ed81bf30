"""Reads dates of spells (days, months, quarters or years) as numbers of days, with one expression for every engine.

A date stands for the whole period it names: a spell from "2014" to "2016-03" begins on the first of January 2014 and
ends on the last of March 2016. `careers.periods` says how dates may be written.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from ..careers.periods import FORMS, MONTHS, YEARS


if TYPE_CHECKING:
    import ibis.expr.types as ir

EPOCH = date(1970, 1, 1)


def day_number(day: ir.DateValue) -> ir.IntegerColumn:
    """Number of days since the first of January 1970."""
    return day.delta(EPOCH, unit="day").cast("int32")


def new_year(year: ir.IntegerValue) -> ir.IntegerColumn:
    """Number of the first day of a year."""
    import ibis

    return day_number(ibis.date(year.cast("int32"), 1, 1))


def read_dates(dates: ir.Column) -> ir.Table:
    """Reads the distinct dates of a column, each once, however many spells share it.

    Args:
        dates: Text, whole numbers (years), dates or timestamps without time zone.

    Returns:
        `written`, the column's values; the period's `year`, its `first` day and the first day `after` it, all three
        null where the value cannot be read.

    Raises:
        ValueError: If the column has another type.
    """
    written = dates.name("written").as_table().distinct()
    kind = dates.type()
    value = written.written
    if kind.is_string():
        return _read_text(written, value)
    if kind.is_numeric():
        whole = value.between(0, 10**8) & (value == value.floor())
        return _read_text(written, whole.ifelse(value, None).cast("int64").cast("string"))
    if kind.is_date() or (kind.is_timestamp() and kind.timezone is None):
        day = value.date() if kind.is_timestamp() else value
        read = written.mutate(year=day.year().between(*YEARS).ifelse(day.year(), None).cast("int32"))
        first = read.year.notnull().ifelse(day_number(day), None)
        return read.mutate(first=first, after=first + 1)
    raise ValueError(
        f"column '{dates.get_name()}' has type {kind}, which is not a date: pass text, years or "
        "dates (with a time zone the day would depend on the machine: convert to dates first)"
    )


def _read_text(written: ir.Table, value: ir.StringValue) -> ir.Table:
    import ibis

    text = value.strip().upper().re_replace(r"\.0+$", "")
    found: dict[str, list[ir.Value]] = {part: [] for part in ("year", "quarter", "month", "name", "day")}
    for pattern, groups in FORMS:
        for group, part in enumerate(groups, 1):
            found[part].append(text.re_extract(pattern, group).nullif(""))
    read = written.mutate(**{f"{part}_text": ibis.coalesce(*texts) for part, texts in found.items()})
    name = read.name_text.substr(0, 3)
    month_of_name = ibis.cases(*((name == month, number) for month, number in MONTHS.items()))
    month_of_quarter = read.quarter_text.try_cast("int32") * 3 - 2
    parts = read.select(
        "written",
        # Length of the period in months; 0 for a day.
        months=ibis.cases(
            (read.day_text.notnull(), 0),
            (read.quarter_text.notnull(), 3),
            (read.month_text.notnull() | read.name_text.notnull(), 1),
            (read.year_text.notnull(), 12),
        ),
        # A period never runs into the next year, so this is the year of its last day too.
        written_year=read.year_text.try_cast("int32"),
        month=ibis.coalesce(month_of_quarter, read.month_text.try_cast("int32"), month_of_name, 1),
        day=ibis.coalesce(read.day_text.try_cast("int32"), 1),
    )
    parts = parts.mutate(next=parts.written_year * 12 + parts.month - 1 + ibis.greatest(parts.months, 1))
    readable = parts.months.notnull()
    begin = ibis.date(readable.ifelse(parts.written_year, None), readable.ifelse(parts.month, None), 1)
    end = ibis.date((parts.next // 12).cast("int32"), (parts.next % 12 + 1).cast("int32"), 1)
    days = parts.select(
        "written", "months", "written_year", "day", begin=day_number(begin), end=day_number(readable.ifelse(end, None))
    )
    # Days such as the 31st of April do not exist.
    is_date = (days.months > 0) | days.day.between(1, days.end - days.begin)
    first = days.begin + days.day - 1
    return days.select(
        "written",
        year=is_date.ifelse(days.written_year, None),
        first=is_date.ifelse(first, None),
        after=is_date.ifelse((days.months > 0).ifelse(days.end, first + 1), None),
    )
