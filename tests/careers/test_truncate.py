"""Careers cut at a year."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers import from_frame, to_frame, truncate, validate


def test_what_is_left_is_the_table_up_to_that_year(careers):
    for cutoff in range(1990, 1997):
        short, ledger = truncate(careers, cutoff)
        validate(short)
        expected = to_frame(careers)
        expected = expected[expected["year"] <= cutoff].reset_index(drop=True)
        assert to_frame(short).equals(expected)
        assert short.features == careers.features
        people, steps = ledger.entries
        assert (people.rows_in, people.rows_out) == (3, expected["person"].nunique())
        assert (steps.rows_in, steps.rows_out) == (8, len(expected))


@settings(deadline=None, max_examples=30)
@given(
    spans=st.lists(st.tuples(st.integers(1980, 1990), st.integers(1, 5)), min_size=1, max_size=6),
    cut=st.integers(0, 10),
)
def test_people_without_a_step_are_dropped_and_counted(spans, cut):
    rows = [(str(i), year) for i, (first, steps) in enumerate(spans) for year in range(first, first + steps)]
    careers = from_frame(
        {"person": [p for p, _ in rows], "year": [y for _, y in rows], "occupation": ["cook"] * len(rows)}
    )
    cutoff = min(first for first, _ in spans) + cut
    short, ledger = truncate(careers, cutoff)
    rows_left = [(p, y) for p, y in rows if y <= cutoff]
    assert [(p, y) for p, years in zip(short["person"], short["year"], strict=True) for y in years] == rows_left
    nobody = len(spans) - len({p for p, _ in rows_left})
    assert ledger.dropped() == {f"no step up to {cutoff}": nobody, f"after {cutoff}": len(rows) - len(rows_left)}


def test_rows_that_were_selected_are_cut_like_others(careers):
    chosen = careers.select([2, 0])
    short, _ = truncate(chosen, 1991)
    assert short["person"] == ["cy", "ann"] and short["year"] == [[1990, 1991], [1990]]


def test_a_cutoff_before_the_first_observation_is_an_error(careers):
    with pytest.raises(ValueError, match="nobody is observed up to 1989, which is before .* 1990"):
        truncate(careers, 1989)
