"""`career-hf finetune`: fine-tunes a pretrained CAREER model on careers."""

from __future__ import annotations

from typing import Annotated

import typer

import career_hf

from .options import (
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
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a pretrained CAREER model.")],
    data: Data,
    output: Output,
    covariates: Annotated[
        str, typer.Option(help="Comma-separated covariates; the model keeps the pretrained ones and gets the others.")
    ] = "",
    cutoff: Cutoff = None,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate; the paper's is 1e-4.")] = 1e-4,
    warmup_steps: Warmup = None,
    tokens_per_batch: TokensPerBatch = 16_000,
    max_steps: MaxSteps = 20_000,
    eval_steps: EvalSteps = 100,
    patience: Patience = 10,
    job_dropout: JobDropout = 0.0,
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
        warmup_steps=warmup_steps,
        tokens_per_batch=tokens_per_batch,
        max_steps=max_steps,
        eval_steps=eval_steps,
        patience=patience,
        job_dropout=job_dropout,
        title_embeddings=title_embeddings,
        untitled=names(untitled),
        weighted=weighted,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
    )
    say_trained(trained, output, weighted)
