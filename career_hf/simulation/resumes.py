"""Resumes drawn from the law of the market, which differ from a survey as a pretraining corpus does.

The educated are over-represented, years without work are deleted, gender, race and birth year are hidden, education
and region are often missing, some occupations are coded wrongly, and first and last years are cut off. The truth given
such a resume is not known, so no floor is claimed for it.

People are drawn in parts, each with its own random stream, and each part is a Parquet file that appears only when it
is complete. So memory does not grow with the corpus, and a run that was stopped resumes where it was.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from joblib import Parallel, delayed
from pyarrow import parquet
from transformers.utils import logging

from ..careers.atomic_files import complete
from ..careers.ledger import Ledger
from ..number_ranges import within_ranges
from ..occupations.labels import GENDERS, RACES, REGIONS
from .law import Law, People
from .miscoding import miscoded
from .survey import draw_careers, draw_rows, named, waves_as_lists
from .world import World


PART = 10_000
MANIFEST = "resumes.json"


@dataclass(frozen=True)
class ResumeConfig:
    """How resumes differ from careers. Shares are between 0 and 1.

    Args:
        people: Number of people drawn, before people who never work are dropped.
        tilt: Log-odds of being in the corpus per unit of a type's schooling propensity.
        race_shares: Shares of races, in the order of `RACES`, before the tilt.
        entry_age: Age at the first year of the market that is drawn.
        fewest_years, most_years: Bounds of the uniformly distributed number of years drawn.
        education_missing, region_missing: Shares of resumes without education, without region.
        miscoded: Share of spells whose occupation is coded as another occupation of its family.
        inflated: Share of spells that are coded as the senior occupation of their family.
        cut: Most working years at either end that are missing from a resume.
        drift: Difference between rounds of collection, from 0 to 1: from the first to the last round, `tilt`,
            `miscoded` and `inflated` rise from 1 - drift to 1 + drift times their values. (Sizes of occupations drift
            with calendar years in any case: `WorldConfig.trend_sd`.)
        rounds: Number of rounds. The people of each part of a corpus belong to the first, second, ... round in turn.
    """

    people: int = 200_000
    tilt: float = 0.7
    race_shares: tuple[float, ...] = (0.8, 0.13, 0.07)
    entry_age: int = 18
    fewest_years: int = 5
    most_years: int = 24
    education_missing: float = 0.528
    region_missing: float = 0.024
    miscoded: float = 0.1
    inflated: float = 0.03
    cut: int = 1
    drift: float = 0.0
    rounds: int = 4

    def __post_init__(self) -> None:
        for name in ("education_missing", "region_missing", "miscoded", "inflated", "drift"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, not {getattr(self, name)}")
        object.__setattr__(self, "race_shares", tuple(self.race_shares))
        if len(self.race_shares) != len(RACES) or min(self.race_shares) <= 0:
            raise ValueError(f"race_shares needs a positive number for each of {RACES}, not {self.race_shares}")
        if self.rounds < 2:
            raise ValueError(f"rounds must be at least 2, not {self.rounds}; for no drift between them set drift to 0")
        if self.people < 1 or not 1 <= self.fewest_years <= self.most_years or self.cut < 0:
            raise ValueError(
                f"people must be at least 1, 1 <= fewest_years <= most_years, and cut not negative; not "
                f"{self.people}, {self.fewest_years}, {self.most_years}, {self.cut}"
            )

    def drift_factors(self, people: int) -> np.ndarray:
        """`(people,)` factors by which the rounds of a part's people change tilt and wrong coding."""
        factors = 1 + self.drift * np.linspace(-1, 1, self.rounds)
        return factors[np.arange(people) % self.rounds]


