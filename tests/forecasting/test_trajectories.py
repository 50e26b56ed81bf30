"""Sampled trajectories are those of sampling each by itself, from any model, and their law is the model's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from forecast_examples import LABELS, MODELS, careers_of, cut, enumerated_forecast, model_and_processor, naive_forecast
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from career_hf.forecasting import trajectories
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.shared_prefix import Continuations
from career_hf.forecasting.trajectories import draw


YEARS = [1983, 1984, 1988]


def with_repeats(forecast_, person):
    """All trajectories of a person, each as often as it was drawn, sorted; places in `occupations`."""
    paths = forecast_.trajectories
    own = paths.person == person
    return np.repeat(paths.occupation[own], paths.count[own], axis=0)


@pytest.mark.parametrize("name", MODELS)
def test_trajectories_are_those_of_the_naive_loop(name):
    """Draw for draw: whatever is shared or computed once, a trajectory takes the steps that it takes alone."""
    model, processor = model_and_processor(name)
    careers = cut(careers_of())
    ours = forecast(model, careers, processor, years=YEARS, samples=60, seed=3, trajectories=True, exact_steps=1)
    for person, career in enumerate(careers):
        mean, drawn = naive_forecast(model, processor, career, YEARS, samples=60, seed=3)
        np.testing.assert_allclose(ours.probability[person], mean[:, 2:], atol=1e-5)
        expected = drawn[np.lexsort(drawn.T[::-1])] - 2
        assert with_repeats(ours, person).tolist() == expected.tolist()


@pytest.mark.parametrize("name", MODELS)
def test_enumerated_steps_are_exact(name):
    model, processor = model_and_processor(name)
    careers = cut(careers_of(), people=3)
    exact = forecast(model, careers, processor, years=YEARS, samples=2, exact_steps=3)
    some = forecast(model, careers, processor, years=YEARS, samples=200, exact_steps=2)
    assert (exact.standard_error == 0).all() and (some.standard_error[:, :2] == 0).all()
    assert (some.standard_error[:, 2] > 0).any()
    for person, career in enumerate(careers):
        marginal, _, _ = enumerated_forecast(model, processor, career, YEARS)
        np.testing.assert_allclose(exact.probability[person], marginal[:, 2:], atol=2e-6)
        np.testing.assert_allclose(some.probability[person, :2], marginal[:2, 2:], atol=2e-6)


def p_value_of_paths(name, samples=20_000, **kwargs):
    """Chi-square test of three sampled steps against the law of all 64 paths, for three people together."""
    model, processor = model_and_processor(name)
    careers = cut(careers_of(), people=3)
    drawn = forecast(model, careers, processor, years=YEARS, samples=samples, trajectories=True, **kwargs)
    observed, expected = [], []
    for person, career in enumerate(careers):
        _, paths, law = enumerated_forecast(model, processor, career, YEARS)
        own = drawn.trajectories.person == person
        cells = drawn.trajectories.occupation[own] @ [16, 4, 1]
        count = np.zeros(64)
        count[cells] = drawn.trajectories.count[own]
        rare = law[np.argsort((paths - 2) @ [16, 4, 1])] * samples
        likely = rare > 10
        observed += [*count[likely], count[~likely].sum() + 1e-9]
        expected += [*rare[likely], rare[~likely].sum() + 1e-9]
    observed, expected = np.array(observed), np.array(expected)
    return chisquare(observed, expected / expected.sum() * observed.sum(), ddof=2).pvalue


@pytest.mark.parametrize("name", ["career", "career-one-stage", "regression", "markov-2"])
@pytest.mark.parametrize("exact_steps", [1, 2])
def test_paths_have_the_models_law(name, exact_steps):
    assert p_value_of_paths(name, exact_steps=exact_steps) > 1e-3


def test_the_chi_square_test_finds_planted_biases(monkeypatch):
    def too_sure(p, *args):
        return draw((p**1.1) / (p**1.1).sum(-1, keepdim=True), *args)

    def too_many_stays(p, previous, rows, uniforms):
        return draw(p, previous, rows, uniforms * 0.97)

    for bias in (too_sure, too_many_stays):
        with monkeypatch.context() as patch:
            patch.setattr(trajectories, "draw", bias)
            assert p_value_of_paths("career") < 1e-6

    branch = Continuations.branch

    def from_the_wrong_path(self, parents):
        right = branch(self, parents)
        right.ancestors = [(states, places.roll(1)) for states, places in right.ancestors]
        return right

    with monkeypatch.context() as patch:
        patch.setattr(Continuations, "branch", from_the_wrong_path)
        assert p_value_of_paths("career") < 1e-6


@pytest.mark.parametrize("estimator", ["conditional", "frequency"])
@pytest.mark.parametrize("exact_steps", [0, 1, 2])
def test_standard_errors_are_those_of_many_forecasts(estimator, exact_steps):
    model, processor = model_and_processor("career")
    careers = cut(careers_of(), people=1)
    # Many people with the same career, who have random numbers of their own.
    clones = careers.select([0] * 400).remove_columns("person").add_column("person", [str(i) for i in range(400)])
    settings_ = {"years": YEARS, "samples": 40, "estimator": estimator, "exact_steps": exact_steps}
    runs = forecast(model, clones, processor, **settings_)
    exact, _, _ = enumerated_forecast(model, processor, careers[0], YEARS)
    sampled = 1 if estimator == "conditional" and exact_steps == 0 else exact_steps
    np.testing.assert_allclose(runs.probability[:, :sampled], np.tile(exact[:sampled, 2:], (400, 1, 1)), atol=2e-6)
    stated = np.sqrt((runs.standard_error**2).mean(0))[sampled:]
    errors = runs.probability[:, sampled:] - exact[sampled:, 2:]
    # A standard deviation of 400 is known to 4%; the largest of 12 deviates by less than 4 times that.
    np.testing.assert_allclose(np.sqrt((errors**2).mean(0)), stated, rtol=0.15)
    assert np.abs(errors.mean(0) / (stated / 20)).max() < 4


def test_conditional_probabilities_have_the_smaller_error():
    model, processor = model_and_processor("career")
    careers = cut(careers_of(), people=4)
    conditional, frequency = (
        forecast(model, careers, processor, years=YEARS, estimator=estimator)
        for estimator in ("conditional", "frequency")
    )
    assert conditional.standard_error[:, 1:].mean() < 0.7 * frequency.standard_error[:, 1:].mean()
    assert (conditional.probability[:, 0] == frequency.probability[:, 0]).all()


def test_frequencies_are_those_of_the_trajectories():
    model, processor = model_and_processor("nemo")
    careers = cut(careers_of(), people=4)
    result = forecast(
        model, careers, processor, years=YEARS, samples=70, estimator="frequency", exact_steps=0, trajectories=True
    )
    for person in range(len(careers)):
        drawn = with_repeats(result, person)
        assert len(drawn) == 70
        shares = np.stack([np.bincount(step, minlength=4) / 70 for step in drawn.T])
        np.testing.assert_allclose(result.probability[person], shares, atol=1e-7)
        np.testing.assert_allclose(result.standard_error[person], np.sqrt(shares * (1 - shares) / 69), atol=1e-7)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), paths=st.integers(1, 5), size=st.integers(2, 30), zeros=st.floats(0, 0.8))
def test_evenly_spaced_numbers_draw_every_occupation_as_often_as_its_probability_says(seed, paths, size, zeros):
    rng = np.random.default_rng(seed)
    p = rng.gamma(0.3, size=(paths, size)) * (rng.random((paths, size)) > zeros)
    p[:, rng.integers(size)] += 1e-3
    p = torch.from_numpy(p / p.sum(1, keepdims=True)).float()
    previous = torch.from_numpy(rng.integers(0, size, paths))
    numbers = 2_000
    rows = torch.arange(paths).repeat_interleave(numbers)
    uniforms = ((torch.arange(numbers, dtype=torch.float64) + 0.5) / numbers).repeat(paths)
    drawn = draw(p, previous, rows, uniforms)
    share = torch.zeros(paths, size).index_put((rows, drawn), torch.tensor(1 / numbers), accumulate=True)
    assert (share - p).abs().max() < 1.1 / numbers
    assert (p[rows, drawn] > 0).all()
    assert (drawn[uniforms == 0.5 / numbers] == previous)[p[torch.arange(paths), previous] > 1 / numbers].all()


def test_labels_are_in_the_order_of_ids():
    model, processor = model_and_processor("markov-1")
    result = forecast(model, cut(careers_of(), 1), processor, horizon=1)
    assert result.occupations == processor.occupations[2:] and sorted(result.occupations) == sorted(LABELS)
