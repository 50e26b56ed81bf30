"""Careers of the Panel Study of Income Dynamics, by the paper's rules (Appendix F), from files of the Data Center.

Careers are those of reference persons (heads) and their spouses, who alone are asked for an occupation, in the waves
of 1996, 1997 and every second year to 2019. `docs/how_to/nlsy97_psid.md` says what to download. The PSID may not be
redistributed.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pandas as pd

from ..careers.frames import from_frame
from ..careers.ledger import Ledger
from ..careers.prepared import PreparedCareers
from ..number_ranges import within_ranges
from ..occupations.crosswalks import DIGITS, is_military, map_codes
from .psid_files import FAMILY_1968, PERSON_1968, Needed, PSIDFiles, read_folder
from .psid_variables import (
    EARLIER_WAVES,
    LAST_PRESENT,
    WAVES,
    family_role,
    values_of_role,
    variables,
    yearly_values,
)
from .psid_wages import (
    TWO_YEARS_AGO,
    WAGE_LABELS,
    WageSample,
    add_outcomes,
    check_wage_sample,
    wage_items,
    wage_variables,
)
from .state_shares import note_state_shares
from .survey_steps import GENDER_OF_CODE, REGION_OF_CODE, Rule, SurveySteps, check_rule, reason
from .survey_wages import WAGE_OUTCOMES, WAGE_RANGE, WageRules, refuse_without_wages


LICENCE = "PSID, no redistribution"
STATUS = {1: "employed", 2: "unemployed", 3: "unemployed", 7: "in_school"}
STATUS |= dict.fromkeys((4, 5, 6), "out_of_labor_force")  # retired, disabled, keeping house
OTHER_STATUS = 8
MOST_GRADES = 17  # any postgraduate work; 98 and 99 are unknown
PSID_MILITARY_1970 = 600  # not a Census code
REGION = {**REGION_OF_CODE, 5: "west"}  # 5: Alaska and Hawaii
RACES = range(1, 8)
WEEKS_A_YEAR = 52
# Word that the label of each variable should contain, where a setup file gives labels.
LABELS = {
    "interview": "INTERVIEW",
    "sequence": "SEQUENCE",
    "relation": "RELATION",
    "employment_status": "EMPLOYMENT",
    "education": "EDUC",
    "occupation_head": "OCC",
    "occupation_spouse": "OCC",
    "region": "REGION",
    "race_head": "RACE",
    "race_spouse": "RACE",
    "industry_head": "IND",
    "industry_spouse": "IND",
    "union_head": "UNION",
    "union_spouse": "UNION",
    "government_head": "GOV",
    "government_spouse": "GOV",
}
YEARLY = (
    "interview",
    "sequence",
    "relation",
    "employment_status",
    "education",
    "occupation_head",
    "occupation_spouse",
)
OPTIONAL = ("hourly_earnings", "annual_hours")


def build(
    extract_folder: str | Path,
    *,
    rule: Rule = "paper",
    wages: bool = False,
    wage_sample: WageSample = "blau_kahn",
    wage_range: tuple[float, float] = WAGE_RANGE,
    prices: str | Path | None = None,
) -> tuple[datasets.Dataset, Ledger]:
    """Builds careers from files of the PSID Data Center.

    Employment status of the individual at the interview comes first: people who work now are employed; people who are
    temporarily laid off or look for work are unemployed; retired and disabled people and people who keep house are out
    of the labor force; students are in school. The occupation of the employed is that of the main job, from the
    reference person's or the spouse's item. Codes are Census 1970 codes to 2001, Census 2000 codes to 2015, and Census
    2010 codes from 2017 on, unless the variable's label names another Census year.

    People count as added after 1995 if they are a reference person or spouse in 1996 or later, and not in 1994 or
    1995.

    Args:
        extract_folder: Folder with the files, searched with its subfolders.
        rule: "paper" for the exclusions of Appendix F, "no_lookahead" for those that read no later year.
        wages: Whether to add what Blau and Kahn (2017) regress (`psid_wages`): outcomes log_wage, schooling,
            experience, full_time_experience and part_time_experience, and labels industry, union and government. The
            default is not to, because they need more variables and the labels tell who is employed.
        wage_sample: Whose log_wage is observed: "blau_kahn" for their sample (employees of 25 to 64 who are not in a
            farm occupation, and worked 26 weeks or more and 35 hours a week or more in the year before), "employed"
            for everybody who is employed and paid.
        wage_range: Lowest and highest hourly pay, in dollars of 1983; log_wage is missing outside of it. The default
            is that of Blau and Kahn's work with the PSID.
        prices: CSV file with columns year and index, by which pay becomes dollars of 2010; None for the CPI-U. Blau
            and Kahn's deflator is that of personal consumption expenditures.

    Returns:
        Careers with covariates education and `occupation_vintage` (by year), region, race and gender; outcomes
        `hourly_wage` (labor income over hours of the past calendar year, nominal dollars), `weekly_hours` (hours of
        the past calendar year over 52) and `survey_weight` (cross-sectional, from 1997 on); `group`, the family of
        1968; and, where the files have them, `stratum`, `psu`, and `weight`, each person's first positive one, if
        everybody has one (see `weighted_psid`). The ledger counts every step. `careers.info.license` says that the
        careers may not be passed on.

    Raises:
        ValueError: If the rule or sample is unknown, the range or the prices are none, or are given without `wages`, a
            file is damaged, variables are missing (the message lists them), or nobody is left.
    """
    check_rule(rule)
    check_wage_sample(wage_sample)
    wage_rules = WageRules.of(prices, wage_range)
    if not wages:
        refuse_without_wages(
            wage_sample=wage_sample != "blau_kahn",
            wage_range=wage_rules.wage_range != WAGE_RANGE,
            prices=prices is not None,
        )
    unread = set() if wages else wage_variables()
    files = read_folder(extract_folder, {FAMILY_1968, PERSON_1968, *variables().values()} - unread)
    files.require(_needed() + (wage_items() if wages else []))
    notes, vintages = _check_labels(files)

    steps = SurveySteps(pd.concat([_wave_frame(files, year, vintages[year]) for year in WAVES], ignore_index=True))
    _keep_entrants(steps, files)
    _apply_states(steps)
    grades = pd.DataFrame({year: yearly_values(files, "education", year) for year in WAVES})
    steps.add_grades(grades.where((grades > 0) & (grades <= MOST_GRADES)))
    steps.exclude(rule, unknown_grade="drop")
    steps.add_education("years of education, individual")
    regions = pd.DataFrame({year: yearly_values(files, "region", year) for year in WAVES})
    steps.add_region(regions.where(regions.isin(list(REGION))), REGION, "current region of the family", rule)
    over_time: tuple[str, ...] = ("education", "occupation_vintage")
    outcomes: tuple[str, ...] = ("hourly_wage", "weekly_hours", "survey_weight")
    if wages:
        add_outcomes(steps, files, wage_rules, wage_sample)
        over_time, outcomes = over_time + WAGE_LABELS, outcomes + WAGE_OUTCOMES
    design = _add_static(steps, files)

    static = ("region", "race", "gender")
    columns = ["person", "year", "occupation", *over_time, *static, *outcomes]
    careers = from_frame(
        steps.frame[[*columns, *design.values()]],
        covariates=over_time,
        static=static,
        outcomes=outcomes,
        **design,
    )
    careers.info.license = LICENCE
    for note in [f"licence: {LICENCE}", *files.notes, *notes, *_standing_notes(files, wages)]:
        steps.ledger.note(note)
    note_state_shares(careers, steps.ledger)
    return careers, steps.ledger


@within_ranges
def psid(
    extract: str | Path,
    *,
    rule: Rule = "paper",
    wages: bool = False,
    wage_sample: WageSample = "blau_kahn",
    wage_range: tuple[float, float] = WAGE_RANGE,
    prices: str | Path | None = None,
    yearly_weights: bool = False,
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares careers of the Panel Study of Income Dynamics, which may not be passed on; `build` has the details.

    Args:
        extract: Folder with PSID Data Center files, searched with its subfolders.
        rule: "paper" for the exclusions of Appendix F, "no_lookahead" for those that read no later year.
        wages: Whether to add log wage, schooling, experience, industry, union and government.
        wage_sample: "blau_kahn" for wages of Blau and Kahn's sample, "employed" for those of everybody employed.
        wage_range: Lowest and highest hourly pay, in dollars of 1983.
        prices: CSV file with columns year and index; None for the CPI-U.
        yearly_weights: Whether `weight` is that of each wave, 0 where there is none, as in `weighted_psid`; people
            without any are left out.
        salt: Salt of the split.

    Raises:
        ValueError: As `build` and `weighted_psid` do.
    """
    careers, ledger = build(
        extract, rule=rule, wages=wages, wage_sample=wage_sample, wage_range=wage_range, prices=prices
    )
    settings: dict[str, Any] = {"rule": rule, "wages": wages}
    if wages:
        settings |= {"wage_sample": wage_sample, "wage_range": wage_range}
        settings |= {"prices": "CPI-U" if prices is None else Path(prices).name}
    if yearly_weights:
        careers, weighting = weighted_psid(careers, yearly=True)
        ledger.entries.extend(weighting.entries)
        ledger.note("weights are those of each wave (column weight), 0 where there is none, as in 1996")
        settings["yearly_weights"] = True
    return PreparedCareers.of_careers("psid", (careers, ledger), salt=salt, settings=settings)


