"""Adjusted wage gaps: how much less a group (women) earns than others (men) with the same career.

    theta = E over the group of [E(w | group, X) - E(w | others, X)]

X is everything that is adjusted for: a representation of the career, and perhaps further columns. The names and
formulas are those of Vafa, Athey and Blei (2025), "Estimating wage disparities using foundation models", and of their
notebooks.

    outcome-only    mean over the group of mu_group(X) - mu_others(X)
    AIPW            sum of (g - (1 - g) e / (1 - e)) (w - mu_others(X)) / sum of g
    R-learner       mean of [(w - m(X)) - (g - e(X)) delta(X)]^2, an objective for choosing among estimators

mu, e and m are predictions by models that were not fitted on the rows' people (`gap_nuisances.py`, `finetuning.py`).
AIPW is right if either mu_others or e is right, and errs only by the product of their errors, so its interval need not
allow for how they were fitted. An outcome-only estimate has no such protection: its interval takes the fitted model
for granted.

The propensity e is the probability of being in the group (a woman) given a career. Where it is near 1, hardly any of
the others (men) have such a career, and estimates depend on few people: `Overlap` says on how few. Rows outside [clip,
1 - clip] can be left out, as Vafa, Athey and Blei do. This changes the population whose gap is estimated, and the
result says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from ..careers.clusters import FEWEST
from ..evaluation.resampling import interval as percentiles
from ..evaluation.resampling import resample_means
from ..figures.gaps import gap_figure
from ..number_ranges import within_ranges
from ..readable_values import ReadableResult, counted


if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIPS = (0.0, 0.01, 0.025, 0.05)
CONDITIONAL = "conditional on the fitted network"
BOOTSTRAP = "bootstrap, given predictions"
# Number of bins in the histogram of propensities.
BINS = 20


@dataclass(frozen=True)
class GapSample:
    """Person-years with a wage.

    Args:
        outcome: `(rows,)`, log wage.
        group: `(rows,)` bool: whether the person is in the group whose gap is estimated (women).
        person: `(rows,)`: the number 0, 1, ... of the person.
        features: `(rows, columns)`: what is adjusted for beside a representation; may have no columns.
        weight: `(rows,)`: survey weights, which may change over a career; ones if None.
        names: Names of the features; x0, x1, ... if empty.
        cluster: `(rows,)`: the number of the household or PSU, whose people are dependent; the person if None.
        unit: What a cluster is, in words.

    Raises:
        ValueError: Lengths differ, a value is missing, a weight is not positive, a person is in two clusters, or one
            of the two groups is empty.
    """

    outcome: np.ndarray
    group: np.ndarray
    person: np.ndarray
    features: np.ndarray
    weight: np.ndarray = field(default=None)  # type: ignore[arg-type]  # ones, see below
    names: Sequence[str] = ()
    cluster: np.ndarray = field(default=None)  # type: ignore[arg-type]  # people, see below
    unit: str = "person"

    def __post_init__(self) -> None:
        rows = len(self.outcome)
        if self.cluster is None:
            object.__setattr__(self, "cluster", self.person)
        if self.weight is None:
            object.__setattr__(self, "weight", np.ones(rows))
        object.__setattr__(self, "group", np.asarray(self.group, dtype=bool))
        object.__setattr__(self, "names", tuple(self.names) or tuple(f"x{i}" for i in range(self.features.shape[1])))
        for name in ("group", "person", "features", "weight", "cluster"):
            if len(getattr(self, name)) != rows:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows and outcome {rows}: pass the same rows")
        if len(self.names) != self.features.shape[1]:
            raise ValueError(f"there are {len(self.names)} names for {self.features.shape[1]} features")
        if not np.isfinite(self.outcome).all():
            row = int(np.flatnonzero(~np.isfinite(self.outcome))[0])
            raise ValueError(f"person {self.person[row]}, row {row}: the outcome is {self.outcome[row]}; drop the row")
        if not np.isfinite(self.features).all():
            row, column = np.argwhere(~np.isfinite(self.features))[0]
            raise ValueError(
                f"person {self.person[row]}, row {row}: feature '{self.names[column]}' is missing; impute or drop it"
            )
        if not (self.weight > 0).all():
            row = int(np.flatnonzero(~(self.weight > 0))[0])
            raise ValueError(
                f"person {self.person[row]}, row {row}: weight {self.weight[row]} is not positive; drop the row"
            )
        if (twice := torn(self.person, self.cluster)) is not None:
            raise ValueError(f"person {twice} is in two clusters: give all rows of a person the same cluster")
        if self.group.all() or not self.group.any():
            raise ValueError("a gap needs rows in the group and rows outside it: one of the two is empty")

    def take(self, rows: np.ndarray) -> GapSample:
        """The rows in a mask, or at some places; people keep their numbers."""
        names = ("outcome", "group", "person", "features", "weight", "cluster")
        arrays = {name: getattr(self, name)[rows] for name in names}
        return GapSample(**arrays, names=self.names, unit=self.unit)

    def with_features(self, features: np.ndarray, names: Sequence[str] = ()) -> GapSample:
        """The same rows with other features."""
        return replace(self, features=features, names=tuple(names))


def torn(inner: np.ndarray, outer: np.ndarray) -> int | None:
    """The first unit, by number, whose rows are in two outer units; None if there is none."""
    pairs = np.unique(np.column_stack([inner, outer]), axis=0)
    twice = pairs[1:][pairs[1:, 0] == pairs[:-1, 0]]
    return int(twice[0, 0]) if len(twice) else None


@dataclass(frozen=True)
class Nuisances:
    """Predictions that estimators need for each row, by models that were not fitted on its person.

    Args:
        group: `(rows,)`, E[w | group, X].
        others: `(rows,)`, E[w | others, X]; rows of the group have it too.
        propensity: `(rows,)`, P(group | X).
    """

    group: np.ndarray
    others: np.ndarray
    propensity: np.ndarray

    @property
    def difference(self) -> np.ndarray:
        """delta(X), the gap of each row."""
        return self.group - self.others

    @property
    def marginal(self) -> np.ndarray:
        """m(X) = E[w | X], whichever group the person is in."""
        return self.propensity * self.group + (1 - self.propensity) * self.others


@dataclass(frozen=True)
class Overlap:
    """How comparable the group and the others are; rows are person-years.

    Args:
        histogram: Survey weight by propensity, with columns low, high, group and others; the last two each sum to 1.
        clip: Rows with a propensity outside [clip, 1 - clip] are left out; 0 keeps all.
        clipped: Share of rows left out.
        group_clipped: Share of the group's survey weight left out.
        effective_people: Effective number (Kish) of the others, weighted to look like the group. Weights are first
            summed by person, because a person's rows are no independent evidence.
        others_people: Number of people among the others.
        balance: One row per feature: mean of the group minus mean of the others, `raw` and `weighted` by the odds of
            the propensity, divided by the root of the mean of both groups' variances.
    """

    histogram: pd.DataFrame
    clip: float
    clipped: float
    group_clipped: float
    effective_people: float
    others_people: int
    balance: pd.DataFrame

    @property
    def population(self) -> str:
        """The population whose gap is estimated, in words."""
        if self.group_clipped == 0:
            return "the whole group"
        return (
            f"people of the group with a propensity between {self.clip:g} and {1 - self.clip:g}, "
            f"{1 - self.group_clipped:.1%} of it"
        )


def kept_rows(propensity: np.ndarray, clip: float) -> np.ndarray:
    """`(rows,)` bool: whether the propensity is within [clip, 1 - clip].

    Raises:
        ValueError: The clip is not in [0, 0.5), or a propensity is not a probability or is 1.
    """
    if not 0 <= clip < 0.5:
        raise ValueError(f"clip must be at least 0 and below 0.5, not {clip}")
    if not ((propensity >= 0) & (propensity <= 1)).all():
        invalid = propensity[~((propensity >= 0) & (propensity <= 1))][0]
        raise ValueError(f"a propensity is a probability, and {invalid} is none: is it a logit?")
    within = (propensity >= clip) & (propensity <= 1 - clip)
    if certain := int((propensity[within] == 1).sum()):
        raise ValueError(
            f"{certain} rows have a propensity of 1: there is nobody to compare them with. "
            "Pass a clip above 0, or leave out the features that give the group away"
        )
    return within


def overlap(sample: GapSample, propensity: np.ndarray, clip: float = 0.0) -> Overlap:
    """How comparable the group and the others of a sample are.

    Args:
        sample: Person-years.
        propensity: `(rows,)`, probability of being in the group.
        clip: Rows outside [clip, 1 - clip] are left out.

    Raises:
        ValueError: As in `kept_rows`, or the clip leaves no row of the group or no row of the others.
    """
    within, group = kept_rows(propensity, clip), sample.group
    sides = {"group": group, "others": ~group}
    for name, side in sides.items():
        if not (within & side).any():
            raise ValueError(f"no row of the {name} has a propensity within [{clip}, {1 - clip}]: take a smaller clip")
    edges = np.linspace(0, 1, BINS + 1)
    counts = {
        name: np.histogram(propensity[side], edges, weights=sample.weight[side])[0] / sample.weight[side].sum()
        for name, side in sides.items()
    }
    women, men = within & group, within & ~group
    odds = sample.weight[men] * propensity[men] / (1 - propensity[men])
    by_person = np.bincount(sample.person[men], weights=odds)
    x, w = sample.features, sample.weight
    women_mean, men_mean = (np.average(x[rows], axis=0, weights=w[rows]) for rows in (women, men))
    variances = [
        np.average((x[rows] - mean) ** 2, axis=0, weights=w[rows])
        for rows, mean in ((women, women_mean), (men, men_mean))
    ]
    spread = np.sqrt(np.mean(variances, axis=0))
    differences = women_mean - men_mean, women_mean - np.average(x[men], axis=0, weights=odds)
    # A column that does not vary in either group has no unit, and differs at most by rounding.
    raw, weighted = (np.divide(d, spread, out=np.zeros_like(d), where=spread > 1e-9) for d in differences)
    return Overlap(
        histogram=pd.DataFrame({"low": edges[:-1], "high": edges[1:], **counts}),
        clip=clip,
        clipped=float(1 - within.mean()),
        group_clipped=float(w[group & ~within].sum() / w[group].sum()),
        effective_people=float(by_person.sum() ** 2 / (by_person**2).sum()) if by_person.any() else 0.0,
        others_people=len(np.unique(sample.person[men])),
        balance=pd.DataFrame({"raw": raw, "weighted": weighted}, index=list(sample.names)),
    )


@dataclass(frozen=True)
class GapEstimate:
    """One estimate of a gap.

    Args:
        estimator: Name of the estimator.
        adjusted_for: The content of X, in words.
        estimate: Log points, group minus others.
        standard_error: Standard error of the estimate.
        low, high: Ends of the 95% interval; NaN where there are too few clusters for one.
        interval: What the interval covers, and what it is clustered by.
        rows, people, clusters: Numbers of person-years, people and clusters behind the estimate.
        overlap: How comparable the two groups are; None where nothing is adjusted for.
        r_loss: R-learner objective; NaN where it was not computed.
        seed_sd: Standard deviation of estimates over training seeds; NaN where there is one seed.
        incomparable: Share of the group's weight that is left out because none of the others has its level of a
            feature.
        influence: `(rows of the whole sample,)`: influence of each row, zero for rows left out; None if not known.
    """

    estimator: str
    adjusted_for: str
    estimate: float
    standard_error: float
    low: float
    high: float
    interval: str
    rows: int
    people: int
    clusters: int
    overlap: Overlap | None = None
    r_loss: float = np.nan
    seed_sd: float = np.nan
    incomparable: float = 0.0
    influence: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def ratio(self) -> float:
        """The group's wage divided by the wage of the others, as in Table 2 of the paper."""
        return float(np.exp(self.estimate))

    @property
    def population(self) -> str:
        """The population whose gap is estimated, in words."""
        if self.incomparable:
            return f"people of the group with levels that some of the others have, {1 - self.incomparable:.1%} of it"
        return "the whole group" if self.overlap is None else self.overlap.population


