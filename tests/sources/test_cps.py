"""The Current Population Survey in the Bureau's own layouts, with made-up people: who is found, and what they did."""

from __future__ import annotations

import gzip
import zipfile

import pandas as pd
import pytest
from typer.testing import CliRunner

from career_hf import sources
from career_hf.careers import limits_of, load_careers, validate
from career_hf.cli.app import app
from career_hf.sources.cps_careers import STATE_OF_CENSUS, STATE_OF_FIPS
from career_hf.sources.cps_files import read_dictionary
from career_hf.sources.resume_careers import STATES


# Lines of the record layout that starts in January 2007, as the Bureau writes them.
LAYOUT_2007 = """\
NAME         SIZE  DESCRIPTION                          LOCATION

HRHHID          15     HOUSEHOLD IDENTIFIER   (Part 1)             (1 - 15)

                   EDITED UNIVERSE: ALL HHLD's IN SAMPLE

                   Part 1. See Characters 71-75 for Part 2 of the Household Identifier.
HRMONTH      2     MONTH OF INTERVIEW                   (16-17)
                       01   MIN VALUE
                       12   MAX VALUE
HRYEAR4      4     YEAR OF INTERVIEW                       (18-21)
HRMIS        2     MONTH-IN-SAMPLE                      (63 - 64)
HRHHID2      5     HOUSEHOLD IDENTIFIER (part 2)           (71 - 75)
GEREG        2     REGION                               (89 - 90)
FILLER          2                                          (410 - 412)
GESTFIPS     2     FEDERAL INFORMATION                     (93 - 94)
                   PROCESSING STANDARDS
PEAGE        2     PERSONS AGE AS OF THE                   (122 - 123)
PESEX        2     SEX                                    (129 - 130)
PEEDUCA      2     HIGHEST LEVEL OF SCHOOL                (137 - 138)
PTDTRACE        2      RACE                                (139 - 140)
PULINENO     2      PERSON'S LINE NUMBER                   (147 - 148)
PEHSPNON     2      HISPANIC OR NON-HISPANIC               (157 - 158)
PRPERTYP     2      TYPE OF PERSON RECORD RECODE           (161 - 162)
PEMLR        2      MONTHLY LABOR FORCE RECODE             (180 - 181)
PESCHENR     2     LAST WEEK, WERE YOU ENROLLED IN A       (575 - 576)
PWSSWGT      10    FINAL WEIGHT                        (613 - 622)
                   (4 IMPLIED DECIMALS)
PXIO1OCD     2     ALLOCATION FLAG                         (769 - 770)
PEIO1OCD     4     OCCUPATION CODE FOR PRIMARY JOB.        (860 - 863)
"""
# Lines of the layout from January 2014 on, which has tabs, and of that of January 1998.
LAYOUT_2014 = """\
\ufeffCPS RECORD LAYOUT FOR BASIC LABOR FORCE ITEMS
HRHHID\t\t\t15\t\tHOUSEHOLD IDENTIFIER\t(Part 1)\t\t\t\t\t 1- 15
HRMONTH\t\t2\t\tMONTH OF INTERVIEW\t\t\t\t\t\t\t16-17
PRTAGE\t\t\t2\t\tPERSONS AGE  \t\t\t\t\t\t\t\t\t122 - 123
PWCMPWGT\t\t10\tComposited Final Weight.  Used to create\t\t\t\t\t\t846 - 855
PXIO1OCD\t\t2     \t\tALLOCATION FLAG\t\t\t\t\t\t\t\t769 - 770 
"""
LAYOUT_1998 = """\
D HRHHID     15      1
T Household-identifier,scrambled
D HRMONTH     2     16  (01:12)
V          01 .MIN VALUE
D HRYEAR4     4     18
D HRMIS       2     63  (1:8)
D HRSAMPLE    4     71
D HRSERSUF    2     75
D HUHHNUM     2     77
D GESTFIPS    2     93
D PEAGE       2    122
D PESEX       2    129
D PEEDUCA     2    137
D PERACE      2    139
D PRORIGIN    2    141
D PULINENO    2    147
D PRPERTYP    2    161
D PEMLR       2    180
D PEIO1OCD    3    439
D PWSSWGT    10    613
"""
# Lines of the March dictionary of 2003, whose three kinds of record share a file.
MARCH_2003 = """\
                              HOUSEHOLD RECORD
D HRECORD     1      1  (1:1)
V          1 .Household record
D H-SEQ       5      2  (00001:99999)
D H-YEAR      4     14  (1999:9999)
D GESTFIPS    2     42  (01:56)
D H-IDNUM    15    344
D FRECORD     1      1  (2:2)
D FH-SEQ      5      2
D PRECORD     1      1  (3:3)
D PH-SEQ      5      2  (00001:99999)
D A-LINENO    2      9  (01:39)
D A-AGE       2     15  (00:90)
D A-SEX       1     20  (1:2)
D A-HGA       2     22  (00:46)
D PRDTRACE    2     24
D PEHSPNON    1     27
D MARSUPWT    8     66  (00000000:99999999)
T    (2 implied decimals)
D PEIOOCC     4     91  (-1:9999)
D A-HSCOL     1    143  (0:2)
D WORKYN      1    165
D NWLKWK      2    168
D RSNNOTW     1    170
D WKSWORK     2    171
D LKWEEKS     2    176
D PYRSN       1    179
D I-OCCUP     1    618
D PEMLR       1    705
D PRPERTYP    1    713
D OCCUP       4    908
"""
# The same items as the NBER's Stata dictionaries have them.
STATA = """\
infile dictionary {
_column(1   )   byte hrecord     %1f
_column(2   )   long h_seq       %5f "Household sequence number"
_column(1   )   byte precord     %1f
_column(2   )   long ph_seq      %5f "Household seq number"
_column(66  ) double marsupwt  %8.2f "Supplement final weight (2 implied"
_column(91  )    int peioocc     %4f "Occupation"
}
"""


