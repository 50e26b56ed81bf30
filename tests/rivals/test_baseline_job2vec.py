"""Job2Vec: probabilities written out in numpy, and how many numbers it has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from career_hf.models.two_stage import IMPOSSIBLE
from career_hf.rivals.job_vectors import Job2VecConfig, Job2VecForOccupationPrediction


CONFIG = {"vocab_size": 7, "covariate_names": ["race", "year"], "covariate_sizes": [3, 5]}


def model_of(**fields):
    model = Job2VecForOccupationPrediction(Job2VecConfig(**CONFIG, **fields)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return model


def reference(weight, previous, race, year, two_stage):
    """Probabilities of the ids after one step, from a vector e of the job left and a vector e' of each job entered."""
    job = weight["embed_tokens.weight"][previous].copy()
    job += weight["embed_covariates.race.weight"][race] + weight["embed_covariates.year.weight"][year]
    allowed = [j for j in range(2, 7) if not (two_stage and j == previous)]
    products = {j: np.exp(weight["lm_head.weight"][j] @ job) for j in allowed}
    stay = 1 / (1 + np.exp(-weight["stay_head.weight"][0] @ job)) if two_stage and previous > 1 else 0.0
    probabilities = np.zeros(7)
    for j in allowed:
        probabilities[j] = (1 - stay) * products[j] / sum(products.values())
    if stay:
        probabilities[previous] = stay
    return probabilities


@pytest.mark.parametrize("two_stage", [True, False])
def test_probabilities_follow_from_inner_products_with_the_last_job_and_covariates(two_stage):
    rng = np.random.default_rng(0)
    model = model_of(embedding_size=4, two_stage=two_stage)
    weight = {name: value.double().numpy() for name, value in model.state_dict().items()}
    input_ids, levels = [1, *rng.integers(2, 7, 11)], rng.integers(0, [3, 5], (12, 2))
    with torch.no_grad():
        logits = model(torch.tensor([input_ids]), torch.from_numpy(levels)[None]).logits[0]
    expected = [reference(weight, i, *level, two_stage) for i, level in zip(input_ids, levels, strict=True)]
    np.testing.assert_allclose(logits.exp(), expected, atol=1e-6)
    assert (logits[:, :2] == IMPOSSIBLE).all()


def test_no_job_before_the_last_one_matters():
    model, levels = model_of(embedding_size=4), torch.zeros(1, 4, 2, dtype=torch.long)
    with torch.no_grad():
        one, other = model(torch.tensor([[1, 2, 3, 4]]), levels), model(torch.tensor([[1, 5, 6, 4]]), levels)
    assert torch.equal(one.logits[0, 3], other.logits[0, 3])
    assert not torch.allclose(one.logits[0, 2], other.logits[0, 2])


def test_a_job_that_is_entered_has_a_vector_of_its_own():
    model = model_of(embedding_size=4)
    steps, levels = torch.tensor([[1, 2]]), torch.zeros(1, 2, 2, dtype=torch.long)
    with torch.no_grad():
        before, _ = model.scores(steps, levels)
        model.lm_head.weight[3] += 1.0
        after, _ = model.scores(steps, levels)
    changed = (after != before).any(0).any(0)
    assert changed.nonzero().flatten().tolist() == [3]


def test_the_default_has_50_dimensions_and_no_intercepts():
    with torch.device("meta"):
        model = Job2VecForOccupationPrediction(Job2VecConfig(**CONFIG))
        one_stage = Job2VecForOccupationPrediction(Job2VecConfig(**CONFIG, two_stage=False))
    vectors = 7 + 7 + 3 + 5  # of ids left, of ids entered, and of covariate levels
    assert model.num_parameters() == (vectors + 1) * 50  # one vector more for staying
    assert one_stage.num_parameters() == vectors * 50


def test_a_space_without_dimensions_is_refused():
    with pytest.raises(Exception, match="embedding_size must be at least 1, and is 0"):
        Job2VecConfig(**CONFIG, embedding_size=0)
