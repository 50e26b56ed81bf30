"""Steps that the surveys share: rows that are dropped with a reason, and the exclusions of Appendix F.

Some of the paper's rules look at later years: whoever never finishes grade 9 is dropped from the first year on,
whoever never enters the labor force too, and a region that is first seen late is filled in before. A model that is
trained on what is left has been told something of the future. `Rule` says which rules to use:

* "paper": as Appendix F has them.
* "no_lookahead": each is applied to what is known by the year in question: years before grade 9 is completed are
  dropped, and years up to which a person has always been out of the labor force; a region counts only if it is known
  by the first year of the career.
"""

from __future__ import annotations

from typing import Literal, get_args

import pandas as pd

from ..careers.ledger import DependsOn, Ledger
from ..occupations.labels import EDUCATION, GENDERS, REGIONS


Rule = Literal["paper", "no_lookahead"]

# The lowest and the highest grade of each level of education.
GRADES = dict(zip(EDUCATION, [(0, 11), (12, 12), (13, 15), (16, 16), (17, 20)], strict=True))
# Labels by the codes of the surveys, which number the four Census regions and the two genders alike.
REGION_OF_CODE = dict(enumerate(REGIONS, start=1))
GENDER_OF_CODE = dict(enumerate(GENDERS, start=1))
FIRST_GRADE = 9


def check_rule(rule: str) -> None:
    """Raises a ValueError if a rule is not one of the two."""
    if rule not in get_args(Rule):
        raise ValueError(f"unknown rule '{rule}'; choose one of {list(get_args(Rule))}")


def reason(mask: pd.Series, text: pd.Series | str) -> pd.Series:
    """Reasons for dropping (text) where the mask holds, null elsewhere."""
    reasons = pd.Series(text, index=mask.index, dtype="string") if isinstance(text, str) else text.astype("string")
    return reasons.where(mask.fillna(False).astype(bool))


def _count(reasons: pd.Series) -> dict[str, int]:
    """Rows by reason, most first, of equal counts in the order of the alphabet, so that row order does not matter."""
    counts = reasons.value_counts()
    return {str(text): int(counts[text]) for text in sorted(counts.index, key=lambda text: (-counts[text], text))}


class SurveySteps:
    """The person-years so far, and a ledger that counts them and their people at every step.

    Args:
        frame: One row per person and year, with a column `person`.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self.ledger = Ledger()

    def drop(self, step: str, reasons: pd.Series, depends_on: DependsOn) -> None:
        """Drops the rows that have a reason; people without any row left are counted as dropped too."""
        people = self.frame["person"].nunique()
        kept = self.frame[reasons.isna()]
        counts = _count(reasons)
        self.ledger.record(step, "person-years", len(self.frame), len(kept), counts, depends_on=depends_on)
        left = kept["person"].nunique()
        gone = reasons[~self.frame["person"].isin(kept["person"])].groupby(self.frame["person"])
        why = gone.first().where(gone.nunique().eq(1), step)
        lost = {f"no year left: {text}": count for text, count in _count(why).items()}
        self.ledger.record(step, "people", people, left, lost, depends_on=depends_on)
        if not len(kept):
            raise ValueError(f"nobody is left after the step '{step}'; what was dropped:\n{self.ledger}")
        self.frame = kept

    def alter(self, step: str, unit: str, altered: dict[str, int], depends_on: DependsOn) -> None:
        """Records rows (or people, by `unit`) that were changed but kept."""
        rows = len(self.frame) if unit == "person-years" else self.frame["person"].nunique()
        self.ledger.record(step, unit, rows, rows, altered=altered, depends_on=depends_on)

    def add_grades(self, grades: pd.DataFrame) -> None:
        """Adds the grade of the year, the last and the highest known by then, and the highest ever, for `exclude`.

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

        Needs the columns of `add_grades`, and `out` (out of the labor force in that year).

        Args:
            rule: "paper" or "no_lookahead".
            unknown_grade: Whether those of whom no grade is known stay; the paper's NLSY97 keeps them.
        """
        frame = self.frame.sort_values(["person", "year"])
        kept = {}
        for other in get_args(Rule):
            low = self._low_grade(frame, other, unknown_grade)
            left = frame[low.isna()]
            kept[other] = left[self._out(left, other).isna()]
        counts = "; ".join(
            f"'{other}' keeps {len(left):,} of {left['person'].nunique():,} people" for other, left in kept.items()
        )
        self.ledger.note(f"person-years left by the rules on schooling and labor force: {counts}; used: '{rule}'")
        depends_on: DependsOn = "future" if rule == "paper" else "past"
        self.frame = frame
        low = self._low_grade(frame, rule, unknown_grade)
        self.drop(f"drop people with less than {FIRST_GRADE} years of schooling", low, depends_on)
        step = "drop people out of the labor force in all their years"
        self.drop(step, self._out(self.frame, rule), depends_on)

    @staticmethod
    def _low_grade(frame: pd.DataFrame, rule: str, unknown_grade: str) -> pd.Series:
        grade = frame["highest_grade" if rule == "paper" else "highest_by_then"]
        when = "ever observed" if rule == "paper" else "known by then"
        reasons = reason(grade.lt(FIRST_GRADE), f"highest grade {when} below {FIRST_GRADE}")
        return reasons.fillna(reason(grade.isna(), f"no grade {when}")) if unknown_grade == "drop" else reasons

    @staticmethod
    def _out(frame: pd.DataFrame, rule: str) -> pd.Series:
        """Sorted by person and year."""
        by_person = frame.groupby("person")["out"]
        if rule == "paper":
            return reason(by_person.transform("all"), "out of the labor force throughout")
        return reason(by_person.cummin(), "out of the labor force until then")

    def add_education(self, source: str) -> None:
        """Adds `education`, the paper's five levels, from `known_grade`; null where no grade is known by then."""
        frame = self.frame.copy()
        known = frame["known_grade"]
        frame["education"] = pd.Series(pd.NA, index=frame.index, dtype="string")
        for label, (lowest, highest) in GRADES.items():
            frame["education"] = frame["education"].mask(known.between(lowest, highest).fillna(False), label)
        self.frame = frame
        carried = frame["grade"].isna() & known.notna()
        fell = known.groupby(frame["person"]).diff().lt(0).fillna(False)
        altered = {
            "grade carried forward from an earlier round": int(carried.sum()),
            "no grade known by then: missing": int(known.isna().sum()),
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
        seen = regions.notna().idxmax(axis=1).where(regions.notna().any(axis=1))
        first_year = frame.groupby("person")["year"].min()
        late = seen.reindex(first_year.index) > first_year
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
