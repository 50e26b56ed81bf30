"""Deleted years: the estimate of the truth equals summing over everything that may have happened in them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import simulated_law

from career_hf.careers import to_frame, validate
from career_hf.evaluation.metrics import summarize
from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import TrueOccupationModel, martingale_z, preset, world_processor
from career_hf.simulation.filtering import Filter
from career_hf.simulation.law import Law
from career_hf.simulation.survey import Waves
from career_hf.simulation.thinning import _resample, thin, thinned_truth


ANNUAL = preset("tiny").with_survey(last_annual_year=1992, skipped=0.0)
SMALL = ANNUAL.with_world(occupations=5, families=2, recipes=1, types=3)


def relative_errors(thinned, exact, particles, replicates, seed=0):
    """`(steps, replicates)` errors of p(y_t), relative to p(y_t)."""
    estimated = thinned_truth(thinned, particles=particles, replicates=replicates, seed=seed)
    return estimated.replicates / exact[:, None] - 1


def by_person(thinned, errors):
    """Sums over each person's steps: filters of different people are independent, steps of one are not."""
    lengths = [len(years) for years in thinned.careers["year"][:]]
    return np.add.reduceat(errors, np.cumsum(lengths) - lengths, axis=0)


@pytest.fixture(scope="module")
def biennial():
    thinned = thin(ANNUAL.simulate(40, seed=1))
    reference = thinned_truth(thinned, particles=4000, replicates=2)
    assert reference.table["standard_error"].max() < 2e-3
    return thinned, np.exp(reference.table["log_prob"].to_numpy())


def enumerated(world, person, career, keep):
    """p*(y_t = j | observed past) at observed waves, and how many hidden pasts there are, from the equations."""
    years, levels, states = zip(*career, strict=True)
    is_observed = [year in keep for year in years]
    last = max(t for t, observed in enumerate(is_observed) if observed)
    choices = [[(levels[t], states[t])] if is_observed[t] else everything(world) for t in range(last + 1)]
    joint = {(): np.array(simulated_law.prior(world, person))}
    answers = []
    for t, year in enumerate(years[: last + 1]):
        predicted, following = np.zeros(world.num_states), {}
        for past, weights in joint.items():
            for level in sorted({level for level, _ in choices[t]}):
                p_level = [simulated_law.p_education(world, k, person, past, year, level) for k in range(len(weights))]
                with_level = weights * p_level
                if not with_level.any():
                    continue
                p = np.array([simulated_law.p_state(world, k, person, past, year, level) for k in range(len(weights))])
                predicted += with_level @ p
                for state in {state for at, state in choices[t] if at == level}:
                    if (with_level * p[:, state]).any():
                        following[(*past, (year, level, state))] = with_level * p[:, state]
        joint = following
        if is_observed[t]:
            answers.append(predicted / predicted.sum())
    return np.array(answers), len(joint)


def everything(world):
    return list(itertools.product(range(5), range(world.num_states)))


def plain(simulation):
    """Everybody as a Person and a list of (year, level, state)."""
    waves = Waves.of(simulation.careers, simulation.world)
    for i, length in enumerate(waves.lengths):
        people = waves.people
        person = simulated_law.Person(
            *(int(v[i]) for v in (people.birth_year, people.gender, people.race, people.region))
        )
        rows = zip(waves.years[i], waves.levels[i], waves.states[i], strict=True)
        yield person, [tuple(map(int, row)) for row in rows][:length]


def checked_against_enumeration(market, keep, people, particles, replicates, rtol):
    """Estimates of one person after another within 4 standard errors, or `rtol` where nothing is left to chance."""
    thinned = thin(market.simulate(people, seed=3), keep)
    world = thinned.simulation.world
    truth = thinned_truth(thinned, particles=particles, replicates=replicates)
    expected, stays, chosen = [], [], []
    for (person, career), observed in zip(plain(thinned.simulation), thinned.careers["occupation"][:], strict=True):
        p, _ = enumerated(world, person, career, keep)
        state = [world.labels.index(label) for label in observed]
        expected.append(p[np.arange(len(state)), state])
        stays.append(np.r_[np.nan, p[np.arange(1, len(state)), state[:-1]]])
        chosen.append(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=1))
    expected, stays, entropy = map(np.concatenate, (expected, stays, chosen))
    table, error = truth.table, np.exp(truth.table["log_prob"]) / expected - 1
    if rtol is not None:
        np.testing.assert_allclose(error, 0, atol=rtol)
        np.testing.assert_allclose(table["p_stay"], stays, rtol=rtol)
        np.testing.assert_allclose(table["entropy"], entropy, rtol=rtol)
        assert table["standard_error"].max() < rtol
    else:
        random = table["standard_error"] > 1e-9
        assert random.mean() > 0.2
        assert (np.abs(error[~random]) < 1e-9).all()
        z = error[random] / table["standard_error"][random]
        assert np.abs(z).max() < 4
        assert 0.5 < np.sqrt((z**2).mean()) < 1.6


def test_with_nothing_deleted_one_particle_is_the_exact_filter():
    simulation = ANNUAL.simulate(100)
    law, waves = Law(simulation.world), Waves.of(simulation.careers, simulation.world)
    thinned = thin(simulation, range(1979, 1993))
    assert thinned.careers.data.table.equals(simulation.careers.data.table)
    for particles in (1, 50):
        truth = thinned_truth(thinned, particles=particles, replicates=2)
        exact = []
        for i, length in enumerate(waves.lengths):
            filter_ = Filter(law, waves.people.take(np.array([i])))
            for t in range(length):
                filter_.observe_covariates(waves.years[[i], t], waves.levels[[i], t])
                exact.append(filter_.probabilities()[0, waves.states[i, t]])
                filter_.observe_occupation(waves.states[[i], t])
        np.testing.assert_allclose(truth.replicates, np.repeat(np.array(exact)[:, None], 2, axis=1), rtol=1e-9)
    floor_table = transition_table(
        TrueOccupationModel.of_world(simulation.world), simulation.careers, world_processor(simulation.world)
    )
    estimated = ["log_prob", "p_stay", "p_top"]
    more = ["standard_error", "entropy"]
    assert truth.table.drop(columns=[*estimated, *more]).equals(floor_table.drop(columns=estimated))
    np.testing.assert_allclose(truth.table[estimated], floor_table[estimated], rtol=1e-4)


