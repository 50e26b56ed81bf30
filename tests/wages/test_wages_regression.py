"""Wage regressions against statsmodels' formulas, textbook numbers, and what must not matter to them."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from command_output import words
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from typer.testing import CliRunner

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerForWagePrediction, CareerProcessor
from career_hf.careers import from_frame, load_careers, save_careers, split_careers, to_frame
from career_hf.careers.columns import with_weights
from career_hf.cli.app import app
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.simulation import draw_wages, preset
from career_hf.wages.design import (
    BLAU_KAHN,
    PerFold,
    available_blocks,
    bases,
    design,
    pooled_levels,
    wage_frame,
)
from career_hf.wages.regression import (
    YEAR_ONLY,
    CoefficientTable,
    Sums,
    estimate,
    held_out_r2,
    independent,
    predict_held_out,
    regress,
    ridge,
)


JOBS = ("cook", "waiter", "pilot")
FORMULA = "log_wage ~ C(year) + schooling + experience + I(experience**2) + C(gender) + C(occupation)"
BLOCKS = ["year", "schooling", "experience", "gender", "occupation"]


def careers_with_wages(people=60, seed=0, family=False):
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        gender, schooling, effect = rng.choice(["men", "women"]), rng.integers(9, 17), rng.normal(scale=0.3)
        for year in range(1987, 1987 + rng.integers(3, 9)):
            job = "unemployed" if rng.random() < 0.2 else rng.choice(JOBS)
            wage = 0.1 * schooling + 0.3 * JOBS.index(job) if job in JOBS else np.nan
            wage += effect + rng.normal(scale=0.3) - 0.2 * (gender == "women")
            rows.append([f"p{person:02d}", year, job, gender, schooling, wage, 1.0 + person % 4, f"f{person // 2}"])
    columns = ["person", "year", "occupation", "gender", "schooling", "log_wage", "survey_weight", "family"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.loc[rng.random(len(frame)) < 0.1, "log_wage"] = np.nan
    return from_frame(
        frame,
        static=["gender"],
        outcomes=["log_wage", "schooling"],
        weight="survey_weight",
        group="family" if family else None,
    )


@pytest.fixture(scope="module")
def careers():
    return careers_with_wages()


@pytest.fixture(scope="module")
def frame(careers):
    return wage_frame(careers)[0]


def vectors(careers, size=4, seed=0):
    return np.random.default_rng(seed).normal(size=(len(to_frame(careers)), size)).astype(np.float32)


# The frame


def test_the_frame_has_the_years_at_work_with_a_wage_and_what_came_before(careers):
    everything = to_frame(careers)
    frame, ledger = wage_frame(careers, {"before": vectors(careers)})
    assert 0 < len(frame) < len(everything)
    for place, row in frame.iterrows():
        assert everything.loc[place, ["person", "year", "log_wage"]].tolist() == [
            row["person"],
            row["year"],
            row["log_wage"],
        ]
        earlier = everything[(everything["person"] == row["person"]) & (everything["year"] <= row["year"])]
        assert row["experience"] == earlier["occupation"].isin(JOBS).sum()
        assert row["previous_occupation"] == ("none" if len(earlier) == 1 else earlier["occupation"].iloc[-2])
    np.testing.assert_array_equal(frame[[f"before_h{i}" for i in range(4)]], vectors(careers)[frame.index])
    entry = ledger.entries[-1]
    idle = everything["occupation"] == "unemployed"
    assert entry.rows_in == len(everything) and entry.rows_out == len(frame)
    assert entry.dropped["at work, wage not observed"] == (everything["log_wage"].isna() & ~idle).sum()
    assert entry.dropped["not at work"] == idle.sum()


def test_a_wage_without_work_is_counted_and_not_used(careers):
    everything = to_frame(careers)
    idle = everything["occupation"] == "unemployed"
    everything.loc[idle, "log_wage"] = 3.0
    paid = from_frame(everything, static=["gender"], outcomes=["log_wage", "schooling"])
    frame, ledger = wage_frame(paid)
    assert not frame["occupation"].isin(["unemployed"]).any() and (frame["weight"] == 1).all()
    assert ledger.entries[-1].dropped["not at work, although there is a wage"] == idle.sum()


def test_what_careers_hold_of_blau_and_kahn(frame):
    available, missing = available_blocks(BLAU_KAHN, frame)
    assert available == ["year", "schooling", "experience", "gender"]
    assert "industry" in missing and "union" in missing
    constant = frame.assign(gender="women")
    assert "gender" in available_blocks(BLAU_KAHN, constant)[1]


def test_years_of_full_time_and_of_part_time_work_stand_for_experience_where_careers_have_both(frame):
    full = (frame["experience"] / 2).round()
    finer = frame.assign(full_time_experience=full, part_time_experience=frame["experience"] - full)
    both = ["full-time experience", "part-time experience"]
    assert available_blocks(BLAU_KAHN, finer)[0] == ["year", "schooling", *both, "gender"]
    assert available_blocks(["experience", both[0]], finer) == ([both[1], both[0]], [])
    assert available_blocks(["experience"], finer.drop(columns="part_time_experience")) == (["experience"], [])
    columns = design(both, finer).fit(finer).get_feature_names_out()
    assert set(columns) == {f"{kind}_time_experience{power}" for kind in ("full", "part") for power in ("", "^2")}


def test_missing_numbers_and_labels_have_dummies_of_their_own(frame):
    changed = frame.copy()
    gone = changed.index[:40]
    changed.loc[gone, "schooling"] = np.nan
    columns = design(["schooling"], changed)
    x = columns.fit_transform(changed)
    x = x.toarray() if hasattr(x, "toarray") else x
    assert list(columns.get_feature_names_out()) == ["schooling", "missingindicator_schooling"]
    assert (x[:40] == [0, 1]).all() and (x[40:, 1] == 0).all()


def test_levels_that_are_rare_or_new_share_a_dummy(frame):
    """What counts is people: a level that one person has in many years is pooled too."""
    judge = frame["person"] == frame["person"].value_counts().index[0]
    assert judge.sum() >= 5
    changed = frame.assign(occupation=np.where(judge, "judge", frame["occupation"]))
    columns = design(["occupation"], changed, rare=5).fit(changed)
    names = list(columns.get_feature_names_out())
    assert names == ["occupation_pilot", "occupation_waiter", "occupation_other levels"]
    assert bases(columns) == {"occupation": "cook"} and pooled_levels(columns) == {"occupation": ["judge"]}
    rare = names.index("occupation_other levels")
    seen = columns.transform(changed[:3].assign(occupation=["judge", "astronaut", "cook"]))
    seen = seen.toarray() if hasattr(seen, "toarray") else seen
    assert seen[:, rare].tolist() == [1, 1, 0]


def test_frame_mistakes_say_what_to_do(careers, frame):
    with pytest.raises(ValueError, match="no outcome 'log_wage'"):
        wage_frame(careers.remove_columns("log_wage"))
    with pytest.raises(ValueError, match=r"'before' has 3 rows and careers have \d+ person-years"):
        wage_frame(careers, {"before": np.zeros((3, 2))})
    with pytest.raises(ValueError, match="no year at work has a wage"):
        wage_frame(careers, not_working=[*JOBS, "unemployed"])
    with pytest.raises(ValueError, match="'height' is neither a block nor a column"):
        design(["height"], frame)
    with pytest.raises(ValueError, match="block 'industry' needs a column 'industry'"):
        design(["industry"], frame)
    with pytest.raises(ValueError, match="no representation 'before'"):
        design(["h before"], frame)
    with pytest.raises(ValueError, match="fold 2 was not among the rows fitted on"):
        h = pd.DataFrame({"fold": [0, 1], "before_h0": [0.1, 0.2]})
        PerFold().fit(h).transform(h.assign(fold=[1, 2]))


# Estimation


def test_held_out_predictions_are_those_of_a_formula_fitted_on_the_other_splits(frame):
    predictions = predict_held_out(frame, {"full": BLOCKS}, splits=4, rare=1)
    everyone = frame.assign(split=predictions["split"])
    assert everyone.groupby("person")["split"].nunique().max() == 1
    for split in range(4):
        others, held_out = everyone[everyone["split"] != split], everyone[everyone["split"] == split]
        for name, formula in {"full": FORMULA, YEAR_ONLY: "log_wage ~ C(year)"}.items():
            expected = smf.wls(formula, others, weights=others["weight"]).fit().predict(held_out)
            np.testing.assert_allclose(predictions.loc[held_out.index, name], expected, atol=1e-8)


def test_families_are_held_out_together():
    frame, _ = wage_frame(careers_with_wages(family=True))
    predictions = predict_held_out(frame, {"full": BLOCKS}, rare=1)
    assert predictions.groupby("group")["split"].nunique().max() == 1
    assert predictions.groupby("split")["group"].nunique().max() <= 7


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), by_fold=st.booleans())
def test_the_axes_of_representations_do_not_matter(careers, seed, by_fold):
    """Nor do those of each model, where several made them."""
    rng = np.random.default_rng(seed)
    h = vectors(careers)
    fold = rng.integers(2, size=len(h)) if by_fold else np.zeros(len(h), dtype=int)
    turned = np.empty_like(h)
    for k in np.unique(fold):
        turned[fold == k] = h[fold == k] @ np.linalg.qr(rng.normal(size=(4, 4)))[0].astype(np.float32) * (1 + k)
    predicted = []
    for values in (h, turned):
        frame, _ = wage_frame(careers, {"before": values}, fold=fold if by_fold else None)
        predicted.append(predict_held_out(frame, {"h": [*BLOCKS, "h before"]}, splits=3, rare=1)["h"])
    np.testing.assert_allclose(*predicted, atol=1e-4)


def test_estimates_and_clustered_errors_are_those_of_a_formula(frame):
    results = estimate(frame, {"full": BLOCKS}, rare=1)["full"]
    people = pd.factorize(frame["person"])[0]
    expected = smf.wls(FORMULA, frame, weights=frame["weight"]).fit(cov_type="cluster", cov_kwds={"groups": people})
    same = {
        "schooling": "schooling",
        "experience": "experience",
        "experience^2": "I(experience ** 2)",
        "gender_women": "C(gender)[T.women]",
        "occupation_pilot": "C(occupation)[T.pilot]",
    }
    for column, formula in same.items():
        assert results.params[column] == pytest.approx(expected.params[formula], rel=1e-8)
        assert results.bse[column] == pytest.approx(expected.bse[formula], rel=1e-8)
    assert results.left_out == [] and results.rsquared == pytest.approx(expected.rsquared)


def test_absorbed_dummies_change_nothing_else(frame):
    """Not other coefficients, nor errors, nor R^2, nor the count of columns; whatever signs labels hold."""
    frame = frame.assign(occupation=frame["occupation"].replace({"cook": "cook | sw(chef)", "pilot": "pilot ~ `jet`"}))
    blocks = [*BLOCKS, "lagged occupation"]
    whole = estimate(frame, {"full": blocks}, rare=1)["full"]
    absorbing = estimate(frame, {"full": blocks}, rare=1, absorb=["occupation", "lagged occupation"])["full"]
    assert absorbing.absorbed == ["occupation", "lagged occupation"] and "intercept" not in absorbing.params
    assert {"occupation_pilot ~ `jet`", "occupation_waiter"} < set(whole.params.index)
    shared = absorbing.params.index
    assert "schooling" in shared and not any("occupation" in name for name in shared)
    np.testing.assert_allclose(absorbing.params, whole.params[shared], rtol=1e-7)
    np.testing.assert_allclose(absorbing.bse, whole.bse[shared], rtol=1e-7)
    # All these careers begin in 1987, which says when there is no lagged occupation.
    assert absorbing.left_out == whole.left_out == ["previous_occupation_none"]
    assert (absorbing.columns, absorbing.nobs, absorbing.people) == (whole.columns, whole.nobs, whole.people)
    assert absorbing.rsquared == pytest.approx(whole.rsquared, rel=1e-9)


def test_a_block_that_others_determine_in_part_takes_nothing_from_them(frame):
    """Its place among columns says what is left out, absorbed or not."""
    frame = frame.assign(job=frame["occupation"], waiter=(frame["occupation"] == "waiter").astype(float))
    blocks = ["schooling", "waiter", "job"]
    whole, absorbing = (estimate(frame, {"jobs": blocks}, rare=1, absorb=absorb)["jobs"] for absorb in ((), ("job",)))
    assert whole.left_out == absorbing.left_out == ["job_waiter"] and absorbing.absorbed == ["job"]
    assert list(absorbing.params.index) == ["schooling", "waiter"]
    np.testing.assert_allclose(absorbing.params, whole.params[["schooling", "waiter"]], rtol=1e-7)
    np.testing.assert_allclose(absorbing.bse, whole.bse[["schooling", "waiter"]], rtol=1e-7)


def test_a_missing_library_is_one_line(monkeypatch, careers):
    monkeypatch.setitem(sys.modules, "pyfixest", None)
    with pytest.raises(ImportError, match=r"pip install 'career_hf\[econ\]'"):
        regress(careers)


def test_collinear_columns_are_left_out_and_named(careers):
    h = vectors(careers)
    h[:, 3] = 1 - h[:, :3].sum(axis=1)  # as CAREER's LayerNorm does
    frame, _ = wage_frame(careers, {"before": h})
    results = estimate(frame, {"h": [*BLOCKS, "h before"]}, rare=1)["h"]
    assert results.left_out == ["before_h3"]
    # The penalty sees four columns where there are three directions; least squares does not.
    y, weight, rows = frame["log_wage"].to_numpy(), frame["weight"].to_numpy(), np.arange(len(frame))
    fitted = []
    for one in (frame, frame.drop(columns="before_h3")):
        matrix = sparse.csr_array(design([*BLOCKS, "h before"], one, 1).fit_transform(one))
        x = sparse.hstack([np.ones((len(one), 1)), matrix]).tocsr()
        h = np.arange(x.shape[1])[-sum(name.startswith("before_h") for name in one) :]
        (coefficients,) = ridge(Sums.of(x, y, weight, rows), [h], [0.0])
        fitted.append(x @ coefficients)
    np.testing.assert_allclose(*fitted, atol=1e-4)
    assert predict_held_out(frame, {"h": [*BLOCKS, "h before"]}, rare=1)["h"].std() > 0


def test_independent_columns_are_found_in_order():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    x = np.column_stack([x[:, 0], 2 * x[:, 0], x[:, 1], x[:, 0] - x[:, 1], np.zeros(50), x[:, 2]])
    assert independent(x.T @ x).tolist() == [0, 2, 5]


def test_the_panel_of_vella_and_verbeek(shared):
    """Pooled least squares as published: Wooldridge's Introductory Econometrics, Table 14.2."""
    panel = pd.read_csv(shared / "data" / "wage_panel" / "wage_panel.csv.bz2")
    race = np.select([panel["black"] == 1, panel["hisp"] == 1], ["black", "hispanic"], "aaa other")
    long = panel.assign(race=race, married=panel["married"].map({0: "no", 1: "yes"}))
    long = long.assign(
        union=panel["union"].map({0: "no", 1: "yes"}), occupation=panel["occupation"].map("job {}".format)
    )
    careers = from_frame(
        long.rename(columns={"nr": "person", "lwage": "log_wage", "exper": "experience", "educ": "schooling"}),
        covariates=["married", "union"],
        static=["race"],
        outcomes=["log_wage", "experience", "schooling"],
    )
    frame, ledger = wage_frame(careers)
    assert ledger.entries[-1].rows_out == 4_360 and frame["person"].nunique() == 545
    blocks = ["year", "schooling", "race", "experience", "married", "union"]
    results = estimate(frame, {"pooled": blocks})["pooled"]
    published = {
        "schooling": 0.091,
        "race_black": -0.139,
        "race_hispanic": 0.016,
        "experience": 0.067,
        "experience^2": -0.0024,
        "married_yes": 0.108,
        "union_yes": 0.182,
    }
    for name, value in published.items():
        assert results.params[name] == pytest.approx(value, abs=6e-4 if abs(value) > 0.01 else 6e-5)
    # Clustering by man widens what he does not change by a half and more, as panels of eight years do.
    rows = smf.ols("lwage ~ C(year) + educ + black + hisp + exper + expersq + married + union", panel).fit()
    assert rows.bse["educ"] == pytest.approx(0.005, abs=5e-4)
    assert results.bse["schooling"] > 1.5 * rows.bse["educ"]
    assert results.params["schooling"] == pytest.approx(rows.params["educ"], rel=1e-8)


