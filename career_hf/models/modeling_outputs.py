"""CareerOutput: the output of every occupation model of the package."""

import warnings
from dataclasses import dataclass, fields

import torch
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast


# What the installed Transformers calls the cache: `past_key_values` up to 5.23, `cache` from 5.24.
CACHE = fields(BaseModelOutputWithPast)[1].name


@dataclass
class CareerOutput(CausalLMOutputWithPast):
    """Output of an occupation model; steps are `(batch, time)`.

    Inherited are

    * `loss`, with labels: the sum of -log p(y_t) over the scored steps / their number (Eq. 19);
    * `logits`, `(batch, time, vocabulary)`: normalised log-probabilities in float32, special ids at -1e4, so that
      softmax(logits) is p(y_t | past). None in training with labels, where the loss needs the softmax on movers only;
    * `hidden_states`, `attentions` and the cache.

    They are inherited because releases of Transformers name the cache differently: `past_key_values` up to 5.23, and
    `cache` from 5.24, where the old name still reads it.

    Args:
        stay_logit (`torch.FloatTensor` of shape `(batch, time)`, *optional*):
            sigmoid of it is P(stay), Eq. 18; -1e4 at a first step. None for one-stage models.
        last_hidden_state (`torch.FloatTensor` of shape `(batch, time, hidden)`, *optional*):
            h_t.
        return_logit (`torch.FloatTensor` of shape `(batch, time)`, *optional*):
            sigmoid of it is P(return | a move) of a model with `return_pointer`; -1e4 where nobody can return. None
            for other models, and in training with labels.
    """

    stay_logit: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    return_logit: torch.Tensor | None = None


def one_cache(past_key_values: Cache | None, cache: Cache | None) -> Cache | None:
    """The cache that a forward was given by one of its two names; Transformers deprecates the older one from 5.24.

    Raises:
        ValueError: It was given by both names.
    """
    if past_key_values is not None and cache is not None:
        raise ValueError("past_key_values and cache are two names of one argument: give one of them")
    if past_key_values is not None and CACHE != "past_key_values":
        warnings.warn(f"`past_key_values` is deprecated: Transformers calls it `{CACHE}`", FutureWarning, stacklevel=3)
    return past_key_values if cache is None else cache


__all__ = ["CACHE", "CareerOutput", "one_cache"]
