"""Mixtures of corpora: shares, covariates that a corpus lacks, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st
from mixture_examples import moves, survey

from career_hf.careers import from_frame
from career_hf.careers.mixing import mix


@settings(max_examples=10, deadline=None)
@given(st.floats(0.1, 9), st.floats(0.1, 9), st.lists(st.integers(1, 50), min_size=3, max_size=3))
def test_every_corpus_has_its_share_of_all_weight_whatever_its_own_weights(first, second, counts):
    mixture = mix([survey(), moves([float(count) for count in counts])], [first, second])
    train = mixture.splits["train"]
    total = {name: 0.0 for name in ("unknown", "gss-moves")}
    for corpus, weights in zip(train["corpus"], train["weight"], strict=True):
        total[corpus] += sum(weights)
    share = first / (first + second)
    assert np.isclose(total["unknown"] / sum(total.values()), share)
    assert [corpus.share for corpus in mixture.corpora] == pytest.approx([share, 1 - share])
    # Within a corpus weights keep their ratios, and first steps of counts stay without weight.
    own = np.array([w for corpus, w in zip(train["corpus"], train["weight"], strict=True) if corpus == "gss-moves"])
    assert (own[:, 0] == 0).all()
    assert own[:, 1] / own[0, 1] == pytest.approx(np.array(counts) / counts[0])


def test_without_weights_every_scored_person_year_counts_alike():
    mixture = mix([survey(), moves()])
    assert [corpus.person_years for corpus in mixture.corpora] == [75, 3]
    assert [corpus.share for corpus in mixture.corpora] == pytest.approx([75 / 78, 3 / 78])
    assert [(corpus.careers, corpus.people) for corpus in mixture.corpora] == [(25, 25), (3, 0)]
    assert mixture.limits["gss-moves"].stays is False


def test_a_covariate_that_a_corpus_lacks_is_missing_and_one_that_changes_anywhere_changes_everywhere():
    education = from_frame(
        {"person": ["q"] * 2, "year": [1990, 1991], "occupation": ["a", "b"], "region": ["n", "s"]},
        covariates=["region"],
    )
    train = mix([survey(), DatasetDict(train=education), moves()], covariates=["year", "region"]).splits["train"]
    region = dict(zip(train["person"], train["region"], strict=True))
    assert region["p1"] == ["s"] * 3 and region["q"] == ["n", "s"] and region["counts:gss-moves:a>b"] == [None, None]
    assert "region" not in mix([survey(), moves()]).splits["train"].column_names


def test_years_of_a_corpus_without_a_calendar_are_not_among_the_dated_ones():
    mixture = mix([survey(), moves()], covariates=["year"])
    assert {year for years in mixture.dated["year"] for year in years} == {1990, 1991, 1992}


@pytest.mark.parametrize(
    ("corpora", "weights", "message"),
    [
        (lambda: [], None, "is no list of corpora"),
        (lambda: survey(), None, "is no list of corpora"),
        (lambda: [survey(), moves()], [1.0], "1 corpus_weights for 2 corpora"),
        (lambda: [survey(), moves()], [1.0, 0.0], "corpus_weights is 0.0"),
        (lambda: [survey(), moves()], 0.5, "corpus_weights is 0.5, and must be a list of numbers"),
        (lambda: [moves()], None, "no corpus has a split 'validation'"),
        (lambda: [survey(), survey()], None, "person 'p0' is in two corpora"),
        (lambda: [survey(), DatasetDict(validation=survey(name="q")["train"])], None, "corpus 2 has no training"),
    ],
)
def test_what_cannot_be_mixed_is_refused(corpora, weights, message):
    with pytest.raises(ValueError, match=message):
        mix(corpora(), weights)


def test_a_covariate_of_no_corpus_is_refused():
    with pytest.raises(ValueError, match="no corpus has the covariate 'industry'"):
        mix([survey(), moves()], covariates=["industry"])


def test_corpora_of_one_unit_keep_it_and_others_are_refused():
    rows = [(f"p{i}", f"1993-{month:02d}", "a") for i in range(40) for month in (1, 2)]
    people, months, labels = zip(*rows, strict=True)
    monthly = from_frame({"person": people, "year": months, "occupation": labels})
    assert set(mix([monthly]).splits["train"]["time_unit"]) == {"month"}
    with pytest.raises(ValueError, match="corpus 2 is in months and corpus 1 in years"):
        mix([survey(), monthly])