@dataclass(frozen=True, repr=False)
class GapResult(ReadableResult):
    """Estimates of one gap by several estimators.

    Args:
        estimates: Estimates of the gap.
        group, others: Names of the two groups.
        cluster: `(rows,)`: the cluster of each row of the sample that all estimates are about, by which their
            differences are paired; None without differences.
        baseline: Estimator and what it adjusted for, from which the others are subtracted in `to_frame`.
        bootstrap, seed: Number of resamples of clusters behind intervals of differences, and their random seed; 0
            takes intervals of the influence functions.
    """

    estimates: Sequence[GapEstimate]
    group: str = "group"
    others: str = "others"
    cluster: np.ndarray | None = None
    baseline: tuple[str, str] | None = None
    bootstrap: int = 0
    seed: int = 0

    def to_frame(self) -> pd.DataFrame:
        """One row per estimate; with numbers about overlap where something is adjusted for.

        Where there is a baseline, difference is the estimate minus the baseline's, with an interval paired by person
        or household: whether two estimates differ is not to be read from their own intervals.
        """
        rows, base = [], self._baseline()
        for estimate in self.estimates:
            row = {
                "adjusted_for": estimate.adjusted_for,
                "estimator": estimate.estimator,
                "clip": np.nan if estimate.overlap is None else estimate.overlap.clip,
                "estimate": estimate.estimate,
                "standard_error": estimate.standard_error,
                "low": estimate.low,
                "high": estimate.high,
                "ratio": estimate.ratio,
                "interval": estimate.interval,
                **({} if base is None else self._difference(estimate, base)),
                "seed_sd": estimate.seed_sd,
                "r_loss": estimate.r_loss,
                "rows": estimate.rows,
                "people": estimate.people,
                "clusters": estimate.clusters,
            }
            if estimate.overlap is not None:
                worst = estimate.overlap.balance.abs().max()
                row |= {
                    "clipped": estimate.overlap.clipped,
                    "group_clipped": estimate.overlap.group_clipped,
                    "others_people": estimate.overlap.others_people,
                    "effective_people": estimate.overlap.effective_people,
                    "imbalance": worst["raw"],
                    "imbalance_weighted": worst["weighted"],
                }
            rows.append(row | {"population": estimate.population})
        return pd.DataFrame(rows)

    def differences(self) -> pd.DataFrame:
        """Every pair of estimates: columns adjusted_for, estimator, the same with minus_, and those of the difference.

        Estimates are of the same people, so the influence of each row on one is subtracted from that on the other, and
        summed by cluster. Differences with an outcome-only estimate take its fitted network for granted.
        """
        pairs = combinations([estimate for estimate in self.estimates if estimate.influence is not None], 2)
        rows = []
        for first, second in pairs if self.cluster is not None else ():
            names = {"adjusted_for": second.adjusted_for, "estimator": second.estimator}
            names |= {"minus_adjusted_for": first.adjusted_for, "minus_estimator": first.estimator}
            rows.append(names | self._difference(second, first))
        return pd.DataFrame(rows)

    def _baseline(self) -> GapEstimate | None:
        if self.baseline is None:
            return None
        named = [e for e in self.estimates if (e.estimator, e.adjusted_for) == self.baseline]
        if not named:
            known = ", ".join(f"{e.estimator} ({e.adjusted_for})" for e in self.estimates)
            raise ValueError(f"there is no estimate {self.baseline[0]} ({self.baseline[1]}), only {known}")
        return named[0]

    def _difference(self, estimate: GapEstimate, base: GapEstimate) -> dict[str, float]:
        """Estimate minus baseline, with its paired standard error and interval."""
        names = ("difference", "difference_standard_error", "difference_low", "difference_high")
        if estimate is base or estimate.influence is None or base.influence is None or self.cluster is None:
            return dict.fromkeys(names, np.nan)
        difference, influence = estimate.estimate - base.estimate, estimate.influence - base.influence
        error = clustered_error(influence, self.cluster)
        low, high = interval(difference, error, self.cluster)
        if self.bootstrap and not np.isnan(error):
            drawn = difference + _drawn_sums(influence, self.cluster, self.bootstrap, self.seed)
            error = float(drawn.std(ddof=1))
            low, high = map(float, percentiles(drawn, len(np.unique(self.cluster))))
        return dict(zip(names, (difference, error, float(low), float(high)), strict=True))

    def propensities(self) -> pd.DataFrame:
        """Histograms of propensities: columns adjusted_for, low, high, group and others."""
        parts = [each.histogram.assign(adjusted_for=name) for name, each in self._overlaps().items()]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def balance(self) -> pd.DataFrame:
        """Imbalances of features, which are the index: columns adjusted_for, raw and weighted."""
        parts = [each.balance.assign(adjusted_for=name) for name, each in self._overlaps().items()]
        return pd.concat(parts) if parts else pd.DataFrame()

    def figure(self) -> Figure:
        """Estimates with intervals, propensities of both groups, and balance before and after weighting."""
        return gap_figure(self.to_frame(), self.propensities(), self.balance(), group=self.group, others=self.others)

    def _overlaps(self) -> dict[str, Overlap]:
        """The overlap of the first estimate with each content of X, by that content."""
        overlaps: dict[str, Overlap] = {}
        for estimate in self.estimates:
            if estimate.overlap is not None:
                overlaps.setdefault(estimate.adjusted_for, estimate.overlap)
        return overlaps


