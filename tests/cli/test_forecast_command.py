"""`career-hf forecast` from a trained chain to tables and figures, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_output import words
from datasets import concatenate_datasets
from typer.testing import CliRunner

import career_hf
from career_hf.careers import load_careers, save_careers, split_careers
from career_hf.cli.app import app
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import perplexity
from career_hf.figures.style import EDGE
from career_hf.forecasting.result import Forecast
from career_hf.simulation import preset


CUTOFF = 1986


def run(*arguments, fails=False):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert (result.exit_code == 2) == fails, result.output + str(result.exception)
    return words(result) if fails else result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Careers, and short models: two that end at the cutoff, one that does not, and one that does not say."""
    folder = tmp_path_factory.mktemp("forecasts")
    save_careers(split_careers(preset("tiny").simulate(200).careers), folder / "careers")
    short = ["--max-steps", 2, "--eval-steps", 2, "--warmup-steps", 1, "--tokens-per-batch", 1_000]
    data = ["--data", folder / "careers"]
    run("train", *data, "--output", folder / "chain", "--model", "markov-2", "--cutoff", CUTOFF)
    model, processor = load_checkpoint(folder / "chain")
    processor.training_stages = []
    model.save_pretrained(folder / "unrecorded")
    processor.save_pretrained(folder / "unrecorded")
    run("train", *data, "--output", folder / "jobs", "--model", "job2vec", "--cutoff", CUTOFF, *short)
    run("train", *data, "--output", folder / "late", "--model", "job2vec", *short)
    return folder


def load_weights(folder):
    everybody = concatenate_datasets(list(load_careers(folder / "careers").values()))
    return everybody["person"], everybody["weight"]


def test_training_up_to_a_cutoff_knows_nothing_later(folder):
    processor = CareerProcessor.from_pretrained(folder / "jobs")
    assert processor.last_trained_year() == CUTOFF
    assert processor.covariate_levels[0][-1] == str(CUTOFF)
    assert CareerProcessor.from_pretrained(folder / "late").last_trained_year() > CUTOFF


