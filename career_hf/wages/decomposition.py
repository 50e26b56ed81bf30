"""Decompositions of wage gaps by regressions: by Oaxaca and Blinder (for labels, Kitagawa), and by Gelbach.

Oaxaca and Blinder regress wages, w = x b, in the group and among the others separately. With mean features x_g, x_o,

    gap           x_g b_g - x_o b_o
    explained     (x_g - x_o) b        what differs in features, at prices b
    unexplained   the rest             with b = b_o: the mean over the group of w - x b_o

Kitagawa's (1955) decomposition of rates is the case in which the features are the dummies of one label: b are means by
label and x_g, x_o are shares. Gelbach (2016) asks instead how much of the coefficient of being in the group each block
of features takes away, whatever the order in which they are added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg

from ..number_ranges import within_ranges
from .gaps import GapSample, clustered_error, interval
from .regression import import_pyfixest


Prices = Literal["others", "group", "pooled"]


@within_ranges
def oaxaca_blinder(
    sample: GapSample, prices: Prices = "others", blocks: Mapping[str, Sequence[str]] | None = None
) -> pd.DataFrame:
    """The weighted two-fold decomposition; errors are clustered (see `GapSample`) and allow for estimated prices.

    With prices of the others, the unexplained part estimates the same gap as `gaps.py` for a linear E[w | others, X].

    Args:
        sample: Person-years; an intercept is added to the features, collinear ones do no harm.
        prices: The regression whose coefficients value the difference in features: of the "others" (men), of the
            "group", or a "pooled" regression with an indicator of the group.
        blocks: Names of features by the name of a block; the result has each block's part of "explained".

    Returns:
        Rows gap, explained, unexplained, and "explained: BLOCK"; columns estimate, standard_error, low and high.

    Raises:
        ValueError: A block has a feature that is not in the sample, or a feature that prices are needed for does not
            vary among the people whose prices are used.
    """
    parts = oaxaca_blinder_influences(sample, prices, blocks)
    errors = {name: clustered_error(influence, sample.cluster) for name, (_, influence) in parts.items()}
    frame = pd.DataFrame({"estimate": {name: float(value) for name, (value, _) in parts.items()}})
    frame["standard_error"] = pd.Series(errors)
    ends = [interval(row.estimate, row.standard_error, sample.cluster) for row in frame.itertuples()]
    return frame.assign(low=[low for low, _ in ends], high=[high for _, high in ends])


def oaxaca_blinder_influences(
    sample: GapSample, prices: Prices = "others", blocks: Mapping[str, Sequence[str]] | None = None
) -> dict[str, tuple[float, np.ndarray]]:
    """The parts of `oaxaca_blinder`, each with the influence of every row, `(rows,)`; arguments as there."""
    if prices not in ("others", "group", "pooled"):
        raise ValueError(f"prices {prices!r} are none of 'others', 'group', 'pooled'")
    for name, columns in (blocks or {}).items():
        if unknown := sorted(set(columns) - set(sample.names)):
            raise ValueError(f"block '{name}' has the feature '{unknown[0]}', which is none of {list(sample.names)}")
    w, y, group = sample.weight, sample.outcome, sample.group
    x = np.column_stack([np.ones(len(y)), sample.features])
    group_share, others_share = w * group / (w * group).sum(), w * ~group / (w * ~group).sum()
    means = group_share @ x - others_share @ x
    gap = group_share @ y - others_share @ y
    gap_influence = group_share * (y - group_share @ y) - others_share * (y - others_share @ y)
    # The influence of each row on the difference of mean features.
    shift = group_share[:, None] * (x - group_share @ x) - others_share[:, None] * (x - others_share @ x)
    if prices == "pooled":
        regressors, fitted = np.column_stack([x, group]), np.ones(len(y), dtype=bool)
    else:
        regressors, fitted = x, group if prices == "group" else ~group
    b, influence_on = _least_squares(regressors, y, w * fitted, x.shape[1])

    parts = {"gap": (gap, gap_influence)}
    explained = means @ b, shift @ b + influence_on(means)
    parts["explained"] = explained
    parts["unexplained"] = gap - explained[0], gap_influence - explained[1]
    for name, columns in (blocks or {}).items():
        mask = np.r_[False, np.isin(sample.names, list(columns))]
        parts[f"explained: {name}"] = means[mask] @ b[mask], shift[:, mask] @ b[mask] + influence_on(means * mask)
    return parts


@within_ranges
def gelbach(
    sample: GapSample, blocks: Mapping[str, Sequence[str]], *, draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Gelbach's decomposition of the gap's change from no features to all of them, by pyfixest (extra `econ`).

    Args:
        sample: Person-years.
        blocks: Names of features by the name of a block; every feature is in exactly one block.
        draws: Number of resamples of people, or of households or PSUs where the sample has them, behind the
            intervals; pyfixest has no intervals where weights differ.
        seed: Random seed of the resamples.

    Returns:
        Rows "raw" (coefficient of the group without features), "adjusted" (with all of them), "explained" (the
        difference) and each block's part of it; columns estimate, low and high.

    Raises:
        ValueError: A feature is in no block, or in several.
    """
    pyfixest = import_pyfixest()

    listed = [column for columns in blocks.values() for column in columns]
    if sorted(listed) != sorted(sample.names):
        wrong = sorted(set(listed) ^ set(sample.names)) or sorted({name for name in listed if listed.count(name) > 1})
        raise ValueError(f"blocks must hold each feature once; '{wrong[0]}' is left out, is not known or occurs twice")
    safe = {name: f"x{i}" for i, name in enumerate(sample.names)}
    data = pd.DataFrame(sample.features, columns=list(safe.values()))
    data = data.assign(w=sample.outcome, g=sample.group.astype(float), cluster=sample.cluster, weight=sample.weight)
    equal = bool(np.ptp(sample.weight) == 0)
    # The decomposition of pyfixest takes whole-number frequency weights only. Coefficients are the same whatever
    # weights mean; errors are not, and so are not computed.
    data["weight"] = np.rint(sample.weight / sample.weight.mean() * 1e6)
    weighted = {} if equal else {"weights": "weight", "weights_type": "fweights"}
    fit = pyfixest.feols(f"w ~ g + {' + '.join(safe.values())}", data, vcov={"CRV1": "cluster"}, **weighted)
    combined = {f"block{i}": [safe[name] for name in columns] for i, columns in enumerate(blocks.values())}
    effects = fit.decompose(
        decomp_var="g", combine_covariates=combined, only_coef=not equal, reps=draws, seed=seed, nthreads=1, digits=12
    ).tidy()
    effects = effects[effects["panels"] == effects["panels"].iloc[0]]
    names = {"direct_effect": "raw", "full_effect": "adjusted", "explained_effect": "explained"}
    names |= dict(zip(combined, blocks, strict=True))
    columns = {"coefficients": "estimate", "ci_lower": "low", "ci_upper": "high"}
    return effects.loc[list(names)].rename(index=names, columns=columns).reindex(columns=list(columns.values()))


def _least_squares(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, columns: int
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The first coefficients of a weighted regression, and a function from a combination of them to rows' influences.

    The function raises a ValueError if rows with a positive weight do not identify the combination.
    """
    gram = x.T @ (x * w[:, None])
    inverse = linalg.pinvh(gram)
    b = inverse @ (x.T @ (w * y))
    scores = w * (y - x @ b)

    def influence_on(combination: np.ndarray) -> np.ndarray:
        padded = np.r_[combination, np.zeros(x.shape[1] - columns)]
        solved = inverse @ padded
        if not np.allclose(gram @ solved, padded, rtol=1e-5, atol=1e-7):
            raise ValueError(
                "a feature varies only among people whose prices are not used, so it has no price: leave out "
                "the feature, or the rows where it is not zero"
            )
        return (x @ solved) * scores

    return b[:columns], influence_on


__all__ = ["gelbach", "oaxaca_blinder", "oaxaca_blinder_influences"]
