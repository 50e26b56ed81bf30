"""Adjusted wage gaps: how much less a group (women) earns than others with the same career.

    theta = E over the group of [E(w | group, X) - E(w | others, X)]

X is all that is adjusted for: a representation of the career, and perhaps further columns. The names and formulas are
those of Vafa, Athey and Blei (2025), "Estimating wage disparities using foundation models", and of their notebooks.

    outcome-only    mean over the group of mu_group(X) - mu_others(X)
    AIPW            sum of (g - (1 - g) e / (1 - e)) (w - mu_others(X)) / sum of g
    R-learner       objective: mean of [(w - m(X)) - (g - e(X)) delta(X)]^2, for choosing among estimators

mu, e and m are predictions for rows of people who were not fitted on (`gap_nuisances.py`, `finetuning.py`). AIPW is
right if either mu_others or e is, and errs only by the product of their errors, so its interval need not know how they
were found. An outcome-only estimate has no such protection: its interval takes the fitted model for granted.

The propensity e is the probability of being in the group (a woman) given a career. Where it is near 1 there is hardly
anybody (a man) with such a career, and estimates hang on few people: overlap says how few. Rows outside
[clip, 1 - clip] can be left out, as Vafa, Athey and Blei do; that changes whose gap is estimated, and the result says
so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..evaluation.resampling import resample_means
from ..figures.gaps import gap_figure


if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLIPS = (0.0, 0.01, 0.025, 0.05)
CLUSTERED = "clustered by person"
CONDITIONAL = "conditional on the fitted network, clustered by person"
BOOTSTRAP = "bootstrap of people, given predictions"
Z = 1.959964
# Bins of the histogram of propensities.
BINS = 20


@dataclass(frozen=True)
class GapSample:
    """Person-years with a wage.

    Args:
        outcome: `(rows,)`, log wage.
        group: `(rows,)` bool, whether the person is in the group whose gap is asked for (women).
        person: `(rows,)`, numbers 0, 1, ... of people.
        features: `(rows, columns)`, what is adjusted for beside a representation; may have no columns.
        weight: `(rows,)`, survey weight; ones unless given.
        names: Names of the features; x0, x1, ... unless given.

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
            raise ValueError(f"there are {len(self.names)} names of {self.features.shape[1]} features")
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
        """Some rows, from a mask or places; people keep their numbers."""
        arrays = {name: getattr(self, name)[rows] for name in ("outcome", "group", "person", "features", "weight")}
        return GapSample(**arrays, names=self.names)

    def with_features(self, features: np.ndarray, names: Sequence[str] = ()) -> GapSample:
        """The same rows with other features."""
        return GapSample(self.outcome, self.group, self.person, features, self.weight, names)


@dataclass(frozen=True)
class Nuisances:
    """What estimators need to know of each row, from models that were not fitted on its person.

    Args:
        group: `(rows,)`, E[w | group, X].
        others: `(rows,)`, E[w | others, X], for rows of the group too.
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
        """m(X) = E[w | X], whoever it is."""
        return self.propensity * self.group + (1 - self.propensity) * self.others


@dataclass(frozen=True)
class Overlap:
    """How comparable a group and the others are; rows are person-years.

    Args:
        histogram: Survey weight by propensity: columns low, high, group and others, each of the two summing to 1.
        clip: Rows with a propensity outside [clip, 1 - clip] are left out; 0 keeps all.
        clipped: Share of rows left out.
        group_clipped: Share of the group's survey weight left out.
        effective_people: Effective number (Kish) of the others, weighted to look like the group: their weights are
            summed by person first, as a person's rows are no independent evidence.
        others_people: How many they are.
        balance: One row per feature: means of the group minus those of the others, `raw` and `weighted` by the odds of
            the propensity, over the root of the mean of both groups' variances.
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
        """Whose gap it is, in words."""
        if self.group_clipped == 0:
            return "the whole group"
        return (
            f"those of the group with a propensity between {self.clip:g} and {1 - self.clip:g}, "
            f"{1 - self.group_clipped:.1%} of it"
        )


