"""Checksums of a checkpoint's files, so that a damaged one is an error and not a different model.

A flipped bit in a weight file would load without an error. So every file of weights carries the SHA-256 of its tensors
in its own header, where the file format keeps metadata, and loading compares. A file that somebody rewrote by the
means of safetensors has no checksum any more, and loads. Texts (configs, the processor, the index of several weight
files) have theirs in `checksums.json` beside them. People edit texts, so an edited one is a warning, and what cannot
be read is an error. `verify_checksums` accepts neither edits nor files without a checksum; publishing calls it.

Checksums find accidents. They are no signature: somebody who can change a file can change its checksum.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file, logging


logger = logging.get_logger(__name__)

CHECKSUMS = "checksums.json"
WEIGHTS = "model*.safetensors"
TEXTS = ("config.json", "generation_config.json", "model.safetensors.index*.json", "preprocessor_config.json")
# The name of the checksum in the metadata of a weight file.
TENSORS_CHECKSUM = "sha256"
AGAIN = "copy or download the checkpoint again"
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


def record_checksums(folder: str | os.PathLike, patterns: tuple[str, ...] = (*TEXTS, WEIGHTS)) -> None:
    """Records the checksums of a folder's files as they are; every `save_pretrained` of this package calls it.

    Texts are recorded in `checksums.json`, which keeps the checksums of other files. Weights without a checksum get
    one in their header.

    Args:
        folder: Folder of the checkpoint.
        patterns: Patterns of the names of the files to record.
    """
    folder = Path(folder)
    recorded = {name: checksum for name, checksum in _recorded(folder).items() if not _matches(name, patterns)}
    for file in sorted(folder.iterdir()):
        if not _matches(file.name, patterns):
            continue
        if not fnmatch(file.name, WEIGHTS):
            recorded[file.name] = sha256_of(file)
        elif _read_header(file)[1] is None:
            _write_checksum(file)
    text = json.dumps(dict(sorted(recorded.items())), indent=2) + "\n"
    (folder / CHECKSUMS).write_text(text, encoding="utf-8")


def verify_checksums(folder: str | os.PathLike) -> None:
    """Raises a ValueError unless every file of a checkpoint has a checksum and is as it was saved.

    Args:
        folder: Folder of the checkpoint.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"there is no folder '{folder}'")
    recorded = _recorded(folder)
    for file in sorted(folder.iterdir()):
        if fnmatch(file.name, WEIGHTS):
            is_saved = _check_weights(file, recorded.get(file.name))
        elif _matches(file.name, TEXTS):
            is_saved = recorded.get(file.name) == sha256_of(file)
        else:
            continue
        if not is_saved:
            raise ValueError(
                f"{file} was changed since it was saved, or was saved without a checksum: if it is as it should be, "
                f"record it with career_hf.models.checksums.record_checksums('{folder}')"
            )
    if missing := [name for name in recorded if not (folder / name).is_file()]:
        raise ValueError(f"{folder / missing[0]} is missing, which {CHECKSUMS} records: {AGAIN}")


class Checksummed:
    """A mixin for classes of Transformers with `save_pretrained` and `from_pretrained`; it comes before the class.

    `checksummed_files` has patterns of the names of files that the class saves and loads.
    """

    checksummed_files: ClassVar[tuple[str, ...]] = (
        "config.json",
        "generation_config.json",
        "model.safetensors.index*.json",
        WEIGHTS,
    )

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


def check_checksums(checkpoint: str | os.PathLike, patterns: tuple[str, ...], **arguments: Any) -> None:
    """Compares the files that are about to be loaded with their checksums; files without one pass.

    A text that was edited since is a warning.

    Args:
        checkpoint: Folder or Hub id.
        patterns: Patterns of the names of the files to compare.
        arguments: Arguments of `from_pretrained`; those that determine the files (revision, cache and so on) are used.

    Raises:
        ValueError: A weight file is not as it was saved, or is missing, or a text cannot be read; the message names
            the file.
    """
    location = {name: value for name, value in arguments.items() if name in _LOCATION_ARGUMENTS and value is not None}

    def find(name: str) -> Path | None:
        quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
        file = cached_file(checkpoint, name, _raise_exceptions_for_gated_repo=False, **quiet, **location)
        return None if file is None else Path(file)

    record = find(CHECKSUMS)
    recorded = {} if record is None else _recorded(record.parent)
    for name, checksum in recorded.items():
        if not _matches(name, patterns) or fnmatch(name, WEIGHTS):
            continue
        file = find(name)
        if file is not None and sha256_of(file) != checksum:
            _read_text(file)
            logger.warning_once(
                f"{name} of {os.fspath(checkpoint)} was edited since it was saved. If the edit was meant, save "
                "what you load there with save_pretrained, or call record_checksums of career_hf.models.checksums"
            )
    if WEIGHTS in patterns and arguments.get("gguf_file") is None:
        for file in _weight_files(find, checkpoint, arguments.get("variant")):
            if not _check_weights(file, recorded.get(file.name)):
                logger.info(f"{file} has no checksum, as after it was rewritten by other means than save_pretrained")


