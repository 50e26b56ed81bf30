"""A benchmark that any program can enter: the rows to be predicted, the label set, and the hashes that fix both.

A program in any language reads the rows, predicts each occupation from what comes before it, and writes a table with
the log-probability of what happened, which `career-hf evaluate` scores beside checkpoints
(`evaluation.outside_tables`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset, DatasetDict

from ..number_ranges import within_ranges
from ..readable_values import ReadableResult
from .columns import career_pieces, is_text, list_values, sort_labels
from .frames import as_splits, long_table
from .periods import time_unit, with_period_labels
from .splits import split_manifest
from .texts import words_of_labels


# Columns of the rows that careers cannot have themselves.
ADDED = ("split", "step", "previous")


@dataclass(frozen=True, repr=False)
class Benchmark(ReadableResult):
    """What is to be predicted, for programs of any kind; see `benchmark`.

    Args:
        rows: One row per person and year, of all splits.
        labels: The label set: label, and title in words.
        splits: One row per split, by name: people, steps, people_sha256, rows_sha256.
    """

    rows: pd.DataFrame
    labels: pd.DataFrame
    splits: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """One row per person and year, as described in `benchmark`."""
        return self.rows

    @property
    def labels_sha256(self) -> str:
        """SHA-256 of the label set, as `labels_sha256` makes it."""
        return labels_sha256(self.labels["label"])

    def save(self, folder: str | Path) -> list[Path]:
        """Writes the rows and the labels as CSV, and `benchmark.json` with the hashes.

        Args:
            folder: Destination folder; it is created if it does not exist.

        Returns:
            Paths of the files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.rows.to_csv(folder / "rows.csv", index=False)
        self.labels.to_csv(folder / "labels.csv", index=False)
        fixed = {
            "splits": self.splits.to_dict(orient="index"),
            "labels": {"labels": len(self.labels), "sha256": self.labels_sha256},
        }
        (folder / "benchmark.json").write_text(json.dumps(fixed, indent=2) + "\n", encoding="utf-8")
        return [folder / name for name in ("rows.csv", "labels.csv", "benchmark.json")]


@within_ranges
def benchmark(careers: str | Path | Dataset | DatasetDict) -> Benchmark:
    """The rows of careers that programs of any kind predict, the set of labels, and hashes that fix both.

    The occupation of a row may be predicted from all that comes before it: the person's earlier rows, and the
    covariates of earlier years and of the row itself. Probabilities sum to one over the label set, which has every
    label of these careers, those of all splits.

    Args:
        careers: A folder of careers, careers by split name, or careers, which `split_careers` splits.

    Returns:
        A benchmark with

        rows: split, person, step (0 for a person's first), year, previous (the occupation of the person's row before;
        null at step 0), occupation (the one to be predicted), then weight, survey design and covariates where careers
        have them. Outcomes over time, such as wages, are left out, because the occupation explains them;

        labels: label, and its title in words, sorted as careers sort labels;

        splits: by split, the number of people and steps; people_sha256, as in `split_manifest`; and rows_sha256, of
        person, year and occupation of every row, by person and year, whatever their order in the careers.

    Raises:
        ValueError: There are no careers, or they have a column split, step or previous.
    """
    splits = as_splits(careers)
    splits = DatasetDict({name: part for name, part in splits.items() if len(part)})
    if not splits:
        raise ValueError("there are no careers to make a benchmark of: every split is empty")
    people = split_manifest(splits)["splits"]
    parts, sizes = [], {}
    for name, part in splits.items():
        long = long_table(part)
        if taken := [column for column in ADDED if column in long.column_names]:
            raise ValueError(f"careers have a column '{taken[0]}', which is a column of the benchmark: rename it")
        steps = steps_of(long)
        columns = {"split": np.repeat(name, len(steps)), "person": long["person"], "step": steps, "year": long["year"]}
        occupation = long["occupation"].to_pandas()
        columns |= {"previous": occupation.shift().mask(steps == 0), "occupation": occupation}
        kept = [n for n in long.column_names if n not in columns and (is_text(long[n].type) or n == "weight")]
        parts.append(pd.DataFrame(columns).assign(**{n: long[n].to_pandas() for n in kept}))
        sizes[name] = {
            "people": len(part),
            "steps": len(steps),
            "people_sha256": people[name]["sha256"],
            "rows_sha256": rows_sha256(long),
        }
    labels = label_set(splits)
    titles = words_of_labels(labels)
    return Benchmark(
        with_period_labels(pd.concat(parts, ignore_index=True), time_unit(next(iter(splits.values())))),
        pd.DataFrame({"label": labels, "title": [titles[label] for label in labels]}),
        pd.DataFrame.from_dict(sizes, orient="index").rename_axis("split"),
    )


def label_set(splits: Mapping[str, Dataset]) -> list[str]:
    """Every occupation of careers by split name, sorted as careers sort labels."""
    found = [list_values(piece, "occupation").unique() for part in splits.values() for piece in career_pieces(part)]
    return sort_labels(pa.concat_arrays(found).unique()).to_pylist()


def steps_of(long: pa.Table) -> np.ndarray:
    """`(person-years,)` int64: 0 at each person's first row of a long table of careers, then 1, 2, ..."""
    person = long["person"].combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.r_[True, person[1:] != person[:-1]]
    row = np.arange(len(person))
    return row - np.maximum.accumulate(np.where(first, row, 0))


def rows_sha256(long: pa.Table) -> str:
    """SHA-256 of person, year and occupation of every row of a long table, one JSON list per line, sorted by person
    (as text) and year, so that the order of the table does not matter."""
    rows = long.select(["person", "year", "occupation"]).sort_by([("person", "ascending"), ("year", "ascending")])
    return _sha256(
        json.dumps(row) for row in zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True)
    )


def labels_sha256(labels: Iterable[str]) -> str:
    """SHA-256 of labels in their order, each as JSON on a line of its own."""
    return _sha256(json.dumps(label) for label in labels)


def _sha256(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


__all__ = ["Benchmark", "benchmark", "label_set", "labels_sha256", "rows_sha256", "steps_of"]
