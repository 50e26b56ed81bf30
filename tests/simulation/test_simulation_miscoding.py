"""Coding errors: their share, their family, and what they do to careers."""

from __future__ import annotations

import numpy as np
import pytest

from career_hf.careers import to_frame, validate
from career_hf.careers.describing import describe
from career_hf.simulation import miscode, preset


@pytest.fixture(scope="module")
def simulation():
    return preset("tiny").simulate(3000)


@pytest.mark.parametrize("by_spell", [False, True])
def test_share_family_and_ledger_of_miscoded_careers(simulation, by_spell):
    world = simulation.world
    careers, ledger = miscode(simulation.careers, world, 0.2, by_spell=by_spell, seed=1)
    validate(careers)
    before, after = to_frame(simulation.careers), to_frame(careers)
    assert before.drop(columns="occupation").equals(after.drop(columns="occupation"))
    place = {label: i for i, label in enumerate(world.labels)}
    a, b = (np.array([place[label] for label in frame["occupation"]]) for frame in (before, after))
    working = a < world.config.occupations
    assert (a[~working] == b[~working]).all()
    assert (world.family[a[working]] == world.family[b[working]]).all()
    assert ledger.entries[0].altered == {"coded as another occupation of the family": (a != b).sum()}

    person = before["person"].to_numpy()
    begins = np.r_[True, (a[1:] != a[:-1]) | (person[1:] != person[:-1])]
    units = working & begins if by_spell else working
    assert (a != b)[units].mean() == pytest.approx(0.2, abs=0.015)
    if by_spell:
        spell = begins.cumsum() - 1
        assert (b == b[begins][spell]).all()
    else:
        again = working[1:] & ~begins[1:]
        assert (b[1:] != b[:-1])[again].mean() > 0.3


def test_coding_noise_makes_moves_and_returns_of_stays(simulation):
    noisy, _ = miscode(simulation.careers, simulation.world, 0.2)
    clean, noisy = describe(simulation.careers), describe(noisy)
    assert noisy["share stay"] < clean["share stay"] - 0.03
    assert noisy["share return"] > clean["share return"]


def test_no_miscoding_changes_nothing_and_nonsense_is_refused(simulation):
    same, _ = miscode(simulation.careers, simulation.world, 0.0)
    assert same["occupation"][:] == simulation.careers["occupation"][:]
    with pytest.raises(ValueError, match="between 0 and 1"):
        miscode(simulation.careers, simulation.world, 2.0)
    with pytest.raises(ValueError, match="not of this world"):
        miscode(preset("kw").simulate(5).careers, simulation.world, 0.1)
