"""The Python of docs/how_to/occupation_attributes.md and displaced_workers.md runs, and prints what the pages say."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest


PAGES = Path(__file__).parents[2] / "docs" / "how_to"


@pytest.mark.parametrize("page", ["occupation_attributes.md", "displaced_workers.md"])
def test_pages_run_and_print_what_they_say(page, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")
    monkeypatch.chdir(tmp_path)
    # Made-up numbers in the columns of the authors' files.
    pd.DataFrame({"occ1990dd": [4, 22, 276], "pct_ai": [1, 2, 3]}).to_csv("webb.csv", index=False)
    pd.DataFrame({"SOC Code": ["11-1011", "99-9999"], "AIOE": [1.5, 0.5]}).to_csv("aioe.csv", index=False)
    names: dict[str, object] = {}
    text = (PAGES / page).read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out
    shown = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    assert len(shown) > 1 and all(each in printed for each in shown)
