"""Careers of the National Longitudinal Survey of Youth 1979, by the paper's rules (Appendix F), from raw extracts.

There are two yearly builds, because these extracts hold employment status only to 1998 (and in 2006): `full` is
1980-1998 with the paper's three states without employment; `extended` goes to 2012, with unemployed and out of the
labor force collapsed in every year. `nlsy79_variables` lists the variables, `nlsy79_states` makes the states, and
`survey_steps` the exclusions.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import datasets
import pandas as pd

from ..careers.frames import from_frame
from ..careers.ledger import Ledger
from ..careers.prepared import PreparedCareers
from ..number_ranges import within_ranges
from .nls import NLSExtract, read_folder, round_weights
from .nlsy79_states import apply_states, yearly_person_years
from .nlsy79_variables import (
    ALL_ROUNDS,
    HOUSEHOLD,
    LAST_ENROLLMENT,
    LAST_ROUND,
    ROUNDS,
    STATIC,
    STATUS_ROUNDS,
    WEIGHT,
    Variant,
    covariate_items,
    covers_everyone,
    grade_item,
    grade_years,
    item,
    occupation_item,
    values,
    vintage,
    wanted,
    yearly_items,
)
from .nlsy79_wages import OUTCOMES, add_outcomes, wage_items, yearly_jobs, yearly_work
from .nlsy79_weekly import Weeks, weekly_person_years, weekly_work
from .state_shares import note_state_shares
from .survey_steps import GENDER_OF_CODE, GRADES, REGION_OF_CODE, Rule, SurveySteps, check_rule, reason


RACE = {1: "hispanic", 2: "black", 3: "non_black_non_hispanic"}


def build(
    extract_folder: str | Path, variant: Variant = "full", rule: Rule = "paper", *, wages: bool = False
) -> tuple[datasets.Dataset, Ledger]:
    """Builds careers from NLS Investigator extracts of the NLSY79.

    The state comes first and the occupation second, since people without work report their last occupation. Where
    employment status (ESR_COL, week before the interview) is observed, the state is employed, unemployed, out of the
    labor force, or, if out of the labor force and enrolled in high school or college on May 1 (ENROLLMT), in school.
    Elsewhere (2000-2004 and 2008-2012, `extended` only) it is not working if no week was worked in the past calendar
    year (WKSWK-PCY), or in school if the person was also enrolled. `extended` calls unemployed and out of the labor
    force `not_working` in every year. An employed person's occupation is crosswalked to occ1990dd.

    `weekly` counts the weeks of each calendar year instead (`nlsy79_weekly`), also of the years between interviews,
    and takes the yearly items where an extract has no week of a round's year.

    Args:
        extract_folder: Folder with the extracts, searched with its subfolders.
        variant: "full" (1980-1998), "extended" (1980-2012), or "weekly" (from 1979, the years of the weekly status).
        rule: "paper" for Appendix F, three of whose rules look at later years; "no_lookahead" for the same rules
            applied to what is known by each year (`survey_steps`). The ledger notes both counts.
        wages: Whether to add outcomes log_wage, weekly_hours, experience and schooling, and the label industry
            (`nlsy79_wages`; weekly jobs have no industry). The default is not to, because they need more variables,
            and industry tells who is employed.

    Returns:
        Careers (`career_hf.careers`) with covariates education (by year: last grade known by then), region (first
        observed), race and gender, besides year; `sample` (cross-sectional, supplemental or military sample) for
        reports; and `occupation_vintage`, the Census coding of the year, a function of the year alone, so that
        evaluation can tell changes of coding from moves. Where the extract has them, `group` is the household of 1979
        (HHID), which splits keep together, and `weight` the sampling weight (SAMPWEIGHT) of each round, or that of
        1979 where the extract has no other. The ledger counts people and person-years at every step.

    Raises:
        ValueError: If the variant or rule is unknown, or variables are missing; the message lists what to tick in NLS
            Investigator.
    """
    if variant not in get_args(Variant):
        raise ValueError(f"unknown variant '{variant}' of the NLSY79; choose one of {list(get_args(Variant))}")
    check_rule(rule)
    extract = read_folder(extract_folder, wanted(variant))
    last = LAST_ROUND[variant]
    if variant == "weekly":
        steps, jobs, work, notes = _weekly_steps(extract, wages)
    else:
        steps, jobs, work, notes = _yearly_steps(extract, last, wages)

    apply_states(steps, variant)
    grades = pd.DataFrame({year: values(extract, grade_item(extract, year)) for year in grade_years(last)})
    grades = grades.mask(grades > GRADES["graduate"][1])  # 95 stands for a school without grades
    steps.add_grades(grades.reindex(columns=range(ALL_ROUNDS[0], last + 1)) if variant == "weekly" else grades)
    steps.exclude(rule, unknown_grade="drop")
    steps.add_education("HGC, unrevised, or HGCREV where only that is there")
    steps.add_region(_regions(extract, last), REGION_OF_CODE, "REGION", rule)
    design = _add_static(steps, extract)

    over_time, outcomes = ["education", "occupation_vintage"], []
    if wages:
        steps.frame["schooling"] = steps.frame["known_grade"]
        add_outcomes(steps, jobs, work)
        over_time += ["industry"] if "industry" in steps.frame else []
        outcomes = list(OUTCOMES)
    static = ["region", "race", "gender", "sample"]
    careers = from_frame(
        steps.frame[["person", "year", "occupation", *over_time, *static, *outcomes, *design.values()]],
        covariates=over_time,
        static=static,
        outcomes=outcomes,
        **design,
    )
    for note in [*extract.notes, *notes, *_standing_notes(variant, design)]:
        steps.ledger.note(note)
    note_state_shares(careers, steps.ledger)
    return careers, steps.ledger


@within_ranges
def nlsy79(
    extract: str | Path,
    *,
    variant: Variant = "full",
    rule: Rule = "paper",
    wages: bool = False,
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares careers of the National Longitudinal Survey of Youth 1979; `build` has the details.

    Args:
        extract: Folder with NLS Investigator files, searched with its subfolders.
        variant: "full" (1980-1998), "extended" (1980-2012, with states collapsed), or "weekly" (calendar years by
            their weeks).
        rule: "paper" for the exclusions of Appendix F, "no_lookahead" for those that read no later year.
        wages: Whether to add log wage, hours, experience, schooling and industry.
        salt: Salt of the split.

    Raises:
        ValueError: As `build` does.
    """
    built = build(extract, variant, rule, wages=wages)
    settings = {"variant": variant, "rule": rule, "wages": wages}
    return PreparedCareers.of_careers("nlsy79", built, salt=salt, settings=settings)