def kept_rows(propensity: np.ndarray, clip: float) -> np.ndarray:
    """Which rows have a propensity within [clip, 1 - clip], `(rows,)` bool.

    Raises:
        ValueError: The clip is not in [0, 0.5), or a propensity is not a probability or is 1.
    """
    if not 0 <= clip < 0.5:
        raise ValueError(f"clip must be at least 0 and below 0.5, not {clip}")
    if not ((propensity >= 0) & (propensity <= 1)).all():
        bad = propensity[~((propensity >= 0) & (propensity <= 1))][0]
        raise ValueError(f"a propensity is a probability, and {bad} is none: is it a logit?")
    within = (propensity >= clip) & (propensity <= 1 - clip)
    if certain := int((propensity[within] == 1).sum()):
        raise ValueError(
            f"{certain} rows have a propensity of 1: there is nobody to compare them with. "
            "Pass a clip above 0, or leave out what gives the group away"
        )
    return within


def overlap(sample: GapSample, propensity: np.ndarray, clip: float = 0.0) -> Overlap:
    """Overlap of a sample.

    Args:
        sample: Person-years.
        propensity: `(rows,)`, probability of being in the group.
        clip: Rows outside [clip, 1 - clip] are left out.

    Raises:
        ValueError: As in `kept_rows`, or nobody is left of the group or of the others.
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
    mean_of_women, mean_of_men = (np.average(x[rows], axis=0, weights=w[rows]) for rows in (women, men))
    variances = [
        np.average((x[rows] - mean) ** 2, axis=0, weights=w[rows])
        for rows, mean in ((women, mean_of_women), (men, mean_of_men))
    ]
    spread = np.sqrt(np.mean(variances, axis=0))
    differences = mean_of_women - mean_of_men, mean_of_women - np.average(x[men], axis=0, weights=odds)
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
        adjusted_for: What X is, in words.
        estimate: Log points, group minus others.
        standard_error: Standard error of the estimate.
        low, high: Ends of the 95% interval.
        interval: What the interval covers.
        rows, people: Numbers of person-years and people behind the estimate.
        overlap: How comparable the two groups are; None where nothing is adjusted for.
        r_loss: R-learner objective, where it was computed.
        seed_sd: Standard deviation over training seeds, where there are several.
        incomparable: Share of the group's weight left out because none of the others has its level of a feature.
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
        """The group's wage over that of the others, as Table 2 of the paper has it."""
        return float(np.exp(self.estimate))

    @property
    def population(self) -> str:
        """Whose gap it is, in words."""
        if self.incomparable:
            return f"those of the group with levels that some of the others have, {1 - self.incomparable:.1%} of it"
        return "the whole group" if self.overlap is None else self.overlap.population


@dataclass(frozen=True)
class GapResult:
    """Estimates of one gap by several estimators.

    Args:
        estimates: Estimates of the gap.
        group, others: Names of the two groups.
    """

    estimates: Sequence[GapEstimate]
    group: str = "group"
    others: str = "others"

    def to_frame(self) -> pd.DataFrame:
        """One row per estimate, with numbers about its overlap where something is adjusted for."""
        rows = []
        for e in self.estimates:
            row = {
                "adjusted_for": e.adjusted_for,
                "estimator": e.estimator,
                "clip": np.nan if e.overlap is None else e.overlap.clip,
                "estimate": e.estimate,
                "standard_error": e.standard_error,
                "low": e.low,
                "high": e.high,
                "ratio": e.ratio,
                "interval": e.interval,
                "seed_sd": e.seed_sd,
                "r_loss": e.r_loss,
                "rows": e.rows,
                "people": e.people,
            }
            if e.overlap is not None:
                worst = e.overlap.balance.abs().max()
                row |= {
                    "clipped": e.overlap.clipped,
                    "group_clipped": e.overlap.group_clipped,
                    "others_people": e.overlap.others_people,
                    "effective_people": e.overlap.effective_people,
                    "imbalance": worst["raw"],
                    "imbalance_weighted": worst["weighted"],
                }
            rows.append(row | {"population": e.population})
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
        """The first overlap of everything that is adjusted for."""
        overlaps: dict[str, Overlap] = {}
        for estimate in self.estimates:
            if estimate.overlap is not None:
                overlaps.setdefault(estimate.adjusted_for, estimate.overlap)
        return overlaps


