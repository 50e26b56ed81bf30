"""Checks of what a model is given and of what it predicts, so that no loss is about something else than it seems.

Shapes are always checked. Values are checked except where a graph is traced (`torch.compile`, `torch.export`) and on
the meta device, where there are none to look at. On a GPU each check of values waits for the device once.
"""

from inspect import signature
from typing import Any

import torch
from transformers.utils import TransformersKwargs

from .attention import SDPA_BY_LENGTH
from .configuration_occupation import OccupationConfig
from .positions import has_values
from .two_stage import among


# Attention of Transformers and of this package. One that somebody has registered may take keywords of its own.
KNOWN_ATTENTION = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", SDPA_BY_LENGTH)
KEYWORDS = frozenset(TransformersKwargs.__annotations__) | {"return_dict"}


def check_inputs(
    config: OccupationConfig,
    input_ids: Any,
    covariates: Any = None,
    inputs_embeds: Any = None,
    position_ids: Any = None,
    **others: Any,
) -> None:
    """Raises a ValueError unless inputs are tensors of the types and shapes that a model takes.

    Args:
        config: Config of the model.
        input_ids: `(batch, time)`, or None where a model only reads embeddings.
        covariates: `(batch, time, covariates)`, or None.
        inputs_embeds: `(batch, time, hidden)`, or None.
        position_ids: `(batch, time)` or `(1, time)`, or None.
        others: Further inputs by name, each a tensor or None.
    """
    ids = {"input_ids": input_ids, "covariates": covariates}
    rest = {"inputs_embeds": inputs_embeds, "position_ids": position_ids, **others}
    for name, values in {**ids, **rest}.items():
        if values is not None and not isinstance(values, torch.Tensor):
            raise ValueError(
                f"{name} is a {type(values).__name__}, and must be a tensor, as in a batch of processor.pad(encoded)"
            )
    for name, values in ids.items():
        if values is not None and values.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"{name} is {values.dtype}, and holds ids, which are int64 or int32: encode careers with the "
                "processor of the same checkpoint"
            )
    if input_ids is not None and input_ids.dim() != 2:
        raise ValueError(
            f"input_ids has shape {tuple(input_ids.shape)}, expected (batch, time): one career is input_ids[None]"
        )
    if inputs_embeds is not None and inputs_embeds.dim() != 3:
        raise ValueError(f"inputs_embeds has shape {tuple(inputs_embeds.shape)}, expected (batch, time, hidden)")
    inputs = input_ids if inputs_embeds is None else inputs_embeds
    if has_values(inputs) and 0 in inputs.shape[:2]:
        raise ValueError(
            f"this batch has no step, because its shape is {tuple(inputs.shape[:2])}: (batch, time) are at least 1"
        )
    batch, time = inputs.shape[:2]
    if position_ids is not None and position_ids.shape not in ((batch, time), (1, time)):
        raise ValueError(
            f"position_ids have shape {tuple(position_ids.shape)}, expected {(batch, time)}: a position for each step"
        )
    config.check_covariates(inputs, covariates)


def check_keywords(model: Any, keywords: Any) -> None:
    """Raises a ValueError for a keyword that nothing reads, such as a misspelt one.

    Args:
        model: The model that is called.
        keywords: Names that are no arguments of its `forward`.
    """
    unknown = [name for name in keywords if name not in KEYWORDS]
    if unknown and getattr(model.config, "_attn_implementation", None) in (None, *KNOWN_ATTENTION):
        named = [name for name in signature(type(model).forward).parameters if name not in ("self", "kwargs")]
        raise ValueError(f"a {type(model).__name__} has no argument {unknown[0]!r}, but {', '.join(named)}")


