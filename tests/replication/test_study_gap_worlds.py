"""The study of wage gaps in many worlds at a small size: its truth, its tables, and going on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from replication import gap_worlds as study
from replication import gap_worlds_tables as tables

from career_hf.simulation import wage_summary, wage_truth


SMALL = study.Settings(
    worlds=2,
    people=400,
    other_people=80,
    layers=1,
    hidden_size=16,
    updates=4,
    tokens_per_batch=400,
    folds=2,
    fine_tuning_updates=1,
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gap_worlds")
    return folder, tables.gap_worlds_study(folder, SMALL, workers=1)


def test_every_estimate_is_there_beside_the_truth(done):
    folder, found = done
    learned = [study.COLUMNS, study.FROZEN, study.ORACLE, *study.METHODS, tables.CHOSEN]
    cases = found.summary.index
    assert cases.is_unique and len(cases) == 2 + len(learned) * 2 * 2
    assert (found.summary["worlds"] == 2).all() and np.isfinite(found.summary).all(axis=None)
    for world in range(2):
        drawn = study.draw_world(SMALL, world)
        sample = drawn.careers.select(range(SMALL.people))
        known = wage_summary(wage_truth(sample, drawn.world))
        of_world = found.estimates[(found.estimates["world"] == world) & (found.estimates["clip"] == 0)]
        np.testing.assert_allclose(of_world["truth"], known["history-adjusted gap"])
        raw = of_world.loc[of_world["estimator"] == "raw", "estimate"].item()
        assert raw == pytest.approx(known["raw gap"])
    assert (folder / "gap_worlds.png").stat().st_size > 10_000
    assert len(pd.read_csv(folder / "estimates.csv")) == len(found.estimates)


def test_it_goes_on_and_refuses_other_settings(done, monkeypatch):
    folder, found = done
    monkeypatch.setattr(study, "estimates_of_world", None)  # nothing is estimated again
    again = study.gap_worlds(folder, replace(SMALL, worlds=1), workers=1)
    assert set(again["world"]) == {0}
    with pytest.raises(ValueError, match="other settings"):
        study.gap_worlds(folder, replace(SMALL, people=401), workers=1)


def test_gender_is_hidden_from_pretraining(done):
    folder, _ = done
    processor = study.CareerProcessor.from_pretrained(folder / "models" / "0")
    assert processor.covariate_names == list(study.COVARIATES) and "gender" not in study.COVARIATES


def test_summary_counts_intervals_and_the_least_objective_is_chosen():
    rows = [
        {"world": w, "adjusted_for": name, "estimator": "AIPW", "clip": 0.0, "truth": 0.0, "r_loss": loss}
        | {"estimate": e, "standard_error": 0.1, "low": e - 0.196, "high": e + 0.196}
        for w, name, e, loss in [
            (0, study.FROZEN, 0.1, 3.0),
            (1, study.FROZEN, 0.3, 1.0),
            (0, study.METHODS[0], -0.1, 2.0),
            (1, study.METHODS[0], -0.2, 2.0),
            (0, study.COLUMNS, 9.0, 0.0),  # not learned, so not to be chosen
            (1, study.COLUMNS, 9.0, 0.0),
        ]
    ]
    estimates = tables.with_chosen(pd.DataFrame(rows))
    summary = tables.summarize(estimates).droplevel(["estimator", "clip"])
    assert summary["inside"].to_dict() == {study.FROZEN: 1, study.METHODS[0]: 1, study.COLUMNS: 0, tables.CHOSEN: 1}
    assert summary.loc[study.FROZEN, "bias"] == pytest.approx(0.2)
    assert summary.loc[study.FROZEN, "rmse"] == pytest.approx(np.sqrt((0.01 + 0.09) / 2))
    assert summary.loc[tables.CHOSEN, "bias"] == pytest.approx(0.1)  # -0.1 and 0.3


def test_cost_grows_with_worlds():
    assert study.cost(replace(SMALL, worlds=120)) == pytest.approx(1.0)
