"""Reads dates of spells (days, months, quarters or years) as numbers of days, with one expression for every engine.

A date stands for the whole period it names: a spell from "2014" to "2016-03" begins on the first of January 2014 and
ends on the last of March 2016. Texts may be

    2014-03-17, 2014-03-17 08:30:00    a day
    2014-03                            a month
    Q3 2014, 2014-Q3, 2014Q3           a quarter
    2014, 2014.0                       a year

with "/" in place of "-" if wished. Numbers are years. Only years from 1000 to 2999 are read, so that markers such as
9999 are not taken for years.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import ibis.expr.types as ir

EPOCH = date(1970, 1, 1)
ISO = r"^[12]\d{3}([-/](0[1-9]|1[0-2])([-/]\d{2}([T ].*)?)?)?$"
QUARTER = r"^(Q[1-4][ /-]?[12]\d{3}|[12]\d{3}[ /-]?Q[1-4])$"
YEARS = (1000, 2999)


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
        whole = value.between(*YEARS) & (value == value.floor())
        read = written.mutate(year=whole.ifelse(value, None).cast("int32"))
        return read.mutate(first=new_year(read.year), after=new_year(read.year + 1))
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
    quarter, iso = text.re_search(QUARTER), text.re_search(ISO)
    month_of_quarter = text.re_extract(r"Q(\d)", 1).try_cast("int32") * 3 - 2
    month_written = text.substr(5, 2).try_cast("int32")
    parts = written.mutate(
        # Length of the period in months; 0 for a day.
        months=ibis.cases((quarter, 3), (iso, ibis.cases((text.length() == 4, 12), (text.length() == 7, 1), else_=0))),
        # A period never runs into the next year, so this is the year of its last day too.
        written_year=text.re_extract(r"(\d{4})", 1).try_cast("int32"),
        month=ibis.cases((quarter, month_of_quarter), (text.length() == 4, 1), else_=month_written),
        day=(text.length() >= 10).ifelse(text.substr(8, 2).try_cast("int32"), 1),
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
