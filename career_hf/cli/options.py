"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

import career_hf


Output = Annotated[Path, typer.Option(help="Folder to write to.")]
Data = Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True, file_okay=False)]
Seed = Annotated[int, typer.Option(help="Seed of initial weights and of the order of careers.")]
WarmupSteps = Annotated[int, typer.Option(help="Updates to the peak of the learning rate.")]
TokensPerBatch = Annotated[int, typer.Option(help="Person-years of one update.")]
MaxSteps = Annotated[int, typer.Option(help="Updates at most; early stopping usually comes first.")]
EvalSteps = Annotated[int, typer.Option(help="Updates between validations.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the output folder.")]
Patience = Annotated[int, typer.Option(help="Validations without improvement before stopping.")]
Cutoff = Annotated[int | None, typer.Option(help="Train on years up to this one alone, to forecast later ones.")]
JobDropout = Annotated[
    float,
    typer.Option(help="For CAREER: share of careers in which earlier years are hidden; .5 for rationales."),
]
TitleEmbeddings = Annotated[
    Path | None,
    typer.Option(help="For CAREER: file of title vectors, as `save_title_embeddings` writes it.", exists=True),
]
Untitled = Annotated[str, typer.Option(help="Occupations that have no title, comma-separated.")]
MODELS = ", ".join(career_hf.registration.model_names())


def names(commas: str) -> list[str]:
    """The names in a comma-separated option."""
    return [name for name in commas.split(",") if name]
