"""Training through the stock Trainer: exact metrics, exact accumulation, exact resumption, the paper's numbers."""

from __future__ import annotations

import gc
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from transformers import Trainer, set_seed

from career_hf import CareerForOccupationPrediction, load_checkpoint, train
from career_hf.careers import save_careers, save_shards
from career_hf.careers.splits import split_careers
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.trained_models import TrainedModel
from career_hf.training.trainer import (
    build_trainer,
    finetuning_recipe,
    inverse_sqrt_rate,
    pretraining_recipe,
    scratch_recipe,
)


TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
NO_DROPOUT = {"hidden_dropout": 0.0, "attention_dropout": 0.0}


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small train many times slower on several threads when the machine is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def some_careers(people: int = 120, seed: int = 0, weight: bool = False) -> datasets.Dataset:
    """Careers among five occupations, in which most steps are stays and education shifts the odds."""
    rng = np.random.default_rng(seed)
    names = np.array(["clerk", "cook", "farmer", "nurse", "teacher"])
    rows: list[dict] = []
    for person in range(people):
        length, education = int(rng.integers(1, 13)), int(rng.integers(3))
        occupation = rng.choice(3, length) + education
        for t in np.flatnonzero(rng.random(length - 1) < 0.6) + 1:
            occupation[t] = occupation[t - 1]
        start = int(rng.integers(1980, 1984))
        row = {
            "person": f"p{person}",
            "year": list(range(start, start + length)),
            "occupation": names[occupation].tolist(),
            "education": ["primary", "secondary", "tertiary"][education],
        }
        rows.append(row | {"weight": float(rng.gamma(2.0, 0.5))} if weight else row)
    features = {
        "person": datasets.Value("string"),
        "year": datasets.List(datasets.Value("int32")),
        "occupation": datasets.List(datasets.Value("string")),
        "education": datasets.Value("string"),
    }
    if weight:
        features["weight"] = datasets.Value("float64")
    return datasets.Dataset.from_list(rows, features=datasets.Features(features))


def tiny_trainer(
    output_dir: str | Path, dropout: float = 0.0, weight: bool = False, callbacks=None, **settings
) -> Trainer:
    """A few updates of a two-layer model: about four updates an epoch, two micro-batches each."""
    careers = some_careers(weight=weight)
    train, validation = careers.select(range(90)), careers.select(range(90, 120))
    # Every level occurs in the first careers, so that the processor knows the validation careers.
    processor = CareerProcessor.fit(careers, covariates=("year", "education"))
    settings = {
        "config_overrides": TINY | {"hidden_dropout": dropout, "attention_dropout": dropout},
        "tokens_per_batch": 160,
        "gradient_accumulation_steps": 2,
        "learning_rate": 1e-2,
        "warmup_steps": 4,
        "max_steps": 8,
        "eval_steps": 4,
        "save_steps": 4,
        "use_cpu": True,
        "disable_tqdm": True,
    } | settings
    recipe = scratch_recipe(processor, output_dir, **settings)
    set_seed(0)
    model = CareerForOccupationPrediction(recipe.config)
    return build_trainer(
        model, processor, recipe, processor.encode(train)[0], processor.encode(validation)[0], callbacks
    )


def parameters_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}


def exact_nll(trainer: Trainer) -> tuple[float, float]:
    """(NLL, weighted NLL) per step of the validation careers, one person at a time, no Trainer and no collator."""
    model = trainer.model.eval().double()
    total = weighted = steps = weighted_steps = 0.0
    for row in trainer.eval_dataset:
        inputs = {name: torch.from_numpy(row[name].astype(np.int64))[None] for name in ("input_ids", "covariates")}
        log_probs = model(**inputs).logits[0].detach().numpy()
        nll = -log_probs[np.arange(len(row["labels"])), row["labels"]].sum()
        weight = float(row.get("weight", 1.0))
        total, steps = total + nll, steps + len(row["labels"])
        weighted, weighted_steps = weighted + weight * nll, weighted_steps + weight * len(row["labels"])
    model.float()
    return total / steps, weighted / weighted_steps


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_learning_rates_equal_the_original_programs(name, shared):
    schedule = json.loads((shared / "oracle" / "lr_schedule.json").read_text())["schedules"][name]
    for updates, rate in schedule["lr_after_num_updates"].items():
        ours = inverse_sqrt_rate(int(updates), schedule["lr"], schedule["warmup_updates"])
        assert ours == pytest.approx(rate, rel=1e-12)


