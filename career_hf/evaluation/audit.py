"""Audit of one model by demographic group: size, perplexity, accuracy and calibration, with intervals.

The paper's Broader Impact asks that a model be checked for people of each gender, race or region before it is used.
`report.perplexity_in_groups` compares several models in groups. Here the numbers of one model are side by side, to
show the groups that it predicts worse or with too much confidence.

Perplexities and accuracies of groups differ because careers differ: a group that changes occupations more often is
harder to predict, even with the truth. A good model should be calibrated in every group: of the people with a
predicted 30%, the event should happen to 30%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..careers.clusters import cluster_name, clusters
from ..number_ranges import within_ranges
from .calibration import EVENTS, distances_in_bins, event_rows
from .metrics import check_is_scored, scored_steps, step_weights
from .resampling import NOTE, absolute_sum_interval, cluster_counts, interval, interval_text, resample_means


METRICS = ["perplexity", "accuracy", "accuracy_top5", "stay_gap", "stay_error", "top_gap", "top_error"]
ENDS = ["estimate", "low", "high"]
EVERYBODY = "all"
# Names of columns in tables for people.
ENGLISH = {
    "n": "steps",
    "share": "share of steps",
    "unknown": "unknown steps",
    "accuracy_top5": "top-5 accuracy",
    "stay_gap": "gap, staying",
    "stay_error": "error, staying",
    "top_gap": "gap, likeliest",
    "top_error": "error, likeliest",
}


@dataclass(frozen=True, repr=False)
class AuditReport:
    """Numbers of one model in each group.

    Args:
        table: One row per group and metric; see `audit`.
    """

    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """One row per group and metric, as described in `audit`."""
        return self.table

    def side_by_side(self) -> pd.DataFrame:
        """A table for people: groups in rows, metrics in columns, each as "estimate [low, high]" or "[too few]"."""
        counts = ["n", "people", "share", *(["unknown"] if self.table["unknown"].any() else [])]
        sizes = self.table.drop_duplicates("group").set_index("group")[counts]
        digits = [2 if metric == "perplexity" else 3 for metric in self.table["metric"]]
        texts = [
            interval_text(row.estimate, row.low, row.high, n)
            for row, n in zip(self.table.itertuples(), digits, strict=True)
        ]
        wide = self.table.assign(text=texts).pivot(index="group", columns="metric", values="text")
        return sizes.join(wide[METRICS]).rename(columns=ENGLISH)

    @property
    def note(self) -> str:
        """What "too few" means, if some group has too few people, households or PSUs to be judged; otherwise empty."""
        return NOTE if (self.table["low"].isna() & self.table["estimate"].notna()).any() else ""

    def save(self, path: str | Path) -> None:
        """Writes the numbers to a CSV file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(path, index=False)

    def __repr__(self) -> str:
        return self.side_by_side().to_string()


