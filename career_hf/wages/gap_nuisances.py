"""Predictions that adjusted wage gaps need, from ordinary regressions, for people they were not fitted on.

The predictors are a frozen representation of careers and other columns. Ridge regressions predict log wages, one for
the group and one for the others, and a logistic regression predicts the group. Penalties are chosen on people held
out: a person has one gender in all years, so a row held out by itself would be recognised by the person's other rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from .gaps import GapSample, Nuisances, torn


PENALTIES = tuple(np.logspace(0, 4, 5))
INVERSE_PENALTIES = tuple(np.logspace(-4, 0, 5))
# Share of people on whom a penalty is chosen. One split is enough for this coarse choice, made per fold and model.
HELD_OUT = 1 / 3


def folds_of_people(person: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """`(rows,)`: the fold of each row. People are assigned at random, all rows of a person to one fold.

    Pass clusters (`GapSample.cluster`) in the place of people, so that members of a household are in one fold.

    Raises:
        ValueError: There are fewer people than folds, or fewer than two folds.
    """
    people, codes = np.unique(person, return_inverse=True)
    if not 2 <= folds <= len(people):
        raise ValueError(f"{folds} folds of {len(people)} people: take at least 2, and not more than there are people")
    order = np.random.default_rng(seed).permutation(len(people))
    return (order % folds)[codes]


def cross_fit_nuisances(
    sample: GapSample,
    fold: np.ndarray,
    features: Sequence[np.ndarray] | None = None,
    *,
    wage_model: Any = None,
    group_model: Any = None,
) -> Nuisances:
    """Predictions for every row by models that were fitted on the other folds.

    Args:
        sample: Person-years.
        fold: `(rows,)`: the fold of each row, as `folds_of_people` returns it.
        features: One matrix `(rows, columns)` for each fold, from which the rows of that fold are predicted:
            representations by a model that did not see the fold's people. If None, the sample's features in all folds.
        wage_model: A regression of scikit-learn; if None, a ridge whose penalty is chosen on people held out.
        group_model: A classifier with `predict_proba`; if None, a logistic regression whose penalty is chosen on
            people held out.

    Raises:
        ValueError: A person or cluster is in two folds, or the number of matrices is not the number of folds.
    """
    check_folds(sample, fold)
    folds = np.unique(fold)
    if features is not None and len(features) != len(folds):
        raise ValueError(f"{len(features)} matrices of features for {len(folds)} folds: pass one for each")
    predictions = np.empty((3, len(fold)))
    for i, k in enumerate(folds):
        x = sample.features if features is None else features[i]
        fitted, predicted = sample.with_features(x).take(fold != k), fold == k
        for row, side in enumerate((fitted.group, ~fitted.group)):
            predictions[row, predicted] = wage_regression(fitted, side, wage_model).predict(x[predicted])
        predictions[2, predicted] = group_regression(fitted, group_model).predict_proba(x[predicted])[:, 1]
    return Nuisances(*predictions)


def check_folds(sample: GapSample, fold: np.ndarray) -> None:
    """Checks that every person, household and PSU is in one fold only.

    Raises:
        ValueError: A person or cluster is in two folds, or the folds have another number of rows than the sample.
    """
    if len(fold) != len(sample.person):
        raise ValueError(f"the folds have {len(fold)} rows and the sample has {len(sample.person)}")
    for inner, name in ((sample.person, "person"), (sample.cluster, sample.unit)):
        if (twice := torn(inner, fold)) is not None:
            raise ValueError(
                f"{name} {twice} has rows in two folds: models would predict people whom they were fitted on, or who "
                "live with them; make folds of clusters"
            )


def wage_regression(sample: GapSample, rows: np.ndarray, model: Any = None) -> Any:
    """A regression of log wages on features, fitted on some rows.

    Args:
        sample: Person-years.
        rows: `(rows,)` bool: the rows to fit on, those of the group or of the others.
        model: As `wage_model` in `cross_fit_nuisances`.
    """
    candidates = (
        [make_pipeline(StandardScaler(), Ridge(penalty)) for penalty in PENALTIES] if model is None else [model]
    )
    return _best(candidates, _squared_error, sample.features, sample.outcome, sample, rows)


def group_regression(sample: GapSample, model: Any = None) -> Any:
    """A classifier that predicts the group from features.

    Args:
        sample: Person-years.
        model: As `group_model` in `cross_fit_nuisances`.
    """
    candidates = (
        [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1_000)) for c in INVERSE_PENALTIES]
        if model is None
        else [model]
    )

    def loss(fitted: Any, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
        return log_loss(y, fitted.predict_proba(x)[:, 1], sample_weight=w, labels=[False, True])

    return _best(candidates, loss, sample.features, sample.group, sample, np.ones(len(sample.group), dtype=bool))


def difference_regression(sample: GapSample, marginal: np.ndarray, propensity: np.ndarray) -> Any:
    """A ridge regression of the gap itself on features, by the R-learner's loss with a linear delta(X).

    Args:
        sample: Person-years.
        marginal, propensity: `(rows,)`: m(X) and e(X), predicted by models that were not fitted on these people.
    """
    residual = sample.group - propensity
    # [(w - m) - (g - e) delta]^2 is a squared error of (w - m) / (g - e), weighted by (g - e)^2.
    y = (sample.outcome - marginal) / residual
    weighted = replace(sample, weight=sample.weight * residual**2)
    candidates = [make_pipeline(StandardScaler(), Ridge(penalty)) for penalty in PENALTIES]
    return _best(candidates, _squared_error, sample.features, y, weighted, np.ones(len(y), dtype=bool))


def _squared_error(fitted: Any, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    return mean_squared_error(y, fitted.predict(x), sample_weight=w)


def _best(
    candidates: Sequence[Any],
    loss: Callable[[Any, np.ndarray, np.ndarray, np.ndarray], float],
    x: np.ndarray,
    y: np.ndarray,
    sample: GapSample,
    rows: np.ndarray,
) -> Any:
    """The candidate with the smallest loss on clusters held out, fitted again on all rows."""
    x, y, w, cluster = x[rows], y[rows], sample.weight[rows], sample.cluster[rows]
    if len(candidates) == 1:
        return _fit(candidates[0], x, y, w)
    fit, held_out = next(GroupShuffleSplit(1, test_size=HELD_OUT, random_state=0).split(x, y, cluster))
    validation = x[held_out], y[held_out], w[held_out]
    losses = [loss(_fit(candidate, x[fit], y[fit], w[fit]), *validation) for candidate in candidates]
    return _fit(candidates[int(np.argmin(losses))], x, y, w)


def _fit(model: Any, x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Any:
    name = f"{model.steps[-1][0]}__sample_weight" if isinstance(model, Pipeline) else "sample_weight"
    return clone(model).fit(x, y, **{name: weight})


__all__ = [
    "check_folds",
    "cross_fit_nuisances",
    "difference_regression",
    "folds_of_people",
    "group_regression",
    "wage_regression",
]
