"""The study of forecasts, at a size at which nothing is learned but everything runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
from drawn_points import names_of, points_of
from replication import rivals
from replication import table1 as study
from replication.rivals import BASELINE
from replication.study import studies
from replication.table1 import KNOWLEDGE, OVERALL, POPULATIONS, perplexities
from typer.testing import CliRunner

from career_hf.careers import load_careers, to_frame
from career_hf.careers.clusters import FEWEST, clusters
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import perplexity
from career_hf.forecasting.metrics import state_auc
from career_hf.rivals.mixture import tune_mixture
from career_hf.simulation import ResumeConfig, preset, save_simulation, write_resumes


CUTOFF, YEARS = 1986, (1988, 1990)
SMALL = rivals.RivalsSettings(
    trials=2,
    seeds=1,
    tokens_per_batch=1_000,
    most_steps=2,
    warmup_steps=1,
    eval_steps=2,
    draws=20,
    pretraining_steps=2,
)
TRAINED = ["CAREER, pretrained, two stages", "CAREER, two stages"]


@pytest.fixture(scope="module", autouse=True)
def few_rivals():
    """All rivals take the same way through the study; CAREER is enough to show it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rivals, "RIVALS", {rivals.CAREER: rivals.RIVALS[rivals.CAREER]})
        small = partial(tune_mixture, num_chains=[2], strengths=[1.0], restarts=1)
        patch.setattr(rivals, "COUNTED", {rivals.MARKOV: rivals.COUNTED[rivals.MARKOV], "mixture": small})
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    market = preset("tiny").simulate(150)
    save_simulation(market, folder)
    write_resumes(market.world, ResumeConfig(people=60), folder / "resumes")
    return folder


def planned(folder, careers, covariates=("year", "education", "gender"), **options):
    plan = study.ForecastStudy(
        folder, SMALL, data=careers, covariates=covariates, cutoff=CUTOFF, years=YEARS, samples=20, **options
    )
    return study.Table1Study(plan)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    return planned(tmp_path_factory.mktemp("table1"), data / "careers", resumes=data / "resumes")


@pytest.fixture(scope="module")
def done(whole):
    """The plans by design, what the study found, and its folder."""
    found = whole.run(workers=1)
    return {plan.design: plan for plan in whole.designs}, found, whole.plan.folder


def test_every_model_forecasts_the_same_people_and_years(done):
    for plan in done[0].values():
        tables = plan.tables("forecasts/last")
        assert set(tables) == {*TRAINED, *rivals.COUNTED}
        rows = plan.realised().rows
        assert set(rows["year"]) == set(YEARS) and 0 < rows["survivor"].mean() < 1
        for table in (table for of_model in tables.values() for table in of_model):
            assert table[["person", "year"]].values.tolist() == rows[["person", "year"]].values.tolist()
            assert np.array_equal(table["weight"], rows["weight"])


def test_nothing_after_the_cutoff_is_known(done):
    for plan in done[0].values():
        parts = [*plan.splits().values(), *plan.corpus()]
        assert max(to_frame(careers)["year"].max() for careers in parts) == CUTOFF
        for folder in [*(plan.folder / "models").iterdir(), *(plan.folder / "pretrained").iterdir()]:
            processor = CareerProcessor.from_pretrained(folder)
            assert processor.last_trained_year() == CUTOFF
            assert max(int(label) for label in processor.covariate_levels[0][1:]) == CUTOFF


def test_who_trains_and_who_is_forecast(done, data):
    splits = {name: set(careers["person"]) for name, careers in load_careers(data / "careers").items()}
    trained, forecast = {}, {}
    for design, plan in done[0].items():
        parts = plan.splits()
        assert set(parts["validation"]["person"]) <= splits["validation"]
        trained[design], forecast[design] = set(parts["train"]["person"]), set(plan.realised().histories["person"])
    # In the paper's design everybody who is not validated on trains, and everybody is forecast.
    assert trained["everybody"] & splits["test"] and forecast["everybody"] & trained["everybody"]
    assert forecast["everybody"] & splits["validation"]
    assert trained["new people"] <= splits["train"] and forecast["new people"] <= splits["test"]


