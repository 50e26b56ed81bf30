"""Rare careers, compared with counting person by person."""

from __future__ import annotations

from collections import defaultdict

import pandas as pd
import pytest
from datasets import concatenate_datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers import from_frame, from_moves
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.sharing.rare_careers import are_recorded, rare_careers, small_counts


def make(histories):
    rows = [
        {"person": f"p{p:02d}", "year": 1990 + t, "occupation": occupation, "gender": gender}
        for p, (gender, history) in enumerate(histories)
        for t, occupation in enumerate(history)
    ]
    return from_frame(pd.DataFrame(rows), static=["gender"])


def by_hand(histories, cells_of, k):
    """Cells, rare and unique ones, people and those in a rare cell."""
    people = defaultdict(set)
    for p, (gender, history) in enumerate(histories):
        for cell in cells_of(gender, history):
            people[cell].add(p)
    rare = [who for who in people.values() if len(who) < k]
    everybody = set().union(*people.values()) if people else set()
    return [
        len(people),
        len(rare),
        sum(len(who) == 1 for who in people.values()),
        len(everybody),
        len(set().union(*rare)) if rare else 0,
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from(["f", "m"]), st.lists(st.sampled_from("abc"), min_size=1, max_size=4)),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 4),
)
@settings(max_examples=25, deadline=None)
def test_cells_are_counted_as_by_hand(histories, k):
    table = rare_careers(make(histories), ["gender"], k)
    kinds = {
        "occupation": lambda gender, h: h,
        "move": lambda gender, h: [(a, b) for a, b in zip(h, h[1:], strict=False) if a != b],
        "first 2 occupations": lambda gender, h: [tuple(h[:2])] if len(h) > 1 else [],
        "whole career": lambda gender, h: [tuple(h)],
        "gender level": lambda gender, h: [gender],
        "gender and occupation": lambda gender, h: [(o, gender) for o in h],
    }
    for kind, cells_of in kinds.items():
        numbers = table.loc[kind, ["cells", "rare cells", "unique cells", "people", "people in a rare cell"]].tolist()
        assert numbers == by_hand(histories, cells_of, k), kind
    assert table.attrs == {"k": k, "people": len(histories)}


def test_what_a_checkpoint_stores_of_few(careers):
    processor = CareerProcessor.fit(careers, ["year", "gender"])
    assert not are_recorded(careers, processor) and small_counts(processor).empty
    processor.record_training(processor.encode(careers)[0], "training")
    assert are_recorded(careers, processor) and not are_recorded(careers.select([0, 1]), processor)
    table = small_counts(processor, 2, rare_careers(careers, processor.covariate_names, 2))
    assert table.loc["1 training: occupation"].tolist() == [4, 2, 2]  # pilot and nurse, once each
    assert table.loc["1 training: gender", "of fewer than 2 people"] == 2  # cy has none


def test_bad_input_is_named(careers):
    with pytest.raises(ValueError, match="no column 'race'"):
        rare_careers(careers, ["race"])
    with pytest.raises(ValueError, match="k is 0"):
        rare_careers(careers, k=0)


def test_counts_of_moves_are_no_people_who_could_be_disclosed():
    people = make([("f", ["cook", "waiter"]), ("m", ["cook", "cook"])])
    counts = from_moves({"origin": ["cook"], "destination": ["pilot"], "count": [7]}).careers
    both = concatenate_datasets([people, counts.select_columns(["person", "year", "occupation", "gender"])])
    pd.testing.assert_frame_equal(rare_careers(both, ["gender"], k=3), rare_careers(people, ["gender"], k=3))
    assert (rare_careers(counts, k=3) == 0).all(axis=None)
