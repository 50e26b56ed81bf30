"""A context in which a model's predictions are changed, wherever it is used: in a table, a forecast, a rationale."""

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
        model: Any occupation model; its other outputs do not change.
        change: A function from `(batch, time, vocabulary)` log-probabilities and `(batch, time)` ids of y_{t-1} to
            other normalised log-probabilities.
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
