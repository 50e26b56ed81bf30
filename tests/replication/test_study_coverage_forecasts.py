"""The study of the coverage of forecasts' intervals: its truths are those of a population that is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
from replication import coverage_forecasts as study

from career_hf.careers import to_frame


def test_truths_are_those_of_a_population(tmp_path):
    plan = study.CoverageOfForecasts(tmp_path, study.CoverageSettings(worlds=2, households=15, samples=30, draws=20))
    long = to_frame(study.draw_careers(4_000, np.random.default_rng(1)))
    wide = long.pivot(index="person", columns="year", values="occupation")
    codes = {year: pd.Categorical(wide[year], categories=study.LABELS).codes for year in wide}
    home = long.drop_duplicates("person").set_index("person")["group"].reindex(wide.index)
    for step, year in enumerate(study.YEARS):
        lost = pd.Series(-plan.logs[step][codes[study.CUTOFF], codes[year]], index=wide.index)
        of_home = (lost - lost.mean()).groupby(home).sum()
        error = np.sqrt((of_home**2).sum()) / len(lost)
        assert abs(lost.mean() - plan.truth[step]) < 4 * error < 0.2
    found = plan.run(workers=1)["coverage"]
    assert (found["worlds"] == 2).all() and len(found) == 8
    assert not any("sampling error, 1 steps" in name for name in found.index)
