"""Careers of the National Longitudinal Survey of Youth 1979, by the paper's rules (Appendix F), from raw extracts.

Two builds, because these extracts hold employment status only to 1998 (and in 2006): `full` is 1980-1998 with the
paper's three states without employment; `extended` goes to 2012, with unemployed and out of the labor force collapsed
in every year.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import datasets
import pandas as pd

from ..careers import from_frame, to_frame
from ..ledger import DependsOn, Ledger
from .crosswalks import is_military, map_codes, read_data
from .nls import NLSExtract, read_folder, split_missing


Variant = Literal["full", "extended"]

# Annual to 1994, then every second year. 1981 joins where its occupation is in the extract for everybody.
LAST_ROUND: dict[Variant, int] = {"full": 1998, "extended": 2012}
ROUNDS = (1980, *range(1982, 1995), *range(1996, 2013, 2))
ALL_ROUNDS = (*range(1979, 1995), *range(1996, 2013, 2))
STATUS_ROUNDS = frozenset({*range(1979, 1995), 1996, 1998, 2006})
LAST_ENROLLMENT = 2006

STATUS = {1: "employed", 2: "unemployed", 3: "out_of_labor_force", 4: "military"}
ENROLLED = (2, 3)  # in high school, in college; 1 and 4 are not enrolled, without and with a high school degree
NOT_EMPLOYED = ("unemployed", "out_of_labor_force", "in_school", "not_working")
EDUCATION = {
    "no_high_school": (0, 11),
    "high_school": (12, 12),
    "some_college": (13, 15),
    "college": (16, 16),
    "graduate": (17, 20),
}
REGION = {1: "northeast", 2: "northcentral", 3: "south", 4: "west"}
RACE = {1: "hispanic", 2: "black", 3: "non_black_non_hispanic"}
GENDER = {1: "male", 2: "female"}
FIRST_GRADE = 9
SHARE_JUMP = 0.05


def build(extract_folder: str | Path, variant: Variant = "full") -> tuple[datasets.Dataset, Ledger]:
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

    Returns:
        Careers (`career_hf.careers`) with covariates education (by year: last grade known by then), region (first
        observed), race and gender, besides year; `sample` (cross-sectional, supplemental or military sample) for
        reports; and `occupation_vintage`, the Census coding of the round, a function of the year alone, so that
        evaluation can tell changes of coding from moves. And the ledger, which counts people and person-years at every
        step.

    Raises:
        ValueError: If the variant is unknown, or variables are missing; the message lists what to tick in NLS
            Investigator.
    """
    if variant not in LAST_ROUND:
        raise ValueError(f"unknown variant '{variant}' of the NLSY79; choose one of {list(LAST_ROUND)}")
    extract = read_folder(extract_folder)
    last = LAST_ROUND[variant]
    rounds = [year for year in ROUNDS if year <= last]
    variables = _variables(rounds, last)
    extract.require(variables)
    notes = list(extract.notes)
    if _covers_everyone(extract, *_occupation_item(1981)) and extract.has(*_item("ESR_COL", 1981)):
        rounds.insert(1, 1981)
        notes.append("1979 is left out: the build starts in 1980")
    else:
        notes.append(
            "1979 and 1981 are left out: employment status is observed, but occupation (CPSOCC70) is not in this "
            "extract for all people, and keeping only the years without employment would be selective"
        )

    steps = _Steps(_person_years(extract, rounds))
    _apply_states(steps, variant)
    grades = _by_year(extract, "HGC", [year for year in ALL_ROUNDS if year <= last])
    grades = grades.mask(grades > EDUCATION["graduate"][1])  # 95 stands for a school without grades
    _apply_exclusions(steps, grades)
    _add_covariates(steps, extract, grades, last)

    careers = from_frame(
        steps.frame[
            ["person", "year", "occupation", "education", "occupation_vintage", "region", "race", "gender", "sample"]
        ],
        covariates=("education", "occupation_vintage"),
        static=("region", "race", "gender", "sample"),
    )
    shares = state_shares(careers)
    for note in [*notes, *_standing_notes(rounds, variant), *share_jumps(shares)]:
        steps.ledger.note(note)
    table = (100 * shares.drop(columns="people")).round(1).assign(people=shares["people"])
    steps.ledger.note(f"state shares by year, in percent of the people observed:\n{table.to_string()}")
    return careers, steps.ledger


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


