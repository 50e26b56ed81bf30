"""`career-hf transitions`: matrices of moves that a model implies beside those that were observed."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .console import say, show


# Every other import stands inside the command, so that `career-hf --help` answers at once.


class Groups(StrEnum):
    occupation = "occupation"
    group = "group"
    major_group = "major_group"
    census_group = "census_group"


def transitions(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model.")],
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True)],
    split: Annotated[str, typer.Option(help="Whose careers.")] = "test",
    groups: Annotated[Groups, typer.Option(help="States: single occupations, or broad groups of occ1990dd.")] = (
        Groups.group
    ),
    by: Annotated[str | None, typer.Option(help="Covariate of which every level gets its own matrix.")] = None,
    draws: Annotated[int, typer.Option(help="Resamples of people behind the intervals.")] = 1000,
    output: Annotated[Path | None, typer.Option(help="Folder for the table and the figures.")] = None,
) -> None:
    """Compare the moves between occupations or broad groups that a model implies with those that were observed."""
    import pandas as pd

    from ..careers.frames import covariate_names, load_careers
    from ..encoding.checkpoints import load_checkpoint
    from ..explaining.outcome_groups import outcome_groups
    from ..explaining.transition_matrices import FEWEST_EXPECTED, matrix, transition_matrices

    splits = load_careers(data)
    if split not in splits:
        raise typer.BadParameter(f"the careers have splits {list(splits)}, and none is '{split}'")
    known = [name for names in covariate_names(splits[split]) for name in names]
    if by is not None and by not in known:
        raise typer.BadParameter(f"--by {by}: the covariates are {known}")
    model, processor = load_checkpoint(checkpoint)
    found = transition_matrices(
        model,
        splits[split],
        processor,
        groups=outcome_groups(processor, groups.value),
        by=by,
        draws=draws,
        unknown_levels="missing",
    )
    parts = {"": found} if by is None else dict(list(found.groupby(found[by].fillna("missing"), sort=False)))
    for level, part in parts.items():
        of = f"; {by}: {level}" if by is not None else ""
        weighted = "weighted" if found.attrs["weighted"] else "not weighted"
        show(100 * matrix(part, "implied"), f"Percent implied, from a row's state to a column's{of}; {weighted}")
        show(100 * matrix(part, "difference"), f"Implied less observed, percentage points{of}")
        enough = part[part["n"] * part["implied"] >= FEWEST_EXPECTED]
        off = int(((enough["low"] > 0) | (enough["high"] < 0)).sum())
        say(
            f"{off} of {len(enough)} cells in which {FEWEST_EXPECTED} steps or more are implied have a 95% interval "
            f"of the difference without zero; {0.05 * len(enough):.0f} would if the model were the truth"
        )
        if output is not None and find_spec("matplotlib") is not None:
            from ..figures.transition_matrices import transition_matrices_figure

            output.mkdir(parents=True, exist_ok=True)
            title = f"Percent of steps from a state (row; number of steps) to the next (column){of}"
            path = output / f"transitions{f'_{level}'.replace(' ', '_').replace('/', '_') if level else ''}.png"
            transition_matrices_figure(part, title).savefig(path, dpi=110)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(found).to_csv(output / "transitions.csv", index=False)
        say(f"saved {output}")
