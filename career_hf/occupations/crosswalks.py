"""Crosswalks from Census occupation codes to occ1990dd, the coding of the paper's surveys (Autor and Dorn, 2013), and
its titles and broad groups. `weighted_crosswalks` has crosswalks from SOC, O*NET-SOC, ISCO-08 and ESCO.

occ1990dd is a balanced panel of occupations, which makes codes of different Census years comparable. Source: Autor, D.
H. and Dorn, D. (2013), "The Growth of Low-Skill Service Jobs and the Polarization of the US Labor Market", American
Economic Review 103(5), and the tables at ddorn.net; `data/README.md` says where each file comes from.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from importlib import resources
from io import StringIO
from typing import Literal, get_args

import pandas as pd

from ..number_ranges import within_ranges
from .normalising import label_of


GroupLevel = Literal["group", "major_group", "census_group"]

# Number of digits of the codes of each Census year. The list of 2002 is that of 2000 with a fourth digit, which is 0.
DIGITS = {1970: 3, 1980: 3, 1990: 3, 2000: 3, 2002: 4, 2010: 4}
# Code 874 occurs in the 1990 table only; the other years call the same occupation 873.
MERGED = {"874": "873"}
# Targets of the tables that are not occupations: armed forces, and unemployed without an occupation.
NOT_OCCUPATIONS = frozenset({"905", "991"})
# Codes of the armed forces, which have titles but are not among the 330; resumes use 905.
MILITARY_OCC1990DD = ("903", "904", "905")
# Codes of the armed forces by Census year, as in the NLSY79 codebooks; most have no row in the tables.
MILITARY = {
    1970: frozenset({580, 590}),
    1980: frozenset({903, 904, 905}),
    1990: frozenset({903, 904, 905}),
    2000: frozenset({980, 981, 982, 983, 984}),
    2002: frozenset({9800, 9810, 9820, 9830, 9840}),
    2010: frozenset({9800, 9810, 9820, 9830, 9840}),
}


def read_data(name: str, package: str = "career_hf.occupations") -> pd.DataFrame:
    """Reads a csv that ships in the folder `data` of a package, all cells as text, empty cells as empty text."""
    text = resources.files(package).joinpath("data", name).read_text(encoding="utf-8")
    return pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)


@functools.cache
def _table(vintage: int) -> pd.Series:
    if vintage not in DIGITS:
        raise ValueError(f"there is no crosswalk from Census {vintage}; choose one of {sorted(DIGITS)}")
    table = read_data(f"census{2000 if vintage == 2002 else vintage}_occ1990dd.csv")
    codes = table["census"].astype(int) * (10 if vintage == 2002 else 1)
    targets = table["occ1990dd"].replace(MERGED)
    return pd.Series(targets.to_numpy(), index=pd.Index(codes, name=f"census{vintage}"), name="occ1990dd")


@within_ranges
def crosswalk(vintage: int) -> pd.Series:
    """Occ1990dd code (text) by Census code (integer) of one Census year: 1970, 1980, 1990, 2000 (3 digits), 2002 or
    2010 (4 digits).

    The 874 of the 1990 table is merged into 873, as in the other years. The result includes the targets 905 (armed
    forces) and 991 (unemployed, no occupation), which `map_codes` does not take for occupations.
    """
    return _table(vintage).copy()


def codes() -> list[str]:
    """The 330 canonical occ1990dd codes as text, ascending: the targets of the 1980 and of the 2000 table."""
    return sorted(set(_table(1980)), key=int)


def titles() -> dict[str, str]:
    """Title by occ1990dd code. Besides the 330 codes: 361, which no table uses, and 903-905, the armed forces."""
    return dict(_titles())


@functools.cache
def _titles() -> dict[str, str]:
    table = read_data("occ1990dd_titles.csv")
    return dict(zip(table["occ1990dd"], table["title"], strict=True))


@within_ranges
def titles_of(labels: Collection[str]) -> dict[str, str]:
    """Titles of the labels that have one.

    There are none if a label is a number but not an occ1990dd code, because numbers mean other occupations in other
    coding schemes.
    """
    title_of_code = titles()
    if any(label.isdigit() and label not in title_of_code for label in labels):
        return {}
    return {label: title_of_code[label] for label in labels if label in title_of_code}


@within_ranges
def in_words(labels: Collection[str]) -> dict[str, str]:
    """Labels for readers: an occ1990dd code with its title, any other label with spaces."""
    title_of_label = titles_of(labels)
    return {
        label: f"{label} {title_of_label[label]}" if label in title_of_label else label.replace("_", " ")
        for label in labels
    }


def groups(level: GroupLevel = "group") -> dict[str, str]:
    """Broad group by occ1990dd code, for all 330 codes and the armed forces (903-905, group "military").

    Args:
        level: "group" for David Dorn's 25 groups of occupations, "major_group" for the six of Autor and Dorn (2013,
            Table 1), "census_group" for the six of the 1990 Census, five of which are in the paper's Table 6.

    Raises:
        ValueError: If the level is not one of these.
    """
    if level not in get_args(GroupLevel):
        raise ValueError(f"level {level!r} of occupation groups is not one of {get_args(GroupLevel)}")
    ranges = read_data("occ1990dd_groups.csv")
    labels = [*codes(), *MILITARY_OCC1990DD]
    return {
        code: label
        for label, first, last in zip(ranges[level], ranges["first_code"], ranges["last_code"], strict=True)
        for code in labels
        if int(first) <= int(code) <= int(last)
    }


def groups_of(labels: Iterable[str], level: GroupLevel = "group") -> dict[str, str]:
    """Broad group of every label of careers; labels that are words (unemployed, in_school, unknown) stay themselves.

    Use it as `transition_table(groups=groups_of(processor.occupations))`.

    Args:
        labels: Occupation labels: occ1990dd codes, and words for states without an occupation.
        level: As in `groups`.

    Raises:
        ValueError: If a label begins with a digit and is not an occ1990dd code.
    """
    group_of_code = groups(level)
    group_of_label = {label: group_of_code.get(label, label) for label in labels}
    codes = [label for label in group_of_label if label not in group_of_code and label[:1].isdigit()]
    if codes:
        raise ValueError(
            f"occupation '{codes[0]}' ({len(codes)} in all) is not an occ1990dd code, so it has no group: map the "
            "codes to occ1990dd first, or write the mapping of occupations to groups yourself"
        )
    return group_of_label


@within_ranges
def group_vectors(labels: Collection[str]) -> dict[str, list[float]]:
    """Vectors that say where a label stands in occ1990dd: 1 at its broad group and 1 at its ten of codes, else 0.

    Use it as `train(title_embeddings=group_vectors(labels))`: occupations of one group then share what is learned of
    the group. The vectors of a code are the same in every set of labels, so that models can be fine-tuned on others.

    Args:
        labels: Occupation labels: occ1990dd codes, and words for states without an occupation, whose vectors are 0.

    Returns:
        Vector of 0 and 1 by label; none at all if no label is an occ1990dd code, or one is a number and no such code.

    Example:
        >>> from career_hf.occupations import group_vectors
        >>> vectors = group_vectors(["95", "97", "unemployed"])
        >>> vectors["95"] == vectors["97"], sum(vectors["95"]), sum(vectors["unemployed"])
        (True, 2.0, 0.0)
    """
    group_of_code = groups()
    numbers = {label for label in labels if label[:1].isdigit()}
    if not numbers or not numbers <= group_of_code.keys():
        return {}
    kinds = sorted(set(group_of_code.values()))
    tens = sorted({int(code) // 10 for code in group_of_code})
    vectors = {label: [0.0] * (len(kinds) + len(tens)) for label in labels}
    for label in numbers:
        vectors[label][kinds.index(group_of_code[label])] = 1.0
        vectors[label][len(kinds) + tens.index(int(label) // 10)] = 1.0
    return vectors


@within_ranges
def map_codes(codes: pd.Series, vintage: int) -> tuple[pd.Series, pd.Series]:
    """Maps Census codes of one Census year to occ1990dd.

    Args:
        codes: Census codes, whole numbers or text; null stays null.
        vintage: Census year of the codes: 1970, 1980, 1990, 2000, 2002 or 2010.

    Returns:
        The occ1990dd codes as text, null where there is none; and the number of cells per Census code without a
        target (codes without a row, and codes of the armed forces or of the unemployed), by falling count.

    Raises:
        ValueError: If a code is not a whole number, has too many digits for the Census year, or is negative.
    """
    table = _table(vintage)
    codes = _whole_numbers(codes)
    outside = codes[(codes < 0) | (codes >= 10 ** DIGITS[vintage])].dropna()
    if len(outside):
        raise ValueError(
            f"code {outside.iloc[0]} (row {outside.index[0]}, {len(outside)} in all) is not a Census {vintage} code: "
            f"these have {DIGITS[vintage]} digits; map missing codes to null, and divide codes with a fourth digit by "
            "10, rounding down"
        )
    mapped = codes.map(table[~table.isin(NOT_OCCUPATIONS)]).astype("string")
    unmapped = codes[mapped.isna()].dropna().value_counts()
    return mapped.rename("occ1990dd"), unmapped.rename("count")


@within_ranges
def is_military(codes: pd.Series, vintage: int) -> pd.Series:
    """Whether a Census code belongs to the armed forces (False for null)."""
    if vintage not in MILITARY:
        raise ValueError(f"there is no crosswalk from Census {vintage}; choose one of {sorted(MILITARY)}")
    return _whole_numbers(codes).isin(MILITARY[vintage])


def _whole_numbers(codes: pd.Series) -> pd.Series:
    """Codes as whole numbers, whether they are text, floats or integers; null stays null."""
    if pd.api.types.is_integer_dtype(codes):
        return codes.astype("Int64")
    labels = pd.Series([label_of(code) for code in codes.astype(object)], index=codes.index, dtype="string")
    refused = labels[~labels.str.fullmatch(r"-?[0-9]{1,18}").fillna(True).astype(bool)]
    if len(refused):
        raise ValueError(f"code {refused.iloc[0]!r} (row {refused.index[0]}) is not a whole number: map it to null")
    return labels.astype("Int64")
