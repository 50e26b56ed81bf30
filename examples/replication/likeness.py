"""Sets careers beside each other and says where they differ: is a simulated labor market like a survey?

Everything is computed from the careers alone, no model is fitted, and nothing is weighted. What is compared are the
facts that studies of occupational mobility start from: how states change with age, how the probability of leaving
falls with the time in an occupation, who moves where, how often a move leads back, and how unequal occupations are in
size. Much of the mobility that a survey measures is coding (Kambourov and Manovskii 2008, "Rising Occupational and
Industry Mobility in the United States"), so careers coded wrongly on purpose are worth setting beside the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, concatenate_datasets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from career_hf.careers.describing import describe
from career_hf.careers.frames import load_careers, to_frame
from career_hf.cli.console import say, show
from career_hf.evaluation.resampling import interval, resample_means
from career_hf.evaluation.transition_table import TRANSITIONS, transition_classes
from career_hf.occupations.labels import NOT_WORKING
from career_hf.simulation import miscode, preset

from .study import Data, Output, StudyResult, studies


# Broad groups of occ1990dd, first to last code: the major groups of the Census of 1990, as in David Dorn's
# subfile_occ1990dd_occgroups.do (ddorn.net; Autor and Dorn 2013), with his two groups of managers (3-22, 23-37), of
# sales (243-258, 274-283), of crafts (503-549 to 628-699) and of operators and laborers (703-799, 803-889) together.
GROUPS = {
    "managers": (3, 37),
    "professionals": (43, 200),
    "technicians": (203, 235),
    "sales": (243, 283),
    "clerks": (303, 389),
    "services": (405, 472),
    "farming": (473, 498),
    "crafts": (503, 699),
    "operators, laborers": (703, 889),
}
MOST_HELD = 10  # the last class of the number of occupations held is "so many or more"
TOP = (10, 50)
SHARE = ["n", "people", "share", "standard_error", "low", "high"]


def likeness(
    careers_by_name: Mapping[str, Dataset],
    *,
    without_work: Sequence[str] = NOT_WORKING,
    draws: int = 500,
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """Describes careers from several sources by the same statistics.

    Args:
        careers_by_name: Careers of each source; the last one is what the others are compared with.
        without_work: Labels of states without work; every other label is an occupation.
        draws: Resamples of people behind the intervals.
        seed: Of the resampling.

    Returns:
        Tidy tables by name, each with the column `careers`, the source. Shares have n (steps), people, share,
        standard_error, and low and high, the ends of a 95% interval, from resampling people.

        summary: one row per number, one column per source, and for each source but the last `NAME minus LAST` with its
            standard error, null for counts and for shares of the largest occupations.
        states: share of each state by age (year minus the static column `birth_year`), or by calendar year if a source
            has no birth years; column `clock` says which.
        leaving: share who are not in their occupation of the wave before, by `years` in it (counted from one, from the
            wave in which the spell began to the wave before) and by `gap`, the years between the waves. Spells that
            began with the career are left out, because their start is not known; spells that are still going on at the
            last wave count until then.
        moves: `share_of_steps`, the transition matrix from group to group, and `share_of_moves`, the same among those
            who leave their occupation or state; `people` are those who made such a move. Groups are those of `GROUPS`
            and the states without work; an occupation that is no code of occ1990dd is a group of its own.
        returns: share of moves into an occupation that lead to one held before, by `held`, how many that could be (the
            occupation of the wave before not counted; `MOST_HELD` means so many or more).
        lengths: share of people by number of waves.
        concentration: share of person-years worked in the largest occupations, by their number.
        held: mean number of different occupations held, by number of waves worked so far.

    Raises:
        ValueError: There are no careers, or in one source nobody works or nobody has two waves.
    """
    if not careers_by_name:
        raise ValueError("careers_by_name is empty: pass careers by the name that figures shall give them")
    by_age = all("birth_year" in careers.column_names for careers in careers_by_name.values())
    described = {}
    for name, careers in careers_by_name.items():
        steps = career_steps(careers, without_work)
        if not steps["working"].any() or steps["first"].all():
            raise ValueError(f"careers '{name}': nobody works, or nobody has two waves; check `without_work`")
        described[name] = _describe(steps, careers, "age" if by_age else "year", draws, seed)
    tables = {
        table: pd.concat([of[table].assign(careers=name) for name, of in described.items()], ignore_index=True)
        for table in next(iter(described.values()))
        if table != "summary"
    }
    tables = {name: table[["careers", *table.columns.drop("careers")]] for name, table in tables.items()}
    summaries = {name: of["summary"] for name, of in described.items()}
    summary = pd.concat({name: of["value"] for name, of in summaries.items()}, axis=1, sort=False)
    errors = pd.concat({name: of["standard_error"] for name, of in summaries.items()}, axis=1, sort=False)
    *others, last = careers_by_name
    for name in others:
        summary[f"{name} minus {last}"] = summary[name] - summary[last]
        summary[f"standard error of {name} minus {last}"] = np.hypot(errors[name], errors[last])
    return {"summary": summary.rename_axis("number"), **tables}


def likeness_study(
    output: str | Path, careers_by_name: Mapping[str, Dataset], *, draws: int = 500, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """Writes what `likeness` returns, and its figures, into a folder.

    Args:
        output: Folder; made if it is not there. Files: likeness.csv, the summary; likeness_NAME.csv, the other tables,
            without rows that rest on fewer than `FEWEST` people; likeness.png and likeness_moves.png.
        careers_by_name, draws, seed: As in `likeness`.

    Returns:
        What `likeness` returns, and `distances`.
    """
    tables = likeness(careers_by_name, draws=draws, seed=seed)
    tables["distances"] = distances(tables)
    shown = {
        f"likeness_{name}": (table[table["people"] >= FEWEST] if "people" in table else table).reset_index(drop=True)
        for name, table in tables.items()
        if name != "summary"
    }
    figures = {"likeness": likeness_figure(tables), "likeness_moves": moves_figure(tables["moves"])}
    StudyResult({"likeness": tables["summary"], **shown}, figures).save(Path(output), "%.6g")
    return tables


# The cells of each table, and what is compared.
COMPARED = {
    "states": (["at", "state"], "share"),
    "leaving": (["gap", "years"], "share"),
    "moves": (["from", "to"], "share_of_moves"),
    "returns": (["held"], "share"),
    "held": (["waves_worked"], "mean"),
    "lengths": (["waves"], "share"),
    "concentration": (["largest"], "share"),
}


def distances(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How far every source but the last is from the last: the mean absolute difference over the cells of each table.

    Args:
        tables: What `likeness` returns.

    Returns:
        One row per table. Cells count by their steps (moves by their moves) in the last source, or equally where a
        table has no number of steps; cells with fewer than `FEWEST` people there are left out, and a cell that a
        source does not have has share 0. The last column is the mean standard error of the last source, where known.
    """
    *others, last = dict.fromkeys(tables["lengths"]["careers"])
    rows = {}
    for name, (cells, value) in COMPARED.items():
        of_source = {source: tables[name].query("careers == @source").set_index(cells) for source in (*others, last)}
        wanted = of_source[last]
        if "people" in wanted:
            wanted = wanted[wanted["people"] >= FEWEST]
        weight = wanted["moves" if name == "moves" else "n"] if name not in ("lengths", "concentration") else 1.0
        weight = pd.Series(weight, wanted.index, dtype=float)

        def mean(values: pd.Series, weight: pd.Series = weight) -> float:
            return float((values.abs() * weight).sum() / weight.sum()) if len(weight) else np.nan

        rows[name] = {
            source: mean(of_source[source][value].reindex(wanted.index, fill_value=0.0) - wanted[value])
            for source in others
        }
        has_errors = "standard_error" in wanted
        rows[name][f"standard error of {last}"] = mean(wanted["standard_error"]) if has_errors else np.nan
    return pd.DataFrame(rows).T.rename_axis("table").reset_index()


