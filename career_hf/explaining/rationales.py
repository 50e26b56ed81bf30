"""Rationales: which earlier occupations are enough for a prediction (Figure 3 and Appendix G of the paper).

Greedy rationalization (Vafa et al., 2021): start from the latest occupation alone, add the earlier one that raises the
probability of what is explained most, and stop as soon as that is what the model would predict. A model should be
trained with job dropout (`job_dropout.py`), or it is asked what it never was asked in training.
`explained_predictions.py` has the rules, and what becomes of the steps that are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from transformers.utils import logging

from .explained_predictions import ORIGINAL, PAPER, ExplainedPredictions, Rule


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from ..encoding.processing_career import CareerProcessor

# Predictions that are explained at a time, which bounds memory.
BLOCK = 4_096


def rationales(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    rule: Rule = PAPER,
    *,
    steps: Any = None,
    max_size: int | None = None,
    covariates: Sequence[str] | None = None,
    unknown_levels: Literal["error", "missing"] = "error",
    batch_tokens: int = 16_000,
) -> pd.DataFrame:
    """Greedy rationales of predictions.

    Where no set that the search passes meets the rule, its last set is returned, with `complete` false: the whole
    career so far, or `max_size` steps of it. Nothing is left out of the result.

    Args:
        model: CAREER, best trained with job dropout. Rivals cannot be told where the steps left over stood.
        careers: Careers, labels not ids.
        processor: The model's.
        rule: What is explained, and when a rationale is complete.
        steps: Table with columns person and year: the predictions to explain. Unless given, every move if the rule is
            about moves, and otherwise every step after the first.
        max_size: Steps of a rationale at most, the latest included; as many as there are unless given.
        covariates: Those that the model is given, some of its own; the others are set to "missing" everywhere. All
            unless given.
        unknown_levels: As in `processor.encode`.
        batch_tokens: Steps per forward call.

    Returns:
        One row for every step of every rationale, in the order in which they were added: person; step (0 is the first
        of the career), year, previous, occupation and target of the explained prediction (occupation is what followed,
        target what is explained); order, 0 for the latest occupation, which is always there; rationale_step,
        rationale_year and rationale_occupation, what was added (-1 and nulls for the beginning of the career);
        probability and rank of the target given this row's step and those before it; complete, whether the rationale
        meets the rule, the same on all its rows; whole_probability and whole_rank, given the whole career so far.

    Raises:
        ValueError: The model is not CAREER, it does not belong to the processor, a step cannot be explained (a person
            or year that is not in the careers, a first step, or a stay where moves that were made are explained), or a
            covariate is left out whose "missing" the model was never trained on.
    """
    if max_size is not None and max_size < 1:
        raise ValueError(f"max_size is {max_size}, but a rationale has at least the latest step: give 1 or more")
    explained = ExplainedPredictions(model, careers, processor, rule, steps, covariates, unknown_levels, batch_tokens)
    everything = np.arange(len(explained.row))
    blocks = [everything[start : start + BLOCK] for start in everything[::BLOCK]]
    found = [_greedy(explained, block, max_size) for block in logging.tqdm(blocks, desc="Searching", unit="block")]
    added = pd.concat(found).sort_values(["which", "order"], kind="stable")
    which = added["which"].to_numpy()
    complete = added.groupby("which")["rank"].last() <= rule.top
    return pd.DataFrame(
        {
            **explained.describe(which),
            "order": added["order"].to_numpy(),
            **explained.name(which, added["slot"].to_numpy()),
            "probability": np.exp(added["log_prob"].to_numpy()),
            "rank": added["rank"].to_numpy(dtype=np.int64),
            "complete": complete.loc[which].to_numpy(),
            "whole_probability": explained.whole_probability[which],
            "whole_rank": explained.whole_rank[which],
        }
    )


def smallest_rationales(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    rule: Rule = PAPER,
    *,
    steps: Any = None,
    longest: int = 10,
    covariates: Sequence[str] | None = None,
    unknown_levels: Literal["error", "missing"] = "error",
    batch_tokens: int = 16_000,
) -> pd.DataFrame:
    """Smallest rationales, by trying every set of earlier steps: what greedy ones are measured by.

    Args:
        model, careers, processor, rule, steps, covariates, unknown_levels, batch_tokens: As in `rationales`.
        longest: Earlier steps, beside the latest, that a prediction may have; n of them make 2^n sets.

    Returns:
        One row per prediction: person, step, year, previous, occupation and target as in `rationales`; size, the
        latest step included; rationale_steps, the set in the order of time (of the smallest sets that meet the rule
        the one that makes the target likeliest); probability and rank of the target given these; complete, false
        where no set meets the rule, in which case the set is the whole career so far.

    Raises:
        ValueError: As `rationales`, or a prediction has more earlier steps than `longest`.
    """
    explained = ExplainedPredictions(model, careers, processor, rule, steps, covariates, unknown_levels, batch_tokens)
    too_long = np.flatnonzero(explained.step - 1 > longest)
    if len(too_long):
        person, year = (explained.describe(too_long[:1])[name][0] for name in ("person", "year"))
        raise ValueError(
            f"person '{person}', year {year}: more than {longest} steps come before the latest one, and every set of "
            "them would be tried; leave the year out of steps, or raise longest"
        )
    everything = np.arange(len(explained.row))
    found = [_smallest(explained, which) for which in logging.tqdm(everything, desc="Trying all sets", unit="set")]
    return pd.DataFrame({**explained.describe(everything), **pd.DataFrame(found)})


def _greedy(explained: ExplainedPredictions, which: np.ndarray, max_size: int | None) -> pd.DataFrame:
    """The search for some predictions at once: which, order, slot, log_prob and rank of every step added."""
    chosen = explained.step[which][:, None]
    log_prob, rank = explained.score(which, chosen)
    added = []
    while True:
        found = {"which": which, "order": chosen.shape[1] - 1, "slot": chosen[:, -1]}
        added.append(pd.DataFrame(found | {"log_prob": log_prob, "rank": rank}))
        free = explained.free(which, chosen)
        going_on = (rank > explained.rule.top) & free.any(axis=1)
        if not going_on.any() or chosen.shape[1] == max_size:
            return pd.concat(added)
        which, chosen, free = which[going_on], chosen[going_on], free[going_on]
        row, slot = free.nonzero()
        # All candidates of all predictions have as many steps, so batches need no padding.
        scores = explained.score(which[row], np.sort(np.c_[chosen[row], slot], axis=1))
        grid = np.full((2, *free.shape), -np.inf)
        grid[:, row, slot] = scores
        best = grid[0].argmax(axis=1)
        log_prob, rank = grid[:, np.arange(len(which)), best]
        chosen = np.c_[chosen, best]


def _smallest(explained: ExplainedPredictions, which: int) -> dict[str, Any]:
    """The smallest set for one prediction, set by set."""
    latest = explained.step[[which]]
    free = explained.free(np.array([which]), latest[:, None])[0].nonzero()[0]
    for size in range(len(free) + 1):
        sets = np.array([[*others, *latest] for others in combinations(free, size)])
        log_prob, rank = explained.score(np.full(len(sets), which), sets)
        complete = rank <= explained.rule.top
        if complete.any():
            break
    best = int(np.where(complete | ~complete.any(), log_prob, -np.inf).argmax())
    return {
        "size": size + 1,
        "rationale_steps": (sets[best] - 1).tolist(),
        "probability": np.exp(log_prob[best]),
        "rank": int(rank[best]),
        "complete": bool(complete.any()),
    }


__all__ = ["ORIGINAL", "PAPER", "Rule", "rationales", "smallest_rationales"]
