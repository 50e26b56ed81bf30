"""Wage regressions (Eq. 9): w = alpha + theta'x + gamma'h, their held-out R^2, and tables of coefficients.

    wage_frame -> predict_held_out -> predictions, one row per person-year -> held_out_r2
    wage_frame -> estimate -> regressions by pyfixest -> CoefficientTable

People are held out, not person-years, and every specification meets the same splits. There are two R^2, both of
predictions for people who were not fitted on. With e the error of a specification, e_0 the error of a regression on
year dummies alone, fitted on the same people, and weighted sums,

    R^2              =  1 - sum e^2 / sum (w - mean w)^2
    within-year R^2  =  1 - sum e^2 / sum e_0^2

The first credits inflation and growth to year dummies; the second does not, and is 0 for the year alone.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict
from scipy import linalg, sparse, stats
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GroupKFold

from ..careers.clusters import DESIGN, FEWEST, cluster_name, clusters
from ..careers.frames import long_table
from ..careers.ledger import Ledger
from ..careers.periods import UnreadablePeriodError, period_column, period_label, read_periods, time_unit
from ..encoding.checkpoints import as_checkpoint
from ..evaluation.resampling import interval, resample_means
from ..figures.wage_regressions import r2_figure
from ..models.modeling_wage import CareerForWagePrediction
from ..number_ranges import within_ranges
from ..occupations.normalising import labels_of
from ..readable_values import ReadableResult, counted
from ..representing.representations import Timing, representations
from ..representing.tables import check_table, read_representation_table, vectors_of
from .design import (
    BLAU_KAHN,
    BLOCKS,
    FOLD,
    LOG_WAGE,
    POOLED,
    RARE,
    VECTORS,
    Dummies,
    available_blocks,
    bases,
    block_named,
    careers_of_splits,
    design,
    pooled_levels,
    vector_columns,
    wage_frame,
)
from .wage_head import predict_log_wages


if TYPE_CHECKING:
    from matplotlib.figure import Figure

YEAR_ONLY = "year alone"
# The specification to which the others add blocks.
BASE = "Blau-Kahn"
TIMINGS: tuple[Timing, ...] = ("before", "including")
ALL_YEARS = "all"
KEYS = ("person", "year", "weight", LOG_WAGE)
# Columns are collinear in directions in which they vary less than this, relative to the largest variation.
COLLINEAR = 1e-10
# Fixed effects are absorbed when one more round changes no value by more than this.
ABSORBED = 1e-10
# Ridge penalties of representations, relative to the sum of squares of their average direction that other columns do
# not explain; 0 is least squares.
PENALTIES = (0.0, *np.logspace(-3, 3, 13))
# Parts into which training people are divided to choose a penalty.
INNER_FOLDS = 5
TEXT_WIDTH = 80
# An exponent after `LATEX`, with the sign before it where that is a symbol of mathematics, such as R.
EXPONENT = re.compile(r"(\bR)?\\textasciicircum\{\}(\d+)")
LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$"}
    | {"|": "$|$"}
    | {sign: f"\\{sign}" for sign in "_%&#${}"}
)


@dataclass(frozen=True, repr=False)
class WageReport(ReadableResult):
    """What `regress` returns.

    Args:
        r2: What `held_out_r2` returns: R^2 of every specification on people held out.
        regressions: Regressions on everybody, by the name of the specification.
        missing: Terms of Blau and Kahn that careers lack, by the name of the block.
        ledger: Counts of the person-years that were left out.
        differences: What `r2_differences` returns: differences between every two specifications, paired.
        unit: What is resampled and clustered by: "person", "household" or "PSU".
    """

    r2: pd.DataFrame
    regressions: dict[str, WageRegression]
    missing: dict[str, str]
    ledger: Ledger
    differences: pd.DataFrame
    unit: str

    @property
    def table(self) -> CoefficientTable:
        """Coefficients of Blau and Kahn's terms, years excepted, in every specification."""
        shown = [name for name in self.regressions[BASE].params.index if not name.startswith("year_")]
        return CoefficientTable(self.regressions, shown)

    def to_frame(self) -> pd.DataFrame:
        """R^2 on people held out: one row per period and specification, with paired gains over the first."""
        return self.r2

    def figure(self) -> Figure:
        """R^2 within year of every specification with its interval, overall and by decade."""
        return r2_figure(self.r2)

    def save(self, folder: str | Path) -> None:
        """Writes coefficients.txt, .tex, .html and .csv, r2.csv and differences.csv.

        Args:
            folder: Destination folder.
        """
        self.table.save(Path(folder) / "coefficients")
        self.r2.to_csv(Path(folder) / "r2.csv", index=False, float_format="%.5f")
        self.differences.to_csv(Path(folder) / "differences.csv", index=False, float_format="%.5f")


