"""The commands what-if, transitions and rake, on a small market whose truth is a checkpoint."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from career_hf.careers import load_careers
from career_hf.careers.ledger import Ledger
from career_hf.cli.app import app
from career_hf.explaining.what_if import READING


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "250"})
    assert result.exit_code == code, result.output + str(result.exception)
    return re.sub(r"[│╭╮╰╯─\s]+", " ", result.output)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    run("simulate", "--preset", "tiny", "--people", 200, "--output", folder)
    return folder


def test_what_if_prints_and_writes_what_it_compares(market, tmp_path):
    given = ["what-if", market / "truth", "--data", market / "careers", "--set", "region=west"]
    given += ["--cutoff", 1984, "--horizon", 2, "--samples", 5, "--draws", 20, "--output", tmp_path]
    output = run(*given)
    assert f"Read this as {READING}." in output and output.count("predictive, not causal") == 3
    assert "all covariates" in output and "compare forecasts" in output
    steps, ahead = pd.read_csv(tmp_path / "next_step.csv"), pd.read_csv(tmp_path / "forecast.csv")
    assert steps["difference"].sum() == pytest.approx(0, abs=1e-6)
    assert ahead.groupby("years_ahead")["edited"].sum().tolist() == pytest.approx([1, 1])
    assert Ledger.load(tmp_path / "forecast_ledger.json").entries[-1].step == "compare forecasts"
    support = pd.read_csv(tmp_path / "support.csv")
    assert (support["never"] <= support["rare"]).all()
    assert all(Image.open(tmp_path / f"{name}.png").size[0] > 800 for name in ("next_step", "forecast"))


def test_what_if_takes_new_labels_by_old_ones(market, tmp_path):
    given = ["what-if", market / "truth", "--data", market / "careers", "--draws", 5]
    output = run(*given, "--set", "region:south=west", "--set", "region:northeast=west", "--output", tmp_path)
    assert "region from south to west; region from northeast to west" in output
    printed = run(*given, "--occupation", "unemployed=in_school", "--from-age", 22, "--groups", "census_group")
    assert "occupation: unemployed to in_school" in printed and "from age 22 on" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "the edit changes nothing"),
        (["--set", "year=1990"], "year is held fixed"),
        (["--set", "region"], "--set region: give NAME=LEVEL, or"),
        (["--set", "region=west", "--set", "region=south"], "--set region: give NAME=LEVEL once"),
        (["--occupation", "4", "--occupation", "7"], "--occupation: give NEW once"),
        (["--set", "region=north"], "'north' of 'region' is not known to the model"),
        (["--set", "education=college", "--from-age", "22"], "cannot happen in this world"),
        (["--set", "region=west", "--split", "nobody"], "none is 'nobody'"),
    ],
)
def test_what_if_says_what_cannot_be_compared(market, options, message):
    assert message in run("what-if", market / "truth", "--data", market / "careers", *options, code=2)


def test_transitions_prints_and_draws_every_matrix(market, tmp_path):
    given = ["transitions", market / "truth", "--data", market / "careers", "--by", "gender", "--draws", 20]
    output = run(*given, "--groups", "major_group", "--weighted", "--output", tmp_path)
    assert output.count("Percent implied") == 2 and "; gender: female; weighted" in output
    table = pd.read_csv(tmp_path / "transitions.csv")
    sums = table.groupby(["gender", "previous"])[["observed", "implied"]].sum()
    np.testing.assert_allclose(sums, 1, atol=1e-6)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["transitions_female.png", "transitions_male.png"]
    assert "by 'pay': the covariates are" in run(*given[:4], "--by", "pay", code=2)


def test_rake_weights_careers_to_a_survey_and_keeps_their_splits(market, tmp_path):
    # Everybody of the market as a survey with weights, and the same people as a corpus without.
    splits = load_careers(market / "careers")
    for name, careers in splits.items():
        splits[name] = careers.remove_columns("weight")
    splits.save_to_disk(str(tmp_path / "resumes"))
    (tmp_path / "resumes" / "split.json").write_text((market / "careers" / "split.json").read_text())
    given = ["rake", "--data", tmp_path / "resumes", "--output", tmp_path / "raked"]
    output = run(*given, "--survey", market / "careers", "--margins", "race,gender")
    assert "effective sample size" in output and "largest weight" in output
    raked = load_careers(tmp_path / "raked")
    assert {name: len(c) for name, c in raked.items()} == {name: len(c) for name, c in splits.items()}
    weight = pd.concat([pd.DataFrame({"race": c["race"][:], "w": c["weight"][:]}) for c in raked.values()])
    margins = pd.read_csv(tmp_path / "raked" / "margins.csv").set_index(["margin", "level"])
    shares = weight.groupby("race")["w"].sum() / weight["w"].sum()
    assert shares["black"] == pytest.approx(margins.loc[("race", "black"), "target"], rel=1e-5)
    assert Ledger.load(tmp_path / "raked" / "ledger.json").entries[0].step == "rake"

    margins.reset_index().rename(columns={"target": "share"}).to_csv(tmp_path / "margins.csv", index=False)
    again = [
        "rake",
        "--data",
        tmp_path / "resumes",
        "--output",
        tmp_path / "again",
        "--table",
        tmp_path / "margins.csv",
    ]
    run(*again)
    assert load_careers(tmp_path / "again")["test"]["weight"] == pytest.approx(raked["test"]["weight"][:], rel=1e-5)
    assert json.loads((tmp_path / "again" / "split.json").read_text()) == json.loads(
        (market / "careers" / "split.json").read_text()
    )
    assert "give --survey with --margins, or --table" in run(*given, code=2)
    assert "cannot all be met with weights up to 1 times" in run(*again, "--largest", 1, code=2)
