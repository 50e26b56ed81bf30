"""Careers of two years from the Current Population Survey, in the public domain: last year and now, or a year apart.

* March files (ASEC, from 1992): everybody's longest job of last year and job in March.
* Monthly files (from 1994): people in their first to fourth month in the sample, found again a year later in their
  fifth to eighth. Movers leave the sample, as it is a sample of addresses.

Two-year careers teach moves, in and out of work too; what is remembered over a life they do not show. In March people
say what they did last year, which understates moves; in the monthly files the two occupations are coded independently,
which overstates them many times over (Moscarini and Thomsson 2007, "Occupational and Job Mobility in the US",
Scandinavian Journal of Economics 109(4); Kambourov and Manovskii 2013, "A Cautionary Note on Using (March) CPS and
PSID Data to Study Worker Mobility", Macroeconomic Dynamics 17(1)).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from datasets import Dataset

from ..careers.columns import career_table, list_values
from ..careers.frames import from_frame
from ..careers.ledger import DependsOn, Ledger
from ..careers.prepared import PreparedCareers
from ..careers.provenance import Limits
from ..number_ranges import within_ranges
from ..occupations.crosswalks import codes, is_military
from ..occupations.weighted_crosswalks import as_crosswalk, recode, weighted_crosswalk
from .cps_files import Records, data_files, stem_of, weights, whole_numbers
from .resume_careers import STATES_BY_REGION


Files = Literal["march", "monthly"]
YOUNGEST = 16
# Fewest weeks of work in a year that the year's occupation stands for, the half of them, as in the surveys' careers.
HALF_A_YEAR = 26
# First year of each list of occupations in the survey; 2002 is the list of 2000 with four digits.
LISTS = {1971: 1970, 1983: 1980, 1992: 1990, 2003: 2002, 2011: 2010, 2020: 2018}
# fmt: off
STATE_OF_FIPS = dict(zip(
    (*range(1, 3), *range(4, 7), *range(8, 14), *range(15, 43), *range(44, 52), *range(53, 57)),
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK "
    "OR PA RI SC SD TN TX UT VT VA WA WV WI WY".split(),
    strict=True,
))
# The Census's own codes, which March files had first: a digit for the division, and one for the state.
STATE_OF_CENSUS = {
    10 * division + number: state
    for division, states in enumerate(
        ("ME NH VT MA RI CT", "NY NJ PA", "OH IN IL MI WI", "MN IA MO ND SD NE KS", "DE MD DC VA WV NC SC GA FL",
         "KY TN AL MS", "AR LA OK TX", "MT ID WY CO NM AZ UT NV", "WA OR CA AK HI"), 1,
    )
    for number, state in enumerate(states.split(), 1)
}
# fmt: on
REGION_OF_STATE = {state: region for region, states in STATES_BY_REGION.items() for state in states.split()}
REGIONS = {1: "northeast", 2: "northcentral", 3: "south", 4: "west"}
GENDERS = {1: "male", 2: "female"}
# Highest grade or degree: from 31, less than the first grade, to 46, a doctorate.
EDUCATION = {
    **dict.fromkeys(range(31, 39), "no_high_school"),
    39: "high_school",
    **dict.fromkeys(range(40, 43), "some_college"),
    43: "college",
    **dict.fromkeys(range(44, 47), "graduate"),
}
EMPLOYED = "employed"
ADULT_CIVILIAN = 2
# Ages from here on are grouped.
GROUPED_AGE = 80

MARCH_HOUSEHOLD = ("H_SEQ", "H_YEAR", "H_IDNUM", "H_IDNUM1", "GESTFIPS", "HG_FIPS", "HG_ST60", "GEREG", "HG_REG")
MARCH_PERSON = (
    *("PH_SEQ", "PPPOS", "A_LINENO", "A_AGE", "A_SEX", "PRDTRACE", "A_RACE", "PEHSPNON", "A_REORGN", "A_HGA"),
    *("PRPERTYP", "PEMLR", "A_LFSR", "PEIOOCC", "A_OCC", "OCCUP", "I_OCCUP", "APOCC", "WORKYN", "WKSWORK", "LKWEEKS"),
    *("NWLKWK", "RSNNOTW", "PYRSN", "A_HSCOL", "MARSUPWT"),
)
MONTHLY = (
    *("HRHHID", "HRHHID2", "HRSAMPLE", "HRSERSUF", "HUHHNUM", "HRMONTH", "HRYEAR4", "HRYEAR", "HRMIS", "PULINENO"),
    *("PRTAGE", "PEAGE", "PESEX", "PTDTRACE", "PRDTRACE", "PERACE", "PEHSPNON", "PRORIGIN", "PEEDUCA", "PRPERTYP"),
    *("PEMLR", "PTIO1OCD", "PEIO1OCD", "PXIO1OCD", "PRNLFSCH", "PESCHENR", "GESTFIPS", "PWSSWGT"),
)
TEXTS = ("HRHHID", "HRHHID2", "HRSAMPLE", "HRSERSUF", "H_IDNUM", "H_IDNUM1", "MARSUPWT", "PWSSWGT")


@within_ranges
def cps(
    extract: str | Path,
    *,
    files: Files = "march",
    crosswalk2018: str | Path | pd.DataFrame | None = None,
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares careers of two years of the Current Population Survey; `build` has the details.

    Args:
        extract: Folder with the Bureau's files and dictionaries, searched with its subfolders.
        files: "march" for the ASEC's person records, "monthly" for basic monthly files a year apart.
        crosswalk2018: As in `build`.
        salt: Salt of the split.

    Raises:
        ValueError: As `build` does.
    """
    built = build(extract, files=files, crosswalk2018=crosswalk2018)
    limits = Limits(lacks=_lacking(built[0], files, crosswalk2018), beginnings=False)
    return PreparedCareers.of_careers("cps", built, salt=salt, settings={"files": files}, limits=limits)


