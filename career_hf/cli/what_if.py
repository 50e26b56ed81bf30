"""`career-hf what-if`: compares predictions from careers and from edited careers. Predictive, not causal."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

import career_hf

from .console import say, show
from .options import Data, Draws, Weighted, how_weighted, models_held, period
from .transitions import Groups


def what_if(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model, or folder of an ensemble.")],
    data: Data,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="New level of a covariate, NAME=LEVEL, or NAME:OLD=NEW for one old level; may be repeated."
        ),
    ] = None,
    occupation: Annotated[
        list[str] | None,
        typer.Option(help="New occupation, NEW, or OLD=NEW for one old occupation; may be repeated."),
    ] = None,
    from_year: Annotated[str | None, typer.Option(help="First year or month that is edited.")] = None,
    from_age: Annotated[
        int | None, typer.Option(help="First age that is edited; the careers need a birth_year.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the careers to edit.")] = "test",
    horizon: Annotated[
        int, typer.Option(help="Number of steps ahead to forecast too; 0 for no forecasts.", min=0)
    ] = 0,
    cutoff: Annotated[str | None, typer.Option(help="Last known year or month, after which careers are cut.")] = None,
    samples: Annotated[int, typer.Option(help="Number of trajectories of each person.", min=2)] = 200,
    groups: Annotated[Groups, typer.Option(help="Outcomes: single occupations, or broad groups of occ1990dd.")] = (
        Groups.group
    ),
    fewest: Annotated[
        int, typer.Option(help="Number of person-years of training below which a combination is rare.")
    ] = 10,
    weighted: Weighted = False,
    draws: Draws = 1000,
    seed: Annotated[int, typer.Option(help="Random seed of forecasts and resamples.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Destination folder of the tables and figures.")] = None,
) -> None:
    """Compare predictions from careers with predictions from edited careers. Predictive, not causal."""
    result = career_hf.what_if(
        checkpoint,
        data,
        _change(covariate or [], occupation or []),
        from_year=None if from_year is None else period(from_year),
        from_age=from_age,
        split=split,
        horizon=horizon,
        cutoff=None if cutoff is None else period(cutoff),
        samples=samples,
        groups=groups.value,
        fewest=fewest,
        weighted=weighted,
        draws=draws,
        seed=seed,
    )
    if result.cut is not None:
        say(result.cut)
    for name, comparison in result.comparisons.items():
        _print(comparison, name, fewest)
    say(f"Read this as {result.to_frame().attrs['reading']}.")
    if output is not None:
        result.save(output, figures=find_spec("matplotlib") is not None)
        say(f"saved {output}")


def _change(covariate: list[str], occupation: list[str]) -> dict[str, str | dict[str, str]]:
    """For each column that the options name its new label, or new labels by old ones."""
    by_name: dict[str, list[tuple[str, str]]] = {}
    for text in covariate:
        left, _, new = text.rpartition("=")
        name, _, old = left.partition(":")
        if not name:
            raise typer.BadParameter(f"--set {text}: give NAME=LEVEL, or NAME:OLD=NEW")
        by_name.setdefault(name, []).append((old, new))
    change = {name: _new_labels(pairs, f"--set {name}") for name, pairs in by_name.items()}
    if occupation:
        pairs = [(old, new) for old, _, new in (text.rpartition("=") for text in occupation)]
        change["occupation"] = _new_labels(pairs, "--occupation")
    return change


def _new_labels(pairs: list[tuple[str, str]], option: str) -> str | dict[str, str]:
    """The new label, or new labels by old ones."""
    if len(pairs) == 1 and not pairs[0][0]:
        return pairs[0][1]
    if not all(old and new for old, new in pairs) or len(dict(pairs)) < len(pairs):
        form = "NEW" if option == "--occupation" else "NAME=LEVEL"
        raise typer.BadParameter(f"{option}: give {form} once, or with each old label once")
    return dict(pairs)


def _print(comparison: Any, name: str, fewest: int) -> None:
    table = comparison.differences
    say(comparison.ledger)
    predictions = "next steps" if name == "next_step" else "forecasts"
    rows = f", {table.attrs['rows']:,} person-years" if name == "next_step" else ""
    people = f"{table.attrs['people']:,} people{rows}, {how_weighted(table.attrs['weighted'])}"
    people += models_held(table.attrs["members"])
    keys = [key for key in ("years_ahead", "outcome") if key in table.columns]
    show(
        table.set_index(keys[-1])[[*keys[:-1], *(column for column in table.columns if column not in keys)]],
        f"{predictions}, {table.attrs['edit']}: {people}; predictive, not causal",
    )
    if comparison.support is None:
        say("The careers have no split 'train', so whether training saw anything like the edited ones is not known.")
    elif name == "next_step":
        show(
            comparison.support.set_index("combination"),
            f"Edited person-years with a combination that training has fewer than {fewest} times (rare), or never",
        )
    if placed := table.attrs.get("years_placed_at"):
        say(f"years without training use another trained year: {placed}")
