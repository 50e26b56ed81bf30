"""Layouts of dates and of files that agencies and users really write; all values are made up."""

from __future__ import annotations

import contextlib
import os
import runpy
import subprocess
import sys

import pytest

import career_hf
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.sources import jobhop, karrierewege, nls, psid_files, spells
from career_hf.sources.spell_careers import spells_to_careers
from career_hf.sources.spell_rules import SpellRules


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("Q32014", 2014),
        ("Jan 2010", 2010),
        ("03/2011", 2011),
        ("20100105", 2010),
        ("5 März 2010", 2010),
        ("2010m3", 2010),
    ]
    + [("17.03.2014", 2014), ("March 17, 2014", 2014), ("17mar2014", 2014), ("201003.0", 2010)],
)
def test_common_forms_of_dates_are_read(text, year):
    frame = {"person": [1], "occupation": ["cook"], "start": [text], "end": [text]}
    assert spells_to_careers(frame)[0]["year"][:] == [[year]]


@pytest.mark.parametrize("text", ["03/04/2010", "2010-13", "20101301", "102010", "31.02.2010", "2010.1", "Janus 2010"])
def test_what_has_two_readings_or_none_is_not_read_with_a_warning(text):
    frame = {"person": [1, 2], "occupation": ["cook"] * 2, "start": [text, "2010"], "end": ["2010", "2010"]}
    with pytest.warns(UserWarning, match="1 of 2 spells"):
        assert spells_to_careers(frame)[0]["person"][:] == ["2"]


@pytest.mark.parametrize("end", ["9999-12-31", "31.12.9999", "99991231", "to date", "heute", None])
def test_ends_that_are_open_last_to_the_end_of_the_data(end):
    frame = {"person": [1], "occupation": ["cook"], "start": ["2010"], "end": [end]}
    assert spells_to_careers(frame, SpellRules(as_of="2012-06-30"))[0]["year"][:] == [[2010, 2011, 2012]]


def test_ids_written_from_floats_are_one_person_and_a_refusal_leaves_nothing(tmp_path):
    file = tmp_path / "jobs.csv"
    file.write_text("person,occupation,start,end\n1001.0,12.0,2010.0,2011\n1001,12,2012,present\n")
    with pytest.raises(ValueError, match="the spell goes on"):
        spells(str(file), output=tmp_path / "out")
    prepared = spells(str(file), output=tmp_path / "out", as_of="2013-12-31")
    assert prepared.careers[0] == {"person": "1001", "year": [2010, 2011, 2012, 2013], "occupation": ["12"] * 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "rubbish"}, "memory 'rubbish' is not an amount of memory: write it as in 4GB"),
        ({"memory": "0GB"}, "memory '0GB' is not an amount"),
        ({"memory": "1KB"}, "memory 1KB is too little"),
        ({"output": "jobs.csv"}, "jobs.csv is a file, and the output is a folder"),
        ({"person": "pid"}, "column 'pid' is not in the table"),
    ],
)
def test_a_refusal_leaves_no_hidden_folder(tmp_path, options, message):
    file = tmp_path / "jobs.csv"
    file.write_text("person,occupation,start,end\n1,12,2010,2011\n")
    with pytest.raises(ValueError, match=message):
        spells(str(file), **{**options, "output": tmp_path / options.get("output", "out")})
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.csv"]


def test_an_empty_source_of_open_resumes_is_refused():
    for prepare in (jobhop, karrierewege):
        with pytest.raises(ValueError, match="source is empty: give the name"):
            prepare(" ")


@pytest.mark.parametrize(
    ("csv", "message"),
    [
        ("ER30001,ER30002\n4,1,9\n4,2,9\n", "3 fields in line 2, its first line 2"),
        ("ER30001,ER30002\n4,1\n4\n", "1 fields in line 3"),
        ("ER30001,ER30002\n4,1001\n5,1\n", "ER30002 1001"),
        ("mine,theirs\n4,1\n", "names no PSID variable"),
        ("", "names no PSID variable"),
    ],
)
def test_psid_csv_that_would_shift_or_mix_people_is_refused(tmp_path, csv, message):
    (tmp_path / "a.csv").write_text(csv)
    with pytest.raises(ValueError, match=message):
        psid_files.read_folder(tmp_path)


def test_a_foreign_column_of_a_psid_csv_is_noted_and_the_rest_read(tmp_path):
    (tmp_path / "a.csv").write_text("ER30001,ER30002,my note\n4,1,x\n")
    files = psid_files.read_folder(tmp_path)
    assert files.people.tolist() == [4001] and "MY NOTE" in files.notes[0]


def test_people_seen_once_are_evaluated(tmp_path):
    """Nobody has an earlier occupation, so that every step is a first one: staying and moving are empty."""
    frame = {"person": range(60), "year": [2000 + n % 7 for n in range(60)], "occupation": list("abcab") * 12}
    save_careers(split_careers(from_frame(frame)), tmp_path / "careers")
    career_hf.train(tmp_path / "careers", output=tmp_path / "model", model="markov-1")
    scores = career_hf.evaluate({"chain": tmp_path / "model"}, tmp_path / "careers", draws=10)
    perplexity = scores.to_frame()["perplexity"]
    assert 1 < perplexity.iloc[0] < 10


def test_a_dat_is_read_where_the_csv_beside_it_has_question_names(tmp_path):
    (tmp_path / "x.csv").write_text("PUBID,KEY!SEX\n1,2\n")
    (tmp_path / "x.dat").write_text("1 2\n")
    (tmp_path / "x.NLSY97").write_text("R0000100\nR0536300\n")
    assert nls.read_folder(tmp_path).variable("KEY!SEX", reference="R0536300").tolist() == [2]


# Modules that have moved since the cases were written.
MOVED = {
    "career_hf.collating": "career_hf.encoding.collating",
    "career_hf.training import scratch": "career_hf.training.trainer import scratch",
    "career_hf.sources import keane_wolpin\n": "career_hf.sources import keane_wolpin_careers as keane_wolpin\n",
}
# The tenth trains and evaluates by command, for a minute; `test_people_seen_once_are_evaluated` does what it does.
CASES = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "11")


@pytest.mark.parametrize("number", CASES)
def test_shared_cases_pass(shared, number, capsys, tmp_path):
    files = sorted((shared / "cases").glob(f"{number}_*"))
    if not files:
        pytest.skip("no such case")
    if files[0].suffix == ".py":
        source = files[0].read_text()
        for old, new in MOVED.items():
            source = source.replace(old, new)
        case = tmp_path / files[0].name
        case.write_text(source)
        with contextlib.suppress(SystemExit):
            runpy.run_path(str(case))
        printed = capsys.readouterr().out
    else:
        environment = os.environ | {"CH": f"{sys.executable} -m career_hf.cli.app", "PY": sys.executable}
        done = subprocess.run(["bash", str(files[0])], capture_output=True, text=True, env=environment)
        printed = done.stdout + done.stderr
    assert "PASS" in printed and "FAIL" not in printed, printed
