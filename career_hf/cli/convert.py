"""`career-hf convert`: a checkpoint of the original program as a folder of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="Such as checkpoint_best.pt, of CAREER, bag-of-jobs or regression.")
    ],
    dictionaries: Annotated[Path, typer.Option(help="Binary data it was trained on: job/dict.txt, year/dict.txt ...")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")],
    heads: Annotated[int | None, typer.Option(help="Attention heads, if the checkpoint does not say.", min=1)] = None,
    covariates: Annotated[str, typer.Option(help="Comma-separated, if the checkpoint does not say.")] = "",
) -> None:
    """Convert a checkpoint of the original program, with its dictionaries; nothing in it is executed."""
    from ..original.checkpoint import convert_checkpoint

    settings: dict[str, int] = {f"include_{name}": True for name in covariates.split(",") if name}
    if heads is not None:
        settings |= {"decoder_attention_heads": heads}
    model, processor = convert_checkpoint(checkpoint, dictionaries, settings=settings)
    model.save_pretrained(output)
    processor.save_pretrained(output)
    known = len(processor.occupations) - len(processor.special_token_ids)
    say(f"{type(model).__name__}: {known} occupations, covariates {processor.covariate_names or 'none'}")
    say(f"saved {output}")
