"""Calibration: reliability curves, calibration errors, and recalibration on validation careers."""

from __future__ import annotations

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

from ..careers.columns import career_table, weights_by_step, with_weights
from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..models.two_stage import IMPOSSIBLE
from .changed_predictions import changed_predictions
from .metrics import INTERVAL, step_weights, without_zero_weights
from .resampling import resample_means
from .transition_table import distributions


# Smallest distance from 0 and 1 of probabilities whose log-odds are computed.
TINY = 1e-6


@without_zero_weights
def reliability(
    table: pd.DataFrame,
    event: Literal["stay", "top"] = "stay",
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
        draws, seed: Number and random seed of the resamples of people behind the interval of `observed`.
        weighted: Whether to use survey weights in means and shares.

    Returns:
        One row per bin: n, share (of all steps), predicted (mean probability), observed (share of steps with the
        event), low, high. Bins that equal predictions would split are merged; there are none where no step counts, as
        where everybody is seen once.
    """
    rows = table[(table["step"] > 0) & ~table["unknown"]] if event == "stay" else table[~table["unknown"]]
    predicted = rows["p_stay" if event == "stay" else "p_top"].to_numpy()
    happened = (rows["transition"] == "stay" if event == "stay" else rows["rank"] == 1).to_numpy()
    if rows.empty:
        names = ["n", "share", "predicted", "observed", "low", "high"]
        return pd.DataFrame(columns=names, index=pd.RangeIndex(0, name="bin"), dtype=np.float64).astype({"n": int})
    # If all predictions are equal, qcut returns NaN.
    group = np.nan_to_num(pd.qcut(predicted, bins, labels=False, duplicates="drop")).astype(int)
    person = pd.factorize(rows["person"])[0]
    weight = step_weights(rows, weighted)
    values = np.stack([predicted, happened], axis=1).astype(np.float64)
    means, resampled = resample_means(values, weight, person, group, draws=draws, seed=seed)
    low, high = np.nanquantile(resampled[..., 1], INTERVAL, axis=0)
    sizes = {"n": np.bincount(group), "share": np.bincount(group, weights=weight) / weight.sum()}
    columns = {"predicted": means[:, 0], "observed": means[:, 1], "low": low, "high": high}
    return pd.DataFrame(sizes | columns).rename_axis("bin")


def calibration_error(curve: pd.DataFrame) -> float:
    """Expected calibration error: the mean distance of observed shares from predictions, over steps.

    Args:
        curve: What `reliability` returns; the error is NaN if it has no bins.
    """
    if curve.empty:
        return float("nan")
    return float(np.average((curve["predicted"] - curve["observed"]).abs(), weights=curve["share"]))


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


__all__ = ["Recalibration", "calibration_error", "recalibrate", "reliability"]
