"""Runs attacks in this process, one after another, and says what became of each."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attacks import Attack
from scene import Scene, command_line


# In one line by this package's own check; in one line by the console, of an error that nobody foresaw; a success that
# may be right; a success that is wrong; no line; no end.
REFUSED, CAUGHT, ACCEPTED, SILENT, TRACEBACK, HANG = "refused", "caught", "accepted", "silent", "traceback", "hang"
CLASSES = (REFUSED, CAUGHT, ACCEPTED, SILENT, TRACEBACK, HANG)
FAILURES = (SILENT, TRACEBACK, HANG)


@dataclass(frozen=True)
class Verdict:
    """What became of an attack, with the line on the error, or why a success is right or wrong."""

    attack: Any
    verdict: str
    words: str


class TooLong(BaseException):
    """The time of an attack is over."""


@contextmanager
def time_limit(seconds: float) -> Iterator[list[bool]]:
    """Interrupts what takes longer; the list is not empty then, whoever caught the interruption."""
    ran_out: list[bool] = []

    def stop(*_: object) -> None:
        ran_out.append(True)
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield ran_out
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(attack: Attack, scene: Scene, seconds: float = 60) -> Verdict:
    """Runs a command that was given something malformed."""
    scratch = Path(tempfile.mkdtemp(prefix="attack-"))
    (scratch / "damaged").mkdir()
    here = Path.cwd()
    printed, complained = io.StringIO(), io.StringIO()
    code: Any = 0
    try:
        arguments = attack.arguments(scene, scratch)
        os.chdir(scratch)
        with redirect_stdout(printed), redirect_stderr(complained), time_limit(seconds) as ran_out:
            try:
                command_line().main(arguments, prog_name="career-hf")
            except SystemExit as end:
                code = end.code or 0
            except TooLong:
                code = None
            except BaseException:
                traceback.print_exc()
                code = 1
    finally:
        os.chdir(here)
        shutil.rmtree(scratch, ignore_errors=True)
    errors = [line for line in complained.getvalue().splitlines() if line.startswith("Error: ")]
    words = errors[-1] if errors else complained.getvalue()[-300:]
    if ran_out:
        return Verdict(attack, HANG, f"more than {seconds} seconds")
    if code == 0:
        return Verdict(attack, SILENT if attack.wrong else ACCEPTED, attack.why)
    if code != 2 or len(errors) != 1 or "Traceback (most recent call last)" in complained.getvalue():
        return Verdict(attack, TRACEBACK, f"exit code {code}: {words}")
    return Verdict(attack, CAUGHT if errors[0].endswith("; --traceback shows where)") else REFUSED, words)


def table_of(verdicts: list[Verdict]) -> str:
    """Counts of classes by command or function."""
    rows: dict[str, dict[str, int]] = {}
    for verdict in verdicts:
        row = rows.setdefault(verdict.attack.target, dict.fromkeys(CLASSES, 0))
        row[verdict.verdict] += 1
    rows = dict(sorted(rows.items()))
    rows["all"] = {name: sum(row[name] for row in rows.values()) for name in CLASSES}
    width = max(map(len, rows)) + 2
    lines = [" " * width + "".join(f"{name:>11}" for name in CLASSES)]
    lines += [f"{name:<{width}}" + "".join(f"{row[kind]:>11,}" for kind in CLASSES) for name, row in rows.items()]
    return "\n".join(lines)


def as_text(verdict: Verdict) -> str:
    """A verdict as one line."""
    text = f"{verdict.verdict}: {verdict.attack.target}: {verdict.attack.what}: {verdict.words}"
    return " ".join(text.split()).encode("utf-8", "backslashreplace").decode()[:600]


def say(text: str) -> None:
    """Prints at once, also into a file."""
    print(text, file=sys.stdout, flush=True)


__all__ = [
    "ACCEPTED",
    "CAUGHT",
    "CLASSES",
    "FAILURES",
    "REFUSED",
    "Verdict",
    "as_text",
    "judge",
    "table_of",
    "time_limit",
]
