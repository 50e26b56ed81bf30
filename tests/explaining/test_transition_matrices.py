"""Transition matrices: implied by the truth as observed, by a Markov chain as counted; weighted, by group."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from datasets import DatasetDict
from forecast_examples import careers_of, model_and_processor
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers import from_frame, to_frame
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.explaining.outcome_groups import group_matrix, ordered_groups
from career_hf.explaining.transitions import transitions
from career_hf.occupations.crosswalks import groups_of
from career_hf.rivals.markov import MarkovForOccupationPrediction
from career_hf.simulation import TrueOccupationModel, preset, world_processor


@pytest.fixture(scope="module")
def market():
    simulation = preset("tiny").simulate(2500, seed=4)
    processor = world_processor(simulation.world)
    truth = TrueOccupationModel.of_world(simulation.world)
    groups = groups_of(processor.occupations)
    moves = transitions((truth, processor), simulation.careers, groups=groups, by="gender", weighted=True, draws=500)
    return simulation.careers, groups, moves


def test_the_true_model_implies_what_is_observed_within_clustered_error(market):
    rows = market[2].to_frame()
    z = (rows["difference"] / rows["standard_error"])[rows["n"] * rows["implied"] > 20]
    assert len(z) > 50 and z.abs().max() < 4 and 0.6 < (z**2).mean() < 1.5
    covered = ((rows["low"] <= 0) & (rows["high"] >= 0))[rows["n"] * rows["implied"] > 20].mean()
    assert covered > 0.85


def test_rows_sum_to_one_and_errors_are_those_of_clusters(market):
    careers, groups, moves = market
    rows = moves.to_frame()
    sums = rows.groupby(["gender", "previous"], observed=True)[["observed", "implied", "difference"]].sum()
    np.testing.assert_allclose(sums, np.tile([1, 1, 0], (len(sums), 1)), atol=1e-6)
    assert rows["gender"].unique().tolist() == ["female", "male"]

    # By hand, for the state that most women come from: the linearised error of a ratio of sums over people.
    gender = rows["gender"].iloc[-1]
    women = rows[rows["gender"] == gender]
    state = women.loc[women["n"].idxmax(), "previous"]
    cells = women[women["previous"] == state].set_index("occupation")
    frame = to_frame(careers).query("gender == @gender")
    frame["previous"] = frame.groupby("person")["occupation"].shift().map(groups)
    steps = frame[frame["previous"] == state]
    for occupation in cells["observed"].nlargest(3).index:
        cell = cells.loc[occupation]
        residual = steps["weight"] * ((steps["occupation"].map(groups) == occupation) - cell["observed"])
        error = np.sqrt((residual.groupby(steps["person"]).sum() ** 2).sum()) / steps["weight"].sum()
        assert cell["observed_high"] - cell["observed_low"] == pytest.approx(2 * 1.96 * error, rel=0.2)
        assert (cell["observed_high"] + cell["observed_low"]) / 2 == pytest.approx(cell["observed"], abs=error / 2)
    often = rows[rows["n"] * rows["implied"] > 50]
    np.testing.assert_allclose(often["high"] - often["low"], 2 * 1.96 * often["standard_error"], rtol=0.25)


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
            "w": rng.integers(0, 4),
        }
        for p in range(30)
        for t in range(rng.integers(2, 6))
    ]
    careers = from_frame(pd.DataFrame(rows), covariates=["region"], weight="w")
    processor = CareerProcessor.fit(careers, covariates=[])
    chain = MarkovForOccupationPrediction.fit(processor.encode(careers)[0], processor, order=1)
    moves = transitions((chain, processor), careers, groups="occupation", by="region", weighted=True, draws=5)
    shares = moves.to_frame()
    counts: Counter = Counter()
    for before, after in zip(rows, rows[1:], strict=False):
        if before["person"] == after["person"]:
            counts[after["region"], before["occupation"], after["occupation"]] += after["w"]
    frame = to_frame(careers)
    for row in shares.to_dict("records"):
        region = None if pd.isna(row["region"]) else row["region"]
        total = sum(n for (level, previous, _), n in counts.items() if (level, previous) == (region, row["previous"]))
        assert row["observed"] == pytest.approx(counts[region, row["previous"], row["occupation"]] / total)
    # Every step from a state has the same probabilities, whoever makes it: those of the chain.
    spread = shares.groupby(["previous", "occupation"], observed=True)["implied"].agg(np.ptp)
    assert spread.max() < 1e-6
    after = frame.groupby("person")["year"].shift().notna() & (frame["weight"] > 0)
    assert shares.drop_duplicates(["region", "previous"])["n"].sum() == after.sum()


def test_without_weights_everybody_counts_alike():
    careers = careers_of()
    model, processor = model_and_processor("career")
    moves = transitions((model, processor), careers, groups="occupation", draws=5)
    shares = moves.to_frame()
    frame = to_frame(careers)
    previous = frame.groupby("person")["occupation"].shift()
    expected = pd.crosstab(previous, frame["occupation"], normalize="index")
    np.testing.assert_allclose(moves.matrix("observed").loc[expected.index, expected.columns], expected)
    assert not shares.attrs["weighted"] and shares["people"].max() <= len(careers)


def test_households_are_resampled_and_rows_of_few_have_no_interval():
    rng = np.random.default_rng(0)
    rows = [
        {"person": f"{home} {twin}", "year": 1990 + t, "occupation": career[t], "home": home, "w": 1.0 + home % 2}
        for home, career in enumerate(rng.choice(list("abc"), size=(60, 4), p=[0.6, 0.35, 0.05]))
        for twin in (0, 1)
        for t in range(4)
    ]
    frame = pd.DataFrame(rows)
    found = {}
    for name, part, group in (
        ("alone", frame[frame["person"].str.endswith("0")], None),
        ("households", frame, "home"),
        ("people", frame, None),
    ):
        careers = from_frame(part, weight="w", group=group)
        processor = CareerProcessor.fit(careers, covariates=[])
        chain = MarkovForOccupationPrediction.fit(processor.encode(careers)[0], processor, order=1)
        found[name] = transitions((chain, processor), careers, groups="occupation", draws=400)
    alone, homes, people = (moves.to_frame().query("previous == 'a'") for moves in found.values())
    assert homes.attrs["clusters"] == "household" and people.attrs["clusters"] == "person"
    assert (homes["people"] == 2 * homes["clusters"]).all() and homes["observed"].tolist() == alone[
        "observed"
    ].tolist()
    width = [(rows["observed_high"] - rows["observed_low"]).to_numpy() for rows in (alone, homes, people)]
    np.testing.assert_allclose(width[1], width[0], rtol=0.1)
    assert (width[2] < 0.85 * width[0]).all()

    few = [
        {"person": p, "year": t, "occupation": "b" if p and t else "a", "home": p} for p in range(12) for t in (0, 1)
    ]
    few += [{"person": p, "year": 2, "occupation": "b", "home": p} for p in range(3)]
    careers = from_frame(pd.DataFrame(few))
    processor = CareerProcessor.fit(careers, covariates=[])
    chain = MarkovForOccupationPrediction.fit(processor.encode(careers)[0], processor, order=1)
    moves = transitions((chain, processor), careers, groups="occupation", draws=50)
    rows = moves.to_frame().set_index(["previous", "occupation"])
    assert moves.too_few() == ["b"] and rows.loc["b", ["low", "high", "standard_error"]].isna().all(axis=None)
    assert rows.loc["a", ["low", "high"]].notna().all(axis=None) and moves.beyond_chance()[1] <= 2
    assert moves.figure().axes


def test_what_cannot_be_done_is_said():
    careers = careers_of()
    model, processor = model_and_processor("career")
    with pytest.raises(ValueError, match="by 'gender': the covariates are"):
        transitions((model, processor), careers, by="gender")
    with pytest.raises(ValueError, match="3 occupations have no group"):
        transitions((model, processor), careers, groups={"nurse": "health"})
    once = from_frame(
        {"person": ["x"], "year": [1980], "occupation": ["cook"], "education": ["10"], "race": ["a"]},
        covariates=["education"],
        static=["race"],
    )
    with pytest.raises(ValueError, match="nobody is observed twice"):
        transitions((model, processor), once)
    with pytest.raises(ValueError, match="groups 'industry' is none of 'occupation', 'group'"):
        transitions((model, processor), careers, groups="industry")
    by_race = transitions((model, processor), careers, groups="occupation", by="race", draws=5)
    with pytest.raises(ValueError, match="several matrices"):
        by_race.matrix()
    with pytest.raises(ValueError, match="several matrices"):
        by_race.figure()
    with pytest.raises(ValueError, match="no matrix for level 'c'"):
        by_race.figure("c")
    with pytest.raises(ValueError, match="none is 'test'"):
        transitions((model, processor), DatasetDict({"all": careers}))


def test_groups_come_in_the_order_of_their_codes_and_special_ids_have_none():
    labels = ["unemployed", "4", "unknown", "243"]
    processor = CareerProcessor(occupations=["<pad>", "<start>", *labels])
    names, sums = group_matrix(processor, groups_of(processor.occupations))
    assert names == [*ordered_groups(groups_of(["4", "243"]).values()), "unknown", "unemployed"]
    assert sums.sum(dim=1).tolist() == [0, 0, 1, 1, 1, 1]
    assert sums[3].argmax() == 0 and sums[2].argmax() == 3


def test_levels_come_apart_and_are_saved(market, tmp_path):
    rows, parts = market[2].to_frame(), market[2].by_level()
    assert list(parts) == rows["gender"].unique().tolist()
    for level, part in parts.items():
        cells = rows[(rows["gender"] == level) & (rows["n"] * rows["implied"] >= part.fewest_expected)]
        beyond = [row.low > 0 or row.high < 0 for row in cells.itertuples()]
        assert part.beyond_chance() == (sum(beyond), len(beyond))
    market[2].save(tmp_path)
    assert pd.read_csv(tmp_path / "transitions.csv")["implied"].tolist() == pytest.approx(rows["implied"].tolist())


def test_the_figure_has_three_maps_of_the_same_cells(market):
    rows = market[2].to_frame()
    gender = rows["gender"].iloc[-1]
    women = rows[rows["gender"] == gender]
    figure = market[2].figure(gender)
    assert " ".join(figure.get_suptitle().split()).endswith(f"; gender: {gender}")
    maps = [axes for axes in figure.axes if axes.images]
    values = [axes.images[0].get_array() for axes in maps[:3]]
    np.testing.assert_allclose(values[2], values[1] - values[0], atol=1e-9)
    assert [axes.get_title() for axes in maps[:3]] == ["Observed", "Implied by the model", "Implied less observed"]
    first = women["n"].iloc[0]
    assert maps[0].get_yticklabels()[0].get_text().endswith(f"({first:,})")
