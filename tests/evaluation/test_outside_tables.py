"""Tables of other programs beside checkpoints: the same numbers from the same probabilities, and every fault named."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import career_hf
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.careers.benchmark import label_set
from career_hf.cli.app import app
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.audit import audit
from career_hf.evaluation.metrics import entry_auc, stay_auc
from career_hf.evaluation.outside_tables import outside_table
from career_hf.evaluation.report import (
    EvaluationReport,
    accuracy,
    calibration,
    reliability_curves,
    write_transition_table,
)
from career_hf.evaluation.transition_table import transition_table
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.simulation import TrueOccupationModel, preset, world_processor


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Splits of careers in a folder, a chain that knows some of their occupations, and the truth."""
    folder = tmp_path_factory.mktemp("market")
    drawn = preset("tiny").simulate(120, seed=3)
    splits = split_careers(drawn.careers, {"train": 0.4, "validation": 0.1, "test": 0.5})
    save_careers(splits, folder / "careers")
    processor = CareerProcessor.fit(splits["train"], covariates=(), unknown_occupation="unknown")
    chain = MarkovForOccupationPrediction.fit(processor.encode(splits["train"])[0], processor)
    chain.save_pretrained(folder / "chain")
    processor.save_pretrained(folder / "chain")
    truth = (TrueOccupationModel.of_world(drawn.world), world_processor(drawn.world))
    return folder, splits, truth


@pytest.fixture(scope="module")
def labels(market):
    return label_set(market[1])


@pytest.fixture(scope="module")
def whole(market, labels):
    """What a program writes that gives all probabilities: those of a chain that knows every occupation."""
    processor = CareerProcessor.fit(career_hf.careers.as_careers(market[1]), covariates=())
    model = MarkovForOccupationPrediction.fit(processor.encode(market[1]["train"])[0], processor)
    table = transition_table(model, market[1]["test"], processor, split="test", watch=labels)
    return table, table[["person", "year", "log_prob", *(f"p({label})" for label in labels)]]


def scored_alike(report, one, other):
    """Compares all numbers of two models of a report."""
    for name, table in report.tables.items():
        if table.index.name == "model":
            same = [column for column in table if "difference" not in column and column not in ("ratio",)]
            pd.testing.assert_series_equal(table.loc[one, same], table.loc[other, same], check_names=False)
        else:
            parts = [table[table["model"] == model].drop(columns="model") for model in (one, other)]
            pd.testing.assert_frame_equal(*(part.reset_index(drop=True) for part in parts), obj=name)


def test_a_transition_table_of_a_checkpoint_reads_back_with_the_same_scores(market, tmp_path):
    folder, splits, truth = market
    options = {"watch": "unemployed", "draws": 10, "by": "gender"}
    (frame,) = career_hf.evaluate({"chain": folder / "chain"}, splits, **options).transition_tables["chain"]
    assert frame["unknown"].any() and not frame["unknown"].all()
    written = write_transition_table(frame, tmp_path, "chain_0")
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "shuffled.csv", index=False)
    models = {"truth": truth, "chain": folder / "chain", "again": str(written), "csv": tmp_path / "shuffled.csv"}
    report = career_hf.evaluate(models, splits, **options)
    for name in ("again", "csv"):
        scored_alike(report, "chain", name)
        table = report.transition_tables[name][0].astype({"previous": str, "occupation": str})
        pd.testing.assert_frame_equal(table, frame.astype({"previous": str, "occupation": str}))
    # Differences from the truth are paired and the same, and what the chain does not know is left out for all.
    rows = report.to_frame("differences")
    assert (rows.loc["again"] == rows.loc["chain"])[["difference", "low", "high", "standard_error"]].all()
    assert report.to_frame()["left_out"].nunique() == 1 and report.to_frame()["left_out"].iloc[0] > 0


