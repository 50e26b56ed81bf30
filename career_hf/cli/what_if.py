"""`career-hf what-if`: how predictions and forecasts differ where careers read otherwise. Predictive, not causal."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import say, show
from .transitions import Groups


if TYPE_CHECKING:
    import pandas as pd

    from ..explaining.edits import Edit
    from ..explaining.what_if import WhatIf

# Every other import stands inside the command, so that `career-hf --help` answers at once.


def what_if(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model.")],
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True)],
    covariate: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=LEVEL, or NAME:OLD=NEW for one old level only; may be repeated."),
    ] = None,
    occupation: Annotated[
        list[str] | None, typer.Option(help="NEW, or OLD=NEW for one old occupation only; may be repeated.")
    ] = None,
    from_year: Annotated[int | None, typer.Option(help="Years before it stay as they are.")] = None,
    from_age: Annotated[int | None, typer.Option(help="Likewise, ages; the careers need a birth_year.")] = None,
    split: Annotated[str, typer.Option(help="Whose careers are edited.")] = "test",
    horizon: Annotated[int, typer.Option(help="Also forecasts so many steps ahead.", min=0)] = 0,
    cutoff: Annotated[int | None, typer.Option(help="Last year that is known; careers are cut there.")] = None,
    samples: Annotated[int, typer.Option(help="Trajectories of each person.", min=2)] = 200,
    groups: Annotated[Groups, typer.Option(help="Outcomes: single occupations, or broad groups of occ1990dd.")] = (
        Groups.group
    ),
    fewest: Annotated[int, typer.Option(help="Person-years of training below which a combination is rare.")] = 10,
    draws: Annotated[int, typer.Option(help="Resamples of people behind the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of forecasts and resamples.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Folder for tables and figures.")] = None,
) -> None:
    """Compare predictions from careers with those from careers that read otherwise. Predictive, not causal."""

    from ..careers.frames import load_careers, truncate
    from ..encoding.checkpoints import load_checkpoint
    from ..explaining.outcome_groups import outcome_groups
    from ..explaining.what_if import READING, forecast_differences, next_step_differences

    edit = _edit(covariate or [], occupation or [], from_year, from_age)
    splits = load_careers(data)
    if split not in splits:
        raise typer.BadParameter(f"the careers have splits {list(splits)}, and none is '{split}'")
    model, processor = load_checkpoint(checkpoint)
    careers = splits[split]
    if cutoff is not None:
        careers, ledger = truncate(careers, cutoff)
        say(ledger)
    options: dict[str, Any] = {
        "training": splits.get("train"),
        "groups": outcome_groups(processor, groups.value),
        "fewest": fewest,
        "draws": draws,
        "seed": seed,
        "unknown_levels": "missing",
    }
    found = {"next_step": next_step_differences(model, careers, processor, edit, **options)}
    if horizon:
        options |= {"horizon": horizon, "samples": samples}
        found["forecast"] = forecast_differences(model, careers, processor, edit, **options)
    for name, result in found.items():
        _print(result, name, fewest)
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            result.differences.to_csv(output / f"{name}.csv", index=False)
            result.ledger.save(output / f"{name}_ledger.json")
            if result.support is not None:
                result.support.to_csv(output / "support.csv", index=False)
            if find_spec("matplotlib") is not None:
                from ..figures.what_if import what_if_figure

                what_if_figure(result.differences).savefig(output / f"{name}.png", dpi=110)
    say(f"Read this as {READING}.")
    if output is not None:
        say(f"saved {output}")


def _edit(covariate: list[str], occupation: list[str], from_year: int | None, from_age: int | None) -> Edit:
    from ..explaining.edits import Edit

    by_name: dict[str, list[tuple[str, str]]] = {}
    for text in covariate:
        left, _, new = text.rpartition("=")
        name, _, old = left.partition(":")
        if not name:
            raise typer.BadParameter(f"--set {text}: give NAME=LEVEL, or NAME:OLD=NEW")
        by_name.setdefault(name, []).append((old, new))
    held = [(old, new) for old, _, new in (text.rpartition("=") for text in occupation)]
    levels = {name: _new_labels(pairs, f"--set {name}") for name, pairs in by_name.items()}
    occupations = _new_labels(held, "--occupation") if held else None
    return Edit(levels, occupations, from_year, from_age)


def _new_labels(pairs: list[tuple[str, str]], option: str) -> str | dict[str, str]:
    """A new label for all, or new labels by old ones."""
    if len(pairs) == 1 and not pairs[0][0]:
        return pairs[0][1]
    if not all(old and new for old, new in pairs) or len(dict(pairs)) < len(pairs):
        form = "NEW" if option == "--occupation" else "NAME=LEVEL"
        raise typer.BadParameter(f"{option}: give {form} once, or with each old label once")
    return dict(pairs)


def _print(result: WhatIf, name: str, fewest: int) -> None:
    table: pd.DataFrame = result.differences
    say(result.ledger)
    what = "next steps" if name == "next_step" else "forecasts"
    rows = f", {table.attrs['rows']:,} person-years" if name == "next_step" else ""
    weighted = "weighted" if table.attrs["weighted"] else "not weighted"
    title = (
        f"{what}, {table.attrs['edit']}: {table.attrs['people']:,} people{rows}, {weighted}; predictive, not causal"
    )
    keys = [key for key in ("years_ahead", "outcome") if key in table.columns]
    show(table.set_index(keys[-1])[[*keys[:-1], *(c for c in table.columns if c not in keys)]], title)
    if result.support is None:
        say("The careers have no split 'train', so whether training saw anything like the edited ones is not known.")
    elif name == "next_step":
        show(
            result.support.set_index("combination"),
            f"Edited person-years whose combination training has fewer than {fewest} times (rare), or never",
        )
    if placed := table.attrs.get("years_placed_at"):
        say(f"years without training use the latest trained year: {placed}")
