"""The framework of all studies: a grid of trials, the best frozen, further seeds, scores, tables, a page and figures.

A study lives in a folder. Every model that it trains and every table that it computes is a cell: a folder or a file
that is either there and complete, or not there. So a study that was stopped goes on; inside a cell, training goes on
from its last checkpoint. A file beside this one is a study: its settings, what it trains, what it says, its command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
import typer
from transformers import PreTrainedModel

from career_hf.careers.atomic_files import complete, locked
from career_hf.careers.frames import load_careers
from career_hf.cli.console import Commands
from career_hf.comparing import score_once
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.resampling import interval_text
from career_hf.figures.style import error_lengths
from career_hf.figures.style import save as save_figure
from career_hf.training.cells import best_trial, keep_settings, linear_schedule, run_jobs, training_log


if TYPE_CHECKING:
    from datasets import Dataset
    from matplotlib.figure import Figure

# A trained model and its processor.
Made = tuple[PreTrainedModel, CareerProcessor]
# Transition tables by model, one for each training seed.
Tables = Mapping[str, Sequence[pd.DataFrame]]

# Person-years that one core trains on in a second; for the cost that is announced.
SPEED = 25_000


class StudyCommands(Commands):
    """Commands whose errors about their input have no traceback, whether the package raises them or a study."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            *_, (innermost, _) = walk_tb(error.__traceback__)
            if innermost.f_globals.get("__name__", "").startswith(f"{__package__}."):
                raise typer.BadParameter(str(error)) from error
            raise


studies = typer.Typer(cls=StudyCommands, no_args_is_help=True, pretty_exceptions_enable=False)


@studies.callback()
def group() -> None:
    """Train and compare many models; write tables and figures. A study that was stopped goes on."""


Output = Annotated[Path, typer.Option(help="Folder of the study.")]
Workers = Annotated[int, typer.Option(help="Number of processes; each uses one thread.")]
Seeds = Annotated[int, typer.Option(help="Number of training seeds.")]
Data = Annotated[Path, typer.Option(help="Folder of careers, as `prepare` or `simulate` writes it.", exists=True)]
Covariates = Annotated[str, typer.Option(help="Comma-separated: year, and columns of the careers.")]
Rates = Annotated[str, typer.Option(help="Learning rates that every variant tries, comma-separated.")]
MostSteps = Annotated[int, typer.Option(help="Largest number of updates, at which the rate is zero.", min=10)]
Resumes = Annotated[
    Path | None, typer.Option(help="Resumes to pretrain CAREER on: as careers, or as `simulate`.", exists=True)
]


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What every model of a study gets.

    Args:
        seeds: Number of training seeds; the first also has the trials.
        most_steps: Largest number of updates; early stopping may come before.
        tokens_per_batch: Person-years of an update.
        patience: Validations without improvement before training stops.
        draws: Resamples of people behind the intervals.
    """

    seeds: int = 3
    most_steps: int = 1_000
    tokens_per_batch: int = 4_000
    patience: int = 3
    draws: int = 1_000

    def schedule(self, rate: float, seed: int) -> dict[str, Any]:
        """What a recipe is told: the rate falls to zero at the last update, after a tenth of them as warmup.

        Args:
            rate: Peak learning rate.
            seed: Seed of weights and of the order of careers.
        """
        return linear_schedule(
            rate=rate,
            seed=seed,
            max_steps=self.most_steps,
            tokens_per_batch=self.tokens_per_batch,
            patience=self.patience,
        )

    def hours(self, runs: int) -> float:
        """Core hours of so many training runs, if none stops early."""
        return runs * self.most_steps * self.tokens_per_batch / SPEED / 3600


@dataclass(frozen=True)
class Trial:
    """One training run.

    Args:
        model: The model's name in tables.
        rate: Peak learning rate.
        seed: Training seed.
        fields: Other settings that are tried.
    """

    model: str
    rate: float
    seed: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The name of its folder."""
        fields = "".join(f", {key}={value}" for key, value in self.fields.items())
        return f"{self.model}, {self.rate:g}{fields}, {self.seed}"


