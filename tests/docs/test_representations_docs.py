"""The Python of docs/how_to/representations.md runs as it stands, on a small market and a random model."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from typer.testing import CliRunner

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import save_careers, split_careers, split_manifest
from career_hf.cli.app import app
from career_hf.simulation import draw_wages, preset


def test_python_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    careers = draw_wages(preset("tiny").simulate(120)).careers
    splits = split_careers(careers, {"train": 0.4, "validation": 0.1, "test": 0.5})
    manifest = split_manifest(splits, fractions={"train": 0.4, "validation": 0.1, "test": 0.5})
    save_careers(splits, "careers/mine", manifest=manifest)
    processor = CareerProcessor.fit(splits["train"], covariates=["year", "education"], unknown_occupation="unknown")
    processor.record_training(processor.encode(splits["train"])[0], "training")
    torch.manual_seed(0)
    CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), hidden_size=16)).save_pretrained(
        "runs/mine"
    )
    processor.save_pretrained("runs/mine")
    Path("runs/mine/split.json").write_text(Path("careers/mine/split.json").read_text())

    page = (Path(__file__).parents[2] / "docs" / "how_to" / "representations.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        exec(block, names)
    assert len(names["fold"]) == sum(map(len, careers["year"]))
    assert len(names["r2"]) == 3 and len(names["places"]) == len(names["careers"])
    assert names["described"]["people"].sum() == len(names["careers"])

    command = re.search(r"career-hf (similar.*?)```", page, flags=re.DOTALL).group(1).replace("\\\n", " ")
    given = command.replace("PERSON", names["careers"]["person"][0]).split()
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"person {names['careers']['person'][0]}: ")
