"""Wages of the PSID and what Blau and Kahn explain them by: files made by hand, with values worked out by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from psid_extracts import person, wave, write_files
from typer.testing import CliRunner

from career_hf.careers import load_careers, validate
from career_hf.cli.app import app
from career_hf.sources import nlsy97_careers as nlsy97
from career_hf.sources import psid_careers as psid
from career_hf.sources.survey_wages import WageRules


# CPI-U of 1983, and of the calendar years that waves ask about, from the table of the Bureau of Labor Statistics.
CPI = {1983: 99.6, 1998: 163.0, 2002: 179.9, 2010: 218.056, 2016: 240.007}
CODES = {1999: 245, 2003: 472, 2017: 4720}


def job(year, spouse=False, **more):
    """A wave of somebody of Blau and Kahn's sample, born in 1960, with 20 dollars an hour."""
    role = "spouse" if spouse else "head"
    own = {"years_worked": 10, "years_full_time": 8, "union": 5, "government": 4, "self_employed": 1}
    own |= {"weeks_worked": 50, "industry": 0}
    own |= {item: more.pop(item) for item in list(more) if item in own}
    answers = {"age": year - 1960, "pay": 20, "hours": 2000, "code": CODES.get(year, 245 if year <= 2001 else 472)}
    return wave(year, spouse=spouse, **{f"{item}_{role}": value for item, value in own.items()}, **(answers | more))


def over_time(careers, name, column):
    row = next(row for row in careers if row["person"] == str(name))
    return dict(zip(row["year"], row[column], strict=True))


def counts(ledger, name):
    return next(entry.altered for entry in ledger.entries if entry.step.startswith(name))


def test_pay_is_in_dollars_of_2010_by_the_prices_of_the_year_before_the_interview(tmp_path):
    people = [person(4, 1) | job(1999) | job(2003, pay=30.5) | job(2017), person(4, 2, sex=2) | job(1999, spouse=True)]
    careers, ledger = psid.build(write_files(tmp_path, people), wages=True)
    validate(careers)
    assert over_time(careers, 4001, "log_wage") == pytest.approx(
        {
            1999: math.log(20 * CPI[2010] / CPI[1998]),
            2003: math.log(30.5 * CPI[2010] / CPI[2002]),
            2017: math.log(20 * CPI[2010] / CPI[2016]),
        }
    )
    assert over_time(careers, 4002, "log_wage")[1999] == over_time(careers, 4001, "log_wage")[1999]
    assert over_time(careers, 4001, "schooling") == {1999: 12, 2003: 12, 2017: 12}
    assert any("CPI-U, dollars of 2010), Blau and Kahn's sample" in entry.step for entry in ledger.entries)

    plain, _ = psid.build(tmp_path)
    assert not {"log_wage", "union", "experience"} & set(plain.column_names)
    assert plain.remove_columns(["group"])[0] == careers.select_columns(plain.column_names).remove_columns("group")[0]

    prices = tmp_path / "pce.csv"
    prices.write_text("year,index\n1983,50\n1998,80\n2002,90\n2010,100\n2016,125\n")
    careers, ledger = psid.build(tmp_path, wages=True, prices=prices)
    assert over_time(careers, 4001, "log_wage")[2017] == pytest.approx(math.log(20 * 100 / 125))
    assert any("pce.csv, dollars of 2010" in entry.step for entry in ledger.entries)


def test_wages_are_those_of_blau_and_kahns_sample_and_every_other_one_is_counted(tmp_path):
    low, high = (bound * CPI[1998] / CPI[1983] for bound in (1, 250))
    cases = {
        "self-employed": {"self_employed": 3},
        "employee or self-employed: not known": {"self_employed": 9},
        "farm occupation": {"code": 801},
        "age not 25 to 64": {"age": 24},
        "age not known": {"age": 999},
        "fewer than 26 weeks in the year before": {"weeks_worked": 25},
        "weeks or hours of the year before not known": {"weeks_worked": 99},
        "part time: fewer than 35 hours a week in the year before": {"hours": 1749},
        "pay: none reported": {"pay": 0},
        "pay below $1 an hour of 1983": {"pay": round(low - 0.01, 2)},
        "pay above $250 an hour of 1983": {"pay": round(high + 0.01, 2)},
    }
    kept = [{"age": 25}, {"age": 64}, {"weeks_worked": 26, "hours": 910}, {"hours": 1750}]
    kept += [{"pay": round(low + 0.01, 2)}, {"pay": round(high - 0.01, 2)}]
    idle = person(5, 1) | job(1999, status=3)
    people = [person(4, n) | job(1999, **more) for n, more in enumerate([*kept, *cases.values()], 1)]
    careers, ledger = psid.build(write_files(tmp_path, [*people, idle]), wages=True)
    wages = [over_time(careers, 4000 + n, "log_wage")[1999] for n in range(1, len(people) + 1)]
    assert [wage is not None for wage in wages] == [True] * len(kept) + [False] * len(cases)
    assert counts(ledger, "log_wage") == {"observed": len(kept), "not employed: unemployed": 1} | dict.fromkeys(
        cases, 1
    )

    careers, ledger = psid.build(tmp_path, wages=True, wage_sample="employed", wage_range=(0.5, 500))
    assert counts(ledger, "log_wage") == {
        "observed": len(people) - 1,
        "not employed: unemployed": 1,
        "pay: none reported": 1,
    }


