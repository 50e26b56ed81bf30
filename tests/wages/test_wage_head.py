"""The wage head against its loss written out, wages in every layout, the stock Trainer, and what it must not see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils.generic import find_labels

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerForWagePrediction, CareerProcessor
from career_hf.careers import from_frame, to_frame
from career_hf.encoding.collating import EncodedCareers, FlatteningCollator, PackingCollator, PaddingCollator
from career_hf.models.modeling_wage import CareerWageConfig
from career_hf.wages.wage_head import build_wage_trainer, encode_wages, predict_log_wages, wage_recipe


JOBS = ("cook", "waiter", "pilot", "nurse")
PAY = {"cook": 1.0, "waiter": 1.5, "pilot": 4.0, "nurse": 2.5}


def careers_with_wages(people=40, seed=0, weight=False):
    """Jobs drawn at random, wages that the job of the year decides, a third of them missing, spells without work."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        for year in range(1990, 1990 + rng.integers(2, 9)):
            job = "unemployed" if rng.random() < 0.2 else rng.choice(JOBS)
            wage = np.nan if job == "unemployed" or rng.random() < 1 / 3 else PAY[job] + 0.1 * rng.normal()
            rows.append([f"p{person:03d}", year, job, rng.choice(["f", "m"]), wage, 1.0 + person % 3])
    frame = pd.DataFrame(rows, columns=["person", "year", "occupation", "union", "log_wage", "survey_weight"])
    weights = {"weight": "survey_weight"} if weight else {}
    return from_frame(frame, covariates=["union"], outcomes=["log_wage"], **weights)


@pytest.fixture
def careers():
    return careers_with_wages()


def wage_model(careers, processor=None, **fields):
    processor = processor or CareerProcessor.fit(careers, ["year", "union"], unknown_occupation="unknown")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32, "initializer_range": 0.3}
    trunk = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **sizes)).eval()
    log_wages = to_frame(careers)["log_wage"].to_numpy()
    return CareerForWagePrediction.from_occupation_model(trunk, log_wages, **fields).eval(), processor, trunk


def test_the_model_starts_as_the_occupation_model_with_wages_around_their_mean(careers):
    model, processor, trunk = wage_model(careers)
    wages = to_frame(careers)["log_wage"].dropna()
    batch = dict(processor(careers))
    batch.pop("labels")
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, trunk(**batch).logits, rtol=0, atol=0)
    assert model.config.wage_mean == pytest.approx(wages.mean()) and model.config.wage_scale == pytest.approx(
        wages.std(ddof=0)
    )
    assert model.config.hidden_size == 16 and model.config.id2label == trunk.config.id2label


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("timing", ["before", "including"])
def test_loss_is_squared_error_of_observed_wages_and_occupations(timing, weighted):
    careers = careers_with_wages(weight=weighted)
    model, processor, trunk = wage_model(careers, wage_timing=timing, occupation_weight=0.5)
    batch = PaddingCollator()(list(encode_wages(careers, processor)[0]))
    with torch.no_grad():
        output = model(**batch)
        occupations = trunk(**{name: values for name, values in batch.items() if name != "log_wage"}).loss
    labels, wage, predicted = (
        v.double().numpy() for v in (batch["labels"], batch["log_wage"], output.predicted_log_wage)
    )
    weight = batch["weight"].double().numpy() if weighted else np.ones(len(labels))
    total = steps = 0.0
    for i, t in np.ndindex(*labels.shape):
        if labels[i, t] != -100:
            steps += weight[i]
            if np.isfinite(wage[i, t]):
                total += weight[i] * ((wage[i, t] - predicted[i, t]) / model.config.wage_scale) ** 2
    assert 0 < np.isfinite(wage).sum() < (labels != -100).sum()
    assert output.loss.item() == pytest.approx(total / steps + 0.5 * occupations.item(), rel=1e-5)


