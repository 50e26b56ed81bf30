"""Fits a simulated market to a survey: log-odds by observed cells, moved until simulated careers have its shares.

What is taken from the survey are counts by cell (`market_counts`): who stays, by years in the occupation, calendar
year and broad group; into which broad group and occupation people move; who goes back, by how many occupations they
have held and how long ago. A table of the law has one number for each cell. Its share in simulated careers depends on
latent types and on all other tables, so there is no formula for it: in each round careers are simulated, and every
log-odds is moved by a part of the distance between the survey's and the simulated one, which in a market without types
is iterative proportional fitting. Four numbers of the latent types are moved in the same way, each by one share that
rises with it.

A cell in which fewer than `FEWEST` people did, or fewer did not do, what it counts is joined with another before
anything is fitted, so nothing that is written rests on fewer people.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset

from career_hf.careers.atomic_files import complete
from career_hf.careers.frames import from_frame, load_careers, to_frame
from career_hf.cli.console import say, show
from career_hf.occupations import crosswalks
from career_hf.occupations.labels import EDUCATION, GENDERS, RACES
from career_hf.simulation.law import History
from career_hf.simulation.presets import Preset
from career_hf.simulation.survey import SurveyConfig, Waves
from career_hf.simulation.tables import CLASSES, KINDS, LawTables, class_of, origins
from career_hf.simulation.world import World, WorldConfig

from .likeness import GROUPS, occupation_group
from .study import Data, Output, StudyResult, studies


FEWEST = 10
# First values of classes; see `LawTables`. Every year is a class.
DURATIONS, HELD = (1, 2, 3, 4, 5, 6, 8, 10, 13), tuple(range(1, 11))
SINCE, HELD_WAVES = (2, 3, 4, 5, 6, 8, 11), (1, 2, 3, 5)
MOST_STEP = 1.0
# Numbers of the world that tables make superfluous.
REPLACED = {
    "recipes": 0,
    "ladder": 0.0,
    "trend_sd": 0.0,
    "education_gap": 0.0,
    "return_strength": 1.0,
    "stay_duration": 0.0,
    "stay_unemployed_duration": 0.0,
    "stay_age": 0.0,
    "stay_school_age": 0.0,
    "unemployed_education": 0.0,
    "unemployed_age": 0.0,
    "out_age": 0.0,
    "out_women": 0.0,
    "school_age": 0.0,
    "first_unemployed": 0.0,
    "first_out": 0.0,
    "first_school": 0.0,
}
# Numbers of latent types, and the moment of `market_counts` that each raises.
OF_TYPES = {
    "stability_sd": "spread of occupations held",
    "attachment_sd": "out again",
    "taste": "back to a group",
    "nearness": "near occupation",
}


@dataclass(frozen=True)
class Counts:
    """Counts of one table, each array of the table's shape.

    Args:
        hits: Steps that did what the table counts.
        trials: Steps that could have.
        people: The smaller of the numbers of people who once did and who once did not; for tables of shares, who did.
        logit: Whether the table's numbers are log-odds of hits against misses, rather than logarithms of shares.
    """

    hits: np.ndarray
    trials: np.ndarray
    people: np.ndarray
    logit: bool

    def pooled(self, pools: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hits and trials summed over each pool of cells, and given to all its cells."""
        size = pools.max() + 1
        summed = (np.bincount(pools.ravel(), counts.ravel(), size)[pools] for counts in (self.hits, self.trials))
        return tuple(summed)  # type: ignore[return-value]


