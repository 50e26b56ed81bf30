"""Rationales: the earlier occupations that are enough for a prediction (Figure 3 and Appendix G of the paper).

Greedy rationalization (Vafa et al., 2021) starts from the latest occupation alone, adds the earlier one that most
raises the probability of the explained occupation, and stops as soon as the model would predict it. A model should be
trained with job dropout (`job_dropout.py`), or it meets incomplete careers for the first time here.

Steps outside a rationale are removed from the career. The remaining steps keep their places, hence their position
embeddings, and their covariates, as in the original program. Removing a step is the same as hiding it from attention
with `job_dropout_mask`, only cheaper. Input t of a model holds the occupation of step t - 1 and the covariates of step
t, so these two are kept or removed together. The latest occupation is always kept: the prediction is made there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel
from transformers.utils import logging

from ..careers.columns import LongTable, career_table, list_lengths, list_values
from ..careers.frames import as_careers
from ..careers.periods import time_unit
from ..encoding.checkpoints import as_checkpoint
from ..encoding.collating import EncodedCareers
from ..encoding.processing_career import CareerProcessor
from ..encoding.scoring_batches import cache_sized
from ..evaluation.transition_table import distributions
from ..figures.rationales import rationale_figure, title
from ..models.modeling_career import CareerForOccupationPrediction
from ..number_ranges import within_ranges
from ..readable_values import ReadableResult


if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Number of predictions that are explained at a time, which bounds memory.
BLOCK = 4_096


@dataclass(frozen=True)
class Rule:
    """The occupation that a rationale explains, and the condition under which it is complete.

    Args:
        target: The explained occupation: "predicted", the likeliest one given the whole career so far, or "true", the
            one that followed.
        moves: Whether probabilities and ranks are those given a move, among occupations other than the previous one,
            because the likeliest occupation of all is nearly always the previous one (Appendix G).
        top: A rationale is complete once the target is among this many likeliest. With 0 it is never complete, which
            ranks steps by the order in which the greedy search adds them.
        start: The treatment of the first input of the model, which is no occupation, but has the covariates of the
            first step: "kept" inputs are always seen and no part of the rationale; "added" inputs are added, or not,
            like an occupation.
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


# The rule of Appendix G: explains the likeliest move, and stops when the rationale makes it the likeliest.
PAPER = Rule()
# The rule of the original program: explains the occupation that followed, and stops when it ranks first or second.
ORIGINAL = Rule(target="true", moves=False, top=2, start="added")
# The rules by their names on the command line.
RULES = {"paper": PAPER, "true": Rule(target="true"), "original": ORIGINAL}


