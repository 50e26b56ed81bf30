"""Counts of a market against the statistics of `likeness`; pools of small cells; the fit, and the file that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replication import likeness
from replication import market_fit as study

from career_hf.simulation import World, preset
from career_hf.simulation.survey import Waves


CELLS = Path(study.__file__).parent / "results" / "market_fit" / "cells.csv"


@pytest.fixture(scope="module")
def drawn():
    return preset("nlsy79").simulate(1_200, seed=5)


@pytest.fixture(scope="module")
def counted(drawn):
    tables = preset("nlsy79").world.tables
    return study.market_counts(Waves.of(drawn.careers, drawn.world), drawn.world, tables)


def test_counts_are_those_of_the_statistics_of_likeness(drawn, counted):
    counts, moments = counted
    steps = likeness.career_steps(drawn.careers)
    later = steps[~steps["first"]]
    worked = later[later["previous_working"]]
    stayed = (worked["transition"] == "stay").groupby(worked["previous_group"]).agg(["sum", "size"])
    np.testing.assert_array_equal(counts["stay_by_group"].hits, stayed["sum"][list(likeness.GROUPS)])
    np.testing.assert_array_equal(counts["stay_by_group"].trials, stayed["size"][list(likeness.GROUPS)])

    entered = steps[steps["working"] & (steps["transition"] != "stay")]
    could = entered[entered["held"] > 0]
    back = (could["transition"] == "return").groupby(could["held"].clip(upper=10)).agg(["sum", "size"])
    np.testing.assert_array_equal(counts["return_by_held"].hits[: len(back)], back["sum"])
    np.testing.assert_array_equal(counts["return_by_held"].trials[: len(back)], back["size"])
    flow = pd.crosstab(entered["previous_group"].fillna("first"), entered["group"])
    rows = [*likeness.GROUPS, "unemployed", "out_of_labor_force", "in_school", "first"]
    wanted = flow.reindex(index=rows, columns=list(likeness.GROUPS), fill_value=0)
    np.testing.assert_array_equal(counts["flow"].hits, wanted)
    people = entered.groupby("occupation")["person"].nunique().reindex(drawn.world.labels[:330], fill_value=0)
    np.testing.assert_array_equal(counts["size"].people, people)

    idle = entered[~entered["previous_working"] & entered["last_occupation"].notna()]
    recalled = (idle["occupation"] == idle["last_occupation"]).sum()
    assert (counts["recall"].hits, counts["recall"].trials) == (recalled, len(idle))
    moved = steps[(steps["transition"] != "stay") & (steps["working"] | (steps["state"] == "unemployed"))]
    moved = moved[moved["previous_state"] != "unemployed"]
    assert counts["move_by_origin"].trials[:, 0].sum() == len(moved)
    held = steps.loc[steps["working"] & (steps["waves_worked"] == 10), "occupations"]
    assert moments["spread of occupations held"] == pytest.approx(held.std(ddof=0))


@given(st.lists(st.integers(0, 25), min_size=1, max_size=12), st.booleans())
def test_every_pool_has_a_cell_with_enough_people_and_no_cell_with_enough_is_joined_in_vain(people, ordered):
    people = np.array(people)
    joined = study._joined(people, ordered)
    if (people < study.FEWEST).all():
        assert len(set(joined)) == 1
        return
    for pool in set(joined):
        members = np.flatnonzero(joined == pool)
        assert people[members].max() >= study.FEWEST and pool in members
        assert (people[members] >= study.FEWEST).sum() == 1
        if ordered:
            assert (np.diff(members) == 1).all()


def test_a_fit_comes_closer_to_the_careers_that_it_is_fitted_to(drawn):
    settings = study.FitSettings(rounds=3, people=300, types=2)
    fitted, cells, moments = study.fit_market(drawn.careers, settings)
    start = study._start(drawn.careers, settings)
    assert fitted.survey == start.survey and fitted.survey.years[0] == 1980
    shares, lengths = np.array(start.survey.wave_shares), pd.Series(map(len, drawn.careers["year"])).value_counts()
    assert shares.sum() == pytest.approx(1, abs=1e-3)
    assert (shares[lengths[lengths >= study.FEWEST].index - 1] > 0).all()
    assert (shares[lengths[lengths < study.FEWEST].index - 1] == 0).all() and (shares[shares > 0] * 1_200 > 9.9).all()
    before, _ = study._simulated(start, 1_200, settings.rounds)
    survey = study._survey_waves(drawn.careers, World.build(start.world))
    wanted, _ = study.market_counts(survey, drawn.world, start.world.tables)
    group = np.array(start.world.tables.group)
    pools = {name: study.pools_of(name, counts, group) for name, counts in wanted.items()}
    unfitted = study._cells(wanted, before, pools)
    pd.testing.assert_series_equal(unfitted["survey"], cells["survey"])
    off, off_before = ((of["market"] - of["survey"]).abs().groupby(of["table"]).mean() for of in (cells, unfitted))
    for name in ("size", "flow", "move_by_origin"):
        assert off[name] < 0.8 * off_before[name], name
    assert set(moments.index) >= set(study.OF_TYPES.values())
    assert cells["people"].min() >= study.FEWEST


def test_careers_that_a_market_cannot_be_fitted_to_are_refused(drawn):
    settings = study.FitSettings()
    with pytest.raises(ValueError, match="careers lack the covariate 'race'"):
        study.fit_market(drawn.careers.remove_columns("race"), settings)
    few = drawn.careers.select(range(5))
    with pytest.raises(ValueError, match="race 'martian' is none of the market's"):
        study.fit_market(few.remove_columns("race").add_column("race", ["martian"] * 5), settings)


def test_what_ships_rests_on_ten_people_or_more_and_its_market_has_the_shares_that_it_was_fitted_to():
    cells = pd.read_csv(CELLS, dtype={"cell": str}, keep_default_na=False)
    assert cells["people"].min() >= study.FEWEST
    market = preset("nlsy79")
    drawn, _ = study._simulated(market, 4_000, seed=11)
    for name, most in {"stay_by_group": 0.04, "return_by_held": 0.06, "flow": 0.05, "move_by_origin": 0.05}.items():
        wanted = cells[(cells["table"] == name) & (cells["people"] >= 100)]
        places = tuple(np.array([list(map(int, cell.split())) for cell in wanted["cell"]]).T)
        hits = drawn[name].hits
        trials = (np.zeros_like(hits) + hits.sum(axis=1, keepdims=True) if name == "flow" else drawn[name].trials)[
            places
        ]
        there = trials > 0  # nobody who is unemployed moves to unemployment
        reached = hits[places][there] / trials[there]
        assert there.sum() > 5 and np.abs(reached - wanted["survey"][there]).max() < most, name
    # What the drawn market does not have: returns rise with the number of earlier occupations.
    returns = drawn["return_by_held"]
    rising = (returns.hits / returns.trials)[:6]
    assert (np.diff(rising) > -0.03).all() and rising[-1] > rising[0] + 0.15
    sales, clerks, managers = 3, 4, 0
    into = drawn["flow"].hits / drawn["flow"].hits.sum(axis=1, keepdims=True)
    assert into[sales, managers] > 0.15 and into[clerks, managers] > 0.1
