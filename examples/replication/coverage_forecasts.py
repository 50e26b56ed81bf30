"""How often intervals of forecasts hold the truth, by horizon: worlds of households whose law is known.

A Markov chain is fitted once. In each world it forecasts other people, who are not quite like it: members of a
household stay where they are more, or less, than others, which no model sees, so that intervals have to be clustered
by household. What its forecasts are worth to everybody follows from powers of transition matrices, and what sampling
trajectories does to them from its own exact law. A second chain, fitted to few careers, is compared with it by AUCs.

Chance moves a share of .95 by .023 in 90 worlds, and by .007 in 1,000: worlds with exact forecasts are cheap, so there
are many, and some of them are sampled too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from datasets import Dataset

from career_hf.careers import from_frame
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import bootstrap_perplexity
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.metrics import by_horizon, state_auc_differences
from career_hf.forecasting.table import Realised, forecast_table, realised_years
from career_hf.rivals.markov import MarkovForOccupationPrediction

from .coverage_wages import coverage, worlds_as_text
from .study import Made, Output, StudyResult, Workers, WorldsStudy, page_of, studies, write_table


OCCUPATIONS = 60
LABELS = [f"occupation {code:02d}" for code in range(OCCUPATIONS)]
# How likely members of a household are to stay, and those who move to take one of the next five occupations.
STAY = (0.3, 0.75)
NEAR = 0.6
CUTOFF, YEARS = 1993, (1994, 1995, 1996)
FIRST_YEAR = 1990
# Households that the two chains are fitted to.
TRAINING = {"chain": 1_000, "rough chain": 50}
# The state that AUCs are about.
WATCHED = LABELS[0]


@dataclass(frozen=True)
class CoverageSettings:
    """Settings of the study.

    Args:
        worlds: Number of worlds.
        sampled: Number of worlds whose forecasts are sampled too.
        households: Number of households in each, of one to three people.
        samples: Trajectories of each person in sampled forecasts.
        draws: Resamples of households behind intervals.
    """

    worlds: int = 1_000
    sampled: int = 100
    households: int = 60
    samples: int = 300
    draws: int = 400


def shares() -> np.ndarray:
    """Shares of occupations among first ones and far moves: Zipf's law."""
    share = 1 / np.arange(1, OCCUPATIONS + 1)
    return share / share.sum()


def transitions(stay: float) -> np.ndarray:
    """The transition matrix of a household's members."""
    near = sum(np.roll(np.eye(OCCUPATIONS), step, axis=1) for step in range(1, 6)) / 5
    return stay * np.eye(OCCUPATIONS) + (1 - stay) * (NEAR * near + (1 - NEAR) * shares())


def draw_careers(households: int, rng: np.random.Generator) -> Dataset:
    """Careers of the members of households.

    Args:
        households: Number of households.
        rng: Source of randomness.
    """
    home = np.repeat(np.arange(households), rng.integers(1, 4, households))
    kind = rng.integers(len(STAY), size=households)[home]
    cumulative = np.stack([transitions(stay).cumsum(axis=1) for stay in STAY])
    own = rng.choice(OCCUPATIONS, len(home), p=shares())
    years = range(FIRST_YEAR, YEARS[-1] + 1)
    frames = []
    for year in years:
        labels = np.array(LABELS)[own]
        frames.append(pd.DataFrame({"person": np.arange(len(home)), "home": home, "year": year, "occupation": labels}))
        below = cumulative[kind, own] < rng.random((len(home), 1))
        own = below.sum(axis=1).clip(max=OCCUPATIONS - 1)
    return from_frame(pd.concat(frames), group="home")


