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

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from datasets import Dataset, DatasetDict
from scipy import linalg, sparse
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GroupKFold

from ..careers.ledger import Ledger
from ..encoding.checkpoints import as_checkpoint
from ..evaluation.resampling import resample_means
from ..figures.wage_regressions import r2_figure
from ..models.modeling_wage import CareerForWagePrediction
from ..number_ranges import within_ranges
from ..readable_values import ReadableResult
from ..representing.representations import Timing, representations
from .design import (
    BLAU_KAHN,
    BLOCKS,
    LOG_WAGE,
    RARE,
    VECTORS,
    available_blocks,
    block_named,
    careers_of_splits,
    design,
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
INTERVAL = (0.025, 0.975)
# Columns are collinear in directions in which they vary less than this, relative to the largest variation.
COLLINEAR = 1e-10
# Fixed effects are absorbed when one more round changes no value by more than this.
ABSORBED = 1e-10
TABLE_NOTE = "Standard errors in parentheses, clustered by person. Blocks with an x are absorbed as fixed effects."
TEXT_WIDTH = 80
LATEX = str.maketrans(
    {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"\textasciitilde{}"} | {sign: f"\\{sign}" for sign in "_%&#${}"}
)


@dataclass(frozen=True, repr=False)
class WageReport(ReadableResult):
    """What `regress` returns.

    Args:
        r2: What `held_out_r2` returns: R^2 of every specification on people held out.
        regressions: Regressions on everybody, by the name of the specification.
        missing: Terms of Blau and Kahn that careers lack, by the name of the block.
        ledger: Counts of the person-years that were left out.
    """

    r2: pd.DataFrame
    regressions: dict[str, WageRegression]
    missing: dict[str, str]
    ledger: Ledger

    @property
    def table(self) -> CoefficientTable:
        """Coefficients of Blau and Kahn's terms, years excepted, in every specification."""
        shown = [name for name in self.regressions[BASE].params.index if not name.startswith("year_")]
        return CoefficientTable(self.regressions, shown)

    def to_frame(self) -> pd.DataFrame:
        """R^2 on people held out: one row per period and specification."""
        return self.r2

    def figure(self) -> Figure:
        """R^2 within year of every specification with its interval, overall and by decade."""
        return r2_figure(self.r2)

    def save(self, folder: str | Path) -> None:
        """Writes coefficients.txt, coefficients.tex, coefficients.html and r2.csv.

        Args:
            folder: Destination folder.
        """
        self.table.save(Path(folder) / "coefficients")
        self.r2.to_csv(Path(folder) / "r2.csv", index=False, float_format="%.5f")


@within_ranges
def regress(
    careers: str | Path | Dataset | DatasetDict,
    model: Any = None,
    *,
    split: str = "test",
    add: Sequence[str] = ("occupation", "lagged occupation"),
    leave_out: Sequence[str] = (),
    splits: int = 5,
    draws: int = 1_000,
) -> WageReport:
    """Regresses log wages (Eq. 9) on Blau and Kahn's terms, further blocks one by one, and a model's representations.

    Args:
        careers: A folder of careers with an outcome `log_wage`, careers by split name, or careers.
        model: A folder, Hub id, (model, processor) or result of training, whose representations are added, and its
            predicted wages if it has a wage head; None for regressions without a model.
        split: Comma-separated splits whose wages are explained; "all" takes everybody, which needs model=None.
        add: Blocks, or columns of the careers, to add to Blau and Kahn's one after the other. Blocks of labels are
            absorbed as fixed effects.
        leave_out: Blocks of Blau and Kahn to leave out.
        splits: Number of splits of people for the held-out R^2.
        draws: Number of resamples of people behind the intervals.

    Raises:
        ImportError: pyfixest is not installed.
        ValueError: As in `careers_of_splits`, `wage_frame` and `design`.
    """
    import_pyfixest()
    predictor, processor = (None, None) if model is None else as_checkpoint(model)
    chosen = careers_of_splits(careers, split, processor)
    vectors: dict[str, np.ndarray] = {}
    if predictor is not None and processor is not None:
        for timing in TIMINGS:
            vectors[timing] = representations(predictor, chosen, processor, timing=timing, unknown_levels="missing")
    frame, ledger = wage_frame(chosen, vectors)
    blocks, missing = available_blocks([name for name in BLAU_KAHN if name not in leave_out], frame)
    specifications = {BASE: blocks}
    for name in add:
        blocks = [*blocks, name]
        specifications[f"+ {name}"] = blocks
    specifications |= {f"+ {VECTORS}{name}": [*blocks, f"{VECTORS}{name}"] for name in vectors}
    if isinstance(predictor, CareerForWagePrediction) and processor is not None:
        predicted = predict_log_wages(predictor, chosen, processor, unknown_levels="missing")
        frame = frame.assign(wage_head=predicted[frame.index])
        specifications["+ wage head"] = [*blocks, "wage head"]
    return WageReport(
        r2=held_out_r2(predict_held_out(frame, specifications, splits=splits), draws=draws),
        regressions=estimate(frame, specifications, absorb=add),
        missing={name: BLOCKS[name].stands_for for name in missing},
        ledger=ledger,
    )


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

    Levels of labels come from all rows; splits share nothing else.

    Args:
        frame: What `wage_frame` returns.
        specifications: Names of blocks, by the name of the specification.
        splits: Number of splits of people, or of families where careers have a `group`; the paper's protocol has 5.
        seed: Random seed of the splits.
        rare: As in `design`.

    Returns:
        The frame's person, year, weight and log_wage, and group where it has one; split; and the predictions of each
        specification and of year dummies alone.

    Raises:
        ValueError: As in `design`, or a specification has the name "year alone".
    """
    if YEAR_ONLY in specifications:
        raise ValueError(f"'{YEAR_ONLY}' is the specification that others are measured by: choose another name")
    all_specifications = {YEAR_ONLY: ["year"], **specifications}
    columns = design(
        list(dict.fromkeys(block for blocks in all_specifications.values() for block in blocks)), frame, rare
    )
    x, places = _with_intercept(columns, frame)

    def columns_of(blocks: Sequence[str]) -> np.ndarray:
        parts = [where for name, where in places.items() if name.removesuffix(" missing") in blocks]
        return np.concatenate([[0], *parts])

    y, weight = frame[LOG_WAGE].to_numpy(), frame["weight"].to_numpy()
    units = frame["group" if "group" in frame else "person"]
    parts = [rows for _, rows in GroupKFold(splits, shuffle=True, random_state=seed).split(x, groups=units)]
    sums = [normal_equations(x[rows], y[rows], weight[rows]) for rows in parts]
    gram, moment = (sum(terms) for terms in zip(*sums, strict=True))
    split, predicted = np.empty(len(y), dtype=np.int64), {name: np.empty(len(y)) for name in all_specifications}
    for number, (rows, (gram_held, moment_held)) in enumerate(zip(parts, sums, strict=True)):
        split[rows] = number
        for name, blocks in all_specifications.items():
            used = columns_of(blocks)
            coefficients = solve((gram - gram_held)[np.ix_(used, used)], (moment - moment_held)[used])
            predicted[name][rows] = x[rows][:, used] @ coefficients
    keys = [*KEYS, *(["group"] if "group" in frame else [])]
    return frame[keys].assign(split=split, **predicted)


def _with_intercept(columns: ColumnTransformer, frame: pd.DataFrame) -> tuple[sparse.csr_array, dict[str, np.ndarray]]:
    """The matrix of a design fitted on a frame, with an intercept first, and the places of each block's columns."""
    x = sparse.hstack([np.ones((len(frame), 1)), columns.fit_transform(frame)]).tocsr()
    return x, {name: np.arange(x.shape[1] - 1)[where] + 1 for name, where in columns.output_indices_.items()}


def normal_equations(x: sparse.csr_array, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X'WX, `(columns, columns)`, and X'Wy: the sums over rows that least squares needs."""
    weighted = x.multiply(weight[:, None]).tocsr()
    return (weighted.T @ x).toarray(), weighted.T @ y


def solve(gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Coefficients of least squares; the shortest ones where columns are collinear, as h_t and an intercept are."""
    scale = np.sqrt(np.diag(gram))
    scale = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    return scale * (linalg.pinvh(gram * scale * scale[:, None], rtol=COLLINEAR) @ (scale * moment))


@within_ranges
def held_out_r2(
    predictions: pd.DataFrame | Sequence[pd.DataFrame],
    *,
    baseline: str | None = None,
    by_decade: bool = True,
    draws: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """R^2 and within-year R^2 of every specification, overall and by decade, with intervals by resampling people.

    Regressions are not fitted again on resamples: intervals are about these regressions on other people.

    Args:
        predictions: What `predict_held_out` returns, perhaps with further columns of predictions; or several such
            frames with the same rows, one per training seed, over which squared errors are averaged.
        baseline: The specification from which gains are counted; if None, the first after "year alone".
        by_decade: Whether the result has rows for decades too.
        draws, seed: Number of resamples of people, or of families where there is a `group`, and their random seed.

    Returns:
        One row per period (column years: "all", "1980-1989", ...) and specification. Columns: observations, people;
        r2, r2_low, r2_high; within_year, within_year_low, within_year_high; gain over the baseline's within-year R^2
        on the same resamples, gain_low, gain_high; seed_sd, the standard deviation of within_year over training seeds;
        and mean_of_splits, the R^2 as the paper has it, computed in each split and averaged over splits and seeds.

    Raises:
        ValueError: Frames of the seeds have different rows, or there is no such baseline.
    """
    frames = [predictions] if isinstance(predictions, pd.DataFrame) else list(predictions)
    first = frames[0]
    specifications = [name for name in first if name not in (*KEYS, "group", "split")]
    baseline = baseline or specifications[specifications.index(YEAR_ONLY) + 1]
    if baseline not in specifications:
        raise ValueError(f"there is no specification '{baseline}', only {', '.join(specifications)}")
    if any(not frame[["person", "year"]].equals(first[["person", "year"]]) for frame in frames):
        raise ValueError("predictions of different seeds have different rows: predict the same person-years")
    wage = first[LOG_WAGE].to_numpy()
    squared = np.stack([(frame[specifications].to_numpy() - wage[:, None]) ** 2 for frame in frames])
    person = pd.factorize(first["group" if "group" in first else "person"])[0]
    decade = first["year"].to_numpy() // 10 * 10
    centred = wage - np.average(wage, weights=first["weight"])
    values = np.column_stack([centred, centred**2, squared.mean(axis=0), *squared])
    names, groupings = [ALL_YEARS], [np.zeros(len(wage), dtype=np.int64)]
    if by_decade:
        decades, codes = np.unique(decade, return_inverse=True)
        names += [f"{start}-{start + 9}" for start in decades]
        groupings.append(codes)
    reference, base = specifications.index(YEAR_ONLY), specifications.index(baseline)
    parts = []
    for group in groupings:
        weight = first["weight"].to_numpy()
        means, drawn = resample_means(values, weight, person, group, draws=draws, seed=seed)
        (r2, within), (r2s, withins) = (_r2(m, len(specifications), reference) for m in (means, drawn))
        within_by_seed = np.stack(
            [_r2(means, len(specifications), reference, after=k + 1)[1] for k in range(len(frames))], axis=-1
        )
        split_r2 = np.mean(
            [_mean_of_splits(frame, error, group) for frame, error in zip(frames, squared, strict=True)], 0
        )
        sizes = pd.DataFrame({"group": group, "person": person}).groupby("group")["person"].agg(["size", "nunique"])
        columns: dict[str, Any] = {
            "observations": np.repeat(sizes["size"].to_numpy(), len(specifications)),
            "people": np.repeat(sizes["nunique"].to_numpy(), len(specifications)),
        }
        for name, value, resampled in (
            ("r2", r2, r2s),
            ("within_year", within, withins),
            ("gain", within - within[:, [base]], withins - withins[..., [base]]),
        ):
            low, high = np.nanquantile(resampled, INTERVAL, axis=0)
            columns |= {name: value.ravel(), f"{name}_low": low.ravel(), f"{name}_high": high.ravel()}
        columns["seed_sd"] = within_by_seed.std(axis=-1, ddof=1).ravel() if len(frames) > 1 else np.nan
        columns["mean_of_splits"] = split_r2.ravel()
        parts.append(pd.DataFrame(columns))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "years", np.repeat(names, len(specifications)))
    table.insert(1, "specification", specifications * len(names))
    return table


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


@dataclass(frozen=True)
class WageRegression:
    """One regression by pyfixest; its results have the names that statsmodels gives them.

    Args:
        fit: What `pyfixest.feols` returns.
        labels: Names of columns of the design and of absorbed blocks, by their spelling in `fit`.
        left_out: Columns that are linear combinations of earlier columns.
        absorbed: Blocks whose dummies were absorbed as fixed effects, and so have no coefficients here.
        people: Number of people, or of families where careers have a `group`.
        columns: Number of estimated coefficients, including absorbed dummies and the intercept.
    """

    fit: Any
    labels: Mapping[str, str]
    left_out: Sequence[str]
    absorbed: Sequence[str]
    people: int
    columns: int

    @property
    def params(self) -> pd.Series:
        """Coefficients by column of the design; with an "intercept" where no block is absorbed."""
        return self.fit.coef().rename(index=self.labels)

    @property
    def bse(self) -> pd.Series:
        """Standard errors, clustered by person."""
        return self.fit.se().rename(index=self.labels)

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
    """Weighted least squares on all rows by pyfixest (extra `econ`), with standard errors clustered by person.

    Columns that are linear combinations of earlier columns are left out; each result names them (`left_out`).

    Args:
        frame: What `wage_frame` returns.
        specifications: Names of blocks, by the name of the specification.
        rare: As in `design`.
        absorb: Blocks of labels whose coefficients are not wanted. Their dummies are absorbed as fixed effects, which
            is fast where there are hundreds; other coefficients and errors stay the same, but there is no intercept.

    Returns:
        A regression by the name of the specification. Errors are clustered by family where careers have a `group`.

    Raises:
        ImportError: pyfixest is not installed.
        ValueError: As in `design`.
    """
    pyfixest = import_pyfixest()
    people = pd.factorize(frame["group" if "group" in frame else "person"])[0]
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
            data.assign(log_wage=outcome, weight=weight, people=people),
            vcov={"CRV1": "people"},
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
            people=len(np.unique(people)),
            columns=len(used),
        )
    return results


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


@dataclass(frozen=True)
class CoefficientTable:
    """Regressions side by side, standard errors below coefficients, as `etable` of pyfixest writes them.

    Args:
        results: What `estimate` returns.
        coefficients: Names of the coefficients to show, in order.
    """

    results: Mapping[str, WageRegression]
    coefficients: Sequence[str]

    def save(self, path: str | Path) -> None:
        """Writes the table as text, LaTeX and HTML.

        Args:
            path: Path of the files without a suffix; .txt, .tex and .html are added.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        for suffix, text in ((".txt", self.as_text()), (".tex", self.as_latex()), (".html", self.as_html())):
            path.with_name(path.name + suffix).write_text(text + "\n", encoding="utf-8")

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
        return "\n\n".join([*parts, textwrap.fill(TABLE_NOTE, TEXT_WIDTH)])

    def as_latex(self) -> str:
        """The table for LaTeX, which needs its packages booktabs, makecell, tabularx and threeparttable."""
        return self._etable("tex", LATEX)

    def as_html(self) -> str:
        """The table for a web page."""
        return self._etable("html")

    def _etable(self, kind: str, escapes: Mapping[int, str] | None = None) -> Any:
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
            labels={name: label.translate(escapes or {}) for name, label in labels.items()},
            keep=["Intercept" if name == "intercept" else _spelled(name) for name in self.coefficients],
            exact_match=True,
            model_heads=[name.translate(escapes or {}) for name in self.results],
            head_order="h",
            model_stats=[],
            custom_model_stats={name.translate(escapes or {}): values for name, values in facts.items()},
            notes=TABLE_NOTE,
        )


__all__ = [
    "YEAR_ONLY",
    "CoefficientTable",
    "WageRegression",
    "WageReport",
    "estimate",
    "held_out_r2",
    "independent",
    "normal_equations",
    "predict_held_out",
    "regress",
    "solve",
]
