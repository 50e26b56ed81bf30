"""`career-hf displacement`: what became of displaced people, against their forecast from the years before."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Data, Draws, Weighted, how_weighted, names


class Comparison(StrEnum):
    not_displaced = "not_displaced"
    never_displaced = "never_displaced"
    none = "none"


def displacement(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model.")],
    data: Data,
    events: Annotated[
        Path | None,
        typer.Option(
            help="Table of who was displaced and when (CSV or Parquet): person, year. Without it the event is the "
            "first step in --state after a step at work.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    state: Annotated[str, typer.Option(help="State that is the event, without a table.")] = "unemployed",
    split: Annotated[str, typer.Option(help="Split of the careers.")] = "test",
    horizon: Annotated[int, typer.Option(help="Number of steps after the event.", min=0)] = 3,
    lead: Annotated[int, typer.Option(help="Number of steps before the event after which nothing is known.")] = 1,
    comparison: Annotated[Comparison, typer.Option(help="People without the event who are compared.")] = (
        Comparison.not_displaced
    ),
    match: Annotated[
        str, typer.Option(help="Comma-separated covariates, or occupation, that compared people share.")
    ] = "",
    people: Annotated[int | None, typer.Option(help="Most people compared in each event year.", min=1)] = None,
    samples: Annotated[int, typer.Option(help="Number of trajectories of each person.", min=2)] = 200,
    weighted: Weighted = False,
    draws: Draws = 1000,
    output: Annotated[Path | None, typer.Option(help="Destination folder of the tables and the figure.")] = None,
) -> None:
    """Compare what people did after an event, such as the loss of a job, with a forecast from before it."""
    found = career_hf.displacement(
        checkpoint,
        data,
        events,
        state=state,
        split=split,
        horizon=horizon,
        lead=lead,
        comparison=comparison.value,
        match=names(match),
        people=people,
        samples=samples,
        draws=draws,
        weighted=weighted,
    )
    show(found.with_intervals(), f"Realised less forecast, by years since the event; {how_weighted(weighted)}")
    say(str(found.ledger))
    if output is not None:
        found.save(output, figures=find_spec("matplotlib") is not None)
        say(f"saved {output}")
