"""The adjusted wage gap of careers by every estimator, from a model that never saw the group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict

from ..careers.clusters import cluster_name, clusters
from ..careers.ledger import Ledger
from ..encoding.checkpoints import as_checkpoint
from ..figures.style import save as save_figure
from ..number_ranges import within_ranges
from ..occupations.labels import NOT_WORKING
from ..readable_values import ReadableResult
from ..representing.representations import representations
from .decomposition import oaxaca_blinder_influences
from .design import BLAU_KAHN, available_blocks, careers_of_splits, design, wage_frame
from .finetuning import METHODS, FineTuning, check_protected, finetuned_nuisances
from .gap_nuisances import cross_fit_nuisances, folds_of_people
from .gaps import (
    CLIPS,
    GapEstimate,
    GapResult,
    GapSample,
    Nuisances,
    aipw_gap,
    clustered_error,
    interval,
    outcome_only_gap,
    r_loss,
    raw_gap,
    sensitivity,
)


if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, FROZEN = "columns", "columns and frozen CAREER"


@dataclass(frozen=True)
class GapGroups:
    """The two groups that are compared.

    Args:
        protected: Covariate that tells the groups apart; it must not change over a career.
        group: Label, in that covariate, of the group whose gap is estimated.
        others: Label of the people whom the group is compared with.
    """

    protected: str = "gender"
    group: str = "female"
    others: str = "male"


@dataclass(frozen=True, repr=False)
class GapReport(ReadableResult):
    """What `gap` returns.

    Args:
        result: Estimates.
        sensitivity: AIPW and outcome-only estimates with the frozen model at several clips.
        nuisances: Predictions behind the estimates, one for each seed, by what was adjusted for.
        sample: Person-years of the predictions.
        ledger: Counts of the person-years that were left out.
    """

    result: GapResult
    sensitivity: GapResult
    nuisances: dict[str, list[Nuisances]]
    sample: GapSample
    ledger: Ledger

    def to_frame(self) -> pd.DataFrame:
        """One row per estimate, with its interval, its overlap and the population that it is about."""
        return self.result.to_frame()

    def differences(self) -> pd.DataFrame:
        """Every pair of estimates, with the paired interval of their difference."""
        return self.result.differences()

    def figure(self) -> Figure:
        """Estimates with intervals, propensities of both groups, and balance before and after weighting."""
        return self.result.figure()

    def save(self, folder: str | Path) -> None:
        """Writes gaps.csv, differences.csv, sensitivity.csv, gap.png; of the frozen model propensity.csv, balance.csv.

        Args:
            folder: Destination folder.

        Raises:
            ImportError: matplotlib is not installed; the tables are written all the same.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        form = {"float_format": "%.5f"}
        self.to_frame().to_csv(folder / "gaps.csv", index=False, **form)
        self.differences().to_csv(folder / "differences.csv", index=False, **form)
        self.sensitivity.to_frame().to_csv(folder / "sensitivity.csv", index=False, **form)
        propensities, balance = (
            rows[rows["adjusted_for"] == FROZEN].drop(columns="adjusted_for")
            for rows in (self.result.propensities(), self.result.balance())
        )
        propensities.to_csv(folder / "propensity.csv", index=False, **form)
        balance.to_csv(folder / "balance.csv", **form)
        save_figure(self.figure(), folder / "gap.png")


