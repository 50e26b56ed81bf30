"""Wages of the NLSY79 and what explains them: hours, experience, schooling, industry.

These are outcomes, not covariates of a model, because they tell whether a person works. Pay and hours belong to the
current job at the interview, whose occupation is the state, so both are null unless employment status (ESR_COL) is
employed. Years of experience are computed from the past only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..occupations.labels import NOT_WORKING
from .nls import NLSExtract, split_missing
from .nlsy79_variables import ALL_ROUNDS, STATUS_ROUNDS, Item, item, values
from .survey_steps import SurveySteps, reason
from .survey_wages import BASE_YEAR, counts_by_reason, industries, price_index


# Nominal dollars an hour; values outside are wrong units and typing errors (up to $60,000).
LOWEST_PAY, HIGHEST_PAY = 1, 500
MOST_HOURS = 168
WEEKS = 52
# In the other rounds these extracts lack hours, or (up to 1993) hold those of a job that is not the current one.
HOURS_ROUNDS = frozenset({1982, 1994, 1996, 1998, 2006})
OUTCOMES = ("log_wage", "weekly_hours", "experience", "schooling")


def pay_item(year: int) -> Item:
    """Hourly pay of the current or most recent job, in cents."""
    return item("CPSHRP" if year <= 1994 else "HRP1", year)


def hours_item(year: int) -> Item:
    """Hours a week at job 1."""
    return item("QES1-52A" if year <= 1996 else "QES-52A.01", year)


def industry_item(year: int) -> Item:
    """Industry of the current or most recent job."""
    return item("CPSIND70" if year <= 1993 else "INDALL-EMP.01", year)


def industry_vintage(year: int) -> int:
    """Census year of the industry codes of a round."""
    return 1970 if year <= 2000 else 2000


def wage_items(rounds: list[int], last: int) -> list[Item]:
    """Variables that `yearly_jobs` and `yearly_work` read."""
    items = [industry_item(year) for year in rounds]
    items += [pay_item(year) for year in rounds if year in STATUS_ROUNDS]
    items += [hours_item(year) for year in rounds if year in HOURS_ROUNDS]
    return items + [item("WKSWK-PCY", year) for year in ALL_ROUNDS if year <= last]


def yearly_jobs(extract: NLSExtract, rounds: list[int]) -> pd.DataFrame:
    """Reads pay (cents), hours and industry of everybody's current job in every round, with reasons where null."""
    people = extract.people
    no_values = pd.Series(pd.NA, index=people, dtype="Int64")
    parts = []
    for year in rounds:
        unknown = no_values, pd.Series("employment at the interview not observed", index=people, dtype="string")
        pay, pay_missing = _values_and_reasons(extract, pay_item(year)) if year in STATUS_ROUNDS else unknown
        unknown = no_values, pd.Series("hours of the current job not in this round", index=people, dtype="string")
        hours, hours_missing = _values_and_reasons(extract, hours_item(year)) if year in HOURS_ROUNDS else unknown
        code, industry_missing = _values_and_reasons(extract, industry_item(year))
        # Codes from 2004 on have a fourth digit, mostly zero.
        code = code // 10 if year >= 2004 else code
        part = {"person": people, "year": year, "pay": pay, "pay_missing": pay_missing}
        part |= {"hours": hours, "hours_missing": hours_missing}
        part |= {"industry": industries(code, industry_vintage(year))}
        label = f"Census {industry_vintage(year)} code " + code.astype("string")
        part |= {"industry_missing": industry_missing.fillna(label)}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def _values_and_reasons(extract: NLSExtract, variable: Item) -> tuple[pd.Series, pd.Series]:
    return split_missing(extract.variable(*variable).reindex(extract.people))


def yearly_work(extract: NLSExtract, last: int) -> pd.DataFrame:
    """Computes the share of each calendar year worked, by person (rows) and year (columns), null where not reported.

    The share is weeks worked in the past calendar year over 52, so it belongs to the year before each round. The few
    reports of more than 52 weeks count as 52.
    """
    rounds = [year for year in ALL_ROUNDS if year <= last]
    weeks = pd.DataFrame({year - 1: values(extract, item("WKSWK-PCY", year)) for year in rounds})
    return (weeks.clip(upper=WEEKS) / WEEKS).astype("Float64")


