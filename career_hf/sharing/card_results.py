"""Evaluation results of a checkpoint, which its card shows and its folder keeps in `evaluation_results.json`.

Metrics are those of `audit.audit`, for everybody and by group, and errors of wages for a wage model; every number has
an interval from resampling people, or households or PSUs where careers have them. The file names the weights that were
evaluated, so that results of other weights are not taken for theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from transformers import PreTrainedModel

from ..careers.clusters import cluster_name, clusters
from ..careers.frames import load_careers, to_frame
from ..careers.provenance import SOURCES, training_source
from ..encoding.processing_career import CareerProcessor
from ..evaluation.audit import EVERYBODY, audit
from ..evaluation.metrics import bootstrap_perplexity
from ..evaluation.resampling import interval, resample_means
from ..evaluation.transition_table import transition_table
from ..models.checksums import sha256_of
from ..models.modeling_wage import CareerForWagePrediction
from ..wages.design import LOG_WAGE
from ..wages.wage_head import encode_wages, predict_log_wages


RESULTS = "evaluation_results.json"
# Functions of the means of squared error, squared distance from the mean wage, that distance, and error.
WAGE_METRICS: Mapping[str, Callable[[np.ndarray], Any]] = {
    "wage_r2": lambda mean: 1 - mean[..., 0] / (mean[..., 1] - mean[..., 2] ** 2),
    "wage_rmse": lambda mean: np.sqrt(mean[..., 0]),
    "wage_gap": lambda mean: mean[..., 3],
}


def evaluate_checkpoint(
    folder: str | Path,
    model: PreTrainedModel,
    processor: CareerProcessor,
    data: str | Path,
    *,
    split: str = "test",
    by: Sequence[str] = (),
    draws: int = 1000,
) -> dict[str, Any]:
    """Scores a checkpoint and writes the results into its folder.

    Args:
        folder: Folder of the checkpoint.
        model, processor: Model and processor of the checkpoint.
        data: Folder of careers.
        split: Name of the split to score.
        by: Columns to audit by; several are combined.
        draws: Number of resamples behind the intervals.

    Returns:
        The content of the file: `weights` (SHA-256), `data` (as `training_source`), `title`, `split`, `by`, `draws`,
        `clusters` (what is resampled: "person", "household" or "PSU"), `people` and `person_years`; `metrics`, rows of
        group, metric, n, people, clusters, estimate, low and high (null for everybody together, if they are too few);
        `kinds`, rows of perplexity by kind of step; and `groups_left_out`, the number of groups with fewer than
        `FEWEST` clusters, which say little of a model and too much of the people.

    Raises:
        ValueError: There is no such split or column, or the careers do not fit the model.
    """
    splits = load_careers(data)
    if split not in splits:
        raise ValueError(f"{data} has splits {list(splits)}, and none is '{split}'")
    careers = splits[split]
    table = transition_table(model, careers, processor, split=split, unknown_levels="missing")
    audited = audit(table, list(by) or "split", draws=draws).to_frame()
    audited = audited[(audited["group"] == EVERYBODY) | bool(by)]
    kinds = bootstrap_perplexity(table.dropna(subset=["transition"]), draws=draws, by="transition").reset_index()
    rows = _rows(audited)
    if isinstance(model, CareerForWagePrediction) and LOG_WAGE in careers.column_names:
        labels = table[list(by)].astype(object).fillna("missing").astype(str)
        group = labels.agg(", ".join, axis=1) if by else pd.Series(EVERYBODY, index=table.index)
        rows += _wage_rows(model, careers, processor, group, draws)
    small = {row["group"] for row in rows if row["low"] is None and row["group"] != EVERYBODY}
    source = training_source(data, careers)
    results = {
        "weights": weights_hash(folder),
        "data": source,
        "title": SOURCES[source["source"]].title if source["source"] in SOURCES else "careers of an unknown source",
        "split": split,
        "by": list(by),
        "draws": draws,
        "clusters": cluster_name(table.columns),
        "people": len(careers),
        "person_years": len(table),
        "metrics": [row for row in rows if row["group"] not in small],
        "kinds": [row for row in _rows(kinds) if row["low"] is not None],
        "groups_left_out": len(small),
    }
    (Path(folder) / RESULTS).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return results


def read_results(folder: str | Path) -> dict[str, Any] | None:
    """The evaluation results in a folder; None if there are none.

    Raises:
        ValueError: The results are about other weights than those of the folder.
    """
    path = Path(folder) / RESULTS
    if not path.exists():
        return None
    results = json.loads(path.read_text(encoding="utf-8"))
    if results["weights"] != weights_hash(folder):
        raise ValueError(
            f"{path} is about other weights than those of the folder, which was trained again: evaluate it with "
            f"`career-hf card {folder} --data CAREERS`, or delete the file"
        )
    return results


def weights_hash(folder: str | Path) -> str:
    """SHA-256 of the weight files of a folder, one after the other."""
    return sha256_of(*sorted(Path(folder).glob("*.safetensors")))


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values, in which what is missing, such as the interval of too few people, is None.

    Rows that have no estimate, such as calibration where nobody stays, are left out.
    """
    rows = frame.dropna(subset="estimate" if "estimate" in frame else "perplexity").to_dict(orient="records")
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _wage_rows(
    model: CareerForWagePrediction, careers: Dataset, processor: CareerProcessor, group: pd.Series, draws: int
) -> list[dict[str, Any]]:
    """Errors of log wages at work, for everybody and by group (one label per person-year), with intervals."""
    encoded, _ = encode_wages(careers, processor, unknown_levels="missing")
    wage = np.concatenate([np.asarray(person, dtype=np.float64) for person in encoded[LOG_WAGE]])
    long = to_frame(careers)
    person, cluster = pd.factorize(long["person"])[0], clusters(long)
    predicted = predict_log_wages(model, careers, processor, unknown_levels="missing").astype(np.float64)
    error, observed, rows = predicted - wage, np.isfinite(wage), []
    for label in dict.fromkeys([EVERYBODY, *group]):
        chosen = observed & (np.ones(len(wage), dtype=bool) if label == EVERYBODY else (group == label).to_numpy())
        if not chosen.any():
            continue
        units, centred = np.unique(cluster[chosen], return_inverse=True)[1], wage[chosen] - wage[chosen].mean()
        values = np.column_stack([error[chosen] ** 2, centred**2, centred, error[chosen]])
        ones, one_group = np.ones(len(units)), np.zeros(len(units), dtype=np.int64)
        mean, drawn = resample_means(values, ones, units, one_group, draws=draws, seed=0)
        count = int(units.max()) + 1
        sizes = {"n": len(units), "people": len(np.unique(person[chosen])), "clusters": count}
        for metric, value_of in WAGE_METRICS.items():
            low, high = interval(value_of(drawn[:, 0]), count)
            estimate = {"estimate": value_of(mean[0]), "low": low, "high": high}
            found = {name: _plain(float(value)) for name, value in estimate.items()}
            rows.append({"group": label, "metric": metric, **sizes, **found})
    return rows


__all__ = ["RESULTS", "evaluate_checkpoint", "read_results", "weights_hash"]
