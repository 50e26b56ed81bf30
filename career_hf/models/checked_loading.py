"""The door through which weights come into a model: what is loaded is what the checkpoint says it holds.

There are two doors, one behind the other. `from_pretrained` of every model here, and so the Auto classes and pipelines
too, compares a file of weights with the checkpoint's own config: no weight may be missing, be left over, have another
shape or be made of integers, and none may be NaN or infinite. It compares with the class and config that the
*checkpoint* names, not with those that the caller asks for, because callers may well ask for something else, and
Transformers then says which weights are new: a head on a base model, the occupation model within a wage model, fields
that are given to `from_pretrained`, another number type, quantised weights, adapters. `encoding.checkpoints`, through
which the verbs of this package load, allows none of it: a verb never scores with new weights.
"""

import os
from collections.abc import Iterator
from reprlib import repr as short
from typing import Any

import torch
from torch import nn

from .checksums import Checksummed, base_of_adapters, file_finder, read_header, weight_files
from .json_fields import AGAIN, read_json
from .shipped import shipped


class CheckedWeights(Checksummed):
    """A mixin for classes of models, with the first of these doors; it comes before the class of Transformers."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        checkpoint = shipped(pretrained_model_name_or_path)
        if checkpoint is not None:
            check_weight_files(checkpoint, cls, **kwargs)
        loaded = super().from_pretrained(checkpoint, *args, **kwargs)
        check_finite(loaded[0] if isinstance(loaded, tuple) else loaded, checkpoint)
        return loaded


def check_weight_files(checkpoint: str | os.PathLike, model_class: Any, **arguments: Any) -> None:
    """Compares names, shapes and types of the weights in files with what the checkpoint's own config calls for.

    Args:
        checkpoint: Folder or Hub id.
        model_class: Class that is about to be loaded; the checkpoint's own class may be another one of this package.
        arguments: Arguments of `from_pretrained`.

    Raises:
        ValueError: They differ, or the config is not of the class that it names; the message names a weight.
    """
    if (base := base_of_adapters(checkpoint, **arguments)) != checkpoint:
        checkpoint = base
        arguments = {
            name: value for name, value in arguments.items() if name not in ("revision", "subfolder", "_commit_hash")
        }
    config_file = file_finder(checkpoint, **arguments)("config.json")
    files = weight_files(checkpoint, **arguments)
    if config_file is None or not files or any(arguments.get(name) for name in ("state_dict", "key_mapping")):
        return
    fields = read_json(config_file)
    saved_class = _class_named(fields.get("architectures"), model_class)
    # Somebody's own class may have any weights, and quantised weights have other names.
    if saved_class is None or "quantization_config" in fields:
        return
    # A base model has the config of the model that it was a part of.
    config_classes = {known.model_type: known for known in _with_subclasses(saved_class.config_class)}
    kind = fields.get("model_type", saved_class.config_class.model_type)
    if kind not in config_classes:
        raise ValueError(
            f"{config_file} says model_type {short(kind)}, and a {saved_class.__name__} is of the kind "
            f"{' or '.join(map(repr, config_classes))}: {AGAIN}"
        )
    config = config_classes[kind].from_dict(fields)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        expected = saved_class(config).state_dict()
    found = {name: entry for file in files for name, entry in read_header(file)[0].items() if name != "__metadata__"}
    where = f"{files[0].name if len(files) == 1 else f'{len(files)} weight files'} of {os.fspath(checkpoint)}"
    if missing := [name for name in expected if name not in found]:
        raise ValueError(f"{where} lacks {_some(missing)}, which its config.json calls for: {AGAIN}")
    if unexpected := [name for name in found if name not in expected]:
        raise ValueError(f"{where} has {_some(unexpected)}, for which its config.json has no place: {AGAIN}")
    for name, values in expected.items():
        shape, kind = list(found[name]["shape"]), found[name]["dtype"]
        if shape != list(values.shape) and not arguments.get("ignore_mismatched_sizes"):
            raise ValueError(
                f"{where} has '{name}' of shape {shape}, and its config.json calls for {list(values.shape)}: {AGAIN}, "
                "or draw such weights anew with from_pretrained(..., ignore_mismatched_sizes=True)"
            )
        if values.is_floating_point() != kind.startswith(("F", "BF")):
            raise ValueError(
                f"{where} has '{name}' of the type {kind}, which is not what the model has there, {values.dtype}: "
                f"{AGAIN}"
            )


def check_finite(model: nn.Module, checkpoint: Any) -> None:
    """Raises a ValueError if a weight is NaN or infinite; weights that are not in memory are not looked at."""
    finite = {
        name: values.isfinite().all()
        for name, values in model.state_dict().items()
        if isinstance(values, torch.Tensor)
        and values.is_floating_point()
        and values.itemsize > 1
        and not values.is_meta
    }
    for name, is_finite in finite.items():
        if not is_finite:
            raise ValueError(
                f"'{name}' of {checkpoint or 'the model'} has a weight that is NaN or infinite, as after a training "
                "that diverged: take an earlier checkpoint, or train again with a lower learning rate"
            )


def _class_named(architectures: Any, model_class: Any) -> Any:
    """The class of this package that a config names; the class to be loaded where it names none, None for others."""
    if not architectures:
        return model_class
    for known in [model_class, *_with_subclasses(CheckedWeights)]:
        if architectures == [known.__name__]:
            return known
    return None


def _with_subclasses(base: Any) -> Iterator[Any]:
    yield base
    for known in base.__subclasses__():
        yield from _with_subclasses(known)


def _some(names: list[str]) -> str:
    """The first of several names of weights, and the number of others."""
    return f"'{names[0]}'" + (f" and {len(names) - 1} other weights" if len(names) > 1 else "")


__all__ = ["CheckedWeights", "check_finite", "check_weight_files"]
