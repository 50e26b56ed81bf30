"""Test runs in children of a process that has imported everything, so that a mutant costs its tests and no more.

The first child runs all tests on the unchanged program. It says which libraries they import, which the parent then
imports, and which tests reach which lines, so that a mutant is given the tests that can see it, the fastest first.
"""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.abc
import importlib.util
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from mutants import Mutant


ROOT = Path(__file__).resolve().parents[2]
KILLED, SURVIVED, UNREACHED = "killed", "survived", "unreached"
GIGABYTE = 1 << 30


@dataclass
class Reached:
    """What the tests of a file reach, found by running them once on the unchanged program.

    Args:
        seconds: Time of the processor for each test, which other programs do not lengthen.
        lines: Tests that reach each line in their own code, and in the setup of fixtures, which others may share.
        at_import: Lines that run when the file is imported.
        libraries: Modules of others that the tests import.
        failed: Tests that fail.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[int, set[str]] = field(default_factory=dict)
    at_import: set[int] = field(default_factory=set)
    libraries: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def tests_of(self, mutant: Mutant, slowest: float) -> list[str]:
        """Tests that reach the lines of a mutant, the fastest first."""
        lines = range(mutant.lines[0], mutant.lines[1] + 1)
        found = set().union(*(self.lines.get(line, set()) for line in lines))
        if self.at_import & set(lines):
            found |= set(self.seconds)
        return sorted((name for name in found if self.seconds[name] <= slowest), key=self.seconds.__getitem__)


class Tracer:
    """A pytest plugin that sees which test reaches which lines of a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.reached = str(path), Reached()
        self.test: str | None = None
        self.in_setup: dict[str, set[int]] = {}
        self.phase, self.seconds = "", 0.0

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        return self.line if frame.f_code.co_filename == self.path else None

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if self.test is None:
            self.reached.at_import.add(frame.f_lineno)
        elif self.phase == "setup":
            self.in_setup.setdefault(self.test.split("::")[0], set()).add(frame.f_lineno)
        else:
            self.reached.lines.setdefault(frame.f_lineno, set()).add(self.test)
        return self.line

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.test = nodeid

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Any:
        self.phase = "setup"
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Any:
        self.phase = "call"
        sys.settrace(self.trace)  # a library may have taken it
        start = time.process_time()
        try:
            return (yield)
        finally:
            self.seconds = time.process_time() - start

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.reached.failed.append(report.nodeid)
        if report.when == "call" and report.passed:
            self.reached.seconds[report.nodeid] = self.seconds

    def finished(self) -> Reached:
        """What was seen, with lines of fixtures given to every test of their file."""
        for file, lines in self.in_setup.items():
            tests = {name for name in self.reached.seconds if name.split("::")[0] == file}
            for line in lines:
                self.reached.lines.setdefault(line, set()).update(tests)
        for tests in self.reached.lines.values():
            tests &= set(self.reached.seconds)
        own = ("career_hf", "test", "conftest", "mutants", "warm", "_pytest", "__main__")
        self.reached.libraries = [name for name in sys.modules if not name.startswith(own)]
        return self.reached


class Chosen:
    """A pytest plugin that runs some tests in a given order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.place = {name: i for i, name in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((i for i in items if i.nodeid in self.place), key=lambda i: self.place[i.nodeid])


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a mutant in the place of its file."""

    def __init__(self, mutant: Mutant) -> None:
        self.path = ROOT / "career_hf" / mutant.file
        self.module = ".".join(("career_hf", *Path(mutant.file).with_suffix("").parts))
        self.tree: ast.Module = mutant.tree

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)

    def exec_module(self, module: Any) -> None:
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)


def changed_functions(mutant: Mutant) -> dict[tuple[str, int], CodeType] | None:
    """New code of the functions that a mutant changes, by name and first line; None if it changes more than these."""
    path = ROOT / "career_hf" / mutant.file
    before, outside_before = _functions_of_file(path)
    after, outside_after = _functions(compile(mutant.tree, str(path), "exec"))
    if outside_before != outside_after or before.keys() != after.keys():
        return None
    changed = {name: code for name, code in after.items() if code != before[name]}
    return None if any(code.co_freevars != before[name].co_freevars for name, code in changed.items()) else changed


@cache
def _functions_of_file(path: Path) -> tuple[dict[tuple[str, int], CodeType], list[Any]]:
    return _functions(compile(ast.parse(path.read_text(encoding="utf-8")), str(path), "exec"))


def _functions(code: CodeType) -> tuple[dict[tuple[str, int], CodeType], list[Any]]:
    """Code of functions, but not of those inside others, and what runs outside of functions."""
    functions, outside = {}, [code.co_code, code.co_names]
    for constant in code.co_consts:
        if not isinstance(constant, CodeType):
            outside.append((type(constant), constant))
        elif constant.co_flags & CO_OPTIMIZED:
            functions[constant.co_qualname, constant.co_firstlineno] = constant
        else:
            inner, inner_outside = _functions(constant)
            functions |= inner
            outside += inner_outside
    return functions, outside


