"""Decompositions of wage gaps against statsmodels, rates by label, resampling people, and least squares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.stats.oaxaca import OaxacaBlinder

from career_hf.wages.decomposition import gelbach, oaxaca_blinder
from career_hf.wages.gaps import GapSample, raw_gap


def draw(seed=0, people=300, weighted=True):
    rng = np.random.default_rng(seed)
    years = rng.integers(1, 6, people)
    person = np.repeat(np.arange(people), years)
    group = (rng.random(people) < 0.45)[person]
    x = rng.normal(size=(len(person), 3)) + 0.5 * group[:, None] + rng.normal(size=(people, 3))[person]
    y = 2 + x @ [0.3, -0.2, 0.1] - 0.1 * group * (1 + x[:, 0]) + 0.3 * rng.normal(size=people)[person]
    y += 0.3 * rng.normal(size=len(y))
    weight = rng.uniform(0.5, 3, people)[person] if weighted else None
    return GapSample(y, group, person, x, weight, names=("a", "b", "c"))


@pytest.mark.parametrize("prices, kind", [("others", "self_submitted"), ("pooled", "pooled")])
def test_without_weights_it_is_statsmodels(prices, kind):
    sample = draw(weighted=False)
    x = np.column_stack([sample.features, sample.group])
    reference = OaxacaBlinder(sample.outcome, x, 3, hasconst=False)
    # statsmodels takes the side with the higher mean as the first.
    sign = 1 if sample.outcome[sample.group].mean() > sample.outcome[~sample.group].mean() else -1
    submitted = {"submitted_weight": 0.0 if sign > 0 else 1.0} if kind == "self_submitted" else {}
    unexplained, explained, gap = reference.two_fold(two_fold_type=kind, **submitted).params
    parts = oaxaca_blinder(sample, prices)["estimate"]
    np.testing.assert_allclose(
        parts[["gap", "explained", "unexplained"]], np.multiply(sign, [gap, explained, unexplained])
    )


def test_weights_count_as_copies_and_parts_add_up():
    sample = draw(weighted=False)
    copies = np.random.default_rng(1).integers(1, 4, len(sample.outcome))
    weighted = GapSample(
        sample.outcome, sample.group, sample.person, sample.features, copies.astype(float), sample.names
    )
    blocks = {"first": ["a"], "rest": ["c", "b"]}
    copied = sample.take(np.repeat(np.arange(len(copies)), copies))
    for prices in ("others", "group", "pooled"):
        parts = oaxaca_blinder(weighted, prices, blocks)["estimate"]
        np.testing.assert_allclose(parts, oaxaca_blinder(copied, prices, blocks)["estimate"])
        assert parts["gap"] == pytest.approx(parts["explained"] + parts["unexplained"])
        assert parts["explained"] == pytest.approx(parts["explained: first"] + parts["explained: rest"])
    assert parts["gap"] == pytest.approx(raw_gap(weighted).estimate)


def test_errors_are_those_of_resampling_people():
    sample = draw(people=120)
    blocks = {"first": ["a"], "rest": ["b", "c"]}
    rng, people = np.random.default_rng(0), sample.person.max() + 1
    rows_of = [np.flatnonzero(sample.person == person) for person in range(people)]
    drawn = {prices: [] for prices in ("others", "pooled")}
    for _ in range(200):
        some = sample.take(np.concatenate([rows_of[i] for i in rng.integers(people, size=people)]))
        for prices, estimates in drawn.items():
            estimates.append(oaxaca_blinder(some, prices, blocks)["estimate"])
    for prices, estimates in drawn.items():
        errors = oaxaca_blinder(sample, prices, blocks)["standard_error"]
        np.testing.assert_allclose(errors, pd.DataFrame(estimates).std(), rtol=0.2)


def test_kitagawa_is_the_case_of_one_label():
    rng = np.random.default_rng(3)
    group, label = rng.random(400) < 0.5, rng.integers(0, 3, 400)
    label = np.where(group & (rng.random(400) < 0.3), 2, label)
    y, w = label + 0.2 * group + rng.normal(size=400), rng.uniform(1, 2, 400)
    frame = pd.DataFrame({"y": y, "w": w, "group": group, "label": label})
    rates = frame.groupby(["group", "label"]).apply(lambda rows: np.average(rows["y"], weights=rows["w"])).unstack()
    shares = frame.groupby(["group", "label"])["w"].sum().unstack()
    shares = shares.div(shares.sum(axis=1), axis=0)
    dummies = np.eye(3)[label]  # collinear with the intercept, which does no harm
    parts = oaxaca_blinder(GapSample(y, group, np.arange(400), dummies, w))["estimate"]
    assert parts["explained"] == pytest.approx(((shares.loc[True] - shares.loc[False]) * rates.loc[False]).sum())
    assert parts["unexplained"] == pytest.approx((shares.loc[True] * (rates.loc[True] - rates.loc[False])).sum())


def test_what_has_no_price_is_an_error():
    sample = draw()
    only_group = np.column_stack(
        [sample.features, sample.group * np.random.default_rng(0).normal(size=len(sample.group))]
    )
    with pytest.raises(ValueError, match="no price"):
        oaxaca_blinder(sample.with_features(only_group))
    with pytest.raises(ValueError, match="'d'"):
        oaxaca_blinder(sample, blocks={"one": ["d"]})
    with pytest.raises(ValueError, match="prices"):
        oaxaca_blinder(sample, "neumark")


@pytest.mark.parametrize("weighted", [False, True])
def test_gelbach_is_a_difference_of_coefficients(weighted):
    pytest.importorskip("pyfixest")
    sample = draw(people=120, weighted=weighted)
    blocks = {"the first": ["a"], "others": ["b", "c"]}
    parts = gelbach(sample, blocks, draws=20)
    g = sample.group.astype(float)
    short = sm.WLS(sample.outcome, sm.add_constant(g), sample.weight).fit().params[1]
    full = sm.WLS(sample.outcome, sm.add_constant(np.column_stack([g, sample.features])), sample.weight).fit().params
    # Auxiliary regressions of each feature on the group, times its coefficient (Gelbach 2016, equation 4).
    gamma = [sm.WLS(x, sm.add_constant(g), sample.weight).fit().params[1] for x in sample.features.T]
    products = np.array(gamma) * full[2:]
    expected = {"raw": short, "adjusted": full[1], "explained": short - full[1]}
    expected |= {"the first": products[0], "others": products[1:].sum()}
    np.testing.assert_allclose(parts["estimate"], [expected[name] for name in parts.index], rtol=1e-5)
    assert parts["low"].isna().all() == weighted
    with pytest.raises(ValueError, match="'b'"):
        gelbach(sample, {"one": ["a", "c"]})