@within_ranges
def gap_sample(
    careers: Dataset,
    groups: GapGroups,
    blocks: Sequence[str] = (*BLAU_KAHN, "occupation"),
    not_working: Sequence[str] = NOT_WORKING,
) -> tuple[GapSample, np.ndarray, Ledger]:
    """Person-years at work with a wage of the two groups, and the columns that are adjusted for.

    Args:
        careers: Careers with an outcome `log_wage`.
        groups: The two groups that are compared.
        blocks: Blocks of columns that are adjusted for, see `wages.design`. Blocks that careers lack are left out, and
            so is the protected covariate.
        not_working: Occupation labels that mean no work.

    Returns:
        The sample, with columns in standard units; `(rows,)`, the place of each row among all person-years; and a
        ledger.

    Raises:
        ValueError: Careers have no protected covariate, nobody has one of its two labels, or as in `wage_frame`.
    """
    frame, ledger = wage_frame(careers, not_working=not_working)
    if groups.protected not in frame:
        raise ValueError(f"careers have no column '{groups.protected}', only {list(frame.columns)}")
    labels = frame[groups.protected]
    for label in (groups.group, groups.others):
        if not (labels == label).any():
            levels = sorted(labels.unique())
            raise ValueError(f"nobody with a wage has {groups.protected} '{label}': the labels are {levels}")
    compared = labels.isin([groups.group, groups.others])
    dropped = {f"{groups.protected} is neither '{groups.group}' nor '{groups.others}'": int((~compared).sum())}
    ledger.record("keep the two groups", "person-years", len(frame), int(compared.sum()), dropped)
    frame = frame[compared]
    available, _ = available_blocks([name for name in blocks if name != groups.protected], frame)
    transformer = design(available, frame)
    columns = np.asarray(transformer.fit_transform(frame).todense())
    spread = columns.std(axis=0)
    varying = spread > 0
    sample = GapSample(
        outcome=frame["log_wage"].to_numpy(),
        group=(frame[groups.protected] == groups.group).to_numpy(),
        person=pd.factorize(frame["person"])[0],
        features=(columns[:, varying] - columns[:, varying].mean(axis=0)) / spread[varying],
        weight=frame["weight"].to_numpy(),
        cluster=pd.factorize(clusters(frame))[0],
        unit=cluster_name(frame.columns),
        names=transformer.get_feature_names_out()[varying].tolist(),
    )
    return sample, frame.index.to_numpy(), ledger


@within_ranges
def gap(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    *,
    split: str = "test",
    protected: str = "gender",
    group: str = "female",
    others: str = "male",
    folds: int = 5,
    seeds: int = 2,
    updates: int = 20,
    learning_rate: float = 1e-3,
    clip: float = 0.0,
    bootstrap: int = 0,
    methods: Sequence[str] = METHODS,
    blocks: Sequence[str] = (*BLAU_KAHN, "occupation"),
    not_working: Sequence[str] = NOT_WORKING,
    weighted: bool = False,
) -> GapReport:
    """The wage gap by every estimator: raw, Oaxaca-Blinder, and adjusted with frozen and with fine-tuned CAREER.

    Args:
        model: A folder, Hub id, (model, processor) or result of training: CAREER, trained without the protected
            covariate, and not on these people.
        careers: A folder of careers with an outcome `log_wage`, careers by split name, or careers.
        split: Comma-separated splits of people who are compared; "all" takes everybody.
        protected: Covariate that tells the groups apart; it must not change over a career.
        group: Label, in that covariate, of the group whose gap is estimated.
        others: Label of the people whom the group is compared with.
        folds: Number of folds in cross-fitting, of people, or of households or PSUs where careers have them.
        seeds: Number of random seeds of fine-tuning. Predictions are averaged over seeds, and `seed_sd` is the spread
            of estimates.
        updates: Number of updates of each fine-tuned network; 0 estimates with the frozen model only.
        learning_rate: Learning rate of fine-tuning.
        clip: Rows with a propensity outside [clip, 1 - clip] are left out.
        bootstrap: Number of resamples of people (households, PSUs) behind the intervals; 0 takes the
            influence function's intervals.
        methods: Methods of fine-tuning.
        blocks, not_working: As in `gap_sample`.
        weighted: Whether to use the careers' survey weights, in every estimator.

    Raises:
        ValueError: The model saw the protected covariate, or as in `careers_of_splits` and `gap_sample`.
    """
    career, processor = as_checkpoint(model)
    chosen = careers_of_splits(careers, split, processor, weighted)
    check_protected(processor, protected)
    sample, place, ledger = gap_sample(chosen, GapGroups(protected, group, others), blocks, not_working)
    estimates = [raw_gap(sample), _oaxaca_blinder(sample)]
    fold = folds_of_people(sample.cluster, folds)
    hidden = representations(career, chosen, processor, timing="including", unknown_levels="missing")[place]
    nuisances = {
        COLUMNS: [cross_fit_nuisances(sample, fold)],
        FROZEN: [cross_fit_nuisances(sample.with_features(np.column_stack([sample.features, hidden])), fold)],
    }
    for seed in range(seeds if methods and updates else 0):
        finetuned = finetuned_nuisances(
            [career],
            processor,
            chosen,
            sample,
            place,
            fold,
            protected=protected,
            methods=methods,
            settings=FineTuning(updates=updates, rate=learning_rate),
            seed=seed,
        )
        for name, predictions in finetuned.items():
            nuisances.setdefault(name, []).append(predictions)
    judge = nuisances[FROZEN][0]
    for name, by_seed in nuisances.items():
        mean = _mean(by_seed)
        loss = r_loss(sample, mean.difference, judge.marginal, judge.propensity)
        for estimator in (outcome_only_gap, aipw_gap):
            estimate = estimator(sample, mean, adjusted_for=name, clip=clip, bootstrap=bootstrap)
            estimates.append(replace(estimate, r_loss=loss, seed_sd=_seed_sd(estimator, sample, by_seed, clip)))
    return GapReport(
        result=GapResult(estimates, group, others, sample.cluster, ("AIPW", COLUMNS), bootstrap),
        sensitivity=replace(sensitivity(sample, judge, adjusted_for=FROZEN, clips=CLIPS), group=group, others=others),
        nuisances=nuisances,
        sample=sample,
        ledger=ledger,
    )


