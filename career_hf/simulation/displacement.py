"""Displaced workers whose counterfactual is known: the same people, drawn with and without the loss of their jobs.

In one year some people who work become unemployed instead of what they would have done. Everything else follows the
law of the market with the same random numbers: until that year both careers of a person are the same, after it they
differ by what unemployment and a lost occupation do in the law. People who have been in their occupation for a short
time are displaced more often, as newly hired people are; they also move more, so that whoever compares displaced
people with all others, and ignores careers, is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from ..careers.columns import make_dataset
from ..careers.frames import to_frame
from ..number_ranges import within_ranges
from ..occupations.attributes import attribute_matrix
from ..occupations.labels import GENDERS, RACES, REGIONS
from .law import History, Law, People
from .survey import draw_careers, draw_rows, named, waves_as_lists
from .world import NOT_WORKING, World


ENTRY_AGE = 18
# Years in an occupation from which on people are displaced less often.
ESTABLISHED = 3


@dataclass(frozen=True)
class SimulatedDisplacement:
    """Careers with a displacement, and the same people's careers without it.

    Args:
        careers: Careers as they were, displaced people's included.
        without: The careers of the same people if nobody had been displaced.
        events: One row per displaced person: person and year.
        world: The world from whose law both were drawn.
    """

    careers: Dataset
    without: Dataset
    events: pd.DataFrame
    world: World

    def effects(self, horizon: int, attributes: pd.DataFrame | None = None) -> pd.DataFrame:
        """What displacement did to these displaced people: means with it less means without it.

        Args:
            horizon: Years after the event.
            attributes: Attributes by occupation, whose means are over the people who have them.

        Returns:
            One row per event time and outcome, as `displacement` names them: event_time, outcome, level, displaced,
            without and effect.
        """
        frames = []
        for careers in (self.careers, self.without):
            long = to_frame(careers)[["person", "year", "occupation"]]
            long = long.merge(self.events.rename(columns={"year": "event_year"}), on="person")
            long["event_time"] = long["year"] - long["event_year"]
            before = long[long["event_time"] == -1].set_index("person")["occupation"]
            frames.append(long.assign(before=long["person"].map(before)))
        labels = self.world.labels
        rows = []
        for time in range(horizon + 1):
            means = []
            for long in frames:
                own = long[long["event_time"] == time]
                part: dict[tuple[str, str | None], float] = {}
                part["employed", None] = float((~own["occupation"].isin(NOT_WORKING)).mean())
                part["same occupation", None] = float((own["occupation"] == own["before"]).mean())
                if attributes is not None:
                    names, value, known = attribute_matrix(attributes, labels)
                    place = pd.Index(labels).get_indexer(own["occupation"])
                    # In the year of the event nobody who is displaced has an attribute.
                    with np.errstate(invalid="ignore"):
                        part |= dict(zip(names, value[place].sum(axis=0) / known[place].sum(axis=0), strict=True))
                means.append(part)
            rows += [(time, *name, means[0][name], means[1][name]) for name in means[0]]
        frame = pd.DataFrame(rows, columns=["event_time", "outcome", "level", "displaced", "without"])
        return frame.assign(effect=frame["displaced"] - frame["without"])


@within_ranges
def simulate_displacement(
    world: World, *, year: int, people: int = 2_000, share: float = 0.05, seed: int = 0
) -> SimulatedDisplacement:
    """Draws annual careers in which some people who work in the year before lose their jobs in `year`.

    Args:
        world: The world.
        year: The year of the displacement, in which a displaced person is unemployed.
        people: Number of people; all are observed in every year from the age of 18, or the world's first year, to its
            last year.
        share: Probability that a person is displaced who has been in the occupation for three years or longer; it is
            four times as large for others.
        seed: Random seed.

    Raises:
        ValueError: The year is not between the world's second and last one, or nobody is displaced.
    """
    config = world.config
    if not config.first_year < year <= config.last_year:
        raise ValueError(f"year is {year}, and must be after {config.first_year} and at most {config.last_year}")
    law, rng = Law(world), np.random.default_rng([config.seed, seed, 1])
    static = People(
        birth_year=rng.integers(config.first_birth_year, config.last_birth_year + 1, people),
        gender=rng.integers(len(GENDERS), size=people),
        race=rng.integers(len(RACES), size=people),
        region=rng.integers(len(REGIONS), size=people),
    )
    types = draw_rows(law.prior(static), rng)
    first = np.maximum(static.birth_year + ENTRY_AGE, config.first_year)
    lengths = config.last_year - first + 1
    if (lengths < 1).any():
        raise ValueError(f"some people are {ENTRY_AGE} only after the world's last year, {config.last_year}")
    years = np.minimum(first[:, None] + np.arange(lengths.max()), config.last_year)
    observed = np.arange(lengths.max()) < lengths[:, None]
    chance = rng.random(people)
    displaced = np.zeros(people, dtype=bool)

    def displace(rows: np.ndarray, now: np.ndarray, history: History, state: np.ndarray) -> np.ndarray:
        works = (history.previous >= 0) & (history.previous < config.occupations)
        risk = np.where(now - history.since >= ESTABLISHED, share, min(4 * share, 1.0))
        loses = (now == year) & works & (chance[rows] < risk)
        displaced[rows[loses]] = True
        return np.where(loses, config.occupations + NOT_WORKING.index("unemployed"), state)

    made = []
    for change in (displace, None):
        # The same random numbers with and without the displacement.
        states, levels = draw_careers(law, static, types, years, lengths, np.random.default_rng([seed, 2]), change)
        lists = waves_as_lists(years, states, levels, observed, world)
        made.append(make_dataset(_columns(static, world) | lists))
    if not displaced.any():
        raise ValueError(f"nobody of {people} people is displaced; draw more, or raise share, which is {share}")
    events = pd.DataFrame({"person": np.array(made[0]["person"][:])[displaced], "year": year})
    return SimulatedDisplacement(made[0], made[1], events, world)


def _columns(people: People, world: World) -> dict[str, Any]:
    width = len(str(len(people) - 1))
    births = world.covariate_levels["birth_year"]
    return {
        "person": [f"{i:0{width}d}" for i in range(len(people))],
        "region": named(people.region, REGIONS),
        "race": named(people.race, RACES),
        "gender": named(people.gender, GENDERS),
        "birth_year": named(people.birth_year - world.config.first_birth_year, births),
    }


__all__ = ["SimulatedDisplacement", "simulate_displacement"]
