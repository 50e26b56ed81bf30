"""What the study of rationales found: precision and recall of planted steps, with intervals, and its figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from career_hf.evaluation.metrics import INTERVAL, summarize
from career_hf.evaluation.resampling import resample_means
from career_hf.figures.rationales import rationale_figure
from career_hf.figures.style import COLOURS
from career_hf.simulation.rationales import MECHANISMS

from .pretraining import split_survey
from .rationales import CHAIN, DROPPING, MODELS, RULE, Settings, run


if TYPE_CHECKING:
    from datasets import Dataset
    from matplotlib.figure import Figure

# Sets as large as the greedy ones: the latest steps, and steps drawn at random (their exact expectation).
LATEST, RANDOM = "latest steps", "random steps"
METHODS = [*MODELS, LATEST, RANDOM]
STOPPED, EVERY = "as stopped", "all"
# Precision: of the steps added, those that are planted. Recall: of the planted needs, those that are met.
MEASURES = {"precision": ("hits", "added"), "recall": ("met", "needs")}


@dataclass(frozen=True)
class Found:
    """The study's tables.

    Args:
        recovery: What `recovery` returns.
        models: Perplexity on whole test careers, by kind of step.
        smallest: What `compare_with_smallest` returns.
    """

    recovery: pd.DataFrame
    models: pd.DataFrame
    smallest: pd.Series


def rationales_study(folder: str | Path, settings: Settings | None = None, workers: int = 2) -> Found:
    """Runs the study; writes recovery.csv, models.csv, smallest.csv, rationales.png and, if it can, figure_3.png.

    Args:
        folder: Where everything goes; a study that was stopped goes on.
        settings: Sizes.
        workers: Processes, each of which uses one thread.

    Raises:
        ValueError: The folder holds a study with other settings.
    """
    folder, settings = Path(folder), settings or Settings()
    run(folder, settings, workers)
    planted = pd.read_parquet(folder / "planted.parquet")
    orders = {model: _of_seeds(folder / "orders" / model) for model in MODELS}
    tables = {name: _of_seeds(folder / "tables" / name) for name in (*MODELS, CHAIN)}
    found = Found(
        recovery=recovery(outcomes(planted, orders, settings.most_added), settings.draws),
        models=summarize(tables, draws=settings.draws),
        smallest=compare_with_smallest(pd.read_parquet(folder / "smallest.parquet")),
    )
    found.recovery.to_csv(folder / "recovery.csv", index=False, float_format="%.4f")
    found.models.to_csv(folder / "models.csv", float_format="%.4f")
    found.smallest.to_csv(folder / "smallest.csv", float_format="%.4f")
    recovery_figure(found.recovery).savefig(folder / "rationales.png", dpi=100)
    test = split_survey(folder / "survey", settings)["test"]
    example = figure_3(planted, orders[DROPPING][0], tables[CHAIN][0], test)
    if example is not None:
        example.savefig(folder / "figure_3.png", dpi=100)
    return found


def outcomes(planted: pd.DataFrame, orders: Mapping[str, Sequence[pd.DataFrame]], most: int) -> pd.DataFrame:
    """How much of what is planted each method finds, for every pull and number of steps added.

    The latest step is in every rationale, whatever it explains. So it is no step added and no step planted, and a pull
    that needs nothing else is left out.

    Args:
        planted: Rows of `rationale_sets`.
        orders: For each model and seed, rows of `rationales` for the same moves, with a rule that does not stop.
        most: Steps added at most.

    Returns:
        One row for each pull, method, seed and number of steps added, 0 to `most`, and "as stopped": the number after
        which the rule is met, or `most`; for latest and random steps that of the first model. Columns person, step,
        mechanism, sets, method; complete, whether the rule is met within `most`; added, fewer if there are no more
        steps; hits, how many of these are planted, for whichever pull on this move; needs, of which lists one step is
        needed; met, how many of these have one. Those of random steps are expectations.
    """
    pulls = _open_pulls(planted)
    found = []
    for model, table in [(model, table) for model, tables in orders.items() for table in tables]:
        searched = {move: rows for move, rows in table.groupby(["person", "step"])}
        for pull in pulls:
            search = searched[pull.person, pull.step]
            order, met = search["rationale_step"].tolist()[1:], search["rank"].to_numpy() <= RULE.top
            numbers: list[int | str] = [*range(1, most + 1), STOPPED]
            sizes = [*range(1, most + 1), int(met.argmax()) if met.any() else most]
            for sets, size in zip(numbers, sizes, strict=True):
                size = min(size, pull.before)
                scores = {model: pull.score(order[:size])}
                if model == DROPPING:
                    scores |= {LATEST: pull.score(range(pull.before - size, pull.before)), RANDOM: pull.expect(size)}
                row = {"person": pull.person, "step": pull.step, "mechanism": pull.mechanism, "sets": sets}
                row |= {"complete": float(met.any()), "added": size, "needs": len(pull.needs)}
                found += [
                    row | {"method": method, "hits": hits, "met": needs_met}
                    for method, (hits, needs_met) in scores.items()
                ]
    return pd.DataFrame(found)


@dataclass(frozen=True)
class _Pull:
    """A pull that needs more than the latest step: what is planted among the `before` steps before that one."""

    person: str
    step: int
    mechanism: str
    steps: set[int]
    needs: list[set[int]]

    @property
    def before(self) -> int:
        return self.step - 1

    def score(self, added: Iterable[int]) -> tuple[float, float]:
        """Planted steps among those added, and needs that they meet."""
        return len(self.steps & set(added)), sum(not need.isdisjoint(added) for need in self.needs)

    def expect(self, size: int) -> tuple[float, float]:
        """The expectation of `score` for so many steps drawn at random."""
        missed = sum(comb(self.before - len(need), size) for need in self.needs) / comb(self.before, size)
        return size * len(self.steps) / self.before, len(self.needs) - missed


def _open_pulls(planted: pd.DataFrame) -> list[_Pull]:
    of_move = planted.groupby(["person", "step"])["steps"].agg(lambda lists: set().union(*lists))
    pulls = []
    for row in planted.itertuples():
        needs = [set(need) for need in row.needs if row.step - 1 not in need]
        if needs:
            steps = of_move[row.person, row.step] - {row.step - 1}
            pulls.append(_Pull(row.person, row.step, row.mechanism, steps, needs))
    return pulls


def recovery(found: pd.DataFrame, draws: int) -> pd.DataFrame:
    """Precision and recall of every method, with 95% intervals by resampling people, the same for all methods.

    Args:
        found: Of `outcomes`; seeds are averaged.
        draws: Resamples.

    Returns:
        One row per mechanism ("all" for the three together), sets and method: pulls; complete, share of pulls for
        which the rule is met; added, mean number of steps; precision and recall, and precision_behind and
        recall_behind, by how much the method is behind job dropout, each with low and high.
    """
    pull = ["person", "step", "mechanism"]
    numbers = ["complete", *dict.fromkeys(name for names in MEASURES.values() for name in names)]
    wide = found.pivot_table(index=pull, columns=["sets", "method"], values=numbers, sort=False)
    mechanism = wide.index.get_level_values("mechanism")
    group = np.r_[[MECHANISMS.index(name) for name in mechanism], np.full(len(wide), len(MECHANISMS))]
    person = np.tile(pd.factorize(wide.index.get_level_values("person"))[0], 2)
    values = np.tile(wide.to_numpy(dtype=np.float64), (2, 1))
    whole, resampled = resample_means(values, np.ones(len(values)), person, group, draws=draws, seed=0)
    means = np.concatenate([whole[None], resampled])  # (1 + draws, groups, columns)
    place = {name: number for number, name in enumerate(wide.columns)}

    def ratio(measure: str, sets: int | str, method: str) -> np.ndarray:
        top, bottom = (means[..., place[name, sets, method]] for name in MEASURES[measure])
        with np.errstate(invalid="ignore"):
            return top / bottom

    rows = []
    for number in np.unique(group):
        for sets in found["sets"].unique():
            for method in METHODS:
                row = {"mechanism": [*MECHANISMS, EVERY][number], "sets": sets, "method": method}
                row["pulls"] = int((group == number).sum())
                row |= {name: whole[number, place[name, sets, method]] for name in ("complete", "added")}
                for measure in MEASURES:
                    of_method = ratio(measure, sets, method)[:, number]
                    row |= _with_interval(measure, of_method)
                    row |= _with_interval(f"{measure}_behind", ratio(measure, sets, DROPPING)[:, number] - of_method)
                rows.append(row)
    return pd.DataFrame(rows)


def _with_interval(name: str, draws: np.ndarray) -> dict[str, float]:
    """The first number, and the interval of the rest."""
    low, high = np.nanquantile(draws[1:], INTERVAL)
    return {name: draws[0], f"{name}_low": low, f"{name}_high": high}


def compare_with_smallest(smallest: pd.DataFrame) -> pd.Series:
    """How greedy rationales compare with the smallest ones, of the moves for which all sets were tried.

    Args:
        smallest: Rows of `smallest_rationales`, with greedy_size and greedy_complete.
    """
    both = smallest[smallest["complete"] & smallest["greedy_complete"]]
    return pd.Series(
        {
            "moves": len(smallest),
            "some set meets the rule": smallest["complete"].mean(),
            "a greedy set does": smallest["greedy_complete"].mean(),
            "mean size of the smallest, where both": both["size"].mean(),
            "mean size of the greedy, where both": both["greedy_size"].mean(),
            "greedy as small as the smallest, where both": (both["greedy_size"] == both["size"]).mean(),
        },
        name="value",
    )


def recovery_figure(table: pd.DataFrame) -> Figure:
    """Precision and recall by the number of steps added, a column for each mechanism.

    Args:
        table: What `recovery` returns.
    """
    from matplotlib.figure import Figure

    numbered = table[table["sets"] != STOPPED]
    mechanisms = [name for name in MECHANISMS if (numbered["mechanism"] == name).any()]
    figure = Figure(figsize=(4.3 * len(mechanisms) + 0.4, 7.4), layout="constrained")
    panels = figure.subplots(len(MEASURES), len(mechanisms), sharex=True, sharey="row", squeeze=False)
    looks = {LATEST: ("#777777", "--"), RANDOM: ("#777777", ":")}
    looks |= {model: (COLOURS[number], "-") for number, model in enumerate(MODELS)}
    for place, (column, mechanism) in enumerate(zip(panels.T, mechanisms, strict=True)):
        here = numbered[numbered["mechanism"] == mechanism]
        for axes, measure in zip(column, MEASURES, strict=True):
            for number, method in enumerate(METHODS):
                rows = here[here["method"] == method]
                color, style = looks[method]
                at = rows["sets"].astype(float) + 0.06 * (number - len(METHODS) / 2)
                error = [rows[measure] - rows[f"{measure}_low"], rows[f"{measure}_high"] - rows[measure]]
                axes.errorbar(
                    at,
                    rows[measure],
                    yerr=error,
                    color=color,
                    linestyle=style,
                    marker="o",
                    markersize=3,
                    capsize=2,
                    label=method,
                )
            axes.set(
                ylim=(0, 1), title=f"{mechanism}: {here['pulls'].iloc[0]} pulls" if measure == "precision" else ""
            )
            if place == 0:
                axes.set_ylabel(f"{measure} of planted steps")
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        column[-1].set_xlabel("steps added to the latest one")
    panels[0, -1].legend(frameon=False, fontsize=8)
    return figure


def figure_3(planted: pd.DataFrame, orders: pd.DataFrame, chain: pd.DataFrame, test: Dataset) -> Figure | None:
    """A career like that of the paper's Figure 3: a move to what a recipe pulls to, and its greedy rationale.

    Of the moves whose greedy rationale meets the rule with both occupations of the recipe in it, and whose target is
    first given the whole career too, the one on which the recipe had the largest effect: chosen to be clear.

    Args:
        planted: Rows of `rationale_sets`.
        orders: Rows of `rationales` with a rule that does not stop.
        chain: Transition table of a Markov chain, which the figure names beside.
        test: Their careers.

    Returns:
        A figure, or None if there is no such move.
    """
    orders = orders.assign(complete=True)
    recipes = planted[planted["mechanism"] == "recipe"].sort_values("effect", ascending=False, kind="stable")
    for pull in recipes.itertuples():
        rows = orders[(orders["person"] == pull.person) & (orders["step"] == pull.step)]
        met = (rows["rank"] <= RULE.top).to_numpy()
        chosen = rows.iloc[: int(met.argmax()) + 1]
        in_it = [not set(need).isdisjoint(chosen["rationale_step"]) for need in pull.needs]
        if met.any() and all(in_it) and rows["whole_rank"].iloc[0] == 1:
            career = test[test["person"][:].index(pull.person)]
            scored = chain[(chain["person"] == pull.person) & (chain["step"] == pull.step)].iloc[0]
            # Its rank is among all occupations: among moves the previous one does not count.
            rank = int(scored["rank"] - (scored["p_stay"] > np.exp(scored["log_prob"])))
            return rationale_figure(chosen, career, {"Markov chain, first order": {pull.step: rank}})
    return None


def _of_seeds(folder: Path) -> list[pd.DataFrame]:
    return [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
