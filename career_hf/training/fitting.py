"""One training run of any model: encode careers, make the model, train it by a recipe, evaluate it.

Everything that trains calls `fit_model`: `career_hf.train` and `finetune`, the comparison of models, and the studies.
It takes a recipe and a function that makes the model, so that a caller can change either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedModel, ProgressCallback, Trainer, TrainerCallback, TrainerState, set_seed

from ..careers.ledger import Ledger
from ..careers.shards import CareerShards
from ..encoding.processing_career import CareerProcessor
from ..encoding.training_history import record_careers
from ..readable_values import ReadableResult
from .runs import claimed_run, fingerprint, last_checkpoint, size_of_weights
from .trainer import Recipe, build_trainer


Encoded = tuple[Dataset, Ledger]


@dataclass(frozen=True, repr=False)
class FittedModel(ReadableResult):
    """A model that was trained or counted.

    Args:
        model: The model with its best weights.
        processor: The model's processor, which has recorded the training careers.
        metrics: Exact metrics of validation careers, such as `eval_nll` and `eval_perplexity`; empty for a model made
            of counts.
        ledger: Counts of labels that encoding altered in validation careers.
        state: The Trainer's state, with its log; None for a model made of counts.
        log: Entries that the Trainer logged while training, without the final evaluation that `metrics` has.
    """

    model: PreTrainedModel
    processor: CareerProcessor
    metrics: Mapping[str, float]
    ledger: Ledger
    state: TrainerState | None = None
    log: list[dict[str, Any]] = field(default_factory=list)

    def to_frame(self) -> pd.DataFrame:
        """The training log, one row per logged update (the index `step`), with `loss` and validation metrics."""
        if not self.log:
            return pd.DataFrame(index=pd.Index([], name="step"))
        # The loss and the validation metrics of one update are separate entries.
        return pd.DataFrame(self.log).groupby("step").first()

    def save(self, folder: str | Path) -> Self:
        """Writes the model and its processor into a folder; of several processes that train together, the first does.

        Args:
            folder: Destination folder.
        """
        if PartialState().is_main_process:
            self._write(Path(folder))
        return self

    def _write(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)


def fit_model(
    make_model: Callable[[Any], PreTrainedModel],
    processor: CareerProcessor,
    recipe: Recipe,
    train: Dataset | CareerShards,
    validation: Dataset | CareerShards,
    *,
    source: Mapping[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    unknown_levels: Literal["error", "missing"] = "missing",
    encode: Callable[..., Encoded] | None = None,
    build: Callable[..., Trainer] = build_trainer,
    callbacks: list[TrainerCallback] | None = None,
) -> FittedModel:
    """Trains a model by a recipe.

    Args:
        make_model: A function from the recipe's config to the model to train, called after the recipe's seed is set.
        processor: The processor that encodes the careers; it is not changed.
        recipe: A recipe from one of the `*_recipe` functions. Its folder holds the intermediate checkpoints.
        train: Training careers, or files of them, which are read part by part.
        validation: Validation careers, which choose the best checkpoint; they are held in memory.
        source: Source of the training careers, as `careers.provenance.training_source` returns it, to be recorded.
        resume: Whether to continue from the newest whole checkpoint in the recipe's folder, if there is one.
        overwrite: Whether another run in the recipe's folder is replaced. The same run may always start again.
        progress: Whether to show a progress bar and the log.
        unknown_levels: What to do with covariate levels that only validation careers have, as in `processor.encode`.
        encode: A function that encodes careers for another task, with the arguments of `encode_wages`;
            `processor.encode` if None.
        build: A function that builds the Trainer, with the arguments of `build_trainer`.
        callbacks: Further callbacks of the Trainer.

    Raises:
        ValueError: Careers cannot be encoded, the recipe's folder holds another run or one that is training, or as in
            `build_trainer`.
    """
    if isinstance(validation, CareerShards):
        validation = validation.load()
    if encode is None:
        encoded, _ = processor.encode(train)
        encoded_validation, ledger = processor.encode(validation, unknown_levels=unknown_levels)
    else:
        encoded, _ = encode(train, processor, unknown_levels=unknown_levels)
        encoded_validation, ledger = encode(validation, processor, unknown_levels=unknown_levels)
    set_seed(recipe.arguments.seed)
    model = make_model(recipe.config)
    run = {
        **recipe.run_settings,
        "training careers": fingerprint(encoded),
        "validation careers": fingerprint(encoded_validation),
        "size of the initial weights": size_of_weights(model),
    }
    trainer = build(model, processor, recipe, encoded, encoded_validation, callbacks=callbacks, source=source)
    batches: Any = trainer.train_dataset
    if batches.batches_depend_on_micro_batches:
        # A run that went on with another number of processes would repeat some people in an epoch, and skip others.
        run["micro_batches"] = batches.micro_batches_per_batch
    trained: Any = trainer.processing_class
    record_careers(trained.training_stages[-1], train)
    if not progress:
        trainer.remove_callback(ProgressCallback)
    folder, is_main_process = str(trainer.args.output_dir), trainer.args.should_save
    claim = claimed_run(folder, run, resume=resume, overwrite=overwrite, is_main_process=is_main_process)
    with claim as checkpoint:
        trainer.train(resume_from_checkpoint=checkpoint)
    log = list(trainer.state.log_history)
    metrics = trainer.evaluate()
    return FittedModel(model, trained, metrics, ledger, trainer.state, log)


__all__ = ["FittedModel", "fit_model", "last_checkpoint"]
