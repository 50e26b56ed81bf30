"""Attention over careers laid end to end, for CPUs: one call per career length, and no padding at all.

`model.set_attn_implementation("sdpa_by_length")` selects it. It takes the inputs of variable-length flash attention
(`[1, N]` with `cu_seq_lens_q`) and is fastest when careers of one length lie beside each other, as
`MicroBatches` makes them. Without `cu_seq_lens_q` it is Transformers' sdpa.
"""

from __future__ import annotations

from itertools import groupby

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask


SDPA_BY_LENGTH = "sdpa_by_length"


def sdpa_by_length_forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each career; query, key and value are `(1, heads, N, head size)`."""
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    attended, start = [], 0
    for length, run in groupby(cu_seq_lens_q.diff().tolist()):
        careers = sum(1 for _ in run)
        stop = start + careers * length
        # (heads, careers, length, head size): a view, because careers of one length are contiguous.
        q, k, v = (states[0, :, start:stop].unflatten(1, (careers, length)) for states in (query, key, value))
        run_output = scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling, is_causal=True)
        attended.append(run_output.flatten(1, 2))
        start = stop
    return torch.cat(attended, dim=1).transpose(0, 1).unsqueeze(0), None


AttentionInterface.register(SDPA_BY_LENGTH, sdpa_by_length_forward)
AttentionMaskInterface.register(SDPA_BY_LENGTH, sdpa_mask)
