"""Mutants are small changes of what is computed, and what the list of equivalent ones names is there."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from mutants import mutants_of
from warm import ROOT, changed_functions


HERE = Path(__file__).parent
CORE = tomllib.loads((HERE / "core.toml").read_text(encoding="utf-8"))
EQUIVALENT = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))

PROGRAM = '''"""Says something."""
LIMIT = 3
def grow(x, by=2, *, twice=False):
    """Says more."""
    if x > LIMIT and not twice:
        raise ValueError(f"{x} is above 3")
    logger.warning("a word", 5)
    return max(x + by, key=abs)
'''


def test_what_is_computed_is_changed_and_what_is_said_is_not(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    mutants = mutants_of(tmp_path / "program.py", "program.py")
    assert {mutant.name for mutant in mutants} == {
        "file: 3 -> 4",
        "grow: 2 -> 3",
        "grow: False -> True",
        "grow: if x > LIMIT and (not twice): -> if not (x > LIMIT and (not twice)):",
        "grow: x > LIMIT and (not twice) -> x > LIMIT or not twice",
        "grow: x > LIMIT -> x >= LIMIT",
        "grow: not twice -> twice",
        "grow: raise ValueError(f'{x} is above 3') -> pass",
        "grow: return max(x + by, key=abs) -> return None",
        "grow: max(x + by, key=abs) -> max(x + by)",
        "grow: x + by -> x - by",
    }
    assert all(ast.unparse(mutant.tree) != ast.unparse(ast.parse(PROGRAM)) for mutant in mutants)
    assert {mutant.lines for mutant in mutants if "pass" in mutant.name} == {(6, 6)}


def test_functions_are_told_from_what_runs_at_import():
    mutants = {
        mutant.name: mutant for mutant in mutants_of(ROOT / "career_hf/models/two_stage.py", "models/two_stage.py")
    }
    assert changed_functions(mutants["file: 10000.0 -> 10001.0"]) is None
    changed = changed_functions(mutants["mean_nll: labels != -100 -> labels == -100"])
    assert "mean_nll" in {name for name, _ in changed}


@pytest.mark.parametrize("file", CORE)
def test_lists_name_what_is_there(file):
    assert all((ROOT / "tests" / name).is_file() for name in CORE[file])
    names = [mutant.name for mutant in mutants_of(ROOT / "career_hf" / file, file)]
    assert len(names) == len(set(names)) and set(EQUIVALENT.get(file, {})) <= set(names)
    assert all(reason.endswith(".") for reason in EQUIVALENT.get(file, {}).values())
