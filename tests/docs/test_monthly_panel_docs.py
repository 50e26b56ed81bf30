"""docs/tutorials/monthly_panel.md runs as it stands, but for a few updates of training only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")
PAGE = (Path(__file__).parents[2] / "docs" / "tutorials" / "monthly_panel.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_the_page_runs_from_a_wide_table_to_figures_with_months(tmp_path, monkeypatch, capsys, short_training):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out
    texts = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    # What no training changes is printed to the letter; of other tables the columns and rows have their names.
    for text in texts[:3]:
        assert text in printed
    for text in texts[3:]:
        for line in text.splitlines():
            assert any(each.split()[:1] == line.split()[:1] for each in printed.splitlines()), line
    assert names["forecasts"].to_frame().index.name == "month"
    for figure in (names["forecasts"].figure("shares"), names["forecast"].figure()):
        assert figure.axes[0].get_xlabel() == "month"
    assert {"shares.png", "person.png"} <= {path.name for path in tmp_path.iterdir()}
    card = (tmp_path / "runs" / "career" / "README.md").read_text(encoding="utf-8")
    assert '"month": ["2000-01", "2000-02", "2000-03"]' in card and "1993-07 to 1996-06" in card
