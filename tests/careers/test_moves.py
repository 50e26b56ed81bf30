"""Counts of moves become careers of two steps: no move is lost, gained or taken for a person."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf import from_moves
from career_hf.careers import SOURCES, Limits, from_frame, limits_of, load_careers, split_careers, validate
from career_hf.careers.splits import are_counts
from career_hf.occupations import weighted_crosswalk


# One code with two targets, one with one, and one code that the crosswalk does not have.
CROSSWALK = pd.DataFrame(
    {"source": ["01", "01", "02", "03"], "occ1990dd": ["4", "22", "22", "95"], "weight": [0.75, 0.25, 1, 1]}
)
TABLE = pd.DataFrame(
    {
        "origin": ["01", "01", "02", "99", "01", "unemployed", "03", "02"],
        "destination": ["01", "02", "03", "01", "99", "02", "out", "01"],
        "count": [100, 40, 10, 7, 5, 20, 8, 0],
    }
)


def weights(prepared) -> dict[tuple[str, str], float]:
    """Weight of the second step by pair of occupations."""
    long = prepared.to_frame()
    return dict(
        zip(zip(long["occupation"][::2], long["occupation"][1::2], strict=True), long["weight"][1::2], strict=True)
    )


def test_codes_are_shared_out_by_the_crosswalk_and_the_ledger_adds_up():
    prepared = from_moves(TABLE, crosswalk=CROSSWALK, states={"out": "out_of_labor_force"})
    validate(prepared.careers)
    assert weights(prepared) == {
        # A hundred people stayed in 01, and so in one of its targets; none of them moved between these.
        ("4", "4"): 75,
        ("22", "22"): 25 + 40 * 0.25,
        ("4", "22"): 40 * 0.75,
        ("22", "95"): 10,
        ("unemployed", "22"): 20,
        ("95", "out_of_labor_force"): 8,
    }
    rows, moves = prepared.ledger.entries
    assert (rows.rows_in, rows.rows_out, rows.dropped) == (8, 7, {"nobody counted": 1})
    assert (moves.rows_in, moves.rows_out) == (190, 178) and moves.altered == {"shared among several targets": 140}
    assert list(moves.dropped.values()) == [7, 5]
    assert prepared.limits.stays and not prepared.limits.beginnings and not prepared.limits.calendar
    assert {"in_school", "not_working", "475"} <= set(prepared.limits.lacks)
    assert not {"unemployed", "out_of_labor_force", "4", "22", "95"} & set(prepared.limits.lacks)


CODES = ["0010", "0050", "1000", "9999"]
moves_of_pairs = st.dictionaries(
    st.tuples(st.sampled_from(CODES), st.sampled_from(CODES)), st.integers(0, 1000), min_size=1
)
targets = st.dictionaries(
    st.tuples(st.sampled_from(CODES[:3]), st.sampled_from(["4", "22", "95"])), st.integers(1, 9), min_size=1
)


@settings(max_examples=25, deadline=None)
@given(moves_of_pairs, targets)
def test_the_weight_of_each_pair_is_the_count_times_the_weights_of_the_crosswalk(counts, crosswalk):
    table = pd.DataFrame([(a, b, count) for (a, b), count in counts.items()], columns=["a", "b", "n"])
    pairs = pd.DataFrame(
        [(code, t, w) for (code, t), w in crosswalk.items()], columns=["source", "occ1990dd", "weight"]
    )
    share = pairs.assign(weight=pairs["weight"] / pairs.groupby("source")["weight"].transform("sum"))
    expected: dict[tuple[str, str], float] = {}
    for a, b, count in table.itertuples(index=False):
        for _, x, v in share[share["source"] == a].itertuples(index=False):
            for _, y, w in share[share["source"] == b].itertuples(index=False):
                part = count * v * w if a != b else count * v * (x == y)
                expected[x, y] = expected.get((x, y), 0) + part
    if not any((table["a"] == table["b"]) & (table["n"] > 0)):
        expected = {pair: weight for pair, weight in expected.items() if pair[0] != pair[1]}
    expected = {pair: weight for pair, weight in expected.items() if weight}
    if not expected:
        with pytest.raises(ValueError, match="no move is left|nobody"):
            from_moves(table, origin="a", destination="b", count="n", crosswalk=pairs)
        return
    prepared = from_moves(table, origin="a", destination="b", count="n", crosswalk=pairs)
    assert weights(prepared) == pytest.approx(expected)
    last = [entry for entry in prepared.ledger.entries if entry.unit == "moves"][-1]
    assert last.rows_out == pytest.approx(sum(expected.values()), abs=2)


def test_labels_that_nobody_knows_are_kept_and_said():
    table = {"origin": ["95", "nursee"], "destination": ["unemployed", "95"], "count": [5, 3]}
    kept = "before that are no occ1990dd code, and stay as they are: 1, of which the largest are nursee (3)"
    assert from_moves(table).ledger.notes[:-1] == [f"occupations {kept}"]
    titled = from_moves(table | {"origin": ["Registered nurses", "nursee"]}, titles={"Registered nurses": "95"})
    no_title = [note for note in titled.ledger.notes if "no title" in note]
    assert titled.ledger.notes[:-1] == [*no_title, f"occupations {kept}"]
    assert "nursee (3)" in no_title[0] and "95 (3)" in no_title[1]


def test_employment_shares_out_targets_on_top_of_the_crosswalk(tmp_path):
    (tmp_path / "shares.csv").write_text("occ1990dd,share\n4,1\n22,9\n", encoding="utf-8")
    table = {"origin": ["01", "03"], "destination": ["02", "03"], "count": [12, 5]}
    prepared = from_moves(table, crosswalk=CROSSWALK, shares=tmp_path / "shares.csv")
    # .75 x 1 against .25 x 9; the one target of 03 has no employment, and keeps all.
    assert weights(prepared) == pytest.approx({("4", "22"): 3.0, ("22", "22"): 9.0, ("95", "95"): 5.0})
    with pytest.raises(ValueError, match="the share of 4 is -1"):
        from_moves(table, crosswalk=CROSSWALK, shares={"4": -1})
    with pytest.raises(ValueError, match="give crosswalk= too"):
        from_moves(table, shares={"4": 1})


def test_matrices_titles_and_files_are_read_as_tables_are(tmp_path):
    matrix = pd.DataFrame([[5, 2], [0, 1]], index=["Cooks", "Pilots"], columns=["Cooks", "Pilots"])
    expected = {("1", "1"): 5, ("1", "07"): 2, ("07", "07"): 1}
    assert weights(from_moves(matrix, titles={"cooks": "1", "PILOTS": "07"})) == expected
    table = matrix.rename_axis(index="before").reset_index().melt("before", var_name="after", value_name="people")
    table.to_csv(tmp_path / "moves_of_1990.csv.gz", index=False)
    (tmp_path / "titles.csv").write_text("code,title\n1,Cooks\n07,Pilots\n", encoding="utf-8")
    columns = {"origin": "before", "destination": "after", "count": "people"}
    prepared = from_moves(tmp_path / "moves_of_1990.csv.gz", titles=tmp_path / "titles.csv", year=1989, **columns)
    assert weights(prepared) == expected and prepared.limits.calendar
    assert sorted(prepared.careers["person"]) == [f"counts:moves_of_1990:{pair}" for pair in ("07>07", "1>07", "1>1")]
    assert prepared.careers[0]["year"] == [1989, 1990]
    table["people"] = table["people"].astype(float)
    table.to_parquet(tmp_path / "moves.parquet")
    assert weights(from_moves(tmp_path / "moves.parquet", **columns)) == {
        ("Cooks", "Cooks"): 5, ("Cooks", "Pilots"): 2, ("Pilots", "Pilots"): 1,
    }  # fmt: skip


def test_groups_of_people_and_years_have_careers_of_their_own():
    table = {
        "origin": ["a", "a", "a"], "destination": ["b", "b", "b"], "count": [1, 2, 4],
        "year": ["1990", "1990", "1991"], "gender": ["male", "female", None], "education": ["college", None, None],
    }  # fmt: skip
    prepared = from_moves(table, year_column="year", covariates=["gender", "education"], gap=2)
    rows = {row["weight"][1]: row for row in prepared.careers}
    assert rows[1]["gender"] == "male" and rows[1]["education"] == ["college", "college"]
    assert rows[2]["year"] == [1990, 1992] and rows[4]["year"] == [1991, 1993]
    assert rows[4]["gender"] is None and rows[4]["race"] is None and rows[4]["education"] == [None, None]
    assert all(row["weight"][0] == 0 for row in rows.values()) and prepared.limits.calendar


def test_stays_that_a_table_cannot_have_are_not_in_the_careers():
    table = {"origin": ["01", "02"], "destination": ["02", "03"], "count": [100, 10]}
    prepared = from_moves(table, crosswalk=CROSSWALK)
    assert weights(prepared) == {("4", "22"): 75, ("22", "95"): 10} and not prepared.limits.stays
    assert prepared.ledger.dropped()["the occupation is the same before and after"] == 25
    assert weights(from_moves(TABLE, crosswalk=CROSSWALK, stays=False)).keys() == {
        ("4", "22"), ("22", "95"), ("unemployed", "22"),
    }  # fmt: skip


def test_counts_are_training_data_and_know_what_they_cannot_contain(tmp_path):
    prepared = from_moves(TABLE, crosswalk=CROSSWALK, source="onet-related")
    prepared.save(tmp_path / "careers")
    assert list(load_careers(tmp_path / "careers")) == ["train"]
    assert limits_of(tmp_path / "careers") == prepared.limits
    assert "They cannot contain" in (tmp_path / "careers" / "README.md").read_text(encoding="utf-8")
    people = from_frame({"person": [f"p{i}" for i in range(40)], "year": [1990] * 40, "occupation": ["4"] * 40})
    people.save_to_disk(tmp_path / "people")
    assert limits_of(tmp_path / "people") == Limits()
    splits = split_careers(prepared.careers)
    assert splits["train"].num_rows == prepared.careers.num_rows and are_counts(splits["train"].data["person"]).all()
    assert not are_counts(people.data["person"]).any() and split_careers(people)["test"].num_rows


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"origin": ["1"], "destination": [None], "count": [1]}, {}, "row 0, column 'destination', value None"),
        ({"origin": ["1"], "destination": ["2"], "count": [-1]}, {}, "row 0, column 'count', value -1: not a number"),
        ({"origin": ["1"], "destination": ["2"], "count": ["x"]}, {}, "value 'x': not a number of people"),
        ({"origin": ["1"], "destination": ["2"], "count": [float("nan")]}, {}, "row 0, column 'count', value"),
        ({"origin": ["1"], "destination": ["2"], "count": [0]}, {}, "no move is left"),
        ({"origin": ["1"], "to": ["2"], "count": [0]}, {}, "column 'destination' is not in the table"),
        ({"origin": [], "destination": [], "count": []}, {}, "^the table has no rows: give one for each pair"),
        (pd.DataFrame({"origin": ["1"], "to": ["2"], "n": [1]}), {}, r"only \['origin', 'to', 'n'\]: .* destination="),
        ("no/such/file.csv", {}, "^there is no file no/such/file.csv$"),
        (TABLE.drop(columns="count"), {}, "no column 'count', only .*give count=None if every row counts once"),
        (TABLE, {"covariates": ["sex"]}, r"'sex' is not in the table, whose columns are \['origin', 'destination'"),
        (pd.DataFrame({"from": ["1"], "to": ["2"]}), {}, "the table has no column 'origin', only"),
        (TABLE, {"source": "nobody"}, "there is no source 'nobody'"),
        (TABLE, {"crosswalk": "census1890"}, "there is no crosswalk from 'census1890'"),
        (TABLE, {"year": 1990, "year_column": "year"}, "are both given"),
        (TABLE, {"covariates": ["weight"]}, "reserved name"),
        (TABLE, {"states": {"nilf": "unemployed"}}, "states= names 'nilf', which no row of the table has"),
        (TABLE, {"states": {"out": "martian"}}, "states= makes 'out' the state 'martian', which does not exist: "),
        (TABLE, {"year": -5}, "year is -5, and must be a whole number between 0 and 2,999"),
        (TABLE.assign(y=9999), {"year_column": "y"}, "row 0, column 'y', value 9999: not a year"),
        (TABLE, {"titles": {"cooks": "1"}}, "no label of the table is a title"),
        (TABLE, {"crosswalk": CROSSWALK, "shares": {"5": 1}}, "shares= has no target of the crosswalk"),
        (TABLE, {"year_column": "origin"}, "not a year"),
        (TABLE, {"crosswalk": CROSSWALK[CROSSWALK["source"] == "04"]}, "no move is left|crosswalk"),
    ],
)
def test_what_is_no_table_of_moves_is_said_in_one_line(table, options, message):
    with pytest.raises(ValueError, match=message) as raised:
        from_moves(table, **options)
    assert "\n" not in str(raised.value)


OPEN_MOVES = {
    "cps-moves": (
        "cps_asec_2011_2019/cps_asec_moves",
        "census2010_last_year",
        "census2010_now",
        "people",
        "census2010",
    ),
    "gss-moves": ("gss_panels_2006_2014/gss_moves", "census2010_from", "census2010_to", "people", "census2010"),
    "denmark-moves": ("denmark_moneca/denmark_moves", "disco_from", "disco_to", "moves", "disco_occ1990dd.csv.gz"),
    "cps-flows": (
        "cps_monthly_flows_occ22/cps_monthly_flows",
        "origin_state",
        "destination_state",
        "weighted_transition_count",
        None,
    ),
    "onet-related": ("onet_related/onet_related", "onet_soc", "related_onet_soc", None, "onet_soc2010"),
}


@pytest.mark.parametrize("source", OPEN_MOVES)
def test_published_counts_are_those_of_their_tables(shared, source):
    if not (folder := shared / "data" / "open_moves").is_dir():
        pytest.skip("no published counts of moves among the shared data")
    name, origin, destination, count, crosswalk = OPEN_MOVES[source]
    file = folder / f"{name}.csv.gz"
    is_file = crosswalk is not None and crosswalk.endswith(".gz")
    coding = file.parent / crosswalk if is_file else crosswalk
    columns = {"origin": origin, "destination": destination, "count": count}
    states = {"nilf": "out_of_labor_force"} if source == "cps-flows" else {}
    prepared = from_moves(file, crosswalk=coding, states=states, source=source, **columns)
    table = pd.read_csv(file, dtype={origin: str, destination: str})
    table["n"] = table[count] if count else 1.0
    moved = table[table[origin] != table[destination]]
    stayed = table[table[origin] == table[destination]]
    if crosswalk is None:
        expected = table["n"].sum()
    else:
        pairs = pd.read_csv(coding, dtype=str) if is_file else weighted_crosswalk(crosswalk)
        share = pairs.assign(weight=pairs["weight"].astype(float)).set_index("source")["weight"]
        known = share.groupby(level=0).sum()
        of_moves = moved["n"] * known.reindex(moved[origin]).array * known.reindex(moved[destination]).array
        expected = of_moves.sum() + (stayed["n"] * stayed[origin].map(known).astype(float)).sum()
    total = sum(weights(prepared).values())
    dropped = prepared.ledger.dropped().get("the occupation is the same before and after", 0)
    assert total + dropped == pytest.approx(expected, rel=1e-6, abs=0.5)
    assert prepared.limits.stays == bool(len(stayed))
    assert prepared.source is SOURCES[source] and len(weights(prepared)) == prepared.careers.num_rows
