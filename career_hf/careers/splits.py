"""Splits by person (or family) that depend on identifiers alone: reruns, row orders and added people change none."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict

from ..number_ranges import within_ranges


DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}
# Identifiers of careers that are counts of moves begin with this, as `from_moves` makes them: nobody is behind one.
COUNTS = "counts:"
# Identifiers that are hashed at a time, as Python text.
IDENTIFIERS_AT_ONCE = 1_000_000


@within_ranges
def split_careers(
    careers: Dataset,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    salt: str = "career_hf",
    group: str | None = None,
) -> DatasetDict:
    """Splits careers by a hash of the person, so that a person's split never changes when the data around them does.

    A person's place is SHA-256 of "salt:identifier" read as a fraction of 1; the splits cut [0, 1) in the order in
    which `fractions` names them. Counts of moves, which `from_moves` makes, are not people who could be held out: all
    are in the first split.

    Args:
        careers: Careers, one row per person.
        fractions: Share of people per split; sums to 1. Shares are expected values, not exact.
        salt: Another salt gives another, independent split.
        group: Column whose people stay together (a family, a household). If None, the careers' own `group` column
            where they have one, else each person alone.

    Returns:
        One dataset per split, each in the order of `careers`.

    Raises:
        ValueError: If the fractions do not sum to 1, the group column is not there, or a person has no group.
    """
    unit = _unit_column(careers, group)
    split_of_person = split_numbers(_identifiers(careers, unit), fractions, salt)
    split_of_person[are_counts(_identifiers(careers, "person"))] = 0
    splits = {name: careers.select(np.flatnonzero(split_of_person == i)) for i, name in enumerate(fractions)}
    check_leaks(splits, group=group)
    return DatasetDict(splits)


def are_counts(people: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Whether each identifier is that of counts of moves, and not of a person: a boolean array."""
    return pc.starts_with(people, COUNTS).to_numpy(zero_copy_only=False)


def check_not_empty(splits: Mapping[str, Dataset], names: Sequence[str]) -> None:
    """Refuses splits without a person, which a hash can leave where people are few.

    Args:
        splits: Careers by split name.
        names: Names of the splits that must have people.

    Raises:
        ValueError: A split is empty.
    """
    for name in names:
        if not len(splits[name]):
            raise ValueError(f"the split '{name}' is empty: there are too few people to fill every split")


def split_numbers(
    identifiers: pa.Array, fractions: Mapping[str, float] = DEFAULT_FRACTIONS, salt: str = "career_hf"
) -> np.ndarray:
    """Numbers the split of each identifier, in the order of `fractions`, as `split_careers` splits.

    Args:
        identifiers: Identifiers of people or families as text, none missing.
        fractions: As in `split_careers`.
        salt: As in `split_careers`.

    Returns:
        Whole numbers from 0, as long as `identifiers`.

    Raises:
        ValueError: If the fractions do not sum to 1.
    """
    shares = list(fractions.values())
    if any(share < 0 for share in shares) or not math.isclose(sum(shares), 1, abs_tol=1e-9):
        raise ValueError(f"fractions {dict(fractions)} must not be negative and must sum to 1, not to {sum(shares)}")
    codes = pc.dictionary_encode(identifiers)
    places = np.array(
        [_hash_fraction(identifier, salt) for identifier in codes.dictionary.to_pylist()], dtype=np.float64
    )
    # The last cut is left out, so that no place in [0, 1) can fall behind it by rounding.
    return np.searchsorted(np.cumsum(shares)[:-1], places, side="right")[codes.indices.to_numpy()]


@within_ranges
def check_leaks(splits: Mapping[str, Dataset], group: str | None = None) -> None:
    """Checks that nobody is in two splits, nor a family where careers have a `group` column.

    Args:
        splits: Careers by split name.
        group: Another column whose people must stay together.

    Raises:
        ValueError: If a person or a group is in two splits; the message names it and both splits.
    """
    for unit in ("person", "group") if group is None else ("person", group):
        split_of: dict[str, str] = {}
        for name, careers in splits.items():
            if unit not in careers.column_names:
                continue
            for identifier in pc.unique(_identifiers(careers, unit)).to_pylist():
                if split_of.setdefault(identifier, name) != name:
                    raise ValueError(
                        f"{unit} '{identifier}' is in both '{split_of[identifier]}' and '{name}': a model would be "
                        "tested on people it was trained on; split with split_careers (group= keeps families together)"
                    )


@within_ranges
def split_manifest(
    splits: Mapping[str, Dataset],
    salt: str = "career_hf",
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    group: str | None = None,
) -> dict[str, Any]:
    """Records what is needed to rebuild a split and to prove that two people used the same one.

    Args:
        splits: Careers by split name.
        salt: The salt given to `split_careers`.
        fractions: The fractions given to `split_careers`.
        group: The group given to `split_careers`.

    Returns:
        A mapping for JSON: salt, fractions (in order), group, and per split the number of people and the SHA-256 of
        their sorted identifiers joined by newlines.
    """
    any_split = next(iter(splits.values()))
    unit = _unit_column(any_split, group)
    people = {name: {"people": careers.num_rows, "sha256": _people_hash(careers)} for name, careers in splits.items()}
    return {
        "salt": salt,
        "fractions": [[name, fraction] for name, fraction in fractions.items()],
        "group": None if unit == "person" else unit,
        "splits": people,
    }


def check_manifest(splits: Mapping[str, Dataset], manifest: Mapping[str, Any]) -> None:
    """Checks that splits hold exactly the people of a manifest.

    Raises:
        ValueError: If a split is missing or holds other people.
    """
    for name, expected in manifest["splits"].items():
        people = splits[name].num_rows if name in splits else None
        if people is None or _people_hash(splits[name]) != expected["sha256"]:
            raise ValueError(
                f"split '{name}' does not hold the people of its manifest ({expected['people']} people expected, "
                f"{people} found): it was rebuilt from other data or another salt; split again with salt "
                f"{manifest['salt']!r}"
            )


def _unit_column(careers: Dataset, group: str | None) -> str:
    """Name of the column whose identifiers are hashed."""
    if group is None:
        return "group" if "group" in careers.column_names else "person"
    if group not in careers.column_names:
        raise ValueError(f"group column '{group}' is not in the careers, whose columns are {careers.column_names}")
    return group


def _identifiers(careers: Dataset, unit: str) -> Any:
    table = careers.select_columns(list(dict.fromkeys(["person", unit]))).with_format("arrow")[:]
    identifiers = table[unit].combine_chunks()
    if identifiers.null_count:
        row = int(np.flatnonzero(pc.is_null(identifiers))[0])
        raise ValueError(
            f"person '{table['person'][row].as_py()}', row {row}, column '{unit}': the value is missing, so the "
            f"person's split is undefined; give people without a {unit} one of their own"
        )
    return identifiers


def _hash_fraction(identifier: str, salt: str) -> float:
    # A float64 holds 53 bits exactly; 64 could round up to 1.0, outside [0, 1).
    return (int.from_bytes(hashlib.sha256(f"{salt}:{identifier}".encode()).digest()[:8], "big") >> 11) / 2.0**53


def _people_hash(careers: Dataset) -> str:
    people = _identifiers(careers, "person")
    # Arrow's order of text is Python's, and takes a tenth of the memory.
    people = people.take(pc.sort_indices(people))
    digest = hashlib.sha256()
    for first in range(0, len(people), IDENTIFIERS_AT_ONCE):
        digest.update(
            ("\n" * (first > 0) + "\n".join(people[first : first + IDENTIFIERS_AT_ONCE].to_pylist())).encode()
        )
    return digest.hexdigest()
