"""How many resumes pretraining needs (Figure 2b), on the simulated market.

CAREER is pretrained on nested samples of one corpus of resumes and fine-tuned on the same survey; with 0 resumes it is
trained from scratch. As in the paper, pretraining has the same ceiling of updates whatever the volume, and the
checkpoint that held-out resumes like best is kept. What is good for a model that was pretrained on many resumes is not
good for one that hardly was: so the learning rate on the survey is chosen anew for every volume, over the same rates,
on validation people with the first seed.

    nll(n) = a n^-b + c

is fitted to the test log-perplexities of all volumes n > 0, in nats. Its intervals come from resampling: every draw
takes test people with replacement, the same for all models, and for each volume training seeds with replacement, and
is fitted anew. (A few seeds resampled show less than their whole variance.) The law's c is what unlimited resumes
would leave; the floor is what the truth leaves, and no model can be below it, so c is not either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import DatasetDict
from matplotlib.figure import Figure
from scipy.optimize import curve_fit

from career_hf.careers.columns import with_weights
from career_hf.careers.provenance import source_of
from career_hf.cli.console import say, show
from career_hf.comparing import score_once
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import INTERVAL, perplexity_differences, resampled_nll, summarize
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.simulation import World, load_resumes, write_resumes
from career_hf.simulation.presets import RESUMES
from career_hf.training.cells import fit_once
from career_hf.training.trainer import scratch_recipe

from .pretrained import Checkpoint, Quick, Start, corpus, fine_tune_once, pretrain_once, survey_of
from .study import (
    Covariates,
    Made,
    Output,
    Resumes,
    Seeds,
    StudyResult,
    Tables,
    Trial,
    Workers,
    studies,
    whiskers,
)
from .survey import (
    SurveySettings,
    SurveyStudy,
    carry_over,
    fine_tune,
    keep_survey,
    pretrain,
    references,
    train_from_scratch,
)


# Person-years that one core trains on in a second, at the default size; for the cost that is announced.
SPEED = 30_000
BLUE, ORANGE, GREY, GREEN = "#0072B2", "#D55E00", "#555555", "#009E73"
# The true model, which only a market has; and a checkpoint that was pretrained elsewhere.
FLOOR, CHECKPOINT = "floor", "checkpoint"


@dataclass(frozen=True, kw_only=True)
class VolumeSettings(SurveySettings):
    """Sizes of the study. The rest as in `SurveySettings`.

    Args:
        volumes: Sizes of the samples of resumes, before people who never work are dropped; 0 is no pretraining.
        held_out: Further resumes, on which pretraining is validated.
        pretraining_eval_steps: Updates of pretraining between validations.
        rates: Peak learning rates to try on the survey.
    """

    volumes: tuple[int, ...] = (0, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
    held_out: int = 2_000
    layers: int = 4
    pretraining_steps: int = 8_000
    pretraining_eval_steps: int = 100
    patience: int = 6
    rates: tuple[float, ...] = (5e-4, 1e-3, 2e-3)

    def __post_init__(self) -> None:
        pretrained = {volume for volume in self.volumes if volume > 0}
        if 0 not in self.volumes or len(pretrained) < 4 or len(pretrained) + 1 < len(self.volumes):
            raise ValueError(
                f"volumes {self.volumes} must be 0, to compare with, and at least four different positive numbers, "
                "because a power law with a floor has three parameters"
            )

    def quick(self) -> VolumeSettings:
        """So small that nothing is learned."""
        steps = {"pretraining_steps": 4, "pretraining_eval_steps": 2, "most_steps": 4, "eval_steps": 2}
        sizes = {"layers": 1, "hidden_size": 16, "warmup_steps": 1, "tokens_per_batch": 400, "draws": 20}
        return replace(self, **steps, **sizes, seeds=1, rates=self.rates[:1])

    def cost(self) -> tuple[int, int, float]:
        """Runs of pretraining, runs on the survey, and core hours if no run stops early."""
        volumes = len(self.volumes)
        pretrainings = (volumes - 1) * self.seeds
        surveys = volumes * (len(self.rates) + self.seeds - 1)
        updates = pretrainings * self.pretraining_steps + surveys * self.most_steps
        return pretrainings, surveys, updates * self.tokens_per_batch / SPEED / 3600


def model_name(volume: int) -> str:
    """What a model that was pretrained on so many resumes is called in tables."""
    return f"{volume} resumes"


@dataclass(frozen=True)
class VolumeTrial(Trial):
    """A run on the survey, of a model that is named after the number of resumes it was pretrained on."""

    @property
    def folder(self) -> str:
        return f"survey, {super().folder}"

    @property
    def volume(self) -> int:
        """The number of resumes, of a model that is named after it."""
        return int(self.model.split()[0])


@dataclass(frozen=True)
class VolumeStudy(SurveyStudy):
    """Leaves volume.csv, law.csv and volume.png; tables are of every volume, the true model and Markov chains."""

    settings: VolumeSettings = VolumeSettings()

    def volumes(self) -> list[int]:
        """The costliest first."""
        return sorted(self.settings.volumes, reverse=True)

    def trials(self) -> list[Trial]:
        return [VolumeTrial(model_name(n), rate) for n in self.volumes() for rate in self.settings.rates]

    def prepare(self, workers: int) -> None:
        self.work("Drawing careers", self.draw, ("resumes", "survey"), workers)
        runs = [(volume, seed) for volume in self.volumes()[:-1] for seed in range(self.settings.seeds)]
        self.work("Pretraining", self.pretrained, runs, workers)

    def draw(self, careers: str) -> None:
        """Draws "resumes", the corpus that all samples are the first of and the one that is held out; or "survey",
        whose test people are scored with the truth and with Markov chains."""
        settings = self.settings
        if careers == "survey":
            world, splits = keep_survey(self.folder / "survey", settings, settings.market()), self.splits()
            for name, made in references(world, splits["train"], splits["validation"]).items():
                score_once(self.folder / "tables" / name / "0.parquet", *made, splits["test"])
            return
        world = World.build(settings.market().world)
        for name, people, seed in (("resumes", max(settings.volumes), 0), ("held out", settings.held_out, 1)):
            write_resumes(world, replace(RESUMES["scaling"], people=people), self.folder / name, seed=seed)
            load_resumes(self.folder / name)  # converts them once, before processes want to read them together

    def pretrained(self, run: tuple[int, int]) -> Made:
        """CAREER pretrained on the first resumes.

        Args:
            run: Number of resumes, and seed.
        """
        volume, seed = run
        return pretrain(
            self.place(f"pretraining, {model_name(volume)}, {seed}"),
            self.settings,
            load_resumes(self.folder / "resumes", volume),
            load_resumes(self.folder / "held out"),
            self.labels(),
            seed=seed,
            eval_steps=self.settings.pretraining_eval_steps,
        )

    def train(self, trial: VolumeTrial) -> Made:
        splits, labels, place = self.splits(), self.labels(), self.place(trial.folder)
        careers, run = (splits["train"], splits["validation"]), {"rate": trial.rate, "seed": trial.seed}
        if trial.volume == 0:
            return train_from_scratch(place, self.settings, *careers, labels, **run)
        model, processor = self.pretrained((trial.volume, trial.seed))
        processor = carry_over(model, processor, careers[0], labels, trial.seed)
        return fine_tune(place, self.settings, model, processor, *careers, **run)

    def report(self) -> StudyResult:
        tables = self.tables()
        volumes = self.volume_table(tables)
        law, curve = fit(tables, self.settings)
        law.loc["break-even of the runs", "estimate"] = break_even(volumes)
        figure = volume_figure(volumes, law, curve, self.what)
        return StudyResult({"volume": volumes, "law": law}, {"volume": figure})

    @property
    def what(self) -> str:
        """The name of the careers in the figure."""
        return "simulated market"

    def volume_table(self, tables: Tables) -> pd.DataFrame:
        """One row per volume, and one for each reference.

        Returns:
            Columns perplexity, over_floor (its ratio to the true model's, where there is one), low, high (people
            resampled), seeds, seed_sd; difference (of log-perplexity from training from scratch), low_of_difference,
            high_of_difference; for volumes also rate (chosen), updates and hours (of all pretraining, one core).
        """
        draws = self.settings.draws
        levels = summarize(tables, draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
        compared = perplexity_differences(tables, model_name(0), draws)[["difference", "low", "high"]]
        table = levels.join(compared.rename(columns={"low": "low_of_difference", "high": "high_of_difference"}))
        if FLOOR in table.index:
            table.insert(1, "over_floor", table["perplexity"] / table.loc[FLOOR, "perplexity"])
        chosen = self.best()
        for volume in self.settings.volumes:
            name = model_name(volume)
            runs = self.training_of(f"pretraining, {name}")
            table.loc[name, ["volume", "rate"]] = volume, chosen[name].rate
            table.loc[name, ["updates", "hours"]] = runs["updates"].sum(), runs["hours"].sum()
        return table.sort_values("volume", na_position="first")


@dataclass(frozen=True, kw_only=True)
class OwnVolumeStudy(VolumeStudy):
    """The same on a survey and resumes of one's own: every volume is the first so many resumes.

    A checkpoint, where one is given, is fine-tuned on the survey too, beside the volumes; it has occupations of its
    own, and so may have more to choose from. Fine-tuning has the settings that suit the survey's size, whatever the
    volume, so only training from scratch tries rates.

    Args:
        data: Folder of careers in splits.
        resumes: Resumes to pretrain on, as careers in splits or as `simulate` writes them.
        covariates: Covariates of the survey; resumes are pretrained with those that they have.
        checkpoint: A folder, a Hub id, or a name that ships; none if empty.
    """

    data: Path
    resumes: Path
    covariates: tuple[str, ...]
    checkpoint: str = ""

    def described(self) -> dict[str, Any]:
        given = {"data": str(self.data), "resumes": str(self.resumes), "covariates": self.covariates}
        return super().described() | given | ({"checkpoint": self.checkpoint} if self.checkpoint else {})

    @property
    def what(self) -> str:
        return self.data.name

    def splits(self) -> DatasetDict:
        splits = survey_of(self.data)
        return DatasetDict({name: with_weights(careers, False) for name, careers in splits.items()})

    def labels(self) -> list[str]:
        """Occupations of every model but the checkpoint's: those of training people of the survey."""
        return sorted({label for career in self.splits()["train"]["occupation"] for label in career})

    def trials(self) -> list[Trial]:
        trials: list[Trial] = [VolumeTrial(model_name(n), 0.0) for n in self.volumes() if n > 0]
        trials += [VolumeTrial(model_name(0), rate) for rate in self.settings.rates]
        return trials + ([VolumeTrial(CHECKPOINT, 0.0)] if self.checkpoint else [])

    def prepare(self, workers: int) -> None:
        self.splits()
        held = len(corpus(self.resumes)[0])
        if max(self.settings.volumes) > held:
            raise ValueError(
                f"{self.resumes} has {held:,} resumes to pretrain on, and a volume is larger: take others"
            )
        Start(checkpoint=self.checkpoint or None).check()
        runs = [(volume, seed) for volume in self.volumes()[:-1] for seed in range(self.settings.seeds)]
        self.work("Pretraining", self.pretrained, runs, workers)

    def pretrained(self, run: tuple[int, int]) -> Path:  # type: ignore[override]  # the folder, which is fine-tuned
        (volume, seed), settings = run, self.settings
        schedule = settings.schedule(
            settings.pretraining_rate,
            seed,
            max_steps=settings.pretraining_steps,
            eval_steps=settings.pretraining_eval_steps,
        )
        schedule |= {"config_overrides": settings.architecture}
        place = self.place(f"pretraining, {model_name(volume)}, {seed}")
        return pretrain_once(place, self.resumes, self.covariates, schedule, volume, self.labels())

    def train(self, trial: VolumeTrial) -> Made:
        splits, place = self.splits(), self.place(trial.folder)
        parts = DatasetDict({name: splits[name] for name in ("train", "validation")})
        if trial.model == model_name(0):
            labels, unknown = self.labels(), {"unknown_occupation": "unknown"}
            processor = CareerProcessor.fit(parts["train"], self.covariates, occupations=labels, **unknown)
            schedule = self.settings.schedule(trial.rate, trial.seed) | {
                "config_overrides": self.settings.architecture
            }
            recipe = partial(scratch_recipe, processor, **schedule)
            careers = parts["train"], parts["validation"]
            return fit_once(place, CareerForOccupationPrediction, processor, recipe, *careers, source_of(self.data))
        start = self.checkpoint if trial.model == CHECKPOINT else self.pretrained((trial.volume, trial.seed))
        most = self.settings.most_steps
        return fine_tune_once(place, start, parts, self.covariates, most_steps=most, seed=trial.seed)


