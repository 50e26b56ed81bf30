"""How far the settings that `train` takes from the size of a panel are from tuned ones.

Panels of several sizes are drawn from the simulated market, or from the training people of a survey. Each is trained
on with no options, and with a grid around what that chooses: rates, dropouts and batches. All models of a panel are
scored on the same further people, whom no choice has seen. "Tuned" is the setting of the grid that is best on them on
average over seeds, which nobody could know, so that the distance is an upper bound on what tuning could gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset

from career_hf import split_careers, train, transition_table
from career_hf.careers.frames import load_careers
from career_hf.cli.console import say, show
from career_hf.simulation import preset
from career_hf.training.trainer import training_defaults

from .study import Output, Study, StudyResult, Workers, page_of, studies, write_table


COVARIATES = ("year", "education", "region", "race", "gender", "birth_year")
RULE = "no options"
# Test people of the market are drawn with this seed, panels with others.
TEST_SEED, PANEL_SEED = 99, 100


@dataclass(frozen=True)
class SettingsBySizeSettings:
    """Settings of the study.

    Args:
        people: Sizes of the panels, validation people included.
        seeds: Panels of each size, each with a training seed of its own.
        test_people: People who are scored.
        rates: Factors of the rule's rate in the grid.
        dropouts: Dropouts of the grid.
        batches: Factors of the rule's batch, at its rate and dropout.
    """

    people: tuple[int, ...] = (100, 500, 5_000, 50_000)
    seeds: int = 2
    test_people: int = 1_000
    rates: tuple[float, ...] = (0.5, 1.0, 2.0)
    dropouts: tuple[float, ...] = (0.1, 0.3)
    batches: tuple[float, ...] = (0.5, 2.0)


@dataclass(frozen=True)
class Cell:
    """One training run: the rule where an option is None.

    Args:
        people: Size of the panel.
        seed: Its seed.
        rate, batch: Factors of the rule's rate and batch.
        dropout: Dropout.
    """

    people: int
    seed: int
    rate: float | None = None
    dropout: float | None = None
    batch: float | None = None

    @property
    def setting(self) -> str:
        """What is changed, in words."""
        words = {"rate x": self.rate, "dropout ": self.dropout, "batch x": self.batch}
        return ", ".join(f"{word}{value:g}" for word, value in words.items() if value is not None) or RULE


@dataclass(frozen=True)
class SettingsBySize(Study):
    """The study in its folder.

    Args:
        data: Folder of careers in splits whose training people panels are drawn from; the market if None.
        covariates: Covariates of every model.
    """

    settings: SettingsBySizeSettings
    data: Path | None = None
    covariates: tuple[str, ...] = COVARIATES
    float_formats = "%.4f"

    def described(self) -> dict[str, Any]:
        # Sizes and seeds may be added to a study.
        rest = {name: value for name, value in asdict(self.settings).items() if name not in ("people", "seeds")}
        return {**rest, "data": None if self.data is None else str(self.data), "covariates": list(self.covariates)}

    def cells(self) -> list[Cell]:
        """Every training run, small panels first."""
        settings = self.settings
        grid = [Cell(0, 0)]
        grid += [Cell(0, 0, rate, dropout) for rate in settings.rates for dropout in settings.dropouts]
        grid += [Cell(0, 0, batch=batch) for batch in settings.batches]
        seeds = range(settings.seeds)
        return [replace(cell, people=n, seed=seed) for n in settings.people for seed in seeds for cell in grid]

    def compute(self, workers: int) -> None:
        missing = [cell for cell in self.cells() if not self.at(cell).exists()]
        self.work("Training runs", self.run_cell, missing, workers)

    def at(self, cell: Cell) -> Path:
        """The file of a run."""
        return self.folder / "runs" / f"{cell.people}, {cell.seed}, {cell.setting}.csv"

    def panel(self, people: int, seed: int) -> Mapping[str, Dataset]:
        """A panel in splits."""
        if self.data is None:
            return split_careers(preset("survey").simulate(people=people, seed=PANEL_SEED + seed).careers)
        splits = load_careers(self.data)
        rng = np.random.default_rng(seed)
        sizes = {"train": round(0.8 * people), "validation": round(0.2 * people)}
        return {name: splits[name].select(rng.permutation(len(splits[name]))[:size]) for name, size in sizes.items()}

    def test(self) -> Dataset:
        if self.data is None:
            return preset("survey").simulate(people=self.settings.test_people, seed=TEST_SEED).careers
        everybody = load_careers(self.data)["test"]
        return everybody.select(np.random.default_rng(0).permutation(len(everybody))[: self.settings.test_people])

    def run_cell(self, cell: Cell) -> None:
        """Trains and scores."""
        panel = self.panel(cell.people, cell.seed)
        person_years = sum(map(len, panel["train"]["year"]))
        rule, options = training_defaults(person_years), {}
        if cell.rate is not None:
            options["learning_rate"] = cell.rate * rule["learning_rate"]
        if cell.dropout is not None:
            options["dropout"] = cell.dropout
        if cell.batch is not None:
            options["tokens_per_batch"] = round(cell.batch * rule["tokens_per_batch"])
        trained = train(panel, covariates=self.covariates, seed=cell.seed, **options)
        run = trained.processor.training_stages[-1]["run"]
        scored = transition_table(trained, self.test(), unknown_levels="missing")
        row = {
            "people": cell.people,
            "person_years": person_years,
            "seed": cell.seed,
            "setting": cell.setting,
            "test": -scored["log_prob"].mean(),
            "validation": run["best"]["value"],
            "updates": run["updates"],
            "seconds": run["seconds"],
            "expected_seconds": trained.plan.seconds,  # type: ignore[union-attr]  # it is trained step by step
        }
        write_table(self.at(cell), pd.DataFrame([row]))

    def report(self) -> StudyResult:
        runs = pd.concat([pd.read_csv(self.at(cell)) for cell in self.cells()], ignore_index=True)
        means = runs.groupby(["people", "setting"], sort=False)[["test", "validation", "updates", "seconds"]].mean()
        rows = {}
        for people, of_size in runs.groupby("people"):
            mean = means.loc[people]
            rule, best = mean.loc[RULE], mean["test"].idxmin()
            by_seed = of_size.pivot(index="seed", columns="setting", values="test")
            gaps = by_seed[RULE] - by_seed[best]
            rows[people] = {
                "person_years": of_size["person_years"].mean(),
                "rule": rule["test"],
                "tuned": mean.loc[best, "test"],
                "difference": gaps.mean(),
                "largest": gaps.max(),
                "tuned_setting": best,
                "seeds": len(by_seed),
                "updates": rule["updates"],
                "seconds": rule["seconds"],
            }
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("people")
        grid = means["test"].unstack("people").round(4)
        return StudyResult({"sizes": table, "grid": grid, "runs": runs}, {}, page_of({"Sizes": table, "Grid": grid}))


@studies.command("settings-by-size")
def settings_by_size_command(
    output: Output,
    people: Annotated[str, typer.Option(help="Sizes of panels, comma-separated.")] = "100,500,5000,50000",
    seeds: Annotated[int, typer.Option(help="Number of panels of each size.", min=1)] = 2,
    data: Annotated[
        Path | None, typer.Option(help="Careers in splits to draw panels from; the market if left out.", exists=True)
    ] = None,
    covariates: Annotated[str, typer.Option(help="Comma-separated covariates.")] = ",".join(COVARIATES),
    test_people: Annotated[int, typer.Option(help="Number of people who are scored.", min=1)] = 1_000,
    rates: Annotated[str, typer.Option(help="Factors of the rule's rate, comma-separated.")] = ".5,1,2",
    dropouts: Annotated[str, typer.Option(help="Dropouts, comma-separated.")] = ".1,.3",
    batches: Annotated[str, typer.Option(help="Factors of the rule's batch, comma-separated.")] = ".5,2",
    workers: Workers = 1,
) -> None:
    """Are the settings that `train` takes from the size of a panel as good as tuned ones?"""

    def numbers(commas: str) -> tuple[float, ...]:
        return tuple(float(number) for number in commas.split(",") if number)

    sizes = tuple(int(number) for number in people.split(","))
    grid = {"rates": numbers(rates), "dropouts": numbers(dropouts), "batches": numbers(batches)}
    settings = SettingsBySizeSettings(sizes, seeds, test_people, **grid)
    study = SettingsBySize(output, settings, data=data, covariates=tuple(covariates.split(",")))
    result = study.run(workers)
    show(result["sizes"], "Nats per person-year of people whom no choice has seen")
    show(result["grid"], "Every setting, mean over panels")
    say(f"{output}/sizes.csv, grid.csv, runs.csv, tables.md")
