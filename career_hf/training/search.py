"""Trials of a training run: a few pairs of learning rate and dropout, of which validation careers choose one.

The first trial is the recipe itself. Further ones lie evenly around it, as Halton's sequence does, which is as good as
random search (Bergstra and Bengio 2012) with fewer gaps and needs no seed: rates from a third of the recipe's to three
times it, even in their logarithm, and dropout from 0 to .5. A longer search begins with the trials of a shorter one.
Trials are cells (`training.cells`): a finished one is read from its folder, and one that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset
from scipy.stats.qmc import Halton
from transformers import PreTrainedModel, TrainerState
from transformers.utils import logging

from ..careers.shards import CareerShards
from ..encoding.checkpoints import load_checkpoint
from ..encoding.processing_career import CareerProcessor
from .cells import STATE, best_trial, fit_once, keep_settings, training_log
from .fitting import Encoded, FittedModel
from .plan import AnnouncedPlan
from .runs import fingerprint
from .trainer import Recipe


# Rates are tried up to this factor above and below the recipe's, and dropouts up to the largest.
RATE_FACTOR, MOST_DROPOUT = 3.0, 0.5


@dataclass(frozen=True)
class RateTrial:
    """One trial: its number, peak learning rate, and dropout if the model has it as an option.

    Args:
        number: Its place, from 0.
        learning_rate: Peak learning rate.
        dropout: Dropout; None for a model that has none.
    """

    number: int
    learning_rate: float
    dropout: float | None

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return str(self.number)


def rate_trials(
    trials: int, learning_rate: float, dropout: float | None, fixed: Sequence[str] = ()
) -> list[RateTrial]:
    """The trials around a recipe.

    Args:
        trials: Number of trials, of which the recipe is the first.
        learning_rate: The recipe's rate.
        dropout: The recipe's dropout; None for a model that has none.
        fixed: Which of "learning_rate" and "dropout" stay as they are.

    Raises:
        ValueError: Nothing is left to try.
    """
    free = [name for name, value in (("learning_rate", learning_rate), ("dropout", dropout)) if value is not None]
    free = [name for name in free if name not in fixed]
    if trials > 1 and not free:
        raise ValueError(
            f"trials is {trials}, and {' and '.join(fixed)} of all trials are given: leave one out, or trials"
        )
    found = [RateTrial(0, learning_rate, dropout)]
    points = Halton(d=max(1, len(free)), scramble=False)
    points.fast_forward(1)  # the first point is a corner
    while len(found) < trials:
        place = dict(zip(free, points.random()[0], strict=True))
        rate, share = learning_rate, dropout
        if "learning_rate" in place:
            rate = float(f"{learning_rate * RATE_FACTOR ** (2 * place['learning_rate'] - 1):.3g}")
        if "dropout" in place:
            share = round(MOST_DROPOUT * float(place["dropout"]), 3)
        if (rate, share) != (learning_rate, dropout):
            found.append(RateTrial(len(found), rate, share))
    return found


def search(
    folder: Path,
    trials: Sequence[RateTrial],
    make_model: Callable[[Any], PreTrainedModel],
    processor: CareerProcessor,
    make_recipe: Callable[[RateTrial, Path], Recipe],
    train: Dataset | CareerShards,
    validation: Dataset | CareerShards,
    source: Mapping[str, Any],
    *,
    encode: Callable[..., Encoded] | None = None,
    announced: AnnouncedPlan | None = None,
) -> tuple[FittedModel, pd.DataFrame]:
    """Trains every trial that is not in the folder yet, and loads the best by the validation metric.

    Args:
        folder: Folder of the search, with one subfolder for each trial in `models`.
        trials: The trials.
        make_model, processor, train, validation, source, encode: As in `fit_model`.
        make_recipe: A function from a trial and the folder of its checkpoints to its recipe.
        announced: What announces the plan of those that are not trained yet.

    Returns:
        The best model, and a table with one row per trial: `learning_rate`, `dropout`, `updates`,
        `hours`, `best` (the validation metric, lower is better) and `chosen`.

    Raises:
        ValueError: The folder holds trials of other careers or settings, or more trials, or as in `fit_model`.
    """
    encode_careers = encode or _encoded
    (encoded, _), (encoded_validation, ledger) = (
        encode_careers(part, processor, unknown_levels="missing") for part in (train, validation)
    )
    careers = {"training careers": fingerprint(encoded), "validation careers": fingerprint(encoded_validation)}
    first, fix = (
        make_recipe(trials[0], folder),
        "choose another folder, or replace them with overwrite=True (--overwrite)",
    )
    keep_settings(folder, {**first.run_settings, "max_steps": first.arguments.max_steps, **careers}, fix)
    names = {trial.folder for trial in trials}
    if further := [name for name in training_log(folder).index if name not in names]:
        raise ValueError(
            f"{folder} holds a longer search of {max(map(int, further)) + 1} trials, and trials is {len(trials)}: its "
            f"best model must not be replaced by that of fewer; take as many trials, or {fix}"
        )
    if announced is not None:
        announced.trials = sum(not (folder / "models" / trial.folder).exists() for trial in trials)
    for trial in logging.tqdm(trials, desc="Trials", unit="trial"):
        place = folder / "models" / trial.folder
        fit_once(
            place,
            make_model,
            processor,
            partial(make_recipe, trial),
            train,
            validation,
            source,
            encode=encode,
            callbacks=[announced] if announced is not None else None,
        )
    chosen, log = best_trial(folder, trials), training_log(folder)
    rows = [{"learning_rate": one.learning_rate, "dropout": one.dropout, **log.loc[one.folder]} for one in trials]
    table = pd.DataFrame(rows, index=pd.Index([one.number for one in trials], name="trial"))
    table = table.astype({"updates": int}).assign(chosen=table.index == chosen.number)
    place = folder / "models" / chosen.folder
    model, of_model = load_checkpoint(place)
    stage = of_model.training_stages[-1]
    stage["source"] = dict(source)
    stage["run"]["settings"]["trials"] = len(trials)
    state = TrainerState.load_from_json(str(place / STATE))
    # The last entry is the evaluation of the best weights.
    *entries, last = state.log_history
    metrics = {name: value for name, value in last.items() if name != "step"}
    return FittedModel(model, of_model, metrics, ledger, state, entries), table


def _encoded(careers: Dataset | CareerShards, processor: CareerProcessor, **options: Any) -> Any:
    """What a processor makes of careers, validation careers in files included."""
    return processor.encode(careers, **options)


__all__ = ["RateTrial", "rate_trials", "search"]
