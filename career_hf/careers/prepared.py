"""Careers that `career-hf prepare` made, saved complete or not at all: splits, ledger and dataset card."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cli.console import say, show


if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from .ledger import Ledger

# Every other import stands inside its function, so that `career-hf --help` answers at once.

# People of whom all are counted; of more people, every second, third and so on.
COUNTED = 1_000_000


def person_years(splits: DatasetDict, no_occupation: str | None) -> Any:
    """Number of person-years by occupation, without the label of years that have none."""
    import pandas as pd
    import pyarrow.compute as pc

    from ..sources.spell_careers import CAREERS_AT_ONCE

    counts: list[pd.Series] = []
    for careers in splits.values():
        for batch in careers.select_columns("occupation").with_format("arrow").iter(CAREERS_AT_ONCE):
            found = pc.value_counts(pc.list_flatten(batch["occupation"]))
            counts.append(pd.Series(found.field("counts").to_numpy(), index=found.field("values").to_pylist()))
    total = pd.concat(counts).groupby(level=0).sum()
    return total.drop(no_occupation, errors="ignore") if no_occupation is not None else total


def save_prepared(
    source: str, built: tuple[Dataset, Ledger], output: Path, salt: str, settings: Mapping[str, Any] | None = None
) -> None:
    """Splits careers, saves them with their ledger and their dataset card, and prints what they are.

    Args:
        source: Key of `SOURCES`.
        built: Careers and the ledger of their build.
        output: Where they go: complete, or not at all.
        salt: Of the split.
        settings: Of the build, besides its folders.
    """
    from .splits import split_careers

    careers, ledger = built
    save_splits(source, split_careers(careers, salt=salt), ledger, output, salt, settings or {})


def save_splits(
    source: str, splits: DatasetDict, ledger: Ledger, output: Path, salt: str, settings: Mapping[str, Any]
) -> None:
    """The same for careers that are split already."""
    from datasets import DatasetDict, concatenate_datasets

    from .dataset_card import write_card
    from .describing import describe
    from .frames import save_careers
    from .provenance import SOURCES
    from .splits import split_manifest

    # datasets cannot load a data set of nobody.
    empty = [name for name, careers in splits.items() if not careers.num_rows]
    splits = DatasetDict({name: careers for name, careers in splits.items() if name not in empty})
    if empty:
        ledger.note(f"by chance nobody is in the splits {empty}, because there are so few people: left out")
    everybody = concatenate_datasets(list(splits.values()))
    every = -(-everybody.num_rows // COUNTED)
    description = describe(everybody.select(range(0, everybody.num_rows, every)))
    counted = "All careers, counted:" if every == 1 else f"Counted on one career in {every}, {COUNTED:,} at most:"
    manifest = split_manifest(splits, salt=salt)
    careers = output.absolute()
    unfinished = careers.with_name(f".{careers.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    save_careers(splits, unfinished, ledger, manifest)
    write_card(
        unfinished,
        SOURCES[source],
        splits=splits,
        ledger=ledger,
        description=description,
        manifest=manifest,
        counted=counted,
        settings=settings,
    )
    _replace(unfinished, careers)
    say(ledger)
    show(description.to_frame("careers"), f"{output}: {counted.lower().removesuffix(':')}")


def _replace(new: Path, old: Path) -> None:
    """Moves what is in one folder into another, over what has the same name there; figures of a user stay."""
    old.mkdir(parents=True, exist_ok=True)
    for path in new.iterdir():
        target = old / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
    new.rmdir()
