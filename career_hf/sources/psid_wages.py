"""Wages of the PSID, and what Blau and Kahn (2017) explain them by.

These are outcomes and labels for wage regressions, not covariates of a model, because they tell whether a person
works. Union coverage, government, industry and self-employment are those of the main job at the interview, whose
occupation is the state. Pay, hours and weeks are those of the calendar year before the interview.

Years of experience are Blau and Kahn's, as Cricco and Killewald compute them (replication code of "Can Fertility
Decline Help Explain Gender Pay Convergence?", github.com/ninocricco/fertility_decline_gender_gap): the years of work,
and of full-time work, that people report when they become a reference person or spouse, and then one for each calendar
year with any hours, and with 1,500 hours or more.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

import numpy as np
import pandas as pd

from .psid_files import Needed, PSIDFiles
from .psid_variables import WAVES, family_role, values_of_role, variables, yearly_values
from .survey_steps import SurveySteps, reason
from .survey_wages import FULL_TIME_HOURS, WageRules, counts_by_reason, industries, record_experience


# Whose wages are observed: those of everybody who is employed and paid, or of Blau and Kahn's sample.
WageSample = Literal["blau_kahn", "employed"]

WAGE_LABELS = ("industry", "union", "government")
# Items of the reference person and of the spouse in every wave.
OF_ROLE = ("years_worked", "years_full_time", "industry", "union", "government", "self_employed", "weeks_worked")
PAY, ROLES = ("hourly_earnings", "annual_hours"), ("head", "spouse")
# Work of the calendar year that no wave reports in full, because it is two years before one; optional.
TWO_YEARS_AGO = tuple(item for item, _ in variables() if item.startswith("two_years_ago"))

# Blau and Kahn's sample: nonfarm wage and salary workers of 25 to 64 who worked full time and for half a year.
AGES, LEAST_WEEKS, FULL_TIME_WEEK = (25, 64), 26, 35
FARM = range(473, 499)  # occ1990dd: farm operators and managers, other agricultural and related occupations
SELF_EMPLOYED, EMPLOYEE = (2, 3), 1  # both someone else and self counts as self-employed
# Years of work since 18 are reported to 94; 95 is less than one year at 18 or below, 96 all years, 98 and 99 unknown.
SINCE, MOST_YEARS, LESS_THAN_ONE, ALL_YEARS = 18, 94, 95, 96
MOST_WEEKS, MOST_MONTHS, MOST_WEEKLY_HOURS, MOST_HOURS, UNKNOWN_AGE = 52, 12, 112, 9_998, 999
WEEKS_A_MONTH = 4.33
LAST_1970_INDUSTRY, FIRST_FOUR_DIGITS = 2001, 2017
YES, NO = 1, 5
UNION = {YES: "covered", NO: "not_covered"}
GOVERNMENT = {1: "government", 2: "government", 3: "government", 4: "private", 7: "private"}


def check_wage_sample(wage_sample: str) -> None:
    """Raises a ValueError if it is not one of the two."""
    if wage_sample not in get_args(WageSample):
        raise ValueError(f"unknown wage_sample '{wage_sample}'; choose one of {list(get_args(WageSample))}")


def wage_items() -> list[Needed]:
    """Variables that a build with wages needs beside the others."""
    return [(item, year, variables()[item, str(year)]) for year in WAVES for item in ["age", *_items_of_roles()]]


def wage_variables() -> set[str]:
    """Variables that only a build with wages reads."""
    items = {"age", *TWO_YEARS_AGO, *_items_of_roles()} - {f"{item}_{who}" for item in PAY for who in ROLES}
    return {variable for (item, _), variable in variables().items() if item in items}


def _items_of_roles() -> list[str]:
    return [f"{item}_{who}" for item in (*OF_ROLE, *PAY) for who in ROLES]


def add_outcomes(steps: SurveySteps, files: PSIDFiles, rules: WageRules, wage_sample: WageSample) -> None:
    """Adds `WAGE_OUTCOMES` and `WAGE_LABELS` to the person-years, with a ledger entry for each.

    Args:
        steps: Person-years with their state, occupation and `known_grade`.
        files: Files of the PSID.
        rules: Prices and trimming.
        wage_sample: Whose wages are observed.
    """
    jobs = pd.concat([_jobs(files, year) for year in WAVES], ignore_index=True)
    jobs = jobs.join(experience(files), on=["person", "year"])
    frame = steps.frame.merge(jobs, on=["person", "year"], how="left", validate="one_to_one")
    of_1970 = frame["year"] <= LAST_1970_INDUSTRY
    frame["industry"] = industries(frame["industry_code"].where(of_1970), 1970)
    frame["industry"] = frame["industry"].fillna(industries(frame["industry_code"].mask(of_1970), 2000))
    idle = reason(frame["state"].ne("employed"), "not employed: " + frame["state"])

    # Pay is that of the calendar year before the interview, and so are its dollars.
    log_wage, no_pay = rules.log_wage(frame["pay"].where(frame["pay"].gt(0)), frame["year"] - 1)
    outside = idle.fillna(_outside_sample(frame)) if wage_sample == "blau_kahn" else idle
    no_wage = outside.fillna(no_pay)
    frame["log_wage"] = log_wage.where(no_wage.isna())
    sample = "Blau and Kahn's sample" if wage_sample == "blau_kahn" else "everybody employed"
    steps.alter(f"{rules.step}, {sample}", "person-years", counts_by_reason(no_wage), "past")

    frame["schooling"] = frame["known_grade"]
    record_experience(steps, frame, "years worked since 18 never reported by then")

    for label, source in zip(
        WAGE_LABELS, ("industry", "job covered by a union contract", "work for government"), strict=True
    ):
        missing = idle.fillna(reason(frame[label].isna(), f"{label}: inapplicable or not known"))
        frame[label] = frame[label].where(missing.isna())
        steps.alter(f"{label}: {source}, main job", "person-years", counts_by_reason(missing), "past")
    steps.frame = frame


def _jobs(files: PSIDFiles, year: int) -> pd.DataFrame:
    """Main job of every individual in one wave, and pay, hours and weeks of the calendar year before it."""
    of_role = partial(values_of_role, files, year=year, of_wave=family_role(files, year))
    code = of_role("industry")
    code = code // 10 if year >= FIRST_FOUR_DIGITS else code
    part = {
        "person": files.people,
        "year": year,
        "pay": of_role("hourly_earnings"),
        "hours": _known(of_role("annual_hours"), MOST_HOURS),
        "weeks": _known(of_role("weeks_worked"), MOST_WEEKS),
        "self_employed": of_role("self_employed"),
        "age": _age(files, year),
        "industry_code": code.astype("Int64"),
        "union": of_role("union").map(UNION).astype("string"),
        "government": of_role("government").map(GOVERNMENT).astype("string"),
    }
    return pd.DataFrame(part)


def _outside_sample(frame: pd.DataFrame) -> pd.Series:
    """Why a person-year is not in Blau and Kahn's sample; null if it is."""
    occupation = pd.to_numeric(frame["occupation"], errors="coerce")
    weekly = frame["hours"] / frame["weeks"].where(frame["weeks"] > 0)
    reasons = reason(frame["self_employed"].isin(SELF_EMPLOYED), "self-employed")
    for mask, text in (
        (frame["self_employed"].ne(EMPLOYEE), "employee or self-employed: not known"),
        (occupation.isin(FARM), "farm occupation"),
        (frame["age"].isna(), "age not known"),
        (~frame["age"].between(*AGES), f"age not {AGES[0]} to {AGES[1]}"),
        (frame["weeks"].isna() | frame["hours"].isna(), "weeks or hours of the year before not known"),
        (frame["weeks"] < LEAST_WEEKS, f"fewer than {LEAST_WEEKS} weeks in the year before"),
        (weekly < FULL_TIME_WEEK, f"part time: fewer than {FULL_TIME_WEEK} hours a week in the year before"),
    ):
        reasons = reasons.fillna(reason(mask, text))
    return reasons


