"""Figures that people look at first: sequences, state shares, career lengths, transitions between broad groups.

matplotlib is imported where it is used: it is an extra.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..careers.frames import to_frame
from ..occupations.crosswalks import GroupLevel, groups, groups_of
from ..occupations.labels import NOT_WORKING


if TYPE_CHECKING:
    from datasets import Dataset
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Occupations in colours (Okabe and Ito, 2008, and three more), states without an occupation in greys.
COLOURS = [
    "#0072B2",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#F0E442",
    "#8B5E3C",
    "#6A51A3",
    "#7FBC41",
]
GREYS = ["#5A5A5A", "#8C8C8C", "#B8B8B8", "#DCDCDC"]
OTHER = "other"
MOST_STATES = 10
MOST_ROWS = 32
MOST_PEOPLE = 100_000
PEOPLE_SHOWN = 200
FEWEST_PEOPLE = 10


def description_figures(output: str | Path, careers: Dataset, *, seed: int = 0) -> list[Path]:
    """Draws sequences.png, states.png, lengths.png and transitions.png into a folder.

    Careers in occ1990dd are drawn by broad group: the six of Autor and Dorn (2013) where colours tell states apart,
    the 25 of David Dorn in the heat map. Other careers are drawn by occupation, the less frequent ones as "other".
    The clock is age where careers have it or a `birth_year`, else the year. Of more than 100,000 people a random
    sample of that size is drawn.

    Args:
        output: Folder; made if it is not there.
        careers: Careers, one row per person.
        seed: Of the samples of people.

    Returns:
        The files.
    """
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    if len(careers) > MOST_PEOPLE:
        careers = careers.select(np.sort(np.random.default_rng(seed).permutation(len(careers))[:MOST_PEOPLE]))
    steps, clock = clocked_steps(careers)
    figures = {
        "sequences.png": sequences_figure(steps, clock, seed=seed),
        "states.png": states_figure(steps, clock),
        "lengths.png": lengths_figure(steps),
        "transitions.png": transitions_figure(steps),
    }
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=110)
    return [folder / name for name in figures]


def clocked_steps(careers: Dataset) -> tuple[pd.DataFrame, str]:
    """One row per person-year, and the column that says when: age where it is known for everybody, else year.

    Args:
        careers: Careers, one row per person.

    Returns:
        The careers as a long table, with age where they have it or a `birth_year`; and "age" or "year".
    """
    steps = to_frame(careers)
    if "birth_year" in steps.columns:
        steps["age"] = steps["year"] - pd.to_numeric(steps["birth_year"], errors="coerce")
    if "age" in steps.columns:
        age = pd.to_numeric(steps["age"], errors="coerce")
        # A survey whose interviews move within the year has people who are one age in two years: no clock.
        once = not pd.DataFrame({"person": steps["person"], "age": age}).duplicated().any()
        if age.notna().all() and (age % 1 == 0).all() and once:
            return steps.assign(age=age.astype(int)), "age"
    return steps, "year"


def sequences_figure(steps: pd.DataFrame, clock: str, people: int = PEOPLE_SHOWN, seed: int = 0) -> Figure:
    """Sequence index plot: a line per person of a random sample, a cell per year, its colour the state.

    Args:
        steps: One row per person-year: person, the clock, and occupation.
        clock: Column with age or year.
        people: How many people to draw.
        seed: Of the sample.

    Returns:
        A matplotlib figure that no window shows. Years without an observation are white. People who were in the same
        state for most of their years stand together, the longest careers of each state on top.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    names = steps["person"].unique()
    drawn = np.random.default_rng(seed).choice(names, min(people, len(names)), replace=False)
    state, colours = _states(steps["occupation"])
    rows = steps.assign(state=state)[steps["person"].isin(drawn)]
    code = {name: place for place, name in enumerate(colours)}
    table = rows.assign(state=rows["state"].map(code)).pivot(index="person", columns=clock, values="state")
    table = table.reindex(columns=range(int(table.columns.min()), int(table.columns.max()) + 1))
    counts = pd.get_dummies(rows["state"]).groupby(rows["person"]).sum().reindex(columns=list(colours), fill_value=0)
    order = pd.DataFrame({"state": counts.idxmax(axis=1).map(code), "years": -counts.sum(axis=1)})
    table = table.loc[order.sort_values(["state", "years"]).index]

    figure = Figure(figsize=(10, 7.5), layout="constrained")
    axes = figure.subplots()
    first, last = table.columns[0], table.columns[-1]
    colour_map = ListedColormap(list(colours.values()))
    box = (first - 0.5, last + 0.5, len(table) - 0.5, -0.5)
    image = axes.imshow(np.ma.masked_invalid(table.to_numpy(float)), aspect="auto", cmap=colour_map, extent=box)
    image.set(clim=(-0.5, len(colours) - 0.5), interpolation="nearest")
    axes.set(title=f"Careers of {len(table):,} people of {len(names):,}, a line each", xlabel=clock, ylabel="people")
    axes.set_yticks([])
    axes.locator_params(axis="x", integer=True)
    _legend(axes, colours)
    return figure


