"""The transition table, one row per predicted step, and every metric computed from it.

`transition_table` is the only function here that meets a model, and it never asks which one. All others read the table
alone, so one run of a model serves every table, figure, audit and interval, and models are compared row by row. The
table is a plain pandas frame: keep it with `table.to_parquet(path)` and `pandas.read_parquet(path)`.

Perplexity is exp(-mean log p(y_t | past)) over all steps, the first included (Section 4 of the paper). Intervals come
from resampling people, because one person's steps are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from sklearn.metrics import roc_auc_score
from transformers.utils import logging

from .career_columns import is_text
from .careers import to_frame
from .collating import EncodedCareers, PaddingCollator
from .resampling import resample_means


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

    from .processing_career import CareerProcessor

TRANSITIONS = ["first", "stay", "return", "new"]
CAREER_COLUMNS = ["person", "year", "occupation", "weight"]
SCORE_COLUMNS = ["step", "gap_years", "previous", "log_prob", "p_stay", "transition", "unknown", "split"]
INTERVAL = [0.025, 0.975]


def transition_table(
    model: PreTrainedModel,
    careers: Dataset,
    processor: CareerProcessor,
    *,
    batch_tokens: int = 16_000,
    split: str | None = None,
    unknown_levels: Literal["error", "missing"] = "error",
) -> pd.DataFrame:
    """Scores every step of every career with any occupation model.

    Args:
        model: A model whose `output.logits` are normalised log-probabilities, `(batch, time, vocabulary)`.
        careers: Careers, labels not ids.
        processor: The model's processor; it is checked against the model's config.
        batch_tokens: Steps per batch, padding included.
        split: A label for the column `split`, such as "test".
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.

    Returns:
        One row per step, in the order of the careers:
        person; step (0 for the first); year; gap_years since the previous step (null at step 0); previous and
        occupation, the labels of y_{t-1} (null at step 0) and y_t; log_prob, the natural log of p(y_t | past); p_stay,
        the probability of y_{t-1} (null at step 0); transition, "first", "stay", "return" (an earlier occupation, but
        not the previous one) or "new", as in Table 4 (null where it cannot be known); unknown, whether y_t or y_{t-1}
        is the processor's unknown occupation; weight, the survey weight (null without one); split; then the careers'
        covariates and other label columns.

    Raises:
        ValueError: The processor does not belong to the model, a career cannot be encoded, or a column of the careers
            has the name of one of the table's own.
    """
    processor.check(model.config)
    taken = sorted(set(careers.column_names) & set(SCORE_COLUMNS))
    if taken:
        raise ValueError(f"careers have columns {taken}, which are names of the transition table's own; rename them")
    encoded, _ = processor.encode(careers, unknown_levels=unknown_levels)
    everyone = EncodedCareers(encoded)
    flat = everyone.gather(np.arange(len(everyone)))
    labels, inputs, step = flat.labels, flat.input_ids, flat.positions
    log_prob, p_stay = _score(model, everyone, batch_tokens)

    first = step == 0
    long = to_frame(careers, kind="arrow")
    year = long["year"].to_numpy()
    gap = pd.array(year - np.r_[0, year[:-1]], dtype="Int32")
    gap[first] = pd.NA
    unknown = np.zeros(len(labels), dtype=bool)
    if processor.unknown_occupation is not None:
        unknown_id = processor.occupations.index(processor.unknown_occupation)
        unknown = (labels == unknown_id) | (~first & (inputs == unknown_id))
    table = pd.DataFrame(
        {
            "person": _labels(long["person"]),
            "step": step.astype(np.int32),
            "year": year.astype(np.int32),
            "gap_years": gap,
            "previous": _occupations(np.where(first, -1, inputs), processor),
            "occupation": _occupations(labels, processor),
            "log_prob": log_prob,
            "p_stay": np.where(first, np.nan, p_stay),
            "transition": transition_classes(np.repeat(np.arange(len(everyone)), flat.lengths), labels, unknown),
            "unknown": unknown,
            "weight": long["weight"].to_numpy() if "weight" in long.column_names else np.nan,
            "split": _labels(pa.chunked_array([pa.repeat(pa.scalar(split, pa.string()), len(labels))])),
        }
    )
    for name in long.column_names:
        if name not in CAREER_COLUMNS and is_text(long[name].type):
            table[name] = _labels(long[name])
    return table


def transition_classes(
    person: np.ndarray, occupation: np.ndarray, unknown: np.ndarray | None = None
) -> pd.Categorical:
    """What kind of step each row is: "first", "stay", "return" or "new" (Table 4).

    Args:
        person: `(steps,)` person numbers; a person's steps stand together, in time order.
        occupation: `(steps,)` occupation numbers.
        unknown: `(steps,)` steps whose kind cannot be known; they are null.
    """
    first = np.r_[True, person[1:] != person[:-1]]
    stay = ~first & np.r_[False, occupation[1:] == occupation[:-1]]
    # An occupation is new where its person and its number occur together for the first time.
    repeated = pd.DataFrame({"person": person, "occupation": occupation}).duplicated().to_numpy()
    codes = np.select([first, stay, repeated], [0, 1, 2], default=3)
    if unknown is not None:
        codes[unknown] = -1
    return pd.Categorical.from_codes(codes, categories=TRANSITIONS)


def perplexity(table: pd.DataFrame, weighted: bool = False) -> float:
    """exp(-mean log-probability) over the table's rows; with survey weights, of the weighted mean."""
    return float(np.exp(-np.average(table["log_prob"], weights=_weights(table, weighted))))


