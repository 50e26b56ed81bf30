"""Wages of the simulated labor market, and their truth: expectations, the R^2 ceiling, gender gaps.

The log wage of a wave worked is linear in observed features of the career up to that wave, plus an effect of the
person's type, plus noise. Only the type is not observed, and the exact filter carries its distribution: so
E[ln w | history] is known for every wave, and with it every quantity that wage regressions estimate. Wages do not feed
back into careers, and the truth is given careers, not given earlier wages. `docs/explanation/simulated_wages.md` has
the equations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset

from ..careers.columns import career_table, list_lengths, list_values, make_dataset
from ..number_ranges import within_ranges
from ..occupations.labels import GENDERS
from .filtering import Filter
from .law import Law
from .survey import BLOCK, Simulation, Waves
from .world import World


# Wages have their own random stream: worlds and careers are the same with and without them.
WAGE_STREAM = 2_000_000


@dataclass(frozen=True)
class WageConfig:
    """The numbers of the wage law, in log points.

    Args:
        level: Log wage of a man for whom all other terms are zero.
        occupation_requirement: Effect of each education level that the occupation requires.
        occupation_sd: Standard deviation of the rest of the occupation's level, drawn from the world's seed.
        education: Effect of each level of education.
        experience, experience_squared: Effects of the number of waves worked, the present one included, and of its
            square.
        gaps: Effect of each wave without work since the first wave worked.
        family_run: Effect of the log of one plus waves worked in a row in the family of the present occupation.
        recipe: Effect of having held all three occupations of a recipe of the world.
        female: Effect of being a woman, all else equal: the structural gap.
        type_sd: Standard deviation over types of the type's effect, drawn from the world's seed.
        noise: Standard deviation of the unexplained part.
    """

    level: float = 1.5
    occupation_requirement: float = 0.1
    occupation_sd: float = 0.15
    education: float = 0.10
    experience: float = 0.035
    experience_squared: float = -0.0006
    gaps: float = -0.03
    family_run: float = 0.06
    recipe: float = 0.15
    female: float = -0.08
    type_sd: float = 0.25
    noise: float = 0.35

    def __post_init__(self) -> None:
        for name in ("occupation_sd", "type_sd", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is a standard deviation and must not be negative, not {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name, ready for JSON; `WageConfig(**d)` reads it."""
        return asdict(self)


@dataclass(frozen=True)
class WageLaw:
    """The wage law of a world.

    Args:
        config: Numbers of the wage law.
        occupation: `(J,)`, level of each occupation.
        type_effect: `(K,)`, effect of each type, with mean 0 over types; 0 where there is one type.
    """

    config: WageConfig
    occupation: np.ndarray = field(repr=False)
    type_effect: np.ndarray = field(repr=False)

    @classmethod
    def of_world(cls, world: World, config: WageConfig | None = None) -> WageLaw:
        """The wage law of a world; the same world seed always gives the same levels and effects.

        Args:
            world: The world.
            config: Numbers of the wage law; by default those of `WageConfig()`.
        """
        config = config or WageConfig()
        occupation_rng, type_rng = np.random.default_rng([world.config.seed, WAGE_STREAM]).spawn(2)
        effect = type_rng.normal(size=world.config.types)
        effect -= effect.mean()
        noise = config.occupation_sd * occupation_rng.normal(size=world.config.occupations)
        return cls(
            config=config,
            occupation=config.occupation_requirement * world.requirement + noise,
            type_effect=config.type_sd * effect / effect.std() if world.config.types > 1 else effect,
        )

    def observed(self, features: pd.DataFrame) -> np.ndarray:
        """The part of log wages that `wage_features` determine, gender apart, `(waves worked,)`."""
        c, experience = self.config, features["experience"]
        wage = c.level + self.occupation[features["occupation"]] + c.education * features["education"]
        wage += c.experience * experience + c.experience_squared * experience**2 + c.gaps * features["gaps"]
        wage += c.family_run * np.log1p(features["family_run"]) + c.recipe * features["recipe"]
        return wage.to_numpy()


