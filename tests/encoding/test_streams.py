"""Careers in files: what is read part by part equals what is read at once, and epochs of a stream are exact."""

from __future__ import annotations

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, SequentialSampler

from career_hf.careers import CareerShards, save_shards
from career_hf.careers.columns import PIECE_BYTES, career_pieces
from career_hf.encoding.collating import FlatteningCollator
from career_hf.encoding.micro_batches import MicroBatches
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.encoding.streams import StreamedMicroBatches


PEOPLE = 300


def some_careers(people: int = PEOPLE, weight: bool = True) -> datasets.Dataset:
    """Careers each of whose people has a covariate that names them."""
    rng = np.random.default_rng(0)
    rows = []
    for person in range(people):
        years = 1990 + np.sort(rng.choice(20, int(rng.integers(1, 13)), replace=False))
        occupation = rng.choice(["cook", "nurse", "clerk"], len(years), p=[0.6, 0.3, 0.1]).tolist()
        row = {"person": f"p{person}", "year": years.tolist(), "occupation": occupation, "who": f"{person}"}
        rows.append(row | ({"weight": float(rng.gamma(2.0))} if weight else {}))
    return datasets.Dataset.from_list(rows)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    careers = some_careers()
    save_shards(
        (careers.select(range(first, first + 100)) for first in range(0, PEOPLE, 100)), folder, people_per_group=7
    )
    return CareerShards(folder, people=50)


@pytest.fixture(scope="module")
def encoded(shards):
    return CareerProcessor.fit(shards, ["year", "who"]).encode(shards)[0]


def streamed(encoded, **options):
    options = {"tokens_per_batch": 150, "micro_batches_per_batch": 4, "seed": 3, "buffer_steps": 260} | options
    return StreamedMicroBatches(encoded, FlatteningCollator(), **options)


def people_of(items, index):
    """The people of an item, by the covariate that names them."""
    batch = items[index]
    first = batch["position_ids"][0] == 0
    return batch["covariates"][0, first, 1].tolist()


def test_files_hold_the_careers_and_footers_count_them(shards):
    careers = some_careers()
    assert len(shards) == PEOPLE and shards.steps == sum(map(len, careers["year"]))
    parts = list(shards)
    assert len(parts) > 5 and max(map(len, parts)) <= 50
    assert datasets.concatenate_datasets(parts).to_list() == careers.to_list() == shards.load().to_list()
    assert shards.select_columns(["person"]).load().column_names == ["person"]


def test_a_processor_learns_and_encodes_the_same_from_files_as_from_memory(shards):
    careers = some_careers()
    from_files, in_memory = CareerProcessor.fit(shards, ["year", "who"]), CareerProcessor.fit(careers, ["year", "who"])
    state = from_files.to_dict()
    assert state.pop("weight_scale") == pytest.approx(in_memory.weight_scale, rel=1e-12)
    assert state == {name: value for name, value in in_memory.to_dict().items() if name != "weight_scale"}
    encoded, ledger = in_memory.encode(shards)
    at_once, at_once_ledger = in_memory.encode(careers)
    assert encoded.column_names == at_once.column_names and ledger.to_dict() == at_once_ledger.to_dict()
    assert datasets.concatenate_datasets(list(encoded)).to_list() == at_once.to_list()
    in_memory.record_training(encoded, "one")
    in_memory.record_training(at_once, "one")
    assert in_memory.training_stages[0] == in_memory.training_stages[1]


def test_a_label_that_nobody_knows_is_an_error_that_names_the_row_among_all(shards):
    with pytest.raises(ValueError, match=r"person 'p\d+', row \d+, year .*'clerk' is not among the 2 known"):
        CareerProcessor.fit(shards, [], occupations=["cook", "nurse"])
    processor = CareerProcessor.fit(some_careers(100), ["who"])
    with pytest.raises(ValueError, match="'100' of covariate 'who'"):
        processor.encode(shards)


def test_everybody_is_in_exactly_one_item_of_an_epoch_and_epochs_differ(encoded):
    items = streamed(encoded)
    orders = []
    for epoch in range(3):
        items.set_epoch(epoch)
        orders.append([people_of(items, index) for index in range(len(items))])
        assert sorted(person for people in orders[-1] for person in people) == list(range(1, PEOPLE + 1))
    assert orders[0] != orders[1] != orders[2]
    lengths = encoded.shards.load()["year"]
    batches = [
        sum(len(lengths[person - 1]) for item in orders[0][k : k + 4] for person in item)
        for k in range(0, len(items), 4)
    ]
    # Each batch is within one career (12 steps) of the mean, as in memory.
    assert np.abs(np.array(batches) - encoded.shards.steps / items.batches_per_epoch).max() <= 12


