"""What a corpus cannot contain is left out of its likelihood, and nothing is learned about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mixture_examples import moves, survey

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers.mixing import mix
from career_hf.careers.provenance import Limits
from career_hf.encoding.collating import EncodedCareers, FlatteningCollator, PackingCollator, PaddingCollator
from career_hf.encoding.mixtures import encode_mixture


@pytest.fixture(scope="module")
def mixture():
    return mix([survey(), moves()], covariates=["year", "region"])


@pytest.fixture(scope="module")
def encoded(mixture):
    processor = CareerProcessor.fit(mixture.dated, ["year", "region"], occupations=["a", "b", "c", "d", "unemployed"])
    return processor, encode_mixture(mixture.splits["train"], processor, limits=mixture.limits)[0]


@pytest.fixture(scope="module")
def model(encoded):
    torch.manual_seed(0)
    config = CareerConfig(**encoded[0].config_kwargs(), hidden_size=8, num_hidden_layers=1, intermediate_size=8)
    made = CareerForOccupationPrediction(config)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def test_counts_have_no_year_and_exclude_states_and_the_occupation_before(mixture, encoded):
    processor, careers = encoded
    row = mixture.splits["train"]["person"].index("counts:gss-moves:c>d")
    assert [level[0] for level in careers["covariates"][row]] == [0, 0]
    excluded = {processor.occupations[i] for i in careers["excluded"][row][1] if i >= 0}
    assert excluded == {"unemployed", "c"}
    assert set(np.ravel(careers["excluded"][0])) == {-100}


def test_the_loss_is_the_likelihood_given_what_the_corpus_can_contain(mixture, encoded, model):
    processor, careers = encoded
    row = mixture.splits["train"]["person"].index("counts:gss-moves:c>d")
    batch = PaddingCollator()([careers[row]])
    with torch.no_grad():
        every = model(input_ids=batch["input_ids"], covariates=batch["covariates"]).logits[0, 1].exp()
        conditional = model(**batch)
    can_be = [processor.occupations.index(label) for label in "abd"]
    expected = every[can_be[-1]] / every[can_be].sum()
    # Only the second step has weight.
    assert conditional.loss.item() == pytest.approx(-expected.log().item(), abs=1e-5)
    assert conditional.logits[0, 1].exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_training_and_evaluation_and_every_layout_have_the_same_loss(encoded, model):
    flat = EncodedCareers(encoded[1]).gather(np.arange(20, len(encoded[1])))
    model = model.train()
    model.config.hidden_dropout = model.config.attention_dropout = 0.0
    losses = []
    for collator in (PaddingCollator(), PackingCollator(), FlatteningCollator(multiple_of=16)):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        losses.append(model(**{name: v for name, v in collator(flat).items() if "seq" not in name}).loss.item())
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-5)
    assert model.eval()(**PaddingCollator()(flat)).loss.item() == pytest.approx(losses[0], abs=1e-5)


def test_what_a_corpus_cannot_contain_gets_no_gradient_from_it(mixture, encoded, model):
    processor, careers = encoded
    row = mixture.splits["train"]["person"].index("counts:gss-moves:c>d")
    model.zero_grad()
    model(**PaddingCollator()([careers[row]])).loss.backward()
    gradient = model.lm_head.weight.grad.abs().sum(dim=1)
    silent = [processor.occupations.index(label) for label in ("unemployed", "c")]
    assert gradient[silent].tolist() == pytest.approx([0, 0], abs=1e-7)
    assert (gradient[[processor.occupations.index(label) for label in "abd"]] > 0).all()
    # Where nobody can be seen to stay, nothing is said about staying either.
    assert model.stay_head.weight.grad.abs().max().item() == pytest.approx(0, abs=1e-6)


def test_a_corpus_with_something_that_it_cannot_contain_is_refused(mixture, encoded):
    limits = {**mixture.limits, "unknown": replace(Limits(), lacks=("b",))}
    with pytest.raises(ValueError, match=r"person 'p\d+', year 199\d, occupation 'b': the corpus cannot contain this"):
        encode_mixture(mixture.splits["train"], encoded[0], limits=limits)
    stays = {**mixture.limits, "unknown": replace(Limits(), stays=False)}
    with pytest.raises(ValueError, match="stays in it; correct the limits"):
        encode_mixture(mixture.splits["train"], encoded[0], limits=stays)
