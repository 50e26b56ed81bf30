"""Cells of a study, each computed once: what is finished lies in a file or a folder, and is read when asked again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pandas as pd
import torch
from joblib import Parallel, delayed
from transformers import PreTrainedModel, ProgressCallback, set_seed
from transformers.utils import logging

from career_hf.careers.atomic_files import complete
from career_hf.careers.provenance import years_of
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.transition_table import transition_table
from career_hf.training.trainer import Recipe, build_trainer


if TYPE_CHECKING:
    from datasets import Dataset


class Trial(Protocol):
    """One training run, which has a folder of its own."""

    @property
    def folder(self) -> str: ...


T = TypeVar("T", bound=Trial)


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes a study's settings into its folder.

    Raises:
        ValueError: The folder holds a study with other settings, whose cells would be taken for this one's.
    """
    path, text = folder / "settings.json", json.dumps(settings, indent=2) + "\n"
    if not path.exists():
        with complete(path) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != json.loads(text):
        raise ValueError(f"{folder} holds a study with other settings: choose another folder")


def run_jobs(what: str, jobs: Sequence[Callable[[], Any]], workers: int) -> None:
    """Runs jobs in processes of one thread each, with progress.

    Args:
        what: They do.
        jobs: Functions that leave their results in files.
        workers: Processes.
    """
    done = Parallel(n_jobs=workers, return_as="generator_unordered")(delayed(_alone)(job) for job in jobs)
    for _ in logging.tqdm(done, desc=what, total=len(jobs), unit="cell"):
        pass


def _alone(job: Callable[[], Any]) -> None:
    """Runs a job with one thread and no progress of its own; with one worker this is the caller's process."""
    torch.set_num_threads(1)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        job()
    finally:
        if shown:
            logging.enable_progress_bar()


def schedule(settings: Any, rate: float, seed: int) -> dict[str, Any]:
    """What a recipe is told: a rate that falls to zero at the last update, after a tenth of them as warmup.

    Args:
        settings: Of a study, with most_steps, tokens_per_batch and patience.
        rate: The peak.
        seed: Of weights and the order of careers.
    """
    tenth = max(1, settings.most_steps // 10)
    return {
        "learning_rate": rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": tenth,
        "max_steps": settings.most_steps,
        "eval_steps": tenth,
        "save_steps": tenth,
        "tokens_per_batch": settings.tokens_per_batch,
        "patience": settings.patience,
        "seed": seed,
    }


def train_once(
    folder: Path,
    make_model: Callable[[Any], PreTrainedModel],
    processor: CareerProcessor,
    make_recipe: Callable[[Path], Recipe],
    train: Dataset,
    validation: Dataset,
    source: Mapping[str, str],
) -> tuple[PreTrainedModel, CareerProcessor]:
    """A trained model and its processor, from their folder if they are there.

    Args:
        folder: Where they are, or will be.
        make_model: From the recipe's config to the model to train; called after its seed is set.
        processor: Encodes the careers.
        make_recipe: From the folder for checkpoints, which goes when training is over, to a recipe.
        train, validation: Careers.
        source: Where they come from, as `dataset_card.source_of` says; the checkpoint keeps it.
    """
    if not folder.exists():
        with complete(folder) as unfinished:
            recipe = make_recipe(unfinished / "training")
            set_seed(recipe.arguments.seed)
            encoded, _ = processor.encode(train)
            encoded_validation, _ = processor.encode(validation, unknown_levels="missing")
            model = make_model(recipe.config)
            record = {**source, **years_of(train)}
            trainer = build_trainer(model, processor, recipe, encoded, encoded_validation, source=record)
            # A study shows its progress by cell.
            trainer.remove_callback(ProgressCallback)
            trainer.train()
            trainer.state.save_to_json(str(unfinished / "trainer_state.json"))
            shutil.rmtree(unfinished / "training")
            model.save_pretrained(unfinished)
            trainer.processing_class.save_pretrained(unfinished)  # type: ignore[union-attr]
    return load_checkpoint(folder)


def training_log(folder: Path) -> pd.DataFrame:
    """Updates, hours and best validation NLL of every model in `folder/models`, by the name of its folder."""
    names = sorted(path.parent.name for path in (folder / "models").glob("*/trainer_state.json"))
    return pd.DataFrame.from_dict({name: _trained(folder, name) for name in names}, orient="index")


def _trained(folder: Path, name: str) -> dict[str, Any]:
    """The row of `training_log` of one model."""
    state = json.loads((folder / "models" / name / "trainer_state.json").read_text(encoding="utf-8"))
    hours = sum(entry.get("train_runtime", 0.0) for entry in state["log_history"]) / 3600
    return {"updates": state["global_step"], "hours": hours, "best": state["best_metric"]}


def likeliest(folder: Path, trials: Iterable[T]) -> T:
    """The trial, of some that are trained, that validation careers like best."""
    of_folder = {trial.folder: trial for trial in trials}
    return of_folder[str(pd.Series({name: _trained(folder, name)["best"] for name in of_folder}).idxmin())]


def score_once(path: Path, model: PreTrainedModel, processor: CareerProcessor, test: Dataset) -> None:
    """Writes the transition table of test careers, unless it is there."""
    if not path.exists():
        table = transition_table(model, test, processor, split="test", unknown_levels="missing")
        with complete(path) as unfinished:
            table.to_parquet(unfinished)
