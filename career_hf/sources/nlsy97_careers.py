"""Careers of the National Longitudinal Survey of Youth 1997, by the paper's rules (Appendix F), from raw extracts.

Each round is one step: yearly from 1997 to 2011, then every second year to 2019. `docs/how_to/nlsy97_psid.md` says
what to download, and which variables have not been checked against an extract yet.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd

from ..careers.frames import from_frame
from ..careers.ledger import Ledger
from ..careers.prepared import PreparedCareers
from ..number_ranges import within_ranges
from ..occupations.crosswalks import NOT_OCCUPATIONS, crosswalk, is_military, map_codes
from .nls import NLSExtract, Wanted, normalise_name, read_folder, round_weights, split_missing
from .nlsy97_variables import (
    ROUNDS,
    Item,
    find_item,
    known_values,
    references,
    roster,
    values_by_round,
    values_of_job,
)
from .nlsy97_wages import WAGE_ITEMS, WAGE_LABELS, add_outcomes, wage_items
from .state_shares import note_state_shares
from .survey_steps import GENDER_OF_CODE, GRADES, REGION_OF_CODE, Rule, SurveySteps, check_rule, reason
from .survey_wages import WAGE_OUTCOMES, WAGE_RANGE, WageRules, refuse_without_wages


OLDEST_TOO_YOUNG = 18
# The public file codes the occupations of every round by the Census list of 2002 (YEMP_OCCODE-2002).
VINTAGE = 2002
WEEKS = 52

# Larger weekly statuses are numbers of employers; 0 and 3 leave the week's status open.
FIRST_EMPLOYER = 9701
NOT_SEARCHING, NOT_WORKING, UNEMPLOYED, OUT_OF_LABOR_FORCE, MILITARY = 1, 2, 4, 5, 6
ENROLLED = (8, 9, 10, 11)  # in high school, a 2-year college, a 4-year college, a graduate program
SAMPLE = {0: "supplemental", 1: "cross_sectional"}
DESIGN = {"weight": "SAMPLING_WEIGHT_CC", "stratum": "VSTRAT", "psu": "VPSU", "group": "SIDCODE"}


def build(
    extract_folder: str | Path,
    *,
    rule: Rule = "paper",
    wages: bool = False,
    wage_range: tuple[float, float] = WAGE_RANGE,
    prices: str | Path | None = None,
) -> tuple[datasets.Dataset, Ledger]:
    """Builds careers from NLS Investigator extracts of the NLSY97.

    The state comes first and the occupation second. Where all weeks of a round's calendar year are in the extract
    (EMP_STATUS), the state of the year is that of most weeks with a known status: working for employers, not working,
    or military service; of ties, the first of these. Not working is unemployed if there are more weeks of unemployment
    than weeks out of the labor force. Elsewhere the yearly item decides (CVC_WKSWK_YR_ALL, weeks worked in the
    calendar year): without any, the state is not working. If this happens in any year, unemployed and out of the labor
    force are called `not_working` in every year. People who are out of the labor force (or not working) and enrolled
    at the interview (CV_ENROLLSTAT) are in school.

    The occupation is that of the employer with most weeks of the year, found on the round's roster (YEMP_UID), else
    that of the main job at the interview (CV_MAINJOB_FLG).

    Args:
        extract_folder: Folder with the extracts, searched with its subfolders.
        rule: "paper" for the exclusions of Appendix F, "no_lookahead" for those that read no later year.
        wages: Whether to add the terms of Blau and Kahn (2017) that these extracts hold (`nlsy97_wages`): outcomes
            log_wage, schooling, experience, full_time_experience and part_time_experience, and labels industry,
            government and metropolitan. The default is not to, because they need more variables and the labels tell
            who is employed.
        wage_range: Lowest and highest hourly pay, in dollars of 1983; log_wage is missing outside of it. The default
            is that of Blau and Kahn's work with the PSID.
        prices: CSV file with columns year and index, by which pay becomes dollars of 2010; None for the CPI-U.

    Returns:
        Careers with covariates education (by year), region, race and gender; `sample` for reports; outcomes
        `hourly_wage` (nominal dollars) and `weekly_hours` of the year's job; and, where the extract has them, `weight`
        (of each round, or of the first where the extract has no other), `stratum`, `psu` and `group` (the household of
        1997). The ledger counts every step.

    Raises:
        ValueError: If the rule is unknown, the range or the prices are none, or are given without `wages`, the extract
            is damaged, variables are missing (the message lists what to tick in NLS Investigator), or nobody is left.
    """
    check_rule(rule)
    wage_rules = WageRules.of(prices, wage_range)
    if not wages:
        refuse_without_wages(wage_range=wage_rules.wage_range != WAGE_RANGE, prices=prices is not None)
    extract = read_folder(extract_folder, _wanted())
    weekly = {year: _weeks(extract, year) for year in ROUNDS}
    extract.require(_variables(extract, weekly) + (wage_items(extract) if wages else []))
    collapsed = not all(weekly.values())

    steps = SurveySteps(pd.concat([_round(extract, year, weekly[year]) for year in ROUNDS], ignore_index=True))
    _apply_states(steps, collapsed)
    grades = values_by_round(extract, "CV_HGC_EVER_EDT|CV_HGC_EVER")
    grades = grades.mask(grades > GRADES["graduate"][1])  # 95 stands for a school without grades
    steps.add_grades(grades)
    steps.exclude(rule, unknown_grade="keep")
    steps.add_education("CV_HGC_EVER_EDT")
    steps.add_region(values_by_round(extract, "CV_CENSUS_REGION"), REGION_OF_CODE, "CV_CENSUS_REGION", rule)
    over_time, outcomes = ["education"], ["hourly_wage", "weekly_hours"]
    if wages:
        add_outcomes(steps, extract, wage_rules)
        over_time += [label for label in WAGE_LABELS if label in steps.frame]
        outcomes += WAGE_OUTCOMES
    design = _add_static(steps, extract)

    static = ["region", "race", "gender", "sample"]
    careers = from_frame(
        steps.frame[["person", "year", "occupation", *over_time, *static, *outcomes, *design]],
        covariates=over_time,
        static=static,
        outcomes=outcomes,
        **design,
    )
    for note in [*extract.notes, *_standing_notes(extract, weekly, collapsed)]:
        steps.ledger.note(note)
    note_state_shares(careers, steps.ledger)
    return careers, steps.ledger


@within_ranges
def nlsy97(
    extract: str | Path,
    *,
    rule: Rule = "paper",
    wages: bool = False,
    wage_range: tuple[float, float] = WAGE_RANGE,
    prices: str | Path | None = None,
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares careers of the National Longitudinal Survey of Youth 1997; `build` has the details.

    Args:
        extract: Folder with NLS Investigator files, searched with its subfolders.
        rule: "paper" for the exclusions of Appendix F, "no_lookahead" for those that read no later year.
        wages: Whether to add log wage, schooling, experience, industry, government and metropolitan area.
        wage_range: Lowest and highest hourly pay, in dollars of 1983.
        prices: CSV file with columns year and index; None for the CPI-U.
        salt: Salt of the split.

    Raises:
        ValueError: As `build` does.
    """
    built = build(extract, rule=rule, wages=wages, wage_range=wage_range, prices=prices)
    settings: dict[str, Any] = {"rule": rule, "wages": wages}
    if wages:
        settings |= {"wage_range": wage_range, "prices": "CPI-U" if prices is None else Path(prices).name}
    return PreparedCareers.of_careers("nlsy97", built, salt=salt, settings=settings)


