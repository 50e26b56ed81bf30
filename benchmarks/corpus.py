"""From the spells of a corpus to scores: wall time, CPU time and peak memory of every stage, at any number of people.

    python benchmarks/corpus.py --people 300000 --folder /somewhere/large --output docs/explanation/speed
    python benchmarks/corpus.py --people 23731674 --memory-gib 6   # as many as the paper's resumes; an hour

Resumes are drawn into a Parquet file of spells (`benchmarks/spells.py`), turned into careers by DuckDB with the memory
that is given, split by person and written as Parquet files of careers. CAREER is then trained on these files for some
updates of 16,000 person-years, and careers that it was not trained on are scored into files. Every stage runs in a
process of its own, which has imported the package before it is measured. With fewer people than `--extrapolate`, the
last column is what a stage would take with as many: in proportion where it goes through everybody, and the same where
its work is fixed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from encoding import peak
from spells import RULES, SHARE_OF_DUCKDB, write_resumes
from transformers.utils import logging
from turns import SIZES, processor_name, report

from career_hf import CareerForOccupationPrediction, CareerProcessor, load_transition_table, save_transition_table
from career_hf.careers import CareerShards, save_shards
from career_hf.encoding.training_history import record_careers
from career_hf.sources.spell_careers import split_written_careers, write_careers
from career_hf.training.trainer import build_trainer, scratch_recipe


COVARIATES = ["year", "degree", "state"]
# Many to score, because the paper's test split is large; those for early stopping are held in memory.
FRACTIONS = {"train": 0.6, "validation": 0.05, "test": 0.35}
VALIDATED = 10_000


def measured(stage: Callable[..., tuple[str, float | None]], *arguments: Any) -> dict[str, Any]:
    """Runs a stage in this process, and measures it. A stage returns what it has done, and the CPU seconds that grow
    with the number of people; None if all do."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    wall, cpu = time.perf_counter(), time.process_time()
    what, growing = stage(*arguments)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"what": what, "wall": wall, "CPU": cpu, "growing": cpu if growing is None else growing, "peak": peak()}


def draw(folder: Path, people: int) -> tuple[str, None]:
    path = folder / "resumes.parquet"
    write_resumes(path, people)
    return f"{people:,} resumes in {path.stat().st_size / 2**20:,.0f} MiB", None


def prepare(folder: Path, memory_gib: float) -> tuple[str, None]:
    limit = f"{round(memory_gib * SHARE_OF_DUCKDB * 1024)}MiB"
    write_careers(folder / "resumes.parquet", folder / "careers", RULES, memory_limit=limit, threads=1)
    return f"DuckDB under {memory_gib:g} GiB", None


def split(folder: Path, scored: int) -> tuple[str, None]:
    splits = split_written_careers(folder / "careers", FRACTIONS)
    most = {"validation": VALIDATED, "test": scored}
    for name, careers in splits.items():
        save_shards(careers.select(range(min(most.get(name, len(careers)), len(careers)))), folder / "shards" / name)
    return f"{CareerShards(folder / 'shards' / 'train').steps:,} person-years to train on", None


def train(folder: Path, size: str, updates: int) -> tuple[str, float]:
    started = time.process_time()
    shards = CareerShards(folder / "shards" / "train")
    processor = CareerProcessor.fit(shards, COVARIATES, unknown_occupation="unknown")
    encoded, _ = processor.encode(shards)
    before = time.process_time() - started
    careers = CareerShards(folder / "shards" / "validation").load()
    validation, _ = processor.encode(careers, unknown_levels="missing")
    recipe = scratch_recipe(
        processor, folder / "training", config_overrides=SIZES[size], max_steps=updates, eval_steps=updates,
        save_steps=updates, save_only_model=True,
    )  # fmt: skip
    trainer = build_trainer(CareerForOccupationPrediction(recipe.config), processor, recipe, encoded, validation)
    started = time.process_time()
    record_careers(trainer.processing_class.training_stages[-1], shards)
    before += time.process_time() - started
    trainer.train()
    trainer.model.save_pretrained(folder / "model")
    trainer.processing_class.save_pretrained(folder / "model")
    return f"{updates} updates of {recipe.tokens_per_batch:,}, after {before:.0f} CPU seconds on all files", before


def score(folder: Path) -> tuple[str, float]:
    careers = CareerShards(folder / "shards" / "test")
    save_transition_table(str(folder / "model"), careers, None, folder / "scores", unknown_levels="missing")
    table = load_transition_table(folder / "scores", columns=["person", "log_prob"])
    return f"{len(careers):,} careers, {len(table):,} person-years", 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=300_000)
    parser.add_argument("--scored", type=int, default=100_000, help="careers to score, at most a third of the people")
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--memory-gib", type=float, default=6.0)
    parser.add_argument("--folder", type=Path, default=Path("runs/corpus"), help="a new one; 1 GB a million people")
    parser.add_argument("--extrapolate", type=int, default=23_731_674, help="people of the last column")
    parser.add_argument("--quick", action="store_true", help="3,000 people and two updates")
    parser.add_argument("--output", type=Path, help="folder of corpus.json; the page beside it is filled")
    options = parser.parse_args()
    people, updates = (3_000, 2) if options.quick else (options.people, options.updates)
    scored, folder = (500 if options.quick else options.scored), options.folder
    stages: list[tuple[str, Callable[..., tuple[str, float | None]], tuple[Any, ...]]] = [
        ("draw spells", draw, (folder, people)),
        ("careers of spells", prepare, (folder, options.memory_gib)),
        ("split, write files", split, (folder, scored)),
        (f"train the {options.size} model", train, (folder, options.size, updates)),
        ("score", score, (folder,)),
    ]
    is_extrapolated, rows = people < options.extrapolate, []
    for name, stage, arguments in stages:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(measured, stage, *arguments).result()
        row = {
            "stage": name,
            "of": found["what"],
            "wall seconds": found["wall"],
            "CPU seconds": found["CPU"],
            "peak memory in MB": found["peak"],
        }
        if is_extrapolated:
            more = found["growing"] * (options.extrapolate / people - 1)
            row[f"CPU minutes for {options.extrapolate:,}"] = (found["CPU"] + more) / 60
        rows.append(row)
        print(row, flush=True)
    where = f"{people:,} drawn resumes; {processor_name()}; 1 thread, load {os.getloadavg()[0]:.1f}"
    where += "; the last column is an extrapolation" if is_extrapolated else ""
    report("corpus", where, rows, None, options.output)


if __name__ == "__main__":
    main()
