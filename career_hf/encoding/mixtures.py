"""Encoding of mixtures, whose corpora cannot contain everything: each step gets the ids that it cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ..careers.columns import career_table, list_lengths, list_values, make_dataset
from ..careers.ledger import Ledger
from ..careers.mixing import CORPUS
from ..careers.provenance import Limits
from .processing_career import CareerProcessor


# What stands in the place of ids where fewer are excluded than elsewhere.
NOTHING = -100


def encode_mixture(
    careers: Dataset,
    processor: CareerProcessor,
    *,
    limits: Mapping[str, Limits],
    unknown_levels: Literal["error", "missing"] = "missing",
) -> tuple[Dataset, Ledger]:
    """Encodes careers of a mixture, with a column `excluded` where a corpus cannot contain something.

    Years of a corpus that has no calendar are missing.

    Args:
        careers: One split of a mixture, as `careers.mixing.mix` returns it.
        processor: A processor that was fitted on the mixture's dated careers.
        limits: What the careers of each corpus cannot contain, by its name.
        unknown_levels: As in `processor.encode`; the levels that only a corpus without calendar has are missing.

    Returns:
        The encoded careers, and the ledger. `excluded` is `(T, most)` for each career: the ids of the labels that its
        corpus lacks, and where nobody stays in it the id of the occupation before; filled up with -100.

    Raises:
        ValueError: A corpus contains what its limits say it cannot; the message names person, year and label. Or as in
            `processor.encode`.
    """
    encoded, ledger = processor.encode(careers, unknown_levels=unknown_levels)
    table, source = career_table(encoded), career_table(careers)
    names = source[CORPUS].combine_chunks().dictionary_encode()
    lacking = {name: _ids(processor, limits[name]) for name in names.dictionary.to_pylist()}
    most = max(len(ids) + (not limits[name].stays) for name, ids in lacking.items())
    lengths = list_lengths(table, "input_ids")
    corpus = np.repeat(names.indices.to_numpy(), lengths)
    labels, previous = (list_values(table, name).to_numpy() for name in ("labels", "input_ids"))
    excluded = np.full((len(corpus), most), NOTHING, dtype=np.int32)
    columns: dict[str, Any] = {name: table[name].combine_chunks() for name in table.column_names}
    for number, (name, ids) in enumerate(lacking.items()):
        steps = np.flatnonzero(corpus == number)
        excluded[steps[:, None], np.arange(len(ids))] = ids
        if not limits[name].stays:
            excluded[steps, len(ids)] = previous[steps]
    impossible = (excluded == labels[:, None]).any(axis=1) & (_weights(table, lengths) > 0)
    if impossible.any():
        step = int(np.argmax(impossible))
        row = int(np.searchsorted(lengths.cumsum(), step, side="right"))
        person, year = source["person"][row].as_py(), list_values(source, "year")[step].as_py()
        label = processor.occupations[labels[step]]
        what = "has it" if label in limits[source[CORPUS][row].as_py()].lacks else "stays in it"
        raise ValueError(
            f"person '{person}', year {year}, occupation '{label}': the corpus cannot contain this by its limits, and "
            f"the person {what}; correct the limits of the corpus"
        )
    if processor.time_covariate is not None:
        undated = np.isin(corpus, [i for i, name in enumerate(lacking) if not limits[name].calendar])
        levels = list_values(table, "covariates").flatten().to_numpy().reshape(len(corpus), -1).copy()
        levels[undated, processor.covariate_names.index(processor.time_covariate)] = 0
        columns["covariates"] = _by_step(lengths, levels)
    if most:
        columns["excluded"] = _by_step(lengths, excluded)
    return make_dataset(columns), ledger


def _ids(processor: CareerProcessor, limits: Limits) -> list[int]:
    """Ids of the labels that a corpus lacks, of those that the model knows."""
    return [processor.occupations.index(label) for label in limits.lacks if label in processor.occupations]


def _weights(encoded: pa.Table, lengths: np.ndarray) -> np.ndarray:
    """`(steps,)` weights of encoded careers."""
    if "weight" not in encoded.column_names:
        return np.ones(int(lengths.sum()))
    if pa.types.is_nested(encoded.schema.field("weight").type):
        return np.asarray(list_values(encoded, "weight"))
    return np.repeat(np.asarray(encoded["weight"]), lengths)


def _by_step(lengths: np.ndarray, values: np.ndarray) -> pa.Array:
    """A column of `(T, width)` for each career."""
    offsets = pa.array(np.append(0, lengths.cumsum()), pa.int32())
    rows = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), values.shape[1])
    return pa.ListArray.from_arrays(offsets, rows)


__all__ = ["encode_mixture"]
