"""What the commands print: plain text, data frames as tables, and what is wrong with what they were given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from ..readable_values import format_value


if TYPE_CHECKING:
    import pandas as pd

console = Console()


def say(what: Any) -> None:
    """Prints plain text."""
    console.print(str(what), highlight=False, markup=False, soft_wrap=True)


class Commands(TyperGroup):
    """What is wrong with what a command was given is said without a traceback: errors that this package raises, and
    files that are not there. Any other error is not the user's, and has one."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ImportError, OSError, ValueError) as error:
            *_, (innermost, _) = walk_tb(error.__traceback__)
            ours = innermost.f_globals.get("__name__", "").startswith("career_hf.")
            if ours or isinstance(error, FileNotFoundError):
                raise typer.BadParameter(str(error)) from error
            raise


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """A file that a library cannot read is named, without a traceback."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}") from error


def show(frame: pd.DataFrame, title: str) -> None:
    """Prints a frame as a table."""
    table = Table(title=title, title_justify="left")
    table.add_column(str(frame.index.name or ""))
    for column in frame.columns:
        table.add_column(str(column), justify="right")
    for index, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        cells = zip(frame.columns, row, strict=True)
        table.add_row(str(index), *(format_value(value, str(index), str(column)) for column, value in cells))
    console.print(table)
