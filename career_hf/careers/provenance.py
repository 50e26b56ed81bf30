"""Where careers come from, what may be done with them, and what they cannot contain: sources and licences as data.

The card of a folder of careers holds source, licence and redistribution: `source_of` reads them, so that training can
record them in the checkpoint. It holds the limits of the careers too, which `limits_of` reads, so that training on
them teaches nothing about what they leave out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow.compute as pc
from datasets import Dataset
from huggingface_hub import DatasetCard

from ..number_ranges import within_ranges
from .columns import list_values
from .shards import CareerShards, table_pieces


# Name of the card in a folder of careers.
CARD = "README.md"
# Whether careers may be passed on; "from the agency" means that users get the files there, free, and accept its terms.
Redistribution = Literal["allowed", "allowed with attribution", "from the agency", "forbidden", "unknown"]


@dataclass(frozen=True)
class Source:
    """Where careers come from, and what may be done with them.

    Args:
        name: Name of the source, as in `career-hf prepare NAME`.
        title: Full name of the source.
        license: Licence as the Hub spells it: an SPDX name in lower case, "other" or "unknown".
        redistribution: Whether careers may be passed on.
        provenance: Sentences that say who collected what.
        terms: Sentences that say what users may not do.
        license_name: Name of a licence that is "other" to the Hub.
        license_link: Address of the licence's text.
        cite: Work to cite.
        command: Command that makes the careers; `career-hf prepare NAME` if None.
    """

    name: str
    title: str
    license: str
    redistribution: Redistribution
    provenance: str
    terms: str
    license_name: str | None = None
    license_link: str | None = None
    cite: str | None = None
    command: str | None = None

    @property
    def record(self) -> dict[str, str]:
        """Source, licence and redistribution, as a checkpoint records them and `source_of` reads them from a card."""
        license = license_slug(self.license_name) if self.license_name else self.license
        return {"source": self.name, "license": license, "redistribution": self.redistribution}

    @property
    def license_text(self) -> str:
        """The licence as a sentence."""
        name = self.license_name or self.license
        return f"{name} ({self.license_link})" if self.license_link else name


@dataclass(frozen=True)
class Limits:
    """What careers cannot contain, because of how they were collected and not because it never happens.

    Args:
        lacks: Labels of occupations and states that nobody can have in them, such as "unemployed" in moves between
            jobs. A model that is trained on them should leave these out of its softmax.
        stays: Whether people who stay in their occupation are in them.
        beginnings: Whether a career's first step is where a career begins; if not, it is only the history of the next.
        calendar: Whether `year` is a calendar year (or an age), rather than the number of a step.
    """

    lacks: tuple[str, ...] = ()
    stays: bool = True
    beginnings: bool = True
    calendar: bool = True

    @property
    def sentences(self) -> list[str]:
        """The limits in words, one sentence each."""
        lacking = ", ".join(self.lacks)
        return [
            *([f"They cannot contain {lacking}."] if self.lacks else []),
            *([] if self.stays else ["People who stay in their occupation are not in them."]),
            *([] if self.beginnings else ["First steps are history, and not where careers begin."]),
            *([] if self.calendar else ["The column year holds the number of the step, and no calendar year."]),
        ]


_NLS_TERMS = (
    "The public-use files are free, but users get them from NLS Investigator (nlsinfo.org) and agree not to identify "
    "anybody. career_hf ships no row of them: pass on how the careers were made, not the careers."
)
_OWN_TERMS = (
    "Only the owner of the data knows: ask before careers or models trained on them are passed on, and correct this "
    "card. Resumes are personal data even without names."
)
_SIMULATED = "Drawn from the simulated labor market of career_hf: nobody in them exists."
_SOURCES = (
    Source(
        name="simulated",
        title="Simulated careers",
        license="mit",
        redistribution="allowed",
        provenance=_SIMULATED,
        terms="They come under the licence of career_hf.",
        command="career-hf simulate",
    ),
    Source(
        name="simulated-resumes",
        title="Simulated resumes",
        license="mit",
        redistribution="allowed",
        provenance=f"{_SIMULATED} Resumes leave out years without work, and code some occupations wrongly.",
        terms="They come under the licence of career_hf.",
        command="career-hf simulate --preset resume",
    ),
    Source(
        name="keane-wolpin",
        title="Careers of young men (Keane and Wolpin), extended",
        license="mit",
        redistribution="allowed",
        provenance=(
            "1,384 men of the NLSY79 by year of age in five states, built by Open Source Economics "
            "(github.com/OpenSourceEconomics/ekw-data)."
        ),
        terms="The licence travels with the file.",
        license_link="https://github.com/OpenSourceEconomics/ekw-data",
        cite="Keane and Wolpin (1997), The Career Decisions of Young Men, Journal of Political Economy 105(3)",
    ),
    Source(
        name="nlsy79",
        title="National Longitudinal Survey of Youth 1979",
        license="other",
        license_name="NLS public-use data",
        license_link="https://www.nlsinfo.org",
        redistribution="from the agency",
        provenance="A survey of the U.S. Bureau of Labor Statistics, people born in 1957-64, public-use files.",
        terms=_NLS_TERMS,
        cite="Bureau of Labor Statistics, U.S. Department of Labor: National Longitudinal Survey of Youth 1979 cohort",
    ),
    Source(
        name="nlsy97",
        title="National Longitudinal Survey of Youth 1997",
        license="other",
        license_name="NLS public-use data",
        license_link="https://www.nlsinfo.org",
        redistribution="from the agency",
        provenance="A survey of the U.S. Bureau of Labor Statistics, people born in 1980-84, public-use files.",
        terms=_NLS_TERMS,
        cite="Bureau of Labor Statistics, U.S. Department of Labor: National Longitudinal Survey of Youth 1997 cohort",
    ),
    Source(
        name="psid",
        title="Panel Study of Income Dynamics",
        license="other",
        license_name="PSID conditions of use",
        license_link="https://psidonline.isr.umich.edu",
        redistribution="forbidden",
        provenance="A survey of families since 1968, Institute for Social Research, University of Michigan.",
        terms="Users register with the PSID Data Center and agree not to pass the data on.",
        cite="Panel Study of Income Dynamics, public use dataset. Survey Research Center, University of Michigan",
    ),
    Source(
        name="jobhop",
        title="JobHop in occ1990dd",
        license="cc-by-4.0",
        license_link="https://huggingface.co/datasets/aida-ugent/JobHop",
        redistribution="allowed with attribution",
        provenance=(
            "Resumes from VDAB, the public employment service of Flanders, with ESCO codes (aida-ugent/JobHop), "
            "mapped to occ1990dd."
        ),
        terms="Name the authors, and say that occupations were recoded and spells made into years.",
        cite="arXiv:2505.07653",
    ),
    Source(
        name="karrierewege",
        title="Karrierewege in occ1990dd",
        license="unknown",
        license_link="https://huggingface.co/datasets/ElenaSenger/Karrierewege",
        redistribution="unknown",
        provenance=(
            "German career paths without dates, with ESCO labels (ElenaSenger/Karrierewege), mapped to occ1990dd."
        ),
        terms="The data set's card names no licence: ask its authors before careers or models are passed on.",
        cite="arXiv:2412.14612",
    ),
    Source(
        name="decorte",
        title="DECORTE in occ1990dd",
        license="cc-by-4.0",
        license_link="https://huggingface.co/datasets/jensjorisdecorte/anonymous-working-histories",
        redistribution="allowed with attribution",
        provenance=(
            "2,164 anonymous work histories with ESCO addresses (jensjorisdecorte/anonymous-working-histories), "
            "mapped to occ1990dd."
        ),
        terms="Name the authors, and say that occupations were recoded and spells made into years.",
        cite="arXiv:2310.15636",
    ),
    Source(
        name="resumes",
        title="Resumes in occ1990dd",
        license="unknown",
        redistribution="unknown",
        provenance="Dated jobs of resumes, by the rules of Appendix F of the CAREER paper.",
        terms=_OWN_TERMS,
    ),
    Source(
        name="cps",
        title="Careers of two years of the Current Population Survey",
        license="other",
        license_name="Public domain (works of the U.S. government)",
        license_link="https://www.census.gov/programs-surveys/cps.html",
        redistribution="allowed",
        provenance="A monthly survey of the U.S. Census Bureau for the Bureau of Labor Statistics, public-use files.",
        terms="Nobody may try to find out who somebody in the files is (13 U.S.C. 9); the Bureau asks to be cited.",
        cite="U.S. Census Bureau and U.S. Bureau of Labor Statistics: Current Population Survey",
    ),
    Source(
        name="cps-moves",
        title="Occupation a year ago and now, CPS ASEC",
        license="unknown",
        license_link="https://github.com/jorisbc/Employment-dynamics-in-a-rapid-decarbonization-of-the-US-power-sector",
        redistribution="unknown",
        provenance=(
            "Counts of people by occupation of the longest job last year and occupation in March, Current Population "
            "Survey, 2011 to 2019, as Bücker et al. published them."
        ),
        terms=(
            "The survey is in the public domain, and counts made from it are facts; the repository of the table asks "
            "to be cited, and has no licence. `career-hf prepare cps` makes such moves of the Bureau's own files."
        ),
        cite="Bücker, del Rio-Chanona, Pichler, Ives and Farmer (2025), Joule, doi:10.1016/j.joule.2024.12.004",
    ),
    Source(
        name="gss-moves",
        title="Moves between waves of the General Social Survey panels",
        license="unknown",
        license_link="https://gss.norc.org",
        redistribution="unknown",
        provenance="Counts of people by occupation in waves two years apart, panels of 2006 to 2014.",
        terms="NORC asks to be cited; no open licence was seen.",
        cite="Davern, M., et al. General Social Survey 2006-2014 panels. NORC at the University of Chicago",
    ),
    Source(
        name="denmark-moves",
        title="Danish occupational mobility, 155 groups of DISCO-88",
        license="gpl-3.0",
        license_link="https://github.com/antongrau/MONECA",
        # A copyleft, whose reach to models nobody has settled.
        redistribution="unknown",
        provenance="Counts of transitions of Danish wage earners in registers, from the R package MONECA.",
        terms=(
            "The package is under the GPL: whoever passes on something made from it decides whether its terms apply. "
            "Counts are facts, but the European right to databases may apply."
        ),
        cite="Toubøl and Larsen (2017), Mapping the Social Class Structure, Sociology 51(6)",
    ),
    Source(
        name="cps-flows",
        title="Monthly flows between 22 occupation groups, unemployment and out of the labor force, CPS",
        license="mit",
        license_link="https://github.com/fraware/Occupational-Transition",
        redistribution="allowed with attribution",
        provenance="Weighted flows from one month to the next, matched monthly files of the CPS, 2019 to 2026.",
        terms="The licence travels with the table. Steps are months.",
    ),
    Source(
        name="onet-related",
        title="O*NET related occupations",
        license="cc-by-4.0",
        license_link="https://www.onetcenter.org/license_db.html",
        redistribution="allowed with attribution",
        provenance="Pairs of occupations that O*NET calls related: likeness, and no moves of people.",
        terms=(
            "Say that this includes information from the O*NET Database by the U.S. Department of Labor, Employment "
            "and Training Administration (USDOL/ETA), used under the CC BY 4.0 license, and that it was modified."
        ),
        cite="O*NET Database, U.S. Department of Labor, Employment and Training Administration",
    ),
    Source(
        name="moves",
        title="Careers of two steps from counts of moves",
        license="unknown",
        redistribution="unknown",
        provenance="Counts of moves between occupations, of the user's own.",
        terms="Counts of few people can disclose them: ask the owner of the table before they are passed on.",
    ),
    Source(
        name="panel",
        title="Careers from a yearly table",
        license="unknown",
        redistribution="unknown",
        provenance="A table of the user's own with one row per person and year.",
        terms=_OWN_TERMS,
    ),
    Source(
        name="spells",
        title="Careers from spells",
        license="unknown",
        redistribution="unknown",
        provenance="Dated spells of the user's own.",
        terms=_OWN_TERMS,
    ),
)
# What is recorded of careers that nobody says the source of.
UNKNOWN_SOURCE: Mapping[str, Any] = {"source": "unknown", "license": "unknown", "redistribution": "unknown"}
SOURCES: Mapping[str, Source] = {source.name: source for source in _SOURCES}


@within_ranges
def source_of(folder: str | Path) -> dict[str, str]:
    """Reads from the card of a folder where its careers come from, in the form that a checkpoint records.

    Args:
        folder: Folder of careers, as `career-hf prepare` writes it.

    Returns:
        `source`, `license` and `redistribution`, each "unknown" where no card says it.

    Raises:
        ValueError: If the card cannot be read, a field is no text, or `redistribution` is not one of `Redistribution`.
    """
    path = Path(folder) / CARD
    metadata, our_metadata = _metadata(path)
    license = metadata.get("license_name") or metadata.get("license", "unknown")
    # The Hub's cards may name several licences.
    license = ", ".join(map(str, license)) if isinstance(license, list) else license
    redistribution = our_metadata.get("redistribution", "unknown")
    if redistribution not in get_args(Redistribution):
        raise ValueError(f"{path}: redistribution {redistribution!r} is none of {list(get_args(Redistribution))}")
    record = {"source": our_metadata.get("source", "unknown"), "license": license, "redistribution": redistribution}
    if wrong := [name for name, value in record.items() if not isinstance(value, str)]:
        raise ValueError(f"{path}: {wrong[0]} is {record[wrong[0]]!r}, and must be a text")
    return record


@within_ranges
def limits_of(folder: str | Path) -> Limits:
    """Reads from the card of a folder what its careers cannot contain; `Limits()` where no card says it.

    Args:
        folder: Folder of careers, as `career-hf prepare` writes it.

    Raises:
        ValueError: If the card cannot be read, or its limits have other fields or types than `Limits`.
    """
    path = Path(folder) / CARD
    fields = _metadata(path)[1].get("limits", {})
    known = asdict(Limits())
    if not isinstance(fields, dict) or not set(fields) <= set(known):
        raise ValueError(f"{path}: limits are {fields!r}, and may hold {', '.join(known)}")
    lacks = fields.get("lacks", [])
    if not isinstance(lacks, list) or not all(isinstance(label, str) for label in lacks):
        raise ValueError(f"{path}: lacks is {lacks!r}, and must be a list of labels, as texts")
    for name, value in fields.items():
        if name != "lacks" and not isinstance(value, bool):
            raise ValueError(f"{path}: {name} is {value!r}, and must be true or false")
    return Limits(**{**fields, "lacks": tuple(lacks)})


def _metadata(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata of a card, and our own among them; nothing where there is no card."""
    try:
        metadata = DatasetCard.load(path).data.to_dict() if path.exists() else {}
    except OSError:
        raise
    except Exception as error:  # YAML and the Hub's card have errors of their own
        text = " ".join(str(error).split())
        raise ValueError(
            f"{path} has a head that cannot be read ({type(error).__name__}: {text}): correct it"
        ) from error
    our_metadata = metadata.get("career_hf") or {}
    if not isinstance(our_metadata, dict):
        raise ValueError(f"{path}: career_hf is {our_metadata!r}, and must hold source and redistribution")
    return metadata, our_metadata


def training_source(folder: str | Path, careers: Dataset | CareerShards) -> dict[str, Any]:
    """`source_of` a folder, with `first_year` and `last_year` of the training careers that were loaded from it."""
    return source_of(folder) | years_of(careers)


def years_of(careers: Dataset | CareerShards) -> dict[str, int]:
    """The first and the last year of careers, as `first_year` and `last_year`."""
    pieces = table_pieces(careers.select_columns(["year"]))
    first, last = zip(*(pc.min_max(list_values(piece, "year")).values() for piece in pieces), strict=True)
    return {"first_year": min(year.as_py() for year in first), "last_year": max(year.as_py() for year in last)}


def license_slug(name: str) -> str:
    """The name of a licence as the Hub's metadata spell it."""
    return name.lower().replace(" ", "-")
