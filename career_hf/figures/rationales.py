"""A figure like the paper's Figure 3: a career as a row of years, and which of them a prediction rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..occupations.crosswalks import titles


if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHOSEN, OTHER, EXPLAINED = "#0072B2", "#E3E3E3", "#D55E00"
LONGEST_TITLE = 38


def rationale_figure(
    found: pd.DataFrame, career: Mapping[str, Any], others: Mapping[str, Mapping[int, int]] | None = None
) -> Figure:
    """One person's career, a row of cells for every prediction that is explained.

    Filled cells are the rationale, numbered in the order in which they were added; the latest occupation, which is
    always part of it, is 0. The framed cell is what is explained. At its right stand its rank and probability from
    these steps alone and from the whole career.

    Args:
        found: Rows of `rationales` of one person.
        career: That person's `year` and `occupation`, lists, as a row of careers has them.
        others: By the name of another model, the rank that it gives what is explained, by step.

    Returns:
        A matplotlib figure that no window shows. Labels that are occ1990dd codes are shown by their titles.

    Raises:
        ValueError: The rows are of no person, or of several.
    """
    from matplotlib.figure import Figure

    people = list(dict.fromkeys(found["person"]))
    if len(people) != 1:
        raise ValueError(f"the figure shows the rationales of one person, but these are of {people}: select one")
    steps = list(dict.fromkeys(found["step"]))
    shown = max(steps) + 1
    # Titles rise above the row at 30 degrees, 0.033 inches with each letter.
    longest = max(len(title(occupation)) for occupation in career["occupation"][:shown])
    width, above, below = 0.55 * shown + 4.9, 0.8 + 0.033 * longest, 0.5
    figure = Figure(figsize=(width, above + 0.55 * len(steps) + below))
    # In inches, so that a cell is as large in every figure.
    height = figure.get_figheight()
    axes = figure.add_axes(
        (0.5 / width, below / height, 0.55 * shown / width, 0.55 * len(steps) / height), xlim=(0, shown)
    )
    axes.set(ylim=(len(steps), 0), yticks=[])
    axes.set_xticks([place + 0.5 for place in range(shown)], career["year"][:shown], rotation=45)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _name_spells(axes, career["occupation"][:shown])
    for row, step in enumerate(steps):
        _draw(axes, row, found[found["step"] == step], others or {})
    figure.text(
        0.5 / width, 1 - 0.3 / height, f"Person {people[0]}: the years that predictions rest on", weight="bold"
    )
    key = "blue: the rationale, in the order in which years were added, 0 always there; framed: what is explained"
    figure.text(0.5 / width, 1 - 0.52 / height, key, fontsize=8)
    return figure


def _name_spells(axes: Axes, occupations: list[str]) -> None:
    """Titles above the row, one for each run of years in an occupation."""
    for place, occupation in enumerate(occupations):
        if place == 0 or occupation != occupations[place - 1]:
            axes.text(place + 0.3, -0.1, title(occupation), rotation=30, ha="left", va="bottom", fontsize=8)


def _draw(axes: Axes, row: int, rows: pd.DataFrame, others: Mapping[str, Mapping[int, int]]) -> None:
    """The cells of one prediction, and what is said about it."""
    from matplotlib.patches import Rectangle

    last = rows.iloc[-1]
    step = int(last["step"])
    order = dict(zip(rows["rationale_step"], rows["order"], strict=True))
    for place in range(step):
        colour = CHOSEN if place in order else OTHER
        axes.add_patch(Rectangle((place + 0.05, row + 0.1), 0.9, 0.8, color=colour, linewidth=0))
        if place in order:
            axes.text(place + 0.5, row + 0.5, order[place], color="white", ha="center", va="center", weight="bold")
    frame = Rectangle((step + 0.05, row + 0.1), 0.9, 0.8, fill=False, edgecolor=EXPLAINED, linewidth=2, clip_on=False)
    axes.add_patch(frame)
    enough = "" if last["complete"] else ", which is not enough"
    said = [
        f"{title(last['target'])}" + ("" if last["target"] == last["occupation"] else " (predicted)"),
        f"rank {last['rank']} (p {_short(last['probability'])}) from {len(rows)} of {step} years{enough}; "
        f"rank {last['whole_rank']} (p {_short(last['whole_probability'])}) from all",
    ]
    ranks = [f"{name}: rank {of_step[step]}" for name, of_step in others.items() if step in of_step]
    axes.text(axes.get_xlim()[1] + 0.25, row + 0.5, "\n".join([*said, *ranks]), fontsize=8, va="center")


def title(label: str) -> str:
    """What an occupation is called in figures: the title of an occ1990dd code, any other label as it is."""
    name = titles().get(label, label).replace("_", " ")
    return name if len(name) <= LONGEST_TITLE else name[: LONGEST_TITLE - 1].rstrip(" ,") + "…"


def _short(probability: float) -> str:
    return "<.01" if probability < 0.01 else f"{probability:.2f}".lstrip("0")


__all__ = ["rationale_figure"]
