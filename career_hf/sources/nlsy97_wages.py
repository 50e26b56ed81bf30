"""Wages of the NLSY97, and what Blau and Kahn (2017) explain them by, as far as names of its items are known.

These are outcomes and labels for wage regressions, not covariates of a model, because they tell whether a person
works. Pay, industry and class of worker are those of the job whose occupation is the state. Nothing tells union
coverage under a name that is known here.
"""

from __future__ import annotations

import pandas as pd

from .nls import NLSExtract
from .nlsy97_variables import ROUNDS, Item, find_item, known_values, roster, values_by_round, values_of_job
from .survey_steps import SurveySteps, reason
from .survey_wages import FULL_TIME_HOURS, WageRules, counts_by_reason, industries, record_experience


WAGE_LABELS = ("industry", "government", "metropolitan")
INDUSTRY, WORKER, EMPLOYER, AREA, PAY = "YEMP_INDCODE-2002", "YEMP-58500", "YEMP_UID", "CV_MSA", "CV_HRLY_PAY"
# Regular expressions of normalised question names that a build reads beside those of the table.
WAGE_ITEMS = (r"YEMP_INDCODE_2002_\d\d", r"YEMP_58500_\d\d", r"CVC_HOURS_WK_YR_ALL_\d\d", "CV_MSA")

# Everybody was 12 to 16 at the end of 1996, so nobody was 18 before 1998.
SINCE, FIRST_YEAR = 18, 1998
# Class of worker: 1 government; 2 to 4 private for profit, not for profit, family business; 5 armed forces.
GOVERNMENT = {1: "government", 2: "private", 3: "private", 4: "private", 5: "government"}
METROPOLITAN = {1: "not_metropolitan", 2: "metropolitan", 3: "metropolitan", 4: "metropolitan"}  # 5: abroad


def wage_items(extract: NLSExtract) -> list[Item]:
    """Variables that a build with wages needs beside the others; class of worker and area are optional."""
    items = [find_item(extract, f"{name}.01", year) for name in (PAY, INDUSTRY) for year in ROUNDS]
    return items + [_hours_worked(year) for year in range(FIRST_YEAR, ROUNDS[-1])]


def add_outcomes(steps: SurveySteps, extract: NLSExtract, rules: WageRules) -> None:
    """Adds `WAGE_OUTCOMES`, and those of `WAGE_LABELS` that the extract has, with a ledger entry for each.

    Args:
        steps: Person-years with state, occupation, age, `job`, `hourly_wage` and `known_grade`.
        extract: The extract.
        rules: Prices and trimming.
    """
    work = experience(extract, steps.frame)
    frame = steps.frame.merge(work, on=["person", "year"], how="left", validate="one_to_one")
    idle = reason(frame["state"].ne("employed"), "not employed: " + frame["state"])

    log_wage, no_pay = rules.log_wage(frame["hourly_wage"], frame["year"])
    no_wage = idle.fillna(no_pay)
    frame["log_wage"] = log_wage.where(no_wage.isna())
    steps.alter(f"{rules.step}, job of the occupation", "person-years", counts_by_reason(no_wage), "past")

    frame["schooling"] = frame["known_grade"]
    record_experience(steps, frame, "no hours of work reported by then")

    labels = {"industry": _industry(extract, frame)}
    if extract.has(*find_item(extract, f"{WORKER}.01", ROUNDS[0])):
        labels["government"] = _class_of_worker(extract, frame).map(GOVERNMENT).astype("string")
    for name, values in labels.items():
        missing = idle.fillna(reason(values.isna(), f"{name}: not reported"))
        frame[name] = values.where(missing.isna())
        steps.alter(f"{name}: job of the occupation", "person-years", counts_by_reason(missing), "past")
    if all(extract.has(*find_item(extract, AREA, year)) for year in ROUNDS):
        frame["metropolitan"] = _by_round(values_by_round(extract, AREA), frame).map(METROPOLITAN).astype("string")
        missing = reason(frame["metropolitan"].isna(), "metropolitan: not reported, or abroad")
        steps.alter(f"metropolitan: {AREA}", "person-years", counts_by_reason(missing), "past")
    for name in WAGE_LABELS:
        if name not in frame:
            steps.ledger.note(f"no {name} in these careers: {WORKER if name == 'government' else AREA} is not there")
    steps.frame = frame


