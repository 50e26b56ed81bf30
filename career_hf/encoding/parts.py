"""Parquet files of what a model computes of careers that memory does not hold: a file for each part of the careers.

A file appears only when it is complete, so that a run that was stopped goes on. It records the model, the options and
the careers that it was made from, and is used again only if these are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel

from ..careers.atomic_files import complete, locked
from ..careers.columns import career_table
from ..careers.frames import as_careers
from ..careers.shards import CareerShards
from ..careers.splits_in_files import files_of_split
from .collating import EncodedCareers


IDENTITY = b"career_hf"
T = TypeVar("T")


@dataclass(frozen=True)
class PartFiles:
    """Files of what is computed of careers part by part.

    Args:
        folder: Destination folder.
        kind: What the files hold, such as "representations", for errors.
        model: The model that computes it.
        options: What else determines it, in a form for JSON.
        columns: The columns of careers that it depends on, beside what is encoded; all of them if None.
    """

    folder: str | Path
    kind: str
    model: PreTrainedModel
    options: Mapping[str, Any]
    columns: Sequence[str] | None = None

    def write(
        self,
        parts: Sequence[Callable[[], Dataset]],
        encode: Callable[[Dataset], EncodedCareers],
        compute: Callable[[Dataset, EncodedCareers, str], pa.Table],
    ) -> None:
        """Computes and writes the files that are not there yet.

        Args:
            parts: What `parts_of` returns.
            encode: Encodes the careers of a part.
            compute: Makes the table of a part, of its careers, encoded careers, and a description for a progress bar.

        Raises:
            ValueError: The folder has files of another model, other options or other careers, or another run has it.
        """
        model = hash_of_model(self.model)
        with locked(self.folder):
            for number, read in enumerate(parts):
                careers = read()
                encoded = encode(careers)
                identity = {"model": model, **self.options, "files": len(parts)}
                identity["careers"] = self._hash_of(careers, encoded)
                path = Path(self.folder) / f"{number:05d}.parquet"
                if not path.exists():
                    table = compute(careers, encoded, f"file {number + 1} of {len(parts)}")
                    metadata = {**(table.schema.metadata or {}), IDENTITY: json.dumps(identity)}
                    with complete(path) as unfinished:
                        pq.write_table(table.replace_schema_metadata(metadata), unfinished)
                    continue
                recorded = recorded_identity(path, self.kind)
                if different := [name for name, value in recorded.items() if value != identity.get(name)]:
                    raise ValueError(f"{path} was made with other {', '.join(different)}: choose another folder")

    def _hash_of(self, careers: Dataset, encoded: EncodedCareers) -> str:
        table = career_table(careers if self.columns is None else careers.select_columns(list(self.columns)))
        sink = pa.BufferOutputStream()
        # A stream has the rows of a slice alone, wherever they are in the table that it was taken from.
        with pa.ipc.new_stream(sink, table.replace_schema_metadata(None).schema) as writer:
            writer.write_table(table.replace_schema_metadata(None))
        digest = hashlib.sha256(sink.getvalue())
        flat = encoded.gather(np.arange(len(encoded)))
        for column in (flat.lengths, flat.labels, flat.covariates):
            if column is not None:
                digest.update(np.ascontiguousarray(column).astype(np.int64).tobytes())
        return digest.hexdigest()


def parts_of(
    careers: str | Path | Dataset | DatasetDict | CareerShards, split: str | None, people: int
) -> list[Callable[[], Dataset]]:
    """Careers part by part: a list of functions that read some of them.

    Args:
        careers: Careers, in memory or in files; a folder of files is never read at once.
        split: The split to take from careers that have splits; all of them together if None.
        people: Number of careers in a part; of files a part has whole row groups, at least one.

    Raises:
        ValueError: There is no such split, or a folder cannot be read.
    """
    files = files_of_split(careers, split)
    if files is not None:
        return [partial(shards.read, groups) for shards in files for groups in shards.grouped(people)]
    loaded = as_careers(careers, split)  # type: ignore[arg-type]
    starts = range(0, len(loaded), people)
    return [partial(loaded.select, range(start, min(start + people, len(loaded)))) for start in starts]


def files_of_parts(folder: str | Path, kind: str, made_by: str) -> list[Path]:
    """The files in a folder that `PartFiles.write` has written to its end, in their order.

    Args:
        folder: The folder of the files.
        kind: What the files hold.
        made_by: The function that writes them.

    Raises:
        ValueError: The folder has other files, or not all of them yet, or one is damaged.
    """
    paths = sorted(Path(folder).glob("*.parquet"))
    # Every footer is read, because the end of a damaged file is the first to go.
    files = [recorded_identity(path, kind) for path in paths][0]["files"] if paths else 0
    if not paths or len(paths) != files:
        raise ValueError(f"{folder} has {len(paths)} of {files or 'no'} files: run {made_by} to its end")
    return paths


def recorded_identity(path: Path, kind: str) -> dict[str, Any]:
    """What a file records of how it was made.

    Raises:
        ValueError: It records nothing, or is damaged.
    """
    identity = read_part(path, _identity)
    if identity is None:
        raise ValueError(f"{path} is not a file of {kind}: choose another folder")
    return identity


def _identity(path: Path) -> dict[str, Any] | None:
    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata[IDENTITY]) if IDENTITY in metadata else None


def read_part(path: Path, read: Callable[[Path], T]) -> T:
    """What a function reads of one of the files.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        return read(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged: {' '.join(str(error).split())}; delete it, and make it again in the same way"
        ) from error


def hash_of_model(model: PreTrainedModel) -> str:
    """A hash of all weights of a model."""
    digest = hashlib.sha256()
    for name, values in model.state_dict().items():
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


__all__ = ["IDENTITY", "PartFiles", "files_of_parts", "hash_of_model", "parts_of", "read_part", "recorded_identity"]