@within_ranges
def draw_wages(simulation: Simulation, config: WageConfig | None = None, *, seed: int = 0) -> Simulation:
    """Adds wages to simulated careers.

    Args:
        simulation: Careers, types and world.
        config: Numbers of the wage law; by default those of `WageConfig()`.
        seed: Random seed for drawing noise.

    Returns:
        The simulation, whose careers have an outcome `log_wage` over time, null in waves without work.
    """
    careers, world = simulation.careers, simulation.world
    law, features = WageLaw.of_world(world, config), wage_features(careers, world)
    types = simulation.types.set_index("person")["type"].loc[features["person"]].to_numpy()
    table = career_table(careers)
    lengths = list_lengths(table, "occupation")
    noise = np.random.default_rng([world.config.seed, WAGE_STREAM, seed]).normal(size=lengths.sum())
    wage = np.full(lengths.sum(), np.nan)
    wage[features.index] = law.observed(features) + law.config.female * features["female"] + law.type_effect[types]
    wage += law.config.noise * noise
    offsets = pa.array(np.r_[0, lengths.cumsum()], pa.int32())
    log_wage = pa.ListArray.from_arrays(offsets, pa.array(wage, from_pandas=True))
    columns = {name: table[name] for name in table.column_names} | {"log_wage": log_wage}
    return replace(simulation, careers=make_dataset(columns))


@within_ranges
def wage_features(careers: Dataset, world: World) -> pd.DataFrame:
    """Computes the features of observed careers that the wage law uses, up to and including each wave.

    Args:
        careers: Careers of the world, with every covariate.
        world: The world.

    Returns:
        One row per wave worked; the index is the wave's position among all waves, as in `to_frame(careers)`. Columns:
        person, year; occupation, education and female as numbers; experience (waves worked, this one included), gaps
        (waves without work since the first one worked), family_run (waves worked in a row in the occupation's family)
        and recipe (whether all three occupations of a recipe have been held).

    Raises:
        ValueError: If a label is not one of the world's.
    """
    arrays = Waves.of(careers, world)
    waves = _unpadded(arrays)
    person = waves["person"].to_numpy()
    worked = (waves["state"] < world.config.occupations).to_numpy()
    experience = waves.assign(worked=worked).groupby("person")["worked"].cumsum()
    gaps = waves.assign(gap=~worked & (experience > 0)).groupby("person")["gap"].cumsum()
    is_ingredient = waves["state"].to_numpy()[:, None] == world.recipes.ravel()
    has_held = pd.DataFrame(is_ingredient).groupby(person).cummax().to_numpy()
    has_held = has_held.reshape(len(waves), *world.recipes.shape)
    at_work, occupation = person[worked], waves["state"].to_numpy()[worked]
    family = world.family[occupation]
    runs = np.cumsum(np.r_[True, (at_work[1:] != at_work[:-1]) | (family[1:] != family[:-1])][: len(family)])
    return pd.DataFrame(
        {
            "person": np.array(careers["person"][:])[at_work],
            "year": waves["year"].to_numpy()[worked],
            "occupation": occupation,
            "education": waves["education"].to_numpy()[worked],
            "female": (arrays.people.gender == GENDERS.index("female"))[at_work].astype(np.int64),
            "experience": experience.to_numpy()[worked],
            "gaps": gaps.to_numpy()[worked],
            "family_run": pd.Series(runs).groupby(runs).cumcount().to_numpy() + 1,
            "recipe": has_held.all(axis=2).any(axis=1)[worked].astype(np.int64),
        },
        index=np.flatnonzero(worked),
    )


@within_ranges
def type_posteriors(careers: Dataset, world: World, gender: str | None = None) -> np.ndarray:
    """Computes P(type | covariates and occupations up to and including each wave), by the exact filter.

    Args:
        careers: Careers of the world, with every covariate.
        world: The world.
        gender: One of `GENDERS`, to read every career as if it were that of a man, or of a woman: shares of types and
            probabilities of moves are then those of that gender. By default the recorded gender.

    Returns:
        `(waves, types)`, in the order of `to_frame(careers)`, waves without work included.

    Raises:
        ValueError: If a label is not one of the world's, or a career cannot happen in it.
    """
    if gender is not None and gender not in GENDERS:
        raise ValueError(f"gender must be one of {', '.join(GENDERS)}, or None, not {gender!r}")
    law, waves = Law(world), Waves.of(careers, world)
    people = waves.people
    if gender is not None:
        people = replace(people, gender=np.full(len(people), GENDERS.index(gender)))
    starts = waves.lengths.cumsum() - waves.lengths
    posterior = np.empty((waves.lengths.sum(), world.config.types))
    for block in range(0, len(people), BLOCK):
        # The longest careers come first, so that the careers that continue are always the first rows.
        rows = block + np.argsort(-waves.lengths[block : block + BLOCK], kind="stable")
        filter_ = Filter(law, people.take(rows))
        for t in range(waves.lengths[rows[0]]):
            careers_left = int((waves.lengths[rows] > t).sum())
            if careers_left < len(rows):
                rows, filter_ = rows[:careers_left], filter_.take(np.arange(careers_left))
            filter_.observe_covariates(waves.years[rows, t], waves.levels[rows, t])
            filter_.observe_occupation(waves.states[rows, t])
            posterior[starts[rows] + t] = filter_.weights
    return posterior


