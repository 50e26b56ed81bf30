"""`python examples/replication NAME`: thin wrappers over the studies, with their tables printed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from career_hf.cli.console import say, show

from .titles_command import titles


# Every other import stands inside its command, so that `career-hf --help` answers at once.

study = typer.Typer(
    help="Train and compare many models; write tables and figures. A stopped study goes on.", no_args_is_help=True
)

Output = Annotated[Path, typer.Option(help="Folder of the study.")]
Workers = Annotated[int, typer.Option(help="Processes; each uses one thread.")]
Seeds = Annotated[int, typer.Option(help="Training seeds.")]


@study.callback()
def needs_the_extra() -> None:
    """Train and compare many models; write tables and figures. A stopped study goes on."""
    if find_spec("matplotlib") is None:
        # Before the hours of training, not after.
        raise typer.BadParameter("studies draw with matplotlib: pip install 'career_hf[studies]'")


@study.command()
def findings(
    output: Output,
    workers: Workers = 2,
    seeds: Seeds = 3,
) -> None:
    """The paper's findings on the simulated market, each beside a control in which it must disappear."""
    from .findings import Settings
    from .findings_tables import findings as run

    found = run(output, Settings(seeds=seeds), workers)
    columns = ["nats", "low", "high", "seed_sd", "share_of_gap", "gap_low", "gap_high"]
    for finding, rows in found.findings.groupby("finding", sort=False):
        show(rows.set_index("case")[columns], f"{finding}: nats per step, 95% intervals by resampling people")
    show(found.models.set_index(["world", "model"]).drop(columns=["standard_error"]), "Models beside the floor")
    show(found.summary.to_frame(), str(output))


@study.command()
def rivals(
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` or `simulate` writes it.", exists=True)],
    output: Output,
    covariates: Annotated[str, typer.Option(help="Comma-separated: year, and columns of the careers.")] = "year",
    workers: Workers = 2,
    seeds: Seeds = 3,
    trials: Annotated[int, typer.Option(help="Validation trials for each model, at most 8.", min=1, max=8)] = 8,
    one_stage: Annotated[bool, typer.Option(help="Train every model in one stage too (Table 8).")] = True,
    paper_recipe: Annotated[
        bool, typer.Option("--paper-recipe", help="The paper's rates, warmups and batches; nothing is tuned.")
    ] = False,
    most_steps: Annotated[
        int | None,
        typer.Option(help="Updates at most: 1,000, or with the paper's recipe 20,000.", min=10, show_default=False),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="The true model, as `simulate` writes it, for the floor.", exists=True)
    ] = None,
    resumes: Annotated[
        Path | None, typer.Option(help="Resumes to pretrain CAREER on: as careers, or as `simulate`.", exists=True)
    ] = None,
    pretraining_steps: Annotated[
        int, typer.Option(help="Updates of pretraining, where there are resumes.", min=10)
    ] = 3_000,
) -> None:
    """Every rival in the paper beside CAREER, with the same budget: Figure 2a, Tables 4, 5 and 8, Figure 4."""
    from .rivals import Budget, Study
    from .rivals import trials as trials_of
    from .rivals_tables import rivals as run

    most_steps = most_steps or (20_000 if paper_recipe else 1_000)
    budget = Budget(
        trials=trials,
        seeds=seeds,
        stages=(2, 1) if one_stage else (2,),
        most_steps=most_steps,
        warmup_steps=most_steps // 10,
        eval_steps=most_steps // 10,
        paper=paper_recipe,
        pretraining_steps=pretraining_steps,
    )
    plan = Study(output, data, tuple(covariates.split(",")), budget, truth, resumes)
    planned = trials_of(plan)
    runs = len(planned) + (seeds - 1) * len({trial.name for trial in planned})
    each = "3 to 25 minutes" if paper_recipe else "for 1,000 updates half a minute to 3 minutes"
    say(f"{runs} training runs, each {each} of one core on 10,000 people")
    found = run(plan, workers)
    show(found.figure_2a, "Figure 2a: test perplexity, and difference of log-perplexity from two-stage CAREER")
    if resumes is None:
        say("CAREER with pretraining: not run, no resume corpus")
    cut = found.table_4[found.table_4["cut"] == "as in the paper"].set_index("model").drop(columns="cut")
    show(cut, "Table 4: perplexity by kind of step")
    show(found.table_5, "Table 5: AUC of moving and of entering states, ranks of the truth, calibration errors")
    if len(found.table_8):
        show(found.table_8, "Table 8: one and two stages")
    show(found.costs, "Cost of every model")
    say(f"{output}/*.csv, rivals.png")


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


@study.command()
def ablations(
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` or `simulate` writes it.", exists=True)],
    output: Output,
    covariates: Annotated[str, typer.Option(help="Comma-separated: year, and columns of the careers.")] = "year",
    workers: Workers = 2,
    seeds: Seeds = 3,
    rates: Annotated[str, typer.Option(help="Learning rates that every variant tries, comma-separated.")] = (
        "0.0005,0.001,0.002,0.004"
    ),
    most_steps: Annotated[int, typer.Option(help="Updates at most, at which the rate is zero.", min=10)] = 1_000,
) -> None:
    """What the paper reports in words: covariates late, learned positions, other sizes of CAREER and its rivals."""
    from .ablations import Settings, cost
    from .ablations_tables import ablations as run

    settings = Settings(tuple(map(float, rates.split(","))), seeds, most_steps)
    runs, hours = cost(settings)
    say(f"{runs} training runs, at most {hours:.1f} core hours")
    found = run(output, data, covariates.split(","), settings, workers)
    levels = ["parameters", "perplexity", "low", "high", "seed_sd"]
    differences = {f"{name}_from_choice": name for name in ("difference", "low", "high")}
    show(found[levels], "Test perplexity, 95% intervals by resampling people")
    for choice, rows in found.groupby("choice", sort=False):
        others = rows.drop(index=choice)[[*differences]].rename(columns=differences)
        show(others, f"Log-perplexity minus that of {choice}; above 0 is worse")
    show(found.loc[:, "top-1":], "Moves: rank of the true occupation among all but the previous one")  # type: ignore[misc]
    say(f"{output}/ablations.csv, ablations.png")


