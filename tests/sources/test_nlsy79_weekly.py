"""Yearly states of the NLSY79 from weekly status: extracts made by hand, people worked out by hand, yearly items."""

from __future__ import annotations

import datetime
import functools
import math
import shutil
import tempfile
from pathlib import Path

import pytest
from nlsy79_extracts import by_year, employed, real_build, write_extract

from career_hf.careers import to_frame, validate
from career_hf.occupations.labels import NOT_WORKING
from career_hf.sources import nlsy79_careers as nlsy79
from career_hf.sources import nlsy79_weekly


# The weeks of 1990 begin on Sunday, 7 January 1990, with week 628.
FIRST_OF_1990 = 628
ENROLLED_SINCE_1989 = {"Q3-1A~000013": 0, "Q3-1A~000014": 2}  # January and February of 1990, asked in 1990
JOBS = {"OCCALL-EMP.01": 1, "OCCALL-EMP.02": 375, "OCCALL-EMP.03": -4, "CPSOCC70": 430, "QES-52.01": 0}


def write_weekly(folder, people, hours=None, jobs=None):
    """An extract with the weeks of 1990 and of the round of 1990 (number 12); `people` maps a person to statuses."""
    weeks = range(FIRST_OF_1990, FIRST_OF_1990 + len(next(iter(people.values()))))
    once = {"SAMPLE_ID": 1, "SAMPLE_RACE": 3, "SAMPLE_SEX": 1}
    yearly = {"HGCREV90": 12, "HRP1": 900, "HRP2": 1100} | ENROLLED_SINCE_1989 | JOBS | (jobs or {})
    columns = [(name, "1979", value) for name, value in once.items()]
    columns += [("HGC", str(year), 12) for year in nlsy79.grade_years(2012)]
    columns += [(name, "1990", value) for name, value in yearly.items()]
    weekly = [(f"STATUS_WK_NUM{week:04d}", "XRND") for week in weeks]
    weekly += [(f"HRS_WORKED_WK_NUM{week:04d}", "XRND") for week in weeks] if hours else []
    names = [("CASEID", "1979"), *(column[:2] for column in columns), *weekly]
    references = [f"R000{number:04d}" for number in range(100, 100 + len(names))]
    lines = [
        f"{ref[:6]}.{ref[6:]}  {year}  SOMETHING  {name}" for ref, (name, year) in zip(references, names, strict=True)
    ]
    (folder / "weekly.sdf").write_text("\n".join(lines) + "\n")
    rows = [",".join(references)]
    for person, statuses in people.items():
        cells = [person, *(column[2] for column in columns), *statuses, *(hours[person] if hours else [])]
        rows.append(",".join(map(str, cells)))
    (folder / "weekly.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_weeks_begin_on_sundays_and_belong_to_the_year_in_which_they_begin():
    assert nlsy79_weekly.start_of_week(1) == datetime.date(1978, 1, 1)
    assert nlsy79_weekly.start_of_week(53) == datetime.date(1978, 12, 31)
    assert nlsy79_weekly.start_of_week(FIRST_OF_1990) == datetime.date(1990, 1, 7)


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        # Census 1970: 1 is accountants (23), 375 is 386.
        ([1201, 1201, 1202, 4], "23"),
        ([1202, 1202, 1201, 4], "386"),
        ([1201, 1202, 4, 4, 4], "unemployed"),
        ([1201, 1202, 4, 4], "23"),
        ([4, 4, 1201, 1202], "unemployed"),
        # Four weeks of January, out of school, then February, enrolled: each week by its month.
        ([5, 5, 5, 5, 5], "out_of_labor_force"),
        ([4, 0, 0, 0, 5, 5, 5], "in_school"),
        ([0, 3, -3, 1201, 4], "23"),
        # Job 1 of the round of 1989 and a job without an occupation have the rest of the weeks.
        ([1101, 1203, 1201, 1201], "23"),
    ],
)
def test_the_state_with_most_weeks_wins_and_the_earlier_of_equals(tmp_path, statuses, state):
    # The person works in the last week, so that nobody is out of the labor force throughout.
    careers, _ = nlsy79.build(write_weekly(tmp_path, {1: statuses, 2: [1201] * len(statuses)}), "weekly")
    people = dict(zip(careers["person"], careers["occupation"], strict=True))
    assert people.get("1", ["out_of_labor_force"]) == [state]


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ([2, 2, 1201], "employment: not working, unemployed or out of the labor force not known"),
        ([0, 3, -4], "employment: no week with a known status"),
        ([7, 7, 1201], "employment status: active forces"),
        ([1203, 1203, 1201], "occupation: valid skip"),
        ([1206, 1206, 1201], "occupation: job number above 5"),
        ([1101, 1101, 1201], "occupation: job not in the extract"),
        ([1204, 1201, 1204], "Census 1970 code 999"),
        ([1205, 1201, 1205], "occupation code of the armed forces"),
    ],
)
def test_a_year_without_a_usable_state_is_in_the_ledger_with_its_reason(tmp_path, statuses, reason):
    jobs = {"OCCALL-EMP.04": 999, "OCCALL-EMP.05": 580}
    careers, ledger = nlsy79.build(write_weekly(tmp_path, {1: statuses, 2: [1201] * 3}, jobs=jobs), "weekly")
    assert careers["person"][:] == ["2"]
    assert ledger.dropped()[reason] == 1


