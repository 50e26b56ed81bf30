"""Tables with one row per person and year become careers, with the codes of any coding that has a crosswalk."""

from __future__ import annotations

import pandas as pd
import pytest

from career_hf import from_frame, sources
from career_hf.careers import limits_of, load_careers
from career_hf.careers.columns import career_table


ROWS = [
    ("a", 2001, "0010", "college", "south"),
    ("a", 2002, "nilf", None, "south"),
    ("b", 2001, "10", "college", "west"),
    ("b", 2003, "unemployed", "college", "west"),
    ("c", 2001, "7777", "college", "west"),
]
TABLE = pd.DataFrame(ROWS, columns=["who", "year", "job", "education", "region"])
COLUMNS = {"person": "who", "occupation": "job", "covariates": ["education"], "static": ["region"]}


def test_codes_are_mapped_and_what_has_no_target_says_so(tmp_path):
    TABLE.to_csv(tmp_path / "panel.csv", index=False)
    states = {"nilf": "out_of_labor_force"}
    prepared = sources.panel(tmp_path / "panel.csv", **COLUMNS, crosswalk="census2010", states=states, source="nlsy97")
    found = {row["person"]: row["occupation"] for row in prepared.careers}
    assert found == {"a": ["4", "out_of_labor_force"], "b": ["4", "unemployed"], "c": ["census2010 7777"]}
    assert any("mapped 2 of 3" in note for note in prepared.ledger.notes)
    assert prepared.source.name == "nlsy97"
    assert prepared.ledger.entries[0].rows_out == 5


def test_without_a_crosswalk_careers_are_those_of_the_table(tmp_path):
    prepared = sources.panel(TABLE, **COLUMNS, lacks=["in_school"])
    expected = from_frame(TABLE, **COLUMNS)
    assert career_table(prepared.careers).sort_by("person").equals(career_table(expected))
    prepared.save(tmp_path / "careers")
    assert limits_of(tmp_path / "careers").lacks == ("in_school",)
    assert sum(part.num_rows for part in load_careers(tmp_path / "careers").values()) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lacks": ["unemployed"]}, "lacks= names 'unemployed', which 1 rows of the table have"),
        ({"lacks": ["martian"]}, "lacks= names 'martian', which is no state \(unemployed, .*and no occ1990dd code"),
        ({"states": {"ilf": "unemployed"}}, "states= names 'ilf', which no row of the table has"),
        ({"source": "nobody"}, "there is no source 'nobody'"),
        ({"occupation": "who is who"}, "column 'who is who' is not in the table"),
    ],
)
def test_what_is_wrong_is_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        sources.panel(TABLE, **{**COLUMNS, **options})


def test_half_of_the_nlsy97_is_read(shared):
    file = shared / "data" / "nlsy97_half" / "nlsy97_careers_occ1990dd.csv.gz"
    if not file.exists():
        pytest.skip("no careers of the NLSY97 among the shared data")
    static = ["region", "race", "gender"]
    careers = sources.panel(file, covariates=["education"], static=static, lacks=["unemployed"]).to_frame()
    table = pd.read_csv(file, dtype=str)
    assert len(careers) == len(table) == 96412 and careers["person"].nunique() == 4475
    merged = careers.astype({"year": str}).merge(table, on=["person", "year"], suffixes=("", "_of_table"))
    assert len(merged) == len(table)
    for name in ("occupation", "education", *static):
        assert (merged[name] == merged[f"{name}_of_table"]).all()
