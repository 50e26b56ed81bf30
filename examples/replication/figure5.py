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
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, DatasetDict
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import sparse
from transformers import PreTrainedModel, set_seed

from career_hf.careers.columns import with_weights
from career_hf.careers.provenance import SOURCES, source_of
from career_hf.cli.console import say, show
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.resampling import interval, resample_means
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.occupations.crosswalks import titles
from career_hf.occupations.labels import NOT_WORKING as NOT_AT_WORK
from career_hf.representing.cross_fitting import check_not_trained_on
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
from career_hf.training.trainer import recipe_for, scratch_recipe

from .pretrained import PRETRAINED, Checkpoint, Quick, Start, fine_tune_once, pretrain_once, survey_of
from .study import (
    CareersStudy,
    Covariates,
    Made,
    Output,
    Resumes,
    StudyResult,
    StudySettings,
    Workers,
    studies,
    whiskers,
)
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


@dataclass(frozen=True, kw_only=True)
class PairsSettings(StudySettings):
    """Sizes of the study on careers of one's own.

    Args:
        years: Observed years after which people are compared.
        pairs: Number of pairs.
        rate: Peak learning rate from scratch.
        layers, hidden_size, heads: Sizes of CAREER, from scratch and where it is pretrained here.
        pretraining_steps, pretraining_rate: Updates at most and peak learning rate of pretraining.
    """

    years: int = 4
    pairs: int = 10
    rate: float = 1e-3
    layers: int = 4
    hidden_size: int = 64
    heads: int = 2
    seeds: int = 1
    pretraining_steps: int = 8_000
    pretraining_rate: float = 1e-3

    def quick(self) -> PairsSettings:
        """So small that nothing is learned."""
        sizes = {"layers": 1, "hidden_size": 16, "most_steps": 4, "tokens_per_batch": 400, "pretraining_steps": 4}
        return replace(self, **sizes)

    @property
    def sizes(self) -> dict[str, int]:
        """Fields of CAREER's config."""
        return {
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden_size,
            "num_attention_heads": self.heads,
            "intermediate_size": 4 * self.hidden_size,
        }


@dataclass(frozen=True, kw_only=True)
class PairsStudy(CareersStudy):
    """Figure 5 itself, on careers of one's own: test people with the most similar h and no occupation in common.

    Leaves pairs.csv (what `most_similar_pairs` returns, with the years that are compared). Nothing tells there whether
    careers are alike, as types do in the simulated market.

    Args:
        start: A checkpoint to fine-tune, or resumes to pretrain on; from scratch without either.
    """

    settings: PairsSettings = PairsSettings()
    start: Start = field(default_factory=Start)

    def described(self) -> dict[str, Any]:
        given = {"data": str(self.data), "covariates": self.covariates, **self.start.described()}
        return asdict(self.settings) | given

    def splits(self) -> DatasetDict:
        splits = survey_of(self.data)
        return DatasetDict({name: with_weights(careers, False) for name, careers in splits.items()})

    def prepare(self, workers: int) -> None:
        self.compared()
        self.start.check()

    def compute(self, workers: int) -> None:
        self.work("Training models", self.train, [0], workers)

    def train(self, trial: int) -> Made:
        """CAREER, from its folder if it is there; `trial` is the training seed."""
        settings, parts, place = self.settings, self.splits(), self.place(f"{CAREER}, {trial}")
        if not self.start.is_given:
            processor = CareerProcessor.fit(parts["train"], self.covariates, unknown_occupation="unknown")
            schedule = settings.schedule(settings.rate, trial) | {"config_overrides": settings.sizes}
            recipe = partial(scratch_recipe, processor, **schedule)
            careers = parts["train"], parts["validation"]
            return fit_once(place, CareerForOccupationPrediction, processor, recipe, *careers, source_of(self.data))
        start: str | Path | None = self.start.checkpoint
        if start is None:
            schedule = settings.schedule(settings.pretraining_rate, trial)
            schedule |= {"max_steps": settings.pretraining_steps, "config_overrides": settings.sizes}
            start = pretrain_once(self.place(PRETRAINED), self.start.resumes, self.covariates, schedule)  # type: ignore[arg-type]
        people = DatasetDict({name: parts[name] for name in ("train", "validation")})
        return fine_tune_once(place, start, people, self.covariates, most_steps=settings.most_steps, seed=trial)

    def compared(self) -> Dataset:
        """The first years of test people who have so many and worked in one of them.

        Raises:
            ValueError: Fewer than two people have.
        """
        careers = first_years(self.test(), self.settings.years)
        worked = [i for i, held in enumerate(careers["occupation"]) if set(held) - set(NOT_AT_WORK)]
        if len(worked) < 2:
            raise ValueError(f"{len(worked)} test people have {self.settings.years} years with work: take fewer years")
        return careers.select(worked)

    def report(self) -> StudyResult:
        (model, processor), careers = self.train(0), self.compared()
        check_not_trained_on(careers, self.splits()["train"], processor)
        h = representations(model, careers, processor, timing="including", steps="last", unknown_levels="missing")
        held = occupations_held(careers, ignored=NOT_AT_WORK)
        return StudyResult({"pairs": most_similar_pairs(careers, h, self.settings.pairs, held, titles())})


@studies.command()
def figure5(
    output: Output,
    workers: Workers = 2,
    seeds: Annotated[int | None, typer.Option(help="Number of training seeds on the market; 2 by default.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of careers of one's own, in place of the market.", exists=True)
    ] = None,
    covariates: Covariates = "year",
    checkpoint: Checkpoint = None,
    resumes: Resumes = None,
    years: Annotated[int, typer.Option(help="Observed years after which one's own people are compared.", min=1)] = 4,
    quick: Quick = False,
) -> None:
    """The most similar careers without an occupation in common: on the market, whose types are known, or one's own."""
    start = Start(checkpoint, resumes)
    if data is not None:
        own = PairsSettings(years=years)
        names = tuple(covariates.split(","))
        study = PairsStudy(output, settings=own.quick() if quick else own, data=data, covariates=names, start=start)
        pairs = study.run(workers)["pairs"]
        for row in pairs.itertuples():
            say(f"{row.similarity:.3f}  {row.person}: {row.career}")
            say(f"       {row.neighbour}: {row.neighbours_career}")
        say(f"{output}/pairs.csv")
        return
    if start.is_given or quick:
        raise typer.BadParameter("--checkpoint, --resumes and --quick are for careers of one's own: give --data too")
    result = Figure5Study(output, Figure5Settings(seeds=2 if seeds is None else seeds)).run(workers)
    columns = ["compared by", "timing", "same", "low", "high", "chance", "alike", "above", "seed_sd"]
    for (years, among), rows in result["shares"].groupby(["years", "among"], sort=False):
        title = f"After {years} years, {among}: share of the nearest with one's own type, 95% intervals by person"
        show(rows[columns].set_index("compared by"), title)
    for row in result["pairs"].itertuples():
        say(f"{row.similarity:.3f}  type {row.type}: {row.career}")
        say(f"       type {row.neighbours_type}: {row.neighbours_career}")
    say(f"{output}/shares.csv, pairs.csv, figure5.png")
