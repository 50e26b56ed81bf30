"""What forecasts are worth: by horizon, for states, for shares, as prediction sets; against loops and known laws."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from career_hf.evaluation.metrics import perplexity
from career_hf.forecasting.metrics import (
    by_horizon,
    calibration_by_horizon,
    prediction_sets,
    share_forecasts,
    state_auc,
    state_auc_differences,
)
from career_hf.forecasting.result import Forecast, Trajectories
from career_hf.forecasting.table import forecast_table


LABELS = ["cook", "waiter", "driver", "unemployed"]
YEARS = [2001, 2003]
SAMPLES = 200


def drawn_from(people, seed=0, sharpness=1.0):
    """A forecast whose probabilities are right, and what happened; or too sure of itself with a larger sharpness."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(4, 0.6), size=(people, 2)).clip(1e-3)
    p /= p.sum(-1, keepdims=True)
    occupation = (p.cumsum(-1) < rng.random((people, 2, 1))).sum(-1).clip(max=3)
    drawn = (p[:, None].cumsum(-1) < rng.random((people, SAMPLES, 2, 1))).sum(-1).clip(max=3)
    stated = p**sharpness / (p**sharpness).sum(-1, keepdims=True)
    names = [f"p{i:05d}" for i in range(people)]
    paths = [(i, *np.unique(own, axis=0, return_counts=True)) for i, own in enumerate(drawn)]
    trajectories = Trajectories(
        np.repeat(np.arange(people), [len(count) for _, _, count in paths]),
        np.concatenate([count for _, _, count in paths]),
        np.concatenate([path for _, path, _ in paths]),
    )
    error = np.sqrt(stated * (1 - stated) / SAMPLES).astype(np.float32)
    result = Forecast(names, np.tile(YEARS, (people, 1)), LABELS, stated.astype(np.float32), error, trajectories)
    rows = pd.DataFrame({"person": np.repeat(names, 2), "step": [1, 2] * people, "year": YEARS * people})
    rows = rows.assign(gap_years=1, previous="cook", occupation=np.array(LABELS)[occupation.ravel()])
    rows["transition"] = np.where(rows["occupation"] == "cook", "stay", "new")
    rows = rows.assign(survivor=True, weight=np.repeat(1.0 + np.arange(people) % 3, 2))
    return result, forecast_table(result, rows, watch=["unemployed"])


@pytest.fixture(scope="module")
def right():
    return drawn_from(1_500)


def test_each_years_numbers_are_those_of_its_rows(right):
    _, table = right
    for weighted in (False, True):
        found = by_horizon(table, draws=50, weighted=weighted)
        assert found.index.tolist() == ["all", *YEARS]
        for year, row in found.iterrows():
            part = table if year == "all" else table[table["year"] == year]
            assert row["n"] == len(part) and row["people"] == part["person"].nunique()
            assert row["perplexity"] == pytest.approx(perplexity(part, weighted))
            assert row["low"] < row["perplexity"] < row["high"]
            assert row["AUC unemployed"] == pytest.approx(state_auc(part, "unemployed", weighted))
            assert row["AUC unemployed low"] < row["AUC unemployed"] < row["AUC unemployed high"]
            assert row["in_set"] == part["in_set"].mean() and row["set_size"] == part["set_size"].mean()


def test_the_monte_carlo_error_is_that_of_perplexity(right):
    """Perplexities of forecasts that are sampled again and again vary as much as is said of one of them."""
    result, table = right
    part = table[table["year"] == YEARS[0]]
    stated = by_horizon(part, draws=2).loc["all", "monte_carlo"]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(400, len(part))) * part["log_prob_error"].to_numpy()
    again = np.exp(-(part["log_prob"].to_numpy() + noise).mean(axis=1))
    assert again.std() == pytest.approx(stated, rel=0.1)


def test_the_bias_that_is_left_out_is_said_beside_the_error(right):
    _, table = right
    found = by_horizon(table, draws=2, weighted=True)
    for year in YEARS:
        part = table[table["year"] == year]
        # What was sampled, without its correction.
        uncorrected = part.assign(log_prob=part["log_prob"] - part["log_prob_correction"])
        higher = perplexity(uncorrected, weighted=True) - perplexity(part, weighted=True)
        assert found.loc[year, "monte_carlo_bias"] == pytest.approx(higher) and higher > 0


def test_the_auc_of_a_state_is_the_share_of_pairs_in_order(right):
    _, table = right
    part = table.iloc[:300]
    there = part["occupation"] == "unemployed"
    inside, outside = (part.loc[where, "p(unemployed)"].to_numpy() for where in (there, ~there))
    pairs = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
    assert state_auc(part, "unemployed") == pytest.approx(pairs.mean())
    weight = part["weight"].to_numpy()
    pair_weight = weight[there.to_numpy()][:, None] * weight[~there.to_numpy()]
    assert state_auc(part, "unemployed", weighted=True) == pytest.approx(np.average(pairs, weights=pair_weight))
    nobody = part[~there]
    assert by_horizon(nobody, draws=5).filter(like="AUC").isna().all(axis=None)
    with pytest.raises(ValueError, match="0 of .* observations are 'unemployed'"):
        state_auc(nobody, "unemployed")
    with pytest.raises(ValueError, match="make it with watch"):
        state_auc(part, "waiter")


