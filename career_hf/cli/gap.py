"""`career-hf gap`: the adjusted wage gap between two groups, by every estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import career_hf

from .console import say, show
from .options import Weighted, how_weighted


def gap(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model that never saw --protected.")],
    data: Annotated[Path, typer.Option(help="Folder of careers with log_wage, as `prepare` writes it.", exists=True)],
    output: Annotated[Path, typer.Option(help="Destination folder of the tables and the figure.")],
    split: Annotated[
        str,
        typer.Option(
            help="Comma-separated splits of people to compare. The model must not have been trained on any of them."
        ),
    ] = "test",
    protected: Annotated[str, typer.Option(help="Column that tells the groups apart.")] = "gender",
    group: Annotated[str, typer.Option(help="Label, in that column, of the group whose gap is estimated.")] = "female",
    others: Annotated[str, typer.Option(help="Label of the people whom the group is compared with.")] = "male",
    folds: Annotated[int, typer.Option(help="Number of folds of clusters in cross-fitting.", min=2)] = 5,
    seeds: Annotated[int, typer.Option(help="Number of random seeds of fine-tuning.", min=1)] = 2,
    updates: Annotated[
        int,
        typer.Option(
            help="Number of updates of each fine-tuned network. 0 estimates with the frozen model only.", min=0
        ),
    ] = 20,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of fine-tuning.")] = 1e-3,
    clip: Annotated[
        float, typer.Option(help="Leave out careers with a propensity below this value or above 1 minus it.", min=0)
    ] = 0.0,
    weighted: Weighted = False,
    bootstrap: Annotated[
        int,
        typer.Option(
            help="Number of resamples of people behind the intervals. 0 takes intervals of the influence function.",
            min=0,
        ),
    ] = 0,
) -> None:
    """Estimate how much less a group earns than others with the same career: raw, Oaxaca-Blinder, AIPW, and more."""
    career_hf.figures.require_matplotlib()
    report = career_hf.wages.gap(
        checkpoint,
        data,
        split=split,
        protected=protected,
        group=group,
        others=others,
        folds=folds,
        seeds=seeds,
        updates=updates,
        learning_rate=learning_rate,
        clip=clip,
        weighted=weighted,
        bootstrap=bootstrap,
    )
    say(report.ledger)
    report.save(output)
    gaps, sensitivity = report.to_frame(), report.sensitivity.to_frame()
    people = f"{gaps['people'].iloc[0]:,} people, {gaps['rows'].iloc[0]:,} person-years"
    columns = ["estimator", "estimate", "low", "high", "ratio", "seed_sd", "r_loss", "clipped", "effective_people"]
    shown = gaps.set_index("adjusted_for")
    size = f"{people}, {how_weighted(weighted)}"
    title = f"log wage, {group} minus {others}, 95% intervals clustered by {report.sample.unit}; {size}"
    show(shown[columns], title)
    columns = ["estimator", "difference", "difference_low", "difference_high"]
    show(shown[columns], "The same minus AIPW for columns alone, paired: differences.csv has every pair")
    say("Intervals of outcome-only estimates take the fitted network for granted.")
    if clip:
        say(f"Adjusted gaps are those of {gaps['population'].iloc[-1]}.")
    columns = ["estimator", "estimate", "low", "high", "clipped", "group_clipped", "effective_people", "population"]
    adjusted_for = sensitivity["adjusted_for"].iloc[0]
    show(sensitivity.set_index("clip")[columns], f"{adjusted_for}: careers with extreme propensities left out")
    say(f"{output}/gaps.csv, differences.csv, sensitivity.csv, propensity.csv, balance.csv, gap.png")
