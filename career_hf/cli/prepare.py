"""`career-hf prepare`: careers from every source."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import career_hf

from .console import say, show
from .options import Output


if TYPE_CHECKING:
    from ..careers.prepared import PreparedCareers

prepare = typer.Typer(help="Build careers from raw files, with a ledger of what was dropped.", no_args_is_help=True)

Files = Annotated[str, typer.Option(help="Parquet or CSV files, one row per spell; quote a name with *.")]
AsOf = Annotated[str | None, typer.Option(help="Last day of the data, to which open spells last: 2022-12-31.")]
NoOccupation = Annotated[
    str | None,
    typer.Option(help="Label of years without an occupation between the first and the last; left out if not given."),
]
DropOpen = Annotated[bool, typer.Option("--drop-open", help="Drop spells without an end; otherwise they go on.")]
Memory = Annotated[str, typer.Option(help="Memory of the database; Python takes up to a GB besides.")]
Threads = Annotated[int | None, typer.Option(help="Threads of the database; all cores if not given.")]
Salt = Annotated[str, typer.Option(help="Salt of the split: another salt gives another, independent split.")]
PersonColumn = Annotated[str, typer.Option(help="Column that identifies people.")]
StartColumn = Annotated[str, typer.Option(help="Column of first days, months, quarters or years.")]
EndColumn = Annotated[str, typer.Option(help="Column of last days, months, quarters or years, or 'present'.")]
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
    Rule,
    typer.Option(
        help="Exclusions: the paper's, some of which look at later years, or only what is known by each year."
    ),
]


def report(prepared: PreparedCareers, output: Path) -> None:
    """Prints what was dropped, and what the careers hold."""
    say(prepared.ledger)
    show(prepared.description.to_frame("careers"), f"{output}: {prepared.counted.lower().removesuffix(':')}")


def save(prepared: PreparedCareers, output: Path) -> None:
    """Saves careers and prints what they are."""
    prepared.save(output)
    report(prepared, output)


@prepare.command("keane-wolpin")
def prepare_keane_wolpin(output: Output, salt: Salt = "career_hf") -> None:
    """The careers of 1,384 young men in five states that ship with the package."""
    save(career_hf.sources.keane_wolpin(salt=salt), output)


@prepare.command("nlsy79")
def prepare_nlsy79(
    extract: Extract,
    output: Output,
    variant: Annotated[
        Variant,
        typer.Option(help="Years: 1980-1998, to 2012 with states collapsed, or calendar years by their weeks."),
    ] = Variant.full,
    rule: RuleUsed = Rule.paper,
    wages: Annotated[
        bool, typer.Option("--wages", help="Add log wage, hours, experience, schooling and industry.")
    ] = False,
    salt: Salt = "career_hf",
) -> None:
    """National Longitudinal Survey of Youth 1979, by the rules of the paper's Appendix F."""
    prepared = career_hf.sources.nlsy79(extract, variant=variant.value, rule=rule.value, wages=wages, salt=salt)
    save(prepared, output)


@prepare.command("nlsy97")
def prepare_nlsy97(
    extract: Extract,
    output: Output,
    rule: RuleUsed = Rule.paper,
    salt: Salt = "career_hf",
) -> None:
    """National Longitudinal Survey of Youth 1997, by the rules of the paper's Appendix F."""
    save(career_hf.sources.nlsy97(extract, rule=rule.value, salt=salt), output)


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
    save(career_hf.sources.psid(extract, rule=rule.value, salt=salt), output)


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
    save(career_hf.sources.jobhop(source, esco_occupations=esco_occupations, as_of=as_of, salt=salt), output)


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
    prepared = career_hf.sources.karrierewege(
        source, esco_occupations=esco_occupations, latest_first=latest_first, salt=salt
    )
    save(prepared, output)


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
    prepared = career_hf.sources.resumes(
        spells,
        output=output,
        as_of=as_of,
        person=person,
        onet_soc=onet_soc,
        start=start,
        end=end,
        degree=degree,
        state=state,
        no_occupation=no_occupation,
        drop_open=drop_open,
        memory=memory,
        threads=threads,
        salt=salt,
    )
    report(prepared, output)


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
    prepared = career_hf.sources.spells(
        spells,
        output=output,
        as_of=as_of,
        person=person,
        occupation=occupation,
        start=start,
        end=end,
        covariates=_names(covariates),
        carried=_names(carried),
        static=_names(static),
        crosswalk=crosswalk or None,
        no_occupation=no_occupation,
        drop_open=drop_open,
        first_year=first_year,
        longest=longest,
        memory=memory,
        threads=threads,
        salt=salt,
    )
    report(prepared, output)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