class _Tally:
    """Adds up events of one table: a cell for each, whether it was a hit, and the person."""

    def __init__(self, shape: tuple[int, ...], logit: bool) -> None:
        self.shape, self.logit, self.events = shape, logit, []

    def add(self, person: np.ndarray, hit: np.ndarray, *cell: np.ndarray) -> None:
        place = np.ravel_multi_index(cell, self.shape) if cell else np.zeros(len(person), dtype=np.int64)
        self.events.append((place, hit, person))

    def counts(self) -> Counts:
        cell, hit, person = (np.concatenate(part) for part in zip(*self.events, strict=True))
        size = int(np.prod(self.shape))
        people = [self._people(cell, person, did, size) for did in ((hit, ~hit) if self.logit else (hit,))]
        arrays = (np.bincount(cell[hit], minlength=size), np.bincount(cell, minlength=size), np.minimum.reduce(people))
        return Counts(*(array.reshape(self.shape).astype(float) for array in arrays), self.logit)

    @staticmethod
    def _people(cell: np.ndarray, person: np.ndarray, chosen: np.ndarray, size: int) -> np.ndarray:
        pairs = np.unique(cell[chosen] * (person.max() + 1) + person[chosen])
        return np.bincount(pairs // (person.max() + 1), minlength=size)


def market_counts(waves: Waves, world: World, first: LawTables) -> tuple[dict[str, Counts], dict[str, float]]:
    """Counts careers by the cells of every table.

    Args:
        waves: Careers.
        world: Their world, for families, skills and labels.
        first: Tables with the groups and classes.

    Returns:
        Counts by the name of the table, with `size` and `gender_typing` of moves into occupations, and the moments
        of `OF_TYPES`, with the mean and the variance of the first level of education.
    """
    tables, j = first.arrays(), world.config.occupations
    group, g, years = tables["group"], len(first.stay_by_group), len(first.years)
    shapes = {
        "stay_by_duration": (KINDS, len(first.durations)),
        "stay_by_year": (len(GENDERS), KINDS, years),
        "stay_by_group": (g,),
        "move_by_origin": (g + KINDS, CLASSES),
        "move_by_year": (len(GENDERS), years, CLASSES),
        "move_by_education": (len(EDUCATION), CLASSES),
        "return_by_held": (len(first.held),),
        "recall": (),
        "rise_by_year": (2, years),
        "flow": (g + KINDS, g),
        "education_flow": (len(EDUCATION), g),
        "gender_typing": (len(GENDERS), j),
        "size": (j,),
        "return_by_since": (len(first.since),),
        "return_by_waves": (len(first.waves),),
    }
    shares = ("flow", "education_flow", "gender_typing", "size", "return_by_since", "return_by_waves")
    tally = {name: _Tally(shape, name not in shares) for name, shape in shapes.items()}
    moments: dict[str, list[np.ndarray]] = {name: [] for name in OF_TYPES.values()}
    moments |= {"never out": []}
    ten = {}

    for people, t, history, ever_out, held_groups in _walk(waves, world, group):
        year, state, level = waves.years[people, t], waves.states[people, t], waves.levels[people, t]
        gender, origin, at = (
            waves.people.gender[people],
            origins(history.previous, group),
            class_of(year, tables["years"]),
        )
        kind = np.maximum(history.previous - j + 1, 0)
        stayed = state == history.previous
        if t:
            duration = class_of(history.year - history.since + 1, tables["durations"])
            tally["stay_by_duration"].add(people, stayed, kind, duration)
            tally["stay_by_year"].add(people, stayed, gender, kind, at)
            working = np.flatnonzero(kind == 0)
            tally["stay_by_group"].add(people[working], stayed[working], group[history.previous[working]])
            could = np.flatnonzero(history.education < len(EDUCATION) - 1)
            elsewhere = (history.previous[could] != world.num_states - 1).astype(int)
            rose = level[could] > history.education[could]
            tally["rise_by_year"].add(people[could], rose, elsewhere, at[could])

        moved, to = np.flatnonzero(~stayed), np.maximum(state - j + 1, 0)
        for c in range(CLASSES):
            rows = moved[((to[moved] == 0) | (to[moved] == c + 1)) & (kind[moved] != c + 1)]
            hit, which = to[rows] == c + 1, np.full(len(rows), c)
            tally["move_by_origin"].add(people[rows], hit, origin[rows], which)
            tally["move_by_year"].add(people[rows], hit, gender[rows], at[rows], which)
            tally["move_by_education"].add(people[rows], hit, level[rows], which)
        leaving = np.flatnonzero((kind == 0) & ~stayed & (t > 0))
        moments["out again"].append((state == j + 1)[leaving[ever_out[leaving]]])
        moments["never out"].append((state == j + 1)[leaving[~ever_out[leaving]]])

        entered = moved[to[moved] == 0]
        into, who = state[entered], people[entered]
        for name, rows in (("flow", origin[entered]), ("education_flow", level[entered])):
            tally[name].add(who, np.ones(len(who), bool), rows, group[into])
        tally["gender_typing"].add(who, np.ones(len(who), bool), gender[entered], into)
        tally["size"].add(who, np.ones(len(who), bool), into)
        if t:
            back = history.waves_held[entered, into] > 0
            others = (history.waves_held[entered] > 0).sum(axis=1) - (kind[entered] == 0)
            could = others > 0
            tally["return_by_held"].add(who[could], back[could], class_of(others[could], tables["held"]))
            candidates = history.waves_held[entered] > 0
            at_work = np.flatnonzero(kind[entered] == 0)
            candidates[at_work, history.previous[entered[at_work]]] = False
            rows, held = candidates.nonzero()
            chosen, place = into[rows] == held, entered[rows]
            since = class_of(year[place] - history.last_held[place, held], tables["since"])
            tally["return_by_since"].add(who[rows], chosen, since)
            of_waves = class_of(history.waves_held[place, held], tables["waves"])
            tally["return_by_waves"].add(who[rows], chosen, of_waves)
            last = history.last_occupation[entered]
            idle = np.flatnonzero((kind[entered] > 0) & (last >= 0))
            tally["recall"].add(who[idle], (into == last)[idle])
            new = np.flatnonzero(~back & (last >= 0))
            other_group = new[group[into[new]] != group[last[new]]]
            moments["back to a group"].append(held_groups[entered[other_group], group[into[other_group]]])
            same_group = new[(group[into[new]] == group[last[new]]) & (kind[entered[new]] == 0)]
            family = world.family
            moments["near occupation"].append(family[into[same_group]] == family[last[same_group]])
        works = np.flatnonzero((state < j) & (history.waves_worked == 9))
        held = (history.waves_held[works] > 0).sum(axis=1) + (history.waves_held[works, state[works]] == 0)
        ten[t] = held

    share = {name: np.concatenate(parts).mean() for name, parts in moments.items() if parts}
    education = waves.levels[:, 0]
    numbers = {
        "spread of occupations held": float(np.concatenate(list(ten.values())).std()),
        "out again": float(_logit(share["out again"]) - _logit(share["never out"])),
        "back to a group": float(share["back to a group"]),
        "near occupation": float(share["near occupation"]),
        "mean of first education": float(education.mean()),
    }
    return {name: table.counts() for name, table in tally.items()}, numbers


def _walk(
    waves: Waves, world: World, group: np.ndarray
) -> Iterator[tuple[np.ndarray, int, History, np.ndarray, np.ndarray]]:
    """Wave by wave, the people who have one, its number, their histories until then, and whether they were ever out
    of the labor force and in each group."""
    everyone = np.argsort(-waves.lengths, kind="stable")
    history = History.empty(len(everyone), world)
    ever_out = np.zeros(len(everyone), bool)
    held_groups = np.zeros((len(everyone), group.max() + 1), bool)
    for t in range(int(waves.lengths.max())):
        n = int((waves.lengths > t).sum())
        people, history = everyone[:n], history.take(np.arange(n))
        ever_out, held_groups = ever_out[:n], held_groups[:n]
        yield people, t, history, ever_out, held_groups
        state = waves.states[people, t]
        history.observe(state, waves.years[people, t], waves.levels[people, t], world)
        ever_out = ever_out | (state == world.config.occupations + 1)
        works = np.flatnonzero(state < world.config.occupations)
        held_groups = held_groups.copy()
        held_groups[works, group[state[works]]] = True


def pools_of(name: str, counts: Counts, group: np.ndarray) -> np.ndarray:
    """Numbers of pools, of the table's shape: cells with fewer than `FEWEST` people are joined with others.

    Classes of whole numbers are joined with the class before; other small cells with each other and with the smallest
    cell that has enough, of the same broad group (occupations) or the same row (groups and states).
    """
    people = counts.people.min(axis=0) if name == "gender_typing" else counts.people
    pools = np.arange(people.size).reshape(people.shape)
    if name in ("size", "gender_typing"):
        for g in np.unique(group):
            of_group = np.flatnonzero(group == g)
            pools[of_group] = of_group[_joined(people[of_group], ordered=False)]
        return pools
    is_ordered = name not in ("flow", "education_flow", "move_by_origin", "move_by_education", "stay_by_group")
    if name == "move_by_year":  # (gender, year, class): years are joined
        return pools_of("years", replace(counts, people=people.swapaxes(1, 2)), group).swapaxes(1, 2)
    if name == "recall":
        return pools
    for line in np.ndindex(pools.shape[:-1]):
        pools[line] = pools[line][_joined(people[line], is_ordered)]
    return pools


def _joined(people: np.ndarray, ordered: bool) -> np.ndarray:
    """For each cell of a line the place of the first cell that it is joined with; the whole line if none is enough."""
    enough, places = people >= FEWEST, np.arange(len(people))
    if not enough.any():
        return np.zeros(len(people), dtype=np.int64)
    if ordered:
        return np.maximum.accumulate(np.where(enough, places, enough.argmax()))
    if enough.all():
        return places
    joined = ~enough | (places == np.where(enough, people, np.inf).argmin())
    return np.where(joined, joined.argmax(), places)


def _largest(pools: np.ndarray, people: np.ndarray) -> np.ndarray:
    """The largest cell's people in each pool, given to all its cells: at least so many are behind its share."""
    largest = np.zeros(pools.max() + 1)
    np.maximum.at(largest, pools.ravel(), people.ravel())
    return largest[pools]


def _logit(share: Any) -> Any:
    return np.log(share) - np.log1p(-np.asarray(share))


def _value(name: str, counts: Counts, pools: np.ndarray) -> np.ndarray:
    """What is compared, of the shape of the law's table: log-odds, or logarithms of shares."""
    if name == "gender_typing":
        men, women = (np.log((Counts(row, row, row, False).pooled(pools)[0] + 0.5) / row.sum()) for row in counts.hits)
        return women - men
    hits, trials = counts.pooled(pools)
    if counts.logit:
        return np.log((hits + 0.5) / (trials - hits + 0.5))
    if name.startswith("return"):
        return np.log((hits + 0.5) / (trials + 1))
    return np.log((hits + 0.5) / counts.hits.sum(axis=-1, keepdims=True))


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a market is fitted.

    Args:
        rounds: Rounds of simulating and correcting.
        people: People simulated in each; four times as many in the last third, over which tables are averaged.
        step: Share of a distance that a round takes, half of it in the last third. Three tables may correct the same
            distance, so a share above two thirds would overshoot.
        types, families, seed: Of the world.
        born: First and last birth year, of careers without the static column `birth_year`.
    """

    rounds: int = 26
    people: int = 2_000
    step: float = 0.4
    types: int = 12
    families: int = 22
    seed: int = 0
    born: tuple[int, int] = (1957, 1964)


def fit_market(careers: Dataset, settings: FitSettings) -> tuple[Preset, pd.DataFrame, pd.DataFrame]:
    """Fits a market to careers with codes of occ1990dd.

    Args:
        careers: Careers with education over time, region, race and gender.
        settings: How.

    Raises:
        ValueError: Careers lack a covariate, or have a race or an occupation that the market does not know.

    Returns:
        The market; the cells that were fitted, with the shares of survey and market; and the numbers of types, with
        the moments.
    """
    preset = _start(careers, settings)
    world = World.build(preset.world)
    survey = _survey_waves(careers, world)
    targets, wanted = market_counts(survey, world, preset.world.tables)
    group = np.array(preset.world.tables.group)
    pools = {name: pools_of(name, counts, group) for name, counts in targets.items()}
    goals = {name: _value(name, counts, pools[name]) for name, counts in targets.items()}
    for name, counts in targets.items():
        # A line of which no cell has enough people says nothing.
        people = counts.people.min(axis=0) if name == "gender_typing" else counts.people
        goals[name] = np.where(_largest(pools[name], people) >= FEWEST, goals[name], np.nan)
    # What people of no type without a history would do is close enough to begin with.
    overall = targets["flow"].hits.sum(axis=0)
    begin = {name: np.nan_to_num(goals[name] - np.nanmean(goals[name])) for name in ("size", "gender_typing")}
    begin["flow"] = np.nan_to_num(goals["flow"] - np.log(overall / overall.sum()))
    tables = replace(preset.world.tables, **{name: table.tolist() for name, table in begin.items()})
    preset = preset.with_world(tables=tables)
    late, averaged, numbers = settings.rounds * 2 // 3, [], []
    for number in range(settings.rounds):
        people = settings.people * (4 if number >= late else 1)
        counts, reached = _simulated(preset, people, number)
        step = settings.step * (0.5 if number >= late else 1.0)
        preset = _corrected(preset, counts, reached, goals, wanted, pools, step)
        if number >= late:
            averaged.append(preset.world.tables.arrays())
            numbers.append([getattr(preset.world, name) for name in (*OF_TYPES, "education_start")])
    mean = {name: np.mean([tables[name] for tables in averaged], axis=0) for name in goals}
    means = np.round(np.mean(numbers, axis=0), 4)
    preset = preset.with_world(
        tables=replace(preset.world.tables, **{name: np.round(table, 4).tolist() for name, table in mean.items()}),
        **dict(zip((*OF_TYPES, "education_start"), means.tolist(), strict=True)),
    )
    counts, reached = _simulated(preset, 4 * settings.people, settings.rounds)
    moments = pd.DataFrame({"survey": wanted, "market": reached}).rename_axis("moment")
    return preset, _cells(targets, counts, pools), moments


def _start(careers: Dataset, settings: FitSettings) -> Preset:
    """The market before anything is fitted: years, lengths and races of the survey, tables of zeros."""
    long = to_frame(careers)
    lacking = [name for name in ("education", "region", "race", "gender") if name not in long]
    if lacking:
        raise ValueError(f"careers lack the covariate '{lacking[0]}', which the law of a market needs: add it")
    unknown = set(long["race"].dropna()) - set(RACES)
    if unknown or long["race"].isna().any():
        raise ValueError(f"race {min(unknown, default=None)!r} is none of the market's: use {', '.join(RACES)}")
    codes = crosswalks.codes()
    names = list(GROUPS)
    group = tuple(names.index(occupation_group(code)) for code in codes)
    by_year = long.groupby("year").size()
    years = tuple(int(year) for year in by_year.index[by_year >= FEWEST])
    lengths = long.groupby("person").size().value_counts()
    lengths = lengths.reindex(range(1, len(years) + 1), fill_value=0)
    # Lengths that few people have count as the next shorter one.
    lengths = np.bincount(_joined(lengths.to_numpy(), ordered=True), lengths, len(lengths))
    race = long.groupby("person")["race"].first().value_counts(normalize=True).reindex(list(RACES), fill_value=1e-4)
    born = pd.to_numeric(long["birth_year"]) if "birth_year" in long else pd.Series(settings.born)
    g, y, j = len(names), len(years), len(codes)
    tables = LawTables(
        group=group,
        size=(0.0,) * j,
        gender_typing=(0.0,) * j,
        years=years,
        durations=DURATIONS,
        held=HELD,
        since=SINCE,
        waves=HELD_WAVES,
        stay_by_duration=np.zeros((KINDS, len(DURATIONS))).tolist(),
        stay_by_year=np.zeros((len(GENDERS), KINDS, y)).tolist(),
        stay_by_group=(0.0,) * g,
        move_by_origin=np.zeros((g + KINDS, CLASSES)).tolist(),
        move_by_year=np.zeros((len(GENDERS), y, CLASSES)).tolist(),
        move_by_education=np.zeros((len(EDUCATION), CLASSES)).tolist(),
        flow=np.zeros((g + KINDS, g)).tolist(),
        education_flow=np.zeros((len(EDUCATION), g)).tolist(),
        return_by_held=(1.0,) * len(HELD),
        return_by_since=(0.0,) * len(SINCE),
        return_by_waves=(0.0,) * len(HELD_WAVES),
        recall=0.0,
        rise_by_year=((-1.0,) * y, (-3.0,) * y),
    )
    world = WorldConfig(
        seed=settings.seed,
        families=settings.families,
        types=settings.types,
        first_year=years[0],
        last_year=years[-1],
        first_birth_year=int(born.min()),
        last_birth_year=int(born.max()),
        education_start=0.4,
        size_sd=1.0,
        tables=tables,
        **REPLACED,  # type: ignore[arg-type]
    )
    survey = SurveyConfig(
        people=12_000,
        entry_age=years[0] - int(born.max()),  # everybody has the first wave
        fewest_waves=1,
        most_waves=len(years),
        skipped=0.0,
        wave_shares=tuple(float(x) for x in np.round(lengths / lengths.sum(), 4)),
        years=years,
        race_shares=tuple(float(x) for x in np.round(race, 4)),
        oversampling=(1.0,) * len(RACES),
    )
    return Preset(world, survey)


def _survey_waves(careers: Dataset, world: World) -> Waves:
    """Careers as arrays; a level of education that is missing is the level before, or the first one known."""
    long = to_frame(careers)
    levels = long["education"].astype(object).groupby(long["person"], sort=False)
    long["education"] = levels.ffill().groupby(long["person"], sort=False).bfill().fillna(EDUCATION[0])
    long["birth_year"] = str(world.config.first_birth_year)
    columns = ["person", "year", "occupation", "education", "region", "race", "gender", "birth_year"]
    static = ["region", "race", "gender", "birth_year"]
    return Waves.of(from_frame(long[columns], covariates=["education"], static=static), world)


def _simulated(preset: Preset, people: int, seed: int) -> tuple[dict[str, Counts], dict[str, float]]:
    drawn = preset.simulate(people, seed=seed)
    return market_counts(Waves.of(drawn.careers, drawn.world), drawn.world, preset.world.tables)


def _corrected(
    preset: Preset,
    counts: dict[str, Counts],
    reached: dict[str, float],
    goals: dict[str, np.ndarray],
    wanted: dict[str, float],
    pools: dict[str, np.ndarray],
    step: float,
) -> Preset:
    """The market one step closer to the goals."""
    tables = preset.world.tables.arrays()
    for name, goal in goals.items():
        distance = np.nan_to_num(goal - _value(name, counts[name], pools[name]))
        tables[name] = tables[name] + np.clip(step * distance, -MOST_STEP, MOST_STEP)
    # Some numbers add up with others: sizes have no level, nor has any row of a multinomial logit.
    for name in ("size", "flow", "education_flow"):
        tables[name] = tables[name] - tables[name].mean(axis=-1, keepdims=True)
    world: dict[str, Any] = {"tables": replace(preset.world.tables, **{n: tables[n].tolist() for n in goals})}
    for name, moment in OF_TYPES.items():
        ratio = np.log(max(wanted[moment], 1e-3) / max(reached[moment], 1e-3))
        world[name] = float(np.clip(getattr(preset.world, name) * np.exp(np.clip(step * ratio, -0.3, 0.3)), 0.05, 4))
    shift = wanted["mean of first education"] - reached["mean of first education"]
    world["education_start"] = preset.world.education_start + step * shift
    return preset.with_world(**world)


def _cells(targets: dict[str, Counts], counts: dict[str, Counts], pools: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row per pool of cells: table, the first cell in it, people behind it, shares of survey and market."""
    rows = []
    for name, of_survey in targets.items():
        if name == "gender_typing":
            continue
        joined = pools[name]
        people = _largest(joined, of_survey.people)
        both = [
            hits
            / np.maximum(trials if part.logit or name.startswith("return") else part.hits.sum(-1, keepdims=True), 1)
            for part in (of_survey, counts[name])
            for hits, trials in (part.pooled(joined),)
        ]
        for pool in np.unique(joined):
            cell = tuple(axis[0] for axis in np.nonzero(joined == pool)) if joined.ndim else ()
            if people[cell] >= FEWEST:
                place = " ".join(map(str, cell))
                rows.append((name, place, int(people[cell]), float(both[0][cell]), float(both[1][cell])))
    return pd.DataFrame(rows, columns=["table", "cell", "people", "survey", "market"])


@studies.command("market-fit")
def market_fit(
    data: Data,
    output: Output,
    rounds: Annotated[int, typer.Option(help="Rounds of simulating and correcting.", min=3)] = FitSettings.rounds,
    people: Annotated[int, typer.Option(help="People simulated in each round.", min=100)] = FitSettings.people,
    seed: Annotated[int, typer.Option(help="Seed of the market: skills and types.")] = 0,
) -> None:
    """A simulated market that is fitted to the training people of a survey with codes of occ1990dd."""
    splits = load_careers(data)
    if "train" not in splits:
        raise ValueError(f"--data: {data} has no training people, only {', '.join(splits)}: split careers first")
    train = splits["train"]
    preset, cells, moments = fit_market(train, FitSettings(rounds=rounds, people=people, seed=seed))
    StudyResult({"cells": cells, "moments": moments}).save(Path(output), "%.5g")
    with complete(Path(output) / "market.json") as unfinished:
        unfinished.write_text(json.dumps(preset.to_dict()) + "\n", encoding="utf-8")
    off = cells.assign(off=(cells["market"] - cells["survey"]).abs()).groupby("table")["off"].describe()
    show(off[["count", "mean", "max"]], "How far shares of the market are from those of the survey")
    show(moments, "Moments of the latent types")
    say(f"{output}/market.json, cells.csv, moments.csv")
