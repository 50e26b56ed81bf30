"""Fixtures that several test files use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from career_hf.careers import from_frame


# Everything here is small: a second thread gains little, and waits when another program wants the core.
torch.set_num_threads(1)


@pytest.fixture
def shared() -> Path:
    """The folder of real data beside the repository; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("CAREER_HF_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is not a folder (set CAREER_HF_SHARED)")
    return folder


@pytest.fixture
def careers():
    """Three hand-made careers: biennial gaps, a return, missing levels, covariates not in alphabetical order."""
    return from_frame(
        {
            "person": ["ann", "ann", "ann", "bob", "cy", "cy", "cy", "cy"],
            "year": [1990, 1992, 1994, 1992, 1990, 1991, 1993, 1995],
            "occupation": ["cook", "waiter", "cook", "pilot", "cook", "cook", "waiter", "nurse"],
            "region": ["south", "south", None, "west", "west", "west", "south", "south"],
            "gender": ["f", "f", "f", "m", None, None, None, None],
            "log_wage": [2.0, None, 2.5, 3.0, 1.0, 1.5, None, 2.0],
            "survey_weight": [1.0, 1.0, 1.0, 4.0, 2.0, 2.0, 2.0, 2.0],
        },
        covariates=["region"],
        static=["gender"],
        outcomes=["log_wage"],
        weight="survey_weight",
    )


@pytest.fixture
def survey():
    """Two more hand-made careers, with occupations, levels, years and a covariate that `careers` does not have."""
    frame = {
        "person": ["dee", "dee", "eli"],
        "year": [1980, 1981, 1999],
        "occupation": ["judge", "judge", "actor"],
        "region": ["north", "south", "west"],
        "gender": ["f", "f", "x"],
        "education": ["college", "college", None],
    }
    return from_frame(frame, covariates=["region", "education"], static=["gender"])
