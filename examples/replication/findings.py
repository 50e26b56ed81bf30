"""The paper's findings on the simulated market, each beside a control in which it must disappear.

A finding that the law of the market builds in would be true by construction. So every comparison is made again where
its cause is taken away: in a world without returns, after pretraining on a corpus whose occupations are shuffled, on
resumes from another labor market. Models of one world are trained with the same seeds on the same people and scored on
the same test steps, beside the true probabilities of those steps.

A contrast is the mean log-probability of one model minus another's, in nats per step, on the same test steps, averaged
over training seeds; above zero the first model is better. Its interval comes from resampling test people. Its share of
the gap is the contrast over the distance from the tuned first-order Markov chain to the truth, both on those steps.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from datasets import Dataset
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from transformers import PreTrainedModel

from career_hf.careers.columns import career_table, list_lengths, list_values, make_dataset
from career_hf.cli.console import show
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.changed_predictions import changed_predictions
from career_hf.evaluation.metrics import cluster_counts_by, perplexity_by, resampled_nll
from career_hf.evaluation.resampling import interval
from career_hf.evaluation.transition_table import transition_table
from career_hf.models.two_stage import IMPOSSIBLE
from career_hf.simulation import ResumeConfig, World, load_resumes, write_resumes
from career_hf.simulation.oracles import scores
from career_hf.simulation.presets import CONTROLS, NO_HISTORY, Preset
from career_hf.simulation.world import NOT_WORKING
from career_hf.training.cells import run_jobs, training_log

from .study import Job, Output, Seeds, Study, StudyResult, Workers, load_tables, studies, whiskers, write_table
from .survey import (
    SurveySettings,
    carry_over,
    fine_tune,
    keep_survey,
    pretrain,
    references,
    split_survey,
    train_from_scratch,
)


# Worlds that surveys are drawn from. Each but the first takes one thing away from it.
WORLDS: dict[str, dict[str, Any]] = {
    "market": {},
    "no returns": CONTROLS["no_returns"],
    "one type": CONTROLS["one_type"],
    # Only the previous occupation matters, so there is nothing that a chain cannot know.
    "markov": CONTROLS["markov"],
    # Everybody moves, so there is nothing for a first stage to know.
    "no stays": {"stay_occupation": -30.0, "stay_unemployed": -30.0, "stay_out": -30.0, "stay_school": -30.0},
}
# Corpora to pretrain on for the survey of a world: changes of the resumes' world, and what is done to occupations.
CORPORA: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "resumes": ("market", {}, None),
    "resumes, omega .5": ("market", {"departure": 0.5}, None),
    "resumes, omega 1": ("market", {"departure": 1.0}, None),
    # Another market without anything that makes careers more than a chain.
    "unrelated resumes": ("market", {"departure": 1.0, "seed": 1, **NO_HISTORY}, None),
    "relabelled resumes": ("market", {}, "relabelled"),
    "shuffled resumes": ("market", {}, "shuffled"),
    "resumes, no returns": ("no returns", {}, None),
    "resumes, one type": ("one type", {}, None),
}
CHAIN, PRETRAINED = "Markov-1", "pretrained on resumes"
PRETRAINING_PAYS = "pretraining beats training from scratch"
OMEGA = {"market": 0.0, "resumes half way to another market": 0.5, "resumes of another market": 1.0}
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
# Ticks of an axis that is linear up to .01 and logarithmic beyond.
NATS = (-0.3, -0.1, -0.03, -0.01, 0, 0.01, 0.03, 0.1, 0.3)

# Transition tables by world and model, one for each seed.
WorldTables = dict[str, dict[str, list[pd.DataFrame]]]


@dataclass(frozen=True, kw_only=True)
class FindingsSettings(SurveySettings):
    """Sizes of the study; rates were chosen on validation careers. The rest as in `SurveySettings`.

    Args:
        more_people: Larger training samples that contain the others, to compare with pretraining.
        resumes: Size of each corpus.
        scratch_rate, finetuning_rate: Peak learning rates.
    """

    more_people: tuple[int, ...] = (4_000, 8_000)
    resumes: int = 20_000
    scratch_rate: float = 2e-3
    finetuning_rate: float = 5e-4

    def preset(self, world: str, **changes: Any) -> Preset:
        """The survey of a world, at these sizes."""
        return self.market(**(WORLDS[world] | changes))

    @property
    def pool(self) -> int:
        """People to choose training samples from."""
        return max(self.train_people, *self.more_people)


@dataclass(frozen=True)
class FindingsCell:
    """One CAREER model: its survey's world, training people, corpus if it is pretrained, stages and seed."""

    world: str
    people: int
    seed: int
    corpus: str | None = None
    two_stage: bool = True

    @property
    def model(self) -> str:
        """The model's name in tables."""
        if self.corpus is None:
            return f"{'two' if self.two_stage else 'one'}-stage, {self.people} people"
        return f"pretrained on {self.corpus}{'' if self.two_stage else ', one-stage'}"


