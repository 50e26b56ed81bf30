"""How long it takes to turn careers into what a model reads: one career, 100 careers and 100,000.

    python benchmarks/encoding.py            # about two minutes
    python benchmarks/encoding.py --quick    # 10,000 careers instead of 100,000, fewer rounds

Two programs take turns in one process; printed are their CPU times (medians) and the median ratio of a round, which
other programs on the machine disturb little. One career and a table of 100, through `processor(...)`, are compared
with the forward pass of CAREER (the paper's model without pretraining, one thread) on the same batch. Many careers,
through `processor.encode(careers)`, are compared with the shortest program that gives ids: dictionaries in pandas,
without checks, without a ledger, without the previous occupation.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame, to_frame


OCCUPATIONS = np.array([f"occupation {i}" for i in range(330)])
VARYING = {"education": 5, "state": 50}
STATIC = {"gender": 3, "ethnicity": 6}


def long_table(people: int) -> pd.DataFrame:
    """A long table of random careers of 1 to 20 years, 10.5 on average."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 21, people)
    person = np.repeat(np.arange(people), lengths)
    year = 1980 + np.arange(len(person)) - np.repeat(lengths.cumsum() - lengths, lengths)
    columns = {
        "person": person,
        "year": year,
        "occupation": OCCUPATIONS[rng.integers(0, len(OCCUPATIONS), len(person))],
    }
    columns |= {name: np.char.mod("%d", rng.integers(0, levels, len(person))) for name, levels in VARYING.items()}
    columns |= {name: np.char.mod("%d", rng.integers(0, levels, people))[person] for name, levels in STATIC.items()}
    return pd.DataFrame(columns)


def codes_in_pandas(table: pd.DataFrame, processor: CareerProcessor) -> dict[str, Any]:
    """Ids of occupations and levels, by a dictionary each."""
    ids = {label: i for i, label in enumerate(processor.occupations)}
    codes = {"labels": table["occupation"].map(ids).to_numpy()}
    for name, levels in zip(processor.covariate_names, processor.covariate_levels, strict=True):
        ids = {label: i for i, label in enumerate(levels)}
        codes[name] = table[name].astype(str).map(ids).to_numpy()
    return codes


def in_turn(ours: Callable[[], Any], other: Callable[[], Any], rounds: int) -> tuple[float, float, float]:
    """Median CPU seconds of two programs that take turns, and the median of their ratios."""
    seconds: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        started = time.process_time()
        ours()
        between = time.process_time()
        other()
        seconds.append((between - started, time.process_time() - between))
    seconds = seconds[1:]  # the first round warms up
    ours_median, other_median = (statistics.median(column) for column in zip(*seconds, strict=True))
    return ours_median, other_median, statistics.median(first / second for first, second in seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10,000 careers instead of 100,000, and fewer rounds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    people, rounds = (10_000, 40) if arguments.quick else (100_000, 300)
    table = long_table(people)
    careers = from_frame(table, covariates=list(VARYING), static=list(STATIC))
    processor = CareerProcessor.fit(careers, ["year", *VARYING, *STATIC])
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs())).eval()

    middle = next(career for career in careers.select(range(1_000)) if len(career["year"]) == 10)
    few = table[table["person"] < 100]
    for name, given, turns in (("one career", middle, rounds), ("a table of 100 careers", few, rounds // 3)):
        batch = processor(given)
        with torch.inference_mode():
            ours, forward, ratio = in_turn(lambda g=given: processor(g), lambda b=batch: model(**b), turns)
        print(f"{name}: {ours * 1e3:.2f} ms, {ratio:.2f} times the model's {forward * 1e3:.2f} ms")
    # Its rows are those of the careers, which a split has picked: datasets then reads them one by one.
    for name, some in (
        ("", careers),
        (" picked by a split", careers.select(np.flatnonzero(np.arange(people) % 10 < 7))),
    ):
        rows = to_frame(some)
        ours, pandas, ratio = in_turn(
            lambda s=some: processor.encode(s), lambda r=rows: codes_in_pandas(r, processor), 5
        )
        print(f"{some.num_rows:,} careers{name}: {ours:.2f} s, {ratio:.2f} times the {pandas:.2f} s of pandas")


if __name__ == "__main__":
    main()
