"""Steps that the surveys share: rows that are dropped with a reason, and the exclusions of Appendix F.

Some of the paper's rules look at later years: people who never finish grade 9, or never enter the labor force, are
dropped from their first year on, and a region that is first seen late is filled in for the years before. Careers that
remain tell a model something about the future. `Rule` says which rules to use:

* "paper": the rules of Appendix F.
* "no_lookahead": the same rules, applied to what is known by each year: years before grade 9 is completed are dropped,
  and years up to which a person has always been out of the labor force; a region counts only if it is known by the
  first year of the career.
"""

from __future__ import annotations

from typing import Literal, get_args

import pandas as pd

from ..careers.ledger import DependsOn, Ledger
from ..occupations.labels import EDUCATION, GENDERS, REGIONS


Rule = Literal["paper", "no_lookahead"]

# The lowest and the highest grade of each level of education.
GRADES = dict(zip(EDUCATION, [(0, 11), (12, 12), (13, 15), (16, 16), (17, 20)], strict=True))
# Labels by code; the surveys share the codes of the four Census regions and of the two genders.
REGION_OF_CODE = dict(enumerate(REGIONS, start=1))
GENDER_OF_CODE = dict(enumerate(GENDERS, start=1))
FIRST_GRADE = 9


def check_rule(rule: str) -> None:
    """Raises a ValueError if a rule is not one of the two."""
    if rule not in get_args(Rule):
        raise ValueError(f"unknown rule '{rule}'; choose one of {list(get_args(Rule))}")


def reason(mask: pd.Series, text: pd.Series | str) -> pd.Series:
    """Gives rows in which the mask is true a reason for dropping them; null elsewhere."""
    reasons = pd.Series(text, index=mask.index, dtype="string") if isinstance(text, str) else text.astype("string")
    return reasons.where(mask.fillna(False).astype(bool))


def _count(reasons: pd.Series) -> dict[str, int]:
    """Counts rows by reason, most first and equal counts in alphabetical order, so that row order has no effect."""
    counts = reasons.value_counts()
    return {str(text): int(counts[text]) for text in sorted(counts.index, key=lambda text: (-counts[text], text))}


