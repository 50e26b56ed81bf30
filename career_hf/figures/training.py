"""The learning curve of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def plot_training(log: pd.DataFrame) -> Figure:
    """Loss of training careers and negative log-likelihood of validation careers, by update.

    Args:
        log: Training log, one row per update (the index): `loss`, `eval_nll`; either may be absent or null.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    curves = {"loss": ("training careers", "--"), "eval_nll": ("validation careers", "-")}
    for column, (label, style) in curves.items():
        if column in log.columns:
            values = log[column].dropna()
            axes.plot(values.index, values, style, label=label)
    axes.set(xlabel="update", ylabel="negative log-likelihood per person-year")
    axes.legend()
    return figure


__all__ = ["plot_training"]
