"""Intervals: who is resampled, how many it takes, and AUCs and calibration errors against other ways to find them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from career_hf.careers.clusters import FEWEST
from career_hf.evaluation.audit import audit
from career_hf.evaluation.calibration import calibration_error, calibration_errors, reliability
from career_hf.evaluation.evaluate import evaluate
from career_hf.evaluation.metrics import (
    auc_differences,
    bootstrap_perplexity,
    entry_auc,
    perplexity_by,
    perplexity_differences,
    perplexity_differences_by,
    ranking,
    stay_auc,
    summarize,
)
from career_hf.evaluation.report import report
from career_hf.evaluation.resampling import absolute_sum_interval, interval, resample_aucs
from career_hf.evaluation.transition_table import transition_table


def table_of(people: int, seed: int = 0, steps: int = 4, slope: float = 1.0) -> pd.DataFrame:
    """A transition table of independent people, whose stays have log-odds x and predicted log-odds `slope` times x."""
    rng = np.random.default_rng(seed)
    n = people * steps
    step, x = np.tile(np.arange(steps), people), np.repeat(rng.normal(size=people), steps) + rng.normal(size=n)
    stays = rng.random(n) < 1 / (1 + np.exp(-x))
    p = 1 / (1 + np.exp(-slope * x))
    out = rng.random(n) < 0.3
    return pd.DataFrame(
        {
            "person": np.repeat([f"p{i}" for i in range(people)], steps),
            "step": step,
            "year": 1990 + step,
            "previous": np.where(step == 0, None, "cook"),
            "occupation": np.where(stays, "cook", np.where(out, "out", "clerk")),
            "log_prob": np.log(np.where(stays, p, (1 - p) / 2).clip(1e-6)),
            "p_stay": np.where(step == 0, np.nan, p),
            "p_top": np.maximum(p, (1 - p) / 2),
            "rank": np.where(stays == (p > 1 / 3), 1, 2),
            "transition": np.where(step == 0, "first", np.where(stays, "stay", "new")),
            "unknown": False,
            "weight": np.repeat(rng.uniform(0.5, 2, people), steps),
            "p(out)": (1 - p) * rng.uniform(0.2, 0.5, n).round(1),
            "race": np.repeat(rng.choice(["a", "b"], people), steps),
        }
    )


def twins(table: pd.DataFrame) -> pd.DataFrame:
    """The same table with a twin of everybody, who has the same career, in the same household."""
    twin = table.assign(person=table["person"] + " twin")
    return pd.concat([table, twin], ignore_index=True).assign(group=lambda both: both["person"].str.split().str[0])


def test_resampled_areas_are_those_of_rows_drawn_by_hand():
    rng = np.random.default_rng(0)
    cluster = np.r_[np.arange(8), rng.integers(0, 8, 52)]
    happened, weight = rng.random(60) < 0.4, rng.gamma(2, size=60)
    scores = rng.normal(size=(60, 2)).round(1)  # with ties
    areas, resampled = resample_aucs(happened, scores, weight, cluster, draws=120, seed=3)
    for column in range(2):
        assert areas[column] == pytest.approx(roc_auc_score(happened, scores[:, column], sample_weight=weight))
    rng = np.random.default_rng(3)
    drawn = np.concatenate([rng.integers(8, size=(100, 8)), rng.integers(8, size=(20, 8))])
    for draw, clusters in enumerate(drawn):
        rows = np.concatenate([np.flatnonzero(cluster == c) for c in clusters])
        expected = roc_auc_score(happened[rows], scores[rows, 1], sample_weight=weight[rows])
        assert resampled[draw, 1] == pytest.approx(expected)


@pytest.mark.parametrize("label", [None, "out"])
def test_areas_and_their_paired_differences_have_intervals(label):
    good, flat = table_of(300, seed=1), table_of(300, seed=1)
    noise = np.random.default_rng(0).normal(size=len(flat))
    flat["p_stay"] = 1 / (1 + np.exp(-np.log(flat["p_stay"] / (1 - flat["p_stay"])) - 0.3 * noise))
    flat["p(out)"] = flat["p(out)"] * np.exp(0.3 * noise)
    found = auc_differences({"good": good, "flat": [flat, flat]}, "good", label, weighted=True)
    auc = stay_auc if label is None else (lambda table, weighted: entry_auc(table, label, weighted))
    for name, table in (("good", good), ("flat", flat)):
        assert found.loc[name, "auc"] == pytest.approx(auc(table, weighted=True))
        assert found.loc[name, "low"] < found.loc[name, "auc"] < found.loc[name, "high"]
    row = found.loc["flat"]
    # Both have the same people, so that the difference is known far better than either.
    assert row["difference_high"] - row["difference_low"] < 0.5 * (row["high"] - row["low"])
    assert row["difference"] == pytest.approx(row["auc"] - found.loc["good", "auc"])
    assert (found.loc["good", ["difference", "difference_low", "difference_high"]] == 0).all()


def test_an_interval_of_one_area_is_delongs():
    """Everybody has one step, so that rows are independent, and the variance is that of placements (DeLong, 1988)."""
    table = table_of(400, seed=2, steps=2)
    rows = table[table["step"] > 0]
    moved, score = (rows["transition"] != "stay").to_numpy(), 1 - rows["p_stay"].to_numpy()
    pairs = (score[moved][:, None] > score[~moved]) + 0.5 * (score[moved][:, None] == score[~moved])
    error = np.sqrt(pairs.mean(axis=1).var(ddof=1) / moved.sum() + pairs.mean(axis=0).var(ddof=1) / (~moved).sum())
    found = auc_differences({"one": table}, "one", draws=4000).loc["one"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_twins_in_a_household_tell_no_more_than_one_of_them():
    alone, both = table_of(200, seed=3), twins(table_of(200, seed=3))
    apart = both.drop(columns="group")
    for find in (
        lambda t: bootstrap_perplexity(t).loc["all", ["low", "high"]],
        lambda t: auc_differences({"m": t}, "m").loc["m", ["low", "high"]],
        lambda t: calibration_errors({"m": t}, "m").loc["m", ["low", "high"]],
        lambda t: perplexity_differences({"m": t.assign(log_prob=-1.0), "n": t}, "m").loc["n", ["low", "high"]],
        lambda t: audit(t, "race").to_frame().query("metric == 'stay_gap'").iloc[2][["low", "high"]],
        lambda t: reliability(t).iloc[4][["low", "high"]],
    ):
        one, household, person = (np.array(find(table), dtype=float) for table in (alone, both, apart))
        np.testing.assert_allclose(household, one, atol=0.01)
        assert person[1] - person[0] < 0.85 * (one[1] - one[0])


def test_psus_are_resampled_with_everybody_in_them():
    table = table_of(300, seed=4)
    in_places = table.assign(
        psu="1", stratum=table["person"].map({p: str(i // 10) for i, p in enumerate(table["person"].unique())})
    )
    rng = np.random.default_rng(0)
    shift = dict(zip(in_places["stratum"].unique(), rng.normal(size=30), strict=True))
    in_places["log_prob"] -= in_places["stratum"].map(shift) ** 2
    clustered = bootstrap_perplexity(in_places).iloc[0]
    ignored = bootstrap_perplexity(in_places.drop(columns=["psu", "stratum"])).iloc[0]
    assert clustered["standard_error"] > 1.5 * ignored["standard_error"]


@pytest.mark.parametrize("count", [10, 25, 400])
def test_ends_are_those_of_students_t(count):
    values = np.random.default_rng(0).normal(size=(300, count))
    drawn = np.random.default_rng(1).integers(count, size=(2000, count))
    widths = [np.subtract(*interval(own[drawn].mean(axis=1), count)[::-1]) for own in values]
    student = 2 * stats.t.ppf(0.975, count - 1) * values.std(axis=1, ddof=1) / np.sqrt(count)
    assert np.mean(widths) == pytest.approx(student.mean(), rel=0.05)
    assert np.isnan(interval(np.ones(50), FEWEST - 1)).all()


@pytest.mark.parametrize("truth", [[0.0] * 6, [0.5, -0.3, 0.2, 0, 0, 0], [0.05, -0.04, 0.03, 0.02, -0.01, 0.0]])
def test_intervals_of_sums_of_absolute_values_hold_the_truth(truth):
    """Sample means of normal numbers: for a sum, and for what two halves of it differ by."""
    truth, rng, n = np.array(truth), np.random.default_rng(0), 100
    halves = np.repeat([1.0, -1.0], 3)
    inside = []
    for _ in range(150):
        sample = truth + rng.normal(size=(n, 6)) * 0.4
        drawn = sample[rng.integers(n, size=(200, n))].mean(axis=1)
        for factor in (np.ones(6), halves):
            estimate, low, high = absolute_sum_interval(sample.mean(axis=0), drawn, factor, n)
            assert low <= estimate <= high
            inside.append((low <= factor @ np.abs(truth) <= high, (low > 0) and factor.min() > 0))
    held, flagged = np.array(inside).mean(axis=0)
    assert held > 0.93
    if not np.any(truth):
        assert flagged < 0.04


def test_calibration_errors_of_models_are_compared_on_the_same_people():
    right, sharp = table_of(400, seed=5), table_of(400, seed=5, slope=3.0)
    found = calibration_errors({"right": right, "sharp": [sharp, sharp]}, "right", weighted=True)
    for name, table in (("right", right), ("sharp", sharp)):
        assert found.loc[name, "error"] == pytest.approx(calibration_error(reliability(table, weighted=True)))
    assert found.loc["right", "low"] == 0 and found.loc["sharp", "low"] > 0
    row = found.loc["sharp"]
    assert row["difference"] == pytest.approx(row["error"] - found.loc["right", "error"]) and row["difference_low"] > 0


def test_too_few_people_have_no_interval_no_verdict_and_a_mark_everywhere():
    table = table_of(60, seed=6)
    people = table["person"].unique()
    for size in (1, FEWEST - 1):
        table["race"] = np.where(table["person"].isin(people[:size]), "few", "many")
        frame = audit(table, "race", draws=50).to_frame().set_index(["group", "metric"])
        assert frame.loc["few", ["low", "high"]].isna().all(axis=None) and frame.loc["few", "estimate"].notna().all()
        assert frame.loc["many", ["low", "high"]].notna().all(axis=None)
        audited = audit(table, "race", draws=50)
        assert (
            audited.side_by_side().loc["few", "perplexity"].endswith("[too few]") and "fewer than 10" in audited.note
        )
        found = report({"m": [table]}, "m", by=["race"], draws=50)
        assert found.side_by_side("race").loc["few", "m"].endswith("[too few]") and "fewer than 10" in found.note
        by = bootstrap_perplexity(table, 50, by="race").loc["few"]
        assert by[["standard_error", "low", "high"]].isna().all() and by["perplexity"] > 1
        differences = perplexity_differences_by({"m": table, "n": table}, "m", "race", 50)
        assert differences.loc[("few", "n"), ["low", "high"]].isna().all()
        few = table[table["race"] == "few"]
        alone = report({"m": [few]}, "m", draws=50)
        assert alone.to_frame()[["low", "high", "stay_auc_low"]].isna().all(axis=None)
        assert alone.to_frame("calibration")[["stay_ece_low", "top_ece_high"]].isna().all(axis=None)
        assert alone.with_intervals("calibration")["error, staying"].str.endswith("[too few]").all()
        assert alone.figure().axes and alone.figure("reliability").axes
    # Ten people of whom one moves say nothing of how well movers are told apart.
    stay = table["person"].isin(people[1:])
    rare = table.assign(transition=table["transition"].where(~stay | (table["step"] == 0), "stay"))
    found = auc_differences({"m": rare}, "m", draws=50).loc["m"]
    assert found["auc"] > 0 and np.isnan(found["low"])


def test_groups_without_steps_or_weights_are_answered():
    table = table_of(40, seed=7)
    table["unknown"] = table["race"] == "b"
    table.loc[table["race"] == "b", "transition"] = None
    frame = audit(table, "race", draws=20).to_frame().set_index(["group", "metric"])
    assert frame.loc["b", "estimate"].dropna().index.tolist() == ["perplexity"]
    nothing = table.assign(weight=np.where(table["race"] == "a", 0.0, 1.0), unknown=False)
    frame = audit(nothing, "race", weighted=True, draws=20).to_frame().set_index(["group", "metric"])
    assert frame.loc["a", "estimate"].isna().all() and frame.loc[("a", "accuracy"), "share"] == 0
    assert perplexity_by(nothing, "race", weighted=True)["perplexity"].isna().tolist() == [True, False]
    with pytest.raises(ValueError, match="0 in every step"):
        ranking(nothing[nothing["race"] == "a"], weighted=True)
    empty = audit(table.iloc[:0], "race", draws=20).to_frame()
    assert (empty["n"] == 0).all() and empty["estimate"].isna().all() and len(empty)
    once = table[table["step"] == 0].assign(unknown=False)
    assert np.isnan(summarize({"m": once}, draws=20).loc["m", "stay_auc"])


def test_what_is_no_list_of_names_is_one_line():
    for named in ({"by": 1.5}, {"watch": 0}, {"by": [1]}, {"watch": [None]}):
        (argument,) = named
        with pytest.raises(ValueError, match=rf"^{argument} is .*, and must be a text"):
            evaluate({"m": "nowhere"}, {}, **named)
    with pytest.raises(ValueError, match="^by is 1.5, a number, and must be a text"):
        audit(table_of(12), 1.5)
    with pytest.raises(ValueError, match="^watch='out' is a text"):
        transition_table(None, "nowhere", watch="out")
