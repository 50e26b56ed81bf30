"""Table 3: what careers add to wage regressions, on the simulated market or on a survey with wages.

Two protocols. "paper": models are trained on 80% of people (70% to learn from, 10% to stop by) and frozen, and the
regressions live on the other 20%, in five splits, for every training seed. "cross-fitted": models are trained on all
folds of people but one and represent that one, so that everybody is in the regressions, again in five splits. Nobody's
representation, and nobody's prediction by a wage head, comes from a model that was trained on that person.
`table3_tables.py` makes the tables and the figure.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, DatasetDict
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from transformers import PreTrainedModel, ProgressCallback, set_seed

from career_hf.careers.atomic_files import complete
from career_hf.careers.frames import load_careers, split_careers
from career_hf.careers.provenance import SOURCES, source_of, years_of
from career_hf.cli.console import say, show
from career_hf.encoding.checkpoints import load_checkpoint
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.models.modeling_career import CareerForOccupationPrediction
from career_hf.models.modeling_wage import CareerForWagePrediction
from career_hf.representing.cross_fitting import check_not_trained_on, cross_fit
from career_hf.representing.representations import Timing, representations
from career_hf.simulation import World, draw_wages, preset, wage_summary, wage_truth
from career_hf.training.trainer import Recipe, scratch_recipe
from career_hf.wages.design import BLAU_KAHN, BLOCKS, LOG_WAGE, held, wage_frame
from career_hf.wages.regression import (
    ALL_YEARS,
    YEAR_ONLY,
    coefficient_table,
    estimate,
    held_out_r2,
    predict_held_out,
    save_table,
)
from career_hf.wages.wage_head import build_wage_trainer, encode_wages, predict_log_wages, wage_recipe

from .cells import keep_settings, run_jobs, train_once, training_log


PAPER, CROSS_FITTED = "paper", "cross-fitted"
TIMINGS: tuple[Timing, ...] = ("before", "including")
BLAU_KAHN_ROW, WITHOUT_INDUSTRY = "Blau-Kahn", "Blau-Kahn without industry"
HEAD, TRUTH = "fine-tuned wage head", "E[log wage | career], the truth"
MARKET_COVARIATES = ("year", "education", "region", "race", "gender", "birth_year")


@dataclass(frozen=True)
class Settings:
    """Sizes of the study.

    Args:
        people: Of the simulated market.
        layers, hidden_size, heads: Of CAREER.
        rate, wage_rate: Peak learning rates of occupations and of the wage head after them.
        most_steps, warmup_steps, eval_steps, tokens_per_batch, patience: Of every training run; the rate falls to zero
            at `most_steps`.
        occupation_weight: Of the wage head's second task.
        seeds: Training seeds of the paper's protocol.
        folds: Of people, of the cross-fitted protocol.
        splits: Of people, of the regressions.
        draws: Resamples of people behind the intervals.
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
    patience: int = 3
    occupation_weight: float = 1.0
    seeds: int = 3
    folds: int = 3
    splits: int = 5
    draws: int = 1_000
    exclude_covariates: tuple[str, ...] = ()


def cost(settings: Settings) -> tuple[int, float]:
    """Training runs, and core hours at most: 25,000 person-years a second with two layers of 64."""
    runs = 2 * (settings.seeds + settings.folds)
    return runs, runs * settings.most_steps * settings.tokens_per_batch / 25_000 / 3600


@dataclass(frozen=True)
class Source:
    """Where careers with wages come from.

    Args:
        data: Folder of careers, as `prepare` writes it; the simulated market if None.
        covariates: Of the models.
        people: Of the market.
    """

    data: Path | None
    covariates: tuple[str, ...]
    people: int

    @property
    def record(self) -> dict[str, str]:
        """What checkpoints keep of where careers come from."""
        return SOURCES["simulated"].record if self.data is None else source_of(self.data)

    def splits(self) -> DatasetDict:
        """Careers by split, train, validation and test.

        Raises:
            ValueError: Careers have no wages, or other splits.
        """
        if self.data is None:
            return split_careers(draw_wages(preset("survey").simulate(self.people)).careers)
        splits = load_careers(self.data)
        if set(splits) != {"train", "validation", "test"}:
            raise ValueError(f"{self.data} has splits {list(splits)}: prepare it with train, validation and test")
        if LOG_WAGE not in splits["train"].column_names:
            raise ValueError(f"careers in {self.data} have no outcome '{LOG_WAGE}': prepare them with wages")
        return splits

    def truth(self, careers: Dataset) -> pd.Series | None:
        """E[log wage | career] of every year at work, by its place in `to_frame(careers)`; None for a survey."""
        return None if self.data is not None else wage_truth(careers, self.world())["expected"]

    def world(self) -> World:
        """The simulated market's."""
        return World.build(preset("survey").world)


