"""`career-hf simulate`: draws careers from a labor market whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

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
    departure: Annotated[float, typer.Option(help="Of resumes: 0 the survey's labor market, 1 another one.")] = 0.0,
    people: Annotated[int | None, typer.Option(help="Sample size; the preset's if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the people; the world has a seed of its own.")] = 0,
) -> None:
    """Draw careers from a labor market whose true probabilities are known; save them and the truth."""
    from .. import simulation as market
    from ..careers.describing import describe
    from ..evaluation.metrics import summarize

    if preset in market.RESUMES:
        world = market.World.build(market.preset("survey").with_world(departure=departure).world)
        resumes = replace(market.RESUMES[preset], people=people or market.RESUMES[preset].people)
        ledger = market.write_resumes(world, resumes, output, seed=seed)
        say(ledger)
        market.write_resume_card(output, ledger)
        show(describe(market.load_resumes(output)).to_frame("resumes"), str(output))
        return
    drawn = market.preset(preset).simulate(people, seed)
    market.save_simulation(drawn, output)
    tables, truth = market.floors(drawn), market.TrueOccupationModel.of_world(drawn.world)
    entropy = market.expectations(truth, drawn.careers, market.world_processor(drawn.world))
    show(drawn.describe().to_frame("careers"), str(output))
    show(summarize(tables).T, "The truth: perplexity knowing the type, the past (the floor), and neither")
    show(market.oracle_summary(tables, entropy).to_frame("oracles"), "z is standard normal if the truth is true")
