"""The paper's training recipes (Appendix G) as numbers for the stock Trainer, and the Trainer that runs them.

A recipe is a model configuration, TrainingArguments and a function from a model to (optimizer, scheduler). The
function is needed because Trainer has no options to warm up from 1e-7 and to decay every parameter, as the original
program does. `build_trainer` puts a recipe, a model and encoded careers together. There is no Trainer subclass: the
model computes the loss, batches are ready-made (`MicroBatches`), and evaluation gathers the log-probability of each
true occupation, so that the validation NLL is exact at any batch size (`eval_loss`, which averages batch means, is not
exact and not used).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import datasets
import numpy as np
import torch
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    SchedulerType,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from ..encoding.collating import (
    Batch,
    EncodedCareers,
    FlatCareers,
    FlatteningCollator,
    PackingCollator,
    PaddingCollator,
)
from ..encoding.job_dropout import JobDropoutCollator, JobDropoutMicroBatches, JobDropoutUnit
from ..encoding.micro_batches import MicroBatchCollator, MicroBatches
from ..encoding.processing_career import CareerProcessor
from ..encoding.streams import EncodedShards, StreamedMicroBatches
from ..models.attention import SDPA_BY_LENGTH
from ..models.configuration_career import CareerConfig
from ..models.configuration_occupation import OccupationConfig
from ..models.cpu_layers import faster_products
from ..models.own_history import years_of_levels
from ..models.title_embeddings import check_title_embeddings
from .argument_checks import check_arguments, check_numbers, warn_of_warmup
from .optimizers import KEEPING, OptimizerAndScheduler, adamw, inverse_sqrt_rate
from .run_record import TrainingRecord
from .runs import CompleteCheckpoints


# Number of steps in a micro-batch on CPU. Larger activations would exceed the size from which the C library maps and
# unmaps fresh memory for each of them, which costs more than the arithmetic.
CPU_MICRO_BATCH = 4_000

# Rows of micro-batches are filled to a multiple of this, by under 1%, where products are oneDNN's: it compiles a
# kernel for every row length, so that few should occur.
ONEDNN_MULTIPLE = 16


@dataclass(frozen=True)
class Recipe:
    """Everything that determines how a model is trained.

    Args:
        stage: Name under which the processor records the training careers.
        config: Config of the model to train; in fine-tuning, the config that the pretrained model should have.
        arguments: Arguments of the stock Trainer.
        make_optimizer: A function from a model to its (optimizer, scheduler); with `num_train_epochs`, it is given
            the number of updates as `max_steps` too.
        tokens_per_batch: Number of steps (person-years) in one update, over all micro-batches and processes.
        patience: Number of evaluations without a better validation NLL after which training stops.
        layout: Layout of micro-batches: "flat" (CPU, or varlen flash attention), "packed" (GPU), or "padded" (any
            model).
        job_dropout: Probability of hiding some earlier steps in training (Appendix G, "Rationalization"), by which
            CAREER learns to predict from part of a history; the paper's is 0.5. It needs the layout "padded".
        job_dropout_per: Unit of job dropout, as in `job_dropout.draw_kept_steps`: "person", or "batch" as in the
            original program.
        covariate_dropout: Probability that a covariate of a career is missing in an update (`MicroBatches`).
        keeping: What keeps fine-tuning near the pretrained weights, by name, as `adamw` takes it; of no effect where a
            name is left out.
    """

    stage: str
    config: Any  # CareerConfig, or a rival's
    arguments: TrainingArguments
    make_optimizer: Callable[..., OptimizerAndScheduler]
    tokens_per_batch: int = 16_000
    patience: int = 10
    layout: Literal["flat", "packed", "padded"] = "flat"
    job_dropout: float = 0.0
    job_dropout_per: JobDropoutUnit = "person"
    covariate_dropout: float = 0.0
    keeping: Mapping[str, float] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings for the model card, from which somebody can train the model again."""
        names = ("learning_rate", "warmup_steps", "weight_decay", "max_steps", "seed", "bf16")
        return {
            "tokens_per_batch": self.tokens_per_batch,
            "patience": self.patience,
            "job_dropout": self.job_dropout,
            "lr_scheduler_type": str(SchedulerType(self.arguments.lr_scheduler_type).value),
            **{name: getattr(self.arguments, name) for name in names},
            **self._further_settings,
        }

    @property
    def run_settings(self) -> dict[str, Any]:
        """Everything but careers and initial weights that determines what is trained, in a form for JSON.

        The number of updates is left out, so that a run can be resumed for more of them, unless the learning rate
        depends on it.
        """
        arguments = self.arguments.to_dict()
        own = ("stage", "tokens_per_batch", "patience", "layout", "job_dropout", "job_dropout_per")
        settings = {name: getattr(self, name) for name in own} | self._further_settings
        settings |= {name: arguments[name] for name in _RUN_ARGUMENTS}
        schedule = arguments["lr_scheduler_type"]
        if schedule not in ("inverse_sqrt", "constant", "constant_with_warmup") or 0 < arguments["warmup_steps"] < 1:
            settings |= {name: arguments[name] for name in ("max_steps", "num_train_epochs")}
        config = self.config.to_dict()
        for name in ("transformers_version", "dtype", "label2id", "_name_or_path", "architectures"):
            config.pop(name, None)
        return settings | {f"config.{name}": value for name, value in config.items()}

    @property
    def _further_settings(self) -> dict[str, Any]:
        """Settings that most runs do not have, so that the records of runs without them are as they always were."""
        dropout = {"covariate_dropout": self.covariate_dropout} if self.covariate_dropout else {}
        return dropout | dict(self.keeping)