study.command()(titles)


@study.command()
def volume(
    output: Output,
    workers: Workers = 2,
    seeds: Seeds = 3,
    volumes: Annotated[str, typer.Option(help="Numbers of resumes, comma-separated; 0 is no pretraining.")] = (
        "0,1000,2000,5000,10000,20000,50000,100000"
    ),
) -> None:
    """How many resumes pretraining needs (Figure 2b), on the simulated market."""
    from .volume import Settings, cost
    from .volume_tables import volume as run

    settings = Settings(seeds=seeds, volumes=tuple(map(int, volumes.split(","))))
    pretrainings, surveys, hours = cost(settings)
    say(f"{pretrainings} runs of pretraining and {surveys} on the survey, at most {hours:.1f} core hours")
    found = run(output, settings, workers)
    shown = found.volumes.drop(columns=["volume", "rate"])
    show(shown, "Test perplexity after fine-tuning; differences of log-perplexity from training from scratch")
    show(found.law, "Log-perplexity as a n^-b + c; 95% intervals by resampling people and seeds")
    say(f"{output}/volume.csv, law.csv, volume.png")


@study.command()
def wage_gap(output: Output, workers: Workers = 2) -> None:
    """Which controls recover the gender wage gap, on the simulated market, where it is known."""
    from .wage_gap import summarize_wage_gap
    from .wage_gap import wage_gap as run

    summary = summarize_wage_gap(run(output, workers=workers))
    columns = ["estimate", "low", "high", "error", "without_noise", "r2"]
    for (world, estimator), rows in summary.groupby(["world", "estimator"], sort=False):
        truth = rows.iloc[0]
        gaps = f"structural gap {truth['structural']:.3f}, history-adjusted gap {truth['history_adjusted']:.3f}"
        title = f"{world}: {gaps}, R^2 ceiling {truth['r2_ceiling']:.3f}"
        show(rows.set_index("specification")[columns], f"{title}; {estimator}")
    say(f"{output}/wage_gap.csv, summary.csv, candidates.csv, wage_gap.png")


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
    if find_spec("pyfixest") is None:
        raise typer.BadParameter("coefficients are estimated with pyfixest: pip install 'career_hf[econ]'")
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


