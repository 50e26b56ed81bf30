"""Tables and figure of the study of wage gaps in many worlds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from career_hf.figures.style import COLOURS
from career_hf.wages.finetuning import METHODS

from .gap_worlds import FROZEN, Settings, gap_worlds


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHOSEN = "chosen by the R-learner objective"


@dataclass(frozen=True)
class Found:
    """What the study found.

    Args:
        estimates: As `gap_worlds` returns them, and those of the method that has the least R-learner objective in each
            world.
        summary: As `summarize` makes it.
    """

    estimates: pd.DataFrame
    summary: pd.DataFrame


def gap_worlds_study(folder: str | Path, settings: Settings | None = None, workers: int = 2) -> Found:
    """Runs the study, and leaves estimates.csv, summary.csv and gap_worlds.png in its folder.

    Args:
        folder, settings, workers: As in `gap_worlds`.
    """
    folder = Path(folder)
    estimates = with_chosen(gap_worlds(folder, settings, workers))
    summary = summarize(estimates)
    estimates.to_csv(folder / "estimates.csv", index=False, float_format="%.6f")
    summary.to_csv(folder / "summary.csv", float_format="%.5f")
    figure_of(estimates, summary).savefig(folder / "gap_worlds.png", dpi=110)
    return Found(estimates, summary)


def with_chosen(estimates: pd.DataFrame) -> pd.DataFrame:
    """The same rows, and in each world once more those of the representation with the least R-learner objective."""
    learned = estimates[estimates["adjusted_for"].isin([FROZEN, *METHODS])]
    least = learned.groupby("world")["r_loss"].transform("min")
    chosen = learned[learned["r_loss"] == least].assign(adjusted_for=CHOSEN)
    return pd.concat([estimates, chosen], ignore_index=True)


def summarize(estimates: pd.DataFrame) -> pd.DataFrame:
    """Bias, RMSE and coverage over worlds.

    Args:
        estimates: One row per world and estimate.

    Returns:
        One row per adjusted_for, estimator and clip: worlds; bias, mean of estimate minus truth, and bias_error, its
        standard error; rmse; standard_error, its mean; inside, the number of worlds whose 95% interval holds the
        truth; and distance, the root mean square of errors in standard errors, 1 if errors are what they say.
    """
    estimates = estimates.dropna(subset="estimate")  # regressions that a sample does not identify
    error = estimates["estimate"] - estimates["truth"]
    rows = estimates.assign(
        bias=error,
        square=error**2,
        inside=(estimates["low"] <= estimates["truth"]) & (estimates["truth"] <= estimates["high"]),
        distance=(error / estimates["standard_error"]) ** 2,
    )
    groups = rows.groupby(["adjusted_for", "estimator", "clip"], sort=False)
    return pd.DataFrame(
        {
            "worlds": groups.size(),
            "bias": groups["bias"].mean(),
            "bias_error": groups["bias"].std() / np.sqrt(groups.size()),
            "rmse": np.sqrt(groups["square"].mean()),
            "standard_error": groups["standard_error"].mean(),
            "inside": groups["inside"].sum(),
            "distance": np.sqrt(groups["distance"].mean()),
        }
    )


def figure_of(estimates: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """AIPW with frozen CAREER in every world beside the truth, and bias and RMSE of every estimator.

    Args:
        estimates: One row per world and estimate.
        summary: What `summarize` makes of them.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 6.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    everybody = estimates[estimates["clip"] == 0]
    draw_worlds(left, everybody[(everybody["adjusted_for"] == FROZEN) & (everybody["estimator"] == "AIPW")])
    draw_errors(right, summary.xs(0.0, level="clip"))
    return figure


def draw_worlds(axes: Axes, rows: pd.DataFrame) -> None:
    """Intervals in the order of true gaps; those that leave the truth out in another colour."""
    ordered = rows.sort_values("truth").reset_index(drop=True)
    inside = (ordered["low"] <= ordered["truth"]) & (ordered["truth"] <= ordered["high"])
    for of, color, label in (
        (inside, COLOURS[0], f"95% interval, the truth inside: {inside.sum()}"),
        (~inside, COLOURS[1], f"95% interval, the truth outside: {(~inside).sum()}"),
    ):
        some = ordered[of]
        axes.errorbar(
            some["estimate"], some.index, xerr=1.96 * some["standard_error"], fmt="o", markersize=2.5, linewidth=0.9,
            color=color, label=label,
        )  # fmt: skip
    axes.plot(ordered["truth"], ordered.index, color="black", linewidth=1.5, label="true history-adjusted gap")
    axes.set(title=f"AIPW, {FROZEN}, in {len(rows)} worlds", xlabel="women minus men, log points", yticks=[])
    axes.set_ylabel("worlds, by their true gap")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)


def draw_errors(axes: Axes, summary: pd.DataFrame) -> None:
    """RMSE of every estimator with all women in it, and the bias with its 95% interval over worlds."""
    names = [f"{adjusted_for}: {estimator}" for adjusted_for, estimator in summary.index]
    places = np.arange(len(names))
    axes.barh(places, summary["rmse"], color="0.85", label="RMSE")
    axes.errorbar(
        summary["bias"],
        places,
        xerr=1.96 * summary["bias_error"],
        fmt="o",
        markersize=4,
        capsize=3,
        color=COLOURS[0],
        label="bias, 95% interval over worlds",
    )
    for place, rmse, inside in zip(places, summary["rmse"], summary["inside"], strict=True):
        axes.annotate(f" {inside:.0f}", (rmse, place), va="center", fontsize=8, color="0.3")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set(title="Errors; beside bars, worlds with the truth inside the interval", xlabel="log points")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
