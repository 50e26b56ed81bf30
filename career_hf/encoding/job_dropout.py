"""Job dropout: hiding earlier occupations from attention, so that a model learns to predict from part of a history.

Appendix G of the paper ("Rationalization"), after Vafa et al. (2021); the original's `--word-dropout-mixture`. Greedy
rationales (`explaining/rationales.py`) ask a model what it predicts from a few steps of a career, and a model that was
trained on whole careers alone has never been asked that. With probability one half a random number of steps is hidden:
their occupation, and the covariates that are added to it, are invisible to every later step. A hidden step still
predicts, from itself and the visible steps before it, so the latest occupation is always seen.

`scratch_recipe(..., job_dropout=0.5)` and the other recipes train with it (`JobDropoutMicroBatches`) and validate on
whole careers. Any other Trainer can use `data_collator=JobDropoutCollator()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch

from .collating import Batch, FlatCareers, PaddingCollator
from .micro_batches import MicroBatches


# Whether the dropped steps are drawn for each person, or once for the batch.
JobDropoutUnit = Literal["person", "batch"]


def job_dropout_mask(kept: torch.Tensor, dtype: torch.dtype = torch.float32, hidden: float = -1e4) -> torch.Tensor:
    """A 4-D attention mask under which each step sees itself and the kept steps before it.

    Args:
        kept: `(batch, time)` or `(time,)` booleans, True where the input of that step may be seen by later steps.
        dtype: Dtype of the mask, that of the attention weights.
        hidden: What is added to the attention score of a hidden earlier step. The original adds -1e4.

    Returns:
        `(batch, 1, time, time)` additive mask, `finfo.min` for steps that lie ahead. Pass it as `attention_mask` with
        sdpa or eager attention.
    """
    kept = kept.bool().reshape(-1, kept.shape[-1])
    time = kept.shape[-1]
    visible = kept[:, None, :] | torch.eye(time, dtype=torch.bool, device=kept.device)
    mask = torch.zeros(visible.shape, dtype=dtype, device=kept.device).masked_fill(~visible, hidden)
    ahead = torch.ones(time, time, dtype=torch.bool, device=kept.device).triu(1)
    return mask.masked_fill(ahead, torch.finfo(dtype).min).unsqueeze(1)


def draw_kept_steps(
    lengths: torch.Tensor,
    probability: float = 0.5,
    per: JobDropoutUnit = "person",
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draws which steps are kept: with `probability` a uniformly random number of them, at random places, else all.

    Args:
        lengths: `(people,)`, steps of each career.
        probability: Probability that anything is dropped; one draw for each person, or for the batch.
        per: "person" draws for every career by itself, from 0 to all of its steps. "batch" draws the same places for
            all, as the original program does, out of the longest career's steps and one more (its slot for the end of
            a career, which nothing sees), so that a short career may lose everything or nothing.
        generator: Generator of random numbers; torch's global one if None.

    Returns:
        `(people, longest)` booleans. The first place is the beginning of the career, which can be dropped as well.
    """
    people, longest = len(lengths), int(lengths.max())
    if per == "batch":
        lengths = lengths.new_tensor([longest + 1])
    width = int(lengths.max())
    key = torch.rand(len(lengths), width, generator=generator)
    key = key.masked_fill(torch.arange(width) >= lengths[:, None], 2.0)
    number = (torch.rand(len(lengths), generator=generator) * (lengths + 1)).long()  # uniform on 0, ..., length
    kept = key.argsort(dim=1).argsort(dim=1) < number[:, None]
    kept = kept | (torch.rand(len(lengths), 1, generator=generator) >= probability)
    return kept[:, :longest].expand(people, -1)


class JobDropoutCollator:
    """Padded training batches with job dropout: the batch of another collator and an `attention_mask`.

    Args:
        collator: Makes the padded batch, one career per row.
        probability: Probability that anything is dropped, as in `draw_kept_steps`; the paper's is 0.5.
        per: Whether steps are drawn for each "person" or once for the "batch", as in `draw_kept_steps`.

    Raises:
        ValueError: If the probability is not between 0 and 1, or `per` is neither "person" nor "batch".
    """

    def __init__(
        self, collator: PaddingCollator | None = None, probability: float = 0.5, per: JobDropoutUnit = "person"
    ):
        if not 0 <= probability <= 1:
            raise ValueError(f"job dropout has probability {probability}, which is not between 0 and 1")
        if per not in ("person", "batch"):
            raise ValueError(f"job dropout is drawn per 'person' or per 'batch', not per {per!r}")
        self.collator, self.probability, self.per = collator or PaddingCollator(), probability, per

    def __call__(
        self, careers: FlatCareers | Sequence[Mapping[str, Any]], generator: torch.Generator | None = None
    ) -> Batch:
        if not isinstance(careers, FlatCareers):
            careers = FlatCareers.from_rows(careers)
        kept = draw_kept_steps(torch.from_numpy(careers.lengths), self.probability, self.per, generator)
        return self.collator(careers) | {"attention_mask": job_dropout_mask(kept)}


class JobDropoutMicroBatches(MicroBatches):
    """Micro-batches whose collator is a `JobDropoutCollator`.

    The dropped steps are a function of (seed, epoch, index) too, so that a resumed run drops what it would have
    dropped without the interruption; torch's global generator would not do, because data loaders read ahead.
    """

    def __getitem__(self, index: int) -> Batch:
        seed = np.random.SeedSequence([self.seed, self.epoch, index]).generate_state(1)
        generator = torch.Generator().manual_seed(int(seed[0]))
        collator: Any = self.collator
        return collator(self.careers.gather(self.people(index)), generator)


__all__ = ["JobDropoutCollator", "JobDropoutMicroBatches", "draw_kept_steps", "job_dropout_mask"]
