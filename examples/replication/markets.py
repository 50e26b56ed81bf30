"""The headline findings on two markets: the drawn one (`survey`) and the one that is fitted to the NLSY79 (`nlsy79`).

A finding on one simulated market may be a finding about its law. In both markets types are latent and the truth is
exact, but who stays, who goes back and who moves where is drawn at random in one and taken from a survey in the other.
Models of the same sizes are trained in the same way on both, and every finding is measured on both; `findings` has the
controls, in worlds of 120 occupations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset
from matplotlib.figure import Figure

from career_hf.cli.console import show
from career_hf.simulation import (
    ResumeConfig,
    TrueOccupationModel,
    World,
    load_resumes,
    preset,
    world_processor,
    write_resumes,
)
from career_hf.simulation.presets import Preset
from career_hf.training.cells import run_jobs, training_log

from .findings import (
    BLUE,
    CHAIN,
    ORANGE,
    PRETRAINING_PAYS,
    Contrast,
    FindingsSettings,
    FindingsStudy,
    WorldTables,
    measure,
    models_table,
)
from .study import Job, Output, Seeds, StudyResult, Workers, page_of, studies, whiskers, with_interval
from .survey import carry_over, fine_tune, keep_survey, pretrain, references, split_survey, train_from_scratch


NO_INFERENCE = "no inference"


@dataclass(frozen=True, kw_only=True)
class MarketsSettings(FindingsSettings):
    """Sizes of the study. Worlds have the sizes of their presets; the rest as in `FindingsSettings`.

    Args:
        markets: Names of presets.
        volumes: Numbers of resumes to pretrain on, nested; the largest is that of all findings but volume.
        pretraining_seeds: Number of seeds of models that are pretrained.
    """

    markets: tuple[str, ...] = ("survey", "nlsy79")
    volumes: tuple[int, ...] = (2_000, 10_000)
    pretraining_seeds: int = 2
    more_people: tuple[int, ...] = ()
    train_people: int = 1_000
    validation_people: int = 300
    test_people: int = 1_500
    layers: int = 2
    pretraining_steps: int = 600
    most_steps: int = 500
    warmup_steps: int = 50
    patience: int = 3

    def preset(self, world: str, **changes: Any) -> Preset:
        return preset(world).with_world(**changes)

    @property
    def pool(self) -> int:
        return self.train_people


@dataclass(frozen=True)
class MarketsCell:
    """One CAREER model of a market: how many resumes it is pretrained on, its stages and its seed."""

    market: str
    volume: int
    two_stage: bool
    seed: int

    @property
    def model(self) -> str:
        """The model's name in tables."""
        if self.volume:
            return f"pretrained on {self.volume} resumes"
        return "two-stage" if self.two_stage else "one-stage"


@dataclass(frozen=True)
class MarketsStudy(FindingsStudy):
    """Leaves findings.csv, models.csv, summary.csv, tables.md and findings.png; transition tables are in
    `tables/MARKET/MODEL/SEED.parquet`."""

    settings: MarketsSettings = MarketsSettings()

    def prepare(self, workers: int) -> None:
        draws = (self.draw_corpus, self.draw_survey) if self.settings.pretraining_seeds else (self.draw_survey,)
        jobs = [Job(draw, market) for draw in draws for market in self.settings.markets]
        run_jobs("Drawing careers", jobs, workers)

    def compute(self, workers: int) -> None:
        self.work("Training models", self.train_cell, self.cells(), workers)

    def cells(self) -> list[MarketsCell]:
        """Every model that is trained."""
        settings = self.settings
        return [
            MarketsCell(market, volume, two_stage, seed)
            for seed in range(settings.seeds)
            for market in settings.markets
            for volume, two_stage in ((0, True), (0, False), *((volume, True) for volume in settings.volumes))
            if volume == 0 or seed < settings.pretraining_seeds
        ]

    def draw_survey(self, world: str) -> None:
        drawn = keep_survey(self.folder / "surveys" / world, self.settings, self.settings.preset(world))
        splits = self.survey(world)
        known = references(drawn, splits["train"], splits["validation"])
        known[NO_INFERENCE] = TrueOccupationModel.of_world(drawn, "nothing"), world_processor(drawn, "nothing")
        for name, made in known.items():
            self.keep_table(world, name, 0, *made, splits["test"])

    def draw_corpus(self, corpus: str) -> None:
        """Draws the resumes of a market, and further ones to validate pretraining on."""
        drawn = World.build(self.settings.preset(corpus).world)
        for name, people, seed in (("resumes", max(self.settings.volumes), 0), ("held out", 500, 1)):
            folder = self.folder / "corpora" / corpus / name
            write_resumes(drawn, ResumeConfig(people=people), folder, seed=seed)
            load_resumes(folder)  # converts them once, before processes want to read them together

    def survey(self, world: str) -> dict[str, Dataset]:
        return split_survey(self.folder / "surveys" / world, self.settings)

    def train_cell(self, cell: MarketsCell) -> None:  # type: ignore[override]
        """Trains a model and scores test careers; a pretrained model is also scored before fine-tuning."""
        settings, splits = self.settings, self.survey(cell.market)
        labels = World.build(settings.preset(cell.market).world).labels
        careers, test = (splits["train"], splits["validation"]), splits["test"]
        place, stages = self.place(f"{cell.market}, {cell.model}, {cell.seed}"), {"two_stage": cell.two_stage}
        if not cell.volume:
            rate = settings.scratch_rate
            made = train_from_scratch(place, settings, *careers, labels, rate=rate, seed=cell.seed, **stages)
        else:
            corpus = self.folder / "corpora" / cell.market
            parts = load_resumes(corpus / "resumes", cell.volume), load_resumes(corpus / "held out")
            of_corpus = self.place(f"{cell.market}, {cell.volume} resumes, {cell.seed}")
            pretrained, old = pretrain(of_corpus, settings, *parts, labels, seed=cell.seed, eval_steps=250)
            processor = carry_over(pretrained, old, splits["train"], labels, cell.seed)
            self.keep_table(cell.market, f"{cell.model}, zero-shot", cell.seed, pretrained, processor, test)
            rate = settings.finetuning_rate
            made = fine_tune(place, settings, pretrained, processor, *careers, rate=rate, seed=cell.seed)
        self.keep_table(cell.market, cell.model, cell.seed, *made, test)

    def report(self) -> StudyResult:
        """One row per finding and market in `findings`, every model in `models`."""
        tables = {market: found for market, found in self.world_tables().items() if market in self.settings.markets}
        found, models = two_markets_table(tables, self.settings), models_table(tables, self.settings)
        log = training_log(self.folder)
        hours = log["hours"].sum() if len(log) else 0.0
        summary = pd.Series({"hours of training, one core": hours}, name="summary")
        shown = found.assign(nats=with_interval(found, "nats", "low", "high", 3, "+"))
        page = page_of(
            {"Findings": shown.pivot(index="finding", columns="market", values="nats").loc[found["finding"].unique()]}
        )
        parts = {"findings": found, "models": models, "summary": summary}
        return StudyResult(parts, {"findings": markets_figure(found)}, page)