def cells(settings: FindingsSettings) -> list[FindingsCell]:
    """Every model that is trained, the costliest first."""
    seeds, few = range(settings.seeds), settings.train_people
    pretrained = [FindingsCell(CORPORA[corpus][0], few, seed, corpus) for corpus in CORPORA for seed in seeds]
    pretrained += [FindingsCell("market", few, seed, "resumes", two_stage=False) for seed in seeds]
    more = [
        FindingsCell("market", people, seed) for people in sorted(settings.more_people, reverse=True) for seed in seeds
    ]
    scratch = [FindingsCell(world, few, seed) for world in WORLDS for seed in seeds]
    one_stage = [FindingsCell(world, few, seed, two_stage=False) for world in ("market", "no stays") for seed in seeds]
    one_stage += [FindingsCell("market", max(settings.more_people), seed, two_stage=False) for seed in seeds]
    return [*more, *pretrained, *scratch, *one_stage]


@dataclass(frozen=True)
class FindingsStudy(Study):
    """Leaves findings.csv, models.csv, summary.csv and findings.png; a transition table of test careers for every
    model is in `tables/WORLD/MODEL/SEED.parquet`."""

    settings: FindingsSettings = FindingsSettings()

    def prepare(self, workers: int) -> None:
        corpora = [Job(self.draw_corpus, corpus) for corpus in CORPORA]
        surveys = [Job(self.draw_survey, world) for world in WORLDS]
        run_jobs("Drawing careers", [*corpora, *surveys], workers)

    def compute(self, workers: int) -> None:
        self.work("Training models", self.train_cell, cells(self.settings), workers)

    def survey(self, world: str) -> dict[str, Dataset]:
        """Careers of a world's survey: training people, of whom samples take the first, validation and test people."""
        return split_survey(self.folder / "surveys" / world, self.settings)

    def draw_survey(self, world: str) -> None:
        """Draws a survey and scores its test careers with the truth and with Markov chains."""
        settings = self.settings
        drawn, splits = (
            keep_survey(self.folder / "surveys" / world, settings, settings.preset(world)),
            self.survey(world),
        )
        train = splits["train"].select(range(settings.train_people))
        for name, made in references(drawn, train, splits["validation"]).items():
            self.keep_table(world, name, 0, *made, splits["test"])

    def draw_corpus(self, corpus: str) -> None:
        """Draws a corpus of resumes; the altered ones are made from the unaltered when they are loaded."""
        world, changes, altered = CORPORA[corpus]
        if altered is None:
            drawn = World.build(self.settings.preset(world, **changes).world)
            write_resumes(drawn, ResumeConfig(people=self.settings.resumes), self.folder / "corpora" / corpus)

    def corpus(self, name: str) -> Dataset:
        """The careers of a corpus.

        "relabelled": every occupation goes by the name of another, the same everywhere, so how careers move is left
        and who moves where is lost. "shuffled": occupations are dealt out anew over all person-years, so only how
        common they are is left.
        """
        altered = CORPORA[name][2]
        if altered is None:
            return load_resumes(self.folder / "corpora" / name)
        resumes = load_resumes(self.folder / "corpora" / "resumes")
        table, rng = career_table(resumes), np.random.default_rng(0)
        held = list_values(table, "occupation").dictionary_encode()
        codes, names = held.indices.to_numpy(), held.dictionary
        if altered == "relabelled":
            names = names.take(pa.array(rng.permutation(len(names))))
        else:
            codes = rng.permutation(codes)
        offsets = pa.array(np.r_[0, list_lengths(table, "occupation").cumsum()], pa.int32())
        occupation = pa.ListArray.from_arrays(offsets, names.take(pa.array(codes)))
        return make_dataset({name: table[name] for name in table.column_names} | {"occupation": occupation})

    def train_cell(self, cell: FindingsCell) -> None:
        """Trains a model and scores test careers; a pretrained model is also scored before fine-tuning."""
        settings, splits = self.settings, self.survey(cell.world)
        train, validation, test = splits["train"].select(range(cell.people)), splits["validation"], splits["test"]
        labels = World.build(settings.preset(cell.world).world).labels
        place = self.place(f"{cell.world}, {cell.model}, {cell.seed}")
        stages: dict[str, Any] = {"seed": cell.seed, "two_stage": cell.two_stage}
        if cell.corpus is None:
            rate = settings.scratch_rate
            made = train_from_scratch(place, settings, train, validation, labels, rate=rate, **stages)
        else:
            resumes = self.corpus(cell.corpus)
            held_out = min(1_000, len(resumes) // 10)
            parts = resumes.select(range(held_out, len(resumes))), resumes.select(range(held_out))
            of_corpus = self.place(f"{cell.corpus}{'' if cell.two_stage else ', one-stage'}, {cell.seed}")
            pretrained, old = pretrain(of_corpus, settings, *parts, labels, **stages)
            processor = carry_over(pretrained, old, train, labels, cell.seed)
            self.keep_table(cell.world, f"{cell.model}, zero-shot", cell.seed, pretrained, processor, test)
            rate = settings.finetuning_rate
            made = fine_tune(place, settings, pretrained, processor, train, validation, rate=rate, **stages)
        self.keep_table(cell.world, cell.model, cell.seed, *made, test)

    def table_path(self, world: str, model: str, seed: int) -> Path:
        """Where the transition table of a model on its world's test careers is."""
        return self.folder / "tables" / world / model / f"{seed}.parquet"

    def keep_table(
        self, world: str, name: str, seed: int, model: PreTrainedModel, processor: CareerProcessor, test: Dataset
    ) -> None:
        """Writes a model's transition table, with its log-probabilities given that people work."""
        path = self.table_path(world, name, seed)
        if not path.exists():
            table = transition_table(model, test, processor, split="test", unknown_levels="missing")
            with given_work(model, processor):
                working = transition_table(model, test, processor, split="test", unknown_levels="missing")
            write_table(path, table.assign(log_prob_given_work=working["log_prob"]))

    def world_tables(self) -> WorldTables:
        """Transition tables by world and model, one for each seed."""
        return {world.name: load_tables(world) for world in sorted((self.folder / "tables").iterdir())}

    def report(self) -> StudyResult:
        """Tables and figure; `summary` has the omega at which pretraining stops paying, its worth in survey people,
        and what training took."""
        tables, settings = self.world_tables(), self.settings
        findings, models = findings_table(tables, settings), models_table(tables, settings)
        summary = {
            "break-even omega": break_even(findings),
            "pretraining is worth so many survey people": worth_in_people(models, settings),
            "hours of training, one core": training_log(self.folder)["hours"].sum(),
        }
        found = {"findings": findings, "models": models, "summary": pd.Series(summary, name="summary")}
        return StudyResult(found, {"findings": findings_figure(findings, models, settings)})


def given_work(model: PreTrainedModel, processor: CareerProcessor) -> AbstractContextManager[PreTrainedModel]:
    """Within it, a model's probabilities are those given that y_t is an occupation, which is all resumes contain."""
    barred = [*processor.special_token_ids, *processor.occupation_ids(NOT_WORKING)]

    def condition(log_probs: torch.Tensor, _previous: torch.Tensor) -> torch.Tensor:
        ids = torch.tensor(barred, device=log_probs.device)
        return log_probs.index_fill(-1, ids, IMPOSSIBLE).log_softmax(-1)

    return changed_predictions(model, condition)


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


def contrasts(settings: FindingsSettings) -> list[Contrast]:
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


def findings_table(tables: WorldTables, settings: FindingsSettings) -> pd.DataFrame:
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
                **measure(tables[contrast.world], contrast, settings.draws),
            }
        )
    return pd.DataFrame(rows)


