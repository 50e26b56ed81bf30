"""`career-hf card`: evaluates a checkpoint and writes its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say
from .options import Draws, names


def card(
    folder: Annotated[Path, typer.Argument(help="Folder of a checkpoint.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of careers to evaluate the checkpoint on. If left out, the card has earlier results."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the careers to evaluate on.")] = "test",
    by: Annotated[str, typer.Option(help="Comma-separated columns of the careers to audit by, such as gender.")] = "",
    draws: Draws = 1000,
    name: Annotated[str | None, typer.Option(help="Heading of the card; the folder's name if left out.")] = None,
    note: Annotated[str | None, typer.Option(help="Text that readers of the card should read first.")] = None,
) -> None:
    """Write a checkpoint's model card, README.md: data, licence, recipe, results with intervals, audit, cost, code."""
    career_hf.write_model_card(folder, data, split=split, by=names(by), draws=draws, name=name, note=note)
    say(f"wrote {folder / 'README.md'}")