class _Steps:
    """The person-years so far, and a ledger that counts them and their people at every step."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.ledger = Ledger()

    def drop(self, step: str, reasons: pd.Series, depends_on: DependsOn, whole_people: bool = False) -> None:
        """Drops the rows that have a reason; people without any row left are counted as dropped too."""
        people = self.frame["person"].nunique()
        gone = reasons.notna()
        kept = self.frame[~gone]
        counts = {str(reason): int(count) for reason, count in reasons.value_counts().items()}
        self.ledger.record(step, "person-years", len(self.frame), len(kept), counts, depends_on=depends_on)
        people_left = kept["person"].nunique()
        if whole_people:
            lost = reasons[gone].groupby(self.frame["person"][gone]).first().value_counts()
            people_counts = {str(reason): int(count) for reason, count in lost.items()}
        else:
            people_counts = {f"no year left: {step}": people - people_left} if people > people_left else {}
        self.ledger.record(step, "people", people, people_left, people_counts, depends_on=depends_on)
        self.frame = kept

    def alter(self, step: str, unit: str, altered: dict[str, int], depends_on: DependsOn) -> None:
        rows = len(self.frame) if unit == "person-years" else self.frame["person"].nunique()
        self.ledger.record(step, unit, rows, rows, altered=altered, depends_on=depends_on)


@functools.cache
def _references() -> dict[tuple[str, str], str]:
    """Reference number by question name and year (as text, empty for items asked once)."""
    table = read_data("nlsy79_variables.csv")
    return dict(zip(zip(table["question_name"], table["year"], strict=True), table["reference"], strict=True))


def _item(name: str, year: int | None = None) -> tuple[str, int | None, str | None]:
    """Question name, year and reference number of a variable, as `NLSExtract.variable` takes them."""
    return name, year, _references()[name, "" if year is None else str(year)]


def _vintage(year: int) -> int:
    """Census year of the occupation codes of a round."""
    return 1970 if year < 1982 else 1980 if year < 2002 else 2000


def _occupation_item(year: int) -> tuple[str, int | None, str | None]:
    return _item(
        {1970: "CPSOCC70", 1980: "CPSOCC80" if year < 2000 else "CPSOCC80.01", 2000: "OCCALL-EMP.01"}[_vintage(year)],
        year,
    )


def _variables(rounds: list[int], last: int) -> list[tuple[str, int | None, str | None]]:
    items = [_item(name) for name in ("SAMPLE_ID", "SAMPLE_RACE", "SAMPLE_SEX")]
    for year in rounds:
        items += [_occupation_item(year), _item("ESR_COL" if year in STATUS_ROUNDS else "WKSWK-PCY", year)]
        items += [_item("ENROLLMT", year)] if year <= LAST_ENROLLMENT else []
    return items + [_item(name, year) for name in ("HGC", "REGION") for year in ALL_ROUNDS if year <= last]


def _covers_everyone(extract: NLSExtract, name: str, year: int | None, reference: str | None) -> bool:
    return extract.has(name, year, reference) and len(extract.variable(name, year, reference)) == len(extract.people)


def _by_year(extract: NLSExtract, name: str, years: list[int]) -> pd.DataFrame:
    """Values of a yearly variable, one row per person, one column per year, null where missing."""
    columns = {year: split_missing(extract.variable(*_item(name, year)).reindex(extract.people))[0] for year in years}
    return pd.DataFrame(columns)


def _person_years(extract: NLSExtract, rounds: list[int]) -> pd.DataFrame:
    """Every person in every round, with status, weeks worked, occupation code and enrollment, still uninterpreted."""
    people = extract.people
    parts = []
    for year in rounds:
        status_item = _item("ESR_COL" if year in STATUS_ROUNDS else "WKSWK-PCY", year)
        status, status_missing = split_missing(extract.variable(*status_item).reindex(people))
        code, code_missing = split_missing(extract.variable(*_occupation_item(year)).reindex(people))
        enrolled = pd.Series(False, index=people)
        if year <= LAST_ENROLLMENT:
            enrolled = extract.variable(*_item("ENROLLMT", year)).reindex(people).isin(ENROLLED)
        # The rounds from 2004 on print the Census 2000 code with a fourth digit, whatever their labels say.
        code = code // 10 if year >= 2004 else code
        mapped, _ = map_codes(code, _vintage(year))
        part = {
            "person": people,
            "year": year,
            "vintage": _vintage(year),
            "status": status,
            "status_missing": status_missing,
        }
        part |= {"code": code, "code_missing": code_missing, "occ1990dd": mapped, "enrolled": enrolled}
        part |= {"military_code": is_military(code, _vintage(year)), "by_status": year in STATUS_ROUNDS}
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def _reason(mask: pd.Series, reason: pd.Series | str) -> pd.Series:
    """Reasons for dropping (text) where the mask holds, null elsewhere."""
    reasons = (
        pd.Series(reason, index=mask.index, dtype="string") if isinstance(reason, str) else reason.astype("string")
    )
    return reasons.where(mask)


def _apply_states(steps: _Steps, variant: Variant) -> None:
    """Turns status and occupation code into a state, dropping years in which it is not known, and military years."""
    frame = steps.frame
    absent = frame["status_missing"].isin(["not interviewed", "not in the extract"])
    steps.drop("keep rounds with an interview", _reason(absent, frame["status_missing"]), "past")
    frame = steps.frame
    unknown = frame["status"].isna() | (frame["by_status"] & ~frame["status"].isin(STATUS))
    why = "employment: " + frame["status_missing"].fillna("unknown code")
    steps.drop("keep years with a known employment state", _reason(unknown, why), "past")

    frame = steps.frame.copy()
    # Weeks worked in the past calendar year say employed or not, no more.
    by_weeks = frame["status"].gt(0).map({True: "employed", False: "not_working"})
    state = frame["status"].map(STATUS).where(frame["by_status"], by_weeks)
    frame["state"] = state.mask(frame["enrolled"] & state.isin(["out_of_labor_force", "not_working"]), "in_school")
    steps.frame = frame
    set_aside = frame["code"].notna() & frame["state"].isin(NOT_EMPLOYED)
    in_school = frame["state"].eq("in_school")
    altered = {
        "not employed although an occupation is reported: occupation not used": int(set_aside.sum()),
        "out of the labor force and enrolled on May 1: in school": int((in_school & frame["by_status"]).sum()),
    }
    if variant == "extended":
        altered["no weeks worked and enrolled on May 1: in school"] = int((in_school & ~frame["by_status"]).sum())
        altered["no weeks worked in the past calendar year: not working"] = int(frame["state"].eq("not_working").sum())
    steps.alter("state before occupation", "person-years", altered, "past")

    employed = frame["state"].eq("employed")
    military = _reason(frame["state"].eq("military"), "employment status: active forces")
    military = military.fillna(_reason(employed & frame["military_code"], "occupation code of the armed forces"))
    steps.drop("drop military years", military, "past")
    frame = steps.frame
    no_code = frame["state"].eq("employed") & frame["code"].isna()
    steps.drop(
        "drop employed years without an occupation", _reason(no_code, "occupation: " + frame["code_missing"]), "past"
    )
    frame = steps.frame
    unmapped = frame["state"].eq("employed") & frame["occ1990dd"].isna()
    label = "Census " + frame["vintage"].astype("string") + " code " + frame["code"].astype("string")
    steps.drop("drop occupation codes without an occ1990dd occupation", _reason(unmapped, label), "past")

    frame = steps.frame.copy()
    frame["occupation"] = frame["occ1990dd"].where(frame["state"].eq("employed"), frame["state"].astype("string"))
    # Kept for the rule on people out of the labor force throughout: after 1998 not working is all that is known.
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


def _apply_exclusions(steps: _Steps, grades: pd.DataFrame) -> None:
    """Drops people below grade 9 and people out of the labor force throughout; both rules look at later years."""
    highest = grades.max(axis=1).reindex(steps.frame["person"]).set_axis(steps.frame.index)
    low = _reason(highest.lt(FIRST_GRADE).fillna(False), f"highest grade ever observed below {FIRST_GRADE}")
    reasons = low.fillna(_reason(highest.isna(), "no grade observed"))
    steps.drop("drop people with less than 9 years of schooling", reasons, "future", whole_people=True)
    out = steps.frame["out"].groupby(steps.frame["person"]).transform("all")
    steps.drop(
        "drop people out of the labor force in all their years",
        _reason(out, "out of the labor force throughout"),
        "future",
        whole_people=True,
    )


def _add_covariates(steps: _Steps, extract: NLSExtract, grades: pd.DataFrame, last: int) -> None:
    frame = steps.frame.sort_values(["person", "year"], ignore_index=True)
    keys = pd.MultiIndex.from_frame(frame[["person", "year"]])
    observed = grades.stack(future_stack=True).reindex(keys).set_axis(frame.index)
    known = grades.ffill(axis=1).stack(future_stack=True).reindex(keys).set_axis(frame.index).astype("Int64")
    fell = known.groupby(frame["person"]).diff().lt(0).fillna(False)
    frame["education"] = pd.Series(pd.NA, index=frame.index, dtype="string")
    for label, (lowest, highest) in EDUCATION.items():
        frame["education"] = frame["education"].mask(known.between(lowest, highest).fillna(False), label)

    regions = _by_year(extract, "REGION", [year for year in ALL_ROUNDS if year <= last])
    first_region = regions.bfill(axis=1).iloc[:, 0]
    # The year in which the first region was seen, to tell those who got it from later in their career.
    seen = regions.notna().idxmax(axis=1).where(first_region.notna())
    frame["region"] = frame["person"].map(first_region.map(REGION))
    for column, name, labels in (("race", "SAMPLE_RACE", RACE), ("gender", "SAMPLE_SEX", GENDER)):
        frame[column] = frame["person"].map(extract.variable(*_item(name))).map(labels)
    sample = frame["person"].map(extract.variable(*_item("SAMPLE_ID")))
    frame["sample"] = pd.cut(sample, [0, 8, 14, 20], labels=["cross_sectional", "supplemental", "military"]).astype(
        "string"
    )
    # Set in every year: if it were null without employment, it would tell a model the state that is to be predicted.
    frame["occupation_vintage"] = "census" + frame["vintage"].astype("string")
    steps.frame = frame

    steps.alter(
        "education: last grade known by then (HGC, unrevised)",
        "person-years",
        {
            "grade carried forward from an earlier round": int((observed.isna() & known.notna()).sum()),
            "no grade known by then: missing": int(known.isna().sum()),
            "grade lower than in the year before: kept as reported": int(fell.sum()),
        },
        "past",
    )
    first_year = frame.groupby("person")["year"].min()
    steps.alter(
        "region: first observed (REGION), filled in from later rounds",
        "people",
        {
            "region first seen after the career's first year": int(
                (seen.reindex(first_year.index) > first_year).sum()
            ),
            "no region observed: missing": int(frame.loc[frame["region"].isna(), "person"].nunique()),
        },
        "future",
    )


def _standing_notes(rounds: list[int], variant: Variant) -> list[str]:
    """What a reader must know of the survey itself, whatever the counts are."""
    coded: dict[int, list[int]] = {}
    for year in rounds:
        coded.setdefault(_vintage(year), []).append(year)
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