@within_ranges
def regress(
    careers: str | Path | Dataset | DatasetDict,
    model: Any = None,
    *,
    representations_from: str | Path | pd.DataFrame | None = None,
    split: str = "test",
    add: Sequence[str] = ("occupation", "lagged occupation"),
    leave_out: Sequence[str] = (),
    splits: int = 5,
    draws: int = 1_000,
    weighted: bool = False,
) -> WageReport:
    """Regresses log wages (Eq. 9) on Blau and Kahn's terms, further blocks one by one, and a model's representations.

    Args:
        careers: A folder of careers with an outcome `log_wage`, careers by split name, or careers.
        model: A folder, Hub id, (model, processor) or result of training, whose representations are added, and its
            predicted wages if it has a wage head; None for regressions without a model.
        representations_from: What `representation_table` returns as a frame, or the file it wrote, in the place of a
            model: h or its components of these people, with coefficients for each fold where there are folds.
        split: Comma-separated splits whose wages are explained; "all" takes everybody, which needs model=None.
        add: Blocks, or columns of the careers, to add to Blau and Kahn's one after the other. Blocks of labels are
            absorbed as fixed effects.
        leave_out: Blocks of Blau and Kahn to leave out.
        splits: Number of splits of people for the held-out R^2.
        draws: Number of resamples of people, or of households or PSUs where careers have them, behind the intervals.
        weighted: Whether to use the careers' survey weights, in coefficients, R^2 and differences.

    Raises:
        ImportError: pyfixest is not installed.
        ValueError: Both a model and representations are given, a person-year has no representation, a block to add is
            one of Blau and Kahn's or is added twice, a block to leave out is none of theirs,
            or as in `careers_of_splits`, `wage_frame` and `design`.
    """
    import_pyfixest()
    if unknown := [name for name in leave_out if name not in BLAU_KAHN]:
        raise ValueError(f"leave_out has '{unknown[0]}', which is none of Blau and Kahn's: {', '.join(BLAU_KAHN)}")
    if repeated := [name for name in leave_out if list(leave_out).count(name) > 1]:
        raise ValueError(f"leave_out has '{repeated[0]}' twice: name it once")
    if model is not None and representations_from is not None:
        raise ValueError("give model or representations_from, not both: both are h")
    predictor, processor = (None, None) if model is None else as_checkpoint(model)
    chosen = careers_of_splits(careers, split, processor, weighted)
    vectors: dict[str, np.ndarray] = {}
    if predictor is not None and processor is not None:
        for timing in TIMINGS:
            vectors[timing] = representations(predictor, chosen, processor, timing=timing, unknown_levels="missing")
    fold = None
    if representations_from is not None:
        values, fold = _of_table(representations_from, chosen)
        vectors["given" if fold is None else "cross-fitted"] = values
    frame, ledger = wage_frame(chosen, vectors, fold=fold)
    blocks, missing = available_blocks([name for name in BLAU_KAHN if name not in leave_out], frame)
    specifications = {BASE: blocks}
    for name in add:
        if name in blocks:
            raise ValueError(
                f"add has '{name}', which is among the blocks already ({', '.join(blocks)}): take it from add, or put "
                "it into leave_out, so that it is added after the others"
            )
        blocks = [*blocks, name]
        specifications[f"+ {name}"] = blocks
    specifications |= {f"+ {VECTORS}{name}": [*blocks, f"{VECTORS}{name}"] for name in vectors}
    if isinstance(predictor, CareerForWagePrediction) and processor is not None:
        predicted = predict_log_wages(predictor, chosen, processor, unknown_levels="missing")
        frame = frame.assign(wage_head=predicted[frame.index])
        specifications["+ wage head"] = [*blocks, "wage head"]
    predictions = predict_held_out(frame, specifications, splits=splits)
    return WageReport(
        r2=held_out_r2(predictions, draws=draws),
        differences=r2_differences(predictions, draws=draws),
        unit=cluster_name(frame.columns),
        regressions=estimate(frame, specifications, absorb=add),
        missing={name: BLOCKS[name].stands_for for name in missing},
        ledger=ledger,
    )


