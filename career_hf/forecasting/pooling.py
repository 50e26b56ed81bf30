"""The forecast of an ensemble: the mixture of what its members forecast.

Each member simulates its own trajectories from beginning to end, and all of them are pooled. One-step probabilities
are not averaged on the way: which model is right does not change from year to year, and a path that is likely under
one member and unlikely under the others has to stay likely under that one. Averaging at each step would mix members
anew every year and make members' errors, which last, look like chance, which averages out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .result import Forecast, Trajectories


def pool(members: Sequence[Forecast], seed: int) -> Forecast:
    """One forecast of the forecasts of an ensemble's members.

    Args:
        members: Forecasts of the same people, years and occupations, each of which keeps its own trajectories.
        seed: The random seed from which those of the members were made.

    Returns:
        The average of the probabilities, with the members in `members`. Errors are those of independent samples. The
        correction of the log of the average follows from those of members: to leading order a member's correction is
        its relative variance, which its share of the average scales down.
    """
    first, count = members[0], len(members)
    probability = np.stack([member.probability for member in members]).mean(axis=0, dtype=np.float64)
    variance = np.sum([np.square(member.standard_error, dtype=np.float64) for member in members], axis=0) / count**2
    correction, log_variance = np.zeros_like(probability), np.zeros_like(probability)
    for member in members:
        p = member.probability / count
        part = np.divide(p, probability, out=np.zeros_like(probability), where=probability > 0)
        own_correction, own_error = member.log_corrections()
        correction += own_correction * part**2
        log_variance += (own_error * part) ** 2
    special = [member.special for member in members if member.special is not None]
    samples = sum(member.attrs["samples"] for member in members)
    attrs = first.attrs | {"members": count, "seed": seed, "samples": samples}
    attrs["exact_steps"] = min(member.attrs["exact_steps"] for member in members)
    return Forecast(
        people=first.people,
        years=first.years,
        occupations=first.occupations,
        probability=probability.astype(np.float32),
        standard_error=np.sqrt(variance).astype(np.float32),
        trajectories=None if first.trajectories is None else _together(members),
        histories=first.histories,
        attrs=attrs,
        special=np.stack(special).mean(axis=0).astype(np.float32) if len(special) == count else None,
        log_correction=correction.astype(np.float32),
        log_error=np.sqrt(log_variance).astype(np.float32),
        members=tuple(members),
    )


def _together(members: Sequence[Forecast]) -> Trajectories:
    """The trajectories of all members, by person; the same path of two members stands there twice."""
    parts = [member.trajectories for member in members if member.trajectories is not None]
    person, count, occupation = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("person", "count", "occupation")
    )
    order = np.argsort(person, kind="stable")
    return Trajectories(person[order], count[order], occupation[order])


__all__ = ["pool"]
