"""Batches for scoring many careers: careers of similar length together, with their places among all careers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.utils import logging

from .collating import EncodedCareers, PaddingCollator


# Tokens of a batch on a GPU, and the fewest and the most on a CPU.
GPU_TOKENS, CPU_TOKENS = 16_000, (1_200, 4_000)
# Bytes of a CPU's cache that an activation may take.
CPU_CACHE = 4 << 20


@dataclass(frozen=True)
class ScoringBatch:
    """Some careers, padded on the right. Tensors are on the model's device.

    Args:
        inputs: Inputs of every occupation model: `input_ids`, `(careers, longest)`, and `covariates`, `(careers,
            longest, covariates)`, if the model has any. They have no labels, so that no loss is computed.
        labels: `(careers, longest)`: occupations y_t; -100 in padding.
        real: `(careers, longest)`: whether a step belongs to the career and is no padding.
        people: `(careers,)`: rows of these careers among all careers.
        places: `(steps,)`: places of the real steps among all steps of all careers, in the order in which `real`
            selects them.
    """

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor
    real: torch.Tensor
    people: np.ndarray
    places: np.ndarray

    @property
    def last_steps(self) -> torch.Tensor:
        """`(careers,)`: index of each career's last step."""
        return self.real.sum(dim=1) - 1


def cache_sized(model: PreTrainedModel) -> int:
    """Number of tokens of a batch with which a model scores fastest on its device.

    On a CPU the model's widest activation should stay in its cache: larger batches wait for memory, which the C
    library also maps anew for each of them, and smaller ones spend their time on calls.
    """
    if model.device.type != "cpu":
        return GPU_TOKENS
    sizes = (getattr(model.config, name, None) or 0 for name in ("vocab_size", "hidden_size", "intermediate_size"))
    fewest, most = CPU_TOKENS
    return min(max(fewest, CPU_CACHE // (4 * max(sizes))), most)


def scoring_batches(
    model: PreTrainedModel,
    careers: EncodedCareers,
    batch_tokens: int | None = None,
    *,
    tokens_per_step: int = 1,
    description: str = "Scoring careers",
) -> Iterator[ScoringBatch]:
    """Batches of careers of similar length, so that there is little padding; the model is in eval mode meanwhile.

    The longest careers come first, so that a batch that does not fit into memory fails at once. Batches depend on the
    lengths of careers only, so two models have the same batches of the same careers. Gradients stay enabled; a caller
    who needs none uses `torch.inference_mode`.

    Args:
        model: Any model with a `pad_token_id`.
        careers: Encoded careers.
        batch_tokens: Number of tokens per batch, including padding; a longer career is a batch by itself. By default
            as many as `cache_sized` says.
        tokens_per_step: Number of tokens that the model uses for a step.
        description: Text of the progress bar.
    """
    batch_tokens = batch_tokens or cache_sized(model)
    order = np.argsort(-careers.lengths, kind="stable")
    starts = careers.lengths.cumsum() - careers.lengths
    collate = PaddingCollator(model.config.pad_token_id)
    was_training = model.training
    model.eval()
    try:
        with logging.tqdm(total=len(order), desc=description, unit="person") as progress:
            done = 0
            while done < len(order):
                longest = int(careers.lengths[order[done]])
                people = order[done : done + max(1, batch_tokens // (tokens_per_step * longest))]
                batch = collate(careers.gather(people))
                real = np.arange(longest) < careers.lengths[people][:, None]
                yield ScoringBatch(
                    inputs={n: batch[n].to(model.device) for n in ("input_ids", "covariates") if n in batch},
                    labels=batch["labels"].to(model.device),
                    real=torch.from_numpy(real).to(model.device),
                    people=people,
                    places=(starts[people][:, None] + np.arange(longest))[real],
                )
                done += len(people)
                progress.update(len(people))
    finally:
        model.train(was_training)


__all__ = ["ScoringBatch", "cache_sized", "scoring_batches"]
