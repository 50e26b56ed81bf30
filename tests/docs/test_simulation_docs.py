"""The Python of docs/explanation/simulated_market.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path


def test_python_of_the_page_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "simulated_market.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    assert len(names["table"]) == sum(map(len, names["market"].careers["year"]))
    assert len(names["mine"].careers) == 100 and names["mine"].world.config.first_year == 1980
    assert 0 < len(names["pretraining"]) <= 1000
    assert names["truth"].table["standard_error"].gt(0).any()
