"""How often fans of shares hold what happens, by what they hold: chance, the model's uncertainty, and years.

Two studies. `coverage-shares` draws worlds in which years do not differ, from a Markov chain or from the simulated
market, each market with its own law. A model that is trained on few people forecasts the shares of occupations among
many, so that its uncertainty is large beside chance. Where the chain is the truth, a chain can only be wrong about its
numbers; in the market it is wrong about the form of the law too, which no refit tells. `backtest-shares` forecasts a
real survey from one cutoff after another, as one would have done then; the errors of earlier cutoffs, and they alone,
say how much years differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, DatasetDict

import career_hf
from career_hf.careers import from_frame
from career_hf.explaining.outcome_groups import ordered_groups
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.metrics import share_forecasts
from career_hf.forecasting.result import Forecast
from career_hf.forecasting.shocks import Shocks, estimate_shocks
from career_hf.forecasting.table import forecast_table, realised_years
from career_hf.occupations.crosswalks import groups_of
from career_hf.simulation import preset

from .coverage_forecasts import LABELS, shares, transitions
from .study import CareersStudy, Data, Output, StudyResult, Workers, WorldsStudy, page_of, studies, write_table


ONE, ENSEMBLE, YEARS = "one model", "ensemble", "ensemble and years"
# The share of people of the chain who stay where they are.
STAY = 0.6
# Ends of the bands of 90% and of 50%.
BANDS = {"90%": ("0.05", "0.95"), "50%": ("0.25", "0.75")}
# A small CAREER, and how it is trained.
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 64}
SHORT = {"tokens_per_batch": 1_000, "max_steps": 150, "eval_steps": 50, "warmup_steps": 15}
# Shares below which a group of 1,000 people has fewer than 10.
FEWEST_SHARE = 0.01


class Law(StrEnum):
    chain = "chain"
    market = "market"


@dataclass(frozen=True, kw_only=True)
class FanSettings:
    """What both studies train and draw.

    Args:
        model: "career", a small one, or a rival that is made of counts.
        members: Number of models of an ensemble.
        samples: Trajectories per person.
    """

    model: str = "career"
    members: int = 5
    samples: int = 100

    def training(self, covariates: Sequence[str]) -> dict[str, Any]:
        """Options of `train`."""
        if self.model != "career":
            return {"model": self.model}
        return {"recipe": "best", "covariates": list(covariates), "fields": SMALL, **SHORT}


def fans(
    forecasts: Mapping[str, Forecast],
    rows: pd.DataFrame,
    labels: Sequence[str] | Mapping[str, Sequence[str]],
    shocks: Shocks | None = None,
) -> Iterator[pd.DataFrame]:
    """Forecast and realised shares, for each forecast by name."""
    for name, made in forecasts.items():
        table = forecast_table(made, rows)
        yield share_forecasts(made, table, labels, shocks=shocks).assign(fan=YEARS if shocks is not None else name)


def scored(shares: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """How often bands hold what happened, and the mean deviation of each thing that they hold.

    Args:
        shares: Rows of `share_forecasts`, with the columns `fan` and `cutoff`, and `world` where there are worlds.
        by: Further columns by which rows are told apart.

    Returns:
        One row per fan and group: shares, held by the bands of 90% and 50%, the standard error of the former between
        worlds or cutoffs (errors of one are dependent), the mean relative deviations, and the root mean square of the
        errors in units of the whole deviation, which is 1 where fans are right.
    """
    known = shares[shares["expected"] >= FEWEST_SHARE].copy()
    unit = "world" if "world" in known else "cutoff"
    for name, (low, high) in BANDS.items():
        known[name] = known["realised"].between(known[low] - 1e-9, known[high] + 1e-9)
    known["deviation"] = np.sqrt((known[["chance", "model", "years"]] ** 2).sum(axis=1))
    known["score"] = ((known["realised"] - known["expected"]) / known["deviation"]) ** 2
    rows = []
    for keys, part in known.groupby(["fan", *by], sort=False):
        of_unit = part.groupby(unit)["90%"].agg(["sum", "size"])
        held = part["90%"].mean()
        error = np.sqrt(((of_unit["sum"] - held * of_unit["size"]) ** 2).sum()) / len(part)
        relative = {name: (part[name] / part["expected"]).mean() for name in ("chance", "model", "years")}
        rows.append(
            dict(zip(["fan", *by], keys, strict=True))
            | {"shares": len(part), "90%": held, "error": error, "50%": part["50%"].mean()}
            | relative
            | {"root mean square": np.sqrt(part["score"].mean())}
        )
    return pd.DataFrame(rows).set_index(["fan", *by])


@dataclass(frozen=True, kw_only=True)
class WorldSettings(FanSettings):
    """Settings of the study of worlds.

    Args:
        law: "chain" or "market".
        worlds: Number of worlds.
        people: People whom models are trained on; a quarter of them more are for validation.
        forecast: People drawn to be forecast, of whom some are observed after the cutoff.
        cutoffs: Cutoffs, which worlds take in turn.
    """

    law: str = "market"
    worlds: int = 40
    people: int = 400
    forecast: int = 800
    cutoffs: tuple[int, ...] = (1986, 1989, 1992)


def chain_careers(people: int, rng: np.random.Generator) -> Dataset:
    """Careers of a Markov chain, each of 5 to 12 years, which begin in 1980 to 1990.

    Args:
        people: Number of people.
        rng: Source of randomness.
    """
    cumulative = transitions(STAY).cumsum(axis=1)
    own, first, years = (
        rng.choice(len(LABELS), people, p=shares()),
        rng.integers(1980, 1991, people),
        rng.integers(5, 13, people),
    )
    frames = []
    for step in range(12):
        there = np.flatnonzero(step < years)
        labels = np.array(LABELS)[own[there]]
        frames.append(pd.DataFrame({"person": there, "year": first[there] + step, "occupation": labels}))
        own = (cumulative[own] < rng.random((people, 1))).sum(axis=1).clip(max=len(LABELS) - 1)
    return from_frame(pd.concat(frames))


@dataclass(frozen=True)
class CoverageOfShares(WorldsStudy):
    """The study of worlds in its folder."""

    settings: WorldSettings
    float_formats = "%.4f"

    def careers(self, world: int) -> tuple[DatasetDict, Dataset]:
        """Careers of a world to train on and to forecast."""
        settings = self.settings
        people = settings.people + settings.people // 4
        if settings.law == "chain":
            drawn = chain_careers(people + settings.forecast, np.random.default_rng(world))
        else:
            market = preset("tiny").with_world(seed=1_000 + world, last_year=1996)
            market = market.with_survey(last_annual_year=1996, fewest_waves=8, most_waves=18)
            drawn = market.simulate(people + settings.forecast, seed=world).careers
        order = np.random.default_rng(world).permutation(len(drawn))
        train, validation, ahead = np.split(order, [settings.people, people])
        return DatasetDict(train=drawn.select(train), validation=drawn.select(validation)), drawn.select(ahead)

    def world(self, world: int) -> None:
        """Fans of one world and what happened."""
        settings = self.settings
        cutoff = settings.cutoffs[world % len(settings.cutoffs)]
        known, ahead = self.careers(world)
        covariates = [] if settings.law == "chain" else ["education", "gender"]
        options = {**settings.training(covariates), "cutoff": cutoff, "seed": world}
        realised = realised_years(ahead, cutoff, range(cutoff + 1, cutoff + 4), "observed")
        models = {
            ONE: career_hf.train(known, **options),
            ENSEMBLE: career_hf.train_ensemble(known, members=settings.members, **options),
        }
        made = {
            name: forecast(
                model,
                realised.histories,
                years=range(cutoff + 1, cutoff + 4),
                samples=settings.samples,
                trajectories=True,
                unknown_levels="missing",
            )
            for name, model in models.items()
        }
        labels = [label for label in made[ONE].occupations if label != "unknown"]
        tables = [table.assign(world=world, cutoff=cutoff) for table in fans(made, realised.rows, labels)]
        write_table(self.at(world), pd.concat(tables, ignore_index=True))

    def report(self) -> StudyResult:
        found = pd.concat([pd.read_csv(self.at(world)) for world in range(self.settings.worlds)])
        tables = {"coverage": scored(found), "by_step": scored(found, ["ahead"])}
        return StudyResult(tables, page=page_of({name: table.round(3) for name, table in tables.items()}))


@dataclass(frozen=True, kw_only=True)
class BacktestSettings(FanSettings):
    """Settings of the study of a survey.

    Args:
        cutoffs: Cutoffs, in order; the first ones are only there to learn from.
        learning: Number of cutoffs that are only learnt from.
        horizon: Number of observed years that are forecast from each.
        people: How many people are forecast, drawn at random.
    """

    cutoffs: tuple[int, ...] = (1984, 1986, 1988, 1990, 1992, 1994)
    learning: int = 2
    horizon: int = 3
    people: int = 1_000


@dataclass(frozen=True)
class BacktestOfShares(CareersStudy):
    """The study of a survey, coded in occ1990dd, in its folder."""

    settings: BacktestSettings
    float_formats = "%.4f"

    def compute(self, workers: int) -> None:
        runs = [
            (cutoff, member)
            for cutoff in self.settings.cutoffs
            for member in range(-1, self.settings.members)
            if not (self.model(cutoff, member) / "config.json").exists()
        ]
        self.work("Models", self.fit, runs, workers)
        missing = [cutoff for cutoff in self.settings.cutoffs if not self.at(cutoff).exists()]
        # One after the other, because later ones learn from earlier ones.
        self.work("Forecasts", self.ahead, missing, 1)

    def at(self, cutoff: int) -> Path:
        """The table of a cutoff."""
        return self.folder / "cutoffs" / f"{cutoff}.csv"

    def model(self, cutoff: int, member: int) -> Path:
        """The folder of a member of an ensemble, or with -1 of the model of everybody."""
        return self.folder / "models" / str(cutoff) / ("one" if member < 0 else f"ensemble/member-{member}")

    def fit(self, run: tuple[int, int]) -> None:
        """Trains one model, as `train_ensemble` does."""
        cutoff, member = run
        career_hf.train(
            self.data,
            output=self.model(cutoff, member),
            cutoff=cutoff,
            bootstrap=member >= 0,
            seed=max(member, 0),
            overwrite=True,
            **self.settings.training(self.covariates),
        )

    def ahead(self, cutoff: int) -> None:
        """Fans of one cutoff and what happened, with what was known of earlier ones by then."""
        careers = self.test()
        observed = sorted({year for years in careers["year"] for year in years if year > cutoff})
        years = observed[: self.settings.horizon]
        realised = realised_years(careers, cutoff, years, "survivors", people=self.settings.people)
        made = {
            name: forecast(
                model,
                realised.histories,
                years=years,
                samples=self.settings.samples,
                trajectories=True,
                unknown_levels="missing",
            )
            for name, model in ((ONE, self.model(cutoff, -1)), (ENSEMBLE, self.model(cutoff, 0).parent))
        }
        labels = made[ONE].occupations
        expected = made[ENSEMBLE].probability.mean(axis=(0, 1))
        group_of = groups_of(labels, "major_group")
        kinds = {
            "broad groups and states": {
                group: [label for label in labels if group_of[label] == group]
                for group in ordered_groups(group_of.values())
                if group != made[ONE].attrs["unknown_occupation"]
            },
            "occupations": {
                label: [label]
                for label, share in zip(labels, expected, strict=True)
                if share >= FEWEST_SHARE and group_of[label] != label
            },
        }
        tables = []
        for kind, groups in kinds.items():
            found = list(fans(made, realised.rows, groups))
            earlier = self.known(kind, cutoff)
            if earlier:
                found += fans({ENSEMBLE: made[ENSEMBLE]}, realised.rows, groups, estimate_shocks(earlier))
            tables += [table.assign(cutoff=cutoff, kind=kind) for table in found]
        write_table(self.at(cutoff), pd.concat(tables, ignore_index=True))

    def known(self, kind: str, cutoff: int) -> list[pd.DataFrame]:
        """The shares of earlier cutoffs that were known by a cutoff."""
        found = []
        for earlier in self.settings.cutoffs[: self.settings.cutoffs.index(cutoff)]:
            table = pd.read_csv(self.at(earlier))
            is_known = (table["fan"] == ENSEMBLE) & (table["kind"] == kind) & (table["year"] <= cutoff)
            found.append(table[is_known & (table["expected"] >= FEWEST_SHARE)])
        return [table for table in found if len(table)]

    def report(self) -> StudyResult:
        shares = pd.concat([pd.read_csv(self.at(cutoff)) for cutoff in self.settings.cutoffs])
        shares = shares[shares["cutoff"].isin(self.settings.cutoffs[self.settings.learning :])]
        tables = {
            "coverage": scored(shares, ["kind"]),
            "by_step": scored(shares, ["kind", "ahead"]),
            "by_cutoff": scored(shares, ["kind", "cutoff"]),
            "by_group": scored(shares[shares["kind"] != "occupations"], ["occupation"]),
            "shares": shares,
        }
        texts = {name: table.round(3) for name, table in tables.items() if name != "shares"}
        return StudyResult(tables, page=page_of(texts))


@studies.command("coverage-shares")
def coverage_shares(
    output: Output,
    law: Annotated[Law, typer.Option(help="What careers are drawn from.")] = Law.market,
    worlds: Annotated[int, typer.Option(help="Number of worlds.", min=2)] = 40,
    members: Annotated[int, typer.Option(help="Number of models of an ensemble.", min=2)] = 5,
    model: Annotated[str, typer.Option(help="Model that forecasts: career, or a rival made of counts.")] = "career",
    workers: Workers = 1,
) -> None:
    """How often fans of shares hold what happens in worlds of the market: one model, and an ensemble."""
    settings = WorldSettings(law=law.value, model=model, worlds=worlds, members=members)
    typer.echo(CoverageOfShares(output, settings).run(workers).page)


@studies.command("backtest-shares")
def backtest_shares(
    data: Data,
    output: Output,
    members: Annotated[int, typer.Option(help="Number of models of an ensemble.", min=2)] = 5,
    model: Annotated[str, typer.Option(help="Model that forecasts: career, or a rival made of counts.")] = "career",
    cutoffs: Annotated[
        str, typer.Option(help="Cutoffs in order, comma-separated; the first two are only learnt from.")
    ] = ",".join(map(str, BacktestSettings.cutoffs)),
    workers: Workers = 1,
) -> None:
    """How often fans of shares hold what happened in a survey, forecast from one cutoff after another."""
    years = tuple(sorted(int(year) for year in cutoffs.split(",")))
    settings = BacktestSettings(model=model, members=members, cutoffs=years)
    if len(years) <= settings.learning:
        raise typer.BadParameter(f"{cutoffs} has no cutoff after the first {settings.learning}: name more")
    study = BacktestOfShares(output, settings, data=data, covariates=("year", "education", "gender"))
    typer.echo(study.run(workers).page)
