"""Every place of every layout against plain loops, with every column of a career, and rows that are refused."""

from __future__ import annotations

import math

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch

from career_hf.encoding.collating import (
    EncodedCareers,
    FlatCareers,
    FlatteningCollator,
    PackingCollator,
    PaddingCollator,
    first_fit_decreasing,
)


LENGTHS = [3, 1, 5, 2]
PAD = 7
EMPTY = {"input_ids": PAD, "labels": -100, "covariates": [0, 0], "log_wage": math.nan}


def rows_of(lengths=LENGTHS, without=()):
    """Careers in which every entry is another number."""
    rows, n = [], 0
    for i, length in enumerate(lengths):
        steps = np.arange(n, n + length)
        n += length
        row = {"input_ids": 100 + steps, "labels": 200 + steps, "covariates": np.stack([300 + steps, 400 + steps], 1)}
        row |= {"log_wage": (0.5 + steps).astype(np.float32), "weight": np.float32(2 + i)}
        rows.append({name: values for name, values in row.items() if name not in without})
    return rows


def values_at(rows, places, shape):
    """What a batch of some shape holds, if the steps of career i are at `places[i]`, pairs of row and column."""
    batch = {}
    for name, empty in EMPTY.items():
        grid = np.empty((*shape, *np.shape(empty)))
        grid[:] = empty
        for row, where in zip(rows, places, strict=True):
            for step, place in enumerate(where):
                grid[place] = row[name][step]
        batch[name] = grid
    return batch


def assert_holds(batch, expected):
    for name, values in expected.items():
        np.testing.assert_array_equal(batch[name].numpy(), values, err_msg=name)
        assert batch[name].dtype == (torch.float32 if name == "log_wage" else torch.int64)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(("settings", "width"), [({}, 5), ({"pad_to_multiple_of": 4}, 8), ({"min_length": 6}, 6)])
def test_padded_places(side, settings, width):
    rows = rows_of()
    batch = PaddingCollator(PAD, side, return_attention_mask=True, **settings)(rows)
    starts = [0 if side == "right" else width - length for length in LENGTHS]
    places = [
        [(i, start + t) for t in range(length)] for i, (start, length) in enumerate(zip(starts, LENGTHS, strict=True))
    ]
    assert_holds(batch, values_at(rows, places, (4, width)))
    mask = np.zeros((4, width), dtype=int)
    mask[tuple(np.array([place for where in places for place in where]).T)] = 1
    np.testing.assert_array_equal(batch["attention_mask"].numpy(), mask)
    assert batch["weight"].tolist() == [2, 3, 4, 5]
    assert set(batch) == {*EMPTY, "attention_mask", "weight"}
    if side == "right":
        assert "attention_mask" not in PaddingCollator(PAD)(rows)


def test_padding_is_0_and_on_the_right_unless_told_otherwise():
    batch = PaddingCollator()(rows_of([1, 2]))
    assert batch["input_ids"].tolist() == [[100, 0], [101, 102]] and "attention_mask" not in batch
    assert PackingCollator(row_length=4)(rows_of([3]))["input_ids"].tolist() == [[100, 101, 102, 0]]
    assert PackingCollator()(rows_of([3]))["input_ids"].shape == (1, 64)
    assert FlatteningCollator(multiple_of=4)(rows_of([3]))["input_ids"].tolist() == [[100, 101, 102, 0]]
    assert FlatteningCollator()(rows_of([3]))["input_ids"].shape == (1, 3)
    empty = FlatCareers(lengths=np.zeros(0, dtype=np.int64), input_ids=np.zeros(0, dtype=np.int64))
    assert PaddingCollator()(empty)["input_ids"].shape == (0, 0)


def test_packed_places():
    rows = rows_of()
    batch = PackingCollator(row_length=6, pad_token_id=PAD)(rows)
    # 5 opens the first row, 3 the second, 2 goes to 3, and 1 to 5.
    places = [[(1, 0), (1, 1), (1, 2)], [(0, 5)], [(0, t) for t in range(5)], [(1, 3), (1, 4)]]
    assert_holds(batch, values_at(rows, places, (2, 6)))
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0], [0, 1, 2, 0, 1, 0]]
    assert batch["weight"].tolist() == [[4, 4, 4, 4, 4, 3], [2, 2, 2, 5, 5, 0]]
    assert batch["weight"].dtype == torch.float32
    assert set(batch) == {*EMPTY, "position_ids", "weight"}