@within_ranges
def write_resumes(
    world: World, config: ResumeConfig, folder: str | Path, *, seed: int = 0, workers: int = 1
) -> Ledger:
    """Draws a corpus of resumes into Parquet files; called again after it was stopped, it resumes.

    Args:
        world: World of the resumes, which may be that of the survey or another one.
        config: How resumes differ from careers.
        folder: Destination folder; created if missing.
        seed: Random seed for drawing people.
        workers: Number of processes that draw parts; it has no effect on the resumes.

    Returns:
        What was dropped and altered, summed over parts.

    Raises:
        ValueError: If the folder holds a corpus of another world, config or seed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"world": world.config.to_dict(), "resumes": asdict(config), "seed": seed}
    manifest = json.loads(json.dumps(manifest))
    if (folder / MANIFEST).exists():
        if json.loads((folder / MANIFEST).read_text(encoding="utf-8")) != manifest:
            raise ValueError(f"{folder} holds resumes of another world, config or seed: choose another folder")
    else:
        with complete(folder / MANIFEST) as unfinished:
            unfinished.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    parts = [
        delayed(_write_part)(world, config, min(PART, config.people - part * PART), [seed, part], path)
        for part, path in enumerate(_paths(folder, config.people))
    ]
    drawn = Parallel(workers, return_as="generator_unordered")(parts)
    totals: Counter[str] = Counter()
    for counts in logging.tqdm(drawn, total=len(parts), desc="Drawing resumes", unit="part"):
        totals.update(counts)
    return _ledger(totals)


def _paths(folder: Path, people: int) -> list[Path]:
    return [folder / f"part-{part:05d}.parquet" for part in range(-(-people // PART))]


def _write_part(world: World, config: ResumeConfig, people: int, seed: list[int], path: Path) -> dict[str, int]:
    """Draws a part unless its file exists, and returns its counts."""
    if not path.exists():
        prefix = path.stem.removeprefix("part-") + "-"
        table, counts = draw_resumes(Law(world), config, people, np.random.default_rng(seed), prefix)
        table = table.replace_schema_metadata({"counts": json.dumps(counts)})
        with complete(path) as unfinished:
            parquet.write_table(table, unfinished, compression="zstd")
    return json.loads(parquet.read_schema(path).metadata[b"counts"])


@within_ranges
def load_resumes(folder: str | Path, people: int | None = None) -> Dataset:
    """Loads the careers of a corpus that `write_resumes` finished.

    Args:
        folder: Folder of the corpus.
        people: Number of people drawn first whose resumes are loaded (some never worked, and have none); by default
            all. Samples of one corpus are nested, so that volumes of pretraining can be compared.

    Raises:
        ValueError: If parts are missing, or the corpus has fewer people.
    """
    folder = Path(folder)
    drawn = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["resumes"]["people"]
    if people is not None and not 1 <= people <= drawn:
        raise ValueError(f"{folder} has 1 to {drawn} people to choose from, not {people}")
    paths = _paths(folder, drawn)
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise ValueError(f"{folder} lacks {len(missing)} of {len(paths)} parts, first {missing[0]}: run write_resumes")
    careers = Dataset.from_parquet([str(path) for path in paths], cache_dir=str(folder / "cache"))
    if people is None:
        return careers
    part, place = divmod(people, PART)
    names = careers["person"]
    return careers.select(range(bisect_left(names, (part, place), key=_order_drawn)))


def _order_drawn(person: str) -> tuple[int, int]:
    part, _, place = person.partition("-")
    return int(part), int(place)


def draw_resumes(
    law: Law, config: ResumeConfig, n: int, rng: np.random.Generator, prefix: str = ""
) -> tuple[pa.Table, dict[str, int]]:
    """Draws resumes.

    Args:
        law: The law.
        config: How resumes differ from careers.
        n: Number of people drawn.
        rng: Random number generator.
        prefix: Prefix of people's identifiers.

    Returns:
        Careers with the covariates education (over time) and region, and counts of what was dropped and altered.
    """
    world, c = law.world, law.world.config
    people = People(
        birth_year=rng.integers(c.first_birth_year, c.last_birth_year + 1, n),
        gender=rng.integers(len(GENDERS), size=n),
        race=rng.choice(len(RACES), size=n, p=np.array(config.race_shares) / sum(config.race_shares)),
        region=rng.integers(len(REGIONS), size=n),
    )
    drift_factors = config.drift_factors(n)
    types = draw_rows(law.prior(people) * np.exp(config.tilt * drift_factors[:, None] * world.schooling), rng)
    first = np.maximum(people.birth_year + config.entry_age, c.first_year)
    years = first[:, None] + np.arange(config.most_years)
    lengths = np.minimum(rng.integers(config.fewest_years, config.most_years + 1, n), c.last_year + 1 - first)
    if (lengths < 1).any():
        raise ValueError(
            f"entry_age {config.entry_age} lies after {c.last_year}, the last year of the world, for some"
        )
    states, levels = draw_careers(law, people, types, years, lengths, rng)

    drawn = np.arange(config.most_years) < lengths[:, None]
    working = drawn & (states < c.occupations)
    is_listed = _cut(working, config.cut, rng)
    coded = _coded(states, is_listed, config, drift_factors, world, rng)
    has_years = is_listed.any(axis=1)
    names = pa.array([f"{prefix}{i:0{len(str(n - 1))}d}" for i in range(n)])
    no_education, no_region = rng.random(n) < config.education_missing, rng.random(n) < config.region_missing
    resumes = pa.table(
        {
            "person": names,
            **waves_as_lists(years, coded, levels, is_listed, world),
            "region": pc.if_else(pa.array(no_region), pa.scalar(None, pa.string()), named(people.region, REGIONS)),
        }
    ).filter(pa.array(has_years))
    education = _blank_lists(resumes["education"].combine_chunks(), no_education[has_years])
    resumes = resumes.set_column(resumes.schema.get_field_index("education"), "education", education)
    counts = {
        "years": int(drawn.sum()),
        "without work": int((drawn & ~working).sum()),
        "cut off at either end": int((working & ~is_listed).sum()),
        "coded as another occupation": int((coded != states)[is_listed].sum()),
        "people": n,
        "never at work, or cut off altogether": int((~has_years).sum()),
    }
    return resumes, counts


def _cut(working: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Mask of working years, without up to `most` years at either end."""
    place, total = working.cumsum(axis=1), working.sum(axis=1, keepdims=True)
    start, end = rng.integers(most + 1, size=(2, len(working), 1))
    return working & (place > start) & (place <= total - end)