def everybody(splits: DatasetDict) -> Dataset:
    """The people of all splits."""
    from datasets import concatenate_datasets

    return concatenate_datasets(list(splits.values()))


def train_cell(folder: Path, settings: Settings, source: Source, protocol: str, number: int) -> None:
    """Trains CAREER on occupations and then its wage head, for one seed or one fold, unless they are there.

    Args:
        folder: Of the study.
        settings, source: Of the study.
        protocol: PAPER or CROSS_FITTED.
        number: The seed, or the fold.
    """
    splits = source.splits()
    parts: Mapping[str, Dataset] = splits
    if protocol == CROSS_FITTED:
        folds = {str(fold): 1 / settings.folds for fold in range(settings.folds)}
        away = set(split_careers(everybody(splits), folds, "cross_fit")[str(number)]["person"])
        people = everybody(splits)
        others = people.select([row for row, person in enumerate(people["person"]) if person not in away])
        parts = split_careers(others, {"train": 0.9, "validation": 0.1}, "stopping")
    seed = number if protocol == PAPER else 0
    train_wage_head(folder, settings, source, protocol, number, parts, seed)


def train_occupations(
    folder: Path,
    settings: Settings,
    source: Source,
    protocol: str,
    number: int,
    parts: Mapping[str, Dataset],
    seed: int,
) -> tuple[PreTrainedModel, CareerProcessor]:
    """CAREER trained on occupations, from its folder if it is there; arguments as in `train_cell`."""
    covariates = [name for name in source.covariates if name not in settings.exclude_covariates]
    processor = CareerProcessor.fit(parts["train"], covariates, unknown_occupation="unknown")

    def recipe(output: Path) -> Recipe:
        return scratch_recipe(
            processor,
            output,
            **_schedule(settings, settings.rate, seed),
            config_overrides={
                "num_hidden_layers": settings.layers,
                "hidden_size": settings.hidden_size,
                "num_attention_heads": settings.heads,
                "intermediate_size": 4 * settings.hidden_size,
            },
        )

    place = folder / "models" / f"occupations, {protocol} {number}"
    careers = parts["train"], parts["validation"]
    return train_once(place, CareerForOccupationPrediction, processor, recipe, *careers, source.record)


def train_wage_head(
    folder: Path,
    settings: Settings,
    source: Source,
    protocol: str,
    number: int,
    parts: Mapping[str, Dataset],
    seed: int,
) -> None:
    """A wage head trained on top of `train_occupations`, with it, unless its folder is there."""
    place = folder / "models" / f"wages, {protocol} {number}"
    if not place.exists():
        start, processor = train_occupations(folder, settings, source, protocol, number, parts, seed)
        with complete(place) as unfinished:
            set_seed(seed)
            train, validation = (
                encode_wages(parts[name], processor, unknown_levels="missing")[0] for name in ("train", "validation")
            )
            model = CareerForWagePrediction.from_occupation_model(
                start,  # type: ignore[arg-type]
                np.concatenate(train[LOG_WAGE]),
                exclude_covariates=settings.exclude_covariates,
                occupation_weight=settings.occupation_weight,
            )
            schedule = _schedule(settings, settings.wage_rate, seed)
            recipe = wage_recipe(processor, model.config, unfinished / "training", **schedule)
            record = {**source.record, **years_of(parts["train"])}
            trainer = build_wage_trainer(model, processor, recipe, train, validation, source=record)
            trainer.remove_callback(ProgressCallback)
            trainer.train()
            trainer.state.save_to_json(str(unfinished / "trainer_state.json"))
            shutil.rmtree(unfinished / "training")
            model.save_pretrained(unfinished)
            trainer.processing_class.save_pretrained(unfinished)  # type: ignore[union-attr]