def line(layout, length=950, **values) -> str:
    """A record: values by item, right-aligned as the Bureau does, -1 where nothing is said."""
    text = [" "] * length
    for item, (first, last) in layout.items():
        cell = str(values.get(item, -1)).rjust(last - first + 1)
        assert len(cell) == last - first + 1, item
        text[first - 1 : last] = cell
    return "".join(text)


def layouts(folder, text):
    path = folder / "layout.txt"
    path.write_text(text, encoding="utf-8")
    names = {word.replace("-", "_").upper() for word in text.replace("\ufeff", "").split()}
    return read_dictionary(path, names - {"FILLER"})


def careers_of(prepared):
    return {row["person"]: row for row in prepared.careers}


def test_dictionaries_of_all_forms_say_where_items_stand(tmp_path):
    (layout,) = layouts(tmp_path, LAYOUT_2007)
    assert layout["HRHHID"] == (1, 15) and layout["PWSSWGT"] == (613, 622) and layout["PEIO1OCD"] == (860, 863)
    (layout,) = layouts(tmp_path, LAYOUT_2014)
    assert layout == {
        "HRHHID": (1, 15), "HRMONTH": (16, 17), "PRTAGE": (122, 123), "PWCMPWGT": (846, 855), "PXIO1OCD": (769, 770),
    }  # fmt: skip
    household, family, person = layouts(tmp_path, MARCH_2003)
    assert household["H_YEAR"] == (14, 17) and family["FH_SEQ"] == (2, 6) and person["OCCUP"] == (908, 911)
    household, person = layouts(tmp_path, STATA)
    assert household["H_SEQ"] == (2, 6) and person["MARSUPWT"] == (66, 73)
    with pytest.raises(ValueError, match="HRMIS has 2 columns, but stands in 63-65"):
        layouts(tmp_path, "HRMIS        2     MONTH-IN-SAMPLE                      (63 - 65)\n")
    with pytest.raises(ValueError, match="is no dictionary of the CPS"):
        layouts(tmp_path, "A letter to the editor\n")


ANN = {"HRHHID": 1001, "HRHHID2": "08001", "PULINENO": 1, "PESEX": 2, "PTDTRACE": 2, "PEHSPNON": 2, "PEEDUCA": 43}
ANN |= {"GESTFIPS": 1, "PRPERTYP": 2, "PEMLR": 1, "PXIO1OCD": 0}
BOB = ANN | {"PULINENO": 2, "PESEX": 1, "PTDTRACE": 1, "PEHSPNON": 1, "PEEDUCA": 39}


