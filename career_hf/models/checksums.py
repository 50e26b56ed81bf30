"""Checksums of a checkpoint's files, so that a damaged or altered one is an error and not a different model.

A flipped bit in a weight file, or another number in a config, loads without complaint. So whatever saves itself
records the SHA-256 of its files in `checksums.json` beside them, and whatever loads compares. Checksums find accidents
and careless edits; they are no signature: whoever can change a file can change its checksum.
"""

import hashlib
import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from transformers.utils import cached_file


CHECKSUMS = "checksums.json"
_WHERE = (
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
    """Writes the checksums of the files of a folder that match, keeping those of other files."""
    path = Path(folder) / CHECKSUMS
    others = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = {name: value for name, value in others.items() if not _matches(name, patterns)}
    own = {file.name: sha256_of(file) for file in Path(folder).iterdir() if _matches(file.name, patterns)}
    path.write_text(json.dumps(dict(sorted({**kept, **own}.items())), indent=2) + "\n", encoding="utf-8")


def check_checksums(checkpoint: str | os.PathLike, patterns: tuple[str, ...], **where: Any) -> None:
    """Compares the files of a checkpoint that match with what was recorded; one without checksums passes.

    Args:
        checkpoint: Folder or Hub id.
        patterns: Of file names.
        where: Of the arguments of `from_pretrained`, those that say which revision, cache and so on.

    Raises:
        ValueError: If a file is not the one that was saved, or is missing; it names the file.
    """
    where = {name: value for name, value in where.items() if name in _WHERE and value is not None}
    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    path = cached_file(checkpoint, CHECKSUMS, _raise_exceptions_for_gated_repo=False, **quiet, **where)
    if path is None:
        return
    for name, expected in json.loads(Path(path).read_text(encoding="utf-8")).items():
        if not _matches(name, patterns):
            continue
        file = cached_file(checkpoint, name, **quiet, **where)
        if file is None or sha256_of(Path(file)) != expected:
            state = "is missing" if file is None else "is not the file that was saved (another SHA-256)"
            raise ValueError(
                f"{name} of {os.fspath(checkpoint)} {state}, says {CHECKSUMS}, as after a download that "
                "broke off or an edit. Copy or download the checkpoint again; if a file was "
                f"changed on purpose, delete {CHECKSUMS}"
            )


class Checksummed:
    """A mixin before a class of Transformers that saves and loads itself: `checksummed_files` are its files."""

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
    """SHA-256 of files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


__all__ = ["CHECKSUMS", "Checksummed", "check_checksums", "record_checksums", "sha256_of"]
