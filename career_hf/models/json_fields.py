"""Reading the JSON files of a checkpoint: a wrong type of a field is an error that names file and field.

A field of a wrong type would else fail far from its file, as a TypeError of whatever reads it first, or not at all.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any

from huggingface_hub.dataclasses import type_validator


AGAIN = "copy or download the checkpoint again"


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; raises a ValueError that names the file if it holds anything else."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged, because it is no JSON ({error}): {AGAIN}") from error
    check_types(str(file), values)
    return values


def check_types(where: str, values: Any, types: Mapping[str, Any] | None = None, required: Sequence[str] = ()) -> None:
    """Checks the fields of an object that was read from JSON.

    Args:
        where: Name of the file, or of the part of it that is checked.
        values: What was read.
        types: Types of fields by name; fields that are not named may have any type.
        required: Names of fields that must be there.

    Raises:
        ValueError: A field is missing or has another type; the message names it.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} is damaged, because it holds {short(values)} instead of fields by name: {AGAIN}")
    if missing := [name for name in required if name not in values]:
        raise ValueError(f"{where} is damaged, because it has no field '{missing[0]}': {AGAIN}")
    for name, expected in (types or {}).items():
        if name not in values:
            continue
        try:
            type_validator(name, values[name], expected)
        except TypeError as error:
            wanted = expected.__name__ if type(expected) is type else str(expected)
            raise ValueError(f"{where} is damaged: '{name}' must be {wanted}, and is {short(values[name])}") from error


__all__ = ["AGAIN", "check_types", "read_json"]
