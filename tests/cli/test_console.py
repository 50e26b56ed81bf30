"""The console: tables with whole numbers at every width, help texts with their brackets, and errors as one line."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from command_output import words
from safetensors import safe_open
from typer.testing import CliRunner

import career_hf
from career_hf.cli.app import app
from career_hf.cli.console import LOG_WIDTH, Commands, show, table_lines
from career_hf.readable_values import format_value


hypothesis = pytest.importorskip("hypothesis", reason="the extra `dev` is not installed")
from hypothesis import strategies as st  # noqa: E402


NAMES = st.text(st.sampled_from("abcdefgh _"), min_size=1, max_size=30)
NUMBERS = st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9), st.just(float("nan")))
TEXTS = st.text(st.sampled_from("abc de-"), max_size=90)


@st.composite
def frames(draw):
    rows = draw(st.integers(1, 5))
    names = draw(st.lists(NAMES, min_size=1, max_size=12, unique=True))
    columns = {
        name: draw(st.lists(draw(st.sampled_from([NUMBERS, NUMBERS, TEXTS])), min_size=rows, max_size=rows))
        for name in names
    }
    index = draw(st.lists(st.one_of(NAMES, st.integers(1900, 2100)), min_size=rows, max_size=rows))
    return pd.DataFrame(columns, index=pd.Index(index, name=draw(st.sampled_from([None, "year"]))))


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(frames(), st.integers(40, 200))
def test_every_number_stands_whole_in_its_cell_at_every_width(frame, width):
    lines = table_lines(frame, width)
    longest = max(len(word) for name in [*frame.index, *frame.columns] for word in [*str(name).split(), ""])
    assert all(len(line) <= max(width, 2 * longest + 7, 33 + 7) for line in lines)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    written = [cell for row in cells for cell in row]
    for column in frame.columns:
        for name, value in frame[column].items():
            text = format_value(value, str(name), str(column))
            if isinstance(value, (int, float)):
                assert text in written
            else:
                assert set(text.split()) <= {word for cell in written for word in cell.split()}


def test_a_table_that_is_too_wide_comes_in_blocks_that_repeat_the_index():
    frame = pd.DataFrame(np.full((2, 8), 72.125), index=["CAREER", "bag of jobs"], columns=list("abcdefgh"))
    lines = table_lines(frame, 40)
    assert max(map(len, lines)) <= 40
    headers = [header.split("│")[2:-1] for top, header in zip(lines, lines[1:], strict=False) if top[0] == "┌"]
    assert [name.strip() for header in headers for name in header] == list("abcdefgh")
    assert sum("bag of jobs" in line for line in lines) == len(headers) > 1
    assert sum(line.count("72.125") for line in lines) == 16
    assert len(table_lines(frame, 120)) == 6


def test_years_have_no_comma_wherever_they_stand():
    frame = pd.DataFrame({"year": [1985, 1990.0], "birth_year": [1960, np.nan], "people": [1985, 12345]})
    text = "\n".join(table_lines(frame, 80))
    assert "1985 " in text and "1990 " in text and "1960 " in text
    assert "1,985" in text and "12,345" in text and "1,960" not in text
    rows = pd.DataFrame({"careers": [1979, 1979, 20000.0]}, index=["first year", "people", "steps per year"])
    assert [line.split("│")[2].strip() for line in table_lines(rows, 80)[3:6]] == ["1979", "1,979", "20,000"]
    by_year = pd.DataFrame({1985.0: [1.5], 1987.0: [2.5]}, index=["perplexity"]).rename_axis("measure")
    assert "1985 " in table_lines(by_year, 80)[1] and "1985.0" not in table_lines(by_year, 80)[1]


@pytest.mark.parametrize("kind", [int, float, np.int64, np.int32, np.float64, np.float32])
def test_numbers_read_alike_whatever_their_type(kind):
    assert format_value(kind(1985)) == "1,985" and format_value(kind(1985), column="year") == "1985"


def test_missing_values_of_every_kind_are_empty():
    frame = pd.DataFrame({"a": pd.array([1, pd.NA], dtype="Int64"), "b": [pd.NaT, pd.Timestamp("2000-01-01")]})
    first, second = table_lines(frame.assign(c=[None, "x"]), 80)[3:5]
    assert [cell.strip() for cell in first.split("│")[2:-1]] == ["1", "", ""]
    assert second.split("│")[2].strip() == ""


def test_a_log_file_has_a_width_of_its_own(capsys, monkeypatch):
    frame = pd.DataFrame([[f"an occupation {i}" for i in range(9)]], index=["a long name of a row"])
    monkeypatch.delenv("COLUMNS", raising=False)
    show(frame, "Wide")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Wide" and 80 < max(map(len, lines)) <= LOG_WIDTH
    assert sum("an occupation" in line for line in lines) == 3
    monkeypatch.setenv("COLUMNS", "60")
    show(frame, "Narrow")
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_brackets_in_help_texts_are_no_markup():
    texts = typer.Typer(cls=Commands)

    @texts.command()
    @texts.command("other")
    def clip(bound: Annotated[float, typer.Option(help="Weights outside [clip, 1 - clip] are cut.")] = 0.1) -> None:
        """Cut [some] weights."""

    assert "outside [clip, 1 - clip] are cut" in words(CliRunner().invoke(texts, ["clip", "--help"]))
    panels = re.findall(r"╭─ (\w+) ─", CliRunner().invoke(app, ["--help"]).output)
    assert panels[-6:] == ["Data", "Models", "Scores", "Explanations", "Wages", "Sharing"]


class Panic(BaseException):
    """As libraries in Rust raise it: no Exception."""


def reads_parquet(path):
    pq.read_table(pa.BufferReader(b"no table"))


def raises(error):
    def raise_it(path):
        raise error

    return raise_it


FAILURES = {
    "mistake": (lambda path: np.zeros(2).reshape(3), "ValueError: cannot reshape"),
    "parquet": (reads_parquet, "ArrowInvalid: "),
    "json": (lambda path: json.loads("{"), "JSONDecodeError: Expecting property name"),
    "unicode": (lambda path: b"\xff".decode(), "UnicodeDecodeError: 'utf-8' codec"),
    "weights": (lambda path: safe_open(__file__, "np"), "SafetensorError: "),
    "key": (lambda path: {}["gender"], "KeyError: 'gender'"),
    "attribute": (lambda path: path.no_such_attribute, "AttributeError: "),
    "full disk": (raises(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))), "OSError: [Errno 28] No space left"),
    "no permission": (raises(PermissionError(errno.EACCES, "Permission denied", "x")), "PermissionError: [Errno 13]"),
    "a folder": (lambda path: Path("/").read_text(), "IsADirectoryError: [Errno 21] Is a directory: '/'"),
    "memory": (raises(MemoryError()), "MemoryError (in: "),
    "recursion": (raises(RecursionError("too deep")), "RecursionError: too deep"),
    "panic": (raises(Panic("index out of bounds")), "Panic: index out of bounds"),
    "several lines": (
        raises(RuntimeError("\n first [red]line[/red]\nsecond")),
        "RuntimeError: first [red]line[/red] (",
    ),
    "end of input": (raises(EOFError("no answer")), "EOFError: no answer"),
}


def failing(fail):
    commands = typer.Typer(cls=Commands)

    @commands.command()
    @commands.command("other")
    def score(path: Path, count: int = 3) -> None:
        fail(path)

    return commands


@pytest.mark.parametrize("name", FAILURES)
def test_any_error_is_one_line_with_its_kind_the_command_and_its_input(name, monkeypatch):
    fail, message = FAILURES[name]
    result = CliRunner().invoke(failing(fail), ["score", "my [careers]", "--count", "2"])
    assert result.exit_code == 2 and result.stdout == ""
    # Typer ends the line of a prompt at the end of the input.
    line = result.stderr.removeprefix("\n") if name == "end of input" else result.stderr
    assert line.startswith(f"Error: {message}") and line.count("\n") == 1
    assert "(in: score 'my [careers]' --count 2; --traceback shows where)" in result.stderr
    for traced in (
        CliRunner().invoke(failing(fail), ["score", "x", "--traceback"]),
        CliRunner().invoke(failing(fail), ["score", "x"], env={"CAREER_HF_TRACEBACK": "1"}),
    ):
        assert traced.exit_code == 2 and "Traceback (most recent call last)" in traced.stderr
        assert traced.stderr.splitlines()[-1].startswith(f"Error: {message}")


def test_what_the_package_says_of_its_input_and_what_is_no_command_need_no_kind(tmp_path):
    missing = CliRunner().invoke(failing(lambda path: career_hf.load_careers(tmp_path / "none")), ["score", "x"])
    assert missing.exit_code == 2 and "Error: " in missing.stderr and missing.stderr.endswith(" (in: score x)\n")
    for arguments, message in {
        ("score",): "Missing argument 'path'. (in: score; see root score --help)",
        ("scroe", "x"): "No such command 'scroe'. Did you mean 'score'?",
        ("score", "x", "--count", "many"): "Invalid value for '--count': ",
    }.items():
        refused = CliRunner().invoke(failing(print), list(arguments), prog_name="root")
        assert refused.exit_code == 2 and refused.stderr.startswith(f"Error: {message}")
        assert refused.stderr.count("\n") == 1
    assert CliRunner().invoke(failing(print), ["score", "x"]).exit_code == 0


def test_an_error_is_raised_as_it_is_where_a_program_asks_for_that():
    command = typer.main.get_command(failing(lambda path: {}["gender"]))
    with pytest.raises(KeyError, match="gender"):
        command.main(["score", "x"], standalone_mode=False)


def test_the_version_and_the_way_to_a_traceback_are_in_the_help():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"career_hf {career_hf.__version__}\n"
    text = words(CliRunner().invoke(app, ["--help"]))
    assert "--version" in text and "--traceback" in text and "CAREER_HF_TRACEBACK" in text


def test_an_interruption_is_one_line_and_a_closed_pipe_none():
    code = "import time, typer; from career_hf.cli.console import *; app = typer.Typer(cls=Commands)\n"
    code += "@app.command()\ndef wait():\n say('ready'); time.sleep(60)\n"
    code += "@app.command()\ndef flood():\n for i in range(10**6): say(i)\napp()"
    waiting = subprocess.Popen(
        [sys.executable, "-c", code, "wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert waiting.stdout.readline() == "ready\n"
    time.sleep(0.2)
    waiting.send_signal(signal.SIGINT)
    _, complained = waiting.communicate(timeout=30)
    assert waiting.returncode == 130 and complained == "Error: interrupted (in: wait)\n"
    piped = subprocess.Popen(
        [sys.executable, "-c", code, "flood"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert piped.stdout.readline() == "0\n"
    piped.stdout.close()
    assert piped.stderr.read() == "" and piped.wait(timeout=30) != 0
