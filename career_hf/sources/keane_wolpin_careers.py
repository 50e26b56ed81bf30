"""The careers of young men of Keane and Wolpin, extended: small real careers that ship with the package.

1,384 men of the NLSY79, one row per year of age from 16 on, at most to 50, each year one of five states. The file is
`eckstein-keane-wolpin-extended.csv` of github.com/OpenSourceEconomics/ekw-data (commit 2209455, MIT licence), row for
row. It rebuilds the data of Keane and Wolpin (1997, "The Career Decisions of Young Men", Journal of Political Economy
105(3)) from the NLSY79 and follows the men to later ages. All rows are observations, none is simulated; a career ends
where observation ends.
"""

from __future__ import annotations

import bz2
from importlib import resources

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from pyarrow import csv

from ..careers.frames import from_frame
from ..careers.ledger import Ledger
from ..careers.prepared import PreparedCareers
from ..number_ranges import within_ranges


STATES = {
    "schooling": "school",
    "home": "home",
    "white_collar": "white_collar",
    "blue_collar": "blue_collar",
    "military": "military",
}


@within_ranges
def keane_wolpin(*, salt: str = "career_hf") -> PreparedCareers:
    """Prepares the careers of 1,384 young men in five states that ship with the package; `load` has the columns.

    Args:
        salt: Salt of the split.
    """
    return PreparedCareers.of_careers("keane-wolpin", load(), salt=salt)


def load() -> tuple[Dataset, Ledger]:
    """Loads the careers.

    **The column `year` holds the year of age**, 16 to 50, not a calendar year: the source gives ages only, and since
    all men are followed from 16 on, age orders their careers. A year runs from October to September.

    Columns:
        person: The source's identifier.
        year: Age.
        occupation: "school", "white_collar", "blue_collar", "military" or "home" (none of these, which
            includes part-time work and school years that were not completed).
        age: Age as a label, for tables by age; the same as `year`, so a model needs only one of the two.
        schooling: Years of school completed before this year, so known before the state it predicts: the years
            at the start, plus the earlier years spent in school.
        log_wage: Natural log of yearly pay in dollars of 1987 (mean weekly pay times 50); null where there is none.

    Returns:
        Careers of 1,384 people and 39,675 person-years, and the ledger.
    """
    compressed = resources.files("career_hf.sources").joinpath("data/keane_wolpin.csv.bz2").read_bytes()
    source = csv.read_csv(pa.BufferReader(bz2.decompress(compressed)))
    states = list(STATES)
    occupation = pa.array(STATES.values()).take(pc.index_in(source["Choice"].combine_chunks(), pa.array(states)))
    wage = source["Wage"].to_numpy()
    long = {
        "person": source["Identifier"],
        "year": source["Age"],
        "occupation": occupation,
        "age": source["Age"],
        "schooling": source["Schooling"],
        "log_wage": np.log(wage, where=wage > 0, out=np.full(len(wage), np.nan)),
    }
    careers = from_frame(long, covariates=["age", "schooling"], outcomes=["log_wage"])
    ledger = Ledger()
    unpaid = {"pay of 0, so that log_wage is missing": int((wage == 0).sum())}
    ledger.record("read Keane-Wolpin careers", "person-years", len(wage), len(wage), altered=unpaid)
    ledger.note("the men are respondents of the NLSY79: never test on them a model that was trained on NLSY79 careers")
    return careers, ledger
