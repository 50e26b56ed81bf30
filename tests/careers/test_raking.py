"""Raking: margins are met, as iterative proportional fitting meets them; weights reach training and metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers import from_frame, load_careers, save_careers, split_careers, split_manifest
from career_hf.careers.raking import margins_of, rake
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import perplexity
from career_hf.evaluation.transition_table import transition_table
from career_hf.rivals.markov import MarkovForOccupationPrediction


pytest.importorskip("svy")


def corpus(people=80, seed=0, weighted=False, missing=0.0):
    """Careers with a gender, a cohort and an education that rises; everybody's last level is what counts."""
    rng = np.random.default_rng(seed)
    rows = []
    for p in range(people):
        fixed = {"person": f"{p:03d}", "gender": "mw"[p % 5 == 0], "cohort": "abc"[rng.integers(3)]}
        if weighted:
            fixed["w"] = 0.5 + p % 4
        level = int(rng.integers(2))
        for t in range(3):
            level = min(2, level + int(rng.integers(2)))
            education = None if rng.random() < missing else ["low", "middle", "high"][level]
            rows.append(fixed | {"year": 2000 + t, "occupation": "xyz"[rng.integers(3)], "education": education})
    weight = {"weight": "w"} if weighted else {}
    return from_frame(pd.DataFrame(rows), covariates=["education"], static=["gender", "cohort"], **weight)


def fitted_by_hand(levels, start, margins, rounds=300):
    """Iterative proportional fitting in a few lines (Deming and Stephan, 1940)."""
    weight = start / start.sum()
    targets = [(levels[name].to_numpy(), shares) for name, shares in margins.items()]
    for _ in range(rounds):
        for labels, shares in targets:
            for level, share in shares.items():
                weight[labels == level] *= share / sum(shares.values()) / weight[labels == level].sum()
            weight = weight / weight.sum()
    return weight / weight.mean()


def latest(careers):
    return pd.DataFrame(
        {"gender": careers["gender"][:], "cohort": careers["cohort"][:]}
        | {"education": [[level for level in person if level][-1] for person in careers["education"]]}
    )


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000),
    weighted=st.booleans(),
    spread=st.floats(0.3, 1.2),
    total=st.floats(0.5, 2),
)
def test_weights_are_those_of_iterative_proportional_fitting(seed, weighted, spread, total):
    careers = corpus(seed=seed, weighted=weighted)
    levels = latest(careers)
    # Margins of some weights can be met; margins drawn one by one may contradict each other.
    target = np.exp(spread * np.random.default_rng(seed + 1).normal(size=len(careers)))
    margins = {
        name: (total * pd.Series(target / target.sum()).groupby(levels[name]).sum()).to_dict() for name in levels
    }
    raked = rake(careers, margins)
    weight = np.array(raked.careers["weight"][:])
    start = np.array(careers["weight"][:]) if weighted else np.ones(len(careers))
    np.testing.assert_allclose(weight, fitted_by_hand(levels, start, margins), rtol=1e-4)
    assert weight.mean() == pytest.approx(1)
    np.testing.assert_allclose(raked.margins["after"], raked.margins["target"], rtol=1e-5)
    assert raked.margins.groupby("margin")[["before", "after", "target"]].sum().to_numpy() == pytest.approx(1)
    assert raked.effective_sample_size == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert 1 < raked.effective_sample_size <= len(careers) and raked.largest == weight.max()
    unweighted = raked.careers.remove_columns("weight")
    assert unweighted[:] == (careers.remove_columns("weight") if weighted else careers)[:]


def test_margins_of_a_survey_are_its_weighted_shares_and_raking_to_ones_own_changes_nothing():
    survey = corpus(weighted=True)
    levels, weight = latest(survey), np.array(survey["weight"][:])
    margins = margins_of(survey, ["gender", "education"])
    assert margins["gender"]["w"] == pytest.approx(weight[levels["gender"] == "w"].sum() / weight.sum())
    raked = rake(survey, margins)
    np.testing.assert_allclose(raked.careers["weight"][:], weight / weight.mean(), rtol=1e-5)
    after = rake(corpus(60, seed=3), margins).margins.set_index(["margin", "level"])["after"]
    assert after["education", "high"] == pytest.approx(margins["education"]["high"], rel=1e-5)


