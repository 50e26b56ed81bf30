"""Forecasts after pretraining on real careers, and of the best recipe: trained up to a cutoff, scored in later years.

The models are those of the study of foundations with all training people: CAREER and the best recipe, from scratch and
pretrained on another survey. Careers of both surveys end at the cutoff, so nothing that trains knows a year after it.
People of the test split are forecast, whom no model has seen, with covariates that keep their last values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from datasets import Dataset, DatasetDict
from matplotlib.figure import Figure

from career_hf.careers.frames import truncate
from career_hf.cli.console import say, show
from career_hf.cli.options import pairs
from career_hf.figures.style import new_figure, styled
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.metrics import state_auc_differences, watched
from career_hf.forecasting.table import forecast_table, realised_years
from career_hf.occupations.labels import NOT_WORKING

from .foundation import BEST, MAIN, PRETRAINED, SCRATCH, Cell, FoundationSettings, FoundationStudy, States
from .study import Data, Output, Seeds, StudyResult, Workers, page_of, studies, with_interval, write_table
from .table1 import draw_perplexities, perplexities


@dataclass(frozen=True)
class FoundationForecasts(FoundationStudy):
    """Leaves forecasts.csv, auc.csv, tables.md and forecasts.png.

    Args:
        cutoff: The last year that may be known.
        years: The forecast years.
        samples: Trajectories of each person.
    """

    cutoff: int = 0
    years: tuple[int, ...] = ()
    samples: int = 300

    def described(self) -> dict[str, Any]:
        return {**super().described(), "cutoff": self.cutoff, "years": list(self.years), "samples": self.samples}

    def careers(self, folder: Path) -> DatasetDict:
        """Careers up to the cutoff."""
        splits = super().careers(folder)
        return DatasetDict({name: truncate(careers, self.cutoff)[0] for name, careers in splits.items()})

    def future(self) -> Dataset:
        """Whole careers of test people."""
        return super().careers(self.data)["test"]

    @property
    def models(self) -> Sequence[str]:
        """What is trained: without another survey nothing is pretrained."""
        return [name for name in (*MAIN, *BEST) if self.corpus.name or name not in PRETRAINED]

    def compute(self, workers: int) -> None:
        self.work("Pretraining", self.pretrained, [name for name in self.models if name in PRETRAINED], workers)
        cells = [Cell(model, 1.0, seed) for seed in range(self.settings.seeds) for model in self.models]
        self.work("Training and forecasting", self.score, cells, workers)

    def score(self, trial: Cell) -> None:
        path = self.folder / "forecasts" / trial.model / f"{trial.seed}.parquet"
        if path.exists():
            return
        model, processor = self.train(trial)
        realised = realised_years(self.future(), self.cutoff, self.years, "survivors")
        forecasts = forecast(
            model,
            realised.careers,
            processor,
            cutoff=self.cutoff,
            years=self.years,
            unknown_levels="missing",
            samples=self.samples,
            seed=trial.seed,
        )
        watch = sorted({label for career in self.future()["occupation"] for label in career} & set(NOT_WORKING))
        table = forecast_table(forecasts, realised.rows, watch=watch, unknown_occupation=processor.unknown_occupation)
        write_table(path, table)

    def report(self) -> StudyResult:
        tables = self.tables("forecasts")
        # CAREER from scratch first, as the one that the others are compared with.
        tables = {name: tables[name] for name in self.models if name in tables}
        levels = perplexities(tables, self.settings.draws, baseline=SCRATCH)
        areas = []
        for state in watched(tables[SCRATCH][0]):
            found = state_auc_differences(tables, SCRATCH, state, self.settings.draws)
            areas.append(found.reset_index().assign(state=state))
        found = {"forecasts": levels, "auc": pd.concat(areas, ignore_index=True)}
        return StudyResult(found, {"forecasts": forecasts_figure(levels)}, page_of(in_words(found)))


@styled
def forecasts_figure(levels: pd.DataFrame) -> Figure:
    """Perplexity by forecast year, and differences of log-perplexity from CAREER's from scratch."""
    figure, (upper, lower) = new_figure(9.0, 2)
    draw_perplexities(upper, lower, levels, list(levels["model"].unique()), SCRATCH)
    lower.set(title=f"The same, minus CAREER {SCRATCH}")
    return figure


def in_words(found: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Both tables by their headings, one row for each model, with intervals in brackets."""
    levels, areas = found["forecasts"], found["auc"]
    of_levels = {
        "Perplexity": with_interval(levels, "perplexity", "low", "high", 2),
        f"Log-perplexity minus that of CAREER {SCRATCH}": with_interval(
            levels, "difference", "difference_low", "difference_high", 3, "+"
        ),
    }
    parts = {
        title: levels.assign(text=text).pivot(index="model", columns="year", values="text")
        for title, text in of_levels.items()
    }
    areas = areas.assign(text=with_interval(areas, "auc", "low", "high", 3))
    parts["AUC of being in a state, all years together"] = areas.pivot(index="model", columns="state", values="text")
    return parts


@studies.command("foundation-forecasts")
def foundation_forecasts(
    data: Data,
    output: Output,
    cutoff: Annotated[int, typer.Option(help="The last year that may be known.")],
    years: Annotated[str, typer.Option(help="Forecast years, comma-separated.")],
    corpus: Annotated[
        Path | None, typer.Option(help="Folder of careers of another survey in splits, to pretrain on.", exists=True)
    ] = None,
    states: States = "",
    workers: Workers = 1,
    seeds: Seeds = 3,
    samples: Annotated[int, typer.Option(help="Number of trajectories of each person.", min=2)] = 300,
    most_steps: Annotated[int | None, typer.Option(help="Updates at most; by default the rule's.", min=4)] = None,
) -> None:
    """Forecasts of CAREER and of the best recipe, from scratch and pretrained on another survey, by year ahead."""
    settings = FoundationSettings(seeds=seeds, most_steps=most_steps)
    study = FoundationForecasts(
        output,
        settings,
        data=data,
        corpus=corpus or Path(),
        states=pairs(states),
        cutoff=cutoff,
        years=tuple(int(year) for year in years.split(",")),
        samples=samples,
    )
    result = study.run(workers)
    for title, table in in_words(result.tables).items():
        show(table, title)
    say(f"{output}/*.csv, tables.md, forecasts.png")
