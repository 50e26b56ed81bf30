"""Training from files of careers: through the stock Trainer, from a folder, and on from the middle of an epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import set_seed

from career_hf import CareerForOccupationPrediction, load_checkpoint, train, transition_table
from career_hf.careers import CareerShards, save_shards
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.training.trainer import build_trainer, scratch_recipe


TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def some_careers(people: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        years = 1990 + np.arange(int(rng.integers(1, 10)))
        labels = rng.choice(["clerk", "cook", "nurse"], len(years), p=[0.6, 0.3, 0.1]).tolist()
        row = {"person": f"{seed}-{person}", "year": years.tolist(), "occupation": labels}
        rows.append(row | {"weight": float(rng.gamma(2.0, 0.5))})
    return Dataset.from_list(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("careers")
    save_shards(some_careers(160, 0), folder / "train", people_per_group=8)
    save_shards(some_careers(30, 1), folder / "validation")
    return folder


def test_going_on_in_the_middle_of_an_epoch_equals_never_having_stopped_bit_for_bit(tmp_path, folder):
    shards = CareerShards(folder / "train", people=40)
    processor = CareerProcessor.fit(shards)
    encoded, _ = processor.encode(shards)
    validation, _ = processor.encode(some_careers(20, 1), unknown_levels="missing")

    def trainer(name: str):
        recipe = scratch_recipe(
            processor, tmp_path / name, config_overrides=TINY, tokens_per_batch=100, gradient_accumulation_steps=2,
            learning_rate=1e-2, warmup_steps=2, max_steps=11, eval_steps=5, save_steps=5, use_cpu=True,
            disable_tqdm=True, load_best_model_at_end=False,
            save_total_limit=None,
        )  # fmt: skip
        set_seed(0)
        return build_trainer(CareerForOccupationPrediction(recipe.config), processor, recipe, encoded, validation)

    whole = trainer("whole")
    whole.train()
    assert whole.train_dataset.batches_per_epoch == 9 and whole.state.epoch > 1
    resumed = trainer("parts")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-5"))
    expected = dict(whole.model.named_parameters())
    assert all(torch.equal(values, expected[name]) for name, values in resumed.model.named_parameters())
    (stage,) = resumed.processing_class.training_stages
    assert (stage["people"], stage["person_years"]) == (160, shards.steps)


def test_train_reads_a_folder_of_files_and_scores_part_by_part(tmp_path, folder):
    settings = {"fields": TINY, "tokens_per_batch": 200, "max_steps": 3, "eval_steps": 3, "warmup_steps": 1}
    settings |= {"weighted": True}
    trained = train(folder, output=tmp_path / "run", **settings)
    (stage,) = load_checkpoint(tmp_path / "run")[1].training_stages
    assert stage["people"] == 160 and stage["last_year"] == 1998 and "people_hashes" in stage
    validation = CareerShards(folder / "validation", people=10)
    nll = -np.concatenate(
        [transition_table(trained, part, unknown_levels="missing")["log_prob"] for part in validation]
    )
    assert nll.mean() == pytest.approx(trained.metrics["eval_nll"], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoff": 1995}, "cutoff=1995 needs careers in memory"),
        ({"model": "markov-1"}, "markov-1 is counted from careers in memory"),
        ({"job_dropout": 0.5}, "job dropout is for careers in memory"),
    ],
)
def test_what_files_cannot_do_is_said_in_one_line(folder, options, message):
    settings = {} if "model" in options else {"fields": TINY, "max_steps": 2, "eval_steps": 2}
    with pytest.raises(ValueError, match=message):
        train(folder, **settings, **options)
