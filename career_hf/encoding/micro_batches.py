"""Training batches for the stock Trainer: a dataset whose items are ready-made micro-batches.

The paper trains on batches of about 16,000 steps drawn at random. A batch sampler in Trainer has two problems:
micro-batches of one batch can be in different updates, and ragged batches are repeated across processes. So the items
of the training dataset are micro-batches, in exactly the order in which Trainer and accelerate consume them: with
`per_device_train_batch_size=1` and sequential sampling, item i goes to process i % processes, and
`gradient_accumulation_steps` of them per process make one update.

Each epoch shuffles the people and cuts them into the same number of batches of nearly equal size, so that everybody is
seen exactly once an epoch and the length of the dataset never changes. Within a batch people are sorted by length, so
that micro-batches have little padding. This does not change which people are in an update: batches stay random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import datasets
import numpy as np
import torch

from .collating import Batch, EncodedCareers, FlatCareers, PaddingCollator


class ItemsOfEpochs(torch.utils.data.Dataset):
    """What micro-batches of careers in memory and in files share: their epoch, their number, and dropped covariates.

    The epoch is in shared memory, where workers of a data loader that stay alive see it change.

    Args:
        collator, micro_batches_per_batch, seed, covariate_dropout: As in `MicroBatches`.
        batches_per_epoch: Number of updates of an epoch.

    Raises:
        ValueError: The probability is not between 0 and 1.
    """

    def __init__(
        self,
        collator: Callable[[FlatCareers], Batch],
        batches_per_epoch: int,
        micro_batches_per_batch: int,
        seed: int,
        covariate_dropout: float,
    ):
        if not 0 <= covariate_dropout <= 1:
            raise ValueError(f"covariate_dropout is {covariate_dropout!r}, which is not between 0 and 1")
        self.collator, self.seed, self.covariate_dropout = collator, seed, covariate_dropout
        self.batches_per_epoch, self.micro_batches_per_batch = batches_per_epoch, micro_batches_per_batch
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Shuffles people for this epoch. Trainer's data loader calls it."""
        self._epoch.fill_(epoch)

    @property
    def epoch(self) -> int:
        """The epoch whose order of people the items have."""
        return int(self._epoch)

    @property
    def batches_depend_on_micro_batches(self) -> bool:
        """Whether another number of micro-batches in a batch might change which people are in a batch."""
        return False

    def __len__(self) -> int:
        return self.batches_per_epoch * self.micro_batches_per_batch

    def _without_dropped_covariates(self, careers: FlatCareers, index: int) -> FlatCareers:
        """The careers of an item in which covariates, drawn for every career and covariate, are missing."""
        if not self.covariate_dropout or careers.covariates is None:
            return careers
        # Of (seed, epoch, index) alone, as everything is; the further number tells it from other draws.
        generator = np.random.default_rng([self.seed, self.epoch, index, 1])
        dropped = generator.random((len(careers.lengths), careers.covariates.shape[1])) < self.covariate_dropout
        missing = np.repeat(dropped, careers.lengths, axis=0)
        return replace(careers, covariates=np.where(missing, 0, careers.covariates))