def _week_items(year: int) -> list[Item]:
    return [
        (f"EMP_STATUS_{year}.{week:02d}", None, f"E001{year - 1980:02d}{week:02d}") for week in range(1, WEEKS + 2)
    ]


def _wanted() -> Wanted:
    """All variables that a build may read."""
    names = {normalise_name(name) for names, _ in references() for name in names.split("|")}
    # Items of the employer roster end in the number of the job.
    patterns = {re.sub(r"_\d\d$", r"_\\d\\d", name) for name in names}
    patterns |= {r"YEMP_UID_\d\d", r"CVC_WKSWK_YR_ALL_\d\d", r"EMP_STATUS_\d{4}_\d\d", *WAGE_ITEMS}
    weekly = {reference for year in ROUNDS for _, _, reference in _week_items(year) if reference is not None}
    return Wanted("|".join(sorted(patterns)), weekly | set(references().values()))


def _weeks(extract: NLSExtract, year: int) -> list[Item]:
    """The 52 or 53 weekly items of a year; none if the extract has none of them."""
    numbered = _week_items(year)
    items_held = [item for item in numbered if extract.has(*item)]
    # If the extract has only some weeks, all are required, so that the error names the missing ones.
    return numbered[: max(WEEKS, len(items_held))] if items_held else []


