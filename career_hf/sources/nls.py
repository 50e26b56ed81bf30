"""Reads extracts of NLS Investigator (https://www.nlsinfo.org/investigator) as the Investigator writes them.

An extract is one data file, csv (quoted header of reference numbers) or dat (space separated, no header, columns in
the order of the tagset beside it), with files that describe it: .sdf (short description) and .cdb (codebook). Values
stay raw here: a negative value is a missing code, and the five codes mean different things (`split_missing`).
"""

from __future__ import annotations

import glob
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.csv


# Reference number of the person's number: CASEID in the NLSY79, PUBID in the NLSY97.
PERSON = "R0000100"
MISSING_CODES = {-1: "refused", -2: "don't know", -3: "invalid skip", -4: "valid skip", -5: "not interviewed"}
# Two releases of one item differ in few cells; files that differ in more hold other people or another item.
MAX_DISAGREEMENT = 0.01
EXAMPLES_SHOWN = 5

REFERENCE = re.compile(r"[A-Z]\d{7}")
TAGSET = re.compile(r"\.NLS\w+")
SDF_LINE = re.compile(r"^([A-Z]\d{5})\.(\d\d)\s+(\S+)\s+(.*?)\s+(\S+)\s*$")
CDB_LINE = re.compile(r"^([A-Z]\d{5})\.(\d\d)\s+\[(.+?)\]\s+Survey Year:\s*(\S+)")
# Line of a codebook that counts the people under a variable.
CDB_TOTAL = re.compile(r"TOTAL =+>\s*(\d+)")
# Bytes of a data file that are parsed at a time; a line of an agency's full file has some 250,000.
BLOCK = 1 << 24
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
EXPORT_AGAIN = "export it again from NLS Investigator and use the file as it comes"


class Variable(NamedTuple):
    """One line of an .sdf or .cdb file; `year` is text, because it may be 78SCRN or XRND (cross-round)."""

    reference: str
    year: str
    question_name: str


@dataclass(frozen=True)
class Wanted:
    """The variables to read from files that hold tens of thousands, most of which a build does not need.

    Args:
        names: Regular expression of question names, as `normalise_name` writes them.
        references: Reference numbers, for extracts that no .sdf and no .cdb describes.
    """

    names: str
    references: Collection[str] = ()


def normalise_name(question_name: str) -> str:
    """Normalises question names for comparison: `WKSWK-PCY`, `WKSWK_PCY` and `KEY!WKSWK~PCY` are one name."""
    return re.sub(r"[~\-.#!]", "_", question_name.strip().upper().removeprefix("KEY!"))


