"""The table and figure of forecasts, from the study's forecast tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from career_hf.evaluation.metrics import (
    INTERVAL,
    mean_over_seeds,
    perplexity_by,
    resampled_nll,
    step_weights,
)
from career_hf.evaluation.metrics import (
    perplexity_differences as compare,
)
from career_hf.evaluation.transition_table import TRANSITIONS
from career_hf.figures.style import COLOURS
from career_hf.forecasting.metrics import state_aucs

from .rivals import best
from .rivals_tables import BASELINE, Tables, costs, load
from .table1 import ForecastStudy, run, tuned
from .table1_page import OVERALL, Table1, page, title_of


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Survivors count alike, as in the paper; everyone observed stands for those who were not.
POPULATIONS = {"survivors": False, "everyone, weighted": True}


def perplexities(tables: Tables, draws: int, weighted: bool = False) -> pd.DataFrame:
    """Perplexity of every model overall and by year, with intervals, and paired differences from CAREER's.

    Args:
        tables: Forecast tables by model, one for each seed, of the same people.
        draws: Resamples of people.
        weighted: Use weights.
    """
    k, parts = list(tables).index(BASELINE), []
    for by in (None, "year"):
        sizes, nll, resampled = resampled_nll(tables, draws, weighted=weighted, by=by)
        low, high = np.nanquantile(np.exp(resampled), INTERVAL, axis=0)
        difference_low, difference_high = np.nanquantile(resampled - resampled[..., [k]], INTERVAL, axis=0)
        for g, (year, n) in enumerate(sizes.items()):
            of_year = {
                name: [_of_year(table, OVERALL if by is None else year) for table in seeds]
                for name, seeds in tables.items()
            }
            # One resample: these columns need none.
            spread = compare(of_year, BASELINE, draws=2, weighted=weighted)
            parts.append(
                pd.DataFrame(
                    {
                        "year": OVERALL if by is None else str(year),
                        "model": list(tables),
                        "n": n,
                        "perplexity": np.exp(nll[g]),
                        "low": low[g],
                        "high": high[g],
                        "difference": nll[g] - nll[g, k],
                        "difference_low": difference_low[g],
                        "difference_high": difference_high[g],
                        "monte_carlo": [_monte_carlo(seeds, weighted) for seeds in of_year.values()],
                        "seeds": spread["seeds"].to_numpy(),
                        "seed_sd": spread["seed_sd"].to_numpy(),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def aucs(tables: Tables, weighted: bool = False) -> pd.DataFrame:
    """Areas under the ROC curve of being in each watched state, overall and by year, averaged over seeds."""
    rows = []
    for model, seeds in tables.items():
        for year in _years(seeds[0]):
            parts = [state_aucs(_of_year(table, year), weighted) for table in seeds]
            found = pd.concat(parts, axis=1).mean(axis=1)
            rows += [{"state": s, "year": str(year), "model": model, "auc": auc} for s, auc in found.items()]
    return pd.DataFrame(rows, columns=["state", "year", "model", "auc"])


def by_kind(tables: Tables, weighted: bool = False) -> pd.DataFrame:
    """How many are found in the last occupation that was known, and perplexity of these and of others, by year."""
    rows = []
    for model, seeds in tables.items():
        stay = np.mean([table["p_stay"] for table in seeds], axis=0)
        mean = mean_over_seeds(seeds).assign(p_stay=stay)
        # A step to or from an unknown occupation is of no kind.
        mean = mean[mean["transition"].notna()]
        for year in _years(mean):
            part = _of_year(mean, year)
            weights = step_weights(part, weighted)
            shares = {
                "predicted": np.average(part["p_stay"], weights=weights),
                "observed": np.average(part["transition"] == "stay", weights=weights),
            }
            of_kinds = perplexity_by(part, "transition", weighted)["perplexity"].reindex(TRANSITIONS[1:])
            rows.append({"year": str(year), "model": model, **shares, **of_kinds})
    return pd.DataFrame(rows)


def table1(plans: Sequence[ForecastStudy], folder: Path, workers: int = 2) -> Table1:
    """Trains and forecasts what is not there yet; writes table1.csv, auc.csv, kinds.csv, costs.csv, tables.md and
    table1.png.

    Args:
        plans: Designs (`table1.designs`); what was stopped goes on.
        folder: Of the study.
        workers: Processes, each of which uses one thread.
    """
    run(plans, workers)
    frozen = best(tuned(plans))
    levels, areas, kinds, spent = [], [], [], []
    for plan in plans:
        tables = load(plan.folder / "forecasts")
        spent.append(costs(plan, frozen).reset_index().assign(design=plan.design))
        for population, weighted in POPULATIONS.items():
            of = {"design": plan.design, "population": population}
            chosen = {
                name: [table if weighted else table[table["survivor"]] for table in seeds]
                for name, seeds in tables.items()
            }
            levels.append(perplexities(chosen, plan.budget.draws, weighted).assign(**of))
            areas.append(aucs(chosen, weighted).assign(**of))
            kinds.append(by_kind(chosen, weighted).assign(**of))
    first = ["design", "population"]
    perplexity, auc, of_kinds = (pd.concat(parts).set_index(first).reset_index() for parts in (levels, areas, kinds))
    found = Table1(perplexity, auc, of_kinds, pd.concat(spent).set_index(["design", "model"]))
    for name, frame in (("table1", found.perplexity), ("auc", found.auc), ("kinds", found.kinds)):
        frame.to_csv(folder / f"{name}.csv", index=False)
    found.costs.to_csv(folder / "costs.csv")
    (folder / "tables.md").write_text(page(found) + "\n", encoding="utf-8")
    figure(found.perplexity).savefig(folder / "table1.png", dpi=110)
    return found


def figure(perplexity: pd.DataFrame) -> Figure:
    """Perplexity by year, and differences of log-perplexity from CAREER's, of survivors; a row for each design."""
    from matplotlib.figure import Figure

    rows = perplexity[perplexity["population"] == "survivors"]
    designs = list(rows["design"].unique())
    whole = Figure(figsize=(13, 4.4 * len(designs)), layout="constrained")
    panels = whole.subplots(len(designs), 2, squeeze=False)
    for (left, right), design in zip(panels, designs, strict=True):
        of_design = rows[rows["design"] == design]
        _points(left, of_design, "perplexity", "low", "high")
        left.set(title=title_of(design, "survivors"), ylabel="perplexity (95% intervals)")
        others = of_design[of_design["model"] != BASELINE]
        _points(right, others, "difference", "difference_low", "difference_high", skip=1)
        right.axhline(0, color="black", linewidth=1)
        right.set(title=f"The same, minus {BASELINE}", ylabel="difference of log-perplexity (95% intervals)")
        left.legend(frameon=False, fontsize=8)
    return whole