def test_margins_of_other_columns_come_from_a_frame_of_people():
    careers = corpus()
    people = pd.DataFrame(
        {
            "person": careers["person"][:],
            "gender_and_cohort": [f"{g}, {c}" for g, c in zip(careers["gender"], careers["cohort"], strict=True)],
        }
    )
    target = {"gender_and_cohort": {level: 1 / 6 for level in people["gender_and_cohort"].unique()}}
    raked = rake(careers, target, people=people.sample(frac=1, random_state=0))
    weight = pd.Series(raked.careers["weight"][:]).groupby(people["gender_and_cohort"]).sum()
    np.testing.assert_allclose(weight / weight.sum(), 1 / 6, rtol=1e-5)
    with pytest.raises(ValueError, match="has two rows in the frame of people"):
        rake(careers, target, people=pd.concat([people, people.head(1)]))


def test_people_without_a_level_are_refused_or_left_out_and_counted():
    careers = corpus(missing=0.8)
    nobody = [not any(levels) for levels in careers["education"]]
    assert 10 < sum(nobody) < 70
    with_levels = careers.select(np.flatnonzero(~np.array(nobody)))
    margins = margins_of(with_levels, ["education", "gender"])
    with pytest.raises(
        ValueError, match=rf"person '{careers['person'][nobody.index(True)]}' \({sum(nobody)} in all\)"
    ):
        rake(careers, margins)
    raked = rake(careers, margins, drop_missing=True)
    assert raked.careers["person"][:] == with_levels["person"][:]
    assert raked.ledger.dropped() == {"no level of a margin is known": sum(nobody)}


def test_large_weights_are_trimmed_or_it_is_said_that_they_cannot_be():
    careers, margins = corpus(), {"gender": {"m": 0.5, "w": 0.5}, "cohort": {"a": 0.2, "b": 0.2, "c": 0.6}}
    free = rake(careers, margins)
    trimmed = rake(careers, margins, largest=0.9 * free.largest)
    assert trimmed.largest <= 0.9 * free.largest * (1 + 1e-4)
    np.testing.assert_allclose(trimmed.margins["after"], trimmed.margins["target"], rtol=1e-4)
    assert next(iter(trimmed.ledger.entries[0].altered.values())) > 0
    with pytest.raises(ValueError, match=r"cannot all be met with weights up to 2 times the mean: margin 'gender'"):
        rake(careers, margins, largest=2)


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ({}, "no margins"),
        ({"gender": {"m": 0.5, "w": 0.0}}, "margin 'gender': level 'w' has share 0.0"),
        ({"gender": {"m": 0.5, "w": 0.4, "x": 0.1}}, "margin 'gender': nobody has level 'x'"),
        ({"gender": {"m": 1.0}}, "margin 'gender': 16 people have level 'w', which has no share"),
        ({"region": {"m": 1.0}}, "margin 'region' is no column"),
        ({"year": {"2000": 1.0}}, "margin 'year' is no column of labels"),
    ],
)
def test_margins_that_make_no_sense_say_so(margins, message):
    with pytest.raises(ValueError, match=message):
        rake(corpus(), margins)


def test_margins_that_contradict_each_other_name_one():
    frame = {"person": range(4), "year": [2000] * 4, "occupation": ["x"] * 4, "g": list("aabb"), "h": list("xxyy")}
    careers = from_frame(frame, static=["g", "h"])
    with pytest.raises(ValueError, match="cannot all be met: margin '[gh]'"):
        rake(careers, {"g": {"a": 0.3, "b": 0.7}, "h": {"x": 0.5, "y": 0.5}})


