"""`career-hf audit`: size, perplexity, accuracy and calibration of a scored model by demographic group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Draws, names


def audit(
    table: Annotated[
        Path,
        typer.Argument(help="Transition table: a Parquet file that `evaluate --output` writes.", exists=True),
    ],
    by: Annotated[str, typer.Option(help="Comma-separated columns, such as gender,race; several are combined.")],
    weighted: Annotated[bool, typer.Option("--weighted", help="Use survey weights, or raked weights.")] = False,
    bins: Annotated[int, typer.Option(help="Number of bins of calibration errors.", min=1)] = 10,
    draws: Draws = 1000,
    output: Annotated[Path | None, typer.Option(help="Destination file of the numbers, a CSV.")] = None,
) -> None:
    """Audit one model by group: size, perplexity, accuracy and calibration, with intervals."""
    report = career_hf.audit(table, names(by), weighted=weighted, bins=bins, draws=draws)
    wide, unit = report.side_by_side(), report.to_frame().attrs["clusters"]
    calibration = [name for name in wide.columns if name.startswith(("gap", "error"))]
    how = "weighted" if weighted else "not weighted"
    show(wide.drop(columns=calibration), f"{table} by {by}, {how}; 95% intervals clustered by {unit}")
    show(wide[calibration], "Calibration of staying, and of the likeliest occupation")
    say(
        "gap: mean probability less observed share; error: expected calibration error, which chance alone makes "
        "positive. Its interval allows for that: only a lower end above 0 is evidence against the model"
    )
    if report.note:
        say(report.note)
    if output is not None:
        report.save(output)
        say(f"saved {output}")
