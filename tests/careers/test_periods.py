"""Years, quarters and months: numbers and labels, long and wide tables there and back, and input that is none."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from datasets import concatenate_datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf import recode_coding_noise, to_text
from career_hf.careers import (
    covariate_names,
    describe,
    from_frame,
    load_careers,
    save_careers,
    split_careers,
    to_frame,
    truncate,
    validate,
)
from career_hf.careers.periods import PER_YEAR, period_label, period_number, read_periods, time_unit
from career_hf.sources import panel


UNITS = st.sampled_from(["year", "quarter", "month"])
PANDAS = {"year": "Y", "quarter": "Q", "month": "M"}


def period_of(number, unit):
    """The number's period by pandas, which counts from 1970."""
    return pd.Period(ordinal=number - 1970 * PER_YEAR[unit], freq=PANDAS[unit])


@settings(max_examples=50, deadline=None)
@given(UNITS, st.data())
def test_numbers_and_labels_are_those_of_pandas(unit, data):
    number = data.draw(st.integers(1700 * PER_YEAR[unit], 2200 * PER_YEAR[unit]))
    period = period_of(number, unit)
    assert period_label(number, unit) == str(period)
    assert period_number(str(period), unit) == period_number(period, unit) == number
    # The first and the last day of the period, and its own number, name it too.
    for day in (period.start_time, period.end_time.date()):
        assert period_number(day, unit) == number
    assert read_periods(pa.array([period.start_time.to_pydatetime()]), unit)[0].tolist() == [number]
    assert period_number(number, unit) == number
    if unit != "year":
        assert read_periods([str(period), "1993-03" if unit == "month" else "1993Q1"])[1] == unit


@pytest.mark.parametrize(
    ("unit", "texts", "label"),
    [
        (
            "month",
            "Sep.93 Sep93 Sept_1993 September-1993 1993.09 1993_09 1993-9 1993m9 199309 9/1993 X1993.09 1993-09-30 "
            "Sep-1993 sep'1993".split()[:-1],
            "1993-09",
        ),
        ("month", ["Jul 2068", "Jul.68"], "2068-07"),
        ("month", ["Jul.69", "Juli 1969"], "1969-07"),
        ("quarter", "1993Q3 1993-Q3 Q3/1993 q3.93 1993.Q3 Q3_1993 X1993Q3 Sep.93 1993-07-01".split(), "1993Q3"),
        ("year", "1993 1993.0 X1993 1993Q1 Dec.93 1993-12-31 19931231".split(), "1993"),
    ],
)
def test_periods_as_packages_write_them(unit, texts, label):
    for text in texts:
        assert period_label(period_number(text, unit), unit) == label, text


@st.composite
def panels(draw):
    """Rows of a panel in some unit: person, number of the period, occupation; sometimes without a calendar."""
    unit = draw(UNITS)
    first = draw(st.sampled_from([-3, 1, 1960 * PER_YEAR[unit], 1999 * PER_YEAR[unit] + PER_YEAR[unit] - 1]))
    rows = {
        (person, first + draw(st.integers(0, 40)))
        for person in draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
        for _ in range(draw(st.integers(1, 5)))
    }
    return unit, [(*row, draw(st.sampled_from(["school", "work", "12"]))) for row in sorted(rows)]


@settings(max_examples=12, deadline=None)
@given(panels(), st.sampled_from(["pandas", "polars", "arrow"]))
def test_long_and_wide_tables_return_the_same_careers(panel_rows, kind):
    unit, rows = panel_rows
    frame = pd.DataFrame(rows, columns=["person", "year", "occupation"])
    frame["sex"] = frame["person"].map(lambda person: "f" if person < "c" else "m")
    careers = from_frame(frame, static=["sex"], unit=unit)
    validate(careers)
    steps = [(c["person"], *step) for c in careers for step in zip(c["year"], c["occupation"], strict=True)]
    assert steps == rows
    assert time_unit(careers) == unit and covariate_names(careers) == ([], ["sex"])
    long = to_frame(careers, kind)
    labels = [period_label(number, unit) for _, number, _ in rows]
    assert [str(value) for value in pl.DataFrame(long)[unit].to_list()] == labels
    again = from_frame(long, year=unit, static=["sex"], unit=unit)
    wide = to_frame(careers, kind, wide=True)
    periods = [name for name in pl.DataFrame(wide).columns if name not in ("person", "sex")]
    columns = {name: int(name) for name in periods} if "-" in f"{rows[0][1]}" else periods
    of_wide = from_frame(wide, year=columns, static=["sex"], unit=unit)
    assert careers[:] == again[:] == of_wide[:]
    # A complete grid, or every second period where all are two apart.
    numbers = {number for _, number, _ in rows}
    step = np.gcd.reduce(np.diff(sorted(numbers))) if len(numbers) > 1 else 1
    assert len(periods) == (max(numbers) - min(numbers)) // step + 1


