"""Occupations coded wrongly, as in real surveys and resumes, where many "returns" are coding noise.

A wrong code is another occupation of the same family. It is drawn anew at every wave, or once for a whole spell, as
when a coder sees one description of one employer. Given miscoded careers the true law is unknown: the probabilities of
`TrueOccupationModel` are then those of someone who takes every code for right, and its perplexity is no floor.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ..careers.columns import career_table, list_lengths, list_values, make_dataset
from ..careers.ledger import Ledger
from ..encoding.vocabulary import index_labels
from .survey import named
from .world import World


def miscode(
    careers: Dataset, world: World, share: float, *, by_spell: bool = False, seed: int = 0
) -> tuple[Dataset, Ledger]:
    """Careers of a world with some occupations coded wrongly.

    Args:
        careers: Careers, coded right.
        world: Their world.
        share: Share of waves worked (of spells, with `by_spell`) that are coded as another occupation of the family.
        by_spell: Code a spell, consecutive waves in one occupation, alike.
        seed: Random seed for coding occupations wrongly.

    Returns:
        The careers, states without work as they were, and a ledger with the number of person-years altered.
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
    """Occupations as coded.

    Args:
        occupation: `(steps,)`, occupations held.
        unit: `(steps,)`, not decreasing; steps of one unit hold one occupation and are coded alike.
        world: Its families.
        share: Share of units coded as another occupation of the family; a family of one has no other.
        rng: Random numbers.
        inflated: Share of units coded as the senior occupation of the family.
    """
    begins = np.r_[True, unit[1:] != unit[:-1]][: len(unit)]
    of_unit = occupation[begins]
    family = world.family[of_unit]
    # Families are blocks of neighbouring numbers: any other member is a shift within the block.
    start = np.searchsorted(world.family, family)
    size = np.searchsorted(world.family, family, side="right") - start
    shift = np.where(size > 1, 1 + np.floor(rng.random(len(of_unit)) * (size - 1)).astype(np.int64), 0)
    other = start + (of_unit - start + shift) % size
    chance = rng.random(len(of_unit))
    choices = [chance < share, chance < share + inflated]
    return np.select(choices, [other, world.senior[family]], default=of_unit)[begins.cumsum() - 1]
