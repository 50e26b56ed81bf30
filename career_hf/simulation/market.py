"""Draws a market by the name of its preset: a survey with its truth, or a corpus of resumes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..careers.describing import describe
from ..careers.ledger import Ledger
from ..evaluation.metrics import summarize
from ..number_ranges import within_ranges
from ..readable_values import ReadableResult
from .model import TrueOccupationModel, world_processor
from .oracles import expectations, floors, oracle_summary
from .presets import RESUMES, preset
from .resumes import load_resumes, write_resumes
from .saving import save_simulation, write_resume_card
from .survey import Simulation
from .world import World


@dataclass(frozen=True, repr=False)
class MarketReport(ReadableResult):
    """A simulated survey, and how predictable its careers are.

    Args:
        simulation: Careers, types and world.
        description: What `describe` counts, one count per row.
        floors: Metrics of the truth, one row for each knowledge: of the type, of the past (the floor), of neither.
        oracles: What `oracle_summary` returns; its z is standard normal if the probabilities are right.
    """

    simulation: Simulation
    description: pd.Series
    floors: pd.DataFrame
    oracles: pd.Series

    def to_frame(self) -> pd.DataFrame:
        """The table `floors`."""
        return self.floors

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Saves careers, truth and types, as `save_simulation` does."""
        save_simulation(self.simulation, folder, overwrite=overwrite)


@dataclass(frozen=True, repr=False)
class ResumeReport(ReadableResult):
    """A simulated corpus of resumes, saved in a folder.

    Args:
        folder: Folder of the corpus, which `load_resumes` reads.
        ledger: What was dropped and altered.
        description: What `describe` counts, one count per row.
    """

    folder: Path
    ledger: Ledger
    description: pd.Series

    def to_frame(self) -> pd.DataFrame:
        """The counts as a frame with one column."""
        return self.description.to_frame("resumes")


@within_ranges
def draw_market(
    name: str = "survey",
    *,
    output: str | Path | None = None,
    people: int | None = None,
    seed: int = 0,
    departure: float = 0.0,
    overwrite: bool = False,
) -> MarketReport | ResumeReport:
    """Draws careers from a labor market whose true probabilities are known.

    Args:
        name: Name of the preset. Surveys: tiny, kw, survey, nlsy79 (fitted to the NLSY79); surveys without one
            mechanism: markov, one_type, no_returns, gender_free; resumes: resume, scaling.
        output: Destination folder; resumes need one, because they can be larger than memory.
        people: Number of people drawn; by default that of the preset.
        seed: Random seed for drawing people; the preset fixes the market itself.
        departure: Distance of the resumes' labor market from the survey's: 0 is the same market, 1 another one.
        overwrite: Whether another survey in the folder is replaced; other resumes never are.

    Raises:
        ValueError: If there is no such preset, resumes have no output folder, or the folder holds other careers.
    """
    if name in RESUMES:
        if output is None:
            raise ValueError(f"resumes of preset '{name}' are written part by part: pass output=, a folder")
        world = World.build(preset("survey").with_world(departure=departure).world)
        ledger = write_resumes(world, replace(RESUMES[name], people=people or RESUMES[name].people), output, seed=seed)
        write_resume_card(output, ledger)
        return ResumeReport(Path(output), ledger, describe(load_resumes(output)))
    simulation = preset(name).simulate(people, seed)
    tables, truth = floors(simulation), TrueOccupationModel.of_world(simulation.world)
    entropy = expectations(truth, simulation.careers, world_processor(simulation.world))
    report = MarketReport(simulation, simulation.describe(), summarize(tables).T, oracle_summary(tables, entropy))
    if output is not None:
        report.save(output, overwrite=overwrite)
    return report
