"""Forecasts of CAREER and its rivals (Tables 1 and 2): trained up to a cutoff, scored in the years after it.

Two designs. "everybody" is the paper's: all careers up to the cutoff train, but those of the validation split, and
everybody is forecast. "new people": careers of the training split train, and people of the test split are forecast,
whom no model has seen. Every model that is trained has two stages, which the paper found to forecast better, and the
same number of validation trials; vocabulary, levels of covariates, rates, smoothing and early stopping know nothing
after the cutoff. Further seeds of training also seed the trajectories. `table1_tables.py` makes the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datasets import concatenate_datasets
from transformers import AutoModelForCausalLM

from ..baselines.markov import tune_weight
from ..careers import load_careers, truncate
from ..complete import complete
from ..describing import NOT_WORKING
from ..forecast_table import Realised, check_states, forecast_table, realised_years
from ..forecasting import forecast
from ..processing_career import CareerProcessor
from .cells import keep_settings, run_jobs
from .rivals import FLOOR, Budget, Study, Trial, best, train, trials


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

Design = Literal["everybody", "new people"]
DESIGNS: tuple[Design, ...] = ("everybody", "new people")


@dataclass(frozen=True, kw_only=True)
class ForecastStudy(Study):
    """One design: rivals that are trained up to a cutoff, and whom they forecast.

    Args:
        cutoff: The last year that may be known.
        years: The forecast years.
        design: Who trains and who is forecast.
        samples: Trajectories of each person.
        people: Forecast so many, drawn at random; everybody if None.
    """

    cutoff: int
    years: tuple[int, ...]
    design: Design
    samples: int = 1000
    people: int | None = None

    def splits(self) -> dict[str, Dataset]:
        """Careers up to the cutoff to train and to validate on."""
        splits = load_careers(self.data)
        parts = ("train", "test") if self.design == "everybody" else ("train",)
        trained = concatenate_datasets([splits[name] for name in parts])
        return {
            "train": truncate(trained, self.cutoff)[0],
            "validation": truncate(splits["validation"], self.cutoff)[0],
        }

    def realised(self) -> Realised:
        """Who is forecast, and what became of them: whoever is observed in any forecast year."""
        splits = load_careers(self.data)
        everybody = concatenate_datasets(list(splits.values()))
        check_states(everybody, self.cutoff, self.years)
        careers = everybody if self.design == "everybody" else splits["test"]
        return realised_years(careers, self.cutoff, self.years, "observed", people=self.people)


def designs(
    folder: Path,
    data: Path,
    covariates: Sequence[str],
    cutoff: int,
    years: Sequence[int],
    *,
    budget: Budget,
    samples: int = 1000,
    people: int | None = None,
    truth: Path | None = None,
    which: Sequence[Design] = DESIGNS,
) -> list[ForecastStudy]:
    """The study's designs, each in a folder of its own.

    Args:
        folder: Of the study.
        data: Folder of careers in splits, as `career-hf prepare` writes it.
        covariates: Of every model that has covariates.
        cutoff, years, samples, people: As in `ForecastStudy`.
        budget: What every trained model gets; its stages must be two, and the paper's own recipe is not run.
        truth: Checkpoint of the true model, of careers that are simulated.
        which: Designs.
    """
    budget = replace(budget, stages=(2,), paper_seeds=0)
    return [
        ForecastStudy(
            folder / design.replace(" ", "_"),
            data,
            tuple(covariates),
            budget,
            truth,
            cutoff=cutoff,
            years=tuple(years),
            design=design,
            samples=samples,
            people=people,
        )
        for design in which
    ]


def run(plans: Sequence[ForecastStudy], workers: int = 2) -> None:
    """Tunes and trains every model, then forecasts; what is finished is not run again.

    Leaves `forecasts/MODEL/SEED.parquet`, forecast tables of everybody observed with attrition weights, and
    `ledger.json` in each design's folder.

    Args:
        plans: Designs.
        workers: Processes, each of which uses one thread.

    Raises:
        ValueError: Nobody qualifies, a state is not observed on both sides of the cutoff, or a folder holds another
            study.
    """
    for plan in plans:
        # Who cannot be forecast is said before hours of training.
        ledger = plan.realised().ledger
        keep_settings(plan.folder, {name: _plain(value) for name, value in asdict(plan).items() if name != "folder"})
        ledger.save(plan.folder / "ledger.json")
    run_jobs("Trials", [partial(train, plan, trial) for plan in plans for trial in trials(plan)], workers)
    final = [
        (plan, replace(trial, seed=seed))
        for plan in plans
        for trial in best(plan)
        for seed in range(plan.budget.seeds)
    ]
    run_jobs("Further seeds", [partial(train, plan, trial) for plan, trial in final], workers)
    cells: list[Callable[[], Any]] = [partial(forecast_trained, plan, trial) for plan, trial in final]
    for plan in plans:
        cells += [partial(forecast_chain, plan, order) for order in (1, 2)]
        cells += [partial(forecast_truth, plan)] if plan.truth is not None else []
    run_jobs("Forecasting", cells, workers)


def forecast_trained(plan: ForecastStudy, trial: Trial) -> None:
    """Forecasts with a model that was trained."""
    _keep(plan, trial.name, trial.seed, partial(train, plan, trial))


def forecast_chain(plan: ForecastStudy, order: int) -> None:
    """Counts a Markov chain up to the cutoff, tunes its smoothing on validation careers, and forecasts."""

    def fit() -> tuple[PreTrainedModel, CareerProcessor]:
        splits = plan.splits()
        processor = CareerProcessor.fit(splits["train"], [], **plan.vocabulary())
        encoded, validation = (processor.encode(splits[name])[0] for name in ("train", "validation"))
        return tune_weight(encoded, validation, processor, order=order), processor

    _keep(plan, f"Markov chain, order {order}", 0, fit)


def forecast_truth(plan: ForecastStudy) -> None:
    """Forecasts with the true model of a simulated market: the best that any model could do."""
    truth = plan.truth
    if truth is not None:
        _keep(
            plan,
            FLOOR,
            0,
            lambda: (AutoModelForCausalLM.from_pretrained(truth), CareerProcessor.from_pretrained(truth)),
        )


def _keep(
    plan: ForecastStudy, name: str, seed: int, get: Callable[[], tuple[PreTrainedModel, CareerProcessor]]
) -> None:
    """Writes a model's forecast table, unless it is there."""
    path = plan.folder / "forecasts" / name / f"{seed}.parquet"
    if path.exists():
        return
    model, processor = get()
    realised = plan.realised()
    found = forecast(
        model,
        realised.histories,
        processor,
        years=plan.years,
        # As the paper does: never an occupation after the cutoff, but what covariates became.
        covariates=realised.careers if processor.covariate_names else None,
        unknown_levels="missing",
        samples=plan.samples,
        seed=seed,
    )
    states = [state for state in NOT_WORKING if state in found.occupations]
    table = forecast_table(found, realised.rows, watch=states, unknown_occupation=processor.unknown_occupation)
    with complete(path) as unfinished:
        table.to_parquet(unfinished)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
