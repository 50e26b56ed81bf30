"""How long it takes to turn careers into what a model reads: one career, 100 careers and 100,000.

    python benchmarks/encoding.py            # about two minutes
    python benchmarks/encoding.py --quick    # 10,000 careers instead of 100,000, fewer rounds
    python benchmarks/encoding.py --stream --sizes 100000 300000 1000000   # training from files of careers

Two programs take turns in one process; printed are their CPU times (medians) and the median ratio of a round, which
other programs on the machine disturb little. One career and a table of 100, through `processor(...)`, are compared
with the forward pass of CAREER (the paper's model without pretraining, one thread) on the same batch, and so is a
prediction for one career through the pipeline. Many careers,
through `processor.encode(careers)`, are compared with the shortest program that gives ids: dictionaries in pandas,
without checks, without a ledger, without the previous occupation.

With `--stream`, a process of its own trains a small model for the same number of updates from files of each number of
careers. Printed are its peak memory above that of a process which has imported the package, and CPU time per
person-year: of everything before training, which goes through all files, and of training. 50,000 careers are a file,
and a number of careers is that of whole files.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from turns import processor_name, report

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor, OccupationPredictionPipeline
from career_hf.careers import CareerShards, from_frame, save_shards, to_frame
from career_hf.encoding.training_history import record_careers
from career_hf.training.trainer import build_trainer, scratch_recipe


OCCUPATIONS = np.array([f"occupation {i}" for i in range(330)])
VARYING = {"education": 5, "state": 50}
STATIC = {"gender": 3, "ethnicity": 6}
AT_ONCE = 50_000


def long_table(people: int, seed: int = 0) -> pd.DataFrame:
    """A long table of random careers of 1 to 20 years, 10.5 on average."""
    rng = np.random.default_rng(seed)
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


def parts(people: int) -> Iterator[Dataset]:
    """Random careers of some people at a time."""
    for first in range(0, people, AT_ONCE):
        table = long_table(min(AT_ONCE, people - first), seed=first + 1)
        table["year"] = 1990 + table.groupby("person").cumcount()
        table["person"] += first
        yield from_frame(table, covariates=list(VARYING), static=list(STATIC))


def peak() -> float:
    """Peak memory of this process, MB, on Linux: what getrusage says begins with the peak of the parent process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def train_from_files(folder: Path, updates: int) -> dict[str, float]:
    """Trains from files as `train` does, and measures; for a process of its own."""
    torch.set_num_threads(1)
    before, started = peak(), time.process_time()
    shards, covariates = CareerShards(folder / "train"), ["year", *VARYING, *STATIC]
    processor = CareerProcessor.fit(shards, covariates, unknown_occupation="unknown")
    encoded, _ = processor.encode(shards)
    validation, _ = processor.encode(CareerShards(folder / "validation").load(), unknown_levels="missing")
    with TemporaryDirectory() as temporary:
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64}
        recipe = scratch_recipe(
            processor, temporary, config_overrides=sizes, max_steps=updates, eval_steps=updates, save_steps=updates
        )
        model = CareerForOccupationPrediction(recipe.config)
        trainer = build_trainer(model, processor, recipe, encoded, validation)
        record_careers(trainer.processing_class.training_stages[-1], shards)
        ready = time.process_time()
        trainer.train()
    return {
        "person_years": shards.steps,
        "peak_mb": peak() - before,
        "before": (ready - started) / shards.steps,
        "training": (time.process_time() - ready) / (updates * recipe.tokens_per_batch),
    }


def compare_sizes(sizes: list[int], updates: int, output: Path | None) -> None:
    """Memory and time of training from files of several numbers of careers: the smaller ones are some of the files."""
    runs = {}
    with TemporaryDirectory() as temporary:
        everybody = Path(temporary)
        save_shards(parts(max(sizes)), everybody / "train")
        save_shards(next(parts(2_000)), everybody / "validation")
        files = sorted((everybody / "train").glob("*.parquet"))
        for people in sizes:
            folder = everybody / str(people)
            (folder / "train").mkdir(parents=True)
            (folder / "validation").symlink_to(everybody / "validation")
            for file in files[: -(-people // AT_ONCE)]:
                (folder / "train" / file.name).symlink_to(file)
            command = [sys.executable, __file__, "--measure", str(folder), str(updates)]
            finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs[people] = json.loads(finished.stdout.splitlines()[-1])
            print(people, runs[people], flush=True)
    least = runs[sizes[0]]
    rows = [
        {
            "careers": f"{people:,}",
            "person-years": f"{run['person_years']:,}",
            "peak memory in MB": run["peak_mb"],
            "times that of the fewest": run["peak_mb"] / least["peak_mb"],
            "microseconds per person-year, before training": run["before"] * 1e6,
            "microseconds per person-year, training": run["training"] * 1e6,
        }
        for people, run in runs.items()
    ]
    where = f"random careers; {processor_name()}; 1 thread, CPU time, {updates} updates, load {os.getloadavg()[0]:.1f}"
    report("files", where, rows, None, output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10,000 careers instead of 100,000, and fewer rounds")
    parser.add_argument("--stream", action="store_true", help="memory and time of training from files")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000], help="with --stream")
    parser.add_argument("--output", type=Path, help="with --stream: folder of the table; the page beside it is filled")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "UPDATES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(train_from_files(Path(arguments.measure[0]), int(arguments.measure[1]))))
        return
    if arguments.stream:
        sizes = [10_000, 50_000] if arguments.quick else sorted(arguments.sizes)
        compare_sizes(sizes, 10 if arguments.quick else 60, arguments.output)
        return
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
    predict = OccupationPredictionPipeline(model, processor)
    given = {name: middle[name] for name in ("year", "occupation", *VARYING, *STATIC)}
    batch = processor(middle)
    with torch.inference_mode():
        ours, forward, ratio = in_turn(lambda: predict(given), lambda: model(**batch), rounds)
    print(f"one prediction by the pipeline: {ours * 1e3:.2f} ms, {ratio:.2f} times the model's {forward * 1e3:.2f} ms")
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
