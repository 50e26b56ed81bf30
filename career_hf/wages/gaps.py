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
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..evaluation.resampling import resample_means
from ..figures.gaps import gap_figure
from ..number_ranges import within_ranges
from ..readable_values import ReadableResult


if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIPS = (0.0, 0.01, 0.025, 0.05)
CLUSTERED = "clustered by person"
CONDITIONAL = "conditional on the fitted network, clustered by person"
BOOTSTRAP = "bootstrap of people, given predictions"
Z = 1.959964
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
        weight: `(rows,)`: survey weights; ones if None.
        names: Names of the features; x0, x1, ... if empty.

    Raises:
        ValueError: Lengths differ, a value is missing, a weight is not positive, or one of the two groups is empty.
    """

    outcome: np.ndarray
    group: np.ndarray
    person: np.ndarray
    features: np.ndarray
    weight: np.ndarray = field(default=None)  # type: ignore[arg-type]  # ones, see below
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        rows = len(self.outcome)
        if self.weight is None:
            object.__setattr__(self, "weight", np.ones(rows))
        object.__setattr__(self, "group", np.asarray(self.group, dtype=bool))
        object.__setattr__(self, "names", tuple(self.names) or tuple(f"x{i}" for i in range(self.features.shape[1])))
        for name in ("group", "person", "features", "weight"):
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
            raise ValueError(f"person {self.person[row]}, row {row}: weight {self.weight[row]} is not positive")
        if self.group.all() or not self.group.any():
            raise ValueError("a gap needs rows in the group and rows outside it: one of the two is empty")

    def take(self, rows: np.ndarray) -> GapSample:
        """The rows in a mask, or at some places; people keep their numbers."""
        arrays = {name: getattr(self, name)[rows] for name in ("outcome", "group", "person", "features", "weight")}
        return GapSample(**arrays, names=self.names)

    def with_features(self, features: np.ndarray, names: Sequence[str] = ()) -> GapSample:
        """The same rows with other features."""
        return GapSample(self.outcome, self.group, self.person, features, self.weight, names)


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
        low, high: Ends of the 95% interval.
        interval: What the interval covers.
        rows, people: Numbers of person-years and people behind the estimate.
        overlap: How comparable the two groups are; None where nothing is adjusted for.
        r_loss: R-learner objective; NaN where it was not computed.
        seed_sd: Standard deviation of estimates over training seeds; NaN where there is one seed.
        incomparable: Share of the group's weight that is left out because none of the others has its level of a
            feature.
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
    overlap: Overlap | None = None
    r_loss: float = np.nan
    seed_sd: float = np.nan
    incomparable: float = 0.0

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
    """

    estimates: Sequence[GapEstimate]
    group: str = "group"
    others: str = "others"

    def to_frame(self) -> pd.DataFrame:
        """One row per estimate; with numbers about overlap where something is adjusted for."""
        rows = []
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
                "seed_sd": estimate.seed_sd,
                "r_loss": estimate.r_loss,
                "rows": estimate.rows,
                "people": estimate.people,
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
    return _estimate("raw", "nothing", means[0] - means[1], influence, sample, CLUSTERED)


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


def people_clustered(influence: np.ndarray, person: np.ndarray) -> float:
    """Standard error of an estimate from the influence of each row, where rows of a person are dependent.

    Args:
        influence: `(rows,)`: the influence of each row; it sums to zero.
        person: `(rows,)`: the number of the person.
    """
    _, codes = np.unique(person, return_inverse=True)
    sums = np.bincount(codes, weights=influence)
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()))


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
    interval = CLUSTERED if estimator == "AIPW" else CONDITIONAL
    estimate = _estimate(estimator, adjusted_for, theta, influence, part, interval, comparable)
    return _bootstrapped(estimate, part, contrast, bootstrap, seed) if bootstrap else estimate


def _estimate(
    estimator: str,
    adjusted_for: str,
    theta: float,
    influence: np.ndarray,
    sample: GapSample,
    interval: str,
    comparable: Overlap | None = None,
) -> GapEstimate:
    error = people_clustered(influence, sample.person)
    return GapEstimate(
        estimator=estimator,
        adjusted_for=adjusted_for,
        estimate=float(theta),
        standard_error=error,
        low=float(theta - Z * error),
        high=float(theta + Z * error),
        interval=interval,
        rows=len(sample.outcome),
        people=len(np.unique(sample.person)),
        overlap=comparable,
    )


def _bootstrapped(
    estimate: GapEstimate, sample: GapSample, contrast: np.ndarray, draws: int, seed: int
) -> GapEstimate:
    """The same estimate, with error and interval from resampling people; predictions stay as they are."""
    _, person = np.unique(sample.person, return_inverse=True)
    columns = np.column_stack([contrast, sample.group])
    _, means = resample_means(columns, sample.weight, person, np.zeros_like(person), draws=draws, seed=seed)
    drawn = means[:, 0, 0] / means[:, 0, 1]
    low, high = np.quantile(drawn, [0.025, 0.975])
    label = BOOTSTRAP if estimate.interval == CLUSTERED else f"{BOOTSTRAP}, conditional on the fitted network"
    return replace(estimate, standard_error=float(drawn.std(ddof=1)), low=float(low), high=float(high), interval=label)


__all__ = [
    "BINS",
    "BOOTSTRAP",
    "CLIPS",
    "CLUSTERED",
    "CONDITIONAL",
    "GapEstimate",
    "GapResult",
    "GapSample",
    "Nuisances",
    "Overlap",
    "aipw_gap",
    "kept_rows",
    "outcome_only_gap",
    "overlap",
    "people_clustered",
    "r_loss",
    "raw_gap",
    "sensitivity",
]
