"""The study of wages by model: it reads models of the study of foundations, and nobody whom they were trained on."""

from __future__ import annotations

import json

import pytest
from datasets import DatasetDict
from replication import foundation
from replication.foundation_wages import FoundationWages, FoundationWagesSettings

from career_hf import split_careers, train
from career_hf.careers import save_careers
from career_hf.simulation import draw_wages, preset


pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")
FIELDS = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Careers with wages, and a folder of a study with CAREER from scratch and the best recipe."""
    folder = tmp_path_factory.mktemp("wages")
    splits = split_careers(draw_wages(preset("tiny").simulate(250)).careers)
    save_careers(splits, folder / "careers")
    short = {"max_steps": 2, "eval_steps": 1, "warmup_steps": 1, "tokens_per_batch": 500, "covariates": ["education"]}
    for name, recipe in ((foundation.SCRATCH, "paper"), (foundation.BEST_SCRATCH, "best")):
        place = folder / "models" / f"{name}, 1, 0"
        train(folder / "careers", output=place, recipe=recipe, fields=FIELDS, **short)
    (folder / "settings.json").write_text(json.dumps({"data": str(folder / "careers")}))
    return folder


def study(folder, output, data="careers"):
    settings = FoundationWagesSettings(seeds=1, splits=2, draws=50)
    return FoundationWages(output, data=folder / data, models=folder, settings=settings)


def test_h_of_every_model_is_compared_with_that_of_career_from_scratch(folder, tmp_path):
    made = study(folder, tmp_path)
    assert made.names == [foundation.SCRATCH, foundation.BEST_SCRATCH]
    result = made.run(1)
    rows = result["r2"].query("years == 'all'").set_index("specification")
    assert list(rows.index[1:4]) == ["Blau-Kahn", "+ occupation", f"+ occupation, h before, {foundation.SCRATCH}"]
    assert len(rows) == 3 + 4
    found = result["differences"]
    assert list(found["specification"]) == [
        f"+ occupation, h {timing}, {foundation.BEST_SCRATCH}" for timing in ("before", "including")
    ]
    for row in found.itertuples():
        expected = rows.loc[row.specification, "within_year"] - rows.loc[row.minus, "within_year"]
        assert row.difference == pytest.approx(expected, abs=1e-9)
    assert (tmp_path / "wages.png").exists() and "Wages" in (tmp_path / "tables.md").read_text()


def test_people_whom_models_were_trained_on_are_refused(folder, tmp_path):
    splits = split_careers(draw_wages(preset("tiny").simulate(250)).careers)
    save_careers(DatasetDict(train=splits["test"], test=splits["train"]), folder / "turned")
    with pytest.raises(ValueError, match="is in the split test of .* and models were trained on them"):
        study(folder, tmp_path, "turned").run(1)
    save_careers(split_careers(preset("tiny").simulate(60).careers), folder / "without")
    with pytest.raises(ValueError, match="no outcome 'log_wage'"):
        study(folder, tmp_path / "other", "without").run(1)
