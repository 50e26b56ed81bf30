"""NLSY79 careers: the rules on extracts made by hand, and hand-checked people of the real ones."""

from __future__ import annotations

import re
from importlib import resources

import pandas as pd
import pytest
from nlsy79_extracts import by_year, employed, occupation_by_year, write_extract

from career_hf.careers import split_careers, split_manifest, to_frame, validate
from career_hf.occupations.crosswalks import read_data
from career_hf.sources import nls, nlsy79_variables
from career_hf.sources import nlsy79_careers as nlsy79
from career_hf.sources.nlsy79_wages import wage_items
from career_hf.sources.state_shares import share_jumps, state_shares, stay_shares


@pytest.mark.parametrize(
    ("status", "enrollment", "code", "state"),
    [
        (1, 4, 19, "22"),
        (1, 3, 19, "22"),
        (2, 4, 19, "unemployed"),
        (2, 3, -4, "unemployed"),
        (3, 4, 19, "out_of_labor_force"),
        (3, 1, -4, "out_of_labor_force"),
        (3, 2, -4, "in_school"),
        (3, 3, 19, "in_school"),
    ],
)
def test_the_state_comes_first_and_the_occupation_second(tmp_path, status, enrollment, code, state):
    answers = {("ESR_COL", 1990): status, ("ENROLLMT", 1990): enrollment, ("CPSOCC80", 1990): code}
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: answers | employed(1991)}))
    assert occupation_by_year(careers, 1) == {1990: state, 1991: "22"}


@pytest.mark.parametrize(
    ("year", "weeks", "enrollment", "code", "state"),
    [
        (2000, 40, 4, 19, "22"),
        (2000, 0, 4, 19, "not_working"),
        (2000, 0, 3, -4, "in_school"),
        (2002, 1, 4, 472, "276"),
        (2004, 52, 4, 4720, "276"),
        (2012, 52, None, 4720, "276"),
        (2012, 0, None, 4720, "not_working"),
    ],
)
def test_without_employment_status_no_weeks_worked_means_not_working(tmp_path, year, weeks, enrollment, code, state):
    occupation = nlsy79_variables.occupation_item(year)[0]
    answers = {("WKSWK-PCY", year): weeks, (occupation, year): code}
    answers |= {("ENROLLMT", year): enrollment} if enrollment else {}
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: answers | employed(1991)}), "extended")
    assert occupation_by_year(careers, 1) == {1991: "22", year: state}


def test_2006_takes_the_state_from_employment_status(tmp_path):
    answers = {("ESR_COL", 2006): 3, ("ENROLLMT", 2006): 4, ("OCCALL-EMP.01", 2006): 4720}
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: answers | employed(1991)}), "extended")
    assert occupation_by_year(careers, 1)[2006] == "not_working"


def test_years_without_a_usable_state_are_dropped_with_their_reason(tmp_path):
    answers = employed(1980, 1) | employed(1982) | employed(1983, -4) | employed(1984, -3) | employed(1985, 999)
    answers |= {("ESR_COL", 1986): 4, ("CPSOCC80", 1986): -4} | employed(1987, 905) | {("ESR_COL", 1988): -3}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: answers}))
    assert occupation_by_year(careers, 1) == {1980: "23", 1982: "22"}
    dropped = ledger.dropped()
    for reason in (
        "occupation: valid skip",
        "occupation: invalid skip",
        "Census 1980 code 999",
        "employment status: active forces",
        "occupation code of the armed forces",
        "employment: invalid skip",
    ):
        assert dropped[reason] == 1
    assert dropped["not interviewed"] == 16 - 8


def test_people_below_grade_9_throughout_are_dropped_and_people_who_reach_it_later_keep_their_early_years(tmp_path):
    never = employed(1990) | {("HGC", 1979): 8, ("HGC", 1990): 8}
    later = employed(1990) | {("HGC", 1979): 8, ("HGC", 1998): 9}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: never, 2: later}))
    assert careers["person"][:] == ["2"]
    entry = next(e for e in ledger.entries if e.dropped == {"highest grade ever observed below 9": 1})
    assert (entry.unit, entry.depends_on) == ("person-years", "future")


