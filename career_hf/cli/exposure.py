"""`career-hf exposure`: attributes of the occupations to which groups of people are likely to go."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Data, Draws, Weighted, how_weighted, names


class Destinations(StrEnum):
    movers = "movers"
    all = "all"


def exposure(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model.")],
    data: Data,
    attributes: Annotated[
        Path | None,
        typer.Option(
            help="Table with a row per occupation (CSV, Parquet or Stata); broad groups of occ1990dd without it.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    occupation: Annotated[str, typer.Option(help="The table's column of occupations.")] = "occupation",
    columns: Annotated[str, typer.Option(help="The table's columns of attributes, comma-separated; or all.")] = "",
    system: Annotated[
        str | None,
        typer.Option(help="Coding of the table's occupations, such as soc2010, if it is not that of the careers."),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the careers.")] = "test",
    by: Annotated[
        str | None, typer.Option(help="What groups people: a covariate, or a text attribute of where they come from.")
    ] = None,
    destinations: Annotated[
        Destinations, typer.Option(help="Destinations of those who move, or whatever comes next.")
    ] = Destinations.movers,
    weighted: Weighted = False,
    draws: Draws = 1000,
    output: Annotated[Path | None, typer.Option(help="Destination folder of the tables and the figure.")] = None,
) -> None:
    """Average attributes of occupations, such as exposure to AI, over the likely destinations of groups."""
    table = career_hf.occupations.attributes(
        attributes, occupation=occupation, columns=names(columns) or None, system=system
    )
    found = career_hf.exposure(
        checkpoint, table, data, by=by, destinations=destinations.value, split=split, draws=draws, weighted=weighted
    )
    show(found.with_intervals(), f"Attributes of destinations; {how_weighted(weighted)}")
    show(found.without.head(20), "Share of the probability on occupations without the attribute")
    say(str(found.ledger))
    if output is not None:
        found.save(output, figures=find_spec("matplotlib") is not None)
        say(f"saved {output}")
