"""Crosswalks with weights: SOC 2010, O*NET-SOC 2010, ISCO-08, ESCO, Census codes and tables of one's own."""

from __future__ import annotations

from collections import defaultdict
from typing import get_args

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.occupations import crosswalks
from career_hf.occupations.weighted_crosswalks import (
    System,
    chain,
    esco_crosswalk,
    make_crosswalk,
    modal,
    recode,
    weighted_crosswalk,
)


OCCUPATIONS = [*crosswalks.codes(), "905"]
# A few lines of ESCO's occupations_en.csv: an occupation of the table, one below it, one without an ancestor there.
ESCO_FILE = """conceptType,conceptUri,iscoGroup,preferredLabel,code
Occupation,http://data.europa.eu/esco/occupation/404a50e9-61ce-448d-a695-bbfc697a0727,1111,government minister,1111.3
Occupation,http://data.europa.eu/esco/occupation/made-up-1,1111,Minister of Tests,1111.3.1
Occupation,http://data.europa.eu/esco/occupation/made-up-2,1120,managing director of tests,1120.99
"""


@pytest.fixture
def esco_file(tmp_path):
    path = tmp_path / "occupations_en.csv"
    path.write_text(ESCO_FILE, encoding="utf-8")
    return path


@pytest.mark.parametrize("system", get_args(System))
def test_weights_sum_to_one_and_targets_are_occupations(system):
    table = weighted_crosswalk(system)
    assert table.columns.tolist() == ["source", "occ1990dd", "weight"]
    assert table.groupby("source")["weight"].sum().sub(1).abs().max() < 1e-12
    assert (table["weight"] > 0).all()
    assert set(table["occ1990dd"]) <= set(OCCUPATIONS)
    assert not table.duplicated(["source", "occ1990dd"]).any()


# Sizes of the classifications as their agencies print them.
@pytest.mark.parametrize(("system", "codes"), [("soc2010", 840), ("onet_soc2010", 1110), ("isco08", 436)])
def test_every_code_of_the_classification_has_a_target(system, codes):
    assert weighted_crosswalk(system)["source"].nunique() == codes


# Read off the classifications by hand, titles in comments.
@pytest.mark.parametrize(
    ("system", "code", "occ1990dd"),
    [
        ("census1980", "019", "22"),
        ("census2000", "472", "276"),  # cashiers
        ("census2002", "4720", "276"),
        ("census2010", "4720", "276"),
        ("census2010", "9810", "905"),  # armed forces
        ("soc2010", "29-1141", "95"),  # registered nurses
        ("soc2010", "25-1066", "154"),  # psychology teachers, postsecondary: by minor group
        ("soc2010", "17-2171", "47"),  # petroleum engineers
        ("soc2010", "17-2161", "59"),  # nuclear engineers
        ("soc2010", "55-3016", "905"),  # infantry
        ("onet_soc2010", "29-1141.01", "95"),  # acute care nurses
        ("onet_soc2010", "19-1020.01", "78"),  # biologists, a code of a broad SOC group
        ("isco08", "2221", "95"),  # nursing professionals
        ("isco08", "0310", "905"),
    ],
)
def test_known_codes_have_their_occupation(system, code, occ1990dd):
    assert modal(weighted_crosswalk(system))[code] == occ1990dd


@pytest.mark.parametrize("vintage", sorted(crosswalks.DIGITS))
def test_census_codes_map_as_map_codes_maps_them(vintage):
    codes = pd.Series(crosswalks.crosswalk(vintage).index)
    expected, _ = crosswalks.map_codes(codes, vintage)
    mapped, _ = recode(codes, weighted_crosswalk(f"census{vintage}"))
    civil = ~crosswalks.is_military(codes, vintage)
    assert mapped[civil].equals(expected[civil])
    assert (mapped[~civil] == "905").all()


def test_an_isco_code_shares_its_weight_by_the_soc_codes_behind_it():
    soc_of_isco, occupation_of_soc = defaultdict(list), modal(weighted_crosswalk("soc2010"))
    for isco, soc in crosswalks.read_data("isco08_soc2010.csv").itertuples(index=False):
        soc_of_isco[isco].append(soc)
    for isco, rows in weighted_crosswalk("isco08").groupby("source"):
        targets = [occupation_of_soc[soc] for soc in soc_of_isco[isco]]
        expected = {code: targets.count(code) / len(targets) for code in targets}
        assert dict(zip(rows["occ1990dd"], rows["weight"], strict=True)) == pytest.approx(expected)


