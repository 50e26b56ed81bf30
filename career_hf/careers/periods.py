"""Periods: years, quarters and months, as whole numbers that models count with and as labels that people read.

A period is the number of periods since the year 0: July 1993 is month 12 * 1993 + 6, its quarter 4 * 1993 + 2 and its
year 1993, so that neighbours differ by one in every unit. Labels are "1993-07", "1993Q3" and "1993". Careers without a
calendar, such as months since school, have plain numbers below 1,000, which are their own labels. Careers in years say
nothing of their unit; others have a text column `time_unit` with "quarter" or "month" for every person, which goes
wherever the careers go. Nothing else knows how a unit is recorded, read or written.

A date stands for the whole period that it names. Texts may be, in capital or small letters,

    2014-03-17, 2014/3/17, 2014-03-17 08:30:00, 20140317, 17.03.2014, 17 Mar 2014, March 17, 2014    a day
    2014-03, 03/2014, 3.2014, 201403, Mar 2014, March 2014, 2014m3                                   a month
    Q3 2014, Q32014, Q3/2014, 2014-Q3, 2014Q3                                                        a quarter
    2014, 2014.0                                                                                     a year

with names of months in English or German. Whole numbers are read as their digits. 03/04/2014 is not read, because it
is a day in March to some and in April to others. Only years from 1000 to 2999 are read, so that markers such as 9999
are not taken for years. These are also the dates of spells (`sources.spell_dates`). Periods of panels may be written
as names of columns too: 1993.09, 1993_09, Sep.93, Sep93, 1993.Q3, 1993_Q3, Q3.93, and with R's X before a year; years
of two digits are those from 1969 to 2068.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..occupations.normalising import label_of


TimeUnit = Literal["year", "quarter", "month"]
# A period as people name it: its label, any date in it, or a plain number such as a year.
Period = int | str
TIME_UNIT = "time_unit"
PER_YEAR: Mapping[str, int] = {"year": 1, "quarter": 4, "month": 12}
# The years that dates may have; a plain number has fewer than four digits.
YEARS = (1000, 2999)
PLAIN = 1000

_YEAR, _MONTH, _DAY = r"([12]\d{3})", r"(0?[1-9]|1[0-2])", r"(0?[1-9]|[12]\d|3[01])"
_RECENT, _TWO_MONTH, _TWO_DAY = r"((?:19|20)\d{2})", r"(0[1-9]|1[0-2])", r"(0[1-9]|[12]\d|3[01])"
_NAME = (
    r"(JAN(?:UARY|UAR)?|FEB(?:RUARY|RUAR)?|MAR(?:CH)?|MÄR(?:Z)?|MRZ|APR(?:IL)?|MAY|MAI|JUN[EI]?|JUL[YI]?|AUG(?:UST)?"
    r"|SEP(?:T|TEMBER)?|O[CK]T(?:OBER)?|NOV(?:EMBER)?|DE[CZ](?:EMBER)?)"
)
MONTHS = {
    month: number
    for number, names in enumerate(
        ("JAN", "FEB", "MAR MÄR MRZ", "APR", "MAY MAI", "JUN", "JUL", "AUG", "SEP", "OCT OKT", "NOV", "DEC DEZ"), 1
    )
    for month in names.split()
}
# Forms of a date, of which a text has at most one, and the parts that their groups hold.
FORMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (rf"^{_YEAR}$", ("year",)),
    (rf"^Q([1-4])[ /-]?{_YEAR}$", ("quarter", "year")),
    (rf"^{_YEAR}[ /-]?Q([1-4])$", ("year", "quarter")),
    (rf"^{_YEAR}[-/]{_MONTH}$", ("year", "month")),
    (rf"^{_YEAR}M{_MONTH}$", ("year", "month")),
    (rf"^{_RECENT}{_TWO_MONTH}$", ("year", "month")),
    (rf"^{_MONTH}[-/.]{_YEAR}$", ("month", "year")),
    (rf"^{_NAME}[ ./,-]*{_YEAR}$", ("name", "year")),
    (rf"^{_YEAR}[ ./,-]*{_NAME}\.?$", ("year", "name")),
    (rf"^{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}(?:[T ].*)?$", ("year", "month", "day")),
    (rf"^{_RECENT}{_TWO_MONTH}{_TWO_DAY}$", ("year", "month", "day")),
    (rf"^{_DAY}\.{_MONTH}\.{_YEAR}$", ("day", "month", "year")),
    (rf"^{_DAY}(?:ST|ND|RD|TH)?[ ./,-]*{_NAME}[ ./,-]*{_YEAR}$", ("day", "name", "year")),
    (rf"^{_NAME}\.? {_DAY}(?:ST|ND|RD|TH)?,? {_YEAR}$", ("name", "day", "year")),
)
# Further forms of names of columns. Of a spell, "Mar 17" could as well be a day.
COLUMN_FORMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (rf"^{_YEAR}[._]{_TWO_MONTH}$", ("year", "month")),
    (rf"^{_NAME}_{_YEAR}$", ("name", "year")),
    (rf"^{_YEAR}_{_NAME}$", ("year", "name")),
    (rf"^{_NAME}[ ./,_-]*(\d\d)$", ("name", "short_year")),
    (rf"^{_YEAR}[._]Q([1-4])$", ("year", "quarter")),
    (rf"^Q([1-4])[._]{_YEAR}$", ("quarter", "year")),
    (r"^Q([1-4])[ ./_-](\d\d)$", ("quarter", "short_year")),
)
# How a period of each unit may be written, for people whose value is none.
WRITTEN: Mapping[str, str] = {
    "year": "years are whole numbers such as 1980, or dates",
    "quarter": "quarters are written as in '1993Q3', or are dates",
    "month": "months are written as in '1993-07' or 'Jul.93', or are dates",
}


class UnreadablePeriodError(ValueError):
    """A value that names no period of the unit.

    Args:
        place: Place of the value among those that were read.
        problem: What is wrong with it.
        fix: How it can be written.
        other: Place of a value that it contradicts, which `problem` calls "{other}".
    """

    def __init__(self, place: int, problem: str, fix: str, other: int | None = None) -> None:
        super().__init__(problem)
        self.place, self.problem, self.fix, self.other = place, problem, fix, other

    def said(self, name_of: Callable[[int], str]) -> str:
        """The problem, in which another value is named by its place."""
        return self.problem if self.other is None else self.problem.format(other=name_of(self.other))


@dataclass(frozen=True)
class _Reading:
    """What one value names.

    Args:
        months: Months since the year 0 of the first month of a date's period; a plain number as it is.
        form: "year", "quarter", "month" or "day" for a date; "number" for a plain number, "count" for the number of a
            period, of which only the unit tells the date.
        may_be_years: Whether it could name two years, such as 2010-11.
    """

    months: int
    form: str
    may_be_years: bool = False


def plural(unit: str) -> str:
    """The unit in a count: years, quarters or months."""
    return f"{unit}s"


def person_periods(unit: str) -> str:
    """What a ledger counts: person-years, person-quarters or person-months."""
    return f"person-{unit}s"


def finer_hint(unit: str) -> str:
    """What to do where two values are one period: they may be periods of a finer unit."""
    finer = [each for each, per_year in PER_YEAR.items() if per_year > PER_YEAR[unit]]
    if not finer:
        return ""
    said = " or ".join(f"unit={each!r}" for each in finer)
    return f", or say {said} if these are {' or '.join(map(plural, finer))}"


def period_label(number: int, unit: str) -> str:
    """The label of a period: "1993-07", "1993Q3", or "1993" for a year and for a plain number."""
    per_year = PER_YEAR[unit]
    year, place = divmod(int(number), per_year)
    if per_year == 1 or not YEARS[0] <= year <= YEARS[1]:
        return str(int(number))
    return f"{year}-{place + 1:02d}" if unit == "month" else f"{year}Q{place + 1}"


def period_labels(numbers: Any, unit: str) -> np.ndarray:
    """The labels of periods as an array of texts of the same shape; of years the numbers themselves."""
    numbers = np.asarray(numbers)
    if unit == "year":
        return numbers
    distinct, places = np.unique(numbers, return_inverse=True)
    labels = np.array([period_label(number, unit) for number in distinct], dtype=object)
    return np.asarray(labels[places].reshape(numbers.shape))


def with_period_labels(frame: pd.DataFrame, unit: str, column: str = "year") -> pd.DataFrame:
    """A frame for people to read: its column, or its index, of periods has the unit's name, and labels.

    Args:
        frame: A table with the numbers of periods; an index may hold other texts too, such as "all".
        unit: The unit; a frame with years is returned as it is.
        column: Name of the column or the index.
    """
    if unit == "year":
        return frame
    if column in frame.columns:
        return frame.assign(**{column: period_labels(frame[column], unit)}).rename(columns={column: unit})
    labels = [label if isinstance(label, str) else period_label(label, unit) for label in frame.index]
    return frame.set_axis(pd.Index(labels, name=unit, dtype=object))


def labelled_unit(frame: pd.DataFrame) -> str:
    """The unit of a frame that has numbers of periods in `year` and their labels in a column with the unit's name."""
    for unit in PER_YEAR:
        if unit != "year" and unit in frame and len(frame):
            if (frame[unit].astype(str).to_numpy() == period_labels(frame["year"], unit)).all():
                return unit
    return "year"