def _weeks_worked(year: int) -> Item:
    return f"CVC_WKSWK_YR_ALL.{year % 100:02d}", None, None


def _variables(extract: NLSExtract, weekly: dict[int, list[Item]]) -> list[Item]:
    static = ("KEY!SEX", "KEY!BDATE_Y", "KEY!RACE_ETHNICITY", "KEY!RACE", "CV_SAMPLE_TYPE")
    yearly = (
        "YEMP_OCCODE-2002.01",
        "CV_MAINJOB_FLG",
        "CV_ENROLLSTAT_EDT|CV_ENROLLSTAT",
        "CV_HGC_EVER_EDT|CV_HGC_EVER",
        "CV_CENSUS_REGION",
    )
    items = [find_item(extract, name, 1997) for name in static]
    items += [find_item(extract, name, year) for name in yearly for year in ROUNDS]
    return items + [item for year, weeks in weekly.items() for item in weeks or [_weeks_worked(year)]]


def _round(extract: NLSExtract, year: int, weeks: list[Item]) -> pd.DataFrame:
    """State, occupation code, pay and hours of every person in one round, before anybody is dropped."""
    people = extract.people
    enrollment, absent = split_missing(
        extract.variable(*find_item(extract, "CV_ENROLLSTAT_EDT|CV_ENROLLSTAT", year)).reindex(people)
    )
    state, unknown_state, employer = _weekly_state(extract, weeks) if weeks else _yearly_state(extract, year)
    flag, flag_missing = split_missing(extract.variable(*find_item(extract, "CV_MAINJOB_FLG", year)).reindex(people))
    # The main job of people who do not work is their last one.
    matched = _job_on_roster(employer, roster(extract, "YEMP_UID", year))
    job = matched.fillna(flag)
    codes = roster(extract, "YEMP_OCCODE-2002", year)
    code, code_missing = split_missing(values_of_job(codes, job))
    is_lacking = job.notna() & ~job.isin(codes.columns)
    code_missing = code_missing.mask(job.isna(), "no main job: " + flag_missing)
    code_missing = code_missing.mask(is_lacking, "the extract lacks job " + job.astype("string"))
    part = {
        "person": people,
        "year": year,
        "age": year - known_values(extract, find_item(extract, "KEY!BDATE_Y", 1997)),
        "absent": absent.where(absent.isin(["not interviewed", "not in the extract"])),
        "state": state,
        "unknown": unknown_state,
        "enrolled": enrollment.isin(ENROLLED),
        "job": job,
        "matched": matched.notna(),
        "code": code,
        "code_missing": code_missing,
        "hourly_wage": _positive(values_of_job(roster(extract, "CV_HRLY_PAY", year), job)) / 100,
        "weekly_hours": _positive(values_of_job(roster(extract, "CV_HRS_PER_WEEK", year), job)),
    }
    return pd.DataFrame(part)


def _weekly_state(extract: NLSExtract, weeks: list[Item]) -> tuple[pd.Series, pd.Series, pd.Series]:
    """State by most weeks; the reason where it is unknown; the employer with most weeks, of ties the first one."""
    people = extract.people
    status = np.column_stack([extract.variable(*item).reindex(people).fillna(-5).to_numpy(int) for item in weeks])

    def count(*codes: int) -> np.ndarray:
        return np.isin(status, codes).sum(axis=1)

    employed, military, unemployed = (status >= FIRST_EMPLOYER).sum(axis=1), count(MILITARY), count(UNEMPLOYED)
    out, unspecified = count(NOT_SEARCHING, OUT_OF_LABOR_FORCE), count(NOT_WORKING)
    weeks_spent = np.column_stack([employed, out + unemployed + unspecified, military])
    longest = np.where(weeks_spent.any(axis=1), weeks_spent.argmax(axis=1), -1)
    idle = np.where(unemployed > out, "unemployed", np.where(out > 0, "out_of_labor_force", "not_working"))
    state = np.select([longest == 0, longest == 1, longest == 2], ["employed", idle, "military"], default="")
    state = pd.Series(state, index=people, dtype="string")
    state = state.mask(state.eq(""))
    unknown_state = reason(state.isna(), "no week with a known status")

    person, week = np.nonzero(status >= FIRST_EMPLOYER)
    spells = pd.DataFrame({"person": people[person], "employer": status[person, week], "week": week})
    by_employer = spells.groupby(["person", "employer"])["week"].agg(["size", "min"]).reset_index()
    first = by_employer.sort_values(["size", "min"], ascending=[False, True]).drop_duplicates("person")
    return state, unknown_state, first.set_index("person")["employer"].reindex(people).astype("Int64")


