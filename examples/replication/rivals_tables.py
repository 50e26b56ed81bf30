"""Tables and figures of the study of rivals, from its transition tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from career_hf.evaluation.metrics import (
    first_as_new,
    mean_over_seeds,
    perplexity,
    perplexity_by,
    stay_auc,
    summarize,
)
from career_hf.evaluation.metrics import (
    perplexity_differences as compare,
)
from career_hf.evaluation.report import accuracy, calibration, perplexity_in_groups
from career_hf.figures.evaluation import plot_levels, plot_steps, plot_transitions

from .cells import training_log
from .rivals import CAREER, FLOOR, TREES, Study, Trial, best, run, trials
from .rivals_page import Rivals, page


if TYPE_CHECKING:
    from matplotlib.figure import Figure

Tables = Mapping[str, Sequence[pd.DataFrame]]

BASELINE = f"{CAREER}, two stages"
MARKOV = "Markov chain, order 1"
# Figure 4: from the eleventh year on, careers are few.
LONGEST = 15


def load(folder: Path) -> dict[str, list[pd.DataFrame]]:
    """Transition tables by model, one for each seed.

    Args:
        folder: `tables` or `groups` of a study.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(folder.glob("*/*.parquet")):
        tables.setdefault(path.parent.name, []).append(pd.read_parquet(path))
    return tables


def figure_2a(tables: Tables, draws: int) -> pd.DataFrame:
    """Perplexity of every model with its interval, and its difference from two-stage CAREER's.

    `per_person` is perplexity with every person counting alike, and `weighted`, where there are survey weights, with
    everybody's weight. Where the truth is, `over_floor` is perplexity over its, and `gap_closed` the share of
    log-perplexity between the first-order Markov chain and the truth that a model gains.
    """
    levels = summarize(tables, draws)[["perplexity", "low", "high", "seeds", "seed_sd"]]
    compared = compare(tables, BASELINE, draws)[["ratio", "difference", "low", "high"]]
    found = levels.join(compared, suffixes=("", "_of_difference"))
    counted: dict[str, dict[str, bool]] = {"per_person": {"per_person": True}}
    if all(table["weight"].notna().all() for of_model in tables.values() for table in of_model):
        counted["weighted"] = {"weighted": True}
    for name, how in counted.items():
        logs = {model: np.mean([np.log(perplexity(table, **how)) for table in of]) for model, of in tables.items()}
        found[name] = np.exp(pd.Series(logs))
    found = found.sort_values("perplexity", ascending=False)
    if FLOOR in found.index:
        found["over_floor"] = found["perplexity"] / found.loc[FLOOR, "perplexity"]
        below_chain = np.log(found.loc[MARKOV, "perplexity"] / found["perplexity"])
        found["gap_closed"] = below_chain / below_chain[FLOOR]
    return found


def table_4(tables: Tables, groups: Tables) -> pd.DataFrame:
    """Perplexity by kind of step, on several cuts of the same rows, since much measured mobility is coding noise.

    Args:
        tables: Of occupations.
        groups: Of broad groups of occupations, whose stays, returns and new entries are those of groups; may be empty.

    Returns:
        One row per cut and model: n and perplexity of stay, return and new. Cuts: all steps, with first occupations
        among the new ones as in the paper; without them; without steps at which the coding scheme changed; gaps of one
        year; returns that are not A-B-A, and those that are; and the broad groups. Perplexity is null where there are
        no steps.
    """
    cuts = {
        "as in the paper": lambda table: first_as_new(table),
        "from the second step on": lambda table: table[table["step"] > 0],
        "same coding scheme": lambda table: table[(table["step"] > 0) & ~table["coding_changed"]],
        "gaps of one year": _one_year,
        "without A-B-A": _without_aba,
        "A-B-A alone": lambda table: table[table["aba"]],
    }
    rows = []
    of_cut = [(cut, take, tables) for cut, take in cuts.items()]
    of_cut.append(("broad groups", cuts["from the second step on"], groups))
    for cut, take, source in of_cut:
        for model, of_model in source.items():
            kinds = perplexity_by(take(mean_over_seeds(of_model)), "transition")
            of_kind = {kind: kinds["perplexity"].get(kind, np.nan) for kind in ("stay", "return", "new")}
            counts = {f"n_{kind}": kinds["n"].get(kind, 0) for kind in ("stay", "return", "new")}
            rows.append({"cut": cut, "model": model, **of_kind, **counts})
    return pd.DataFrame(rows)


def table_5(tables: Tables, groups: Tables) -> pd.DataFrame:
    """Areas under the ROC curve of moving and of entering states without work, how high the truth ranks, calibration.

    As in `evaluation_report.accuracy`; moving also on the cuts of Table 4, and out of the broad group. Expected
    calibration errors are of the probability of staying and of the likeliest occupation's.

    Args:
        tables, groups: As in `table_4`.
    """
    found = accuracy(tables)
    cuts: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], Tables]] = {
        "same coding scheme": (lambda table: table[~table["coding_changed"]], tables),
        "gaps of one year": (_one_year, tables),
        "without A-B-A": (_without_aba, tables),
        "broad groups": (lambda table: table, groups),
    }
    for place, (cut, (take, source)) in enumerate(cuts.items(), start=1):
        if source:
            aucs = {model: np.mean([stay_auc(take(table)) for table in seeds]) for model, seeds in source.items()}
            found.insert(place, f"moving, {cut}", pd.Series(aucs))
    return found.join(calibration(tables)[["stay_ece", "top_ece"]])


