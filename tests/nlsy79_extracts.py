"""Extracts of the NLSY79 made by hand, for tests of its reader."""

from __future__ import annotations

import csv
import functools

from career_hf.occupations.crosswalks import read_data
from career_hf.sources import nlsy79_careers as nlsy79
from career_hf.sources.nlsy79_variables import occupation_item


# Not part of the usual extract: the occupation of 1981, household ids and weights.
LEFT_OUT = {("CPSOCC70", 1981), ("HHID", None), ("SAMPWEIGHT", 1979)}


def write_extract(folder, people, more=()):
    """Writes an extract with all variables; `people` maps a person to {(question name, year): value}, -5 elsewhere.

    `more` names variables that are usually left out.
    """
    variables = [
        (name, int(year) if year else None, reference)
        for name, year, reference in read_data("nlsy79_variables.csv", "career_hf.sources").itertuples(index=False)
    ]
    variables = [v for v in variables if v[:2] not in LEFT_OUT - set(more)]
    always = {("SAMPLE_ID", None): 1, ("SAMPLE_RACE", None): 3, ("SAMPLE_SEX", None): 1}
    always |= {("HGC", 1979): 12, ("REGION", 1979): 1}
    with (folder / "extract.csv").open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(["R0000100", *(reference for _, _, reference in variables)])
        for person, answers in people.items():
            answers = always | answers
            unknown = set(answers) - {v[:2] for v in variables}
            assert not unknown, f"the extract has no {unknown}"
            writer.writerow([person, *(answers.get((name, year), -5) for name, year, _ in variables)])
    return folder


@functools.cache
def real_build(shared, variant):
    """Careers and ledger of the real extracts, with wages, which change nothing else."""
    return nlsy79.build(shared / "data", variant, wages=True)


def employed(year, code=19):
    """Employed in the week before the interview, in an occupation."""
    return {("ESR_COL", year): 1, (occupation_item(year)[0], year): code}


def by_year(careers, person, name):
    """A list column of one person, by year."""
    row = next(row for row in careers if row["person"] == str(person))
    return dict(zip(row["year"], row[name], strict=True))


def occupation_by_year(careers, person):
    return by_year(careers, person, "occupation")
