"""The world of the simulated labor market: occupations, latent types and the numbers of the law, from one seed.

A `WorldConfig` is a set of named numbers; `World.build` turns it into arrays. The law that uses them is in `law.py`;
`docs/explanation/simulated_market.md` describes it in words and equations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from ..occupations import crosswalks
from ..occupations.labels import EDUCATION, GENDERS, RACES, REGIONS
from .tables import LawTables


# Three states without work follow the occupations, in this order.
NOT_WORKING = ("unemployed", "out_of_labor_force", "in_school")
COVARIATES = ("year", "education", "region", "race", "gender", "birth_year")
# Number of years after the last wave for which the true model gives probabilities.
YEARS_AHEAD = 20
DEPARTURE_SEED = 1_000_000


@dataclass(frozen=True)
class WorldConfig:
    """The numbers of a world. Numbers named `_sd` are standard deviations of values that `seed` draws.

    Numbers are log-odds unless another unit is given. A strength of 0 switches a mechanism off.

    Args:
        seed: Random seed for drawing occupations and types; `simulate` has another one for drawing people.
        occupations: Number of occupations, J, without the states without work.
        families: Number of families, G: groups of occupations with neighbouring codes and similar skills.
        types: Number of latent types of people, K.
        skills: Number of dimensions of the skill space.
        recipes: Number of recipes, R: triples (a, b, c) such that people who have held both a and b are drawn to c.
        first_year, last_year: Calendar years of the market.
        first_birth_year, last_birth_year: Birth years of the population.
        departure: Distance of this world from the one with departure 0, from 0 to 1: at 1 skills, sizes, trends and
            types are other draws, in between they are a mixture. Families, requirements, ladders, recipes and the
            numbers below stay. It serves for pretraining corpora whose law is not the survey's.
        occupation_labels: Labels of the occupations; empty for the first J codes of occ1990dd.
        size_sd: Of the log-size of occupations.
        trend_sd: Of families' growth in log-size per decade.
        family_sd, skill_sd: Of families' centres in the skill space, and of occupations around them.
        region_sd: Of the log-size of an occupation between regions.
        type_gender_sd, type_race_sd, type_cohort_sd: How much the shares of types differ between women and men,
            between races, and per decade of birth.
        taste_sd: Of types' tastes in each dimension of the skill space.
        stability_sd: Of types' log-odds of staying in an occupation.
        attachment_sd: Of types' log-odds of being out of the labor force.
        joblessness_sd: Of types' log-odds of unemployment.
        schooling_sd: Of types' propensity to schooling, in standard units.
        education_start, education_by_age: Mean of latent education at age 20, in levels, and its rise per year of age
            at the first wave.
        education_by_type, education_noise: Effect of schooling propensity on latent education, in levels, and the
            standard deviation of the rest.
        education_progress: Upper bound of the yearly probability to complete a level while in school.
        stay_occupation, stay_unemployed, stay_out, stay_school: Stage one, intercepts by previous state.
        stay_duration, stay_unemployed_duration: Per log year in the present occupation; in unemployment.
        stay_match: Per unit of <taste, skill> of the present occupation.
        stay_age: In occupations, per decade of age from 20, at most 2.5 decades.
        stay_school_age: In school, per year of age from 20.
        stay_gap: Per year beyond one since the last wave, in every state.
        move_unemployed, move_out, move_school: Stage two, log-odds of the class against the occupations.
        first_unemployed, first_out, first_school: Added to these at the first wave.
        unemployed_education, unemployed_age: Per level of education; per decade of age from 20.
        out_age: Per decade of age from 20.
        out_women: For women aged 24 to 36, in staying and in moving out of the labor force.
        school_age: Per year of age from 18, moving into school.
        taste: Weight of <taste of the type, skills of the occupation>.
        nearness: Weight of minus half the squared distance between an occupation's skills and the last one's.
        last_occupation_survives: Whether that distance is to the last occupation held, also after a year without work;
            if not, only to the occupation of the previous wave.
        mean_skill: Weight of <mean skills of all waves worked, skills of the occupation>.
        return_strength, return_decay: rho and lambda of rho log(1 + waves held) exp(-lambda years since).
        ladder, ladder_waves: Pull of a family's senior occupation after so many waves worked in the family in a row.
        recipe_strength: Pull of c after a and b.
        education_gap: Per missing level, for occupations that require more education than a person has.
        gender_typing_sd: Of the difference between women's and men's log-size of an occupation.
        tables: Log-odds by observed cells, which are added to those of the numbers above or take their place; none by
            default. `career_hf.simulation.tables` describes them.
    """

    seed: int = 0
    occupations: int = 330
    families: int = 22
    types: int = 12
    skills: int = 6
    recipes: int = 12
    first_year: int = 1979
    last_year: int = 2010
    first_birth_year: int = 1957
    last_birth_year: int = 1961
    departure: float = 0.0
    occupation_labels: tuple[str, ...] = ()
    size_sd: float = 0.5
    trend_sd: float = 0.15
    family_sd: float = 1.0
    skill_sd: float = 0.5
    region_sd: float = 0.2
    type_gender_sd: float = 0.6
    type_race_sd: float = 0.4
    type_cohort_sd: float = 0.3
    taste_sd: float = 1.0
    stability_sd: float = 0.5
    attachment_sd: float = 0.8
    joblessness_sd: float = 0.5
    schooling_sd: float = 1.0
    education_start: float = 1.2
    education_by_age: float = 0.15
    education_by_type: float = 0.9
    education_noise: float = 0.6
    education_progress: float = 0.45
    stay_occupation: float = -1.1
    stay_unemployed: float = -1.2
    stay_out: float = 0.2
    stay_school: float = 0.6
    stay_duration: float = 0.4
    stay_unemployed_duration: float = 0.2
    stay_match: float = 0.25
    stay_age: float = 0.3
    stay_school_age: float = -0.3
    stay_gap: float = -0.35
    move_unemployed: float = -1.2
    move_out: float = -1.5
    move_school: float = -1.3
    first_unemployed: float = 0.0
    first_out: float = 0.5
    first_school: float = 1.5
    unemployed_education: float = -0.2
    unemployed_age: float = -0.1
    out_age: float = 0.1
    out_women: float = 0.6
    school_age: float = -0.12
    taste: float = 0.65
    nearness: float = 0.3
    last_occupation_survives: bool = True
    mean_skill: float = 0.1
    return_strength: float = 3.1
    return_decay: float = 0.1
    ladder: float = 2.0
    ladder_waves: int = 5
    recipe_strength: float = 3.0
    education_gap: float = 0.8
    gender_typing_sd: float = 0.6
    tables: LawTables | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "occupation_labels", tuple(self.occupation_labels))
        if isinstance(self.tables, Mapping):
            object.__setattr__(self, "tables", LawTables(**self.tables))
        if self.tables is not None and len(self.tables.group) != self.occupations:
            raise ValueError(f"tables of {len(self.tables.group)} occupations for a world of {self.occupations}")
        if not 1 <= self.families <= self.occupations or self.occupations < 2 or self.types < 1:
            raise ValueError(
                f"a world needs 2 occupations or more, 1 to that many families and a type, not {self.occupations}, "
                f"{self.families} and {self.types}"
            )
        if 3 * self.recipes > self.occupations:
            raise ValueError(
                f"{self.recipes} recipes need {3 * self.recipes} occupations; there are {self.occupations}"
            )
        if self.occupation_labels and len(self.occupation_labels) != self.occupations:
            raise ValueError(f"{len(self.occupation_labels)} occupation_labels for {self.occupations} occupations")
        if not 0 <= self.departure <= 1:
            raise ValueError(f"departure must be between 0 and 1, not {self.departure}")
        if self.last_year < self.first_year or self.last_birth_year < self.first_birth_year:
            raise ValueError("last_year and last_birth_year must not lie before first_year and first_birth_year")

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name, ready for JSON; `WorldConfig(**d)` reads it. Without tables there is no such name."""
        numbers = asdict(replace(self, tables=None)) | {"occupation_labels": list(self.occupation_labels)}
        del numbers["tables"]
        return numbers if self.tables is None else numbers | {"tables": self.tables.to_dict()}