def build(
    extract: str | Path, *, files: Files = "march", crosswalk2018: str | Path | pd.DataFrame | None = None
) -> tuple[Dataset, Ledger]:
    """Builds careers of two years from files of the Census Bureau, fixed-width with their dictionaries, or CSV.

    **March** (`files="march"`): the first step is last year, the second the year of the survey. Last year's occupation
    is that of the longest job, for people who worked for 26 weeks or more; the others were unemployed if they looked
    for work in more weeks than they neither worked nor looked, in school if that was the reason for not working, and
    out of the labor force otherwise. The occupation now is that of the week before the survey. CSV files need the
    household file (`hhpubYY.csv`) beside the person file (`pppubYY.csv`).

    **Monthly** (`files="monthly"`): people in month 1 to 4 in the sample are found a year later in month 5 to 8 by
    household (HRHHID and HRHHID2, or what it is made of), line number and month; a pair whose sex or race differs, or
    whose age does not grow by 0 to 2 years, is not the same person. Of a person's pairs the first is taken.

    Occupations are mapped to occ1990dd by the list of the year. Careers with an imputed occupation are dropped, where
    the files say so (OCCUP, A_OCC to 2002, PEIO1OCD), because draws from other people look like moves.

    Args:
        extract: Folder with files and dictionaries, searched with its subfolders.
        files: "march" or "monthly".
        crosswalk2018: Crosswalk of the list of 2018, which files use from 2020 on and the package does not ship: a CSV
            file with columns source, occ1990dd and, if wished, weight, or such a frame. Codes that it does not have,
            or all without it, are mapped where the list of 2010 has the same code.

    Returns:
        Careers with covariates education and age (which change) and state, region, race and gender; `weight`, the
        survey's weight at the later interview (MARSUPWT, PWSSWGT); and `group`, the household. Race has the three
        groups of the NLSY79. The ledger counts everybody.

    Raises:
        ValueError: There are no such files, a dictionary is missing or is that of another file, items are missing, no
            month has its pair a year later, or nobody is left.
    """
    if files not in get_args(Files):
        raise ValueError(f"files {files!r} is not one of {get_args(Files)}")
    ledger = Ledger()
    own = None if crosswalk2018 is None else as_crosswalk(crosswalk2018)
    paths = data_files(Path(extract))
    people = _march(paths, ledger) if files == "march" else _monthly(paths, ledger)
    people = _map(people, own, ledger)
    if not len(people):
        raise ValueError(f"nobody is left: {ledger.dropped()}")
    careers = _careers(people)
    ledger.record("careers of two years", "people", len(people), careers.num_rows)
    return careers, ledger


