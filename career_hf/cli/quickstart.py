"""`career-hf quickstart`: scores and forecasts on the careers that ship with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Output, Seed


def quickstart(
    output: Output = Path("runs/quickstart"),
    max_steps: Annotated[
        int | None, typer.Option(help="Maximum number of updates; 200 if left out.", show_default=False)
    ] = None,
    seed: Seed = 0,
) -> None:
    """Train CAREER on careers that ship with the package, score it against Markov chains, forecast three people."""
    given = {} if max_steps is None else {"max_steps": max_steps}
    result = career_hf.quickstart(output, seed=seed, **given)
    show(result.description.to_frame("careers"), "Keane-Wolpin careers (the column year is the year of age)")
    show(result.summary.T, "Test careers: perplexity, lower is better; 95% intervals by person")
    for person, history, forecast in result.people():
        show(forecast, f"Person {person}, after {history}")
    say(f"checkpoint: {result.checkpoint}")