def test_tables_are_written_as_text_latex_and_html(frame, tmp_path):
    results = estimate(frame, {"short": BLOCKS[:4], "+ occupation": BLOCKS}, rare=1)
    CoefficientTable(results, ["schooling", "gender_women"]).save(tmp_path / "new" / "table")
    text = (tmp_path / "new" / "table.txt").read_text()
    assert (
        f"{results['short'].params['schooling']:.4f}" in text and f"({results['short'].bse['schooling']:.4f})" in text
    )
    assert "experience" not in text and f"{frame['person'].nunique()}" in text
    latex = (tmp_path / "new" / "table.tex").read_text()
    assert r"\begin{tabularx}" in latex and r"gender\_women" in latex
    assert "<table" in (tmp_path / "new" / "table.html").read_text()


# R^2


def reference_r2(predictions, specification, rows):
    """R^2 and within-year R^2, written out."""
    p = predictions[rows]
    mean = (p["weight"] * p["log_wage"]).sum() / p["weight"].sum()
    error = (p["weight"] * (p["log_wage"] - p[specification]) ** 2).sum()
    total = (p["weight"] * (p["log_wage"] - mean) ** 2).sum()
    year = (p["weight"] * (p["log_wage"] - p[YEAR_ONLY]) ** 2).sum()
    return 1 - error / total, 1 - error / year


