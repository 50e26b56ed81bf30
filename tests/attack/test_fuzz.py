"""A few executions of every fast target, and every input that once failed; `python tests/attack/fuzz.py` fuzzes."""

from __future__ import annotations

import random

import pytest
from fuzz import REGRESSIONS, Run, fuzz, mutated
from fuzz_targets import Target, make_targets, pack, unpack


TARGETS = make_targets()
SAVED = sorted(path for path in REGRESSIONS.rglob("*") if path.is_file())
# Seconds of the processor for a target; those that need more than a fraction of a second for one input are left out.
SECONDS = 0.3
FAST = (
    "dates",
    "labels",
    "numbers",
    "nls",
    "psid",
    "psid_xlsx",
    "crosswalk",
    "outside_table",
    "margins",
    "ledger",
    "card",
)


@pytest.mark.parametrize("name", FAST)
def test_changed_inputs_are_read_or_refused_as_documented(name, tmp_path):
    run = Run(TARGETS[name], tmp_path, save=False)
    run.execute([run.seeds[0]])
    fuzz(run, random.Random(0), 5_000, SECONDS)
    assert run.executions > 1 and not run.failures, run


@pytest.mark.parametrize("path", SAVED, ids=[f"{path.parent.name}-{path.name}" for path in SAVED])
def test_inputs_that_once_failed_no_longer_do(path, tmp_path):
    run = Run(TARGETS[path.parent.name], tmp_path, save=False)
    run.execute([path.read_bytes()])
    assert not run.failures, run


def test_a_failure_a_hang_and_a_refusal_are_told_apart(tmp_path, monkeypatch):
    def read(inputs, folder):
        for packed in inputs:
            if packed == b"fail":
                raise KeyError("x")
            while packed == b"hang":
                pass
            TARGETS["ledger"].read([packed], folder)

    monkeypatch.setattr("fuzz.SECONDS_OF_AN_INPUT", 0.05)
    run = Run(Target("ledger", lambda: (b"",), read), tmp_path, save=False)
    for packed in (b"no ledger", b"fail", b"[]", b"hang"):
        run.execute([packed])
    assert run.executions == 4 and sum(run.failures.values()) == 2
    assert [kind.split()[0] for kind in run.failures] == ["KeyError", "Hang"]


def test_an_input_of_several_files_is_written_as_it_was(tmp_path):
    files = {"a.csv": b"1,2\n", "a.sdf": b"", "b": b"\xff"}
    (tmp_path / "old").write_text("of the input before")
    unpack(pack(files), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    draw = random.Random(0)
    assert len({mutated(pack(files), draw, [b"x"]) for _ in range(100)}) > 50
