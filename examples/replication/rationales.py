"""Do greedy rationales find the steps that made people move? On the simulated market, where these are known.

A recipe, a ladder or an earlier spell pulls people to an occupation, and `simulation.rationale_sets` says which steps
each pull depends on. CAREER is trained with job dropout, per person and per batch, and without; the greedy search then
orders the steps before every move that was made under a strong pull. Measured is how many of the steps that it adds
are planted (precision) and how many of the planted needs they meet (recall), beside steps drawn at random and beside
the latest ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from matplotlib.figure import Figure

from career_hf.careers.atomic_files import complete
from career_hf.cli.console import say, show
from career_hf.comparing import score_once
from career_hf.evaluation.metrics import INTERVAL, summarize
from career_hf.evaluation.resampling import resample_means
from career_hf.explaining.rationales import Rule, rationales, smallest_rationales
from career_hf.figures.rationales import rationale_figure
from career_hf.figures.style import COLOURS
from career_hf.simulation import rationale_sets
from career_hf.simulation.presets import Preset
from career_hf.simulation.rationales import MECHANISMS
from career_hf.training.cells import run_jobs

from .study import Job, Made, Output, Seeds, StudyResult, Workers, studies, whiskers, write_table
from .survey import SurveySettings, SurveyStudy, markov_chain, train_from_scratch


# How job dropout is drawn, by what the model is called.
DROPPING = "job dropout"
MODELS: dict[str, dict[str, Any]] = {
    DROPPING: {"job_dropout": 0.5},
    "job dropout per batch": {"job_dropout": 0.5, "job_dropout_per": "batch"},
    "no job dropout": {},
}
# A tuned Markov chain, to be ranked beside.
CHAIN = "Markov-1"
# The move that was made, among moves. ORDER does not stop: where the search would have is read off the ranks.
RULE, ORDER = Rule(target="true"), Rule(target="true", top=0)
# Sets as large as the greedy ones: the latest steps, and steps drawn at random (their exact expectation).
LATEST, RANDOM = "latest steps", "random steps"
METHODS = [*MODELS, LATEST, RANDOM]
STOPPED, EVERY = "as stopped", "all"
# Precision: of the steps added, those that are planted. Recall: of the planted needs, those that are met.
MEASURES = {"precision": ("hits", "added"), "recall": ("met", "needs")}


@dataclass(frozen=True, kw_only=True)
class RationalesSettings(SurveySettings):
    """Sizes of the study. The rest as in `SurveySettings`; there is no pretraining.

    Recipes are rare: few people hold both of their occupations. So the market is smaller than in other studies (every
    occupation is part of a recipe), which gives a model examples to learn them from, and their pull is stronger.

    Args:
        recipe_strength: Pull of a recipe.
        ladder_waves: Waves in a family before its ladder pulls.
        weakest_effect: Moves are explained that a pull made this many times as likely.
        most_added: Steps that are added to the latest one.
        exhaustive, longest: Moves for which all sets are tried too, among those with at most so many steps before the
            latest.
        rate: Peak learning rate.
    """

    occupations: int = 30
    families: int = 6
    recipes: int = 10
    train_people: int = 10_000
    validation_people: int = 500
    test_people: int = 3_000
    most_steps: int = 1_500
    warmup_steps: int = 150
    eval_steps: int = 150
    tokens_per_batch: int = 3_000
    seeds: int = 1
    recipe_strength: float = 6.0
    ladder_waves: int = 3
    weakest_effect: float = 2.0
    most_added: int = 5
    exhaustive: int = 200
    longest: int = 8
    rate: float = 2e-3

    def market(self, **numbers: Any) -> Preset:
        """The survey of the study's market."""
        pulls = {"recipe_strength": self.recipe_strength, "ladder_waves": self.ladder_waves}
        return super().market(**(pulls | numbers))


