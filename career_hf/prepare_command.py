"""`career-hf prepare`: what its commands share, and the two that read spells, `resumes` and `spells`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import say, show


if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from .ledger import Ledger
    from .sources.spells import SpellRules

# Every other import stands inside its function, so that `career-hf --help` answers at once.

# People of whom all are counted; of more people, every second, third and so on.
COUNTED = 1_000_000

Files = Annotated[str, typer.Option(help="Parquet or CSV files, one row per spell; quote a name with *.")]
Output = Annotated[Path, typer.Option(help="Folder to write to.")]
AsOf = Annotated[str | None, typer.Option(help="Last day of the data, to which open spells last: 2022-12-31.")]
NoOccupation = Annotated[
    str | None,
    typer.Option(help="Label of years without an occupation between the first and the last; else left out."),
]
DropOpen = Annotated[bool, typer.Option("--drop-open", help="Drop spells without an end, else they go on.")]
Memory = Annotated[str, typer.Option(help="Memory of the database; Python takes up to a GB besides.")]
Threads = Annotated[int | None, typer.Option(help="Of the database; all cores if not given.")]
Salt = Annotated[str, typer.Option(help="Of the split.")]
PersonColumn = Annotated[str, typer.Option(help="Column that identifies people.")]
StartColumn = Annotated[str, typer.Option(help="Column of first days, months, quarters or years.")]
EndColumn = Annotated[str, typer.Option(help="Column of last days, months, quarters or years, or 'present'.")]
Names = Annotated[str, typer.Option(help="Comma-separated.")]


def prepare_resumes(
    spells: Files,
    output: Output,
    as_of: AsOf = None,
    person: PersonColumn = "person",
    onet_soc: Annotated[str, typer.Option(help="Column of O*NET-SOC 2010 codes.")] = "onet_soc",
    start: StartColumn = "start",
    end: EndColumn = "end",
    degree: Annotated[str, typer.Option(help="Column of degrees.")] = "degree",
    state: Annotated[str, typer.Option(help="Column of US states, names or two letters.")] = "state",
    no_occupation: NoOccupation = None,
    drop_open: DropOpen = False,
    memory: Memory = "4GB",
    threads: Threads = None,
    salt: Salt = "career_hf",
) -> None:
    """Resumes in the layout of the paper's Appendix F, one row per job: occ1990dd codes, education, region."""
    from .sources.resumes import resume_rules

    with _bad_parameters():
        rules = resume_rules(
            as_of=as_of,
            person=person,
            occupation=onet_soc,
            start=start,
            end=end,
            degree=degree,
            state=state,
            missing_end="drop" if drop_open else "as_of",
            no_occupation=no_occupation,
        )
    _prepare_spells("resumes", spells, output, rules, memory, threads, salt, {"crosswalk": "onet_soc2010"})


def prepare_spells(
    spells: Files,
    output: Output,
    as_of: AsOf = None,
    person: PersonColumn = "person",
    occupation: Annotated[str, typer.Option(help="Column of occupations.")] = "occupation",
    start: StartColumn = "start",
    end: EndColumn = "end",
    covariates: Annotated[str, typer.Option(help="Columns of the spell, such as the employer; comma-separated.")] = "",
    carried: Annotated[str, typer.Option(help="Columns that stay true until the next value, as degrees do.")] = "",
    static: Annotated[str, typer.Option(help="Columns that do not change within a person.")] = "",
    crosswalk: Annotated[
        str,
        typer.Option(
            help="Coding of the occupations, to map them to occ1990dd: census1970 to census2010, soc2010, "
            "onet_soc2010, isco08; or a CSV file with columns source, occ1990dd and maybe weight."
        ),
    ] = "",
    no_occupation: NoOccupation = None,
    drop_open: DropOpen = False,
    first_year: Annotated[int, typer.Option(help="Spells that start earlier are dropped.")] = 1900,
    longest: Annotated[int, typer.Option(help="Spells and careers of more years are dropped.")] = 80,
    memory: Memory = "4GB",
    threads: Threads = None,
    salt: Salt = "career_hf",
) -> None:
    """Dated spells of any panel, one row per spell: one occupation a year, the one with most days."""
    from .sources.spells import SpellRules

    with _bad_parameters():
        rules = SpellRules(
            person=person,
            occupation=occupation,
            start=start,
            end=end,
            covariates=_names(covariates),
            carried=_names(carried),
            static=_names(static),
            recode={"occupation": _recode(crosswalk)} if crosswalk else {},
            as_of=as_of,
            missing_end="drop" if drop_open else "as_of",
            first_year=first_year,
            longest=longest,
            no_occupation=no_occupation,
        )
    settings = {"crosswalk": Path(crosswalk).name} if crosswalk else {}
    _prepare_spells("spells", spells, output, rules, memory, threads, salt, settings)


