"""The law of the simulated labor market: p(y_t | type, earlier occupations, covariates), for many people at once.

Given the type, the law is a function of observed values. States are numbered: occupations 0..J-1, then unemployed,
out of the labor force, in school. In the equations of `docs/explanation/simulated_market.md`:

    stage one   stay in y_{t-1}, or not                                                (Eq. 1)
    stage two   a class: an occupation, or one of the three states without work;       (Eq. 2)
                then, among occupations other than y_{t-1}, which one                  (Eq. 3)

The type enters Eq. 3 through its taste alone, u_kj = u_j + taste_kj. So exp(u_kj) is a product of one factor per
person and one per type, and a mixture over types is a product of matrices, which needs no array of people x types x
occupations.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import expit, ndtr

from ..occupations.labels import EDUCATION, GENDERS, REGIONS
from .tables import NONE, class_of, origins
from .world import World


TRENDS_FROM = 1990


@dataclass
class People:
    """Static covariates of people, as `(people,)` int64 codes.

    Args:
        birth_year: Calendar year of birth.
        gender, race, region: Indices into `GENDERS`, `RACES`, `REGIONS`.
    """

    birth_year: np.ndarray
    gender: np.ndarray
    race: np.ndarray
    region: np.ndarray

    def take(self, rows: np.ndarray) -> People:
        """These people, in this order; a row may occur more than once."""
        return People(*(getattr(self, f.name)[rows] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.gender)


@dataclass
class History:
    """What the law remembers of careers so far.

    Args:
        year: `(people,)`, year of the last wave.
        education: `(people,)`, level at the last wave.
        previous: `(people,)`, state at the last wave; `NONE` before the first.
        since: `(people,)`, year in which the present spell began.
        last_occupation: `(people,)`, last occupation held; `NONE` if none was.
        family_run: `(people,)`, waves worked in a row in the family of the last occupation.
        waves_worked: `(people,)`, number of waves worked.
        skill_sum: `(people, skills)`, skills summed over waves worked.
        waves_held: `(people, occupations)` int16, waves in which each occupation was held.
        last_held: `(people, occupations)` int16, year in which each occupation was last held.
    """

    year: np.ndarray
    education: np.ndarray
    previous: np.ndarray
    since: np.ndarray
    last_occupation: np.ndarray
    family_run: np.ndarray
    waves_worked: np.ndarray
    skill_sum: np.ndarray
    waves_held: np.ndarray
    last_held: np.ndarray

    @classmethod
    def empty(cls, people: int, world: World) -> History:
        """Histories before the first wave."""

        def zeros() -> np.ndarray:
            return np.zeros(people, dtype=np.int64)

        return cls(
            year=zeros(),
            education=zeros(),
            previous=zeros() + NONE,
            since=zeros(),
            last_occupation=zeros() + NONE,
            family_run=zeros(),
            waves_worked=zeros(),
            skill_sum=np.zeros((people, world.config.skills)),
            waves_held=np.zeros((people, world.config.occupations), dtype=np.int16),
            last_held=np.zeros((people, world.config.occupations), dtype=np.int16),
        )

    def take(self, rows: np.ndarray) -> History:
        """A copy of the histories of these people, in this order; a row may occur more than once."""
        return History(*(getattr(self, f.name)[rows] for f in fields(self)))

    def observe(self, state: np.ndarray, year: np.ndarray, education: np.ndarray, world: World) -> None:
        """Adds one wave: `(people,)` states, years and education levels."""
        self.since = np.where(state == self.previous, self.since, year)
        self.year, self.education, self.previous = year, education, state
        rows = np.flatnonzero(state < world.config.occupations)
        occupation, before = state[rows], self.last_occupation[rows]
        same_family = (before != NONE) & (world.family[before] == world.family[occupation])
        self.family_run = self.family_run.copy()
        self.family_run[rows] = np.where(same_family, self.family_run[rows], 0) + 1
        self.last_occupation = self.last_occupation.copy()
        self.last_occupation[rows] = occupation
        self.waves_worked = self.waves_worked + (state < world.config.occupations)
        self.skill_sum[rows] += world.skill[occupation]
        self.waves_held[rows, occupation] += 1
        self.last_held[rows, occupation] = year[rows]


@dataclass(frozen=True)
class Step:
    """The law at one wave, for every person and every type.

    Args:
        previous: `(people,)`, y_{t-1}; `NONE` at a first wave.
        stay: `(people, types)`, probability of staying; 0 at a first wave.
        classes: `(people, types, 4)`, class probabilities of movers: occupation, then the states without work.
        pull: `(people, occupations)`, exp(u_j) up to a factor per person; 0 for y_{t-1}.
        taste_pull: `(types, occupations)`, exp(taste_kj).
        total: `(people, types)`, sum of their product over occupations.
    """

    previous: np.ndarray
    stay: np.ndarray
    classes: np.ndarray
    pull: np.ndarray
    taste_pull: np.ndarray
    total: np.ndarray

    def take(self, rows: np.ndarray) -> Step:
        """The law for these people, in this order; a row may occur more than once."""
        arrays = {name: getattr(self, name)[rows] for name in ("previous", "stay", "classes", "pull", "total")}
        return Step(taste_pull=self.taste_pull, **arrays)

    def mixture(self, weights: np.ndarray) -> np.ndarray:
        """Sum over types of weight times p(y_t | type, past), `(people, states)`.

        Args:
            weights: `(people, types)`, rows sum to one.
        """
        moved = weights[:, :, None] * (1 - self.stay)[:, :, None] * self.classes
        occupations = self.pull * ((moved[:, :, 0] / self.total) @ self.taste_pull)
        p = np.concatenate([occupations, moved[:, :, 1:].sum(axis=1)], axis=1)
        rows = np.flatnonzero(self.previous != NONE)
        p[rows, self.previous[rows]] = (weights * self.stay).sum(axis=1)[rows]
        return p

    def likelihood(self, state: np.ndarray) -> np.ndarray:
        """p(y_t = state | type, past), `(people, types)`, for one state per person."""
        people, j = np.arange(len(state)), self.pull.shape[1]
        occupation = np.minimum(state, j - 1)  # has no effect in states without work
        share = self.pull[people, occupation][:, None] * self.taste_pull[:, occupation].T / self.total
        kind = np.maximum(state - j + 1, 0)
        moved = (1 - self.stay) * self.classes[people, :, kind] * np.where((kind == 0)[:, None], share, 1.0)
        return np.where((state == self.previous)[:, None], self.stay, moved)


class Law:
    """The transition law of a world.

    Args:
        world: Its arrays.
    """

    def __init__(self, world: World) -> None:
        self.world, c = world, world.config
        self.tables = None if c.tables is None else c.tables.arrays()
        self.taste_pull = np.exp(c.taste * world.taste @ world.skill.T)
        # Everything in u_j that depends on education, gender and region: one row for each combination.
        missing = np.maximum(world.requirement - np.arange(len(EDUCATION))[:, None], 0)
        typing = np.array([-0.5, 0.5])[:, None] * world.gender_typing
        self.standing = (
            world.size
            - c.education_gap * missing[:, None, None]
            + typing[None, :, None]
            + world.region_size[None, None]
        ).reshape(-1, c.occupations)
        if self.tables is not None:
            of_education = self.tables["education_flow"][:, self.tables["group"]]
            self.standing += np.repeat(of_education, len(GENDERS) * len(REGIONS), axis=0)
        square = (world.skill**2).sum(axis=1)
        distance = square[:, None] + square - 2 * world.skill @ world.skill.T
        # The last row is for people who have held no occupation yet.
        self.nearness = np.vstack([-c.nearness * distance / 2, np.zeros(c.occupations)])
        self.stay_by_type = np.hstack(
            [
                c.stay_occupation + world.stability[:, None] + c.stay_match * world.taste @ world.skill.T,
                (c.stay_unemployed + world.joblessness)[:, None],
                (c.stay_out + world.attachment)[:, None],
                (c.stay_school + world.schooling / 2)[:, None],
            ]
        )
        nothing = np.zeros(c.types)
        self.class_by_type = np.stack([nothing, world.joblessness, world.attachment, world.schooling], axis=1)

    def prior(self, people: People) -> np.ndarray:
        """p(type | gender, race, birth year), `(people, types)`."""
        world, c = self.world, self.world.config
        decades = (people.birth_year - (c.first_birth_year + c.last_birth_year) / 2) / 10
        logits = (people.gender - 0.5)[:, None] * world.type_gender + world.type_race[people.race]
        logits = np.exp(logits + decades[:, None] * world.type_cohort)
        return logits / logits.sum(axis=1, keepdims=True)

    def first_education(self, people: People, year: np.ndarray) -> np.ndarray:
        """p(education at the first wave | type, age), `(people, types, levels)`: a rounded normal variable."""
        c = self.world.config
        age = year - people.birth_year
        mean = c.education_start + c.education_by_type * self.world.schooling
        mean = mean + c.education_by_age * (age - 20)[:, None]
        bounds = np.arange(len(EDUCATION) - 1) + 0.5
        below = ndtr((bounds - mean[:, :, None]) / c.education_noise)
        ends = np.broadcast_to([0.0, 1.0], (*mean.shape, 2))
        return np.diff(np.concatenate([ends[..., :1], below, ends[..., 1:]], axis=-1), axis=-1)

    def completes_level(self, history: History, year: np.ndarray) -> np.ndarray:
        """p(education rises by one level | type, past), `(people, types)`: only after a state of `can_rise`."""
        c = self.world.config
        if self.tables is None:
            yearly = c.education_progress * expit(-1 + 0.8 * self.world.schooling)
        else:
            elsewhere = (history.previous != self.world.num_states - 1).astype(np.int64)
            log_odds = self.tables["rise_by_year"][elsewhere, class_of(year, self.tables["years"])]
            yearly = expit(log_odds[:, None] + 0.8 * self.world.schooling)
        within = 1 - (1 - yearly) ** (year - history.year)[:, None]
        can_rise = self.can_rise[history.previous] & (history.previous != NONE)
        return within * (can_rise & (history.education < len(EDUCATION) - 1))[:, None]

    @property
    def can_rise(self) -> np.ndarray:
        """`(states,)`, whether a level of education can be completed after a wave in this state."""
        in_school = np.arange(self.world.num_states) == self.world.num_states - 1
        return in_school | (self.tables is not None)

    def education_likelihood(
        self, history: History, people: People, year: np.ndarray, education: np.ndarray
    ) -> np.ndarray:
        """p(education at this wave | type, past), `(people, types)`, for one level per person."""
        rows = np.arange(len(people))
        rises = self.completes_level(history, year)
        change = education - history.education
        later = np.select([change[:, None] == 0, change[:, None] == 1], [1 - rises, rises], default=0.0)
        if not (history.previous == NONE).any():
            return later
        return np.where(
            (history.previous == NONE)[:, None], self.first_education(people, year)[rows, :, education], later
        )

    def step(self, history: History, people: People, year: np.ndarray, education: np.ndarray) -> Step:
        """The law at this wave.

        Args:
            history: Earlier waves.
            people: Static covariates.
            year: `(people,)`, year of this wave.
            education: `(people,)`, level at this wave.
        """
        pull = self._pull(history, people, year, education)
        age = (year - people.birth_year).astype(np.float64)
        young_women = ((people.gender == GENDERS.index("female")) & (age >= 24) & (age <= 36)).astype(np.float64)
        first = history.previous == NONE
        return Step(
            previous=history.previous,
            stay=np.where(first[:, None], 0.0, self._stay(history, people, year, age, young_women)),
            classes=self._classes(history, people, year, age, young_women, education),
            pull=pull,
            taste_pull=self.taste_pull,
            total=pull @ self.taste_pull.T,
        )

    def return_pull(self, history: History, year: np.ndarray, rows: np.ndarray, occupation: np.ndarray) -> np.ndarray:
        """What earlier waves in an occupation add to its u_j.

        Args:
            history: Earlier waves.
            year: `(people,)`, year of this wave.
            rows, occupation: `(pairs,)`, people, and an occupation that each of them has held.
        """
        c, tables = self.world.config, self.tables
        # The logarithm of int16 would be in single precision.
        waves = history.waves_held[rows, occupation].astype(np.float64)
        since = year[rows] - history.last_held[rows, occupation]
        if tables is None:
            return c.return_strength * np.log1p(waves) * np.exp(-c.return_decay * since)
        working = (history.previous != NONE) & (history.previous < c.occupations)
        others = (history.waves_held > 0).sum(axis=1) - working
        pull = tables["return_by_held"][class_of(others[rows], tables["held"])]
        pull = pull + tables["return_by_since"][class_of(since, tables["since"])]
        pull += tables["return_by_waves"][class_of(waves, tables["waves"])]
        is_recall = ~working[rows] & (history.last_occupation[rows] == occupation)
        return c.return_strength * (pull + tables["recall"] * is_recall)

    def _stay(
        self, history: History, people: People, year: np.ndarray, age: np.ndarray, young_women: np.ndarray
    ) -> np.ndarray:
        """Eq. 1, `(people, types)`; meaningless at the first wave."""
        c = self.world.config
        duration = np.log(history.year - history.since + 1.0)
        kind = np.maximum(history.previous - c.occupations + 1, 0)
        common = np.choose(
            kind,
            [
                c.stay_duration * duration + c.stay_age * np.clip((age - 20) / 10, 0, 2.5),
                c.stay_unemployed_duration * duration,
                c.out_women * young_women,
                c.stay_school_age * np.maximum(age - 20, 0),
            ],
        )
        common += c.stay_gap * (year - history.year - 1)
        if self.tables is not None:
            t = self.tables
            common += t["stay_by_duration"][kind, class_of(history.year - history.since + 1, t["durations"])]
            common += t["stay_by_year"][people.gender, kind, class_of(year, t["years"])]
            in_occupation = np.flatnonzero(kind == 0)
            common[in_occupation] += t["stay_by_group"][t["group"][history.previous[in_occupation]]]
        return expit(self.stay_by_type[:, history.previous].T + common[:, None])

    def _classes(
        self,
        history: History,
        people: People,
        year: np.ndarray,
        age: np.ndarray,
        young_women: np.ndarray,
        education: np.ndarray,
    ) -> np.ndarray:
        """Eq. 2, `(people, types, 4)`."""
        c = self.world.config
        decades = (age - 20) / 10
        first = history.previous == NONE
        common = np.stack(
            [
                np.zeros(len(age)),
                c.move_unemployed + c.unemployed_education * education + c.unemployed_age * decades,
                c.move_out + c.out_age * decades + c.out_women * young_women,
                c.move_school + c.school_age * np.maximum(age - 18, 0),
            ],
            axis=1,
        )
        common[first, 1:] += [c.first_unemployed, c.first_out, c.first_school]
        if self.tables is not None:
            t = self.tables
            common[:, 1:] += (
                t["move_by_origin"][origins(history.previous, t["group"])] + t["move_by_education"][education]
            )
            common[:, 1:] += t["move_by_year"][people.gender, class_of(year, t["years"])]
        p = np.exp(common[:, None] + self.class_by_type)
        out_of_work = np.flatnonzero(history.previous >= c.occupations)
        p[out_of_work, :, history.previous[out_of_work] - c.occupations + 1] = 0
        return p / p.sum(axis=-1, keepdims=True)

    def _pull(self, history: History, people: People, year: np.ndarray, education: np.ndarray) -> np.ndarray:
        """exp(u_j) of Eq. 3 without the type's taste, relative to each person's largest, `(people, occupations)`."""
        world, c = self.world, self.world.config
        u = self.standing[(education * len(GENDERS) + people.gender) * len(REGIONS) + people.region]
        u += ((year - TRENDS_FROM) / 10)[:, None] * world.trend
        last = history.last_occupation
        if not c.last_occupation_survives:
            last = np.where(history.previous < c.occupations, history.previous, NONE)
        u += self.nearness[last]
        if self.tables is not None:
            group = self.tables["group"]
            u += self.tables["flow"][:, group][origins(history.previous, group)]
        u += (c.mean_skill * history.skill_sum / np.maximum(history.waves_worked, 1)[:, None]) @ world.skill.T
        if c.return_strength:
            rows, occupation = history.waves_held.nonzero()
            u[rows, occupation] += self.return_pull(history, year, rows, occupation)
        climbers = np.flatnonzero(history.family_run >= c.ladder_waves)
        u[climbers, world.senior[world.family[history.last_occupation[climbers]]]] += c.ladder
        a, b, result = world.recipes.T
        u[:, result] += c.recipe_strength * ((history.waves_held[:, a] > 0) & (history.waves_held[:, b] > 0))
        pull = np.exp(u - u.max(axis=1, keepdims=True))
        working = np.flatnonzero((history.previous != NONE) & (history.previous < c.occupations))
        pull[working, history.previous[working]] = 0
        return pull
