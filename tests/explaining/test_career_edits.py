"""Edited careers, what a model must know of them, and how often training saw anything like them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers import from_frame, to_frame, validate
from career_hf.encoding.collating import EncodedCareers
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.explaining.edits import Edit, check_known, edit_careers, support


EDUCATION = ["low", "high", "college"]


def careers_of(people=12, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"person": f"p{p:02d}", "year": 1980 + t, "occupation": rng.choice(["cook", "nurse", "unemployed"])}
        | {"education": rng.choice([*EDUCATION, None]), "race": "ab"[p % 2], "birth_year": str(1958 + p % 4)}
        | {"w": 1.0 + p % 3}
        for p in range(people)
        for t in range(rng.integers(2, 6))
    ]
    frame = pd.DataFrame(rows)
    return from_frame(frame, covariates=["education"], static=["race", "birth_year"], weight="w")


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    column=st.sampled_from(["education", "occupation"]),
    old=st.sampled_from([None, 0, 1]),
    since=st.one_of(st.none(), st.tuples(st.sampled_from(["from_year", "from_age"]), st.integers(0, 5))),
)
def test_an_edit_is_what_a_loop_over_rows_does(seed, column, old, since):
    careers = careers_of(seed=seed)
    frame = to_frame(careers)
    to, named = ("college", EDUCATION[:2]) if column == "education" else ("cook", ["nurse", "unemployed"])
    new = to if old is None else {named[old]: to}
    start = {} if since is None else {since[0]: since[1] + {"from_year": 1980, "from_age": 20}[since[0]]}
    what = {"covariates": {"education": new}} if column == "education" else {"occupations": new}
    edited, ledger = edit_careers(careers, Edit(**what, **start))
    validate(edited)

    expected, changed = [], 0
    for row in frame.to_dict("records"):
        clock = row["year"] - (int(row["birth_year"]) if "from_age" in start else 0)
        value = row[column]
        if clock >= next(iter(start.values()), -1) and (old is None or value == named[old]):
            value = to
        changed += value is not row[column] and value != row[column]
        expected.append({**row, column: value})
    pd.testing.assert_frame_equal(to_frame(edited), pd.DataFrame(expected), check_dtype=False)
    steps = next(entry for entry in ledger.entries if entry.unit == "person-years")
    assert sum(steps.altered.values()) == changed and steps.rows_in == len(frame)


def test_what_does_not_change_over_a_career_is_edited_in_all_of_it():
    careers = careers_of()
    edited, ledger = edit_careers(careers, Edit({"race": {"a": "b"}}))
    assert set(edited["race"]) == {"b"} and edited["education"][:] == careers["education"][:]
    assert ledger.entries[0].altered == {"race: a to b": 6}
    with pytest.raises(ValueError, match="'race' does not change over a career"):
        edit_careers(careers, Edit({"race": "b"}, from_year=1981))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda: Edit({}), "changes nothing"),
        (lambda: Edit({"year": "1990"}), "year is held fixed"),
        (lambda: Edit({"education": "low"}, from_year=1980, from_age=20), "not both"),
        (lambda: Edit({"schooling": "low"}), "no covariate 'schooling'"),
        (lambda: Edit({"weight": "2"}), "no covariate 'weight'"),
        (lambda: Edit({"education": {"lo": "high"}}), "no career has 'lo' in column 'education'"),
    ],
)
def test_edits_that_cannot_be_made_say_so(edit, message):
    with pytest.raises(ValueError, match=message):
        edit_careers(careers_of(), edit())


def test_ages_need_years_of_birth():
    careers = careers_of()
    with pytest.raises(ValueError, match="need a column birth_year"):
        edit_careers(careers.remove_columns("birth_year"), Edit(occupations="cook", from_age=20))
    born = [None, *careers["birth_year"][1:]]
    unknown = careers.remove_columns("birth_year").add_column("birth_year", born)
    with pytest.raises(ValueError, match="person 'p00', column 'birth_year', value None"):
        edit_careers(unknown, Edit(occupations="cook", from_age=20))


def test_a_model_must_know_what_an_edit_writes():
    careers = careers_of()
    processor = CareerProcessor.fit(careers, covariates=["year", "education"], unknown_occupation="unknown")
    processor.record_training(processor.encode(careers)[0], "training")
    check_known(Edit({"education": "college"}, occupations="cook"), processor)
    for edit, message in [
        (Edit({"race": "a"}), "no covariate 'race'"),
        (Edit({"education": "doctorate"}), "'doctorate' of 'education' is not known"),
        (Edit(occupations={"cook": "pilot"}), "'pilot' of 'occupation' is not known"),
        (Edit(occupations="<start>"), "'<start>' of 'occupation' is not known"),
        (Edit(occupations="unknown"), "'unknown' of 'occupation' was never seen"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_known(edit, processor)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), fewest=st.integers(1, 6))
def test_support_counts_combinations_as_a_loop_does(seed, fewest):
    careers, training = careers_of(seed=seed), careers_of(people=9, seed=seed + 1)
    processor = CareerProcessor.fit(careers_of(60), covariates=["year", "education", "race"])
    edited, _ = edit_careers(careers, Edit({"education": "college"}, from_year=1981))
    encoded = [EncodedCareers(processor.encode(some)[0]) for some in (careers, edited, training)]
    table = support(*encoded, processor, fewest).set_index("combination")

    def rows(some):
        frame = to_frame(some)
        frame["previous occupation"] = frame.groupby("person")["occupation"].shift().fillna("(start)")
        return frame.assign(education=frame["education"].fillna("missing"))

    before, after, seen = rows(careers), rows(edited), rows(training)
    changed = (before["education"] != after["education"]).to_numpy()
    for combination, row in table.iterrows():
        names = ["year", "education", "race"] if combination == "all covariates" else combination.split(", ")
        counts = seen[names].value_counts()
        times = [counts.get(tuple(values), 0) for values in after.loc[changed, names].to_numpy()]
        assert row["rows"] == changed.sum() and row["people"] == after["person"][changed].nunique()
        assert row["rare"] == sum(n < fewest for n in times) and row["never"] == times.count(0)
    assert {"education", "year, education", "previous occupation, education", "all covariates"} <= set(table.index)


def test_support_of_an_edited_occupation_is_about_what_follows_it():
    careers = careers_of()
    processor = CareerProcessor.fit(careers, covariates=["year"])
    edited, _ = edit_careers(careers, Edit(occupations={"nurse": "cook"}))
    encoded = [EncodedCareers(processor.encode(some)[0]) for some in (careers, edited, careers)]
    table = support(*encoded, processor).set_index("combination")
    frame = to_frame(careers)
    followed = frame["person"].eq(frame["person"].shift(-1)) & frame["occupation"].eq("nurse")
    assert table.index.tolist() == ["previous occupation", "previous occupation, year"]
    assert (table["rows"] == followed.sum()).all()
