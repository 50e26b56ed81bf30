"""Clusters, paired differences, weights by year, penalties and tables of wages, against independent numbers."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.formula.api as smf
from sklearn.linear_model import LinearRegression, Ridge
from test_wages_gaps import draw
from test_wages_regression import BLOCKS, FORMULA, careers_with_wages, reference_r2, vectors

from career_hf.careers.columns import career_table, list_lengths, make_dataset
from career_hf.wages.design import wage_frame
from career_hf.wages.gap_nuisances import cross_fit_nuisances, folds_of_people
from career_hf.wages.gaps import GapResult, GapSample, aipw_gap, raw_gap
from career_hf.wages.regression import (
    PENALTIES,
    CoefficientTable,
    Sums,
    estimate,
    held_out_r2,
    latex,
    predict_held_out,
    r2_differences,
    regress,
    ridge,
)


@pytest.fixture(scope="module")
def family_frame():
    return wage_frame(careers_with_wages(family=True))[0]


def with_weights(careers, weight):
    """Careers with a weight for each person-year."""
    table = career_table(careers)
    offsets = pa.array(np.append(0, list_lengths(table, "year").cumsum()), pa.int32())
    columns = {name: table[name] for name in table.column_names if name != "weight"}
    return make_dataset(columns | {"weight": pa.ListArray.from_arrays(offsets, pa.array(weight, pa.float64()))})


# Clusters


def test_errors_of_households_are_those_of_statsmodels(family_frame):
    result = estimate(family_frame, {"full": BLOCKS}, rare=1)["full"]
    groups = pd.factorize(family_frame["group"])[0]
    expected = smf.wls(FORMULA, family_frame, weights=family_frame["weight"]).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    )
    assert result.bse["schooling"] == pytest.approx(expected.bse["schooling"], rel=1e-8)
    assert (result.people, result.clusters, result.unit) == (60, 30, "household")
    table = held_out_r2(predict_held_out(family_frame, {"full": BLOCKS}, rare=1), draws=20, by_decade=False)
    assert (table["people"] == 60).all() and (table["clusters"] == 30).all()


def test_gaps_are_clustered_and_folded_by_household():
    sample = draw()
    home = sample.person // 2
    together = GapSample(sample.outcome, sample.group, sample.person, sample.features, cluster=home, unit="household")
    data = pd.DataFrame({"y": sample.outcome, "g": sample.group.astype(float)})
    expected = smf.ols("y ~ g", data).fit(cov_type="cluster", cov_kwds={"groups": home, "use_correction": False})
    gap, count = raw_gap(together), len(np.unique(home))
    assert gap.standard_error == pytest.approx(expected.bse["g"] * np.sqrt(count / (count - 1)), rel=1e-9)
    assert gap.clusters == count and gap.people > count and gap.interval == "clustered by household"
    with pytest.raises(ValueError, match="household .* has rows in two folds"):
        cross_fit_nuisances(together, folds_of_people(together.person, 3))
    fold = folds_of_people(together.cluster, 3)
    assert pd.Series(fold).groupby(home).nunique().max() == 1
    assert np.isfinite(aipw_gap(together, cross_fit_nuisances(together, fold)).standard_error)


def test_few_clusters_have_no_interval():
    sample = draw()
    gap = raw_gap(GapSample(sample.outcome, sample.group, sample.person, sample.features, cluster=sample.person % 5))
    assert np.isnan([gap.standard_error, gap.low, gap.high]).all() and "no interval: 5 clusters" in gap.interval


# Paired differences


def test_differences_of_gaps_are_paired():
    """The raw gap minus the raw gap of other wages is the raw gap of the difference of wages, with its error."""
    sample = draw(weighted=True)
    rng = np.random.default_rng(0)
    other = sample.outcome + 0.05 * rng.normal(size=len(sample.outcome))

    def gap_of(outcome):
        return raw_gap(GapSample(outcome, sample.group, sample.person, sample.features, sample.weight))

    one, two, direct = gap_of(sample.outcome), gap_of(other), gap_of(other - sample.outcome)
    row = GapResult([one, two], cluster=sample.cluster).differences().iloc[0]
    names = ["difference", "difference_standard_error", "difference_low", "difference_high"]
    expected = [direct.estimate, direct.standard_error, direct.low, direct.high]
    np.testing.assert_allclose(row[names].astype(float), expected, rtol=1e-9)
    # The intervals of the two overlap almost wholly, although the difference is known well.
    assert direct.high - direct.low < 0.2 * (one.high - one.low)
    drawn = GapResult([one, two], cluster=sample.cluster, bootstrap=2_000).differences().iloc[0]
    assert drawn["difference_standard_error"] == pytest.approx(direct.standard_error, rel=0.06)
    levels = GapResult([one, two], cluster=sample.cluster, baseline=("raw", "nothing")).to_frame()
    assert np.isnan(levels["difference"].iloc[0]) and levels["difference_low"].iloc[1] == pytest.approx(direct.low)


def test_differences_of_r2_are_those_of_drawing_households(family_frame):
    predictions = predict_held_out(family_frame, {"full": BLOCKS, "short": BLOCKS[:2]}, rare=1)
    row = r2_differences(predictions, draws=400).iloc[0]
    everyone = predictions["year"] > 0
    assert (row["specification"], row["minus"]) == ("short", "full")
    gain = reference_r2(predictions, "short", everyone)[1] - reference_r2(predictions, "full", everyone)[1]
    assert row["difference"] == pytest.approx(gain)
    rng, homes, by_hand = np.random.default_rng(1), predictions["group"].unique(), []
    for _ in range(300):
        drawn = pd.DataFrame({"group": rng.choice(homes, len(homes))}).merge(predictions, on="group")
        rows = drawn["year"] > 0
        by_hand.append(reference_r2(drawn, "short", rows)[1] - reference_r2(drawn, "full", rows)[1])
    width = np.subtract(*np.quantile(by_hand, [0.975, 0.025]))
    assert row["high"] - row["low"] == pytest.approx(width, rel=0.25)


# Weights by year


def test_a_weight_for_each_year_is_that_of_the_regression():
    careers = careers_with_wages()
    steps = int(list_lengths(career_table(careers), "year").sum())
    weight = np.random.default_rng(3).choice([0.0, 0.5, 2.0], steps)
    frame, ledger = wage_frame(with_weights(careers, weight))
    np.testing.assert_array_equal(frame["weight"], weight[frame.index])
    unweighted = wage_frame(careers)[0]
    zero = ledger.entries[-1].dropped["at work with a wage, weight 0 in this year"]
    assert zero == (weight[unweighted.index] == 0).sum() > 0 and len(frame) == len(unweighted) - zero
    # A year without weight is still a year of the career.
    same = unweighted.loc[frame.index, ["experience", "previous_occupation"]]
    pd.testing.assert_frame_equal(frame[["experience", "previous_occupation"]], same)
    expected = smf.wls(FORMULA, unweighted, weights=weight[unweighted.index]).fit()
    assert estimate(frame, {"full": BLOCKS}, rare=1)["full"].params["schooling"] == pytest.approx(
        expected.params["schooling"], rel=1e-8
    )


@pytest.mark.parametrize(("value", "problem"), [(-1.0, "value -1.0"), (np.nan, "value nan")])
def test_a_weight_that_is_none_names_person_and_year(value, problem):
    careers = careers_with_wages()
    weight = np.ones(int(list_lengths(career_table(careers), "year").sum()))
    weight[1] = value
    with pytest.raises(ValueError, match=rf"person 'p00', year 1988, column 'weight', {problem}"):
        wage_frame(with_weights(careers, weight))


# Penalties of representations


def test_the_penalty_is_that_of_scikit_learn():
    """Ridge of scikit-learn on what the other columns leave unexplained, which is the same by Frisch and Waugh."""
    rng = np.random.default_rng(0)
    x, h, weight = rng.normal(size=(200, 3)), rng.normal(size=(200, 5)), rng.uniform(0.5, 2, 200)
    h += x[:, [0]]
    y = x @ [1.0, 0.5, -1.0] + h @ rng.normal(size=5) + rng.normal(size=200)
    whole = np.column_stack([x, h])
    sums = Sums.of(
        pd.DataFrame(whole).astype(pd.SparseDtype(float, 0.0)).sparse.to_coo().tocsr(), y, weight, np.arange(200)
    )
    for penalty in (0.0, 0.1, 10.0):
        (found,) = ridge(sums, [np.arange(3, 8)], [penalty])
        free = LinearRegression(fit_intercept=False).fit(x, np.column_stack([y, h]), weight)
        rest = np.column_stack([y, h]) - free.predict(x)
        unit = (weight[:, None] * rest[:, 1:] ** 2).sum(axis=0).mean()
        expected = Ridge(penalty * unit, fit_intercept=False).fit(rest[:, 1:], rest[:, 0], weight)
        np.testing.assert_allclose(found[3:], expected.coef_, atol=1e-8)
        assert sums.squared_error(found) == pytest.approx((weight * (y - whole @ found) ** 2).sum())


def test_columns_that_say_nothing_do_no_harm():
    """64 columns of noise beside 60 people: least squares loses most of R^2, the chosen penalty hardly any."""
    careers = careers_with_wages(people=100)
    frame, _ = wage_frame(careers, {"before": vectors(careers, size=64)})
    specifications = {"base": BLOCKS, "h": [*BLOCKS, "h before"]}
    chosen = held_out_r2(predict_held_out(frame, specifications), draws=2, by_decade=False).set_index("specification")
    assert chosen.loc["h", "gain"] > -0.03
    assert PENALTIES[0] == 0


def test_columns_that_tell_wages_are_used():
    careers = careers_with_wages(people=100)
    h = vectors(careers, size=20)
    frame, _ = wage_frame(careers, {"before": h})
    told = frame.assign(log_wage=frame["log_wage"] + 0.5 * frame["before_h3"])
    table = held_out_r2(predict_held_out(told, {"base": BLOCKS, "h": [*BLOCKS, "h before"]}), draws=2)
    assert table.query("years == 'all'").set_index("specification").loc["h", "gain"] > 0.2


# Tables


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"add": ["gender"]}, "add has 'gender', which is among the blocks already"),
        ({"add": ["occupation", "occupation"]}, "add has 'occupation', which is among the blocks already"),
        ({"add": ["lagged occupation", "previous_occupation"]}, "have the same column 'previous_occupation'"),
        ({"add": "occupation"}, "is a text: pass a list"),
        ({"leave_out": ["year", "year"]}, "leave_out has 'year' twice: name it once"),
        ({"leave_out": ["gendre"]}, "leave_out has 'gendre', which is none of Blau and Kahn's"),
    ],
)
def test_a_block_named_twice_is_one_line(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        regress(careers_with_wages(), split="all", **arguments)


@pytest.fixture(scope="module")
def lonely():
    """A level that one person has in three years, and only this one is rare."""
    frame = wage_frame(careers_with_wages())[0]
    one = frame["person"] == frame["person"].iloc[0]
    region = np.where(one, "mars & moon", np.where(frame["year"] % 2 == 0, "north", "south_50%"))
    return frame.assign(region=region)


def test_one_person_has_no_standard_error_and_is_named(lonely):
    results = estimate(lonely, {"full": [*BLOCKS, "region"], "fewer": [*BLOCKS[:4], "region"]}, absorb=["occupation"])
    result = results["full"]
    assert "region_other levels" in result.params and np.isnan(result.bse["region_other levels"])
    assert np.isfinite(result.bse["region_south_50%"])
    table = CoefficientTable(results, ["schooling", "gender_women", "region_south_50%", "region_other levels"])
    notes = table.notes()
    assert "Bases of dummies: year: 1987; gender: men; region: north" in notes
    assert "clustered by person (60 clusters)" in notes and "Dependent variable: log wage. Weighted" in notes
    assert "share the dummy 'other levels': " in notes and "region (mars & moon)" in notes
    assert "Not shown, because fewer than 10 people determine them: region_other levels." in notes
    frame = table.to_frame().set_index(["specification", "coefficient"])
    assert frame.loc[("full", "gender_women"), "base"] == "men" and (frame["clustered_by"] == "person").all()
    assert frame.loc[("full", "schooling"), "standard_error"] == pytest.approx(result.bse["schooling"])
    assert "infrequent" not in table.as_text() and "other levels" not in table.as_text().split("\n\n")[0]


def test_latex_is_mathematics_and_escaped_text():
    assert latex("R^2 (in sample)") == "$R^{2}$ (in sample)"
    assert latex("experience^2") == "experience$^{2}$"
    assert latex("a_b & 5% < 7") == r"a\_b \& 5\% $<$ 7"


def test_the_table_compiles(lonely, tmp_path):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed (texlive-latex-base and -extra of Debian)")
    results = estimate(lonely, {"short": BLOCKS[:4], "+ region_5%": [*BLOCKS, "region"]}, absorb=["occupation"])
    table = CoefficientTable(results, ["schooling", "experience^2", "gender_women", "region_south_50%"])
    text = table.as_latex()
    packages = text.splitlines()[0].removeprefix("% ")
    assert "Dependent variable: log wage" in text and "Bases of dummies" in text and "$R^{2}$" in text
    document = "\n".join([r"\documentclass{article}", packages, r"\begin{document}", text, r"\end{document}"])
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2_000:]
    assert (tmp_path / "table.pdf").stat().st_size > 5_000