def _of_table(table: str | Path | pd.DataFrame, careers: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    """`(person-years, size)` h of careers, in their order, from a table; and the fold of each row, if it has any.

    Raises:
        ValueError: The table has no numbers of h, two rows for a person-year, or none for one of the careers.
    """
    table = table if isinstance(table, pd.DataFrame) else read_representation_table(table)
    check_table(table, "representations_from")
    unit = time_unit(careers)
    column = period_column(table, unit)
    try:
        periods, _ = read_periods(table[column], unit)
    except KeyError:
        raise ValueError(f"the table of representations has no column '{unit}', the unit of the careers") from None
    except UnreadablePeriodError as error:
        problem = f"value {table[column].iloc[error.place]!r} is {error.said(str)}: {error.fix}"
        raise ValueError(f"the table of representations, column '{column}', {problem}") from None
    keys = pd.MultiIndex.from_arrays([labels_of(table["person"]), periods])
    wanted = pd.MultiIndex.from_frame(long_table(careers).select(["person", "year"]).to_pandas())
    if keys.has_duplicates:
        person, number = keys[keys.duplicated()][0]
        period = period_label(number, unit)
        raise ValueError(f"person '{person}' has two rows for {period} in the table of representations: keep one")
    rows = keys.get_indexer(wanted)
    if (rows < 0).any():
        person, number = wanted[int((rows < 0).argmax())]
        period = period_label(number, unit)
        raise ValueError(
            f"person '{person}' has no row for {period} in the table of representations: represent these careers, or "
            "choose the split that was represented"
        )
    fold = table[FOLD].to_numpy()[rows] if FOLD in table else None
    return table[vectors_of(table)].to_numpy()[rows], fold


@within_ranges
def predict_held_out(
    frame: pd.DataFrame,
    specifications: Mapping[str, Sequence[str]],
    *,
    splits: int = 5,
    seed: int = 0,
    rare: int = RARE,
) -> pd.DataFrame:
    """Predictions of every person's log wages by weighted least squares on the other splits of people.

    Representations have many columns. Where a specification has one, a ridge penalty on its columns alone is chosen by
    cross-validation within the training people (`PENALTIES`, of which the first is least squares). Levels of labels
    come from all rows; splits share nothing else.

    Args:
        frame: What `wage_frame` returns.
        specifications: Names of blocks, by the name of the specification.
        splits: Number of splits of people, or of households or PSUs where careers have them; the paper's protocol has
            5.
        seed: Random seed of the splits.
        rare: As in `design`.

    Returns:
        The frame's person, year, weight and log_wage, and stratum, psu and group where it has them; split; and the
        predictions of each specification and of year dummies alone.

    Raises:
        ValueError: As in `design` and `clusters`, there are fewer people or households than splits, or a specification
            has the name "year alone".
    """
    if YEAR_ONLY in specifications:
        raise ValueError(f"'{YEAR_ONLY}' is the specification that others are measured by: choose another name")
    all_specifications = {YEAR_ONLY: ["year"], **specifications}
    names = list(dict.fromkeys(block for blocks in all_specifications.values() for block in blocks))
    x, places = _with_intercept(design(names, frame, rare), frame)
    y, weight = frame[LOG_WAGE].to_numpy(), frame["weight"].to_numpy()
    cluster, unit = clusters(frame), cluster_name(frame.columns)
    if (count := len(np.unique(cluster))) < splits:
        raise ValueError(f"splits is {splits}, and must be at most the number of clusters ({unit}), {count}")
    parts = [rows for _, rows in GroupKFold(splits, shuffle=True, random_state=seed).split(x, groups=cluster)]
    inner = INNER_FOLDS if any(name.startswith(VECTORS) for name in names) else 1
    # Sums of every part of every split: whatever is left out is subtracted, and no row is read twice.
    sums = [[Sums.of(x, y, weight, piece) for piece in _pieces(rows, cluster, inner)] for rows in parts]
    split, predicted = np.empty(len(y), dtype=np.int64), {name: np.empty(len(y)) for name in all_specifications}
    for number, rows in enumerate(parts):
        split[rows] = number
        pieces = [sum(same, Sums()) for same in zip(*(sums[k] for k in range(splits) if k != number), strict=True)]
        for name, blocks in all_specifications.items():
            used, penalised = _columns_of(blocks, places, frame)
            fitted = _chosen([piece.take(used) for piece in pieces], penalised)
            predicted[name][rows] = x[rows][:, used] @ fitted
    keys = [*KEYS, *(name for name in DESIGN if name in frame)]
    return frame[keys].assign(split=split, **predicted)


@dataclass(frozen=True)
class Sums:
    """What least squares needs of some rows: X'WX, X'Wy and y'Wy."""

    gram: Any = 0.0
    moment: Any = 0.0
    square: float = 0.0

    @classmethod
    def of(cls, x: sparse.csr_array, y: np.ndarray, weight: np.ndarray, rows: np.ndarray) -> Sums:
        """The sums over some rows."""
        return cls(*normal_equations(x[rows], y[rows], weight[rows]), float(weight[rows] @ y[rows] ** 2))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.gram + other.gram, self.moment + other.moment, self.square + other.square)

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.gram - other.gram, self.moment - other.moment, self.square - other.square)

    def take(self, columns: np.ndarray) -> Sums:
        """The sums of some columns."""
        return Sums(self.gram[np.ix_(columns, columns)], self.moment[columns], self.square)

    def squared_error(self, coefficients: np.ndarray) -> float:
        """The weighted sum of squared errors of these coefficients."""
        return float(self.square - 2 * coefficients @ self.moment + coefficients @ self.gram @ coefficients)


def _pieces(rows: np.ndarray, cluster: np.ndarray, count: int) -> list[np.ndarray]:
    """Rows in so many pieces, each cluster in one."""
    piece = pd.factorize(cluster[rows])[0] % count
    return [rows[piece == k] for k in range(count)]


