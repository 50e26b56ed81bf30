"""Representations of people whom the model was not trained on: a check, and models by fold of people.

A model may have learned by heart the later years of the people that it was trained on. Their representations then
carry their future, and any outcome that is regressed on them looks better explained than it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from datasets import Dataset

from ..careers.columns import career_table, list_lengths, list_values
from ..careers.frames import cut
from ..careers.periods import period_label, time_unit
from ..careers.splits import check_leaks, split_careers
from ..encoding.checkpoints import as_checkpoint
from ..encoding.processing_career import CareerProcessor
from ..encoding.training_history import same_counts
from ..number_ranges import within_ranges
from .representations import Kind, Steps, Timing, as_kind, keyed_table, representations


@within_ranges
def check_not_trained_on(
    careers: Dataset, trained_on: Dataset | Mapping[str, Any], processor: CareerProcessor | None = None
) -> None:
    """Checks that the model was not trained on some people: it may have learned their later years by heart.

    Args:
        careers: Careers whose representations will be used.
        trained_on: The training careers, or the manifest of their split (`split.json`), from which people of the split
            "train" are found again by their hash.
        processor: The model's processor. If given, the training careers must be those that it has recorded, which may
            go on after the cutoff of training.

    Raises:
        ValueError: The model was trained on a person or, where families are known, on a family; or the processor has
            recorded other training careers.
    """
    if isinstance(trained_on, Mapping):
        if absent := [name for name in ("fractions", "salt", "group") if name not in trained_on]:
            raise ValueError(f"trained_on has no '{absent[0]}', and so is no manifest of a split (split.json)")
        splits = split_careers(careers, dict(trained_on["fractions"]), trained_on["salt"], trained_on["group"])
        if people := splits["train"]["person"][:]:
            raise ValueError(
                f"person '{people[0]}' and {len(people) - 1} others of {len(careers)} are in the split 'train': the "
                "model was trained on them; represent other people, or cross_fit"
            )
        return
    if processor is not None:
        _check_training_careers(trained_on, processor)
    check_leaks({"trained on": trained_on, "represented": careers})


def _check_training_careers(careers: Dataset, processor: CareerProcessor) -> None:
    """Raises a ValueError if no stage of training has the counts of these careers, whole or cut where the stage ends,
    as they were if the model was trained with a cutoff."""
    years = list_values(career_table(careers), "year").to_numpy()
    lasts = {stage["last_year"] for stage in processor.training_stages if stage.get("last_year") is not None}
    ends = [end for end in sorted(lasts) if len(years) and years.min() <= end < years.max()]
    for some in (careers, *(cut(careers, end)[0] for end in ends)):
        encoded, _ = processor.encode(some, unknown_levels="missing")
        recorder = copy.deepcopy(processor)
        recorder.record_training(encoded, "these")
        counted = recorder.training_stages[-1]
        if any(same_counts(stage, counted) for stage in processor.training_stages):
            return
    unit = time_unit(careers)
    until = f", the last {unit} of which is {period_label(max(lasts), unit)}" if lasts else ""
    raise ValueError(
        f"the model was trained on other careers than these, as its processor has recorded{until}: pass the careers "
        "that it was trained on, whole or up to its cutoff"
    )


@within_ranges
def cross_fit(
    careers: Dataset,
    folds: int,
    train: Callable[[Dataset, int], Any],
    *,
    timing: Timing = "before",
    steps: Steps = "all",
    kind: Kind = "array",
    salt: str = "cross_fit",
    batch_tokens: int | None = None,
    unknown_levels: Literal["error", "missing"] = "missing",
) -> tuple[Any, np.ndarray]:
    """Representations of everybody from models that were not trained on them, one model for each fold of people.

    Coordinates of different folds mean different things, because every model has its own axes. Fit regressions on them
    within a fold, and average results that do not depend on the axes (a prediction, an effect).

    Args:
        careers: Careers; families stay in one fold where careers have a `group`.
        folds: Number of folds, by a hash of the person or family.
        train: A function from the training careers and the number of the fold to a model and its processor: a pair,
            a result of training, or the folder of a checkpoint. It should save them if an interrupted run is to
            continue.
        timing, steps, kind, batch_tokens, unknown_levels: As in `representations`.
        salt: Salt of the hash. It should differ from the salt of the splits inside `train`, which would otherwise
            divide people in the same way.

    Returns:
        What `representations` returns, in the order of the careers; and `(rows,)`, the fold of each row.

    Raises:
        ValueError: A fold has no people, or as in `representations`.
    """
    parts = split_careers(careers, {str(fold): 1 / folds for fold in range(folds)}, salt)
    fold_by_name = {person: fold for fold in range(folds) for person in parts[str(fold)]["person"]}
    person_fold = np.array([fold_by_name[person] for person in careers["person"]])
    empty = np.setdiff1d(np.arange(folds), person_fold)
    if folds < 2 or len(empty):
        raise ValueError(f"{folds} folds of {len(careers)} people, of which {len(empty)} are empty: take 2 or more")
    lengths = list_lengths(career_table(careers), "year")
    row_fold = np.repeat(person_fold, lengths) if steps == "all" else person_fold
    fold_values: dict[int, np.ndarray] = {}
    for fold in range(folds):
        model, processor = as_checkpoint(train(careers.select(np.flatnonzero(person_fold != fold)), fold))
        fold_values[fold] = representations(
            model,
            careers.select(np.flatnonzero(person_fold == fold)),
            processor,
            timing=timing,
            steps=steps,
            batch_tokens=batch_tokens,
            unknown_levels=unknown_levels,
        )
    values = np.empty((len(row_fold), fold_values[0].shape[1]), dtype=np.float32)
    for fold, rows in fold_values.items():
        values[row_fold == fold] = rows
    return as_kind(keyed_table(careers, values, steps), kind), row_fold


__all__ = ["check_not_trained_on", "cross_fit"]
