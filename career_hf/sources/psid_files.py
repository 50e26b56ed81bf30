"""Reads files of the PSID Data Center (https://simba.isr.umich.edu) as they come: fixed-width text, csv or xlsx.

A text file has no header: a setup file beside it, for SAS (.sas), Stata (.do) or SPSS (.sps), gives the columns of
each variable. A file with ER30001 and ER30002 has one row per individual; any other has one row per family of a wave,
whose values go to the people of the family by that wave's interview number. Values stay raw here.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd


FAMILY_1968, PERSON_1968 = "ER30001", "ER30002"
MOST_FAMILIES, MOST_PEOPLE = 9999, 999
SETUP_SUFFIXES = (".sas", ".do", ".sps")
VARIABLE = re.compile(r"[A-Z]+\d+([A-Z]\d?)?(_[A-Z0-9]+)?")
# Section of each kind of setup file that lists the columns: `INPUT ... ;`, `infix ... using`, `DATA LIST ... / ... .`
SECTIONS = {
    ".sas": re.compile(r"^\s*INPUT\b(.*?);", re.DOTALL | re.IGNORECASE | re.MULTILINE),
    ".do": re.compile(r"^\s*infix\b(.*?)\busing\b", re.DOTALL | re.IGNORECASE | re.MULTILINE),
    ".sps": re.compile(r"^\s*DATA LIST\b[^/]*/(.*?)^\s*\.", re.DOTALL | re.IGNORECASE | re.MULTILINE),
}
# Cells of numbers; numpy fills short ones with zero bytes.
PLAIN = re.compile(rb"[0-9.+\-\x00]*")
COLUMNS = re.compile(r"\b([A-Za-z]\w*)\s+\$?\s*(\d+)\s*-\s*(\d+)")
LABEL = re.compile(r'\b([A-Z]\w*)\s+(?:FORMAT\s*=\s*\S+\s+)?(?:LABEL\s*=\s*)?"([^"]*)"', re.IGNORECASE)
RECORD_LENGTH = re.compile(r"(?:MAX_REC_LENGTH\s*:|LRECL\s*=)\s*(\d+)", re.IGNORECASE)
# What a sheet says before its cells about properties, views and columns; not the cells themselves.
SHEET_PROPERTIES = re.compile(
    rb"<(?:\w+:)?(sheetPr|sheetViews|sheetFormatPr|cols)\b[^>]*?(?:/>|>.*?</(?:\w+:)?\1>)", re.DOTALL
)
OBSERVATIONS = re.compile(r"^\s*(?:N_OF_OBSERVATIONS|Rows)\s*:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
DOWNLOAD_AGAIN = "download data and setup file together from the PSID Data Center, and use them as they come"

Needed = tuple[str, int | None, str]


@dataclass(frozen=True)
class Setup:
    """What a setup file says about its data file.

    Args:
        columns: Name, first and last position (counting from 1) of each variable.
        labels: Label by variable, empty if the file has none.
        record_length: Number of characters of a line, None if the file does not say.
        observations: Number of lines, None if the file does not say.
    """

    columns: tuple[tuple[str, int, int], ...]
    labels: dict[str, str]
    record_length: int | None
    observations: int | None


def read_setup(path: str | Path) -> Setup:
    """Reads a setup file for SAS, Stata or SPSS.

    Raises:
        ValueError: If the file is of another kind, lists no columns, lists a variable twice, or lists overlapping
            columns.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in SECTIONS:
        raise ValueError(f"{path.name} is not a setup file: its name should end in {', '.join(SETUP_SUFFIXES)}")
    text = path.read_bytes().decode("latin-1")  # only labels may hold more than ASCII
    section = SECTIONS[kind].search(text)
    column_texts = COLUMNS.findall(section[1]) if section else []
    if not column_texts:
        raise ValueError(f"{path.name} lists no columns, as a PSID setup file does; {DOWNLOAD_AGAIN}")
    columns = tuple((name.upper(), int(first), int(last)) for name, first, last in column_texts)
    end, names = 0, set()
    for name, first, last in sorted(columns, key=lambda column: column[1]):
        if first <= end or last < first or name in names:
            raise ValueError(f"{path.name} gives {name} columns {first}-{last}, which are taken; {DOWNLOAD_AGAIN}")
        end = last
        names.add(name)
    length, rows = RECORD_LENGTH.search(text), OBSERVATIONS.search(text)
    labels = {name.upper(): " ".join(label.split()) for name, label in LABEL.findall(text)}
    return Setup(
        columns,
        {name: labels[name] for name in names & set(labels)},
        int(length[1]) if length else None,
        int(rows[1]) if rows else None,
    )


