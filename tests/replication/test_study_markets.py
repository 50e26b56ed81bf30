"""The headline findings on two markets, at a size at which nothing is found but everything runs."""

from dataclasses import replace

import pytest
from replication import markets as study


SMALL = study.MarketsSettings(
    markets=("tiny",),
    volumes=(40, 80),
    pretraining_seeds=1,
    train_people=40,
    validation_people=20,
    test_people=40,
    layers=1,
    hidden_size=8,
    heads=1,
    pretraining_steps=4,
    most_steps=4,
    eval_steps=2,
    tokens_per_batch=500,
    seeds=1,
    draws=20,
)


def test_every_finding_is_measured_on_every_market(tmp_path):
    made = study.MarketsStudy(tmp_path, SMALL)
    result = made.run(workers=1)
    found, models = result["findings"], result["models"]
    assert set(found["market"]) == {"tiny"} and found["finding"].is_unique
    assert found["nats"].notna().all() and (found["low"] <= found["high"]).all()
    nll = models.set_index("model")["difference"]
    of_finding = found.set_index("finding")["nats"]
    assert of_finding["two stages beat one"] == pytest.approx(nll["one-stage"] - nll["two-stage"])
    assert of_finding["80 resumes are better than 40"] == pytest.approx(
        nll["pretrained on 40 resumes"] - nll["pretrained on 80 resumes"]
    )
    assert (tmp_path / "findings.png").exists() and "| tiny" in (tmp_path / "tables.md").read_text()


def test_cells_are_models_by_market_and_seed():
    settings = replace(SMALL, markets=("survey", "nlsy79"), seeds=3, pretraining_seeds=2)
    cells = study.MarketsStudy(None, settings).cells()
    assert len(set(cells)) == len(cells) == 2 * (3 * 2 + 2 * 2)
    assert {cell.market for cell in cells[:4]} == {"survey"}
