"""The study of the coverage of evaluations: its law is what it says, and its page has every design and interval."""

from __future__ import annotations

import numpy as np
import pytest
from replication import coverage_evaluation as study

from career_hf.evaluation.calibration import calibration_error, reliability
from career_hf.evaluation.metrics import perplexity


@pytest.fixture(autouse=True)
def small_population(monkeypatch):
    monkeypatch.setattr(study, "POPULATION", 3_000)


def test_the_calibrated_model_is_and_weights_make_up_for_who_is_kept():
    truths = study.truths_of(study.DESIGNS["households with weights"])
    design = study.Design(6_000, weighted=True, members=3)
    tables = study.draw_tables(design, np.random.default_rng(1))
    for name, table in tables.items():
        assert perplexity(table, weighted=True) == pytest.approx(truths[name].perplexity, rel=0.02)
        of_sample = calibration_error(reliability(table, weighted=True, draws=1))
        assert truths[name].error(table, "stay") == pytest.approx(of_sample, abs=0.02)
    assert perplexity(tables["calibrated"]) > 1.01 * perplexity(tables["calibrated"], weighted=True)
    assert truths["calibrated"].error(tables["calibrated"], "stay") < 0.02
    assert truths["overconfident"].error(tables["overconfident"], "stay") > 0.04
    assert truths["averages"].auc["moving"] == 0.5


def test_the_page_has_every_design(tmp_path):
    result = study.CoverageOfEvaluations(tmp_path, study.CoverageSettings(worlds=2, draws=20)).run(1)
    table = result["coverage"]
    assert set(table["design"]) == set(study.DESIGNS) and table["inside"].between(0, 1).all()
    assert (table["width"] > 0).all() and "### few households" in result.page
    households = table[table["design"] == "households with weights"]
    assert {"AUC of entering", "difference of AUC of moving", "audit of women, stay_error"} <= set(households.index)
