"""Bag-of-jobs against Eq. 11 written out, step by step and in embedding space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.rivals.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction


CONFIG = {
    "vocab_size": 7,
    "covariate_names": ["race", "year"],
    "covariate_sizes": [3, 5],
    "embedding_size": 4,
}


def model_of(**fields):
    model = BagOfJobsForOccupationPrediction(BagOfJobsConfig(**(CONFIG | fields))).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model


def mean(rows):
    return np.mean(rows, axis=0) if len(rows) else 0.0


def reference(model, occupations, levels, t):
    """Scores of step t (0 for the first): output matrices times vectors, the mean taken over embeddings."""
    weight = {name: value.double().numpy() for name, value in model.state_dict().items()}
    start = model.config.start_in_history

    def product(table, vector):
        return weight[f"{table}.output.weight"] @ vector

    def rows(table, ids):
        return weight[f"{table}.embedding.weight"][ids]

    last = occupations[t - 1] if t else 1
    earlier = occupations[: t - 1] if t else []
    if start:  # t + 1 entries: id 0, and from the second step on the beginning of the career
        earlier = [0, 1, *earlier] if t else [0]
    score = product("last_occupation", rows("last_occupation", last))
    score = score + product("earlier_occupations", np.zeros(4) + mean(rows("earlier_occupations", earlier)))
    for c, name in enumerate(model.config.covariate_names):
        score = score + product(f"covariates.{name}", rows(f"covariates.{name}", levels[t][c]))
        if name in model.config.history_covariates:
            past = [0] * start + [level[c] for level in levels[:t]]
            table = f"earlier_covariates.{name}"
            score = score + product(table, np.zeros(4) + mean(rows(table, past)))
    return score


CAREERS = st.lists(st.tuples(st.integers(2, 6), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40)
@given(
    career=CAREERS,
    start=st.booleans(),
    averaged=st.sampled_from([None, [], ["year"]]),
    two_stage=st.booleans(),
)
def test_scores_are_eq_11_with_covariates(career, start, averaged, two_stage):
    occupations, levels = [step[0] for step in career], [step[1:] for step in career]
    model = model_of(start_in_history=start, history_covariates=averaged, two_stage=two_stage)
    with torch.no_grad():
        logits, stay_logit = model.scores(torch.tensor([[1, *occupations[:-1]]]), torch.tensor([levels]))
    for t in range(len(career)):
        expected = reference(model, occupations, levels, t)
        np.testing.assert_allclose(logits[0, t], expected[:7], atol=1e-4)
        if two_stage:
            assert stay_logit[0, t].item() == pytest.approx(expected[7], abs=1e-4)


def test_the_order_of_earlier_occupations_does_not_matter_and_the_last_one_does():
    model = model_of(covariate_names=[], covariate_sizes=[])
    a, b, c = (
        model(torch.tensor([[1, *history]])).logits[0, -1] for history in ([2, 3, 4, 5], [4, 2, 3, 5], [2, 3, 5, 4])
    )
    torch.testing.assert_close(a, b)
    assert (a - c).abs().max() > 0.1


def test_the_paper_has_one_embedding_of_size_1024_for_each_role():
    config = BagOfJobsConfig(vocab_size=30, covariate_names=["year", "race"], covariate_sizes=[20, 5])
    with torch.device("meta"):
        model = BagOfJobsForOccupationPrediction(config)
    # Two roles, last (present) and earlier; an embedding of each id and an output vector for each id and for staying.
    assert model.num_parameters() == 2 * 1024 * ((30 + 31) + (20 + 31) + (5 + 31))
    assert model_of(history_covariates=["year"]).earlier_covariates.keys() == {"year"}


def test_a_config_that_averages_what_is_no_covariate_is_refused():
    with pytest.raises(Exception, match=r"history_covariates names \['age'\], and the covariates are"):
        BagOfJobsConfig(**CONFIG, history_covariates=["age"])
