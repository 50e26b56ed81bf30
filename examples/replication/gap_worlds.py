"""Do estimates of the adjusted wage gap find it? Many small worlds of the simulated market, where it is known.

In each world CAREER is pretrained on other people's careers without gender and without wages. Wages of a sample of
people are then compared by every estimator, and each estimate with the simulator's history-adjusted gap of the very
women whom it is about: the mean of E[ln w | woman, history] - E[ln w | man, history], by reading women's careers as if
they were men's in the exact filter. A good 95% interval holds the truth in 95 of 100 worlds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.preprocessing import StandardScaler

from career_hf.careers.provenance import SOURCES
from career_hf.cli.console import say, show
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.figures.style import COLOURS
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.occupations.labels import GENDERS, NOT_WORKING
from career_hf.representing.representations import representations
from career_hf.simulation import draw_wages, preset, type_posteriors, wage_truth
from career_hf.simulation.survey import Simulation
from career_hf.training.cells import fit_once
from career_hf.training.trainer import scratch_recipe
from career_hf.wages.decomposition import oaxaca_blinder
from career_hf.wages.design import design, wage_frame
from career_hf.wages.finetuning import METHODS, FineTuning, finetuned_nuisances
from career_hf.wages.gap_nuisances import cross_fit_nuisances, folds_of_people
from career_hf.wages.gaps import GapSample, Nuisances, aipw_gap, kept_rows, outcome_only_gap, r_loss, raw_gap

from .study import Made, Output, Study, StudyResult, Workers, studies, write_table


PROTECTED = "gender"
COVARIATES = ("year", "education", "region", "race", "birth_year")
# What an economist has without a model of careers.
BLOCKS = ("year", "education", "experience", "region", "race", "occupation")
COLUMNS, FROZEN, ORACLE = "columns", "columns and frozen CAREER", "the wage law's terms and exact posterior"
CHOSEN = "chosen by the R-learner objective"
# The clip whose estimates are reported beside those of everybody.
CLIP = 0.05


@dataclass(frozen=True)
class GapWorldsSettings:
    """Sizes of the study. Chosen on worlds with seeds from 1,000 on, which are not reported.

    Args:
        worlds: Worlds, of seeds 0, 1, ...
        people: Whose wages are compared, in each world.
        other_people: Whose careers CAREER is pretrained on.
        occupations: Of a world.
        layers, hidden_size, heads: Of CAREER.
        updates, rate, tokens_per_batch: Of pretraining.
        folds: Of people, in cross-fitting.
        fine_tuning_updates, fine_tuning_rate: Of each network.
    """

    worlds: int = 100
    people: int = 2_000
    other_people: int = 4_000
    occupations: int = 24
    layers: int = 2
    hidden_size: int = 32
    heads: int = 2
    updates: int = 300
    rate: float = 4e-3
    tokens_per_batch: int = 2_000
    folds: int = 5
    fine_tuning_updates: int = 20
    fine_tuning_rate: float = 1e-3

    @property
    def hours(self) -> float:
        """Core hours of the whole study, from what a world of the default size takes: half a minute."""
        return self.worlds * 30 / 3600


@dataclass(frozen=True)
class GapWorldsStudy(Study):
    """Estimates the gap in every world; leaves estimates.csv, summary.csv and gap_worlds.png.

    `worlds/` has one file for each finished world, with the columns world, adjusted_for, estimator, clip, truth,
    estimate, standard_error, low, high and r_loss. More worlds may be asked for later in the same folder. `estimates`
    also has those of the method that has the least R-learner objective in each world.
    """

    settings: GapWorldsSettings = GapWorldsSettings()
    float_formats = {"estimates": "%.6f", "summary": "%.5f"}

    def described(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self.settings).items() if name != "worlds"}

    def compute(self, workers: int) -> None:
        missing = [world for world in range(self.settings.worlds) if not self.path(world).exists()]
        self.work("Estimating gaps", self.estimate_world, missing, workers)

    def path(self, world: int) -> Path:
        """The file of a world."""
        return self.folder / "worlds" / f"{world}.csv"

    def estimate_world(self, world: int) -> None:
        """Writes the estimates of one world."""
        write_table(self.path(world), self.estimates(world))

    def report(self) -> StudyResult:
        worlds = [pd.read_csv(self.path(world)) for world in range(self.settings.worlds)]
        estimates = with_chosen(pd.concat(worlds, ignore_index=True))
        summary = summarize_worlds(estimates)
        figure = gap_worlds_figure(estimates, summary)
        return StudyResult({"estimates": estimates, "summary": summary}, {"gap_worlds": figure})

    def draw(self, world: int) -> Simulation:
        """Careers with wages: the sample's people first, then the others."""
        settings = self.settings
        market = preset("tiny").with_world(seed=world, occupations=settings.occupations)
        return draw_wages(market.simulate(settings.people + settings.other_people, seed=world), seed=world)

    def pretrained(self, world: int, drawn: Simulation) -> Made:
        """CAREER on the careers of the other people, nine tenths to train on, gender not among the covariates."""
        settings = self.settings
        people, last = settings.people, settings.people + settings.other_people
        middle = people + settings.other_people * 9 // 10
        train, validation = (drawn.careers.select(range(*ends)) for ends in ((people, middle), (middle, last)))
        processor = CareerProcessor.fit(train, COVARIATES, occupations=drawn.world.labels)
        fields = {
            "num_hidden_layers": settings.layers,
            "hidden_size": settings.hidden_size,
            "num_attention_heads": settings.heads,
            "intermediate_size": 4 * settings.hidden_size,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
        }
        recipe = partial(
            scratch_recipe,
            processor,
            learning_rate=settings.rate,
            lr_scheduler_type="linear",
            warmup_steps=settings.updates // 10,
            max_steps=settings.updates,
            eval_steps=settings.updates,
            save_steps=settings.updates,
            tokens_per_batch=settings.tokens_per_batch,
            seed=0,
            config_overrides=fields,
        )
        model, source = CareerForOccupationPrediction, SOURCES["simulated"].record
        return fit_once(self.place(str(world)), model, processor, recipe, train, validation, source)

    def estimates(self, world: int) -> pd.DataFrame:
        """Every estimate in one world beside the truth of the women whom it is about."""
        settings, drawn = self.settings, self.draw(world)
        model, processor = self.pretrained(world, drawn)
        drawn = replace(drawn, careers=drawn.careers.select(range(settings.people)))
        careers = drawn.careers
        posteriors = {gender: type_posteriors(careers, drawn.world, gender) for gender in GENDERS}
        truth = wage_truth(careers, drawn.world, posteriors=posteriors)
        frame, _ = wage_frame(careers, not_working=NOT_WORKING)
        frame["birth_year"] = frame["birth_year"].astype(float)
        columns = np.column_stack([design(BLOCKS, frame).fit_transform(frame).toarray(), frame["birth_year"]])
        sample = GapSample(
            outcome=frame["log_wage"].to_numpy(),
            group=(frame[PROTECTED] == "female").to_numpy(),
            person=pd.factorize(frame["person"])[0],
            features=StandardScaler().fit_transform(columns),
        )
        place = frame.index.to_numpy()
        gap = truth.loc[place, "gap"].to_numpy()
        fold = folds_of_people(sample.person, settings.folds)
        hidden = representations(model, careers, processor, timing="including", unknown_levels="missing")[place]
        law = truth[["education", "experience", "gaps", "recipe"]].assign(
            square=truth["experience"] ** 2, run=np.log1p(truth["family_run"])
        )
        features = {
            COLUMNS: sample.features,
            FROZEN: np.column_stack([sample.features, hidden]),
            ORACLE: np.column_stack([pd.get_dummies(truth["occupation"]), law, posteriors["male"][place]]).astype(
                float
            ),
        }
        nuisances = {name: cross_fit_nuisances(sample.with_features(x), fold) for name, x in features.items()}
        nuisances |= finetuned_nuisances(
            [model],
            processor,
            careers,
            sample,
            place,
            fold,
            protected=PROTECTED,
            settings=FineTuning(updates=settings.fine_tuning_updates, rate=settings.fine_tuning_rate),
        )
        rows = list(_estimates(sample, nuisances, gap))
        return pd.DataFrame(rows).assign(world=world, truth_all=gap[sample.group].mean())


