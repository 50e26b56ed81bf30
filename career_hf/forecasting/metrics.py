"""How good forecasts are, from their forecast tables: by horizon, for states, for shares, and as prediction sets.

Perplexities and differences with intervals are those of `evaluation`, which reads forecast tables too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from ..careers.clusters import clusters
from ..careers.periods import period_label
from ..evaluation.calibration import calibration_error, reliability
from ..evaluation.metrics import bootstrap_perplexity, paired_aucs, without_zero_weights
from ..evaluation.resampling import between_members, between_spread
from ..number_ranges import within_ranges
from .result import Forecast
from .shocks import Shocks
from .table import known_occupations, places


# Quantiles at the ends of a fan: those of the middle half and of the middle nine tenths.
QUANTILES = (0.05, 0.25, 0.75, 0.95)
# Draws of what is not chance, at least.
FAN_DRAWS = 4_000


def state_auc(table: pd.DataFrame, label: str, weighted: bool = False) -> float:
    """Area under the ROC curve of being in a state in a forecast year, such as unemployment.

    `evaluation.entry_auc` is that of entering it, among people who were elsewhere.

    Args:
        table: A forecast table made with `watch=[label]`.
        label: The state.
        weighted: Whether to use weights.

    Raises:
        ValueError: The label was not watched, or nobody is in the state, or everybody.
    """
    _, there, score = _being_in(table, label)
    if there.all() or not there.any():
        raise ValueError(f"{there.sum()} of {len(there)} observations are '{label}'; the AUC needs both")
    return float(roc_auc_score(there, score, sample_weight=table["weight"] if weighted else None))


@within_ranges
@without_zero_weights
def state_auc_differences(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    baseline: str,
    label: str,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """`state_auc` of each model, and differences from the baseline's, with paired intervals.

    Args:
        tables: For each model a forecast table made with `watch=[label]`, or one for each seed, over which areas are
            averaged.
        baseline: The model whose area is subtracted.
        label: The state.
        draws, seed: Number and random seed of the resamples of clusters, which all models share.
        weighted: Whether to use weights.

    Returns:
        One row per model: auc, low, high, difference, difference_low, difference_high, null where nobody is in the
        state, or everybody. There are no intervals with fewer than `FEWEST` clusters in the state, or out of it.

    Raises:
        ValueError: The tables do not have the same rows, there is no such baseline, or the label was not watched.
    """
    return paired_aucs(tables, baseline, lambda table: _being_in(table, label), draws, seed, weighted)


def _being_in(table: pd.DataFrame, label: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """All rows of a table, whether they are in a state, and its probability."""
    if f"p({label})" not in table.columns:
        raise ValueError(f"the table does not keep the probability of '{label}': make it with watch=['{label}']")
    return table, (table["occupation"] == label).to_numpy(), table[f"p({label})"].to_numpy()


def watched(table: pd.DataFrame) -> list[str]:
    """Labels whose probability a table keeps."""
    return [str(name)[2:-1] for name in table.columns if str(name).startswith("p(")]


def by_horizon(table: pd.DataFrame, draws: int = 1000, seed: int = 0, weighted: bool = False) -> pd.DataFrame:
    """What a forecast is worth overall and in each year (Tables 1 and 2).

    Args:
        table: A forecast table.
        draws, seed: Number and random seed of the resamples of clusters behind intervals.
        weighted: Whether to use weights in perplexities and AUCs.

    Returns:
        One row "all" and one for each year: n, people, unknown (rows from or to an occupation that the model does not
        know, in whose place its unknown occupation is scored), perplexity, standard_error, low, high; monte_carlo, the
        standard error of perplexity from sampling trajectories, were a person's errors equal in all years, which is
        the most they can add up to; monte_carlo_bias, how much higher perplexity would be on average if the logs of
        sampled probabilities were not corrected; "AUC STATE" of being in each watched state, with the ends of its
        interval, "AUC STATE low" and "AUC STATE high"; top_ece, the calibration error of the likeliest occupation;
        in_set and set_size, the share of observations in the sets of likeliest occupations, and their mean size.
    """
    rows = {}
    for name, part in {"all": table, **dict(list(table.groupby("year")))}.items():
        level = bootstrap_perplexity(part, draws, seed, weighted).iloc[0]
        weight = part["weight"].to_numpy() if weighted else np.ones(len(part))
        of_people = (part["log_prob_error"] * weight).groupby(part["person"], observed=True).sum()
        rows[name] = {
            **level[["n", "people"]],
            "unknown": int(part["unknown"].sum()),
            **level.drop(["n", "people"]),
            "monte_carlo": level["perplexity"] * np.sqrt((of_people**2).sum()) / weight.sum(),
            "monte_carlo_bias": level["perplexity"]
            * np.expm1(np.average(part["log_prob_correction"], weights=weight)),
            **_areas(part, draws, seed, weighted),
            "top_ece": calibration_error(reliability(part, "top", draws=1)),
            **part[["in_set", "set_size"]].mean(),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("year")
    return frame.astype({"n": int, "people": int, "unknown": int})


def _areas(table: pd.DataFrame, draws: int, seed: int, weighted: bool) -> dict[str, float]:
    """The columns of AUCs of `by_horizon`."""
    found: dict[str, float] = {}
    for label in watched(table):
        row = state_auc_differences({"": table}, "", label, draws, seed, weighted).loc[""]
        found |= {f"AUC {label}": row["auc"], f"AUC {label} low": row["low"], f"AUC {label} high": row["high"]}
    return found


def calibration_by_horizon(table: pd.DataFrame, bins: int = 10, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Reliability of the likeliest occupation's probability in each year.

    Args:
        table: A forecast table.
        bins, draws, seed: As in `calibration.reliability`.

    Returns:
        One row per year and bin that somebody is in: year, bin, n, predicted, observed, low, high.
    """
    curves = [
        reliability(part, "top", bins=bins, draws=draws, seed=seed).reset_index().assign(year=year)
        for year, part in table.groupby("year")
    ]
    frame = pd.concat(curves, ignore_index=True)[["year", "bin", "n", "predicted", "observed", "low", "high"]]
    return frame[frame["n"] > 0].reset_index(drop=True)


