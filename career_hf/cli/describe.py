"""`career-hf describe`: counts what careers hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say, show


def describe(
    folders: Annotated[list[Path], typer.Argument(help="Careers, as `prepare` writes them.", exists=True)],
    plot: Annotated[bool, typer.Option("--plot", help="Draw into FOLDER/figures.")] = False,
) -> None:
    """Count what careers hold, as the paper's Tables 6 and 7 do; draw sequences, states, lengths and transitions."""
    from importlib.util import find_spec

    import pandas as pd
    from datasets import concatenate_datasets

    from ..careers.describing import describe
    from ..careers.frames import load_careers

    if plot and find_spec("matplotlib") is None:
        raise typer.BadParameter("figures are drawn with matplotlib: pip install 'career_hf[studies]'")
    columns = {}
    for folder in folders:
        careers = concatenate_datasets(list(load_careers(folder).values()))
        columns[str(folder) if folder.name in columns else folder.name] = describe(careers)
        if plot:
            from ..figures.careers import description_figures

            for path in description_figures(folder / "figures", careers):
                say(f"drew {path}")
    show(pd.concat(columns, axis=1), "Careers")
