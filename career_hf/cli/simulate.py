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
            help="A survey: tiny, kw, survey, or a control: markov, one_type, no_returns, gender_free. Or resumes: "
            "resume, scaling."
        ),
    ] = "survey",
    departure: Annotated[
        float, typer.Option(help="For resumes: 0 is the survey's labor market, 1 another one.")
    ] = 0.0,
    people: Annotated[int | None, typer.Option(help="Sample size; the preset's if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed for drawing people; the world has a seed of its own.")] = 0,
) -> None:
    """Draw careers from a labor market whose true probabilities are known; save them and the truth."""
    report = career_hf.simulation.draw_market(preset, output=output, people=people, seed=seed, departure=departure)
    if isinstance(report, career_hf.simulation.ResumeReport):
        say(report.ledger)
        show(report.to_frame(), str(output))
        return
    show(report.description.to_frame("careers"), str(output))
    show(report.floors, "The truth: perplexity knowing the type, the past (the floor), and neither")
    show(report.oracles.to_frame("oracles"), "z is standard normal if the truth is true")
