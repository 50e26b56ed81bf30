"""Which steps a forecast takes, and with which covariates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from forecast_examples import LABELS, careers_of, cut, enumerated_forecast, model_and_processor
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.careers import from_frame, to_frame, truncate
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.years import levels_ahead, steps_ahead


def frame_of(years_of_person, **columns):
    people = [person for person, years in years_of_person.items() for _ in years]
    years = [year for years in years_of_person.values() for year in years]
    return {"person": people, "year": years, "occupation": ["cook"] * len(years)} | columns


def levels_of(careers, processor, given=None, *, rule="observation", horizon=None, years=None, **kwargs):
    """Labels of every covariate at every step ahead, with the person, the year and what else is returned."""
    steps = steps_ahead(careers, horizon, years, rule, processor.step_length)
    rows = [levels[-1] for levels in processor.encode(careers)[0]["covariates"]]
    levels, placed, carried, _ = levels_ahead(steps, np.array(rows), careers, processor, given, **kwargs)
    names = [processor.covariate_levels[c] for c in range(levels.shape[1])]
    labels = [[names[c][level] for c, level in enumerate(step)] for step in levels]
    people = [steps.people[i] for i in steps.person]
    return [(p, int(y), *row) for p, y, row in zip(people, steps.year, labels, strict=True)], placed, carried


def test_steps_follow_each_persons_own_last_year_or_lead_to_given_years():
    careers = from_frame(frame_of({"a": [1980, 1982], "b": [1978]}))
    ahead = steps_ahead(careers, 2, None, "observation", 2)
    assert ahead.year.tolist() == [1984, 1986, 1980, 1982] and ahead.wanted.all()
    ahead = steps_ahead(careers, None, [1984, 1990], "observation", 2)
    assert ahead.year.tolist() == [1984, 1990, 1984, 1990]
    assert ahead.previous_year.tolist() == [1982, 1984, 1978, 1984]
    ahead = steps_ahead(careers, None, [1984, 1988], "interval", 2)
    assert ahead.lengths.tolist() == [3, 5]
    assert ahead.year.tolist() == [1984, 1986, 1988, 1980, 1982, 1984, 1986, 1988]
    assert ahead.wanted.tolist() == [True, False, True, False, False, True, False, True]
    with pytest.raises(ValueError, match="person 'a' is last observed in 1982, from which steps of 2 years .* 1985"):
        steps_ahead(careers, None, [1984, 1985], "interval", 2)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_intervals_visit_every_year_between_and_end_with_the_last_goal(data):
    length = data.draw(st.integers(1, 3))
    last = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    careers = from_frame(frame_of({str(i): [1990 - length * gap] for i, gap in enumerate(last)}))
    goals = sorted(data.draw(st.sets(st.integers(1, 6), min_size=1)))
    ahead = steps_ahead(careers, None, [1990 + length * goal for goal in goals], "interval", length)
    for person, gap in enumerate(last):
        own = ahead.person == person
        assert ahead.year[own].tolist() == [1990 - length * gap + length * k for k in range(1, gap + goals[-1] + 1)]
        assert ahead.year[own][ahead.wanted[own]].tolist() == [1990 + length * goal for goal in goals]
    assert (ahead.year - ahead.previous_year == length).all()


def test_sampling_the_years_between_leaves_them_out_and_changes_nothing_else():
    model, processor = model_and_processor("career")
    careers = cut(careers_of(), 20).filter(lambda career: career["year"][-1] == 1982)
    some = forecast(model, careers, processor, years=[1984, 1986], step="interval", samples=50, exact_steps=1)
    every = forecast(model, careers, processor, years=[1983, 1984, 1985, 1986], samples=50, exact_steps=1)
    np.testing.assert_allclose(some.probability, every.probability[:, [1, 3]], atol=1e-6)
    assert some.attrs["step"] == "interval" and some.years.tolist() == [[1984, 1986]] * len(careers)
    paths = forecast(model, careers, processor, years=[1984, 1986], step="interval", samples=50, trajectories=True)
    assert paths.trajectories.occupation.shape[1] == 2
    assert len(np.unique(np.c_[paths.trajectories.person, paths.trajectories.occupation], axis=0)) == len(
        paths.trajectories.count
    )


def test_people_who_ended_earlier_take_more_steps_to_the_same_years():
    model, processor = model_and_processor("career")
    careers = truncate(careers_of(), 1983)[0].filter(lambda career: career["person"] in ("p00", "p01", "p02", "p03"))
    assert len({career["year"][-1] for career in careers}) > 1
    exact = forecast(model, careers, processor, years=[1984, 1985], step="interval", samples=2, exact_steps=5)
    for person, career in enumerate(careers):
        years = list(range(career["year"][-1] + 1, 1986))
        marginal, _, _ = enumerated_forecast(model, processor, career, years)
        np.testing.assert_allclose(exact.probability[person], marginal[-2:, 2:], atol=2e-6)


def test_a_gap_covariate_follows_from_the_years():
    frame = frame_of({"a": [1980, 1981, 1983], "b": [1980, 1982, 1983]}, gap=[None, 1, 2, None, 2, 1])
    careers = from_frame(frame, covariates=["gap"])
    processor = CareerProcessor.fit(careers, covariates=("year", "gap"), occupations=LABELS)
    levels, _, carried = levels_of(careers, processor, years=[1984, 1986], gap_covariate="gap")
    assert [level[-1] for level in levels] == ["1", "2", "1", "2"] and carried == {}
    levels, _, _ = levels_of(careers, processor, years=[1984, 1985, 1986], rule="interval", gap_covariate="gap")
    assert [level[-1] for level in levels] == ["1"] * 6
    with pytest.raises(ValueError, match="person 'a', column 'gap': 1987 is 3 years after .* on gaps of 1, 2"):
        levels_of(careers, processor, years=[1984, 1987], gap_covariate="gap")
    levels, _, _ = levels_of(careers, processor, years=[1987], gap_covariate="gap", unknown_levels="missing")
    assert [level[-1] for level in levels] == ["missing", "missing"]
    with pytest.raises(ValueError, match="gap_covariate 'step' is not one of"):
        levels_of(careers, processor, horizon=1, gap_covariate="step")
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), hidden_size=8)).eval()
    result = forecast(model, careers, processor, years=[1985], gap_covariate="gap")
    assert result.attrs["gap_covariate"] == "gap"
    with torch.no_grad():
        expected = model(
            input_ids=torch.tensor([[1, *processor.occupation_ids(["cook"] * 3)]]),
            covariates=torch.tensor([[[1, 0], [2, 1], [4, 2], [4, 2]]]),
        ).logits[0, -1, 2:]
    np.testing.assert_allclose(result.probability[0, 0], expected.exp(), atol=1e-6)


def test_every_year_without_training_uses_the_latest_trained_one():
    careers = careers_of(40, gap=2)
    processor = CareerProcessor.fit(careers, covariates=("year",), occupations=LABELS)
    trained = careers.filter(lambda career: career["year"][-1] <= 1984)
    processor.record_training(processor.encode(trained)[0], "training")
    someone = trained.filter(lambda career: career["year"][-1] == 1982).select([0])
    levels, placed, _ = levels_of(someone, processor, horizon=4)
    assert [level[1:] for level in levels] == [(1984, "1984"), (1986, "1984"), (1988, "1984"), (1990, "1984")]
    assert placed == {1986: 1984, 1988: 1984, 1990: 1984}
    # A year within the trained ones, in which nobody was interviewed.
    levels, placed, _ = levels_of(someone, processor, years=[1983])
    assert levels[0][-1] == "1982" and placed == {1983: 1982}


def test_a_year_before_every_trained_one_cannot_be_placed():
    late = careers_of(20, first_year=1990)
    processor = CareerProcessor.fit(careers_of(20), covariates=("year",), occupations=LABELS).extend(late)
    processor.record_training(processor.encode(late)[0], "finetuning")
    with pytest.raises(ValueError, match="lies before 1990, the first year that was trained on"):
        levels_of(cut(careers_of(), 1), processor, horizon=1)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_given_value_holds_from_its_year_on(data):
    """Against a loop over years that remembers the latest value."""
    levels = ["x", "y", "z"]
    last = {"a": 1985, "b": 1987, "c": 1984}
    frame = frame_of({person: [year - 1, year] for person, year in last.items()}, education=["x", "y"] * 3)
    careers = from_frame(frame, covariates=["education"])
    processor = CareerProcessor.fit(careers, covariates=("education",), occupations=LABELS)
    processor.covariate_levels[0].append("z")
    cells = st.tuples(st.sampled_from("abc"), st.integers(1980, 1995))
    table = data.draw(st.dictionaries(cells, st.one_of(st.none(), st.sampled_from(levels)), min_size=1, max_size=12))
    order = data.draw(st.permutations(list(table)))
    given_ = pd.DataFrame([{"person": p, "year": y, "education": table[p, y]} for p, y in order])
    found, _, carried = levels_of(careers, processor, given_.astype({"education": object}), years=[1988, 1990, 1991])
    expected, exact = [], 0
    for person in "abc":
        for goal in (1988, 1990, 1991):
            value = "y"
            for year in range(last[person] + 1, goal + 1):
                value = table.get((person, year)) or value
            expected.append((person, goal, value))
            exact += table.get((person, goal)) is not None
    assert found == expected
    assert carried.get("education", 0) == 9 - exact


def test_careers_give_future_values_too():
    full = careers_of()
    careers = truncate(full, 1982)[0].filter(lambda career: career["person"] in ("p01", "p04"))
    processor = CareerProcessor.fit(full, covariates=("year", "education", "race"), occupations=LABELS)
    given_ = full.filter(lambda career: career["person"] in ("p01", "p04"))
    assert levels_of(careers, processor, given_, horizon=2) == levels_of(
        careers, processor, to_frame(given_), horizon=2
    )
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(to_frame(given_, kind="arrow"))
    assert levels_of(careers, processor, frame, horizon=2) == levels_of(careers, processor, given_, horizon=2)


def test_without_carrying_forward_every_value_must_be_given():
    full = from_frame(
        frame_of({"a": [1980, 1981, 1982], "b": [1980, 1981, 1982]}, education=list("xyxxyz"), race=list("rrrsss")),
        covariates=["education"],
        static=["race"],
    )
    careers = truncate(full, 1980)[0]
    processor = CareerProcessor.fit(full, covariates=("year", "education", "race"), occupations=LABELS)
    levels, _, carried = levels_of(careers, processor, full, horizon=2, carry_forward=False)
    assert [level[3:] for level in levels] == [("y", "r"), ("x", "r"), ("y", "s"), ("z", "s")] and carried == {}
    for given_ in (full, None):
        with pytest.raises(ValueError, match="column 'education': there is no value for 198"):
            levels_of(careers, processor, given_, horizon=3, carry_forward=False)
    with pytest.raises(ValueError, match="person 'b', column 'education': there is no value for 1982"):
        short = to_frame(full).iloc[:5]
        levels_of(careers, processor, short, horizon=2, carry_forward=False)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"person": ["p00", "nobody"], "year": [1986, 1986]}, "row 1: person 'nobody' is not in the careers"),
        ({"person": ["p00", "p00"], "year": [1986, 1986]}, "row 1: person 'p00' has year 1986 twice"),
        ({"person": ["p00"], "education": ["11"]}, "column 'year' is not in the table"),
        (
            {"person": ["p01", "p00"], "year": [1986, 1986], "education": [None, "99"]},
            "person 'p00', row 1, column 'education', value '99': level '99' of covariate 'education' is not known",
        ),
    ],
)
def test_future_covariates_that_cannot_be_used_are_errors(given_, message):
    careers = cut(careers_of(3), 3)
    processor = CareerProcessor.fit(careers, covariates=("education",))
    with pytest.raises(ValueError, match=message):
        levels_of(careers, processor, pd.DataFrame(given_), horizon=6)


def test_age_advances_with_the_years_and_nothing_else_does():
    """From the last known age; it is that of the oldest trained where training saw no older people."""
    rows = [
        {"person": p, "year": year, "occupation": "cook", "age": str(year - born), "experience": str(year - born - 18)}
        for p, born in (("a", 1950), ("b", 1955))
        for year in range(1980, 1984)
    ]
    rows[3]["age"] = None
    careers = from_frame(pd.DataFrame(rows), covariates=["age", "experience"])
    processor = CareerProcessor.fit(careers, covariates=("year", "age", "experience"), occupations=LABELS)
    steps = steps_ahead(careers, None, [1984, 1987], "observation", 1)
    last = np.array([levels[-1] for levels in processor.encode(careers)[0]["covariates"]])
    levels, _, carried, advanced = levels_ahead(steps, last, careers, processor)
    ages = [processor.covariate_levels[1][level] for level in levels[:, 1]]
    # "a" was 32 in 1982, and is older then than anybody who is known; "b" is 29, for which 28 is taken, and 32.
    assert ages == ["32", "32", "28", "32"]
    assert [processor.covariate_levels[2][level] for level in levels[:, 2]] == ["15", "15", "10", "10"]
    assert advanced == {"age": 4} and carried == {"experience": 4}
    # What is said about a year is taken for it; bands of ages stay.
    known = pd.DataFrame({"person": ["a"], "year": [1987], "age": ["30"]})
    levels, _, _, advanced = levels_ahead(steps, last, careers, processor, known)
    assert processor.covariate_levels[1][levels[1, 1]] == "30" and advanced == {"age": 3}
    bands = from_frame(pd.DataFrame(rows).assign(age="25 to 34"), covariates=["age", "experience"])
    processor = CareerProcessor.fit(bands, covariates=("year", "age"), occupations=LABELS)
    last = np.array([levels[-1] for levels in processor.encode(bands)[0]["covariates"]])
    _, _, carried, advanced = levels_ahead(steps, last, bands, processor)
    assert carried == {"age": 4} and advanced == {}


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_a_forecast_knows_nothing_after_the_cutoff(data):
    """Whatever became of people, or whether anything is known of it, their forecasts are the same."""
    careers = careers_of(people=6)
    model, processor = model_and_processor("career", careers=truncate(careers, 1981)[0])
    frame = to_frame(careers)
    later = frame["year"] > 1981
    options = {"cutoff": 1981, "years": [1982, 1984], "samples": 20, "unknown_levels": "missing"}
    expected = forecast(model, careers, processor, **options)
    kept = data.draw(st.lists(st.booleans(), min_size=int(later.sum()), max_size=int(later.sum())))
    changed = frame.copy()
    for name, labels in (("occupation", LABELS), ("education", sorted(frame["education"].unique()))):
        drawn = data.draw(st.lists(st.sampled_from(labels), min_size=int(later.sum()), max_size=int(later.sum())))
        changed.loc[later, name] = drawn
    changed = changed.drop(changed.index[later][~np.array(kept)])
    other = from_frame(changed, covariates=["education"], static=["race"])
    np.testing.assert_array_equal(forecast(model, other, processor, **options).probability, expected.probability)