def _lacking(careers: Dataset, files: Files, crosswalk2018: str | Path | pd.DataFrame | None) -> tuple[str, ...]:
    """Occupations that no code of the lists in use means, and the state that the survey always tells apart."""
    years = list_values(career_table(careers), "year").to_numpy()
    # In March both occupations are coded by the list of the survey's year.
    lists = {_list_of(int(year)) for year in np.unique(years[1::2] if files == "march" else years)}
    tables = [weighted_crosswalk(f"census{_shipped(census)}") for census in lists]  # type: ignore[arg-type]
    tables += [] if crosswalk2018 is None or 2018 not in lists else [as_crosswalk(crosswalk2018)]
    reached = set(pd.concat(tables)["occ1990dd"])
    return (*(code for code in codes() if code not in reached), "not_working")


class _Losses:
    """Drops rows for one reason after the other, and counts them over all files."""

    def __init__(self) -> None:
        self.rows, self.kept = 0, 0
        self.dropped: dict[str, int] = {}

    def keep(self, frame: pd.DataFrame, reasons: Mapping[str, Callable[[pd.DataFrame], pd.Series]]) -> pd.DataFrame:
        """The rows for which no reason holds; each reason is looked at in the rows that are left."""
        self.rows += len(frame)
        for reason, holds in reasons.items():
            lost = holds(frame).to_numpy(dtype=bool)
            self.dropped[reason] = self.dropped.get(reason, 0) + int(lost.sum())
            frame = frame[~lost]
        self.kept += len(frame)
        return frame.reset_index(drop=True)

    def record(self, ledger: Ledger, step: str, unit: str, depends_on: DependsOn = "static") -> None:
        dropped = {reason: count for reason, count in self.dropped.items() if count}
        ledger.record(step, unit, self.rows, self.kept, dropped, depends_on=depends_on)


class _Items:
    """The items of some records as whole numbers (`TEXTS` as text), by any of the names that files give them."""

    def __init__(self, frame: pd.DataFrame, path: Path) -> None:
        self.path, self.index = path, frame.index
        self._columns = {
            name: frame[name] if name in TEXTS else whole_numbers(frame[name], path) for name in frame.columns
        }

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def get(self, *names: str, missing: int | None = None) -> pd.Series:
        """The first of these items that the file has; a ValueError if it has none and nothing stands for it."""
        for name in names:
            if name in self._columns:
                return self._columns[name]
        if missing is None:
            raise ValueError(f"{self.path} has no item {' or '.join(names)}: is its dictionary that of this file?")
        return pd.Series(missing, index=self.index)


def _demographics(items: _Items) -> pd.DataFrame:
    """Covariates of people, besides where they live."""
    race = items.get("PTDTRACE", "PRDTRACE", "PERACE", "A_RACE", missing=-1)
    if "PEHSPNON" in items:
        hispanic = items.get("PEHSPNON") == 1
    else:
        hispanic = items.get("PRORIGIN", "A_REORGN", missing=-1).between(1, 7)
    label = np.select([hispanic, race == 2, race > 0], ["hispanic", "black", "non_black_non_hispanic"], default="")
    return pd.DataFrame(
        {
            "age": items.get("PRTAGE", "PEAGE", "A_AGE"),
            "gender": items.get("PESEX", "A_SEX").map(GENDERS),
            # White, black and others, which the lists of races before and from 2003 tell apart alike.
            "race_group": race.clip(upper=3),
            "race": pd.Series(label, index=race.index, dtype=object).replace("", None),
            "education": items.get("PEEDUCA", "A_HGA").map(EDUCATION),
        }
    )


def _places(items: _Items) -> pd.DataFrame:
    """State and region of records."""
    state = items.get("GESTFIPS", "HG_FIPS", missing=-1).map(STATE_OF_FIPS)
    state = state.fillna(items.get("HG_ST60", missing=-1).map(STATE_OF_CENSUS))
    region = items.get("GEREG", "HG_REG", missing=-1).map(REGIONS)
    return pd.DataFrame({"state": state, "region": state.map(REGION_OF_STATE).fillna(region)})


