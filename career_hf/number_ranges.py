"""What the numbers that public functions take may be: one table by the argument's name, and the check of a call.

A number outside of its range is a slip: a count below one, a rate of infinity, a million threads, work for a thousand
years. `within_ranges` refuses it before anything is read, drawn or written, and so it does with arguments of another
kind than their annotation's (`argument_kinds`). Ranges are wide; where a function can use less, its own check says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from numbers import Integral, Real
from typing import Any, TypeVar, cast

from .argument_kinds import check_kind


Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Range:
    """What a number may be.

    Args:
        low, high: The smallest and the largest value.
        whole: Whether it is a whole number.
        open_low, open_high: Whether `low` and `high` themselves are excluded.
    """

    low: float
    high: float
    whole: bool = True
    open_low: bool = False
    open_high: bool = False

    def has(self, value: Any) -> bool:
        """Whether a value is a number in the range; a truth value and NaN are not."""
        kind: Any = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return bool(above and (value < self.high if self.open_high else value <= self.high))

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if not (self.open_low or self.open_high):
            return f"{kind} between {_digits(self.low)} and {_digits(self.high)}"
        low = f"{'above' if self.open_low else 'at least'} {_digits(self.low)}"
        return f"{kind} {low} and {'below' if self.open_high else 'at most'} {_digits(self.high)}"


YEAR = Range(-9_999, 9_999)
UPDATES = Range(1, 10_000_000)
# Tables of every draw are held in memory.
DRAWS = Range(1, 100_000)
BATCH = Range(1, 100_000_000)
COUNT = Range(1, 1_000_000_000)
PROCESSES = Range(1, 1_024)
SHARE = Range(0, 1, whole=False)

RANGES: Mapping[str, Range] = {
    "batch_tokens": BATCH,
    "bins": Range(1, 100_000),
    "bootstrap": Range(0, 100_000),
    "clip": Range(0, 0.5, whole=False, open_high=True),
    "components": Range(1, 100_000),
    "corpus_weights": Range(0, 1e9, whole=False, open_low=True),
    "covariate_dropout": SHARE,
    "cutoff": YEAR,
    "departure": SHARE,
    "draws": DRAWS,
    "dropout": Range(0, 1, whole=False, open_high=True),
    "eval_steps": UPDATES,
    "exact_steps": Range(0, 200),
    "fewest": Range(0, 1_000_000_000),
    "first_year": YEAR,
    "folds": Range(1, 1_000),
    "from_age": Range(0, 150),
    "from_year": YEAR,
    "frozen_layers": Range(0, 1_000),
    "gap": Range(1, 200),
    "horizon": Range(0, 200),
    "job_dropout": SHARE,
    "k": COUNT,
    "l2_sp": Range(0, 1e6, whole=False),
    "largest": Range(1, 1e9, whole=False),
    "layerwise_decay": Range(0, 1, whole=False, open_low=True),
    "lead": Range(1, 200),
    "learning_rate": Range(0, 10, whole=False, open_low=True),
    "longest": Range(1, 200),
    "max_size": Range(1, 1_000),
    "max_steps": UPDATES,
    "members": Range(2, 1_000),
    "neighbours": COUNT,
    "pairs": COUNT,
    "particles": Range(1, 1_000_000),
    "paths": Range(1, 1_000_000),
    "patience": UPDATES,
    # The paper has 24 million resumes.
    "people": Range(1, 100_000_000),
    "people_per_file": COUNT,
    "people_per_group": COUNT,
    "rare": Range(0, 1_000_000_000),
    "replicates": Range(1, 10_000),
    "round_trip": Range(0, 200),
    "samples": DRAWS,
    # NumPy's generators take no other.
    "seed": Range(0, 2**32 - 1),
    "seeds": Range(1, 1_000),
    "share": SHARE,
    "spells_per_part": COUNT,
    "splits": Range(1, 1_000),
    "stages": Range(1, 2),
    "threads": PROCESSES,
    "tokens_per_batch": BATCH,
    "trials": Range(1, 1_000),
    "updates": Range(0, 10_000_000),
    "vintage": YEAR,
    "warmup_steps": Range(0, 10_000_000, whole=False),
    "workers": PROCESSES,
    "year": YEAR,
    "years": YEAR,
}


def within_ranges(function: Function) -> Function:
    """Makes a function refuse numbers outside of the range of their argument's name, and values of another kind.

    Raises:
        ValueError: In the function, with the argument, its value and its range or kind. In a list every number is
            checked.
    """
    signature = inspect.signature(function)
    checked = {name: each for name, each in signature.parameters.items() if name in RANGES and is_number(each)}
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    others = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if name not in checked and parameter.kind not in several
    }

    @wraps(function)
    def within(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            # Python's own words on the call name the function.
            return function(*args, **kwargs)
        for name, parameter in checked.items():
            value: Any = given.get(name)
            if name not in given or (value is None and "None" in str(parameter.annotation)):
                continue
            is_list = "Sequence" in str(parameter.annotation) and isinstance(value, (list, tuple, range))
            for number in value if is_list else [value]:
                if not RANGES[name].has(number):
                    raise ValueError(f"{name} is {number!r}, and must be {RANGES[name]}")
        for name, parameter in others.items():
            if name in given:
                check_kind(name, given[name], parameter.annotation)
        return function(*args, **kwargs)

    return cast(Function, within)


def is_number(parameter: inspect.Parameter) -> bool:
    """Whether an argument is a number, or a list of numbers, by its annotation."""
    kinds = {part.strip() for part in str(parameter.annotation).split("|")}
    return bool(kinds & {"int", "float", "Sequence[int]", "Sequence[float]"})


def _digits(bound: float) -> str:
    return f"{bound:,.0f}" if float(bound).is_integer() else f"{bound:g}"


__all__ = ["RANGES", "Range", "within_ranges"]
