"""Results show themselves as their tables."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from pkgutil import walk_packages

import pandas as pd

import career_hf
from career_hf.readable_values import ReadableResult, format_value


@dataclass(frozen=True, repr=False)
class Rows(ReadableResult):
    frame: pd.DataFrame

    def to_frame(self):
        return self.frame


def test_a_result_shows_its_first_rows_and_says_how_many_there_are():
    result = Rows(pd.DataFrame({"year": range(1980, 2010), "perplexity": 17.456789}))
    assert [format_value(missing) for missing in (None, float("nan"), pd.NA, pd.NaT)] == [""] * 4
    lines = repr(result).splitlines()
    assert lines[0] == "Rows" and lines[1].split() == ["year", "perplexity"]
    assert lines[2].split() == ["0", "1980", "17.457"] and lines[-2].split() == ["19", "1999", "17.457"]
    assert lines[-1] == "... and 10 more rows: see to_frame()"
    assert "1980" in result._repr_html_() and "2000" not in result._repr_html_()


def test_every_result_with_a_frame_is_readable():
    """A dataclass with `to_frame` that kept its own repr would print its fields, frames and models among them."""
    unreadable = []
    for module in walk_packages(career_hf.__path__, "career_hf."):
        for name, kind in inspect.getmembers(import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name and hasattr(kind, "to_frame"):
                generated = getattr(kind, "__dataclass_params__", None)
                if (generated and generated.repr) or kind.__repr__ is object.__repr__:
                    unreadable.append(f"{module.name}.{name}")
    assert not unreadable


def test_a_share_within_years_is_no_year():
    assert format_value(0.159635, column="within_year") == "0.160"
    assert format_value(1987, column="birth_year") == "1987" and format_value(1987.25, "mean year") == "1987.25"
