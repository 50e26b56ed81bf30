from __future__ import annotations

import numpy as np
import pytest
import simulated_law
from scipy.stats import chisquare

from career_hf.simulation import World, WorldConfig, preset
from career_hf.simulation.law import History, Law, People
from career_hf.simulation.survey import draw_careers


TINY = World.build(preset("tiny").world)
IN_SCHOOL = TINY.num_states - 1


def everyone_alike(n, gender=1, race=1, region=2, birth_year=1959):
    return People(*(np.full(n, value) for value in (birth_year, gender, race, region)))


def law_at(world, people, past, year, level):
    """The law's step after a past that everybody shares, a list of (year, level, state)."""
    law, history, n = Law(world), History.empty(len(people), world), len(people)
    for then, at, state in past:
        history.observe(np.full(n, state), np.full(n, then), np.full(n, at), world)
    return law, history, law.step(history, people, np.full(n, year), np.full(n, level))


def test_law_is_normalised_and_never_moves_to_the_previous_state():
    rng = np.random.default_rng(0)
    n, law = 200, Law(TINY)
    people = People(
        rng.integers(1957, 1962, n), rng.integers(2, size=n), rng.integers(3, size=n), rng.integers(4, size=n)
    )
    history, year = History.empty(n, TINY), np.full(n, 1979)
    for _ in range(8):
        level = rng.integers(5, size=n)
        step = law.step(history, people, year, level)
        for k in range(TINY.config.types):
            weights = np.zeros((n, TINY.config.types))
            weights[:, k] = 1
            p = step.mixture(weights)
            np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
            assert (p >= 0).all()
            for state in range(TINY.num_states):
                likelihood = step.likelihood(np.full(n, state))[:, k]
                np.testing.assert_allclose(likelihood, p[:, state], rtol=1e-12, atol=1e-300)
        went = np.flatnonzero(history.previous >= 0)
        working = went[history.previous[went] < TINY.config.occupations]
        idle = went[history.previous[went] >= TINY.config.occupations]
        assert (step.pull[working, history.previous[working]] == 0).all()
        assert (step.classes[idle, :, history.previous[idle] - TINY.config.occupations + 1] == 0).all()
        state = rng.integers(TINY.num_states, size=n)
        history.observe(state, year, level, TINY)
        year = year + rng.integers(1, 4, n)


@pytest.mark.parametrize("seed", range(4))
def test_law_equals_the_equations_written_out_for_one_person(seed):
    """Careers of random states, so that recipes, ladders and returns all occur."""
    rng = np.random.default_rng(seed)
    world = World.build(preset("tiny").with_world(seed=seed, ladder_waves=2).world)
    (a, b, _), n = world.recipes[0], world.config.occupations
    states = [a, n, b, b, *rng.integers(0, 4, 3), n + 2, n + 2, a, *rng.integers(0, n + 3, 3)]
    person = simulated_law.Person(1959, gender=seed % 2, race=seed % 3, region=seed)
    people = everyone_alike(1, person.gender, person.race, person.region)
    past, year, level = [], 1979, 1
    for state in states:
        law, history, step = law_at(world, people, past, year, level)
        for k in range(world.config.types):
            p = step.mixture(np.eye(world.config.types)[[k]])[0]
            np.testing.assert_allclose(p, simulated_law.p_state(world, k, person, past, year, level), rtol=1e-9)
        for next_level in range(5):
            mine = law.education_likelihood(history, people, np.array([year]), np.array([next_level]))[0]
            theirs = [
                simulated_law.p_education(world, k, person, past, year, next_level) for k in range(world.config.types)
            ]
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-14)
        past.append((year, level, state))
        year += int(rng.integers(1, 4))
        level = min(level + int(state == n + 2), 4)


