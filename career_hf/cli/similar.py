"""`career-hf similar`: the people with the most similar careers, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import say


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def similar(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a model with a representation.")],
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True)],
    person: Annotated[list[str], typer.Option(help="Whose neighbours are wanted; may be repeated.")],
    neighbours: Annotated[int, typer.Option(help="How many.", min=1)] = 10,
    split: Annotated[str, typer.Option(help="Among whom; 'all' includes people who were trained on.")] = "test",
    years: Annotated[
        int, typer.Option(help="Compare first observed years, this many; whole careers if 0.", min=0)
    ] = 0,
    nothing_in_common: Annotated[
        bool, typer.Option("--nothing-in-common", help="Only people without an occupation in common (Figure 5).")
    ] = False,
    ignored: Annotated[
        str, typer.Option(help="Comma-separated labels that may be in common: states without work.")
    ] = "",
) -> None:
    """Find the people with the most similar careers, by the cosine of representations that include the last year."""
    from datasets import concatenate_datasets

    from ..careers.frames import load_careers
    from ..encoding.checkpoints import load_checkpoint
    from ..occupations.crosswalks import titles
    from ..representing.representations import representations
    from ..representing.similar_careers import first_years, in_words, occupations_held, similar_careers

    splits = load_careers(data)
    if split != "all" and split not in splits:
        raise typer.BadParameter(f"the careers have splits {list(splits)}, and none is '{split}'")
    for name in person:
        of = next((of for of, careers in splits.items() if name in careers["person"]), None)
        if of is None or split not in ("all", of):
            where = "not among the careers" if of is None else f"in the split '{of}': pass --split {of} or all"
            raise typer.BadParameter(f"person '{name}' is {where}")
    model, processor = load_checkpoint(checkpoint)
    may_be_in_common = [label for label in ignored.split(",") if label]
    if unknown := set(may_be_in_common) - set(processor.occupations):
        raise typer.BadParameter(f"--ignored has {sorted(unknown)}, which the model does not know")
    careers = concatenate_datasets(list(splits.values())) if split == "all" else splits[split]
    if years:
        careers = first_years(careers, years)
    values = representations(model, careers, processor, timing="including", steps="last", unknown_levels="missing")
    held = occupations_held(careers, ignored=may_be_in_common) if nothing_in_common else None
    names = titles()
    found = similar_careers(careers, values, person, neighbours=neighbours, held=held, names=names)
    place = {name: row for row, name in enumerate(careers["person"])}
    for name in person:
        say(f"person {name}: {in_words(careers, [place[name]], names)[0]}")
        for row in found[found["person"] == name].itertuples():
            say(f"{row.similarity:6.3f}  person {row.neighbour}: {row.career}")
