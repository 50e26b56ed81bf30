"""What the surveys share about wages: prices, real pay, trimming, industries, and counts for the ledger."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..number_ranges import Range
from ..occupations.crosswalks import read_data
from .survey_steps import SurveySteps, reason


# What surveys with wages have beside labels.
WAGE_OUTCOMES = ("log_wage", "schooling", "experience", "full_time_experience", "part_time_experience")
# Wages are in dollars of this year.
BASE_YEAR = 2010
# Blau and Kahn leave out hourly pay below $1 and above $250 in dollars of 1983, in their work with the PSID ("The
# Feasibility and Importance of Adding Measures of Actual Experience to Cross-Sectional Data Collection", Journal of
# Labor Economics, 2013).
WAGE_RANGE, RANGE_YEAR = (1.0, 250.0), 1983
AMOUNT = Range(0, math.inf, whole=False, open_low=True)
# Annual hours of a year of full-time work: 1,500, as Cricco and Killewald count Blau and Kahn's experience.
FULL_TIME_HOURS = 1_500


@functools.cache
def price_index() -> pd.Series:
    """CPI-U, annual average (1982-84 = 100), by year."""
    table = read_data("cpi_u.csv", "career_hf.sources")
    return pd.Series(table["cpi_u"].astype(float).to_numpy(), index=table["year"].astype(int), name="cpi_u")


@dataclass(frozen=True)
class WageRules:
    """How nominal pay becomes `log_wage`.

    Args:
        prices: Price index by year.
        name: What the ledger calls it.
        wage_range: Lowest and highest hourly pay, in dollars of 1983.
    """

    prices: pd.Series
    name: str
    wage_range: tuple[float, float]

    @classmethod
    def of(cls, prices: str | Path | None, wage_range: tuple[float, float]) -> WageRules:
        """Reads the price index, and checks the range.

        Args:
            prices: CSV file with columns year and index; None for the CPI-U, which ships.
            wage_range: Lowest and highest hourly pay, in dollars of 1983.

        Raises:
            ValueError: The range is none, or the file is no price index, or lacks 1983 or 2010.
        """
        is_pair = isinstance(wage_range, (tuple, list)) and len(wage_range) == 2
        if not is_pair or not all(AMOUNT.has(one) for one in wage_range) or wage_range[0] >= wage_range[1]:
            raise ValueError(f"wage_range is {wage_range!r}: give two positive numbers, the lower one first")
        low, high = float(wage_range[0]), float(wage_range[1])
        if prices is None:
            return cls(price_index(), "CPI-U", (low, high))
        return cls(read_prices(prices), Path(prices).name, (low, high))

    @property
    def step(self) -> str:
        """The name of the ledger's step."""
        return f"log_wage: log real hourly pay ({self.name}, dollars of {BASE_YEAR})"

    def log_wage(self, dollars: pd.Series, year: pd.Series) -> tuple[pd.Series, pd.Series]:
        """Log real pay, and the reason where it is missing.

        Args:
            dollars: Nominal pay an hour, null where there is none.
            year: The calendar year whose dollars these are.

        Raises:
            ValueError: The price index lacks one of the years.
        """
        prices = year.map(self.prices)
        if prices.isna().any():
            lacking = sorted({int(one) for one in year[prices.isna()]})
            raise ValueError(f"prices ({self.name}) have no index of {lacking[0]}: add the year to the file")
        real = dollars.astype(float) / prices.to_numpy(dtype=float)
        of_range = real * self.prices[RANGE_YEAR]
        low, high = self.wage_range
        missing = reason(dollars.isna(), "pay: none reported")
        missing = missing.fillna(reason(of_range < low, f"pay below ${low:g} an hour of {RANGE_YEAR}"))
        missing = missing.fillna(reason(of_range > high, f"pay above ${high:g} an hour of {RANGE_YEAR}"))
        return np.log((real * self.prices[BASE_YEAR]).where(missing.isna())), missing


def refuse_without_wages(**changed: bool) -> None:
    """Refuses options of wages where there are none, which would not be used.

    Args:
        changed: Whether an option is another than its default, by its name.

    Raises:
        ValueError: One is.
    """
    for name, is_changed in changed.items():
        if is_changed:
            raise ValueError(
                f"{name} is for log wages, which are not added: give wages=True (--wages), or leave it out"
            )


def read_prices(path: str | Path) -> pd.Series:
    """Reads a price index from a CSV file with columns year and index.

    Raises:
        ValueError: There is no such file, a column is missing, a year is there twice, an index is not positive, or
            1983 or 2010 is not there.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; give a CSV file of prices with columns year and index")
    try:
        table = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} cannot be read as CSV: {' '.join(str(error).split())}") from error
    if lacking := [name for name in ("year", "index") if name not in table]:
        raise ValueError(f"{path.name} has no column '{lacking[0]}', only {list(table)}: name them year and index")
    years, index = (pd.to_numeric(table[name], errors="coerce") for name in ("year", "index"))
    wrong = years.isna() | (years % 1 != 0) | ~np.isfinite(index) | ~(index > 0) | years.duplicated()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        cells = table.loc[row, ["year", "index"]].tolist()
        raise ValueError(
            f"{path.name}, line {row + 2}, has year {cells[0]} and index {cells[1]}: give each year once, with a "
            "positive number"
        )
    prices = pd.Series(index.to_numpy(float), index=years.astype(int), name="prices")
    for year in (RANGE_YEAR, BASE_YEAR):
        if year not in prices:
            raise ValueError(f"{path.name} has no index of {year}, whose dollars are used: add it")
    return prices


def industries(codes: pd.Series, vintage: int) -> pd.Series:
    """Maps Census codes to industry groups: the 14 groups of Blau and Kahn (2017), and the one that they leave out.

    Args:
        codes: Three-digit Census industry codes, null where missing.
        vintage: Census year of the codes, 1970 or 2000.

    Returns:
        Labels, null where the code is null or in no group (armed forces, uncodeable).
    """
    table = read_data("census_industries.csv", "career_hf.sources")
    labels = pd.Series(pd.NA, index=codes.index, dtype="string")
    for row in table[table["vintage"].astype(int) == vintage].itertuples(index=False):
        labels = labels.mask(codes.between(int(row.first_code), int(row.last_code)).fillna(False), row.industry)
    return labels


def counts_by_reason(missing: pd.Series) -> dict[str, int]:
    """Counts observed values, and null ones by reason; the counts add up to all rows."""
    return {"observed": int(missing.isna().sum())} | {
        str(text): int(count) for text, count in missing.value_counts().items()
    }


def record_experience(steps: SurveySteps, frame: pd.DataFrame, not_reported: str) -> None:
    """Records in the ledger whose years of work since 18 are known.

    Args:
        steps: Person-years.
        frame: The same with `experience`, and `carried`: whether years were not reported, and are the last reported.
        not_reported: Why a person-year has no experience.
    """
    counts = counts_by_reason(reason(frame["experience"].isna(), not_reported))
    counts |= {"with years not reported, taken as the last one reported": int(frame["carried"].eq(True).sum())}
    step = "experience, full_time_experience, part_time_experience: years worked since 18"
    steps.alter(step, "person-years", counts, "past")