def test_items_are_the_same_in_any_order_and_from_any_start(encoded):
    """A run that goes on in the middle of an epoch, and each of several processes, has the items of the whole run."""
    items = streamed(encoded)
    items.set_epoch(5)
    expected = [items[index] for index in range(len(items))]
    for indices in (range(len(items) // 2, len(items)), range(0, len(items), 2), range(len(items) - 1, -1, -7)):
        other = streamed(encoded)
        other.set_epoch(5)
        for index in indices:
            item = other[index]
            assert item.keys() == expected[index].keys()
            for name, values in item.items():
                assert torch.equal(torch.as_tensor(values), torch.as_tensor(expected[index][name])), name


@settings(max_examples=3, deadline=None)
@given(
    processes=st.lists(st.integers(1, 4), min_size=2, max_size=2),
    micro_batches=st.lists(st.integers(1, 2), min_size=2, max_size=2),
    stopped=st.floats(0, 1),
)
def test_an_epoch_is_exact_over_processes_and_goes_on_with_another_number_of_them(
    encoded, processes, micro_batches, stopped
):
    """Each process takes the items that accelerate hands it, and skips those of the updates that are done."""
    seen: list[int] = []
    for run, (ranks, accumulated) in enumerate(zip(processes, micro_batches, strict=True)):
        items = [streamed(encoded, micro_batches_per_batch=ranks * accumulated) for _ in range(ranks)]
        done = round(stopped * items[0].batches_per_epoch)
        updates = range(done) if run == 0 else range(done, items[0].batches_per_epoch)
        for rank in range(ranks):
            whole = BatchSampler(SequentialSampler(range(len(items[0]))), batch_size=1, drop_last=False)
            own = [index for [index] in BatchSamplerShard(whole, num_processes=ranks, process_index=rank)]
            for update in updates:
                for index in own[update * accumulated : (update + 1) * accumulated]:
                    assert index // (ranks * accumulated) == update
                    seen += people_of(items[rank], index)
    assert sorted(seen) == list(range(1, PEOPLE + 1))


def test_careers_are_shuffled_over_files_and_within_the_buffer(encoded):
    items = streamed(encoded, tokens_per_batch=300)
    of_first_batch = [person // 7 for index in range(4) for person in people_of(items, index)]
    assert len(set(of_first_batch)) > 3 and np.ptp(of_first_batch) > 20


@settings(max_examples=6, deadline=None)
@given(tokens=st.integers(60, 3_000), parts=st.integers(1, 3), buffer=st.integers(1, 3_000), seed=st.integers(0, 99))
def test_any_budget_gives_exact_epochs(encoded, tokens, parts, buffer, seed):
    items = streamed(encoded, tokens_per_batch=tokens, micro_batches_per_batch=parts, buffer_steps=buffer, seed=seed)
    in_memory = MicroBatches(encoded.read(encoded.shards.groups), FlatteningCollator(), tokens, parts)
    assert len(items) == len(in_memory)
    seen = [person for index in range(len(items)) for person in people_of(items, index)]
    assert sorted(seen) == list(range(1, PEOPLE + 1))


def test_files_that_are_no_careers_or_have_changed_are_refused(tmp_path, shards):
    with pytest.raises(ValueError, match="has no Parquet files"):
        CareerShards(tmp_path)
    with pytest.raises(ValueError, match="has Parquet files already"):
        save_shards(some_careers(3), shards.groups[0].path.rsplit("/", 1)[0])
    save_shards(some_careers(3), tmp_path)
    save_shards(some_careers(3, weight=False), tmp_path / "other")
    with pytest.raises(ValueError, match="has other columns than"):
        CareerShards([tmp_path / "00000.parquet", tmp_path / "other" / "00000.parquet"])
    opened = CareerShards(tmp_path)
    encoded = CareerProcessor.fit(opened, []).encode(opened)[0]
    (tmp_path / "00000.parquet").unlink()
    save_shards(some_careers(2), tmp_path)
    with pytest.raises(ValueError, match="they were changed while they were read"):
        encoded.read(opened.groups)
    (tmp_path / "00000.parquet").write_bytes(b"no table")
    with pytest.raises(ValueError, match="cannot be read as a Parquet file"):
        CareerShards(tmp_path)


def test_text_of_more_than_2_gib_is_validated_learnt_and_encoded():
    """One chunk of 64 MiB of labels 36 times: more text than one Arrow array holds, and little memory."""
    label, years = "cook" * (1 << 18), 64
    chunk = pa.ListArray.from_arrays(pa.array([0, years], pa.int32()), pa.array([label] * years))
    year = pa.ListArray.from_arrays(pa.array([0, years], pa.int32()), pa.array(range(1900, 1900 + years)))
    table = pa.table(
        {
            "person": pa.array([f"p{i}" for i in range(36)]),
            "year": pa.chunked_array([year] * 36),
            "occupation": pa.chunked_array([chunk] * 36),
        }
    )
    assert table.nbytes > 2**31
    careers = datasets.Dataset(table, fingerprint="large")
    assert max(piece.nbytes for piece in career_pieces(careers)) <= PIECE_BYTES
    processor = CareerProcessor.fit(careers)
    assert processor.occupations[2:] == [label]
    encoded, _ = processor.encode(careers)
    assert encoded.num_rows == 36 and encoded[35]["labels"] == [2] * years
