"""`career-hf prepare`: careers with their ledger, split and card; whole or not at all; what is wrong is said."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from command_output import words
from spell_examples import AS_OF, RULES, many_spells, table
from typer.testing import CliRunner

import career_hf
from career_hf.careers import describe, limits_of, load_careers, split_careers
from career_hf.careers.columns import career_table
from career_hf.careers.ledger import Ledger
from career_hf.careers.provenance import source_of
from career_hf.cli.app import app
from career_hf.sources import spell_careers
from career_hf.sources.resume_careers import resume_rules
from career_hf.sources.spell_careers import spells_to_careers, write_careers


pytest.importorskip("ibis", reason="the extra 'spells' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ibis")


def run(*arguments):
    return CliRunner().invoke(app, ["prepare", *map(str, arguments)])


def are_split(splits, careers):
    """Whether these are the careers, split by a hash of the person; splits without people are left out."""
    expected = {name: part for name, part in split_careers(careers).items() if part.num_rows}
    return list(splits) == list(expected) and all(
        career_table(splits[name]).sort_by("person").equals(career_table(part).sort_by("person"))
        for name, part in expected.items()
    )


ROWS = [row for row in many_spells(60, seed=2) if row[0] is not None]
OPTIONS = ["--as-of", AS_OF, "--covariates", "firm", "--carried", "degree", "--static", "state"]
OPTIONS += ["--first-year", 1950, "--longest", 30]


def test_spells_of_any_layout_become_split_careers_with_ledger_and_card(tmp_path):
    table(ROWS).to_pandas().to_csv(tmp_path / "spells.csv", index=False)
    result = run("spells", "--spells", tmp_path / "spells.csv", "--output", tmp_path / "careers", *OPTIONS)
    assert result.exit_code == 0, result.output
    careers, ledger = spells_to_careers(table(ROWS), RULES)
    assert are_split(load_careers(tmp_path / "careers"), careers)
    assert Ledger.load(tmp_path / "careers" / "ledger.json").to_dict() == ledger.to_dict()
    assert str(ledger).splitlines()[0] in result.output
    assert source_of(tmp_path / "careers")["source"] == "spells"
    assert {path.name for path in tmp_path.iterdir()} == {"spells.csv", "careers"}


RESUMES = [
    ("ann", "29-1141.01", "2001", "2003", "Bachelors", "Ohio"),
    ("ann", "55-9999.99", "2004", "2004", "Masters", "Ohio"),
    ("bob", "11-1011.00", "2001-05", "present", None, None),
    ("cy", None, "2001", "2003", None, "TX"),
]
RESUME_COLUMNS = ["person", "onet_soc", "start", "end", "degree", "state"]


def test_resumes_are_those_of_the_papers_rules_and_say_how_much_is_in_occ1990dd(tmp_path):
    columns = dict(zip(RESUME_COLUMNS, zip(*RESUMES, strict=True), strict=True))
    pa_table = pa.table({name: list(values) for name, values in columns.items()})
    pa_table.to_pandas().to_parquet(tmp_path / "resumes.parquet")
    options = ["--spells", tmp_path / "*.parquet", "--as-of", "2002-12-31", "--output", tmp_path / "careers"]
    result = run("resumes", *options)
    assert result.exit_code == 0, result.output
    careers, _ = spells_to_careers(pa_table, resume_rules(as_of="2002-12-31"))
    splits = load_careers(tmp_path / "careers")
    assert are_split(splits, careers)
    found = {row["person"]: row for split in splits.values() for row in split}
    assert found["ann"]["occupation"] == ["95", "95"] and found["ann"]["education"] == ["college", "college"]
    assert found["bob"]["region"] == "other" and found["bob"]["education"] == [None, None]
    notes = Ledger.load(tmp_path / "careers" / "ledger.json").notes
    assert "person-years in occ1990dd: mapped 4 of 4 (100.0%)" in notes


def test_codes_without_a_target_are_not_taken_for_codes_of_occ1990dd(tmp_path):
    # 007 and 7 are one code of the Census of 1980; 999 is none, but would be read as a code of the other coding.
    rows = [("a", "007", "2001", "2001"), ("b", "7", "2001", "2001"), ("c", "999", "2001", "2003")]
    columns = dict(zip(["person", "occupation", "start", "end"], zip(*rows, strict=True), strict=True))
    pa.table({name: list(values) for name, values in columns.items()}).to_pandas().to_csv(
        tmp_path / "spells.csv", index=False
    )
    output = ["--output", tmp_path / "careers", "--crosswalk"]
    result = run("spells", "--spells", tmp_path / "spells.csv", *output, "census1980")
    assert result.exit_code == 0, result.output
    found = {
        row["person"]: row["occupation"] for split in load_careers(tmp_path / "careers").values() for row in split
    }
    assert found["a"] == found["b"] == ["7"] and found["c"] == ["census1980 999"] * 3
    assert "mapped 2 of 5 (40.0%); without a target, 1 codes: census1980 999 (3)" in result.output

    (tmp_path / "own.csv").write_text("source,occ1990dd,weight\n999,95,3\n999,22,1\n", encoding="utf-8")
    result = run("spells", "--spells", tmp_path / "spells.csv", *output, tmp_path / "own.csv")
    assert result.exit_code == 2 and "holds other careers" in words(result)
    result = run("spells", "--spells", tmp_path / "spells.csv", *output, tmp_path / "own.csv", "--overwrite")
    assert result.exit_code == 0, result.output
    found = {
        row["person"]: row["occupation"] for split in load_careers(tmp_path / "careers").values() for row in split
    }
    assert found == {"a": ["own 007"], "b": ["own 7"], "c": ["95"] * 3}


def test_what_was_stopped_leaves_no_careers_and_goes_on(tmp_path, monkeypatch):
    table(ROWS).to_pandas().to_parquet(tmp_path / "spells.parquet")
    arguments = ["spells", "--spells", tmp_path / "spells.parquet", "--output", tmp_path / "careers", *OPTIONS]
    monkeypatch.setattr(spell_careers, "write_careers", partial(write_careers, spells_per_part=80))
    split_part, calls = spell_careers._split_part, []

    def stopped(path, *others):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        split_part(path, *others)

    monkeypatch.setattr(spell_careers, "_split_part", stopped)
    assert run(*arguments).exit_code != 0
    assert not (tmp_path / "careers").exists()
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / ".careers.parts").glob("part-*")}
    assert written
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert calls.count(calls[0]) == 1, "the part that was split was split again"
    assert are_split(load_careers(tmp_path / "careers"), spells_to_careers(table(ROWS), RULES)[0])
    assert {path.name for path in tmp_path.iterdir()} == {"spells.parquet", "careers"}


def test_careers_made_again_replace_the_old_ones_if_asked_and_nothing_else(tmp_path):
    for salt, asked, code in (("one", (), 0), ("two", (), 2), ("one", (), 0), ("two", ("--overwrite",), 0)):
        result = run("keane-wolpin", "--output", tmp_path, "--salt", salt, *asked)
        assert result.exit_code == code and (code == 0 or f"{tmp_path} holds other careers" in words(result))
        assert json.loads((tmp_path / "split.json").read_text())["salt"] == (salt if code == 0 else "one")
        (tmp_path / "figures").mkdir(exist_ok=True)
    assert json.loads((tmp_path / "split.json").read_text())["salt"] == "two"
    load_careers(tmp_path)
    assert (tmp_path / "figures").exists() and source_of(tmp_path)["license"] == "mit"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--person", "id"], "column 'id' is not in the table of spells"),
        (["--static", "year"], "is reserved"),
        (["--as-of", "31/12/2020"], "31/12/2020"),
        (["--crosswalk", "census1850"], "there is no crosswalk from 'census1850'"),
        (["--crosswalk", "codes.csv"], "codes.csv cannot be read"),
        ([], "say on which day the data end"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    columns = {"person": ["a"], "occupation": ["cook"], "start": ["2001"], "end": ["present"]}
    pa.table(columns).to_pandas().to_parquet(tmp_path / "spells.parquet")
    Path("codes.csv").write_bytes(b"\xfc\xfd")
    result = run("spells", "--spells", tmp_path / "spells.parquet", "--output", tmp_path / "careers", *options)
    assert result.exit_code == 2 and message in words(result)
    assert not (tmp_path / "careers").exists()


def test_careers_are_prepared_and_described_without_torch(tmp_path):
    code = """
