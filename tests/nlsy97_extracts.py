"""Writes small extracts of the NLSY97 in the layout of NLS Investigator: a csv and its .sdf, all items of a build."""

from __future__ import annotations

import csv

from career_hf.occupations.crosswalks import read_data
from career_hf.sources import nlsy97_careers as nlsy97


ROSTER = ("YEMP_UID", "CV_HRLY_PAY", "CV_HRS_PER_WEEK")
PERSON = {"KEY!SEX": 1, "KEY!BDATE_Y": 1980, "KEY!RACE_ETHNICITY": 4, "KEY!RACE": 1, "CV_SAMPLE_TYPE": 1}
PERSON |= {"SIDCODE": 1, "SAMPLING_WEIGHT_CC": 123456, "VSTRAT": 7, "VPSU": 2}


def items(weekly=True, wages=False):
    """(reference, survey year, question name) of all items; the roster's numbers are made up, for none is known."""
    found = []
    for name, year, reference, _ in read_data("nlsy97_variables.csv", "career_hf.sources").itertuples(index=False):
        if not name.startswith(ROSTER):
            found.append((reference, year, name.split("|")[0]))
    for n, name in enumerate(ROSTER):
        for y, year in enumerate(nlsy97.ROUNDS):
            found += [(f"X{n}{y:02d}{job:02d}00", str(year), f"{name}.{job:02d}") for job in (1, 2, 3)]
    if wages:
        for y, year in enumerate(nlsy97.ROUNDS):
            names = [f"{name}.{job:02d}" for name in ("YEMP_INDCODE-2002", "YEMP-58500") for job in (1, 2)]
            taken = {name for _, of, name in found if of == str(year)}
            new = [name for name in (*names, "CV_MSA") if name not in taken]
            found += [(f"W{y:02d}{n:02d}000", str(year), name) for n, name in enumerate(new)]
        found += [(f"Z9{year}00", "XRND", f"CVC_HOURS_WK_YR_ALL.{year % 100:02d}") for year in range(1997, 2019)]
    for year in nlsy97.ROUNDS:
        if weekly:
            week = [(f"E001{year - 1980:02d}{w:02d}", "XRND", f"EMP_STATUS_{year}.{w:02d}") for w in range(1, 53)]
        else:
            week = [(f"Z90{year}0", "XRND", f"CVC_WKSWK_YR_ALL.{year % 100:02d}")]
        found += week
    return found


def write_extract(folder, people, weekly=True, sdf=True, without=(), wages=False):
    """Writes an extract; `people` maps a person to {(question name, year): value}, -5 where there is none."""
    held = [item for item in items(weekly, wages) if item[2] not in without and (item[2], item[1]) not in without]
    with (folder / "extract.csv").open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(["R0000100", *(reference for reference, _, _ in held)])
        for person, answers in people.items():
            answers = (
                {(name, "1997"): value for name, value in PERSON.items()} | {("CV_HGC_EVER_EDT", "1997"): 12} | answers
            )
            writer.writerow([person, *(answers.get((name, year), -5) for _, year, name in held)])
    if sdf:
        lines = [
            "\n\nReference\n",
            "Number     Year    Variable Description             Question Name\n",
            "-" * 60 + "\n",
        ]
        lines += [f"{r[:6]}.{r[6:]}  {year:<6}  A LABEL OF SEVERAL WORDS    {name}    \n" for r, year, name in held]
        (folder / "extract.sdf").write_text("R00001.00  1997    PUBID - YOUTH ID   PUBID\n" + "".join(lines))
    return folder


def weeks(year, *spells):
    """Weekly status: spells of (status, number of weeks) from the first week on, -4 after them."""
    values = [status for status, length in spells for _ in range(length)]
    return {(f"EMP_STATUS_{year}.{w:02d}", "XRND"): status for w, status in enumerate(values, 1)}


def interview(year, enrollment=3, main=-4, codes=(), employers=(), pay=(), hours=()):
    """The items of one interview: enrollment, main job, and the roster's codes, employers, pay and hours by job."""
    answers = {("CV_ENROLLSTAT_EDT", str(year)): enrollment, ("CV_MAINJOB_FLG", str(year)): main}
    for name, values in zip(("YEMP_OCCODE-2002", *ROSTER), (codes, employers, pay, hours), strict=True):
        answers |= {(f"{name}.{job:02d}", str(year)): value for job, value in enumerate(values, 1)}
    return answers


def employed(year, code=4720, employer=199901, **more):
    """A year of work for one employer, the main job at the interview (4720: cashiers, occ1990dd 276)."""
    return weeks(year, (employer, 52)) | interview(year, main=1, codes=(code,), employers=(employer,), **more)