# Person-years, pay and hours by person and year, share of each calendar year worked, and notes.
RawSurvey = tuple[SurveySteps, pd.DataFrame, pd.DataFrame, list[str]]


def _yearly_steps(extract: NLSExtract, last: int, wages: bool) -> RawSurvey:
    rounds = [year for year in ROUNDS if year <= last]
    if covers_everyone(extract, occupation_item(1981)) and extract.has(*item("ESR_COL", 1981)):
        rounds.insert(1, 1981)
        note = "1979 is left out: the build starts in 1980"
    else:
        note = (
            "1979 and 1981 are left out: employment status is observed, but occupation (CPSOCC70) is not in this "
            "extract for all people, and keeping only the years without employment would be selective"
        )
    extract.require(covariate_items(last) + yearly_items(rounds) + (wage_items(rounds, last) if wages else []))
    jobs, work = pd.DataFrame(), pd.DataFrame()
    if wages:
        jobs, work = yearly_jobs(extract, rounds), yearly_work(extract, last)
    return SurveySteps(yearly_person_years(extract, rounds)), jobs, work, [note, _coding_note(rounds)]


def _weekly_steps(extract: NLSExtract, wages: bool) -> RawSurvey:
    weeks = Weeks(extract)
    extract.require([item(name) for name in STATIC])
    frame, jobs, week_counts = weekly_person_years(weeks)
    yearly = [
        year
        for year in ROUNDS
        if year in STATUS_ROUNDS - set(weeks.years) and all(extract.has(*needed) for needed in yearly_items([year]))
    ]
    if yearly:
        frame = pd.concat([frame, yearly_person_years(extract, yearly)], ignore_index=True)
    steps = SurveySteps(frame)
    total, known_weeks = sum(week_counts.values()), week_counts.pop("known")
    steps.ledger.record("read weekly status", "person-weeks", total, known_weeks, week_counts, depends_on="past")
    per_year = {len(weeks.weeks[year]) for year in weeks.years}
    notes = [
        f"weekly status of {min(per_year)}-{max(per_year)} weeks a year in {weeks.years[0]}-{weeks.years[-1]}; the "
        f"yearly items in {', '.join(map(str, yearly)) or 'no year'}; weeks of 1978 count for experience only",
        "occupation coding: jobs 1-5 are in Census 1970 codes in the rounds to 2000 and in Census 2000 codes after; "
        "column occupation_vintage says that of the year's round, though a job of 2000 may be reported in 2002",
    ]
    return steps, jobs, weekly_work(weeks) if wages else pd.DataFrame(), notes


