"""Deleted years: the law holds from wave to wave, but some waves are not observed, and the truth is an estimate.

States in deleted years are hidden like a type; unlike a type they change, and with them the history that the law
depends on. So p*(y_t | observed past) is a sum over all hidden histories, too many to enumerate, and a particle filter
sums over some of them. A particle is a hidden history, its states and education levels in deleted years, with the
exact distribution of types given that history and the observed values (Rao-Blackwellised). In a deleted year the
children of a particle are all states that could follow. Of the children of a person a fixed number is kept, the
weightiest with certainty and the rest at random with weights that leave every sum unbiased (Fearnhead and Clifford
2003, On-line inference for hidden Markov models via particle filters). As long as there are no more children than
that, nothing is left to chance and the sum is exact.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from datasets import Dataset
from scipy.special import entr
from transformers.utils import logging

from ..careers.columns import career_table, list_values, make_dataset, select_steps
from ..encoding.processing_career import CareerProcessor
from ..evaluation.transition_table import transition_table
from ..number_ranges import within_ranges
from ..occupations.labels import EDUCATION
from ..rivals.markov import MarkovForOccupationPrediction
from .filtering import Filter
from .law import Law
from .survey import Simulation, Waves


# Size of the largest array of one chunk of people.
CHUNK = 2_000_000
# Guess at p(y_t) for a hidden history that has reached y_t already. It affects the noise of means, not the means.
REACHED = 0.5


@dataclass(frozen=True)
class Thinned:
    """Careers of which some waves are not observed.

    Args:
        careers: Careers as observed, without people who were never observed.
        simulation: Careers with all waves, of the same people in the same order.
        keep: Years that are observed.
    """

    careers: Dataset
    simulation: Simulation
    keep: frozenset[int]


@dataclass(frozen=True)
class ThinnedTruth:
    """The truth about thinned careers, estimated.

    Args:
        table: A transition table of the thinned careers, with the columns standard_error, the Monte-Carlo standard
            error of log_prob, and entropy, of the estimated distribution, in nats.
        replicates: `(steps, replicates)`, p(y_t | observed past) by each of the independent filters; log_prob is the
            logarithm of their mean.
    """

    table: pd.DataFrame
    replicates: np.ndarray

    def summary(self) -> pd.Series:
        """Summarises the floor and its precision.

        Returns:
            perplexity; standard_error, its Monte-Carlo standard error (`evaluation.bootstrap_perplexity` gives that of
            sampling people); and bias, approximately the excess over perplexity with infinitely many particles,
            because the logarithm of an unbiased estimate is too low by half its relative variance.
        """
        mean = self.replicates.mean(axis=1, keepdims=True)
        relative = self.replicates / mean - 1
        # Filters of different people are independent of each other; errors at steps of one person are not.
        person_sums = pd.DataFrame(relative).groupby(self.table["person"].to_numpy(), observed=True, sort=False).sum()
        steps, replicates = relative.shape
        variance = person_sums.var(axis=1, ddof=1).sum() / replicates / steps**2
        floor = float(np.exp(-self.table["log_prob"].mean()))
        bias = floor * float((self.table["standard_error"] ** 2).mean() / 2)
        return pd.Series(
            {"perplexity": floor, "standard_error": floor * np.sqrt(variance), "bias": bias}, name="floor"
        )


def thin(simulation: Simulation, keep: Collection[int] | None = None) -> Thinned:
    """Deletes the waves of some years from careers.

    Args:
        simulation: Careers with all waves; the law holds from each wave to the next, so an annual law needs annual
            waves (`SurveyConfig(skipped=0.0, last_annual_year=...)`).
        keep: Years that are observed; by default every second year from the world's first.

    Returns:
        Careers without the other years. Covariates are deleted with occupations; design columns stay.

    Raises:
        ValueError: If no wave is left.
    """
    config = simulation.world.config
    years = frozenset(range(config.first_year, config.last_year + 1, 2) if keep is None else keep)
    table = career_table(simulation.careers)
    observed = np.isin(list_values(table, "year").to_numpy(), list(years))
    if not observed.any():
        raise ValueError(
            f"no wave is in a year to keep ({min(years, default='none')} to {max(years, default='none')})"
        )
    columns, remains = select_steps(table, observed)
    rows = np.flatnonzero(remains)
    types = simulation.types.iloc[rows].reset_index(drop=True)
    whole = Simulation(simulation.careers.select(rows), types, simulation.world)
    return Thinned(make_dataset(columns), whole, years)


@within_ranges
def thinned_truth(
    thinned: Thinned, *, particles: int = 200, replicates: int = 4, seed: int = 0, split: str | None = None
) -> ThinnedTruth:
    """Estimates p*(y_t | observed occupations, observed covariates up to t) at every step of thinned careers.

    The years of deleted waves are known, their occupations and education levels are not. Deleted waves after a
    person's last observed one have no effect.

    Args:
        thinned: What `thin` returns.
        particles: Number of hidden histories kept per person.
        replicates: Number of independent filters, whose spread gives the standard error.
        seed: Random seed for drawing particles.
        split: As in `transition_table`.

    Returns:
        The table and the probabilities of all replicates; p_stay is the probability of the previous observed
        occupation.

    Raises:
        ValueError: If there are fewer than 1 particle or 2 replicates.
    """
    if particles < 1 or replicates < 2:
        raise ValueError(f"particles must be at least 1 and replicates at least 2, not {particles} and {replicates}")
    world = thinned.simulation.world
    law, waves = Law(world), Waves.of(thinned.simulation.careers, world)
    drawn = np.arange(waves.years.shape[1]) < waves.lengths[:, None]
    observed = np.isin(waves.years, list(thinned.keep)) & drawn
    per_person = 2 * replicates * max(particles, observed.shape[1]) * world.num_states
    chunks = np.array_split(np.arange(len(observed)), -(-len(observed) * per_person // CHUNK))
    probability, scores = [], []
    for chunk, people in enumerate(logging.tqdm(chunks, desc="Filtering careers", unit="chunk")):
        rows, rng = np.repeat(people, replicates), np.random.default_rng([seed, chunk])
        predicted = _predict(law, waves.take(rows), observed[rows], particles, rng)
        by_person = predicted.reshape(len(people), replicates, *predicted.shape[1:]).swapaxes(1, 2)
        step_probabilities, state = by_person[observed[people]], waves.states[people][observed[people]]
        probability.append(step_probabilities[np.arange(len(state)), :, state])
        scores.append(_scores(step_probabilities.mean(axis=1), state))
    # The steps of a table are the same for every model; a Markov chain of these careers costs nothing to fit.
    processor = CareerProcessor.fit(thinned.careers, covariates=(), occupations=world.labels)
    chain = MarkovForOccupationPrediction.fit(processor.encode(thinned.careers)[0], processor)
    table = transition_table(chain, thinned.careers, processor, split=split)
    replicated, estimated = np.concatenate(probability), pd.concat(scores, ignore_index=True)
    table[["log_prob", "rank", "p_top", "entropy"]] = estimated[["log_prob", "rank", "p_top", "entropy"]]
    table["p_stay"] = estimated["p_stay"].where(table["step"] > 0)
    spread = replicated.std(axis=1, ddof=1) / replicated.mean(axis=1)
    return ThinnedTruth(table.assign(standard_error=spread / np.sqrt(replicates)), replicated)


def _scores(p: np.ndarray, state: np.ndarray) -> pd.DataFrame:
    """Scores `(steps, states)` probabilities of `(steps,)` states, as in a transition table; p_stay from step 1 on."""
    steps = np.arange(len(state))
    probability = p[steps, state]
    return pd.DataFrame(
        {
            "log_prob": np.log(probability),
            "p_stay": p[steps, np.r_[0, state[:-1]]],
            "rank": ((p > probability[:, None]).sum(axis=1) + 1).astype(np.int32),
            "p_top": p.max(axis=1),
            "entropy": entr(p).sum(axis=1),
        }
    )


class _Cloud:
    """Weighted particles of some careers; the particles of a career are adjacent, and their weights sum to one.

    Args:
        filter_: Histories of the particles, with the distribution of types of each.
        career: `(particles,)`, career of each particle; not decreasing.
        weight: `(particles,)`, weight of each particle.
    """

    def __init__(self, filter_: Filter, career: np.ndarray, weight: np.ndarray) -> None:
        self.filter, self.career, self.weight = filter_, career, weight

    def children(self, parents: np.ndarray, weight: np.ndarray) -> _Cloud:
        """The next cloud, from `(children,)` rows of parents, not decreasing, and weights up to a factor."""
        career = self.career[parents]
        total = np.bincount(career, weight)
        is_same = np.array_equal(parents, np.arange(len(self.career)))
        return _Cloud(self.filter if is_same else self.filter.take(parents), career, weight / total[career])


def _predict(law: Law, waves: Waves, observed: np.ndarray, particles: int, rng: np.random.Generator) -> np.ndarray:
    """p(y_t = j | observed past), `(careers, waves, states)`, meaningless where `observed` is false."""
    careers, width = observed.shape
    every = np.arange(careers)
    predicted = np.zeros((careers, width, law.world.num_states))
    # The first observed wave from each wave on; `width` where there is none.
    following = np.minimum.accumulate(np.where(observed, np.arange(width), width)[:, ::-1], axis=1)[:, ::-1]
    cloud = _Cloud(Filter(law, waves.people), every, np.ones(careers))
    for t in range(width):
        continuing = np.flatnonzero(following[cloud.career, t] < width)
        if len(continuing) == 0:
            break
        cloud = cloud.children(continuing, cloud.weight[continuing])
        next_observed = np.minimum(following[:, t], width - 1)
        waves_ahead = next_observed - t  # each of these waves is one chance to complete a level
        next_level, next_state = waves.levels[every, next_observed], waves.states[every, next_observed]

        parents, level, share = _education(cloud, law, waves.years[:, t], next_level, waves_ahead)
        cloud = cloud.children(parents, cloud.weight[parents] * share)
        career = cloud.career
        cloud.filter.observe_covariates(waves.years[career, t], level)
        p = cloud.filter.probabilities()

        visible = np.flatnonzero(observed[career, t])
        np.add.at(predicted[:, t], career[visible], cloud.weight[visible, None] * p[visible])
        state = waves.states[career[visible], t]
        weight = cloud.weight[visible] * p[visible, state]

        hidden = np.flatnonzero(~observed[career, t])
        hidden_career = career[hidden]
        mass = cloud.weight[hidden, None] * p[hidden]
        # The missing levels must be completed in time, and only waves in some states complete one.
        mass *= (next_level[hidden_career] - level[hidden] - waves_ahead[hidden_career])[:, None] < law.can_rise
        # A guess at the probability that each child will give the next observed state.
        guess = np.repeat(p[hidden, next_state[hidden_career]][:, None], p.shape[1], axis=1)
        guess[np.arange(len(hidden)), next_state[hidden_career]] += REACHED
        parent, child, child_weight = _resample(mass, guess, hidden_career, particles, rng)

        parents = np.r_[visible, hidden[parent]]
        order = np.argsort(parents, kind="stable")
        cloud = cloud.children(parents[order], np.r_[weight, child_weight][order])
        cloud.filter.observe_occupation(np.r_[state, child][order])
        cloud.filter.step = None  # no longer needed, and large to copy
    return predicted


def _education(
    cloud: _Cloud, law: Law, year: np.ndarray, next_level: np.ndarray, waves_ahead: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels at this wave: the observed level, or all from which the next observed level can be reached.

    Args:
        cloud: Particles before the wave.
        law: The law.
        year: `(careers,)`, year of this wave.
        next_level: `(careers,)`, level at the next observed wave, which may be this one.
        waves_ahead: `(careers,)`, number of waves until then.

    Returns:
        `(children,)` particle, level, and the level's probability given the particle's history.
    """
    filter_, career = cloud.filter, cloud.career
    missing = next_level[career, None] - np.arange(len(EDUCATION))
    share = np.where((missing >= 0) & (missing <= waves_ahead[career, None]), 1.0, 0.0)
    for level in range(len(EDUCATION)):
        levels_now = np.full(len(career), level)
        likelihood = law.education_likelihood(filter_.history, filter_.people, year[career], levels_now)
        share[:, level] *= (filter_.weights * likelihood).sum(axis=1)
    parents, levels = share.nonzero()
    return parents, levels, share[parents, levels]


