"""`career-hf transitions`: compares the moves that a model implies with observed moves."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Data, Draws, Weighted, how_weighted, models_held


class Groups(StrEnum):
    occupation = "occupation"
    group = "group"
    major_group = "major_group"
    census_group = "census_group"


def transitions(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model, or folder of an ensemble.")],
    data: Data,
    split: Annotated[str, typer.Option(help="Split of the careers to count.")] = "test",
    groups: Annotated[Groups, typer.Option(help="States: single occupations, or broad groups of occ1990dd.")] = (
        Groups.group
    ),
    by: Annotated[str | None, typer.Option(help="Covariate whose levels each get a matrix.")] = None,
    weighted: Weighted = False,
    draws: Draws = 1000,
    output: Annotated[Path | None, typer.Option(help="Destination folder of the table and the figures.")] = None,
) -> None:
    """Compare the moves between occupations or broad groups that a model implies with those that were observed."""
    moves = career_hf.transitions(
        checkpoint, data, split=split, groups=groups.value, by=by, weighted=weighted, draws=draws
    )
    held = models_held(moves.to_frame().attrs["members"])
    for level, moves_of_level in moves.by_level().items():
        suffix = f"; {by}: {level}" if by is not None else ""
        implied, difference = (100 * moves_of_level.matrix(column) for column in ("implied", "difference"))
        show(implied, f"Percent implied, from a row's state to a column's{suffix}; {how_weighted(weighted)}{held}")
        show(difference, f"Implied less observed, percentage points{suffix}")
        beyond, cells = moves_of_level.beyond_chance()
        say(
            f"{beyond} of {cells} cells in which {moves.fewest_expected} steps or more are implied have a 95% "
            f"interval of the difference without zero; {0.05 * cells:.0f} would if the model were the truth"
        )
        if few := moves_of_level.too_few():
            say(f"too few people (households, PSUs) to judge: {', '.join(few)}")
    if output is not None:
        moves.save(output, figures=find_spec("matplotlib") is not None)
        say(f"saved {output}")
