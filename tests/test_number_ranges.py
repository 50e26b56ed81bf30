"""Numbers that public functions take: every one has a range, and every function keeps to it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

import career_hf
from career_hf import careers, figures, occupations, simulation, sources, wages
from career_hf.number_ranges import RANGES, is_number, within_ranges


MODULES = (career_hf, careers, figures, occupations, simulation, sources, wages)
FUNCTIONS = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in MODULES
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
}
NUMBERS = [
    (path, parameter.name)
    for path, function in FUNCTIONS.items()
    for parameter in inspect.signature(function).parameters.values()
    if is_number(parameter)
]


def call_with(path, **numbers):
    """Calls a function with nothing but numbers: the rest is only looked at later."""
    function = FUNCTIONS[path]
    required = {
        parameter.name: RANGES[parameter.name].high if is_number(parameter) else None
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    given = {**required, **numbers}
    first = [given.pop(p.name) for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_ONLY]
    return function(*first, **given)


def test_there_are_functions_with_numbers():
    assert len(NUMBERS) > 100 and ("career_hf.train", "max_steps") in NUMBERS


@pytest.mark.parametrize(("path", "name"), NUMBERS)
def test_no_public_function_takes_a_number_outside_of_its_range(path, name):
    allowed = RANGES[name]
    outside = [
        math.nan,
        math.inf,
        -math.inf,
        10.0**20,
        10**20,
        allowed.low - 1,
        allowed.high + 1,
        True,
        "3",
        1j,
        {},
        [math.nan],
    ]
    outside += [1.5] if allowed.whole else []
    outside += [allowed.low] if allowed.open_low else []
    outside += [allowed.high] if allowed.open_high else []
    for number in outside:
        with pytest.raises(ValueError, match=f"{name} is .*, and must be a (whole )?number"):
            call_with(path, **{name: number})


def test_numbers_in_the_range_pass_whatever_their_type():
    @within_ranges
    def given(
        draws: int = 3, dropout: float = 0.1, years: Sequence[int] | None = None, cutoff: int | None = None
    ) -> tuple:
        return draws, dropout, years, cutoff

    assert given() == (3, 0.1, None, None) and given(np.int64(7), np.float32(0.5)) == (7, 0.5, None, None)
    assert given(dropout=Fraction(1, 2))[1] == 0.5 and given(dropout=0)[1] == 0 and given(cutoff=1990)[3] == 1990
    with pytest.raises(ValueError, match=r"dropout is 1, and must be a number at least 0 and below 1"):
        given(dropout=1)
    with pytest.raises(ValueError, match=r"draws is None"):
        given(draws=None)
    with pytest.raises(TypeError, match=r"given\(\) got an unexpected keyword argument 'drawz'"):
        given(drawz=3)

    @within_ranges
    def forecast_years(years: Sequence[int] | None = None) -> Sequence[int] | None:
        return years

    assert forecast_years([1990, 1991]) == [1990, 1991]
    with pytest.raises(ValueError, match="years is 1000000000, and"):
        forecast_years([1990, 10**9])
