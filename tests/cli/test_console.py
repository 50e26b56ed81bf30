"""Tables of the console: numbers whole at every width, years as years, and help texts with their brackets."""

from __future__ import annotations

import re
from typing import Annotated

import numpy as np
import pandas as pd
import pytest
import typer
from command_output import words
from typer.testing import CliRunner

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