def raw_gap(sample: GapSample) -> GapEstimate:
    """Mean of the group minus mean of the others, without adjustment."""
    w, y = sample.weight, sample.outcome
    group_weight, others_weight = sample.group * w, ~sample.group * w
    means = [(side * y).sum() / side.sum() for side in (group_weight, others_weight)]
    influence = (
        group_weight * (y - means[0]) / group_weight.sum() - others_weight * (y - means[1]) / others_weight.sum()
    )
    return _estimate("raw", "nothing", means[0] - means[1], influence, sample)


@within_ranges
def aipw_gap(
    sample: GapSample,
    nuisances: Nuisances,
    *,
    adjusted_for: str = "X",
    clip: float = 0.0,
    bootstrap: int = 0,
    seed: int = 0,
) -> GapEstimate:
    """The cross-fitted orthogonal estimate, in the form of an average over the group (ATT).

    Args:
        sample: Person-years.
        nuisances: Predictions for the same rows, by models that were not fitted on their people.
        adjusted_for: The content of X, in words.
        clip: Rows with a propensity outside [clip, 1 - clip] are left out, which changes the population of the gap.
        bootstrap: Number of resamples of people behind the interval; 0 takes the influence function's interval.
        seed: Random seed of the resamples.

    Raises:
        ValueError: As in `overlap`.
    """
    return _adjusted_gap("AIPW", sample, nuisances, adjusted_for, clip, bootstrap, seed)


