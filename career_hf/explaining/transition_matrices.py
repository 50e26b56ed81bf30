"""Matrices of moves between broad groups and states without work: what a model implies beside what was seen.

A row is where people were at the step before, a column where they are now; to stay is on the diagonal. Observed shares
and the model's mean probabilities are over the same person-years, so they differ only where the model errs or chance
moves. Both are weighted where careers have a `weight`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import torch

from ..careers.frames import covariate_names, to_frame
from ..encoding.collating import EncodedCareers
from ..evaluation.metrics import INTERVAL
from ..evaluation.resampling import resample_means
from ..evaluation.transition_table import distributions
from .outcome_groups import group_matrix


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from ..encoding.processing_career import CareerProcessor

FEWEST_EXPECTED = 5


def transition_matrices(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    *,
    groups: Mapping[str, str] | None = None,
    by: str | None = None,
    draws: int = 1000,
    seed: int = 0,
    batch_tokens: int = 16_000,
    unknown_levels: Literal["error", "missing"] = "error",
) -> pd.DataFrame:
    """Shares of people who go from one group to another in a step, observed and implied by a model.

    The implied share is the mean of p(y_t in the group | past) over all steps from the row's group, with whatever past
    and covariates each of them has. First steps come from nowhere and are left out.

    Args:
        model: An occupation model.
        careers: Careers; people whom the model was not trained on.
        processor: The model's processor.
        groups: Group of every occupation, such as `groups_of(processor.occupations)`; single occupations without it.
        by: A covariate of the careers: matrices of each of its levels, missing ones among them, at the step's time.
        draws, seed: Of the resampling of people.
        batch_tokens: Steps per batch, padding included.
        unknown_levels: What to do with levels that training never saw, as in `processor.encode`.

    Returns:
        One row for each level of `by`, previous group that somebody was in, and group: the covariate itself, previous,
        occupation, n (steps from the previous group), people (who take them), observed, observed_low, observed_high,
        implied, implied_low, implied_high, difference (implied less observed), standard_error, low and high (95%) of
        the difference, which is paired. Observed and implied sum to one over `occupation`. Intervals are too narrow
        where few steps are expected, n times implied below `FEWEST_EXPECTED`: a move that nobody made does not vary
        between resamples. Categories are in the order of `outcome_groups.in_order`; `matrix` makes a square of one
        column. `attrs` say weighted and draws.

    Raises:
        ValueError: `by` is not a covariate of the careers, nobody has a second step, or as in `transition_table`.
    """
    processor.check(model.config)
    if by is not None and by not in sum(covariate_names(careers), []):
        raise ValueError(f"careers have no covariate '{by}' to group by, only {sum(covariate_names(careers), [])}")
    encoded = EncodedCareers(processor.encode(careers, unknown_levels)[0])
    flat = encoded.gather(np.arange(len(encoded)))
    later = flat.positions > 0
    if not later.any():
        raise ValueError("nobody is observed twice, so there are no moves: pass longer careers")
    labels, matrix = group_matrix(processor, groups)
    group_of_id = np.where(matrix.sum(dim=1) > 0, matrix.argmax(dim=1), -1)
    levels, level_names = _levels(careers, by)

    # All that is needed are each person's sums in each cell, a cell being a level and a previous group.
    keys = np.stack([levels, group_of_id[flat.input_ids], np.repeat(np.arange(len(encoded)), flat.lengths)])
    cells, cell = np.unique(keys[:, later], axis=1, return_inverse=True)
    count = np.bincount(cell)
    cell_of_step = np.full(len(later), -1)
    cell_of_step[later] = cell
    implied = torch.zeros(cells.shape[1], len(labels), dtype=torch.float64)
    for place, log_probs, _, _ in distributions(model, encoded, batch_tokens):
        used = torch.from_numpy(later[place])
        probabilities = log_probs[used.to(log_probs.device)].cpu().double().exp() @ matrix
        implied.index_add_(0, torch.from_numpy(cell_of_step[place])[used], probabilities)
    seen = np.bincount(cell * len(labels) + group_of_id[flat.labels[later]], minlength=implied.numel())
    both = np.concatenate([seen.reshape(implied.shape), implied.numpy()], axis=1) / count[:, None]
    weight = np.array(careers["weight"][:])[cells[2]] if "weight" in careers.column_names else np.ones(len(count))

    frames = []
    for level, previous in np.unique(cells[:2], axis=1).T:
        here = np.flatnonzero((cells[0] == level) & (cells[1] == previous))
        frame = _row(both[here], weight[here] * count[here], draws, seed)
        frame.insert(0, "occupation", labels)
        frame.insert(0, "previous", labels[previous])
        frame.insert(2, "n", int(count[here].sum()))
        frame.insert(3, "people", len(here))
        if by is not None:
            frame.insert(0, by, level_names[level] if level >= 0 else None)
        frames.append(frame)
    found = pd.concat(frames, ignore_index=True)
    for name in ("previous", "occupation"):
        found[name] = pd.Categorical(found[name], categories=pd.Index(labels, dtype="str"))
    found.attrs = {"weighted": "weight" in careers.column_names, "draws": draws}
    return found


def matrix(found: pd.DataFrame, column: str = "implied") -> pd.DataFrame:
    """One column of one matrix as a square: previous groups in rows, groups in columns.

    Args:
        found: What `transition_matrices` returns, of one level of `by`.
        column: Which number.

    Raises:
        ValueError: There are several matrices in it.
    """
    if found.duplicated(["previous", "occupation"]).any():
        raise ValueError("there are matrices of several levels: choose one, found[found['gender'] == 'women']")
    return found.pivot(index="previous", columns="occupation", values=column)


def _levels(careers: Dataset, by: str | None) -> tuple[np.ndarray, list[str]]:
    """`(person-years,)` places of levels, -1 where missing, and the levels, sorted; one for all without `by`."""
    long = to_frame(careers)
    if by is None:
        return np.zeros(len(long), dtype=np.int64), ["all"]
    codes, names = pd.factorize(long[by], sort=True)
    return codes, list(names)


def _row(both: np.ndarray, weight: np.ndarray, draws: int, seed: int) -> pd.DataFrame:
    """One row of a matrix, a line for each column of it, from each person's means `(people, observed and implied)`."""
    everybody, together = np.arange(len(both)), np.zeros(len(both), dtype=np.int64)
    means, resampled = resample_means(both, weight, everybody, together, draws=draws, seed=seed)
    observed, implied = np.split(means[0], 2)
    drawn = dict(zip(("observed", "implied"), np.split(resampled[:, 0], 2, axis=1), strict=True))
    drawn["difference"] = drawn["implied"] - drawn["observed"]
    low, high = (np.stack([np.quantile(part, at, axis=0) for part in drawn.values()]) for at in INTERVAL)
    return pd.DataFrame(
        {
            "observed": observed,
            "observed_low": low[0],
            "observed_high": high[0],
            "implied": implied,
            "implied_low": low[1],
            "implied_high": high[1],
            "difference": implied - observed,
            "standard_error": drawn["difference"].std(axis=0, ddof=1),
            "low": low[2],
            "high": high[2],
        }
    )


__all__ = ["FEWEST_EXPECTED", "matrix", "transition_matrices"]
