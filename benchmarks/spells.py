"""How long it takes to turn resumes into careers, and how much memory: one million resumes, or as many as the paper's.

    python benchmarks/spells.py                                        # 1,000,000 resumes, 2 GiB
    python benchmarks/spells.py --people 23731674 --memory-gib 6 --folder /somewhere/large
    python benchmarks/spells.py --spark                                # and by Spark: are all rows the same?

Resumes are drawn with a seed: 4.2 jobs of 2.5 years each, dates as months, days, quarters and years, open ends,
overlaps, gaps, missing dates and degrees, people in no order. `write_careers` and `split_written_careers`, which are
what `career-hf prepare spells` does, then work in a process of their own, whose wall time, CPU time and peak memory
are printed; called again after they were stopped, they go on. Before that, the same rule as one would write it in
pandas is timed beside it on 50,000 resumes: without degrees and states, without checks of dates, without a ledger.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from career_hf.careers.atomic_files import complete
from career_hf.sources.resume_careers import DEGREES, STATES
from career_hf.sources.spell_careers import split_written_careers, write_careers
from career_hf.sources.spell_rules import SpellRules
from career_hf.sources.spell_years import spells_to_years


AT_ONCE = 500_000
AS_OF = "2022-12-31"
TODAY = 2022 * 12 + 11  # months since the year 0
RULES = SpellRules(as_of=AS_OF, carried=["degree"], static=["state"])
# Of the memory: the rest is for Python and its libraries, Arrow tables on their way, and what DuckDB does not count.
SHARE_OF_DUCKDB = 0.6


def write_resumes(path: Path, people: int, seed: int = 0) -> None:
    """Writes a Parquet file of jobs, unless it is there."""
    if path.exists():
        return
    with complete(path) as unfinished:
        schema = draw_resumes(1, 0, seed).schema
        with parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for first in range(0, people, AT_ONCE):
                table = draw_resumes(min(AT_ONCE, people - first), first, seed)
                writer.write_table(table, row_group_size=200_000)


def draw_resumes(people: int, first: int, seed: int) -> pa.Table:
    """Jobs of people number `first` and so on, in no order."""
    rng = np.random.default_rng([seed, first])
    jobs = rng.poisson(3.2, people) + 1
    rows, total = jobs.sum(), jobs.cumsum()
    first_job, last_job = total - jobs, np.zeros(rows, dtype=bool)
    last_job[total - 1] = True
    person = np.repeat(np.arange(people), jobs)
    months = 1 + rng.gamma(1.2, 24, rows).astype(np.int64)
    lapse = np.where(rng.random(rows) < 0.3, rng.integers(-12, 12, rows), 0)
    since = np.cumsum(months + lapse) - months - lapse
    since = np.maximum(since - since[first_job][person], 0)
    length = np.maximum.reduceat(since + months, first_job)
    end = np.where(rng.random(people) < 0.5, TODAY, rng.integers(1985 * 12, TODAY, people))
    start_month = since + (end - length)[person]
    end_month = start_month + months - 1
    written_as = rng.choice(4, rows, p=[0.6, 0.2, 0.1, 0.1])
    ongoing = last_job & (end_month >= TODAY - 1)
    occupation = rng.zipf(1.3, rows) % 1_000
    table = pa.table(
        {
            # Multiplied, so that people who are near each other in the file are not in order.
            "person": [f"{number:011x}" for number in (first + person) * 2_654_435_761 % 2**43],
            "occupation": pa.array([f"{11 + code % 43}-{1000 + code}.00" for code in range(1_000)]).take(
                pa.array(occupation)
            ),
            "start": pc.if_else(
                rng.random(rows) < 0.01, pa.scalar(None, pa.string()), written(start_month, written_as, rng)
            ),
            "end": pc.if_else(ongoing, "present", written(end_month, written_as, rng)),
            "degree": pa.array(list(DEGREES)).take(pa.array(rng.integers(8, size=rows), mask=rng.random(rows) < 0.5)),
            "state": pa.array(list(STATES)).take(pa.array(rng.integers(len(STATES), size=people)[person])),
        }
    )
    return table.take(pa.array(rng.permutation(rows)))


def written(month: np.ndarray, written_as: np.ndarray, rng: np.random.Generator) -> pa.Array:
    """Months as text: a month, a day, a quarter or a year."""
    years = pa.array(month // 12).cast(pa.string())
    of_year = pc.binary_join_element_wise(years, _two_digits(month % 12 + 1), "-")
    day = pc.binary_join_element_wise(of_year, _two_digits(rng.integers(1, 29, len(month))), "-")
    quarter = pa.array([f"Q{number}" for number in range(1, 5)]).take(pa.array(month % 12 // 3))
    return pc.choose(pa.array(written_as), of_year, day, pc.binary_join_element_wise(quarter, years, " "), years)


def _two_digits(numbers: np.ndarray) -> pa.Array:
    return pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 2, "0")


def years_in_pandas(jobs: pd.DataFrame) -> pd.DataFrame:
    """One occupation a year, for whole months only, without carrying degrees; days are months here."""
    jobs = jobs.dropna(subset="start")
    start = pd.to_datetime(jobs["start"].str[:7]).dt.to_period("M").astype("int64")
    end = pd.to_datetime(jobs["end"].str[:7].replace("present", AS_OF[:7])).dt.to_period("M").astype("int64") + 1
    jobs = jobs.assign(start=start, end=end)[end > start]
    jobs["year"] = [
        range(1970 + a // 12, 1970 + (b - 1) // 12 + 1) for a, b in zip(jobs["start"], jobs["end"], strict=True)
    ]
    jobs = jobs.explode("year")
    january = (jobs["year"].astype("int64") - 1970) * 12
    jobs["held"] = jobs["end"].clip(upper=january + 12) - jobs["start"].clip(lower=january)
    held = jobs.groupby(["person", "year", "occupation"], as_index=False).agg(
        held=("held", "sum"), start=("start", "min")
    )
    held = held.sort_values(
        ["person", "year", "held", "start", "occupation"], ascending=[True, True, False, True, True]
    )
    return held.drop_duplicates(["person", "year"])


def measure(path: Path, folder: Path, memory_gib: float, threads: int) -> dict[str, float]:
    """Seconds, CPU seconds and GiB of writing careers and of splitting them, in a process that did nothing else."""
    start, limit = time.perf_counter(), f"{round(memory_gib * SHARE_OF_DUCKDB * 1024)}MiB"
    ledger = write_careers(path, folder, RULES, memory_limit=limit, threads=threads)
    written, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    print(ledger)
    splits = split_written_careers(folder)
    split, total = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    print({name: careers.num_rows for name, careers in splits.items()})
    cpu, all_cpu = used.ru_utime + used.ru_stime, total.ru_utime + total.ru_stime
    return {
        "wall": written - start,
        "cpu": cpu,
        "peak": used.ru_maxrss / 2**20,
        "split_wall": split - written,
        "split_cpu": all_cpu - cpu,
        "split_peak": total.ru_maxrss / 2**20,
    }


def compare_with_spark(path: Path, folder: Path, threads: int, memory_gib: float) -> str:
    """Years of the same spells by a local Spark and by DuckDB, and whether all rows and both ledgers are the same."""
    import ibis
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{threads}]").config("spark.driver.memory", f"{memory_gib:g}g")
    session = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    found, seconds = {}, {}
    engines = {"Spark": ibis.pyspark.connect(session).read_parquet(str(path)), "DuckDB": path}
    for engine, spells in engines.items():
        start = time.perf_counter()
        years, ledger = spells_to_years(spells, RULES)
        with years:
            shutil.rmtree(folder / engine, ignore_errors=True)
            if engine == "Spark":
                years.to_parquet_dir(folder / engine)
            else:
                (folder / engine).mkdir()
                years.to_parquet(folder / engine / "years.parquet")
        seconds[engine] = time.perf_counter() - start
        found[engine] = ledger.to_dict()
    session.stop()
    rows = ibis.duckdb.connect()
    of_spark, of_duckdb = (rows.read_parquet(str(folder / engine / "*.parquet")) for engine in engines)
    of_spark = of_spark.select(*of_duckdb.columns).cast(of_duckdb.schema())
    more = [
        a.difference(b, distinct=False).count().execute() for a, b in ((of_spark, of_duckdb), (of_duckdb, of_spark))
    ]
    walls = ", ".join(f"{engine} {wall:.0f} s" for engine, wall in seconds.items())
    return (
        f"{of_duckdb.count().execute():,} years of {len(engines)} engines ({walls}): {more[0]} rows of Spark alone, "
        f"{more[1]} of DuckDB alone; ledgers {'equal' if found['Spark'] == found['DuckDB'] else 'differ'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--memory-gib", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/spells"), help="large: up to 20 GB for 24 million")
    parser.add_argument("--spark", action="store_true", help="only compare the years of Spark and DuckDB")
    arguments = parser.parse_args()

    path = arguments.folder / f"resumes-{arguments.people}.parquet"
    if arguments.spark:
        write_resumes(path, arguments.people)
        print(compare_with_spark(path, arguments.folder, arguments.threads, arguments.memory_gib))
        return
    few = draw_resumes(50_000, 0, 0).to_pandas()
    few = few[few["start"].str.match(r"\d{4}-", na=False) & few["end"].str.match(r"\d{4}-|present")]
    start = time.process_time()
    years_in_pandas(few)
    in_pandas = time.process_time() - start
    start = time.process_time()
    spells_to_years(few, SpellRules(as_of=AS_OF))
    here = time.process_time() - start
    print(f"CPU time of pandas over that of spells_to_years, 50,000 people: {in_pandas / here:.1f}")

    start = time.perf_counter()
    write_resumes(path, arguments.people)
    print(f"resumes: {path.stat().st_size / 2**20:,.0f} MiB, drawn in {time.perf_counter() - start:.0f} s")
    careers = arguments.folder / f"careers-{arguments.people}"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        measured = pool.submit(measure, path, careers, arguments.memory_gib, arguments.threads).result()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{arguments.people:,} resumes on {arguments.threads} threads: {measured['wall']:.0f} s wall, "
        f"{measured['cpu']:.0f} s CPU, peak {measured['peak']:.2f} GiB of {arguments.memory_gib:g}; load {load}"
    )
    print(
        f"split by person: {measured['split_wall']:.0f} s wall, {measured['split_cpu']:.0f} s CPU more, "
        f"peak {measured['split_peak']:.2f} GiB"
    )


if __name__ == "__main__":
    main()