def _columns_of(
    blocks: Sequence[str], places: Mapping[str, np.ndarray], frame: pd.DataFrame
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The columns of a specification, and the places among these of every model's representation."""
    used, penalised = [np.zeros(1, dtype=np.int64)], []
    for name, where in places.items():
        if name.removesuffix(" missing") in blocks:
            if name.startswith(VECTORS):
                start = sum(map(len, used))
                models = len(where) // len(vector_columns(name, frame))
                penalised += np.split(np.arange(start, start + len(where)), models)
            used.append(where)
    return np.concatenate(used), penalised


def _chosen(pieces: Sequence[Sums], penalised: Sequence[np.ndarray]) -> np.ndarray:
    """Coefficients on all pieces; penalties are chosen by leaving out one piece at a time."""
    whole = sum(pieces, Sums())
    if not penalised:
        return solve(whole.gram, whole.moment)
    errors = [
        [piece.squared_error(coefficients) for coefficients in ridge(whole - piece, penalised, PENALTIES)]
        for piece in pieces
    ]
    best = PENALTIES[int(np.argmin(np.sum(errors, axis=0)))]
    return ridge(whole, penalised, [best])[0]


def ridge(sums: Sums, penalised: Sequence[np.ndarray], penalties: Sequence[float]) -> list[np.ndarray]:
    """Coefficients with each of some ridge penalties on some columns; the other columns are not penalised.

    A penalty counts in units of the mean sum of squares of a group's columns that columns without penalty leave
    unexplained, so that results do not depend on the axes and the scale of a representation.

    Args:
        sums: Sums of the rows to fit on.
        penalised: Places of the penalised columns, in groups.
        penalties: Penalties; 0 is least squares.
    """
    h = np.concatenate(penalised)
    free = np.setdiff1d(np.arange(len(sums.moment)), h)
    solved = solve(sums.gram[np.ix_(free, free)], np.column_stack([sums.moment[free], sums.gram[np.ix_(free, h)]]))
    on_free, explained = solved[:, 0], solved[:, 1:]
    left = sums.gram[np.ix_(h, h)] - sums.gram[np.ix_(h, free)] @ explained
    moment = sums.moment[h] - sums.gram[np.ix_(h, free)] @ on_free
    ends = np.cumsum([0, *map(len, penalised)])
    unit = np.concatenate([np.full(end - start, np.diag(left)[start:end].mean()) for start, end in pairwise(ends)])
    found = []
    for penalty in penalties:
        if penalty == 0:
            found.append(solve(sums.gram, sums.moment))
            continue
        coefficients = np.empty(len(sums.moment))
        coefficients[h] = solve(left + np.diag(penalty * unit), moment)
        coefficients[free] = on_free - explained @ coefficients[h]
        found.append(coefficients)
    return found


def _with_intercept(columns: ColumnTransformer, frame: pd.DataFrame) -> tuple[sparse.csr_array, dict[str, np.ndarray]]:
    """The matrix of a design fitted on a frame, with an intercept first, and the places of each block's columns."""
    x = sparse.hstack([np.ones((len(frame), 1)), columns.fit_transform(frame)]).tocsr()
    return x, {name: np.arange(x.shape[1] - 1)[where] + 1 for name, where in columns.output_indices_.items()}


def normal_equations(x: sparse.csr_array, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X'WX, `(columns, columns)`, and X'Wy: the sums over rows that least squares needs."""
    weighted = x.multiply(weight[:, None]).tocsr()
    return (weighted.T @ x).toarray(), weighted.T @ y


def solve(gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Coefficients of least squares; the shortest ones where columns are collinear, as h_t and an intercept are.

    Args:
        gram: X'WX, `(columns, columns)`.
        moment: X'Wy, `(columns,)`, or `(columns, outcomes)`.
    """
    scale = np.sqrt(np.diag(gram).clip(min=0))
    scale = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    inverse = linalg.pinvh(gram * scale * scale[:, None], rtol=COLLINEAR)
    return ((inverse @ (scale * moment.T).T).T * scale).T


@within_ranges
def held_out_r2(
    predictions: pd.DataFrame | Sequence[pd.DataFrame],
    *,
    baseline: str | None = None,
    by_decade: bool = True,
    draws: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """R^2 and within-year R^2 of every specification, overall and by decade, with intervals by resampling clusters.

    Regressions are not fitted again on resamples: intervals are about these regressions on other people. Whether two
    specifications differ is not to be read from their own intervals, but from those of gains, which are paired: the
    same people, the same resamples (`r2_differences` has every pair).

    Args:
        predictions: What `predict_held_out` returns, perhaps with further columns of predictions; or several such
            frames with the same rows, one per training seed, over which squared errors are averaged.
        baseline: The specification from which gains are counted; if None, the first after "year alone".
        by_decade: Whether the result has rows for decades too.
        draws, seed: Number of resamples of people, or of households or PSUs where there are any, and their random
            seed.

    Returns:
        One row per period (column years: "all", "1980-1989", ...) and specification. Columns: observations, people,
        clusters (households or PSUs, or people); r2, r2_low, r2_high; within_year, within_year_low, within_year_high;
        gain over the baseline's within-year R^2 on the same resamples, gain_low, gain_high; seed_sd, the standard
        deviation of within_year over training seeds; and mean_of_splits, the R^2 as the paper has it, computed in each
        split and averaged over splits and seeds. Intervals are NaN where there are fewer than `FEWEST` clusters.

    Raises:
        ValueError: Frames of the seeds have different rows, or there is no such baseline.
    """
    errors = _SquaredErrors.of(predictions)
    frames, first, specifications, squared = errors.frames, errors.frames[0], errors.specifications, errors.squared
    baseline = baseline or specifications[specifications.index(YEAR_ONLY) + 1]
    if baseline not in specifications:
        raise ValueError(f"there is no specification '{baseline}', only {', '.join(specifications)}")
    decade = first["year"].to_numpy() // 10 * 10
    names, groupings = [ALL_YEARS], [np.zeros(len(first), dtype=np.int64)]
    if by_decade:
        decades, codes = np.unique(decade, return_inverse=True)
        names += [f"{start}-{start + 9}" for start in decades]
        groupings.append(codes)
    reference, base = specifications.index(YEAR_ONLY), specifications.index(baseline)
    parts = []
    for group in groupings:
        means, drawn = errors.resampled(group, draws, seed)
        (r2, within), (r2s, withins) = (_r2(m, len(specifications), reference) for m in (means, drawn))
        within_by_seed = np.stack(
            [_r2(means, len(specifications), reference, after=k + 1)[1] for k in range(len(frames))], axis=-1
        )
        split_r2 = np.mean(
            [_mean_of_splits(frame, error, group) for frame, error in zip(frames, squared, strict=True)], 0
        )
        counted = pd.DataFrame({"group": group, "person": first["person"].to_numpy(), "cluster": errors.cluster})
        sizes = counted.groupby("group").agg(
            observations=("person", "size"), people=("person", "nunique"), clusters=("cluster", "nunique")
        )
        columns: dict[str, Any] = {
            name: np.repeat(sizes[name].to_numpy(), len(specifications)) for name in sizes.columns
        }
        for name, value, resampled in (
            ("r2", r2, r2s),
            ("within_year", within, withins),
            ("gain", within - within[:, [base]], withins - withins[..., [base]]),
        ):
            low, high = interval(resampled, sizes["clusters"].to_numpy()[:, None])
            columns |= {name: value.ravel(), f"{name}_low": low.ravel(), f"{name}_high": high.ravel()}
        columns["seed_sd"] = within_by_seed.std(axis=-1, ddof=1).ravel() if len(frames) > 1 else np.nan
        columns["mean_of_splits"] = split_r2.ravel()
        parts.append(pd.DataFrame(columns))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "years", np.repeat(names, len(specifications)))
    table.insert(1, "specification", specifications * len(names))
    return table


@within_ranges
def r2_differences(
    predictions: pd.DataFrame | Sequence[pd.DataFrame], *, draws: int = 1_000, seed: int = 0
) -> pd.DataFrame:
    """Differences in within-year R^2 between every two specifications, over all years, on the same resamples.

    Args:
        predictions, draws, seed: As in `held_out_r2`.

    Returns:
        One row per pair, year dummies alone excepted: specification, minus, difference, low, high. Ends are NaN where
        there are fewer than `FEWEST` clusters.
    """
    errors = _SquaredErrors.of(predictions)
    names, reference = errors.specifications, errors.specifications.index(YEAR_ONLY)
    means, drawn = errors.resampled(np.zeros(len(errors.cluster), dtype=np.int64), draws, seed)
    within, withins = (_r2(one, len(names), reference)[1][..., 0, :] for one in (means, drawn))
    count = len(np.unique(errors.cluster))
    rows = []
    for first, second in combinations([place for place in range(len(names)) if place != reference], 2):
        low, high = interval(withins[:, second] - withins[:, first], count)
        rows.append([names[second], names[first], within[second] - within[first], float(low), float(high)])
    return pd.DataFrame(rows, columns=["specification", "minus", "difference", "low", "high"])


@dataclass(frozen=True)
class _SquaredErrors:
    """Squared errors `(seeds, rows, specifications)` of predictions, and the cluster of each row."""

    frames: list[pd.DataFrame]
    specifications: list[str]
    squared: np.ndarray
    cluster: np.ndarray

    @classmethod
    def of(cls, predictions: pd.DataFrame | Sequence[pd.DataFrame]) -> _SquaredErrors:
        frames = [predictions] if isinstance(predictions, pd.DataFrame) else list(predictions)
        first = frames[0]
        specifications = [name for name in first if name not in (*KEYS, *DESIGN, "split")]
        if any(not frame[["person", "year"]].equals(first[["person", "year"]]) for frame in frames):
            raise ValueError("predictions of different seeds have different rows: predict the same person-years")
        wage = first[LOG_WAGE].to_numpy()
        squared = np.stack([(frame[specifications].to_numpy() - wage[:, None]) ** 2 for frame in frames])
        return cls(frames, specifications, squared, pd.factorize(clusters(first))[0])

    def resampled(self, group: np.ndarray, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Means of wages, their squares, and squared errors over seeds and of each seed: see `resample_means`."""
        wage, weight = self.frames[0][LOG_WAGE].to_numpy(), self.frames[0]["weight"].to_numpy()
        centred = wage - np.average(wage, weights=weight)
        values = np.column_stack([centred, centred**2, self.squared.mean(axis=0), *self.squared])
        return resample_means(values, weight, self.cluster, group, draws=draws, seed=seed)


def _r2(means: np.ndarray, count: int, reference: int, after: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """R^2 and within-year R^2, `(..., specifications)`, from means of wages, their squares and squared errors."""
    variance = means[..., 1] - means[..., 0] ** 2
    errors = means[..., 2 + after * count : 2 + (after + 1) * count]
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - errors / variance[..., None], 1 - errors / errors[..., [reference]]


def _mean_of_splits(frame: pd.DataFrame, squared: np.ndarray, group: np.ndarray) -> np.ndarray:
    """`(groups, specifications)`: the mean over splits of the R^2 in each split."""
    wage, weight = frame[LOG_WAGE].to_numpy(), frame["weight"].to_numpy()
    sums = pd.DataFrame(np.column_stack([wage, wage**2, squared]) * weight[:, None]).assign(weight=weight)
    sums = sums.groupby([group, frame["split"].to_numpy()]).sum()
    means = sums.drop(columns="weight").div(sums["weight"], axis=0)
    r2 = 1 - means.iloc[:, 2:].div(means[1] - means[0] ** 2, axis=0)
    return r2.groupby(level=0).mean().to_numpy()


@dataclass(frozen=True, repr=False)
class WageRegression(ReadableResult):
    """One regression by pyfixest; its results have the names that statsmodels gives them.

    Args:
        fit: What `pyfixest.feols` returns.
        labels: Names of columns of the design and of absorbed blocks, by their spelling in `fit`.
        left_out: Columns that are linear combinations of earlier columns.
        absorbed: Blocks whose dummies were absorbed as fixed effects, and so have no coefficients here.
        people: Number of people.
        clusters: Number of clusters of standard errors.
        unit: What a cluster is: "person", "household" or "PSU".
        columns: Number of estimated coefficients, including absorbed dummies and the intercept.
        bases: The level without a dummy, by the column of the label.
        base_of: The level without a dummy, by the name of the dummy.
        pooled: Levels that share the dummy "other levels", by the column of the label.
        few: Dummies that fewer than `FEWEST` people have, or lack: their coefficients describe these people, and have
            no standard error.
        weighted: Whether weights differ.
    """

    fit: Any
    labels: Mapping[str, str]
    left_out: Sequence[str]
    absorbed: Sequence[str]
    people: int
    clusters: int
    unit: str
    columns: int
    bases: Mapping[str, str]
    base_of: Mapping[str, str]
    pooled: Mapping[str, Sequence[str]]
    few: Sequence[str]
    weighted: bool

    @property
    def params(self) -> pd.Series:
        """Coefficients by column of the design; with an "intercept" where no block is absorbed."""
        return self.fit.coef().rename(index=self.labels)

    @property
    def bse(self) -> pd.Series:
        """Standard errors, clustered by person, household or PSU; NaN for dummies of too few people."""
        errors = self.fit.se().rename(index=self.labels)
        return errors.mask(errors.index.isin(self.few) | (self.clusters < FEWEST))

    def to_frame(self) -> pd.DataFrame:
        """Coefficients by name: estimate, standard_error, low and high of the 95% interval, and base of the dummy."""
        half = self.bse * float(stats.t.ppf(0.975, max(self.clusters - 1, 1)))
        frame = pd.DataFrame({"estimate": self.params, "standard_error": self.bse})
        frame = frame.assign(low=self.params - half, high=self.params + half)
        return frame.assign(base=[self.base_of.get(name) for name in frame.index]).rename_axis("coefficient")

    @property
    def rsquared(self) -> float:
        """R^2 in sample, absorbed dummies included."""
        return float(self.fit._r2)

    @property
    def nobs(self) -> int:
        """Number of person-years."""
        return int(self.fit._N)


@within_ranges
def estimate(
    frame: pd.DataFrame,
    specifications: Mapping[str, Sequence[str]],
    rare: int = RARE,
    *,
    absorb: Sequence[str] = (),
) -> dict[str, WageRegression]:
    """Weighted least squares on all rows by pyfixest (extra `econ`), with standard errors clustered by person,
    or by household or PSU where careers have them (`clusters`).

    Columns that are linear combinations of earlier columns are left out; each result names them (`left_out`).

    Args:
        frame: What `wage_frame` returns.
        specifications: Names of blocks, by the name of the specification.
        rare: As in `design`.
        absorb: Blocks of labels whose coefficients are not wanted. Their dummies are absorbed as fixed effects, which
            is fast where there are hundreds; other coefficients and errors stay the same, but there is no intercept.

    Returns:
        A regression by the name of the specification.

    Raises:
        ImportError: pyfixest is not installed.
        ValueError: As in `design` and `clusters`.
    """
    pyfixest = import_pyfixest()
    person, cluster = pd.factorize(frame["person"])[0], clusters(frame)
    outcome, weight = frame[LOG_WAGE].to_numpy(), frame["weight"].to_numpy()
    results = {}
    for name, blocks in specifications.items():
        columns = design(blocks, frame, rare)
        x, places = _with_intercept(columns, frame)
        names = ["intercept", *columns.get_feature_names_out()]
        used = independent(normal_equations(x, outcome, weight)[0])
        # Collinear dummies are left out here too, so that their levels share the first level's effect.
        absorbed = {
            block: np.intersect1d(places[block], used) for block in absorb if _has_labels(block, blocks, frame)
        }
        absorbed = {block: dummies for block, dummies in absorbed.items() if len(dummies)}
        regressors = np.setdiff1d(used[1:], np.concatenate([[0], *absorbed.values()]))
        if not len(regressors):
            absorbed, regressors = {}, used[1:]
        data = pd.DataFrame(x[:, regressors].toarray(), columns=[_spelled(names[place]) for place in regressors])
        formula = f"log_wage ~ {' + '.join(data.columns) or '1'}"
        if absorbed:
            formula += f" | {'+'.join(map(_spelled, absorbed))}"
        for block, dummies in absorbed.items():
            data[_spelled(block)] = (x[:, dummies] @ np.arange(1, len(dummies) + 1)).astype(np.int64)
        fit = pyfixest.feols(
            formula,
            data.assign(log_wage=outcome, weight=weight, cluster=cluster),
            vcov={"CRV1": "cluster"},
            weights="weight",
            ssc=pyfixest.ssc(k_fixef="full"),
            fixef_rm="none",
            demeaner=pyfixest.MapDemeaner(fixef_tol=ABSORBED),
            copy_data=False,
            store_data=False,
            lean=True,
        )
        results[name] = WageRegression(
            fit=fit,
            labels={_spelled(name): name for name in [*names, *absorbed]} | {"Intercept": "intercept"},
            left_out=[names[place] for place in range(len(names)) if place not in set(used)],
            absorbed=list(absorbed),
            people=len(np.unique(person)),
            clusters=len(np.unique(cluster)),
            unit=cluster_name(frame.columns),
            columns=len(used),
            bases=bases(columns),
            base_of=_base_of(columns),
            pooled=pooled_levels(columns),
            few=[names[place] for place in used[1:] if _people_of_dummy(x[:, [place]], person) < FEWEST],
            weighted=bool(np.ptp(weight) > 0),
        )
    return results


def _base_of(columns: ColumnTransformer) -> dict[str, str]:
    """The base of every dummy of a design, by the dummy's name."""
    dummies = (part for _, part, _ in columns.transformers_ if isinstance(part, Dummies))
    return {name: part.base_ for part in dummies for name in part.get_feature_names_out()}


def _people_of_dummy(column: sparse.csr_array, person: np.ndarray) -> float:
    """The number of people who have a dummy, or who lack it, whichever is smaller; infinite for other columns."""
    has = column.toarray()[:, 0]
    if not np.isin(has, (0, 1)).all():
        return np.inf
    return min(len(np.unique(person[has == 1])), len(np.unique(person[has == 0])))


def _has_labels(block: str, blocks: Sequence[str], frame: pd.DataFrame) -> bool:
    return block in blocks and not block.startswith(VECTORS) and block_named(block, frame).kind == "labels"


def _spelled(name: str) -> str:
    """The name of a column or block in a formula, where labels of occupations would be read as operators."""
    return f"name_{name.encode().hex()}"


def import_pyfixest() -> Any:
    """Imports pyfixest, which estimates coefficients.

    Raises:
        ImportError: pyfixest is not installed.
    """
    try:
        import pyfixest
    except ImportError as error:
        raise ImportError("coefficients are estimated with pyfixest: pip install 'career_hf[econ]'") from error
    return pyfixest


def independent(gram: np.ndarray) -> np.ndarray:
    """Places, in order, of the columns that are no linear combination of earlier ones, from X'WX."""
    scale = np.sqrt(np.diag(gram)).clip(min=np.finfo(float).tiny)
    residual = gram / scale / scale[:, None]
    places = []
    for j in range(len(residual)):
        # A Cholesky factorisation that skips columns whose residual, given the columns in `places`, has no length.
        if residual[j, j] > COLLINEAR:
            places.append(j)
            residual[j:, j:] -= np.outer(residual[j:, j], residual[j, j:]) / residual[j, j]
    return np.array(places)


@dataclass(frozen=True, repr=False)
class CoefficientTable(ReadableResult):
    """Regressions side by side, standard errors below coefficients, as `etable` of pyfixest writes them.

    Args:
        results: What `estimate` returns.
        coefficients: Names of the coefficients to show, in order.
    """

    results: Mapping[str, WageRegression]
    coefficients: Sequence[str]

    def to_frame(self) -> pd.DataFrame:
        """One row per specification and coefficient: estimate, standard_error, low, high, base; then the regression's
        person_years, people, clusters, clustered_by and r2.
        """
        parts = []
        for name, result in self.results.items():
            shown = result.to_frame().reindex([c for c in self._shown() if c in result.params.index])
            facts: dict[str, Any] = {"person_years": result.nobs, "people": result.people, "clusters": result.clusters}
            facts |= {"clustered_by": result.unit, "r2": result.rsquared}
            parts.append(shown.reset_index().assign(**facts).assign(specification=name))
        table = pd.concat(parts, ignore_index=True)
        return table[["specification", *table.columns.drop("specification")]]

    def notes(self) -> str:
        """What a reader must know: outcome, weights, clusters, bases of dummies, and what is not shown."""
        results = list(self.results.values())
        one = results[0]
        sentences = [
            f"Dependent variable: log wage. {'Weighted' if one.weighted else 'Ordinary'} least squares; standard "
            f"errors in parentheses, clustered by {one.unit} ({counted(one.clusters, 'cluster')})."
        ]
        if any(result.absorbed for result in results):
            sentences.append("Blocks with an x are absorbed as fixed effects.")
        absorbed = {BLOCKS[block].column if block in BLOCKS else block for r in results for block in r.absorbed}
        all_bases = {column: base for result in results for column, base in result.bases.items()}
        if named := [f"{column}: {base}" for column, base in all_bases.items() if column not in absorbed]:
            sentences.append(f"Bases of dummies: {'; '.join(named)}.")
        pooled = {column: levels for result in results for column, levels in result.pooled.items()}
        if texts := [f"{column} ({_some(levels)})" for column, levels in pooled.items() if column not in absorbed]:
            sentences.append(f"Levels of too few people share the dummy '{POOLED}': {'; '.join(texts)}.")
        if hidden := [name for name in self.coefficients if name not in self._shown()]:
            sentences.append(f"Not shown, because fewer than {FEWEST} people determine them: {', '.join(hidden)}.")
        return " ".join(sentences)

    def _shown(self) -> list[str]:
        """The coefficients that enough people determine."""
        few = {name for result in self.results.values() for name in result.few}
        return [name for name in self.coefficients if name not in few]

    def save(self, path: str | Path) -> None:
        """Writes the table as text, LaTeX and HTML, and its numbers as CSV.

        Args:
            path: Path of the files without a suffix; .txt, .tex, .html and .csv are added.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        for suffix, text in ((".txt", self.as_text()), (".tex", self.as_latex()), (".html", self.as_html())):
            path.with_name(path.name + suffix).write_text(text + "\n", encoding="utf-8")
        self.to_frame().to_csv(path.with_name(path.name + ".csv"), index=False, float_format="%.6f")

    def as_text(self) -> str:
        """The table for a terminal, in several parts below each other where it is wider than 80 columns."""
        table = self._etable("df").droplevel(0).droplevel(1, axis="columns")
        parts, start = [], 0
        while start < table.shape[1]:
            for end in range(table.shape[1], start, -1):
                text = table.iloc[:, start:end].to_markdown(tablefmt="simple", disable_numparse=True)
                if max(map(len, text.splitlines())) <= TEXT_WIDTH:
                    break
            parts.append(text)
            start = end
        return "\n\n".join([*parts, textwrap.fill(self.notes(), TEXT_WIDTH)])

    def as_latex(self) -> str:
        """The table for LaTeX, to be pasted into a paper, which needs the packages that its first line names."""
        body = self._etable("tex", latex)
        count = len(self.results)
        outcome = (
            f" & \\multicolumn{{{count}}}{{c}}{{Dependent variable: log wage}} \\\\\n\\cmidrule(lr){{2-{count + 1}}}"
        )
        body = body.replace("\\toprule\n", f"\\toprule\n{outcome}\n", 1)
        return "\n".join(
            [
                "% \\usepackage{booktabs,makecell,tabularx,threeparttable}",
                "\\begin{table}[htbp]",
                "\\centering",
                "\\caption{Wage regressions}",
                "\\label{tab:wage-regressions}",
                body.strip(),
                "\\end{table}",
            ]
        )

    def as_html(self) -> str:
        """The table for a web page."""
        return self._etable("html")

    def _etable(self, kind: str, written: Callable[[str], str] = str) -> Any:
        results = list(self.results.values())
        facts = {
            "person-years": [f"{result.nobs:,}" for result in results],
            "people": [f"{result.people:,}" for result in results],
            "R^2 (in sample)": [f"{result.rsquared:.3f}" for result in results],
            "columns": [f"{result.columns:,}" for result in results],
        }
        labels = {name: label for result in results for name, label in result.labels.items()}
        return import_pyfixest().etable(
            [result.fit for result in results],
            type=kind,
            coef_fmt="b:.4f\n(se:.4f)",
            labels={name: written(label) for name, label in labels.items()},
            keep=["Intercept" if name == "intercept" else _spelled(name) for name in self._shown()],
            exact_match=True,
            model_heads=[written(name) for name in self.results],
            head_order="h",
            model_stats=[],
            custom_model_stats={written(name): values for name, values in facts.items()},
            notes=written(self.notes()),
        )


def latex(text: str) -> str:
    """A text for LaTeX: signs that LaTeX would read as commands are escaped, and exponents are mathematics."""
    return EXPONENT.sub(r"$\1^{\2}$", text.translate(LATEX))


def _some(levels: Sequence[str], most: int = 5) -> str:
    """The first few levels, and how many others there are."""
    more = f" and {len(levels) - most} others" if len(levels) > most else ""
    return ", ".join(levels[:most]) + more


__all__ = [
    "YEAR_ONLY",
    "CoefficientTable",
    "Sums",
    "WageRegression",
    "WageReport",
    "estimate",
    "held_out_r2",
    "independent",
    "latex",
    "normal_equations",
    "predict_held_out",
    "r2_differences",
    "regress",
    "ridge",
    "solve",
]
