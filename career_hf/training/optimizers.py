"""AdamW and its learning rates: the original program's, and what keeps fine-tuning near the pretrained weights.

Three things keep what pretraining gave. Discriminative rates (Howard and Ruder 2018, arXiv:1801.06146) let the layers
near the input move more slowly than those near the output. L2-SP (Li, Grandvalet and Davoine 2018, arXiv:1802.01483)
decays weights towards where they started and not towards zero; it is decoupled from the gradient, as AdamW's decay is.
Frozen layers do not move at all. `docs/how_to/pretrained.md` says which of them helps, by the size of the survey.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import PreTrainedModel, SchedulerType, TrainingArguments, get_scheduler


WARMUP_START = 1e-7
# What keeps fine-tuning near the pretrained weights, with the values at which it does nothing.
KEEPING: Mapping[str, float] = {"layerwise_decay": 1.0, "l2_sp": 0.0, "frozen_layers": 0}

OptimizerAndScheduler = tuple[torch.optim.Optimizer, LRScheduler]


def adamw(
    model: PreTrainedModel,
    arguments: TrainingArguments,
    max_steps: int | None = None,
    *,
    layerwise_decay: float = 1.0,
    l2_sp: float = 0.0,
    frozen_layers: int = 0,
) -> OptimizerAndScheduler:
    """AdamW with decoupled weight decay on every parameter, biases and LayerNorms too.

    Args:
        model: The model, at the weights that `l2_sp` decays towards.
        arguments: Arguments with `learning_rate`, `warmup_steps`, `weight_decay`, Adam's constants and
            `lr_scheduler_type`: "inverse_sqrt" is `inverse_sqrt_rate`, as in the original program; other schedules are
            those of Transformers, and fall to zero, if they do, at `max_steps`. A `warmup_steps` below 1 is a share of
            all updates.
        max_steps: Number of updates, where the arguments give a number of epochs.
        layerwise_decay: Ratio of a layer's learning rate to that of the layer above; the output layer has the full
            rate, and the embeddings the lowest. At 1 all have the same.
        l2_sp: Strength of the decay towards the weights that the model has now, in the place of `weight_decay`: an
            update at rate r takes away the share r * l2_sp of a weight's distance from its start.
        frozen_layers: Number of layers, the lowest first, whose weights do not move. Embeddings do, since occupations
            and levels that are new to a model have to be learned.

    Raises:
        ValueError: A number is out of range, or there are not so many layers to freeze.
    """
    layers = getattr(model.config, "num_hidden_layers", 0)
    if not 0 < layerwise_decay <= 1:
        raise ValueError(f"layerwise_decay is {layerwise_decay!r}, and must be above 0 and at most 1")
    if not 0 <= l2_sp < math.inf:
        raise ValueError(f"l2_sp is {l2_sp!r}, and must be a finite number, 0 or above")
    if not (isinstance(frozen_layers, int) and 0 <= frozen_layers <= layers):
        raise ValueError(f"frozen_layers is {frozen_layers!r}, and must be a whole number up to {layers}, all layers")
    max_steps = arguments.max_steps if max_steps is None else max_steps
    groups: dict[int, list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        depth = _layers_above(name, layers)
        if 1 <= depth <= layers and layers - depth < frozen_layers:
            parameter.requires_grad_(False)
        if parameter.requires_grad:
            groups.setdefault(depth if layerwise_decay < 1 else 0, []).append(parameter)
    rate = arguments.learning_rate
    optimizer = torch.optim.AdamW(
        [{"params": groups[depth], "lr": rate * layerwise_decay**depth} for depth in sorted(groups)],
        lr=rate,
        betas=(arguments.adam_beta1, arguments.adam_beta2),
        eps=arguments.adam_epsilon,
        weight_decay=0.0 if l2_sp else arguments.weight_decay,
        fused=True,
    )
    if l2_sp:
        optimizer.register_step_post_hook(_DecayTowardsStart(optimizer, l2_sp))
    warmup = arguments.get_warmup_steps(max_steps)
    if arguments.lr_scheduler_type != SchedulerType.INVERSE_SQRT:
        return optimizer, get_scheduler(arguments.lr_scheduler_type, optimizer, warmup, max_steps)
    return optimizer, LambdaLR(optimizer, lambda updates: inverse_sqrt_rate(updates, rate, warmup) / rate)


def inverse_sqrt_rate(updates: int, peak: float, warmup: float) -> float:
    """Learning rate after `updates` updates: linear from 1e-7 to `peak`, then falling as 1 / sqrt(updates)."""
    if updates < warmup:
        return WARMUP_START + updates * (peak - WARMUP_START) / warmup
    return peak * math.sqrt(max(warmup, 1) / max(updates, 1))


def _layers_above(name: str, layers: int) -> int:
    """How far below the output a parameter is: 0 for output layers and the last LayerNorm, `layers` + 1 for
    embeddings."""
    if found := re.search(r"\blayers\.(\d+)\.", name):
        return layers - int(found[1])
    return layers + 1 if re.search(r"\bembed_", name) else 0


class _DecayTowardsStart:
    """After every update, takes away a share of the distance of each weight from its start."""

    def __init__(self, optimizer: torch.optim.Optimizer, strength: float) -> None:
        self.strength = strength
        self.starts = [[p.detach().clone() for p in group["params"]] for group in optimizer.param_groups]

    @torch.no_grad()
    def __call__(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        for group, starts in zip(optimizer.param_groups, self.starts, strict=True):
            torch._foreach_lerp_(group["params"], starts, min(1.0, float(group["lr"]) * self.strength))


__all__ = ["KEEPING", "OptimizerAndScheduler", "adamw", "inverse_sqrt_rate"]