@within_ranges
def outcome_only_gap(
    sample: GapSample,
    nuisances: Nuisances,
    *,
    adjusted_for: str = "X",
    clip: float = 0.0,
    bootstrap: int = 0,
    seed: int = 0,
) -> GapEstimate:
    """Mean over the group of the predicted difference; arguments as in `aipw_gap`.

    The interval covers the drawing of people into the group, but not that of the people whom the network was fitted
    on.
    """
    return _adjusted_gap("outcome-only", sample, nuisances, adjusted_for, clip, bootstrap, seed)


def r_loss(sample: GapSample, difference: np.ndarray, marginal: np.ndarray, propensity: np.ndarray) -> float:
    """The R-learner objective, lower is better: how well differences explain wage residuals by group residuals.

    Args:
        sample: Person-years.
        difference: `(rows,)`, delta(X) of the estimator to be judged.
        marginal, propensity: `(rows,)`, m(X) and e(X), the same for all estimators that are compared.
    """
    residual = (sample.outcome - marginal) - (sample.group - propensity) * difference
    return float(np.average(residual**2, weights=sample.weight))


def sensitivity(
    sample: GapSample, nuisances: Nuisances, *, adjusted_for: str = "X", clips: Sequence[float] = CLIPS
) -> GapResult:
    """AIPW and outcome-only estimates at several clips: how much depends on careers that few of the others have."""
    return GapResult(
        [
            estimator(sample, nuisances, adjusted_for=adjusted_for, clip=clip)
            for estimator in (outcome_only_gap, aipw_gap)
            for clip in clips
        ]
    )


