"""Kills, full disks and read-only folders: what was stopped and is run again ends as if it had not been stopped.

    python tests/attack/kills.py --number 20            random kills of each job, and every stage of its writes
    python tests/attack/kills.py --only train --number 5

Each trial is a child of this process, which has imported everything: a job runs and is killed, or its disk is full,
then it is run again. The folder must then hold the same files with the same bytes as after a run that nobody stopped.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import torch  # noqa: E402
from scene import CUTOFF, SHORT, TINY, Scene, make_scene  # noqa: E402

import career_hf  # noqa: E402
from career_hf.careers import load_careers  # noqa: E402
from career_hf.comparing import Budget  # noqa: E402
from career_hf.representing.representations import save_representations  # noqa: E402
from career_hf.training.runs import last_checkpoint  # noqa: E402


# What a run records of the clock, in JSON; it is no result.
CLOCK = re.compile(r"seconds|runtime|_per_second|hours|resumed_at|\bdate|time")
WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
ENDED, FAILED = 0, 3

Job = Callable[[Scene, Path], object]


def train(scene: Scene, output: Path) -> None:
    """Goes on from the newest checkpoint, if there is one."""
    resume = last_checkpoint(output / "training") is not None
    settings = {**SHORT, "max_steps": 6, "eval_steps": 2, "fields": TINY}
    career_hf.train(scene.careers, output=output, covariates=["year", "gender"], resume=resume, **settings)


def study(scene: Scene, output: Path) -> None:
    budget = Budget(trials=1, seeds=2, max_steps=2, warmup_steps=1, eval_steps=1, tokens_per_batch=500)
    career_hf.compare(scene.careers, ["markov-1", "career"], output=output, budget=budget, draws=20, fields=TINY)


def prepare(scene: Scene, output: Path) -> None:
    career_hf.sources.nlsy97(scene.nlsy97).save(output)


def prepare_spells(scene: Scene, output: Path) -> None:
    career_hf.sources.prepare_spells(str(scene.spells), output)


def forecast(scene: Scene, output: Path) -> None:
    careers = load_careers(scene.careers)["test"]
    career_hf.forecast(scene.career, careers, horizon=2, samples=20, trajectories=True).save(output)


def forecast_scores(scene: Scene, output: Path) -> None:
    career_hf.evaluate_forecast(scene.career, scene.careers, cutoff=CUTOFF, horizon=2, samples=20).save(output)


def representations(scene: Scene, output: Path) -> None:
    careers = load_careers(scene.careers)["train"]
    save_representations(str(scene.career), careers, None, output, people_per_file=12)


JOBS: dict[str, Job] = {
    job.__name__: job
    for job in (train, study, prepare, prepare_spells, forecast, forecast_scores, representations)
}