@dataclass(frozen=True)
class StudyResult:
    """What a study says.

    Args:
        tables: Tables by name; `result["name"]` is one of them.
        figures: Figures by name.
        page: The tables as Markdown, for documentation.
    """

    tables: Mapping[str, pd.DataFrame | pd.Series]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    page: str = ""

    def __getitem__(self, name: str) -> Any:
        return self.tables[name]

    def save(self, folder: Path, float_formats: str | Mapping[str, str] | None = None) -> None:
        """Writes every table as NAME.csv, every figure as NAME.png, and the page as tables.md.

        Args:
            folder: Destination folder.
            float_formats: How numbers are written, in all tables or by name of the table; in full where nothing is
                said.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            form = float_formats.get(name) if isinstance(float_formats, Mapping) else float_formats
            numbered = isinstance(table.index, pd.RangeIndex)
            table.to_csv(folder / f"{name}.csv", index=not numbered, float_format=form)
        for name, figure in self.figures.items():
            save_figure(figure, folder / f"{name}.png")
        if self.page:
            (folder / "tables.md").write_text(self.page + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Study:
    """A study in its folder. A subclass says what is trained (`trials`, `train`) and what that says (`report`).

    Args:
        folder: Folder of the study; one that was stopped goes on.
        settings: Sizes.
    """

    folder: Path
    settings: Any

    # How numbers are written in CSV files; see `StudyResult.save`.
    float_formats = None

    def run(self, workers: int = 2) -> StudyResult:
        """Computes what is not computed yet, and writes tables, figures and the page.

        Args:
            workers: Processes, each of which uses one thread.

        Raises:
            ValueError: The folder holds a study with other settings, or one that is running.
        """
        with locked(self.folder):
            keep_settings(self.folder, self.described())
            self.prepare(workers)
            self.compute(workers)
            result = self.report()
            result.save(self.folder, self.float_formats)
        return result

    def described(self) -> dict[str, Any]:
        """What settings.json holds: a folder belongs to one study."""
        return asdict(self.settings)

    def prepare(self, workers: int) -> None:
        """What is done before the trials, such as drawing careers; nothing unless a study says so."""

    def compute(self, workers: int) -> None:
        """Trains every trial on the first seed, freezes each model's best, and trains and scores every seed of it."""
        self.tune(workers)
        self.work("Further seeds, and scoring", self.score, self.frozen(), workers)

    def tune(self, workers: int) -> None:
        """Trains every trial that is not there yet."""
        missing = [trial for trial in self.trials() if not self.place(trial.folder).exists()]
        self.work("Trials", self.train, missing, workers)

    def work(self, title: str, do: Callable[[Any], Any], cells: Iterable[Any], workers: int) -> None:
        """Does the same with every cell, several at a time, with progress."""
        run_jobs(title, [Job(do, cell) for cell in cells], workers)

    def trials(self) -> list[Trial]:
        """Every trial on the first seed."""
        raise NotImplementedError

    def train(self, trial: Any) -> Made:
        """Trains a model, or loads it from its folder if it is there."""
        raise NotImplementedError

    def score(self, trial: Any) -> None:
        """Trains a model, or loads it, and scores test careers."""
        path = self.folder / "tables" / trial.model / f"{trial.seed}.parquet"
        if not path.exists():
            score_once(path, *self.train(trial), self.test())

    def test(self) -> Dataset:
        """Test careers."""
        raise NotImplementedError

    def report(self) -> StudyResult:
        """Tables and figures of a study that is finished."""
        raise NotImplementedError

    def best(self) -> dict[str, Trial]:
        """By model, the trial that validation careers like best."""
        of_model: dict[str, list[Trial]] = {}
        for trial in self.trials():
            of_model.setdefault(trial.model, []).append(trial)
        return {model: best_trial(self.folder, same) for model, same in of_model.items()}

    def frozen(self) -> list[Trial]:
        """The best trial of each model with every seed."""
        return [replace(trial, seed=seed) for trial in self.best().values() for seed in range(self.settings.seeds)]

    def place(self, name: str) -> Path:
        """The folder of a model."""
        return self.folder / "models" / name

    def tables(self, kind: str = "tables") -> dict[str, list[pd.DataFrame]]:
        """Tables of test careers by model, one for each seed.

        Args:
            kind: The folder in which they are.
        """
        return load_tables(self.folder / kind)

    def training_of(self, name: str) -> pd.DataFrame:
        """Updates, hours and best validation NLL of every training run of a model, trials and further seeds."""
        log = training_log(self.folder)
        return log[log.index.str.startswith(f"{name}, ")]


@dataclass(frozen=True, kw_only=True)
class CareersStudy(Study):
    """A study of careers in a folder.

    Args:
        data: Folder of careers in splits, as `career-hf prepare` or `simulate` writes it.
        covariates: Covariates of every model that has any.
    """

    data: Path
    covariates: tuple[str, ...]

    def splits(self) -> dict[str, Dataset]:
        """Careers by split."""
        return load_careers(self.data)

    def test(self) -> Dataset:
        return self.splits()["test"]


class WorldsStudy(Study):
    """A study of drawn worlds, each with a table of its own. A subclass draws one; `settings.worlds` says how many."""

    def compute(self, workers: int) -> None:
        missing = [world for world in range(self.settings.worlds) if not self.at(world).exists()]
        self.work("Worlds", self.world, missing, workers)

    def at(self, world: int) -> Path:
        """The table of a world."""
        return self.folder / "worlds" / f"{world}.csv"


@dataclass(frozen=True)
class Job:
    """A function and the cell that it is called with."""

    do: Callable[[Any], Any]
    cell: Any

    def __call__(self) -> Any:
        return self.do(self.cell)


def load_tables(folder: Path) -> dict[str, list[pd.DataFrame]]:
    """Tables in `folder/MODEL/SEED.parquet`, by model."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for path in sorted(folder.glob("*/*.parquet")):
        tables.setdefault(path.parent.name, []).append(pd.read_parquet(path))
    return tables


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table that is either there and complete, or not there; as CSV where the name says so."""
    with complete(path) as unfinished:
        if path.suffix == ".csv":
            table.to_csv(unfinished, index=False)
        else:
            table.to_parquet(unfinished)


def with_interval(table: pd.DataFrame, value: str, low: str, high: str, digits: int, sign: str = "") -> pd.Series:
    """Numbers with their intervals in brackets, as `interval_text` has them."""
    texts = [interval_text(*row, digits, sign) for row in table[[value, low, high]].itertuples(index=False)]
    return pd.Series(texts, table.index, dtype=object)


def page_of(parts: Mapping[str, pd.DataFrame]) -> str:
    """Tables under headings, as Markdown; cells without a number are blank, and empty tables are left out."""
    return "\n\n".join(
        f"### {title}\n\n{_without_nulls(table).reset_index().to_markdown(index=False, disable_numparse=True)}"
        for title, table in parts.items()
        if len(table)
    )


def _without_nulls(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype(object).where(table.notna(), "")


def whiskers(rows: pd.DataFrame, value: str, low: str = "low", high: str = "high") -> np.ndarray:
    """`(2, rows)` distances from a number to the ends of its interval, for error bars."""
    return error_lengths(*(rows[name].to_numpy(dtype=float) for name in (value, low, high)))
