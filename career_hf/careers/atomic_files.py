"""Files and folders that appear only when they are complete, so that a run that was stopped can go on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


LOCK = "run.lock"
# Files that `datasets` writes into a folder of splits, of one data set, and of each split.
CAREER_MARKERS, SPLIT_MARKER = ("dataset_dict.json", "dataset_info.json"), "state.json"


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
    try:
        yield unfinished
        if unfinished.is_file():
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())  # so that after a power cut the name does not stand for an empty file
        move(unfinished, path)
    except BaseException:
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def locked(folder: str | Path, lock: Path | None = None, keep: bool = False) -> Iterator[Path]:
    """Keeps a second run out of a folder while the first lives; yields the folder.

    Args:
        folder: Folder that a run writes to.
        lock: File of the lock; without it, a file in the folder, which is made if need be.
        keep: Whether the file stays when the run ends.

    Raises:
        ValueError: A living run has the folder.
    """
    folder = Path(folder)
    check_folder(folder)
    lock = folder / LOCK if lock is None else lock
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(
            f"another run is writing to {folder}: wait until it has ended, or take another folder"
        ) from error
    try:
        yield folder
    finally:
        if not keep:
            lock.unlink(missing_ok=True)
        held.release()


def check_folder(path: Path) -> None:
    """Refuses a file in the place of a folder that is to be written.

    Raises:
        ValueError: If there is one.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file, and the output is a folder: choose another name, or remove the file")


def move_into(new: Path, old: Path) -> None:
    """Moves the contents of one folder of careers into another: files of careers are replaced, other files stay.

    Raises:
        ValueError: If a file or folder would be replaced that `save_careers` did not write.
    """
    check_folder(old)
    old.mkdir(parents=True, exist_ok=True)
    is_ours = any((old / name).is_file() for name in CAREER_MARKERS)
    for path in new.iterdir():
        target = old / path.name
        if target.exists() and not (is_ours and (not target.is_dir() or (target / SPLIT_MARKER).is_file())):
            raise ValueError(
                f"{target} is there already, and is not a part of saved careers: choose another folder, or move it"
            )
    for path in new.iterdir():
        target = old / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
    new.rmdir()
