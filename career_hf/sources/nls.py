"""Reads extracts of NLS Investigator (https://www.nlsinfo.org/investigator) as the Investigator writes them.

An extract is one data file, csv (quoted header of reference numbers) or dat (space separated, no header, columns in
the order of the tagset beside it), with files that describe it: .sdf (short description) and .cdb (codebook). Values
stay raw here: a negative value is a missing code, and the five codes mean different things (`split_missing`).
"""

from __future__ import annotations

import re
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
SDF_LINE = re.compile(r"^([A-Z]\d{5})\.(\d\d)\s+(\S+)\s+(.*?)\s+(\S+)\s*$")
CDB_LINE = re.compile(r"^([A-Z]\d{5})\.(\d\d)\s+\[(.+?)\]\s+Survey Year:\s*(\S+)")
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
EXPORT_AGAIN = "export it again from NLS Investigator and use the file as it comes"


class Variable(NamedTuple):
    """One line of an .sdf or .cdb file; `year` is text, because it may be 78SCRN or XRND (cross-round)."""

    reference: str
    year: str
    question_name: str


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
    """

    tables: dict[str, pd.DataFrame]
    sdf: list[Variable] = field(default_factory=list)
    cdb: list[Variable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Files with more people come first: where two files hold a variable, the fuller one is used.
        self._tables = sorted(self.tables.items(), key=lambda item: (-len(item[1]), item[0]))
        self._references = {column for _, table in self._tables for column in table.columns}
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
        return [variable for variable in variables if re.fullmatch(pattern, variable.question_name)]

    def _find_reference(self, question_name: str, year: int | None, reference: str | None) -> str | None:
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


def read_extract(path: str | Path) -> NLSExtract:
    """Reads one data file, with the descriptions that lie in its folder.

    Args:
        path: The .csv or .dat file. Descriptions need not have the data file's name: a reference number means the same
            in every extract of a cohort.

    Raises:
        ValueError: If the file is no Investigator extract, or is damaged; the message names the file, the line and the
            fix.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; give the data file (.csv or .dat) of an NLS Investigator extract")
    table, notes = _read_table(path)
    sdf, cdb = _read_descriptions(path.parent, recursive=False)
    return NLSExtract({path.name: table}, sdf, cdb, notes)


def read_folder(path: str | Path) -> NLSExtract:
    """Reads and joins all extracts in a folder and its subfolders.

    Files that are not Investigator data, such as tidy tables named .csv, are skipped, and a note says so.

    Raises:
        ValueError: If the folder has no extract, if a file is damaged, or if two files disagree about one variable in
            more than a few cells.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder; give the folder with the NLS Investigator files")
    tables: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    skipped: dict[str, list[str]] = {}
    for file in sorted(file for suffix in ("csv", "dat") for file in path.rglob(f"*.{suffix}")):
        name = str(file.relative_to(path))
        csv = file.with_suffix(".csv")
        if file.suffix == ".dat" and csv.is_file() and _header(csv) is not None:
            skipped.setdefault("the csv of the same name is read", []).append(name)
        elif file.suffix == ".dat" and _tagset(file) is None:
            skipped.setdefault("no tagset lies beside it", []).append(name)
        elif file.suffix == ".csv" and _header(file) is None:
            skipped.setdefault("its first line is not a row of reference numbers", []).append(name)
        else:
            tables[name], file_notes = _read_table(file)
            notes += file_notes
    notes += [f"files skipped ({reason}): {', '.join(names)}" for reason, names in skipped.items()]
    if not tables:
        raise ValueError(
            f"no NLS Investigator data file in {path} ({'; '.join(notes) or 'it has no .csv and no .dat'}); expected "
            f"a .csv whose first line holds reference numbers, such as {PERSON}, or a .dat with its tagset"
        )
    sdf, cdb = _read_descriptions(path, recursive=True)
    return NLSExtract(tables, sdf, cdb, notes)


def _header(path: Path) -> list[str] | None:
    """The reference numbers in a csv's first line, whatever the delimiter; None if the line holds anything else."""
    with path.open("rb") as file:
        line = file.readline()
    for mark in BYTE_ORDER_MARKS:
        line = line.removeprefix(mark)
    # A UTF-16 file has a null byte at every other place.
    fields = re.split(r"[,;|\t ]+", line.replace(b"\0", b"").decode("latin-1").replace('"', "").strip())
    return fields if all(REFERENCE.fullmatch(field) for field in fields) else None


