"""The steps of careers, and the position embedding of CAREER: sinusoids, which are neither stored nor learned (Vaswani
et al., 2017)."""

import math

import torch
from transformers.utils.import_utils import is_tracing


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


def count_steps(inputs: torch.Tensor, attention_mask: torch.Tensor | None, past: int) -> torch.Tensor:
    """Positions of the steps of one career per row, counted from its first step.

    Args:
        inputs: `(batch, time, ...)`, the ids or embeddings of the steps.
        attention_mask: `(batch, past + time)`, 0 at padding, which is not counted; or a mask of another form, or None.
        past: Number of steps in the cache.

    Returns:
        `(batch, time)`, or `(1, time)` where all rows have the same positions.

    Raises:
        ValueError: The mask has another length.
    """
    batch, time = inputs.shape[:2]
    if attention_mask is None or attention_mask.dim() != 2:
        return (torch.arange(time, device=inputs.device) + past).unsqueeze(0)
    if attention_mask.shape != (batch, past + time):
        raise ValueError(
            f"attention_mask has shape {tuple(attention_mask.shape)}, expected {(batch, past + time)}: a column for "
            "each step, those in the cache included"
        )
    steps = attention_mask.to(inputs.device, torch.long).cumsum(-1) - 1
    return steps[:, -time:].clamp(min=0)


def restarts(position_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> bool:
    """Whether a row has several careers, because positions restart between two of its steps.

    Padding may have any positions. Where a graph is traced the answer is no.

    Args:
        position_ids: `(batch, time)` or `(1, time)`.
        attention_mask: `(batch, past + time)`, 0 at padding; or a mask of another form, or None.
    """
    between = position_ids.diff(dim=-1) != 1
    if attention_mask is not None and attention_mask.dim() == 2:
        steps = attention_mask[:, -position_ids.shape[1] :].bool()
        between = between & steps[:, 1:] & steps[:, :-1]
    return has_values(between) and bool(between.any())


def padding_on_the_left(attention_mask: torch.Tensor | None) -> torch.Tensor | None:
    """`(batch,)`, numbers of padded steps before careers; None if there are none, or where a graph is traced."""
    if attention_mask is None or attention_mask.dim() != 2 or not has_values(attention_mask):
        return None
    padding = (attention_mask.cumsum(-1) == 0).sum(-1)
    return padding if padding.any() else None


def move_left(values: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Rows of `(batch, time, ...)` moved to the left by numbers of steps; what leaves there enters on the right."""
    time = values.shape[1]
    places = (torch.arange(time, device=values.device) + steps.to(values.device).unsqueeze(-1)) % time
    return values[torch.arange(len(values), device=values.device).unsqueeze(-1), places]


def has_values(tensor: torch.Tensor) -> bool:
    """Whether the values of a tensor can be looked at: not on the meta device, nor where a graph is traced."""
    return not (tensor.is_meta or is_tracing(tensor))


__all__ = ["count_steps", "has_values", "move_left", "padding_on_the_left", "restarts", "sinusoidal_positions"]
