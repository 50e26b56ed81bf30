"""Wages of the NLSY97 and what explains them: extracts made by hand, with values worked out by hand."""

from __future__ import annotations

import math

import pytest
from nlsy97_extracts import employed, interview, weeks, write_extract

from career_hf.careers import validate
from career_hf.sources import nlsy97_careers as nlsy97


# CPI-U, from the table of the Bureau of Labor Statistics.
CPI = {1983: 99.6, 2003: 184.0, 2010: 218.056}


def over_time(careers, person, column):
    row = next(row for row in careers if row["person"] == str(person))
    return dict(zip(row["year"], row[column], strict=True))


def counts(ledger, name):
    return next(entry.altered for entry in ledger.entries if entry.step.startswith(name))


def hours(**by_year):
    return {(f"CVC_HOURS_WK_YR_ALL.{year[-2:]}", "XRND"): value for year, value in by_year.items()}


def of_job(year, industry=-4, worker=-4, area=-4, job=1):
    answers = {(f"YEMP_INDCODE-2002.{job:02d}", str(year)): industry, (f"YEMP-58500.{job:02d}", str(year)): worker}
    return answers | {("CV_MSA", str(year)): area}


def test_pay_hours_and_schooling_as_blau_and_kahn_have_them(tmp_path):
    # Born in 1980, so 18 in 1998: years of 1,500 hours and more are full time; 2001 is not reported, and like 2000.
    lived = hours(y1997=2000, y1998=1499, y1999=0, y2000=1500, y2001=-3, y2002=1, y2003=2000)
    low = math.ceil(100 * CPI[2003] / CPI[1983])
    people = {
        1: employed(2002, pay=(1000,)) | employed(2003, pay=(1000,)) | lived,
        2: employed(2003, pay=(low,)) | employed(2004, pay=(-4,)),
        3: employed(2003, pay=(low - 1,)) | weeks(2004, (4, 52)) | interview(2004, main=1, codes=(4720,), pay=(900,)),
    }
    careers, ledger = nlsy97.build(write_extract(tmp_path, people, wages=True), wages=True)
    validate(careers)
    assert over_time(careers, 1, "log_wage")[2003] == pytest.approx(math.log(10 * CPI[2010] / CPI[2003]))
    assert over_time(careers, 2, "log_wage") == {
        2003: pytest.approx(math.log(low / 100 * CPI[2010] / CPI[2003])),
        2004: None,
    }
    assert over_time(careers, 3, "log_wage") == {2003: None, 2004: None}
    assert counts(ledger, "log_wage") == {
        "observed": 3, "not employed: unemployed": 1, "pay: none reported": 1, "pay below $1 an hour of 1983": 1,
    }  # fmt: skip
    assert over_time(careers, 1, "experience") == {2002: 3, 2003: 4}
    assert over_time(careers, 1, "full_time_experience") == {2002: 2, 2003: 2}
    assert over_time(careers, 1, "part_time_experience") == {2002: 1, 2003: 2}
    assert over_time(careers, 2, "experience")[2003] is None
    assert over_time(careers, 1, "schooling") == {2002: 12, 2003: 12}
    altered = counts(ledger, "experience")
    assert altered["no hours of work reported by then"] == 4
    assert altered["with years not reported, taken as the last one reported"] == 2


def test_industry_class_of_worker_and_area(tmp_path):
    # 7860-7890 is education in 2002, 770 construction. Class of worker is asked when an employer is new.
    moves = employed(2002) | of_job(2002, 7860, worker=1, area=3) | employed(2003) | of_job(2003, 7860, area=1)
    moves |= employed(2004, employer=200401) | of_job(2004, 770, worker=2, area=5)
    moves |= (
        weeks(2005, (4, 52)) | interview(2005, main=1, codes=(4720,), employers=(200401,)) | of_job(2005, 770, area=2)
    )
    second = weeks(2002, (200202, 52)) | interview(2002, main=1, codes=(20, 4720), employers=(200201, 200202))
    second |= of_job(2002, 770, worker=1) | of_job(2002, 8680, worker=4, job=2)
    careers, ledger = nlsy97.build(write_extract(tmp_path, {1: moves, 2: second}, wages=True), wages=True)
    assert over_time(careers, 1, "industry") == {
        2002: "education", 2003: "education", 2004: "mining_construction_agriculture", 2005: None,
    }  # fmt: skip
    assert over_time(careers, 1, "government") == {2002: "government", 2003: "government", 2004: "private", 2005: None}
    assert list(over_time(careers, 1, "metropolitan").values()) == [
        "metropolitan",
        "not_metropolitan",
        None,
        "metropolitan",
    ]
    assert (over_time(careers, 2, "industry"), over_time(careers, 2, "government")) == (
        {2002: "hotelsrestaurants"},
        {2002: "private"},
    )
    assert counts(ledger, "government") == {"observed": 4, "not employed: unemployed": 1}

    fewer = write_extract(tmp_path, {1: moves}, wages=True, without=("YEMP-58500.01", ("CV_MSA", "2019")))
    careers, ledger = nlsy97.build(fewer, wages=True)
    assert not {"government", "metropolitan"} & set(careers.column_names)
    assert "no government in these careers: YEMP-58500 is not there" in ledger.notes
    plain, _ = nlsy97.build(fewer)
    assert not {"log_wage", "industry", "experience"} & set(plain.column_names)
    write_extract(
        tmp_path, {1: moves}, wages=True, without=("CVC_HOURS_WK_YR_ALL.05", ("YEMP_INDCODE-2002.01", "2019"))
    )
    with pytest.raises(ValueError, match=r"2 variable\(s\) are in none of the extract's files"):
        nlsy97.build(tmp_path, wages=True)