def two_markets_table(tables: WorldTables, settings: MarketsSettings) -> pd.DataFrame:
    """One row per finding and market: steps, contrast with its interval, sd over seeds, and share of the gap.

    A finding about models that were not trained is left out.
    """
    few, many = (f"pretrained on {volume} resumes" for volume in (min(settings.volumes), max(settings.volumes)))
    claims: list[tuple[str, str, str, dict[str, Any]]] = [
        ("the truth beats the Markov chain", "floor", CHAIN, {}),
        ("its gain is larger at returns than at new occupations", "floor", CHAIN, {"classes": ("return", "new")}),
        ("its gain is larger at returns than at stays", "floor", CHAIN, {"classes": ("return", "stay")}),
        ("to learn a person's type from the past pays", "floor", NO_INFERENCE, {}),
        ("two earlier occupations say more than one", "Markov-2", CHAIN, {}),
        ("CAREER beats the Markov chain", "two-stage", CHAIN, {}),
        ("two stages beat one", "two-stage", "one-stage", {}),
        (PRETRAINING_PAYS, many, "two-stage", {}),
        (
            "pretraining gains more at returns than at new occupations",
            many,
            "two-stage",
            {"classes": ("return", "new")},
        ),
        ("pretraining gains more at returns than at stays", many, "two-stage", {"classes": ("return", "stay")}),
        (f"{min(settings.volumes):,} resumes already pay", few, "two-stage", {}),
        (f"{max(settings.volumes):,} resumes are better than {min(settings.volumes):,}", many, few, {}),
        ("pretrained without fine-tuning is worse than the Markov chain", CHAIN, f"{many}, zero-shot", {}),
        ("between occupations, given work, it is better", f"{many}, zero-shot", CHAIN, {"given_work": True}),
    ]
    rows = []
    for finding, better, worse, rest in claims:
        for market in settings.markets:
            if better not in tables[market] or worse not in tables[market]:
                continue
            contrast = Contrast(finding, market, False, market, better, worse, **rest)
            rows.append({"finding": finding, "market": market, **measure(tables[market], contrast, settings.draws)})
    return pd.DataFrame(rows)


def markets_figure(found: pd.DataFrame) -> Figure:
    """Every finding on each market, in nats per step with 95% intervals."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    findings, markets = list(found["finding"].unique()), list(found["market"].unique())
    for i, (market, color) in enumerate(zip(markets, (BLUE, ORANGE), strict=False)):
        rows = found[found["market"] == market].set_index("finding").reindex(findings[::-1])
        place = np.arange(len(rows)) + 0.24 * (0.5 - i)
        axes.errorbar(rows["nats"], place, xerr=whiskers(rows, "nats"), fmt="o", capsize=3, color=color, label=market)
    axes.set_yticks(range(len(findings)), findings[::-1])
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.grid(axis="x", alpha=0.3)
    axes.set(title="Headline findings on two markets", xlabel="nats per step (95% intervals); above 0 it holds")
    axes.legend()
    return figure


@studies.command()
def markets(
    output: Output,
    workers: Workers = 2,
    seeds: Seeds = 3,
    most_steps: Annotated[
        int, typer.Option(help="Updates of a model at most; pretraining has a fifth more.", min=5)
    ] = MarketsSettings.most_steps,
) -> None:
    """The headline findings on the drawn market and on the one that is fitted to the NLSY79; with --seeds 0, those
    that need no trained model."""
    settings = MarketsSettings(
        seeds=seeds, pretraining_seeds=min(seeds, 2), most_steps=most_steps, pretraining_steps=most_steps * 6 // 5
    )
    result = MarketsStudy(output, settings).run(workers)
    columns = ["nats", "low", "high", "seed_sd", "share_of_gap"]
    for finding, rows in result["findings"].groupby("finding", sort=False):
        show(rows.set_index("market")[columns], f"{finding}: nats per step, 95% intervals")
    show(result["models"].set_index(["world", "model"]).drop(columns=["standard_error"]), "Models beside the floor")
    show(result["summary"].to_frame(), str(output))
