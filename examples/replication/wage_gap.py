"""Which controls recover the gender wage gap, in markets where it is known: wage regressions against the truth.

Two numbers are called the gap. The structural one is the coefficient of being a woman in the wage law. The
history-adjusted one is the mean over women of E[ln w | woman, history] - E[ln w | man, history]: how much less women
earn than men with the same career up to now. They differ where a career says something else about a woman's type than
about a man's. `docs/simulated_wages.md` says which estimator targets which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from matplotlib.figure import Figure
from scipy import linalg, sparse
from sklearn.preprocessing import OneHotEncoder

from career_hf.careers.frames import to_frame
from career_hf.cli.console import say, show
from career_hf.occupations.labels import GENDERS
from career_hf.simulation.presets import Preset, preset
from career_hf.simulation.survey import Simulation
from career_hf.simulation.wages import WageConfig, draw_wages, type_posteriors, wage_summary, wage_truth
from career_hf.simulation.world import World

from .study import Output, Study, StudyResult, Workers, studies, write_table


# What keeps gender out of the shares of types and out of every move.
NO_GENDER = {"type_gender_sd": 0.0, "gender_typing_sd": 0.0, "out_women": 0.0}
# Specifications that are spoken of by name.
SUMMARY, TYPE = "summary statistics", "+ true type"
AS_MAN, OWN_GENDER = "+ history, as a man's", "+ history, own gender's"
# Columns of the truth whose levels women and men of a sample must share.
LEVELS = ("occupation", "year", "recipe")
ESTIMATORS = ("coefficient", "unexplained")
# The seed of the people by whom worlds are chosen; the study itself uses others.
PILOT_SEED = 1_000


@dataclass(frozen=True)
class WageGapSettings:
    """Sizes of the study.

    Args:
        market: Preset whose world is varied.
        people: Sample size of each world and seed.
        seeds: Seeds of people and of the noise in wages.
        candidates: Seeds of worlds to choose from.
        pilot_people: Sample size by which they are chosen.
        config: Numbers of the wage law.
    """

    market: str = "survey"
    people: int = 12_000
    seeds: Sequence[int] = (0, 1, 2)
    candidates: Sequence[int] = tuple(range(12))
    pilot_people: int = 6_000
    config: WageConfig = field(default_factory=WageConfig)


@dataclass(frozen=True)
class WageGapCell:
    """One world with one seed, and the file of its estimates."""

    path: Path
    world: Preset
    people: int
    seed: int


@dataclass(frozen=True)
class WageGapStudy(Study):
    """Estimates the wage gap in four worlds with every specification and both estimators.

    Two worlds are chosen among candidates for how wrong summary statistics are in them, judged by other people and
    without the noise of wages; the other two are controls. Leaves candidates.csv (every candidate world), wage_gap.csv
    (the rows of `estimate_wage_gap`, with columns world and seed before them), summary.csv (`summarize_wage_gap`) and
    wage_gap.png.
    """

    settings: WageGapSettings = field(default_factory=WageGapSettings)
    float_formats = "%.5f"

    @property
    def base(self) -> Preset:
        """The market whose world is varied."""
        return preset(self.settings.market)

    def described(self) -> dict[str, Any]:
        settings = self.settings
        sizes = {"people": settings.people, "pilot_people": settings.pilot_people}
        return {"market": self.base.to_dict(), **sizes, "wages": settings.config.to_dict()}

    def cells(self, folder: str, worlds: Mapping[str, Preset], people: int, seeds: Sequence[int]) -> dict[tuple, Any]:
        """A cell for every world and seed, by both."""
        return {
            (name, seed): WageGapCell(self.folder / folder / f"{name}, {seed}.csv", world, people, seed)
            for name, world in worlds.items()
            for seed in seeds
        }

    def pilot(self) -> dict[tuple, Any]:
        """Cells by which worlds are chosen."""
        worlds = {f"world {seed}": self.base.with_world(seed=seed) for seed in self.settings.candidates}
        return self.cells("pilot", worlds, self.settings.pilot_people, [PILOT_SEED])

    def chosen(self) -> dict[tuple, Any]:
        """Cells of the four worlds."""
        errors = candidate_errors(read_cells(self.pilot()))[SUMMARY]
        over, under = (self.settings.candidates[int(place)] for place in (errors.argmin(), errors.argmax()))
        worlds = {
            f"gap overstated (world {over})": self.base.with_world(seed=over),
            f"gap understated (world {under})": self.base.with_world(seed=under),
            "types do not depend on gender": self.base.with_world(type_gender_sd=0.0),
            "gender in wages only": self.base.with_world(**NO_GENDER),
        }
        return self.cells("cells", worlds, self.settings.people, self.settings.seeds)

    def compute(self, workers: int) -> None:
        for title, cells in (("Choosing worlds", self.pilot), ("Estimating wage gaps", self.chosen)):
            missing = [cell for cell in cells().values() if not cell.path.exists()]
            self.work(title, self.estimate, missing, workers)

    def estimate(self, cell: WageGapCell) -> None:
        """Writes the estimates of one cell."""
        drawn = draw_wages(cell.world.simulate(cell.people, cell.seed), self.settings.config, seed=cell.seed)
        write_table(cell.path, estimate_wage_gap(drawn, self.settings.config))

    def report(self) -> StudyResult:
        table = read_cells(self.chosen())
        summary = summarize_wage_gap(table)
        tables = {"candidates": candidate_errors(read_cells(self.pilot())), "wage_gap": table, "summary": summary}
        return StudyResult(tables, {"wage_gap": wage_gap_figure(summary, table)})


def read_cells(cells: Mapping[tuple, WageGapCell]) -> pd.DataFrame:
    """Estimates of cells that are finished, with columns world and seed before them."""
    parts = [pd.read_csv(cell.path).assign(world=name, seed=seed) for (name, seed), cell in cells.items()]
    table = pd.concat(parts, ignore_index=True)
    return table[["world", "seed", *table.columns.drop(["world", "seed"])]]


def estimate_wage_gap(simulation: Simulation, config: WageConfig | None = None) -> pd.DataFrame:
    """Estimates the wage gap in one sample with every specification and both estimators.

    Observations in an occupation that only women or only men of the sample hold are left out throughout, the truth
    included, because there is nobody to compare them with; so are those of a year, and with a recipe.

    Args:
        simulation: Careers with wages, types and world.
        config: Numbers of the wage law that wages were drawn with.

    Returns:
        One row per specification and estimator: specification; estimator, "coefficient" (of being a woman, in a
        regression on everybody) or "unexplained" (mean over women of what they earn less the prediction of a
        regression on men); estimate and standard_error, clustered by person; without_noise, the same estimator on
        E[ln w | gender, history] in place of ln w (missing for the true type, which is no part of the history); r2 of
        the regression on everybody; and, the same in all rows, structural, history_adjusted, r2_ceiling, observations,
        people and left_out (observations).
    """
    careers, world = simulation.careers, simulation.world
    posteriors = {gender: type_posteriors(careers, world, gender) for gender in GENDERS}
    truth = wage_truth(careers, world, config, posteriors)
    comparable = [truth.groupby(name)["female"].transform("nunique") == len(GENDERS) for name in LEVELS]
    waves = truth[np.all(comparable, axis=0)]
    if waves["female"].nunique() < len(GENDERS):
        raise ValueError("women and men of the sample have no occupation in common: draw more people")
    woman = waves["female"].to_numpy() == 1
    person = pd.factorize(waves["person"])[0]
    outcomes = waves[["log_wage", "expected"]].to_numpy()
    known = wage_summary(waves)
    rows = []
    for name, x in controls(simulation, waves, posteriors).items():
        everything = sparse.hstack([x, sparse.csr_array(woman[:, None].astype(float))]).tocsr()
        contrast = np.zeros(everything.shape[1])
        contrast[-1] = 1
        of_all, *coefficient = regress(outcomes, everything, contrast, person)
        residual = outcomes[:, 0] - everything @ of_all[:, 0]
        of_men, _, men_error = regress(outcomes[~woman], x[~woman], x[woman].mean(axis=0), person[~woman])
        left = outcomes[woman] - x[woman] @ of_men
        _, mean, women_error = regress(left, sparse.csr_array(np.ones((len(left), 1))), np.ones(1), person[woman])
        for estimator, (estimate, error) in zip(
            ESTIMATORS, [coefficient, (mean, np.hypot(men_error, women_error))], strict=True
        ):
            rows.append(
                {
                    "specification": name,
                    "estimator": estimator,
                    "estimate": estimate[0],
                    "standard_error": error[0],
                    "without_noise": np.nan if name == TYPE else estimate[1],
                    "r2": 1 - residual.var() / outcomes[:, 0].var(),
                }
            )
    return pd.DataFrame(rows).assign(
        structural=known["structural gap"],
        history_adjusted=known["history-adjusted gap"],
        r2_ceiling=known["R^2 ceiling"],
        observations=len(waves),
        people=waves["person"].nunique(),
        left_out=len(truth) - len(waves),
    )


def controls(
    simulation: Simulation, waves: pd.DataFrame, posteriors: Mapping[str, np.ndarray]
) -> dict[str, sparse.csr_array]:
    """The controls of every specification, `(waves worked, columns)`, an intercept among them and gender not.

    Args:
        simulation: Careers, types and world.
        waves: Rows of `wage_truth`.
        posteriors: `type_posteriors` as if men and as if women, by name of `GENDERS`.
    """
    careers, world = simulation.careers, simulation.world
    one = np.ones((len(waves), 1))
    experience = waves[["experience"]].to_numpy() / 10
    region = to_frame(careers)["region"].to_numpy()[waves.index]
    summary = [one, waves[["education"]], experience, experience**2, _dummies(waves["year"]), _dummies(region)]
    occupation = _dummies(waves["occupation"])
    wage_terms = [waves[["gaps", "recipe"]], np.log1p(waves[["family_run"]])]
    men, women = (posteriors[gender][waves.index] for gender in GENDERS)
    types = simulation.types.set_index("person")["type"].loc[waves["person"]]
    observed = [*summary, occupation, *wage_terms]
    parts = {
        "raw": [one],
        SUMMARY: [*summary, _dummies(world.family[waves["occupation"]])],
        "+ occupation": [*summary, occupation],
        "+ all observed wage terms": observed,
        "+ bag of history": [*observed, bag_of_history(careers, world)[waves.index]],
        # Posteriors sum to one: the first type's is left out.
        AS_MAN: [*observed, men[:, 1:]],
        OWN_GENDER: [*observed, np.where(waves[["female"]] == 1, women, men)[:, 1:]],
        TYPE: [*observed, _dummies(types)],
    }
    return {name: sparse.hstack([sparse.csr_array(part) for part in of]).tocsr() for name, of in parts.items()}


def bag_of_history(careers: Dataset, world: World) -> np.ndarray:
    """What a careful economist may take from careers without a model of them, up to and including each wave.

    Args:
        careers: Careers of the world.
        world: The world.

    Returns:
        `(waves, columns)` in the order of `to_frame(careers)`: shares of waves so far spent in each family of
        occupations and in each state without work, less the first family; waves, moves and different states so far.
    """
    waves = to_frame(careers)[["person", "occupation"]]
    person = pd.factorize(waves["person"])[0]
    state = waves["occupation"].map({label: i for i, label in enumerate(world.labels)}).to_numpy()
    kind = np.r_[world.family, world.config.families + np.arange(world.num_states - world.config.occupations)]
    spent = pd.DataFrame(np.eye(kind.max() + 1)[kind[state]]).groupby(person).cumsum()
    so_far = spent.sum(axis=1)
    moved = np.r_[False, (person[1:] == person[:-1]) & (state[1:] != state[:-1])]
    counts = pd.DataFrame({"moves": moved, "states": ~waves.duplicated().to_numpy()}).groupby(person).cumsum()
    return np.column_stack([spent.div(so_far, axis=0).iloc[:, 1:], so_far, counts])


def regress(
    outcomes: np.ndarray, x: sparse.csr_array, contrast: np.ndarray, person: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares with hundreds of dummies, and one linear combination of the coefficients, clustered by person.

    The same numbers as statsmodels' OLS with `cov_type="cluster"`, which takes no sparse arrays.

    Args:
        outcomes: `(observations, outcomes)`.
        x: `(observations, columns)`; collinear columns do no harm.
        contrast: `(columns,)`, the combination.
        person: `(observations,)`, numbers of people.

    Returns:
        `(columns, outcomes)` coefficients, `(outcomes,)` combinations, `(outcomes,)` their standard errors.

    Raises:
        ValueError: The combination is not identified.
    """
    gram = (x.T @ x).toarray()
    inverse, rank = linalg.pinvh(gram, return_rank=True)
    solved = inverse @ contrast
    if not np.allclose(gram @ solved, contrast, rtol=1e-5, atol=1e-7):
        raise ValueError(
            "the gap is not identified: some level of a control is held by women and by no man; draw more people"
        )
    coefficients = inverse @ (x.T @ outcomes)
    # The combination is a weighted sum of outcomes, so its error is that sum of residuals.
    parts = (x @ solved)[:, None] * (outcomes - x @ coefficients)
    of_people = pd.DataFrame(parts).groupby(person).sum().to_numpy()
    n, people = len(outcomes), len(of_people)
    correction = people / (people - 1) * (n - 1) / (n - rank)
    return coefficients, contrast @ coefficients, np.sqrt(correction * (of_people**2).sum(axis=0))


