"""Careers in Parquet files that are read part by part, for corpora that are larger than memory.

A file is read one row group at a time, so that a row group is the smallest part that memory has to hold.
`save_shards` writes files whose row groups are small. The footer of a Parquet file says how many people and how many
person-years each row group has, so that nothing is read to plan an epoch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from ..number_ranges import within_ranges
from .atomic_files import CAREER_MARKERS, complete
from .columns import career_pieces, list_lengths


# Careers in a file that `save_shards` writes.
FILE_PEOPLE = 200_000


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file of careers.

    Args:
        path: The file.
        number: The number of the row group in its file.
        people: Number of careers.
        steps: Number of person-years.
    """

    path: str
    number: int
    people: int
    steps: int


class CareerShards:
    """Careers in Parquet files with one row per person, as many as a disk holds.

    To go through them is to read them part by part, each of which is an ordinary `datasets.Dataset` of careers: every
    function of this package takes one. The files are read again each time.

    Args:
        files: A folder, all of whose Parquet files are read in the order of their names, or a list of files.
        people: Number of careers of a part in memory, or one row group if that is larger.

    Raises:
        ValueError: There are no files, a file is no Parquet file of careers, or files differ in their columns.

    Example:
        >>> from tempfile import mkdtemp
        >>> from career_hf.careers import CareerShards, from_frame, save_shards
        >>> folder = mkdtemp()
        >>> table = {"person": [1, 1, 2], "year": [1990, 1991, 1990], "occupation": ["cook", "waiter", "cook"]}
        >>> save_shards([from_frame(table)], folder)
        >>> shards = CareerShards(folder)
        >>> len(shards), shards.steps, [len(careers) for careers in shards]
        (2, 3, [2])
    """

    def __init__(self, files: str | Path | Sequence[str | Path], people: int = 50_000):
        self.people = people
        self._columns: list[str] | None = None
        if isinstance(files, (str, Path)):
            paths = sorted(Path(files).glob("*.parquet"))
        else:
            paths = [Path(file) for file in files]
        if not paths:
            raise ValueError(f"{files} has no Parquet files: write careers into it with save_shards")
        schema: pa.Schema | None = None
        groups = []
        for path in paths:
            try:
                footer = pq.read_metadata(path)
            except pa.ArrowInvalid as error:
                raise ValueError(f"{path} cannot be read as a Parquet file: {error}") from error
            own = footer.schema.to_arrow_schema().remove_metadata()
            if schema is not None and not own.equals(schema):
                raise ValueError(f"{path} has other columns than {paths[0]}: {own.names}, not {schema.names}")
            schema = own
            leaf = [footer.schema.column(i).path for i in range(len(footer.schema))]
            year = next((i for i, name in enumerate(leaf) if name.startswith("year.")), None)
            if year is None:
                raise ValueError(f"{path} has no column 'year' with a list for each person: write it with save_shards")
            for number in range(footer.num_row_groups):
                group = footer.row_group(number)
                if group.num_rows:
                    groups.append(RowGroup(str(path), number, group.num_rows, group.column(year).num_values))
        self.schema: pa.Schema = schema
        self.groups = groups

    def __len__(self) -> int:
        return sum(group.people for group in self.groups)

    @property
    def steps(self) -> int:
        """The number of person-years."""
        return sum(group.steps for group in self.groups)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, as a `datasets.Dataset` has them."""
        return list(self.schema.names) if self._columns is None else self._columns

    def select_columns(self, names: Sequence[str]) -> CareerShards:
        """The same careers with some of their columns; the others are not read."""
        selected = copy.copy(self)
        selected._columns = list(names)
        return selected

    def load(self) -> Dataset:
        """All careers in memory."""
        return self.read(self.groups)

    def read(self, groups: Sequence[RowGroup]) -> Dataset:
        """The careers of some row groups, in their order."""
        tables = []
        for group in groups:
            with pq.ParquetFile(group.path) as file:
                tables.append(
                    file.read_row_group(
                        group.number, columns=self._columns, use_threads=False
                    ).replace_schema_metadata(None)
                )
        table = pa.concat_tables(tables or [self.schema.empty_table().select(self.column_names)])
        return Dataset(table, fingerprint=_name_of(groups, self.column_names))

    def grouped(self, people: int) -> list[list[RowGroup]]:
        """All row groups in their order, as many together as have so many careers at most, or a single larger one."""
        parts: list[list[RowGroup]] = []
        filled = 0
        for group in self.groups:
            if not parts or filled + group.people > people:
                parts.append([])
                filled = 0
            parts[-1].append(group)
            filled += group.people
        return parts

    def __iter__(self) -> Iterator[Dataset]:
        return map(self.read, self.grouped(self.people))


def _name_of(groups: Sequence[RowGroup], columns: Sequence[str]) -> str:
    """A fingerprint of row groups, by which datasets tells apart what it makes of them."""
    return blake2b(repr((list(groups), columns)).encode(), digest_size=8).hexdigest()


def table_pieces(careers: Dataset | CareerShards) -> Iterator[pa.Table]:
    """Careers piece by piece, as `career_pieces` returns them, wherever they are."""
    for part in careers if isinstance(careers, CareerShards) else [careers]:
        yield from career_pieces(part)


def person_years(careers: Dataset | CareerShards) -> int:
    """The number of person-years of careers, wherever they are."""
    if isinstance(careers, CareerShards):
        return careers.steps
    return sum(int(list_lengths(piece, "year").sum()) for piece in career_pieces(careers, ["year"]))


def split_shards(folder: str | Path) -> dict[str, CareerShards]:
    """The splits of a folder that has a folder of Parquet files for each of them; none of any other folder."""
    if any((Path(folder) / marker).is_file() for marker in CAREER_MARKERS):
        return {}
    found = sorted(path.parent for path in Path(folder).glob("*/*.parquet"))
    return {path.name: CareerShards(path) for path in dict.fromkeys(found)}


@within_ranges
def save_shards(careers: Dataset | Iterable[Dataset], folder: str | Path, *, people_per_group: int = 2_000) -> None:
    """Writes careers into Parquet files that `CareerShards` reads.

    Args:
        careers: Careers, or any number of parts of careers one after another, such as a generator makes.
        folder: The folder of the files.
        people_per_group: Number of careers in a row group, which are read together.

    Raises:
        ValueError: The folder has Parquet files already, or a part is no `datasets.Dataset`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.parquet")):
        raise ValueError(f"{folder} has Parquet files already: choose another folder")
    number = 0
    for part in [careers] if isinstance(careers, Dataset) else careers:
        if not isinstance(part, Dataset):
            raise ValueError(f"a part of careers is a datasets.Dataset, and no {type(part).__name__}")
        for piece in career_pieces(part):
            for first in range(0, piece.num_rows, FILE_PEOPLE):
                with complete(folder / f"{number:05d}.parquet") as unfinished:
                    table = piece.slice(first, FILE_PEOPLE).replace_schema_metadata(None)
                    pq.write_table(table, unfinished, row_group_size=people_per_group)
                number += 1


__all__ = ["CareerShards", "RowGroup", "person_years", "save_shards", "split_shards", "table_pieces"]
