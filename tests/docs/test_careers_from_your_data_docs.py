"""docs/tutorials/careers_from_your_data.md runs as it stands: its Python, and the command with the same careers."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from career_hf.careers import load_careers
from career_hf.careers.provenance import source_of
from career_hf.cli.app import app
from career_hf.occupations.weighted_crosswalks import modal, weighted_crosswalk


pytest.importorskip("ibis", reason="the extra 'spells' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ibis")
PAGE = (Path(__file__).parents[2] / "docs" / "tutorials" / "careers_from_your_data.md").read_text(encoding="utf-8")


def test_the_page_runs(run_page):
    run_page(PAGE)
    isco = modal(weighted_crosswalk("isco08"))
    nurse, manager, mechanic = isco["2221"], isco["1342"], isco["7231"]
    people = {row["person"]: row for row in load_careers("careers/register")["all"]}
    assert people["1"]["year"] == list(range(2009, 2017))
    assert people["1"]["occupation"] == [nurse] * 2 + [manager] * 4 + [nurse] * 2
    assert people["1"]["degree"] == ["vocational"] * 6 + ["bachelor"] * 2
    assert people["2"]["occupation"] == [mechanic] * 3

    command = next(line for line in PAGE.splitlines() if line.startswith("career-hf prepare spells"))
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    found = {row["person"]: row for split in load_careers("careers/jobs").values() for row in split}
    assert found["1"] == people["1"]
    assert found["2"]["occupation"] == [mechanic] * 3 + ["national K99"] * 2
    assert source_of("careers/jobs")["redistribution"] == "unknown"


def test_the_page_names_the_columns_that_careers_can_have():
    from career_hf.careers.columns import RESERVED_NAMES

    assert all(f"`{name}`" in PAGE for name in RESERVED_NAMES)
