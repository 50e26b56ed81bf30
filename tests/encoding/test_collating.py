"""The three layouts hold the same careers and give the same loss, and the Arrow path reads what the rows say."""

from __future__ import annotations

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from encoded_examples import encoded_careers, small_model
from hypothesis import given
from hypothesis import strategies as st

from career_hf.encoding.collating import (
    EncodedCareers,
    FlatteningCollator,
    PackingCollator,
    PaddingCollator,
    first_fit_decreasing,
)


LAYOUTS = {
    "padded": PaddingCollator(),
    "packed": PackingCollator(row_length=16),
    "flat": FlatteningCollator(),
    "flat, filled": FlatteningCollator(multiple_of=16),
}


def scored_steps(batch: dict) -> list[tuple]:
    """(previous, covariates..., occupation) of every scored step, sorted: what a batch says, whatever its layout."""
    scored = batch["labels"] != -100
    columns = torch.cat([batch["input_ids"][..., None], batch["covariates"], batch["labels"][..., None]], dim=-1)
    return sorted(map(tuple, columns[scored].tolist()))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_every_step_once(layout):
    encoded = encoded_careers(40)
    expected = sorted(
        (previous, *levels, occupation)
        for row in encoded
        for previous, levels, occupation in zip(row["input_ids"], row["covariates"], row["labels"], strict=True)
    )
    assert scored_steps(LAYOUTS[layout](list(encoded))) == expected


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", ["packed", "flat", "flat, filled"])
def test_packed_and_flat_careers_match_padded_careers(layout, weighted):
    """Loss and gradients, in float64, through the attention that each layout is for."""
    encoded = encoded_careers(30, weight=weighted)
    careers = EncodedCareers(encoded).gather(np.argsort(encoded["length"], kind="stable"))

    def loss_and_gradients(layout):
        torch.manual_seed(0)
        model = small_model().double().train()
        model.set_attn_implementation("sdpa_by_length" if layout.startswith("flat") else "sdpa")
        loss = model(**LAYOUTS[layout](careers)).loss
        loss.backward()
        return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    expected, expected_gradients = loss_and_gradients("padded")
    loss, gradients = loss_and_gradients(layout)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-9)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_reach_the_loss(layout):
    """Loss = sum of weight x nll / sum of weights, against nll taken from the logits of one career at a time."""
    encoded = encoded_careers(12, weight=True)
    torch.manual_seed(0)
    model = small_model().double()
    model.set_attn_implementation("sdpa_by_length" if layout.startswith("flat") else "sdpa")
    total = scored = 0.0
    for row in encoded:
        inputs = {name: torch.tensor([row[name]]) for name in ("input_ids", "covariates")}
        log_probs = model.eval()(**inputs).logits[0].detach().numpy()
        total -= row["weight"] * log_probs[np.arange(row["length"]), row["labels"]].sum()
        scored += row["weight"] * row["length"]
    loss = model.train()(**LAYOUTS[layout](list(encoded))).loss
    assert loss.item() == pytest.approx(total / scored, rel=1e-6)


def test_packed_positions_restart_at_every_career_and_at_the_filler():
    rows = [{"input_ids": [1] * n, "labels": [2] * n} for n in (5, 3, 6)]
    batch = PackingCollator(row_length=10)(rows)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 5, 0, 1, 2, 0], [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]]
    assert (batch["labels"] != -100).tolist() == [[True] * 9 + [False], [True] * 5 + [False] * 5]


def test_a_career_longer_than_a_row_lengthens_the_rows_of_its_batch():
    rows = [{"input_ids": [1] * n, "labels": [2] * n} for n in (20, 4)]
    assert PackingCollator(row_length=8)(rows)["labels"].shape == (2, 20)


def test_flat_batches_carry_the_arguments_of_varlen_attention():
    rows = [{"input_ids": [1] * n, "labels": [2] * n} for n in (2, 1, 4)]
    batch = FlatteningCollator()(rows)
    assert batch["cu_seq_lens_q"].tolist() == [0, 2, 3, 7] and batch["cu_seq_lens_q"].dtype == torch.int32
    assert batch["max_length_q"] == 4 and isinstance(batch["max_length_k"], int)
    assert batch["position_ids"].tolist() == [[0, 1, 0, 0, 1, 2, 3]]


def test_flat_rows_are_filled_to_a_multiple_with_a_career_that_is_not_scored():
    rows = [{"input_ids": [1] * n, "labels": [2] * n, "weight": 3.0} for n in (2, 7)]
    batch = FlatteningCollator(multiple_of=4, pad_token_id=5)(rows)
    assert batch["input_ids"].tolist() == [[1] * 9 + [5] * 3] and batch["labels"].tolist() == [[2] * 9 + [-100] * 3]
    assert batch["cu_seq_lens_q"].tolist() == [0, 2, 9, 12] and batch["position_ids"][0, 9:].tolist() == [0, 1, 2]
    assert batch["weight"].tolist() == [[3.0] * 9 + [0.0] * 3]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=80), st.integers(30, 60))