@within_ranges
def weighted_psid(careers: datasets.Dataset, yearly: bool = False) -> tuple[datasets.Dataset, Ledger]:
    """Adds a `weight`, each person's first positive `survey_weight`, and leaves out people who have none.

    Args:
        careers: What `build` returns.
        yearly: Whether each year has its own `survey_weight` instead, and 0 where it has none.

    Raises:
        ValueError: If nobody has a positive weight.
    """
    first = [next((weight for weight in weights if weight), None) for weights in careers["survey_weight"][:]]
    rows = [row for row, weight in enumerate(first) if weight is not None]
    if not rows:
        raise ValueError("nobody has a positive survey_weight: add the weights to the cart, and build again")
    ledger = Ledger()
    dropped = {"no positive cross-sectional weight in any year": len(first) - len(rows)}
    ledger.record("keep people with a weight", "people", len(first), len(rows), dropped)
    remaining = careers.select(rows)
    remaining = remaining.remove_columns("weight") if "weight" in remaining.column_names else remaining
    if yearly:
        by_year = [[weight or 0.0 for weight in weights] for weights in remaining["survey_weight"][:]]
        return remaining.add_column("weight", by_year), ledger
    return remaining.add_column("weight", [first[row] for row in rows]), ledger


def _needed() -> list[Needed]:
    items: list[Needed] = [(item, None, variables()[item, ""]) for item in ("id68", "person68", "sex")]
    names = [*YEARLY, "region", "race_head", "race_spouse"]
    items += [(item, year, variables()[item, str(year)]) for year in WAVES for item in names]
    return items + [
        (item, year, variables()[item, str(year)]) for year in EARLIER_WAVES for item in ("sequence", "relation")
    ]


