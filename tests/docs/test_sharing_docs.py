"""The Python of docs/how_to/sharing.md runs as it stands, on made-up careers and an untrained model."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import load_careers
from career_hf.careers.provenance import source_of, training_source
from career_hf.simulation import preset, save_simulation


def test_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_simulation(preset("tiny").simulate(150), "simulated")
    Path("careers").mkdir()
    Path("simulated/careers").rename("careers/mine")
    splits = load_careers("careers/mine")
    processor = CareerProcessor.fit(splits["train"], ["year", "gender"], unknown_occupation="unknown")
    source = training_source("careers/mine", splits["train"])
    processor.record_training(processor.encode(splits["train"])[0], "training", source)
    torch.manual_seed(0)
    CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), hidden_size=16)).save_pretrained(
        "runs/mine"
    )
    processor.save_pretrained("runs/mine")
    page = (Path(__file__).parents[2] / "docs" / "how_to" / "sharing.md").read_text(encoding="utf-8")
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out
    assert f"training simulated allowed {splits['train'].num_rows}" in printed and "Perplexity" in printed
    assert names["plan"].refusals == [] and names["plan"].rare is not None

    # The metadata that the page says to write are what a checkpoint records.
    (metadata,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    Path("careers/mine/README.md").write_text(metadata, encoding="utf-8")
    expected = {"source": "register", "license": "contract-7", "redistribution": "allowed with attribution"}
    assert source_of("careers/mine") == expected