def test_the_scheduler_gives_the_optimizer_those_rates(tmp_path):
    """After k updates: 1e-7 + k (lr - 1e-7) / warmup, then lr sqrt(warmup / k)."""
    trainer = tiny_trainer(tmp_path, learning_rate=1e-3, warmup_steps=4)
    rates = []
    for _ in range(9):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    rise = [1e-7 + k * (1e-3 - 1e-7) / 4 for k in range(4)]
    assert rates == pytest.approx(rise + [1e-3 * (4 / k) ** 0.5 for k in range(4, 9)], rel=1e-12)


def test_another_schedule_is_transformers_own(tmp_path):
    """Linear: up to the peak, then down to zero at the last update."""
    trainer = tiny_trainer(tmp_path, learning_rate=1e-3, warmup_steps=4, max_steps=9, lr_scheduler_type="linear")
    rates = []
    for _ in range(10):
        rates.append(trainer.optimizer.param_groups[0]["lr"])
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert rates == pytest.approx([1e-3 * k / 4 for k in range(4)] + [1e-3 * k / 5 for k in range(5, -1, -1)])


def test_recipes_hold_the_papers_numbers(tmp_path):
    processor = CareerProcessor.fit(some_careers(), covariates=("education",))
    large, small = (12, 192, 3, 768), (4, 64, 2, 256)
    expected = {
        pretraining_recipe: (large, 5e-4, 4_000, "pretraining"),
        finetuning_recipe: (large, 1e-4, 500, "finetuning"),
        scratch_recipe: (small, 5e-4, 500, "training"),
    }
    for make, (size, rate, warmup, stage) in expected.items():
        recipe = make(processor, tmp_path)
        config, arguments = recipe.config, recipe.arguments
        assert size == (
            config.num_hidden_layers,
            config.hidden_size,
            config.num_attention_heads,
            config.intermediate_size,
        )
        assert (arguments.learning_rate, arguments.warmup_steps, recipe.stage) == (rate, warmup, stage)
        assert (config.hidden_dropout, config.attention_dropout, recipe.tokens_per_batch) == (0.1, 0.1, 16_000)
        assert arguments.max_grad_norm == 0
    assert pretraining_recipe(processor, tmp_path).arguments.max_steps == 85_000


def test_overrides_reach_the_arguments_the_optimizer_and_the_model(tmp_path):
    processor = CareerProcessor.fit(some_careers(), covariates=("education",))
    recipe = scratch_recipe(
        processor,
        tmp_path,
        learning_rate=3e-3,
        tokens_per_batch=4_000,
        patience=2,
        config_overrides={"two_stage": False},
    )
    assert (recipe.arguments.learning_rate, recipe.tokens_per_batch, recipe.patience) == (3e-3, 4_000, 2)
    model = CareerForOccupationPrediction(recipe.config)
    optimizer, _ = recipe.make_optimizer(model)
    assert optimizer.param_groups[0]["initial_lr"] == 3e-3 and model.stay_head is None


def test_weight_decay_reaches_every_parameter_and_is_decoupled(tmp_path):
    """With zero gradients AdamW only decays: p (1 - lr x 0.01), for biases and LayerNorms too."""
    processor = CareerProcessor.fit(some_careers(), covariates=("education",))
    recipe = scratch_recipe(processor, tmp_path, config_overrides=TINY, warmup_steps=0, learning_rate=0.1)
    model = CareerForOccupationPrediction(recipe.config)
    optimizer, _ = recipe.make_optimizer(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] * (1 - 0.1 * 0.01), rtol=1e-6, atol=0)


