"""Columns as libraries and statistical programs write them: years that are dates, labels that are numbers."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from career_hf.careers import from_frame


def careers_of(make=pd.DataFrame, **columns):
    return from_frame(make({"person": ["a", "a"], "year": [2000, 2001], "occupation": ["x", "y"], **columns}))


@pytest.mark.parametrize(
    "years",
    [
        pd.IntervalIndex.from_breaks([1993, 1994, 1995]),
        [20130199, 20140101],
        # Dates as Excel counts them, in days.
        [41275, 41640],
        ["'93", "'94"],
        ["2010/11", "2011/12"],
        [1993.5, 1994.5],
        [True, False],
        pd.array([1993, None], dtype="Int64"),
    ],
    ids=str,
)
def test_years_that_are_no_years_are_refused_with_person_and_value(years):
    with pytest.raises(ValueError, match="person 'a', row [01], column 'year', value .*: not a year") as error:
        careers_of(year=years)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "years",
    [
        pd.PeriodIndex(["1993", "1994"], freq="Y-JUN"),
        pd.Categorical(["1993", "1994"]),
        np.array([1993, 1994], dtype=object),
        ["1993.0", " 1994 "],
        pd.to_datetime(["1993-01-01", "1994-01-01"]),
        [datetime.date(1993, 1, 1), datetime.date(1994, 1, 1)],
        [19930101, 19941231],
    ],
    ids=str,
)
def test_years_in_other_types_are_read(years):
    assert careers_of(year=years)["year"][:] == [[1993, 1994]]


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame], ids=["polars", "pandas"])
def test_codes_with_a_point_are_those_without_whichever_library_holds_the_texts(make):
    assert careers_of(make, occupation=["95.0", " 95"])["occupation"][:] == [["95", "95"]]


def test_a_category_that_mixes_numbers_and_labels_is_read_where_only_its_labels_occur():
    frame = {
        "person": ["a", "a"],
        "year": [2000, 2001],
        "occupation": pd.Categorical(["refused"] * 2, [1.0, "refused"]),
    }
    assert from_frame(pd.DataFrame(frame))["occupation"][:] == [["refused"] * 2]


def test_missing_values_of_stata_are_missing(tmp_path):
    frame = pd.DataFrame({"person": [1, 1], "year": [2000, 2001], "occupation": ["x", "y"], "size": [95.0, np.nan]})
    frame.to_stata(tmp_path / "a.dta", write_index=False)
    read = pd.read_stata(tmp_path / "a.dta", convert_missing=True)
    assert str(read["size"][1]) == "."
    assert from_frame(read, covariates=["size"])["size"][:] == [["95", None]]