def career_steps(careers: Dataset, without_work: Sequence[str] = NOT_WORKING) -> pd.DataFrame:
    """What the statistics need to know of each wave, one row per person and wave in the order of the careers.

    Args:
        careers: Careers.
        without_work: Labels of states without work.

    Returns:
        person (a number); year; age (null without birth years); occupation, the label; working; state ("working" or
        the label); group; first, whether it is a person's first wave; transition, "first", "stay", "return" or "new";
        aba, a return to the state of two waves before (A-B-A). Of the wave before (null or false at a first wave):
        gap, the years since; previous_state, previous_group, previous_working; years, in that occupation or state up
        to then, counting from one; start_known, whether that spell began after the first wave. Of all waves before:
        held, number of other occupations held than the one of the wave before; last_occupation, the last one held.
        With this wave: waves_worked, and occupations, the number of different ones.
    """
    long = to_frame(careers)
    person = pd.factorize(long["person"])[0]
    label = long["occupation"].astype(str)
    code = pd.factorize(label)[0]
    first = np.r_[True, person[1:] != person[:-1]]
    working = ~label.isin(list(without_work))
    year = long["year"].astype("int64")
    steps = pd.DataFrame({"person": person, "year": year, "occupation": label, "working": working, "first": first})
    steps["age"] = year - pd.to_numeric(long["birth_year"]) if "birth_year" in long else np.nan
    steps["state"] = label.mask(working, "working")
    steps["group"] = label.map({name: occupation_group(name) for name in label.unique()})
    steps["transition"] = transition_classes(person, code)

    of_person = steps.groupby("person", sort=False)
    steps["aba"] = (steps["transition"] == "return") & (label == of_person["occupation"].shift(2))
    for name in ("state", "group"):
        steps[f"previous_{name}"] = of_person[name].shift()
    steps["previous_working"] = of_person["working"].shift(fill_value=False)
    steps["gap"] = of_person["year"].diff()
    begins = first | np.r_[True, code[1:] != code[:-1]]
    began = year.where(begins).ffill()
    steps["years"] = (year - began + 1).groupby(person).shift()
    steps["start_known"] = (
        (pd.Series(begins & ~first).groupby(person).cumsum() > 0).groupby(person).shift(fill_value=False)
    )

    newly = working & ~steps.duplicated(["person", "occupation"])
    steps["occupations"] = newly.groupby(person).cumsum()
    steps["held"] = steps["occupations"] - newly - steps["previous_working"]
    steps["waves_worked"] = working.groupby(person).cumsum()
    steps["last_occupation"] = label.where(working).groupby(person).ffill().groupby(person).shift()
    return steps


