"""Counted moves that back off through broad groups, compared with the formula written out."""

from collections import Counter

import numpy as np
import pytest
import torch

import career_hf
from career_hf.careers import from_frame
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.rivals import BackoffConfig, BackoffForOccupationPrediction, MarkovForOccupationPrediction
from career_hf.rivals.markov import tune_weight


GROUPS = {"cook": "food", "waiter": "food", "baker": "food", "clerk": "office", "judge": "office", "nurse": "care"}
LABELS = list(GROUPS)


def careers_of(people, years=6, seed=0, weight=None):
    """People who mostly stay, and otherwise move within a group."""
    rng, rows = np.random.default_rng(seed), []
    for person in range(people):
        now = rng.choice(LABELS)
        for year in range(years):
            if year and rng.random() < 0.5:
                near = [label for label in LABELS if label != now and GROUPS[label] == GROUPS[now]]
                now = rng.choice(near if near and rng.random() < 0.8 else [label for label in LABELS if label != now])
            rows.append((person, 1990 + year, now, 1.0 if weight is None else weight[person]))
    names = ("person", "year", "occupation", "weight")[: 3 if weight is None else 4]
    frame = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return from_frame(frame, weight=None if weight is None else "weight")


def fitted(careers, **settings):
    processor = CareerProcessor.fit(careers, covariates=())
    encoded, _ = processor.encode(careers)
    return BackoffForOccupationPrediction.fit(encoded, processor, group_of=GROUPS, **settings), processor, encoded


def test_probabilities_are_those_of_the_formula():
    careers = careers_of(40)
    a, of_group, b = 5.0, 20.0, 0.3
    model, processor, _ = fitted(careers, occupation_strength=a, group_strength=of_group, reverse_weight=b)
    steps = Counter()
    for occupations in careers["occupation"]:
        steps.update(zip(occupations[:-1], occupations[1:], strict=True))
    everything = sum(steps.values()) + len(careers)
    visits = Counter(label for occupations in careers["occupation"] for label in occupations)
    moves = {(i, j): steps[i, j] + b * steps[j, i] for i in LABELS for j in LABELS if i != j}
    into = {j: sum(moves[i, j] for i in LABELS if i != j) + visits[j] / everything + 1e-3 for j in LABELS}
    overall = {j: into[j] / sum(into.values()) for j in LABELS}
    for i in LABELS:
        mates = [label for label in LABELS if GROUPS[label] == GROUPS[i]]
        group = {j: sum(moves.get((m, j), 0) for m in mates) + of_group * overall[j] for j in LABELS}
        group = {j: value / sum(group.values()) for j, value in group.items()}
        to = {j: moves[i, j] + a * group[j] for j in LABELS if j != i}
        stays, left = steps[i, i], sum(steps[i, j] for j in LABELS if j != i)
        all_stays = sum(steps[m, m] for m in mates)
        share = (all_stays + 1) / (sum(steps[m, j] for m in mates for j in LABELS) + 2)
        stay = (stays + 10 * share) / (stays + left + 10)
        expected = {i: stay} | {j: (1 - stay) * value / sum(to.values()) for j, value in to.items()}
        p = model(input_ids=torch.tensor([[processor.occupations.index(i)]])).logits[0, 0].exp()
        found = {label: p[processor.occupations.index(label)].item() for label in LABELS}
        assert found == pytest.approx(expected, rel=1e-5)


def test_it_is_saved_trained_by_name_and_better_than_a_chain_where_groups_matter(tmp_path):
    train, validation, test = careers_of(25), careers_of(40, seed=1), careers_of(300, seed=2)
    model, processor, encoded = fitted(train)
    assert model(input_ids=torch.arange(len(processor.occupations))[None]).logits.logsumexp(-1).abs().max() < 1e-5
    model.save_pretrained(tmp_path)
    loaded = BackoffForOccupationPrediction.from_pretrained(tmp_path)
    assert torch.equal(loaded.table.weight, model.table.weight)
    held_out, _ = processor.encode(validation)
    tuned = BackoffForOccupationPrediction.from_careers(encoded, held_out, processor, group_of=GROUPS)
    chain = tune_weight(encoded, held_out, processor)
    assert isinstance(chain, MarkovForOccupationPrediction)
    scores = [career_hf.transition_table(one, test, processor)["log_prob"].mean() for one in (tuned, chain)]
    assert scores[0] > scores[1] + 0.005
    named = career_hf.train({"train": train, "validation": validation}, model="backoff")
    assert isinstance(named.model, BackoffForOccupationPrediction)


def test_a_person_of_weight_zero_does_not_count():
    weighted, processor, _ = fitted(careers_of(20, weight=[1.0] * 15 + [0.0] * 5), weighted=True)
    fewer = careers_of(20).select(range(15))
    processor.check(weighted.config)
    counted = BackoffForOccupationPrediction.fit(processor.encode(fewer)[0], processor, group_of=GROUPS)
    torch.testing.assert_close(weighted.table.weight, counted.table.weight, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="no column 'weight'"):
        fitted(fewer, weighted=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"covariate_names": ["year"], "covariate_sizes": [3]}, "a counted model has no covariates"),
        ({"vocab_size": 30_000}, "pairs of over 20,000"),
        ({"occupation_strength": 0}, "must be finite and above 0"),
    ],
)
def test_settings_that_cannot_be_are_an_error(fields, message):
    with pytest.raises(ValueError, match=message):
        BackoffConfig(**{"vocab_size": 5, **fields})


def test_an_occupation_without_a_group_is_an_error():
    with pytest.raises(ValueError, match="occupation 'nurse' has no group"):
        careers = careers_of(20)
        processor = CareerProcessor.fit(careers, covariates=())
        groups = {label: group for label, group in GROUPS.items() if label != "nurse"}
        BackoffForOccupationPrediction.fit(processor.encode(careers)[0], processor, group_of=groups)
