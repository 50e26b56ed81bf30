"""The Python of docs/how_to/public_corpora.md runs as it stands, and prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

from career_hf.careers import SOURCES
from career_hf.occupations import read_crosswalk


PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "public_corpora.md").read_text(encoding="utf-8")


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out
    for text in re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL):
        assert text in printed
    assert set(read_crosswalk("census2018.csv")["source"]) == {"4055"}


def test_sources_of_the_page_exist():
    named = re.findall(r"--source (\S+?)[` ]", PAGE)
    assert named and set(named) <= set(SOURCES)
