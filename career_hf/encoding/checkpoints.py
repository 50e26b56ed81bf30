"""Loading a model together with its processor, from a folder or the Hub: the door of every verb of this package.

Behind it a model is one of this package, its weights are those of its checkpoint, all of them and no others, and its
processor has the same vocabulary and the same levels in the same order. `models.checked_loading` says what plain
`from_pretrained` checks, and why it lets more in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, HTTPError  # HTTPError is of the HTTP library that it has
from huggingface_hub.utils import validate_repo_id

from ..models.checksums import base_of_adapters, file_finder
from ..models.json_fields import check_types, read_json
from ..models.shipped import shipped, shipped_names
from ..number_ranges import within_ranges
from ..registration import model_classes
from .ensemble_folders import check_member, member_folders, whole_members
from .processing_career import CareerProcessor


# Seconds to wait for the Hub's answer on whether it has a checkpoint.
HUB_SECONDS = 10


@within_ranges
def load_checkpoint(checkpoint: Path | str) -> tuple[Any, CareerProcessor]:
    """Loads a model of occupations or wages, and its processor.

    Args:
        checkpoint: Folder or Hub id, or the name of a checkpoint that ships with the package.

    Returns:
        The model and its processor.

    Raises:
        ValueError: As in `load_processor`; the checkpoint has code of its own, which is not run; it is no model of
            this package; its weights are not those of its config, or are NaN or infinite; a file is damaged, or not
            the one that was saved; or model and processor do not belong together. The message is one line.
    """
    checkpoint = shipped(checkpoint)
    processor = load_processor(checkpoint)
    with _in_one_line(checkpoint):
        # Not by an Auto class, which would load other models too. Weights that are not safetensors would be pickles.
        model, info = _class_of(checkpoint).from_pretrained(
            checkpoint, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
        if differences := {name: sorted(map(str, keys)) for name, keys in info.items() if keys}:
            raise ValueError(
                f"the weights of '{checkpoint}' are not those of a {type(model).__name__}: {differences}; a model is "
                "only used with all the weights that it was saved with"
            )
        processor.check(model.config)
    return model, processor


def _class_of(checkpoint: Path | str) -> Any:
    """The class of a checkpoint's model; raises a ValueError unless it is one of this package."""
    if (file := file_finder(base_of_adapters(checkpoint))("config.json")) is None:
        raise ValueError(f"'{checkpoint}' holds no checkpoint: it has no config.json")
    fields = read_json(file)
    check_types(str(file), fields, {"model_type": str}, ["model_type"])
    return class_of_kind(fields["model_type"], checkpoint, has_code="auto_map" in fields)


def class_of_kind(kind: str, checkpoint: Any, has_code: bool = False) -> Any:
    """The class of models of a kind; raises a ValueError unless it is one of this package.

    Args:
        kind: `model_type` of the config.
        checkpoint: The checkpoint, for the message.
        has_code: Whether the checkpoint brings code of its own.
    """
    classes = {model_class.config_class.model_type: model_class for model_class in model_classes()}
    if kind not in classes and has_code:
        raise ValueError(
            f"'{checkpoint}' brings code of its own, which is not run, and is no model of this package: load it with "
            "transformers, after reading its code, and pass the model and its processor"
        )
    if kind not in classes:
        raise ValueError(
            f"'{checkpoint}' holds a model of the kind '{kind}', which is none of this package: {', '.join(classes)}"
        )
    return classes[kind]


