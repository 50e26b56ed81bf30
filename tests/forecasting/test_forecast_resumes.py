"""Forecasts on resumes as Appendix G describes them: cutoff 2014, years 2015 to 2017, on the resumes' own split, of
people seen before 2015 and until 2017, years without an observed occupation kept. On simulated resumes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from replication import rivals, table1  # noqa: F401  # table1 registers its command
from replication.study import load_tables, studies
from typer.testing import CliRunner

from career_hf.careers import load_careers, to_frame
from career_hf.cli.app import app
from career_hf.simulation import ResumeConfig, World, load_resumes, preset, write_resumes


pytest.importorskip("ibis", reason="the extra 'spells' is not installed")
pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

NOBODY = "no observed occupation"
YEARS = [2015, 2016, 2017]


def run(*arguments, commands=app):
    result = CliRunner().invoke(commands, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


@pytest.fixture(scope="module")
def spells(tmp_path_factory):
    """A row for each job of simulated resumes, with the years in which they start and end."""
    folder = tmp_path_factory.mktemp("resumes")
    world = preset("tiny").with_world(first_birth_year=1982, last_birth_year=1990, first_year=2000, last_year=2019)
    write_resumes(World.build(world.world), ResumeConfig(people=300), folder / "drawn")
    years = to_frame(load_resumes(folder / "drawn"))
    begins = (years["person"] != years["person"].shift()) | (years["occupation"] != years["occupation"].shift())
    begins |= years["year"].diff() != 1
    jobs = years.groupby(begins.cumsum()).agg(
        person=("person", "first"), occupation=("occupation", "first"), start=("year", "min"), end=("year", "max")
    )
    jobs.to_csv(folder / "spells.csv", index=False)
    return folder / "spells.csv"


@pytest.fixture(scope="module")
def done(spells):
    """The two commands of the documentation; models are two, which is enough to show who is forecast and scored."""
    careers, output = spells.parent / "careers", spells.parent / "study"
    run(
        "prepare",
        "spells",
        "--spells",
        spells,
        "--output",
        careers,
        "--no-occupation",
        NOBODY,
        "--as-of",
        "2019-12-31",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rivals, "RIVALS", {rivals.CAREER: rivals.RIVALS[rivals.CAREER]})
        chain = "Markov chain, order 1"
        patch.setattr(rivals, "COUNTED", {chain: rivals.COUNTED[chain]})
        run(
            *["table1", "--data", careers, "--output", output, "--cutoff", 2014, "--design", "new people"],
            *["--years", "2015,2016,2017", "--workers", 1, "--seeds", 1, "--trials", 1, "--most-steps", 10],
            *["--samples", 20],
            commands=studies,
        )
    return careers, output


def test_who_is_scored_is_who_appendix_g_names_and_no_year_is_left_out(spells, done):
    careers, output = done
    jobs = pd.read_csv(spells, dtype={"person": str})
    known = load_careers(careers)["test"]["person"]
    span = jobs[jobs["person"].isin(known)].groupby("person").agg(first=("start", "min"), last=("end", "max"))
    expected = span[(span["first"] < 2015) & (span["last"] >= 2017)].index
    table = load_tables(output / "new_people" / "forecasts" / "realised")[rivals.CAREER + ", two stages"][0]
    alike = table[table["survivor"]]
    assert sorted(alike["person"].unique()) == sorted(expected) and len(expected) > 10
    # Three forecasts for each of them, also where no job covers the year.
    assert (alike.groupby("person")["year"].apply(list).map(lambda years: years == YEARS)).all()
    assert len(alike) == 3 * len(expected)
    at_work = set()
    for job in jobs.itertuples():
        at_work |= {(job.person, year) for year in range(job.start, job.end + 1)}
    without = [(person, year) not in at_work for person, year in zip(alike["person"], alike["year"], strict=True)]
    assert (alike["occupation"] == NOBODY).tolist() == without and sum(without) > 5


def test_such_years_are_forecast_with_a_probability_of_their_own(done):
    careers, output = done
    for name, (table,) in load_tables(output / "new_people" / "forecasts").items():
        rows = table[table["occupation"] == NOBODY]
        assert len(rows) and not rows["unknown"].any() and (np.exp(rows["log_prob"]) > 0.01).all(), name
    trained = json.loads((output / "new_people" / "settings.json").read_text())
    assert trained["cutoff"] == 2014 and trained["design"] == "new people"


def test_left_out_they_are_not_scored(spells, tmp_path):
    """The label makes the difference: as in pretraining, years without a job are otherwise no years at all."""
    run("prepare", "spells", "--spells", spells, "--output", tmp_path / "careers", "--as-of", "2019-12-31")
    labels = {
        label for careers in load_careers(tmp_path / "careers").values() for label in to_frame(careers)["occupation"]
    }
    assert NOBODY not in labels
