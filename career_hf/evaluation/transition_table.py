"""The transition table: one row per predicted step, from which `metrics` computes everything.

`transition_table` works with any occupation model. One run of a model serves every table, figure, audit and interval,
and models are compared row by row. The table is a plain pandas frame: keep it with `table.to_parquet(path)`
and `pandas.read_parquet(path)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset, DatasetDict
from transformers import PreTrainedModel
from transformers.utils import logging

from ..careers.columns import is_text
from ..careers.frames import as_careers, long_table
from ..careers.periods import TIME_UNIT, period_labels, time_unit
from ..careers.shards import CareerShards
from ..encoding.checkpoints import as_checkpoint
from ..encoding.collating import EncodedCareers
from ..encoding.parts import PartFiles, files_of_parts, parts_of, read_part
from ..encoding.processing_career import CareerProcessor
from ..encoding.scoring_batches import scoring_batches
from ..encoding.training_history import people_trained_on
from ..number_ranges import within_ranges


logger = logging.get_logger(__name__)

KIND = "a transition table"
TRANSITIONS = ["first", "stay", "return", "new"]
CAREER_COLUMNS = ["person", "year", "occupation", "weight"]
SCORE_COLUMNS = [
    *["step", "gap_years", "previous", "log_prob", "p_stay", "rank", "p_top", "transition", "aba", "coding_changed"],
    *["unknown", "split"],
]
# The coding scheme of each person-year's occupation, in careers that were coded by more than one.
VINTAGE = "occupation_vintage"
# How far from 0 the log of a sum of probabilities may be, and how far above 0 a log-probability, by rounding.
SUM_TOLERANCE, ROUNDING = 1e-3, 1e-6


@within_ranges
def transition_table(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    processor: CareerProcessor | None = None,
    *,
    batch_tokens: int | None = None,
    split: str | None = None,
    unknown_levels: Literal["error", "missing"] = "error",
    groups: Mapping[str, str] | None = None,
    watch: Sequence[str] = (),
) -> pd.DataFrame:
    """Scores every step of every career with any occupation model.

    A warning says if the model was trained on some of the people.

    Args:
        model: A model whose `output.logits` are normalised log-probabilities, `(batch, time, vocabulary)`, with its
            `processor`; or the folder or Hub id of a checkpoint, a pair (model, processor), or a result of training.
        careers: Careers, careers by split name, or a folder of them; labels, not ids.
        processor: The model's processor; it is checked against the model's config.
        batch_tokens: Steps per batch, padding included; chosen by the model's size and device if None.
        split: Name of the split to score (all splits together if None), and label in the column `split`.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.
        groups: Group of every occupation. With groups the table is about groups: their probabilities are sums, and
            staying means to stay in the group.
        watch: Labels whose probability at every step is kept in columns "p(label)"; labels of groups if `groups` is
            given.

    Returns:
        One row per step, in the order of the careers:
        person; step (0 for the first); year; gap_years since the previous step (null at step 0); previous and
        occupation, the careers' own labels of y_{t-1} (null at step 0) and y_t; log_prob, the natural log of
        p(y_t | past); p_stay, the probability of y_{t-1} (null at step 0); rank of y_t, one more than the number of
        occupations that are likelier; p_top, the largest probability; transition, "first", "stay", "return" (an
        earlier occupation, but not the previous one) or "new", as in Table 4 (null where `unknown` is true); aba,
        whether the step returns to the occupation before the last move, y_t = y_{t-2} and not y_{t-1};
        coding_changed, whether the careers' `occupation_vintage` differs from that of the last step that has one
        (false without that column); unknown, whether the model does not know y_t or y_{t-1}, in whose place it then
        predicts the processor's unknown occupation; weight, the survey weight (null without one); split; then the
        watched probabilities, and the careers' covariates and other label columns, stratum, psu and group (household)
        among them, by which intervals are clustered. In other units than the year there is a column of that name, with
        the labels of the periods, and `year` has their numbers.

    Raises:
        ValueError: The processor does not belong to the model, there are no careers, a career cannot be encoded, a
            column of the careers has the name of a column of the table, there is no such split, an occupation has no
            group, a watched label is not predicted, or what the model predicts are no log-probabilities.
    """
    model, processor = as_checkpoint(model, processor)
    careers = careers if isinstance(careers, Dataset) else as_careers(careers, split)
    everyone, _, _ = encode_to_score(model, careers, processor, unknown_levels, groups, watch)
    if (note := who_was_trained_on(processor, careers)) is not None:
        logger.warning_once(note)
    return _table(model, careers, processor, everyone, batch_tokens, split, groups, watch)


@within_ranges
def save_transition_table(
    model: Any,
    careers: str | Path | Dataset | DatasetDict | CareerShards,
    processor: CareerProcessor | None,
    folder: str | Path,
    *,
    batch_tokens: int | None = None,
    split: str | None = None,
    unknown_levels: Literal["error", "missing"] = "error",
    groups: Mapping[str, str] | None = None,
    watch: Sequence[str] = (),
    people_per_file: int = 20_000,
) -> None:
    """Scores any number of careers into Parquet files that `load_transition_table` reads, part by part.

    Careers in files (`CareerShards`, or a folder of Parquet files for each split) are read part by part too, so that
    memory does not grow with them. Files are as those of `save_representations`: a run that was stopped goes on, and
    files of other models, options or careers are refused. A warning says if the model was trained on some of the
    people.

    Args:
        model, careers, batch_tokens, split, unknown_levels, groups, watch: As in `transition_table`.
        processor: The model's processor; None if `model` has it too.
        folder: Destination folder.
        people_per_file: Number of careers in one file; memory grows with it. Careers in files are taken in whole row
            groups.

    Raises:
        ValueError: As in `transition_table`, or the folder has files of another model, other options or other careers.
    """
    model, checked = as_checkpoint(model, processor)
    options = {"split": split, "groups": None if groups is None else dict(groups), "watch": list(watch)}
    seen: list[tuple[int, int, int]] = []

    def encode(some: Dataset) -> EncodedCareers:
        seen.append((*people_trained_on(checked.training_stages, some), len(some)))
        return encode_to_score(model, some, checked, unknown_levels, groups, watch)[0]

    def score(some: Dataset, encoded: EncodedCareers, which: str) -> pa.Table:
        description = f"Scoring careers, {which}"
        table = _table(model, some, checked, encoded, batch_tokens, split, groups, watch, description)
        return pa.Table.from_pandas(table, preserve_index=False)

    parts = parts_of(careers, split, people_per_file)
    if not parts:
        raise ValueError("there are no careers to score: the split is empty, or a filter left nobody")
    PartFiles(folder, KIND, model, options).write(parts, encode, score)
    if (note := _about_trained_on(*np.sum(seen, axis=0).tolist())) is not None:
        logger.warning_once(note)


@within_ranges
def load_transition_table(folder: str | Path, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Reads the files that `save_transition_table` wrote.

    Args:
        folder: The folder of the files.
        columns: The columns to read; all of them if None. Perplexity by kind of step needs person, step, log_prob and
            transition, which are a fifth of the memory of a whole table.

    Raises:
        ValueError: The folder has no transition table, or not all of its files yet, a file is damaged, or there is no
            such column.
    """
    paths = files_of_parts(folder, KIND, "save_transition_table")
    names = read_part(paths[0], pq.read_schema).names
    if columns is not None and (unknown := [name for name in columns if name not in names]):
        raise ValueError(f"the transition table has no column '{unknown[0]}': columns are {names}")
    read = partial(pq.read_table, columns=None if columns is None else list(columns))
    tables = [read_part(path, read) for path in paths]
    return pa.concat_tables(tables, promote_options="permissive").to_pandas()