@contextmanager
def _in_one_line(checkpoint: Path | str) -> Iterator[None]:
    """Turns whatever the files of a checkpoint make of the libraries that read them into a ValueError of one line."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(error, ValueError) and text == str(error):
            raise
        raise ValueError(f"'{checkpoint}' cannot be loaded: {type(error).__name__}: {text}") from error


def load_processor(checkpoint: Path | str) -> CareerProcessor:
    """Loads the processor of a checkpoint.

    Args:
        checkpoint: Folder or Hub id, or the name of a checkpoint that ships with the package.

    Raises:
        ValueError: The folder has no checkpoint, there is no such folder and no such checkpoint on the Hub, or the
            processor's file is damaged. The message is one line.
    """
    checkpoint = shipped(checkpoint)
    check_reachable(checkpoint)
    with _in_one_line(checkpoint):
        try:
            return CareerProcessor.from_pretrained(checkpoint)
        except OSError as error:
            text = " ".join(str(error).split())
            # The message of Transformers may not name the folder, because it takes a missing folder for a Hub id.
            if Path(checkpoint).is_dir():
                raise ValueError(f"the folder '{checkpoint}' holds no checkpoint: {text}") from error
            raise ValueError(
                f"there is no folder '{checkpoint}', and it cannot be loaded from the Hub: {text}"
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
    if members := member_folders(checkpoint):
        raise ValueError(
            f"'{checkpoint}' is an ensemble of {len(members)} models, and one is needed here: give '{members[0]}', "
            "say; forecasts, what-if, transitions and exposure take the whole"
        )
    if place.is_dir():
        check_member(place)
        return
    if place.exists():
        raise ValueError(f"'{checkpoint}' is a file: give the folder of a checkpoint")
    try:
        validate_repo_id(str(checkpoint))
        is_id = str(checkpoint).count("/") == 1 and not isinstance(checkpoint, Path) and not Path(owner).exists()
    except HFValidationError:
        is_id = False
    if not is_id:
        raise ValueError(
            f"there is no folder '{checkpoint}': give the folder of a checkpoint, a Hub id, USER/NAME, or one that "
            f"ships with career_hf: {', '.join(shipped_names())}"
        )
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
        return _checked_pair(model, processor)
    if isinstance(model, (str, Path)):
        return load_checkpoint(model)
    if isinstance(model, tuple) and len(model) == 2:
        return _checked_pair(*model)
    if hasattr(model, "model") and hasattr(model, "processor"):
        return model.model, model.processor
    raise ValueError(
        f"a model is a folder, a Hub id, a pair (model, processor) or what `train` returns, not {type(model).__name__}"
    )


def as_ensemble(model: Any, processor: CareerProcessor | None = None) -> list[tuple[Any, CareerProcessor]]:
    """The models of an ensemble and their processors; one model is an ensemble of itself.

    Args:
        model: A list of models, each in a form that `as_checkpoint` takes; the folder of an ensemble, as
            `train_ensemble` writes it; or one model.
        processor: The processor of one model that is passed by itself.

    Raises:
        ValueError: As in `as_checkpoint`; or an ensemble was not trained to its end; or the list is empty, or its
            models do not share occupations and periods.
    """
    if not isinstance(model, list):
        folders = whole_members(model)
        if not folders:
            return [as_checkpoint(model, processor)]
        model = folders
    if processor is not None:
        raise ValueError("the models of an ensemble have processors of their own: leave processor out")
    if not model:
        raise ValueError("an ensemble is a list of models, and this one is empty: pass at least two")
    members = [as_checkpoint(member) for member in model]
    (_, first), *others = members
    for number, (_, own) in enumerate(others, start=2):
        if own.occupations != first.occupations:
            known = set(first.occupations).symmetric_difference(own.occupations)
            which = f"'{min(known)}' is known to one of them only" if known else "their order differs"
            raise ValueError(
                f"models 1 and {number} of the ensemble have other occupations, {which}: train model {number} anew "
                "with train(..., occupations=MODEL_1), or --occupations MODEL_1, which takes them, in their order, "
                "from model 1"
            )
        if (own.time_unit, own.step_length) != (first.time_unit, first.step_length):
            raise ValueError(
                f"models 1 and {number} of the ensemble have steps of {first.step_length} {first.time_unit} and "
                f"{own.step_length} {own.time_unit}: train them on the same careers"
            )
    return members


def _checked_pair(model: Any, processor: Any) -> tuple[Any, CareerProcessor]:
    """Refuses a pair that is no model and processor, such as a folder with a processor, or the two exchanged."""
    if isinstance(model, (str, Path)):
        raise ValueError(f"{str(model)!r} has a processor of its own: leave processor out, or pass the loaded model")
    if not hasattr(model, "config") or not isinstance(processor, CareerProcessor):
        raise ValueError(
            "a model and its processor belong together, and this is a pair of "
            f"{type(model).__name__} and {type(processor).__name__}"
        )
    return model, processor
