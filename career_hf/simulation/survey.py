"""Draws careers from a world and observes them as a survey does: a stratified sample, waves annual and then biennial.

The law is defined from one observed wave to the next, with the gap in years as one of its arguments. So nothing
happens between waves, and the true probabilities of the observed careers are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset

from ..careers.columns import career_table, is_list, list_lengths, list_values, make_dataset
from ..careers.describing import describe
from ..careers.validation import validate
from ..encoding.vocabulary import fail, index_labels
from ..number_ranges import within_ranges
from ..occupations.labels import EDUCATION, GENDERS, RACES, REGIONS
from .law import History, Law, People
from .world import COVARIATES, NOT_WORKING, World


# People are drawn in blocks of this size, each with its own random stream, so memory does not grow with their number.
BLOCK = 5_000


@dataclass(frozen=True)
class SurveyConfig:
    """Who is sampled and when.

    Args:
        people: Number of people sampled.
        entry_age: Age at the first wave, in the survey's first year or later.
        last_annual_year: Waves are annual until then, and every second year after it.
        fewest_waves, most_waves: Bounds of the uniformly distributed number of waves of a person; careers also end at
            the survey's last wave.
        skipped: Share of interviews that are missed at random; the first is never missed.
        race_shares: Shares of the population, in the order of `RACES`.
        oversampling: Rate at which each race is sampled, relative to the others. Weights are the inverse.
        psus: Number of primary sampling units in each stratum; they have no effect on careers.
        wave_shares: Shares of people with each number of waves from fewest to most; empty for equal shares.
        years: Years of the waves; empty for those that `last_annual_year` says.
    """

    people: int = 12_000
    entry_age: int = 18
    last_annual_year: int = 1994
    fewest_waves: int = 5
    most_waves: int = 20
    skipped: float = 0.03
    race_shares: tuple[float, ...] = (0.8, 0.13, 0.07)
    oversampling: tuple[float, ...] = (1.0, 2.0, 2.5)
    psus: int = 10
    wave_shares: tuple[float, ...] = ()
    years: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("race_shares", "oversampling"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != len(RACES) or min(getattr(self, name)) <= 0:
                raise ValueError(f"{name} needs a positive number for each of {RACES}, not {getattr(self, name)}")
        for name in ("wave_shares", "years"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.wave_shares and (
            len(self.wave_shares) != self.most_waves - self.fewest_waves + 1
            or min(self.wave_shares) < 0
            or sum(self.wave_shares) == 0
        ):
            raise ValueError(
                f"wave_shares needs a share for each number of waves from {self.fewest_waves} to {self.most_waves}, "
                f"not {self.wave_shares}"
            )
        if any(a >= b for a, b in zip(self.years, self.years[1:], strict=False)):
            raise ValueError(f"years of the waves must increase, not {self.years}")
        if self.people < 1:
            raise ValueError(f"people is {self.people}, and must be 1 or more")
        if not 1 <= self.fewest_waves <= self.most_waves:
            raise ValueError(
                f"fewest_waves is {self.fewest_waves} and most_waves is {self.most_waves}: fewest_waves must be 1 or "
                "more, and most_waves no fewer than that"
            )

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name, ready for JSON; `SurveyConfig(**d)` reads it."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class Simulation:
    """Simulated careers, and the types and the world that only a simulation knows.

    Args:
        careers: Careers with the covariates education (over time), region, race, gender and birth_year, and with
            weight, stratum and psu.
        types: Type of each person, in columns person and type; kept apart so that no model reads it by accident.
        world: World from which the careers were drawn.
    """

    careers: Dataset
    types: pd.DataFrame
    world: World

    def describe(self) -> pd.Series:
        """What `describe` counts, and the share of person-years in each state without work."""
        states = pd.Series(list_values(career_table(self.careers), "occupation").to_pandas())
        shares = states.value_counts(normalize=True).reindex(NOT_WORKING, fill_value=0.0)
        return pd.concat([describe(self.careers), shares.add_prefix("share ")]).rename("careers")


@within_ranges
def simulate(world: World, survey: SurveyConfig | None = None, *, seed: int = 0) -> Simulation:
    """Draws a survey of careers.

    Args:
        world: The world.
        survey: Who is sampled and when; by default that of `SurveyConfig()`.
        seed: Random seed for drawing people. The same world, survey and seed always give the same careers.
    """
    survey = survey or SurveyConfig()
    law = Law(world)
    blocks = []
    for block, start in enumerate(range(0, survey.people, BLOCK)):
        rng = np.random.default_rng([world.config.seed, seed, block])
        blocks.append(_draw_block(law, survey, min(BLOCK, survey.people - start), rng))
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    careers = make_dataset(_career_columns(columns, survey, world))
    validate(careers)
    types = pd.DataFrame({"person": careers["person"][:], "type": columns["type"]})
    return Simulation(careers, types, world)


def draw_careers(
    law: Law,
    people: People,
    types: np.ndarray,
    years: np.ndarray,
    lengths: np.ndarray,
    rng: np.random.Generator,
    change: Callable[[np.ndarray, np.ndarray, History, np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the careers of given people.

    Args:
        law: The law.
        people: Static covariates.
        types: `(people,)`, type of each person.
        years: `(people, waves)`, years of the waves, increasing.
        lengths: `(people,)`, number of waves of each person.
        rng: Random number generator.
        change: What happens to people besides the law: a function of the places of some people, the year of their
            wave, their histories and their drawn states, which returns their states.

    Returns:
        `(people, waves)` states and education levels, meaningless beyond a person's length.
    """
    states, levels = np.zeros(years.shape, dtype=np.int64), np.zeros(years.shape, dtype=np.int64)
    # The longest careers come first, so that the careers that continue are always the first rows.
    order = np.argsort(-lengths, kind="stable")
    history, everyone = History.empty(len(order), law.world), people.take(order)
    for t in range(int(lengths.max())):
        rows = order[: np.searchsorted(-lengths[order], -t, side="left")]
        n = len(rows)
        if n < len(everyone):
            history, everyone = history.take(np.arange(n)), everyone.take(np.arange(n))
        year, type_ = years[rows, t], types[rows]
        if t == 0:
            level = draw_rows(law.first_education(everyone, year)[np.arange(n), type_], rng)
        else:
            rises = law.completes_level(history, year)[np.arange(n), type_]
            level = history.education + (rng.random(n) < rises)
        known_type = np.eye(law.world.config.types)[type_]
        state = draw_rows(law.step(history, everyone, year, level).mixture(known_type), rng)
        if change is not None:
            state = change(rows, year, history, state)
        history.observe(state, year, level, law.world)
        states[rows, t], levels[rows, t] = state, level
    return states, levels


