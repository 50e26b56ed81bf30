"""Transition matrices: implied by the truth as observed, by a Markov chain as counted; weighted, by group."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from forecast_examples import careers_of, model_and_processor
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers import from_frame, to_frame
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.explaining.outcome_groups import group_matrix, in_order
from career_hf.explaining.transition_matrices import matrix, transition_matrices
from career_hf.figures.transition_matrices import transition_matrices_figure
from career_hf.occupations.crosswalks import groups_of
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.simulation import TrueOccupationModel, preset, world_processor


@pytest.fixture(scope="module")
def market():
    simulation = preset("tiny").simulate(2500, seed=4)
    processor = world_processor(simulation.world)
    truth = TrueOccupationModel.of_world(simulation.world)
    groups = groups_of(processor.occupations)
    return transition_matrices(truth, simulation.careers, processor, groups=groups, by="gender", draws=500)


def test_the_true_model_implies_what_is_observed_within_clustered_error(market):
    z = (market["difference"] / market["standard_error"])[market["n"] * market["implied"] > 20]
    assert len(z) > 50 and z.abs().max() < 4 and 0.6 < (z**2).mean() < 1.5
    covered = ((market["low"] <= 0) & (market["high"] >= 0))[market["n"] * market["implied"] > 20].mean()
    assert covered > 0.85


def test_rows_sum_to_one_and_intervals_hold_the_estimate(market):
    sums = market.groupby(["gender", "previous"], observed=True)[["observed", "implied", "difference"]].sum()
    np.testing.assert_allclose(sums, np.tile([1, 1, 0], (len(sums), 1)), atol=1e-6)
    for name in ("observed", "implied"):
        assert ((market[f"{name}_low"] <= market[name]) & (market[name] <= market[f"{name}_high"])).all()
    assert market["gender"].unique().tolist() == ["female", "male"]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_observed_is_a_weighted_count_and_a_chain_implies_its_own_matrix(seed):
    rng = np.random.default_rng(seed)
    rows = [
        {
            "person": p,
            "year": t,
            "occupation": rng.choice(list("abc")),
            "region": rng.choice(["n", "s", None]),
            "w": p + 1,
        }
        for p in range(30)
        for t in range(rng.integers(2, 6))
    ]
    careers = from_frame(pd.DataFrame(rows), covariates=["region"], weight="w")
    processor = CareerProcessor.fit(careers, covariates=[])
    chain = MarkovForOccupationPrediction.fit(processor.encode(careers)[0], processor, order=1)
    found = transition_matrices(chain, careers, processor, by="region", draws=5)
    counts: Counter = Counter()
    for before, after in zip(rows, rows[1:], strict=False):
        if before["person"] == after["person"]:
            counts[after["region"], before["occupation"], after["occupation"]] += after["w"]
    frame = to_frame(careers)
    for row in found.to_dict("records"):
        region = None if pd.isna(row["region"]) else row["region"]
        total = sum(n for (level, previous, _), n in counts.items() if (level, previous) == (region, row["previous"]))
        assert row["observed"] == pytest.approx(counts[region, row["previous"], row["occupation"]] / total)
    # Every step from a state has the same probabilities, whoever makes it: those of the chain.
    spread = found.groupby(["previous", "occupation"], observed=True)["implied"].agg(np.ptp)
    assert spread.max() < 1e-6
    after = frame.groupby("person")["year"].shift().notna()
    assert found.drop_duplicates(["region", "previous"])["n"].sum() == after.sum()


def test_without_weights_everybody_counts_alike():
    careers = careers_of()
    model, processor = model_and_processor("career")
    found = transition_matrices(model, careers, processor, draws=5)
    frame = to_frame(careers)
    previous = frame.groupby("person")["occupation"].shift()
    expected = pd.crosstab(previous, frame["occupation"], normalize="index")
    np.testing.assert_allclose(matrix(found, "observed").loc[expected.index, expected.columns], expected)
    assert not found.attrs["weighted"] and found["people"].max() <= len(careers)


def test_what_cannot_be_done_is_said():
    careers = careers_of()
    model, processor = model_and_processor("career")
    with pytest.raises(ValueError, match="no covariate 'gender'"):
        transition_matrices(model, careers, processor, by="gender")
    with pytest.raises(ValueError, match="3 occupations have no group"):
        transition_matrices(model, careers, processor, groups={"nurse": "health"})
    once = from_frame(
        {"person": ["x"], "year": [1980], "occupation": ["cook"], "education": ["10"], "race": ["a"]},
        covariates=["education"],
        static=["race"],
    )
    with pytest.raises(ValueError, match="nobody is observed twice"):
        transition_matrices(model, once, processor)
    by_race = transition_matrices(model, careers, processor, by="race", draws=5)
    with pytest.raises(ValueError, match="several levels"):
        matrix(by_race)


def test_groups_come_in_the_order_of_their_codes_and_special_ids_have_none():
    labels = ["unemployed", "4", "unknown", "243"]
    processor = CareerProcessor(occupations=["<pad>", "<start>", *labels])
    names, sums = group_matrix(processor, groups_of(processor.occupations))
    assert names == [*in_order(groups_of(["4", "243"]).values()), "unknown", "unemployed"]
    assert sums.sum(dim=1).tolist() == [0, 0, 1, 1, 1, 1]
    assert sums[3].argmax() == 0 and sums[2].argmax() == 3


def test_the_figure_has_three_maps_of_the_same_cells(market):
    women = market[market["gender"] == "female"]
    figure = transition_matrices_figure(women, "Women")
    maps = [axes for axes in figure.axes if axes.images]
    values = [axes.images[0].get_array() for axes in maps[:3]]
    np.testing.assert_allclose(values[2], values[1] - values[0], atol=1e-9)
    assert [axes.get_title() for axes in maps[:3]] == ["Observed", "Implied by the model", "Implied less observed"]
    first = women["n"].iloc[0]
    assert maps[0].get_yticklabels()[0].get_text().endswith(f"({first:,})")
