"""A figure like the paper's Figure 3: a career as a row of years, and the years that a prediction rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..occupations.crosswalks import titles
from .style import FONT, NAVY, PALE, SMALL, VERMILION, WIDTH, new_figure, short, styled, words


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST_TITLE = 38


@styled
def rationale_figure(
    rows: pd.DataFrame, career: Mapping[str, Any], others: Mapping[str, Mapping[int, int]] | None = None
) -> Figure:
    """Draws one person's career, one row of cells per explained prediction.

    Filled cells are the rationale, numbered in the order in which they were added; the latest occupation, which is
    always part of it, is 0. The framed cell is the explained step. The text above the cells gives its rank and
    probability from these steps alone and from the whole career.

    Args:
        rows: Rows of `rationales` of one person.
        career: That person's lists `year` and `occupation`, as a row of careers has them.
        others: Rank that other models give to the explained occupation, by model and step.

    Returns:
        A matplotlib figure that no window shows. Labels that are occ1990dd codes are shown by their titles.

    Raises:
        ValueError: If the rows belong to no person, or to several.
    """
    people = list(dict.fromkeys(rows["person"]))
    if len(people) != 1:
        raise ValueError(
            f"the figure shows the rationales of one person, but these rows belong to {people}: select one"
        )
    others = others or {}
    steps = list(dict.fromkeys(rows["step"]))
    shown = max(steps) + 1
    # Lengths are inches. Titles rise above the first row at 45 degrees, and the last one leans over the right end.
    longest = max(len(title(occupation)) for occupation in career["occupation"][:shown])
    slope, line = 0.075 * longest, 0.2
    height_of_row = 0.75 + line * (2 + len(others))
    left, below, above = 0.2, 0.7, 1.0 + slope
    width = max(WIDTH, left + 0.3 * shown + slope)
    height = above + height_of_row * len(steps) + below
    cell = min(0.55, (width - left - slope) / shown)
    figure, axes = new_figure(height, width=width)
    figure.set_layout_engine("none")
    axes.set_position((left / width, below / height, cell * shown / width, height_of_row * len(steps) / height))
    axes.set(xlim=(0, shown), ylim=(len(steps), 0), yticks=[])
    axes.set_xticks([place + 0.5 for place in range(shown)], career["year"][:shown], rotation=90)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _name_spells(axes, career["occupation"][:shown])
    for row, step in enumerate(steps):
        # The cells take the lowest 0.5 inches of a row.
        _draw_prediction(axes, row, rows[rows["step"] == step], others, 0.5 / height_of_row)
    heading = f"Person {people[0]}: the years that predictions rest on"
    figure.text(left / width, 1 - 0.3 / height, heading, weight="bold", fontsize=FONT)
    key = "dark: the rationale, numbered as years were added, 0 always there; framed: what is explained"
    figure.text(left / width, 1 - 0.58 / height, key, fontsize=SMALL - 1)
    return figure


def _name_spells(axes: Axes, occupations: list[str]) -> None:
    """Writes titles above the first row, one for each run of years in an occupation."""
    for place, occupation in enumerate(occupations):
        if place == 0 or occupation != occupations[place - 1]:
            axes.text(place + 0.2, 0, title(occupation), rotation=45, ha="left", va="bottom", rotation_mode="anchor")


def _draw_prediction(
    axes: Axes, row: int, rows: pd.DataFrame, others: Mapping[str, Mapping[int, int]], height: float
) -> None:
    """Draws the cells of one prediction and the text above them."""
    from matplotlib.patches import Rectangle

    last = rows.iloc[-1]
    step, top = int(last["step"]), row + 1 - height
    size = (0.9, 0.85 * height)
    order = dict(zip(rows["rationale_step"], rows["order"], strict=True))
    for place in range(step):
        is_chosen = place in order
        axes.add_patch(Rectangle((place + 0.05, top), *size, color=NAVY if is_chosen else PALE, linewidth=0))
        if is_chosen:
            middle = (place + 0.5, top + size[1] / 2)
            axes.text(*middle, order[place], color="white", ha="center", va="center", weight="bold")
    frame: dict[str, Any] = {"fill": False, "edgecolor": VERMILION, "linewidth": 3, "clip_on": False}
    axes.add_patch(Rectangle((step + 0.05, top), *size, **frame))
    enough = "" if last["complete"] else ", which is not enough"
    texts = [
        f"{title(last['target'])}" + ("" if last["target"] == last["occupation"] else " (predicted)"),
        f"rank {last['rank']} (p {_probability_text(last['probability'])}) from {len(rows)} of {step} years{enough}; "
        f"rank {last['whole_rank']} (p {_probability_text(last['whole_probability'])}) from all",
    ]
    ranks = [f"{name}: rank {by_step[step]}" for name, by_step in others.items() if step in by_step]
    axes.text(0.05, top - 0.06 * height, "\n".join([*texts, *ranks]), fontsize=SMALL - 1, va="bottom")


def title(label: str) -> str:
    """Name of an occupation in figures: the title of an occ1990dd code, any other label in words."""
    return short(words(titles().get(label, label)), LONGEST_TITLE)


def _probability_text(probability: float) -> str:
    return "<.01" if probability < 0.01 else f"{probability:.2f}".lstrip("0")


__all__ = ["rationale_figure", "title"]
