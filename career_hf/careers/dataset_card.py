"""Dataset cards: what careers are, where they come from, what was dropped, and what may be done with them.

A card is the README.md of a folder of careers. Its metadata hold licence, source and redistribution for programs:
`source_of` reads them, so that training can record them in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import DatasetDict
from huggingface_hub import DatasetCard, DatasetCardData

from ..readable_values import format_value
from ..version import __version__
from .columns import is_list
from .ledger import Ledger
from .provenance import CARD, Limits, Source, license_slug


TEMPLATE = Path(__file__).with_name("dataset_card_template.md")
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}


def write_card(
    folder: str | Path,
    source: Source,
    *,
    splits: DatasetDict,
    ledger: Ledger,
    description: pd.Series,
    manifest: Mapping[str, Any] | None = None,
    counted: str = "All careers, counted:",
    settings: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
) -> DatasetCard:
    """Writes README.md beside careers.

    Args:
        folder: Folder of the careers.
        source: Where the careers come from.
        splits: Careers by split name.
        ledger: Ledger of the build.
        description: What `describe` returns.
        manifest: What `split_manifest` returns; None for careers that are not split.
        counted: Sentence that says which careers `description` counts.
        settings: Settings of the build by name, without its folders, so that the careers can be built again.
        limits: What the careers cannot contain, for `limits_of` and for readers.

    Returns:
        The card.
    """
    people = sum(careers.num_rows for careers in splits.values())
    data = DatasetCardData(
        license=source.license,
        license_name=license_slug(source.license_name) if source.license_name else None,
        license_link=source.license_link if source.license == "other" else None,
        pretty_name=source.title,
        size_categories=[next((size for limit, size in SIZES.items() if people < limit), "10M<n<100M")],
        tags=["career", "occupation", "labor-economics", "panel-data"],
        career_hf={
            "source": source.name,
            "redistribution": source.redistribution,
            **({"limits": {**asdict(limits), "lacks": list(limits.lacks)}} if limits else {}),
        },
    )
    card = DatasetCard.from_template(
        data,
        template_path=str(TEMPLATE),
        source=source,
        version=__version__,
        command=source.command or f"career-hf prepare {source.name}",
        settings=[(name, str(value).replace("`", "'")) for name, value in (settings or {}).items()],
        ledger=_ledger_rows(ledger),
        notes=[as_cell(note) for note in ledger.notes],
        limits=limits.sentences if limits else [],
        counted=counted,
        description=[(as_cell(name), format_value(value, str(name))) for name, value in description.items()],
        manifest=manifest,
        splits=[(name, f"{careers.num_rows:,}") for name, careers in splits.items()],
        columns=[
            (as_cell(field.name), f"list of {field.type.value_type}" if is_list(field.type) else field.type)
            for field in next(iter(splits.values())).data.schema
        ],
    )
    card.save(Path(folder) / CARD)
    return card


def _ledger_rows(ledger: Ledger) -> list[list[str]]:
    """One row of text per entry of a ledger."""
    rows = []
    for entry in ledger.entries:
        reasons = [f"{number:,} dropped: {as_cell(reason)}" for reason, number in entry.dropped.items()]
        reasons += [f"{number:,} altered: {as_cell(reason)}" for reason, number in entry.altered.items()]
        counts = [f"{entry.rows_in:,}", f"{entry.rows_out:,}"]
        rows.append([as_cell(entry.step), as_cell(entry.unit), *counts, "<br>".join(reasons), entry.depends_on])
    return rows


def as_cell(text: Any) -> str:
    """Escapes text so that it stays in one table cell and Markdown shows it unchanged."""
    text = " ".join(str(text).split())
    for mark in ("\\", "|", "<", "*", "_", "`"):
        text = text.replace(mark, f"\\{mark}")
    return text
