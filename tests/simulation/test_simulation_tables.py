"""Markets with tables: the law in plain Python, the exact filter, and the market that is fitted to the NLSY79."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import simulated_law

from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import (
    TrueOccupationModel,
    World,
    WorldConfig,
    expectations,
    martingale_z,
    preset,
    world_processor,
)
from career_hf.simulation.presets import Preset
from career_hf.simulation.survey import SurveyConfig, Waves
from career_hf.simulation.tables import LawTables
from career_hf.simulation.thinning import thin, thinned_truth


def some_tables(occupations, seed=0):
    """Tables of random log-odds for a world with three broad groups."""
    rng = np.random.default_rng(seed)
    years, durations, held, since, waves = (1979, 1981, 1984), (1, 2, 4), (1, 3), (1, 2, 5), (1, 2)

    def table(*shape):
        return rng.normal(size=shape).tolist()

    return LawTables(
        group=(np.arange(occupations) * 3 // occupations).tolist(),
        size=table(occupations),
        gender_typing=table(occupations),
        years=years,
        durations=durations,
        held=held,
        since=since,
        waves=waves,
        stay_by_duration=table(4, len(durations)),
        stay_by_year=table(2, 4, len(years)),
        stay_by_group=table(3),
        move_by_origin=table(7, 3),
        move_by_year=table(2, len(years), 3),
        move_by_education=table(5, 3),
        flow=table(7, 3),
        education_flow=table(5, 3),
        return_by_held=table(len(held)),
        return_by_since=table(len(since)),
        return_by_waves=table(len(waves)),
        recall=1.0,
        rise_by_year=table(2, len(years)),
    )


TABLED = preset("tiny").with_world(tables=some_tables(24), return_strength=0.7)


def plain(simulation, rows):
    """People, and their careers as lists of (year, level, state)."""
    waves = Waves.of(simulation.careers, simulation.world)
    for i in rows:
        person = simulated_law.Person(
            *(int(getattr(waves.people, name)[i]) for name in simulated_law.Person.__annotations__)
        )
        steps = range(waves.lengths[i])
        yield person, [(int(waves.years[i, t]), int(waves.levels[i, t]), int(waves.states[i, t])) for t in steps]


def true_table(simulation):
    model, processor = TrueOccupationModel.of_world(simulation.world), world_processor(simulation.world)
    entropy = expectations(model, simulation.careers, processor)["entropy"].to_numpy()
    return transition_table(model, simulation.careers, processor), entropy


def test_filter_equals_summing_whole_careers_over_types_written_out_in_plain_python():
    simulation = TABLED.simulate(60, seed=3)
    world, processor = simulation.world, world_processor(simulation.world)
    longest = np.argsort([-len(years) for years in simulation.careers["year"]])[:8]
    model, seen = TrueOccupationModel.of_world(world), set()
    for i, (person, career) in zip(longest, plain(simulation, longest), strict=True):
        probabilities = np.exp(model(**processor(simulation.careers[int(i)])).logits[0, :, 2:].numpy())
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(probabilities, simulated_law.p_true(world, person, career), rtol=1e-4, atol=1e-9)
        states = [state for _, _, state in career]
        for t in range(1, len(states)):
            kind = "stay" if states[t] == states[t - 1] else "return" if states[t] in states[:t] else "new"
            idle = states[t - 1] >= world.config.occupations
            rose = career[t][1] > career[t - 1][1]
            seen |= {(kind, idle), ("rose elsewhere", rose and states[t - 1] != world.num_states - 1)}
    assert {("return", False), ("return", True), ("rose elsewhere", True)} <= seen


def test_true_probabilities_of_markets_with_tables_pass_the_martingale_test():
    z = []
    for seed in range(4):
        market = TABLED.with_world(seed=seed, tables=some_tables(24, seed))
        table, entropy = true_table(market.simulate(400, seed=seed))
        for by in (None, "education", "previous"):
            z += martingale_z(table, entropy, by).tolist()
    assert max(np.abs(z)) < 4.5
    assert 0.7 < np.std(z, ddof=1) < 1.3


def test_hidden_years_of_a_market_in_which_education_rises_at_work_are_summed_exactly():
    """With as many particles as hidden histories nothing is left to chance, so replicates agree with the equations."""
    small = TABLED.with_world(occupations=3, families=1, recipes=0, types=2, tables=some_tables(3))
    small = small.with_survey(last_annual_year=1992, skipped=0.0, fewest_waves=3, most_waves=3)
    thinned = thin(small.simulate(6, seed=0))
    truth = thinned_truth(thinned, particles=400, replicates=2)
    np.testing.assert_allclose(truth.replicates[:, 0], truth.replicates[:, 1], rtol=1e-9)
    world, rows = thinned.simulation.world, iter(truth.table["log_prob"])
    for person, career in plain(thinned.simulation, range(6)):
        observed = [year in thinned.keep for year, _, _ in career]
        joint = {(): np.array(simulated_law.prior(world, person))}
        for (year, level, state), is_seen in zip(career, observed, strict=True):
            ways, before = {}, sum(w.sum() for w in joint.values())
            with_level = 0.0
            for past, weights in joint.items():
                types = range(len(weights))
                for e in [level] if is_seen else range(5):
                    of_level = weights * [simulated_law.p_education(world, k, person, past, year, e) for k in types]
                    with_level += of_level.sum() if is_seen else 0
                    p = np.array([simulated_law.p_state(world, k, person, past, year, e) for k in types])
                    for y in [state] if is_seen else range(world.num_states):
                        ways[(*past, (year, e, y))] = of_level * p[:, y]
            joint = ways
            if is_seen:
                assert before > 0
                assert next(rows) == pytest.approx(np.log(sum(w.sum() for w in joint.values()) / with_level), rel=1e-6)
    assert next(rows, None) is None


def test_a_return_strength_of_zero_switches_the_pull_of_tables_off():
    market = TABLED.with_world(return_strength=0.0)
    other = LawTables(**(TABLED.world.tables.to_dict() | {"recall": 9.0, "return_by_held": [5.0, -5.0]}))
    drawn = market.simulate(100, seed=1)
    same = replace(drawn, world=World.build(market.with_world(tables=other).world))
    np.testing.assert_array_equal(true_table(drawn)[0]["log_prob"], true_table(same)[0]["log_prob"])
    pulled = replace(drawn, world=World.build(TABLED.with_world(tables=other).world))
    assert (true_table(drawn)[0]["log_prob"] != true_table(pulled)[0]["log_prob"]).any()


def test_markets_with_tables_read_themselves_back_from_json_and_from_a_checkpoint(tmp_path):
    numbers = json.loads(json.dumps(TABLED.to_dict()))
    assert Preset.from_dict(numbers) == TABLED
    assert "tables" not in preset("tiny").world.to_dict()
    for wrong in ({"world": {}}, {**numbers, "survey": {"size": 3}}):
        with pytest.raises(ValueError, match="not the numbers of a preset.*('survey'|'size')"):
            Preset.from_dict(wrong)
    simulation = TABLED.simulate(20)
    model, processor = TrueOccupationModel.of_world(simulation.world), world_processor(simulation.world)
    model.save_pretrained(tmp_path)
    again = TrueOccupationModel.from_pretrained(tmp_path)
    one, other = (transition_table(m, simulation.careers, processor)["log_prob"] for m in (model, again))
    np.testing.assert_array_equal(one, other)


def test_a_departed_world_keeps_its_tables_but_not_its_sizes():
    here, half, away = (World.build(TABLED.with_world(departure=d).world) for d in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(here.size, TABLED.world.tables.size)
    assert away.config.tables == here.config.tables
    assert abs(np.corrcoef(here.size, away.size)[0, 1]) < 0.5 < np.corrcoef(here.size, half.size)[0, 1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"stay_by_group": (0.0,)},
            "stay_by_group of the tables needs finite numbers of shape \\(3,\\), not \\(1,\\)",
        ),
        ({"recall": float("nan")}, "recall of the tables needs finite"),
        ({"years": (1979, 1979, 1981)}, "years of the tables must increase"),
    ],
)
def test_tables_that_fit_no_law_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        LawTables(**(TABLED.world.tables.to_dict() | changed))


def test_a_world_and_a_survey_that_fit_no_tables_are_refused():
    with pytest.raises(ValueError, match="tables of 24 occupations for a world of 330"):
        WorldConfig(tables=TABLED.world.tables)
    with pytest.raises(ValueError, match="wave_shares needs a share for each number of waves from 1 to 3"):
        SurveyConfig(fewest_waves=1, most_waves=3, wave_shares=(0.5, 0.5))
    with pytest.raises(ValueError, match="wave_shares needs a share"):
        SurveyConfig(fewest_waves=1, most_waves=2, wave_shares=(0.0, 0.0))
    with pytest.raises(ValueError, match="years of the waves must increase"):
        SurveyConfig(years=(1990, 1980))


def test_careers_of_the_presets_without_tables_are_what_they_were_before_there_were_tables():
    tiny, survey = (preset(name).simulate(people, seed=3).careers for name, people in (("tiny", 3), ("survey", 2)))
    assert tiny["occupation"][0] == ["23", "7", "7", "7", "23", "23", "23", "7"]
    assert tiny["occupation"][1] == ["unemployed", "unemployed", "37"]
    school = ["in_school"]
    assert survey["occupation"][0] == [*school * 3, "516", "64", "203", "525", "525"]
    assert survey["occupation"][1] == [*school * 5, *["597"] * 3, *["598"] * 5, *school, *["598"] * 2]


@pytest.fixture(scope="module")
def nlsy79():
    return preset("nlsy79").simulate(2_500, seed=1)


def test_truth_of_the_nlsy79_market_passes_the_martingale_test(nlsy79):
    table, entropy = true_table(replace(nlsy79, careers=nlsy79.careers.select(range(400))))
    for by in (None, "education", "year"):
        assert max(np.abs(martingale_z(table, entropy, by))) < 4


def test_people_of_the_nlsy79_market_have_its_waves(nlsy79):
    years = {year for career in nlsy79.careers["year"] for year in career}
    assert years == {1980, *range(1982, 1995), 1996, 1998}
    lengths = np.array([len(career) for career in nlsy79.careers["year"]])
    shares = np.array(preset("nlsy79").survey.wave_shares)
    assert np.mean(lengths == 16) == pytest.approx(shares[15], abs=0.03)
    assert np.mean(lengths == 10) == pytest.approx(shares[9], abs=0.02)