def _table(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    everyone: EncodedCareers,
    batch_tokens: int | None,
    split: str | None,
    groups: Mapping[str, str] | None,
    watch: Sequence[str],
    description: str = "Scoring careers",
) -> pd.DataFrame:
    """The transition table of careers that are encoded; other arguments are those of `transition_table`."""
    code_of_id, labels = codes_of_ids(processor, groups)
    flat = everyone.gather(np.arange(len(everyone)))
    first = flat.positions == 0
    watched = [labels.index(label) for label in watch]
    found = _score(model, everyone, batch_tokens, code_of_id, watched, description)
    scores = {
        "log_prob": found["log_prob"],
        "p_stay": np.where(first, np.nan, np.exp(found["log_p_stay"])),
        "rank": found["rank"].astype(np.int32),
        "p_top": np.exp(found["log_p_top"]),
        **{f"p({label})": np.exp(found[f"log_p {labels.index(label)}"]) for label in watch},
    }
    unknown = np.zeros(len(first), dtype=bool)
    if processor.unknown_occupation is not None:
        unknown_id = processor.occupations.index(processor.unknown_occupation)
        unknown = (flat.labels == unknown_id) | (~first & (flat.input_ids == unknown_id))
    long = long_table(careers)
    occupation, labels = _own_codes(long["occupation"], code_of_id[flat.labels], processor, groups, labels)
    return table_of_steps(long, flat.positions, occupation, labels, scores, unknown, split)


