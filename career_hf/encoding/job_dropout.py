"""Job dropout: hiding earlier occupations from attention, so that a model learns to predict from part of a history.

Job dropout is described in Appendix G of the paper ("Rationalization"), after Vafa et al. (2021), and is the
original's `--word-dropout-mixture`. Greedy rationales (`explaining/rationales.py`) need predictions from a few steps
of a career, which a model that was trained on whole careers never made. With probability one half a random number of
steps is hidden: their occupation, and the covariates that are added to it, are invisible to every later step. A hidden
step still predicts, from itself and the visible steps before it, so the latest occupation is always seen.

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


def job_dropout_mask(
    kept_steps: torch.Tensor, dtype: torch.dtype = torch.float32, hidden: float = -1e4
) -> torch.Tensor:
    """A 4-D attention mask under which each step sees itself and the kept steps before it.

    Args:
        kept_steps: `(batch, time)` or `(time,)` booleans, True where later steps may see the input of the step.
        dtype: Dtype of the mask, which is that of the attention weights.
        hidden: Number that is added to the attention score of a hidden earlier step; -1e4 in the original.

    Returns:
        `(batch, 1, time, time)` additive mask, `finfo.min` for later steps. Pass it as `attention_mask` with sdpa or
        eager attention.
    """
    time, device = kept_steps.shape[-1], kept_steps.device
    kept_steps = kept_steps.bool().reshape(-1, time)
    visible = kept_steps[:, None, :] | torch.eye(time, dtype=torch.bool, device=device)
    mask = torch.zeros(visible.shape, dtype=dtype, device=device).masked_fill(~visible, hidden)
    ahead = torch.ones(time, time, dtype=torch.bool, device=device).triu(1)
    return mask.masked_fill(ahead, torch.finfo(dtype).min).unsqueeze(1)


def draw_kept_steps(
    lengths: torch.Tensor,
    probability: float = 0.5,
    per: JobDropoutUnit = "person",
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Draws the steps to keep: with `probability` a uniformly random number at random places, otherwise all steps.

    Args:
        lengths: `(people,)`: number of steps of each career.
        probability: Probability that any step is dropped, drawn for each person or once for the batch.
        per: "person" draws for every career separately, from 0 to all of its steps. "batch" draws the same places for
            all careers, as the original program does, from the steps of the longest career and one more (its slot for
            the end of a career, which nothing sees), so that a short career may lose all steps or none.
        generator: Generator of random numbers; torch's global generator if None.

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
    kept_steps = key.argsort(dim=1).argsort(dim=1) < number[:, None]
    kept_steps = kept_steps | (torch.rand(len(lengths), 1, generator=generator) >= probability)
    return kept_steps[:, :longest].expand(people, -1)


class JobDropoutCollator:
    """Padded training batches with job dropout: the batch of another collator and an `attention_mask`.

    Args:
        collator: Collator that makes the padded batch, one career per row.
        probability: Probability that any step is dropped, as in `draw_kept_steps`; the paper's is 0.5.
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
        kept_steps = draw_kept_steps(torch.from_numpy(careers.lengths), self.probability, self.per, generator)
        return self.collator(careers) | {"attention_mask": job_dropout_mask(kept_steps)}


class JobDropoutMicroBatches(MicroBatches):
    """Micro-batches whose collator is a `JobDropoutCollator`.

    The dropped steps are a function of (seed, epoch, index), so that a resumed run drops the same steps as a run
    without interruption. Torch's global generator would not do this, because data loaders read ahead.
    """

    def __getitem__(self, index: int) -> Batch:
        seed = np.random.SeedSequence([self.seed, self.epoch, index]).generate_state(1)
        generator = torch.Generator().manual_seed(int(seed[0]))
        collator: Any = self.collator
        return collator(self.gather(index), generator)


__all__ = ["JobDropoutCollator", "JobDropoutMicroBatches", "draw_kept_steps", "job_dropout_mask"]
