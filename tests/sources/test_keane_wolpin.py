"""The careers that ship with the package."""

import bz2
import hashlib
import json
from importlib import resources

import numpy as np
import pytest

from career_hf.careers import to_frame, validate
from career_hf.sources import keane_wolpin_careers as keane_wolpin


@pytest.fixture(scope="module")
def loaded():
    return keane_wolpin.load()


@pytest.fixture(scope="module")
def frame(loaded):
    return to_frame(loaded[0])


def test_there_are_1384_people_39675_person_years_and_five_states(loaded, frame):
    validate(loaded[0])
    assert loaded[0].num_rows == 1384
    assert len(frame) == 39_675
    assert frame.occupation.value_counts().to_dict() == {
        "blue_collar": 14761,
        "white_collar": 13646,
        "home": 5768,
        "school": 4480,
        "military": 1020,
    }


def test_every_career_starts_at_age_16_and_has_no_gaps(loaded):
    for years in loaded[0]["year"]:
        assert years == list(range(16, 16 + len(years)))
        assert years[-1] <= 50


def test_schooling_counts_earlier_school_years_only(loaded):
    """Years completed before t are those at 16 plus the school years before t: the state at t is not in them."""
    for career in loaded[0].select(range(0, 1384, 10)):
        in_school = np.array(career["occupation"]) == "school"
        before = np.concatenate([[0], np.cumsum(in_school)[:-1]])
        assert np.array_equal(np.array(career["schooling"], dtype=int), int(career["schooling"][0]) + before)


def test_pay_is_missing_out_of_work_and_of_zero(loaded, frame):
    _, ledger = loaded
    out_of_work = frame.occupation.isin(["school", "home"])
    assert frame.log_wage[out_of_work].isna().all()
    assert frame.log_wage.notna().sum() == 27_276 - 7
    assert ledger.entries[0].altered == {"pay of 0, so that log_wage is missing": 7}
    assert np.isclose(np.exp(frame.log_wage.median()), 24_300, rtol=0.01)


def test_first_man_is_that_of_the_source(frame):
    first = frame[frame.person == "6"]
    assert first.occupation.tolist()[:7] == ["school"] * 5 + ["home", "white_collar"]
    assert np.isclose(first.log_wage.iloc[6], np.log(13773.236328))
    assert first.age.tolist()[:2] == ["16", "17"] and first.schooling.tolist()[:2] == ["11", "12"]


def test_licence_ships_with_the_data():
    licence = resources.files("career_hf.sources").joinpath("data/keane_wolpin.LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("MIT License")


def test_file_is_the_source_byte_for_byte(shared):
    provenance = json.loads((shared / "data" / "PROVENANCE.json").read_text(encoding="utf-8"))
    entries = provenance if isinstance(provenance, list) else provenance["files"]
    name = "nlsy79_ekw/eckstein-keane-wolpin-extended.csv"
    expected = next(entry["sha256"] for entry in entries if entry["file"] == name)
    compressed = resources.files("career_hf.sources").joinpath("data/keane_wolpin.csv.bz2").read_bytes()
    assert hashlib.sha256(bz2.decompress(compressed)).hexdigest() == expected