def power_law(n: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    """a n^-b + c."""
    return a * n**-b + c


def fit_power_law(n: np.ndarray, nll: np.ndarray, floor: float = 0.0) -> tuple[float, float, float]:
    """a, b and c of `power_law` by least squares, with a >= 0, b between .01 and 5 and c not below the floor.

    Args:
        n: `(volumes,)`, increasing and positive.
        nll: `(volumes,)`, log-perplexities.
        floor: Log-perplexity of the truth, where it is known.

    Raises:
        ValueError: There are fewer than four volumes.
    """
    n, nll = np.asarray(n, dtype=float), np.asarray(nll, dtype=float)
    if len(n) < 4:
        raise ValueError(f"a power law with a floor has three parameters: {len(n)} volumes are too few, give four")
    # In units of the first volume and of the fall, parameters are of the same order.
    fall = max(nll.max() - nll.min(), 1e-6)
    start = (1.0, 0.5, max(nll.min() / fall - 0.1, floor / fall))
    bounds = ((0.0, 0.01, floor / fall), (np.inf, 5.0, np.inf))
    (a, b, c), _ = curve_fit(power_law, n / n[0], nll / fall, p0=start, bounds=bounds, max_nfev=10_000)
    return float(a * fall * n[0] ** b), float(b), float(c * fall)


def crossing(law: tuple[float, float, float], nll: float) -> float:
    """The volume at which the law falls to a log-perplexity; infinite if it never does."""
    a, b, c = law
    return float((a / (nll - c)) ** (1 / b)) if nll > c and a > 0 else np.inf


def fit(tables: Tables, settings: VolumeSettings, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fits the law, and fits it anew to every resample of people and seeds.

    Returns:
        Its parameters a, b and c, exp(c) ("perplexity of unlimited resumes"), the volume at which it falls to training
        from scratch, and the root mean square in nats of what it leaves; with columns estimate, low and high. And the
        curve at a grid of volumes: the same columns of perplexity, and, with the suffix "_of_difference", of
        log-perplexity minus that of training from scratch.
    """
    volumes = sorted(settings.volumes)
    names = [*([FLOOR] if FLOOR in tables else []), *map(model_name, volumes)]
    estimate, resampled = resampled_seeds({name: tables[name] for name in names}, settings.draws, seed)
    if FLOOR not in tables:
        # Log-perplexity is never below 0, whatever the truth leaves.
        estimate, resampled = np.r_[0.0, estimate], np.insert(resampled, 0, 0.0, axis=1)
    n = np.array(volumes[1:], dtype=float)
    grid = np.geomspace(n[0], n[-1] * 2, 100)
    rows, curves, scratch = [], [], np.array([estimate[1], *resampled[:, 1]])
    for floor, without, *nll in (estimate, *resampled):
        law = fit_power_law(n, np.array(nll), floor)
        rows.append([*law, np.exp(law[2]), crossing(law, without)])
        curves.append(power_law(grid, *law))
    names = ["a", "b", "c", "perplexity of unlimited resumes", "break-even by the law"]
    parameters = _estimates(np.array(rows), pd.Index(names, name="parameter"))
    left = estimate[2:] - power_law(n, *rows[0][:3])
    parameters.loc["residual in nats", "estimate"] = np.sqrt(np.mean(left**2))
    curve, at = np.array(curves), pd.Index(grid, name="resumes")
    differences = _estimates(curve - scratch[:, None], at).add_suffix("_of_difference")
    return parameters, _estimates(np.exp(curve), at).join(differences)


def _estimates(values: np.ndarray, index: pd.Index) -> pd.DataFrame:
    """The first row, and quantiles of the others."""
    # Order statistics, because no mean is taken of an infinite crossing and another.
    low, high = np.quantile(values[1:], INTERVAL, axis=0, method="nearest")
    return pd.DataFrame({"estimate": values[0], "low": low, "high": high}, index=index)


def resampled_seeds(tables: Tables, draws: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-perplexities of models, averaged over their seeds.

    Args:
        tables: For each model a transition table for each seed, on the same rows.
        draws: Resamples.
        seed: Of the resampling.

    Returns:
        `(models,)` as they are, and `(draws, models)` with people and seeds resampled.
    """
    single = {f"{name} {i}": table for name, of_model in tables.items() for i, table in enumerate(of_model)}
    _, (estimate,), resampled = resampled_nll(single, draws, seed)
    rng = np.random.default_rng([seed, 1])
    means, resampled_means, start = [], [], 0
    for of_model in tables.values():
        seeds = start + np.arange(len(of_model))
        drawn = rng.choice(seeds, size=(draws, len(seeds)))
        means.append(estimate[seeds].mean())
        resampled_means.append(np.take_along_axis(resampled[:, 0], drawn, axis=1).mean(axis=1))
        start += len(of_model)
    return np.array(means), np.stack(resampled_means, axis=1)


def break_even(volumes: pd.DataFrame) -> float:
    """The smallest volume from which on pretraining beats training from scratch, every interval below 0; else null."""
    rows = volumes[volumes["volume"] > 0].sort_values("volume", ascending=False)
    wins = (rows["high_of_difference"] < 0).cummin()
    return float(rows["volume"][wins].min())


def volume_figure(volumes: pd.DataFrame, law: pd.DataFrame, curve: pd.DataFrame, careers: str) -> Figure:
    """Perplexity by volume of resumes, with the law, training from scratch and, where it is known, the floor; and what
    resumes gain."""
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows, scratch = volumes[volumes["volume"] > 0], volumes[volumes["volume"] == 0].iloc[0]
    a, b, c = law.loc[["a", "b", "c"], "estimate"]
    for axes, what, suffix in ((left, "perplexity", ""), (right, "difference", "_of_difference")):
        low, high = f"low{suffix}", f"high{suffix}"
        span = whiskers(rows, what, low, high)
        axes.errorbar(rows["volume"], rows[what], yerr=span, fmt="o", capsize=3, color=BLUE, label="fine-tuned")
        label = f"exp({a:.3g} n^-{b:.2f} + {c:.3f})"
        axes.plot(curve.index, curve[f"estimate{suffix}"], color=BLUE, linewidth=1, label=label)
        axes.fill_between(curve.index, curve[low], curve[high], color=BLUE, alpha=0.15)
        axes.axhline(scratch[what], color=ORANGE, label="from scratch")
        axes.set_xscale("log")
        axes.set_xticks(rows["volume"], [f"{int(n):,}" for n in rows["volume"]], fontsize=8)
        axes.minorticks_off()
        axes.set_xlabel("resumes")
    left.axhspan(scratch["low"], scratch["high"], color=ORANGE, alpha=0.15)
    if FLOOR in volumes.index:
        left.axhline(volumes.loc[FLOOR, "perplexity"], color="black", label="floor: the truth")
    if CHECKPOINT in volumes.index:
        left.axhline(volumes.loc[CHECKPOINT, "perplexity"], color=GREEN, label="the checkpoint, fine-tuned")
    left.axhline(np.exp(c), color=GREY, linestyle="--", label="the law with unlimited resumes")
    left.set(title=f"Pretraining volume (Figure 2b), {careers}", ylabel="test perplexity (95% intervals)")
    right.set(title="Against training from scratch", ylabel="nats per step; below 0 pretraining pays")
    left.legend(fontsize=8)
    return figure


@studies.command()
def volume(
    output: Output,
    workers: Workers = 2,
    seeds: Seeds = 3,
    volumes: Annotated[str, typer.Option(help="Numbers of resumes, comma-separated; 0 is no pretraining.")] = (
        "0,1000,2000,5000,10000,20000,50000,100000"
    ),
    data: Annotated[
        Path | None, typer.Option(help="Folder of a survey of one's own, in place of the market.", exists=True)
    ] = None,
    resumes: Resumes = None,
    covariates: Covariates = "year",
    checkpoint: Checkpoint = None,
    quick: Quick = False,
) -> None:
    """How many resumes pretraining needs (Figure 2b), on the simulated market or on careers of one's own."""
    settings = VolumeSettings(seeds=seeds, volumes=tuple(map(int, volumes.split(","))))
    study = VolumeStudy(output, settings)
    if data is not None:
        if resumes is None:
            raise typer.BadParameter("samples of resumes are pretrained on: give --resumes with --data")
        settings = settings.quick() if quick else settings
        names, start = tuple(covariates.split(",")), checkpoint or ""
        study = OwnVolumeStudy(output, settings, data=data, resumes=resumes, covariates=names, checkpoint=start)
    elif resumes is not None or checkpoint is not None or quick:
        raise typer.BadParameter("--resumes, --checkpoint and --quick are for a survey of one's own: give --data too")
    pretrainings, surveys, hours = settings.cost()
    say(f"{pretrainings} runs of pretraining and {surveys} on the survey, at most {hours:.1f} core hours")
    result = study.run(workers)
    shown = result["volume"].drop(columns=["volume", "rate"])
    show(shown, "Test perplexity after fine-tuning; differences of log-perplexity from training from scratch")
    show(result["law"], "Log-perplexity as a n^-b + c; 95% intervals by resampling people and seeds")
    say(f"{output}/volume.csv, law.csv, volume.png")
