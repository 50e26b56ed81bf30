"""Trials of rates and dropouts, and what training says before it begins."""

import logging
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import career_hf
from career_hf.careers import from_frame, split_careers
from career_hf.models.title_embeddings import maker_with_titles
from career_hf.training.fitting import fit_model
from career_hf.training.plan import duration
from career_hf.training.search import MOST_DROPOUT, RATE_FACTOR, RateTrial, rate_trials
from career_hf.training.trainer import scratch_recipe


SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SHORT = {"max_steps": 2, "tokens_per_batch": 100, "fields": SMALL}


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    frame = {
        "person": np.repeat(np.arange(60), 3),
        "year": np.tile([1990, 1991, 1992], 60),
        "occupation": rng.choice(["cook", "waiter", "clerk"], 180),
    }
    return split_careers(from_frame(frame))


PLAN = "career_hf.training.plan"


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name == PLAN]


@given(
    trials=st.integers(1, 30),
    rate=st.floats(1e-5, 1),
    dropout=st.none() | st.floats(0, 0.9),
    fixed=st.sets(st.sampled_from(["learning_rate", "dropout"])),
)
def test_trials_lie_around_the_recipe_and_a_longer_search_begins_with_a_shorter_one(trials, rate, dropout, fixed):
    free = {"learning_rate"} if dropout is None else {"learning_rate", "dropout"}
    if trials > 1 and not free - fixed:
        with pytest.raises(ValueError, match=f"trials is {trials}, and .* of all trials are given: leave one out"):
            rate_trials(trials, rate, dropout, sorted(fixed))
        return
    found = rate_trials(trials, rate, dropout, sorted(fixed))
    assert found[0] == RateTrial(0, rate, dropout) and [trial.number for trial in found] == list(range(trials))
    assert len({(trial.learning_rate, trial.dropout) for trial in found}) == trials
    for trial in found[1:]:
        assert rate / RATE_FACTOR * 0.99 <= trial.learning_rate <= rate * RATE_FACTOR * 1.01
        assert (trial.learning_rate == rate) or "learning_rate" not in fixed
        assert trial.dropout == dropout if dropout is None or "dropout" in fixed else 0 <= trial.dropout < MOST_DROPOUT
    assert rate_trials(trials - 1 or 1, rate, dropout, sorted(fixed)) == found[: trials - 1 or 1]


def test_trials_are_chosen_on_validation_careers_kept_and_not_made_twice(splits, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger=PLAN)
    found = career_hf.train(splits, trials=2, output=tmp_path / "run", **SHORT)
    table = found.trials
    assert table["chosen"].sum() == 1 and table["best"].idxmin() == table.index[table["chosen"]][0]
    assert found.metrics["eval_nll"] == pytest.approx(table["best"].min())
    assert list(found.to_frame()["eval_nll"].dropna().index) == [1, 2]
    settings = found.processor.training_stages[-1]["run"]["settings"]
    chosen = table[table["chosen"]].iloc[0]
    assert (settings["trials"], settings["learning_rate"]) == (2, chosen["learning_rate"])
    assert found.model.config.hidden_dropout == found.model.config.attention_dropout == chosen["dropout"]
    assert found.plan.trials == 2 and said(caplog) == [str(found.plan)]
    saved = pd.read_csv(tmp_path / "run" / "trials" / "trials.csv", index_col="trial")
    pd.testing.assert_frame_equal(saved, table, check_dtype=False)
    assert (tmp_path / "run" / "trials" / "trials.png").exists() == (find_spec("matplotlib") is not None)

    caplog.clear()
    without_test = {name: splits[name] for name in ("train", "validation")}
    longer = career_hf.train(without_test, trials=3, output=tmp_path / "run", resume=True, **SHORT)
    pd.testing.assert_frame_equal(longer.trials.drop(columns="chosen")[:2], table.drop(columns="chosen"))
    assert longer.plan.trials == 1 and len(said(caplog)) == 1  # one was left to train

    for options, message in [
        ({"trials": 2}, "trials holds a longer search of 3 trials, and trials is 2: .*overwrite"),
        ({"trials": 2, "seed": 1}, "trials holds a study with other settings: .*overwrite"),
        ({"trials": 2, "learning_rate": 1e-3, "dropout": 0.1}, "trials is 2, and learning_rate and dropout of all"),
        ({"trials": 2, "resume": True, "overwrite": True}, "give one"),
        ({}, "holds trials of another run"),
    ]:
        with pytest.raises(ValueError, match=message):
            career_hf.train(splits, output=tmp_path / "run", **SHORT | options)
    with pytest.raises(ValueError, match="no trials .* to resume"):
        career_hf.train(splits, trials=2, output=tmp_path / "other", resume=True, **SHORT)
    with monkeypatch.context() as launched, pytest.raises(ValueError, match="trained by one process"):
        launched.setenv("WORLD_SIZE", "2")
        career_hf.train(splits, trials=2, output=tmp_path / "other", **SHORT)
    with pytest.raises(ValueError, match="trials is not for markov-1"):
        career_hf.train(splits, model="markov-1", trials=2)
    career_hf.train(splits, output=tmp_path / "run", overwrite=True, **SHORT)
    assert not (tmp_path / "run" / "trials").exists()
    with pytest.raises(ValueError, match="training holds another run"):
        career_hf.train(splits, trials=2, output=tmp_path / "run", **SHORT)


def test_training_says_what_it_chose_and_is_not_changed_by_that(splits, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger=PLAN)
    trained = career_hf.train(splits, dropout=0.2, seed=3, **SHORT)
    people, steps = len(splits["train"]), sum(map(len, splits["train"]["year"]))
    plan = trained.plan
    assert (plan.people, plan.person_years, plan.max_steps, plan.time_unit) == (people, steps, 2, "year")
    assert plan.tokens_per_batch == round(steps / -(-steps // 100)) and plan.seconds > 0
    settings = trained.processor.training_stages[-1]["run"]["settings"]
    assert (plan.learning_rate, plan.patience) == (settings["learning_rate"], settings["patience"])
    assert said(caplog) == [str(plan)]
    one = str(replace(plan, max_steps=1, eval_steps=1))
    assert "at most 1 update of" in one and "a validation every update, and" in one
    assert f"training on {people} people, {steps} person-years: at most 2 updates" in str(plan)
    recipe = scratch_recipe(
        trained.processor,
        tmp_path,
        config_overrides={**SMALL, "hidden_dropout": 0.2, "attention_dropout": 0.2},
        lr_scheduler_type="linear",
        learning_rate=plan.learning_rate,
        warmup_steps=0.1,
        max_steps=2,
        eval_steps=1,
        save_steps=1,
        tokens_per_batch=100,
        seed=3,
    )
    make = maker_with_titles(type(trained.model), None, [])
    silent = fit_model(make, trained.processor, recipe, splits["train"], splits["validation"], progress=False)
    assert all(torch.equal(p, q) for p, q in zip(trained.model.parameters(), silent.model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "a second"), (40.4, "40 seconds"), (200, "3 minutes"), (9_000, "2.5 hours")]
)
def test_times_are_in_words(seconds, text):
    assert duration(seconds) == text