def clustered_error(influence: np.ndarray, cluster: np.ndarray) -> float:
    """Standard error of an estimate from the influence of each row, where rows of a cluster are dependent.

    Args:
        influence: `(rows,)`: the influence of each row; it sums to zero.
        cluster: `(rows,)`: the number of the person, household or PSU.

    Returns:
        The error; NaN where there are fewer than `FEWEST` clusters.
    """
    _, codes = np.unique(cluster, return_inverse=True)
    sums = np.bincount(codes, weights=influence)
    if len(sums) < FEWEST:
        return float("nan")
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()))


def interval(estimate: float, error: float, cluster: np.ndarray) -> tuple[float, float]:
    """The 95% interval, from Student's t with clusters less one degrees of freedom."""
    half = float(stats.t.ppf(0.975, max(len(np.unique(cluster)) - 1, 1))) * error
    return float(estimate - half), float(estimate + half)


def _adjusted_gap(
    estimator: str, sample: GapSample, nuisances: Nuisances, adjusted_for: str, clip: float, bootstrap: int, seed: int
) -> GapEstimate:
    comparable = overlap(sample, nuisances.propensity, clip)
    within = kept_rows(nuisances.propensity, clip)
    part, w, e = sample.take(within), sample.weight[within], nuisances.propensity[within]
    if estimator == "AIPW":
        contrast = np.where(part.group, 1.0, -e / (1 - e)) * (part.outcome - nuisances.others[within])
    else:
        contrast = part.group * nuisances.difference[within]
    theta = (w * contrast).sum() / (w * part.group).sum()
    influence = w * (contrast - theta * part.group) / (w * part.group).sum()
    label = "" if estimator == "AIPW" else CONDITIONAL
    estimate = _estimate(estimator, adjusted_for, theta, influence, part, label, comparable)
    whole = np.zeros(len(within))
    whole[within] = influence
    estimate = replace(estimate, influence=whole)
    return _bootstrapped(estimate, part, contrast, label, bootstrap, seed) if bootstrap else estimate


