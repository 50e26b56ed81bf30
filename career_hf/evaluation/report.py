"""The report on some models: every table that follows from their transition tables, and the figures.

`evaluate` scores models and reports on them; `report` reports on existing transition tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from transformers.utils import logging

from ..careers.clusters import cluster_name
from ..careers.ledger import Ledger
from ..careers.periods import labelled_unit
from ..figures.evaluation import figures
from ..figures.style import save
from .calibration import EVENTS, calibration_errors, reliability
from .metrics import (
    auc_differences,
    cluster_counts_by,
    perplexity,
    perplexity_differences,
    ranking,
    resampled_nll,
    shared_rows,
    summarize,
    without_zero_weights,
)
from .resampling import NOTE, interval, interval_text


if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.get_logger(__name__)

Tables = Mapping[str, Sequence[pd.DataFrame]]
# Endings of columns, and what they say of the number that they are added to.
RECALIBRATED = "_recalibrated"
ENDINGS = {
    RECALIBRATED: "recalibrated {}",
    "_low": "{}, 95% low",
    "_high": "{}, 95% high",
    "_difference": "{}, difference",
}
# Names of columns in tables for people; frames and CSV files keep the short names.
ENGLISH = {
    "n": "steps",
    "first": "perplexity, first steps",
    "stay": "perplexity, stays",
    "return": "perplexity, returns",
    "new": "perplexity, new occupations",
    "stay_auc": "AUC of moving",
    "seeds": "training seeds",
    "unknown": "steps from or to an unknown occupation",
    "left_out": "steps left out, unknown to some models",
    "ratio": "ratio of perplexities",
    "difference": "difference of log-perplexity",
    "standard_error": "difference, standard error",
    "difference_low": "difference, 95% low",
    "difference_high": "difference, 95% high",
    "moving": "AUC of moving",
    "top-1": "top-1 accuracy",
    "top-5": "top-5 accuracy",
    "top-10": "top-10 accuracy",
    "rank of moves": "mean rank of true moves",
    "stay_ece": "error, staying",
    "top_ece": "error, likeliest",
    "of": "probability of",
    "predicted": "predicted probability",
    "observed": "observed share",
    "share": "share of steps",
    "stay_slope": "slope of staying",
    "stay_intercept": "intercept of staying",
}
NOT_GIVEN = "not given"
# Columns of a transition table that a number needs and a program's table may not have; ranks need "rank", and AUCs of
# entering a state its probability.
NEEDS = {
    "stay_auc": ["p_stay"],
    "moving": ["p_stay"],
    "rank of moves": ["rank", "p_stay"],
    "mean reciprocal rank": ["rank"],
    "stay_ece": ["p_stay"],
    "top_ece": ["p_top", "rank"],
}
# Quantities whose interval is `low` and `high`, and whose spread is `seed_sd`, in tables not about perplexity.
SUBJECTS = {"differences": "difference", "reliability": "observed share"}
SPREADS = {"summary": "perplexity", "differences": "log-perplexity"}


@dataclass(frozen=True, repr=False)
class EvaluationReport:
    """All tables about models that were scored on the same careers.

    Args:
        tables: Tables by name; see `report`.
        baseline: The model that the others are compared with.
        transition_tables: For each model its transition tables, one for each seed.
        recalibrated: The transition tables after recalibration; None without it.
        ledger: Which steps are left out because some models do not know their occupations, how many are scored as the
            unknown occupation, and whether a model was trained on the people it is scored on.
    """

    tables: Mapping[str, pd.DataFrame]
    baseline: str
    transition_tables: Tables
    recalibrated: Tables | None = None
    ledger: Ledger = field(default_factory=Ledger)

    def to_frame(self, name: str = "summary") -> pd.DataFrame:
        """One of the tables.

        Raises:
            ValueError: There is no table of that name.
        """
        if name not in self.tables:
            raise ValueError(f"the report has no table '{name}', only {list(self.tables)}")
        return self.tables[name]

    def in_english(self, name: str = "summary") -> pd.DataFrame:
        """One of the tables, with names of columns in plain English, and "not given" in the place of numbers that need
        more than a program's table has.

        Raises:
            ValueError: There is no table of that name.
        """
        table, missing = self.to_frame(name), self._not_given(name)
        for column in missing.columns[missing.any()]:
            table = table.assign(**{column: table[column].astype(object).mask(missing[column], NOT_GIVEN)})
        subject = SUBJECTS.get(name, "perplexity")
        names = {
            **ENGLISH,
            "low": f"{subject}, 95% low",
            "high": f"{subject}, 95% high",
            "seed_sd": f"{SPREADS.get(name)}, sd over seeds",
        }
        return table.rename(columns=lambda column: _in_english(column, names))

    def with_intervals(self, name: str = "summary") -> pd.DataFrame:
        """One of the tables by model for people to read: as `in_english`, with intervals of AUCs and calibration
        errors in brackets behind them, or "too few" where there are too few people or households for an interval.

        Raises:
            ValueError: There is no table of that name.
        """
        table, readable, missing = self.to_frame(name), self.in_english(name), self._not_given(name)
        names = dict(zip(table.columns, readable.columns, strict=True))
        hidden = []
        for column in names:
            stem = column.removesuffix(RECALIBRATED)
            low, high = (f"{stem}_{end}{column[len(stem) :]}" for end in ("low", "high"))
            if low in names and high in names:
                rows = zip(table[column], table[low], table[high], strict=True)
                texts = [interval_text(*row, 3) for row in rows]
                readable[names[column]] = np.where(missing[column], NOT_GIVEN, texts)
                # A single model has nothing to be compared with.
                is_idle = len(table) == 1 and stem.endswith("_difference")
                hidden += [names[low], names[high], *([names[column]] if is_idle else [])]
        return readable.drop(columns=hidden)

    def _not_given(self, name: str) -> pd.DataFrame:
        """Whether each number of one of the tables needs a column that a program's table does not have."""
        table = self.to_frame(name)
        missing = pd.DataFrame(False, index=table.index, columns=table.columns)
        if table.index.name == "model":
            empty = {model: _empty_columns(seeds) for model, seeds in self.transition_tables.items()}
            for column in table:
                needs, is_difference = _needs(column), "_difference" in column
                lacking = [model for model, columns in empty.items() if columns.intersection(needs)]
                missing[column] = table.index.isin(lacking) | (is_difference and self.baseline in lacking)
        return missing

    @property
    def unit(self) -> str:
        """What is resampled for intervals: "PSU", "household" or "person"."""
        return cluster_name(next(iter(self.transition_tables.values()))[0].columns)

    @property
    def note(self) -> str:
        """What "too few" means, if a group of some table has too few people, households or PSUs; otherwise empty."""
        tables = [table for name, table in self.tables.items() if name.startswith("by_") or name == "summary"]
        return NOTE if any(table["low"].isna().any() for table in tables) else ""

    def side_by_side(self, column: str) -> pd.DataFrame:
        """A table with groups of a column in rows: their sizes, and for each model "perplexity [low, high]", or
        "[too few]" where a group has too few people or households to be judged.

        Raises:
            ValueError: There is no table by that column.
        """
        rows = self.to_frame(f"by_{column}")
        texts = [interval_text(row.perplexity, row.low, row.high, 2) for row in rows.itertuples()]
        parts = dict(list(rows.assign(text=texts).set_index(column).groupby("model", sort=False)))
        sizes = next(iter(parts.values()))[["n", "people"]].rename(columns=ENGLISH)
        return sizes.assign(**{model: part["text"] for model, part in parts.items()})

    def figures(self) -> dict[str, Figure]:
        """All figures by name: levels, by_transition (for two models or more), by_step and reliability."""
        return figures(self.tables, self.baseline)

    def figure(self, name: str = "levels") -> Figure:
        """One of the figures.

        Raises:
            ValueError: There is no figure of that name.
        """
        drawn = self.figures()
        if name not in drawn:
            raise ValueError(f"the report has no figure '{name}', only {list(drawn)}")
        return drawn[name]

    def save(self, folder: str | Path) -> list[Path]:
        """Writes the transition tables as Parquet, each other table as CSV, LaTeX and HTML, the ledger as ledger.json,
        and the figures as PNG.

        Figures are left out, with a warning, where matplotlib is not installed.

        Args:
            folder: Destination folder; it is created if it does not exist.

        Returns:
            Paths of the files.
        """
        written = [
            write_transition_table(table, folder, f"{model}_{seed}{suffix}")
            for suffix, models in (("", self.transition_tables), ("_recalibrated", self.recalibrated or {}))
            for model, tables in models.items()
            for seed, table in enumerate(tables)
        ]
        return written + self.save_tables(folder)

    def save_tables(self, folder: str | Path) -> list[Path]:
        """Writes everything that `save` writes, without the transition tables."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            # In tables by model the index names models; in other tables it only has numbers.
            index = table.index.name is not None
            table.to_csv(folder / f"{name}.csv", index=index)
            readable = self.in_english(name)
            readable.to_latex(folder / f"{name}.tex", index=index, float_format="%.3f", na_rep="", escape=True)
            readable.to_html(folder / f"{name}.html", index=index, float_format="{:.3f}".format, na_rep="")
        written = [folder / f"{name}.{kind}" for name in self.tables for kind in ("csv", "tex", "html")]
        self.ledger.save(folder / "ledger.json")
        written.append(folder / "ledger.json")
        if find_spec("matplotlib") is None:
            logger.warning("tables only: figures need matplotlib, pip install 'career_hf[studies]'")
            return written
        for name, figure in self.figures().items():
            save(figure, folder / f"{name}.png")
            written.append(folder / f"{name}.png")
        return written

    def __repr__(self) -> str:
        return self.with_intervals().T.to_string()


def _needs(column: str) -> list[str]:
    """Columns of transition tables that a number in a column of a report's table comes from, if any may be missing."""
    stem = column.removesuffix(RECALIBRATED)
    for ending in ("_low", "_high", "_difference"):
        stem = stem.removesuffix(ending)
    if stem.startswith("entering "):
        return [f"p({stem.removeprefix('entering ')})"]
    return ["rank"] if stem.startswith("top-") else NEEDS.get(stem, [])


