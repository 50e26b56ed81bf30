"""Careers that a source prepared: splits, ledger, description and source, saved atomically."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from datasets import Dataset, DatasetDict, concatenate_datasets

from ..readable_values import ReadableResult
from .atomic_files import complete, move_into
from .dataset_card import write_card
from .describing import describe
from .frames import save_careers, to_frame
from .ledger import Ledger
from .provenance import SOURCES, Limits, Source
from .saved_files import check_same_careers
from .splits import split_careers, split_manifest


# `description` counts at most so many people: of more, every second, third and so on.
MOST_DESCRIBED = 1_000_000


@dataclass(frozen=True, repr=False)
class PreparedCareers(ReadableResult):
    """Careers as `career-hf prepare` makes them.

    Args:
        source: Where the careers come from, and what may be done with them.
        splits: Careers by split name; splits without people are left out.
        ledger: What every step of the build dropped and altered.
        description: What `describe` returns for the careers of all splits.
        counted: Sentence that says which careers `description` counts.
        manifest: What `split_manifest` returns.
        settings: Settings of the build by name, without its folders.
        limits: What the careers cannot contain.
    """

    source: Source
    splits: DatasetDict
    ledger: Ledger
    description: pd.Series
    counted: str
    manifest: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()

    @classmethod
    def of_careers(
        cls,
        source: str,
        built: tuple[Dataset, Ledger],
        *,
        salt: str = "career_hf",
        settings: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> PreparedCareers:
        """Splits careers that were just built.

        Args:
            source: Key of `SOURCES`.
            built: Careers and the ledger of their build.
            salt: Salt of the split.
            settings: Settings of the build by name, without its folders.
            limits: What the careers cannot contain.
        """
        careers, ledger = built
        splits = split_careers(careers, salt=salt)
        return cls.of_splits(source, splits, ledger, salt=salt, settings=settings, limits=limits)

    @classmethod
    def of_splits(
        cls,
        source: str,
        splits: DatasetDict,
        ledger: Ledger,
        *,
        salt: str = "career_hf",
        settings: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
    ) -> PreparedCareers:
        """Takes careers that are split already; the other arguments are those of `of_careers`."""
        # datasets cannot load a dataset without rows.
        empty = [name for name, careers in splits.items() if not careers.num_rows]
        splits = DatasetDict({name: careers for name, careers in splits.items() if name not in empty})
        if empty:
            ledger.note(f"by chance nobody is in the splits {empty}, because there are so few people: left out")
        everybody = concatenate_datasets(list(splits.values()))
        interval = -(-everybody.num_rows // MOST_DESCRIBED)
        return cls(
            source=SOURCES[source],
            splits=splits,
            ledger=ledger,
            description=describe(everybody.select(range(0, everybody.num_rows, interval))),
            counted="All careers, counted:"
            if interval == 1
            else f"Counted on one career in {interval}, {MOST_DESCRIBED:,} at most:",
            manifest=split_manifest(splits, salt=salt),
            settings=settings or {},
            limits=limits or Limits(),
        )

    @property
    def careers(self) -> Dataset:
        """The careers of all splits together."""
        return concatenate_datasets(list(self.splits.values()))

    def to_frame(self, kind: Literal["pandas", "polars", "arrow"] = "pandas") -> Any:
        """The careers of all splits as a long table, as `career_hf.to_frame` makes it."""
        return to_frame(self.careers, kind)

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Saves the careers with their ledger, split manifest and dataset card.

        Args:
            folder: Destination folder; written atomically. Other files that it holds, such as figures, stay.
            overwrite: Whether other careers in the folder are replaced. The same ones may always be saved again.

        Raises:
            ValueError: The folder holds other careers.
        """
        folder = Path(folder).absolute()
        with complete(folder, move_into) as unfinished:
            save_careers(self.splits, unfinished, self.ledger, self.manifest)
            if not overwrite:
                check_same_careers(folder, unfinished)
            write_card(
                unfinished,
                self.source,
                splits=self.splits,
                ledger=self.ledger,
                description=self.description,
                manifest=self.manifest,
                counted=self.counted,
                settings=self.settings,
                limits=None if self.limits == Limits() else self.limits,
            )