def occupation_group(label: str) -> str:
    """The group of `GROUPS` that a label of occ1990dd belongs to; any other label is its own group."""
    code = int(label) if label.isdecimal() else -1
    return next((name for name, (first, last) in GROUPS.items() if first <= code <= last), label)


def shares(rows: pd.DataFrame, by: Sequence[str], value: str, draws: int, seed: int) -> pd.DataFrame:
    """Mean of a column in each group of rows, with 95% intervals from resampling people.

    Returns:
        Columns `by`, n, people, share, standard_error, low, high; one row per group. Rows without a group, such as
        people without a birth year, are left out.
    """
    rows = rows.dropna(subset=list(by))
    if rows.empty:  # in short careers nobody may leave a spell whose start is known, or go back
        return pd.DataFrame(columns=[*by, *SHARE], dtype=np.float64)
    grouped = rows.groupby(list(by), observed=True)
    person = pd.factorize(rows["person"])[0]
    values = rows[[value]].to_numpy(dtype=np.float64)
    group = grouped.ngroup().to_numpy()
    estimate, resampled = resample_means(values, np.ones(len(rows)), person, group, draws=draws, seed=seed)
    low, high = interval(resampled[..., 0], grouped["person"].nunique().to_numpy())
    sizes = grouped["person"].agg(n="size", people="nunique").reset_index()
    error = np.nanstd(resampled[..., 0], axis=0, ddof=1)
    return sizes.assign(share=estimate[:, 0], standard_error=error, low=low, high=high)


