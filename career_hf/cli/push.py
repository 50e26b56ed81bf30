"""`career-hf push`: a checkpoint on the Hub in one commit, or what that would be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say, show


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def push(
    folder: Annotated[Path, typer.Argument(help="Folder of a checkpoint.", exists=True, file_okay=False)],
    repo: Annotated[str, typer.Argument(help="USER/NAME on the Hub; made if it is not there.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Upload nothing, show what would be.")] = False,
    public: Annotated[
        bool, typer.Option("--public", help="For everybody; a repository made is private else.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the training careers, to report how rare they are.")
    ] = None,
    k: Annotated[
        int, typer.Option(help="Counts are rounded up to multiples of it; cells of fewer people are rare.", min=1)
    ] = 5,
    with_code: Annotated[
        bool, typer.Option("--with-code", help="Of CAREER: its source too, for trust_remote_code without career_hf.")
    ] = False,
    override_licence: Annotated[
        str | None,
        typer.Option(help="Who permitted it, in words, where the record does not: written into the card."),
    ] = None,
) -> None:
    """Publish model, processor, card and results in one commit; refuses what its training data do not allow."""
    import pandas as pd

    from ..sharing.publishing import publish

    found = publish(
        folder,
        repo,
        dry_run=dry_run,
        private=not public,
        override_licence=override_licence,
        data=data,
        k=k,
        with_code=with_code,
    )
    kept = pd.DataFrame({"bytes": found.files["bytes"].to_numpy()}, index=found.files["file"].to_numpy())
    show(kept, f"Files {'that would be ' if dry_run else ''}uploaded to {repo}")
    if len(found.left_out):
        show(found.left_out.set_index("file"), "Not uploaded")
    if len(found.stored):
        show(found.stored, f"Person-years that the processor counts, before it is rounded to multiples of {k}")
    if found.rare is not None:
        show(found.rare, f"Training careers: what fewer than {k} of {found.rare.attrs['people']:,} people share")
    for notice in found.notices:
        say(f"Notice: {notice}")
    for refusal in found.refusals:
        say(f"would be refused: {refusal}")
    say("dry run: nothing was sent" if found.commit is None else f"published {found.commit}")