def perplexity_by(table: pd.DataFrame, column: str | Sequence[str], weighted: bool = False) -> pd.DataFrame:
    """Perplexity in each group of a column (transition: Table 4; step: Figure 4; year; any covariate).

    Returns:
        One row per group, null among them, with n (steps), nll (mean negative log-probability) and perplexity.
    """
    weight = _weights(table, weighted)
    columns = pd.DataFrame({"n": 1, "total": table["log_prob"] * weight, "weight": weight}, index=table.index)
    sums = columns.groupby(_keys(table, column), observed=True, dropna=False).sum()
    nll = -sums["total"] / sums["weight"]
    return pd.DataFrame({"n": sums["n"], "nll": nll, "perplexity": np.exp(nll)})


def stay_auc(table: pd.DataFrame, weighted: bool = False) -> float:
    """Area under the ROC curve of moving against 1 - p_stay, from the second step on (Table 5).

    Steps from or to the unknown occupation are left out.

    Raises:
        ValueError: Nobody moves, or nobody stays.
    """
    rows = table[(table["step"] > 0) & ~table["unknown"]]
    moved = (rows["transition"] != "stay").to_numpy()
    if moved.all() or not moved.any():
        raise ValueError(
            f"the AUC of moving needs stays and moves: {moved.sum()} of {len(moved)} known steps are moves"
        )
    return float(roc_auc_score(moved, 1 - rows["p_stay"].to_numpy(), sample_weight=_weights(rows, weighted)))