@pytest.mark.parametrize(("multiple_of", "steps"), [(1, 11), (4, 12), (11, 11)])
def test_flat_places(multiple_of, steps):
    rows = rows_of()
    batch = FlatteningCollator(multiple_of, PAD)(rows)
    starts = np.cumsum([0, *LENGTHS])
    places = [[(0, starts[i] + t) for t in range(length)] for i, length in enumerate(LENGTHS)]
    assert_holds(batch, values_at(rows, places, (1, steps)))
    lengths = LENGTHS + ([steps - 11] if steps > 11 else [])
    assert batch["position_ids"].tolist() == [[t for length in lengths for t in range(length)]]
    weights = [2, 2, 2, 3, 4, 4, 4, 4, 4, 5, 5] + [0] * (steps - 11)
    assert batch["weight"].tolist() == [weights] and batch["weight"].dtype == torch.float32
    ends = np.cumsum([0, *lengths]).tolist()
    assert batch["cu_seq_lens_q"].tolist() == batch["cu_seq_lens_k"].tolist() == ends
    assert batch["cu_seq_lens_q"].dtype == torch.int32
    assert batch["max_length_q"] == batch["max_length_k"] == 5


@pytest.mark.parametrize("without", ["labels", "covariates", "log_wage", "weight"])
def test_careers_without_a_column_give_batches_without_it(without):
    rows = rows_of(without=[without])
    for collator in (PaddingCollator(), PackingCollator(row_length=6), FlatteningCollator(4)):
        batch, whole = collator(rows), collator(rows_of())
        assert set(whole) - set(batch) == {without}
        for name in batch:
            both = (batch[name], whole[name])
            same = [values.nan_to_num() if isinstance(values, torch.Tensor) else values for values in both]
            assert np.array_equal(*same)


@pytest.mark.parametrize("name", ["labels", "covariates", "log_wage", "weight"])
def test_rows_of_which_one_lacks_something_are_refused(name):
    for lacking in ({name: None}, {}):
        rows = rows_of()
        rows[2] = {key: value for key, value in rows[2].items() if key != name} | lacking
        with pytest.raises(ValueError, match=f"career 2 of the batch has no '{name}', and others have"):
            FlatCareers.from_rows(rows)
    with pytest.raises(ValueError, match="career 1 of the batch has no 'input_ids'"):
        FlatCareers.from_rows([rows_of()[0], {"labels": [3]}])


def test_rows_of_other_lengths_without_steps_or_padded_are_refused():
    for name in ("labels", "covariates", "log_wage"):
        rows = rows_of()
        rows[1][name] = rows[0][name]
        with pytest.raises(ValueError, match=f"career 1 of the batch has 3 steps in '{name}' and 1 in 'input_ids'"):
            FlatCareers.from_rows(rows)
    with pytest.raises(ValueError, match="career 0 of the batch has no step: leave empty careers out"):
        FlatCareers.from_rows([{"input_ids": [], "labels": []}])
    rows = [{"input_ids": [1, 2], "labels": [2, 3], "attention_mask": [1, last]} for last in (1, 0)]
    assert FlatCareers.from_rows(rows[:1]).lengths.tolist() == [2]
    with pytest.raises(ValueError, match="career 1 of the batch is padded already"):
        FlatCareers.from_rows(rows)


def test_sides_of_padding_are_two():
    with pytest.raises(ValueError, match="padding_side is 'up', which is neither 'right' nor 'left'"):
        PaddingCollator(padding_side="up")
    with pytest.raises(ValueError, match="padded on the left need return_attention_mask=True"):
        PaddingCollator(padding_side="left")


def test_weights_of_steps_lie_where_their_steps_lie():
    rows = [row | {"weight": [0.5 + step for step in row["input_ids"]]} for row in rows_of()]
    encoded = EncodedCareers(dataset_of(rows))
    chosen = EncodedCareers(dataset_of(rows).select([2, 0]))
    assert encoded.step_weight.dtype == np.float32 and encoded.weight is None
    assert all(encoded[i]["weight"].tolist() == rows[i]["weight"] for i in range(4))
    assert [chosen[i]["weight"].tolist() for i in (0, 1)] == [rows[2]["weight"], rows[0]["weight"]]
    gathered, ends = chosen.gather(np.array([1, 0])), [*rows[0]["weight"], *rows[2]["weight"]]
    assert gathered.weights.tolist() == gathered.step_weight.tolist() == ends
    for collator in (PaddingCollator(), PackingCollator(row_length=6), FlatteningCollator(4)):
        batch = collator(rows)
        real = batch["labels"] != -100
        assert torch.equal(batch["weight"][real], batch["input_ids"][real] + 0.5)
        assert not batch["weight"][~real].any() and batch["weight"].dtype == torch.float32
    rows[1]["weight"] = rows[0]["weight"]
    with pytest.raises(ValueError, match="career 1 of the batch has 3 steps in 'weight' and 1 in 'input_ids'"):
        FlatCareers.from_rows(rows)


