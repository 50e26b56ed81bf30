from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.encoding.collating import PackingCollator, PaddingCollator
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.two_stage import IMPOSSIBLE
from career_hf.rivals.markov import NO_CONTEXT, MarkovConfig, MarkovForOccupationPrediction, tune_weight


OCCUPATIONS = ["cook", "waiter", "driver", "teacher"]
PROCESSOR = CareerProcessor(occupations=["<pad>", "<start>", *OCCUPATIONS])
SPECIAL = [0, 1]
CAREERS = st.lists(st.lists(st.integers(2, 5), min_size=1, max_size=6), min_size=1, max_size=8)


def encode(careers: list[list[int]], weight: list[float] | None = None) -> Dataset:
    rows = [{"input_ids": [1, *career[:-1]], "labels": career} for career in careers]
    encoded = Dataset.from_list(rows)
    return encoded if weight is None else encoded.add_column("weight", weight)


def counted(careers, order, w1, w2, pseudo_count=1.0, weight=None):
    """Plain counting: a function from a history (list of ids) to the probabilities of the next occupation."""
    shares, first, second = np.zeros(6), defaultdict(lambda: np.zeros(6)), defaultdict(lambda: np.zeros(6))
    shares[2:] = pseudo_count
    for person, career in enumerate(careers):
        history = [1, *career]
        for t, occupation in enumerate(career):
            amount = 1.0 if weight is None else weight[person]
            shares[occupation] += amount
            first[history[t]][occupation] += amount
            if t > 0:
                second[history[t - 1], history[t]][occupation] += amount
    shares /= shares.sum()

    def probabilities(history):
        p = shares
        if first[history[-1]].sum() > 0:
            p = w1 * first[history[-1]] / first[history[-1]].sum() + (1 - w1) * p
        pair = second[tuple(history[-2:])]
        if order == 2 and pair.sum() > 0:
            p = w2 * pair / pair.sum() + (1 - w2) * p
        return p

    return probabilities