def test_r2_overall_by_decade_and_the_papers(frame):
    predictions = predict_held_out(frame, {"full": BLOCKS, "short": BLOCKS[:2]}, rare=1)
    table = held_out_r2(predictions, draws=50).set_index(["years", "specification"])
    for years, rows in {
        "all": predictions["year"] > 0,
        "1980-1989": predictions["year"] < 1990,
        "1990-1999": predictions["year"] >= 1990,
    }.items():
        for name in (YEAR_ONLY, "full", "short"):
            r2, within = reference_r2(predictions, name, rows)
            row = table.loc[(years, name)]
            assert (row["r2"], row["within_year"]) == (pytest.approx(r2), pytest.approx(within))
            by_split = [reference_r2(predictions, name, rows & (predictions["split"] == k))[0] for k in range(5)]
            assert row["mean_of_splits"] == pytest.approx(np.mean(by_split))
            assert row["observations"] == rows.sum() and row["people"] == predictions["person"][rows].nunique()
            assert row["r2_low"] < row["r2"] < row["r2_high"]
    assert (table.loc[(slice(None), YEAR_ONLY), "within_year"] == 0).all()
    gain = table.loc[("all", "short"), "within_year"] - table.loc[("all", "full"), "within_year"]
    assert table.loc[("all", "short"), "gain"] == pytest.approx(gain)


