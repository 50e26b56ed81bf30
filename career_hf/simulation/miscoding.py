"""Occupations coded wrongly, as in real surveys and resumes, where many "returns" are coding noise.

A wrong code is another occupation of the same family. It is drawn at every wave, or once for a whole spell, as when a
coder sees one description of one employer. The true law given miscoded careers is unknown: `TrueOccupationModel` takes
every code for right, so its perplexity is not a floor.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ..careers.columns import career_table, list_lengths, list_values, make_dataset
from ..careers.ledger import Ledger
from ..encoding.vocabulary import index_labels
from ..number_ranges import within_ranges
from .survey import named
from .world import World


@within_ranges
def miscode(
    careers: Dataset, world: World, share: float, *, by_spell: bool = False, seed: int = 0
) -> tuple[Dataset, Ledger]:
    """Codes some occupations of careers wrongly.

    Args:
        careers: Careers with right codes.
        world: World from which the careers were drawn.
        share: Share of waves worked (of spells, with `by_spell`) that are coded as another occupation of the family.
        by_spell: Whether all waves of a spell (consecutive waves in one occupation) get one code.
        seed: Random seed for coding occupations wrongly.

    Returns:
        The careers, whose states without work are unchanged, and a ledger with the number of person-years altered.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be between 0 and 1, not {share}")
    table = career_table(careers)
    lengths = list_lengths(table, "occupation")
    states = index_labels(list_values(table, "occupation"), world.labels).astype(np.int64)
    if (states < 0).any():
        raise ValueError("careers hold occupations that are not of this world: pass the world they were drawn from")
    people = np.repeat(np.arange(len(lengths)), lengths)
    # A state without work ends a spell, so spells are told apart before such states are left out.
    spells = np.r_[0, np.cumsum((people[1:] != people[:-1]) | (states[1:] != states[:-1]))]
    working = states < world.config.occupations
    coded = states.copy()
    unit = spells[working] if by_spell else np.arange(working.sum())
    coded[working] = miscoded(states[working], unit, world, share, np.random.default_rng(seed))
    occupation = pa.ListArray.from_arrays(pa.array(np.r_[0, lengths.cumsum()], pa.int32()), named(coded, world.labels))
    columns = {name: table[name] for name in table.column_names} | {"occupation": occupation}
    ledger = Ledger()
    altered = {"coded as another occupation of the family": int((coded != states).sum())}
    ledger.record("miscode occupations", "person-years", len(states), len(states), altered=altered)
    return make_dataset(columns), ledger


def miscoded(
    occupation: np.ndarray,
    unit: np.ndarray,
    world: World,
    share: float,
    rng: np.random.Generator,
    inflated: float = 0.0,
) -> np.ndarray:
    """Codes occupations, some of them wrongly.

    Args:
        occupation: `(steps,)`, occupations held.
        unit: `(steps,)`, not decreasing; steps of one unit hold one occupation and get one code.
        world: World whose families are used.
        share: Share of units coded as another occupation of the family, if the family has another.
        rng: Random number generator.
        inflated: Share of units coded as the senior occupation of the family.
    """
    begins = np.r_[True, unit[1:] != unit[:-1]][: len(unit)]
    unit_occupation = occupation[begins]
    family = world.family[unit_occupation]
    # Families are blocks of neighbouring numbers: any other member is a shift within the block.
    start = np.searchsorted(world.family, family)
    size = np.searchsorted(world.family, family, side="right") - start
    shift = np.where(size > 1, 1 + np.floor(rng.random(len(unit_occupation)) * (size - 1)).astype(np.int64), 0)
    other = start + (unit_occupation - start + shift) % size
    chance = rng.random(len(unit_occupation))
    choices = [chance < share, chance < share + inflated]
    return np.select(choices, [other, world.senior[family]], default=unit_occupation)[begins.cumsum() - 1]
