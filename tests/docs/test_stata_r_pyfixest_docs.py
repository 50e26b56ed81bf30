"""docs/how_to/stata_r_pyfixest.md runs as it stands, on a small market with wages; Stata and R are not run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from career_hf.careers import save_careers, split_careers
from career_hf.simulation import draw_wages, preset


pytest.importorskip("pyfixest", reason="the extra 'econ' is not installed")
PAGE = (Path(__file__).parents[2] / "docs" / "how_to" / "stata_r_pyfixest.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_the_page_runs(run_page):
    save_careers(split_careers(draw_wages(preset("tiny").simulate(150)).careers), "careers/mine")
    names = run_page(PAGE)
    panel, fits = names["panel"], names["fits"]
    assert (names["table"].to_frame()["fold"].nunique(), len(names["table"].vectors)) == (2, 3)
    # Coefficients by fold are those of least squares with a column for each component and fold.
    dummies = pd.get_dummies(panel[["year", "education", "fold"]].astype(str), dtype=float)
    slopes = [panel[name] * (panel["fold"] == fold) for name in names["table"].vectors for fold in (0, 1)]
    x = np.column_stack([panel["female"], *slopes, dummies.to_numpy()])
    expected = np.linalg.lstsq(x, panel["log_wage"].to_numpy(), rcond=None)[0][0]
    assert fits["components"].coef()["female"] == pytest.approx(expected, abs=1e-6)
    assert list(names["wages"].regressions)[-1] == "+ h cross-fitted"
