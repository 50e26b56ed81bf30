"""Table 3 as tables and a figure; `table3.py` trains and predicts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from career_hf.simulation import wage_summary, wage_truth
from career_hf.wages.design import BLAU_KAHN, BLOCKS, available_blocks, wage_frame
from career_hf.wages.regression import ALL_YEARS, YEAR_ONLY, CoefficientTable, estimate, held_out_r2

from .cells import keep_settings, run_jobs, training_log
from .table3 import (
    BLAU_KAHN_ROW,
    CROSS_FITTED,
    HEAD,
    PAPER,
    TRUTH,
    Settings,
    Source,
    everybody,
    predict_cell,
    specifications,
    training_cells,
)


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLE = (BLAU_KAHN_ROW, "+ occupation", "+ occupation, lagged occupation")
COLOURS = {"regressions": "#0072B2", "with h": "#D55E00", "wage head": "#009E73", "truth": "#000000"}


@dataclass(frozen=True)
class Found:
    """What the study found.

    Args:
        r2: Rows of `held_out_r2` with the protocol before them.
        missing: Blocks of Blau and Kahn that careers do not hold, and what they stand for.
        models: Updates, hours and best validation score of every model.
        ceiling: Of the simulated market, `wage_summary` of the test people; None for a survey.
    """

    r2: pd.DataFrame
    missing: pd.Series
    models: pd.DataFrame
    ceiling: pd.Series | None


def table3(folder: str | Path, source: Source, settings: Settings | None = None, workers: int = 1) -> Found:
    """Trains models in both protocols, regresses wages, and compares all rows of Table 3 on held-out people.

    Leaves in the folder r2.csv, models.csv, coefficients.txt, .tex and .html (by statsmodels, on everybody, standard
    errors clustered by person) and table3.png. Models and predictions are kept: a study that is stopped goes on.

    Args:
        folder: Of the study.
        source: Of careers with wages.
        settings: Sizes.
        workers: Processes that train.

    Raises:
        ValueError: The folder holds a study with other settings, or careers have no wages.
    """
    folder, settings = Path(folder), settings or Settings()
    keep_settings(folder, asdict(settings) | {"data": str(source.data), "covariates": source.covariates})
    splits = source.splits()  # what is wrong with the data is said before anything is trained
    run_jobs("Training models", training_cells(folder, settings, source), workers)
    cells = [partial(predict_cell, folder, settings, source, PAPER, seed) for seed in range(settings.seeds)]
    cells.append(partial(predict_cell, folder, settings, source, CROSS_FITTED, 0))
    run_jobs("Regressing wages", cells, workers)

    parts = []
    for protocol, seeds in {PAPER: settings.seeds, CROSS_FITTED: 1}.items():
        frames = [pd.read_parquet(folder / "predictions" / f"{protocol} {seed}.parquet") for seed in range(seeds)]
        found = held_out_r2(frames, baseline=BLAU_KAHN_ROW, draws=settings.draws)
        found.insert(0, "protocol", protocol)
        parts.append(found)
    r2, models = pd.concat(parts, ignore_index=True), training_log(folder)
    frame, _ = wage_frame(everybody(splits))
    if not (folder / "coefficients.html").exists():
        results = estimate(frame, {name: specifications(frame)[name] for name in TABLE})
        shown = [name for name in results[BLAU_KAHN_ROW].params.index if not name.startswith("year_")]
        CoefficientTable(results, shown).save(folder / "coefficients")
    r2.to_csv(folder / "r2.csv", index=False, float_format="%.5f")
    models.to_csv(folder / "models.csv", float_format="%.5f")
    ceiling = None
    if source.data is None:
        ceiling = wage_summary(wage_truth(splits["test"], source.world()))
        ceiling.to_csv(folder / "ceiling.csv", float_format="%.5f")
    figure_of(r2, "the simulated market" if source.data is None else source.data.name).savefig(
        folder / "table3.png", dpi=100
    )
    missing = pd.Series(
        {name: BLOCKS[name].stands_for for name in available_blocks(BLAU_KAHN, frame)[1]}, name="stands for"
    )
    return Found(r2, missing, models, ceiling)


def figure_of(r2: pd.DataFrame, name: str) -> Figure:
    """Within-year R^2 of every row, a panel for each protocol, and by decade with everybody.

    Args:
        r2: As in `Found`.
        name: Of the careers.

    Returns:
        A matplotlib figure, 15 by 5.5 inches, that no window shows.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 5.5), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.1])
    titles = {PAPER: "trained on 80%, regressed on the rest", CROSS_FITTED: "cross-fitted, everybody"}
    for ax, (protocol, title) in zip(axes, titles.items(), strict=False):
        rows = r2[(r2["protocol"] == protocol) & (r2["years"] == ALL_YEARS) & (r2["specification"] != YEAR_ONLY)]
        _draw_rows(ax, rows)
        ax.set_title(f"{title}\n{rows['people'].iloc[0]:,} people, {rows['observations'].iloc[0]:,} person-years")
    axes[1].sharex(axes[0])
    axes[1].set_yticklabels([])
    decades = r2[(r2["protocol"] == CROSS_FITTED) & (r2["years"] != ALL_YEARS)]
    _draw_decades(axes[2], decades)
    figure.suptitle(f"Held-out R^2 within year of log wages, {name}; 95% intervals by resampling people")
    return figure


def _colour(specification: str) -> str:
    if specification == TRUTH:
        return COLOURS["truth"]
    if "wage head" in specification:
        return COLOURS["wage head"]
    return COLOURS["with h" if "h before" in specification or "h including" in specification else "regressions"]


def _draw_rows(ax: Axes, rows: pd.DataFrame) -> None:
    for y, row in enumerate(rows.itertuples()):
        error = [[row.within_year - row.within_year_low], [row.within_year_high - row.within_year]]
        colour = _colour(row.specification)
        ax.errorbar(row.within_year, y, xerr=error, color=colour, marker="o", markersize=5, linewidth=1.4)
        ax.annotate(f"{row.within_year:.3f}", (row.within_year, y), (0, 6), textcoords="offset points", ha="center")
    ax.set_yticks(range(len(rows)), rows["specification"])
    ax.invert_yaxis()
    ax.set(xlabel="R^2 within year")
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_decades(ax: Axes, rows: pd.DataFrame) -> None:
    shown = (BLAU_KAHN_ROW, "+ occupation", "+ occupation, h including", HEAD, TRUTH)
    years = list(rows["years"].unique())
    styles = {BLAU_KAHN_ROW: "--"}
    for i, specification in enumerate(name for name in shown if name in set(rows["specification"])):
        of = rows[rows["specification"] == specification]
        error = [of["within_year"] - of["within_year_low"], of["within_year_high"] - of["within_year"]]
        x = [place + 0.06 * (i - 2) for place in range(len(of))]
        style: dict[str, Any] = {
            "color": _colour(specification),
            "linestyle": styles.get(specification, "-"),
            "label": specification,
        }
        ax.errorbar(x, of["within_year"], yerr=error, marker="o", markersize=4, linewidth=1.2, **style)
    ax.set_xticks(range(len(years)), years)
    ax.set(title="by decade, cross-fitted")
    ax.grid(axis="y", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)


__all__ = ["Found", "figure_of", "table3"]
