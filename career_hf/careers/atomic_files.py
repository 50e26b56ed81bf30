"""Files and folders that are either there and complete, or not there, so that what was stopped can go on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def complete(path: Path, move: Callable[[Path, Path], None] = os.replace) -> Iterator[Path]:
    """Gives a path to write to, which becomes the file or folder only when it is complete.

    Args:
        path: The file or folder.
        move: What moves the finished file or folder to its place, such as `move_into`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    yield unfinished
    move(unfinished, path)


def move_into(new: Path, old: Path) -> None:
    """Moves what is in one folder into another, over what has the same name there; everything else there stays."""
    old.mkdir(parents=True, exist_ok=True)
    for path in new.iterdir():
        target = old / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
    new.rmdir()