def test_years_of_full_time_and_part_time_work_are_those_reported_and_those_lived_since(tmp_path):
    # Reported in 1999 at 39: 10 years, 8 of them full time. 1999 and 2000 are asked about in 2001, 2001 and 2002 in
    # 2003; in 2005 nothing is known of 2003, which is taken to be like 2002.
    full = {"two_years_ago_weeks": 50, "two_years_ago_hours": 40}
    none = {"two_years_ago_employed_head": 5}
    part = {"two_years_ago_employed_head": 1, "two_years_ago_weeks_head": 30, "two_years_ago_hours_head": 40}
    history = job(1999) | job(2001, hours=900, **full) | job(2003, hours=1500, **none) | job(2005, hours=0)
    history |= job(2007, hours=1499, **part)
    # The same report again is no news; another one is.
    history |= job(2009, years_worked=30, years_full_time=29) | job(2011, hours=2000, years_worked=30, **none)
    # Aged 24 with 20 years of work: 6 at most. All years since 18 (96). Less than one (95). Not known (99).
    young = job(1999, age=24, years_worked=20, years_full_time=20)
    always = job(1999, years_worked=96, years_full_time=96) | job(2001, hours=0, years_worked=96, years_full_time=96)
    fresh = job(1999, age=18, years_worked=95, years_full_time=0)
    unknown = job(1999, years_worked=99, years_full_time=99) | job(2003, years_worked=5, years_full_time=99)
    more_full = job(1999, years_worked=4, years_full_time=9)
    months = {"two_years_ago_weeks": 99, "two_years_ago_months": 9, "two_years_ago_hours": 40}
    by_month = job(1999) | job(2001, hours=0, **months)
    spouse = job(1999, spouse=True) | job(2001, spouse=True, hours=1600)
    people = (history, young, always, fresh, unknown, more_full, by_month, spouse)
    folder = write_files(tmp_path, [person(4, n) | waves for n, waves in enumerate(people, 1)])
    careers, ledger = psid.build(folder, wages=True)
    names = ("experience", "full_time_experience", "part_time_experience")
    found = [{name: over_time(careers, 4000 + n, name) for name in names} for n in range(1, len(people) + 1)]
    assert found[0]["experience"] == {1999: 10, 2001: 12, 2003: 13, 2005: 14, 2007: 16, 2009: 30, 2011: 31}
    assert found[0]["full_time_experience"] == {1999: 8, 2001: 9, 2003: 10, 2005: 11, 2007: 11, 2009: 29, 2011: 30}
    assert found[0]["part_time_experience"] == {1999: 2, 2001: 3, 2003: 3, 2005: 3, 2007: 5, 2009: 1, 2011: 1}
    assert (found[1]["experience"], found[1]["part_time_experience"]) == ({1999: 6}, {1999: 0})
    # In 2001 the file says 0 weeks of work in 1999, so nothing is added to the 21 years since 18.
    assert found[2]["experience"] == {1999: 21, 2001: 21}
    assert (found[3]["experience"], found[3]["full_time_experience"]) == ({1999: 0}, {1999: 0})
    assert (found[4]["experience"], found[4]["full_time_experience"]) == (
        {1999: None, 2003: 5},
        {1999: None, 2003: None},
    )
    assert (found[5]["full_time_experience"], found[5]["part_time_experience"]) == ({1999: 4}, {1999: 0})
    # Nine months of 4.33 weeks at 40 hours are 1,558.8 hours.
    assert found[6]["full_time_experience"] == {1999: 8, 2001: 9}
    assert found[7]["experience"] == {1999: 10, 2001: 11}
    altered = counts(ledger, "experience")
    assert altered["years worked since 18 never reported by then"] == 1
    # Of the first person 2005 and 2007, since 2009 brings a new report.
    assert altered["with years not reported, taken as the last one reported"] == 2


def test_industry_union_and_government_are_those_of_the_main_job_of_the_employed(tmp_path):
    # 507-588 wholesale trade in 1970, 828-848 medical; 769 professional in 2000; four digits from 2017 on.
    head = person(4, 1) | job(1999, industry=507, union=1, government=1) | job(2003, industry=769, government=3)
    head |= job(2017, industry=8190, union=8, government=7) | job(2001, status=3, industry=828, union=1, government=1)
    careers, ledger = psid.build(write_files(tmp_path, [head]), wages=True)
    assert over_time(careers, 4001, "industry") == {
        1999: "wholesaletrade", 2001: None, 2003: "professional", 2017: "medical",
    }  # fmt: skip
    assert over_time(careers, 4001, "union") == {1999: "covered", 2001: None, 2003: "not_covered", 2017: None}
    assert over_time(careers, 4001, "government") == {
        1999: "government", 2001: None, 2003: "government", 2017: "private",
    }  # fmt: skip
    reasons = {"observed": 2, "not employed: unemployed": 1, "union: inapplicable or not known": 1}
    assert counts(ledger, "union") == reasons


