"""The studies of the coverage of fans: small worlds, and a backtest that learns only from what was known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from command_output import words
from replication import coverage_shares as study
from replication.study import studies
from typer.testing import CliRunner

from career_hf.careers import from_frame, save_careers, split_careers, to_frame
from career_hf.forecasting.shocks import estimate_shocks
from career_hf.occupations.crosswalks import codes


def test_worlds_have_fans_of_one_model_and_of_an_ensemble(tmp_path):
    settings = study.WorldSettings(
        law="chain", model="markov-1", worlds=2, members=2, people=60, forecast=60, samples=10
    )
    found = study.CoverageOfShares(tmp_path, settings).run(workers=1)
    table = found["coverage"]
    assert table.index.tolist() == ["one model", "ensemble"] and table["shares"].gt(50).all()
    assert table.loc["one model", "model"] == 0 and table.loc["ensemble", "model"] > 0.1
    assert table["90%"].between(0, 1).all() and (table["90%"] >= table["50%"]).all()
    assert found["by_step"].index.get_level_values("ahead").unique().tolist() == [1, 2, 3]


def test_people_of_the_chain_move_as_its_matrix_says():
    long = to_frame(study.chain_careers(4_000, np.random.default_rng(0)))
    previous = long.groupby("person")["occupation"].shift()
    stays = (previous == long["occupation"])[previous.notna()]
    expected = np.diag(study.transitions(study.STAY))[pd.Categorical(previous.dropna(), study.LABELS).codes].mean()
    assert stays.mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / len(stays)))


def test_a_backtest_learns_from_what_was_known_at_each_cutoff(tmp_path):
    rng, labels = np.random.default_rng(0), [*codes()[:3], *codes()[-2:], "unemployed"]
    rows = []
    for person in range(120):
        own = rng.choice(labels)
        for year in range(1980, 1992):
            own = own if rng.random() < 0.7 else rng.choice(labels)
            rows.append({"person": person, "year": year, "occupation": own})
    save_careers(split_careers(from_frame(pd.DataFrame(rows))), tmp_path / "careers")
    settings = study.BacktestSettings(model="markov-1", members=2, samples=10, cutoffs=(1984, 1986, 1988), learning=1)
    plan = study.BacktestOfShares(tmp_path / "study", settings, data=tmp_path / "careers", covariates=())
    found = plan.run(workers=1)
    shares = found["shares"]
    assert set(shares["cutoff"]) == {1986, 1988}
    first = pd.read_csv(plan.at(1984))
    assert set(first["fan"]) == {"one model", "ensemble"}
    known = first[(first["fan"] == "ensemble") & (first["kind"] == "occupations") & (first["year"] <= 1986)]
    row = shares[
        (shares["fan"] == "ensemble and years") & (shares["kind"] == "occupations") & (shares["cutoff"] == 1986)
    ].iloc[0]
    size = estimate_shocks([known]).deviation(row["occupation"], row["ahead"])
    assert row["years"] == pytest.approx(row["expected"] * (1 - row["expected"]) * size, rel=1e-3)
    of_all = found["coverage"].loc["ensemble and years"]
    assert (of_all["years"] > 0).any() and {"broad groups and states", "occupations"} == set(of_all.index)


def test_a_backtest_needs_a_cutoff_after_those_that_it_learns_from(tmp_path):
    (tmp_path / "careers").mkdir()
    arguments = ["backtest-shares", "--data", str(tmp_path / "careers"), "--output", str(tmp_path / "study")]
    result = CliRunner().invoke(studies, [*arguments, "--cutoffs", "1986,1984"])
    assert result.exit_code == 2 and "no cutoff after the first 2" in words(result)
