"""Columns of the transition table that follow from careers alone, by a loop over them, and what it refuses."""

from __future__ import annotations

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch

from career_hf import CareerProcessor, MarkovForOccupationPrediction
from career_hf.careers import from_frame
from career_hf.encoding.training_history import record_careers
from career_hf.evaluation.transition_table import (
    SCORE_COLUMNS,
    check_log_probs,
    codes_of_ids,
    encode_to_score,
    transition_classes,
    transition_table,
    who_was_trained_on,
)


PEOPLE = {
    # Years, occupations, coding schemes.
    "a": ([1990, 1991, 1993, 1994, 1997], ["x", "x", "y", "x", "z"], ["70", "70", "80", None, "80"]),
    "b": ([1990], ["z"], [None]),
    "c": ([1989, 1990, 1991, 1992], ["y", "x", "y", "y"], [None, "70", None, "80"]),
}


def long_frame():
    rows = [
        (
            person,
            year,
            occupation,
            scheme,
            {"a": "m", "b": "f", "c": None}[person],
            {"a": 1.0, "b": 4.0, "c": 2.0}[person],
        )
        for person, columns in PEOPLE.items()
        for year, occupation, scheme in zip(*columns, strict=True)
    ]
    return pd.DataFrame(rows, columns=["person", "year", "occupation", "occupation_vintage", "gender", "w"])


@pytest.fixture(scope="module")
def scored():
    """Careers, a chain that does not know z, and its processor."""
    careers = from_frame(long_frame(), covariates=["occupation_vintage"], static=["gender"], weight="w")
    known = long_frame().query("occupation != 'z'")[["person", "year", "occupation"]]
    known = pd.concat([known.assign(person=known["person"] + str(i)) for i in range(5)])
    more = pd.DataFrame({"person": ["u"] * 2, "year": [1990, 1991], "occupation": ["unknown"] * 2})
    training = from_frame(pd.concat([known, more]))
    processor = CareerProcessor.fit(training, covariates=(), unknown_occupation="unknown")
    chain = MarkovForOccupationPrediction.fit(processor.encode(training)[0], processor)
    return careers, chain, processor


def test_columns_are_those_of_a_loop_over_careers(scored):
    careers, chain, processor = scored
    table = transition_table(chain, careers, processor, split="all of them", watch=["y"])
    rows = []
    for person, (years, occupations, schemes) in PEOPLE.items():
        latest = None
        for t, (year, occupation, scheme) in enumerate(zip(years, occupations, schemes, strict=True)):
            before = occupations[:t]
            unknown = "z" in (occupation, *before[-1:])
            kind = (
                "first"
                if not t
                else "stay"
                if occupation == before[-1]
                else "return"
                if occupation in before
                else "new"
            )
            rows.append(
                {
                    "person": person,
                    "step": t,
                    "year": year,
                    "gap_years": year - years[t - 1] if t else None,
                    "previous": before[-1] if t else None,
                    "occupation": occupation,
                    "transition": None if unknown else kind,
                    "aba": t > 1 and occupation == before[-2] and occupation != before[-1],
                    "coding_changed": None not in (scheme, latest) and scheme != latest,
                    "unknown": unknown,
                    "weight": {"a": 1.0, "b": 4.0, "c": 2.0}[person],
                    "split": "all of them",
                    "gender": {"a": "m", "b": "f", "c": None}[person],
                    "occupation_vintage": scheme,
                }
            )
            latest = latest if scheme is None else scheme
    expected = pd.DataFrame(rows)
    for name in expected:
        found = [None if pd.isna(value) else value for value in table[name]]
        assert found == [None if pd.isna(value) else value for value in expected[name]], name
    assert list(table.columns) == [
        *["person", "step", "year", "gap_years", "previous", "occupation", "log_prob", "p_stay", "rank", "p_top"],
        *["transition", "aba", "coding_changed", "unknown", "weight", "split", "p(y)"],
        *["occupation_vintage", "gender"],
    ]
    assert table["p_stay"].isna().equals(table["step"] == 0)
    assert list(table["occupation"].cat.categories)[-1] == "z"
    without = from_frame(long_frame()[["person", "year", "occupation"]])
    plain = transition_table(chain, without, processor)
    assert plain["weight"].isna().all() and plain["split"].isna().all() and not plain["coding_changed"].any()