def prediction_sets(
    forecast: Forecast,
    table: pd.DataFrame,
    coverage: float = 0.9,
    calibration_share: float = 0.5,
    seed: int = 0,
    splits: int = 20,
) -> pd.DataFrame:
    """Sets of likeliest occupations whose size some people choose, and whose coverage others test (split conformal).

    A set takes every occupation before which likelier ones have a total probability of at most a threshold, so the
    likeliest is always in it. In each year the threshold is the k-th smallest `mass_before` of the n calibration
    people, k = ceil((n + 1) coverage): a further person who is exchangeable with them is covered with a probability of
    at least `coverage`, whatever the model (Vovk et al., 2005, "Algorithmic Learning in a Random World"; the score is
    that of Romano et al., 2020, without randomisation). Clusters of people (`careers.clusters`) are split, so that
    years of one person, and people of one household, are never on both sides. Weights are not used.

    Args:
        forecast: The forecast that the table was made of.
        table: A forecast table.
        coverage: Share of people whom the sets are to cover.
        calibration_share: Share of clusters that choose the thresholds.
        seed: Random seed of the splits.
        splits: Number of random splits over which everything is averaged.

    Returns:
        One row per year: calibration and tested (people), threshold, coverage among the tested with its standard
        error, which is that of people (clustered) and not of splits, and split_sd, the standard deviation over splits;
        mean and median set_size, and uncalibrated, the coverage of the model's own sets (`in_set`).

    Raises:
        ValueError: Someone's year has no person left on one of the sides, or coverage is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1, and is {coverage}")
    cluster = clusters(table)
    count = int(cluster.max()) + 1
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(count)[: round(calibration_share * count)] for _ in range(splits)]
    person, step = places(forecast, table)
    rows = {}
    for year in np.unique(table["year"]):
        of_year = np.flatnonzero(table["year"] == year)
        p = -np.sort(-forecast.probability[person[of_year], step[of_year]].astype(np.float64), axis=1)
        before = np.insert(p.cumsum(axis=1)[:, :-1], 0, 0, axis=1)
        own, in_set = (table[name].to_numpy()[of_year] for name in ("mass_before", "in_set"))
        found, covered, tested_times = [], np.zeros(count), np.zeros(count)
        for of_split in chosen:
            calibrates = np.isin(cluster[of_year], of_split)
            n, tested = int(calibrates.sum()), ~calibrates
            if n == 0 or not tested.any():
                label = period_label(year, forecast.time_unit)
                raise ValueError(f"{label} has {n} people to calibrate sets and {tested.sum()} to test; forecast more")
            k = int(np.ceil((n + 1) * coverage - 1e-9))
            # With too few people no threshold is large enough: the set is everything.
            threshold = np.sort(own[calibrates])[k - 1] if k <= n else np.inf
            size = (before[tested] <= threshold).sum(axis=1)
            hit = own[tested] <= threshold
            covered += np.bincount(cluster[of_year][tested], weights=hit, minlength=count)
            tested_times += np.bincount(cluster[of_year][tested], minlength=count)
            found.append(
                {
                    "calibration": n,
                    "tested": int(tested.sum()),
                    "threshold": threshold,
                    "coverage": hit.mean(),
                    "set_size": size.mean(),
                    "median_set_size": np.median(size),
                    "uncalibrated": in_set[tested].mean(),
                }
            )
        mean = pd.DataFrame(found).mean()
        # What each cluster adds to the share, as in a clustered standard error of a ratio.
        share = covered.sum() / tested_times.sum()
        error = np.sqrt(((covered - share * tested_times) ** 2).sum()) / tested_times.sum()
        rows[int(year)] = {
            **mean[["calibration", "tested", "threshold", "coverage"]],
            "standard_error": error,
            "split_sd": np.std([one["coverage"] for one in found], ddof=1) if splits > 1 else np.nan,
            **mean[["set_size", "median_set_size", "uncalibrated"]],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("year")


def share_forecasts(
    forecast: Forecast,
    table: pd.DataFrame,
    labels: Sequence[str] | Mapping[str, Sequence[str]],
    weighted: bool = False,
    seed: int = 0,
    shocks: Shocks | None = None,
) -> pd.DataFrame:
    """Forecast shares of occupations among the people of a table, beside the realised ones.

    The fan is the distribution of the share of these very people, of what is yet to happen and not of its mean. It
    holds up to three things, and `attrs["holds"]` names those that it does:

    * chance: everybody's career is drawn once from the model, independently. All fans hold this.
    * model: the members of an ensemble differ, and so may the truth from their mean (`resampling.between_members`).
      Only forecasts of an ensemble hold this. The known variance that members' shares have because trajectories are
      sampled is subtracted from the variance between members, down to 0: it is no uncertainty of the model.
    * years: what hits everybody at once, a recession say, as large as it was after earlier cutoffs. Only fans with
      `shocks` hold this.

    That realised shares leave a fan means that what it does not hold is large.

    Args:
        forecast: A forecast with trajectories.
        table: Its forecast table.
        labels: The occupations or states whose shares are forecast; or groups of them by name.
        weighted: Whether to use weights.
        seed: Random seed that says which trajectories of different people go together, and of the draws of what is
            not chance.
        shocks: The size of what hits everybody at once, as `shocks.estimate_shocks` measures it.

    Returns:
        One row per label and year: occupation (or group), year, ahead (how far it is after the last year of the latest
        career), n, expected, realised, the standard deviations chance, model and years of what the fan holds, and
        columns named by `QUANTILES`.

    Raises:
        ValueError: The forecast has no trajectories, or a label is not forecast.
    """
    members = forecast.members or (forecast,)
    if any(member.trajectories is None for member in members):
        raise ValueError("shares need trajectories: make the forecast with trajectories=True")
    groups = dict(labels) if isinstance(labels, Mapping) else {label: [label] for label in labels}
    missing = [label for group in groups.values() for label in group if label not in forecast.occupations]
    if missing:
        raise ValueError(f"labels {missing} are not among the {len(forecast.occupations)} that are forecast")
    rng = np.random.default_rng(seed)
    paths = [_together(member, rng) for member in members]
    person, step = places(forecast, table)
    weight = table["weight"].to_numpy() if weighted else np.ones(len(table))
    occupation = known_occupations(forecast, table["occupation"]).to_numpy()
    before = int((table["year"] - table["gap_years"]).max())
    rows = []
    for year in np.unique(table["year"]):
        at = np.flatnonzero(table["year"] == year)
        drawn = [
            member.trajectories.occupation[path[person[at]], step[at, None]]  # type: ignore[union-attr]
            for member, path in zip(members, paths, strict=True)
        ]
        share, ahead = weight[at] / weight[at].sum(), int(year) - before
        for label, group in groups.items():
            codes = [forecast.occupations.index(one) for one in group]
            means = np.array([share @ member.probability[person[at], step[at]][:, codes].sum(1) for member in members])
            chance = [share @ np.isin(of_member, codes) for of_member in drawn]
            # Of a group both are upper bounds, because its occupations exclude one another.
            errors = [share[:, None] * member.standard_error[person[at], step[at]][:, codes] for member in members]
            sampled = [
                min(np.square(error, dtype=np.float64).sum(), own.var() / len(own))
                for error, own in zip(errors, chance, strict=True)
            ]
            shock = 0.0 if shocks is None else shocks.deviation(label, ahead)
            fan, deviations = _fan(means, np.array(sampled), chance, shock, seed)
            rows.append(
                {
                    "occupation": label,
                    "year": int(year),
                    "ahead": ahead,
                    "n": len(at),
                    "expected": means.mean(),
                    "realised": share @ np.isin(occupation[at], group),
                    **deviations,
                    **dict(zip(map(str, QUANTILES), np.quantile(fan, QUANTILES), strict=True)),
                }
            )
    frame = pd.DataFrame(rows).sort_values("occupation", kind="stable", key=lambda c: c.map(list(groups).index))
    held = {"chance": True, "model": len(members) > 1, "years": shocks is not None}
    frame.attrs["holds"] = [name for name, holds in held.items() if holds]
    return frame


def _together(forecast: Forecast, rng: np.random.Generator) -> np.ndarray:
    """`(people, samples)` places of paths: a column is one trajectory of everybody, drawn independently."""
    paths: Any = forecast.trajectories
    path = np.repeat(np.arange(len(paths.count)), paths.count).reshape(len(forecast.people), -1)
    return rng.permuted(path, axis=1)


def _fan(
    means: np.ndarray, sampled: np.ndarray, chance: Sequence[np.ndarray], shock: float, seed: int
) -> tuple[np.ndarray, dict[str, float]]:
    """Draws of a share, and the standard deviations of what they hold.

    Args:
        means: `(members,)` expected shares.
        sampled: `(members,)` variances of the expected shares that sampling trajectories adds.
        chance: For each member draws of the share.
        shock: Standard deviation of the log-odds of the share from what hits everybody at once.
        seed: Random seed.
    """
    p = means.mean()
    logits = logit(means.clip(1e-9, 1 - 1e-9))
    if len(logits) > 1 and (observed := logits.var(ddof=1)) > 0:
        slope = means * (1 - means)
        noise = np.divide(sampled, slope**2, out=np.zeros_like(means), where=slope > 0).mean()
        logits = logits.mean() + np.sqrt(max(0.0, 1 - noise / observed)) * (logits - logits.mean())
    between = between_spread(logits)
    around = np.concatenate([own - mean for own, mean in zip(chance, means, strict=True)])
    deviations = {"chance": float(np.sqrt(np.mean([own.var() for own in chance])))}
    deviations |= {"model": float(p * (1 - p) * between), "years": float(p * (1 - p) * shock)}
    if not between and not shock:
        return around + p, deviations
    around = np.resize(around, max(len(around), FAN_DRAWS))
    moved = logit(np.clip(p, 1e-9, 1 - 1e-9)) + between_members(logits, len(around), seed)
    moved += shock * np.random.default_rng([seed, 1]).standard_normal(len(around))
    return (around + expit(moved)).clip(0, 1), deviations