BASE = {"person": ["ann", "ann", "bob"], "occupation": ["cook", "nurse", "cook"]}
DAYS = pd.to_datetime(["1993-07-05", "1993-08-01", "1993-07-31"])


@pytest.mark.parametrize(
    ("values", "unit", "known"),
    [
        (["1993-07", "Aug.93", "1993.09"], None, "month"),
        ([199307, 199308, 199309], None, "month"),
        (pd.PeriodIndex(["1993-07", "1993-08", "1993-07"], freq="M"), None, "month"),
        (pd.Categorical(["1993Q3", "1993Q4", "1993Q3"]), None, "quarter"),
        (["1993-07", "1993-10", "1993-07"], "quarter", "quarter"),
        (["1993-07", "1994-07", "1993-12"], "year", "year"),
        (DAYS, "month", "month"),
        ([datetime.date(1993, 7, 5), datetime.date(1994, 8, 1), datetime.date(1993, 7, 1)], None, "year"),
        ([20130101, 20140101, 20130101], None, "year"),
        (["2010-11", "2011-12", "2010-11"], "month", "month"),
        ([1, 2, 40], "month", "month"),
        ([1993.0, 1994.0, 1993.0], None, "year"),
    ],
    ids=str,
)
def test_the_unit_is_given_or_that_of_the_values(values, unit, known):
    for frame in (pd.DataFrame(BASE | {"year": values}), BASE | {"year": values}):
        careers = from_frame(frame, unit=unit)
        assert time_unit(careers) == known
        assert ("time_unit" in careers.column_names) == (known != "year")


@pytest.mark.parametrize(
    ("values", "unit", "message"),
    [
        (["1993-07", "1993Q4", "1993-09"], None, "'ann', row 1, .*'1993Q4': a quarter, and .* row 0 is a month"),
        ([1993, 1994, "1993-09"], None, "'bob', row 2, .*'1993-09': a month, and .* row 0 is a year; .*unit='year'"),
        (DAYS, None, "'ann', row 1, .*1993, 8.*row 0 .*person and year, 1993; .*unit='quarter' or unit='month'"),
        (["1993-07", "1993-08", "1993-07"], "quarter", "'ann', row 1, .* person and quarter, 1993Q3; .*unit='month'"),
        (["2010-11", "2011-12", "2010-11"], None, "either a month or two years, such as those of a school; say which"),
        ([1993.07, 1993.08, 1993.1], None, r"'ann', row 0, .*1993.07: not a year"),
        ([1993, 1994, 1995], "month", "'ann', row 0, .*1993: a year, and not a month; months are written as"),
        ([1, "1993-07", 5], "month", "'ann', row 0, .*'1': a number without a date, and .* row 1 has a date"),
        (["1993-07", None, "1993-08"], None, "'ann', row 1, .*None: not a month; .*drop the row"),
        (["1993-07", "1993-13", "1993-08"], None, "'ann', row 1, .*'1993-13': not a month; months are 01 to 12; "),
        (["1993-13", "1994-02", "1993-08"], "year", "'ann', row 0, .*'1993-13': not a year; months are 01 to 12; "),
        (["1993-07-01", "1994-02-30", "1993-07-01"], None, "'ann', row 1, .*'1994-02-30': not a year"),
        ([1, 2, 3], "week", "unit is 'week', and must be one of 'year', 'quarter', 'month'"),
        ([datetime.date(1, 1, 1)] * 3, "month", "'ann', row 0, .*not a month; dates lie in the years 1000 to 2999"),
    ],
)  # fmt: skip
def test_what_is_no_period_is_one_line(values, unit, message):
    with pytest.raises(ValueError, match=message) as error:
        from_frame(pd.DataFrame(BASE | {"year": values}), unit=unit)
    assert "\n" not in str(error.value)


