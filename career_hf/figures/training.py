"""The learning curve of a training run."""

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


__all__ = ["plot_training"]