def period_number(value: Any, unit: str, name: str = "the period") -> int:
    """The number of one period.

    Args:
        value: A label, any date in the period, or a plain number.
        unit: The unit.
        name: What the value is, for the error.

    Raises:
        ValueError: The value names no period of the unit.
    """
    try:
        numbers, _ = read_periods([value], unit)
    except UnreadablePeriodError as error:
        raise ValueError(f"{name} is {value!r}, and must be a {unit}: {error.fix}") from None
    return int(numbers[0])


def period_numbers(values: Any, unit: str, name: str) -> list[int]:
    """The numbers of a list of periods, each as in `period_number`.

    Raises:
        ValueError: It is no list, or a value names no period of the unit.
    """
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise ValueError(f"{name} is {values!r}, and must be a list of {plural(unit)}: {name}=[{values!r}]")
    return [period_number(value, unit, name) for value in values]


def read_periods(values: Any, unit: str | None = None) -> tuple[np.ndarray, TimeUnit]:
    """Reads periods as numbers.

    Args:
        values: A list of texts, dates, pandas periods or whole numbers, or a column of Arrow.
        unit: The unit, no finer than what the values name. Unless given it is theirs: that of a label such as
            "1993-07", or the year for days and for plain numbers.

    Returns:
        Numbers of periods in int64, and their unit.

    Raises:
        UnreadablePeriodError: A value names no period of the unit, or without a unit values name different ones.
        TypeError: A column has a type that holds no dates.
    """
    if unit is not None and unit not in get_args(TimeUnit):
        raise ValueError(f"unit is {unit!r}, and must be one of {', '.join(map(repr, get_args(TimeUnit)))}")
    if isinstance(values, pa.Array | pa.ChunkedArray) and pa.types.is_temporal(values.type):
        return _read_days(values, unit)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        codes = pc.dictionary_encode(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
        places = codes.indices.fill_null(len(codes.dictionary)).to_numpy(zero_copy_only=False)
        distinct = [*codes.dictionary.to_pylist(), None]
    else:
        distinct, places = list(values), np.arange(len(values))
    readings = [_read(value) for value in distinct]
    numbers: np.ndarray = np.zeros(len(distinct), dtype=np.int64)
    # The first places of distinct values, in the order in which people meet them.
    used, first = np.unique(places, return_index=True)
    order = sorted(zip(first.tolist(), used.tolist(), strict=True))
    named = [(place, reading) for place, code in order if (reading := readings[code]) is not None]
    known: str | None = unit
    if known is None:
        known = next((one.form for _, one in named if one.form in PER_YEAR), "year")
        months = [one for _, one in named if one.form == "month"]
        if months and all(one.may_be_years for one in months):
            place = next(place for place, one in named if one.form == "month")
            problem = "not a year, and either a month or two years, such as those of a school"
            raise UnreadablePeriodError(place, problem, "say which with unit='month' or unit='year'")
    for place, code in order:
        reading = readings[code]
        if reading is None:
            raise UnreadablePeriodError(place, f"not a {known}", _written(distinct[code], known))
        numbers[code] = _number(reading, place, known, unit is not None, named)
    return numbers[places], cast(TimeUnit, known)


def _written(value: Any, unit: str) -> str:
    """How the period that a value fails to name may be written: 1993-13 is a month that there is not."""
    if isinstance(value, str) and re.fullmatch(rf"{_YEAR}[-/.]?(00|1[3-9]|[2-9]\d)", value.strip()):
        return f"months are 01 to 12; {WRITTEN[unit if unit != 'year' else 'month']}"
    return WRITTEN[unit]


def _number(reading: _Reading, place: int, unit: str, is_given: bool, named: Sequence[tuple[int, _Reading]]) -> int:
    """The number of what one value names, in a unit; the errors of `read_periods`."""
    if reading.form in ("number", "count"):
        number = reading.months
        if unit == "year" and abs(number) < 10_000:
            return number
        if unit != "year" and reading.form == "number":
            other = next((at for at, one in named if one.form != "number"), None)
            if other is None:
                return number
            problem = "a number without a date, and {other} has a date"
            raise UnreadablePeriodError(place, problem, f"all must be written in one way; {WRITTEN[unit]}", other)
        if unit != "year" and YEARS[0] <= number // PER_YEAR[unit] <= YEARS[1]:
            return number
    if reading.form in ("number", "count"):
        raise UnreadablePeriodError(place, f"not a {unit}", WRITTEN[unit])
    if is_given and PER_YEAR.get(reading.form, np.inf) < PER_YEAR[unit]:
        raise UnreadablePeriodError(place, f"a {reading.form}, and not a {unit}", WRITTEN[unit])
    if not is_given:
        other, first = next((at, one) for at, one in named if one.form not in ("number", "count"))
        if reading.form != first.form:
            coarsest = min((reading.form, first.form), key=lambda form: PER_YEAR.get(form, np.inf))
            raise UnreadablePeriodError(
                place,
                f"a {reading.form}, and {{other}} is a {first.form}",
                f"all must be written in one way, or say unit='{coarsest}'",
                other,
            )
    return reading.months * PER_YEAR[unit] // 12


def _read_days(values: pa.Array | pa.ChunkedArray, unit: str | None) -> tuple[np.ndarray, TimeUnit]:
    """Periods of a column of dates or timestamps; in years unless the unit is given."""
    unit = unit or "year"
    if not (pa.types.is_date(values.type) or pa.types.is_timestamp(values.type)):
        raise TypeError(f"values of type {values.type} are no dates")
    missing = np.flatnonzero(np.asarray(pc.is_null(values)))
    if len(missing):
        raise UnreadablePeriodError(int(missing[0]), f"not a {unit}", WRITTEN[unit])
    years, months = (np.asarray(part(values)).astype(np.int64) for part in (pc.year, pc.month))
    odd = np.flatnonzero((years < YEARS[0]) | (years > YEARS[1]))
    if len(odd):
        raise UnreadablePeriodError(int(odd[0]), f"not a {unit}", f"dates lie in the years {YEARS[0]} to {YEARS[1]}")
    return (years * 12 + months - 1) * PER_YEAR[unit] // 12, cast(TimeUnit, unit)


def _read(value: Any) -> _Reading | None:
    """What one value names; None if it is no date and no whole number."""
    # The month 1993.10 is 1993.1 as a number, which could be January too.
    if isinstance(value, Real | Decimal) and value % 1 != 0:
        return None
    try:
        text = label_of(value)
    except (TypeError, ValueError):
        return None
    return None if text is None else _read_text(text)


@lru_cache(maxsize=100_000)
def _read_text(text: str) -> _Reading | None:
    upper = re.sub(r"^X(?=\d)", "", text.strip().upper())
    for pattern, parts in (*FORMS, *COLUMN_FORMS):
        if matched := re.match(pattern, upper):
            found = dict(zip(parts, matched.groups(), strict=True))
            break
    else:
        if not re.fullmatch(r"-?\d{1,5}", upper):
            return None
        number = int(upper)
        return _Reading(number, "number" if abs(number) < PLAIN else "count")
    short = found.get("short_year")
    year = int(found["year"]) if short is None else int(short) + (1900 if int(short) >= 69 else 2000)
    if "quarter" in found:
        return _Reading(12 * year + 3 * int(found["quarter"]) - 3, "quarter")
    if "month" not in found and "name" not in found:
        return _Reading(12 * year, "year")
    month = MONTHS[found["name"][:3]] if "name" in found else int(found["month"])
    if "day" in found:
        # Days such as the 31st of April do not exist.
        is_day = int(found["day"]) <= pd.Period(year=year, month=month, freq="M").days_in_month
        return _Reading(12 * year + month - 1, "day") if is_day else None
    follows = re.fullmatch(rf"{_YEAR}[-/](\d\d)", upper) is not None and month == (year + 1) % 100
    return _Reading(12 * year + month - 1, "month", may_be_years=follows)


def time_unit(careers: Any) -> TimeUnit:
    """The unit of careers, in a `datasets.Dataset` or in an Arrow table of careers.

    Raises:
        ValueError: People have different units, or one that is not known.
    """
    if TIME_UNIT not in careers.column_names:
        return "year"
    if not isinstance(careers, pa.Table):
        careers = careers.select_columns(["person", TIME_UNIT]).with_format("arrow")[:]
    units = pc.unique(careers[TIME_UNIT]).to_pylist()
    for unit in units:
        if unit not in get_args(TimeUnit) or unit != units[0]:
            place = pc.index(pc.fill_null(careers[TIME_UNIT], ""), unit or "").as_py()
            raise ValueError(
                f"person {careers['person'][place].as_py()!r}, column '{TIME_UNIT}', value {unit!r}: not "
                f"{units[0] if units[0] in PER_YEAR else 'month'!r}, and all careers must have one unit of time; make "
                "them with from_frame, in the same unit"
            )
    return cast(TimeUnit, units[0]) if units else "year"


def unit_column(unit: str, people: int) -> dict[str, pa.Array]:
    """The column that careers have beside their numbers of periods: none for years."""
    return {} if unit == "year" else {TIME_UNIT: pa.repeat(pa.scalar(unit, pa.string()), people)}


def period_column(names: Any, unit: str) -> str:
    """The name of the column of periods in a long table: "year", or that of the unit where there is no such column."""
    names = list(names)
    return unit if "year" not in names and unit in names else "year"
