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

from ..number_ranges import within_ranges
from .metrics import INTERVAL, scored_steps, step_weights
from .resampling import resample_means


METRICS = ["perplexity", "accuracy", "accuracy_top5", "stay_gap", "stay_error", "top_gap", "top_error"]
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
        """A table for people: groups in rows, metrics in columns, each as "estimate [low, high]"."""
        counts = ["n", "people", "share", *(["unknown"] if self.table["unknown"].any() else [])]
        sizes = self.table.drop_duplicates("group").set_index("group")[counts]
        digits = [2 if metric == "perplexity" else 3 for metric in self.table["metric"]]
        texts = [
            f"{row.estimate:.{n}f} [{row.low:.{n}f}, {row.high:.{n}f}]"
            for row, n in zip(self.table.itertuples(), digits, strict=True)
        ]
        wide = self.table.assign(text=texts).pivot(index="group", columns="metric", values="text")
        return sizes.join(wide[METRICS]).rename(columns=ENGLISH)

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
        draws, seed: Number and random seed of the resamples of people.

    Returns:
        A report whose frame has one row per group and metric, everybody ("all") first: group, metric, n (steps),
        people, share (of all steps, perhaps weighted), unknown (steps from or to an unknown occupation), estimate, low
        and high (95%). The metrics:

        perplexity: perplexity of all steps;
        accuracy, accuracy_top5: share of steps whose occupation is the likeliest, or among the five likeliest;
        stay_gap: mean probability of staying less the share who stay, from the second step on; above zero, the model
            expects too few moves of this group;
        stay_error: expected calibration error of staying, the mean distance over bins between observed shares and
            predictions. Chance alone makes it positive, so its interval is the estimate plus and minus the distance
            that chance may explain (the 95% quantile over resamples). `low` above zero means that chance does not
            explain the error;
        top_gap, top_error: the same for the probability of the likeliest occupation, and whether it was right; a gap
            above zero means that the model is too confident.

        Steps from or to the unknown occupation count in perplexity only. `attrs` of the frame have by, weighted, draws
        and bins.

    Raises:
        ValueError: The file cannot be read, a column does not exist, or `weighted` is set and weights are missing.
    """
    if isinstance(table, (str, Path)):
        path = table
        try:
            table = pd.read_parquet(path)
        except ValueError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
    names = [by] if isinstance(by, str) else list(by)
    absent = [name for name in names if name not in table.columns]
    if absent:
        raise ValueError(f"the transition table has no column '{absent[0]}' to audit by, only {list(table.columns)}")
    table = scored_steps(table, weighted)
    weight = step_weights(table, weighted)
    # The first label is everybody; the others are groups.
    grouped = table.groupby(names, observed=True, dropna=False)
    code, keys = grouped.ngroup().to_numpy(), [key for key, _ in grouped]
    labels = [EVERYBODY, *(", ".join("missing" if pd.isna(part) else str(part) for part in key) for key in keys)]
    person = pd.factorize(table["person"])[0]
    labelled = ~table["unknown"].to_numpy()
    later = labelled & (table["step"] > 0).to_numpy()
    rank, log_prob = table["rank"].to_numpy(), table["log_prob"].to_numpy()
    stayed = (table["transition"] == "stay").to_numpy()

    def means(values: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(columns,)` means over some steps, and `(draws, columns)` in resamples of people; NaN without any steps."""
        if not chosen.any():
            return np.full(values.shape[1], np.nan), np.full((1, values.shape[1]), np.nan)
        people, one_group = pd.factorize(person[chosen])[0], np.zeros(int(chosen.sum()), dtype=np.int64)
        mean, resampled = resample_means(values[chosen], weight[chosen], people, one_group, draws=draws, seed=seed)
        return mean[0], resampled[:, 0]

    rows = []
    for number, label in enumerate(labels):
        members = np.ones(len(table), dtype=bool) if number == 0 else code == number - 1
        sizes = {
            "n": int(members.sum()),
            "people": len(np.unique(person[members])),
            "share": float(weight[members].sum() / weight.sum()),
            "unknown": int((members & ~labelled).sum()),
        }
        nll, drawn_nll = means(-log_prob[:, None], members)
        right = np.stack([rank == 1, rank <= 5], axis=1).astype(np.float64)
        shares, drawn_shares = means(right, members & labelled)
        estimates = [
            (float(np.exp(nll[0])), *np.quantile(np.exp(drawn_nll[:, 0]), INTERVAL)),
            *((shares[i], *np.quantile(drawn_shares[:, i], INTERVAL)) for i in (0, 1)),
        ]
        for chosen, column, happened in (
            (members & later, "p_stay", stayed),
            (members & labelled, "p_top", rank == 1),
        ):
            predicted = table[column].to_numpy()
            distance = np.where(chosen, predicted - happened, 0.0)
            in_bins = np.zeros((len(table), bins))
            in_bins[chosen, _bins(predicted[chosen], bins)] = distance[chosen]
            estimates += _gap_and_error(*means(in_bins, chosen))
        rows += [
            {"group": label, "metric": metric, **sizes, "estimate": estimate, "low": low, "high": high}
            for metric, (estimate, low, high) in zip(METRICS, estimates, strict=True)
        ]
    frame = pd.DataFrame(rows)
    frame.attrs = {"by": names, "weighted": weighted, "draws": draws, "bins": bins}
    return AuditReport(frame)


def _bins(predicted: np.ndarray, bins: int) -> np.ndarray:
    """The number of each prediction's bin; bins hold equally many predictions, as in `calibration.reliability`."""
    numbers = pd.qcut(predicted, bins, labels=False, duplicates="drop") if len(predicted) else predicted
    return np.nan_to_num(numbers).astype(int)


def _gap_and_error(mean: np.ndarray, resampled: np.ndarray) -> list[tuple[float, float, float]]:
    """Calibration in the large, and expected calibration error, each with an interval.

    Args:
        mean: `(bins,)`, each bin's predicted less observed probability, times its share of the steps.
        resampled: `(draws, bins)`, the same in resamples of people.
    """
    gap, error = mean.sum(), np.abs(mean).sum()
    # By the triangle inequality |error - true error| is at most the sum over bins of the distances of means from the
    # truth; the distances of resamples from the sample estimate these.
    chance = np.quantile(np.abs(resampled - mean).sum(axis=1), 0.95)
    low, high = np.quantile(resampled.sum(axis=1), INTERVAL)
    return [(gap, low, high), (error, max(0.0, error - chance), error + chance)]


__all__ = ["METRICS", "AuditReport", "audit"]
