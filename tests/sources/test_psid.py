"""PSID careers: reading files of the Data Center's layouts, and the rules on them; no real file was at hand."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psid_extracts import VARIABLES, columns, data_text, person, setup_text, wave, write_files
from typer.testing import CliRunner

from career_hf.careers import load_careers, to_frame, validate
from career_hf.careers.provenance import source_of
from career_hf.cli.app import app
from career_hf.occupations.crosswalks import read_data
from career_hf.sources import psid_careers as psid
from career_hf.sources import psid_files


SMALL = [("ER30001", 4, "1968 INTERVIEW NUMBER"), ("ER30002", 3, "PERSON NUMBER                         68"),
         ("ER33401", 5, "1997 INTERVIEW NUMBER"), ("ER12217", 6, "HEAD AVG HOURLY EARNINGS")]  # fmt: skip
PEOPLE = [{"ER30001": 4, "ER30002": 1, "ER33401": 20, "ER12217": 8.25}, {"ER30001": 4, "ER30002": 2, "ER12217": ""},
          {"ER30001": 5, "ER30002": 1, "ER33401": 30, "ER12217": 10}]  # fmt: skip


def write_small(folder, kind="sas", data=None, setup=None):
    (folder / "J1.txt").write_text(data_text(SMALL, PEOPLE) if data is None else data)
    (folder / f"J1.{kind}").write_text(setup or setup_text(kind, SMALL, len(PEOPLE)))
    return folder


def over_time(careers, name, column="occupation"):
    row = next(row for row in careers if row["person"] == str(name))
    return dict(zip(row["year"], row[column], strict=True))


def check_sums(careers, ledger, people):
    """In = out + dropped, from every individual in every wave to the careers."""
    validate(careers)
    for unit, start, end in (
        ("people", people, len(careers)),
        ("person-years", people * len(psid.WAVES), sum(map(len, careers["year"]))),
    ):
        entries = [entry for entry in ledger.entries if entry.unit == unit]
        assert (entries[0].rows_in, entries[-1].rows_out) == (start, end)
        assert start - end == sum(sum(entry.dropped.values()) for entry in entries)


@pytest.mark.parametrize("kind", ["sas", "do", "sps"])
def test_all_three_setup_files_give_the_same_columns_and_labels(tmp_path, kind):
    setup = psid_files.read_setup(write_small(tmp_path, kind) / f"J1.{kind}")
    assert setup.columns == (("ER30001", 1, 4), ("ER30002", 5, 7), ("ER33401", 8, 12), ("ER12217", 13, 18))
    assert setup.labels["ER30002"] == "PERSON NUMBER 68"
    assert (setup.record_length, setup.observations) == (18, 3)
    files = psid_files.read_folder(tmp_path)
    assert files.people.tolist() == [4001, 4002, 5001]
    assert files.variable("ER12217").tolist()[::2] == [8.25, 10.0]
    assert files.variable("ER12217").isna().tolist() == [False, True, False]


def test_csv_and_xlsx_read_as_the_text_file_does(tmp_path):
    pytest.importorskip("openpyxl")
    table = pd.DataFrame(PEOPLE).reindex(columns=[name for name, _, _ in SMALL]).fillna({"ER33401": 0})
    expected = psid_files.read_folder(write_small(tmp_path)).variable("ER12217")
    for name, write in (("a.csv", table.to_csv), ("a.xlsx", table.to_excel)):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        write(folder / name, index=False)
        pd.testing.assert_series_equal(psid_files.read_folder(folder).variable("ER12217"), expected)


# What is done to the data file, to the setup file, and what the error says.
DAMAGE = {
    "a line too short": (("10\n", "1\n"), None, "17 characters in line 3.*says 18.*truncated"),
    "a line missing": (("   5  1   30    10\n", ""), None, "2 lines, its setup file says 3"),
    "the setup of another file": (None, ("LENGTH   : 18", "LENGTH   : 24"), "18 characters .* says 24"),
    "a letter": (("8.25", "x.25"), None, "'x.25' for ER12217 in line 1"),
    "no plain text": (("8.25", "8.2é"), None, "byte 0x.. in line 1"),
    "a person twice": (("4  2", "4  1"), None, r"person 4001 more than once \(people \[1, 2\]\)"),
    "columns that overlap": (None, ("8 - 12", "7 - 12"), "ER33401 columns 7-12, which are taken"),
    "no columns": (None, ("INPUT", "READ"), "lists no columns"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_errors_that_say_where(tmp_path, damage):
    of_data, of_setup, message = DAMAGE[damage]
    data, setup = data_text(SMALL, PEOPLE), setup_text("sas", SMALL, len(PEOPLE))
    for text, change in ((data, of_data), (setup, of_setup)):
        assert change is None or change[0] in text
    write_small(tmp_path, data=data.replace(*of_data or ("", "")), setup=setup.replace(*of_setup or ("", "")))
    with pytest.raises(ValueError, match=message):
        psid_files.read_folder(tmp_path)


def test_setup_files_that_disagree_are_an_error_and_a_text_without_one_is_skipped(tmp_path):
    write_small(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert "notes.txt is skipped" in psid_files.read_folder(tmp_path).notes[0]
    (tmp_path / "J1.do").write_text(setup_text("do", SMALL[:3], len(PEOPLE)))
    with pytest.raises(ValueError, match="J1.do and J1.sas list different columns for J1.txt"):
        psid_files.read_folder(tmp_path)


def test_family_files_are_joined_by_the_interview_number_of_their_wave(tmp_path):
    write_small(tmp_path)
    (tmp_path / "fam1997.csv").write_text("ER10002,ER12221E\n30,3\n20,1\n")
    files = psid_files.read_folder(tmp_path)
    assert files.variable("ER12221E", "ER33401", "ER10002").fillna(-1).tolist() == [1, -1, 3]
    with pytest.raises(ValueError, match="its families cannot be found: the file needs ER13002"):
        files.variable("ER12221E", "ER33501", "ER13002")
    (tmp_path / "fam1997.csv").write_text("ER10002,ER12221E\n30,3\n30,1\n")
    with pytest.raises(ValueError, match="interview 30 more than once"):
        psid_files.read_folder(tmp_path).variable("ER12221E", "ER33401", "ER10002")


def test_a_build_from_family_files_is_that_of_the_merged_file(tmp_path):
    merged, apart = tmp_path / "merged", tmp_path / "apart"
    merged.mkdir()
    apart.mkdir()
    head = person(4, 1) | wave(1999, code=245, pay=20.5) | wave(2003, 3, interview=8)
    spouse = person(4, 2, sex=2) | wave(1999, code=376, spouse=True) | wave(2003, 7, spouse=True, interview=9)
    expected, _ = psid.build(write_files(merged, [head, spouse]))
    individual = {name for (item, _), name in VARIABLES.items() if not item.endswith(("_head", "_spouse", "region"))}
    write_files(apart, [head, spouse], without=set(VARIABLES.values()) - individual)
    for year in psid.WAVES:
        family = {
            name: 0 for (item, wave_of), name in VARIABLES.items() if wave_of == str(year) and name not in individual
        }
        rows = {1: family, 8: family, 9: family}
        for answers in (head, spouse):
            number = answers.get(VARIABLES["interview", str(year)], 0)
            if number:
                rows[number] = rows[number] | {name: answers[name] for name in family if name in answers}
        table = pd.DataFrame([row | {VARIABLES["family_interview", str(year)]: n} for n, row in rows.items()])
        table.to_csv(apart / f"FAM{year}.csv", index=False)
    careers, _ = psid.build(apart)
    assert to_frame(careers).equals(to_frame(expected))


def test_states_occupations_by_vintage_pay_and_hours(tmp_path):
    head = person(4, 1) | wave(1996, code=245, pay=12.5, hours=2080) | wave(1997, 2, code=245) | wave(1999, 3)
    head |= wave(2001, 4, code=245) | wave(2003, 1, code=472, pay=20, hours=1040) | wave(2005, 5) | wave(2007, 6)
    head |= (
        wave(2009, 7, education=16) | wave(2017, 1, code=4720, education=17) | wave(2019, 1, code=4720, education=99)
    )
    careers, ledger = psid.build(write_files(tmp_path, [head], kinds=("sps",)))
    out = "out_of_labor_force"
    assert over_time(careers, 4001) == {
        1996: "22", 1997: "unemployed", 1999: "unemployed", 2001: out, 2003: "276", 2005: out, 2007: out,
        2009: "in_school", 2017: "276", 2019: "276",
    }  # fmt: skip
    assert list(over_time(careers, 4001, "hourly_wage").values())[:5] == [12.5, None, None, None, 20.0]
    assert over_time(careers, 4001, "weekly_hours")[1996] == 40
    education = over_time(careers, 4001, "education")
    assert [education[year] for year in (1996, 2009, 2017, 2019)] == ["high_school", "college", "graduate", "graduate"]
    vintages = over_time(careers, 4001, "occupation_vintage")
    assert [vintages[year] for year in (2001, 2003, 2017)] == ["census1970", "census2000", "census2010"]
    assert careers.info.license == "PSID, no redistribution"
    assert "licence: PSID, no redistribution" in ledger.notes
    check_sums(careers, ledger, 1)


def test_who_is_kept_and_why_the_others_are_not(tmp_path):
    works = wave(1999, code=245)
    people = {
        "head": person(1, 1) | works,
        "partner": person(1, 2, sex=2) | wave(1999, code=376, spouse=True, relation=22),
        "child": person(1, 30) | wave(1999, 7, relation=30, sequence=3),
        "moved out": person(2, 1) | wave(1999, code=245, sequence=71),
        "head before": person(3, 1) | wave(1995, interview=1) | works,
        "child before": person(3, 30) | wave(1995, relation=30, sequence=3) | works,
        "never schooled": person(4, 1) | wave(1999, code=245, education=8),
        "unknown schooling": person(4, 2) | wave(1999, code=245, education=99),
        "out": person(5, 1) | wave(1999, 4) | wave(2001, 6),
        "out first": person(5, 2) | wave(1999, 4) | wave(2001, 1, code=245),
        "schooled late": person(6, 1) | wave(1999, code=245, education=8) | wave(2001, code=245, education=12),
    }
    folder = write_files(tmp_path, list(people.values()))
    number = {name: str(1000 * p["ER30001"] + p["ER30002"]) for name, p in people.items()}
    careers, ledger = psid.build(folder)
    check_sums(careers, ledger, len(people))
    people_left = ("head", "partner", "child before", "out first", "schooled late")
    assert set(careers["person"]) == {number[name] for name in people_left}
    assert {entry.depends_on for entry in ledger.entries if "schooling" in entry.step} == {"future"}
    dropped = ledger.dropped()
    assert dropped["reference person or spouse in 1994 or 1995"] == 1
    assert dropped["highest grade ever observed below 9"] == dropped["no grade ever observed"] == 1
    assert dropped["out of the labor force throughout"] == 2
    assert dropped["no year left: keep reference persons and spouses"] == 2
    assert dropped["no year left: no grade ever observed"] == 1

    careers, ledger = psid.build(folder, rule="no_lookahead")
    check_sums(careers, ledger, len(people))
    years = dict(zip(careers["person"], careers["year"], strict=True))
    assert set(years) == {number[name] for name in people_left}
    assert years[number["out first"]] == years[number["schooled late"]] == [2001]
    assert all(entry.depends_on != "future" for entry in ledger.entries)


def test_years_without_a_usable_occupation_are_dropped_with_their_reason(tmp_path):
    codes = {1996: 999, 1997: 600, 1999: 810, 2001: 0, 2003: 999, 2005: 983, 2007: 4720, 2017: 9999, 2019: 9830}
    head = person(4, 1) | wave(2009, code=472) | wave(2011, 8) | wave(2013, 9) | wave(2015, 0)
    for year, code in codes.items():
        head |= wave(year, code=code)
    careers, ledger = psid.build(write_files(tmp_path, [head]))
    assert over_time(careers, 4001) == {2009: "276"}
    dropped = ledger.dropped()
    assert dropped["occupation code of the armed forces"] == 3
    assert dropped["occupation: not known"] == 3
    assert dropped["occupation: inapplicable"] == 1
    assert dropped["Census 1970 code 810"] == dropped["Census 2000 code 4720"] == 1
    assert dropped["employment status: other"] == 1
    assert dropped["employment status: not known"] == 2


def test_static_covariates_and_the_design_of_the_survey(tmp_path):
    one = person(4, 1) | wave(1999, code=245, race=9, region=6, weight=0) | wave(2001, code=245, race=2, region=5)
    two = person(4, 2, sex=2) | wave(1999, code=245, race=1, region=3) | wave(2001, code=245, race=7, region=1)
    careers, ledger = psid.build(write_files(tmp_path, [one, two]))
    assert (careers["race"][:], careers["gender"][:]) == (["black", "white"], ["male", "female"])
    assert careers["region"][:] == ["west", "south"]
    assert (careers["group"][:], careers["stratum"][0], careers["psu"][0]) == (["4", "4"], "7", "7-2")
    assert careers["weight"][:] == [11.5, 11.5]
    assert over_time(careers, 4001, "survey_weight") == {1999: None, 2001: 11.5}
    altered = next(entry.altered for entry in ledger.entries if entry.step.startswith("race"))
    assert altered["race differs between waves: the first is used"] == 1
    careers, _ = psid.build(tmp_path, rule="no_lookahead")
    assert careers["region"][:] == [None, "south"]


def test_people_without_a_positive_weight_stay_and_weighted_leaves_them_out(tmp_path):
    people = [person(4, 1) | wave(1999, code=245, weight=0), person(4, 2) | wave(1999, code=245)]
    careers, ledger = psid.build(write_files(tmp_path, people, without=("ER31996",)))
    assert "weight" not in careers.column_names and "stratum" not in careers.column_names
    assert any("1 people have no positive cross-sectional weight" in note for note in ledger.notes)
    left, ledger = psid.weighted_psid(careers)
    validate(left)
    assert (left["person"][:], left["weight"][:]) == (["4002"], [11.5])
    yearly, _ = psid.weighted_psid(careers, yearly=True)
    assert yearly["weight"][0] == [weight or 0 for weight in left["survey_weight"][0]]
    validate(yearly)
    assert ledger.dropped() == {"no positive cross-sectional weight in any year": 1}


def test_labels_that_contradict_the_variable_list_are_pointed_out(tmp_path):
    relabelled = [
        (name, width, {"ER34016": "EMPLOYMENT STATUS                     11", "ER72195": "MAIN OCC: 2000 CODE (RP)",
                       "ER16430": "CURRENT STATE"}.get(name, label))
        for name, width, label in columns()
    ]  # fmt: skip
    people = [person(4, 1) | wave(2009, code=472) | wave(2019, code=472)]
    (tmp_path / "J1.txt").write_text(data_text(relabelled, people))
    (tmp_path / "J1.sas").write_text(setup_text("sas", relabelled, 1))
    careers, ledger = psid.build(tmp_path)
    assert over_time(careers, 4001) == {2009: "276", 2019: "276"}
    warnings = [note for note in ledger.notes if note.startswith("warning: ER")]
    assert len(warnings) == 3
    assert any("ER34016 should be employment_status of 2009, but its label is" in note for note in warnings)
    assert any("ER72195 is read as Census 2000 codes" in note for note in warnings)


def test_variables_that_are_missing_are_listed_with_item_wave_and_name(tmp_path):
    with pytest.raises(ValueError) as error:
        psid.build(write_files(tmp_path, [person(4, 1)], without=("ER21145", "ER33103", "ER32000")))
    assert "3 variable(s) are in none of the files (J1.txt)" in str(error.value)
    for line in ("ER21145 (occupation_head, 2003)", "ER33103 (relation, 1994)", "ER32000 (sex, all waves)"):
        assert line in str(error.value)
    assert "Data Center" in str(error.value)


def test_a_folder_without_individuals_or_with_nobody_left_is_an_error(tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no file of the PSID.*table.csv is skipped"):
        psid.build(tmp_path)
    with pytest.raises(ValueError, match="nobody is left after the step 'keep reference persons and spouses'"):
        psid.build(write_files(tmp_path, [person(4, 1)]))


STEP = st.builds(
    dict, status=st.integers(0, 9), code=st.sampled_from([0, 245, 472, 810, 4720, 999, 9999]), spouse=st.booleans(),
    education=st.sampled_from([0, 7, 12, 17, 99]), region=st.integers(0, 9), race=st.sampled_from([0, 1, 2, 5, 9]),
    weight=st.sampled_from([0, 9.5]), sequence=st.sampled_from([1, 2, 51]),
)  # fmt: skip


# Shrinking a failure would take minutes.
@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.dictionaries(st.sampled_from([1995, *psid.WAVES]), STEP, max_size=5), min_size=5, max_size=25),
    st.randoms(),
    st.sampled_from(["paper", "no_lookahead"]),
)
def test_nothing_is_lost_and_the_order_of_people_does_not_matter(tmp_path_factory, histories, random, rule):
    people = [person(1, 1) | wave(1999, code=245)]
    for number, history in enumerate(histories, 2):
        answers = person(number // 3 + 1, number)
        for year, step in history.items():
            answers |= wave(year, **step)
        people.append(answers)
    careers, ledger = psid.build(write_files(tmp_path_factory.mktemp("psid"), people), rule=rule)
    check_sums(careers, ledger, len(people))
    random.shuffle(people)
    again, again_ledger = psid.build(write_files(tmp_path_factory.mktemp("psid"), people, kinds=("do",)), rule=rule)
    assert to_frame(again).equals(to_frame(careers))
    assert str(again_ledger) == str(ledger)


def test_the_variable_list_that_ships_has_every_variable_of_a_build():
    shipped = read_data("tagsets/psid_variables.txt", "career_hf.sources")
    names = [shipped.columns[0], *shipped.iloc[:, 0]]
    assert len(names) == len(set(names))
    assert set(names) == {name for name, _, _ in columns()}


def test_the_command_keeps_families_together_and_says_that_careers_may_not_be_passed_on(tmp_path):
    people = [person(family, number) | wave(1999, code=245) for family in range(1, 30) for number in (1, 2)]
    folder, output = write_files(tmp_path, people), tmp_path / "careers"
    result = CliRunner().invoke(app, ["prepare", "psid", "--extract", str(folder), "--output", str(output)])
    assert result.exit_code == 0, result.output
    splits = load_careers(output)
    families = [set(careers["group"]) for careers in splits.values()]
    assert sum(map(len, families)) == len(set().union(*families)) == 29
    assert source_of(output)["redistribution"] == "forbidden"
    assert {careers.info.license for careers in splits.values()} == {"PSID, no redistribution"}