def test_a_year_without_prices_is_an_error_that_names_it(tmp_path):
    (tmp_path / "pce.csv").write_text("year,index\n1983,50\n1998,80\n2010,100\n")
    rules = WageRules.of(tmp_path / "pce.csv", (1, 250))
    pay, year = pd.Series([1.6, 1.59, 400.0, 400.1, math.nan]), pd.Series([1998] * 5)
    wage, missing = rules.log_wage(pay, year)
    # A dollar of 1983 is 1.6 of 1998.
    assert wage.dropna().to_dict() == pytest.approx({0: math.log(2), 2: math.log(500)})
    assert missing.dropna().to_dict() == {
        1: "pay below $1 an hour of 1983", 3: "pay above $250 an hour of 1983", 4: "pay: none reported",
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"prices \(pce.csv\) have no index of 2002: add the year"):
        rules.log_wage(pay, year + 4)


def test_what_is_wrong_is_said_in_one_line(tmp_path):
    write_files(tmp_path, [person(4, 1) | job(1999)], without=("ER13213", "ER33627C"))
    with pytest.raises(
        ValueError, match=r"1 variable\(s\) are in none of the files.*\n  ER13213 \(union_head, 1999\)"
    ):
        psid.build(tmp_path, wages=True)
    psid.build(tmp_path)  # which needs no wages
    with pytest.raises(ValueError, match="unknown wage_sample 'all'; choose one of"):
        psid.build(tmp_path, wage_sample="all")
    with pytest.raises(ValueError, match=r"wage_range is \(5, 1\): give two positive numbers, the lower one first"):
        psid.build(tmp_path, wage_range=(5, 1))
    for build in (psid.build, nlsy97.build):
        for wrong in (5, ("a", "b"), "15", (float("nan"), 5), (True, 5), None):
            with pytest.raises(
                ValueError, match=r"^wage_range is .*: give two positive numbers, the lower one first$"
            ):
                build(tmp_path, wages=True, wage_range=wrong)
        with pytest.raises(ValueError, match="wage_range is for log wages, .* give wages=True .*, or leave it out"):
            build(tmp_path, wage_range=(1, 200))
    with pytest.raises(ValueError, match="wage_sample is for log wages"):
        psid.build(tmp_path, wage_sample="employed")
    prices = tmp_path / "prices.txt"
    for text, message in {
        "year,value\n2010,1\n": r"prices.txt has no column 'index', only \['year', 'value'\]",
        "year,index\n1983,1\n1983,2\n": "prices.txt, line 3, has year 1983 and index 2",
        "year,index\n1983,1\n2010,-1\n": "prices.txt, line 3, has year 2010 and index -1",
        "year,index\n2010,1\n": "prices.txt has no index of 1983, whose dollars are used",
        "": "prices.txt cannot be read as CSV",
    }.items():
        prices.write_text(text)
        with pytest.raises(ValueError, match=message):
            psid.build(tmp_path, prices=prices)
    prices.write_text("year,index\n1983,1\n2010,2\n")
    for build in (psid.build, nlsy97.build):
        with pytest.raises(ValueError, match="prices is for log wages"):
            build(tmp_path, prices=prices)
    with pytest.raises(ValueError, match="there is no file"):
        psid.build(tmp_path, prices=tmp_path / "none.csv")


def test_the_command_makes_wages_and_weights_of_each_wave(tmp_path):
    people = [person(f, 1) | job(1997, weight=2) | job(1999, weight=0 if f == 1 else 3.5) for f in range(1, 30)]
    people += [person(40, 1) | job(1999, weight=0)]
    folder, output = write_files(tmp_path, people, without=("ER33627C",)), tmp_path / "careers"
    command = ["prepare", "psid", "--extract", str(folder), "--output", str(output), "--wages", "--yearly-weights"]
    result = CliRunner().invoke(app, [*command, "--wage-range", "2", "100", "--wage-sample", "employed"])
    assert result.exit_code == 0, result.output
    assert "work two years before the wave is not, or not all, in the files of [2001]" in result.output
    careers = [row for split in load_careers(output).values() for row in split]
    assert len(careers) == 29 and all(None not in row["log_wage"] for row in careers)
    assert {row["person"]: row["weight"] for row in careers}["1001"] == [2, 0]
    result = CliRunner().invoke(app, [*command, "--wage-range", "2"])
    assert result.exit_code == 2 and "--wage-range" in result.output
