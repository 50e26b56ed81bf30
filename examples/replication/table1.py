"""Forecasts of CAREER and its rivals (Tables 1 and 2): trained up to a cutoff, scored in the years after it.

Two designs. "everybody" is the paper's: all careers up to the cutoff train, but those of the validation split, and
everybody is forecast. "new people": careers of the training split train, and people of the test split are forecast,
whom no model has seen. Every model that is trained has two stages, which the paper found to forecast better, and the
same number of validation trials, which new people's design has for both, as the same people validate in both;
vocabulary, levels of covariates, rates, smoothing, early stopping and resumes to pretrain on know nothing after the
cutoff. Further seeds of training also seed the trajectories. `table1_tables.py` makes the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datasets import concatenate_datasets

from career_hf.careers.atomic_files import complete
from career_hf.careers.frames import load_careers, truncate
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.table import Realised, check_states, forecast_table, realised_years
from career_hf.occupations.labels import NOT_WORKING
from career_hf.rivals.markov import tune_weight
from career_hf.rivals.mixture import tune_mixture

from .cells import keep_settings, run_jobs
from .rivals import Budget, Study, Trial, best, pretrain, train, trials


if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel

Design = Literal["everybody", "new people"]
DESIGNS: tuple[Design, ...] = ("everybody", "new people")
COUNTED: dict[str, Callable[..., PreTrainedModel]] = {
    "Markov chain, order 1": partial(tune_weight, order=1),
    "Markov chain, order 2": partial(tune_weight, order=2),
    "mixture of Markov chains": tune_mixture,
}
# CPU seconds of one core, measured on the NLSY79 up to 1992: of an update of a model on average (4,000 person-years),
# and of a person with 1,000 trajectories of three steps.
SECONDS_OF_UPDATE = 0.13
SECONDS_OF_PERSON = 0.06


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

    def corpus(self) -> tuple[Dataset, Dataset]:
        """Resumes up to the cutoff."""
        train, validation = super().corpus()
        return truncate(train, self.cutoff)[0], truncate(validation, self.cutoff)[0]

    def realised(self) -> Realised:
        """Who is forecast, and what became of them: whoever is observed in any forecast year."""
        splits = load_careers(self.data)
        everybody = concatenate_datasets(list(splits.values()))
        careers = everybody if self.design == "everybody" else splits["test"]
        found = realised_years(careers, self.cutoff, self.years, "observed", people=self.people)
        check_states(everybody, self.cutoff, self.years)
        return found


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
    resumes: Path | None = None,
    which: Sequence[Design] = DESIGNS,
) -> list[ForecastStudy]:
    """The study's designs, each in a folder of its own.

    Args:
        folder: Of the study.
        data: Folder of careers in splits, as `career-hf prepare` writes it.
        covariates: Of every model that has covariates.
        cutoff, years, samples, people: As in `ForecastStudy`.
        budget: What every trained model gets; taken with two stages, and without the paper's recipe.
        resumes: Folder of resumes to pretrain CAREER on, as in `Study`.
        which: Designs.
    """
    budget = replace(budget, stages=(2,), paper=False)
    return [
        ForecastStudy(
            folder / design.replace(" ", "_"),
            data,
            tuple(covariates),
            budget,
            resumes=resumes,
            cutoff=cutoff,
            years=tuple(years),
            design=design,
            samples=samples,
            people=people,
        )
        for design in which
    ]


def cost(plans: Sequence[ForecastStudy]) -> tuple[int, int, float]:
    """Training runs, forecasts of a person, and core hours if no run stops early and no two trajectories agree more
    than people's on the NLSY79.

    Raises:
        ValueError: As `run`.
    """
    runs, people, hours = 0, 0, 0.0
    for plan in plans:
        models = len(plan.rivals)
        trained = models * (plan.budget.seeds + (plan.budget.trials - 1) * (plan is tuned(plans)))
        updates = trained * plan.budget.most_steps
        if plan.resumes is not None:
            updates += plan.budget.seeds * plan.budget.pretraining_steps
        forecasts = (models * plan.budget.seeds + len(COUNTED)) * len(plan.realised().histories)
        seconds = updates * plan.budget.tokens_per_batch / 4_000 * SECONDS_OF_UPDATE
        seconds += forecasts * SECONDS_OF_PERSON * plan.samples / 1_000 * len(plan.years) / 3
        runs, people, hours = runs + trained, people + forecasts, hours + seconds / 3600
    return runs, people, hours


def tuned(plans: Sequence[ForecastStudy]) -> ForecastStudy:
    """The design that has the validation trials, whose winners train in every design: the last, new people's if it
    is there, where careers to be forecast do not even train."""
    return plans[-1]


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
    if any(plan.resumes is not None for plan in plans):
        of_seed = [(plan, seed) for plan in plans for seed in range(plan.budget.seeds)]
        run_jobs("Pretraining", [partial(pretrain, plan, 2, seed) for plan, seed in of_seed], workers)
    tuning = tuned(plans)
    run_jobs("Trials", [partial(train, tuning, trial) for trial in trials(tuning)], workers)
    frozen = best(tuning)
    final = [
        (plan, replace(trial, seed=seed)) for plan in plans for trial in frozen for seed in range(plan.budget.seeds)
    ]
    run_jobs("Further seeds", [partial(train, plan, trial) for plan, trial in final], workers)
    cells: list[Callable[[], Any]] = [partial(forecast_trained, plan, trial) for plan, trial in final]
    for plan in plans:
        cells += [partial(forecast_counted, plan, name) for name in COUNTED]
    run_jobs("Forecasting", cells, workers)


def forecast_trained(plan: ForecastStudy, trial: Trial) -> None:
    """Forecasts with a model that was trained."""
    _keep(plan, trial.name, trial.seed, partial(train, plan, trial))


def forecast_counted(plan: ForecastStudy, name: str) -> None:
    """Counts a Markov chain or a mixture of them up to the cutoff, tuned on validation careers, and forecasts."""

    def fit() -> tuple[PreTrainedModel, CareerProcessor]:
        splits = plan.splits()
        processor = CareerProcessor.fit(splits["train"], [], **plan.vocabulary())
        encoded, validation = (processor.encode(splits[part])[0] for part in ("train", "validation"))
        return COUNTED[name](encoded, validation, processor), processor

    _keep(plan, name, 0, fit)


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
