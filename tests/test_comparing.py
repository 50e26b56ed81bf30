"""`compare`: equal budgets, one set of rows, what was stopped goes on."""

import numpy as np
import pandas as pd
import pytest
from datasets import DatasetDict

import career_hf
from career_hf.careers import from_frame, split_careers
from career_hf.comparing import Budget, planned_trials, trial_grid
from career_hf.evaluation.metrics import perplexity
from career_hf.rivals.markov import tune_weight
from career_hf.training.cells import training_log


SETTINGS = {
    "models": ["markov-1", "regression"],
    "covariates": ["year", "education"],
    "trials": 2,
    "seeds": 2,
    "stages": (2, 1),
    "max_steps": 4,
    "eval_steps": 2,
    "warmup_steps": 1,
    "tokens_per_batch": 200,
    "draws": 50,
}


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    people = 200
    frame = {
        "person": np.repeat(np.arange(people), 4),
        "year": np.tile(np.arange(1990, 1994), people),
        "occupation": rng.choice(["cook", "waiter", "clerk"], 4 * people, p=[0.6, 0.3, 0.1]),
        "education": np.repeat(rng.choice(["school", "college"], people), 4),
    }
    return split_careers(from_frame(frame, covariates=["education"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def comparison(splits, folder):
    return career_hf.compare(splits, output=folder, **SETTINGS)


def test_every_model_has_the_same_trials_and_the_best_gets_further_seeds(comparison, folder):
    runs = comparison.trials
    assert runs[runs["trial"]].groupby("model").size().eq(2).all()
    assert set(runs["model"]) == {"regression", "regression, one stage"}
    for _, model in runs.groupby("model"):
        tried = model[model["trial"]]
        best = tried.loc[tried["best"].idxmin()]
        assert best["chosen"] and tried["chosen"].sum() == 1
        further = model[model["chosen"]]
        assert set(further["seed"]) == {0, 1} and set(further["rate"]) == {best["rate"]}
    assert len(training_log(folder)) == len(runs) == 6 and (runs["updates"] == 4).all()


def test_the_table_is_that_of_the_transition_tables(comparison, splits):
    frame = comparison.to_frame()
    assert frame["perplexity"].is_monotonic_increasing and comparison.baseline == "markov-1"
    assert set(frame["n"]) == {sum(map(len, splits["test"]["year"]))}
    (chain,) = comparison.tables["markov-1"]
    assert frame.loc["markov-1", "perplexity"] == pytest.approx(perplexity(chain))
    assert frame.loc["markov-1", ["difference", "difference_low", "difference_high", "trials"]].eq(0).all()
    logs = [np.log(perplexity(table)) for table in comparison.tables["regression"]]
    difference = np.mean(logs) - np.log(perplexity(chain))
    row = frame.loc["regression"]
    assert row["difference"] == pytest.approx(difference)
    assert row["difference_low"] < difference < row["difference_high"] and row["low"] < row["perplexity"] < row["high"]
    kinds = comparison.by_transition().set_index(["transition", "model"])["perplexity"]
    assert kinds["stay", "regression"] == pytest.approx(frame.loc["regression", "stay"])


def test_areas_under_curves_are_compared_with_the_baselines(comparison):
    frame = comparison.to_frame()
    assert (frame["stay_auc_low"] < frame["stay_auc"]).all() and (frame["stay_auc"] < frame["stay_auc_high"]).all()
    difference = frame["stay_auc"] - frame.loc[comparison.baseline, "stay_auc"]
    np.testing.assert_allclose(frame["stay_auc_difference"], difference)
    others = frame.drop(index=comparison.baseline)
    assert (others["stay_auc_difference_low"] < others["stay_auc_difference_high"]).all()


def test_counted_models_are_tuned_on_validation_careers(comparison, splits):
    labels = {label for occupations in splits["train"]["occupation"] for label in occupations}
    processor = career_hf.CareerProcessor.fit(splits["train"], [], "unknown", sorted(labels))
    encoded = [processor.encode(splits[name])[0] for name in ("train", "validation")]
    table = career_hf.transition_table(tune_weight(*encoded, processor), splits["test"], processor, split="test")
    assert np.allclose(table["log_prob"], comparison.tables["markov-1"][0]["log_prob"])


def test_what_was_stopped_goes_on_and_what_is_finished_is_not_run_again(comparison, splits, folder, monkeypatch):
    table = folder / "tables" / "regression" / "1.parquet"
    before = pd.read_parquet(table)
    table.unlink()
    monkeypatch.setattr("career_hf.training.cells.fit_model", None)  # nothing is trained
    again = career_hf.compare(splits, output=folder, **SETTINGS)
    pd.testing.assert_frame_equal(pd.read_parquet(table), before)
    pd.testing.assert_frame_equal(again.to_frame(), comparison.to_frame())
    with pytest.raises(ValueError, match="holds a study with other settings"):
        career_hf.compare(splits, output=folder, **{**SETTINGS, "seeds": 3})


def test_a_folder_has_the_tables_and_the_figure_has_the_models(comparison, folder):
    saved = pd.read_csv(folder / "comparison.csv", index_col="model")
    assert np.allclose(saved["perplexity"], comparison.to_frame()["perplexity"])
    assert {"by_transition.csv", "trials.csv"} <= {path.name for path in folder.iterdir()}
    pytest.importorskip("matplotlib")
    levels, kinds = comparison.figure().axes
    assert {label.get_text() for label in levels.get_yticklabels()} >= set(comparison.tables)
    assert kinds.get_legend() is not None or kinds.lines or kinds.containers


def test_a_pretrained_model_is_finetuned_and_compared(splits, tmp_path):
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    short = {"max_steps": 4, "eval_steps": 2, "tokens_per_batch": 200}
    career_hf.train(splits, fields=small, output=tmp_path / "pretrained", **short)
    settings = {**SETTINGS, "models": [], "seeds": 1, "trials": 1}
    comparison = career_hf.compare(splits, pretrained=tmp_path / "pretrained", output=tmp_path / "vs", **settings)
    assert list(comparison.tables) == ["career, pretrained"]
    (folder,) = (tmp_path / "vs" / "models").iterdir()
    stages = career_hf.CareerProcessor.from_pretrained(folder).training_stages
    assert [stage["stage"] for stage in stages] == ["training", "finetuning"]


def test_a_pretrained_model_that_knows_more_is_compared_on_what_all_know(splits, tmp_path):
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    short = {"max_steps": 2, "eval_steps": 2, "tokens_per_batch": 200}
    # An occupation that only the resumes and the test careers have.
    judge = splits["test"].map(lambda career: {"occupation": [*career["occupation"][:-1], "judge"]})
    resumes = DatasetDict({"train": judge, "validation": splits["validation"]})
    career_hf.train(resumes, fields=small, output=tmp_path / "pretrained", **short)
    settings = {**SETTINGS, "models": ["markov-1"], "seeds": 1, "trials": 1, "stages": (2,)}
    careers = DatasetDict({**splits, "test": judge})
    options = {"pretrained": tmp_path / "pretrained", "output": tmp_path / "vs"}
    comparison = career_hf.compare(careers, **settings, **options)
    frame = comparison.to_frame()
    people, steps = len(judge), sum(map(len, judge["year"]))
    assert comparison.ledger.dropped() == {"unknown to 'markov-1'": people}
    assert (frame["n"] == steps - people).all() and (frame["left_out"] == people).all()
    assert comparison.by_transition().groupby("model")["n"].sum().eq(steps - people).all()
    (chain,) = comparison.tables["markov-1"]
    assert frame.loc["markov-1", "perplexity"] == pytest.approx(perplexity(chain[chain["occupation"] != "judge"]))
    # It was pretrained on the very people it is scored on.
    assert f"trained on {people} of the {people} people" in " ".join(comparison.ledger.notes)
    assert (tmp_path / "vs" / "ledger.json").exists()


def test_budgets_stay_equal():
    grid = trial_grid([1.0, 2.0, 3.0], [{}, {"a": 1}], 4)
    assert grid == [(1.0, {}), (1.0, {"a": 1}), (2.0, {}), (2.0, {"a": 1})]
    with pytest.raises(ValueError, match="trials is 7, and a model has 6 settings"):
        trial_grid([1.0, 2.0, 3.0], [{}, {"a": 1}], 7)
    counted = ("markov-1", "markov-2", "mixture", "backoff")
    trained = [name for name in career_hf.registration.model_names() if name not in counted]
    trials = planned_trials(trained, Budget(stages=(2, 1)), pretrained=True)
    assert pd.Series([trial.name for trial in trials]).value_counts().eq(8).all()
    assert len({trial.folder for trial in trials}) == len(trials) == 8 * (2 * len(trained) + 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"models": ["gpt"]}, "no model 'gpt'"),
        ({"baseline": "career"}, "baseline 'career' is none of"),
        ({"covariates": ["year", "shoe"]}, "covariate 'shoe' is none of the careers': covariates are .*'education'"),
        ({"models": ["markov-1", "mixture"]}, "markov-1, mixture are made of counts and have no covariates"),
        ({"watch": 1}, "^watch=1 is no list of names"),
    ],
)
def test_what_cannot_be_compared_is_said_first(splits, settings, message):
    with pytest.raises(ValueError, match=message):
        career_hf.compare(splits, **{**SETTINGS, **settings})
    with pytest.raises(ValueError, match="needs the split 'test'"):
        career_hf.compare(DatasetDict({name: splits[name] for name in ("train", "validation")}), **SETTINGS)