def _check_labels(files: PSIDFiles) -> tuple[list[str], dict[int, int]]:
    """Warnings about labels that name another item or wave; and the Census year of each wave's codes."""
    notes, vintages = [], {year: 1970 if year <= 2001 else 2000 if year <= 2015 else 2010 for year in WAVES}
    for (item, year), variable in variables().items():
        label = files.labels.get(variable, "").upper()
        if not label or item not in LABELS:
            continue
        suffix = re.search(r"\s(\d\d)$", label)
        is_individual = variable.startswith(("ER30", "ER33", "ER34"))
        if LABELS[item] not in label or (is_individual and suffix and suffix[1] != year[2:]):
            notes.append(f"warning: {variable} should be {item} of {year}, but its label is '{label}'")
        census = re.search(r"\b(1970|2000|2010)(?= CODE)", label)
        if item.startswith("occupation") and census and int(census[0]) != vintages[int(year)]:
            notes.append(f"warning: {variable} is read as Census {census[0]} codes, as its label says: '{label}'")
            vintages[int(year)] = int(census[0])
    return notes, vintages


def _wave_frame(files: PSIDFiles, year: int, vintage: int) -> pd.DataFrame:
    """Status, occupation code, pay, hours and race of every individual in one wave, still uninterpreted."""
    of_wave = family_role(files, year)
    by_role = partial(values_of_role, files, year=year, of_wave=of_wave)

    interview, code = yearly_values(files, "interview", year), by_role("occupation")
    present = yearly_values(files, "sequence", year).between(1, LAST_PRESENT)
    absence = pd.Series("neither reference person nor spouse", index=files.people, dtype="string")
    absence = absence.mask(~present, "not in the family at the interview").mask(~interview.gt(0), "not in the panel")
    is_code = code.gt(0) & code.lt(10 ** DIGITS[vintage] - 1)
    # Numbers with more digits are no codes of the Census year; `_apply_states` drops and counts them.
    mapped, _ = map_codes(code.where(is_code).round().astype("Int64"), vintage)
    military = is_military(code, vintage) | (code.eq(PSID_MILITARY_1970) & (vintage == 1970))
    part = {
        "person": files.people,
        "year": year,
        "vintage": vintage,
        "absent": absence.where(of_wave.isna()),
        "status": yearly_values(files, "employment_status", year),
        "code": code,
        "occ1990dd": mapped,
        "military": military,
        "race": by_role("race"),
        "hourly_wage": by_role("hourly_earnings"),
        "weekly_hours": by_role("annual_hours") / WEEKS_A_YEAR,
        "survey_weight": yearly_values(files, "weight", year),
    }
    return pd.DataFrame(part)