def experience(files: PSIDFiles) -> pd.DataFrame:
    """Years of work since 18, by person and wave.

    The last years that a person reported count up to that wave, capped at the years since 18. Every calendar year from
    then on adds one to `experience` if there were hours of work, and one to `full_time_experience` if there were
    1,500. The PSID carries a report forward from wave to wave, so only one that differs from the one before is new.
    A year without hours (where neither the wave after it nor the one after that tells) is taken to be like the last
    one that is known, and to add nothing if there is none.

    Returns:
        Columns experience, full_time_experience and part_time_experience, null until there is a report; and carried,
        whether one of the years added was taken to be like another.
    """
    hours = _yearly_hours(files).reindex(columns=range(WAVES[0] - 2, WAVES[-1]))
    known = hours.ffill(axis=1)
    worked = {"experience": known.gt(0), "full_time_experience": known.ge(FULL_TIME_HOURS)}
    years = {name: pd.Series(np.nan, index=files.people) for name in worked}
    reported = pd.Series(np.nan, index=files.people)
    carried, parts, before = pd.Series(False, index=files.people), [], WAVES[0]
    for year in WAVES:
        of_wave, age = family_role(files, year), _age(files, year)
        since = (age - SINCE).clip(lower=0)
        added = list(range(before, year))
        raw = values_of_role(files, "years_worked", year, of_wave)
        is_new = raw.le(ALL_YEARS) & raw.ne(reported)
        reported = raw.where(raw.le(ALL_YEARS), reported)
        for name, item in (("experience", "years_worked"), ("full_time_experience", "years_full_time")):
            values = _years_since_18(values_of_role(files, item, year, of_wave), since)
            later = years[name] + worked[name][added].sum(axis=1)
            years[name] = values.where(is_new & values.notna(), later)
        carried = (carried | hours[added].isna().any(axis=1)) & ~is_new & years["experience"].notna()
        total = years["experience"].clip(upper=since + 1)
        full = np.minimum(years["full_time_experience"], total)
        wave = {"experience": total, "full_time_experience": full, "part_time_experience": total - full}
        parts.append(pd.DataFrame({**wave, "carried": carried}).assign(year=year).rename_axis("person"))
        before = year
    return pd.concat(parts).set_index("year", append=True)


