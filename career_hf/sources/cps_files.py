"""Reads files of the Current Population Survey as the Census Bureau publishes them: fixed-width text, or CSV.

A dictionary says where each item stands. Three forms are read: the Bureau's record layouts of the basic monthly files
("NAME SIZE DESCRIPTION LOCATION"), its data dictionaries of the March supplement and of some monthly files
("D NAME SIZE BEGIN"), and the Stata dictionaries of the NBER ("_column(1) ..."). Values stay raw here.
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd


# Dictionaries, in which a name may have a hyphen where later files have an underscore.
MONTHLY_LINE = re.compile(
    r"^\s*([A-Za-z][A-Za-z0-9_]*)\*?\s+(\d{1,2})\s.*?\(?(\d{1,4})\s*[-\u2013\x96]\s*(\d{1,4})\)?\s*$"
)
MARCH_LINE = re.compile(r"^D\s+([A-Za-z][A-Za-z0-9_$%-]*)\s+(\d{1,2})\s+(\d{1,4})\b")
STATA_LINE = re.compile(r"^\s*_column\((\d+)\s*\)\s*\w+\s+(\w+)\s+%(\d+)")
DICTIONARIES = (".dct", ".dd", ".ddf", ".txt")
DATA = (".asc", ".cps", ".csv", ".dat", ".raw")
COMPRESSED = (".gz", ".zip")

# First and last column of each item, from 1, of one kind of record.
Layout = Mapping[str, tuple[int, int]]


def suffix_of(path: Path) -> str:
    """The suffix of a file without that of its compression, in small letters."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in COMPRESSED), "")


def stem_of(path: Path) -> str:
    """The name of a file up to its first point, in small letters."""
    return path.name.split(".")[0].lower()


