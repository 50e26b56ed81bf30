"""Job dropout: what is drawn, what it hides, and training with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from encoded_examples import encoded_careers, small_model
from hypothesis import given, settings
from hypothesis import strategies as st
from test_training import parameters_of, some_careers, tiny_trainer
from transformers import Trainer, TrainingArguments

from career_hf.encoding.collating import EncodedCareers, PaddingCollator
from career_hf.encoding.job_dropout import JobDropoutCollator, draw_kept_steps, job_dropout_mask
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.rivals.bag_of_jobs import BagOfJobsConfig
from career_hf.training.trainer import baseline_recipe, scratch_recipe


def test_a_uniform_number_of_steps_is_kept_at_uniform_places():
    """Five steps: each of 0 to 5 kept steps as often as any other, each step in half of the draws, none together."""
    torch.manual_seed(0)
    people = 60_000
    kept = draw_kept_steps(torch.full((people,), 5), probability=1.0)
    shares = torch.bincount(kept.sum(1), minlength=6) / people
    error = 4 * (1 / 6 * 5 / 6 / people) ** 0.5
    assert (shares - 1 / 6).abs().max() < error
    assert (kept.float().mean(0) - 0.5).abs().max() < 4 * 0.5 / people**0.5
    # Given how many are kept, every pair of places is as likely as any other.
    two = kept[kept.sum(1) == 2].float()
    pairs = (two.T @ two)[np.triu_indices(5, 1)] / len(two)
    assert (pairs - 0.1).abs().max() < 4 * (0.09 / len(two)) ** 0.5


def test_with_probability_one_half_nothing_is_dropped():
    torch.manual_seed(0)
    people, steps = 20_000, 4
    whole = draw_kept_steps(torch.full((people,), steps)).all(1).float().mean()
    expected = 0.5 + 0.5 / (steps + 1)  # all of them may be what is drawn to be kept
    assert abs(whole - expected) < 4 * (expected * (1 - expected) / people) ** 0.5
    assert draw_kept_steps(torch.tensor([3, 4]), probability=0.0).sum(1).tolist() == [4, 4]


def test_people_of_different_lengths_lose_steps_of_their_own():
    torch.manual_seed(0)
    lengths = torch.tensor([1, 8]).repeat(20_000)
    kept = draw_kept_steps(lengths, probability=1.0)
    short, long = kept[::2, :1], kept[1::2]
    for drawn, number in [(short, 1), (long, 8)]:
        shares = torch.bincount(drawn.sum(1), minlength=number + 1) / len(drawn)
        assert (shares - 1 / (number + 1)).abs().max() < 0.02
    assert not (kept[0] == kept[1]).all()


def test_the_originals_draw_is_one_for_the_batch():
    """Places out of the longest career's steps and one more, the same for everybody."""
    torch.manual_seed(0)
    lengths = torch.tensor([2, 5, 3])
    drawn = [draw_kept_steps(lengths, probability=1.0, per="batch") for _ in range(4_000)]
    assert all((kept == kept[0]).all() and kept.shape == (3, 5) for kept in drawn)
    first = torch.stack([kept[0] for kept in drawn])
    # k of 6 places are kept, k uniform on 0 to 6, and the sixth is nobody's.
    none = (1 / 7) * (1 + 1 / 6)  # k = 0, or k = 1 and that place
    assert abs((~first.any(1)).float().mean() - none) < 4 * (none * (1 - none) / len(first)) ** 0.5
    assert (first.float().mean(0) - 0.5).abs().max() < 4 * 0.5 / len(first) ** 0.5


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_nothing_learns_what_a_hidden_step_was(data):
    model = small_model().double().eval()
    careers = EncodedCareers(encoded_careers(6, seed=data.draw(st.integers(0, 9))))
    batch = PaddingCollator()(careers.gather(np.arange(6)))
    time = batch["input_ids"].shape[1]
    kept = torch.tensor([[data.draw(st.booleans()) for _ in range(time)] for _ in range(6)])
    mask = job_dropout_mask(kept, torch.float64)
    with torch.no_grad():
        before = model(batch["input_ids"], batch["covariates"], attention_mask=mask).logits
        slot = data.draw(st.integers(0, time - 1))
        ids, levels = batch["input_ids"].clone(), batch["covariates"].clone()
        ids[:, slot] = (ids[:, slot] - 1) % 11
        levels[:, slot] = (levels[:, slot] + 1) % 4
        after = model(ids, levels, attention_mask=mask).logits
    changed = (before != after).any(-1)
    assert not changed[:, :slot].any() and changed[:, slot].all()
    assert not changed[~kept[:, slot], slot + 1 :].any()
    assert changed[kept[:, slot], slot + 1 :].all()


