"""The filter is exact: it equals enumeration, it passes the martingale test, and wrong filters do not."""

from __future__ import annotations

import numpy as np
import pytest
import simulated_law
from scipy.stats import kstest

from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import TrueOccupationModel, expectations, martingale_z, preset, world_processor
from career_hf.simulation.filtering import Filter


@pytest.fixture(scope="module")
def simulation():
    return preset("tiny").simulate(4000, seed=7)


def z_of(model, careers, world, by=None):
    processor = world_processor(world)
    table = transition_table(model, careers, processor)
    return martingale_z(table, expectations(model, careers, processor)["entropy"].to_numpy(), by).to_numpy()


def test_filter_equals_summing_whole_careers_over_types(simulation):
    world, processor = simulation.world, world_processor(simulation.world)
    longest = np.argsort([-len(years) for years in simulation.careers["year"]])[:5]
    levels = world.covariate_levels
    for career in simulation.careers.select(longest):
        codes = {name: levels[name].index(career[name]) for name in ("gender", "race", "region")}
        person = simulated_law.Person(int(career["birth_year"]), **codes)
        waves = [
            (year, levels["education"].index(level), world.labels.index(state))
            for year, level, state in zip(career["year"], career["education"], career["occupation"], strict=True)
        ]
        logits = TrueOccupationModel.of_world(world)(**processor(career)).logits[0].numpy()
        assert (logits[:, :2] == -1e4).all()
        np.testing.assert_allclose(np.exp(logits[:, 2:]), simulated_law.p_true(world, person, waves), rtol=1e-5)


def test_true_probabilities_pass_the_martingale_test_in_twenty_worlds():
    z = []
    for seed in range(20):
        sample = preset("tiny").with_world(seed=seed).simulate(seed=seed)
        z += z_of(TrueOccupationModel.of_world(sample.world), sample.careers, sample.world).tolist()
    assert max(np.abs(z)) < 4
    assert kstest(z, "norm").pvalue > 0.01
    assert 0.5 < np.std(z, ddof=1) < 1.6


class IgnoresFirstEducation(Filter):
    def learn(self, likelihood, what):
        if what != "education" or (self.history.previous >= 0).all():
            super().learn(likelihood, what)


class StaleWeights(Filter):
    """Learns from every occupation one wave late."""

    late = None

    def learn(self, likelihood, what):
        if what == "education":
            return super().learn(likelihood, what)
        if self.late is not None:
            super().learn(self.late, what)
        self.late = likelihood

    def take(self, rows):
        filter_ = super().take(rows)
        filter_.late = None if self.late is None else self.late[rows]
        return filter_


class ThinksWavesAreAnnual(Filter):
    def observe_covariates(self, year, education):
        last = self.history.year
        self.history.year = np.where(last > 0, year - 1, last)
        super().observe_covariates(year, education)


@pytest.mark.parametrize(
    ("wrong", "by"), [(IgnoresFirstEducation, "education"), (StaleWeights, None), (ThinksWavesAreAnnual, None)]
)
def test_a_wrong_filter_fails_the_martingale_test(simulation, wrong, by):
    model = TrueOccupationModel.of_world(simulation.world)
    assert max(abs(z_of(model, simulation.careers, simulation.world, by))) < 3
    model.filter_class = wrong
    assert max(abs(z_of(model, simulation.careers, simulation.world, by))) > 4


def test_errors_that_cancel_over_all_steps_show_in_groups(simulation):
    model = TrueOccupationModel.of_world(simulation.world)
    model.filter_class = IgnoresFirstEducation
    assert abs(z_of(model, simulation.careers, simulation.world)[0]) < 3


def test_impossible_education_and_years_that_do_not_increase_are_errors(simulation):
    world, processor = simulation.world, world_processor(simulation.world)
    model = TrueOccupationModel.of_world(world)
    career = {
        "year": [1980, 1981],
        "occupation": [world.labels[0]] * 2,
        "education": ["college", "high_school"],
        "region": "west",
        "race": "non_black_non_hispanic",
        "gender": "female",
        "birth_year": "1960",
    }
    with pytest.raises(ValueError, match="cannot happen"):
        model(**processor(career))
    career["education"] = "college"
    batch = processor(career)
    batch["covariates"][:, 1] = batch["covariates"][:, 0]
    with pytest.raises(ValueError, match="years must increase"):
        model(**batch)
    batch = processor(career | {"education": None})
    with pytest.raises(ValueError, match="'education' is missing"):
        model(**batch)
