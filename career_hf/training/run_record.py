"""The record of a training run for the model card: recipe, updates, time and hardware.

The record is the entry `run` of a stage in the processor's training history, so it stays with the checkpoint through
fine-tuning. It is a mapping for JSON: `settings` (of the recipe), `updates`, `best` (the metric that chose the
checkpoint), `seconds` (wall-clock, including validation), `resumed_at` (the update at which this run continued an
earlier one, whose time is not in `seconds`) and `hardware`.
"""

from __future__ import annotations

import platform
import time
from typing import Any

import torch
from transformers import TrainerCallback


def hardware(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """The hardware of a run, without naming the machine: `kind`, "cpu" or "gpu", `name` and `count`.

    Args:
        device: Device of the model.
        processes: Number of processes that train together.
    """
    if device.type == "cuda":
        return {"kind": "gpu", "name": torch.cuda.get_device_name(device), "count": processes}
    return {"kind": "cpu", "name": f"{platform.machine()} CPU thread", "count": torch.get_num_threads() * processes}


def counted_run(seconds: float, settings: dict[str, Any]) -> dict[str, Any]:
    """The record of a model made of counts, which has no updates."""
    return {"settings": settings, "updates": None, "seconds": seconds, "hardware": hardware(torch.device("cpu"))}


class TrainingRecord(TrainerCallback):
    """Writes the record of a run into its stage when training ends, and keeps what Trainer logs true.

    The loss is logged over all processes up to the last update, and samples per second are people;
    beside them are person-years per second. Both count all processes.

    Args:
        stage: The entry in the processor's training history.
        settings: Settings of the recipe.
    """

    def __init__(self, stage: dict[str, Any], settings: dict[str, Any]) -> None:
        self.stage, self.settings = stage, settings

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started, self.resumed_at = time.perf_counter(), state.global_step
        self.first_epoch = state.epoch or 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # A logged loss is a mean over all processes; what is left at the end would be the first process's alone.
        if control.should_evaluate or state.global_step >= state.max_steps:
            control.should_log = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        # Trainer takes a micro-batch for one sample.
        if logs and "train_samples_per_second" in logs:
            epochs_per_second = (state.epoch - self.first_epoch) / logs["train_runtime"]
            speeds = {
                "train_samples_per_second": round(self.stage["people"] * epochs_per_second, 3),
                "train_person_years_per_second": round(self.stage["person_years"] * epochs_per_second, 3),
            }
            logs.update(speeds)
            state.log_history[-1].update(speeds)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.stage["run"] = {
            "settings": self.settings,
            "updates": state.global_step,
            "best": {"metric": args.metric_for_best_model, "value": state.best_metric},
            "seconds": time.perf_counter() - self.started,
            "resumed_at": self.resumed_at or None,
            "hardware": hardware(args.device, args.world_size),
        }


__all__ = ["TrainingRecord", "counted_run", "hardware"]
