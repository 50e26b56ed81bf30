"""Spells to years: against plain Python, on DuckDB and Spark, whatever is wrong with the rows."""

from __future__ import annotations

import shutil
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from spell_examples import RULES, UNREADABLE, by_person_and_year, many_spells, reference, table
from transformers.testing_utils import parse_flag_from_env

from career_hf.sources.spell_careers import spells_to_careers
from career_hf.sources.spell_rules import Recode, SpellRules
from career_hf.sources.spell_years import spells_to_years


ibis = pytest.importorskip("ibis", reason="the extra 'spells' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ibis")

written_dates = st.one_of(
    st.dates(date(1945, 1, 1), date(2014, 12, 31)).map(str),
    st.dates(date(1945, 1, 1), date(2014, 12, 31)).map(lambda day: str(day)[:7]),
    st.dates(date(1995, 1, 1), date(2014, 12, 31)).map(lambda day: f"Q{(day.month + 2) // 3} {day.year}"),
    st.dates(date(1995, 1, 1), date(2014, 12, 31)).map(lambda day: f"{day.year}-q{(day.month + 2) // 3}"),
    st.integers(1995, 2014).map(str),
    st.sampled_from(UNREADABLE),
)
spell = st.tuples(
    st.sampled_from(["ann", "bob", "cy", None]),
    st.sampled_from(["cook", "waiter", "pilot", None]),
    st.none() | written_dates,
    st.none() | st.just("present") | written_dates,
    st.sampled_from(["x", "y", None]),
    st.sampled_from(["ba", "ma", None]),
    st.booleans(),
).map(lambda row: (*row[:6], f"state of {row[0]}" if row[6] else None))
# A spell that every rule leaves as it is, because a table without one is an error.
SURE = ("zoe", "cook", "2001-03", "2003", None, "ba", None)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=st.lists(spell, max_size=60), fill=st.booleans())
def test_years_are_those_of_plain_python(rows, fill):
    rows = [*rows, SURE]
    rules = SpellRules(**{**vars(RULES), "no_occupation": "none" if fill else None})
    years, ledger = spells_to_years(table(rows), rules)
    expected = reference(rows, rules)
    with years:
        assert by_person_and_year(years) == expected
    # The ledger checks that each of its entries adds up; here that they begin and end with what there was.
    first, last = ledger.entries[0], ledger.entries[-1]
    assert (first.unit, first.rows_in) == ("spells", len(rows))
    assert (last.unit, last.rows_out) == ("years from first to last", len(expected))


def test_the_order_of_rows_is_irrelevant():
    rows = many_spells(100, seed=3)
    expected, ledger = reference(rows), spells_to_years(table(rows), RULES)[1].to_dict()
    for seed in range(2):
        years, shuffled = spells_to_years(table(np.random.default_rng(seed).permutation(rows).tolist()), RULES)
        with years:
            assert by_person_and_year(years) == expected
        assert shuffled.to_dict() == ledger