def _yearly_state(extract: NLSExtract, year: int) -> tuple[pd.Series, pd.Series, pd.Series]:
    """State by weeks worked in the calendar year, which only tell whether a person was employed; no employer."""
    weeks, missing = split_missing(extract.variable(*_weeks_worked(year)).reindex(extract.people))
    state = weeks.gt(0).map({True: "employed", False: "not_working"}).astype("string")
    return state, "weeks worked: " + missing, pd.Series(pd.NA, index=extract.people, dtype="Int64")


def _job_on_roster(employer: pd.Series, numbers: pd.DataFrame) -> pd.Series:
    """The employer's job number on the round's roster; null if it is not there, as when the job began later."""
    is_employer = numbers.eq(employer.astype("float"), axis=0)
    if is_employer.empty:
        return pd.Series(pd.NA, index=employer.index, dtype="Int64")
    return is_employer.idxmax(axis=1).where(is_employer.any(axis=1)).astype("Int64")


def _positive(values: pd.Series) -> pd.Series:
    return values.where(values > 0).astype("Float64")


def _apply_states(steps: SurveySteps, collapsed: bool) -> None:
    """Drops years without an interview, before age 19, without a known state, or military; adds the occupation."""
    steps.drop("keep rounds with an interview", steps.frame["absent"], "past")
    young = reason(
        ~steps.frame["age"].gt(OLDEST_TOO_YOUNG).fillna(False), f"turns {OLDEST_TOO_YOUNG} or less, or no birth year"
    )
    steps.drop(f"keep people over {OLDEST_TOO_YOUNG}", young, "past")
    frame = steps.frame
    ambiguous = reason(
        frame["state"].eq("not_working") & (not collapsed), "unemployed or out of the labor force unknown"
    )
    steps.drop("keep years with a known employment state", frame["unknown"].fillna(ambiguous), "past")

    frame = steps.frame.copy()
    idle = frame["state"].isin(["unemployed", "out_of_labor_force", "not_working"])
    if collapsed:
        frame["state"] = frame["state"].mask(idle, "not_working")
    in_school = frame["enrolled"] & frame["state"].isin(["out_of_labor_force", "not_working"])
    frame["state"] = frame["state"].mask(in_school, "in_school")
    employed = frame["state"].eq("employed")
    steps.frame = frame
    altered = {
        "not employed although an occupation is reported: occupation not used": int(
            (idle & frame["code"].notna()).sum()
        ),
        "not searching for work and enrolled: in school": int(in_school.sum()),
        "employed: occupation of the employer with most weeks": int((employed & frame["matched"]).sum()),
        "employed: occupation of the main job at the interview": int((employed & ~frame["matched"]).sum()),
    }
    steps.alter("state before occupation", "person-years", altered, "past")

    mapped, _ = map_codes(frame["code"].where(frame["code"] < 10_000), VINTAGE)
    steps.frame = frame.assign(occ1990dd=mapped)
    military = reason(frame["state"].eq("military"), "employment status: active military service")
    by_code = reason(employed & is_military(frame["code"], VINTAGE), "occupation code of the armed forces")
    steps.drop("drop military years", military.fillna(by_code), "past")
    frame = steps.frame
    no_code = frame["state"].eq("employed") & frame["code"].isna()
    steps.drop(
        "drop employed years without an occupation", reason(no_code, "occupation: " + frame["code_missing"]), "past"
    )
    frame = steps.frame
    unmapped = frame["state"].eq("employed") & frame["occ1990dd"].isna()
    # 9920, without an occupation, is in both lists.
    in_2010 = crosswalk(2010)
    only_2010 = frame["code"].isin(in_2010.index[~in_2010.isin(NOT_OCCUPATIONS)]) & unmapped
    if only_2010.any():
        steps.ledger.note(
            f"warning: {int(only_2010.sum())} occupation codes are in the Census list of 2010 and not in that of 2002 "
            "which the item's name promises: look at the codebook of these rounds: "
            f"{sorted(frame.loc[only_2010, 'year'].unique().tolist())}"
        )
    label = f"Census {VINTAGE} code " + frame["code"].astype("string")
    steps.drop("drop occupation codes without an occ1990dd occupation", reason(unmapped, label), "past")

    frame = steps.frame
    employed = frame["state"].eq("employed")
    steps.frame = frame.assign(
        occupation=frame["occ1990dd"].where(employed, frame["state"]),
        out=frame["state"].isin(["out_of_labor_force", "not_working"]),
        hourly_wage=frame["hourly_wage"].where(employed),
        weekly_hours=frame["weekly_hours"].where(employed),
    )


