"""The shipped occ1990dd tables, and how codes are mapped with them."""

from __future__ import annotations

import pandas as pd
import pytest

from career_hf.occupations import crosswalks


ROWS = {1970: 442, 1980: 504, 1990: 502, 2000: 502, 2010: 513}


@pytest.mark.parametrize("vintage", sorted(ROWS))
def test_a_table_has_every_code_once(vintage):
    table = crosswalks.crosswalk(vintage)
    assert len(table) == ROWS[vintage]
    assert table.index.is_unique


def test_the_vocabulary_is_what_the_1980_and_2000_tables_share_exactly():
    assert len(crosswalks.codes()) == 330
    assert set(crosswalks.crosswalk(1980)) == set(crosswalks.crosswalk(2000)) == set(crosswalks.codes())


@pytest.mark.parametrize("vintage", sorted(ROWS))
def test_mapping_leaves_the_vocabulary_for_no_code(vintage):
    codes = pd.Series(crosswalks.crosswalk(vintage).index)
    mapped, _ = crosswalks.map_codes(codes, vintage)
    assert set(mapped.dropna()) <= set(crosswalks.codes())


# Census code by vintage of one occupation each, read off the Census lists by hand.
@pytest.mark.parametrize(
    ("vintage", "code", "occ1990dd"),
    [(1970, 1, "23"), (1980, 19, "22"), (1990, 5, "22"), (2000, 472, "276"), (2010, 20, "22")],
)
def test_known_codes_map_to_their_occupation(vintage, code, occ1990dd):
    assert crosswalks.map_codes(pd.Series([code]), vintage)[0].tolist() == [occ1990dd]


def test_code_874_of_the_1990_table_is_merged_into_873():
    assert crosswalks.crosswalk(1990)[873] == "873"


def test_armed_forces_and_unemployed_are_no_occupations_and_are_counted():
    mapped, unmapped = crosswalks.map_codes(pd.Series([580, 991, 991, 1]), 1970)
    assert mapped.isna().tolist() == [True, True, True, False]
    assert unmapped.to_dict() == {991: 2, 580: 1}


def test_a_null_code_stays_null_and_is_not_counted_as_unmapped():
    mapped, unmapped = crosswalks.map_codes(pd.Series([None, 2], dtype="Int64"), 1980)
    assert mapped.isna().all()
    assert unmapped.to_dict() == {2: 1}


def test_the_row_labels_of_the_codes_are_kept():
    mapped, _ = crosswalks.map_codes(pd.Series([19, 5], index=["b", "a"]), 1980)
    assert mapped["b"] == "22"


def test_a_four_digit_code_with_a_three_digit_table_is_an_error_that_names_the_fix():
    with pytest.raises(ValueError, match=r"code 4720 \(row 1, 1 in all\) is not a Census 2000 code.*divide"):
        crosswalks.map_codes(pd.Series([472, 4720]), 2000)


def test_a_missing_code_is_an_error_instead_of_an_unmapped_occupation():
    with pytest.raises(ValueError, match="code -4 .* map missing codes to null"):
        crosswalks.map_codes(pd.Series([-4]), 1980)


def test_an_unknown_vintage_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"Census 1985.*1970, 1980"):
        crosswalks.crosswalk(1985)


def test_every_occupation_has_a_title_with_its_commas_restored():
    titles = crosswalks.titles()
    assert set(crosswalks.codes()) <= set(titles)
    assert titles["4"] == "Chief executives, public administrators, and legislators"


@pytest.mark.parametrize(("level", "count"), [("group", 25), ("major_group", 6), ("census_group", 6)])
def test_every_occupation_is_in_exactly_one_group(level, count):
    ranges = crosswalks.read_data("occ1990dd_groups.csv")
    first, last = ranges["first_code"].astype(int), ranges["last_code"].astype(int)
    groups = crosswalks.groups(level)
    for code in crosswalks.codes():
        assert ranges.loc[(first <= int(code)) & (int(code) <= last), level].tolist() == [groups[code]]
    assert len({groups[code] for code in crosswalks.codes()}) == count


# Dorn's Stata file by hand: guards are 415 and 425-427, and the police between them belongs elsewhere.
@pytest.mark.parametrize(
    ("code", "group", "major_group"),
    [
        ("415", "Guards", "Service occupations"),
        ("418", "Fire fighting, police, and correctional institutions", None),
        ("95", "Professional specialty", None),
        ("468", "Child care workers", "Service occupations"),
        ("889", "Transportation and material moving", "Transportation/construction/mechanics/mining/farm"),
        ("905", "military", "military"),
    ],
)
def test_known_occupations_are_in_their_groups(code, group, major_group):
    assert crosswalks.groups()[code] == group
    managers = "Managers/professionals/technicians/finance/public safety"
    assert crosswalks.groups("major_group")[code] == (major_group or managers)


def test_states_without_an_occupation_are_groups_of_their_own():
    groups = crosswalks.groups_of(["unemployed", "22", "unknown"])
    expected = {"unemployed": "unemployed", "22": "Executive, administrative and managerial", "unknown": "unknown"}
    assert groups == expected


def test_a_code_that_is_not_occ1990dd_has_no_group():
    with pytest.raises(ValueError, match="occupation '4720' .1 in all. is not an occ1990dd code.*map the codes"):
        crosswalks.groups_of(["22", "4720", "unemployed"])


def test_an_unknown_level_of_groups_is_an_error():
    with pytest.raises(ValueError, match=r"'major' .*\('group', 'major_group', 'census_group'\)"):
        crosswalks.groups("major")


def test_a_changed_copy_of_a_table_does_not_change_the_table():
    table = crosswalks.crosswalk(1980)
    table.loc[19] = "wrong"
    assert crosswalks.crosswalk(1980)[19] == "22"


@pytest.mark.parametrize(("vintage", "code", "military"), [(1970, 590, True), (1980, 590, False), (2000, 984, True)])
def test_codes_of_the_armed_forces_depend_on_the_vintage(vintage, code, military):
    assert crosswalks.is_military(pd.Series([code]), vintage).tolist() == [military]


@pytest.mark.parametrize(
    ("vintage", "source"),
    [
        (1970, "career_wage_gaps/occ_crosswalk_occ1970_occ1990dd.csv"),
        (1980, "norabble/occ1980_occ1990dd.csv"),
        (1990, "norabble/occ1990_occ1990dd.csv"),
        (2000, "career_wage_gaps/occ_crosswalk_occ2000_occ1990dd.csv"),
        (2010, "career_wage_gaps/occ_crosswalk_occ2010_occ1990dd.csv"),
    ],
)
def test_shipped_tables_equal_their_source(shared, vintage, source):
    rows = [line.split(",") for line in (shared / "data/occ1990dd_crosswalks" / source).read_text().split()[1:]]
    expected = {int(code): {"874": "873"}.get(target, target) for code, target in rows}
    assert crosswalks.crosswalk(vintage).to_dict() == expected
