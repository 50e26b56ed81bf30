"""The study of the wage gap, at a small size: its estimators against others' code, and its cells and tables."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from drawn_points import points_of
from replication import wage_gap as study
from scipy import linalg, sparse

from career_hf.careers import to_frame
from career_hf.occupations.labels import GENDERS
from career_hf.simulation import draw_wages, preset, type_posteriors, wage_truth
from career_hf.simulation.world import NOT_WORKING


SPECIFICATIONS = [
    "raw",
    study.SUMMARY,
    "+ occupation",
    "+ all observed wage terms",
    "+ bag of history",
    study.AS_MAN,
    study.OWN_GENDER,
    study.TYPE,
]
# Enough people that women and men share occupations.
SMALL = study.WageGapSettings(market="tiny", people=400, seeds=(0,), candidates=(0, 1), pilot_people=300)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    made = study.WageGapStudy(tmp_path_factory.mktemp("wage-gap"), SMALL)
    return made, made.run(workers=1)["wage_gap"]


@pytest.fixture(scope="module")
def simulation():
    return draw_wages(preset("tiny").with_world(type_gender_sd=2.0).simulate(1500, seed=2))


@pytest.fixture(scope="module")
def estimates(simulation):
    return study.estimate_wage_gap(simulation).set_index(["specification", "estimator"])


@pytest.fixture(scope="module")
def design(simulation):
    """Rows of the truth that the study compares, and their controls."""
    posteriors = {gender: type_posteriors(simulation.careers, simulation.world, gender) for gender in GENDERS}
    waves = wage_truth(simulation.careers, simulation.world, posteriors=posteriors)
    for name in ("occupation", "year", "recipe"):
        women, men = (set(waves.loc[waves["female"] == female, name]) for female in (1, 0))
        waves = waves[waves[name].isin(women & men)]
    return waves, study.controls(simulation, waves, posteriors)


def test_every_cell_has_every_specification_and_both_estimators(done):
    made, table = done
    folder = made.folder
    cells = table.groupby(["world", "seed"], sort=False)
    assert cells.ngroups == 4
    for _, rows in cells:
        assert rows["specification"].tolist() == [name for name in SPECIFICATIONS for _ in study.ESTIMATORS]
        assert rows["estimator"].tolist() == list(study.ESTIMATORS) * len(SPECIFICATIONS)
    columns = ["world", "seed", "specification", "estimator", "estimate", "standard_error", "without_noise", "r2"]
    columns += ["structural", "history_adjusted", "r2_ceiling", "observations", "people", "left_out"]
    assert table.columns.tolist() == columns
    assert table["without_noise"].isna().equals(table["specification"] == study.TYPE)
    assert table.drop(columns="without_noise").notna().all(axis=None)
    written = pd.read_csv(folder / "wage_gap.csv")
    pd.testing.assert_frame_equal(written, table, atol=1e-5, rtol=0, check_dtype=False)
    figure = study.wage_gap_figure(study.summarize_wage_gap(table), table)
    assert [axes.get_title() for axes in figure.axes] == list(table["world"].unique())
    for axes in figure.axes:
        rows = table[table["world"] == axes.get_title()]
        drawn = [rows.loc[rows["estimator"] == name, "estimate"] for name in study.ESTIMATORS]
        assert points_of(axes)[:, 0] == pytest.approx(np.concatenate(drawn))


def test_summary_is_the_mean_of_seeds_with_the_error_of_independent_samples(done):
    made, table = done
    other = table.assign(seed=1, estimate=table["estimate"] + 0.03, standard_error=2 * table["standard_error"])
    both = pd.concat([table, other], ignore_index=True)
    summary = study.summarize_wage_gap(both)
    assert len(summary) == 4 * len(SPECIFICATIONS) * 2
    first = summary.iloc[3]
    rows = both[
        (both[["world", "specification", "estimator"]] == first[["world", "specification", "estimator"]]).all(axis=1)
    ]
    assert len(rows) == 2
    assert first["estimate"] == pytest.approx(rows["estimate"].mean())
    error = np.hypot(*rows["standard_error"]) / 2
    assert (first["low"], first["high"]) == pytest.approx(rows["estimate"].mean() + 1.96 * error * np.array([-1, 1]))
    assert first["error"] == pytest.approx((rows["estimate"] - rows["history_adjusted"]).mean())
    written = pd.read_csv(made.folder / "summary.csv")
    pd.testing.assert_frame_equal(written, study.summarize_wage_gap(table), atol=1e-5, rtol=0, check_dtype=False)


def test_every_world_has_every_seed(done):
    both = replace(done[0], settings=replace(SMALL, seeds=(0, 1)))
    assert len(both.chosen()) == 4 * 2 and {cell.seed for cell in both.chosen().values()} == {0, 1}


def test_worlds_are_chosen_by_how_wrong_summary_statistics_are(done):
    made, table = done
    folder = made.folder
    tried = pd.read_csv(folder / "candidates.csv", index_col="world")[study.SUMMARY]
    over, under, *_ = table["world"].unique()
    assert over == f"gap overstated ({tried.idxmin()})"
    assert under == f"gap understated ({tried.idxmax()})"
    pilot = pd.read_csv(folder / "pilot" / f"{tried.idxmin()}, {study.PILOT_SEED}.csv")
    row = pilot.set_index(["specification", "estimator"]).loc[(study.SUMMARY, "unexplained")]
    assert tried.min() == pytest.approx(row["without_noise"] - row["history_adjusted"], abs=1e-5)


def test_finished_cells_are_kept_and_a_lost_one_is_made_again(done, monkeypatch):
    made, table = done
    folder = made.folder
    lost = folder / "cells" / "gender in wages only, 0.csv"
    lost.rename(folder / "lost.csv")
    before = {path: os.stat(path).st_mtime_ns for path in folder.glob("*/*.csv")}
    assert len(before) == 2 + 4 - 1
    estimated = []

    def counted(drawn, config):
        estimated.append(drawn.world.config)
        return estimate(drawn, config)

    estimate = study.estimate_wage_gap
    monkeypatch.setattr(study, "estimate_wage_gap", counted)
    pd.testing.assert_frame_equal(made.run(workers=1)["wage_gap"], table)
    assert estimated == [preset("tiny").with_world(**study.NO_GENDER).world]
    assert before == {path: os.stat(path).st_mtime_ns for path in before}
    assert lost.read_bytes() == (folder / "lost.csv").read_bytes()


def test_a_folder_belongs_to_one_study(done):
    with pytest.raises(ValueError, match="holds a study with other settings"):
        replace(done[0], settings=replace(SMALL, people=401)).run()


@pytest.mark.parametrize("name", [study.SUMMARY, "+ bag of history", study.OWN_GENDER])
def test_estimates_are_those_of_statsmodels(estimates, design, name):
    waves, controls = design
    woman, x, wage = waves["female"].to_numpy() == 1, controls[name].toarray(), waves["log_wage"].to_numpy()
    person = pd.factorize(waves["person"])[0]
    # Some columns are superfluous (shares sum to one); statsmodels takes them for parameters, the study does not.
    x = x[:, np.sort(linalg.qr(x, mode="r", pivoting=True)[1][: np.linalg.matrix_rank(x)])]
    model = sm.OLS(wage, np.column_stack([x, woman])).fit(cov_type="cluster", cov_kwds={"groups": person})
    ours = estimates.loc[(name, "coefficient")]
    assert ours["estimate"] == pytest.approx(model.params[-1])
    assert ours["standard_error"] == pytest.approx(model.bse[-1], rel=1e-5)
    assert ours["r2"] == pytest.approx(model.rsquared)

    men = sm.OLS(wage[~woman], x[~woman]).fit(cov_type="cluster", cov_kwds={"groups": person[~woman]})
    left = wage[woman] - men.predict(x[woman])
    women = sm.OLS(left, np.ones(len(left))).fit(cov_type="cluster", cov_kwds={"groups": person[woman]})
    mean = x[woman].mean(axis=0)
    ours = estimates.loc[(name, "unexplained")]
    assert ours["estimate"] == pytest.approx(left.mean())
    error = np.sqrt(mean @ men.cov_params() @ mean + women.bse[0] ** 2)
    assert ours["standard_error"] == pytest.approx(error, rel=1e-5)


def test_levels_that_one_gender_lacks_are_left_out_and_counted(simulation, estimates, design):
    worked = to_frame(simulation.careers)["log_wage"].notna().sum()
    assert set(estimates["observations"]) == {len(design[0])}
    assert set(estimates["left_out"]) == {worked - len(design[0])}
    assert set(estimates["people"]) == {design[0]["person"].nunique()}
    assert worked > len(design[0])


def test_without_controls_both_estimators_are_the_difference_in_means(estimates, design):
    wages = design[0].groupby("female")["log_wage"].mean()
    np.testing.assert_allclose(estimates.loc["raw", "estimate"], wages[1] - wages[0])


def test_each_posterior_targets_its_truth_exactly_but_for_the_noise_of_wages(estimates):
    """Without noise: the posterior as if a man's gives the mean gap of women, one's own the structural gap."""
    known = estimates.iloc[0]
    assert abs(known["history_adjusted"] - known["structural"]) > 5e-3
    without = estimates["without_noise"]
    assert without[study.AS_MAN, "unexplained"] == pytest.approx(known["history_adjusted"], abs=1e-6)
    np.testing.assert_allclose(without[study.OWN_GENDER], known["structural"], atol=1e-6)
    # The coefficient of the former is another average of the same gaps.
    assert abs(without[study.AS_MAN, "coefficient"] - known["history_adjusted"]) > 1e-4
    z = (estimates["estimate"] - without) / estimates["standard_error"]
    assert (z.abs()[[study.AS_MAN, study.OWN_GENDER]] < 4).all()
    of_type = estimates.loc[study.TYPE]
    assert (((of_type["estimate"] - known["structural"]) / of_type["standard_error"]).abs() < 4).all()


def test_bag_of_history_counts_what_has_been(simulation):
    careers, world = simulation.careers.select(range(60)), simulation.world
    bag, waves = study.bag_of_history(careers, world), to_frame(careers)
    family = dict(zip(world.labels, [*world.family, *world.config.families + np.arange(3)], strict=False))
    assert list(family)[-3:] == list(NOT_WORKING)
    row = 0
    for _, person in waves.groupby("person", sort=False):
        states = person["occupation"].tolist()
        for t in range(len(states)):
            past = states[: t + 1]
            shares = [np.mean([family[state] == f for state in past]) for f in range(1, world.config.families + 3)]
            moves = sum(a != b for a, b in zip(past, past[1:], strict=False))
            assert bag[row].tolist() == pytest.approx([*shares, len(past), moves, len(set(past))])
            row += 1
    assert row == len(bag)


def test_a_gap_that_is_not_identified_is_refused(simulation):
    x = sparse.csr_array(np.eye(4)[[0, 0, 1, 1]][:, :2])
    with pytest.raises(ValueError, match="not identified"):
        study.regress(np.ones((4, 1)), sparse.hstack([x, x[:, :1]]).tocsr(), np.array([0, 0, 1.0]), np.arange(4))
    men = simulation.careers["gender"][:]
    few = [i for i, gender in enumerate(men) if gender == "male"]
    with pytest.raises(ValueError, match="draw more people"):
        study.estimate_wage_gap(type(simulation)(**vars(simulation) | {"careers": simulation.careers.select(few)}))
