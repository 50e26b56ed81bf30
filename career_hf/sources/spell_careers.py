"""Spells to careers: in memory, or part by part from files that are larger than memory.

People are cut into parts by their identifiers. Each part is a Parquet file of careers that appears only when it is
complete, so a run that was stopped goes on where it was, and memory does not grow with the number of people.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import date
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, concatenate_datasets, load_from_disk
from datasets.utils import tqdm
from pyarrow import parquet

from ..careers.atomic_files import complete, locked
from ..careers.columns import career_table
from ..careers.frames import from_frame
from ..careers.ledger import Ledger
from ..careers.prepared import PreparedCareers
from ..careers.splits import DEFAULT_FRACTIONS, split_careers, split_numbers
from ..number_ranges import within_ranges
from ..occupations.weighted_crosswalks import as_crosswalk, coverage_of
from .spell_rules import Columns, SpellRules, crosswalk_recode
from .spell_years import Counts, build_years, is_text_file, ledger_of, read_spells, readable, spells_to_years


if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend as DuckDB

SPELLS_PER_PART = 4_000_000
YEARS_AT_ONCE = 500_000
CAREERS_AT_ONCE = 50_000
SAMPLE = 100_000
MANIFEST = "spells.json"
# Amounts of memory as the database reads them.
MEMORY = re.compile(r"\d*[1-9]\d*(\.\d+)? ?[KMGT]i?B", re.IGNORECASE)


@within_ranges
def spells(
    spells: Any,
    *,
    output: str | Path | None = None,
    as_of: date | str | None = None,
    person: str = "person",
    occupation: str = "occupation",
    start: str = "start",
    end: str = "end",
    covariates: Columns = (),
    carried: Columns = (),
    static: Columns = (),
    crosswalk: str | Path | pd.DataFrame | None = None,
    no_occupation: str | None = None,
    drop_open: bool = False,
    first_year: int = 1900,
    longest: int = 80,
    memory: str = "4GB",
    threads: int | None = None,
    salt: str = "career_hf",
    overwrite: bool = False,
) -> PreparedCareers:
    """Prepares careers of dated spells: one occupation a year, the one with most days (see `spells_to_years`).

    Args:
        spells: Parquet or CSV files (`*` allowed), or a table in memory, one row per spell.
        output: Destination folder, written atomically and part by part, so that memory does not grow with the number
            of people; a run that was stopped goes on. Without it, careers are made in memory.
        as_of: Last day of the data, at which spells without an end are cut.
        person, occupation, start, end: Names of the columns.
        covariates: Columns that belong to a spell, such as the employer, as names or as columns by new name.
        carried: Columns whose value lasts until the next one, such as degrees.
        static: Columns that do not change within a person.
        crosswalk: Coding of the occupations, which are mapped to occ1990dd: census1970 to census2010, soc2010,
            onet_soc2010, isco08; or a frame or a CSV file with columns source, occ1990dd and, if wished, weight.
        no_occupation: Label of years without an occupation between the first and the last; if None, such years are
            left out.
        drop_open: Whether spells without an end are dropped, instead of lasting to `as_of`.
        first_year: Earliest start year; spells that start before it are dropped.
        longest: Most years of a spell and of a career; longer ones are dropped.
        memory, threads: Memory and number of threads of the database.
        salt: Salt of the split.
        overwrite: Whether other careers in the output folder are replaced. The same ones may always be made again.

    Raises:
        ValueError: As `spells_to_years` does, or if there is no such crosswalk, or other careers are in the folder.
    """
    recode, settings = {}, {}
    if isinstance(crosswalk, pd.DataFrame):
        recode, settings = {"occupation": crosswalk_recode(crosswalk)}, {"crosswalk": "a table"}
    elif crosswalk is not None:
        name = Path(crosswalk).name.split(".")[0]
        coding = crosswalk_recode(as_crosswalk(crosswalk), prefix=f"{name} ")
        recode, settings = {"occupation": coding}, {"crosswalk": Path(crosswalk).name}
    rules = SpellRules(
        person=person,
        occupation=occupation,
        start=start,
        end=end,
        covariates=covariates,
        carried=carried,
        static=static,
        recode=recode,
        as_of=as_of,
        missing_end="drop" if drop_open else "as_of",
        first_year=first_year,
        longest=longest,
        no_occupation=no_occupation,
    )
    return prepare_spells(
        "spells",
        spells,
        rules,
        output=output,
        memory=memory,
        threads=threads,
        salt=salt,
        overwrite=overwrite,
        settings=settings,
    )


def prepare_spells(
    source: str,
    spells: Any,
    rules: SpellRules,
    *,
    output: str | Path | None,
    memory: str,
    threads: int | None,
    salt: str,
    overwrite: bool,
    settings: Mapping[str, Any],
) -> PreparedCareers:
    """Prepares careers by rules of spells, in memory, or part by part into a folder; see `spells`.

    Args:
        source: Key of `SOURCES`.
        spells, output, memory, threads, salt, overwrite: As in `spells`.
        rules: Meaning of the columns, and how spells become years.
        settings: Settings of the build that are not fields of the rules, such as the crosswalk.
    """
    if output is None:
        return _prepare_spells(source, spells, rules, None, memory, threads, salt, overwrite, settings)
    output = Path(output).absolute()
    # Beside the folder, which is not there before the careers are whole.
    with locked(output, output.with_name(f".{output.name}.lock")):
        # What is in memory already needs no parts on the disk.
        parts = output if isinstance(spells, (str, Path)) else None
        prepared = _prepare_spells(source, spells, rules, parts, memory, threads, salt, overwrite, settings)
        if parts is None:
            prepared.save(output, overwrite=overwrite)
        return prepared


def _prepare_spells(
    source: str,
    spells: Any,
    rules: SpellRules,
    output: Path | None,
    memory: str,
    threads: int | None,
    salt: str,
    overwrite: bool,
    settings: Mapping[str, Any],
) -> PreparedCareers:
    parts = None
    if output is None:
        careers, ledger = spells_to_careers(spells, rules)
        splits = split_careers(careers, salt=salt)
    else:
        parts = output.with_name(f".{output.name}.parts")
        # Nobody but this function uses the hidden folder, so parts of other spells or rules are left-overs.
        if parts.is_dir() and not _is_made_of(parts, _inputs(spells, rules)):
            shutil.rmtree(parts)
        try:
            ledger = write_careers(spells, parts, rules, memory_limit=memory, threads=threads)
        except Exception:
            # What was refused leaves nothing; finished parts stay for the next run.
            if not any(parts.glob("part-*.parquet")):
                shutil.rmtree(parts, ignore_errors=True)
            raise
        splits = split_written_careers(parts, DEFAULT_FRACTIONS, salt)
    if "crosswalk" in settings:
        ledger.note(f"person-years in occ1990dd: {coverage_of(_person_years(splits, rules.no_occupation))}")
    files = {"spells": Path(spells).name} if isinstance(spells, (str, Path)) else {}
    rule_settings = {
        name: value for name, value in vars(replace(rules, recode={})).items() if value not in (None, {}, ())
    }
    settings = {**files, **rule_settings, **settings}
    prepared = PreparedCareers.of_splits(source, splits, ledger, salt=salt, settings=settings)
    if output is None or parts is None:
        return prepared
    prepared.save(output, overwrite=overwrite)
    shutil.rmtree(parts)
    return replace(prepared, splits=load_from_disk(str(output)))


def _person_years(splits: DatasetDict, no_occupation: str | None) -> pd.Series:
    """Number of person-years by occupation, without the label of years that have no occupation."""
    counts: list[pd.Series] = []
    for careers in splits.values():
        for batch in careers.select_columns("occupation").with_format("arrow").iter(CAREERS_AT_ONCE):
            values = pc.value_counts(pc.list_flatten(batch["occupation"]))
            counts.append(pd.Series(values.field("counts").to_numpy(), index=values.field("values").to_pylist()))
    total = pd.concat(counts).groupby(level=0).sum()
    return total.drop(no_occupation, errors="ignore") if no_occupation is not None else total


def spells_to_careers(spells: Any, rules: SpellRules | None = None) -> tuple[Dataset, Ledger]:
    """Turns dated spells into careers that fit in memory; see `spells_to_years` for the rules and the errors.

    Returns:
        Careers, with the columns that `rules` names, and the ledger.
    """
    rules = rules or SpellRules()
    years, ledger = spells_to_years(spells, rules)
    with years:
        return _careers(years.to_pyarrow(), rules), ledger


@within_ranges
def write_careers(
    spells: str | Path,
    folder: str | Path,
    rules: SpellRules | None = None,
    *,
    memory_limit: str = "4GB",
    threads: int | None = None,
    spells_per_part: int = SPELLS_PER_PART,
) -> Ledger:
    """Turns files of spells into Parquet files of careers; called again after it was stopped, it resumes.

    Args:
        spells: Parquet or CSV files (`*` allowed).
        folder: Destination folder; created if missing. Data that do not fit in memory spill to disk here.
        rules: Meaning of the columns, and what is dropped.
        memory_limit: Memory of DuckDB; Python and its libraries take up to 1 GB more.
        threads: Number of threads of DuckDB; one per core if None.
        spells_per_part: Approximate number of spells of one part. Smaller parts need less memory, and read the files
            more often.

    Returns:
        The ledger, which is also saved as `ledger.json`.

    Raises:
        ValueError: As `spells_to_years` does, or if the folder holds careers of other files or rules.
    """
    import duckdb
    import ibis

    if not MEMORY.fullmatch(memory_limit):
        raise ValueError(f"memory {memory_limit!r} is not an amount of memory: write it as in 4GB or 500MB")
    rules, folder = rules or SpellRules(), Path(folder)
    spill = folder / ".spill"
    spill.mkdir(parents=True, exist_ok=True)
    settings = {} if threads is None else {"threads": threads}
    connection = ibis.duckdb.connect(
        memory_limit=memory_limit, temp_directory=str(spill), preserve_insertion_order=False, **settings
    )
    try:
        inputs = _inputs(spells, rules)
        if (folder / MANIFEST).exists() and not _is_made_of(folder, inputs):
            raise ValueError(f"{folder} holds careers of other spells or rules: choose another folder, or remove it")
        with readable(spells):
            if is_text_file(spells):
                spells = _as_parquet(spells, folder / "spells.parquet", rules, connection)
            table = read_spells(spells, rules, connection)
        if not (folder / MANIFEST).exists():
            manifest = {"made_of": inputs, "cuts": _cuts(table, rules, spells_per_part)}
            with complete(folder / MANIFEST) as unfinished:
                unfinished.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        cuts, totals = _manifest(folder)["cuts"], Counts()
        parts = list(zip([None, *cuts], [*cuts, None], _paths(folder, cuts), strict=True))
        for low, high, path in tqdm(parts, desc="Turning spells into careers", unit="part"):
            if not path.exists():
                _write_part(_spells_between(table, rules, low, high), rules, path)
            for kind, counts in json.loads(parquet.read_schema(path).metadata[b"counts"]).items():
                totals[kind] = totals.get(kind, Counter()) + Counter(counts)
    except duckdb.OutOfMemoryException as error:
        raise ValueError(f"memory {memory_limit} is too little for these spells: allow more") from error
    finally:
        connection.disconnect()
        shutil.rmtree(spill, ignore_errors=True)
    ledger = ledger_of(totals, rules)
    ledger.save(folder / "ledger.json")
    return ledger


@within_ranges
def load_written_careers(folder: str | Path) -> Dataset:
    """Loads the careers that `write_careers` wrote, in the order of people's identifiers, from disk, not into memory.

    Raises:
        ValueError: If parts are missing.
    """
    folder = Path(folder)
    return Dataset.from_parquet([str(path) for path in _complete_parts(folder)], cache_dir=str(folder / "cache"))


@within_ranges
def split_written_careers(
    folder: str | Path, fractions: Mapping[str, float] = DEFAULT_FRACTIONS, salt: str = "career_hf"
) -> DatasetDict:
    """Splits the careers that `write_careers` wrote, as `split_careers` does, but part by part and on disk.

    Args:
        folder: Folder of the careers; the splits go into its subfolder `splits`.
        fractions, salt: As in `split_careers`.

    Returns:
        Careers by split name, in the order of the parts.

    Raises:
        ValueError: If parts are missing, or the fractions do not sum to 1.
    """
    folder, shards = Path(folder), {name: list[Dataset]() for name in fractions}
    # Splits by other fractions or another salt go into another folder.
    key = hashlib.sha256(json.dumps([salt, list(fractions.items())]).encode()).hexdigest()[:12]
    for path in tqdm(_complete_parts(folder), desc="Splitting careers by person", unit="part"):
        part_shards = {name: folder / "splits" / key / f"{path.stem}-{name}.arrow" for name in fractions}
        if not all(shard.exists() for shard in part_shards.values()):
            _split_part(path, list(part_shards.values()), fractions, salt)
        for name, shard in part_shards.items():
            shards[name].append(Dataset.from_file(str(shard)))
    return DatasetDict({name: concatenate_datasets(parts) for name, parts in shards.items()})


def _split_part(path: Path, shards: list[Path], fractions: Mapping[str, float], salt: str) -> None:
    part = parquet.ParquetFile(path)
    schema = part.schema_arrow.remove_metadata()
    with ExitStack() as stack:
        unfinished = [stack.enter_context(complete(shard)) for shard in shards]
        writers = [stack.enter_context(pa.ipc.new_stream(shard, schema)) for shard in unfinished]
        for batch in part.iter_batches(CAREERS_AT_ONCE):
            numbers = split_numbers(batch["person"], fractions, salt)
            for number, writer in enumerate(writers):
                writer.write_batch(batch.filter(pa.array(numbers == number)).replace_schema_metadata(None))


def _complete_parts(folder: Path) -> list[Path]:
    """Paths of all parts, in order.

    Raises:
        ValueError: If parts are missing.
    """
    paths = _paths(folder, _manifest(folder)["cuts"])
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise ValueError(f"{folder} lacks {len(missing)} of {len(paths)} parts, first {missing[0]}: run write_careers")
    return paths


def _manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))


def _inputs(spells: str | Path, rules: SpellRules) -> dict[str, Any]:
    return {"spells": _file_states(spells), "rules": json.loads(json.dumps(asdict(rules), default=str))}


def _is_made_of(folder: Path, inputs: dict[str, Any]) -> bool:
    return (folder / MANIFEST).exists() and _manifest(folder)["made_of"] == inputs


def _paths(folder: Path, cuts: list[Any]) -> list[Path]:
    return [folder / f"part-{part:05d}.parquet" for part in range(len(cuts) + 1)]


def _file_states(spells: str | Path) -> list[list[Any]]:
    """Path, size and time of each file, which tell other or changed spells from the same ones."""
    paths = sorted(Path(path) for path in glob(str(spells)))
    if not paths:
        raise ValueError(f"there is no file {spells}")
    return [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


def _cuts(table: ir.Table, rules: SpellRules, spells_per_part: int) -> list[Any]:
    """Identifiers that cut the people into parts with equally many spells, estimated from a sample of spells."""
    total = table.count().to_pyarrow().as_py()
    parts = -(-total // spells_per_part)
    if parts < 2:
        return []
    people = table.select(rules.person).filter(table[rules.person].notnull())
    sample = people.sample(min(1.0, SAMPLE / total)).to_pyarrow()[rules.person].sort().to_pylist()
    return sorted({sample[len(sample) * part // parts] for part in range(1, parts)}) if sample else []


def _spells_between(table: ir.Table, rules: SpellRules, low: Any, high: Any) -> ir.Table:
    """The spells of people after `low` up to `high`; spells without a person are in the first part."""
    person = table[rules.person]
    if high is not None:
        table = table.filter(person <= high if low is not None else (person <= high) | person.isnull())
    return table if low is None else table.filter(person > low)


def _as_parquet(spells: str | Path, path: Path, rules: SpellRules, connection: DuckDB) -> Path:
    """Converts text files to Parquet, which can be read in parts."""
    if not path.exists():
        with complete(path) as unfinished:
            read_spells(spells, rules, connection).to_parquet(unfinished)
    return path


def _write_part(spells: ir.Table, rules: SpellRules, path: Path) -> None:
    years, counts = build_years(spells, rules)
    over_time = ("year", "occupation", *rules.covariates, *rules.carried)
    types = {name: pa.list_(pa.int32() if name == "year" else pa.string()) for name in over_time}
    types = {"person": pa.string()} | types | dict.fromkeys(rules.static, pa.string())
    schema = pa.schema(types, metadata={"counts": json.dumps(counts)})
    with years, complete(path) as unfinished, parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for rows in _whole_people(years):
            careers = career_table(_careers(rows, rules)).select(schema.names)
            writer.write_table(careers.cast(schema))


def _whole_people(years: ir.Table) -> Iterator[pa.Table]:
    """Yields the rows of successive people, in order, so that no person is in two tables."""
    import ibis

    pending = None
    ordered = ibis.to_sql(years.order_by("person", "year"))
    # `to_pyarrow_batches` of ibis 12 calls a method that DuckDB 2 no longer has.
    for batch in years.get_backend().con.sql(ordered).to_arrow_reader(YEARS_AT_ONCE):
        rows = pa.Table.from_batches([batch])
        rows = rows if pending is None else pa.concat_tables([pending, rows])
        last_person = pc.index(rows["person"], rows["person"][-1]).as_py()
        if last_person:
            yield rows[:last_person]
        pending = rows[last_person:]
    if pending is not None:
        yield pending


def _careers(years: pa.Table, rules: SpellRules) -> Dataset:
    return from_frame(years, covariates=[*rules.covariates, *rules.carried], static=[*rules.static])
