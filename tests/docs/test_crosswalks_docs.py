"""The Python of docs/how_to/crosswalks.md runs as it stands, and the page's numbers are right."""

from __future__ import annotations

from pathlib import Path

from career_hf.occupations.weighted_crosswalks import esco_crosswalk, weighted_crosswalk


PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "crosswalks.md").read_text(encoding="utf-8")


def test_python_of_the_page_runs(run_page):
    run_page(PAGE)


def test_counts_of_the_page_are_those_of_the_crosswalk():
    weights = weighted_crosswalk("isco08").groupby("source")["weight"]
    assert f"{(weights.size() > 1).sum()} of {weights.ngroups} unit groups have more" in PAGE
    by_esco = esco_crosswalk("isco08").groupby("source")["weight"]
    assert f"{(by_esco.size() > 1).sum()} of {by_esco.ngroups} have more" in PAGE
    even = weights.agg(lambda w: (w.round(9) == w.max().round(9)).sum() > 1)
    assert f"{even.sum()} of the {weights.ngroups} unit groups are split evenly" in PAGE
