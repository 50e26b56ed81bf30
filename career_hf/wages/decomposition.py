"""Wage gaps taken apart by regressions: Oaxaca and Blinder's decomposition (Kitagawa's for labels), and Gelbach's.

Oaxaca and Blinder fit wages of the group and of the others, w = x b, each by itself. With mean features x_g and x_o,

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

from .gaps import GapSample, Z, people_clustered
from .regression import import_pyfixest


Prices = Literal["others", "group", "pooled"]


def oaxaca_blinder(
    sample: GapSample, prices: Prices = "others", blocks: Mapping[str, Sequence[str]] | None = None
) -> pd.DataFrame:
    """The two-fold decomposition, weighted, with errors clustered by person that know that prices are estimated.

    With prices of the others the unexplained part estimates the same gap as `gaps.py`, for a linear E[w | others, X].

    Args:
        sample: Person-years; an intercept is added to the features, collinear ones do no harm.
        prices: Whose coefficients value the difference in features: those of the "others" (men), of the "group", or
            of a "pooled" regression with an indicator of the group.
        blocks: Features by name of a block, each of whose part of "explained" is wanted.

    Returns:
        Rows gap, explained, unexplained, and "explained: BLOCK"; columns estimate, standard_error, low and high.

    Raises:
        ValueError: A block has a feature that is not in the sample, or a feature of the one side varies only on the
            other, so that it has no price.
    """
    if prices not in ("others", "group", "pooled"):
        raise ValueError(f"prices {prices!r} are none of 'others', 'group', 'pooled'")
    for name, columns in (blocks or {}).items():
        if unknown := sorted(set(columns) - set(sample.names)):
            raise ValueError(f"block '{name}' has the feature '{unknown[0]}', which is none of {list(sample.names)}")
    w, y, group = sample.weight, sample.outcome, sample.group
    x = np.column_stack([np.ones(len(y)), sample.features])
    of_group, of_others = w * group / (w * group).sum(), w * ~group / (w * ~group).sum()
    means = of_group @ x - of_others @ x
    gap = of_group @ y - of_others @ y
    gap_influence = of_group * (y - of_group @ y) - of_others * (y - of_others @ y)
    # How much each row moves the difference of mean features.
    shift = of_group[:, None] * (x - of_group @ x) - of_others[:, None] * (x - of_others @ x)
    if prices == "pooled":
        regressors, fitted = np.column_stack([x, group]), np.ones(len(y), dtype=bool)
    else:
        regressors, fitted = x, group if prices == "group" else ~group
    b, moves = _least_squares(regressors, y, w * fitted, x.shape[1])

    parts = {"gap": (gap, gap_influence)}
    explained = means @ b, shift @ b + moves(means)
    parts["explained"] = explained
    parts["unexplained"] = gap - explained[0], gap_influence - explained[1]
    for name, columns in (blocks or {}).items():
        mask = np.r_[False, np.isin(sample.names, list(columns))]
        parts[f"explained: {name}"] = means[mask] @ b[mask], shift[:, mask] @ b[mask] + moves(means * mask)
    errors = {name: people_clustered(influence, sample.person) for name, (_, influence) in parts.items()}
    frame = pd.DataFrame({"estimate": {name: float(value) for name, (value, _) in parts.items()}})
    frame["standard_error"] = pd.Series(errors)
    frame["low"], frame["high"] = (frame["estimate"] + sign * Z * frame["standard_error"] for sign in (-1, 1))
    return frame


def gelbach(
    sample: GapSample, blocks: Mapping[str, Sequence[str]], *, draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Gelbach's decomposition of the gap's change from no features to all of them, by pyfixest (extra `econ`).

    Args:
        sample: Person-years.
        blocks: Features by name of a block; all features in exactly one.
        draws: Resamples of people behind the intervals; pyfixest has none where weights differ.
        seed: Of the resampling.

    Returns:
        Rows "raw" (coefficient of the group without features), "adjusted" (with all of them), "explained" (the
        difference) and each block's part of it; columns estimate, low and high.

    Raises:
        ValueError: Blocks do not hold each feature once.
    """
    pyfixest = import_pyfixest()

    listed = [column for columns in blocks.values() for column in columns]
    if sorted(listed) != sorted(sample.names):
        wrong = sorted(set(listed) ^ set(sample.names)) or sorted({name for name in listed if listed.count(name) > 1})
        raise ValueError(f"blocks must hold each feature once; '{wrong[0]}' is left out, not known or there twice")
    safe = {name: f"x{i}" for i, name in enumerate(sample.names)}
    data = pd.DataFrame(sample.features, columns=list(safe.values()))
    data = data.assign(w=sample.outcome, g=sample.group.astype(float), person=sample.person, weight=sample.weight)
    equal = bool(np.ptp(sample.weight) == 0)
    # pyfixest takes whole numbers of copies only. Coefficients are the same whatever weights mean, but errors are not,
    # and it computes none then.
    data["weight"] = np.rint(sample.weight / sample.weight.mean() * 1e6)
    weighted = {} if equal else {"weights": "weight", "weights_type": "fweights"}
    fit = pyfixest.feols(f"w ~ g + {' + '.join(safe.values())}", data, vcov={"CRV1": "person"}, **weighted)
    combined = {f"block{i}": [safe[name] for name in columns] for i, columns in enumerate(blocks.values())}
    found = fit.decompose(
        decomp_var="g", combine_covariates=combined, only_coef=not equal, reps=draws, seed=seed, nthreads=1, digits=12
    ).tidy()
    found = found[found["panels"] == found["panels"].iloc[0]]
    names = {"direct_effect": "raw", "full_effect": "adjusted", "explained_effect": "explained"}
    names |= dict(zip(combined, blocks, strict=True))
    columns = {"coefficients": "estimate", "ci_lower": "low", "ci_upper": "high"}
    return found.loc[list(names)].rename(index=names, columns=columns).reindex(columns=list(columns.values()))


def _least_squares(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, columns: int
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The first coefficients of a weighted regression, and how much each row moves a combination of them.

    Raises:
        ValueError: A combination is asked for that the rows with a weight do not identify.
    """
    gram = x.T @ (x * w[:, None])
    inverse = linalg.pinvh(gram)
    b = inverse @ (x.T @ (w * y))
    scores = w * (y - x @ b)

    def moves(combination: np.ndarray) -> np.ndarray:
        wanted = np.r_[combination, np.zeros(x.shape[1] - columns)]
        solved = inverse @ wanted
        if not np.allclose(gram @ solved, wanted, rtol=1e-5, atol=1e-7):
            raise ValueError(
                "a feature varies only among those whose prices are not used, so it has no price: leave out "
                "the feature, or the rows where it is not zero"
            )
        return (x @ solved) * scores

    return b[:columns], moves


__all__ = ["gelbach", "oaxaca_blinder"]