def test_intervals_of_a_states_auc_have_the_width_of_clustered_placements(right):
    """Against the variance of DeLong et al. (1988), summed by household: of two models, and of their difference."""
    _, table = right
    # Two careers of one household are alike, so that everything is half as certain as people are many.
    twice = pd.concat([table, table.assign(person=table["person"] + " again")], ignore_index=True)
    household = pd.concat([table["person"], table["person"]], ignore_index=True)
    mine = twice.assign(group=household)
    noise = np.random.default_rng(1).normal(size=len(table))
    worse = mine.assign(**{"p(unemployed)": mine["p(unemployed)"] * np.exp(np.tile(noise, 2))})
    found = state_auc_differences({"mine": mine, "worse": worse}, "mine", "unemployed", draws=2000)
    there = (mine["occupation"] == "unemployed").to_numpy()

    def influence(scores):
        score = scores["p(unemployed)"].to_numpy()
        above = (score[there][:, None] > score[~there]) + 0.5 * (score[there][:, None] == score[~there])
        values = np.empty(len(score))
        values[there] = (above.mean(axis=1) - above.mean()) / there.sum()
        values[~there] = (above.mean(axis=0) - above.mean()) / (~there).sum()
        return pd.Series(values).groupby(household).sum()

    of_mine, of_worse = influence(mine), influence(worse)
    widths = {"": np.sqrt((of_worse**2).sum()), "difference_": np.sqrt(((of_worse - of_mine) ** 2).sum())}
    for name, error in widths.items():
        low, high = found.loc["worse", [f"{name}low", f"{name}high"]]
        assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.loc["worse", "difference"] == pytest.approx(
        state_auc(worse, "unemployed") - state_auc(mine, "unemployed")
    )
    assert found.loc["worse", "difference_high"] < 0 == found.loc["mine", "difference_high"]
    # Of nine people who are ever in the state there is an area and no interval.
    few = mine.drop(index=np.flatnonzero(there & ~household.isin(household[there].unique()[:9]).to_numpy()))
    row = state_auc_differences({"few": few}, "few", "unemployed", draws=5).loc["few"]
    assert 0 < row["auc"] < 1 and row[["low", "high"]].isna().all()


def test_calibration_is_that_of_the_likeliest_occupation_in_each_year(right):
    _, table = right
    curves = calibration_by_horizon(table, bins=5, draws=50)
    assert curves.groupby("year")["n"].sum().to_dict() == dict.fromkeys(YEARS, 1_500)
    assert (curves["predicted"] - curves["observed"]).abs().max() < 0.08
    _, sure = drawn_from(1_500, sharpness=3.0)
    assert (calibration_by_horizon(sure, draws=2).eval("predicted - observed")).max() > 0.1


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_conformal_sets_cover_whatever_the_model(sharpness):
    result, table = drawn_from(1_500, seed=2, sharpness=sharpness)
    found = prediction_sets(result, table, coverage=0.8, seed=1)
    assert found.index.tolist() == YEARS and (found["calibration"] == 750).all() and (found["tested"] == 750).all()
    # At least .8 up to chance, which is .015 among the tested and as much in the thresholds.
    assert (found["coverage"] > 0.8 - 4 * 0.021).all()
    if sharpness == 3.0:
        # Its own sets do not: they say 90%.
        assert (found["uncalibrated"] < 0.85).all()
    larger = prediction_sets(result, table, coverage=0.95, seed=1)
    assert (larger["set_size"] > found["set_size"]).all() and (larger["coverage"] > found["coverage"]).all()


def test_the_threshold_is_the_order_statistic_and_sets_are_counted_from_it(right):
    result, table = right
    found = prediction_sets(result, table, coverage=0.9, calibration_share=0.2, seed=3, splits=1)
    people = table["person"].unique()
    chosen = set(people[np.random.default_rng(3).permutation(len(people))[:300]])
    for year in YEARS:
        part = table[table["year"] == year]
        before = sorted(part.loc[part["person"].isin(chosen), "mass_before"])
        assert found.loc[year, "threshold"] == before[int(np.ceil(301 * 0.9)) - 1]
        tested = part[~part["person"].isin(chosen)]
        covered = tested["mass_before"] <= found.loc[year, "threshold"]
        assert found.loc[year, "coverage"] == covered.mean()
        error = np.sqrt(covered.mean() * (1 - covered.mean()) / len(covered))
        assert found.loc[year, "standard_error"] == pytest.approx(error)
        at = [result.people.index(person) for person in tested["person"]]
        p = result.probability[at, YEARS.index(year)].astype(float)
        sizes = [sum(sum(sorted(own)[::-1][:k]) <= found.loc[year, "threshold"] for k in range(4)) for own in p]
        assert found.loc[year, "set_size"] == pytest.approx(np.mean(sizes))