def _add_static(steps: SurveySteps, extract: NLSExtract) -> dict[str, str]:
    """Adds static columns; returns the columns of the survey design that everybody has, by role."""

    def static_values(name: str) -> pd.Series:
        return steps.frame["person"].map(known_values(extract, find_item(extract, name, 1997)))

    group, race = static_values("KEY!RACE_ETHNICITY"), static_values("KEY!RACE")
    # The groups do not tell white from Asian or Native American; the first question on race does.
    names = pd.Series("other", index=steps.frame.index, dtype="string")
    names = names.mask(group.eq(4) & race.eq(1), "white").mask(group.eq(1), "black").mask(group.eq(2), "hispanic")
    steps.frame = steps.frame.assign(
        race=names,
        gender=static_values("KEY!SEX").map(GENDER_OF_CODE),
        sample=static_values("CV_SAMPLE_TYPE").map(SAMPLE),
    )
    design = {}
    yearly, rounds_lacking = round_weights(extract, DESIGN["weight"], steps.frame["year"].unique(), ROUNDS)
    if not rounds_lacking:
        cells = pd.MultiIndex.from_frame(steps.frame[["person", "year"]])
        steps.frame = steps.frame.assign(weight=yearly.stack().reindex(cells).to_numpy())
        design["weight"] = "weight"
        steps.ledger.note("weights are those of each round (column weight), 0 for whoever has none in it")
    for role, name in DESIGN.items():
        if role in design:
            continue
        item = find_item(extract, name, 1997)
        if not extract.has(*item):
            steps.ledger.note(f"no {role} in these careers: {name} ({item[2]}, 1997) is not in the extract")
            continue
        values = static_values(name)
        values = values.where(values > 0) / 100 if role == "weight" else values  # two decimals are implied
        if role == "psu" and "stratum" in design:
            values = steps.frame["stratum"].astype("string") + "-" + values.astype("string")
        lacking = steps.frame.loc[values.isna(), "person"].nunique()
        if lacking:
            steps.ledger.note(f"no {role} in these careers: {name} is missing for {lacking} people")
        else:
            steps.frame = steps.frame.assign(**{role: values})
            design[role] = role
    return design


def _standing_notes(extract: NLSExtract, weekly: dict[int, list[Item]], collapsed: bool) -> list[str]:
    """Facts about the survey that a reader must know, whatever the counts are."""
    notes = [
        "occupation coding: Census 2002 codes in all rounds, by the name of the item (YEMP_OCCODE-2002)",
        f"over {OLDEST_TOO_YOUNG}: by the age that a person reaches in the calendar year of the round",
        "Appendix F names the rule of 9 years of schooling for the NLSY79 and the PSID only, and calls the NLSY97's "
        "preprocessing similar: the ledger counts it apart",
        "steps are two years apart from 2011 on, and longer wherever a person was not interviewed",
    ]
    if collapsed:
        years = ", ".join(str(year) for year, weeks in weekly.items() if not weeks)
        notes.append(
            f"no weekly status (EMP_STATUS) in this extract for {years}: weeks worked in the calendar year say "
            "employed or not, no more, so unemployed and out of the labor force are 'not_working' in every year"
        )
    for name in ("YEMP_UID.01", "CV_HRLY_PAY.01", "CV_HRS_PER_WEEK.01"):
        lacking = [year for year in ROUNDS if not extract.has(*find_item(extract, name, year))]
        if lacking:
            notes.append(f"{name} is not in the extract for {len(lacking)} of {len(ROUNDS)} rounds: {lacking}")
    return notes
