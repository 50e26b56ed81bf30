"""Design-based standard errors beside plain numpy, statsmodels, the bootstrap, and samples drawn from a population."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from career_hf.careers import from_frame
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import (
    bootstrap_perplexity,
    perplexity,
    perplexity_differences,
    perplexity_differences_by,
)
from career_hf.evaluation.survey_design import SurveyDesign, survey_differences, survey_perplexity
from career_hf.evaluation.transition_table import transition_table
from career_hf.rivals.markov import MarkovForOccupationPrediction


pytest.importorskip("svy", reason="the extra `survey` is not installed")

CLUSTERED = SurveyDesign(stratum="stratum", psu="psu")


def sample(strata=6, psus=5, people=6, seed=0):
    """A table of people in PSUs in strata, with effects of both on log-probabilities, weights and two groups."""
    rng = np.random.default_rng(seed)
    rows = []
    for h in range(strata):
        for unit in range(psus):
            of_unit = rng.normal(-2 + 0.3 * h, 0.3)
            for person in range(people):
                weight, race = rng.gamma(2) + 0.2, rng.choice(["a", "b"])
                for step in range(rng.integers(1, 8)):
                    where = {"person": f"{h}-{unit}-{person}", "stratum": f"s{h}", "psu": f"s{h}u{unit}"}
                    rows.append({**where, "weight": weight, "race": race, "step": step, "occupation": "cook"})
                    rows[-1]["log_prob"] = of_unit + 0.5 * rng.normal()
    return pd.DataFrame(rows)


def linearised(loss, weight, stratum, psu, domain=None):
    """Mean and its linearised standard error, from the formula; PSUs without anybody of the domain count as zeros.

    A stratum with a single PSU adds nothing, as in `singleton="skip"`.
    """
    weight = weight * (np.ones(len(loss)) if domain is None else domain)
    mean = np.average(loss, weights=weight)
    score = weight * (loss - mean) / weight.sum()
    variance = 0.0
    for h in np.unique(stratum):
        units = np.unique(psu[stratum == h])
        totals = np.array([score[psu == unit].sum() for unit in units])
        variance += len(units) / max(len(units) - 1, 1) * ((totals - totals.mean()) ** 2).sum()
    return mean, np.sqrt(variance)


def columns(table):
    return [table[name].to_numpy() for name in ("weight", "stratum", "psu")]


def test_levels_equal_the_formula_and_their_intervals_are_students():
    table = sample()
    mean, error = linearised(-table["log_prob"].to_numpy(), *columns(table))
    row = survey_perplexity(table, CLUSTERED).loc["all"]
    assert row[["nll", "nll_standard_error"]].tolist() == pytest.approx([mean, error])
    assert row["perplexity"] == pytest.approx(perplexity(table, weighted=True))
    assert row["standard_error"] == pytest.approx(np.exp(mean) * error)
    assert row[["n", "people", "psus", "df"]].tolist() == [len(table), 180, 30, 30 - 6]
    reach = student.ppf(0.975, 24) * error
    assert row[["low", "high"]].tolist() == pytest.approx([np.exp(mean - reach), np.exp(mean + reach)])


def test_a_group_is_a_domain_in_which_every_psu_counts():
    table = sample()
    table.loc[table["psu"].isin(["s0u0", "s3u2"]), "race"] = "b"
    table.loc[table["psu"] == "s1u1", "race"] = None
    by_race = survey_perplexity(table, CLUSTERED, by="race")
    assert by_race.index.isna().tolist() == [False, False, True]
    for row, race in zip(by_race.itertuples(), ["a", "b", None], strict=True):
        domain = (table["race"].isna() if race is None else table["race"] == race).to_numpy()
        mean, error = linearised(-table["log_prob"].to_numpy(), *columns(table), domain)
        assert (row.nll, row.n, row.psus) == (pytest.approx(mean), domain.sum(), table["psu"][domain].nunique())
        # One PSU alone says nothing of how much PSUs vary.
        assert np.isnan(row.standard_error) if race is None else row.nll_standard_error == pytest.approx(error)
    by_race_and_step = survey_perplexity(table, CLUSTERED, by=["race", "step"])
    domain = ((table["race"] == "b") & (table["step"] == 2)).to_numpy()
    expected = linearised(-table["log_prob"].to_numpy(), *columns(table), domain)
    assert by_race_and_step.loc[("b", 2), ["nll", "nll_standard_error"]].tolist() == pytest.approx(expected)


def test_without_strata_it_is_the_cluster_robust_error_of_statsmodels():
    regression = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed")
    table = sample()
    loss, weight = -table["log_prob"], table["weight"]
    for unit, design in {"psu": SurveyDesign(psu="psu"), "person": SurveyDesign()}.items():
        clusters = {"cov_type": "cluster", "cov_kwds": {"groups": table[unit].factorize()[0]}}
        fitted = regression.WLS(loss, np.ones(len(table)), weights=weight).fit(**clusters)
        row = survey_perplexity(table, design).loc["all"]
        assert row["nll"] == pytest.approx(fitted.params.iloc[0])
        assert row["nll_standard_error"] == pytest.approx(fitted.bse.iloc[0])


def test_people_as_units_and_equal_weights_agree_with_resampling_people():
    table = sample(people=20)
    alike = SurveyDesign(weight=None)
    for by in (None, "race"):
        people = table.drop(columns=["psu", "stratum"])
        linear, resampled = survey_perplexity(table, alike, by), bootstrap_perplexity(people, draws=4000, by=by)
        assert linear["perplexity"].to_numpy() == pytest.approx(resampled["perplexity"].to_numpy())
        for column in ("standard_error", "low", "high"):
            assert linear[column].to_numpy() == pytest.approx(resampled[column].to_numpy(), rel=0.04)
    # Places are alike inside, so that people are not what was drawn; resamples are of places where they are known.
    assert survey_perplexity(table, CLUSTERED)["standard_error"].iloc[0] > 1.3 * linear["standard_error"].max()
    places = survey_perplexity(table, SurveyDesign(weight=None, psu="psu")).iloc[0]
    resampled = bootstrap_perplexity(table.drop(columns="stratum"), draws=4000).iloc[0]
    for column in ("standard_error", "low", "high"):
        assert resampled[column] == pytest.approx(places[column], rel=0.06)


def test_differences_are_paired_and_seeds_averaged():
    table = sample(people=20)
    rng = np.random.default_rng(1)
    better = [table.assign(log_prob=table["log_prob"] + rng.normal(0.1, 0.2, len(table))) for _ in range(3)]
    tables = {"chain": table, "career": better, "worse": table.assign(log_prob=table["log_prob"] - 0.5)}
    differences = survey_differences(tables, "chain", CLUSTERED)
    gain = table["log_prob"] - np.mean([seed["log_prob"] for seed in better], axis=0)
    mean, error = linearised(gain.to_numpy(), *columns(table))
    row = differences.loc[("all", "career")]
    assert row[["difference", "standard_error"]].tolist() == pytest.approx([mean, error])
    assert row["low"] < mean < row["high"] < 0 and row["ratio"] == pytest.approx(np.exp(mean))
    constant = differences.loc[("all", "worse")]
    assert constant["difference"] == pytest.approx(0.5) and constant["standard_error"] == pytest.approx(0, abs=1e-9)
    alike = SurveyDesign(weight=None)
    resampled = perplexity_differences(tables, "chain", draws=4000).loc["career"]
    linear = survey_differences(tables, "chain", alike).loc[("all", "career")]
    assert linear["difference"] == pytest.approx(resampled["difference"])
    assert linear["standard_error"] == pytest.approx(resampled["standard_error"], rel=0.05)
    groups = perplexity_differences_by(tables, "chain", "race", draws=10)["difference"]
    pd.testing.assert_series_equal(
        survey_differences(tables, "chain", alike, "race")["difference"].sort_index(), groups.sort_index()
    )
    with pytest.raises(ValueError, match="baseline 'none' is not among"):
        survey_differences(tables, "none")
    with pytest.raises(ValueError, match="'chain' and 'career' have"):
        survey_differences({"chain": table, "career": table.iloc[1:]}, "chain")


def test_intervals_cover_the_population_where_places_differ_and_people_alone_would_not():
    """Many samples of a stratified population of places, each a group with strata of its own."""
    rng = np.random.default_rng(0)
    samples, strata, places, drawn, people = 100, 4, 200, 6, 15
    share = np.array([0.1, 0.2, 0.3, 0.4])
    of_place = np.array([[1.0], [1.5], [2.0], [3.0]]) + 0.4 * rng.normal(size=(strata, places))
    truth = of_place.mean(1) @ share
    place = rng.permuted(np.tile(np.arange(places), (samples, strata, 1)), axis=-1)[..., :drawn]
    shape = (samples, strata, drawn, people)
    draw, h, unit, _ = np.indices(shape)
    loss = np.take_along_axis(of_place[None], place, axis=-1)[..., None] + 0.5 * rng.normal(size=shape)
    table = pd.DataFrame({"sample": draw.ravel(), "weight": share[h].ravel(), "log_prob": -loss.ravel()})
    table["person"] = np.arange(len(table)).astype(str)
    table["stratum"] = (draw * strata + h).ravel()
    table["psu"] = ((draw * strata + h) * drawn + unit).ravel()

    def coverage(design):
        estimates = survey_perplexity(table, design, by="sample")
        return ((estimates["low"] < np.exp(truth)) & (np.exp(truth) < estimates["high"])).mean()

    assert 0.90 < coverage(CLUSTERED) < 0.99
    assert coverage(SurveyDesign()) < 0.85


def test_scored_people_are_a_domain_of_the_whole_survey():
    table = sample()
    people = table[["person", "stratum", "psu", "weight"]].drop_duplicates()
    scored = table["person"].str.endswith("0") & ~table["psu"].isin(["s0u1", "s0u2", "s0u3", "s0u4"])
    test = table.loc[scored, ["person", "step", "occupation", "race", "log_prob"]].reset_index(drop=True)
    whole = SurveyDesign(stratum="stratum", psu="psu", people=people)
    row = survey_perplexity(test, whole).loc["all"]
    expected = linearised(-table["log_prob"].to_numpy(), *columns(table), scored.to_numpy())
    assert row[["nll", "nll_standard_error"]].tolist() == pytest.approx(expected)
    assert row[["n", "people", "psus"]].tolist() == [len(test), 26, 26]
    # The same survey without those who were not scored.
    alone = SurveyDesign(stratum="stratum", psu="psu", people=people[people["person"].isin(test["person"])])
    with pytest.raises(ValueError, match="1 of 6 strata have a single PSU, 's0' among them"):
        survey_perplexity(test, alone)
    skipped = SurveyDesign(stratum="stratum", psu="psu", people=alone.people, singleton="skip")
    expected = linearised(-test["log_prob"].to_numpy(), *columns(table[scored]))
    row = survey_perplexity(test, skipped).loc["all"]
    assert row[["nll", "nll_standard_error"]].tolist() == pytest.approx(expected)
    with pytest.raises(ValueError, match="person '0-0-0' of the table is not among the design's people"):
        survey_perplexity(test, SurveyDesign(people=people.iloc[1:]))


def test_careers_carry_the_design_into_the_table():
    frame = pd.DataFrame(
        {
            "id": np.repeat(np.arange(8), 3),
            "year": np.tile([1980, 1981, 1982], 8),
            "occ": np.random.default_rng(0).choice(["cook", "waiter"], 24),
            "w": np.repeat([1.0, 2.0, 1.5, 3.0, 1.0, 1.0, 2.0, 2.0], 3),
            "region": np.repeat(["north", "south"], 12),
            "county": np.repeat([1, 1, 2, 2, 3, 3, 4, 4], 3),
        }
    )
    careers = from_frame(frame, person="id", occupation="occ", weight="w", stratum="region", psu="county")
    processor = CareerProcessor.fit(careers, covariates=())
    chain = MarkovForOccupationPrediction.fit(processor.encode(careers)[0], processor)
    table = transition_table(chain, careers, processor)
    row = survey_perplexity(table, CLUSTERED).loc["all"]
    expected = linearised(
        -table["log_prob"].to_numpy(), *(frame[name].to_numpy() for name in ("w", "region", "county"))
    )
    assert row[["nll", "nll_standard_error", "psus", "df"]].tolist() == pytest.approx([*expected, 4, 2])
    people = careers.select_columns(["person", "stratum", "psu", "weight"]).to_pandas()
    bare = table.drop(columns=["stratum", "psu", "weight"])
    elsewhere = survey_perplexity(bare, SurveyDesign(stratum="stratum", psu="psu", people=people))
    pd.testing.assert_frame_equal(elsewhere, survey_perplexity(table, CLUSTERED))


@pytest.mark.parametrize(
    ("change", "design", "message"),
    [
        ({"psu": ["1"] * 2 + ["2"] * 2 + ["1"] * 2 + ["3"] * 2}, CLUSTERED, "PSU '1' is in two strata, 'a' and 'b'"),
        ({"stratum": ["a"] * 6 + ["b"] * 2}, CLUSTERED, "1 of 2 strata have a single PSU, 'b' among them"),
        ({"weight": [1.0] * 6 + [np.nan] * 2}, CLUSTERED, r"person 'd', column 'weight': no weight; .*weight=None"),
        ({"weight": [1.0] * 6 + [-1.0] * 2}, CLUSTERED, "person 'd', column 'weight', value -1.0: .* positive or 0"),
        ({"weight": [0.0] * 8}, CLUSTERED, "'weight' is 0 in every step"),
        ({"psu": ["1"] * 2 + ["2"] * 2 + [None] * 2 + ["4"] * 2}, CLUSTERED, "person 'c', column 'psu': no psu"),
        ({"psu": ["1", "2", *"223344"]}, CLUSTERED, "person 'a', column 'psu': '1' and '2'; a sampling design"),
        ({}, SurveyDesign(stratum="region"), r"the table has no column 'region' for the stratum, only \['person'"),
        ({}, SurveyDesign(people=pd.DataFrame({"id": [1]})), "the frame of people has no column 'person'"),
    ],
)
def test_a_design_that_cannot_be_is_an_error(change, design, message):
    table = pd.DataFrame({"person": list("aabbccdd"), "stratum": list("aaaabbbb"), "psu": list("11223344")})
    table = table.assign(**{"weight": 1.0, "log_prob": -np.arange(8.0)} | change)
    with pytest.raises(ValueError, match=message):
        survey_perplexity(table, design)


@pytest.mark.parametrize("kind", [int, float, str, object])
def test_identifiers_are_the_same_people_whatever_type_a_table_holds_them_in(kind):
    """A frame that was merged with missing values holds floats, one read from a file whole numbers."""
    table = pd.DataFrame({"person": list("11223344"), "log_prob": -np.arange(8.0)})
    people = pd.DataFrame({"person": [1, 2, 3, 4], "place": [5, 5, 6, 6], "weight": [1.0, 2.0, 1.0, 3.0]})
    design = SurveyDesign(psu="place", people=people)
    expected = survey_perplexity(table, design)
    other = people.assign(person=people["person"].astype(kind), place=people["place"].astype(kind))
    if kind is object:
        other["place"] = [5, 5.0, "6", 6]
    pd.testing.assert_frame_equal(survey_perplexity(table, SurveyDesign(psu="place", people=other)), expected)
    ours = table.assign(person=table["person"].astype(int).astype(kind))
    pd.testing.assert_frame_equal(survey_perplexity(ours, design), expected)
