"""`python examples/replication titles`: occupations with titles and without, with the tables printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from career_hf.cli.console import say, show


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def titles(
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` or `simulate` writes it.", exists=True)],
    output: Annotated[Path, typer.Option(help="Folder of the study.")],
    covariates: Annotated[str, typer.Option(help="Comma-separated: year, and columns of the careers.")] = "year",
    title_embeddings: Annotated[
        Path | None, typer.Option(help="Vectors of titles, as `save_title_embeddings` writes them.", exists=True)
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Truth of a simulated market, whose skills are taken for titles.", exists=True)
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; each uses one thread.")] = 2,
    seeds: Annotated[int, typer.Option(help="Training seeds.")] = 3,
    rates: Annotated[str, typer.Option(help="Learning rates that every variant tries, comma-separated.")] = (
        "0.001,0.002,0.004"
    ),
    most_steps: Annotated[int, typer.Option(help="Updates at most, at which the rate is zero.", min=10)] = 1_000,
) -> None:
    """CAREER with vectors of occupations' titles, without, and with shuffled ones: rare and unseen occupations."""
    from .titles import Settings, Source, cost
    from .titles_tables import titles_study

    if title_embeddings is not None and truth is not None:
        raise typer.BadParameter("vectors come from --title-embeddings or from --truth, not from both")
    settings = Settings(tuple(map(float, rates.split(","))), seeds, most_steps)
    runs, hours = cost(settings)
    say(f"{runs} training runs, at most {hours:.1f} core hours")
    source = Source(data, tuple(covariates.split(",")), title_embeddings, truth)
    found = titles_study(output, source, settings, workers)
    show(
        found.overall[["perplexity", "low", "high", "seed_sd"]], "Test perplexity, 95% intervals by resampling people"
    )
    for choice in ("career", "shuffled"):
        names = {f"{name}_from_{choice}": name for name in ("difference", "low", "high")}
        show(
            found.overall[[*names]].rename(columns=names), f"Log-perplexity minus that of {choice}; below 0 is better"
        )
    columns = ["smallest", "largest", "n", "difference", "low", "high"]
    for (steps, model, choice), rows in found.by_count.groupby(["steps", "model", "against"], sort=False):
        kind = "All steps" if steps == "all" else "Moves"
        title = f"{kind}, {model} against {choice}, by person-years of the occupation in training; 1 is the rarest"
        show(rows.set_index("bin")[columns], title)
    columns = ["n", "gain", "low", "high", "reciprocal_rank", "chance_reciprocal_rank"]
    show(found.unseen[columns], "Moves to occupations never seen: log-probability of the choice above chance")
    say(f"{output}/overall.csv, by_count.csv, unseen.csv, titles.png")
