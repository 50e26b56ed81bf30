"""Fixtures of the tests of pages."""

from __future__ import annotations

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
            return _verb(*arguments, **options | SHORT)

        monkeypatch.setattr(career_hf, name, shorter)
