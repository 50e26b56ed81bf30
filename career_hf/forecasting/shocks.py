"""What hits everybody at once: how far shares may move for reasons that no career before the cutoff tells.

A recession, a new way of coding answers, an industry that leaves: such a shock moves a share for all people together,
so more people do not average it out, and no refit of the model knows of it. How large shocks are can only be learnt
from earlier forecasts that turned out wrong. This file measures them there, with one assumption: on the scale of the
log-odds, shocks add up from year to year, so that their variance grows with the distance from the cutoff.

Some shares move more than others: those of the unemployed with the business cycle, those of most occupations hardly.
So every label has a relative size, the mean square of its own errors beyond what chance and the model explain, drawn
towards the mean of all labels as if there were `PRIOR` errors of that mean. What all have in common is then chosen as
in conformal prediction: it is the smallest factor at which fans of the earlier forecasts would have held what happened
as often as a fan of 90% says. Errors of one year are dependent, so a few cutoffs are few data; and errors of the
model's form are in them too, which nothing tells apart from what happened to everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logit

from ..careers.periods import period_label, period_number


# The share of earlier shares that fans would have held.
LEVEL = 0.9
# As how many errors the mean of all labels counts in the size of one label: three cutoffs of three years.
PRIOR = 9
# The least size of a label, as a part of the mean.
LEAST = 0.05
# What numbers of shares may be; occupation and the period are no numbers.
RANGES = {
    "ahead": (1, np.inf),
    "n": (1, np.inf),
    "expected": (0, 1),
    "realised": (0, 1),
    "chance": (0, np.inf),
    "model": (0, np.inf),
}


@dataclass(frozen=True)
class Shocks:
    """The size of what hits everybody at once, from earlier forecasts.

    Args:
        variance: Variance of the log-odds of a share that one year adds (or one month or quarter, as careers have it),
            of a label that earlier forecasts did not have.
        of_labels: The same by label.
        cutoffs: Number of earlier cutoffs that it was estimated from.
        shares: Number of earlier shares.
    """

    variance: float
    of_labels: Mapping[str, float]
    cutoffs: int
    shares: int

    def deviation(self, label: str, ahead: float) -> float:
        """Standard deviation of the log-odds of a label's share so far ahead of a cutoff."""
        return float(np.sqrt(self.of_labels.get(label, self.variance) * ahead))


def estimate_shocks(shares: Sequence[pd.DataFrame]) -> Shocks:
    """The size of shocks from the forecast and realised shares of earlier cutoffs.

    Args:
        shares: For each cutoff the rows of `share_forecasts` whose years are known by now.

    Raises:
        ValueError: There is no row, or no row expects anything.
    """
    rows = pd.concat(shares, ignore_index=True)
    rows = rows[(rows["expected"] > 0) & (rows["expected"] < 1)]
    if not len(rows):
        raise ValueError("earlier forecasts have no shares between 0 and 1, from which shocks could be measured")
    # On the scale of log-odds, on which fans are; half a person keeps the log-odds of nobody finite.
    slope = rows["expected"] * (1 - rows["expected"])
    happened = (rows["realised"] * rows["n"] + 0.5) / (rows["n"] + 1)
    square = (logit(happened) - logit(rows["expected"])) ** 2
    known = (rows["chance"] ** 2 + rows["model"] ** 2) / slope**2
    beyond = (square - known) / rows["ahead"]
    mean = max(float(beyond.mean()), 0.0)
    sums = beyond.groupby(rows["occupation"].astype(str)).agg(["sum", "size"])
    size = ((PRIOR * mean + sums["sum"]) / (PRIOR + sums["size"])).clip(lower=LEAST * mean)
    relative = rows["occupation"].astype(str).map(size).to_numpy()
    needed = ((square / stats.norm.ppf((1 + LEVEL) / 2) ** 2 - known).clip(lower=0) / rows["ahead"]).to_numpy()
    # With a mean of 0 chance and the model explain all errors, and there is nothing to share out.
    ratio = np.sort(np.divide(needed, relative, out=np.zeros_like(needed), where=relative > 0))
    factor = float(ratio[min(int(np.ceil((len(ratio) + 1) * LEVEL - 1e-9)), len(ratio)) - 1])
    return Shocks(factor * mean, (factor * size).to_dict(), len(shares), len(rows))


