"""Forecasts of CAREER and its rivals (Tables 1 and 2): trained up to a cutoff, scored in the years after it.

Two designs. "everybody" is the paper's: all careers up to the cutoff train, but those of the validation split, and
everybody is forecast. "new people": careers of the training split train, and people of the test split are forecast,
whom no model has seen. Every model that is trained has two stages, which the paper found to forecast better, and the
same number of validation trials, which new people's design has for both, as the same people validate in both;
vocabulary, levels of covariates, rates, smoothing, early stopping and resumes to pretrain on know nothing after the
cutoff. Further seeds of training also seed the trajectories.

Everything is forecast twice: with covariates that keep their last values before the cutoff, and with what they became,
as the paper does ("we include updated values of dynamic covariates like education", Appendix G), which is to know part
of the future.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import typer
from datasets import Dataset, concatenate_datasets
from matplotlib.figure import Figure

from career_hf.careers.frames import truncate
from career_hf.cli.console import say, show
from career_hf.evaluation.metrics import (
    cluster_counts_by,
    mean_over_seeds,
    perplexity_by,
    perplexity_differences,
    resampled_nll,
    step_weights,
)
from career_hf.evaluation.resampling import interval
from career_hf.evaluation.transition_table import TRANSITIONS
from career_hf.figures.style import columns, looks, new_figure, styled
from career_hf.forecasting.forecast import forecast
from career_hf.forecasting.metrics import state_auc_differences, watched
from career_hf.forecasting.table import Realised, check_states, forecast_table, realised_years
from career_hf.forecasting.years import Covariates as Knowledge
from career_hf.occupations.labels import NOT_WORKING
from career_hf.training.cells import keep_settings, run_jobs

from . import rivals
from .rivals import BASELINE, RivalsSettings, RivalsStudy, Trials
from .study import (
    Covariates,
    Data,
    Job,
    Made,
    MostSteps,
    Output,
    Resumes,
    Seeds,
    StudyResult,
    Tables,
    Workers,
    page_of,
    studies,
    with_interval,
    write_table,
)


Design = Literal["everybody", "new people"]
DESIGNS: tuple[Design, ...] = ("everybody", "new people")
# Survivors count alike, as in the paper; everyone observed stands for those who were not.
POPULATIONS = {"survivors": False, "everyone, weighted": True}
OVERALL = "overall"
# The columns of `aucs`.
AREAS = ["state", "year", "model", "auc", "low", "high", "difference", "difference_low", "difference_high"]
# What is known of covariates, as titles say it.
KNOWLEDGE: dict[Knowledge, str] = {
    "last": "covariates keep their last values",
    "realised": "covariates are known ahead, as in the paper",
}
# CPU seconds of one core, measured on the NLSY79 up to 1992: of an update of a model on average (4,000 person-years),
# and of a person with 1,000 trajectories of three steps.
SECONDS_OF_UPDATE = 0.13
SECONDS_OF_PERSON = 0.06


@dataclass(frozen=True)
class ForecastStudy(RivalsStudy):
    """One design: rivals that are trained up to a cutoff, and whom they forecast.

    Leaves `forecasts/COVARIATES/MODEL/SEED.parquet`, forecast tables of everybody observed with attrition weights.

    Args:
        cutoff: The last year that may be known.
        years: The forecast years.
        design: Who trains and who is forecast.
        samples: Trajectories of each person.
        people: Number of people to forecast, drawn at random; everybody if None.
    """

    cutoff: int = 0
    years: tuple[int, ...] = ()
    design: Design = "everybody"
    samples: int = 1000
    people: int | None = None
    weighted_counts = False

    def described(self) -> dict[str, Any]:
        plan = {name: value for name, value in asdict(self).items() if name != "folder"}
        plan["budget"] = plan.pop("settings")
        return {name: str(value) if isinstance(value, Path) else value for name, value in plan.items()}

    def splits(self) -> dict[str, Dataset]:
        """Careers up to the cutoff to train and to validate on."""
        splits = super().splits()
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
        splits = super().splits()
        everybody = concatenate_datasets(list(splits.values()))
        careers = everybody if self.design == "everybody" else splits["test"]
        realised = realised_years(careers, self.cutoff, self.years, "observed", people=self.people)
        check_states(everybody, self.cutoff, self.years)
        return realised

    def keep_table(self, name: str, seed: int, make: Callable[[], Made]) -> None:
        """Writes a model's forecast tables, unless they are there."""
        paths = {known: self.folder / "forecasts" / known / name / f"{seed}.parquet" for known in KNOWLEDGE}
        missing = [known for known, path in paths.items() if not path.exists()]
        if not missing:
            return
        (model, processor), realised = make(), self.realised()
        table = None
        for known in missing:
            # To a model without covariates both are the same.
            if table is None or processor.covariate_names:
                forecasts = forecast(
                    model,
                    realised.careers,
                    processor,
                    cutoff=self.cutoff,
                    years=self.years,
                    covariates=known,
                    unknown_levels="missing",
                    samples=self.samples,
                    seed=seed,
                )
                states = [state for state in NOT_WORKING if state in forecasts.occupations]
                unknown = processor.unknown_occupation
                table = forecast_table(forecasts, realised.rows, watch=states, unknown_occupation=unknown)
            write_table(paths[known], table)

    def cost(self, tuned: bool) -> tuple[int, int, float]:
        """Training runs, forecasts of a person, and core hours if no run stops early and no two trajectories agree
        more than people's on the NLSY79.

        Args:
            tuned: Whether this design has the trials.
        """
        models, settings = len(self.models), self.settings
        runs = models * (settings.seeds + (settings.trials - 1) * tuned)
        updates = runs * settings.most_steps
        if self.resumes is not None:
            updates += settings.seeds * settings.pretraining_steps
        forecasts = (len(KNOWLEDGE) * models * settings.seeds + len(rivals.COUNTED)) * len(self.realised().histories)
        seconds = updates * settings.tokens_per_batch / 4_000 * SECONDS_OF_UPDATE
        seconds += forecasts * SECONDS_OF_PERSON * self.samples / 1_000 * len(self.years) / 3
        return runs, forecasts, seconds / 3600


