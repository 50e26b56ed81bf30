"""The study of pretraining on real careers: its controls, its counts, and what it says that pretraining is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from replication import foundation
from replication.foundation_forecasts import FoundationForecasts

from career_hf.careers.frames import to_frame
from career_hf.careers.prepared import PreparedCareers
from career_hf.sources.panel_careers import panel


@pytest.fixture(scope="module")
def survey() -> PreparedCareers:
    rng = np.random.default_rng(0)
    people, years = 60, 5
    return panel(
        {
            "person": np.repeat([f"n{i}" for i in range(people)], years),
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


def test_worth_is_read_off_the_curve_of_training_from_scratch():
    rows = [(foundation.SCRATCH, people, perplexity) for people, perplexity in ((100, 40.0), (1_000, 20.0))]
    rows += [(foundation.OTHER, 100, 40.0 / 2**0.5), (foundation.OTHER, 1_000, 19.0)]
    curves = pd.DataFrame(rows, columns=["model", "people", "perplexity"])
    found = foundation.worth(curves).set_index("people")
    assert found.loc[100, "as from scratch on"] == pytest.approx(1_000**0.5 * 100**0.5)
    assert np.isnan(found.loc[1_000, "worth"])


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
