"""Attention over careers laid end to end, for CPUs: one call per career length, and no padding at all.

`model.set_attn_implementation("sdpa_by_length")` selects it. It takes the inputs of variable-length flash attention
(`[1, N]` with `cu_seq_lens_q`) and is fastest if careers of one length are adjacent, as in `MicroBatches`. Without
`cu_seq_lens_q` it is Transformers' sdpa.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .cpu_layers import kept


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
    runs = [(length, sum(1 for _ in run)) for length, run in groupby(cu_seq_lens_q.diff().tolist())]
    scaling = query.shape[3] ** -0.5 if scaling is None else scaling
    return _AttentionByLength.apply(query, key, value, runs, dropout, scaling), None


class _AttentionByLength(torch.autograd.Function):
    """Attention and its gradient written out, because sdpa's CPU path for dropout is slower, and so is the gradient of
    a graph with a branch for every length.

    It is in float32 also under bfloat16 autocast, where every new (careers, length) would compile a kernel.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        runs: list[tuple[int, int]],
        dropout: float,
        scaling: float,
    ) -> torch.Tensor:
        _, heads, steps, size = query.shape
        dtype = torch.promote_types(query.dtype, torch.float32)
        attended = query.new_empty(steps, heads, size)
        factors = None
        if dropout:
            pairs = heads * sum(careers * length**2 for length, careers in runs)
            factors = kept((pairs,), dropout, query.new_empty(0, dtype=dtype))
        saved, first, first_factor = [], 0, 0
        with torch.autocast(query.device.type, enabled=False):
            for length, careers in runs:
                last = first + careers * length
                q, k, v = (x[0, :, first:last].to(dtype).reshape(-1, length, size) for x in (query, key, value))
                future = q.new_full((length, length), -torch.inf).triu(1)
                weights = torch.baddbmm(future.expand(len(q), -1, -1), q, k.transpose(1, 2), alpha=scaling).softmax(-1)
                used = weights
                if factors is not None:
                    factor = factors[first_factor : first_factor + weights.numel()].view(weights.shape)
                    used, first_factor = weights * factor, first_factor + weights.numel()
                    saved.append(factor)
                attended[first:last].transpose(0, 1).copy_(torch.bmm(used, v).view(heads, -1, size))
                saved += [q, k, v, weights]
                first = last
        ctx.save_for_backward(*saved)
        ctx.runs, ctx.scaling, ctx.per_run = runs, scaling, 4 if factors is None else 5
        return attended.unsqueeze(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        _, steps, heads, size = gradient.shape
        gradients = gradient.new_empty(3, steps, heads, size)
        saved, first = iter(ctx.saved_tensors), 0
        with torch.autocast(gradient.device.type, enabled=False):
            for length, careers in ctx.runs:
                last = first + careers * length
                factor = next(saved) if ctx.per_run == 5 else None
                q, k, v, weights = (next(saved) for _ in range(4))
                of_attended = gradient[0, first:last].transpose(0, 1).to(q.dtype).reshape(-1, length, size)
                of_weights = torch.bmm(of_attended, v.transpose(1, 2))
                used = weights
                if factor is not None:
                    used = weights * factor
                    of_weights.mul_(factor)
                of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scaling)
                products = (of_scores, k), (of_scores.transpose(1, 2), q), (used.transpose(1, 2), of_attended)
                for of_state, (left, right) in zip(gradients, products, strict=True):
                    of_state[first:last].transpose(0, 1).copy_(torch.bmm(left, right).view(heads, -1, size))
                first = last
        return *(of_state.transpose(0, 1).unsqueeze(0) for of_state in gradients), None, None, None


AttentionInterface.register(SDPA_BY_LENGTH, sdpa_by_length_forward)
AttentionMaskInterface.register(SDPA_BY_LENGTH, sdpa_mask)
