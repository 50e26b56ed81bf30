"""The figure of a wage gap: estimates with intervals, propensities of both groups, and balance."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .style import GREY, SMALL, WIDTH, Look, forest, looks, styled


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def gap_figure(
    gaps: pd.DataFrame,
    propensities: pd.DataFrame,
    balance: pd.DataFrame,
    *,
    group: str = "group",
    others: str = "others",
) -> Figure:
    """Draws estimates on top; below them propensities and balance, one line of panels per propensity model.

    Outcome-only estimates are hollow, because their intervals ignore the uncertainty of the fitted network.

    Args:
        gaps: One row per estimate: adjusted_for, estimator, clip, estimate, low, high and interval; effective_people
            and others_people where something is adjusted for.
        propensities: Histograms: adjusted_for, low, high, group and others.
        balance: Imbalances of features: adjusted_for, raw and weighted.
        group: Name of the group whose gap it is.
        others: Name of the group that it is compared with.

    Returns:
        A matplotlib figure that no window shows.
    """
    from matplotlib.figure import Figure

    models = _propensity_models(propensities)
    heights = [1.1 + 0.45 * len(gaps), *[3.2] * len(models)]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    # Subfigures, so that the long names of estimates do not narrow the panels below.
    top, *lower = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_estimates(top.subplots(), gaps, f"Wage gap, {group} minus {others}")
    sides = looks((group, others))
    for part, (first, names) in zip(lower, models.items(), strict=True):
        overlap = gaps[(gaps["adjusted_for"] == first) & gaps["effective_people"].notna()].iloc[0]
        title = fill(", ".join(names), 34)
        title += f"\neffective {others}: {overlap['effective_people']:,.0f} of {overlap['others_people']:,.0f}"
        left, right = part.subplots(1, 2)
        _draw_propensities(left, propensities[propensities["adjusted_for"] == first], title, sides)
        _draw_balance(right, balance[balance["adjusted_for"] == first])
    for axes in figure.axes:
        axes.tick_params(labelsize=SMALL)
    return figure


def _propensity_models(propensities: pd.DataFrame) -> dict[str, list[str]]:
    """Names of what was adjusted for that share one propensity model, by the first of these names."""
    histograms: dict[str, pd.DataFrame] = {}
    models: dict[str, list[str]] = {}
    for name, rows in propensities.groupby("adjusted_for", sort=False) if len(propensities) else ():
        histogram = rows.drop(columns="adjusted_for").reset_index(drop=True)
        first = next((key for key, other in histograms.items() if other.equals(histogram)), str(name))
        histograms.setdefault(first, histogram)
        models.setdefault(first, []).append(str(name))
    return models


def _draw_estimates(axes: Axes, gaps: pd.DataFrame, title: str) -> None:
    clips = gaps["clip"].dropna().unique()
    if len(clips) == 1 and clips[0]:
        title += f", clip {clips[0]:g}"
    labels = [_label(row, len(clips) > 1) for _, row in gaps.iterrows()]
    rows = gaps.assign(label=labels, hollow=gaps["interval"].str.contains("fitted network"))
    forest(axes, rows, name="label", series="estimator", dodge=False, hollow="hollow", reference=0, letters=42)
    axes.set(title=title, xlabel="log points (95% intervals)")


def _label(row: pd.Series, clips_differ: bool) -> str:
    if np.isnan(row["clip"]):
        return row["estimator"]
    clip = f", clip {row['clip']:g}" if clips_differ else ""
    return f"{row['adjusted_for']}: {row['estimator']}{clip}"


def _draw_propensities(axes: Axes, histogram: pd.DataFrame, title: str, sides: dict[str, Look]) -> None:
    edges = np.r_[histogram["low"], 1.0]
    for column, (name, look) in zip(("group", "others"), sides.items(), strict=True):
        axes.stairs(histogram[column], edges, color=look.color, linestyle=look.linestyle, linewidth=2, label=name)
    axes.set_title(title, fontsize=SMALL)
    axes.set_xlabel(f"probability of {next(iter(sides))}")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.legend()


def _draw_balance(axes: Axes, balance: pd.DataFrame) -> None:
    """Draws sorted imbalances, so that hundreds of features are as readable as three."""
    labels = {"raw": "raw", "weighted": "weighted by the odds"}
    for column, look in looks(labels).items():
        largest_first = np.sort(balance[column].abs())[::-1]
        axes.plot(np.arange(1, len(largest_first) + 1), largest_first, label=labels[column], **look.line)
    axes.axhline(0.1, color=GREY, linewidth=1, linestyle="--")
    axes.set_title("Imbalance of features,\nlargest first", fontsize=SMALL)
    axes.set_ylabel("standard deviations")
    axes.set_ylim(bottom=0)
    axes.legend()


__all__ = ["gap_figure"]
