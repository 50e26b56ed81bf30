"""Configs whose fields are checked when a config is made and whenever a field is assigned, with errors in one line.

`@strict` of huggingface_hub checks the types of fields, but its errors have two lines and are no ValueErrors. It also
checks nothing in a file with `from __future__ import annotations`, which turns types into strings.
"""

from functools import wraps
from inspect import get_annotations
from math import inf, isfinite
from reprlib import repr as short
from typing import Any, TypeVar

from huggingface_hub.dataclasses import strict, validated_field
from huggingface_hub.errors import (
    StrictDataclassClassValidationError,
    StrictDataclassError,
    StrictDataclassFieldValidationError,
)
from transformers.activations import ACT2FN


Config = TypeVar("Config", bound=type)

# Sizes above these are mistakes, which would end in a lack of memory: of vocabularies, of layers, of stacks of layers.
MOST_IDS, LARGEST_LAYER, DEEPEST = 10**7, 2**20, 2**10


class ConfigError(StrictDataclassFieldValidationError, StrictDataclassClassValidationError, ValueError):
    """A field of a config has a wrong type or value, or fields do not fit together; the message is one line."""

    def __init__(self, message: str):
        Exception.__init__(self, message)


def strict_config(config: Config) -> Config:
    """Class decorator for configs: `@strict` with a [`ConfigError`] as its error.

    Args:
        config: A subclass of `PreTrainedConfig`. Methods named `validate_...` run when a config is made and saved.
    """
    if texts := [name for name, annotation in get_annotations(config).items() if isinstance(annotation, str)]:
        raise TypeError(
            f"the type of {config.__name__}.{texts[0]} is a text, which cannot be checked: remove "
            f"`from __future__ import annotations` from {config.__module__}"
        )
    checked: Any = strict(config)
    types = {name: field.type for name, field in checked.__dataclass_fields__.items()}
    assign, validate = checked.__setattr__, checked.validate

    @wraps(assign)
    def assign_or_explain(self: Any, name: str, value: Any) -> None:
        try:
            assign(self, name, value)
        except StrictDataclassError as error:
            raise _in_one_line(error, self, name, value, types.get(name)) from None

    @wraps(validate)
    def validate_or_explain(self: Any) -> None:
        try:
            validate(self)
        except StrictDataclassError as error:
            raise _in_one_line(error, self) from None

    checked.__setattr__, checked.validate = assign_or_explain, validate_or_explain
    return checked


def _in_one_line(
    error: StrictDataclassError, config: Any, name: str = "", value: Any = None, expected: Any = None
) -> ConfigError:
    if isinstance(error, ConfigError):
        return error
    cause, owner = error.__cause__, type(config).__name__
    if isinstance(error, StrictDataclassFieldValidationError) and isinstance(cause, TypeError):
        wanted = expected.__name__ if isinstance(expected, type) else str(expected).replace("typing.", "")
        return ConfigError(f"{owner}: {name} must be {wanted}, and is {short(value)}")
    if isinstance(error, StrictDataclassFieldValidationError):
        return ConfigError(f"{owner}: {name} {cause}, and is {short(value)}")
    return ConfigError(f"{owner}: {cause}")


def number(
    default: Any,
    *,
    at_least: float = -inf,
    at_most: float = inf,
    above: float = -inf,
    below: float = inf,
) -> Any:
    """A field of a config that is a number in a range, or a list of such numbers; it may be None if its type says so.

    Args:
        default: The default; for a list a function that makes it.
        at_least, at_most, above, below: Bounds of the range. Infinite numbers are never in it, and NaN is not either.
    """

    def check(value: Any) -> None:
        for one in value if isinstance(value, list) else [value]:
            if one is None:
                continue
            if one != one:
                raise ValueError("must be a number")
            if not one >= at_least:
                raise ValueError(f"must be at least {at_least:,}")
            if not one <= at_most:
                raise ValueError(f"must be at most {at_most:,}")
            if not above < one < below:  # what is infinite is in no range
                bounds = (("above", above), ("below", below))
                texts = [f"{text} {bound:,}" for text, bound in bounds if isfinite(bound)]
                raise ValueError(f"must be {' and '.join(['finite', *texts])}")

    given = {"default_factory": default} if callable(default) else {"default": default}
    return validated_field(check, **given)


def one_of(default: Any, *choices: Any) -> Any:
    """A field of a config that is one of some values.

    Args:
        default: The default.
        choices: What is allowed.
    """

    def check(value: Any) -> None:
        if value not in choices:
            raise ValueError(f"must be {' or '.join(map(repr, choices))}")

    return validated_field(check, default=default)


def activation(default: str) -> Any:
    """A field of a config that is the name of one of Transformers' activation functions."""

    def check(value: str) -> None:
        if value not in ACT2FN:
            raise ValueError("must be an activation function of Transformers, such as 'gelu', 'relu' or 'silu'")

    return validated_field(check, default=default)


def dropout(default: float) -> Any:
    """A field of a config that is a share of dropped values."""
    return number(default, at_least=0, below=1)


def size(default: int | None, largest: int = LARGEST_LAYER) -> Any:
    """A field of a config that is a size, 1 or more."""
    return number(default, at_least=1, at_most=largest)


__all__ = [
    "DEEPEST",
    "MOST_IDS",
    "ConfigError",
    "activation",
    "dropout",
    "number",
    "one_of",
    "size",
    "strict_config",
]