def candidate_errors(pilot: pd.DataFrame) -> pd.DataFrame:
    """How wrong each specification is about the history-adjusted gap in each world, without the noise of wages.

    Args:
        pilot: Rows of `read_cells`.

    Returns:
        One row per world: history_adjusted, and for each specification the unexplained estimate minus it.
    """
    rows = pilot[pilot["estimator"] == "unexplained"]
    error = rows.assign(error=rows["without_noise"] - rows["history_adjusted"])
    wide = error.pivot(index="world", columns="specification", values="error")
    wide = wide.loc[pilot["world"].unique(), pilot["specification"].unique()].drop(columns=TYPE)
    wide.insert(0, "history_adjusted", rows.groupby("world")["history_adjusted"].mean())
    return wide


def summarize_wage_gap(table: pd.DataFrame) -> pd.DataFrame:
    """Averages over seeds, whose people are different.

    Args:
        table: Table `wage_gap` of the study.

    Returns:
        One row per world, specification and estimator: the means of the numeric columns, standard_error of the mean
        estimate, low and high of its 95% interval, and error, the estimate minus the history-adjusted gap.
    """
    groups = table.groupby(["world", "specification", "estimator"], sort=False)
    summary = groups.mean().drop(columns="seed")
    square = groups["standard_error"].agg(lambda errors: (errors**2).sum())
    summary["standard_error"] = np.sqrt(square) / groups.size()
    summary["low"] = summary["estimate"] - 1.96 * summary["standard_error"]
    summary["high"] = summary["estimate"] + 1.96 * summary["standard_error"]
    summary["error"] = summary["estimate"] - summary["history_adjusted"]
    return summary.reset_index()


