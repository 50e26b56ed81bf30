"""How often intervals of forecasts hold the truth, by horizon: worlds of households whose law is known.

A Markov chain is fitted once. In each world it forecasts other people, who are not quite like it: members of a
household stay where they are more, or less, than others, which no model sees, so that intervals have to be clustered
by household. What its forecasts are worth to everybody follows from powers of transition matrices, and what sampling
trajectories does to them from its own exact law.
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
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.metrics import by_horizon
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
TRAINING_HOUSEHOLDS = 1_000


@dataclass(frozen=True)
class CoverageSettings:
    """Settings of the study.

    Args:
        worlds: Number of worlds.
        households: Number of households in each, of one to three people.
        samples: Trajectories of each person.
        draws: Resamples of households behind intervals.
    """

    worlds: int = 200
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
    def chain(self) -> Made:
        """The chain that forecasts in every world."""
        careers = draw_careers(TRAINING_HOUSEHOLDS, np.random.default_rng(10_000))
        processor = CareerProcessor.fit(careers, covariates=(), occupations=LABELS)
        encoded, _ = processor.encode(careers)
        return MarkovForOccupationPrediction.fit(encoded, processor, first_order_weight=0.9), processor

    @cached_property
    def logs(self) -> np.ndarray:
        """`(horizons, occupations, occupations)` log-probabilities of the chain's exact forecasts."""
        model, processor = self.chain
        ids = torch.tensor(processor.occupation_ids(LABELS))
        with torch.inference_mode():
            matrix = model(ids[:, None]).logits[:, 0].double().exp()[:, ids].numpy()
        return np.log([np.linalg.matrix_power(matrix, step) for step in range(1, len(YEARS) + 1)])

    @cached_property
    def truth(self) -> np.ndarray:
        """`(horizons,)` log-perplexities of the exact forecasts for everybody."""
        found: np.ndarray = np.zeros(len(YEARS))
        for matrix in map(transitions, STAY):
            last = shares() @ np.linalg.matrix_power(matrix, CUTOFF - FIRST_YEAR)
            for step in range(len(YEARS)):
                found[step] -= last @ (np.linalg.matrix_power(matrix, step + 1) * self.logs[step]).sum(axis=1)
        return found / len(STAY)

    def world(self, world: int) -> None:
        """Intervals of one world beside the truth."""
        realised = realised_years(
            draw_careers(self.settings.households, np.random.default_rng(world)), CUTOFF, YEARS, "survivors"
        )
        rows = list(self.intervals(realised, world))
        write_table(self.at(world), pd.DataFrame(rows, columns=["interval", "truth", "estimate", "low", "high"]))

    def intervals(self, realised: Realised, seed: int) -> Iterator[tuple[str, float, float, float, float]]:
        """Log-perplexity by horizon for everybody, and what sampling does to that of these people."""
        model, processor = self.chain
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
        scores = by_horizon(table, draws=self.settings.draws)
        codes = [pd.Categorical(table[name], categories=LABELS).codes for name in ("previous", "occupation")]
        exact = -self.logs[table["step"].to_numpy() - 1, codes[0], codes[1]]
        for step, year in enumerate(YEARS):
            row = scores.loc[year]
            estimate = np.log(row["perplexity"])
            ends = np.log(row[["low", "high"]].to_numpy(dtype=float))
            yield f"log-perplexity, {step + 1} steps ahead", self.truth[step], estimate, *ends
            error = 1.96 * row["monte_carlo"] / row["perplexity"]
            if error > 0:
                own = exact[(table["year"] == year).to_numpy()].mean()
                yield f"sampling error, {step + 1} steps ahead", own, estimate, estimate - error, estimate + error
                raw = np.log(row["perplexity"] + row["monte_carlo_bias"])
                name = f"the same with the bias left in, {step + 1} steps ahead"
                yield name, own, raw, raw - error, raw + error
        row = scores.loc["all"]
        ends = np.log(row[["low", "high"]].to_numpy(dtype=float))
        yield "log-perplexity, all steps", self.truth.mean(), np.log(row["perplexity"]), *ends

    def report(self) -> StudyResult:
        worlds = pd.concat([pd.read_csv(self.at(world)) for world in range(self.settings.worlds)])
        table = worlds_as_text(coverage(worlds))
        return StudyResult({"coverage": table}, page=page_of({"Coverage": table}))


@studies.command("coverage-forecasts")
def coverage_forecasts(
    output: Output,
    worlds: Annotated[int, typer.Option(help="Number of worlds.", min=2)] = 200,
    workers: Workers = 1,
) -> None:
    """Coverage of the intervals of forecasts by horizon, clustered by household, and of their sampling error."""
    result = CoverageOfForecasts(output, CoverageSettings(worlds=worlds)).run(workers)
    typer.echo(result.page)
