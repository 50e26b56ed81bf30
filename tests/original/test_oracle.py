"""Equality with numbers that the original CAREER program produced (weights to log-probabilities, training updates, job
dropout)."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainingArguments

from career_hf import CareerForOccupationPrediction
from career_hf.encoding.job_dropout import job_dropout_mask
from career_hf.original.conversion import convert_state_dict, original_config
from career_hf.training.trainer import adamw


COVARIATES = ["year", "education", "location", "ethnicity", "gender"]
SPECIAL = [0, 1, 2]


@pytest.fixture
def oracle(shared):
    return shared / "oracle"


def original_model(folder, covariate_names=COVARIATES, weights="weights.safetensors", dtype=torch.float32, **kwargs):
    weights = load_file(folder / weights)
    config = original_config(
        weights,
        covariate_names=covariate_names,
        num_attention_heads=2,
        two_stage=True,
        special_token_ids=SPECIAL,
        hidden_dropout=0,
        attention_dropout=0,
    )
    model = CareerForOccupationPrediction._from_config(config, **kwargs)
    model.load_state_dict(convert_state_dict(weights, config))
    return model.to(dtype).eval()


def inputs(arrays, covariate_names=COVARIATES, rows=slice(None)):
    input_ids = torch.from_numpy(arrays["input_tokens"][rows]).long()
    columns = [np.broadcast_to(arrays[f"ids_{name}"][rows], input_ids.shape) for name in covariate_names]
    covariates = torch.from_numpy(np.stack(columns, -1)).long() if columns else None
    return {"input_ids": input_ids, "covariates": covariates}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("case", "covariate_names"), [("a_career_two_stage_cov", COVARIATES), ("c_career_two_stage_nocov", [])]
)
def test_weights_give_the_original_log_probabilities(oracle, case, covariate_names, attention):
    arrays = np.load(oracle / case / "oracle.npz")
    scored = arrays["mask"]
    for dtype, suffix, tolerance in [(torch.float64, "f64", 5e-6), (torch.float32, "f32", 1e-5)]:
        model = original_model(oracle / case, covariate_names, dtype=dtype, attn_implementation=attention)
        labels = torch.from_numpy(np.where(scored, arrays["target"], -100)).long()
        with torch.no_grad():
            output = model(**inputs(arrays, covariate_names), labels=labels)
            model.train()
            training_loss = model(**inputs(arrays, covariate_names), labels=labels).loss
        assert np.abs(output.logits.numpy() - arrays[f"logprobs_{suffix}"])[scored].max() < tolerance
        assert np.abs(output.stay_logit.numpy() - arrays[f"logits_{suffix}"][..., -1])[scored].max() < tolerance
        assert np.abs(output.last_hidden_state.numpy() - arrays[f"features_{suffix}"])[scored].max() < tolerance
        nll = arrays["criterion_loss_sum_f32"] / arrays["criterion_sample_size"]
        assert abs(output.loss.item() - nll) < 1e-5
        assert abs(training_loss.item() - nll) < 1e-5


def test_twenty_updates_follow_the_original_training_run(oracle):
    folder = oracle / "h_training_trace"
    trace = json.loads((folder / "trace.json").read_text())
    arrays = np.load(oracle / "a_career_two_stage_cov" / "oracle.npz")
    rows = slice(0, len(arrays["input_tokens"]) - 1)  # all but the row with out-of-dictionary entries
    labels = torch.from_numpy(np.where(arrays["mask"], arrays["target"], -100)[rows]).long()
    model = original_model(folder, weights="weights_initial.safetensors").train()
    adam, schedule = trace["adam"], trace["lr_schedule"]
    arguments = TrainingArguments(
        learning_rate=adam["lr"],
        adam_beta1=adam["betas"][0],
        adam_beta2=adam["betas"][1],
        adam_epsilon=adam["eps"],
        weight_decay=adam["weight_decay"],
        lr_scheduler_type="inverse_sqrt",
        warmup_steps=schedule["warmup_updates"],
        use_cpu=True,
    )
    optimizer, scheduler = adamw(model, arguments)

    for step in trace["steps"]:
        assert scheduler.get_last_lr()[0] == pytest.approx(step["lr"], rel=1e-9)
        loss = model(**inputs(arrays, rows=rows), labels=labels).loss
        assert loss.item() / np.log(2) == pytest.approx(step["loss_base2_before_step"], abs=2e-6)
        optimizer.zero_grad()
        loss.backward()
        squares = sum((p.grad**2).sum() for p in model.parameters() if p.grad is not None)
        assert squares.sqrt().item() == pytest.approx(step["grad_norm"], rel=1e-5)
        optimizer.step()
        scheduler.step()
        if step["update"] in (1, 5, 20):
            expected = convert_state_dict(
                load_file(folder / f"weights_after_{step['update']}.safetensors"), model.config
            )
            differences = {name: (value - expected[name]).abs() for name, value in model.state_dict().items()}
            for name in [name for name in differences if name.endswith("qkv_proj.bias")]:
                query, _, value = differences[name].chunk(3)  # the key bias has no gradient but rounding
                differences[name] = torch.cat([query, value])
            differences = torch.cat([difference.flatten() for difference in differences.values()])
            # Adam scales rounding up wherever a gradient is nearly zero: one weight, the same one in float64.
            assert (differences > 1e-5).sum() <= 1
            assert differences.max() < 2e-5


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_job_dropout_mask_hides_what_the_original_hides(oracle, attention):
    folder = oracle / "w_word_dropout"
    arrays = np.load(folder / "oracle.npz")
    full = np.load(oracle / "a_career_two_stage_cov" / "oracle.npz")
    model = original_model(oracle / "a_career_two_stage_cov", attn_implementation=attention)
    rows = slice(0, len(arrays["input_tokens"]))
    assert (full["input_tokens"][rows] == arrays["input_tokens"]).all()
    for number, case in enumerate(json.loads((folder / "cases.json").read_text())["cases"], start=1):
        kept = torch.zeros(case["width"], dtype=torch.bool)
        kept[case["kept_input_positions"]] = True
        with torch.no_grad():
            logits = model(**inputs(full, rows=rows), attention_mask=job_dropout_mask(kept)).logits
        scored = full["mask"][rows]
        assert np.abs(logits.numpy() - arrays[f"logprobs_{number}"])[scored].max() < 1e-5
