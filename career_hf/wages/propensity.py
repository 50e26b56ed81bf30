"""Overlap: whether every member of a group has somebody to be compared with, and what is done where nobody is.

The propensity is the probability of being in the group (a woman) given a career. Where it is near 1 there is hardly
anybody (a man) with such a career, and estimates hang on few people. Rows outside [clip, 1 - clip] can be left out, as
Vafa, Athey and Blei do; that changes whose gap is estimated, and the result says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd


if TYPE_CHECKING:
    from .gaps import GapSample

BINS = 20


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
    kept = (propensity >= clip) & (propensity <= 1 - clip)
    if (propensity[kept] == 1).any():
        raise ValueError(
            f"{int((propensity[kept] == 1).sum())} rows have a propensity of 1: there is nobody to compare them with. "
            "Pass a clip above 0, or leave out what gives the group away"
        )
    return kept


def overlap(sample: GapSample, propensity: np.ndarray, clip: float = 0.0) -> Overlap:
    """Overlap of a sample.

    Args:
        sample: Person-years.
        propensity: `(rows,)`, probability of being in the group.
        clip: Rows outside [clip, 1 - clip] are left out.

    Raises:
        ValueError: As in `kept_rows`, or nobody is left of the group or of the others.
    """
    kept, group = kept_rows(propensity, clip), sample.group
    for name, of in (("group", group), ("others", ~group)):
        if not (kept & of).any():
            raise ValueError(f"no row of the {name} has a propensity within [{clip}, {1 - clip}]: take a smaller clip")
    edges = np.linspace(0, 1, BINS + 1)
    counts = {
        name: np.histogram(propensity[of], edges, weights=sample.weight[of])[0] / sample.weight[of].sum()
        for name, of in (("group", group), ("others", ~group))
    }
    men = kept & ~group
    odds = sample.weight[men] * propensity[men] / (1 - propensity[men])
    by_person = np.bincount(sample.person[men], weights=odds)
    women = kept & group
    x, w = sample.features, sample.weight
    of_group, of_men = (np.average(x[of], axis=0, weights=w[of]) for of in (women, men))
    variances = [
        np.average((x[of] - mean) ** 2, axis=0, weights=w[of]) for of, mean in ((women, of_group), (men, of_men))
    ]
    spread = np.sqrt(np.mean(variances, axis=0))
    differences = of_group - of_men, of_group - np.average(x[men], axis=0, weights=odds)
    # A column that does not vary in either group has no unit, and differs at most by rounding.
    raw, weighted = (np.divide(d, spread, out=np.zeros_like(d), where=spread > 1e-9) for d in differences)
    return Overlap(
        histogram=pd.DataFrame({"low": edges[:-1], "high": edges[1:], **counts}),
        clip=clip,
        clipped=float(1 - kept.mean()),
        group_clipped=float(w[group & ~kept].sum() / w[group].sum()),
        effective_people=float(by_person.sum() ** 2 / (by_person**2).sum()) if by_person.any() else 0.0,
        others_people=len(np.unique(sample.person[men])),
        balance=pd.DataFrame({"raw": raw, "weighted": weighted}, index=list(sample.names)),
    )


__all__ = ["BINS", "Overlap", "kept_rows", "overlap"]
