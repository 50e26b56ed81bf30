"""The figures of `likeness`. matplotlib is imported where it is used: it is an extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np


if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that the colour-blind can tell apart (Okabe and Ito 2008, "Color Universal Design"): of sources, of states.
SOURCES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"]
STATES = ["#000000", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"]
STYLES = ["-", "--", ":", "-.", (0, (1, 5))]
FEWEST = 50  # people behind a point that is drawn


def likeness_figure(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """States, durations, returns, lengths and sizes: the last source in solid lines, the others dashed or dotted.

    Bands are 95% intervals from resampling people. Points with fewer than `FEWEST` people are left out.

    Args:
        tables: What `likeness` returns, of five sources at most.

    Returns:
        A matplotlib figure, 15 by 9 inches, that no window shows.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(tables["lengths"]["careers"]))
    looks = {
        name: {"color": colour, "linestyle": style, "label": name}
        for name, colour, style in zip(names[::-1], SOURCES, STYLES, strict=False)
    }
    figure = Figure(figsize=(15, 9), layout="constrained")
    (states, leaving, returns), (lengths, concentration, held) = figure.subplots(2, 3)
    _plot_states(states, tables["states"], looks)
    year_long = tables["leaving"]["gap"] == 1
    _plot_shares(leaving, tables["leaving"][year_long], "years", "share", looks)
    leaving.set(
        title="Who leaves an occupation within a year",
        xlabel="years in the occupation so far",
        ylabel="share who leave",
    )
    _plot_shares(returns, tables["returns"], "held", "share", looks)
    returns.set(
        title="Moves that lead back to an earlier occupation",
        xlabel="earlier occupations that could be (last class: or more)",
        ylabel="share of moves into occupations",
    )

    for name, look in looks.items():
        of_name = tables["lengths"][tables["lengths"]["careers"] == name]
        lengths.plot(of_name["waves"], of_name["share"], drawstyle="steps-mid", **look)
        of_name = tables["concentration"][tables["concentration"]["careers"] == name]
        concentration.plot(of_name["largest"], of_name["share"], **look)
    lengths.set(title="Waves per person", xlabel="waves", ylabel="share of people")
    concentration.set(
        title="Work in the largest occupations",
        xlabel="so many of the largest occupations (log scale)",
        ylabel="share of person-years worked",
        xscale="log",
    )
    _plot_shares(held, tables["held"], "waves_worked", "mean", looks)
    held.set(
        title="Different occupations held",
        xlabel="waves worked so far (by those who worked so long)",
        ylabel="occupations, mean",
    )
    for ax in (states, leaving, returns, lengths, concentration, held):
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        if ax is not concentration:
            ax.xaxis.get_major_locator().set_params(integer=True)
        if ax is not states:
            ax.legend(frameon=False)
    return figure


def moves_figure(moves: pd.DataFrame) -> Figure:
    """Where leavers go, in the first and the last source: percent of those who leave a group, and the difference.

    Args:
        moves: The table `moves` of `likeness`.

    Returns:
        A matplotlib figure, 15 by 6 inches, that no window shows.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(moves["careers"]))
    first, last = names[0], names[-1]
    groups = list(dict.fromkeys([*moves["from"], *moves["to"]]))
    moves = moves.assign(percent=100 * moves["share_of_moves"])
    matrices = {
        name: rows.pivot(index="from", columns="to", values="percent").reindex(index=groups, columns=groups).fillna(0)
        for name, rows in moves.groupby("careers")
    }
    shares: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 60}
    points: dict[str, Any] = {"cmap": "PuOr", "vmin": -30, "vmax": 30}
    panels = [
        (f"Where people go who leave, in percent: {last}", matrices[last], shares),
        (first, matrices[first], shares),
        (f"{first} minus {last}, in percentage points", matrices[first] - matrices[last], points),
    ]
    figure = Figure(figsize=(15, 6), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    for ax, (title, matrix, colours) in zip(axes, panels, strict=True):
        values = matrix.to_numpy()
        ax.imshow(values, aspect="auto", **colours)
        for i, j in np.argwhere(np.abs(values) >= 0.5):
            colour = "white" if abs(values[i, j]) > 0.6 * colours["vmax"] else "black"
            ax.text(j, i, f"{values[i, j]:.0f}", ha="center", va="center", fontsize=9, color=colour)
        labels = [group.replace("_", " ") for group in groups]
        ax.set_xticks(range(len(groups)), labels, rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(groups)), labels)
        ax.set(title=title, xlabel="to")
    axes[0].set_ylabel("from")
    return figure


def _plot_shares(ax: Axes, table: pd.DataFrame, x: str, y: str, looks: Mapping[str, Mapping[str, Any]]) -> None:
    for name, look in looks.items():
        rows = table[(table["careers"] == name) & (table["people"] >= FEWEST)]
        ax.fill_between(rows[x], rows["low"], rows["high"], color=look["color"], alpha=0.2, linewidth=0)
        ax.plot(rows[x], rows[y], marker="o", markersize=3, **look)


def _plot_states(ax: Axes, states: pd.DataFrame, looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Shares of states over age or calendar years: colours are states, line styles are sources."""
    from matplotlib.lines import Line2D

    of_states = dict(zip(sorted(states["state"].unique(), key=lambda state: state != "working"), STATES, strict=False))
    for (name, state), rows in states[states["people"] >= FEWEST].groupby(["careers", "state"]):
        if state in of_states:
            ax.plot(rows["at"], rows["share"], color=of_states[state], linestyle=looks[name]["linestyle"])
    clock = states["clock"].iloc[0]
    ax.set(title=f"State, by {clock}", xlabel=clock, ylabel="share of people", ylim=(0, 1))
    handles = [Line2D([], [], color=colour, label=state.replace("_", " ")) for state, colour in of_states.items()]
    handles += [
        Line2D([], [], color="#555555", linestyle=look["linestyle"], label=name) for name, look in looks.items()
    ]
    ax.legend(handles=handles, frameon=False, ncols=2)