def _estimates(sample: GapSample, nuisances: dict[str, Nuisances], gap: np.ndarray) -> Iterator[dict[str, object]]:
    """Rows of `GapWorldsStudy.estimates`; `gap` is the true gap of each row's career."""
    truth, judge = gap[sample.group].mean(), nuisances[FROZEN]
    raw = raw_gap(sample)
    yield _row("nothing", "raw", truth, raw.estimate, raw.standard_error)
    try:
        unexplained = oaxaca_blinder(sample).loc["unexplained"]
    except ValueError:  # an occupation that women of this sample hold and men do not: the ridges below have a price
        unexplained = pd.Series({"estimate": np.nan, "standard_error": np.nan})
    yield _row(COLUMNS, "Oaxaca-Blinder", truth, unexplained["estimate"], unexplained["standard_error"])
    for name, of in nuisances.items():
        loss = r_loss(sample, of.difference, judge.marginal, judge.propensity)
        for clip in (0.0, CLIP):
            about = gap[sample.group & kept_rows(of.propensity, clip)].mean()
            for estimator in (aipw_gap, outcome_only_gap):
                found = estimator(sample, of, clip=clip)
                yield _row(name, found.estimator, about, found.estimate, found.standard_error, clip, loss)


def _row(
    adjusted_for: str,
    estimator: str,
    truth: float,
    estimate: float,
    error: float,
    clip: float = 0.0,
    loss: float = np.nan,
) -> dict[str, object]:
    return {
        "adjusted_for": adjusted_for,
        "estimator": estimator,
        "clip": clip,
        "truth": truth,
        "estimate": estimate,
        "standard_error": error,
        "low": estimate - 1.96 * error,
        "high": estimate + 1.96 * error,
        "r_loss": loss,
    }


