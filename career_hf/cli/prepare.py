"""`career-hf prepare`: builds careers from every source."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Output, names, pairs


prepare = typer.Typer(help="Build careers from raw files, with a ledger of what was dropped.", no_args_is_help=True)

Files = Annotated[str, typer.Option(help="Parquet or CSV files, one row per spell; put a name with * in quotes.")]
AsOf = Annotated[
    str | None, typer.Option(help="Last day of the data, at which spells without an end are cut, such as 2022-12-31.")
]
NoOccupation = Annotated[
    str | None,
    typer.Option(
        help="Label of years without an occupation between the first and the last; by default such years are left out."
    ),
]
DropOpen = Annotated[
    bool, typer.Option("--drop-open", help="Drop spells without an end, instead of letting them last to --as-of.")
]
Memory = Annotated[str, typer.Option(help="Memory of the database; Python takes up to 1 GB more.")]
Threads = Annotated[int | None, typer.Option(help="Threads of the database; by default one per core.")]
Salt = Annotated[str, typer.Option(help="Salt of the split; another salt gives another, independent split.")]
PersonColumn = Annotated[str, typer.Option(help="Column that identifies people.")]
OccupationColumn = Annotated[str, typer.Option(help="Column of occupations.")]
StaticColumns = Annotated[str, typer.Option(help="Columns that do not change within a person, comma-separated.")]
StartColumn = Annotated[str, typer.Option(help="Column of start dates: days, months, quarters or years.")]
EndColumn = Annotated[str, typer.Option(help="Column of end dates: days, months, quarters, years or 'present'.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace other careers in the output folder.")]
Extract = Annotated[
    Path, typer.Option(help="Folder with NLS Investigator files; subfolders are searched too.", exists=True)
]
EscoOccupations = Annotated[
    Path | None,
    typer.Option(help="File occupations_en.csv of ESCO, with which codes are mapped one by one.", exists=True),
]


Crosswalk = Annotated[
    str,
    typer.Option(
        help="Coding of the occupations, which are mapped to occ1990dd: census1970 to census2010, soc2010, "
        "onet_soc2010, isco08; or a CSV file with columns source, occ1990dd and, if wished, weight."
    ),
]
States = Annotated[
    str, typer.Option(help="Labels of states in the table, such as nilf=out_of_labor_force, comma-separated.")
]
Source = Annotated[
    str, typer.Option(help="Source whose licence the card states, such as nlsy97; see `career_hf.careers.SOURCES`.")
]


class Variant(StrEnum):
    full = "full"
    extended = "extended"
    weekly = "weekly"


class Rule(StrEnum):
    paper = "paper"
    no_lookahead = "no_lookahead"


class WageSample(StrEnum):
    blau_kahn = "blau_kahn"
    employed = "employed"


class Unit(StrEnum):
    year = "year"
    quarter = "quarter"
    month = "month"


RuleOption = Annotated[
    Rule,
    typer.Option(
        help="Exclusions: those of the paper, some of which read later years, or those that read no later year."
    ),
]


WageRange = Annotated[
    tuple[float, float],
    typer.Option(help="Lowest and highest pay an hour, in dollars of 1983, as Blau and Kahn trim wages of the PSID."),
]
Prices = Annotated[
    Path | None,
    typer.Option(
        help="CSV file with columns year and index, by which pay becomes dollars of 2010; by default the CPI-U.",
        exists=True,
    ),
]


def report(prepared: career_hf.careers.PreparedCareers, output: Path) -> None:
    """Prints the ledger and the description of careers."""
    say(prepared.ledger)
    show(prepared.description.to_frame("careers"), f"{output}: {prepared.counted.lower().removesuffix(':')}")


def save(prepared: career_hf.careers.PreparedCareers, output: Path, overwrite: bool) -> None:
    """Saves careers, and prints their ledger and description."""
    prepared.save(output, overwrite=overwrite)
    report(prepared, output)


@prepare.command("keane-wolpin")
def prepare_keane_wolpin(output: Output, salt: Salt = "career_hf", overwrite: Overwrite = False) -> None:
    """Prepare the careers of 1,384 young men in five states, which ship with the package."""
    save(career_hf.sources.keane_wolpin(salt=salt), output, overwrite)


@prepare.command("nlsy79")
def prepare_nlsy79(
    extract: Extract,
    output: Output,
    variant: Annotated[
        Variant,
        typer.Option(
            help="Build: full (1980-1998), extended (to 2012, with states collapsed), or weekly (calendar years)."
        ),
    ] = Variant.full,
    rule: RuleOption = Rule.paper,
    wages: Annotated[
        bool, typer.Option("--wages", help="Add log wage, hours, experience, schooling and industry.")
    ] = False,
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare the National Longitudinal Survey of Youth 1979, by the rules of the paper's Appendix F."""
    prepared = career_hf.sources.nlsy79(extract, variant=variant.value, rule=rule.value, wages=wages, salt=salt)
    save(prepared, output, overwrite)


