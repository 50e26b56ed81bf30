"""Vocabularies: what labels careers hold, and which id each label has. Ids are places in ordered lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..careers.columns import is_list, is_text, list_lengths, list_values, sort_labels


MISSING = "missing"


def label_counts(labels: pa.Array) -> dict[str, int]:
    """How often each label occurs."""
    counts = pc.value_counts(labels)
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))


def by_frequency(counts: Mapping[str, int]) -> list[str]:
    """Labels from the most to the least frequent, ties by label."""
    return sorted(counts, key=lambda label: (-counts[label], label))


def learn_levels(table: pa.Table, name: str) -> list[str]:
    """The levels of one covariate of careers, sorted (as numbers where all are), without "missing"."""
    labels = pc.unique(_covariate_labels(table, name))
    return [level for level in sort_labels(labels).to_pylist() if level != MISSING]


def most_common_gap(table: pa.Table) -> int:
    """The most common gap between a person's observed years, the shortest of several; 1 if nobody has two."""
    lengths = list_lengths(table, "year")
    within = np.ones(lengths.sum(), dtype=bool)
    within[np.cumsum(lengths) - lengths] = False
    gaps, counts = np.unique(np.diff(list_values(table, "year").to_numpy(), prepend=0)[within], return_counts=True)
    return int(gaps[counts.argmax()]) if len(gaps) else 1


def unit_weight_scale(table: pa.Table) -> float | None:
    """The factor that gives survey weights a mean of 1 per person-year; None for careers without weights."""
    if "weight" not in table.column_names:
        return None
    lengths = list_lengths(table, "year")
    return float(lengths.sum() / np.dot(table["weight"].to_numpy(), lengths))


def occupation_codes(
    table: pa.Table, occupations: Sequence[str], special_token_ids: Sequence[int], unknown_occupation: str | None
) -> tuple[np.ndarray, int]:
    """The id of every person-year's occupation, int32, and how many were mapped to the unknown occupation.

    Raises:
        ValueError: If an occupation is not known and there is no unknown occupation.
    """
    labels = list_values(table, "occupation")
    codes = index_occupations(labels, occupations, special_token_ids)
    unknown = codes < 0
    if unknown.any() and unknown_occupation is None:
        step = int(np.argmax(unknown))
        fail(
            table,
            _row_of_step(table, step),
            step,
            f"occupation {labels[step].as_py()!r} is not among the {len(occupations) - len(special_token_ids)} known "
            "ones; correct it, add it with processor.extend(careers), or fit with unknown_occupation='unknown'",
        )
    if unknown.any():
        codes[unknown] = occupations.index(str(unknown_occupation))
    return codes, int(unknown.sum())


def index_occupations(labels: pa.Array, occupations: Sequence[str], special_token_ids: Sequence[int]) -> np.ndarray:
    """The ids of occupation labels, int32; -1 where unknown. The labels of special ids are never occupations."""
    codes = index_labels(labels, occupations)
    codes[np.isin(codes, special_token_ids)] = -1
    return codes


def index_labels(labels: pa.Array, vocabulary: Sequence[str]) -> np.ndarray:
    """The place of each label in a list, int32; -1 where it has none."""
    places = pc.index_in(labels, value_set=pa.array(vocabulary, pa.string()))
    return pc.fill_null(places, -1).to_numpy(zero_copy_only=False).astype(np.int32)


def level_codes(table: pa.Table, name: str, levels: Sequence[str], unknown_is_missing: bool) -> tuple[np.ndarray, int]:
    """The level id of every person-year, int32, and how many unknown levels became "missing".

    Raises:
        ValueError: If the covariate is not a column, or a level is not known and `unknown_is_missing` is False.
    """
    labels = _covariate_labels(table, name)
    codes = index_labels(pc.fill_null(labels, MISSING), levels)
    per_person = len(codes) == table.num_rows and name != "year" and not is_list(table.schema.field(name).type)
    unknown = codes < 0
    if unknown.any() and not unknown_is_missing:
        place = int(np.argmax(unknown))
        row = place if per_person else _row_of_step(table, place)
        step = int(list_lengths(table, "year")[:row].sum()) if per_person else place
        known = f"levels {', '.join(levels[1:9])}{' and others' if len(levels) > 9 else ''}"
        if name == "year" and len(levels) > 1:
            years = [int(level) for level in levels[1:]]
            known = f"years, {min(years)} to {max(years)}"
        fail(
            table,
            row,
            step,
            f"{labels[place].as_py()!r} of covariate '{name}' is not among the trained {known}; correct it, add it "
            "with processor.extend(careers), or encode with unknown_levels='missing'",
        )
    codes[unknown] = 0
    if per_person:
        codes, unknown = np.repeat(codes, list_lengths(table, "year")), np.repeat(unknown, list_lengths(table, "year"))
    return codes, int(unknown.sum())


def fail(table: pa.Table, row: int, step: int, problem: str) -> NoReturn:
    """Raises the ValueError for one person-year; steps count through all careers."""
    person, year = table["person"][row].as_py(), list_values(table, "year")[step].as_py()
    raise ValueError(f"person '{person}', row {row}, year {year}: {problem}")


def _covariate_labels(table: pa.Table, name: str) -> pa.Array:
    """A covariate's labels, one per person-year or, for a static covariate, one per person."""
    if name not in table.column_names:
        raise ValueError(f"careers have no covariate '{name}', only {table.column_names}: add it, or fit without it")
    if name == "year":
        return list_values(table, name).cast(pa.string())
    kind = table.schema.field(name).type
    if is_list(kind) and is_text(kind.value_type):
        return list_values(table, name)
    if is_text(kind):
        return pa.concat_arrays(table[name].chunks) if table[name].chunks else pa.array([], pa.string())
    raise ValueError(
        f"column '{name}' has type {kind} and is no covariate: pass it to from_frame in covariates= or static="
    )


def _row_of_step(table: pa.Table, step: int) -> int:
    return int(np.searchsorted(np.cumsum(list_lengths(table, "year")), step, side="right"))


def check_config(config: Any, expected: Mapping[str, Any]) -> None:
    """Checks a model's config against the `config_kwargs` of a processor.

    Raises:
        ValueError: Naming the field that differs, or the first id that does with both labels.
    """
    fix = "load both from one checkpoint, or move the model with model.resize_vocabulary(old, new)"
    labels = {int(i): label for i, label in (config.id2label or {}).items()}
    for i in range(max(expected["vocab_size"], config.vocab_size)):
        own, other = expected["id2label"].get(i), labels.get(i)
        if own != other:
            sizes = f"{expected['vocab_size']} and {config.vocab_size} ids"
            raise ValueError(f"the processor has occupation {own!r} at id {i}, the config {other!r} ({sizes}): {fix}")
    for key in (
        "vocab_size",
        "covariate_names",
        "covariate_sizes",
        "special_token_ids",
        "pad_token_id",
        "bos_token_id",
    ):
        own, other = expected[key], getattr(config, key, None)
        if isinstance(own, list):
            other = sorted(other or []) if key == "special_token_ids" else list(other or [])
        if key == "special_token_ids":
            own = sorted(own)
        if own != other:
            raise ValueError(f"the processor has {key} {own}, the config {other}: {fix}")
