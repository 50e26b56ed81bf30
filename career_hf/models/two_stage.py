"""The likelihood of an occupation, Eq. 1-3 and 18, as functions of tensors. No other file has this mathematics, but
for moves of two kinds (`three_way.py`).

Stage one is the probability of staying, sigmoid(eta . h_t), as in Eq. 18 and in the original program (Eq. 1 has it the
other way round). Stage two is a softmax over the occupations other than the previous one (Eq. 2). Everything is in log
space and in float32 (float64 when the inputs are), and every returned number is finite.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


# Log-probability of impossible outcomes: finite in bfloat16 and float16, and exactly zero after a softmax.
IMPOSSIBLE = -1e4


def occupation_log_probs(
    logits: torch.Tensor, special_token_ids: list[int], previous: torch.Tensor | None = None
) -> torch.Tensor:
    """Log-softmax over occupations, without the previous one if it is given (Eq. 2).

    Args:
        logits: `(..., vocabulary)`, beta_j . h_t.
        special_token_ids: Ids that get no probability.
        previous: `(...)`, ids of y_{t-1}, or None to exclude nothing.

    Returns:
        `(..., vocabulary)` log-probabilities, `IMPOSSIBLE` at excluded ids.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    excluded = torch.tensor(special_token_ids, dtype=torch.long, device=logits.device).expand(*logits.shape[:-1], -1)
    if previous is not None:
        excluded = torch.cat([excluded, previous.unsqueeze(-1)], dim=-1)
    # Writing at a few ids is faster than a mask of them all.
    return F.log_softmax(logits.scatter(-1, excluded, -torch.inf), dim=-1).scatter(-1, excluded, IMPOSSIBLE)


def two_stage_log_probs(
    logits: torch.Tensor, stay_logit: torch.Tensor, previous: torch.Tensor, special_token_ids: list[int]
) -> torch.Tensor:
    """Log-probability of every occupation, Eq. 18.

    Args:
        logits: `(..., vocabulary)`, beta_j . h_t.
        stay_logit: `(...)`, eta . h_t; `IMPOSSIBLE` where there is nothing to stay in.
        previous: `(...)`, ids of y_{t-1}.
        special_token_ids: Ids that get no probability.

    Returns:
        `(..., vocabulary)` log-probabilities that sum to one wherever `previous` is an occupation or `stay_logit` is
        `IMPOSSIBLE`.
    """
    return with_stays(occupation_log_probs(logits, special_token_ids, previous), stay_logit, previous)


def with_stays(moves: torch.Tensor, stay_logit: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
    """Log-probability of every occupation, Eq. 18, from those given a move; other arguments as above.

    Args:
        moves: `(..., vocabulary)`, log-probabilities given a move.
    """
    stay_logit = stay_logit.to(moves.dtype)
    log_probs = F.logsigmoid(-stay_logit).unsqueeze(-1) + moves  # Eq. 18, y_t != y_{t-1}
    stay = F.logsigmoid(stay_logit).unsqueeze(-1)  # Eq. 18, y_t = y_{t-1}
    return log_probs.scatter_(-1, previous.unsqueeze(-1), stay).clamp_(min=IMPOSSIBLE)


def without_excluded(log_probs: torch.Tensor, excluded: torch.Tensor) -> torch.Tensor:
    """Log-probabilities given that the outcome is none of those that a corpus cannot contain.

    Nothing is learned from such a corpus about how likely the excluded outcomes are: with them the likelihood of
    everything else is divided by the probability of everything else, stays included.

    Args:
        log_probs: `(..., vocabulary)`, normalised log-probabilities.
        excluded: `(..., most)`, ids of the outcomes to exclude; negative numbers exclude nothing.

    Returns:
        `(..., vocabulary)` log-probabilities, `IMPOSSIBLE` at excluded ids.
    """
    # One more place, for the numbers that exclude nothing.
    size = log_probs.shape[-1]
    places = torch.where(excluded < 0, size, excluded)
    is_excluded = log_probs.new_zeros((*log_probs.shape[:-1], size + 1), dtype=torch.bool).scatter(-1, places, True)
    rest = log_probs.masked_fill(is_excluded[..., :size], -torch.inf)
    return (rest - rest.logsumexp(-1, keepdim=True)).clamp(min=IMPOSSIBLE)


def nothing_to_stay_in(stay_logit: torch.Tensor, previous: torch.Tensor, special_token_ids: list[int]) -> torch.Tensor:
    """Stay logits with `IMPOSSIBLE` where the previous id is no occupation, as at a career's first step.

    Args:
        stay_logit: `(...)`, eta . h_t.
        previous: `(...)`, ids of y_{t-1}.
        special_token_ids: Ids that are not occupations.
    """
    return stay_logit.masked_fill(among(previous, special_token_ids), IMPOSSIBLE)


def among(ids: torch.Tensor, members: list[int]) -> torch.Tensor:
    """Whether each id is among some members; unlike `torch.isin` this can be exported to ONNX."""
    return (ids.unsqueeze(-1) == torch.tensor(members, device=ids.device)).any(dim=-1)


def stay_nll(stay_logit: torch.Tensor, previous: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Stage one's part of -log p(y_t): whether y_t = y_{t-1} (Eq. 1); all shapes are `(...)`."""
    stay_logit = stay_logit.to(torch.promote_types(stay_logit.dtype, torch.float32))
    return -F.logsigmoid(torch.where(labels == previous, stay_logit, -stay_logit))


def mean_nll(
    nll: torch.Tensor,
    labels: torch.Tensor,
    weight: torch.Tensor | None = None,
    num_items_in_batch: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """The loss, Eq. 19 divided by the number of scored steps.

    Args:
        nll: `(batch, time)`, -log p(y_t).
        labels: `(batch, time)`; steps with -100 are not scored.
        weight: `(batch,)` or `(batch, time)`, survey weights.
        num_items_in_batch: Divisor if the batch is one of several whose gradients are accumulated; the sum of weights
            if None.
    """
    scored = (labels != -100).to(nll.dtype)
    if weight is not None:
        scored = scored * (weight if weight.dim() == 2 else weight.unsqueeze(-1)).to(nll.dtype)
    total = (nll * scored).sum()
    if num_items_in_batch is None:
        return total / scored.sum()
    return total / torch.as_tensor(num_items_in_batch, device=total.device)
