"""Fine-tuning CAREER so that what its representation drops matters little for a wage gap.

A representation that predicts wages well may drop what differs between women and men and matters a little for wages.
This biases the gap by omitted variables. Vafa, Athey and Blei (2025) fine-tune with other objectives:

    supervised         wages of each gender                                       (wage_model)
    multi-task         wages and gender at once, as in DragonNet                  (dragonnet)
    projection         gender first, then wages, starting from that network      (round-1-prop, round-2-wage)
    difference-based   the R-learner's loss, [(w - m(X)) - (g - e(X)) delta(X)]^2 (r_learner)

Here the linear heads of every network start as ridge and logistic regressions on the frozen representation, and the
network is then trained as a whole: without updates it is the frozen baseline. Heads read the representation that
includes the year's own occupation, and further columns where the sample has any. All networks are cross-fitted by
person. The difference-based method takes m and e from the supervised network and the gender network, for rows of
people whom these were not fitted on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.special import expit
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.optim.lr_scheduler import LinearLR
from transformers.utils import logging

from ..encoding.collating import EncodedCareers, PaddingCollator
from .gap_nuisances import check_folds, difference_regression, group_regression, wage_regression
from .gaps import GapSample, Nuisances


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from ..encoding.processing_career import CareerProcessor

SUPERVISED, MULTI_TASK, PROJECTION, DIFFERENCE = "supervised", "multi-task", "projection", "difference-based"
METHODS = (SUPERVISED, MULTI_TASK, PROJECTION, DIFFERENCE)


@dataclass(frozen=True)
class FineTuning:
    """Settings for training the networks. The R-learner objective, which needs no truth, can choose among them.

    Args:
        updates: Number of updates of each network, and of each round of the projection.
        rate: Initial learning rate; it falls linearly to zero.
        people_per_batch: Number of people in one update.
        weight_decay: Weight decay of AdamW.
    """

    updates: int = 20
    rate: float = 1e-3
    people_per_batch: int = 128
    weight_decay: float = 0.01


def check_protected(processor: CareerProcessor, protected: str) -> None:
    """Checks that a model never saw the covariate that defines the groups.

    Where a representation tells who is a woman, there are no men to compare her with, and overlap fails.

    Raises:
        ValueError: The model has seen the covariate.
    """
    if protected in processor.covariate_names:
        rest = [name for name in processor.covariate_names if name != protected]
        raise ValueError(
            f"the model has the covariate '{protected}', so its representations tell the groups apart and nobody is "
            f"left to compare with: train one without it, in pretraining too (--covariates {','.join(rest)})"
        )


class GapNetwork(nn.Module):
    """CAREER with linear heads for log wages of both groups, the group, and the difference.

    Args:
        model: Any model with `represent`; it is copied.
        columns: Number of further columns.
        variance: Variance of log wages. Squared errors are divided by it, so that they are about as large as
            cross-entropies.
    """

    def __init__(self, model: PreTrainedModel, columns: int, variance: float):
        super().__init__()
        self.model, self.variance = copy.deepcopy(model), variance
        size = model.config.hidden_size + columns
        self.wages = nn.Linear(size, 2)  # first the wage of the others, then the wage of the group
        self.gender = nn.Linear(size, 1)
        self.gap = nn.Linear(size, 1)

    def forward(self, batch: dict[str, torch.Tensor], columns: torch.Tensor) -> torch.Tensor:
        """The input of the heads: `(rows, hidden + columns)`, one row for each True in `batch["at_work"]`."""
        appended = batch["labels"].clamp(min=0)
        hidden = self.model.represent(batch["input_ids"], batch.get("covariates"), appended)  # type: ignore[operator]
        return torch.cat([hidden[batch["at_work"]], columns], dim=1)


class GapData:
    """Careers and their person-years with a wage, as batches of people.

    Args:
        processor: The model's processor.
        careers: Careers.
        sample: Person-years with a wage, in the order of the careers.
        place: `(rows,)`: the place of each row among all person-years of the careers.
    """

    def __init__(self, processor: CareerProcessor, careers: Dataset, sample: GapSample, place: np.ndarray):
        self.careers = EncodedCareers(processor.encode(careers, unknown_levels="missing")[0])
        self.collate = PaddingCollator(processor.pad_token_id)
        lengths = self.careers.lengths
        if len(place) != len(sample.outcome) or len(place) and (np.diff(place).min(initial=1) < 1):
            raise ValueError("place must have one number for each row of the sample, in rising order")
        starts = lengths.cumsum() - lengths
        self.person = np.searchsorted(starts, place, side="right") - 1
        self.step = place - starts[self.person]
        self.sample = sample
        self.columns = torch.from_numpy(sample.features.astype(np.float32))

    def batch(self, people: np.ndarray) -> tuple[dict[str, torch.Tensor], np.ndarray]:
        """Padded careers of some people, sorted, and their rows of the sample in the order of the batch."""
        batch = self.collate(self.careers.gather(people))
        rows = np.flatnonzero(np.isin(self.person, people))
        at_work = torch.zeros(batch["labels"].shape, dtype=torch.bool)
        at_work[np.searchsorted(people, self.person[rows]), self.step[rows]] = True
        return batch | {"at_work": at_work}, rows

    def read(self, network: GapNetwork, mask: np.ndarray, people_per_batch: int = 512) -> np.ndarray:
        """The inputs of the heads, `(rows, hidden + columns)`, for the rows of a mask that takes whole people."""
        network.eval()
        parts, people = [], np.unique(self.person[mask])
        with torch.inference_mode():
            for start in range(0, len(people), people_per_batch):
                batch, rows = self.batch(people[start : start + people_per_batch])
                parts.append(network(batch, self.columns[rows]).numpy())
        return np.concatenate(parts)


def finetuned_nuisances(
    models: Sequence[PreTrainedModel],
    processor: CareerProcessor,
    careers: Dataset,
    sample: GapSample,
    place: np.ndarray,
    fold: np.ndarray,
    *,
    protected: str,
    methods: Sequence[str] = METHODS,
    settings: FineTuning | None = None,
    seed: int = 0,
) -> dict[str, Nuisances]:
    """Fine-tunes networks on all folds but one, for each fold, and predicts its rows.

    Args:
        models: One CAREER model for each fold, not trained on the fold's people; or a single one that saw none of
            them.
        processor: The models' processor, without the protected covariate.
        careers: Careers.
        sample: Person-years of the careers with a wage, in the order of the careers. Heads read its features beside
            the representation.
        place: `(rows,)`: the place of each row among all person-years of the careers.
        fold: `(rows,)`: the fold of each row, as `folds_of_people` returns it.
        protected: The covariate that defines the groups.
        methods: Some of `METHODS`.
        settings: Settings for training the networks.
        seed: Random seed of the order of people and of dropout.

    Returns:
        Predictions by method. Propensities of the supervised network and of the projection come from the gender
        network (the first round of the projection); the multi-task network has its own.

    Raises:
        ValueError: The model saw the protected covariate, a method is not known, a person is in two folds, or the
            number of models is neither one nor the number of folds.
    """
    settings, folds = settings or FineTuning(), np.unique(fold)
    check_protected(processor, protected)
    check_folds(sample, fold)
    if unknown := set(methods) - set(METHODS):
        raise ValueError(f"method {min(unknown)!r} is not one of {', '.join(METHODS)}")
    if len(models) not in (1, len(folds)):
        raise ValueError(f"{len(models)} models for {len(folds)} folds: pass one, or one for each")
    for model in models:
        processor.check(model.config)
    data = GapData(processor, careers, sample, place)
    predictions = {name: np.empty((3, len(fold))) for name in (SUPERVISED, MULTI_TASK, PROJECTION)}
    starts = []
    with logging.tqdm(total=len(folds) * (1 + (DIFFERENCE in methods)), desc="Fine-tuning", unit="fold") as bar:
        for i, k in enumerate(folds):
            fit, predicted = fold != k, fold == k
            start = _frozen_baseline(models[i % len(models)], data, fit)
            starts.append(start)
            train = partial(_trained, data=data, fit=fit, settings=settings, seed=seed)
            gender = train(start, gender_loss)
            networks = {}
            if SUPERVISED in methods or DIFFERENCE in methods:
                networks[SUPERVISED] = train(start, wage_loss)
            if MULTI_TASK in methods:
                networks[MULTI_TASK] = train(start, multi_task_loss)
            if PROJECTION in methods:
                second_round = _with_wage_heads(copy.deepcopy(gender), _head_inputs(gender, data, fit))
                networks[PROJECTION] = train(second_round, wage_loss)
            propensity = _propensity(gender, data.read(gender, predicted))
            for name, network in networks.items():
                inputs = data.read(network, predicted)
                others, group = _apply_head(network.wages, inputs).T
                e = _propensity(network, inputs) if name == MULTI_TASK else propensity
                predictions[name][:, predicted] = np.stack([group, others, e])
            bar.update()
        if DIFFERENCE in methods:
            nuisances = Nuisances(*predictions[SUPERVISED])
            differences = np.empty(len(fold))
            for i, k in enumerate(folds):
                fit, predicted = fold != k, fold == k
                network = _with_gap_head(starts[i], data, fit, nuisances)
                network = _trained(network, difference_loss, data, fit, settings, seed, nuisances)
                differences[predicted] = _apply_head(network.gap, data.read(network, predicted))[:, 0]
                bar.update()
            m, e = nuisances.marginal, nuisances.propensity
            predictions[DIFFERENCE] = np.stack([m + (1 - e) * differences, m - e * differences, e])
    return {name: Nuisances(*predictions[name]) for name in methods}


# The loss of a batch, from a network, the inputs of its heads, and the columns outcome, group, weight, m and e.
Loss = Callable[[GapNetwork, torch.Tensor, torch.Tensor], torch.Tensor]


def wage_loss(network: GapNetwork, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Squared error of the wage head that belongs to each person's group."""
    outcome, group, weight = rows[:, 0], rows[:, 1], rows[:, 2]
    predicted = network.wages(inputs).gather(1, group.long()[:, None])[:, 0]
    return (weight * (outcome - predicted) ** 2).sum() / weight.sum() / network.variance