@pytest.mark.parametrize("deleted", [1979, 1981])  # a first wave, and one between others
def test_with_one_deleted_year_it_equals_enumeration(deleted):
    market, keep = ANNUAL.with_survey(fewest_waves=4, most_waves=4), set(range(1979, 1993)) - {deleted}
    market = market.with_world(first_birth_year=1961)
    checked_against_enumeration(market, keep, 4, particles=10**6, replicates=2, rtol=1e-9)
    checked_against_enumeration(market, keep, 4, particles=12, replicates=100, rtol=None)


def test_with_years_in_a_row_deleted_it_equals_enumeration():
    market = SMALL.with_world(first_birth_year=1961).with_survey(fewest_waves=6, most_waves=6)
    checked_against_enumeration(market, {1979, 1982, 1984}, 6, particles=10**6, replicates=2, rtol=1e-9)
    checked_against_enumeration(market, {1979, 1982, 1984}, 6, particles=20, replicates=60, rtol=None)


def test_estimates_are_unbiased_and_their_error_falls_with_the_number_of_particles(biennial):
    thinned, exact = biennial
    spread = {}
    for particles in (50, 200):
        errors = by_person(thinned, relative_errors(thinned, exact, particles, 40))
        mean, variance = errors.mean(axis=1).sum(), errors.var(axis=1, ddof=1).sum()
        assert abs(mean) < 4 * np.sqrt(variance / 40)
        spread[particles] = np.sqrt(variance)
    # 1 / sqrt(particles) would be a half; keeping the weightiest with certainty makes it better than that.
    assert spread[200] < 0.5 * spread[50]


def test_the_standard_error_of_the_floor_is_the_spread_between_runs_and_the_bias_is_small_beside_it(biennial):
    thinned, exact = biennial
    runs = [thinned_truth(thinned, particles=30, replicates=4, seed=seed).summary() for seed in range(30)]
    perplexities, errors = ([run[name] for run in runs] for name in ("perplexity", "standard_error"))
    assert np.std(perplexities, ddof=1) == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=0.35)
    floor = np.exp(-np.log(exact).mean())
    assert abs(np.mean(perplexities) - floor) < 0.5 * np.mean(errors)
    assert all(0 < run["bias"] < run["standard_error"] for run in runs)


def test_the_estimate_passes_the_martingale_test():
    thinned = thin(ANNUAL.simulate(1000, seed=5))
    truth = thinned_truth(thinned, particles=100, replicates=2)
    for by in (None, "education", "year"):
        assert np.abs(martingale_z(truth.table, truth.table["entropy"].to_numpy(), by)).max() < 3.5
    assert summarize({"floor": truth.table}, draws=20)["people"].item() == len(thinned.careers)


def test_children_kept_have_weights_that_leave_every_sum_unbiased():
    rng = np.random.default_rng(0)
    career = np.array([0, 0, 0, 1])
    mass, guess = 0.05 + rng.random((2, 4, 9))
    mass[0, 3] = mass[1, 2] = 0
    mass[3, 4:] = 0
    draws = np.zeros((4000, *mass.shape))
    for draw in draws:
        parent, state, weight = _resample(mass, guess, career, 6, rng)
        assert np.bincount(career[parent]).tolist() == [6, 4]
        assert (np.diff(parent) >= 0).all()
        draw[parent, state] = weight
    np.testing.assert_array_equal(draws[:, 3], np.broadcast_to(mass[3], (4000, 9)))  # fewer children than places
    error = draws.std(axis=0) / np.sqrt(4000)
    assert (np.abs(draws.mean(axis=0) - mass) <= 5 * error + 1e-12).all()
    assert (error[:3] > 0).sum() > 10


def test_thinning_deletes_waves_and_nobody_else():
    simulation = ANNUAL.with_survey(fewest_waves=1, most_waves=3).simulate(200)
    before = to_frame(simulation.careers)
    assert to_frame(thin(simulation).careers).equals(before[before["year"] % 2 == 1].reset_index(drop=True))
    thinned = thin(simulation, {1980, 1981})
    validate(thinned.careers)
    expected = before[before["year"].isin({1980, 1981})].reset_index(drop=True)
    assert expected["person"].nunique() < 200
    assert to_frame(thinned.careers).equals(expected)
    assert thinned.simulation.careers["person"][:] == thinned.careers["person"][:]
    assert thinned.simulation.types["person"].tolist() == thinned.careers["person"][:]


def test_impossible_requests_are_refused():
    simulation = ANNUAL.simulate(5)
    with pytest.raises(ValueError, match="no wave is in a year to keep"):
        thin(simulation, [1900])
    with pytest.raises(ValueError, match="replicates at least 2"):
        thinned_truth(thin(simulation), replicates=1)
    with pytest.raises(ValueError, match="is not one of the world's"):
        Waves.of(preset("survey").simulate(5).careers, simulation.world)
    with pytest.raises(ValueError, match="lack the covariate 'race'"):
        Waves.of(simulation.careers.remove_columns("race"), simulation.world)
