"""`career-hf finetune`: fine-tunes a pretrained CAREER model on careers."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

import career_hf

from .console import saying
from .options import (
    BY_SIZE,
    CovariateDropout,
    Cutoff,
    Data,
    Ensemble,
    EvalStepsBySize,
    JobDropout,
    MaxStepsBySize,
    Output,
    Overwrite,
    PatienceBySize,
    Resume,
    Seed,
    TitleEmbeddings,
    TokensPerBatchBySize,
    Untitled,
    Weighted,
    names,
    period,
)
from .train import PLAN, say_trained


def finetune(
    checkpoint: Annotated[str, typer.Argument(help="Folder, Hub id or name of a pretrained CAREER model.")],
    data: Data,
    output: Output,
    covariates: Annotated[
        str, typer.Option(help="Comma-separated covariates; the model keeps the pretrained ones and gets the others.")
    ] = "",
    cutoff: Cutoff = None,
    learning_rate: Annotated[
        float | None, typer.Option(help=f"Peak learning rate; {BY_SIZE}.", show_default=False)
    ] = None,
    lr_scheduler_type: Annotated[
        str | None,
        typer.Option(help="How the rate falls: linear (if left out), cosine, inverse_sqrt.", show_default=False),
    ] = None,
    layerwise_decay: Annotated[
        float | None,
        typer.Option(
            help=f"Ratio of each layer's learning rate to that of the layer above; {BY_SIZE}.", show_default=False
        ),
    ] = None,
    l2_sp: Annotated[
        float | None,
        typer.Option(
            "--l2-sp",
            help=f"Strength of the decay towards the pretrained weights, instead of towards 0; {BY_SIZE}.",
            show_default=False,
        ),
    ] = None,
    frozen_layers: Annotated[
        int | None,
        typer.Option(
            help="Number of layers, the lowest first, that keep the pretrained weights; none if left out.",
            show_default=False,
        ),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Dropout; as in pretraining if left out.", show_default=False)
    ] = None,
    warmup_steps: Annotated[
        float | None,
        typer.Option(
            help="Number of updates until the rate peaks, or below 1 their share of all; a tenth if left out.",
            show_default=False,
        ),
    ] = None,
    tokens_per_batch: TokensPerBatchBySize = None,
    max_steps: MaxStepsBySize = None,
    eval_steps: EvalStepsBySize = None,
    patience: PatienceBySize = None,
    job_dropout: JobDropout = 0.0,
    covariate_dropout: CovariateDropout = 0.0,
    title_embeddings: TitleEmbeddings = None,
    untitled: Untitled = "",
    weighted: Weighted = False,
    ensemble: Ensemble = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a pretrained CAREER model on careers; occupations, levels and covariates are matched by name."""
    fit: Any = partial(career_hf.finetune, checkpoint)
    if ensemble is not None:
        fit = partial(career_hf.train_ensemble, pretrained=checkpoint, members=ensemble)
    with saying(PLAN):
        trained = fit(
            data,
            output=output,
            covariates=names(covariates),
            cutoff=None if cutoff is None else period(cutoff),
            learning_rate=learning_rate,
            lr_scheduler_type=lr_scheduler_type,
            layerwise_decay=layerwise_decay,
            l2_sp=l2_sp,
            frozen_layers=frozen_layers,
            dropout=dropout,
            warmup_steps=warmup_steps,
            tokens_per_batch=tokens_per_batch,
            max_steps=max_steps,
            eval_steps=eval_steps,
            patience=patience,
            job_dropout=job_dropout,
            covariate_dropout=covariate_dropout,
            title_embeddings=title_embeddings,
            untitled=names(untitled),
            weighted=weighted,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
        )
    say_trained(trained, output, weighted)