@settings(max_examples=10, deadline=None)
@given(shifts=st.lists(st.floats(-3, 3), min_size=20, max_size=20))
def test_inflation_moves_r2_and_not_the_r2_within_year(frame, shifts):
    inflated = frame.assign(log_wage=frame["log_wage"] + np.array(shifts)[frame["year"] - 1987])
    within_years = []
    for one in (frame, inflated):
        predictions = predict_held_out(one, {"full": BLOCKS}, rare=1)
        within_years.append(
            held_out_r2(predictions, draws=2, by_decade=False).set_index("specification")["within_year"]
        )
    np.testing.assert_allclose(within_years[0], within_years[1], atol=1e-8)


def test_intervals_are_those_of_people(frame):
    """Rows that repeat a person say nothing new, and leave the interval where it is."""
    predictions = predict_held_out(frame, {"full": BLOCKS}, rare=1)
    repeated = pd.concat([predictions] * 5, ignore_index=True)
    one, five = (held_out_r2(p, draws=300, by_decade=False) for p in (predictions, repeated))
    pd.testing.assert_frame_equal(one.drop(columns="observations"), five.drop(columns="observations"))
    width = one["within_year_high"].iloc[1] - one["within_year_low"].iloc[1]
    rng = np.random.default_rng(0)
    people = predictions["person"].unique()
    by_hand = []
    for _ in range(300):
        drawn = pd.DataFrame({"person": rng.choice(people, len(people))}).merge(predictions, on="person")
        by_hand.append(reference_r2(drawn, "full", drawn["year"] > 0)[1])
    assert width == pytest.approx(np.subtract(*np.quantile(by_hand, [0.975, 0.025])), rel=0.25)


