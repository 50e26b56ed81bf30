"""`career-hf rake`: weights with which careers, such as resumes, have the margins of a population."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import names


def rake(
    data: Annotated[Path, typer.Option(help="Folder of the careers to weight, as `prepare` writes it.", exists=True)],
    output: Annotated[Path, typer.Option(help="Destination folder for the careers with weights.")],
    margins: Annotated[
        str,
        typer.Option(help="Covariates whose margins --survey has, comma-separated; a person's latest level counts."),
    ] = "",
    survey: Annotated[
        Path | None, typer.Option(help="Folder of the survey's careers, whose margins are met.", exists=True)
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV file of margins, instead of a survey: columns margin, level and share.", exists=True),
    ] = None,
    largest: Annotated[
        float | None, typer.Option(help="Largest weight allowed, in multiples of the mean; larger ones are trimmed.")
    ] = None,
    drop_missing: Annotated[
        bool,
        typer.Option(
            "--drop-missing", help="Leave out people who lack a level of a margin, instead of refusing them."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace other careers in the output folder.")
    ] = False,
) -> None:
    """Weight careers so that the shares of people by gender, education and so on are those of a survey."""
    if (survey is None) == (table is None) or (survey is not None) != bool(margins):
        raise typer.BadParameter("give --survey with --margins, or --table")
    raked = career_hf.rake(
        data, names(margins) if table is None else table, survey=survey, drop_missing=drop_missing, largest=largest
    )
    raked.save(output, overwrite=overwrite)
    say(raked.ledger)
    show(raked.margins.set_index("margin"), "Shares of people")
    people = len(raked.careers)
    say(
        f"effective sample size {raked.effective_sample_size:,.0f} of {people:,} people; largest weight "
        f"{raked.largest:.2f} times the mean"
    )
    say(f"saved {output}")