def _tagset(path: Path) -> Path | None:
    """The tagset of a .dat file: same name, ending in the cohort's name."""
    tagsets = [file for file in path.parent.glob(f"{path.stem}.*") if re.fullmatch(r"\.NLS\w+", file.suffix)]
    return tagsets[0] if tagsets else None


def _read_table(path: Path) -> tuple[pd.DataFrame, list[str]]:
    data = path.read_bytes()
    if data.startswith(BYTE_ORDER_MARKS):
        raise ValueError(
            f"{path.name} starts with a byte order mark: a spreadsheet program has rewritten it; {EXPORT_AGAIN}"
        )
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path.name} is not UTF-8 text: byte {data[error.start]:#04x} in line {line}; {EXPORT_AGAIN}"
        ) from error
    if path.suffix == ".dat":
        tagset = _tagset(path)
        if tagset is None:
            raise ValueError(
                f"{path.name} has no header, and the tagset that names its columns ({path.stem}.NLSY79) is not beside "
                "it; copy it there, or export a csv"
            )
        columns = [normalise_reference(line) for line in tagset.read_text().split()]
        data, delimiter, header_lines = b"\n".join(b" ".join(line.split()) for line in data.splitlines()), " ", 0
    else:
        header = _header(path)
        if header is None:
            raise ValueError(
                f"{path.name} is not an NLS Investigator extract: its first line is not a row of reference numbers, "
                f"such as {PERSON}"
            )
        first_line = data.split(b"\n", 1)[0]
        if len(header) > 1 and first_line.count(b",") != len(header) - 1:
            raise ValueError(
                f"{path.name} is not separated by commas: its first line starts with {first_line[:40]!r}; "
                f"{EXPORT_AGAIN}"
            )
        columns, delimiter, header_lines = header, ",", 1
    table = _parse(path, data, columns, delimiter, header_lines)
    return table, _compare_with_codebook(path, table)


def _parse(path: Path, data: bytes, columns: list[str], delimiter: str, header_lines: int) -> pd.DataFrame:
    if len(set(columns)) < len(columns):
        repeated = next(column for column in columns if columns.count(column) > 1)
        raise ValueError(f"{path.name} has column {repeated} twice; {EXPORT_AGAIN}")
    if PERSON not in columns:
        raise ValueError(
            f"{path.name} has no column {PERSON}, the person's number on which extracts are joined; tick R00001.00 in "
            "NLS Investigator"
        )
    if not (data.partition(b"\n")[2] if header_lines else data).strip():
        raise ValueError(f"{path.name} has a header and no people: a truncated download; {EXPORT_AGAIN}")
    try:
        arrow = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            # One thread, because only then do errors name the line.
            read_options=pyarrow.csv.ReadOptions(
                column_names=columns, skip_rows=header_lines, use_threads=False, block_size=1 << 24
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.int64())),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{path.name} cannot be read (every cell must be a whole number, every line must have {len(columns)} of "
            f"them; a short last line means a truncated download): {error}; {EXPORT_AGAIN}"
        ) from error
    empty_cells = [
        (column, arrow[column].is_null().index(True).as_py()) for column in columns if arrow[column].null_count
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
    block = re.search(r"\[(?:CASEID|PUBID)\].*?TOTAL =+>\s*(\d+)", codebook.read_text("utf-8", "replace"), re.DOTALL)
    if block is None or int(block[1]) == len(table):
        return []
    return [f"{path.name} has {len(table)} people, its codebook counts {block[1]}: a subset, or a truncated download"]


def _read_descriptions(folder: Path, recursive: bool) -> tuple[list[Variable], list[Variable]]:
    sdf: dict[Variable, None] = {}
    cdb: dict[Variable, None] = {}
    for file in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        if file.suffix == ".sdf":
            for line in file.read_text("utf-8", "replace").splitlines():
                if match := SDF_LINE.match(line):
                    sdf[Variable(match[1] + match[2], match[3], match[5])] = None
        elif file.suffix == ".cdb":
            for line in file.read_text("utf-8", "replace").splitlines():
                if match := CDB_LINE.match(line):
                    cdb[Variable(match[1] + match[2], match[4], match[3])] = None
    return list(sdf), list(cdb)
