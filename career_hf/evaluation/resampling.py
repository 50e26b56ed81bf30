"""Resampling clusters, the bootstrap behind every interval.

Clusters are those of `careers.clusters`: PSUs or households where they are known, otherwise people. They are drawn
with replacement, because what happens to one person, or in one household, is dependent. All numbers that are compared
have the same resamples, so that their differences are paired.

Percentiles of resamples are a little too narrow where clusters are few, because the spread in a sample is smaller
than that around the truth. Intervals therefore take percentiles further out, which differ from 2.5% and 97.5% as
Student's t differs from the normal distribution (the expanded percentile interval of Hesterberg, 2015, "What teachers
should know about the bootstrap"). Fewer than `FEWEST` clusters have no interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from ..careers.clusters import FEWEST, clusters


# Ends of a 95% interval, where clusters are many.
INTERVAL = [0.025, 0.975]
# A number of this many standard errors or fewer may have either sign.
AMBIGUOUS = 2.5
TOO_FEW = "too few"
NOTE = f"{TOO_FEW}: fewer than {FEWEST} people, households or PSUs, so there is no interval and no verdict"
# Most numbers that are held at once for resampled areas under curves.
AT_ONCE = 2_000_000


def resample_means(
    values: np.ndarray, weight: np.ndarray, cluster: np.ndarray, group: np.ndarray, *, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means of some columns in each group, in the sample and in every resample of clusters.

    All columns have the same resamples, so differences between them are paired. A resample is a count for every
    cluster and needs only each cluster's sums, so many resamples are one matrix product.

    Args:
        values: `(rows, columns)`: the values to average.
        weight: `(rows,)`: weights of the means.
        cluster: `(rows,)`: numbers 0, 1, ... of the clusters that are drawn with replacement.
        group: `(rows,)`: numbers 0, 1, ... of the groups.
        draws: Number of resamples.
        seed: Random seed of the resamples.

    Returns:
        `(groups, columns)` means, and `(draws, groups, columns)` means; NaN where a resample has nobody of a group, or
        nobody with a weight.
    """
    count, groups = int(cluster.max(initial=-1)) + 1, int(group.max(initial=-1)) + 1
    cell = cluster * groups + group
    columns = [weight, *(weight * column for column in values.T)]
    sums = np.stack([np.bincount(cell, weights=column, minlength=count * groups) for column in columns], axis=-1)
    sums = sums.reshape(count, groups * len(columns))
    resampled = [counts @ sums for counts in _resamples(count, draws, seed)]

    def means(totals: np.ndarray) -> np.ndarray:
        totals = totals.reshape(*totals.shape[:-1], groups, len(columns))
        with np.errstate(invalid="ignore"):
            return totals[..., 1:] / totals[..., :1]

    return means(sums.sum(axis=0)), means(np.concatenate(resampled))