def _status(recode: pd.Series, in_school: pd.Series) -> pd.Series:
    """Employed, or the state of people without work, by the labor force recode."""
    choices = [recode.isin([1, 2]), recode.isin([3, 4]), in_school]
    labels = np.select(choices, [EMPLOYED, "unemployed", "in_school"], default="out_of_labor_force")
    return pd.Series(labels, index=recode.index, dtype=object)


def _march(paths: Sequence[Path], ledger: Ledger) -> pd.DataFrame:
    """One row per person of the March files, before occupations are mapped."""
    losses, people = _Losses(), []
    for path in paths:
        records = Records(path, (*MARCH_HOUSEHOLD, *MARCH_PERSON))
        layout = records.layout_with("PH_SEQ")
        if layout is None:  # households and families of CSV files, or a monthly file
            continue
        persons = records.read(layout, MARCH_PERSON, kind="3")
        if records.is_csv:
            partner = path.with_name(re.sub("pp", "hh", path.name, count=1))
            if partner == path or not partner.exists():
                raise ValueError(f"{path} needs the file of households {partner.name} beside it")
            records = Records(partner, MARCH_HOUSEHOLD)
        layout = records.layout_with("H_SEQ")
        if layout is None:
            raise ValueError(f"{records.path} has no item H_SEQ, by which people find their household")
        households = records.read(layout, MARCH_HOUSEHOLD, kind="1")
        people.append(losses.keep(_march_people(persons, households, path), MARCH_LOSSES))
    if not people:
        raise ValueError(f"{paths[0].parent} has no March file: none of its data files has the item PH_SEQ")
    losses.record(ledger, "read March files", "people")
    return pd.concat(people, ignore_index=True)


MARCH_LOSSES: Mapping[str, Callable[[pd.DataFrame], pd.Series]] = {
    "no adult civilian": lambda people: ~people["adult"],
    f"younger than {YOUNGEST}": lambda people: people["age_now"] < YOUNGEST,
    "an occupation is imputed": lambda people: (
        ((people["status_before"] == EMPLOYED) & people["imputed_before"])
        | ((people["status_now"] == EMPLOYED) & people["imputed_now"])
    ),
}


def _march_people(persons: pd.DataFrame, households: pd.DataFrame, path: Path) -> pd.DataFrame:
    items, homes = _Items(persons, path), _Items(households, path)
    year = _survey_year(homes.get("H_YEAR"), path)
    places = _places(homes)
    identifier = homes.get("H_IDNUM1", "H_IDNUM").str[:15].str.lstrip("0")
    sequence = homes.get("H_SEQ")
    if sequence.duplicated().any():
        raise ValueError(f"{path}: two households have the number {sequence[sequence.duplicated()].iloc[0]}")
    places["group"] = identifier.where(identifier != "", f"{year}:" + sequence.astype(str))
    home = items.get("PH_SEQ").map(pd.Series(np.arange(len(sequence)), index=sequence.to_numpy()))
    if home.isna().any():
        lonely = items.get("PH_SEQ")[home.isna()].iloc[0]
        raise ValueError(f"{path}: the household {lonely} of a person is not among the households: download it again")
    places = places.iloc[home.to_numpy(dtype=int)].reset_index(drop=True)

    worked, weeks = items.get("WORKYN") == 1, items.get("WKSWORK").clip(lower=0)
    looked = items.get("LKWEEKS").where(worked, items.get("NWLKWK")).clip(lower=0)
    studied = (items.get("PYRSN") == 3) | (items.get("RSNNOTW") == 4)
    before = np.select(
        [worked & (weeks >= HALF_A_YEAR), looked > 52 - weeks - looked, studied],
        [EMPLOYED, "unemployed", "in_school"],
        default="out_of_labor_force",
    )
    force = items.get("PEMLR", "A_LFSR")
    adult = items.get("PRPERTYP") == ADULT_CIVILIAN if "PRPERTYP" in items else force > 0
    line = items.get("A_LINENO", "PPPOS").astype(str)
    people = pd.concat([_demographics(items), places], axis=1)
    return people.assign(
        person=f"march:{year}:" + items.get("PH_SEQ").astype(str) + ":" + line,
        year=year - 1,
        weight=weights(items.get("MARSUPWT"), 2, path),
        adult=adult,
        education_before=people["education"],
        education_now=people["education"],
        # Ages of 80 and more are grouped.
        age_before=people["age"] - (people["age"] < GROUPED_AGE),
        age_now=people["age"],
        status_before=before,
        status_now=_status(force, items.get("A_HSCOL", missing=0) > 0),
        code_before=items.get("OCCUP"),
        code_now=items.get("PEIOOCC", "A_OCC"),
        imputed_before=items.get("I_OCCUP", missing=0) > 0,
        imputed_now=items.get("APOCC", missing=0) > 0,
        list_before=_list_of(year),
        list_now=_list_of(year),
    )


