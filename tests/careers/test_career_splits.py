"""Splits by person or family: stable, approximately the fractions, and without leaks."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers import check_leaks, from_frame, split_careers, split_manifest


def people(n, **columns):
    names = [f"p{i}" for i in range(n)]
    columns = {name: [value(i) for i in range(n)] for name, value in columns.items()}
    return from_frame({"person": names, "year": [2000] * n, "occupation": ["a"] * n, **columns}, group="family")


def test_splits_are_approximately_the_fractions_and_lose_nobody():
    splits = split_careers(people(20_000, family=str), {"train": 0.7, "validation": 0.1, "test": 0.2})
    assert [round(split.num_rows / 20_000, 2) for split in splits.values()] == [0.7, 0.1, 0.2]
    assert sum(split.num_rows for split in splits.values()) == 20_000


def test_split_is_the_documented_hash():
    def split_of(person):
        place = int(hashlib.sha256(f"salty:{person}".encode()).hexdigest()[:16], 16) / 2**64
        return "train" if place < 0.5 else "test"

    careers = people(200, family=str).remove_columns("group")
    splits = split_careers(careers, {"train": 0.5, "test": 0.5}, salt="salty")
    for name, split in splits.items():
        assert split["person"][:] == [person for person in careers["person"] if split_of(person) == name]


@settings(max_examples=20, deadline=None)
@given(st.randoms(), st.integers(1, 60), st.integers(0, 60))
def test_split_is_stable_under_reordering_and_added_people(randomness, n, more):
    def split_of(careers):
        return {person: name for name, split in split_careers(careers).items() for person in split["person"]}

    everybody = people(n + more, family=str)
    order = list(range(n + more))
    randomness.shuffle(order)
    alone, together = split_of(everybody.select(range(n))), split_of(everybody.select(order))
    assert alone == {person: together[person] for person in alone}


def test_families_stay_together_and_another_salt_splits_otherwise():
    careers = people(1000, family=lambda i: f"f{i // 4}")
    for splits in (split_careers(careers), split_careers(careers.rename_column("group", "home"), group="home")):
        families = [{int(person[1:]) // 4 for person in split["person"]} for split in splits.values()]
        assert sum(map(len, families)) == len(set.union(*families)) == 250
    other = split_careers(careers, salt="other")
    assert set(other["test"]["person"]) != set(split_careers(careers)["test"]["person"])


def test_split_refuses_bad_fractions_and_unknown_groups():
    careers = people(10, family=str)
    with pytest.raises(ValueError, match="must sum to 1"):
        split_careers(careers, {"train": 0.7, "test": 0.2})
    with pytest.raises(ValueError, match="not be negative"):
        split_careers(careers, {"train": 1.2, "test": -0.2})
    with pytest.raises(ValueError, match="group column 'household' is not in the careers"):
        split_careers(careers, group="household")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99))
def test_check_leaks_catches_a_planted_person(i):
    careers = people(100, family=str)
    splits = {"train": careers.select(range(100)), "test": careers.select([i])}
    person = careers["person"][i]
    with pytest.raises(ValueError, match=f"person '{person}' is in both 'train' and 'test'.*split_careers"):
        check_leaks(splits)
    check_leaks(split_careers(careers))


def test_check_leaks_catches_a_planted_family():
    careers = people(4, family=lambda i: f"f{i // 2}")
    with pytest.raises(ValueError, match="group 'f1' is in both 'train' and 'test'"):
        check_leaks({"train": careers.select([0, 1, 2]), "test": careers.select([3])})


def test_manifest_holds_the_hash_of_sorted_people():
    careers = people(50, family=str).remove_columns("group")
    splits = split_careers(careers, salt="s")
    manifest = split_manifest(splits, salt="s")
    assert manifest["fractions"] == [["train", 0.7], ["validation", 0.1], ["test", 0.2]]
    assert (manifest["salt"], manifest["group"]) == ("s", None)
    expected = hashlib.sha256("\n".join(sorted(splits["test"]["person"])).encode()).hexdigest()
    assert manifest["splits"]["test"] == {"people": splits["test"].num_rows, "sha256": expected}