@dataclass(frozen=True)
class Table1Study:
    """Both designs, each in a folder of its own; leaves table1, auc, kinds and costs as CSV, tables.md and table1.png.

    Args:
        plan: What both have in common, and the folder of the study; it is taken with two stages, and without the
            paper's recipe.
        which: Designs.
    """

    plan: ForecastStudy
    which: Sequence[Design] = DESIGNS

    @property
    def designs(self) -> list[ForecastStudy]:
        """The designs. The last has the validation trials, whose winners train in every design: new people's if it is
        there, where careers to be forecast do not even train."""
        settings = replace(self.plan.settings, stages=(2,), paper=False)
        return [
            replace(self.plan, folder=self.plan.folder / design.replace(" ", "_"), settings=settings, design=design)
            for design in self.which
        ]

    def cost(self) -> tuple[int, int, float]:
        """As in `ForecastStudy`, of both designs."""
        *others, tuned = self.designs
        runs, people, hours = zip(tuned.cost(True), *(design.cost(False) for design in others), strict=True)
        return sum(runs), sum(people), sum(hours)

    def run(self, workers: int = 2) -> StudyResult:
        """Tunes and trains every model, then forecasts; what is finished is not run again.

        Args:
            workers: Processes, each of which uses one thread.

        Raises:
            ValueError: Nobody qualifies, a state is not observed on both sides of the cutoff, or a folder holds
                another study.
        """
        self.compute(workers)
        result = self.report()
        result.save(self.plan.folder)
        return result

    def compute(self, workers: int) -> None:
        """Everything up to the forecasts."""
        for design in self.designs:
            # Who cannot be forecast is said before hours of training.
            ledger = design.realised().ledger
            keep_settings(design.folder, design.described())
            ledger.save(design.folder / "ledger.json")
        for design in self.designs:
            design.prepare(workers)
        tuned = self.designs[-1]
        tuned.tune(workers)
        cells = [(design, trial) for design in self.designs for trial in tuned.frozen()]
        run_jobs("Further seeds", [Job(design.train, trial) for design, trial in cells], workers)
        jobs = [Job(design.score, trial) for design, trial in cells]
        jobs += [Job(design.count, name) for design in self.designs for name in rivals.COUNTED]
        run_jobs("Forecasting", jobs, workers)

    def report(self) -> StudyResult:
        """Tables and figures of a study that is finished."""
        chosen, first = self.designs[-1].best(), ["design", "population", "covariates"]
        levels, areas, kinds, spent = [], [], [], []
        for design in self.designs:
            spent.append(design.costs(chosen).reset_index().assign(design=design.design))
            for (population, weighted), known in product(POPULATIONS.items(), KNOWLEDGE):
                scored = {
                    name: [table if weighted else table[table["survivor"]] for table in seeds]
                    for name, seeds in design.tables(f"forecasts/{known}").items()
                }
                case = {"design": design.design, "population": population, "covariates": known}
                levels.append(perplexities(scored, design.settings.draws, weighted).assign(**case))
                areas.append(aucs(scored, design.settings.draws, weighted).assign(**case))
                kinds.append(by_kind(scored, weighted).assign(**case))
        parts = {"table1": levels, "auc": areas, "kinds": kinds}
        found = {name: pd.concat(part).set_index(first).reset_index() for name, part in parts.items()}
        found["costs"] = pd.concat(spent).set_index(["design", "model"])
        return StudyResult(found, {"table1": table1_figure(found["table1"])}, table1_page(found))