@dataclass(frozen=True)
class CoverageOfForecasts(WorldsStudy):
    """The study in its folder."""

    settings: CoverageSettings
    float_formats = "%.4f"

    @cached_property
    def chains(self) -> dict[str, Made]:
        """The chains that forecast in every world."""
        made = {}
        for seed, (name, households) in enumerate(TRAINING.items(), start=10_000):
            careers = draw_careers(households, np.random.default_rng(seed))
            processor = CareerProcessor.fit(careers, covariates=(), occupations=LABELS)
            encoded, _ = processor.encode(careers)
            made[name] = MarkovForOccupationPrediction.fit(encoded, processor, first_order_weight=0.9), processor
        return made

    @cached_property
    def laws(self) -> dict[str, np.ndarray]:
        """`(horizons, occupations, occupations)` probabilities of each chain's exact forecasts."""
        found = {}
        for name, (model, processor) in self.chains.items():
            ids = torch.tensor(processor.occupation_ids(LABELS))
            with torch.inference_mode():
                matrix = model(ids[:, None]).logits[:, 0].double().exp()[:, ids].numpy()
            found[name] = np.array([np.linalg.matrix_power(matrix, step) for step in range(1, len(YEARS) + 1)])
        return found

    @cached_property
    def joint(self) -> np.ndarray:
        """`(horizons, occupations, occupations)` shares of everybody by their last occupation and the one to come."""
        found: np.ndarray = np.zeros((len(YEARS), OCCUPATIONS, OCCUPATIONS))
        for matrix in map(transitions, STAY):
            last = shares() @ np.linalg.matrix_power(matrix, CUTOFF - FIRST_YEAR)
            for step in range(len(YEARS)):
                found[step] += last[:, None] * np.linalg.matrix_power(matrix, step + 1) / len(STAY)
        return found

    @cached_property
    def truth(self) -> np.ndarray:
        """`(horizons,)` log-perplexities of the first chain's exact forecasts for everybody."""
        return -(self.joint * np.log(self.laws["chain"])).sum(axis=(1, 2))

    def auc(self, name: str, step: int) -> float:
        """The AUC of being in the watched state, of a chain's exact forecasts for everybody."""
        score, there = self.laws[name][step, :, 0], self.joint[step, :, 0]
        pair = there[:, None] * (self.joint[step].sum(axis=1) - there)
        above = (score[:, None] > score) + 0.5 * (score[:, None] == score)
        return float((pair * above).sum() / pair.sum())

    def world(self, world: int) -> None:
        """Intervals of one world beside the truth."""
        realised = realised_years(
            draw_careers(self.settings.households, np.random.default_rng(world)), CUTOFF, YEARS, "survivors"
        )
        rows = [*self.intervals(realised)]
        if world < self.settings.sampled:
            rows += self.sampled_intervals(realised, world)
        write_table(self.at(world), pd.DataFrame(rows, columns=["interval", "truth", "estimate", "low", "high"]))

    def intervals(self, realised: Realised) -> Iterator[tuple[str, float, float, float, float]]:
        """Of exact forecasts: log-perplexity, and AUCs and their difference, by horizon."""
        draws = self.settings.draws
        tables = {}
        for name, (model, processor) in self.chains.items():
            result = forecast(model, realised.histories, processor, years=YEARS)
            tables[name] = forecast_table(result, realised.rows, watch=[WATCHED])
        levels = bootstrap_perplexity(tables["chain"], draws, by="year")
        for step, year in enumerate(YEARS):
            row = np.log(levels.loc[year, ["perplexity", "low", "high"]].to_numpy(dtype=float))
            yield f"log-perplexity, {step + 1} steps ahead", self.truth[step], *row
        row = np.log(bootstrap_perplexity(tables["chain"], draws).iloc[0][["perplexity", "low", "high"]].astype(float))
        yield "log-perplexity, all steps", self.truth.mean(), *row
        for step, year in enumerate(YEARS):
            of_year = {name: table[table["year"] == year] for name, table in tables.items()}
            found = state_auc_differences(of_year, "rough chain", WATCHED, draws).loc["chain"]
            good, rough = self.auc("chain", step), self.auc("rough chain", step)
            # Too few people in the state, or out of it, have no interval.
            if not np.isnan(found["low"]):
                yield f"AUC of a state, {step + 1} steps ahead", good, *found[["auc", "low", "high"]]
                paired = ["difference", "difference_low", "difference_high"]
                yield f"difference of AUCs, {step + 1} steps ahead", good - rough, *found[paired]

    def sampled_intervals(self, realised: Realised, seed: int) -> Iterator[tuple[str, float, float, float, float]]:
        """What sampling does to the log-perplexity of these people, by horizon."""
        model, processor = self.chains["chain"]
        result = forecast(
            model,
            realised.histories,
            processor,
            years=YEARS,
            samples=self.settings.samples,
            # This chain needs no trajectories; models that need them have as much of an error.
            exact_steps=1,
            seed=seed,
        )
        table = forecast_table(result, realised.rows)
        scores = by_horizon(table, draws=2)
        codes = [pd.Categorical(table[name], categories=LABELS).codes for name in ("previous", "occupation")]
        exact = -np.log(self.laws["chain"][table["step"].to_numpy() - 1, codes[0], codes[1]])
        for step, year in enumerate(YEARS[1:], start=2):
            row = scores.loc[year]
            estimate = np.log(row["perplexity"])
            error = 1.96 * row["monte_carlo"] / row["perplexity"]
            own = exact[(table["year"] == year).to_numpy()].mean()
            yield f"sampling error, {step} steps ahead", own, estimate, estimate - error, estimate + error
            raw = np.log(row["perplexity"] + row["monte_carlo_bias"])
            name = f"the same with the bias left in, {step} steps ahead"
            yield name, own, raw, raw - error, raw + error

    def report(self) -> StudyResult:
        worlds = pd.concat([pd.read_csv(self.at(world)) for world in range(self.settings.worlds)])
        table = worlds_as_text(coverage(worlds))
        return StudyResult({"coverage": table}, page=page_of({"Coverage": table}))


@studies.command("coverage-forecasts")
def coverage_forecasts(
    output: Output,
    worlds: Annotated[int, typer.Option(help="Number of worlds.", min=2)] = 1_000,
    sampled: Annotated[int, typer.Option(help="Number of these whose forecasts are sampled too.", min=0)] = 100,
    workers: Workers = 1,
) -> None:
    """Coverage of the intervals of forecasts by horizon, clustered by household, and of their sampling error."""
    result = CoverageOfForecasts(output, CoverageSettings(worlds=worlds, sampled=sampled)).run(workers)
    typer.echo(result.page)