def table_8(tables: Tables, draws: int) -> pd.DataFrame:
    """What two stages gain over one, for models that have both: difference of log-perplexity, below 0 for a gain."""
    rows = {}
    for name in tables:
        one = name.replace("two stages", "one stage")
        if one != name and one in tables:
            found = compare({"one": tables[one], "two": tables[name]}, "one", draws)
            rows[name.replace(", two stages", "")] = {
                "one stage": found.loc["one", "perplexity"],
                "two stages": found.loc["two", "perplexity"],
                **found.loc["two", ["difference", "low", "high"]],
            }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def figure_4(tables: Tables) -> pd.DataFrame:
    """Perplexity by how many occupations came before, one row per model and step."""
    rows = []
    for model, of_model in tables.items():
        by_step = perplexity_by(mean_over_seeds(of_model), "step")
        rows.append(by_step[by_step.index < LONGEST].reset_index().assign(model=model))
    return pd.concat(rows, ignore_index=True)


def costs(study: Study, frozen: Sequence[Trial]) -> pd.DataFrame:
    """Trials of every model, updates and hours of all its training, further seeds included, and what was chosen, with
    its log-perplexity on validation careers (first seed).

    Args:
        study: Whose models they are; trials that it did not run are not counted.
        frozen: What was chosen.
    """
    log = training_log(study.folder)
    planned = [trial for trial in trials(study) if trial.folder in log.index]
    rows = {}
    for chosen in frozen:
        mine = log[log.index.str.startswith(f"{chosen.name}, ")]
        rows[chosen.name] = {
            "trials": sum(trial.name == chosen.name for trial in planned),
            "updates": mine["updates"].sum(),
            "hours": mine["hours"].sum(),
            "validation": log.loc[chosen.folder, "best"],
            "rate": chosen.rate,
            **chosen.fields,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def costs_of_trees(study: Study) -> pd.DataFrame:
    """The same for the two parts of boosted trees, whose updates are iterations."""
    rows = {}
    for part, tried in pd.read_csv(study.folder / f"{TREES}.csv").groupby("part", sort=False):
        likeliest = tried.loc[tried["nll"].idxmin()]
        rows[f"{TREES}, to {part}"] = {
            "trials": len(tried),
            "updates": tried["iterations"].sum(),
            "hours": tried["hours"].sum(),
            "rate": likeliest["learning_rate"],
            **likeliest[["max_leaf_nodes", "l2_regularization"]],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def figure(tables: Tables, draws: int) -> Figure:
    """Figure 2a, Table 4 and Figure 4 as three panels."""
    from matplotlib.figure import Figure

    whole = Figure(figsize=(17, 6), layout="constrained")
    left, middle, right = whole.subplots(1, 3, width_ratios=(1.2, 1, 1))
    levels = figure_2a(tables, draws)
    plot_levels(left, levels, highlight=[name for name in levels.index if name.startswith(CAREER)])
    two_stage = {name.rpartition(",")[0]: of for name, of in tables.items() if name.endswith("two stages")}
    later = {name: [table[table["step"] > 0] for table in of] for name, of in two_stage.items()}
    plot_transitions(middle, perplexity_in_groups(later, "transition", CAREER, draws), CAREER)
    plot_steps(right, perplexity_in_groups(two_stage, "step", CAREER, draws), highlight=[CAREER])
    right.set_yscale("log")
    return whole


def _without_aba(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["step"] > 0) & ~table["aba"]]


def _one_year(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["gap_years"] == 1).fillna(False)]


def rivals(study: Study, workers: int = 2) -> Rivals:
    """Trains what is not trained yet; writes each table as CSV, all as tables.md, and rivals.png.

    Args:
        study: What is compared; one that was stopped goes on.
        workers: Processes, each of which uses one thread.
    """
    run(study, workers)
    folder, draws = study.folder, study.budget.draws
    tables, groups = load(folder / "tables"), load(folder / "groups")
    found = Rivals(
        figure_2a(tables, draws),
        table_4(tables, groups),
        table_5(tables, groups),
        table_8(tables, draws),
        figure_4(tables),
        pd.concat([costs(study, best(study)), costs_of_trees(study)]),
    )
    for name, table in vars(found).items():
        table.to_csv(folder / f"{name}.csv", index=name not in ("table_4", "figure_4"))
    (folder / "tables.md").write_text(page(found) + "\n", encoding="utf-8")
    figure(tables, draws).savefig(folder / "rivals.png", dpi=110)
    return found
