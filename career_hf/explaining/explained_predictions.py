"""What a model predicts from a few steps of a career: the ground on which rationales are searched.

What is not in a rationale is taken out of the career. The steps that are left keep their places, and so their position
embeddings, and their covariates, as in the original program; removing a step is the same as hiding it from attention
with `job_dropout_mask`, only cheaper. Input t of a model holds the occupation of step t - 1 and the covariates of step
t, so these two are kept or removed together. The latest occupation is always kept: the prediction is made there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch

from ..careers.columns import LongTable, career_table, list_lengths, list_values
from ..encoding.collating import EncodedCareers
from ..evaluation.transition_table import distributions
from ..models.modeling_career import CareerForOccupationPrediction


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from ..encoding.processing_career import CareerProcessor


@dataclass(frozen=True)
class Rule:
    """What a rationale explains, and when it is complete.

    Args:
        target: What is explained: "predicted", the likeliest occupation given the whole career so far, or "true", the
            one that followed.
        moves: Probabilities and ranks are those given a move, among occupations other than the previous one, because
            the likeliest occupation of all is nearly always the previous one (Appendix G).
        top: Complete once the target is among this many likeliest. 0 is never complete: steps are ranked by when the
            greedy search adds them.
        start: What is done with the first input of the model, which is no occupation, but has the covariates of the
            first step: "kept", always seen and no part of the rationale; or "added", or not, like an occupation.
    """

    target: Literal["predicted", "true"] = "predicted"
    moves: bool = True
    top: int = 1
    start: Literal["kept", "added"] = "kept"

    def __post_init__(self) -> None:
        allowed = {"target": ("predicted", "true"), "start": ("kept", "added")}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} of a rule is {getattr(self, name)!r}, which is none of {values}")
        if self.top < 0:
            raise ValueError(f"top of a rule is {self.top}, but must be 0 or more")


# Appendix G: why would this person move there? Explains the likeliest move and stops when it is the likeliest.
PAPER = Rule()
# The original program: explains what followed, stops when that is first or second of everything, stays included.
ORIGINAL = Rule(target="true", moves=False, top=2, start="added")


class ExplainedPredictions:
    """The predictions to explain, and what a model predicts instead from some of the steps before each.

    A slot is a place in a model's input: slot t holds the occupation of step t - 1 and the covariates of step t.

    Attributes:
        row, step: `(predictions,)`, career and step of each; slot `step` is the latest.
        target: `(predictions,)`, id of the occupation that is explained.
        whole_probability, whole_rank: `(predictions,)`, of the target given the whole career so far.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        careers: Dataset,
        processor: CareerProcessor,
        rule: Rule,
        steps: Any,
        covariates: Sequence[str] | None,
        unknown_levels: Literal["error", "missing"],
        batch_tokens: int,
    ) -> None:
        if not isinstance(model, CareerForOccupationPrediction):
            raise ValueError(
                f"{type(model).__name__} cannot be told where the steps that are left stood in the career, and so has "
                "no rationales: pass a CAREER model"
            )
        processor.check(model.config)
        self.model, self.processor, self.rule, self.batch_tokens = model, processor, rule, batch_tokens
        wanted = None if steps is None else _wanted(steps, careers)
        if wanted is not None:
            rows = np.unique(wanted[0])
            careers, wanted = careers.select(rows), (np.searchsorted(rows, wanted[0]), wanted[1])
        table = career_table(careers)
        self.people = np.array(table["person"].to_pylist(), dtype=object)
        self.years = list_values(table, "year").to_numpy()
        self.careers = EncodedCareers(processor.encode(careers, unknown_levels=unknown_levels)[0])
        if covariates is not None:
            self.careers.covariates = _some_covariates(self.careers.covariates, processor, covariates)
        self.row, self.step = self._find(wanted)
        self.place = self.careers.starts[self.row] + self.step
        self.target, self.whole_probability, self.whole_rank = self._given_whole_careers()

    def _find(self, wanted: tuple[np.ndarray, np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows and steps of the predictions to explain."""
        careers = self.careers
        row = np.repeat(np.arange(len(careers)), careers.lengths)
        step = np.arange(len(row)) - careers.starts[row]
        moved = careers.labels != careers.input_ids
        if wanted is None:
            chosen = (step > 0) & (moved | (not self.rule.moves))
            if not chosen.any():
                raise ValueError(
                    "nobody moves in these careers, so there is nothing to explain: pass others, or steps"
                )
            return row[chosen], step[chosen]
        place = careers.starts[wanted[0]] + wanted[1]
        stays = self.rule.moves and self.rule.target == "true"
        for impossible, why in [
            (wanted[1] == 0, "the first of the career, which nothing comes before"),
            (~moved[place] & stays, "a stay, and the rule explains moves that were made: use Rule(moves=False)"),
        ]:
            if impossible.any():
                at = int(impossible.argmax())
                person, year = self.people[wanted[0][at]], self.years[place[at]]
                raise ValueError(f"person '{person}', year {year} cannot be explained: the step is {why}")
        return wanted

    def _given_whole_careers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Targets, and their probabilities and ranks given whole careers."""
        which = np.full(len(self.years), -1)
        which[self.place] = np.arange(len(self.place))
        target, scores = np.empty(len(self.place), dtype=np.int64), np.empty((2, len(self.place)))
        for place, log_probs, previous, occupation in distributions(self.model, self.careers, self.batch_tokens):
            here = torch.from_numpy(which[place] >= 0).to(log_probs.device)
            log_probs = self._under_rule(log_probs[here], previous[here])
            explained = occupation[here] if self.rule.target == "true" else log_probs.argmax(dim=-1)
            at = which[place][which[place] >= 0]
            target[at], scores[:, at] = explained.cpu().numpy(), _scores(log_probs, explained)
        return target, np.exp(scores[0]), scores[1].astype(np.int64)

    def score(self, which: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Log-probability and rank of targets given some slots only.

        Args:
            which: `(sets,)`, predictions.
            slots: `(sets, size)`, ascending; the last is the prediction's own, and the beginning of the career is
                among them only where it can be added.

        Returns:
            `(2, sets)`.
        """
        if self.rule.start == "kept":
            slots = np.insert(slots, 0, 0, axis=1)
        was_training, device = self.model.training, self.model.device
        self.model.eval()
        found = []
        rows = max(1, self.batch_tokens // slots.shape[1])
        try:
            for start in range(0, len(which), rows):
                chosen, kept = which[start : start + rows], slots[start : start + rows]
                place = self.careers.starts[self.row[chosen]][:, None] + kept
                columns = {"input_ids": self.careers.input_ids, "covariates": self.careers.covariates}
                given = {
                    name: torch.from_numpy(column[place].astype(np.int64)).to(device)
                    for name, column in columns.items()
                    if column is not None
                }
                position_ids = torch.from_numpy(kept).to(device)
                # Without a mask Transformers would take a gap between positions for the beginning of another career.
                mask = torch.ones_like(position_ids)
                with torch.inference_mode():
                    logits = self.model(**given, position_ids=position_ids, attention_mask=mask).logits[:, -1]
                log_probs = self._under_rule(logits, given["input_ids"][:, -1])
                found.append(_scores(log_probs, torch.from_numpy(self.target[chosen]).to(device)))
        finally:
            self.model.train(was_training)
        return np.concatenate(found, axis=1)

    def free(self, which: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """`(predictions, slots)`, the slots that may still be added to `(predictions, size)` chosen ones."""
        slot = np.arange(self.step.max() + 1)
        free = (slot < self.step[which][:, None]) & (slot >= (1 if self.rule.start == "kept" else 0))
        np.put_along_axis(free, chosen, False, axis=1)
        return free

    def describe(self, which: np.ndarray) -> dict[str, Any]:
        """Columns that say which predictions these are."""
        label = np.array(self.processor.occupations, dtype=object)
        place = self.place[which]
        return {
            "person": self.people[self.row[which]],
            "step": self.step[which],
            "year": self.years[place],
            "previous": label[self.careers.input_ids[place]],
            "occupation": label[self.careers.labels[place]],
            "target": label[self.target[which]],
        }

    def name(self, which: np.ndarray, slot: np.ndarray) -> dict[str, Any]:
        """Columns that say which steps are in these slots."""
        place = self.careers.starts[self.row[which]] + slot
        year = pd.array(self.years[place - 1], dtype="Int64")
        year[slot == 0] = pd.NA
        occupation = np.array(self.processor.occupations, dtype=object)[self.careers.input_ids[place]]
        occupation[slot == 0] = None
        return {"rationale_step": slot - 1, "rationale_year": year, "rationale_occupation": occupation}

    def _under_rule(self, log_probs: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """Log-probabilities that the rule is about; given a move they are p(j) / (1 - p(y_{t-1})) for j != y_{t-1}."""
        if not self.rule.moves:
            return log_probs
        return log_probs.scatter(-1, previous.unsqueeze(-1), -torch.inf).log_softmax(dim=-1)


def _scores(log_probs: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """`(2, rows)`: log-probability of each target, and one more than the number of occupations that are likelier."""
    found = log_probs.gather(-1, target.unsqueeze(-1))
    rank = (log_probs > found).sum(dim=-1) + 1
    return torch.stack([found.squeeze(-1).double(), rank.double()]).cpu().numpy()


def _wanted(steps: Any, careers: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Rows and steps of the persons and years in a table."""
    named = LongTable(steps, "person", ["year"])
    wanted = pd.DataFrame({"person": named.people.to_pylist(), "year": named.years("year")})
    lengths = list_lengths(table := career_table(careers.select_columns(["person", "year"])), "year")
    known = pd.DataFrame({"person": np.repeat(table["person"].to_pylist(), lengths)})
    known["year"] = list_values(table, "year").to_numpy()
    known["row"] = np.repeat(np.arange(len(lengths)), lengths)
    known["step"] = known.groupby("row").cumcount()
    found = wanted.merge(known, how="left", on=["person", "year"], validate="many_to_one")
    for bad, problem in [(found["row"].isna(), "is not in the careers"), (wanted.duplicated(), "is there twice")]:
        if bad.any():
            at = int(bad.argmax())
            raise ValueError(
                f"steps, row {at}: person '{wanted['person'][at]}' in year {wanted['year'][at]} {problem}; drop "
                "the row"
            )
    return found["row"].to_numpy(dtype=np.int64), found["step"].to_numpy(dtype=np.int64)


def _some_covariates(levels: np.ndarray | None, processor: CareerProcessor, kept: Sequence[str]) -> np.ndarray | None:
    """`(steps, covariates)` levels with those of all covariates but some set to "missing"."""
    names = processor.covariate_names
    unknown = [name for name in kept if name not in names]
    if unknown:
        raise ValueError(f"'{unknown[0]}' is none of the model's covariates, which are {names}; leave it out")
    hidden = [place for place, name in enumerate(names) if name not in kept]
    if levels is None or not hidden:
        return levels
    counts = processor.trained_counts()[1] if processor.training_stages else [np.zeros(1)] * len(names)
    for place in hidden:
        if counts[place][0] == 0:
            raise ValueError(
                f"covariate '{names[place]}' was never missing in training, so the model cannot do without it: keep "
                "it, or train a model without it"
            )
    levels = levels.copy()
    levels[:, hidden] = 0
    return levels


__all__ = ["ORIGINAL", "PAPER", "ExplainedPredictions", "Rule"]
