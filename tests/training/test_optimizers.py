"""What keeps fine-tuning near the pretrained weights, against updates computed by hand."""

from __future__ import annotations

import pytest
import torch
from transformers import TrainingArguments

from career_hf import CareerConfig, CareerForOccupationPrediction
from career_hf.training.optimizers import adamw


@pytest.fixture
def model():
    torch.manual_seed(0)
    return CareerForOccupationPrediction(
        CareerConfig(
            vocab_size=9,
            covariate_names=["year"],
            covariate_sizes=[3],
            hidden_size=8,
            num_hidden_layers=2,
            intermediate_size=8,
        )
    )


def arguments(tmp_path, **settings):
    settings = {"learning_rate": 0.1, "lr_scheduler_type": "constant", "max_steps": 5, "use_cpu": True} | settings
    return TrainingArguments(output_dir=str(tmp_path), adam_beta2=0.98, report_to="none", **settings)


def step_without_gradient(model, optimizer):
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()


def test_each_layer_has_the_rate_of_the_layer_above_times_the_decay(model, tmp_path):
    optimizer, _ = adamw(model, arguments(tmp_path), layerwise_decay=0.5)
    rates = {parameter: group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    named = {name: rates[parameter] for name, parameter in model.named_parameters()}
    assert named["lm_head.weight"] == named["stay_head.weight"] == named["model.norm.weight"] == 0.1
    assert named["model.layers.1.mlp.up_proj.bias"] == 0.05
    assert named["model.layers.0.self_attn.qkv_proj.weight"] == 0.025
    assert named["model.embed_tokens.weight"] == named["model.embed_covariates.year.weight"] == 0.0125


def test_l2_sp_takes_away_a_share_of_the_distance_from_the_start_and_nothing_else(model, tmp_path):
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer, _ = adamw(model, arguments(tmp_path, weight_decay=0.3), l2_sp=2.0, layerwise_decay=0.5)
    step_without_gradient(model, optimizer)
    assert all(torch.equal(parameter, start[name]) for name, parameter in model.named_parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    step_without_gradient(model, optimizer)
    # At rate r the share r x l2_sp of the distance of 1 is gone: 0.2 at the output, 0.025 at the embeddings.
    moved = {name: parameter.detach() - start[name] for name, parameter in model.named_parameters()}
    torch.testing.assert_close(moved["lm_head.weight"], torch.full_like(moved["lm_head.weight"], 0.8))
    embeddings = moved["model.embed_tokens.weight"]
    torch.testing.assert_close(embeddings, torch.full_like(embeddings, 0.975))


def test_frozen_layers_do_not_move_and_new_levels_can_be_learned(model, tmp_path):
    optimizer, _ = adamw(model, arguments(tmp_path), frozen_layers=1)
    moving = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        assert (parameter in moving) == parameter.requires_grad == (not name.startswith("model.layers.0.")), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layerwise_decay": 0.0}, "layerwise_decay is 0.0"),
        ({"l2_sp": -1.0}, "l2_sp is -1.0"),
        ({"frozen_layers": 3}, "frozen_layers is 3, and must be a whole number up to 2"),
    ],
)
def test_numbers_out_of_range_are_refused(model, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        adamw(model, arguments(tmp_path), **settings)
