"""Figures of an evaluation: perplexity of every model overall, by kind of step and by step, and reliability."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .style import BLACK, GREY, Look, bands, columns, forest, legend_below, looks, new_figure, reliability, styled


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Steps that a smaller share of people reach are not drawn, because few careers give wide intervals.
LEAST_REACHED = 0.1
PROBABILITIES = {"stay": "Probability of staying", "top": "Probability of the likeliest occupation"}


@styled
def figures(tables: Mapping[str, pd.DataFrame], baseline: str) -> dict[str, Figure]:
    """Draws the figures of a report, by name: levels, by_transition (of two models or more), by_step and, where
    probabilities are given, reliability.

    Args:
        tables: Tables of a report by name: summary, by_transition, by_step and reliability are drawn.
        baseline: Name of the model that by_transition compares with, and whose intervals by_step shows.

    Returns:
        matplotlib figures that no window shows.
    """
    models = len(tables["summary"])
    legend = 0.3 * -(-models // 2)
    by_name = {}
    by_name["levels"], axes = new_figure(1.2 + 0.5 * models)
    plot_levels(axes, tables["summary"])
    if models > 1:
        by_name["by_transition"], axes = new_figure(5 + legend)
        plot_transitions(axes, tables["by_transition"], baseline)
    by_name["by_step"], axes = new_figure(5 + legend)
    plot_steps(axes, tables["by_step"], highlight=[baseline])

    curves = tables["reliability"]
    # There is no curve where programs give no probabilities.
    if curves.empty:
        return by_name
    panels = [(which, is_so) for is_so in sorted(curves["recalibrated"].unique()) for which in PROBABILITIES]
    by_name["reliability"], axes = new_figure((6.5 + legend) * len(panels), len(panels))
    for panel, (which, is_so) in zip(axes, panels, strict=True):
        plot_reliability(panel, curves[(curves["of"] == which) & (curves["recalibrated"] == is_so)])
        panel.set_title(f"{PROBABILITIES[which]}{', recalibrated' if is_so else ''}")
    return by_name


@styled
def plot_levels(axes: Axes, levels: pd.DataFrame, highlight: Collection[str] = ()) -> None:
    """Draws the perplexity of every model with its interval, the best on top.

    Args:
        axes: Axes to draw on.
        levels: One row per model: perplexity, low and high.
        highlight: Names of models drawn in black, with another marker.
    """
    rows = levels.sort_values("perplexity", kind="stable")
    rows = rows.assign(is_highlighted=rows.index.isin(list(highlight)))
    # Black and grey, because a colour is one model's in `plot_transitions`, where the baseline is black.
    series_looks = {False: Look(GREY), True: Look(BLACK, "s")}
    forest(axes, rows, estimate="perplexity", series="is_highlighted", series_looks=series_looks, dodge=False)
    axes.set(title="Perplexity, lower is better", xlabel="perplexity (95% intervals)")


@styled
def plot_transitions(axes: Axes, rows: pd.DataFrame, baseline: str) -> None:
    """Draws the ratio of perplexity to the baseline's by kind of step, with intervals (Table 4).

    Args:
        axes: Axes to draw on.
        rows: One row per kind of step and model: transition (categories in the order of kinds), model, difference,
            difference_low and difference_high, of log-perplexity.
        baseline: Name of the model that the others are compared with.
    """
    kinds = rows.dropna(subset="transition").sort_values("transition", kind="stable")
    ratios = pd.DataFrame({end: np.exp(kinds[f"difference_{end}"]) for end in ("low", "high")})
    ratios = ratios.assign(
        kind=kinds["transition"].astype(str), model=kinds["model"], ratio=np.exp(kinds["difference"])
    )
    others = {model: look for model, look in looks(rows["model"]).items() if model != baseline}
    shown = ratios[ratios["model"] != baseline]
    columns(axes, shown, estimate="ratio", name="kind", series="model", series_looks=others)
    axes.axhline(1, color=BLACK, linewidth=1, label=baseline)
    axes.set(title=f"Perplexity over that of {baseline}, by kind of step", ylabel="ratio (95% intervals)")
    legend_below(axes)


@styled
def plot_steps(axes: Axes, rows: pd.DataFrame, highlight: Collection[str] = ()) -> None:
    """Draws perplexity by the number of earlier observations of a career (Figure 4).

    Steps that fewer than a tenth of people reach are left out.

    Args:
        axes: Axes to draw on.
        rows: One row per step and model: step, model, n and perplexity, low and high of highlighted models.
        highlight: Names of models drawn with a thicker line and their intervals as bands. The choice of people moves
            all models alike, so that bands of all models would hide more than they say.
    """
    drawn = rows[rows["n"] >= LEAST_REACHED * rows["n"].max()]
    names = {model: f"{model} (95% interval)" if model in highlight else model for model in rows["model"].unique()}
    low, high = ("low", "high") if highlight else (None, None)
    bands(
        axes,
        drawn.assign(model=drawn["model"].map(names)),
        x="step",
        y="perplexity",
        low=low,
        high=high,
        series="model",
        series_looks=looks(names.values()),
        banded=[names[model] for model in names if model in highlight],
    )
    axes.set(title="Perplexity by the length of the career so far", xlabel="earlier observations", ylabel="perplexity")
    legend_below(axes)


@styled
def plot_reliability(axes: Axes, curves: pd.DataFrame) -> None:
    """Draws observed shares against predicted probabilities, bin by bin.

    Args:
        axes: Axes to draw on.
        curves: Reliability curves of one kind: model, predicted, observed, low and high.
    """
    reliability(axes, curves)
    legend_below(axes)


__all__ = ["figures", "plot_levels", "plot_reliability", "plot_steps", "plot_transitions"]