def _describe(steps: pd.DataFrame, careers: Dataset, clock: str, draws: int, seed: int) -> dict[str, pd.DataFrame]:
    """The tables of one source; its summary has the column value."""
    later = steps[~steps["first"]]
    left = later.assign(left=later["transition"] != "stay")
    tables = {}

    by_clock = [
        shares(steps.assign(is_state=steps["state"] == state), [clock], "is_state", draws, seed).assign(state=state)
        for state in steps["state"].unique()
    ]
    states = pd.concat(by_clock).rename(columns={clock: "at"}).assign(clock=clock)
    tables["states"] = states[["clock", "at", "state", *SHARE]]

    at_risk = left[left["previous_working"] & left["start_known"]].astype({"years": int, "gap": int})
    tables["leaving"] = shares(at_risk, ["gap", "years"], "left", draws, seed)
    tables["moves"] = _transition_matrix(left)

    moves = left[left["left"] & left["working"]]
    moves = moves.assign(back=moves["transition"] == "return")
    could = moves[moves["held"] > 0]
    tables["returns"] = shares(could.assign(held=could["held"].clip(upper=MOST_HELD)), ["held"], "back", draws, seed)

    waves = steps.groupby("person").size()
    tables["lengths"] = waves.value_counts(normalize=True).sort_index().rename_axis("waves").reset_index(name="share")
    worked = steps[steps["working"]]
    sizes = worked["occupation"].value_counts(normalize=True)
    concentration = pd.DataFrame({"largest": np.arange(1, len(sizes) + 1), "share": sizes.cumsum().to_numpy()})
    tables["concentration"] = concentration
    tables["held"] = shares(worked, ["waves_worked"], "occupations", draws, seed).rename(columns={"share": "mean"})

    tables["summary"] = _summary(steps, left, moves, careers, draws, seed)
    return tables


def _transition_matrix(left: pd.DataFrame) -> pd.DataFrame:
    """Steps and moves from group to group: counts, and shares of all that start in the group."""
    ends = ["previous_group", "group"]
    order = [*GROUPS, *sorted(set(left["previous_group"]).union(left["group"]) - set(GROUPS))]
    counts = left.groupby(ends)["left"].agg(steps="size", moves="sum")
    counts["people"] = left[left["left"]].groupby(ends)["person"].nunique()
    counts = counts.fillna({"people": 0}).astype({"people": int}).reset_index()
    totals = counts.groupby("previous_group")[["steps", "moves"]].transform("sum")
    counts["share_of_steps"] = counts["steps"] / totals["steps"]
    counts["share_of_moves"] = counts["moves"] / totals["moves"]
    counts = counts.sort_values(ends, key=lambda column: column.map(order.index))
    return counts.rename(columns={"previous_group": "from", "group": "to"})


def _summary(
    steps: pd.DataFrame, left: pd.DataFrame, moves: pd.DataFrame, careers: Dataset, draws: int, seed: int
) -> pd.DataFrame:
    """The numbers of one source, with standard errors of those that are means: columns value, standard_error."""
    parts = []

    def mean(number: str, rows: pd.DataFrame, values: pd.Series) -> None:
        of_rows = values[rows.index].astype(float)
        parts.append(pd.DataFrame({"number": number, "person": rows["person"], "value": of_rows}))

    stayed, working = ~left["left"], steps[steps["working"]]
    for kind in TRANSITIONS[1:]:
        mean(f"steps: {kind}", left, left["transition"] == kind)
    mean("returns: A-B-A", left[left["transition"] == "return"], left["aba"])
    year_long, two_years_long = left[left["gap"] == 1], left[left["gap"] == 2]
    mean("steps: 1 year long", left, left["gap"] == 1)
    mean("steps 1 year long: stay", year_long, stayed)
    mean("steps: 2 years long", left, left["gap"] == 2)
    mean("steps 2 years long: stay", two_years_long, stayed)
    for state in sorted(steps["state"].unique()):
        mean(f"stay a year: {state}", year_long[year_long["previous_state"] == state], stayed)
    for state in sorted(steps["state"].unique()):
        mean(f"person-years: {state}", steps, steps["state"] == state)
    known = year_long[year_long["previous_working"] & year_long["start_known"]]
    for years, after in ((1, "1 year"), (5, "5 years"), (10, "10 years")):
        mean(f"leave an occupation after {after}", known[known["years"] == years], left["left"])
    between = moves[moves["previous_working"]]
    mean("moves between occupations: within the group", between, between["group"] == between["previous_group"])
    mean("moves between occupations: to one held before", between, between["back"])
    back = moves[~moves["previous_working"] & moves["last_occupation"].notna()]
    mean("back to work: to the last occupation", back, back["occupation"] == back["last_occupation"])
    mean("occupations held in 10 waves worked", working[working["waves_worked"] == 10], working["occupations"])
    for group in GROUPS if working["group"].isin(list(GROUPS)).any() else ():
        mean(f"worked: {group}", working, working["group"] == group)

    means = shares(pd.concat(parts, ignore_index=True), ["number"], "value", draws, seed).set_index("number")
    means = means.reindex(list(dict.fromkeys(part["number"].iloc[0] for part in parts if len(part))))
    means = means.rename(columns={"share": "value"})[["value", "standard_error"]]
    sizes = working["occupation"].value_counts(normalize=True)
    counts = describe(careers).loc[:"last year"].astype(float)
    counts["occupations"] = len(sizes)
    for top in TOP:
        counts[f"worked: in the {top} largest occupations"] = sizes.iloc[:top].sum()
    return pd.concat([counts.to_frame("value"), means]).rename_axis("number")


