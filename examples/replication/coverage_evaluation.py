"""How often intervals of evaluations hold the truth: worlds of households in which every number is known.

No model is trained. Each world draws careers from a law, and three "models" that are known functions of what is
observed: one that is calibrated, one that is overconfident, and one that knows averages only. What they are worth to
everybody is known from a large population of the same law. Members of a household share something that no model sees,
so that intervals have to be clustered by household.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from scipy.special import expit, logit

from career_hf.evaluation.audit import audit
from career_hf.evaluation.calibration import calibration_errors, event_rows
from career_hf.evaluation.metrics import (
    auc_differences,
    bootstrap_perplexity,
    entry_auc,
    perplexity,
    perplexity_differences,
    stay_auc,
)

from .coverage_wages import coverage, worlds_as_text
from .study import Output, StudyResult, Workers, WorldsStudy, page_of, studies, write_table


POPULATION = 30_000
BINS = 10
STATES = ["out", "b", "c", "d", "e"]
# Probabilities of the other states for those who move, by their distance in the list of states.
MOVES = np.array([0.5, 0.3, 0.15, 0.05])
MODELS = ["calibrated", "overconfident", "averages"]
BASELINE = "averages"
ROWS = ["design", "interval", "truth", "estimate", "low", "high"]


@dataclass(frozen=True)
class Design:
    """How a sample is drawn.

    Args:
        households: Number of households that are drawn.
        weighted: Whether households are kept at unequal rates, and weigh accordingly; about two in three are kept.
        members: Largest number of people in a household.
    """

    households: int
    weighted: bool
    members: int


DESIGNS = {
    "people": Design(300, weighted=False, members=1),
    "households with weights": Design(300, weighted=True, members=3),
    "few households": Design(20, weighted=False, members=3),
}


@dataclass(frozen=True)
class CoverageSettings:
    """Settings of the study.

    Args:
        worlds: Number of worlds of each design.
        draws: Resamples behind each interval.
    """

    worlds: int = 200
    draws: int = 400


def draw_tables(design: Design, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Transition tables of the three models on the same careers.

    Args:
        design: How the sample is drawn.
        rng: Source of randomness.
    """
    size = rng.integers(1, design.members + 1, design.households)
    home = np.repeat(np.arange(design.households), size)
    # What a household shares: one part is observed, the other is not.
    shared = rng.normal(size=(design.households, 2))
    person_home = home
    seen = 0.7 * shared[person_home, 0] + 0.7 * rng.normal(size=len(home))
    woman = rng.random(len(home)) < 0.5
    steps = rng.integers(3, 9, len(home))
    person = np.repeat(np.arange(len(home)), steps)
    step = np.arange(len(person)) - np.repeat(np.cumsum(steps) - steps, steps)
    observed = 0.9 + 0.8 * seen[person] + 0.3 * woman[person]
    stays = rng.random(len(person)) < expit(observed + 0.8 * shared[home[person], 1])
    jump = np.where(stays, 0, 1 + rng.choice(len(MOVES), size=len(person), p=MOVES))
    jump[step == 0] = rng.integers(len(STATES), size=int((step == 0).sum()))
    start = np.flatnonzero(step == 0)
    before = np.cumsum(jump) - np.repeat(np.cumsum(jump)[start] - jump[start], steps)
    state = before % len(STATES)
    weight, remains = np.ones(len(person)), np.ones(len(person), dtype=bool)
    if design.weighted:
        rate = 0.3 + 0.6 / (1 + np.exp(shared[:, 0]))
        remains = (rng.random(design.households) < rate)[home[person]]
        weight = 1 / rate[home[person]]
    frame = pd.DataFrame(
        {
            "person": person.astype(str),
            "group": home[person].astype(str),
            "step": step,
            "previous": np.where(step == 0, -1, np.r_[-1, state[:-1]]),
            "state": state,
            "weight": weight,
            "gender": np.where(woman[person], "woman", "man"),
            "logit": observed,
        }
    )[remains].reset_index(drop=True)
    frame = frame if design.members > 1 else frame.drop(columns="group")
    calibrated = stay_probability(frame["logit"].to_numpy())
    predicted = {
        "calibrated": calibrated,
        "overconfident": expit(1.6 * logit(calibrated) - 0.3),
        "averages": np.full(len(frame), 0.68),
    }
    return {name: scored(frame, p) for name, p in predicted.items()}


