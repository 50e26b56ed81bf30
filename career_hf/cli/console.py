"""Printing for the commands: plain text, data frames as tables, and errors in the user's input as one line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from numbers import Real
from pathlib import Path
from textwrap import wrap
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from ..readable_values import format_value


if TYPE_CHECKING:
    import pandas as pd

console = Console()
# Width of a line, in letters, where there is no terminal, as in a log file.
LOG_WIDTH = 100
# Texts are not broken into narrower lines.
NARROWEST_TEXT = 12
RULES = (("┌", "┬", "┐"), ("├", "┼", "┤"), ("└", "┴", "┘"))
PLAIN = str.maketrans("│─┌┬┐├┼┤└┴┘", "|-+++++++++")


def say(text: Any) -> None:
    """Prints plain text."""
    console.print(str(text), highlight=False, markup=False, soft_wrap=True)


class Commands(TyperGroup):
    """Commands that report errors in the user's input as one line, without a traceback.

    Errors that this package raises and missing files are reported so; any other error keeps its traceback. Brackets in
    help texts are printed as brackets, not read as markup.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        _escape_help(self)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ImportError, OSError, ValueError) as error:
            *_, (innermost, _) = walk_tb(error.__traceback__)
            is_ours = innermost.f_globals.get("__name__", "").startswith("career_hf.")
            if is_ours or isinstance(error, FileNotFoundError):
                raise typer.BadParameter(str(error)) from error
            raise


def _escape_help(command: Any) -> None:
    """Escapes the help texts of a command, of its options, and of its subcommands."""
    for described in (command, *command.params):
        if getattr(described, "help", None):
            described.help = escape(described.help)
    for inner in getattr(command, "commands", {}).values():
        _escape_help(inner)


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Reports a file that a library cannot read by name, without a traceback."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error}") from error


def show(frame: pd.DataFrame, title: str) -> None:
    """Prints a frame as a table; one that is too wide is printed in blocks of columns, the index in front of each.

    Numbers are never cut or broken. Texts that are longer than half of the line are broken between words.

    Args:
        frame: Any frame.
        title: Title, printed above the table.
    """
    # Rich reads COLUMNS once, when the console is made.
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdigit() else console.width if console.is_terminal else LOG_WIDTH
    say("\n".join([title, *table_lines(frame, width)]))


@dataclass(frozen=True)
class _Column:
    """A column as text: the lines of its header and of every cell."""

    header: list[str]
    cells: list[list[str]]
    is_number: list[bool]

    @classmethod
    def of(cls, header: Any, values: Iterable[Any], texts: Iterable[str], letters: int) -> _Column:
        """Breaks texts, but not numbers, into lines of at most `letters`."""
        is_number = [isinstance(value, Real) for value in values]
        pairs = zip(texts, is_number, strict=True)
        return cls(_broken(str(header), letters), [[t] if n else _broken(t, letters) for t, n in pairs], is_number)

    @property
    def width(self) -> int:
        return max(cell_len(line) for cell in (self.header, *self.cells) for line in cell)


def table_lines(frame: pd.DataFrame, width: int) -> list[str]:
    """The lines of a frame as a table.

    Args:
        frame: Any frame.
        width: Width of a line in letters; only a number or a word that is longer makes a longer line.
    """
    half = max(NARROWEST_TEXT, (width - 7) // 2)
    index_name = str(frame.index.name or "")
    names = [_label(name) for name in frame.index]
    columns = []
    for place, name in enumerate(frame.columns):
        values = [
            None if missing else value
            for value, missing in zip(frame.iloc[:, place], frame.iloc[:, place].isna(), strict=True)
        ]
        label = _label(name)
        texts = [format_value(value, row, label) for value, row in zip(values, names, strict=True)]
        columns.append(_Column.of(label, values, texts, half))
    # The index gets the room that the columns leave: at least half of the line, unless a number needs more.
    widest = max((column.width + 3 for column in columns), default=0)
    together = sum(column.width + 3 for column in columns)
    letters = width - 4 - (together if together + 4 <= width - half else widest)
    index = _Column.of(index_name, [""] * len(names), names, max(NARROWEST_TEXT, letters))
    blocks: list[list[_Column]] = [[]]
    for column in columns:
        if blocks[-1] and 1 + sum(part.width + 3 for part in (index, *blocks[-1], column)) > width:
            blocks.append([])
        blocks[-1].append(column)
    return [line for block in blocks for line in _block_lines([index, *block])]


def _label(name: Any) -> str:
    """The name of a row or column: whole numbers without a decimal point, whatever their type."""
    return f"{name:.0f}" if isinstance(name, float) and name.is_integer() else str(name)


def _broken(text: str, letters: int) -> list[str]:
    """Breaks a text between words into lines of at most `letters`."""
    return wrap(text, letters, break_long_words=False, break_on_hyphens=False) or [""]


def _block_lines(columns: list[_Column]) -> list[str]:
    """The lines of a table of these columns, with rules around and between them."""
    widths = [column.width for column in columns]
    bars = [f"{left}{middle.join('─' * (width + 2) for width in widths)}{right}" for left, middle, right in RULES]
    rows = [[column.header for column in columns], *zip(*(column.cells for column in columns), strict=True)]
    lines = []
    for row_number, row in enumerate(rows):
        for parts in zip_longest(*row, fillvalue=""):
            cells = []
            for part, width, column in zip(parts, widths, columns, strict=True):
                gap = " " * (width - cell_len(part))
                cells.append(f" {gap}{part} " if any(column.is_number) else f" {part}{gap} ")
            lines.append(f"│{'│'.join(cells)}│")
        if row_number == 0:
            lines.append(bars[1])
    lines = [bars[0], *lines, bars[2]]
    return [line.translate(PLAIN) for line in lines] if console.options.ascii_only else lines
