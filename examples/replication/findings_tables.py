"""What the study of the paper's findings found: tables from transition tables, and a figure.

A contrast is the mean log-probability of one model minus another's, in nats per step, on the same test steps, averaged
over training seeds; above zero the first model is better. Its interval comes from resampling test people. Its share of
the gap is the contrast over the distance from the tuned first-order Markov chain to the truth, both on those steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from career_hf.evaluation.metrics import INTERVAL, perplexity_by, resampled_nll
from career_hf.simulation.oracles import scores
from career_hf.simulation.world import NOT_WORKING

from .cells import training_log
from .findings import Settings, run


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Tables = dict[str, dict[str, list[pd.DataFrame]]]

CHAIN, PRETRAINED = "Markov-1", "pretrained on resumes"
PRETRAINING_PAYS = "pretraining beats training from scratch"
OMEGA = {"market": 0.0, "resumes half way to another market": 0.5, "resumes of another market": 1.0}
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
# Ticks of an axis that is linear up to .01 and logarithmic beyond.
NATS = (-0.3, -0.1, -0.03, -0.01, 0, 0.01, 0.03, 0.1, 0.3)


@dataclass(frozen=True)
class Contrast:
    """One row of the table of findings.

    Args:
        finding: What is claimed.
        case: Where: the finding itself, or a control in which it must disappear.
        control: Whether it is a control.
        world: Whose test careers.
        better, worse: Models.
        classes: If given, the contrast at steps of the first class minus that at steps of the second.
        given_work: Compare probabilities given that people work, at steps between occupations.
    """

    finding: str
    case: str
    control: bool
    world: str
    better: str
    worse: str
    classes: tuple[str, str] | None = None
    given_work: bool = False

    @property
    def models(self) -> tuple[str, str, str]:
        """World and models."""
        return self.world, self.better, self.worse


def contrasts(settings: Settings) -> list[Contrast]:
    """The findings and their controls."""
    few, many = (f"{people} people" for people in (settings.train_people, max(settings.more_people)))
    two, one = f"two-stage, {few}", f"one-stage, {few}"
    rows = []

    def add(finding: str, *cases: tuple[str, str, str, str], **rest: object) -> None:
        for case, world, better, worse in cases:
            control = not case.startswith("market")
            rows.append(Contrast(finding, case, control, world, better, worse, **rest))  # type: ignore[arg-type]

    add(
        "CAREER beats the Markov chain",
        ("market", "market", two, CHAIN),
        ("only the previous occupation matters", "markov", two, CHAIN),
    )
    add(
        "two stages beat one",
        ("market", "market", two, one),
        ("more people to learn from", "market", f"two-stage, {many}", f"one-stage, {many}"),
        ("after pretraining", "market", PRETRAINED, f"{PRETRAINED}, one-stage"),
        ("nobody stays", "no stays", two, one),
    )
    add(
        PRETRAINING_PAYS,
        ("market", "market", PRETRAINED, two),
        ("resumes half way to another market", "market", "pretrained on resumes, omega .5", two),
        ("resumes of another market", "market", "pretrained on resumes, omega 1", two),
        ("resumes of an unrelated market", "market", "pretrained on unrelated resumes", two),
        ("occupations relabelled", "market", "pretrained on relabelled resumes", two),
        ("occupations shuffled", "market", "pretrained on shuffled resumes", two),
    )
    by_class = [
        ("market", "market", PRETRAINED, two),
        ("no preference for returns", "no returns", "pretrained on resumes, no returns", two),
        ("one latent type", "one type", "pretrained on resumes, one type", two),
    ]
    add("its gain is larger at returns than at new occupations", *by_class, classes=("return", "new"))
    add("its gain is larger at returns than at stays", *by_class, classes=("return", "stay"))
    add(
        "pretrained without fine-tuning is worse than the Markov chain",
        ("market", "market", CHAIN, f"{PRETRAINED}, zero-shot"),
    )
    add(rows[-1].finding, ("between occupations, given work", *rows[-1].models), given_work=True)
    return rows


def load_tables(folder: Path) -> Tables:
    """Transition tables by world and model, one for each seed."""
    paths = sorted((folder / "tables").glob("*/*/*.parquet"))
    tables: Tables = {}
    for path in paths:
        of_world = tables.setdefault(path.parent.parent.name, {})
        of_world.setdefault(path.parent.name, []).append(pd.read_parquet(path))
    return tables


def findings_table(tables: Tables, settings: Settings) -> pd.DataFrame:
    """One row per finding and control: steps, contrast with its interval, sd over seeds, and share of the gap."""
    rows = []
    for contrast in contrasts(settings):
        if contrast.better not in tables[contrast.world] or contrast.worse not in tables[contrast.world]:
            continue
        rows.append(
            {
                "finding": contrast.finding,
                "case": contrast.case,
                "control": contrast.control,
                **_measure(tables[contrast.world], contrast, settings.draws),
            }
        )
    return pd.DataFrame(rows)


def _measure(of_world: dict[str, list[pd.DataFrame]], contrast: Contrast, draws: int) -> dict[str, object]:
    """Numbers of one contrast."""
    kinds = contrast.classes or ("all",)
    names = (contrast.better, contrast.worse, CHAIN, "floor")
    chosen = {name: [_rows(table, contrast) for table in of_world[name]] for name in dict.fromkeys(names)}
    better, worse, chain, floor = (list(chosen).index(name) for name in names)
    steps, estimate, resampled = resampled_nll(chosen, draws, by="kind")
    groups = [steps.index.get_loc(kind) for kind in kinds]

    def gain(nll: np.ndarray) -> np.ndarray:
        """`(..., groups, models)` to the contrast, minus that of the second class where there are two."""
        of_kind = nll[..., groups, worse] - nll[..., groups, better]
        return of_kind[..., 0] - of_kind[..., 1:].sum(axis=-1)

    # The truth and the chains have one table, which meets every seed of the other.
    models = [[resampled_nll({"": table}, 1, by="kind")[1] for table in chosen[names[i]]] for i in (0, 1)]
    pairs = np.broadcast_arrays(*(np.concatenate(of_model, axis=1) for of_model in models))
    by_seed = (pairs[1] - pairs[0])[groups]
    low, high = np.quantile(gain(resampled), INTERVAL)
    measured = {
        "steps": int(steps.iloc[groups].sum()),
        "nats": float(gain(estimate)),
        "low": low,
        "high": high,
        "seed_sd": float(np.std(by_seed[0] - by_seed[1:].sum(axis=0), ddof=1)) if by_seed.shape[1] > 1 else np.nan,
    }
    if contrast.classes is None:
        shares = gain(resampled) / (resampled[:, 0, chain] - resampled[:, 0, floor])
        measured["share_of_gap"] = float(gain(estimate) / (estimate[0, chain] - estimate[0, floor]))
        measured["gap_low"], measured["gap_high"] = np.quantile(shares, INTERVAL)
    return measured


def _rows(table: pd.DataFrame, contrast: Contrast) -> pd.DataFrame:
    """The steps that a contrast is about, with their kind in a column of its own."""
    if contrast.given_work:
        at_work = ~table["occupation"].isin(NOT_WORKING) & ~table["previous"].isin(NOT_WORKING) & (table["step"] > 0)
        table = table[at_work].assign(log_prob=table["log_prob_given_work"])
    if contrast.classes is None:
        return table.assign(kind="all")
    return table[table["transition"].isin(contrast.classes)].assign(kind=lambda rows: rows["transition"].astype(str))


def models_table(tables: Tables, settings: Settings) -> pd.DataFrame:
    """Every model of every world beside the floor: `oracles.scores`, and perplexity by kind of step."""
    rows = []
    for world, of_world in tables.items():
        others = {name: of_model for name, of_model in of_world.items() if name not in ("floor", CHAIN)}
        scored = scores(others, of_world["floor"][0], of_world[CHAIN][0], draws=settings.draws)
        scored = scored.rename(index={"markov": CHAIN})
        for name in scored.index:
            of_model = of_world[name]
            mean = of_model[0].assign(log_prob=np.mean([table["log_prob"] for table in of_model], axis=0))
            by_kind = perplexity_by(mean, "transition")["perplexity"]
            rows.append({"world": world, "model": name, **scored.loc[name], **by_kind})
    return pd.DataFrame(rows).astype({"seeds": int})


def break_even(found: pd.DataFrame) -> float:
    """The omega at which pretraining stops paying, interpolated; null if it pays at every omega that was run."""
    gains = found[found["finding"].eq(PRETRAINING_PAYS) & found["case"].isin(OMEGA)].set_index("case")["nats"]
    omegas = np.array([OMEGA[case] for case in gains.index])
    below = np.flatnonzero(gains.to_numpy() <= 0)
    if not len(below):
        return np.nan
    i = below[0]
    if i == 0:
        return float(omegas[0])
    left, right = gains.iloc[i - 1], gains.iloc[i]
    return float(omegas[i - 1] + (omegas[i] - omegas[i - 1]) * left / (left - right))


def worth_in_people(models: pd.DataFrame, settings: Settings) -> float:
    """Survey people with which training from scratch reaches what pretraining reaches with `train_people`.

    Log-perplexity is interpolated in the logarithm of people; null beyond the samples that were run.
    """
    market = models[models["world"] == "market"].set_index("model")["difference"]
    people = np.array(sorted({settings.train_people, *settings.more_people}))
    excess = np.array([market[f"two-stage, {n} people"] for n in people])
    reached = market[PRETRAINED]
    if not excess.min() <= reached <= excess.max():
        return np.nan
    # np.interp wants rising x; excess falls with people.
    return float(np.exp(np.interp(-reached, -excess, np.log(people))))


def findings_figure(found: pd.DataFrame, models: pd.DataFrame, settings: Settings) -> Figure:
    """Four panels: models beside the floor, the dose-response, people beside resumes, and findings beside controls."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 11), layout="constrained")
    panels = figure.subplot_mosaic([["models", "dose", "people"], ["findings"] * 3], height_ratios=(1, 1.3))
    market = models[models["world"] == "market"]
    _plot_models(panels["models"], market)
    _plot_dose(panels["dose"], found)
    _plot_people(panels["people"], market.set_index("model"), settings)
    _plot_findings(panels["findings"], found)
    return figure


