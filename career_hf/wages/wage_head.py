"""The wage head: encoding wages beside careers, a recipe, the Trainer that runs it, and predictions.

    encode_wages -> wage_recipe -> build_wage_trainer(CareerForWagePrediction.from_occupation_model(...)) -> train
    -> predict_log_wages

The recipe is the fine-tuning recipe of Appendix G, but the stock Trainer stops at the best wage error of validation
people instead of their best likelihood.
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
from ..number_ranges import within_ranges
from ..occupations.labels import NOT_WORKING
from ..training.trainer import Recipe, build_trainer, exact_metrics, finetuning_recipe, log_prob_of_truth
from .design import LOG_WAGE


if TYPE_CHECKING:
    from datasets import Dataset


@within_ranges
def encode_wages(
    careers: Dataset,
    processor: CareerProcessor,
    *,
    unknown_levels: Literal["error", "missing"] = "error",
    not_working: Sequence[str] = NOT_WORKING,
) -> tuple[Dataset, Ledger]:
    """Encodes careers with a column `log_wage`, which is NaN for person-years that `wage_frame` leaves out.

    Args:
        careers: Careers with an outcome `log_wage` over time.
        processor: The processor that encodes the careers.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.
        not_working: Occupation labels that mean no work, whose years have no wage to explain.

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
    wage_lists = pa.ListArray.from_arrays(offsets, pa.array(wages))
    return make_dataset({name: columns[name] for name in columns.column_names} | {LOG_WAGE: wage_lists}), ledger


@within_ranges
def wage_recipe(
    processor: CareerProcessor, config: CareerWageConfig, output_dir: str | Path, **overrides: Any
) -> Recipe:
    """The fine-tuning recipe, judged by the wage error of validation people.

    Args:
        processor: The model's processor.
        config: The model's config.
        output_dir, overrides: As in `finetuning_recipe`, without `config_overrides`.
    """
    settings = {"metric_for_best_model": "wage_mse", **overrides}
    return replace(finetuning_recipe(processor, output_dir, **settings), stage="wages", config=config)


@within_ranges
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
        model: A model with a wage head.
        processor: The processor that encoded the careers.
        recipe: What `wage_recipe` returns.
        train, validation: Careers that `encode_wages` encoded.
        callbacks: Further callbacks of the Trainer.
        source: As in `build_trainer`.

    Returns:
        A Trainer. Its `evaluate()` reports `eval_wage_mse`, the mean squared error of observed log wages, with weights
        `eval_weighted_wage_mse` too, and the metrics of `build_trainer`.

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
            labels, log wages and, for weighted careers, weights.
    """
    predictions: Any = evaluated.predictions
    label_ids: Any = evaluated.label_ids
    (log_probs, predicted), (labels, log_wage, *weight) = predictions, label_ids
    observed = (labels != -100) & np.isfinite(log_wage)
    error = np.where(observed, np.where(observed, log_wage, 0) - predicted, 0).astype(np.float64) ** 2
    metrics = {"wage_mse": error.sum() / observed.sum()}
    if weight:
        # One weight per person, or one per person-year.
        person_weight = weight[0].reshape(len(error), -1).astype(np.float64)
        if not (total := (person_weight * observed).sum()) > 0:
            raise ValueError("all weights of years with a wage are 0, so that the weighted error is not defined")
        metrics["weighted_wage_mse"] = (person_weight * error).sum() / total
    occupations = EvalPrediction(predictions=log_probs, label_ids=(labels, *weight) if weight else labels)
    return metrics | exact_metrics(occupations)


@within_ranges
def predict_log_wages(
    model: CareerForWagePrediction,
    careers: Dataset,
    processor: CareerProcessor,
    *,
    batch_tokens: int | None = None,
    unknown_levels: Literal["error", "missing"] = "error",
) -> np.ndarray:
    """The expected log wage of every person-year, with or without a wage, in the order of `to_frame(careers)`.

    Args:
        model: A model with a wage head.
        careers: Careers; their wages are ignored.
        processor: The model's processor.
        batch_tokens: Steps per batch, padding included; chosen by the model's size and device if None.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.

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
