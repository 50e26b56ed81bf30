"""Training speed of CAREER through the stock Trainer, against the original program's loop and against Hugging Face's
GPT-2 of the same size, in turns in one process.

    python benchmarks/training.py                            # both sizes, one thread, CPU time
    python benchmarks/training.py --quick
    python benchmarks/training.py --size small --dtype float32 --rounds 5
    CAREER_HF_SHARED=FOLDER python benchmarks/training.py --output docs/explanation/speed

Steps (person-years, padding not counted) per second; every program sees the same careers, each once a round, about
16,000 steps an update, dropout 0.1 and fused AdamW. "survey" is the NLSY79, or the simulated market where it is not at
hand, whose careers are of similar length; "resumes" are random careers whose lengths differ more. "The original
program" is `original_program.py`, always in float32. GPT-2 reads its rows through our Arrow buffers, so that the
comparison is of training alone, and accumulates over micro-batches too, because whole batches are slower. CAREER has
five covariates and two-stage prediction, which GPT-2 has not. "by length" is the faster of GPT-2's two length-grouped
programs.

GFLOP/s count the arithmetic of the linear layers that is needed, not padding; "of the fastest library" divides them by
what the faster of MKL and oneDNN reaches on the products of the model's layers with 2,000 rows, in the same run.
`--shares` prints where the time of an update goes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from original_program import OriginalModel, original_batches, original_updates
from torch.profiler import ProfilerActivity, profile
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from turns import Program, measured_careers, parser, prepare, report, setting, some, take_turns

from career_hf import CareerForOccupationPrediction
from career_hf.encoding.collating import EncodedCareers, FlatCareers, PaddingCollator
from career_hf.encoding.micro_batches import MicroBatches
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.attention import SDPA_BY_LENGTH
from career_hf.models.cpu_layers import PRODUCTS
from career_hf.training.trainer import Recipe, build_trainer, pretraining_recipe, scratch_recipe


BARE, ORIGINAL, RANDOM, GROUPED, SORTED = (
    "CAREER, bare loop",
    "original program",
    "GPT-2, random",
    "GPT-2, group_by_length",
    "GPT-2, sorted by length",
)
# Micro-batches of a GPT-2 update, in the number that made each of its programs fastest (of 1, 8 and 32).
RANDOM_PARTS, SORTED_PARTS = 32, 8
UPDATE = 16_000
# Shares of an update by what PyTorch calls the work.
KINDS = {
    "linear layers": ("aten::mm", "aten::addmm", "mkldnn::_linear_pointwise"),
    "attention": ("bmm", "softmax", "AttentionByLength", "attention"),
    "GELU": ("gelu",),
    "dropout": ("bernoulli", "dropout", "aten::random_", "aten::mul", "aten::mul_"),
    "LayerNorm": ("layer_norm",),
    "embeddings": ("embedding",),
    "copies": ("copy_", "aten::cat", "clone"),
}


COVARIATE_LEVELS = {"education": 5, "state": 50, "ethnicity": 6, "gender": 3}


def resumes(people: int = 12_000) -> Dataset:
    """Careers whose lengths differ as those of resumes do: gamma lengths of mean 10.3 and at most 50, 32% moves, 330
    occupations, five covariates with the year."""
    rng = np.random.default_rng(0)
    lengths = rng.gamma(1.6, 10.3 / 1.6, people).round().clip(1, 50).astype(np.int64)
    steps, offsets = lengths.sum(), np.append(0, lengths.cumsum())
    starts = offsets[:-1]
    moves = rng.random(steps) < 0.32
    moves[starts] = True
    occupations = rng.integers(0, 330, steps)[np.maximum.accumulate(np.where(moves, np.arange(steps), 0))]
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


def career_programs(recipe: Recipe, processor: CareerProcessor, encoded: Dataset) -> list[Program]:
    """CAREER through `build_trainer`, and the same updates in a bare loop, which shows what Trainer costs."""
    set_seed(0)
    model = CareerForOccupationPrediction(recipe.config)
    trainer = build_trainer(model, processor, recipe, encoded, encoded)
    bare_model = CareerForOccupationPrediction(recipe.config)
    bare_model.set_attn_implementation(SDPA_BY_LENGTH)
    optimizer, scheduler = recipe.make_optimizer(bare_model, max_steps=1_000)
    parts = recipe.arguments.gradient_accumulation_steps
    micro_batches = trainer.train_dataset
    if not isinstance(micro_batches, MicroBatches):
        raise TypeError(f"the training dataset is a {type(micro_batches).__name__}")

    def bare_loop() -> float:
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
        return float(micro_batches.careers.lengths.sum())

    return [
        Program("CAREER", through_trainer(trainer, micro_batches.careers)),
        Program(BARE, bare_loop),
    ]


class Stopwatch(TrainerCallback):
    """CPU and wall seconds of an epoch, without Trainer's start and end."""

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def on_epoch_end(self, args, state, control, **kwargs):
        self.cpu, self.wall = time.process_time() - self.cpu, time.perf_counter() - self.wall