@within_ranges
def audit(
    table: pd.DataFrame | str | Path,
    by: str | Sequence[str],
    *,
    weighted: bool = False,
    bins: int = 10,
    draws: int = 1000,
    seed: int = 0,
) -> AuditReport:
    """Numbers of one model in each group, and of everybody.

    Args:
        table: A transition table, or a Parquet file of one, as `evaluate` writes it.
        by: Columns of the table, such as gender or race; several are combined. Null is a group.
        weighted: Whether to use survey weights (or weights from `raking.rake`).
        bins: Number of bins of each group's predictions for calibration errors, as in `calibration.reliability`.
        draws, seed: Number and random seed of the resamples of clusters: PSUs or households where the table has them,
            otherwise people (`careers.clusters`).

    Returns:
        A report whose frame has one row per group and metric, everybody ("all") first: group, metric, n (steps),
        people, clusters, share (of all steps, perhaps weighted), unknown (steps from or to an unknown occupation),
        estimate, low and high (95%; null with fewer than `FEWEST` clusters, which are too few to judge a group by, and
        null where no step counts). The metrics:

        perplexity: perplexity of all steps;
        accuracy, accuracy_top5: share of steps whose occupation is the likeliest, or among the five likeliest;
        stay_gap: mean probability of staying less the share who stay, from the second step on; above zero, the model
            expects too few moves of this group;
        stay_error: expected calibration error of staying, the mean distance over bins between observed shares and
            predictions. Chance alone makes it positive, and its interval allows for that, as in
            `calibration.calibration_errors`: `low` above zero means that chance does not explain the error;
        top_gap, top_error: the same for the probability of the likeliest occupation, and whether it was right; a gap
            above zero means that the model is too confident.

        Steps from or to the unknown occupation count in perplexity only. `attrs` of the frame have by, weighted,
        draws, bins, and the clusters ("household", say).

    Raises:
        ValueError: The file cannot be read or is no transition table, a column does not exist, or `weighted` is set
            and weights are missing.
    """
    if isinstance(table, (str, Path)):
        table = _read_table(Path(table))
    check_is_scored(table)
    names = [by] if isinstance(by, str) else list(by)
    absent = [name for name in names if name not in table.columns]
    if absent:
        raise ValueError(f"the transition table has no column '{absent[0]}' to audit by, only {list(table.columns)}")
    # The first label is everybody; the others are groups.
    parts = [(EVERYBODY, table)]
    for key, part in table.groupby(names, observed=True, dropna=False) if names else ():
        parts.append((", ".join("missing" if pd.isna(level) else str(level) for level in key), part))
    total = step_weights(scored_steps(table, weighted), weighted).sum()
    rows = []
    for label, part in parts:
        weight = step_weights(part, weighted)
        part = part[weight > 0]
        sizes = {
            "group": label,
            "n": len(part),
            "people": part["person"].nunique(),
            "clusters": len(np.unique(clusters(part))),
            "share": float(weight.sum() / total) if total > 0 else np.nan,
            "unknown": int(part["unknown"].sum()),
        }
        found = _metrics(part, bins, draws, seed, weighted)
        rows += [{**sizes, "metric": metric, **dict(zip(ENDS, found[metric], strict=True))} for metric in METRICS]
    frame = pd.DataFrame(rows)[["group", "metric", "n", "people", "clusters", "share", "unknown", *ENDS]]
    unit = cluster_name(table.columns)
    frame.attrs = {"by": names, "weighted": weighted, "draws": draws, "bins": bins, "clusters": unit}
    return AuditReport(frame)


def _read_table(path: Path) -> pd.DataFrame:
    """The transition table of a file.

    Raises:
        ValueError: It is a folder, or no Parquet file.
    """
    if path.is_dir():
        tables = sorted(file.name for file in path.glob("*.parquet"))
        fix = f"give one file of it: {', '.join(tables[:5])}" if tables else "and has no Parquet files"
        raise ValueError(f"{path} is a folder, and a transition table is a Parquet file that `evaluate` writes: {fix}")
    try:
        return pd.read_parquet(path)
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read as a Parquet file, which `evaluate` writes transition tables to: {error}"
        ) from error


def _metrics(
    part: pd.DataFrame, bins: int, draws: int, seed: int, weighted: bool
) -> dict[str, tuple[float, float, float]]:
    """Estimate and ends of the interval of every metric, for the steps of a group."""

    def means(rows: pd.DataFrame, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """`(columns,)` means, `(draws, columns)` means in resamples, and the number of clusters; NaN without steps."""
        weight, one_group = step_weights(rows, weighted), np.zeros(len(rows), dtype=np.int64)
        if not weight.sum() > 0:
            return np.full(values.shape[1], np.nan), np.full((draws, values.shape[1]), np.nan), 0
        (mean,), drawn = resample_means(values, weight, clusters(rows), one_group, draws=draws, seed=seed)
        return mean, drawn[:, 0], int(cluster_counts(rows, one_group, weight)[0])

    def with_ends(mean: float, drawn: np.ndarray, count: int) -> tuple[float, float, float]:
        low, high = interval(drawn, count)
        return float(mean), float(low), float(high)

    nll, drawn_nll, count = means(part, -part[["log_prob"]].to_numpy())
    known = part[~part["unknown"].to_numpy()]
    right = np.stack([(known["rank"] <= k).where(known["rank"].notna()) for k in (1, 5)], axis=1).astype(np.float64)
    shares, drawn_shares, known_count = means(known, right)
    found = {
        "perplexity": with_ends(np.exp(nll[0]), np.exp(drawn_nll[:, 0]), count),
        "accuracy": with_ends(shares[0], drawn_shares[:, 0], known_count),
        "accuracy_top5": with_ends(shares[1], drawn_shares[:, 1], known_count),
    }
    for event in EVENTS:
        rows, predicted, happened = event_rows(part, event)
        in_bins, drawn, count = means(rows, distances_in_bins(predicted, happened, bins))
        found[f"{event}_gap"] = with_ends(in_bins.sum(), drawn.sum(axis=1), count)
        found[f"{event}_error"] = absolute_sum_interval(in_bins, drawn, np.ones(bins), count)
    return found


__all__ = ["METRICS", "AuditReport", "audit"]
