"""Table 3: what careers add to wage regressions, on the simulated market or on a survey with wages.

Two protocols. "paper": models are trained on 80% of people (70% to learn from, 10% to stop by) and frozen, and the
regressions live on the other 20%, in five splits, for every training seed. "cross-fitted": models are trained on all
folds of people but one and represent that one, so that everybody is in the regressions, again in five splits. Nobody's
representation, and nobody's prediction by a wage head, comes from a model that was trained on that person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, DatasetDict, concatenate_datasets
from matplotlib.figure import Figure

from career_hf.careers.frames import load_careers
from career_hf.careers.provenance import SOURCES, source_of
from career_hf.careers.splits import split_careers
from career_hf.cli.console import say, show
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.figures.style import columns, forest, looks, new_figure, styled
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.modeling_wage import CareerForWagePrediction
from career_hf.representing.cross_fitting import check_not_trained_on, cross_fit
from career_hf.representing.representations import Timing, representations
from career_hf.simulation import World, draw_wages, preset, wage_summary, wage_truth
from career_hf.training.cells import fit_once, training_log
from career_hf.training.trainer import scratch_recipe
from career_hf.wages.design import BLAU_KAHN, BLOCKS, LOG_WAGE, available_blocks, wage_frame
from career_hf.wages.regression import (
    ALL_YEARS,
    YEAR_ONLY,
    CoefficientTable,
    estimate,
    held_out_r2,
    predict_held_out,
)
from career_hf.wages.wage_head import build_wage_trainer, encode_wages, predict_log_wages, wage_recipe

from .study import (
    Made,
    MostSteps,
    Output,
    Seeds,
    Study,
    StudyResult,
    StudySettings,
    Workers,
    studies,
    write_table,
)


PAPER, CROSS_FITTED = "paper", "cross-fitted"
TIMINGS: tuple[Timing, ...] = ("before", "including")
BLAU_KAHN_ROW, WITHOUT_INDUSTRY = "Blau-Kahn", "Blau-Kahn without industry"
HEAD, TRUTH = "fine-tuned wage head", "E[log wage | career], the truth"
TABLE = (BLAU_KAHN_ROW, "+ occupation", "+ occupation, lagged occupation")
KINDS = ("regressions", "with h", "wage head", "truth")


@dataclass(frozen=True, kw_only=True)
class Table3Settings(StudySettings):
    """Sizes of the study; the rest as in `StudySettings`. Seeds are those of the paper's protocol.

    Args:
        people: People of the simulated market.
        layers, hidden_size, heads: Sizes of CAREER.
        rate, wage_rate: Peak learning rates of occupations and of the wage head after them.
        warmup_steps, eval_steps: Updates to the peak, and between validations.
        occupation_weight: Weight of the wage head's second task.
        folds: Folds of people, of the cross-fitted protocol.
        splits: Splits of people, of the regressions.
        exclude_covariates: Covariates that no model may see.
    """

    people: int = 6_000
    layers: int = 2
    hidden_size: int = 64
    heads: int = 2
    rate: float = 3e-3
    wage_rate: float = 1e-3
    most_steps: int = 700
    warmup_steps: int = 70
    eval_steps: int = 100
    tokens_per_batch: int = 2_000
    occupation_weight: float = 1.0
    folds: int = 3
    splits: int = 5
    exclude_covariates: tuple[str, ...] = ()

    def schedule(self, rate: float, seed: int) -> dict[str, Any]:
        steps = {"warmup_steps": self.warmup_steps, "eval_steps": self.eval_steps, "save_steps": self.eval_steps}
        return super().schedule(rate, seed) | steps

    def cost(self) -> tuple[int, float]:
        """Training runs, and core hours at most: 25,000 person-years a second with two layers of 64."""
        runs = 2 * (self.seeds + self.folds)
        return runs, self.hours(runs)


@dataclass(frozen=True)
class Cell:
    """Models of one training seed of the paper's protocol, or of one fold of the other."""

    protocol: str
    number: int

    @property
    def seed(self) -> int:
        return self.number if self.protocol == PAPER else 0

    def __str__(self) -> str:
        return f"{self.protocol} {self.number}"