def month(folder, layout, year, number, people, name=None):
    """Writes a monthly file with its layout; people of one month."""
    folder.mkdir(parents=True, exist_ok=True)
    when = {"HRYEAR4": year, "HRMONTH": number}
    text = "\n".join(line(layout, **when, **person) for person in people) + "\n"
    path = folder / (name or f"{number:02}{year}pub.dat")
    path.write_text(text, encoding="ascii")
    return path


@pytest.fixture
def a_year_apart(tmp_path):
    """Two Januaries: Ann moves out of work, Bob changes his occupation, and others are not found or not the same."""
    (layout,) = layouts(tmp_path, LAYOUT_2007)
    first, second = {"HRMIS": 1}, {"HRMIS": 5}
    early = [
        ANN | first | {"PEAGE": 30, "PEIO1OCD": "0010", "PWSSWGT": 15_000_000},
        BOB | first | {"PEAGE": 40, "PEIO1OCD": "4020", "PWSSWGT": 20_000_000},
        BOB | first | {"PULINENO": 3, "PEAGE": 50, "PEIO1OCD": "4020", "PWSSWGT": 1},
        BOB | first | {"PULINENO": 4, "PEAGE": 50, "PEIO1OCD": "4020", "PWSSWGT": 1},
        BOB | first | {"PULINENO": 5, "PEAGE": 50, "PEIO1OCD": "4020", "PWSSWGT": 1},
        BOB | first | {"PULINENO": 6, "PEAGE": 50, "PEIO1OCD": "4020", "PWSSWGT": 1},
        BOB | first | {"PULINENO": 7, "PEAGE": 50, "PEIO1OCD": "4020", "PWSSWGT": 1},
        BOB | first | {"PULINENO": 8, "PEAGE": 15, "PEIO1OCD": "4020", "PWSSWGT": 1},
        BOB | first | {"PULINENO": 9, "PEAGE": 9, "PRPERTYP": 1, "PWSSWGT": 1},
        BOB | {"HRHHID": 7, "HRMIS": 2, "PEAGE": 81, "PEMLR": 5, "PEIO1OCD": -1, "PWSSWGT": 10_000},
        BOB | {"HRHHID": 9, "HRMIS": 6, "PEAGE": 44, "PEIO1OCD": "4020", "PWSSWGT": 1},
    ]
    late = [
        ANN | second | {"PEAGE": 31, "PEMLR": 3, "PEEDUCA": 44, "PWSSWGT": 30_000_000},
        BOB | second | {"PEAGE": 40, "PEIO1OCD": "0010", "PWSSWGT": 25_000_000},
        BOB | second | {"PULINENO": 3, "PEAGE": 51, "PESEX": 2, "PEIO1OCD": "4020", "PWSSWGT": 1},
        BOB | second | {"PULINENO": 4, "PEAGE": 54, "PEIO1OCD": "4020", "PWSSWGT": 1},
        BOB | second | {"PULINENO": 5, "PEAGE": 51, "PTDTRACE": 2, "PEIO1OCD": "4020", "PWSSWGT": 1},
        BOB | second | {"PULINENO": 6, "PEAGE": 51, "PEIO1OCD": "4020", "PXIO1OCD": 43, "PWSSWGT": 1},
        BOB | {"HRHHID": 7, "HRMIS": 6, "PEAGE": 80, "PEMLR": 7, "PESCHENR": 1, "PEIO1OCD": -1, "PWSSWGT": 40_000},
    ]
    folder = tmp_path / "cps"
    # The second file has the numbers of households with their zeros.
    late = [person | {"HRHHID": f"{person['HRHHID']:012}"} for person in late]
    month(folder, layout, 2007, 1, early)
    month(folder, layout, 2008, 1, late)
    (folder / "layout.txt").write_text(LAYOUT_2007, encoding="utf-8")
    return folder


