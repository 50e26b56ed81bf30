"""The report on some models: every table that follows from their transition tables, in a folder with figures.

`career-hf evaluate` scores models and hands their tables over; so may anybody who has tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from transformers.utils import logging

from .calibration import calibration_error, reliability
from .metrics import INTERVAL, compare, entry_auc, perplexity, ranking, resampled_nll, stay_auc, summarize


logger = logging.get_logger(__name__)

Tables = Mapping[str, Sequence[pd.DataFrame]]
# Whose probabilities are held against what happened: `reliability`.
OF: tuple[Literal["stay", "top"], ...] = ("stay", "top")


def report(
    tables: Tables,
    baseline: str,
    *,
    by: Sequence[str] = (),
    recalibrated: Tables | None = None,
    draws: int = 1000,
    weighted: bool = False,
) -> dict[str, pd.DataFrame]:
    """Every table about some models, on the same rows.

    Args:
        tables: For each model its transition tables, one for each seed.
        baseline: The model to compare with.
        by: Columns of the tables to audit, such as race or gender.
        recalibrated: Tables of the same models, recalibrated.
        draws: Resamples of people behind the intervals.
        weighted: Use survey weights, in every table.

    Returns:
        summary (`evaluation.summarize`) and differences (`evaluation.compare`); by_transition (Table 4), by_step
        (Figure 4: by the number of earlier observations), by_year and by_COLUMN for each column of `by`
        (`perplexity_in_groups`); accuracy (Table 5, and ranks of the truth), calibration and reliability.

    Raises:
        ValueError: The tables do not have the same rows, or there is no such baseline or column.
    """
    found = {
        "summary": summarize(tables, draws, weighted=weighted),
        "differences": compare(tables, baseline, draws, weighted=weighted),
        "accuracy": accuracy(tables, weighted),
        "calibration": calibration(tables, recalibrated, weighted),
        "reliability": reliability_curves(tables, recalibrated, draws, weighted),
    }
    for column in dict.fromkeys(["transition", "step", "year", *by]):
        found[f"by_{column}"] = perplexity_in_groups(tables, column, baseline, draws, weighted=weighted)
    return found


def perplexity_in_groups(
    tables: Tables, by: str, baseline: str, draws: int = 1000, seed: int = 0, weighted: bool = False
) -> pd.DataFrame:
    """Perplexity of every model in each group of a column, and its difference from the baseline's, with intervals.

    Args:
        tables: For each model its transition tables, one for each seed, whose log-probabilities are averaged.
        by: Column of the tables (transition: Table 4; step: Figure 4; year; any covariate: a subgroup audit).
        baseline: The model to compare with.
        draws, seed: Of the resampling of people.
        weighted: Use survey weights.

    Returns:
        One row per group (null among them) and model: the column itself, model, n (steps), people, perplexity, low,
        high, difference (of log-perplexity from the baseline's), difference_low, difference_high.

    Raises:
        ValueError: As in `report`.
    """
    table = next(iter(tables.values()))[0]
    if by not in table.columns:
        raise ValueError(f"the transition tables have no column '{by}' to group by, only {list(table.columns)}")
    if baseline not in tables:
        raise ValueError(f"baseline '{baseline}' is not among the tables: {list(tables)}")
    sizes, nll, resampled = resampled_nll(tables, draws, seed, weighted, by)
    people = table.groupby(by, observed=True, dropna=False)["person"].nunique()
    k, models = list(tables).index(baseline), len(tables)
    low, high = np.nanquantile(np.exp(resampled), INTERVAL, axis=0)
    difference_low, difference_high = np.nanquantile(resampled - resampled[..., [k]], INTERVAL, axis=0)
    columns = {
        "perplexity": np.exp(nll),
        "low": low,
        "high": high,
        "difference": nll - nll[:, [k]],
        "difference_low": difference_low,
        "difference_high": difference_high,
    }
    return pd.DataFrame(
        {
            by: sizes.index.repeat(models),
            "model": list(tables) * len(sizes),
            "n": sizes.to_numpy().repeat(models),
            "people": people.to_numpy().repeat(models),
            **{name: values.ravel() for name, values in columns.items()},
        }
    )


def accuracy(tables: Tables, weighted: bool = False) -> pd.DataFrame:
    """Areas under the ROC curve of moving and of entering watched states (Table 5), and how high the truth ranks.

    Args:
        tables: For each model its transition tables, one for each seed, over which numbers are averaged.
        weighted: Use survey weights.

    Returns:
        One row per model: moving, "entering LABEL" for each label that the tables watch (null where nobody enters, or
        nobody moves), and the columns of `evaluation.ranking`.
    """
    rows = {}
    for model, seeds in tables.items():
        watched = [name[2:-1] for name in seeds[0].columns if name.startswith("p(")]
        entries = {
            f"entering {label}": np.mean([_or_null(entry_auc, table, label, weighted) for table in seeds])
            for label in watched
        }
        ranks = pd.DataFrame([ranking(table, weighted=weighted) for table in seeds]).mean()
        rows[model] = {"moving": np.mean([_or_null(stay_auc, table, weighted) for table in seeds]), **entries, **ranks}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def calibration(tables: Tables, recalibrated: Tables | None = None, weighted: bool = False) -> pd.DataFrame:
    """Perplexity and expected calibration errors, averaged over seeds, maybe also after recalibration.

    Args:
        tables: For each model its transition tables, one for each seed.
        recalibrated: Tables of the same models, recalibrated.
        weighted: Use survey weights.

    Returns:
        One row per model: perplexity, stay_ece, top_ece (`calibration_error` of `reliability`, of staying and of the
        likeliest occupation); with `recalibrated` the same again, with names that end in "_recalibrated".
    """

    def errors(of_models: Tables) -> pd.DataFrame:
        rows = {
            model: {
                "perplexity": np.exp(np.mean([np.log(perplexity(table, weighted)) for table in seeds])),
                **{f"{of}_ece": np.mean([_error(table, of, weighted) for table in seeds]) for of in OF},
            }
            for model, seeds in of_models.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")

    found = errors(tables)
    return found if recalibrated is None else found.join(errors(recalibrated).add_suffix("_recalibrated"))


def reliability_curves(
    tables: Tables, recalibrated: Tables | None = None, draws: int = 1000, weighted: bool = False
) -> pd.DataFrame:
    """Reliability curves of all models; a model's seeds are pooled.

    Returns:
        One row per curve and bin: model, recalibrated (whether), of ("stay" or "top"), and the columns of
        `reliability`, n counting the steps of all seeds.
    """
    curves = [
        reliability(pd.concat(seeds), of, draws=draws, weighted=weighted)
        .reset_index()
        .assign(model=model, recalibrated=is_so, of=of)
        for is_so, of_models in ((False, tables), (True, recalibrated or {}))
        for model, seeds in of_models.items()
        for of in OF
    ]
    columns = ["model", "recalibrated", "of", "bin", "n", "share", "predicted", "observed", "low", "high"]
    return pd.concat(curves, ignore_index=True)[columns]


def write_report(found: Mapping[str, pd.DataFrame], folder: str | Path, baseline: str) -> list[Path]:
    """Writes each table as CSV, LaTeX and HTML, and the figures as PNG where matplotlib is installed.

    Args:
        found: What `report` returns; more tables may be added.
        folder: Where to write; made if it is not there.
        baseline: The model that figures compare with.

    Returns:
        The files.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in found.items():
        # Tables by model have their models as an index, others only numbers.
        index = table.index.name is not None
        table.to_csv(folder / f"{name}.csv", index=index)
        table.to_latex(folder / f"{name}.tex", index=index, float_format="%.3f", na_rep="", escape=True)
        table.to_html(folder / f"{name}.html", index=index, float_format="{:.3f}".format, na_rep="")
    written = [folder / f"{name}.{kind}" for name in found for kind in ("csv", "tex", "html")]
    if find_spec("matplotlib") is None:
        logger.warning("tables only: figures need matplotlib, pip install 'career_hf[studies]'")
        return written
    from ..figures.evaluation import figures

    for name, figure in figures(found, baseline).items():
        figure.savefig(folder / f"{name}.png", dpi=110)
        written.append(folder / f"{name}.png")
    return written


def _error(table: pd.DataFrame, of: Literal["stay", "top"], weighted: bool) -> float:
    return calibration_error(reliability(table, of, draws=1, weighted=weighted))


def _or_null(auc: Callable[..., float], *arguments: object) -> float:
    """An area under a curve, null where one of the two outcomes never happens."""
    try:
        return auc(*arguments)
    except ValueError:
        return float("nan")