def _schedule(settings: Settings, rate: float, seed: int) -> dict[str, Any]:
    return {
        "learning_rate": rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": settings.warmup_steps,
        "tokens_per_batch": settings.tokens_per_batch,
        "patience": settings.patience,
        "max_steps": settings.most_steps,
        "eval_steps": settings.eval_steps,
        "save_steps": settings.eval_steps,
        "seed": seed,
    }


def predict_cell(folder: Path, settings: Settings, source: Source, protocol: str, seed: int) -> None:
    """Writes held-out predictions of every specification, unless they are there.

    Args:
        folder, settings, source: Of the study.
        protocol: PAPER or CROSS_FITTED.
        seed: Of training, and of the splits of the regressions; 0 for CROSS_FITTED.
    """
    path = folder / "predictions" / f"{protocol} {seed}.parquet"
    if not path.exists():
        careers, frame = frame_of(folder, settings, source, protocol, seed)
        predictions = predict_held_out(frame, specifications(frame), splits=settings.splits, seed=seed)
        predictions[HEAD] = frame["wage_head"]
        truth = source.truth(careers)
        if truth is not None:
            predictions[TRUTH] = truth.loc[frame.index]
        with complete(path) as unfinished:
            predictions.to_parquet(unfinished)


def frame_of(
    folder: Path, settings: Settings, source: Source, protocol: str, seed: int
) -> tuple[Dataset, pd.DataFrame]:
    """Careers whose wages are explained, and their frame, with h in both timings and the wage head's prediction.

    Args:
        folder, settings, source, protocol, seed: As in `predict_cell`.
    """
    splits = source.splits()

    def load(task: str, number: int) -> tuple[Any, CareerProcessor]:
        return load_checkpoint(folder / "models" / f"{task}, {protocol} {number}")

    h: dict[str, np.ndarray] = {}
    fold: Any = None
    if protocol == PAPER:
        careers = splits["test"]
        model, processor = load("occupations", seed)
        check_not_trained_on(careers, splits["train"], processor)
        for timing in TIMINGS:
            h[timing] = representations(model, careers, processor, timing=timing, unknown_levels="missing")
        head, of_head = load("wages", seed)
        predicted = predict_log_wages(head, careers, of_head, unknown_levels="missing")
    else:
        careers = everybody(splits)
        for timing in TIMINGS:
            h[timing], fold = cross_fit(
                careers, settings.folds, lambda _, number: load("occupations", number), timing=timing
            )
        of_person = fold[np.cumsum([len(years) for years in careers["year"]]) - 1]
        predicted = np.empty(len(fold), dtype=np.float32)
        for number in range(settings.folds):
            people = careers.select(np.flatnonzero(of_person == number))
            head, of_head = load("wages", number)
            predicted[fold == number] = predict_log_wages(head, people, of_head, unknown_levels="missing")
    frame, ledger = wage_frame(careers, h, fold=fold)
    ledger.save(folder / f"ledger, {protocol}.json")
    return careers, frame.assign(wage_head=predicted[frame.index])


