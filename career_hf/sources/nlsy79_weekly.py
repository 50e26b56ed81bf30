"""Yearly states of the NLSY79 from its weekly labor force status, and the pay and hours of the year's job.

Every week belongs to a job, to unemployment, to being out of the labor force (in school where the person was enrolled
in that month), or to the armed forces. The state of a year is the one with most weeks, and the occupation of an
employed person the one with most weeks of that year; of equal counts, the one that came first. An extract that holds
only some weeks of each year is counted by these. Variables are found by question name, so the extract needs its .sdf.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict

import numpy as np
import pandas as pd

from ..occupations.crosswalks import is_military, map_codes
from .nls import NLSExtract, split_missing
from .nlsy79_states import ENROLLED, STATUS, three_digits
from .nlsy79_variables import ALL_ROUNDS


# Weeks run from Sunday to Saturday, and week 1 began on this day. The survey began in the second year.
FIRST_WEEK = datetime.date(1978, 1, 1)
FIRST_YEAR = 1979
# Larger statuses are the number of the round (1 in 1979) times 100 plus the number of the job in that round.
FIRST_JOB = 100
MOST_JOBS = 5
UNKNOWN_WEEKS = {0: "0: no information", 3: "3: gap between jobs whose dates are unknown"}
KINDS = {2: "not_working", 4: "unemployed", 5: "out_of_labor_force", 7: "military"}
NUMBER = {state: number for number, state in STATUS.items()}
FULL_TIME_HOURS = 35
MAX_HOURS = 168


class Weeks:
    """Weekly items of an extract.

    Args:
        extract: An extract with STATUS_WK_NUM variables, and HRS_WORKED_WK_NUM where hours are wanted.

    Raises:
        ValueError: If the extract has no weekly status, or none that an .sdf or .cdb file describes.
    """

    def __init__(self, extract: NLSExtract) -> None:
        self.extract = extract
        self.status = _references_by_week(extract, "STATUS_WK_NUM")
        self.hours = _references_by_week(extract, "HRS_WORKED_WK_NUM")
        if not self.status:
            raise ValueError(
                "no file of the extract holds a weekly status (STATUS_WK_NUM0001 and on) that an .sdf or .cdb file "
                "describes: upload the tagset nlsy79_weekly.NLSY79 to NLS Investigator, and put the data file with "
                "its .sdf beside the others"
            )
        self.weeks: dict[int, list[int]] = defaultdict(list)
        for week in sorted(self.status):
            self.weeks[start_of_week(week).year].append(week)

    @property
    def years(self) -> list[int]:
        """Calendar years with any week in the extract, from the survey's first year on."""
        return [year for year in self.weeks if year >= FIRST_YEAR]

    def long(self, year: int) -> pd.DataFrame:
        """Makes one row per person and week of a year: person, week, status and hours (null where not known)."""
        people, weeks = self.extract.people, self.weeks[year]
        hours = self._values([self.hours.get(week) for week in weeks])
        columns = {"person": people.repeat(len(weeks)), "week": np.tile(weeks, len(people))}
        columns |= {"status": self._values([self.status[week] for week in weeks])}
        return pd.DataFrame(columns | {"hours": hours.where(hours.between(1, MAX_HOURS))})

    def _values(self, references: list[str | None]) -> pd.Series:
        """Values of several variables, person by person; null where missing or not in the extract."""
        tables = self.extract.tables.values()
        columns = []
        for reference in references:
            table = next((table for table in tables if reference in table.columns), None)
            column = pd.Series(dtype=float) if table is None else table[reference]
            columns.append(column.reindex(self.extract.people).to_numpy(dtype=float))
        values = np.column_stack(columns).ravel()
        return pd.Series(np.where(values >= 0, values, np.nan)).astype("Int64")


def start_of_week(week: int) -> datetime.date:
    """The Sunday on which a week begins; the survey counts the week in the year of this day."""
    return FIRST_WEEK + datetime.timedelta(weeks=week - 1)


def _references_by_week(extract: NLSExtract, name: str) -> dict[int, str]:
    """Reference number by number of the week."""
    return {int(variable.question_name[-4:]): variable.reference for variable in extract.matching(rf"{name}\d{{4}}")}


