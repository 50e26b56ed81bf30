"""`career-hf rake`: weights with which careers, such as resumes, have the margins of a population."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import reading, say, show


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def rake(
    data: Annotated[Path, typer.Option(help="Folder of careers to weight, as `prepare` writes it.", exists=True)],
    output: Annotated[Path, typer.Option(help="Folder for the careers with weights.")],
    margins: Annotated[
        str, typer.Option(help="Comma-separated covariates whose margins --survey gives; the latest level counts.")
    ] = "",
    survey: Annotated[Path | None, typer.Option(help="Folder of careers of a survey.", exists=True)] = None,
    table: Annotated[
        Path | None, typer.Option(help="Or margins themselves: CSV with columns margin, level and share.", exists=True)
    ] = None,
    largest: Annotated[float | None, typer.Option(help="Trim weights above so many times their mean.")] = None,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out who has no level of a margin, instead of refusing.")
    ] = False,
) -> None:
    """Weight careers so that shares of people by gender, education and so on are those of a survey."""
    import json

    import pandas as pd
    from datasets import DatasetDict, concatenate_datasets

    from ..careers.frames import load_careers, save_careers, split_manifest
    from ..careers.raking import margins_of
    from ..careers.raking import rake as run

    if (survey is None) == (table is None) or (survey is not None) != bool(margins):
        raise typer.BadParameter("give --survey with --margins, or --table")
    if survey is not None:
        population = concatenate_datasets(list(load_careers(survey).values()))
        wanted = margins_of(population, [name for name in margins.split(",") if name])
    else:
        with reading(str(table)):
            rows = pd.read_csv(table, dtype={"margin": str, "level": str})  # type: ignore[arg-type]
        if not {"margin", "level", "share"} <= set(rows.columns):
            raise typer.BadParameter(f"--table has columns {list(rows.columns)}, not margin, level and share")
        wanted = {
            str(name): dict(zip(part["level"], part["share"].astype(float), strict=True))
            for name, part in rows.groupby("margin", sort=False)
        }
    splits = load_careers(data)
    # Everybody together, so that one person counts as much in training as in testing.
    everybody = concatenate_datasets(list(splits.values()))
    raked = run(everybody, wanted, drop_missing=drop_missing, largest=largest)
    place = {person: row for row, person in enumerate(raked.careers["person"])}
    weighted = DatasetDict(
        {
            name: raked.careers.select([place[person] for person in careers["person"] if person in place])
            for name, careers in splits.items()
        }
    )
    manifest = None
    if (data / "split.json").exists():
        before = json.loads((data / "split.json").read_text(encoding="utf-8"))
        manifest = split_manifest(weighted, before["salt"], dict(before["fractions"]), before["group"])
    save_careers(weighted, output, raked.ledger, manifest)
    raked.margins.to_csv(output / "margins.csv", index=False)
    say(raked.ledger)
    show(raked.margins.set_index("margin"), "Shares of people")
    people = len(raked.careers)
    say(
        f"effective sample size {raked.effective_sample_size:,.0f} of {people:,} people; largest weight "
        f"{raked.largest:.2f} times the mean"
    )
    say(f"saved {output}")
