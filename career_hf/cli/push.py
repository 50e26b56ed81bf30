"""`career-hf push`: publishes a checkpoint on the Hub in one commit, or shows what would be uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show


def push(
    folder: Annotated[Path, typer.Argument(help="Folder of a checkpoint.")],
    repo: Annotated[str, typer.Argument(help="Repository on the Hub, USER/NAME; it is created if it does not exist.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upload nothing, and show what would be uploaded.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public; it is private otherwise.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the training careers, for a report on rare careers.")
    ] = None,
    k: Annotated[
        int,
        typer.Option(
            help="Number to whose multiples training counts are rounded up; cells of fewer people are rare.", min=1
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
        typer.Option(help="Who permitted publication, in words, if the recorded terms do not. The card quotes it."),
    ] = None,
) -> None:
    """Publish model, processor, card and results in one commit, if the training data allow it."""
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
