"""The study of rationales, at a size at which nothing is learned but everything runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from drawn_points import names_of, points_of
from replication import rationales as study
from replication.rationales import (
    EVERY,
    LATEST,
    METHODS,
    RANDOM,
    STOPPED,
    compare_with_smallest,
    figure_3,
    outcomes,
    recovery,
)


SMALL = study.RationalesSettings(
    occupations=24,
    families=6,
    types=3,
    recipes=4,
    train_people=60,
    validation_people=20,
    test_people=80,
    layers=1,
    hidden_size=8,
    heads=1,
    most_steps=2,
    eval_steps=1,
    tokens_per_batch=500,
    most_added=3,
    exhaustive=10,
    longest=5,
    draws=20,
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    made = study.RationalesStudy(tmp_path_factory.mktemp("rationales"), SMALL)
    return made, made.run(workers=1)


def test_every_method_is_measured_with_an_interval(done):
    folder, result = done[0].folder, done[1]
    table = pd.read_csv(folder / "recovery.csv")
    assert set(table["method"]) == set(METHODS)
    assert set(table["sets"]) == {"1", "2", "3", STOPPED}
    assert EVERY in set(table["mechanism"])
    known = table[table["precision"].notna()]
    assert len(known) > 20
    for measure in ("precision", "recall"):
        assert (known[f"{measure}_low"] <= known[measure] + 1e-4).all()
        assert (known[measure] <= known[f"{measure}_high"] + 1e-4).all()
    everything = table[table["mechanism"] == EVERY].set_index(["sets", "method"])
    parts = table[table["mechanism"] != EVERY].groupby(["sets", "method"])["pulls"].sum()
    assert (everything["pulls"] == parts.loc[everything.index]).all()
    assert (table.loc[table["method"] == study.DROPPING, "recall_behind"] == 0).all()
    assert set(pd.read_csv(folder / "models.csv")["model"]) == {*study.MODELS, study.CHAIN}
    assert pd.read_csv(folder / "smallest.csv", index_col=0).loc["moves", "value"] == SMALL.exhaustive
    figure, drawn = result.figures["rationales"], result["recovery"]
    mechanism = next(name for name in study.MECHANISMS if (drawn["mechanism"] == name).any())
    rows = drawn[(drawn["mechanism"] == mechanism) & (drawn["sets"] != STOPPED)]
    precisions = np.concatenate([rows.loc[rows["method"] == method, "precision"] for method in METHODS])
    np.testing.assert_allclose(points_of(figure.axes[0])[:, 1].astype(float), precisions.astype(float))
    assert set(names_of(figure.axes[0])) == set(METHODS)


def test_what_is_finished_is_not_done_again(done):
    made, _ = done
    files = [*made.folder.rglob("*.parquet"), *made.folder.rglob("*.safetensors")]
    times = {path: path.stat().st_mtime_ns for path in files}
    lost = made.folder / "orders" / study.DROPPING / "0.parquet"
    before = pd.read_parquet(lost)
    lost.unlink()
    made.prepare(workers=1)
    made.compute(workers=1)
    assert {path for path, time in times.items() if path.stat().st_mtime_ns != time} == {lost}
    pd.testing.assert_frame_equal(pd.read_parquet(lost), before)
    with pytest.raises(ValueError, match="other settings"):
        replace(made, settings=replace(SMALL, rate=1.0)).run()


def test_only_strong_pulls_with_something_to_find_are_explained(done):
    folder = done[0].folder
    planted = pd.read_parquet(folder / "planted.parquet")
    assert (planted["effect"] >= SMALL.weakest_effect).all() and (planted["step"] > 1).all()
    for model in study.MODELS:
        orders = pd.read_parquet(folder / "orders" / model / "0.parquet")
        moves = set(zip(orders["person"], orders["step"], strict=True))
        assert moves == set(zip(planted["person"], planted["step"], strict=True))
        assert (orders["target"] == orders["occupation"]).all()
        assert orders["order"].max() == SMALL.most_added


PLANTED = pd.DataFrame(
    {
        # A recipe that needs one of steps 0, 2 and one of 4, and a return to 1, on one move; a ladder that needs 3
        # and the latest step; a return to the latest step but one.
        "person": ["a", "a", "b", "c"],
        "step": [6, 6, 5, 4],
        "mechanism": ["recipe", "return", "ladder", "return"],
        "steps": [[0, 2, 4], [1], [3, 4], [2]],
        "needs": [[[0, 2], [4]], [[1]], [[3], [4]], [[2]]],
        "effect": [9.0, 3.0, 4.0, 2.0],
    }
)


def searched(**order):
    """Orders of steps by person, the latest first; a rank of 1 comes with the last."""
    rows = []
    for person, (step, steps, ranks) in order.items():
        for number, (at, rank) in enumerate(zip([step - 1, *steps], ranks, strict=True)):
            row = {"person": person, "step": step, "order": number, "rationale_step": at, "rank": rank}
            rows.append(row | {"whole_rank": 1})
    return pd.DataFrame(rows)


def test_hits_and_needs_are_counted_beside_the_latest_step():
    first = searched(a=(6, [4, 3, 0], [5, 2, 2, 1]), b=(5, [0, 3], [4, 1, 1]), c=(4, [0, 1], [9, 9, 9]))
    found = outcomes(PLANTED, {study.DROPPING: [first]}, most=3)
    rows = found.set_index(["person", "mechanism", "sets", "method"])

    def numbers(*where):
        return tuple(rows.loc[where, ["added", "hits", "needs", "met", "complete"]])

    # Precision asks for any planted step of the move, recall for the needs of the pull.
    assert numbers("a", "recipe", 1, study.DROPPING) == (1, 1, 2, 1, 1)
    assert numbers("a", "recipe", 3, study.DROPPING) == (3, 2, 2, 2, 1)
    assert numbers("a", "return", 3, study.DROPPING) == (3, 2, 1, 0, 1)
    assert numbers("a", "recipe", STOPPED, study.DROPPING) == (3, 2, 2, 2, 1)
    assert numbers("a", "recipe", 3, LATEST) == (3, 2, 2, 2, 1)  # steps 2, 3, 4
    # The latest step, 4, meets one need of the ladder from the start.
    assert numbers("b", "ladder", 1, study.DROPPING) == (1, 0, 1, 0, 1)
    assert numbers("b", "ladder", STOPPED, study.DROPPING) == (1, 0, 1, 0, 1)
    assert numbers("b", "ladder", 2, study.DROPPING) == (2, 1, 1, 1, 1)
    assert numbers("c", "return", STOPPED, study.DROPPING) == (3, 0, 1, 0, 0)


def test_random_steps_are_the_mean_over_all_sets():
    first = searched(a=(6, [4, 3, 0], [5, 2, 2, 1]), b=(5, [0, 3], [4, 1, 1]), c=(4, [0, 1], [9, 9, 9]))
    found = outcomes(PLANTED, {study.DROPPING: [first]}, most=3).set_index(["person", "mechanism", "sets", "method"])
    for size in (1, 2, 3):
        sets = [set(some) for some in combinations(range(5), size)]
        hits = np.mean([len(some & {0, 1, 2, 4}) for some in sets])
        met = np.mean([bool(some & {0, 2}) + (4 in some) for some in sets])
        assert tuple(found.loc[("a", "recipe", size, RANDOM), ["hits", "met"]]) == pytest.approx((hits, met))


def test_precision_and_recall_are_ratios_of_sums_and_seeds_are_averaged():
    first = searched(a=(6, [4, 3, 0], [5, 2, 2, 1]), b=(5, [0, 3], [4, 1, 1]), c=(4, [0, 1], [9, 9, 9]))
    second = searched(a=(6, [1, 3, 0], [5, 2, 2, 2]), b=(5, [3, 0], [4, 1, 1]), c=(4, [2, 1], [9, 1, 1]))
    orders = {model: [first, second] if model == study.DROPPING else [second] for model in study.MODELS}
    found = outcomes(PLANTED, orders, most=3)
    table = recovery(found, draws=50).set_index(["mechanism", "sets", "method"])
    row = table.loc[(EVERY, 1, study.DROPPING)]
    assert row["pulls"] == 4
    assert row["precision"] == pytest.approx((1 + 1 + 0 + 0 + 1 + 1 + 1 + 1) / 8)
    assert row["recall"] == pytest.approx((1 + 0 + 0 + 0 + 0 + 1 + 1 + 1) / (2 * 5))
    other = table.loc[(EVERY, 1, "no job dropout")]
    assert other["precision"] == 1 and other["recall"] == pytest.approx(3 / 5)
    assert other["recall_behind"] == pytest.approx(row["recall"] - other["recall"])
    assert table.loc[("return", STOPPED, "no job dropout"), "complete"] == 0.5
    assert table.loc[("ladder", 1, RANDOM), "precision"] == pytest.approx(1 / 4)


def test_greedy_sets_are_compared_where_both_meet_the_rule():
    smallest = pd.DataFrame(
        {
            "size": [1, 2, 4, 2],
            "complete": [True, True, False, True],
            "greedy_size": [1, 3, 4, 4],
            "greedy_complete": [True, True, False, False],
        }
    )
    found = compare_with_smallest(smallest)
    assert found.tolist() == [4, 0.75, 0.5, 1.5, 2.0, 0.5]


def test_figure_3_shows_a_recipe_that_was_found(done):
    test = done[0].test()
    career = next(row for row in test if len(row["year"]) > 6)
    planted = PLANTED.assign(person=PLANTED["person"].replace("a", career["person"]))
    orders = searched(**{career["person"]: (6, [4, 3, 0], [5, 2, 2, 1])})
    orders = orders.assign(target="x", occupation="x", probability=0.2, whole_probability=0.3)
    chain = pd.DataFrame({"person": [career["person"]], "step": 6, "rank": 9, "p_stay": 0.5, "log_prob": -3.0})
    figure = figure_3(planted, orders, chain, test)
    said = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "rank 1 (p .20) from 4 of 6 years; rank 1 (p .30) from all" in said and "rank 8" in said
    assert figure_3(planted, orders[orders["order"] < 3], chain, test) is None
