"""The files of a folder of careers: what is loaded lies in the folder, and is what was saved.

`save_careers` records the SHA-256 of its files in `checksums.json`. A flipped bit in a file of careers would else load
as another year or occupation. Checksums find accidents and are no signature: somebody who can change a file can change
its checksum. The card, which people edit, has none.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any

from .atomic_files import CAREER_MARKERS, SPLIT_MARKER


CHECKSUMS, MANIFEST = "checksums.json", "split.json"
AGAIN = "copy the careers again, or prepare them again"

logger = logging.getLogger(__name__)


def record_files(folder: Path) -> None:
    """Records the checksums of all files of a folder of careers, which must hold nothing else."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    recorded = {path.relative_to(folder).as_posix(): _sha256(path) for path in files}
    (folder / CHECKSUMS).write_text(json.dumps(recorded, indent=2) + "\n", encoding="utf-8")


def check_same_careers(folder: Path, new: Path) -> None:
    """Raises a ValueError if a folder holds other careers than a new one, which would replace them unasked."""
    holds_careers = any((folder / name).is_file() for name in CAREER_MARKERS)
    earlier = folder / CHECKSUMS
    if holds_careers and not (earlier.is_file() and earlier.read_bytes() == (new / CHECKSUMS).read_bytes()):
        raise ValueError(
            f"{folder} holds other careers: take another folder, or replace them with overwrite=True (--overwrite)"
        )


def check_files(folder: Path) -> bool:
    """Checks the files of a folder of careers before they are read; a folder without any is left to the reader.

    A folder without checksums, of an older version or of another writer, is said in the log.

    Returns:
        Whether every file that has a checksum is as it was saved; False where there are none.

    Raises:
        ValueError: A file is missing, is not the one that was saved, is no JSON of the expected form, or names a file
            outside of the folder. The message is one line and names it.
    """
    splits, parts = folder / CAREER_MARKERS[0], [folder]
    if splits.is_file():
        names = _field(splits, "splits", list)
        parts = [folder / _own_name(splits, name) for name in names]
    elif not (folder / SPLIT_MARKER).is_file():
        return False
    for part in parts:
        state = part / SPLIT_MARKER
        for file in (state, part / CAREER_MARKERS[1]):
            if not file.is_file():
                raise ValueError(f"{file} is missing: {AGAIN}")
        read_object(part / CAREER_MARKERS[1])
        for entry in _field(state, "_data_files", list):
            name = _own_name(state, entry.get("filename") if isinstance(entry, dict) else entry)
            if not (part / name).is_file():
                raise ValueError(f"{part / name} is missing, which {state} names: {AGAIN}")
    if not (folder / CHECKSUMS).is_file():
        logger.warning(
            f"{folder} has no {CHECKSUMS}, so nobody can tell whether its careers are those that were saved: "
            "save_careers records them"
        )
        return False
    for name, checksum in read_object(folder / CHECKSUMS).items():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{folder / CHECKSUMS} names {name!r}, which is outside of its folder: {AGAIN}")
        if not file.is_file():
            raise ValueError(f"{file} is missing, which {CHECKSUMS} records: {AGAIN}")
        if _sha256(file) != checksum:
            raise ValueError(
                f"{file} is not the file that was saved (another SHA-256): {AGAIN}, or save careers that were changed "
                "on purpose with save_careers"
            )
    return True


def read_manifest(file: Path) -> dict[str, Any]:
    """The manifest of a split; raises a ValueError that names the file and the field if it is none."""
    manifest = read_object(file)
    _field(file, "salt", str)
    for part in _field(file, "fractions", list):
        if not (isinstance(part, list) and len(part) == 2 and isinstance(part[1], int | float)):
            raise ValueError(f"{file} is damaged: {short(part)} is not the name of a split and its share: {AGAIN}")
    if not isinstance(manifest.get("group", 0), str | None):
        raise ValueError(f"{file} is damaged: 'group' must be a str or null: {AGAIN}")
    for name, split in _field(file, "splits", dict).items():
        people, checksum = (split.get(field) for field in ("people", "sha256")) if isinstance(split, dict) else (0, 0)
        if not isinstance(people, int) or not isinstance(checksum, str):
            raise ValueError(f"{file} is damaged: split '{name}' has no number of people and no sha256: {AGAIN}")
    return manifest


def read_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file; raises a ValueError that names the file if it holds anything else."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged, because it is no JSON ({error}): {AGAIN}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{file} is damaged, because it holds no fields by name: {AGAIN}")
    return values


def _field(file: Path, name: str, kind: type) -> Any:
    """A field of a JSON file; raises a ValueError if it is missing or of another type."""
    values: Mapping[str, Any] = read_object(file)
    if not isinstance(values.get(name), kind):
        found = short(values.get(name))
        raise ValueError(f"{file} is damaged: '{name}' must be a {kind.__name__}, and is {found}: {AGAIN}")
    return values[name]


def _own_name(file: Path, name: Any) -> str:
    """A name of a file or folder beside a file that names it; raises a ValueError for a path to elsewhere."""
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name or "\\" in name:
        raise ValueError(f"{file} names {name!r}, which is not a file or folder beside it: {AGAIN}")
    return name


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