def raw_gap(sample: GapSample) -> GapEstimate:
    """Mean of the group minus mean of the others, nothing adjusted for."""
    w, y = sample.weight, sample.outcome
    group_weight, others_weight = sample.group * w, ~sample.group * w
    means = [(side * y).sum() / side.sum() for side in (group_weight, others_weight)]
    influence = (
        group_weight * (y - means[0]) / group_weight.sum() - others_weight * (y - means[1]) / others_weight.sum()
    )
    return _estimate("raw", "nothing", means[0] - means[1], influence, sample, CLUSTERED)


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
        adjusted_for: What X is, in words.
        clip: Rows with a propensity outside [clip, 1 - clip] are left out, and the gap is that of those left.
        bootstrap: Number of resamples of people behind the interval; 0 takes the influence function's interval.
        seed: Random seed of the resamples.

    Raises:
        ValueError: As in `overlap`.
    """
    comparable = overlap(sample, nuisances.propensity, clip)
    within = kept_rows(nuisances.propensity, clip)
    part, w, e = sample.take(within), sample.weight[within], nuisances.propensity[within]
    contrast = np.where(part.group, 1.0, -e / (1 - e)) * (part.outcome - nuisances.others[within])
    theta = (w * contrast).sum() / (w * part.group).sum()
    influence = w * (contrast - theta * part.group) / (w * part.group).sum()
    estimate = _estimate("AIPW", adjusted_for, theta, influence, part, CLUSTERED, comparable)
    return _bootstrapped(estimate, part, contrast, bootstrap, seed) if bootstrap else estimate


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

    Its interval covers who was drawn into the group, and not that another network would have been fitted to others.
    """
    comparable = overlap(sample, nuisances.propensity, clip)
    within = kept_rows(nuisances.propensity, clip)
    part, w = sample.take(within), sample.weight[within]
    contrast = part.group * nuisances.difference[within]
    theta = (w * contrast).sum() / (w * part.group).sum()
    influence = w * (contrast - theta * part.group) / (w * part.group).sum()
    estimate = _estimate("outcome-only", adjusted_for, theta, influence, part, CONDITIONAL, comparable)
    return _bootstrapped(estimate, part, contrast, bootstrap, seed) if bootstrap else estimate


def r_loss(sample: GapSample, difference: np.ndarray, marginal: np.ndarray, propensity: np.ndarray) -> float:
    """The R-learner objective, lower is better: how well differences explain what is left of wages by what is left of
    the group.

    Args:
        sample: Person-years.
        difference: `(rows,)`, delta(X) of the estimator to be judged.
        marginal, propensity: `(rows,)`, m(X) and e(X), the same for all that are compared.
    """
    left = (sample.outcome - marginal) - (sample.group - propensity) * difference
    return float(np.average(left**2, weights=sample.weight))


def sensitivity(
    sample: GapSample, nuisances: Nuisances, *, adjusted_for: str = "X", clips: Sequence[float] = CLIPS
) -> GapResult:
    """Both estimates at several clips: how much hangs on careers that hardly any of the others have."""
    return GapResult(
        [
            estimator(sample, nuisances, adjusted_for=adjusted_for, clip=clip)
            for estimator in (outcome_only_gap, aipw_gap)
            for clip in clips
        ]
    )


def people_clustered(influence: np.ndarray, person: np.ndarray) -> float:
    """Standard error from the influence of each row on an estimate, rows of a person being dependent.

    Args:
        influence: `(rows,)` or `(rows, estimates)`, sums to zero.
        person: `(rows,)`, numbers.
    """
    _, codes = np.unique(person, return_inverse=True)
    sums = np.bincount(codes, weights=influence)
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()))


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
    """The same estimate with error and interval from resampling people; predictions stay as they are."""
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