@dataclass(frozen=True)
class Table3Study(Study):
    """Trains models in both protocols, regresses wages, and compares all rows of Table 3 on held-out people.

    Leaves r2.csv, models.csv, missing.csv (blocks of Blau and Kahn that careers do not hold), ceiling.csv (of a
    market: `wage_summary` of the test people), coefficients.txt, .tex and .html (by pyfixest, on everybody,
    standard errors clustered by person) and table3.png.

    Args:
        data: Folder of careers, as `prepare` writes it; the simulated market if None.
        covariates: Covariates of the models.
    """

    settings: Table3Settings = Table3Settings()
    data: Path | None = None
    covariates: tuple[str, ...] = ("year", "education", "region", "race", "gender")
    float_formats = "%.5f"

    def described(self) -> dict[str, Any]:
        return asdict(self.settings) | {"data": str(self.data), "covariates": self.covariates}

    @property
    def source(self) -> dict[str, str]:
        """What checkpoints keep of where careers come from."""
        return SOURCES["simulated"].record if self.data is None else source_of(self.data)

    def splits(self) -> DatasetDict:
        """Careers by split, train, validation and test.

        Raises:
            ValueError: Careers have no wages, or other splits.
        """
        if self.data is None:
            return split_careers(draw_wages(preset("survey").simulate(self.settings.people)).careers)
        splits = load_careers(self.data)
        if set(splits) != {"train", "validation", "test"}:
            raise ValueError(f"{self.data} has splits {list(splits)}: prepare it with train, validation and test")
        if LOG_WAGE not in splits["train"].column_names:
            raise ValueError(f"careers in {self.data} have no outcome '{LOG_WAGE}': prepare them with wages")
        return splits

    def truth(self, careers: Dataset) -> pd.DataFrame | None:
        """`wage_truth` of careers by its place in `to_frame(careers)`; None for a survey."""
        return None if self.data is not None else wage_truth(careers, World.build(preset("survey").world))

    def prepare(self, workers: int) -> None:
        self.splits()  # what is wrong with the data is said before anything is trained

    def compute(self, workers: int) -> None:
        numbers = {PAPER: self.settings.seeds, CROSS_FITTED: self.settings.folds}
        cells = [Cell(protocol, number) for protocol, count in numbers.items() for number in range(count)]
        self.work("Training models", self.train, cells, workers)
        cells = [*(Cell(PAPER, seed) for seed in range(self.settings.seeds)), Cell(CROSS_FITTED, 0)]
        self.work("Regressing wages", self.predict, cells, workers)

    def careers_of(self, cell: Cell) -> Mapping[str, Dataset]:
        """Careers to train on, and to stop by."""
        splits = self.splits()
        if cell.protocol == PAPER:
            return splits
        people, folds = everybody(splits), {str(fold): 1 / self.settings.folds for fold in range(self.settings.folds)}
        away = set(split_careers(people, folds, "cross_fit")[str(cell.number)]["person"])
        others = people.select([row for row, person in enumerate(people["person"]) if person not in away])
        return split_careers(others, {"train": 0.9, "validation": 0.1}, "stopping")

    def train(self, cell: Cell) -> Made:
        """Trains CAREER on occupations and then its wage head, unless they are there."""
        place, settings = self.place(f"wages, {cell}"), self.settings
        if place.exists():
            return load_checkpoint(place)
        parts = self.careers_of(cell)
        start, processor = self.train_occupations(cell, parts)

        wages, _ = encode_wages(parts["train"], processor, unknown_levels="missing")
        log_wages = np.concatenate(wages[LOG_WAGE])

        def make_model(_: Any) -> CareerForWagePrediction:
            return CareerForWagePrediction.from_occupation_model(
                start,  # type: ignore[arg-type]
                log_wages,
                exclude_covariates=settings.exclude_covariates,
                occupation_weight=settings.occupation_weight,
            )

        schedule = settings.schedule(settings.wage_rate, cell.seed)
        recipe = partial(wage_recipe, processor, make_model(None).config, **schedule)
        careers, how = (parts["train"], parts["validation"]), {"encode": encode_wages, "build": build_wage_trainer}
        return fit_once(place, make_model, processor, recipe, *careers, self.source, **how)  # type: ignore[arg-type]

    def train_occupations(self, cell: Cell, parts: Mapping[str, Dataset]) -> Made:
        """CAREER trained on occupations, from its folder if it is there."""
        settings = self.settings
        covariates = [name for name in self.covariates if name not in settings.exclude_covariates]
        processor = CareerProcessor.fit(parts["train"], covariates, unknown_occupation="unknown")
        fields = {
            "num_hidden_layers": settings.layers,
            "hidden_size": settings.hidden_size,
            "num_attention_heads": settings.heads,
            "intermediate_size": 4 * settings.hidden_size,
        }
        schedule = settings.schedule(settings.rate, cell.seed)
        recipe = partial(scratch_recipe, processor, config_overrides=fields, **schedule)
        place, careers = self.place(f"occupations, {cell}"), (parts["train"], parts["validation"])
        return fit_once(place, CareerForOccupationPrediction, processor, recipe, *careers, self.source)

    def predict(self, cell: Cell) -> None:
        """Writes held-out predictions of every specification, unless they are there; splits have the cell's seed."""
        path = self.predictions(cell)
        if not path.exists():
            careers, frame = self.frame(cell)
            splits = self.settings.splits
            predictions = predict_held_out(frame, specifications(frame), splits=splits, seed=cell.seed)
            predictions[HEAD] = frame["wage_head"]
            truth = self.truth(careers)
            if truth is not None:
                predictions[TRUTH] = truth.loc[frame.index, "expected"]
            write_table(path, predictions)

    def predictions(self, cell: Cell) -> Path:
        """The file of held-out predictions."""
        return self.folder / "predictions" / f"{cell}.parquet"

    def frame(self, cell: Cell) -> tuple[Dataset, pd.DataFrame]:
        """Careers whose wages are explained, and their frame with h in both timings and the wage head's prediction."""
        splits, protocol = self.splits(), cell.protocol

        def load(task: str, number: int) -> tuple[Any, CareerProcessor]:
            return load_checkpoint(self.place(f"{task}, {protocol} {number}"))

        h: dict[str, np.ndarray] = {}
        fold: Any = None
        if protocol == PAPER:
            careers = splits["test"]
            model, processor = load("occupations", cell.number)
            check_not_trained_on(careers, splits["train"], processor)
            for timing in TIMINGS:
                h[timing] = representations(model, careers, processor, timing=timing, unknown_levels="missing")
            head, of_head = load("wages", cell.number)
            predicted = predict_log_wages(head, careers, of_head, unknown_levels="missing")
        else:
            careers, folds = everybody(splits), self.settings.folds
            for timing in TIMINGS:
                h[timing], fold = cross_fit(
                    careers, folds, lambda _, number: load("occupations", number), timing=timing
                )
            of_person = fold[np.cumsum([len(years) for years in careers["year"]]) - 1]
            predicted = np.empty(len(fold), dtype=np.float32)
            for number in range(folds):
                people = careers.select(np.flatnonzero(of_person == number))
                head, of_head = load("wages", number)
                predicted[fold == number] = predict_log_wages(head, people, of_head, unknown_levels="missing")
        frame, ledger = wage_frame(careers, h, fold=fold)
        ledger.save(self.folder / f"ledger, {protocol}.json")
        return careers, frame.assign(wage_head=predicted[frame.index])

    def report(self) -> StudyResult:
        parts = []
        for protocol, seeds in {PAPER: self.settings.seeds, CROSS_FITTED: 1}.items():
            frames = [pd.read_parquet(self.predictions(Cell(protocol, seed))) for seed in range(seeds)]
            r2 = held_out_r2(frames, baseline=BLAU_KAHN_ROW, draws=self.settings.draws)
            r2.insert(0, "protocol", protocol)
            parts.append(r2)
        r2, splits = pd.concat(parts, ignore_index=True), self.splits()
        frame, _ = wage_frame(everybody(splits))
        if not (self.folder / "coefficients.html").exists():
            results = estimate(frame, {name: specifications(frame)[name] for name in TABLE})
            shown = [name for name in results[BLAU_KAHN_ROW].params.index if not name.startswith("year_")]
            CoefficientTable(results, shown).save(self.folder / "coefficients")
        missing = {name: BLOCKS[name].stands_for for name in available_blocks(BLAU_KAHN, frame)[1]}
        tables = {"r2": r2, "models": training_log(self.folder), "missing": pd.Series(missing, name="stands for")}
        truth = self.truth(splits["test"])
        if truth is not None:
            tables["ceiling"] = wage_summary(truth)
        name = "the simulated market" if self.data is None else self.data.name
        return StudyResult(tables, {"table3": table3_figure(r2, name)})