# Arguments of Trainer that determine what a run trains and which of its checkpoints is the best.
_RUN_ARGUMENTS = (
    "seed", "data_seed", "learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "weight_decay",
    "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "bf16", "fp16", "neftune_noise_alpha",
    "eval_strategy", "eval_steps", "save_strategy", "save_steps", "load_best_model_at_end", "metric_for_best_model",
)  # fmt: skip


def pretraining_recipe(processor: CareerProcessor, output_dir: str | Path, **overrides: Any) -> Recipe:
    """Pretraining on resumes (Appendix G): 12 layers, D = 192; rate 5e-4 after 4,000 warmup updates, 85,000 updates.

    Args:
        processor: A processor that was fitted on the training careers.
        output_dir: Folder of the checkpoints.
        overrides: Fields of TrainingArguments; `tokens_per_batch`, `patience`, `layout`, `job_dropout`,
            `job_dropout_per` and `covariate_dropout` of the recipe; `layerwise_decay`, `l2_sp` and `frozen_layers` of
            `adamw`; and `config_overrides`, a mapping of CareerConfig fields.
            `num_train_epochs` takes the place of `max_steps`. With epochs, or with no more updates than the paper's
            warm-up, a tenth of the updates is warm-up unless `warmup_steps` says otherwise.

    Raises:
        ValueError: A number is out of range, or both `num_train_epochs` and `max_steps` are given.
    """
    paper = {
        "learning_rate": 5e-4,
        "warmup_steps": 4_000,
        "max_steps": 85_000,
        "eval_steps": 1_000,
        "save_steps": 1_000,
    }
    return _career_recipe("pretraining", processor, output_dir, _PRETRAINED_SIZE, _overridden(paper, overrides))


def finetuning_recipe(processor: CareerProcessor, output_dir: str | Path, **overrides: Any) -> Recipe:
    """Fine-tuning a pretrained model on a survey (Appendix G): rate 1e-4 after 500 warmup updates, until it overfits.

    Early stopping should come before `max_steps`. Arguments are as in `pretraining_recipe`.
    """
    paper = {"learning_rate": 1e-4, "warmup_steps": 500, "max_steps": 20_000, "eval_steps": 100, "save_steps": 100}
    return _career_recipe("finetuning", processor, output_dir, _PRETRAINED_SIZE, _overridden(paper, overrides))


# From how many training person-years on fine-tuning has which settings. They were chosen on validation people of the
# NLSY79 at 1, 10, 30 and 100% of its training people (`docs/how_to/pretrained.md`).
FINETUNING_BY_SIZE: tuple[tuple[int, dict[str, Any]], ...] = (
    (0, {"learning_rate": 1e-3, "l2_sp": 30.0, "max_steps": 100, "tokens_per_batch": 1_000}),
    (5_000, {"learning_rate": 1e-3, "l2_sp": 10.0, "max_steps": 400, "tokens_per_batch": 2_000}),
    (20_000, {"learning_rate": 2e-3, "l2_sp": 1.0, "max_steps": 500, "tokens_per_batch": 3_000}),
    (60_000, {"learning_rate": 3e-3, "l2_sp": 0.3, "max_steps": 800, "tokens_per_batch": 4_000}),
)


