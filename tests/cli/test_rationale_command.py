"""The figure of rationales, and the command that trains with job dropout, prints rationales and draws them."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from career_hf.careers import load_careers
from career_hf.cli.app import app
from career_hf.figures.rationales import rationale_figure


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rationale")
    run("prepare", "keane-wolpin", "--output", folder / "careers")
    short = ["--data", folder / "careers", "--max-steps", 4, "--eval-steps", 2, "--tokens-per-batch", 1000]
    run("train", *short, "--output", folder / "model", "--job-dropout", 0.5)
    run("finetune", folder / "model", *short, "--output", folder / "tuned", "--job-dropout", 1)
    return folder


def mover(folder):
    """Somebody of the test careers with two moves and more, and the year of the second."""
    for career in load_careers(folder / "careers")["test"]:
        pairs = zip(career["occupation"], career["occupation"][1:], strict=False)
        moves = [t for t, (before, after) in enumerate(pairs, 1) if before != after]
        if len(moves) > 1:
            return career, career["year"][moves[1]]


def test_the_command_prints_and_draws(folder):
    career, year = mover(folder)
    person = ["--data", folder / "careers", "--person", career["person"]]
    everything = run("rationale", folder / "tuned", *person, "--output", folder / "all.png")
    moves = sum(a != b for a, b in zip(career["occupation"], career["occupation"][1:], strict=False))
    assert len(re.findall(r"from the whole career", everything)) == moves
    one = run("rationale", folder / "model", *person, "--year", year, "--rule", "true", "--output", folder / "one.png")
    assert f"{year}: {career['occupation'][career['year'].index(year)].replace('_', ' ')}" in one
    sizes = [Image.open(folder / name).size for name in ("all.png", "one.png")]
    assert sizes[0][1] > sizes[1][1] and sizes[0][0] >= sizes[1][0]
    short = run(
        "rationale", folder / "model", *person, "--rule", "original", "--max-size", 1, "--output", folder / "s.png"
    )
    assert "no set that was tried is enough" in short or "rank 1" in short


def test_what_cannot_be_done_is_said(folder, monkeypatch):
    person = ["--data", folder / "careers", "--person"]
    assert "nobody" in run("rationale", folder / "model", *person, "nobody", code=2)
    output = run(
        "train",
        "--data",
        folder / "careers",
        "--output",
        folder / "chain",
        "--model",
        "markov-1",
        "--job-dropout",
        0.5,
        code=2,
    )
    assert "for CAREER" in output
    monkeypatch.setattr("career_hf.figures.style.find_spec", lambda name: None)
    assert "career_hf[studies]" in re.sub(r"[^a-z_\[\]]", "", run("rationale", folder / "model", *person, "1", code=2))


FOUND = pd.DataFrame(
    {
        "person": "7",
        "step": [2, 4, 4],
        "target": ["cook", "nurse", "nurse"],
        "occupation": ["cook", "judge", "judge"],
        "order": [0, 0, 1],
        "rationale_step": [1, 3, 0],
        "probability": [0.5, 0.001, 0.25],
        "rank": [1, 9, 3],
        "complete": [True, False, False],
        "whole_probability": [0.4, 0.3, 0.3],
        "whole_rank": [1, 2, 2],
    }
)
CAREER = {"year": [1990, 1991, 1992, 1994, 1995], "occupation": ["clerk", "clerk", "cook", "804", "judge"]}


def test_the_figure_fills_the_rationale_and_frames_what_is_explained():
    figure = rationale_figure(FOUND, CAREER, {"bag of jobs": {4: 37}})
    axes = figure.axes[0]
    cells = {(round(patch.get_x()), int(patch.get_y())): patch for patch in axes.patches}
    assert len(cells) == 2 + 1 + 4 + 1
    filled = {
        place
        for place, patch in cells.items()
        if patch.get_fill() and patch.get_facecolor()[2] > patch.get_facecolor()[0]
    }
    assert filled == {(1, 0), (3, 1), (0, 1)}
    framed = {place for place, patch in cells.items() if not patch.get_fill()}
    assert framed == {(2, 0), (4, 1)}
    written = [text.get_text() for text in axes.texts]
    assert written[:4] == ["clerk", "cook", "Truck, delivery, and tractor drivers", "judge"]
    assert "cook\nrank 1 (p .50) from 1 of 2 years; rank 1 (p .40) from all" in written
    last = "nurse (predicted)\nrank 3 (p .25) from 2 of 4 years, which is not enough; rank 2 (p .30) from all"
    assert f"{last}\nbag of jobs: rank 37" in written
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1990", "1991", "1992", "1994", "1995"]


def test_the_figure_is_of_one_person():
    with pytest.raises(ValueError, match=r"to \['7', '8'\]"):
        rationale_figure(pd.concat([FOUND, FOUND.assign(person="8")]), CAREER)
