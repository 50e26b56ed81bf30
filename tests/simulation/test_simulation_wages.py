"""Wages follow the law of `docs/explanation/simulated_wages.md`, and what is said to be true of them is."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import simulated_law
from replication.wage_gap import NO_GENDER

from career_hf.careers import to_frame, validate
from career_hf.occupations.labels import GENDERS
from career_hf.simulation import (
    WageConfig,
    WageLaw,
    draw_wages,
    preset,
    type_posteriors,
    wage_features,
    wage_summary,
    wage_truth,
)
from career_hf.simulation import wages as module


# Few occupations and many moves, so that recipes are completed, and careers that say much about types.
MARKET = preset("tiny").with_world(
    occupations=9,
    families=3,
    recipes=3,
    taste=1.5,
    skill_sd=1.0,
    family_sd=0.3,
    stay_occupation=-3.0,
    return_strength=0.5,
)


@pytest.fixture(scope="module")
def simulation():
    return draw_wages(MARKET.simulate(4000, seed=3), seed=3)


@pytest.fixture(scope="module")
def truth(simulation):
    return wage_truth(simulation.careers, simulation.world)


def person_of(career, world):
    levels = world.covariate_levels
    codes = {name: levels[name].index(career[name]) for name in ("gender", "race", "region")}
    waves = [
        (year, levels["education"].index(level), world.labels.index(state))
        for year, level, state in zip(career["year"], career["education"], career["occupation"], strict=True)
    ]
    return simulated_law.Person(int(career["birth_year"]), **codes), waves


def observed_wage(law, world, c, waves):
    """The wage law once more, without gender, type and noise; waves are (year, education, state) up to now."""
    _, education, occupation = waves[-1]
    states = [state for _, _, state in waves]
    jobs = [state for state in states if state < world.config.occupations]
    first = states.index(jobs[0])
    gaps = sum(state >= world.config.occupations for state in states[first:])
    run = 0
    for state in reversed(jobs):
        if world.family[state] != world.family[occupation]:
            break
        run += 1
    wage = c.level + law.occupation[occupation] + c.education * education + c.gaps * gaps
    wage += c.experience * len(jobs) + c.experience_squared * len(jobs) ** 2 + c.family_run * math.log(1 + run)
    return wage + c.recipe * any(set(recipe) <= set(jobs) for recipe in world.recipes.tolist())


@pytest.mark.parametrize("name", ["tiny", "market", "kw"])
def test_wages_without_noise_are_those_of_the_law_in_plain_python(name):
    market, config = MARKET if name == "market" else preset(name), WageConfig(noise=0.0)
    simulation = draw_wages(market.simulate(150, seed=1), config)
    world, law = simulation.world, WageLaw.of_world(simulation.world, config)
    recipes = 0
    for career, type_ in zip(simulation.careers, simulation.types["type"], strict=True):
        _, waves = person_of(career, world)
        for t, wage in enumerate(career["log_wage"]):
            if waves[t][2] >= world.config.occupations:
                assert wage is None
                continue
            expected = observed_wage(law, world, config, waves[: t + 1])
            expected += law.type_effect[type_] + config.female * (career["gender"] == "female")
            assert wage == pytest.approx(expected, abs=1e-12)
        states_held = {state for _, _, state in waves}
        recipes += any(set(recipe) <= states_held for recipe in world.recipes.tolist())
    assert recipes > 0 or name != "market"


def test_wages_are_an_outcome_and_leave_careers_as_they_are():
    plain = preset("tiny").simulate(seed=4)
    first, again, other = (draw_wages(plain, seed=seed) for seed in (0, 0, 1))
    validate(first.careers)
    assert first.careers.remove_columns("log_wage").data.table.equals(plain.careers.data.table)
    assert first.careers.data.table.equals(again.careers.data.table)
    wages, others = (to_frame(s.careers)["log_wage"] for s in (first, other))
    worked = to_frame(plain.careers)["occupation"].isin(plain.world.labels[:-3])
    np.testing.assert_array_equal(wages.notna(), worked)
    # Only the noise differs.
    assert (wages - others).std() == pytest.approx(0.35 * math.sqrt(2), rel=0.1)
    assert wage_features(plain.careers, plain.world).equals(wage_features(first.careers, plain.world))


def test_levels_and_effects_belong_to_the_seed_of_the_world():
    base = WageLaw.of_world(MARKET.simulate(1).world)
    assert base.type_effect.mean() == pytest.approx(0)
    assert base.type_effect.std() == pytest.approx(0.25)
    for numbers, same in ({"type_gender_sd": 0.0}, True), ({"seed": 1}, False):
        law = WageLaw.of_world(MARKET.with_world(**numbers).simulate(1).world)
        assert np.array_equal(law.type_effect, base.type_effect) == same
        assert np.array_equal(law.occupation, base.occupation) == same
    assert WageLaw.of_world(MARKET.with_world(types=1).simulate(1).world).type_effect.tolist() == [0.0]


def test_truth_equals_summing_whole_careers_over_types(simulation, truth):
    world = simulation.world
    law, rows = WageLaw.of_world(world), truth.set_index(["person", "year"])
    longest = np.argsort([-len(years) for years in simulation.careers["year"]])[:6]
    for career in simulation.careers.select(longest):
        person, waves = person_of(career, world)
        mean, square = {}, {}
        for person.gender in (0, 1):
            joint = np.array(simulated_law.prior(world, person))
            for t, (year, level, state) in enumerate(waves):
                for k in range(world.config.types):
                    joint[k] *= simulated_law.p_education(world, k, person, waves[:t], year, level)
                    joint[k] *= simulated_law.p_state(world, k, person, waves[:t], year, level)[state]
                mean[person.gender, t] = joint @ law.type_effect / joint.sum()
                square[person.gender, t] = joint @ law.type_effect**2 / joint.sum()
        gender = GENDERS.index(career["gender"])
        for t, (year, _, state) in enumerate(waves):
            if state >= world.config.occupations:
                continue
            row = rows.loc[(career["person"], year)]
            observed = observed_wage(law, world, law.config, waves[: t + 1])
            assert row["expected"] == pytest.approx(observed + law.config.female * gender + mean[gender, t])
            assert row["variance"] == pytest.approx(0.35**2 + square[gender, t] - mean[gender, t] ** 2)
            assert row["gap"] == pytest.approx(law.config.female + mean[1, t] - mean[0, t])
            assert row["log_wage"] == career["log_wage"][t]


def z_of(error, person):
    """Mean over rows divided by its standard error clustered by person."""
    of_people = error.groupby(person).sum()
    return of_people.sum() / np.sqrt((of_people**2).sum())


@pytest.mark.parametrize("by", ["all", "female", "education", "experience"])
def test_wages_are_on_average_what_is_expected_of_them_and_vary_as_said(truth, by):
    error = truth["log_wage"] - truth["expected"]
    for _, rows in truth.assign(all=0).groupby(by):
        assert abs(z_of(error[rows.index], rows["person"])) < 4
        assert abs(z_of(error[rows.index] ** 2 - rows["variance"], rows["person"])) < 4


def test_reading_women_as_men_is_found_out():
    """The flip of gender is no detail: with everybody's posterior a man's, women's wages are not as expected."""
    # Types depend much on gender and little of them shows in careers.
    sharp = draw_wages(MARKET.with_world(type_gender_sd=3.0, taste=0.5).simulate(4000, seed=3))
    men = type_posteriors(sharp.careers, sharp.world, "male")
    right = wage_truth(sharp.careers, sharp.world)
    wrong = wage_truth(sharp.careers, sharp.world, posteriors={"male": men, "female": men})
    women = right["female"] == 1
    z = [z_of((t["log_wage"] - t["expected"])[women], t["person"][women]) for t in (right, wrong)]
    assert abs(z[0]) < 4 < abs(z[1])