@contextmanager
def _bad_parameters() -> Iterator[None]:
    """What is wrong with columns, rules and files is said without a traceback."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _recode(crosswalk: str) -> Any:
    import pandas as pd

    from .sources.weighted_crosswalks import make_crosswalk, spell_recode, weighted_crosswalk

    if not crosswalk.endswith(".csv"):
        return spell_recode(weighted_crosswalk(crosswalk), prefix=f"{crosswalk} ")  # type: ignore[arg-type]
    frame = pd.read_csv(crosswalk, dtype=str)
    weight = "weight" if "weight" in frame else None
    return spell_recode(make_crosswalk(frame, "source", "occ1990dd", weight), prefix=f"{Path(crosswalk).stem} ")


def _prepare_spells(
    source: str,
    spells: str,
    output: Path,
    rules: SpellRules,
    memory: str,
    threads: int | None,
    salt: str,
    settings: Mapping[str, Any],
) -> None:
    """Careers part by part, so that memory does not grow with the number of people, and stopped runs go on."""
    from .career_splits import DEFAULT_FRACTIONS
    from .sources.spell_careers import split_written_careers, write_careers
    from .sources.weighted_crosswalks import coverage_of

    parts = output.absolute().with_name(f".{output.absolute().name}.parts")
    with _bad_parameters():
        ledger = write_careers(spells, parts, rules, memory_limit=memory, threads=threads)
    splits = split_written_careers(parts, DEFAULT_FRACTIONS, salt)
    if settings.get("crosswalk"):
        ledger.note(f"person-years in occ1990dd: {coverage_of(_person_years(splits, rules.no_occupation))}")
    simple = replace(rules, recode={})
    shown = {name: value for name, value in vars(simple).items() if value not in (None, {}, ())}
    _save(source, splits, ledger, output, salt, {"spells": Path(spells).name, **shown, **settings})
    shutil.rmtree(parts)


def _person_years(splits: DatasetDict, no_occupation: str | None) -> Any:
    """Number of person-years by occupation, without the label of years that have none."""
    import pandas as pd
    import pyarrow.compute as pc

    from .sources.spell_careers import CAREERS_AT_ONCE

    counts: list[pd.Series] = []
    for careers in splits.values():
        for batch in careers.select_columns("occupation").with_format("arrow").iter(CAREERS_AT_ONCE):
            found = pc.value_counts(pc.list_flatten(batch["occupation"]))
            counts.append(pd.Series(found.field("counts").to_numpy(), index=found.field("values").to_pylist()))
    total = pd.concat(counts).groupby(level=0).sum()
    return total.drop(no_occupation, errors="ignore") if no_occupation is not None else total


def save_prepared(
    source: str, built: tuple[Dataset, Ledger], output: Path, salt: str, settings: Mapping[str, Any] | None = None
) -> None:
    """Splits careers, saves them with their ledger and their dataset card, and prints what they are.

    Args:
        source: Key of `SOURCES`.
        built: Careers and the ledger of their build.
        output: Where they go: complete, or not at all.
        salt: Of the split.
        settings: Of the build, besides its folders.
    """
    from .career_splits import split_careers

    careers, ledger = built
    _save(source, split_careers(careers, salt=salt), ledger, output, salt, settings or {})


def _save(
    source: str, splits: DatasetDict, ledger: Ledger, output: Path, salt: str, settings: Mapping[str, Any]
) -> None:
    from datasets import DatasetDict, concatenate_datasets

    from .career_splits import split_manifest
    from .careers import save_careers
    from .dataset_card import SOURCES, write_card
    from .describing import describe

    # datasets cannot load a data set of nobody.
    empty = [name for name, careers in splits.items() if not careers.num_rows]
    splits = DatasetDict({name: careers for name, careers in splits.items() if name not in empty})
    if empty:
        ledger.note(f"by chance nobody is in the splits {empty}, because there are so few people: left out")
    everybody = concatenate_datasets(list(splits.values()))
    every = -(-everybody.num_rows // COUNTED)
    description = describe(everybody.select(range(0, everybody.num_rows, every)))
    counted = "All careers, counted:" if every == 1 else f"Counted on one career in {every}, {COUNTED:,} at most:"
    manifest = split_manifest(splits, salt=salt)
    careers = output.absolute()
    unfinished = careers.with_name(f".{careers.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    save_careers(splits, unfinished, ledger, manifest)
    write_card(
        unfinished,
        SOURCES[source],
        splits=splits,
        ledger=ledger,
        description=description,
        manifest=manifest,
        counted=counted,
        settings=settings,
    )
    _replace(unfinished, careers)
    say(ledger)
    show(description.to_frame("careers"), f"{output}: {counted.lower().removesuffix(':')}")


def _replace(new: Path, old: Path) -> None:
    """Moves what is in one folder into another, over what has the same name there; figures of a user stay."""
    old.mkdir(parents=True, exist_ok=True)
    for path in new.iterdir():
        target = old / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
    new.rmdir()
