"""Variables of the NLSY97 by question name and round, and those of the employer roster by job."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd

from ..occupations.crosswalks import read_data
from .nls import NLSExtract


ROUNDS = (*range(1997, 2012), 2013, 2015, 2017, 2019)
MOST_JOBS = 15

Item = tuple[str, int | None, str | None]


@functools.cache
def references() -> dict[tuple[str, str], str]:
    """Reference number by question name (or names, the usual first) and year."""
    table = read_data("nlsy97_variables.csv", "career_hf.sources")
    return dict(zip(zip(table["question_name"], table["year"], strict=True), table["reference"], strict=True))


def find_item(extract: NLSExtract, names: str, year: int) -> Item:
    """Question name, year and reference number of a variable; of several names, the first that the extract has."""
    reference = references().get((names, str(year)))
    # Some reference numbers of this series may be those of compensation, so it is found by name only.
    reference = None if names.startswith("CV_HRLY_PAY") else reference
    names_held = [name for name in names.split("|") if extract.has(name, year)]
    return (names_held or names.split("|"))[0], year, reference


def values_by_round(extract: NLSExtract, names: str) -> pd.DataFrame:
    """Values of a yearly variable: one row per person, one column per round, null where missing."""
    return pd.DataFrame({year: known_values(extract, find_item(extract, names, year)) for year in ROUNDS})


def known_values(extract: NLSExtract, item: Item) -> pd.Series:
    """Values of a variable, null where missing."""
    raw = extract.variable(*item).reindex(extract.people).astype("Int64")
    return raw.mask(raw < 0)


def roster(extract: NLSExtract, name: str, year: int) -> pd.DataFrame:
    """Raw values of a variable of the employer roster: one row per person, one column per job in the extract."""
    items = {job: find_item(extract, f"{name}.{job:02d}", year) for job in range(1, MOST_JOBS + 1)}
    columns = {job: extract.variable(*item) for job, item in items.items() if extract.has(*item)}
    return pd.DataFrame(columns, index=extract.people)


def values_of_job(values: pd.DataFrame, job: pd.Series) -> pd.Series:
    """The raw value of each person's job; null where there is no job, or no column of it."""
    column = values.columns.get_indexer(job.fillna(-1))
    rows = np.arange(len(job))
    job_values = values.to_numpy(float)[rows, column] if len(values.columns) else np.full(len(job), np.nan)
    return pd.Series(np.where(column >= 0, job_values, np.nan), index=job.index).astype("Int64")
