"""Printing for the commands: plain text, data frames as tables, and every error as one line."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from numbers import Real
from textwrap import wrap
from traceback import print_exception, walk_tb
from typing import TYPE_CHECKING, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup
from typer.exceptions import TyperException

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
TRACEBACK, TRACEBACK_VARIABLE = "--traceback", "CAREER_HF_TRACEBACK"
INTERRUPTED = 130
# Letters of an error's message; some libraries write a whole file into theirs.
LONGEST_MESSAGE = 1_000


def say(text: Any) -> None:
    """Prints plain text."""
    console.print(str(text), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def saying(logger_name: str) -> Iterator[None]:
    """Prints what a part of the package logs for information, while a command runs."""
    logger, handler = logging.getLogger(logger_name), _Saying()
    level, logger.propagate = logger.level, False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True


class _Saying(logging.Handler):
    """Prints messages as plain text."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


class Commands(TyperGroup):
    """Commands that report every error as one line, which says what failed, in which command and with which input.

    The exit code is 2, and 130 after an interruption; a closed pipe, as behind `| head`, says nothing. The traceback
    is printed too with `--traceback`, anywhere in the line, or with the environment variable CAREER_HF_TRACEBACK=1.
    Brackets in help texts are printed as brackets, not read as markup.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        _escape_help(self)

    def main(  # type: ignore[override]  # without the arguments that no caller gives
        self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Runs a command; without `standalone_mode` errors are raised as they are, for a program that calls it."""
        arguments = list(sys.argv[1:] if args is None else args)
        with_traceback = TRACEBACK in arguments or os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0")
        arguments = [argument for argument in arguments if argument != TRACEBACK]
        if not standalone_mode:
            return super().main(arguments, standalone_mode=False, **extra)
        try:
            code = super().main(arguments, standalone_mode=False, **extra)
            # Typer turns a KeyboardInterrupt into this code.
            if code == INTERRUPTED:
                complain(error_line("interrupted", arguments))
        except SystemExit:
            raise
        except BaseException as error:  # panics of libraries in Rust are no Exception
            # Typer turns the end of the standard input into an Abort.
            cause = error.__cause__ if isinstance(error, typer.Abort) and error.__cause__ is not None else error
            if with_traceback:
                print_exception(cause)
            if line := _failure_line(cause, arguments):
                complain(line)
            code = 2
        sys.exit(code if isinstance(code, int) else 0)


def _failure_line(error: BaseException, arguments: Sequence[str]) -> str:
    """An error as one line; empty where a command was given nothing and has printed its help instead."""
    if isinstance(error, TyperException):
        message = " ".join(error.format_message().split())
        context = getattr(error, "ctx", None)
        hint = f"see {context.command_path} --help" if context is not None else ""
        return error_line(message, arguments, hint) if message else ""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if is_refusal(error) and lines:
        return error_line(lines[0], arguments)
    return error_line(": ".join([type(error).__name__, *lines[:1]]), arguments, f"{TRACEBACK} shows where")


def is_refusal(error: BaseException) -> bool:
    """Whether an error speaks of the input in its own words, which need no name of a class beside them."""
    if isinstance(error, FileNotFoundError):
        return True
    if not isinstance(error, (ImportError, OSError, ValueError)):
        return False
    *_, (innermost, _) = walk_tb(error.__traceback__)
    return innermost.f_globals.get("__name__", "").startswith("career_hf.")


def error_line(message: str, arguments: Sequence[str], hint: str = "") -> str:
    """The one line on an error: what failed, in which command with which input, and where to find out more."""
    if len(message) > LONGEST_MESSAGE:
        message = f"{message[:LONGEST_MESSAGE]}..."
    given = " ".join(shlex.join(arguments).split())
    return f"Error: {message} ({'; '.join(part for part in (f'in: {given}', hint) if part)})"


def complain(line: str) -> None:
    """Prints a line on the standard error, where letters that it cannot write are escaped."""
    # A progress bar that is open has not ended its line.
    if "tqdm" in sys.modules and getattr(sys.modules["tqdm"].tqdm, "_instances", None):
        print(file=sys.stderr)
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def _escape_help(command: Any) -> None:
    """Escapes the help texts of a command, of its options, and of its subcommands."""
    for described in (command, *command.params):
        if getattr(described, "help", None):
            described.help = escape(described.help)
    for inner in getattr(command, "commands", {}).values():
        _escape_help(inner)


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