def through_trainer(trainer: Trainer, careers: EncodedCareers) -> Callable[[], tuple[float, float, float]]:
    """A function that trains on every career once."""
    stopwatch = Stopwatch()
    trainer.add_callback(stopwatch)
    trainer.remove_callback(PrinterCallback)

    def run() -> tuple[float, float, float]:
        trainer.train()
        return float(careers.lengths.sum()), stopwatch.cpu, stopwatch.wall

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


def original_program(recipe: Recipe, rows: EncodedCareers) -> Program:
    """The original program's loop."""
    set_seed(0)
    model = OriginalModel(recipe.config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    batches = original_batches(rows, slots=UPDATE)

    def run() -> float:
        for _ in original_updates(model, optimizer, batches):
            pass
        return float(rows.lengths.sum())

    return Program(ORIGINAL, run)


def gpt2_program(name: str, strategy: str, parts: int, rows: EncodedCareers, recipe: Recipe) -> Program:
    """GPT-2 of the recipe's size with its own loss, on padded batches of Trainer's own samplers."""
    config = recipe.config
    set_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=int(rows.lengths.max()),
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
        per_device_train_batch_size=max(1, round(people_per_update(rows) / parts)),
        gradient_accumulation_steps=parts,
        train_sampling_strategy=strategy,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        max_grad_norm=0,
    )
    trainer = Trainer(model=model, args=arguments, data_collator=collate, train_dataset=rows)
    return Program(name, through_trainer(trainer, rows))


def people_per_update(rows: EncodedCareers) -> int:
    return round(UPDATE / rows.lengths.mean())


