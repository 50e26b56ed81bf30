"""`career-hf quickstart`: trains, scores and forecasts on the careers that ship with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say, show
from .options import Output, Seed


def quickstart(
    output: Output = Path("runs/quickstart"),
    max_steps: Annotated[int, typer.Option(help="Updates at most.")] = 400,
    seed: Seed = 0,
) -> None:
    """Train CAREER on careers that ship with the package, score it against Markov chains, forecast three people."""
    import torch

    from ..quickstart import quickstart as run

    # A second thread gains a model this small little, and costs it much when another program wants the core.
    torch.set_num_threads(1)
    result = run(output, max_steps=max_steps, seed=seed)
    show(result.description.to_frame("careers"), "Keane-Wolpin careers (the column year is the year of age)")
    show(result.summary.T, "Test careers: perplexity, lower is better; 95% intervals by resampling people")
    for history in result.histories:
        years = result.forecasts[result.forecasts["person"] == history["person"]]
        wide = years.pivot(index="year", columns="occupation", values="probability")
        last = ", ".join(f"{y}: {o}" for y, o in zip(history["year"][-5:], history["occupation"][-5:], strict=True))
        show(wide, f"Person {history['person']}, after {last}")
    say(f"checkpoint: {result.checkpoint}")