def test_sets_always_hold_the_likeliest_and_splits_are_averaged():
    """Somebody of whom the model is sure has a set of one, not of none."""
    result, table = drawn_from(400, seed=4, sharpness=4.0)
    sure = result.probability.max(-1) > 0.95
    assert sure.mean() > 0.2
    found = prediction_sets(result, table, coverage=0.5, splits=8)
    assert (found["median_set_size"] >= 1).all() and (found["set_size"] >= 1).all()
    alone = [prediction_sets(result, table, coverage=0.5, splits=1, seed=seed) for seed in range(30)]
    coverages = pd.concat([one["coverage"] for one in alone], axis=1)
    assert found["split_sd"].to_numpy() == pytest.approx(coverages.std(axis=1).to_numpy(), rel=0.6)
    assert (found["coverage"] - coverages.mean(axis=1)).abs().max() < 0.02
    assert np.isnan(alone[0]["split_sd"]).all()


def test_people_of_a_household_are_on_one_side_and_count_together():
    """Households of three with the same career: as many as people would say, the error is sqrt(3) of people's."""
    result, table = drawn_from(200, seed=5)
    copies = [table.assign(person=table["person"] + suffix, group=table["person"]) for suffix in ("", "b", "c")]
    people = [person + suffix for suffix in ("", "b", "c") for person in result.people]
    arrays = [np.tile(array, (3, 1, 1)) for array in (result.probability, result.standard_error)]
    whole = Forecast(people, np.tile(result.years, (3, 1)), LABELS, *arrays)
    households = prediction_sets(whole, pd.concat(copies, ignore_index=True), splits=1, seed=6)
    alone = prediction_sets(result, table, splits=1, seed=6)
    assert households["tested"].tolist() == [300, 300]
    for name in ("coverage", "standard_error", "set_size"):
        # Thresholds are of 300 people instead of 100, which may take the next one.
        assert households[name].to_numpy() == pytest.approx(alone[name].to_numpy(), rel=0.1)
    apart = prediction_sets(whole, pd.concat(copies, ignore_index=True).drop(columns="group"), splits=1, seed=6)
    assert (apart["standard_error"] < 0.75 * households["standard_error"]).all()


def test_too_few_people_make_sets_of_everything_and_none_are_an_error(right):
    result, table = right
    few = table[table["person"].isin(result.people[:10])]
    assert (prediction_sets(result, few, coverage=0.95)["threshold"] == np.inf).all()
    with pytest.raises(ValueError, match="2001 has 0 people to calibrate sets"):
        prediction_sets(result, few, calibration_share=0.0)
    with pytest.raises(ValueError, match="coverage must be between 0 and 1"):
        prediction_sets(result, table, coverage=1.0)


def test_shares_and_their_fans(right):
    result, table = right
    for weighted in (False, True):
        found = share_forecasts(result, table, ["unemployed", "cook"], weighted=weighted)
        assert found["occupation"].tolist() == ["unemployed"] * 2 + ["cook"] * 2
        weight = table["weight"] if weighted else pd.Series(1.0, table.index)
        for row in found.to_dict("records"):
            part = table[table["year"] == row["year"]]
            realised = np.average(part["occupation"] == row["occupation"], weights=weight[part.index])
            assert row["realised"] == pytest.approx(realised) and row["n"] == len(part)
            assert row["0.05"] < row["0.25"] < row["expected"] < row["0.75"] < row["0.95"]
            code = LABELS.index(row["occupation"])
            p = result.probability[:, YEARS.index(row["year"]), code].astype(float)
            spread = np.sqrt(((weight[part.index] / weight[part.index].sum()) ** 2 * p * (1 - p)).sum())
            # The middle nine tenths of a normal distribution.
            assert row["0.95"] - row["0.05"] == pytest.approx(2 * 1.645 * spread, rel=0.25)


def test_fans_hold_what_happens_as_often_as_they_say():
    inside = []
    for seed in range(40):
        result, table = drawn_from(60, seed=seed)
        found = share_forecasts(result, table, LABELS[:1])
        inside += (found["realised"].between(found["0.05"], found["0.95"])).tolist()
    # 80 shares; a standard error of .034, and shares of 60 people are in steps, which widens fans.
    assert 0.8 <= np.mean(inside) <= 1


def test_shares_need_trajectories_and_labels_that_are_forecast(right):
    result, table = right
    with pytest.raises(ValueError, match=r"labels \['pilot'\] are not among the 4"):
        share_forecasts(result, table, ["pilot"])
    without = Forecast(result.people, result.years, LABELS, result.probability, result.standard_error)
    with pytest.raises(ValueError, match="trajectories=True"):
        share_forecasts(without, table, ["cook"])