def test_the_modal_target_is_that_of_the_largest_weight_and_of_several_the_smallest_code():
    table = make_crosswalk(
        {"source": ["a", "a", "b", "b"], "target": [22, 4, 199, 95], "w": [3, 1, 1, 1]}, "source", "target", "w"
    )
    assert modal(table).to_dict() == {"a": "22", "b": "95"}


pairs = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.floats(0.1, 10)),
    min_size=1,
    unique_by=lambda p: p[:2],
)


@settings(deadline=None, max_examples=50)
@given(pairs, st.dictionaries(st.sampled_from("xyz"), st.sampled_from(OCCUPATIONS), min_size=1))
def test_a_chain_equals_its_sum_over_the_middle(first, second):
    frame = pd.DataFrame(first, columns=["source", "via", "weight"])
    table = chain(frame, make_crosswalk({"s": list(second), "t": list(second.values())}, "s", "t"))
    mass: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for source, via, weight in first:
        if via in second:
            mass[source][second[via]] += weight
    expected = {(s, t): w / sum(mass[s].values()) for s in mass for t, w in mass[s].items()}
    weights = {(row.source, row.occ1990dd): row.weight for row in table.itertuples()}
    assert weights == pytest.approx(expected)


@settings(deadline=None, max_examples=50)
@given(pairs)
def test_the_order_of_rows_is_irrelevant(rows):
    def build(rows):
        frame = pd.DataFrame(rows, columns=["s", "t", "w"])
        return make_crosswalk(frame.assign(t=frame["t"].map({"x": 4, "y": 22, "z": 95})), "s", "t", "w")

    pd.testing.assert_frame_equal(build(rows), build(rows[::-1]))


def test_coverage_counts_what_is_mapped_split_and_unmapped():
    table = make_crosswalk({"source": ["01", "02", "02"], "target": ["4", "22", "95"]}, "source", "target")
    mapped, coverage = recode(pd.Series([1, 2, 2, 7, 7, 8, None]), table)
    assert mapped.astype(object).where(mapped.notna(), None).tolist() == ["4", "22", "22", None, None, None, None]
    assert (coverage.cells, coverage.mapped, coverage.split) == (6, 3, 2)
    assert coverage.share == 0.5
    assert coverage.unmapped.to_dict() == {"07": 2, "08": 1}
    assert "mapped 3 of 6 (50.0%), 2 by a code with more targets; without a target, 2 codes: 07 (2)" in str(coverage)


def test_numbers_get_the_leading_zeros_of_the_crosswalk():
    mapped, _ = recode(pd.Series([110, 2221]), weighted_crosswalk("isco08"))
    assert mapped.tolist() == ["905", "95"]


def test_codes_read_as_decimal_numbers_are_an_error():
    with pytest.raises(ValueError, match="code 2353.1 is not a whole number: read codes with dots or letters as text"):
        recode(pd.Series([2353.1]), weighted_crosswalk("isco08"))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"s": ["a", "b"], "t": [9, 4]}, "column 't' has 1 values that are not occ1990dd codes .*: 9; Deming"),
        ({"s": ["a", "b"], "t": [None, 4]}, "column 't' has no code in row 0 .1 in all.: drop rows"),
        ({"s": [None, "b"], "t": [4, 4]}, "column 's' has no code in row 0"),
        ({"s": ["a", "a"], "t": [4, 4]}, "code a has 4 twice"),
    ],
)
def test_a_table_of_ones_own_is_checked(frame, message):
    with pytest.raises(ValueError, match=message):
        make_crosswalk(frame, "s", "t")


def test_a_weight_must_be_positive():
    with pytest.raises(ValueError, match="weight 0 of code a is not positive"):
        make_crosswalk({"s": ["a", "b"], "t": [4, 4], "w": [0, 1]}, "s", "t", "w")


def test_an_unknown_system_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="'soc2018'.*census1970.*isco08"):
        weighted_crosswalk("soc2018")


def test_esco_occupations_have_the_target_of_their_onet_code():
    listed = crosswalks.read_data("esco_onet_soc2010.csv")
    table = modal(esco_crosswalk("label"))
    assert len(table) == len(listed) == 1680
    onet = modal(weighted_crosswalk("onet_soc2010"))
    for row in listed.itertuples():
        assert table[row.label.lower()] == onet[row.onet_soc2010]


