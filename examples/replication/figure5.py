"""Are careers with similar representations similar? Figure 5 on the simulated market, where types are known.

The paper shows pairs with the most similar representations and no occupation in common, and leaves it to the reader
whether their careers are alike. In the simulated market every person has a latent type that no model sees: who lives
like whom is known. So the share of nearest neighbours of one's own type is compared with chance, with what covariates
alone would give, with simpler ways to compare careers, and with the exact distribution of the type given the career,
which knows all that can be known. People have worked, are compared after the same number of years, and no model was
trained on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import sparse
from transformers import PreTrainedModel, set_seed

from career_hf.careers.provenance import SOURCES
from career_hf.cli.console import say, show
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.resampling import interval, resample_means
from career_hf.occupations.crosswalks import titles
from career_hf.representing.representations import Timing, representations
from career_hf.representing.similar_careers import (
    career_map,
    first_years,
    most_similar_pairs,
    nearest,
    occupations_held,
)
from career_hf.rivals.nemo import NemoForOccupationPrediction
from career_hf.simulation import World, type_posteriors
from career_hf.simulation.world import NOT_WORKING
from career_hf.training.cells import fit_once
from career_hf.training.trainer import recipe_for

from .study import Made, Output, Seeds, StudyResult, Workers, studies, whiskers
from .survey import SURVEY_COVARIATES, SurveySettings, SurveyStudy, keep_survey, train_from_scratch


CAREER, NEMO = "CAREER", "NEMO"
TRUTH, UNTRAINED = "exact distribution of the type", "CAREER, random weights"
FAMILIES, OCCUPATIONS = "shares of years in families", "shares of years in occupations"
ALL, NO_SHARED = "everybody", "no occupation in common"
COLOURS = {
    TRUTH: "#000000",
    CAREER: "#0072B2",
    NEMO: "#D55E00",
    FAMILIES: "#009E73",
    OCCUPATIONS: "#CC79A7",
    UNTRAINED: "#999999",
}


@dataclass(frozen=True, kw_only=True)
class Figure5Settings(SurveySettings):
    """Sizes of the study; the rest as in `SurveySettings`.

    Args:
        years: Numbers of observed years after which people are compared; four in the paper.
        neighbours: Number of nearest neighbours that are counted.
        map_years: The years of the map and of the pairs, one of `years`.
        career_rate, nemo_rate: Peak learning rates.
    """

    years: tuple[int, ...] = (4, 8, 12)
    neighbours: int = 5
    map_years: int = 8
    seeds: int = 2
    career_rate: float = 2e-3
    nemo_rate: float = 1e-3


@dataclass(frozen=True)
class Figure5Study(SurveyStudy):
    """Trains CAREER and NEMO on a survey, and counts how often the nearest of other people have the same type.

    Leaves shares.csv, pairs.csv and figure5.png. `shares` has one row per number of years, who may be a neighbour,
    what careers are compared by, and timing, with the columns of `same_type`; `pairs` are those with the most similar
    representations and no occupation in common, and their types.
    """

    settings: Figure5Settings = Figure5Settings()

    def prepare(self, workers: int) -> None:
        keep_survey(self.folder / "survey", self.settings, self.settings.market())

    def compute(self, workers: int) -> None:
        runs = [(name, seed) for name in (CAREER, NEMO) for seed in range(self.settings.seeds)]
        self.work("Training models", self.train, runs, workers)

    def train(self, run: tuple[str, int]) -> Made:
        """A model that is trained on the survey's training people, from its folder if it is there.

        Args:
            run: The model's name, and its seed.
        """
        (name, seed), settings, splits, labels = run, self.settings, self.splits(), self.labels()
        place, train, validation = self.place(f"{name}, {seed}"), splits["train"], splits["validation"]
        if name == CAREER:
            rate = settings.career_rate
            return train_from_scratch(place, settings, train, validation, labels, rate=rate, seed=seed)
        model, processor = (
            NemoForOccupationPrediction,
            CareerProcessor.fit(train, SURVEY_COVARIATES, occupations=labels),
        )
        recipe = partial(recipe_for, model, processor, **settings.schedule(settings.nemo_rate, seed))
        return fit_once(place, model, processor, recipe, train, validation, SOURCES["simulated"].record)

    def report(self) -> StudyResult:
        settings = self.settings
        drawn = settings.market().simulate(settings.people)
        type_of, test = drawn.types.set_index("person")["type"], self.test()
        rows: list[dict[str, Any]] = []
        for years in settings.years:
            # One year more, because h_t "before" is that of the year after those that are compared.
            longer = first_years(test, years + 1)
            # Who never worked has nothing that could be in common.
            worked = [i for i, held in enumerate(longer["occupation"]) if set(held[:years]) - set(NOT_WORKING)]
            longer = longer.select(worked)
            careers = first_years(longer, years)
            types = type_of.loc[careers["person"][:]].to_numpy()
            values = self.compared_by(drawn.world, careers, longer)
            for among, held in {ALL: None, NO_SHARED: occupations_held(careers, ignored=NOT_WORKING)}.items():
                chance = chances(types, careers, held)
                for (name, timing), by_seed in values.items():
                    case = {"years": years, "among": among, "compared by": name, "timing": timing}
                    rows.append(case | same_type(by_seed, types, held, chance, settings))
            if years == settings.map_years:
                chosen = values[CAREER, "including"][0]
                pairs = most_similar_pairs(careers, chosen, 10, held, titles())
                pairs = pairs.assign(type=type_of.loc[pairs["person"]].to_numpy())
                pairs["neighbours_type"] = type_of.loc[pairs["neighbour"]].to_numpy()
                mapped = career_map(chosen), types
        shares = pd.DataFrame(rows)
        figure = figure5_figure(shares, *mapped, settings)
        return StudyResult({"shares": shares, "pairs": pairs}, {"figure5": figure})

    def compared_by(
        self, world: World, careers: Dataset, longer: Dataset
    ) -> dict[tuple[str, Timing], list[np.ndarray]]:
        """All that careers are compared by: name and timing, and `(careers, size)` vectors, one array for each seed.

        Args:
            world: World of the survey.
            careers: Careers of one length.
            longer: The same people's, one year longer.
        """
        timings: dict[Timing, Dataset] = {"including": careers, "before": longer}

        def last(model: PreTrainedModel, processor: CareerProcessor, timing: Timing) -> np.ndarray:
            options: dict[str, Any] = {"timing": timing, "steps": "last", "unknown_levels": "missing"}
            return representations(model, timings[timing], processor, **options)

        years = len(careers["year"][0])
        code_of = {label: code for code, label in enumerate(world.labels)}
        codes = np.array([[code_of[label] for label in held] for held in careers["occupation"]])
        # States without work are families of their own.
        family = np.r_[world.family, world.config.families + np.arange(len(NOT_WORKING))]
        vectors: dict[tuple[str, Timing], list[np.ndarray]] = {
            (TRUTH, "including"): [type_posteriors(careers, world).reshape(len(careers), years, -1)[:, -1]],
            (OCCUPATIONS, "including"): [shares_of_years(codes)],
            (FAMILIES, "including"): [shares_of_years(family[codes])],
        }
        for name in (CAREER, NEMO):
            made = [self.train((name, seed)) for seed in range(self.settings.seeds)]
            for timing in timings:
                vectors[name, timing] = [last(*of_seed, timing) for of_seed in made]
            if name == CAREER:
                set_seed(0)
                model, processor = made[0]
                vectors[UNTRAINED, "including"] = [last(type(model)(model.config), processor, "including")]
        return vectors


def shares_of_years(codes: np.ndarray) -> np.ndarray:
    """From `(careers, years)` codes to `(careers, codes)` shares of years."""
    return np.stack([(codes == code).mean(axis=1) for code in range(codes.max() + 1)], axis=1)


def chances(types: np.ndarray, careers: Dataset, held: sparse.csr_array | None) -> np.ndarray:
    """Shares of one's own type among those who may be neighbours, `(careers, 2)`: all, and those alike in covariates.

    Args:
        types: `(careers,)`.
        careers: Careers; alike are those of one gender, race and education in the last year.
        held: As in `nearest`.
    """
    allowed = ~np.eye(len(types), dtype=bool)
    if held is not None:
        allowed &= (held @ held.T).toarray() == 0
    labels = zip(careers["gender"], careers["race"], (levels[-1] for levels in careers["education"]), strict=True)
    group, _ = pd.factorize(pd.Series(["/".join(map(str, person)) for person in labels]))
    own = types[:, None] == types
    with np.errstate(invalid="ignore"):
        return np.stack(
            [(m & own).sum(axis=1) / m.sum(axis=1) for m in (allowed, allowed & (group[:, None] == group))], axis=1
        )


def same_type(
    by_seed: Sequence[np.ndarray],
    types: np.ndarray,
    held: sparse.csr_array | None,
    chance: np.ndarray,
    settings: Figure5Settings,
) -> dict[str, float]:
    """The share of nearest neighbours who have one's own type, with intervals from resampling people.

    Args:
        by_seed: Vectors of each training seed, `(careers, size)`; shares are averaged over seeds.
        types: `(careers,)`.
        held: As in `nearest`.
        chance: What `chances` returns.
        settings: Of the study.

    Returns:
        same, low, high: the share and its 95% interval; chance, and alike, chance among people alike in covariates;
        above, above_low, above_high: same - chance; seed_sd, of same; people, who have neighbours and people alike.
    """
    shares = []
    for values in by_seed:
        found, _ = nearest(values, np.arange(len(values)), settings.neighbours, held)
        shares.append(np.where(found >= 0, types[found] == types[:, None], 0).sum(1) / (found >= 0).sum(1).clip(min=1))
    counted = np.isfinite(chance).all(axis=1)
    same, (chance, alike) = np.mean(shares, axis=0)[counted], chance[counted].T
    people = int(counted.sum())
    columns = np.stack([same, chance, alike, same - chance], axis=1)
    nobody = np.zeros(people, dtype=np.int64)
    means, drawn = resample_means(columns, np.ones(people), np.arange(people), nobody, draws=settings.draws, seed=0)
    low, high = interval(drawn[:, 0], people)
    of_seeds = [share[counted].mean() for share in shares]
    return {
        "same": means[0, 0],
        "low": low[0],
        "high": high[0],
        "chance": means[0, 1],
        "alike": means[0, 2],
        "above": means[0, 3],
        "above_low": low[3],
        "above_high": high[3],
        "seed_sd": float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else np.nan,
        "people": people,
    }


def figure5_figure(shares: pd.DataFrame, places: np.ndarray, types: np.ndarray, settings: Figure5Settings) -> Figure:
    """Shares of neighbours of one's own type, among everybody and with no occupation in common, and a map.

    Args:
        shares: Table `shares` of the study.
        places: `(careers, 2)`, where each career is on the map.
        types: `(careers,)`.
        settings: Of the study.

    Returns:
        A matplotlib figure, 15 by 5.5 inches, that no window shows.
    """

    figure = Figure(figsize=(15, 5.5), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.1])
    axes[0].sharey(axes[1])
    for ax, among in zip(axes, (ALL, NO_SHARED), strict=False):
        _draw_shares(ax, shares[(shares["among"] == among) & (shares["timing"] == "including")], settings)
        ax.set_title(f"Neighbours: {among}")
    axes[0].set_ylabel(f"share of the {settings.neighbours} nearest with one's own type")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=4, frameon=False)
    palette = colormaps["tab10"]
    for k in np.unique(types):
        of = types == k
        axes[2].scatter(*places[of].T, s=6, color=palette(int(k) % 10), linewidths=0)
    axes[2].set(xticks=[], yticks=[], title=f"Representations after {settings.map_years} years, by type")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_shares(ax: Axes, rows: pd.DataFrame, settings: Figure5Settings) -> None:
    for i, (name, colour) in enumerate(COLOURS.items()):
        of = rows[rows["compared by"] == name]
        x = np.arange(len(of)) + 0.05 * (i - len(COLOURS) / 2)
        error = whiskers(of, "same")
        ax.errorbar(x, of["same"], yerr=error, color=colour, marker="o", markersize=4, linewidth=1.2, label=name)
    ax.plot(np.arange(len(of)), of["alike"], ":", color="#555555", label="chance, same gender, race and education")
    ax.plot(np.arange(len(of)), of["chance"], "--", color="#555555", label="chance")
    ax.set_xticks(range(len(of)), of["years"])
    ax.set(xlabel="observed years", ylim=(0, 1))
    ax.grid(axis="y", alpha=0.3)


@studies.command()
def figure5(output: Output, workers: Workers = 2, seeds: Seeds = 2) -> None:
    """Do the nearest by representation have one's own latent type? On the simulated market, beside chance."""
    result = Figure5Study(output, Figure5Settings(seeds=seeds)).run(workers)
    columns = ["compared by", "timing", "same", "low", "high", "chance", "alike", "above", "seed_sd"]
    for (years, among), rows in result["shares"].groupby(["years", "among"], sort=False):
        title = f"After {years} years, {among}: share of the nearest with one's own type, 95% intervals by person"
        show(rows[columns].set_index("compared by"), title)
    for row in result["pairs"].itertuples():
        say(f"{row.similarity:.3f}  type {row.type}: {row.career}")
        say(f"       type {row.neighbours_type}: {row.neighbours_career}")
    say(f"{output}/shares.csv, pairs.csv, figure5.png")
