"""Wages, hours, experience and industry of the NLSY79: extracts made by hand, price index, counts of the real ones."""

from __future__ import annotations

import csv
import math

import pandas as pd
import pytest
from nlsy79_extracts import by_year, employed, real_build, write_extract

from career_hf.careers import from_frame, to_frame, validate
from career_hf.occupations.crosswalks import read_data
from career_hf.occupations.labels import NOT_WORKING
from career_hf.sources import nls, nlsy79_wages
from career_hf.sources import nlsy79_careers as nlsy79


def counts(ledger, name):
    return next(entry for entry in ledger.entries if entry.step.startswith(name + ":"))


def test_pay_is_in_dollars_of_2010_by_the_consumer_price_index(tmp_path):
    answers = employed(1990) | employed(1996) | {("CPSHRP", 1990): 1000, ("HRP1", 1996): 1000}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: answers}), wages=True)
    # Index by hand, from the table of the Bureau of Labor Statistics: 130.7 in 1990, 156.9 in 1996, 218.056 in 2010.
    assert by_year(careers, 1, "log_wage") == pytest.approx(
        {1990: math.log(10 * 218.056 / 130.7), 1996: math.log(10 * 218.056 / 156.9)}
    )
    assert "CPI-U, dollars of 2010" in counts(ledger, "log_wage").step


@pytest.mark.parametrize(
    ("cents", "reason"),
    [
        (99, "pay below $1 an hour"),
        (0, "pay below $1 an hour"),
        (50_001, "pay above $500 an hour"),
        (-4, "pay: valid skip"),
        (-2, "pay: don't know"),
    ],
)
def test_pay_outside_bounds_or_missing_is_no_wage_and_counted(tmp_path, cents, reason):
    answers = employed(1990) | employed(1991) | {("CPSHRP", 1990): cents, ("CPSHRP", 1991): 100}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: answers}), wages=True)
    wage = by_year(careers, 1, "log_wage")
    assert (wage[1990], wage[1991]) == (None, pytest.approx(math.log(218.056 / 136.2)))
    assert counts(ledger, "log_wage").altered == {"observed": 1, reason: 1}


def test_pay_hours_and_industry_of_the_last_job_of_people_without_work_are_not_theirs(tmp_path):
    out = {("ESR_COL", 1994): 2, ("CPSOCC80", 1994): 19, ("CPSHRP", 1994): 900, ("QES1-52A", 1994): 40}
    out |= {("INDALL-EMP.01", 1994): 707}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: out | employed(1993)}), wages=True)
    for name in ("log_wage", "weekly_hours", "industry"):
        assert by_year(careers, 1, name)[1994] is None
        assert counts(ledger, name).altered["not employed: unemployed"] == 1


def test_where_employment_at_the_interview_is_not_observed_there_is_no_wage_but_an_industry(tmp_path):
    answers = employed(1990) | {("WKSWK-PCY", 2002): 52, ("OCCALL-EMP.01", 2002): 22, ("INDALL-EMP.01", 2002): 77}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: answers}), "extended", wages=True)
    assert by_year(careers, 1, "log_wage")[2002] is None
    assert by_year(careers, 1, "industry")[2002] == "mining_construction_agriculture"
    assert counts(ledger, "log_wage").altered["pay: employment at the interview not observed"] == 1


def test_hours_are_taken_only_where_they_are_those_of_the_current_job(tmp_path):
    people = employed(1982) | employed(1983) | employed(1994) | employed(1996) | employed(1998)
    people |= {("QES1-52A", 1982): 30, ("QES1-52A", 1994): 0, ("QES1-52A", 1996): 168, ("QES-52A.01", 1998): 169}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: people}), wages=True)
    assert by_year(careers, 1, "weekly_hours") == {1982: 30, 1983: None, 1994: None, 1996: 168, 1998: None}
    assert counts(ledger, "weekly_hours").altered == {
        "observed": 2,
        "hours not in 1-168": 2,
        "hours: hours of the current job not in this round": 1,
    }


