"""The adjusted wage gap of careers by every estimator, from a model that never saw the group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..careers.ledger import Ledger
from ..occupations.labels import NOT_WORKING
from ..representing.representations import representations
from .decomposition import oaxaca_blinder
from .design import BLAU_KAHN, design, held, wage_frame
from .finetuning import METHODS, FineTuning, check_protected, finetuned_nuisances
from .gap_nuisances import cross_fit_nuisances, folds_of_people
from .gaps import (
    CLIPS,
    CLUSTERED,
    GapEstimate,
    GapResult,
    GapSample,
    Nuisances,
    aipw_gap,
    outcome_only_gap,
    r_loss,
    raw_gap,
    sensitivity,
)


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from ..encoding.processing_career import CareerProcessor

COLUMNS, FROZEN = "columns", "columns and frozen CAREER"


@dataclass(frozen=True)
class GapGroups:
    """Who is compared.

    Args:
        protected: The covariate that tells the groups apart; it must not change over a career.
        group: Its label of those whose gap is asked for.
        others: Its label of those they are compared with.
    """

    protected: str = "gender"
    group: str = "female"
    others: str = "male"


@dataclass(frozen=True)
class GapRun:
    """Everything that `estimate_gaps` found.

    Args:
        result: Estimates.
        sensitivity: AIPW and outcome-only estimates with the frozen model at several clips.
        nuisances: Predictions behind the estimates, by what was adjusted for, one for each seed.
        sample: Their rows.
        ledger: Which person-years were left out.
    """

    result: GapResult
    sensitivity: GapResult
    nuisances: dict[str, list[Nuisances]]
    sample: GapSample
    ledger: Ledger


def gap_sample(
    careers: Dataset,
    groups: GapGroups,
    blocks: Sequence[str] = (*BLAU_KAHN, "occupation"),
    not_working: Sequence[str] = NOT_WORKING,
) -> tuple[GapSample, np.ndarray, Ledger]:
    """Person-years at work with a wage of the two groups, and the columns that are adjusted for.

    Args:
        careers: Careers with an outcome `log_wage`.
        groups: Who is compared.
        blocks: Of columns, see `wages.design`; those that careers do not have, and the protected one, are left out.
        not_working: Occupation labels that mean no work.

    Returns:
        The sample, columns in standard units; `(rows,)` the place of each row among all person-years; and a ledger.

    Raises:
        ValueError: The protected covariate is not there or a label of it is held by nobody, or as in `wage_frame`.
    """
    frame, ledger = wage_frame(careers, not_working=not_working)
    if groups.protected not in frame:
        raise ValueError(f"careers have no column '{groups.protected}', only {list(frame.columns)}")
    labels = frame[groups.protected]
    for label in (groups.group, groups.others):
        if not (labels == label).any():
            found = sorted(labels.unique())
            raise ValueError(f"nobody with a wage has {groups.protected} '{label}': the labels are {found}")
    compared = labels.isin([groups.group, groups.others])
    dropped = {f"{groups.protected} is neither '{groups.group}' nor '{groups.others}'": int((~compared).sum())}
    ledger.record("keep the two groups", "person-years", len(frame), int(compared.sum()), dropped)
    frame = frame[compared]
    there, _ = held([name for name in blocks if name != groups.protected], frame)
    transformer = design(there, frame)
    columns = np.asarray(transformer.fit_transform(frame).todense())
    spread = columns.std(axis=0)
    varying = spread > 0
    sample = GapSample(
        outcome=frame["log_wage"].to_numpy(),
        group=(frame[groups.protected] == groups.group).to_numpy(),
        person=pd.factorize(frame["person"])[0],
        features=(columns[:, varying] - columns[:, varying].mean(axis=0)) / spread[varying],
        weight=frame["weight"].to_numpy(),
        names=transformer.get_feature_names_out()[varying].tolist(),
    )
    return sample, frame.index.to_numpy(), ledger


def estimate_gaps(
    model: PreTrainedModel,
    processor: CareerProcessor,
    careers: Dataset,
    groups: GapGroups | None = None,
    *,
    blocks: Sequence[str] = (*BLAU_KAHN, "occupation"),
    not_working: Sequence[str] = NOT_WORKING,
    folds: int = 5,
    methods: Sequence[str] = METHODS,
    settings: FineTuning | None = None,
    seeds: int = 1,
    clip: float = 0.0,
    bootstrap: int = 0,
) -> GapRun:
    """The gap by every estimator: raw, Oaxaca-Blinder, and adjusted with frozen and with fine-tuned CAREER.

    Args:
        model: CAREER, trained without the protected covariate, and not on these people.
        processor: Its processor.
        careers: Careers with an outcome `log_wage`.
        groups: Who is compared; women and men by the labels of the NLSY79 unless given.
        blocks, not_working: As in `gap_sample`.
        folds: Of people, in cross-fitting.
        methods: Of fine-tuning.
        settings: Of fine-tuning.
        seeds: Of fine-tuning. Predictions are averaged over seeds, and `seed_sd` is the spread of estimates.
        clip: Rows with a propensity outside [clip, 1 - clip] are left out.
        bootstrap: Resamples of people for the intervals; 0 for the influence function's.

    Raises:
        ValueError: The model saw the protected covariate, or as in `gap_sample`.
    """
    groups = groups or GapGroups()
    check_protected(processor, groups.protected)
    sample, place, ledger = gap_sample(careers, groups, blocks, not_working)
    estimates = [raw_gap(sample), _oaxaca_blinder(sample)]
    fold = folds_of_people(sample.person, folds)
    hidden = representations(model, careers, processor, timing="including", unknown_levels="missing")[place]
    beside = np.column_stack([sample.features, hidden])
    nuisances = {
        COLUMNS: [cross_fit_nuisances(sample, fold)],
        FROZEN: [cross_fit_nuisances(sample.with_features(beside), fold)],
    }
    for seed in range(seeds if methods else 0):
        made = finetuned_nuisances(
            [model],
            processor,
            careers,
            sample,
            place,
            fold,
            protected=groups.protected,
            methods=methods,
            settings=settings,
            seed=seed,
        )
        for name, of in made.items():
            nuisances.setdefault(name, []).append(of)
    judge = nuisances[FROZEN][0]
    for name, of_seeds in nuisances.items():
        mean = _mean(of_seeds)
        loss = r_loss(sample, mean.difference, judge.marginal, judge.propensity)
        for estimator in (outcome_only_gap, aipw_gap):
            found = estimator(sample, mean, adjusted_for=name, clip=clip, bootstrap=bootstrap)
            estimates.append(replace(found, r_loss=loss, seed_sd=_seed_sd(estimator, sample, of_seeds, clip)))
    return GapRun(
        result=GapResult(estimates, groups.group, groups.others),
        sensitivity=replace(
            sensitivity(sample, judge, adjusted_for=FROZEN, clips=CLIPS), group=groups.group, others=groups.others
        ),
        nuisances=nuisances,
        sample=sample,
        ledger=ledger,
    )


def _oaxaca_blinder(sample: GapSample) -> GapEstimate:
    """The unexplained part at prices of the others, who must have the levels that are to have a price."""
    x, others = sample.features, sample.features[~sample.group]
    # A column that says the same of all others, an occupation that none of them holds, has no price.
    same = np.ptp(others, axis=0) < 1e-9 * (1 + np.abs(others[0]))
    comparable = np.isclose(x[:, same], others[0, same], atol=1e-9).all(axis=1)
    of_group = sample.weight * sample.group
    left = sample.take(comparable).with_features(x[comparable][:, ~same], np.array(sample.names)[~same].tolist())
    found = oaxaca_blinder(left).loc["unexplained"]
    return GapEstimate(
        estimator="Oaxaca-Blinder",
        adjusted_for=COLUMNS,
        estimate=float(found["estimate"]),
        standard_error=float(found["standard_error"]),
        low=float(found["low"]),
        high=float(found["high"]),
        interval=CLUSTERED,
        rows=len(left.outcome),
        people=len(np.unique(left.person)),
        incomparable=float(of_group[~comparable].sum() / of_group.sum()),
    )


def _mean(of_seeds: Sequence[Nuisances]) -> Nuisances:
    """Predictions averaged over seeds."""
    return Nuisances(
        *(np.mean([getattr(of, name) for of in of_seeds], axis=0) for name in ("group", "others", "propensity"))
    )


def _seed_sd(
    estimator: Callable[..., GapEstimate], sample: GapSample, of_seeds: Sequence[Nuisances], clip: float
) -> float:
    if len(of_seeds) < 2:
        return float("nan")
    return float(np.std([estimator(sample, of, clip=clip).estimate for of in of_seeds], ddof=1))


__all__ = ["COLUMNS", "FROZEN", "GapGroups", "GapRun", "estimate_gaps", "gap_sample"]
