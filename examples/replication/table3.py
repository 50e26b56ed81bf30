"""Table 3: what careers add to wage regressions, on the simulated market or on a survey with wages.

Two protocols. "paper": models are trained on 80% of people (70% to learn from, 10% to stop by) and frozen, and the
regressions live on the other 20%, in five splits, for every training seed. "cross-fitted": models are trained on all
folds of people but one and represent that one, so that everybody is in the regressions, again in five splits. Nobody's
representation, and nobody's prediction by a wage head, comes from a model that was trained on that person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, DatasetDict, concatenate_datasets
from matplotlib.figure import Figure

from career_hf.careers.columns import with_weights
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

from .pretrained import PRETRAINED, Checkpoint, Quick, Start, fine_tune_once, pretrain_once, survey_of
from .study import (
    Made,
    MostSteps,
    Output,
    Resumes,
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
# Rows of the paper's table; Blau and Kahn's full specification has occupations.
PAPER_ROWS = {
    "+ occupation": "full specification",
    "+ occupation, h including": "+ CAREER (not pretrained)",
    f"+ occupation, h including, {PRETRAINED}": "+ CAREER (pretrained)",
}


@dataclass(frozen=True, kw_only=True)
class Table3Settings(StudySettings):
    """Sizes of the study; the rest as in `StudySettings`. Seeds are those of the paper's protocol.

    Args:
        people: People of the simulated market.
        layers, hidden_size, heads: Sizes of CAREER.
        rate, wage_rate: Peak learning rates of occupations and of the wage head after them.
        warmup_steps, eval_steps: Updates to the peak, and between validations.
        occupation_weight: Weight of the wage head's second task.
        pretraining_steps, pretraining_rate: Updates at most and peak learning rate of pretraining, where there are
            resumes.
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
    pretraining_steps: int = 8_000
    pretraining_rate: float = 1e-3
    folds: int = 3
    splits: int = 5
    exclude_covariates: tuple[str, ...] = ()

    def schedule(self, rate: float, seed: int) -> dict[str, Any]:
        steps = {"warmup_steps": self.warmup_steps, "eval_steps": self.eval_steps, "save_steps": self.eval_steps}
        return super().schedule(rate, seed) | steps

    def cost(self, start: Start | None = None) -> tuple[int, float]:
        """Training runs, and core hours at most: 25,000 person-years a second with two layers of 64.

        Args:
            start: What is fine-tuned beside the models from scratch; its size, where it is larger, is not counted.
        """
        start = start or Start()
        runs = 2 * (self.seeds + self.folds) * (1 + start.is_given)
        hours = self.hours(runs)
        if start.resumes is not None:
            return runs + 1, hours * (1 + self.pretraining_steps / self.most_steps / runs)
        return runs, hours

    def quick(self) -> Table3Settings:
        """So small that nothing is learned."""
        sizes = {"people": 200, "layers": 1, "hidden_size": 16, "most_steps": 4, "warmup_steps": 1, "eval_steps": 2}
        sizes |= {"tokens_per_batch": 400, "pretraining_steps": 4, "seeds": 1, "folds": 2, "draws": 20}
        return replace(self, **sizes)


@dataclass(frozen=True)
class Cell:
    """Models of a training seed of the paper's protocol, or of a fold of the other; from scratch, or pretrained."""

    protocol: str
    number: int
    start: str = ""

    @property
    def seed(self) -> int:
        return self.number if self.protocol == PAPER else 0

    def __str__(self) -> str:
        return f"{self.protocol} {self.number}{self.suffix}"

    @property
    def suffix(self) -> str:
        """What the names of rows and of representations end in."""
        return f", {self.start}" if self.start else ""