def read_text(path: str | Path, setup: Setup, wanted: Collection[str] | None = None) -> pd.DataFrame:
    """Reads a fixed-width text file.

    Args:
        path: The data file.
        setup: Content of its setup file.
        wanted: Variables to read; all if None. Files of whole waves have thousands.

    Returns:
        One column of numbers per variable, null where the file has blanks.

    Raises:
        ValueError: If the file is not the one that the setup file describes, or is damaged: it has bytes that are not
            ASCII, lines that are too short or too long, too few lines, or anything but numbers.
    """
    path = Path(path)
    data = path.read_bytes()
    not_ascii = re.search(rb"[^\x00-\x7f]", data)
    if not_ascii:
        line = data[: not_ascii.start()].count(b"\n") + 1
        raise ValueError(
            f"{path.name} is not plain text: byte {not_ascii[0][0]:#04x} in line {line}; {DOWNLOAD_AGAIN}"
        )
    lines = data.decode("ascii").splitlines()
    length = max(setup.record_length or 0, max(last for _, _, last in setup.columns))
    for number, text in enumerate(lines, 1):
        if len(text) != length:
            raise ValueError(
                f"{path.name} has {len(text)} characters in line {number}, its setup file says {length}: a truncated "
                f"download, or the setup file of another data file; {DOWNLOAD_AGAIN}"
            )
    if setup.observations is not None and len(lines) != setup.observations:
        raise ValueError(
            f"{path.name} has {len(lines)} lines, its setup file says {setup.observations}: a truncated download, or "
            f"the setup file of another data file; {DOWNLOAD_AGAIN}"
        )
    letters = np.array(lines, dtype=f"S{length}").view("S1").reshape(len(lines), length) if lines else None
    values: dict[str, pd.Series | np.ndarray] = {}
    for name, first, last in setup.columns:
        if wanted is not None and name not in wanted:
            continue
        if letters is None:
            values[name] = pd.Series(dtype="float64")
            continue
        cells = np.ascontiguousarray(letters[:, first - 1 : last]).view(f"S{last - first + 1}").ravel()
        numbers = _plain_numbers(cells)
        if numbers is None:
            numbers = _numbers(pd.Series(cells.astype(str)), path.name, name, 1)
        values[name] = numbers
    return pd.DataFrame(values)


def _plain_numbers(cells: np.ndarray) -> np.ndarray | None:
    """Numbers of cells that hold nothing but digits, signs, points and blanks; None for `_numbers` to look closer."""
    stripped = np.char.strip(cells)
    is_blank = (stripped == b"") | (stripped == b".")
    if not PLAIN.fullmatch(stripped[~is_blank].tobytes()):
        return None
    numbers = np.full(len(cells), np.nan)
    try:
        numbers[~is_blank] = stripped[~is_blank].astype(float)
    except ValueError:
        return None
    return numbers


def _numbers(cells: pd.Series, file: str, column: str, first_line: int) -> pd.Series:
    text = cells.astype("string").str.strip()
    numbers = pd.to_numeric(text.mask(text.isin(["", "."])), errors="coerce")
    numbers = numbers.where(np.isfinite(numbers.astype("float64")))
    is_unreadable = numbers.isna() & text.notna() & ~text.isin(["", "."])
    if is_unreadable.any():
        row = int(np.flatnonzero(is_unreadable)[0])
        raise ValueError(f"{file} has {text.iloc[row]!r} for {column} in line {row + first_line}, which is no number")
    return numbers.astype("float64").reset_index(drop=True)


def _read_spreadsheet(path: Path) -> tuple[pd.DataFrame | None, str]:
    """Reads the PSID variables of a csv or xlsx file, in whose first line they are named.

    Returns:
        The table, None if the first line names no PSID variable; and a note on columns that are none, empty if all
        are.
    """
    cells = _read_csv(path) if path.suffix.lower() == ".csv" else _read_xlsx(path)
    names = ["" if name is None else str(name).strip().upper() for name in cells.iloc[0]] if len(cells) else []
    held = [place for place, name in enumerate(names) if VARIABLE.fullmatch(name)]
    foreign = [
        name or f"(column {place + 1}, without a name)" for place, name in enumerate(names) if place not in held
    ]
    if not held:
        return None, ""
    repeated = [names[place] for place in held if names.count(names[place]) > 1]
    if repeated:
        raise ValueError(f"{path.name} has column {repeated[0]} twice; {DOWNLOAD_AGAIN}")
    rows = cells.iloc[1:]
    table = pd.DataFrame({names[place]: _numbers(rows.iloc[:, place], path.name, names[place], 2) for place in held})
    note = f"{path.name}: columns that are no PSID variables are not read: {', '.join(foreign)}" if foreign else ""
    return table, note


