"""What scores do without being told: nothing is weighted, and intervals come from 1,000 resamples of seed 0."""

from __future__ import annotations

import inspect

import pytest

from career_hf.evaluation import evaluate, metrics, transition_table


def public_functions(module):
    return [
        function
        for name, function in vars(module).items()
        if not name.startswith("_") and getattr(function, "__module__", None) == module.__name__ and callable(function)
    ]


DEFAULTS = {
    "weighted": False,
    "draws": 1000,
    "seed": 0,
    "split": ("test", None),
    "recalibrate": False,
    "by": ((), None),
}


@pytest.mark.parametrize("module", [evaluate, metrics, transition_table], ids=lambda module: module.__name__)
def test_defaults_are_those_of_the_docs(module):
    functions = public_functions(module)
    assert len(functions) > 3 or module is evaluate
    for function in functions:
        for name, parameter in inspect.signature(function).parameters.items():
            if name in DEFAULTS and parameter.default is not inspect.Parameter.empty:
                allowed = DEFAULTS[name] if isinstance(DEFAULTS[name], tuple) else (DEFAULTS[name],)
                assert any(type(parameter.default) is type(a) and parameter.default == a for a in allowed), (
                    f"{function.__name__}({name}={parameter.default!r})"
                )