@prepare.command("nlsy97")
def prepare_nlsy97(
    extract: Extract,
    output: Output,
    rule: RuleOption = Rule.paper,
    wages: Annotated[
        bool,
        typer.Option(
            "--wages", help="Add log wage, schooling, experience, industry, government and metropolitan area."
        ),
    ] = False,
    wage_range: WageRange = (1.0, 250.0),
    prices: Prices = None,
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare the National Longitudinal Survey of Youth 1997, by the rules of the paper's Appendix F."""
    prepared = career_hf.sources.nlsy97(
        extract, rule=rule.value, wages=wages, wage_range=wage_range, prices=prices, salt=salt
    )
    save(prepared, output, overwrite)


@prepare.command("psid")
def prepare_psid(
    extract: Annotated[
        Path, typer.Option(help="Folder with PSID Data Center files; subfolders are searched too.", exists=True)
    ],
    output: Output,
    rule: RuleOption = Rule.paper,
    wages: Annotated[
        bool,
        typer.Option("--wages", help="Add log wage, schooling, experience, industry, union and government."),
    ] = False,
    wage_sample: Annotated[
        WageSample,
        typer.Option(
            help="Whose wages are observed: Blau and Kahn's sample (full-time employees of 25 to 64, not in farming), "
            "or everybody employed."
        ),
    ] = WageSample.blau_kahn,
    wage_range: WageRange = (1.0, 250.0),
    prices: Prices = None,
    yearly_weights: Annotated[
        bool,
        typer.Option(
            "--yearly-weights", help="Weights of each wave, 0 where there is none; people without any are left out."
        ),
    ] = False,
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare the Panel Study of Income Dynamics, by the paper's Appendix F; careers may not be passed on."""
    prepared = career_hf.sources.psid(
        extract,
        rule=rule.value,
        wages=wages,
        wage_sample=wage_sample.value,
        wage_range=wage_range,
        prices=prices,
        yearly_weights=yearly_weights,
        salt=salt,
    )
    save(prepared, output, overwrite)


@prepare.command("jobhop")
def prepare_jobhop(
    output: Output,
    source: Annotated[
        str, typer.Option(help="Name of the dataset on the Hugging Face Hub, or a folder.")
    ] = "aida-ugent/JobHop",
    esco_occupations: EscoOccupations = None,
    as_of: Annotated[
        str | None, typer.Option(help="Day at which experiences without an end are cut; by default they are dropped.")
    ] = None,
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare JobHop, 360,000 Flemish resumes with ESCO codes and quarters."""
    save(
        career_hf.sources.jobhop(source, esco_occupations=esco_occupations, as_of=as_of, salt=salt), output, overwrite
    )


@prepare.command("decorte")
def prepare_decorte(
    output: Output,
    source: Annotated[
        str, typer.Option(help="Name of the dataset on the Hugging Face Hub, or a folder.")
    ] = "jensjorisdecorte/anonymous-working-histories",
    esco_occupations: EscoOccupations = None,
    as_of: Annotated[
        str | None, typer.Option(help="Day at which current jobs are cut; by default they are dropped.")
    ] = None,
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare DECORTE, 2,164 anonymous work histories with ESCO occupations and months."""
    save(
        career_hf.sources.decorte(source, esco_occupations=esco_occupations, as_of=as_of, salt=salt), output, overwrite
    )


@prepare.command("karrierewege")
def prepare_karrierewege(
    output: Output,
    source: Annotated[
        str, typer.Option(help="Name of the dataset on the Hugging Face Hub, or a folder.")
    ] = "ElenaSenger/Karrierewege",
    esco_occupations: EscoOccupations = None,
    latest_first: Annotated[
        bool, typer.Option("--latest-first", help="Read experiences as numbered from the latest to the first.")
    ] = False,
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare Karrierewege, 500,000 German career paths in order, without dates."""
    prepared = career_hf.sources.karrierewege(
        source, esco_occupations=esco_occupations, latest_first=latest_first, salt=salt
    )
    save(prepared, output, overwrite)


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
    state: Annotated[str, typer.Option(help="Column of US states, by name or two letters.")] = "state",
    no_occupation: NoOccupation = None,
    drop_open: DropOpen = False,
    memory: Memory = "4GB",
    threads: Threads = None,
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare resumes in the layout of the paper's Appendix F, one row per job, with education and region."""
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
        overwrite=overwrite,
    )
    report(prepared, output)


@prepare.command("spells")
def prepare_spells(
    spells: Files,
    output: Output,
    as_of: AsOf = None,
    person: PersonColumn = "person",
    occupation: OccupationColumn = "occupation",
    start: StartColumn = "start",
    end: EndColumn = "end",
    covariates: Annotated[
        str, typer.Option(help="Columns that belong to a spell, such as the employer, comma-separated.")
    ] = "",
    carried: Annotated[
        str, typer.Option(help="Columns whose value lasts until the next one, such as degrees, comma-separated.")
    ] = "",
    static: StaticColumns = "",
    crosswalk: Crosswalk = "",
    no_occupation: NoOccupation = None,
    drop_open: DropOpen = False,
    first_year: Annotated[
        int, typer.Option(help="Earliest start year; spells that start before it are dropped.")
    ] = 1900,
    longest: Annotated[int, typer.Option(help="Most years of a spell and of a career; longer ones are dropped.")] = 80,
    memory: Memory = "4GB",
    threads: Threads = None,
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare dated spells of any panel, one row per spell: each year has the occupation with most days."""
    prepared = career_hf.sources.spells(
        spells,
        output=output,
        as_of=as_of,
        person=person,
        occupation=occupation,
        start=start,
        end=end,
        covariates=names(covariates),
        carried=names(carried),
        static=names(static),
        crosswalk=crosswalk or None,
        no_occupation=no_occupation,
        drop_open=drop_open,
        first_year=first_year,
        longest=longest,
        memory=memory,
        threads=threads,
        salt=salt,
        overwrite=overwrite,
    )
    report(prepared, output)


@prepare.command("panel")
def prepare_panel(
    table: Annotated[
        Path,
        typer.Argument(help="CSV, Parquet or Stata file, long or wide.", exists=True, dir_okay=False),
    ],
    output: Output,
    person: PersonColumn = "person",
    year: Annotated[
        str,
        typer.Option(
            help="Column of years, quarters or months; or of a wide table, with one row per person, the first and the "
            "last of its columns of periods, such as Jul.93:Jun.99."
        ),
    ] = "year",
    occupation: OccupationColumn = "occupation",
    unit: Annotated[
        Unit | None, typer.Option(help="What a period is; if left out, it follows from texts such as 1993-07.")
    ] = None,
    covariates: Annotated[str, typer.Option(help="Columns that change over time, comma-separated.")] = "",
    static: StaticColumns = "",
    outcomes: Annotated[str, typer.Option(help="Columns of numbers, such as log_wage, comma-separated.")] = "",
    weight: Annotated[str, typer.Option(help="Column of survey weights.")] = "",
    stratum: Annotated[str, typer.Option(help="Column of strata of the survey.")] = "",
    psu: Annotated[str, typer.Option(help="Column of primary sampling units of the survey.")] = "",
    group: Annotated[str, typer.Option(help="Column of families or households, which stay in one split.")] = "",
    missing: Annotated[
        str, typer.Option(help="Texts that mean missing, such as NA, comma-separated; empty cells always do.")
    ] = "",
    no_occupation: Annotated[
        str | None, typer.Option(help="Label of rows without an occupation; by default such rows are left out.")
    ] = None,
    crosswalk: Crosswalk = "",
    states: States = "",
    lacks: Annotated[
        str, typer.Option(help="Labels that nobody can have in this table, such as unemployed, comma-separated.")
    ] = "",
    source: Source = "panel",
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare a panel of your own that is a table: one row per person and year or month, or one row per person."""
    prepared = career_hf.sources.panel(
        table,
        person=person,
        year=year,
        unit=None if unit is None else unit.value,
        occupation=occupation,
        covariates=names(covariates),
        static=names(static),
        outcomes=names(outcomes),
        weight=weight or None,
        stratum=stratum or None,
        psu=psu or None,
        group=group or None,
        missing=names(missing),
        no_occupation=no_occupation,
        crosswalk=crosswalk or None,
        states=pairs(states),
        lacks=names(lacks),
        source=source,
        salt=salt,
    )
    save(prepared, output, overwrite)


@prepare.command("moves")
def prepare_moves(
    counts: Annotated[Path, typer.Argument(help="CSV or Parquet file, one row per pair of occupations.", exists=True)],
    output: Output,
    origin: Annotated[str, typer.Option(help="Column of the occupation before.")] = "origin",
    destination: Annotated[str, typer.Option(help="Column of the occupation after.")] = "destination",
    count: Annotated[
        str, typer.Option(help="Column of the number of people; empty if every row counts once.")
    ] = "count",
    crosswalk: Crosswalk = "",
    shares: Annotated[
        Path | None,
        typer.Option(help="CSV file of occ1990dd and share, by which targets of one code are weighted.", exists=True),
    ] = None,
    titles: Annotated[
        Path | None, typer.Option(help="CSV file of codes and titles, for tables that have titles.", exists=True)
    ] = None,
    states: States = "",
    year: Annotated[int | None, typer.Option(help="Year of the occupation before, for all rows.")] = None,
    year_column: Annotated[str | None, typer.Option(help="Column of the year of the occupation before.")] = None,
    gap: Annotated[int, typer.Option(help="Number of years between the two occupations.")] = 1,
    covariates: Annotated[
        str, typer.Option(help="Columns of groups of people, such as gender, comma-separated.")
    ] = "",
    no_stays: Annotated[
        bool, typer.Option("--no-stays", help="Leave out people who stay in their occupation.")
    ] = False,
    source: Source = "moves",
    name: Annotated[
        str | None, typer.Option(help="Name of the table in identifiers; that of the file if left out.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Prepare published counts of moves between occupations, as weighted careers of two steps."""
    prepared = career_hf.from_moves(
        counts,
        origin=origin,
        destination=destination,
        count=count or None,
        crosswalk=crosswalk or None,
        shares=shares,
        titles=titles,
        states=pairs(states),
        year=year,
        year_column=year_column,
        gap=gap,
        covariates=names(covariates),
        stays=not no_stays,
        source=source,
        name=name,
    )
    save(prepared, output, overwrite)


class CPSFiles(StrEnum):
    march = "march"
    monthly = "monthly"


@prepare.command("cps")
def prepare_cps(
    extract: Annotated[
        Path,
        typer.Option(help="Folder with the Bureau's files and dictionaries, and subfolders.", exists=True),
    ],
    output: Output,
    files: Annotated[
        CPSFiles,
        typer.Option(help="Files: march (last year and now) or monthly (basic monthly files matched a year apart)."),
    ] = CPSFiles.march,
    crosswalk2018: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with columns source, occ1990dd and, if wished, weight, for the list of 2018.",
            exists=True,
        ),
    ] = None,
    salt: Salt = "career_hf",
    overwrite: Overwrite = False,
) -> None:
    """Prepare careers of two years of the Current Population Survey, which is in the public domain."""
    save(career_hf.sources.cps(extract, files=files.value, crosswalk2018=crosswalk2018, salt=salt), output, overwrite)
