"""Careers: frames in and out, bad input named, saved and described."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers import (
    covariate_names,
    from_frame,
    load_careers,
    save_careers,
    split_careers,
    split_manifest,
    to_frame,
    validate,
)
from career_hf.careers.columns import make_dataset
from career_hf.careers.describing import describe
from career_hf.careers.ledger import Ledger


LABELS = st.text(alphabet="abc9 -", min_size=1, max_size=4).map(str.strip).filter(bool)


@st.composite
def long_tables(draw):
    """Rows of long tables: person, year, occupation, region (changes), gender (does not), log_wage, weight."""
    rows = []
    for person in draw(st.lists(LABELS, min_size=1, max_size=6, unique=True)):
        gender, weight = draw(st.none() | LABELS), draw(st.floats(0.1, 10))
        for year in draw(st.lists(st.integers(1900, 2030), min_size=1, max_size=6, unique=True)):
            region, wage = draw(st.none() | LABELS), draw(st.none() | st.floats(-5, 5))
            rows.append((person, year, draw(LABELS), region, gender, wage, weight))
    return rows


NAMES = ["person", "year", "occupation", "region", "gender", "log_wage", "weight"]
ROLES = {"covariates": ["region"], "static": ["gender"], "outcomes": ["log_wage"], "weight": "weight"}


def as_arrow(rows):
    columns = zip(*rows, strict=True)
    kinds = [pa.string(), pa.int64(), pa.string(), pa.string(), pa.string(), pa.float64(), pa.float64()]
    return pa.table([pa.array(c, k) for c, k in zip(columns, kinds, strict=True)], names=NAMES)


@settings(max_examples=50, deadline=None)
@given(long_tables())
def test_from_frame_and_back_returns_every_row(rows):
    long = to_frame(from_frame(as_arrow(rows), **ROLES), kind="arrow")
    returned = [tuple(row[name] for name in NAMES) for row in long.to_pylist()]
    assert sorted(returned, key=lambda r: r[:2]) == sorted(rows, key=lambda r: r[:2])


@settings(max_examples=50, deadline=None)
@given(long_tables(), st.randoms())
def test_row_order_is_irrelevant(rows, randomness):
    shuffled = list(rows)
    randomness.shuffle(shuffled)
    assert from_frame(as_arrow(rows), **ROLES)[:] == from_frame(as_arrow(shuffled), **ROLES)[:]


@settings(max_examples=30, deadline=None)
@given(long_tables())
def test_from_frame_makes_valid_careers(rows):
    validate(from_frame(as_arrow(rows), **ROLES))


def test_from_frame_equals_a_plain_python_grouping():
    rng = random.Random(0)
    rows = [(p, y, rng.choice("abc")) for p in range(30) for y in rng.sample(range(1980, 2000), rng.randint(1, 9))]
    rng.shuffle(rows)
    careers = from_frame(dict(zip(["person", "year", "occupation"], zip(*rows, strict=True), strict=True)))
    for i, career in enumerate(careers):
        expected = sorted(row[1:] for row in rows if row[0] == i)
        assert career == {
            "person": str(i),
            "year": [year for year, _ in expected],
            "occupation": [occupation for _, occupation in expected],
        }


@pytest.mark.parametrize(
    "convert",
    [
        pd.DataFrame,
        lambda d: pd.DataFrame(d).astype({"occupation": "category"}),
        lambda d: pd.DataFrame(d).astype({"year": "Int64", "occupation": "string"}),
        lambda d: pd.DataFrame(d, index=["x", "y", "z"]),
        lambda d: pd.DataFrame(d).astype({"year": float}),
        lambda d: pd.DataFrame(d).astype({"year": str}),
        lambda d: pd.DataFrame(d).set_index(["person", "year"]),
        pl.DataFrame,
        lambda d: pl.DataFrame(d).with_columns(pl.col("occupation").cast(pl.Categorical)),
        pa.table,
        lambda d: pa.table(d | {"person": pa.array(d["person"], pa.int8())}),
        lambda d: pa.table(d | {"occupation": pa.array(d["occupation"], pa.large_string())}),
        lambda d: pa.concat_tables([pa.table(d).slice(0, 1), pa.table(d).slice(1)]),
        Dataset.from_dict,
    ],
)
def test_every_kind_of_frame_gives_the_same_careers(convert):
    rows = {"person": [10, 9, 10], "year": [1991, 1980, 1990], "occupation": ["b", "a", "c"]}
    expected = {"person": ["9", "10"], "year": [[1980], [1990, 1991]], "occupation": [["a"], ["c", "b"]]}
    assert from_frame(convert(rows))[:] == expected


def test_numeric_labels_become_text_without_decimals():
    frame = {"person": [1.0, 2.0, 3.0], "year": [1, 1, 1], "occupation": [12.0, 7.5, 300.0]}
    careers = from_frame(frame)
    assert careers["person"][:] == ["1", "2", "3"]
    assert careers["occupation"][:] == [["12"], ["7.5"], ["300"]]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_nan_null_and_empty_text_are_missing(frame):
    rows = {"person": ["a"] * 3, "year": [1, 2, 3], "occupation": ["x"] * 3}
    rows |= {"region": ["north", "", None], "grade": [12.0, float("nan"), 13.0], "wage": [1.5, float("nan"), 2.0]}
    careers = from_frame(frame(rows), covariates=["region", "grade"], outcomes=["wage"])
    assert careers[0]["region"] == ["north", None, None]
    assert careers[0]["grade"] == ["12", None, "13"]
    assert careers[0]["wage"] == [1.5, None, 2.0]


def test_columns_are_named_by_role_and_typed(careers):
    schema = careers.features.arrow_schema
    assert dict(zip(schema.names, map(str, schema.types), strict=True)) == {
        "person": "string",
        "year": "list<item: int32>",
        "occupation": "list<item: string>",
        "region": "list<item: string>",
        "log_wage": "list<item: double>",
        "gender": "string",
        "weight": "double",
    }
    assert covariate_names(careers) == (["region"], ["gender"])


def test_columns_of_other_names_are_found():
    frame = {"caseid": [1], "wave": [1990], "occ": ["a"], "s": ["x"], "p": ["y"], "hh": [7], "w": [2]}
    careers = from_frame(
        frame, person="caseid", year="wave", occupation="occ", stratum="s", psu="p", group="hh", weight="w"
    )
    assert (careers[0]["person"], careers[0]["year"], careers[0]["occupation"]) == ("1", [1990], ["a"])
    assert {name: careers[0][name] for name in ("stratum", "psu", "group", "weight")} == {
        "stratum": "x",
        "psu": "y",
        "group": "7",
        "weight": 2.0,
    }


BASE = {"person": ["ann", "ann", "bob"], "year": [1990, 1991, 1990], "occupation": ["cook", "nurse", "cook"]}


@pytest.mark.parametrize(
    ("change", "roles", "parts"),
    [
        ({"year": [1990, 1990, 1990]}, {}, ["'ann'", "row 1", "'year'", "1990", "row 0 already", "keep one row"]),
        ({"year": ["1990", "19x0", "1990"]}, {}, ["'ann'", "row 1", "'year'", "'19x0'", "whole numbers"]),
        ({"year": [1990, 1980.5, 1990]}, {}, ["'ann'", "row 1", "'year'", "1980.5", "whole numbers"]),
        ({"year": [1990, None, 1990]}, {}, ["'ann'", "row 1", "'year'", "None", "drop the row"]),
        ({"year": [1990, 1991, 2**40]}, {}, ["'bob'", "row 2", "'year'", str(2**40)]),
        ({"year": [True, True, False]}, {}, ["'ann'", "row 0", "'year'", "True"]),
        ({"occupation": ["cook", None, "cook"]}, {}, ["'ann'", "row 1", "'occupation'", "missing", "give it a label"]),
        ({"occupation": ["cook", "nurse", " "]}, {}, ["'bob'", "row 2", "'occupation'", "missing"]),
        ({"person": ["ann", None, "bob"]}, {}, ["row 1", "'person'", "no person"]),
        ({"sex": ["f", "m", "m"]}, {"static": ["sex"]}, ["'ann'", "row 1", "'sex'", "'f' in row 0", "covariates="]),
        ({"sex": ["f", None, "m"]}, {"static": ["sex"]}, ["'ann'", "row 1", "'sex'", "None", "'f' in row 0"]),
        ({"w": [1.0, 1.0, -1.0]}, {"weight": "w"}, ["'bob'", "row 2", "'w'", "-1.0", "positive", "in 1990"]),
        ({"w": [1.0, np.inf, 1.0]}, {"weight": "w"}, ["'ann'", "row 1", "'w'", "inf", "positive", "in 1991"]),
        ({"w": [1.0, 1.0, None]}, {"weight": "w"}, ["'bob'", "row 2", "'w'", "None", "positive"]),
        ({"w": ["1", "1", "x"]}, {"weight": "w"}, ["'bob'", "row 2", "'w'", "'x'", "not a finite number"]),
        ({"pay": [1.0, float("-inf"), 0.0]}, {"outcomes": ["pay"]}, ["'ann'", "row 1", "'pay'", "-inf", "empty"]),
        ({"hh": ["h", "h", None]}, {"group": "hh"}, ["'bob'", "row 2", "'hh'", "missing"]),
        ({"weight": ["1", "1", "2"]}, {"covariates": ["weight"]}, ["'weight'", "reserved", "rename"]),
        ({}, {"covariates": ["region"]}, ["'region'", "not in the table", "'person', 'year', 'occupation'"]),
        ({}, {"covariates": "region"}, ["covariates=['region']"]),
        ({"sex": ["f", "f", "m"]}, {"covariates": ["sex"], "static": ["sex"]}, ["'sex'", "twice"]),
        ({"tags": [["a"], ["b"], ["c"]]}, {"covariates": ["tags"]}, ["'tags'", "cannot be read as labels"]),
    ],
)
def test_bad_frames_are_errors_that_name_the_cell_and_the_fix(change, roles, parts):
    with pytest.raises(ValueError) as error:
        from_frame(pa.table(BASE | change), **roles)
    for part in parts:
        assert part in str(error.value)


def test_mixed_pandas_column_names_the_unparsable_year():
    frame = pd.DataFrame(BASE | {"year": [1990, "19x0", 1990]})
    with pytest.raises(ValueError, match=r"person 'ann', row 1, column 'year', value '19x0'.*whole numbers"):
        from_frame(frame)


def test_dates_are_years_of_which_a_person_has_one_each():
    dates = pd.to_datetime(["1990-05-01", "1991-02-01", "1990-12-31"])
    assert from_frame(pd.DataFrame(BASE | {"year": dates}))[:] == from_frame(pa.table(BASE))[:]
    dates = pd.to_datetime(["1990-05-01", "1990-06-01", "1990-12-31"])
    with pytest.raises(ValueError, match=r"'ann', row 1, .*1990, 6.*row 0 already has this person and year"):
        from_frame(pd.DataFrame(BASE | {"year": dates}))


def test_columns_of_a_dict_are_read_as_those_of_a_frame():
    mixed = {"person": [1, "b"], "year": [1990, 1990], "occupation": ["cook", 12.0], "race": [float("nan"), "x"]}
    careers = from_frame(mixed, covariates=["race"])
    assert careers.to_list() == from_frame(pd.DataFrame(mixed), covariates=["race"]).to_list()
    assert careers["occupation"][:] == [["cook"], ["12"]] and careers["race"][:] == [[None], ["x"]]
    for changes, message in (
        ({"year": [1990]}, "column 'year' has 1 values, but 'person' has 2"),
        ({"occupation": "cook"}, "column 'occupation' is 'cook', and must be a list"),
        ({"occupation": ["cook", ["nurse"]]}, "row 1, column 'occupation', value .*nurse.* is no label"),
        ({"year": [1990, "x"]}, "person 'b', row 1, column 'year', value 'x': not a year"),
    ):
        with pytest.raises(ValueError, match=message):
            from_frame(mixed | changes)


@pytest.mark.parametrize("frame", [[1, 2], 7, "careers.csv"])
def test_what_is_not_a_table_is_an_error(frame):
    with pytest.raises(ValueError, match="is not a table: pass a pandas, polars or Arrow table"):
        from_frame(frame)


def test_empty_table_is_an_error():
    with pytest.raises(ValueError, match="no rows"):
        from_frame(pa.table(BASE).slice(0, 0))


def test_to_frame_repeats_static_columns_in_each_kind(careers):
    frame = to_frame(careers)
    assert frame.gender.tolist()[:4] == ["f", "f", "f", "m"] and frame.weight.tolist()[:4] == [1, 1, 1, 4]
    assert to_frame(careers, "polars").equals(pl.from_arrow(to_frame(careers, "arrow")))
    with pytest.raises(ValueError, match="'excel' is not one of"):
        to_frame(careers, "excel")


def test_to_frame_follows_a_selection(careers):
    assert to_frame(careers.select([2, 0])).person.tolist() == ["cy"] * 4 + ["ann"] * 3


HAND = {"person": ["p", "q"], "year": [[1990, 1992], [1991]], "occupation": [["a", "b"], ["c"]]}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"occupation": [["a"], ["c"]]}, ["'p'", "row 0", "'occupation'", "not as long", "one value per year"]),
        ({"region": [["x", "y"], ["x", "y"]]}, ["'q'", "row 1", "'region'", "not as long"]),
        ({"region": [["x", "y"], None]}, ["'q'", "row 1", "'region'", "None", "not as long"]),
        ({"year": [[1990, 1992], []], "occupation": [["a", "b"], []]}, ["'q'", "row 1", "empty", "drop the person"]),
        ({"year": [[1992, 1990], [1991]]}, ["'p'", "row 0", "'year'", "1990 at step 1", "not after", "sort"]),
        ({"year": [[1990, 1990], [1991]]}, ["'p'", "row 0", "'year'", "1990 at step 1", "one step per year"]),
        ({"year": [[1990, None], [1991]]}, ["'p'", "row 0", "'year'", "None at step 1"]),
        ({"occupation": [["a", "b"], [None]]}, ["'q'", "row 1", "'occupation'", "None at step 0", "'unknown'"]),
        ({"occupation": [["a", ""], ["c"]]}, ["'p'", "row 0", "'occupation'", "'' at step 1"]),
        ({"person": ["p", "p"]}, ["'p'", "row 1", "'person'", "two rows"]),
        ({"person": ["p", None]}, ["row 1", "'person'", "no person"]),
        ({"weight": [1.0, -2.0]}, ["'q'", "row 1", "'weight'", "-2.0", "positive"]),
        ({"weight": [float("nan"), 1.0]}, ["'p'", "row 0", "'weight'", "nan", "positive"]),
        ({"weight": [float("inf"), 1.0]}, ["'p'", "row 0", "'weight'", "inf", "finite"]),
        ({"weight": [None, 1.0]}, ["'p'", "row 0", "'weight'", "None"]),
        ({"weight": [[1.0, -2.0], [1.0]]}, ["'p'", "row 0", "'weight'", "-2.0 at step 1 in 1992", "positive"]),
        ({"weight": [[1.0, 0.0], [None]]}, ["'q'", "row 1", "'weight'", "None at step 0 in 1991", "positive"]),
        ({"weight": [[1.0], [1.0]]}, ["'p'", "row 0", "'weight'", "not as long"]),
        ({"weight": [["1", "1"], ["1"]]}, ["'weight'", "one number per person, or lists with one per year"]),
        ({"year": [1990, 1991]}, ["'year'", "int64", "lists of whole numbers", "cast_column"]),
        ({"occupation": ["a", "b"]}, ["'occupation'", "string", "lists of text"]),
        ({"region": [1, 2]}, ["'region'", "int64", "static covariate"]),
        ({"group": [["x"], ["y"]]}, ["'group'", "one text per person"]),
    ],
)
def test_validate_names_each_planted_defect(change, parts):
    validate(Dataset.from_dict(HAND))
    with pytest.raises(ValueError) as error:
        validate(Dataset.from_dict(HAND | change))
    for part in parts:
        assert part in str(error.value)


def test_validate_names_a_missing_column():
    with pytest.raises(ValueError, match="no column 'occupation'.*from_frame"):
        validate(Dataset.from_dict(HAND).remove_columns("occupation"))


@settings(max_examples=50, deadline=None)
@given(long_tables(), st.sampled_from(["swap", "empty", "null", "twice", "short"]), st.data())
def test_validate_catches_defects_planted_anywhere(rows, defect, data):
    careers = from_frame(as_arrow(rows), **ROLES)
    columns = careers[:]
    i = data.draw(st.integers(0, careers.num_rows - 1))
    if defect == "swap":
        columns["year"][i] = columns["year"][i][::-1] if len(columns["year"][i]) > 1 else [None]
    elif defect == "empty":
        columns["year"][i], columns["occupation"][i] = [], []
    elif defect == "null":
        columns["occupation"][i][-1] = None
    elif defect == "twice":
        columns["person"].append(columns["person"][i])
        for name in set(columns) - {"person"}:
            columns[name].append(columns[name][i])
    else:
        columns["region"][i] = columns["region"][i][1:]
    with pytest.raises(ValueError, match=f"person {columns['person'][i]!r}, row"):
        validate(Dataset.from_dict(columns, features=careers.features))


def fifty_people():
    return from_frame({"person": list(range(50)), "year": [2000] * 50, "occupation": ["a"] * 50})


def test_save_and_load_returns_the_same_splits(tmp_path):
    splits = split_careers(fifty_people())
    ledger = Ledger()
    ledger.record("read", "rows", 50, 50)
    save_careers(splits, tmp_path / "careers", ledger, split_manifest(splits))
    loaded = load_careers(tmp_path / "careers")
    assert {name: split[:] for name, split in loaded.items()} == {name: split[:] for name, split in splits.items()}
    assert Ledger.load(tmp_path / "careers" / "ledger.json").to_dict() == ledger.to_dict()


def test_load_refuses_people_that_are_not_in_the_manifest(tmp_path):
    splits = split_careers(fifty_people())
    fewer = DatasetDict(splits | {"test": splits["test"].select(range(1))})
    save_careers(fewer, tmp_path / "careers", manifest=split_manifest(splits))
    with pytest.raises(ValueError, match="split 'test' does not hold the people of its manifest"):
        load_careers(tmp_path / "careers")


def test_load_gives_unsplit_careers_the_name_all(tmp_path, careers):
    save_careers(careers, tmp_path / "careers")
    assert load_careers(tmp_path / "careers")["all"][:] == careers[:]


def test_describe_counts_stays_returns_and_news(careers):
    """ann: cook waiter(new) cook(return); bob: pilot; cy: cook cook(stay) waiter(new) nurse(new)."""
    summary = describe(careers)
    assert summary[["people", "person-years", "longest career", "occupations"]].tolist() == [3, 8, 4, 4]
    shares = summary[["share stay", "share return", "share new"]]
    assert np.allclose(shares, [1 / 5, 1 / 5, 3 / 5])
    assert np.allclose(summary[["missing region", "missing gender"]], [1 / 8, 1 / 3])
    assert np.allclose(summary[["mean years per career", "median year"]], [8 / 3, 1992])


def test_a_measurement_is_no_covariate():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"person": range(300), "year": 1990, "occupation": "cook", "score": rng.normal(size=300)})
    for role in ("covariates", "static"):
        with pytest.raises(ValueError, match="person '0', row 0, column 'score', .*one of 300 different numbers"):
            from_frame(frame, **{role: ["score"]})
    assert from_frame(frame, outcomes=["score"]).num_rows == 300
    binned = from_frame(frame.assign(score=frame["score"].round(1)), static=["score"])
    assert binned.num_rows == 300


def test_datasets_of_the_same_columns_have_the_same_fingerprint_and_others_another():
    columns = {"person": pa.array(["1", "2"]), "year": pa.array([[2000], [2001, None]])}
    fingerprint = make_dataset(columns)._fingerprint
    assert (
        make_dataset({name: pa.array(column.to_pylist()) for name, column in columns.items()})._fingerprint
        == fingerprint
    )
    others = [
        columns | {"person": pa.array(["1", "3"])},
        columns | {"year": pa.array([[2000], [2001, 2002]])},
        columns | {"year": pa.array([[2000], [2001, None]], pa.list_(pa.int32()))},
        {name: column[:1] for name, column in columns.items()},
        {"people": columns["person"], "year": columns["year"]},
    ]
    assert len({fingerprint, *(make_dataset(other)._fingerprint for other in others)}) == 6
