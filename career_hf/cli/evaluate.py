"""`career-hf evaluate`: scores checkpoints and tables of other programs on the same careers, and reports on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Data, Draws, Weighted, how_weighted, names


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Models, as FOLDER or NAME=FOLDER; folders with one NAME are seeds. A Parquet or CSV file in place "
            "of a folder is what another program predicts: person, year, log_prob."
        ),
    ],
    data: Data,
    split: Annotated[str, typer.Option(help="Split of the careers to score.")] = "test",
    baseline: Annotated[str, typer.Option(help="NAME of the model to compare with; the first one if empty.")] = "",
    by: Annotated[str, typer.Option(help="Comma-separated columns of the careers to audit by, such as race.")] = "",
    watch: Annotated[
        list[str] | None, typer.Option(help="State whose entry is predicted, such as unemployed; may be repeated.")
    ] = None,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Score models again after recalibration on validation careers.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for tables (CSV, LaTeX, HTML), figures and the transition tables.")
    ] = None,
    weighted: Weighted = False,
    draws: Draws = 1000,
) -> None:
    """Score any number of models on the same careers: perplexity, audits, calibration, differences, with intervals."""
    seeds: dict[str, list[str]] = {}
    for name, _, folder in (argument.rpartition("=") for argument in models):
        seeds.setdefault(name or folder, []).append(folder)
    columns = names(by)
    report = career_hf.evaluate(
        seeds,
        data,
        split=split,
        baseline=baseline or None,
        by=columns,
        watch=watch or (),
        recalibrate=recalibrate,
        weighted=weighted,
        draws=draws,
        output=output,
    )
    say(report.ledger)
    scored = f"{split} careers of {data}, {how_weighted(weighted)}"
    title = f"{scored}: perplexity, lower is better; 95% intervals clustered by {report.unit}"
    show(report.with_intervals("summary").T, title)
    show(report.in_english("differences").T, f"Difference of log-perplexity from '{report.baseline}', same rows")
    minus = f"; differences are from '{report.baseline}', paired" if len(seeds) > 1 else ""
    show(report.with_intervals("accuracy").T, f"AUC of moving and of entering states, and ranks of the truth{minus}")
    show(
        report.with_intervals("calibration").T, f"Expected calibration error, staying and likeliest occupation{minus}"
    )
    say("Chance makes calibration errors positive: only a lower end above 0 is evidence against a model.")
    for column in columns:
        show(report.side_by_side(column), f"Perplexity by {column}, with 95% intervals")
    if report.note:
        say(report.note)
    if output is not None:
        say(f"saved {output}")
