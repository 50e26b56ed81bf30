"""The study of wage gaps in many worlds at a small size: its truth, its tables, and going on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn_points import points_of
from replication import gap_worlds as study

from career_hf.simulation import wage_summary, wage_truth


SMALL = study.GapWorldsSettings(
    worlds=1,
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
    made = study.GapWorldsStudy(tmp_path_factory.mktemp("gap_worlds"), SMALL)
    return made, made.run(workers=1)


def test_every_estimate_is_there_beside_the_truth(done):
    made, found = done
    estimates, summary = found["estimates"], found["summary"]
    learned = [study.COLUMNS, study.FROZEN, study.ORACLE, *study.METHODS, study.CHOSEN]
    cases = summary.index
    assert cases.is_unique and len(cases) == 2 + len(learned) * 2 * 2
    # One world has no spread of errors.
    assert (summary["worlds"] == 1).all() and np.isfinite(summary.drop(columns="bias_error")).all(axis=None)
    drawn = made.draw(0)
    sample = drawn.careers.select(range(SMALL.people))
    truth = wage_summary(wage_truth(sample, drawn.world))
    of_everybody = estimates[estimates["clip"] == 0]
    np.testing.assert_allclose(of_everybody["truth"], truth["history-adjusted gap"])
    raw = of_everybody.loc[of_everybody["estimator"] == "raw", "estimate"].item()
    assert raw == pytest.approx(truth["raw gap"])
    assert len(pd.read_csv(made.folder / "estimates.csv")) == len(estimates)


def test_it_goes_on_and_refuses_other_settings(done, monkeypatch):
    made, found = done
    monkeypatch.setattr(study.GapWorldsStudy, "estimates", None)  # nothing is estimated again
    pd.testing.assert_frame_equal(made.run(workers=1)["estimates"], found["estimates"])
    with pytest.raises(ValueError, match="other settings"):
        replace(made, settings=replace(SMALL, people=401)).run(workers=1)


def test_more_worlds_may_be_asked_for(done, monkeypatch, tmp_path):
    made, _ = done
    asked = []
    monkeypatch.setattr(study.GapWorldsStudy, "estimate_world", lambda self, world: asked.append(world))
    more = replace(made, settings=replace(SMALL, worlds=3))
    assert more.described() == made.described()
    more.compute(workers=1)
    assert asked == [1, 2]


def test_the_figure_shows_every_world_and_every_estimator(done):
    _, found = done
    worlds, errors = found.figures["gap_worlds"].axes
    rows = found["estimates"].query("clip == 0 and adjusted_for == @study.FROZEN and estimator == 'AIPW'")
    assert points_of(worlds)[:, 0] == pytest.approx(rows["estimate"].to_numpy())
    everybody = found["summary"].xs(0.0, level="clip")
    assert points_of(errors)[:, 0] == pytest.approx(everybody["bias"].to_numpy())
    assert len(errors.get_yticklabels()) == len(everybody)


def test_gender_is_hidden_from_pretraining(done):
    made, _ = done
    processor = study.CareerProcessor.from_pretrained(made.place("0"))
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
    estimates = study.with_chosen(pd.DataFrame(rows))
    summary = study.summarize_worlds(estimates).droplevel(["estimator", "clip"])
    assert summary["inside"].to_dict() == {study.FROZEN: 1, study.METHODS[0]: 1, study.COLUMNS: 0, study.CHOSEN: 1}
    assert summary.loc[study.FROZEN, "bias"] == pytest.approx(0.2)
    assert summary.loc[study.FROZEN, "rmse"] == pytest.approx(np.sqrt((0.01 + 0.09) / 2))
    assert summary.loc[study.CHOSEN, "bias"] == pytest.approx(0.1)  # -0.1 and 0.3


def test_cost_grows_with_worlds():
    assert replace(SMALL, worlds=120).hours == pytest.approx(1.0)
