"""NLSY79 careers: the rules on extracts made by hand, and hand-checked people of the real ones."""

from __future__ import annotations

import pandas as pd
import pytest
from nlsy79_extracts import by_year, employed, real_build, write_extract

from career_hf.careers import to_frame, validate
from career_hf.sources import nls, nlsy79, nlsy79_variables
from career_hf.sources.crosswalks import occupations


def occupation_by_year(careers, person):
    return by_year(careers, person, "occupation")


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


def test_an_unknown_variant_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="unknown variant 'long'.*full.*extended"):
        nlsy79.build(tmp_path, "long")


def test_a_share_that_jumps_is_reported_with_state_rounds_and_shares(tmp_path):
    people = {p: employed(1990) | ({("ESR_COL", 1991): 2} if p <= 6 else employed(1991)) for p in range(1, 101)}
    careers, ledger = nlsy79.build(write_extract(tmp_path, people))
    shares = nlsy79.state_shares(careers)
    assert shares.loc[1991].to_dict() == {"employed": 0.94, "unemployed": 0.06, "people": 100}
    warnings = [note for note in ledger.notes if note.startswith("warning")]
    assert len(warnings) == 2
    assert "'unemployed' goes from 0.0% in 1990 to 6.0% in 1991" in warnings[1]
    assert nlsy79.share_jumps(shares, threshold=0.07) == []


@pytest.mark.parametrize("variant", ["full", "extended"])
def test_the_real_ledger_accounts_for_every_person_and_person_year(shared, variant):
    careers, ledger = real_build(shared, variant)
    for unit, start, end in (
        ("people", 12_686, len(careers)),
        ("person-years", 12_686 * {"full": 16, "extended": 23}[variant], sum(map(len, careers["year"]))),
    ):
        entries = [e for e in ledger.entries if e.unit == unit]
        assert (entries[0].rows_in, entries[-1].rows_out) == (start, end)
        assert start - end == sum(sum(e.dropped.values()) for e in entries)


@pytest.mark.parametrize(("variant", "people", "years"), [("full", 11_779, 152_319), ("extended", 11_852, 204_279)])
def test_the_real_builds_have_their_size(shared, variant, people, years):
    careers, _ = real_build(shared, variant)
    validate(careers)
    assert (len(careers), sum(map(len, careers["year"]))) == (people, years)


def test_real_occupations_are_the_canonical_ones_and_the_states(shared):
    careers, _ = real_build(shared, "full")
    seen = {occupation for career in careers["occupation"] for occupation in career}
    assert seen - set(occupations()) == {"unemployed", "out_of_labor_force", "in_school"}


def test_the_extended_build_is_the_full_one_collapsed_up_to_1998(shared):
    full, extended = (
        real_build(shared, variant)[0].to_pandas().set_index("person") for variant in ("full", "extended")
    )
    collapse = {"unemployed": "not_working", "out_of_labor_force": "not_working"}
    assert set(full.index) <= set(extended.index)
    for person in full.index[::50]:
        years = full.loc[person, "year"]
        expected = [collapse.get(occupation, occupation) for occupation in full.loc[person, "occupation"]]
        assert extended.loc[person, "year"][: len(years)].tolist() == years.tolist()
        assert extended.loc[person, "occupation"][: len(years)].tolist() == expected


def test_the_real_ledger_warns_of_the_change_from_employment_status_to_weeks_worked(shared):
    _, ledger = real_build(shared, "extended")
    assert any("'not_working' goes from 17.7% in 1998 to 12.5% in 2000" in note for note in ledger.notes)


# Four people worked out by hand from the raw files, item by item.
NOT, OUT, SCHOOL = "not_working", "out_of_labor_force", "in_school"


def test_person_3_employed_without_a_code_in_1996_and_not_interviewed_in_2004_and_2010(shared):
    assert occupation_by_year(real_build(shared, "extended")[0], 3) == {
        1980: "376", 1982: NOT, 1983: NOT, 1984: NOT, 1985: NOT, 1986: NOT, 1987: NOT, 1988: NOT, 1989: "155",
        1990: NOT, 1991: "373", 1992: "188", 1993: SCHOOL, 1994: SCHOOL, 1998: "243", 2000: "22", 2002: NOT,
        2006: "22", 2008: "469", 2012: "470",
    }  # fmt: skip


def test_person_1234_in_school_in_1987_with_a_grade_carried_over_1983(shared):
    careers, _ = real_build(shared, "full")
    assert occupation_by_year(careers, 1234) == {
        1980: "376", 1982: "447", 1983: "447", 1984: "447", 1985: "447", 1986: "316", 1987: SCHOOL, 1988: "95",
        1989: "207", 1990: "95", 1991: "95", 1992: "95", 1993: "15", 1994: "95", 1996: "13", 1998: "13",
    }  # fmt: skip
    education = by_year(careers, 1234, "education")
    assert [education[year] for year in (1980, 1982, 1983, 1988)] == [
        "high_school", "some_college", "some_college", "college",
    ]  # fmt: skip
    row = next(row for row in careers if row["person"] == "1234")
    assert (row["region"], row["race"], row["gender"]) == ("south", "non_black_non_hispanic", "female")


def test_person_6004_of_the_supplemental_sample_with_all_three_states_without_employment(shared):
    careers, _ = real_build(shared, "full")
    assert occupation_by_year(careers, 6004) == {
        1980: SCHOOL, 1982: "unemployed", 1983: OUT, 1984: OUT, 1985: OUT, 1986: OUT, 1987: "unemployed", 1988: OUT,
        1989: "unemployed", 1990: OUT, 1991: SCHOOL, 1992: "unemployed", 1993: "unemployed", 1994: OUT, 1996: "208",
        1998: "376",
    }  # fmt: skip
    row = next(row for row in careers if row["person"] == "6004")
    assert (row["region"], row["race"], row["gender"], row["sample"]) == (
        "northcentral", "black", "female", "supplemental",
    )  # fmt: skip


def test_person_11000_in_the_armed_forces_throughout_is_left_out(shared):
    for variant in ("full", "extended"):
        assert "11000" not in real_build(shared, variant)[0]["person"][:]


def test_the_real_people_without_work_who_report_an_occupation_are_all_set_aside(shared):
    extract = nls.read_folder(shared / "data")
    expected = 0
    for year in (1980, *range(1982, 1995), 1996, 1998):
        status = extract.variable("ESR_COL", year)
        expected += int((status.isin([2, 3]) & (extract.variable(*nlsy79_variables.occupation_item(year)) > 0)).sum())
    _, ledger = real_build(shared, "full")
    altered = next(e.altered for e in ledger.entries if e.step == "state before occupation")
    assert altered["not employed although an occupation is reported: occupation not used"] == expected
