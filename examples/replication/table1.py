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
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, concatenate_datasets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from transformers import PreTrainedModel

from career_hf.careers.atomic_files import complete
from career_hf.careers.frames import load_careers, truncate
from career_hf.cli.console import say, show
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.metrics import INTERVAL, compare, mean_over_seeds, perplexity_by, resampled_nll, step_weights
from career_hf.evaluation.transition_table import TRANSITIONS
from career_hf.figures.evaluation import COLOURS
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.metrics import state_aucs
from career_hf.forecasting.table import Realised, check_states, forecast_table, realised_years
from career_hf.occupations.labels import NOT_WORKING
from career_hf.rivals.markov import tune_weight
from career_hf.rivals.mixture import tune_mixture

from .cells import keep_settings, run_jobs
from .rivals import Budget, Study, Trial, best, pretrain, train, trials
from .rivals_tables import BASELINE, Tables, costs, load


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


# MERGED table1_tables: """The table and figure of forecasts, from the study's forecast tables."""


# Survivors count alike, as in the paper; everyone observed stands for those who were not.
POPULATIONS = {"survivors": False, "everyone, weighted": True}


def perplexities(tables: Tables, draws: int, weighted: bool = False) -> pd.DataFrame:
    """Perplexity of every model overall and by year, with intervals, and paired differences from CAREER's.

    Args:
        tables: Forecast tables by model, one for each seed, of the same people.
        draws: Resamples of people.
        weighted: Use weights.
    """
    k, parts = list(tables).index(BASELINE), []
    for by in (None, "year"):
        sizes, nll, resampled = resampled_nll(tables, draws, weighted=weighted, by=by)
        low, high = np.nanquantile(np.exp(resampled), INTERVAL, axis=0)
        difference_low, difference_high = np.nanquantile(resampled - resampled[..., [k]], INTERVAL, axis=0)
        for g, (year, n) in enumerate(sizes.items()):
            of_year = {
                name: [_of_year(table, OVERALL if by is None else year) for table in seeds]
                for name, seeds in tables.items()
            }
            # One resample: these columns need none.
            spread = compare(of_year, BASELINE, draws=2, weighted=weighted)
            parts.append(
                pd.DataFrame(
                    {
                        "year": OVERALL if by is None else str(year),
                        "model": list(tables),
                        "n": n,
                        "perplexity": np.exp(nll[g]),
                        "low": low[g],
                        "high": high[g],
                        "difference": nll[g] - nll[g, k],
                        "difference_low": difference_low[g],
                        "difference_high": difference_high[g],
                        "monte_carlo": [_monte_carlo(seeds, weighted) for seeds in of_year.values()],
                        "seeds": spread["seeds"].to_numpy(),
                        "seed_sd": spread["seed_sd"].to_numpy(),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def aucs(tables: Tables, weighted: bool = False) -> pd.DataFrame:
    """Areas under the ROC curve of being in each watched state, overall and by year, averaged over seeds."""
    rows = []
    for model, seeds in tables.items():
        for year in _years(seeds[0]):
            parts = [state_aucs(_of_year(table, year), weighted) for table in seeds]
            found = pd.concat(parts, axis=1).mean(axis=1)
            rows += [{"state": s, "year": str(year), "model": model, "auc": auc} for s, auc in found.items()]
    return pd.DataFrame(rows, columns=["state", "year", "model", "auc"])


def by_kind(tables: Tables, weighted: bool = False) -> pd.DataFrame:
    """How many are found in the last occupation that was known, and perplexity of these and of others, by year."""
    rows = []
    for model, seeds in tables.items():
        stay = np.mean([table["p_stay"] for table in seeds], axis=0)
        mean = mean_over_seeds(seeds).assign(p_stay=stay)
        # A step to or from an unknown occupation is of no kind.
        mean = mean[mean["transition"].notna()]
        for year in _years(mean):
            part = _of_year(mean, year)
            weights = step_weights(part, weighted)
            shares = {
                "predicted": np.average(part["p_stay"], weights=weights),
                "observed": np.average(part["transition"] == "stay", weights=weights),
            }
            of_kinds = perplexity_by(part, "transition", weighted)["perplexity"].reindex(TRANSITIONS[1:])
            rows.append({"year": str(year), "model": model, **shares, **of_kinds})
    return pd.DataFrame(rows)


def table1(plans: Sequence[ForecastStudy], folder: Path, workers: int = 2) -> Table1:
    """Trains and forecasts what is not there yet; writes table1.csv, auc.csv, kinds.csv, costs.csv, tables.md and
    table1.png.

    Args:
        plans: Designs (`table1.designs`); what was stopped goes on.
        folder: Of the study.
        workers: Processes, each of which uses one thread.
    """
    run(plans, workers)
    frozen = best(tuned(plans))
    levels, areas, kinds, spent = [], [], [], []
    for plan in plans:
        tables = load(plan.folder / "forecasts")
        spent.append(costs(plan, frozen).reset_index().assign(design=plan.design))
        for population, weighted in POPULATIONS.items():
            of = {"design": plan.design, "population": population}
            chosen = {
                name: [table if weighted else table[table["survivor"]] for table in seeds]
                for name, seeds in tables.items()
            }
            levels.append(perplexities(chosen, plan.budget.draws, weighted).assign(**of))
            areas.append(aucs(chosen, weighted).assign(**of))
            kinds.append(by_kind(chosen, weighted).assign(**of))
    first = ["design", "population"]
    perplexity, auc, of_kinds = (pd.concat(parts).set_index(first).reset_index() for parts in (levels, areas, kinds))
    found = Table1(perplexity, auc, of_kinds, pd.concat(spent).set_index(["design", "model"]))
    for name, frame in (("table1", found.perplexity), ("auc", found.auc), ("kinds", found.kinds)):
        frame.to_csv(folder / f"{name}.csv", index=False)
    found.costs.to_csv(folder / "costs.csv")
    (folder / "tables.md").write_text(page(found) + "\n", encoding="utf-8")
    figure(found.perplexity).savefig(folder / "table1.png", dpi=110)
    return found


def figure(perplexity: pd.DataFrame) -> Figure:
    """Perplexity by year, and differences of log-perplexity from CAREER's, of survivors; a row for each design."""
    rows = perplexity[perplexity["population"] == "survivors"]
    designs = list(rows["design"].unique())
    whole = Figure(figsize=(13, 4.4 * len(designs)), layout="constrained")
    panels = whole.subplots(len(designs), 2, squeeze=False)
    for (left, right), design in zip(panels, designs, strict=True):
        of_design = rows[rows["design"] == design]
        _points(left, of_design, "perplexity", "low", "high")
        left.set(title=title_of(design, "survivors"), ylabel="perplexity (95% intervals)")
        others = of_design[of_design["model"] != BASELINE]
        _points(right, others, "difference", "difference_low", "difference_high", skip=1)
        right.axhline(0, color="black", linewidth=1)
        right.set(title=f"The same, minus {BASELINE}", ylabel="difference of log-perplexity (95% intervals)")
        left.legend(frameon=False, fontsize=8)
    return whole


def _points(axes: Axes, rows: pd.DataFrame, value: str, low: str, high: str, skip: int = 0) -> None:
    """Values of every model with intervals, side by side in each year; CAREER has the first colour."""
    models = sorted(rows["model"].unique(), key=lambda name: (name != BASELINE, name))
    years = [OVERALL, *sorted(set(rows["year"]) - {OVERALL})]
    for i, model in enumerate(models):
        of_model = rows[rows["model"] == model].set_index("year").loc[years]
        place = np.arange(len(years)) + 0.7 * ((i + 0.5) / len(models) - 0.5)
        span = [of_model[value] - of_model[low], of_model[high] - of_model[value]]
        look: dict[str, Any] = {
            "color": COLOURS[(i + skip) % len(COLOURS)],
            "marker": "os"[(i + skip) // len(COLOURS)],
        }
        axes.errorbar(
            place, of_model[value], yerr=span, linestyle="none", capsize=3, markersize=5, label=model, **look
        )
    axes.set_xticks(range(len(years)), years)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _years(table: pd.DataFrame) -> list[Any]:
    """What levels are told for: all years together, and each one."""
    return [OVERALL, *sorted(table["year"].unique())]


def _of_year(table: pd.DataFrame, year: Any) -> pd.DataFrame:
    return table if year == OVERALL else table[table["year"] == year]


def _monte_carlo(seeds: Sequence[pd.DataFrame], weighted: bool) -> float:
    """Standard error of log-perplexity from sampling trajectories, averaged over seeds of independent draws; as if a
    person's errors were the same in all years, which is the most they can add up to."""
    variances = []
    for table in seeds:
        weight = table["weight"].to_numpy() if weighted else np.ones(len(table))
        of_people = (table["log_prob_error"] * weight).groupby(table["person"], observed=True).sum()
        variances.append((of_people**2).sum() / weight.sum() ** 2)
    return float(np.sqrt(np.sum(variances)) / len(variances))


# MERGED table1_page: """What the study of forecasts found, and its tables as Markdown, for documentation."""


OVERALL = "overall"


@dataclass(frozen=True)
class Table1:
    """What the study found.

    Args:
        perplexity: One row per design, population, year ("overall" among them) and model: n, perplexity, low, high,
            difference of log-perplexity from CAREER's, difference_low, difference_high, monte_carlo (the standard
            error of log-perplexity that sampling trajectories adds), seeds, seed_sd (of log-perplexity).
        auc: One row per design, population, state, year and model: auc, averaged over seeds.
        kinds: One row per design, population, year and model: the share who are found in the last occupation that was
            known, `predicted` and `observed`, and perplexity of these (`stay`), of who is in an earlier occupation
            (`return`) and of all others (`new`), as in Table 4.
        costs: Trials, updates, hours and what was chosen, by design and model.
    """

    perplexity: pd.DataFrame
    auc: pd.DataFrame
    kinds: pd.DataFrame
    costs: pd.DataFrame


def page(found: Table1) -> str:
    """All tables under headings, numbers rounded, intervals in brackets.

    Args:
        found: What the study found.
    """
    parts: dict[str, pd.DataFrame] = {}
    for (design, population), rows in found.perplexity.groupby(["design", "population"], sort=False):
        title = title_of(design, population)
        parts[f"{title}: perplexity"] = as_in_the_paper(rows)
        parts[f"{title}: log-perplexity minus that of {BASELINE}"] = differences(rows)
        parts[f"{title}: AUC of being in a state, all years together"] = areas(part_of(found.auc, design, population))
        parts[f"{title}: found in the last occupation known, and perplexity of these, of returns and of others"] = (
            kinds(part_of(found.kinds, design, population))
        )
    parts["Cost"] = found.costs.round({"hours": 2, "validation": 3})
    return "\n\n".join(f"### {title}\n\n{_markdown(table)}" for title, table in parts.items() if len(table))


def part_of(frame: pd.DataFrame, design: str, population: str) -> pd.DataFrame:
    """The rows of one design and population."""
    return frame[(frame["design"] == design) & (frame["population"] == population)]


def title_of(design: str, population: str) -> str:
    """Who is forecast and who of them is scored, as headings say it."""
    forecast = {"everybody": "Everybody trains and is forecast", "new people": "New people are forecast"}[design]
    return f"{forecast}, scored on {population}"


def as_in_the_paper(rows: pd.DataFrame) -> pd.DataFrame:
    """Models down and years across, the best first, as Tables 1 and 2 stand in the paper; intervals in brackets.

    Args:
        rows: `Table1.perplexity` of one design and population.
    """
    texts = [f"{row.perplexity:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in rows.itertuples()]
    overall = rows[rows["year"] == OVERALL].set_index("model")
    wide = _wide(rows.assign(text=texts), list(overall.sort_values("perplexity").index))
    noise = overall["perplexity"] * overall["monte_carlo"]
    wide["sampling error"] = noise.map(lambda error: f"{error:.3f}" if error < 0.1 else f"{error:.2f}")
    if (overall["seeds"] > 1).any():
        wide["sd of log over seeds"] = overall["seed_sd"].map("{:.3f}".format, na_action="ignore")
    return wide


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences of log-perplexity from CAREER's, years across, the smallest first.

    Args:
        rows: `Table1.perplexity` of one design and population.
    """
    others = rows[rows["model"] != BASELINE]
    texts = [
        f"{row.difference:+.3f} [{row.difference_low:+.3f}, {row.difference_high:+.3f}]" for row in others.itertuples()
    ]
    order = others[others["year"] == OVERALL].sort_values("difference")["model"]
    return _wide(others.assign(text=texts), list(order))


def areas(rows: pd.DataFrame) -> pd.DataFrame:
    """Areas under the ROC curve of states, all years together; states across, the best model of the first one first.

    Args:
        rows: `Table1.auc` of one design and population.
    """
    wide = rows[rows["year"] == OVERALL].pivot(index="model", columns="state", values="auc")
    wide = wide[list(rows["state"].unique())]
    return wide.sort_values(list(wide.columns), ascending=False).map("{:.3f}".format)


def kinds(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares in the last occupation known, and perplexities by kind of step, one row for each year and model.

    Args:
        rows: `Table1.kinds` of one design and population.
    """
    wide = rows[rows["year"] != OVERALL].set_index("model").drop(columns=["design", "population"])
    perplexities = wide[["stay", "return", "new"]].map("{:.2f}".format, na_action="ignore")
    shares = wide[["predicted", "observed"]].map("{:.3f}".format)
    return pd.concat([wide["year"], shares, perplexities], axis=1)


def _wide(rows: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    wide = rows.pivot(index="model", columns="year", values="text")
    return wide.loc[models, [OVERALL, *(year for year in wide.columns if year != OVERALL)]]


def _markdown(table: pd.DataFrame) -> str:
    text = table.astype(object).where(table.notna(), "")
    return text.reset_index().to_markdown(index=False, disable_numparse=True)


@study.command("table2", help="The same for a second data set (Table 2).")
@study.command("table1")
def table1(
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` or `simulate` writes it.", exists=True)],
    output: Output,
    cutoff: Annotated[int, typer.Option(help="The last year that may be known.")],
    years: Annotated[str, typer.Option(help="Forecast years, comma-separated.")],
    covariates: Annotated[str, typer.Option(help="Comma-separated: year, and columns of the careers.")] = "year",
    workers: Workers = 2,
    seeds: Seeds = 3,
    trials: Annotated[int, typer.Option(help="Validation trials for each model, at most 8.", min=1, max=8)] = 8,
    most_steps: Annotated[int, typer.Option(help="Updates at most, at which the rate is zero.", min=10)] = 1_000,
    samples: Annotated[int, typer.Option(help="Trajectories of each person.", min=2)] = 1_000,
    people: Annotated[
        int | None, typer.Option(help="Forecast so many in each design, drawn at random.", min=1)
    ] = None,
    design: Annotated[str, typer.Option(help="Only 'everybody' or only 'new people'; both if empty.")] = "",
    resumes: Annotated[
        Path | None, typer.Option(help="Resumes to pretrain CAREER on: as careers, or as `simulate`.", exists=True)
    ] = None,
) -> None:
    """Forecasts of CAREER and every rival, trained up to a cutoff, by year ahead (Tables 1 and 2)."""
    from .rivals import Budget
    from .table1 import DESIGNS, cost, designs
    from .table1_page import areas, as_in_the_paper, differences, part_of, title_of
    from .table1_tables import table1 as run

    if design and design not in DESIGNS:
        raise typer.BadParameter(f"--design must be one of {', '.join(DESIGNS)}, not '{design}'")
    budget = Budget(
        trials=trials,
        seeds=seeds,
        most_steps=most_steps,
        warmup_steps=most_steps // 10,
        eval_steps=most_steps // 10,
    )
    plans = designs(
        output,
        data,
        covariates.split(","),
        cutoff,
        [int(year) for year in years.split(",")],
        budget=budget,
        samples=samples,
        people=people,
        resumes=resumes,
        which=[name for name in DESIGNS if design in ("", name)],
    )
    runs, forecasts, hours = cost(plans)
    say(f"{runs} training runs and forecasts of {forecasts:,} people, at most {hours:.1f} core hours")
    found = run(plans, output, workers)
    for (design_, population), rows in found.perplexity.groupby(["design", "population"], sort=False):
        title = title_of(design_, population)
        show(as_in_the_paper(rows), f"{title}: perplexity with 95% intervals by resampling people")
        show(differences(rows), f"{title}: log-perplexity minus CAREER's; above 0 is worse")
        show(areas(part_of(found.auc, design_, population)), f"{title}: AUC of being in a state")
    show(found.costs.reset_index("design"), "Cost of every model")
    say(f"{output}/*.csv, tables.md, table1.png")
