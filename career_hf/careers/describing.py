"""Describes a careers dataset in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict

from ..occupations.crosswalks import groups
from ..occupations.labels import BELOW_COLLEGE, COLLEGE, NOT_WORKING
from .columns import career_table, list_lengths, list_values
from .frames import as_careers, covariate_names
from .periods import period_label, person_periods, plural, time_unit
from .validation import check_types


# Covariates with more levels, such as a year of birth, are not described level by level.
MOST_LEVELS = 8


@overload
def describe(careers: str | Path | Dataset | DatasetDict) -> pd.Series: ...


@overload
def describe(careers: Sequence[str | Path] | Mapping[str, str | Path | Dataset | DatasetDict]) -> pd.DataFrame: ...


def describe(careers: Any) -> Any:
    """Counts what a careers dataset holds, including the rows of the paper's Tables 6 and 7.

    Stays, returns and new occupations are shares of the steps after each person's first: the same occupation as the
    step before, one held earlier but not just before, and one never held before. Percentages refer to all
    person-years, including missing values and years without an occupation; the percentage of college graduates refers
    to the person-years whose education is known. The tables' rows have these names in the result:

    | Table 6 or 7 | name in the result |
    |---|---|
    | number of individuals, of tokens | people, person-years |
    | average sequence length | mean years per career |
    | median year | median year |
    | geography and education | percent region ..., percent education ..., missing region, missing education |
    | broad occupation groups | percent managerial/professional specialty and so on, where codes are occ1990dd |
    | percent manual laborers | percent operator/fabricator/laborer |
    | percent college graduates | percent college graduates |
    | unemployed/out-of-labor-force/student available | yes if percent unemployed and so on are in the result |
    | demographic covariates available | yes if percent gender ... and percent race ... are in the result |

    Of careers in months or quarters the names have these words, such as person-months, mean months per career and
    first month, and the first, median and last are labels such as "1993-07".

    Args:
        careers: Careers, a folder of them, or careers by split name, which are counted together; or several datasets
            to compare, as a list of folders or as any of these by name.

    Returns:
        A frame with one column per dataset if there are several, else a series: people, person-years, years per career
        (mean, median, longest), occupations, first, median and last year, shares of stays, returns and new
        occupations, the missing share of each covariate, and percentages: states without an occupation, broad groups
        of occ1990dd (the six of the 1990 Census), levels of covariates that have at most eight, and college graduates
        where all levels of `education` have the names that this package's sources use.
    """
    if isinstance(careers, Mapping) and not isinstance(careers, DatasetDict):
        return pd.concat({name: describe(dataset) for name, dataset in careers.items()}, axis=1)
    if isinstance(careers, Sequence) and not isinstance(careers, str):
        folders: dict[str, Path] = {}
        if wrong := [folder for folder in careers if not isinstance(folder, (str, Path))]:
            raise ValueError(f"careers has {wrong[0]!r}, and a list must be of folders of careers")
        for folder in map(Path, careers):
            folders[str(folder) if folder.name in folders else folder.name] = folder
        return describe(folders)
    careers = as_careers(careers)
    check_types(careers)
    table = career_table(careers)
    lengths = list_lengths(table, "year")
    years = list_values(table, "year").to_numpy()
    occupations = list_values(table, "occupation").dictionary_encode()
    codes = occupations.indices.to_numpy().astype(np.int64)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    after_first = np.ones(len(codes), dtype=bool)
    after_first[np.cumsum(lengths) - lengths] = False
    stays = np.zeros(len(codes), dtype=bool)
    stays[1:] = after_first[1:] & (codes[1:] == codes[:-1])
    new = np.zeros(len(codes), dtype=bool)
    new[np.unique(rows * len(occupations.dictionary) + codes, return_index=True)[1]] = True
    new &= after_first
    steps = max(int(after_first.sum()), 1)
    unit = time_unit(table)
    ends = {"first": int(years.min()), "median": float(np.median(years)), "last": int(years.max())}
    summary: dict[str, Any] = {
        "people": table.num_rows,
        person_periods(unit): len(codes),
        f"mean {plural(unit)} per career": float(lengths.mean()),
        f"median {plural(unit)} per career": float(np.median(lengths)),
        "longest career": int(lengths.max()),
        "occupations": len(occupations.dictionary),
        **{f"{end} {unit}": n if unit == "year" else period_label(int(n), unit) for end, n in ends.items()},
        "share stay": float(stays.sum() / steps),
        "share return": float((after_first & ~stays & ~new).sum() / steps),
        "share new": float(new.sum() / steps),
    }
    varying, static = covariate_names(careers)
    values = {name: list_values(table, name) if name in varying else table[name] for name in [*varying, *static]}
    for name, column in values.items():
        summary[f"missing {name}"] = column.null_count / len(column)
    share = np.bincount(codes, minlength=len(occupations.dictionary)) / len(codes)
    summary |= _occupation_percentages(pd.Series(share, index=occupations.dictionary.to_pylist()))
    for name, column in values.items():
        labels = pd.Series(column.to_pandas())
        summary |= _level_percentages(name, labels if name in varying else labels.repeat(lengths))
    return pd.Series(summary, name="careers")


def _occupation_percentages(share: pd.Series) -> dict[str, float]:
    """Percentages of states without an occupation, and of the six Census groups if the other labels are occ1990dd."""
    percent = {f"percent {state}": 100 * float(share[state]) for state in NOT_WORKING if state in share.index}
    group_of = groups("census_group")
    coded = share[[label for label in share.index if label[0].isdigit()]]
    if len(coded) and set(coded.index) <= set(group_of):
        group_share = coded.groupby(coded.index.map(group_of)).sum()
        for name in [name for name in dict.fromkeys(group_of.values()) if name in group_share.index]:
            percent[f"percent {name.lower()}"] = 100 * float(group_share[name])
    return percent


def _level_percentages(name: str, labels: pd.Series) -> dict[str, float]:
    """Percentages of a covariate's levels, and of college graduates where it is education."""
    counts = labels.value_counts().sort_index()
    if not 0 < len(counts) <= MOST_LEVELS:
        return {}
    percent = {f"percent {name} {level}": 100 * float(count) / len(labels) for level, count in counts.items()}
    graduates = counts.index.isin(COLLEGE)
    if name == "education" and (graduates | counts.index.isin(BELOW_COLLEGE)).all():
        percent["percent college graduates"] = 100 * float(counts[graduates].sum() / counts.sum())
    return percent