@pytest.fixture(scope="module")
def spark():
    """A real Spark session on this machine, in a time zone whose midnights do not all exist."""
    pyspark = pytest.importorskip("pyspark.sql", reason="pyspark is not installed (the extra 'spark')")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, and there is no java on the path")
    # The rows are few: what costs time is to compile plans, to adapt them and to start tasks.
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "America/Sao_Paulo",
    }
    builder = pyspark.SparkSession.builder.master("local[1]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


# Spark takes half a minute to start and to plan; a mark, so that it is not started in vain.
@pytest.mark.skipif(not parse_flag_from_env("RUN_SLOW"), reason="test is slow")
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
def test_spark_gives_the_same_rows_and_the_same_ledger(spark, tmp_path):
    rows = many_spells(100, seed=1)
    path = tmp_path / "spells.parquet"
    table(rows).to_pandas().to_parquet(path)
    recode = {
        "state": Recode({"s3": "one"}, otherwise="other", missing="none"),
        "occupation": Recode({"COOK ": "chef"}),
    }
    rules = SpellRules(**{**vars(RULES), "no_occupation": "none", "recode": recode})
    on_duckdb, ledger = spells_to_years(path, rules)
    on_spark, spark_ledger = spells_to_years(ibis.pyspark.connect(spark).read_parquet(str(path)), rules)
    with on_duckdb, on_spark:
        spark_rows = by_person_and_year(on_spark)
        assert spark_rows == by_person_and_year(on_duckdb)
        on_spark.to_parquet_dir(tmp_path / "years")
    assert spark_ledger.to_dict() == ledger.to_dict()
    plain = reference([(*row[:1], "chef" if row[1] == "cook" else row[1], *row[2:]) for row in rows], rules)
    assert parquet.read_table(tmp_path / "years").num_rows == len(spark_rows)
    region = {None: "none", "s3": "one"}
    assert spark_rows == {key: (*row[:3], region.get(row[3], "other"), row[4]) for key, row in plain.items()}
    assert {row[3] for row in spark_rows.values()} == {"one", "other", "none"}


def years_of(rows, columns=("person", "occupation", "start", "end"), **rules):
    frame = {name: list(column) for name, column in zip(columns, zip(*rows, strict=True), strict=True)}
    years, ledger = spells_to_years(frame, SpellRules(**rules))
    return {row["year"]: row["occupation"] for row in years.to_pyarrow().to_pylist()}, ledger


def test_most_days_then_earlier_start_then_alphabet():
    rows = [("a", "cook", "2001-01-01", "2001-06-30"), ("a", "waiter", "2001-06-30", "2001-12-31")]
    assert years_of(rows)[0] == {2001: "waiter"}  # 181 days against 185
    rows = [("a", "waiter", "2001-01", "2001-12"), ("a", "cook", "2000-12", "2001-12")]
    assert years_of(rows)[0] == {2000: "cook", 2001: "cook"}
    assert years_of([("a", "waiter", "2001", "2001"), ("a", "cook", "2001", "2001")])[0] == {2001: "cook"}


def test_days_of_two_spells_of_one_occupation_add_up_but_no_day_counts_twice():
    rows = [
        ("a", "cook", "2001-01", "2001-03"),
        ("a", "cook", "2001-09", "2001-12"),
        ("a", "waiter", "2001-04", "2001-08"),
    ]
    assert years_of(rows)[0] == {2001: "cook"}
    rows = [
        ("a", "cook", "2001-01", "2001-04"),
        ("a", "cook", "2001-01", "2001-04"),
        ("a", "waiter", "2001-05", "2001-12"),
    ]
    occupations, ledger = years_of(rows)
    assert occupations == {2001: "waiter"}
    assert ledger.dropped()["covers no day that other spells of the occupation leave"] == 1


ODD = {
    "no person": (None, "cook", "2001", "2002"),
    "no start": ("a", "cook", None, "2002"),
    "start cannot be read": ("a", "cook", "19x0", "2002"),
    "end cannot be read": ("a", "cook", "2001", "soon"),
    "ends before it starts": ("a", "cook", "2003", "2001"),
    "starts after 2020-06-30": ("a", "cook", "2020-07", "present"),
    "starts before 1900": ("a", "cook", "1820", "1830"),
    "more than 80 years": ("a", "cook", "1901", "2015"),
    "no occupation": ("a", " ", "2001", "2002"),
    "covers no day that other spells of the occupation leave": ("z", "cook", "2001", "2002"),
}


def test_spells_of_no_use_are_dropped_each_with_its_reason():
    years, ledger = years_of([("z", "cook", "2001", "2002"), *ODD.values()], as_of="2020-06-30")
    assert years == {2001: "cook", 2002: "cook"}
    assert ledger.entries[0].dropped == dict.fromkeys(sorted(ODD), 1)
    assert ledger.notes == [
        "not read: start '19x0' (1 spells)",
        "not read: end 'soon' (1 spells)",
        "warning: 2 of 11 spells (18.2%) are dropped because a date cannot be read",
    ]


def test_people_whose_careers_are_too_long_are_dropped():
    rows = [("z", "cook", "2001", "2002"), ("old", "cook", "1901", "1905"), ("old", "cook", "2001", "2005")]
    years, ledger = years_of(rows)
    assert years == {2001: "cook", 2002: "cook"}
    entries = [entry for entry in ledger.entries if entry.step == "drop careers too long to be true"]
    assert {entry.unit: sum(entry.dropped.values()) for entry in entries} == {"spells": 2, "people": 1}
    assert all(entry.depends_on == "future" for entry in entries)


def test_open_ends_last_until_as_of_and_later_ends_are_cut():
    rows = [("a", "cook", "2018-07", "Present"), ("b", "cook", "2018-07", "2030"), ("c", "cook", "2019", None)]
    years, ledger = spells_to_years(
        table([(*row, None, None, None) for row in rows]), SpellRules(as_of=date(2020, 2, 29))
    )
    person_years = [(row["person"], row["year"]) for row in years.order_by("person", "year").to_pyarrow().to_pylist()]
    assert person_years == [
        ("a", 2018),
        ("a", 2019),
        ("a", 2020),
        ("b", 2018),
        ("b", 2019),
        ("b", 2020),
        ("c", 2019),
        ("c", 2020),
    ]
    assert ledger.entries[0].altered == {"goes on: until 2020-02-29": 2, "ends after 2020-02-29: cut": 1}
    years, ledger = years_of(rows[1:], missing_end="drop", as_of="2020-02-29")
    assert ledger.dropped()["no end"] == 1


@pytest.mark.parametrize("end", [None, "present"])
def test_open_ends_without_as_of_are_an_error_that_names_the_person(end):
    with pytest.raises(ValueError, match=r"person 'b', column 'end', value .* as_of="):
        years_of([("a", "cook", "2001", "2002"), ("b", "cook", "2001", end)])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2001, 2003], pa.int64()),
        pa.array([2001.0, 2003.0]),
        pa.array(["2001.0", "2003.0"]),
        pa.array([date(2001, 1, 1), date(2003, 1, 1)]),
        pa.array([datetime(2001, 1, 1, 23, 59), datetime(2003, 1, 1)], pa.timestamp("ns")),
        pa.array(["2001-01-01T00:00:00", " 2003/01/01 "]),
        pa.array(["2001", "2003"]).dictionary_encode(),
    ],
    ids=str,
)
def test_dates_of_every_type(column):
    frame = pa.table({"person": [7, 7], "occupation": ["cook", "waiter"], "start": column, "end": [2002, 2003]})
    years, _ = spells_to_years(frame)
    rows = years.order_by("year").to_pyarrow().to_pylist()
    assert [(row["person"], row["year"], row["occupation"]) for row in rows] == [
        (7, 2001, "cook"),
        (7, 2002, "cook"),
        (7, 2003, "waiter"),
    ]


