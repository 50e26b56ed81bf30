"""Splits of careers in Parquet files, for functions that read them part by part and for those that need them whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset

from .shards import CareerShards, split_shards
from .validation import validate


class SplitsInFiles(Mapping[str, Dataset]):
    """Careers by split name of which some are in files: a split is read into memory when it is taken.

    Args:
        splits: Careers or files of careers by split name.
    """

    def __init__(self, splits: Mapping[str, Dataset | CareerShards]):
        self.splits = splits

    def __getitem__(self, name: str) -> Dataset:
        careers = self.splits[name]
        if isinstance(careers, CareerShards):
            careers = careers.load()
            validate(careers)
        return careers

    def __contains__(self, name: object) -> bool:
        return name in self.splits

    def __iter__(self) -> Iterator[str]:
        return iter(self.splits)

    def __len__(self) -> int:
        return len(self.splits)


def splits_in_files(careers: Any) -> SplitsInFiles | None:
    """Careers by split name of which some are in files; None of anything else.

    Args:
        careers: A folder with a folder of Parquet files for each split, a mapping from split names, or anything else.
    """
    if isinstance(careers, SplitsInFiles):
        return careers
    splits = split_shards(careers) if isinstance(careers, (str, Path)) else careers
    if isinstance(splits, Mapping) and any(isinstance(part, CareerShards) for part in splits.values()):
        return SplitsInFiles(splits)
    return None


def files_of_split(careers: Any, split: str | None = None) -> list[CareerShards] | None:
    """Careers in files, of one split or of all, to be read part by part; None of careers that are not all in files.

    Args:
        careers: `CareerShards`, or as in `splits_in_files`.
        split: The split to take; all of them if None.

    Raises:
        ValueError: There is no such split.
    """
    if isinstance(careers, CareerShards):
        if split is not None:
            raise ValueError(f"split='{split}' names no split of one set of files, which is taken whole: leave it out")
        return [careers]
    splits = splits_in_files(careers)
    if splits is None:
        return None
    if split is not None and split not in splits:
        raise ValueError(f"the careers have splits {list(splits)}, and none is '{split}'")
    chosen = [part for name, part in splits.splits.items() if split in (None, name)]
    files = [part for part in chosen if isinstance(part, CareerShards)]
    return files if len(files) == len(chosen) else None


__all__ = ["SplitsInFiles", "files_of_split", "splits_in_files"]
