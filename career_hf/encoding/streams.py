"""Training from files of careers that memory does not hold: exact epochs of micro-batches, shuffled within a buffer.

The stock Trainer reads items of a dataset in order, and jumps to the item at which a run was interrupted. So the
stream is a dataset with a length, whose items are the micro-batches of an epoch: how many there are, and in which
files each of them is, follows from the files' footers. Nothing is skipped by reading it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from ..careers.ledger import Ledger
from ..careers.shards import CareerShards, RowGroup
from .collating import Batch, EncodedCareers, FlatCareers
from .micro_batches import ItemsOfEpochs, cut_evenly


class EncodedShards:
    """Careers in files, encoded part by part whenever they are gone through; `CareerProcessor.encode` makes them.

    Args:
        shards: The careers.
        encode: A function that encodes some of them and returns them and a ledger.
        column_names: The columns of encoded careers.
        counts: A training stage with the counts of all parts, as `training_history.count_stage` returns it.
        fingerprint: A hash of all encoded careers.
    """

    def __init__(
        self,
        shards: CareerShards,
        encode: Callable[[Dataset], tuple[Dataset, Ledger]],
        column_names: Sequence[str],
        counts: Mapping[str, Any],
        fingerprint: str,
    ):
        self.shards, self._encode, self.column_names = shards, encode, list(column_names)
        self.counts, self.fingerprint = counts, fingerprint

    def __len__(self) -> int:
        return len(self.shards)

    def __iter__(self) -> Iterator[Dataset]:
        for part in self.shards:
            yield self._encode(part)[0]

    def read(self, groups: Sequence[RowGroup]) -> EncodedCareers:
        """The encoded careers of some row groups.

        Raises:
            ValueError: The files have changed since they were opened.
        """
        encoded = EncodedCareers(self._encode(self.shards.read(groups))[0])
        expected = sum(group.steps for group in groups)
        if int(encoded.lengths.sum()) != expected:
            raise ValueError(
                f"{groups[0].path} and the files after it have {encoded.lengths.sum()} person-years where their "
                f"footers had {expected}: they were changed while they were read, so start again"
            )
        return encoded


@dataclass(frozen=True)
class _Block:
    """Careers of an epoch that are in memory at once, in the order in which the epoch has them.

    Args:
        careers: Encoded careers.
        order: `(careers,)`, their rows in the order of the epoch.
        cuts: For the batches that begin in this block, the place of their first career in `order`.
    """

    careers: EncodedCareers
    order: np.ndarray
    cuts: Mapping[int, int]

    def of_batch(self, batch: int) -> FlatCareers:
        return self.careers.gather(self.order[self.cuts.get(batch, 0) : self.cuts.get(batch + 1, len(self.order))])


class StreamedMicroBatches(ItemsOfEpochs):
    """Micro-batches of careers in files, as `MicroBatches` makes them of careers in memory.

    An epoch shuffles the row groups of all files, reads as many of them at a time as the buffer holds, and shuffles
    the careers in the buffer. Everybody is in exactly one item of an epoch. The items of an epoch are the same for any
    number of processes, each of which makes its own; every item is a function of (seed, epoch, index) alone, and items
    that are asked for in order are fast.

    Memory has at most two buffers at a time, because a batch may begin in one and end in the next.

    Args:
        encoded: What `CareerProcessor.encode` returns for `CareerShards`.
        collator, tokens_per_batch, micro_batches_per_batch, seed, covariate_dropout: As in `MicroBatches`.
        buffer_steps: Number of person-years within which careers are shuffled, about 100 bytes each in memory. A row
            group that is larger is a buffer by itself.

    Raises:
        ValueError: There are too few people to put one into every micro-batch.
    """

    def __init__(
        self,
        encoded: EncodedShards,
        collator: Callable[[FlatCareers], Batch],
        tokens_per_batch: int = 16_000,
        micro_batches_per_batch: int = 1,
        seed: int = 42,
        buffer_steps: int = 500_000,
        covariate_dropout: float = 0.0,
    ):
        self.encoded, self.buffer_steps, self.steps = encoded, buffer_steps, encoded.shards.steps
        batches = max(1, -(-self.steps // tokens_per_batch))
        super().__init__(collator, batches, micro_batches_per_batch, seed, covariate_dropout)
        self._refuse_if_fewer(len(encoded), self.batches_per_epoch * micro_batches_per_batch)
        self._planned_epoch = self._batch_index = -1

    def _refuse_if_fewer(self, people: int, needed: int) -> None:
        if people < needed:
            raise ValueError(
                f"{people} people cannot fill {needed} micro-batches with at least one person each; lower "
                "gradient_accumulation_steps or the number of processes, or raise tokens_per_batch"
            )

    def __getitem__(self, index: int) -> Batch:
        return self.collator(self.careers(index))

    def careers(self, index: int) -> FlatCareers:
        """The careers of item `index` of this epoch, shortest first."""
        if not 0 <= index < len(self):
            raise IndexError(f"micro-batch {index} of {len(self)}")
        if self.epoch != self._planned_epoch:
            self._plan(self.epoch)
        batch, part = divmod(index, self.micro_batches_per_batch)
        if batch != self._batch_index:
            self._batch = self._read_batch(batch)
            self._refuse_if_fewer(len(self._batch.lengths), self.micro_batches_per_batch)
            self._ends = cut_evenly(self._batch.lengths, self.micro_batches_per_batch)
            self._batch_index = batch
        careers = self._batch.select(np.arange(self._ends[part], self._ends[part + 1]))
        return self._without_dropped_covariates(careers, index)

    def _plan(self, epoch: int) -> None:
        """Puts the row groups of an epoch in order and cuts them into blocks that fit into the buffer."""
        groups = self.encoded.shards.groups
        shuffled = [groups[i] for i in np.random.default_rng([self.seed, epoch]).permutation(len(groups))]
        blocks: list[list[RowGroup]] = []
        filled = 0
        for group in shuffled:
            if not blocks or filled + group.steps > self.buffer_steps:
                blocks.append([])
                filled = 0
            blocks[-1].append(group)
            filled += group.steps
        self._planned_epoch, self._batch_index = epoch, -1
        self._blocks = blocks
        self._block_ends = np.cumsum([sum(group.steps for group in block) for block in blocks])
        self._in_memory: dict[int, _Block] = {}

    def _block_of(self, batch: int) -> int:
        """The number of the block in which a batch begins."""
        return int(np.searchsorted(self._block_ends, batch * self.steps / self.batches_per_epoch))

    def _read_batch(self, batch: int) -> FlatCareers:
        last = min(self._block_of(batch + 1), len(self._blocks) - 1)
        needed = range(self._block_of(batch), last + 1)
        self._in_memory = {number: block for number, block in self._in_memory.items() if number in needed}
        for number in needed:
            if number not in self._in_memory:
                self._in_memory[number] = self._read_block(number)
        careers = FlatCareers.joined([self._in_memory[number].of_batch(batch) for number in needed])
        return careers.select(np.argsort(careers.lengths, kind="stable"))

    def _read_block(self, number: int) -> _Block:
        careers = self.encoded.read(self._blocks[number])
        order = np.random.default_rng([self.seed, self._planned_epoch, number]).permutation(len(careers))
        lengths = careers.lengths[order]
        end = int(self._block_ends[number])
        ends = end - int(lengths.sum()) + lengths.cumsum()
        cuts = {}
        first = int(np.ceil((end - int(lengths.sum())) * self.batches_per_epoch / self.steps))
        for batch in range(max(first - 1, 1), self.batches_per_epoch):
            ideal = batch * self.steps / self.batches_per_epoch
            if self._block_of(batch) > number:
                break
            if self._block_of(batch) == number:
                # Before or after the career that the ideal place falls into, whichever is nearer.
                inside = int(np.searchsorted(ends, ideal))
                cuts[batch] = inside + int(2 * ideal > 2 * ends[inside] - lengths[inside])
        return _Block(careers, order, cuts)


__all__ = ["EncodedShards", "StreamedMicroBatches"]