def perplexities(tables: Tables, draws: int, weighted: bool = False, baseline: str = BASELINE) -> pd.DataFrame:
    """Perplexity of every model overall and by year, with intervals, and paired differences from the baseline's.

    Args:
        tables: Forecast tables by model, one for each seed, of the same people.
        draws: Resamples of people.
        weighted: Use weights.
        baseline: The model that the others are compared with.
    """
    k, parts = list(tables).index(baseline), []
    for by in (None, "year"):
        sizes, nll, resampled = resampled_nll(tables, draws, weighted=weighted, by=by)
        count = cluster_counts_by(tables[baseline][0], by, weighted)[:, None]
        low, high = interval(np.exp(resampled), count)
        difference_low, difference_high = interval(resampled - resampled[..., [k]], count)
        for g, (year, n) in enumerate(sizes.items()):
            of_year = {
                name: [_of_year(table, OVERALL if by is None else year) for table in seeds]
                for name, seeds in tables.items()
            }
            # One resample: these columns need none.
            spread = perplexity_differences(of_year, baseline, draws=2, weighted=weighted)
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
                        "monte_carlo_bias": [_bias(seeds, weighted) for seeds in of_year.values()],
                        "seeds": spread["seeds"].to_numpy(),
                        "seed_sd": spread["seed_sd"].to_numpy(),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def aucs(tables: Tables, draws: int, weighted: bool = False) -> pd.DataFrame:
    """Areas under the ROC curve of being in each watched state, overall and by year, averaged over seeds, with
    intervals, and paired differences from CAREER's.

    Args:
        tables, draws, weighted: As in `perplexities`.
    """
    parts = []
    first = tables[BASELINE][0]
    for state, year in product(watched(first), _years(first)):
        of_year = {name: [_of_year(table, year) for table in seeds] for name, seeds in tables.items()}
        found = state_auc_differences(of_year, BASELINE, state, draws, weighted=weighted).reset_index()
        parts.append(found.assign(state=state, year=str(year)))
    if not parts:
        return pd.DataFrame(columns=AREAS)
    return pd.concat(parts, ignore_index=True)[AREAS]


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


@styled
def table1_figure(perplexity: pd.DataFrame) -> Figure:
    """Perplexity of survivors by year, and differences of log-perplexity from CAREER's; two panels for each design.

    Covariates keep their last values."""
    rows = perplexity[(perplexity["population"] == "survivors") & (perplexity["covariates"] == "last")]
    designs = list(rows["design"].unique())
    figure, panels = new_figure(9.0 * len(designs), 2 * len(designs), squeeze=False)
    # CAREER has the first look.
    models = sorted(rows["model"].unique(), key=lambda name: (name != BASELINE, name))
    order = rows.assign(place=rows["model"].map(models.index), later=rows["year"] != OVERALL)
    ordered = order.sort_values(["later", "year", "place"], kind="stable")
    for (upper, lower), design in zip(panels.reshape(-1, 2), designs, strict=True):
        of_design = ordered[ordered["design"] == design]
        draw_perplexities(upper, lower, of_design, models, BASELINE)
        upper.set(title=title_of(design, "survivors", "last"))
        lower.set(title=f"The same, minus {BASELINE}")
    return figure


