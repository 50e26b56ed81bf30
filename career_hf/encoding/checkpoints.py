"""Loading a model together with its processor, from a folder or the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from .processing_career import CareerProcessor


def load_checkpoint(checkpoint: Path | str) -> tuple[Any, CareerProcessor]:
    """Loads a model of occupations or wages, and its processor.

    Args:
        checkpoint: Folder or Hub id.

    Returns:
        The model and its processor.

    Raises:
        ValueError: As in `load_processor`; or a file is not the one that was saved.
    """
    processor = load_processor(checkpoint)
    return AutoModelForCausalLM.from_pretrained(checkpoint), processor


def load_processor(checkpoint: Path | str) -> CareerProcessor:
    """Loads the processor of a checkpoint.

    Args:
        checkpoint: Folder or Hub id.

    Raises:
        ValueError: The folder has no checkpoint, or there is no such folder and no such checkpoint on the Hub.
    """
    try:
        return CareerProcessor.from_pretrained(checkpoint)
    except OSError as error:
        # The message of Transformers may not name the folder, because it takes a missing folder for a Hub id.
        if Path(checkpoint).is_dir():
            raise ValueError(f"the folder '{checkpoint}' holds no checkpoint: {error}") from error
        raise ValueError(
            f"there is no folder '{checkpoint}', and it cannot be loaded from the Hub: {error}"
        ) from error


def as_checkpoint(model: Any, processor: CareerProcessor | None = None) -> tuple[Any, CareerProcessor]:
    """A model and its processor, from any form in which a caller may pass them.

    Args:
        model: A folder or Hub id, a pair of model and processor, or a result of training, which has both; with
            `processor`, the model itself.
        processor: The processor of a model that is passed by itself.

    Raises:
        ValueError: As in `load_checkpoint`; or the model is passed in none of these forms.
    """
    if processor is not None:
        return model, processor
    if isinstance(model, (str, Path)):
        return load_checkpoint(model)
    if isinstance(model, tuple) and len(model) == 2:
        return model
    if hasattr(model, "model") and hasattr(model, "processor"):
        return model.model, model.processor
    raise ValueError(
        f"a model is a folder, a Hub id, a pair (model, processor) or what `train` returns, not {type(model).__name__}"
    )
