"""Simulated displacement: the same people with and without it, by the law before and after."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from career_hf.careers import to_frame
from career_hf.careers.validation import validate
from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import (
    TrueOccupationModel,
    World,
    expectations,
    martingale_z,
    preset,
    simulate_displacement,
    world_processor,
)


@pytest.fixture(scope="module")
def world():
    return World.build(preset("tiny").world)


@pytest.fixture(scope="module")
def drawn(world):
    return simulate_displacement(world, year=1985, people=1500, share=0.1, seed=3)


def test_careers_with_and_without_are_the_same_until_the_event(drawn):
    validate(drawn.careers)
    frames = [to_frame(careers) for careers in (drawn.careers, drawn.without)]
    assert frames[0]["year"].equals(frames[1]["year"]) and frames[0]["person"].equals(frames[1]["person"])
    differs = frames[0]["occupation"] != frames[1]["occupation"]
    displaced = frames[0]["person"].isin(drawn.events["person"])
    early = frames[0]["year"] < 1985
    assert differs.any() and not differs[~displaced | early].any()
    at_event = frames[0][displaced & (frames[0]["year"] == 1985)]
    assert len(at_event) == len(drawn.events) and set(at_event["occupation"]) == {"unemployed"}
    before = frames[0][displaced & (frames[0]["year"] == 1984)]
    assert not before["occupation"].isin(["unemployed", "out_of_labor_force", "in_school"]).any()


def test_newly_hired_people_are_displaced_four_times_as_often(drawn):
    long = to_frame(drawn.without)
    wide = long[long["year"].between(1982, 1984)].pivot(index="person", columns="year", values="occupation")
    works = ~wide[1984].isin(["unemployed", "out_of_labor_force", "in_school"])
    established = (wide[1982] == wide[1984]) & (wide[1983] == wide[1984])
    displaced = pd.Series(wide.index.isin(drawn.events["person"]), wide.index)
    assert displaced[works & established].mean() == pytest.approx(0.1, abs=0.04)
    assert displaced[works & ~established].mean() == pytest.approx(0.4, abs=0.06)


def test_careers_without_the_event_follow_the_law(drawn, world):
    truth, processor = TrueOccupationModel.of_world(world), world_processor(world)
    table = transition_table(truth, drawn.without, processor)
    entropy = expectations(truth, drawn.without, processor)["entropy"].to_numpy()
    assert abs(martingale_z(table, entropy)["all"]) < 4


def test_effects_are_differences_of_means_of_the_displaced(drawn, world):
    table = pd.DataFrame({"skill": world.requirement * 1.0}, index=world.labels[:-3])
    effects = drawn.effects(3, table).set_index(["event_time", "outcome"])
    long = to_frame(drawn.careers)
    own = long[long["person"].isin(drawn.events["person"]) & (long["year"] == 1987)]["occupation"]
    assert effects.loc[(2, "skill"), "displaced"] == pytest.approx(own.map(table["skill"]).mean())
    assert effects.loc[(0, "employed"), "displaced"] == 0 and np.isnan(effects.loc[(0, "skill"), "displaced"])
    lost = effects["effect"].xs("employed", level="outcome")
    assert lost.loc[1] < lost.loc[3] < 0.05 and lost.loc[0] < -0.7


def test_a_displacement_that_cannot_be_is_refused(world):
    with pytest.raises(ValueError, match="year is 1979, and must be after 1979"):
        simulate_displacement(world, year=1979, people=10)
    with pytest.raises(ValueError, match="nobody of 5 people is displaced"):
        simulate_displacement(world, year=1985, people=5, share=0.0)