def test_people_are_found_a_year_later_by_household_line_and_month(a_year_apart):
    prepared = sources.cps(a_year_apart, files="monthly")
    validate(prepared.careers)
    ann, bob, old = (row for _, row in sorted(careers_of(prepared).items(), key=lambda item: item[1]["weight"])[::-1])
    assert ann["year"] == [2007, 2008] and ann["occupation"] == ["4", "unemployed"] and ann["weight"] == 3000
    assert ann["education"] == ["college", "graduate"] and ann["age"] == ["30", "31"]
    assert (ann["state"], ann["region"], ann["race"], ann["gender"]) == ("AL", "south", "black", "female")
    assert bob["occupation"][1] == "4" and bob["occupation"][0] not in ("4", "unemployed")
    assert bob["race"] == "hispanic" and bob["group"] == ann["group"] == "1001" and bob["weight"] == 2500
    assert old["occupation"] == ["out_of_labor_force", "in_school"] and old["age"] == ["81", "80"]
    assert prepared.ledger.dropped() == {
        "no adult civilian, or no interview": 1,
        "younger than 16": 1,
        "nobody has these identifiers a year later": 1,
        "another sex a year later": 1,
        "an age that does not follow a year later": 1,
        "another race a year later": 1,
        "an occupation is imputed": 1,
    }
    assert "found again a year later: 50.0% of 8 person-months" in prepared.ledger.notes


def test_one_pair_of_months_per_person_and_files_of_any_packing(a_year_apart, tmp_path):
    (layout,) = layouts(tmp_path, LAYOUT_2007)
    # February: the same people, a month later in the sample; the files are compressed, one with lines of Windows.
    values = {"PEIO1OCD": "4020", "PWSSWGT": 99}
    early = month(a_year_apart, layout, 2007, 2, [ANN | values | {"HRMIS": 2, "PEAGE": 30}])
    late = month(a_year_apart, layout, 2008, 2, [ANN | values | {"HRMIS": 6, "PEAGE": 31}])
    (a_year_apart / "feb07pub.dat.gz").write_bytes(gzip.compress(early.read_bytes().replace(b"\n", b"\r\n")))
    with zipfile.ZipFile(a_year_apart / "feb08pub.zip", "w") as archive:
        archive.writestr("feb08pub.dat", late.read_bytes().rstrip(b"\n"))
    early.unlink()
    late.unlink()
    prepared = sources.cps(a_year_apart, files="monthly")
    assert prepared.ledger.dropped()["another month of the same person"] == 1
    ann = next(row for row in prepared.careers if row["gender"] == "female")
    assert ann["occupation"] == ["4", "unemployed"]