def everybody(splits: DatasetDict) -> Dataset:
    """The people of all splits."""
    return concatenate_datasets(list(splits.values()))


def specifications(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The rows of the table that are regressions: names of blocks, by the name of the row."""
    base = available_blocks(BLAU_KAHN, frame)[0]
    with_occupation = [*base, "occupation"]
    rows = {}
    if "industry" in base:
        fewer = [name for name in base if name != "industry"]
        rows = {WITHOUT_INDUSTRY: fewer, f"{WITHOUT_INDUSTRY}, + occupation": [*fewer, "occupation"]}
    return rows | {
        BLAU_KAHN_ROW: base,
        "+ occupation": with_occupation,
        "+ occupation, lagged occupation": [*with_occupation, "lagged occupation"],
        "+ h before": [*base, "h before"],
        "+ h including": [*base, "h including"],
        "+ occupation, h before": [*with_occupation, "h before"],
        "+ occupation, h including": [*with_occupation, "h including"],
        "+ occupation, wage head": [*with_occupation, "wage head"],
    }


@styled
def table3_figure(r2: pd.DataFrame, name: str) -> Figure:
    """Within-year R^2 of every row, a panel for each protocol, and by decade with everybody.

    Args:
        r2: Table `r2` of the study.
        name: Name of the careers.

    Returns:
        A matplotlib figure that no window shows.
    """
    figure, (paper, cross_fitted, decades) = new_figure(17.0, 3)
    titles = {PAPER: "trained on 80%, regressed on the rest", CROSS_FITTED: "cross-fitted, everybody"}
    ends = {"estimate": "within_year", "low": "within_year_low", "high": "within_year_high"}
    r2 = r2.assign(kind=r2["specification"].map(_kind))
    kinds = dict(zip(KINDS, looks(KINDS).values(), strict=True))
    for axes, (protocol, title) in zip((paper, cross_fitted), titles.items(), strict=True):
        rows = r2[(r2["protocol"] == protocol) & (r2["years"] == ALL_YEARS) & (r2["specification"] != YEAR_ONLY)]
        forest(axes, rows, **ends, name="specification", series="kind", series_looks=kinds, dodge=False)
        for place, number in enumerate(rows["within_year"]):
            axes.annotate(f"{number:.3f}", (number, place), (0, 6), textcoords="offset points", ha="center")
        size = f"{rows['people'].iloc[0]:,} people, {rows['observations'].iloc[0]:,} person-years"
        axes.set(title=f"{title}\n{size}", xlabel="R^2 within year")
    shown = [BLAU_KAHN_ROW, "+ occupation", "+ occupation, h including", HEAD, TRUTH]
    rows = r2[(r2["protocol"] == CROSS_FITTED) & (r2["years"] != ALL_YEARS) & r2["specification"].isin(shown)]
    columns(decades, rows, **ends, name="years", series="specification", series_looks=looks(shown), joined=True)
    decades.set(title="by decade, cross-fitted", ylabel="R^2 within year")
    decades.legend(loc="upper left", bbox_to_anchor=(0, -0.1), ncols=2)
    figure.suptitle(f"Held-out R^2 within year of log wages, {name}\n95% intervals")
    return figure


def _kind(specification: str) -> str:
    if specification == TRUTH:
        return "truth"
    if "wage head" in specification:
        return "wage head"
    return "with h" if "h before" in specification or "h including" in specification else "regressions"


@studies.command()
def table3(
    output: Output,
    data: Annotated[
        Path | None, typer.Option(help="Folder of careers with log_wage, as `prepare` writes it.", exists=True)
    ] = None,
    market: Annotated[bool, typer.Option("--market", help="On the simulated market, where the ceiling is known.")] = (
        False
    ),
    covariates: Annotated[str, typer.Option(help="Comma-separated: year, and columns of the careers.")] = (
        "year,education,region,race,gender"
    ),
    exclude_covariates: Annotated[str, typer.Option(help="Covariates that no model sees, comma-separated.")] = "",
    people: Annotated[int, typer.Option(help="Number of people of the simulated market.", min=100)] = 6_000,
    workers: Workers = 1,
    seeds: Seeds = 3,
    folds: Annotated[int, typer.Option(help="Number of folds of people, of the cross-fitted protocol.", min=2)] = 3,
    most_steps: MostSteps = 700,
) -> None:
    """Wage regressions with and without careers (Table 3): held-out R^2 within year, in both timings, by decade."""
    if (data is None) != market:
        raise typer.BadParameter("say where wages come from: --data FOLDER, or --market")
    if find_spec("pyfixest") is None:
        raise typer.BadParameter("coefficients are estimated with pyfixest: pip install 'career_hf[econ]'")
    settings = Table3Settings(
        people=people,
        seeds=seeds,
        folds=folds,
        most_steps=most_steps,
        warmup_steps=most_steps // 10,
        exclude_covariates=tuple(name for name in exclude_covariates.split(",") if name),
    )
    runs, hours = settings.cost()
    say(f"{runs} training runs, at most {hours:.2f} core hours; and a few minutes of regressions")
    study = Table3Study(output, settings, data=data, covariates=tuple(covariates.split(",")))
    result = study.run(workers)
    for name, meaning in result["missing"].items():
        say(f"not in these careers: {name} (Blau and Kahn: {meaning})")
    columns = {"within_year": "within year", "within_year_low": "low", "within_year_high": "high"}
    columns |= {"gain": "gain", "seed_sd": "seed sd", "r2": "R^2"}
    for (protocol, years), rows in result["r2"].groupby(["protocol", "years"], sort=False):
        size = f"{rows['people'].iloc[0]:,} people, {rows['observations'].iloc[0]:,} person-years"
        of_years = rows.set_index("specification")[[*columns]].rename(columns=columns)
        show(of_years, f"{protocol}, {years}: {size}")
    if market:
        show(result["ceiling"].to_frame("test people"), "The truth")
    show(result["models"], "Models")
    say(f"{output}/r2.csv, models.csv, coefficients.txt, .tex, .html, table3.png")