@dataclass(frozen=True)
class Table3Study(Study):
    """Trains models in both protocols, regresses wages, and compares all rows of Table 3 on held-out people.

    Leaves r2.csv, table3.csv (`as_in_the_paper`), models.csv, missing.csv (blocks of Blau and Kahn that careers do not
    hold), ceiling.csv (of a market: `wage_summary` of the test people), coefficients.txt, .tex and .html (by pyfixest,
    on everybody, standard errors clustered by person) and table3.png.

    Args:
        data: Folder of careers, as `prepare` writes it; the simulated market if None.
        covariates: Covariates of the models.
        start: A checkpoint, or resumes to pretrain on; then every row with h is there for CAREER from scratch and for
            the pretrained one, fine-tuned on the same people.
        weighted: Whether regressions and R^2 use the careers' survey weights.
    """

    settings: Table3Settings = Table3Settings()
    data: Path | None = None
    covariates: tuple[str, ...] = ("year", "education", "region", "race", "gender")
    start: Start = field(default_factory=Start)
    weighted: bool = False
    float_formats = "%.5f"

    def described(self) -> dict[str, Any]:
        given = {"data": str(self.data), "covariates": self.covariates, **self.start.described()}
        return asdict(self.settings) | given | ({"weighted": True} if self.weighted else {})

    @property
    def starts(self) -> list[str]:
        """From scratch, and pretrained where there is something to start from."""
        return ["", *([PRETRAINED] if self.start.is_given else [])]

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
        splits = survey_of(self.data)
        if LOG_WAGE not in splits["train"].column_names:
            raise ValueError(f"careers in {self.data} have no outcome '{LOG_WAGE}': prepare them with wages")
        return DatasetDict({name: with_weights(careers, self.weighted) for name, careers in splits.items()})

    def truth(self, careers: Dataset) -> pd.DataFrame | None:
        """`wage_truth` of careers by its place in `to_frame(careers)`; None for a survey."""
        return None if self.data is not None else wage_truth(careers, World.build(preset("survey").world))

    def prepare(self, workers: int) -> None:
        self.splits()  # what is wrong with the data is said before anything is trained
        self.start.check()
        if self.start.resumes is not None:
            self.work("Pretraining", self.pretrain, [self.start.resumes], workers)

    @property
    def sizes(self) -> dict[str, int]:
        """Fields of CAREER's config."""
        settings = self.settings
        return {
            "num_hidden_layers": settings.layers,
            "hidden_size": settings.hidden_size,
            "num_attention_heads": settings.heads,
            "intermediate_size": 4 * settings.hidden_size,
        }

    def pretrain(self, resumes: Path) -> Path:
        """CAREER pretrained on resumes: one for all seeds and folds, as in the paper."""
        settings = self.settings
        schedule = settings.schedule(settings.pretraining_rate, 0)
        most, evaluations = settings.pretraining_steps, max(1, settings.pretraining_steps // 20)
        schedule |= {"max_steps": most, "warmup_steps": most // 10, "config_overrides": self.sizes}
        schedule |= {"eval_steps": evaluations, "save_steps": evaluations}
        return pretrain_once(self.place(PRETRAINED), resumes, self.seen, schedule)

    @property
    def seen(self) -> list[str]:
        """Covariates that models may see."""
        return [name for name in self.covariates if name not in self.settings.exclude_covariates]

    def compute(self, workers: int) -> None:
        numbers = {PAPER: self.settings.seeds, CROSS_FITTED: self.settings.folds}
        cells = [
            Cell(protocol, number, start)
            for protocol, count in numbers.items()
            for number in range(count)
            for start in self.starts
        ]
        self.work("Training models", self.train, cells, workers)
        cells = [*(Cell(PAPER, seed) for seed in range(self.settings.seeds)), Cell(CROSS_FITTED, 0)]
        self.work("Regressing wages", self.predict, cells, workers)

    def careers_of(self, cell: Cell) -> DatasetDict:
        """Careers to train on, and to stop by; models are trained without weights, whatever the regressions have."""
        splits = DatasetDict({name: with_weights(careers, False) for name, careers in self.splits().items()})
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

    def train_occupations(self, cell: Cell, parts: DatasetDict) -> Made:
        """CAREER trained or fine-tuned on occupations, from its folder if it is there."""
        settings, place = self.settings, self.place(f"occupations, {cell}")
        if cell.start:
            start = self.start.checkpoint or self.place(PRETRAINED)
            parts = DatasetDict({name: parts[name] for name in ("train", "validation")})
            most, seed = settings.most_steps, cell.seed
            return fine_tune_once(place, start, parts, self.seen, most_steps=most, seed=seed)
        processor = CareerProcessor.fit(parts["train"], self.seen, unknown_occupation="unknown")
        schedule = settings.schedule(settings.rate, cell.seed)
        recipe = partial(scratch_recipe, processor, config_overrides=self.sizes, **schedule)
        careers = parts["train"], parts["validation"]
        return fit_once(place, CareerForOccupationPrediction, processor, recipe, *careers, self.source)

    def predict(self, cell: Cell) -> None:
        """Writes held-out predictions of every specification, unless they are there; splits have the cell's seed."""
        path = self.predictions(cell)
        if not path.exists():
            careers, frame = self.frame(cell)
            splits = self.settings.splits
            rows = specifications(frame, self.starts)
            predictions = predict_held_out(frame, rows, splits=splits, seed=cell.seed)
            for start in self.starts:
                suffix = Cell(cell.protocol, 0, start).suffix
                predictions[f"{HEAD}{suffix}"] = frame[f"wage_head{suffix}"]
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
        careers = splits["test"] if protocol == PAPER else everybody(splits)
        h: dict[str, np.ndarray] = {}
        heads: dict[str, np.ndarray] = {}
        fold: Any = None
        for start in self.starts:
            suffix = Cell(protocol, 0, start).suffix
            load = partial(self.load, protocol=protocol, start=start)
            if protocol == PAPER:
                model, processor = load("occupations", cell.number)
                check_not_trained_on(careers, splits["train"], processor)
                for timing in TIMINGS:
                    values = representations(model, careers, processor, timing=timing, unknown_levels="missing")
                    h[f"{timing}{suffix}"] = values
                head, of_head = load("wages", cell.number)
                heads[f"wage_head{suffix}"] = predict_log_wages(head, careers, of_head, unknown_levels="missing")
                continue
            folds = self.settings.folds
            for timing in TIMINGS:
                h[f"{timing}{suffix}"], fold = cross_fit(
                    careers, folds, lambda _, number, load=load: load("occupations", number), timing=timing
                )
            of_person = fold[np.cumsum([len(years) for years in careers["year"]]) - 1]
            predicted = np.empty(len(fold), dtype=np.float32)
            for number in range(folds):
                people = careers.select(np.flatnonzero(of_person == number))
                head, of_head = load("wages", number)
                predicted[fold == number] = predict_log_wages(head, people, of_head, unknown_levels="missing")
            heads[f"wage_head{suffix}"] = predicted
        frame, ledger = wage_frame(careers, h, fold=fold)
        ledger.save(self.folder / f"ledger, {protocol}.json")
        return careers, frame.assign(**{name: values[frame.index] for name, values in heads.items()})

    def load(self, task: str, number: int, *, protocol: str, start: str) -> tuple[Any, CareerProcessor]:
        """A model that was trained."""
        return load_checkpoint(self.place(f"{task}, {Cell(protocol, number, start)}"))

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
        tables["table3"] = as_in_the_paper(r2)
        truth = self.truth(splits["test"])
        if truth is not None:
            tables["ceiling"] = wage_summary(truth)
        name = "the simulated market" if self.data is None else self.data.name
        return StudyResult(tables, {"table3": table3_figure(r2, name)})


def everybody(splits: DatasetDict) -> Dataset:
    """The people of all splits."""
    return concatenate_datasets(list(splits.values()))


def specifications(frame: pd.DataFrame, starts: Sequence[str] = ("",)) -> dict[str, list[str]]:
    """The rows of the table that are regressions: names of blocks, by the name of the row.

    Args:
        frame: What `Table3Study.frame` returns.
        starts: Whether h are those of models from scratch (an empty text), pretrained, or both.
    """
    base = available_blocks(BLAU_KAHN, frame)[0]
    with_occupation = [*base, "occupation"]
    rows = {}
    if "industry" in base:
        fewer = [name for name in base if name != "industry"]
        rows = {WITHOUT_INDUSTRY: fewer, f"{WITHOUT_INDUSTRY}, + occupation": [*fewer, "occupation"]}
    rows |= {
        BLAU_KAHN_ROW: base,
        "+ occupation": with_occupation,
        "+ occupation, lagged occupation": [*with_occupation, "lagged occupation"],
    }
    for start in starts:
        suffix = Cell(PAPER, 0, start).suffix
        # The block of the head from scratch has a name of its own; the other is a column of the frame.
        head = "wage head" if not start else f"wage_head{suffix}"
        rows |= {
            f"+ h before{suffix}": [*base, f"h before{suffix}"],
            f"+ h including{suffix}": [*base, f"h including{suffix}"],
            f"+ occupation, h before{suffix}": [*with_occupation, f"h before{suffix}"],
            f"+ occupation, h including{suffix}": [*with_occupation, f"h including{suffix}"],
            f"+ occupation, wage head{suffix}": [*with_occupation, head],
        }
    return rows


def as_in_the_paper(r2: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table 3: R^2 of people held out, averaged over splits, overall and by decade; with more than one
    training seed, plus or minus their standard deviation.

    Args:
        r2: Table `r2` of the study.
    """
    rows = r2[(r2["protocol"] == PAPER) & r2["specification"].isin(PAPER_ROWS)]
    seeds = rows["seed_sd"].map(lambda sd: "" if np.isnan(sd) else f" ± {sd:.3f}")
    cells = rows["mean_of_splits"].map("{:.3f}".format) + seeds
    rows = rows.assign(row=rows["specification"].map(PAPER_ROWS), cell=cells)
    order = [row for row in PAPER_ROWS.values() if row in set(rows["row"])]
    wide = rows.pivot(index="row", columns="years", values="cell").loc[order, rows["years"].unique()]
    return wide.rename(columns={ALL_YEARS: "overall"}).rename_axis(columns=None)


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
    checkpoint: Checkpoint = None,
    resumes: Resumes = None,
    weighted: Annotated[bool, typer.Option("--weighted", help="Weight regressions and R^2 by the survey.")] = False,
    quick: Quick = False,
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
    settings, start = settings.quick() if quick else settings, Start(checkpoint, resumes)
    runs, hours = settings.cost(start)
    say(f"{runs} training runs, at most {hours:.2f} core hours; and a few minutes of regressions")
    models = tuple(covariates.split(","))
    study = Table3Study(output, settings, data=data, covariates=models, start=start, weighted=weighted)
    result = study.run(workers)
    for name, meaning in result["missing"].items():
        say(f"not in these careers: {name} (Blau and Kahn: {meaning})")
    columns = {"within_year": "within year", "within_year_low": "low", "within_year_high": "high"}
    columns |= {"gain": "gain", "seed_sd": "seed sd", "r2": "R^2"}
    for (protocol, years), rows in result["r2"].groupby(["protocol", "years"], sort=False):
        size = f"{rows['people'].iloc[0]:,} people, {rows['observations'].iloc[0]:,} person-years"
        of_years = rows.set_index("specification")[[*columns]].rename(columns=columns)
        show(of_years, f"{protocol}, {years}: {size}")
    show(as_in_the_paper(result["r2"]), "Table 3 of the paper: R^2 of people held out, averaged over splits")
    if market:
        show(result["ceiling"].to_frame("test people"), "The truth")
    show(result["models"], "Models")
    say(f"{output}/r2.csv, models.csv, coefficients.txt, .tex, .html, table3.png")
