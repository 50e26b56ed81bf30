"""The Python of docs/how_to/rationales.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path


def test_python_of_the_page_runs(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "how_to" / "rationales.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    assert names["frame"]["complete"].all() and (tmp_path / "rationale.png").exists()
    assert names["trained"].processor.training_stages[0]["run"]["settings"]["job_dropout"] == 0.5
    assert names["smallest"]["size"].item() <= len(names["frame"])
    assert names["made"].groupby(["person", "step"]).size().max() <= 4
