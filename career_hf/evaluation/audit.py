"""Audit of one model by demographic group: size, perplexity, accuracy and calibration, with intervals.

The paper's Broader Impact asks that a model be checked for people of each gender, race or region before it is used.
`evaluation_report.perplexity_in_groups` compares several models in groups; here one model's numbers stand beside each
other, so that a group for which it says less, or says it with too much confidence, is seen.

Perplexities and accuracies of groups differ because careers do: a group that changes occupations more is harder to
predict for the truth too. Calibration is what a good model owes to every group: among those whom it gives 30%, 30%.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .metrics import INTERVAL
from .resampling import resample_means


METRICS = ["perplexity", "accuracy", "accuracy_top5", "stay_gap", "stay_error", "top_gap", "top_error"]
EVERYBODY = "all"


def audit(
    table: pd.DataFrame,
    by: str | Sequence[str],
    *,
    weighted: bool = False,
    bins: int = 10,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Numbers of one model in each group, and of everybody.

    Args:
        table: A transition table; with several columns in `by`, groups are their combinations.
        by: Columns of the table, such as gender or race; null is a group.
        weighted: Use survey weights (or those of `raking.rake`).
        bins: Of calibration errors, as in `calibration.reliability`, of each group's own predictions.
        draws, seed: Of the resampling of people.

    Returns:
        One row per group and metric, everybody ("all") first: group, metric, n (steps), people, share (of all steps,
        weighted if asked for), estimate, low and high (95%). The metrics:

        perplexity: of all steps;
        accuracy, accuracy_top5: share of steps whose occupation is the likeliest, or among the five likeliest;
        stay_gap: mean probability of staying less the share who stay, from the second step on: above zero, the model
            expects too few moves of this group;
        stay_error: expected calibration error of staying, the mean distance over bins of observed shares from
            predictions. Chance alone makes it positive, so it has an interval of another kind: how far chance may
            carry it (the 95% quantile of its distance from itself over resamples) on both sides. `low` above zero
            means that chance does not explain it;
        top_gap, top_error: likewise for the probability of the likeliest occupation, and whether it was right: above
            zero, the model is too sure of itself.

        Steps from or to the unknown occupation are in perplexity only. `attrs` say weighted, draws and bins.

    Raises:
        ValueError: A column is not there, or is weighted without weights.
    """
    names = [by] if isinstance(by, str) else list(by)
    absent = [name for name in names if name not in table.columns]
    if absent:
        raise ValueError(f"the transition table has no column '{absent[0]}' to audit by, only {list(table.columns)}")
    if weighted and table["weight"].isna().any():
        raise ValueError("weighted=True, but the table's column 'weight' has nulls; give the careers weights")
    # Everybody, and then the same rows by group: one code more than there are groups.
    grouped = table.groupby(names, observed=True, dropna=False)
    code, keys = grouped.ngroup().to_numpy(), [key for key, _ in grouped]
    labels = [EVERYBODY, *(", ".join("missing" if pd.isna(part) else str(part) for part in key) for key in keys)]
    weight = table["weight"].to_numpy() if weighted else np.ones(len(table))
    person = pd.factorize(table["person"])[0]
    known = ~table["unknown"].to_numpy()
    later = known & (table["step"] > 0).to_numpy()
    rank, log_prob = table["rank"].to_numpy(), table["log_prob"].to_numpy()
    stayed = (table["transition"] == "stay").to_numpy()

    rows = []
    for number, label in enumerate(labels):
        here = np.ones(len(table), dtype=bool) if number == 0 else code == number - 1
        sizes = {
            "n": int(here.sum()),
            "people": len(np.unique(person[here])),
            "share": float(weight[here].sum() / weight.sum()),
        }

        def means(values: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """`(columns,)` means and `(draws, columns)` of resamples of the group's people; NaN if there are none."""
            if not of.any():
                return np.full(values.shape[1], np.nan), np.full((1, values.shape[1]), np.nan)
            who, together = pd.factorize(person[of])[0], np.zeros(int(of.sum()), dtype=np.int64)
            mean, resampled = resample_means(values[of], weight[of], who, together, draws=draws, seed=seed)
            return mean[0], resampled[:, 0]

        nll, drawn_nll = means(-log_prob[:, None], here)
        right = np.stack([rank == 1, rank <= 5], axis=1).astype(np.float64)
        shares, drawn_shares = means(right, here & known)
        found = [
            (float(np.exp(nll[0])), *np.quantile(np.exp(drawn_nll[:, 0]), INTERVAL)),
            *((shares[i], *np.quantile(drawn_shares[:, i], INTERVAL)) for i in (0, 1)),
        ]
        for of, column, happened in ((here & later, "p_stay", stayed), (here & known, "p_top", rank == 1)):
            predicted = table[column].to_numpy()
            distance = np.where(of, predicted - happened, 0.0)
            in_bins = np.zeros((len(table), bins))
            in_bins[of, _bins(predicted[of], bins)] = distance[of]
            found += _gap_and_error(*means(in_bins, of))
        rows += [
            {"group": label, "metric": metric, **sizes, "estimate": estimate, "low": low, "high": high}
            for metric, (estimate, low, high) in zip(METRICS, found, strict=True)
        ]
    result = pd.DataFrame(rows)
    result.attrs = {"by": names, "weighted": weighted, "draws": draws, "bins": bins}
    return result


def side_by_side(found: pd.DataFrame) -> pd.DataFrame:
    """Groups in rows and metrics in columns, each "estimate [low, high]", for printing.

    Args:
        found: What `audit` returns.
    """
    sizes = found.drop_duplicates("group").set_index("group")[["n", "people", "share"]]
    digits = [2 if metric == "perplexity" else 3 for metric in found["metric"]]
    texts = [
        f"{row.estimate:.{n}f} [{row.low:.{n}f}, {row.high:.{n}f}]"
        for row, n in zip(found.itertuples(), digits, strict=True)
    ]
    wide = found.assign(text=texts).pivot(index="group", columns="metric", values="text")
    return sizes.join(wide[METRICS])


def _bins(predicted: np.ndarray, bins: int) -> np.ndarray:
    """Bins of equally many predictions, as in `calibration.reliability`."""
    found = pd.qcut(predicted, bins, labels=False, duplicates="drop") if len(predicted) else predicted
    return np.nan_to_num(found).astype(int)


def _gap_and_error(mean: np.ndarray, resampled: np.ndarray) -> list[tuple[float, float, float]]:
    """Calibration in the large, and expected calibration error, each with an interval.

    Args:
        mean: `(bins,)`, each bin's predicted less observed probability, times its share of the steps.
        resampled: `(draws, bins)`, the same in resamples of people.
    """
    gap, error = mean.sum(), np.abs(mean).sum()
    # |error - true error| is at most the sum over bins of how far each mean is from the truth (triangle inequality),
    # and how far resamples are from the sample tells how far that may be.
    chance = np.quantile(np.abs(resampled - mean).sum(axis=1), 0.95)
    low, high = np.quantile(resampled.sum(axis=1), INTERVAL)
    return [(gap, low, high), (error, max(0.0, error - chance), error + chance)]


__all__ = ["METRICS", "audit", "side_by_side"]