def test_scores_of_a_step_are_the_models_own(scored):
    careers, chain, processor = scored
    table = transition_table(chain, careers, processor, watch=["x", "y"])
    ordinary = [i for i in range(len(processor.occupations)) if i not in processor.special_token_ids]
    row = 0
    for encoded in processor.encode(careers)[0]:
        inputs = {"input_ids": torch.tensor([encoded["input_ids"]])}
        p = chain(**inputs).logits[0].double().exp().numpy()
        for t, occupation in enumerate(encoded["labels"]):
            scores = table.iloc[row]
            assert math.exp(scores["log_prob"]) == pytest.approx(p[t, occupation], rel=1e-5)
            assert scores["rank"] == 1 + (p[t, ordinary] > p[t, occupation]).sum()
            assert scores["p_top"] == pytest.approx(p[t, ordinary].max(), rel=1e-5)
            for label in ("x", "y"):
                assert scores[f"p({label})"] == pytest.approx(p[t, processor.occupations.index(label)], rel=1e-5)
            if t:
                assert scores["p_stay"] == pytest.approx(p[t, encoded["input_ids"][t]], rel=1e-5)
            row += 1


def test_groups_add_up(scored):
    careers, chain, processor = scored
    groups = {"x": "one", "y": "one", "unknown": "other", "z": "other"}
    table = transition_table(chain, careers, processor, groups=groups, watch=["one"])
    fine = transition_table(chain, careers, processor, watch=["x", "y"])
    np.testing.assert_allclose(table["p(one)"], fine["p(x)"] + fine["p(y)"], rtol=1e-5)
    assert table["occupation"].tolist() == [groups[label] for label in fine["occupation"]]
    codes, labels = codes_of_ids(processor, groups)
    special = processor.special_token_ids
    assert labels == list(dict.fromkeys(groups[o] for i, o in enumerate(processor.occupations) if i not in special))
    assert [None if c < 0 else labels[c] for c in codes] == [
        None if i in special else groups[o] for i, o in enumerate(processor.occupations)
    ]
    assert all(codes[i] == -1 for i in special)
    with pytest.raises(ValueError, match="1 occupations have no group, 'y' among them"):
        codes_of_ids(processor, {"x": "one", "unknown": "other"})


def test_what_cannot_be_scored_is_refused(scored):
    careers, chain, processor = scored
    with pytest.raises(ValueError, match="there are no careers to score"):
        encode_to_score(chain, careers.select([]), processor)
    with pytest.raises(ValueError, match=r"watched labels \['z'\] are not among the 3 that are predicted"):
        encode_to_score(chain, careers, processor, watch=["x", "z"])
    assert set(SCORE_COLUMNS) == {
        *["step", "gap_years", "previous", "log_prob", "p_stay", "rank", "p_top"],
        *["transition", "aba", "coding_changed", "unknown", "split"],
    }
    for name in SCORE_COLUMNS:
        taken = careers.add_column(name, [["1"] * len(years) for years in careers["year"]])
        with pytest.raises(ValueError, match=f"careers have columns .*'{name}'.*rename them"):
            encode_to_score(chain, taken, processor)


def test_models_whose_logits_are_no_log_probabilities_are_refused(scored):
    careers, chain, processor = scored
    damaged = copy.deepcopy(chain)
    with torch.no_grad():
        for weights in (*damaged.parameters(), *damaged.buffers()):
            if weights.is_floating_point():
                weights += 0.5
    with pytest.raises(ValueError, match="the model predicts no probabilities"):
        transition_table(damaged, careers, processor)


def test_who_was_trained_on_counts_people(scored):
    careers, _, processor = scored
    assert who_was_trained_on(processor, careers) is None
    stage: dict = {}
    record_careers(stage, careers.select([0, 2]))
    trained = copy.deepcopy(processor)
    trained.training_stages = [stage]
    assert who_was_trained_on(trained, careers.select([1])) is None
    assert "trained on 2 of the 3 people that it is scored on" in who_was_trained_on(trained, careers)


def test_log_probabilities_are_told_from_other_numbers():
    fine = torch.tensor([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]]).log().clamp(min=-1e4)
    check_log_probs(fine)
    check_log_probs(fine + 5e-7)
    for change, said in [
        (torch.tensor([0.0, math.nan, 0.0]), "nan"),
        (torch.tensor([0.3, 0.3, 0.3]), r"sum to 1\.34"),
        (torch.tensor([-0.01, -0.01, -0.01]), r"sum to 0\.99"),
    ]:
        damaged = fine.clone()
        damaged[1] = damaged[1] + change
        with pytest.raises(ValueError, match=f"no probabilities: .*{said}"):
            check_log_probs(damaged)
    with pytest.raises(ValueError, match=r"largest log-probability is 0\.0005"):
        check_log_probs(torch.tensor([[5e-4, -1e4]]))


def test_kinds_of_steps_by_person_and_unknown_ones():
    person, occupation = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([3, 3, 4, 3, 3, 4, 4])
    kinds = transition_classes(person, occupation)
    assert list(kinds) == ["first", "stay", "new", "return", "first", "new", "first"]
    unknown = np.array([False, True, False, False, True, False, False])
    assert [None if pd.isna(k) else k for k in transition_classes(person, occupation, unknown)] == [
        *[None if u else k for k, u in zip(kinds, unknown, strict=True)]
    ]
