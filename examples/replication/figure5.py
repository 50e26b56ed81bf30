"""Are careers with similar representations similar? Figure 5 on the simulated market, where types are known.

The paper shows pairs with the most similar representations and no occupation in common, and leaves it to the reader
whether their careers are alike. In the simulated market every person has a latent type that no model sees: who lives
like whom is known. So the share of nearest neighbours of one's own type is compared with chance, with what covariates
alone would give, with simpler ways to compare careers, and with the exact distribution of the type given the career,
which knows all that can be known. People have worked, are compared after the same number of years, and no model was
trained on them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import sparse
from transformers import PreTrainedModel, set_seed

from career_hf.careers.provenance import SOURCES
from career_hf.cli.console import say, show
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.resampling import resample_means
from career_hf.occupations.crosswalks import titles
from career_hf.representing.representations import Timing, representations
from career_hf.representing.similar_careers import (
    career_map,
    first_years,
    most_similar_pairs,
    nearest,
    occupations_held,
)
from career_hf.rivals.nemo import NemoConfig, NemoForOccupationPrediction
from career_hf.simulation import type_posteriors
from career_hf.simulation.world import NOT_WORKING, World
from career_hf.training.trainer import Recipe, baseline_recipe

from .cells import keep_settings, run_jobs, train_once
from .pretraining import SURVEY_COVARIATES, SurveySettings, keep_survey, split_survey, train_from_scratch


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
INTERVAL = (0.025, 0.975)


@dataclass(frozen=True)
class Settings(SurveySettings):
    """Sizes of the study; the rest as in `SurveySettings`.

    Args:
        years: Numbers of observed years after which people are compared; four in the paper.
        neighbours: Nearest neighbours that are counted.
        seeds: Training seeds.
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
class Found:
    """What the study found.

    Args:
        shares: One row per number of years, who may be a neighbour, what careers are compared by, and timing; columns
            as in `same_type`.
        pairs: The pairs with the most similar representations and no occupation in common, and their types.
    """

    shares: pd.DataFrame
    pairs: pd.DataFrame


def figure5(folder: str | Path, settings: Settings | None = None, workers: int = 2) -> Found:
    """Trains CAREER and NEMO on a survey, and counts how often the nearest of other people have the same type.

    Leaves shares.csv, pairs.csv and figure5.png in the folder; models are kept, and a study that is stopped goes on.

    Args:
        folder: Of the study.
        settings: Sizes.
        workers: Processes that train.

    Raises:
        ValueError: The folder holds a study with other settings.
    """
    folder, settings = Path(folder), settings or Settings()
    keep_settings(folder, asdict(settings))
    keep_survey(folder / "survey", settings, settings.market())
    seeds = range(settings.seeds)
    cells = [partial(train_cell, folder, settings, name, seed) for name in (CAREER, NEMO) for seed in seeds]
    run_jobs("Training models", cells, workers)

    drawn = settings.market().simulate(settings.pool + settings.validation_people + settings.test_people)
    type_of = drawn.types.set_index("person")["type"]
    test = split_survey(folder / "survey", settings)["test"]
    rows: list[dict[str, Any]] = []
    for years in settings.years:
        # One year more, because h_t "before" is that of the year after those that are compared.
        longer = first_years(test, years + 1)
        # Who never worked has nothing that could be in common.
        worked = [i for i, held in enumerate(longer["occupation"]) if set(held[:years]) - set(NOT_WORKING)]
        longer = longer.select(worked)
        careers = first_years(longer, years)
        types = type_of.loc[careers["person"][:]].to_numpy()
        values = compared_by(folder, settings, drawn.world, careers, longer)
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
    found = Found(pd.DataFrame(rows), pairs)
    found.shares.to_csv(folder / "shares.csv", index=False)
    found.pairs.to_csv(folder / "pairs.csv", index=False)
    figure_of(found.shares, *mapped, settings).savefig(folder / "figure5.png", dpi=100)
    return found


