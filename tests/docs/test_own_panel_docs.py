"""A whole project runs with a few updates of training: the script, and docs/tutorials/own_panel.md."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from transformers.testing_utils import slow

from career_hf import load_checkpoint


pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")
pytest.importorskip("pyfixest", reason="the extra 'econ' is not installed")
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorials" / "own_panel.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_python_of_the_page_runs(tmp_path, monkeypatch, capsys, short_training):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(block, names)
    printed = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    texts = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    # What no training changes is printed to the letter; of other tables the columns are.
    for text in texts[:2]:
        assert {" ".join(line.split()) for line in text.splitlines()} <= printed
    assert all(" ".join(text.splitlines()[0].split()) in printed for text in texts[2:-1])
    assert any(line.startswith("Perplexity of the year's occupation") for line in printed)
    assert set(names["scores"].index) == {"career", "bag-of-jobs", "markov-2"}
    assert names["forecast"].years.shape == (1, 5)
    assert {"comparison.png", "learning.png", "forecast.png"} <= {path.name for path in tmp_path.iterdir()}
    load_checkpoint("runs/mine")


@slow  # the page has the same steps
@pytest.mark.filterwarnings("ignore")
def test_the_script_runs(tmp_path, monkeypatch, capsys, short_training):
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(ROOT / "examples" / "own_panel.py"))
    assert capsys.readouterr().out.lstrip().startswith("person")
    assert {path.name for path in names["folder"].glob("*.png")} == {"comparison.png", "forecast.png"}
    assert "Training data" in (names["folder"] / "career" / "README.md").read_text(encoding="utf-8")
    load_checkpoint(names["folder"] / "career")
    assert len(names["comparison"].to_frame()) == 3
