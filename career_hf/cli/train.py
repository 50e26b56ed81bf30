"""`career-hf train` and `career-hf finetune`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from .console import say
from .options import (
    Cutoff,
    Data,
    EvalSteps,
    JobDropout,
    MaxSteps,
    Output,
    Patience,
    Resume,
    Seed,
    TokensPerBatch,
    WarmupSteps,
)
from .title_options import TitleEmbeddings, Untitled, give_titles, load_titles, titles_size, untitled_of


class Model(StrEnum):
    career = "career"
    markov_1 = "markov-1"
    markov_2 = "markov-2"
    mixture = "mixture"
    regression = "regression"
    bag_of_jobs = "bag-of-jobs"
    nemo = "nemo"
    job_representation = "job-representation"
    job2vec = "job2vec"


def train(
    data: Data,
    output: Output,
    model: Annotated[Model, typer.Option(help="What to train.")] = Model.career,
    covariates: Annotated[
        str, typer.Option(help="Comma-separated: year, and columns of the careers. Markov chains have none.")
    ] = "year",
    cutoff: Cutoff = None,
    one_stage: Annotated[bool, typer.Option("--one-stage", help="One softmax instead of two stages.")] = False,
    learning_rate: Annotated[float, typer.Option(help="Peak; the paper's is 5e-4 for CAREER.")] = 5e-4,
    warmup_steps: WarmupSteps = 500,
    tokens_per_batch: TokensPerBatch = 16_000,
    max_steps: MaxSteps = 20_000,
    eval_steps: EvalSteps = 100,
    patience: Patience = 10,
    dropout: Annotated[float, typer.Option(help="Of CAREER's feedforward network and attention.")] = 0.1,
    job_dropout: JobDropout = 0.0,
    title_embeddings: TitleEmbeddings = None,
    untitled: Untitled = "",
    tune_smoothing: Annotated[
        bool, typer.Option(help="Markov: choose weights on validation careers; a mixture always does.")
    ] = False,
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Train a model from scratch on careers: CAREER or one of its rivals, in two stages or one."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from ..careers.provenance import training_source
    from ..encoding.processing_career import CareerProcessor
    from ..rivals.markov import MarkovForOccupationPrediction, tune_weight
    from ..rivals.mixture import tune_mixture
    from ..training.run_record import counted_run
    from ..training.trainer import baseline_recipe, scratch_recipe

    if job_dropout and model is not Model.career:
        raise typer.BadParameter("--job-dropout is for CAREER, because rivals cannot hide a year from the others")
    if title_embeddings and model is not Model.career:
        raise typer.BadParameter("--title-embeddings is for CAREER, because rivals have no place for titles")
    titles = load_titles(title_embeddings)
    splits = _load(data, cutoff)
    is_counted = model in (Model.markov_1, Model.markov_2, Model.mixture)
    processor = CareerProcessor.fit(
        splits["train"], covariates=[] if is_counted else covariates.split(","), unknown_occupation="unknown"
    )
    encoded, validation = _encode(processor, splits)
    source = training_source(data, splits["train"])
    if is_counted:
        started = perf_counter()
        order = 2 if model is Model.markov_2 else 1
        weighted = "weight" in encoded.column_names  # as in the loss of models that are trained
        if model is Model.mixture:
            chain: Any = tune_mixture(encoded, validation, processor, weighted=weighted, seed=seed)
        elif tune_smoothing:
            chain = tune_weight(encoded, validation, processor, order=order, weighted=weighted)
        else:
            chain = MarkovForOccupationPrediction.fit(encoded, processor, order=order, weighted=weighted)
        processor.record_training(encoded, "training", source)
        processor.training_stages[-1]["run"] = counted_run(
            perf_counter() - started, {"model": model.value, "tuned": tune_smoothing or model is Model.mixture}
        )
        _save_model(chain, processor, output)
        return
    settings: dict[str, Any] = {
        "job_dropout": job_dropout,
        "learning_rate": learning_rate,
        "warmup_steps": warmup_steps,
        "tokens_per_batch": tokens_per_batch,
        "max_steps": max_steps,
        "eval_steps": eval_steps,
        "save_steps": eval_steps,
        "patience": patience,
        "seed": seed,
        **_stopped_by(encoded),
    }
    if model is Model.career:
        fields: dict[str, Any] = {"two_stage": not one_stage, "hidden_dropout": dropout, "attention_dropout": dropout}
        fields |= {"title_embedding_size": titles_size(titles)}
        recipe = scratch_recipe(processor, output / "training", config_overrides=fields, **settings)
    else:
        of_rival: Any = type(AutoConfig.for_model(f"career_{model.value.replace('-', '_')}"))
        config = of_rival.from_processor(processor, two_stage=not one_stage)
        recipe = baseline_recipe(config, output / "training", **settings)

    def make_model() -> Any:
        made = AutoModelForCausalLM.from_config(recipe.config)
        if titles:
            give_titles(made, processor, titles, untitled)
        return made

    _fit(make_model, processor, recipe, encoded, validation, source, output, resume)


def finetune(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a pretrained CAREER model.")],
    data: Data,
    output: Output,
    covariates: Annotated[str, typer.Option(help="Comma-separated; those pretraining did not have are added.")] = "",
    cutoff: Cutoff = None,
    learning_rate: Annotated[float, typer.Option(help="Peak; the paper's is 1e-4.")] = 1e-4,
    warmup_steps: WarmupSteps = 500,
    tokens_per_batch: TokensPerBatch = 16_000,
    max_steps: MaxSteps = 20_000,
    eval_steps: EvalSteps = 100,
    patience: Patience = 10,
    job_dropout: JobDropout = 0.0,
    title_embeddings: TitleEmbeddings = None,
    untitled: Untitled = "",
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Fine-tune a pretrained CAREER model on careers; occupations, levels and covariates are matched by name."""
    from ..careers.provenance import training_source
    from ..encoding.checkpoints import load_processor
    from ..models.modeling_career import CareerForOccupationPrediction
    from ..training.trainer import finetuning_recipe

    titles = load_titles(title_embeddings)
    splits = _load(data, cutoff)
    pretrained = load_processor(checkpoint)
    new = [name for name in covariates.split(",") if name and name not in pretrained.covariate_names]
    processor = pretrained.extend(splits["train"], covariates=new, unknown_occupation="unknown")
    encoded, validation = _encode(processor, splits)
    recipe = finetuning_recipe(
        processor,
        output / "training",
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        tokens_per_batch=tokens_per_batch,
        max_steps=max_steps,
        eval_steps=eval_steps,
        save_steps=eval_steps,
        patience=patience,
        job_dropout=job_dropout,
        seed=seed,
        **_stopped_by(encoded),
    )

    def load() -> CareerForOccupationPrediction:
        model = CareerForOccupationPrediction.from_pretrained(checkpoint)
        if titles and model.config.title_embedding_size is None:
            model = CareerForOccupationPrediction.from_pretrained(checkpoint, title_embedding_size=titles_size(titles))
            give_titles(model, pretrained, titles, untitled)
        say(model.resize_vocabulary(pretrained, processor, titles, untitled_of(processor, titles, untitled)))
        return model

    source = training_source(data, splits["train"])
    _fit(load, processor, recipe, encoded, validation, source, output, resume)


