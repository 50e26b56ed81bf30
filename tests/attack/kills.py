"""Kills, full disks and read-only folders: what was stopped and is run again ends as if it had not been stopped.

    python tests/attack/kills.py --number 20            random kills of each job, and every stage of its writes
    python tests/attack/kills.py --only train --number 5

Each trial is a child of this process, which has imported everything: a job runs and is killed, or its disk is full,
then it is run again. The folder must then hold the same files with the same bytes as after a run that nobody stopped.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import torch  # noqa: E402
from scene import CUTOFF, SHORT, TINY, Scene, make_scene  # noqa: E402

import career_hf  # noqa: E402
from career_hf.careers import load_careers, truncate  # noqa: E402
from career_hf.representing.representations import save_representations  # noqa: E402
from career_hf.training.runs import last_checkpoint  # noqa: E402


# What a run records of the clock and of having been stopped, in JSON; it is no result.
CLOCK = re.compile(r"seconds|runtime|_per_second|hours|resumed_at|total_flos|_fingerprint")
DURATION = re.compile(r"\d (seconds|minutes|hours)\b|from update \d")
# Files that have the clock in them, or hashes and sizes of files that have it.
CLOCKED = {"training_args.bin", "run.lock", "trials.csv", "comparison.csv", "checksums.json", "complete.json"}
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
ENDED, FAILED = 0, 3
SECONDS = 300
CLONE_NEWNS, MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 1, 32, 4096, 16384, 1 << 18

Job = Callable[[Scene, Path], object]


def train(scene: Scene, output: Path) -> None:
    """Goes on from the newest checkpoint, if there is one."""
    resume = last_checkpoint(output / "training") is not None
    settings = {**SHORT, "max_steps": 4, "eval_steps": 2, "fields": TINY}
    career_hf.train(scene.careers, output=output, covariates=["year", "gender"], resume=resume, **settings)


def study(scene: Scene, output: Path) -> None:
    sizes = {"trials": 1, "seeds": 1, "max_steps": 2, "warmup_steps": 1, "eval_steps": 1, "tokens_per_batch": 500}
    career_hf.compare(scene.careers, models=["markov-1", "bag-of-jobs"], output=output, draws=10, **sizes)


def prepare(scene: Scene, output: Path) -> None:
    career_hf.sources.nlsy97(scene.nlsy97).save(output)


def prepare_spells(scene: Scene, output: Path) -> None:
    career_hf.sources.spells(str(scene.spells), output=output, as_of="2010-12-31").save(output)


def forecast(scene: Scene, output: Path) -> None:
    careers = load_careers(scene.careers)["test"]
    career_hf.forecast(str(scene.chain), careers, cutoff=CUTOFF, samples=20, trajectories=True).save(output)


def forecast_scores(scene: Scene, output: Path) -> None:
    career_hf.evaluate_forecast(str(scene.chain), scene.careers, cutoff=CUTOFF, samples=20, draws=10).save(output)


def representations(scene: Scene, output: Path) -> None:
    careers, _ = truncate(load_careers(scene.careers)["train"], CUTOFF)
    save_representations(str(scene.career), careers, None, output, people_per_file=12)


JOBS: dict[str, Job] = {
    job.__name__: job for job in (train, study, prepare, prepare_spells, forecast, forecast_scores, representations)
}


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody stopped.

    Args:
        files: Hash of each file, by its name below the folder that holds the output.
        changes: Number of times that it opened, moved, made or deleted something.
        seconds: Its time on the processor.
        sizes: Different sizes of its files.
    """

    files: dict[str, str]
    changes: int
    seconds: float
    sizes: list[int]


