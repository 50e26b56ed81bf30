"""Metrics of models, computed from their transition tables: perplexity, AUCs, ranks, and differences with intervals.

Perplexity is exp(-mean log p(y_t | past)) over all steps, the first included (Section 4 of the paper). Intervals come
from resampling clusters (`resampling`): PSUs or households where careers have them, otherwise people. With fewer than
`FEWEST` of them, standard errors and intervals are null.

A step from or to an occupation that a model does not know has the probability of the model's unknown occupation. It
counts in the perplexity of a model by itself, and between models that do not know the same steps, because the unknown
occupation is then the same event for all. Models that know different steps are compared on those that all of them know
(`shared_rows`). Ranks, accuracies and AUCs leave out the steps that the model does not know.

Tables of other programs may give no more than log-probabilities (`outside_tables`). Numbers that need more are null.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from ..careers.clusters import clusters
from ..careers.ledger import Ledger
from ..number_ranges import within_ranges
from ..occupations.normalising import labels_of
from .resampling import INTERVAL as INTERVAL
from .resampling import cluster_counts, interval, resample_aucs, resample_means, spread
from .transition_table import TRANSITIONS


Metric = TypeVar("Metric", bound=Callable[..., Any])


def scored_steps(table: pd.DataFrame, weighted: bool) -> pd.DataFrame:
    """The steps that count: all of them, or, if they are weighted, those whose survey weight is not 0.

    Raises:
        ValueError: Survey weights are asked for, and some steps have none, or all weights are 0.
    """
    if not weighted or (weight := step_weights(table, weighted)).all():
        return table
    if not weight.any():
        raise ValueError("weighted=True, but the table's column 'weight' is 0 in every step, so that nothing counts")
    return table[weight != 0]


def check_is_scored(table: Any) -> None:
    """Refuses what is no transition table, such as a table of careers.

    Raises:
        ValueError: It has no log-probabilities.
    """
    if not isinstance(table, pd.DataFrame) or "log_prob" not in table:
        found = f"has columns {list(table)[:8]}" if isinstance(table, pd.DataFrame) else f"is a {type(table).__name__}"
        raise ValueError(
            f"this {found}, and is no transition table, which has a column 'log_prob': pass what "
            "career_hf.transition_table returns"
        )


def without_zero_weights(metric: Metric) -> Metric:
    """Makes a metric leave out steps of weight 0 wherever it is weighted, as if they had not been scored.

    Args:
        metric: A function whose first argument is a transition table, or tables by model, and that has `weighted`.
    """
    signature = inspect.signature(metric)

    @wraps(metric)
    def checked(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        (name, tables), *_ = bound.arguments.items()
        for table in tables.values() if isinstance(tables, Mapping) else [tables]:
            for one in as_seeds(table):
                check_is_scored(one)
        if bound.arguments.get("weighted"):
            if isinstance(tables, Mapping):
                tables = {key: [scored_steps(one, True) for one in as_seeds(own)] for key, own in tables.items()}
            else:
                tables = scored_steps(tables, True)
            bound.arguments[name] = tables
        return metric(*bound.args, **bound.kwargs)

    return cast(Metric, checked)


@within_ranges
@without_zero_weights
def perplexity(table: pd.DataFrame, weighted: bool = False, per_person: bool = False) -> float:
    """exp(-mean log-probability) over the rows of a table.

    Args:
        table: A transition table.
        weighted: Whether the mean uses survey weights.
        per_person: Whether every person counts alike, however long the career.
    """
    weight = step_weights(table, weighted)
    if per_person:
        weight = weight / table.groupby("person", observed=True)["step"].transform("size").to_numpy()
    return float(np.exp(-_average(table["log_prob"].to_numpy(), weight)))


def first_as_new(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the paper's kinds of steps (Table 4), in which a first occupation is a new one."""
    kinds = table["transition"].astype(object).replace("first", "new")
    return table.assign(transition=pd.Categorical(kinds, categories=TRANSITIONS[1:]))


