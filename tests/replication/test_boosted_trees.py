"""Boosted trees: whole distributions, written out for a few steps, and what they may know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from replication.boosted_trees import MOST_LEVELS, BoostedTrees

from career_hf.careers import from_frame, split_careers
from career_hf.encoding.collating import EncodedCareers
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import perplexity
from career_hf.evaluation.transition_table import distributions, transition_table
from career_hf.rivals.markov import tune_weight
from career_hf.simulation import preset


COVARIATES = ("year", "education", "gender")


@pytest.fixture(scope="module")
def market():
    drawn = preset("tiny").simulate(500)
    splits = split_careers(drawn.careers)
    labels = drawn.world.labels
    # A group of one, which cannot be moved into from itself, and some of several.
    groups = {label: label if i >= 24 else f"group {i // 5}" for i, label in enumerate(labels)}
    processor = CareerProcessor.fit(splits["train"], COVARIATES, occupations=labels)
    encoded = {name: processor.encode(careers)[0] for name, careers in splits.items()}
    return splits, processor, encoded, groups


@pytest.fixture(scope="module")
def trees(market):
    _, processor, encoded, groups = market
    return BoostedTrees.fit(encoded["train"], encoded["validation"], processor, groups, trials=2)


def test_probabilities_sum_to_one_over_occupations_at_every_step(market, trees):
    _, processor, encoded, _ = market
    special = processor.special_token_ids
    for _, log_probs, previous, _ in distributions(trees, EncodedCareers(encoded["test"])):
        probabilities = log_probs.double().exp()
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(len(previous)).double(), atol=1e-5, rtol=0)
        assert (probabilities[:, special] == 0).all()
        others = [i for i in range(len(processor.occupations)) if i not in special]
        assert (probabilities[:, others] > 0).all()


def test_a_step_is_staying_then_a_class_then_a_share_of_the_group(market, trees):
    """Loops over a few careers: the boosters are asked, shares are counted in a dictionary."""
    _, processor, encoded, groups = market
    labels = processor.occupations
    names = list(dict.fromkeys(groups[label] for label in labels[2:]))

    def steps(rows):
        for row in rows:
            career = [None, None, *row["labels"]]
            for t in range(len(row["labels"])):
                yield row, t, career[t], career[t + 1], career[t + 2]

    counts, overall = {}, dict.fromkeys(range(2, len(labels)), 1)
    for _, _, before, previous, to in steps(encoded["train"].to_list()):
        if to != previous and to != before:
            counts[previous, to] = counts.get((previous, to), 0) + 1
            overall[to] += 1

    def share(before, previous, to):
        """Of `to` in its group, among those that are neither of the last two occupations."""
        group = [j for j in overall if groups[labels[j]] == groups[labels[to]]]
        total = sum(overall[j] for j in group)
        weight = {j: counts.get((previous, j), 0) + trees.strength * overall[j] / total for j in group}
        return weight[to] / sum(weight[j] for j in group if j not in (before, previous))

    rows = encoded["test"].to_list()[:12]
    for row in rows:
        given = torch.tensor([row["input_ids"]]), torch.tensor([row["covariates"]])
        features = trees._features(trees._steps(*given))
        p_stay = trees.stay.predict_proba(features)[:, 1]
        p_class = trees.move.predict_proba(features)
        found = trees(*given).logits[0].double().exp().numpy()
        for _, t, before, previous, _ in steps([row]):
            weight = {}
            for to in overall:
                if to == previous:
                    continue
                goes_back = before is not None and before != previous and to == before
                k = len(names) if goes_back else names.index(groups[labels[to]])
                place = np.flatnonzero(trees.move.classes_ == k)
                likely = p_class[t, place[0]] if len(place) else 1 / trees.moves
                weight[to] = likely * (1 if goes_back else share(before, previous, to))
            stay = 0 if previous is None else p_stay[t]
            expected = {to: (1 - stay) * w / sum(weight.values()) for to, w in weight.items()}
            if previous is not None:
                expected[previous] = stay
            np.testing.assert_allclose([found[t, to] for to in expected], list(expected.values()), rtol=1e-4)


def test_trees_beat_the_chain_that_knows_the_last_occupation_only(market, trees):
    splits, processor, encoded, _ = market
    chains = CareerProcessor.fit(splits["train"], (), occupations=processor.occupations[2:])
    train, validation = (chains.encode(splits[name])[0] for name in ("train", "validation"))
    chain = tune_weight(train, validation, chains)
    tables = [transition_table(trees, splits["test"], processor), transition_table(chain, splits["test"], chains)]
    assert perplexity(tables[0]) < 0.97 * perplexity(tables[1])
    # A table like any other: the same rows and columns, so that it stands in the same report.
    assert list(tables[0].columns) == list(tables[1].columns)
    pd.testing.assert_frame_equal(tables[0][["person", "step"]], tables[1][["person", "step"]])


def test_no_step_knows_what_comes_after_it(market, trees):
    _, processor, encoded, _ = market
    rng = np.random.default_rng(0)
    for row in encoded["test"].to_list()[:5]:
        ids, levels = torch.tensor([row["input_ids"]]), torch.tensor([row["covariates"]])
        before = trees(ids, levels).logits
        for t in range(ids.shape[1] - 1):
            other_ids, other_levels = ids.clone(), levels.clone()
            size = ids.shape[1] - t - 1
            other_ids[0, t + 1 :] = torch.from_numpy(rng.integers(2, len(processor.occupations), size))
            other_levels[0, t + 1 :] = 1
            after = trees(other_ids, other_levels).logits
            torch.testing.assert_close(after[:, : t + 1], before[:, : t + 1])


def test_the_same_seed_grows_the_same_trees(market, trees):
    splits, processor, encoded, groups = market
    again = BoostedTrees.fit(encoded["train"], encoded["validation"], processor, groups, trials=2)
    tables = [transition_table(model, splits["test"], processor) for model in (trees, again)]
    pd.testing.assert_frame_equal(*tables)


def test_what_is_chosen_is_likeliest_on_validation_careers(market, trees):
    _, _, encoded, _ = market
    tried = trees.trials
    assert list(tried["part"]) == ["stay"] * 2 + ["move"] * 2
    steps, to = trees._scored(encoded["validation"])
    for part in ("stay", "move"):
        rows, target = trees._targets(part, steps, to)
        booster = getattr(trees, part)
        p = booster.predict_proba(trees._features(steps)[rows])
        place = np.searchsorted(booster.classes_, target[rows])
        nll = -np.log(p[np.arange(rows.sum()), place]).mean()
        assert nll == pytest.approx(tried.loc[tried["part"] == part, "nll"].min(), rel=1e-6)


def test_more_occupations_than_the_booster_has_levels_for():
    """The rarest share a level; groups tell them apart."""
    labels = [f"job {i}" for i in range(MOST_LEVELS + 45)]
    # Everybody moves to and fro within a group of three.
    jobs = [[labels[3 * (k // 3) + t % 3] for t in range(4)] for k in range(len(labels))]
    rows = [(f"{k:03d}", 1990 + t, job) for k, career in enumerate(jobs) for t, job in enumerate(career)]
    careers = from_frame(pd.DataFrame(rows, columns=["person", "year", "occupation"]))
    processor = CareerProcessor.fit(careers, ("year",))
    encoded, _ = processor.encode(careers)
    groups = {label: f"group {i // 60}" for i, label in enumerate(labels)}
    trees = BoostedTrees.fit(encoded, encoded, processor, groups, trials=1)
    table = transition_table(trees, careers, processor)
    assert np.isfinite(table["log_prob"]).all()
    assert max(len(np.unique(column)) for column in trees._features(trees._scored(encoded)[0]).T) == MOST_LEVELS
    assert perplexity(table[table["step"] > 0]) < len(labels) / 10


def test_trees_are_never_saved(trees, tmp_path):
    with pytest.raises(ValueError, match="not saved"):
        trees.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_occupation_without_a_group_is_named(market):
    _, processor, encoded, groups = market
    missing = {label: group for label, group in groups.items() if label != "unemployed"}
    with pytest.raises(ValueError, match="'unemployed'"):
        BoostedTrees.fit(encoded["train"], encoded["validation"], processor, missing)