def test_seeds_average_squared_errors_and_report_their_spread(frame):
    first = predict_held_out(frame, {"full": BLOCKS}, seed=0, rare=1)
    second = predict_held_out(frame, {"full": BLOCKS}, seed=1, rare=1)
    averaged = held_out_r2([first, second], draws=2, by_decade=False).set_index("specification")
    each = [held_out_r2(p, draws=2, by_decade=False).set_index("specification") for p in (first, second)]
    assert averaged.loc["full", "r2"] == pytest.approx(np.mean([one.loc["full", "r2"] for one in each]))
    spread = np.std([one.loc["full", "within_year"] for one in each], ddof=1)
    assert spread > 0 and averaged.loc["full", "seed_sd"] == pytest.approx(spread)


def test_r2_mistakes_say_what_to_do(frame):
    predictions = predict_held_out(frame, {"full": BLOCKS}, rare=1)
    with pytest.raises(ValueError, match="no specification 'best', only year alone, full"):
        held_out_r2(predictions, baseline="best")
    with pytest.raises(ValueError, match="different rows"):
        held_out_r2([predictions, predictions[1:]])
    with pytest.raises(ValueError, match="choose another name"):
        predict_held_out(frame, {YEAR_ONLY: ["year"]})


# The command


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Careers with wages in a folder, and a wage model that has recorded their training split (untrained, in fact)."""
    folder = tmp_path_factory.mktemp("market")
    splits = split_careers(draw_wages(preset("tiny").simulate(300)).careers)
    save_careers(splits, folder / "careers")
    processor = CareerProcessor.fit(splits["train"], ["year", "education"], unknown_occupation="unknown")
    processor.record_training(processor.encode(splits["train"])[0], "training")
    trunk = CareerForOccupationPrediction(
        CareerConfig(**processor.config_kwargs(), hidden_size=8, num_hidden_layers=1)
    )
    wages = to_frame(splits["train"])["log_wage"].to_numpy()
    CareerForWagePrediction.from_occupation_model(trunk, wages).save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    return folder


def test_the_command_writes_what_the_functions_say(market):
    command = ["wage-regression", "--data", str(market / "careers"), "--output", str(market / "tables")]
    settings_ = ["--model", str(market / "model"), "--add", "occupation", "--leave-out", "race", "--draws", "20"]
    done = CliRunner().invoke(app, [*command, *settings_])
    assert done.exit_code == 0, done.output
    assert "not in these careers: industry (Blau and Kahn: 14 industries)" in done.output
    r2 = pd.read_csv(market / "tables" / "r2.csv").set_index(["years", "specification"])
    rows = ["year alone", "Blau-Kahn", "+ occupation", "+ h before", "+ h including", "+ wage head"]
    assert list(r2.loc["all"].index) == rows
    frame, _ = wage_frame(with_weights(load_careers(market / "careers")["test"], False))
    blocks = ["year", "education", "experience", "region", "gender"]
    expected = held_out_r2(predict_held_out(frame, {"Blau-Kahn": blocks}), draws=2, by_decade=False)
    assert r2.loc[("all", "Blau-Kahn"), "within_year"] == pytest.approx(expected["within_year"].iloc[1], abs=1e-5)
    text = (market / "tables" / "coefficients.txt").read_text()
    assert "gender_male" in text and "race" not in text and "year_" not in text and text.strip() in done.output
    splits, pair = load_careers(market / "careers"), load_checkpoint(market / "model")
    report = regress(splits, pair, add=["occupation"], leave_out=["race"], draws=20)
    np.testing.assert_allclose(report.to_frame()["within_year"], r2["within_year"], atol=1e-5)
    assert list(report.missing)[0] == "schooling" and list(report.regressions) == rows[1:]
    overall, *decades = report.figure().axes
    (points, _, (bars,)) = overall.containers[0]
    drawn = report.to_frame().query("years == 'all' and specification != 'year alone'")
    np.testing.assert_allclose(points.get_xdata(), drawn["within_year"])
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, drawn[["within_year_low", "within_year_high"]])
    assert [label.get_text() for label in overall.get_yticklabels()] == rows[1:]
    assert len(decades) == report.to_frame()["years"].nunique() - 1


def test_the_command_refuses_people_whom_the_model_saw(market):
    command = ["wage-regression", "--data", str(market / "careers"), "--output", str(market / "no")]
    done = CliRunner().invoke(app, [*command, "--model", str(market / "model"), "--split", "all"])
    assert done.exit_code == 2 and "is in both 'trained on' and 'represented'" in words(done)
    unknown = CliRunner().invoke(app, [*command, "--split", "future"])
    assert unknown.exit_code == 2 and "none is 'future'" in unknown.output
