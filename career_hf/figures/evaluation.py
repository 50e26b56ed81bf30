"""Figures of an evaluation: frames in, axes out. matplotlib is imported where it is used: it is an extra."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluation.transition_table import TRANSITIONS


if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that the colour-blind can tell apart (Okabe and Ito 2008, "Color Universal Design").
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
STYLES = ["-", "--", ":", "-."]
# Share of people who reach a step that is drawn: beyond, careers are few and perplexities far apart.
FEWEST = 0.1


def figures(found: Mapping[str, pd.DataFrame], baseline: str) -> dict[str, Figure]:
    """The figures of a report, by name: levels, by_transition (of two models or more), by_step and reliability.

    Args:
        found: What `evaluation_report.report` returns.
        baseline: The model that by_transition compares with, and whose intervals by_step shows.

    Returns:
        matplotlib figures that no window shows.
    """
    from matplotlib.figure import Figure

    models, curves = len(found["summary"]), found["reliability"]
    drawn = {"levels": Figure(figsize=(8, 1.6 + 0.35 * models), layout="constrained")}
    plot_levels(drawn["levels"].subplots(), found["summary"])
    if models > 1:
        drawn["by_transition"] = Figure(figsize=(8, 5), layout="constrained")
        plot_transitions(drawn["by_transition"].subplots(), found["by_transition"], baseline)
    drawn["by_step"] = Figure(figsize=(8, 5), layout="constrained")
    plot_steps(drawn["by_step"].subplots(), found["by_step"], highlight=[baseline])

    rows = sorted(curves["recalibrated"].unique())
    drawn["reliability"] = Figure(figsize=(11, 5.2 * len(rows)), layout="constrained")
    panels = drawn["reliability"].subplots(len(rows), 2, squeeze=False)
    for of_row, recalibrated in zip(panels, rows, strict=True):
        for axes, of in zip(of_row, ("stay", "top"), strict=True):
            plot_reliability(axes, curves[(curves["of"] == of) & (curves["recalibrated"] == recalibrated)])
            what = {"stay": "Probability of staying", "top": "Probability of the likeliest occupation"}[of]
            axes.set_title(f"{what}{', recalibrated' if recalibrated else ''}")
    return drawn


def plot_levels(axes: Axes, levels: pd.DataFrame, highlight: Collection[str] = ()) -> None:
    """Perplexity of every model with its interval, the best on top.

    Args:
        axes: Where to draw.
        levels: One row per model: perplexity, low and high (`evaluation.summarize`).
        highlight: Models in another colour.
    """
    ordered = levels.sort_values("perplexity", ascending=False, kind="stable")
    for place, (model, row) in enumerate(ordered.iterrows()):
        color = COLOURS[1] if model in highlight else COLOURS[0]
        span = [[row["perplexity"] - row["low"]], [row["high"] - row["perplexity"]]]
        axes.errorbar(row["perplexity"], place, xerr=span, fmt="o", capsize=3, color=color)
    axes.set_yticks(range(len(ordered)), ordered.index)
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.set(title="Perplexity, lower is better", xlabel="perplexity (95% intervals by resampling people)")
    axes.grid(axis="x", alpha=0.3)
    _finish(axes)


def plot_transitions(axes: Axes, rows: pd.DataFrame, baseline: str) -> None:
    """Perplexity over the baseline's by kind of step, with intervals (Table 4).

    Args:
        axes: Where to draw.
        rows: `evaluation_report.perplexity_in_groups` by "transition".
        baseline: The model that they compare with.
    """
    kinds = [kind for kind in TRANSITIONS if (rows["transition"] == kind).any()]
    looks = _looks(rows["model"])
    others = [model for model in looks if model != baseline]
    for i, model in enumerate(others):
        of_model = rows[rows["model"] == model].set_index("transition").loc[kinds]
        ratio, low, high = (np.exp(of_model[f"difference{end}"].to_numpy()) for end in ("", "_low", "_high"))
        place = np.arange(len(kinds)) + 0.6 * ((i + 0.5) / len(others) - 0.5)
        span, color = [ratio - low, high - ratio], looks[model]["color"]
        axes.errorbar(place, ratio, yerr=span, fmt="o", capsize=3, color=color, label=model)
    axes.axhline(1, color="black", linewidth=1, label=baseline)
    axes.set_xticks(range(len(kinds)), kinds)
    axes.set(title=f"Perplexity over that of {baseline}, by kind of step", ylabel="ratio (95% intervals)")
    axes.grid(axis="y", alpha=0.3)
    _finish(axes)
    axes.legend(frameon=False, fontsize=8)


def plot_steps(axes: Axes, rows: pd.DataFrame, highlight: Collection[str] = ()) -> None:
    """Perplexity by how many observations of a career came before (Figure 4).

    Steps that fewer than a tenth of people reach are left out.

    Args:
        axes: Where to draw.
        rows: One row per step and model: step, model, n and perplexity, low and high of highlighted models
            (`evaluation_report.perplexity_in_groups` by "step").
        highlight: Models with a thicker line, and their intervals as bands. Who is in the sample moves all models
            alike, so that bands of all of them would hide more than they say.
    """
    from matplotlib.ticker import MaxNLocator

    drawn = rows[rows["n"] >= FEWEST * rows["n"].max()]
    for model, look in _looks(rows["model"], highlight).items():
        of_model = drawn[drawn["model"] == model]
        label = f"{model} (95% interval)" if model in highlight else model
        axes.plot(of_model["step"], of_model["perplexity"], label=label, **look)
        if model in highlight:
            band = {"color": look["color"], "alpha": 0.15, "linewidth": 0}
            axes.fill_between(of_model["step"], of_model["low"], of_model["high"], **band)
    axes.set(title="Perplexity by the length of the career so far", xlabel="earlier observations", ylabel="perplexity")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    _finish(axes)
    axes.legend(frameon=False, fontsize=8)


def plot_reliability(axes: Axes, curves: pd.DataFrame) -> None:
    """What happened beside what was predicted, bin by bin; on the diagonal, probabilities mean what they say.

    Args:
        axes: Where to draw.
        curves: Rows of `evaluation_report.reliability_curves` of one kind: model, predicted, observed, low and high.
    """
    axes.axline((0, 0), slope=1, color="grey", linewidth=1)
    for model, look in _looks(curves["model"]).items():
        rows = curves[curves["model"] == model]
        span = [rows["observed"] - rows["low"], rows["high"] - rows["observed"]]
        axes.errorbar(rows["predicted"], rows["observed"], yerr=span, marker="o", markersize=4, label=model, **look)
    axes.set(xlabel="predicted probability", ylabel="share in which it happened", xlim=(0, 1), ylim=(0, 1))
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    _finish(axes)
    axes.legend(frameon=False, fontsize=8)


def _looks(models: Iterable[str], highlight: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """A line for each model, in the order in which they come: all figures of a report agree."""
    return {
        model: {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": STYLES[i // len(COLOURS) % len(STYLES)],
            "linewidth": 2.5 if model in highlight else 1.2,
        }
        for i, model in enumerate(dict.fromkeys(models))
    }


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