def measure(of_world: dict[str, list[pd.DataFrame]], contrast: Contrast, draws: int) -> dict[str, object]:
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

    # Seeds that both have are paired. The truth and the chains have one table, which meets every seed of the other.
    seeds = [len(chosen[names[i]]) for i in (0, 1)]
    paired = max(seeds) if min(seeds) == 1 else min(seeds)
    models = [[resampled_nll({"": table}, 1, by="kind")[1] for table in chosen[names[i]][:paired]] for i in (0, 1)]
    pairs = np.broadcast_arrays(*(np.concatenate(of_model, axis=1) for of_model in models))
    by_seed = (pairs[1] - pairs[0])[groups]
    count = cluster_counts_by(chosen[names[0]][0], "kind")[groups].min()
    low, high = map(float, interval(gain(resampled), count))
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
        measured["gap_low"], measured["gap_high"] = map(float, interval(shares, count))
    return measured


def _rows(table: pd.DataFrame, contrast: Contrast) -> pd.DataFrame:
    """The steps that a contrast is about, with their kind in a column of its own."""
    if contrast.given_work:
        at_work = ~table["occupation"].isin(NOT_WORKING) & ~table["previous"].isin(NOT_WORKING) & (table["step"] > 0)
        table = table[at_work].assign(log_prob=table["log_prob_given_work"])
    if contrast.classes is None:
        return table.assign(kind="all")
    return table[table["transition"].isin(contrast.classes)].assign(kind=lambda rows: rows["transition"].astype(str))


