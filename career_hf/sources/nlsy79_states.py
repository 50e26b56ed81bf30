"""Yearly states of the NLSY79: employment status first, the occupation of the employed second.

`yearly_person_years` reads raw values; `apply_states` turns these, and the counts of `nlsy79_weekly`, into states.
"""

from __future__ import annotations

import pandas as pd

from ..occupations.crosswalks import is_military, map_codes
from ..occupations.labels import NOT_WORKING
from .nls import EXPORT_AGAIN, NLSExtract, split_missing
from .nlsy79_variables import (
    LAST_ENROLLMENT,
    STATUS_ROUNDS,
    Item,
    Variant,
    employment_item,
    item,
    occupation_item,
    vintage,
)
from .survey_steps import SurveySteps, reason


STATUS = {1: "employed", 2: "unemployed", 3: "out_of_labor_force", 4: "military"}
ENROLLED = (2, 3)  # in high school, in college; 1 and 4 are not enrolled, without and with a high school degree


def three_digits(codes: pd.Series, variable: Item) -> pd.Series:
    """Cuts Census codes to three digits: rounds from 2004 on print a fourth, a zero, whatever their labels say.

    Args:
        codes: Occupation codes by person, null where missing.
        variable: Variable that holds the codes.

    Raises:
        ValueError: If a code cannot be one of its round; the message names the person.
    """
    name, year, _ = variable
    with_zero = year is not None and year >= 2004
    wrong = codes[(codes >= 10_000) | (codes % 10 != 0) if with_zero else codes >= 1_000].dropna()
    if len(wrong):
        raise ValueError(
            f"person {wrong.index[0]}, {name} of {year}, value {wrong.iloc[0]} ({len(wrong)} in all): the codes of "
            f"this round have {'four digits, the last a zero' if with_zero else 'three digits'}, so the column holds "
            f"something else; {EXPORT_AGAIN}"
        )
    return codes // 10 if with_zero else codes


def yearly_person_years(extract: NLSExtract, rounds: list[int]) -> pd.DataFrame:
    """Reads status, weeks worked, occupation code and enrollment of every person in every round, uninterpreted."""
    people = extract.people
    parts = []
    for year in rounds:
        status, status_missing = split_missing(extract.variable(*employment_item(year)).reindex(people))
        code, code_missing = split_missing(extract.variable(*occupation_item(year)).reindex(people))
        enrolled = pd.Series(False, index=people)
        if year <= LAST_ENROLLMENT:
            enrolled = extract.variable(*item("ENROLLMT", year)).reindex(people).isin(ENROLLED)
        code = three_digits(code, occupation_item(year))
        mapped, _ = map_codes(code, vintage(year))
        part = {
            "person": people,
            "year": year,
            "vintage": vintage(year),
            "status": status,
            "status_missing": status_missing,
        }
        part |= {"code": code, "code_missing": code_missing, "occ1990dd": mapped, "enrolled": enrolled}
        part |= {"code_label": f"Census {vintage(year)} code " + code.astype("string")}
        part |= {"military_code": is_military(code, vintage(year)), "by_status": year in STATUS_ROUNDS}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def apply_states(steps: SurveySteps, variant: Variant) -> None:
    """Turns status and occupation code into a state, dropping years in which it is not known, and military years."""
    frame = steps.frame
    absent = frame["status_missing"].isin(["not interviewed", "not in the extract"])
    steps.drop("keep rounds with an interview", reason(absent, frame["status_missing"]), "past")
    frame = steps.frame
    unknown = frame["status"].isna() | (frame["by_status"] & ~frame["status"].isin(STATUS))
    unknown_status = "employment: " + frame["status_missing"].fillna("unknown code")
    steps.drop("keep years with a known employment state", reason(unknown, unknown_status), "past")

    frame = steps.frame.copy()
    # Weeks worked in the past calendar year only tell whether a person was employed.
    by_weeks = frame["status"].gt(0).map({True: "employed", False: "not_working"})
    state = frame["status"].map(STATUS).where(frame["by_status"], by_weeks)
    frame["state"] = state.mask(frame["enrolled"] & state.isin(["out_of_labor_force", "not_working"]), "in_school")
    steps.frame = frame
    set_aside = frame["code"].notna() & frame["state"].isin(NOT_WORKING)
    in_school = frame["state"].eq("in_school")
    enrolled_when = "in most of these weeks" if variant == "weekly" else "on May 1"
    altered = {
        "not employed although an occupation is reported: occupation not used": int(set_aside.sum()),
        f"out of the labor force and enrolled {enrolled_when}: in school": int((in_school & frame["by_status"]).sum()),
    }
    if variant == "extended":
        altered["no weeks worked and enrolled on May 1: in school"] = int((in_school & ~frame["by_status"]).sum())
        altered["no weeks worked in the past calendar year: not working"] = int(frame["state"].eq("not_working").sum())
    steps.alter("state before occupation", "person-years", altered, "past")

    employed = frame["state"].eq("employed")
    military = reason(frame["state"].eq("military"), "employment status: active forces")
    military = military.fillna(reason(employed & frame["military_code"], "occupation code of the armed forces"))
    steps.drop("drop military years", military, "past")
    frame = steps.frame
    no_code = frame["state"].eq("employed") & frame["code"].isna()
    steps.drop(
        "drop employed years without an occupation",
        reason(no_code, "occupation: " + frame["code_missing"]),
        "past",
    )
    frame = steps.frame
    unmapped = frame["state"].eq("employed") & frame["occ1990dd"].isna()
    steps.drop("drop occupation codes without an occ1990dd occupation", reason(unmapped, frame["code_label"]), "past")

    frame = steps.frame.copy()
    frame["occupation"] = frame["occ1990dd"].where(frame["state"].eq("employed"), frame["state"].astype("string"))
    # For the rule on people out of the labor force throughout: after 1998 only "not working" is known.
    frame["out"] = frame["state"].isin(["out_of_labor_force", "not_working"])
    steps.frame = frame
    if variant == "extended":
        collapsed = frame["occupation"].isin(["unemployed", "out_of_labor_force"])
        steps.frame["occupation"] = frame["occupation"].mask(collapsed, "not_working")
        steps.alter(
            "collapse unemployed and out of the labor force",
            "person-years",
            {"not_working": int(collapsed.sum())},
            "past",
        )
