"""`career-hf prepare`: careers from every source."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..careers.prepared import person_years, save_prepared, save_splits
from .console import reading


if TYPE_CHECKING:
    from ..sources.spell_rules import SpellRules

# Every other import stands inside its function, so that `career-hf --help` answers at once.

prepare = typer.Typer(help="Build careers from raw files, with a ledger of what was dropped.", no_args_is_help=True)

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
Extract = Annotated[Path, typer.Option(help="Folder with NLS Investigator files, searched below too.", exists=True)]
EscoOccupations = Annotated[
    Path | None, typer.Option(help="occupations_en.csv of ESCO, to map codes one by one.", exists=True)
]


class Variant(StrEnum):
    full = "full"
    extended = "extended"
    weekly = "weekly"


class Rule(StrEnum):
    paper = "paper"
    no_lookahead = "no_lookahead"


RuleUsed = Annotated[
    Rule, typer.Option(help="The paper's, some of which look at later years, or what is known by each year.")
]


@prepare.command("keane-wolpin")
def prepare_keane_wolpin(output: Output, salt: Salt = "career_hf") -> None:
    """The careers of 1,384 young men in five states that ship with the package."""
    from ..sources import keane_wolpin

    save_prepared("keane-wolpin", keane_wolpin.load(), output, salt)


@prepare.command("nlsy79")
def prepare_nlsy79(
    extract: Extract,
    output: Output,
    variant: Annotated[
        Variant, typer.Option(help="1980-1998, to 2012 with states collapsed, or calendar years by their weeks.")
    ] = Variant.full,
    rule: RuleUsed = Rule.paper,
    wages: Annotated[
        bool, typer.Option("--wages", help="Add log wage, hours, experience, schooling and industry.")
    ] = False,
    salt: Salt = "career_hf",
) -> None:
    """National Longitudinal Survey of Youth 1979, by the rules of the paper's Appendix F."""
    from ..sources import nlsy79

    built = nlsy79.build(extract, variant=variant.value, rule=rule.value, wages=wages)
    options = {"variant": variant.value, "rule": rule.value, "wages": wages}
    save_prepared("nlsy79", built, output, salt, options)


@prepare.command("nlsy97")
def prepare_nlsy97(
    extract: Extract,
    output: Output,
    rule: RuleUsed = Rule.paper,
    salt: Salt = "career_hf",
) -> None:
    """National Longitudinal Survey of Youth 1997, by the rules of the paper's Appendix F."""
    from ..sources import nlsy97

    save_prepared("nlsy97", nlsy97.build(extract, rule=rule.value), output, salt, {"rule": rule.value})


@prepare.command("psid")
def prepare_psid(
    extract: Annotated[
        Path, typer.Option(help="Folder with PSID Data Center files, searched below too.", exists=True)
    ],
    output: Output,
    rule: RuleUsed = Rule.paper,
    salt: Salt = "career_hf",
) -> None:
    """Panel Study of Income Dynamics, by the rules of the paper's Appendix F. Careers may not be passed on."""
    from ..sources import psid

    save_prepared("psid", psid.build(extract, rule=rule.value), output, salt, {"rule": rule.value})


@prepare.command("jobhop")
def prepare_jobhop(
    output: Output,
    source: Annotated[str, typer.Option(help="Name on the Hugging Face Hub, or a folder.")] = "aida-ugent/JobHop",
    esco_occupations: EscoOccupations = None,
    as_of: Annotated[
        str | None, typer.Option(help="Day at which experiences without an end are taken to end.")
    ] = None,
    salt: Salt = "career_hf",
) -> None:
    """JobHop, 360,000 Flemish resumes with ESCO codes and quarters."""
    from ..sources.open_resumes import load_jobhop

    built = load_jobhop(source, esco_occupations=esco_occupations, as_of=as_of)
    save_prepared("jobhop", built, output, salt, {"source": Path(source).name, "as_of": as_of})


@prepare.command("karrierewege")
def prepare_karrierewege(
    output: Output,
    source: Annotated[
        str, typer.Option(help="Name on the Hugging Face Hub, or a folder.")
    ] = "ElenaSenger/Karrierewege",
    esco_occupations: EscoOccupations = None,
    latest_first: Annotated[bool, typer.Option("--latest-first", help="Paths are numbered backwards.")] = False,
    salt: Salt = "career_hf",
) -> None:
    """Karrierewege, 500,000 German career paths in order, without dates."""
    from ..sources.open_resumes import load_karrierewege

    built = load_karrierewege(source, esco_occupations=esco_occupations, latest_first=latest_first)
    save_prepared("karrierewege", built, output, salt, {"source": Path(source).name, "latest_first": latest_first})


@prepare.command("resumes")
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
    from ..sources.resumes import resume_rules

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


@prepare.command("spells")
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
    from ..sources.spell_rules import SpellRules

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


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _recode(crosswalk: str) -> Any:
    import pandas as pd

    from ..occupations.weighted_crosswalks import make_crosswalk, spell_recode, weighted_crosswalk

    if not crosswalk.endswith(".csv"):
        return spell_recode(weighted_crosswalk(crosswalk), prefix=f"{crosswalk} ")  # type: ignore[arg-type]
    with reading(crosswalk):
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
    from ..careers.splits import DEFAULT_FRACTIONS
    from ..occupations.weighted_crosswalks import coverage_of
    from ..sources.spell_careers import split_written_careers, write_careers

    parts = output.absolute().with_name(f".{output.absolute().name}.parts")
    ledger = write_careers(spells, parts, rules, memory_limit=memory, threads=threads)
    splits = split_written_careers(parts, DEFAULT_FRACTIONS, salt)
    if settings.get("crosswalk"):
        ledger.note(f"person-years in occ1990dd: {coverage_of(person_years(splits, rules.no_occupation))}")
    simple = replace(rules, recode={})
    shown = {name: value for name, value in vars(simple).items() if value not in (None, {}, ())}
    save_splits(source, splits, ledger, output, salt, {"spells": Path(spells).name, **shown, **settings})
    shutil.rmtree(parts)