# MERGED likeness_figure: """The figures of `likeness`. matplotlib is imported where it is used: it is an extra."""


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
    """Where leavers go: for every source but the last its percent of those who leave a group, beside the last source's
    and the difference.

    Args:
        moves: The table `moves` of `likeness`.

    Returns:
        A matplotlib figure, 15 inches wide and 6 high for each source but the last, that no window shows.
    """
    *others, last = dict.fromkeys(moves["careers"])
    others = others or [last]
    groups = list(dict.fromkeys([*moves["from"], *moves["to"]]))
    moves = moves.assign(percent=100 * moves["share_of_moves"])
    matrices = {
        name: rows.pivot(index="from", columns="to", values="percent").reindex(index=groups, columns=groups).fillna(0)
        for name, rows in moves.groupby("careers")
    }
    shares: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 60}
    points: dict[str, Any] = {"cmap": "PuOr", "vmin": -30, "vmax": 30}
    figure = Figure(figsize=(15, 6 * len(others)), layout="constrained")
    grid = figure.subplots(len(others), 3, sharex=True, sharey=True, squeeze=False)
    for axes, other in zip(grid, others, strict=True):
        panels = [
            (f"Where leavers go, in percent: {last}", matrices[last], shares),
            (other, matrices[other], shares),
            (f"{other} minus {last}, in points", matrices[other] - matrices[last], points),
        ]
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


@studies.command("likeness")
def likeness_command(
    data: Data,
    output: Output,
    name: Annotated[str, typer.Option(help="What tables and figures call these careers.")] = "survey",
    people: Annotated[int, typer.Option(help="Sample size of each simulated market.", min=1)] = 12_000,
    miscoded: Annotated[float, typer.Option(help="Share of the markets' waves worked that are coded wrongly.")] = 0.0,
    markets: Annotated[str, typer.Option(help="Presets of the markets, comma-separated.")] = "survey",
    split: Annotated[str | None, typer.Option(help="One split of the careers, such as test; all by default.")] = None,
) -> None:
    """Simulated markets beside a survey: what people do, when they leave, where they go, how often they return."""
    splits = load_careers(data)
    if split is not None and split not in splits:
        raise ValueError(f"--split: {data} has no split '{split}', only {', '.join(splits)}")
    survey = concatenate_datasets(list(splits.values())) if split is None else splits[split]
    names = markets.split(",")
    careers = {}
    for market in names:
        drawn = preset(market).simulate(people)
        called = "market" if len(names) == 1 else f"market {market}"
        careers[called], _ = miscode(drawn.careers, drawn.world, miscoded)
    tables = likeness_study(output, {**careers, name: survey})
    show(tables["summary"], f"Simulated markets beside {name}; standard errors from resampling people")
    show(tables["distances"].set_index("table"), f"Mean absolute distances from {name}")
    say(f"{output}/likeness*.csv, likeness.png, likeness_moves.png")