def _years_since_18(reported: pd.Series, since: pd.Series) -> pd.Series:
    """Reported years, capped at the years since 18, which "all years" stands for."""
    years = reported.where(reported.le(MOST_YEARS)).mask(reported.eq(LESS_THAN_ONE), 0.0)
    return years.clip(upper=since).mask(reported.eq(ALL_YEARS), since)


def _yearly_hours(files: PSIDFiles) -> pd.DataFrame:
    """Hours worked by person and calendar year, null where neither the wave after nor the one after that tells."""
    hours = {}
    for year in WAVES:
        of_wave = family_role(files, year)
        hours[year - 1] = _known(values_of_role(files, "annual_hours", year, of_wave), MOST_HOURS)
        if year - 2 not in hours:
            hours[year - 2] = _hours_two_years_ago(files, year, of_wave)
    return pd.DataFrame(hours)


def _hours_two_years_ago(files: PSIDFiles, year: int, of_wave: pd.Series) -> pd.Series:
    """Weeks (or months) times usual hours a week, of the individual in 1999 and 2001, by role from 2003 on."""
    own = partial(yearly_values, files, year=year)
    of_role = partial(values_of_role, files, year=year, of_wave=of_wave)
    weeks = _known(own("two_years_ago_weeks"), MOST_WEEKS)
    weeks = weeks.fillna(_known(own("two_years_ago_months"), MOST_MONTHS) * WEEKS_A_MONTH)
    weekly = _known(own("two_years_ago_hours"), MOST_WEEKLY_HOURS)
    employed = of_role("two_years_ago_employed")
    of_calendar = _known(of_role("two_years_ago_weeks"), MOST_WEEKS)
    of_calendar *= _known(of_role("two_years_ago_hours"), MOST_WEEKLY_HOURS)
    of_calendar = of_calendar.where(employed.eq(YES)).mask(employed.eq(NO), 0.0)
    return (weeks * weekly).where(of_wave.notna()).fillna(of_calendar)


def _known(values: pd.Series, most: int) -> pd.Series:
    """Values from 0 to the largest that is no missing code."""
    return values.where(values.between(0, most))


def _age(files: PSIDFiles, year: int) -> pd.Series:
    age = yearly_values(files, "age", year)
    return age.where(age.gt(0) & age.lt(UNKNOWN_AGE))