def _survey_year(column: pd.Series, path: Path) -> int:
    """The year of a March survey, which early files give by its last two digits, or by its last one."""
    year = int(column.max())
    if year < 10:
        digits = re.search(r"(19\d\d|20\d\d|\d\d)", stem_of(path))
        year = -1 if digits is None else int(digits[0])
    year += 1900 * (10 <= year < 100)
    if not 1968 <= year <= 2100:
        raise ValueError(f"{path}: {year} is not the year of a survey: is its dictionary that of this file?")
    return year


def _list_of(year: int) -> int:
    """The year of the Census whose list of occupations the survey of a year uses."""
    first = max((first for first in LISTS if first <= year), default=None)
    if first is None:
        raise ValueError(
            f"the survey of {year} has a list of occupations without a crosswalk: start with {min(LISTS)}"
        )
    return LISTS[first]


def _monthly(paths: Sequence[Path], ledger: Ledger) -> pd.DataFrame:
    """One row per person of the monthly files that was found a year later, before occupations are mapped."""
    path_of: dict[int, Path] = {}
    for path in paths:
        records = Records(path, MONTHLY)
        if (layout := records.layout_with("PULINENO")) is None:
            continue
        month = _month(_Items(records.read(layout, ("HRMONTH", "HRYEAR4", "HRYEAR")).head(1), path))
        if month in path_of:
            raise ValueError(f"{path_of[month]} and {path} are of one month: keep one of them")
        path_of[month] = path
    if not path_of:
        raise ValueError(f"{paths[0].parent} has no monthly file: none of its data files has the item PULINENO")
    starts = {month for month in path_of if month + 12 in path_of}
    if not starts:
        raise ValueError("no month has its pair a year later: add the files of the same months of other years")

    adults, matched = _Losses(), _Losses()
    waiting: dict[int, pd.DataFrame] = {}
    pairs = []
    for month in sorted(path_of):
        if month not in starts and month - 12 not in starts:
            continue
        people = _monthly_people(path_of[month], month)
        if month - 12 in waiting:
            later = people[people["month_in_sample"] > 4]
            pairs.append(matched.keep(_matched(waiting.pop(month - 12), later), MONTHLY_LOSSES))
        if month in starts:
            early = people[people["month_in_sample"].between(1, 4)]
            waiting[month] = adults.keep(early, MONTHLY_ADULTS)
    if alone := [month for month in path_of if month not in starts and month - 12 not in starts]:
        ledger.note(f"{len(alone)} of {len(path_of)} months have no pair a year before or later, and are not read")
    adults.record(ledger, "read months 1 to 4 in the sample", "person-months")
    matched.record(ledger, "match a year apart", "person-months", depends_on="future")
    found = matched.rows - sum(matched.dropped[reason] for reason in NOT_FOUND)
    ledger.note(f"found again a year later: {found / max(matched.rows, 1):.1%} of {matched.rows:,} person-months")
    all_pairs = pd.concat(pairs, ignore_index=True)
    first = all_pairs.drop_duplicates("person", ignore_index=True)
    again = len(all_pairs) - len(first)
    dropped = {"another month of the same person": again} if again else {}
    ledger.record("one pair of months per person", "person-months", len(all_pairs), len(first), dropped)
    ledger.record("people with a pair of months", "people", len(first), len(first))
    return first


