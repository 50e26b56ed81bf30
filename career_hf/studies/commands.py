"""`career-hf study NAME`: thin wrappers over the studies, with their tables printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..console import say, show


# Every other import stands inside its command, so that `career-hf --help` answers at once.

study = typer.Typer(
    help="Train and compare many models; write tables and figures. A stopped study goes on.", no_args_is_help=True
)

Output = Annotated[Path, typer.Option(help="Folder of the study.")]


@study.command()
def findings(
    output: Output,
    workers: Annotated[int, typer.Option(help="Processes; each uses one thread.")] = 2,
    seeds: Annotated[int, typer.Option(help="Training seeds.")] = 3,
) -> None:
    """The paper's findings on the simulated market, each beside a control in which it must disappear."""
    from .findings import Settings
    from .findings_tables import findings as run

    found = run(output, Settings(seeds=seeds), workers)
    columns = ["nats", "low", "high", "seed_sd", "share_of_gap", "gap_low", "gap_high"]
    for finding, rows in found.findings.groupby("finding", sort=False):
        show(rows.set_index("case")[columns], f"{finding}: nats per step, 95% intervals by resampling people")
    show(found.models.set_index(["world", "model"]).drop(columns=["standard_error"]), "Models beside the floor")
    show(found.summary.to_frame(), "Pretraining")
    say(f"{output}/findings.csv, models.csv, findings.png")