def _points(axes: Axes, rows: pd.DataFrame, value: str, low: str, high: str, skip: int = 0) -> None:
    """Values of every model with intervals, side by side in each year; CAREER has the first colour."""
    models = sorted(rows["model"].unique(), key=lambda name: (name != BASELINE, name))
    years = [OVERALL, *sorted(set(rows["year"]) - {OVERALL})]
    for i, model in enumerate(models):
        of_model = rows[rows["model"] == model].set_index("year").loc[years]
        place = np.arange(len(years)) + 0.7 * ((i + 0.5) / len(models) - 0.5)
        span = [of_model[value] - of_model[low], of_model[high] - of_model[value]]
        look: dict[str, Any] = {
            "color": COLOURS[(i + skip) % len(COLOURS)],
            "marker": "os"[(i + skip) // len(COLOURS)],
        }
        axes.errorbar(
            place, of_model[value], yerr=span, linestyle="none", capsize=3, markersize=5, label=model, **look
        )
    axes.set_xticks(range(len(years)), years)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _years(table: pd.DataFrame) -> list[Any]:
    """What levels are told for: all years together, and each one."""
    return [OVERALL, *sorted(table["year"].unique())]


def _of_year(table: pd.DataFrame, year: Any) -> pd.DataFrame:
    return table if year == OVERALL else table[table["year"] == year]


def _monte_carlo(seeds: Sequence[pd.DataFrame], weighted: bool) -> float:
    """Standard error of log-perplexity from sampling trajectories, averaged over seeds of independent draws; as if a
    person's errors were the same in all years, which is the most they can add up to."""
    variances = []
    for table in seeds:
        weight = table["weight"].to_numpy() if weighted else np.ones(len(table))
        of_people = (table["log_prob_error"] * weight).groupby(table["person"], observed=True).sum()
        variances.append((of_people**2).sum() / weight.sum() ** 2)
    return float(np.sqrt(np.sum(variances)) / len(variances))