def resample_aucs(
    happened: np.ndarray, scores: np.ndarray, weight: np.ndarray, cluster: np.ndarray, *, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted areas under ROC curves, in the sample and in every resample of clusters.

    Args:
        happened: `(rows,)` bool: whether the event happened.
        scores: `(rows, columns)`: scores of the event; each column has its own area.
        weight, cluster, draws, seed: As in `resample_means`, with whose resamples these are paired.

    Returns:
        `(columns,)` areas, and `(draws, columns)` areas; NaN where the event always or never happens, and for a column
        of scores some of which are missing.
    """
    count, is_missing = int(cluster.max(initial=-1)) + 1, np.isnan(scores).any(axis=0)
    orders = [np.argsort(score, kind="stable") for score in scores.T]
    # Rows with equal scores are one point of the curve.
    starts = [np.flatnonzero(np.r_[True, np.diff(s[o]) > 0]) for s, o in zip(scores.T, orders, strict=True)]

    def areas(counts: np.ndarray) -> np.ndarray:
        found = np.full((len(counts), len(orders)), np.nan)
        for column, (order, start) in enumerate(zip(orders, starts, strict=True)):
            if is_missing[column]:
                continue
            mass = counts[:, cluster[order]] * weight[order]
            true = np.add.reduceat(mass * happened[order], start, axis=1)
            false = np.add.reduceat(mass * ~happened[order], start, axis=1)
            below = false.cumsum(axis=1) - false / 2
            with np.errstate(invalid="ignore"):
                found[:, column] = (true * below).sum(axis=1) / (true.sum(axis=1) * false.sum(axis=1))
        return found

    if not len(happened):
        return np.full(len(orders), np.nan), np.full((draws, len(orders)), np.nan)
    size = max(1, AT_ONCE // len(happened))
    parts = [
        areas(counts[first : first + size])
        for counts in _resamples(count, draws, seed)
        for first in range(0, len(counts), size)
    ]
    return areas(np.ones((1, count)))[0], np.concatenate(parts)


def _resamples(count: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """`(at most 100, clusters)` float64 arrays: how often each cluster is in each resample."""
    rng = np.random.default_rng(seed)
    for size in np.diff([*range(0, draws, 100), draws]):
        drawn = rng.integers(max(count, 1), size=(size, count)) + count * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * count)
        yield counts.reshape(size, count).astype(np.float64)


def cluster_counts(table: pd.DataFrame, group: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The number of clusters of each group that have any weight in it.

    Args:
        table: `(rows,)`, as in `clusters`.
        group: `(rows,)`: numbers 0, 1, ... of the groups.
        weight: `(rows,)`.

    Returns:
        int64 `(groups,)`.
    """
    cluster, groups = clusters(table), int(group.max(initial=-1)) + 1
    cells = np.unique((group * (int(cluster.max(initial=0)) + 1) + cluster)[weight > 0])
    return np.bincount(cells // (int(cluster.max(initial=0)) + 1), minlength=groups)


def interval(drawn: np.ndarray, count: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """95% intervals of statistics, from their values in resamples.

    Args:
        drawn: `(draws, ...)`: values in resamples; NaN where a resample has nobody.
        count: `(...)`, or one number for all: the number of clusters behind each statistic.

    Returns:
        Two `(...)` arrays, the lower and the upper ends; NaN with fewer than `FEWEST` clusters.
    """
    shape = drawn.shape[1:]
    flat, counts = drawn.reshape(len(drawn), -1), np.broadcast_to(count, shape).ravel()
    ends = np.full((2, flat.shape[1]), np.nan)
    known = (counts >= FEWEST) & ~np.isnan(flat).all(axis=0)
    for number in np.unique(counts[known]):
        chosen = known & (counts == number)
        ends[:, chosen] = np.nanquantile(flat[:, chosen], interval_levels(number), axis=0)
    low, high = ends.reshape(2, *shape)
    return low, high


def interval_levels(count: int) -> np.ndarray:
    """The two quantiles of resamples that are the ends of a 95% interval with so many clusters."""
    return stats.norm.cdf(np.sqrt(count / (count - 1)) * stats.t.ppf(INTERVAL, count - 1))


def spread(drawn: np.ndarray, count: np.ndarray | int) -> np.ndarray:
    """Standard errors of statistics, from their values in resamples; arguments as in `interval`."""
    missing = (np.broadcast_to(count, drawn.shape[1:]) < FEWEST) | ((~np.isnan(drawn)).sum(axis=0) < 2)
    return np.where(missing, np.nan, np.nanstd(np.where(missing, 0.0, drawn), axis=0, ddof=min(1, len(drawn) - 1)))


def between_members(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """How far the truth may be from the mean of an ensemble's members, as far as their differences can tell.

    Members are refits of one model to resamples of people with other seeds (`train_ensemble`). As far as they lie from
    one another, the model that was fitted to these people may lie from the one of all people: that is the bootstrap. A
    further refit would differ from the mean of k by their covariance times 1 + 1/k, which k - 1 degrees of freedom
    estimate; the draws are of that multivariate t distribution. Draws of the variation within members are added to
    them, as Rubin's rules add variances within and between imputations (Rubin, 1987, "Multiple Imputation for
    Nonresponse in Surveys", equations 3.1.5 to 3.1.8).

    Args:
        values: `(members, ...)`: a statistic of each member.
        draws: Number of draws.
        seed: Random seed.

    Returns:
        `(draws, ...)` draws with mean 0; zeros for one model.
    """
    members = len(values)
    if members == 1:
        return np.zeros((draws, *values.shape[1:]))
    rng = np.random.default_rng([seed, members])
    scale = np.sqrt((1 + 1 / members) / rng.chisquare(members - 1, draws))
    return np.tensordot(rng.standard_normal((draws, members)) * scale[:, None], values - values.mean(axis=0), axes=1)


def between_spread(values: np.ndarray) -> np.ndarray:
    """`(...)` standard deviations that differences between members add, from `(members, ...)`; zeros for one model.

    Draws of `between_members` have a larger one, or none, where members are few: t distributions have long tails.
    """
    members = len(values)
    return np.sqrt((1 + 1 / members) * values.var(axis=0, ddof=min(1, members - 1)))


def combine_members(
    means: np.ndarray,
    drawn: np.ndarray,
    seed: int,
    low: np.ndarray | float,
    high: np.ndarray | float,
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of an ensemble's members, and draws of it that hold the differences between members too.

    The t distribution between members knows no bounds, and shares and means of bounded values have some. Draws, and
    with them the ends of intervals, are held to these, which takes only impossible values out of an interval. They are
    not drawn on the log-odds, as fans of shares are: two members have t draws with one degree of freedom, by which the
    interval of a share of one in ten thousand would reach from 0 to nearly 1. Statistics that are drawn with the same
    seed are paired, so that a difference is that of their draws.

    Args:
        means: `(members, ...)`: a statistic of each member.
        drawn: `(draws, members, ...)`: the same in resamples, which members share.
        seed: Random seed.
        low, high: `(...)`, or one number for all: the least and the greatest possible value.

    Returns:
        `(...)` and `(draws, ...)`; of one model its own.
    """
    together = drawn.mean(axis=1) + between_members(means, len(drawn), seed)
    return means.mean(axis=0), together.clip(low, high)


def absolute_sum_interval(
    mean: np.ndarray, drawn: np.ndarray, factor: np.ndarray, count: int
) -> tuple[float, float, float]:
    """The sum of absolute values of means, each times a factor, with a 95% interval.

    Calibration errors are such sums over bins, and so are differences between the errors of two models. Chance makes
    the absolute value of a mean that is really zero positive, and percentiles of resamples would have that twice. If e
    is the distance of a mean from the truth, its absolute value is too large by at least e times the sign of the truth
    and by at most the absolute value of e; where the mean is more than `AMBIGUOUS` standard errors from zero, by the
    former. Distances of resamples from the sample stand for e. The interval is therefore conservative where a model is
    nearly calibrated.

    Args:
        mean: `(means,)` in the sample.
        drawn: `(draws, means)` in resamples.
        factor: `(means,)`: 1 for a sum, -1 for what is subtracted, 1 / n for an average over n.
        count: Number of clusters.

    Returns:
        The sum and the ends of its interval, not below zero if no factor is; NaN ends with fewer than `FEWEST`
        clusters.
    """
    mean, drawn, factor = mean[factor != 0], drawn[:, factor != 0], factor[factor != 0]
    estimate, distance = float(factor @ np.abs(mean)), drawn - mean
    # The standard error of few clusters is too small.
    is_known = np.abs(mean) > AMBIGUOUS * np.nan_to_num(spread(drawn, max(count, FEWEST)))
    linear, most = distance * factor * np.sign(mean), np.abs(distance * factor)
    above = np.where(is_known | (factor < 0), linear, most).sum(axis=1)
    below = np.where(is_known | (factor > 0), linear, -most).sum(axis=1)
    ends = interval(np.stack([above, below], axis=1), count)
    low, high = estimate - float(ends[1][0]), estimate - float(ends[0][1])
    if (factor >= 0).all() and low < 0:
        low = 0.0
    return estimate, low, high


def interval_text(estimate: float, low: float, high: float, digits: int, sign: str = "") -> str:
    """An estimate and its interval for people to read, with a mark where clusters are too few for an interval.

    Args:
        estimate, low, high: The numbers; a missing estimate is empty.
        digits: Digits after the point.
        sign: "+" if positive numbers have a sign too, as differences have.
    """
    if np.isnan(estimate):
        return ""
    form = f"{sign}.{digits}f"
    return f"{estimate:{form}} [{TOO_FEW if np.isnan(low) else f'{low:{form}}, {high:{form}}'}]"


__all__ = [
    "AMBIGUOUS",
    "INTERVAL",
    "NOTE",
    "TOO_FEW",
    "between_members",
    "between_spread",
    "combine_members",
    "absolute_sum_interval",
    "cluster_counts",
    "interval",
    "interval_levels",
    "interval_text",
    "resample_aucs",
    "resample_means",
    "spread",
]