def test_households_of_before_may_2004_are_found_after_it(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    (layout,) = layouts(tmp_path, LAYOUT_1998)
    part = {"HRSAMPLE": "A05", "HRSERSUF": "B", "HUHHNUM": 1, "PERACE": 2, "PRORIGIN": 8, "PEIO1OCD": "003"}
    month(old, layout, 2003, 12, [ANN | part | {"HRMIS": 4, "PEAGE": 30, "PWSSWGT": 1, "PEIO1OCD": -1, "PEMLR": 5}])
    (old / "layout.txt").write_text(LAYOUT_1998, encoding="utf-8")
    (layout,) = layouts(tmp_path, LAYOUT_2007)
    later = ANN | {"HRHHID2": "05021", "HRMIS": 8, "PEAGE": 31, "PEIO1OCD": "0010", "PWSSWGT": 1}
    month(new, layout, 2004, 12, [later])
    (new / "layout.txt").write_text(LAYOUT_2007, encoding="utf-8")
    (row,) = sources.cps(tmp_path, files="monthly").careers
    assert row["occupation"] == ["out_of_labor_force", "4"] and row["race"] == "black"


HOME = {"HRECORD": 1, "H_SEQ": 1, "H_YEAR": 2005, "GESTFIPS": 36, "H_IDNUM": 1001}
FRED = {
    "PRECORD": 3, "PH_SEQ": 1, "A_LINENO": 1, "A_AGE": 25, "A_SEX": 1, "A_HGA": 40, "PRDTRACE": 4, "PEHSPNON": 2,
    "MARSUPWT": 123456, "PEIOOCC": "0010", "A_HSCOL": 0, "WORKYN": 1, "NWLKWK": 0, "RSNNOTW": 0, "WKSWORK": 52,
    "LKWEEKS": 0, "PYRSN": 0, "I_OCCUP": 0, "PEMLR": 1, "PRPERTYP": 2, "OCCUP": "4020",
}  # fmt: skip
MARCH_PEOPLE = [
    FRED,
    FRED | {"A_LINENO": 2, "WKSWORK": 10, "LKWEEKS": 30, "PEMLR": 7, "A_HSCOL": 2, "PEIOOCC": 0},
    FRED | {"A_LINENO": 3, "WORKYN": 2, "WKSWORK": 0, "RSNNOTW": 4, "OCCUP": 0, "PEMLR": 4, "PEIOOCC": 0},
    FRED | {"A_LINENO": 4, "WORKYN": 2, "WKSWORK": 0, "NWLKWK": 26, "RSNNOTW": 2, "OCCUP": 0},
    FRED | {"A_LINENO": 5, "I_OCCUP": 1},
    FRED | {"A_LINENO": 6, "A_AGE": 12, "PRPERTYP": 1},
    FRED | {"A_LINENO": 7, "A_AGE": 15},
    FRED | {"A_LINENO": 8, "PEIOOCC": 9830},
    FRED | {"A_LINENO": 9, "OCCUP": 8},
]
MARCH_STEPS = {
    "1": ["4020", "0010"],
    "2": ["unemployed", "in_school"],
    "3": ["in_school", "unemployed"],
    "4": ["out_of_labor_force", "0010"],
}
MARCH_DROPPED = {"no adult civilian": 1, "younger than 16": 1, "an occupation is imputed": 1}
MARCH_DROPPED |= {"armed forces": 1, "no target in occ1990dd (see the notes)": 1}


def check_march(prepared, year):
    rows = {row["person"].rpartition(":")[2]: row for row in prepared.careers}
    # 0010 is occupation 4; what 4020 is, another test says.
    cook = rows["1"]["occupation"][0]
    expected = {
        line: [{"0010": "4", "4020": cook}.get(step, step) for step in MARCH_STEPS[line]] for line in MARCH_STEPS
    }
    assert {line: row["occupation"] for line, row in rows.items()} == expected and cook not in ("4", "4020")
    assert all(row["year"] == [year - 1, year] and row["weight"] == 1234.56 for row in rows.values())
    fred = rows["1"]
    assert (fred["state"], fred["region"], fred["gender"]) == ("NY", "northeast", "male")
    assert fred["race"] == "non_black_non_hispanic" and fred["age"] == ["24", "25"]
    assert fred["education"] == ["some_college"] * 2
    assert prepared.ledger.dropped() == MARCH_DROPPED
    # No code of the list of 2010 means these two occupations.
    assert prepared.limits.lacks == (*(("475", "734") if year > 2010 else ()), "not_working")
    assert not prepared.limits.beginnings


def test_march_files_tell_last_year_and_now(tmp_path):
    household, family, person = layouts(tmp_path, MARCH_2003)
    folder = tmp_path / "march"
    folder.mkdir()
    records = [line(household, **HOME), line(family, FRECORD=2, FH_SEQ=1)]
    records += [line(person, **values) for values in MARCH_PEOPLE]
    (folder / "asec2005.dat").write_text("\n".join(records) + "\n", encoding="ascii")
    (folder / "asec2005.dd.txt").write_text(MARCH_2003, encoding="utf-8")
    prepared = sources.cps(folder)
    check_march(prepared, 2005)
    assert prepared.careers[0]["group"] == "1001"
    prepared.save(tmp_path / "careers")
    assert limits_of(tmp_path / "careers") == prepared.limits and list(load_careers(tmp_path / "careers"))


def test_states_are_read_in_either_code():
    # The standard's numbers follow the names of states; the Census's follow its divisions.
    assert list(STATE_OF_FIPS.values()) == sorted(STATES, key=lambda state: STATES[state])
    assert sorted(STATE_OF_CENSUS.values()) == sorted(STATES)
    known = {11: "ME", 23: "PA", 35: "WI", 47: "KS", 53: "DC", 59: "FL", 64: "MS", 71: "AR", 88: "NV", 95: "HI"}
    assert {code: STATE_OF_CENSUS[code] for code in known} == known


def test_csv_files_have_people_and_households_apart(tmp_path):
    home = {name: value for name, value in HOME.items() if name != "HRECORD"} | {"H_YEAR": 2019}
    pd.DataFrame([home]).to_csv(tmp_path / "hhpub19.csv", index=False)
    pd.DataFrame(MARCH_PEOPLE).drop(columns="PRECORD").to_csv(tmp_path / "pppub19.csv", index=False)
    pd.DataFrame({"FH_SEQ": [1]}).to_csv(tmp_path / "ffpub19.csv", index=False)
    check_march(sources.cps(tmp_path), 2019)
    (tmp_path / "hhpub19.csv").unlink()
    with pytest.raises(ValueError, match=r"pppub19\.csv needs the file of households hhpub19\.csv beside it"):
        sources.cps(tmp_path)


def test_the_list_of_2018_is_read_with_a_crosswalk_of_ones_own(tmp_path):
    pd.DataFrame([{"H_SEQ": 1, "H_YEAR": 2021, "GESTFIPS": 36, "H_IDNUM": 1001}]).to_csv(
        tmp_path / "hhpub21.csv", index=False
    )
    people = [FRED, FRED | {"A_LINENO": 2, "OCCUP": "4055"}]
    pd.DataFrame(people).drop(columns="PRECORD").to_csv(tmp_path / "pppub21.csv", index=False)
    prepared = sources.cps(tmp_path)
    assert prepared.careers.num_rows == 1
    assert any("2018 4055 (1)" in note for note in prepared.ledger.notes)
    own = pd.DataFrame({"source": ["4055", "0010"], "occ1990dd": ["435", "22"]})
    rows = {row["person"][-1]: row["occupation"] for row in sources.cps(tmp_path, crosswalk2018=own).careers}
    assert rows["2"] == ["435", "22"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "layout.txt").unlink(), "needs one dictionary, and its folder has none"),
        (lambda folder: (folder / "other.txt").write_text("x"), "needs one dictionary, and its folder has layout.txt"),
        (lambda folder: (folder / "012008pub.dat").unlink(), "no month has its pair a year later"),
        (lambda folder: shorten(folder / "012008pub.dat"), "line 2: 700 characters, but layout.txt has items up to"),
        (lambda folder: spoil(folder / "012007pub.dat", 62), "HRMIS has the value 'xx', which is no number"),
        (
            lambda folder: (folder / "copy.dat").write_bytes((folder / "012007pub.dat").read_bytes()),
            "are of one month",
        ),
        (lambda folder: drop_item(folder / "layout.txt", "PEMLR"), "has no item PEMLR"),
        (lambda folder: [path.unlink() for path in folder.glob("*.dat")], "has no data file of the CPS"),
    ],
)
def test_what_is_wrong_with_files_is_one_line(a_year_apart, change, message):
    change(a_year_apart)
    with pytest.raises(ValueError, match=message) as raised:
        sources.cps(a_year_apart, files="monthly")
    assert "\n" not in str(raised.value)


def shorten(path):
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:700]
    path.write_text("\n".join(lines))


def spoil(path, start):
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:start] + "xx" + lines[1][start + 2 :]
    path.write_text("\n".join(lines))


def drop_item(path, item):
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith(item)))


def test_the_command_prepares_what_the_function_does(a_year_apart, tmp_path):
    arguments = ["prepare", "cps", "--extract", a_year_apart, "--files", "monthly", "--output", tmp_path / "careers"]
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "found again a year later: 50.0% of 8 person-months" in result.output
    found = {row["person"] for part in load_careers(tmp_path / "careers").values() for row in part}
    assert found == set(careers_of(sources.cps(a_year_apart, files="monthly")))


def test_files_of_the_other_kind_are_not_taken(a_year_apart, tmp_path):
    with pytest.raises(ValueError, match="has no March file"):
        sources.cps(a_year_apart)
    with pytest.raises(ValueError, match="files 'basic' is not one of"):
        sources.cps(a_year_apart, files="basic")