def test_people_out_of_the_labor_force_throughout_are_dropped_but_one_year_of_search_or_school_keeps_them(tmp_path):
    out = {("ESR_COL", 1990): 3, ("ESR_COL", 1991): 3}
    searched = out | {("ESR_COL", 1992): 2}
    school = out | {("ESR_COL", 1992): 3, ("ENROLLMT", 1992): 3}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: out, 2: searched, 3: school}))
    assert careers["person"][:] == ["2", "3"]
    dropped = ledger.dropped()
    assert dropped["out of the labor force throughout"] == 2
    assert dropped["no year left: out of the labor force throughout"] == 1


def test_in_the_extended_build_unemployment_before_2000_keeps_a_person_who_never_works(tmp_path):
    never = {("WKSWK-PCY", 2000): 0, ("WKSWK-PCY", 2002): 0}
    searched = never | {("ESR_COL", 1990): 2}
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: never, 2: searched}), "extended")
    assert careers["person"][:] == ["2"]
    assert set(occupation_by_year(careers, 2).values()) == {"not_working"}


def test_education_is_the_last_grade_known_by_then(tmp_path):
    answers = employed(1990) | employed(1991) | employed(1992) | employed(1993) | employed(1994)
    answers |= {("HGC", 1979): -3, ("HGC", 1991): 11, ("HGC", 1992): 15, ("HGC", 1993): -3, ("HGC", 1994): 17}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: answers}))
    assert by_year(careers, 1, "education") == {
        1990: None,
        1991: "no_high_school",
        1992: "some_college",
        1993: "some_college",
        1994: "graduate",
    }
    altered = next(e.altered for e in ledger.entries if e.step.startswith("education"))
    assert altered["grade carried forward from an earlier round"] == 1
    assert altered["no grade known by then: missing"] == 1


@pytest.mark.parametrize(
    ("grade", "level"),
    [(9, "no_high_school"), (12, "high_school"), (13, "some_college"), (16, "college"), (20, "graduate")],
)
def test_grades_become_the_papers_five_levels(tmp_path, grade, level):
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: employed(1990) | {("HGC", 1990): grade}}))
    assert by_year(careers, 1, "education") == {1990: level}


def test_region_is_the_first_observed_and_filled_in_from_later_rounds(tmp_path):
    moved = employed(1980, 1) | {("REGION", 1979): 2, ("REGION", 1980): 4}
    late = employed(1980, 1) | {("REGION", 1979): -4, ("REGION", 1985): 3}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: moved, 2: late}))
    assert careers["region"][:] == ["northcentral", "south"]
    entry = next(e for e in ledger.entries if e.step.startswith("region"))
    assert entry.altered["region first seen after the career's first year: filled in"] == 1
    assert entry.depends_on == "future"


def test_without_looking_ahead_a_region_seen_later_is_missing(tmp_path):
    first = employed(1980, 1) | {("REGION", 1979): 2, ("REGION", 1980): 4}
    late = employed(1980, 1) | {("REGION", 1979): -4, ("REGION", 1985): 3}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: first, 2: late}), rule="no_lookahead")
    assert careers["region"][:] == ["northcentral", None]
    entry = next(e for e in ledger.entries if e.step.startswith("region"))
    assert entry.altered["region first seen after the career's first year: missing"] == 1
    assert entry.depends_on == "past"


def test_without_looking_ahead_years_count_from_grade_9_and_from_the_labor_force_on(tmp_path):
    out = {("ESR_COL", year): 3 for year in (1990, 1991, 1993)}
    people = {
        # Grade 9 is reported in 1991, grade 8 again after it: known by then is the highest so far.
        1: employed(1990) | employed(1991) | employed(1992) | {("HGC", 1979): 8, ("HGC", 1991): 9, ("HGC", 1992): 8},
        # Out of the labor force until 1992: the years before are not in the sample, 1993 is.
        2: out | {("ESR_COL", 1992): 2},
        3: out,
    }
    careers, ledger = nlsy79.build(write_extract(tmp_path, people), rule="no_lookahead")
    assert occupation_by_year(careers, 1) == {1991: "22", 1992: "22"}
    assert occupation_by_year(careers, 2) == {1992: "unemployed", 1993: "out_of_labor_force"}
    assert careers["person"][:] == ["1", "2"]
    assert not any(entry.depends_on == "future" for entry in ledger.entries)
    dropped = ledger.dropped()
    assert dropped["highest grade known by then below 9"] == 1
    assert dropped["out of the labor force until then"] == 2 + 3
    assert any("'paper' keeps 7 of 2 people; 'no_lookahead' keeps 4 of 2 people" in note for note in ledger.notes)


