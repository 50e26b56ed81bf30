"""What kind of value a public function's argument takes, by its annotation: a text, a list of texts, a table, careers.

Python lets a text pass where a list of texts is expected, whose letters are then taken for names, and a "no" where a
truth value is. `check_kind` refuses what is of no kind that the annotation names. It knows the kinds of `KINDS`, and
says nothing of an annotation that names another one, such as Any.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from numbers import Integral, Real
from reprlib import repr as short
from typing import Any


def check_names(**names: Any) -> None:
    """Refuses what is no list of names: a number, or a text, whose letters would be taken for names.

    Args:
        names: Lists of names by the argument that has them.

    Raises:
        ValueError: One is a text, or no list of texts.
    """
    for argument, value in names.items():
        if isinstance(value, str):
            raise ValueError(f"{argument}={value!r} is a text: pass a list, {argument}=[{value!r}]")
        if not _is_names(value):
            raise ValueError(
                f"{argument}={_shown(value)} is no list of names: pass texts, such as {argument}=['region']"
            )


def _is_names(value: Any) -> bool:
    is_list = isinstance(value, Collection) and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) == 1
    return is_list and all(isinstance(name, str) for name in value)


def _is_a(package: str, name: str) -> Callable[[Any], bool]:
    """Whether a value is of a class, which is found by its name because importing its package may take seconds."""

    def is_a(value: Any) -> bool:
        return any(kind.__name__ == name and kind.__module__.split(".")[0] == package for kind in type(value).__mro__)

    return is_a


def _is_period(value: Any) -> bool:
    """Whether a value may name a period: a text, or a whole number of a year's size."""
    if isinstance(value, str):
        return True
    return isinstance(value, Integral) and not _is_truth(value) and abs(int(value)) < 10_000


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool"


CAREERS = "careers, as career_hf.from_frame and load_careers return"
PERIOD = "a year such as 1990, or a period such as '1993-07'"
NAMES = (_is_names, "a list of texts")
KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "None": (lambda value: value is None, ""),
    "bool": (_is_truth, "True or False"),
    # Ranges of numbers are checked by `number_ranges`.
    "int": (lambda value: isinstance(value, Real), "a number"),
    "float": (lambda value: isinstance(value, Real), "a number"),
    "str": (lambda value: isinstance(value, str), "a text"),
    "Path": (lambda value: isinstance(value, os.PathLike), "a path"),
    "Sequence[str]": NAMES,
    "Collection[str]": NAMES,
    "Period": (_is_period, PERIOD),
    "Mapping": (lambda value: isinstance(value, Mapping), "a mapping from names, such as {'name': ...}"),
    "Dataset": (_is_a("datasets", "Dataset"), CAREERS),
    "CareerShards": (_is_a("career_hf", "CareerShards"), CAREERS),
    "DatasetDict": (lambda value: isinstance(value, Mapping), CAREERS),
    "Corpora": (lambda value: isinstance(value, (list, tuple)), "a list of them"),
    "pd.DataFrame": (_is_a("pandas", "DataFrame"), "a pandas table"),
    "Sequence[pd.DataFrame]": (lambda value: isinstance(value, (list, tuple)), "a list of pandas tables"),
    "np.ndarray": (_is_a("numpy", "ndarray"), "a NumPy array"),
    # The sources' rules of exclusion have names; those of rationales are objects too.
    "Rule": (lambda value: isinstance(value, str) or _is_a("career_hf", "Rule")(value), "a rule or its name"),
    "Ledger": (_is_a("career_hf", "Ledger"), "a Ledger"),
    "CareerProcessor": (_is_a("career_hf", "CareerProcessor"), "a CareerProcessor"),
    "PreTrainedModel": (_is_a("transformers", "PreTrainedModel"), "a model"),
}
# Names that stand for several kinds where they are used.
ALIASES = {
    "Careers": "str | Path | Dataset | DatasetDict",
    "Columns": "Sequence[str] | Mapping[str, str]",
    "Titles": "str | Path | Mapping[str, Any]",
    "datasets.Dataset": "Dataset",
    "Margins": "Mapping[str, Mapping[str, float]]",
    **dict.fromkeys(
        ("Covariates", "Estimator", "Kind", "StepRule", "Steps", "TimeUnit", "Timing", "UnknownLevels"), "str"
    ),
}