def weekly_person_years(weeks: Weeks) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Makes person-years with their state by most weeks, in the columns of `yearly_person_years`.

    Returns:
        The person-years; pay (cents) and hours of the year's job in the columns of `nlsy79_wages.yearly_jobs`, without
        industry; and the number of weeks by what is known about them, for the ledger.
    """
    enrolled, jobs = _enrollment(weeks.extract, weeks.years), _jobs(weeks.extract)
    frames, pays = [], []
    counts: dict[str, int] = defaultdict(int)
    for year in weeks.years:
        long = weeks.long(year)
        weeks_held = long.groupby("person")["status"].count()
        for status, text in UNKNOWN_WEEKS.items():
            counts[text] += int(long["status"].eq(status).sum())
        counts["missing, or the person is not in the weekly file"] += int(long["status"].isna().sum())
        long["kind"] = _week_kinds(long, enrolled)
        counts["known"] += int(long["kind"].notna().sum())

        kind_of_year = _most_frequent(long.dropna(subset=["kind"]), "kind")["kind"].reindex(weeks.extract.people)
        at_work = long[long["kind"].eq("employed")].rename(columns={"status": "job"})
        at_work = at_work.merge(jobs, on=["person", "job"], how="left")
        at_work["code_missing"] = at_work["code_missing"].fillna(_unknown_job(at_work)).where(at_work["code"].isna())
        at_work["label"] = at_work["occ1990dd"].fillna(at_work["code_label"]).fillna(at_work["code_missing"])
        label = _most_frequent(at_work, "label")["label"]
        in_label = at_work[at_work["label"].eq(at_work["person"].map(label))]
        job = _most_frequent(in_label, "job").drop(columns=["week", "count"])
        job["hours"] = in_label.groupby("person")["hours"].mean().astype("Float64")

        frame = job.reindex(weeks.extract.people)
        kind = kind_of_year.astype("object")
        # As in the survey's yearly items, in school is out of the labor force and enrolled.
        frame["status"] = kind.replace("in_school", "out_of_labor_force").map(NUMBER).astype("Int64")
        frame["enrolled"] = kind.eq("in_school")
        frame["status_missing"] = pd.Series(pd.NA, index=frame.index, dtype="string")
        missing = frame["status"].isna()
        no_week = frame.index.map(weeks_held).to_numpy() == 0
        frame.loc[missing, "status_missing"] = "no week with a known status"
        frame.loc[missing & kind.eq("not_working"), "status_missing"] = (
            "not working, unemployed or out of the labor force not known"
        )
        frame.loc[missing & no_week, "status_missing"] = "not in the extract"
        frame["year"], frame["by_status"] = year, True
        frame["vintage"] = job_vintage(year)
        frame["military_code"] = frame["military_code"].astype("boolean").fillna(False).astype(bool)
        frame["code_missing"] = frame["code_missing"].astype("string")
        frame["occ1990dd"] = frame["occ1990dd"].astype("string")
        frame = frame.reset_index()
        frame["hours_missing"] = "no hours in these weeks"
        frame["hours_missing"] = frame["hours_missing"].astype("string").where(frame["hours"].isna())
        pays.append(frame[["person", "year", "pay", "pay_missing", "hours", "hours_missing"]])
        frames.append(frame.drop(columns=["job", "label", "pay", "pay_missing", "hours", "hours_missing", "kind"]))
    return pd.concat(frames, ignore_index=True), pd.concat(pays, ignore_index=True), dict(counts)


def weekly_work(weeks: Weeks) -> pd.DataFrame:
    """Computes the share of each calendar year worked, by person (rows) and year (columns), null if no week is known.

    A week of work counts fully from 35 hours at all jobs on, and in proportion below; it counts fully where hours are
    not known, or were spent in the armed forces.
    """
    shares = {}
    for year in weeks.weeks:
        long = weeks.long(year)
        worked = long["status"].ge(FIRST_JOB) | long["status"].eq(7)
        is_known = long["status"].notna() & ~long["status"].isin(UNKNOWN_WEEKS)
        share = (long["hours"].astype("Float64") / FULL_TIME_HOURS).clip(upper=1).fillna(1.0)
        long["share"] = share.where(worked.fillna(False), 0.0).where(is_known)
        shares[year] = long.groupby("person")["share"].mean()
    return pd.DataFrame(shares)


def job_vintage(year: int) -> int:
    """Census year of the codes of jobs 1-5: 1970 in rounds to 2000 (also in 1993, which has no label), then 2000."""
    return 1970 if year <= 2000 else 2000


def _week_kinds(long: pd.DataFrame, enrolled: pd.Series) -> pd.Series:
    kind = long["status"].map(KINDS).astype("object").mask(long["status"].ge(FIRST_JOB).fillna(False), "employed")
    out = kind.eq("out_of_labor_force")
    months = long.loc[out, "week"].map(lambda week: start_of_week(week).replace(day=1))
    person_months = pd.MultiIndex.from_arrays([long.loc[out, "person"], months])
    in_school = enrolled.reindex(person_months, fill_value=False).to_numpy(dtype=bool)
    kind.loc[out] = np.where(in_school, "in_school", "out_of_labor_force")
    return kind


def _most_frequent(long: pd.DataFrame, column: str) -> pd.DataFrame:
    """Each person's row with the most frequent value of a column; of equal counts, that of the earliest week."""
    first = long.sort_values("week", kind="stable").drop_duplicates(["person", column])
    first = first.assign(count=long.groupby(["person", column])["week"].transform("size").reindex(first.index))
    return first.sort_values(["count", "week"], ascending=[False, True]).drop_duplicates("person").set_index("person")