def test_what_happens_later_does_not_change_careers_without_looking_ahead(tmp_path):
    early = {("ESR_COL", 1980): 3, **employed(1982), ("ESR_COL", 1983): 2, ("HGC", 1979): 8, ("HGC", 1982): 9}
    later = employed(1990) | {("HGC", 1990): 16, ("REGION", 1990): 4}
    built = [
        nlsy79.build(write_extract(tmp_path, {1: early | more | {("REGION", 1979): -4}}), rule="no_lookahead")[0]
        for more in ({}, later)
    ]
    short, long = (to_frame(careers, "pandas") for careers in built)
    pd.testing.assert_frame_equal(short, long[long["year"] <= 1983])
    assert long["year"].tolist() == [1982, 1983, 1990]


def test_an_unknown_rule_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="unknown rule 'strict'.*paper.*no_lookahead"):
        nlsy79.build(tmp_path, rule="strict")


def test_static_covariates_are_named(tmp_path):
    answers = employed(1990) | {("SAMPLE_ID", None): 13, ("SAMPLE_RACE", None): 2, ("SAMPLE_SEX", None): 2}
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: answers}))
    assert (careers["race"][0], careers["gender"][0], careers["sample"][0]) == ("black", "female", "supplemental")


def test_the_coding_vintage_is_a_function_of_the_year_alone(tmp_path):
    answers = employed(1980, 1) | employed(1982) | {("ESR_COL", 1983): 2, ("ESR_COL", 2006): 3}
    careers, _ = nlsy79.build(write_extract(tmp_path, {1: answers}), "extended")
    assert by_year(careers, 1, "occupation_vintage") == {
        1980: "census1970",
        1982: "census1980",
        1983: "census1980",
        2006: "census2000",
    }


def test_missing_variables_are_listed_together(tmp_path):
    write_extract(tmp_path, {1: employed(1990)})
    table = pd.read_csv(tmp_path / "extract.csv").drop(columns=["R3401100", "R0263400"])
    table.to_csv(tmp_path / "extract.csv", index=False)
    with pytest.raises(ValueError) as error:
        nlsy79.build(tmp_path)
    assert "ESR_COL, survey year 1990, reference number R34011.00" in str(error.value)
    assert "CPSOCC70, survey year 1980, reference number R02634.00" in str(error.value)


def test_1981_joins_where_its_occupation_is_in_the_extract(tmp_path):
    write_extract(tmp_path, {1: employed(1990) | {("ESR_COL", 1981): 1}})
    (tmp_path / "more.csv").write_text("R0000100,R0446400\n1,1\n")
    careers, _ = nlsy79.build(tmp_path)
    assert occupation_by_year(careers, 1) == {1981: "23", 1990: "22"}


def test_1981_is_left_out_and_noted_where_only_some_people_have_its_occupation(tmp_path):
    write_extract(tmp_path, {1: employed(1990) | {("ESR_COL", 1981): 1}, 2: employed(1990)})
    (tmp_path / "more.csv").write_text("R0000100,R0446400\n1,1\n")
    careers, ledger = nlsy79.build(tmp_path)
    assert occupation_by_year(careers, 1) == {1990: "22"}
    assert any("1979 and 1981 are left out" in note for note in ledger.notes)


@pytest.mark.parametrize(
    ("year", "code", "digits"),
    [(1990, 4720, "three digits"), (2002, 4720, "three digits"), (2004, 472, "four digits, the last a zero")],
)
def test_a_code_with_another_rounds_digits_is_an_error_that_names_the_person(tmp_path, year, code, digits):
    name = nlsy79_variables.occupation_item(year)[0]
    write_extract(tmp_path, {1: employed(1991), 7: {(name, year): code}})
    with pytest.raises(ValueError, match=rf"person 7, {name} of {year}, value {code} \(1 in all\).*{digits}"):
        nlsy79.build(tmp_path, "extended")