def known_shares(earlier: Sequence[Any], cutoff: int, unit: str, labels: Collection[str]) -> list[pd.DataFrame]:
    """The shares of earlier forecasts that had been realised by a cutoff, a frame for each that has some.

    Args:
        earlier: Scored forecasts (`ForecastReport`), or folders in which `ForecastReport.save` saved them.
        cutoff: The last year that may be known.
        unit: What years count.
        labels: The labels that are forecast now.

    Raises:
        ValueError: A folder holds no scored forecast, or a damaged one; none of its shares was known at the cutoff, or
            none is of a label that is forecast now; or two have one cutoff.
    """
    found: list[pd.DataFrame] = []
    names_by_cutoff: dict[int, str] = {}
    for number, one in enumerate(earlier, start=1):
        if isinstance(one, (str, Path)):
            name, path = f"'{one}'", Path(one) / "shares.csv"
            if not path.is_file():
                raise ValueError(f"earlier forecast {name} has no shares.csv: give a folder of a scored forecast")
            try:
                shares = pd.read_csv(path, dtype={"occupation": str}, keep_default_na=False)
            except ValueError as error:  # what pandas cannot parse, and what is no UTF-8
                text = " ".join(str(error).split())
                raise ValueError(f"{path} cannot be read as shares of a scored forecast: {text}") from error
            name = f"'{path}'"
        elif hasattr(one, "tables") and "shares" in one.tables:
            name, shares = f"{number} of the list", one.tables["shares"]
        else:
            raise ValueError(
                f"earlier is a list of scored forecasts, or of their folders, and number {number} is a "
                f"{type(one).__name__}"
            )
        missing = [column for column in ("occupation", *RANGES, unit) if column not in shares.columns]
        if missing:
            raise ValueError(
                f"earlier forecast {name} has no column '{missing[0]}' in its shares: score it again, in the same unit"
            )
        shares, periods = _checked(shares, name, unit)
        # Rows without a year are of a forecast that scored nothing, which the next error says.
        before = int((periods - shares["ahead"]).max()) if len(shares) else cutoff
        if before in names_by_cutoff:
            raise ValueError(
                f"earlier forecasts {names_by_cutoff[before]} and {name} are both from the cutoff "
                f"{period_label(before, unit)}, whose errors would count twice: leave one out"
            )
        names_by_cutoff[before] = name
        if len(shares) and not set(shares["occupation"].astype(str)) & set(labels):
            raise ValueError(
                f"earlier forecast {name} shares no label with this one, and is of "
                f"'{shares['occupation'].iloc[0]}', for example: give forecasts of the same occupations"
            )
        of_past = shares[periods <= cutoff]
        if not len(of_past):
            raise ValueError(
                f"earlier forecast {name} is of nothing up to {period_label(cutoff, unit)}, the cutoff: what came "
                "after it must not be known; leave it out"
            )
        found.append(of_past)
    return found


def _checked(shares: pd.DataFrame, name: str, unit: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Shares with numbers as numbers, and the numbers of their periods; refuses values that no forecast has."""
    numbers = {column: pd.to_numeric(shares[column], errors="coerce") for column in RANGES}
    for column, (low, high) in RANGES.items():
        wrong = np.flatnonzero(~numbers[column].between(low, high).to_numpy() | np.isinf(numbers[column]).to_numpy())
        if len(wrong):
            said = f"from {low} to {high}" if np.isfinite(high) else f"of at least {low}"
            raise ValueError(
                f"earlier forecast {name}, row {wrong[0] + 1}, column '{column}', value "
                f"'{shares[column].iloc[wrong[0]]}': must be a number {said}; score the forecast again"
            )
    periods = [
        period_number(value, unit, f"earlier forecast {name}, row {row}, column '{unit}'")
        for row, value in enumerate(shares[unit].tolist(), start=1)
    ]
    return shares.assign(**numbers), np.array(periods, dtype=np.int64)


__all__ = ["LEVEL", "Shocks", "estimate_shocks", "known_shares"]