def _keep_entrants(steps: SurveySteps, files: PSIDFiles) -> None:
    steps.drop("keep reference persons and spouses", steps.frame["absent"], "past")
    is_earlier = pd.DataFrame({year: family_role(files, year).notna() for year in EARLIER_WAVES}).any(axis=1)
    earlier = steps.frame["person"].map(is_earlier)
    waves = " or ".join(str(year) for year in EARLIER_WAVES)
    steps.drop("keep people added after 1995", reason(earlier, f"reference person or spouse in {waves}"), "past")


def _apply_states(steps: SurveySteps) -> None:
    """Turns status and occupation code into a state, dropping years in which it is not known, and military years."""
    frame = steps.frame
    state = frame["status"].map(STATUS).astype("string")
    other = reason(frame["status"].eq(OTHER_STATUS), "employment status: other")
    unknown = other.fillna(reason(state.isna(), "employment status: not known"))
    steps.frame = frame.assign(state=state)
    steps.drop("keep years with a known employment state", unknown, "past")

    frame = steps.frame
    employed = frame["state"].eq("employed")
    unused = frame["code"].gt(0) & ~employed
    altered = {"not employed although an occupation is reported: occupation not used": int(unused.sum())}
    steps.alter("state before occupation", "person-years", altered, "past")
    military = reason(employed & frame["military"], "occupation code of the armed forces")
    steps.drop("drop military years", military, "past")

    frame = steps.frame
    employed = frame["state"].eq("employed")
    largest = frame["vintage"].map({vintage: 10**digits - 1 for vintage, digits in DIGITS.items()})
    no_occupation = reason(employed & (frame["code"].isna() | frame["code"].eq(0)), "occupation: inapplicable")
    no_occupation = no_occupation.fillna(reason(employed & frame["code"].eq(largest), "occupation: not known"))
    steps.drop("drop employed years without an occupation", no_occupation, "past")
    frame = steps.frame
    employed = frame["state"].eq("employed")
    code = frame["code"].round().astype("Int64").astype("string")
    label = "Census " + frame["vintage"].astype("string") + " code " + code
    unmapped = reason(employed & frame["occ1990dd"].isna(), label)
    steps.drop("drop occupation codes without an occ1990dd occupation", unmapped, "past")

    frame = steps.frame
    employed = frame["state"].eq("employed")
    paid = {name: frame[name].where(employed & frame[name].gt(0)) for name in ("hourly_wage", "weekly_hours")}
    steps.frame = frame.assign(
        occupation=frame["occ1990dd"].where(employed, frame["state"]),
        out=frame["state"].eq("out_of_labor_force"),
        occupation_vintage="census" + frame["vintage"].astype("string"),
        survey_weight=frame["survey_weight"].where(frame["survey_weight"].gt(0)),
        **paid,
    )