def experience(extract: NLSExtract, frame: pd.DataFrame) -> pd.DataFrame:
    """Years worked since 18, before each person-year.

    A calendar year counts if there were any hours of work for employers (CVC_HOURS_WK_YR_ALL), and as full-time if
    there were 1,500. One that is not reported is taken to be like the last one reported.

    Args:
        extract: The extract.
        frame: Person-years, with `age`, the age that is reached in the year.

    Returns:
        One row per person-year: person, year, experience, full_time_experience and part_time_experience, null until a
        year is reported; and carried, whether one was taken to be like another.
    """
    people = frame.groupby("person").first()
    since = (people["year"] - people["age"] + SINCE).astype(float)  # the year in which people turn 18
    years = range(FIRST_YEAR, ROUNDS[-1])
    hours = pd.DataFrame({year: known_values(extract, _hours_worked(year)) for year in years}).astype("Float64")
    hours = hours.reindex(people.index).astype(float)
    # Years before 18 are no part of it.
    counts = pd.DataFrame({year: since.le(year) for year in years})
    known = hours.where(counts).ffill(axis=1)
    tables = {
        "experience": known.gt(0).where(known.notna()),
        "full_time_experience": known.ge(FULL_TIME_HOURS).where(known.notna()),
        "carried": (hours.isna() & known.notna() & counts).astype(float),
    }
    keys = pd.MultiIndex.from_arrays([frame["person"], frame["year"] - 1])
    work = frame[["person", "year"]].reset_index(drop=True)
    for name, table in tables.items():
        total = table.astype(float).fillna(0).cumsum(axis=1).where(known.notna())
        work[name] = total.stack(future_stack=True).reindex(keys).to_numpy()
    work["carried"] = work["carried"].gt(0)
    return work.assign(part_time_experience=work["experience"] - work["full_time_experience"])


def _hours_worked(year: int) -> Item:
    return f"CVC_HOURS_WK_YR_ALL.{year % 100:02d}", None, None


def _of_job(extract: NLSExtract, frame: pd.DataFrame, name: str) -> pd.Series:
    """The value of each person-year's job on its round's roster, null where it is missing."""
    values = pd.Series(pd.NA, index=frame.index, dtype="Int64")
    for year, rows in frame.groupby("year"):
        of_round = values_of_job(roster(extract, name, int(year)).reindex(rows["person"]), rows["job"])
        values[rows.index] = of_round.to_numpy()
    return values.mask(values < 0)


def _industry(extract: NLSExtract, frame: pd.DataFrame) -> pd.Series:
    """Industry of the job, from Census codes of 2002, which have a fourth digit, mostly zero."""
    return industries(_of_job(extract, frame, INDUSTRY) // 10, 2000)


def _class_of_worker(extract: NLSExtract, frame: pd.DataFrame) -> pd.Series:
    """Class of worker of the job: asked when an employer is first reported, so the last answer by then stands."""
    answers = []
    for year in ROUNDS:
        employer, worker = roster(extract, EMPLOYER, year), roster(extract, WORKER, year)
        for job in employer.columns.intersection(worker.columns):
            part = pd.DataFrame({"employer": employer[job], "answer": worker[job], "asked": year})
            answers.append(part[part["employer"].gt(0) & part["answer"].gt(0)].rename_axis("person").reset_index())
    known = pd.concat(answers).astype("int64").sort_values("asked", kind="stable")
    jobs = pd.DataFrame(
        {"person": frame["person"], "employer": _of_job(extract, frame, EMPLOYER), "year": frame["year"]}
    )
    jobs = jobs.dropna().astype("int64").rename_axis("row").reset_index().sort_values("year", kind="stable")
    found = pd.merge_asof(jobs, known, left_on="year", right_on="asked", by=["person", "employer"])
    return found.set_index("row")["answer"].reindex(frame.index)


def _by_round(table: pd.DataFrame, frame: pd.DataFrame) -> pd.Series:
    """The cell of each person-year in a table of people and rounds."""
    keys = pd.MultiIndex.from_frame(frame[["person", "year"]])
    return table.stack(future_stack=True).reindex(keys).set_axis(frame.index)