def test_accumulating_over_1_2_or_4_micro_batches_gives_the_same_parameters(tmp_path):
    """A batch is the same people however it is cut, and its loss is divided by all its steps."""
    trained = []
    for parts in (1, 2, 4):
        trainer = tiny_trainer(tmp_path, gradient_accumulation_steps=parts, weight=True)
        trainer.train()
        trained.append(parameters_of(trainer))
    for other in trained[1:]:
        for name, parameter in trained[0].items():
            if (
                "qkv_proj.bias" not in name
            ):  # a third of it, the key bias, has no gradient but rounding, which Adam scales up
                torch.testing.assert_close(other[name], parameter, rtol=0, atol=1e-5)


def test_the_example_script_trains_and_writes_its_exact_perplexity(tmp_path, monkeypatch):
    save_careers(split_careers(some_careers(300)), tmp_path / "careers")
    script = Path(__file__).parents[2] / "examples" / "run_career.py"
    options = f"--data {tmp_path / 'careers'} --output_dir {tmp_path / 'run'} --max_steps 4 --eval_steps 2"
    options += " --tokens_per_batch 500 --gradient_accumulation_steps 1 --unknown_levels missing"
    monkeypatch.setattr(sys, "argv", [str(script), *options.split()])
    runpy.run_path(str(script), run_name="__main__")
    metrics = json.loads((tmp_path / "run" / "eval_results.json").read_text())
    assert metrics["eval_perplexity"] == pytest.approx(np.exp(metrics["eval_nll"]), rel=1e-12)
    assert CareerForOccupationPrediction.from_pretrained(tmp_path / "run").config.num_hidden_layers == 4
    assert CareerProcessor.from_pretrained(tmp_path / "run").covariate_names == ["year", "education"]


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_every_layout_trains_the_same_model(tmp_path, layout):
    flat, other = tiny_trainer(tmp_path), tiny_trainer(tmp_path, layout=layout)
    losses = [trainer.train().training_loss for trainer in (flat, other)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    assert other.evaluate()["eval_nll"] == pytest.approx(flat.evaluate()["eval_nll"], abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_evaluation_is_exact_at_any_batch_size(tmp_path, batch_size):
    trainer = tiny_trainer(tmp_path, weight=True, per_device_eval_batch_size=batch_size)
    metrics = trainer.evaluate()
    nll, weighted_nll = exact_nll(trainer)
    assert metrics["eval_nll"] == pytest.approx(nll, abs=1e-6)
    assert metrics["eval_weighted_nll"] == pytest.approx(weighted_nll, abs=1e-6)
    assert metrics["eval_perplexity"] == pytest.approx(np.exp(nll), rel=1e-6)
    assert abs(nll - weighted_nll) > 1e-4  # the two are told apart


def test_other_careers_can_be_evaluated_with_their_own_weights(tmp_path):
    trainer = tiny_trainer(tmp_path, weight=True)
    other, _ = trainer.processing_class.encode(some_careers(25, seed=5, weight=True))
    metrics = trainer.evaluate(other)
    trainer.eval_dataset = [{name: np.asarray(value) for name, value in row.items()} for row in other]
    nll, weighted_nll = exact_nll(trainer)
    assert metrics["eval_nll"] == pytest.approx(nll, abs=1e-6)
    assert metrics["eval_weighted_nll"] == pytest.approx(weighted_nll, abs=1e-6)


def test_resuming_equals_never_having_stopped_bit_for_bit(tmp_path):
    """With dropout on, from a checkpoint in the middle of an epoch."""
    settings = {"dropout": 0.1, "max_steps": 9, "save_steps": 5, "eval_steps": 5, "load_best_model_at_end": False}
    whole = tiny_trainer(tmp_path / "whole", **settings)
    whole.train()
    assert whole.train_dataset.batches_per_epoch not in (1, 5)
    tiny_trainer(tmp_path / "parts", **settings).train()
    resumed = tiny_trainer(tmp_path / "parts", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-5"))
    assert resumed.state.global_step == 9
    expected = parameters_of(whole)
    for name, parameter in parameters_of(resumed).items():
        assert torch.equal(parameter, expected[name]), name


def test_early_stopping_keeps_the_checkpoint_with_the_best_exact_nll(tmp_path):
    """A rate high enough to overfit: training stops early, and the best of all evaluations is what is kept."""
    trainer = tiny_trainer(
        tmp_path, learning_rate=5e-2, max_steps=400, eval_steps=4, save_steps=4, patience=3, save_total_limit=1
    )
    trainer.train()
    history = [entry["eval_nll"] for entry in trainer.state.log_history if "eval_nll" in entry]
    assert trainer.state.global_step < 400
    assert history.index(min(history)) == len(history) - 4
    assert exact_nll(trainer)[0] == pytest.approx(min(history), abs=1e-6)


def test_a_checkpoint_holds_the_processor_and_the_config_of_an_untrained_model(tmp_path):
    """Nothing of how it was trained (attention, cache) stays in config.json."""
    trainer = tiny_trainer(tmp_path)
    trainer.train()
    recipe = scratch_recipe(trainer.processing_class, tmp_path, config_overrides=TINY | NO_DROPOUT)
    CareerForOccupationPrediction(recipe.config).save_pretrained(tmp_path / "untrained")
    checkpoint = tmp_path / "checkpoint-8"
    configs = [json.loads((folder / "config.json").read_text()) for folder in (checkpoint, tmp_path / "untrained")]
    assert configs[0] == configs[1]
    processor = CareerProcessor.from_pretrained(checkpoint)
    assert [stage["stage"] for stage in processor.training_stages] == ["training"]


def test_a_processor_of_another_model_is_an_error(tmp_path):
    trainer = tiny_trainer(tmp_path)
    careers = some_careers(60).filter(lambda row: "nurse" not in row["occupation"])
    other = CareerProcessor.fit(careers, covariates=("year", "education"))
    encoded, _ = other.encode(careers)
    recipe = scratch_recipe(other, tmp_path, config_overrides=TINY)
    with pytest.raises(ValueError, match="the processor has .* the config"):
        build_trainer(trainer.model, other, recipe, encoded, encoded)


def test_weights_on_one_side_only_are_an_error_with_the_fix(tmp_path):
    careers = some_careers(weight=True)
    processor = CareerProcessor.fit(careers, covariates=("education",))
    encoded, _ = processor.encode(careers)
    recipe = scratch_recipe(processor, tmp_path, config_overrides=TINY)
    model = CareerForOccupationPrediction(recipe.config)
    with pytest.raises(ValueError, match="training careers have survey weights and the others do not"):
        build_trainer(model, processor, recipe, encoded, encoded.remove_columns("weight"))


def test_two_processes_equal_one_at_the_same_global_batch(tmp_path):
    """Parameters, losses and people per second; two processes of one micro-batch against one of two.

    The two start anew, and then go on from a checkpoint of the one. From files, through `train`, they have two
    micro-batches in the place of the one's single one, also when they go on in the middle of an epoch.
    """
    save_shards(some_careers(90), tmp_path / "shards" / "train", people_per_group=8)
    save_shards(some_careers(40, seed=1), tmp_path / "shards" / "validation")
    streamed = train_from_files(tmp_path / "shards", tmp_path / "streamed", max_steps=4)
    train_from_files(tmp_path / "shards", tmp_path / "resumed", max_steps=2)
    alone = tiny_trainer(tmp_path / "one", weight=True, gradient_accumulation_steps=2, load_best_model_at_end=False)
    expected = {"loss": torch.tensor(alone.train().training_loss), **parameters_of(alone)}
    expected["nll"] = torch.tensor(alone.evaluate()["eval_nll"])
    repository = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": repository, "OMP_NUM_THREADS": "1"}
    # accelerate's name for "several processes"; with --cpu it would start one, whatever --num_processes says.
    options = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", "0"]
    options += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", *options, __file__]
    launch += [str(tmp_path / "two"), str(tmp_path / "one" / "checkpoint-4")]
    finished = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    trained = torch.load(tmp_path / "two" / "parameters.pt", weights_only=False)
    for name, parameter in expected.items():
        if "qkv_proj.bias" not in name:
            torch.testing.assert_close(trained[name], parameter, rtol=0, atol=1e-6)
            if name != "loss":  # that of the updates since the checkpoint
                torch.testing.assert_close(trained["resumed"][name], parameter, rtol=0, atol=1e-6)
    for folder in ("streamed_by_two", "resumed"):
        model, processor = load_checkpoint(tmp_path / folder)
        assert processor.training_stages[0]["run"]["hardware"]["count"] == 2
        expected = dict(streamed.model.named_parameters())
        for name, parameter in model.named_parameters():
            if "qkv_proj.bias" not in name:
                torch.testing.assert_close(parameter, expected[name], rtol=0, atol=1e-6)
    assert trained["streamed_loss"] == pytest.approx(streamed.log[-1]["train_loss"], abs=1e-6)
    with pytest.raises(ValueError, match="several processes that train together need one folder"):
        raise trained["without_output"]
    people = 90 * alone.state.epoch
    assert trained["people"] == pytest.approx(people, rel=0.01)
    years = sum(map(len, some_careers(weight=True).select(range(90))["year"]))
    assert trained["person_years"] == pytest.approx(years * alone.state.epoch, rel=0.01)


def train_from_files(folder: Path, output: Path | None, max_steps: int, resume: bool = False) -> TrainedModel:
    return train(
        folder, covariates=["education"], output=output, fields=TINY, dropout=0.0, tokens_per_batch=150,
        learning_rate=1e-2, warmup_steps=1, max_steps=max_steps, eval_steps=1, resume=resume, recipe="paper",
    )  # fmt: skip


def train_as_one_of_two_processes(output_dir: Path, checkpoint: str) -> None:
    """What each process of the test above runs."""
    settings = {"weight": True, "gradient_accumulation_steps": 1, "load_best_model_at_end": False}
    trainer = tiny_trainer(output_dir, **settings)
    if trainer.args.world_size != 2:
        raise RuntimeError(f"launched {trainer.args.world_size} processes")
    result = trainer.train()
    numbers = {"nll": torch.tensor(trainer.evaluate()["eval_nll"]), "loss": torch.tensor(result.training_loss)}
    numbers["people"] = result.metrics["train_samples_per_second"] * result.metrics["train_runtime"]
    numbers["person_years"] = result.metrics["train_person_years_per_second"] * result.metrics["train_runtime"]
    resumed = tiny_trainer(output_dir, **settings)
    resumed.train(resume_from_checkpoint=checkpoint)
    later = parameters_of(resumed) | {"nll": torch.tensor(resumed.evaluate()["eval_nll"])}
    shards, root = output_dir.parent / "shards", output_dir.parent
    numbers["streamed_loss"] = train_from_files(shards, root / "streamed_by_two", max_steps=4).log[-1]["train_loss"]
    train_from_files(shards, root / "resumed", max_steps=4, resume=True)
    try:
        train_from_files(shards, None, max_steps=1)
    except ValueError as error:
        numbers["without_output"] = error
    if trainer.is_world_process_zero():
        torch.save(parameters_of(trainer) | numbers | {"resumed": later}, output_dir / "parameters.pt")


if __name__ == "__main__":
    train_as_one_of_two_processes(Path(sys.argv[1]), sys.argv[2])
    gc.collect()  # the model's distributed wrapper has to be gone before the process group
    torch.distributed.destroy_process_group()