def states_figure(steps: pd.DataFrame, clock: str) -> Figure:
    """Shares of states at every age, or in every year, and how many people each share is of.

    Args:
        steps: One row per person-year: person, the clock, and occupation.
        clock: Column with age or year.

    Returns:
        A matplotlib figure that no window shows. Shares of fewer than 10 people are left out, and the axis ends
        where there are enough.
    """
    from matplotlib.figure import Figure

    state, colours = _states(steps["occupation"])
    counts = pd.crosstab(steps[clock], state).reindex(columns=list(colours), fill_value=0)
    people = counts.sum(axis=1)
    enough = people >= FEWEST_PEOPLE
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[5, 1])
    below = np.zeros(len(counts))
    for name, colour in colours.items():
        share = (100 * counts[name] / people).where(enough, 0.0).to_numpy()
        top.bar(counts.index, share, bottom=below, width=0.95, color=colour)
        below += share
    top.set(title=f"States by {clock}", ylabel="percent of people", ylim=(0, 100))
    if enough.any():
        top.set_xlim(enough.idxmax() - 0.6, enough[::-1].idxmax() + 0.6)
    bottom.bar(counts.index, people, width=0.95, color="#333333")
    bottom.set(xlabel=clock, ylabel="people", ylim=0)
    bottom.locator_params(axis="x", integer=True)
    _legend(top, colours)
    return figure


def lengths_figure(steps: pd.DataFrame) -> Figure:
    """How many years people are observed.

    Args:
        steps: One row per person-year, with the person.

    Returns:
        A matplotlib figure that no window shows.
    """
    from matplotlib.figure import Figure

    years = steps.groupby("person").size()
    counts = years.value_counts().sort_index()
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.bar(counts.index, counts, width=0.9, color=COLOURS[0])
    axes.axvline(years.mean(), color=COLOURS[4], linewidth=1.5, label=f"mean {years.mean():.1f}")
    axes.set(title=f"Years observed per career, {len(years):,} people", xlabel="years", ylabel="people", ylim=0)
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False)
    return figure


def transitions_figure(steps: pd.DataFrame) -> Figure:
    """Heat map of steps: of those who were in a row's state, the percentage whose next observed state is the column's.

    Args:
        steps: One row per person-year: person, year, and occupation.

    Returns:
        A matplotlib figure that no window shows. Rows sum to 100, stays included.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    state, names = _heat_map_states(steps["occupation"])
    later = state.groupby(steps["person"]).shift(-1)
    counts = pd.crosstab(state, later).reindex(index=names, columns=names, fill_value=0)
    percent = 100 * counts.div(counts.sum(axis=1).where(lambda n: n > 0), axis=0)
    side = max(5, 3 + 0.34 * len(names))
    figure = Figure(figsize=(side + 2, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="Blues", norm=PowerNorm(0.5, 0, 100))
    for row, column in zip(*np.nonzero(percent.to_numpy() >= 1), strict=True):
        value = percent.iloc[row, column]
        colour = "white" if value > 35 else "black"
        size = 7 if len(names) > MOST_STATES else 10
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=size, color=colour)
    shown = [name.replace("_", " ") for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90)
    axes.set_yticks(range(len(names)), [f"{name} ({n:,})" for name, n in zip(shown, counts.sum(axis=1), strict=True)])
    figure.suptitle("Percent of steps from a state (row; number of steps) to the next (column)", fontsize=11)
    figure.colorbar(image, shrink=0.5, label="percent of the row", ticks=[1, 5, 20, 50, 100])
    return figure


def _states(occupation: pd.Series) -> tuple[pd.Series, dict[str, str]]:
    """The state of every row, few enough to tell apart by colour, and the colour of each, occupations first."""
    grouped = _grouped(occupation, "major_group")
    frequent = grouped.value_counts().index
    # Groups keep their colours from one dataset to the next.
    order = [*(name for name in groups("major_group").values() if name != "military"), *frequent]
    work = [name for name in dict.fromkeys(order) if name in set(frequent) and name not in NOT_WORKING]
    if len(work) > MOST_STATES:
        kept = [*work[: MOST_STATES - 1], *NOT_WORKING]
        grouped = grouped.where(grouped.isin(kept), OTHER)
        work = [*work[: MOST_STATES - 1], OTHER]
    idle = [name for name in NOT_WORKING if name in set(frequent)]
    return grouped, dict(zip([*work, *idle], [*COLOURS[: len(work)], *GREYS], strict=False))


def _heat_map_states(occupation: pd.Series) -> tuple[pd.Series, list[str]]:
    """The state of every row, and the states in order: groups in that of their codes, then states without one."""
    grouped = _grouped(occupation, "group")
    frequent = grouped.value_counts().index
    if len(frequent) > MOST_ROWS:
        grouped = grouped.where(grouped.isin(frequent[: MOST_ROWS - 1]), OTHER)
    found = set(grouped)
    order = [*(name for name in groups().values() if name != "military"), *sorted(found), *NOT_WORKING]
    last = [name for name in order if name in NOT_WORKING or name == OTHER]
    return grouped, [name for name in dict.fromkeys([*(n for n in order if n not in last), *last]) if name in found]


def _grouped(occupation: pd.Series, level: GroupLevel) -> pd.Series:
    """Broad groups of occ1990dd, or the occupations themselves where they are coded otherwise."""
    labels = occupation.unique()
    coded = any(label[0].isdigit() for label in labels)
    if not coded or any(label[0].isdigit() and label not in groups() for label in labels):
        return occupation.astype(object)
    return occupation.map(groups_of(labels, level)).astype(object)


def _legend(axes: Axes, colours: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=colour, label=name.replace("_", " ")) for name, colour in colours.items()]
    axes.figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