def test_weights_reach_training_and_metrics():
    careers = corpus()
    raked = rake(careers, {"gender": {"m": 0.2, "w": 0.8}}).careers
    processor = CareerProcessor.fit(raked, covariates=[])
    encoded, _ = processor.encode(raked)
    assert np.mean(encoded["weight"]) == pytest.approx(1)  # careers are equally long here
    chain = MarkovForOccupationPrediction.fit(encoded, processor, first_order_weight=1.0, weighted=True)
    plain_processor = CareerProcessor.fit(careers, covariates=[], occupations=processor.occupations[2:])
    plain = MarkovForOccupationPrediction.fit(
        plain_processor.encode(careers)[0], plain_processor, first_order_weight=1.0
    )
    ours = transition_table(chain, raked, processor)
    theirs = transition_table(plain, raked, plain_processor)
    # Of moves each is the best chain for what it was counted on: with weights, and without.
    ours, theirs = ours[ours["step"] > 0], theirs[theirs["step"] > 0]
    assert perplexity(ours, weighted=True) < perplexity(theirs, weighted=True)
    assert perplexity(ours) > perplexity(theirs)


def test_margins_by_name_of_a_survey_or_in_a_table_are_those_of_a_mapping(tmp_path):
    careers, survey = corpus(), corpus(60, seed=3)
    save_careers(split_careers(careers), tmp_path / "careers", manifest=split_manifest(split_careers(careers)))
    margins = margins_of(survey, ["gender"])
    raked = rake(tmp_path / "careers", ["gender"], survey=survey)
    shares = pd.DataFrame({"margin": "gender", "level": list(margins["gender"]), "share": margins["gender"].values()})
    for other in (rake(careers, margins), rake(careers, shares)):
        pd.testing.assert_frame_equal(raked.margins, other.margins)
    raked.save(tmp_path / "raked")
    raked.save(tmp_path / "raked")
    others = rake(corpus(seed=7), margins)
    with pytest.raises(ValueError, match="raked holds other careers: take another folder, or replace them"):
        others.save(tmp_path / "raked")
    others.save(tmp_path / "others", overwrite=True)
    assert {name: len(part) for name, part in load_careers(tmp_path / "raked").items()} == {
        name: len(part) for name, part in split_careers(careers).items()
    }
    with pytest.raises(ValueError, match="pass survey="):
        rake(careers, ["gender"])
    with pytest.raises(ValueError, match="not margin, level and share"):
        rake(careers, shares.rename(columns={"share": "count"}))


def test_levels_and_people_are_the_same_in_whatever_type_they_are_given(tmp_path):
    careers = from_frame(
        {"person": [1, 2, 3, 4], "year": [2000] * 4, "occupation": ["x"] * 4, "g": [1, 1, 2, 2]}, static=["g"]
    )
    people = pd.DataFrame({"person": [1.0, 2.0, 3.0, 4.0], "place": [7.0, 8.0, 8.0, None]})
    (tmp_path / "margins.csv").write_text("margin,level,share\ng,1.0,0.3\ng,2,0.7\n")
    expected = rake(careers, {"g": {"1": 0.3, "2": 0.7}}).margins
    for margins in ({"g": {1: 0.3, 2.0: 0.7}}, tmp_path / "margins.csv"):
        pd.testing.assert_frame_equal(rake(careers, margins).margins, expected)
    raked = rake(careers, {"place": {7: 0.5, 8: 0.5}}, people=people, drop_missing=True)
    assert raked.careers["person"][:] == ["1", "2", "3"] and raked.careers["weight"][:] == [1.5, 0.75, 0.75]
    with pytest.raises(ValueError, match="margin 'g' has level '1' twice"):
        rake(careers, {"g": {1: 0.3, "1.0": 0.3, "2": 0.4}})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("g,1,half\n", "row 0 of the table of margins has margin 'g' and share nan|share 'half'"),
        ("g,,0.5\n", "margin 'g' has a share without a level"),
        (",1,0.5\n", "row 0 of the table of margins has margin nan"),
    ],
)
def test_a_table_of_margins_that_cannot_be_read_names_the_row(tmp_path, rows, message):
    (tmp_path / "margins.csv").write_text("margin,level,share\n" + rows)
    with pytest.raises(ValueError, match=message):
        rake(corpus(), tmp_path / "margins.csv")
    with pytest.raises(ValueError, match="cannot be read as a table of margins"):
        rake(corpus(), tmp_path)
