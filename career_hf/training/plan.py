"""What a training run is about to do, and what it is expected to cost: one line before its first update."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.utils import logging

from ..careers.periods import person_periods
from ..readable_values import counted


# Time of a validation beside that of training on as many person-years: it has no gradients.
VALIDATION_SHARE = 1 / 3

logger = logging.get_logger(__name__)
# The number of the ensemble's member that is trained, and how many there are. `train` knows nothing of ensembles.
_member: ContextVar[tuple[int, int] | None] = ContextVar("member", default=None)


@dataclass(frozen=True)
class TrainingPlan:
    """The settings of a training run and its expected time.

    Args:
        people, person_years: Size of the training careers.
        time_unit: Unit of a step of a career: "year", "quarter" or "month".
        max_steps: Largest number of updates; early stopping may come before.
        tokens_per_batch: Person-years of an update, on average.
        learning_rate: Peak learning rate.
        warmup_steps: Updates until the peak rate.
        dropout: Dropout of the model; None where it has none.
        eval_steps: Updates between validations.
        patience: Validations without improvement after which training stops.
        seconds: Expected time of all updates and validations, from the speed of one micro-batch on this machine.
        trials: Number of runs, of which the numbers above describe the first.
        member: Of a member of an ensemble its number, counted from 0, and the number of members.
    """

    people: int
    person_years: int
    time_unit: str
    max_steps: int
    tokens_per_batch: int
    learning_rate: float
    warmup_steps: int
    dropout: float | None
    eval_steps: int
    patience: int
    seconds: float
    trials: int = 1
    member: tuple[int, int] | None = None

    def __str__(self) -> str:
        steps = person_periods(self.time_unit)
        search = "" if self.trials == 1 else f"{self.trials} trials, of which the first is described: "
        dropout = "" if self.dropout is None else f", dropout {self.dropout:g}"
        seconds, which, together = self.trials * self.seconds, "", ""
        if self.member is not None:
            number, members = self.member
            which = f"member {number} of an ensemble of {members}: "
            left = members - number
            together = f", and with the {left - 1} after it at most about {duration(left * seconds)}" * (left > 1)
        every = "update" if self.eval_steps == 1 else f"{self.eval_steps:,} updates"
        return (
            f"{which}{search}training on {self.people:,} people, {self.person_years:,} {steps}: at most "
            f"{counted(self.max_steps, 'update')} of {self.tokens_per_batch:,} {steps}; peak rate "
            f"{self.learning_rate:g}, warm-up {self.warmup_steps:,}{dropout}; a validation every {every}, and a stop "
            f"after {self.patience} without improvement; expected to take at most about {duration(seconds)}{together}"
        )


@contextmanager
def training_member(number: int, members: int) -> Iterator[None]:
    """Plans that are made meanwhile are those of a member of an ensemble.

    Args:
        number: Number of the member, counted from 0.
        members: Number of members.
    """
    token = _member.set((number, members))
    try:
        yield
    finally:
        _member.reset(token)


class AnnouncedPlan(TrainerCallback):
    """Makes the plan of a run when it begins, and logs it.

    Args:
        patience: The run's patience.
        validation: Number of person-years of the validation careers.
        trials: Number of runs; the plan is made when the first begins.
    """

    def __init__(self, patience: int, validation: int, trials: int = 1) -> None:
        self.patience, self.validation, self.trials = patience, validation, trials
        self.plan: TrainingPlan | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.plan is not None:
            return
        model, batches = kwargs["model"], kwargs["train_dataloader"].dataset
        stage, updates = kwargs["processing_class"].training_stages[-1], state.max_steps
        seconds, steps = _time_of_micro_batch(model, batches, args)
        micro_batches = args.gradient_accumulation_steps * args.world_size
        validated = updates // args.eval_steps * self.validation if args.eval_steps >= 1 else 0
        left = 1 - state.global_step / updates
        of_updates = updates * args.gradient_accumulation_steps * seconds
        of_validation = validated * seconds / steps * VALIDATION_SHARE / args.world_size
        self.plan = TrainingPlan(
            people=stage["people"],
            person_years=stage["person_years"],
            time_unit=kwargs["processing_class"].time_unit,
            max_steps=updates,
            tokens_per_batch=round(stage["person_years"] * micro_batches / len(batches)),
            learning_rate=args.learning_rate,
            warmup_steps=args.get_warmup_steps(updates),
            dropout=getattr(model.config, "hidden_dropout", None),
            eval_steps=int(args.eval_steps),
            patience=self.patience,
            seconds=left * (of_updates + of_validation),
            trials=self.trials,
            member=_member.get(),
        )
        if state.is_world_process_zero:
            logger.info(str(self.plan))


def _time_of_micro_batch(model: torch.nn.Module, batches: Any, args: Any) -> tuple[float, int]:
    """Seconds of a forward and a backward pass over the first micro-batch, and the number of its scored steps.

    Weights, gradients and random numbers are as they were afterwards.
    """
    batch = {name: value.to(args.device) if torch.is_tensor(value) else value for name, value in batches[0].items()}
    model.train()
    devices = [args.device] if args.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        for _ in range(2):  # the first pass makes what later ones find ready
            started = time.perf_counter()
            with torch.autocast(args.device.type, torch.bfloat16, enabled=args.bf16):
                loss = model(**batch).loss
            loss.backward()
            if devices:
                torch.cuda.synchronize(args.device)
            seconds = time.perf_counter() - started
            model.zero_grad()
    return seconds, max(1, int((batch["labels"] != -100).sum()))


def duration(seconds: float) -> str:
    """A time in words, roughly: 40 seconds, 3 minutes, 2.5 hours."""
    if seconds < 90:
        return f"{round(seconds)} seconds" if seconds >= 1.5 else "a second"
    if seconds < 5_400:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.2g} hours"


__all__ = ["AnnouncedPlan", "TrainingPlan", "duration", "training_member"]