def stay_probability(observed: np.ndarray) -> np.ndarray:
    """The probability of staying given what is observed, over what is not: by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    return expit(observed[:, None] + 0.8 * nodes) @ weights / weights.sum()


def scored(frame: pd.DataFrame, p_stay: np.ndarray) -> pd.DataFrame:
    """The transition table of a model with these probabilities of staying."""
    first, state = (frame["step"] == 0).to_numpy(), frame["state"].to_numpy()
    distance = (np.arange(len(STATES)) - frame["previous"].to_numpy()[:, None]) % len(STATES)
    p = np.where(distance == 0, p_stay[:, None], (1 - p_stay)[:, None] * np.r_[0.0, MOVES][distance])
    p[first] = 1 / len(STATES)
    of_truth = p[np.arange(len(p)), state]
    return frame.assign(
        log_prob=np.log(of_truth),
        p_stay=np.where(first, np.nan, p_stay),
        rank=(p > of_truth[:, None]).sum(axis=1) + 1,
        p_top=p.max(axis=1),
        transition=np.where(first, "first", np.where(state == frame["previous"], "stay", "new")),
        occupation=np.array(STATES)[state],
        previous=np.where(first, "", np.array(STATES)[frame["previous"]]),
        unknown=False,
        **{"p(out)": p[:, 0]},
    )


@dataclass(frozen=True)
class Truth:
    """What a model is worth to everybody.

    Args:
        perplexity, perplexity_of_women: Perplexities.
        auc: Areas under ROC curves of moving and of entering.
        accuracy_of_women, gap_of_women: Accuracy, and predicted less observed share of stays.
        distances: Sorted predictions, and running sums of predictions less outcomes, by event and by whether they are
            of women only.
    """

    perplexity: float
    perplexity_of_women: float
    auc: dict[str, float]
    accuracy_of_women: float
    gap_of_women: float
    distances: dict[tuple[str, bool], tuple[np.ndarray, np.ndarray]]

    def error(self, sample: pd.DataFrame, event: str, of_women: bool = False) -> float:
        """The calibration error over the bins that the predictions of a sample have."""
        _, predicted, _ = event_rows(sample, event)
        edges = np.unique(np.quantile(predicted, np.linspace(0, 1, BINS + 1)))[1:-1]
        whole, sums = self.distances[event, of_women]
        ends = np.r_[0, np.searchsorted(whole, edges, side="right"), len(whole)]
        return float(np.abs(np.diff(sums[ends])).sum() / len(whole))


def truths_of(design: Design) -> dict[str, Truth]:
    """What each model is worth to a population of the same law."""
    everybody = replace(design, households=POPULATION, weighted=False)
    truths = {}
    for name, table in draw_tables(everybody, np.random.default_rng(10_000)).items():
        women, distances = table[table["gender"] == "woman"], {}
        for is_women, part in ((False, table), (True, women)):
            for event in ("stay", "top"):
                _, predicted, happened = event_rows(part, event)
                order = np.argsort(predicted)
                distances[event, is_women] = predicted[order], np.r_[0, np.cumsum((predicted - happened)[order])]
        truths[name] = Truth(
            perplexity=perplexity(table),
            perplexity_of_women=perplexity(women),
            auc={"moving": stay_auc(table), "entering": entry_auc(table, "out")},
            accuracy_of_women=float((women["rank"] == 1).mean()),
            gap_of_women=float(distances["stay", True][1][-1] / len(distances["stay", True][0])),
            distances=distances,
        )
    return truths


@dataclass(frozen=True)
class CoverageOfEvaluations(WorldsStudy):
    """The study in its folder."""

    settings: CoverageSettings
    float_formats = "%.4f"

    @cached_property
    def truths(self) -> dict[str, dict[str, Truth]]:
        """What each model is worth to everybody, by design and model."""
        return {name: truths_of(design) for name, design in DESIGNS.items()}

    def world(self, world: int) -> None:
        """Intervals of one world of each design beside the truth."""
        rows = []
        for name, design in DESIGNS.items():
            tables = draw_tables(design, np.random.default_rng(world))
            rows += [(name, *row) for row in self.intervals(tables, self.truths[name], design)]
        write_table(self.at(world), pd.DataFrame(rows, columns=ROWS))

    def intervals(
        self, tables: dict[str, pd.DataFrame], truths: dict[str, Truth], design: Design
    ) -> Iterator[tuple[str, float, float, float, float]]:
        """Name, truth, estimate and ends of every interval."""
        draws, weighted = self.settings.draws, design.weighted
        mine, good, bad = tables["calibrated"], truths["calibrated"], truths["overconfident"]
        level = ["perplexity", "low", "high"]
        row = bootstrap_perplexity(mine, draws, weighted=weighted).iloc[0]
        yield "perplexity", good.perplexity, *row[level]
        if design.members > 1:
            row = bootstrap_perplexity(mine.drop(columns="group"), draws, weighted=weighted).iloc[0]
            yield "perplexity, if people were resampled", good.perplexity, *row[level]
        row = bootstrap_perplexity(mine, draws, weighted=weighted, by="gender").loc["woman"]
        yield "perplexity of women", good.perplexity_of_women, *row[level]
        row = perplexity_differences(tables, BASELINE, draws, weighted=weighted).loc["calibrated"]
        gain = np.log(good.perplexity / truths[BASELINE].perplexity)
        yield "difference of log-perplexity", gain, *row[["difference", "low", "high"]]
        paired = ["difference", "difference_low", "difference_high"]
        for name, label in (("moving", None), ("entering", "out")):
            found = auc_differences(tables, "overconfident", label, draws, weighted=weighted)
            yield f"AUC of {name}", good.auc[name], *found.loc["calibrated", ["auc", "low", "high"]]
            gap = truths[BASELINE].auc[name] - bad.auc[name]
            yield f"difference of AUC of {name}", gap, *found.loc[BASELINE, paired]
        for event in ("stay", "top"):
            errors = calibration_errors(tables, "calibrated", event, BINS, draws, weighted=weighted)
            found = {name: truths[name].error(table, event) for name, table in tables.items()}
            for name in ("calibrated", "overconfident"):
                yield f"calibration error, {event}, {name}", found[name], *errors.loc[name, ["error", "low", "high"]]
            gap = found["overconfident"] - found["calibrated"]
            yield f"difference of calibration errors, {event}", gap, *errors.loc["overconfident", paired]
        sample = tables["overconfident"].query("gender == 'woman'")
        women = audit(sample, [], weighted=weighted, bins=BINS, draws=draws).to_frame().set_index("metric")
        true_error = bad.error(sample, "stay", of_women=True)
        truth = {"accuracy": bad.accuracy_of_women, "stay_gap": bad.gap_of_women, "stay_error": true_error}
        for metric, value in truth.items():
            yield f"audit of women, {metric}", value, *women.loc[metric, ["estimate", "low", "high"]]

    def report(self) -> StudyResult:
        worlds = pd.concat([pd.read_csv(self.at(world)) for world in range(self.settings.worlds)])
        # Too few clusters with an event have no interval.
        worlds = worlds.dropna(subset="low")
        tables = {name: worlds_as_text(coverage(part)) for name, part in worlds.groupby("design", sort=False)}
        whole = pd.concat(tables, names=["design", "interval"]).reset_index("design")
        return StudyResult({"coverage": whole}, page=page_of(tables))


@studies.command("coverage-evaluation")
def coverage_evaluation(
    output: Output,
    worlds: Annotated[int, typer.Option(help="Number of worlds of each design.", min=2)] = 200,
    workers: Workers = 1,
) -> None:
    """Coverage of the intervals of evaluations, comparisons and audits, weighted and clustered by household."""
    result = CoverageOfEvaluations(output, CoverageSettings(worlds=worlds)).run(workers)
    typer.echo(result.page)