def test_without_dropping_batches_give_the_same_loss():
    model, careers = small_model().double().train(), EncodedCareers(encoded_careers(40))
    flat = careers.gather(np.arange(40))
    plain, masked = PaddingCollator()(flat), JobDropoutCollator(probability=0.0)(flat)
    assert masked["attention_mask"].shape == (40, 1, 12, 12)
    masked["attention_mask"] = masked["attention_mask"].double()
    assert model(**masked).loss.item() == pytest.approx(model(**plain).loss.item(), rel=1e-12)
    masked = JobDropoutCollator(probability=1.0)(flat)
    masked["attention_mask"] = masked["attention_mask"].double()
    assert model(**masked).loss.item() != pytest.approx(model(**plain).loss.item(), rel=1e-9)


def test_bfloat16_takes_the_mask():
    model, careers = small_model().train(), EncodedCareers(encoded_careers(40))
    batch = JobDropoutCollator()(careers.gather(np.arange(40)))
    exact = model(**batch).loss
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(**batch).loss
    assert rounded.item() == pytest.approx(exact.item(), rel=0.02)


def test_any_trainer_can_use_it(tmp_path):
    """No recipe: rows of encoded careers, and the collator as `data_collator`."""
    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=3,
        per_device_train_batch_size=8,
        remove_unused_columns=False,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
    )
    model = small_model()
    before = parameters_of(Trainer(model, arguments))
    trainer = Trainer(model, arguments, data_collator=JobDropoutCollator(), train_dataset=encoded_careers(30))
    trainer.train()
    assert any((value != before[name]).any() for name, value in parameters_of(trainer).items())


@pytest.mark.parametrize("per", ["person", "batch"])
def test_recipes_train_with_it_and_validate_on_whole_careers(tmp_path, per):
    plain = tiny_trainer(tmp_path / "plain", layout="padded")
    dropping = tiny_trainer(tmp_path / "dropping", job_dropout=1.0, job_dropout_per=per)
    assert plain.evaluate()["eval_nll"] == dropping.evaluate()["eval_nll"]
    assert plain.train().training_loss != dropping.train().training_loss
    assert dropping.train_dataset.collator.per == per
    assert plain.train_dataset[0].keys() | {"attention_mask"} == dropping.train_dataset[0].keys()


def test_resuming_equals_never_having_stopped_bit_for_bit(tmp_path):
    settings = {"dropout": 0.1, "max_steps": 9, "save_steps": 5, "eval_steps": 5, "load_best_model_at_end": False}
    settings |= {"job_dropout": 0.5}
    whole = tiny_trainer(tmp_path / "whole", **settings)
    whole.train()
    tiny_trainer(tmp_path / "parts", **settings).train()
    resumed = tiny_trainer(tmp_path / "parts", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-5"))
    expected = parameters_of(whole)
    for name, parameter in parameters_of(resumed).items():
        assert torch.equal(parameter, expected[name]), name


def test_wrong_settings_are_errors(tmp_path):
    processor = CareerProcessor.fit(some_careers(), covariates=("education",))
    with pytest.raises(ValueError, match="not 'flat'"):
        scratch_recipe(processor, tmp_path, job_dropout=0.5, layout="flat")
    with pytest.raises(ValueError, match="not for rivals"):
        baseline_recipe(BagOfJobsConfig(**processor.config_kwargs()), tmp_path, job_dropout=0.5)
    with pytest.raises(ValueError, match="probability 50"):
        JobDropoutCollator(probability=50)
    with pytest.raises(ValueError, match="per 'year'"):
        JobDropoutCollator(per="year")