@dataclass(frozen=True)
class World:
    """The arrays of a world, float64 unless said otherwise. J occupations, G families, K types, D skills, R recipes.

    Args:
        config: Numbers of the world.
        family: `(J,)` int, family of each occupation.
        skill: `(J, D)`, position in the skill space.
        size: `(J,)`, log-size in 1990.
        trend: `(J,)`, its growth per decade, the same within a family.
        requirement: `(J,)` int, education level that the occupation requires.
        gender_typing: `(J,)`, log-size among women minus log-size among men.
        region_size: `(4, J)`, difference of log-size by region.
        senior: `(G,)` int, the occupation at the top of each family's ladder.
        recipes: `(R, 3)` int, occupations a, b and c.
        taste: `(K, D)`, types' tastes.
        stability, attachment, joblessness, schooling: `(K,)`, types' traits.
        type_gender: `(K,)`; type_race: `(3, K)`; type_cohort: `(K,)`, shifts of the log-shares of types.
    """

    config: WorldConfig
    family: np.ndarray = field(repr=False)
    skill: np.ndarray = field(repr=False)
    size: np.ndarray = field(repr=False)
    trend: np.ndarray = field(repr=False)
    requirement: np.ndarray = field(repr=False)
    gender_typing: np.ndarray = field(repr=False)
    region_size: np.ndarray = field(repr=False)
    senior: np.ndarray = field(repr=False)
    recipes: np.ndarray = field(repr=False)
    taste: np.ndarray = field(repr=False)
    stability: np.ndarray = field(repr=False)
    attachment: np.ndarray = field(repr=False)
    joblessness: np.ndarray = field(repr=False)
    schooling: np.ndarray = field(repr=False)
    type_gender: np.ndarray = field(repr=False)
    type_race: np.ndarray = field(repr=False)
    type_cohort: np.ndarray = field(repr=False)

    @classmethod
    def build(cls, config: WorldConfig) -> World:
        """Draws a world; the same config always gives the same world."""
        world = cls._draw(config, config.seed)
        if config.tables is not None:
            tables = config.tables.arrays()
            world = replace(world, size=tables["size"], gender_typing=tables["gender_typing"])
        if config.departure == 0:
            return world
        # A rotation from one draw to another keeps variances.
        angle, other = config.departure * np.pi / 2, cls._draw(config, config.seed + DEPARTURE_SEED).arrays()
        blended = {
            name: np.cos(angle) * array + np.sin(angle) * other[name]
            for name, array in world.arrays().items()
            if np.issubdtype(array.dtype, np.floating)
        }
        return replace(world, **blended)

    @classmethod
    def _draw(cls, config: WorldConfig, seed: int) -> World:
        # Each trait has its own random stream, so that switching one mechanism off does not change the others.
        streams = iter(np.random.default_rng(seed).spawn(16))
        j, g, k, d = config.occupations, config.families, config.types, config.skills
        family = np.repeat(np.arange(g), [len(part) for part in np.array_split(np.arange(j), g)])
        # Codes of occ1990dd run from managers and professionals to laborers: requirements fall with them.
        requirement = np.clip(np.rint(3.6 - 4 * family / max(g - 1, 1) + 0.6 * next(streams).normal(size=j)), 0, 4)
        skill = config.family_sd * next(streams).normal(size=(g, d))[family]
        skill += config.skill_sd * next(streams).normal(size=(j, d))
        skill[:, 0] += (requirement - requirement.mean()) / 2
        size = config.size_sd * next(streams).normal(size=j)
        schooling = _traits(next(streams), k)
        taste = config.taste_sd * _traits(next(streams), k, d)
        taste[:, 0] += config.taste_sd * schooling / 2
        return cls(
            config=config,
            family=family,
            skill=skill,
            size=size,
            trend=config.trend_sd * next(streams).normal(size=g)[family],
            requirement=requirement.astype(np.int64),
            gender_typing=config.gender_typing_sd * next(streams).normal(size=j),
            region_size=config.region_sd * next(streams).normal(size=(len(REGIONS), j)),
            senior=np.array([np.flatnonzero(family == f)[requirement[family == f].argmax()] for f in range(g)]),
            recipes=_recipes(next(streams), config.recipes, size, skill),
            taste=taste,
            stability=config.stability_sd * _traits(next(streams), k),
            attachment=config.attachment_sd * _traits(next(streams), k),
            joblessness=config.joblessness_sd * _traits(next(streams), k),
            schooling=config.schooling_sd * schooling,
            type_gender=config.type_gender_sd * _traits(next(streams), k),
            type_race=config.type_race_sd * next(streams).normal(size=(len(RACES), k)),
            type_cohort=config.type_cohort_sd * _traits(next(streams), k),
        )

    @property
    def num_states(self) -> int:
        """Occupations and states without work."""
        return self.config.occupations + len(NOT_WORKING)

    @property
    def labels(self) -> list[str]:
        """The label of every state: occupations (occ1990dd codes unless the config names them), then `NOT_WORKING`."""
        if self.config.occupation_labels:
            return [*self.config.occupation_labels, *NOT_WORKING]
        codes = crosswalks.codes()
        if self.config.occupations > len(codes):
            raise ValueError(
                f"occ1990dd has {len(codes)} codes, too few for {self.config.occupations} occupations: name them with "
                "occupation_labels"
            )
        return [*codes[: self.config.occupations], *NOT_WORKING]

    @property
    def covariate_levels(self) -> dict[str, list[str]]:
        """The levels of each covariate in the order of their codes; `CareerProcessor` puts "missing" before them."""
        c = self.config
        return {
            "year": [str(year) for year in range(c.first_year, c.last_year + YEARS_AHEAD + 1)],
            "education": list(EDUCATION),
            "region": list(REGIONS),
            "race": list(RACES),
            "gender": list(GENDERS),
            "birth_year": [str(year) for year in range(c.first_birth_year, c.last_birth_year + 1)],
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "config"}


def _traits(rng: np.random.Generator, types: int, *shape: int) -> np.ndarray:
    """Draws types' values of a trait, with mean 0 and variance 1 over types; 0 where there is one type."""
    values = rng.normal(size=(types, *shape))
    values -= values.mean(axis=0)
    return values / values.std(axis=0) if types > 1 else values


def _recipes(rng: np.random.Generator, recipes: int, size: np.ndarray, skill: np.ndarray) -> np.ndarray:
    """Draws disjoint triples of occupations: a is large, b is close to a so that people hold both, c is any other."""
    triples = []
    free = np.ones(len(size), dtype=bool)
    for _ in range(recipes):
        a = _choose(rng, np.exp(size) * free)
        free[a] = False
        b = _choose(rng, np.exp(size - ((skill - skill[a]) ** 2).sum(axis=1)) * free)
        free[b] = False
        c = _choose(rng, free.astype(float))
        free[c] = False
        triples.append((a, b, c))
    return np.array(triples, dtype=np.int64).reshape(-1, 3)


def _choose(rng: np.random.Generator, weight: np.ndarray) -> int:
    return int(rng.choice(len(weight), p=weight / weight.sum()))
