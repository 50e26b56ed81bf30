"""Titles of occupations on the command line: options of `career-hf train` and `finetune`, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer


if TYPE_CHECKING:
    from ..encoding.processing_career import CareerProcessor

# Every other import stands inside a function, so that `career-hf --help` answers at once.

TitleEmbeddings = Annotated[
    Path | None,
    typer.Option(help="Of CAREER: vectors of titles, as `save_title_embeddings` writes them.", exists=True),
]
Untitled = Annotated[str, typer.Option(help="Occupations that have no title, comma-separated.")]


def load_titles(path: Path | None) -> dict[str, Any] | None:
    """Vectors by occupation, from the file that was named, if one was."""
    from ..models.title_embeddings import load_title_embeddings

    return None if path is None else load_title_embeddings(path)


def titles_size(titles: Mapping[str, Any] | None) -> int | None:
    """Of a config: the length of the vectors, None without any."""
    return len(next(iter(titles.values()))) if titles else None


def untitled_of(processor: CareerProcessor, titles: Mapping[str, Any] | None, named: str) -> list[str]:
    """The occupations of a model without a title: those that were named, and the unknown one."""
    without = [str(processor.unknown_occupation), *(label for label in named.split(",") if label)]
    return [label for label in without if label in processor.occupations and label not in (titles or {})]


def give_titles(model: Any, processor: CareerProcessor, titles: Mapping[str, Any], named: str) -> None:
    """Gives a model the vectors of its occupations."""
    model.set_title_embeddings(titles, untitled_of(processor, titles, named))
