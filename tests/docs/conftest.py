"""Fixtures of the tests of pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import career_hf


SHORT = {"max_steps": 4, "eval_steps": 2, "warmup_steps": 1}


@pytest.fixture
def short_training(monkeypatch):
    """Pages and examples train as they stand, but for a few updates only."""
    for name in ("train", "compare"):
        verb = getattr(career_hf, name)

        def shorter(*arguments: Any, _verb: Any = verb, **options: Any) -> Any:
            is_counted = str(options.get("model")).startswith("markov")
            return _verb(*arguments, **options | ({} if is_counted else SHORT))

        monkeypatch.setattr(career_hf, name, shorter)


@pytest.fixture
def run_page(tmp_path, monkeypatch, capsys) -> Callable[[str], dict[str, Any]]:
    """Runs the Python of a page in an empty folder, block after block, and returns its names; it prints what the page
    says that it prints."""
    monkeypatch.chdir(tmp_path)

    def run(page: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
            exec(block, names)
        printed = capsys.readouterr().out
        for text in re.findall(r"```text\n(.*?)```", page, flags=re.DOTALL):
            assert text in printed
        return names

    return run