def test_weeks_are_counted_by_what_is_known_of_them(tmp_path):
    _, ledger = nlsy79.build(write_weekly(tmp_path, {1: [0, 3, -4, 1201, 2]}), "weekly")
    entry = ledger.entries[0]
    assert (entry.unit, entry.rows_in, entry.rows_out) == ("person-weeks", 5, 2)
    assert list(entry.dropped.values()) == [1, 1, 1]


@pytest.mark.parametrize(("same", "code", "occupation"), [(1, -4, "593"), (1, 1, "23"), (0, -4, None)])
def test_the_occupation_of_the_current_job_stands_for_a_job_that_is_the_same(tmp_path, same, code, occupation):
    jobs = {"QES-52.01": same, "OCCALL-EMP.01": code, "CPSOCC70": 601}
    careers, _ = nlsy79.build(write_weekly(tmp_path, {1: [1201], 2: [1202]}, jobs=jobs), "weekly")
    people = dict(zip(careers["person"], careers["occupation"], strict=True))
    assert people.get("1") == (occupation and [occupation])


def test_pay_is_that_of_the_years_job_hours_are_those_of_its_weeks_and_there_is_no_industry(tmp_path):
    people = {1: [1202, 1202, 1201, 4]}
    careers, ledger = nlsy79.build(write_weekly(tmp_path, people, {1: [20, 40, 60, 0]}), "weekly", wages=True)
    validate(careers)
    assert by_year(careers, 1, "log_wage") == pytest.approx({1990: math.log(11 * 218.056 / 130.7)})
    assert by_year(careers, 1, "weekly_hours") == {1990: 30}
    assert "industry" not in careers.column_names
    assert next(e for e in ledger.entries if e.step.startswith("log_wage")).altered == {"observed": 1}


def test_work_is_the_share_of_known_weeks_with_short_weeks_in_proportion(tmp_path):
    folder = write_weekly(tmp_path, {1: [1201, 1201, 4, 0], 2: [7, 1201, 5, 2], 3: [0, 0, 0, 0]}, {
        1: [70, 7, 0, 0], 2: [0, -3, 0, 0], 3: [0, 0, 0, 0],
    })  # fmt: skip
    work = nlsy79_weekly.weekly_work(nlsy79_weekly.Weeks(nlsy79.read_folder(folder)))
    assert work[1990].tolist()[:2] == pytest.approx([(1 + 0.2) / 3, 2 / 4])
    assert work[1990].isna().tolist() == [False, False, True]


def test_years_without_weekly_status_take_the_yearly_items(tmp_path):
    write_extract(tmp_path, {1: employed(1986) | {("ESR_COL", 1990): 2}})
    (tmp_path / "weekly").mkdir()
    table = write_weekly(tmp_path / "weekly", {1: [1201, 1201]})
    # Only the weekly items, jobs and their descriptions: the rest is in the other file.
    careers, ledger = nlsy79.build(table.parent, "weekly")
    assert by_year(careers, 1, "occupation") == {1986: "22", 1990: "23"}
    assert any("the yearly items in 1980, 1982" in note for note in ledger.notes)


def test_an_extract_without_weekly_status_or_without_its_sdf_says_what_to_upload(tmp_path):
    write_weekly(tmp_path, {1: [1201]})
    (tmp_path / "weekly.sdf").write_text("R00001.00  1979  ID  CASEID\n")
    with pytest.raises(ValueError, match=r"STATUS_WK_NUM0001.*nlsy79_weekly.NLSY79.*\.sdf"):
        nlsy79.build(tmp_path, "weekly")


