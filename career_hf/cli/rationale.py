"""`career-hf rationale`: the years of a career that are enough for a model's predictions, as tables and a figure."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Data, names


class RuleName(StrEnum):
    paper = "paper"
    true = "true"
    original = "original"


def rationale(
    checkpoint: Annotated[
        str, typer.Argument(help="Folder or Hub id of a CAREER model, best trained with job dropout.")
    ],
    data: Data,
    person: Annotated[str, typer.Option(help="Person whose career is explained, from any split.")],
    year: Annotated[
        int | None, typer.Option(help="Year whose occupation is explained; every move if left out.")
    ] = None,
    rule: Annotated[
        RuleName,
        typer.Option(
            help="paper explains the likeliest move, until it ranks first. true explains the "
            "move that was made, until it "
            "ranks first. original explains the occupation that followed, also after a stay, until it ranks first or "
            "second of all."
        ),
    ] = RuleName.paper,
    max_size: Annotated[
        int | None, typer.Option(help="Maximum number of years in a rationale, the latest included.", min=1)
    ] = None,
    covariates: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated covariates that the model is given; its others are set to missing. All if left out."
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Destination file of the figure, a PNG.")] = Path("rationale.png"),
) -> None:
    """Find the few years of a career that are enough for a prediction, as in the paper's Figure 3."""
    career_hf.figures.require_matplotlib()
    rationales = career_hf.rationales(
        checkpoint,
        data,
        rule=rule.value,
        person=person,
        year=year,
        max_size=max_size,
        covariates=None if covariates is None else names(covariates),
        unknown_levels="missing",
    )
    for prediction, table in rationales.by_prediction().items():
        show(table, prediction)
    output.parent.mkdir(parents=True, exist_ok=True)
    career_hf.figures.save(rationales.figure(), output)
    say(f"{output}; 'probability' and 'rank' are those given the years in this row and the rows above it")
