"""Scores of people whom a model was trained on, forecasts of years that it was trained on, and predictions that are no
probabilities, are noticed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import DatasetDict

import career_hf
from career_hf.careers import from_frame, split_careers, to_frame, truncate
from career_hf.encoding import training_history
from career_hf.encoding.training_history import people_trained_on, record_careers, round_stage
from career_hf.evaluation.changed_predictions import changed_predictions
from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import preset


@pytest.fixture(scope="module")
def careers():
    return preset("tiny").simulate(120, seed=2).careers


@pytest.fixture(scope="module")
def trained(careers):
    """A chain trained on 60 people."""
    splits = {"train": careers.select(range(60)), "validation": careers.select(range(60, 80))}
    return career_hf.train(DatasetDict(splits), model="markov-1")


def test_scoring_people_who_were_trained_on_is_said(careers, trained, monkeypatch):
    warnings = []
    monkeypatch.setattr("career_hf.evaluation.transition_table.logger.warning_once", warnings.append)
    seen = career_hf.evaluate({"chain": trained}, careers.select(range(50, 90)), draws=5)
    assert seen.ledger.notes == [f"chain: {warnings[0]}"] and "trained on 10 of the 40 people" in warnings[0]
    assert f"note: chain: {warnings[0]}" in str(seen.ledger)
    unseen = career_hf.evaluate({"chain": trained}, careers.select(range(60, 90)), draws=5)
    assert unseen.ledger.notes == [] and len(warnings) == 1


def test_a_forecast_of_all_splits_says_that_it_is_of_everybody(careers, monkeypatch):
    splits = split_careers(careers)
    chain = career_hf.train(splits, model="markov-1")
    warnings = []
    monkeypatch.setattr("career_hf.forecasting.forecast.logger.warning_once", warnings.append)
    assert len(career_hf.forecast(chain, splits, horizon=1, samples=10).people) == 120
    assert "everybody in the splits ['train', 'validation', 'test'] is forecast" in warnings[0]
    assert len(career_hf.forecast(chain, splits, horizon=1, samples=10, split="test").people) == len(splits["test"])
    assert len(career_hf.forecast(chain, careers, horizon=1, samples=10).people) == 120 and len(warnings) == 1


def test_labels_of_another_coding_are_refused_and_not_scored_as_unknown_ones(careers, trained):
    frame = to_frame(careers)
    other = from_frame(frame.assign(occupation="isco " + frame["occupation"].astype(str)))
    for verb in (career_hf.transition_table, career_hf.forecast):
        with pytest.raises(ValueError, match="no occupation of these careers is known to the model: they have 'isco"):
            verb(trained, other, **({"horizon": 1, "samples": 10} if verb is career_hf.forecast else {}))
    with pytest.raises(ValueError, match="model 'chain': no occupation of these careers is known to the model"):
        career_hf.evaluate({"chain": trained}, other, draws=5)
    is_other = frame["person"] == careers["person"][2]
    partly = from_frame(frame.assign(occupation=frame["occupation"].astype(str).mask(is_other, "isco")))
    table = career_hf.transition_table(trained, partly)
    assert table.loc[is_other.to_numpy(), "unknown"].all() and not table["unknown"].all()


@pytest.mark.parametrize(
    "metric",
    [
        lambda table: career_hf.perplexity(table),
        lambda table: career_hf.perplexity_by(table, "year"),
        lambda table: career_hf.summarize({"chain": table}),
        lambda table: career_hf.summarize({"chain": [table]}),
        lambda table: career_hf.perplexity_differences({"a": table, "b": table}, "a"),
        lambda table: career_hf.audit(table, "year"),
    ],
)
def test_a_table_of_careers_is_no_transition_table(careers, metric):
    with pytest.raises(ValueError, match=r"has columns \['person', .*and is no transition table, .* 'log_prob'"):
        metric(to_frame(careers))


def test_columns_that_a_transition_table_does_not_have_are_named(careers, trained):
    table = career_hf.transition_table(trained, careers.select(range(90, 100)))
    with pytest.raises(ValueError, match="has no column 'sex', only"):
        career_hf.perplexity_by(table, ["year", "sex"])
    with pytest.raises(ValueError, match="weighted=True, but the table has no column 'weight'"):
        career_hf.perplexity(table.drop(columns="weight"), weighted=True)


def test_people_are_found_after_another_split_with_later_years_and_in_a_saved_folder(careers, tmp_path):
    early = truncate(careers.select(range(60)), 1983)[0]
    career_hf.train(
        DatasetDict({"train": early, "validation": early.select(range(9))}), model="markov-1", output=tmp_path
    )
    stages = career_hf.load_checkpoint(tmp_path)[1].training_stages
    assert stages[-1]["last_year"] == max(year for career in early["year"] for year in career)
    test = split_careers(careers, salt="another")["test"]
    expected = len(set(test["person"]) & set(early["person"]))
    everybody = {person for person, years in zip(test["person"], test["year"], strict=True) if years[0] <= 1983}
    assert expected > 5 and people_trained_on(stages, test) == (expected, len(everybody))


def test_other_people_with_the_same_identifiers_are_not_taken_for_them(careers, trained):
    others = preset("tiny").simulate(120, seed=3).careers
    assert set(others["person"]) == set(careers["person"])
    seen, compared = people_trained_on(trained.processor.training_stages, others)
    assert seen == 0 and compared == 120


def test_of_very_many_people_some_are_looked_for(careers, monkeypatch):
    monkeypatch.setattr(training_history, "MOST_HASHES", 20)
    monkeypatch.setattr(training_history, "PEOPLE_AT_ONCE", 7)
    stage = {"stage": "training"}
    record_careers(stage, careers.select(range(80)))
    seen, compared = people_trained_on([stage], careers)
    # Everybody whose hash is small enough is looked for, and only those who were in training are found.
    assert seen == 20 and 20 < compared < 60
    note = career_hf.CareerProcessor(training_stages=[])
    assert people_trained_on(note.training_stages, careers) == (0, 0)


def test_what_is_published_names_nobody(trained):
    stage = trained.processor.training_stages[-1]
    assert "people_hashes" in stage
    for k in (1, 5):
        assert (
            "people_hashes" not in round_stage(stage, k) and round_stage(stage, k)["last_year"] == stage["last_year"]
        )
    with pytest.raises(ValueError, match="people_hashes of training stage 'training' are damaged"):
        people_trained_on(
            [{**stage, "people_hashes": "?"}], from_frame({"person": [1], "year": [1], "occupation": ["a"]})
        )


def test_a_chain_does_not_forecast_years_that_it_was_trained_on(careers, trained):
    last = int(to_frame(careers.select(range(60)))["year"].max())
    assert trained.processor.time_covariate is None
    with pytest.raises(
        ValueError, match=f"trained on years up to {last}, so nothing after {last - 2} would be a forec"
    ):
        career_hf.evaluate_forecast(trained, careers, cutoff=last - 2)


def test_that_nothing_is_known_of_the_years_in_training_is_said(careers, trained):
    processor = career_hf.CareerProcessor(**{**trained.processor.__dict__, "training_stages": []})
    options = {"cutoff": 1983, "years": [1984], "samples": 5, "draws": 5}
    result = career_hf.evaluate_forecast((trained.model, processor), careers, **options)
    assert any("does not record which years it was trained on" in note for note in result.ledger.notes)
    stages = [{"stage": name, "last_year": year} for name, year in (("pretraining", 1990), ("finetuning", 1983))]
    counts = {name: trained.processor.training_stages[-1][name] for name in ("occupation_counts", "covariate_counts")}
    processor.training_stages = [stage | counts for stage in stages]
    result = career_hf.evaluate_forecast((trained.model, processor), careers, **options)
    assert result.ledger.notes[-1] == "earlier stages of training saw years after 1983: 'pretraining' up to 1990"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log_probs, _: log_probs + 1, "sum to 2.71828"),
        (lambda log_probs, _: log_probs - 0.1, "sum to 0.904"),
        (lambda log_probs, _: log_probs * torch.nan, "sum to nan"),
        (lambda log_probs, _: log_probs.exp(), "no probabilities"),
    ],
)
def test_what_a_model_predicts_are_log_probabilities(careers, trained, change, message):
    with changed_predictions(trained.model, change):
        with pytest.raises(ValueError, match=message):
            transition_table(trained.model, careers, trained.processor, unknown_levels="missing")
        with pytest.raises(ValueError, match=message):
            career_hf.forecast(trained, careers.select(range(3)), horizon=2, samples=5)
    assert np.isfinite(transition_table(trained.model, careers, trained.processor)["log_prob"]).all()