MONTHLY_ADULTS: Mapping[str, Callable[[pd.DataFrame], pd.Series]] = {
    "no adult civilian, or no interview": lambda people: ~people["adult"],
    f"younger than {YOUNGEST}": lambda people: people["age"] < YOUNGEST,
}
NOT_FOUND: Mapping[str, Callable[[pd.DataFrame], pd.Series]] = {
    "two people have these identifiers": lambda pairs: pairs["is_double"],
    "nobody has these identifiers a year later": lambda pairs: pairs["age_now"].isna(),
    "another sex a year later": lambda pairs: pairs["gender_now"] != pairs["gender_before"],
    "an age that does not follow a year later": lambda pairs: (
        ~(
            (pairs["age_now"] - pairs["age_before"]).between(0, 2)
            | pairs[["age_before", "age_now"]].min(axis=1).ge(GROUPED_AGE)
        )
    ),
    "another race a year later": lambda pairs: pairs["race_group_now"] != pairs["race_group_before"],
}
MONTHLY_LOSSES: Mapping[str, Callable[[pd.DataFrame], pd.Series]] = {
    **NOT_FOUND,
    "no adult civilian a year later": lambda pairs: ~pairs["adult_now"].astype(bool),
    "an occupation is imputed": lambda pairs: (
        ((pairs["status_before"] == EMPLOYED) & pairs["imputed_before"])
        | ((pairs["status_now"] == EMPLOYED) & pairs["imputed_now"].astype(bool))
    ),
}


def _month(items: _Items) -> int:
    """The month of a file, counted from the year 0."""
    year = int(items.get("HRYEAR4", "HRYEAR").iloc[0])
    year += 1900 * (year < 100)
    month = int(items.get("HRMONTH").iloc[0])
    if not (1 <= month <= 12 and 1968 <= year <= 2100):
        raise ValueError(
            f"{items.path}: {year}-{month} is no month of the survey: is its dictionary that of this file?"
        )
    return 12 * year + month - 1