@dataclass(frozen=True, repr=False)
class Rationales(ReadableResult):
    """Rationales of some predictions.

    Args:
        rows: One row for every step of every rationale, as `to_frame` returns them.
        careers: The careers whose predictions are explained.
    """

    rows: pd.DataFrame
    careers: Dataset

    def to_frame(self) -> pd.DataFrame:
        """One row for every step of every rationale, in the order in which steps were added.

        Columns: person; step (0 is the first of the career), year, previous, occupation and target of the explained
        prediction (occupation is the one that followed, target the explained one); order, 0 for the latest occupation,
        which is always in; rationale_step, rationale_year and rationale_occupation, the added step (-1 and nulls for
        the beginning of the career); probability and rank of the target given this row's step and those before it;
        complete, whether the rationale meets the rule, the same on all its rows; whole_probability and whole_rank,
        those given the whole career so far.
        """
        return self.rows

    def by_prediction(self) -> dict[str, pd.DataFrame]:
        """A short table for each explained prediction, by a sentence that describes the prediction.

        Returns:
            Tables with the index order and the columns year, occupation (its title), probability and rank.
        """
        tables = {}
        for _, rows in self.rows.groupby(["person", "step"], sort=False):
            first = rows.iloc[0]
            is_start = rows["rationale_step"] < 0
            table = rows[["order", "probability", "rank"]].set_index("order")
            table.insert(0, "year", rows["rationale_year"].astype("str").mask(is_start, "").to_numpy())
            names = rows["rationale_occupation"].map(title, na_action="ignore")
            table.insert(1, "occupation", names.mask(is_start, "beginning of the career").to_numpy())
            prediction = f"{first['year']}: {title(first['target'])}, after {title(first['previous'])}"
            whole = f"rank {first['whole_rank']}, probability {first['whole_probability']:.3f} from the whole career"
            incomplete = "" if first["complete"] else "; no set that was tried is enough"
            person = "" if self.rows["person"].nunique() == 1 else f"person {first['person']}, "
            tables[f"{person}{prediction}; {whole}{incomplete}"] = table
        return tables

    @within_ranges
    def figure(self, person: str | None = None, others: Mapping[str, Mapping[int, int]] | None = None) -> Figure:
        """One person's career, a row of years for every prediction that is explained, like the paper's Figure 3.

        Args:
            person: Identifier of a person with rationales; the first one if None.
            others: Ranks that other models give the explained occupation: by the model's name, and by step.

        Returns:
            A matplotlib figure that no window shows.

        Raises:
            ValueError: The person has no rationales.
        """
        person = self.rows["person"].iloc[0] if person is None else person
        rows = self.rows[self.rows["person"] == person]
        if rows.empty:
            raise ValueError(f"person '{person}' has no rationales here")
        return rationale_figure(rows, self.careers[self.careers["person"][:].index(person)], others)

    def save(self, folder: str | Path) -> None:
        """Saves the rows as `rationales.csv`."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.rows.to_csv(Path(folder) / "rationales.csv", index=False)


@within_ranges
def rationales(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    processor: CareerProcessor | None = None,
    rule: Rule | str = PAPER,
    *,
    split: str | None = None,
    person: str | None = None,
    year: int | None = None,
    steps: Any = None,
    max_size: int | None = None,
    covariates: Sequence[str] | None = None,
    unknown_levels: Literal["error", "missing"] = "error",
    batch_tokens: int | None = None,
) -> Rationales:
    """Greedy rationales of predictions.

    If no set of the search meets the rule, the result has its last set, the whole career so far or `max_size` steps of
    it, with `complete` false. No prediction is left out of the result.

    Args:
        model: A CAREER model, best trained with job dropout: a folder, a Hub id, a pair (model, processor), what
            `train` returns, or the model itself, with its processor. Rivals have no rationales, because they take no
            positions of the remaining steps.
        careers: A folder of careers, or careers; labels, not ids.
        processor: The processor of a model that is given by itself.
        rule: The rule of the rationales: a `Rule`, or the name of one of `RULES`.
        split: The split of the careers; all splits together if None.
        person: Identifier of the person whose predictions are explained; everybody if None.
        year: With a person, the year whose prediction is explained.
        steps: Instead of a person, a table with columns person and year: the predictions to explain. If no
            predictions are named, every move is explained if the rule is about moves, and otherwise every step after
            the first.
        max_size: Maximum number of steps in a rationale, the latest included; no maximum if None.
        covariates: The covariates that the model is given; its other covariates are set to "missing" everywhere. All
            covariates if None.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.
        batch_tokens: Steps per forward call; chosen by the model's size and device if None.

    Raises:
        ValueError: The model is not CAREER or does not belong to the processor; a step cannot be explained (its person
            or year is not in the careers, it is a first step, or it is a stay and the rule explains true moves); or a
            covariate is left out that was never missing in training.
    """
    if max_size is not None and max_size < 1:
        raise ValueError(f"max_size is {max_size}, but a rationale has at least the latest step: give 1 or more")
    if isinstance(rule, str) and rule not in RULES:
        raise ValueError(f"rule {rule!r} is none of {', '.join(map(repr, RULES))}")
    if steps is not None and (person is not None or year is not None) or (year is not None and person is None):
        raise ValueError("name the predictions by person=, by person= and year=, or by steps=")
    careers = as_careers(careers, split)
    if person is not None:
        if person not in (people := careers["person"][:]):
            raise ValueError(f"there is no person '{person}' in the careers")
        careers = careers.select([people.index(person)])
        steps = None if year is None else {"person": [person], "year": [year]}
    model, processor = as_checkpoint(model, processor)
    rule = RULES[rule] if isinstance(rule, str) else rule
    explained = ExplainedPredictions(model, careers, processor, rule, steps, covariates, unknown_levels, batch_tokens)
    predictions = np.arange(len(explained.row))
    blocks = [predictions[start : start + BLOCK] for start in predictions[::BLOCK]]
    searched = [_greedy(explained, block, max_size) for block in logging.tqdm(blocks, desc="Searching", unit="block")]
    added = pd.concat(searched).sort_values(["which", "order"], kind="stable")
    which = added["which"].to_numpy()
    complete = added.groupby("which")["rank"].last() <= rule.top
    rows = pd.DataFrame(
        {
            **explained.describe(which),
            "order": added["order"].to_numpy(),
            **explained.describe_slots(which, added["slot"].to_numpy()),
            "probability": np.exp(added["log_prob"].to_numpy()),
            "rank": added["rank"].to_numpy(dtype=np.int64),
            "complete": complete.loc[which].to_numpy(),
            "whole_probability": explained.whole_probability[which],
            "whole_rank": explained.whole_rank[which],
        }
    )
    return Rationales(rows, careers)


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
    batch_tokens: int | None = None,
) -> pd.DataFrame:
    """Smallest rationales, by trying every set of earlier steps; greedy rationales are compared with them.

    Args:
        model, careers, processor, rule, steps, covariates, unknown_levels, batch_tokens: As in `rationales`.
        longest: Maximum number of earlier steps, beside the latest, of a prediction; n steps make 2^n sets.

    Returns:
        One row per prediction: person, step, year, previous, occupation and target as in `rationales`; size, the
        latest step included; rationale_steps, the set in the order of time (of the smallest sets that meet the rule,
        the one that makes the target likeliest); probability and rank of the target given these steps; complete, false
        if no set meets the rule, and then the set is the whole career so far.

    Raises:
        ValueError: As in `rationales`, or a prediction has more earlier steps than `longest`.
    """
    explained = ExplainedPredictions(model, careers, processor, rule, steps, covariates, unknown_levels, batch_tokens)
    too_long = np.flatnonzero(explained.step - 1 > longest)
    if len(too_long):
        person, year = (explained.describe(too_long[:1])[name][0] for name in ("person", "year"))
        raise ValueError(
            f"person '{person}', year {year}: more than {longest} steps come before the latest one, and every set of "
            "them would be tried; leave the year out of steps, or raise longest"
        )
    predictions = np.arange(len(explained.row))
    sets = [_smallest(explained, which) for which in logging.tqdm(predictions, desc="Trying all sets", unit="set")]
    return pd.DataFrame({**explained.describe(predictions), **pd.DataFrame(sets)})


def _greedy(explained: ExplainedPredictions, which: np.ndarray, max_size: int | None) -> pd.DataFrame:
    """Searches for several predictions at once; columns which, order, slot, log_prob and rank of every added step."""
    chosen = explained.step[which][:, None]
    log_prob, rank = explained.score(which, chosen)
    added = []
    while True:
        step = {"which": which, "order": chosen.shape[1] - 1, "slot": chosen[:, -1]}
        added.append(pd.DataFrame(step | {"log_prob": log_prob, "rank": rank}))
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
    """The smallest set that is complete for one prediction, found by scoring all sets of each size."""
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


class ExplainedPredictions:
    """The predictions to explain, and the predictions of a model from some of the steps before each.

    A slot is a place in a model's input: slot t holds the occupation of step t - 1 and the covariates of step t.

    Attributes:
        row, step: `(predictions,)`: career and step of each prediction; slot `step` is the latest.
        target: `(predictions,)`: id of the explained occupation.
        whole_probability, whole_rank: `(predictions,)`: those of the target given the whole career so far.
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
        batch_tokens: int | None,
    ) -> None:
        if not isinstance(model, CareerForOccupationPrediction):
            raise ValueError(
                f"{type(model).__name__} takes no positions of the steps that remain in a rationale, and so has "
                "no rationales: pass a CAREER model"
            )
        processor.check(model.config)
        self.model, self.processor, self.rule = model, processor, rule
        self.batch_tokens = batch_tokens or cache_sized(model)
        requested = None if steps is None else _locate_steps(steps, careers)
        if requested is not None:
            rows = np.unique(requested[0])
            careers, requested = careers.select(rows), (np.searchsorted(rows, requested[0]), requested[1])
        table = career_table(careers)
        self.people = np.array(table["person"].to_pylist(), dtype=object)
        self.years = list_values(table, "year").to_numpy()
        self.careers = EncodedCareers(processor.encode(careers, unknown_levels=unknown_levels)[0])
        if covariates is not None:
            self.careers.covariates = _hide_covariates(self.careers.covariates, processor, covariates)
        self.row, self.step = self._find_predictions(requested)
        self.place = self.careers.starts[self.row] + self.step
        self.target, self.whole_probability, self.whole_rank = self._given_whole_careers()

    def _find_predictions(self, requested: tuple[np.ndarray, np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
        """Rows and steps of the predictions to explain."""
        careers = self.careers
        row = np.repeat(np.arange(len(careers)), careers.lengths)
        step = np.arange(len(row)) - careers.starts[row]
        moved = careers.labels != careers.input_ids
        if requested is None:
            chosen = (step > 0) & (moved | (not self.rule.moves))
            if not chosen.any():
                raise ValueError(
                    "nobody moves in these careers, so there is nothing to explain: pass others, or steps"
                )
            return row[chosen], step[chosen]
        place = careers.starts[requested[0]] + requested[1]
        stays = self.rule.moves and self.rule.target == "true"
        for impossible, why in [
            (requested[1] == 0, "the first of the career, which nothing comes before"),
            (~moved[place] & stays, "a stay, and the rule explains moves that were made: use Rule(moves=False)"),
        ]:
            if impossible.any():
                at = int(impossible.argmax())
                person, year = self.people[requested[0][at]], self.years[place[at]]
                raise ValueError(f"person '{person}', year {year} cannot be explained: the step is {why}")
        return requested

    def _given_whole_careers(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Targets, and their probabilities and ranks given whole careers."""
        which = np.full(len(self.years), -1)
        which[self.place] = np.arange(len(self.place))
        target, scores = np.empty(len(self.place), dtype=np.int64), np.empty((2, len(self.place)))
        for place, log_probs, previous, occupation in distributions(self.model, self.careers, self.batch_tokens):
            is_explained = torch.from_numpy(which[place] >= 0).to(log_probs.device)
            log_probs = self._under_rule(log_probs[is_explained], previous[is_explained])
            explained = occupation[is_explained] if self.rule.target == "true" else log_probs.argmax(dim=-1)
            at = which[place][which[place] >= 0]
            target[at], scores[:, at] = explained.cpu().numpy(), _scores(log_probs, explained)
        return target, np.exp(scores[0]), scores[1].astype(np.int64)

    def score(self, which: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Log-probability and rank of targets given some slots only, `(2, sets)`.

        Args:
            which: `(sets,)`: the prediction of each set.
            slots: `(sets, size)`: the slots of each set, ascending. The last is the slot of the prediction; the
                beginning of the career is among them only where it can be added.
        """
        if self.rule.start == "kept":
            slots = np.insert(slots, 0, 0, axis=1)
        was_training, device = self.model.training, self.model.device
        self.model.eval()
        scores = []
        rows = max(1, self.batch_tokens // slots.shape[1])
        try:
            for start in range(0, len(which), rows):
                chosen, given_slots = which[start : start + rows], slots[start : start + rows]
                place = self.careers.starts[self.row[chosen]][:, None] + given_slots
                columns = {"input_ids": self.careers.input_ids, "covariates": self.careers.covariates}
                given = {
                    name: torch.from_numpy(column[place].astype(np.int64)).to(device)
                    for name, column in columns.items()
                    if column is not None
                }
                position_ids = torch.from_numpy(given_slots).to(device)
                # Without a mask Transformers would take a gap between positions for the beginning of another career.
                mask = torch.ones_like(position_ids)
                with torch.inference_mode():
                    logits = self.model(**given, position_ids=position_ids, attention_mask=mask).logits[:, -1]
                log_probs = self._under_rule(logits, given["input_ids"][:, -1])
                scores.append(_scores(log_probs, torch.from_numpy(self.target[chosen]).to(device)))
        finally:
            self.model.train(was_training)
        return np.concatenate(scores, axis=1)

    def free(self, which: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """`(predictions, slots)`: whether a slot may be added to the chosen ones, `(predictions, size)`."""
        slot = np.arange(self.step.max() + 1)
        free = (slot < self.step[which][:, None]) & (slot >= (1 if self.rule.start == "kept" else 0))
        np.put_along_axis(free, chosen, False, axis=1)
        return free

    def describe(self, which: np.ndarray) -> dict[str, Any]:
        """Columns that identify some predictions."""
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

    def describe_slots(self, which: np.ndarray, slot: np.ndarray) -> dict[str, Any]:
        """Columns that identify the steps in some slots."""
        place = self.careers.starts[self.row[which]] + slot
        year = pd.array(self.years[place - 1], dtype="Int64")
        year[slot == 0] = pd.NA
        occupation = np.array(self.processor.occupations, dtype=object)[self.careers.input_ids[place]]
        occupation[slot == 0] = None
        return {"rationale_step": slot - 1, "rationale_year": year, "rationale_occupation": occupation}

    def _under_rule(self, log_probs: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """Log-probabilities under the rule; given a move they are p(j) / (1 - p(y_{t-1})) for j != y_{t-1}."""
        if not self.rule.moves:
            return log_probs
        return log_probs.scatter(-1, previous.unsqueeze(-1), -torch.inf).log_softmax(dim=-1)


def _scores(log_probs: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """`(2, rows)`: log-probability of each target, and its rank, one more than the number of likelier occupations."""
    log_prob = log_probs.gather(-1, target.unsqueeze(-1))
    rank = (log_probs > log_prob).sum(dim=-1) + 1
    return torch.stack([log_prob.squeeze(-1).double(), rank.double()]).cpu().numpy()


def _locate_steps(steps: Any, careers: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Rows and steps of the people and years in a table."""
    named, unit = LongTable(steps, "person", ["year"]), time_unit(careers)
    requested = pd.DataFrame({"person": named.people.to_pylist(), "year": named.periods("year", unit)[0]})
    lengths = list_lengths(table := career_table(careers.select_columns(["person", "year"])), "year")
    all_steps = pd.DataFrame({"person": np.repeat(table["person"].to_pylist(), lengths)})
    all_steps["year"] = list_values(table, "year").to_numpy()
    all_steps["row"] = np.repeat(np.arange(len(lengths)), lengths)
    all_steps["step"] = all_steps.groupby("row").cumcount()
    places = requested.merge(all_steps, how="left", on=["person", "year"], validate="many_to_one")
    for bad, problem in [(places["row"].isna(), "is not in the careers"), (requested.duplicated(), "is there twice")]:
        if bad.any():
            at = int(bad.argmax())
            raise ValueError(
                f"steps, row {at}: person '{requested['person'][at]}' in year {requested['year'][at]} {problem}; drop "
                "the row"
            )
    return places["row"].to_numpy(dtype=np.int64), places["step"].to_numpy(dtype=np.int64)


def _hide_covariates(levels: np.ndarray | None, processor: CareerProcessor, given: Sequence[str]) -> np.ndarray | None:
    """`(steps, covariates)` levels, in which all covariates that are not given are "missing"."""
    names = processor.covariate_names
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ValueError(f"'{unknown[0]}' is none of the model's covariates, which are {names}; leave it out")
    hidden = [place for place, name in enumerate(names) if name not in given]
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