def table_of_steps(
    long: pa.Table,
    step: np.ndarray,
    occupation: np.ndarray,
    labels: Sequence[str],
    scores: Mapping[str, np.ndarray],
    unknown: np.ndarray,
    split: str | None,
) -> pd.DataFrame:
    """A transition table of careers and of what a model, or any other program, says of each of their steps.

    Args:
        long: Careers as `careers.frames.long_table` returns them.
        step: `(steps,)`: 0 at each person's first step, then 1, 2, ...
        occupation: `(steps,)`: places in `labels` of the occupations y_t.
        labels: Labels of occupations, or of groups of them.
        scores: `(steps,)` log_prob, p_stay, rank and p_top; and the probabilities of watched labels, "p(label)".
        unknown: `(steps,)`: whether y_t or y_{t-1} is not known to the model.
        split: As in `transition_table`.

    Returns:
        As in `transition_table`.
    """
    first = step == 0
    year = long["year"].to_numpy()
    gap = pd.array(year - np.r_[0, year[:-1]], dtype="Int32")
    gap[first] = pd.NA
    previous = np.where(first, -1, np.r_[-1, occupation[:-1]])
    two_back = np.where(step < 2, -1, np.r_[-1, previous[:-1]])
    watched = [name for name in scores if name not in SCORE_COLUMNS]
    table = pd.DataFrame(
        {
            "person": _categories(long["person"]),
            "step": step.astype(np.int32),
            "year": year.astype(np.int32),
            "gap_years": gap,
            "previous": pd.Categorical.from_codes(previous, categories=pd.Index(labels, dtype="str")),
            "occupation": pd.Categorical.from_codes(occupation, categories=pd.Index(labels, dtype="str")),
            **{name: scores[name] for name in ("log_prob", "p_stay", "rank", "p_top")},
            "transition": transition_classes(first.cumsum(), occupation, unknown),
            "aba": (occupation == two_back) & (occupation != previous),
            "coding_changed": _coding_changed(long, first),
            "unknown": unknown,
            "weight": long["weight"].to_numpy() if "weight" in long.column_names else np.nan,
            "split": _categories(pa.chunked_array([pa.repeat(pa.scalar(split, pa.string()), len(step))])),
            **{name: scores[name] for name in watched},
        }
    )
    unit = time_unit(long)
    if unit != "year":
        table[unit] = _categories(pa.chunked_array([pa.array(period_labels(year, unit), pa.string())]))
    for name in long.column_names:
        if name not in (*CAREER_COLUMNS, TIME_UNIT) and is_text(long[name].type):
            table[name] = _categories(long[name])
    return table


def who_was_trained_on(processor: CareerProcessor, careers: Dataset) -> str | None:
    """A sentence about the people of some careers that a model was trained on; None if it records none of them.

    Args:
        processor: The model's processor, which records the people in training, unless the model was published.
        careers: The careers that the model is scored on.
    """
    return _about_trained_on(*people_trained_on(processor.training_stages, careers), len(careers))


def _about_trained_on(seen: int, compared: int, people: int) -> str | None:
    if not seen:
        return None
    sample = "" if compared == people else f" who could be looked for, of {people}"
    return (
        f"the model was trained on {seen} of the {compared} people{sample} that it is scored on, so that it looks "
        "better than it is for people whom it never saw; score careers that it was not trained on"
    )


def encode_to_score(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    unknown_levels: Literal["error", "missing"] = "error",
    groups: Mapping[str, str] | None = None,
    watch: Sequence[str] = (),
) -> tuple[EncodedCareers, np.ndarray, list[str]]:
    """Encodes careers, after all checks that a model can score them.

    Args:
        model, careers, processor, unknown_levels, groups, watch: As in `transition_table`.

    Returns:
        Encoded careers, and the two results of `codes_of_ids`.

    Raises:
        ValueError: As in `transition_table`.
    """
    processor.check(model.config)
    code_of_id, labels = codes_of_ids(processor, groups)
    check_can_be_scored(careers, labels, watch)
    return EncodedCareers(processor.encode(careers, unknown_levels=unknown_levels)[0]), code_of_id, labels