class SurveySteps:
    """The person-years after each step of a build, and the ledger that counts them and their people.

    Args:
        frame: One row per person and year, with a column `person`.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.ledger = Ledger()

    def drop(self, step: str, reasons: pd.Series, depends_on: DependsOn) -> None:
        """Drops the rows that have a reason; people without any remaining row are counted as dropped too."""
        people = self.frame["person"].nunique()
        remaining = self.frame[reasons.isna()]
        counts = _count(reasons)
        self.ledger.record(step, "person-years", len(self.frame), len(remaining), counts, depends_on=depends_on)
        people_left = remaining["person"].nunique()
        person_reasons = reasons[~self.frame["person"].isin(remaining["person"])].groupby(self.frame["person"])
        only_reason = person_reasons.first().where(person_reasons.nunique().eq(1), step)
        people_dropped = {f"no year left: {text}": count for text, count in _count(only_reason).items()}
        self.ledger.record(step, "people", people, people_left, people_dropped, depends_on=depends_on)
        if not len(remaining):
            raise ValueError(f"nobody is left after the step '{step}'; what was dropped:\n{self.ledger}")
        self.frame = remaining

    def alter(self, step: str, unit: str, altered: dict[str, int], depends_on: DependsOn) -> None:
        """Records the rows (or people, by `unit`) that were changed but not dropped."""
        rows = len(self.frame) if unit == "person-years" else self.frame["person"].nunique()
        self.ledger.record(step, unit, rows, rows, altered=altered, depends_on=depends_on)

    def add_grades(self, grades: pd.DataFrame) -> None:
        """Adds the grade of the year, the last and the highest grade known by then, and the highest ever, for
        `exclude`.

        Args:
            grades: Grades completed, one row per person, one column per year, null where missing.
        """
        frame = self.frame.sort_values(["person", "year"], ignore_index=True)
        keys = pd.MultiIndex.from_frame(frame[["person", "year"]])
        for column, values in {
            "grade": grades,
            "known_grade": grades.ffill(axis=1),
            "highest_by_then": grades.cummax(axis=1).ffill(axis=1),
        }.items():
            frame[column] = values.stack(future_stack=True).reindex(keys).set_axis(frame.index).astype("Int64")
        frame["highest_grade"] = frame["person"].map(grades.max(axis=1)).astype("Int64")
        self.frame = frame

    def exclude(self, rule: Rule, unknown_grade: Literal["keep", "drop"]) -> None:
        """Applies the exclusions of Appendix F on schooling and labor force, and notes what either rule keeps.

        The frame needs the columns of `add_grades`, and `out` (out of the labor force in that year).

        Args:
            rule: "paper" or "no_lookahead".
            unknown_grade: Whether people without a known grade stay; the paper's NLSY97 keeps them.
        """
        frame = self.frame.sort_values(["person", "year"])
        remaining = {}
        for name in get_args(Rule):
            schooled = frame[self._low_grade(frame, name, unknown_grade).isna()]
            remaining[name] = schooled[self._out_of_labor_force(schooled, name).isna()]
        counts = "; ".join(
            f"'{name}' keeps {len(rows):,} of {rows['person'].nunique():,} people" for name, rows in remaining.items()
        )
        self.ledger.note(f"person-years left by the rules on schooling and labor force: {counts}; used: '{rule}'")
        depends_on: DependsOn = "future" if rule == "paper" else "past"
        self.frame = frame
        low = self._low_grade(frame, rule, unknown_grade)
        self.drop(f"drop people with less than {FIRST_GRADE} years of schooling", low, depends_on)
        step = "drop people out of the labor force in all their years"
        self.drop(step, self._out_of_labor_force(self.frame, rule), depends_on)

    @staticmethod
    def _low_grade(frame: pd.DataFrame, rule: str, unknown_grade: str) -> pd.Series:
        grade = frame["highest_grade" if rule == "paper" else "highest_by_then"]
        when = "ever observed" if rule == "paper" else "known by then"
        reasons = reason(grade.lt(FIRST_GRADE), f"highest grade {when} below {FIRST_GRADE}")
        return reasons.fillna(reason(grade.isna(), f"no grade {when}")) if unknown_grade == "drop" else reasons

    @staticmethod
    def _out_of_labor_force(frame: pd.DataFrame, rule: str) -> pd.Series:
        """Reasons for dropping rows of people out of the labor force; the frame is sorted by person and year."""
        by_person = frame.groupby("person")["out"]
        if rule == "paper":
            return reason(by_person.transform("all"), "out of the labor force throughout")
        return reason(by_person.cummin(), "out of the labor force until then")

    def add_education(self, source: str) -> None:
        """Adds `education`, the paper's five levels, from `known_grade`; null where no grade is known by then."""
        frame = self.frame.copy()
        grade = frame["known_grade"]
        frame["education"] = pd.Series(pd.NA, index=frame.index, dtype="string")
        for label, (lowest, highest) in GRADES.items():
            frame["education"] = frame["education"].mask(grade.between(lowest, highest).fillna(False), label)
        self.frame = frame
        carried = frame["grade"].isna() & grade.notna()
        fell = grade.groupby(frame["person"]).diff().lt(0).fillna(False)
        altered = {
            "grade carried forward from an earlier round": int(carried.sum()),
            "no grade known by then: missing": int(grade.isna().sum()),
            "grade lower than in the year before: kept as reported": int(fell.sum()),
        }
        self.alter(f"education: last grade known by then ({source})", "person-years", altered, "past")

    def add_region(self, regions: pd.DataFrame, labels: dict[int, str], source: str, rule: Rule) -> None:
        """Adds `region`, the first that is observed: at all ("paper"), or by the career's first year.

        Args:
            regions: Region codes, one row per person, one column per year, null where missing.
            labels: Label of each code.
            source: Name of the variable, for the ledger.
            rule: "paper" or "no_lookahead".
        """
        frame = self.frame.copy()
        first_region = regions.bfill(axis=1).iloc[:, 0].map(labels)
        first_seen = regions.notna().idxmax(axis=1).where(regions.notna().any(axis=1))
        first_year = frame.groupby("person")["year"].min()
        late = first_seen.reindex(first_year.index) > first_year
        if rule == "no_lookahead":
            first_region = first_region.drop(late.index[late])
        frame["region"] = frame["person"].map(first_region).astype("string")
        self.frame = frame
        missing = int(frame.loc[frame["region"].isna(), "person"].nunique())
        seen_late = "region first seen after the career's first year"
        seen_late += ": filled in" if rule == "paper" else ": missing"
        altered = {seen_late: int(late.sum()), "no region: missing": missing}
        step = f"region: first observed ({source})"
        self.alter(step, "people", altered, "future" if rule == "paper" else "past")