def with_chosen(estimates: pd.DataFrame) -> pd.DataFrame:
    """The same rows, and in each world once more those of the representation with the least R-learner objective."""
    learned = estimates[estimates["adjusted_for"].isin([FROZEN, *METHODS])]
    least = learned.groupby("world")["r_loss"].transform("min")
    chosen = learned[learned["r_loss"] == least].assign(adjusted_for=CHOSEN)
    return pd.concat([estimates, chosen], ignore_index=True)


def summarize_worlds(estimates: pd.DataFrame) -> pd.DataFrame:
    """Bias, RMSE and coverage over worlds.

    Args:
        estimates: One row per world and estimate.

    Returns:
        One row per adjusted_for, estimator and clip: worlds; bias, mean of estimate minus truth, and bias_error, its
        standard error; rmse; standard_error, its mean; inside, the number of worlds whose 95% interval holds the
        truth; and distance, the root mean square of errors in standard errors, 1 if errors are what they say.
    """
    estimates = estimates.dropna(subset="estimate")  # regressions that a sample does not identify
    error = estimates["estimate"] - estimates["truth"]
    rows = estimates.assign(
        bias=error,
        square=error**2,
        inside=(estimates["low"] <= estimates["truth"]) & (estimates["truth"] <= estimates["high"]),
        distance=(error / estimates["standard_error"]) ** 2,
    )
    groups = rows.groupby(["adjusted_for", "estimator", "clip"], sort=False)
    return pd.DataFrame(
        {
            "worlds": groups.size(),
            "bias": groups["bias"].mean(),
            "bias_error": groups["bias"].std() / np.sqrt(groups.size()),
            "rmse": np.sqrt(groups["square"].mean()),
            "standard_error": groups["standard_error"].mean(),
            "inside": groups["inside"].sum(),
            "distance": np.sqrt(groups["distance"].mean()),
        }
    )


