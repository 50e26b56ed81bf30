"""The figure of a wage gap: estimates with intervals, propensities of both groups, and balance."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from .evaluation import COLOURS


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..wages.gaps import GapEstimate, GapResult
    from ..wages.propensity import Overlap


def gap_figure(result: GapResult) -> Figure:
    """Estimates on the left; on the right propensities and balance, one line for each propensity model.

    Outcome-only estimates are hollow, as their intervals take the fitted network for granted.

    Args:
        result: Estimates.

    Returns:
        A matplotlib figure that no window shows.
    """
    from matplotlib.figure import Figure

    overlaps = _different_overlaps(result)
    height = 1.6 + max(0.32 * len(result.estimates), 1.9 * len(overlaps))
    figure = Figure(figsize=(12, height), layout="constrained")
    grid = figure.add_gridspec(max(len(overlaps), 1), 3, width_ratios=[1.7, 1, 0.8])
    _draw_estimates(figure.add_subplot(grid[:, 0]), result)
    for line, (name, of) in enumerate(overlaps.items()):
        _draw_propensities(figure.add_subplot(grid[line, 1]), of, name, result)
        _draw_balance(figure.add_subplot(grid[line, 2]), of)
    return figure


def _different_overlaps(result: GapResult) -> dict[str, Overlap]:
    """Overlaps by what was adjusted for, those that share a propensity model together."""
    names: dict[str, list[str]] = {}
    found: dict[str, Overlap] = {}
    for e in result.estimates:
        if e.overlap is None:
            continue
        same = next((key for key, of in found.items() if of.histogram.equals(e.overlap.histogram)), e.adjusted_for)
        found.setdefault(same, e.overlap)
        names.setdefault(same, [])
        names[same] += [e.adjusted_for] * (e.adjusted_for not in names[same])
    return {"\n".join(wrap(", ".join(names[key]), 40)): of for key, of in found.items()}


def _draw_estimates(axes: Axes, result: GapResult) -> None:
    estimators = list(dict.fromkeys(e.estimator for e in result.estimates))
    for place, e in enumerate(result.estimates):
        color = COLOURS[estimators.index(e.estimator) % len(COLOURS)]
        span = [[e.estimate - e.low], [e.high - e.estimate]]
        inside = "white" if "fitted network" in e.interval else color
        axes.errorbar(
            e.estimate, place, xerr=span, fmt="o", markersize=5, capsize=3, color=color, markerfacecolor=inside
        )
    axes.set_yticks(range(len(result.estimates)), [_label(e) for e in result.estimates], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=1)
    axes.set(title=f"Wage gap, {result.group} minus {result.others}", xlabel="log points (95% intervals)")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _label(estimate: GapEstimate) -> str:
    if estimate.overlap is None:
        return estimate.estimator
    clip = f", clip {estimate.overlap.clip:g}" if estimate.overlap.clip else ""
    return f"{estimate.adjusted_for}: {estimate.estimator}{clip}"


def _draw_propensities(axes: Axes, of: Overlap, name: str, result: GapResult) -> None:
    edges = np.r_[of.histogram["low"], 1.0]
    for column, label, color in (("group", result.group, COLOURS[1]), ("others", result.others, COLOURS[0])):
        axes.stairs(of.histogram[column], edges, fill=True, alpha=0.4, color=color, label=label)
    axes.set_title(
        f"{name}\neffective {result.others}: {of.effective_people:,.0f} of {of.others_people:,}", fontsize=9
    )
    axes.set_xlabel(f"probability of {result.group}", fontsize=8)
    axes.set_yticks([])
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_balance(axes: Axes, of: Overlap) -> None:
    """Sorted imbalances, so that hundreds of features are as readable as three."""
    for column, color, label in (("raw", COLOURS[0], "raw"), ("weighted", COLOURS[1], "weighted by the odds")):
        worst_first = np.sort(of.balance[column].abs())[::-1]
        axes.plot(np.arange(1, len(worst_first) + 1), worst_first, marker=".", color=color, label=label)
    axes.axhline(0.1, color="grey", linewidth=0.8, linestyle="--")
    axes.set_title("Imbalance, largest first", fontsize=9)
    axes.set_ylabel("standard deviations", fontsize=8)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