def _empty_columns(seeds: Sequence[pd.DataFrame]) -> set[str]:
    """Columns that some of a model's tables do not give."""
    empty = set()
    for table in seeds:
        later = table[table["step"] > 0]
        numbers = {"p_stay": later["p_stay"], "p_top": table["p_top"], "rank": table["rank"]}
        numbers |= {name: table[name] for name in table if name.startswith("p(")}
        empty |= {name for name, column in numbers.items() if column.isna().any()}
    return empty


def write_transition_table(table: pd.DataFrame, folder: str | Path, name: str) -> Path:
    """Writes a transition table to a Parquet file in a folder, which is created if it does not exist."""
    path = Path(folder) / f"{name.replace('/', '_')}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path)
    return path


def report(
    tables: Tables,
    baseline: str,
    *,
    by: Sequence[str] = (),
    recalibrated: Tables | None = None,
    draws: int = 1000,
    weighted: bool = False,
) -> EvaluationReport:
    """All tables about some models, on the rows that they can be compared on (`metrics.shared_rows`).

    Args:
        tables: For each model its transition tables, one for each seed.
        baseline: The model to compare with.
        by: Columns of the tables to audit, such as race or gender.
        recalibrated: Tables of the same models, recalibrated.
        draws: Number of resamples of clusters behind the intervals: PSUs or households where careers have them,
            otherwise people.
        weighted: Whether all tables use survey weights.

    Returns:
        A report with the tables summary (`metrics.summarize`) and differences (`metrics.perplexity_differences`);
        by_transition (Table 4), by_step (Figure 4: by the number of earlier observations), by_year (by_month or
        by_quarter, with labels, where careers have these) and by_COLUMN for each column of `by`
        (`perplexity_in_groups`); accuracy (Table 5, and ranks of the truth), calibration and reliability.

    Raises:
        ValueError: The tables do not have the same rows, or there is no such baseline or column.
    """
    shared, ledger = shared_rows(tables)
    first = next(iter(shared.values()))[0]
    # Recalibration changes no labels, so these rows are the same.
    shared_recalibrated = None if recalibrated is None else shared_rows(recalibrated)[0]
    results = {
        "summary": summarize(tables, draws, weighted=weighted),
        "differences": perplexity_differences(shared, baseline, draws, weighted=weighted),
        "accuracy": accuracy(shared, weighted, baseline, draws),
        "calibration": calibration(shared, shared_recalibrated, weighted, baseline, draws),
        "reliability": reliability_curves(shared, shared_recalibrated, draws, weighted),
    }
    for column in dict.fromkeys(["transition", "step", labelled_unit(first), *by]):
        results[f"by_{column}"] = perplexity_in_groups(shared, column, baseline, draws, weighted=weighted)
    return EvaluationReport(results, baseline, tables, recalibrated, ledger)


