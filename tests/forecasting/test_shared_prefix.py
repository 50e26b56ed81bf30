"""Paths that share a person's past attend as if each had it for itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.forecasting.shared_prefix import SHARED_PREFIX, Continuations
from career_hf.models.modeling_outputs import CACHE


OWN_HISTORY = {"return_pointer": True, "career_features": True}


def career_model(heads=2, layers=2, **fields):
    config = CareerConfig(
        vocab_size=8,
        covariate_names=["education"],
        covariate_sizes=[4],
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=32,
        **fields,
    )
    torch.manual_seed(heads)
    model = CareerForOccupationPrediction(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def largest_difference(model, rng, time, branches, dtype=torch.float32):
    """Continues random careers along random paths, and compares every step with whole histories."""
    people = 4
    histories = torch.from_numpy(rng.integers(2, 8, (people, time)))
    levels = torch.from_numpy(rng.integers(0, 4, (people, time + len(branches), 1)))
    own_history = {name: getattr(model.config, name) for name in OWN_HISTORY}
    reference = career_model(model.config.num_attention_heads, model.config.num_hidden_layers, **own_history)
    reference.load_state_dict(model.state_dict())
    reference.set_attn_implementation("eager")
    model.to(dtype).set_attn_implementation(SHARED_PREFIX)
    differences = []
    with torch.inference_mode():
        output = model(input_ids=histories, covariates=levels[:, :time], use_cache=True)
        expected = reference(input_ids=histories, covariates=levels[:, :time]).logits
        differences.append((output.logits - expected).abs().max().item())
        continuations, paths = Continuations(output[CACHE], torch.arange(people), []), histories
        for step, size in enumerate(branches):
            # Some paths end, some branch; now and then the first people have none left, as in a piece of the paths.
            parents = np.sort(rng.integers(rng.integers(0, len(paths)), len(paths), size))
            parents = torch.from_numpy(parents)
            occupations = torch.from_numpy(rng.integers(2, 8, (size, 1)))
            continuations = continuations.branch(parents)
            paths = torch.cat([paths[parents], occupations], dim=1)
            owners = continuations.people
            ours = model(
                input_ids=occupations,
                covariates=levels[owners, time + step].unsqueeze(1),
                position_ids=torch.full((size, 1), time + step),
                continuations=continuations,
            ).logits[:, -1]
            expected = reference(input_ids=paths, covariates=levels[owners, : time + step + 1]).logits[:, -1]
            differences.append((ours.exp() - expected.exp()).abs().max().item())
    return max(differences)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    time=st.integers(1, 7),
    branches=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    heads=st.sampled_from([1, 2, 4]),
    fields=st.sampled_from([{}, OWN_HISTORY]),
)
def test_continuations_equal_whole_histories(seed, time, branches, heads, fields):
    assert largest_difference(career_model(heads, **fields), np.random.default_rng(seed), time, branches) < 2e-5


def test_in_half_precision_too():
    difference = largest_difference(career_model(), np.random.default_rng(0), 5, [10, 20, 30], torch.bfloat16)
    assert 1e-5 < difference < 0.1


def test_one_state_can_branch_more_than_once():
    model = career_model(layers=1)
    model.set_attn_implementation(SHARED_PREFIX)
    with torch.inference_mode():
        zeros = torch.zeros(1, 2, 1, dtype=torch.long)
        past = model(input_ids=torch.tensor([[1, 2]]), covariates=zeros, use_cache=True)[CACHE]
        root = Continuations(past, torch.tensor([0]), [])

        def logits(continuations, occupation, place):
            ids, places = torch.tensor([[occupation]]), torch.tensor([[place]])
            return model(ids, zeros[:, :1], position_ids=places, continuations=continuations).logits

        one = root.branch(torch.tensor([0]))
        logits(one, 3, 2)
        first = logits(one.branch(torch.tensor([0])), 4, 3)
        logits(one.branch(torch.tensor([0])), 5, 3)
        assert torch.equal(first, logits(one.branch(torch.tensor([0])), 4, 3))


@pytest.mark.parametrize("use_cache", [False, True])
def test_without_continuations_it_is_sdpa(use_cache):
    model = career_model()
    batch = {"input_ids": torch.tensor([[1, 3, 4], [1, 5, 0]]), "covariates": torch.ones(2, 3, 1, dtype=torch.long)}
    with torch.inference_mode():
        model.set_attn_implementation("sdpa")
        expected = model(**batch, use_cache=use_cache).logits
        model.set_attn_implementation(SHARED_PREFIX)
        assert torch.equal(model(**batch, use_cache=use_cache).logits, expected)