def _plot_models(axes: Axes, market: pd.DataFrame) -> None:
    shown = market[~market["model"].str.contains("zero-shot|omega|unrelated|relabelled|shuffled|floor")]
    shown = shown.sort_values("ratio", ascending=False)
    span = np.abs(np.exp(shown[["low", "high"]].to_numpy().T) - shown["ratio"].to_numpy())
    axes.errorbar(shown["ratio"], shown["model"], xerr=span, fmt="o", capsize=3, color=BLUE)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(title="Perplexity over that of the truth", xlabel="ratio to the floor (95% intervals)")


def _plot_findings(axes: Axes, found: pd.DataFrame) -> None:
    rows = found.iloc[::-1]
    for control, color, label in ((False, BLUE, "finding"), (True, ORANGE, "control")):
        here = (rows["control"] == control).to_numpy()
        place = np.flatnonzero(here)
        span = np.abs(rows.loc[here, ["low", "high"]].to_numpy().T - rows.loc[here, "nats"].to_numpy())
        axes.errorbar(rows.loc[here, "nats"], place, xerr=span, fmt="o", capsize=3, color=color, label=label)
    labels = [row.case if row.control else row.finding for row in rows.itertuples()]
    axes.set_yticks(range(len(rows)), labels, fontsize=9)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_xticks(NATS, [f"{nats:g}" for nats in NATS])
    axes.grid(axis="x", alpha=0.3)
    axes.set(
        title="Findings in the market, and controls in which each must disappear",
        xlabel="nats per step (95% intervals)",
    )
    axes.legend(loc="upper left")


