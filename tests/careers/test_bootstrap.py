"""The Bayesian bootstrap: weights of clusters, times survey weights, and nobody lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from career_hf.careers import from_frame
from career_hf.careers.bootstrap import bootstrap_weights


def panel(people=400, **columns):
    frame = pd.DataFrame({"person": np.repeat(np.arange(people), 2), "year": [1990, 1991] * people})
    return frame.assign(occupation="cook", home=frame["person"] // 2, **columns)


def test_weights_are_exponential_by_household_and_change_nothing_else():
    careers = from_frame(panel(), group="home")
    drawn = bootstrap_weights(careers, 3)
    assert drawn.remove_columns("weight")[:] == careers[:]
    weight = np.array(drawn["weight"]).reshape(-1, 2)
    assert (weight[:, 0] == weight[:, 1]).all() and len(np.unique(weight)) == 200
    # An exponential variable has mean and variance 1; with 200 of them errors are .07 and .2.
    assert weight.mean() == pytest.approx(1, abs=0.25) and weight[:, 0].var() == pytest.approx(1, abs=0.7)
    assert (
        bootstrap_weights(careers, 3)["weight"][:] == drawn["weight"][:] != bootstrap_weights(careers, 4)["weight"][:]
    )


def test_survey_weights_are_multiplied_by_person_or_by_year():
    for values in ([2.0, 2.0], [1.0, 3.0]):
        careers = from_frame(panel(20, survey=values * 20), weight="survey")
        bare = from_frame(panel(20))
        factor = np.array(bootstrap_weights(bare, [1, 2])["weight"])
        weight = np.array(bootstrap_weights(careers, [1, 2])["weight"])
        assert weight == pytest.approx(factor * 2 if values == [2.0, 2.0] else factor[:, None] * values)
