"""How often intervals of the effect of displacement hold the known one, on the simulated market.

In each world other people lose their jobs, and have careers with and without the loss (`simulate_displacement`). The
truth is the effect on everybody who would be displaced, from many people drawn once. Three models forecast from the
years before: the true law, whose forecasts are right; CAREER, trained on other people; and a Markov chain, which is
wrong about careers. Newly hired people are displaced more often and move more, so comparing displaced people with
others without careers ("no model") is wrong too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from datasets import Dataset

from career_hf import displacement, load_checkpoint, train
from career_hf.careers import split_careers, to_frame
from career_hf.occupations.labels import NOT_WORKING
from career_hf.simulation import TrueOccupationModel, World, preset, simulate_displacement, world_processor

from .coverage_wages import coverage, worlds_as_text
from .study import Made, Output, StudyResult, Workers, WorldsStudy, page_of, studies, write_table


YEAR, HORIZON = 1986, 4
# The world's attribute of an occupation: the level of education that it requires.
ATTRIBUTE = "requirement"
COVARIATES = ["year", "education", "region", "race", "gender", "birth_year"]
LAW, CAREER, CHAIN = "the law", "CAREER", "chain"
MODELS = (LAW, CAREER, CHAIN)
NO_MODEL = "no model"


@dataclass(frozen=True)
class CoverageSettings:
    """Settings of the study.

    Args:
        worlds: Number of worlds.
        models: The models that forecast.
        people: Number of people in each.
        compared: Number of people without the event who are compared.
        samples: Trajectories of each person.
        draws: Resamples of people behind intervals.
        training: Number of other people that CAREER and the chain are trained on.
        max_steps: Number of CAREER's updates.
        population: Number of people from whom each part of the truth is taken.
        parts: Number of these parts.
    """

    worlds: int = 100
    models: tuple[str, ...] = MODELS
    people: int = 1_000
    compared: int = 250
    samples: int = 10
    draws: int = 400
    training: int = 3_000
    max_steps: int = 250
    population: int = 60_000
    parts: int = 4


@dataclass(frozen=True)
class CoverageOfDisplacement(WorldsStudy):
    """The study in its folder."""

    settings: CoverageSettings
    float_formats = "%.4f"

    @cached_property
    def market(self) -> World:
        """The world whose people are drawn."""
        return World.build(preset("tiny").world)

    @cached_property
    def attributes(self) -> pd.DataFrame:
        """The level of education that each occupation requires."""
        labels = [label for label in self.market.labels if label not in NOT_WORKING]
        return pd.DataFrame({ATTRIBUTE: self.market.requirement.astype(float)}, index=labels)

    def careers(self, people: int, seed: int) -> Dataset:
        """Careers of other people, nobody of whom is displaced."""
        return simulate_displacement(self.market, year=YEAR, people=people, seed=seed).without

    def prepare(self, workers: int) -> None:
        """Takes the truth from many people, and trains the models."""
        for part in range(self.settings.parts):
            if not (path := self.folder / "truth" / f"{part}.csv").exists():
                size, seed = self.settings.population, 2_000_000 + part
                many = simulate_displacement(self.market, year=YEAR, people=size, seed=seed)
                write_table(path, many.effects(HORIZON, self.attributes))
        splits = split_careers(self.careers(self.settings.training, 1_000_000), {"train": 0.9, "validation": 0.1})
        schedule = {"recipe": "paper", "max_steps": self.settings.max_steps, "eval_steps": 50}
        schedule |= {"tokens_per_batch": 4_000}
        rate = {"learning_rate": 3e-3, "warmup_steps": 0.1, "fields": {"hidden_size": 32, "num_hidden_layers": 2}}
        made = {CAREER: {"covariates": COVARIATES, **schedule, **rate}, CHAIN: {"model": "markov-1"}}
        for name in set(made) & set(self.settings.models):
            if not (self.place(name) / "README.md").exists():
                train(splits, output=self.place(name), resume=self.place(name).exists(), **made[name])

    @cached_property
    def models(self) -> dict[str, Made]:
        """The models that forecast in every world."""
        law = TrueOccupationModel.of_world(self.market), world_processor(self.market)
        return {name: law if name == LAW else load_checkpoint(self.place(name)) for name in self.settings.models}

    @cached_property
    def truth(self) -> pd.Series:
        """The effect by the name of its cell, such as "employed, 1" for a year after the event."""
        parts = [pd.read_csv(self.folder / "truth" / f"{part}.csv") for part in range(self.settings.parts)]
        effect = pd.concat(parts).groupby(["outcome", "event_time"])["effect"].mean()
        return effect.set_axis([f"{outcome}, {time}" for outcome, time in effect.index])

    def world(self, world: int) -> None:
        """Intervals of one world."""
        drawn = simulate_displacement(self.market, year=YEAR, people=self.settings.people, seed=world)
        rows = [*no_model(to_frame(drawn.careers), drawn.events, self.attributes[ATTRIBUTE])]
        for name, made in self.models.items():
            found = displacement(
                made,
                drawn.careers,
                drawn.events,
                horizon=HORIZON,
                attributes=self.attributes,
                people=self.settings.compared,
                samples=self.settings.samples,
                draws=self.settings.draws,
                seed=world,
            ).to_frame()
            for row in found[found["event_time"] > 0].itertuples():
                cell = f"{row.outcome}, {row.event_time}"
                rows.append((f"{name}: {cell}", row.difference, row.difference_low, row.difference_high))
                rows.append((f"{name}, net: {cell}", row.net, row.net_low, row.net_high))
        write_table(self.at(world), pd.DataFrame(rows, columns=["interval", "estimate", "low", "high"]))

    def report(self) -> StudyResult:
        worlds = pd.concat([pd.read_csv(self.at(world)) for world in range(self.settings.worlds)])
        worlds["truth"] = worlds["interval"].str.partition(": ")[2].map(self.truth)
        table = worlds_as_text(coverage(worlds))
        table.insert(0, "truth", worlds.groupby("interval")["truth"].first().round(4))
        return StudyResult({"coverage": table}, page=page_of({"Coverage": table}))


def no_model(
    long: pd.DataFrame, events: pd.DataFrame, attribute: pd.Series
) -> Iterator[tuple[str, float, float, float]]:
    """Means of displaced people less means of others who worked in the year before, with 95% intervals."""
    before = long[long["year"] == YEAR - 1].set_index("person")["occupation"]
    before = before[~before.isin(NOT_WORKING)]
    displaced = before.index.isin(events["person"])
    for time in range(1, HORIZON + 1):
        now = long[long["year"] == YEAR + time].set_index("person")["occupation"].reindex(before.index)
        outcomes = {"employed": (~now.isin(NOT_WORKING)).astype(float), "same occupation": (now == before) * 1.0}
        for outcome, value in {**outcomes, ATTRIBUTE: now.map(attribute)}.items():
            parts = [value[mask].dropna() for mask in (displaced, ~displaced)]
            error = 1.96 * np.sqrt(sum(part.var() / len(part) for part in parts))
            gap = parts[0].mean() - parts[1].mean()
            yield f"{NO_MODEL}: {outcome}, {time}", gap, gap - error, gap + error


@studies.command("coverage-displacement")
def coverage_displacement(
    output: Output,
    worlds: Annotated[int, typer.Option(help="Number of worlds.", min=2)] = 100,
    models: Annotated[str, typer.Option(help=f"Models that forecast, comma-separated: {', '.join(MODELS)}.")] = (
        ",".join(MODELS)
    ),
    workers: Workers = 1,
) -> None:
    """Coverage of the intervals of the effect of displacement, against the known effect."""
    names = tuple(models.split(","))
    if unknown := set(names) - set(MODELS):
        raise typer.BadParameter(f"there is no model {unknown.pop()!r}, only {', '.join(MODELS)}")
    result = CoverageOfDisplacement(output, CoverageSettings(worlds=worlds, models=names)).run(workers)
    typer.echo(result.page)
