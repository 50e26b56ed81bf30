"""Open resume datasets in ESCO: JobHop, Karrierewege and DECORTE, read with `load_dataset`, mapped to occ1990dd.

* JobHop (aida-ugent/JobHop on the Hugging Face Hub, CC BY 4.0): resumes from VDAB, the public employment service of
  Flanders, with ESCO codes and quarters (arXiv:2505.07653).
* DECORTE (jensjorisdecorte/anonymous-working-histories, CC BY 4.0): 2,164 work histories with ESCO addresses and
  months (arXiv:2310.15636).
* Karrierewege (ElenaSenger/Karrierewege, no licence on its card): German resumes with ESCO labels and no dates
  (arXiv:2412.14612).

None has sex, race or region, and two are European: they serve for pretraining, not as a sample of the United
States.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd
from datasets import Dataset, Features, Value, load_dataset
from datasets.exceptions import DatasetGenerationError

from ..careers.frames import from_frame
from ..careers.ledger import Ledger
from ..careers.prepared import PreparedCareers
from ..number_ranges import within_ranges
from ..occupations.normalising import labels_of
from ..occupations.weighted_crosswalks import esco_crosswalk, recode
from .spell_careers import spells_to_careers
from .spell_rules import Recode, SpellRules
from .spell_years import ONGOING


JOBHOP_COLUMNS = ["resume_id", "matched_code", "start_date", "end_date", "university_level"]
KARRIEREWEGE_COLUMNS = ["_id", "experience_order", "preferredLabel_en"]
# A row of DECORTE is a person, and has these columns for each job, with its number behind them.
DECORTE_COLUMNS = ["ESCO_uri", "start", "end"]
UNKNOWN = "unknown"
# Levels of education by JobHop's `university_level`; other levels stay as they are, and "None" says that no level was
# found in the resume.
DEGREES = {
    "Secondary school": "high_school",
    "Bachelor": "college",
    "Master": "graduate",
    "PhD": "graduate",
    "Doctorate": "graduate",
}
NO_DEGREE = "None"


@within_ranges
def jobhop(
    source: str | Path = "aida-ugent/JobHop",
    *,
    esco_occupations: str | Path | None = None,
    as_of: str | None = None,
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares careers of JobHop, 360,000 Flemish resumes with ESCO codes and quarters; `load_jobhop` has the details.

    Args:
        source: Name on the Hugging Face Hub, or folder with the csv files of the splits.
        esco_occupations: ESCO's `occupations_en.csv`, with which codes are mapped one by one.
        as_of: Day at which experiences without an end are cut; without it they are dropped.
        salt: Salt of the split.

    Raises:
        ValueError: As `load_jobhop` does.
    """
    built = load_jobhop(source, esco_occupations=esco_occupations, as_of=as_of)
    settings = {"source": Path(source).name, "as_of": as_of}
    return PreparedCareers.of_careers("jobhop", built, salt=salt, settings=settings)


