"""Resumes in the paper's layout (Appendix F): O*NET-SOC 2010 codes, degrees and states, as rules for spells.

One row per job: a person, an O*NET-SOC 2010 code, start and end, the degree by then and the state of residence.
`resumes` makes the careers that the paper pretrains on; `resume_rules` are its rules, for `spells_to_careers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from ..careers.prepared import PreparedCareers
from ..number_ranges import within_ranges
from ..occupations.labels import OTHER_REGION
from ..occupations.weighted_crosswalks import modal, weighted_crosswalk
from .spell_careers import prepare_spells
from .spell_rules import Recode, SpellRules


# The eight degrees of the paper's resumes. Levels have the names of the surveys' levels, so that transfer finds them;
# certificates, licenses and diplomas stay levels of their own.
DEGREES = {
    "high school diploma": "high_school",
    "associate": "some_college",
    "bachelors": "college",
    "masters": "graduate",
    "doctorate": "graduate",
    "certificate": "certificate",
    "license": "license",
    "diploma": "diploma",
}
STATES_BY_REGION = {
    "northeast": "CT ME MA NH NJ NY PA RI VT",
    "northcentral": "IL IN IA KS MI MN MO NE ND OH SD WI",
    "south": "AL AR DE DC FL GA KY LA MD MS NC OK SC TN TX VA WV",
    "west": "AK AZ CA CO HI ID MT NV NM OR UT WA WY",
}
# fmt: off
STATES = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DC": "District of Columbia", "DE": "Delaware", "FL": "Florida", "GA": "Georgia",
    "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas", "KY": "Kentucky",
    "LA": "Louisiana", "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota",
    "MS": "Mississippi", "MO": "Missouri", "MT": "Montana", "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire",
    "NJ": "New Jersey", "NM": "New Mexico", "NY": "New York", "NC": "North Carolina", "ND": "North Dakota",
    "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania", "RI": "Rhode Island",
    "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont",
    "VA": "Virginia", "WA": "Washington", "WV": "West Virginia", "WI": "Wisconsin", "WY": "Wyoming",
}
# fmt: on
# Names of the capital, which do not mean the state of Washington.
CAPITAL = ("Washington DC", "Washington D.C.", "Washington, DC", "Washington, D.C.")


@within_ranges
def resumes(
    spells: Any,
    *,
    output: str | Path | None = None,
    as_of: date | str | None = None,
    person: str = "person",
    onet_soc: str = "onet_soc",
    start: str = "start",
    end: str = "end",
    degree: str = "degree",
    state: str = "state",
    no_occupation: str | None = None,
    drop_open: bool = False,
    memory: str = "4GB",
    threads: int | None = None,
    salt: str = "career_hf",
    overwrite: bool = False,
) -> PreparedCareers:
    """Prepares careers of resumes in the layout of the paper's Appendix F, by the rules of `resume_rules`.

    Args:
        spells: Parquet or CSV files (`*` allowed), or a table in memory, one row per job.
        output: Destination folder, written atomically and part by part, so that memory does not grow with the number
            of people; a run that was stopped goes on. Without it, careers are made in memory.
        as_of: Day on which the resumes were collected, at which spells without an end are cut.
        person, onet_soc, start, end, degree, state: Names of the columns.
        no_occupation: Label of years without an occupation between the first and the last; if None, such years are
            left out.
        drop_open: Whether spells without an end are dropped, instead of lasting to `as_of`.
        memory, threads: Memory and number of threads of the database.
        salt: Salt of the split.
        overwrite: Whether other careers in the output folder are replaced. The same ones may always be made again.

    Raises:
        ValueError: As `spells_to_years` does, or other careers are in the folder.
    """
    rules = resume_rules(
        as_of=as_of,
        person=person,
        occupation=onet_soc,
        start=start,
        end=end,
        degree=degree,
        state=state,
        missing_end="drop" if drop_open else "as_of",
        no_occupation=no_occupation,
    )
    settings = {"crosswalk": "onet_soc2010"}
    return prepare_spells(
        "resumes",
        spells,
        rules,
        output=output,
        memory=memory,
        threads=threads,
        salt=salt,
        overwrite=overwrite,
        settings=settings,
    )


@within_ranges
def resume_rules(
    *,
    as_of: date | str | None = None,
    person: str = "person",
    occupation: str = "onet_soc",
    start: str = "start",
    end: str = "end",
    degree: str = "degree",
    state: str = "state",
    occ1990dd: Mapping[str, str] | None = None,
    degrees: Mapping[str, str] = DEGREES,
    missing_end: Literal["as_of", "drop"] = "as_of",
    no_occupation: str | None = None,
) -> SpellRules:
    """The rules by which the paper turned resumes into careers (Appendix F, "Resumes").

    O*NET-SOC 2010 codes become occ1990dd codes before the occupation of a year is chosen, so that two jobs of one
    occupation count together; codes without a counterpart stay as they are, codes of their own. Jobs without a code or
    a date are dropped. Education is the latest degree, as a level; the region is one of the four of the Census, or
    "other" for Puerto Rico, unknown and missing states. A missing degree stays missing, which `CareerProcessor` treats
    as a level of its own. Years without a job are left out, as in pretraining, unless `no_occupation` names them.

    Args:
        as_of: Day on which the resumes were collected.
        person, occupation, start, end, degree, state: Names of the columns.
        occ1990dd: Occ1990dd code by O*NET-SOC 2010 code. If None, the modal targets of
            `weighted_crosswalk("onet_soc2010")`.
        degrees: Level by degree, whose case does not matter; other degrees stay as they are.
        missing_end: As in `SpellRules`.
        no_occupation: Label of years between the first and the last without a job, as in the paper's forecasts on
            resumes; if None, such years are left out.

    Returns:
        Rules whose careers have the covariate education, and the region, which does not change.
    """
    if occ1990dd is None:
        occ1990dd = modal(weighted_crosswalk("onet_soc2010")).to_dict()
    regions = {code: region for region, codes in STATES_BY_REGION.items() for code in codes.split()}
    regions |= {STATES[code]: region for code, region in regions.items()}
    regions |= dict.fromkeys(CAPITAL, "south")
    return SpellRules(
        person=person,
        occupation=occupation,
        start=start,
        end=end,
        carried={"education": degree},
        static={"region": state},
        recode={
            "occupation": Recode(dict(occ1990dd)),
            "education": Recode(dict(degrees)),
            "region": Recode(regions, otherwise=OTHER_REGION, missing=OTHER_REGION),
        },
        as_of=as_of,
        missing_end=missing_end,
        no_occupation=no_occupation,
    )