def _regions(extract: NLSExtract, last: int) -> pd.DataFrame:
    """Region by person and round; null in rounds that the extract lacks, which the yearly builds refuse."""
    regions = pd.DataFrame(pd.NA, index=extract.people, columns=grade_years(last), dtype="Int64")
    for year in regions:
        if extract.has(*item("REGION", year)):
            regions[year] = values(extract, item("REGION", year))
    return regions


def _add_static(steps: SurveySteps, extract: NLSExtract) -> dict[str, str]:
    """Adds static columns; returns the columns of the survey design that the extract has, by role."""
    frame = steps.frame.copy()
    for column, name, labels in (("race", "SAMPLE_RACE", RACE), ("gender", "SAMPLE_SEX", GENDER_OF_CODE)):
        frame[column] = frame["person"].map(extract.variable(*item(name))).map(labels)
    sample = frame["person"].map(extract.variable(*item("SAMPLE_ID")))
    frame["sample"] = pd.cut(sample, [0, 8, 14, 20], labels=["cross_sectional", "supplemental", "military"]).astype(
        "string"
    )
    # The column is set in every year: null without employment, it would tell a model the state to be predicted.
    frame["occupation_vintage"] = "census" + frame["vintage"].astype("string")
    steps.frame = frame

    design = {}
    if extract.has(*HOUSEHOLD):
        household = frame["person"].map(values(extract, HOUSEHOLD)).astype("string")
        is_alone = household.isna()
        frame["household"] = household.fillna("person " + frame["person"].astype("string"))
        design["group"] = "household"
        altered = {"household not known: alone in it": int(frame.loc[is_alone, "person"].nunique())}
        steps.alter("household of 1979 (HHID)", "people", altered, "static")
    yearly, lacking = round_weights(extract, WEIGHT[0], frame["year"].unique(), ALL_ROUNDS)
    if not lacking:
        cells = pd.MultiIndex.from_frame(frame[["person", "year"]])
        frame["round_weight"] = yearly.stack().reindex(cells).to_numpy()
        design["weight"] = "round_weight"
    elif extract.has(*WEIGHT):
        # Two decimals are implied: a weight of 1 is one person of the population.
        frame["weight_1979"] = frame["person"].map(values(extract, WEIGHT)).astype("Float64") / 100
        no_weight = reason(~frame["weight_1979"].gt(0).fillna(False), "no sampling weight in 1979")
        steps.drop("drop people without a sampling weight", no_weight, "static")
        design["weight"] = "weight_1979"
    return design


def _coding_note(rounds: list[int]) -> str:
    years_by_census: dict[int, list[int]] = {}
    for year in rounds:
        years_by_census.setdefault(vintage(year), []).append(year)
    vintages = ", ".join(
        f"Census {census} codes in {'-'.join(str(year) for year in dict.fromkeys((years[0], years[-1])))}"
        for census, years in years_by_census.items()
    )
    return f"occupation coding: {vintages}; moves across a change are partly recoding (column occupation_vintage)"


def _standing_notes(variant: Variant, design: dict[str, str]) -> list[str]:
    """Facts about the survey that a reader must know, whatever the counts are."""
    households = (
        "people of a household are in one split (column group)"
        if "group" in design
        else "no household ids in this build: siblings may fall in different splits"
    )
    weights = {
        None: "no weights: results are unweighted",
        "weight_1979": "weights are those of 1979 (column weight), because the extract lacks SAMPWEIGHT of some "
        "rounds: they do not correct for who left the panel",
        "round_weight": "weights are those of each round (column weight), 0 for whoever has none in it",
    }[design.get("weight")]
    notes = [
        f"{households}; {weights}; the public file has no strata and no primary sampling units",
        "two oversamples (SAMPLE_ID) were dropped mid-panel, most of the military one after 1984, the poor white one "
        "after 1990: report the cross-sectional sample separately (column sample)",
        "race has the three groups of the public file; the paper's six need items that are not in this extract",
    ]
    if variant != "weekly":
        notes.append("gaps of two years from 1994 on, and wherever a person was not interviewed: a step is not a year")
    if variant == "extended":
        notes += [
            "employment status (week before the interview) to 1998 and in 2006, weeks worked in the past calendar "
            "year in the other rounds from 2000: who worked in any week counts as employed there, so shares are not "
            "comparable across 1998-2000, 2004-2006 and 2006-2008",
            f"in school is not observed after {LAST_ENROLLMENT} (the cohort is over 41 then): later, "
            "whoever is enrolled counts as not working; up to 1998 and in 2006 in school means out of the labor force "
            "and enrolled, in 2000-2004 no weeks worked and enrolled",
            "out of the labor force throughout means: out of the labor force in every round with employment status, "
            "no weeks worked in every other round",
        ]
    return notes