@within_ranges
def perplexity_by(table: pd.DataFrame, column: str | Sequence[str], weighted: bool = False) -> pd.DataFrame:
    """Perplexity in each group of a column (transition: Table 4; step: Figure 4; year; any covariate).

    Returns:
        One row per group, including null, with n (steps that count), nll (mean negative log-probability) and
        perplexity, which are null in a group whose weights are all 0.
    """
    check_is_scored(table)
    weight = step_weights(table, weighted)
    columns = pd.DataFrame(
        {"n": (weight > 0).astype(int), "total": table["log_prob"] * weight, "weight": weight}, index=table.index
    )
    sums = columns.groupby(_keys(table, column), observed=True, dropna=False).sum()
    nll = -sums["total"] / sums["weight"].where(sums["weight"] > 0)
    return pd.DataFrame({"n": sums["n"], "nll": nll, "perplexity": np.exp(nll)})


@without_zero_weights
def stay_auc(table: pd.DataFrame, weighted: bool = False) -> float:
    """Area under the ROC curve of moving against 1 - p_stay, from the second step on (Table 5).

    Steps from or to the unknown occupation are left out.

    Raises:
        ValueError: Nobody moves, or nobody stays.
    """
    rows, moved, score = _event(table, None)
    if np.isnan(score).any():
        raise ValueError("the AUC of moving needs probabilities of staying, and the table's column 'p_stay' is empty")
    if moved.all() or not moved.any():
        raise ValueError(
            f"the AUC of moving needs stays and moves: {moved.sum()} of {len(moved)} known steps are moves"
        )
    return float(roc_auc_score(moved, score, sample_weight=step_weights(rows, weighted)))


@without_zero_weights
def entry_auc(table: pd.DataFrame, label: str, weighted: bool = False) -> float:
    """Area under the ROC curve of entering a state, such as unemployment, among steps from anywhere else.

    Args:
        table: A transition table made with `watch=[label]`.
        label: Label of the state.
        weighted: Whether to use survey weights.

    Raises:
        ValueError: The label was not watched, or nobody enters.
    """
    rows, entered, score = _event(table, label)
    if np.isnan(score).any():
        raise ValueError(f"the AUC of entering '{label}' needs its probabilities: column 'p({label})' is empty")
    if entered.all() or not entered.any():
        raise ValueError(f"{entered.sum()} of {len(entered)} steps from elsewhere enter '{label}'; the AUC needs both")
    return float(roc_auc_score(entered, score, sample_weight=step_weights(rows, weighted)))