def data_files(folder: Path) -> list[Path]:
    """The data files of a folder and its subfolders, sorted; zip files of any name count as data.

    Raises:
        ValueError: There are none.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    found = [path for path in paths if suffix_of(path) in DATA or path.suffix.lower() == ".zip"]
    if not found:
        raise ValueError(
            f"{folder} has no data file of the CPS ({', '.join(DATA)}, also as .zip or .gz): put the Census Bureau's "
            "files there, with their dictionaries"
        )
    return found


def dictionary_of(path: Path) -> Path:
    """The dictionary of a fixed-width file: that of its name in its folder, else the only one of its folder.

    Raises:
        ValueError: There is none, or there are several of other names.
    """
    others = [other for other in sorted(path.parent.iterdir()) if suffix_of(other) in DICTIONARIES and other != path]
    named = [other for other in others if stem_of(other) == stem_of(path)]
    found = named or others
    if len(found) != 1:
        names = ", ".join(other.name for other in found) or "none"
        raise ValueError(
            f"{path} needs one dictionary, and its folder has {names}: give the dictionary the name of the data, "
            f"{stem_of(path)}.txt, or give the files of each layout a folder with their dictionary"
        )
    return found[0]


def read_dictionary(path: Path, items: Collection[str]) -> list[Layout]:
    """Reads where items stand, by kind of record: one layout for monthly files, three for March files.

    Args:
        path: Dictionary.
        items: Names; an item that a kind of record does not have is not in its layout.

    Raises:
        ValueError: No line of it says where an item stands, or a line on one of `items` contradicts itself.
    """
    # Agencies mix encodings; names and numbers are ASCII in all of them.
    lines = _content(path).decode("latin-1").splitlines()
    stata = [(m[2], int(m[1]), int(m[3])) for line in lines if (m := STATA_LINE.match(line))]
    march = [(m[1], int(m[3]), int(m[2])) for line in lines if (m := MARCH_LINE.match(line))]
    if stata or march:
        layouts: list[dict[str, tuple[int, int]]] = []
        for name, first, size in max(stata, march, key=len):
            if first == 1 or not layouts:
                layouts.append({})
            if (item := name.upper().replace("-", "_")) in items:
                layouts[-1].setdefault(item, (first, first + size - 1))
        return list(layouts)
    layout: dict[str, tuple[int, int]] = {}
    matched = False
    for number, line in enumerate(lines, 1):
        if not (match := MONTHLY_LINE.match(line)):
            continue
        name, size, first, last = match[1].upper(), int(match[2]), int(match[3]), int(match[4])
        matched = True
        if name in items and name not in layout:
            if last - first + 1 != size:
                raise ValueError(
                    f"{path}, line {number}: {name} has {size} columns, but stands in {first}-{last}: correct the line"
                )
            layout[name] = (first, last)
    if not matched:
        raise ValueError(f"{path} is no dictionary of the CPS: none of its lines says where an item stands")
    return [layout]


class Records:
    """A data file: its items by name, as text.

    Args:
        path: Fixed-width text, whose dictionary lies beside it, or CSV; also compressed.
        items: Names of the items that may be read.

    Raises:
        ValueError: The file cannot be read, or has no dictionary.
    """

    def __init__(self, path: Path, items: Collection[str]) -> None:
        self.path = path
        content = _content(path)
        self.is_csv = suffix_of(path) == ".csv" or _first_line(content).count(b",") > 20
        if self.is_csv:
            self._content = content
            header = _first_line(content).decode("latin-1").strip()
            names = [_plain(name.strip().strip('"')) for name in header.split(",")]
            self.layouts: list[Layout] = [{name: (0, 0) for name in names if name in items}]
            return
        self.dictionary = dictionary_of(path)
        self.layouts = read_dictionary(self.dictionary, items)
        self._bytes = np.frombuffer(content, dtype=np.uint8)
        ends = np.flatnonzero(self._bytes == ord("\n"))
        if len(self._bytes) and (not len(ends) or ends[-1] != len(self._bytes) - 1):
            ends = np.append(ends, len(self._bytes))
        starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64) if len(ends) else ends
        lengths = ends - starts
        # Lines of Windows end in two characters, and files of old ones in a third.
        for end in (b"\r", b"\x1a"):
            last = self._bytes[np.maximum(ends - 1, 0)]
            lengths = lengths - ((lengths > 0) & (last == end[0]))
        self._starts, self._lengths = starts[lengths > 0], lengths[lengths > 0]
        self._numbers = np.flatnonzero(lengths > 0) + 1

    def layout_with(self, item: str) -> Layout | None:
        """The layout of the kind of record that has an item; None if no kind has it."""
        return next((layout for layout in self.layouts if item in layout), None)

    def read(self, layout: Layout, items: Sequence[str], kind: str | None = None) -> pd.DataFrame:
        """Reads items that a layout has; the others are left out.

        Args:
            layout: One of `layouts`.
            items: Names.
            kind: First character of the records that the layout is about, in files that mix kinds.

        Raises:
            ValueError: A line is too short for an item; the message names file and line.
        """
        wanted = [item for item in items if item in layout]
        if self.is_csv:
            frame = pd.read_csv(
                io.BytesIO(self._content),
                dtype=str,
                keep_default_na=False,
                encoding="latin-1",
                usecols=lambda name: _plain(name) in wanted,
            )
            return frame.rename(columns=_plain)[wanted]
        rows = slice(None) if kind is None else self._bytes[self._starts] == ord(kind)
        starts, lengths, numbers = self._starts[rows], self._lengths[rows], self._numbers[rows]
        end = max((layout[item][1] for item in wanted), default=0)
        if (lengths < end).any():
            short = int(np.argmax(lengths < end))
            raise ValueError(
                f"{self.path}, line {numbers[short]}: {lengths[short]} characters, but {self.dictionary.name} has "
                f"items up to character {end}: download both again, or find the dictionary of this file"
            )
        return pd.DataFrame({item: self._cells(starts, *layout[item]) for item in wanted})

    def _cells(self, starts: np.ndarray, first: int, last: int) -> np.ndarray:
        cells = self._bytes[starts[:, None] + np.arange(first - 1, last)]
        text = np.ascontiguousarray(cells).view(f"S{last - first + 1}").ravel()
        distinct, places = np.unique(text, return_inverse=True)
        return np.array([cell.decode("latin-1").strip() for cell in distinct.tolist()], dtype=object)[places]


def whole_numbers(column: pd.Series, path: Path) -> pd.Series:
    """Values of an item as whole numbers, -1 where it is blank.

    Raises:
        ValueError: A value is no number, as where a dictionary of another file was used.
    """
    places, distinct = pd.factorize(column)
    numbers = pd.to_numeric(pd.Series(distinct, dtype=object).replace("", "-1"), errors="coerce")
    if numbers.isna().any():
        value = distinct[int(np.argmax(numbers.isna()))]
        raise ValueError(
            f"{path}: {column.name} has the value {value!r}, which is no number: is its dictionary that of this file?"
        )
    return pd.Series(numbers.to_numpy(dtype=np.float64)[places].astype(np.int64), index=column.index, name=column.name)


def weights(column: pd.Series, decimals: int, path: Path) -> pd.Series:
    """Survey weights: whole numbers with implied decimals, or numbers with a point, which are taken as they are.

    Raises:
        ValueError: A value is no number.
    """
    numbers = pd.to_numeric(column.replace("", "0"), errors="coerce")
    if numbers.isna().any():
        value = column[numbers.isna()].iloc[0]
        raise ValueError(f"{path}: {column.name} has the value {value!r}, which is no weight")
    has_point = column.str.contains(".", regex=False)
    return numbers.where(has_point, numbers / 10**decimals).clip(lower=0)


def _plain(name: str) -> str:
    """The name of a column in capital letters, without the mark with which some files begin."""
    return str(name).lstrip("\u00ef\u00bb\u00bf").strip().upper()


def _first_line(content: bytes) -> bytes:
    return content[:100_000].split(b"\n", 1)[0]


def _content(path: Path) -> bytes:
    """The bytes of a file, uncompressed.

    Raises:
        ValueError: It is damaged, or a zip file with several data files.
    """
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                held = [name for name in names if suffix_of(Path(name)) in DATA] or names
                if len(held) != 1:
                    raise ValueError(f"{path} holds {len(held)} data files: unzip it, and keep those to be read")
                return archive.read(held[0])
        return gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    except (zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"{path} cannot be unpacked ({error}): download it again") from error