def specifications(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The rows of the table that are regressions: names of blocks, by the name of the row."""
    base = held(BLAU_KAHN, frame)[0]
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


def training_cells(folder: Path, settings: Settings, source: Source) -> list[Any]:
    """What is to be trained, as functions."""
    numbers = {PAPER: settings.seeds, CROSS_FITTED: settings.folds}
    return [
        partial(train_cell, folder, settings, source, protocol, number)
        for protocol, count in numbers.items()
        for number in range(count)
    ]


__all__ = ["Settings", "Source", "cost", "predict_cell", "specifications", "training_cells"]

# MERGED table3_tables: """Table 3 as tables and a figure; `table3.py` trains and predicts."""


TABLE = (BLAU_KAHN_ROW, "+ occupation", "+ occupation, lagged occupation")
COLOURS = {"regressions": "#0072B2", "with h": "#D55E00", "wage head": "#009E73", "truth": "#000000"}


@dataclass(frozen=True)
class Found:
    """What the study found.

    Args:
        r2: Rows of `held_out_r2` with the protocol before them.
        missing: Blocks of Blau and Kahn that careers do not hold, and what they stand for.
        models: Updates, hours and best validation score of every model.
        ceiling: Of the simulated market, `wage_summary` of the test people; None for a survey.
    """

    r2: pd.DataFrame
    missing: pd.Series
    models: pd.DataFrame
    ceiling: pd.Series | None


def table3(folder: str | Path, source: Source, settings: Settings | None = None, workers: int = 1) -> Found:
    """Trains models in both protocols, regresses wages, and compares all rows of Table 3 on held-out people.

    Leaves in the folder r2.csv, models.csv, coefficients.txt, .tex and .html (by statsmodels, on everybody, standard
    errors clustered by person) and table3.png. Models and predictions are kept: a study that is stopped goes on.

    Args:
        folder: Of the study.
        source: Of careers with wages.
        settings: Sizes.
        workers: Processes that train.

    Raises:
        ValueError: The folder holds a study with other settings, or careers have no wages.
    """
    folder, settings = Path(folder), settings or Settings()
    keep_settings(folder, asdict(settings) | {"data": str(source.data), "covariates": source.covariates})
    splits = source.splits()  # what is wrong with the data is said before anything is trained
    run_jobs("Training models", training_cells(folder, settings, source), workers)
    cells = [partial(predict_cell, folder, settings, source, PAPER, seed) for seed in range(settings.seeds)]
    cells.append(partial(predict_cell, folder, settings, source, CROSS_FITTED, 0))
    run_jobs("Regressing wages", cells, workers)

    parts = []
    for protocol, seeds in {PAPER: settings.seeds, CROSS_FITTED: 1}.items():
        frames = [pd.read_parquet(folder / "predictions" / f"{protocol} {seed}.parquet") for seed in range(seeds)]
        found = held_out_r2(frames, baseline=BLAU_KAHN_ROW, draws=settings.draws)
        found.insert(0, "protocol", protocol)
        parts.append(found)
    r2, models = pd.concat(parts, ignore_index=True), training_log(folder)
    frame, _ = wage_frame(everybody(splits))
    if not (folder / "coefficients.html").exists():
        results = estimate(frame, {name: specifications(frame)[name] for name in TABLE})
        shown = [name for name in results[BLAU_KAHN_ROW].params.index if not name.startswith("year_")]
        save_table(coefficient_table(results, shown), folder / "coefficients")
    r2.to_csv(folder / "r2.csv", index=False, float_format="%.5f")
    models.to_csv(folder / "models.csv", float_format="%.5f")
    ceiling = None
    if source.data is None:
        ceiling = wage_summary(wage_truth(splits["test"], source.world()))
        ceiling.to_csv(folder / "ceiling.csv", float_format="%.5f")
    figure_of(r2, "the simulated market" if source.data is None else source.data.name).savefig(
        folder / "table3.png", dpi=100
    )
    missing = pd.Series({name: BLOCKS[name].stands_for for name in held(BLAU_KAHN, frame)[1]}, name="stands for")
    return Found(r2, missing, models, ceiling)


def figure_of(r2: pd.DataFrame, name: str) -> Figure:
    """Within-year R^2 of every row, a panel for each protocol, and by decade with everybody.

    Args:
        r2: As in `Found`.
        name: Of the careers.

    Returns:
        A matplotlib figure, 15 by 5.5 inches, that no window shows.
    """
    figure = Figure(figsize=(15, 5.5), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.1])
    titles = {PAPER: "trained on 80%, regressed on the rest", CROSS_FITTED: "cross-fitted, everybody"}
    for ax, (protocol, title) in zip(axes, titles.items(), strict=False):
        rows = r2[(r2["protocol"] == protocol) & (r2["years"] == ALL_YEARS) & (r2["specification"] != YEAR_ONLY)]
        _draw_rows(ax, rows)
        ax.set_title(f"{title}\n{rows['people'].iloc[0]:,} people, {rows['observations'].iloc[0]:,} person-years")
    axes[1].sharex(axes[0])
    axes[1].set_yticklabels([])
    decades = r2[(r2["protocol"] == CROSS_FITTED) & (r2["years"] != ALL_YEARS)]
    _draw_decades(axes[2], decades)
    figure.suptitle(f"Held-out R^2 within year of log wages, {name}; 95% intervals by resampling people")
    return figure


def _colour(specification: str) -> str:
    if specification == TRUTH:
        return COLOURS["truth"]
    if "wage head" in specification:
        return COLOURS["wage head"]
    return COLOURS["with h" if "h before" in specification or "h including" in specification else "regressions"]


def _draw_rows(ax: Axes, rows: pd.DataFrame) -> None:
    for y, row in enumerate(rows.itertuples()):
        error = [[row.within_year - row.within_year_low], [row.within_year_high - row.within_year]]
        colour = _colour(row.specification)
        ax.errorbar(row.within_year, y, xerr=error, color=colour, marker="o", markersize=5, linewidth=1.4)
        ax.annotate(f"{row.within_year:.3f}", (row.within_year, y), (0, 6), textcoords="offset points", ha="center")
    ax.set_yticks(range(len(rows)), rows["specification"])
    ax.invert_yaxis()
    ax.set(xlabel="R^2 within year")
    ax.grid(axis="x", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_decades(ax: Axes, rows: pd.DataFrame) -> None:
    shown = (BLAU_KAHN_ROW, "+ occupation", "+ occupation, h including", HEAD, TRUTH)
    years = list(rows["years"].unique())
    styles = {BLAU_KAHN_ROW: "--"}
    for i, specification in enumerate(name for name in shown if name in set(rows["specification"])):
        of = rows[rows["specification"] == specification]
        error = [of["within_year"] - of["within_year_low"], of["within_year_high"] - of["within_year"]]
        x = [place + 0.06 * (i - 2) for place in range(len(of))]
        style: dict[str, Any] = {
            "color": _colour(specification),
            "linestyle": styles.get(specification, "-"),
            "label": specification,
        }
        ax.errorbar(x, of["within_year"], yerr=error, marker="o", markersize=4, linewidth=1.2, **style)
    ax.set_xticks(range(len(years)), years)
    ax.set(title="by decade, cross-fitted")
    ax.grid(axis="y", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8)


__all__ = ["Found", "figure_of", "table3"]


@study.command()
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
    exclude_covariates: Annotated[str, typer.Option(help="Comma-separated; no model sees them.")] = "",
    people: Annotated[int, typer.Option(help="Of the simulated market.", min=100)] = 6_000,
    workers: Workers = 1,
    seeds: Seeds = 3,
    folds: Annotated[int, typer.Option(help="Of people, of the cross-fitted protocol.", min=2)] = 3,
    most_steps: Annotated[int, typer.Option(help="Updates of every training run at most.", min=10)] = 700,
) -> None:
    """Wage regressions with and without careers (Table 3): held-out R^2 within year, in both timings, by decade."""
    from .table3 import Settings, Source, cost
    from .table3_tables import table3 as run

    if (data is None) != market:
        raise typer.BadParameter("say where wages come from: --data FOLDER, or --market")
    if find_spec("statsmodels") is None:
        raise typer.BadParameter("coefficients are estimated with statsmodels: pip install 'career_hf[econ]'")
    settings = Settings(
        people=people,
        seeds=seeds,
        folds=folds,
        most_steps=most_steps,
        warmup_steps=most_steps // 10,
        exclude_covariates=tuple(name for name in exclude_covariates.split(",") if name),
    )
    runs, hours = cost(settings)
    say(f"{runs} training runs, at most {hours:.2f} core hours; and a few minutes of regressions")
    found = run(output, Source(data, tuple(covariates.split(",")), people), settings, workers)
    for name, meaning in found.missing.items():
        say(f"not in these careers: {name} (Blau and Kahn: {meaning})")
    columns = {"within_year": "within year", "within_year_low": "low", "within_year_high": "high"}
    columns |= {"gain": "gain", "seed_sd": "seed sd", "r2": "R^2"}
    for (protocol, years), rows in found.r2.groupby(["protocol", "years"], sort=False):
        size = f"{rows['people'].iloc[0]:,} people, {rows['observations'].iloc[0]:,} person-years"
        of_years = rows.set_index("specification")[[*columns]].rename(columns=columns)
        show(of_years, f"{protocol}, {years}: {size}")
    if found.ceiling is not None:
        show(found.ceiling.to_frame("test people"), "The truth")
    show(found.models, "Models")
    say(f"{output}/r2.csv, models.csv, coefficients.txt, .tex, .html, table3.png")
