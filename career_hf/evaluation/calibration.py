"""Calibration: reliability curves, calibration errors, and recalibration on validation careers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from scipy.optimize import minimize_scalar
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F
from transformers import PreTrainedModel

from ..careers.clusters import clusters
from ..careers.columns import career_table, weights_by_step, with_weights
from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..models.two_stage import IMPOSSIBLE
from .changed_predictions import changed_predictions
from .metrics import as_seeds, shared_rows, step_weights, without_zero_weights
from .resampling import absolute_sum_interval, cluster_counts, interval, resample_means
from .transition_table import distributions


Event = Literal["stay", "top"]
# Events whose predicted probabilities are compared with observed shares.
EVENTS: tuple[Event, ...] = ("stay", "top")
# Smallest distance from 0 and 1 of probabilities whose log-odds are computed.
TINY = 1e-6


@without_zero_weights
def reliability(
    table: pd.DataFrame,
    event: Event = "stay",
    bins: int = 10,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """Predicted probabilities and observed shares of an event, by bins of predictions.

    Steps from or to an occupation that the model does not know are left out.

    Args:
        table: A transition table.
        event: The event: "stay", to stay, from the second step on; or "top", that the likeliest occupation is right.
        bins: Number of bins with equally many steps, from the smallest predictions to the largest.
        draws, seed: Number and random seed of the resamples of clusters behind the interval of `observed`.
        weighted: Whether to use survey weights in means and shares.

    Returns:
        One row per bin: n, share (of all steps), predicted (mean probability), observed (share of steps with the
        event), low, high, which are null in bins of fewer than `FEWEST` clusters. Bins that equal predictions would
        split are merged; there are none where no step counts, as where everybody is seen once, or where the table does
        not give the probabilities.
    """
    rows, predicted, happened = event_rows(table, event)
    if np.isnan(predicted).any() or rows.empty:
        names = ["n", "share", "predicted", "observed", "low", "high"]
        return pd.DataFrame(columns=names, index=pd.RangeIndex(0, name="bin"), dtype=np.float64).astype({"n": int})
    group, weight = numbers_of_bins(predicted, bins), step_weights(rows, weighted)
    values = np.stack([predicted, happened], axis=1).astype(np.float64)
    means, resampled = resample_means(values, weight, clusters(rows), group, draws=draws, seed=seed)
    low, high = interval(resampled[..., 1], cluster_counts(rows, group, weight))
    sizes = {"n": np.bincount(group), "share": np.bincount(group, weights=weight) / weight.sum()}
    columns = {"predicted": means[:, 0], "observed": means[:, 1], "low": low, "high": high}
    return pd.DataFrame(sizes | columns).rename_axis("bin")


def event_rows(table: pd.DataFrame, event: Event) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """The steps at which an event of `reliability` is predicted, its probability, which is NaN where the table does
    not give what is needed, and whether it happens."""
    rows = table[((table["step"] > 0) & ~table["unknown"] if event == "stay" else ~table["unknown"]).to_numpy()]
    if event == "stay":
        return rows, rows["p_stay"].to_numpy(), (rows["transition"] == "stay").to_numpy()
    return rows, rows["p_top"].where(rows["rank"].notna()).to_numpy(), (rows["rank"] == 1).to_numpy()


def numbers_of_bins(predicted: np.ndarray, bins: int) -> np.ndarray:
    """The number of each prediction's bin; bins hold equally many predictions, and equal ones are in one bin."""
    if not len(predicted):
        return np.zeros(0, dtype=np.int64)
    # If all predictions are equal, qcut returns NaN; if they are fewer than bins, some bins have none.
    numbers = np.nan_to_num(pd.qcut(predicted, bins, labels=False, duplicates="drop"))
    return np.unique(numbers, return_inverse=True)[1]


def calibration_error(curve: pd.DataFrame) -> float:
    """Expected calibration error: the mean distance of observed shares from predictions, over steps.

    Args:
        curve: What `reliability` returns; the error is NaN if it has no bins.
    """
    if curve.empty:
        return float("nan")
    return float(np.average((curve["predicted"] - curve["observed"]).abs(), weights=curve["share"]))


