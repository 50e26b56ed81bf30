"""Eq. 1-3 and 18 against twenty lines of numpy."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.models.two_stage import IMPOSSIBLE, mean_nll, occupation_log_probs, stay_nll, two_stage_log_probs


def numpy_two_stage(logits, stay_logit, previous, special):
    """Eq. 18 in plain probabilities, one step at a time."""
    probs = np.zeros(logits.shape)
    for i in range(len(logits)):
        stay = 1 / (1 + np.exp(-stay_logit[i]))
        moves = np.exp(logits[i])
        moves[special] = 0
        moves[previous[i]] = 0
        probs[i] = (1 - stay) * moves / moves.sum()
        probs[i, previous[i]] = stay
    return probs


@given(st.integers(0, 10_000), st.integers(4, 12), st.floats(0.1, 20))
@settings(max_examples=60, deadline=None)
def test_probabilities_equal_the_formula_and_sum_to_one(seed, vocabulary, scale):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(7, vocabulary)) * scale
    stay_logit, previous = rng.normal(size=7) * scale, rng.integers(2, vocabulary, size=7)
    expected = numpy_two_stage(logits, stay_logit, previous, [0, 1])
    log_probs = two_stage_log_probs(*(torch.from_numpy(a) for a in (logits, stay_logit, previous)), [0, 1])
    assert torch.isfinite(log_probs).all()
    np.testing.assert_allclose(log_probs.exp().numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(log_probs.exp().sum(-1).numpy(), 1, atol=1e-12)
    assert (log_probs[:, :2] == IMPOSSIBLE).all()


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_stay_and_move_parts_add_up_to_the_full_likelihood(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(50, 9, generator=generator, dtype=torch.float64) * 5
    stay_logit = torch.randn(50, generator=generator, dtype=torch.float64) * 5
    previous, labels = torch.randint(2, 9, (2, 50), generator=generator)
    full = -two_stage_log_probs(logits, stay_logit, previous, [0, 1]).gather(-1, labels[:, None])[:, 0]
    moves = -occupation_log_probs(logits, [0, 1], previous).gather(-1, labels[:, None])[:, 0]
    parts = stay_nll(stay_logit, previous, labels) + torch.where(labels == previous, 0, moves)
    torch.testing.assert_close(parts, full, rtol=0, atol=1e-12)


def test_nothing_to_stay_in_gives_a_plain_softmax():
    logits = torch.randn(3, 6, dtype=torch.float64)
    start, impossible = torch.ones(3, dtype=torch.long), torch.full((3,), IMPOSSIBLE, dtype=torch.float64)
    log_probs = two_stage_log_probs(logits, impossible, start, [0, 1])
    torch.testing.assert_close(log_probs[:, 2:], logits[:, 2:].log_softmax(-1))


def test_extreme_logits_stay_finite_with_finite_gradients():
    logits = torch.tensor([[0.0, 0.0, 1e4, -1e4, 3e3]] * 2, requires_grad=True)
    stay_logit = torch.tensor([2e3, -2e3], requires_grad=True)
    log_probs = two_stage_log_probs(logits, stay_logit, torch.tensor([2, 3]), [0, 1])
    assert torch.isfinite(log_probs).all()
    log_probs[:, 2:].sum().backward()
    assert torch.isfinite(logits.grad).all() and torch.isfinite(stay_logit.grad).all()


def test_gradients_are_those_of_finite_differences():
    logits = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    stay_logit = torch.randn(4, dtype=torch.float64, requires_grad=True)
    previous = torch.tensor([2, 3, 4, 5])
    assert torch.autograd.gradcheck(
        lambda a, b: two_stage_log_probs(a, b, previous, [0, 1])[:, 2:], (logits, stay_logit)
    )


def test_loss_weights_persons_and_divides_by_the_given_count():
    nll = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    labels = torch.tensor([[3, 4], [5, -100]])
    assert mean_nll(nll, labels) == 7 / 3
    assert mean_nll(nll, labels, torch.tensor([1.0, 0.5])) == (3 + 2) / 2.5
    assert mean_nll(nll, labels, torch.tensor([[1.0, 2.0], [0.5, 9.0]])) == (1 + 4 + 2) / 3.5
    assert mean_nll(nll, labels, torch.tensor([1.0, 0.5]), num_items_in_batch=10) == 0.5
