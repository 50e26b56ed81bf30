"""`career-hf convert`: a checkpoint of the original program as a folder of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say
from .options import names


def convert(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="Checkpoint of CAREER, bag-of-jobs or regression, such as checkpoint_best.pt."),
    ],
    dictionaries: Annotated[
        Path, typer.Option(help="Folder of the binary training data, with job/dict.txt, year/dict.txt and so on.")
    ],
    output: Annotated[Path, typer.Option(help="Destination folder.")],
    heads: Annotated[
        int | None, typer.Option(help="Number of attention heads, if the checkpoint does not tell.", min=1)
    ] = None,
    covariates: Annotated[str, typer.Option(help="Comma-separated covariates, if the checkpoint does not tell.")] = "",
    rename: Annotated[
        list[str] | None,
        typer.Option(
            help="OLD=NEW: a covariate's name in the original and in your careers, such as location=region; may be "
            "repeated."
        ),
    ] = None,
) -> None:
    """Convert a checkpoint of the original program with its dictionaries, without executing anything in it."""
    settings: dict[str, int] = {f"include_{name}": True for name in names(covariates)}
    if heads is not None:
        settings |= {"decoder_attention_heads": heads}
    new_names = {}
    for pair in rename or []:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise typer.BadParameter(f"--rename takes OLD=NEW, such as location=region, not '{pair}'")
        new_names[old] = new
    model, processor = career_hf.convert_checkpoint(
        checkpoint, dictionaries, settings=settings, rename=new_names, output=output
    )
    occupations = len(processor.occupations) - len(processor.special_token_ids)
    say(f"{type(model).__name__}: {occupations} occupations, covariates {processor.covariate_names or 'none'}")
    if processor.covariate_names:
        say("careers need columns of these names; --rename OLD=NEW converts with other ones")
    say(f"saved {output}")
