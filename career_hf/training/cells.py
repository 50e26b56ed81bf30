"""Cells of a comparison or a study, each computed once: a finished cell is read from its file or folder.

A training run that was stopped continues from its last checkpoint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import pandas as pd
import torch
from datasets import Dataset
from joblib import Parallel, delayed
from transformers import PreTrainedModel, Trainer, TrainerCallback
from transformers.utils import logging

from ..careers.atomic_files import complete
from ..careers.provenance import years_of
from ..careers.shards import CareerShards
from ..encoding.checkpoints import load_checkpoint
from ..encoding.processing_career import CareerProcessor
from .fitting import Encoded, fit_model
from .trainer import Recipe, build_trainer


STATE, SETTINGS = "trainer_state.json", "settings.json"


class Trial(Protocol):
    """One training run, which has its own folder."""

    @property
    def folder(self) -> str: ...


T = TypeVar("T", bound=Trial)


def keep_settings(folder: Path, settings: Mapping[str, Any], fix: str = "choose another folder") -> None:
    """Writes settings into the folder of a comparison or a study.

    Args:
        folder: The folder.
        settings: Everything that determines its cells, in a form for JSON.
        fix: What to do if they are others.

    Raises:
        ValueError: The folder holds a study with other settings, whose cells must not be mixed with these.
    """
    path, text = folder / SETTINGS, json.dumps(settings, indent=2) + "\n"
    if not path.exists():
        with complete(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != json.loads(text):
        raise ValueError(f"{folder} holds a study with other settings: {fix}")


def run_jobs(description: str, jobs: Sequence[Callable[[], Any]], workers: int) -> None:
    """Runs jobs in processes of one thread each, with a progress bar.

    Args:
        description: Words beside the progress bar.
        jobs: Functions that leave their results in files.
        workers: Number of processes.
    """
    finished = Parallel(n_jobs=workers, return_as="generator_unordered")(delayed(_run_alone)(job) for job in jobs)
    for _ in logging.tqdm(finished, desc=description, total=len(jobs), unit="cell"):
        pass


def _run_alone(job: Callable[[], Any]) -> None:
    """Runs a job with one thread and without its own progress bar; with one worker this is the caller's process."""
    torch.set_num_threads(1)
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        job()
    finally:
        if was_enabled:
            logging.enable_progress_bar()


def linear_schedule(
    *,
    rate: float,
    seed: int,
    max_steps: int,
    tokens_per_batch: int,
    patience: int,
    warmup_steps: int | None = None,
    eval_steps: int | None = None,
) -> dict[str, Any]:
    """Settings of a recipe whose learning rate falls to zero at the last update.

    Args:
        rate: Peak learning rate.
        seed: Random seed of the initial weights and of the order of careers.
        max_steps: Number of updates, unless early stopping comes before.
        tokens_per_batch: Number of person-years in one update.
        patience: Number of validations without improvement after which training stops.
        warmup_steps: Number of updates until the peak rate; a tenth of `max_steps` if None.
        eval_steps: Number of updates between validations; a tenth of `max_steps` if None.
    """
    tenth = max(1, max_steps // 10)
    evaluations = tenth if eval_steps is None else eval_steps
    return {
        "learning_rate": rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": min(tenth, max_steps - 1) if warmup_steps is None else warmup_steps,
        "max_steps": max_steps,
        "eval_steps": evaluations,
        "save_steps": evaluations,
        "tokens_per_batch": tokens_per_batch,
        "patience": patience,
        "seed": seed,
    }


def fit_once(
    folder: Path,
    make_model: Callable[[Any], PreTrainedModel],
    processor: CareerProcessor,
    make_recipe: Callable[[Path], Recipe],
    train: Dataset | CareerShards,
    validation: Dataset | CareerShards,
    source: Mapping[str, Any],
    *,
    unknown_levels: Literal["error", "missing"] = "missing",
    encode: Callable[..., Encoded] | None = None,
    build: Callable[..., Trainer] = build_trainer,
    callbacks: list[TrainerCallback] | None = None,
) -> tuple[PreTrainedModel, CareerProcessor]:
    """A trained model and its processor, loaded from their folder if it exists.

    Args:
        folder: Folder of the model; it exists only if the model is complete.
        make_model: A function from the recipe's config to the model to train, called after the recipe's seed is set.
        processor: The processor that encodes the careers.
        make_recipe: A function to a recipe from the folder of intermediate checkpoints, which is deleted after
            training.
        train, validation: Careers.
        source: Source of the careers, as `careers.provenance.source_of` returns it; the checkpoint keeps it.
        unknown_levels, encode, build, callbacks: As in `fit_model`.
    """
    # Beside the folder, so that a run that was stopped can continue.
    training = folder.with_name(f".{folder.name}.training")
    if not folder.exists():
        fitted = fit_model(
            make_model,
            processor,
            make_recipe(training),
            train,
            validation,
            source={**years_of(train), **source},
            resume=True,
            progress=False,
            unknown_levels=unknown_levels,
            encode=encode,
            build=build,
            callbacks=callbacks,
        )
        with complete(folder) as unfinished:
            fitted.save(unfinished)
            fitted.state.save_to_json(str(unfinished / STATE))  # type: ignore[union-attr]  # not None after training
    # A run may have been stopped after the folder was complete.
    shutil.rmtree(training, ignore_errors=True)
    return load_checkpoint(folder)


def training_log(folder: Path) -> pd.DataFrame:
    """Updates, hours and best validation NLL of every model in `folder/models`, by the name of its folder."""
    names = sorted(path.parent.name for path in (folder / "models").glob(f"*/{STATE}"))
    return pd.DataFrame.from_dict({name: _log_entry(folder, name) for name in names}, orient="index")


def _log_entry(folder: Path, name: str) -> dict[str, Any]:
    """The row of one model in `training_log`."""
    state = json.loads((folder / "models" / name / STATE).read_text(encoding="utf-8"))
    hours = sum(entry.get("train_runtime", 0.0) for entry in state["log_history"]) / 3600
    return {"updates": state["global_step"], "hours": hours, "best": state["best_metric"]}


def best_trial(folder: Path, trials: Iterable[T]) -> T:
    """The trial with the best validation metric, of some trials that were trained in `folder/models`."""
    by_folder = {trial.folder: trial for trial in trials}
    return by_folder[str(pd.Series({name: _log_entry(folder, name)["best"] for name in by_folder}).idxmin())]


__all__ = [
    "SETTINGS",
    "STATE",
    "best_trial",
    "fit_once",
    "keep_settings",
    "linear_schedule",
    "run_jobs",
    "training_log",
]