def test_experience_adds_up_weeks_of_past_years_only(tmp_path):
    weeks = {1979: 26, 1980: 57, 1982: 13, 1983: 0, 1984: 52, 1998: 52}
    answers = {("WKSWK-PCY", year): value for year, value in weeks.items()}
    for year in (1980, 1982, 1983, 1984, 1998):
        answers |= employed(year, 1 if year == 1980 else 19)
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: answers}), wages=True)
    # 1978: half; 1979: 57 weeks count as 52; 1980 (round of 1981, no interview): as 1979; 1981: a quarter; 1982: none;
    # 1983-1996: a year each, reported once and carried on; 1997: a year.
    assert by_year(careers, 1, "experience") == pytest.approx(
        {1980: 1.5, 1982: 2.75, 1983: 2.75, 1984: 3.75, 1998: 3.75 + 14}
    )
    altered = counts(ledger, "experience").altered
    assert altered == {"observed": 5, "with years not reported, taken as the last one reported": 4}


def test_experience_is_null_until_there_is_a_report_and_earlier_years_count_as_none(tmp_path):
    answers = employed(1980, 1) | employed(1982) | {("WKSWK-PCY", 1980): -4, ("WKSWK-PCY", 1982): 52}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: answers}), wages=True)
    assert by_year(careers, 1, "experience") == {1980: None, 1982: 1.0}
    assert counts(ledger, "experience").altered["no report of weeks worked by then"] == 1


def test_schooling_is_the_last_grade_known_by_then(tmp_path):
    answers = employed(1990) | employed(1991) | employed(1992) | {("HGC", 1991): 14}
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: answers}), wages=True)
    assert by_year(careers, 1, "schooling") == {1990: 12, 1991: 14, 1992: 14}


@pytest.mark.parametrize(
    ("vintage", "code", "industry"),
    [
        (1970, 67, "mining_construction_agriculture"),
        (1970, 219, "durables"),
        (1970, 338, "nondurables"),
        (1970, 669, "hotelsrestaurants"),
        (1970, 777, "hotelsrestaurants"),
        (1970, 769, "socartother"),
        (1970, 838, "medical"),
        (1970, 857, "education"),
        (1970, 999, None),
        (2000, 57, "utilities"),
        (2000, 238, "nondurables"),
        (2000, 868, "hotelsrestaurants"),
        (2000, 987, None),
    ],
)
def test_industries_are_the_groups_of_blau_and_kahn(vintage, code, industry):
    label = nlsy79_wages.industries(pd.Series([code], dtype="Int64"), vintage)[0]
    assert (None if pd.isna(label) else label) == industry


def test_ranges_of_industries_do_not_overlap_and_name_14_groups_and_the_base():
    table = read_data("census_industries.csv", "career_hf.sources")
    table = table.astype({"vintage": int, "first_code": int, "last_code": int})
    for vintage, rows in table.groupby("vintage"):
        assert (rows["first_code"] <= rows["last_code"]).all()
        assert (rows["first_code"].to_numpy()[1:] > rows["last_code"].to_numpy()[:-1]).all(), vintage
        assert rows["industry"].nunique() == 15


def test_industry_codes_have_three_digits_to_2002_and_four_after(tmp_path):
    answers = employed(1990) | {("WKSWK-PCY", year): 52 for year in (2002, 2004)}
    answers |= {("OCCALL-EMP.01", 2002): 22, ("OCCALL-EMP.01", 2004): 220, ("CPSIND70", 1990): 770 + 7}
    answers |= {("INDALL-EMP.01", 2002): 868, ("INDALL-EMP.01", 2004): 8680}
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: answers}), "extended", wages=True)
    assert by_year(careers, 1, "industry") == dict.fromkeys((1990, 2002, 2004), "hotelsrestaurants")


