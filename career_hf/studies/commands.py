"""`career-hf study NAME`: thin wrappers over the studies, with their tables printed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from ..console import say, show


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
) -> None:
    """Every rival in the paper beside CAREER, with the same budget: Figure 2a, Tables 4, 5 and 8, Figure 4."""
    from .rivals import Budget
    from .rivals import trials as trials_of
    from .rivals_tables import rivals as run

    budget = Budget(seeds=seeds, trials=trials, stages=(2, 1) if one_stage else (2,))
    planned = trials_of(budget)
    runs = len(planned) + (seeds - 1) * len({trial.name for trial in planned})
    say(f"{runs} training runs, of 2 to 7 minutes of one core each on 10,000 people")
    found = run(output, data, covariates.split(","), budget, workers)
    show(found.figure_2a, "Figure 2a: test perplexity, and difference of log-perplexity from two-stage CAREER")
    cut = found.table_4[found.table_4["cut"] == "as in the paper"].set_index("model").drop(columns="cut")
    show(cut, "Table 4: perplexity by kind of step")
    show(found.table_5, "Table 5: AUC of moving and of entering states, and ranks of the truth")
    if len(found.table_8):
        show(found.table_8, "Table 8: one and two stages")
    show(found.costs, "Cost of every model")
    say(f"{output}/*.csv, rivals.png")


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
def likeness(
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it; all splits.", exists=True)],
    output: Output,
    name: Annotated[str, typer.Option(help="What tables and figures call them.")] = "survey",
    people: Annotated[int, typer.Option(help="Sample size of the simulated market.", min=1)] = 12_000,
    miscoded: Annotated[float, typer.Option(help="Share of the market's waves worked that are coded wrongly.")] = 0.0,
) -> None:
    """The simulated market beside a survey: what people do, when they leave, where they go, how often they return."""
    from datasets import concatenate_datasets

    from ..careers import load_careers
    from ..simulation import miscode, preset
    from .likeness import likeness_study as run

    survey = concatenate_datasets(list(load_careers(data).values()))
    market = preset("survey").simulate(people)
    careers, _ = miscode(market.careers, market.world, miscoded)
    found = run(output, {"market": careers, name: survey})
    show(found["summary"], f"The simulated market beside {name}; standard errors from resampling people")
    say(f"{output}/likeness*.csv, likeness.png, likeness_moves.png")


@study.command()
def market_figures(
    output: Output,
    person: Annotated[str, typer.Option(help="Whose career is shown.")] = "01846",
) -> None:
    """The simulated market explained: one career as the truth sees it, and the floors by wave and kind of step."""
    from ..simulation import preset
    from .market_figures import market_figures as run

    run(output, preset("survey").simulate(), person)
    say(f"{output}/career.png, floors.png")
