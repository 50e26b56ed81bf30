"""JobHop, Karrierewege and DECORTE, on small files of their schema."""

from __future__ import annotations

import datasets
import pandas as pd
import pytest

from career_hf.careers import validate
from career_hf.occupations.weighted_crosswalks import esco_crosswalk, modal, weighted_crosswalk
from career_hf.sources.open_resumes import load_decorte, load_jobhop, load_karrierewege


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ibis")

# Rows as the card shows them, and the difficult ones: codes that look like numbers, no dates, no end, no code.
TRAIN = """resume_id,matched_code,start_date,end_date,university_level
0,2353.1,Q3 1996,Q1 2000,Master
0,2221.10,Q2 2000,Q1 2002,Master
0,unknown,Q1 2002,Q1 2004,Master
0,5120.1.2,Q2 2004,Q4 2005,Master
1,0310.3,Q1 1994,Q3 1996,Bachelor
1,5414.1.9,Q4 1996,,Bachelor
"""
TEST = """resume_id,matched_code,start_date,end_date,university_level
4,2642.1.8,,,
4,9999.1,Q1 2004,Q1 2004,
4,2221.1,Q1 2004,Q1 2004,
"""
ESCO_FILE = """conceptUri,preferredLabel,code
http://data.europa.eu/esco/occupation/404a50e9-61ce-448d-a695-bbfc697a0727,government minister,2221.10
http://data.europa.eu/esco/occupation/made-up,Tester of Tests,2221.10.1
"""
PATHS = {
    "_id": ["x", "x", "x", "y", "y"],
    "experience_order": [1, 2, 3, 2, 1],
    "preferredLabel_en": ["City councillor ", "no such label", "mayor", "mayor", "tester of tests"],
    "preferredLabel_de": list("abcde"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def jobhop(tmp_path):
    folder = tmp_path / "jobhop"
    folder.mkdir()
    (folder / "JobHop_train.csv").write_text(TRAIN, encoding="utf-8")
    (folder / "JobHop_test.csv").write_text(TEST, encoding="utf-8")
    return folder


@pytest.fixture
def karrierewege(tmp_path):
    folder = tmp_path / "karrierewege"
    folder.mkdir()
    pd.DataFrame(PATHS).to_csv(folder / "karrierewege_train.csv", index=False)
    return folder


@pytest.fixture
def esco_file(tmp_path):
    path = tmp_path / "occupations_en.csv"
    path.write_text(ESCO_FILE, encoding="utf-8")
    return path


def people(careers):
    return {row["person"]: dict(zip(row["year"], row["occupation"], strict=True)) for row in careers}


def test_jobhop_has_one_occupation_a_year_in_occ1990dd(jobhop):
    careers, ledger = load_jobhop(jobhop)
    validate(careers)
    isco = modal(esco_crosswalk("isco08"))
    teacher, nurse, cook = isco["2353"], isco["2221"], isco["5120"]
    assert people(careers) == {
        "0": dict.fromkeys(range(1996, 2000), teacher)
        | dict.fromkeys(range(2000, 2003), nurse)
        | {2004: cook, 2005: cook},
        "1": dict.fromkeys(range(1994, 1997), "905"),
        "4": {2004: nurse},
    }
    assert careers["education"] == ["graduate", "college", None]
    assert ledger.entries[0].rows_in == 9
    assert ledger.entries[0].dropped == {
        "occupation unknown": 1,
        "no counterpart in occ1990dd (see the notes)": 1,
    }
    assert ledger.dropped()["no end"] == ledger.dropped()["no start"] == 1
    assert "9999 (1)" in ledger.notes[0]


def test_experiences_without_an_end_go_on_until_as_of(jobhop):
    careers, _ = load_jobhop(jobhop, as_of="1999-06-30")
    assert set(people(careers)["1"]) == set(range(1994, 2000))


def test_an_esco_file_maps_jobhop_code_by_code(jobhop, esco_file):
    careers, ledger = load_jobhop(jobhop, esco_occupations=esco_file)
    assert people(careers)["0"][2001] == "4"
    assert people(careers)["4"][2004] == modal(esco_crosswalk("isco08"))["2221"]
    assert any("used before the unit group: mapped 1 of 8" in note for note in ledger.notes)


def test_another_schema_is_an_error_that_names_the_columns(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("resume_id,code\n1,2353.1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be read with columns .*matched_code"):
        load_jobhop(tmp_path / "data")
    with pytest.raises(ValueError, match="no column '_id', only .'resume_id', 'code'.: it is another data set"):
        load_karrierewege(tmp_path / "data")


def test_karrierewege_keeps_the_order_and_leaves_a_gap_where_a_label_is_unknown(karrierewege):
    careers, ledger = load_karrierewege(karrierewege)
    validate(careers)
    legislator = modal(weighted_crosswalk("soc2010"))["11-1031"]
    assert people(careers) == {"x": {1: legislator, 3: "4"}, "y": {2: "4"}}
    assert ledger.entries[0].dropped == {"occupation unknown": 0, "no counterpart in occ1990dd (see the notes)": 2}
    assert any("the column year is the number of the experience" in note for note in ledger.notes)


def test_an_esco_file_adds_finer_labels(karrierewege, esco_file):
    without, _ = load_karrierewege(karrierewege)
    careers, _ = load_karrierewege(karrierewege, esco_occupations=esco_file)
    assert people(careers)["x"] == people(without)["x"]
    assert people(careers)["y"] == {1: "4", 2: "4"}


def test_paths_numbered_from_the_latest_are_turned_round(karrierewege):
    first, _ = load_karrierewege(karrierewege)
    last, _ = load_karrierewege(karrierewege, latest_first=True)
    for person, path in people(first).items():
        assert list(people(last)[person].values()) == list(path.values())[::-1]


def test_two_experiences_of_one_number_are_an_error(tmp_path):
    (tmp_path / "data").mkdir()
    frame = pd.DataFrame({"_id": ["x", "x"], "experience_order": [1, 1], "preferredLabel_en": ["mayor", "mayor"]})
    frame.to_csv(tmp_path / "data" / "train.csv", index=False)
    with pytest.raises(ValueError, match="person 'x'.*experience_order.*already has this person and year"):
        load_karrierewege(tmp_path / "data")


def test_the_second_version_of_jobhop_has_parquet_files_words_of_education_and_ends_in_the_present(tmp_path):
    (tmp_path / "jobhop").mkdir()
    levels = ["Secondary school", "Bachelor", "Master", "None", "PhD"]
    columns = {
        "resume_id": range(5),
        "matched_code": ["2353.1"] * 5,
        "start_date": ["Q1 2000"] * 5,
        "end_date": ["Q4 2001"] * 4 + ["Present"],
        "university_level": levels,
    }
    pd.DataFrame(columns).to_parquet(tmp_path / "jobhop" / "JobHop_v2_train.parquet")
    careers, _ = load_jobhop(tmp_path / "jobhop", as_of="2002-12-31")
    education = {row["person"]: row["education"] for row in careers}
    assert education == {"0": "high_school", "1": "college", "2": "graduate", "3": None, "4": "graduate"}
    assert max(people(careers)["4"]) == 2002 and max(people(careers)["3"]) == 2001
    careers, ledger = load_jobhop(tmp_path / "jobhop")
    assert set(people(careers)) == {"0", "1", "2", "3"} and ledger.dropped()["no end"] == 1


MINISTER = "http://data.europa.eu/esco/occupation/404a50e9-61ce-448d-a695-bbfc697a0727"


def test_decorte_has_a_row_per_person_and_columns_per_job(tmp_path):
    folder = tmp_path / "decorte"
    folder.mkdir()
    columns = {
        "number_of_experiences": [2, 1],
        "ESCO_uri_0": [MINISTER, MINISTER],
        "start_0": ["03/2001", "2003"],
        "end_0": ["11/2003", "current"],
        "ESCO_uri_1": [MINISTER[:-3] + "xyz", None],
        "start_1": ["12/2003", None],
        "end_1": ["2005", None],
    }
    pd.DataFrame(columns).to_csv(folder / "train.csv", index=False)
    pd.DataFrame(columns).iloc[:1].to_csv(folder / "test.csv", index=False)
    minister = modal(esco_crosswalk("uri"))[MINISTER]
    careers, ledger = load_decorte(folder, as_of="2004-06-30")
    validate(careers)
    years = {"train-0": range(2001, 2004), "train-1": range(2003, 2005), "test-0": range(2001, 2004)}
    assert people(careers) == {person: dict.fromkeys(span, minister) for person, span in years.items()}
    assert ledger.entries[0].rows_in == 5
    assert ledger.entries[0].dropped == {"occupation unknown": 0, "no counterpart in occ1990dd (see the notes)": 2}
    assert set(people(load_decorte(folder)[0])) == {"train-0", "test-0"}
    with pytest.raises(ValueError, match="no column 'start_0'"):
        pd.DataFrame({"ESCO_uri_0": ["x"]}).to_csv(folder / "train.csv", index=False)
        pd.DataFrame({"ESCO_uri_0": ["x"]}).to_csv(folder / "test.csv", index=False)
        load_decorte(folder)
