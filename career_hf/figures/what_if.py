"""Figure of a what-if comparison: differences of average probabilities, with intervals."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import pandas as pd

from .style import GREY, SMALL, forest, legend_below, new_figure, styled


if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of more outcomes, those that differ most are drawn.
MOST_OUTCOMES = 30


@styled
def what_if_figure(differences: pd.DataFrame) -> Figure:
    """Draws differences in percentage points, one row per outcome; of forecasts, one look per year ahead.

    Args:
        differences: One row per outcome, and per years_ahead of forecasts: outcome, difference, low and high.

    Returns:
        A matplotlib figure that no window shows. Of more than 30 outcomes, it shows the 30 that differ most.
    """
    largest = differences["difference"].abs().groupby(differences["outcome"], sort=False).max()
    outcomes = set(largest.nlargest(MOST_OUTCOMES).index)
    rows = differences[differences["outcome"].isin(outcomes)]
    points = 100 * rows[["difference", "low", "high"]]
    points = points.assign(outcome=rows["outcome"].astype(str), series="next step")
    if "years_ahead" in rows.columns:
        points["series"] = [f"{years} year{'s' if years > 1 else ''} ahead" for years in rows["years_ahead"]]
    series = points["series"].nunique()
    figure, axes = new_figure(2.6 + 0.3 * series + (0.34 + 0.12 * series) * len(outcomes))
    forest(axes, points, estimate="difference", name="outcome", series="series", reference=0)
    axes.set_xlabel("edited less original, percentage points\n(95% intervals)")
    if series > 1:
        legend_below(axes)
    attrs = differences.attrs
    title = f"What if {attrs['edit']}: {attrs['people']:,} people" if "edit" in attrs else "What if"
    figure.suptitle(fill(title, 68))
    if "reading" in attrs:
        figure.supxlabel(fill(attrs["reading"], 84), fontsize=SMALL, color=GREY)
    return figure


__all__ = ["what_if_figure"]
