"""The Python of docs/crosswalks.md runs as it stands, and the page's numbers are right."""

from __future__ import annotations

import re
from pathlib import Path

from career_hf.careers import load_careers
from career_hf.sources.weighted_crosswalks import esco_crosswalk, modal, weighted_crosswalk


PAGE = (Path(__file__).parents[1] / "docs" / "crosswalks.md").read_text(encoding="utf-8")


def test_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    for text in re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL):
        assert text in capsys.readouterr().out
    isco = modal(weighted_crosswalk("isco08"))
    career = next(
        row for split in load_careers(tmp_path / "careers").values() for row in split if row["person"] == "1"
    )
    assert career["year"] == list(range(2009, 2017))
    assert career["occupation"] == [isco["2221"]] * 2 + [isco["1342"]] * 4 + [isco["2221"]] * 2
    assert career["degree"] == ["vocational"] * 6 + ["bachelor"] * 2


def test_counts_of_the_page_are_those_of_the_crosswalk():
    weights = weighted_crosswalk("isco08").groupby("source")["weight"]
    assert f"{(weights.size() > 1).sum()} of {weights.ngroups} unit groups have more" in PAGE
    by_esco = esco_crosswalk("isco08").groupby("source")["weight"]
    assert f"{(by_esco.size() > 1).sum()} of {by_esco.ngroups} have more" in PAGE
    even = weights.agg(lambda w: (w.round(9) == w.max().round(9)).sum() > 1)
    assert f"{even.sum()} of the {weights.ngroups} unit groups are split evenly" in PAGE
