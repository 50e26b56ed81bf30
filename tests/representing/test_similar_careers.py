"""Nearest careers against a whole matrix of similarities, and what is said about them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity
from typer.testing import CliRunner

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame, save_careers, split_careers
from career_hf.cli.app import app
from career_hf.representing import similar_careers as module
from career_hf.representing.representations import representations
from career_hf.representing.similar_careers import (
    career_map,
    describe_clusters,
    first_years,
    in_words,
    most_similar_pairs,
    nearest,
    occupations_held,
    similar,
    similar_careers,
)


def careers_of(people=30, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {
            "person": f"p{p}",
            "year": 1990 + 2 * t,
            "occupation": f"job {rng.integers(12)}",
            "region": rng.choice(["s", "w"]),
        }
        | {"gender": "fm"[p % 2], "log_wage": rng.normal()}
        for p in range(people)
        for t in range(1 + p % 5)
    ]
    frame = pd.DataFrame(rows)
    return frame, from_frame(frame, covariates=["region"], static=["gender"], outcomes=["log_wage"])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 100), st.integers(2, 25), st.integers(1, 30), st.booleans(), st.integers(1, 200))
def test_the_nearest_are_those_of_the_whole_matrix(seed, people, neighbours, filtered, block):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(people, 3)).astype(np.float32)
    held = rng.random((people, 6)) < 0.2
    rows = rng.permutation(people)[: max(1, people // 2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SIMILARITIES", block)
        matrix = sparse.csr_array(held.astype(np.float32)) if filtered else None
        places, similarity = nearest(values, rows, neighbours, matrix)
    whole = cosine_similarity(values.astype(np.float64))
    assert places.shape == similarity.shape == (len(rows), min(neighbours, people - 1))
    for row, nearest_places, at in zip(rows, places, similarity, strict=True):
        others = [j for j in range(people) if j != row and not (filtered and (held[row] & held[j]).any())]
        expected = sorted(others, key=lambda j: -whole[row, j])[: len(nearest_places)]
        # Equal up to ties, which float32 may break otherwise.
        np.testing.assert_allclose(at[: len(expected)], whole[row, expected], atol=1e-5)
        np.testing.assert_allclose(whole[row, nearest_places[: len(expected)]], whole[row, expected], atol=1e-5)
        assert set(nearest_places[: len(expected)]) <= set(others) and len(
            set(nearest_places[: len(expected)])
        ) == len(expected)
        assert (nearest_places[len(expected) :] == -1).all() and np.isneginf(at[len(expected) :]).all()


def test_the_most_similar_pairs_are_those_of_the_whole_matrix():
    frame, careers = careers_of(60)
    values = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    whole = cosine_similarity(values.astype(np.float64))
    jobs = frame.groupby("person", sort=False)["occupation"].agg(set)
    people = list(careers["person"])
    for held in (None, occupations_held(careers)):
        allowed = [
            (whole[i, j], {people[i], people[j]})
            for i in range(60)
            for j in range(i)
            if held is None or not jobs[people[i]] & jobs[people[j]]
        ]
        best = sorted(allowed, key=lambda pair: -pair[0])[:15]
        pairs = most_similar_pairs(careers, values, 15, held)
        np.testing.assert_allclose(pairs["similarity"], [similarity for similarity, _ in best], atol=1e-5)
        assert [set(pair) for pair in pairs[["person", "neighbour"]].to_numpy()] == [pair for _, pair in best]


def test_who_has_held_what():
    frame, careers = careers_of()
    people, labels = list(careers["person"]), list(dict.fromkeys(np.concatenate(careers["occupation"][:])))
    for timing in ("including", "before"):
        held = occupations_held(careers, timing, ignored=["job 3"]).toarray()
        of_person = frame.groupby("person")["occupation"].agg(list)
        for person, row in zip(people, held, strict=True):
            years = of_person[person] if timing == "including" else of_person[person][:-1]
            assert {labels[i] for i in np.flatnonzero(row)} == set(years) - {"job 3"}
        assert set(np.unique(held)) == {0, 1}


def test_neighbours_are_named_with_their_careers():
    frame, careers = careers_of()
    values = np.random.default_rng(1).normal(size=(len(careers), 4)).astype(np.float32)
    table = similar_careers(careers, values, ["p7", "p2"], neighbours=3, names={"job 1": "cook"})
    assert table["person"].tolist() == ["p7"] * 3 + ["p2"] * 3
    people = list(careers["person"])
    for row in table.itertuples():
        a, b = values[people.index(row.person)], values[people.index(row.neighbour)]
        assert row.similarity == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)
        assert row.career == in_words(careers, [people.index(row.neighbour)], {"job 1": "cook"})[0]
    with pytest.raises(ValueError, match="person 'nobody' is not among the 30 careers"):
        similar_careers(careers, values, ["nobody"])
    with pytest.raises(ValueError, match="30 careers have 29 rows"):
        similar_careers(careers, values[1:], ["p1"])
    with pytest.raises(ValueError, match="30 careers have 0 rows"):
        most_similar_pairs(careers, np.array("x"))


def test_careers_in_words():
    rows = {"year": [1979, 1980, 1982, 1983], "occupation": ["school", "school", "22", "school"], "person": [1] * 4}
    assert in_words(from_frame(rows), [0], {"22": "lawyer"}) == ["school 1979-1980, lawyer 1982, school 1983"]


def test_first_years_are_those_of_people_who_have_as_many():
    frame, careers = careers_of()
    cut = first_years(careers, 3)
    assert cut.features == careers.features
    expected = frame[frame.groupby("person").cumcount() < 3]
    expected = expected[expected.groupby("person")["year"].transform("size") == 3]
    for name in ("year", "occupation", "region", "log_wage"):
        assert np.concatenate(cut[name][:]).tolist() == expected.sort_values(["person", "year"])[name].tolist()
    assert cut["gender"][:] == [careers["gender"][i] for i, years in enumerate(careers["year"]) if len(years) >= 3]
    with pytest.raises(ValueError, match="the longest career has 5"):
        first_years(careers, 6)


def test_clusters_are_described_by_what_others_hold_less():
    rows = [
        {"person": p, "year": 2000 + t, "occupation": job}
        for p in range(30)
        for t, job in enumerate(["school", "cook", "waiter"] if p < 10 else ["school", "nurse"])
    ]
    table = describe_clusters(from_frame(pd.DataFrame(rows)), np.repeat([4, 1, 1], 10), occupations=2)
    assert table.index.tolist() == [1, 4]
    assert table["people"].tolist() == [20, 10] and table["years"].tolist() == [2, 3]
    assert table.loc[1, "typical"].startswith("nurse 100%") and table.loc[4, "typical"] == "cook 100%, waiter 100%"


def test_a_map_keeps_apart_what_is_apart_and_places_everybody():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 60)
    directions = np.eye(8)[group] * 5
    values = ((directions + rng.normal(size=(120, 8))) * rng.uniform(0.1, 10, (120, 1))).astype(np.float32)
    places = career_map(values, sample=80)
    assert places.shape == (120, 2)
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (group[distance.argmin(axis=1)] == group).mean() > 0.95
    np.testing.assert_array_equal(places, career_map(values, sample=80))


def test_the_verb_takes_careers_as_they_are_and_keeps_who_has_no_neighbour():
    _, careers = careers_of(80)
    processor = CareerProcessor.fit(careers, covariates=["year", "region"])
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes)).eval()
    values = representations(model, careers, processor, timing="including", steps="last")
    expected = similar_careers(careers, values, ["p7", "p3"], neighbours=2)
    table = similar((model, processor), careers, ["p7", "p3"], neighbours=2)
    pd.testing.assert_frame_equal(table, expected)
    places = [list(careers["person"]).index(person) for person in ("p7", "p3")]
    assert table.attrs["careers"] == dict(zip(["p7", "p3"], in_words(careers, places), strict=True))
    # Whoever shares an occupation with everybody else has no neighbour, and is not lost.
    rows = [{"person": p, "year": 1990 + t, "occupation": ["cook", "nurse"][t]} for p in "abc" for t in range(2)]
    cooks = from_frame(pd.DataFrame(rows))
    counted = CareerProcessor.fit(cooks, covariates=["year"])
    alone = CareerForOccupationPrediction(CareerConfig(**counted.config_kwargs(), **sizes)).eval()
    nobody = similar((alone, counted), cooks, "a", nothing_in_common=True)
    assert len(nobody) == 0 and nobody.attrs["careers"] == {"a": "cook 1990, nurse 1991"}


def test_the_command_prints_the_neighbours(tmp_path):
    _, careers = careers_of(80)
    splits = split_careers(careers)
    save_careers(splits, tmp_path / "careers")
    processor = CareerProcessor.fit(splits["train"], covariates=["year", "region"], unknown_occupation="unknown")
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes)).eval()
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")

    def run(*options):
        given = ["similar", str(tmp_path / "model"), "--data", str(tmp_path / "careers"), *options]
        return CliRunner().invoke(app, given, terminal_width=500, env={"COLUMNS": "500"})

    test = first_years(splits["test"], 2)
    person = test["person"][0]
    values = representations(model, test, processor, timing="including", steps="last", unknown_levels="missing")
    expected = similar_careers(
        test, values, [person], neighbours=3, held_occupations=occupations_held(test, ignored=["job 1"])
    )
    options = ["--person", person, "--neighbours", "3", "--years", "2", "--nothing-in-common", "--ignored", "job 1"]
    printed = run(*options)
    assert printed.exit_code == 0, printed.output
    lines = [f"person {person}: {in_words(test, [0])[0]}"]
    lines += [f"{row.similarity:6.3f}  person {row.neighbour}: {row.career}" for row in expected.itertuples()]
    assert printed.stdout.splitlines() == lines
    trained_on = splits["train"]["person"][0]
    assert "is in the split 'train'" in run("--person", trained_on).output.replace("\n", " ")
    assert "not among the careers" in run("--person", "nobody").output.replace("\n", " ")
    assert "chef" in run("--person", person, "--ignored", "job 1,chef").output
    assert run("--person", trained_on, "--split", "all").exit_code == 0