def _load(data: Path, cutoff: int | None) -> Any:
    from ..careers.frames import load_careers, truncate

    splits = load_careers(data)
    return splits if cutoff is None else {name: truncate(careers, cutoff)[0] for name, careers in splits.items()}


def _encode(processor: Any, splits: Any) -> tuple[Any, Any]:
    encoded, _ = processor.encode(splits["train"])
    validation, ledger = processor.encode(splits["validation"], unknown_levels="missing")
    say(ledger)
    return encoded, validation


def _stopped_by(encoded: Any) -> dict[str, str]:
    """What training is stopped by: with survey weights the weighted likelihood, since that is what it maximises."""
    return {"metric_for_best_model": "weighted_nll"} if "weight" in encoded.column_names else {}


def _fit(
    make_model: Any,
    processor: Any,
    recipe: Any,
    encoded: Any,
    validation: Any,
    source: Any,
    output: Path,
    resume: bool,
) -> None:
    from transformers import set_seed

    from ..training.trainer import build_trainer

    set_seed(recipe.arguments.seed)
    trainer = build_trainer(make_model(), processor, recipe, encoded, validation, source=source)
    trainer.train(resume_from_checkpoint=resume)
    say(f"validation: {trainer.evaluate()}")
    _save_model(trainer.model, trainer.processing_class, output)


def _save_model(model: Any, processor: Any, output: Path) -> None:
    from ..sharing.card_results import RESULTS
    from ..sharing.model_card import write_model_card

    model.save_pretrained(output)
    processor.save_pretrained(output)
    (output / RESULTS).unlink(missing_ok=True)  # of a model that was here before
    write_model_card(output)
    say(f"saved {output} with a model card, which `career-hf card {output} --data CAREERS` completes")
