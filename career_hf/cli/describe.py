"""`career-hf describe`: counts what careers hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show


def describe(
    folders: Annotated[list[Path], typer.Argument(help="Folders of careers, as `prepare` writes them.", exists=True)],
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw figures into the subfolder `figures` of each folder.")
    ] = False,
) -> None:
    """Count what careers hold, as the paper's Tables 6 and 7 do; draw sequences, states, lengths and transitions."""
    if plot:
        career_hf.figures.require_matplotlib()
    description = career_hf.describe(folders)
    if plot:
        for folder in folders:
            for path in career_hf.figures.description_figures(
                folder / "figures", career_hf.careers.as_careers(folder)
            ):
                say(f"drew {path}")
    show(description, "Careers")
