"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

import career_hf


Output = Annotated[Path, typer.Option(help="Destination folder.")]
Data = Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True, file_okay=False)]
Draws = Annotated[int, typer.Option(help="Number of resamples of people behind the intervals.")]
Seed = Annotated[int, typer.Option(help="Random seed of the initial weights and of the order of careers.")]
WarmupSteps = Annotated[int, typer.Option(help="Number of updates until the peak of the learning rate.")]
TokensPerBatch = Annotated[int, typer.Option(help="Number of person-years in one update.")]
MaxSteps = Annotated[int, typer.Option(help="Maximum number of updates; early stopping usually comes first.")]
EvalSteps = Annotated[int, typer.Option(help="Number of updates between validations.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint in the output folder.")]
Patience = Annotated[int, typer.Option(help="Number of validations without improvement after which training stops.")]
Cutoff = Annotated[
    int | None, typer.Option(help="Last year to train on, to forecast later years. All years if left out.")
]
JobDropout = Annotated[
    float,
    typer.Option(help="For CAREER: share of careers in which some earlier years are hidden; 0.5 for rationales."),
]
TitleEmbeddings = Annotated[
    Path | None,
    typer.Option(help="For CAREER: safetensors file of title vectors.", exists=True),
]
Untitled = Annotated[str, typer.Option(help="Comma-separated occupations that have no title.")]
MODELS = ", ".join(career_hf.registration.model_names())


def names(commas: str) -> list[str]:
    """The names in a comma-separated option."""
    return [name for name in commas.split(",") if name]