def add_outcomes(steps: SurveySteps, jobs: pd.DataFrame, work: pd.DataFrame) -> None:
    """Adds log_wage, weekly_hours, experience and industry to the person-years, with a ledger entry for each.

    Args:
        steps: Person-years with their occupation, and `schooling`.
        jobs: What `yearly_jobs` returns.
        work: Share of each calendar year worked, as `yearly_work` returns it.
    """
    frame = steps.frame.merge(jobs, on=["person", "year"], how="left", validate="one_to_one")
    state = frame["occupation"].where(frame["occupation"].isin(NOT_WORKING))
    not_employed = ("not employed: " + state).astype("string")

    dollars = frame["pay"].astype("Float64") / 100
    trimmed = reason(dollars < LOWEST_PAY, f"pay below ${LOWEST_PAY} an hour")
    trimmed = trimmed.fillna(reason(dollars > HIGHEST_PAY, f"pay above ${HIGHEST_PAY} an hour"))
    not_read = reason(frame["pay"].isna(), "pay: not read for this year")
    no_wage = not_employed.fillna("pay: " + frame["pay_missing"]).fillna(trimmed).fillna(not_read)
    prices = frame["year"].map(price_index())
    real = dollars * price_index()[BASE_YEAR] / prices
    frame["log_wage"] = np.log(real.where(no_wage.isna()).astype(float))
    index = f"CPI-U, dollars of {BASE_YEAR}"
    steps.alter(
        f"log_wage: log real hourly pay of the current job ({index})",
        "person-years",
        counts_by_reason(no_wage),
        "past",
    )

    outside = reason(~frame["hours"].between(1, MOST_HOURS), f"hours not in 1-{MOST_HOURS}")
    not_read = reason(frame["hours"].isna(), "hours: not read for this year")
    no_hours = not_employed.fillna("hours: " + frame["hours_missing"]).fillna(outside).fillna(not_read)
    frame["weekly_hours"] = frame["hours"].where(no_hours.isna()).astype(float)
    steps.alter("weekly_hours: of the current job", "person-years", counts_by_reason(no_hours), "past")

    frame["experience"], carried = experience(frame, work)
    no_experience = reason(frame["experience"].isna(), "no report of weeks worked by then")
    counts = counts_by_reason(no_experience) | {
        "with years not reported, taken as the last one reported": int(carried.sum())
    }
    steps.alter("experience: years worked before the year", "person-years", counts, "past")

    if "industry" in frame:
        no_industry = not_employed.fillna(reason(frame["industry"].isna(), "industry: " + frame["industry_missing"]))
        frame["industry"] = frame["industry"].where(no_industry.isna())
        steps.alter(
            "industry: of the same job as the occupation", "person-years", counts_by_reason(no_industry), "past"
        )
    steps.frame = frame


def experience(frame: pd.DataFrame, work: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Counts the years worked before each person-year, and tells whether one of them was carried forward.

    A year without a report (every second one after 1993, and where a person was not interviewed) is taken
    to be like the last reported year before it. Years before the first report count as none. Experience is null until
    there is a report.
    """
    years = range(int(work.columns.min()), int(frame["year"].max()))
    shares = work.reindex(columns=years).astype(float)
    last_reported = shares.ffill(axis=1)
    total = last_reported.fillna(0).cumsum(axis=1).where(last_reported.notna())
    carried = (shares.isna() & last_reported.notna()).cummax(axis=1)
    keys = pd.MultiIndex.from_arrays([frame["person"], frame["year"] - 1])
    years_worked, is_carried = (
        table.stack(future_stack=True).reindex(keys).set_axis(frame.index) for table in (total, carried)
    )
    return years_worked.astype(float), is_carried.eq(True)