@cache
def functions_of_package() -> list[FunctionType]:
    """The functions of the package that are imported. The parent lists them once: a child that looks at all objects
    copies every page."""
    gc.unfreeze()  # frozen objects are not listed
    found = [value for value in gc.get_objects() if type(value) is FunctionType]  # isinstance would ask the value
    gc.freeze()
    return [function for function in found if function.__code__.co_filename.startswith(str(ROOT / "career_hf"))]


def change_functions(mutant: Mutant, changed: dict[tuple[str, int], CodeType]) -> None:
    """Gives functions that are imported already their new code."""
    path = str(ROOT / "career_hf" / mutant.file)
    for function in functions_of_package():
        code = function.__code__
        if code.co_filename == path and (code.co_qualname, code.co_firstlineno) in changed:
            function.__code__ = changed[code.co_qualname, code.co_firstlineno]


def reached_by(path: Path, tests: Sequence[Path]) -> Reached:
    """Runs all tests of a file on the unchanged program, in a child."""

    def run(answer: Path) -> int:
        tracer = Tracer(path)
        sys.settrace(tracer.trace)
        run_tests(tests, [tracer])
        sys.settrace(None)
        answer.write_bytes(pickle.dumps(tracer.finished()))
        return 0

    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "reached"
        if in_child(lambda: run(answer), seconds=3_600) != 0 or not answer.exists():
            raise RuntimeError(f"the tests of {path} did not run to their end")
        return pickle.loads(answer.read_bytes())


def import_all(names: Sequence[str]) -> None:
    """Imports what children would import otherwise."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001  # a part of a library that nobody imports by itself
            continue
    import torch

    torch.set_num_threads(1)
    # Otherwise the first collection of garbage in a child copies every page.
    gc.collect()
    gc.freeze()


def import_tests(files: Sequence[Path]) -> None:
    """Imports test files and, with them, the package."""
    sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "tests"), *{str(path.parent) for path in files}]
    import_all(["conftest", *(path.stem for path in files)])
    functions_of_package()


def verdict_of_import(mutant: Mutant, reached: Reached, tests: Sequence[Path], slowest: float) -> str:
    """Whether the tests that reach a mutant of what runs at import see it; the package must not be imported here.

    A mutant that hangs is seen.

    Args:
        mutant: The changed program.
        reached: What the tests reach.
        tests: Test files.
        slowest: Seconds of a test above which it is left out.
    """
    chosen = reached.tests_of(mutant, slowest)
    if not chosen:
        return UNREACHED
    files = [path for path in tests if any(str(path.relative_to(ROOT)) == name.split("::")[0] for name in chosen)]

    def run() -> int:
        sys.meta_path.insert(0, Mutated(mutant))
        return run_tests(files, [Chosen(chosen)])

    return SURVIVED if in_child(run, _patience(reached, chosen)) == 0 else KILLED


class Verdicts:
    """A pytest plugin that collects tests once and runs them in a child for every mutant of functions.

    Args:
        mutants: Mutants, and the new code of the functions that each changes.
        reached: What the tests reach.
        slowest: Seconds of a test above which it is left out.
        say: Is told each mutant with its verdict.
    """

    def __init__(
        self,
        mutants: Sequence[tuple[Mutant, dict[tuple[str, int], CodeType]]],
        reached: Reached,
        slowest: float,
        say: Callable[[Mutant, str], None],
    ) -> None:
        self.mutants, self.reached, self.slowest, self.say = mutants, reached, slowest, say

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        gc.collect()
        gc.freeze()
        for mutant, changed in self.mutants:
            chosen = self.reached.tests_of(mutant, self.slowest)
            if not chosen:
                self.say(mutant, UNREACHED)
                continue
            run = partial(self._run, session, [items[name] for name in chosen], mutant, changed)
            code = in_child(run, _patience(self.reached, chosen))
            self.say(mutant, SURVIVED if code == 0 else KILLED)
        return True

    @staticmethod
    def _run(
        session: pytest.Session,
        items: Sequence[pytest.Item],
        mutant: Mutant,
        changed: dict[tuple[str, int], CodeType],
    ) -> int:
        """The exit code: 1 as soon as a test fails."""
        change_functions(mutant, changed)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                return 1
        return 0


def _patience(reached: Reached, tests: Sequence[str]) -> float:
    """Seconds after which a mutant hangs."""
    return 30 + 10 * sum(reached.seconds[name] for name in tests)


def run_tests(files: Sequence[Path], plugins: Sequence[Any]) -> int:
    """Runs test files in this process until one fails; hypothesis draws the same examples every time."""
    import hypothesis

    hypothesis.settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile("mutation")
    options = ["-s", "-o", "addopts=", "--rootdir", str(ROOT)]
    for absent in ("cacheprovider", "xdist", "terminal"):
        options += ["-p", f"no:{absent}"]
    if not any(isinstance(plugin, Tracer) for plugin in plugins):
        options.append("-x")
    return int(pytest.main([*options, *map(str, files)], plugins=list(plugins)))


def in_child(run: Callable[[], int], seconds: float) -> int:
    """The exit code of a function that runs in a child without output; 1 if it takes too long."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            resource.setrlimit(resource.RLIMIT_AS, (24 * GIGABYTE, 24 * GIGABYTE))
            code = run()
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1
