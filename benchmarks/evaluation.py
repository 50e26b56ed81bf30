"""How long evaluation takes: the transition table of a survey of 12,000 people, and 1,000 resamples of people.

    python benchmarks/evaluation.py [--threads 2]

The large model (12 layers, D = 192) has random weights, which take as long as trained ones. The bootstrap is compared
with drawing people one resample at a time.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
import torch

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.evaluation.metrics import bootstrap_perplexity
from career_hf.evaluation.transition_table import transition_table
from career_hf.models.attention import SDPA_BY_LENGTH
from career_hf.simulation import preset
from career_hf.simulation.world import COVARIATES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=int, default=12_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    careers = preset("survey").simulate(arguments.people).careers
    processor = CareerProcessor.fit(careers, COVARIATES)
    size = {"num_hidden_layers": 12, "hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **size))
    model.set_attn_implementation(SDPA_BY_LENGTH)

    start = time.perf_counter()
    table = transition_table(model, careers, processor)
    scored = time.perf_counter() - start
    print(f"transition table: {len(table):,} steps in {scored:.1f} s, {len(table) / scored:,.0f} a second")

    start = time.perf_counter()
    bootstrap_perplexity(table, draws=1_000)
    resampled = time.perf_counter() - start
    start = time.perf_counter()
    one_by_one(table, draws=20)
    slow = (time.perf_counter() - start) * 50
    print(f"1,000 resamples: {resampled:.1f} s; one at a time {slow:.0f} s (from 20), {slow / resampled:.0f} times")


def one_by_one(table: pd.DataFrame, draws: int) -> np.ndarray:
    """The bootstrap as one would write it first."""
    rng = np.random.default_rng(0)
    rows = table.groupby("person", observed=True).indices
    people = list(rows)
    log_prob = table["log_prob"].to_numpy()
    drawn = (rng.choice(len(people), len(people)) for _ in range(draws))
    return np.array([np.exp(-np.concatenate([log_prob[rows[people[i]]] for i in draw]).mean()) for draw in drawn])


if __name__ == "__main__":
    main()
