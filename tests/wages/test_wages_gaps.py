"""Gap estimators against DoubleML, plain formulas, resampling people, and the simulator's truth."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command_output import words
from sklearn.linear_model import LogisticRegression, Ridge
from typer.testing import CliRunner

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import load_careers, save_careers, split_careers, to_frame
from career_hf.cli.app import app
from career_hf.occupations.labels import GENDERS
from career_hf.simulation import draw_wages, preset, type_posteriors, wage_truth
from career_hf.simulation.world import NOT_WORKING
from career_hf.wages import gaps
from career_hf.wages.gap_estimates import GapGroups, _oaxaca_blinder, gap_sample
from career_hf.wages.gap_nuisances import cross_fit_nuisances, difference_regression, folds_of_people
from career_hf.wages.gaps import (
    GapResult,
    GapSample,
    Nuisances,
    aipw_gap,
    kept_rows,
    outcome_only_gap,
    overlap,
    r_loss,
    raw_gap,
)


def draw(seed=0, people=400, weighted=False):
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), rng.integers(1, 6, people))
    trait = rng.normal(size=(people, 2))
    group = (rng.random(people) < 1 / (1 + np.exp(-trait[:, 0])))[person]
    x = trait[person] + 0.3 * rng.normal(size=(len(person), 2))
    y = x @ [0.3, 0.1] - 0.1 * group + 0.3 * rng.normal(size=people)[person] + 0.2 * rng.normal(size=len(person))
    return GapSample(y, group, person, x, rng.uniform(0.5, 2, people)[person] if weighted else None)


@pytest.fixture(scope="module")
def fitted():
    sample = draw(weighted=True)
    return sample, cross_fit_nuisances(sample, folds_of_people(sample.person, 3))


def test_aipw_is_doubleml_on_the_same_folds():
    doubleml = pytest.importorskip("doubleml")
    sample = draw()
    fold = folds_of_people(sample.person, 3)
    wage_model, group_model = Ridge(1.0), LogisticRegression(C=0.5)
    nuisances = cross_fit_nuisances(sample, fold, wage_model=wage_model, group_model=group_model)
    frame = pd.DataFrame(sample.features, columns=["a", "b"])
    frame = frame.assign(y=sample.outcome, d=sample.group.astype(float), person=sample.person)
    # By default it moves propensities to 0.01 and 0.99; there are none beyond, whatever this is set to.
    exact = doubleml.utils.propensity_score_processing.PSProcessorConfig(clipping_threshold=1e-9)
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    people = [([np.unique(sample.person[fit])], [np.unique(sample.person[predicted])]) for fit, predicted in splits]
    for clustered in (False, True):
        data = doubleml.DoubleMLData(frame, "y", "d", ["a", "b"], cluster_cols="person" if clustered else None)
        reference = doubleml.DoubleMLIRM(
            data, wage_model, group_model, 3, score="ATTE", ps_processor_config=exact, draw_sample_splitting=False
        )
        reference.set_sample_splitting([splits], [people] if clustered else None)
        reference.fit()
        estimate = aipw_gap(
            sample if clustered else replace(sample, person=np.arange(len(fold)), cluster=None), nuisances
        )
        # With clusters it averages folds of slightly different size.
        assert estimate.estimate == pytest.approx(reference.coef[0], abs=1e-4 if clustered else 1e-9)
        assert estimate.standard_error == pytest.approx(reference.se[0], rel=5e-3 if clustered else 1e-3)


def test_intervals_are_those_of_resampling_people(fitted):
    sample, nuisances = fitted
    for estimator in (aipw_gap, outcome_only_gap):
        estimate, drawn = estimator(sample, nuisances), estimator(sample, nuisances, bootstrap=2_000)
        assert drawn.estimate == estimate.estimate
        assert drawn.standard_error == pytest.approx(estimate.standard_error, rel=0.06)
        assert (drawn.low, drawn.high) == pytest.approx((estimate.low, estimate.high), abs=0.01)
        by_rows = estimator(replace(sample, person=np.arange(len(sample.person)), cluster=None), nuisances)
        assert by_rows.standard_error < 0.8 * estimate.standard_error  # what resampling person-years would say
    assert "fitted network" in drawn.interval and "fitted network" not in aipw_gap(sample, nuisances).interval


def test_aipw_needs_only_one_of_wages_and_propensity():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60_000, 1))
    propensity = 1 / (1 + np.exp(-x[:, 0]))
    group = rng.random(len(x)) < propensity
    others, difference = 1 + x[:, 0] + x[:, 0] ** 2, -0.1 - 0.1 * x[:, 0]
    y = others + group * difference + 0.5 * rng.normal(size=len(x))
    sample = GapSample(y, group, np.arange(len(x)), x)
    truth, flat = difference[group].mean(), np.full(len(x), 0.5)
    nothing = np.zeros(len(x))
    for nuisances in (Nuisances(nothing, nothing, propensity), Nuisances(nothing, others, flat)):
        estimate = aipw_gap(sample, nuisances)
        assert abs(estimate.estimate - truth) < 3 * estimate.standard_error
    both_wrong = aipw_gap(sample, Nuisances(nothing, nothing, flat))
    assert abs(both_wrong.estimate - truth) > 10 * both_wrong.standard_error
    # The objective of the R-learner is least at the truth, and a ridge of it finds the truth.
    right = Nuisances(others + difference, others, propensity)
    losses = [r_loss(sample, d, right.marginal, propensity) for d in (difference, difference + 0.1, -difference)]
    assert losses[0] == min(losses)
    fitted = difference_regression(sample, right.marginal, propensity).predict(x)
    np.testing.assert_allclose(fitted, difference, atol=0.03)


def test_with_the_exact_posterior_as_a_mans_the_truth_lies_inside():
    z = []
    for seed in range(3):
        drawn = draw_wages(preset("tiny").with_world(seed=seed).simulate(1_000, seed), seed=seed)
        careers, world = drawn.careers, drawn.world
        posteriors = {gender: type_posteriors(careers, world, gender) for gender in GENDERS}
        truth = wage_truth(careers, world, posteriors=posteriors)
        law = truth[["education", "experience", "gaps", "recipe"]].assign(
            square=truth["experience"] ** 2, run=np.log1p(truth["family_run"])
        )
        features = np.column_stack([pd.get_dummies(truth["occupation"]), law, posteriors["male"][truth.index]])
        person = pd.factorize(truth["person"])[0]
        sample = GapSample(truth["log_wage"].to_numpy(), truth["female"] == 1, person, features.astype(float))
        estimate = aipw_gap(sample, cross_fit_nuisances(sample, folds_of_people(person, 2)))
        z.append((estimate.estimate - truth.loc[sample.group, "gap"].mean()) / estimate.standard_error)
    assert np.abs(z).max() < 3 and abs(np.mean(z)) < 1.2


def test_overlap_counts_clipped_rows_and_effective_people(fitted):
    sample, nuisances = fitted
    e, w = nuisances.propensity, sample.weight
    clip = float(np.quantile(e, 0.9))
    clip = min(clip, 1 - clip)
    comparable = overlap(sample, e, clip)
    within = (e >= clip) & (e <= 1 - clip)
    assert comparable.clipped == pytest.approx(1 - within.mean())
    assert comparable.group_clipped == pytest.approx(w[sample.group & ~within].sum() / w[sample.group].sum())
    odds = pd.Series(w * e / (1 - e))[within & ~sample.group]
    sums = odds.groupby(sample.person[within & ~sample.group]).sum()
    assert comparable.effective_people == pytest.approx(sums.sum() ** 2 / (sums**2).sum())
    assert comparable.others_people == len(sums)
    assert comparable.effective_people < comparable.others_people
    np.testing.assert_allclose(comparable.histogram[["group", "others"]].sum(), 1)
    estimate = aipw_gap(sample, nuisances, clip=clip)
    by_hand = aipw_gap(
        sample.take(within), Nuisances(*(getattr(nuisances, n)[within] for n in ("group", "others", "propensity")))
    )
    assert estimate.estimate == by_hand.estimate and estimate.rows == within.sum()
    assert f"{1 - comparable.group_clipped:.1%}" in estimate.population
    assert aipw_gap(sample, nuisances).population == "the whole group"


def test_weighting_by_the_odds_balances_features(fitted):
    sample, nuisances = fitted
    balance = overlap(sample, nuisances.propensity).balance
    means, variances = [], []
    for side in (sample.group, ~sample.group):
        x, w = sample.features[side, 0], sample.weight[side]
        means.append(np.average(x, weights=w))
        variances.append(np.average((x - means[-1]) ** 2, weights=w))
    assert balance["raw"].iloc[0] == pytest.approx((means[0] - means[1]) / np.sqrt(np.mean(variances)))
    # What only one group has is far from balance, and not infinitely far.
    only = np.column_stack([sample.features, sample.group * (sample.person % 2), np.full(len(sample.group), 0.3)])
    balance_of_one = overlap(sample.with_features(only), nuisances.propensity).balance["raw"]
    assert 1 < balance_of_one.iloc[2] < 2 and balance_of_one.iloc[3] == 0
    assert balance["weighted"].abs().max() < 0.3 * balance["raw"].abs().max()


def test_penalties_are_chosen_over_people():
    # Noise that tells people apart: rows left out by themselves would be recognised, people are not.
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(100), 6)
    x = rng.normal(size=(100, 40))[person]
    group = (rng.random(100) < 0.5)[person]
    sample = GapSample(rng.normal(size=len(person)), group, person, x)
    propensity = cross_fit_nuisances(sample, folds_of_people(person, 3)).propensity
    assert propensity.std() < 0.15


def test_result_as_table(fitted):
    sample, nuisances = fitted
    estimates = [raw_gap(sample), *gaps.sensitivity(sample, nuisances, adjusted_for="two traits").estimates]
    result = GapResult(estimates, "female", "male")
    frame = result.to_frame()
    assert list(frame["clip"].dropna().unique()) == list(gaps.CLIPS)
    np.testing.assert_allclose(frame["ratio"], np.exp(frame["estimate"]))
    assert frame.loc[frame["clip"] == 0, "population"].eq("the whole group").all()
    assert frame.loc[1:, "effective_people"].notna().all()


def test_the_figure_shows_every_estimate_and_what_it_rests_on(fitted):
    sample, nuisances = fitted
    estimates = [
        raw_gap(sample),
        replace(raw_gap(sample), estimator="Oaxaca-Blinder", adjusted_for="a"),
        *(make(sample, nuisances, adjusted_for=name) for name in "ab" for make in (outcome_only_gap, aipw_gap)),
    ]
    forest, propensities, balance = GapResult(estimates, "female", "male").figure().axes  # a and b have one model
    drawn = {}
    for points, _, (bars,) in forest.containers:
        for x, y, segment in zip(*points.get_data(), bars.get_segments(), strict=True):
            drawn[forest.get_yticklabels()[int(y)].get_text()] = (x, *segment[:, 0], points.get_markerfacecolor())
    labels = ["raw", "Oaxaca-Blinder", "a: outcome-only", "a: AIPW", "b: outcome-only", "b: AIPW"]
    assert set(drawn) == set(labels) and "female minus male" in forest.get_title()
    for label, estimate in zip(labels, estimates, strict=True):
        assert drawn[label][:3] == pytest.approx((estimate.estimate, estimate.low, estimate.high))
        assert (drawn[label][3] == "white") == (estimate.estimator == "outcome-only")
    overlap_of_both = estimates[2].overlap
    steps = {patch.get_label(): patch.get_data().values for patch in propensities.patches}
    np.testing.assert_allclose(steps["female"], overlap_of_both.histogram["group"])
    np.testing.assert_allclose(steps["male"], overlap_of_both.histogram["others"])
    effective = f"{overlap_of_both.effective_people:,.0f} of {overlap_of_both.others_people:,}"
    assert propensities.get_title() == f"a, b\neffective male: {effective}"
    lines = {line.get_label(): line.get_ydata() for line in balance.lines}
    for label, column in (("raw", "raw"), ("weighted by the odds", "weighted")):
        np.testing.assert_allclose(lines[label], sorted(overlap_of_both.balance[column].abs(), reverse=True))


def test_bad_input_is_named(fitted):
    sample, nuisances = fitted
    with pytest.raises(ValueError, match="logit"):
        kept_rows(nuisances.propensity - 2, 0.0)
    with pytest.raises(ValueError, match="clip above 0"):
        aipw_gap(sample, replace(nuisances, propensity=np.where(nuisances.propensity > 0.6, 1.0, 0.5)))
    with pytest.raises(ValueError, match="below 0.5"):
        aipw_gap(sample, nuisances, clip=0.5)
    with pytest.raises(ValueError, match="no row of the group"):
        aipw_gap(sample, replace(nuisances, propensity=np.where(sample.group, 0.995, 0.5)), clip=0.01)
    with pytest.raises(ValueError, match="two folds"):
        cross_fit_nuisances(sample, np.arange(len(sample.person)) % 2)
    with pytest.raises(ValueError, match="3 folds"):
        cross_fit_nuisances(sample, folds_of_people(sample.person, 3), [sample.features])
    with pytest.raises(ValueError, match="2 people"):
        folds_of_people(np.array([0, 0, 1]), 3)
    missing = sample.features.copy()
    missing[7, 1] = np.nan
    with pytest.raises(ValueError, match="row 7: feature 'x1'"):
        sample.with_features(missing)
    with pytest.raises(ValueError, match="empty"):
        replace(sample, group=np.ones(len(sample.group), dtype=bool))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Careers with wages, and a model with random weights that never saw gender."""
    folder = tmp_path_factory.mktemp("gap")
    careers = draw_wages(preset("tiny").simulate(260)).careers
    splits = split_careers(careers, {"train": 0.1, "validation": 0.1, "test": 0.8})
    save_careers(splits, folder / "careers" / "mine")
    for name, covariates in (("blind", ["year", "education"]), ("seeing", ["year", "gender"])):
        processor = CareerProcessor.fit(splits["train"], covariates, unknown_occupation="unknown")
        processor.record_training(processor.encode(splits["train"])[0], "training")
        torch.manual_seed(0)
        config = CareerConfig(**processor.config_kwargs(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
        CareerForOccupationPrediction(config).save_pretrained(folder / "runs" / name)
        processor.save_pretrained(folder / "runs" / name)
    return folder


def test_the_command_estimates_every_gap(saved):
    given = [
        str(saved / "runs" / "blind"),
        "--data",
        str(saved / "careers" / "mine"),
        "--output",
        str(saved / "found"),
    ]
    # The groups are the command's own default.
    sizes = ["--folds", "2", "--updates", "1", "--seeds", "2", "--clip", "0.35"]
    done = CliRunner().invoke(app, ["gap", *given, *sizes])
    assert done.exit_code == 0, done.output
    estimates = pd.read_csv(saved / "found" / "gaps.csv")
    assert len(estimates) == 2 + 2 * 6 and np.isfinite(estimates[["estimate", "low", "high"]]).all(axis=None)
    assert estimates.loc[estimates["adjusted_for"] == "multi-task", "seed_sd"].notna().all()
    adjusted = estimates[estimates["clipped"].notna()]
    assert adjusted["r_loss"].notna().all() and adjusted["population"].str.contains("0.35 and 0.65").any()
    assert pd.read_csv(saved / "found" / "sensitivity.csv")["clip"].nunique() == 4
    propensity = pd.read_csv(saved / "found" / "propensity.csv")
    assert list(propensity) == ["low", "high", "group", "others"] and len(propensity) == gaps.BINS
    balance = pd.read_csv(saved / "found" / "balance.csv", index_col=0)
    assert list(balance) == ["raw", "weighted"] and "experience" in balance.index
    assert (saved / "found" / "gap.png").read_bytes().startswith(b"\x89PNG")  # what it shows is tested by its artists


def test_help_says_what_clip_leaves_out():
    assert "below this value or above 1 minus it" in words(CliRunner().invoke(app, ["gap", "--help"]))


def test_the_command_refuses_a_model_that_saw_gender_or_these_people(saved):
    given = ["--data", str(saved / "careers" / "mine"), "--output", str(saved / "not")]
    seeing = CliRunner().invoke(app, ["gap", str(saved / "runs" / "seeing"), *given])
    assert seeing.exit_code == 2 and "covariate 'gender'" in words(seeing)
    trained_on = CliRunner().invoke(app, ["gap", str(saved / "runs" / "blind"), *given, "--split", "train"])
    assert trained_on.exit_code == 2 and "trained on" in words(trained_on)
    assert not (saved / "not").exists()


def test_rows_of_neither_group_are_counted(saved):
    careers = load_careers(saved / "careers" / "mine")["test"]
    sample, place, ledger = gap_sample(
        careers, GapGroups("race", "black", "non_black_non_hispanic"), not_working=NOT_WORKING
    )
    frame = to_frame(careers).iloc[place]
    np.testing.assert_array_equal(sample.group, frame["race"] == "black")
    assert set(frame["race"]) == {"black", "non_black_non_hispanic"} and not any(
        "race" in name for name in sample.names
    )
    assert (
        ledger.dropped()["race is neither 'black' nor 'non_black_non_hispanic'"]
        == ledger.entries[-1].rows_in - len(frame)
        > 0
    )
    with pytest.raises(ValueError, match="'women'.*'female', 'male'"):
        gap_sample(careers, GapGroups("gender", "women", "men"))


def test_python_of_the_page_runs(saved, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "how_to" / "wage_gaps.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(saved)
    # As it stands, but for sizes, which only take time here.
    small = block.replace('"careers/mine")', '"careers/mine", folds=2, seeds=1, updates=1)')
    assert small != block
    names: dict = {}
    exec(small, names)
    assert set(names["table"]["estimator"]) == {"raw", "Oaxaca-Blinder", "outcome-only", "AIPW"}
    assert {path.name for path in (saved / "runs" / "gap").iterdir()} == {
        "gaps.csv",
        "differences.csv",
        "sensitivity.csv",
        "propensity.csv",
        "balance.csv",
        "gap.png",
    }


def test_levels_that_none_of_the_others_has_are_left_out_of_oaxaca_blinder():
    sample = draw(weighted=True)
    only = sample.group & (sample.person % 7 == 0)
    alone = _oaxaca_blinder(sample.take(~only))
    estimate = _oaxaca_blinder(sample.with_features(np.column_stack([sample.features, only - only.mean()])))
    assert estimate.estimate == pytest.approx(alone.estimate) and estimate.rows == (~only).sum()
    share = 1 - sample.weight[only].sum() / sample.weight[sample.group].sum()
    assert f"{share:.1%}" in estimate.population and alone.population == "the whole group"