WIDE = pd.DataFrame(
    {
        "id": [7, 3],
        "sex": ["f", "m"],
        "w": [1.5, 2.0],
        "Jul.93": ["E", "S"],
        "Aug.93": [None, "S"],
        "Sep.93": ["E", None],
    }
)
ALL = "Jul.93:Sep.93"


def test_the_columns_of_a_wide_table_may_be_named_in_every_way():
    roles = {"person": "id", "static": ["sex"], "weight": "w"}
    careers = from_frame(WIDE, year=ALL, **roles)
    july = period_number("1993-07", "month")
    assert careers[:] == {
        "person": ["3", "7"],
        "year": [[july, july + 1], [july, july + 2]],
        "occupation": [["S", "S"], ["E", "E"]],
        "sex": ["m", "f"],
        "weight": [2.0, 1.5],
        "time_unit": ["month", "month"],
    }
    names = ["Jul.93", "Aug.93", "Sep.93"]
    told = {"a": "1993-07", "b": datetime.date(1993, 8, 1), "c": "Sep 1993"}
    dates = WIDE.set_index(["id", "sex", "w"])
    for frame, year, unit in (
        (pl.from_pandas(WIDE), ALL, None),
        (WIDE.to_dict("list"), names, "month"),
        (WIDE[["id", "w", "sex", *reversed(names)]], pd.Index(names), None),
        (WIDE.rename(columns=dict(zip(names, told, strict=True))), told, "month"),
        (dates.set_axis(pd.PeriodIndex(["1993-07", "1993-08", "1993-09"], freq="M"), axis=1), "1993-07:1993-09", None),
        (dates.set_axis(pd.to_datetime(["1993-07", "1993-08", "1993-09"]), axis=1), None, "month"),
    ):
        assert from_frame(frame, year=frame.columns if year is None else year, unit=unit, **roles)[:] == careers[:]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"year": "sex:Sep.93"}, "column 'sex': not a month; .*leave the column out of year="),
        ({}, {"year": "Jul.93:Dec.93"}, "names columns from 'Jul.93' to 'Dec.93', and there is no 'Dec.93'"),
        ({}, {"year": "Sep.93:Jul.93"}, "column 'Jul.93' stands before 'Sep.93'"),
        ({}, {"year": ["Jul.93", "Jul.93"]}, "column 'Jul.93' is named twice in year="),
        ({}, {"year": []}, "year names no columns"),
        ({}, {"year": 1993}, "year is 1993, and must be the name of a column, or the columns of a wide table"),
        ({}, {"year": ["Jul.93", "id"]}, "column 'id' is in year= and has another role"),
        ({}, {"year": {"Jul.93": "1993-07", "w": "soon"}}, "column 'w', value 'soon': not a month"),
        ({"1993-08": ["E", "S"]}, {"year": "Jul.93:1993-08"}, "columns 'Aug.93' and '1993-08' are both month 1993-08"),
        ({"1993Q4": ["E", "S"]}, {"year": "Jul.93:1993Q4"}, "column '1993Q4': a quarter, and column 'Jul.93' is a m"),
        ({"Nov.93": ["E", "S"]}, {"year": "Jul.93:Nov.93"}, "no column is month 1993-10, between 'Sep.93' and"),
        ({}, {"year": ALL, "unit": "year"}, "'Jul.93' and 'Aug.93' are both year 1993: drop one, or say unit="),
        ({"id": [7, 7]}, {"year": ALL}, "person '7', row 1, column 'id', value 7: row 0 is already this person"),
        ({"id": [7, None]}, {"year": ALL}, "row 1, column 'id': no person is named"),
        ({"Jul.93": ["E", None], "Aug.93": ""}, {"year": ALL}, "person '3', row 1: every period is missing"),
        ({"w": [1, -1]}, {"year": ALL, "weight": "w"}, "person '3', row 1, column 'w', value -1: .* in 1993-07; "),
        ({}, {"year": ALL, "covariates": ["sex"]}, "column 'sex' cannot change over time in a wide table"),
        ({"Jul.93": [["E"], ["S"]]}, {"year": ALL}, "column 'Jul.93' cannot be read as labels"),
    ],
)  # fmt: skip
def test_bad_wide_tables_are_one_line_that_names_person_or_column(change, options, message):
    with pytest.raises(ValueError, match=message) as error:
        from_frame(WIDE.assign(**change), person="id", **options)
    assert "\n" not in str(error.value)