def _event(table: pd.DataFrame, label: str | None) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Steps at which an event can be predicted, whether it happens, and its score: moving, or entering a state."""
    rows = table[((table["step"] > 0) & ~table["unknown"]).to_numpy()]
    if label is None:
        return rows, (rows["transition"] != "stay").to_numpy(), 1 - rows["p_stay"].to_numpy()
    if f"p({label})" not in table.columns:
        raise ValueError(f"the table does not keep the probability of '{label}': make it with watch=['{label}']")
    rows = rows[(rows["previous"] != label).to_numpy()]
    return rows, (rows["occupation"] == label).to_numpy(), rows[f"p({label})"].to_numpy()


@within_ranges
@without_zero_weights
def auc_differences(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    baseline: str,
    label: str | None = None,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """Areas under ROC curves of each model, and their differences from the baseline's, with intervals.

    All models have the same steps (`shared_rows`) and the same resamples, so that the intervals of differences are
    paired: whether two models differ is not to be read from their own intervals.

    Args:
        tables: For each model a transition table, or one for each seed, over which areas are averaged.
        baseline: The model whose area is subtracted.
        label: The state whose entry is predicted (`entry_auc`); None for moving (`stay_auc`).
        draws: Number of resamples.
        seed: Random seed of the resamples.
        weighted: Whether to use survey weights.

    Returns:
        One row per model: auc, low, high, difference, difference_low, difference_high. The areas are null where the
        event always or never happens, and where a table does not give its probabilities. There are no intervals where
        fewer than `FEWEST` clusters have the event, or fewer do not have it.

    Raises:
        ValueError: The tables do not have the same rows, there is no such baseline, or the label was not watched.
    """
    return paired_aucs(tables, baseline, lambda table: _event(table, label), draws, seed, weighted)


def paired_aucs(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    baseline: str,
    event: Callable[[pd.DataFrame], tuple[pd.DataFrame, np.ndarray, np.ndarray]],
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """`auc_differences` of any event.

    Args:
        tables, baseline, draws, seed, weighted: As in `auc_differences`.
        event: What gives the rows of a table at which the event can be predicted, whether it happens there, and its
            score. The rows and the first of these must not depend on the model.

    Raises:
        ValueError: As in `auc_differences`.
    """
    _check_baseline(baseline, tables)
    seeds, _ = shared_rows(tables)
    events = [[event(table) for table in model_tables] for model_tables in seeds.values()]
    rows, happened, _ = events[0][0]
    scores = np.stack([score for model_events in events for _, _, score in model_events], axis=1)
    weight = step_weights(rows, weighted)
    areas, resampled = resample_aucs(happened, scores, weight, clusters(rows), draws=draws, seed=seed)
    model = np.repeat(np.arange(len(events)), [len(model_events) for model_events in events])
    # Not a matrix product, in which a model without probabilities would make the areas of all others NaN.
    auc = np.array([areas[model == m].mean() for m in range(len(events))])
    drawn = np.stack([resampled[:, model == m].mean(axis=1) for m in range(len(events))], axis=1)
    k = list(seeds).index(baseline)
    count = min(_counts_with_and_without(rows, happened, weight))
    low, high = interval(drawn, count)
    difference_low, difference_high = interval(drawn - drawn[:, [k]], count)
    columns = {"low": low, "high": high, "difference": auc - auc[k]}
    columns |= {"difference_low": difference_low, "difference_high": difference_high}
    return pd.DataFrame({"auc": auc, **columns}, index=pd.Index(seeds, name="model"))


def _counts_with_and_without(rows: pd.DataFrame, happened: np.ndarray, weight: np.ndarray) -> tuple[int, int]:
    """The number of clusters with an event, and of those without it at some step."""
    counts = np.zeros(2, dtype=np.int64)
    found = cluster_counts(rows, happened.astype(np.int64), weight)
    counts[: len(found)] = found
    return int(counts[0]), int(counts[1])


@without_zero_weights
def ranking(table: pd.DataFrame, tops: Sequence[int] = (1, 5, 10), weighted: bool = False) -> pd.Series:
    """Ranks of the true occupation: top-k accuracies, mean reciprocal rank, and the mean rank of true moves.

    The rank of a move is its rank among all moves, which exclude the previous occupation. Steps from or to an
    occupation that the model does not know are left out; without others all numbers are null, and so are those that
    the table does not give.

    Args:
        table: A transition table.
        tops: Values of k.
        weighted: Whether to use survey weights.
    """
    table = table[~table["unknown"]]
    weight, rank = step_weights(table, weighted), table["rank"].to_numpy()
    shares = {f"top-{k}": _average(np.where(np.isnan(rank), np.nan, rank <= k), weight) for k in tops}
    moves = (table["step"] > 0).to_numpy() & ~table["transition"].eq("stay").to_numpy()
    p_stay = table["p_stay"].to_numpy()
    stay_is_likelier = np.where(np.isnan(p_stay), np.nan, p_stay > np.exp(table["log_prob"].to_numpy()))
    among_moves = (rank - stay_is_likelier)[moves]
    means = {"mean reciprocal rank": _average(1 / rank, weight), "rank of moves": _average(among_moves, weight[moves])}
    return pd.Series({**shares, **means})


def _average(values: np.ndarray, weight: np.ndarray) -> float:
    """The weighted mean; NaN without any weight."""
    return float(np.average(values, weights=weight)) if weight.sum() > 0 else float("nan")


@without_zero_weights
def bootstrap_perplexity(
    table: pd.DataFrame,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
    by: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Perplexity with a standard error and a 95% interval from resampling clusters with replacement.

    Args:
        table: A transition table.
        draws: Number of resamples.
        seed: Random seed of the resamples.
        weighted: Whether to use survey weights.
        by: Columns to group by; all rows are one group if None.

    Returns:
        One row per group (a single row "all" without `by`): n, people, perplexity, standard_error, low, high. Errors
        and intervals are null in groups of fewer than `FEWEST` clusters. If some resamples have nobody of a group, its
        numbers come from the other resamples.
    """
    keys = _keys(table, by) if by is not None else [pd.Series("all", index=table.index, name="steps")]
    frame = pd.DataFrame({"n": 1, "people": pd.factorize(table["person"])[0]}, index=table.index)
    grouped = frame.groupby(keys, observed=True, dropna=False)
    sizes = grouped.agg({"n": "size", "people": "nunique"})
    group, log_prob, weight = (
        grouped.ngroup().to_numpy(),
        table[["log_prob"]].to_numpy(),
        step_weights(table, weighted),
    )
    estimate, resampled = resample_means(log_prob, weight, clusters(table), group, draws=draws, seed=seed)
    values, count = np.exp(-resampled[..., 0]), cluster_counts(table, group, weight)
    low, high = interval(values, count)
    return sizes.assign(perplexity=np.exp(-estimate[:, 0]), standard_error=spread(values, count), low=low, high=high)