@without_zero_weights
def perplexity_in_groups(
    tables: Tables, by: str, baseline: str, draws: int = 1000, seed: int = 0, weighted: bool = False
) -> pd.DataFrame:
    """Perplexity of every model in each group of a column, and its difference from the baseline's, with intervals.

    The rows are those of `metrics.shared_rows`.

    Args:
        tables: For each model its transition tables, one for each seed, whose log-probabilities are averaged.
        by: Column of the tables (transition: Table 4; step: Figure 4; year; any covariate: a subgroup audit).
        baseline: The model to compare with.
        draws, seed: Number and random seed of the resamples of clusters.
        weighted: Whether to use survey weights.

    Returns:
        One row per group (including null) and model: the column itself, model, n (steps), people, perplexity, low,
        high, difference (of log-perplexity from the baseline's), difference_low, difference_high. Intervals are null
        in groups of fewer than `FEWEST` clusters.

    Raises:
        ValueError: As in `report`.
    """
    if baseline not in tables:
        raise ValueError(f"baseline '{baseline}' is not among the tables: {list(tables)}")
    tables, _ = shared_rows(tables)
    table = next(iter(tables.values()))[0]
    if by not in table.columns:
        raise ValueError(f"the transition tables have no column '{by}' to group by, only {list(table.columns)}")
    sizes, nll, resampled = resampled_nll(tables, draws, seed, weighted, by)
    people = table.groupby(by, observed=True, dropna=False)["person"].nunique()
    k, models = list(tables).index(baseline), len(tables)
    clusters = cluster_counts_by(table, by, weighted)[:, None]
    low, high = interval(np.exp(resampled), clusters)
    difference_low, difference_high = interval(resampled - resampled[..., [k]], clusters)
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