def finetuning_defaults(person_years: int) -> dict[str, Any]:
    """Settings of `finetuning_recipe` that suit a survey of some size: the larger it is, the more may change.

    Args:
        person_years: Number of person-years to train on.

    Returns:
        Learning rate, which falls to zero over `max_steps` after a short warm-up; batch size; how often the model is
        validated, and when training stops; and what keeps the model near its pretrained weights.
    """
    found = next(settings for fewest, settings in reversed(FINETUNING_BY_SIZE) if person_years >= fewest)
    evaluations = found["max_steps"] // 15
    return {
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.1,
        "eval_steps": evaluations,
        "save_steps": evaluations,
        "patience": 4,
        **found,
    }


# From how many training person-years on training from scratch has which settings: 40 to 60 epochs, and fewer of large
# corpora. Where each line comes from is in `docs/how_to/training.md`.
TRAINING_BY_SIZE: tuple[tuple[int, dict[str, Any]], ...] = (
    (0, {"learning_rate": 1.5e-3, "tokens_per_batch": 1_000, "max_steps": 60}),
    (1_500, {"learning_rate": 1.5e-3, "tokens_per_batch": 1_500, "max_steps": 100}),
    (5_000, {"learning_rate": 3e-3, "tokens_per_batch": 2_000, "max_steps": 400}),
    (15_000, {"learning_rate": 3e-3, "tokens_per_batch": 4_000, "max_steps": 600}),
    (50_000, {"learning_rate": 3e-3, "tokens_per_batch": 4_000, "max_steps": 1_000}),
    (150_000, {"learning_rate": 2e-3, "tokens_per_batch": 4_000, "max_steps": 2_000}),
    (1_000_000, {"learning_rate": 1e-3, "tokens_per_batch": 8_000, "max_steps": 5_000}),
)