def _read_csv(path: Path) -> pd.DataFrame:
    """The lines of a csv file as text, the first with the names; every line must have as many fields as the first."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 text: {error}; {DOWNLOAD_AGAIN}") from error
    except csv.Error as error:
        raise ValueError(f"{path.name} cannot be read: {error}; {DOWNLOAD_AGAIN}") from error
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"{path.name} has {len(row)} fields in line {number}, its first line {len(rows[0])}: a damaged or "
                f"truncated download; {DOWNLOAD_AGAIN}"
            )
    return pd.DataFrame(rows, dtype=object)


def _read_xlsx(path: Path) -> pd.DataFrame:
    """The lines of the first sheet of an xlsx file as text."""
    try:
        cells = pd.read_excel(_only_cells(path), header=None, dtype=str, keep_default_na=False, engine="openpyxl")
    except ImportError:
        raise
    except Exception as error:  # whatever a damaged file makes of the libraries that read it
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path.name} cannot be read as xlsx: {text}; {DOWNLOAD_AGAIN}") from error
    return cells.fillna("")


def _only_cells(path: Path) -> io.BytesIO:
    """The workbook with sheets that hold nothing but cells.

    The Data Center misspells an attribute of the sheet's properties (synchVertical), which openpyxl refuses, as it
    refuses any that it does not know. Nothing but the cells is needed.
    """
    kept = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(kept, "w") as new:
        for item in old.infolist():
            data = old.read(item)
            if item.filename.startswith("xl/worksheets/") and item.filename.endswith(".xml"):
                data = SHEET_PROPERTIES.sub(b"", data)
            new.writestr(item.filename, data)
    kept.seek(0)
    return kept


@dataclass
class PSIDFiles:
    """Files of the PSID, joined on people.

    Args:
        individuals: Tables with one row per individual, by file.
        families: Tables with one row per family of one or more waves, by file.
        labels: Label by variable, from setup files.
        notes: Notes for readers, such as files skipped.
    """

    individuals: dict[str, pd.DataFrame]
    families: dict[str, pd.DataFrame]
    labels: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.individuals:
            raise ValueError(
                f"none of the PSID files has one row per individual (columns {FAMILY_1968} and {PERSON_1968}): add "
                "both to the cart of the Data Center, or download the cross-year individual file"
            )
        self.individuals = {file: _by_person(file, table) for file, table in self.individuals.items()}
        self.people = pd.Index([], dtype="int64")
        for table in self.individuals.values():
            self.people = self.people.union(table.index)
        self.people = self.people.sort_values().rename("person")
        self._values: dict[str, pd.Series] = {}
        for file, table in self.individuals.items():
            for name, values in table.items():
                self._add(str(name), values, file)

    def has(self, variable: str) -> bool:
        """Whether a file holds the variable."""
        return variable in self._values or any(variable in table for table in self.families.values())

    def variable(self, variable: str, interview: str | None = None, family_interview: str | None = None) -> pd.Series:
        """Raw values of one variable.

        Args:
            variable: Name of the variable, such as ER33412.
            interview: Name of the wave's interview number in the individual file, for variables of family files.
            family_interview: Name of the wave's interview number in the family file.

        Returns:
            Numbers indexed by person, 1000 times the 1968 family plus the person's number in it; null where the
            value is missing.

        Raises:
            ValueError: If no file holds the variable, or a family file cannot be joined.
        """
        if variable in self._values:
            return self._values[variable].reindex(self.people)
        for file, table in self.families.items():
            if variable not in table:
                continue
            if family_interview not in table or interview not in self._values:
                raise ValueError(
                    f"{file} has {variable}, but its families cannot be found: the file needs {family_interview}, and "
                    f"the file of individuals {interview}, the interview numbers of that wave"
                )
            # A cart over several waves has one line per family, with blanks for waves without that family.
            held = table[table[family_interview] > 0]
            keys = held[family_interview]
            if keys.duplicated().any():
                raise ValueError(
                    f"{file} has interview {keys[keys.duplicated()].iloc[0]:.0f} more than once (column "
                    f"{family_interview}); {DOWNLOAD_AGAIN}"
                )
            return self.variable(interview).map(held.set_index(family_interview)[variable])
        raise ValueError(self._missing_message([("", None, variable)]))

    def require(self, needed: list[Needed]) -> None:
        """Raises one ValueError listing every variable (item, wave, name) that no file holds."""
        missing = [item for item in needed if not self.has(item[2])]
        if missing:
            raise ValueError(self._missing_message(missing))

    def _missing_message(self, missing: list[Needed]) -> str:
        lines = [f"  {variable} ({item}, {'all waves' if year is None else year})" for item, year, variable in missing]
        files = ", ".join([*self.individuals, *self.families])
        return (
            f"{len(missing)} variable(s) are in none of the files ({files}):\n"
            + "\n".join(lines)
            + "\nIn the PSID Data Center search them by name under 'Variable Search', add them to the cart together "
            f"with {FAMILY_1968} and {PERSON_1968}, and put the new data file with its setup file beside the others"
        )

    def _add(self, name: str, values: pd.Series, file: str) -> None:
        first = self._values.get(name)
        if first is None:
            self._values[name] = values
            return
        shared = first.index.intersection(values.index)
        differ = shared[(first[shared] != values[shared]) & (first[shared].notna() | values[shared].notna())]
        if len(differ):
            person = differ[0]
            raise ValueError(
                f"{name} of person {person} is {values[person]} in {file} and {first[person]} in another file: these "
                "are not of one release; remove one of them"
            )
        self._values[name] = first.combine_first(values)


def read_folder(path: str | Path, wanted: Collection[str] | None = None) -> PSIDFiles:
    """Reads and joins all files of the PSID in a folder and its subfolders.

    Text files without a setup file of the same name, and tables without PSID variables, are skipped with a note.

    Args:
        path: The folder.
        wanted: Variables of text files to read, with ER30001 and ER30002; all if None.

    Raises:
        ValueError: If there is no file of individuals, or a file is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder; give the folder with the PSID files")
    tables: dict[str, pd.DataFrame] = {}
    labels: dict[str, str] = {}
    notes: list[str] = []
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        name, kind = str(file.relative_to(path)), file.suffix.lower()
        if kind == ".txt":
            siblings = [other for other in files if other.parent == file.parent]
            setups = {
                other.name: read_setup(other)
                for other in siblings
                if other.stem.lower() == file.stem.lower() and other.suffix.lower() in SETUP_SUFFIXES
            }
            if not setups:
                notes.append(f"{name} is skipped: no setup file ({file.stem}.sas, .do or .sps) lies beside it")
                continue
            (first_name, setup), *others = setups.items()
            for other_name, other in others:
                if other.columns != setup.columns:
                    raise ValueError(
                        f"{first_name} and {other_name} list different columns for {name}; {DOWNLOAD_AGAIN}"
                    )
                labels |= other.labels
            tables[name] = read_text(file, setup, wanted)
            labels |= setup.labels
        elif kind in (".csv", ".xlsx"):
            table, note = _read_spreadsheet(file)
            if table is None:
                notes.append(f"{name} is skipped: its first line names no PSID variable, such as {FAMILY_1968}")
            else:
                tables[name] = table
                notes += [note] if note else []
    individual = {name: table for name, table in tables.items() if {FAMILY_1968, PERSON_1968} <= set(table)}
    if not individual and notes:
        raise ValueError(f"no file of the PSID in {path}: {'; '.join(notes)}")
    families = {name: table for name, table in tables.items() if name not in individual}
    return PSIDFiles(individual, families, labels, notes)