def gender_loss(network: GapNetwork, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the group."""
    return cross_entropy(network.gender(inputs)[:, 0], rows[:, 1], rows[:, 2], reduction="sum") / rows[:, 2].sum()


def multi_task_loss(network: GapNetwork, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The sum of the losses of wages and of gender, as in DragonNet (Shi, Blei and Veitch 2019)."""
    return wage_loss(network, inputs, rows) + gender_loss(network, inputs, rows)


def difference_loss(network: GapNetwork, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The R-learner's loss (Nie and Wager 2021)."""
    outcome, group, weight, marginal, propensity = rows.unbind(1)
    left = (outcome - marginal) - (group - propensity) * network.gap(inputs)[:, 0]
    return (weight * left**2).sum() / weight.sum() / network.variance


def _trained(
    start: GapNetwork,
    loss: Loss,
    data: GapData,
    fit: np.ndarray,
    settings: FineTuning,
    seed: int,
    nuisances: Nuisances | None = None,
) -> GapNetwork:
    """A copy of a network, trained on the people in the rows `fit`."""
    sample = data.sample
    columns = [sample.outcome, sample.group, sample.weight]
    if nuisances is not None:
        columns += [nuisances.marginal, nuisances.propensity]
    row_values = torch.from_numpy(np.column_stack(columns).astype(np.float32))
    network, people, order = copy.deepcopy(start), np.unique(data.person[fit]), np.random.default_rng(seed)
    torch.manual_seed(seed)  # for dropout
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    scheduler = LinearLR(optimizer, 1.0, 0.0, max(settings.updates, 1))
    size, queue = min(settings.people_per_batch, len(people)), np.empty(0, dtype=np.int64)
    network.train()
    for _ in range(settings.updates):
        if len(queue) < size:
            queue = order.permutation(people)
        batch, rows = data.batch(np.sort(queue[:size]))
        queue = queue[size:]
        optimizer.zero_grad()
        loss(network, network(batch, data.columns[rows]), row_values[rows]).backward()
        optimizer.step()
        scheduler.step()
    return network


def _frozen_baseline(model: PreTrainedModel, data: GapData, fit: np.ndarray) -> GapNetwork:
    """A network whose heads are regressions on the representation of the frozen model."""
    torch.manual_seed(0)
    network = GapNetwork(model, data.columns.shape[1], float(data.sample.outcome[fit].var()))
    sample = _head_inputs(network, data, fit)
    _set_head(network.gender, [group_regression(sample)])
    return _with_wage_heads(network, sample)


def _with_wage_heads(network: GapNetwork, sample: GapSample) -> GapNetwork:
    """The same network, with wage heads from regressions on its representation."""
    _set_head(network.wages, [wage_regression(sample, rows) for rows in (~sample.group, sample.group)])
    return network


def _with_gap_head(network: GapNetwork, data: GapData, fit: np.ndarray, nuisances: Nuisances) -> GapNetwork:
    """The same network, with a head for the difference from a regression on its representation."""
    sample = _head_inputs(network, data, fit)
    _set_head(network.gap, [difference_regression(sample, nuisances.marginal[fit], nuisances.propensity[fit])])
    return network


def _head_inputs(network: GapNetwork, data: GapData, fit: np.ndarray) -> GapSample:
    """The rows `fit` of the sample, with the inputs of the heads as features."""
    rows = data.sample.with_features(np.empty((len(fit), 0))).take(fit)
    return rows.with_features(data.read(network, fit))


def _set_head(head: nn.Linear, pipelines: Sequence[Any]) -> None:
    """Writes fitted pipelines of a scaler and a linear model into a linear layer."""
    with torch.no_grad():
        for output, (scaler, linear) in enumerate((p[0], p[-1]) for p in pipelines):
            weight = np.ravel(linear.coef_) / scaler.scale_
            head.weight[output] = torch.from_numpy(weight)
            head.bias[output] = float(np.ravel(linear.intercept_)[0] - weight @ scaler.mean_)


def _apply_head(head: nn.Linear, inputs: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return head(torch.from_numpy(inputs)).double().numpy()


def _propensity(network: GapNetwork, inputs: np.ndarray) -> np.ndarray:
    return expit(_apply_head(network.gender, inputs)[:, 0])


__all__ = [
    "DIFFERENCE",
    "METHODS",
    "MULTI_TASK",
    "PROJECTION",
    "SUPERVISED",
    "FineTuning",
    "GapData",
    "GapNetwork",
    "check_protected",
    "finetuned_nuisances",
]
