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
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file, logging

from .json_fields import AGAIN, check_types, read_json
from .shipped import shipped


logger = logging.get_logger(__name__)

CHECKSUMS = "checksums.json"
WEIGHTS = "model*.safetensors"
TEXTS = ("config.json", "generation_config.json", "model.safetensors.index*.json", "preprocessor_config.json")
# The name of the checksum in the metadata of a weight file.
TENSORS_CHECKSUM = "sha256"
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
        elif read_header(file)[1] is None:
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
        checkpoint = shipped(pretrained_model_name_or_path)
        if checkpoint is not None:
            check_checksums(checkpoint, cls.checksummed_files, **kwargs)
        return super().from_pretrained(checkpoint, *args, **kwargs)  # type: ignore[misc]


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
    find = file_finder(checkpoint, **arguments)
    record = find(CHECKSUMS)
    recorded = {} if record is None else _recorded(record.parent)
    for name in dict.fromkeys([*recorded, *(pattern for pattern in patterns if "*" not in pattern)]):
        if not _matches(name, patterns) or fnmatch(name, WEIGHTS) or (file := find(name)) is None:
            continue
        read_json(file)
        if name in recorded and sha256_of(file) != recorded[name]:
            logger.warning_once(
                f"{name} of {os.fspath(checkpoint)} was edited since it was saved. If the edit was meant, save "
                "what you load there with save_pretrained, or call record_checksums of career_hf.models.checksums"
            )
    if WEIGHTS in patterns:
        for file in weight_files(checkpoint, **arguments):
            if not _check_weights(file, recorded.get(file.name)):
                logger.info(f"{file} has no checksum, as after it was rewritten by other means than save_pretrained")


def file_finder(checkpoint: str | os.PathLike, **arguments: Any) -> Callable[[str], Path | None]:
    """A function that finds a file of a checkpoint by its name, as `from_pretrained` does; None if there is none.

    Args:
        checkpoint: Folder or Hub id.
        arguments: Arguments of `from_pretrained`; those that determine the files (revision, cache and so on) are used.
    """
    location = {name: value for name, value in arguments.items() if name in _LOCATION_ARGUMENTS and value is not None}
    quiet = ("missing_entries", "connection_errors", "gated_repo")
    location |= {f"_raise_exceptions_for_{what}": False for what in quiet}

    def find(name: str) -> Path | None:
        file = cached_file(checkpoint, name, **location)
        return None if file is None else Path(file)

    return find


def base_of_adapters(checkpoint: str | os.PathLike, **arguments: Any) -> str | os.PathLike:
    """The checkpoint on which a folder of PEFT's adapters builds; for any other checkpoint the checkpoint itself."""
    find = file_finder(checkpoint, **arguments)
    if find("config.json") is not None or (file := find("adapter_config.json")) is None:
        return checkpoint
    fields = read_json(file)
    check_types(str(file), fields, {"base_model_name_or_path": str}, ["base_model_name_or_path"])
    return fields["base_model_name_or_path"]


def weight_files(checkpoint: str | os.PathLike, **arguments: Any) -> list[Path]:
    """The weight files that `from_pretrained` takes.

    Args:
        checkpoint: Folder or Hub id.
        arguments: As in `file_finder`, and `variant`.

    Raises:
        ValueError: One of several files is missing, or their index is damaged or names a file of another folder.
    """
    if arguments.get("gguf_file") is not None:
        return []
    find, variant = file_finder(checkpoint, **arguments), arguments.get("variant")
    single, index_name = SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME
    if variant is not None:
        single, index_name = (f".{variant}.".join(name.rsplit(".", 1)) for name in (single, index_name))
    if (file := find(single)) is not None:
        return [file]
    if (index := find(index_name)) is None:
        return []
    entries = read_json(index)
    check_types(str(index), entries, {"weight_map": dict[str, str], "metadata": dict[str, Any] | None}, ["weight_map"])
    files = []
    for name in sorted(set(entries["weight_map"].values())):
        if Path(name).name != name or "\\" in name:
            raise ValueError(f"{index} names the file {name!r}, which is not in its own folder: {AGAIN}")
        if (file := find(name)) is None:
            raise ValueError(f"{name} of {os.fspath(checkpoint)} is missing, one of several weight files: {AGAIN}")
        files.append(file)
    return files


def _check_weights(file: Path, recorded: str | None) -> bool:
    """Whether weights are those of their checksum; False if they have none, and a ValueError if they are others.

    Args:
        file: The weight file.
        recorded: SHA-256 of the whole file, which folders saved by versions up to 0.1 have in `checksums.json`.
    """
    header, checksum = read_header(file)
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


def read_header(file: Path) -> tuple[dict[str, Any], str | None]:
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
    header, _ = read_header(file)
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
    if not path.exists():
        return {}
    recorded = read_json(path)
    check_types(str(path), recorded, dict.fromkeys(recorded, str))
    return recorded


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


__all__ = [
    "CHECKSUMS",
    "Checksummed",
    "base_of_adapters",
    "check_checksums",
    "file_finder",
    "read_header",
    "record_checksums",
    "sha256_of",
    "verify_checksums",
    "weight_files",
]
