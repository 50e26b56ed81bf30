"""Loading a model together with its processor, from a folder or the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, HTTPError  # HTTPError is of the HTTP library that it has
from huggingface_hub.utils import validate_repo_id
from transformers import AutoModelForCausalLM

from .processing_career import CareerProcessor


# Seconds to wait for the Hub's answer on whether it has a checkpoint.
HUB_SECONDS = 10


def load_checkpoint(checkpoint: Path | str) -> tuple[Any, CareerProcessor]:
    """Loads a model of occupations or wages, and its processor.

    Args:
        checkpoint: Folder or Hub id.

    Returns:
        The model and its processor.

    Raises:
        ValueError: As in `load_processor`; the checkpoint has code of its own, which is not run; or a file is not the
            one that was saved.
    """
    processor = load_processor(checkpoint)
    with running_no_code_of(checkpoint):
        return AutoModelForCausalLM.from_pretrained(checkpoint, trust_remote_code=False), processor


@contextmanager
def running_no_code_of(checkpoint: Path | str) -> Iterator[None]:
    """Turns Transformers' refusal to run the code of a checkpoint (`trust_remote_code=False`) into an error of one
    line; without that argument Transformers asks at a terminal, where one key runs downloaded code.

    Raises:
        ValueError: The checkpoint needs code of its own.
    """
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise ValueError(
            f"'{checkpoint}' brings code of its own, which is not run, and is no model of this package: load it with "
            "transformers, after reading its code, and pass the model and its processor"
        ) from error


def load_processor(checkpoint: Path | str) -> CareerProcessor:
    """Loads the processor of a checkpoint.

    Args:
        checkpoint: Folder or Hub id.

    Raises:
        ValueError: The folder has no checkpoint, or there is no such folder and no such checkpoint on the Hub.
    """
    check_reachable(checkpoint)
    try:
        return CareerProcessor.from_pretrained(checkpoint)
    except OSError as error:
        # The message of Transformers may not name the folder, because it takes a missing folder for a Hub id.
        if Path(checkpoint).is_dir():
            raise ValueError(f"the folder '{checkpoint}' holds no checkpoint: {error}") from error
        raise ValueError(
            f"there is no folder '{checkpoint}', and it cannot be loaded from the Hub: {error}"
        ) from error


def check_reachable(checkpoint: Path | str) -> None:
    """Refuses at once a checkpoint that is nowhere, for which Transformers would ask the Hub for over a minute.

    Args:
        checkpoint: Folder or Hub id, which has the form USER/NAME.

    Raises:
        ValueError: There is no such folder, and the name is not of the Hub's form, or begins with a folder that is
            here, or is not on the Hub, or the Hub cannot be reached and the checkpoint is not in its cache.
    """
    place, owner = Path(checkpoint), str(checkpoint).partition("/")[0]
    if place.is_dir():
        return
    if place.exists():
        raise ValueError(f"'{checkpoint}' is a file: give the folder of a checkpoint")
    try:
        validate_repo_id(str(checkpoint))
        is_id = str(checkpoint).count("/") == 1 and not isinstance(checkpoint, Path) and not Path(owner).exists()
    except HFValidationError:
        is_id = False
    if not is_id:
        raise ValueError(f"there is no folder '{checkpoint}': give the folder of a checkpoint, or a Hub id, USER/NAME")
    if constants.HF_HUB_OFFLINE or isinstance(try_to_load_from_cache(str(checkpoint), "config.json"), str):
        return
    try:
        HfApi().model_info(str(checkpoint), timeout=HUB_SECONDS)
    except (HTTPError, OSError) as error:
        raise ValueError(
            f"there is no folder '{checkpoint}', and it cannot be loaded from the Hub: {str(error).strip()}"
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
