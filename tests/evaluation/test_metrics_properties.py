"""Metrics of made-up tables against loops over their rows, with and without survey weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from career_hf.evaluation import metrics
from career_hf.evaluation.transition_table import TRANSITIONS


WEIGHTED = pytest.mark.parametrize("weighted", [False, True])
LABELS = ["x", "y", "unemployed"]


def made_table(seed=0, people=30, unknown=0.15):
    """A table of random numbers in the form of a transition table; some steps are unknown."""
    draw, rows = np.random.default_rng(seed), []
    for person in range(people):
        weight, group, before = draw.uniform(0.5, 3), draw.choice(["f", "m"]), []
        for step in range(draw.integers(1, 8)):
            occupation = draw.choice(LABELS)
            kind = (
                "first"
                if not step
                else "stay"
                if occupation == before[-1]
                else "return"
                if occupation in before
                else "new"
            )
            strange = draw.random() < unknown
            row = {"person": f"p{person}", "step": step, "occupation": occupation, "weight": weight, "gender": group}
            row |= {"previous": before[-1] if step else None, "transition": None if strange else kind}
            row |= {"log_prob": -draw.exponential(), "p_stay": draw.random() if step else np.nan, "unknown": strange}
            row |= {"rank": int(draw.integers(1, 13)), "p(unemployed)": draw.random()}
            rows.append(row)
            before.append(occupation)
    table = pd.DataFrame(rows)
    return table.assign(transition=pd.Categorical(table["transition"], categories=TRANSITIONS))


def weights_of(rows, weighted):
    return rows["weight"].to_numpy() if weighted else np.ones(len(rows))


@WEIGHTED
def test_perplexities(weighted):
    table = made_table()
    w, log_prob = weights_of(table, weighted), table["log_prob"].to_numpy()
    assert metrics.perplexity(table, weighted) == pytest.approx(np.exp(-(w * log_prob).sum() / w.sum()))
    sizes = table["person"].map(table["person"].value_counts()).to_numpy()
    expected = np.exp(-(w / sizes * log_prob).sum() / (w / sizes).sum())
    assert metrics.perplexity(table, weighted, per_person=True) == pytest.approx(expected)
    by = metrics.perplexity_by(table, ["gender", "transition"], weighted)
    assert by["n"].sum() == len(table) and len(by) == 10
    for (gender, kind), row in by.iterrows():
        same = table["transition"].isna() if pd.isna(kind) else table["transition"].eq(kind)
        rows = table[(table["gender"] == gender) & same]
        nll = -np.average(rows["log_prob"], weights=weights_of(rows, weighted))
        assert row.tolist() == pytest.approx([len(rows), nll, np.exp(nll)])


@WEIGHTED
def test_areas_under_curves(weighted):
    table = made_table()
    rows = table[(table["step"] > 0) & ~table["unknown"]]
    moved = rows["transition"] != "stay"
    expected = roc_auc_score(moved, 1 - rows["p_stay"], sample_weight=weights_of(rows, weighted))
    assert metrics.stay_auc(table, weighted) == pytest.approx(expected)
    rows = rows[rows["previous"] != "unemployed"]
    entered = rows["occupation"] == "unemployed"
    expected = roc_auc_score(entered, rows["p(unemployed)"], sample_weight=weights_of(rows, weighted))
    assert metrics.entry_auc(table, "unemployed", weighted) == pytest.approx(expected)
    for kind, count in [("stay", 0), ("new", len(rows))]:
        with pytest.raises(ValueError, match=f"needs stays and moves: {count} of {len(rows)} known steps are moves"):
            metrics.stay_auc(rows.assign(transition=kind))
    for label, count in [("x", 0), ("unemployed", len(rows))]:
        with pytest.raises(ValueError, match=f"{count} of {len(rows)} steps from elsewhere enter 'unemployed'"):
            metrics.entry_auc(rows.assign(occupation=label), "unemployed")
    with pytest.raises(ValueError, match="does not keep the probability of 'x'"):
        metrics.entry_auc(table, "x")


@WEIGHTED
def test_ranks(weighted):
    table = made_table()
    rows = table[~table["unknown"]]
    w, rank = weights_of(rows, weighted), rows["rank"].to_numpy()
    found = metrics.ranking(table, weighted=weighted)
    for k in (1, 5, 10):
        assert found[f"top-{k}"] == pytest.approx((w * (rank <= k)).sum() / w.sum())
    assert found["mean reciprocal rank"] == pytest.approx((w / rank).sum() / w.sum())
    total = divisor = 0.0
    for i, row in enumerate(rows.itertuples()):
        if row.step > 0 and row.transition != "stay":
            total += w[i] * (row.rank - (row.p_stay > np.exp(row.log_prob)))
            divisor += w[i]
    assert found["rank of moves"] == pytest.approx(total / divisor)
    nobody = metrics.ranking(table.assign(unknown=True), tops=(2,))
    assert list(nobody.index) == ["top-2", "mean reciprocal rank", "rank of moves"] and nobody.isna().all()
    assert np.isnan(metrics.ranking(rows[rows["transition"] == "stay"])["rank of moves"])


def resampled_by_hand(tables, weighted, groups, draws, seed):
    """Mean negative log-likelihoods of the resamples of people that `resample_means` draws, one by one."""
    first = tables[0]
    person = pd.factorize(first["person"])[0]
    values = np.stack([table["log_prob"].to_numpy() for table in tables], axis=1)
    w = weights_of(first, weighted)
    _, resampled = metrics.resample_means(values, w, person, groups, draws=draws, seed=seed)
    return -resampled


def ends_of(values, people):
    """Quantiles of resamples at levels that are as far out as Student's t is for so many people."""
    ends = stats.t(people - 1).ppf([0.025, 0.975]) * np.sqrt(people / (people - 1))
    return np.quantile(values, stats.norm.cdf(ends)).tolist()


