"""Every argument of Trainer works in `build_trainer` or is refused; a new one has to be looked at."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from test_training import one_thread, parameters_of, some_careers, tiny_trainer  # noqa: F401  # a fixture
from transformers import TrainingArguments
from transformers.utils import logging

from career_hf.encoding.processing_career import CareerProcessor
from career_hf.training.argument_checks import NEEDED
from career_hf.training.trainer import build_trainer, scratch_recipe


REFUSED = {
    "per_device_train_batch_size": 8,
    "train_sampling_strategy": "random",
    "remove_unused_columns": True,
    "dataloader_drop_last": True,
    "auto_find_batch_size": True,
    "optim": "sgd",
    "optim_args": "momentum=0.9",
    "optim_target_modules": ["head"],
    "lr_scheduler_kwargs": {"timescale": 3},
    "label_smoothing_factor": 0.1,
    "average_tokens_across_devices": False,
    "torch_compile": True,
    "prediction_loss_only": True,
    "batch_eval_metrics": True,
    "eval_do_concat_batches": False,
    "label_names": ["input_ids"],
}
# These need programs that are not installed with this package, so they are refused by the same rule without a run.
REFUSED_UNTRIED = {"use_liger_kernel", "fsdp", "deepspeed", "parallelism_config"}

# The recipe's own numbers, with tests of their own.
OF_THE_RECIPE = {
    "output_dir", "num_train_epochs", "max_steps", "learning_rate", "lr_scheduler_type", "warmup_steps",
    "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "gradient_accumulation_steps", "seed", "data_seed",
    "eval_strategy", "eval_steps", "per_device_eval_batch_size", "save_strategy", "save_steps", "save_total_limit",
    "load_best_model_at_end", "metric_for_best_model", "greater_is_better", "bf16", "use_cpu",
    "restore_callback_states_from_checkpoint", "resume_from_checkpoint", "disable_tqdm", "report_to",
    "dataloader_num_workers", "dataloader_persistent_workers", "max_grad_norm", "accelerator_config",
}  # fmt: skip

# Stock Trainer handles these, around the model, the batches and the optimizer that it is given.
OF_TRAINER = {
    "fp16", "bf16_full_eval", "fp16_full_eval", "tf32", "activation_checkpointing", "activation_checkpointing_kwargs",
    "gradient_checkpointing", "gradient_checkpointing_kwargs", "torch_compile_backend", "torch_compile_mode",
    "liger_kernel_config", "use_cache", "neftune_noise_alpha", "torch_empty_cache_steps", "logging_strategy",
    "logging_steps", "logging_first_step", "log_on_each_node", "logging_nan_inf_filter",
    "include_num_input_tokens_seen", "log_level", "log_level_replica", "run_name", "project", "trackio_space_id",
    "trackio_bucket_id", "trackio_static_space_id", "eval_delay", "eval_on_start", "eval_use_gather_object",
    "eval_accumulation_steps", "include_for_metrics", "save_only_model", "save_on_each_node",
    "enable_jit_checkpoint", "push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy",
    "hub_always_push", "hub_revision", "ignore_data_skip", "full_determinism", "fsdp_config",
    "dataloader_pin_memory", "dataloader_prefetch_factor",
    "dataloader_multiprocessing_context", "dataloader_in_order", "length_column_name", "ddp_find_unused_parameters",
    "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph", "ddp_backend", "ddp_timeout", "debug",
    "skip_memory_metrics", "do_train", "do_eval", "do_predict", "local_rank",
}  # fmt: skip


def test_every_argument_is_known():
    fields = {field.name for field in dataclasses.fields(TrainingArguments)}
    assert fields - OF_THE_RECIPE - OF_TRAINER - REFUSED.keys() - REFUSED_UNTRIED == set()
    assert set(NEEDED) == REFUSED.keys() | REFUSED_UNTRIED


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_honoured_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}=.* cannot be used with a recipe"):
        tiny_trainer(tmp_path, **{name: REFUSED[name]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("learning_rate", value) for value in (float("inf"), float("nan"), -1e-3, 0, "fast")],
        *[("max_steps", value) for value in (0, -1, -5, 2.5)],
        *[("warmup_steps", value) for value in (-1, float("nan"), 1.5)],
        ("eval_steps", -1),
        ("save_steps", 0),
        ("patience", 0),
        ("tokens_per_batch", 0),
        ("gradient_accumulation_steps", 0),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=name) as error:
        tiny_trainer(tmp_path, **{name: value})
    assert "\n" not in str(error.value)


def test_a_number_of_epochs_takes_the_place_of_the_number_of_updates(tmp_path):
    processor = CareerProcessor.fit(some_careers(), covariates=("year", "education"))
    with pytest.raises(ValueError, match="give one of them"):
        scratch_recipe(processor, tmp_path, num_train_epochs=2, max_steps=10)
    trainer = tiny_trainer(tmp_path, num_train_epochs=2, max_steps=-1, lr_scheduler_type="linear")
    updates = 2 * trainer.train_dataset.batches_per_epoch
    assert trainer.train().global_step == updates
    assert trainer.lr_scheduler.get_last_lr() == [0.0]


@pytest.mark.parametrize("length", [{"max_steps": 8}, {"num_train_epochs": 2, "max_steps": -1}])
def test_a_warmup_that_is_longer_than_the_run_is_a_warning_whatever_says_how_long_it_is(tmp_path, caplog, length):
    logging.enable_propagation()
    try:
        tiny_trainer(tmp_path, warmup_steps=500, **length)
    finally:
        logging.disable_propagation()
    assert "warmup_steps is 500 and max_steps 8, so training ends before its learning rate peaks" in caplog.text


def test_a_share_of_warmup_is_that_share_of_all_updates(tmp_path):
    share, number = tiny_trainer(tmp_path, warmup_steps=0.25), tiny_trainer(tmp_path, warmup_steps=2)
    for trainer in (share, number):
        trainer.train()
    other = parameters_of(number)
    assert all(torch.equal(value, other[name]) for name, value in parameters_of(share).items())


def test_a_run_shorter_than_the_papers_warm_up_warms_up_for_a_tenth(tmp_path):
    processor = CareerProcessor.fit(some_careers(), covariates=("year", "education"))
    warmups = [scratch_recipe(processor, tmp_path, max_steps=n).arguments.warmup_steps for n in (4, 500, 501)]
    assert warmups == [0, 50, 500]


@pytest.mark.parametrize(
    "settings",
    [
        {"dataloader_num_workers": 1},
        {"dataloader_num_workers": 2, "dataloader_persistent_workers": True},
        {"eval_accumulation_steps": 1},
    ],
    ids=str,
)
def test_loaders_change_nothing(tmp_path, settings):
    """Over three epochs, of which a worker has to be told."""
    plain, other = tiny_trainer(tmp_path, max_steps=12), tiny_trainer(tmp_path, max_steps=12, **settings)
    losses = [trainer.train().training_loss for trainer in (plain, other)]
    expected = parameters_of(plain)
    assert plain.state.epoch > 2 and losses[0] == losses[1]
    assert all(torch.equal(value, expected[name]) for name, value in parameters_of(other).items())


def test_a_stream_is_refused_in_one_line(tmp_path):
    processor = CareerProcessor.fit(some_careers(), covariates=("year", "education"))
    encoded, _ = processor.encode(some_careers())
    recipe = scratch_recipe(processor, tmp_path)
    with pytest.raises(ValueError, match="the training careers are a IterableDataset.*plain Trainer"):
        build_trainer(None, processor, recipe, encoded.to_iterable_dataset(), encoded)


def test_the_loss_covers_every_update_and_samples_are_people(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=9, logging_steps=100)
    result = trainer.train()
    losses = {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}
    assert list(losses) == [4, 8, 9]
    mean = np.average(list(losses.values()), weights=[4, 4, 1])
    assert result.training_loss == pytest.approx(mean, abs=1e-6)
    people = result.metrics["train_samples_per_second"] * result.metrics["train_runtime"]
    assert people == pytest.approx(90 * trainer.state.epoch, rel=0.01)
