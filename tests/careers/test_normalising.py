"""One number has one label, and only what the package wrote is replaced."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from career_hf.careers import from_frame, load_careers, save_careers, split_careers
from career_hf.careers.columns import read_labels
from career_hf.occupations import make_crosswalk, recode
from career_hf.occupations.normalising import label_of, labels_of


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_number_has_one_label_however_it_is_written(number):
    for value in (number, float(number), str(number), f"{number}.0", f" {number}.00 "):
        assert label_of(value) == str(number)
        assert read_labels(pa.array([value])).to_pylist() == [str(number)]


@given(
    st.one_of(
        st.floats(-1e9, 1e9), st.text("0123456789. -aé", max_size=6), st.booleans(), st.decimals(-9, 9, places=3)
    )
)
def test_columns_and_single_values_follow_one_rule(value):
    assert read_labels(pa.array([value])).to_pylist() == [label_of(value)]


def test_periods_and_half_labelled_items_are_read_as_people_see_them():
    frame = pd.DataFrame({"person": [1, 1], "occupation": pd.Categorical(["valid skip", 95.0])})
    frame["year"] = pd.PeriodIndex(["1993", "1994"], freq="Y")
    careers = from_frame(frame)
    assert careers[0] == {"person": "1", "year": [1993, 1994], "occupation": ["valid skip", "95"]}
    frame["year"] = pd.PeriodIndex(["1993-03-01", "1994-03-01"], freq="W")
    with pytest.raises(ValueError, match="column 'year', value '1993-.*': not a year"):
        from_frame(frame)


def test_days_of_numpy_beside_other_values_are_labels_and_do_not_end_the_process():
    values = pd.Series([np.datetime64("1990-01-01"), np.int8(3)], dtype=object)
    frame = pd.DataFrame({"person": [1, 2], "year": [1990, 1990], "occupation": values})
    assert from_frame(frame)["occupation"][:][1] == ["3"]
    with pytest.raises(ValueError, match="column 'year' cannot be read as numbers"):
        from_frame(pd.DataFrame({"person": [1], "year": [[1990]], "occupation": ["x"]}))


@pytest.mark.parametrize("codes", [[10], [10.0], ["10"], ["0010"], ["10.0"]])
def test_codes_are_recoded_with_and_without_leading_zeros(codes):
    table = make_crosswalk({"source": ["0010"], "to": ["4"]}, "source", "to")
    assert recode(pd.Series(codes), table)[0].tolist() == ["4"]


def test_infinite_weights_of_a_crosswalk_are_refused():
    with pytest.raises(ValueError, match="weight inf of code a is not positive and finite"):
        make_crosswalk({"source": ["a"], "to": ["4"], "w": [float("inf")]}, "source", "to", "w")


def some_careers():
    return from_frame({"person": range(30), "year": [1990] * 30, "occupation": ["cook"] * 30})


def test_folders_of_the_user_are_never_replaced_and_careers_are(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="train is there already"):
        save_careers(split_careers(some_careers()), tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["train", "mine.txt"]
    assert [path.name for path in tmp_path.parent.iterdir() if path.name.startswith(f".{tmp_path.name}")] == []
    save_careers(split_careers(some_careers()), tmp_path / "ours")
    (tmp_path / "ours" / "figure.txt").write_text("mine")
    save_careers(split_careers(some_careers(), salt="other"), tmp_path / "ours")
    assert load_careers(tmp_path / "ours") and (tmp_path / "ours" / "figure.txt").exists()


def test_empty_splits_are_left_out_and_splits_are_not_split_again(tmp_path):
    splits = split_careers(some_careers(), {"train": 1.0, "test": 0.0})
    save_careers(splits, tmp_path / "careers")
    assert list(load_careers(tmp_path / "careers")) == ["train"]
    with pytest.raises(ValueError, match="not one dataset"):
        split_careers(splits)


@given(
    st.lists(st.one_of(st.none(), st.integers(-99, 99), st.floats(-9, 9), st.text("019. -aé", max_size=4)), max_size=9)
)
def test_a_pandas_column_follows_the_rule_of_single_values(values):
    for column in (pd.Series(values, dtype=object), pd.Series(values, dtype=object).astype("category")):
        labels = labels_of(column.set_axis(range(7, 7 + len(values))))
        assert labels.tolist() == [label_of(value) for value in values] and labels.index.tolist()[:1] in ([7], [])


def test_a_pandas_column_without_labels_is_named():
    for values in ([[1]], [b"x"], [2.0**60]):
        with pytest.raises(ValueError, match="column 'psu' cannot be read as labels"):
            labels_of(pd.Series(values, name="psu"))