def draw_perplexities(upper: Any, lower: Any, rows: pd.DataFrame, models: Sequence[str], baseline: str) -> None:
    """Draws what `perplexities` returns: levels by year above, and below differences from the baseline.

    Args:
        upper, lower: Panels.
        rows: Rows of the table.
        models: Names of models, in the order of their looks.
        baseline: The model that the others are compared with.
    """
    series = {"name": "year", "series": "model", "series_looks": looks(models)}
    columns(upper, rows, estimate="perplexity", **series)
    upper.set(ylabel="perplexity (95% intervals)")
    upper.legend(loc="upper left", bbox_to_anchor=(0, -0.1), ncols=2)
    others = rows[rows["model"] != baseline].rename(
        columns={"low": "_", "high": "__", "difference_low": "low", "difference_high": "high"}
    )
    columns(lower, others, estimate="difference", reference=0, **series)
    lower.set(ylabel="log-perplexity (95% intervals)")


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


def _bias(seeds: Sequence[pd.DataFrame], weighted: bool) -> float:
    """How much higher log-perplexity would be on average if logs of sampled probabilities were not corrected."""
    return float(np.mean([np.average(t["log_prob_correction"], weights=step_weights(t, weighted)) for t in seeds]))


def table1_page(tables: Mapping[str, pd.DataFrame]) -> str:
    """All tables under headings, numbers rounded, intervals in brackets.

    Args:
        tables: Tables of the study, by name.
    """
    parts: dict[str, pd.DataFrame] = {}
    for case, rows in tables["table1"].groupby(["design", "population", "covariates"], sort=False):
        title = title_of(*case)
        parts[f"{title}: perplexity"] = as_in_the_paper(rows)
        parts[f"{title}: log-perplexity minus that of {BASELINE}"] = differences(rows)
        of_states = part_of(tables["auc"], *case)
        parts[f"{title}: AUC of being in a state, all years together"] = areas(of_states)
        parts[f"{title}: these AUCs minus those of {BASELINE}"] = area_differences(of_states)
        parts[f"{title}: found in the last occupation known, and perplexity of these, of returns and of others"] = (
            kinds(part_of(tables["kinds"], *case))
        )
    parts["Cost"] = tables["costs"].round({"hours": 2, "validation": 3})
    return page_of(parts)


def part_of(frame: pd.DataFrame, design: str, population: str, covariates: str) -> pd.DataFrame:
    """The rows of one design, population and knowledge of covariates."""
    same = (frame["design"] == design) & (frame["population"] == population) & (frame["covariates"] == covariates)
    return frame[same]


def title_of(design: str, population: str, covariates: str) -> str:
    """Who is forecast, who of them is scored and what is known, as headings say it."""
    forecast = {"everybody": "Everybody trains and is forecast", "new people": "New people are forecast"}[design]
    return f"{forecast}, scored on {population}; {KNOWLEDGE[covariates]}"


def as_in_the_paper(rows: pd.DataFrame) -> pd.DataFrame:
    """Models down and years across, the best first, as Tables 1 and 2 stand in the paper; intervals in brackets.

    Args:
        rows: `perplexities` of one design, population and knowledge of covariates.
    """
    texts = with_interval(rows, "perplexity", "low", "high", 2)
    overall = rows[rows["year"] == OVERALL].set_index("model")
    wide = _wide(rows.assign(text=texts), list(overall.sort_values("perplexity").index))
    noise = overall["perplexity"] * overall["monte_carlo"]
    wide["sampling error"] = noise.map(lambda error: f"{error:.3f}" if error < 0.1 else f"{error:.2f}")
    wide["sampling bias, taken out"] = (overall["perplexity"] * np.expm1(overall["monte_carlo_bias"])).map(
        "{:.2f}".format
    )
    if (overall["seeds"] > 1).any():
        wide["sd of log over seeds"] = overall["seed_sd"].map("{:.3f}".format, na_action="ignore")
    return wide


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences of log-perplexity from CAREER's, years across, the smallest first.

    Args:
        rows: `perplexities` of one design, population and knowledge of covariates.
    """
    others = rows[rows["model"] != BASELINE]
    texts = with_interval(others, "difference", "difference_low", "difference_high", 3, "+")
    order = others[others["year"] == OVERALL].sort_values("difference")["model"]
    return _wide(others.assign(text=texts), list(order))


def areas(rows: pd.DataFrame) -> pd.DataFrame:
    """Areas under the ROC curve of states, all years together; states across, the best model of the first one first,
    intervals in brackets.

    Args:
        rows: `aucs` of one design, population and knowledge of covariates.
    """
    return _states_across(rows, with_interval(rows, "auc", "low", "high", 3))


def area_differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Differences of areas from CAREER's, as `areas`.

    Args:
        rows: As in `areas`.
    """
    others = rows[rows["model"] != BASELINE]
    return _states_across(others, with_interval(others, "difference", "difference_low", "difference_high", 3, "+"))


