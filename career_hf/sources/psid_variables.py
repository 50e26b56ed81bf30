"""Variables of the PSID by item and wave, and the roles of people in the families of a wave."""

from __future__ import annotations

import functools

import pandas as pd

from ..occupations.crosswalks import read_data
from .psid_files import PSIDFiles


WAVES = (1996, 1997, *range(1999, 2020, 2))
# Reference persons and spouses of these waves were not added after 1995.
EARLIER_WAVES = (1994, 1995)
HEAD, SPOUSES = 10, (20, 22)  # relation to the reference person; 22 are partners
LAST_PRESENT = 20  # sequence numbers from 51 on are people in institutions, who moved out, or who died


@functools.cache
def variables() -> dict[tuple[str, str], str]:
    """Variable by item and wave (as text, empty for static items)."""
    table = read_data("psid_variables.csv", "career_hf.sources")
    return dict(zip(zip(table["item"], table["year"], strict=True), table["variable"], strict=True))


def yearly_values(files: PSIDFiles, item: str, year: int) -> pd.Series:
    """Values of a yearly item; null for everybody if no file has it."""
    variable = variables().get((item, str(year)))
    if variable is None or not files.has(variable):
        return pd.Series(float("nan"), index=files.people)
    joins = [variables().get((name, str(year))) for name in ("interview", "family_interview")]
    return files.variable(variable, *joins)


def family_role(files: PSIDFiles, year: int) -> pd.Series:
    """ "head" or "spouse" for those present at the interview, null for everybody else."""
    relation, sequence = yearly_values(files, "relation", year), yearly_values(files, "sequence", year)
    of_wave = pd.Series(pd.NA, index=files.people, dtype="string")
    of_wave = of_wave.mask(relation.eq(HEAD), "head").mask(relation.isin(SPOUSES), "spouse")
    return of_wave.where(sequence.between(1, LAST_PRESENT))


def values_of_role(files: PSIDFiles, item: str, year: int, of_wave: pd.Series) -> pd.Series:
    """Values of the reference person's or the spouse's item, by `family_role`; null for everybody else."""
    head, spouse = (yearly_values(files, f"{item}_{who}", year) for who in ("head", "spouse"))
    return head.where(of_wave.eq("head").fillna(False), spouse).where(of_wave.notna())
