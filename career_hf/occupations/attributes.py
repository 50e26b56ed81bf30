"""Attributes of occupations, such as exposure to AI, task measures, wages or broad groups, by the labels of careers.

Broad groups of occ1990dd ship. Measures of others do not, because most have no licence that lets them: take the
authors' file, in whatever coding it is, and `attributes` carries it over to occ1990dd. The page "Attributes of
occupations" says where to get well-known ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from ..number_ranges import within_ranges
from .crosswalks import GroupLevel, codes, groups
from .normalising import labels_of
from .weighted_crosswalks import source_of_code, weighted_crosswalk


@within_ranges
def attributes(
    table: str | Path | pd.DataFrame | None = None,
    *,
    occupation: str = "occupation",
    columns: Sequence[str] | None = None,
    system: str | None = None,
    weight: str | None = None,
) -> pd.DataFrame:
    """Attributes of occupations from a table of one's own; without a table, what ships: groups of occ1990dd.

    Args:
        table: One row per occupation: a pandas table, or a Parquet, Stata or CSV file.
        occupation: Column of the occupations' labels or codes.
        columns: Columns of attributes; all others unless given. A column whose values are all numbers, or numbers as
            text, is a number; any other is a text with levels, such as a broad group.
        system: The coding of the column `occupation`: None if its labels are those of the careers. Otherwise a coding
            that `weighted_crosswalk` knows ("soc2010", "census2010", "isco08", ...), from which numbers are carried
            over to occ1990dd: the mean over the codes that lead to an occupation, each as far as it leads there.
        weight: Column of weights of these codes in the mean, such as employment; all alike unless given.

    Returns:
        A row for each occupation, whose label is the index, with the attributes as columns, missing where they are.
        `attrs["unmapped"]` are codes of the table that the crosswalk does not know, whose rows are not used. Without
        a table: group, major_group and census_group of the 330 occupations of occ1990dd, as `groups` has them.

    Raises:
        ValueError: There is no such file, a column is missing, an attribute has no name or no value, an occupation
            stands in two rows or in none, a number is infinite, a text is to be averaged, a weight is missing or
            negative, or no code is known.

    Example:
        >>> attributes().loc["22", "major_group"]
        'Managers/professionals/technicians/finance/public safety'
    """
    if table is None:
        if columns is not None or system is not None or weight is not None:
            raise ValueError("columns=, system= and weight= are of a table of attributes: pass one, table=")
        return (
            pd.DataFrame({level: groups(level) for level in get_args(GroupLevel)})
            .loc[codes()]
            .rename_axis("occupation")
        )
    read = table if isinstance(table, pd.DataFrame) else _read(table)
    taken = {occupation, weight}
    names = [name for name in read.columns if name not in taken] if columns is None else list(columns)
    absent = [name for name in (occupation, *names, *([weight] if weight else [])) if name not in read.columns]
    if absent:
        raise ValueError(f"the table of attributes has no column '{absent[0]}', only {list(read.columns)}")
    if not names or not len(read):
        raise ValueError("the table of attributes has no attribute: it needs a row per occupation, and other columns")
    _check_names(names)
    labels = labels_of(read[occupation])
    if labels.isna().any():
        raise ValueError(f"column '{occupation}', row {labels.index[labels.isna()][0]}: the occupation is missing")
    if labels.duplicated().any():
        label = labels[labels.duplicated()].iloc[0]
        raise ValueError(f"column '{occupation}': occupation '{label}' is in two rows; keep one, or their mean")
    frame = pd.DataFrame({name: _numbers_or_labels(read[name]).to_numpy() for name in names})
    frame.index = pd.Index(labels, name="occupation", dtype=object)
    if system is None:
        if weight is not None:
            raise ValueError("weight= is for codes that are carried over with system=; without it nothing is averaged")
        check_attributes(frame)
        frame.attrs["unmapped"] = []
        return frame
    return _carried_over(frame, system, None if weight is None else pd.to_numeric(read[weight], errors="coerce"))


def check_attributes(table: pd.DataFrame) -> None:
    """Checks that a table has one row per occupation, its index, and attributes that can be averaged.

    Raises:
        ValueError: An occupation stands in two rows, a number is infinite, an attribute has no name or no value, or
            there is nothing in the table.
    """
    if not table.shape[0] or not table.shape[1]:
        raise ValueError("the table of attributes is empty: it needs a row per occupation and a column per attribute")
    for kind, names in (("occupation", table.index), ("attribute", table.columns)):
        if not names.is_unique:
            raise ValueError(f"{kind} '{names[names.duplicated()][0]}' stands twice in the table of attributes")
    _check_names(table.columns)
    for name in table.columns:
        if table[name].isna().all():
            raise ValueError(
                f"attribute '{name}' is missing for every occupation: correct it, or leave it out with columns="
            )
        if is_number(table[name]):
            infinite = np.isinf(table[name].to_numpy(dtype=float, na_value=np.nan))
            if infinite.any():
                raise ValueError(
                    f"occupation '{table.index[infinite.argmax()]}', attribute '{name}': the value is infinite; "
                    "correct it, or make it missing"
                )


def _check_names(names: Iterable[Any]) -> None:
    """Raises a ValueError if an attribute has an empty name."""
    for number, name in enumerate(names, start=1):
        if not str(name).strip():
            raise ValueError(f"attribute {number} of the table has no name: name it, or leave it out with columns=")


def as_attributes(table: str | Path | pd.DataFrame) -> pd.DataFrame:
    """The attributes of a file or of a table with a column `occupation`; any other table as it is, checked.

    Args:
        table: As in `attributes`, or what it returns, or any table whose index are labels of occupations.
    """
    if not isinstance(table, pd.DataFrame) or "occupation" in table.columns:
        return attributes(table)
    table = table.rename(index=str)
    check_attributes(table)
    return table


def attribute_matrix(
    table: pd.DataFrame, labels: Sequence[str]
) -> tuple[list[tuple[str, str | None]], np.ndarray, np.ndarray]:
    """Attributes as numbers, for the occupations of careers or of a model.

    Args:
        table: Attributes by occupation, as `attributes` returns them.
        labels: Labels of occupations, J of them.

    Returns:
        The K columns: an attribute and None where it is a number, an attribute and one of its levels where it is a
        text; levels that none of these occupations has are left out. `(J, K)` values, 0 where missing; of levels 1
        and 0. `(J, K)` bool, whether there is a value.
    """
    rows = table.reindex(pd.Index(labels, dtype=object))
    names: list[tuple[str, str | None]] = []
    values, known = [], []
    for name in table.columns:
        column = rows[name]
        has = column.notna().to_numpy()
        if is_number(table[name]):
            names.append((str(name), None))
            values.append(np.where(has, column.to_numpy(dtype=float, na_value=np.nan), 0.0))
            known.append(has)
            continue
        present = set(column[has].astype(str))
        for level in dict.fromkeys(table[name].dropna().astype(str)):
            if level not in present:
                continue
            names.append((str(name), level))
            values.append((column.astype(object).astype(str) == level).to_numpy(dtype=float) * has)
            known.append(has)
    return names, np.stack(values, axis=1), np.stack(known, axis=1)


def is_number(column: pd.Series) -> bool:
    """Whether an attribute is a number, and no text with levels."""
    return bool(pd.api.types.is_numeric_dtype(column))


def _read(path: str | Path) -> pd.DataFrame:
    """Reads a Parquet, Stata or CSV file; cells of the latter stay text, as codes must."""
    try:
        if Path(path).suffix == ".parquet":
            return pd.read_parquet(path)
        if Path(path).suffix == ".dta":
            return pd.read_stata(path, convert_categoricals=False)
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        # The words of pandas for a column that has no name.
        return table.rename(columns=lambda name: "" if re.fullmatch(r"Unnamed: \d+", name) else name)
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}: pass a table of attributes, or the path of one") from error
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error


def _numbers_or_labels(column: pd.Series) -> pd.Series:
    """A column as numbers where all its values are numbers, otherwise as labels; missing ones stay missing."""
    labels = labels_of(column)
    numbers = pd.to_numeric(labels, errors="coerce").astype(float)
    return labels if (numbers.isna() & labels.notna()).any() else numbers


def _carried_over(frame: pd.DataFrame, system: str, weights: pd.Series | None) -> pd.DataFrame:
    """Means of numbers over the codes of another coding that lead to each occ1990dd code."""
    texts = [name for name in frame.columns if not is_number(frame[name])]
    if texts:
        raise ValueError(f"attribute '{texts[0]}' is a text, of which there is no mean: leave it out with columns=")
    check_attributes(frame)
    size = np.ones(len(frame)) if weights is None else weights.to_numpy(dtype=float)
    wrong = ~(size >= 0)
    if wrong.any():
        raise ValueError(
            f"occupation '{frame.index[wrong.argmax()]}': its weight is missing or negative; give it one, or 0"
        )
    pairs = weighted_crosswalk(system)  # type: ignore[arg-type]
    sources = frame.index.map(source_of_code(pairs))
    unmapped = frame.index[sources.isna()].tolist()
    if len(unmapped) == len(frame):
        raise ValueError(f"no code of the table, such as '{unmapped[0]}', is one of '{system}'; pass another system=")
    joined = pd.DataFrame({"source": sources, "row": np.arange(len(frame))}).dropna().merge(pairs, on="source")
    mass = joined["weight"].to_numpy() * size[joined["row"]]
    target = joined["occ1990dd"]
    means = {}
    for name in frame.columns:
        value = frame[name].to_numpy(dtype=float)[joined["row"]]
        has = np.where(np.isnan(value), 0.0, mass)
        sums = pd.DataFrame({"sum": has * np.nan_to_num(value), "mass": has}).groupby(target.to_numpy()).sum()
        means[name] = sums["sum"] / sums["mass"].where(sums["mass"] > 0)
    carried = pd.DataFrame(means)
    carried = carried.loc[sorted(carried.index, key=int)].rename_axis("occupation")
    check_attributes(carried)
    carried.attrs["unmapped"] = unmapped
    return carried


__all__ = ["attributes"]
