"""One call draws a market by the name of its preset: a survey and what is true of it, or a corpus of resumes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..careers.describing import describe
from ..careers.ledger import Ledger
from ..evaluation.metrics import summarize
from .model import TrueOccupationModel, world_processor
from .oracles import expectations, floors, oracle_summary
from .presets import RESUMES, preset
from .resumes import load_resumes, write_resumes
from .saving import save_simulation, write_resume_card
from .survey import Simulation
from .world import World


@dataclass(frozen=True)
class MarketReport:
    """A simulated survey, and how predictable its careers are.

    Args:
        simulation: Careers, types and world.
        description: Counts of what the careers hold, one by row.
        floors: Metrics of the truth, one model by row: knowing the type, the past (the floor), and neither.
        oracles: What `oracle_summary` returns; its z is standard normal if the truth is true.
    """

    simulation: Simulation
    description: pd.Series
    floors: pd.DataFrame
    oracles: pd.Series

    def to_frame(self) -> pd.DataFrame:
        """The table `floors`."""
        return self.floors

    def save(self, folder: str | Path) -> None:
        """Saves careers, truth and types, as `save_simulation` does."""
        save_simulation(self.simulation, folder)


@dataclass(frozen=True)
class ResumeReport:
    """A simulated corpus of resumes, which lies in its folder.

    Args:
        folder: The folder, which `load_resumes` reads.
        ledger: What was dropped and altered.
        description: Counts of what the careers hold, one by row.
    """

    folder: Path
    ledger: Ledger
    description: pd.Series

    def to_frame(self) -> pd.DataFrame:
        """The counts as a frame with one column."""
        return self.description.to_frame("resumes")


def draw_market(
    name: str = "survey",
    *,
    output: str | Path | None = None,
    people: int | None = None,
    seed: int = 0,
    departure: float = 0.0,
) -> MarketReport | ResumeReport:
    """Draws careers from a labor market whose true probabilities are known.

    Args:
        name: A survey: tiny, kw, survey, or a control: markov, one_type, no_returns, gender_free. Or resumes: resume,
            scaling.
        output: Destination folder. Resumes, which can be larger than memory, need one.
        people: Sample size; the preset's unless given.
        seed: Random seed for drawing people; the world has a seed of its own.
        departure: How far the labor market of resumes is from that of the survey: 0 is the same, 1 another one.

    Raises:
        ValueError: There is no such preset, or resumes have no output folder.
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
        report.save(output)
    return report
