"""Speed of `forecast` against sampling every trajectory by itself, in the same process.

    python benchmarks/forecasting.py                          # both sizes, two kinds of workers, one thread
    python benchmarks/forecasting.py --quick
    python benchmarks/forecasting.py --size small --workers survey --horizon 3 --people 3000 --rounds 1 --alone
    python benchmarks/forecasting.py --dtype bfloat16

The original program (`original_program.py`) and the naive loop compute the whole history of every trajectory again at
every step. The other loop keeps keys and values for every trajectory: it computes a person's past once, copies it for
each, and reads one step at a time. All see the same people with histories of 10 to 20 steps, take 1,000 trajectories 6
steps ahead, and average the probabilities of every step. The programs take turns, and seconds per person are medians
over rounds; the loops take few people, because each person costs them the same. Weights are random, scaled so that
workers move like a survey's (the probability of staying is .55, the perplexity of a step 11) or like resumes' (.82,
2.8).
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from original_program import OriginalModel
from transformers import DynamicCache, logging
from turns import SIZES, prepare, report, setting
from turns import parser as options_of_all

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame
from career_hf.forecasting.forecast import forecast


OCCUPATIONS, SAMPLES = 335, 1000
# Probability of staying and perplexity of a step.
WORKERS = {"survey": (0.55, 11.0), "resumes": (0.82, 2.8)}
COVARIATE_LEVELS = {"education": 5, "region": 4, "race": 3, "gender": 2}


def random_careers(people: int) -> Any:
    """Careers of 10 to 20 annual steps that end together."""
    rng = np.random.default_rng(0)
    rows: dict[str, list] = {name: [] for name in ("person", "year", "occupation", *COVARIATE_LEVELS)}
    for person, length in enumerate(rng.integers(10, 21, people)):
        rows["person"] += [str(person)] * length
        rows["year"] += range(2001 - length, 2001)
        rows["occupation"] += [f"{j:03}" for j in rng.integers(0, OCCUPATIONS, length)]
        for name, levels in COVARIATE_LEVELS.items():
            rows[name] += [str(level) for level in rng.integers(0, levels, length)]
    return from_frame(rows, covariates=list(COVARIATE_LEVELS))


def model_of(processor: CareerProcessor, size: str, workers: str, careers: Any) -> CareerForOccupationPrediction:
    """A model with random weights whose next step has the wanted probability of staying and entropy."""
    torch.manual_seed(0)
    model = CareerForOccupationPrediction(CareerConfig(**processor.config_kwargs(), **SIZES[size])).eval()
    torch.nn.init.normal_(model.model.norm.bias)  # what all workers have in common
    torch.nn.init.normal_(model.lm_head.weight)
    batch = processor(careers.select(range(32)))
    target, perplexity = WORKERS[workers]
    direction = model.model.norm.bias / model.model.norm.bias.square().sum()
    tastes = torch.randn_like(direction) * 0.5 / len(direction) ** 0.5

    @torch.no_grad()
    def next_step(stay_logit: float, sharpness: float) -> tuple[float, float]:
        model.stay_head.weight[0] = tastes + stay_logit * direction
        model.lm_head.weight.mul_(sharpness)
        log_p = model(**batch).logits[batch["attention_mask"].bool()]
        model.lm_head.weight.div_(sharpness)
        stay = log_p.gather(-1, batch["input_ids"][batch["attention_mask"].bool()].unsqueeze(-1))
        entropy = -(log_p.exp() * log_p).sum(-1)
        return stay.exp().mean().item(), entropy.mean().exp().item()

    low, high = -10.0, 10.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if next_step(middle, 1)[0] < target else (low, middle)
    stay_logit, (low, high) = middle, (1e-3, 10.0)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if next_step(stay_logit, middle)[1] > perplexity else (low, middle)
    stay, next_perplexity = next_step(stay_logit, middle)
    model.lm_head.weight.data.mul_(middle)
    print(f"\n{size}, {workers}: probability of staying {stay:.2f}, perplexity {next_perplexity:.1f}", flush=True)
    return model


@torch.inference_mode()
def naive(model: Any, history: torch.Tensor, levels: torch.Tensor, horizon: int) -> torch.Tensor:
    """Probabilities `(horizon, vocabulary)` from whole histories; history `(time,)`, levels `(time + horizon - 1,
    covariates)`."""
    paths, mean = history.expand(SAMPLES, -1), []
    for step in range(horizon):
        x = levels[: len(history) + step].expand(SAMPLES, -1, -1)
        p = model(input_ids=paths, covariates=x).logits[:, -1].softmax(-1)
        mean.append(p.mean(0))
        paths = torch.cat([paths, p.multinomial(1)], dim=1)
    return torch.stack(mean)


@torch.inference_mode()
def cached(model: Any, history: torch.Tensor, levels: torch.Tensor, horizon: int) -> torch.Tensor:
    """The same with a cache of keys and values for every trajectory."""
    cache = DynamicCache(config=model.config)
    x = levels[None, : len(history)]
    p = model(input_ids=history[None], covariates=x, past_key_values=cache, use_cache=True).logits[:, -1].softmax(-1)
    cache.batch_repeat_interleave(SAMPLES)
    p, mean = p.expand(SAMPLES, -1), [p[0]]
    for step in range(1, horizon):
        x = levels[len(history) + step - 1].expand(SAMPLES, 1, -1)
        output = model(input_ids=p.multinomial(1), covariates=x, past_key_values=cache, use_cache=True)
        p = output.logits[:, -1].softmax(-1)
        mean.append(p.mean(0))
    return torch.stack(mean)


def original(model: OriginalModel) -> Callable:
    """The original program's forecast of one person, with the arguments of `naive`; its model's weights do not change
    what it costs."""

    @torch.no_grad()
    def run(_: Any, history: torch.Tensor, levels: torch.Tensor, horizon: int) -> torch.Tensor:
        paths, mean = history.expand(SAMPLES, -1), []
        for step in range(horizon):
            x = levels[: len(history) + step].expand(SAMPLES, -1, -1)
            batch = {"input_ids": paths, "covariates": x, "real": torch.ones_like(paths, dtype=torch.bool)}
            p = model(batch)[:, -1].exp()
            mean.append(p.mean(0))
            paths = torch.cat([paths, p.multinomial(1)], dim=1)
        return torch.stack(mean)

    return run


@dataclass
class Program:
    """One of the programs that take turns, with what its runs took."""

    run: Callable[[], None]
    people: int
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    memory: float = 0.0

    def turn(self) -> None:
        """Runs once, while a thread watches the memory of the process."""
        ctypes.CDLL(None).malloc_trim(0)  # what an earlier turn has freed would hide what this one takes
        before, peak, done = resident(), 0.0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.01):
                peak = max(peak, resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        cpu, wall = time.process_time(), time.perf_counter()
        self.run()
        self.cpu.append((time.process_time() - cpu) / self.people)
        self.wall.append((time.perf_counter() - wall) / self.people)
        done.set()
        watcher.join()
        self.memory = max(self.memory, peak - before)


def resident() -> float:
    """Memory of the process in MB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def compare(size: str, workers: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Prints the table of one model size and kind of workers, and returns its rows."""
    many, few = {"small": (100, 4), "large": (16, 1)}[size]
    many = options.people or (8 if options.quick else many)
    few = 1 if options.quick else few
    careers = random_careers(max(many, 32))
    processor = CareerProcessor.fit(careers, covariates=("year", *COVARIATE_LEVELS))
    model = model_of(processor, size, workers, careers).to(getattr(torch, options.dtype))
    some = careers.select(range(many))
    last = processor.covariate_levels[0].index("2000")

    def loop(one: Callable) -> Callable[[], None]:
        def run() -> None:
            for i in range(few):
                batch = processor(careers.select([i]))
                history = torch.cat([batch["input_ids"][0], batch["labels"][0, -1:]])
                x = batch["covariates"][0]
                ahead = x[-1:].repeat(options.horizon, 1)
                ahead[:, 0] = last
                one(model, history, torch.cat([x, ahead]), options.horizon)

        return run

    def ours() -> None:
        forecast(model, some, processor, horizon=options.horizon, samples=SAMPLES, batch_tokens=options.batch_tokens)

    loops: dict[str, Callable] = {}
    if not options.alone:
        loops["original program"] = original(OriginalModel(model.config).eval())
        loops |= {"naive loop": naive, "cache for every trajectory": cached}
    programs = {name: Program(loop(one), few) for name, one in loops.items()}
    programs["forecast"] = Program(ours, many)
    for _ in range(options.rounds):
        for program in programs.values():
            program.turn()
    setting = f"{options.rounds} rounds, {options.threads} thread(s), {options.dtype}, {options.horizon} steps"
    print(f"{setting}, {many} people" + (f", {few} in the loops" if loops else ""))
    print(f"{'':28}{'CPU s a person':>16}{'x':>8}{'wall s a person':>17}{'x':>8}{'people/s':>10}{'MB':>8}")
    rows = []
    fastest = programs["forecast"]
    for name, program in programs.items():
        cpu, wall = statistics.median(program.cpu), statistics.median(program.wall)
        by_cpu, by_wall = cpu / statistics.median(fastest.cpu), wall / statistics.median(fastest.wall)
        rates = f"{1 / wall:>10.2f}{program.memory:>8,.0f}"
        print(f"{name:28}{cpu:>16.4f}{by_cpu:>8.1f}{wall:>17.4f}{by_wall:>8.1f}{rates}")
        case = f"{size}, {options.dtype}, {workers}, {options.horizon} steps"
        rows.append({"case": case, "program": name, "CPU seconds a person": cpu, "times forecast's": by_cpu})
        rows[-1] |= {"people a second": 1 / wall, "memory in MB": program.memory}
    return rows


def main() -> None:
    parser = options_of_all(__doc__)
    parser.add_argument("--workers", choices=list(WORKERS), nargs="+", default=list(WORKERS))
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--people", type=int, help="people of `forecast` (default: small 100, large 16)")
    parser.add_argument("--horizon", type=int, default=6, help="steps ahead")
    parser.add_argument("--alone", action="store_true", help="without the loops, for many people")
    parser.add_argument("--batch-tokens", type=int, default=4_000)
    options = parser.parse_args()
    if options.quick:
        options.size, options.workers = ["small"], ["survey"]
    prepare(options)
    logging.get_logger("career_hf.forecasting.forecast").setLevel("ERROR")
    table = [row for size in options.size for workers in options.workers for row in compare(size, workers, options)]
    report("forecasting", setting(options, "random careers"), table, "times forecast's", options.output)


if __name__ == "__main__":
    main()