@within_ranges
def wage_truth(
    careers: Dataset,
    world: World,
    config: WageConfig | None = None,
    posteriors: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Computes the truth about the wage of every wave worked, given the career up to and including that wave.

    It does not depend on drawn wages, and does not condition on earlier ones.

    Args:
        careers: Careers of the world, with every covariate; with or without wages.
        world: The world.
        config: Numbers of the wage law; by default those of `WageConfig()`.
        posteriors: `type_posteriors` with each gender, by name of `GENDERS`; computed by default.

    Returns:
        The rows and columns of `wage_features`, and expected, E[ln w | gender, history]; variance, Var[ln w | gender,
        history]; structural, the coefficient of being a woman; gap, E[ln w | woman, history] - E[ln w | man, history]
        for the same history, whatever the person's gender; and log_wage where careers hold it. The history-adjusted
        gap is the mean of gap over women's rows.
    """
    law, features = WageLaw.of_world(world, config), wage_features(careers, world)
    if posteriors is None:
        posteriors = {gender: type_posteriors(careers, world, gender) for gender in GENDERS}
    man, woman = (posteriors[gender][features.index] for gender in GENDERS)
    posterior = np.where(features[["female"]] == 1, woman, man)
    mean, square = posterior @ law.type_effect, posterior @ law.type_effect**2
    truth = features.assign(
        expected=law.observed(features) + law.config.female * features["female"] + mean,
        variance=law.config.noise**2 + square - mean**2,
        structural=law.config.female,
        gap=law.config.female + (woman - man) @ law.type_effect,
    )
    if "log_wage" in careers.column_names:
        wages = list_values(career_table(careers), "log_wage").to_numpy(zero_copy_only=False)
        truth["log_wage"] = wages[features.index]
    return truth


@within_ranges
def wage_summary(truth: pd.DataFrame) -> pd.Series:
    """Summarises the truth in a few numbers.

    Args:
        truth: What `wage_truth` returns.

    Returns:
        Observations; the structural and the history-adjusted gap (mean over women's observations) with the standard
        deviation of the latter over these observations; the R^2 ceiling, the share of the variance of log wages that
        E[ln w | gender, history] explains, from the known conditional variances; and, where there are wages, the raw
        gap and the R^2 that the expectation has on them.
    """
    women = truth["female"] == 1
    explained, unexplained = truth["expected"].var(ddof=0), truth["variance"].mean()
    summary = {
        "observations": len(truth),
        "structural gap": truth["structural"].mean(),
        "history-adjusted gap": truth.loc[women, "gap"].mean(),
        "its standard deviation": truth.loc[women, "gap"].std(),
        "R^2 ceiling": explained / (explained + unexplained),
    }
    if "log_wage" in truth:
        wage = truth["log_wage"]
        summary["raw gap"] = wage[women].mean() - wage[~women].mean()
        summary["R^2 of the expectation"] = 1 - ((wage - truth["expected"]) ** 2).mean() / wage.var(ddof=0)
    return pd.Series(summary, name="wages")


def _unpadded(waves: Waves) -> pd.DataFrame:
    """Waves without padding, as in `to_frame(careers)`: person (its position), year, state and education."""
    person, t = np.nonzero(np.arange(waves.years.shape[1]) < waves.lengths[:, None])
    columns = {"year": waves.years, "state": waves.states, "education": waves.levels}
    return pd.DataFrame({"person": person} | {name: values[person, t] for name, values in columns.items()})
