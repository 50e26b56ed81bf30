"""Checksums of a checkpoint's files, so that a damaged or altered one is an error and not a different model.

A flipped bit in a weight file, or another number in a config, would load without an error. So saving records the
SHA-256 of the files in `checksums.json` beside them, and loading compares. Checksums find accidents and careless
edits. They are no signature: somebody who can change a file can change its checksum.
"""

import hashlib
import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from transformers.utils import cached_file


CHECKSUMS = "checksums.json"
# Arguments of `from_pretrained` that determine the files.
_LOCATION_ARGUMENTS = (
    "cache_dir",
    "force_download",
    "proxies",
    "token",
    "revision",
    "local_files_only",
    "subfolder",
    "_commit_hash",
)


def record_checksums(folder: str | os.PathLike, patterns: tuple[str, ...]) -> None:
    """Writes the checksums of a folder's files into `checksums.json`, which keeps the checksums of other files.

    Args:
        folder: Folder of the checkpoint.
        patterns: Patterns of the names of the files to record.
    """
    path = Path(folder) / CHECKSUMS
    recorded = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    checksums = {name: checksum for name, checksum in recorded.items() if not _matches(name, patterns)}
    checksums |= {file.name: sha256_of(file) for file in Path(folder).iterdir() if _matches(file.name, patterns)}
    path.write_text(json.dumps(dict(sorted(checksums.items())), indent=2) + "\n", encoding="utf-8")


def check_checksums(checkpoint: str | os.PathLike, patterns: tuple[str, ...], **arguments: Any) -> None:
    """Compares a checkpoint's files with their recorded checksums; a checkpoint without checksums passes.

    Args:
        checkpoint: Folder or Hub id.
        patterns: Patterns of the names of the files to compare.
        arguments: Arguments of `from_pretrained`; those that determine the files (revision, cache and so on) are used.

    Raises:
        ValueError: If a file is not the one that was saved, or is missing; the message names the file.
    """
    location = {name: value for name, value in arguments.items() if name in _LOCATION_ARGUMENTS and value is not None}
    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    path = cached_file(checkpoint, CHECKSUMS, _raise_exceptions_for_gated_repo=False, **quiet, **location)
    if path is None:
        return
    for name, expected in json.loads(Path(path).read_text(encoding="utf-8")).items():
        if not _matches(name, patterns):
            continue
        file = cached_file(checkpoint, name, **quiet, **location)
        if file is None or sha256_of(Path(file)) != expected:
            state = "is missing" if file is None else "is not the file that was saved (another SHA-256)"
            raise ValueError(
                f"{name} of {os.fspath(checkpoint)} {state}, says {CHECKSUMS}, as after an interrupted "
                "download or an edit. Copy or download the checkpoint again; if a file was "
                f"changed on purpose, delete {CHECKSUMS}"
            )


class Checksummed:
    """A mixin for classes of Transformers with `save_pretrained` and `from_pretrained`; it comes before the class.

    `checksummed_files` has patterns of the names of files that the class saves and loads.
    """

    checksummed_files: tuple[str, ...] = ("config.json", "model*.safetensors", "model*.safetensors.index.json")

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        saved = super().save_pretrained(save_directory, *args, **kwargs)  # type: ignore[misc]
        if kwargs.get("is_main_process", True):
            record_checksums(save_directory, self.checksummed_files)
        return saved

    def _upload_modified_files(self, working_dir: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        # With push_to_hub=True the upload comes before the end of save_pretrained.
        record_checksums(working_dir, self.checksummed_files)
        return super()._upload_modified_files(working_dir, *args, **kwargs)  # type: ignore[misc]

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        if pretrained_model_name_or_path is not None:
            check_checksums(pretrained_model_name_or_path, cls.checksummed_files, **kwargs)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)  # type: ignore[misc]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def sha256_of(*files: Path) -> str:
    """The SHA-256 of the contents of files, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


__all__ = ["CHECKSUMS", "Checksummed", "check_checksums", "record_checksums", "sha256_of"]
