"""What the study of ablations found: one table and one figure, from its transition tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from transformers import AutoModelForCausalLM

from career_hf.evaluation.metrics import perplexity_differences as compare
from career_hf.evaluation.metrics import ranking, summarize

from .ablations import CAREER, CHOICES, VARIANTS, Settings, best, run
from .cells import training_log
from .rivals_tables import load


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Tables = Mapping[str, Sequence[pd.DataFrame]]

COLORS = dict(zip(CHOICES, ("#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#555555"), strict=True))


def ablations_table(folder: Path, tables: Tables, settings: Settings) -> pd.DataFrame:
    """One row per variant.

    Returns:
        group; parameters; rate (the best trial's); hours (of all its training, one core); choice (what the paper chose
        in the group); perplexity with low, high (people resampled), seeds and seed_sd; differences of log-perplexity
        from CAREER and from the group's choice, with intervals; perplexity of stay, return and new; moving (area under
        the ROC curve); and `ranking` of the true occupation at known moves alone, among occupations other than the
        previous one: top-1, top-5 and top-10 accuracy, mean reciprocal rank and mean rank.
    """
    tables = {name: tables[name] for name in VARIANTS}
    log, rows = training_log(folder), {}
    for name, variant in VARIANTS.items():
        chosen = best(folder, settings, name)
        rows[name] = {
            "group": variant.group,
            "parameters": AutoModelForCausalLM.from_pretrained(folder / "models" / chosen.folder).num_parameters(),
            "rate": chosen.rate,
            "hours": log.loc[log.index.str.startswith(f"{name}, "), "hours"].sum(),
            "choice": CHOICES[variant.group],
        }
    found = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    summary = summarize(tables, settings.draws).rename(columns={"stay_auc": "moving"})
    levels = summary[["perplexity", "low", "high", "seeds", "seed_sd"]]
    wanted = ["difference", "low", "high"]
    differences = {choice: compare(tables, choice, settings.draws)[wanted] for choice in found["choice"].unique()}
    from_choice = pd.DataFrame([differences[choice].loc[name] for name, choice in found["choice"].items()])
    of_kind = summary[["stay", "return", "new", "moving"]]
    ranks = pd.DataFrame({name: _ranks_of_moves(of_model) for name, of_model in tables.items()}).T
    from_career = differences[CAREER].add_suffix("_from_career")
    return found.join([levels, from_career, from_choice.add_suffix("_from_choice"), of_kind, ranks])


def _ranks_of_moves(of_model: Sequence[pd.DataFrame]) -> pd.Series:
    """Averages over seeds of `ranking` at known moves, where to stay is not among what is ranked."""
    seeds = []
    for table in of_model:
        moves = table[table["transition"].isin(["return", "new"])]
        behind = moves["p_stay"] > np.exp(moves["log_prob"])
        seeds.append(ranking(moves.assign(rank=moves["rank"] - behind, p_stay=0.0)))
    return pd.DataFrame(seeds).mean()


def figure(found: pd.DataFrame) -> Figure:
    """Differences from what the paper chose in each group, and perplexity by number of parameters."""
    from matplotlib.figure import Figure

    whole = Figure(figsize=(14, 6), layout="constrained")
    left, right = whole.subplots(1, 2, width_ratios=(1.2, 1))
    _plot_differences(left, found)
    _plot_sizes(right, found)
    return whole


def _plot_sizes(axes: Axes, found: pd.DataFrame) -> None:
    for group in ("size", "NEMO", "bag of jobs"):
        choice = CHOICES[group]
        family = choice.split(", ")[0]
        rows = found[(found["group"] == group) | (found.index == choice)]
        axes.plot(rows["parameters"], rows["perplexity"], "o", color=COLORS[group], label=family)
        for name, row in rows.iterrows():
            # Six layers are beside CAREER and have their label above.
            offset = -12 if name == CAREER else 5
            axes.annotate(
                str(name).removeprefix(f"{family}, "),
                (row["parameters"], row["perplexity"]),
                xytext=(0, offset),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    axes.margins(x=0.2)
    axes.set_xscale("log")
    axes.set(title="Perplexity by size", xlabel="parameters", ylabel="test perplexity")
    axes.legend()


def _plot_differences(axes: Axes, found: pd.DataFrame) -> None:
    rows = found[found.index != found["choice"]].iloc[::-1]
    for place, (_, row) in enumerate(rows.iterrows()):
        middle, color = row["difference_from_choice"], COLORS[row["group"]]
        span = np.abs(row[["low_from_choice", "high_from_choice"]].to_numpy(dtype=float) - middle)
        axes.errorbar(middle, place, xerr=span[:, None], fmt="o", capsize=3, color=color)
    axes.set_yticks(
        range(len(rows)), [f"{name} (against {row['choice']})" for name, row in rows.iterrows()], fontsize=8
    )
    axes.axvline(0, color="black", linewidth=1)
    axes.set(
        title="Against what the paper chose; right of 0 is worse",
        xlabel="difference of log-perplexity, nats per step (95% intervals by resampling people)",
    )


def ablations(
    folder: Path, data: Path, covariates: Sequence[str], settings: Settings | None = None, workers: int = 2
) -> pd.DataFrame:
    """Trains what is not trained yet; writes ablations.csv and ablations.png into the folder, and returns the table.

    Args:
        folder: Of the study; one that was stopped goes on.
        data: Folder of careers in splits.
        covariates: Of every variant that has covariates.
        settings: What every variant gets.
        workers: Processes, each of which uses one thread.
    """
    settings = settings or Settings()
    run(folder, data, covariates, settings, workers)
    found = ablations_table(folder, load(folder / "tables"), settings)
    found.to_csv(folder / "ablations.csv")
    figure(found).savefig(folder / "ablations.png", dpi=110)
    return found