@within_ranges
def karrierewege(
    source: str | Path = "ElenaSenger/Karrierewege",
    *,
    esco_occupations: str | Path | None = None,
    latest_first: bool = False,
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares Karrierewege, 500,000 German career paths in order, without dates; `load_karrierewege` has the details.

    Args:
        source: Name on the Hugging Face Hub, or folder with the files of the splits.
        esco_occupations: ESCO's `occupations_en.csv`, which adds the labels of finer occupations.
        latest_first: Whether experiences are numbered from the latest to the first.
        salt: Salt of the split.

    Raises:
        ValueError: As `load_karrierewege` does.
    """
    built = load_karrierewege(source, esco_occupations=esco_occupations, latest_first=latest_first)
    settings = {"source": Path(source).name, "latest_first": latest_first}
    return PreparedCareers.of_careers("karrierewege", built, salt=salt, settings=settings)


@within_ranges
def decorte(
    source: str | Path = "jensjorisdecorte/anonymous-working-histories",
    *,
    esco_occupations: str | Path | None = None,
    as_of: str | None = None,
    salt: str = "career_hf",
) -> PreparedCareers:
    """Prepares DECORTE, 2,164 anonymous work histories with ESCO occupations and months; `load_decorte` has details.

    Args:
        source: Name on the Hugging Face Hub, or folder with the files of the splits.
        esco_occupations: ESCO's `occupations_en.csv`, which adds the addresses of finer occupations.
        as_of: Day at which current jobs are cut; without it they are dropped.
        salt: Salt of the split.

    Raises:
        ValueError: As `load_decorte` does.
    """
    built = load_decorte(source, esco_occupations=esco_occupations, as_of=as_of)
    settings = {"source": Path(source).name, "as_of": as_of}
    return PreparedCareers.of_careers("decorte", built, salt=salt, settings=settings)


def load_jobhop(
    source: str | Path = "aida-ugent/JobHop",
    *,
    esco_occupations: str | Path | None = None,
    as_of: str | None = None,
) -> tuple[Dataset, Ledger]:
    """Loads careers of JobHop: one occupation a year, by the rules of `spells_to_careers`.

    Besides person, year and occupation, careers have the static covariate education, the level that the resume states,
    named as in the surveys. It is the level at the end of the career, so a model that sees it in earlier years looks
    ahead.

    Args:
        source: Name on the Hub, or folder with the csv files of the splits, which are joined.
        esco_occupations: ESCO's `occupations_en.csv`, with which codes are mapped one by one. Without it, or where it
            lacks a code, the first four digits are mapped, the ISCO-08 unit group; nearly half of these groups have
            several targets.
        as_of: Day, such as "2024-12-31", at which experiences without an end, or whose end is "Present", are cut;
            without it they are dropped.

    Returns:
        Careers in occ1990dd (905 is the armed forces), and the ledger.

    Raises:
        ValueError: If a column is missing, or no experience is left.
    """
    rows = _read(source, JOBHOP_COLUMNS, Features({name: Value("string") for name in JOBHOP_COLUMNS}))
    rows["university_level"] = rows["university_level"].mask(rows["university_level"].eq(NO_DEGREE))
    ledger = Ledger()
    code = rows["matched_code"].mask(rows["matched_code"].eq(UNKNOWN))
    occupation, coverage = recode(code.str[:4], esco_crosswalk("isco08"))
    ledger.note(f"first four digits of ESCO codes, the ISCO-08 unit group: {coverage}")
    if esco_occupations is not None:
        by_code, coverage = recode(code, esco_crosswalk("code", esco_occupations))
        ledger.note(f"ESCO codes by {Path(esco_occupations).name}, used before the unit group: {coverage}")
        occupation = by_code.fillna(occupation)
    rows = _keep_mapped(rows, code, occupation, ledger)
    rules = SpellRules(
        person="resume_id",
        start="start_date",
        end="end_date",
        static={"education": "university_level"},
        recode={"education": Recode(DEGREES)},
        as_of=as_of,
        missing_end="drop" if as_of is None else "as_of",
    )
    careers = _spells_to_careers(rows, rules, ledger)
    ledger.note("education is the level at the time of the resume, so it looks ahead in all earlier years")
    return careers, ledger


def load_decorte(
    source: str | Path = "jensjorisdecorte/anonymous-working-histories",
    *,
    esco_occupations: str | Path | None = None,
    as_of: str | None = None,
) -> tuple[Dataset, Ledger]:
    """Loads careers of DECORTE: one occupation a year, by the rules of `spells_to_careers`.

    The data set has a row per person and columns for each job ("ESCO_uri_0", "start_0", "end_0" and so on). People
    have no identifiers: theirs are the split and the number of the row.

    Args:
        source: Name on the Hub, or folder with the files of the splits, which are joined.
        esco_occupations: ESCO's `occupations_en.csv`. Without it, only the 1,680 occupations just below the ISCO-08
            unit groups have a target.
        as_of: Day at which jobs whose end is missing or "current" are cut; without it they are dropped.

    Returns:
        Careers in occ1990dd (905 is the armed forces), and the ledger.

    Raises:
        ValueError: If a column is missing, or no job is left.
    """
    wide = _read(source, [f"{name}_0" for name in DECORTE_COLUMNS], all_columns=True)
    numbers = [number for number in range(100) if f"ESCO_uri_{number}" in wide]
    jobs = [
        pd.DataFrame(
            {
                "person": wide["split"] + "-" + wide["row"].astype(str),
                **{name: wide[f"{name}_{number}"].astype("string") for name in DECORTE_COLUMNS},
            }
        )
        for number in numbers
    ]
    # Most people have fewer jobs than there are columns.
    rows = pd.concat(jobs, ignore_index=True).dropna(subset=DECORTE_COLUMNS, how="all").reset_index(drop=True)
    ledger = Ledger()
    occupation, coverage = recode(rows["ESCO_uri"], esco_crosswalk("uri", esco_occupations))
    ledger.note(f"ESCO addresses: {coverage}")
    rows = _keep_mapped(rows, rows["ESCO_uri"], occupation, ledger)
    rules = SpellRules(as_of=as_of, missing_end="drop" if as_of is None else "as_of")
    return _spells_to_careers(rows, rules, ledger), ledger


def load_karrierewege(
    source: str | Path = "ElenaSenger/Karrierewege",
    *,
    esco_occupations: str | Path | None = None,
    latest_first: bool = False,
) -> tuple[Dataset, Ledger]:
    """Loads paths of Karrierewege, which have an order but no dates.

    **The column `year` holds the number of the experience, not a year**: leave `year` out of a model's covariates, and
    do not read stays as years. Experiences that are dropped leave a gap in the numbers.

    Args:
        source: Name on the Hub, or folder with the files of the splits, which are joined.
        esco_occupations: ESCO's `occupations_en.csv`. Without it, labels are known of only the 1,680 occupations just
            below the ISCO-08 unit groups.
        latest_first: Whether experiences are numbered from the latest to the first. The dataset's card does not
            say so: look at a few paths.

    Returns:
        Careers in occ1990dd (905 is the armed forces), and the ledger.

    Raises:
        ValueError: If a column is missing, or a person has two experiences of one number.
    """
    rows = _read(source, KARRIEREWEGE_COLUMNS)
    ledger = Ledger()
    label = labels_of(rows["preferredLabel_en"]).astype("string").str.lower()
    occupation, coverage = recode(label, esco_crosswalk("label", esco_occupations))
    ledger.note(f"ESCO labels: {coverage}")
    rows = _keep_mapped(rows, label, occupation, ledger)
    if latest_first:
        order = pd.to_numeric(rows["experience_order"], errors="coerce")
        rows["experience_order"] = order.groupby(labels_of(rows["_id"])).transform("max") - order + 1
    ledger.note("the column year is the number of the experience: there are no dates, and steps are no years")
    return from_frame(rows, person="_id", year="experience_order"), ledger


def _spells_to_careers(rows: pd.DataFrame, rules: SpellRules, ledger: Ledger) -> Dataset:
    """Careers of spells, after the steps that the ledger has already. Without `as_of`, what goes on is dropped."""
    if rules.as_of is None:
        goes_on = rows[rules.end].str.strip().str.lower().isin(ONGOING)
        rows = rows.assign(**{rules.end: rows[rules.end].mask(goes_on)})
    careers, steps = spells_to_careers(rows, rules)
    for entry in steps.entries:
        ledger.record(**asdict(entry))
    ledger.notes += steps.notes
    return careers


def _read(
    source: str | Path, columns: list[str], features: Features | None = None, all_columns: bool = False
) -> pd.DataFrame:
    """Reads all splits of a dataset as one frame; codes must stay text, as "0310.3" and "2353.10" are no numbers.

    With all columns, the columns `split` and `row` are added.
    """
    if not str(source).strip():
        raise ValueError("source is empty: give the name of the dataset on the Hugging Face Hub, or a folder")
    try:
        splits = load_dataset(str(source), features=features)
    except OSError:
        raise
    except Exception as error:  # whatever a damaged file makes of the libraries that read it
        reason = error.__cause__ if isinstance(error, DatasetGenerationError) else error
        raise ValueError(f"{source} cannot be read with columns {columns}: {reason}") from error
    column_names = next(iter(splits.values())).column_names
    missing = [name for name in columns if name not in column_names]
    if missing:
        raise ValueError(
            f"{source} has no column '{missing[0]}', only {column_names}: it is another data set, or a version of "
            "it that this reader does not know"
        )
    if all_columns:
        frames = {name: split.to_pandas() for name, split in splits.items()}
        return pd.concat([frame.assign(split=str(name), row=frame.index) for name, frame in frames.items()])
    return pd.concat([split.select_columns(columns).to_pandas() for split in splits.values()], ignore_index=True)


def _keep_mapped(rows: pd.DataFrame, code: pd.Series, occupation: pd.Series, ledger: Ledger) -> pd.DataFrame:
    """Adds the occupation, drops rows without one, and records both reasons for this in the ledger."""
    mapped = rows.assign(occupation=occupation.astype(object))[occupation.notna()]
    dropped = {
        "occupation unknown": int(code.isna().sum()),
        "no counterpart in occ1990dd (see the notes)": int((code.notna() & occupation.isna()).sum()),
    }
    ledger.record("map ESCO to occ1990dd", "spells", len(rows), len(mapped), dropped)
    return mapped
