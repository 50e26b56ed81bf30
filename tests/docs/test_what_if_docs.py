"""The Python of docs/how_to/what_if.md and audit.md runs as it stands, on a small market and an untrained model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import load_careers, save_careers, split_careers
from career_hf.cli.app import app
from career_hf.simulation import preset


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits = split_careers(preset("tiny").simulate(150).careers, {"train": 0.6, "validation": 0.1, "test": 0.3})
    save_careers(splits, "careers/mine")
    save_careers(splits, "careers/survey")
    processor = CareerProcessor.fit(splits["train"], covariates=["year", "education"], unknown_occupation="unknown")
    processor.record_training(processor.encode(splits["train"])[0], "training")
    torch.manual_seed(0)
    model = CareerForOccupationPrediction(
        CareerConfig(**processor.config_kwargs(), hidden_size=16, num_hidden_layers=2)
    )
    model.save_pretrained("runs/mine")
    processor.save_pretrained("runs/mine")
    return tmp_path


def blocks_of(page):
    text = (Path(__file__).parents[2] / "docs" / "how_to" / page).read_text(encoding="utf-8")
    return text, re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_python_of_what_if_runs(folder):
    names: dict = {}
    _, blocks = blocks_of("what_if.md")
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    college = names["college"]
    assert college.next_step.differences["difference"].sum() == pytest.approx(0, abs=1e-6)
    assert college.forecast.differences["years_ahead"].unique().tolist() == [1, 2, 3]
    assert (folder / "college.png").exists()
    assert names["women"].sum(axis=1).to_numpy() == pytest.approx(1)
    assert (folder / "women.png").exists()


def test_python_of_audit_runs_and_so_does_its_command(folder):
    pytest.importorskip("svy")
    # Resumes as the survey's careers without weights, one in three without a level of education.
    resumes = load_careers("careers/survey")
    for name, careers in resumes.items():
        hidden = [levels if i % 3 else [None] * len(levels) for i, levels in enumerate(careers["education"])]
        features = careers.features["education"]
        careers = careers.remove_columns(["weight", "education"])
        resumes[name] = careers.add_column("education", hidden, feature=features)
    save_careers(resumes, "careers/resumes")
    names: dict = {}
    page, blocks = blocks_of("audit.md")
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    assert names["raked"].ledger.dropped() == {"no level of a margin is known": -(-len(names["resumes"]) // 3)}
    command = re.search(r"career-hf (rake.*?)```", page, flags=re.DOTALL).group(1).replace("\\\n", " ")
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0, result.output
    assert "weight" in load_careers("careers/raked")["validation"].column_names
