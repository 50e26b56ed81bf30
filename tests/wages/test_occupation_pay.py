"""Pay of occupations: against least squares by numpy and statsmodels, and the pay of likely destinations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from career_hf import forecast, from_frame, split_careers, to_frame, train
from career_hf.careers import truncate
from career_hf.careers.clusters import clusters
from career_hf.simulation import draw_wages, preset
from career_hf.wages import occupation_pay


pytest.importorskip("pyfixest", reason="the extra 'econ' is not installed")
statsmodels = pytest.importorskip("statsmodels.api", reason="the extra 'studies' is not installed")


@pytest.fixture(scope="module")
def paid():
    return split_careers(draw_wages(preset("tiny").simulate(900)).careers)


@pytest.fixture(scope="module")
def pay(paid):
    return occupation_pay(paid)


def worked(careers, fewest):
    """Years at work with a wage in occupations of enough people."""
    long = to_frame(careers).dropna(subset="log_wage")
    return long[long.groupby("occupation")["person"].transform("nunique") >= fewest]


def test_pay_and_its_errors_are_those_of_statsmodels(paid, pay):
    long = worked(paid["train"], 20)
    design = pd.get_dummies(long[["occupation", "year", "education", "gender"]].astype(str), dtype=float)
    first = [f"{name}_{long[name].astype(str).min()}" for name in ("year", "education", "gender")]
    design = design.drop(columns=first)
    household = pd.factorize(clusters(long))[0]
    fit = statsmodels.OLS(long["log_wage"], design).fit(cov_type="cluster", cov_kwds={"groups": household})
    assert household.max() + 1 < long["person"].nunique()
    occupations = [name for name in design if name.startswith("occupation_")]
    labels = [name.removeprefix("occupation_") for name in occupations]
    share = long["occupation"].value_counts(normalize=True).loc[labels].to_numpy()
    centre = np.eye(len(labels)) - share
    expected = centre @ fit.params[occupations]
    covariance = centre @ fit.cov_params().loc[occupations, occupations].to_numpy() @ centre.T
    assert list(pay.pay.index) == labels
    np.testing.assert_allclose(pay.pay["log_wage"], expected, atol=1e-10)
    np.testing.assert_allclose(pay.covariance, covariance, rtol=1e-6, atol=1e-12)
    half = stats.t.ppf(0.975, household.max()) * np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(pay.pay["high"] - pay.pay["log_wage"], half, rtol=1e-6)
    assert np.average(pay.pay["log_wage"], weights=pay.pay["person_years"]) == pytest.approx(0, abs=1e-12)


def test_people_are_compared_with_themselves(paid):
    """Against dummies of people, which least squares of all rows has."""
    found = occupation_pay(paid, same_people=True, fewest=15)
    long = worked(paid["train"], 1)
    long = long[long["occupation"].isin(found.pay.index)]
    movers = long[long.groupby("person")["occupation"].transform("nunique") > 1]
    assert found.pay["people"].to_dict() == movers.groupby("occupation")["person"].nunique().to_dict()
    assert found.pay["people"].min() >= 15
    design = pd.get_dummies(long[["occupation", "year", "education", "person"]].astype(str), dtype=float)
    solved = pd.Series(np.linalg.lstsq(design, long["log_wage"])[0], design.columns)
    expected = solved.filter(like="occupation_").rename(lambda name: name.removeprefix("occupation_"))
    apart = expected.loc[found.pay.index].to_numpy() - found.pay["log_wage"].to_numpy()
    np.testing.assert_allclose(apart, apart.mean(), atol=1e-8)


def test_what_occupations_pay_in_the_market_is_found():
    """Of people drawn alike, those in one occupation earn .5 more, and movers between two others .2."""
    rng, rows = np.random.default_rng(0), []
    truth = {"a": 0.0, "b": 0.5, "c": 0.2}
    for person in range(300):
        ability = rng.normal(0, 0.5)
        for year in range(1990, 1996):
            own = rng.choice(list(truth))
            wage = 1 + ability + truth[own] + 0.01 * (year - 1990) + rng.normal(0, 0.1)
            rows.append({"person": person, "year": year, "occupation": own, "log_wage": wage})
    careers = from_frame(pd.DataFrame(rows), outcomes=["log_wage"])
    for same_people, tolerance in ((False, 0.1), (True, 0.02)):
        found = occupation_pay(careers, split="all", controls=["year"], same_people=same_people)
        change = found.change(["a", "a", "c"], ["b", "c", "b"])
        np.testing.assert_allclose(change["change"], [0.5, 0.2, 0.3], atol=tolerance)
        error = (change["high"] - change["low"]) / 4
        assert (abs(change["change"] - [0.5, 0.2, 0.3]) < 4 * error).all() and (error < tolerance).all()
    assert found.change(["a"], ["b"])["change"].item() == pytest.approx(-found.change(["b"], ["a"])["change"].item())
    assert found.change(["a"], ["a"]).to_numpy().ravel().tolist() == pytest.approx([0, 0, 0], abs=1e-8)


def test_destinations_are_the_likeliest_that_are_not_staying(paid, pay):
    past, _ = truncate(paid["test"], 1986)
    made = forecast(train(paid, model="markov-1"), past.select(range(20)), horizon=2)
    rows = pay.of_moves(made, k=3)
    assert (rows["occupation"] != rows["previous"]).all()
    assert rows.groupby(["person", "year"]).size().eq(3).all()
    assert rows.groupby(["person", "year"])["rank"].apply(list).map(lambda ranks: ranks == [1, 2, 3]).all()
    at, last = made.probability[0, 0].copy(), past[0]["occupation"][-1]
    at[made.occupations.index(last)] = 0
    first = rows.iloc[:3]
    np.testing.assert_allclose(first["probability"], np.sort(at)[::-1][:3])
    assert first["previous"].eq(last).all()
    known = rows["previous"].isin(pay.pay.index) & rows["occupation"].isin(pay.pay.index)
    assert known.any() and not known.all() and (rows["change"].notna() == known).all()
    row = rows[known].iloc[0]
    expected = pay.pay.loc[row["occupation"], "log_wage"] - pay.pay.loc[row["previous"], "log_wage"]
    assert row["change"] == pytest.approx(expected) and row["low"] < row["change"] < row["high"]


def test_person_years_that_are_left_out_are_counted(paid):
    found = occupation_pay(paid, fewest=40)
    entry = found.ledger.entries[-1]
    assert entry.rows_out == found.pay["person_years"].sum() < entry.rows_in
    assert entry.rows_in == entry.rows_out + sum(entry.dropped.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"controls": ["union"]}, "careers have no column 'union'"),
        ({"controls": ["year", "year"]}, "'year' is there twice"),
        ({"controls": ["person"]}, "'person' is no control"),
        ({"controls": ["log_wage"]}, "'log_wage' is no control"),
        ({"fewest": 100_000}, "fewer than two occupations have at least 100000 people with wages"),
        ({"fewest": -1}, "fewest"),
        ({"split": "others"}, "others"),
    ],
)
def test_what_cannot_be_estimated_is_refused(paid, options, message):
    with pytest.raises(ValueError, match=message):
        occupation_pay(paid, **options)


def test_a_forecast_of_another_coding_is_refused(paid, pay):
    other = split_careers(preset("tiny").simulate(60).careers)
    other = other.map(lambda row: {"occupation": [f"x{label}" for label in row["occupation"]]})
    made = forecast(train(other, model="markov-1"), other["test"], horizon=1)
    with pytest.raises(ValueError, match="take wages and a model of one coding"):
        pay.of_moves(made)
    with pytest.raises(TypeError, match="pass what forecast"):
        pay.of_moves(paid)
    for previous, occupation in (("13", "14"), (["13"], ["14", "15"])):
        with pytest.raises(ValueError, match="give as many of both"):
            pay.change(previous, occupation)


def rows_of(rows):
    return from_frame(pd.DataFrame(rows, columns=["person", "year", "occupation", "log_wage"]), outcomes=["log_wage"])


def test_pay_that_a_control_could_say_as_well_is_refused():
    """A coding that changes in one year: what looks like pay is the trend."""
    rng = np.random.default_rng(0)
    rows = [
        (person, year, "new" if year >= 1992 else "old", 0.1 * (year - 1990) + rng.normal(0, 0.01))
        for person in range(60)
        for year in range(1990, 1994)
    ]
    for same_people in (False, True):
        with pytest.raises(ValueError, match="occupation 'old': its pay cannot be told from the effects of year"):
            occupation_pay(rows_of(rows), split="all", controls=["year"], same_people=same_people)


def test_what_few_people_tell_has_no_interval_and_is_left_out_by_default():
    rng = np.random.default_rng(0)
    rows = [(f"s{p}", year, "ab"[p % 2], rng.normal()) for p in range(60) for year in range(4)]
    rows += [(f"m{p}", year, "ab"[year % 2], rng.normal()) for p in range(3) for year in range(4)]
    found = occupation_pay(rows_of(rows), split="all", controls=[], same_people=True, fewest=1)
    assert found.pay["people"].tolist() == [3, 3] and found.pay[["low", "high"]].isna().all(axis=None)
    change = found.change(["a"], ["b"])
    assert change["change"].notna().all() and change[["low", "high"]].isna().all(axis=None)
    with pytest.raises(ValueError, match="at least 20 people who work in others too"):
        occupation_pay(rows_of(rows), split="all", controls=[], same_people=True)


def test_occupations_between_which_nobody_moves_are_refused():
    rng = np.random.default_rng(0)
    rows = [(p, year, "ab"[year % 2] + str(p % 2), rng.normal()) for p in range(120) for year in range(4)]
    with pytest.raises(ValueError, match="nobody moves between it and some other occupations"):
        occupation_pay(rows_of(rows), split="all", controls=[], same_people=True)


def test_a_measurement_is_no_control():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        [(p, year, "ab"[rng.integers(2)], rng.normal(), rng.normal()) for p in range(200) for year in range(4)],
        columns=["person", "year", "occupation", "log_wage", "hours"],
    )
    careers = from_frame(frame, outcomes=["log_wage", "hours"])
    with pytest.raises(ValueError, match="'hours' has 800 levels, and may have 500"):
        occupation_pay(careers, split="all", controls=["hours"])


def test_nothing_is_warned_of(paid, recwarn):
    occupation_pay(paid, same_people=True)
    assert not [warning for warning in recwarn if "multicollinearity" in str(warning.message)]
