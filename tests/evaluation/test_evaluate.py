"""The verb: models and careers however they are given, and bad ones found before any is scored."""

from __future__ import annotations

import pandas as pd
import pytest

import career_hf
from career_hf.careers import save_careers, split_careers
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.calibration import recalibrate
from career_hf.evaluation.report import report
from career_hf.evaluation.transition_table import transition_table
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.simulation import TrueOccupationModel, preset, world_processor


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Splits, also in a folder; a chain, also in a folder; and the truth."""
    folder = tmp_path_factory.mktemp("market")
    drawn = preset("tiny").simulate(150, seed=3)
    splits = split_careers(drawn.careers, {"train": 0.4, "validation": 0.2, "test": 0.4})
    save_careers(splits, folder / "careers")
    processor = CareerProcessor.fit(drawn.careers, covariates=())
    chain = MarkovForOccupationPrediction.fit(processor.encode(splits["train"])[0], processor)
    chain.save_pretrained(folder / "chain")
    processor.save_pretrained(folder / "chain")
    return (
        folder,
        splits,
        (chain, processor),
        (TrueOccupationModel.of_world(drawn.world), world_processor(drawn.world)),
    )


def test_models_and_careers_are_taken_whichever_way_they_are_given(market, tmp_path):
    folder, splits, chain, truth = market
    scored = {
        "chain": [transition_table(chain[0], splits["test"], chain[1], split="test", unknown_levels="missing")],
        "truth": [transition_table(truth[0], splits["test"], truth[1], split="test")] * 2,
    }
    expected = report(scored, "truth", by=["gender"], draws=20)
    models = {"chain": folder / "chain", "truth": [truth, truth]}
    options = {"baseline": "truth", "by": "gender", "draws": 20}
    for careers in (folder / "careers", str(folder / "careers"), splits, splits["test"]):
        evaluation = career_hf.evaluate(models, careers, output=tmp_path if careers is splits else None, **options)
        assert list(evaluation.tables) == list(expected.tables)
        for name, table in expected.tables.items():
            pd.testing.assert_frame_equal(evaluation.tables[name], table)
    assert evaluation.transition_tables["chain"][0]["split"].isna().all()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "truth_1.parquet"), scored["truth"][1])
    assert (tmp_path / "summary.csv").exists() and (tmp_path / "levels.png").exists()
    assert repr(evaluation).split()[0] == "model"


def test_recalibration_is_fitted_to_validation_careers(market):
    _, splits, chain, truth = market
    report = career_hf.evaluate({"chain": chain, "truth": [truth, chain]}, splits, recalibrate=True, draws=2)
    fits = report.to_frame("recalibrations")
    assert fits[["model", "seed"]].to_numpy().tolist() == [["chain", 0], ["truth", 0], ["truth", 1]]
    fitted = recalibrate(truth[0], splits["validation"], truth[1])
    assert fits["stay_slope"].tolist()[1] == pytest.approx(fitted.stay_slope)
    with fitted.applied_to(truth[0]):
        table = transition_table(truth[0], splits["test"], truth[1], split="test")
    pd.testing.assert_frame_equal(report.recalibrated["truth"][0], table)


def test_bad_models_are_found_before_any_is_scored(market, monkeypatch, tmp_path):
    folder, splits, chain, truth = market
    scored = []
    monkeypatch.setattr("career_hf.evaluation.evaluate.transition_table", lambda *args, **options: scored.append(args))
    stranger = CareerProcessor.fit(splits["train"].select(range(2)), covariates=())
    cases = [
        (folder / "nowhere", "model 'bad': .*nowhere"),
        (chain[0], "model 'bad': a model is a folder"),
        ((truth[0], chain[1]), "model 'bad': "),
        (
            [
                chain,
                (
                    MarkovForOccupationPrediction.fit(stranger.encode(splits["train"].select(range(2)))[0], stranger),
                    stranger,
                ),
            ],
            "model 'bad': person",
        ),
    ]
    (tmp_path / "empty").mkdir()
    chain[1].save_pretrained(tmp_path / "empty")
    cases.append((tmp_path / "empty", "model 'bad': .*empty"))
    for bad, message in cases:
        with pytest.raises(ValueError, match=message):
            career_hf.evaluate({"good": chain, "bad": bad}, splits)
    with pytest.raises(ValueError, match="model 'good': watched labels"):
        career_hf.evaluate({"good": chain}, splits, watch="chef")
    assert scored == []


def test_what_cannot_be_asked_is_said(market):
    _, splits, chain, _ = market
    for models in (["runs/mine"], {}, "runs/mine"):
        with pytest.raises(ValueError, match="models have names|models is .* must be a mapping from names, such as"):
            career_hf.evaluate(models, splits)
    with pytest.raises(ValueError, match="fits to validation careers"):
        career_hf.evaluate({"chain": chain}, splits["test"], recalibrate=True)
    with pytest.raises(ValueError, match="no column 'shoe_size'"):
        career_hf.evaluate({"chain": chain}, splits, by="shoe_size")
    with pytest.raises(ValueError, match="no column 'weight'"):
        career_hf.evaluate({"chain": chain}, splits["test"].remove_columns("weight"), weighted=True)
    with pytest.raises(ValueError, match="baseline 'truth' is none of"):
        career_hf.evaluate({"chain": chain}, splits, baseline="truth")
    for verb in (career_hf.evaluate, career_hf.forecast, career_hf.transitions):
        model = {"chain": chain} if verb is career_hf.evaluate else chain
        with pytest.raises(ValueError, match="^split='tset' names no split, because these careers are one dataset"):
            verb(model, splits["test"], split="tset")


def test_a_transition_table_takes_folders_too(market):
    folder, splits, chain, _ = market
    expected = transition_table(chain[0], splits["test"], chain[1], split="test", unknown_levels="missing")
    for model, careers in ((folder / "chain", folder / "careers"), (chain, splits)):
        table = career_hf.transition_table(model, careers, split="test", unknown_levels="missing")
        pd.testing.assert_frame_equal(table, expected)
    everybody = career_hf.transition_table(chain, splits, unknown_levels="missing")
    assert everybody["person"].nunique() == sum(part.num_rows for part in splits.values())
