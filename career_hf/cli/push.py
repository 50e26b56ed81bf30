"""`career-hf push`: publishes a checkpoint on the Hub in one commit, or shows what that would upload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show


def push(
    folder: Annotated[Path, typer.Argument(help="Folder of a checkpoint.", exists=True, file_okay=False)],
    repo: Annotated[str, typer.Argument(help="USER/NAME on the Hub; the repository is made if it is not there.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Upload nothing; show what would be uploaded.")] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public; it is private otherwise.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the training careers, to report how rare they are.")
    ] = None,
    k: Annotated[
        int,
        typer.Option(
            help="Training counts are rounded up to multiples of this number; cells of fewer people are rare.", min=1
        ),
    ] = 5,
    with_code: Annotated[
        bool,
        typer.Option(
            "--with-code", help="For CAREER: upload its source too, for trust_remote_code without career_hf."
        ),
    ] = False,
    override_licence: Annotated[
        str | None,
        typer.Option(help="Who permitted it, in words, where the record does not: written into the card."),
    ] = None,
) -> None:
    """Publish model, processor, card and results in one commit; refuses what its training data do not allow."""
    publication = career_hf.publish(
        folder,
        repo,
        dry_run=dry_run,
        private=not public,
        override_licence=override_licence,
        data=data,
        k=k,
        with_code=with_code,
    )
    show(publication.files.set_index("file"), f"Files {'that would be ' if dry_run else ''}uploaded to {repo}")
    if len(publication.left_out):
        show(publication.left_out.set_index("file"), "Not uploaded")
    if len(publication.stored):
        show(publication.stored, f"Person-years that the processor counts, before it is rounded to multiples of {k}")
    if publication.rare is not None:
        people = publication.rare.attrs["people"]
        show(publication.rare, f"Training careers: what fewer than {k} of {people:,} people share")
    for notice in publication.notices:
        say(f"Notice: {notice}")
    for refusal in publication.refusals:
        say(f"would be refused: {refusal}")
    say("dry run: nothing was sent" if publication.commit is None else f"published {publication.commit}")
