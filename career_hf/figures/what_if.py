"""Figure of a what-if comparison: differences of average probabilities, with intervals."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .evaluation import COLOURS


if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Outcomes drawn at most: those that differ most.
MOST_OUTCOMES = 30


def what_if_figure(differences: pd.DataFrame) -> Figure:
    """Differences in percentage points, a row per outcome; of forecasts, a colour per year ahead.

    Args:
        differences: Of a `WhatIf`.

    Returns:
        A matplotlib figure that no window shows. Where there are more than 30 outcomes, the 30 that differ most.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    largest = differences.groupby("outcome", sort=False)["difference"].agg(lambda values: values.abs().max())
    kept = set(largest.nlargest(MOST_OUTCOMES).index)
    outcomes = [name for name in largest.index if name in kept]
    series = (
        {"next step": differences}
        if "years_ahead" not in differences.columns
        else {
            f"{years} year{'s' if years > 1 else ''} ahead": part for years, part in differences.groupby("years_ahead")
        }
    )
    figure = Figure(
        figsize=(9, 2.6 + (0.3 + 0.1 * len(series)) * len(outcomes)), layout=ConstrainedLayoutEngine(h_pad=0.08)
    )
    axes = figure.subplots()
    place = np.arange(len(outcomes))
    for i, (name, part) in enumerate(series.items()):
        rows = 100 * part.set_index("outcome").loc[outcomes, ["difference", "low", "high"]]
        shift = 0.7 * ((i + 0.5) / len(series) - 0.5)
        spread = np.abs(rows[["low", "high"]].sub(rows["difference"], axis=0)).to_numpy().T
        look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "markersize": 5, "capsize": 2, "linewidth": 1.2}
        axes.errorbar(rows["difference"], place + shift, xerr=spread, fmt="o", label=name, **look)
    axes.axvline(0, color="#777777", linewidth=0.8)
    axes.set_yticks(place, [name.replace("_", " ") for name in outcomes])
    axes.set_ylim(len(outcomes) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("edited less original, percentage points (95% intervals by resampling people)")
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    attrs = differences.attrs
    title = f"What if {attrs['edit']}: {attrs['people']:,} people" if "edit" in attrs else "What if"
    axes.set_title(fill(title, 90), fontsize=11)
    figure.supxlabel(fill(attrs.get("reading", ""), 100), fontsize=8, color="#555555")
    return figure


__all__ = ["what_if_figure"]