def _weight_files(find: Any, checkpoint: str | os.PathLike, variant: str | None) -> Iterator[Path]:
    """The weight files that `from_pretrained` takes; raises a ValueError if one of several is missing."""
    single, index_name = SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME
    if variant is not None:
        single, index_name = (f".{variant}.".join(name.rsplit(".", 1)) for name in (single, index_name))
    if (file := find(single)) is not None:
        yield file
    elif (index := find(index_name)) is not None:
        for name in sorted(set(_read_text(index)["weight_map"].values())):
            if (file := find(name)) is None:
                raise ValueError(f"{name} of {os.fspath(checkpoint)} is missing, one of several weight files: {AGAIN}")
            yield file


def _check_weights(file: Path, recorded: str | None) -> bool:
    """Whether weights are those of their checksum; False if they have none, and a ValueError if they are others.

    Args:
        file: The weight file.
        recorded: SHA-256 of the whole file, which folders saved by versions up to 0.1 have in `checksums.json`.
    """
    header, checksum = _read_header(file)
    if checksum is not None:
        with file.open("rb") as opened:
            opened.seek(8 + int.from_bytes(opened.read(8), "little"))
            is_same = _checksum(header, opened) == checksum
    elif recorded is not None:
        is_same = sha256_of(file) == recorded
    else:
        return False
    if not is_same:
        raise ValueError(
            f"{file} is damaged: its weights are not those that were saved (another SHA-256). {AGAIN.capitalize()}"
        )
    return True


def _read_header(file: Path) -> tuple[dict[str, Any], str | None]:
    """The header of a weight file without its checksum, and the checksum; a ValueError if the file is damaged."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 0 < length <= file.stat().st_size - 8:
                raise ValueError("its header is cut")
            header = json.loads(opened.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        checksum = header.setdefault("__metadata__", {}).pop(TENSORS_CHECKSUM, None)
        expected = 8 + length + max(ends, default=0)
        if expected != file.stat().st_size:
            raise ValueError(f"it has {file.stat().st_size:,} bytes instead of {expected:,}")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file} is damaged: {reason}. {AGAIN.capitalize()}") from error
    return header, checksum


def _write_checksum(file: Path) -> None:
    """Writes a weight file again with its checksum; the file is never half written, and never in memory as a whole."""
    header, _ = _read_header(file)
    length = len(_as_bytes(header, "0" * 64))
    with file.open("rb") as source, tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as copy:
        try:
            source.seek(8 + int.from_bytes(source.read(8), "little"))
            copy.write(length.to_bytes(8, "little") + bytes(length))
            checksum = _checksum(header, source, copy)
            copy.seek(8)
            copy.write(_as_bytes(header, checksum))
            copy.close()
            shutil.copymode(file, copy.name)
            os.replace(copy.name, file)
        except BaseException:
            os.unlink(copy.name)
            raise


def _as_bytes(header: dict[str, Any], checksum: str) -> bytes:
    """A header with its checksum, of a length that keeps tensors aligned."""
    metadata = {**header["__metadata__"], TENSORS_CHECKSUM: checksum}
    text = json.dumps({**header, "__metadata__": metadata}, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _checksum(header: dict[str, Any], tensors: BinaryIO, copy: Any = None) -> str:
    """The SHA-256 of a header without its checksum and of the tensors after it, which are copied on the way."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    while block := tensors.read(1 << 20):
        digest.update(block)
        if copy is not None:
            copy.write(block)
    return digest.hexdigest()


def _recorded(folder: Path) -> dict[str, str]:
    """The checksums of `checksums.json` by the name of the file; none if there is no such file."""
    path = folder / CHECKSUMS
    return _read_text(path) if path.exists() else {}


def _read_text(file: Path) -> Any:
    """What is in a JSON file; raises a ValueError that names the file if it cannot be read."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is damaged, because it is no JSON ({error}): {AGAIN}") from error


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


__all__ = ["CHECKSUMS", "Checksummed", "check_checksums", "record_checksums", "sha256_of", "verify_checksums"]
