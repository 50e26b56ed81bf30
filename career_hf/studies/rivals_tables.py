"""Tables and figures of the study of rivals, from its transition tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..evaluation import compare, entry_auc, first_as_new, perplexity_by, ranking, stay_auc, summarize
from .cells import training_log
from .rivals import CAREER, Budget, best, run, trials


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Tables = Mapping[str, Sequence[pd.DataFrame]]

BASELINE = f"{CAREER}, two stages"
# Figure 4: from the eleventh year on, careers are few.
LONGEST = 15


def load(folder: Path) -> dict[str, list[pd.DataFrame]]:
    """Transition tables by model, one for each seed."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for path in sorted((folder / "tables").glob("*/*.parquet")):
        tables.setdefault(path.parent.name, []).append(pd.read_parquet(path))
    return tables


def figure_2a(tables: Tables, draws: int) -> pd.DataFrame:
    """Perplexity of every model with its interval, and its difference from two-stage CAREER's with another."""
    levels = summarize(tables, draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
    differences = compare(tables, BASELINE, draws)[["ratio", "difference", "low", "high"]]
    return levels.join(differences, rsuffix="_of_difference").sort_values("perplexity", ascending=False)


def table_4(tables: Tables) -> pd.DataFrame:
    """Perplexity by kind of step, on several cuts of the same rows, since much measured mobility is coding noise.

    Returns:
        One row per cut and model: n and perplexity of stay, return and new. Cuts: all steps, with first occupations
        among the new ones as in the paper; without them; without steps at which the coding scheme changed; gaps of one
        year; and returns that are not A-B-A.
    """
    cuts = {
        "as in the paper": lambda table: first_as_new(table),
        "from the second step on": lambda table: table[table["step"] > 0],
        "same coding scheme": lambda table: table[(table["step"] > 0) & ~table["coding_changed"]],
        "gaps of one year": lambda table: table[(table["gap_years"] == 1).fillna(False)],
        "without A-B-A": lambda table: table[(table["step"] > 0) & ~table["aba"]],
    }
    rows = []
    for cut, take in cuts.items():
        for model, of_model in tables.items():
            kinds = perplexity_by(take(_mean(of_model)), "transition")
            of_kind = {kind: kinds["perplexity"].get(kind, np.nan) for kind in ("stay", "return", "new")}
            counts = {f"n_{kind}": kinds["n"].get(kind, 0) for kind in ("stay", "return", "new")}
            rows.append({"cut": cut, "model": model, **of_kind, **counts})
    return pd.DataFrame(rows)


def table_5(tables: Tables) -> pd.DataFrame:
    """Areas under the ROC curve of moving, and of entering states without work; then how high the truth ranks."""
    rows = {}
    for model, of_model in tables.items():
        watched = [name[2:-1] for name in of_model[0].columns if name.startswith("p(")]
        entries = {f"entering {label}": np.mean([entry_auc(t, label) for t in of_model]) for label in watched}
        ranks = pd.DataFrame([ranking(table) for table in of_model]).mean().to_dict()
        rows[model] = {"moving": np.mean([stay_auc(table) for table in of_model]), **entries, **ranks}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def table_8(tables: Tables, draws: int) -> pd.DataFrame:
    """What two stages gain over one, for models that have both: difference of log-perplexity, below 0 for a gain."""
    rows = {}
    for name in tables:
        rival, _, stages = name.rpartition(", ")
        one = f"{rival}, one stage"
        if stages == "two stages" and one in tables:
            found = compare({"one": tables[one], "two": tables[name]}, "one", draws)
            rows[rival] = {
                "one stage": found.loc["one", "perplexity"],
                "two stages": found.loc["two", "perplexity"],
                **found.loc["two", ["difference", "low", "high"]],
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def figure_4(tables: Tables) -> pd.DataFrame:
    """Perplexity by how many occupations came before, one row per model and step."""
    rows = []
    for model, of_model in tables.items():
        by_step = perplexity_by(_mean(of_model), "step")
        rows.append(by_step[by_step.index < LONGEST].reset_index().assign(model=model))
    return pd.concat(rows, ignore_index=True)


def costs(folder: Path, budget: Budget) -> pd.DataFrame:
    """Trials of every model, and updates and hours of all its training, further seeds included."""
    planned = trials(budget)
    log = training_log(folder)
    rows = {}
    for chosen in best(folder, budget):
        mine = log[log.index.str.startswith(f"{chosen.name}, ")]
        rows[chosen.name] = {
            "trials": sum(trial.name == chosen.name for trial in planned),
            "updates": mine["updates"].sum(),
            "hours": mine["hours"].sum(),
            "rate": chosen.rate,
            **chosen.size,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def figure(tables: Tables, draws: int) -> Figure:
    """Figure 2a, Table 4 and Figure 4 as three panels."""
    from matplotlib.figure import Figure

    whole = Figure(figsize=(15, 5.5), layout="constrained")
    left, middle, right = whole.subplots(1, 3, width_ratios=(1.2, 1, 1))
    _plot_levels(left, figure_2a(tables, draws))
    two_stage = {name.rpartition(",")[0]: of for name, of in tables.items() if name.endswith("two stages")}
    _plot_kinds(middle, table_4(two_stage))
    for model, rows in figure_4(two_stage).groupby("model", sort=False):
        strong = model == CAREER
        right.plot(
            rows["step"] + 1, rows["perplexity"], label=model, linewidth=2.5 if strong else 1, zorder=2 + strong
        )
    right.set_yscale("log")
    right.set(title="Perplexity by year of the career (two stages)", xlabel="observation", ylabel="perplexity")
    right.legend(fontsize=8)
    return whole


def _plot_levels(axes: Axes, levels: pd.DataFrame) -> None:
    span = np.abs(levels[["low", "high"]].to_numpy().T - levels["perplexity"].to_numpy())
    colors = ["#D55E00" if name.startswith(CAREER) else "#0072B2" for name in levels.index]
    for place, (name, color) in enumerate(zip(levels.index, colors, strict=True)):
        bar = span[:, [place]]
        axes.errorbar(levels.loc[name, "perplexity"], place, xerr=bar, fmt="o", capsize=3, color=color)
    axes.set_yticks(range(len(levels)), levels.index, fontsize=8)
    axes.set(title="Test perplexity, lower is better", xlabel="perplexity (95% intervals by resampling people)")


def _plot_kinds(axes: Axes, kinds: pd.DataFrame) -> None:
    rows = kinds[kinds["cut"] == "from the second step on"].set_index("model")[["stay", "return", "new"]]
    relative = (rows / rows.loc[CAREER]).T
    for model in relative.columns.drop(CAREER):
        axes.plot(relative.index, relative[model], "o-", label=model)
    axes.axhline(1, color="black", linewidth=1)
    axes.set(title="Perplexity over CAREER's, by kind of step (two stages)", ylabel="ratio")
    axes.legend(fontsize=8)


def _mean(of_model: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """A model's table with log-probabilities averaged over seeds."""
    return of_model[0].assign(log_prob=np.mean([table["log_prob"] for table in of_model], axis=0))


@dataclass(frozen=True)
class Rivals:
    """What the study found, by the paper's numbers."""

    figure_2a: pd.DataFrame
    table_4: pd.DataFrame
    table_5: pd.DataFrame
    table_8: pd.DataFrame
    figure_4: pd.DataFrame
    costs: pd.DataFrame


def rivals(folder: Path, data: Path, covariates: list[str], budget: Budget | None = None, workers: int = 2) -> Rivals:
    """Trains what is not trained yet; writes each table as CSV, and rivals.png, into the folder.

    Args:
        folder: Of the study; one that was stopped goes on.
        data: Folder of careers in splits.
        covariates: Of every model that has covariates.
        budget: What every trained model gets.
        workers: Processes, each of which uses one thread.
    """
    budget = budget or Budget()
    run(folder, data, covariates, budget, workers)
    tables = load(folder)
    found = Rivals(
        figure_2a(tables, budget.draws),
        table_4(tables),
        table_5(tables),
        table_8(tables, budget.draws),
        figure_4(tables),
        costs(folder, budget),
    )
    for name, table in vars(found).items():
        table.to_csv(folder / f"{name}.csv", index=name not in ("table_4", "figure_4"))
    figure(tables, budget.draws).savefig(folder / "rivals.png", dpi=110)
    return found
