"""Mixtures: several corpora as one set of careers to train on, each with its weight and what it cannot contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, DatasetDict

from ..number_ranges import within_ranges
from .columns import career_table, is_list, list_lengths, list_values, make_dataset, weights_by_step
from .frames import as_splits
from .periods import plural, time_unit, unit_column
from .prepared import PreparedCareers
from .provenance import UNKNOWN_SOURCE, Limits, limits_of, source_of
from .splits import are_counts


# The column of a mixture that says from which corpus a career is.
CORPUS = "corpus"


@dataclass(frozen=True)
class Corpus:
    """One corpus of a mixture.

    Args:
        name: Its name in the column `corpus`: the source, with a number where several have one source.
        source: Source, licence and redistribution, as `source_of` returns them.
        limits: What its careers cannot contain.
        share: Its share of all weight in training.
        careers: Number of its training careers; counts of moves are careers of nobody.
        people: Number of people among them.
        person_years: Number of its training steps that have weight.
    """

    name: str
    source: Mapping[str, Any]
    limits: Limits
    share: float
    careers: int
    people: int
    person_years: int


@dataclass(frozen=True)
class Mixture:
    """Several corpora as one.

    Args:
        splits: Careers of all corpora by split name, with the columns `weight` (by step) and `corpus`, the covariates
            that were asked for, and no others.
        corpora: The corpora, in the order of the mixture.
    """

    splits: DatasetDict
    corpora: Sequence[Corpus]

    @property
    def limits(self) -> dict[str, Limits]:
        """What the careers of each corpus cannot contain, by its name."""
        return {corpus.name: corpus.limits for corpus in self.corpora}

    @property
    def dated(self) -> Dataset:
        """Training careers whose years are those of a calendar, or ages; raises a ValueError if there are none."""
        dated = [corpus.name for corpus in self.corpora if corpus.limits.calendar]
        train = self.splits["train"]
        rows = np.flatnonzero(np.isin(train[CORPUS], dated))
        if not len(rows):
            raise ValueError(
                "no corpus has calendar years, so the year cannot be a covariate: leave it out of covariates"
            )
        return train.select(rows)


@within_ranges
def mix(
    corpora: Sequence[str | Path | Dataset | DatasetDict | PreparedCareers],
    corpus_weights: Sequence[float] | None = None,
    covariates: Sequence[str] = (),
) -> Mixture:
    """Mixes corpora, such as surveys and counts of moves, into one set of careers to train on.

    Survey weights and counts are kept within a corpus, whose weights are then multiplied by one number, so that the
    corpus has its share of all weight in every split. A split is a mixture of the corpora that have it. A covariate
    that a corpus does not have is missing in all its careers.

    Args:
        corpora: Folders of careers, what `career-hf prepare` and `from_moves` return in Python, or careers in memory,
            which are split where they are not. Folders and prepared careers know what they cannot contain.
        corpus_weights: Weight of each corpus in training; all of them are made to sum to one. None weighs every corpus
            by its person-years.
        covariates: Columns to keep; the year is always there.

    Raises:
        ValueError: There is no corpus, weights are not as many or out of range, no corpus has people to validate on, a
            corpus has no training careers or no weight, a person is in two corpora, or no corpus has a covariate.
    """
    if isinstance(corpora, (str, Path, Dataset, Mapping)) or not len(corpora):
        raise ValueError("corpora is no list of corpora: pass a list with at least one, such as [survey, moves]")
    if corpus_weights is not None and not isinstance(corpus_weights, (list, tuple)):
        raise ValueError(f"corpus_weights is {corpus_weights!r}, and must be a list of numbers, one for each corpus")
    if corpus_weights is not None and len(corpus_weights) != len(corpora):
        raise ValueError(f"there are {len(corpus_weights)} corpus_weights for {len(corpora)} corpora: give one each")
    parts = [_splits_of(corpus) for corpus in corpora]
    for number, (splits, _, _) in enumerate(parts):
        if not len(splits.get("train", ())):
            raise ValueError(f"corpus {number + 1} has no training careers, only splits {list(splits)}")
    if not any(len(splits.get("validation", ())) for splits, _, _ in parts):
        raise ValueError("no corpus has a split 'validation': add careers of people, who can be held out")
    units = [time_unit(splits["train"]) for splits, _, _ in parts]
    if other := [number for number, unit in enumerate(units) if unit != units[0]]:
        raise ValueError(
            f"corpus {other[0] + 1} is in {plural(units[other[0]])} and corpus 1 in {plural(units[0])}: make them in "
            "one unit, with from_frame(..., unit=)"
        )
    kinds = _kinds([splits["train"] for splits, _, _ in parts], [name for name in covariates if name != "year"])
    names = _names([record["source"] for _, record, _ in parts])

    tables: dict[str, list[pa.Table]] = {"train": [], "validation": []}
    found = []
    for number, (splits, record, limits) in enumerate(parts):
        for split, of_split in tables.items():
            if len(splits.get(split, ())):
                table = career_table(splits[split])
                scored = weights_by_step(table)
                if not scored.any():
                    raise ValueError(f"corpus {number + 1}, '{names[number]}', has weights of 0 alone in '{split}'")
                weight = (scored > 0).sum() if corpus_weights is None else corpus_weights[number]
                of_split.append(_columns(table, names[number], scored * (weight / scored.sum()), kinds))
                if split == "train":
                    counts = are_counts(table["person"])
                    found.append((record, limits, weight, len(counts), int((~counts).sum()), int((scored > 0).sum())))
    total = sum(weight for _, _, weight, *_ in found)
    described = [
        Corpus(name, record, limits, float(weight / total), *numbers)
        for name, (record, limits, weight, *numbers) in zip(names, found, strict=True)
    ]
    return Mixture(DatasetDict({split: make_dataset(_joined(of)) for split, of in tables.items()}), described)


def _splits_of(corpus: Any) -> tuple[DatasetDict, dict[str, Any], Limits]:
    """Splits, source and limits of a corpus in any of its forms."""
    if isinstance(corpus, PreparedCareers):
        return corpus.splits, dict(corpus.source.record), corpus.limits
    if isinstance(corpus, (str, Path)):
        return as_splits(corpus), source_of(corpus), limits_of(corpus)
    return as_splits(corpus), dict(UNKNOWN_SOURCE), Limits()


def _names(sources: Sequence[str]) -> list[str]:
    """The sources, with a number from the second corpus of one source on."""
    return [
        source if not (before := sources[:i].count(source)) else f"{source} {before + 1}"
        for i, source in enumerate(sources)
    ]


def _kinds(corpora: Sequence[Dataset], covariates: Sequence[str]) -> dict[str, bool]:
    """Whether each covariate changes over time, in any of the corpora."""
    kinds = {}
    for name in covariates:
        fields = [corpus.data.schema.field(name) for corpus in corpora if name in corpus.column_names]
        if not fields:
            raise ValueError(f"no corpus has the covariate '{name}': leave it out, or add it to one of them")
        kinds[name] = any(is_list(field.type) for field in fields)
    return kinds


def _columns(table: pa.Table, corpus: str, weight: np.ndarray, kinds: Mapping[str, bool]) -> pa.Table:
    """The columns of one corpus in one split of a mixture."""
    lengths = list_lengths(table, "year")
    offsets = pa.array(np.append(0, lengths.cumsum()), pa.int32())

    def over_time(values: pa.Array) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, values)

    columns = {
        "person": table["person"].cast(pa.string()),
        "year": over_time(list_values(table, "year").cast(pa.int32())),
        "occupation": over_time(list_values(table, "occupation").cast(pa.string())),
        "weight": over_time(pa.array(weight, pa.float64())),
        CORPUS: pa.array([corpus] * len(lengths), pa.string()),
    }
    for name, changes in kinds.items():
        if name not in table.column_names:
            empty = pa.nulls(int(lengths.sum()) if changes else len(lengths), pa.string())
            columns[name] = over_time(empty) if changes else empty
        elif is_list(table.schema.field(name).type):
            columns[name] = over_time(list_values(table, name).cast(pa.string()))
        else:
            of_people = table[name].combine_chunks().cast(pa.string())
            rows = pa.array(np.repeat(np.arange(len(lengths)), lengths))
            columns[name] = over_time(of_people.take(rows)) if changes else of_people
    return pa.table(columns | unit_column(time_unit(table), len(lengths)))


def _joined(tables: Sequence[pa.Table]) -> dict[str, pa.Array]:
    """One table of several; raises a ValueError if a person is in two corpora."""
    joined = pa.concat_tables(tables).combine_chunks()
    people, counts = np.unique(np.asarray(joined["person"]), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"person '{people[counts > 1][0]}' is in two corpora: if they are different people, put the corpus's name "
            "before its identifiers; if it is one person, use one of the two careers"
        )
    return {name: joined[name].combine_chunks() for name in joined.column_names}


__all__ = ["CORPUS", "Corpus", "Mixture", "mix"]
