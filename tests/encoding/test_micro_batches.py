"""Micro-batches: everybody once an epoch, a constant length, the same for everyone who knows (seed, epoch)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from encoded_examples import encoded_careers
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, SequentialSampler

from career_hf.encoding.collating import FlatteningCollator, PackingCollator, PaddingCollator
from career_hf.encoding.micro_batches import MicroBatchCollator, MicroBatches, cut_evenly


def micro_batches(people=200, **settings):
    settings = {"tokens_per_batch": 250, "micro_batches_per_batch": 4, "seed": 3} | settings
    return MicroBatches(encoded_careers(people), FlatteningCollator(), **settings)


def test_everybody_is_seen_exactly_once_an_epoch():
    items = micro_batches()
    for epoch in range(3):
        items.set_epoch(epoch)
        seen = np.concatenate([items.people(i) for i in range(len(items))])
        assert sorted(seen) == list(range(200))


def test_length_is_the_same_in_every_epoch_and_a_whole_number_of_batches():
    items = micro_batches()
    total = int(items.careers.lengths.sum())
    assert len(items) == 4 * -(-total // 250)
    items.set_epoch(7)
    assert len(items) == 4 * -(-total // 250)


def test_epochs_differ_and_the_same_seed_and_epoch_repeat_in_any_order_of_access():
    items, again = micro_batches(), micro_batches()
    first = [items.people(i) for i in range(len(items))]
    again.set_epoch(4)
    again.set_epoch(0)
    for i in reversed(range(len(again))):
        np.testing.assert_array_equal(again.people(i), first[i])
    again.set_epoch(1)
    assert any(not np.array_equal(again.people(i), first[i]) for i in range(len(again)))
    other_seed = micro_batches(seed=4)
    assert any(not np.array_equal(other_seed.people(i), first[i]) for i in range(len(again)))


def test_batches_are_random_and_sorted_only_inside():
    """Which people make up a batch depends on the shuffle alone: its lengths are a sample of all lengths."""
    items = micro_batches(people=2_000, tokens_per_batch=2_000)
    for batch in range(items.batches_per_epoch):
        parts = [items.careers.lengths[items.people(4 * batch + k)] for k in range(4)]
        lengths = np.concatenate(parts)
        assert (np.diff(lengths) >= 0).all()
        assert abs(lengths.mean() - items.careers.lengths.mean()) < 1


def test_batches_and_micro_batches_have_nearly_equal_numbers_of_steps():
    items = micro_batches(people=1_000, tokens_per_batch=1_000)
    longest = items.careers.lengths.max()
    steps = np.array([items[i]["labels"].numel() for i in range(len(items))]).reshape(-1, 4)
    mean = steps.sum() / len(steps)
    assert mean <= 1_000
    assert np.abs(steps.sum(axis=1) - mean).max() <= longest
    assert np.abs(steps - steps.sum(axis=1, keepdims=True) / 4).max() <= longest


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.data())
def test_cuts_are_nearly_even_and_leave_no_piece_too_small(lengths, data):
    at_least = data.draw(st.integers(1, len(lengths)))
    pieces = data.draw(st.integers(1, len(lengths) // at_least))
    bounds = cut_evenly(np.array(lengths), pieces, at_least)
    assert bounds[0] == 0 and bounds[-1] == len(lengths) and len(bounds) == pieces + 1
    assert np.diff(bounds).min() >= at_least
    if at_least == 1 and sum(lengths) >= 2 * pieces * max(lengths):
        steps = np.add.reduceat(lengths, bounds[:-1])
        assert np.abs(steps - sum(lengths) / pieces).max() <= max(lengths)


def test_accelerate_gives_micro_batch_k_to_process_k_modulo_processes():
    """The order of items is right only because of how accelerate shards a loader with batches of one."""
    for processes in (2, 3):
        for process in range(processes):
            whole = BatchSampler(SequentialSampler(range(12)), batch_size=1, drop_last=False)
            shard = BatchSamplerShard(whole, num_processes=processes, process_index=process)
            assert [index for [index] in shard] == list(range(process, 12, processes))


def test_fewer_people_than_micro_batches_is_an_error_with_the_fix():
    with pytest.raises(ValueError, match="3 people cannot fill .* lower gradient_accumulation_steps"):
        micro_batches(people=3)


def test_one_person_per_micro_batch_is_enough():
    items = micro_batches(people=8, micro_batches_per_batch=8, tokens_per_batch=10_000)
    assert [len(items.people(i)) for i in range(len(items))] == [1] * 8


def test_the_collator_hands_on_a_micro_batch_and_pads_rows():
    collator = MicroBatchCollator()
    ready = micro_batches()[0]
    assert collator([ready]) is ready
    rows = list(encoded_careers(5))
    padded = PaddingCollator()(rows)
    assert all(torch.equal(collator(rows)[name], padded[name]) for name in padded)
    torch_rows = list(encoded_careers(5).with_format("torch"))
    assert all(torch.equal(collator(torch_rows)[name], padded[name]) for name in padded)


def test_two_micro_batches_in_one_step_are_an_error_with_the_fix():
    items = micro_batches()
    with pytest.raises(ValueError, match="per_device_train_batch_size=1"):
        MicroBatchCollator()([items[0], items[1]])


def test_any_collator_gives_the_layout():
    items = MicroBatches(encoded_careers(50), PackingCollator(row_length=32), tokens_per_batch=200)
    assert {items[i]["labels"].shape[1] for i in range(len(items))} == {32}


def test_a_dropped_covariate_is_missing_in_the_whole_career_and_the_share_is_the_probability():
    whole, dropping = micro_batches(people=400), micro_batches(people=400, covariate_dropout=0.3)
    shares = []
    for index in range(len(whole)):
        before, after = whole.gather(index), dropping.gather(index)
        starts = before.lengths.cumsum() - before.lengths
        # A career's covariate is as it was, or gone at every step.
        changed = before.covariates != after.covariates
        assert (after.covariates[changed] == 0).all()
        had = np.maximum.reduceat(before.covariates, starts) > 0
        has = np.maximum.reduceat(after.covariates, starts) > 0
        kept = np.repeat(has | ~had, before.lengths, axis=0)
        assert not (changed & kept).any()
        shares.append((had & ~has).sum() / had.sum())
        np.testing.assert_array_equal(before.labels, after.labels)
    assert 0.2 < np.mean(shares) < 0.4


def test_what_is_dropped_depends_on_seed_epoch_and_index_alone():
    items, again = (micro_batches(covariate_dropout=0.5) for _ in range(2))
    first = [items.gather(i).covariates for i in range(3)]
    for i in (2, 0, 1):
        np.testing.assert_array_equal(again.gather(i).covariates, first[i])
    with pytest.raises(ValueError, match="covariate_dropout is 1.5"):
        micro_batches(covariate_dropout=1.5)
