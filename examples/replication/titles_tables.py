"""What the study of titles found: tables and one figure, from its scores of test careers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from career_hf.careers.frames import load_careers
from career_hf.evaluation.metrics import (
    perplexity_differences as compare,
)
from career_hf.evaluation.metrics import (
    perplexity_differences_by as compare_by,
)
from career_hf.evaluation.metrics import (
    summarize,
)

from .cells import training_log
from .rivals_tables import load
from .titles import CAREER, SHUFFLED, TITLES, VARIANTS, Settings, Source, best, counts_of, run


if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHANCE = "chance"
BINS = 4
COLORS = {TITLES: "#0072B2", SHUFFLED: "#999999", CAREER: "#D55E00"}

Tables = Mapping[str, Sequence[pd.DataFrame]]


@dataclass(frozen=True)
class Found:
    """What the study found.

    Args:
        overall: One row per variant: rate and hours of training; perplexity with low, high (people resampled), seeds
            and seed_sd; difference_from_career of log-perplexity with low_from_career and high_from_career, and the
            same from_shuffled.
        by_count: One row per kind of steps ("all", "moves"), bin of the true occupation's person-years in training and
            variant: n steps; occupations of the bin and their smallest and largest count; difference of log-perplexity
            from that of `against`, CAREER or shuffled titles, with low and high.
        unseen: One row per variant: n moves to occupations whose names were withheld; gain, log-probability of the
            true one among these over chance's, with low and high; mean reciprocal rank, and chance's; and
            difference_from_shuffled with low and high.
    """

    overall: pd.DataFrame
    by_count: pd.DataFrame
    unseen: pd.DataFrame


def titles_tables(folder: Path, source: Source, settings: Settings) -> Found:
    """The tables, from a study that is finished."""
    tables = load(folder / "tables")
    tables = {name: tables[name] for name in VARIANTS}
    unseen = load(folder / "unseen")
    counts = counts_of(load_careers(source.data)["train"])
    return Found(
        _overall(folder, tables, settings),
        _by_count(tables, counts, settings.draws),
        unseen_table({name: unseen[name] for name in VARIANTS}, settings.draws),
    )


def _overall(folder: Path, tables: Tables, settings: Settings) -> pd.DataFrame:
    log = training_log(folder)
    how = {
        name: {
            "rate": best(folder, settings, name).rate,
            "hours": log.loc[log.index.str.startswith(f"{name}, "), "hours"].sum(),
        }
        for name in VARIANTS
    }
    levels = summarize(tables, settings.draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
    differences = [
        compare(tables, choice, settings.draws)[["difference", "low", "high"]].add_suffix(end)
        for choice, end in ((CAREER, "_from_career"), (SHUFFLED, "_from_shuffled"))
    ]
    return pd.DataFrame.from_dict(how, orient="index").rename_axis("model").join([levels, *differences])


def count_bins(counts: Mapping[str, int], bins: int = BINS) -> pd.DataFrame:
    """Occupations in bins of about as many occupations each, by person-years in training.

    Returns:
        By label: bin, 1 for the rarest; occupations, smallest and largest of its bin.
    """
    by_label = pd.Series(counts).sort_values(kind="stable")
    bin_of = pd.Series(1 + np.arange(len(by_label)) * bins // len(by_label), index=by_label.index)
    groups = by_label.groupby(bin_of)
    return pd.DataFrame(
        {
            "bin": bin_of,
            "occupations": groups.transform("size"),
            "smallest": groups.transform("min"),
            "largest": groups.transform("max"),
        }
    )


def _by_count(tables: Tables, counts: Mapping[str, int], draws: int) -> pd.DataFrame:
    bins = count_bins(counts)
    ranges = bins.drop_duplicates("bin").set_index("bin")
    of_label = bins["bin"].to_dict()

    def known(table: pd.DataFrame, moves: bool) -> pd.DataFrame:
        table = table.assign(bin=table["occupation"].astype(str).map(of_label))
        counted = table["bin"].notna()
        return table[counted & table["transition"].isin(["return", "new"]) if moves else counted]

    parts = []
    for steps in ("all", "moves"):
        chosen = {name: [known(table, steps == "moves") for table in seeds] for name, seeds in tables.items()}
        for choice in (CAREER, SHUFFLED):
            part = compare_by(chosen, choice, "bin", draws).reset_index()
            part = part[part["model"] != CAREER]
            parts.append(part.assign(steps=steps, against=choice, bin=part["bin"].astype(int)).join(ranges, on="bin"))
    columns = ["steps", "bin", "occupations", "smallest", "largest"]
    columns += ["model", "against", "n", "difference", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns]


def unseen_table(unseen: Tables, draws: int) -> pd.DataFrame:
    """Choices among occupations whose names were withheld; see `Found.unseen`."""
    first = next(iter(unseen.values()))[0]
    blind = first.assign(log_prob=first["chance"])
    from_chance = compare({**unseen, CHANCE: [blind]}, CHANCE, draws).loc[list(unseen)]
    from_shuffled = compare(unseen, SHUFFLED, draws)
    among = np.rint(np.exp(-first["chance"])).astype(int)
    ranks = {name: np.mean([(1 / table["rank"]).mean() for table in seeds]) for name, seeds in unseen.items()}
    return pd.DataFrame(
        {
            "n": len(first),
            "gain": -from_chance["difference"],
            "low": -from_chance["high"],
            "high": -from_chance["low"],
            "reciprocal_rank": pd.Series(ranks),
            "chance_reciprocal_rank": np.mean([(1 / np.arange(1, k + 1)).mean() for k in among]),
            "difference_from_shuffled": from_shuffled["difference"],
            "difference_low": from_shuffled["low"],
            "difference_high": from_shuffled["high"],
        }
    ).rename_axis("model")


def figure(found: Found) -> Figure:
    """Moves by how often training saw the true occupation, and choices among occupations that it never saw."""
    from matplotlib.figure import Figure

    whole = Figure(figsize=(12, 4.8), layout="constrained")
    left, right = whole.subplots(1, 2, width_ratios=(1.5, 1))
    moves = found.by_count.query("steps == 'moves' and against == @CAREER")
    for shift, (name, rows) in zip((-0.08, 0.08), moves.groupby("model", sort=False), strict=True):
        spans = np.abs(rows[["low", "high"]].to_numpy() - rows[["difference"]].to_numpy()).T
        place = rows["bin"] + shift
        left.errorbar(place, rows["difference"], yerr=spans, fmt="o", capsize=3, color=COLORS[str(name)], label=name)
    ticks = moves.drop_duplicates("bin")
    ranges = zip(ticks["smallest"], ticks["largest"], strict=True)
    left.set_xticks(ticks["bin"], [f"{low:,}-{high:,}" for low, high in ranges])
    left.axhline(0, color="black", linewidth=1)
    left.legend(frameon=False)
    left.set(
        title="Moves: against CAREER without titles; below 0 is better",
        xlabel="person-years of the true occupation in training",
        ylabel="difference of log-perplexity, nats\n(95% intervals by resampling people)",
    )
    for place, (name, row) in enumerate(found.unseen.iterrows()):
        spans = np.abs(row[["low", "high"]].to_numpy(dtype=float) - row["gain"])[:, None]
        right.errorbar(place, row["gain"], yerr=spans, fmt="o", capsize=3, color=COLORS[str(name)])
    right.set_xticks(range(len(found.unseen)), list(found.unseen.index))
    right.axhline(0, color="black", linewidth=1)
    right.margins(x=0.2)
    right.set(title="Choice among occupations never seen", ylabel="nats per move above chance")
    return whole


def titles_study(folder: Path, source: Source, settings: Settings | None = None, workers: int = 2) -> Found:
    """Trains what is not trained yet; writes overall.csv, by_count.csv, unseen.csv and titles.png into the folder.

    Args:
        folder: Of the study; one that was stopped goes on.
        source: Careers and vectors.
        settings: What every variant gets.
        workers: Processes, each of which uses one thread.
    """
    settings = settings or Settings()
    run(folder, source, settings, workers)
    found = titles_tables(folder, source, settings)
    found.overall.to_csv(folder / "overall.csv")
    found.by_count.to_csv(folder / "by_count.csv", index=False)
    found.unseen.to_csv(folder / "unseen.csv")
    figure(found).savefig(folder / "titles.png", dpi=110)
    return found