def split_missing(series: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Splits raw values into values and the reason why a value is missing.

    Args:
        series: Raw values as `NLSExtract.variable` returns them; a null is a person whom no file with this variable
            contains.

    Returns:
        The values (Int64, null where missing), and the reasons (text, null where there is a value): one of
        `MISSING_CODES`, "code -7" for another negative value, "not in the extract" for a null. Items whose amounts may
        be negative, such as net worth, need another reading.
    """
    raw = series.astype("Int64")
    codes = raw.where((raw < 0).fillna(False))
    texts = {code: MISSING_CODES.get(code, f"code {code}") for code in codes.dropna().unique()}
    reasons = codes.map(texts).astype("string").mask(raw.isna(), "not in the extract")
    return raw.mask(codes.notna()), reasons


@dataclass
class NLSExtract:
    """One or more extracts of one cohort, joined on the person's number.

    Args:
        tables: Data by file, each indexed by person, one integer column per reference number.
        sdf: Variables described by .sdf files.
        cdb: Variables described by .cdb files, searched second.
        notes: Notes for readers: files skipped, cells in which two files differ.
        unread: Reference numbers that files hold and that were not read. To ask for one is an error, so that a
            variable which nobody wanted is not taken for one that is not there.
    """

    tables: dict[str, pd.DataFrame]
    sdf: list[Variable] = field(default_factory=list)
    cdb: list[Variable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: Collection[str] = frozenset()

    def __post_init__(self) -> None:
        # Files with more people come first: where two files hold a variable, the fuller one is used.
        self._tables = sorted(self.tables.items(), key=lambda item: (-len(item[1]), item[0]))
        self._references = {column for _, table in self._tables for column in table.columns} | set(self.unread)
        self._descriptions = [_variables_by_name(variables) for variables in (self.sdf, self.cdb)]
        self._check_cohort()
        self._check_agreement()

    @property
    def people(self) -> pd.Index:
        """Numbers of all people in any of the files, ascending."""
        people = pd.Index([], dtype="int64")
        for _, table in self._tables:
            people = people.union(table.index)
        return people.rename("person")

    def variable(self, question_name: str, year: int | None = None, reference: str | None = None) -> pd.Series:
        """Raw values of one variable, by question name and year first, by reference number second.

        Args:
            question_name: As in the .sdf or .cdb file; case and the separators `-`, `_`, `~`, `.` do not matter.
            year: Survey year; None for an item asked once, which matches any year.
            reference: Reference number (`R0216700` or `R02167.00`), used where no .sdf or .cdb names the variable.

        Returns:
            Integers indexed by person (`people` of the file with most people), missing codes kept.

        Raises:
            ValueError: If no file holds the variable, or the name fits several variables and `reference` is not one
                of them.
        """
        column = self._find_reference(question_name, year, reference)
        if column is None:
            raise ValueError(self._missing_message([(question_name, year, reference)]))
        return next(table[column] for _, table in self._tables if column in table.columns).rename(question_name)

    def require(self, variables: list[tuple[str, int | None, str | None]]) -> None:
        """Raises one ValueError listing every variable (question name, year, reference number) that no file holds."""
        missing = [variable for variable in variables if self._find_reference(*variable) is None]
        if missing:
            raise ValueError(self._missing_message(missing))

    def has(self, question_name: str, year: int | None = None, reference: str | None = None) -> bool:
        """Whether a file holds the variable."""
        return self._find_reference(question_name, year, reference) is not None

    def matching(self, pattern: str) -> list[Variable]:
        """Variables that a file holds and an .sdf or .cdb describes, by a regular expression of question names."""
        variables = dict.fromkeys(
            variable for variable in self.sdf + self.cdb if variable.reference in self._references
        )
        matching = [variable for variable in variables if re.fullmatch(pattern, variable.question_name)]
        for variable in matching:
            self._check_read(variable.reference)
        return matching

    def _find_reference(self, question_name: str, year: int | None, reference: str | None) -> str | None:
        found = self._described_reference(question_name, year, reference)
        if found is not None:
            self._check_read(found)
        return found

    def _check_read(self, reference: str) -> None:
        if reference in self.unread:
            raise ValueError(
                f"a file of the extract holds {reference}, but it was not read: name it in wanted=, or read all "
                "variables with wanted=None"
            )

    def _described_reference(self, question_name: str, year: int | None, reference: str | None) -> str | None:
        reference = normalise_reference(reference) if reference is not None else None
        for by_name in self._descriptions:
            references = sorted(
                {
                    variable.reference
                    for variable in by_name.get(normalise_name(question_name), ())
                    if variable.reference in self._references and (year is None or variable.year == str(year))
                }
            )
            if len(references) > 1 and reference not in references:
                raise ValueError(
                    f"question name {question_name} of year {year} fits several variables of this extract: "
                    f"{references}; give the year, or the reference number of the variable you mean"
                )
            if references:
                return references[0] if len(references) == 1 else reference
        return reference if reference in self._references else None

    def _missing_message(self, missing: list[tuple[str, int | None, str | None]]) -> str:
        lines = []
        for name, year, reference in missing:
            number = f"reference number {reference[:6]}.{reference[6:]}" if reference else "reference number unknown"
            lines.append(f"  {name}, {'asked once' if year is None else f'survey year {year}'}, {number}")
        files = ", ".join(file for file, _ in self._tables)
        return (
            f"{len(missing)} variable(s) are in none of the extract's files ({files}):\n"
            + "\n".join(lines)
            + "\nIn NLS Investigator open the study, search by question name, survey year or reference number under "
            "'Variable Search', tick them together with R00001.00, and put the new extract (data file with its .sdf) "
            "beside the others"
        )

    def _check_cohort(self) -> None:
        """Refuses files of two cohorts, which would join silently: every cohort starts its numbers at R0000100."""
        names = {
            normalise_name(variable.question_name) for variable in self.sdf + self.cdb if variable.reference == PERSON
        }
        if len(names) > 1:
            raise ValueError(
                f"the extract's files name the person's number {PERSON} in different ways ({sorted(names)}): they "
                "come from different NLS cohorts; keep one cohort per folder"
            )

    def _check_agreement(self) -> None:
        first: dict[str, tuple[str, pd.DataFrame]] = {}
        for file, table in self._tables:
            for column in table.columns:
                if column not in first:
                    first[column] = (file, table)
                    continue
                other_file, other = first[column]
                shared = table.index.intersection(other.index)
                values, other_values = table[column].loc[shared], other[column].loc[shared]
                differ = shared[values.to_numpy() != other_values.to_numpy()]
                if len(differ) == 0:
                    continue
                cells = "; ".join(
                    f"person {person}: {other_values.loc[person]} and {values.loc[person]}"
                    for person in differ[:EXAMPLES_SHOWN]
                )
                text = (
                    f"variable {column} differs between {other_file} and {file} for {len(differ)} of {len(shared)} "
                    f"people ({cells})"
                )
                if len(differ) > max(1, MAX_DISAGREEMENT * len(shared)):
                    raise ValueError(
                        f"{text}; these are not the same item of the same people: remove one of the files"
                    )
                self.notes.append(f"{text}; the values of {other_file}, the file with more people, are used")


def _variables_by_name(variables: list[Variable]) -> dict[str, list[Variable]]:
    by_name: dict[str, list[Variable]] = {}
    for variable in variables:
        by_name.setdefault(normalise_name(variable.question_name), []).append(variable)
    return by_name


def normalise_reference(reference: str) -> str:
    """Normalises a reference number: descriptions print `R02163.00`, data headers `R0216300`."""
    plain = reference.strip().upper().replace(".", "")
    if not REFERENCE.fullmatch(plain):
        raise ValueError(
            f"'{reference}' is not an NLS reference number; expected a letter and seven digits, as in R0216300"
        )
    return plain


def round_weights(
    extract: NLSExtract, name: str, years: Iterable[int], rounds: Iterable[int]
) -> tuple[pd.DataFrame, list[int]]:
    """Sampling weights of rounds, which correct for who was not interviewed in each, by person and calendar year.

    Args:
        extract: The extract; rounds' weights are found by their question name, so a .sdf or .cdb must describe them.
        name: Question name of the weight, the same in all rounds.
        years: Calendar years. One without a round has the weight of the round before it.
        rounds: All rounds of the survey.

    Returns:
        float64, one row per person and one column per year, 0 for whoever has no weight in the round; and the rounds
        whose weights the extract lacks, for whose years there are no columns.
    """
    of_year = {year: max(one for one in rounds if one <= year) for year in sorted(set(years))}
    lacking = sorted({one for one in of_year.values() if not extract.has(name, one)})
    weights = {}
    for year, one in of_year.items():
        if one not in lacking:
            raw = extract.variable(name, one).reindex(extract.people).astype("Float64")
            # Two decimals are implied: a weight of 1 is one person of the population.
            weights[year] = raw.where(raw > 0).fillna(0).astype(float) / 100
    return pd.DataFrame(weights, index=extract.people), lacking


def read_extract(path: str | Path, wanted: Wanted | None = None) -> NLSExtract:
    """Reads one data file, with the descriptions that lie in its folder.

    Args:
        path: The .csv or .dat file. Descriptions need not have the data file's name: a reference number means the same
            in every extract of a cohort.
        wanted: Variables to read; all if None.

    Raises:
        ValueError: If the file is no Investigator extract, or is damaged; the message names the file, the line and the
            fix.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; give the data file (.csv or .dat) of an NLS Investigator extract")
    return _read_files({path.name: path}, _read_descriptions(path.parent, recursive=False), [], wanted)


def read_folder(path: str | Path, wanted: Wanted | None = None) -> NLSExtract:
    """Reads and joins all extracts in a folder and its subfolders.

    Files that are not Investigator data, such as tidy tables named .csv, are skipped, and a note says so.

    Args:
        path: The folder.
        wanted: Variables to read; all if None.

    Raises:
        ValueError: If the folder has no extract, if a file is damaged, or if two files disagree about one variable in
            more than a few cells.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder; give the folder with the NLS Investigator files")
    files: dict[str, Path] = {}
    skipped: dict[str, list[str]] = {}
    for file in sorted(file for suffix in ("csv", "dat") for file in path.rglob(f"*.{suffix}")):
        name = str(file.relative_to(path))
        csv, dat = file.with_suffix(".csv"), file.with_suffix(".dat")
        if file.suffix == ".dat" and csv.is_file() and _header(csv) is not None:
            skipped.setdefault("the csv of the same name is read", []).append(name)
        elif file.suffix == ".dat" and _tagset(file) is None:
            skipped.setdefault("no tagset lies beside it", []).append(name)
        elif file.suffix == ".csv" and _header(file) is None and dat.is_file() and _tagset(dat) is not None:
            skipped.setdefault("the dat of the same name is read", []).append(name)
        elif file.suffix == ".csv" and _columns(file) is None:
            reason = (
                "its first line is neither a row of reference numbers nor the question names of the .sdf beside it"
            )
            skipped.setdefault(reason, []).append(name)
        else:
            files[name] = file
    notes = [f"files skipped ({reason}): {', '.join(names)}" for reason, names in skipped.items()]
    if not files:
        raise ValueError(
            f"no NLS Investigator data file in {path} ({'; '.join(notes) or 'it has no .csv and no .dat'}); expected "
            f"a .csv whose first line holds reference numbers, such as {PERSON}, or a .dat with its tagset"
        )
    return _read_files(files, _read_descriptions(path, recursive=True), notes, wanted)


def _read_files(
    files: dict[str, Path],
    descriptions: tuple[list[Variable], list[Variable]],
    skipped: list[str],
    wanted: Wanted | None,
) -> NLSExtract:
    """Reads files by name, with the .sdf's and the .cdb's variables; `skipped` are notes."""
    sdf, cdb = descriptions
    references = None
    if wanted is not None:
        names = re.compile(wanted.names)
        described = {v.reference for v in sdf + cdb if names.fullmatch(normalise_name(v.question_name))}
        references = {PERSON, *wanted.references, *described}
    tables: dict[str, pd.DataFrame] = {}
    held: set[str] = set()
    notes: list[str] = []
    for name, file in files.items():
        columns = _required_columns(file)
        held |= set(columns) - {PERSON}
        read = columns if references is None else [column for column in columns if column in references]
        tables[name] = _read_table(file, columns, read)
        notes += _compare_with_codebook(file, tables[name])
    unread = held.difference(*(table.columns for table in tables.values()))
    return NLSExtract(tables, sdf, cdb, notes + skipped, frozenset(unread))


def _header(path: Path) -> list[str] | None:
    """The reference numbers in a csv's first line, whatever the delimiter; None if the line holds anything else."""
    # A UTF-16 file has a null byte at every other place.
    fields = re.split(r"[,;|\t ]+", _first_line(path).replace("\0", "").replace('"', "").strip())
    return fields if all(REFERENCE.fullmatch(field) for field in fields) else None


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        line = file.readline()
    for mark in BYTE_ORDER_MARKS:
        line = line.removeprefix(mark)
    return line.decode("latin-1")


def _columns(path: Path) -> list[str] | None:
    """The reference numbers of a data file's columns; None if nothing names them.

    The Investigator can write question names into the first line of a csv. One name stands for an item of several
    years, so that only the .sdf of the same name, in whose order the columns are, tells them apart.
    """
    if path.suffix == ".dat":
        tagset = _tagset(path)
        return None if tagset is None else _tags(tagset)
    header, described = _header(path), path.with_suffix(".sdf")
    if header is not None or not described.is_file():
        return header
    variables = list(_sdf_variables(described))
    names = [normalise_name(name) for name in _first_line(path).replace('"', "").strip().split(",")]
    is_described = names == [normalise_name(variable.question_name) for variable in variables]
    return [variable.reference for variable in variables] if is_described else None


def _tagset(path: Path) -> Path | None:
    """The tagset of a .dat file: same name, ending in the cohort's name."""
    tagsets = [file for file in path.parent.glob(f"{glob.escape(path.stem)}.*") if TAGSET.fullmatch(file.suffix)]
    return tagsets[0] if tagsets else None


def _tags(path: Path) -> list[str]:
    """The reference numbers in a tagset; a ValueError that names the file if it holds anything else."""
    try:
        return [normalise_reference(line) for line in path.read_text("utf-8", "replace").split()]
    except ValueError as error:
        raise ValueError(f"{path.name} is not a tagset of NLS Investigator: {error}") from error


def _required_columns(path: Path) -> list[str]:
    """The reference numbers of a data file's columns, of which one is the person's number and none is there twice."""
    with path.open("rb") as file:
        first_line = file.readline()
    if first_line.startswith(BYTE_ORDER_MARKS):
        raise ValueError(
            f"{path.name} starts with a byte order mark: a spreadsheet program has rewritten it; {EXPORT_AGAIN}"
        )
    columns = _columns(path)
    if columns is None and path.suffix == ".dat":
        raise ValueError(
            f"{path.name} has no header, and the tagset that names its columns ({path.stem}.NLSY79) is not beside "
            "it; copy it there, or export a csv"
        )
    if columns is None:
        raise ValueError(
            f"{path.name} is not an NLS Investigator extract: its first line is not a row of reference numbers, "
            f"such as {PERSON}"
        )
    if path.suffix != ".dat" and len(columns) > 1 and first_line.count(b",") != len(columns) - 1:
        raise ValueError(
            f"{path.name} is not separated by commas: its first line starts with {first_line[:40]!r}; {EXPORT_AGAIN}"
        )
    if len(set(columns)) < len(columns):
        repeated = next(column for column, count in Counter(columns).items() if count > 1)
        raise ValueError(f"{path.name} has column {repeated} twice; {EXPORT_AGAIN}")
    if PERSON not in columns:
        raise ValueError(
            f"{path.name} has no column {PERSON}, the person's number on which extracts are joined; tick R00001.00 in "
            "NLS Investigator"
        )
    return columns


class _DataText(io.RawIOBase):
    """The bytes of a data file as its parser reads them, block by block: UTF-8, one blank between cells of a .dat.

    Raises:
        ValueError: If the file is not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("rb")
        self._ready, self._lines = b"", 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._ready) < size) and (lines := self._file.readlines(BLOCK)):
            data = b"".join(lines)
            try:
                data.decode("utf-8")
            except UnicodeDecodeError as error:
                line = self._lines + data[: error.start].count(b"\n") + 1
                raise ValueError(
                    f"{self._path.name} is not UTF-8 text: byte {data[error.start]:#04x} in line {line}; "
                    f"{EXPORT_AGAIN}"
                ) from error
            self._lines += len(lines)
            if self._path.suffix == ".dat":
                data = b"".join(b" ".join(line.split()) + b"\n" for line in lines)
            self._ready += data
        size = len(self._ready) if size < 0 else size
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def _read_table(path: Path, columns: list[str], read: list[str]) -> pd.DataFrame:
    """Reads some columns of a data file, block by block, so that memory grows with these columns only."""
    delimiter, header_lines = (" ", 0) if path.suffix == ".dat" else (",", 1)
    no_people = f"{path.name} has {'a header and ' * header_lines}no people: a truncated download; {EXPORT_AGAIN}"
    try:
        with _DataText(path) as text:
            arrow = pyarrow.csv.read_csv(
                text,
                # One thread, because only then do errors name the line.
                read_options=pyarrow.csv.ReadOptions(
                    column_names=columns, skip_rows=header_lines, use_threads=False, block_size=BLOCK
                ),
                parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
                convert_options=pyarrow.csv.ConvertOptions(
                    include_columns=read, column_types=dict.fromkeys(read, pa.int64())
                ),
            )
    except pa.ArrowInvalid as error:
        if str(error).startswith(("Empty CSV file", "Could not skip")):
            raise ValueError(no_people) from error
        raise ValueError(
            f"{path.name} cannot be read (every cell must be a whole number, every line must have {len(columns)} of "
            f"them; a short last line means a truncated download): {error}; {EXPORT_AGAIN}"
        ) from error
    if not arrow.num_rows:
        raise ValueError(no_people)
    empty_cells = [
        (column, arrow[column].is_null().index(True).as_py()) for column in read if arrow[column].null_count
    ]
    if empty_cells:
        column, row = empty_cells[0]
        raise ValueError(
            f"{path.name} has an empty cell in column {column}, line {row + header_lines + 1}; {EXPORT_AGAIN}"
        )
    table = arrow.to_pandas().set_index(PERSON).rename_axis("person")
    if not table.index.is_unique:
        person = table.index[table.index.duplicated()][0]
        lines = [int(row) + header_lines + 1 for row in (table.index == person).nonzero()[0]]
        raise ValueError(f"{path.name} has person {person} more than once (lines {lines}); {EXPORT_AGAIN}")
    return table


def _compare_with_codebook(path: Path, table: pd.DataFrame) -> list[str]:
    """Compares the number of people with the codebook's: a file that was cut at the end of a line looks whole."""
    codebook = path.with_suffix(".cdb")
    if not codebook.is_file():
        return []
    is_person = False
    with codebook.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := CDB_LINE.match(line):
                is_person = match[3] in ("CASEID", "PUBID")
            elif is_person and (total := CDB_TOTAL.search(line)):
                if int(total[1]) == len(table):
                    return []
                people = f"{path.name} has {len(table)} people, its codebook counts {total[1]}"
                return [f"{people}: a subset, or a truncated download"]
    return []


def _sdf_variables(path: Path) -> Iterator[Variable]:
    """The variables of an .sdf file, line by line, because those of full files are long."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := SDF_LINE.match(line):
                yield Variable(match[1] + match[2], match[3], match[5])


def _cdb_variables(path: Path) -> Iterator[Variable]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if match := CDB_LINE.match(line):
                yield Variable(match[1] + match[2], match[4], match[3])


def _read_descriptions(folder: Path, recursive: bool) -> tuple[list[Variable], list[Variable]]:
    sdf: dict[Variable, None] = {}
    cdb: dict[Variable, None] = {}
    for file in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        if file.suffix == ".sdf":
            sdf |= dict.fromkeys(_sdf_variables(file))
        elif file.suffix == ".cdb":
            cdb |= dict.fromkeys(_cdb_variables(file))
    return list(sdf), list(cdb)