@WEIGHTED
def test_intervals_are_quantiles_of_the_resamples(weighted):
    table = made_table()
    group = (table["gender"] == "m").to_numpy().astype(int)
    values = np.exp(resampled_by_hand([table], weighted, group, 50, 3)[..., 0])
    found = metrics.bootstrap_perplexity(table, 50, 3, weighted, by="gender")
    for g, gender in enumerate(["f", "m"]):
        rows = table[table["gender"] == gender]
        expected = [len(rows), rows["person"].nunique(), metrics.perplexity(rows, weighted), values[:, g].std(ddof=1)]
        assert found.loc[gender].tolist() == pytest.approx([*expected, *ends_of(values[:, g], expected[1])])
    assert metrics.bootstrap_perplexity(table, 5).index.tolist() == ["all"]


@WEIGHTED
def test_differences_are_paired_and_averaged_over_seeds(weighted):
    a = made_table(unknown=0)
    b, c = (a.assign(log_prob=-np.random.default_rng(seed).exponential(size=len(a))) for seed in (1, 2))
    tables = {"base": a, "two": [b, c]}
    mean = b.assign(log_prob=(b["log_prob"] + c["log_prob"]) / 2)
    found = metrics.perplexity_differences(tables, "base", 60, 4, weighted)
    resampled = resampled_by_hand([a, mean], weighted, np.zeros(len(a), dtype=int), 60, 4)[:, 0]
    difference = resampled[:, 1] - resampled[:, 0]
    logs = {name: np.log(metrics.perplexity(table, weighted)) for name, table in [("a", a), ("b", b), ("c", c)]}
    two = found.loc["two"]
    assert two["difference"] == pytest.approx((logs["b"] + logs["c"]) / 2 - logs["a"])
    assert two["ratio"] == pytest.approx(np.exp(two["difference"]))
    assert two["perplexity"] == pytest.approx(np.exp((logs["b"] + logs["c"]) / 2))
    assert two[["low", "high"]].tolist() == pytest.approx(ends_of(difference, a["person"].nunique()))
    assert two["standard_error"] == pytest.approx(difference.std(ddof=1))
    assert (two["seeds"], found.loc["base", "seeds"]) == (2, 1)
    assert two["seed_sd"] == pytest.approx(np.std([logs["b"], logs["c"]], ddof=1))
    assert np.isnan(found.loc["base", "seed_sd"]) and found.loc["base", "difference"] == 0

    by = metrics.perplexity_differences_by(tables, "base", "gender", 60, 4, weighted)
    group = (a["gender"] == "m").to_numpy().astype(int)
    resampled = resampled_by_hand([a, mean], weighted, group, 60, 4)
    for g, gender in enumerate(["f", "m"]):
        rows = a["gender"] == gender
        expected = np.log(metrics.perplexity(mean[rows], weighted) / metrics.perplexity(a[rows], weighted))
        low, high = ends_of(resampled[:, g, 1] - resampled[:, g, 0], a.loc[rows, "person"].nunique())
        assert by.loc[(gender, "two")].tolist() == pytest.approx([rows.sum(), expected, low, high])
    assert list(by.index) == [("f", "two"), ("m", "two")] and by["n"].dtype == int
    assert list(by) == ["n", "difference", "low", "high"] and by.index.names == ["gender", "model"]
    assert found.index.name == "model"
    with pytest.raises(ValueError, match="baseline 'none' is not among the tables"):
        metrics.perplexity_differences(tables, "none")
    with pytest.raises(ValueError, match="baseline 'none' is not among the tables"):
        metrics.perplexity_differences_by(tables, "none", "gender")