def test_wages_change_nothing_else(tmp_path):
    write_extract(tmp_path, {1: employed(1990) | {("CPSHRP", 1990): 700}, 2: {("ESR_COL", 1990): 2}})
    plain, with_wages = (nlsy79.build(tmp_path, wages=wages)[0] for wages in (False, True))
    assert set(with_wages.column_names) - set(plain.column_names) == {*nlsy79_wages.OUTCOMES, "industry"}
    assert with_wages.select_columns(plain.column_names).to_dict() == plain.to_dict()


def test_without_wages_their_variables_are_not_needed_and_with_them_they_are(tmp_path):
    write_extract(tmp_path, {1: employed(1990)})
    table = pd.read_csv(tmp_path / "extract.csv").drop(columns=["R3127800", "R3127000"])
    table.to_csv(tmp_path / "extract.csv", index=False)
    nlsy79.build(tmp_path)
    with pytest.raises(ValueError) as error:
        nlsy79.build(tmp_path, wages=True)
    assert "CPSHRP, survey year 1990, reference number R31278.00" in str(error.value)
    assert "CPSIND70, survey year 1990, reference number R31270.00" in str(error.value)


def test_the_price_index_is_that_of_an_independent_table(shared):
    path = shared / "data/occ1990dd_crosswalks/career_wage_gaps/cpi_index.csv"
    with path.open() as file:
        other = {int(row["YEAR"]): float(row["RATE"]) for row in csv.DictReader(file)}
    ours = nlsy79_wages.price_index()
    for year in range(1979, 2015):
        assert ours[year] / ours[2010] == pytest.approx(other[year] / other[2010], rel=1e-3)


@pytest.mark.parametrize("variant", ["full", "extended"])
def test_the_real_outcomes_are_counted_in_full(shared, variant):
    careers, ledger = real_build(shared, variant)
    validate(careers)
    frame = to_frame(careers, "pandas")
    for name in ("log_wage", "weekly_hours", "industry", "experience"):
        altered = dict(counts(ledger, name).altered)
        altered.pop("with years not reported, taken as the last one reported", None)
        assert sum(altered.values()) == len(frame)
        assert altered["observed"] == frame[name].notna().sum()
    assert (
        frame.loc[frame["occupation"].isin(NOT_WORKING), ["log_wage", "weekly_hours", "industry"]]
        .isna()
        .all(axis=None)
    )


def test_the_real_pay_of_people_without_work_is_that_of_the_data_readme_in_the_rounds_of_both(shared):
    # The README counts 19,780 pay rows of people whose state is no occupation, over other rounds and people; here the
    # same count is made from the raw cells, for the rounds with employment status.
    extract = nls.read_folder(shared / "data")
    careers, ledger = real_build(shared, "full")
    frame = to_frame(careers, "pandas").astype({"person": int})
    raw = []
    for year in frame["year"].unique():
        pay = extract.variable(*nlsy79_wages.pay_item(year))
        raw.append(pd.DataFrame({"person": pay.index, "year": year, "pay": pay.to_numpy()}))
    frame = frame.merge(pd.concat(raw), on=["person", "year"], validate="one_to_one")
    at_work = ~frame["occupation"].isin(NOT_WORKING)
    assert ((frame["pay"] > 0) & ~at_work).sum() > 10_000
    observed = at_work & frame["pay"].between(100, 50_000)
    assert counts(ledger, "log_wage").altered["observed"] == observed.sum()
    assert (frame["log_wage"].notna() == observed).all()


def test_outcomes_survive_a_long_table(tmp_path):
    answers = employed(1990) | employed(1991) | {("CPSHRP", 1990): 700}
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: answers}), wages=True)
    again = from_frame(
        to_frame(careers), covariates=["education", "occupation_vintage", "industry"], outcomes=nlsy79_wages.OUTCOMES,
        static=["region", "race", "gender", "sample"],
    )  # fmt: skip
    assert again.to_dict() == careers.to_dict()