def _coded(
    states: np.ndarray,
    is_listed: np.ndarray,
    config: ResumeConfig,
    drift_factors: np.ndarray,
    world: World,
    rng: np.random.Generator,
) -> np.ndarray:
    """Codes occupations, some of them wrongly; all years of a spell get one code."""
    rows, columns = is_listed.nonzero()
    occupation = states[rows, columns]
    spells = np.r_[0, np.cumsum((rows[1:] != rows[:-1]) | (occupation[1:] != occupation[:-1]))][: len(rows)]
    coded = states.copy()
    for factor in np.unique(drift_factors):
        in_round = drift_factors[rows] == factor
        coded[rows[in_round], columns[in_round]] = miscoded(
            occupation[in_round], spells[in_round], world, config.miscoded * factor, rng, config.inflated * factor
        )
    return coded


def _blank_lists(lists: pa.ListArray, missing: np.ndarray) -> pa.ListArray:
    """Makes all values in the lists of some people missing."""
    steps = np.repeat(missing, pc.list_value_length(lists).to_numpy())
    values = pc.if_else(pa.array(steps), pa.scalar(None, pa.string()), lists.flatten())
    lengths = pc.list_value_length(lists).to_numpy()
    return pa.ListArray.from_arrays(pa.array(np.r_[0, lengths.cumsum()], pa.int32()), values)


def _ledger(counts: Mapping[str, int]) -> Ledger:
    """The ledger of a corpus."""
    ledger = Ledger()
    years = counts["years"]
    dropped = {name: counts[name] for name in ("without work", "cut off at either end")}
    altered = {"coded as another occupation": counts["coded as another occupation"]}
    ledger.record("write resumes", "person-years", years, years - sum(dropped.values()), dropped, altered)
    reason = "never at work, or cut off altogether"
    ledger.record(
        "write resumes", "people", counts["people"], counts["people"] - counts[reason], {reason: counts[reason]}
    )
    return ledger