def gap_worlds_figure(estimates: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """AIPW with frozen CAREER in every world beside the truth, and bias and RMSE of every estimator.

    Args:
        estimates: One row per world and estimate.
        summary: What `summarize_worlds` makes of them.
    """
    figure = Figure(figsize=(14, 6.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    everybody = estimates[estimates["clip"] == 0]
    draw_worlds(left, everybody[(everybody["adjusted_for"] == FROZEN) & (everybody["estimator"] == "AIPW")])
    draw_errors(right, summary.xs(0.0, level="clip"))
    return figure


def draw_worlds(axes: Axes, rows: pd.DataFrame) -> None:
    """Intervals in the order of true gaps; those that leave the truth out in another colour."""
    ordered = rows.sort_values("truth").reset_index(drop=True)
    inside = (ordered["low"] <= ordered["truth"]) & (ordered["truth"] <= ordered["high"])
    for of, color, label in (
        (inside, COLOURS[0], f"95% interval, the truth inside: {inside.sum()}"),
        (~inside, COLOURS[1], f"95% interval, the truth outside: {(~inside).sum()}"),
    ):
        some = ordered[of]
        axes.errorbar(
            some["estimate"], some.index, xerr=1.96 * some["standard_error"], fmt="o", markersize=2.5, linewidth=0.9,
            color=color, label=label,
        )  # fmt: skip
    axes.plot(ordered["truth"], ordered.index, color="black", linewidth=1.5, label="true history-adjusted gap")
    axes.set(title=f"AIPW, {FROZEN}, in {len(rows)} worlds", xlabel="women minus men, log points", yticks=[])
    axes.set_ylabel("worlds, by their true gap")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)


def draw_errors(axes: Axes, summary: pd.DataFrame) -> None:
    """RMSE of every estimator with all women in it, and the bias with its 95% interval over worlds."""
    names = [f"{adjusted_for}: {estimator}" for adjusted_for, estimator in summary.index]
    places = np.arange(len(names))
    axes.barh(places, summary["rmse"], color="0.85", label="RMSE")
    axes.errorbar(
        summary["bias"],
        places,
        xerr=1.96 * summary["bias_error"],
        fmt="o",
        markersize=4,
        capsize=3,
        color=COLOURS[0],
        label="bias, 95% interval over worlds",
    )
    for place, rmse, inside in zip(places, summary["rmse"], summary["inside"], strict=True):
        axes.annotate(f" {inside:.0f}", (rmse, place), va="center", fontsize=8, color="0.3")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set(title="Errors; beside bars, worlds with the truth inside the interval", xlabel="log points")
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)


@studies.command()
def gap_worlds(
    output: Output,
    workers: Workers = 2,
    worlds: Annotated[
        int, typer.Option(help="Number of worlds; more may be asked for later in the same folder.", min=1)
    ] = 100,
) -> None:
    """Whether estimates of the adjusted wage gap find it, in many small worlds in which it is known."""
    settings = GapWorldsSettings(worlds=worlds)
    say(f"{worlds} worlds, {settings.hours:.1f} core hours; finished worlds are kept")
    summary = GapWorldsStudy(output, settings).run(workers)["summary"]
    for clip, rows in summary.groupby("clip", sort=False):
        whose = "all women" if clip == 0 else f"women with a propensity up to {1 - clip:g}"
        show(rows.droplevel("clip").reset_index("estimator"), f"Gaps of {whose}, log points")
    say(f"{output}/estimates.csv, summary.csv, gap_worlds.png")
