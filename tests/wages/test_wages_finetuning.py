"""Fine-tuning for wage gaps: its start, its losses, what it never sees, and cross-fitting."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.configuration_career import CareerConfig
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.representing.representations import representations
from career_hf.simulation import draw_wages, preset
from career_hf.simulation.world import NOT_WORKING
from career_hf.wages import finetuning
from career_hf.wages.design import wage_frame
from career_hf.wages.finetuning import METHODS, FineTuning, GapData, GapNetwork, finetuned_nuisances
from career_hf.wages.gap_nuisances import cross_fit_nuisances, folds_of_people
from career_hf.wages.gaps import GapSample, Nuisances


@pytest.fixture(scope="module")
def drawn():
    careers = draw_wages(preset("tiny").simulate(120)).careers
    processor = CareerProcessor.fit(careers, ["year", "education"])
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    dropout = {"hidden_dropout": 0.0, "attention_dropout": 0.0}
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes, **dropout)).eval()
    frame, _ = wage_frame(careers, not_working=NOT_WORKING)
    sample = GapSample(
        frame["log_wage"].to_numpy(),
        frame["gender"] == "female",
        pd.factorize(frame["person"])[0],
        frame[["experience"]].to_numpy() / 10,
        frame["weight"].to_numpy(),
    )
    return model, processor, careers, sample, frame.index.to_numpy(), folds_of_people(sample.person, 2)


def fit(drawn, settings=None, methods=METHODS, **changed):
    model, processor, careers, sample, place, fold = drawn
    return finetuned_nuisances(
        [model],
        processor,
        careers,
        changed.get("sample", sample),
        place,
        fold,
        protected="gender",
        methods=methods,
        settings=settings or FineTuning(updates=3, rate=1e-3, people_per_batch=32),
    )


def test_heads_read_the_representation_that_includes_the_years_own_occupation(drawn):
    model, processor, careers, sample, place, _ = drawn
    data = GapData(processor, careers, sample, place)
    read = data.read(GapNetwork(model, 1, 1.0), np.ones(len(place), dtype=bool), people_per_batch=7)
    hidden = representations(model, careers, processor, timing="including")[place]
    np.testing.assert_allclose(read, np.column_stack([hidden, sample.features]), atol=1e-5)


def test_without_updates_it_is_the_frozen_baseline(drawn):
    model, processor, careers, sample, place, fold = drawn
    nuisances = fit(drawn, FineTuning(updates=0))
    hidden = representations(model, careers, processor, timing="including")[place]
    frozen = cross_fit_nuisances(sample.with_features(np.column_stack([hidden, sample.features])), fold)
    for name in ("supervised", "multi-task", "projection"):
        np.testing.assert_allclose(nuisances[name].others, frozen.others, atol=1e-4)
        np.testing.assert_allclose(nuisances[name].group, frozen.group, atol=1e-4)
        np.testing.assert_allclose(nuisances[name].propensity, frozen.propensity, atol=1e-4)
    # m(X) of the difference-based one is the supervised one's; only the difference is its own.
    np.testing.assert_allclose(nuisances["difference-based"].marginal, frozen.marginal, atol=1e-4)
    assert np.abs(nuisances["difference-based"].difference - frozen.difference).max() > 1e-3


def test_training_lowers_each_loss(drawn):
    model, processor, careers, sample, place, _ = drawn
    data, everybody = GapData(processor, careers, sample, place), np.ones(len(place), dtype=bool)
    start = finetuning._frozen_baseline(model, data, everybody)
    half = Nuisances(sample.outcome * 0 + 1.5, sample.outcome * 0 + 1.5, np.full(len(place), 0.5))
    columns = [sample.outcome, sample.group, sample.weight, half.marginal, half.propensity]
    rows = torch.from_numpy(np.column_stack(columns).astype(np.float32))
    settings = FineTuning(updates=40, rate=3e-3, people_per_batch=60)
    losses = {
        finetuning.wage_loss: (start, None),
        finetuning.gender_loss: (start, None),
        finetuning.multi_task_loss: (start, None),
        finetuning.difference_loss: (finetuning._with_gap_head(start, data, everybody, half), half),
    }
    for loss, (network, nuisances) in losses.items():
        columns = rows if nuisances is not None else rows[:, :3]
        trained = finetuning._trained(network, loss, data, everybody, settings, 0, nuisances)
        before, after = (
            loss(net, torch.from_numpy(data.read(net, everybody)), columns).item() for net in (network, trained)
        )
        assert after < 0.97 * before, loss.__name__


def test_losses_are_those_of_the_papers(drawn):
    sample = drawn[3]
    rng, n = np.random.default_rng(0), len(sample.outcome)
    network = GapNetwork(drawn[0], 0, variance=0.5)
    read = torch.from_numpy(rng.normal(size=(n, 16)).astype(np.float32))
    m, e = rng.normal(size=n), rng.uniform(0.1, 0.9, n)
    columns = np.column_stack([sample.outcome, sample.group, sample.weight, m, e])
    rows = torch.from_numpy(columns.astype(np.float32))
    with torch.no_grad():
        wages, logit, gap = (head(read).double().numpy() for head in (network.wages, network.gender, network.gap))
        of_three = [loss(network, read, rows[:, :3]).item() for loss in (finetuning.wage_loss, finetuning.gender_loss)]
        of_difference = finetuning.difference_loss(network, read, rows).item()
    predicted = np.where(sample.group, wages[:, 1], wages[:, 0])
    p = 1 / (1 + np.exp(-logit[:, 0]))
    likelihood = -np.log(np.where(sample.group, p, 1 - p))
    assert of_three[0] == pytest.approx(
        np.average((sample.outcome - predicted) ** 2, weights=sample.weight) / 0.5, rel=1e-4
    )
    assert of_three[1] == pytest.approx(np.average(likelihood, weights=sample.weight), rel=1e-4)
    left = (sample.outcome - m) - (sample.group - e) * gap[:, 0]
    assert of_difference == pytest.approx(np.average(left**2, weights=sample.weight) / 0.5, rel=1e-4)


def test_a_folds_predictions_do_not_depend_on_its_wages(drawn):
    sample, fold = drawn[3], drawn[5]
    changed = np.where(fold == 0, sample.outcome + 10, sample.outcome)
    other = GapSample(changed, sample.group, sample.person, sample.features, sample.weight)
    methods = ("supervised", "multi-task", "projection")
    first, second = fit(drawn, methods=methods), fit(drawn, methods=methods, sample=other)
    for name in methods:
        for values in ("group", "others", "propensity"):
            a, b = (getattr(nuisances[name], values) for nuisances in (first, second))
            np.testing.assert_array_equal(a[fold == 0], b[fold == 0])
        assert np.abs(first[name].others - second[name].others)[fold == 1].max() > 1


def test_models_are_left_as_they_were(drawn):
    before = copy.deepcopy(drawn[0].state_dict())
    fit(drawn, methods=["supervised"])
    assert all(torch.equal(value, before[name]) for name, value in drawn[0].state_dict().items())


def test_a_model_that_saw_gender_is_refused(drawn):
    _, _, careers, sample, place, fold = drawn
    processor = CareerProcessor.fit(careers, ["year", "gender", "education"])
    with pytest.raises(ValueError, match="without it.*--covariates year,education"):
        finetuned_nuisances([drawn[0]], processor, careers, sample, place, fold, protected="gender")
    with pytest.raises(ValueError, match="'dragonnet'"):
        fit(drawn, methods=["dragonnet"])
    with pytest.raises(ValueError, match="3 models"):
        finetuned_nuisances([drawn[0]] * 3, drawn[1], careers, sample, place, fold, protected="gender")
    with pytest.raises(ValueError, match="rising"):
        finetuned_nuisances([drawn[0]], drawn[1], careers, sample, place[::-1], fold, protected="gender")
