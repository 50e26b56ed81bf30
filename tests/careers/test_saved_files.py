"""A damaged folder of careers is refused in one line, or holds the careers that were saved."""

from __future__ import annotations

import json
import logging
import shutil

import pandas as pd
import pytest
from damaged_files import damage_file
from datasets import Dataset, DatasetDict
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from career_hf.careers import from_frame, load_careers, save_careers, split_careers
from career_hf.careers.ledger import Ledger
from career_hf.careers.provenance import source_of
from career_hf.careers.saved_files import CHECKSUMS
from career_hf.careers.splits import split_manifest


def some_careers():
    rows = [
        {"person": f"p{i}", "year": 1990 + t, "occupation": "ab"[(i + t) % 2], "gender": "fm"[i % 2]}
        for i in range(20)
        for t in range(3)
    ]
    return from_frame(pd.DataFrame(rows), static=["gender"])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("careers") / "mine"
    splits = split_careers(some_careers())
    save_careers(splits, folder, Ledger(), split_manifest(splits))
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "careers")


def contents(folder):
    return {name: careers.to_dict() for name, careers in load_careers(folder).items()}


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


JSON = st.sampled_from(
    [None, True, -1, 3, 1.5, "x", "../x", [], [1], ["x"], [[1]], {}, {"a": 1}, {"x": {"people": 1}}]
)
DAMAGE = st.one_of(
    st.just(("remove",)),
    st.just(("empty",)),
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("flip"), st.floats(0, 1), st.integers(0, 7)),
    st.tuples(st.just("replace"), JSON),
    st.tuples(st.just("field"), st.integers(0, 9), JSON),
    st.tuples(st.just("no field"), st.integers(0, 9)),
)


@example(place=9, damage=("flip", 0.6278447505571271, 3), with_checksums=False)
@given(place=st.integers(0, 30), damage=DAMAGE, with_checksums=st.booleans())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_folder_is_refused_in_one_line_or_holds_the_same_careers(
    place, damage, with_checksums, saved, tmp_path
):
    before, folder = contents(saved), tmp_path / "careers"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(saved, folder)
    if not with_checksums:
        (folder / CHECKSUMS).unlink()
    files = names(folder)
    damage_file(folder / files[place % len(files)], *damage)
    try:
        after = contents(folder)
    except (ValueError, FileNotFoundError) as error:
        assert str(error) and "\n" not in str(error)
    else:
        # Without checksums a flipped bit in a file of careers may be another valid career.
        assert after == before or not with_checksums


@pytest.mark.parametrize("name", ["train/state.json", "dataset_dict.json", CHECKSUMS])
@pytest.mark.parametrize("elsewhere", ["../secret", "/etc/passwd", "..", "a/../../secret"])
def test_a_folder_that_points_outside_of_itself_is_refused(name, elsewhere, folder):
    shutil.copytree(folder / "train", folder.parent / "secret")
    if name != CHECKSUMS:
        (folder / CHECKSUMS).unlink()
    outside = {
        "train/state.json": {"_data_files": [{"filename": f"{elsewhere}/data-00000-of-00001.arrow"}]},
        "dataset_dict.json": {"splits": [elsewhere]},
        CHECKSUMS: {elsewhere: "0" * 64},
    }
    state = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**state, **outside[name]}))
    with pytest.raises(
        ValueError, match=r"\.json names .*which is (not a file or folder beside it|outside of its folder)"
    ):
        load_careers(folder)


def test_a_changed_file_of_careers_is_refused_until_it_is_saved_again(folder):
    edited = load_careers(folder)["train"].to_dict()
    edited["gender"] = ["f" for _ in edited["gender"]]
    Dataset.from_dict(edited).save_to_disk(folder.parent / "edited")
    shutil.copy(folder.parent / "edited" / "data-00000-of-00001.arrow", folder / "train")
    with pytest.raises(ValueError, match=r"train/data-00000-of-00001\.arrow is not the file that was saved"):
        load_careers(folder)


def test_careers_without_checksums_load_and_are_said(folder, caplog):
    (folder / CHECKSUMS).unlink()
    with caplog.at_level(logging.WARNING):
        load_careers(folder)
    assert f"{folder} has no checksums.json" in caplog.text
    caplog.clear()
    save_careers(load_careers(folder), folder.parent / "again")
    caplog.clear()
    load_careers(folder.parent / "again")
    assert not caplog.text


def test_what_are_no_careers_is_not_saved(tmp_path):
    careers = some_careers()
    wrong = {
        "a column is missing|no column|person": Dataset.from_dict({"x": [1]}),
        "the person has two rows": Dataset.from_dict(
            {name: [*careers[name], careers[name][0]] for name in careers.column_names}, features=careers.features
        ),
        "is in both": DatasetDict(train=careers, test=careers),
        r"splits is a table \(DataFrame\), and must be careers": careers.to_pandas(),
        "not a dict": {"train": careers},
    }
    for message, what in wrong.items():
        with pytest.raises(ValueError, match=message) as error:
            save_careers(what, tmp_path / "careers")
        assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("career_hf: 3", "career_hf is 3"),
        ("career_hf: [a]", r"career_hf is \['a'\]"),
        ("career_hf: {source: [psid], redistribution: allowed}", r"source is \['psid'\], and must be a text"),
        ("career_hf: {source: mine, redistribution: [1]}", "redistribution"),
        ("license: {a: b}", "license is"),
        ("career_hf: {source: mine", "cannot be read"),
        ("- a", "cannot be read"),
    ],
)
def test_a_card_of_another_form_is_refused_in_one_line(head, message, tmp_path):
    (tmp_path / "README.md").write_text(f"---\n{head}\n---\n\nWords.\n")
    with pytest.raises(ValueError, match=message) as error:
        source_of(tmp_path)
    assert "README.md" in str(error.value) and "\n" not in str(error.value)
