"""Arguments of Trainer that a recipe cannot honour, each refused in one line rather than ignored."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from transformers import TrainingArguments
from transformers.utils import logging


# The values under which ready-made micro-batches, the recipe's optimizer and exact metrics do what they promise.
NEEDED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "per_device_train_batch_size": ((1,), "the size of a batch is the recipe's tokens_per_batch"),
    "train_sampling_strategy": (("sequential",), "micro-batches are shuffled already, and others would mix updates"),
    "remove_unused_columns": ((False,), "micro-batches have the columns that the model needs"),
    "dataloader_drop_last": ((False,), "it would leave validation careers out"),
    "auto_find_batch_size": ((False,), "the size of a batch is the recipe's tokens_per_batch"),
    "optim": (("adamw_torch", "adamw_torch_fused"), "the recipe's make_optimizer makes another optimizer"),
    "optim_args": ((None,), "the recipe's make_optimizer makes the optimizer"),
    "optim_target_modules": ((None,), "the recipe's make_optimizer makes the optimizer"),
    "lr_scheduler_kwargs": ((None, {}), "the recipe's make_optimizer makes the schedule"),
    "label_smoothing_factor": ((0, 0.0), "the loss is the log-likelihood in two stages, which is not smoothed"),
    "average_tokens_across_devices": ((True,), "the loss is a mean over the steps of all processes"),
    "torch_compile": ((False,), "rows differ in length, and every length would be compiled anew"),
    "use_liger_kernel": ((False,), "there are no such kernels for these models"),
    "fsdp": ((None, [], "", False), "the optimizer is made before the model is wrapped"),
    "deepspeed": ((None,), "the optimizer is made before the model is wrapped"),
    "parallelism_config": ((None,), "the optimizer is made before the model is wrapped"),
    "prediction_loss_only": ((False,), "validation needs the log-probabilities"),
    "batch_eval_metrics": ((False,), "exact metrics are computed from all batches together"),
    "eval_do_concat_batches": ((True,), "exact metrics are computed from all batches together"),
    "label_names": ((None, ["labels"]), "the labels are known, and weights are added where careers have them"),
}

logger = logging.get_logger(__name__)


def check_arguments(arguments: TrainingArguments) -> None:
    """Checks that a recipe can honour all arguments.

    Raises:
        ValueError: An argument has a value that would be ignored or that spoils training; the message names it.
    """
    for name, (values, reason) in NEEDED.items():
        value = getattr(arguments, name, values[0])
        if value not in values:
            raise ValueError(f"{name}={value!r} cannot be used with a recipe, only {values[0]!r}: {reason}")
    for name in ("split_batches", "dispatch_batches"):
        if getattr(arguments.accelerator_config, name, None):
            raise ValueError(
                f"accelerator_config with {name}=True cannot be used with a recipe: it cuts micro-batches"
            )
    launched = os.environ.get("WORLD_SIZE", "1")
    if launched not in ("1", str(arguments.world_size)):
        logger.warning(
            f"WORLD_SIZE is {launched}, but one process trains: launch with `accelerate launch --multi_gpu`"
        )


def check_numbers(settings: Mapping[str, Any]) -> None:
    """Checks the numbers of a recipe that its caller gives, before TrainingArguments sees them.

    Raises:
        ValueError: A number is not finite or out of range.
    """
    ranges = {"learning_rate": 0, "tokens_per_batch": 1, "patience": 1, "gradient_accumulation_steps": 1}
    ranges |= {"eval_steps": 0, "save_steps": 0, "logging_steps": 0, "num_train_epochs": 0}
    ranges |= {"per_device_eval_batch_size": 1}
    for name, least in ranges.items():
        value = settings.get(name)
        if value is not None and not (_is_finite(value) and value > 0 and value >= least):
            raise ValueError(f"{name} is {value!r}: it must be a finite number above 0")
    for name in ("warmup_steps", "weight_decay", "max_grad_norm"):
        value = settings.get(name)
        if value is not None and not (_is_finite(value) and value >= 0):
            raise ValueError(f"{name} is {value!r}: it must be a finite number, 0 or above")
    max_steps, warmup = settings.get("max_steps", -1), settings.get("warmup_steps", 0)
    if max_steps != -1 and not (isinstance(max_steps, int) and max_steps > 0):
        raise ValueError(f"max_steps is {max_steps!r}: it must be a whole number above 0")
    if warmup >= 1 and warmup != int(warmup):
        raise ValueError(f"warmup_steps is {warmup!r}: give a whole number of updates, or a share of them below 1")
    warn_of_warmup(max_steps, warmup)


def warn_of_warmup(max_steps: int, warmup: float) -> None:
    """Warns of a warm-up that is longer than the run, whether updates or epochs say how long that is.

    It is no error, because people try a command with a few updates first.
    """
    if 0 < max_steps <= warmup:
        logger.warning(
            f"warmup_steps is {warmup} and max_steps {max_steps}, so training ends before its learning rate peaks: "
            "lower warmup_steps, or give it as a share such as 0.1"
        )


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


__all__ = ["NEEDED", "check_arguments", "check_numbers", "warn_of_warmup"]
