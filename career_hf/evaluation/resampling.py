"""Resampling people, the bootstrap behind every interval: people are drawn, because a person's steps are dependent."""

from __future__ import annotations

import numpy as np


def resample_means(
    values: np.ndarray, weight: np.ndarray, person: np.ndarray, group: np.ndarray, *, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means of some columns in each group, in the sample and in every resample of people.

    All columns have the same resamples, so differences between them are paired. A resample is a count for every
    person and needs only each person's sums, so many resamples are one matrix product.

    Args:
        values: `(rows, columns)`: the values to average.
        weight: `(rows,)`: weights of the means.
        person: `(rows,)`: numbers 0, 1, ... of the people who are drawn with replacement.
        group: `(rows,)`: numbers 0, 1, ... of the groups.
        draws: Number of resamples.
        seed: Random seed of the resamples.

    Returns:
        `(groups, columns)` means, and `(draws, groups, columns)` means; NaN where a resample has nobody of a group.
    """
    people, groups = int(person.max()) + 1, int(group.max()) + 1
    cell = person * groups + group
    columns = [weight, *(weight * column for column in values.T)]
    sums = np.stack([np.bincount(cell, weights=column, minlength=people * groups) for column in columns], axis=-1)
    sums = sums.reshape(people, -1)

    rng = np.random.default_rng(seed)
    resampled = []
    for size in np.diff([*range(0, draws, 100), draws]):
        drawn = rng.integers(people, size=(size, people)) + people * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * people).reshape(size, people)
        resampled.append(counts.astype(np.float64) @ sums)

    def means(totals: np.ndarray) -> np.ndarray:
        totals = totals.reshape(*totals.shape[:-1], groups, -1)
        with np.errstate(invalid="ignore"):
            return totals[..., 1:] / totals[..., :1]

    return means(sums.sum(axis=0)), means(np.concatenate(resampled))


__all__ = ["resample_means"]