def _oaxaca_blinder(sample: GapSample) -> GapEstimate:
    """The unexplained part at prices of the others, for levels that some of the others have and so have a price."""
    x, others = sample.features, sample.features[~sample.group]
    # A column that does not vary among the others, such as an occupation that none of them holds, has no price.
    constant = np.ptp(others, axis=0) < 1e-9 * (1 + np.abs(others[0]))
    comparable = np.isclose(x[:, constant], others[0, constant], atol=1e-9).all(axis=1)
    group_weight = sample.weight * sample.group
    names = np.array(sample.names)[~constant].tolist()
    compared = sample.take(comparable).with_features(x[comparable][:, ~constant], names)
    estimate, influence = oaxaca_blinder_influences(compared)["unexplained"]
    error = clustered_error(influence, compared.cluster)
    low, high = interval(estimate, error, compared.cluster)
    whole = np.zeros(len(comparable))
    whole[comparable] = influence
    return GapEstimate(
        estimator="Oaxaca-Blinder",
        adjusted_for=COLUMNS,
        estimate=float(estimate),
        standard_error=error,
        low=low,
        high=high,
        interval=f"clustered by {compared.unit}",
        rows=len(compared.outcome),
        people=len(np.unique(compared.person)),
        clusters=len(np.unique(compared.cluster)),
        influence=whole,
        incomparable=float(group_weight[~comparable].sum() / group_weight.sum()),
    )


def _mean(by_seed: Sequence[Nuisances]) -> Nuisances:
    """Predictions averaged over seeds."""
    return Nuisances(
        *(np.mean([getattr(one, name) for one in by_seed], axis=0) for name in ("group", "others", "propensity"))
    )


def _seed_sd(
    estimator: Callable[..., GapEstimate], sample: GapSample, by_seed: Sequence[Nuisances], clip: float
) -> float:
    if len(by_seed) < 2:
        return float("nan")
    return float(np.std([estimator(sample, one, clip=clip).estimate for one in by_seed], ddof=1))


__all__ = ["COLUMNS", "FROZEN", "GapGroups", "GapReport", "gap", "gap_sample"]
