"""Careers to start from, for any checkpoint: they are drawn from the model, and nobody's."""

from __future__ import annotations

import numpy as np
from predictions import Career, CareerPredictor

from career_hf.careers import from_frame
from career_hf.forecasting.forecast import forecast


MOST_EXAMPLES, LONGEST, DRAWS = 4, 8, 32


def example_careers(predictor: CareerPredictor) -> list[Career]:
    """A career for each of the most frequent occupations, which is where it begins.

    The i-th has the i-th most frequent level of every covariate, as far as there are so many, the same in all years.
    Where the year is a covariate, careers begin a quarter into the trained years. Of what is drawn, the one whose
    number of moves is closest to two is taken.
    """
    years = _years(predictor)
    starts = predictor.occupations[:MOST_EXAMPLES]
    levels = {name: _by_count(predictor, name) for name in predictor.covariates}
    first = {
        "person": [str(i) for i in range(len(starts))],
        "year": years[:1] * len(starts),
        "occupation": starts,
        **{name: [own[i % len(own)] for i in range(len(starts))] for name, own in levels.items()},
    }
    careers = from_frame(first, covariates=predictor.covariates)
    paths = np.empty((len(starts), 0), dtype=int)
    if len(years) > 1:
        found = forecast(
            predictor.model,
            careers,
            predictor.processor,
            horizon=len(years) - 1,
            samples=DRAWS,
            trajectories=True,
        )
        drawn = found.trajectories
        paths = np.stack([_two_moves(drawn.occupation[drawn.person == i]) for i in range(len(starts))])
    return [
        {
            "year": list(years),
            "occupation": [start, *(found.occupations[code] for code in paths[i])],
            **{name: [first[name][i]] * len(years) for name in predictor.covariates},
        }
        for i, start in enumerate(starts)
    ]


def _years(predictor: CareerPredictor) -> list[int]:
    """Years one step apart, all of them trained."""
    step = predictor.processor.step_length
    trained = predictor.trained_years or list(range(2001, 2001 + step * LONGEST, step))
    years = [trained[len(trained) // 4]]
    while years[-1] + step in trained and len(years) < LONGEST:
        years.append(years[-1] + step)
    return years


def _by_count(predictor: CareerPredictor, covariate: str) -> list[str]:
    """The levels of a covariate, the most frequent first."""
    levels, processor = predictor.levels(covariate), predictor.processor
    if not processor.training_stages:
        return levels
    place = processor.covariate_names.index(covariate)
    counts = processor.trained_counts()[1][place]
    return sorted(levels, key=lambda level: -counts[processor.covariate_levels[place].index(level)])


def _two_moves(paths: np.ndarray) -> np.ndarray:
    """The path whose number of moves is closest to two."""
    return paths[np.abs((np.diff(paths, axis=1) != 0).sum(axis=1) - 2).argmin()]
