"""`career-hf simulate`: draws careers from a labor market whose truth is known."""

from __future__ import annotations

from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Output


def simulate(
    output: Output,
    preset: Annotated[
        str,
        typer.Option(
            help="Preset of the market. Surveys: tiny, kw, survey, nlsy79 (fitted to the NLSY79); surveys without one "
            "mechanism: markov, one_type, no_returns, gender_free; resumes: resume, scaling."
        ),
    ] = "survey",
    departure: Annotated[
        float,
        typer.Option(
            help="Distance of the resumes' labor market from the survey's: 0 is the same market, 1 another one."
        ),
    ] = 0.0,
    people: Annotated[int | None, typer.Option(help="Number of people drawn; by default that of the preset.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed for drawing people; the preset fixes the market itself.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another survey in the output folder.")
    ] = False,
) -> None:
    """Draw careers from a labor market whose true probabilities are known, and save both."""
    report = career_hf.simulation.draw_market(
        preset, output=output, people=people, seed=seed, departure=departure, overwrite=overwrite
    )
    if isinstance(report, career_hf.simulation.ResumeReport):
        say(report.ledger)
        show(report.to_frame(), str(output))
        return
    show(report.description.to_frame("careers"), str(output))
    show(report.floors, "The truth: perplexity knowing the type, the past (the floor), and neither")
    show(report.oracles.to_frame("oracles"), "z is standard normal if the truth is true")