def check_can_be_scored(careers: Dataset, labels: Sequence[str], watch: Sequence[str]) -> None:
    """Checks careers and the labels that are watched, whatever it is that predicts them.

    Args:
        careers: The careers to score.
        labels: The labels that are predicted.
        watch: As in `transition_table`.

    Raises:
        ValueError: There are no careers, a column of theirs has the name of a column of the table, or a watched label
            is not predicted.
    """
    if not len(careers):
        raise ValueError("there are no careers to score: the split is empty, or a filter left nobody")
    taken = sorted(set(careers.column_names) & set(SCORE_COLUMNS))
    if taken:
        raise ValueError(
            f"careers have columns {taken}, which are names of columns of the transition table; rename them"
        )
    missing = [label for label in watch if label not in labels]
    if missing:
        raise ValueError(f"watched labels {missing} are not among the {len(labels)} that are predicted")


def transition_classes(
    person: np.ndarray, occupation: np.ndarray, unknown: np.ndarray | None = None
) -> pd.Categorical:
    """The kind of each step: "first", "stay", "return" or "new" (Table 4).

    Args:
        person: `(steps,)`: person numbers; a person's steps are adjacent and in time order.
        occupation: `(steps,)`: occupation numbers.
        unknown: `(steps,)`: whether the kind of a step cannot be known, and so is null.
    """
    first = np.r_[True, person[1:] != person[:-1]]
    stay = ~first & np.r_[False, occupation[1:] == occupation[:-1]]
    # An occupation is new where its person and its number occur together for the first time.
    repeated = pd.DataFrame({"person": person, "occupation": occupation}).duplicated().to_numpy()
    codes = np.select([first, stay, repeated], [0, 1, 2], default=3)
    if unknown is not None:
        codes[unknown] = -1
    return pd.Categorical.from_codes(codes, categories=TRANSITIONS)


