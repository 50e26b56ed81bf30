"""The study of the coverage of forecasts' intervals: its truths are those of a population that is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from replication import coverage_forecasts as study
from sklearn.metrics import roc_auc_score

from career_hf.careers import to_frame


def test_truths_are_those_of_a_population(tmp_path):
    settings = study.CoverageSettings(worlds=2, sampled=1, households=100, samples=30, draws=20)
    plan = study.CoverageOfForecasts(tmp_path, settings)
    long = to_frame(study.draw_careers(4_000, np.random.default_rng(1)))
    wide = long.pivot(index="person", columns="year", values="occupation")
    codes = {year: pd.Categorical(wide[year], categories=study.LABELS).codes for year in wide}
    home = long.drop_duplicates("person").set_index("person")["group"].reindex(wide.index)
    for step, year in enumerate(study.YEARS):
        law = plan.laws["chain"][step]
        lost = pd.Series(-np.log(law[codes[study.CUTOFF], codes[year]]), index=wide.index)
        of_home = (lost - lost.mean()).groupby(home).sum()
        error = np.sqrt((of_home**2).sum()) / len(lost)
        assert abs(lost.mean() - plan.truth[step]) < 4 * error < 0.2
        # Some 8,000 people: the error of an AUC is about .005.
        auc = roc_auc_score(codes[year] == 0, law[codes[study.CUTOFF], 0])
        assert auc == pytest.approx(plan.auc("chain", step), abs=0.025)
    found = plan.run(workers=1)["coverage"]
    is_sampled = np.array(["sampling error" in name or "bias left in" in name for name in found.index])
    assert (found.loc[is_sampled, "worlds"] == 1).all() and is_sampled.sum() == 4
    assert len(found) == 14 and {"AUC of a state, 1 steps ahead", "difference of AUCs, 3 steps ahead"} <= set(
        found.index
    )
