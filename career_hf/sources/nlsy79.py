"""Careers of the National Longitudinal Survey of Youth 1979, by the paper's rules (Appendix F), from raw extracts.

Two builds, because these extracts hold employment status only to 1998 (and in 2006): `full` is 1980-1998 with the
paper's three states without employment; `extended` goes to 2012, with unemployed and out of the labor force collapsed
in every year. What is read is in `nlsy79_variables`, states are in `nlsy79_states`, exclusions in `survey_steps`.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import datasets
import pandas as pd

from ..careers import from_frame, to_frame
from ..ledger import Ledger
from .nls import NLSExtract, read_folder
from .nlsy79_states import NOT_EMPLOYED, apply_states, yearly_person_years
from .nlsy79_variables import (
    LAST_ENROLLMENT,
    LAST_ROUND,
    ROUNDS,
    Variant,
    by_year,
    covariate_items,
    covers_everyone,
    grade_years,
    item,
    occupation_item,
    vintage,
    yearly_items,
)
from .nlsy79_wages import OUTCOMES, add_outcomes, wage_items, yearly_jobs, yearly_work
from .survey_steps import EDUCATION, Rule, SurveySteps, check_rule


REGION = {1: "northeast", 2: "northcentral", 3: "south", 4: "west"}
RACE = {1: "hispanic", 2: "black", 3: "non_black_non_hispanic"}
GENDER = {1: "male", 2: "female"}
SHARE_JUMP = 0.05


def build(
    extract_folder: str | Path, variant: Variant = "full", rule: Rule = "paper", *, wages: bool = False
) -> tuple[datasets.Dataset, Ledger]:
    """Builds careers from NLS Investigator extracts of the NLSY79.

    The state comes first and the occupation second, since people without work report their last occupation. Where
    employment status (ESR_COL, week before the interview) is observed: employed, unemployed, out of the labor force,
    or, if out of the labor force and enrolled in high school or college on May 1 (ENROLLMT), in school. Where it is
    not (2000-2004 and 2008-2012, `extended` only): not working if no week was worked in the past calendar year
    (WKSWK-PCY), in school if enrolled besides. `extended` calls unemployed and out of the labor force `not_working` in
    every year. An employed person's occupation is crosswalked to occ1990dd.

    Args:
        extract_folder: Folder with the extracts, searched with its subfolders.
        variant: "full" (1980-1998) or "extended" (1980-2012).
        rule: "paper" for Appendix F, three of whose rules look at later years; "no_lookahead" for the same rules
            applied to what is known by each year (`survey_steps`). The ledger notes both counts.
        wages: Whether to add outcomes log_wage, weekly_hours, experience and schooling, and the label industry
            (`nlsy79_wages`). Not by default: they need more variables, and industry says who is employed.

    Returns:
        Careers (`career_hf.careers`) with covariates education (by year: last grade known by then), region (first
        observed), race and gender, besides year; `sample` (cross-sectional, supplemental or military sample) for
        reports; and `occupation_vintage`, the Census coding of the round, a function of the year alone, so that
        evaluation can tell changes of coding from moves. And the ledger, which counts people and person-years at every
        step.

    Raises:
        ValueError: If the variant or rule is unknown, or variables are missing; the message lists what to tick in NLS
            Investigator.
    """
    if variant not in get_args(Variant):
        raise ValueError(f"unknown variant '{variant}' of the NLSY79; choose one of {list(get_args(Variant))}")
    check_rule(rule)
    extract = read_folder(extract_folder)
    last = LAST_ROUND[variant]
    rounds = [year for year in ROUNDS if year <= last]
    notes = list(extract.notes)
    if covers_everyone(extract, occupation_item(1981)) and extract.has(*item("ESR_COL", 1981)):
        rounds.insert(1, 1981)
        notes.append("1979 is left out: the build starts in 1980")
    else:
        notes.append(
            "1979 and 1981 are left out: employment status is observed, but occupation (CPSOCC70) is not in this "
            "extract for all people, and keeping only the years without employment would be selective"
        )
    extract.require(covariate_items(last) + yearly_items(rounds) + (wage_items(rounds, last) if wages else []))
    steps = SurveySteps(yearly_person_years(extract, rounds))
    apply_states(steps, variant)
    grades = by_year(extract, "HGC", grade_years(last))
    grades = grades.mask(grades > EDUCATION["graduate"][1])  # 95 stands for a school without grades
    _add_grades(steps, grades)
    steps.exclude(rule, unknown_grade="drop")
    steps.add_education("HGC, unrevised")
    steps.add_region(by_year(extract, "REGION", grade_years(last)), REGION, "REGION", rule)
    _add_static(steps, extract)

    over_time, outcomes = ["education", "occupation_vintage"], []
    if wages:
        add_outcomes(steps, yearly_jobs(extract, rounds), yearly_work(extract, last))
        over_time, outcomes = [*over_time, "industry"], list(OUTCOMES)
    static = ["region", "race", "gender", "sample"]
    careers = from_frame(
        steps.frame[["person", "year", "occupation", *over_time, *static, *outcomes]],
        covariates=over_time,
        static=static,
        outcomes=outcomes,
    )
    shares = state_shares(careers)
    for note in [*notes, *_standing_notes(rounds, variant), *share_jumps(shares)]:
        steps.ledger.note(note)
    table = (100 * shares.drop(columns="people")).round(1).assign(people=shares["people"])
    steps.ledger.note(f"state shares by year, in percent of the people observed:\n{table.to_string()}")
    return careers, steps.ledger


def _add_grades(steps: SurveySteps, grades: pd.DataFrame) -> None:
    """Grades of every person-year: of the round, last and highest known by then, and highest ever observed."""
    frame = steps.frame.copy()
    keys = pd.MultiIndex.from_frame(frame[["person", "year"]])
    by_then = {
        "grade": grades,
        "known_grade": grades.ffill(axis=1),
        "highest_by_then": grades.cummax(axis=1).ffill(axis=1),
    }
    for column, table in by_then.items():
        frame[column] = table.stack(future_stack=True).reindex(keys).set_axis(frame.index).astype("Int64")
    frame["highest_grade"] = frame["person"].map(grades.max(axis=1))
    frame["schooling"] = frame["known_grade"]
    steps.frame = frame


def _add_static(steps: SurveySteps, extract: NLSExtract) -> None:
    frame = steps.frame.copy()
    for column, name, labels in (("race", "SAMPLE_RACE", RACE), ("gender", "SAMPLE_SEX", GENDER)):
        frame[column] = frame["person"].map(extract.variable(*item(name))).map(labels)
    sample = frame["person"].map(extract.variable(*item("SAMPLE_ID")))
    frame["sample"] = pd.cut(sample, [0, 8, 14, 20], labels=["cross_sectional", "supplemental", "military"]).astype(
        "string"
    )
    # Set in every year: if it were null without employment, it would tell a model the state that is to be predicted.
    frame["occupation_vintage"] = "census" + frame["vintage"].astype("string")
    steps.frame = frame


def state_shares(careers: datasets.Dataset) -> pd.DataFrame:
    """Share of people in each state, by year.

    Returns:
        One row per year; columns `employed` (any occupation), one per state without employment, and `people`, their
        number.
    """
    frame = to_frame(careers, "pandas")
    state = frame["occupation"].where(frame["occupation"].isin(NOT_EMPLOYED), "employed")
    counts = pd.crosstab(frame["year"], state)
    order = [name for name in ("employed", *NOT_EMPLOYED) if name in counts.columns]
    people = counts.sum(axis=1)
    shares = counts[order].div(people, axis=0).assign(people=people)
    return shares.rename_axis(columns=None)


def share_jumps(shares: pd.DataFrame, threshold: float = SHARE_JUMP) -> list[str]:
    """Warnings for states whose share changes by more than `threshold` between adjacent rounds of `state_shares`."""
    warnings = []
    for state in shares.columns.drop("people"):
        for before, after in zip(shares.index[:-1], shares.index[1:], strict=True):
            first, second = shares.loc[before, state], shares.loc[after, state]
            if abs(second - first) > threshold:
                warnings.append(
                    f"warning: share of '{state}' goes from {first:.1%} in {before} to {second:.1%} in {after}, "
                    f"more than {threshold:.0%} between rounds"
                )
    return warnings


def _standing_notes(rounds: list[int], variant: Variant) -> list[str]:
    """What a reader must know of the survey itself, whatever the counts are."""
    coded: dict[int, list[int]] = {}
    for year in rounds:
        coded.setdefault(vintage(year), []).append(year)
    vintages = ", ".join(
        f"Census {vintage} codes in {'-'.join(str(year) for year in dict.fromkeys((years[0], years[-1])))}"
        for vintage, years in coded.items()
    )
    notes = [
        f"occupation coding: {vintages}; moves across a change are partly recoding (column occupation_vintage)",
        "no household ids in this build: siblings may fall in different splits; no weights: results are unweighted",
        "two oversamples (SAMPLE_ID) were dropped mid-panel, most of the military one after 1984, the poor white one "
        "after 1990: report the cross-sectional sample separately (column sample)",
        "race has the three groups of the public file; the paper's six need items that are not in this extract",
        "gaps of two years from 1994 on, and wherever a person was not interviewed: a step is not always one year",
    ]
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