class MicroBatches(ItemsOfEpochs):
    """Micro-batches of an encoded dataset, in the order in which stock Trainer consumes them.

    An epoch has B = ceil(all steps / `tokens_per_batch`) batches, each within one career of (all steps / B), and each
    is cut into `micro_batches_per_batch` items of nearly equal numbers of steps. Every item is a function of (seed,
    epoch, index) alone. Loading one takes well under a millisecond, so that `dataloader_num_workers` can stay 0.

    Args:
        encoded: What `CareerProcessor.encode` returns.
        collator: One of the collators of `career_hf.encoding.collating`, which determines the layout.
        tokens_per_batch: Number of steps (person-years) in one update, over all processes and without padding.
        micro_batches_per_batch: `gradient_accumulation_steps` times the number of processes.
        seed: Random seed for shuffling people, which the epoch changes.
        covariate_dropout: Probability that a covariate of a career is missing at all its steps, drawn for every career
            and covariate anew in each epoch, by which a model learns to predict without it.

    Raises:
        ValueError: If there are too few people to put one into every micro-batch, or the probability is not between 0
            and 1.

    Example:
        >>> import datasets
        >>> from career_hf.encoding.collating import FlatteningCollator
        >>> ids = [[1, 2, 2], [1, 3], [1], [1, 3, 3, 2]]
        >>> encoded = datasets.Dataset.from_dict({"input_ids": ids, "labels": ids})
        >>> micro_batches = MicroBatches(encoded, FlatteningCollator(), tokens_per_batch=5, micro_batches_per_batch=1)
        >>> [micro_batches[i]["labels"].numel() for i in range(len(micro_batches))]
        [5, 5]
    """

    def __init__(
        self,
        encoded: datasets.Dataset | EncodedCareers,
        collator: Callable[[FlatCareers], Batch],
        tokens_per_batch: int = 16_000,
        micro_batches_per_batch: int = 1,
        seed: int = 42,
        covariate_dropout: float = 0.0,
    ):
        self.careers = encoded if isinstance(encoded, EncodedCareers) else EncodedCareers(encoded)
        people, steps = len(self.careers), int(self.careers.lengths.sum())
        batches = max(1, -(-steps // tokens_per_batch))
        super().__init__(collator, batches, micro_batches_per_batch, seed, covariate_dropout)
        needed = self.batches_per_epoch * micro_batches_per_batch
        if people < needed:
            raise ValueError(
                f"{people} people cannot fill {self.batches_per_epoch} batches of {micro_batches_per_batch} "
                "micro-batches with at least one person each; lower gradient_accumulation_steps or the number of "
                f"processes, or raise tokens_per_batch (now {tokens_per_batch})"
            )
        self._ordered_epoch = -1

    @property
    def batches_depend_on_micro_batches(self) -> bool:
        lengths = self.careers.lengths
        # Batches are within one career of their mean, and only where one might have fewer people than micro-batches
        # are cuts moved.
        return lengths.sum() / self.batches_per_epoch < (self.micro_batches_per_batch + 1) * lengths.max()

    def people(self, index: int) -> np.ndarray:
        """Rows of the encoded dataset that make up item `index` of this epoch, shortest career first."""
        if not 0 <= index < len(self):
            raise IndexError(f"micro-batch {index} of {len(self)}")
        epoch = self.epoch
        if epoch != self._ordered_epoch:
            self._ordered_epoch, self._batch_index = epoch, -1
            self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.careers))
            self._batch_ends = cut_evenly(
                self.careers.lengths[self._order], self.batches_per_epoch, at_least=self.micro_batches_per_batch
            )
        batch_index, part = divmod(index, self.micro_batches_per_batch)
        if batch_index != self._batch_index:
            batch = self._order[self._batch_ends[batch_index] : self._batch_ends[batch_index + 1]]
            self._batch = batch[np.argsort(self.careers.lengths[batch], kind="stable")]
            self._ends = cut_evenly(self.careers.lengths[self._batch], self.micro_batches_per_batch)
            self._batch_index = batch_index
        return self._batch[self._ends[part] : self._ends[part + 1]]

    def gather(self, index: int) -> FlatCareers:
        """The careers of item `index` of this epoch, without the covariates that are dropped."""
        return self._without_dropped_covariates(self.careers.gather(self.people(index)), index)

    def __getitem__(self, index: int) -> Batch:
        return self.collator(self.gather(index))


def cut_evenly(lengths: np.ndarray, pieces: int, at_least: int = 1) -> np.ndarray:
    """Cuts a sequence of careers into pieces of nearly equal numbers of steps.

    Each cut is beside the career nearest to its ideal place, so a piece is within one career of the mean, unless a
    piece would then have fewer than `at_least` careers.

    Args:
        lengths: `(careers,)`: number of steps of each career.
        pieces: Number of pieces; `pieces * at_least` careers are needed.
        at_least: Number of careers in the smallest piece.

    Returns:
        `(pieces + 1,)`, bounds: piece i is `careers[bounds[i] : bounds[i + 1]]`.
    """
    ends = lengths.cumsum()
    ideal = ends[-1] * np.arange(1, pieces) / pieces
    # The boundary before or after the career that the ideal place falls into, whichever is nearer.
    inside = np.searchsorted(ends, ideal)
    cuts = inside + (2 * ideal > 2 * ends[inside] - lengths[inside])
    smallest = np.arange(1, pieces) * at_least
    cuts = np.maximum.accumulate(cuts - smallest).clip(min=0) + smallest
    cuts = np.minimum(cuts, len(lengths) - smallest[::-1])
    return np.concatenate([[0], cuts, [len(lengths)]])


class MicroBatchCollator:
    """The `data_collator` of Trainer, which returns a ready-made micro-batch, and pads ordinary rows for evaluation.

    Args:
        padding: Collator for ordinary rows.

    Raises:
        ValueError: If one step has several ready-made micro-batches.
    """

    def __init__(self, padding: PaddingCollator | None = None):
        self.padding = padding or PaddingCollator()

    def __call__(self, features: list[Any]) -> Batch:
        first = features[0]["input_ids"]
        if not (torch.is_tensor(first) and first.dim() == 2):
            return self.padding(features)
        if len(features) > 1:
            raise ValueError(
                f"{len(features)} ready-made micro-batches in one step: set per_device_train_batch_size=1, and use "
                "several GPUs through `accelerate launch`, one process each"
            )
        return features[0]


__all__ = ["MicroBatchCollator", "MicroBatches"]
