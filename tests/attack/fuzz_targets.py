"""What is fuzzed: every reader and parser, with a few small files of its layout as seeds; all values are made up.

An input is the bytes of one file, or of several with a line "%%FILE name" before each. A target reads it and checks
what it has read; anything but a refusal in the package's own words is a failure.
"""

from __future__ import annotations

import io
import math
import random
import re
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import ibis
import nlsy79_extracts
import nlsy97_extracts
import numpy as np
import pandas as pd
import psid_extracts
import pyarrow as pa

from career_hf.careers import Ledger, from_frame, load_careers, save_careers, split_careers, split_manifest, validate
from career_hf.careers.columns import read_labels, read_numbers
from career_hf.careers.provenance import CARD, source_of
from career_hf.careers.raking import _checked_margins, _read_margins
from career_hf.cli.console import is_refusal
from career_hf.evaluation.outside_tables import outside_table
from career_hf.occupations import esco_crosswalk, read_crosswalk
from career_hf.occupations.normalising import label_of, labels_of
from career_hf.sources import nls, nlsy79, nlsy97, psid, psid_files, resumes, spells
from career_hf.sources.open_resumes import jobhop, karrierewege
from career_hf.sources.spell_dates import YEARS, read_dates


HEAD = re.compile(rb"^%%FILE (\S+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Target:
    """A reader or parser.

    Args:
        name: Its name.
        seeds: Makes inputs that it reads, in the form of `pack`.
        read: Reads inputs; a folder to write their files into is given too.
        batch: Number of inputs that are read together, where one at a time would take as long as many.
        is_allowed: Whether an exception is a documented one.
    """

    name: str
    seeds: Callable[[], tuple[bytes, ...]]
    read: Callable[[Sequence[bytes], Path], Any]
    batch: int = 1
    is_allowed: Callable[[BaseException], bool] = is_refusal


def pack(files: dict[str, bytes]) -> bytes:
    """Files as one input."""
    return b"".join(b"%%FILE " + name.encode() + b"\n" + content for name, content in files.items())


def unpack(packed: bytes, folder: Path) -> None:
    """Writes the files of one input into a folder, which it empties first."""
    for old in folder.iterdir():
        old.unlink()
    heads = [*HEAD.finditer(packed)]
    for head, following in zip(heads, [*heads[1:], None], strict=False):
        name = re.sub(r"[^\w.-]", "_", head[1].decode("latin-1"))[:50]
        if name.strip("."):
            (folder / name).write_bytes(packed[head.end() : following.start() if following else len(packed)])


def of_files(folder: Path) -> bytes:
    """The files of a folder as one input."""
    return pack({path.name: path.read_bytes() for path in sorted(folder.iterdir())})


def reading_files(read: Callable[[Path], Any]) -> Callable[[Sequence[bytes], Path], Any]:
    """A target's `read` that reads a folder of files."""

    def read_packed(inputs: Sequence[bytes], folder: Path) -> Any:
        for packed in inputs:
            unpack(packed, folder)
            read(folder)

    return read_packed


# Dates, labels and numbers: many texts at a time.


@cache
def _date_query() -> str:
    table = ibis.table({"written": "string"}, name="dates")
    return ibis.to_sql(read_dates(table.written), dialect="duckdb")


def read_many_dates(inputs: Sequence[bytes], folder: Path) -> None:
    texts = [text.decode("utf-8", "replace") for text in inputs]
    connection = duckdb.connect()
    connection.register("dates", pa.table({"written": texts}))
    for written, year, first, after in connection.sql(_date_query()).fetchall():
        if year is None:
            assert first is None and after is None, (written, first, after)
            continue
        assert YEARS[0] <= year <= YEARS[1] and f"{year}" in written, (written, year)
        days = np.array([first, after - 1]).astype("datetime64[D]")
        assert 1 <= after - first <= 366 and (days.astype("datetime64[Y]").astype(int) + 1970 == year).all(), written


def read_many_labels(inputs: Sequence[bytes], folder: Path) -> None:
    texts = [text.decode("utf-8", "replace") for text in inputs]
    expected = [label_of(text) for text in texts]
    assert read_labels(pa.array(texts)).to_pylist() == expected
    assert labels_of(pd.Series(texts)).tolist() == expected
    floats = np.frombuffer(b"".join(text[:8].ljust(8, b"\0") for text in inputs))
    floats = floats[np.abs(floats) < 2.0**53]
    assert read_labels(pa.array(floats)).to_pylist() == [label_of(value) for value in floats]


def read_many_numbers(inputs: Sequence[bytes], folder: Path) -> None:
    texts = [text.decode("utf-8", "replace") for text in inputs]
    numbers, unreadable = read_numbers(pa.array(texts))
    for text, number, refused in zip(texts, numbers, unreadable, strict=True):
        if not refused and not math.isnan(number):
            assert float(text.strip()) == number, text
        assert refused or label_of(text) is None or not math.isnan(number), text


# Frames: columns of any type and any values, from random numbers that the input seeds.

VALUES: tuple[Callable[[random.Random], Any], ...] = (
    lambda draw: draw.choice([1, 2, 1990, -(2**63), 2**63 - 1, 10**30]),
    lambda draw: draw.choice([1.0, 2.5, math.nan, math.inf, 1e300, -0.0, 1990.0]),
    lambda draw: draw.choice(["", " ", "1", "1.0", "1990", "x", "\0", "é", "nan", "1e5", "None"]),
    lambda draw: draw.choice([None, pd.NA, pd.NaT, math.nan]),
    lambda draw: draw.choice([True, False]),
    lambda draw: draw.choice([pd.Timestamp("1990-01-01"), pd.Timestamp("1990-01-01", tz="UTC"), pd.Period("1990")]),
    lambda draw: draw.choice([b"x", [1], (1, 2), {"a": 1}, {1}, 1 + 2j, object, range(2)]),
    lambda draw: draw.choice([np.float32(1.5), np.int8(3), np.str_("x"), np.datetime64("1990-01-01")]),
)
KINDS = ("object", "category", "string", "Int64", "float32", "boolean", "datetime64[ns]", "period[M]", None)


def read_frames(inputs: Sequence[bytes], folder: Path) -> None:
    for seed in inputs:
        draw = random.Random(seed)
        rows = draw.randrange(5)
        columns: dict[Any, pd.Series] = {}
        for name in ("person", "year", "occupation", "a", "b", "w"):
            makers = draw.sample(VALUES, draw.choice([1, 1, 1, 2, 3]))
            values = [draw.choice(makers)(draw) for _ in range(rows)]
            if name == "year" and draw.random() < 0.7:
                values = draw.sample(range(1980, 1990), rows)
            if name == "person" and draw.random() < 0.7:
                values = draw.choices([1, 2, 3], k=rows)
            column = pd.Series(values, dtype=object)
            try:
                columns[name] = column.astype(draw.choice(KINDS) or object)
            except Exception:
                columns[name] = column
        frame = pd.DataFrame(columns)
        if draw.random() < 0.1:
            frame = frame.set_index("year")
        roles = {"covariates": ["a"], "static": ["b"], "outcomes": ["w"], "weight": None}
        if draw.random() < 0.5:
            roles |= {"outcomes": [], "weight": "w"}
        validate(from_frame(frame, **roles))


# Files of the agencies.

NLS_CSV = b'"R0000100","R0216700","R0263400"\n1,12,-4\n2,9,305\n3,-5,-5\n'
NLS_SDF = (
    b"\n\nReference\nNumber     Year  Variable Description             Question Name\n-------------\n"
    b"R00001.00  1979  IDENTIFICATION CODE              CASEID\n"
    b"R02167.00  1979  HIGHEST GRADE COMPLETED          HGC\n"
    b"R02634.00  1980  OCCUPATION AT CURRENT JOB        CPSOCC70\n"
)
NLS_CDB = (
    b"R00001.00    [CASEID]                Survey Year: 1979\n  PRIMARY VARIABLE\n\n"
    b"TOTAL =========>   3   VALID SKIP(-4)       0\n------\nR02167.00    [HGC]    Survey Year: 1979\n"
)
NLS_SEEDS = (
    {"x.csv": NLS_CSV, "x.sdf": NLS_SDF, "x.cdb": NLS_CDB},
    {"x.dat": b"1 12 -4\r\n2  9 305\r\n", "x.NLSY79": b"R0000100\nR0216700\nR0263400\n", "x.sdf": NLS_SDF},
    {"x.csv": b'"CASEID","HGC","CPSOCC70"\n1,12,-4\n2,9,305\n', "x.sdf": NLS_SDF},
    {"x.csv": NLS_CSV, "y.csv": b"R0000100,R0216700\n1,12\n4,9\n"},
)


def read_nls(folder: Path) -> None:
    for wanted in (None, nls.Wanted(r"HGC|CPS\w+", {"R0263400"})):
        extract = nls.read_folder(folder, wanted)
        for variable in extract.sdf + extract.cdb:
            if extract.has(variable.question_name, None, variable.reference) and variable.question_name != "CASEID":
                nls.split_missing(extract.variable(variable.question_name, None, variable.reference))


PSID_COLUMNS = [("ER30001", 4, "1968 INTERVIEW NUMBER"), ("ER30002", 3, "PERSON"), ("ER33401", 5, "1997 INTERVIEW")]
PSID_PEOPLE = [{"ER30001": 4, "ER30002": n, "ER33401": 10 + n} for n in (1, 2, 171)]


def _xlsx() -> bytes:
    file = io.BytesIO()
    pd.DataFrame(PSID_PEOPLE).to_excel(file, index=False)
    stored = io.BytesIO()
    # Without compression, so that a changed byte is a changed byte of the sheet.
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as new:
        for item in old.infolist():
            new.writestr(item.filename, old.read(item))
    return stored.getvalue()


def psid_seeds() -> tuple[bytes, ...]:
    """Text with each kind of setup file, and csv beside a family file."""
    text = psid_extracts.data_text(PSID_COLUMNS, PSID_PEOPLE).encode()
    seeds: list[dict[str, bytes]] = [
        {"J1.txt": text, f"J1.{kind}": psid_extracts.setup_text(kind, PSID_COLUMNS, 3).encode()}
        for kind in ("sas", "do", "sps")
    ]
    seeds.append(
        {
            "a.csv": b"ER30001,ER30002,ER33401\n4,1,11\n4,2,12\n5,1,\n",
            "f.csv": b"ER10002,ER10004,note\n11,36,x\n12,6,\n,,\n",
        }
    )
    return tuple(map(pack, seeds))


def read_psid(folder: Path) -> None:
    files = psid_files.read_folder(folder)
    assert files.people.is_unique
    for variable in ("ER33401", "ER10004"):
        if files.has(variable):
            assert len(files.variable(variable, "ER33401", "ER10002")) == len(files.people)


def build_seeds(kind: str) -> tuple[bytes, ...]:
    """Small extracts from which a whole build makes careers."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if kind == "nlsy97":
            answers = nlsy97_extracts.employed(2003) | nlsy97_extracts.employed(2004)
            nlsy97_extracts.write_extract(folder, dict.fromkeys(range(1, 7), answers), weekly=False)
        elif kind == "nlsy79":
            answers = nlsy79_extracts.employed(1990) | nlsy79_extracts.employed(1991)
            nlsy79_extracts.write_extract(folder, dict.fromkeys(range(1, 7), answers))
        else:
            waves = psid_extracts.wave(2003, code=243) | psid_extracts.wave(2005, code=276)
            psid_extracts.write_files(folder, [psid_extracts.person(4, n) | waves for n in (1, 2, 3)])
        return (of_files(folder),)


# Tables of users.

SPELLS = (
    b"person,occupation,start,end\na,12.0,2001-03,2003\na,13,Q3 2003,present\nb,12,17.03.2001,2004-05-31\n",
    b"person;occupation;start;end\n1001.0;nurse;2001.0;2003.0\n1001;cook;Jan 2004;heute\n",
    b'person\toccupation\tstart\tend\n1\t"a\tb"\t2001\t2002\n',
)
RESUMES = b"person,onet_soc,start,end,degree,state\na,11-3031.01,2001,2003,Bachelor,CA\nb,29-1141.00,2003,,PhD,Ohio\n"
MARGINS = b"margin,level,share\ngender,female,0.6\ngender,male,0.4\nregion,1.0,2\nregion,2,1\n"
OUTSIDE = (
    b"person,year,log_prob,p(7),p(idle),unknown\n1,2000,-0.693147,0.5,0.5,FALSE\n1.0,2001,-0.693147,0.5,0.5,false\n",
    b"person,year,log_prob,p_stay,p_top,rank,occupation\n1,2001,-1,0.5,0.5,2,idle\n1,2000,-0.1,,0.9048,1,7.0\n",
)
CROSSWALK = b"source,occ1990dd,weight\n0010,4,0.5\n0010,7,0.5\n20,905,1\n"
ESCO = (
    b"conceptType,conceptUri,iscoGroup,preferredLabel,code\n"
    b"Occupation,http://data.europa.eu/esco/occupation/1,2654,director,2654.1.7\n"
    b'Occupation,http://data.europa.eu/esco/occupation/2,8121,"operator, metal",8121.4\n'
)
JOBHOP = (
    b"resume_id,matched_code,start_date,end_date,university_level\n1,2310.1,Q1 2001,Q3 2004,Master\n"
    b"1,0310.3,Q4 2004,,Master\n2,unknown,Q1 2001,Q2 2001,\n2,2221.1,Q1 2002,Q2 2003,\n"
)
KARRIEREWEGE = (
    b'{"_id": "a", "experience_order": 1, "preferredLabel_en": "nurse"}\n'
    b'{"_id": "a", "experience_order": 2, "preferredLabel_en": "civil engineer"}\n'
)


def _one_file(name: str, read: Callable[[Path], Any]) -> Callable[[Sequence[bytes], Path], Any]:
    def read_file(inputs: Sequence[bytes], folder: Path) -> None:
        for content in inputs:
            (folder / name).write_bytes(content)
            read(folder / name)

    return read_file


# JSON that the package wrote, and cards.


def written(name: str) -> tuple[bytes, ...]:
    """A JSON file that the package writes."""
    careers = from_frame(
        {"person": range(20), "year": [1990] * 20, "occupation": ["cook", "nurse"] * 10, "gender": ["f", "m"] * 10},
        static=["gender"],
    )
    splits = split_careers(careers)
    ledger = Ledger()
    ledger.record("read", "rows", 20, 18, {"code 0": 2}, {"code 1": 1})
    ledger.note("a note")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_careers(splits, folder, ledger, split_manifest(splits))
        # PyTorch is imported only for the targets that need it.
        if name == "processor_config.json":
            from career_hf.encoding.processing_career import CareerProcessor

            CareerProcessor.fit(careers, ["year", "gender"]).save_pretrained(folder)
        if name == "config.json":
            from career_hf.models.configuration_career import CareerConfig

            CareerConfig(vocab_size=6).save_pretrained(folder)
        return ((folder / name).read_bytes(),)


def read_processor(path: Path) -> None:
    from career_hf.encoding.processing_career import CareerProcessor

    CareerProcessor.from_pretrained(path.parent)


def read_config(path: Path) -> None:
    from career_hf.models.configuration_career import CareerConfig

    CareerConfig.from_pretrained(path.parent)


def read_split_manifest(inputs: Sequence[bytes], folder: Path) -> None:
    if not (folder / "dataset_dict.json").exists():
        splits = split_careers(from_frame({"person": range(20), "year": [1990] * 20, "occupation": ["cook"] * 20}))
        save_careers(splits, folder)
    for content in inputs:
        (folder / "split.json").write_bytes(content)
        load_careers(folder)


def read_outside_table(path: Path) -> None:
    careers = from_frame({"person": [1, 1], "year": [2000, 2001], "occupation": ["7", "idle"]})
    table = outside_table(path, careers, ["7", "idle"])
    assert table["year"].tolist() == [2000, 2001] and table["log_prob"].between(-1e308, 1e-6).all()
    assert all(table[name].dropna().between(0, 1.001).all() for name in ("p_stay", "p_top"))


CARD_TEXT = (
    b"---\nlicense: other\nlicense_name: NLS public-use data\ncareer_hf:\n  source: nlsy79\n"
    b"  redistribution: from the agency\n---\n\n# Careers\n"
)


def nothing(error: BaseException) -> bool:
    """Texts are read or counted as unreadable, and never refused."""
    return False


def is_error_of_transformers(error: BaseException) -> bool:
    """A config is read by Transformers, in whose words it is refused."""
    return isinstance(error, (ValueError, OSError)) or type(error).__name__.startswith("StrictDataclass")


DATES = b"2014-03-17|Q3 2014|Q32014|2014Q3|Jan 2010|03/2011|20100105|17.03.2014|March 17, 2014|2010m3|2014.0|201403"
NUMBERS = b"1|1.0|-2.5|1e5|.5|5.|+3| 7 |0x1|1_000|nan|inf|1,5|12.00|007|-0.0|9007199254740993"


def make_targets() -> dict[str, Target]:
    """All targets by name."""
    as_of = "2012-12-31"

    def file(name: str, seeds: tuple[bytes, ...], file_name: str, read: Callable[[Path], Any]) -> Target:
        return Target(name, lambda: seeds, _one_file(file_name, read))

    targets = [
        Target("dates", lambda: tuple(DATES.split(b"|")), read_many_dates, 5_000, nothing),
        Target("labels", lambda: tuple(NUMBERS.split(b"|")), read_many_labels, 2_000, nothing),
        Target("numbers", lambda: tuple(NUMBERS.split(b"|")), read_many_numbers, 2_000, nothing),
        Target("frames", lambda: (b"0", b"1"), read_frames),
        Target("nls", lambda: tuple(map(pack, NLS_SEEDS)), reading_files(read_nls)),
        Target("psid", psid_seeds, reading_files(read_psid)),
        Target("psid_xlsx", lambda: (_xlsx(),), _one_file("a.xlsx", lambda path: read_psid(path.parent))),
        Target("nlsy79", lambda: build_seeds("nlsy79"), reading_files(nlsy79)),
        Target("nlsy97", lambda: build_seeds("nlsy97"), reading_files(nlsy97)),
        Target("psid_careers", lambda: build_seeds("psid"), reading_files(psid)),
        file("spells", SPELLS, "spells.csv", lambda path: spells(path, as_of=as_of)),
        file("resumes", (RESUMES,), "resumes.csv", lambda path: resumes(path, as_of=as_of)),
        file("jobhop", (JOBHOP,), "train.csv", lambda path: jobhop(path.parent)),
        file("karrierewege", (KARRIEREWEGE,), "train.jsonl", lambda path: karrierewege(path.parent)),
        file("crosswalk", (CROSSWALK,), "c.csv", read_crosswalk),
        file("esco", (ESCO,), "occupations_en.csv", lambda path: esco_crosswalk("code", path)),
        file("outside_table", OUTSIDE, "table.csv", read_outside_table),
        file("margins", (MARGINS,), "m.csv", lambda path: _checked_margins(_read_margins(path, None, None))),
        file("card", (CARD_TEXT,), CARD, lambda path: source_of(path.parent)),
        Target("ledger", lambda: written("ledger.json"), _one_file("ledger.json", Ledger.load)),
        Target("split_manifest", lambda: written("split.json"), read_split_manifest),
        Target(
            "processor", lambda: written("processor_config.json"), _one_file("processor_config.json", read_processor)
        ),
        Target(
            "config",
            lambda: written("config.json"),
            _one_file("config.json", read_config),
            is_allowed=is_error_of_transformers,
        ),
    ]
    return {target.name: target for target in targets}


__all__ = ["Target", "make_targets", "pack", "unpack"]
