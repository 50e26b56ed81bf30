"""The audit: the package's own numbers in every group; calibration of the truth within chance, not of others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from command_output import words
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from career_hf.cli.app import app
from career_hf.evaluation.audit import ENGLISH, METRICS, audit
from career_hf.evaluation.calibration import Recalibration, calibration_error, reliability
from career_hf.evaluation.metrics import bootstrap_perplexity, ranking
from career_hf.evaluation.transition_table import transition_table
from career_hf.simulation import TrueOccupationModel, preset, world_processor


@pytest.fixture(scope="module")
def market():
    simulation = preset("tiny").simulate(2500, seed=7)
    truth, processor = TrueOccupationModel.of_world(simulation.world), world_processor(simulation.world)
    bent = Recalibration(stay_intercept=0.3, temperature=0.7)
    with bent.applied_to(truth):
        wrong = transition_table(truth, simulation.careers, processor)
    return transition_table(truth, simulation.careers, processor), wrong


def values(report, group):
    frame = report.to_frame()
    return frame[frame["group"] == group].set_index("metric")


def test_numbers_of_a_group_are_those_of_its_rows_alone(market):
    table, _ = market
    report = audit(table, "gender", draws=200)
    frame = report.to_frame()
    assert frame["group"].unique().tolist() == ["all", *table["gender"].cat.categories]
    for group in frame["group"].unique():
        rows = table if group == "all" else table[table["gender"] == group]
        of_group = values(report, group)
        expected = bootstrap_perplexity(rows, draws=200).iloc[0]
        np.testing.assert_allclose(
            of_group.loc["perplexity", ["estimate", "low", "high"]].tolist(),
            expected[["perplexity", "low", "high"]].tolist(),
        )
        assert of_group.loc["accuracy", "estimate"] == pytest.approx(ranking(rows)["top-1"])
        assert of_group.loc["accuracy_top5", "estimate"] == pytest.approx(ranking(rows)["top-5"])
        for event in ("stay", "top"):
            error = calibration_error(reliability(rows, event, draws=1))
            assert of_group.loc[f"{event}_error", "estimate"] == pytest.approx(error)
        later = rows[rows["step"] > 0]
        gap = later["p_stay"].mean() - (later["transition"] == "stay").mean()
        assert of_group.loc["stay_gap", "estimate"] == pytest.approx(gap)
        assert (of_group["n"] == len(rows)).all() and (of_group["people"] == rows["person"].nunique()).all()
    shares = frame[frame["metric"] == "accuracy"].set_index("group")["share"]
    assert shares["all"] == 1 and shares.drop("all").sum() == pytest.approx(1)


def test_the_truth_is_calibrated_in_every_group_as_far_as_chance_lets_one_see(market):
    table, wrong = market
    frame = audit(table, ["gender", "race"], draws=400).to_frame()
    assert len(frame) == 7 * len(METRICS)
    errors = frame[frame["metric"].isin(["stay_error", "top_error"])]
    # One in twenty is flagged by chance.
    assert (errors["low"] > 0).mean() < 0.2 and (errors["estimate"] > 0).all()
    gaps = frame[frame["metric"].isin(["stay_gap", "top_gap"])]
    assert ((gaps["low"] <= 0) & (gaps["high"] >= 0)).mean() > 0.8

    bent = audit(wrong, "gender", draws=400).to_frame()
    assert (bent.loc[bent["metric"].isin(["stay_error", "top_error", "stay_gap", "top_gap"]), "low"] > 0).all()


def test_intervals_of_calibration_errors_hold_the_error_of_the_whole_population(market):
    """Samples of 150 people of a miscalibrated model: the large sample's error is inside nearly always."""
    _, wrong = market
    people = wrong["person"].unique()
    rng, inside = np.random.default_rng(0), []
    whole = values(audit(wrong, "gender", draws=1), "all").loc["stay_error", "estimate"]
    for _ in range(20):
        some = wrong[wrong["person"].isin(rng.choice(people, 150, replace=False))]
        row = values(audit(some, "split", draws=200), "all").loc["stay_error"]
        inside.append(row["low"] <= whole <= row["high"])
    assert np.mean(inside) >= 0.9


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), weighted=st.booleans())
def test_weights_count_people_several_times(seed, weighted):
    """A table with whole-number weights has the numbers of one in which people stand that often."""
    rng = np.random.default_rng(seed)
    n = 60
    step = np.tile(np.arange(3), n // 3)
    table = pd.DataFrame(
        {
            "person": np.repeat(np.arange(n // 3), 3).astype(str),
            "step": step,
            "log_prob": np.log(rng.uniform(0.05, 1, n)),
            "p_stay": np.where(step > 0, rng.random(n), np.nan),
            "p_top": rng.random(n),
            "rank": rng.integers(1, 8, n),
            "transition": np.where(step > 0, rng.choice(["stay", "new"], n), "first"),
            "unknown": rng.random(n) < 0.1,
            "weight": np.repeat(rng.integers(1, 4, n // 3), 3).astype(float),
            "race": np.repeat(rng.choice(["a", None], n // 3), 3),
        }
    )
    times = table["weight"].astype(int) if weighted else np.ones(n, dtype=int)
    repeated = table.loc[table.index.repeat(times)].assign(weight=1.0)
    # One bin: bins of a weighted table hold equally many steps, not equal weights.
    ours, theirs = (
        audit(t, "race", weighted=w, bins=1, draws=2).to_frame() for t, w in ((table, weighted), (repeated, False))
    )
    columns = ["group", "metric", "share", "estimate"]
    pd.testing.assert_frame_equal(ours[columns], theirs[columns])
    assert set(ours["group"]) == {"all", "a", "missing"} - ({"a"} if table["race"].isna().all() else set())


def test_side_by_side_is_one_row_per_group(market):
    report = audit(market[0], "race", draws=50)
    wide = report.side_by_side()
    assert wide.columns.tolist() == ["steps", "people", "share of steps", *(ENGLISH.get(m, m) for m in METRICS)]
    assert wide.index[0] == "all" and not any("_" in name for name in wide.columns)
    row = values(report, "all").loc["perplexity"]
    assert wide.loc["all", "perplexity"] == f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    assert repr(report) == wide.to_string()


def test_what_cannot_be_done_is_said(market):
    table, _ = market
    with pytest.raises(ValueError, match="no column 'sex' to audit by"):
        audit(table, "sex")
    with pytest.raises(ValueError, match="'weight' has nulls"):
        audit(table.assign(weight=np.nan), "gender", weighted=True)


def test_the_command_prints_and_writes_what_it_audits(market, tmp_path):
    market[0].to_parquet(tmp_path / "mine_0.parquet")
    given = ["audit", str(tmp_path / "mine_0.parquet"), "--draws", "50"]
    result = CliRunner().invoke(
        app,
        [*given, "--by", "gender,race", "--weighted", "--output", str(tmp_path / "a.csv")],
        env={"COLUMNS": "160"},
    )
    assert result.exit_code == 0, result.output
    assert "error, staying" in words(result) and "chance" in result.output
    written = pd.read_csv(tmp_path / "a.csv")
    expected = audit(tmp_path / "mine_0.parquet", ["gender", "race"], weighted=True, draws=50).to_frame()
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)
    refused = CliRunner().invoke(app, [*given, "--by", "sex"])
    assert refused.exit_code == 2 and "no column 'sex'" in refused.output.replace("\n", " ")
    with pytest.raises(ValueError, match=r"is a folder, and .*: give one file of it: mine_0.parquet"):
        audit(tmp_path, "gender")
    (tmp_path / "text.parquet").write_text("text")
    unreadable = CliRunner().invoke(app, ["audit", str(tmp_path / "text.parquet"), "--by", "gender"])
    assert unreadable.exit_code == 2 and "cannot be read" in words(unreadable)
