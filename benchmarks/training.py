"""Training speed of CAREER through the stock Trainer, against Hugging Face's GPT-2 of the same size in the same
process.

    python benchmarks/training.py                            # both sizes, both dtypes, one thread, CPU time
    python benchmarks/training.py --size small --dtype float32 --rounds 5
    python benchmarks/training.py --threads 2 --clock wall

Steps (person-years, padding not counted) per second, median over rounds in which the programs take turns; every
program sees the same careers, each once a round, about 16,000 steps an update, dropout 0.1 and fused AdamW. GPT-2
reads its rows through our Arrow buffers as well, so that the comparison is of training alone, and accumulates over
micro-batches too, because whole batches are slower. CAREER has five covariates and two-stage prediction, which GPT-2
has not. "x by length" compares with the faster of GPT-2's two length-grouped programs. Default clock: CPU time of the
process, which other programs disturb least.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    logging,
    set_seed,
)

from career_hf import CareerForOccupationPrediction
from career_hf.encoding.collating import EncodedCareers, FlatCareers, FlatteningCollator, PaddingCollator
from career_hf.encoding.micro_batches import MicroBatches
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.attention import SDPA_BY_LENGTH
from career_hf.training.trainer import Recipe, build_trainer, pretraining_recipe, scratch_recipe


OCCUPATIONS = 330
COVARIATE_LEVELS = {"education": 5, "state": 50, "ethnicity": 6, "gender": 3}
PEOPLE_PER_BATCH = 1_552  # of mean length 10.3: 16,000 steps
# Micro-batches of a GPT-2 update, in the number that made each of its programs fastest (of 1, 8 and 32).
RANDOM_PARTS, SORTED_PARTS = 32, 8


def synthetic_careers(people: int) -> Dataset:
    """Careers shaped like a survey's: gamma lengths of mean 10.3 and at most 50, 32% moves, five covariates with the
    year."""
    rng = np.random.default_rng(0)
    lengths = rng.gamma(1.6, 10.3 / 1.6, people).round().clip(1, 50).astype(np.int64)
    steps, offsets = lengths.sum(), np.append(0, lengths.cumsum())
    starts = offsets[:-1]
    moves = rng.random(steps) < 0.32
    moves[starts] = True
    occupations = rng.integers(0, OCCUPATIONS, steps)[np.maximum.accumulate(np.where(moves, np.arange(steps), 0))]
    years = 1980 + np.arange(steps) - np.repeat(starts - rng.integers(0, 10, people), lengths)

    def column(values: np.ndarray, kind: pa.DataType) -> pa.ListArray:
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values).cast(kind))

    columns = {
        "person": pa.array(np.arange(people)).cast(pa.string()),
        "year": column(years, pa.int32()),
        "occupation": column(occupations, pa.string()),
    }
    for name, levels in COVARIATE_LEVELS.items():
        columns[name] = column(rng.integers(0, levels, steps), pa.string())
    return Dataset(pa.table(columns))


class Stopwatch(TrainerCallback):
    """CPU and wall seconds of an epoch, without Trainer's start and end."""

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def on_epoch_end(self, args, state, control, **kwargs):
        self.cpu, self.wall = time.process_time() - self.cpu, time.perf_counter() - self.wall


@dataclass
class Program:
    """One of the programs that take turns: `run` trains on every career once and returns CPU and wall seconds."""

    name: str
    run: Callable[[], tuple[float, float]]


def through_trainer(trainer: Trainer) -> Callable[[], tuple[float, float]]:
    stopwatch = Stopwatch()
    trainer.add_callback(stopwatch)
    trainer.remove_callback(PrinterCallback)

    def run() -> tuple[float, float]:
        trainer.train()
        return stopwatch.cpu, stopwatch.wall

    return run


