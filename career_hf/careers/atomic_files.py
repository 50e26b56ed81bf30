"""Files and folders that appear only when they are complete, so that a run that was stopped can go on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def complete(path: Path, move: Callable[[Path, Path], None] = os.replace) -> Iterator[Path]:
    """Yields a path to write to, whose content moves to the file or folder only when it is complete.

    Args:
        path: Destination file or folder.
        move: Function that moves the finished file or folder to its destination, such as `move_into`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    yield unfinished
    move(unfinished, path)


def move_into(new: Path, old: Path) -> None:
    """Moves the contents of one folder into another: files of the same name are replaced, other files stay."""
    old.mkdir(parents=True, exist_ok=True)
    for path in new.iterdir():
        target = old / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
    new.rmdir()
