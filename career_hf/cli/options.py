"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

import career_hf


Output = Annotated[Path, typer.Option(help="Destination folder.")]
Data = Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True, file_okay=False)]
Weighted = Annotated[
    bool, typer.Option("--weighted", help="Use the careers' survey weights. Nothing is weighted without it.")
]
Draws = Annotated[int, typer.Option(help="Number of resamples of people behind the intervals.")]
Ensemble = Annotated[
    int | None,
    typer.Option(
        help="Number of models to train instead of one, each on another resample of people with another seed, for "
        "intervals that hold the model's uncertainty; in folders member-0, member-1, ...",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed for initial weights and for the order of careers.")]
WarmupSteps = Annotated[int, typer.Option(help="Number of updates until the learning rate peaks.")]
TokensPerBatch = Annotated[int, typer.Option(help="Number of person-years in one update.")]
MaxSteps = Annotated[int, typer.Option(help="Largest number of updates; early stopping usually comes first.")]
EvalSteps = Annotated[int, typer.Option(help="Number of updates between validations.")]
# Options that follow from a recipe, or from the size of the careers, where they are left out.
BY_SIZE = "by the size of the careers if left out"
TokensPerBatchBySize = Annotated[int | None, typer.Option(help=f"Number of person-years in one update; {BY_SIZE}.")]
MaxStepsBySize = Annotated[
    int | None,
    typer.Option(help=f"Largest number of updates, before which training may stop; {BY_SIZE}."),
]
EvalStepsBySize = Annotated[int | None, typer.Option(help=f"Number of updates between validations; {BY_SIZE}.")]
PatienceBySize = Annotated[
    int | None,
    typer.Option(help=f"Number of validations without improvement before training stops; {BY_SIZE}."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume from the last checkpoint in the output folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace another run in the output folder.")]
Patience = Annotated[int, typer.Option(help="Number of validations without improvement before training stops.")]
Cutoff = Annotated[
    str | None,
    typer.Option(help="Last year or month to train on, so that later ones can be forecast.", metavar="YEAR"),
]
JobDropout = Annotated[
    float,
    typer.Option(help="Share of careers in which earlier years are hidden; CAREER only; .5 for rationales."),
]
CovariateDropout = Annotated[
    float,
    typer.Option(
        help="Probability that a covariate of a career is missing in an update; above 0, careers need not have it."
    ),
]
TitleEmbeddings = Annotated[
    Path | None,
    typer.Option(help="File of title vectors, as `save_title_embeddings` writes it; CAREER only.", exists=True),
]
Untitled = Annotated[str, typer.Option(help="Occupations without a title, comma-separated.")]
MODELS = ", ".join(career_hf.registration.model_names())


def period(text: str) -> int | str:
    """A year as a number; the label of a month or quarter as it is."""
    return int(text) if text.isdecimal() else text


def listed_numbers(commas: str) -> list[float] | None:
    """The numbers in a comma-separated option; None if it is empty.

    Raises:
        typer.BadParameter: One of them is no number.
    """
    try:
        return [float(name) for name in names(commas)] or None
    except ValueError as error:
        raise typer.BadParameter(f"{commas!r} is no list of numbers: write them with commas, as in .8,.2") from error


def how_weighted(weighted: bool) -> str:
    """What every printed table says of weights."""
    return "weighted" if weighted else "not weighted"


def models_held(members: int) -> str:
    """What a printed table says of the models whose differences its intervals hold; nothing of one model."""
    return "" if members == 1 else f"; intervals hold the differences between {members} models"


def names(commas: str) -> list[str]:
    """The names in a comma-separated option."""
    return [name for name in commas.split(",") if name]


def pairs(commas: str) -> dict[str, str]:
    """The pairs in a comma-separated option, such as nilf=out_of_labor_force.

    Raises:
        typer.BadParameter: One of them has no equals sign.
    """
    refused = [name for name in names(commas) if "=" not in name]
    if refused:
        raise typer.BadParameter(f"{refused[0]!r} is no pair: write it as in nilf=out_of_labor_force")
    return dict(name.split("=", 1) for name in names(commas))


def numbers_by_name(commas: str) -> dict[str, float]:
    """The pairs in a comma-separated option whose values are numbers, such as log_wage=.2.

    Raises:
        typer.BadParameter: One of them has no equals sign, or no number after it.
    """
    texts = pairs(commas)
    try:
        return {name: float(text) for name, text in texts.items()}
    except ValueError as error:
        raise typer.BadParameter(f"{commas!r} has a value that is no number: write it as in log_wage=.2") from error
