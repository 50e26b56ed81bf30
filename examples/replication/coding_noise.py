"""What filters of coding noise do: on the simulated market, whose wrong codes are known, and on a survey.

The market. Careers are drawn, and some of their codes made wrong on purpose, each wave by itself (`miscode`). A move
is false if nobody moved: two codes of one occupation differ. Each filter of `recode_coding_noise` is asked what share
of true moves it keeps, and what share of false moves it removes, at three levels of noise. Two further signals are
drawn beside the careers: an employer, which changes at most true moves and at few others, and an industry, which
changes at fewer of either.

A survey. CAREER and the chain are trained on careers as they were coded and on filtered ones, with the same settings,
and every model is scored on every version of the same test people. Filters make outcomes easier to predict, because
they remove surprises, so a lower perplexity on other outcomes is no better model. On the rows whose outcome, and the
occupation before it, are the same in all versions, all models predict the same things; but these rows are not drawn at
random: filters chose them, and kept more stays. The rows of careers as coded are drawn at random, and have the noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import typer
from datasets import Dataset, DatasetDict
from matplotlib.figure import Figure

from career_hf import recode_coding_noise, train
from career_hf.careers.coding_noise import AS_CODED, CODING_NOISE
from career_hf.careers.columns import career_table, list_lengths, list_values, make_dataset
from career_hf.careers.frames import as_careers, to_frame
from career_hf.careers.provenance import source_of
from career_hf.cli.console import say, show
from career_hf.comparing import score_once
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import perplexity_differences, stay_auc
from career_hf.figures.style import looks, new_figure, styled
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.simulation import draw_wages, miscode, preset
from career_hf.training.cells import fit_once
from career_hf.training.trainer import scratch_recipe

from .likeness import likeness
from .study import (
    CareersStudy,
    Covariates,
    Made,
    MostSteps,
    Output,
    Seeds,
    StudyResult,
    StudySettings,
    Trial,
    Workers,
    WorldsStudy,
    page_of,
    studies,
    with_interval,
    write_table,
)


RIGHT, CODED = "right codes", AS_CODED
TRIPS = "A-B-A"
EMPLOYER, INDUSTRY = "employer", "industry"
# Filters of the market, by the name that tables give them.
FILTERS: dict[str, dict[str, Any]] = {
    TRIPS: {},
    "wage": {"round_trip": 0, "smallest_changes": {"log_wage": 0.2}},
    INDUSTRY: {"round_trip": 0, "signals": [INDUSTRY]},
    EMPLOYER: {"round_trip": 0, "signals": [EMPLOYER]},
    "A-B-A, industry": {"signals": [INDUSTRY]},
    "A-B-A, employer": {"signals": [EMPLOYER]},
    "employer, first code": {"round_trip": 0, "signals": [EMPLOYER], "recode_to": "first"},
}
# Signals of the market: the probability of a change at a true move, and where nobody moved.
SIGNALS = {EMPLOYER: (0.8, 0.1), INDUSTRY: (0.5, 0.05)}
CHAIN, CAREER = "Markov-2", "CAREER"
ALL_ROWS, SAME_ROWS = "all steps", "same outcomes"
# Numbers of `likeness` that say what mobility is.
MOBILITY = [
    "steps: stay",
    "steps: return",
    "steps: new",
    "returns: A-B-A",
    "stay a year: working",
    "leave an occupation after 1 year",
    "leave an occupation after 5 years",
    "leave an occupation after 10 years",
    "moves between occupations: within the group",
    "moves between occupations: to one held before",
    "occupations held in 10 waves worked",
]


@dataclass(frozen=True)
class NoiseSettings:
    """Sizes of the study of the market.

    Args:
        levels: Shares of waves worked whose code is wrong. About 9% are in the NLSY79 (Sullivan 2009).
        worlds: Number of drawn sets of careers.
        people: People of each.
        market: Name of the preset.
    """

    levels: tuple[float, ...] = (0.03, 0.09, 0.2)
    worlds: int = 5
    people: int = 4_000
    market: str = "survey"


class CodingNoiseWorlds(WorldsStudy):
    """The study of the market in its folder."""

    float_formats = "%.5f"

    def world(self, world: int) -> None:
        """Writes what every filter does to one drawn set of careers, at every level."""
        settings = self.settings
        simulation = draw_wages(preset(settings.market).simulate(settings.people, seed=world), seed=world)
        without_work = list(simulation.world.labels[simulation.world.config.occupations :])
        right = with_signals(simulation.careers, without_work, world)
        rows: list[dict[str, Any]] = [{"level": 0.0, "filter": RIGHT, **moves_kept(right, right, right)}]
        for level in settings.levels:
            coded, _ = miscode(right, simulation.world, level, seed=world)
            rows.append({"level": level, "filter": CODED, **moves_kept(right, coded, coded)})
            for name, options in FILTERS.items():
                recoded = recode_coding_noise(coded, **options, without_work=without_work).careers
                rows.append({"level": level, "filter": name, **moves_kept(right, coded, recoded)})
        write_table(self.at(world), pd.DataFrame(rows))

    def report(self) -> StudyResult:
        numbers = ["true_kept", "false_removed", "right_codes", "mobility"]
        worlds = pd.concat([pd.read_csv(self.at(world)) for world in range(self.settings.worlds)], ignore_index=True)
        grouped = worlds.groupby(["level", "filter"], sort=False)
        table = pd.concat([grouped.mean(), grouped[numbers].std().add_suffix("_sd")], axis=1).reset_index()
        shown = table[["level", "filter", *numbers]].set_index("level").rename(index="{:.0%}".format)
        shown[numbers] = shown[numbers].map(lambda number: "" if np.isnan(number) else f"{number:.1%}")
        page = page_of({"Filters of coding noise on the simulated market": shown})
        return StudyResult({"market": table}, {"coding_noise_market": market_figure(table)}, page)


def with_signals(careers: Dataset, without_work: Sequence[str], seed: int) -> Dataset:
    """Careers with an employer and an industry over time, which are drawn given true moves and nothing else.

    Args:
        careers: Careers with right codes.
        without_work: Labels of states without work, in which both are missing.
        seed: Random seed.
    """
    frame, rng = to_frame(careers), np.random.default_rng(seed)
    same_person = (frame["person"] == frame["person"].shift()).to_numpy()
    moved = same_person & (frame["occupation"] != frame["occupation"].shift()).to_numpy()
    working = ~frame["occupation"].isin(without_work).to_numpy()
    table = career_table(careers)
    columns = {name: table[name] for name in table.column_names}
    offsets = pa.array(np.append(0, list_lengths(table, "year").cumsum()), pa.int32())
    for name, (at_moves, elsewhere) in SIGNALS.items():
        changes = same_person & (rng.random(len(frame)) < np.where(moved, at_moves, elsewhere))
        values = pa.array(changes.cumsum().astype(str), mask=~working)
        columns[name] = pa.ListArray.from_arrays(offsets, values)
    return make_dataset(columns)


def moves_kept(right: Dataset, coded: Dataset, recoded: Dataset) -> dict[str, float]:
    """What a filter did to moves that are true, and to moves that are wrong codes.

    Args:
        right, coded, recoded: The same careers with right codes, as they were coded, and as they were recoded; the
            first have an employer wherever somebody works.

    Returns:
        true_moves and false_moves, counted in the coded careers between two occupations at neighbouring waves; the
        shares true_kept of the former that are still moves and false_removed of the latter that are none; right_codes,
        the share of waves worked with the right code; mobility, the share of pairs of waves worked that are moves.
    """
    frames = [career_table(careers) for careers in (right, coded, recoded)]
    truth, wrong, filtered = (list_values(table, "occupation").to_numpy(zero_copy_only=False) for table in frames)
    person = np.repeat(np.arange(len(right)), list_lengths(frames[0], "year"))
    working = ~pd.isna(list_values(frames[0], EMPLOYER).to_numpy(zero_copy_only=False))
    pair = (person[1:] == person[:-1]) & working[1:] & working[:-1]
    moved, noisy, left = (pair & (codes[1:] != codes[:-1]) for codes in (truth, wrong, filtered))
    true, false = noisy & moved, noisy & ~moved
    return {
        "true_moves": int(true.sum()),
        "false_moves": int(false.sum()),
        "true_kept": float(left[true].mean()) if true.any() else np.nan,
        "false_removed": float(1 - left[false].mean()) if false.any() else np.nan,
        "right_codes": float((truth == filtered)[working].mean()),
        "mobility": float(left.sum() / pair.sum()),
    }


@styled
def market_figure(table: pd.DataFrame) -> Figure:
    """True moves kept against false moves removed, by filter and level; and mobility by level."""
    figure, (kept, mobility) = new_figure(10.0, 2)
    names, levels = list(FILTERS), sorted(set(table["level"]) - {0.0})
    look_of = looks(names)
    for name in names:
        rows, look = table[table["filter"] == name].sort_values("level"), look_of[name]
        kept.plot(rows["false_removed"], rows["true_kept"], label=name, **look.line)
        sizes = 40 * (1 + np.arange(len(rows))) ** 1.5
        kept.scatter(rows["false_removed"], rows["true_kept"], sizes, color=look.color, marker=look.marker)
        mobility.plot(rows["level"], rows["mobility"], **look.line)
    rows = table[table["filter"] == CODED].sort_values("level")
    mobility.plot(rows["level"], rows["mobility"], color="black", marker="x", label=CODED)
    mobility.axhline(table.loc[table["filter"] == RIGHT, "mobility"].iloc[0], color="black", ls=":", label=RIGHT)
    noise = ", ".join(f"{level:.0%}" for level in levels)
    kept.set(
        xlabel="share of false moves removed",
        ylabel="share of true moves kept",
        title=f"larger marks: more codes are wrong ({noise})",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    kept.legend(loc="lower left")
    mobility.set(xlabel="share of wrong codes", ylabel="share of pairs of waves that are moves", ylim=(0, None))
    mobility.set_xticks(levels, [f"{level:.0%}" for level in levels])
    mobility.legend(loc="lower right")
    figure.suptitle("Filters of coding noise on the simulated market, whose wrong codes are known")
    return figure


@dataclass(frozen=True, kw_only=True)
class SurveyNoiseSettings(StudySettings):
    """Sizes of the study of a survey; the rest as in `StudySettings`.

    Args:
        rate: Peak learning rate of CAREER.
        layers: Layers of CAREER.
        signals: Columns of labels whose change confirms a move.
        models: Names of the models: the chain, which is counted in seconds, and CAREER.
        fields: Further fields of CAREER's config.
    """

    seeds: int = 1
    most_steps: int = 400
    rate: float = 3e-3
    layers: int = 2
    signals: tuple[str, ...] = (INDUSTRY,)
    models: tuple[str, ...] = (CHAIN, CAREER)
    fields: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Learned(Trial):
    """One model, and the version of the careers that it is trained on."""

    version: str = CODED

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.model}, {self.version}, {self.seed}"


@dataclass(frozen=True, kw_only=True)
class CodingNoiseSurvey(CareersStudy):
    """The study of a survey in its folder."""

    float_formats = "%.6g"

    def versions(self) -> dict[str, dict[str, Any] | None]:
        """Options of the filter of every version of the careers; None as they were coded."""
        return {
            CODED: None,
            TRIPS: {},
            f"{TRIPS}, {', '.join(self.settings.signals)}": {"signals": self.settings.signals},
        }

    def careers(self, version: str, split: str | None = None) -> Dataset:
        """Careers of one version, with the column `coding_noise`."""
        careers = as_careers(self.data, split)
        options = self.versions()[version]
        return recode_coding_noise(careers, **(options or {}), keep_codes=options is None).careers

    def compute(self, workers: int) -> None:
        seeds_of = {CHAIN: range(1), CAREER: range(self.settings.seeds)}
        cells = [
            Learned(model, self.settings.rate, seed, version=version)
            for model in self.settings.models
            for seed in seeds_of[model]
            for version in self.versions()
        ]
        self.work("Training and scoring", self.score, cells, workers)

    def train(self, trial: Learned) -> Made:
        place = self.place(trial.folder)
        parts = {split: self.careers(trial.version, split) for split in ("train", "validation")}
        if trial.model == CHAIN:
            if not place.exists():
                train(DatasetDict(parts), model="markov-2", tune_smoothing=True, output=place)
            return load_checkpoint(place)
        processor = CareerProcessor.fit(parts["train"], covariates=self.covariates, unknown_occupation="unknown")
        fields = {"num_hidden_layers": self.settings.layers, **(self.settings.fields or {})}
        recipe = partial(
            scratch_recipe, processor, config_overrides=fields, **self.settings.schedule(trial.rate, trial.seed)
        )
        source = source_of(self.data)
        return fit_once(place, CareerForOccupationPrediction, processor, recipe, *parts.values(), source)

    def score(self, trial: Learned) -> None:
        """Scores every version of the test people with one model."""
        for version in self.versions():
            path = self.folder / "tables" / version / trial.version / trial.model / f"{trial.seed}.parquet"
            if not path.exists():
                score_once(path, *self.train(trial), self.careers(version, "test"))

    def scored(self, version: str, learned: str, model: str) -> list[pd.DataFrame]:
        """Tables of one version of the test people, by a model that learned from a version, one for each seed."""
        folder = self.folder / "tables" / version / learned / model
        return [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]

    def report(self) -> StudyResult:
        versions = list(self.versions())
        marks = [to_frame(self.careers(version, "test"))[CODING_NOISE] for version in versions[1:]]
        same = np.logical_and.reduce([mark.to_numpy() == AS_CODED for mark in marks])
        contrasts, differences = [], []
        for version in versions:
            for name, rows in ((ALL_ROWS, np.ones(len(same), dtype=bool)), (SAME_ROWS, same)):
                tables = {
                    (learned, model): [table[rows] for table in self.scored(version, learned, model)]
                    for learned in versions
                    for model in self.settings.models
                }
                for (learned, model), seeds in tables.items():
                    against = {learned: seeds} if learned == CODED else {CODED: tables[CODED, model], learned: seeds}
                    gain = perplexity_differences(against, CODED if CODED in against else learned, self.settings.draws)
                    numbers = gain.loc[learned]
                    key = {"scored on": version, "rows": name, "trained on": learned, "model": model}
                    auc = np.mean([stay_auc(table) for table in seeds])
                    contrasts.append({**key, "n": int(rows.sum()), **numbers.to_dict(), "auc": auc})
                    if model == CAREER and (learned, CHAIN) in tables:
                        both = {CHAIN: tables[learned, CHAIN], CAREER: seeds}
                        numbers = perplexity_differences(both, CHAIN, self.settings.draws).loc[CAREER]
                        differences.append({**key, "n": int(rows.sum()), **numbers.to_dict()})
        scores, career = pd.DataFrame(contrasts), pd.DataFrame(differences)
        everybody = {version: self.careers(version) for version in reversed(versions)}
        described = likeness(everybody, draws=self.settings.draws)
        returns = described["returns"].pivot(index="held", columns="careers", values="share")[versions]
        mobility = described["summary"].loc[
            [name for name in MOBILITY if name in described["summary"].index], versions
        ]
        moves = {
            version: recode_coding_noise(as_careers(self.data), **options).moves["moves"]
            for version, options in self.versions().items()
            if options is not None
        }
        tables = {
            "survey_scores": scores,
            "survey_career_minus_chain": career,
            "survey_mobility": mobility,
            "survey_returns": returns,
            "survey_moves": pd.DataFrame(moves).reindex(list(moves[versions[-1]].index)).astype("Int64"),
        }
        return StudyResult(tables, {"coding_noise_survey": survey_figure(scores, returns)}, survey_page(tables))


def survey_page(tables: Mapping[str, pd.DataFrame]) -> str:
    """Perplexities, differences and mobility as Markdown."""
    scores = tables["survey_scores"]
    wide = scores.assign(perplexity=scores["perplexity"].map("{:.2f}".format)).pivot_table(
        index=["rows", "scored on", "model"], columns="trained on", values="perplexity", aggfunc="first", sort=False
    )
    gained = scores[scores["trained on"] != CODED]
    gained = gained.assign(text=with_interval(gained, "difference", "low", "high", 3)).pivot_table(
        index=["rows", "scored on", "model"], columns="trained on", values="text", aggfunc="first", sort=False
    )
    career = tables["survey_career_minus_chain"]
    gaps = career
    if len(career):
        gaps = career.assign(text=with_interval(career, "difference", "low", "high", 3)).pivot_table(
            index=["rows", "scored on"], columns="trained on", values="text", aggfunc="first", sort=False
        )
    return page_of(
        {
            "Perplexity": wide,
            "Log-perplexity of models of recoded careers minus that of models of careers as coded": gained,
            "Log-perplexity of CAREER minus that of the chain": gaps,
            "Mobility": tables["survey_mobility"].map("{:.3f}".format),
            "Share of moves that return, by number of earlier occupations": tables["survey_returns"].map(
                "{:.2f}".format
            ),
            "Moves": tables["survey_moves"],
        }
    )


@styled
def survey_figure(scores: pd.DataFrame, returns: pd.DataFrame) -> Figure:
    """Perplexity on the same outcomes by what models were trained on, and returns by occupations held."""
    figure, (same, back) = new_figure(9.0, 2)
    rows = scores[(scores["rows"] == SAME_ROWS) & (scores["scored on"] == CODED)]
    names = list(returns.columns)
    look_of = looks([CHAIN, CAREER])
    for model in dict.fromkeys(rows["model"]):
        values = rows[rows["model"] == model].set_index("trained on")["perplexity"].loc[names]
        same.plot(names, values, label=model, **look_of[model].line)
    same.set(ylabel="perplexity", title="careers as coded, outcomes that no filter alters", xlabel="trained on")
    same.legend()
    look_of = looks(names)
    for name in names:
        back.plot(returns.index, returns[name], label=name, **look_of[name].line)
    back.set(xlabel="earlier occupations (10: or more)", ylabel="share of moves that return", ylim=(0, None))
    back.legend()
    figure.suptitle("A survey with and without coding noise")
    return figure


@studies.command("coding-noise")
def coding_noise(
    output: Output,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of careers of a survey; the simulated market unless given.", exists=True),
    ] = None,
    signals: Annotated[str, typer.Option(help="Columns whose change confirms a move, comma-separated.")] = INDUSTRY,
    covariates: Covariates = "year,education,region,race,gender",
    worlds: Annotated[int, typer.Option(help="Number of drawn markets.", min=2)] = 5,
    people: Annotated[int, typer.Option(help="Number of people of each market.", min=100)] = 4_000,
    seeds: Seeds = 1,
    most_steps: MostSteps = 400,
    models: Annotated[
        str, typer.Option(help="Models of the survey, comma-separated; the chain takes seconds.")
    ] = f"{CHAIN},{CAREER}",
    workers: Workers = 1,
) -> None:
    """What filters of coding noise do, on the market whose wrong codes are known, and on a survey."""
    if data is None:
        result = CodingNoiseWorlds(output, NoiseSettings(worlds=worlds, people=people)).run(workers)
        show(result["market"], "Moves that are true and kept, moves that are false and removed")
    else:
        chosen = tuple(name for name in signals.split(",") if name)
        named = tuple(models.split(","))
        if unknown := set(named) - {CHAIN, CAREER}:
            raise typer.BadParameter(f"--models has '{min(unknown)}', and may have {CHAIN} and {CAREER}")
        settings = SurveyNoiseSettings(seeds=seeds, most_steps=most_steps, signals=chosen, models=named)
        study = CodingNoiseSurvey(output, settings, data=data, covariates=tuple(covariates.split(",")))
        result = study.run(workers)
        show(result["survey_scores"], "Perplexities")
    say(f"{output}: CSV files, figures and tables.md")
