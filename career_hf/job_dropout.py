"""Job dropout: hiding earlier occupations from attention, so that a model learns to predict from part of a history.

Appendix G of the paper ("Rationalization"), after Vafa et al. (2021); the original's `--word-dropout-mixture`.
"""

from __future__ import annotations

import torch


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