def _by_person(file: str, table: pd.DataFrame) -> pd.DataFrame:
    if table[[FAMILY_1968, PERSON_1968]].isna().any().any():
        raise ValueError(f"{file} has a row without {FAMILY_1968} or {PERSON_1968}; {DOWNLOAD_AGAIN}")
    # Larger numbers would run into those of the next family: 4 and 1001 into 5 and 1.
    for name, largest in ((FAMILY_1968, MOST_FAMILIES), (PERSON_1968, MOST_PEOPLE)):
        values = table[name]
        refused = np.flatnonzero(~(values.between(1, largest) & (values % 1 == 0)))
        if len(refused):
            raise ValueError(
                f"{file} has {name} {values.iloc[refused[0]]:g} for its person number {refused[0] + 1}, which is not "
                f"a whole number from 1 to {largest}; {DOWNLOAD_AGAIN}"
            )
    person = (1000 * table[FAMILY_1968] + table[PERSON_1968]).astype("int64")
    if person.duplicated().any():
        repeated = person[person.duplicated()].iloc[0]
        rows = [int(row) + 1 for row in np.flatnonzero(person == repeated)]
        raise ValueError(f"{file} has person {repeated} more than once (people {rows}); {DOWNLOAD_AGAIN}")
    return table.set_index(pd.Index(person, name="person"))
