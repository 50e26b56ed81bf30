"""Logs of sampled probabilities: their bias and their error, against powers of a transition matrix and loops."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from forecast_examples import CHAINS, careers_of, enumerated_forecast, model_and_processor

from career_hf.careers import from_frame, truncate
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.changed_predictions import changed_predictions
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.jackknife import GROUPS, LEAST_LEFT, group_of, log_correction
from career_hf.rivals.markov import MarkovForOccupationPrediction


SAMPLES = 300
PEOPLE = 600
OCCUPATIONS = 150


@pytest.fixture(scope="module")
def sampled_chain():
    """A sampled forecast of a chain with many rare occupations, in which one stays with .45; logs of the powers of its
    transition matrix; and for each person and year an occupation that is drawn from them."""
    rng = np.random.default_rng(0)
    share = rng.permutation(1 / np.arange(1, OCCUPATIONS + 1))
    share /= share.sum()
    rows = []
    for person in range(1500):
        own = rng.choice(OCCUPATIONS, p=share)
        for year in range(1980, 1988):
            rows.append((person, year, f"o{own:03d}"))
            near = (own + rng.integers(1, 6)) % OCCUPATIONS
            own = rng.choice([own, near, rng.choice(OCCUPATIONS, p=share)], p=[0.45, 0.25, 0.3])
    careers = from_frame(pd.DataFrame(rows, columns=["person", "year", "occupation"]))
    processor = CareerProcessor.fit(careers, covariates=())
    model = MarkovForOccupationPrediction.fit(processor.encode(careers)[0], processor, first_order_weight=0.5)
    some = careers.select(range(PEOPLE))
    result = forecast(model, some, processor, horizon=3, samples=SAMPLES, exact_steps=1)
    size = len(processor.occupations)
    with torch.no_grad():
        matrix = model(torch.arange(size)[:, None]).logits[:, 0].double().exp().numpy()[2:, 2:]
    last = [processor.occupation_ids(career["occupation"])[-1] - 2 for career in some]
    powers = np.stack([np.linalg.matrix_power(matrix, h)[last] for h in (1, 2, 3)], axis=1)
    drawn = (powers.cumsum(-1) < rng.random((PEOPLE, 3, 1))).sum(-1).clip(max=size - 3)
    return result, np.log(powers), drawn


def test_corrected_logs_have_a_bias_below_a_thousandth(sampled_chain):
    """Of the mean over people, and over everything that may become of each."""
    result, logs, _ = sampled_chain
    raw = np.log(result.probability.astype(np.float64)) - logs
    second_order = raw + (result.standard_error / result.probability) ** 2 / 2
    corrected = raw + result.log_correction
    lost, half_left, left = (
        np.einsum("nhj,nhj->h", np.exp(logs), error) / PEOPLE for error in (raw, second_order, corrected)
    )
    assert abs(lost[0]) < 1e-6 and (result.log_correction[:, 0] == 0).all() and (result.log_error[:, 0] == 0).all()
    assert (lost[1:] < -0.008).all() and (np.abs(left) < 0.001).all()
    # Halving the squared error alone is not enough.
    assert (half_left[1:] < -0.0012).all()


def test_errors_are_those_of_means_over_people(sampled_chain):
    """Means over 20 people each are off by as much as is said of them, and 95% intervals hold the truth."""
    result, logs, drawn = sampled_chain
    at = (np.arange(PEOPLE)[:, None], np.arange(3), drawn)
    off = (np.log(result.probability.astype(np.float64)) + result.log_correction - logs)[at]
    stated = result.log_error[at].astype(np.float64)
    z = off.reshape(-1, 20, 3).sum(1)[:, 1:] / np.sqrt((stated**2).reshape(-1, 20, 3).sum(1))[:, 1:]
    # 60 of them: the standard error of the root mean square is .09, that of the share .03.
    assert 0.75 < np.sqrt((z**2).mean()) < 1.25 and (np.abs(z) < 1.96).mean() > 0.87


def loop(values):
    """Correction (second order) and error of the log of the mean of `values`, by leaving out groups."""

    def corrected(groups):
        everything = np.concatenate(groups).mean()
        left = [np.log(np.concatenate(groups[:g] + groups[g + 1 :]).mean()) for g in range(len(groups))]
        return len(groups) * np.log(everything) - (len(groups) - 1) * np.mean(left)

    groups = np.array_split(values, GROUPS)
    again = [corrected(groups[:g] + groups[g + 1 :]) for g in range(GROUPS)]
    one = [np.log(np.concatenate(groups[:g] + groups[g + 1 :]).mean()) for g in range(GROUPS)]
    two = [np.log(np.concatenate(left).mean()) for left in itertools.combinations(groups, GROUPS - 2)]
    second = GROUPS**2 * np.log(values.mean()) - 2 * (GROUPS - 1) ** 2 * np.mean(one)
    second = (second + (GROUPS - 2) ** 2 * np.mean(two)) / 2
    return second - np.log(values.mean()), np.sqrt((GROUPS - 1) * np.var(again))


def test_the_jackknife_is_that_of_a_loop():
    rng = np.random.default_rng(1)
    values = rng.gamma(0.5, size=(7, 120))
    group = group_of(torch.arange(120), 120).numpy()
    sums = np.stack([values[:, group == g].sum(1) for g in range(GROUPS)])[None] / 120
    relative = values.std(1, ddof=1) / np.sqrt(120) / values.mean(1)
    found = log_correction(torch.from_numpy(sums), torch.from_numpy(relative)[None], 120)
    expected = np.array([loop(own) for own in values]).T
    np.testing.assert_allclose(torch.cat(found).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("trajectories", [19, 120])
def test_where_few_trajectories_hold_everything_corrections_are_of_second_order(trajectories):
    """The jackknife of a log has no bound there: without them the probability is anything."""
    values = np.full(trajectories, 1e-9)
    values[0] = 1.0
    group = group_of(torch.arange(trajectories), trajectories).numpy()
    sums = np.array([[values[group == g].sum()] for g in range(GROUPS)]) / trajectories
    relative = torch.tensor([values.std(ddof=1) / np.sqrt(trajectories) / values.mean()])
    correction, error = log_correction(torch.from_numpy(sums), relative, trajectories)
    assert correction.item() == pytest.approx(0.5, abs=0.03) and error.item() == pytest.approx(1, abs=0.03)
    assert LEAST_LEFT < 1


def test_an_occupation_that_was_never_drawn_has_no_correction():
    sums = torch.zeros(GROUPS, 3, dtype=torch.float64)
    sums[:, 1] = 0.05
    correction, error = log_correction(sums, torch.tensor([0.0, 0.1, 0.0]), 40)
    assert correction[0] == correction[2] == 0 and error[0] == 0 and torch.isfinite(correction).all()


@pytest.mark.parametrize("name", CHAINS)
def test_chains_are_exact_without_enumeration(name):
    """Also of people with a single step, whose state has the beginning of the career in it."""
    model, processor = model_and_processor(name)
    careers = careers_of(people=6)
    for cutoff, years in itertools.product((1980, 1982), ([1983, 1984, 1985, 1986],)):
        some = truncate(careers, cutoff)[0].select(range(3))
        result = forecast(model, some, processor, years=years, samples=2)
        assert result.attrs["exact_steps"] == 4 and (result.standard_error == 0).all()
        for person, career in enumerate(some):
            marginal, _, _ = enumerated_forecast(model, processor, career, years)
            np.testing.assert_allclose(result.probability[person], marginal[:, 2:], atol=2e-6)
    paths = forecast(model, some, processor, years=years, samples=50, trajectories=True)
    np.testing.assert_array_equal(paths.probability, result.probability)
    assert paths.trajectories.count.sum() == 150


@pytest.mark.parametrize("name", CHAINS)
def test_changed_predictions_of_chains_are_forecast(name):
    model, processor = model_and_processor(name)
    careers = truncate(careers_of(people=6), 1982)[0].select(range(2))
    with changed_predictions(model, lambda log_probs, _: (0.5 * log_probs).log_softmax(-1)):
        result = forecast(model, careers, processor, years=[1983, 1984, 1985], exact_steps=3, samples=2)
        default = forecast(model, careers, processor, years=[1983, 1984, 1985], samples=100)
    np.testing.assert_allclose(default.probability, result.probability, atol=2e-6)


def test_steps_are_enumerated_where_that_asks_no_more_than_sampling():
    model, processor = model_and_processor("career")
    careers = truncate(careers_of(people=6), 1982)[0].select(range(2))
    for samples, exact in ((3, 1), (4, 2), (15, 2), (16, 3), (1000, 3)):
        result = forecast(model, careers, processor, horizon=3, samples=samples)
        assert result.attrs["exact_steps"] == exact
        assert (result.standard_error[:, :exact] == 0).all() and (result.standard_error[:, exact:] > 0).any() == (
            exact < 3
        )
    assert forecast(model, careers, processor, horizon=3, estimator="frequency").attrs["exact_steps"] == 1
