"""A model whose predictions are changed for a while, wherever it is used: in a table, a forecast, a rationale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel


@contextmanager
def changed_predictions(
    model: PreTrainedModel, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
) -> Iterator[PreTrainedModel]:
    """A context in which a model's log-probabilities are changed.

    Args:
        model: Any occupation model; its other outputs are left as they are.
        change: From `(batch, time, vocabulary)` log-probabilities and `(batch, time)` ids of y_{t-1} to other
            log-probabilities, normalised too.
    """

    def hook(_module: Any, _args: Any, given: dict[str, Any], output: Any) -> Any:
        output.logits = change(output.logits, given["input_ids"])
        return output

    handle = model.register_forward_hook(hook, with_kwargs=True)
    try:
        yield model
    finally:
        handle.remove()


__all__ = ["changed_predictions"]