def _estimate(
    estimator: str,
    adjusted_for: str,
    theta: float,
    influence: np.ndarray,
    sample: GapSample,
    label: str = "",
    comparable: Overlap | None = None,
) -> GapEstimate:
    error = clustered_error(influence, sample.cluster)
    low, high = interval(theta, error, sample.cluster)
    return GapEstimate(
        estimator=estimator,
        adjusted_for=adjusted_for,
        estimate=float(theta),
        standard_error=error,
        low=low,
        high=high,
        interval=_label(sample, label),
        rows=len(sample.outcome),
        people=len(np.unique(sample.person)),
        clusters=len(np.unique(sample.cluster)),
        overlap=comparable,
        influence=influence,
    )


def _label(sample: GapSample, *parts: str) -> str:
    """What an interval covers, in words."""
    if (count := len(np.unique(sample.cluster))) < FEWEST:
        return f"no interval: {counted(count, 'cluster')} ({sample.unit}), at least {FEWEST} are needed"
    return ", ".join([part for part in parts if part] + [f"clustered by {sample.unit}"])


def _bootstrapped(
    estimate: GapEstimate, sample: GapSample, contrast: np.ndarray, label: str, draws: int, seed: int
) -> GapEstimate:
    """The same estimate, with error and interval from resampling clusters; predictions stay as they are."""
    if np.isnan(estimate.standard_error):
        return estimate
    _, cluster = np.unique(sample.cluster, return_inverse=True)
    columns = np.column_stack([contrast, sample.group])
    _, means = resample_means(columns, sample.weight, cluster, np.zeros_like(cluster), draws=draws, seed=seed)
    drawn = means[:, 0, 0] / means[:, 0, 1]
    low, high = percentiles(drawn, len(np.unique(sample.cluster)))
    return replace(
        estimate,
        standard_error=float(drawn.std(ddof=1)),
        low=float(low),
        high=float(high),
        interval=_label(sample, BOOTSTRAP, label),
    )


def _drawn_sums(influence: np.ndarray, cluster: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """`(draws,)`: the sum of influences in every resample of clusters."""
    _, codes = np.unique(cluster, return_inverse=True)
    sums = np.bincount(codes, weights=influence)
    ones = np.ones(len(sums))
    _, means = resample_means(
        sums[:, None], ones, np.arange(len(sums)), np.zeros(len(sums), dtype=int), draws=draws, seed=seed
    )
    return means[:, 0, 0] * len(sums)


__all__ = [
    "BINS",
    "BOOTSTRAP",
    "CLIPS",
    "CONDITIONAL",
    "GapEstimate",
    "GapResult",
    "GapSample",
    "Nuisances",
    "Overlap",
    "aipw_gap",
    "clustered_error",
    "interval",
    "kept_rows",
    "outcome_only_gap",
    "overlap",
    "r_loss",
    "raw_gap",
    "sensitivity",
    "torn",
]
