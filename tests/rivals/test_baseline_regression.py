"""Markov regression: every feature of Appendix G against plain loops, and where their meaning comes from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.encoding.processing_career import CareerProcessor
from career_hf.rivals.regression import RegressionConfig, RegressionForOccupationPrediction, history_features
from career_hf.training.trainer import adamw, baseline_recipe


YEARS = [None, 1980, 1982, 1983, 1990]  # levels not evenly spaced: only years tell gaps
CONFIG = {
    "vocab_size": 7,
    "covariate_names": ["race", "year", "education"],
    "covariate_sizes": [3, 5, 4],
    "time_covariate": "year",
    "year_of_level": YEARS,
    "change_covariates": ["education"],
}


def model_of(**fields):
    model = RegressionForOccupationPrediction(RegressionConfig(**(CONFIG | fields))).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(generator=generator)
            if name == "second_last_occupation.weight":
                parameter[0] = 0
    return model


def features_of(history, levels, step_length):
    """z_t of one step, from the occupations before it (oldest first) and the levels up to it."""
    repeats = 0
    while repeats + 1 < len(history) and history[-2 - repeats] == history[-1]:
        repeats += 1
    gap = changed = False
    if len(levels) > 1:
        last, now = YEARS[levels[-2][1]], YEARS[levels[-1][1]]
        gap = last is None or now is None or now - last > step_length
        changed = levels[-2][2] != levels[-1][2]
    return np.array([repeats, len(history), gap, changed], dtype=float)


CAREERS = st.lists(
    st.tuples(st.integers(2, 4), st.integers(0, 2), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=40)
@given(career=CAREERS, step_length=st.integers(1, 2), two_stage=st.booleans())
def test_scores_are_eq_10_with_every_feature(career, step_length, two_stage):
    occupations, levels = [step[0] for step in career], [step[1:] for step in career]
    model = model_of(step_length=step_length, two_stage=two_stage)
    weight = {name: value.double().numpy() for name, value in model.state_dict().items()}
    input_ids, covariates = torch.tensor([[1, *occupations[:-1]]]), torch.tensor([levels])
    with torch.no_grad():
        logits, stay_logit = model.scores(input_ids, covariates)
    for t in range(len(career)):
        history = occupations[:t]
        score = weight["history.bias"] + weight["last_occupation.weight"][history[-1] if history else 1]
        if t == 1:
            score = score + weight["second_last_occupation.weight"][1]
        if t > 1:
            score = score + weight["second_last_occupation.weight"][history[-2]]
        for name, level in zip(CONFIG["covariate_names"], levels[t], strict=True):
            score = score + weight[f"covariates.{name}.weight"][level]
        score = score + weight["history.weight"] @ features_of(history, levels[: t + 1], step_length)
        np.testing.assert_allclose(logits[0, t], score[:7], atol=1e-5)
        if two_stage:
            assert stay_logit[0, t].item() == pytest.approx(score[7], abs=1e-5)


def test_a_processor_says_what_levels_mean(careers):
    processor = CareerProcessor.fit(careers, covariates=("gender", "year", "region"))
    config = RegressionConfig.from_processor(processor, change_covariates=("region", "education"), two_stage=False)
    assert config.history_features == ["years_in_occupation", "total_years", "gap", "change_of_region"]
    assert config.year_of_level == [None, 1990, 1991, 1992, 1993, 1994, 1995]
    assert config.step_length == processor.step_length == 2
    assert not config.two_stage
    batch = processor(careers)
    model = RegressionForOccupationPrediction(config)
    ann, _, cy = history_features(model.config, batch["input_ids"], batch["covariates"]).tolist()
    assert ann[:3] == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 2, 0, 1]]
    assert cy == [[0, 0, 0, 0], [0, 1, 0, 0], [1, 2, 0, 1], [0, 3, 0, 0]]
    model.config.step_length = 1
    assert history_features(model.config, batch["input_ids"], batch["covariates"])[2, :, 2].tolist() == [0, 0, 1, 1]


def test_features_of_covariates_that_are_not_there_are_left_out(careers):
    processor = CareerProcessor.fit(careers, covariates=("gender",))
    config = RegressionConfig.from_processor(processor)
    assert config.history_features == ["years_in_occupation", "total_years"]
    model = RegressionForOccupationPrediction(config)
    assert model(**processor(careers)).logits.isfinite().all()
    bare = RegressionForOccupationPrediction(RegressionConfig.from_processor(CareerProcessor.fit(careers, ())))
    assert bare(**CareerProcessor.fit(careers, ())(careers)).logits.isfinite().all()


def test_training_starts_from_no_effect_of_durations_and_leaves_the_row_of_no_occupation_at_zero(tmp_path):
    model = RegressionForOccupationPrediction(RegressionConfig(**CONFIG))
    assert not model.history.weight.any() and not model.history.bias.any()
    recipe = baseline_recipe(model.config, tmp_path, use_cpu=True)
    optimizer, scheduler = adamw(model, recipe.arguments)
    input_ids, labels = torch.tensor([[1, 2, 2, 3]]), torch.tensor([[2, 2, 3, 4]])
    for _ in range(3):
        model(input_ids, torch.ones(1, 4, 3, dtype=torch.long), labels=labels).loss.backward()
        optimizer.step()
        scheduler.step()
    assert model.history.weight.any()
    assert not model.second_last_occupation.weight[0].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time_covariate": "age"}, r"name \['age'\], and the covariates are"),
        ({"change_covariates": ["degree"]}, r"name \['degree'\], and the covariates are"),
        ({"year_of_level": [1980]}, "1 years for the 5 levels of time_covariate 'year'"),
        ({"time_covariate": None}, "5 years for the 0 levels of time_covariate None"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(Exception, match=message):
        RegressionConfig(**(CONFIG | change))