def _states_across(rows: pd.DataFrame, texts: pd.Series) -> pd.DataFrame:
    overall = rows.assign(text=texts)[rows["year"] == OVERALL]
    states = list(rows["state"].unique())
    order = overall.pivot(index="model", columns="state", values="auc")[states]
    models = order.sort_values(states, ascending=False).index
    return overall.pivot(index="model", columns="state", values="text").loc[models, states]


def kinds(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares in the last occupation known, and perplexities by kind of step, one row for each year and model.

    Args:
        rows: `by_kind` of one design, population and knowledge of covariates.
    """
    wide = rows[rows["year"] != OVERALL].set_index("model").drop(columns=["design", "population", "covariates"])
    perplexities = wide[["stay", "return", "new"]].map("{:.2f}".format, na_action="ignore")
    shares = wide[["predicted", "observed"]].map("{:.3f}".format)
    return pd.concat([wide["year"], shares, perplexities], axis=1)


def _wide(rows: pd.DataFrame, models: list[str]) -> pd.DataFrame:
    wide = rows.pivot(index="model", columns="year", values="text")
    return wide.loc[models, [OVERALL, *(year for year in wide.columns if year != OVERALL)]]


@studies.command("table2", help="The same for a second data set (Table 2).")
@studies.command("table1")
def table1(
    data: Data,
    output: Output,
    cutoff: Annotated[int, typer.Option(help="The last year that may be known.")],
    years: Annotated[str, typer.Option(help="Forecast years, comma-separated.")],
    covariates: Covariates = "year",
    workers: Workers = 2,
    seeds: Seeds = 3,
    trials: Trials = 8,
    most_steps: MostSteps = 1_000,
    samples: Annotated[int, typer.Option(help="Number of trajectories of each person.", min=2)] = 1_000,
    people: Annotated[
        int | None, typer.Option(help="Number of people to forecast in each design, drawn at random.", min=1)
    ] = None,
    design: Annotated[str, typer.Option(help="Only 'everybody' or only 'new people'; both if empty.")] = "",
    resumes: Resumes = None,
) -> None:
    """Forecasts of CAREER and every rival, trained up to a cutoff, by year ahead (Tables 1 and 2)."""
    if design and design not in DESIGNS:
        raise typer.BadParameter(f"--design must be one of {', '.join(DESIGNS)}, not '{design}'")
    plan = ForecastStudy(
        output,
        RivalsSettings.of_steps(most_steps, trials=trials, seeds=seeds),
        data=data,
        covariates=tuple(covariates.split(",")),
        resumes=resumes,
        cutoff=cutoff,
        years=tuple(int(year) for year in years.split(",")),
        samples=samples,
        people=people,
    )
    study = Table1Study(plan, [name for name in DESIGNS if design in ("", name)])
    runs, forecasts, hours = study.cost()
    say(f"{runs} training runs and forecasts of {forecasts:,} people, at most {hours:.1f} core hours")
    result = study.run(workers)
    for case, rows in result["table1"].groupby(["design", "population", "covariates"], sort=False):
        title = title_of(*case)
        show(as_in_the_paper(rows), f"{title}: perplexity with 95% intervals")
        show(differences(rows), f"{title}: log-perplexity minus CAREER's; above 0 is worse")
        of_states = part_of(result["auc"], *case)
        show(areas(of_states), f"{title}: AUC of being in a state with 95% intervals")
        show(area_differences(of_states), f"{title}: these AUCs minus CAREER's, paired")
    show(result["costs"].reset_index("design"), "Cost of every model")
    say(f"{output}/*.csv, tables.md, table1.png")
