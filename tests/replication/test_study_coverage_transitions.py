"""The study of the coverage of transition matrices' cells: its truths are those of a population that is drawn."""

from __future__ import annotations

import numpy as np
from replication import coverage_transitions as study

from career_hf.careers import to_frame
from career_hf.rivals.markov import MarkovForOccupationPrediction


def test_truths_are_those_of_a_population(tmp_path):
    plan = study.CoverageOfTransitions(tmp_path, study.CoverageSettings(worlds=2, draws=20))
    long = to_frame(study.draw_careers(4_000, np.random.default_rng(1)))
    group = long["occupation"].map(study.GROUPS)
    before = group.groupby(long["person"]).shift()
    observed = (
        group[before.notna()].groupby(before[before.notna()]).value_counts(normalize=True).unstack(fill_value=0.0)
    )
    for name in study.FIRST_PLACES:
        assert np.allclose(observed.loc[name, list(study.FIRST_PLACES)], plan.truth["observed"].loc[name], atol=0.015)
    for truth in plan.truth.values():
        assert np.allclose(truth.sum(axis=1), 1, atol=1e-4)
    assert isinstance(plan.chain[0], MarkovForOccupationPrediction)
    found = plan.run(workers=1)["coverage"]
    assert len(found) == 27 and (found["worlds"] == 2).all() and (found["width"] > 0).all()