def test_all_probabilities_give_every_number_of_a_model(market, labels, whole):
    table, outside = whole
    for form in (outside, polars.from_pandas(outside), pa.table(outside)):
        found = outside_table(form, market[1]["test"], labels, split="test", watch=["unemployed"])
        numbers = ["log_prob", "p_stay", "p_top", "rank", "p(unemployed)"]
        pd.testing.assert_frame_equal(found[numbers], table[numbers], check_dtype=False, rtol=1e-12)
        assert found["rank"].dtype == np.int32
    assert stay_auc(found) == pytest.approx(stay_auc(table))


def test_log_probabilities_alone_give_perplexity_and_nothing_is_guessed(market, whole, tmp_path):
    _, splits, truth = market
    bare = whole[1][["person", "year", "log_prob"]]
    report = career_hf.evaluate({"truth": truth, "outside": bare}, splits, watch="unemployed", draws=10)
    summary = report.to_frame().loc["outside"]
    assert summary["perplexity"] == pytest.approx(np.exp(-bare["log_prob"].mean()))
    assert report.to_frame()[["first", "stay", "return", "new"]].notna().all(axis=None)
    assert report.to_frame("differences").loc["outside", ["low", "high"]].notna().all()
    numbers = report.to_frame("accuracy").join(report.to_frame("calibration").drop(columns="perplexity"))
    assert numbers.loc["outside"].isna().all()
    assert numbers.loc["truth"].notna().all()
    for name in ("accuracy", "calibration"):
        shown = report.with_intervals(name).drop(columns="perplexity", errors="ignore")
        assert (shown.loc["outside"] == "not given").all() and not (shown.loc["truth"] == "not given").any()
    assert report.with_intervals().loc["outside", "AUC of moving"] == "not given" and "not given" in repr(report)
    assert "not given" in report.in_english("accuracy").to_latex(float_format="%.3f")
    assert set(report.to_frame("reliability")["model"]) == {"truth"}

    table = report.transition_tables["outside"][0]
    with pytest.raises(ValueError, match="'p_stay' is empty"):
        stay_auc(table)
    with pytest.raises(ValueError, match=r"'p\(unemployed\)' is empty"):
        entry_auc(table, "unemployed")
    audited = audit(write_transition_table(table, tmp_path, "outside_0"), by="gender", draws=10).to_frame()
    assert (audited["estimate"].notna() == (audited["metric"] == "perplexity")).all()
    alone = EvaluationReport(
        {**report.tables, "reliability": reliability_curves({"outside": [table]}, draws=2)}, "x", {}
    )
    assert alone.to_frame("reliability").empty and "reliability" not in alone.figures()


def test_the_command_scores_a_table_beside_a_checkpoint(market, whole, tmp_path):
    folder = market[0]
    whole[1][["person", "year", "log_prob"]].to_csv(tmp_path / "table.csv", index=False)
    line = [f"chain={folder / 'chain'}", f"outside={tmp_path / 'table.csv'}", "--data", str(folder / "careers")]
    result = CliRunner().invoke(app, ["evaluate", *line, "--draws", "10"])
    assert result.exit_code == 0, result.output
    assert "not given" in result.output and "outside: its predictions were read from a table" in result.output


def test_one_number_can_be_given_without_the_others(market, labels, whole):
    table, test = whole[0], market[1]["test"]
    numbers = {}
    for name in ("p_stay", "rank", "p(unemployed)"):
        found = outside_table(table[["person", "year", "log_prob", name]], test, labels, watch=["unemployed"])
        both = accuracy({"m": [found]}, draws=2).join(calibration({"m": [found]}, draws=2).drop(columns="perplexity"))
        numbers[name] = {
            column for column in both.columns[both.notna().all()] if not re.search("_(low|high|diff)", column)
        }
    assert numbers == {
        "p_stay": {"moving", "stay_ece"},
        "rank": {"top-1", "top-5", "top-10", "mean reciprocal rank"},
        "p(unemployed)": {"entering unemployed"},
    }


def people(identifiers):
    rows = [
        {"person": p, "year": 2000 + t, "occupation": o} for p in identifiers for t, o in enumerate([7, 7, "idle", 12])
    ]
    return from_frame(pd.DataFrame(rows))


