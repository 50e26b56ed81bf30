"""NLSY79 careers from the real extracts: counts, and ten people worked out by hand from the raw cells."""

from __future__ import annotations

import math
import re
from importlib import resources
from pathlib import Path

import pytest
from nlsy79_extracts import by_year, occupation_by_year, real_build

from career_hf.careers import validate
from career_hf.occupations.crosswalks import codes
from career_hf.sources import nls, nlsy79_variables


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
    labels = {occupation for career in careers["occupation"] for occupation in career}
    assert labels - set(codes()) == {"unemployed", "out_of_labor_force", "in_school"}


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


# People worked out by hand from the raw cells; beside a year, its cells: employment status (ESR_COL) or weeks worked
# (WKSWK-PCY), enrollment (ENROLLMT) where it matters, the occupation code and what the crosswalk's file has for it.
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


def test_person_2500_leaves_school_and_never_works(shared):
    careers, _ = real_build(shared, "full")
    assert occupation_by_year(careers, 2500) == {
        1980: SCHOOL,  # ESR 3, ENROLLMT 2
        1982: OUT,  # ESR 3, ENROLLMT 4, CPSOCC80 436 of a job she left: not used
        1983: OUT,  # ESR 3, ENROLLMT 4
        1984: "unemployed",  # ESR 2
        1985: OUT, 1986: OUT, 1987: OUT,  # ESR 3, ENROLLMT 4; from 1988 on all cells are -5
    }  # fmt: skip
    # HGC 10 in 1980, 12 in 1982; WKSWK-PCY -4 in 1979 and 1980, then 46 (1981), 26 (1982), 0 (1983 and on).
    assert by_year(careers, 2500, "education")[1980] == "no_high_school"
    assert by_year(careers, 2500, "education")[1982] == "high_school"
    experience = by_year(careers, 2500, "experience")
    assert [experience[year] for year in (1980, 1982, 1987)] == [None, *[pytest.approx((46 + 26) / 52)] * 2]
    row = next(row for row in careers if row["person"] == "2500")
    assert (row["region"], row["race"], row["gender"]) == ("northcentral", "non_black_non_hispanic", "female")


def test_person_7777_enrolled_while_employed_with_a_grade_that_falls(shared):
    careers, _ = real_build(shared, "extended")
    assert occupation_by_year(careers, 7777) == {
        1980: "156",  # ESR 1, ENROLLMT 3, CPSOCC70 142 -> 156
        1982: "159",  # ESR 1, ENROLLMT 3, CPSOCC80 159 -> 159
        1983: NOT, 1984: NOT,  # ESR 2 and 2, though CPSOCC80 has 128 and 135
        1985: "315",  # ESR 1, 315 -> 315
        1986: "22", 1987: "22",  # ESR 1, 19 -> 22
        1988: "8",  # ESR 1, 8 -> 8
        1989: "549",  # ESR 1, 549 -> 549
        1990: "64",  # ESR 1, 64 -> 64; from 1991 on all cells are -5
    }  # fmt: skip
    # HGC 17 in 1980, 16 in 1982, 18 in 1983, 17 in 1984: kept as reported.
    assert [by_year(careers, 7777, "schooling")[year] for year in (1980, 1982, 1983, 1984)] == [17, 16, 18, 17]
    assert by_year(careers, 7777, "education")[1982] == "college"
    # CPSIND70 857, 867 (schools), 297 (food): education and nondurables; SAMPLE_ID 12.
    industry = by_year(careers, 7777, "industry")
    assert [industry[year] for year in (1980, 1982, 1983, 1985)] == ["education", "education", None, "nondurables"]
    assert next(row for row in careers if row["person"] == "7777")["sample"] == "supplemental"


def test_person_9001_whose_first_report_alone_says_nine_grades(shared):
    # HGC 9 in 1979, 3 in every later round: nine grades were ever observed, and known from 1979 on.
    careers, _ = real_build(shared, "full")
    assert occupation_by_year(careers, 9001) == {
        1980: "869",  # ESR 1, CPSOCC70 751 -> 869
        1982: OUT,  # ESR 3, ENROLLMT 1
        1983: "595",  # ESR 1, CPSOCC80 595 -> 595
        1984: "889",  # ESR 1, 883 -> 889; 1985-1989 all cells are -5
        1990: "595",  # ESR 1, 595 -> 595; then -5
    }
    assert by_year(careers, 9001, "schooling")[1980] == 3
    # WKSWK-PCY 29 (1979), 52 (1980), 52 (1981), 48 (1982), 26 (1983), 44 (1984), none to 1989 taken as 44, 0 (1990).
    experience = by_year(careers, 9001, "experience")
    assert experience[1984] == pytest.approx((29 + 52 + 52 + 48 + 26 + 44) / 52)
    assert experience[1990] == pytest.approx((29 + 52 + 52 + 48 + 26 + 44 + 5 * 44 + 0) / 52)