@WEIGHTED
def test_differences_of_areas_are_paired(weighted):
    a = made_table(unknown=0)
    b, c = (a.assign(p_stay=np.random.default_rng(seed).random(len(a))) for seed in (1, 2))
    found = metrics.auc_differences({"base": a, "two": [b, c]}, "base", draws=40, seed=4, weighted=weighted)
    rows = a[a["step"] > 0]
    moved, w = (rows["transition"] != "stay").to_numpy(), weights_of(rows, weighted)
    cluster = pd.factorize(rows["person"])[0]
    scores = np.stack([1 - table.loc[rows.index, "p_stay"].to_numpy() for table in (a, b, c)], axis=1)
    areas, drawn = metrics.resample_aucs(moved, scores, w, cluster, draws=40, seed=4)
    expected = [roc_auc_score(moved, score, sample_weight=w) for score in scores.T]
    assert areas.tolist() == pytest.approx(expected)
    count = min(rows.loc[kind, "person"].nunique() for kind in (moved, ~moved))
    two, difference = drawn[:, 1:].mean(axis=1), drawn[:, 1:].mean(axis=1) - drawn[:, 0]
    numbers = [np.mean(expected[1:]), *ends_of(two, count), np.mean(expected[1:]) - expected[0]]
    assert found.loc["two"].tolist() == pytest.approx([*numbers, *ends_of(difference, count)])
    assert found.loc["base", ["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]
    assert found.index.name == "model" and list(found.index) == ["base", "two"]
    assert list(found) == ["auc", "low", "high", "difference", "difference_low", "difference_high"]
    with pytest.raises(ValueError, match="baseline 'none' is not among the tables"):
        metrics.auc_differences({"base": a}, "none")


def test_tables_with_an_index_of_their_own_and_first_occupations_as_new_ones():
    table = made_table()
    moved = table.set_axis(np.arange(len(table))[::-1] + 100)
    pd.testing.assert_frame_equal(metrics.perplexity_by(moved, "gender"), metrics.perplexity_by(table, "gender"))
    new = metrics.first_as_new(table)
    assert list(new["transition"].cat.categories) == ["stay", "return", "new"]
    first = table["transition"].eq("first")
    assert new.loc[first, "transition"].eq("new").all()
    assert new.loc[~first, "transition"].astype(object).equals(table.loc[~first, "transition"].astype(object))
    for metric in (metrics.perplexity_by, metrics.bootstrap_perplexity):
        with pytest.raises(ValueError, match="is no transition table, which has a column 'log_prob'"):
            metric(table.drop(columns="log_prob"), "gender" if metric is metrics.perplexity_by else 5)


def test_people_without_a_level_are_a_group_of_their_own():
    table = made_table(people=60, unknown=0)
    table["gender"] = pd.Categorical(table["gender"].where(table["person"] > "p3"), categories=["f", "m", "x"])
    untold = table["gender"].isna()
    found = metrics.bootstrap_perplexity(table, 20, by="gender")
    assert len(found) == 3 and found["n"].sum() == len(table)
    assert found.loc[found.index.isna(), "perplexity"].item() == pytest.approx(metrics.perplexity(table[untold]))
    by = metrics.perplexity_differences_by({"a": table, "b": table}, "a", "gender", 20)
    assert sorted(by["n"]) == sorted(found["n"])


def test_a_summary_is_its_parts():
    a = made_table(unknown=0)
    a.loc[3, "unknown"] = True
    b = a.assign(log_prob=a["log_prob"] * 0.7, p_stay=1 - a["p_stay"])
    found = metrics.summarize({"one": a, "two": [a, b]}, draws=20, weighted=True)
    assert found.index.name == "model"
    two, mean = found.loc["two"], metrics.mean_over_seeds([a, b])
    level = metrics.bootstrap_perplexity(mean, 20, weighted=True).loc["all"]
    assert two[["n", "people", "perplexity", "low", "high"]].tolist() == pytest.approx(
        level[["n", "people", "perplexity", "low", "high"]].tolist()
    )
    kinds = metrics.perplexity_by(mean, "transition", True)["perplexity"]
    assert two[TRANSITIONS].tolist() == pytest.approx(kinds[TRANSITIONS].tolist())
    assert two["stay_auc"] == pytest.approx((metrics.stay_auc(a, True) + metrics.stay_auc(b, True)) / 2)
    assert two["seed_sd"] == pytest.approx(np.std([metrics.perplexity(a, True), metrics.perplexity(b, True)], ddof=1))
    assert (two["seeds"], two["unknown"], two["left_out"]) == (2, 1, 0)
    nobody_moves = a.assign(transition=np.where(a["step"] > 0, "stay", "first"))
    assert np.isnan(metrics.summarize({"one": nobody_moves}, draws=5).loc["one", "stay_auc"])
    # Tables of other careers are summarised each by itself.
    apart = metrics.summarize({"one": a, "other": made_table(9)}, draws=5)
    assert apart["n"].tolist() == [len(a), len(made_table(9))]


def test_rows_that_only_some_models_know_are_left_out_and_counted():
    a = made_table(unknown=0)
    b, c = a.copy(), a.copy()
    b.loc[[1, 4], "unknown"] = True
    c.loc[[4, 6, 7], "unknown"] = True
    shared, ledger = metrics.shared_rows({"a": a, "b": [b, b], "c": c})
    assert all(table.index.tolist() == a.index.drop([1, 4, 6, 7]).tolist() for own in shared.values() for table in own)
    text = str(ledger)
    for words in ("unknown to 'b'", "unknown to 'c'", "unknown to 'b', 'c'"):
        assert words in text
    same, ledger = metrics.shared_rows({"b": b, "again": b})
    assert all(len(own[0]) == len(a) for own in same.values()) and "scored as the unknown occupation" in str(ledger)
    odd = np.arange(len(a)) % 2 == 1
    with pytest.raises(ValueError, match=r"no step is known to all of \['a', 'b'\]"):
        metrics.shared_rows({"a": a.assign(unknown=odd), "b": a.assign(unknown=~odd)})
    without = a.drop(columns="unknown")
    assert len(metrics.shared_rows({"a": without})[0]["a"][0]) == len(a)


def test_tables_of_other_steps_are_told_apart():
    a = made_table(unknown=0)
    metrics.check_same_rows({"a": [a, a], "b": [a]})
    with pytest.raises(ValueError, match=f"the tables of 'a' and 'b' have {len(a)} and {len(a) - 1} rows"):
        metrics.check_same_rows({"a": [a], "b": [a.iloc[1:]]})
    for column, value in [("person", "q"), ("step", 77), ("occupation", "z")]:
        other = a.copy()
        other.loc[[5, 8], column] = value
        where = f"row 5, person '{a.loc[5, 'person']}', column '{column}': '{a.loc[5, column]}' and '{value}'"
        with pytest.raises(ValueError, match=where):
            metrics.check_same_rows({"a": [a], "b": [a, other]})
    with pytest.raises(ValueError, match="column 'weight' has nulls"):
        metrics.step_weights(a.assign(weight=np.where(a["step"] > 0, np.nan, 1.0)), True)
    assert metrics.first_as_new(a)["transition"].value_counts()["new"] == a["transition"].isin(["first", "new"]).sum()
