"""`career-hf finetune`: fine-tunes a pretrained CAREER model on careers."""

from __future__ import annotations

from typing import Annotated

import typer

import career_hf

from .options import (
    CovariateDropout,
    Cutoff,
    Data,
    EvalSteps,
    JobDropout,
    MaxSteps,
    Output,
    Overwrite,
    Patience,
    Resume,
    Seed,
    TitleEmbeddings,
    TokensPerBatch,
    Untitled,
    Warmup,
    Weighted,
    names,
)
from .train import say_trained


def finetune(
    checkpoint: Annotated[str, typer.Argument(help="Folder, Hub id or name of a pretrained CAREER model.")],
    data: Data,
    output: Output,
    covariates: Annotated[
        str, typer.Option(help="Comma-separated covariates; the model keeps the pretrained ones and gets the others.")
    ] = "",
    cutoff: Cutoff = None,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate; the paper's is 1e-4.")] = 1e-4,
    layerwise_decay: Annotated[
        float, typer.Option(help="Ratio of each layer's learning rate to that of the layer above.")
    ] = 1.0,
    l2_sp: Annotated[
        float, typer.Option("--l2-sp", help="Strength of the decay towards the pretrained weights; 0 decays to zero.")
    ] = 0.0,
    frozen_layers: Annotated[
        int, typer.Option(help="Number of layers, the lowest first, that keep the pretrained weights.")
    ] = 0,
    dropout: Annotated[
        float | None, typer.Option(help="Dropout; as in pretraining if left out.", show_default=False)
    ] = None,
    warmup_steps: Warmup = None,
    tokens_per_batch: TokensPerBatch = 16_000,
    max_steps: MaxSteps = 20_000,
    eval_steps: EvalSteps = 100,
    patience: Patience = 10,
    job_dropout: JobDropout = 0.0,
    covariate_dropout: CovariateDropout = 0.0,
    title_embeddings: TitleEmbeddings = None,
    untitled: Untitled = "",
    weighted: Weighted = False,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune a pretrained CAREER model on careers; occupations, levels and covariates are matched by name."""
    trained = career_hf.finetune(
        checkpoint,
        data,
        output=output,
        covariates=names(covariates),
        cutoff=cutoff,
        learning_rate=learning_rate,
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