def bootstrap_perplexity(
    table: pd.DataFrame,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
    by: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Perplexity with a standard error and a 95% interval from resampling people with replacement.

    Args:
        table: A transition table.
        draws: Resamples.
        seed: Seed of the resampling.
        weighted: Use survey weights.
        by: Columns to group by; all rows together without it.

    Returns:
        One row per group (a single row "all" without `by`): n, people, perplexity, standard_error, low, high. A group
        so small that some resamples miss it is summarised over the resamples that have it.
    """
    person = _person_codes(table)
    keys = _keys(table, by) if by is not None else [pd.Series("all", index=table.index, name="steps")]
    grouped = pd.DataFrame({"n": 1, "people": person}, index=table.index).groupby(keys, observed=True, dropna=False)
    sizes = grouped.agg({"n": "size", "people": "nunique"})
    group, log_prob, weight = grouped.ngroup().to_numpy(), table[["log_prob"]].to_numpy(), _weights(table, weighted)
    estimate, resampled = resample_means(log_prob, weight, person, group, draws=draws, seed=seed)
    values = np.exp(-resampled[..., 0])
    low, high = np.nanquantile(values, INTERVAL, axis=0)
    spread = np.nanstd(values, axis=0, ddof=1)
    return sizes.assign(perplexity=np.exp(-estimate[:, 0]), standard_error=spread, low=low, high=high)


def compare(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    baseline: str,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """Log-perplexity of each model minus the baseline's, on the same rows, with intervals from resampling people.

    A model trained with several seeds gives a list of tables. Its log-perplexity is the mean over seeds; how much it
    varies between seeds (`seed_sd`) is another thing than how much the difference varies with the people who happen to
    be in the test set (`standard_error`, `low`, `high`), and stands apart.

    Args:
        tables: For each model a transition table, or one for each seed.
        baseline: The model to subtract.
        draws: Resamples.
        seed: Seed of the resampling.
        weighted: Use survey weights.

    Returns:
        One row per model: perplexity (exp of the mean log-perplexity), ratio to the baseline's, difference (its log),
        standard_error, low and high of the difference, seeds, seed_sd (of log-perplexity; null for one seed).

    Raises:
        ValueError: The tables do not have the same rows, or there is no such baseline.
    """
    if baseline not in tables:
        raise ValueError(f"baseline '{baseline}' is not among the tables: {list(tables)}")
    seeds = {name: _seeds(of_model) for name, of_model in tables.items()}
    _, (estimate,), resampled = resampled_nll(tables, draws, seed, weighted)
    resampled = resampled[:, 0]
    k = list(tables).index(baseline)
    difference, differences = estimate - estimate[k], resampled - resampled[:, [k]]
    low, high = np.quantile(differences, INTERVAL, axis=0)
    return pd.DataFrame(
        {
            "perplexity": np.exp(estimate),
            "ratio": np.exp(difference),
            "difference": difference,
            "standard_error": differences.std(axis=0, ddof=1),
            "low": low,
            "high": high,
            "seeds": [len(of_model) for of_model in seeds.values()],
            "seed_sd": [_seed_sd([np.log(perplexity(t, weighted)) for t in of_model]) for of_model in seeds.values()],
        },
        index=pd.Index(tables, name="model"),
    )


def resampled_nll(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
    by: str | None = None,
) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Mean negative log-likelihood of each model, averaged over its seeds, on the same rows and the same resamples.

    Args:
        tables, draws, seed, weighted: As in `compare`.
        by: Column to group by; all rows are one group "all" without it.

    Returns:
        Number of steps by group; `(groups, models)` as it is; `(draws, groups, models)` for resamples of people, from
        which the interval of anything that follows from the means can be read.

    Raises:
        ValueError: The tables do not have the same rows.
    """
    seeds = {name: _seeds(of_model) for name, of_model in tables.items()}
    _check_same_rows(seeds)
    table = next(iter(seeds.values()))[0]
    log_probs = np.stack([_mean_over_seeds(of_model) for of_model in seeds.values()], axis=1)
    grouped = table.groupby(_keys(table, by or []) or np.repeat("all", len(table)), observed=True, dropna=False)
    group, weight = grouped.ngroup().to_numpy(), _weights(table, weighted)
    estimate, resampled = resample_means(log_probs, weight, _person_codes(table), group, draws=draws, seed=seed)
    return grouped.size(), -estimate, -resampled


def summarize(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """One row per model, for printing: sizes, perplexity with its interval, perplexity by kind of step, AUC of moving.

    Args:
        tables: For each model a transition table, or one for each seed; log-perplexities and AUCs are averaged over
            seeds.
        draws: Resamples for the interval.
        seed: Seed of the resampling.
        weighted: Use survey weights.

    Returns:
        Columns n, people, perplexity, low, high, first, stay, return, new, stay_auc (null where nobody moves or nobody
        stays), seeds, seed_sd (standard deviation of perplexity over seeds, null for one).
    """
    rows = {}
    for name, of_model in tables.items():
        seeds = _seeds(of_model)
        _check_same_rows({name: seeds})
        table = seeds[0].assign(log_prob=_mean_over_seeds(seeds))
        level = bootstrap_perplexity(table, draws, seed, weighted).iloc[0]
        by_transition = perplexity_by(table, "transition", weighted)["perplexity"].reindex(TRANSITIONS)
        later = table.loc[(table["step"] > 0) & ~table["unknown"], "transition"]
        both = later.eq("stay").any() and later.ne("stay").any()
        rows[name] = {
            **level[["n", "people", "perplexity", "low", "high"]],
            **by_transition,
            "stay_auc": np.mean([stay_auc(t, weighted) for t in seeds]) if both else np.nan,
            "seeds": len(seeds),
            "seed_sd": _seed_sd([perplexity(t, weighted) for t in seeds]),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    return frame.astype({"n": int, "people": int, "seeds": int})


def _score(model: PreTrainedModel, careers: EncodedCareers, batch_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """log p(y_t) and p(y_{t-1}) of every step, as flat float64 arrays in the order of the careers."""
    # Careers of one batch are of similar length, so padding is little; the longest come first, so that a batch that
    # does not fit into memory fails at once.
    order = np.argsort(-careers.lengths, kind="stable")
    lengths = careers.lengths[order]
    batches, start = [], 0
    while start < len(order):
        stop = start + max(1, batch_tokens // int(lengths[start]))
        batches.append(order[start:stop])
        start = stop
    collate = PaddingCollator(model.config.pad_token_id)
    scores = []
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for people in logging.tqdm(batches, desc="Scoring careers", unit="batch"):
                batch = collate(careers.gather(people))
                real = batch["labels"] != -100
                wanted = torch.stack([batch["labels"].clamp(min=0), batch["input_ids"]], dim=-1).to(model.device)
                # Labels stay behind: nothing here needs a loss. So do weights.
                given = {name: batch[name].to(model.device) for name in ("input_ids", "covariates") if name in batch}
                scores.append(model(**given).logits.gather(-1, wanted).double().cpu()[real].numpy())
    finally:
        model.train(was_training)
    # Scores lie end to end in the order of the batches; sorting their places puts them back.
    starts = (careers.lengths.cumsum() - careers.lengths)[order]
    place = np.repeat(starts - (lengths.cumsum() - lengths), lengths) + np.arange(lengths.sum())
    flat = np.empty((len(place), 2))
    flat[place] = np.concatenate(scores)
    return flat[:, 0], np.exp(flat[:, 1])


def _occupations(ids: np.ndarray, processor: CareerProcessor) -> pd.Categorical:
    """Labels of occupation ids, null where the id is -1; special ids are no categories."""
    ordinary = ~np.isin(np.arange(len(processor.occupations)), processor.special_token_ids)
    codes = np.r_[np.where(ordinary, ordinary.cumsum() - 1, -1), -1][ids]
    return pd.Categorical.from_codes(codes, categories=np.asarray(processor.occupations, dtype=object)[ordinary])


def _labels(column: pa.ChunkedArray) -> pd.Categorical:
    """A column of labels as categories; missing labels are null."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy()
    return pd.Categorical.from_codes(codes, categories=pd.Index(encoded.dictionary.to_pylist(), dtype="str"))


def _keys(table: pd.DataFrame, by: str | Sequence[str]) -> list[Any]:
    return [table[name] for name in ([by] if isinstance(by, str) else by)]


def _weights(table: pd.DataFrame, weighted: bool) -> np.ndarray:
    if not weighted:
        return np.ones(len(table))
    if table["weight"].isna().any():
        raise ValueError("weighted=True, but the table's column 'weight' has nulls; give the careers weights")
    return table["weight"].to_numpy()


def _person_codes(table: pd.DataFrame) -> np.ndarray:
    return pd.factorize(table["person"])[0]


def _seeds(tables: pd.DataFrame | Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    return [tables] if isinstance(tables, pd.DataFrame) else list(tables)


def _mean_over_seeds(tables: list[pd.DataFrame]) -> np.ndarray:
    return np.mean([table["log_prob"].to_numpy() for table in tables], axis=0)


def _seed_sd(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _check_same_rows(tables: Mapping[str, list[pd.DataFrame]]) -> None:
    """Raises a ValueError that names the first row in which two tables are not about the same step."""
    (first_name, first), *others = [(name, table) for name, of_model in tables.items() for table in of_model]
    for name, table in others:
        both = f"the tables of '{first_name}' and '{name}'"
        if len(table) != len(first):
            raise ValueError(f"{both} have {len(first)} and {len(table)} rows; score all models on the same careers")
        for column in ("person", "step", "occupation"):
            here, there = (t[column].astype(str).to_numpy() for t in (first, table))
            if (here != there).any():
                row = int((here != there).argmax())
                where = f"row {row}, person '{first['person'].iloc[row]}', column '{column}'"
                raise ValueError(
                    f"{both} differ in {where}: '{here[row]}' and '{there[row]}'; score all models on the same "
                    "careers, in the same order and with the same occupations"
                )
