"""How often intervals of wages hold the truth: worlds of households in which every number is known.

Each world draws households of one to three people who share something that no column holds, keeps them with
probabilities that depend on what is measured, and gives each person-year a weight, zero in some years. So intervals
must be weighted, and clustered by household, to be right. What the careers' law implies for everybody is known from a
large population of the same law.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from career_hf.wages.decomposition import oaxaca_blinder
from career_hf.wages.gap_nuisances import cross_fit_nuisances, folds_of_people
from career_hf.wages.gaps import GapEstimate, GapResult, GapSample, aipw_gap, raw_gap
from career_hf.wages.regression import YEAR_ONLY, estimate, held_out_r2, predict_held_out

from .study import Output, StudyResult, Workers, WorldsStudy, page_of, studies, write_table


# The effects of schooling, of experience and of being a woman on log wages.
SCHOOLING, EXPERIENCE, GAP = 0.3, 0.2, -0.2
POPULATION = 20_000
SCHOOL = "schooling"
GAIN = ["gain", "gain_low", "gain_high"]
SPECIFICATIONS = {"short": ["year", "schooling"], "long": ["year", "schooling", "experience", "gender"]}


@dataclass(frozen=True)
class CoverageSettings:
    """Settings of the study.

    Args:
        worlds: Number of worlds.
        households: Number of households that are drawn in each; about two in three are kept.
        draws: Resamples of households behind intervals of R^2.
    """

    worlds: int = 200
    households: int = 300
    draws: int = 400


def draw_frame(households: int, rng: np.random.Generator, kept: bool = True) -> pd.DataFrame:
    """Person-years as `wage_frame` has them.

    Args:
        households: Number of households.
        rng: Source of randomness.
        kept: Whether households are kept at unequal rates and have weights; if not, the whole population has weight 1.
    """
    size = rng.integers(1, 4, households)
    home = np.repeat(np.arange(households), size)
    shared = rng.normal(size=(households, 2))[home]
    schooling = 0.7 * shared[:, 0] + 0.7 * rng.normal(size=len(home))
    woman = rng.random(len(home)) < 1 / (1 + np.exp(-0.7 * schooling))
    effect = 0.3 * shared[:, 1] + 0.2 * rng.normal(size=len(home))
    years = rng.integers(1, 6, len(home))
    person = np.repeat(np.arange(len(home)), years)
    step = np.arange(len(person)) - np.repeat(np.cumsum(years) - years, years)
    experience = 0.5 * rng.normal(size=len(person)) + 0.2 * step
    wage = SCHOOLING * schooling[person] + EXPERIENCE * experience + GAP * woman[person] + effect[person]
    frame = pd.DataFrame(
        {
            "person": person.astype(str),
            "group": home[person].astype(str),
            "year": 1990 + step,
            "schooling": schooling[person],
            "experience": experience,
            "gender": np.where(woman[person], "woman", "man"),
            "log_wage": wage + 0.3 * rng.normal(size=len(person)),
            "weight": 1.0,
        }
    )
    if not kept:
        return frame
    # Households with much schooling are rare in the sample, and weigh more.
    rate = 0.3 + 0.6 / (1 + np.exp(shared[:, 0]))
    first = np.unique(home, return_index=True)[1]
    stays = (rng.random(households) < rate[first])[home]
    wave = rng.choice([0.0, 0.5, 1.5, 2.0], len(person))
    frame = frame.assign(weight=wave / rate[person])
    return frame[stays[person] & (wave > 0)].reset_index(drop=True)


@dataclass(frozen=True)
class CoverageOfWages(WorldsStudy):
    """The study in its folder."""

    settings: CoverageSettings
    float_formats = "%.4f"

    @cached_property
    def population(self) -> pd.DataFrame:
        """A population of the same law."""
        return draw_frame(POPULATION, np.random.default_rng(10_000), kept=False)

    def world(self, world: int) -> None:
        """Intervals of one world beside the truth."""
        frame = draw_frame(self.settings.households, np.random.default_rng(world))
        rows = [*self.regressions(frame), *self.gaps(frame)]
        write_table(self.at(world), pd.DataFrame(rows, columns=["interval", "truth", "estimate", "low", "high"]))

    def regressions(self, frame: pd.DataFrame) -> Iterator[tuple[str, float, float, float, float]]:
        """Coefficients, R^2 within year, and its gain."""
        fit = estimate(frame, {"long": SPECIFICATIONS["long"]})["long"].to_frame()
        for name, truth in {"schooling": SCHOOLING, "gender_woman": GAP}.items():
            row = fit.loc[name]
            yield f"coefficient of {name}", truth, row["estimate"], row["low"], row["high"]
        predictions = predict_held_out(frame, SPECIFICATIONS)
        table = held_out_r2(predictions, by_decade=False, draws=self.settings.draws).set_index("specification")
        truth = self.truth_of_r2(frame, predictions["split"].to_numpy())
        for name in SPECIFICATIONS:
            row = table.loc[name, ["within_year", "within_year_low", "within_year_high"]]
            yield f"R^2 within year, {name}", truth[name], *row
        yield "gain in R^2, long over short", truth["long"] - truth["short"], *table.loc["long", GAIN]

    def truth_of_r2(self, frame: pd.DataFrame, split: np.ndarray) -> dict[str, float]:
        """R^2 within year of the very regressions whose predictions are judged, on the population."""
        everybody = self.population
        squared = {}
        for name, columns in {YEAR_ONLY: [], "short": [SCHOOL], "long": [SCHOOL, "experience", "woman"]}.items():
            x, whole = (_matrix(rows, columns) for rows in (frame, everybody))
            errors = []
            for number in np.unique(split):
                fit = split != number
                root = np.sqrt(frame["weight"].to_numpy()[fit])
                b = np.linalg.lstsq(x[fit] * root[:, None], frame["log_wage"].to_numpy()[fit] * root, rcond=None)[0]
                share = frame["weight"].to_numpy()[~fit].sum() / frame["weight"].sum()
                errors.append(share * np.mean((everybody["log_wage"].to_numpy() - whole @ b) ** 2))
            squared[name] = sum(errors)
        return {name: 1 - squared[name] / squared[YEAR_ONLY] for name in SPECIFICATIONS}

    def gaps(self, frame: pd.DataFrame) -> Iterator[tuple[str, float, float, float, float]]:
        """Gaps and their differences."""
        x = _matrix(frame, [SCHOOL, "experience"])[:, 1:]
        sample = GapSample(
            outcome=frame["log_wage"].to_numpy(),
            group=(frame["gender"] == "woman").to_numpy(),
            person=pd.factorize(frame["person"])[0],
            features=x,
            weight=frame["weight"].to_numpy(),
            cluster=pd.factorize(frame["group"])[0],
            unit="household",
        )
        fold = folds_of_people(sample.cluster, 5)
        raw = raw_gap(sample)
        adjusted, noisy = (
            aipw_gap(one, cross_fit_nuisances(one, fold), adjusted_for=name)
            for name, one in {
                "columns": sample,
                "columns and noise": sample.with_features(
                    np.column_stack([x, np.random.default_rng(0).normal(size=(len(x), 5))])
                ),
            }.items()
        )
        women = (self.population["gender"] == "woman").to_numpy()
        wages = self.population["log_wage"].to_numpy()
        truth = wages[women].mean() - wages[~women].mean()
        yield "raw gap", truth, *_ends(raw)
        yield "AIPW gap", GAP, *_ends(adjusted)
        row = oaxaca_blinder(sample).loc["unexplained"]
        yield "Oaxaca-Blinder gap", GAP, row["estimate"], row["low"], row["high"]
        pairs = GapResult([raw, adjusted, noisy], cluster=sample.cluster).differences()
        ends = ["difference", "difference_low", "difference_high"]
        yield "difference, AIPW minus raw", GAP - truth, *pairs.loc[0, ends]
        yield "difference, AIPW with noise minus AIPW", 0.0, *pairs.loc[2, ends]

    def report(self) -> StudyResult:
        worlds = pd.concat([pd.read_csv(self.at(world)) for world in range(self.settings.worlds)])
        table = coverage(worlds)
        return StudyResult({"coverage": worlds_as_text(table)}, page=page_of({"Coverage": worlds_as_text(table)}))


def coverage(worlds: pd.DataFrame) -> pd.DataFrame:
    """By interval: worlds, the share whose interval holds the truth with its error, and widths against the spread."""
    inside = (worlds["low"] <= worlds["truth"]) & (worlds["truth"] <= worlds["high"])
    error = worlds["estimate"] - worlds["truth"]
    grouped = worlds.assign(inside=inside, error=error, width=worlds["high"] - worlds["low"]).groupby(
        "interval", sort=False
    )
    table = grouped.agg(
        worlds=("inside", "size"),
        inside=("inside", "mean"),
        bias=("error", "mean"),
        sd=("error", "std"),
        width=("width", "mean"),
    )
    return table.assign(inside_error=np.sqrt(table["inside"] * (1 - table["inside"]) / table["worlds"]))


def worlds_as_text(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a table of coverage in the order of a page."""
    return table[["worlds", "inside", "inside_error", "bias", "sd", "width"]].round(4)


def _matrix(frame: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """An intercept, some columns with the square of experience, and dummies of years, as `design` makes them."""
    parts = [np.ones(len(frame))]
    for name in columns:
        if name == "woman":
            parts.append((frame["gender"] == "woman").to_numpy())
        else:
            parts.append(frame[name].to_numpy())
            parts += [frame[name].to_numpy() ** 2] if name == "experience" else []
    parts += [(frame["year"] == year).to_numpy() for year in range(1991, 1995)]
    return np.column_stack(parts).astype(float)


def _ends(estimate: GapEstimate) -> tuple[float, float, float]:
    return estimate.estimate, estimate.low, estimate.high


@studies.command("coverage-wages")
def coverage_wages(
    output: Output,
    worlds: Annotated[int, typer.Option(help="Number of worlds.", min=2)] = 200,
    workers: Workers = 1,
) -> None:
    """Coverage of the intervals of wage regressions and gaps, weighted and clustered by household."""
    result = CoverageOfWages(output, CoverageSettings(worlds=worlds)).run(workers)
    typer.echo(result.page)
