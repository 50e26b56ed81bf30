"""`career-hf representations`: h of people whom the model was not trained on, as a table for Stata, R or Python."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import career_hf

from .console import say
from .options import (
    BY_SIZE,
    Data,
    EvalStepsBySize,
    MaxStepsBySize,
    PatienceBySize,
    Seed,
    TokensPerBatchBySize,
    names,
)


class TimingOption(StrEnum):
    including = "including"
    before = "before"


def representations(
    data: Data,
    output: Annotated[Path, typer.Option(help="File to write: .dta for Stata, .parquet or .csv.")],
    folds: Annotated[
        int | None,
        typer.Option(
            "--cross-fit", help="Number of folds of people, each with a model that is trained on the others."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Folder or Hub id of a model, in the place of folds, for people it was not trained on.")
    ] = "",
    split: Annotated[
        str, typer.Option(help="Comma-separated splits that --model represents; folds take everybody.")
    ] = "test",
    timing: Annotated[
        TimingOption, typer.Option(help="Whether h knows the occupation of the year, or only those before it.")
    ] = TimingOption.including,
    components: Annotated[
        int | None, typer.Option(help="Number of principal components, within folds; h itself if left out.")
    ] = None,
    ridge: Annotated[
        str,
        typer.Option(
            help="Comma-separated columns of numbers, such as log_wage, each predicted from h in one column."
        ),
    ] = "",
    models: Annotated[
        Path | None, typer.Option(help="Folder of the models of the folds, with which a run goes on or is used again.")
    ] = None,
    covariates: Annotated[
        str,
        typer.Option(help="Comma-separated covariates of the models of the folds: year, and columns of the careers."),
    ] = "year",
    recipe: Annotated[
        str | None,
        typer.Option(help=f"Recipe of the models of the folds: paper or best; {BY_SIZE}.", show_default=False),
    ] = None,
    tokens_per_batch: TokensPerBatchBySize = None,
    max_steps: MaxStepsBySize = None,
    eval_steps: EvalStepsBySize = None,
    patience: PatienceBySize = None,
    seed: Seed = 0,
) -> None:
    """Write representations of people by models that were not trained on them, with the columns of the careers."""
    training: dict[str, Any] = {}
    if not model:
        training = {"recipe": recipe, "tokens_per_batch": tokens_per_batch, "max_steps": max_steps}
        training |= {"eval_steps": eval_steps, "patience": patience}
        training = {name: value for name, value in training.items() if value is not None} | {"seed": seed}
    table = career_hf.representation_table(
        data,
        model or None,
        output=output,
        folds=folds,
        split=split,
        timing=timing.value,
        components=components,
        ridge=names(ridge),
        covariates=names(covariates),
        models=models,
        **training,
    )
    for note in table.notes:
        say(note)
    say(f"saved {output}: {len(table.frame):,} person-years, {len(table.frame.columns)} columns")