def _resample(
    mass: np.ndarray, guess: np.ndarray, career: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keeps `most` children of each career, with weights that make every sum over children unbiased.

    Half of the places go by probability, half by probability times a guess at the next observation.

    Args:
        mass: `(parents, states)`, weight of each parent times probability of each state; 0 for no child.
        guess: `(parents, states)`, positive.
        career: `(parents,)`, not decreasing.
        most: Number of children kept per career.
        rng: Random number generator.

    Returns:
        `(children,)` parent, state and weight.
    """

    def per_career(values: np.ndarray) -> np.ndarray:
        return np.bincount(career, values.sum(axis=1))[career, None]

    guided = mass * guess
    chance = mass / per_career(mass) + guided / per_career(guided)
    certain = (mass > 0) & (per_career(mass > 0) <= most)
    while True:
        # Chances of one and more are cut; the others grow, so that all still sum to the number of places.
        chance[certain] = 0
        total = per_career(chance)
        chance *= np.divide(most - per_career(certain), total, out=np.zeros(total.shape), where=total > 0)
        above = chance >= 1
        if not above.any():
            break
        certain |= above
    # Systematic sampling: equidistant points on the line of all chances, the first at random for each career.
    place = np.flatnonzero(chance)
    end = chance.ravel()[place].cumsum()
    shift = rng.random(career.max(initial=-1) + 1)[career][place // mass.shape[1]]
    drawn = np.floor(end + shift) > np.floor(np.r_[0, end[:-1]][: len(end)] + shift)
    selected = np.sort(np.r_[np.flatnonzero(certain), place[drawn]])
    parent, state = np.divmod(selected, mass.shape[1])
    return parent, state, mass[parent, state] / np.where(certain, 1.0, chance)[parent, state]
