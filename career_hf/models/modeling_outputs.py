"""CareerOutput: the output of every occupation model of the package."""

from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache
from transformers.utils import ModelOutput


@dataclass
class CareerOutput(ModelOutput):
    """Output of an occupation model; steps are `(batch, time)`.

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*):
            With labels: sum of -log p(y_t) over the scored steps / their number (Eq. 19).
        logits (`torch.FloatTensor` of shape `(batch, time, vocabulary)`, *optional*):
            Normalised log-probabilities in float32, special ids at -1e4, so that softmax(logits) is p(y_t | past).
            None in training with labels, where the loss needs the softmax on movers only.
        stay_logit (`torch.FloatTensor` of shape `(batch, time)`, *optional*):
            sigmoid of it is P(stay), Eq. 18; -1e4 at a first step. None for one-stage models.
        last_hidden_state (`torch.FloatTensor` of shape `(batch, time, hidden)`, *optional*):
            h_t.
        past_key_values (`Cache`, *optional*):
            The cache, with `use_cache`.
        hidden_states (`tuple(torch.FloatTensor)`, *optional*):
            The layers' outputs, with `output_hidden_states`.
        attentions (`tuple(torch.FloatTensor)`, *optional*):
            The attention weights, with `output_attentions`.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    stay_logit: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
