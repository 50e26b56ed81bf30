"""The Python of docs/how_to/coding_noise.md runs as it stands, and its commands on careers with a second signal."""

from __future__ import annotations

from pathlib import Path

import numpy as np


PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "coding_noise.md").read_text(encoding="utf-8")


def test_the_page_runs(run_page):
    names = run_page(PAGE)
    rows = names["report"].to_frame("by_coding_noise")
    assert {"as coded", "round trip", "after recoded"} <= set(rows["coding_noise"])
    # The row for both: its outcomes are the same in the two versions.
    marked, recoded = (names[name].splits["test"] for name in ("marked", "recoded"))
    for coded, filtered, marks in zip(
        marked["occupation"], recoded["occupation"], marked["coding_noise"], strict=True
    ):
        alike = np.array(coded) == np.array(filtered)
        same = alike & np.r_[True, alike[:-1]]
        assert (np.array(marks) == "as coded").tolist() == same.tolist()
