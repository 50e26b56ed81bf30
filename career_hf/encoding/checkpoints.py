"""A model and its processor, from a folder or the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from .processing_career import CareerProcessor


def load_checkpoint(checkpoint: Path | str) -> tuple[Any, CareerProcessor]:
    """A model of occupations or wages, and its processor.

    Raises:
        ValueError: As `load_processor`; or a file is not the one that was saved.
    """
    processor = load_processor(checkpoint)
    return AutoModelForCausalLM.from_pretrained(checkpoint), processor


def load_processor(checkpoint: Path | str) -> CareerProcessor:
    """The processor of a checkpoint.

    Raises:
        ValueError: There is no checkpoint in the folder; or no folder, and none on the Hub.
    """
    try:
        return CareerProcessor.from_pretrained(checkpoint)
    except OSError as error:
        # Transformers may not name it, as it takes what is no folder for a name on the Hub.
        if Path(checkpoint).is_dir():
            raise ValueError(f"the folder '{checkpoint}' holds no checkpoint: {error}") from error
        raise ValueError(f"there is no folder '{checkpoint}', nor can the Hub be asked for it: {error}") from error


def as_checkpoint(model: Any) -> tuple[Any, CareerProcessor]:
    """A model and its processor, whichever way they are given.

    Args:
        model: A folder or Hub id, a pair of model and processor, or a result of training, which has both.

    Raises:
        ValueError: As `load_checkpoint`; or it is none of these.
    """
    if isinstance(model, (str, Path)):
        return load_checkpoint(model)
    if isinstance(model, tuple) and len(model) == 2:
        return model
    if hasattr(model, "model") and hasattr(model, "processor"):
        return model.model, model.processor
    raise ValueError(
        f"a model is a folder, a Hub id, a pair (model, processor) or what `train` returns, not {type(model).__name__}"
    )