def test_gaps_between_columns_are_read_where_they_are_regular_or_told():
    frame = pd.DataFrame({"person": [1], "1994": ["a"], "1996": ["b"], "1998": ["a"], "1999": ["a"]})
    assert from_frame(frame, year="1994:1998")["year"][:] == [[1994, 1996, 1998]]
    with pytest.raises(ValueError, match="no column is year 1995, between '1994' and '1996'"):
        from_frame(frame, year="1994:1999")
    told = {name: int(name) for name in frame.columns[1:]}
    assert from_frame(frame, year=told)["year"][:] == [[1994, 1996, 1998, 1999]]
    with pytest.raises(ValueError, match="the table has two columns '1994'"):
        from_frame(pd.concat([frame, frame[["1994"]]], axis=1), year=["1994", "1996"])


def test_columns_that_change_have_no_place_in_a_wide_table():
    careers = from_frame(BASE | {"year": [1, 2, 1], "pay": [1.0, None, 2.0]}, outcomes=["pay"], unit="month")
    with pytest.raises(ValueError, match=r"column 'pay' has a value for each month.*remove_columns\('pay'\)"):
        to_frame(careers, wide=True)
    assert to_frame(careers)["pay"].isna().sum() == 1


def test_words_follow_the_unit_in_files_descriptions_and_ledgers(tmp_path):
    rows = [(f"p{i}", f"1993-{month:02d}", "ab"[i % 2]) for i in range(30) for month in range(1, 5)]
    careers = from_frame(pd.DataFrame(rows, columns=["person", "month", "occupation"]), year="month")
    save_careers(split_careers(careers), tmp_path / "careers")
    loaded = concatenate_datasets(list(load_careers(tmp_path / "careers").values()))
    summary = describe(loaded)
    assert summary[["person-months", "mean months per career"]].tolist() == [120, 4]
    assert summary[["first month", "median month", "last month"]].tolist() == ["1993-01", "1993-02", "1993-04"]
    assert not summary.index.str.contains("year").any()
    short, ledger = truncate(careers, "Feb 1993")
    assert time_unit(short) == "month" and {"after 1993-02": 60} in [entry.dropped for entry in ledger.entries]
    assert [entry.unit for entry in ledger.entries] == ["people", "person-months"]
    recoded = recode_coding_noise(careers).ledger
    assert recoded.entries[-1].unit == "person-months" and "depends on later months" in recoded.notes[0]
    assert to_text(careers)[0]["text"].splitlines()[:2] == ["1993-01: a", "1993-02: a"]
    for cutoff, message in (("1992-12", "nobody is observed up to 1992-12, .*the first month of all, 1993-01"),
                            (1993, "cutoff is 1993, and must be a month: months are written as in")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            truncate(careers, cutoff)
    yearly = from_frame({"person": ["q"], "year": [1993], "occupation": ["a"]})
    with pytest.raises(
        ValueError, match="person 'q', column 'time_unit', value None: not 'month', and all careers must"
    ):
        validate(concatenate_datasets([careers, yearly]))


def test_careers_of_years_have_no_further_column():
    careers = from_frame(BASE | {"year": [1990, 1991, 1990]})
    assert careers.column_names == ["person", "year", "occupation"]
    assert to_frame(careers, "arrow").schema.field("year").type == pa.int32()
    assert truncate(careers, "1990")[0]["year"][:] == truncate(careers, 1990)[0]["year"][:] == [[1990], [1990]]


def test_a_file_of_a_wide_table_is_prepared_and_its_empty_cells_are_counted(tmp_path):
    WIDE.to_csv(tmp_path / "wide.csv", index=False)
    prepared = panel(tmp_path / "wide.csv", person="id", static=["sex"], weight="w", year=ALL, missing=["S"])
    entry = prepared.ledger.entries[0]
    assert (entry.step, entry.rows_in, entry.rows_out) == ("read person-months", 6, 2)
    assert entry.dropped == {"no occupation": 4}
    assert prepared.careers.to_list()[0]["occupation"] == ["E", "E"]
    filled = panel(WIDE, person="id", year=ALL, no_occupation="absent").careers.sort("person")
    assert filled["occupation"][:] == [["S", "S", "absent"], ["E", "absent", "E"]]
    dates = pd.DataFrame({"person": ["a", "a"], "when": ["1993-07-05", "1993-08-01"], "occupation": ["x", "y"]})
    assert panel(dates, year="when", unit="month").description["person-months"] == 2