def hashes(folder: Path) -> dict[str, str]:
    """A hash of every file, without what is recorded of the clock; folders that are empty count too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            found[f"{name}/"] = ""
        elif path.name in CLOCKED:
            found[name] = "clock"
        elif path.suffix == ".md":
            lines = [line for line in path.read_text().split("\n") if not DURATION.search(line)]
            found[name] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        elif path.suffix == ".json":
            found[name] = hashlib.sha256(json.dumps(_timeless(json.loads(path.read_bytes()))).encode()).hexdigest()
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(inner) for name, inner in sorted(value.items()) if not CLOCK.search(name)}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def counted_changes(folder: Path, stage: Callable[[int], None]) -> None:
    """Calls a function with a number before each change below a folder that this process makes."""
    root, count = str(folder), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in CHANGES) and str(arguments[0]).startswith(root):
            count += 1
            stage(count)

    sys.addaudithook(hook)


def in_child(run: Callable[[], object], report: Path | None = None) -> int:
    """How a function ends in a child: `ENDED`, `FAILED`, or the negative number of the signal that killed it.

    Args:
        run: The function.
        report: File for what it prints, its traceback included.
    """
    child = os.fork()
    if child == 0:
        code = FAILED
        try:
            os.setsid()
            printed = os.open(report or os.devnull, os.O_RDWR | os.O_CREAT)
            for descriptor in (1, 2):
                os.dup2(printed, descriptor)
            signal.alarm(SECONDS)
            # Core dumps of the children would fill the disk.
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            run()
            code = ENDED
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Trials:
    """Trials of one job."""

    def __init__(self, job: str, scene: Scene, folder: Path) -> None:
        self.job, self.scene, self.folder = job, scene, folder
        self.place = folder / "place"
        self.output = self.place / "out"
        self.undisturbed = self._undisturbed()

    def run(self) -> None:
        JOBS[self.job](self.scene, self.output)

    def _undisturbed(self) -> Undisturbed:
        counts = self.folder / "changes"

        def counted() -> None:
            numbers: list[int] = []
            counted_changes(self.place, numbers.append)
            self.run()
            counts.write_text(f"{len(numbers)} {resource.getrusage(resource.RUSAGE_SELF).ru_utime}")

        self.clear()
        report = self.folder / "report"
        if in_child(counted, report) != ENDED:
            raise RuntimeError(f"{self.job} fails although nobody stops it: {report.read_text()}")
        changes, seconds = counts.read_text().split()
        sizes = sorted({path.stat().st_size for path in self.place.rglob("*") if path.is_file()} - {0})
        return Undisturbed(hashes(self.place), int(changes), float(seconds), sizes)

    def clear(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)

    def killed_before_change(self, number: int) -> str:
        """Killed just before it opens, moves, makes or deletes something for the so-many-th time."""

        def run() -> None:
            counted_changes(
                self.place, lambda count: os.kill(os.getpid(), signal.SIGKILL) if count == number else None
            )
            self.run()

        return self._stopped_and_run_again(run, f"killed before change {number}")

    def killed_after(self, seconds: float) -> str:
        """Killed after some time on the processor."""

        def run() -> None:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_PROF, seconds)
            self.run()

        return self._stopped_and_run_again(run, f"killed after {seconds:.2f} s")

    def killed_in_a_file(self, size: int) -> str:
        """Killed when a file, whoever writes it, reaches a size."""

        def run() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            self.run()

        return self._stopped_and_run_again(run, f"killed in a file of {size} bytes")

    def full_after(self, size: int) -> str:
        """No file may grow beyond a size, as on a disk that is full."""

        def run() -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            self.run()

        return self._stopped_and_run_again(run, f"full after {size} bytes of a file")

    def full_disk(self, size: int) -> str:
        """On a disk of its own that is too small, which grows before the second run."""
        what = f"full disk of {size} bytes"

        def both() -> None:
            mount("tmpfs", self.place, "tmpfs", 0, f"size={size}")
            code = in_child(self.run)
            mount("tmpfs", self.place, "tmpfs", MS_REMOUNT, "size=1g")
            self._check(code, what)

        return self._in_own_mounts(both, what)

    def read_only(self) -> str:
        """In a folder in which nothing can be written: it fails, and leaves nothing."""

        def both() -> None:
            mount(str(self.place), self.place, "", MS_BIND, "")
            mount(str(self.place), self.place, "", MS_BIND | MS_REMOUNT | MS_RDONLY, "")
            if in_child(self.run) != FAILED or any(self.place.iterdir()):
                raise RuntimeError("read only: it did not fail, or left something")

        return self._in_own_mounts(both, "read only")

    def _in_own_mounts(self, run: Callable[[], None], what: str) -> str:
        """Runs something in a child whose mounts nobody else sees; empty text if all is well."""
        said = self.folder / "said"
        said.write_text(f"{what}: the trial itself failed")

        def alone() -> None:
            unshare_mounts()
            try:
                run()
                said.write_text("")
            except RuntimeError as error:
                said.write_text(str(error))

        self.clear()
        in_child(alone)
        return said.read_text()

    def _stopped_and_run_again(self, run: Callable[[], None], what: str) -> str:
        self.clear()
        code = in_child(run)
        try:
            self._check(code, what)
        except RuntimeError as error:
            return str(error)
        return ""

    def _check(self, code: int, what: str) -> None:
        """Runs the job again, unless it ended, and compares what it leaves."""
        if code != ENDED and (again := in_child(self.run)) != ENDED:
            raise RuntimeError(f"{what} ({code}): running it again ends with {again}")
        found, expected = hashes(self.place), self.undisturbed.files
        for name in sorted({*found, *expected}):
            if name not in expected:
                raise RuntimeError(f"{what} ({code}): {name} is left over")
            if name not in found:
                raise RuntimeError(f"{what} ({code}): {name} is missing")
            if found[name] != expected[name]:
                raise RuntimeError(f"{what} ({code}): {name} differs")

    def all(self, number: int, seed: int) -> Iterator[str]:
        """Every stage of the writes, and a number of random kills and full disks."""
        draw = random.Random(seed)
        whole = self.undisturbed
        yield from (self.killed_before_change(i) for i in range(1, whole.changes + 1))
        yield from (self.killed_after(draw.uniform(0, whole.seconds)) for _ in range(number))
        for size in draw.sample(whole.sizes, min(number, len(whole.sizes))):
            yield self.killed_in_a_file(size // 2)
            yield self.full_after(size // 2)
        if may_mount():
            total = sum(path.stat().st_size for path in self.place.rglob("*") if path.is_file())
            yield from (self.full_disk(draw.randrange(4096, total)) for _ in range(number))
            yield self.read_only()
        else:
            say("neither disks of their own nor read-only folders are tried: this process may not mount")


libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, flags: int, data: str) -> None:
    """The system call."""
    if libc.mount(source.encode(), str(target).encode(), kind.encode(), flags, data.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))


def unshare_mounts() -> None:
    """Gives this process mounts of its own."""
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    mount("none", Path("/"), "", MS_REC | MS_PRIVATE, "")


def may_mount() -> bool:
    """Whether this process may give itself mounts of its own."""
    return in_child(unshare_mounts) == ENDED


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def main() -> int:
    """Tries every job, and prints what was not as it should be."""
    parser = argparse.ArgumentParser(prog="python tests/attack/kills.py", description=__doc__)
    parser.add_argument("--number", type=int, default=20, help="number of random kills, and of disks that are full")
    parser.add_argument("--only", choices=JOBS, action="append", help="job to try; all if left out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "scene").mkdir()
        scene = Scene(Path(name) / "scene")
        # In a child, so that this process has no threads, whose locks children would inherit.
        if in_child(lambda: make_scene(scene.folder)) != ENDED:
            raise RuntimeError("the careers and models on which jobs run could not be made")
        for job in chosen.only or JOBS:
            trials = Trials(job, scene, Path(name) / job)
            number = 0
            for said in trials.all(chosen.number, chosen.seed):
                number += 1
                wrong += bool(said)
                if said:
                    say(f"  {job}: {said}")
            say(f"{job}: {number} trials, {trials.undisturbed.changes} changes")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