@pytest.mark.parametrize("everyone", [[], ["--everyone", "--weighted"]])
def test_forecasts_are_scored_saved_and_drawn(folder, everyone, monkeypatch):
    Figure = pytest.importorskip("matplotlib.figure", reason="the extra 'studies' is not installed").Figure
    drawn, savefig = {}, Figure.savefig

    def save_and_keep(figure, path, **options):
        drawn[Path(path).stem] = figure
        savefig(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", save_and_keep)
    output = folder / f"forecast{len(everyone)}"
    data = ["--data", folder / "careers", "--cutoff", CUTOFF]
    printed = run(
        *["forecast", folder / "jobs", *data, "--years", "1988,1990", "--samples", 50, "--draws", 20, *everyone],
        *["--output", output, "--plot"],
    )
    assert "years without training use another trained year: {1988: 1986, 1990: 1986}" in printed
    result, table = Forecast.load(output), pd.read_parquet(output / "forecast_table.parquet")
    assert (result.years == [1988, 1990]).all() and result.trajectories.count.sum() == 50 * len(result.people)
    by_year = pd.read_csv(output / "by_horizon.csv", index_col="year")
    weighted = bool(everyone)
    assert by_year.loc["all", "perplexity"] == pytest.approx(perplexity(table, weighted))
    late = table[table["year"] == 1990]
    assert by_year.loc["1990", "perplexity"] == pytest.approx(perplexity(late, weighted))
    # Survivors are seen in the last year; everyone are more people, with weights.
    assert table.loc[table["year"] == 1990, "survivor"].all() and table["survivor"].all() != weighted
    survey = dict(zip(*load_weights(folder), strict=True))
    assert ((table["weight"] / table["person"].map(survey)).round(6) > 1).any() == weighted
    sets = pd.read_csv(output / "prediction_sets.csv", index_col="year")
    assert (sets["tested"] + sets["calibration"]).tolist() == table.groupby("year").size().tolist()
    shares = pd.read_csv(output / "shares.csv")
    assert np.isclose(shares["n"], shares["year"].map(table.groupby("year").size())).all()
    assert json.loads((output / "ledger.json").read_text())["entries"][2]["step"] == "people to forecast"
    # What is drawn is what is saved.
    assert set(drawn) == {"person", "shares", "calibration"} and all(
        (output / f"{name}.png").exists() for name in drawn
    )
    assert result.people[0] in drawn["person"].get_suptitle()
    likeliest = result.probability[0].max(axis=1)
    texts = {text.get_text() for text in drawn["person"].axes[0].texts}
    assert {f"{probability:.0%}" for probability in likeliest} <= texts
    first = shares[shares["occupation"] == shares["occupation"].iloc[0]]
    expected = [line for line in drawn["shares"].axes[0].lines if line.get_label() == "forecast"]
    assert expected[0].get_xydata() == pytest.approx(first[["year", "expected"]].to_numpy())
    curves = pd.read_csv(output / "calibration.csv")
    points = [container.lines[0].get_xydata() for container in drawn["calibration"].axes[0].containers]
    within_axes = curves[["predicted", "observed"]].clip(EDGE, 1 - EDGE)
    assert np.concatenate(points) == pytest.approx(within_axes.to_numpy())


def test_years_that_nobody_has_observed_are_forecast_as_the_function_does(folder, tmp_path):
    data = ["--data", folder / "careers", "--split", "test"]
    options = [*data, "--horizon", 2, "--samples", 20]
    printed = run("forecast", folder / "late", *options, "--output", tmp_path / "ahead")
    expected = career_hf.forecast(folder / "late", folder / "careers", horizon=2, split="test", samples=20)
    found = Forecast.load(tmp_path / "ahead")
    assert np.array_equal(found.probability, expected.probability) and found.people == expected.people
    assert all(f"Person {person}: likeliest" in printed for person in found.people[:3])
    for wrong in ([*options, "--cutoff", CUTOFF], data):
        assert "give --cutoff to forecast years that were observed" in run(
            "forecast", folder / "late", *wrong, fails=True
        )
    assert "--everyone is for forecasts that are scored" in run(
        "forecast", folder / "late", *options, "--everyone", fails=True
    )


def test_years_and_people_may_be_left_to_the_command(folder):
    printed = run(
        *["forecast", folder / "chain", "--data", folder / "careers", "--cutoff", CUTOFF, "--split", "test"],
        *["--people", 9, "--samples", 20, "--draws", 10],
    )
    careers = load_careers(folder / "careers")["test"]
    later = sorted({year for years in careers["year"] for year in years if year > CUTOFF})[:3]
    assert all(str(year) in printed for year in later) and " 9 out" in printed


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            "late",
            ["--cutoff", CUTOFF],
            f"so nothing after {CUTOFF} would be a forecast; train with a cutoff of {CUTOFF}",
        ),
        ("jobs", ["--cutoff", 2050], "nobody is observed after 2050; say which years to forecast"),
        ("jobs", ["--cutoff", CUTOFF, "--split", "nothing"], "none is 'nothing'"),
        ("jobs", ["--cutoff", CUTOFF, "--plot"], "--plot needs --output"),
        ("unrecorded", ["--cutoff", 1900, "--years", 1990], "nobody is observed up to 1900"),
        (
            "chain",
            ["--cutoff", CUTOFF - 2],
            f"trained on years up to {CUTOFF}, so nothing after {CUTOFF - 2} would be",
        ),
        ("jobs", ["--cutoff", CUTOFF, "--years", 2050], "nobody qualifies: all"),
    ],
)
def test_what_cannot_be_forecast_is_said(folder, model, options, message):
    assert message in run("forecast", folder / model, "--data", folder / "careers", *options, fails=True)


def test_a_state_on_one_side_of_the_cutoff_is_said(folder):
    def collapse(career):
        steps = zip(career["year"], career["occupation"], strict=True)
        return {"occupation": ["not_working" if y > CUTOFF and o == "unemployed" else o for y, o in steps]}

    careers = load_careers(folder / "careers")
    for name, split in careers.items():
        careers[name] = split.map(collapse)
    save_careers(careers, folder / "collapsed")
    options = ["--data", folder / "collapsed", "--cutoff", CUTOFF, "--years", 1990]
    printed = run("forecast", folder / "chain", *options, fails=True)
    assert "state 'unemployed' occurs in 1986, and never in 1990" in printed


def test_covariates_are_known_ahead_only_on_request(folder):
    data = ["--data", folder / "careers", "--cutoff", CUTOFF, "--years", 1988, "--samples", 20, "--draws", 5]
    for known, said in (("last", "covariates keep their last values"), ("realised", "covariates are known ahead")):
        option = [] if known == "last" else ["--covariates", known]
        printed = run("forecast", folder / "jobs", *data, *option, "--output", folder / known)
        assert said in " ".join(printed.split()) and "monte_carlo_bias" in printed
        assert Forecast.load(folder / known).attrs["covariates"] == known
    assert "Invalid value for '--covariates'" in run(
        "forecast", folder / "jobs", *data, "--covariates", "future", fails=True
    )
