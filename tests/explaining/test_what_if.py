"""What-if comparisons: exact for the true law, paired, weighted, and never silent about whom they do not reach."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from datasets import DatasetDict
from forecast_examples import careers_of, cut, enumerated_forecast, history_and_levels, model_and_processor
from simulated_law import Person, p_true

from career_hf.careers import from_frame, to_frame, truncate
from career_hf.encoding.collating import EncodedCareers
from career_hf.evaluation.transition_table import distributions
from career_hf.explaining.edits import Edit, edit_careers
from career_hf.explaining.what_if import forecast_differences, next_step_differences, what_if
from career_hf.occupations.crosswalks import groups_of
from career_hf.occupations.labels import EDUCATION, GENDERS, RACES, REGIONS
from career_hf.simulation import TrueOccupationModel, preset, world_processor


@pytest.fixture(scope="module")
def market():
    simulation = preset("tiny").simulate(25, seed=1)
    return simulation, TrueOccupationModel.of_world(simulation.world), world_processor(simulation.world)


@pytest.mark.parametrize(("name", "level"), [("region", "west"), ("gender", "female"), ("education", "college")])
def test_the_true_model_gives_the_difference_of_the_law(market, name, level):
    """Against the law in plain Python, weighted, over the steps of everybody who reads otherwise."""
    simulation, truth, processor = market
    world = simulation.world
    comparison = next_step_differences(
        truth, simulation.careers, processor, Edit({name: level}), training=simulation.careers, draws=5
    )
    names, totals, weights = world.labels, np.zeros((2, len(world.labels))), 0.0
    for career in simulation.careers:
        before, after = dict(career), dict(career)
        after[name] = [level] * len(career["year"]) if name == "education" else level
        first = next((t for t in range(len(career["year"])) if name != "education" or career[name][t] != level), None)
        if after == before or first is None:
            continue
        for k, one in enumerate((before, after)):
            codes = RACES.index(one["race"]), REGIONS.index(one["region"])
            person = Person(int(one["birth_year"]), GENDERS.index(one["gender"]), *codes)
            levels, states = (
                [EDUCATION.index(e) for e in one["education"]],
                [names.index(o) for o in one["occupation"]],
            )
            p = p_true(world, person, list(zip(one["year"], levels, states, strict=True)))
            totals[k] += career["weight"] * p[first:].sum(axis=0)
        weights += career["weight"] * (len(career["year"]) - first)
    table = comparison.differences.set_index("outcome").loc[names]
    np.testing.assert_allclose(table[["original", "edited"]].to_numpy().T, totals / weights, atol=1e-6)
    np.testing.assert_allclose(table["difference"], (totals[1] - totals[0]) / weights, atol=1e-6)
    assert table["difference"].abs().max() > 1e-3 and comparison.differences.attrs["weighted"]


def test_what_cannot_happen_in_the_market_is_not_predicted(market):
    simulation, truth, processor = market
    with pytest.raises(ValueError, match="cannot happen in this world"):
        next_step_differences(
            truth, simulation.careers, processor, Edit({"education": "college"}, from_age=21), training=None
        )


@pytest.mark.parametrize("name", ["career", "bag-of-jobs", "markov-2"])
def test_only_steps_that_are_told_otherwise_are_averaged(name):
    """An edited occupation is told from the next step on; what was told before has the same predictions."""
    careers = careers_of(150)
    model, processor = model_and_processor(name, careers=careers)
    edit = Edit(occupations={"cook": "nurse"}, from_year=1982)
    groups = {"cook": "food", "waiter": "food", "driver": "other", "nurse": "other"}
    comparison = next_step_differences(
        model, careers, processor, edit, training=careers, groups=groups, draws=400, seed=3
    )

    sums: dict[str, np.ndarray] = {}
    for some in (careers, edit_careers(careers, edit)[0]):
        encoded = EncodedCareers(processor.encode(some)[0])
        p = np.empty((encoded.lengths.sum(), len(processor.occupations)))
        for place, log_probs, *_ in distributions(model, encoded):
            p[place] = log_probs.double().exp().numpy()
        start = 0
        for career in careers:
            steps, first = len(career["year"]), None
            for t in range(steps - 1):
                if career["year"][t] >= 1982 and career["occupation"][t] == "cook":
                    first = t + 1 if first is None else first
            if first is not None:
                food = p[start + first : start + steps, processor.occupation_ids(["cook", "waiter"])].sum()
                sums.setdefault(career["person"], []).append((food, steps - first))
            start += steps
    rows = np.array(list(sums.values()))
    before, after = rows[:, :, 0].sum(axis=0) / rows[:, 0, 1].sum()
    food = comparison.differences.set_index("outcome").loc["food"]
    np.testing.assert_allclose(food[["original", "edited", "difference"]].tolist(), [before, after, after - before])
    assert (
        comparison.differences.attrs["people"] == len(rows)
        and comparison.differences.attrs["rows"] == rows[:, 0, 1].sum()
    )
    compared = comparison.ledger.entries[-1]
    assert compared.rows_out == rows[:, 0, 1].sum() and compared.rows_in == sum(map(len, careers["year"]))

    # People resampled by hand: the same spread.
    draws = np.random.default_rng(0).integers(len(rows), size=(4000, len(rows)))
    ratio = lambda k: rows[draws, k, 0].sum(1) / rows[draws, k, 1].sum(1)  # noqa: E731
    drawn = ratio(1) - ratio(0)
    assert food["standard_error"] == pytest.approx(drawn.std(), rel=0.15)
    assert [food["low"], food["high"]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=drawn.std())


def test_differences_sum_to_zero_and_are_labelled_predictive(market):
    simulation, truth, processor = market
    groups = groups_of(processor.occupations)
    comparison = next_step_differences(
        truth, simulation.careers, processor, Edit({"region": "west"}), training=None, groups=groups, draws=400
    )
    table = comparison.differences
    assert table["outcome"].tolist()[-3:] == ["unemployed", "out_of_labor_force", "in_school"]
    assert table["original"].sum() == pytest.approx(1) and table["difference"].sum() == pytest.approx(0, abs=1e-6)
    differs = table.loc[table["difference"].abs().nlargest(3).index]
    np.testing.assert_allclose(differs["high"] - differs["low"], 2 * 1.96 * differs["standard_error"], rtol=0.3)
    middle = (differs["high"] + differs["low"]) / 2
    assert ((middle - differs["difference"]).abs() < differs["standard_error"]).all()
    assert "predictive, not causal" in table.attrs["reading"] and comparison.support is None


def test_forecasts_go_on_from_the_edited_career():
    """Exact by enumeration: the last occupation is edited, or a covariate, which is carried forward."""
    careers = cut(careers_of(), 6)
    model, processor = model_and_processor("career")
    for edit in (Edit(occupations="nurse", from_year=1982), Edit({"education": "11"}, from_year=1981)):
        comparison = forecast_differences(
            model, careers, processor, edit, training=careers, horizon=2, draws=20, exact_steps=2, samples=2
        )
        edited = edit_careers(careers, edit)[0]
        means = []
        for some in (careers, edited):
            reached = [
                c for c, other in zip(some, zip(careers, edited, strict=True), strict=True) if other[0] != other[1]
            ]
            each = [
                enumerated_forecast(model, processor, c, [c["year"][-1] + 1, c["year"][-1] + 2])[0] for c in reached
            ]
            means.append(np.mean(each, axis=0)[:, processor.occupation_ids(processor.occupations[2:])])
        assert comparison.differences.attrs["people"] == len(reached) > 1
        table = comparison.differences
        assert (
            table["years_ahead"].tolist() == [1] * 4 + [2] * 4
            and table["outcome"].tolist()[:4] == processor.occupations[2:]
        )
        np.testing.assert_allclose(table["original"], means[0].ravel(), atol=1e-6)
        np.testing.assert_allclose(table["edited"], means[1].ravel(), atol=1e-6)
    assert history_and_levels(processor, edited[0], [1983])[1][-1, 1] == processor.level_ids("education", ["11"])[0]


def test_the_verb_compares_next_steps_and_forecasts(market, tmp_path):
    simulation, truth, processor = market
    careers = simulation.careers
    splits = DatasetDict({"train": careers.select(range(15)), "test": careers.select(range(15, 25))})
    options = {"groups": "major_group", "cutoff": 1984, "horizon": 2, "samples": 5, "draws": 10}
    result = what_if((truth, processor), splits, {"region": {"south": "west"}}, weighted=True, **options)
    cut_careers = truncate(splits["test"], 1984)[0]
    edit, groups = Edit({"region": {"south": "west"}}), groups_of(processor.occupations, "major_group")
    common = {"training": splits["train"], "groups": groups, "draws": 10, "unknown_levels": "missing"}
    step = next_step_differences(truth, cut_careers, processor, edit, **common)
    ahead = forecast_differences(truth, cut_careers, processor, edit, horizon=2, samples=5, **common)
    pd.testing.assert_frame_equal(result.next_step.differences, step.differences)
    pd.testing.assert_frame_equal(result.forecast.differences, ahead.differences)
    pd.testing.assert_frame_equal(result.next_step.support, step.support)
    frame = result.to_frame()
    assert frame.groupby(["comparison", "years_ahead"], dropna=False).size().tolist() == [len(step.differences)] * 3
    assert frame["years_ahead"].isna().sum() == len(step.differences)
    assert result.cut.entries[-1].step == "cut careers" and "predictive" in frame.attrs["reading"]
    result.save(tmp_path)
    assert pd.read_csv(tmp_path / "forecast.csv")["edited"].tolist() == pytest.approx(ahead.differences["edited"])
    alone = what_if((truth, processor), careers, {"region": "west"}, draws=5)
    assert alone.forecast is None and alone.next_step.support is None
    with pytest.raises(ValueError, match="no comparison 'forecast'"):
        alone.figure("forecast")


def test_an_edit_that_reaches_nobody_is_an_error():
    careers = careers_of()
    model, processor = model_and_processor("career")
    late = Edit({"education": "11"}, from_year=1990)
    with pytest.raises(ValueError, match=r"education to 11 from 1990 on\) reaches nobody"):
        next_step_differences(model, careers, processor, late, training=None)
    with pytest.raises(ValueError, match="everybody's career ends before it"):
        forecast_differences(model, careers, processor, late, training=None, horizon=1)
    with pytest.raises(ValueError, match="'30' of 'education' is not known"):
        next_step_differences(model, careers, processor, Edit({"education": "30"}), training=None)


@pytest.mark.parametrize("of_forecasts", [False, True])
def test_households_are_resampled_and_too_few_have_no_interval(of_forecasts):
    """Three copies of everybody in one household say no more than one: intervals are sqrt(3) of those by person."""
    model, processor = model_and_processor("career")
    frame = to_frame(careers_of(people=30))
    copies = pd.concat([frame.assign(person=frame["person"] + copy, home=frame["person"]) for copy in "abc"])
    columns = {"covariates": ["education"], "static": ["race"]}
    households, apart = (from_frame(copies, **columns, group=group) for group in ("home", None))
    differences = partial(forecast_differences, horizon=1) if of_forecasts else next_step_differences
    options = {"training": None, "draws": 400}
    together, alone, few = (
        differences(model, careers, processor, Edit({"race": "b"}), **options).differences
        for careers in (households, apart, households.select(range(12)))
    )
    assert np.allclose(together["difference"], alone["difference"])
    assert together["standard_error"].to_numpy() == pytest.approx(np.sqrt(3) * alone["standard_error"], rel=0.2)
    assert few[["standard_error", "low", "high"]].isna().all(axis=None) and few["difference"].notna().all()
