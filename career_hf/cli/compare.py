"""`career-hf compare`: tunes, trains and scores models with equal budgets."""

from __future__ import annotations

from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import (
    MODELS,
    Data,
    Draws,
    EvalSteps,
    MaxSteps,
    Output,
    Patience,
    TokensPerBatch,
    WarmupSteps,
    Weighted,
    how_weighted,
    names,
)


def compare(
    data: Data,
    output: Output,
    models: Annotated[str, typer.Option(help=f"Comma-separated models: {MODELS}; all of them if empty.")] = "",
    covariates: Annotated[
        str,
        typer.Option(help="Comma-separated covariates: year, and columns of the careers. Markov chains have none."),
    ] = "year",
    trials: Annotated[
        int, typer.Option(help="Number of validation trials of each trained model, 8 at most.", min=1)
    ] = 8,
    seeds: Annotated[int, typer.Option(help="Number of training seeds of each trained model.", min=1)] = 3,
    stages: Annotated[
        str, typer.Option(help="Comma-separated forms of each trained model: 2 is two stages, 1 is one softmax.")
    ] = "2",
    tokens_per_batch: TokensPerBatch = 4_000,
    max_steps: MaxSteps = 1_000,
    warmup_steps: WarmupSteps = 100,
    eval_steps: EvalSteps = 100,
    patience: Patience = 3,
    pretrained: Annotated[
        str | None, typer.Option(help="Folder or Hub id of a CAREER model that is fine-tuned and compared too.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Model that the others are compared with; the first one if left out.")
    ] = None,
    watch: Annotated[str, typer.Option(help="Comma-separated states without work whose probabilities are kept.")] = "",
    weighted: Weighted = False,
    draws: Draws = 1000,
    workers: Annotated[int, typer.Option(help="Number of processes, each with one thread.", min=1)] = 1,
) -> None:
    """Compare models with equal budgets: equally many trials, further seeds of the best, then test careers."""
    comparison = career_hf.compare(
        data,
        models=names(models) or None,
        covariates=names(covariates),
        trials=trials,
        seeds=seeds,
        stages=[int(stage) for stage in names(stages)],
        tokens_per_batch=tokens_per_batch,
        max_steps=max_steps,
        warmup_steps=warmup_steps,
        eval_steps=eval_steps,
        patience=patience,
        pretrained=pretrained,
        baseline=baseline,
        watch=names(watch),
        weighted=weighted,
        draws=draws,
        output=output,
        workers=workers,
    )
    say(comparison.ledger)
    frame = comparison.to_frame()
    levels = ["perplexity", "low", "high", "difference", "difference_low", "difference_high"]
    how = how_weighted(weighted)
    show(frame[levels], f"Test careers, {how}: perplexity, and log-perplexity less that of {comparison.baseline}")
    kinds = ["first", "stay", "return", "new", "seed_sd", "trials", "updates", "hours"]
    show(frame[kinds], f"Perplexity by kind of step, {how}, and what training took")
    say(f"saved {output}")
