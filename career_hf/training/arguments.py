"""The fields of TrainingArguments that the batches of a recipe fix, so that no setting is ignored in silence.

The items of the training data are ready-made micro-batches (`encoding/micro_batches.py`) and the optimizer is the
recipe's. A field that contradicts either is an error here. A plain Trainer with padded careers takes any arguments.
"""

from __future__ import annotations

import logging
import math
from dataclasses import fields
from typing import Any

from transformers import TrainingArguments


logger = logging.getLogger(__name__)

_READY_MADE = "the items of the training data are ready-made micro-batches of people in random order"
_OPTIMIZER = "the recipe makes the optimizer: dataclasses.replace(recipe, make_optimizer=...) changes it"
_METRICS = "the exact metrics need the log-probabilities of all validation careers at once"
_SHARDED = "the optimizer is made before the model is divided: use a plain Trainer with padded careers"

# The only values that a field may have, beside its absence in some release of Transformers, and why.
_FIXED: dict[str, tuple[tuple[Any, ...], str]] = {
    "per_device_train_batch_size": ((1,), f"{_READY_MADE}, whose size is tokens_per_batch"),
    "train_sampling_strategy": (("sequential",), f"{_READY_MADE}, and another order would mix those of two updates"),
    "auto_find_batch_size": ((False,), f"{_READY_MADE}: raise gradient_accumulation_steps for smaller ones"),
    "remove_unused_columns": ((False,), _READY_MADE),
    "average_tokens_across_devices": ((True,), "the loss is a sum over the steps of all processes"),
    "label_smoothing_factor": ((0,), "it gives probability to ids that are not occupations"),
    "optim_args": ((None,), _OPTIMIZER),
    "optim_target_modules": ((None,), _OPTIMIZER),
    "batch_eval_metrics": ((False,), _METRICS),
    "eval_do_concat_batches": ((True,), _METRICS),
    "prediction_loss_only": ((False,), _METRICS),
    "deepspeed": ((None,), _SHARDED),
    "fsdp": ((None, "", [], False), _SHARDED),
    "parallelism_config": ((None,), _SHARDED),
    "torch_compile": (
        (False,),
        "every micro-batch has a size of its own and would be compiled anew: use a plain Trainer and "
        "DataCollatorWithPadding(processor, pad_to_multiple_of=32)",
    ),
    "use_liger_kernel": ((False,), "Liger has no kernels for these models"),
}


def check_arguments(arguments: TrainingArguments) -> None:
    """Raises a ValueError for a field of TrainingArguments that ready-made micro-batches would ignore.

    Args:
        arguments: Arguments of a recipe.
    """
    for name, (allowed, reason) in _FIXED.items():
        value = getattr(arguments, name, allowed[0])
        if value not in allowed:
            raise ValueError(f"{name}={value!r} is refused, because {reason}")
    default = next(field.default for field in fields(TrainingArguments) if field.name == "optim")
    if arguments.optim != default:
        raise ValueError(f"optim={str(arguments.optim)!r} is refused, because {_OPTIMIZER}")
    if getattr(arguments.accelerator_config, "split_batches", False):
        raise ValueError(f"accelerator_config with split_batches is refused, because {_READY_MADE}")
    for name in ("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "warmup_steps"):
        value = getattr(arguments, name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value}: give a finite number that is not negative")


def updates_of(arguments: TrainingArguments, updates_per_epoch: int) -> int:
    """The number of updates of a run: `max_steps`, or those of `num_train_epochs` if it is not positive."""
    updates = arguments.max_steps
    if updates <= 0:
        updates = math.ceil(arguments.num_train_epochs * updates_per_epoch)
    warmup = arguments.get_warmup_steps(updates)
    if warmup >= updates:
        logger.warning(
            f"the learning rate warms up for {warmup} of {updates} updates and never reaches {arguments.learning_rate}"
            ": lower warmup_steps"
        )
    return updates


__all__ = ["check_arguments", "updates_of"]
