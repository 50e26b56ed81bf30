"""The Python of docs/how_to/public_corpora.md runs as it stands, and prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

from career_hf.careers import SOURCES
from career_hf.occupations import read_crosswalk


PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "public_corpora.md").read_text(encoding="utf-8")


def test_the_page_runs(run_page):
    run_page(PAGE)
    assert set(read_crosswalk("census2018.csv")["source"]) == {"4055"}


def test_sources_of_the_page_exist():
    named = re.findall(r"--source (\S+?)[` ]", PAGE)
    assert named and set(named) <= set(SOURCES)
