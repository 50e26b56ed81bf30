"""The study of pretraining on real careers: its controls, its counts, and what it says that pretraining is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from replication import foundation
from replication.foundation_forecasts import FoundationForecasts

from career_hf.careers.frames import to_frame
from career_hf.careers.prepared import PreparedCareers
from career_hf.evaluation.transition_table import transition_table
from career_hf.sources.panel_careers import panel


@pytest.fixture(scope="module")
def survey() -> PreparedCareers:
    return drawn("n")


def drawn(prefix: str, seed: int = 0) -> PreparedCareers:
    """Careers of 60 people, whose identifiers begin with a prefix."""
    rng = np.random.default_rng(seed)
    people, years = 60, 5
    return panel(
        {
            "person": np.repeat([f"{prefix}{i}" for i in range(people)], years),
            "year": np.tile(np.arange(1997, 1997 + years), people),
            "occupation": rng.choice(
                ["95", "23", "207", "out_of_labor_force"], people * years, p=[0.5, 0.3, 0.1, 0.1]
            ),
        },
        lacks=["unemployed"],
        source="nlsy97",
    )


def test_shuffled_occupations_are_as_common_as_before_and_relabelled_ones_move_as_before(survey):
    before = to_frame(survey.splits["train"])
    shuffled = to_frame(foundation.altered(survey, foundation.SHUFFLED).splits["train"])
    assert shuffled["occupation"].value_counts().to_dict() == before["occupation"].value_counts().to_dict()
    assert (shuffled["occupation"] != before["occupation"]).any()
    relabelled = foundation.altered(survey, foundation.RELABELLED)
    names = pd.DataFrame({"before": before["occupation"], "after": to_frame(relabelled.splits["train"])["occupation"]})
    pairs = names.drop_duplicates()
    assert pairs["before"].is_unique and pairs["after"].is_unique and set(pairs["before"]) == set(pairs["after"])
    # A relabelled state may be any occupation, so nothing is left out of its softmax.
    assert relabelled.limits.lacks == () and foundation.altered(survey, foundation.SHUFFLED).limits == survey.limits


def test_worth_is_read_off_the_curve_of_the_same_kind_of_model_without_the_source():
    other, chain = foundation.OTHER, foundation.SOURCES[0]
    rows = [(foundation.SCRATCH, people, perplexity) for people, perplexity in ((100, 40.0), (1_000, 20.0))]
    rows += [(foundation.CHAIN, people, perplexity) for people, perplexity in ((100, 80.0), (1_000, 40.0))]
    rows += [(other, 100, 40.0 / 2**0.5), (other, 1_000, 19.0), (chain, 100, 80.0 / 2**0.5)]
    curves = pd.DataFrame(rows, columns=["model", "people", "perplexity"])
    found = foundation.worth(curves).set_index(["model", "people"])
    for model in (other, chain):
        assert found.loc[(model, 100), "people without it"] == pytest.approx(1_000**0.5 * 100**0.5)
        assert found.loc[(model, 100), "worth"] == pytest.approx(1_000**0.5 * 100**0.5 - 100)
    assert np.isnan(found.loc[(other, 1_000), "worth"])


def test_every_source_is_counted_alone(survey, tmp_path, monkeypatch):
    """A chain with one source is the chain with all of them, if there are no others."""
    survey.save(tmp_path / "careers")
    drawn("other", seed=1).save(tmp_path / "other")
    monkeypatch.setattr(foundation, "move_corpora", lambda folder, stays=False: [])
    study = foundation.FoundationStudy(None, data=tmp_path / "careers", corpus=tmp_path / "other")
    cells = [foundation.Cell(name, 1.0) for name in (foundation.SOURCES[0], foundation.CHAIN_WITH_COUNTS)]
    (one, processor), (every, _) = map(study.count, cells)
    scores = [transition_table(model, survey.splits["test"], processor)["log_prob"] for model in (one, every)]
    np.testing.assert_allclose(*scores)
    chain, own = study.count(foundation.Cell(foundation.CHAIN, 1.0))
    assert abs(transition_table(chain, survey.splits["test"], own)["log_prob"] - scores[0]).max() > 1e-3


def test_runs_come_first_seed_and_smallest_sample_first_and_counted_models_once():
    study = foundation.FoundationStudy(None, foundation.FoundationSettings(seeds=2, shares=(1.0, 0.1)))
    cells = study.cells(foundation.MAIN)
    assert [(cell.seed, cell.share) for cell in cells[:: len(foundation.MAIN)]] == [
        (0, 0.1),
        (0, 1.0),
        (1, 0.1),
        (1, 1.0),
    ]
    assert {cell.seed for cell in study.cells(foundation.COUNTED)} == {0}
    assert len(study.cells(foundation.SOURCES)) == 2 * len(foundation.SOURCES)
    assert {cell.share for cell in study.cells(foundation.CONTROLS)} == {0.1}


def test_pages_have_every_table_and_blank_cells_where_a_model_was_not_run():
    curves = pd.DataFrame(
        [(foundation.SCRATCH, 82, 43.0), (foundation.OTHER, 82, 33.0), (foundation.SCRATCH, 819, 27.0)],
        columns=["model", "people", "perplexity"],
    )
    zeros = dict.fromkeys(["low", "high", "difference", "low_of_difference", "high_of_difference"], 0.0)
    tables = {
        "learning_curves": curves.assign(**zeros),
        "kinds": curves.rename(columns={"perplexity": "stay"}),
        "ahead": pd.DataFrame(columns=["model", "people", "from scratch on", "difference", "low", "high"]),
        "worth": foundation.worth(curves),
        "zero_shot": pd.DataFrame({"model": [foundation.OTHER], "perplexity": [60.0]}),
    }
    page = foundation.foundation_page(tables)
    assert "33.00 [0.00, 0.00]" in page and "| another survey" in page and "### Before fine-tuning" in page


def test_states_get_one_name_and_forecasts_train_on_nothing_after_the_cutoff(survey, tmp_path):
    survey.save(tmp_path / "careers")
    study = FoundationForecasts(
        tmp_path / "runs",
        foundation.FoundationSettings(),
        data=tmp_path / "careers",
        states={"out_of_labor_force": "not_working"},
        cutoff=1999,
        years=(2001,),
    )
    trained, whole = to_frame(study.splits()["train"]), to_frame(survey.splits["train"])
    expected = whole[whole["year"] <= 1999].replace({"occupation": {"out_of_labor_force": "not_working"}})
    columns = ["person", "year", "occupation"]
    pd.testing.assert_frame_equal(trained[columns], expected[columns].reset_index(drop=True))
    assert max(to_frame(study.future())["year"]) == 2001
    assert list(study.models) == [foundation.SCRATCH, foundation.BEST_SCRATCH]