@dataclass(frozen=True)
class RationalesStudy(SurveyStudy):
    """Leaves recovery.csv, models.csv, smallest.csv, rationales.png and, if there is a career to show, figure_3.png.

    The folder also has planted.parquet, smallest.parquet (smallest sets beside greedy ones, of the first model), and
    for every model and seed its transition table of test careers in `tables` and its order of steps in `orders`.
    """

    settings: RationalesSettings = RationalesSettings()
    float_formats = "%.4f"

    def prepare(self, workers: int) -> None:
        """Draws the survey, and finds what pulled test people to the occupations that they moved to."""
        path, survey = self.folder / "planted.parquet", self.folder / "survey"
        if path.exists():
            return
        drawn = self.settings.market().simulate(self.settings.people)
        if not survey.exists():
            with complete(survey) as unfinished:
                drawn.careers.save_to_disk(str(unfinished))
        test = self.test()
        planted = rationale_sets(replace(drawn, careers=test))
        # What a move has before the latest step, which is part of every rationale: something to find.
        planted = planted[(planted["effect"] >= self.settings.weakest_effect) & (planted["step"] > 1)]
        years = dict(zip(test["person"], test["year"], strict=True))
        planted["year"] = [
            years[person][step] for person, step in zip(planted["person"], planted["step"], strict=True)
        ]
        write_table(path, planted.astype({"occupation": "str", "mechanism": "str"}))

    def compute(self, workers: int) -> None:
        runs = [(model, seed) for model in MODELS for seed in range(self.settings.seeds)]
        self.work("Training models", self.train, runs, workers)
        jobs = [*[Job(self.explain, run) for run in runs], self.try_all_sets, self.score_chain]
        run_jobs("Searching", jobs, workers)

    def planted(self) -> pd.DataFrame:
        """Pulls that are strong enough to be explained."""
        return pd.read_parquet(self.folder / "planted.parquet")

    def train(self, run: tuple[str, int]) -> Made:
        """A model, from its folder if it is there; which job dropout is all that models differ in.

        Args:
            run: The model's name, and its seed.
        """
        (model, seed), settings, splits = run, self.settings, self.splits()
        return train_from_scratch(
            self.place(f"{model}, {seed}"),
            settings,
            splits["train"],
            splits["validation"],
            self.labels(),
            rate=settings.rate,
            seed=seed,
            **MODELS[model],
        )

    def explain(self, run: tuple[str, int]) -> None:
        """Scores test careers, and orders the steps before every move that was pulled."""
        (model, seed), test = run, self.test()
        network, processor = self.train(run)
        score_once(self.folder / "tables" / model / f"{seed}.parquet", network, processor, test)
        path = self.folder / "orders" / model / f"{seed}.parquet"
        if not path.exists():
            moves = self.planted()[["person", "year"]].drop_duplicates()
            given: dict[str, Any] = {"max_size": 1 + self.settings.most_added, "unknown_levels": "missing"}
            write_table(path, rationales(network, test, processor, ORDER, steps=moves, **given).to_frame())

    def try_all_sets(self) -> None:
        """Smallest rationales of the first model beside its greedy ones, for moves with few steps before them."""
        path, settings = self.folder / "smallest.parquet", self.settings
        if path.exists():
            return
        (network, processor), test, planted = self.train((DROPPING, 0)), self.test(), self.planted()
        few = planted.loc[planted["step"] - 1 <= settings.longest, ["person", "year"]].drop_duplicates()
        given: dict[str, Any] = {"steps": few.head(settings.exhaustive), "unknown_levels": "missing"}
        smallest = smallest_rationales(network, test, processor, RULE, longest=settings.longest, **given)
        greedy = rationales(network, test, processor, RULE, **given).to_frame().groupby(["person", "year"])
        ends = greedy.agg(greedy_size=("order", "size"), greedy_complete=("complete", "first"))
        write_table(path, smallest.merge(ends.reset_index(), on=["person", "year"], validate="one_to_one"))

    def score_chain(self) -> None:
        """Scores test careers with a Markov chain."""
        splits = self.splits()
        chain = markov_chain(splits["train"], splits["validation"], self.labels(), order=1)
        score_once(self.folder / "tables" / CHAIN / "0.parquet", *chain, splits["test"])

    def report(self) -> StudyResult:
        settings, planted, orders, tables = self.settings, self.planted(), self.tables("orders"), self.tables()
        orders = {model: orders[model] for model in MODELS}
        tables = {name: tables[name] for name in (*MODELS, CHAIN)}
        table = recovery(outcomes(planted, orders, settings.most_added), settings.draws)
        figures = {"rationales": recovery_figure(table)}
        example = figure_3(planted, orders[DROPPING][0], tables[CHAIN][0], self.test())
        if example is not None:
            figures["figure_3"] = example
        smallest = compare_with_smallest(pd.read_parquet(self.folder / "smallest.parquet"))
        found = {"recovery": table, "models": summarize(tables, draws=settings.draws), "smallest": smallest}
        return StudyResult(found, figures)


@dataclass(frozen=True)
class PlantedPull:
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
    pulls = open_pulls(planted)
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


def open_pulls(planted: pd.DataFrame) -> list[PlantedPull]:
    of_move = planted.groupby(["person", "step"])["steps"].agg(lambda lists: set().union(*lists))
    pulls = []
    for row in planted.itertuples():
        needs = [set(need) for need in row.needs if row.step - 1 not in need]
        if needs:
            steps = of_move[row.person, row.step] - {row.step - 1}
            pulls.append(PlantedPull(row.person, row.step, row.mechanism, steps, needs))
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
                error = whiskers(rows, measure, f"{measure}_low", f"{measure}_high")
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


@studies.command("rationales")
def rationales_command(output: Output, workers: Workers = 2, seeds: Seeds = 1) -> None:
    """Whether greedy rationales find the steps that made people move, on the simulated market, which knows them."""
    result = RationalesStudy(output, RationalesSettings(seeds=seeds)).run(workers)
    measured = [f"{measure}{end}" for measure in MEASURES for end in ("", "_low", "_high")]
    for (mechanism, pulls), rows in result["recovery"].groupby(["mechanism", "pulls"], sort=False):
        for sets, of_sets in rows[rows["sets"].isin([1, STOPPED])].groupby("sets", sort=False):
            steps = "first step added" if sets == 1 else "as many steps as job dropout adds until the rule is met"
            of_method = of_sets.set_index("method")[["complete", "added", *measured]]
            show(of_method, f"{mechanism}, {pulls} pulls, {steps}; 95% intervals by resampling people")
    show(result["models"].T, "Perplexity on whole test careers")
    show(result["smallest"].to_frame(), "Greedy sets beside the smallest, all sets tried")
    say(f"{output}/recovery.csv, models.csv, smallest.csv, rationales.png, figure_3.png")
