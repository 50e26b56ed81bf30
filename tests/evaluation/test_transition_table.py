"""Columns of the transition table against whole distributions, written out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from career_hf.careers import from_frame, to_frame
from career_hf.encoding.collating import EncodedCareers
from career_hf.evaluation.metrics import (
    entry_auc,
    first_as_new,
    perplexity,
    perplexity_by,
    perplexity_differences,
    perplexity_differences_by,
    ranking,
)
from career_hf.evaluation.transition_table import distributions, transition_table
from career_hf.simulation import TrueOccupationModel, preset, world_processor
from career_hf.simulation.world import NOT_WORKING


@pytest.fixture(scope="module")
def market():
    drawn = preset("tiny").simulate(200, seed=1)
    truth, processor = TrueOccupationModel.of_world(drawn.world), world_processor(drawn.world)
    encoded = EncodedCareers(processor.encode(drawn.careers)[0])
    whole = np.empty((int(encoded.lengths.sum()), len(processor.occupations)))
    for place, log_probs, _, _ in distributions(truth, encoded, batch_tokens=300):
        whole[place] = log_probs.double().exp().numpy()
    return drawn.careers, truth, processor, whole


def codes(table, processor, column="occupation"):
    return np.array([processor.occupations.index(label) for label in table[column]])


def test_rank_and_top_come_from_whole_distributions(market):
    careers, truth, processor, whole = market
    table = transition_table(truth, careers, processor)
    of_truth = whole[np.arange(len(whole)), codes(table, processor)]
    np.testing.assert_allclose(np.exp(table["log_prob"]), of_truth, rtol=1e-6)
    np.testing.assert_array_equal(table["rank"], (whole > of_truth[:, None]).sum(axis=1) + 1)
    np.testing.assert_allclose(table["p_top"], whole.max(axis=1), rtol=1e-6)

    ranked = ranking(table, tops=(1, 3))
    assert ranked["top-3"] == pytest.approx((table["rank"] <= 3).mean())
    assert ranked["mean reciprocal rank"] == pytest.approx((1 / table["rank"]).mean())
    moves = np.flatnonzero((table["step"] > 0) & (table["transition"] != "stay"))
    without_stay = whole[moves].copy()
    without_stay[np.arange(len(moves)), codes(table.iloc[moves], processor, "previous")] = 0
    among_moves = (without_stay > of_truth[moves][:, None]).sum(axis=1) + 1
    assert ranked["rank of moves"] == pytest.approx(among_moves.mean())


def test_watched_probabilities_and_the_auc_of_entering_a_state(market):
    careers, truth, processor, whole = market
    table = transition_table(truth, careers, processor, watch=NOT_WORKING)
    for label in NOT_WORKING:
        p = whole[:, processor.occupations.index(label)]
        np.testing.assert_allclose(table[f"p({label})"], p, rtol=1e-5)
        rows = ((table["step"] > 0) & (table["previous"] != label)).to_numpy()
        entered = (table["occupation"] == label).to_numpy()
        assert entry_auc(table, label) == pytest.approx(roc_auc_score(entered[rows], p[rows]), abs=1e-6)
    with pytest.raises(ValueError, match="watch="):
        entry_auc(transition_table(truth, careers, processor), "unemployed")
    with pytest.raises(ValueError, match="chef"):
        transition_table(truth, careers, processor, watch=["chef"])


def test_a_table_of_groups_sums_probabilities_and_sees_moves_between_groups_only(market):
    careers, truth, processor, whole = market
    names = processor.occupations[2:]
    groups = {name: name if name in NOT_WORKING else f"group {i % 4}" for i, name in enumerate(names)}
    table = transition_table(truth, careers, processor, groups=groups, watch=["group 1"])
    fine = transition_table(truth, careers, processor)
    assert table["occupation"].tolist() == [groups[label] for label in fine["occupation"]]
    of_group = {g: np.array([i + 2 for i, n in enumerate(names) if groups[n] == g]) for g in set(groups.values())}
    expected = [whole[i, of_group[g]].sum() for i, g in enumerate(table["occupation"])]
    np.testing.assert_allclose(np.exp(table["log_prob"]), expected, rtol=1e-5)
    np.testing.assert_allclose(table["p(group 1)"], whole[:, of_group["group 1"]].sum(axis=1), rtol=1e-5)
    later = (table["step"] > 0).to_numpy()
    stays = (table["occupation"].astype(str) == table["previous"].astype(str)).to_numpy()
    assert (stays[later] == (table["transition"][later] == "stay")).all()
    assert stays[later].sum() > (fine["transition"][later] == "stay").sum()
    assert perplexity(table) < perplexity(fine)
    with pytest.raises(ValueError, match="have no group"):
        transition_table(truth, careers, processor, groups={names[0]: "a"})


def test_back_to_where_one_was_and_changed_coding():
    drawn = preset("tiny")
    world = drawn.simulate(5).world
    a, b, c = world.labels[:3]
    rows = [
        {"person": 1, "year": 1979 + t, "occupation": o, "occupation_vintage": v}
        for t, (o, v) in enumerate(zip([a, b, a, a, c, b], ["70", "70", "80", None, "80", "90"], strict=True))
    ]
    rows += [
        {"person": 2, "year": 1979 + t, "occupation": o, "occupation_vintage": "90"} for t, o in enumerate([a, b])
    ]
    fixed = {
        "education": "college",
        "region": "west",
        "race": "non_black_non_hispanic",
        "gender": "male",
        "birth_year": "1960",
    }
    careers = from_frame(
        pd.DataFrame([row | fixed for row in rows]),
        covariates=["education", "occupation_vintage"],
        static=list(fixed)[1:],
    )
    table = transition_table(TrueOccupationModel.of_world(world), careers, world_processor(world))
    assert table["aba"].tolist() == [False, False, True, False, False, False, False, False]
    assert table["coding_changed"].tolist() == [False, False, True, False, False, True, False, False]


def test_perplexity_per_person_and_the_papers_kinds_of_steps(market):
    careers, truth, processor, _ = market
    table = transition_table(truth, careers, processor)
    by_person = table.groupby("person", observed=True)["log_prob"].mean()
    assert perplexity(table, per_person=True) == pytest.approx(np.exp(-by_person.mean()))
    folded = perplexity_by(first_as_new(table), "transition")
    assert list(folded.index) == ["stay", "return", "new"]
    assert folded.loc["new", "n"] == table["transition"].isin(["first", "new"]).sum()


def test_differences_within_groups_are_those_of_the_groups_tables(market):
    careers, truth, processor, _ = market
    table = transition_table(truth, careers, processor)
    other = table.assign(log_prob=table["log_prob"] - np.linspace(0, 1, len(table)))
    audit = perplexity_differences_by({"truth": table, "other": other}, "truth", by="gender", draws=200)
    for gender, rows in table.groupby("gender", observed=True):
        alone = perplexity_differences({"truth": rows, "other": other.loc[rows.index]}, "truth", draws=200)
        assert audit.loc[(gender, "other"), "difference"] == pytest.approx(alone.loc["other", "difference"])
        assert audit.loc[(gender, "other"), "n"] == len(rows)
        low, high = audit.loc[(gender, "other"), ["low", "high"]]
        assert low < alone.loc["other", "difference"] < high


def test_the_table_keeps_household_psu_and_stratum(market):
    frame = to_frame(market[0])
    home = (frame["person"].rank(method="dense") // 2).astype(int)
    careers = from_frame(
        frame.assign(home=home, place=frame["psu"], region_of=frame["stratum"]).drop(columns=["psu", "stratum"]),
        covariates=["region", "education"],
        static=["gender", "race", "birth_year"],
        weight="weight",
        group="home",
        psu="place",
        stratum="region_of",
    )
    table = transition_table(market[1], careers, market[2])
    for name, column in (("group", home.astype(str)), ("psu", frame["psu"]), ("stratum", frame["stratum"])):
        assert table[name].astype(str).tolist() == column.tolist()
