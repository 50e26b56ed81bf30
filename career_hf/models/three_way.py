"""Moves as returns or new occupations, each with a stage of its own.

    p(y_t | a move) = p(return) softmax over the person's earlier occupations of pointer scores    y_t held before
                      (1 - p(return)) softmax over the other occupations of beta_j . h_t           y_t never held

A pointer score is a small network of what is known of the earlier occupation (how often, how long, how long ago it was
held) plus the occupation's own logit. This is not in the paper, whose one softmax has to learn from a few thousand
careers that earlier occupations are likelier than others.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init

from .own_history import CAREER_FEATURES, SLOT_FEATURES
from .two_stage import IMPOSSIBLE


# Hidden units of the network of an earlier occupation.
POINTER_SIZE = 32


class ReturnPointer(nn.Module):
    """Scores of a person's earlier occupations, and the log-odds of a return.

    Args:
        hidden_size: D.
        uses_features: Whether the log-odds see `CAREER_FEATURES` too.
    """

    def __init__(self, hidden_size: int, uses_features: bool):
        super().__init__()
        self.up_proj = nn.Linear(len(SLOT_FEATURES), POINTER_SIZE)
        self.down_proj = nn.Linear(POINTER_SIZE, 1, bias=False)
        self.logit_weight = nn.Parameter(torch.ones(()))
        self.sum_weight = nn.Parameter(torch.ones(()))
        self.gate = nn.Linear(hidden_size, 1)
        self.feature_gate = nn.Linear(len(CAREER_FEATURES), 1, bias=False) if uses_features else None

    def forward(
        self,
        hidden_states: torch.Tensor,
        logits: torch.Tensor,
        slots: torch.Tensor,
        slot_features: torch.Tensor,
        features: torch.Tensor,
        is_slot: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores, `(..., longest)`, `IMPOSSIBLE` where there is no occupation, and log-odds `(...)` of a return.

        Args:
            hidden_states: `(..., hidden)`, h_t.
            logits: `(..., vocabulary)`, beta_j . h_t.
            slots, slot_features, features: As in `OwnHistory`.
            is_slot: `(..., longest)`, which slots hold an occupation.
        """
        of_slots = self.down_proj(F.gelu(self.up_proj(slot_features.to(self.up_proj.weight.dtype)))).squeeze(-1)
        wide = torch.promote_types(logits.dtype, torch.float32)
        scores = of_slots.to(wide) + self.logit_weight.to(wide) * logits.gather(-1, slots).to(wide)
        scores = scores.masked_fill(~is_slot, IMPOSSIBLE)
        log_odds = self.gate(hidden_states).squeeze(-1).to(wide)
        if self.feature_gate is not None:
            log_odds = log_odds + self.feature_gate(features.to(self.feature_gate.weight.dtype)).squeeze(-1).to(wide)
        return scores, log_odds + self.sum_weight.to(wide) * scores.logsumexp(-1)


def init_pointer(module: nn.Module) -> None:
    """Initialises a [`ReturnPointer`]; other modules do not change."""
    if isinstance(module, ReturnPointer):
        init.normal_(module.up_proj.weight, std=len(SLOT_FEATURES) ** -0.5)
        init.normal_(module.down_proj.weight, std=POINTER_SIZE**-0.5)
        init.ones_(module.logit_weight)
        init.ones_(module.sum_weight)


def return_logits(log_odds: torch.Tensor, is_slot: torch.Tensor, is_new: torch.Tensor) -> torch.Tensor:
    """Log-odds of a return, `IMPOSSIBLE` where no occupation was held, and -`IMPOSSIBLE` where all were.

    Args:
        log_odds: `(...)`.
        is_slot: `(..., longest)`, earlier occupations.
        is_new: `(..., vocabulary)`, occupations that were never held.
    """
    log_odds = log_odds.masked_fill(~is_new.any(-1), -IMPOSSIBLE)
    return log_odds.masked_fill(~is_slot.any(-1), IMPOSSIBLE)


def never_held(slots: torch.Tensor, previous: torch.Tensor, vocab_size: int, special: list[int]) -> torch.Tensor:
    """`(..., vocabulary)`: occupations that are neither among the earlier ones nor the previous one."""
    new = torch.ones(*slots.shape[:-1], vocab_size, dtype=torch.bool, device=slots.device)
    new = new.scatter(-1, slots, False).scatter(-1, previous.unsqueeze(-1), False)
    new[..., special] = False
    return new


def move_log_probs(
    logits: torch.Tensor, scores: torch.Tensor, return_logit: torch.Tensor, slots: torch.Tensor, is_new: torch.Tensor
) -> torch.Tensor:
    """Log-probability of every occupation given a move.

    Args:
        logits: `(..., vocabulary)`, beta_j . h_t.
        scores: `(..., longest)`, of the pointer; `IMPOSSIBLE` where there is no occupation.
        return_logit: `(...)`, from `return_logits`.
        slots: `(..., longest)`, ids of earlier occupations; a special id where there is none.
        is_new: `(..., vocabulary)`, from `never_held`.

    Returns:
        `(..., vocabulary)` log-probabilities that sum to one, `IMPOSSIBLE` at special ids and the previous one.
    """
    logits = logits.to(scores.dtype).masked_fill(~is_new, IMPOSSIBLE)
    new = F.logsigmoid(-return_logit).unsqueeze(-1) + F.log_softmax(logits, dim=-1)
    returns = F.logsigmoid(return_logit).unsqueeze(-1) + F.log_softmax(scores, dim=-1)
    new = new.masked_fill(~is_new, IMPOSSIBLE)
    # Empty slots have a special id, which gets back what it had.
    returns = torch.where(scores > IMPOSSIBLE, returns, IMPOSSIBLE)
    return new.scatter(-1, slots, returns).clamp(min=IMPOSSIBLE)


__all__ = [
    "ReturnPointer",
    "init_pointer",
    "move_log_probs",
    "never_held",
    "return_logits",
]