def training_defaults(person_years: int, max_steps: int | None = None) -> dict[str, Any]:
    """Settings of `scratch_recipe` and a dropout that suit careers of some size, as `train` has them without options.

    Args:
        person_years: Number of person-years to train on.
        max_steps: Largest number of updates, if another is wanted; the number of validations stays the same.

    Returns:
        Learning rate, which falls to zero over `max_steps` after a short warm-up; batch size; how often the model is
        validated, and when training stops; and `dropout`, which is a field of the config.
    """
    found = next(settings for fewest, settings in reversed(TRAINING_BY_SIZE) if person_years >= fewest)
    found = found | ({} if max_steps is None else {"max_steps": max_steps})
    return {
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.1,
        "eval_steps": max(1, found["max_steps"] // 20),
        "patience": 5,
        "dropout": 0.1,
        **found,
    }


def scratch_recipe(processor: CareerProcessor, output_dir: str | Path, **overrides: Any) -> Recipe:
    """Training on a survey without pretraining (Appendix G): 4 layers, D = 64; rate 5e-4 after 500 warmup updates.

    Early stopping should come before `max_steps`. Arguments are as in `pretraining_recipe`.
    """
    return _career_recipe("training", processor, output_dir, _SCRATCH_SIZE, _overridden(_SCRATCH_SCHEDULE, overrides))


def baseline_recipe(config: OccupationConfig, output_dir: str | Path, **overrides: Any) -> Recipe:
    """Training a rival on a survey as CAREER is trained from scratch (Appendix G), one career per row.

    Args:
        config: Config of the rival.
        output_dir, overrides: As in `pretraining_recipe`, without `config_overrides`.
    """
    return _recipe("training", config, output_dir, _overridden({**_SCRATCH_SCHEDULE, "layout": "padded"}, overrides))


def recipe_for(
    model_class: type[PreTrainedModel],
    processor: CareerProcessor,
    output_dir: str | Path,
    fields: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Recipe:
    """Training any model on a survey without pretraining: CAREER's `scratch_recipe`, or a rival's `baseline_recipe`.

    Args:
        model_class: Class of the model to train.
        processor: A processor that was fitted on the training careers.
        output_dir: Folder of the checkpoints.
        fields: Fields of the model's config.
        overrides: As in `pretraining_recipe`, without `config_overrides`.
    """
    config_class: Any = model_class.config_class
    if issubclass(config_class, CareerConfig):
        return scratch_recipe(processor, output_dir, config_overrides=dict(fields or {}), **overrides)
    return baseline_recipe(config_class.from_processor(processor, **(fields or {})), output_dir, **overrides)


_PRETRAINED_SIZE = {"num_hidden_layers": 12, "hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
_SCRATCH_SIZE = {"num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 256}
_SCRATCH_SCHEDULE = {
    "learning_rate": 5e-4,
    "warmup_steps": 500,
    "max_steps": 20_000,
    "eval_steps": 100,
    "save_steps": 100,
}


def _overridden(paper: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The paper's settings with others in their place; a number of epochs takes the place of the paper's updates."""
    if overrides.get("warmup_steps") is None:
        overrides = {name: value for name, value in overrides.items() if name != "warmup_steps"}
    check_numbers(overrides)
    settings = {**paper, **overrides}
    if "num_train_epochs" in overrides:
        if overrides.get("max_steps", -1) != -1:
            raise ValueError("num_train_epochs and max_steps both say when training ends: give one of them")
        settings["max_steps"] = -1
        # How many updates these are is known with the careers.
        settings["warmup_steps"] = overrides.get("warmup_steps", 0.1)
    elif settings["max_steps"] == -1:
        raise ValueError("max_steps is -1: give a number of updates, or num_train_epochs")
    if "warmup_steps" not in overrides and 0 < settings["max_steps"] <= settings["warmup_steps"]:
        # A run that is shorter than the paper's warm-up would never reach its learning rate.
        settings["warmup_steps"] = settings["max_steps"] // 10
    check_numbers(settings)
    return settings


def _career_recipe(
    stage: str, processor: CareerProcessor, output_dir: str | Path, size: Mapping[str, int], settings: dict[str, Any]
) -> Recipe:
    config = CareerConfig(**{**processor.config_kwargs(), **size, **settings.pop("config_overrides", {})})
    if (config.career_features or config.return_pointer) and not config.level_years:
        config.level_years = years_of_levels(processor)
    return _recipe(stage, config, output_dir, settings)


def _recipe(stage: str, config: OccupationConfig, output_dir: str | Path, settings: dict[str, Any]) -> Recipe:
    use_cpu = settings.setdefault("use_cpu", not torch.cuda.is_available())
    tokens_per_batch = settings.pop("tokens_per_batch", 16_000)
    patience = settings.pop("patience", 10)
    job_dropout, per = settings.pop("job_dropout", 0.0), settings.pop("job_dropout_per", "person")
    covariate_dropout = settings.pop("covariate_dropout", 0.0)
    keeping = {name: settings.pop(name, none) for name, none in KEEPING.items()}
    keeping = {name: value for name, value in keeping.items() if value != KEEPING[name]}
    layout = settings.pop("layout", "padded" if job_dropout else "flat" if use_cpu else "packed")
    if job_dropout and (layout != "padded" or not isinstance(config, CareerConfig)):
        raise ValueError(
            "job dropout hides steps from attention in padded batches: it is for CAREER, not for rivals, and "
            f"the layout must be left out or be 'padded', not {layout!r}"
        )
    defaults: dict[str, Any] = {
        # The original program's AdamW (decay on everything is in `adamw`), without clipping.
        "adam_beta1": 0.9,
        "adam_beta2": 0.98,
        "adam_epsilon": 1e-8,
        "weight_decay": 0.01,
        "lr_scheduler_type": "inverse_sqrt",
        "max_grad_norm": 0,
        "bf16": not use_cpu,
        # MicroBatches needs these.
        "per_device_train_batch_size": 1,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not use_cpu,
        # Early stopping, and the best checkpoint, by exact validation NLL.
        "eval_strategy": "steps",
        "save_strategy": "steps",
        "save_total_limit": 2,
        "load_best_model_at_end": True,
        "restore_callback_states_from_checkpoint": True,  # the evaluations that early stopping has counted
        "metric_for_best_model": "nll",
        "greater_is_better": False,
        "per_device_eval_batch_size": 128,
        "logging_steps": 50,
        "report_to": "none",
    }
    arguments = TrainingArguments(output_dir=str(output_dir), **{**defaults, **settings})
    if "gradient_accumulation_steps" not in settings and use_cpu:
        per_process = tokens_per_batch / arguments.world_size
        arguments.gradient_accumulation_steps = math.ceil(per_process / CPU_MICRO_BATCH)
    return Recipe(
        stage=stage,
        config=config,
        arguments=arguments,
        make_optimizer=partial(adamw, arguments=arguments, **keeping),
        tokens_per_batch=tokens_per_batch,
        patience=patience,
        layout=layout,
        job_dropout=job_dropout,
        job_dropout_per=per,
        covariate_dropout=covariate_dropout,
        keeping=keeping,
    )


def build_trainer(
    model: PreTrainedModel,
    processor: CareerProcessor,
    recipe: Recipe,
    train: datasets.Dataset | EncodedShards,
    validation: datasets.Dataset,
    callbacks: list[TrainerCallback] | None = None,
    source: Mapping[str, Any] | None = None,
) -> Trainer:
    """A stock Trainer for a recipe.

    Training on CPU switches the model to the attention "sdpa_by_length", which treats ordinary batches as sdpa does. A
    copy of the processor records the training careers and, after training, the run; it is `trainer.processing_class`,
    saved with every checkpoint.

    Args:
        model: Any occupation model of this package; it is moved to the recipe's device.
        processor: The processor that encoded the careers.
        recipe: A recipe from one of the `*_recipe` functions, perhaps changed with `dataclasses.replace`.
        train: Encoded training careers, in memory or in files.
        validation: Encoded validation careers, with a `weight` if the training careers have one. People whose weights
            are all 0 are left out.
        callbacks: Further callbacks of the Trainer.
        source: Source of the training careers, as `careers.provenance.training_source` returns it, to be recorded.

    Returns:
        A Trainer. Its `evaluate()` reports `eval_nll` and `eval_perplexity`, exact means over scored steps, and with
        weights `eval_weighted_nll` and `eval_weighted_perplexity`.

    Raises:
        ValueError: An argument cannot be honoured, careers are a stream, the model and the processor disagree, a model
            with a place for titles has no titles, only one of the two datasets has weights, or all weights are 0.
    """
    arguments = recipe.arguments
    check_arguments(arguments)
    for name, careers in (("training", train), ("validation", validation)):
        kinds = (datasets.Dataset, EncodedShards) if name == "training" else (datasets.Dataset,)
        if not isinstance(careers, kinds):
            raise ValueError(
                f"the {name} careers are a {type(careers).__name__}, and batches of a recipe are drawn from a "
                "datasets.Dataset, or in training from files (CareerShards); a plain Trainer with "
                "processing_class=processor and max_steps trains on a stream"
            )
    processor.check(model.config)
    check_title_embeddings(model)
    weighted = "weight" in train.column_names
    if weighted != ("weight" in validation.column_names):
        raise ValueError(
            f"the {'training' if weighted else 'validation'} careers have survey weights and the others do not; give "
            "both a weight, or drop it with remove_columns('weight')"
        )
    # The model moves before the optimizer is made, because the optimizer holds the parameters.
    torch.nn.Module.to(model, arguments.device)
    if recipe.layout == "flat" and arguments.device.type == "cpu":
        model.set_attn_implementation(SDPA_BY_LENGTH)
    padding = PaddingCollator(processor.pad_token_id)
    layouts: dict[str, Callable[[FlatCareers], Batch]] = {
        "flat": FlatteningCollator(
            ONEDNN_MULTIPLE if arguments.bf16 or faster_products() else 1, processor.pad_token_id
        ),
        "packed": PackingCollator(pad_token_id=processor.pad_token_id),
        "padded": padding,
    }
    collator = layouts[recipe.layout]
    make_batches: Any = MicroBatches
    if isinstance(train, EncodedShards):
        if recipe.job_dropout:
            raise ValueError("job dropout is for careers in memory: load them, or leave it out to train from files")
        make_batches = StreamedMicroBatches
    elif recipe.job_dropout:
        collator = JobDropoutCollator(padding, recipe.job_dropout, recipe.job_dropout_per)
        make_batches = JobDropoutMicroBatches
    micro_batches = make_batches(
        train,
        collator=collator,
        tokens_per_batch=recipe.tokens_per_batch,
        micro_batches_per_batch=arguments.gradient_accumulation_steps * arguments.world_size,
        seed=arguments.seed if arguments.data_seed is None else arguments.data_seed,
        covariate_dropout=recipe.covariate_dropout,
    )
    updates = {}
    if arguments.max_steps <= 0:
        updates["max_steps"] = math.ceil(arguments.num_train_epochs * micro_batches.batches_per_epoch)
        warn_of_warmup(updates["max_steps"], arguments.warmup_steps)
    rows = EncodedCareers(validation)
    # Careers of similar length are side by side, so that batches have little padding.
    order = np.argsort(rows.lengths, kind="stable")
    if weighted:
        # The mean loss of a batch without weight would not be defined.
        order = order[_has_weight(rows, "validation")[order]]
        if not isinstance(train, EncodedShards):
            _has_weight(micro_batches.careers, "training")
    rows = EncodedCareers(validation.select(order))
    # A copy, so that a second run with the caller's processor does not count the careers of the first run too.
    processor = copy.deepcopy(processor)
    processor.record_training(train, recipe.stage, source)
    record = TrainingRecord(processor.training_stages[-1], recipe.settings)
    stopping = [EarlyStoppingCallback(recipe.patience)] if arguments.load_best_model_at_end else []
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=MicroBatchCollator(padding),
        train_dataset=micro_batches,
        eval_dataset=rows,
        processing_class=processor,
        optimizers=recipe.make_optimizer(model, **updates),  # type: ignore[arg-type]  # any scheduler does
        callbacks=[CompleteCheckpoints(), record, *stopping, *(callbacks or [])],
        preprocess_logits_for_metrics=log_prob_of_truth,
        compute_metrics=exact_metrics,
    )
    if weighted:
        # Trainer then hands weights to `exact_metrics` beside the labels.
        trainer.label_names = ["labels", "weight"]
    return trainer


def _has_weight(careers: EncodedCareers, name: str) -> np.ndarray:
    """`(careers,)`: whether anything of a career counts; raises a ValueError if nothing of all careers does."""
    flat = careers.gather(np.arange(len(careers)))
    weights: Any = flat.weights
    counts = np.bincount(np.repeat(np.arange(len(careers)), flat.lengths), weights=weights, minlength=len(careers)) > 0
    if not counts.any():
        raise ValueError(
            f"the weights of the {name} careers are all 0, so that nothing would count: correct them, or drop the "
            "column with remove_columns('weight')"
        )
    return counts


def log_prob_of_truth(logits: torch.Tensor, labels: torch.Tensor | tuple[torch.Tensor, ...] | None) -> torch.Tensor:
    """Log-probability of each true occupation, `(batch, time)`, which is enough for metrics and far smaller than
    logits. Any Trainer takes it as `preprocess_logits_for_metrics`, beside `compute_metrics=exact_metrics`.

    Args:
        logits: `(batch, time, vocabulary)`, normalised log-probabilities.
        labels: `(batch, time)`, alone or followed by weights (`label_names=["labels", "weight"]` in
            TrainingArguments); None in `predict` of careers without labels, which returns the logits.
    """
    if labels is None:
        return logits
    truth = labels[0] if isinstance(labels, tuple) else labels
    return logits.gather(-1, truth.clamp(min=0).unsqueeze(-1)).squeeze(-1)


def exact_metrics(evaluated: EvalPrediction) -> dict[str, float]:
    """Negative log-likelihood per scored step and its exponential; with weights, weighted too.

    Args:
        evaluated: `predictions` from `log_prob_of_truth`, `(people, time)`; `label_ids` are labels, or labels and
            weights, `(people,)` or `(people, time)`.
    """
    label_ids: Any = evaluated.label_ids
    labels, weight = label_ids if isinstance(label_ids, tuple) else (label_ids, None)
    scored = labels != -100
    nll = -np.where(scored, evaluated.predictions, 0)
    of_people, steps = nll.sum(axis=1, dtype=np.float64), scored.sum(axis=1)
    metrics = {"nll": of_people.sum() / steps.sum()}
    if weight is not None and weight.ndim == 1:
        weight = weight.astype(np.float64)
        metrics["weighted_nll"] = (weight * of_people).sum() / (weight * steps).sum()
    elif weight is not None:
        weight = np.where(scored, weight, 0).astype(np.float64)
        metrics["weighted_nll"] = (weight * nll).sum() / weight.sum()
    if not np.isfinite(metrics.get("weighted_nll", 0)):
        raise ValueError("all weights of the evaluated careers are 0, so their weighted likelihood is not defined")
    return metrics | {name.replace("nll", "perplexity"): math.exp(value) for name, value in metrics.items()}


__all__ = [
    "FINETUNING_BY_SIZE",
    "TRAINING_BY_SIZE",
    "Recipe",
    "adamw",
    "baseline_recipe",
    "build_trainer",
    "exact_metrics",
    "finetuning_defaults",
    "finetuning_recipe",
    "inverse_sqrt_rate",
    "log_prob_of_truth",
    "pretraining_recipe",
    "recipe_for",
    "scratch_recipe",
    "training_defaults",
]
