"""The figure of a wage gap: estimates with intervals, propensities of both groups, and balance."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .style import GREY, SMALL, Look, forest, looks, new_figure, styled


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
    """Estimates on top; below them propensities and balance, one line for each propensity model.

    Outcome-only estimates are hollow, as their intervals take the fitted network for granted.

    Args:
        gaps: One row per estimate: adjusted_for, estimator, clip, estimate, low, high and interval; effective_people
            and others_people where something is adjusted for.
        propensities: Histograms: adjusted_for, low, high, group and others.
        balance: Imbalances of features: adjusted_for, raw and weighted.
        group: Name of the group whose gap it is.
        others: Name of those it is compared with.

    Returns:
        A matplotlib figure that no window shows.
    """
    models = _propensity_models(propensities)
    heights = [0.9 + 0.42 * len(gaps), *[3.2] * len(models)]
    mosaic = [["estimates", "estimates"], *([f"propensities {i}", f"balance {i}"] for i in range(len(models)))]
    figure, axes = new_figure(sum(heights), mosaic=mosaic, height_ratios=heights)
    _draw_estimates(axes["estimates"], gaps, f"Wage gap, {group} minus {others}")
    sides = dict(zip((group, others), looks((others, group)).values(), strict=True))
    for i, (first, names) in enumerate(models.items()):
        histogram = propensities[propensities["adjusted_for"] == first]
        overlap = gaps[gaps["adjusted_for"] == first].iloc[0]
        title = "\n".join(wrap(", ".join(names), 34))
        title += f"\neffective {others}: {overlap['effective_people']:,.0f} of {overlap['others_people']:,.0f}"
        _draw_propensities(axes[f"propensities {i}"], histogram, title, sides)
        _draw_balance(axes[f"balance {i}"], balance[balance["adjusted_for"] == first])
    return figure


def _propensity_models(propensities: pd.DataFrame) -> dict[str, list[str]]:
    """What was adjusted for, by the first name that has the same propensities: several names may share one model."""
    histograms: dict[str, pd.DataFrame] = {}
    models: dict[str, list[str]] = {}
    for name, rows in propensities.groupby("adjusted_for", sort=False) if len(propensities) else ():
        histogram = rows.drop(columns="adjusted_for").reset_index(drop=True)
        first = next((key for key, other in histograms.items() if other.equals(histogram)), str(name))
        histograms.setdefault(first, histogram)
        models.setdefault(first, []).append(str(name))
    return models


def _draw_estimates(axes: Axes, gaps: pd.DataFrame, title: str) -> None:
    rows = gaps.assign(label=gaps.apply(_label, axis=1), hollow=gaps["interval"].str.contains("fitted network"))
    forest(axes, rows, name="label", series="estimator", dodge=False, hollow="hollow", reference=0, letters=38)
    axes.set(title=title, xlabel="log points (95% intervals)")


def _label(row: pd.Series) -> str:
    if np.isnan(row["clip"]):
        return row["estimator"]
    clip = f", clip {row['clip']:g}" if row["clip"] else ""
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
    """Sorted imbalances, so that hundreds of features are as readable as three."""
    labels = {"raw": "raw", "weighted": "weighted by the odds"}
    for column, look in looks(labels).items():
        largest_first = np.sort(balance[column].abs())[::-1]
        axes.plot(np.arange(1, len(largest_first) + 1), largest_first, label=labels[column], **look.line)
    axes.axhline(0.1, color=GREY, linewidth=1, linestyle="--")
    axes.set_title("Imbalance of features, largest first", fontsize=SMALL)
    axes.set_ylabel("standard deviations")
    axes.set_ylim(bottom=0)
    axes.legend()


__all__ = ["gap_figure"]
