"""Cells of a study, each computed once: what is finished lies in a file or a folder, and is read when asked again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import ProgressCallback, set_seed

from ..configuration_career import CareerConfig
from ..modeling_career import CareerForOccupationPrediction
from ..processing_career import CareerProcessor
from ..training import Recipe, build_trainer


if TYPE_CHECKING:
    from datasets import Dataset


@contextmanager
def complete(path: Path) -> Iterator[Path]:
    """Where to write a file or a folder that is either there and complete, or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    yield unfinished
    os.replace(unfinished, path)


def train_once(
    folder: Path,
    make_model: Callable[[CareerConfig], CareerForOccupationPrediction],
    processor: CareerProcessor,
    make_recipe: Callable[[Path], Recipe],
    train: Dataset,
    validation: Dataset,
) -> tuple[CareerForOccupationPrediction, CareerProcessor]:
    """A trained model and its processor, from their folder if they are there.

    Args:
        folder: Where they are, or will be.
        make_model: From the recipe's config to the model to train; called after its seed is set.
        processor: Encodes the careers.
        make_recipe: From the folder for checkpoints, which goes when training is over, to a recipe.
        train, validation: Careers.
    """
    if not folder.exists():
        with complete(folder) as unfinished:
            recipe = make_recipe(unfinished / "training")
            set_seed(recipe.arguments.seed)
            encoded, _ = processor.encode(train)
            encoded_validation, _ = processor.encode(validation, unknown_levels="missing")
            model = make_model(recipe.config)
            trainer = build_trainer(model, processor, recipe, encoded, encoded_validation)
            # A study shows its progress by cell.
            trainer.remove_callback(ProgressCallback)
            trainer.train()
            trainer.state.save_to_json(str(unfinished / "trainer_state.json"))
            shutil.rmtree(unfinished / "training")
            model.save_pretrained(unfinished)
            trainer.processing_class.save_pretrained(unfinished)  # type: ignore[union-attr]
    return CareerForOccupationPrediction.from_pretrained(folder), CareerProcessor.from_pretrained(folder)
