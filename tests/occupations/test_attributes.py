"""Attributes of occupations: what ships, tables of one's own, and codes of other systems carried over by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from career_hf.occupations import attributes, codes, groups, weighted_crosswalk
from career_hf.occupations.attributes import as_attributes, attribute_matrix


def test_groups_of_the_330_occupations_ship():
    table = attributes()
    assert table.index.tolist() == codes() and table.columns.tolist() == ["group", "major_group", "census_group"]
    assert table["census_group"].to_dict() == {c: g for c, g in groups("census_group").items() if c in set(codes())}


def test_a_table_of_ones_own_is_read_from_memory_and_from_files(tmp_path):
    frame = pd.DataFrame({"occ": [4.0, 22, 155], "ai": ["1.5", None, "-2"], "kind": ["a", "b", None], "x": [1, 2, 3]})
    table = attributes(frame, occupation="occ", columns=["ai", "kind"])
    assert table.index.tolist() == ["4", "22", "155"] and table.columns.tolist() == ["ai", "kind"]
    np.testing.assert_array_equal(table["ai"], [1.5, np.nan, -2])
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    frame.fillna({"kind": ""}).to_stata(tmp_path / "table.dta", write_index=False)
    for name in ("table.csv", "table.parquet", "table.dta"):
        pd.testing.assert_frame_equal(attributes(tmp_path / name, occupation="occ", columns=["ai", "kind"]), table)
    pd.testing.assert_frame_equal(as_attributes(frame.rename(columns={"occ": "occupation"}))[["ai", "kind"]], table)


def test_codes_of_another_system_are_averaged_as_far_as_they_lead_to_an_occupation():
    pairs = weighted_crosswalk("isco08")
    sources = sorted(pairs["source"].unique())[:40]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"isco": sources, "ai": rng.normal(size=40), "jobs": rng.integers(0, 9, 40)})
    frame.loc[3, "ai"] = np.nan
    frame.loc[len(frame)] = ["9999", 1.0, 1]
    table = attributes(frame, occupation="isco", columns=["ai"], system="isco08", weight="jobs")
    value, jobs = (frame.set_index("isco")[name].to_dict() for name in ("ai", "jobs"))
    for target, rows in pairs[pairs["source"].isin(sources)].groupby("occ1990dd"):
        known = [row for row in rows.itertuples() if not np.isnan(value[row.source])]
        mass = sum(row.weight * jobs[row.source] for row in known)
        mean = sum(row.weight * jobs[row.source] * value[row.source] for row in known) / mass if mass else np.nan
        assert table.loc[target, "ai"] == pytest.approx(mean, nan_ok=True)
    assert table.attrs["unmapped"] == ["9999"]


def test_webbs_exposure_is_read_as_its_authors_share_it(shared):
    path = shared / "data/occ1990dd_crosswalks/webb/exposure_by_occ1990dd_lswt2010.csv"
    table = attributes(path, occupation="occ1990dd", columns=["pct_ai"])
    assert table.loc["7", "pct_ai"] == 67 and len(set(codes()) - set(table.index)) < 15


def test_the_matrix_has_numbers_and_one_column_for_each_level_in_use():
    table = pd.DataFrame({"ai": [1.0, np.nan, 3], "kind": ["a", "b", "c"]}, index=["x", "y", "z"])
    names, value, known = attribute_matrix(table, ["y", "x", "none"])
    assert names == [("ai", None), ("kind", "a"), ("kind", "b")]
    np.testing.assert_array_equal(value, [[0, 0, 1], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(known, [[False, True, True], [True, True, True], [False, False, False]])


TABLE = pd.DataFrame({"occupation": ["a", "b"], "ai": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (None, {"columns": ["ai"]}, "are of a table of attributes: pass one"),
        (TABLE, {"occupation": "soc"}, "has no column 'soc'"),
        (TABLE, {"columns": ["wage"]}, "has no column 'wage'"),
        (TABLE, {"columns": []}, "has no attribute"),
        (TABLE[["occupation"]], {}, "has no attribute"),
        (TABLE.assign(occupation="a"), {}, "occupation 'a' is in two rows"),
        (TABLE.assign(occupation=["a", None]), {}, "row 1: the occupation is missing"),
        (TABLE.assign(ai=[1, np.inf]), {}, "occupation 'b', attribute 'ai': the value is infinite"),
        (TABLE.assign(ai=np.nan), {}, "attribute 'ai' is missing for every occupation"),
        (TABLE.assign(group=["", None]), {}, "attribute 'group' is missing for every occupation"),
        (TABLE.assign(**{" ": 1}), {}, "attribute 2 of the table has no name"),
        ("nope.csv", {}, "there is no file nope.csv: pass a table of attributes"),
        (
            pd.DataFrame({"occupation": ["11-1011", "99-9999"], "ai": [None, 1]}),
            {"system": "soc2010"},
            "'ai' is missing",
        ),
        (TABLE.assign(w=1), {"weight": "w"}, "without it nothing is averaged"),
        (TABLE, {"system": "soc2010"}, "no code of the table, such as 'a'"),
        (TABLE, {"system": "soc1850"}, "there is no crosswalk from 'soc1850'"),
        (TABLE.assign(ai=["x", "y"]), {"system": "soc2010"}, "attribute 'ai' is a text"),
        (TABLE.assign(w=[1, -1]), {"system": "soc2010", "weight": "w"}, "occupation 'b': its weight is missing or"),
    ],
)
def test_faulty_tables_are_refused_in_one_line(table, options, message):
    with pytest.raises(ValueError, match=message) as error:
        attributes(table, **options)
    assert "\n" not in str(error.value)


def test_a_column_without_a_name_in_a_file_is_no_attribute(tmp_path):
    TABLE.to_csv(tmp_path / "table.csv")  # with the numbers of rows
    with pytest.raises(ValueError, match="attribute 1 of the table has no name: name it, or leave it out"):
        attributes(tmp_path / "table.csv")
    assert list(attributes(tmp_path / "table.csv", columns=["ai"])) == ["ai"]