def test_unit_groups_are_weighted_by_their_esco_occupations():
    onet, targets = modal(weighted_crosswalk("onet_soc2010")), defaultdict(list)
    for row in crosswalks.read_data("esco_onet_soc2010.csv").itertuples():
        targets[row.isco08].append(onet[row.onet_soc2010])
    table = esco_crosswalk("isco08")
    assert set(table["source"]) == set(weighted_crosswalk("isco08")["source"])
    for group, group_targets in targets.items():
        rows = table[table["source"] == group]
        expected = {code: group_targets.count(code) / len(group_targets) for code in group_targets}
        assert dict(zip(rows["occ1990dd"], rows["weight"], strict=True)) == pytest.approx(expected)
    assert table[table["source"] == "0210"]["occ1990dd"].tolist() == ["905"]


def test_finer_esco_occupations_inherit_and_the_rest_have_the_targets_of_their_isco_group(esco_file):
    table = esco_crosswalk("code", esco_file)
    targets = {
        code: dict(zip(rows["occ1990dd"], rows["weight"], strict=True)) for code, rows in table.groupby("source")
    }
    group = esco_crosswalk("isco08").query("source == '1120'")
    expected = dict(zip(group["occ1990dd"], group["weight"], strict=True))
    assert targets == {"1111.3": {"4": 1.0}, "1111.3.1": {"4": 1.0}, "1120.99": expected}


def test_labels_of_the_esco_file_are_matched_in_lower_case(esco_file):
    assert modal(esco_crosswalk("label", esco_file))["minister of tests"] == "4"


def test_esco_codes_need_the_esco_file():
    with pytest.raises(ValueError, match="pass occupations_file=.*first four digits, key='isco08'"):
        esco_crosswalk("code")


def test_an_esco_file_without_codes_is_an_error(tmp_path):
    path = tmp_path / "occupations_en.csv"
    path.write_text("conceptUri,preferredLabel\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no columns \['code'\]: .*version 1.1"):
        esco_crosswalk("uri", path)


def test_an_unknown_key_of_esco_occupations_is_an_error():
    with pytest.raises(ValueError, match="key 'title'"):
        esco_crosswalk("title")


def test_shipped_esco_table_equals_its_source(shared):
    source = pd.read_csv(shared / "data/soc_isco_esco/nesta_mcc/esco_onet_crosswalk_MCC.csv", dtype=str)
    listed = crosswalks.read_data("esco_onet_soc2010.csv").sort_values("uuid")
    source = source.assign(uuid=source["concept_uri"].str.rsplit("/", n=1).str[1]).sort_values("uuid")
    assert listed["uuid"].tolist() == source["uuid"].tolist()
    assert listed["label"].tolist() == source["esco_occupation"].tolist()
    assert listed["onet_soc2010"].tolist() == source["onet_code"].tolist()
    assert listed["isco08"].tolist() == source["isco_code"].str.zfill(4).tolist()


def test_census_codes_of_onet_codes_agree_with_an_independent_table(shared):
    """Webb's table (which is no source of ours) has the coarser Census codes of the ACS; two of its rows we read
    differently: market research analysts have a Census code of their own, quarry rock splitters are no drillers."""
    webb = pd.read_stata(shared / "data/occ1990dd_crosswalks/webb/onet_to_occ1990dd.dta")
    census_of_soc = crosswalks.read_data("soc2010_census2010.csv").set_index("soc2010")["census2010"].astype(int)
    soc_of_onet = crosswalks.read_data("onet_soc2010.csv").set_index("onet_soc2010")["soc2010"]
    ours = webb["onetsoccode"].map(soc_of_onet).map(census_of_soc)
    finer = ~ours.isin(set(webb["occ"]))
    differ = webb[(ours != webb["occ"]) & ~finer]
    assert set(differ["onetsoccode"].str[:7]) == {"13-1161", "47-5051"}
    assert finer.mean() < 0.04


def test_demings_variant_is_refused(shared):
    webb = pd.read_stata(shared / "data/occ1990dd_crosswalks/webb/onet_to_occ1990dd.dta")
    with pytest.raises(ValueError, match="14 values that are not occ1990dd codes"):
        make_crosswalk(webb.dropna(subset=["occ1990dd"]), "onetsoccode", "occ1990dd")