def test_posteriors_do_not_depend_on_blocks_and_gender_is_the_only_thing_that_is_flipped(simulation, monkeypatch):
    careers, world = simulation.careers.select(range(300)), simulation.world
    recorded, men, women = (type_posteriors(careers, world, gender) for gender in (None, *GENDERS))
    np.testing.assert_allclose(recorded.sum(axis=1), 1)
    is_woman = to_frame(careers)["gender"].to_numpy() == "female"
    np.testing.assert_array_equal(recorded, np.where(is_woman[:, None], women, men))
    assert np.abs(men - women).max() > 0.05
    monkeypatch.setattr(module, "BLOCK", 70)
    np.testing.assert_allclose(type_posteriors(careers, world), recorded, rtol=1e-12)


def test_ceiling_is_what_the_expectation_explains_and_no_regression_on_the_past_explains_more(truth):
    summary = wage_summary(truth)
    assert summary["R^2 of the expectation"] == pytest.approx(summary["R^2 ceiling"], abs=0.02)
    columns = ["education", "female", "experience", "gaps", "family_run", "recipe"]
    x = np.column_stack([truth[columns], truth["experience"] ** 2, pd.get_dummies(truth["occupation"])])
    fitted = x @ np.linalg.lstsq(x, truth["log_wage"], rcond=None)[0]
    r2 = 1 - (truth["log_wage"] - fitted).var() / truth["log_wage"].var()
    assert 0.05 < r2 < summary["R^2 ceiling"] - 0.01
    with_one_type = preset("tiny").with_world(types=1).simulate(300)
    alone = wage_truth(with_one_type.careers, with_one_type.world)
    assert "log_wage" not in alone
    np.testing.assert_allclose(alone["variance"], 0.35**2)