@functools.cache
def wide_build(shared):
    """The wide extract of 686 people on its own: nine weeks a year, jobs 1-5, no region and no unrevised grade."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("original-8.csv", "original.sdf"):
            shutil.copy(shared / "data/nlsy79_ekw" / name, Path(folder) / name)
        return nlsy79.build(folder, "weekly", wages=True)


def test_the_wide_extract_becomes_careers_and_every_week_and_year_is_accounted_for(shared):
    careers, ledger = wide_build(shared)
    validate(careers)
    frame = to_frame(careers)
    assert (len(careers), len(frame)) == (626, 10_744)
    for unit, start, end in (
        ("person-weeks", 686 * 35 * 9, 686 * 35 * 9 - 109_464 - 209),
        ("person-years", 686 * 35, len(frame)),
        ("people", 686, len(careers)),
    ):
        entries = [entry for entry in ledger.entries if entry.unit == unit]
        assert (entries[0].rows_in, entries[-1].rows_out) == (start, end)
        assert start - end == sum(sum(entry.dropped.values()) for entry in entries)
    assert frame["log_wage"].notna().sum() == 7_590
    assert any("weekly status of 9-9 weeks a year in 1979-2013" in note for note in ledger.notes)


def test_weekly_and_yearly_states_agree_for_most_people(shared):
    # One is most weeks of the year, the other the week before the interview.
    yearly, weekly = (to_frame(build[0]) for build in (real_build(shared, "full"), wide_build(shared)))
    pairs = weekly.merge(yearly, on=["person", "year"])
    states = [pairs[name].where(pairs[name].isin(NOT_WORKING), "employed") for name in pairs.columns
              if name.startswith("occupation_") and "vintage" not in name]  # fmt: skip
    assert (states[0] == states[1]).mean() == pytest.approx(0.863, abs=0.01)


def test_person_12010_in_school_with_jobs_aside_then_employed(shared):
    careers, _ = wide_build(shared)
    occupation_of_year = by_year(careers, 12010, "occupation")
    assert {year: occupation_of_year[year] for year in range(1979, 1991)} == {
        1979: "in_school",  # 5 in all nine weeks; ENROLLMTREV79 2, in high school on May 1
        1980: "453",  # 5, 201, 301 x7; job 1 of 1981 is the current one (QES-52.01 1): CPSOCC70 903 -> 453
        1981: "453",  # 301 x2, 401 x4, 5 x3; job 1 of 1982: 903 too
        1982: "in_school",  # 5 x7, 4, 5, all in months enrolled: January-June, September-December
        1983: "in_school",  # 5 x7, 601, 5; enrolled all year
        1984: "in_school",  # 5 x6, 4, 5 x2; enrolled all year
        1985: "in_school",  # 5 x5 (January-May, enrolled), 4, 802, 801 x2
        1986: "unemployed",  # 801, 4, 5 x2 (enrolled), 5 x2 (May, June: not), 4 x2, 5 (December): three and three
        1987: "157",  # 5 x2, 901 x4, 1001 x3; job 1 of 1987: CPSOCC70 144 -> 157
        1988: "154",  # 1001 x6, 1101 x3; job 1 of 1988: CPSOCC70 125 -> 154
        1989: "156",  # 1101 x6, 1201 x3; job 1 of 1989: CPSOCC70 142 -> 156
        1990: "157",  # 1201 x6, 1301 x3; job 1 of 1990: CPSOCC70 144 -> 157
    }
    # HRP1 of the round of the year's job: 400, 400, 1050, 769, 769, 801 cents.
    wage = by_year(careers, 12010, "log_wage")
    assert wage[1980] == pytest.approx(math.log(4 * 218.056 / 82.4))
    assert wage[1987] == pytest.approx(math.log(10.5 * 218.056 / 113.6))
    assert wage[1990] == pytest.approx(math.log(8.01 * 218.056 / 130.7))
    row = careers[careers["person"][:].index("12010")]
    assert (row["race"], row["gender"], row["sample"], row["region"]) == ("hispanic", "male", "cross_sectional", None)


def test_person_12600_leaves_the_armed_forces_and_then_the_survey(shared):
    assert by_year(wide_build(shared)[0], 12600, "occupation") == {
        # 1979-1981: 7 in 26 of 27 weeks, in the armed forces
        1982: "889",  # 4 x2, 501 x5, 4 x2; job 1 of 1983: CPSOCC70 780 -> 889
        1983: "889",  # 4, 5 x2, 602 x4, 601 x2; job 2 of 1984: OCCALL-EMP.02 780 -> 889; job 1: 601 -> 593
        1984: "593",  # 601, then 0 to the end: the military sample was dropped
    }