@settings(deadline=None, max_examples=40)
@given(train=CAREERS, test=CAREERS, order=st.sampled_from([1, 2]), w1=st.floats(0, 0.999), w2=st.floats(0, 1))
def test_probabilities_equal_plain_counting(train, test, order, w1, w2):
    weights = {"first_order_weight": w1, "second_order_weight": w2}
    model = MarkovForOccupationPrediction.fit(encode(train), PROCESSOR, order=order, **weights)
    reference = counted(train, order, w1, w2)
    logits = model(**PaddingCollator()(encode(test).to_list())).logits
    for row, career in enumerate(test):
        for t in range(len(career)):
            expected = reference([1, *career][: t + 1])
            np.testing.assert_allclose(logits[row, t].exp(), expected, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(train=CAREERS, test=CAREERS, order=st.sampled_from([1, 2]))
def test_probabilities_sum_to_one_over_occupations_and_special_ids_get_none(train, test, order):
    model = MarkovForOccupationPrediction.fit(encode(train), PROCESSOR, order=order)
    logits = model(**PaddingCollator()(encode(test).to_list())).logits
    assert logits.dtype == torch.float32
    assert torch.allclose(logits.logsumexp(-1), torch.zeros(logits.shape[:2]), atol=1e-6)
    assert (logits[..., SPECIAL] == IMPOSSIBLE).all()


def test_survey_weights_count_people_by_their_weight():
    careers, weight = [[2, 3, 3], [2, 2], [4, 3]], [0.5, 2.0, 1.25]
    model = MarkovForOccupationPrediction.fit(encode(careers, weight), PROCESSOR, order=2, weighted=True)
    expected = counted(careers, 2, 0.99, 0.5, weight=weight)([1, 2])
    np.testing.assert_allclose(model(torch.tensor([[1, 2]])).logits[0, 1].exp(), expected, atol=1e-6)


def test_unseen_contexts_fall_back_to_the_simpler_distribution_alone():
    train = [[2, 3], [2, 2], [3, 3]]
    second = MarkovForOccupationPrediction.fit(encode(train), PROCESSOR, order=2)
    first = MarkovForOccupationPrediction.fit(encode(train), PROCESSOR)
    never_followed, unseen_pair = torch.tensor([[1, 5]]), torch.tensor([[1, 3, 2]])
    np.testing.assert_allclose(first(never_followed).logits[0, 1].exp(), first.occupation_shares, atol=1e-7)
    assert torch.equal(second(unseen_pair).logits[0, 2], first(unseen_pair).logits[0, 2])


def test_second_order_counts_are_sparse_and_equal_the_dense_table():
    rng = np.random.default_rng(0)
    careers = [rng.integers(2, 6, rng.integers(1, 9)).tolist() for _ in range(50)]
    model = MarkovForOccupationPrediction.fit(encode(careers), PROCESSOR, order=2)
    dense = np.zeros((6, 6, 6))
    for career in careers:
        history = [1, *career]
        for before, previous, occupation in zip(history, history[1:], history[2:], strict=False):
            dense[before, previous, occupation] += 1
    counts = model.second_order
    assert counts.counts.numel() == (dense > 0).sum()
    shares, seen = counts(torch.arange(36))
    totals = dense.reshape(36, 6).sum(-1, keepdims=True)
    np.testing.assert_array_equal(seen, totals > 0)
    np.testing.assert_allclose(shares.numpy() * totals, dense.reshape(36, 6), atol=1e-5)


@pytest.mark.parametrize("order", [1, 2])
def test_save_and_load_change_no_bit(tmp_path, order):
    careers = [[2, 3, 3, 4], [2, 2], [4, 3]]
    weight = [0.3, 1.7, 1.1]
    model = MarkovForOccupationPrediction.fit(encode(careers, weight), PROCESSOR, order=order, weighted=True)
    model.config.first_order_weight = 0.9
    model.save_pretrained(tmp_path)
    loaded = MarkovForOccupationPrediction.from_pretrained(tmp_path)
    PROCESSOR.check(loaded.config)
    batch = PaddingCollator()(encode([[2, 3, 4, 5], [5, 2]]).to_list())
    assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    assert loaded.config.to_dict() == model.config.to_dict() | {"_name_or_path": str(tmp_path)}


def test_loading_in_bfloat16_keeps_the_counts_exact(tmp_path):
    model = MarkovForOccupationPrediction.fit(encode([[2] * 300 + [3] * 259]), PROCESSOR)
    model.save_pretrained(tmp_path)
    loaded = MarkovForOccupationPrediction.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert torch.equal(loaded(torch.tensor([[1, 2]])).logits, model(torch.tensor([[1, 2]])).logits)


@pytest.mark.parametrize("order", [1, 2])
def test_packed_careers_equal_padded_ones(order):
    rng = np.random.default_rng(1)
    careers = [rng.integers(2, 6, rng.integers(1, 9)).tolist() for _ in range(20)]
    model = MarkovForOccupationPrediction.fit(encode(careers[:10]), PROCESSOR, order=order)
    rows = encode(careers, rng.gamma(2, size=20).tolist()).to_list()
    padded, packed = PaddingCollator()(rows), PackingCollator(row_length=16)(rows)
    torch.testing.assert_close(model(**packed).loss, model(**padded).loss)
    a, b = (model(**batch).logits[batch["labels"] != -100].sort(dim=0).values for batch in (packed, padded))
    torch.testing.assert_close(a, b)


def test_loss_is_the_mean_negative_log_probability_of_scored_steps():
    model = MarkovForOccupationPrediction.fit(encode([[2, 3, 3], [4, 2]]), PROCESSOR)
    batch = PaddingCollator()(encode([[2, 3, 4], [4]]).to_list())
    log_probs = [
        model.float()(**batch).logits[i, t, y].item() for i, t, y in [(0, 0, 2), (0, 1, 3), (0, 2, 4), (1, 0, 4)]
    ]
    assert model(**batch).loss.item() == pytest.approx(-np.mean(log_probs))
    assert model(**batch, num_items_in_batch=8).loss.item() == pytest.approx(-np.sum(log_probs) / 8)


@pytest.mark.parametrize("order", [1, 2])
def test_tuned_weights_beat_every_other_weight_on_validation(order):
    rng = np.random.default_rng(2)
    train, validation = ([rng.integers(2, 6, rng.integers(1, 7)).tolist() for _ in range(30)] for _ in range(2))
    grid = [0.0, 0.3, 0.6, 0.9]
    tuned = tune_weight(encode(train), encode(validation), PROCESSOR, order=order, grid=grid)
    batch = PaddingCollator()(encode(validation).to_list())
    losses = {}
    for w1 in grid:
        for w2 in grid if order == 2 else [tuned.config.second_order_weight]:
            weights = {"first_order_weight": w1, "second_order_weight": w2}
            losses[w1, w2] = MarkovForOccupationPrediction.fit(encode(train), PROCESSOR, order=order, **weights)(
                **batch
            ).loss
    best = min(losses, key=losses.get)
    assert (tuned.config.first_order_weight, tuned.config.second_order_weight) == best
    assert tuned(**batch).loss == losses[best]


def test_plain_frequencies_give_an_occupation_never_seen_no_probability():
    careers = encode([[2, 3], [3, 4]])
    paper = MarkovForOccupationPrediction.fit(careers, PROCESSOR, pseudo_count=0.0)
    smoothed = MarkovForOccupationPrediction.fit(careers, PROCESSOR)
    assert paper(torch.tensor([[1]])).logits[0, 0, 5] == IMPOSSIBLE
    assert smoothed(torch.tensor([[1]])).logits[0, 0, 5].exp() == pytest.approx(0.01 * 1 / 8)


def test_careers_of_one_step_fit_a_second_order_chain(tmp_path):
    model = MarkovForOccupationPrediction.fit(encode([[2], [3]]), PROCESSOR, order=2)
    assert model.second_order.contexts.tolist() == [NO_CONTEXT]
    model.save_pretrained(tmp_path)
    loaded = MarkovForOccupationPrediction.from_pretrained(tmp_path)
    assert torch.equal(loaded(torch.tensor([[1, 2]])).logits, model(torch.tensor([[1, 2]])).logits)


def test_a_model_that_was_not_fitted_predicts_nothing():
    assert MarkovForOccupationPrediction(MarkovConfig(vocab_size=6))(torch.tensor([[1, 2]])).logits.isnan().any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": 3}, "order must be 1 or 2, and is 3"),
        ({"first_order_weight": 1.5}, "first_order_weight must be at most 1, and is 1.5"),
        ({"pseudo_count": -1}, "pseudo_count must be at least 0"),
        ({"covariate_names": ["year"], "covariate_sizes": [3]}, r"no covariates, and was given \['year'\]"),
        ({"order": 2, "num_contexts": [3], "num_transitions": [3]}, "one entry for each of the 2 orders"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(Exception, match=message):
        MarkovConfig(vocab_size=6, **change)


def test_inputs_that_a_chain_cannot_use_are_refused():
    model = MarkovForOccupationPrediction.fit(encode([[2, 3]]), PROCESSOR)
    with pytest.raises(ValueError, match="no covariates"):
        model(torch.tensor([[1]]), covariates=torch.zeros(1, 1, 1, dtype=torch.long))
    with pytest.raises(ValueError, match="keeps no cache"):
        model(torch.tensor([[1]]), past_key_values=object())
    with pytest.raises(ValueError, match="no column 'weight'"):
        MarkovForOccupationPrediction.fit(encode([[2, 3]]), PROCESSOR, weighted=True)
    with pytest.raises(ValueError, match="no careers to count"):
        MarkovForOccupationPrediction.fit(encode([[2, 3]]).select([]), PROCESSOR)