def test_tables_hold_what_forecast_tables_say(done):
    plans, found, folder = done
    levels = found["table1"].set_index(["design", "population", "covariates", "year", "model"])
    areas = found["auc"].set_index(["design", "population", "covariates", "state", "year", "model"])
    assert set(found["table1"]["population"]) == set(POPULATIONS)
    for (design, plan), known in product(plans.items(), KNOWLEDGE):
        for name, of_model in plan.tables(f"forecasts/{known}").items():
            for year in [None, *YEARS]:
                alike = [table[table["survivor"]] for table in of_model]
                parts = {"survivors": alike, "everyone, weighted": of_model}
                for population, tables in parts.items():
                    chosen = [table if year is None else table[table["year"] == year] for table in tables]
                    weighted = population != "survivors"
                    mean = np.mean([np.log(perplexity(table, weighted)) for table in chosen])
                    row = levels.loc[(design, population, known, "overall" if year is None else str(year), name)]
                    assert row["perplexity"] == pytest.approx(np.exp(mean))
                    assert row["n"] == len(chosen[0])
                    few = len(np.unique(clusters(chosen[0]))) < FEWEST
                    assert few == np.isnan(row["low"])
                    assert few or row["low"] <= row["perplexity"] <= row["high"]
                    own = areas.loc[
                        (design, population, known, "in_school", "overall" if year is None else str(year), name)
                    ]
                    if (chosen[0]["occupation"] == "in_school").any():
                        auc = np.mean([state_auc(t, "in_school", weighted) for t in chosen])
                        assert own["auc"] == pytest.approx(auc)
                        overall = "overall" if year is None else str(year)
                        ours = areas.loc[(design, population, known, "in_school", overall, BASELINE), "auc"]
                        assert own["difference"] == pytest.approx(auc - ours)
                        assert np.isnan(own["low"]) or own["low"] <= own["auc"] <= own["high"]
                    else:
                        assert np.isnan(own["auc"])
    saved = pd.read_csv(folder / "table1.csv").set_index(["design", "population", "covariates", "year", "model"])
    assert np.allclose(saved["perplexity"], levels["perplexity"])
    figure = found.figures["table1"]
    assert len(figure.axes) == 2 * len(plans)
    for axes, design in zip(figure.axes[::2], plans, strict=True):
        rows = found["table1"]
        rows = rows[(rows["population"] == "survivors") & (rows["design"] == design) & (rows["covariates"] == "last")]
        models = sorted(rows["model"].unique(), key=lambda name: (name != BASELINE, name))
        assert names_of(axes) == models
        of_models = [rows.query("model == @name").set_index("year")["perplexity"] for name in models]
        years = [OVERALL, *map(str, YEARS)]
        drawn = np.concatenate([of_model.loc[years] for of_model in of_models])
        assert points_of(axes)[:, 1] == pytest.approx(drawn)


def test_kinds_are_those_of_the_last_occupation_known(done):
    plans, found, folder = done
    kinds = found["kinds"].set_index(["design", "population", "covariates", "year", "model"])
    for design, plan in plans.items():
        for name, of_model in plan.tables("forecasts/realised").items():
            (table,) = (table[table["survivor"]] for table in of_model)
            ahead = table[(table["year"] == YEARS[1]) & ~table["unknown"]]
            row = kinds.loc[(design, "survivors", "realised", str(YEARS[1]), name)]
            same = ahead["occupation"].astype(str) == ahead["previous"].astype(str)
            assert row["observed"] == pytest.approx(same.mean())
            assert row["predicted"] == pytest.approx(ahead["p_stay"].mean())
            assert row["stay"] == pytest.approx(np.exp(-ahead.loc[same, "log_prob"].mean()))
            # What all steps lose is what their kinds lose.
            moved = ahead[~same]
            lost = np.log(row[["return", "new"]].astype(float)) * moved["transition"].value_counts()[["return", "new"]]
            assert lost.sum() == pytest.approx(-moved["log_prob"].sum())
    assert np.allclose(pd.read_csv(folder / "kinds.csv")["predicted"], found["kinds"]["predicted"])


def test_seeds_are_averaged_and_their_sampling_errors_shrink(done):
    tables = done[0]["everybody"].tables("forecasts/last")
    one, other = (tables[name][0] for name in TRAINED[:2])
    alone = perplexities({BASELINE: [one]}, 20).set_index("year")
    other_alone = perplexities({BASELINE: [other]}, 20).set_index("year")
    both = perplexities({BASELINE: [one, other]}, 20).set_index("year")
    assert np.allclose(both["perplexity"] ** 2, alone["perplexity"] * other_alone["perplexity"])
    assert np.allclose(both["monte_carlo"], np.hypot(alone["monte_carlo"], other_alone["monte_carlo"]) / 2)
    # The first year is one step ahead, which is not sampled.
    assert alone.loc[str(YEARS[0]), "monte_carlo"] == 0 < alone.loc[str(YEARS[1]), "monte_carlo"]
    late = one[one["year"] == YEARS[1]]
    assert alone.loc[str(YEARS[1]), "monte_carlo_bias"] == pytest.approx(late["log_prob_correction"].mean())
    assert alone.loc[str(YEARS[0]), "monte_carlo_bias"] == 0
    spread = np.log(alone["perplexity"] / other_alone["perplexity"]).abs() / np.sqrt(2)
    assert np.allclose(both["seed_sd"], spread)


