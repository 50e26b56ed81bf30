"""Scoring and evaluation: log p of every step of a test split against the original program's evaluation and by the
size of batches, the whole transition table, and 1,000 resamples of people against drawing one at a time.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --quick
    CAREER_HF_SHARED=FOLDER python benchmarks/evaluation.py --output docs/explanation/speed

Steps per second, in turns in one process. Weights are random, which take as long as trained ones. "The original
program" is `original_program.py`, always in float32.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from original_program import OriginalModel, original_scores
from turns import SIZES, Program, measured_careers, parser, prepare, report, setting, some, take_turns

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.encoding.collating import EncodedCareers
from career_hf.encoding.scoring_batches import cache_sized, scoring_batches
from career_hf.evaluation.metrics import bootstrap_perplexity
from career_hf.evaluation.transition_table import transition_table


def programs(size: str, dtype: str, careers: Dataset, processor: CareerProcessor) -> list[Program]:
    """The original's evaluation, and ours with several sizes of batches."""
    config = CareerConfig(**processor.config_kwargs(), **SIZES[size])
    model = CareerForOccupationPrediction(config).to(getattr(torch, dtype))
    original = OriginalModel(config)
    encoded = EncodedCareers(processor.encode(careers)[0])
    steps = float(encoded.lengths.sum())

    def by_original() -> float:
        original_scores(original, encoded)
        return steps

    def in_batches(batch_tokens: int) -> Program:
        @torch.inference_mode()
        def run() -> float:
            for batch in scoring_batches(model, encoded, batch_tokens):
                log_probs = model(**batch.inputs).logits
                log_probs.gather(-1, batch.labels.clamp(min=0).unsqueeze(-1))[batch.real].double().sum()
            return steps

        return Program(f"CAREER, batches of {batch_tokens:,}", run)

    def whole_table() -> float:
        transition_table(model, careers, processor)
        return steps

    return [
        Program("original program", by_original),
        *[in_batches(tokens) for tokens in (cache_sized(model), 1_000, 16_000)],
        Program("CAREER, transition table", whole_table),
    ]


def one_by_one(table: pd.DataFrame, draws: int) -> np.ndarray:
    """The bootstrap as one would write it first."""
    rng = np.random.default_rng(0)
    rows = table.groupby("person", observed=True).indices
    people = list(rows)
    log_prob = table["log_prob"].to_numpy()
    drawn = (rng.choice(len(people), len(people)) for _ in range(draws))
    return np.array([np.exp(-np.concatenate([log_prob[rows[people[i]]] for i in draw]).mean()) for draw in drawn])


def resamples(careers: Dataset, processor: CareerProcessor) -> str:
    """What 1,000 resamples take, in words."""
    config = CareerConfig(**processor.config_kwargs(), **SIZES["small"])
    table = transition_table(CareerForOccupationPrediction(config), careers, processor)
    start = time.process_time()
    bootstrap_perplexity(table, draws=1_000)
    ours = time.process_time() - start
    start = time.process_time()
    one_by_one(table, draws=20)
    slow = (time.process_time() - start) * 50
    return f"1,000 resamples: {ours:.1f} s; one at a time {slow:.0f} s (from 20), {slow / ours:.0f} times"


def compare(size: str, dtype: str, options: argparse.Namespace, careers: Any, processor: Any) -> list[dict[str, Any]]:
    """Rows of the table of one size and dtype."""
    people = len(careers) // {"small": 1, "large": 8}[size] // (4 if options.quick else 1)
    takers = programs(size, dtype, some(careers, people), processor)
    take_turns(takers, options.rounds)
    original = takers[0].rate(options.clock)
    return [
        {
            "case": f"{size}, {dtype}",
            "program": program.name,
            "steps a second": program.rate(options.clock),
            "times the original": program.rate(options.clock) / original,
        }
        for program in takers
    ]


def main() -> None:
    arguments = parser(__doc__)
    dtypes = ["float32", "bfloat16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ["float32"]
    arguments.add_argument("--dtype", choices=["float32", "bfloat16"], nargs="+", default=dtypes)
    options = arguments.parse_args()
    prepare(options)
    name, careers, covariates = measured_careers()
    processor = CareerProcessor.fit(careers["train"], covariates=covariates, unknown_occupation="unknown")
    if not options.quick:
        print(resamples(careers["test"], processor))
    table = [
        row
        for size in options.size
        for dtype in options.dtype
        for row in compare(size, dtype, options, careers["test"], processor)
    ]
    report("evaluation", setting(options, name), table, "times the original", options.output)


if __name__ == "__main__":
    main()
