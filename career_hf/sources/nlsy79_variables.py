"""The variables of the NLSY79 that a build reads, by round: question names, reference numbers, missing values."""

from __future__ import annotations

import functools
import re
from typing import Literal

import pandas as pd

from ..occupations.crosswalks import read_data
from .nls import NLSExtract, Wanted, normalise_name


Variant = Literal["full", "extended", "weekly"]
# Question name, year (None for an item asked once) and reference number, as `NLSExtract.variable` takes them.
Item = tuple[str, int | None, str | None]

LAST_ROUND: dict[Variant, int] = {"full": 1998, "extended": 2012, "weekly": 2014}
# Annual to 1994, then every second year. Weekly status counts rounds by their place in this tuple, from 1.
ALL_ROUNDS = (*range(1979, 1995), *range(1996, 2015, 2))
# 1981 is added where the extract has its occupation for everybody; the yearly builds leave 2014 out.
ROUNDS = (1980, *(year for year in ALL_ROUNDS if 1982 <= year <= 2012))
# Employment status of the week before the interview (ESR_COL).
STATUS_ROUNDS = frozenset({*range(1979, 1995), 1996, 1998, 2006})
LAST_ENROLLMENT = 2006
LAST_GRADE = 2012
STATIC = ("SAMPLE_ID", "SAMPLE_RACE", "SAMPLE_SEX")


@functools.cache
def _references() -> dict[tuple[str, str], str]:
    """Reference number by question name and year (as text, empty for items asked once)."""
    table = read_data("nlsy79_variables.csv", "career_hf.sources")
    return dict(zip(zip(table["question_name"], table["year"], strict=True), table["reference"], strict=True))


def item(name: str, year: int | None = None) -> Item:
    """Finds a variable by question name and year; raises a KeyError if the variable table does not have it."""
    return name, year, _references()[name, "" if year is None else str(year)]


# Items that are found by question name only: revised ones, and those of the weekly build.
REVISED = r"HGCREV\d\d|ENROLLMTREV\d\d"
WEEKLY = r"STATUS_WK_NUM\d{4}|HRS_WORKED_WK_NUM\d{4}|Q3_1AA?_\d{6}|OCCALL_EMP_0\d|HRP\d|QES_52_0\d"


def wanted(variant: Variant) -> Wanted:
    """All variables that a build may read."""
    names = sorted({re.escape(normalise_name(name)) for name, _ in _references()})
    patterns = [*names, REVISED, *([WEEKLY] if variant == "weekly" else [])]
    return Wanted("|".join(patterns), frozenset(_references().values()))


# Household of the 1979 screening and sampling weight of 1979, which are used where the extract holds them.
HOUSEHOLD, WEIGHT = item("HHID"), item("SAMPWEIGHT", 1979)


def vintage(year: int) -> int:
    """Census year of the occupation codes of a round."""
    return 1970 if year <= 1981 else 1980 if year <= 2000 else 2000


def occupation_item(year: int) -> Item:
    """The occupation of the current or most recent job, in the vintage of the round."""
    if year >= 2002:
        return item("OCCALL-EMP.01", year)
    return item("CPSOCC70" if year <= 1981 else "CPSOCC80.01" if year == 2000 else "CPSOCC80", year)


def employment_item(year: int) -> Item:
    """Employment status, or weeks worked in the past calendar year where status is not in these extracts."""
    return item("ESR_COL" if year in STATUS_ROUNDS else "WKSWK-PCY", year)


def grade_years(last: int) -> list[int]:
    """Rounds up to a year that have a highest grade completed and a region."""
    return [year for year in ALL_ROUNDS if year <= min(last, LAST_GRADE)]


def yearly_items(rounds: list[int]) -> list[Item]:
    """Variables from which the yearly states of some rounds are made."""
    items = []
    for year in rounds:
        items += [occupation_item(year), employment_item(year)]
        items += [item("ENROLLMT", year)] if year <= LAST_ENROLLMENT else []
    return items


def covariate_items(last: int) -> list[Item]:
    """Variables from which covariates and exclusions are made."""
    return [item(name) for name in STATIC] + [
        item(name, year) for name in ("HGC", "REGION") for year in grade_years(last)
    ]


def grade_item(extract: NLSExtract, year: int) -> Item:
    """Highest grade completed as of May 1; the grade as later rounds revised it where the extract has only that."""
    revised = f"HGCREV{year % 100:02d}", year, None
    return revised if extract.has(*revised) and not extract.has(*item("HGC", year)) else item("HGC", year)


def covers_everyone(extract: NLSExtract, variable: Item) -> bool:
    """Whether the extract holds the variable for all people."""
    return extract.has(*variable) and len(extract.variable(*variable)) == len(extract.people)


def values(extract: NLSExtract, variable: Item) -> pd.Series:
    """Values of all people, null where missing."""
    raw = extract.variable(*variable).reindex(extract.people).astype("Int64")
    return raw.mask((raw < 0).fillna(False))
