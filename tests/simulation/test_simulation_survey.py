"""Simulated careers are careers, look like the survey they stand for, and repeat."""

from __future__ import annotations

import numpy as np
import pytest

from career_hf.careers import covariate_names, to_frame, validate
from career_hf.careers.describing import describe
from career_hf.occupations import crosswalks
from career_hf.simulation import PRESETS, SurveyConfig, World, WorldConfig, preset, simulate
from career_hf.sources import keane_wolpin_careers as keane_wolpin


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_gives_valid_careers_with_the_covariates_of_the_law(name):
    simulation = preset(name).simulate(40)
    validate(simulation.careers)
    assert covariate_names(simulation.careers) == (["education"], ["region", "race", "gender", "birth_year"])
    assert "type" not in simulation.careers.column_names
    assert simulation.types["person"].tolist() == simulation.careers["person"][:]
    assert simulation.types["type"].between(0, simulation.world.config.types - 1).all()
    labels = set(np.concatenate(simulation.careers["occupation"][:]))
    assert labels <= set(simulation.world.labels)


def test_same_seed_same_careers_and_another_seed_other_people_of_the_same_world():
    first, again, other = (preset("tiny").simulate(seed=seed) for seed in (4, 4, 5))
    assert first.careers.data.table.equals(again.careers.data.table)
    assert first.types.equals(again.types)
    assert first.careers["occupation"][:] != other.careers["occupation"][:]
    for name, array in first.world.arrays().items():
        np.testing.assert_array_equal(array, other.world.arrays()[name])


def test_occupations_have_codes_of_occ1990dd():
    codes = crosswalks.codes()
    assert World.build(WorldConfig()).labels[:330] == codes
    assert preset("tiny").simulate(1).world.labels == [*codes[:24], "unemployed", "out_of_labor_force", "in_school"]


def test_waves_are_annual_then_biennial_and_some_are_skipped():
    survey = SurveyConfig(people=3000, fewest_waves=6, most_waves=12, last_annual_year=1984, skipped=0.1)
    careers = simulate(World.build(preset("tiny").world), survey).careers
    years = careers["year"][:]
    assert {year for career in years for year in career} == {*range(1979, 1985), 1986, 1988, 1990, 1992}
    entry = np.array([int(year) for year in careers["birth_year"]]) + 18
    assert [career[0] for career in years] == np.maximum(entry, 1979).tolist()
    between = [(set(career), range(career[0] + 1, min(career[-1], 1985))) for career in years]
    skipped = [year not in interviews for interviews, annual in between for year in annual]
    assert np.mean(skipped) == pytest.approx(0.1, abs=0.01)
    lengths = np.array([len(career) for career in years])
    assert lengths.max() <= 12
    assert lengths.min() >= 1


def test_weights_undo_the_oversampling():
    careers = simulate(World.build(preset("tiny").world), SurveyConfig(20_000, fewest_waves=1, most_waves=1)).careers
    race, weight = np.array(careers["race"][:]), np.array(careers["weight"][:])
    assert weight.mean() == pytest.approx(1, abs=0.02)
    for name, share in zip(("non_black_non_hispanic", "black", "hispanic"), (0.8, 0.13, 0.07), strict=True):
        assert weight[race == name].sum() / weight.sum() == pytest.approx(share, abs=0.01)
    assert np.mean(race == "hispanic") > 0.12
    assert len(set(careers["stratum"][:])) == 12
    of_psu = dict(zip(careers["psu"][:], careers["stratum"][:], strict=True))
    assert all(of_psu[psu] == stratum for psu, stratum in zip(careers["psu"][:], careers["stratum"][:], strict=True))


def test_description_counts_states():
    simulation = preset("tiny").simulate(200)
    states = np.concatenate(simulation.careers["occupation"][:])
    for name in ("unemployed", "out_of_labor_force", "in_school"):
        assert simulation.describe()[f"share {name}"] == np.mean(states == name)


def test_education_rises_by_one_level_and_only_after_a_wave_in_school():
    levels = {name: i for i, name in enumerate(preset("tiny").simulate(1).world.covariate_levels["education"])}
    rises = 0
    for career in preset("tiny").simulate(2000).careers:
        education = np.array([levels[level] for level in career["education"]])
        change = np.diff(education)
        assert set(change) <= {0, 1}
        assert all(state == "in_school" for state, rose in zip(career["occupation"], change, strict=False) if rose)
        rises += change.sum()
    assert rises > 50


def test_survey_preset_looks_like_the_papers_data():
    summary = preset("survey").simulate(3000).describe()
    assert 0.47 < summary["share stay"] < 0.60
    assert 0.05 < summary["share return"] < 0.135
    assert summary["share unemployed"] == pytest.approx(0.07, abs=0.02)
    assert summary["share out_of_labor_force"] == pytest.approx(0.21, abs=0.03)
    assert summary["share in_school"] == pytest.approx(0.10, abs=0.03)


def test_controls_switch_off_what_they_name():
    assert preset("one_type").simulate(10).types["type"].eq(0).all()
    assert preset("gender_free").simulate(10).world.type_gender.any() is np.False_
    returns = {
        name: describe(preset(name).simulate(1000).careers)["share return"] for name in ("survey", "no_returns")
    }
    assert returns["no_returns"] < returns["survey"] - 0.01
    assert preset("kw").simulate(500).describe()["share unemployed"] == 0
    with pytest.raises(ValueError, match="no preset 'big'"):
        preset("big")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"people": 0}, "people is 0, and must be 1 or more"),
        ({"fewest_waves": 3, "most_waves": 2}, "fewest_waves"),
        ({"oversampling": (1.0, 2.0)}, "oversampling needs"),
    ],
)
def test_impossible_surveys_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        SurveyConfig(**numbers)


@pytest.mark.parametrize("people", [2.5, "60", 0, True])
def test_a_number_of_people_that_is_none_is_named(people):
    with pytest.raises(ValueError, match=rf"^people is {people!r}, and must be a whole number between 1 and"):
        preset("tiny").simulate(people)


def test_people_too_young_for_the_last_wave_are_refused():
    with pytest.raises(ValueError, match="only after the last wave"):
        simulate(World.build(preset("tiny").world), SurveyConfig(people=50, entry_age=40))


def test_kw_preset_has_shares_of_states_close_to_keane_and_wolpins_men():
    men = to_frame(keane_wolpin.load()[0])
    men = men[men["year"].between(18, 42)]
    simulated = to_frame(preset("kw").simulate().careers)
    names = {"home": "out_of_labor_force", "school": "in_school"}
    real = men["occupation"].replace(names).value_counts(normalize=True)
    shares = simulated["occupation"].value_counts(normalize=True)
    assert set(real.index) == set(shares.index)
    assert (real - shares).abs().max() < 0.03
