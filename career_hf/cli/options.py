"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer


Output = Annotated[Path, typer.Option(help="Folder to write to.")]
Data = Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True, file_okay=False)]
Seed = Annotated[int, typer.Option(help="Seed of initial weights and of the order of careers.")]
WarmupSteps = Annotated[int, typer.Option(help="Updates to the peak.")]
TokensPerBatch = Annotated[int, typer.Option(help="Person-years of one update.")]
MaxSteps = Annotated[int, typer.Option(help="Updates at most; early stopping usually comes first.")]
EvalSteps = Annotated[int, typer.Option(help="Updates between validations.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the output folder.")]
Patience = Annotated[int, typer.Option(help="Validations without improvement before stopping.")]
Cutoff = Annotated[int | None, typer.Option(help="Train on years up to it alone, to forecast later ones.")]
JobDropout = Annotated[
    float, typer.Option(help="Of CAREER: share of careers in which earlier years are hidden; for rationales, .5.")
]
