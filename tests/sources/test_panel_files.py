"""Tables with a row per person and year, in every kind of file: the careers are those of `from_frame`."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from command_output import words
from typer.testing import CliRunner

import career_hf
from career_hf.careers.columns import career_table
from career_hf.cli.app import app
from career_hf.sources import panel


PANEL = pd.DataFrame(
    {
        "pid": ["007", "007", "12", "12", "12", "13"],
        "syear": [2001, 2002, 2001, 2002, 2004, 2001],
        "isco": ["0110", "2310", None, "9629", "2310", "2310"],
        "educ": ["low", "low", "high", "NA", "high", "low"],
        "sex": ["f", "f", "m", "m", "m", "f"],
        "wage": [1.5, 2.25, np.nan, 2.0, 3.0, 1.0],
    }
)
COLUMNS = {"person": "pid", "year": "syear", "occupation": "isco", "covariates": ["educ"], "static": ["sex"]}
COLUMNS |= {"outcomes": ["wage"]}
OPTIONS = ["--person", "pid", "--year", "syear", "--occupation", "isco", "--covariates", "educ", "--static", "sex"]
OPTIONS += ["--outcomes", "wage", "--missing", "NA"]
EXPECTED = PANEL[PANEL["isco"].notna()].replace({"educ": {"NA": None}})


def written(folder, ending):
    path = folder / f"panel.{ending}"
    if ending == "parquet":
        PANEL.to_parquet(path)
    elif ending == "dta":
        # Stata writes a missing text as an empty one.
        PANEL.assign(isco=PANEL["isco"].fillna("")).to_stata(path, write_index=False)
    else:
        text = PANEL.to_csv(index=False, sep={"tsv": "\t", "txt": ";"}.get(ending, ","))
        if ending == "csv.gz":
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(("\ufeff" if ending == "txt" else "") + text, encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "csv.gz", "parquet", "dta"])
def test_every_kind_of_file_gives_the_careers_of_from_frame(tmp_path, ending):
    prepared = panel(written(tmp_path, ending), **COLUMNS, missing=["NA"])
    expected = career_hf.from_frame(EXPECTED, **COLUMNS)
    assert career_table(prepared.careers).sort_by("person").equals(career_table(expected).sort_by("person"))
    assert expected["occupation"][0] == ["0110", "2310"] and expected["person"][0] == "007"
    (entry,) = prepared.ledger.entries
    assert (entry.rows_in, entry.rows_out, entry.dropped) == (6, 5, {"no occupation": 1})


def test_a_table_in_memory_and_a_label_for_no_occupation():
    prepared = panel(PANEL, **COLUMNS, no_occupation="none")
    (entry,) = prepared.ledger.entries
    assert entry.altered == {"no occupation, now 'none'": 1} and entry.rows_out == 6
    jobs = dict(zip(prepared.careers["person"], prepared.careers["occupation"], strict=True))
    assert jobs["12"] == ["none", "9629", "2310"]


def test_the_command_saves_splits_ledger_and_card(tmp_path):
    line = ["prepare", "panel", str(written(tmp_path, "csv")), "--output", str(tmp_path / "careers")]
    result = CliRunner().invoke(app, [*line, *OPTIONS])
    assert result.exit_code == 0, result.output
    assert "no occupation" in words(result)
    loaded = career_hf.careers.as_careers(tmp_path / "careers")
    assert sorted(loaded["person"]) == ["007", "12", "13"]
    assert career_hf.careers.source_of(tmp_path / "careers")["source"] == "panel"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"person,year,occupation\n1,2000\n", r"a.csv cannot be read: CSV parse error: .*2"),
        ("a.csv", b"person,year,occupation\n1,2000,\xff\xfe\n", r"a.csv cannot be read: .*UTF8"),
        ("a.csv", b"person,person,occupation\n", r"has two columns 'person': rename one"),
        ("a.csv", b"", "no first line"),
        ("a.csv", b"person,year,job\n1,2000,a\n", r"column 'occupation' is not in the table, whose columns are"),
        ("a.csv", b"person,year,occupation\n1,2000,\n", "the table has no rows"),
        ("a.csv", b"person,year,occupation\n1,2000,a\n1,2000,b\n", "already has this person and year"),
        ("a.parquet", b"PAR1", r"a.parquet cannot be read"),
        ("a.dta", b"text", r"a.dta cannot be read"),
        ("a.xlsx", b"text", r"a.xlsx is no table that is known: its name must end with .csv"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        panel(tmp_path / name)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="there is no file"):
        panel(tmp_path / "none.csv")
