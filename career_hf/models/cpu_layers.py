"""Linear layers and dropout that do what PyTorch's do, faster on CPUs.

Matrix products in float32 are MKL's by default, which takes a slower path on CPUs that are not Intel's. oneDNN, which
also comes with PyTorch, is up to twice as fast there and as accurate. A few products at first use tell which of the
two is faster on this machine, separately for the three products of a layer (output, gradient of the input, gradient of
the weight), and nothing is set for anybody else.

PyTorch draws a dropout mask one number at a time. Here four decisions share a word of 64 bits from NumPy's SFC64,
whose seed comes from PyTorch's generator, so that `torch.manual_seed` and checkpoints determine masks as ever.

Everything else, such as other devices, types and compiled or exported graphs, is PyTorch's own, and so is everything
if the environment variable `CAREER_HF_CPU_LAYERS` is 0.
"""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers.utils import logging
from transformers.utils.import_utils import is_tracing


logger = logging.get_logger(__name__)

ENABLED = os.environ.get("CAREER_HF_CPU_LAYERS", "1") != "0"

# Decisions of dropout are made by 16 bits, so that a probability is exact to 1/131,072.
LEVELS = 1 << 16
# Rows below which a product is too small to gain.
FEWEST_ROWS = 256
# oneDNN must be so many times as fast as MKL, so that noise does not decide, and its results as close as this.
CLEARLY_FASTER, CLOSE = 1.25, 1e-5


def _ordinary(x: torch.Tensor) -> bool:
    """Whether x is a tensor of numbers on the CPU that nothing traces, transforms or watches."""
    return (
        ENABLED
        and x.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._are_functorch_transforms_active()
        and not is_tracing(x)
    )


def _onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


# The products of a layer with x (rows, in), weight (out, in) and gradient g (rows, out), by MKL and by oneDNN.
PRODUCTS: dict[str, tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]] = {
    "output": (lambda x, weight, g: F.linear(x, weight), lambda x, weight, g: _onednn(x, weight)),
    "input": (lambda x, weight, g: g @ weight, lambda x, weight, g: _onednn(g, weight.t())),
    "weight": (lambda x, weight, g: g.t() @ x, lambda x, weight, g: _onednn(g.t(), x.t())),
}


@functools.cache
def faster_products() -> frozenset[str]:
    """The products of `PRODUCTS` that oneDNN computes clearly faster here, and as well: a measurement of 20 ms."""
    if not ENABLED or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return frozenset()
    generator = torch.Generator().manual_seed(0)
    shapes = ((512, 192), (384, 192), (512, 384))
    x, weight, g = (torch.randn(shape, generator=generator) for shape in shapes)
    faster = set()
    with torch.no_grad():
        for name, programs in PRODUCTS.items():
            mkl, onednn = (program(x, weight, g) for program in programs)
            if not (mkl - onednn).norm() <= CLOSE * mkl.norm():
                continue
            seconds: list[float] = [math.inf, math.inf]
            for _ in range(5):
                for i, program in enumerate(programs):
                    start = time.perf_counter()
                    program(x, weight, g)
                    seconds[i] = min(seconds[i], time.perf_counter() - start)
            if seconds[1] * CLEARLY_FASTER < seconds[0]:
                faster.add(name)
    logger.info(f"matrix products that oneDNN computes: {', '.join(sorted(faster)) or 'none'}")
    return frozenset(faster)


class _Products(torch.autograd.Function):
    """A linear layer whose products are each computed by the faster library."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias) if "output" in faster_products() else F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        # With a graph of the backward pass, for second derivatives, all products are PyTorch's.
        faster = frozenset() if torch.is_grad_enabled() else faster_products()
        rows, x_rows = g.flatten(0, -2), x.flatten(0, -2)
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            PRODUCTS["input"]["input" in faster](x_rows, weight, rows).view(x.shape) if of_x else None,
            PRODUCTS["weight"]["weight" in faster](x_rows, weight, rows) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


class Linear(nn.Linear):
    """A linear layer as `torch.nn.Linear`, with the faster products of this machine."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if (
            input.dtype == self.weight.dtype == torch.float32
            and _ordinary(input)
            and not torch.is_autocast_enabled("cpu")
            and input.numel() >= FEWEST_ROWS * self.in_features
            and faster_products()
        ):
            return _Products.apply(input, self.weight, self.bias)
        return super().forward(input)


def kept(shape: Sequence[int], probability: float, like: torch.Tensor) -> torch.Tensor:
    """Factors of dropout: 0 with the probability, and otherwise what keeps the mean.

    Args:
        shape: Shape of the result.
        probability: Probability of 0, from 0 to 1; it is rounded to 16 bits.
        like: A tensor of the type and device of the result.
    """
    if not 0 < probability < 1 or not _ordinary(like):
        return F.dropout(like.new_ones(shape), probability)
    count, dropped = math.prod(shape), round(probability * LEVELS)
    seed = int(torch.empty(1, dtype=torch.int64).random_())
    bits = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.uint16)[:count]
    # Bytes are faster to convert than truth values.
    factors = torch.from_numpy((bits >= dropped).view(np.uint8)).to(like.dtype)
    return factors.mul_(LEVELS / (LEVELS - dropped)).view(tuple(shape))


class Dropout(nn.Dropout):
    """Dropout as `torch.nn.Dropout`, with masks that are drawn faster."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or not 0 < self.p < 1 or not _ordinary(input):
            return super().forward(input)
        return input * kept(input.shape, self.p, input)


__all__ = ["Dropout", "Linear", "faster_products", "kept"]