def _monthly_people(path: Path, month: int) -> pd.DataFrame:
    records = Records(path, MONTHLY)
    items = _Items(records.read(records.layout_with("PULINENO") or {}, MONTHLY), path)
    sample = items.get("HRMIS")
    if not sample.between(1, 8).all():
        raise ValueError(f"{path}: HRMIS is not between 1 and 8 everywhere: is its dictionary that of this file?")
    in_school = (items.get("PRNLFSCH", missing=-1) == 1) | (items.get("PESCHENR", missing=-1) == 1)
    return pd.concat([_demographics(items), _places(items)], axis=1).assign(
        month=month,
        month_in_sample=sample,
        # Some files write the numbers of households without their leading zeros.
        household=items.get("HRHHID").str.lstrip("0") + ":" + _second_part(items),
        group=items.get("HRHHID").str.lstrip("0"),
        line=items.get("PULINENO"),
        weight=weights(items.get("PWSSWGT"), 4, path),
        adult=items.get("PRPERTYP") == ADULT_CIVILIAN,
        status=_status(items.get("PEMLR"), in_school),
        code=items.get("PTIO1OCD", "PEIO1OCD"),
        # 30 to 43: allocated, with or without an earlier interview.
        imputed=items.get("PXIO1OCD", missing=0).between(30, 43),
        list=_list_of(month // 12),
    )


def _second_part(items: _Items) -> pd.Series:
    """The second part of a household's identifier, or what it was made of before May 2004, in the same form.

    The form is that of the record layouts: the digits of the sample, the serial suffix as a number (A is 01, none 00),
    and the number of the household.
    """
    if "HRHHID2" in items:
        return items.get("HRHHID2").str.zfill(5)
    sample = items.get("HRSAMPLE").str.extract(r"(\d+)", expand=False).fillna("").str.zfill(2)
    suffix = items.get("HRSERSUF").str.upper()
    is_letter = suffix.str.fullmatch("[A-Z]")
    number = suffix.where(is_letter, "@").map(ord) - ord("@")
    return sample.str[-2:] + number.astype(str).str.zfill(2) + items.get("HUHHNUM").clip(lower=0).astype(str)


def _matched(early: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """Months 1 to 4 (`_before`) with what is found a year later (`_now`), missing where nobody is."""
    keys = ["household", "line", "month_in_sample"]
    later = later.assign(month_in_sample=later["month_in_sample"] - 4)
    doubles = pd.concat([frame.loc[frame.duplicated(keys), keys] for frame in (early, later)]).drop_duplicates()
    early = early.merge(doubles.assign(is_double=True), on=keys, how="left")
    early["is_double"] = early["is_double"].notna()
    pairs = early.merge(later.drop_duplicates(keys), on=keys, how="left", suffixes=("_before", "_now"))
    # People are in the sample from this month on; the number of their month and the household may come again later.
    since = pairs["month_before"] - pairs["month_in_sample"] + 1
    return pairs.assign(
        person="monthly:" + pairs["household"] + ":" + pairs["line"].astype(str) + ":" + since.astype(str),
        year=pairs["month_before"] // 12,
        **{name: pairs[f"{name}_now"] for name in ("state", "region", "race", "gender", "weight")},
        group=pairs["group_before"],
    )


def _map(people: pd.DataFrame, own2018: pd.DataFrame | None, ledger: Ledger) -> pd.DataFrame:
    """Adds the occupation before and now in occ1990dd, or the state, and drops who has none."""
    people = people.reset_index(drop=True)
    lost = pd.Series("", index=people.index)
    unmapped = []
    for side in ("before", "now"):
        occupation, reason = people[f"status_{side}"].astype(object), pd.Series("", index=people.index)
        works = occupation == EMPLOYED
        for census, rows in people[works].groupby(f"list_{side}"):
            mapped, reasons, missing = _to_occ1990dd(rows[f"code_{side}"].astype(int), int(census), own2018)
            occupation[rows.index], reason[rows.index] = mapped, reasons
            unmapped.append(missing)
        lost = lost.where(lost != "", reason)
        people[f"occupation_{side}"] = occupation
    counts = pd.concat([pd.Series(dtype=int), *unmapped]).groupby(level=0).sum().sort_values(ascending=False)
    if len(counts):
        first = ", ".join(f"{code} ({count:,})" for code, count in counts.head(10).items())
        ledger.note(
            f"codes without a target, in the list of their year: {len(counts)}, of which the first are {first}"
        )
    dropped = {str(reason): int(count) for reason, count in lost[lost != ""].value_counts().items()}
    ledger.record("map to occ1990dd", "people", len(people), int((lost == "").sum()), dropped)
    return people[lost == ""]


def _to_occ1990dd(
    code: pd.Series, census: int, own2018: pd.DataFrame | None
) -> tuple[np.ndarray, np.ndarray, pd.Series]:
    """Occ1990dd codes of codes of one list; why there is none, empty where there is one; and how often, by code."""
    vintage = _shipped(census)
    distinct = pd.Series(code.unique())
    target = recode(distinct, weighted_crosswalk(f"census{vintage}"))[0]  # type: ignore[arg-type]
    if census == 2018 and own2018 is not None:
        target = recode(distinct, own2018)[0].fillna(target)
    mapped = code.map(pd.Series(target.to_numpy(dtype=object), index=distinct))
    is_lost = (code > 0) & mapped.isna()
    reasons = np.select(
        [code <= 0, is_military(code, vintage), is_lost],
        ["no occupation", "armed forces", "no target in occ1990dd (see the notes)"],
        default="",
    )
    missing = (str(census) + " " + code[is_lost].astype(str)).value_counts()
    return mapped.to_numpy(dtype=object), reasons, missing


def _shipped(census: int) -> int:
    """The list whose crosswalk is used: where those of 2010 and 2018 have the same code, they mean one occupation."""
    return 2010 if census == 2018 else census


def _careers(people: pd.DataFrame) -> Dataset:
    """Two rows per person."""
    steps = [
        pd.DataFrame(
            {
                "year": people["year"] + step,
                "occupation": people[f"occupation_{side}"],
                "education": people[f"education_{side}"],
                "age": people[f"age_{side}"].astype(int),
                **{name: people[name] for name in ("person", "state", "region", "race", "gender", "group", "weight")},
            }
        )
        for step, side in enumerate(("before", "now"))
    ]
    return from_frame(
        pd.concat(steps, ignore_index=True),
        covariates=("education", "age"),
        static=("state", "region", "race", "gender"),
        weight="weight",
        group="group",
    )
