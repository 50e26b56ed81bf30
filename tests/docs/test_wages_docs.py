"""The Python of docs/how_to/wages.md runs as it stands, on a small market and a model with random weights."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import save_careers, split_careers
from career_hf.simulation import draw_wages, preset


@pytest.mark.filterwarnings("ignore")
def test_python_of_the_page_runs(tmp_path, monkeypatch):
    pytest.importorskip("pyfixest", reason="the extra 'econ' is not installed")
    monkeypatch.chdir(tmp_path)
    careers = draw_wages(preset("tiny").simulate(200)).careers
    splits = split_careers(careers, {"train": 0.4, "validation": 0.1, "test": 0.5})
    save_careers(splits, "careers/mine")
    processor = CareerProcessor.fit(splits["train"], covariates=["year", "education"], unknown_occupation="unknown")
    processor.record_training(processor.encode(splits["train"])[0], "training")
    torch.manual_seed(0)
    CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), hidden_size=16)).save_pretrained(
        "runs/mine"
    )
    processor.save_pretrained("runs/mine")

    page = (Path(__file__).parents[2] / "docs" / "how_to" / "wages.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    assert Path("r2.png").exists() and Path("tables/coefficients.txt").exists()
    frame, r2 = names["frame"], names["r2"]
    assert names["base"] == ["year", "education", "experience", "region", "race", "gender"]
    assert "gender_male" in Path("tables/wages.txt").read_text()
    assert np.isfinite(frame["wage_head"]).all() and frame["person"].isin(names["careers"]["person"]).all()
    assert list(r2["specification"][:3]) == ["year alone", "Blau-Kahn", "+ wage head"]
