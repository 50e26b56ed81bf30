"""Attention over careers laid end to end, for CPUs: one call per career length, and no padding at all.

`model.set_attn_implementation("sdpa_by_length")` selects it. It takes the inputs of variable-length flash attention
(`[1, N]` with `cu_seq_lens_q`) and is fastest if careers of one length are adjacent, as in `MicroBatches`. Without
`cu_seq_lens_q` it is Transformers' sdpa.
"""

from __future__ import annotations

from itertools import groupby

import torch
from torch.nn import functional as F
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
    """Causal attention within each career.

    Args:
        module: The attention layer.
        query, key, value: `(1, heads, N, head size)`, with careers end to end.
        attention_mask: Mask that is used only without `cu_seq_lens_q`.
        dropout: Dropout of the attention weights.
        scaling: Factor of the attention scores; one over the root of the head size if None.
        cu_seq_lens_q: `(careers + 1,)`: the steps at which careers begin, and the number of steps.

    Returns:
        `(1, N, heads, head size)`, and no attention weights.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    # Attention is written out, because sdpa's CPU path for dropout is slower. It is in float32 also under bfloat16
    # autocast, where every new (careers, length) would compile a kernel. `split` is faster than slices in backward.
    runs = [(length, sum(1 for _ in run)) for length, run in groupby(cu_seq_lens_q.diff().tolist())]
    heads, head_size = query.shape[1], query.shape[3]
    scaling = head_size**-0.5 if scaling is None else scaling
    dtype = torch.promote_types(query.dtype, torch.float32)
    steps = [careers * length for length, careers in runs]
    parts = zip(*(states[0].to(dtype).split(steps, dim=1) for states in (query, key, value)), strict=True)
    attended = []
    with torch.autocast(query.device.type, enabled=False):
        for (length, careers), qkv in zip(runs, parts, strict=True):
            q, k, v = (states.reshape(heads * careers, length, head_size) for states in qkv)
            future = q.new_full((length, length), -torch.inf).triu(1)
            scores = torch.baddbmm(future.expand(heads * careers, -1, -1), q, k.transpose(1, 2), alpha=scaling)
            weights = F.dropout(scores.softmax(-1), dropout)
            attended.append(torch.bmm(weights, v).view(heads, careers * length, head_size))
    return torch.cat(attended, dim=1).to(query.dtype).transpose(0, 1).unsqueeze(0), None


AttentionInterface.register(SDPA_BY_LENGTH, sdpa_by_length_forward)
AttentionMaskInterface.register(SDPA_BY_LENGTH, sdpa_mask)