def test_drawn_careers_have_the_frequencies_of_the_law():
    n, kind = 40_000, 2
    people, years = everyone_alike(n), np.tile([1979, 1981], (n, 1))
    law = Law(TINY)
    states, levels = draw_careers(law, people, np.full(n, kind), years, np.full(n, 2), np.random.default_rng(0))
    p_level = law.first_education(people.take(np.arange(1)), np.array([1979]))[0, kind]
    assert chisquare(np.bincount(levels[:, 0], minlength=5), p_level * n).pvalue > 1e-3

    known_type = np.eye(TINY.config.types)[[kind]]
    at, first = 1, IN_SCHOOL  # a frequent first wave, after which education can rise
    step = law_at(TINY, people.take(np.arange(1)), [], 1979, at)[2]
    at_level = levels[:, 0] == at
    assert chisquare(*pooled(states[at_level, 0], step.mixture(known_type)[0])).pvalue > 1e-3

    at_level &= states[:, 0] == first
    law, history, _ = law_at(TINY, people.take(np.arange(1)), [(1979, at, first)], 1981, at)
    rises = law.completes_level(history, np.array([1981]))[0, kind]
    rose = (levels[at_level, 1] == at + 1).sum()
    assert (
        chisquare([rose, at_level.sum() - rose], [rises * at_level.sum(), (1 - rises) * at_level.sum()]).pvalue > 1e-3
    )
    step = law_at(TINY, people.take(np.arange(1)), [(1979, at, first)], 1981, at)[2]
    at_level &= levels[:, 1] == at
    assert at_level.sum() > 1000
    assert chisquare(*pooled(states[at_level, 1], step.mixture(known_type)[0])).pvalue > 1e-3


def pooled(states, p):
    """Observed and expected counts; states with fewer than five expected are one cell."""
    expected, observed = p * len(states), np.bincount(states, minlength=len(p))
    rare = expected < 5
    if not rare.any():
        return observed, expected
    return np.r_[observed[~rare], observed[rare].sum()], np.r_[expected[~rare], expected[rare].sum()]


def test_switching_a_mechanism_off_leaves_the_rest_of_the_world_as_it_was():
    without = World.build(preset("tiny").with_world(gender_typing_sd=0.0).world)
    for name, array in without.arrays().items():
        if name == "gender_typing":
            assert (array == 0).all() and (TINY.gender_typing != 0).all()
        else:
            np.testing.assert_array_equal(array, TINY.arrays()[name])


def test_a_departed_world_keeps_the_structure_and_the_variances_but_not_the_draws():
    worlds = {d: World.build(WorldConfig(departure=d)) for d in (0.0, 0.5, 1.0)}
    alike = {d: np.corrcoef(worlds[0.0].size, world.size)[0, 1] for d, world in worlds.items()}
    assert alike[0.0] == pytest.approx(1)
    assert alike[0.5] == pytest.approx(np.sqrt(0.5), abs=0.1)
    assert alike[1.0] == pytest.approx(0, abs=0.15)
    for world in worlds.values():
        assert world.size.std() == pytest.approx(0.5, rel=0.15)
        np.testing.assert_array_equal(world.family, worlds[0.0].family)
        np.testing.assert_array_equal(world.recipes, worlds[0.0].recipes)


def test_recipes_share_no_occupation_and_the_config_reads_itself_back():
    world = World.build(WorldConfig())
    assert len(np.unique(world.recipes)) == world.recipes.size
    assert WorldConfig(**world.config.to_dict()) == world.config
    assert len(world.labels) == 333


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"occupations": 1}, "2 occupations or more"),
        ({"recipes": 9}, "27|9 recipes need"),
        ({"occupation_labels": ("cook",)}, "1 occupation_labels for 24"),
        ({"departure": 2.0}, "departure must be"),
        ({"last_year": 1970}, "must not lie before"),
    ],
)
def test_impossible_worlds_are_refused(numbers, message):
    with pytest.raises(ValueError, match=message):
        preset("tiny").with_world(**numbers)


def test_more_occupations_than_occ1990dd_has_need_labels():
    with pytest.raises(ValueError, match="occupation_labels"):
        World.build(WorldConfig(occupations=331)).labels  # noqa: B018
