"""`career-hf audit`: size, perplexity, accuracy and calibration of a scored model by demographic group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import reading, say, show


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def audit(
    table: Annotated[
        Path,
        typer.Argument(help="Transition table: a Parquet file that `evaluate --output` writes.", exists=True),
    ],
    by: Annotated[str, typer.Option(help="Comma-separated columns, such as gender,race; combined if several.")],
    weighted: Annotated[bool, typer.Option("--weighted", help="Use survey weights, or raked ones.")] = False,
    bins: Annotated[int, typer.Option(help="Of calibration errors.", min=1)] = 10,
    draws: Annotated[int, typer.Option(help="Resamples of people behind the intervals.")] = 1000,
    output: Annotated[Path | None, typer.Option(help="The numbers, a CSV file.")] = None,
) -> None:
    """Audit one model by group: size, perplexity, accuracy and calibration, with intervals."""
    import pandas as pd

    from ..evaluation.audit import audit as run
    from ..evaluation.audit import side_by_side

    names = [name for name in by.split(",") if name]
    with reading(table):
        steps = pd.read_parquet(table)
    found = run(steps, names, weighted=weighted, bins=bins, draws=draws)
    how = "weighted" if weighted else "not weighted"
    wide = side_by_side(found)
    calibration = [name for name in wide.columns if name.endswith(("_gap", "_error"))]
    show(wide.drop(columns=calibration), f"{table} by {by}, {how}; 95% intervals by resampling people")
    show(wide[calibration], "Calibration of staying, and of the likeliest occupation")
    say(
        "gap: mean probability less what happened; error: expected calibration error, whose interval is how far "
        "chance may carry it, so that only a lower end above 0 says that the model is off"
    )
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        found.to_csv(output, index=False)
        say(f"saved {output}")
