"""The exact filter: p*(y_t | earlier occupations, covariates) = sum over types of w_tk p(y_t | type k, past).

The weights w start from p(type | gender, race, birth year). Bayes' rule updates them after every observation that is
informative about the type: every occupation, the first education level, and whether a level is completed in school.
"""

from __future__ import annotations

import copy
from typing import Literal

import numpy as np

from .law import History, Law, People, Step


Knowledge = Literal["history", "nothing", "type"]


class Filter:
    """Carries the distribution of types along careers, wave by wave, for many people at once.

    Each wave: `observe_covariates`, then `probabilities`, then `observe_occupation`.

    Args:
        law: The true law.
        people: Static covariates.
        weights: `(people, types)`, initial distribution of types; that of the population by default. Rows with all
            weight on one type make a filter that knows the type.
        learns: Whether weights are updated.
    """

    def __init__(self, law: Law, people: People, weights: np.ndarray | None = None, learns: bool = True) -> None:
        self.law, self.people, self.learns = law, people, learns
        self.history = History.empty(len(people), law.world)
        self.weights = law.prior(people) if weights is None else weights
        self.year = self.education = np.zeros(len(people), dtype=np.int64)
        self.step: Step | None = None

    def observe_covariates(self, year: np.ndarray, education: np.ndarray) -> None:
        """Takes in x_t: `(people,)` years and education levels.

        Raises:
            ValueError: If a year does not increase, or education changes in a way that has probability zero.
        """
        if (year <= self.history.year).any():
            row = int((year <= self.history.year).argmax())
            raise ValueError(
                f"row {row}: year {year[row]} follows year {self.history.year[row]}, but years must increase; "
                "forecast within the years of the model's config (to last_year + 20)"
            )
        self.year, self.education = year, education
        self.learn(self.law.education_likelihood(self.history, self.people, year, education), "education")
        self.step = self.law.step(self.history, self.people, year, education)

    def probabilities(self) -> np.ndarray:
        """p*(y_t | past), `(people, states)`."""
        return self.current().mixture(self.weights)

    def observe_occupation(self, state: np.ndarray) -> None:
        """Takes in y_t: `(people,)` states."""
        self.learn(self.current().likelihood(state), "occupation")
        self.history.observe(state, self.year, self.education, self.law.world)

    def learn(self, likelihood: np.ndarray, observation: str) -> None:
        """Updates weights by Bayes' rule, with the `(people, types)` probability of an observation."""
        weights = self.weights * likelihood
        total = weights.sum(axis=1, keepdims=True)
        if (total == 0).any():
            row = int((total == 0).argmax())
            raise ValueError(
                f"row {row}, year {self.year[row]}: this {observation} (education level {self.education[row]}, before "
                f"{self.history.education[row]}) cannot happen in this world, where education rises by one "
                "level at most, and only after a wave in school unless the world has tables"
            )
        if self.learns:
            self.weights = weights / total

    def take(self, rows: np.ndarray) -> Filter:
        """An independent filter of these people, in this order; a row may occur more than once."""
        filter_ = copy.copy(self)
        filter_.people, filter_.history = self.people.take(rows), self.history.take(rows)
        filter_.weights, filter_.year, filter_.education = self.weights[rows], self.year[rows], self.education[rows]
        filter_.step = None if self.step is None else self.step.take(rows)
        return filter_

    def current(self) -> Step:
        """The law at the present wave."""
        if self.step is None:
            raise ValueError("no wave is under way: call observe_covariates first")
        return self.step
