"""The likelihood for tensors of any shape and kind: what it says of a step does not depend on the steps beside it."""

from __future__ import annotations

import pytest
import torch

from career_hf.models.two_stage import (
    IMPOSSIBLE,
    among,
    mean_nll,
    nothing_to_stay_in,
    occupation_log_probs,
    stay_nll,
    two_stage_log_probs,
)


SPECIAL = [0, 1]


@pytest.fixture
def steps():
    """Logits `(3, 4, 6)`, stay logits and previous ids `(3, 4)`."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 6, generator=generator)
    return logits, torch.randn(3, 4, generator=generator), torch.randint(2, 6, (3, 4), generator=generator)


def test_a_batch_is_its_steps_one_by_one(steps):
    logits, stay_logit, previous = steps
    both = two_stage_log_probs(logits, stay_logit, previous, SPECIAL)
    moves, plain = occupation_log_probs(logits, SPECIAL, previous), occupation_log_probs(logits, SPECIAL)
    for i in range(3):
        for t in range(4):
            allowed = [j for j in range(2, 6) if j != previous[i, t]]
            torch.testing.assert_close(plain[i, t, 2:], logits[i, t, 2:].log_softmax(-1))
            torch.testing.assert_close(moves[i, t, allowed], logits[i, t, allowed].log_softmax(-1))
            assert moves[i, t, previous[i, t]] == IMPOSSIBLE
            one = two_stage_log_probs(logits[i, t], stay_logit[i, t], previous[i, t], SPECIAL)
            torch.testing.assert_close(both[i, t], one)
    for log_probs in (both, moves, plain):
        assert (log_probs[..., :2] == IMPOSSIBLE).all()
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(3, 4))


def test_without_special_ids_every_id_is_an_occupation(steps):
    torch.testing.assert_close(occupation_log_probs(steps[0], []), steps[0].log_softmax(-1))


def test_ids_that_are_members_are_found_where_they_are():
    ids = torch.tensor([[0, 1, 2], [3, 1, 0]])
    assert among(ids, SPECIAL).tolist() == [[True, True, False], [False, True, True]]
    assert among(ids, [3]).tolist() == [[False] * 3, [True, False, False]]


def test_there_is_nothing_to_stay_in_after_special_ids_alone():
    stay_logit = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    found = nothing_to_stay_in(stay_logit, torch.tensor([[1, 4], [2, 0]]), SPECIAL)
    assert found.tolist() == [[IMPOSSIBLE, -1.0], [2.0, IMPOSSIBLE]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_small_floats_are_scored_in_float32_and_float64_as_it_is(steps, dtype):
    logits, stay_logit, previous = steps
    small = two_stage_log_probs(logits.to(dtype), stay_logit.to(dtype), previous, SPECIAL)
    large = two_stage_log_probs(logits.to(dtype).float(), stay_logit.to(dtype).float(), previous, SPECIAL)
    assert small.dtype == torch.float32 and torch.equal(small, large)
    assert stay_nll(stay_logit.to(dtype), previous, previous).dtype == torch.float32
    assert two_stage_log_probs(logits.double(), stay_logit.double(), previous, SPECIAL).dtype == torch.float64


def test_impossible_is_finite_in_every_kind_of_float():
    for dtype in (torch.bfloat16, torch.float16):
        assert torch.tensor(IMPOSSIBLE).to(dtype).isfinite()
    assert torch.tensor(IMPOSSIBLE).exp() == 0


def test_everything_stays_on_the_device_of_its_inputs():
    """Meta tensors have a device and no values, and cannot be mixed with others."""
    logits = torch.empty(3, 4, 6, device="meta")
    previous = torch.empty(3, 4, dtype=torch.long, device="meta")
    stay_logit = nothing_to_stay_in(logits[..., 0], previous, SPECIAL)
    nll = stay_nll(stay_logit, previous, previous)
    assert two_stage_log_probs(logits, stay_logit, previous, SPECIAL).device.type == "meta"
    assert mean_nll(nll, previous, num_items_in_batch=12).device.type == "meta"


def test_the_mean_is_of_scored_steps_weighted_by_person_or_step():
    nll = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    labels = torch.tensor([[2, 3, -100], [2, -100, -100]])
    assert mean_nll(nll, labels) == pytest.approx((1 + 2 + 8) / 3)
    assert mean_nll(nll, labels, torch.tensor([1.0, 3.0])) == pytest.approx((1 + 2 + 3 * 8) / (1 + 1 + 3))
    by_step = torch.tensor([[1.0, 2.0, 9.0], [5.0, 9.0, 9.0]])
    assert mean_nll(nll, labels, by_step) == pytest.approx((1 + 4 + 40) / 8)
    assert mean_nll(nll, labels, by_step, torch.tensor(4)) == pytest.approx((1 + 4 + 40) / 4)