@pytest.mark.parametrize("identifiers", [[1, 2], [1.0, 2.0], ["1", "2.0"]])
def test_identifiers_and_labels_are_compared_by_one_rule(identifiers):
    careers = people([1, 2])
    frame = pd.DataFrame(
        {
            "person": np.repeat(np.array(identifiers, dtype=object), 4),
            "year": [str(year) for year in range(2000, 2004)] * 2,
            "log_prob": np.log(0.5),
            "occupation": [7.0, "7.0", "idle", 12] * 2,
            "p(7.0)": [0.5, 0.5, 0.25, 0.25] * 2,
            "p(idle)": [0.25, 0.25, 0.5, 0.25] * 2,
            "p(12)": [0.25, 0.25, 0.25, 0.5] * 2,
        }
    )
    table = outside_table(frame, careers, label_set({"all": careers}))
    assert table["person"].tolist() == ["1"] * 4 + ["2"] * 4 and (table["rank"] == 1).all()
    assert table["p_stay"][1:4].tolist() == [0.5, 0.25, 0.25]


BARE = ["person", "year", "log_prob"]


def cell(frame, row, column, value):
    """The frame with one cell changed."""
    changed = frame.astype({column: object})
    changed.loc[row, column] = value
    return changed


FAULTS = {
    "missing": (lambda f: f.drop(index=3), r"person '1', column 'year', value 2003: there is no such row, as for 1"),
    "empty": (lambda f: f.iloc[:0], "the table has no rows"),
    "other year": (lambda f: cell(f, 3, "year", 2009), "person '1', row 3, column 'year', value 2009: .* no step"),
    "other person": (lambda f: cell(f, 5, "person", "07"), "person '07', row 5, column 'person', value '07': nobody"),
    "twice": (lambda f: cell(f, 1, "year", 2000), "person '1', row 1, column 'year', value 2000: row 0 already has"),
    "no year": (lambda f: cell(f, 1, "year", None), "person '1', row 1, column 'year', value None: not a year"),
    "no person": (lambda f: cell(f, 2, "person", None), "row 2, column 'person': no person is named"),
    "above 1": (lambda f: cell(f, 4, "log_prob", 0.5), "person '2', row 4, column 'log_prob', value 0.5: .* above 0"),
    "log of 0": (lambda f: cell(f, 4, "log_prob", -np.inf), "person '2', row 4, column 'log_prob', .* finite"),
    "no number": (lambda f: cell(f, 4, "log_prob", "x"), "person '2', row 4, column 'log_prob', value 'x'"),
    "nothing": (lambda f: cell(f, 4, "log_prob", None), "person '2', row 4, column 'log_prob', value None"),
    "negative": (lambda f: cell(f, 6, "p(7)", -0.1), r"person '2', row 6, column 'p\(7\)', value -0.1: .* between"),
    "null": (lambda f: cell(f, 6, "p(7)", None), r"person '2', row 6, column 'p\(7\)', value None"),
    "sum": (lambda f: cell(f, 6, "p(7)", 0.3), r"person '2', row 6, columns p\(LABEL\), value 1.05: .* must be 1"),
    "other truth": (lambda f: cell(f, 6, "log_prob", -1.0), r"'2', row 6, column 'p\(idle\)', value 0.5: .* is 0.367"),
    "label": (lambda f: f.rename(columns={"p(7)": "p(8)"}), r"'p\(8\)' names none of the 3 labels .* such as '12'"),
    "bare label": (lambda f: f.rename(columns={"p(idle)": "idle"}), r"column 'idle' has the name .* p\(idle\)"),
    "same label": (lambda f: f.assign(**{"p(7.0)": 0.1}), r"column 'p\(7.0\)' is the second one about the label '7'"),
    "no column": (lambda f: f.drop(columns="log_prob"), "column 'log_prob' is not in the table"),
    "other careers": (lambda f: f.assign(occupation="12"), "row 0, column 'occupation', value '12': .* have '7'"),
    "some labels": (
        lambda f: cell(f, 0, "p(12)", 0.9).drop(columns="p(idle)"),
        "value 1.4: .* 2 of 3 .* not be above 1",
    ),
    "stay": (lambda f: f[BARE].assign(p_stay=0.4), "person '1', row 1, column 'p_stay', .* of this stay is another"),
    "move": (
        lambda f: f[BARE].assign(p_stay=[None, 0.5, 0.6, 0.2] * 2),
        "row 2, column 'p_stay', value 0.6: .* above 1",
    ),
    "gap": (lambda f: f[BARE].assign(p_stay=[None, 0.5, 0.2, None] * 2), "row 3, column 'p_stay', value None"),
    "top": (lambda f: f[BARE].assign(p_top=0.3), "person '1', row 0, column 'p_top', value 0.3: another .* is larger"),
    "rank": (lambda f: f[BARE].assign(rank=1, p_top=0.6), "row 0, column 'rank', value 1: p_top is not"),
    "half a rank": (lambda f: f[BARE].assign(rank=1.5), "row 0, column 'rank', value 1.5: it must be a whole number"),
    "unknown once": (
        lambda f: f[BARE].assign(unknown=[True] + [False] * 7),
        "row 0, column 'unknown', value True: other",
    ),
    "no truth": (lambda f: f[BARE].assign(unknown="perhaps"), "row 0, column 'unknown', value 'perhaps': it must be"),
}