def _add_static(steps: SurveySteps, files: PSIDFiles) -> dict[str, str]:
    """Adds static columns; returns the columns of the survey design that everybody has, by role."""
    frame = steps.frame.sort_values(["person", "year"], ignore_index=True)
    race = frame["race"].where(frame["race"].isin(list(RACES)))
    first_race = race.groupby(frame["person"]).transform("first")
    names = pd.Series("other", index=frame.index, dtype="string").mask(first_race.eq(1), "white")
    names = names.mask(first_race.eq(2), "black").mask(first_race.isna())
    varies = race.dropna().groupby(frame["person"]).nunique().gt(1)
    gender = frame["person"].map(files.variable(variables()["sex", ""])).map(GENDER_OF_CODE)
    family = frame["person"].map(files.variable(FAMILY_1968)).astype("Int64")
    steps.frame = frame.assign(race=names, gender=gender, group=family)
    altered = {
        "race differs between waves: the first is used": int(varies.sum()),
        "no race: missing": int(frame.loc[names.isna(), "person"].nunique()),
    }
    steps.alter("race: first reported as reference person or spouse", "people", altered, "static")

    design = {"group": "group"}
    for role in ("stratum", "psu"):
        variable = variables()[role, ""]
        values = frame["person"].map(files.variable(variable)) if files.has(variable) else None
        if values is None or values.isna().any():
            steps.ledger.note(f"no {role} in these careers: {variable} is in no file, or not for everybody")
            continue
        labels = values.astype("Int64").astype("string")
        if role == "psu" and "stratum" in design:
            labels = steps.frame["stratum"] + "-" + labels
        steps.frame = steps.frame.assign(**{role: labels})
        design[role] = role
    weight = steps.frame["survey_weight"].groupby(steps.frame["person"]).transform("first")
    lacking = steps.frame.loc[weight.isna(), "person"].nunique()
    if lacking:
        steps.ledger.note(
            f"no weight in these careers: {lacking} people have no positive cross-sectional weight in any of their "
            "years; career_hf.sources.weighted_psid(careers) leaves them out and adds it"
        )
    else:
        steps.frame = steps.frame.assign(weight=weight)
        design["weight"] = "weight"
    return design


def _standing_notes(files: PSIDFiles, wages: bool) -> list[str]:
    """Facts about the survey that a reader must know, whatever the counts are."""
    notes = [
        "occupation coding: Census 1970 codes to 2001, 2000 to 2015, 2010 from 2017; moves across a change are partly "
        "recoding (column occupation_vintage)",
        "added after 1995: first reference person or spouse in 1996 or later, as far as 1994 and 1995 tell; the paper "
        "does not say whether it means this or the first appearance in any family of the panel",
        "pay and hours are those of the calendar year before the interview, the occupation that of the interview",
        "employment status 'other' (8) is none of the paper's states: such years are dropped and counted",
        "steps are two years apart from 1997 on, and longer where a person was not reference person or spouse",
    ]
    for item in OPTIONAL:
        lacking = [
            year
            for year in WAVES
            if not all(files.has(variables()[f"{item}_{who}", str(year)]) for who in ("head", "spouse"))
        ]
        if lacking:
            notes.append(f"{item} is not in the files for {len(lacking)} of {len(WAVES)} waves: {lacking}")
    if wages:
        gaps = [(item, year) for item, year in variables() if item in TWO_YEARS_AGO]
        lacking = sorted({int(year) for item, year in gaps if not files.has(variables()[item, year])})
        if lacking:
            notes.append(
                f"experience: work two years before the wave is not, or not all, in the files of {lacking}: such "
                "years are taken as the last one reported"
            )
    return notes