@within_ranges
@without_zero_weights
def perplexity_differences(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    baseline: str,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """Log-perplexity of each model minus the baseline's, on `shared_rows`, with intervals from resampling clusters.

    A model that was trained with several seeds has a list of tables, and its log-perplexity is the mean over seeds.
    The variation between seeds (`seed_sd`) is reported apart from the variation with the people in the test set
    (`standard_error`, `low`, `high`).

    Args:
        tables: For each model a transition table, or one for each seed.
        baseline: The model whose log-perplexity is subtracted.
        draws: Number of resamples.
        seed: Random seed of the resamples.
        weighted: Whether to use survey weights.

    Returns:
        One row per model: perplexity (exp of the mean log-perplexity), ratio to the baseline's, difference (log
            ratio),
        standard_error, low and high of the difference, seeds, seed_sd (of log-perplexity; null for one seed).

    Raises:
        ValueError: The tables do not have the same rows, or there is no such baseline.
    """
    _check_baseline(baseline, tables)
    seeds, _ = shared_rows(tables)
    _, (estimate,), resampled = resampled_nll(seeds, draws, seed, weighted)
    (count,) = cluster_counts_by(next(iter(seeds.values()))[0], weighted=weighted)
    resampled = resampled[:, 0]
    k = list(tables).index(baseline)
    difference, differences = estimate - estimate[k], resampled - resampled[:, [k]]
    low, high = interval(differences, count)
    return pd.DataFrame(
        {
            "perplexity": np.exp(estimate),
            "ratio": np.exp(difference),
            "difference": difference,
            "standard_error": spread(differences, count),
            "low": low,
            "high": high,
            "seeds": [len(model_tables) for model_tables in seeds.values()],
            "seed_sd": [
                _seed_sd([np.log(perplexity(table, weighted)) for table in model_tables])
                for model_tables in seeds.values()
            ],
        },
        index=pd.Index(tables, name="model"),
    )


@without_zero_weights
def perplexity_differences_by(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    baseline: str,
    by: str,
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """`perplexity_differences` within each group of a column (any covariate: a subgroup audit).

    Args:
        tables, baseline, draws, seed, weighted: As in `perplexity_differences`.
        by: Column to group by.

    Returns:
        One row per group and model, the baseline excepted: n (steps), difference, low and high.
    """
    _check_baseline(baseline, tables)
    seeds, _ = shared_rows(tables)
    count = cluster_counts_by(next(iter(seeds.values()))[0], by, weighted)
    sizes, estimate, resampled = resampled_nll(seeds, draws, seed, weighted, by)
    k = list(tables).index(baseline)
    low, high = interval(resampled - resampled[..., [k]], count[:, None])
    rows = {
        (group, model): {"n": n, "difference": estimate[g, m] - estimate[g, k], "low": low[g, m], "high": high[g, m]}
        for g, (group, n) in enumerate(sizes.items())
        for m, model in enumerate(tables)
        if m != k
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis([by, "model"]).astype({"n": int})


@without_zero_weights
def resampled_nll(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
    by: str | None = None,
) -> tuple[pd.Series, np.ndarray, np.ndarray]:
    """Mean negative log-likelihood of each model, averaged over its seeds, on `shared_rows` and the same resamples.

    Args:
        tables, draws, seed, weighted: As in `perplexity_differences`.
        by: Column to group by; all rows are one group "all" if None.

    Returns:
        Number of steps by group; `(groups, models)` means; and `(draws, groups, models)` means in resamples of
        clusters, from which `interval`s of functions of the means follow.

    Raises:
        ValueError: The tables do not have the same rows.
    """
    seeds, _ = shared_rows(tables)
    table = next(iter(seeds.values()))[0]
    log_probs = np.stack([mean_over_seeds(model_tables)["log_prob"] for model_tables in seeds.values()], axis=1)
    grouped = table.groupby(_keys(table, by or []) or np.repeat("all", len(table)), observed=True, dropna=False)
    group, weight = grouped.ngroup().to_numpy(), step_weights(table, weighted)
    estimate, resampled = resample_means(log_probs, weight, clusters(table), group, draws=draws, seed=seed)
    return grouped.size(), -estimate, -resampled


@without_zero_weights
def cluster_counts_by(table: pd.DataFrame, by: str | None = None, weighted: bool = False) -> np.ndarray:
    """`(groups,)` numbers of clusters behind the means of `resampled_nll`, on whose rows the table is."""
    grouped = table.groupby(_keys(table, by or []) or np.repeat("all", len(table)), observed=True, dropna=False)
    return cluster_counts(table, grouped.ngroup().to_numpy(), step_weights(table, weighted))


@within_ranges
@without_zero_weights
def summarize(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    draws: int = 1000,
    seed: int = 0,
    weighted: bool = False,
) -> pd.DataFrame:
    """One row per model: sizes, perplexity with its interval, perplexity by kind of step, and AUC of moving.

    Models that were scored on the same careers are summarised on their `shared_rows`.

    Args:
        tables: For each model a transition table, or one for each seed; log-perplexities and AUCs are averaged over
            seeds.
        draws: Number of resamples behind the interval.
        seed: Random seed of the resamples.
        weighted: Whether to use survey weights.

    Returns:
        Columns n, people, perplexity, low, high, first, stay, return, new, stay_auc with stay_auc_low and
        stay_auc_high (null where nobody moves or nobody stays), seeds, seed_sd (standard deviation of perplexity over
        seeds, null for one), unknown (how many of the n steps are from or to an occupation that the model does not
        know), left_out (how many more steps were scored, but are unknown to some of the models and not to all).
    """
    rows = {}
    whole = {name: as_seeds(model_tables) for name, model_tables in tables.items()}
    is_shared = first_difference(whole) is None
    shared = shared_rows(whole)[0] if is_shared else {n: shared_rows({n: own})[0][n] for n, own in whole.items()}
    for name, seeds in shared.items():
        table = mean_over_seeds(seeds)
        level = bootstrap_perplexity(table, draws, seed, weighted).iloc[0]
        by_transition = perplexity_by(table, "transition", weighted)["perplexity"].reindex(TRANSITIONS)
        area = auc_differences({name: seeds}, name, None, draws, seed, weighted).loc[name]
        rows[name] = {
            **level[["n", "people", "perplexity", "low", "high"]],
            **by_transition,
            **area[["auc", "low", "high"]].set_axis(["stay_auc", "stay_auc_low", "stay_auc_high"]),
            "seeds": len(seeds),
            "seed_sd": _seed_sd([perplexity(t, weighted) for t in seeds]),
            "unknown": int(table["unknown"].sum()),
            "left_out": len(whole[name][0]) - len(table),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    return frame.astype({name: int for name in ("n", "people", "seeds", "unknown", "left_out")})


def _keys(table: pd.DataFrame, by: str | Sequence[str]) -> list[Any]:
    names = [by] if isinstance(by, str) else list(by)
    if absent := [name for name in names if name not in table]:
        raise ValueError(f"the transition table has no column '{absent[0]}', only {list(table)}")
    return [table[name] for name in names]


def step_weights(table: pd.DataFrame, weighted: bool) -> np.ndarray:
    """`(steps,)` survey weights, or ones.

    Raises:
        ValueError: Survey weights are asked for, and some steps have none.
    """
    if not weighted:
        return np.ones(len(table))
    if "weight" not in table:
        raise ValueError("weighted=True, but the table has no column 'weight'; give the careers weights")
    if table["weight"].isna().any():
        raise ValueError("weighted=True, but the table's column 'weight' has nulls; give the careers weights")
    return table["weight"].to_numpy()


def _check_baseline(baseline: str, tables: Mapping[str, Any]) -> None:
    if baseline not in tables:
        raise ValueError(f"baseline '{baseline}' is not among the tables: {list(tables)}")


def as_seeds(tables: pd.DataFrame | Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """A list of a model's tables, one for each seed, from such a list or from a single table."""
    return list(tables) if isinstance(tables, (list, tuple)) else [tables]


def mean_over_seeds(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The first seed's table with log-probabilities of the truth averaged over seeds."""
    return tables[0].assign(log_prob=np.mean([table["log_prob"].to_numpy() for table in tables], axis=0))


def _seed_sd(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


SAME_OCCUPATIONS = (
    "train them with the same occupations: train(..., occupations=MODEL), or --occupations MODEL, takes those of "
    "another model; careers in another coding need a crosswalk"
)


def shared_rows(
    tables: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
) -> tuple[dict[str, list[pd.DataFrame]], Ledger]:
    """The rows on which models can be compared.

    If all models know the same steps, these are all rows: "unknown" is then one event for all of them. Otherwise rows
    that are unknown to any model are left out for all, because a model that knows less would have it easier there.

    Args:
        tables: For each model a transition table, or one for each seed.

    Returns:
        For each model its tables with these rows, and a ledger that counts the rows that were left out, by the models
        that do not know them, and those that are scored as the unknown occupation.

    Raises:
        ValueError: The tables do not have the same steps, or no row is known to all models.
    """
    seeds = {name: as_seeds(model_tables) for name, model_tables in tables.items()}
    check_same_rows(seeds)
    # Tables of one's own making may have no such column.
    unknown = pd.DataFrame(
        {
            name: np.any([table.get("unknown", np.zeros(len(table), dtype=bool)) for table in model_tables], axis=0)
            for name, model_tables in seeds.items()
        }
    )
    some = unknown.any(axis=1).to_numpy()
    dropped: dict[str, int] = {}
    altered: dict[str, int] = {}
    if not unknown.eq(unknown.iloc[:, 0], axis=0).all(axis=None):
        for names, rows in unknown[some].groupby(list(unknown)):
            without = [f"'{name}'" for name, is_unknown in zip(unknown, names, strict=True) if is_unknown]
            dropped[f"unknown to {', '.join(without)}"] = len(rows)
        if some.all():
            raise ValueError(
                f"no step is known to all of {list(seeds)}, so they cannot be compared ({dropped}): {SAME_OCCUPATIONS}"
            )
        seeds = {name: [table[~some] for table in model_tables] for name, model_tables in seeds.items()}
    elif some.any():
        # Nothing is left out, and the unknown occupation is scored.
        altered = {"scored as the unknown occupation": int(some.sum())}
    ledger = Ledger()
    left = len(some) - sum(dropped.values())
    ledger.record("compare on steps that models know alike", "person-years", len(some), left, dropped, altered)
    if dropped:
        ledger.note(f"to compare models on the steps that were left out, {SAME_OCCUPATIONS}")
    return seeds, ledger


def check_same_rows(tables: Mapping[str, list[pd.DataFrame]]) -> None:
    """Checks that tables are about the same steps.

    Args:
        tables: For each model its tables, one for each seed.

    Raises:
        ValueError: Two tables differ; the message names the first row in which they do.
    """
    if difference := first_difference(tables):
        raise ValueError(difference)


def first_difference(tables: Mapping[str, list[pd.DataFrame]]) -> str | None:
    """Where tables are not about the same steps, as a sentence; None if they are.

    Args:
        tables: As in `check_same_rows`.
    """
    (first_name, first), *others = [(name, table) for name, model_tables in tables.items() for table in model_tables]
    for name, table in others:
        pair = f"the tables of '{first_name}' and '{name}'"
        if len(table) != len(first):
            return f"{pair} have {len(first)} and {len(table)} rows; score all models on the same careers"
        for column in ("person", "step", "occupation"):
            label, other = (labels_of(steps[column]).to_numpy() for steps in (first, table))
            if (label != other).any():
                row = int((label != other).argmax())
                where = f"row {row}, person '{first['person'].iloc[row]}', column '{column}'"
                return (
                    f"{pair} differ in {where}: '{label[row]}' and '{other[row]}'; score all models on the same "
                    "careers, in the same order and with the same occupations"
                )
    return None