def test_gaps_coincide_where_gender_is_in_wages_only_or_there_is_nothing_to_infer(truth):
    for numbers in NO_GENDER, {"types": 1}:
        simulation = MARKET.with_world(**numbers).simulate(300)
        np.testing.assert_allclose(wage_truth(simulation.careers, simulation.world)["gap"], -0.08, atol=1e-12)
    # Each of the three ways in which gender enters careers is enough to tell them apart.
    for name in NO_GENDER:
        numbers = NO_GENDER | {name: getattr(MARKET.world, name)}
        simulation = MARKET.with_world(**numbers).simulate(300)
        gap = wage_truth(simulation.careers, simulation.world)["gap"]
        assert (gap + 0.08).abs().max() > 1e-3, name
    assert (truth["gap"] + 0.08).abs().mean() > 5e-3
    assert wage_truth(simulation.careers, simulation.world, WageConfig(type_sd=0.0))["gap"].eq(-0.08).all()


def test_gap_is_of_the_history_whoever_has_it(simulation):
    careers, world = simulation.careers.select(range(200)), simulation.world
    other = {"female": "male", "male": "female"}
    swapped = careers.map(lambda career: {"gender": other[career["gender"]]})
    truth, swapped_truth = wage_truth(careers, world), wage_truth(swapped, world)
    np.testing.assert_allclose(truth["gap"], swapped_truth["gap"])
    sign = np.where(truth["female"] == 1, 1, -1)
    np.testing.assert_allclose(truth["expected"] - swapped_truth["expected"], sign * truth["gap"])


def test_history_adjusted_gap_is_the_mean_over_women(truth):
    women = truth[truth["female"] == 1]
    summary = wage_summary(truth)
    assert summary["history-adjusted gap"] == pytest.approx(women["gap"].mean())
    assert summary["structural gap"] == pytest.approx(-0.08)
    raw = women["log_wage"].mean() - truth.loc[truth["female"] == 0, "log_wage"].mean()
    assert summary["raw gap"] == pytest.approx(raw)


def test_what_is_not_of_the_world_is_refused(simulation):
    careers, world = simulation.careers.select(range(3)), simulation.world
    with pytest.raises(ValueError, match=r"person '\d'.*occupation .* is not one of the world's"):
        wage_features(preset("tiny").simulate(3).careers, world)
    with pytest.raises(ValueError, match=r"person '0+1'.*gender 'unknown' is not one of the world's"):
        wage_features(careers.map(lambda c, i: {"gender": "unknown"} if i == 1 else {}, with_indices=True), world)
    with pytest.raises(ValueError, match="lack the covariate 'race'"):
        type_posteriors(careers.remove_columns("race"), world)
    with pytest.raises(ValueError, match="must be one of male, female"):
        type_posteriors(careers, world, "men")
    with pytest.raises(ValueError, match="noise is a standard deviation"):
        WageConfig(noise=-1.0)
    assert WageConfig(**WageConfig(female=-0.1).to_dict()) == WageConfig(female=-0.1)
