"""`python tests/attack/fuzz.py`: reads malformed files with every reader and parser, and prints what it found.

    python tests/attack/fuzz.py --executions 100000 --seed 0 --target nls --target psid
    python tests/attack/fuzz.py --seconds 3600 --atheris --target nls

Inputs are small files whose bytes, cells, lines and JSON values are changed at random; with `--atheris` (`pip install
atheris`) the changes follow the branches that they reach. An execution fails if it ends in an exception that is not
documented, reads something that cannot be, or takes too long; its input is saved in `regressions/TARGET`, and
`test_fuzz.py` reads it again. The exit code is 1 if any failed.
"""

from __future__ import annotations

import argparse
import atexit
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


HERE = Path(__file__).resolve().parent
REGRESSIONS = HERE / "regressions"
# Larger inputs are not kept: a failure that needs so many bytes is rare.
LARGEST = 20_000
SECONDS_OF_AN_INPUT = 20
TOKENS: tuple[bytes, ...] = (
    *(b"\0", b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\n\n", b'"', b"'", b",", b",,", b";", b"\t"),
    *(b" ", b"-1", b"0", b"-5", b"99999999999999999999", b"1e309", b"nan", b"inf", b"1.0", b"1.5", b"-", b".", b"%"),
    *(b"[]", b"{}", b"null", b"true", b'""', b"[[", b"{", b"NaN", b"\xe2\x80\xae", "é".encode(), "١".encode()),
    *(b"R0000100", b"ER30001", b"ER30002", b"ER30003", b"2014", b"9999-12-31", b"Q4", b"Dez", b"1.0", b"x" * 300),
)
JSON_VALUES: tuple[Any, ...] = (None, True, -1, 0, 1.5, 10**30, "", "x", "\0", [], {}, [1], {"a": 1}, [[]], "nan")


class Hang(BaseException):
    """An input took too long."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises Hang after some seconds of the processor, which another program does not take part in."""

    def stop(*_: Any) -> None:
        raise Hang(f"took more than {seconds} seconds")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def mutated(seed: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A seed with a few changes at random."""
    changed = seed
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        changed = draw.choice(CHANGES)(changed, draw, seeds)
    return changed[: 4 * LARGEST]


def _insert(data: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    place = draw.randrange(len(data) + 1)
    return data[:place] + draw.choice(TOKENS) + data[place:]


def _replace(data: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    first = draw.randrange(len(data) + 1)
    return data[:first] + draw.choice(TOKENS) + data[first + draw.choice((1, 1, 2, 5, 20)) :]


def _flip(data: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    if not data:
        return data
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]


def _delete(data: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    first = draw.randrange(len(data) + 1)
    return data[:first] + data[first + draw.choice((1, 1, 2, 8, 64)) :]


def _truncate(data: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _splice(data: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    other = draw.choice(seeds)
    return data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other) + 1) :]


def _line(data: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A line twice, left out, or in another place."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    line = lines[draw.randrange(len(lines))]
    if draw.random() < 0.5:
        lines.remove(line)
    if draw.random() < 0.7:
        lines.insert(draw.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _cell(data: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A cell of a line becomes a token, or is left out or doubled."""
    lines = data.split(b"\n")
    place = draw.randrange(len(lines))
    delimiter = max((b",", b";", b"\t", b" "), key=lines[place].count)
    cells = lines[place].split(delimiter)
    number = draw.randrange(len(cells))
    cells[number : number + 1] = draw.choice(([], [draw.choice(TOKENS)], [draw.choice(TOKENS)], [cells[number]] * 2))
    lines[place] = delimiter.join(cells)
    return b"\n".join(lines)


def _json(data: bytes, draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A value of a JSON text becomes another, or is left out."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return _insert(data, draw, seeds)
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    walk(content)
    if not places:
        return json.dumps(draw.choice(JSON_VALUES)).encode()
    parent, key = draw.choice(places)
    if draw.random() < 0.3:
        del parent[key]
    else:
        parent[key] = draw.choice(JSON_VALUES)
    return json.dumps(content).encode()


Change = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
CHANGES: tuple[Change, ...] = (
    _insert,
    _replace,
    _flip,
    _delete,
    _truncate,
    _splice,
    _line,
    _cell,
    _cell,
    _json,
    _json,
)


def failure_of(target: Any, inputs: Sequence[bytes], folder: Path) -> str:
    """What went wrong with some inputs; empty if they were read, or refused as documented."""
    try:
        with time_limit(SECONDS_OF_AN_INPUT + 0.01 * len(inputs)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(inputs, folder)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if not isinstance(error, Hang) and target.is_allowed(error) and str(error).strip():
            return ""
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame is not None else ""
        return f"{type(error).__name__} at {where}: {' '.join(str(error).split())[:200]}"
    return ""


class Run:
    """The executions of one target, and what failed."""

    def __init__(self, target: Any, folder: Path, save: bool = True) -> None:
        self.target, self.folder, self.save = target, folder, save
        self.seeds = target.seeds()
        self.executions, self.seconds = 0, 0.0
        self.failures: Counter[str] = Counter()

    def execute(self, inputs: Sequence[bytes]) -> None:
        """Reads inputs together; where that fails, one by one, to find which one it is."""
        start = time.process_time()
        failure = failure_of(self.target, inputs, self.folder)
        self.executions += len(inputs)
        if failure and len(inputs) > 1:
            for one in inputs:
                if alone := failure_of(self.target, [one], self.folder):
                    self._keep(one, alone)
        elif failure:
            self._keep(inputs[0], failure)
        self.seconds += time.process_time() - start

    def _keep(self, packed: bytes, failure: str) -> None:
        kind = failure.partition(": ")[0]
        self.failures[kind] += 1
        if self.failures[kind] > 1:
            return
        print(f"{self.target.name}: {failure}", flush=True)
        if self.save and len(packed) <= LARGEST:
            place = REGRESSIONS / self.target.name
            place.mkdir(parents=True, exist_ok=True)
            (place / hashlib.sha256(packed).hexdigest()[:12]).write_bytes(packed)

    def __str__(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0
        failures = ", ".join(f"{kind} ({number})" for kind, number in self.failures.most_common())
        return f"{self.target.name:<15} {self.executions:>11,} {rate:>11,.1f}/s   {failures}"


def fuzz(run: Run, draw: random.Random, executions: int | None, seconds: float) -> None:
    """Executes a target with changed seeds, until so many executions or seconds."""
    seeds = run.seeds
    start, first = time.process_time(), run.executions
    while time.process_time() - start < seconds and (executions is None or run.executions - first < executions):
        size = (
            min(run.target.batch, executions - run.executions + first) if executions is not None else run.target.batch
        )
        run.execute([mutated(draw.choice(seeds), draw, seeds) for _ in range(size)])


def fuzz_by_coverage(run: Run, seed: int, executions: int | None, seconds: float) -> None:
    """The same with atheris, which ends the process when it is done."""
    import atheris

    corpus = tempfile.mkdtemp()
    for number, packed in enumerate(run.seeds):
        (Path(corpus) / str(number)).write_bytes(packed)
    dictionary = Path(corpus).with_suffix(".dict")
    words = ["".join(rf"\x{byte:02x}" for byte in token) for token in TOKENS]
    dictionary.write_text("".join(f'"{word}"\n' for word in words))
    limit = [f"-runs={executions}"] if executions is not None else []
    options = [*limit, f"-max_total_time={int(seconds)}", f"-seed={seed + 1}", f"-max_len={LARGEST}", "-verbosity=0"]
    atheris.Setup([sys.argv[0], corpus, f"-dict={dictionary}", *options], lambda packed: run.execute([packed]))
    atheris.Fuzz()


def main() -> int:
    """Fuzzes, prints and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python tests/attack/fuzz.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--executions", type=int, help="number of executions of each target; without limit if left out"
    )
    parser.add_argument("--seconds", type=float, default=60, help="time of the processor for each target")
    parser.add_argument("--seed", type=int, default=0, help="seed of the changes")
    parser.add_argument("--target", action="append", default=[], help="a target; all of them if left out")
    parser.add_argument("--atheris", action="store_true", help="follow branches (one target; pip install atheris)")
    chosen = parser.parse_args()
    # Nothing that a data set is read into stays behind, and nothing is downloaded.
    place = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None, prefix="fuzz"))
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(place / "cache"), "TQDM_DISABLE": "1"}
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    if chosen.atheris:
        import atheris

        with atheris.instrument_imports(include=["career_hf.sources", "career_hf.careers", "career_hf.occupations"]):
            from fuzz_targets import make_targets
    else:
        from fuzz_targets import make_targets
    targets = make_targets()
    names = chosen.target or list(targets)
    if unknown := [name for name in names if name not in targets]:
        parser.error(f"there is no target {unknown[0]}, only {', '.join(targets)}")
    runs = []
    if chosen.atheris and len(names) != 1:
        parser.error("--atheris needs one --target")
    for name in names:
        (place / name).mkdir()
        run = Run(targets[name], place / name)
        runs.append(run)
        if chosen.atheris:
            # Atheris ends the process itself.
            atexit.register(print, run, flush=True)
            fuzz_by_coverage(run, chosen.seed, chosen.executions, chosen.seconds)
        fuzz(run, random.Random(f"{chosen.seed} {name}"), chosen.executions, chosen.seconds)
        print(run, flush=True)
    print(f"{sum(run.executions for run in runs):,} executions in {sum(run.seconds for run in runs):,.0f} seconds")
    return int(any(run.failures for run in runs))


if __name__ == "__main__":
    raise SystemExit(main())