def _unknown_job(at_work: pd.DataFrame) -> pd.Series:
    is_above = at_work["job"].mod(FIRST_JOB).gt(MOST_JOBS)
    texts = np.where(is_above, f"job number above {MOST_JOBS}", "job not in the extract")
    return pd.Series(texts, index=at_work.index, dtype="string")


def _jobs(extract: NLSExtract) -> pd.DataFrame:
    """Reads occupation and pay of all jobs of all rounds: person, job (numbered as in weekly status), code, pay."""
    parts = []
    for number, year in enumerate(ALL_ROUNDS, 1):
        for n in range(1, MOST_JOBS + 1):
            raw = _job_code(extract, year, n)
            if raw is None:
                continue
            code, code_missing = split_missing(raw)
            code = three_digits(code, (f"OCCALL-EMP.0{n}", year, None))
            vintage = job_vintage(year)
            part = {"person": raw.index, "job": number * FIRST_JOB + n, "code": code, "code_missing": code_missing}
            part |= {"occ1990dd": map_codes(code, vintage)[0], "military_code": is_military(code, vintage)}
            part |= {"code_label": f"Census {vintage} code " + code.astype("string")}
            pay = pd.Series(pd.NA, index=raw.index, dtype="Int64")
            pay_missing = pd.Series("not in the extract", index=raw.index, dtype="string")
            if extract.has(f"HRP{n}", year):
                pay, pay_missing = split_missing(extract.variable(f"HRP{n}", year).reindex(raw.index))
            parts.append(pd.DataFrame(part | {"pay": pay, "pay_missing": pay_missing}))
    if not parts:
        raise ValueError(
            "no file of the extract holds the occupation of a job (OCCALL-EMP.01 to OCCALL-EMP.05) with an .sdf that "
            "says so: upload the tagset nlsy79_weekly.NLSY79 to NLS Investigator"
        )
    return pd.concat(parts, ignore_index=True)


def _job_code(extract: NLSExtract, year: int, n: int) -> pd.Series | None:
    """Occupation code of a job; where it was skipped because the job is the current one, the current job's code."""
    name, current = f"OCCALL-EMP.0{n}", ("CPSOCC70", year)
    codes = extract.variable(name, year) if extract.has(name, year) else None
    if not extract.has(*current):
        return codes
    current_codes = extract.variable(*current)
    if codes is None:
        # The rounds of 1979 and 1993 ask about jobs 2-5 only: job 1 is the current or most recent one.
        return current_codes if n == 1 else None
    if extract.has(f"QES-52.0{n}", year):
        is_current = extract.variable(f"QES-52.0{n}", year).reindex(codes.index).eq(1)
        codes = codes.mask(codes.lt(0) & is_current, current_codes.reindex(codes.index))
    return codes


def _enrollment(extract: NLSExtract, years: list[int]) -> pd.Series:
    """Tells who was enrolled, by person and month (its first day).

    Rounds number months from January of the year of the round before (1999 in the round of 2002). Where no round
    reports a month of a year, the yearly item decides (enrolled in high school or college on May 1).
    """
    months: dict[datetime.date, pd.Series] = {}
    for variable in extract.matching(r"Q3-1AA?~\d{6}"):
        survey = int(variable.year)
        month_number = int(re.split("~", variable.question_name)[1]) - 1
        start = 1999 if survey == 2002 else ALL_ROUNDS[ALL_ROUNDS.index(survey) - 1]
        first_day = datetime.date(start + month_number // 12, month_number % 12 + 1, 1)
        values = extract.variable(variable.question_name, survey).reindex(extract.people).gt(0)
        months[first_day] = months[first_day] | values if first_day in months else values
    for year in years:
        for name in ("ENROLLMT", f"ENROLLMTREV{year % 100:02d}"):
            if extract.has(name, year):
                yearly = extract.variable(name, year).reindex(extract.people).isin(ENROLLED)
                for month in range(1, 13):
                    months.setdefault(datetime.date(year, month, 1), yearly)
                break
    return pd.DataFrame(months, index=extract.people).stack(future_stack=True)
