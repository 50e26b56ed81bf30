"""`career-hf similar`: finds the people with the most similar careers."""

from __future__ import annotations

from typing import Annotated

import typer

import career_hf

from .console import say
from .options import Data, names


def similar(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model with a representation.")],
    data: Data,
    person: Annotated[list[str], typer.Option(help="Person whose neighbours are wanted; may be repeated.")],
    neighbours: Annotated[int, typer.Option(help="Number of neighbours to show for each person.", min=1)] = 10,
    split: Annotated[
        str, typer.Option(help="Split whose people are compared. 'all' includes people of the training split.")
    ] = "test",
    years: Annotated[
        int, typer.Option(help="Number of first observed years to compare; whole careers if 0.", min=0)
    ] = 0,
    nothing_in_common: Annotated[
        bool, typer.Option("--nothing-in-common", help="Show only people without an occupation in common (Figure 5).")
    ] = False,
    ignored: Annotated[
        str, typer.Option(help="Comma-separated labels that may be in common, such as states without work.")
    ] = "",
) -> None:
    """Find the people with the most similar careers, by the cosine of representations that include the last year."""
    table = career_hf.similar(
        checkpoint,
        data,
        person,
        neighbours=neighbours,
        split=split,
        years=years,
        nothing_in_common=nothing_in_common,
        ignored=names(ignored),
    )
    for name, career in table.attrs["careers"].items():
        say(f"person {name}: {career}")
        for row in table[table["person"] == name].itertuples():
            say(f"{row.similarity:6.3f}  person {row.neighbour}: {row.career}")
