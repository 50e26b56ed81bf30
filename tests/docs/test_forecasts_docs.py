"""Commands and Python of docs/how_to/forecasts.md run as they stand, on a small market and a model of two updates."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from career_hf.careers import save_careers, split_careers
from career_hf.cli.app import app
from career_hf.simulation import preset


PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "forecasts.md").read_text(encoding="utf-8")
SHORT = ["--max-steps", "2", "--eval-steps", "2", "--warmup-steps", "1", "--tokens-per-batch", "1000"]


def test_commands_and_python_of_the_page_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")
    monkeypatch.chdir(tmp_path)
    market = (
        preset("tiny").with_world(last_year=1998).with_survey(last_annual_year=1994, fewest_waves=9, most_waves=18)
    )
    save_careers(split_careers(market.simulate(150).careers), "careers/mine")
    train, ahead = re.findall(r"^career-hf ((?:.*\\\n)*.*)$", PAGE, flags=re.MULTILINE)[:2]
    for command, more in ((train, SHORT), (ahead, ["--samples", "50", "--draws", "10"])):
        result = CliRunner().invoke(app, [*shlex.split(command.replace("\\\n", " ")), *more])
        assert result.exit_code == 0, result.output + str(result.exception)
    assert {path.name for path in Path("forecasts/mine").glob("*.png")} == {
        "person.png",
        "shares.png",
        "calibration.png",
    }

    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        # As many trajectories as the page says take a while; fewer show the same.
        exec(block.replace("years=[", "samples=50, years=["), names)
    assert names["report"].to_frame()["perplexity"].gt(1).all() and Path("shares.png").exists()
    assert names["result"].trajectories is not None and names["known"].attrs["carried_forward"]
    assert set(names["gaps_processor"].covariate_levels[1]) >= {"1"}
