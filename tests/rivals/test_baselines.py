"""What every rival trained by gradient descent must be: a distribution over occupations that knows only the past."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from encoded_examples import LEVELS, encoded_careers
from hypothesis import given, settings
from hypothesis import strategies as st

from career_hf.careers import from_frame
from career_hf.encoding.collating import PackingCollator, PaddingCollator
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.transition_table import transition_table
from career_hf.models.two_stage import IMPOSSIBLE
from career_hf.rivals.bag_of_jobs import BagOfJobsConfig, BagOfJobsForOccupationPrediction
from career_hf.rivals.job_vectors import (
    Job2VecConfig,
    Job2VecForOccupationPrediction,
    JobRepresentationConfig,
    JobRepresentationForOccupationPrediction,
)
from career_hf.rivals.nemo import NemoConfig, NemoForOccupationPrediction
from career_hf.rivals.regression import RegressionConfig, RegressionForOccupationPrediction
from career_hf.training.trainer import baseline_recipe, build_trainer


OCCUPATIONS = 9
SPECIAL = [0, 1]
VOCABULARY = {
    "vocab_size": OCCUPATIONS + 2,
    "covariate_names": list(LEVELS),
    "covariate_sizes": list(LEVELS.values()),
}
YEARS = {"time_covariate": "year", "year_of_level": [None, *range(1980, 1991)], "change_covariates": ["education"]}

# Config class, model class, config fields of a small model on `encoded_careers`.
MODELS = [
    (RegressionConfig, RegressionForOccupationPrediction, YEARS),
    (BagOfJobsConfig, BagOfJobsForOccupationPrediction, {"embedding_size": 6}),
    (BagOfJobsConfig, BagOfJobsForOccupationPrediction, {"embedding_size": 6, "start_in_history": True}),
    (JobRepresentationConfig, JobRepresentationForOccupationPrediction, {"embedding_size": 6}),
    (Job2VecConfig, Job2VecForOccupationPrediction, {"embedding_size": 6}),
    (NemoConfig, NemoForOccupationPrediction, {"hidden_size": 8}),
]

rivals = pytest.mark.parametrize("rival", MODELS, ids=lambda rival: f"{rival[0].model_type}-{len(rival[2])}")
stages = pytest.mark.parametrize("two_stage", [True, False])


def small(rival, seed=0, **fields):
    """A small model in evaluation mode, far from uniform: every parameter is drawn, zeros too."""
    config_class, model_class, settings_ = rival
    model = model_class(config_class(**VOCABULARY, **(settings_ | fields))).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return model


def batch_of(people=6, seed=0, **kwargs):
    return PaddingCollator()(encoded_careers(people, seed, OCCUPATIONS, **kwargs).to_list())


@rivals
@stages
def test_probabilities_sum_to_one_over_occupations_and_special_ids_get_none(rival, two_stage):
    output = small(rival, two_stage=two_stage)(**batch_of())
    assert torch.allclose(output.logits.logsumexp(-1), torch.zeros(output.logits.shape[:2]), atol=1e-5)
    assert (output.logits[..., SPECIAL] == IMPOSSIBLE).all()


@rivals
def test_two_stages_stay_with_the_stay_probability_and_never_at_a_first_step(rival):
    batch = batch_of(people=20)
    output = small(rival)(**batch)
    assert (output.stay_logit[:, 0] == IMPOSSIBLE).all()
    later = batch["labels"][:, 1:] != -100
    stay = output.logits.gather(-1, batch["input_ids"].unsqueeze(-1)).squeeze(-1)
    expected = torch.nn.functional.logsigmoid(output.stay_logit)
    torch.testing.assert_close(stay[:, 1:][later], expected[:, 1:][later])
    assert small(rival, two_stage=False)(**batch).stay_logit is None


@rivals
def test_the_original_programs_switches(rival):
    batch, scored = batch_of(), batch_of()["labels"] != -100
    clamped = small(rival, logit_clamp=0.1)(**batch)
    assert clamped.stay_logit[:, 1:][scored[:, 1:]].abs().max().item() == pytest.approx(0.1)
    one_stage = small(rival, logit_clamp=0.1, two_stage=False)(**batch).logits[..., 2:]
    assert (one_stage.amax(-1) - one_stage.amin(-1)).max().item() == pytest.approx(0.2, abs=1e-5)
    usual = small(rival)(**batch)
    first = small(rival, first_step_stay=True)(**batch)
    assert (first.stay_logit[:, 0] > IMPOSSIBLE).all()
    lost = first.stay_logit[:, :1].sigmoid()
    assert torch.equal(first.logits[:, 1:][scored[:, 1:]], usual.logits[:, 1:][scored[:, 1:]])
    torch.testing.assert_close(first.logits[:, 0, 2:].exp(), (1 - lost) * usual.logits[:, 0, 2:].exp())
    everything = small(rival, special_tokens_in_softmax=True, two_stage=False)(**batch).logits
    assert (everything[..., SPECIAL] > IMPOSSIBLE).all()
    torch.testing.assert_close(everything.logsumexp(-1), torch.zeros(everything.shape[:2]), atol=1e-5, rtol=0)


@rivals
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), step=st.integers(0, 10))
def test_no_step_knows_what_comes_after_it(rival, seed, step):
    rng = np.random.default_rng(seed)
    model = small(rival)
    input_ids = torch.from_numpy(np.c_[np.ones(3, dtype=int), rng.integers(2, OCCUPATIONS + 2, (3, 11))])
    covariates = torch.from_numpy(rng.integers(0, list(LEVELS.values()), (3, 12, 2)))
    other_ids, other_covariates = input_ids.clone(), covariates.clone()
    other_ids[:, step + 1 :] = torch.from_numpy(rng.integers(2, OCCUPATIONS + 2, (3, 11 - step)))
    other_covariates[:, step + 1 :] = torch.from_numpy(rng.integers(0, list(LEVELS.values()), (3, 11 - step, 2)))
    with torch.no_grad():
        before, after = model(input_ids, covariates), model(other_ids, other_covariates)
    torch.testing.assert_close(before.logits[:, : step + 1], after.logits[:, : step + 1])
    torch.testing.assert_close(before.stay_logit[:, : step + 1], after.stay_logit[:, : step + 1])


@rivals
def test_padding_and_company_do_not_matter(rival):
    model = small(rival)
    rows = encoded_careers(8, seed=3, occupations=OCCUPATIONS).to_list()
    together = model(**PaddingCollator()(rows)).logits
    for i, row in enumerate(rows):
        alone = model(**PaddingCollator()([row])).logits[0]
        torch.testing.assert_close(together[i, : len(alone)], alone, atol=1e-5, rtol=1e-5)


@rivals
@stages
def test_save_and_load_change_no_bit(tmp_path, rival, two_stage):
    model = small(rival, two_stage=two_stage)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    weights = loaded.state_dict()
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    torch.testing.assert_close(loaded(**batch_of()).logits, model(**batch_of()).logits)
    assert loaded.config.to_dict() == model.config.to_dict() | {"_name_or_path": str(tmp_path)}


@rivals
@stages
def test_loss_is_the_weighted_mean_negative_log_probability_of_scored_steps(rival, two_stage):
    model, batch = small(rival, two_stage=two_stage), batch_of(weight=True)
    weight = batch.pop("weight")
    output = model(**batch)
    rows = [
        (-output.logits[i, t, y].item(), weight[i].item())
        for i, career in enumerate(batch["labels"].tolist())
        for t, y in enumerate(career)
        if y != -100
    ]
    nll, weights = np.array(rows).T
    assert output.loss.item() == pytest.approx(nll.mean(), rel=1e-5)
    assert model(**batch, weight=weight).loss.item() == pytest.approx(np.average(nll, weights=weights), rel=1e-5)
    assert model(**batch, num_items_in_batch=7).loss.item() == pytest.approx(nll.sum() / 7, rel=1e-5)


@rivals
@stages
def test_gradients_reach_every_parameter(rival, two_stage):
    model = small(rival, two_stage=two_stage).train()
    model(**batch_of(people=20)).loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@rivals
def test_bfloat16_gives_finite_float32_log_probabilities_and_float64_stays(rival):
    batch = batch_of()
    low, exact = small(rival).to(torch.bfloat16)(**batch), small(rival).double()(**batch)
    assert low.logits.dtype == torch.float32 and low.logits.isfinite().all() and low.loss.isfinite()
    assert exact.logits.dtype == exact.stay_logit.dtype == torch.float64
    torch.testing.assert_close(exact.logits.float(), small(rival)(**batch).logits, atol=1e-4, rtol=1e-4)


@rivals
def test_inputs_that_a_rival_cannot_use_are_refused(rival):
    model, rows = small(rival), encoded_careers(6, occupations=OCCUPATIONS).to_list()
    with pytest.raises(ValueError, match="one career per row"):
        model(**PackingCollator(row_length=32)(rows))
    with pytest.raises(ValueError, match="keeps no cache"):
        model(**PaddingCollator()(rows), past_key_values=object())
    with pytest.raises(ValueError, match="trained with the covariates"):
        model(PaddingCollator()(rows)["input_ids"])


def careers(people=40, seed=0):
    """Careers in which most steps are stays and education is decisive, with gaps."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        education, year = str(rng.choice(["low", "high"])), 1980
        for t in range(rng.integers(2, 9)):
            year += int(rng.choice([1, 1, 1, 2]))
            stays = t > 0 and rng.random() < 0.7
            names = ["cook", "waiter", "driver"] if education == "low" else ["teacher", "nurse"]
            occupation = rows[-1]["occupation"] if stays else str(rng.choice(names))
            rows.append({"person": f"p{person}", "year": year, "occupation": occupation, "education": education})
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return from_frame(columns, covariates=["education"])


@rivals
@stages
def test_the_stock_trainer_lowers_the_loss_and_the_model_is_scored_like_any_other(tmp_path, rival, two_stage):
    config_class, model_class, fields = rival
    data = careers()
    processor = CareerProcessor.fit(data, covariates=("year", "education"))
    encoded, _ = processor.encode(data)
    fields = {name: value for name, value in fields.items() if name not in YEARS}
    config = config_class.from_processor(processor, two_stage=two_stage, **fields)
    recipe = baseline_recipe(
        config,
        tmp_path,
        **{"max_steps": 30, "learning_rate": 0.05, "warmup_steps": 1, "tokens_per_batch": 200, "use_cpu": True},
        **{"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False},
    )
    trainer = build_trainer(model_class(config), processor, recipe, encoded, encoded)
    before = trainer.evaluate()["eval_nll"]
    trainer.train()
    after = trainer.evaluate()["eval_nll"]
    assert after < before - 0.1
    table = transition_table(trainer.model, data, processor)
    assert -table["log_prob"].mean() == pytest.approx(after, rel=1e-5)
    assert table["p_stay"].isna().equals(table["step"] == 0)
