"""`career-hf recode-coding-noise`: takes moves that are likely to be wrong codes out of careers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Data, Output, names, numbers_by_name


class RecodeTo(StrEnum):
    commonest = "commonest"
    first = "first"


def recode_coding_noise(
    data: Data,
    output: Output,
    round_trip: Annotated[
        int,
        typer.Option(
            help="Most steps of a spell that is recoded between two of one occupation (A-B-A); 0 for none.", min=0
        ),
    ] = 1,
    signals: Annotated[
        str,
        typer.Option(
            help="Columns of labels whose change confirms a move, such as employer,industry, comma-separated."
        ),
    ] = "",
    smallest_changes: Annotated[
        str,
        typer.Option(help="Columns of numbers whose change confirms a move, with the smallest, such as log_wage=.2."),
    ] = "",
    recode_to: Annotated[
        RecodeTo,
        typer.Option(help="Code of the steps between two moves that are kept; the first needs no later year."),
    ] = RecodeTo.commonest,
    keep_codes: Annotated[
        bool,
        typer.Option("--keep-codes", help="Keep all codes, and add only the column that says what rules would do."),
    ] = False,
) -> None:
    """Recode moves that are likely to be wrong codes: A-B-A, and moves that no other signal confirms."""
    recoded = career_hf.recode_coding_noise(
        data,
        round_trip=round_trip,
        signals=names(signals),
        smallest_changes=numbers_by_name(smallest_changes),
        recode_to=recode_to.value,
        keep_codes=keep_codes,
    )
    recoded.save(output)
    say(recoded.ledger)
    show(recoded.moves, "Moves between occupations at neighbouring steps; share of pairs of steps")
    say(f"saved {output}")
