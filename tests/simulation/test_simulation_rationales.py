"""True rationales against the law in plain Python, with one mechanism switched off at one step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated_law import Person, p_education, p_state, prior

from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import TrueOccupationModel, preset, rationale_sets, world_processor
from career_hf.simulation.presets import NO_HISTORY
from career_hf.simulation.survey import Waves


OFF = {"recipe": "recipe_strength", "ladder": "ladder", "return": "return_strength"}


@pytest.fixture(scope="module")
def simulation():
    return preset("tiny").with_world(ladder_waves=2).simulate(600, seed=4)


@pytest.fixture(scope="module")
def rationales(simulation):
    return rationale_sets(simulation)


def careers_of(simulation):
    waves = Waves.of(simulation.careers, simulation.world)
    for row, person in enumerate(simulation.careers["person"]):
        steps = range(waves.lengths[row])
        career = [(int(waves.years[row, t]), int(waves.levels[row, t]), int(waves.states[row, t])) for t in steps]
        who = Person(*(int(getattr(waves.people, n)[row]) for n in ("birth_year", "gender", "race", "region")))
        yield person, who, career


def test_probabilities_with_and_without_a_pull_are_those_of_the_law_in_plain_python(simulation, rationales):
    world = simulation.world
    careers = {person: (who, career) for person, who, career in careers_of(simulation)}
    chosen = rationales.groupby("mechanism", observed=True).head(12)
    assert set(chosen["mechanism"]) == set(OFF)
    for row in chosen.itertuples():
        who, career = careers[row.person]
        weights = prior(world, who)
        for t in range(row.step + 1):
            past, (year, level, state) = career[:t], career[t]
            weights = [w * p_education(world, k, who, past, year, level) for k, w in enumerate(weights)]
            of_type = np.array([p_state(world, k, who, past, year, level) for k in range(len(weights))])
            if t < row.step:
                weights = [w * p[state] for w, p in zip(weights, of_type, strict=True)]
        weights = np.array(weights) / sum(weights)
        assert row.probability == pytest.approx(weights @ of_type[:, state], rel=1e-9)

        # The mechanism is switched off for this occupation alone: its odds against every other that could be entered.
        without = 0.0
        for w, p in zip(weights, of_type, strict=True):
            others = [p[j] for j in range(world.config.occupations) if j not in (state, past[-1][2])]
            entering = sum(others) + p[state]
            odds = p[state] / sum(others) * np.exp(-row.strength)
            without += w * entering * odds / (1 + odds)
        assert row.without == pytest.approx(without, rel=1e-9)
        assert row.effect == pytest.approx(row.probability / without, rel=1e-9) and row.effect > 1


def test_strengths_are_what_the_law_adds(simulation, rationales):
    world = simulation.world
    careers = {person: (who, career) for person, who, career in careers_of(simulation)}
    for mechanism, number in OFF.items():
        other = replace(world, config=replace(world.config, **{number: 0.0}))
        for row in rationales[rationales["mechanism"] == mechanism].head(10).itertuples():
            who, career = careers[row.person]
            past, (year, level, state) = career[: row.step], career[row.step]
            rest = [j for j in range(world.config.occupations) if j not in (state, past[-1][2])]
            with_pull, without = (p_state(w, 0, who, past, year, level) for w in (world, other))
            # Another occupation whose own pull the number does not touch: the one with the largest ratio left.
            log_ratio = np.log(with_pull[state] / without[state])
            untouched = max(np.log(without[j] / with_pull[j]) for j in rest)
            assert row.strength == pytest.approx(log_ratio + untouched, rel=1e-6)


def test_every_move_under_a_pull_is_found_and_no_other(simulation, rationales):
    world, n = simulation.world, simulation.world.config.occupations
    expected = set()
    for person, _, career in careers_of(simulation):
        states = [state for _, _, state in career]
        for t in range(1, len(states)):
            state, past = states[t], states[:t]
            if state >= n or state == past[-1]:
                continue
            jobs = [s for s in past if s < n]
            if state in jobs:
                expected.add((person, t, "return"))
            if any(state == c and a in jobs and b in jobs for a, b, c in world.recipes):
                expected.add((person, t, "recipe"))
            run = 0
            while run < len(jobs) and world.family[jobs[-1 - run]] == world.family[jobs[-1]]:
                run += 1
            if jobs and run >= world.config.ladder_waves and state == world.senior[world.family[jobs[-1]]]:
                expected.add((person, t, "ladder"))
    assert set(zip(rationales["person"], rationales["step"], rationales["mechanism"], strict=True)) == expected
    assert {mechanism for _, _, mechanism in expected} == set(OFF)


def test_minimal_sets_are_enough_and_nothing_less_is(simulation, rationales):
    world = simulation.world
    careers = {person: [state for _, _, state in career] for person, _, career in careers_of(simulation)}
    for row in rationales.itertuples():
        past = careers[row.person][: row.step]
        assert set(row.minimal) <= set().union(*row.needs) <= set(row.steps)
        assert row.minimal == sorted(max(need) for need in row.needs)
        if row.mechanism != "ladder":
            assert set(row.steps) == set().union(*row.needs)
        if row.mechanism == "recipe":
            a, b, _ = world.recipes[world.recipes[:, 2] == world.labels.index(row.occupation)][0]
            assert {past[step] for step in row.minimal} == {a, b} and len(row.minimal) == 2
            assert row.steps == [step for step, state in enumerate(past) if state in (a, b)]
        elif row.mechanism == "return":
            assert [past[step] for step in row.minimal] == [world.labels.index(row.occupation)]
        else:
            family = world.family[world.labels.index(row.occupation)]
            assert all(world.family[past[step]] == family for step in row.steps)
            assert len(row.minimal) == world.config.ladder_waves <= len(row.steps)
            assert row.minimal == row.steps[-world.config.ladder_waves :]


def test_where_nothing_else_of_the_past_matters_without_is_what_a_changed_past_gives():
    """One type, and no history but recipes: rationales out of the past, or nothing but the minimal set left in it."""
    numbers = NO_HISTORY | {"types": 1, "recipes": 8, "recipe_strength": 4.0}
    market = preset("tiny").with_world(**numbers).simulate(1500, seed=1)
    world, idle = market.world, market.world.config.occupations + 1
    careers = {person: (who, career) for person, who, career in careers_of(market)}
    rationales = rationale_sets(market)
    assert set(rationales["mechanism"]) == {"recipe"}
    changed = spared = 0
    for row in rationales.itertuples():
        who, career = careers[row.person]
        year, level, state = career[row.step]

        def p_after(removed, who=who, past=career[: row.step], now=(year, level), state=state):
            past = [(y, e, idle if t in removed else s) for t, (y, e, s) in enumerate(past)]
            return p_state(world, 0, who, past, *now)[state]

        # The wave before matters to where people move, whatever the recipe: it stays as it was.
        for need in row.needs:
            if row.step - 1 not in need:
                assert p_after(need) == pytest.approx(row.without, rel=1e-9)
                changed += 1
        beyond = set(row.steps) - {row.step - 1, *row.minimal}
        assert p_after(beyond) == pytest.approx(row.probability, rel=1e-9)
        spared += len(beyond)
    assert changed > 20 and spared > 20


def test_probabilities_are_those_of_the_floor(simulation, rationales):
    table = transition_table(
        TrueOccupationModel.of_world(simulation.world), simulation.careers, world_processor(simulation.world)
    )
    log_prob = table.set_index([table["person"].astype(str), "step"])["log_prob"]
    floor_log_prob = log_prob.loc[list(zip(rationales["person"], rationales["step"], strict=True))]
    np.testing.assert_allclose(np.exp(floor_log_prob), rationales["probability"], rtol=1e-5)
