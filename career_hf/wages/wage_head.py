"""Training and using a wage head: wages beside encoded careers, a recipe and its Trainer, predictions.

    encode_wages -> wage_recipe -> build_wage_trainer(CareerForWagePrediction.from_occupation_model(...)) -> train
    -> predict_log_wages

It is the fine-tuning recipe of Appendix G, stopped at the best wage error of validation people in place of the
likelihood, by the stock Trainer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import torch
from transformers import EvalPrediction, Trainer, TrainerCallback

from ..careers.columns import career_table, list_values, make_dataset
from ..careers.ledger import Ledger
from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..encoding.scoring_batches import scoring_batches
from ..models.modeling_wage import CareerForWagePrediction, CareerWageConfig
from ..occupations.labels import NOT_WORKING
from ..training.trainer import Recipe, build_trainer, exact_metrics, finetuning_recipe, log_prob_of_truth
from .design import LOG_WAGE


if TYPE_CHECKING:
    from datasets import Dataset


def encode_wages(
    careers: Dataset,
    processor: CareerProcessor,
    *,
    unknown_levels: Literal["error", "missing"] = "error",
    not_working: Sequence[str] = NOT_WORKING,
) -> tuple[Dataset, Ledger]:
    """Encoded careers with a column `log_wage`, NaN where there is none: the wages that `wage_frame` keeps.

    Args:
        careers: Careers with an outcome `log_wage` over time.
        processor: Encodes them.
        unknown_levels: As in `processor.encode`.
        not_working: Occupation labels whose years have no wage to explain.

    Raises:
        ValueError: Careers have no wages, or as in `processor.encode`.
    """
    if LOG_WAGE not in careers.column_names:
        raise ValueError(f"careers have no outcome '{LOG_WAGE}', only {careers.column_names}: build them with wages")
    encoded, ledger = processor.encode(careers, unknown_levels=unknown_levels)
    table, columns = career_table(careers), career_table(encoded)
    wages = np.array(list_values(table, LOG_WAGE).to_numpy(zero_copy_only=False), dtype=np.float32)
    idle = np.isin(list_values(table, "occupation").to_numpy(zero_copy_only=False), not_working) & np.isfinite(wages)
    wages[idle] = np.nan
    altered = {"not at work, although there is a wage: wage not used": int(idle.sum())}
    ledger.record("wages at work", "person-years", len(wages), len(wages), altered=altered)
    ledger.note(f"{np.isfinite(wages).sum()} of {len(wages)} person-years have a wage")
    offsets = columns["input_ids"].combine_chunks().offsets
    of_steps = pa.ListArray.from_arrays(offsets, pa.array(wages))
    return make_dataset({name: columns[name] for name in columns.column_names} | {LOG_WAGE: of_steps}), ledger


def wage_recipe(
    processor: CareerProcessor, config: CareerWageConfig, output_dir: str | Path, **overrides: Any
) -> Recipe:
    """The fine-tuning recipe, judged by the wage error of validation people.

    Args:
        processor: Of the model.
        config: Of the model.
        output_dir, overrides: As in `finetuning_recipe`, without `config_overrides`.
    """
    settings = {"metric_for_best_model": "wage_mse", **overrides}
    return replace(finetuning_recipe(processor, output_dir, **settings), stage="wages", config=config)


def build_wage_trainer(
    model: CareerForWagePrediction,
    processor: CareerProcessor,
    recipe: Recipe,
    train: Dataset,
    validation: Dataset,
    callbacks: list[TrainerCallback] | None = None,
    source: Mapping[str, Any] | None = None,
) -> Trainer:
    """A stock Trainer for wages and occupations.

    Args:
        model: With a wage head.
        processor: The one that encoded the careers.
        recipe: From `wage_recipe`.
        train, validation: From `encode_wages`.
        callbacks: Further callbacks.
        source: As in `build_trainer`.

    Returns:
        A Trainer. `evaluate()` reports `eval_wage_mse`, the mean squared error of observed log wages, and what that of
        `build_trainer` does; with weights `eval_weighted_wage_mse` too.

    Raises:
        ValueError: Careers have no wages, or as in `build_trainer`.
    """
    for name, careers in {"training": train, "validation": validation}.items():
        if LOG_WAGE not in careers.column_names:
            raise ValueError(f"the {name} careers have no column '{LOG_WAGE}': encode them with encode_wages")
    trainer = build_trainer(model, processor, recipe, train, validation, callbacks, source)
    trainer.label_names = ["labels", LOG_WAGE, *(["weight"] if "weight" in train.column_names else [])]
    trainer.preprocess_logits_for_metrics = _truth_and_wage  # type: ignore[assignment]
    trainer.compute_metrics = wage_metrics
    return trainer


def _truth_and_wage(outputs: Any, labels: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each true occupation, and the predicted wage."""
    logits, predicted = outputs
    return log_prob_of_truth(logits, labels), predicted


def wage_metrics(evaluated: EvalPrediction) -> dict[str, float]:
    """The mean squared error of observed log wages, and the exact likelihood of occupations.

    Args:
        evaluated: `predictions` are log-probabilities and predicted log wages, `(people, time)`; `label_ids` are
            labels, log wages and, where there are any, weights.
    """
    predictions: Any = evaluated.predictions
    label_ids: Any = evaluated.label_ids
    (log_probs, predicted), (labels, log_wage, *weight) = predictions, label_ids
    observed = (labels != -100) & np.isfinite(log_wage)
    error = np.where(observed, np.where(observed, log_wage, 0) - predicted, 0).astype(np.float64) ** 2
    metrics = {"wage_mse": error.sum() / observed.sum()}
    if weight:
        of_person = weight[0][:, None].astype(np.float64)
        metrics["weighted_wage_mse"] = (of_person * error).sum() / (of_person * observed).sum()
    of_occupations = EvalPrediction(predictions=log_probs, label_ids=(labels, *weight) if weight else labels)
    return metrics | exact_metrics(of_occupations)


def predict_log_wages(
    model: CareerForWagePrediction,
    careers: Dataset,
    processor: CareerProcessor,
    *,
    batch_tokens: int = 16_000,
    unknown_levels: Literal["error", "missing"] = "error",
) -> np.ndarray:
    """The expected log wage of every person-year, in the order of `to_frame(careers)`, whether it has a wage or not.

    Args:
        model: With a wage head.
        careers: Careers; wages are not looked at.
        processor: The model's.
        batch_tokens: Steps per batch, padding included.
        unknown_levels: As in `processor.encode`.

    Returns:
        float32 `(person-years,)`.

    Raises:
        ValueError: The processor is not the model's, or a career cannot be encoded.
    """
    processor.check(model.config)
    rows = EncodedCareers(processor.encode(careers, unknown_levels=unknown_levels)[0])
    log_wages = np.empty(int(rows.lengths.sum()), dtype=np.float32)
    for batch in scoring_batches(model, rows, batch_tokens, description="Predicting wages"):
        with torch.inference_mode():
            predicted = model(**batch.inputs, labels=batch.labels).predicted_log_wage[batch.real]
        log_wages[batch.places] = predicted.float().cpu().numpy()
    return log_wages


__all__ = ["build_wage_trainer", "encode_wages", "predict_log_wages", "wage_metrics", "wage_recipe"]
