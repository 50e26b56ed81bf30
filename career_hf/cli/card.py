"""`career-hf card`: evaluates a checkpoint and writes its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def card(
    folder: Annotated[Path, typer.Argument(help="Folder of a checkpoint.", exists=True, file_okay=False)],
    data: Annotated[
        Path | None, typer.Option(help="Folder of careers to evaluate it on; earlier results if not given.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which of them.")] = "test",
    by: Annotated[str, typer.Option(help="Comma-separated columns to audit by, such as gender.")] = "",
    draws: Annotated[int, typer.Option(help="Resamples of people behind the intervals.")] = 1000,
    name: Annotated[str | None, typer.Option(help="Heading; the folder's name if not given.")] = None,
    note: Annotated[str | None, typer.Option(help="What its reader should know first.")] = None,
) -> None:
    """Write a checkpoint's model card, README.md: data, licence, recipe, results with intervals, audit, cost, code."""
    from ..sharing.model_card import write_model_card

    names = [column for column in by.split(",") if column]
    write_model_card(folder, data, split=split, by=names, draws=draws, name=name, note=note)
    say(f"wrote {folder / 'README.md'}")
