"""Rules that say what the columns of a table of spells mean, and how spells become years."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import pandas as pd

from ..careers.columns import RESERVED_NAMES
from ..number_ranges import within_ranges
from ..occupations.weighted_crosswalks import modal, source_of_code


# Names of columns, or columns by new name.
Columns = Sequence[str] | Mapping[str, str]
# Names of columns that the expressions of `spell_years` add.
ADDED = frozenset(
    "written year first after start_written end_written start_day stop_day fresh_day covered start_year last_year "
    "ongoing cut reason days place next_year occupations used_spells span label new".split()
)


@dataclass(frozen=True)
class Recode:
    """New labels for the labels of a column, which are compared without regard to case and outer blanks.

    Args:
        labels: New label by label.
        otherwise: New label of labels that are not in `labels`; if None, these stay as they are.
        missing: New label of missing labels; if None, these stay missing.
        prefix: Prefix of labels that are not in `labels` and stay, so that no code of one coding is taken for a code
            of another.
    """

    labels: Mapping[str, str]
    otherwise: str | None = None
    missing: str | None = None
    prefix: str = ""


@within_ranges
def crosswalk_recode(crosswalk: pd.DataFrame, prefix: str = "") -> Recode:
    """Turns a crosswalk into new labels of occupations: the modal target of each code.

    Args:
        crosswalk: A frame with source, occ1990dd and weight, as `career_hf.occupations.weighted_crosswalk` returns.
        prefix: Prefix of codes without a target, such as "isco08 ", so that none is taken for an occ1990dd code.

    Returns:
        New labels by code. Codes of digits count with and without their leading zeros.
    """
    target = modal(crosswalk)
    sources = source_of_code(crosswalk)
    return Recode({code: target[source] for code, source in sources.items()}, prefix=prefix)


def _by_name(columns: Columns) -> dict[str, str]:
    return dict(columns) if isinstance(columns, Mapping) else {column: column for column in columns}


def _day(as_of: date | str) -> date:
    """The day that `as_of` names; a time of day behind it is ignored."""
    try:
        return date.fromisoformat(re.split("[T ]", str(as_of).strip())[0])
    except ValueError:
        raise ValueError(f"as_of {as_of!r} is not a day: write it as in 2022-12-31") from None


@dataclass(frozen=True)
class SpellRules:
    """What the columns of a table of spells mean, and how spells become years.

    Args:
        person, occupation, start, end: Names of the columns; `start` and `end` as `spell_dates` reads them.
        covariates: Columns that belong to the spell, such as the employer, as names or as columns by new name: a year
            has the value of the spell that gives the year its occupation; of several such spells, the one with most
            days counts.
        carried: Columns whose value lasts until the next one, such as the latest degree: a year has the last value
            that started in it or earlier. Rows without an occupation count too, as a degree may be a row of its own.
        static: Columns that must not change within a person.
        recode: New labels of the occupation and of covariates by name, given before anything else is done.
        as_of: Last day of the data, as a date or ISO text: spells that go on are cut there.
        missing_end: Meaning of a missing end: "as_of" that the spell goes on, "drop" that the spell is dropped. Spells
            whose end is a word ("present") always go on.
        first_year: Earliest start year; spells that start before it are dropped.
        longest: Most years of a spell, and of a person from the first to the last; others are dropped.
        no_occupation: Label of years without an occupation between the first and the last; if None, these are left
            out, as in the paper's pretraining.

    Raises:
        ValueError: If names are given twice or reserved, or values are out of range.
    """

    person: str = "person"
    occupation: str = "occupation"
    start: str = "start"
    end: str = "end"
    covariates: Columns = ()
    carried: Columns = ()
    static: Columns = ()
    recode: Mapping[str, Recode] = field(default_factory=dict)
    as_of: date | str | None = None
    missing_end: Literal["as_of", "drop"] = "as_of"
    first_year: int = 1900
    longest: int = 80
    no_occupation: str | None = None

    def __post_init__(self) -> None:
        for name in ("covariates", "carried", "static"):
            columns = getattr(self, name)
            if isinstance(columns, str):
                raise ValueError(f"{name}={columns!r} is a text: pass a list, {name}=[{columns!r}]")
            object.__setattr__(self, name, _by_name(columns))
        if self.as_of is not None:
            object.__setattr__(self, "as_of", _day(self.as_of))
        names = [*self.covariates, *self.carried, *self.static]
        for name in names:
            if name in (*RESERVED_NAMES, *ADDED) or names.count(name) > 1:
                raise ValueError(f"the name '{name}' is given twice or is reserved: pass {{'another name': '{name}'}}")
        if unknown := set(self.recode) - {"occupation", *names}:
            raise ValueError(f"recode names '{min(unknown)}', but there are only {['occupation', *names]}")
        if self.missing_end not in ("as_of", "drop"):
            raise ValueError(f"missing_end {self.missing_end!r} is not one of 'as_of', 'drop'")
        if not 1000 <= self.first_year <= 2999 or self.longest < 1:
            raise ValueError(
                f"first_year must be in 1000-2999 and longest at least 1, not {self.first_year} and {self.longest}"
            )

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [self.person, self.occupation, self.start, self.end, *self.others.values()]

    @property
    def others(self) -> dict[str, str]:
        """Columns by name, besides person, occupation, start and end."""
        return _by_name(self.covariates) | _by_name(self.carried) | _by_name(self.static)
