"""`career-hf rationale`: which years of one person's career a model's predictions rest on, as a table and a figure."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show


class RuleName(StrEnum):
    paper = "paper"
    true = "true"
    original = "original"


def rationale(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a CAREER model, best with job dropout.")],
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True)],
    person: Annotated[str, typer.Option(help="Person whose career is explained; looked for in every split.")],
    year: Annotated[
        int | None, typer.Option(help="Year whose occupation is explained; every move if left out.")
    ] = None,
    rule: Annotated[
        RuleName,
        typer.Option(
            help="paper: the likeliest move, until it is the likeliest. true: the move that was made, until it is the "
            "likeliest. original: what followed, stays too, until it is among the two likeliest of everything."
        ),
    ] = RuleName.paper,
    max_size: Annotated[
        int | None, typer.Option(help="Years of a rationale at most, the latest included.", min=1)
    ] = None,
    covariates: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated covariates that the model is given; its others are set to missing. All if left out."
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="File for the figure, a PNG.")] = Path("rationale.png"),
) -> None:
    """Find the few years of a career that are enough for a prediction, like the paper's Figure 3."""
    career_hf.figures.require_matplotlib()
    rationales = career_hf.rationales(
        checkpoint,
        data,
        rule=rule.value,
        person=person,
        year=year,
        max_size=max_size,
        covariates=None if covariates is None else [name for name in covariates.split(",") if name],
        unknown_levels="missing",
    )
    for prediction, table in rationales.by_prediction().items():
        show(table, prediction)
    output.parent.mkdir(parents=True, exist_ok=True)
    career_hf.figures.save(rationales.figure(), output)
    say(f"{output}; 'probability' and 'rank' are those given the row's year and the rows above it")
