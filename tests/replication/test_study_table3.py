"""The study of Table 3 at a size at which nothing is learned: who is held out from what, and its cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn_points import points_of
from replication import table3 as study
from replication.study import studies
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from career_hf import CareerForWagePrediction
from career_hf.careers import save_careers, split_careers, to_frame
from career_hf.representing.cross_fitting import check_not_trained_on
from career_hf.simulation import draw_wages, preset
from career_hf.wages.regression import YEAR_ONLY
from career_hf.wages.wage_head import predict_log_wages


SMALL = study.Table3Settings(
    people=220,
    layers=1,
    hidden_size=16,
    most_steps=4,
    warmup_steps=1,
    eval_steps=2,
    tokens_per_batch=400,
    seeds=2,
    folds=2,
    draws=20,
)
COVARIATES = ("year", "education", "gender")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    made = study.Table3Study(tmp_path_factory.mktemp("table3"), SMALL, covariates=COVARIATES)
    return made, made.run(workers=1)


def test_everything_is_compared_and_written(done):
    made, found = done
    rows = found["r2"].set_index(["protocol", "years", "specification"]).sort_index()
    assert rows.index.is_unique
    for _, of in found["r2"].groupby(["protocol", "years"]):
        assert list(of["specification"][:2]) == [YEAR_ONLY, study.BLAU_KAHN_ROW] and len(of) == 11
        assert list(of["specification"][-2:]) == [study.HEAD, study.TRUTH]
    # Whatever untrained models do, the truth is far ahead of regressions on so few people.
    for protocol in (study.PAPER, study.CROSS_FITTED):
        assert (
            rows.loc[(protocol, "all"), "within_year"].drop(study.TRUTH).max()
            < rows.loc[(protocol, "all", study.TRUTH), "within_year"]
        )
    assert 0.2 < found["ceiling"]["R^2 ceiling"] < 0.6
    assert set(found["missing"].index) == {"schooling", "metropolitan", "union", "government", "industry"}
    assert len(found["models"]) == 2 * (SMALL.seeds + SMALL.folds) and (found["models"]["updates"] == 4).all()
    for name in ("r2.csv", "models.csv", "ceiling.csv", "coefficients.tex", "ledger, paper.json"):
        assert (made.folder / name).stat().st_size > 0
    paper, _, decades = found.figures["table3"].axes
    shown = found["r2"].query("protocol == @study.PAPER and years == 'all' and specification != @YEAR_ONLY")
    assert points_of(paper)[:, 0] == pytest.approx(shown["within_year"].to_numpy())
    assert len(decades.get_xticklabels()) == found["r2"].query("years != 'all'")["years"].nunique()
    assert "gender_male" in (made.folder / "coefficients.txt").read_text()


def test_the_papers_protocol_explains_people_whom_no_model_saw(done):
    made, found = done
    test = made.splits()["test"]
    predictions = [pd.read_parquet(made.folder / "predictions" / f"{study.PAPER} {seed}.parquet") for seed in (0, 1)]
    for one in predictions:
        assert set(one["person"]) <= set(test["person"])
        assert len(one) == to_frame(test)["log_wage"].notna().sum()
    assert not np.array_equal(predictions[0][study.HEAD], predictions[1][study.HEAD])  # seeds of training
    assert not np.array_equal(predictions[0]["split"], predictions[1]["split"])  # and of the splits


def test_cross_fitting_explains_everybody_by_models_of_other_folds(done):
    made, _ = done
    everybody = study.everybody(made.splits())
    predictions = pd.read_parquet(made.folder / "predictions" / f"{study.CROSS_FITTED} 0.parquet")
    assert len(predictions) == to_frame(everybody)["log_wage"].notna().sum()
    parts = split_careers(everybody, {"0": 0.5, "1": 0.5}, "cross_fit")
    for fold, people in parts.items():
        place = made.folder / "models" / f"wages, {study.CROSS_FITTED} {fold}"
        model, processor = AutoModelForCausalLM.from_pretrained(place), study.CareerProcessor.from_pretrained(place)
        assert isinstance(model, CareerForWagePrediction)
        others = split_careers(parts[str(1 - int(fold))], {"train": 0.9, "validation": 0.1}, "stopping")["train"]
        check_not_trained_on(people, others, processor)  # which also says that it was trained on these others
        wages = predict_log_wages(model, people, processor, unknown_levels="missing")
        frame = to_frame(people)
        expected = pd.Series(wages, index=pd.MultiIndex.from_frame(frame[["person", "year"]]))
        own = predictions[predictions["person"].isin(people["person"])].set_index(["person", "year"])
        np.testing.assert_allclose(own[study.HEAD], expected.loc[own.index], atol=1e-5)


def test_the_truth_is_the_expectation_of_every_row(done):
    made, _ = done
    market = draw_wages(preset("survey").simulate(SMALL.people))
    truth = study.wage_truth(market.careers, market.world).set_index(["person", "year"])["expected"]
    for name in (f"{study.PAPER} 0", f"{study.CROSS_FITTED} 0"):
        rows = pd.read_parquet(made.folder / "predictions" / f"{name}.parquet").set_index(["person", "year"])
        np.testing.assert_allclose(rows[study.TRUTH], truth.loc[rows.index])


def test_a_second_run_reads_what_the_first_has_made(done, monkeypatch):
    made, found = done
    monkeypatch.setattr("career_hf.training.cells.fit_model", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(study, "predict_held_out", lambda *_: pytest.fail("regressed again"))
    made.compute(workers=1)
    pd.testing.assert_frame_equal(made.report()["r2"], found["r2"])
    with pytest.raises(ValueError, match="other settings"):
        replace(made, settings=replace(SMALL, seeds=1)).run()


def test_excluded_covariates_are_seen_by_no_model(tmp_path):
    settings = replace(SMALL, people=80, exclude_covariates=("gender",), tokens_per_batch=1_000)
    made = study.Table3Study(tmp_path, settings, covariates=COVARIATES)
    made.train(study.Cell(study.PAPER, 0))
    for task in ("occupations", "wages"):
        place = made.place(f"{task}, {study.PAPER} 0")
        assert AutoModelForCausalLM.from_pretrained(place).config.covariate_names == ["year", "education"]


def test_cost_counts_runs():
    assert SMALL.cost()[0] == 8


def test_command_says_what_is_missing(tmp_path):
    runner = CliRunner()
    neither = runner.invoke(studies, ["table3", "--output", str(tmp_path / "study")])
    assert neither.exit_code == 2 and "--market" in neither.output
    save_careers(split_careers(preset("tiny").simulate(30).careers), tmp_path / "careers")
    made = study.Table3Study(tmp_path, data=tmp_path / "careers", covariates=("year",))
    with pytest.raises(ValueError, match="no outcome 'log_wage'"):
        made.splits()
    save_careers(preset("tiny").simulate(30).careers, tmp_path / "whole")
    with pytest.raises(ValueError, match=r"has splits \['all'\]"):
        replace(made, data=tmp_path / "whole").splits()


def test_pretrained_models_have_rows_of_their_own(tmp_path):
    careers = draw_wages(preset("survey").simulate(120)).careers
    save_careers(split_careers(careers), tmp_path / "careers")
    save_careers(split_careers(preset("survey").simulate(60, seed=5).careers), tmp_path / "resumes")
    start = study.Start(resumes=tmp_path / "resumes")
    settings = replace(SMALL, seeds=1, pretraining_steps=4, tokens_per_batch=1_000)
    made = study.Table3Study(
        tmp_path / "study", settings, data=tmp_path / "careers", covariates=COVARIATES, start=start
    )
    found = made.run(workers=1)
    assert set(found["table3"].index) == set(study.PAPER_ROWS.values())
    rows = set(found["r2"]["specification"])
    assert {"+ h before, pretrained", "+ occupation, h including, pretrained", f"{study.HEAD}, pretrained"} <= rows
    for protocol in (study.PAPER, study.CROSS_FITTED):
        predictions = pd.read_parquet(made.folder / "predictions" / f"{protocol} 0.parquet")
        assert not np.array_equal(predictions["+ h including"], predictions["+ h including, pretrained"])
    assert len(found["models"]) == 2 * 2 * (1 + SMALL.folds) + 1
