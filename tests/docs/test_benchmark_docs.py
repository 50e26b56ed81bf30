"""The Python of docs/how_to/benchmark.md runs as it stands, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest


PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "benchmark.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out
    for text in re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL):
        assert text in printed

    report = names["report"]
    scores, accuracy = report.to_frame(), report.with_intervals("accuracy")
    differences = report.to_frame("differences")
    # The truth is the floor, the language model has learned something, and a row without probabilities says so.
    assert scores["perplexity"].idxmin() == "truth" and differences.loc["truth", "high"] < 0
    assert scores.loc["gpt2", "perplexity"] < 0.75 * len(names["labels"])
    assert scores.loc["bare", "perplexity"] == pytest.approx(scores.loc["chain", "perplexity"])
    assert (accuracy.loc["bare"] == "not given").all() and not (accuracy.loc["gpt2"] == "not given").any()
    # The table in the page has what was printed, to its digits.
    rows = re.findall(r"^\| (truth|chain|gpt2) \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert [name for name, _ in rows] == ["truth", "chain", "gpt2"]
    for name, cells in rows:
        said = np.array(cells.split(" | "), dtype=float)
        found = scores.loc[name, ["perplexity", "first", "stay", "return", "new"]].to_numpy(dtype=float)
        assert said == pytest.approx(found, rel=0.15 if name == "gpt2" else 1e-2)
