"""Figure of transition matrices: observed, implied by a model, and their difference, side by side."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd


if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Steps that have to be implied in a cell for the interval of its difference to be believed.
FEWEST_EXPECTED = 5
# From these on, percentages, and differences in percentage points, are written into their cells.
FEWEST_PERCENT = 1
FEWEST_POINTS = 0.5
# Letters of a line of a column's name.
WIDTH = 24


def transition_matrices_figure(found: pd.DataFrame, title: str = "") -> Figure:
    """Heat maps of percentages of the steps from a state (row) to the next (column).

    Args:
        found: What `transition_matrices` returns, of one level of `by`.
        title: Above all.

    Returns:
        A matplotlib figure that no window shows: observed, implied, and implied less observed in percentage points,
        in bold where the 95% interval leaves out zero and at least `FEWEST_EXPECTED` steps are implied. Beside each
        row is its number of steps.
    """
    from matplotlib.colors import PowerNorm, TwoSlopeNorm
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    observed, implied, difference = (100 * matrix(found, name) for name in ("observed", "implied", "difference"))
    sure = ((found["low"] > 0) | (found["high"] < 0)) & (found["n"] * found["implied"] >= FEWEST_EXPECTED)
    surely = matrix(found.assign(sure=sure), "sure")
    steps = found.groupby("previous", observed=True)["n"].first()
    side = max(3.6, 0.42 * observed.shape[1])
    figure = Figure(figsize=(3 * side + 4.5, 0.42 * len(observed) + 3.2), layout=ConstrainedLayoutEngine(h_pad=0.15))
    panels = figure.subplots(1, 3, sharey=True)
    shares = PowerNorm(0.5, 0, 100)
    far = max(1.0, float(np.nanmax(np.abs(difference.to_numpy()))))
    looks = [
        ("Observed", observed, {"cmap": "Blues", "norm": shares}),
        ("Implied by the model", implied, {"cmap": "Blues", "norm": shares}),
        ("Implied less observed", difference, {"cmap": "RdBu_r", "norm": TwoSlopeNorm(0, -far, far)}),
    ]
    columns = [fill(str(name).replace("_", " "), WIDTH) for name in observed.columns]
    rows = [f"{name} ({steps[name]:,})".replace("_", " ") for name in observed.index]
    for axes, (name, percent, look) in zip(panels, looks, strict=True):
        image = axes.imshow(percent, aspect="auto", **look)
        is_difference = percent is difference
        for (row, column), value in np.ndenumerate(percent.to_numpy()):
            bold = is_difference and surely.iat[row, column]
            if abs(value) >= (FEWEST_POINTS if is_difference else FEWEST_PERCENT):
                dark = abs(value) > (0.6 * far if is_difference else 35)
                text = f"{value:+.1f}" if is_difference else f"{value:.0f}"
                weight, colour = ("bold" if bold else "normal"), ("white" if dark else "black")
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour, weight=weight)
        axes.set_xticks(range(len(columns)), columns, rotation=90)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_title(name, fontsize=11)
        unit = "percentage points; bold: 95% interval without 0" if is_difference else "percent of the row"
        figure.colorbar(image, ax=axes, location="bottom", shrink=0.8, aspect=30, label=unit)
    if title:
        figure.suptitle(title, fontsize=12)
    return figure


def matrix(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of one matrix as a square: previous groups in rows, groups in columns."""
    return rows.pivot(index="previous", columns="occupation", values=column)


__all__ = ["transition_matrices_figure"]
