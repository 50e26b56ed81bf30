"""How often intervals of transition matrices' cells hold the truth, in the worlds of `coverage_forecasts`.

Occupations are of three groups. What everybody does, and what the chain implies for everybody, follows from the
transition matrices; intervals are clustered by household, and those of differences are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer

from career_hf.encoding.processing_career import CareerProcessor
from career_hf.explaining.transitions import transitions as transition_matrix
from career_hf.rivals.markov import MarkovForOccupationPrediction

from .coverage_forecasts import FIRST_YEAR, LABELS, STAY, TRAINING, YEARS, draw_careers, shares, transitions
from .coverage_wages import coverage, worlds_as_text
from .study import Made, Output, StudyResult, Workers, WorldsStudy, page_of, studies, write_table


# Groups by how frequent occupations are, and the place of each group's first occupation.
FIRST_PLACES = {"frequent": 0, "less frequent": 5, "rare": 20}
GROUPS = {
    label: [name for name, first in FIRST_PLACES.items() if first <= place][-1] for place, label in enumerate(LABELS)
}


@dataclass(frozen=True)
class CoverageSettings:
    """Settings of the study.

    Args:
        worlds: Number of worlds.
        households: Number of households in each, of one to three people.
        draws: Resamples of households behind intervals.
    """

    worlds: int = 400
    households: int = 60
    draws: int = 400


@dataclass(frozen=True)
class CoverageOfTransitions(WorldsStudy):
    """The study in its folder."""

    settings: CoverageSettings
    float_formats = "%.4f"

    @cached_property
    def chain(self) -> Made:
        """The chain whose implied moves are compared with what is observed."""
        careers = draw_careers(TRAINING["rough chain"], np.random.default_rng(10_000))
        processor = CareerProcessor.fit(careers, covariates=(), occupations=LABELS)
        encoded, _ = processor.encode(careers)
        return MarkovForOccupationPrediction.fit(encoded, processor, first_order_weight=0.9), processor

    @cached_property
    def truth(self) -> dict[str, pd.DataFrame]:
        """Shares of everybody, "observed" and "implied": previous groups in rows, groups in columns."""
        model, processor = self.chain
        ids = torch.tensor(processor.occupation_ids(LABELS))
        with torch.inference_mode():
            law = model(ids[:, None]).logits[:, 0].double().exp()[:, ids].numpy()
        before, moves = np.zeros(len(LABELS)), np.zeros((len(LABELS), len(LABELS)))
        for matrix in map(transitions, STAY):
            now = shares()
            for _ in range(YEARS[-1] - FIRST_YEAR):
                before, moves = before + now, moves + now[:, None] * matrix
                now = now @ matrix
        member = pd.get_dummies(pd.Series(LABELS).map(GROUPS))[list(FIRST_PLACES)].to_numpy(dtype=float)
        mass = (before @ member)[:, None]
        named = {"index": list(FIRST_PLACES), "columns": list(FIRST_PLACES)}
        return {
            "observed": pd.DataFrame(member.T @ moves @ member / mass, **named),
            "implied": pd.DataFrame(member.T @ (before[:, None] * law) @ member / mass, **named),
        }

    def world(self, world: int) -> None:
        """Intervals of one world beside the truth."""
        careers = draw_careers(self.settings.households, np.random.default_rng(world))
        found = transition_matrix(self.chain, careers, groups=GROUPS, draws=self.settings.draws).to_frame()
        rows = []
        for row in found.itertuples():
            observed, implied = (
                self.truth[name].loc[row.previous, row.occupation] for name in ("observed", "implied")
            )
            cell = f"{row.previous} to {row.occupation}"
            rows += [
                (f"observed, {cell}", observed, row.observed, row.observed_low, row.observed_high),
                (f"implied, {cell}", implied, row.implied, row.implied_low, row.implied_high),
                (f"difference, {cell}", implied - observed, row.difference, row.low, row.high),
            ]
        write_table(self.at(world), pd.DataFrame(rows, columns=["interval", "truth", "estimate", "low", "high"]))

    def report(self) -> StudyResult:
        worlds = pd.concat([pd.read_csv(self.at(world)) for world in range(self.settings.worlds)])
        # Rows of fewer than ten households have no interval.
        table = worlds_as_text(coverage(worlds.dropna()).sort_index())
        return StudyResult({"coverage": table}, page=page_of({"Coverage": table}))


@studies.command("coverage-transitions")
def coverage_transitions(
    output: Output,
    worlds: Annotated[int, typer.Option(help="Number of worlds.", min=2)] = 400,
    workers: Workers = 1,
) -> None:
    """Coverage of the intervals of transition matrices' cells, clustered by household."""
    result = CoverageOfTransitions(output, CoverageSettings(worlds=worlds)).run(workers)
    typer.echo(result.page)