def _plot_dose(axes: Axes, found: pd.DataFrame) -> None:
    rows = found[found["finding"].eq(PRETRAINING_PAYS)].set_index("case")
    dose = rows.loc[[case for case in OMEGA if case in rows.index]]
    span = np.abs(dose[["low", "high"]].to_numpy().T - dose["nats"].to_numpy())
    axes.errorbar([OMEGA[case] for case in dose.index], dose["nats"], yerr=span, fmt="o-", capsize=3, color=BLUE)
    controls = ("resumes of an unrelated market", "occupations relabelled", "occupations shuffled")
    for case, color in zip(controls, (GREEN, ORANGE, GREY), strict=True):
        if case in rows.index:
            axes.axhline(rows.loc[case, "nats"], color=color, linestyle="--", label=case)
            axes.axhspan(rows.loc[case, "low"], rows.loc[case, "high"], color=color, alpha=0.2)
    axes.axhline(0, color="black", linewidth=1)
    axes.set(
        title="Gain from pretraining",
        xlabel="omega: resumes of the same market (0) or another (1)",
        ylabel="nats per step over training from scratch",
    )
    axes.legend()


def _plot_people(axes: Axes, market: pd.DataFrame, settings: Settings) -> None:
    people = sorted({settings.train_people, *settings.more_people})
    scratch = market.loc[[f"two-stage, {n} people" for n in people]]
    span = np.abs(scratch[["low", "high"]].to_numpy().T - scratch["difference"].to_numpy())
    axes.errorbar(people, scratch["difference"], yerr=span, fmt="o-", capsize=3, color=BLUE, label="from scratch")
    pretrained = market.loc[PRETRAINED]
    axes.axhline(pretrained["difference"], color=ORANGE, label=f"pretrained, {settings.train_people:,} survey people")
    axes.axhspan(pretrained["low"], pretrained["high"], color=ORANGE, alpha=0.2)
    axes.set_xscale("log", base=2)
    axes.set_xticks(people, [f"{n:,}" for n in people])
    axes.set(title="Resumes or more survey people", xlabel="survey people", ylabel="nats per step above the truth")
    axes.legend()


@dataclass(frozen=True)
class Findings:
    """What was found.

    Args:
        findings: One row per finding and control.
        models: One row per model and world.
        summary: The omega at which pretraining stops paying, its worth in survey people, and what training took.
    """

    findings: pd.DataFrame
    models: pd.DataFrame
    summary: pd.Series


def findings(folder: Path, settings: Settings | None = None, workers: int = 2) -> Findings:
    """Trains what is not trained yet, and writes findings.csv, models.csv and findings.png into the folder.

    Args:
        folder: Of the study; one that was stopped goes on.
        settings: Sizes; the defaults take under an hour on two cores.
        workers: Processes, each of which uses one thread.
    """
    settings = settings or Settings()
    run(folder, settings, workers)
    tables = load_tables(folder)
    found, models = findings_table(tables, settings), models_table(tables, settings)
    found.to_csv(folder / "findings.csv", index=False)
    models.to_csv(folder / "models.csv", index=False)
    findings_figure(found, models, settings).savefig(folder / "findings.png", dpi=110)
    summary = {
        "break-even omega": break_even(found),
        "pretraining is worth so many survey people": worth_in_people(models, settings),
        "hours of training, one core": training_log(folder)["hours"].sum(),
    }
    return Findings(found, models, pd.Series(summary, name="summary"))