def test_rows_are_filled_first_fit_decreasing(lengths, row_length):
    """Against the textbook loop: longest career first, into the first row with room."""
    row, column, used = first_fit_decreasing(np.array(lengths), row_length)
    expected: list[int] = []
    for length in sorted(lengths, reverse=True):
        free = next((i for i, filled in enumerate(expected) if filled + length <= row_length), None)
        if free is None:
            expected.append(length)
        else:
            expected[free] += length
    assert used.tolist() == expected
    taken = [(r, c + t) for r, c, n in zip(row, column, lengths, strict=True) for t in range(n)]
    assert len(set(taken)) == sum(lengths) and max(c for _, c in taken) < row_length


def test_fill_of_a_batch_of_16_000_steps():
    """Flat batches hold nothing but steps; packed rows of 64 are at least 98% full at the survey's lengths."""
    lengths = np.random.default_rng(0).gamma(1.6, 10.3 / 1.6, 1_550).round().clip(1, 50).astype(int)
    rows = [{"input_ids": [1] * n, "labels": [2] * n} for n in lengths]
    for collator, fill in ((FlatteningCollator(), 1.0), (PackingCollator(row_length=64), 0.98)):
        assert (collator(rows)["labels"] != -100).double().mean() >= fill


@pytest.mark.parametrize(
    "view",
    [
        lambda encoded: encoded,
        lambda encoded: encoded.shuffle(seed=1),
        lambda encoded: encoded.select(range(7, 25)),
        lambda encoded: encoded.select([5, 3, 30, 3]),
        lambda encoded: datasets.concatenate_datasets([encoded.select(range(9)), encoded.select(range(20, 31))]),
        lambda encoded: encoded.cast_column("input_ids", datasets.LargeList(datasets.Value("int32"))),
    ],
    ids=["whole", "shuffled", "slice", "rows", "chunks", "large lists"],
)
def test_gathering_from_arrow_buffers_equals_reading_rows(view):
    encoded = view(encoded_careers(40, weight=True))
    careers = EncodedCareers(encoded)
    rows = np.random.default_rng(0).permutation(len(encoded))
    for collator in LAYOUTS.values():
        fast, slow = collator(careers.gather(rows)), collator([encoded[int(i)] for i in rows])
        views = collator([careers[int(i)] for i in rows])
        assert fast.keys() == slow.keys()
        for name in fast:
            np.testing.assert_array_equal(fast[name], slow[name])
            np.testing.assert_array_equal(views[name], slow[name])


def test_a_dataset_on_disk_is_read_without_a_copy(tmp_path):
    encoded_careers(50).save_to_disk(tmp_path)
    encoded = datasets.load_from_disk(tmp_path)
    buffer = encoded.data.table.column("labels").chunk(0).values.buffers()[1]
    labels = EncodedCareers(encoded).labels
    assert labels.__array_interface__["data"][0] == buffer.address


def test_columns_whose_buffers_are_shifted_are_aligned():
    ids = pa.array([[9, 9, 9], [1, 2], [1]], type=pa.list_(pa.int32())).slice(1)
    labels = pa.array([[2, 5], [7]], type=pa.list_(pa.int32()))
    encoded = datasets.Dataset(pa.table({"input_ids": ids, "labels": labels}))
    batch = FlatteningCollator()(EncodedCareers(encoded).gather(np.array([1, 0])))
    assert batch["input_ids"].tolist() == [[1, 1, 2]] and batch["labels"].tolist() == [[7, 2, 5]]


def test_columns_of_unequal_length_are_an_error_that_names_the_row():
    encoded = datasets.Dataset.from_dict({"input_ids": [[1], [1, 2]], "labels": [[2], [2, 3, 4]]})
    with pytest.raises(ValueError, match="row 1: 'labels' has 3 steps and 'input_ids' has 2"):
        EncodedCareers(encoded)


def test_careers_that_are_not_encoded_are_an_error_that_says_how_to_encode():
    with pytest.raises(ValueError, match=r"no column \['input_ids', 'labels'\].*processor.encode"):
        EncodedCareers(datasets.Dataset.from_dict({"person": ["a"], "occupation": [["cook"]]}))


def test_nulls_inside_a_column_are_an_error():
    encoded = datasets.Dataset.from_dict({"input_ids": [[1, None]], "labels": [[2, 3]]})
    with pytest.raises(ValueError, match="column 'input_ids' has nulls"):
        EncodedCareers(encoded)
