"""What the comparisons of speed share: the careers, programs that take turns, and results as JSON, table and figure.

Programs take turns within one process, so that whatever else the machine does disturbs all of them alike, and a
program's time is the median over rounds. The default clock is CPU time. Only ratios within one run mean anything.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from transformers import logging

from career_hf.careers import split_careers
from career_hf.figures.style import new_figure, require_matplotlib, save, styled
from career_hf.models.cpu_layers import faster_products
from career_hf.simulation import preset
from career_hf.simulation.world import COVARIATES
from career_hf.sources import nlsy79_careers


SIZES = {
    "small": {"num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 256},
    "large": {"num_hidden_layers": 12, "hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768},
}
# Simulated people where the survey is not at hand; as many as the NLSY79 has.
PEOPLE = 12_000


def measured_careers() -> tuple[str, DatasetDict, tuple[str, ...]]:
    """Name, splits and covariates of the careers: the NLSY79's from 1980 to 1998 where the environment variable
    CAREER_HF_SHARED names a folder with its extract, and otherwise the simulated labour market's."""
    shared = os.environ.get("CAREER_HF_SHARED")
    if shared:
        covariates = ("year", "education", "region", "race", "gender")
        return "NLSY79", split_careers(nlsy79_careers.build(Path(shared) / "data", "full")[0]), covariates
    return "simulated market", split_careers(preset("survey").simulate(PEOPLE).careers), tuple(COVARIATES)


def some(careers: Dataset, people: int) -> Dataset:
    """People at even distances, so that their lengths are those of all."""
    people = min(people, len(careers))
    return careers.select([i * len(careers) // people for i in range(people)])


@dataclass
class Program:
    """One of the programs that take turns.

    Args:
        name: Its name.
        run: Returns how many units of work it has done, and perhaps the CPU and wall seconds that count, if they are
            not all.
    """

    name: str
    run: Callable[[], float | tuple[float, float, float]]
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def turn(self) -> None:
        """Runs once."""
        cpu, wall = time.process_time(), time.perf_counter()
        done = self.run()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        units, cpu, wall = done if isinstance(done, tuple) else (done, cpu, wall)
        self.cpu.append(units / cpu)
        self.wall.append(units / wall)

    def rate(self, clock: str) -> float:
        """Units per second, the median over rounds."""
        return statistics.median(self.cpu if clock == "cpu" else self.wall)


def take_turns(programs: Sequence[Program], rounds: int, warm_up: bool = False) -> None:
    """Runs all programs so many times in turn, after a round that does not count if `warm_up`."""
    for number in range(-warm_up, rounds):
        for program in programs:
            program.turn()
        if number < 0:
            for program in programs:
                program.cpu.clear()
                program.wall.clear()


def parser(description: str | None, rounds: int = 3) -> argparse.ArgumentParser:
    """Options that all comparisons have."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=list(SIZES), nargs="+", default=list(SIZES))
    options.add_argument("--rounds", type=int, default=rounds)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    options.add_argument("--quick", action="store_true", help="little work, under two minutes on one core")
    options.add_argument("--output", type=Path, help="folder for NAME.json and NAME.png; the page beside it is filled")
    return options


def prepare(options: argparse.Namespace) -> None:
    """Sets the number of threads, and hushes progress bars."""
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def setting(options: argparse.Namespace, careers: str) -> str:
    """Where and how something was measured, in words."""
    capability = torch.backends.cpu.get_cpu_capability()
    products = ", ".join(sorted(faster_products())) or "none"
    return (
        f"{careers}; {processor_name()}, {capability}; {options.threads} thread(s), {options.clock} time, medians of "
        f"{options.rounds} rounds, load {os.getloadavg()[0]:.1f}; PyTorch {torch.__version__}; products by oneDNN: "
        f"{products}"
    )


def processor_name() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    return found[1] if found else platform.processor()


def report(name: str, where: str, rows: Sequence[Mapping[str, Any]], ratio: str | None, output: Path | None) -> None:
    """Prints a table, and writes `NAME.json`, `NAME.png` and the table's place in the page `speed.md`.

    Args:
        name: Name of the comparison.
        where: What `setting` returns.
        rows: Rows with the same columns; "case" and "program" first where there is a figure.
        ratio: The column that the figure shows; None without a figure.
        output: Folder of the files, or None.
    """
    columns = list(rows[0])
    table = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    table += [f"| {' | '.join(_text(row[column]) for column in columns)} |" for row in rows]
    print(f"\n{where}\n\n" + "\n".join(table), flush=True)
    if output is None:
        return
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.json").write_text(json.dumps({"setting": where, "rows": list(rows)}, indent=1) + "\n")
    picture = ""
    if ratio is not None:
        require_matplotlib()
        save(_figure(rows, ratio), output / f"{name}.png")
        picture = f"\n\n![{ratio}]({output.name}/{name}.png)"
    page = output.parent / f"{output.name}.md"
    if page.is_file():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        text = page.read_text(encoding="utf-8")
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        middle = f"{begin}\n*{where}*\n\n" + "\n".join(table) + f"{picture}\n{end}"
        page.write_text(before + middle + after, encoding="utf-8")


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@styled
def _figure(rows: Sequence[Mapping[str, Any]], ratio: str) -> Any:
    names = [f"{row['case']}: {row['program']}" for row in rows]
    figure, axes = new_figure(1.2 + 0.36 * len(rows), 1, squeeze=False)
    axis = axes[0, 0]
    axis.barh(range(len(rows)), [row[ratio] for row in rows], color="#10316B")
    axis.set_yticks(range(len(rows)), names)
    axis.invert_yaxis()
    axis.axvline(1, color="#6E6E6E", linewidth=1)
    axis.set_xlabel(ratio)
    return figure
