"""Figures that people look at first: sequences, state shares, career lengths, transitions between broad groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..careers.frames import long_table
from ..careers.periods import PER_YEAR, plural, time_unit
from ..number_ranges import within_ranges
from ..occupations.crosswalks import GroupLevel, groups, groups_of
from ..occupations.labels import NOT_WORKING
from .style import (
    COLOURS,
    FONT,
    GREYS,
    HATCHES,
    NAVY,
    SMALL,
    TINY,
    VERMILION,
    WIDTH,
    Look,
    heat_map,
    new_figure,
    period_axis,
    save,
    styled,
    words,
)


if TYPE_CHECKING:
    from datasets import Dataset
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours of occupations, whose neighbours differ in grey; states without an occupation are drawn in greys.
STATE_COLOURS = (*COLOURS, "#56B4E9", "#8B5E3C", "#B9A5E2", "#7FBC41")
OTHER = "other"
MOST_STATES = 10
MOST_ROWS = 32
MOST_PEOPLE = 100_000
PEOPLE_SHOWN = 200
FEWEST_PEOPLE = 10


@within_ranges
def description_figures(output: str | Path, careers: Dataset, *, seed: int = 0) -> list[Path]:
    """Draws sequences.png, states.png, lengths.png and transitions.png into a folder.

    Careers in occ1990dd are drawn by broad group: the six of Autor and Dorn (2013) where colours tell states apart,
    the 25 of David Dorn in the heat map. Other careers are drawn by occupation, the less frequent ones as "other".
    The clock is age where careers have `age` or `birth_year`, else the year, quarter or month. Of more than 100,000
    people a random sample of that size is drawn.

    Args:
        output: Destination folder; created if missing.
        careers: Careers, one row per person.
        seed: Random seed for drawing samples of people.

    Returns:
        Paths of the files.
    """
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    if len(careers) > MOST_PEOPLE:
        careers = careers.select(np.sort(np.random.default_rng(seed).permutation(len(careers))[:MOST_PEOPLE]))
    steps, clock = clocked_steps(careers)
    figures = {
        "sequences.png": sequences_figure(steps, clock, seed=seed),
        "states.png": states_figure(steps, clock),
        "lengths.png": lengths_figure(steps, time_unit(careers)),
        "transitions.png": transitions_figure(steps),
    }
    for name, figure in figures.items():
        save(figure, folder / name)
    return [folder / name for name in figures]


def clocked_steps(careers: Dataset) -> tuple[pd.DataFrame, str]:
    """Makes a long table and chooses its clock: age where it is known for everybody, else year.

    Args:
        careers: Careers, one row per person.

    Returns:
        The careers as a long table, with `age` where they have `age` or `birth_year`; and "age" or "year", or the
        other unit, whose column has numbers of periods.
    """
    unit = time_unit(careers)
    steps = long_table(careers).to_pandas().rename(columns={"year": unit})
    if "birth_year" in steps.columns:
        steps["age"] = steps[unit] // PER_YEAR[unit] - pd.to_numeric(steps["birth_year"], errors="coerce")
    if "age" in steps.columns:
        age = pd.to_numeric(steps["age"], errors="coerce")
        # Where interviews move within the year, people are one age in two years: age is no clock.
        is_unique = not pd.DataFrame({"person": steps["person"], "age": age}).duplicated().any()
        if age.notna().all() and (age % 1 == 0).all() and is_unique:
            return steps.assign(age=age.astype(int)), "age"
    return steps, unit


@styled
def sequences_figure(steps: pd.DataFrame, clock: str, people: int = PEOPLE_SHOWN, seed: int = 0) -> Figure:
    """Draws a sequence index plot: one line per person of a random sample, one cell per year, coloured by state.

    Args:
        steps: One row per person-year: person, the clock, and occupation.
        clock: Column with age, year, or numbers of quarters or months.
        people: Number of people to draw.
        seed: Random seed for drawing the sample.

    Returns:
        A matplotlib figure that no window shows. Years without an observation are white. People who were in the same
        state for most of their years stand together, the longest careers of each state on top.
    """
    from matplotlib.colors import ListedColormap

    names = steps["person"].unique()
    drawn = np.random.default_rng(seed).choice(names, min(people, len(names)), replace=False)
    state, state_looks = _states(steps["occupation"])
    rows = steps.assign(state=state)[steps["person"].isin(drawn)]
    state_codes = {name: code for code, name in enumerate(state_looks)}
    table = rows.assign(state=rows["state"].map(state_codes)).pivot(index="person", columns=clock, values="state")
    table = table.reindex(columns=range(int(table.columns.min()), int(table.columns.max()) + 1))
    counts = (
        pd.get_dummies(rows["state"]).groupby(rows["person"]).sum().reindex(columns=list(state_looks), fill_value=0)
    )
    order = pd.DataFrame({"state": counts.idxmax(axis=1).map(state_codes), "years": -counts.sum(axis=1)})
    table = table.loc[order.sort_values(["state", "years"]).index]

    figure, axes = new_figure(8)
    first, last = table.columns[0], table.columns[-1]
    colour_map = ListedColormap([look.color for look in state_looks.values()])
    box = (first - 0.5, last + 0.5, len(table) - 0.5, -0.5)
    image = axes.imshow(np.ma.masked_invalid(table.to_numpy(float)), aspect="auto", cmap=colour_map, extent=box)
    image.set(clim=(-0.5, len(state_looks) - 0.5), interpolation="nearest")
    axes.set(title=f"Careers of {len(table):,} people of {len(names):,}, a line each", xlabel=clock, ylabel="people")
    axes.set_yticks([])
    axes.locator_params(axis="x", integer=True)
    period_axis(axes, "year" if clock == "age" else clock)
    _legend(axes, {name: Look(look.color) for name, look in state_looks.items()})
    return figure


@styled
def states_figure(steps: pd.DataFrame, clock: str) -> Figure:
    """Draws the shares of states at every age or in every year, and the number of people behind them.

    Args:
        steps: One row per person-year: person, the clock, and occupation.
        clock: Column with age, year, or numbers of quarters or months.

    Returns:
        A matplotlib figure that no window shows. Shares of fewer than 10 people are left out, and the axis
        ends where more people are observed.
    """
    state, state_looks = _states(steps["occupation"])
    counts = pd.crosstab(steps[clock], state).reindex(columns=list(state_looks), fill_value=0)
    people = counts.sum(axis=1)
    enough = people >= FEWEST_PEOPLE
    figure, (top, bottom) = new_figure(8, 2, sharex=True, height_ratios=[5, 1])
    below = np.zeros(len(counts))
    for name, look in state_looks.items():
        share = (100 * counts[name] / people).where(enough, 0.0).to_numpy()
        top.bar(counts.index, share, bottom=below, width=0.95, **look.area)
        below += share
    top.set(title=f"States by {clock}", ylabel="percent of people", ylim=(0, 100))
    if enough.any():
        top.set_xlim(enough.idxmax() - 0.6, enough[::-1].idxmax() + 0.6)
    bottom.bar(counts.index, people, width=0.95, color=GREYS[0])
    bottom.set(xlabel=clock, ylabel="people", ylim=0)
    bottom.locator_params(axis="x", integer=True)
    period_axis(bottom, "year" if clock == "age" else clock)
    _legend(top, state_looks)
    return figure


@styled
def lengths_figure(steps: pd.DataFrame, unit: str = "year") -> Figure:
    """Draws how many years people are observed.

    Args:
        steps: One row per person-year, with the person.
        unit: What a row is of: "year", "quarter" or "month".

    Returns:
        A matplotlib figure that no window shows.
    """
    years = steps.groupby("person").size()
    counts = years.value_counts().sort_index()
    figure, axes = new_figure(4.5)
    axes.bar(counts.index, counts, width=0.9, color=NAVY)
    axes.axvline(years.mean(), color=VERMILION, linestyle="--", label=f"mean {years.mean():.1f}")
    units = plural(unit)
    title = f"{units.capitalize()} observed per career, {len(years):,} people"
    axes.set(title=title, xlabel=units, ylabel="people", ylim=0)
    axes.locator_params(axis="x", integer=True)
    axes.legend()
    return figure


@styled
def transitions_figure(steps: pd.DataFrame) -> Figure:
    """Draws a heat map of steps: of the people in a row's state, the percentage whose next state is the column's.

    Args:
        steps: One row per person-year: person, year, and occupation.

    Returns:
        A matplotlib figure that no window shows. Rows sum to 100, stays included.
    """
    state, names = _heat_map_states(steps["occupation"])
    later = state.groupby(steps["person"]).shift(-1)
    counts = pd.crosstab(state, later).reindex(index=names, columns=names, fill_value=0)
    total = counts.sum(axis=1)
    percent = 100 * counts.div(total.where(total > 0), axis=0)
    percent.index = [f"{name} ({n:,})" for name, n in total.items()]
    # A table of the 25 groups can be read in full width only.
    is_large = len(names) > MOST_STATES
    side = max(WIDTH, 3.5 + 0.36 * len(names))
    figure, axes = new_figure(side, width=side + 1 if is_large else WIDTH)
    size = TINY if is_large else SMALL
    image = heat_map(axes, percent, low=0, high=100, power=0.5, least=1, size=size, letters=None if is_large else 20)
    figure.suptitle("Percent of steps from a state (row; number of steps)\nto the next (column)", fontsize=FONT)
    figure.colorbar(image, shrink=0.5, label="percent of the row", ticks=[1, 5, 20, 50, 100])
    return figure


def _states(occupation: pd.Series) -> tuple[pd.Series, dict[str, Look]]:
    """The state of every row, few enough to tell apart, and the look of each state, occupations first."""
    grouped = _grouped(occupation, "major_group")
    frequent = grouped.value_counts().index
    # Groups keep their colours from one dataset to the next.
    order = [*(name for name in groups("major_group").values() if name != "military"), *frequent]
    work = [name for name in dict.fromkeys(order) if name in set(frequent) and name not in NOT_WORKING]
    if len(work) > MOST_STATES:
        grouped = grouped.where(grouped.isin([*work[: MOST_STATES - 1], *NOT_WORKING]), OTHER)
        work = [*work[: MOST_STATES - 1], OTHER]
    idle = [name for name in NOT_WORKING if name in set(frequent)]
    work_looks = [Look(color, hatch=HATCHES[i % len(HATCHES)]) for i, color in enumerate(STATE_COLOURS)]
    idle_looks = [Look(color, hatch=hatch) for color, hatch in zip(GREYS, ("", "///", "...", ""), strict=True)]
    return grouped, dict(zip([*work, *idle], [*work_looks[: len(work)], *idle_looks], strict=False))


def _heat_map_states(occupation: pd.Series) -> tuple[pd.Series, list[str]]:
    """The state of every row, and the states in order: groups by their codes, then states without an occupation."""
    grouped = _grouped(occupation, "group")
    frequent = grouped.value_counts().index
    if len(frequent) > MOST_ROWS:
        grouped = grouped.where(grouped.isin(frequent[: MOST_ROWS - 1]), OTHER)
    states = set(grouped)
    order = [*(name for name in groups().values() if name != "military"), *sorted(states), *NOT_WORKING]
    last = [name for name in order if name in NOT_WORKING or name == OTHER]
    return grouped, [name for name in dict.fromkeys([*(n for n in order if n not in last), *last]) if name in states]


def _grouped(occupation: pd.Series, level: GroupLevel) -> pd.Series:
    """Broad groups of occ1990dd, or the occupations themselves where they are coded otherwise."""
    labels = occupation.unique()
    coded = any(label[0].isdigit() for label in labels)
    if not coded or any(label[0].isdigit() and label not in groups() for label in labels):
        return occupation.astype(object)
    return occupation.map(groups_of(labels, level)).astype(object)


def _legend(axes: Axes, state_looks: Mapping[str, Look]) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(**look.area, label=words(name, 32)) for name, look in state_looks.items()]
    axes.figure.legend(handles=patches, loc="outside lower center", ncols=2)