def test_person_12050_unemployed_while_enrolled_and_employed_by_weeks_worked_from_2000(shared):
    careers, _ = real_build(shared, "extended")
    assert occupation_by_year(careers, 12050) == {
        1980: "418",  # ESR 1, CPSOCC70 964 -> 418
        1982: NOT,  # ESR 2, though CPSOCC80 is 424
        1983: "228",  # ESR 1, 228 -> 228
        1984: "22", 1985: "22",  # ESR 1, 19 -> 22
        1986: NOT,  # ESR 2, ENROLLMT 3: unemployed, enrolled or not
        1987: "534",  # ESR 1, 534 -> 534
        1988: "418", 1989: "418",  # ESR 1, 418 -> 418
        1990: "426", 1991: "426", 1992: "426",  # ESR 1, 426 -> 426
        1993: NOT,  # ESR 3, ENROLLMT 4, though CPSOCC80 is 415
        1994: "459", 1996: "34", 1998: "459",  # ESR 1, 459, 34, 459
        2000: "804",  # WKSWK-PCY 31, CPSOCC80 804 -> 804
        2002: "535",  # WKSWK-PCY 50, OCCALL-EMP.01 743 (Census 2000) -> 535
        2004: "535",  # WKSWK-PCY 52, OCCALL-EMP.01 7430 -> 535; then -5
    }  # fmt: skip
    # CPSHRP 1400 in 1994, HRP1 8333 in 1996: cents; CPI-U 148.2, 156.9, 218.056 in 2010; none without ESR_COL.
    wage = by_year(careers, 12050, "log_wage")
    assert wage[1994] == pytest.approx(math.log(14 * 218.056 / 148.2))
    assert wage[1996] == pytest.approx(math.log(83.33 * 218.056 / 156.9))
    assert (wage[1993], wage[2000]) == (None, None)


def test_person_1500_not_interviewed_in_1980_and_1987(shared):
    careers, _ = real_build(shared, "full")
    assert occupation_by_year(careers, 1500) == {
        # ESR 1 in all these rounds, ENROLLMT 4; CPSOCC80 777 -> 779, 637 -> 637, 19 -> 22, 229 -> 229.
        1982: "779", 1983: "779", 1984: "637", 1985: "637", 1986: "637", 1988: "779", 1989: "637", 1990: "637",
        1991: "637", 1992: "22", 1993: "637", 1994: "637", 1996: "229", 1998: "229",
    }  # fmt: skip
    # WKSWK-PCY 52 in the rounds of 1979 and 1981, -5 in 1980: 1979 is taken as 1978. 52 to 1986, -5 in 1987 (1986 is
    # taken as 1985), 52 in 1988.
    experience = by_year(careers, 1500, "experience")
    assert (experience[1982], experience[1988]) == (pytest.approx(4.0), pytest.approx(10.0))
    # CPSIND70 259 (manufacturing, durables); CPSHRP 865 cents in 1982, CPI-U 96.5.
    assert by_year(careers, 1500, "industry")[1982] == "durables"
    assert by_year(careers, 1500, "log_wage")[1982] == pytest.approx(math.log(8.65 * 218.056 / 96.5))


def test_person_11000_in_the_armed_forces_throughout_is_left_out(shared):
    for variant in ("full", "extended"):
        assert "11000" not in real_build(shared, variant)[0]["person"][:]


def test_the_real_counts_are_those_of_the_raw_cells_and_every_difference_is_in_the_ledger(shared):
    # Counted once by hand from the same files: occupations by round, people without work who report an occupation in
    # 1980-1998 (19,841 with an occ1990dd code, and 15 with a code that has none), and 633 of 6,521 in 2006.
    extract = nls.read_folder(shared / "data")
    valid = {year: extract.variable(*nlsy79_variables.occupation_item(year)).gt(0) for year in nlsy79_variables.ROUNDS}
    assert [int(valid[year].sum()) for year in (1980, 1982, 2006, 2012)] == [5_750, 9_282, 6_521, 6_721]
    without = {
        year: int((valid[year] & extract.variable("ESR_COL", year).isin([2, 3])).sum())
        for year in nlsy79_variables.ROUNDS
        if year in nlsy79_variables.STATUS_ROUNDS
    }
    in_2006 = without.pop(2006)
    assert (sum(without.values()), in_2006) == (19_841 + 15, 633)
    step, reason = "state before occupation", "not employed although an occupation is reported: occupation not used"
    set_aside = {
        variant: next(e.altered for e in real_build(shared, variant)[1].entries if e.step == step)[reason]
        for variant in ("full", "extended")
    }
    assert set_aside["full"] == 19_841 + 15
    # Besides 2006: no week worked in the past calendar year, though an occupation is reported, in the other rounds.
    by_weeks = 0
    for year in (2000, 2002, 2004, 2008, 2010, 2012):
        by_weeks += int((valid[year] & extract.variable("WKSWK-PCY", year).eq(0)).sum())
    assert set_aside["extended"] == 19_841 + 15 + 633 + by_weeks


def test_the_counts_on_the_page_are_those_of_the_builds(shared):
    page = Path(__file__).parents[2].joinpath("docs", "how_to", "nlsy79.md").read_text(encoding="utf-8")
    for variant in ("full", "extended"):
        careers, ledger = real_build(shared, variant)
        note = next(note for note in ledger.notes if note.startswith("person-years left by the rules"))
        for rule, years, people in re.findall(r"'(\w+)' keeps ([\d,]+) of ([\d,]+) people", note):
            assert f"{years} ({people})" in page, (variant, rule)
        schooling, labor_force = (
            {e.unit: sum(e.dropped.values()) for e in ledger.entries if e.step.startswith(step)}
            for step in ("drop people with less", "drop people out of")
        )
        for dropped in (schooling, labor_force):
            assert f"{dropped['person-years']:,} ({dropped['people']:,})" in page
        observed = sum(wage is not None for wages in careers["log_wage"] for wage in wages)
        assert f"{observed:,}" in page
    for line in re.findall(r"^\| `nlsy79_(\w+).NLSY79` \| ([\d,]+)", page, re.MULTILINE):
        text = resources.files("career_hf.sources").joinpath("data", "tagsets", f"nlsy79_{line[0]}.NLSY79").read_text()
        assert f"{len(text.split()):,}" == line[1]
