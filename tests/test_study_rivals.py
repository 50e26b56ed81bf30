"""The study of rivals, at a size at which nothing is learned but everything runs."""

import json

import numpy as np
import pandas as pd
import pytest

from career_hf.careers import save_careers, split_careers, split_manifest
from career_hf.evaluation import perplexity, stay_auc
from career_hf.simulation import preset
from career_hf.studies import rivals as study
from career_hf.studies.rivals_tables import load, rivals


BUDGET = study.Budget(trials=2, seeds=2, tokens_per_batch=400, most_steps=2, warmup_steps=1, eval_steps=1, draws=20)
COVARIATES = ["year", "education", "gender"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("careers")
    splits = split_careers(preset("tiny").simulate(120).careers)
    save_careers(splits, folder, manifest=split_manifest(splits))
    return folder


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rivals")
    return folder, rivals(folder, data, COVARIATES, BUDGET, workers=1)


def test_every_rival_is_tuned_alike_and_has_every_seed(done):
    folder, found = done
    # As many trials for each, whether in rates alone or in rates and sizes.
    assert set(found.costs["trials"]) == {BUDGET.trials}
    tables = load(folder)
    names = {trial.name for trial in study.trials(BUDGET)}
    assert set(tables) == names | {"Markov chain, order 1", "Markov chain, order 2", "mixture of Markov chains"}
    assert all(len(tables[name]) == BUDGET.seeds for name in names)
    for name in ("figure_2a", "table_4", "table_5", "table_8", "figure_4", "costs"):
        assert len(pd.read_csv(folder / f"{name}.csv")) > 0
    assert (folder / "rivals.png").stat().st_size > 10_000


def test_the_best_trial_is_the_one_that_validation_likes_best(done):
    folder, _ = done
    for chosen in study.best(folder, BUDGET):
        states = {
            trial.folder: json.loads((folder / "models" / trial.folder / "trainer_state.json").read_text())
            for trial in study.trials(BUDGET)
            if trial.name == chosen.name
        }
        assert min(states, key=lambda name: states[name]["best_metric"]) == chosen.folder


def test_tables_hold_what_transition_tables_say(done):
    folder, found = done
    tables = load(folder)
    name = "NEMO, two stages"
    mean = np.mean([np.log(perplexity(table)) for table in tables[name]])
    assert found.figure_2a.loc[name, "perplexity"] == pytest.approx(np.exp(mean))
    assert found.table_5.loc[name, "moving"] == pytest.approx(np.mean([stay_auc(table) for table in tables[name]]))
    one = np.mean([np.log(perplexity(table)) for table in tables["NEMO, one stage"]])
    assert found.table_8.loc["NEMO", "difference"] == pytest.approx(mean - one)
    kinds = found.table_4.set_index(["cut", "model"])
    # What an occupation that training never saw was, nobody can say.
    known = tables[name][0][~tables[name][0]["unknown"]]
    counts = ["n_stay", "n_return", "n_new"]
    assert kinds.loc[("as in the paper", name), counts].sum() == len(known)
    later = kinds.loc[("from the second step on", name), counts].sum()
    assert later == (known["step"] > 0).sum()
    without = kinds.loc[("without A-B-A", name)]
    assert (
        without["n_return"] == kinds.loc[("from the second step on", name), "n_return"] - tables[name][0]["aba"].sum()
    )


def test_a_folder_belongs_to_one_study(done, data):
    folder, _ = done
    with pytest.raises(ValueError, match="other settings"):
        rivals(folder, data, ["year"], BUDGET)
