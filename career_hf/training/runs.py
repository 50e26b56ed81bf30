"""The folder of a training run: whose run it holds, one run at a time, and which of its checkpoints are whole.

`run.json` records the settings, the careers and the initial weights of the run, so that another run never goes on from
its checkpoints. A lock keeps a second run out while the first one lives. A checkpoint is whole if it has
`complete.json`, which is written last and has the size of every other file; after a kill or a full disk a run goes on
from the newest whole checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import TrainerCallback
from transformers.utils import logging

from ..careers.atomic_files import complete, locked
from ..encoding.collating import EncodedCareers
from ..encoding.streams import EncodedShards


RUN, COMPLETE = "run.json", "complete.json"

# Settings that `train` derives from the number of updates of a short run.
_BY_LENGTH = ("warmup_steps", "eval_steps")

logger = logging.get_logger(__name__)


class CompleteCheckpoints(TrainerCallback):
    """Marks every checkpoint as whole, after all its files are on the disk."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not args.should_save:
            return
        checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (checkpoint / COMPLETE).unlink(missing_ok=True)
        sizes = {}
        for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sizes[path.relative_to(checkpoint).as_posix()] = path.stat().st_size
        _write(checkpoint / COMPLETE, sizes)


def is_complete(checkpoint: Path) -> bool:
    """Whether every file of a checkpoint was written, and is there in its size."""
    try:
        sizes = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def last_checkpoint(folder: str | Path | None) -> str | None:
    """The newest whole checkpoint in the folder of a training run; None if there is none."""
    whole = [] if folder is None else [path for path in _checkpoints(Path(folder)) if is_complete(path)]
    return str(whole[-1]) if whole else None


def fingerprint(encoded: Dataset | EncodedShards) -> str:
    """A hash of encoded careers, which does not depend on the files that hold them, unless these are streamed."""
    if isinstance(encoded, EncodedShards):
        return encoded.fingerprint
    careers = EncodedCareers(encoded)
    columns = vars(careers.gather(np.arange(len(careers))))
    digest = hashlib.sha256()
    for name, values in columns.items():
        if values is not None:
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def size_of_weights(model: torch.nn.Module) -> float:
    """The sum of the absolute weights, which tells initial models apart, whatever the processor's last digits."""
    return sum(float(values.detach().double().abs().sum()) for values in model.state_dict().values())


@contextmanager
def claimed_run(
    folder: str | Path, settings: Mapping[str, Any], *, resume: bool, overwrite: bool, is_main_process: bool = True
) -> Iterator[str | None]:
    """Claims a folder for one run while it trains.

    Args:
        folder: Folder of the run's checkpoints.
        settings: Everything that determines the run, in a form for JSON. Floats are compared to nine digits.
        resume: Whether to go on from the newest whole checkpoint, if there is one.
        overwrite: Whether another run in the folder is replaced.
        is_main_process: Whether this process is the one of several that writes.

    Yields:
        The checkpoint to go on from, or None.

    Raises:
        ValueError: A living run has the folder, or the folder holds another run: one whose settings differ, which the
            message names, or one without a record.
    """
    folder = Path(folder)
    if not is_main_process:
        yield last_checkpoint(folder) if resume else None
        return
    with locked(folder, keep=True):
        _check_same_run(folder, json.loads(json.dumps(settings)), resume, overwrite)
        checkpoint = last_checkpoint(folder) if resume else None
        for other in reversed(_checkpoints(folder)):
            if checkpoint is None or (str(other) != checkpoint and not is_complete(other)):
                if resume:
                    logger.warning(f"{other} was not written to its end, so training does not go on from it")
                shutil.rmtree(other)
        _write(folder / RUN, settings)
        yield checkpoint


def _check_same_run(folder: Path, settings: Mapping[str, Any], resume: bool, overwrite: bool) -> None:
    """Raises a ValueError if the folder holds a run with other settings, which may not be replaced."""
    if not _checkpoints(folder) or (overwrite and not resume):
        return
    fix = "take another folder, or replace the run with overwrite=True (--overwrite)"
    try:
        earlier = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} holds checkpoints of a run without a record of its settings: {fix}") from error
    for name in [*settings, *(name for name in earlier if name not in settings)]:
        before, now = earlier.get(name), settings.get(name)
        if before != now and not (
            isinstance(before, float) and isinstance(now, float) and math.isclose(before, now, rel_tol=1e-9)
        ):
            kind = "cannot be resumed" if resume else "holds another run"
            if resume and name in _BY_LENGTH and "max_steps" not in settings:
                given = ", ".join(
                    f"{one}={earlier[one]!r}" for one in _BY_LENGTH if earlier.get(one) != settings.get(one)
                )
                fix = f"it follows from max_steps unless it is given, so give what the run had, {given}, or {fix}"
            raise ValueError(f"{folder} {kind}: its {name} is {_short(before)}, and now it is {_short(now)}: {fix}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _checkpoints(folder: Path) -> list[Path]:
    """Folders of checkpoints, whole or not, from the oldest to the newest."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.split("-")[1].isdigit() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def _write(path: Path, value: Any) -> None:
    """Writes JSON to a file that is whole or absent."""
    with complete(path) as unfinished:
        unfinished.write_text(json.dumps(value, indent=2), encoding="utf-8")


__all__ = ["CompleteCheckpoints", "claimed_run", "fingerprint", "is_complete", "last_checkpoint", "size_of_weights"]
