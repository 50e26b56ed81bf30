"""`career-hf wage-regression`: regresses wages on careers, with and without a model's representations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Weighted, how_weighted, names


def wage_regression(
    data: Annotated[Path, typer.Option(help="Folder of careers with log_wage, as `prepare` writes it.", exists=True)],
    output: Annotated[Path, typer.Option(help="Destination folder of the tables: text, LaTeX, HTML, CSV.")],
    model: Annotated[
        str,
        typer.Option(
            help="Folder or Hub id of a model. Its representations are added, and predictions of its wage head."
        ),
    ] = "",
    representations: Annotated[
        Path | None,
        typer.Option(
            help="Table that `representations` wrote, in the place of a model; with folds, give --split all."
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="Comma-separated splits whose wages are explained. 'all' takes everybody, without a model."),
    ] = "test",
    add: Annotated[
        str, typer.Option(help="Comma-separated blocks, or columns of the careers, to add to Blau and Kahn's terms.")
    ] = "occupation,lagged occupation",
    leave_out: Annotated[str, typer.Option(help="Comma-separated blocks of Blau and Kahn to leave out.")] = "",
    splits: Annotated[int, typer.Option(help="Number of splits of clusters for the held-out R^2.", min=2)] = 5,
    weighted: Weighted = False,
    draws: Annotated[int, typer.Option(help="Number of resamples of clusters behind the intervals.", min=2)] = 1_000,
) -> None:
    """Regress log wages (Eq. 9): coefficients with clustered errors, and R^2 on people held out.

    Clusters of errors, intervals and splits are PSUs or households where careers have them, otherwise people.
    """
    report = career_hf.wages.regress(
        data,
        model or None,
        representations_from=representations,
        split=split,
        add=names(add),
        leave_out=names(leave_out),
        splits=splits,
        weighted=weighted,
        draws=draws,
    )
    say(report.ledger)
    for name, stands_for in report.missing.items():
        say(f"not in these careers: {name} (Blau and Kahn: {stands_for})")
    report.save(output)
    say(report.table.as_text())
    columns = {"within_year": "within year", "within_year_low": "low", "within_year_high": "high"}
    columns |= {"gain": "gain", "gain_low": "gain low", "gain_high": "gain high", "r2": "R^2"}
    for years, rows in report.to_frame().groupby("years", sort=False):
        size = f"{rows['people'].iloc[0]:,} people, {rows['observations'].iloc[0]:,} person-years"
        table_of_years = rows.set_index("specification")[[*columns]].rename(columns=columns)
        show(table_of_years, f"R^2 within year of people held out, {years}: {size}, {how_weighted(weighted)}")
    pairs = report.differences.set_index("specification")
    show(pairs, f"Differences in R^2 within year, paired: 95% intervals by resampling, clustered by {report.unit}")
    say(f"{output}/coefficients.txt, .tex, .html, .csv, r2.csv, differences.csv")
