"""What careers say about wages, by model: h of CAREER and of the best recipe, from scratch and with another survey.

The models are those that the study `foundation` trained on all training people; test people, whom no model has seen,
are those whose wages are explained, in five splits. It is the row of the paper's Table 3 of a pretrained CAREER, with
people's careers in the place of resumes, and the same row for the better model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from datasets import Dataset
from matplotlib.figure import Figure

from career_hf.careers.columns import with_weights
from career_hf.careers.frames import load_careers
from career_hf.cli.console import say, show
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.figures.style import forest, looks, new_figure, styled
from career_hf.representing.representations import representations
from career_hf.wages.design import BLAU_KAHN, LOG_WAGE, available_blocks, wage_frame
from career_hf.wages.regression import ALL_YEARS, YEAR_ONLY, held_out_r2, predict_held_out, r2_differences

from .foundation import BEST_OTHER, BEST_SCRATCH, BEST_TOGETHER, OTHER, SCRATCH
from .study import Data, Output, Seeds, Study, StudyResult, Workers, page_of, studies, with_interval, write_table
from .table3 import TIMINGS


MODELS = (SCRATCH, OTHER, BEST_SCRATCH, BEST_OTHER, BEST_TOGETHER)
BASE, WITH_OCCUPATION = "Blau-Kahn", "+ occupation"


@dataclass(frozen=True)
class FoundationWagesSettings:
    """Settings of the study.

    Args:
        seeds: Training seeds of the models; each splits people anew.
        splits: Splits of people, of the regressions.
        draws: Resamples of people behind intervals.
    """

    seeds: int = 3
    splits: int = 5
    draws: int = 1_000


@dataclass(frozen=True, kw_only=True)
class FoundationWages(Study):
    """Leaves r2.csv, differences.csv, tables.md and wages.png.

    Args:
        data: Folder of careers in splits with wages, of the same people as the models'.
        models: Folder of the study `foundation`.
    """

    data: Path
    models: Path
    settings: FoundationWagesSettings
    float_formats = "%.5f"

    def described(self) -> dict[str, Any]:
        return {"data": str(self.data), "models": str(self.models), "splits": self.settings.splits}

    def trained(self, name: str, seed: int) -> Path:
        """The folder of a model that was trained on everybody."""
        return self.models / "models" / f"{name}, 1, {seed}"

    @property
    def names(self) -> list[str]:
        """Models of which every seed is there."""
        seeds = range(self.settings.seeds)
        return [name for name in MODELS if all(self.trained(name, seed).exists() for seed in seeds)]

    def prepare(self, workers: int) -> None:
        test = load_careers(self.data)["test"]
        if LOG_WAGE not in test.column_names:
            raise ValueError(f"careers in {self.data} have no outcome '{LOG_WAGE}': prepare them with wages")
        trained_on = load_careers(Path(json.loads((self.models / "settings.json").read_text())["data"]))
        seen = {person for name in ("train", "validation") for person in trained_on[name]["person"]}
        if both := sorted(seen & set(test["person"])):
            raise ValueError(
                f"person '{both[0]}' is in the split test of {self.data}, and models were trained on them"
            )
        if not self.names:
            raise ValueError(
                f"{self.models} has no model that was trained on everybody: run the study foundation there"
            )

    def compute(self, workers: int) -> None:
        missing = [seed for seed in range(self.settings.seeds) if not self.at(seed).exists()]
        self.work("Regressing wages", self.predict, missing, workers)

    def at(self, seed: int) -> Path:
        """The predictions of a seed."""
        return self.folder / "predictions" / f"{seed}.parquet"

    def predict(self, seed: int) -> None:
        careers: Dataset = with_weights(load_careers(self.data)["test"], False)
        h = {}
        for name in self.names:
            model, processor = load_checkpoint(self.trained(name, seed))
            for timing in TIMINGS:
                values = representations(model, careers, processor, timing=timing, unknown_levels="missing")
                h[f"{timing}, {name}"] = values
        frame, ledger = wage_frame(careers, h)
        ledger.save(self.folder / "ledger.json")
        base = available_blocks(BLAU_KAHN, frame)[0]
        occupation = [*base, "occupation"]
        rows = {BASE: base, WITH_OCCUPATION: occupation}
        rows |= {f"{WITH_OCCUPATION}, h {name}": [*occupation, f"h {name}"] for name in h}
        write_table(self.at(seed), predict_held_out(frame, rows, splits=self.settings.splits, seed=seed))

    def report(self) -> StudyResult:
        frames = [pd.read_parquet(self.at(seed)) for seed in range(self.settings.seeds)]
        r2 = held_out_r2(frames, baseline=WITH_OCCUPATION, draws=self.settings.draws)
        differences = r2_differences(frames, draws=self.settings.draws)
        # What each h gains over that of CAREER from scratch, in the same timing.
        scratch = [f"{WITH_OCCUPATION}, h {timing}, {SCRATCH}" for timing in TIMINGS]
        differences = differences[differences["minus"].isin(scratch)]
        same = differences.apply(lambda row: row["specification"].startswith(row["minus"].rpartition(", ")[0]), axis=1)
        tables = {"r2": r2, "differences": differences[same].reset_index(drop=True)}
        overall = r2[(r2["years"] == ALL_YEARS) & (r2["specification"] != YEAR_ONLY)].set_index("specification")
        page = pd.DataFrame(
            {
                "R^2 within year": with_interval(overall, "within_year", "within_year_low", "within_year_high", 3),
                f"gain over {WITH_OCCUPATION}": with_interval(overall, "gain", "gain_low", "gain_high", 3, "+"),
                f"minus h of CAREER {SCRATCH}": with_interval(
                    tables["differences"].set_index("specification"), "difference", "low", "high", 4, "+"
                ),
            }
        )
        page = page.loc[overall.index].fillna("")
        return StudyResult(tables, {"wages": wages_figure(overall.reset_index())}, page_of({"Wages": page}))


@styled
def wages_figure(rows: pd.DataFrame) -> Figure:
    """R^2 within year of every specification."""
    figure, axes = new_figure(8.0)
    rows = rows.assign(kind="regressions")
    ends = {"estimate": "within_year", "low": "within_year_low", "high": "within_year_high"}
    forest(axes, rows, **ends, name="specification", series="kind", series_looks=looks(["regressions"]), dodge=False)
    people, person_years = rows["people"].iloc[0], rows["observations"].iloc[0]
    axes.set(title=f"Log wages of {people:,} people, {person_years:,} person-years", xlabel="R^2 within year")
    return figure


@studies.command("foundation-wages")
def foundation_wages(
    data: Data,
    models: Annotated[Path, typer.Option(help="Folder of the study foundation.", exists=True)],
    output: Output,
    seeds: Seeds = 3,
    workers: Workers = 1,
) -> None:
    """Wages given careers: h of CAREER and of the best recipe, from scratch and with another survey."""
    study = FoundationWages(output, data=data, models=models, settings=FoundationWagesSettings(seeds=seeds))
    result = study.run(workers)
    show(result["differences"].set_index("specification"), "R^2 within year minus that with h of CAREER from scratch")
    say(f"{output}/r2.csv, differences.csv, tables.md, wages.png")