def test_every_missing_code_of_an_occupation_has_a_ledger_row_of_its_own(tmp_path):
    answers = {
        year: {("ESR_COL", year): 1, ("CPSOCC80", year): -code} for code, year in enumerate(range(1983, 1990), 1)
    }
    answers = employed(1982) | {key: value for year in answers.values() for key, value in year.items()}
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: answers}))
    assert occupation_by_year(careers, 1) == {1982: "22"}
    reasons = ("refused", "don't know", "invalid skip", "valid skip", "not interviewed", "code -6", "code -7")
    assert [ledger.dropped()[f"occupation: {reason}"] for reason in reasons] == [1] * 7


def test_households_are_groups_that_splits_keep_together_and_weights_have_two_decimals(tmp_path):
    design = {1: (10, 12_345), 2: (10, 700), 3: (11, 0), 4: (-4, 50)}
    people = {
        person: employed(1990) | {("HHID", None): household, ("SAMPWEIGHT", 1979): weight}
        for person, (household, weight) in design.items()
    }
    careers, ledger = nlsy79.build(write_extract(tmp_path, people, more=[("HHID", None), ("SAMPWEIGHT", 1979)]))
    validate(careers)
    assert careers["person"][:] == ["1", "2", "4"]
    assert careers["group"][:] == ["10", "10", "person 4"]
    assert careers["weight"][:] == [123.45, 7.0, 0.5]
    assert ledger.dropped()["no sampling weight in 1979"] == 1
    entry = next(e for e in ledger.entries if e.step.startswith("household"))
    assert entry.altered == {"household not known: alone in it": 1}
    assert any("people of a household are in one split" in note for note in ledger.notes)
    for salt in map(str, range(20)):
        splits = split_careers(careers, salt=salt)
        assert split_manifest(splits, salt=salt)["group"] == "group"
        assert {"1", "2"} <= set(next(s["person"][:] for s in splits.values() if "1" in s["person"][:]))


def test_rounds_with_weights_of_their_own_weigh_each_year(tmp_path):
    """In a file of its own with its .sdf, as NLS Investigator exports what is ticked later."""
    people = {1: employed(1990) | employed(1991), 2: employed(1990) | employed(1991)}
    weights = {("SAMPWEIGHT", 1979): 9_900}
    extract = {person: answers | weights for person, answers in people.items()}
    write_extract(tmp_path, extract, more=[("SAMPWEIGHT", 1979)])
    more = tmp_path / "weights"
    more.mkdir()

    def write(years, rows):
        header = ["R0000100", *(f"R90000{year % 100}" for year in years)]
        lines = [",".join(f'"{name}"' for name in header), *(",".join(map(str, row)) for row in rows)]
        (more / "weights.csv").write_text("\n".join(lines) + "\n")
        names = [f"R90000.{year % 100}   {year}    SAMPLING WEIGHT    SAMPWEIGHT\n" for year in years]
        (more / "weights.sdf").write_text("".join(["Number  Year  Variable Description  Question Name\n", *names]))

    write([1990, 1991], [(1, 12_345, 700), (2, 50, -5)])
    careers, ledger = nlsy79.build(tmp_path)
    validate(careers)
    assert careers["weight"][:] == [[123.45, 7.0], [0.5, 0.0]]
    assert any("weights are those of each round" in note for note in ledger.notes)
    # Without the weights of some round they are everybody's of 1979.
    write([1990], [(1, 12_345), (2, 50)])
    careers, ledger = nlsy79.build(tmp_path)
    assert careers["weight"][:] == [99.0, 99.0]
    assert any("lacks SAMPWEIGHT of some rounds" in note for note in ledger.notes)


def test_without_household_or_weight_careers_have_neither(tmp_path):
    careers, ledger = nlsy79.build(write_extract(tmp_path, {1: employed(1990)}))
    assert not {"group", "weight", "stratum", "psu"} & set(careers.column_names)
    assert any("siblings may fall in different splits; no weights" in note for note in ledger.notes)