def test_types_that_are_no_dates_and_no_labels_are_errors():
    columns = {"person": ["a"], "occupation": ["cook"], "start": ["2001"], "end": ["2001"]}
    with pytest.raises(ValueError, match="start.* has type .*timestamp.* not a date"):
        spells_to_years(pa.table(columns | {"start": pa.array([datetime(2001, 1, 1)], pa.timestamp("us", "UTC"))}))
    with pytest.raises(ValueError, match="'occupation' has type .* not a label"):
        spells_to_years(pa.table(columns | {"occupation": [date(2001, 1, 1)]}))
    with pytest.raises(ValueError, match="column 'end' is not in the table"):
        spells_to_years(pa.table(columns).drop_columns("end"))
    with pytest.raises(ValueError, match="no spell is left"):
        spells_to_years(pa.table(columns | {"start": ["nonsense"]}))
    with pytest.raises(ValueError, match="person 'a', column 'sex', values 'f' and 'm'"):
        years_of(
            [("a", "x", "2001", "2002", "f"), ("a", "x", "2003", "2004", "m")],
            ("person", "occupation", "start", "end", "sex"),
            static=["sex"],
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"static": "sex"}, "is a text"),
        ({"static": ["year"]}, "reserved"),
        ({"static": ["sex"], "carried": ["sex"]}, "given twice"),
        ({"recode": {"sex": Recode({})}}, "recode names 'sex'"),
        ({"missing_end": "guess"}, "missing_end 'guess'"),
        ({"longest": 0}, "longest at least 1"),
        ({"as_of": "2020-13-01"}, "2020-13-01|month"),
    ],
)
def test_rules_that_make_no_sense_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpellRules(**arguments)


def test_a_degree_may_be_a_row_of_its_own_and_counts_from_its_start():
    columns = ("person", "occupation", "start", "end", "degree")
    rows = [
        ("a", "cook", "2001", "2004", "school"),
        ("a", None, "2003-06", "2003-06", "college"),
        ("a", "cook", "2005", "2005", None),
    ]
    frame = {name: list(column) for name, column in zip(columns, zip(*rows, strict=True), strict=True)}
    careers, _ = spells_to_careers(frame, SpellRules(carried={"education": "degree"}))
    assert careers[0] == {
        "person": "a",
        "year": [2001, 2002, 2003, 2004, 2005],
        "occupation": ["cook"] * 5,
        "education": ["school", "school", "college", "college", "college"],
    }
