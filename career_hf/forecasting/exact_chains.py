"""Forecasts of Markov chains without sampling: probabilities of states are multiplied by transition probabilities.

The state of a chain of order 1 is the last occupation; of a chain of order 2 the last two; of a mixture of chains the
last occupation and which chain it is, whose probability follows from the whole history. So the law of the state h
steps ahead is a row of the h-th power of a matrix, however many paths lead there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from ..evaluation.transition_table import check_log_probs
from ..rivals.markov import MarkovForOccupationPrediction
from ..rivals.mixture import MixtureOfMarkovChainsForOccupationPrediction


# Numbers that are kept for the states of some people: they are as many at a time as fit.
MOST_NUMBERS = 2**24
# A chain of order 2 with more pairs of occupations is sampled, because it takes longer than that.
MOST_PAIRS = 300_000


def has_exact_law(model: PreTrainedModel) -> bool:
    """Whether `probabilities_ahead` can tell a model's forecasts."""
    if isinstance(model, MarkovForOccupationPrediction):
        return model.config.order == 1 or model.config.vocab_size**2 <= MOST_PAIRS
    # Changed predictions (`changed_predictions`) of a mixture are not those of any mixture.
    return isinstance(model, MixtureOfMarkovChainsForOccupationPrediction) and not model._forward_hooks


@torch.inference_mode()
def probabilities_ahead(model: PreTrainedModel, histories: Sequence[torch.Tensor], steps: int) -> torch.Tensor:
    """Probabilities of occupations in the coming steps of careers; special ids are never passed through.

    Args:
        model: A model for which `has_exact_law`.
        histories: For each person `(time,)`, the beginning-of-career id and all occupations.
        steps: Number of steps ahead.

    Returns:
        `(people, steps, vocabulary)`, float64.
    """
    if isinstance(model, MixtureOfMarkovChainsForOccupationPrediction):
        return _mixture(model, histories, steps)
    order = model.config.order
    last = torch.stack([history[-order:] for history in histories])
    size = max(1, MOST_NUMBERS // model.config.vocab_size**order)
    ahead = _first_order if order == 1 else _second_order
    return torch.cat([ahead(model, part, steps) for part in last.split(size)])


def _first_order(model: PreTrainedModel, last: torch.Tensor, steps: int) -> torch.Tensor:
    ids = torch.arange(model.config.vocab_size, device=last.device)
    transitions = _after(model, ids[:, None])
    return _powers(torch.nn.functional.one_hot(last[:, 0], len(ids)).double(), transitions, model, steps)


def _powers(state: torch.Tensor, transitions: torch.Tensor, model: PreTrainedModel, steps: int) -> torch.Tensor:
    """Probabilities ahead from those of the last occupation, `(people, vocabulary)`."""
    found = []
    for _ in range(steps):
        p = state @ transitions
        found.append(p)
        state = _among_occupations(state, transitions, model)
    return torch.stack(found, dim=1)


def _among_occupations(state: torch.Tensor, transitions: torch.Tensor, model: PreTrainedModel) -> torch.Tensor:
    """The law of the next state: special ids have no part in it, and their probability is shared out."""
    moves = transitions.index_fill(-1, torch.tensor(model.config.special_token_ids, device=state.device), 0)
    # A state that nobody can be in may lead nowhere.
    return state @ (moves / moves.sum(-1, keepdim=True).clamp(min=1e-300))


def _second_order(model: PreTrainedModel, last: torch.Tensor, steps: int) -> torch.Tensor:
    size = model.config.vocab_size
    ids = torch.arange(size, device=last.device)
    found = [_after(model, last)]
    # Of the last two occupations, `(people, before last, last)`.
    state = found[0].new_zeros(len(last), size, size)
    rows = torch.arange(len(last), device=last.device)
    special = torch.tensor(model.config.special_token_ids, device=last.device)
    first = found[0].index_fill(-1, special, 0)
    state[rows, last[:, 1]] = first / first.sum(-1, keepdim=True)
    for step in range(1, steps):
        p = torch.zeros_like(found[0])
        following = torch.zeros_like(state) if step + 1 < steps else None
        for middle in state.sum((0, 1)).nonzero()[:, 0].tolist():
            transitions = _after(model, torch.stack([ids, torch.full_like(ids, middle)], dim=1))
            p += state[:, :, middle] @ transitions
            if following is not None:
                following[:, middle] = _among_occupations(state[:, :, middle], transitions, model)
        found.append(p)
        if following is not None:
            state = following
    return torch.stack(found, dim=1)


def _mixture(
    model: MixtureOfMarkovChainsForOccupationPrediction, histories: Sequence[torch.Tensor], steps: int
) -> torch.Tensor:
    posteriors = torch.stack([model.chain_posteriors(history[None])[0, -1] for history in histories])
    last = torch.nn.functional.one_hot(torch.stack([history[-1] for history in histories]), model.config.vocab_size)
    chains = model.transitions.double()
    return sum(
        (
            _powers(last * posterior[:, None], chain, model, steps)
            for posterior, chain in zip(posteriors.unbind(1), chains, strict=True)
        ),
        start=posteriors.new_zeros(()),
    )


def _after(model: PreTrainedModel, contexts: torch.Tensor) -> torch.Tensor:
    """Probabilities of what follows contexts of ids, `(contexts, vocabulary)`."""
    log_probs = model(input_ids=contexts).logits[:, -1]
    check_log_probs(log_probs)
    return log_probs.double().exp()


__all__ = ["has_exact_law", "probabilities_ahead"]