@pytest.fixture(scope="module")
def right():
    careers = people([1, 2])
    truth = pd.DataFrame(
        {"p(7)": [0.5, 0.5, 0.25, 0.2], "p(idle)": [0.25, 0.25, 0.5, 0.3], "p(12)": [0.25, 0.25, 0.25, 0.5]}
    )
    frame = pd.concat([truth, truth], ignore_index=True)
    frame = frame.assign(person=np.repeat(["1", "2"], 4), year=[*range(2000, 2004)] * 2, log_prob=np.log(0.5))
    return careers, label_set({"all": careers}), frame


def test_what_the_faults_are_made_of_is_right(right, tmp_path):
    careers, labels, frame = right
    whole = outside_table(frame, careers, labels)
    given_columns = whole[["person", "year", "log_prob", "p_stay", "p_top", "rank", "unknown"]]
    pd.testing.assert_frame_equal(outside_table(given_columns, careers, labels), whole)
    frame.assign(p_stay=np.nan).drop(columns="p(7)").to_csv(tmp_path / "some.csv.gz", index=False)
    assert outside_table(tmp_path / "some.csv.gz", careers, labels)["p_stay"].isna().all()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named_in_one_line(right, fault, tmp_path):
    careers, labels, frame = right
    spoil, message = FAULTS[fault]
    spoil(frame).to_csv(tmp_path / "table.csv", index=False)
    # In a CSV file values are text, and a missing one is empty.
    expected = re.sub(r"value (-?[\d.]+|True)", r"value '?\1(\.0)?'?", message).replace("None", "(None|'')")
    for form in (spoil(frame), tmp_path / "table.csv"):
        with pytest.raises(ValueError, match=expected) as error:
            outside_table(form, careers, labels)
        assert "\n" not in str(error.value)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_probabilities_give_the_numbers_that_follow_from_them(data):
    """Compared with loops over steps and labels."""
    draw = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    codes = [f"o{i}" for i in range(data.draw(st.integers(2, 5)))]
    rows = [
        (f"p{p}", 2000 + t, codes[draw.integers(len(codes))]) for p in range(3) for t in range(draw.integers(1, 5))
    ]
    careers = from_frame(pd.DataFrame(rows, columns=["person", "year", "occupation"]))
    labels = label_set({"all": careers})
    p = draw.dirichlet(np.ones(len(labels)), size=len(rows))
    truth = [labels.index(occupation) for _, _, occupation in rows]
    frame = pd.DataFrame(p, columns=[f"p({label})" for label in labels])
    frame = frame.assign(
        person=[row[0] for row in rows], year=[row[1] for row in rows], log_prob=np.log(p[range(len(rows)), truth])
    )
    table = outside_table(frame.sample(frac=1, random_state=1), careers, labels)
    for i, (person, year, occupation) in enumerate(rows):
        row = table.iloc[i]
        assert (row["person"], row["year"], row["occupation"]) == (person, year, occupation)
        assert row["log_prob"] == pytest.approx(np.log(p[i][labels.index(occupation)]))
        before = rows[i - 1][2] if i and rows[i - 1][0] == person else None
        if before is None:
            assert np.isnan(row["p_stay"]) and row["transition"] == "first"
        else:
            assert row["p_stay"] == p[i][labels.index(before)]
            assert (row["transition"] == "stay") == (before == occupation)
        assert row["p_top"] == max(p[i])
        assert row["rank"] == 1 + sum(q > p[i][labels.index(occupation)] for q in p[i])