def train_cell(folder: Path, settings: Settings, name: str, seed: int) -> tuple[PreTrainedModel, CareerProcessor]:
    """A model that is trained on the survey's training people, from its folder if it is there."""
    splits, labels = split_survey(folder / "survey", settings), World.build(settings.market().world).labels
    place, train, validation = folder / "models" / f"{name}, {seed}", splits["train"], splits["validation"]
    if name == CAREER:
        rate = settings.career_rate
        return train_from_scratch(place, settings, train, validation, labels, rate=rate, seed=seed)
    processor = CareerProcessor.fit(train, SURVEY_COVARIATES, occupations=labels)

    def recipe(output: Path) -> Recipe:
        return baseline_recipe(
            NemoConfig.from_processor(processor),
            output,
            learning_rate=settings.nemo_rate,
            warmup_steps=settings.warmup_steps,
            tokens_per_batch=settings.tokens_per_batch,
            patience=settings.patience,
            max_steps=settings.most_steps,
            eval_steps=settings.eval_steps,
            save_steps=settings.eval_steps,
            seed=seed,
        )

    source = SOURCES["simulated"].record
    return train_once(place, NemoForOccupationPrediction, processor, recipe, train, validation, source)


def compared_by(
    folder: Path, settings: Settings, world: World, careers: Dataset, longer: Dataset
) -> dict[tuple[str, Timing], list[np.ndarray]]:
    """All that careers are compared by: name and timing, and `(careers, size)` vectors, one array for each seed.

    Args:
        folder, settings: Of the study.
        world: Of the survey.
        careers: Careers of one length.
        longer: The same people's, one year longer.
    """
    timings: dict[Timing, Dataset] = {"including": careers, "before": longer}

    def last(model: PreTrainedModel, processor: CareerProcessor, timing: Timing) -> np.ndarray:
        of = timings[timing]
        return representations(model, of, processor, timing=timing, steps="last", unknown_levels="missing")

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
        made = [train_cell(folder, settings, name, seed) for seed in range(settings.seeds)]
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
    by_seed: list[np.ndarray],
    types: np.ndarray,
    held: sparse.csr_array | None,
    chance: np.ndarray,
    settings: Settings,
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
    low, high = np.quantile(drawn[:, 0], INTERVAL, axis=0)
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


def figure_of(shares: pd.DataFrame, places: np.ndarray, types: np.ndarray, settings: Settings) -> Figure:
    """Shares of neighbours of one's own type, among everybody and with no occupation in common, and a map.

    Args:
        shares: As in `Found`.
        places: `(careers, 2)`, where each career is on the map.
        types: `(careers,)`.
        settings: Of the study.

    Returns:
        A matplotlib figure, 15 by 5.5 inches, that no window shows.
    """
    from matplotlib import colormaps

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


def _draw_shares(ax: Axes, rows: pd.DataFrame, settings: Settings) -> None:
    for i, (name, colour) in enumerate(COLOURS.items()):
        of = rows[rows["compared by"] == name]
        x = np.arange(len(of)) + 0.05 * (i - len(COLOURS) / 2)
        error = [of["same"] - of["low"], of["high"] - of["same"]]
        ax.errorbar(x, of["same"], yerr=error, color=colour, marker="o", markersize=4, linewidth=1.2, label=name)
    ax.plot(np.arange(len(of)), of["alike"], ":", color="#555555", label="chance, same gender, race and education")
    ax.plot(np.arange(len(of)), of["chance"], "--", color="#555555", label="chance")
    ax.set_xticks(range(len(of)), of["years"])
    ax.set(xlabel="observed years", ylim=(0, 1))
    ax.grid(axis="y", alpha=0.3)


__all__ = ["Found", "Settings", "figure5"]


@study.command()
def figure5(
    output: Output,
    workers: Workers = 2,
    seeds: Seeds = 2,
) -> None:
    """Do the nearest by representation have one's own latent type? On the simulated market, beside chance."""
    from .figure5 import Settings
    from .figure5 import figure5 as run

    found = run(output, Settings(seeds=seeds), workers)
    columns = ["compared by", "timing", "same", "low", "high", "chance", "alike", "above", "seed_sd"]
    for (years, among), rows in found.shares.groupby(["years", "among"], sort=False):
        title = f"After {years} years, {among}: share of the nearest with one's own type, 95% intervals by person"
        show(rows[columns].set_index("compared by"), title)
    for row in found.pairs.itertuples():
        say(f"{row.similarity:.3f}  type {row.type}: {row.career}")
        say(f"       type {row.neighbours_type}: {row.neighbours_career}")
    say(f"{output}/shares.csv, pairs.csv, figure5.png")
