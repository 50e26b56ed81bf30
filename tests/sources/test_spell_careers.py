"""Spells to careers: files of every kind, in memory and in parts, stopped and started again."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from spell_examples import AS_OF, RULES, many_spells, table

from career_hf.careers import from_frame, validate
from career_hf.careers.columns import career_table
from career_hf.sources import spell_careers
from career_hf.sources.spell_careers import load_written_careers, spells_to_careers, write_careers
from career_hf.sources.spell_rules import SpellRules
from career_hf.sources.spell_years import spells_to_years


pytest.importorskip("ibis", reason="the extra 'spells' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ibis")

ROWS = [row for row in many_spells(60, seed=2) if row[0] is not None]
PART = -(-len(ROWS) // 3)


@pytest.fixture(scope="module")
def careers():
    return career_table(spells_to_careers(table(ROWS), RULES)[0])


def test_careers_are_valid_and_those_of_from_frame(careers):
    years, _ = spells_to_years(table(ROWS), RULES)
    expected = from_frame(years.to_pandas(), covariates=["firm", "degree"], static=["state"])
    validate(expected)
    assert career_table(expected).equals(careers)


def test_files_and_frames_of_every_kind_give_the_same_careers(careers, tmp_path):
    frame = table(ROWS).to_pandas()
    polars = pytest.importorskip("polars")
    frame.to_csv(tmp_path / "spells.csv", index=False)
    frame.to_csv(tmp_path / "spells.csv.gz", index=False, sep=";", encoding="utf-8-sig")  # with a byte order mark
    frame.to_parquet(tmp_path / "spells.parquet")
    for spells in (frame, polars.from_pandas(frame), *tmp_path.glob("spells*")):
        assert career_table(spells_to_careers(spells, RULES)[0]).equals(careers), spells


def test_identifiers_in_csv_files_keep_their_zeros(tmp_path):
    path = tmp_path / "spells.csv"
    careers, _ = spells_to_careers(
        written(path, "person,occupation,start,end\n007,0110,2001,2001\n7,0110,2001,2001\n")
    )
    assert careers["person"][:] == ["007", "7"] and careers["occupation"][:] == [["0110"], ["0110"]]


GOOD = "person,occupation,start,end\n" + "".join(f"p{i},cook,2001,2002\n" for i in range(50))
UNREADABLE = {
    "truncated.csv": (GOOD + "p50,co", "truncated.csv cannot be read.* Line: 52"),
    "truncated.csv.gz": (gzip.compress(GOOD.encode())[:-9], "truncated.csv.gz cannot be read.*end of GZIP"),
    "open_quote.csv": (GOOD + 'p50,"cook,2001,2002\n', "unterminated quote"),
    "a_cell_too_many.csv": (GOOD + "p50,cook,chef,2001,2002\n", "Expected Number of Columns: 4 Found: 5"),
    "two_delimiters.csv": (GOOD + "p50;cook;2001;2002\n", "two_delimiters.csv cannot be read.* Line: 52"),
    "delimiter.csv": (GOOD.replace(",", "~"), "'person' is not in the table of spells"),
    "latin.csv": ((GOOD + "p50,Köchin,2001,2002\n").encode("latin-1"), "latin.csv cannot be read.*not utf-8"),
    "latin_name.csv": (GOOD.replace("end", "schluß").encode("latin-1"), "first line is not UTF-8"),
    "utf16.csv": (GOOD.encode("utf-16"), "first line is not UTF-8"),
    "two_starts.csv": (GOOD.replace("end", "start", 1), "two columns 'start'"),
    "empty.csv": ("", "no first line"),
    "only_names.csv": (GOOD.splitlines()[0], "no spell is left"),
    "no.parquet": ("nothing", "no.parquet cannot be read"),
}


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", UNREADABLE)
def test_files_that_cannot_be_read_are_errors_that_name_them(tmp_path, name):
    content, message = UNREADABLE[name]
    path = written(tmp_path / name, content)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        spells_to_years(path)


@pytest.mark.parametrize("name", ["truncated.csv", "latin.csv", "no.parquet"])
def test_files_that_cannot_be_read_leave_no_careers(tmp_path, name):
    content, message = UNREADABLE[name]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        write_careers(written(tmp_path / name, content), tmp_path / "careers")
    assert not list((tmp_path / "careers").glob("*.parquet"))


def test_files_with_columns_in_another_order_are_not_mixed_up(tmp_path):
    written(tmp_path / "1.csv", GOOD)
    written(tmp_path / "2.csv", GOOD.replace("start,end", "end,start"))
    with pytest.raises(ValueError, match="2.csv has other columns than"):
        spells_to_years(tmp_path / "*.csv")


def test_odd_files_are_read_and_what_is_wrong_in_them_is_in_the_ledger(tmp_path):
    rows = [
        'a,"cook, head\nof the kitchen",2001,2002',
        "b,cook,2003,2001",  # ends before it starts
        "c,cook,2001,2002",
        "c,cook,2001,2002",  # twice
        "d,cook,1801,2001",  # 201 years
        "e,cook,1901,1902",  # 112 years from first to last
        "e,cook,2011,2012",
        "f,cook,2001,2003",  # overlap
        "f,waiter,2002,2004",
        "g,cook,2001,20",  # cut off
    ]
    text = "person,occupation,start,end\r\n" + "\r\n".join(rows)
    path = written(tmp_path / "odd.csv", text.encode("utf-8-sig"))
    careers, ledger = spells_to_careers(path, SpellRules(first_year=1800))
    assert {row["person"]: row["occupation"] for row in careers} == {
        "a": ["cook, head\nof the kitchen"] * 2,
        "c": ["cook"] * 2,
        "f": ["cook", "cook", "cook", "waiter"],
    }
    assert ledger.dropped() == {
        "ends before it starts": 1,
        "covers no day that other spells of the occupation leave": 1,
        "more than 80 years": 1,
        "end cannot be read": 1,
        "no spell left": 3,
        "more than 80 years from first to last": 2 + 1,  # spells and people
        "another has more days in the year, or as many and started earlier": 2,
    }


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_careers_written_in_parts_are_those_made_in_memory(careers, tmp_path, kind):
    path = tmp_path / f"spells.{kind}"
    table(ROWS).to_pandas().to_parquet(path) if kind == "parquet" else table(ROWS).to_pandas().to_csv(
        path, index=False
    )
    ledger = write_careers(path, tmp_path / "out", RULES, spells_per_part=PART)
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 3
    written = load_written_careers(tmp_path / "out")
    validate(written)
    assert written["person"][:] == sorted(written["person"][:])
    assert career_table(written).sort_by("person").equals(careers.sort_by("person"))
    assert ledger.to_dict() == spells_to_years(path, RULES)[1].to_dict()


KILLED = """
import os, signal, sys
from career_hf.sources import spell_careers
from spell_examples import RULES