def test_missing_wages_and_years_without_work_leave_no_trace(careers):
    """Whatever stands where no wage is observed, the gradients are the same; and none of them is NaN."""
    model, processor, _ = wage_model(careers)
    batch = PaddingCollator()(list(encode_wages(careers, processor)[0]))
    model.train(False)
    gradients = []
    for other in (torch.nan, torch.inf, -torch.inf):
        changed = batch | {"log_wage": batch["log_wage"].nan_to_num(nan=other)}
        model.zero_grad()
        model(**changed).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.isfinite(gradient).all() for gradient in gradients[0])
    for others in gradients[1:]:
        for one, two in zip(gradients[0], others, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize("layout", ["packed", "flat", "flat, filled"])
def test_every_layout_has_the_loss_and_gradients_of_padded_careers(careers, layout):
    model, processor, _ = wage_model(careers)
    flat = EncodedCareers(encode_wages(careers, processor)[0]).gather(np.arange(len(careers)))
    collators = {"packed": PackingCollator(16), "flat": FlatteningCollator(), "flat, filled": FlatteningCollator(16)}
    model = model.double()
    results = []
    for collate, attention in (
        (PaddingCollator(), "sdpa"),
        (collators[layout], "sdpa_by_length" if "flat" in layout else "sdpa"),
    ):
        model.set_attn_implementation(attention)
        model.zero_grad()
        loss = model(**collate(flat)).loss
        loss.backward()
        results.append((loss, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(results[0][0], results[1][0])
    for one, two in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(one, two)


def test_accumulated_batches_add_up(careers):
    """With the number of scored steps of all, as Trainer gives it, losses of parts sum to the loss of the whole."""
    model, processor, _ = wage_model(careers)
    rows = list(encode_wages(careers, processor)[0])
    steps = sum(len(row["labels"]) for row in rows)
    with torch.no_grad():
        whole = model(**PaddingCollator()(rows)).loss
        parts = [model(**PaddingCollator()(rows[i : i + 13]), num_items_in_batch=steps).loss for i in range(0, 40, 13)]
    torch.testing.assert_close(sum(parts), whole)


def test_one_argument_is_a_label():
    assert find_labels(CareerForWagePrediction) == ["labels"]


def test_save_and_load_is_exact(careers, tmp_path):
    model, processor, _ = wage_model(careers, exclude_covariates=["gender"], wage_timing="including")
    model.save_pretrained(tmp_path)
    batch = PaddingCollator()(list(encode_wages(careers, processor)[0]))
    for load in (CareerForWagePrediction, AutoModelForCausalLM):
        again = load.from_pretrained(tmp_path)
        assert isinstance(again, CareerForWagePrediction) and again.config.exclude_covariates == ["gender"]
        with torch.no_grad():
            for one, two in zip(model(**batch).to_tuple(), again(**batch).to_tuple(), strict=True):
                assert torch.equal(one, two)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), CareerWageConfig)


def test_predictions_use_nothing_after_the_year(careers):
    """`before` does not know the occupation of the year itself, `including` does; neither knows what comes later."""
    frame = to_frame(careers)
    person = frame["person"] == frame["person"].iloc[0]
    rows = frame[person]
    at = rows.index[len(rows) // 2]
    for timing in ("before", "including"):
        model, processor, _ = wage_model(careers, wage_timing=timing)

        def predict(changed, model=model, processor=processor):
            changed = from_frame(changed, covariates=["union"], outcomes=["log_wage"])
            return predict_log_wages(model, changed, processor)[: len(rows)]

        before = predict(frame)
        same_year, later = frame.copy(), frame.copy()
        same_year.loc[at, "occupation"] = "pilot" if frame.loc[at, "occupation"] != "pilot" else "cook"
        later.loc[person & (frame.index > at), "occupation"] = "pilot"
        later.loc[person & (frame.index > at), "union"] = "m"
        later["log_wage"] = 1.0
        place = at - rows.index[0]
        np.testing.assert_allclose(predict(later)[: place + 1], before[: place + 1], atol=1e-5)
        changed = np.abs(predict(same_year) - before)
        assert (changed[:place] < 1e-5).all()
        assert (changed[place] > 1e-3) == (timing == "including")


def test_predictions_are_in_the_order_of_the_careers_at_any_batch_size(careers):
    model, processor, _ = wage_model(careers)
    wages = predict_log_wages(model, careers, processor)
    np.testing.assert_allclose(predict_log_wages(model, careers, processor, batch_tokens=10), wages, atol=1e-5)
    batch = PaddingCollator()(list(processor.encode(careers)[0]))
    with torch.no_grad():
        predicted = model(**batch).predicted_log_wage
    np.testing.assert_allclose(wages, predicted[batch["labels"] != -100].numpy(), atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_trainer_learns_what_jobs_pay_and_reports_the_exact_error(tmp_path, weighted):
    train, validation = (
        careers_with_wages(150, seed=1, weight=weighted),
        careers_with_wages(30, seed=2, weight=weighted),
    )
    model, processor, _ = wage_model(train)
    encoded, encoded_validation = (
        encode_wages(c, processor, unknown_levels="missing")[0] for c in (train, validation)
    )
    steps = {"warmup_steps": 5, "max_steps": 40, "eval_steps": 20, "save_steps": 20, "tokens_per_batch": 300}
    recipe = wage_recipe(processor, model.config, tmp_path, learning_rate=5e-3, per_device_eval_batch_size=7, **steps)
    trainer = build_wage_trainer(model, processor, recipe, encoded, encoded_validation)
    at_first = trainer.evaluate()["eval_wage_mse"]
    trainer.train()
    metrics = trainer.evaluate()

    frame = to_frame(validation)
    wage, predicted = (
        frame["log_wage"].to_numpy(),
        predict_log_wages(model, validation, processor, unknown_levels="missing"),
    )
    observed = np.isfinite(wage)
    squared = (wage - predicted)[observed] ** 2
    assert metrics["eval_wage_mse"] == pytest.approx(squared.mean(), rel=1e-4)
    if weighted:
        weight = frame["weight"].to_numpy()[observed]
        assert metrics["eval_weighted_wage_mse"] == pytest.approx(np.average(squared, weights=weight), rel=1e-4)
    assert metrics["eval_wage_mse"] < 0.1 < 1 < at_first  # noise has 0.01, jobs 1.3
    assert trainer.state.best_metric == pytest.approx(metrics["eval_wage_mse"], rel=1e-4)
    assert trainer.processing_class.training_stages[-1]["stage"] == "wages"
    assert metrics["eval_perplexity"] == pytest.approx(np.exp(metrics["eval_nll"]))


def test_what_the_model_must_not_see(careers):
    with pytest.raises(ValueError, match=r"has the covariates \['union'\], which it must never see"):
        wage_model(careers, exclude_covariates=["union"])
    processor = CareerProcessor.fit(careers, ["year", "union"])
    with pytest.raises(StrictDataclassClassValidationError, match="must never see"):
        CareerWageConfig(**processor.config_kwargs(), exclude_covariates=["union"])
    blind = CareerProcessor.fit(careers, ["year"], unknown_occupation="unknown")
    model, _, _ = wage_model(careers, blind, exclude_covariates=["union"])
    assert model.config.covariate_names == ["year"]


def test_wages_without_work_are_not_used_and_counted(careers):
    frame = to_frame(careers)
    idle = (frame["occupation"] == "unemployed").to_numpy()
    frame.loc[idle, "log_wage"] = 9.0
    paid = from_frame(frame, covariates=["union"], outcomes=["log_wage"])
    processor = CareerProcessor.fit(paid, ["year"])
    encoded, ledger = encode_wages(paid, processor)
    wages = np.concatenate(encoded["log_wage"])
    assert (
        np.isnan(wages[idle]).all() and np.isfinite(wages[~idle]).sum() == frame.loc[~idle, "log_wage"].notna().sum()
    )
    assert ledger.entries[-1].altered["not at work, although there is a wage: wage not used"] == idle.sum()


def test_mistakes_say_what_to_do(careers):
    model, processor, trunk = wage_model(careers)
    batch = PaddingCollator()(list(encode_wages(careers, processor)[0]))
    with pytest.raises(ValueError, match="without labels"):
        model(**{name: values for name, values in batch.items() if name != "labels"})
    with pytest.raises(ValueError, match="no outcome 'log_wage'"):
        encode_wages(careers.remove_columns("log_wage"), processor)
    with pytest.raises(ValueError, match="0 observed wages have no variance"):
        CareerForWagePrediction.from_occupation_model(trunk, [np.nan, np.nan])
    with pytest.raises(StrictDataclassClassValidationError, match="'before' or 'including', and is 'after'"):
        CareerWageConfig(**processor.config_kwargs(), wage_timing="after")
    with pytest.raises(StrictDataclassClassValidationError, match="wage_scale must be finite and above 0"):
        CareerWageConfig(**processor.config_kwargs(), wage_scale=0)
    encoded = encode_wages(careers, processor)[0]
    recipe = wage_recipe(processor, model.config, "unused", max_steps=1)
    with pytest.raises(ValueError, match="the validation careers have no column 'log_wage'"):
        build_wage_trainer(model, processor, recipe, encoded, encoded.remove_columns("log_wage"))
