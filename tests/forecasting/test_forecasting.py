"""The public function: what a forecast depends on, what it leaves alone, and what it refuses. That its numbers are
right is shown in `test_trajectories.py` and `test_forecasting_truth.py`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from forecast_examples import careers_of, model_and_processor

from career_hf.careers import from_frame, truncate
from career_hf.forecasting.forecast import forecast


@pytest.fixture(scope="module")
def careers():
    return truncate(careers_of(), 1982)[0]


@pytest.mark.parametrize("name", ["career", "regression"])
def test_one_step_ahead_is_the_models_own_probability(careers, name):
    model, processor = model_and_processor(name)
    ended = careers.filter(lambda career: career["year"][-1] == 1982).select(range(4))
    result = forecast(model, ended, processor, horizon=1, samples=10)
    assert (result.standard_error == 0).all() and result.probability.dtype == np.float32
    assert result.people == ended["person"] and (result.years == 1983).all()
    for person, career in enumerate(ended):
        # The model predicts a step whatever its occupation is said to be; covariates are carried forward.
        longer = career | {name: [*career[name], career[name][-1]] for name in ("occupation", "education")}
        batch = processor(longer | {"year": [*career["year"], 1983]})
        with torch.no_grad():
            expected = model(**batch).logits[0, -1, 2:].double().exp()
        np.testing.assert_allclose(result.probability[person], expected[None], atol=1e-6)


def test_probabilities_of_a_year_sum_to_one(careers):
    model, processor = model_and_processor("markov-2")
    result = forecast(model, careers, processor, horizon=3, samples=50)
    assert result.probability.shape == (len(careers), 3, 4)
    np.testing.assert_allclose(result.probability.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["career", "nemo", "markov-1"])
def test_a_forecast_depends_on_the_seed_and_not_on_company_or_batches(careers, name):
    model, processor = model_and_processor(name)
    wanted = {"horizon": 4, "samples": 100, "trajectories": True, "exact_steps": 1}
    everyone = forecast(model, careers, processor, seed=3, **wanted)
    own = everyone.trajectories.person == 7
    for batch_tokens in (1, 37, 100_000):
        alone = forecast(model, careers.select([7]), processor, seed=3, batch_tokens=batch_tokens, **wanted)
        np.testing.assert_allclose(alone.probability[0], everyone.probability[7], atol=1e-5)
        assert (alone.trajectories.occupation == everyone.trajectories.occupation[own]).all()
        assert (alone.trajectories.count == everyone.trajectories.count[own]).all()
    backwards = forecast(model, careers.select(range(len(careers))[::-1]), processor, seed=3, **wanted)
    np.testing.assert_allclose(backwards.probability[::-1], everyone.probability, atol=1e-5)
    other = forecast(model, careers.select([7]), processor, seed=4, **wanted)
    assert np.abs(other.probability[0] - everyone.probability[7]).max() > 1e-4


def test_a_longer_forecast_begins_like_a_shorter_one(careers):
    model, processor = model_and_processor("career")
    short, long = (forecast(model, careers, processor, horizon=horizon, samples=60) for horizon in (2, 4))
    np.testing.assert_allclose(short.probability, long.probability[:, :2], atol=1e-6)


@pytest.mark.parametrize("name", ["career", "nemo"])
def test_no_call_of_the_model_reads_more_than_batch_tokens(careers, monkeypatch, name):
    model, processor = model_and_processor(name)
    seen, forward = [], type(model).forward

    def watched(self, input_ids, **kwargs):
        seen.append(input_ids.numel())
        return forward(self, input_ids, **kwargs)

    monkeypatch.setattr(type(model), "forward", watched)
    forecast(model, careers.select(range(8)), processor, horizon=4, samples=100, batch_tokens=50)
    forecast(model, careers, processor, horizon=2, samples=2, batch_tokens=50)
    assert 40 < max(seen) <= 50


def test_what_agrees_is_asked_once(careers, monkeypatch):
    model, processor = model_and_processor("career")
    seen, forward = [], type(model).forward

    def watched(self, input_ids, **kwargs):
        seen.append(input_ids.numel())
        return forward(self, input_ids, **kwargs)

    monkeypatch.setattr(type(model), "forward", watched)
    result = forecast(model, careers.select([0]), processor, horizon=4, samples=1000, trajectories=True, exact_steps=1)
    paths = result.trajectories.occupation
    prefixes = [len(np.unique(paths[:, : step + 1], axis=0)) for step in range(3)]
    assert seen == [len(careers[0]["year"]) + 1, *prefixes]


def test_the_model_is_left_as_it_was_also_after_an_error(careers, monkeypatch):
    model, processor = model_and_processor("career")
    model.train()
    model.set_attn_implementation("eager")
    forecast(model, careers.select([0]), processor, horizon=2, samples=5)
    assert model.training and model.config._attn_implementation == "eager"
    monkeypatch.setattr(model.model, "forward", lambda **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        forecast(model, careers.select([0]), processor, horizon=2, samples=5)
    assert model.training and model.config._attn_implementation == "eager"


def test_a_model_in_half_precision_forecasts_the_same_to_its_precision(careers):
    model, processor = model_and_processor("career")
    full = forecast(model, careers, processor, horizon=3, samples=200)
    half = forecast(model.to(torch.bfloat16), careers, processor, horizon=3, samples=200)
    np.testing.assert_allclose(half.probability.sum(-1), 1, atol=1e-5)
    difference = np.abs(half.probability - full.probability)
    assert 0 < difference.mean() < 0.02 and difference[:, 0].max() < 0.1


def test_the_result_says_how_it_was_made(careers):
    model, processor = model_and_processor("career")
    result = forecast(
        model, careers, processor, years=[1983, 1985, 1989], samples=20, exact_steps=2, estimator="frequency", seed=5
    )
    assert result.attrs == {
        "samples": 20,
        "seed": 5,
        "estimator": "frequency",
        "exact_steps": 2,
        "step": "observation",
        "step_length": 1,
        "gap_covariate": None,
        "years_placed_at": {1985: 1984, 1989: 1984},
        "covariates": "last",
        "carried_forward": {"education": 3 * len(careers)},
        "advanced": {},
        "unknown_occupation": None,
    }
    assert result.to_frame().attrs == result.attrs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither is given: give horizon=, the number of years ahead, or years="),
        ({"horizon": 1, "years": [1990]}, "both are given: give horizon="),
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"horizon": 1, "samples": 1}, "samples must be at least 2"),
        ({"horizon": 1, "estimator": "median"}, "estimator must be one of .*'frequency'.* not 'median'"),
        ({"horizon": 1, "covariates": "future"}, r"covariates must be one of \('last', 'realised'\), or .* 'future'"),
        ({"horizon": 1, "covariates": "realised"}, "covariates='realised' .* give cutoff="),
        ({"horizon": 1, "step": "year"}, "step of .*'interval'.*'year'"),
        ({"horizon": 12, "exact_steps": 11}, "4 occupations have 1,048,576 paths to step 11"),
        ({"years": []}, "at least one"),
        ({"years": [1985, 1984]}, "must increase"),
        (
            {"years": [1982, 1984]},
            r"person 'p00' is observed in 1982, so 1982 is not ahead; .*truncate\(careers, 1981",
        ),
    ],
)
def test_requests_that_make_no_sense_are_errors(careers, arguments, message):
    model, processor = model_and_processor("markov-1")
    with pytest.raises(ValueError, match=message):
        forecast(model, careers, processor, **arguments)


def test_a_processor_of_another_model_is_an_error(careers):
    model, _ = model_and_processor("markov-1")
    _, processor = model_and_processor("career")
    with pytest.raises(ValueError, match="covariate_names"):
        forecast(model, careers, processor, horizon=1)


def test_nobody_to_forecast_is_an_error(careers):
    model, processor = model_and_processor("markov-1")
    with pytest.raises(ValueError, match="nobody qualifies"):
        forecast(model, careers.select([]), processor, horizon=1)


def test_an_unknown_level_in_a_career_is_an_error_or_missing():
    model, processor = model_and_processor("career")
    one = {"person": ["z"], "year": [1981], "occupation": ["cook"], "education": ["99"], "race": ["a"]}
    career = from_frame(one, covariates=["education"], static=["race"])
    with pytest.raises(ValueError, match="'99' of covariate 'education'"):
        forecast(model, career, processor, horizon=1)
    known = from_frame(one | {"education": [None]}, covariates=["education"], static=["race"])
    as_missing = forecast(model, career, processor, horizon=1, unknown_levels="missing")
    expected = forecast(model, known, processor, horizon=1)
    assert (as_missing.probability == expected.probability).all()
