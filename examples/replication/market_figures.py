"""Two figures that explain the simulated labor market: one person's career as the truth sees it, and the floors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from career_hf.cli.console import say
from career_hf.evaluation.metrics import bootstrap_perplexity
from career_hf.evaluation.transition_table import TRANSITIONS
from career_hf.occupations.crosswalks import titles
from career_hf.simulation.filtering import Filter
from career_hf.simulation.model import SPECIAL, TrueOccupationModel, world_processor
from career_hf.simulation.oracles import floors
from career_hf.simulation.presets import preset
from career_hf.simulation.survey import Simulation

from .study import Output, StudyResult, studies


TYPE_COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"]
LONGEST_TITLE = 40


def market_figures(simulation: Simulation, person: str) -> StudyResult:
    """Both figures: career and floors.

    Args:
        simulation: Careers and their world.
        person: Identifier of the person whose career is shown.

    Raises:
        ValueError: There is no such person.
    """
    return StudyResult({}, {"career": career_figure(simulation, person), "floors": floors_figure(floors(simulation))})


def career_filtered(simulation: Simulation, person: str) -> dict[str, pd.DataFrame]:
    """What the exact filter knows about one person, wave by wave.

    Args:
        simulation: Careers and their world.
        person: Identifier of the person.

    Returns:
        `probabilities`, p*(y_t | past), one row per year and one column per state; `types`, the distribution of types
        before each wave (the covariates of that wave are known, its occupation is not), one column per type; `waves`,
        with occupation, what happened, and entropy, that of p* in nats.

    Raises:
        ValueError: There is no such person.
    """
    people = list(simulation.careers["person"])
    if person not in people:
        raise ValueError(f"there is no person '{person}' among the careers: take one of them, such as '{people[0]}'")
    career = simulation.careers.select([people.index(person)])
    world = simulation.world
    model, processor = TrueOccupationModel.of_world(world), world_processor(world)
    encoded = processor.encode(career)[0].with_format("numpy")[0]
    names = list(processor.covariate_names)
    levels, states = np.asarray(encoded["covariates"]), np.asarray(encoded["labels"]) - len(SPECIAL)
    years = np.array(career[0]["year"])
    education = levels[:, names.index("education")] - 1
    filter_: Filter = model.start(levels[:1])
    probabilities, types = [], []
    for t, year in enumerate(years):
        filter_.observe_covariates(year[None], education[[t]])
        types.append(filter_.weights[0])
        probabilities.append(filter_.probabilities()[0])
        filter_.observe_occupation(states[[t]])
    index = pd.Index(years, name="year")
    p = np.array(probabilities)
    entropy = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=1)
    return {
        "probabilities": pd.DataFrame(p, index=index, columns=world.labels),
        "types": pd.DataFrame(types, index=index),
        "waves": pd.DataFrame({"occupation": career[0]["occupation"], "entropy": entropy}, index=index),
    }


def career_figure(simulation: Simulation, person: str, rows: int = 11) -> Figure:
    """One person's career as the truth sees it: p* of what may come, the distribution of types, the entropy.

    Args:
        simulation: Careers and their world.
        person: Identifier of the person.
        rows: States that are shown: all that the person was in, then those with the highest p* in any wave.

    Returns:
        A matplotlib figure, 13 by 10 inches, that no window shows.
    """
    filtered = career_filtered(simulation, person)
    probabilities, types, waves = filtered["probabilities"], filtered["types"], filtered["waves"]
    true_type = int(simulation.types.set_index("person").loc[person, "type"])
    lived = list(dict.fromkeys(waves["occupation"]))
    likely = probabilities.max().sort_values(ascending=False).index
    shown = [*lived, *[state for state in likely if state not in lived][: max(rows - len(lived), 0)]]
    at = np.arange(len(waves))

    figure = Figure(figsize=(13, 10), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=[2.2, 1, 0.8])
    image = top.imshow(probabilities[shown].T, aspect="auto", cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    for t, state in enumerate(waves["occupation"]):
        top.plot(t, shown.index(state), "o", color="#D55E00", markersize=9, markerfacecolor="none", markeredgewidth=2)
        p = probabilities[state].iloc[t]
        colour = "white" if p > 0.35 else "black"
        written = "<.005" if p < 0.005 else f"{p:.2f}".lstrip("0")
        top.text(t, shown.index(state) + 0.37, written, ha="center", va="center", fontsize=8, color=colour)
    names = titles()
    top.set_yticks(range(len(shown)), [_short(names.get(state, state).replace("_", " ")) for state in shown])
    top.axhline(len(lived) - 0.5, color="black", linewidth=0.8)
    top.set_title(f"Probability of what comes next, given the past (p*); circles: what person {person} did")
    figure.colorbar(image, cax=top.inset_axes([1.02, 0, 0.02, 1]), label="p*", ticks=[0.01, 0.05, 0.2, 0.5, 1])

    order = types.mean().sort_values(ascending=False).index
    named = [true_type, *[k for k in order if k != true_type][: len(TYPE_COLOURS) - 1]]
    below = np.zeros(len(types))
    for k, colour in zip(named, TYPE_COLOURS, strict=False):
        label = f"type {k}" + (" (the person's)" if k == true_type else "")
        middle.bar(at, types[k], bottom=below, color=colour, width=0.9, label=label)
        below = below + types[k].to_numpy()
    middle.bar(at, 1 - below, bottom=below, color="#DDDDDD", width=0.9, label="other types")
    middle.set(title="What the past says about the person's type", ylabel="probability", ylim=(0, 1))
    middle.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)

    surprise = -np.log([probabilities[state].iloc[t] for t, state in enumerate(waves["occupation"])])
    bottom.plot(at, waves["entropy"], "-o", color="#0072B2", label="entropy of p*: expected")
    bottom.plot(at, surprise, "x", color="#D55E00", label="-log p*: what came")
    bottom.set(title="How hard the next state is to predict", ylabel="nats", xlabel="year", ylim=0)
    bottom.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    bottom.set_xticks(at, waves.index, rotation=45)
    for ax in (middle, bottom):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def floors_figure(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Perplexity by wave and by kind of step of the three tables that `simulation.floors` returns.

    Args:
        tables: Transition tables by name; the lower, the more is known.

    Returns:
        A matplotlib figure, 13 by 5 inches, that no window shows.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    markers = ["v", "o", "s"]
    for i, (name, table) in enumerate(tables.items()):
        look = {"color": TYPE_COLOURS[i], "marker": markers[i % 3], "label": name}
        by_step = bootstrap_perplexity(table, draws=200, by="step").reset_index()
        left.plot(by_step["step"] + 1, by_step["perplexity"], **look, markersize=5)
        left.fill_between(by_step["step"] + 1, by_step["low"], by_step["high"], color=look["color"], alpha=0.2)
        by_kind = bootstrap_perplexity(table, draws=200, by="transition").loc[TRANSITIONS]
        x = np.arange(len(TRANSITIONS)) + 0.15 * (i - (len(tables) - 1) / 2)
        error = [by_kind["perplexity"] - by_kind["low"], by_kind["high"] - by_kind["perplexity"]]
        right.errorbar(x, by_kind["perplexity"], yerr=error, linestyle="none", **look)
    left.set(title="Perplexity by wave", xlabel="wave", ylabel="perplexity (log scale)", yscale="log")
    right.set(title="Perplexity by kind of step", ylabel="perplexity (log scale)", yscale="log")
    right.set_xticks(range(len(TRANSITIONS)), TRANSITIONS)
    left.xaxis.get_major_locator().set_params(integer=True)
    for ax in (left, right):
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.legend(frameon=False)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _short(title: str) -> str:
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1].rstrip(" ,") + "…"


@studies.command("market-figures")
def market_figures_command(
    output: Output,
    person: Annotated[str, typer.Option(help="Identifier of the person whose career is shown.")] = "01846",
) -> None:
    """The simulated market explained: one career as the truth sees it, and the floors by wave and kind of step."""
    market_figures(preset("survey").simulate(), person).save(output)
    say(f"{output}/career.png, floors.png")