def models_table(tables: WorldTables, settings: FindingsSettings) -> pd.DataFrame:
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


def worth_in_people(models: pd.DataFrame, settings: FindingsSettings) -> float:
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


def findings_figure(found: pd.DataFrame, models: pd.DataFrame, settings: FindingsSettings) -> Figure:
    """Four panels: models beside the floor, the dose-response, people beside resumes, and findings beside controls."""
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
    span = whiskers(shown.assign(low=np.exp(shown["low"]), high=np.exp(shown["high"])), "ratio")
    axes.errorbar(shown["ratio"], shown["model"], xerr=span, fmt="o", capsize=3, color=BLUE)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(title="Perplexity over that of the truth", xlabel="ratio to the floor (95% intervals)")


def _plot_findings(axes: Axes, found: pd.DataFrame) -> None:
    rows = found.iloc[::-1]
    for control, color, label in ((False, BLUE, "finding"), (True, ORANGE, "control")):
        chosen = rows[rows["control"] == control]
        place, span = np.flatnonzero(rows["control"] == control), whiskers(chosen, "nats")
        axes.errorbar(chosen["nats"], place, xerr=span, fmt="o", capsize=3, color=color, label=label)
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
    span = whiskers(dose, "nats")
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


def _plot_people(axes: Axes, market: pd.DataFrame, settings: FindingsSettings) -> None:
    people = sorted({settings.train_people, *settings.more_people})
    scratch = market.loc[[f"two-stage, {n} people" for n in people]]
    span = whiskers(scratch, "difference")
    axes.errorbar(people, scratch["difference"], yerr=span, fmt="o-", capsize=3, color=BLUE, label="from scratch")
    pretrained = market.loc[PRETRAINED]
    axes.axhline(pretrained["difference"], color=ORANGE, label=f"pretrained, {settings.train_people:,} survey people")
    axes.axhspan(pretrained["low"], pretrained["high"], color=ORANGE, alpha=0.2)
    axes.set_xscale("log", base=2)
    axes.set_xticks(people, [f"{n:,}" for n in people])
    axes.set(title="Resumes or more survey people", xlabel="survey people", ylabel="nats per step above the truth")
    axes.legend()


@studies.command()
def findings(output: Output, workers: Workers = 2, seeds: Seeds = 3) -> None:
    """The paper's findings on the simulated market, each beside a control in which it must disappear."""
    result = FindingsStudy(output, FindingsSettings(seeds=seeds)).run(workers)
    columns = ["nats", "low", "high", "seed_sd", "share_of_gap", "gap_low", "gap_high"]
    for finding, rows in result["findings"].groupby("finding", sort=False):
        show(rows.set_index("case")[columns], f"{finding}: nats per step, 95% intervals")
    models = result["models"].set_index(["world", "model"]).drop(columns=["standard_error"])
    show(models, "Models beside the floor")
    show(result["summary"].to_frame(), str(output))