def kinds_of(annotation: Any) -> list[str] | None:
    """The names in `KINDS` of what an argument may be; None if its annotation names anything else."""
    return _kinds_of_text(str(annotation).strip("'"))


@cache
def _kinds_of_text(text: str) -> list[str] | None:
    for name, meaning in ALIASES.items():
        text = re.sub(rf"(?<![\w.\[]){re.escape(name)}(?![\w\[])", meaning, text)
    # The bars inside of brackets separate kinds of what a mapping or list has.
    parts = [part.strip() for part in re.split(r"\|(?![^\[]*\])", _without_inner_brackets(text))]
    kinds = [_without_values(part) for part in parts]
    return kinds if all(kind in KINDS for kind in kinds) else None


def _without_values(part: str) -> str:
    """The kind of a mapping of anything, and of one of several texts."""
    if part.startswith("Literal[") and "'" in part.replace('"', "'"):
        return "str"
    return "Mapping" if part.startswith("Mapping[") else part


def check_kind(name: str, value: Any, annotation: Any) -> None:
    """Refuses a value that is of no kind that its argument's annotation names.

    Raises:
        ValueError: The message has the argument, the value and what it must be.
    """
    kinds = kinds_of(annotation)
    if kinds is None or any(KINDS[kind][0](value) for kind in kinds):
        return
    if NAMES in [KINDS[kind] for kind in kinds] and "str" not in kinds:
        check_names(**{name: value})
    if "str" in kinds and isinstance(value, Real) and not _is_truth(value):
        raise ValueError(f"{name} is {value!r}, a number, and must be a text: {name}={str(value)!r}")
    wanted = list(dict.fromkeys(KINDS[kind][1] for kind in kinds if kind != "None"))
    if "Dataset" in kinds and "DatasetDict" not in kinds and isinstance(value, Mapping):
        raise ValueError(
            f"{name} is a mapping of splits {list(value)}, not one dataset: take one of them, or all of them "
            "together with career_hf.careers.as_careers(splits)"
        )
    if "Dataset" in kinds and _is_table(value):
        raise ValueError(
            f"{name} is a table ({type(value).__name__}), and must be {CAREERS}: make careers of it with "
            "career_hf.from_frame(table, person=..., year=..., occupation=...)"
        )
    if "Dataset" in kinds and _is_a("career_hf", "PreparedCareers")(value):
        part = "splits" if "DatasetDict" in kinds else "careers"
        raise ValueError(
            f"{name} is a PreparedCareers, what a source returns: pass its {part}, as in "
            f"career_hf.sources.keane_wolpin().{part}"
        )
    raise ValueError(f"{name} is {_shown(value)}, and must be {' or '.join(wanted)}")


def _is_table(value: Any) -> bool:
    return not isinstance(value, type) and (hasattr(value, "columns") or hasattr(value, "column_names"))


def _shown(value: Any) -> str:
    """A value in a message: itself if it is small, otherwise its type."""
    if value is None or isinstance(value, (str, bytes, Real, Mapping, list, tuple, set)):
        return " ".join(short(value).split())
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _without_inner_brackets(text: str) -> str:
    """Brackets inside of brackets left out, so that bars in any depth are told from the outer ones."""
    depth, kept = 0, ""
    for letter in text:
        depth += letter == "["
        kept += letter if depth < 2 else ""
        depth -= letter == "]"
    return kept


__all__ = ["KINDS", "check_kind", "check_names", "kinds_of"]