def wage_gap_figure(summary: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Draws estimates and intervals against the two truths, a panel for each world.

    Args:
        summary: What `summarize_wage_gap` returns.
        table: Table `wage_gap` of the study: one dot for every seed.
    """
    worlds, specifications = summary["world"].unique(), list(summary["specification"].unique())
    rows = -(-len(worlds) // 2)
    figure = Figure(figsize=(10, 0.8 + 3.3 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, world in zip(panels, worlds, strict=False):
        here = summary[summary["world"] == world]
        panel.axvline(here["history_adjusted"].iloc[0], color="black", label="history-adjusted gap (truth)")
        panel.axvline(here["structural"].iloc[0], color="tab:red", linestyle="--", label="structural gap (truth)")
        for estimator, shift, color in zip(ESTIMATORS, (-0.16, 0.16), ("tab:orange", "tab:blue"), strict=True):
            mean, seeds = (t[(t["world"] == world) & (t["estimator"] == estimator)] for t in (summary, table))
            places = {specification: i + shift for i, specification in enumerate(specifications)}
            panel.errorbar(
                mean["estimate"],
                mean["specification"].map(places),
                xerr=1.96 * mean["standard_error"],
                fmt="o",
                markersize=4,
                color=color,
                label=f"{estimator}: mean of seeds with 95% interval, and seeds",
            )
            panel.plot(seeds["estimate"], seeds["specification"].map(places), "|", color=color, alpha=0.6)
        panel.set_yticks(range(len(specifications)), specifications)
        panel.set_title(world, fontsize=10)
        panel.grid(axis="x", color="0.9")
    for panel in panels[len(worlds) :]:
        panel.set_axis_off()
    panels[0].invert_yaxis()
    figure.supxlabel("women minus men, log points", fontsize=10)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _dummies(values: Sequence) -> sparse.csr_array:
    """An indicator for each level but the first."""
    return OneHotEncoder(drop="first").fit_transform(np.asarray(values).reshape(-1, 1))


@studies.command()
def wage_gap(output: Output, workers: Workers = 2) -> None:
    """Which controls recover the gender wage gap, on the simulated market, where it is known."""
    summary = WageGapStudy(output).run(workers)["summary"]
    columns = ["estimate", "low", "high", "error", "without_noise", "r2"]
    for (world, estimator), rows in summary.groupby(["world", "estimator"], sort=False):
        truth = rows.iloc[0]
        gaps = f"structural gap {truth['structural']:.3f}, history-adjusted gap {truth['history_adjusted']:.3f}"
        title = f"{world}: {gaps}, R^2 ceiling {truth['r2_ceiling']:.3f}"
        show(rows.set_index("specification")[columns], f"{title}; {estimator}")
    say(f"{output}/wage_gap.csv, summary.csv, candidates.csv, wage_gap.png")