write_part = spell_careers._write_part

def killed_in_the_second_part(spells, rules, path):
    if path.name == "part-00001.parquet":
        rows = spell_careers._whole_people
        spell_careers._whole_people = lambda years: [next(rows(years)), os.kill(os.getpid(), signal.SIGKILL)]
    write_part(spells, rules, path)

spell_careers._write_part = killed_in_the_second_part
spell_careers.write_careers(sys.argv[1], sys.argv[2], RULES, spells_per_part=int(sys.argv[3]))
"""


def test_what_was_killed_goes_on_and_leaves_nothing_unfinished(careers, tmp_path):
    path, out = tmp_path / "spells.parquet", tmp_path / "out"
    table(ROWS).to_pandas().to_parquet(path)
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(path), str(out), str(PART)]
    killed = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    # What was on its way is there, but does not look like a part.
    first = out / "part-00000.parquet"
    written_at = first.stat().st_mtime_ns
    assert list(out.glob("part-*")) == [first] and list(out.glob(".part-*")) and not (out / "ledger.json").exists()
    with pytest.raises(ValueError, match="lacks 2 of 3 parts, first part-00001.parquet"):
        load_written_careers(out)
    # The parts are those of the first call, whatever the second asks for.
    ledger = write_careers(path, out, RULES, spells_per_part=1_000_000)
    assert ledger.to_dict() == spells_to_years(path, RULES)[1].to_dict()
    assert first.stat().st_mtime_ns == written_at and not list(out.glob(".*"))
    assert career_table(load_written_careers(out)).sort_by("person").equals(careers.sort_by("person"))
    with pytest.raises(ValueError, match="other spells or rules"):
        write_careers(path, out, SpellRules(as_of=AS_OF))
    table(ROWS[1:]).to_pandas().to_parquet(path)
    with pytest.raises(ValueError, match="other spells or rules"):
        write_careers(path, out, RULES)


def test_a_failure_cleans_up_and_people_stay_whole_across_batches(careers, tmp_path, monkeypatch):
    path, out = tmp_path / "spells.parquet", tmp_path / "out"
    table(ROWS).to_pandas().to_parquet(path)
    monkeypatch.setattr(spell_careers, "YEARS_AT_ONCE", 50)
    batches = []

    def interrupted(*arguments, **settings):
        batches.append(None)
        if len(batches) == 2:
            raise KeyboardInterrupt
        return from_frame(*arguments, **settings)

    monkeypatch.setattr(spell_careers, "from_frame", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_careers(path, out, RULES)
    assert not (out / ".spill").exists() and not list(out.glob("part-*"))
    write_careers(path, out, RULES)
    assert len(batches) > 4
    assert career_table(load_written_careers(out)).sort_by("person").equals(careers.sort_by("person"))
