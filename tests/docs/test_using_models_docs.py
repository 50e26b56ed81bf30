"""The Python of docs/how_to/using_models.md runs as it stands, on made-up careers and a model with random weights."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame, save_careers, split_careers


def test_python_of_the_page_runs(tmp_path, monkeypatch):
    pytest.importorskip("peft", reason="the extra 'peft' is not installed")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [
        {"person": f"p{p}", "year": 1988 + t, "occupation": rng.choice(["313", "22", "95"])}
        | {"education": "college", "gender": ["female", "male"][p % 2]}
        for p in range(40)
        for t in range(5)
    ]
    splits = split_careers(from_frame(pd.DataFrame(rows), covariates=["education"], static=["gender"]))
    save_careers(splits, "careers/mine")
    processor = CareerProcessor.fit(splits["train"], ["year", "education", "gender"], unknown_occupation="unknown")
    processor.record_training(processor.encode(splits["train"])[0], "training")
    torch.manual_seed(0)
    CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), hidden_size=16)).save_pretrained(
        "runs/mine"
    )
    processor.save_pretrained("runs/mine")

    page = (Path(__file__).parents[2] / "docs" / "how_to" / "using_models.md").read_text(encoding="utf-8")
    names: dict = {}
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    first = names["predict"](names["career"], top_k=3)
    assert first["year"] == 1993 and len(first["occupations"]) == 3
    assert {row["title"] is None for row in first["occupations"] if row["occupation"] != "unknown"} == {False}
    assert len(names["predicted"]) == len(names["test"]) == len(names["forecasts"])
    assert [len(person["years"]) for person in names["forecasts"]] == [3] * len(names["test"])
    merged = CareerForOccupationPrediction.from_pretrained("runs/merged")
    own = CareerForOccupationPrediction.from_pretrained("runs/mine")
    assert not torch.equal(merged.model.layers[0].mlp.up_proj.weight, own.model.layers[0].mlp.up_proj.weight)
