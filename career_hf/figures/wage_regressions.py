"""The figure of wage regressions: how much every specification explains of the wages of people held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .style import forest, new_figure, styled


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def r2_figure(r2: pd.DataFrame) -> Figure:
    """Draws R^2 within year of people held out, with 95% intervals, one panel for all years and one per decade.

    Args:
        r2: One row per years and specification: years, specification, people, within_year, within_year_low and
            within_year_high. The first specification of each panel, year dummies alone, is 0 by definition and not
            drawn.

    Returns:
        A matplotlib figure that no window shows.
    """
    panels = {str(years): rows.iloc[1:] for years, rows in r2.groupby("years", sort=False)}
    heights = [1.1 + 0.42 * len(rows) for rows in panels.values()]
    figure, axes = new_figure(sum(heights), len(panels), height_ratios=heights, sharex=True, squeeze=False)
    for panel, (years, rows) in zip(axes[:, 0], panels.items(), strict=True):
        forest(
            panel, rows, estimate="within_year", low="within_year_low", high="within_year_high", name="specification"
        )
        panel.set_title(f"{years} years, {rows['people'].iloc[0]:,} people" if years == "all" else years)
    axes[-1, 0].set_xlabel("R² within year, people held out (95% intervals)")
    return figure


__all__ = ["r2_figure"]