import sys
from career_hf.careers import from_frame
from career_hf.cli.app import app

folder = sys.argv[1]
app(["prepare", "keane-wolpin", "--output", folder], standalone_mode=False)
app(["describe", folder], standalone_mode=False)
print({"torch", "transformers"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("set()")
    assert "39,675" in done.stdout and load_careers(tmp_path)


def test_a_notebook_prepares_a_table_as_the_command_prepares_files(tmp_path):
    prepared = career_hf.sources.spells(
        table(ROWS),
        as_of=AS_OF,
        covariates=["firm"],
        carried=["degree"],
        static=["state"],
        first_year=1950,
        longest=30,
    )
    careers, ledger = spells_to_careers(table(ROWS), RULES)
    assert are_split(prepared.splits, careers) and prepared.ledger.to_dict() == ledger.to_dict()
    assert len(prepared.to_frame()) == prepared.description["person-years"]
    prepared.save(tmp_path / "careers")
    assert are_split(load_careers(tmp_path / "careers"), careers)
    assert career_hf.describe(tmp_path / "careers").equals(career_hf.describe([tmp_path / "careers"])["careers"])
    assert source_of(tmp_path / "careers")["source"] == "spells"


def test_moves_and_panels_are_prepared_as_their_functions_do(tmp_path):
    (tmp_path / "moves.csv").write_text("before,after,n\n0010,nilf,3\nnilf,0010,2\n", encoding="utf-8")
    options = ["--origin", "before", "--destination", "after", "--count", "n", "--crosswalk", "census2010"]
    options += ["--states", "nilf=out_of_labor_force", "--year", 1990, "--output", tmp_path / "moves"]
    result = run("moves", tmp_path / "moves.csv", *options)
    assert result.exit_code == 0, result.output
    assert "map to occ1990dd [static]: 5 moves in, 5 out" in result.output
    careers = load_careers(tmp_path / "moves")["train"]
    assert careers["person"][:] == ["counts:moves:4>out_of_labor_force", "counts:moves:out_of_labor_force>4"]
    assert careers[0]["weight"] == [0, 3] and careers[0]["year"] == [1990, 1991]
    # The same careers may be made again; others replace them only if asked.
    assert run("moves", tmp_path / "moves.csv", *options).exit_code == 0
    result = run("moves", tmp_path / "moves.csv", *options, "--gap", 2)
    assert result.exit_code == 2 and "holds other careers" in words(result)
    assert load_careers(tmp_path / "moves")["train"][0]["year"] == [1990, 1991]
    assert run("moves", tmp_path / "moves.csv", *options, "--gap", 2, "--overwrite").exit_code == 0
    assert load_careers(tmp_path / "moves")["train"][0]["year"] == [1990, 1992]
    result = run("moves", tmp_path / "moves.csv", "--states", "nilf", "--output", tmp_path / "moves")
    assert result.exit_code == 2 and "is no pair" in result.output

    (tmp_path / "panel.csv").write_text("person,year,occupation,sex\n1,1990,0010,f\n1,1991,0010,f\n", encoding="utf-8")
    options = ["--static", "sex", "--crosswalk", "census2010", "--lacks", "unemployed", "--output", tmp_path / "panel"]
    result = run("panel", tmp_path / "panel.csv", *options)
    assert result.exit_code == 0, result.output
    (part,) = load_careers(tmp_path / "panel").values()
    assert part[0]["occupation"] == ["4", "4"] and part[0]["sex"] == "f"
    assert limits_of(tmp_path / "panel").lacks == ("unemployed",)

    (tmp_path / "wide.csv").write_text("id,sex,Dec.93,Jan.94\n1,f,school,\n2,m,school,work\n", encoding="utf-8")
    options = ["--person", "id", "--static", "sex", "--year", "Dec.93:Jan.94", "--output", tmp_path / "wide"]
    result = run("panel", tmp_path / "wide.csv", *options)
    assert result.exit_code == 0 and "read person-months [static]: 4 rows in, 3 out" in result.output, result.output
    result = run("panel", tmp_path / "wide.csv", *options, "--unit", "quarter", "--overwrite")
    assert describe(tmp_path / "wide")["last quarter"] == "1994Q1"
