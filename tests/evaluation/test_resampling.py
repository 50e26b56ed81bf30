from __future__ import annotations

import numpy as np

from career_hf.evaluation.resampling import resample_means


def test_resampled_means_are_those_of_people_drawn_by_hand():
    rng = np.random.default_rng(0)
    person, group = rng.integers(0, 7, 40), rng.integers(0, 2, 40)
    person[:7] = np.arange(7)
    values, weight = rng.normal(size=(40, 2)), rng.gamma(2, size=40)
    _, resampled = resample_means(values, weight, person, group, draws=150, seed=3)
    rng = np.random.default_rng(3)
    drawn = np.concatenate([rng.integers(7, size=(100, 7)), rng.integers(7, size=(50, 7))])
    for draw, people in enumerate(drawn):
        rows = np.concatenate([np.flatnonzero(person == p) for p in people])
        for g in range(2):
            keep = rows[group[rows] == g]
            if len(keep):
                expected = np.average(values[keep], weights=weight[keep], axis=0)
                np.testing.assert_allclose(resampled[draw, g], expected)
            else:
                assert np.isnan(resampled[draw, g]).all()