def test_the_page_has_every_model_in_every_table(done):
    _, found, folder = done
    text = (folder / "tables.md").read_text()
    # Of perplexities and of AUCs, in both designs and populations; of kinds, in two years each; and of costs.
    # Twice, by what is known of covariates, but for costs. Differences of both leave out the baseline.
    assert text.count(f"\n| {BASELINE} ") == 32 and text.count("\n| Markov chain, order 1 ") == 48
    for row in found["table1"][found["table1"]["model"] == BASELINE].itertuples():
        ends = "too few" if np.isnan(row.low) else f"{row.low:.2f}, {row.high:.2f}"
        assert f"{row.perplexity:.2f} [{ends}]" in text
    assert "nan" not in text


def test_what_it_costs_is_said_first(whole):
    runs, people, hours = whole.cost()
    # Two models: two trials where people are new, one of which is frozen and trains in both designs.
    assert runs == 6
    # Two models, with both kinds of covariates, and two chains.
    assert people == sum(6 * len(plan.realised().histories) for plan in whole.designs)
    assert 0 < hours < 0.1


def test_the_same_settings_are_frozen_in_both_designs(done):
    plans, found, _ = done
    frozen = {design: {path.name for path in (plan.folder / "models").iterdir()} for design, plan in plans.items()}
    assert len(frozen["everybody"]) == len(TRAINED) and frozen["everybody"] < frozen["new people"]
    for name in TRAINED:
        mine = plans["new people"].training_of(name)["best"]
        assert len(mine) == 2 and mine.idxmin() in frozen["everybody"]
        assert found["costs"].loc[("new people", name), "validation"] == mine.min()
    assert (found["costs"].loc["everybody", "trials"] == 1).all() and (
        found["costs"].loc["new people", "trials"] == 2
    ).all()
    assert found["costs"].loc["everybody", "rate"].equals(found["costs"].loc["new people", "rate"])


def test_what_is_finished_is_not_run_again(done, whole, monkeypatch):
    monkeypatch.setattr(study, "forecast", None)
    monkeypatch.setattr("career_hf.training.cells.fit_model", None)
    monkeypatch.setattr("career_hf.training.cells.load_checkpoint", lambda folder: None)
    whole.compute(workers=1)


def test_the_command_says_the_cost_and_prints_the_tables(data, tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "COUNTED", {rivals.MARKOV: rivals.COUNTED[rivals.MARKOV]})
    arguments = ["--data", str(data / "careers"), "--cutoff", str(CUTOFF), "--years", "1988,1990", "--seeds", "1"]
    arguments += ["--workers", "1", "--trials", "1", "--most-steps", "10", "--samples", "10", "--people", "30"]
    arguments += ["--output", str(tmp_path / "study")]
    result = CliRunner().invoke(studies, ["table2", *arguments, "--design", "new people"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("1 training runs and forecasts of ")
    assert "New people are forecast, scored on survivors; covariates keep their last values: perplexity" in (
        " ".join(result.output.split())
    )
    assert not (tmp_path / "study" / "everybody").exists()
    result = CliRunner().invoke(studies, ["table1", *arguments, "--design", "nobody"])
    assert result.exit_code == 2 and "must be one of everybody, new people" in result.output


def test_a_state_on_one_side_of_the_cutoff_is_an_error_before_training(data, tmp_path):
    careers = load_careers(data / "careers")

    def collapse(career):
        years = zip(career["year"], career["occupation"], strict=True)
        return {"occupation": ["not_working" if y > CUTOFF and o == "unemployed" else o for y, o in years]}

    for name, split in careers.items():
        careers[name] = split.map(collapse)
    careers.save_to_disk(tmp_path / "careers")
    plan = planned(tmp_path, tmp_path / "careers", ("year",))
    with pytest.raises(ValueError, match=r"state 'unemployed' occurs in 1986, and never in 1988, 1990"):
        plan.run(workers=1)
    assert not list(tmp_path.glob("*/models"))


def test_covariates_are_known_ahead_only_where_that_is_said(done, data, tmp_path):
    """Where all go to college after the cutoff, a model with covariates may be told so, and a chain never is."""
    plan = done[0]["new people"]
    careers = load_careers(data / "careers")

    def graduate(career):
        levels = zip(career["year"], career["education"], strict=True)
        return {"education": ["college" if year > CUTOFF else level for year, level in levels]}

    for name, split in careers.items():
        careers[name] = split.map(graduate)
    careers.save_to_disk(tmp_path / "careers")
    ahead = replace(plan, folder=tmp_path, data=tmp_path / "careers")
    trial = next(trial for trial in plan.frozen() if trial.model == BASELINE)
    ahead.keep_table(BASELINE, 0, partial(plan.train, trial))
    ahead.keep_table(rivals.MARKOV, 0, partial(plan.counted, rivals.MARKOV))
    last, realised = (ahead.tables(f"forecasts/{known}") for known in KNOWLEDGE)
    for name in last:
        assert np.array_equal(last[name][0]["log_prob"], realised[name][0]["log_prob"]) == (name == rivals.MARKOV)
    # Nothing that happened later reaches the forecast that keeps last values.
    before = plan.tables("forecasts/last")[BASELINE][0]["log_prob"]
    assert np.array_equal(last[BASELINE][0]["log_prob"], before)
