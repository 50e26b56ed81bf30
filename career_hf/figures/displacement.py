"""Figure of an event study: realised and forecast outcomes by time since the event, and their difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .style import columns, legend_below, looks, new_figure, styled


if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = ("realised", "forecast", "realised less forecast", "less that of people without the event")


@styled
def displacement_figure(rows: pd.DataFrame) -> Figure:
    """Draws levels at the left and differences with 95% intervals at the right, a line of panels per outcome.

    Args:
        rows: As `Displacement.to_frame` returns them.

    Returns:
        A matplotlib figure that no window shows.
    """
    level = rows["level"].map(lambda name: f": {name}", na_action="ignore").fillna("")
    titles = rows["outcome"].astype(str) + level
    outcomes = list(dict.fromkeys(titles))
    figure, axes = new_figure(0.9 + 2.6 * len(outcomes), len(outcomes), 2, squeeze=False, sharex=True)
    by_series = looks(SERIES)
    for (left, right), outcome in zip(axes, outcomes, strict=True):
        part = rows[titles == outcome]
        levels = [
            pd.DataFrame({"time": part["event_time"], "estimate": part[name], "low": np.nan, "high": np.nan}).assign(
                series=name
            )
            for name in ("realised", "forecast")
        ]
        columns(
            left, pd.concat(levels), name="time", series="series", series_looks=by_series, joined=True, dodge=False
        )
        gaps = []
        for name, series in (("difference", SERIES[2]), ("net", SERIES[3])):
            if name in part:
                ends = part[[name, f"{name}_low", f"{name}_high"]].set_axis(["estimate", "low", "high"], axis=1)
                gaps.append(ends.assign(time=part["event_time"], series=series))
        columns(right, pd.concat(gaps), name="time", series="series", series_looks=by_series, joined=True, reference=0)
        left.set_title(outcome)
        right.set_title("difference (95% intervals)")
    for panel in axes[-1]:
        panel.set_xlabel("years since the event")
        legend_below(panel, ncols=1)
    return figure


__all__ = ["displacement_figure"]
