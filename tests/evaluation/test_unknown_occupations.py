"""Models that do not know the same occupations: what is compared, what is left out, and that the numbers add up."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import career_hf
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.cli.app import app
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.audit import audit
from career_hf.evaluation.calibration import recalibrate, reliability
from career_hf.evaluation.metrics import (
    perplexity,
    perplexity_differences,
    perplexity_differences_by,
    ranking,
    shared_rows,
    summarize,
)
from career_hf.evaluation.report import perplexity_in_groups, report
from career_hf.evaluation.survey_design import SurveyDesign, survey_differences
from career_hf.evaluation.transition_table import transition_table
from career_hf.rivals.markov import MarkovForOccupationPrediction


LABELS = ["cook", "waiter", "clerk", "judge", "pilot"]


def careers_of(people=60, labels=LABELS, seed=0):
    rng = np.random.default_rng(seed)
    frame = {
        "person": np.repeat(np.arange(people), 5),
        "year": np.tile(np.arange(1990, 1995), people),
        "occupation": rng.choice(labels, 5 * people),
        "gender": np.repeat(rng.choice(["f", "m"], people), 5),
    }
    return from_frame(frame, static=["gender"])


def chain_of(labels, seed=0, unknown="unknown"):
    """A Markov chain, and its processor, that know some occupations; it saw unknown ones in training too."""
    careers = careers_of(seed=seed)
    processor = CareerProcessor.fit(careers, covariates=(), occupations=labels, unknown_occupation=unknown)
    return MarkovForOccupationPrediction.fit(processor.encode(careers)[0], processor), processor


@pytest.fixture(scope="module")
def models():
    """Two that know different occupations, and one whose vocabulary is that of the first."""
    return {
        "few": chain_of(LABELS[:3]),
        "others": chain_of(["cook", "waiter", "judge"], seed=1, unknown="somebody"),
        "few too": chain_of(LABELS[:3], seed=2),
    }


@pytest.fixture(scope="module")
def tables(models):
    return {
        name: transition_table(*pair[:1], careers_of(seed=5), pair[1], split="test") for name, pair in models.items()
    }


def known_to(table, labels):
    return (table["occupation"].isin(labels) & (table["previous"].isin(labels) | (table["step"] == 0))).to_numpy()


def test_models_are_compared_on_the_steps_that_all_know(tables):
    two = {name: tables[name] for name in ("few", "others")}
    both = known_to(two["few"], LABELS[:3]) & known_to(two["few"], ["cook", "waiter", "judge"])
    assert 20 < both.sum() < 200
    nll = {name: -table["log_prob"][both].mean() for name, table in two.items()}
    summary = summarize(two, draws=20)
    assert summary["n"].eq(both.sum()).all() and (summary["n"] + summary["left_out"]).eq(300).all()
    assert summary["unknown"].eq(0).all()
    differences = perplexity_differences(two, "few", draws=20)
    for name in two:
        assert np.log(summary.loc[name, "perplexity"]) == pytest.approx(nll[name])
        assert differences.loc[name, "difference"] == pytest.approx(nll[name] - nll["few"])
    by_gender = perplexity_differences_by(two, "few", "gender", draws=20)
    assert by_gender["n"].sum() == both.sum()
    groups = perplexity_in_groups(two, "transition", "few", draws=20)
    assert groups.groupby("model")["n"].sum().eq(both.sum()).all() and groups["transition"].notna().all()
    pytest.importorskip("svy", reason="the extra 'survey' is not installed")
    designed = survey_differences(two, "few", SurveyDesign(weight=None))
    assert designed["difference"].item() == pytest.approx(nll["others"] - nll["few"])


def test_the_ledger_says_who_does_not_know_what_is_left_out(tables):
    two = {name: tables[name] for name in ("few", "others")}
    shared, ledger = shared_rows(two)
    knows = {"few": known_to(two["few"], LABELS[:3]), "others": known_to(two["few"], ["cook", "waiter", "judge"])}
    (entry,) = ledger.entries
    assert entry.dropped == {
        "unknown to 'others'": (knows["few"] & ~knows["others"]).sum(),
        "unknown to 'few'": (~knows["few"] & knows["others"]).sum(),
        "unknown to 'few', 'others'": (~knows["few"] & ~knows["others"]).sum(),
    }
    assert entry.rows_in == 300 and entry.rows_out == len(shared["few"][0]) == (knows["few"] & knows["others"]).sum()
    again, nothing = shared_rows(shared)
    assert nothing.dropped() == {} and again["few"][0].equals(shared["few"][0])


def test_with_one_vocabulary_the_unknown_occupation_is_scored_as_before_and_counted(tables):
    two = {name: tables[name] for name in ("few", "few too")}
    shared, ledger = shared_rows(two)
    unknown = ~known_to(two["few"], LABELS[:3])
    assert ledger.dropped() == {} and len(shared["few"][0]) == 300
    assert ledger.entries[0].altered == {"scored as the unknown occupation": unknown.sum()}
    summary = summarize(two, draws=20)
    assert (summary["n"] == 300).all() and (summary["unknown"] == unknown.sum()).all()
    assert summary["left_out"].eq(0).all()
    for name, table in two.items():
        assert summary.loc[name, "perplexity"] == pytest.approx(np.exp(-table["log_prob"].mean()))
        assert ranking(table)["top-1"] == pytest.approx((table["rank"] == 1)[~unknown].mean())
    report = audit(two["few"], "gender", draws=20).to_frame().drop_duplicates("group")
    assert report["unknown"].tolist()[0] == unknown.sum() == report["unknown"].iloc[1:].sum()
    assert reliability(two["few"], "top")["n"].sum() == 300 - unknown.sum()


def test_models_that_share_no_step_cannot_be_compared(models):
    careers = careers_of(seed=5, labels=["clerk", "judge"])
    alone = {name: [transition_table(*models[name][:1], careers, models[name][1])] for name in ("few", "others")}
    # Each knows some steps, and no step is known to both.
    with pytest.raises(ValueError, match=r"no step is known to all of \['few', 'others'\]"):
        shared_rows(alone)


def test_recalibration_does_not_take_unknown_for_a_stay(models):
    model, processor = models["few"]
    # Everybody moves between two occupations that the model does not know, after moves and stays among known ones.
    rows = [["cook", "cook", "waiter", "judge", "pilot"], ["waiter", "cook", "cook", "pilot", "judge"]] * 20
    known = [row[:3] for row in rows]
    fits = []
    for occupations in (rows, known):
        steps = len(occupations[0])
        frame = {
            "person": np.repeat(np.arange(len(rows)), steps),
            "year": np.tile(np.arange(1990, 1990 + steps), len(rows)),
            "occupation": np.concatenate(occupations),
        }
        fits.append(recalibrate(model, from_frame(frame), processor))
    assert fits[0] == fits[1]


def test_evaluate_reports_saves_and_prints_what_is_left_out(models, tmp_path):
    careers = careers_of(seed=5)
    two = {name: models[name] for name in ("few", "others")}
    result = career_hf.evaluate(two, careers, by="gender", draws=20, output=tmp_path / "report")
    left = result.to_frame("summary").loc["few", "left_out"]
    assert left > 0 and sum(result.ledger.dropped().values()) == left
    for name in ("by_gender", "by_year", "by_step", "by_transition"):
        assert result.to_frame(name).groupby("model")["n"].sum().eq(300 - left).all()
    curve = result.to_frame("reliability").query("of == 'top'").groupby("model")["n"].sum()
    assert curve.eq(300 - left).all()
    # The tables keep every row, and what is computed from them later has the same rows.
    kept = {name: [pd.read_parquet(tmp_path / "report" / f"{name}_0.parquet")] for name in two}
    assert all(len(table) == 300 for (table,) in kept.values())
    pd.testing.assert_frame_equal(report(kept, "few", draws=20).to_frame("summary"), result.to_frame("summary"))
    assert (tmp_path / "report" / "ledger.json").exists()

    save_careers(split_careers(careers, {"train": 0.2, "validation": 0.2, "test": 0.6}), tmp_path / "careers")
    folders = []
    for name, (model, processor) in two.items():
        folders.append(f"{name}={tmp_path / name}")
        model.save_pretrained(tmp_path / name)
        processor.save_pretrained(tmp_path / name)
    done = CliRunner().invoke(app, ["evaluate", *folders, "--data", str(tmp_path / "careers"), "--draws", "20"])
    assert done.exit_code == 0, done.output
    printed = " ".join(done.output.split())
    assert "unknown to 'few', 'others'" in printed and "steps left out, unknown to some models" in printed


def test_groups_keep_the_label_that_has_none(models):
    model, processor = models["few"]
    groups = {"cook": "food", "waiter": "food", "clerk": "office", "unknown": "unknown", "judge": "law"}
    table = transition_table(model, careers_of(seed=5), processor, groups=groups)
    expected = [groups.get(label, label) for career in careers_of(seed=5)["occupation"] for label in career]
    assert table["occupation"].tolist() == expected and {"law", "pilot"} <= set(expected)
    assert not table["unknown"][table["occupation"].isin(["food", "office"]) & (table["step"] == 0)].any()


def test_a_split_of_people_seen_once_and_a_group_of_unknown_steps_are_answered(models, tmp_path):
    once = from_frame(
        {
            "person": range(12),
            "year": [1990] * 12,
            "occupation": ["cook", "waiter", "clerk", "pilot"] * 3,
            "gender": ["f", "m", "f", "x"] * 3,
        },
        static=["gender"],
    )
    result = career_hf.evaluate({"few": models["few"], "few too": models["few too"]}, once, by="gender", draws=20)
    summary = result.to_frame("summary")
    assert summary["n"].eq(12).all() and summary["stay_auc"].isna().all() and summary["unknown"].eq(3).all()
    assert result.to_frame("calibration")["stay_ece"].isna().all()
    result.save(tmp_path)
    table = result.transition_tables["few"][0]
    audited = audit(table, "gender", draws=20).to_frame().set_index(["group", "metric"])
    assert np.isnan(audited.loc[("x", "accuracy"), "estimate"]) and audited.loc[("x", "perplexity"), "n"] == 3
    assert np.isnan(ranking(table[table["unknown"]])).all()
    assert audited.loc[("x", "perplexity"), "estimate"] == pytest.approx(perplexity(table[table["gender"] == "x"]))


def test_no_careers_are_said(models):
    model, processor = models["few"]
    nobody = careers_of().select([])
    with pytest.raises(ValueError, match="there are no careers to score: the split is empty"):
        transition_table(model, nobody, processor)
    splits = {"train": careers_of(), "validation": nobody, "test": nobody}
    with pytest.raises(ValueError, match="model 'few': there are no careers to score"):
        career_hf.evaluate({"few": models["few"]}, splits)
    with pytest.raises(ValueError, match="no validation careers to recalibrate with"):
        recalibrate(model, nobody, processor)
