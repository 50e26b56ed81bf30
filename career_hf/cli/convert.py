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
) -> None:
    """Convert a checkpoint of the original program with its dictionaries, without executing anything in it."""
    settings: dict[str, int] = {f"include_{name}": True for name in names(covariates)}
    if heads is not None:
        settings |= {"decoder_attention_heads": heads}
    model, processor = career_hf.convert_checkpoint(checkpoint, dictionaries, settings=settings, output=output)
    occupations = len(processor.occupations) - len(processor.special_token_ids)
    say(f"{type(model).__name__}: {occupations} occupations, covariates {processor.covariate_names or 'none'}")
    say(f"saved {output}")
