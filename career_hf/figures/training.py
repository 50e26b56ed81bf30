"""The learning curve of a training run, and the trials of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .style import looks, new_figure, styled


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def plot_training(log: pd.DataFrame) -> Figure:
    """Draws the loss of training careers and the negative log-likelihood of validation careers, by update.

    Args:
        log: Training log, one row per update (the index): `loss`, `eval_nll`; either may be absent or null.

    Returns:
        A matplotlib figure that no window shows.
    """
    labels = {"loss": "training careers", "eval_nll": "validation careers"}
    figure, axes = new_figure(4.5)
    for column, look in looks(labels).items():
        if column in log.columns:
            values = log[column].dropna()
            axes.plot(values.index, values, color=look.color, linestyle=look.linestyle, label=labels[column])
    axes.set(xlabel="update", ylabel="negative log-likelihood per person-year")
    axes.legend()
    return figure


@styled
def plot_trials(trials: pd.DataFrame) -> Figure:
    """Draws what validation careers say of pairs of learning rate and dropout.

    Args:
        trials: One row per trial: `learning_rate`, `dropout` (null for a model without), `best`, the negative
            log-likelihood of validation careers, and whether it was `chosen`.

    Returns:
        A matplotlib figure that no window shows.
    """
    figure, axes = new_figure(4.5)
    look = looks(["trial"])["trial"]
    axes.scatter(trials["learning_rate"], trials["best"], color=look.color)
    chosen = trials[trials["chosen"]]
    axes.scatter(chosen["learning_rate"], chosen["best"], s=120, facecolors="none", edgecolors=look.color)
    for trial in trials.dropna(subset=["dropout"]).itertuples():
        axes.annotate(f"{trial.dropout:g}", (trial.learning_rate, trial.best), (5, 4), textcoords="offset points")
    axes.set_xscale("log")
    title = "The circle is chosen" + ("" if trials["dropout"].isna().all() else "; numbers are dropouts")
    axes.set(xlabel="peak learning rate", ylabel="negative log-likelihood of validation careers", title=title)
    return figure


__all__ = ["plot_training", "plot_trials"]
