"""Gradient-boosted trees on what the Markov regression knows: a rival for studies, refitted and never saved.

    p(y_t = y_{t-1})               boosted
    p(class | move)                boosted; a class for each group of occupations, and one for y_{t-2}
    p(j | group, y_{t-1}, move)    counted, (n(y_{t-1}, j) + strength f(j)) / (n(y_{t-1}, group) + strength)

Features are those of Appendix G, as in `career_hf/rivals/regression.py`: the last two occupations, beside them their
groups, covariates, years in the occupation and in all, a gap and a change of education. A first occupation is a move
from the beginning of the career. n counts the moves of training careers to other occupations than y_{t-2}; f(j) is the
share of j among all of them into its group, every occupation counted once more. y_{t-1} has no share of its group, and
neither has y_{t-2}, which is a class of its own: what they leave is divided among the others.

The booster is scikit-learn's histogram booster. It takes at most 255 levels of a feature, so the rarest occupations
share one; it grows a tree for each class and iteration, so classes are groups; and it is kept by pickle alone, so
there is nothing to save.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits
from torch import nn

from career_hf.encoding.collating import EncodedCareers, PaddingCollator
from career_hf.evaluation.transition_table import codes_of_ids
from career_hf.rivals.base import BaselineForOccupationPrediction
from career_hf.rivals.regression import RegressionConfig, history_features


if TYPE_CHECKING:
    from datasets import Dataset

    from career_hf.encoding.processing_career import CareerProcessor

MOST_LEVELS = 255
# Of each part, staying and moving, which are chosen apart because their likelihoods are terms of a sum.
RATES = (0.1, 0.05)
SIZES: tuple[dict[str, Any], ...] = (
    {"max_leaf_nodes": 8, "l2_regularization": 10.0},
    {"max_leaf_nodes": 8, "l2_regularization": 100.0},
    {"max_leaf_nodes": 31, "l2_regularization": 10.0},
    {"max_leaf_nodes": 31, "l2_regularization": 100.0},
)
# Iterations without improvement on validation careers after which a trial stops, and at most.
PATIENCE, MOST_ITERATIONS = 5, 1_000
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class Steps(NamedTuple):
    """Steps of careers, one below the other.

    Args:
        previous, before: `(steps,)` ids of y_{t-1} and y_{t-2}; special ids where there is none.
        levels: `(steps, features)`, categorical features, whose levels are numbers.
        numbers: `(steps, features)`, numeric features; NaN is not known.
    """

    previous: np.ndarray
    before: np.ndarray
    levels: np.ndarray
    numbers: np.ndarray


class BoostedTrees(BaselineForOccupationPrediction):
    """Boosted trees as an occupation model: `fit` grows them, `forward` is any rival's.

    `trials` says what was tried: part ("stay" or "move"), learning_rate, max_leaf_nodes, l2_regularization, iterations
    to the best validation likelihood, nll there, hours.
    """

    config: RegressionConfig
    config_class = RegressionConfig
    trials: pd.DataFrame
    stay: HistGradientBoostingClassifier
    move: HistGradientBoostingClassifier
    moves: int
    strength: float
    _code_of_level: list[np.ndarray]

    def __init__(self, config: RegressionConfig, group_of_id: np.ndarray):
        super().__init__(config)
        # The groups' numbers are classes; the class of y_{t-2} comes after them, and special ids are in no group.
        self.back = int(group_of_id.max()) + 1
        self.group_of_id = np.where(group_of_id < 0, self.back, group_of_id)
        self.within = nn.Parameter(torch.full((config.vocab_size,) * 2, torch.nan), requires_grad=False)

    @classmethod
    def fit(
        cls,
        train: Dataset,
        validation: Dataset,
        processor: CareerProcessor,
        groups: Mapping[str, str] | None = None,
        *,
        trials: int = 8,
        seed: int = 0,
    ) -> BoostedTrees:
        """Grows trees on training careers, with the settings and the iterations that validation careers like best.

        Args:
            train, validation: Encoded careers.
            processor: Theirs.
            groups: Group of every occupation; each is one of its own without it, and has a tree in every iteration.
            trials: Settings to try for each part, at most 8.
            seed: Of the booster, which takes a sample to bin features where there are more than 200,000 steps.

        Raises:
            ValueError: An occupation has no group.
        """
        model = cls(RegressionConfig.from_processor(processor), codes_of_ids(processor, groups)[0])
        (steps, to), (others, others_to) = (model._scored(careers) for careers in (train, validation))
        model._code_of_level = [_common_levels(column) for column in steps.levels.T]
        features, held_out = model._features(steps), model._features(others)
        settings = [{"learning_rate": rate, **size} for rate, size in itertools.product(RATES, SIZES)][:trials]
        tried = []
        # A study runs several jobs at once, each with the threads that torch has.
        with threadpool_limits(torch.get_num_threads()):
            for part in ("stay", "move"):
                rows, target = model._targets(part, steps, to)
                of_others, aim = model._targets(part, others, others_to)
                # The booster has no class that training careers do not have.
                of_others &= np.isin(aim, target[rows])
                data = features[rows], target[rows], held_out[of_others], aim[of_others]
                runs = [{"part": part, **setting, **model._try(setting, *data, seed)} for setting in settings]
                best = min(range(len(runs)), key=lambda i: runs[i]["nll"])
                # Once more, without the iterations after the best one.
                booster = model._booster(settings[best], runs[best]["iterations"], seed).fit(*data[:2])
                setattr(model, part, booster)
                tried += runs
        model.trials = pd.DataFrame(tried)
        model._count(steps, to, others, others_to)
        return model.eval()

    def scores(
        self, input_ids: torch.Tensor, covariates: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        steps = self._steps(input_ids, covariates)
        features = self._features(steps)
        with threadpool_limits(torch.get_num_threads()):
            stay = self.stay.decision_function(features)
            of_known = np.log(self.move.predict_proba(features))
        # A class that training careers do not have is as likely as one move among all.
        of_class = np.full((len(features), self.back + 1), -np.log(self.moves))
        of_class[:, self.move.classes_] = of_known
        logits = of_class[:, self.group_of_id] + self._log_within(self.within.numpy(), steps)
        back = np.flatnonzero(self._back_exists(steps))
        logits[back, steps.before[back]] = of_class[back, self.back]
        shape = input_ids.shape
        return torch.from_numpy(logits).float().view(*shape, -1), torch.from_numpy(stay).float().view(shape)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Raises a ValueError: the booster is kept by pickle alone, which runs whatever is in it when it is loaded."""
        raise ValueError("boosted trees are not saved: fit them again, or keep their transition table")

    def _steps(self, input_ids: torch.Tensor, covariates: torch.Tensor | None) -> Steps:
        """All steps of a batch, those of padding too."""
        config = self.config
        previous = input_ids.numpy().ravel()
        before = nn.functional.pad(input_ids[:, :-1], (1, 0), value=config.pad_token_id).numpy().ravel()
        levels = [previous, before, self.group_of_id[previous], self.group_of_id[before]]
        numbers = [history_features(config, input_ids, covariates).flatten(0, 1).numpy()]
        if covariates is not None:
            for name, level in zip(config.covariate_names, covariates.flatten(0, 1).numpy().T, strict=True):
                if name == config.time_covariate:
                    years = [np.nan if year is None else year for year in config.year_of_level]
                    numbers.append(np.array(years, dtype=float)[level])
                else:
                    levels.append(level)
        return Steps(previous, before, np.stack(levels, axis=1), np.column_stack(numbers))

    def _scored(self, encoded: Dataset) -> tuple[Steps, np.ndarray]:
        """Steps of encoded careers, without padding, and ids of y_t."""
        careers = EncodedCareers(encoded)
        batch = PaddingCollator(self.config.pad_token_id)(careers.gather(np.arange(len(careers))))
        real = (batch["labels"] != -100).numpy().ravel()
        steps = self._steps(batch["input_ids"], batch.get("covariates"))
        return Steps(*(column[real] for column in steps)), batch["labels"].numpy().ravel()[real]

    def _features(self, steps: Steps) -> np.ndarray:
        """`(steps, features)`: codes of levels, then numbers."""
        codes = [
            code[np.minimum(level, len(code) - 1)]
            for code, level in zip(self._code_of_level, steps.levels.T, strict=True)
        ]
        return np.column_stack([*codes, steps.numbers])

    def _back_exists(self, steps: Steps) -> np.ndarray:
        """Whether y_{t-2} is an occupation, and not y_{t-1}."""
        return (self.group_of_id[steps.before] < self.back) & (steps.before != steps.previous)

    def _targets(self, part: str, steps: Steps, to: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which steps a part is about, and what it predicts: whether they stay, or the class to which they move."""
        stays = to == steps.previous
        if part == "stay":
            return self.group_of_id[steps.previous] < self.back, stays.astype(int)
        goes_back = self._back_exists(steps) & (to == steps.before)
        return ~stays, np.where(goes_back, self.back, self.group_of_id[to])

    def _booster(self, setting: dict[str, Any], iterations: int, seed: int) -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(
            **setting,
            max_iter=iterations,
            early_stopping=False,
            n_iter_no_change=PATIENCE,
            categorical_features=range(len(self._code_of_level)),
            random_state=seed,
        )

    def _try(
        self, setting: dict[str, Any], x: np.ndarray, y: np.ndarray, held_out: np.ndarray, aim: np.ndarray, seed: int
    ) -> dict[str, float]:
        """Iterations to the best likelihood of validation steps, which that is, and hours."""
        started = time.perf_counter()
        booster = self._booster(setting, MOST_ITERATIONS, seed).set_params(early_stopping=True)
        booster.fit(x, y, X_val=held_out, y_val=aim)
        nll = -booster.validation_score_[1:]  # the first is of no tree
        hours = (time.perf_counter() - started) / 3600
        return {"iterations": int(nll.argmin()) + 1, "nll": float(nll.min()), "hours": hours}

    def _count(self, steps: Steps, to: np.ndarray, others: Steps, others_to: np.ndarray) -> None:
        """Shares within groups, with the strength that is likeliest for moves of validation careers."""
        rows, classes = self._targets("move", steps, to)
        self.moves = int(rows.sum())
        inside = rows & (classes < self.back)
        counts = np.zeros((self.config.vocab_size,) * 2)
        np.add.at(counts, (steps.previous[inside], to[inside]), 1)
        same_group = self.group_of_id[:, None] == self.group_of_id
        of_all = np.where(self.group_of_id < self.back, counts.sum(0) + 1, 0)
        of_all /= np.maximum(same_group @ of_all, 1)

        def shares(strength: float) -> np.ndarray:
            smoothed = counts + strength * of_all
            np.fill_diagonal(smoothed, 0)
            return smoothed / np.maximum(smoothed @ same_group, np.finfo(np.float64).tiny)

        of_others, classes = self._targets("move", others, others_to)
        of_others &= classes < self.back
        moved = Steps(*(column[of_others] for column in others))

        def likelihood(strength: float) -> float:
            return self._log_within(shares(strength), moved)[np.arange(of_others.sum()), others_to[of_others]].sum()

        self.strength = max(STRENGTHS, key=likelihood)
        self.within[:] = torch.from_numpy(shares(self.strength))

    def _log_within(self, within: np.ndarray, steps: Steps) -> np.ndarray:
        """`(steps, vocabulary)` log-shares of groups; what y_{t-2} has is divided among the others of its group."""
        found = _log(within[steps.previous])
        back = np.flatnonzero(self._back_exists(steps))
        before = steps.before[back]
        beside = self.group_of_id == self.group_of_id[before][:, None]
        found[back] -= beside * _log(1 - within[steps.previous[back], before])[:, None]
        return found


def _log(shares: np.ndarray) -> np.ndarray:
    """Logarithms that are finite where shares are zero."""
    return np.log(np.maximum(shares, np.finfo(np.float64).tiny, dtype=np.float64))


def _common_levels(column: np.ndarray) -> np.ndarray:
    """A code for each level of a feature: one of its own for each of the commonest, and one for all others."""
    counts = np.bincount(column)
    common = np.argsort(-counts, kind="stable")[: MOST_LEVELS - 1]
    # One more level than there are stands for those that training careers do not have.
    code = np.full(len(counts) + 1, MOST_LEVELS - 1)
    code[common] = np.arange(len(common))
    return code
