"""Figure of attributes of likely destinations: what a model expects of each group, and what was observed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..careers.periods import PER_YEAR
from .style import forest, legend_below, new_figure, styled


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def exposure_figure(rows: pd.DataFrame, by: str | None = None) -> Figure:
    """Draws mean attributes of destinations by group, a panel per attribute and level.

    Args:
        rows: As `Exposure.to_frame` returns them.
        by: The column of groups; None if there is one.

    Returns:
        A matplotlib figure that no window shows.
    """
    groups = pd.Series("everybody", rows.index) if by is None else rows[by].fillna("missing").astype(str)
    period = next((unit for unit in PER_YEAR if unit in rows), None)
    columns = {"expected": "implied"} | ({"observed": "observed"} if "observed" in rows else {})
    parts = []
    for series, column in columns.items():
        ends = rows[[column, f"{column}_low", f"{column}_high"]].set_axis(["estimate", "low", "high"], axis=1)
        name = rows[period].astype(str) if period else series
        parts.append(ends.assign(group=groups, series=name))
    # Where people come from, without an interval.
    origin = pd.DataFrame({"estimate": rows["origin"], "low": np.nan, "high": np.nan})
    last = origin.assign(group=groups, series="where they come from")
    points = pd.concat([*parts, last if not period else last[rows[period] == rows[period].min()]])
    titles = rows["attribute"].astype(str) + rows["level"].map(lambda level: f": {level}", na_action="ignore").fillna(
        ""
    )
    panels = list(dict.fromkeys(titles))
    series = points["series"].nunique()
    height = 0.7 + (0.2 + 0.14 * series) * groups.nunique()
    figure, axes = new_figure(0.7 + height * len(panels), len(panels), squeeze=False)
    for panel, title in zip(axes[:, 0], panels, strict=True):
        forest(panel, points[titles.loc[points.index] == title], name="group", series="series")
        panel.set_title(title)
    who = "destinations of movers" if rows.attrs.get("destinations") == "movers" else "whatever comes next"
    axes[-1, 0].set_xlabel(f"mean over {who} (95% intervals)")
    legend_below(axes[-1, 0])
    return figure


__all__ = ["exposure_figure"]