def test_tables_are_refused_before_anything_is_scored(market, whole, tmp_path):
    folder, splits, truth = market
    with pytest.raises(ValueError, match="model 'outside': a table cannot be recalibrated"):
        career_hf.evaluate({"outside": whole[1]}, splits, recalibrate=True)
    with pytest.raises(ValueError, match="model 'outside': person .* there is no such row"):
        career_hf.evaluate({"truth": truth, "outside": whole[1].iloc[:-1]}, splits, output=tmp_path / "scores")
    with pytest.raises(ValueError, match="model 'outside': .*nowhere.csv"):
        career_hf.evaluate({"outside": "nowhere.csv"}, splits)
    with pytest.raises(ValueError, match="watched labels"):
        career_hf.evaluate({"outside": whole[1]}, splits, watch="chef")
    (tmp_path / "noise.parquet").write_bytes(b"noise")
    with pytest.raises(ValueError, match="model 'outside': .*noise.parquet cannot be read as a table"):
        career_hf.evaluate({"outside": tmp_path / "noise.parquet"}, splits)
    assert not (tmp_path / "scores").exists()


def test_months_are_named_as_the_table_names_them():
    months = pd.period_range("1993-07", periods=6, freq="M").strftime("%Y-%m")
    rng = np.random.default_rng(0)
    frame = {
        "person": np.repeat(np.arange(60), len(months)),
        "month": np.tile(months, 60),
        "occupation": rng.choice(["work", "unemployed"], 60 * len(months)),
    }
    splits = career_hf.split_careers(career_hf.from_frame(pd.DataFrame(frame), year="month"))
    rows = career_hf.benchmark(splits).rows
    table = rows[rows["split"] == "test"][["person", "month"]].assign(log_prob=np.log(0.5))
    assert career_hf.evaluate({"coin": table}, splits).to_frame().loc["coin", "perplexity"] == pytest.approx(2)
    with pytest.raises(ValueError, match="column 'month', value '1993-07': row 0 already has this person and month"):
        career_hf.evaluate({"coin": pd.concat([table, table.iloc[:1]])}, splits)
    with pytest.raises(ValueError, match="column 'month', value 1993-07: there is no such row"):
        career_hf.evaluate({"coin": table.iloc[1:]}, splits)
    chain = career_hf.train(splits, model="markov-1")
    audited = career_hf.evaluate({"chain": chain}, splits, by="month", draws=20).tables["by_month"]
    assert set(audited["month"]) == set(months)
    attributes = pd.DataFrame({"paid": [1.0, 0.0]}, index=["work", "unemployed"])
    ahead = career_hf.exposure(career_hf.forecast(chain, splits["test"], horizon=2), attributes, draws=20)
    assert ahead.to_frame()["month"].tolist() == ["1994-01", "1994-02"]
    assert ahead.ledger.entries[-1].unit == "person-months"
    employed = career_hf.displacement(chain, splits["test"], horizon=1, draws=20).to_frame()
    assert set(employed["event_time"]) == {0, 1}
