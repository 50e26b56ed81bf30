"""Who is forecast, what became of them, and a forecast held against it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from forecast_examples import LABELS, careers_of, model_and_processor

from career_hf.careers import from_frame, to_frame
from career_hf.careers.clusters import cluster_column, clusters
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.result import Forecast
from career_hf.forecasting.table import (
    COLUMNS,
    MOST_STOOD_FOR,
    attrition_weights,
    check_states,
    forecast_table,
    places,
    realised_years,
)


CUTOFF, YEARS = 1981, [1982, 1984]


@pytest.fixture(scope="module")
def careers():
    """People who are seen in two or three of five years, and in some of the forecast years."""
    rng = np.random.default_rng(0)
    rows = [
        {"person": f"p{p:03d}", "year": int(year), "occupation": rng.choice(LABELS)}
        | {"education": str(10 + p % 3), "race": "ab"[p % 2], "w": 1.0 + p % 4}
        for p in range(120)
        for year in sorted(rng.choice(range(1980, 1985), rng.integers(2, 5), replace=False))
    ]
    return from_frame(pd.DataFrame(rows), covariates=["education"], static=["race"], weight="w")


@pytest.mark.parametrize("who", ["survivors", "observed"])
def test_rows_are_the_steps_after_the_cutoff_of_those_who_qualify(careers, who):
    """Against a loop over careers."""
    found = realised_years(careers, CUTOFF, YEARS, who)
    expected, forecast_people = [], []
    for career in careers:
        steps = dict(zip(career["year"], career["occupation"], strict=True))
        past = [year for year in steps if year <= CUTOFF]
        survives, seen = YEARS[-1] in steps, [year for year in YEARS if year in steps]
        if not past or not (survives if who == "survivors" else seen):
            continue
        forecast_people.append(career["person"])
        for year in seen:
            previous, now = steps[past[-1]], steps[year]
            kind = "stay" if now == previous else "return" if now in [steps[y] for y in past] else "new"
            expected.append(
                (career["person"], YEARS.index(year) + 1, year, year - past[-1], previous, now, kind, survives)
            )
    columns = ["person", "step", "year", "gap_years", "previous", "occupation", "transition", "survivor"]
    assert list(found.rows[columns].itertuples(index=False, name=None)) == expected
    assert {kind for *_, kind, _ in expected} == {"stay", "return", "new"}
    assert found.histories["person"][:] == found.careers["person"][:] == forecast_people
    assert all(max(years) <= CUTOFF for years in found.histories["year"])


def test_households_and_psus_stay_in_the_rows():
    frame = to_frame(careers_of()).assign(
        home=lambda rows: rows["person"].str[:2], unit="1", place=lambda rows: rows["home"]
    )
    design = {"group": "home", "psu": "place", "stratum": "unit"}
    careers = from_frame(frame, covariates=["education"], static=["race"], **design)
    rows = realised_years(careers, 1981, [1982, 1983]).rows
    assert (rows["group"] == rows["person"].str[:2]).all() and (rows["psu"] == rows["group"]).all()
    assert (rows["stratum"] == "1").all() and cluster_column(rows.columns) == "psu"
    assert clusters(rows).tolist() == pd.factorize(rows["group"], sort=True)[0].tolist()


def test_the_ledger_adds_up_to_the_rows(careers):
    found = realised_years(careers, CUTOFF, YEARS, "observed", people=30)
    cut_people, _, people, sample, years = found.ledger.entries
    assert cut_people.rows_in == 120 and people.rows_in == cut_people.rows_out
    assert people.rows_out == sample.rows_in and sample.rows_out == 30 == len(found.histories)
    assert years.rows_in == 60 and years.rows_out == len(found.rows)
    # The same sample at every call, in the order of the careers.
    again = realised_years(careers, CUTOFF, YEARS, "observed", people=30)
    assert again.histories["person"][:] == found.histories["person"][:]
    assert sorted(again.histories["person"]) == again.histories["person"][:]


def test_survivors_weigh_what_the_survey_says_and_everyone_observed_more(careers):
    survey = dict(zip(careers["person"], careers["weight"], strict=True))
    survivors = realised_years(careers, CUTOFF, YEARS).rows
    assert (survivors["weight"] == survivors["person"].map(survey)).all()
    observed = realised_years(careers, CUTOFF, YEARS, "observed").rows
    factor = observed["weight"] / observed["person"].map(survey)
    assert (factor > 1).all() and (factor <= MOST_STOOD_FOR).all()
    # Those who are seen stand for all who can be forecast.
    everybody = sum(min(years) <= CUTOFF for years in careers["year"])
    assert factor.groupby(observed["year"]).sum().to_numpy() == pytest.approx([everybody] * 2, rel=0.02)


def test_attrition_weights_undo_attrition_that_features_explain():
    rng = np.random.default_rng(1)
    features = pd.DataFrame({"occupation": rng.choice(["cook", "nurse"], 8_000)})
    outcome = np.where(features["occupation"] == "cook", 0.2, 0.8) > rng.random(8_000)
    stays = np.where(features["occupation"] == "cook", 0.3, 0.9)
    seen = np.column_stack([rng.random(8_000) < stays, np.ones(8_000, bool)])
    weights = attrition_weights(features, seen)
    assert (weights[:, 1] == 1).all()
    plain, weighted = outcome[seen[:, 0]].mean(), np.average(outcome[seen[:, 0]], weights=weights[seen[:, 0], 0])
    # Without weights nurses count too much; the standard error of a share is about .007.
    assert plain - outcome.mean() > 0.1 and abs(weighted - outcome.mean()) < 0.02
    assert weights[features["occupation"] == "cook", 0] == pytest.approx(1 / 0.3, rel=0.1)


def test_states_must_be_observed_on_both_sides_of_the_cutoff():
    def with_state(*years):
        rows = {"person": ["a"] * 4 + ["b"] * 4, "year": [1980, 1981, 1982, 1983] * 2, "occupation": ["cook"] * 8}
        rows["occupation"] = [
            "unemployed" if person == "b" and year in years else "cook"
            for person, year in zip(rows["person"], rows["year"], strict=True)
        ]
        return from_frame(rows)

    check_states(with_state(), 1981, [1982, 1983])
    check_states(with_state(1981, 1983), 1981, [1982, 1983])
    with pytest.raises(
        ValueError, match="state 'unemployed' occurs in 1981, and never in 1982, 1983.* another cutoff"
    ):
        check_states(with_state(1981), 1981, [1982, 1983])
    with pytest.raises(ValueError, match="state 'unemployed' occurs in 1982, 1983, and never in 1981"):
        check_states(with_state(1980, 1982), 1981, [1982, 1983])
    # A state may be named that is none of the usual ones.
    with pytest.raises(ValueError, match="state 'cook' occurs in 1980, and never in 1983"):
        check_states(with_state(1983).select([1]), 1980, [1983], states=["cook"])
    with pytest.raises(ValueError, match="nobody is observed up to 1970"):
        check_states(with_state(), 1970, [1982])


@pytest.mark.parametrize(
    ("cutoff", "years", "message"),
    [
        (1979, [1982], "nobody is observed up to 1979, which is before the first year of all, 1980"),
        (1981, [1990], "nobody qualifies: all .* people with a step up to 1981 are not observed in 1990"),
        (1981, [1984, 1982], "must be at least one, and increase from the cutoff 1981"),
        (1981, [1981], "increase from the cutoff 1981"),
        (1981, [], "at least one"),
    ],
)
def test_requests_that_nobody_can_answer_are_errors(careers, cutoff, years, message):
    for who in ("survivors", "observed"):
        with pytest.raises(ValueError, match=message.replace("in 1990", "in (1990|any forecast year)")):
            realised_years(careers, cutoff, years, who)
    with pytest.raises(ValueError, match="who must be one of .* not 'all'"):
        realised_years(careers, CUTOFF, YEARS, "all")


def test_covariates_called_like_columns_of_the_table_are_an_error():
    careers = from_frame(
        {"person": ["a"] * 2, "year": [1980, 1982], "occupation": ["cook"] * 2, "rank": ["x"] * 2}, covariates=["rank"]
    )
    with pytest.raises(ValueError, match=r"careers have columns \['rank'\], which are names of the forecast table's"):
        realised_years(careers, 1981, [1982])


@pytest.fixture(scope="module")
def scored(careers):
    model, processor = model_and_processor("markov-2", careers=careers_of())
    realised = realised_years(careers, CUTOFF, YEARS, "observed")
    result = forecast(model, realised.histories, processor, years=YEARS, samples=200, exact_steps=1)
    return result, realised, forecast_table(result, realised.rows, watch=["nurse"], level=0.7)


def test_columns_are_what_the_probabilities_say(scored):
    result, realised, table = scored
    assert table.columns.tolist()[: len(COLUMNS)] == COLUMNS
    assert table.columns.tolist()[len(COLUMNS) :] == ["education", "race", "p(nurse)"]
    assert len(table) == len(realised.rows)
    for row in table.to_dict("records"):
        person = result.people.index(row["person"])
        year = result.years[person].tolist().index(row["year"])
        p = dict(zip(result.occupations, result.probability[person, year].astype(float), strict=True))
        correction, error = (
            dict(zip(result.occupations, array[person, year].astype(float), strict=True))
            for array in (result.log_correction, result.log_error)
        )
        own, ordered = p[row["occupation"]], sorted(p.values(), reverse=True)
        assert row["log_prob"] == pytest.approx(np.log(own) + correction[row["occupation"]])
        assert row["log_prob_correction"] == correction[row["occupation"]]
        assert row["log_prob_error"] == error[row["occupation"]]
        assert (row["log_prob_error"] == 0) == (row["step"] == 1)
        assert row["p_stay"] == p[row["previous"]] and row["p(nurse)"] == pytest.approx(p["nurse"])
        assert row["rank"] == 1 + sum(other > own for other in p.values()) and row["p_top"] == ordered[0]
        assert row["mass"] == pytest.approx(sum(other for other in p.values() if other >= own))
        assert row["mass_before"] == pytest.approx(sum(other for other in p.values() if other > own))
        size = next(k for k in range(1, 5) if sum(ordered[:k]) >= 0.7)
        assert row["set_size"] == size and row["in_set"] == (own >= ordered[size - 1])


def test_a_year_or_person_that_was_not_forecast_is_an_error(scored):
    result, realised, _ = scored
    with pytest.raises(ValueError, match="1983 was not forecast, only"):
        places(result, realised.rows.assign(year=1983))
    with pytest.raises(ValueError, match="person 'nobody' was not forecast"):
        places(result, realised.rows.assign(person="nobody"))


def test_occupations_that_the_model_does_not_know(scored):
    result, realised, _ = scored
    strange = realised.rows.copy()
    strange.loc[3, "occupation"] = "pilot"
    person = strange.loc[3, "person"]
    with pytest.raises(ValueError, match=f"person '{person}', year .* does not know occupation 'pilot'"):
        forecast_table(result, strange)
    table = forecast_table(result, strange, unknown_occupation="waiter")
    assert table.loc[3, "occupation"] == "pilot" and table.loc[3, "unknown"] and pd.isna(table.loc[3, "transition"])
    as_waiter = forecast_table(result, strange.assign(occupation=strange["occupation"].replace("pilot", "waiter")))
    assert table["log_prob"].equals(as_waiter["log_prob"])
    with pytest.raises(ValueError, match=r"watched labels \['pilot'\]"):
        forecast_table(result, realised.rows, watch=["pilot"])


def test_what_was_never_drawn_has_no_log_probability(scored):
    result, realised, _ = scored
    probability = result.probability.copy()
    probability[..., result.occupations.index("cook")] = 0
    never = Forecast(result.people, result.years, result.occupations, probability, result.standard_error)
    with pytest.raises(ValueError, match="'cook' has probability 0, .* use estimator='conditional', or more samples"):
        forecast_table(never, realised.rows)


def test_covariates_are_those_of_the_last_observation(careers, scored):
    _, realised, table = scored
    frame = to_frame(careers)
    last = frame[frame["year"] <= CUTOFF].groupby("person").last()
    assert table["education"].tolist() == last.loc[table["person"], "education"].tolist()
    assert realised.rows["race"].tolist() == last.loc[table["person"], "race"].tolist()