def test_the_tagsets_hold_every_variable_of_the_table_and_each_what_its_build_reads():
    tagsets = {}
    for name in ("full", "extended", "wages", "weekly"):
        path = resources.files("career_hf.sources").joinpath("data", "tagsets", f"nlsy79_{name}.NLSY79")
        lines = path.read_text(encoding="utf-8").splitlines()
        # As NLS Investigator writes them: one plain reference number a line, the person's first, none twice.
        assert lines[0] == nls.PERSON and len(set(lines)) == len(lines)
        assert all(nls.normalise_reference(line) == line for line in lines)
        tagsets[name] = set(lines)
    references = set(read_data("nlsy79_variables.csv", "career_hf.sources")["reference"])
    assert references <= set.union(*tagsets.values())
    for variant, last in (("full", 1998), ("extended", 2012)):
        rounds = [1981, *(year for year in nlsy79_variables.ROUNDS if year <= last)]
        items = nlsy79_variables.covariate_items(last) + nlsy79_variables.yearly_items(rounds)
        design = [nlsy79_variables.HOUSEHOLD, nlsy79_variables.WEIGHT]
        assert tagsets[variant] == {nls.PERSON, *(reference for _, _, reference in items + design)}
    assert {reference for _, _, reference in wage_items(rounds, 2012)} | {nls.PERSON} == tagsets["wages"]


def test_the_weekly_tagset_holds_all_weeks_and_what_the_wide_extract_has_of_jobs_and_months(shared):
    path = resources.files("career_hf.sources").joinpath("data", "tagsets", "nlsy79_weekly.NLSY79")
    tagset = set(path.read_text(encoding="utf-8").split())
    needed = re.compile(r"(STATUS|HRS_WORKED)_WK_NUM\d+|OCCALL-EMP\.0\d|HRP\d|QES-52\.0\d|CPSOCC70|Q3-1AA?~\d+")
    described = 0
    for name in ("labor_force_status_all_weeks.sdf", "original.sdf"):
        for line in (shared / "data/nlsy79_ekw" / name).read_text("utf-8", "replace").splitlines():
            if (match := nls.SDF_LINE.match(line)) and needed.fullmatch(match[5]):
                described += 1
                assert match[1] + match[2] in tagset, line
    assert described > 4_000


def test_an_unknown_variant_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="unknown variant 'long'.*full.*extended"):
        nlsy79.build(tmp_path, "long")


def test_a_share_that_jumps_is_reported_with_state_rounds_and_shares(tmp_path):
    people = {p: employed(1990) | ({("ESR_COL", 1991): 2} if p <= 6 else employed(1991)) for p in range(1, 101)}
    careers, ledger = nlsy79.build(write_extract(tmp_path, people))
    shares = state_shares(careers)
    assert shares.loc[1991].to_dict() == {"employed": 0.94, "unemployed": 0.06, "people": 100}
    warnings = [note for note in ledger.notes if note.startswith("warning")]
    assert len(warnings) == 2
    assert "'unemployed' goes from 0.0% in 1990 to 6.0% in 1991" in warnings[1]
    assert share_jumps(shares, threshold=0.07) == []


def test_who_stays_is_counted_at_each_distance_of_rounds_and_a_jump_is_reported(tmp_path):
    # In 1996 rounds are two years apart, so its share is not compared with that of a year.
    codes = {1991: 275, 1992: 275, 1993: 275, 1994: 276, 1996: 275}
    rounds = [(p, year, code if p > 40 else 275) for year, code in codes.items() for p in range(1, 101)]
    people = {p: {} for p in range(1, 101)}
    for p, year, code in rounds:
        people[p] |= employed(year, code)
    careers, ledger = nlsy79.build(write_extract(tmp_path, people))
    stays = stay_shares(careers)
    assert stays["same occupation 1 year before"].dropna().to_dict() == {1992: 1.0, 1993: 1.0, 1994: 0.4}
    assert stays["same occupation 2 years before"].dropna().to_dict() == {1996: 0.4}
    assert stays["people"].tolist() == [100] * 4
    assert [note for note in ledger.notes if note.startswith("warning")] == [
        "warning: share of 'same occupation 1 year before' goes from 100.0% in 1993 to 40.0% in 1994, more than 10% "
        "between rounds"
    ]


def test_nobody_stays_in_a_single_round(tmp_path):
    careers, ledger = nlsy79.build(write_extract(tmp_path, {p: employed(1990) for p in range(1, 4)}))
    assert len(stay_shares(careers)) == 0 and not any("who stay" in note for note in ledger.notes)