def distributions(
    model: PreTrainedModel,
    careers: EncodedCareers,
    batch_tokens: int | None = None,
    description: str = "Scoring careers",
) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Log-probabilities of every occupation at every step, batch by batch; the model is in eval mode meanwhile.

    Batches are those of `scoring_batches`: two models on the same careers have the same ones.

    Yields:
        For the steps of a batch: `(steps,)` their places among all steps of the careers, end to end; `(steps,
        vocabulary)` log-probabilities; `(steps,)` ids of y_{t-1} and of y_t; tensors on the model's device.

    Raises:
        ValueError: As in `check_log_probs`.
    """
    for batch in scoring_batches(model, careers, batch_tokens, description=description):
        # The context does not include the yield, because the caller may need gradients.
        with torch.inference_mode():
            logits = model(**batch.inputs).logits
            # Most batches have no padding, and then nothing is copied.
            log_probs = logits.flatten(0, 1) if batch.real.all() else logits[batch.real]
            check_log_probs(log_probs)
        yield batch.places, log_probs, batch.inputs["input_ids"][batch.real], batch.labels[batch.real]


def check_log_probs(log_probs: torch.Tensor) -> None:
    """Checks that what a model predicts are log-probabilities.

    Args:
        log_probs: `(rows, vocabulary)`.

    Raises:
        ValueError: A number is NaN or above 0, or the probabilities of a row do not sum to one.
    """
    total = log_probs.float().exp().sum(dim=-1).log()
    # Comparisons with NaN are false.
    fine = (total.abs() <= SUM_TOLERANCE) & (log_probs.amax(dim=-1) <= ROUNDING)
    if not fine.all():
        row = int((~fine).nonzero()[0])
        raise ValueError(
            f"the model predicts no probabilities: those of a step sum to {float(total[row].exp()):.6g}, and the "
            f"largest log-probability is {float(log_probs[row].amax()):.6g}; its weights may be damaged, or its "
            "logits not normalised, as those of an occupation model are"
        )


def _score(
    model: PreTrainedModel,
    careers: EncodedCareers,
    batch_tokens: int | None,
    code_of_id: np.ndarray,
    watched: list[int],
    description: str,
) -> dict[str, np.ndarray]:
    """Scores of every step by name, in the order of the careers, from distributions over codes."""
    codes, count = torch.from_numpy(code_of_id).to(model.device), int(code_of_id.max()) + 1
    ordinary = codes >= 0
    one_to_one = int(ordinary.sum()) == count
    id_of_code = torch.where(ordinary, codes, count).argsort()[:count]
    scores = {name: np.empty(int(careers.lengths.sum())) for name in ("log_prob", "log_p_stay", "rank", "log_p_top")}
    scores |= {f"log_p {code}": np.empty(int(careers.lengths.sum())) for code in watched}
    for place, log_probs, previous, occupation in distributions(model, careers, batch_tokens, description):
        if one_to_one:
            code_log_probs = log_probs.index_select(1, id_of_code)
        else:
            sums = log_probs.new_zeros((len(log_probs), count), dtype=torch.float64)
            code_log_probs = sums.index_add(1, codes[ordinary], log_probs[:, ordinary].double().exp()).log()
        truth_and_stay = torch.stack([codes[occupation], codes[previous].clamp(min=0)], dim=-1)
        truth_and_stay_log_probs = code_log_probs.gather(-1, truth_and_stay)
        scores["log_prob"][place], scores["log_p_stay"][place] = truth_and_stay_log_probs.double().cpu().numpy().T
        scores["rank"][place] = ((code_log_probs > truth_and_stay_log_probs[:, :1]).sum(dim=-1) + 1).cpu().numpy()
        scores["log_p_top"][place] = code_log_probs.amax(dim=-1).double().cpu().numpy()
        for code in watched:
            scores[f"log_p {code}"][place] = code_log_probs[:, code].double().cpu().numpy()
    return scores


def codes_of_ids(processor: CareerProcessor, groups: Mapping[str, str] | None) -> tuple[np.ndarray, list[str]]:
    """Codes for the outcomes of a transition table: occupations, or groups of occupations.

    Args:
        processor: A model's processor.
        groups: Group of every occupation; None for a table of occupations.

    Returns:
        `(vocabulary,)` code of each id, -1 for special ids; and the label of each code.

    Raises:
        ValueError: An occupation has no group.
    """
    special = set(processor.special_token_ids)
    names = [None if i in special else label for i, label in enumerate(processor.occupations)]
    if groups is not None:
        without = [name for name in names if name is not None and name not in groups]
        if without:
            raise ValueError(
                f"{len(without)} occupations have no group, '{without[0]}' among them: add them to groups"
            )
        names = [None if name is None else groups[name] for name in names]
    labels = list(dict.fromkeys(name for name in names if name is not None))
    place = {label: code for code, label in enumerate(labels)}
    return np.array([-1 if name is None else place[name] for name in names]), labels


def _own_codes(
    occupations: pa.ChunkedArray,
    code: np.ndarray,
    processor: CareerProcessor,
    groups: Mapping[str, str] | None,
    labels: list[str],
) -> tuple[np.ndarray, list[str]]:
    """Codes of the careers' own labels (or their groups), of which a model may not know all.

    Args:
        occupations: `(steps,)` labels of the careers.
        code: `(steps,)` codes of what they are to the model.
        processor, groups: As in `transition_table`.
        labels: The label of each code that the model predicts.

    Returns:
        `(steps,)` codes, and the label of each, those that the model does not know last.
    """
    encoded = occupations.combine_chunks().dictionary_encode()
    names, place = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    known = set(processor.occupations) - {processor.occupations[i] for i in processor.special_token_ids}
    strange = {i: (groups or {}).get(name, name) for i, name in enumerate(names) if name not in known}
    if not strange:
        return code, labels
    labels = list(dict.fromkeys([*labels, *strange.values()]))
    own = np.full(len(names), -1)
    own[list(strange)] = [labels.index(label) for label in strange.values()]
    return np.where(own[place] >= 0, own[place], code), labels


def _coding_changed(long: pa.Table, first: np.ndarray) -> np.ndarray:
    """`(person-years,)`: whether the coding scheme differs from that of the person's last step that has one."""
    if VINTAGE not in long.column_names:
        return np.zeros(len(first), dtype=bool)
    vintage = pd.Series(long[VINTAGE].to_pandas())
    person = first.cumsum()
    before = vintage.groupby(person).ffill().groupby(person).shift()
    return (vintage.notna() & before.notna() & (vintage != before)).to_numpy()


def _categories(column: pa.ChunkedArray) -> pd.Categorical:
    """A column of labels as categories; missing labels are null."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy()
    return pd.Categorical.from_codes(codes, categories=pd.Index(encoded.dictionary.to_pylist(), dtype="str"))