def sorted_by_length(encoded: Dataset, rows: EncodedCareers) -> EncodedCareers:
    """Rows in the order of `group_by_length` with very many careers: each micro-batch of one length, in random order.

    Trainer's own strategy sorts within 50 batches at most, and within one when there are as few careers as here.
    """
    size = max(1, round(people_per_update(rows) / SORTED_PARTS))
    parts = np.array_split(np.argsort(rows.lengths, kind="stable"), -(-len(encoded) // size))
    order = np.random.default_rng(0).permutation(len(parts))
    return EncodedCareers(encoded.select(np.concatenate([parts[i] for i in order])))


def work(model: Any, moves: float) -> tuple[float, float]:
    """Operations of the linear layers per step of training, and what the fastest library makes of them in a second.

    Args:
        model: A CAREER model.
        moves: Share of steps that move, which alone need the softmax over occupations.
    """
    operations = seconds = 0.0
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            share = moves if module is model.lm_head else 1.0
            x = torch.randn(max(1, round(2_000 * share)), module.in_features)
            g = torch.randn(len(x), module.out_features)
            with torch.no_grad():
                for programs in PRODUCTS.values():
                    operations += 2 * share * module.weight.numel()
                    seconds += min(fastest(program, x, module.weight, g) for program in programs) / 2_000
    return operations, operations / seconds


def fastest(program: Any, *tensors: torch.Tensor, repeats: int = 7) -> float:
    program(*tensors)
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        program(*tensors)
        taken.append(time.process_time() - start)
    return min(taken)


def shares(program: Program) -> dict[str, float]:
    """Shares of the time of a program by kind of work."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        program.run()
    spent: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        name = event.key
        kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "rest")
        spent[kind] += event.self_cpu_time_total
    total = sum(spent.values())
    return {kind: spent[kind] / total for kind in sorted(spent, key=lambda kind: -spent[kind])}


def compare(
    size: str,
    dtype: str,
    kind: str,
    options: argparse.Namespace,
    careers: tuple[Dataset, tuple[str, ...]],
    folder: str,
) -> list[dict[str, Any]]:
    """Rows of the table of one size, dtype and kind of careers."""
    train, covariates = careers
    updates = options.updates or (1 if options.quick or size == "large" else 4)
    processor = CareerProcessor.fit(train, covariates=covariates)
    everyone = EncodedCareers(processor.encode(train)[0])
    encoded = processor.encode(some(train, updates * people_per_update(everyone)))[0]
    rows = EncodedCareers(encoded)
    recipe = {"small": scratch_recipe, "large": pretraining_recipe}[size](processor, **quiet(folder, dtype))
    programs = [
        *career_programs(recipe, processor, encoded),
        original_program(recipe, rows),
        gpt2_program(RANDOM, "random", RANDOM_PARTS, rows, recipe),
        gpt2_program(GROUPED, "group_by_length", RANDOM_PARTS, rows, recipe),
        gpt2_program(SORTED, "sequential", SORTED_PARTS, sorted_by_length(encoded, rows), recipe),
    ]
    programs = [program for program in programs if not options.few or program.name not in (GROUPED, BARE)]
    take_turns(programs, options.rounds)
    rate = {program.name: program.rate(options.clock) for program in programs}
    by_length = max(rate.get(GROUPED, 0.0), rate[SORTED])
    flat = rows.gather(np.arange(len(rows)))
    moves = float((flat.labels != flat.input_ids).mean())
    operations, ceiling = work(CareerForOccupationPrediction(recipe.config), moves)
    if options.shares:
        parts = ", ".join(f"{kind} {share:.0%}" for kind, share in shares(programs[0]).items())
        print(f"\n{size}, {dtype}, shares of an update: {parts}")

    def useful(name: str, steps: float) -> dict[str, Any]:
        ours = name.startswith("CAREER")
        share = f"{steps * operations / ceiling:.0%}" if ours else ""
        return {"GFLOP/s": steps * operations / 1e9 if ours else "", "of the fastest library (float32)": share}

    return [
        {
            "case": f"{size}, {dtype}, {kind}",
            "program": name,
            "steps a second": steps,
            "times the original": steps / rate[ORIGINAL],
            "times GPT-2, random": steps / rate[RANDOM],
            "times GPT-2, by length": steps / by_length,
            **useful(name, steps),
        }
        for name, steps in rate.items()
    ]


def main() -> None:
    arguments = parser(__doc__)
    # Where the processor has no instructions for it, products in bfloat16 take ten times as long as in float32.
    dtypes = ["float32", "bfloat16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ["float32"]
    arguments.add_argument("--dtype", choices=["float32", "bfloat16"], nargs="+", default=dtypes)
    arguments.add_argument("--updates", type=int, help="updates of 16,000 steps a round (default: small 4, large 1)")
    arguments.add_argument("--shares", action="store_true", help="print where the time of an update goes")
    arguments.add_argument("--few", action="store_true", help="without the bare loop and group_by_length")
    arguments.add_argument("--careers", choices=["survey", "resumes"], nargs="+", default=["survey", "resumes"])
    options = arguments.parse_args()
    if options.quick:
        options.size, options.dtype, options.careers, options.few = ["small"], options.dtype[:1], ["survey"], True
    prepare(options)
    name, survey, covariates = measured_careers()
    careers = {"survey": (survey["train"], covariates), "resumes": (resumes(), ("year", *COVARIATE_LEVELS))}
    with tempfile.TemporaryDirectory() as output_dir:
        table = [
            row
            for size in options.size
            for dtype in options.dtype
            for kind in options.careers
            for row in compare(size, dtype, kind, options, careers[kind], output_dir)
        ]
    report("training", setting(options, name), table, "times the original", options.output)


if __name__ == "__main__":
    main()
