"""Figure of transition matrices: observed, implied by a model, and their difference, below each other."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import pandas as pd

from .style import SMALL, TINY, WIDTH, heat_map, new_figure, styled


if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Differences count as sure only in cells of which at least so many steps are implied.
FEWEST_EXPECTED = 5
# Smaller percentages, and differences in percentage points, are not written into their cells.
FEWEST_PERCENT = 1
FEWEST_POINTS = 0.5
# With more categories a figure of the usual width has no room for numbers.
MOST_CATEGORIES = 12


@styled
def transition_matrices_figure(rows: pd.DataFrame, title: str = "") -> Figure:
    """Draws heat maps of percentages of the steps from a state (row) to the next (column).

    Args:
        rows: One row per cell of one matrix: previous, occupation, n, observed, implied, difference, low and high.
        title: Title above the figure.

    Returns:
        A matplotlib figure that no window shows: observed, implied, and implied less observed in percentage points,
        in bold where the 95% interval excludes zero and at least `FEWEST_EXPECTED` steps are implied. The number of
        steps stands beside each row.
    """
    observed, implied, difference = (100 * matrix(rows, name) for name in ("observed", "implied", "difference"))
    is_sure = ((rows["low"] > 0) | (rows["high"] < 0)) & (rows["n"] * rows["implied"] >= FEWEST_EXPECTED)
    bold = matrix(rows.assign(is_sure=is_sure), "is_sure")
    steps = rows.groupby("previous", observed=True)["n"].first()
    names = [f"{name} ({steps[name]:,})" for name in observed.index]
    largest = max(1.0, float(difference.abs().max(axis=None)))
    count = len(observed.columns)
    is_large = count > MOST_CATEGORIES
    width = max(WIDTH, 4.5 + 0.42 * count) if is_large else WIDTH
    letters = 36 if is_large else 28
    figure, panels = new_figure(3 * ((0.4 if is_large else 0.5) * len(names) + 1.2) + 3, 3, width=width, sharex=True)
    percent: dict[str, Any] = {"low": 0, "high": 100, "power": 0.5, "least": FEWEST_PERCENT}
    points: dict[str, Any] = {
        "low": -largest,
        "high": largest,
        "least": FEWEST_POINTS,
        "diverging": True,
        "form": "{:+.1f}",
    }
    panel_options = [
        ("Observed", observed, percent, "percent of the row"),
        ("Implied by the model", implied, percent, "percent of the row"),
        (
            "Implied less observed",
            difference,
            points | {"bold": bold},
            "percentage points\nbold: 95% interval without 0",
        ),
    ]
    for axes, (name, table, options, unit) in zip(panels, panel_options, strict=True):
        named = table.set_axis(names, axis=0)
        image = heat_map(axes, named, **options, size=TINY if count > 8 else SMALL, letters=letters)
        axes.set_title(name)
        figure.colorbar(image, ax=axes, label=unit, shrink=0.9)
    if title:
        figure.suptitle(fill(title, int(8 * width)))
    return figure


def matrix(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Turns one column of the rows into a square: previous groups in rows, groups in columns."""
    return rows.pivot(index="previous", columns="occupation", values=column)


__all__ = ["FEWEST_EXPECTED", "matrix", "transition_matrices_figure"]
