"""The report on models: its tables hold what the metrics say, and everything is written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.calibration import Recalibration, calibration_error, recalibrate, reliability
from career_hf.evaluation.metrics import (
    bootstrap_perplexity,
    entry_auc,
    perplexity,
    perplexity_differences_by,
    ranking,
    stay_auc,
)
from career_hf.evaluation.report import accuracy, perplexity_in_groups, report
from career_hf.evaluation.transition_table import transition_table
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.simulation import TrueOccupationModel, preset, world_processor


STATE = "unemployed"
DISTORTION = Recalibration(temperature=0.5, stay_slope=1.7, stay_intercept=-0.8)


@pytest.fixture(scope="module")
def tables():
    """A chain, and the truth distorted in two ways as if it had two seeds, on the careers of one market."""
    drawn = preset("tiny").simulate(400, seed=3)
    train, test = drawn.careers.select(range(200)), drawn.careers.select(range(200, 400))
    truth, processor = TrueOccupationModel.of_world(drawn.world), world_processor(drawn.world)
    bare = CareerProcessor.fit(train, covariates=())
    chain = MarkovForOccupationPrediction.fit(bare.encode(train)[0], bare)
    scored = {"chain": [transition_table(chain, test, bare, watch=[STATE])], "truth": []}
    recalibrated = {"chain": scored["chain"], "truth": []}
    for distortion in (DISTORTION, Recalibration(stay_intercept=1.0)):
        with distortion.applied_to(truth):
            scored["truth"].append(transition_table(truth, test, processor, watch=[STATE]))
            with recalibrate(truth, train, processor).applied_to(truth):
                recalibrated["truth"].append(transition_table(truth, test, processor, watch=[STATE]))
    return scored, recalibrated


@pytest.fixture(scope="module")
def results(tables):
    scored, recalibrated = tables
    return report(scored, "chain", by=["gender"], recalibrated=recalibrated, draws=100)


@pytest.fixture(scope="module")
def found(results):
    return results.tables


def average(seeds):
    return seeds[0].assign(log_prob=np.mean([table["log_prob"] for table in seeds], axis=0))


@pytest.mark.parametrize("column", ["transition", "step", "year", "gender"])
def test_groups_hold_what_the_metrics_say_of_each_model_averaged_over_seeds(tables, found, column):
    scored, _ = tables
    rows = found[f"by_{column}"].set_index([column, "model"])
    for model, seeds in scored.items():
        expected = bootstrap_perplexity(average(seeds), draws=100, by=column)
        mine = rows.xs(model, level="model")[["n", "people", "perplexity", "low", "high"]]
        pd.testing.assert_frame_equal(mine, expected.drop(columns="standard_error"), check_index_type=False)
    differences = perplexity_differences_by(scored, "chain", column, draws=100)["difference"]
    mine = rows.xs("truth", level="model", drop_level=False)["difference"]
    assert mine.to_numpy() == pytest.approx(differences.to_numpy())
    itself = rows.xs("chain", level="model")[["people", "difference", "difference_low", "difference_high"]]
    assert (itself.loc[itself["people"] >= 30].drop(columns="people") == 0).all(axis=None)
    assert itself.loc[itself["people"] < 10, ["difference_low", "difference_high"]].isna().all(axis=None)


def test_people_without_a_label_are_a_group(tables):
    scored, _ = tables
    nowhere = {name: [table.assign(region=None) for table in seeds] for name, seeds in scored.items()}
    for seeds in nowhere.values():
        for table in seeds:
            table.loc[: len(table) // 2, "region"] = "south"
    rows = perplexity_in_groups(nowhere, "region", "chain", draws=5)
    assert rows["region"].isna().tolist() == [False, False, True, True]
    assert rows.groupby("model")["n"].sum().tolist() == [len(scored["chain"][0])] * 2


def test_accuracy_is_averaged_over_seeds_and_null_where_nobody_enters(tables, found):
    scored, _ = tables
    row = found["accuracy"].loc["truth"]
    assert row["moving"] == pytest.approx(np.mean([stay_auc(table) for table in scored["truth"]]))
    assert row[f"entering {STATE}"] == pytest.approx(np.mean([entry_auc(table, STATE) for table in scored["truth"]]))
    for name, value in ranking(scored["truth"][1]).items():
        assert row[name] == pytest.approx((ranking(scored["truth"][0])[name] + value) / 2)
    stayers = {"chain": [scored["chain"][0].query("step == 0 or transition == 'stay'")]}
    nobody = accuracy(stayers).loc["chain"]
    assert np.isnan(nobody[["moving", f"entering {STATE}"]].to_numpy(dtype=float)).all() and nobody["top-10"] > 0


def test_calibration_says_what_recalibration_gains(tables, found):
    scored, recalibrated = tables
    row = found["calibration"].loc["truth"]
    errors = [calibration_error(reliability(table, "stay")) for table in scored["truth"]]
    assert row["stay_ece"] == pytest.approx(np.mean(errors))
    assert row["perplexity_recalibrated"] == pytest.approx(
        np.exp(np.mean([np.log(perplexity(table)) for table in recalibrated["truth"]]))
    )
    for column in ("stay_ece", "perplexity"):
        assert row[f"{column}_recalibrated"] < 0.95 * row[column]
    curves = found["reliability"]
    one = curves.query("model == 'truth' and of == 'stay' and not recalibrated")
    pooled = pd.concat(scored["truth"])
    assert one["n"].sum() == (pooled["step"] > 0).sum()
    assert np.average(one["observed"], weights=one["n"]) == pytest.approx(
        (pooled.loc[pooled["step"] > 0, "transition"] == "stay").mean()
    )
    assert set(map(tuple, curves[["model", "recalibrated", "of"]].drop_duplicates().to_numpy())) == {
        (model, is_so, of) for model in scored for is_so in (False, True) for of in ("stay", "top")
    }


def test_survey_weights_count_people_by_their_weight_in_every_table(tables):
    """Whole weights are people who are there more than once; intervals need not agree."""
    scored, recalibrated = tables
    people = scored["chain"][0]["person"].astype(str)
    weight = people.map({person: 1 + i % 3 for i, person in enumerate(people.unique())}).to_numpy()
    again = np.repeat(np.arange(len(people)), weight)

    def each(models, change):
        return {model: [change(table) for table in seeds] for model, seeds in models.items()}

    with_weights = [each(models, lambda table: table.assign(weight=weight * 0.5)) for models in tables]
    repeated = [each(models, lambda table: table.iloc[again]) for models in tables]
    mine, theirs = (
        report(scored, "chain", by=["gender"], recalibrated=other, draws=2, weighted=weighted).tables
        for (scored, other), weighted in ((with_weights, True), (repeated, False))
    )
    for name in ("summary", "differences", "accuracy", "by_transition", "by_step", "by_gender"):
        points = ~mine[name].columns.str.contains("^n$|low|high|standard_error")
        numbers = [table[name].loc[:, points].select_dtypes("number").to_numpy(float) for table in (mine, theirs)]
        np.testing.assert_allclose(*numbers, rtol=1e-6, err_msg=name)
    # Bins hold equally many rows, so those of repeated rows are others.
    perplexities = [table["calibration"]["perplexity_recalibrated"].to_numpy() for table in (mine, theirs)]
    np.testing.assert_allclose(*perplexities, rtol=1e-6)
    curve = reliability(with_weights[0]["chain"][0], weighted=True, draws=2)
    later = scored["chain"][0]["step"].to_numpy() > 0
    assert curve["share"].sum() == pytest.approx(1)
    assert np.average(curve["predicted"], weights=curve["share"]) == pytest.approx(
        np.average(scored["chain"][0].loc[later, "p_stay"], weights=weight[later])
    )


def test_everything_is_written_and_read_back(results, tables, tmp_path):
    found, written = results.tables, results.save(tmp_path)
    figures = {"levels.png", "by_transition.png", "by_step.png", "reliability.png"}
    kinds = {f"{name}.{kind}" for name in found for kind in ("csv", "tex", "html")}
    seeds = {"chain_0", "truth_0", "truth_1"}
    kept = {f"{name}{suffix}.parquet" for name in seeds for suffix in ("", "_recalibrated")}
    assert (
        {path.name for path in written}
        == {path.name for path in tmp_path.iterdir()}
        == (figures | kinds | kept | {"ledger.json"})
    )
    audit = pd.read_csv(tmp_path / "by_gender.csv")
    assert list(audit.columns) == list(found["by_gender"].columns)
    assert audit["perplexity"].to_numpy() == pytest.approx(found["by_gender"]["perplexity"].to_numpy())
    summary = pd.read_csv(tmp_path / "summary.csv", index_col="model")
    assert summary["perplexity"].to_numpy() == pytest.approx(found["summary"]["perplexity"].to_numpy())
    again = pd.read_parquet(tmp_path / "truth_1_recalibrated.parquet")
    assert again["log_prob"].equals(tables[1]["truth"][1]["log_prob"])


def test_tables_for_people_are_in_plain_english_and_escaped(results, tables, tmp_path):
    for name, table in results.tables.items():
        readable = results.in_english(name)
        pd.testing.assert_frame_equal(readable.set_axis(table.columns, axis=1), table)
        columns = set(readable.columns)
        assert not any("_" in column for column in columns) and not columns & {"low", "high", "n", "stay", "of"}
    assert results.in_english("differences").columns[4:6].tolist() == ["difference, 95% low", "difference, 95% high"]
    wide = results.side_by_side("gender")
    for row in results.tables["by_gender"].itertuples():
        assert wide.loc[row.gender, row.model] == f"{row.perplexity:.2f} [{row.low:.2f}, {row.high:.2f}]"
    renamed = {f"{name}_1": seeds for name, seeds in tables[0].items()}
    report(renamed, "chain_1", draws=50).save_tables(tmp_path)
    # LaTeX takes an underscore for a subscript.
    latex = (tmp_path / "summary.tex").read_text()
    assert "AUC of moving" in latex and "chain\\_1" in latex
    with pytest.raises(ValueError, match="no table 'sumary'"):
        results.to_frame("sumary")
    with pytest.raises(ValueError, match="no figure 'leves'"):
        results.figure("leves")
    assert results.figure().axes[0].get_title().startswith("Perplexity")


def test_without_matplotlib_tables_are_written_and_a_message_says_how_to_get_figures(results, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("career_hf.evaluation.report.find_spec", lambda name: None)
    monkeypatch.setattr("career_hf.evaluation.report.logger.warning", said.append)
    written = results.save(tmp_path)
    assert (tmp_path / "summary.csv").exists() and not any(path.suffix == ".png" for path in written)
    assert "career_hf[studies]" in said[0]


def test_what_is_not_there_is_an_error(tables):
    scored, _ = tables
    with pytest.raises(ValueError, match="no column 'shoe_size' to group by"):
        perplexity_in_groups(scored, "shoe_size", "chain")
    with pytest.raises(ValueError, match="baseline 'career' is not among the tables"):
        perplexity_in_groups(scored, "gender", "career")
    with pytest.raises(ValueError, match="'chain' and 'truth' have"):
        report({"chain": [scored["chain"][0].iloc[1:]], "truth": scored["truth"]}, "chain")