@study.command()
def gap_worlds(
    output: Output,
    workers: Workers = 2,
    worlds: Annotated[int, typer.Option(help="Worlds; more may be asked for later in the same folder.", min=1)] = 100,
) -> None:
    """Whether estimates of the adjusted wage gap find it, in many small worlds in which it is known."""
    from .gap_worlds import Settings, cost
    from .gap_worlds_tables import gap_worlds_study

    settings = Settings(worlds=worlds)
    say(f"{worlds} worlds, {cost(settings):.1f} core hours; finished worlds are kept")
    summary = gap_worlds_study(output, settings, workers).summary
    for clip, rows in summary.groupby("clip", sort=False):
        whose = "all women" if clip == 0 else f"women with a propensity up to {1 - clip:g}"
        show(rows.droplevel("clip").reset_index("estimator"), f"Gaps of {whose}, log points")
    say(f"{output}/estimates.csv, summary.csv, gap_worlds.png")


@study.command()
def rationales(output: Output, workers: Workers = 2, seeds: Seeds = 1) -> None:
    """Whether greedy rationales find the steps that made people move, on the simulated market, which knows them."""
    from .rationales import Settings
    from .rationales_tables import STOPPED, rationales_study

    found = rationales_study(output, Settings(seeds=seeds), workers)
    measured = [f"{measure}{end}" for measure in ("precision", "recall") for end in ("", "_low", "_high")]
    for (mechanism, pulls), rows in found.recovery.groupby(["mechanism", "pulls"], sort=False):
        for sets, of_sets in rows[rows["sets"].isin([1, STOPPED])].groupby("sets", sort=False):
            steps = "first step added" if sets == 1 else "as many steps as job dropout adds until the rule is met"
            of_method = of_sets.set_index("method")[["complete", "added", *measured]]
            show(of_method, f"{mechanism}, {pulls} pulls, {steps}; 95% intervals by resampling people")
    show(found.models.T, "Perplexity on whole test careers")
    show(found.smallest.to_frame(), "Greedy sets beside the smallest, all sets tried")
    say(f"{output}/recovery.csv, models.csv, smallest.csv, rationales.png, figure_3.png")


@study.command()
def likeness(
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it; all splits.", exists=True)],
    output: Output,
    name: Annotated[str, typer.Option(help="What tables and figures call them.")] = "survey",
    people: Annotated[int, typer.Option(help="Sample size of the simulated market.", min=1)] = 12_000,
    miscoded: Annotated[float, typer.Option(help="Share of the market's waves worked that are coded wrongly.")] = 0.0,
) -> None:
    """The simulated market beside a survey: what people do, when they leave, where they go, how often they return."""
    from datasets import concatenate_datasets

    from career_hf.careers.frames import load_careers
    from career_hf.simulation import miscode, preset

    from .likeness import likeness_study as run

    survey = concatenate_datasets(list(load_careers(data).values()))
    market = preset("survey").simulate(people)
    careers, _ = miscode(market.careers, market.world, miscoded)
    found = run(output, {"market": careers, name: survey})
    show(found["summary"], f"The simulated market beside {name}; standard errors from resampling people")
    say(f"{output}/likeness*.csv, likeness.png, likeness_moves.png")


@study.command()
def figure5(
    output: Output,
    workers: Workers = 2,
    seeds: Seeds = 2,
) -> None:
    """Do the nearest by representation have one's own latent type? On the simulated market, beside chance."""
    from .figure5 import Settings
    from .figure5 import figure5 as run

    found = run(output, Settings(seeds=seeds), workers)
    columns = ["compared by", "timing", "same", "low", "high", "chance", "alike", "above", "seed_sd"]
    for (years, among), rows in found.shares.groupby(["years", "among"], sort=False):
        title = f"After {years} years, {among}: share of the nearest with one's own type, 95% intervals by person"
        show(rows[columns].set_index("compared by"), title)
    for row in found.pairs.itertuples():
        say(f"{row.similarity:.3f}  type {row.type}: {row.career}")
        say(f"       type {row.neighbours_type}: {row.neighbours_career}")
    say(f"{output}/shares.csv, pairs.csv, figure5.png")


@study.command()
def market_figures(
    output: Output,
    person: Annotated[str, typer.Option(help="Whose career is shown.")] = "01846",
) -> None:
    """The simulated market explained: one career as the truth sees it, and the floors by wave and kind of step."""
    from career_hf.simulation import preset

    from .market_figures import market_figures as run

    run(output, preset("survey").simulate(), person)
    say(f"{output}/career.png, floors.png")