def draw_rows(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws one state from each row of probabilities."""
    cumulative = probabilities.cumsum(axis=1)
    # The total is one but for rounding; times the total, a draw is never beyond the last state.
    return (cumulative <= (rng.random(len(cumulative)) * cumulative[:, -1])[:, None]).sum(axis=1)


def _draw_block(law: Law, survey: SurveyConfig, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Columns of some people: one number per person, or `(people, waves)` arrays of one width in every block."""
    config = law.world.config
    share = np.array(survey.race_shares) * survey.oversampling
    people = People(
        birth_year=rng.integers(config.first_birth_year, config.last_birth_year + 1, n),
        gender=rng.integers(len(GENDERS), size=n),
        race=rng.choice(len(RACES), size=n, p=share / share.sum()),
        region=rng.integers(len(REGIONS), size=n),
    )
    types = draw_rows(law.prior(people), rng)
    years, lengths = _waves(law.world, survey, people, rng)
    states, levels = draw_careers(law, people, types, years, lengths, rng)
    return {
        "birth_year": people.birth_year,
        "gender": people.gender,
        "race": people.race,
        "region": people.region,
        "psu": rng.integers(survey.psus, size=n),
        "type": types,
        "length": lengths,
        "years": years,
        "states": states,
        "levels": levels,
    }


def _waves(
    world: World, survey: SurveyConfig, people: People, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`(people, most_waves)` years of the waves, and the `(people,)` number of waves of each person."""
    first, last = world.config.first_year, world.config.last_year
    annual_then_biennial = [y for y in range(first, last + 1) if y <= survey.last_annual_year or (last - y) % 2 == 0]
    calendar = np.array(survey.years or annual_then_biennial)
    entry = np.searchsorted(calendar, np.maximum(people.birth_year + survey.entry_age, first))
    if (entry == len(calendar)).any():
        person = int((entry == len(calendar)).argmax())
        raise ValueError(
            f"people born in {people.birth_year[person]} are {survey.entry_age} only after the last wave, "
            f"{calendar[-1]}: choose a lower entry_age or a later last_year"
        )
    if survey.wave_shares:
        shares = np.array(survey.wave_shares)
        wanted = survey.fewest_waves + rng.choice(len(shares), size=len(people), p=shares / shares.sum())
    else:
        wanted = rng.integers(survey.fewest_waves, survey.most_waves + 1, len(people))
    interviewed = rng.random((len(people), len(calendar))) >= survey.skipped
    wave = np.arange(len(calendar))
    interviewed = (interviewed & (wave > entry[:, None])) | (wave == entry[:, None])
    interviewed &= interviewed.cumsum(axis=1) <= wanted[:, None]
    lengths = interviewed.sum(axis=1)
    # Interviews come first, in calendar order; the rest of a row is never read.
    order = np.argsort(~interviewed, axis=1, kind="stable")[:, : survey.most_waves]
    years = calendar[order]
    return np.pad(years, ((0, 0), (0, survey.most_waves - years.shape[1]))), lengths


def _career_columns(columns: dict[str, np.ndarray], survey: SurveyConfig, world: World) -> dict[str, pa.Array]:
    """The columns of a careers dataset."""
    n = len(columns["length"])
    observed = np.arange(columns["years"].shape[1]) < columns["length"][:, None]
    width = len(str(n - 1))
    # Weights make people of all races count as in the population; their mean is 1.
    share = np.array(survey.race_shares) * survey.oversampling
    weight = (np.array(survey.race_shares) / (share / share.sum()))[columns["race"]]
    stratum = columns["race"] * len(REGIONS) + columns["region"]
    strata = [f"{race}, {region}" for race in RACES for region in REGIONS]
    psu = stratum * survey.psus + columns["psu"]
    birth_years = world.covariate_levels["birth_year"]
    return {
        "person": pa.array([f"{i:0{width}d}" for i in range(n)]),
        **waves_as_lists(columns["years"], columns["states"], columns["levels"], observed, world),
        "region": named(columns["region"], REGIONS),
        "race": named(columns["race"], RACES),
        "gender": named(columns["gender"], GENDERS),
        "birth_year": named(columns["birth_year"] - world.config.first_birth_year, birth_years),
        "weight": pa.array(weight, pa.float64()),
        "stratum": named(stratum, strata),
        "psu": named(psu, [str(i) for i in range(len(strata) * survey.psus)]),
    }


def waves_as_lists(
    years: np.ndarray, states: np.ndarray, levels: np.ndarray, observed: np.ndarray, world: World
) -> dict[str, pa.Array]:
    """Makes the list columns year, occupation and education from `(people, waves)` arrays and the observed mask."""
    offsets = pa.array(np.r_[0, observed.sum(axis=1).cumsum()], pa.int32())
    values = {
        "year": pa.array(years[observed], pa.int32()),
        "occupation": named(states[observed], world.labels),
        "education": named(levels[observed], EDUCATION),
    }
    return {name: pa.ListArray.from_arrays(offsets, array) for name, array in values.items()}


@dataclass(frozen=True)
class Waves:
    """Careers of a world as `(people, waves)` arrays, padded with zeros.

    Args:
        people: Static covariates.
        lengths: `(people,)`, number of waves of each person.
        years, states, levels: Year, state and education level at each wave.
    """

    people: People
    lengths: np.ndarray
    years: np.ndarray
    states: np.ndarray
    levels: np.ndarray

    def take(self, rows: np.ndarray) -> Waves:
        """These people, in this order; a row may occur more than once."""
        return Waves(self.people.take(rows), *(getattr(self, f.name)[rows] for f in fields(self)[1:]))

    @classmethod
    def of(cls, careers: Dataset, world: World) -> Waves:
        """Reads careers with all covariates of the law.

        Raises:
            ValueError: If a covariate is missing, or a label is not one of the world's.
        """
        table = career_table(careers)
        lengths = list_lengths(table, "year")
        observed = np.arange(lengths.max(initial=0)) < lengths[:, None]
        missing = [name for name in COVARIATES if name not in table.column_names]
        if missing:
            raise ValueError(f"careers lack the covariate '{missing[0]}', which the law of the world needs: add it")

        def codes(name: str, labels: Sequence[str]) -> np.ndarray:
            over_time = is_list(table.schema.field(name).type)
            values = list_values(table, name) if over_time else table[name].combine_chunks()
            indices = index_labels(values, labels).astype(np.int64)
            if (indices < 0).any():
                place = int((indices < 0).argmax())
                row = int(np.searchsorted(lengths.cumsum(), place, side="right")) if over_time else place
                step = place if over_time else int(lengths[:place].sum())
                problem = "is not one of the world's: pass the world that careers were drawn from"
                fail(table, row, step, f"{name} {values[place].as_py()!r} {problem}")
            return indices

        def padded(values: np.ndarray) -> np.ndarray:
            grid = np.zeros(observed.shape, dtype=np.int64)
            grid[observed] = values
            return grid

        levels = world.covariate_levels
        return cls(
            people=People(
                birth_year=world.config.first_birth_year + codes("birth_year", levels["birth_year"]),
                **{name: codes(name, levels[name]) for name in ("gender", "race", "region")},
            ),
            lengths=lengths,
            years=padded(list_values(table, "year").to_numpy()),
            states=padded(codes("occupation", world.labels)),
            levels=padded(codes("education", levels["education"])),
        )


def named(codes: np.ndarray, labels: Sequence[str]) -> pa.Array:
    """The label of each code."""
    return pa.array(labels, pa.string()).take(pa.array(codes))
