"""Writes small files of the PSID in the layouts of the Data Center: fixed-width text and its three setup files."""

from __future__ import annotations

from career_hf.occupations.crosswalks import read_data


VARIABLES = dict(
    zip(
        read_data("psid_variables.csv", "career_hf.sources")[["item", "year"]].itertuples(index=False, name=None),
        read_data("psid_variables.csv", "career_hf.sources")["variable"],
        strict=True,
    )
)
FAMILY_ITEMS = ("family_interview", "occupation", "region", "race", "hourly_earnings", "annual_hours")
WIDTHS = {"occupation_head": 4, "occupation_spouse": 4, "hourly_earnings_head": 7, "hourly_earnings_spouse": 7}
LABELS = {
    "interview": "{year} INTERVIEW NUMBER",
    "sequence": "SEQUENCE NUMBER                       {yy}",
    "relation": "RELATION TO HEAD                      {yy}",
    "employment_status": "EMPLOYMENT STATUS                     {yy}",
    "education": "YEARS COMPLETED EDUCATION             {yy}",
    "occupation_head": "BC20 MAIN OCC FOR JOB 1 (HD)",
    "occupation_spouse": "DE20 MAIN OCC FOR JOB 1 (WF)",
    "region": "CURRENT REGION",
    "race_head": "L40 RACE OF HEAD-MENTION 1",
    "race_spouse": "K40 RACE OF WIFE-MENTION 1",
}


def columns(without=()):
    """(variable, width, label) of all variables of a build but those of family files only."""
    return [
        (variable, WIDTHS.get(item, 5), LABELS.get(item, item.upper()).format(year=year, yy=year[2:]))
        for (item, year), variable in VARIABLES.items()
        if item != "family_interview" and variable not in without
    ]


def person(family, number, sex=1, **more):
    answers = {"id68": family, "person68": number, "sex": sex, "stratum": 7, "psu": 2} | more
    return {VARIABLES[item, ""]: value for item, value in answers.items()}


def wave(year, status=1, code=0, spouse=False, education=12, region=1, race=1, pay=0, hours=0, weight=11.5, **more):
    """One wave of a reference person, or of a spouse: their own items, and those of the family."""
    role = "spouse" if spouse else "head"
    answers = {"interview": 1, "sequence": 2 if spouse else 1, "relation": 20 if spouse else 10}
    answers |= {"employment_status": status, "education": education, "weight": weight, "region": region}
    answers |= {f"occupation_{role}": code, f"race_{role}": race}
    answers |= {f"hourly_earnings_{role}": pay, f"annual_hours_{role}": hours} | more
    return {VARIABLES[item, str(year)]: value for item, value in answers.items() if (item, str(year)) in VARIABLES}


def positions(columns):
    """(variable, first, last) of a fixed-width file."""
    found, end = [], 0
    for name, width, _ in columns:
        found.append((name, end + 1, end + width))
        end += width
    return found


def header(rows, length):
    return (
        " PSID DATA CENTER *****************************************************\n"
        f"   JOBID            : 1\n   N_OF_OBSERVATIONS: {rows}\n   MAX_REC_LENGTH   : {length}\n"
    )


def setup_text(kind, columns, rows):
    """A setup file for SAS, Stata or SPSS, as the Data Center writes it: three variables a line."""
    placed = positions(columns)
    length = placed[-1][2]
    cells = [f"      {name:<8} {first:>6} - {last:<6}" for name, first, last in placed]
    listed = "\n".join("".join(cells[i : i + 3]) for i in range(0, len(cells), 3))
    labels = [(name, label) for name, _, label in columns]
    if kind == "sas":
        attributes = "\n".join(f'      {name}  LABEL="{label}"  FORMAT=F4.' for name, label in labels)
        return (
            f'/*{header(rows, length)}*************/\n\nFILENAME  J1 "[path]\\J1.txt" ;\n\nDATA J1 ;\n'
            f"   ATTRIB\n{attributes}\n"
            f"   ;\n   INFILE J1 LRECL = {length} ; \n   INPUT \n{listed}\n   ;\nrun ;\n"
        )
    if kind == "do":
        described = "\n".join(f'label variable {name}    "{label}" ;' for name, label in labels)
        return (
            f"#delimit ;\n* {header(rows, length)}*************\n;\n\ninfix\n"
            f"{listed.replace('      ER30002', ' long ER30002')}\n"
            f"using [path]\\J1.txt, clear \n;\n\ndestring, replace ;\n\n{described}\n"
        )
    described = "\n".join(f'     {name}  "{label}"' for name, label in labels)
    return (
        f"*{header(rows, length)}*************.\n\nFILE HANDLE PSID / NAME = '[PATH]\\J1.TXT' LRECL = {length} .\n"
        f"DATA LIST FILE = PSID FIXED /\n{listed}\n   .\n   EXECUTE .\n   VARIABLE LABELS\n{described}\n   .\n"
    )


def data_text(columns, people):
    def line(answers):
        return "".join(f"{answers.get(name, 0):>{width}}" for name, width, _ in columns)

    return "".join(line(answers) + "\n" for answers in people)


def write_files(folder, people, kinds=("sas",), without=(), name="J1"):
    """Writes a text file and setup files; `people` are {variable: value}, 0 where there is none."""
    held = columns(without)
    (folder / f"{name}.txt").write_text(data_text(held, people))
    for kind in kinds:
        (folder / f"{name}.{kind}").write_text(setup_text(kind, held, len(people)))
    return folder
