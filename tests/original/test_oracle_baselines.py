"""Equality of the regression and bag-of-jobs with numbers that the original CAREER program produced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from career_hf.original.conversion import (
    REGRESSION_FLAGS,
    convert_bag_of_jobs,
    convert_regression,
    original_bag_of_jobs_config,
    original_regression_config,
)
from career_hf.rivals.bag_of_jobs import BagOfJobsForOccupationPrediction
from career_hf.rivals.regression import RegressionForOccupationPrediction


COVARIATES = ["gender", "year", "education", "location", "ethnicity"]  # in an order of our own
CASES = {
    "d_bag_of_jobs_two_stage_cov": (
        BagOfJobsForOccupationPrediction,
        original_bag_of_jobs_config,
        convert_bag_of_jobs,
    ),
    "e_regression_two_stage_all": (RegressionForOccupationPrediction, original_regression_config, convert_regression),
}


def settings(covariate_names=COVARIATES):
    return {"covariate_names": covariate_names, "two_stage": True, "special_token_ids": [0, 1, 2]}


def inputs(arrays):
    input_ids = torch.from_numpy(arrays["input_tokens"]).long()
    columns = [np.broadcast_to(arrays[f"ids_{name}"], input_ids.shape) for name in COVARIATES]
    labels = torch.from_numpy(np.where(arrays["mask"], arrays["target"], -100)).long()
    return {"input_ids": input_ids, "covariates": torch.from_numpy(np.stack(columns, -1)).long(), "labels": labels}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("dtype", "suffix", "tolerance"), [(torch.float64, "f64", 1e-10), (torch.float32, "f32", 1e-5)]
)
def test_weights_give_the_original_log_probabilities(shared, case, dtype, suffix, tolerance):
    folder = shared / "oracle" / case
    arrays, weights = np.load(folder / "oracle.npz"), load_file(folder / "weights.safetensors")
    weights = {name: value.to(dtype) for name, value in weights.items()}
    model_class, original_config, convert = CASES[case]
    config = original_config(weights, **settings())
    model = model_class(config).to(dtype).eval()
    model.load_state_dict(convert(weights, config))
    with torch.no_grad():
        output = model(**inputs(arrays))
    scored = arrays["mask"]
    assert np.abs(output.logits.numpy() - arrays[f"logprobs_{suffix}"])[scored].max() < tolerance
    assert np.abs(output.stay_logit.numpy() - arrays[f"logits_{suffix}"][..., -1])[scored].max() < tolerance
    nll = arrays["criterion_loss_sum_f32"] / arrays["criterion_sample_size"]
    assert abs(output.loss.item() - nll) < 1e-5


def regression_weights(flags=()):
    """A made-up checkpoint of a one-stage regression with the covariate year, in the original's names."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"current_job.weight": (6, 6), "year.weight": (8, 6), "bias": (6,)}
    shapes |= {REGRESSION_FLAGS[flag].removeprefix("decoder.embed_"): (6,) for flag in flags}
    return {f"decoder.embed_{name}": torch.randn(*shape, generator=generator) for name, shape in shapes.items()}


def test_features_that_the_original_was_trained_without_have_no_effect():
    settings_ = settings(["year"]) | {"two_stage": False}
    flags = ["include-total-years"]
    weights = regression_weights(flags)
    config = original_regression_config(weights, **settings_, flags=flags)
    model = RegressionForOccupationPrediction(config).eval()
    model.load_state_dict(convert_regression(weights, config, flags))
    input_ids, year = torch.tensor([[2, 3, 3, 5]]), torch.tensor([[4, 5, 7, 7]])
    expected = sum(
        weights[f"decoder.embed_{name}.weight"][ids] for name, ids in [("current_job", input_ids), ("year", year)]
    )
    expected = expected + weights["decoder.embed_bias"]
    expected = expected + torch.arange(4)[:, None] * weights["decoder.embed_total_years"]
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids, year[..., None]).logits, expected.clamp(-10, 10).log_softmax(-1))


def test_a_checkpoint_that_does_not_fit_is_refused():
    settings_ = settings(["year"]) | {"two_stage": False}
    with pytest.raises(ValueError, match="no flags"):
        original_regression_config(regression_weights(), **settings_, flags=["third-order-markov"])
    weights = regression_weights()
    config = original_regression_config(weights, **settings_, flags=())
    with pytest.raises(ValueError, match=r"no parameters \['decoder.embed_total_years'\]"):
        convert_regression(weights, config, ["include-total-years"])
    with pytest.raises(ValueError, match=r"no place for: \['decoder.layer_norm.weight'\]"):
        convert_regression(weights | {"decoder.layer_norm.weight": torch.ones(6)}, config, ())
