"""What hits everybody at once: how far shares may move for reasons that no career before the cutoff tells.

A recession, a new way of coding answers, an industry that leaves: such a shock moves a share for all people together,
so more people do not average it out, and no refit of the model knows of it. How large shocks are can only be learnt
from earlier forecasts that turned out wrong. This file measures them there, with one assumption: on the scale of the
log-odds, shocks add up from year to year, so that their variance grows with the distance from the cutoff.

The size is chosen as in conformal prediction: it is the smallest at which fans of the earlier forecasts, with their
own chance and model uncertainty, would have held what happened as often as a fan of 90% says. It is one number, from
as many errors as there are earlier shares; errors of one year are dependent, so a few cutoffs are few data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..careers.periods import period_label, period_numbers


# The share of earlier shares that fans would have held.
LEVEL = 0.9
COLUMNS = ("occupation", "ahead", "expected", "realised", "chance", "model")


@dataclass(frozen=True)
class Shocks:
    """The size of what hits everybody at once, from earlier forecasts.

    Args:
        variance: Variance of the log-odds of a share that one year adds (or one month or quarter, as careers have it).
        cutoffs: Number of earlier cutoffs that it was estimated from.
        shares: Number of earlier shares.
    """

    variance: float
    cutoffs: int
    shares: int

    def deviation(self, ahead: float) -> float:
        """Standard deviation of the log-odds of a share so far ahead of a cutoff."""
        return float(np.sqrt(self.variance * ahead))


def estimate_shocks(shares: Sequence[pd.DataFrame]) -> Shocks:
    """The size of shocks from the forecast and realised shares of earlier cutoffs.

    Args:
        shares: For each cutoff the rows of `share_forecasts` whose years are known by now.

    Raises:
        ValueError: There is no row, or no row expects anything.
    """
    rows = pd.concat(shares, ignore_index=True)
    p = rows["expected"].to_numpy(dtype=float)
    rows, p = rows[(p > 0) & (p < 1)], p[(p > 0) & (p < 1)]
    if not len(rows):
        raise ValueError("earlier forecasts have no shares between 0 and 1, from which shocks could be measured")
    # Errors and deviations of shares, on the scale of log-odds; linear, because a realised share may be 0.
    slope = p * (1 - p)
    error = ((rows["realised"] - p) / slope).to_numpy()
    known = ((rows["chance"] ** 2 + rows["model"] ** 2) / slope**2).to_numpy()
    normal = stats.norm.ppf((1 + LEVEL) / 2)
    needed = np.sort((error**2 / normal**2 - known).clip(min=0) / rows["ahead"].to_numpy(dtype=float))
    place = min(int(np.ceil((len(needed) + 1) * LEVEL - 1e-9)), len(needed)) - 1
    return Shocks(float(needed[place]), len(shares), len(needed))


def known_shares(earlier: Sequence[Any], cutoff: int, unit: str) -> list[pd.DataFrame]:
    """The shares of earlier forecasts that had been realised by a cutoff, a frame for each that has some.

    Args:
        earlier: Scored forecasts (`ForecastReport`), or folders in which `ForecastReport.save` saved them.
        cutoff: The last year that may be known.
        unit: What years count.

    Raises:
        ValueError: A folder holds no scored forecast, or none of its shares was known at the cutoff.
    """
    found = []
    for number, one in enumerate(earlier, start=1):
        if isinstance(one, (str, Path)):
            name, path = f"'{one}'", Path(one) / "shares.csv"
            if not path.is_file():
                raise ValueError(f"earlier forecast {name} has no shares.csv: give a folder of a scored forecast")
            shares = pd.read_csv(path, dtype={"occupation": str})
        elif hasattr(one, "tables") and "shares" in one.tables:
            name, shares = f"{number} of the list", one.tables["shares"]
        else:
            raise ValueError(
                f"earlier is a list of scored forecasts, or of their folders, and number {number} is a "
                f"{type(one).__name__}"
            )
        missing = [column for column in (*COLUMNS, unit) if column not in shares.columns]
        if missing:
            raise ValueError(
                f"earlier forecast {name} has no column '{missing[0]}' in its shares: score it again, in the same unit"
            )
        of_past = shares[np.array(period_numbers(shares[unit].tolist(), unit, "earlier")) <= cutoff]
        if not len(of_past):
            raise ValueError(
                f"earlier forecast {name} is of nothing up to {period_label(cutoff, unit)}, the cutoff: what came "
                "after it must not be known; leave it out"
            )
        found.append(of_past)
    return found


__all__ = ["LEVEL", "Shocks", "estimate_shocks", "known_shares"]
