"""The verb against its parts, on few careers: scores, seeds, splits, recalibration, and what is written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import DatasetDict

from career_hf import (
    CareerConfig,
    CareerForOccupationPrediction,
    CareerProcessor,
    MarkovForOccupationPrediction,
    evaluate,
)
from career_hf.careers import from_frame
from career_hf.encoding.training_history import record_careers
from career_hf.evaluation.calibration import recalibrate
from career_hf.evaluation.metrics import perplexity_differences
from career_hf.evaluation.report import report
from career_hf.evaluation.transition_table import transition_table


def made_careers(seed, people=12):
    draw = np.random.default_rng(seed)
    rows = [
        {"person": f"p{seed}-{person}", "year": 1990 + t, "occupation": draw.choice(list("xyz"), p=[0.6, 0.3, 0.1])}
        | {"region": draw.choice(["n", "s"]), "gender": "fm"[person % 2], "w": 1.0 + person % 3}
        for person in range(people)
        for t in range(draw.integers(2, 6))
    ]
    if seed == 2:
        rows[0]["region"] = "abroad"  # nobody in training
    return from_frame(pd.DataFrame(rows), covariates=["region"], static=["gender"], weight="w")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Splits; a chain and a transformer with their processors; and the chain's folder."""
    splits = DatasetDict({name: made_careers(seed) for seed, name in enumerate(("train", "validation", "test"))})
    bare = CareerProcessor.fit(splits["train"], covariates=())
    encoded = bare.encode(splits["train"])[0]
    chain = MarkovForOccupationPrediction.fit(encoded, bare)
    bare.record_training(encoded, "training")
    record_careers(bare.training_stages[-1], splits["train"])
    folder = tmp_path_factory.mktemp("chain")
    chain.save_pretrained(folder)
    bare.save_pretrained(folder)
    processor = CareerProcessor.fit(splits["train"], covariates=["region"])
    torch.manual_seed(0)
    sizes = {"hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    career = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), initializer_range=1, **sizes))
    return splits, (chain, bare), (career.eval(), processor), folder


def scored(made, **options):
    """What the tables should be, made one by one."""
    splits, chain, career, _ = made
    options = {"split": "test", "unknown_levels": "missing"} | options
    careers = options.pop("careers", splits["test"])
    tables = [transition_table(model, careers, processor, **options) for model, processor in (chain, career)]
    return {"chain": [tables[0]], "both": [tables[1], tables[0]]}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, tables in expected.items():
        for one, other in zip(found[name], tables, strict=True):
            pd.testing.assert_frame_equal(one, other)


def test_a_report_is_that_of_the_tables_of_each_seed(made):
    splits, chain, career, folder = made
    models = {"chain": str(folder), "both": [career, folder]}
    options = {"by": ["gender", "transition"], "weighted": True, "draws": 7}
    found = evaluate(models, splits, baseline="both", watch=["y", "z"], **options)
    expected = scored(made, watch=["y", "z"])
    assert_same(found.transition_tables, expected)
    by_hand = report(expected, "both", **options)
    assert list(found.tables) == list(by_hand.tables)
    for name, table in by_hand.tables.items():
        pd.testing.assert_frame_equal(found.tables[name], table)


def test_by_default_the_split_test_is_scored_against_the_first_model(made):
    splits, chain, career, folder = made
    models = {"chain": chain, "both": [career, chain]}
    found = evaluate(models, splits)
    assert_same(found.transition_tables, scored(made))
    assert found.baseline == "chain" and found.recalibrated is None and "recalibrations" not in found.tables
    by_hand = perplexity_differences(scored(made), "chain", draws=1000)
    assert found.tables["differences"]["low"].tolist() == by_hand["low"].tolist()


def test_one_column_and_one_state_may_be_given_by_themselves_and_careers_without_splits(made):
    splits, chain, career, _ = made
    careers = splits["validation"]
    found = evaluate({"chain": chain, "both": [career, chain]}, careers, by="gender", watch="y", draws=2)
    assert_same(found.transition_tables, scored(made, careers=careers, split=None, watch=["y"]))
    found = evaluate({"chain": chain}, splits, split="validation", draws=2)
    expected = scored(made, careers=careers, split="validation")["chain"]
    assert_same(found.transition_tables, {"chain": expected})


def test_recalibration_is_fitted_for_each_seed(made):
    splits, chain, career, _ = made
    models = {"chain": chain, "both": [career, chain]}
    found = evaluate(models, splits, recalibrate=True, draws=2)
    expected, fits = {"chain": [], "both": []}, []
    for name, seed, (model, processor) in [("chain", 0, chain), ("both", 0, career), ("both", 1, chain)]:
        fitted = recalibrate(model, splits["validation"], processor)
        fits.append([name, seed, fitted.temperature, fitted.stay_slope, fitted.stay_intercept])
        with fitted.applied_to(model):
            expected[name].append(
                transition_table(model, splits["test"], processor, split="test", unknown_levels="missing")
            )
    frame = found.to_frame("recalibrations")
    assert list(frame) == ["model", "seed", "temperature", "stay_slope", "stay_intercept"]
    assert frame.to_numpy().tolist() == fits
    assert_same(found.transition_tables, scored(made))
    assert_same(found.recalibrated, expected)


def test_tables_are_written_by_name_and_seed_where_a_folder_is_given(made, tmp_path, monkeypatch):
    splits, chain, _, _ = made
    monkeypatch.chdir(tmp_path)
    evaluate({"chain": chain}, splits, draws=2)
    assert list(tmp_path.iterdir()) == []
    found = evaluate({"chain": [chain, chain]}, splits, recalibrate=True, draws=2, output="there")
    written = {path.stem: pd.read_parquet(path) for path in (tmp_path / "there").glob("*.parquet")}
    assert set(written) == {"chain_0", "chain_1", "chain_0_recalibrated", "chain_1_recalibrated"}
    assert written["chain_1"]["log_prob"].tolist() == found.transition_tables["chain"][1]["log_prob"].tolist()
    recalibrated = written["chain_1_recalibrated"]["log_prob"].tolist()
    assert recalibrated == found.recalibrated["chain"][1]["log_prob"].tolist()
    assert {"recalibrations.csv", "summary.csv"} <= {path.name for path in (tmp_path / "there").iterdir()}


def test_people_who_were_trained_on_are_named_once_for_each_model(made):
    splits, chain, career, _ = made
    people = len(splits["train"])
    found = evaluate({"chain": [chain, chain], "career": career}, splits, split="train", draws=2)
    text = str(found.ledger)
    assert text.count(f"chain: the model was trained on {people} of the {people} people") == 1
    assert "career: " not in text
    assert "trained on" not in str(evaluate({"chain": chain}, splits, draws=2).ledger)


def test_what_cannot_be_done_is_said_before_anything_is_scored(made, tmp_path):
    splits, chain, career, folder = made
    strange = made_careers(2).rename_column("region", "rank")
    cases = [
        ({}, splits, {}, "models have names"),
        ([chain], splits, {}, "models is .* must be a mapping from names, such as"),
        ({"chain": chain}, splits, {"baseline": "other"}, "baseline 'other' is none of"),
        ({"chain": chain}, splits, {"by": ["gender", "shoe"]}, "no column 'shoe'"),
        ({"chain": chain}, splits, {"by": "shoe"}, "no column 'shoe'"),
        ({"chain": chain}, splits, {"by": [1]}, "by"),
        ({"chain": chain}, splits, {"watch": [1]}, "watch"),
        ({"chain": chain}, splits, {"split": "none"}, "none"),
        ({"chain": chain}, splits, {"watch": "w"}, "model 'chain': watched labels"),
        ({"chain": chain}, splits["test"], {"recalibrate": True}, "fits to validation careers"),
        ({"chain": chain}, splits, {"recalibrate": True, "split": "validation"}, "fits to validation careers"),
        ({"chain": chain}, DatasetDict(test=splits["test"]), {"recalibrate": True}, "validation"),
        ({"chain": chain}, splits["test"].remove_columns("weight"), {"weighted": True}, "no column 'weight'"),
        ({"chain": chain}, strange, {}, "model 'chain': careers have columns \\['rank'\\]"),
        ({"chain": chain}, DatasetDict(test=splits["test"], validation=strange), {"recalibrate": True}, "'rank'"),
        ({"chain": chain, "bad": tmp_path / "none"}, splits, {}, "model 'bad': "),
        ({"chain": chain, "bad": [chain, (career[0], chain[1])]}, splits, {}, "model 'bad': "),
    ]
    for models, careers, options, message in cases:
        with pytest.raises(ValueError, match=message):
            evaluate(models, careers, output=tmp_path / "there", **options)
        assert not (tmp_path / "there").exists(), message
    # Survey weights are asked for only where there are some, and need not be there otherwise.
    evaluate({"chain": chain}, splits["test"].remove_columns("weight"), draws=2)


def test_models_that_are_loaded_go_to_the_device_and_others_stay(made):
    splits, (chain, bare), _, folder = made
    found = evaluate({"folder": folder, "model": (chain, bare)}, splits["test"], draws=2)
    one, other = found.transition_tables["folder"][0], found.transition_tables["model"][0]
    pd.testing.assert_frame_equal(one, other)
    assert chain.device == torch.device("cpu")