def check_levels(config: OccupationConfig, input_ids: torch.Tensor | None, covariates: torch.Tensor | None) -> None:
    """Raises a ValueError for an id outside the vocabulary, or a level that a covariate does not have.

    Args:
        config: Config of the model.
        input_ids: `(batch, time)`, or None.
        covariates: `(batch, time, covariates)`, or None.
    """
    checks = []
    if input_ids is not None and has_values(input_ids):
        checks.append(((input_ids < 0) | (input_ids >= config.vocab_size), input_ids))
    if covariates is not None and has_values(covariates):
        sizes = torch.tensor(config.covariate_sizes, device=covariates.device)
        checks.append(((covariates < 0) | (covariates >= sizes), covariates))
    if not checks or not torch.stack([wrong.any() for wrong, _ in checks]).any():
        return
    for wrong, values in checks:
        for row, step, *column in wrong.nonzero().tolist():
            value = values[row, step, *column].item()
            if not column:
                raise ValueError(
                    f"input_ids has {value} in row {row}, step {step}: ids of this model go from 0 to "
                    f"{config.vocab_size - 1}; encode careers with the processor of the same checkpoint"
                )
            raise ValueError(
                f"covariates has {value} in row {row}, step {step} for '{config.covariate_names[column[0]]}', whose "
                f"levels go from 0 to {config.covariate_sizes[column[0]] - 1}; encode careers with the processor of "
                "the same checkpoint"
            )


def check_labels(
    config: OccupationConfig,
    input_ids: torch.Tensor,
    labels: torch.Tensor | None,
    weight: torch.Tensor | None,
    num_items_in_batch: torch.Tensor | int | None,
) -> None:
    """Raises a ValueError for labels that nobody can have, and for weights that are none.

    Args:
        config: Config of the model.
        input_ids: `(batch, time)`.
        labels: `(batch, time)`, -100 where not scored, or None.
        weight: `(batch,)` or `(batch, time)`, or None.
        num_items_in_batch: Divisor of the loss, or None.
    """
    if labels is None:
        if num_items_in_batch is not None:
            raise ValueError(
                "num_items_in_batch without labels, as Trainer calls a model with label_smoothing_factor, which would "
                "smooth over ids that have no probability: set label_smoothing_factor=0; or as it does with a "
                "compute_loss_func, for which see 'A loss of your own' in docs/how_to/for_transformers_users.md"
            )
        return
    if labels.shape != input_ids.shape:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, and input_ids {tuple(input_ids.shape)}: give a label for every "
            "step, -100 where it is not scored"
        )
    if labels.dtype != torch.int64:
        raise ValueError(f"labels are {labels.dtype}: they are ids of occupations, and so int64")
    if weight is not None and weight.shape not in (labels.shape, labels.shape[:1]):
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}, expected {tuple(labels.shape[:1])}, one for each person, or "
            f"{tuple(labels.shape)}, one for each step"
        )
    if not has_values(labels):
        return
    scored = labels != -100
    wrong = scored & ((labels < 0) | (labels >= config.vocab_size))
    # The original program's models give special ids a probability.
    if not getattr(config, "special_tokens_in_softmax", False):
        wrong = wrong | among(labels, config.special_token_ids)
    weights = scored if weight is None else scored * (weight if weight.dim() == 2 else weight.unsqueeze(-1))
    unweighted = torch.zeros((), dtype=torch.bool) if weight is None else ~(weight.isfinite() & (weight >= 0))
    flags = [wrong.any(), unweighted.any().to(labels.device)]
    if num_items_in_batch is None:
        flags.append(~weights.any())
    if not torch.stack(flags).any():
        return
    if wrong.any():
        row, step = wrong.nonzero()[0].tolist()
        label = labels[row, step].item()
        raise ValueError(
            f"labels has {label} in row {row}, step {step}, which is "
            + ("a special id" if 0 <= label < config.vocab_size else f"outside the vocabulary of {config.vocab_size}")
            + " and no occupation: -100 marks steps that are not scored"
        )
    if unweighted.any():
        value = weight[unweighted][0].item() if weight is not None else None
        raise ValueError(
            f"weight has {value} in row {unweighted.nonzero()[0, 0].item()}: survey weights are finite and not "
            "negative; leave out people without a weight"
        )
    raise ValueError(
        "nothing in this batch is scored, because all labels are -100 or all weights 0, so its mean loss is not "
        "defined: leave such batches out, or give num_items_in_batch"
    )


def check_predictions(logits: torch.Tensor) -> None:
    """Raises a ValueError if log-probabilities are not finite.

    Args:
        logits: Log-probabilities of any shape.
    """
    if has_values(logits) and not logits.detach().sum().isfinite():
        raise ValueError(
            "the model predicts probabilities that are not finite (NaN): its weights are not finite, as after a "
            "training that diverged, or a number type such as float16 is too small for it"
        )


__all__ = ["check_inputs", "check_keywords", "check_labels", "check_levels", "check_predictions"]
