"""`career-hf forecast`: forecasts careers beyond a cutoff, and scores them, or beyond their last years."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Data, Draws, Weighted, how_weighted, names, period


# People whose forecast is printed.
SHOWN = 3


# What fans of shares may hold.
HELD = {"chance": "chance", "model": "the model's uncertainty", "years": "shocks as large as after earlier cutoffs"}


class Covariates(StrEnum):
    last = "last"
    realised = "realised"


def forecast(
    model: Annotated[
        str,
        typer.Argument(
            help="Folder or Hub id of a model, or folder of an ensemble, that was trained up to the cutoff."
        ),
    ],
    data: Data,
    cutoff: Annotated[
        str | None,
        typer.Option(
            help="Last known year, or month such as 1995-06; the forecasts of observed years after it are scored."
        ),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(
            help="Number of steps to forecast after each person's own last year, instead of --cutoff; nothing is "
            "scored.",
            min=1,
        ),
    ] = None,
    years: Annotated[
        str,
        typer.Option(
            help="Comma-separated years or months to forecast; the first three observed after the cutoff if empty."
        ),
    ] = "",
    split: Annotated[str, typer.Option(help="Split of the careers to forecast; all careers if empty.")] = "",
    everyone: Annotated[
        bool,
        typer.Option(
            "--everyone",
            help="Score everybody who is observed in any of the years, with weights for dropping out. Otherwise only "
            "people who are observed in the last year are scored.",
        ),
    ] = False,
    people: Annotated[int | None, typer.Option(help="Number of people to forecast, drawn at random.", min=1)] = None,
    covariates: Annotated[
        Covariates,
        typer.Option(
            help="Covariates after the cutoff: last, their last values before it (the year and `age` advance); or "
            "realised, what they became, as in the paper."
        ),
    ] = Covariates.last,
    earlier: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a scored forecast from an earlier cutoff, whose errors say how large shocks are that hit "
            "everybody at once; fans then hold them. May be repeated.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Number of trajectories of each person.", min=2)] = 1000,
    seed: Annotated[int, typer.Option(help="Random seed of the trajectories.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Destination folder of the forecast and the tables.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Save figures in the folder too.")] = False,
    weighted: Weighted = False,
    person: Annotated[str, typer.Option(help="Person whose forecast is drawn; the first one if empty.")] = "",
    draws: Draws = 1000,
) -> None:
    """Forecast careers: probabilities of occupations by year, beyond a cutoff and scored, or beyond the last year."""
    if (cutoff is None) == (horizon is None):
        raise typer.BadParameter(
            "give --cutoff to forecast years that were observed, and score them, or --horizon to forecast the years "
            "after each person's last"
        )
    if plot and output is None:
        raise typer.BadParameter("--plot needs --output, the folder for the figures")
    if person and not plot:
        raise typer.BadParameter("--person is whose forecast --plot draws: give --plot too")
    if plot:
        career_hf.figures.require_matplotlib()
    if cutoff is None:
        of_scores = {"--years": years, "--everyone": everyone, "--people": people, "--weighted": weighted}
        of_scores |= {"--covariates": covariates != Covariates.last, "--draws": draws != 1000, "--earlier": earlier}
        if refused := [option for option, value in of_scores.items() if value]:
            raise typer.BadParameter(f"{refused[0]} is for forecasts that are scored: give --cutoff, or leave it out")
        ahead = career_hf.forecast(model, data, horizon=horizon, split=split or None, samples=samples, seed=seed)
        drawn = ahead.figure(person or None) if plot else None
        likeliest = ahead.top(3)
        for name in [person] if person else ahead.people[:SHOWN]:
            rows = likeliest[likeliest["person"] == name].drop(columns="person")
            show(rows.set_index(ahead.time_unit), f"Person {name}: likeliest occupations")
        if output is not None:
            ahead.save(output)
            if drawn is not None:
                career_hf.figures.save(drawn, output / "person.png")
            say(f"saved {output}")
        return
    report = career_hf.evaluate_forecast(
        model,
        data,
        cutoff=period(cutoff),
        years=[period(name.strip()) for name in names(years)] or None,
        split=split or None,
        everyone=everyone,
        weighted=weighted,
        people=people,
        covariates=covariates.value,
        earlier=earlier or (),
        samples=samples,
        seed=seed,
        draws=draws,
    )
    say(report.ledger)
    unit = report.forecast.time_unit
    if placed := report.forecast.placed:
        say(f"{unit}s without training use another trained {unit}: {placed}")
    who = f"people observed in {report.forecast.labels[0, -1]}, {how_weighted(weighted)}"
    if everyone:
        who = f"everyone observed, weighted for dropping out{' and by survey weights' if weighted else ''}"
    known = {"last": "keep their last values", "realised": "are known ahead"}[covariates.value]
    show(
        report.with_intervals().T,
        f"Forecasts from {cutoff} of {who}; covariates {known}: 95% intervals by {report.unit}",
    )
    if report.note:
        say(report.note)
    show(
        report.tables["prediction_sets"].T,
        f"Sets that are to hold 90%: size chosen on one half, tested on the other; means of splits by {report.unit}",
    )
    held = ", ".join(HELD[name] for name in report.tables["shares"].attrs["holds"])
    show(report.tables["shares"].set_index("occupation"), f"Shares of these people, with quantiles that hold {held}")
    if output is not None:
        report.save(output, figures=plot, person=person or None)
        say(f"saved {output}")
