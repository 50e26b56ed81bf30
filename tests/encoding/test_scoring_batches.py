"""Scoring batches: every step once and in its place, few tokens, the longest careers first, eval mode meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from encoded_examples import encoded_careers
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.encoding.collating import EncodedCareers
from career_hf.encoding.scoring_batches import scoring_batches


class Model(torch.nn.Module):
    """As much of a model as scoring batches ask for."""

    config = CareerConfig(vocab_size=10, pad_token_id=0)
    device = torch.device("cpu")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 300), st.integers(1, 2))
def test_every_step_comes_once_and_knows_its_place(people, batch_tokens, tokens_per_step):
    careers = EncodedCareers(encoded_careers(people))
    flat = careers.gather(np.arange(people))
    places, rows, longest = [], [], []
    for batch in scoring_batches(Model(), careers, batch_tokens, tokens_per_step=tokens_per_step):
        size = batch.real.numel() * tokens_per_step
        assert size <= batch_tokens or len(batch.people) == 1
        np.testing.assert_array_equal(batch.inputs["input_ids"][batch.real], flat.input_ids[batch.places])
        np.testing.assert_array_equal(batch.inputs["covariates"][batch.real], flat.covariates[batch.places])
        np.testing.assert_array_equal(batch.labels[batch.real], flat.labels[batch.places])
        assert (batch.labels[~batch.real] == -100).all()
        np.testing.assert_array_equal(batch.last_steps, careers.lengths[batch.people] - 1)
        places.append(batch.places)
        rows.append(batch.people)
        longest.append(batch.real.shape[1])
    assert sorted(np.concatenate(places)) == list(range(len(flat.labels)))
    assert sorted(np.concatenate(rows)) == list(range(people))
    assert longest == sorted(longest, reverse=True)


def test_the_model_is_in_eval_mode_until_the_last_batch_or_an_error():
    careers = EncodedCareers(encoded_careers(20))
    model = Model().train()
    for _ in scoring_batches(model, careers, 50):
        assert not model.training
    assert model.training

    def fails():
        for _ in scoring_batches(model, careers, 50):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        fails()
    assert model.training
    assert [batch.real.requires_grad for batch in scoring_batches(model.eval(), careers, 10_000)] == [False]
    assert not model.training


def test_gradients_of_a_caller_are_left_on():
    careers = EncodedCareers(encoded_careers(5))
    vocabulary, levels = int(careers.labels.max()) + 1, careers.covariates.max(axis=0) + 1
    config = CareerConfig(
        vocab_size=vocabulary,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        covariate_names=[f"c{i}" for i in range(len(levels))],
        covariate_sizes=levels.tolist(),
        tie_word_embeddings=False,
    )
    model = CareerForOccupationPrediction(config)
    (batch,) = scoring_batches(model, careers)
    assert model(**batch.inputs).logits.requires_grad
