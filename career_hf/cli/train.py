"""`career-hf train`: trains CAREER or one of its rivals on careers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import career_hf

from .console import say, saying, show
from .options import (
    BY_SIZE,
    MODELS,
    CovariateDropout,
    Cutoff,
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
    how_weighted,
    listed_numbers,
    names,
    period,
)


# The logger of what training has chosen and is expected to cost.
PLAN = "career_hf.training.plan"


def train(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Folder of careers, as `prepare` writes it; given more than once, the corpora of a mixture.",
            exists=True,
            file_okay=False,
        ),
    ],
    output: Output,
    model: Annotated[str, typer.Option(help=f"Model to train: {MODELS}.")] = "career",
    covariates: Annotated[
        str,
        typer.Option(help="Comma-separated covariates: year, and columns of the careers. Markov chains have none."),
    ] = "year",
    occupations: Annotated[
        str | None,
        typer.Option(
            help="Model whose occupations are taken (folder, Hub id or name); if left out, those of the training "
            "careers, and `unknown`.",
            show_default=False,
        ),
    ] = None,
    corpus_weights: Annotated[
        str, typer.Option(help="Comma-separated weights of the corpora of a mixture; by their person-years if empty.")
    ] = "",
    cutoff: Cutoff = None,
    one_stage: Annotated[bool, typer.Option("--one-stage", help="Use one softmax instead of two stages.")] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Where numbers that are left out come from: paper, or best, which is CAREER with a stage for "
            f"returns, computed inputs and a short schedule; {BY_SIZE}.",
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help=f"Peak learning rate; {BY_SIZE}.", show_default=False)
    ] = None,
    warmup_steps: Annotated[
        float | None,
        typer.Option(
            help="Number of updates until the rate peaks, or below 1 their share of all; a tenth if left out, with "
            "--recipe paper 500 or, of 500 updates or fewer, a tenth.",
            show_default=False,
        ),
    ] = None,
    tokens_per_batch: TokensPerBatchBySize = None,
    max_steps: MaxStepsBySize = None,
    eval_steps: EvalStepsBySize = None,
    patience: PatienceBySize = None,
    dropout: Annotated[
        float | None,
        typer.Option(help=f"Dropout in CAREER's feedforward network and attention; {BY_SIZE}.", show_default=False),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            help="Number of pairs of rate and dropout to try on validation careers, of which the best model is kept."
        ),
    ] = 1,
    job_dropout: JobDropout = 0.0,
    covariate_dropout: CovariateDropout = 0.0,
    title_embeddings: TitleEmbeddings = None,
    untitled: Untitled = "",
    tune_smoothing: Annotated[
        bool,
        typer.Option(
            help="For Markov chains: choose smoothing weights on validation careers, as a mixture always does."
        ),
    ] = False,
    weighted: Weighted = False,
    ensemble: Ensemble = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model from scratch on careers: CAREER or one of its rivals, in two stages or one."""
    fit: Any = career_hf.train if ensemble is None else partial(career_hf.train_ensemble, members=ensemble)
    with saying(PLAN):
        trained = fit(
            data if len(data) > 1 else data[0],
            output=output,
            model=model,
            covariates=names(covariates),
            occupations=occupations,
            corpus_weights=listed_numbers(corpus_weights),
            cutoff=None if cutoff is None else period(cutoff),
            one_stage=one_stage,
            recipe=recipe,
            learning_rate=learning_rate,
            warmup_steps=warmup_steps,
            tokens_per_batch=tokens_per_batch,
            max_steps=max_steps,
            eval_steps=eval_steps,
            patience=patience,
            dropout=dropout,
            trials=trials,
            job_dropout=job_dropout,
            covariate_dropout=covariate_dropout,
            title_embeddings=title_embeddings,
            untitled=names(untitled),
            tune_smoothing=tune_smoothing,
            weighted=weighted,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
        )
    say_trained(trained, output, weighted or len(data) > 1)


def say_trained(trained: Any, output: Path, weighted: bool) -> None:
    """Prints the trials, the ledger, the transfer and the metrics of a model that `train` or `finetune` returned, or
    the metrics of each member of an ensemble."""
    if isinstance(trained, list):
        for number, member in enumerate(trained):
            kind = "is counted" if member.model.is_counted else "was trained before"
            say(f"member {number}, validation: {member.metrics}" if member.metrics else f"member {number} {kind}")
        say(f"saved {output}, an ensemble of {len(trained)}, for `career-hf forecast`, `what-if` and `transitions`")
        return
    if trained.trials is not None:
        show(trained.trials, "Trials, by the negative log-likelihood of validation careers (best)")
    say(trained.ledger)
    if trained.transfer is not None:
        say(trained.transfer)
    if trained.metrics:
        say(f"validation: {trained.metrics}")
    say(f"training was {how_weighted(weighted)}")
    say(f"saved {output} with a model card, which `career-hf card {output} --data CAREERS` completes")