def test_columns_of_a_batch_have_types_of_their_own():
    rows = [{name: np.asarray(values).tolist() for name, values in row.items()} for row in rows_of()]
    flat = FlatCareers.from_rows(rows)
    assert flat.weight.dtype == np.float32 and flat.lengths.dtype == np.int64
    batch = PaddingCollator(return_attention_mask=True)(rows)
    assert batch["attention_mask"].dtype == torch.int64 and batch["weight"].dtype == torch.float32


def dataset_of(rows):
    return datasets.Dataset.from_dict({name: [row[name] for row in rows] for name in rows[0]})


@pytest.mark.parametrize("without", [(), ("covariates", "log_wage", "weight")])
def test_a_dataset_is_its_rows_in_every_order(without):
    rows = rows_of(without=without)
    for chosen in ([0, 1, 2, 3], [2, 0], [3, 3, 1]):
        encoded = EncodedCareers(dataset_of(rows).select(chosen))
        assert len(encoded) == len(chosen)
        for i, place in enumerate(chosen):
            assert set(encoded[i]) == set(rows[place])
            for name, values in rows[place].items():
                np.testing.assert_array_equal(encoded[i][name], values)
        some = [len(chosen) - 1, 0]
        gathered = encoded.gather(np.array(some))
        expected = FlatCareers.from_rows([rows[chosen[i]] for i in some])
        for name, values in vars(expected).items():
            np.testing.assert_array_equal(getattr(gathered, name), values, err_msg=name)
    if not without:
        assert EncodedCareers(dataset_of(rows)).weight.dtype == np.float32


def test_columns_in_several_chunks_and_shifted_ones_are_read_alike():
    rows = rows_of()
    whole = EncodedCareers(dataset_of(rows))
    chunked = EncodedCareers(datasets.concatenate_datasets([dataset_of(rows[:1]), dataset_of(rows[1:])]))
    shifted = dataset_of(rows).data.table
    for name in ("labels", "covariates", "log_wage"):
        column = pa.concat_arrays([shifted[name].combine_chunks().slice(2, 1), shifted[name].combine_chunks()])
        shifted = shifted.set_column(shifted.column_names.index(name), name, column.slice(1))
    shifted = EncodedCareers(datasets.Dataset(datasets.table.InMemoryTable(shifted)))
    for other in (chunked, shifted):
        for i in range(len(rows)):
            for name in rows[i]:
                np.testing.assert_array_equal(other[i][name], whole[i][name])


@pytest.mark.parametrize("name", ["labels", "covariates", "log_wage"])
def test_a_column_of_another_length_or_with_nulls_is_refused(name):
    longer = {row: values for row, values in dataset_of(rows_of()).to_dict().items()}
    longer[name][2] = longer[name][2][:4]
    with pytest.raises(ValueError, match=f"row 2: '{name}' has 4 steps and 'input_ids' has 5"):
        EncodedCareers(datasets.Dataset.from_dict(longer))
    for damage in (None, [None, *longer[name][0][1:]]):
        table = {**dataset_of(rows_of()).to_dict(), name: [damage, *longer[name][1:2], [], []]}
        with pytest.raises(ValueError, match=f"column '{name}' has nulls or ragged entries|has 0 steps"):
            EncodedCareers(datasets.Dataset.from_dict(table))
    without = dataset_of(rows_of()).remove_columns(["labels"])
    with pytest.raises(ValueError, match=r"no column \['labels'\], only .*processor.encode"):
        EncodedCareers(without)


def test_ragged_covariates_are_refused():
    table = {"input_ids": [[1, 2, 3]], "labels": [[1, 2, 3]], "covariates": [[[1, 2], [3], [4, 5]]]}
    with pytest.raises(ValueError, match="column 'covariates' has nulls or ragged entries"):
        EncodedCareers(datasets.Dataset.from_dict(table))


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_first_fit_decreasing_one_by_one(seed):
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 9, size=40)
    row, column, used = first_fit_decreasing(lengths, 10)
    expected: list[int] = []
    for i in sorted(range(40), key=lambda i: (-lengths[i], i)):
        place = next((j for j, filled in enumerate(expected) if filled + lengths[i] <= 10), len(expected))
        expected += [0] if place == len(expected) else []
        assert (row[i], column[i]) == (place, expected[place])
        expected[place] += lengths[i]
    assert used.tolist() == expected