def quiet(output_dir: str, dtype: str) -> dict[str, Any]:
    """Arguments that every Trainer here shares: one epoch, and nothing but training."""
    return {
        "output_dir": output_dir,
        "num_train_epochs": 1,
        "max_steps": -1,
        "bf16": dtype == "bfloat16",
        "use_cpu": True,
        "eval_strategy": "no",
        "save_strategy": "no",
        "load_best_model_at_end": False,
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def career_programs(recipe: Recipe, processor: CareerProcessor, encoded: Dataset) -> list[Program]:
    """CAREER through `build_trainer`, and the same updates in a bare loop, which shows what Trainer costs."""
    set_seed(0)
    model = CareerForOccupationPrediction(recipe.config)
    trainer = build_trainer(model, processor, recipe, encoded, encoded)
    bare_model = CareerForOccupationPrediction(recipe.config)
    bare_model.set_attn_implementation(SDPA_BY_LENGTH)
    optimizer, scheduler = recipe.make_optimizer(bare_model)
    parts = recipe.arguments.gradient_accumulation_steps
    micro_batches = trainer.train_dataset
    if not isinstance(micro_batches, MicroBatches):
        raise TypeError(f"the training dataset is a {type(micro_batches).__name__}")

    def bare_loop() -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        bare_model.train()
        for first in range(0, len(micro_batches), parts):
            batch = [micro_batches[i] for i in range(first, first + parts)]
            scored = sum((part["labels"] != -100).sum() for part in batch)
            for part in batch:
                with torch.autocast("cpu", torch.bfloat16, enabled=recipe.arguments.bf16):
                    loss = bare_model(**part, num_items_in_batch=scored).loss
                loss.backward()
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        return time.process_time() - cpu, time.perf_counter() - wall

    return [Program("CAREER", through_trainer(trainer)), Program("CAREER, bare loop", bare_loop)]


def gpt2_program(name: str, strategy: str, parts: int, rows: EncodedCareers, recipe: Recipe) -> Program:
    """GPT-2 of the recipe's size with its own loss, on padded batches of Trainer's own samplers."""
    config = recipe.config
    set_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=64,
            n_embd=config.hidden_size,
            n_layer=config.num_hidden_layers,
            n_head=config.num_attention_heads,
            n_inner=config.intermediate_size,
            bos_token_id=config.bos_token_id,
            eos_token_id=config.bos_token_id,
            use_cache=False,
        )
    )
    padding = PaddingCollator()

    def collate(careers: list[dict]) -> dict[str, torch.Tensor]:
        flat = FlatCareers.from_rows([{"input_ids": c["labels"], "labels": c["labels"]} for c in careers])
        batch = padding(flat)
        return batch | {"attention_mask": (batch["labels"] != -100).long()}

    arguments = TrainingArguments(
        **quiet(str(recipe.arguments.output_dir), "bfloat16" if recipe.arguments.bf16 else "float32"),
        per_device_train_batch_size=-(-PEOPLE_PER_BATCH // parts),
        gradient_accumulation_steps=parts,
        train_sampling_strategy=strategy,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        max_grad_norm=0,
    )
    trainer = Trainer(model=model, args=arguments, data_collator=collate, train_dataset=rows)
    return Program(name, through_trainer(trainer))


def sorted_by_length(encoded: Dataset) -> EncodedCareers:
    """Rows in the order of `group_by_length` with very many careers: each micro-batch of one length, in random order.

    Trainer's own strategy sorts within 50 batches at most, and within one when there are as few careers as here.
    """
    rows = PEOPLE_PER_BATCH // SORTED_PARTS
    parts = np.array_split(np.argsort(encoded["length"], kind="stable"), len(encoded) // rows)
    order = np.random.default_rng(0).permutation(len(parts))
    return EncodedCareers(encoded.select(np.concatenate([parts[i] for i in order])))


def compare(size: str, dtype: str, options: argparse.Namespace, output_dir: str) -> None:
    """Prints the table of one size and dtype."""
    updates = options.updates or {"small": 4, "large": 1}[size]
    careers = synthetic_careers(PEOPLE_PER_BATCH * updates)
    processor = CareerProcessor.fit(careers, covariates=("year", *COVARIATE_LEVELS))
    encoded, _ = processor.encode(careers)
    rows = EncodedCareers(encoded)
    steps = int(rows.lengths.sum())
    arguments = quiet(output_dir, dtype)
    recipe = {"small": scratch_recipe, "large": pretraining_recipe}[size](processor, **arguments)
    programs = [
        *career_programs(recipe, processor, encoded),
        gpt2_program("GPT-2, random", "random", RANDOM_PARTS, rows, recipe),
        gpt2_program("GPT-2, group_by_length", "group_by_length", RANDOM_PARTS, rows, recipe),
        gpt2_program("GPT-2, sorted by length", "sequential", SORTED_PARTS, sorted_by_length(encoded), recipe),
    ]
    seconds: dict[str, list[tuple[float, float]]] = {program.name: [] for program in programs}
    for _ in range(options.rounds):
        for program in programs:
            seconds[program.name].append(program.run())
    clock = 0 if options.clock == "cpu" else 1
    rate = {name: steps / statistics.median(run[clock] for run in runs) for name, runs in seconds.items()}
    other = {name: steps / statistics.median(run[1 - clock] for run in runs) for name, runs in seconds.items()}

    by_length = max(rate["GPT-2, group_by_length"], rate["GPT-2, sorted by length"])
    print(f"\n{size}, {dtype}: {steps:,} steps, {options.rounds} rounds, {options.threads} thread(s)")
    print(f"{'':26}{options.clock:>10} steps/s {'x random':>10}{'x by length':>13}{'other clock':>14}")
    for name in rate:
        to_random, to_length = rate[name] / rate["GPT-2, random"], rate[name] / by_length
        print(f"{name:26}{rate[name]:>18,.0f} {to_random:>10.2f}{to_length:>13.2f}{other[name]:>14,.0f}")
    update = recipe.tokens_per_batch
    overhead = update / rate["CAREER"] - update / rate["CAREER, bare loop"]
    print(f"Trainer over a bare loop: {overhead * 1e3:+.1f} ms an update ({overhead * rate['CAREER'] / update:+.1%})")
    data = data_path_rate(recipe, encoded)
    print(f"data path alone: {data:,.0f} steps/s, {rate['CAREER'] / data:.2%} of an update")


def data_path_rate(recipe: Recipe, encoded: Dataset, passes: int = 20) -> float:
    """Steps per CPU second of drawing, gathering and collating micro-batches, without a model."""
    parts = recipe.arguments.gradient_accumulation_steps
    micro_batches = MicroBatches(encoded, FlatteningCollator(), recipe.tokens_per_batch, parts)
    steps, start = 0, time.process_time()
    for epoch in range(passes):
        micro_batches.set_epoch(epoch)
        steps += sum(micro_batches[i]["labels"].numel() for i in range(len(micro_batches)))
    return steps / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "large"], nargs="+", default=["small", "large"])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, help="updates of 16,000 steps a round (default: small 4, large 1)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as output_dir:
        for size in options.size:
            for dtype in options.dtype:
                compare(size, dtype, options, output_dir)


if __name__ == "__main__":
    main()