def accuracy(
    tables: Tables, weighted: bool = False, baseline: str | None = None, draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Areas under the ROC curve of moving and of entering watched states (Table 5), and ranks of the truth.

    Args:
        tables: For each model its transition tables, one for each seed, over which numbers are averaged.
        weighted: Use survey weights.
        baseline: The model that AUCs are compared with; the first one if None.
        draws, seed: Number and random seed of the resamples of clusters.

    Returns:
        One row per model: moving, and "entering LABEL" for each label that the tables watch (null where nobody enters,
        or nobody moves), each followed by its interval and its difference from the baseline's, such as moving_low,
        moving_high, moving_difference, moving_difference_low and moving_difference_high (`metrics.auc_differences`);
        and the columns of `metrics.ranking`.
    """
    baseline = next(iter(tables)) if baseline is None else baseline
    watched = [name[2:-1] for name in next(iter(tables.values()))[0].columns if name.startswith("p(")]
    parts = []
    for label, name in {None: "moving", **{label: f"entering {label}" for label in watched}}.items():
        areas = auc_differences(tables, baseline, label, draws, seed, weighted)
        parts.append(areas.add_prefix(f"{name}_").rename(columns={f"{name}_auc": name}))
    ranks = {
        model: pd.DataFrame([ranking(table, weighted=weighted) for table in seeds]).mean()
        for model, seeds in tables.items()
    }
    return pd.concat([*parts, pd.DataFrame.from_dict(ranks, orient="index")], axis=1).rename_axis("model")


def calibration(
    tables: Tables,
    recalibrated: Tables | None = None,
    weighted: bool = False,
    baseline: str | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Perplexity and expected calibration errors, averaged over seeds, before and after recalibration.

    Args:
        tables: For each model its transition tables, one for each seed.
        recalibrated: Tables of the same models after recalibration; None without it.
        weighted: Whether to use survey weights.
        baseline: The model that errors are compared with; the first one if None.
        draws, seed: Number and random seed of the resamples of clusters.

    Returns:
        One row per model: perplexity, stay_ece and top_ece (`calibration.calibration_errors` of staying and of the
        likeliest occupation), each followed by its interval and its difference from the baseline's, such as
        stay_ece_low and stay_ece_difference_high; with `recalibrated` the same columns with the ending
        "_recalibrated".
    """

    compared = next(iter(tables)) if baseline is None else baseline

    def errors(models: Tables) -> pd.DataFrame:
        levels = {
            model: float(np.exp(np.mean([np.log(perplexity(table, weighted)) for table in seeds])))
            for model, seeds in models.items()
        }
        parts = [pd.Series(levels, name="perplexity")]
        for event in EVENTS:
            found = calibration_errors(models, compared, event, draws=draws, seed=seed, weighted=weighted)
            parts.append(found.add_prefix(f"{event}_ece_").rename(columns={f"{event}_ece_error": f"{event}_ece"}))
        return pd.concat(parts, axis=1).rename_axis("model")

    table = errors(tables)
    return table if recalibrated is None else table.join(errors(recalibrated).add_suffix(RECALIBRATED))


def _in_english(column: str, names: Mapping[str, str]) -> str:
    """The name of a column for people, from the names of columns that endings are added to."""
    if column in names:
        return names[column]
    for ending, text in ENDINGS.items():
        if column.endswith(ending):
            return text.format(_in_english(column.removesuffix(ending), names))
    return f"AUC of {column}" if column.startswith("entering ") else column


def reliability_curves(
    tables: Tables, recalibrated: Tables | None = None, draws: int = 1000, weighted: bool = False
) -> pd.DataFrame:
    """Reliability curves of all models; a model's seeds are pooled.

    Args:
        tables: For each model its transition tables, one for each seed.
        recalibrated: Tables of the same models, recalibrated.
        draws: Number of resamples of people behind the intervals.
        weighted: Use survey weights.

    Returns:
        One row per curve and bin: model, recalibrated (whether), of (the event, "stay" or "top"), and the columns of
        `reliability`, where n counts the steps of all seeds.
    """
    curves = [
        reliability(pd.concat(seeds), event, draws=draws, weighted=weighted)
        .reset_index()
        .assign(model=model, recalibrated=is_recalibrated, of=event)
        for is_recalibrated, models in ((False, tables), (True, recalibrated or {}))
        for model, seeds in models.items()
        for event in EVENTS
    ]
    columns = ["model", "recalibrated", "of", "bin", "n", "share", "predicted", "observed", "low", "high"]
    return pd.concat(curves, ignore_index=True)[columns]
