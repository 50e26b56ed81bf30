"""A plain Trainer with default collation: what a user of Transformers writes who knows nothing of this package."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch
from test_training import TINY, some_careers
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

from career_hf import CareerForOccupationPrediction
from career_hf.encoding.collating import PaddingCollator
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.configuration_career import CareerConfig
from career_hf.training.trainer import exact_metrics, log_prob_of_truth


@pytest.fixture(scope="module")
def processor() -> CareerProcessor:
    return CareerProcessor.fit(some_careers(), covariates=("year", "education"))


@pytest.fixture(scope="module")
def encoded(processor) -> datasets.Dataset:
    return processor.encode(some_careers(48))[0]


def plain_trainer(processor, train, output_dir, evaluated=None, dropout=0.0, metrics=False, **settings) -> Trainer:
    set_seed(0)
    size = TINY | {"hidden_dropout": dropout, "attention_dropout": dropout}
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **size))
    settings = {
        "per_device_train_batch_size": 8,
        "max_steps": 4,
        "learning_rate": 1e-2,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "dataloader_pin_memory": False,
    } | settings
    exact = {"compute_metrics": exact_metrics, "preprocess_logits_for_metrics": log_prob_of_truth} if metrics else {}
    return Trainer(
        model,
        TrainingArguments(output_dir=str(output_dir), **settings),
        train_dataset=train,
        eval_dataset=train if evaluated is None else evaluated,
        processing_class=processor,
        **exact,
    )


def trained(*args, resume=None, **settings) -> dict[str, torch.Tensor]:
    trainer = plain_trainer(*args, **settings)
    trainer.train(resume_from_checkpoint=resume)
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def by_hand(model, row) -> tuple[float, int]:
    """Negative log-likelihood and number of steps of one career, without a collator."""
    inputs = {name: torch.tensor(row[name])[None] for name in ("input_ids", "covariates")}
    with torch.no_grad():
        log_probs = model(**inputs).logits[0]
    return -log_probs[torch.arange(len(row["labels"])), torch.tensor(row["labels"])].sum().item(), len(row["labels"])


def test_default_collation_has_the_loss_of_ours(tmp_path, processor, encoded):
    trainer = plain_trainer(processor, encoded, tmp_path)
    assert isinstance(trainer.data_collator, DataCollatorWithPadding)
    rows = list(encoded)
    default, ours = trainer.data_collator(rows), PaddingCollator(processor.pad_token_id)(rows)
    assert default.pop("attention_mask").sum() == sum(len(row["labels"]) for row in rows)
    assert default.keys() == ours.keys()
    assert all(torch.equal(default[name], ours[name]) for name in ours)
    model = trainer.model.eval()
    loss = model(**trainer.data_collator(rows)).loss.item()
    assert loss == pytest.approx(model(**ours).loss.item(), abs=1e-6)
    nll, steps = map(sum, zip(*(by_hand(model, row) for row in rows), strict=True))
    assert loss == pytest.approx(nll / steps, abs=1e-6)


def test_training_lowers_the_exact_nll_and_a_checkpoint_has_the_processor(tmp_path, processor, encoded):
    trainer = plain_trainer(
        processor, encoded, tmp_path, metrics=True, max_steps=12, save_strategy="steps", save_steps=12
    )
    before = trainer.evaluate()["eval_nll"]
    trainer.train()
    metrics = trainer.evaluate()
    nll, steps = map(sum, zip(*(by_hand(trainer.model, row) for row in encoded), strict=True))
    assert metrics["eval_nll"] == pytest.approx(nll / steps, abs=1e-6) and nll / steps < before - 0.1
    assert CareerProcessor.from_pretrained(tmp_path / "checkpoint-12").occupations == processor.occupations


def test_careers_without_labels_are_predicted(tmp_path, processor, encoded):
    trainer = plain_trainer(processor, encoded, tmp_path, metrics=True, per_device_eval_batch_size=5)
    predicted = trainer.predict(encoded.remove_columns("labels"))
    assert predicted.label_ids is None
    row = encoded[7]
    inputs = {name: torch.tensor(row[name])[None] for name in ("input_ids", "covariates")}
    with torch.no_grad():
        alone = trainer.model(**inputs).logits[0]
    np.testing.assert_allclose(predicted.predictions[7, : len(alone)], alone, atol=1e-5)
    metrics = trainer.predict(encoded).metrics
    assert metrics["test_nll"] == pytest.approx(trainer.evaluate(encoded)["eval_nll"], abs=1e-9)


def test_accumulation_gives_the_parameters_of_one_big_batch(tmp_path, processor, encoded):
    whole = trained(processor, encoded, tmp_path, optim="sgd", per_device_train_batch_size=16)
    parts = trained(
        processor, encoded, tmp_path, optim="sgd", per_device_train_batch_size=4, gradient_accumulation_steps=4
    )
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=1e-6)


def test_resuming_is_bit_for_bit(tmp_path, processor, encoded):
    settings = {"dropout": 0.1, "save_strategy": "steps", "save_steps": 2, "max_steps": 5}
    whole = trained(processor, encoded, tmp_path, **settings)
    resumed = trained(processor, encoded, tmp_path, resume=str(tmp_path / "checkpoint-2"), **settings)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


@pytest.mark.parametrize(
    "settings",
    [
        {"train_sampling_strategy": "group_by_length"},
        {"dataloader_num_workers": 2},
        {"dataloader_num_workers": 1, "dataloader_persistent_workers": True},
        {"bf16": True},
        {"eval_accumulation_steps": 1, "per_device_eval_batch_size": 7},
        {"remove_unused_columns": False},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_arguments_of_trainer_work(tmp_path, processor, encoded, settings):
    trainer = plain_trainer(processor, encoded, tmp_path, metrics=True, max_steps=3, **settings)
    before = trainer.evaluate()["eval_nll"]
    result = trainer.train()
    assert result.global_step == 3 and np.isfinite(result.training_loss)
    assert trainer.evaluate()["eval_nll"] < before


def test_the_best_checkpoint_is_loaded(tmp_path, processor, encoded):
    best = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 2, "save_steps": 2}
    best |= {"load_best_model_at_end": True, "metric_for_best_model": "nll", "greater_is_better": False}
    trainer = plain_trainer(
        processor, encoded, tmp_path, metrics=True, learning_rate=0.3, lr_scheduler_type="constant", **best
    )
    trainer.train()
    history = [entry["eval_nll"] for entry in trainer.state.log_history if "eval_nll" in entry]
    assert trainer.evaluate()["eval_nll"] == pytest.approx(min(history), abs=1e-6)


def test_a_stream_trains_as_its_rows_do(tmp_path, processor, encoded):
    stream = trained(processor, encoded.to_iterable_dataset(), tmp_path, max_steps=3)
    rows = trained(processor, encoded, tmp_path, max_steps=3, train_sampling_strategy="sequential")
    for name, value in rows.items():
        torch.testing.assert_close(stream[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_keeps_every_column_on_its_side(processor, encoded, side):
    padder = CareerProcessor(**{**processor.to_dict(), "padding_side": side})
    rows = [{**row, "person": f"p{i}", "weight": i + 0.5} for i, row in enumerate(encoded.select(range(6)))]
    batch = padder.pad(rows, pad_to_multiple_of=8, return_tensors="np")
    assert set(batch) == {"input_ids", "labels", "covariates", "attention_mask", "weight"}
    longest = max(len(row["labels"]) for row in rows)
    assert batch["input_ids"].shape == (6, -(-longest // 8) * 8)
    assert batch["covariates"].shape == (*batch["input_ids"].shape, 2)
    for i, row in enumerate(rows):
        real, n = batch["attention_mask"][i].astype(bool), len(row["labels"])
        assert real.sum() == n and (real[-n:] if side == "left" else real[:n]).all()
        for name in ("input_ids", "labels", "covariates"):
            np.testing.assert_array_equal(batch[name][i][real], row[name])
        assert (batch["labels"][i][~real] == -100).all() and (batch["covariates"][i][~real] == 0).all()
        assert (batch["input_ids"][i][~real] == padder.pad_token_id).all()
    assert batch["weight"].tolist() == [row["weight"] for row in rows]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    again = padder.pad(columns, padding="max_length", max_length=batch["input_ids"].shape[1], return_tensors="np")
    assert all((again[name] == batch[name]).all() for name in batch)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"input_ids": [1], "labels": [2]}, {"input_ids": [1]}], {}, "career 1 of the batch has no 'labels'"),
        ([{"input_ids": [1, 2], "labels": [2]}], {}, "has 1 steps in 'labels' and 2 in 'input_ids'"),
        ([{"input_ids": [1, 0], "attention_mask": [1, 0]}], {}, "padded already"),
        ([{"input_ids": [1, 2]}], {"padding": "max_length", "max_length": 1}, "has 2 steps and max_length is 1"),
        ([{"input_ids": [1, 2]}, {"input_ids": [1]}], {"padding": False}, "needs padding=True"),
        ([], {}, "no careers in this batch"),
        ([{"input_ids": []}], {}, "has no step"),
        ([{"labels": [2]}], {}, "has no 'input_ids'"),
    ],
)
def test_what_cannot_be_padded_is_refused(processor, rows, options, message):
    with pytest.raises(ValueError, match=message):
        processor.pad(rows, **options)