@without_zero_weights
def calibration_errors(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    baseline: str,
    event: Event = "stay",
    bins: int = 10,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """Expected calibration error of each model, and its difference from the baseline's, with intervals.

    The error is that of `calibration_error` on the curve of `reliability`. Chance makes errors positive, and larger
    with fewer people, so that a lower end above 0 is evidence against a model, and the error itself is not. Intervals
    allow for that (`resampling.absolute_sum_interval`). All models have the same steps and resamples.

    Args:
        tables: For each model a transition table, or one for each seed, over which errors are averaged.
        baseline: The model whose error is subtracted.
        event, bins, draws, seed, weighted: As in `reliability`.

    Returns:
        One row per model: error, low, high, difference, difference_low, difference_high. Intervals are null with fewer
        than `FEWEST` clusters, and everything where no step counts, or a table does not give the probabilities.

    Raises:
        ValueError: The tables do not have the same rows, or there is no such baseline.
    """
    if baseline not in tables:
        raise ValueError(f"baseline '{baseline}' is not among the tables: {list(tables)}")
    seeds, _ = shared_rows({name: as_seeds(model_tables) for name, model_tables in tables.items()})
    # The columns of a model's seeds stand side by side.
    parts = {
        name: np.concatenate(
            [distances_in_bins(*event_rows(table, event)[1:], bins) for table in model_tables], axis=1
        )
        for name, model_tables in seeds.items()
    }
    rows = event_rows(seeds[baseline][0], event)[0]
    weight, everybody = step_weights(rows, weighted), np.zeros(len(rows), dtype=np.int64)
    names = ["error", "low", "high", "difference", "difference_low", "difference_high"]
    if not weight.sum() > 0:
        return pd.DataFrame(np.nan, index=pd.Index(seeds, name="model"), columns=names)
    (count,) = cluster_counts(rows, everybody, weight)
    values = np.concatenate(list(parts.values()), axis=1)
    (mean,), drawn = resample_means(values, weight, clusters(rows), everybody, draws=draws, seed=seed)
    owner = np.repeat(np.arange(len(seeds)), [part.shape[1] for part in parts.values()])
    share = 1 / np.array([len(model_tables) for model_tables in seeds.values()])[owner]
    k, found = list(seeds).index(baseline), {}
    for number, name in enumerate(seeds):
        factors = share * (owner == number), share * (1.0 * (owner == number) - (owner == k))
        found[name] = [end for factor in factors for end in absolute_sum_interval(mean, drawn[:, 0], factor, count)]
    return pd.DataFrame.from_dict(found, orient="index", columns=names).rename_axis("model")


def distances_in_bins(predicted: np.ndarray, happened: np.ndarray, bins: int) -> np.ndarray:
    """`(rows, bins)`: predicted probability less outcome in the column of the row's bin, 0 in the others.

    The calibration error is the sum of the absolute values of the columns' means.
    """
    distances = np.zeros((len(predicted), bins))
    distances[np.arange(len(predicted)), numbers_of_bins(predicted, bins)] = predicted - happened
    return distances


@dataclass(frozen=True)
class Recalibration:
    """A correction of the stay probability and of the temperature of moves, for any occupation model.

    Staying has log-odds `stay_intercept + stay_slope * log-odds of the model`, and moves have the model's
    probabilities to the power of 1 / `temperature`, normalised. An intercept of 0 and slope and temperature of 1
    change nothing.

    Args:
        temperature: Temperature of moves; above 1 their probabilities become more equal.
        stay_slope, stay_intercept: Slope and intercept of the log-odds of staying.
    """

    temperature: float = 1.0
    stay_slope: float = 1.0
    stay_intercept: float = 0.0

    def log_probs(self, log_probs: torch.Tensor, previous: torch.Tensor, special_token_ids: list[int]) -> torch.Tensor:
        """Recalibrated log-probabilities.

        Args:
            log_probs: `(..., vocabulary)`: the model's log-probabilities.
            previous: `(...)`: ids of y_{t-1}; special ids at first steps.
            special_token_ids: Ids that are not occupations.
        """
        place = previous.unsqueeze(-1)
        nobody_stays = torch.isin(place, torch.tensor(special_token_ids, device=place.device))
        p_stay = log_probs.gather(-1, place).exp().clamp(TINY, 1 - TINY)
        stay = self.stay_intercept + self.stay_slope * (p_stay.log() - (-p_stay).log1p())
        stay = stay.masked_fill(nobody_stays, IMPOSSIBLE)
        moves = F.log_softmax(log_probs.scatter(-1, place, -torch.inf) / self.temperature, dim=-1)
        return (moves + F.logsigmoid(-stay)).scatter(-1, place, F.logsigmoid(stay)).clamp(min=IMPOSSIBLE)

    def applied_to(self, model: PreTrainedModel) -> AbstractContextManager[PreTrainedModel]:
        """A context in which the model predicts recalibrated probabilities, in `transition_table` and elsewhere."""
        special = model.config.special_token_ids
        return changed_predictions(model, lambda log_probs, previous: self.log_probs(log_probs, previous, special))


def recalibrate(
    model: PreTrainedModel, validation: Dataset, processor: CareerProcessor, weighted: bool = False
) -> Recalibration:
    """Fits temperature and stay log-odds to validation careers by likelihood (Guo et al., 2017; Platt, 1999).

    Steps from or to an occupation that the model does not know are left out: whether they are stays is not known.

    Args:
        model: Any occupation model.
        validation: Careers that the model was not trained on and will not be scored on.
        processor: The model's processor.
        weighted: Whether to use the careers' survey weights.

    Raises:
        ValueError: There are no careers, weights are asked for and missing, everybody stays, or everybody moves.
    """
    if not len(validation):
        raise ValueError("there are no validation careers to recalibrate with: the split is empty")
    weight = weights_by_step(career_table(with_weights(validation, weighted)))
    encoded = EncodedCareers(processor.encode(validation, unknown_levels="missing")[0])
    # Ids from which nobody stays or moves: special ones, and the unknown occupation.
    unknown = processor.unknown_occupation
    unknown_ids = [] if unknown is None else [processor.occupations.index(unknown)]
    nowhere = torch.tensor([*processor.special_token_ids, *unknown_ids])
    stayed, log_odds, moves, moved_to, mass = [], [], [], [], []
    for place, log_probs, previous, occupation in distributions(model, encoded):
        later = ~torch.isin(previous, nowhere.to(previous.device))
        later &= torch.from_numpy(weight[place] > 0).to(previous.device)
        later &= ~torch.isin(occupation, nowhere.to(previous.device))
        log_probs, previous, occupation = log_probs[later].double(), previous[later], occupation[later]
        stay = occupation == previous
        p_stay = log_probs.gather(-1, previous.unsqueeze(-1)).squeeze(-1).exp().clamp(TINY, 1 - TINY)
        stayed.append(stay.cpu().numpy())
        log_odds.append(logit(p_stay.cpu().numpy()))
        moves.append(log_probs.scatter(-1, previous.unsqueeze(-1), -torch.inf)[~stay].float().cpu())
        moved_to.append(occupation[~stay].cpu())
        mass.append(weight[place][later.cpu().numpy()])
    odds, happened = np.concatenate(log_odds)[:, None], np.concatenate(stayed)
    if happened.all() or not happened.any():
        raise ValueError(f"recalibration needs stays and moves: {happened.sum()} of {len(happened)} steps are stays")
    move_log_probs, destination = torch.cat(moves), torch.cat(moved_to)

    step_mass = np.concatenate(mass)
    move_share = torch.from_numpy(step_mass[~happened] / step_mass[~happened].sum())

    def nll(log_temperature: float) -> float:
        tempered = move_log_probs * np.exp(-log_temperature)
        if not weighted:
            return float(F.cross_entropy(tempered, destination))
        return float(F.cross_entropy(tempered, destination, reduction="none").double() @ move_share)

    platt = LogisticRegression(C=np.inf).fit(odds, happened, step_mass if weighted else None)
    best = minimize_scalar(nll, bounds=(-2, 2), method="bounded")
    return Recalibration(float(np.exp(best.x)), float(platt.coef_[0, 0]), float(platt.intercept_[0]))


__all__ = [
    "EVENTS",
    "Event",
    "Recalibration",
    "calibration_error",
    "calibration_errors",
    "distances_in_bins",
    "event_rows",
    "numbers_of_bins",
    "recalibrate",
    "reliability",
]
