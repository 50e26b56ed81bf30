"""The position embedding of CAREER: sinusoids, which are neither stored nor learned (Vaswani et al., 2017)."""

import math

import torch


def sinusoidal_positions(position_ids: torch.Tensor, hidden_size: int) -> torch.Tensor:
    """The fixed position embedding e_t(t) of Eq. 12, `(..., hidden)` in float32: sines, then cosines."""
    half = hidden_size // 2
    # A half size of one has a single frequency; the table divides by the number of steps between frequencies.
    frequencies = torch.exp(
        torch.arange(half, dtype=torch.float32, device=position_ids.device) * (-math.log(10_000) / max(half - 1, 1))
    )
    # The original counts from 2, as its padding index is 1.
    angles = (position_ids + 2).unsqueeze(-1).float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


__all__ = ["sinusoidal_positions"]
