"""`career-hf rationale`: which years of one person's career a model's predictions rest on, as a table and a figure."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .console import say, show


# Every other import stands inside the command, so that `career-hf --help` answers at once.


class RuleName(StrEnum):
    paper = "paper"
    true = "true"
    original = "original"


def rationale(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a CAREER model, best with job dropout.")],
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True)],
    person: Annotated[str, typer.Option(help="Whose career; looked for in every split.")],
    year: Annotated[
        int | None, typer.Option(help="Year whose occupation is explained; every move if left out.")
    ] = None,
    rule: Annotated[
        RuleName,
        typer.Option(
            help="paper: the likeliest move, until it is the likeliest. true: the move that was made, until it is the "
            "likeliest. original: what followed, stays too, until it is among the two likeliest of everything."
        ),
    ] = RuleName.paper,
    max_size: Annotated[int | None, typer.Option(help="Years at most, the latest included.", min=1)] = None,
    covariates: Annotated[
        str | None, typer.Option(help="Comma-separated; the model's others are set to missing. All if left out.")
    ] = None,
    output: Annotated[Path, typer.Option(help="The figure, a PNG.")] = Path("rationale.png"),
) -> None:
    """Find the few years of a career that are enough for a prediction, like the paper's Figure 3."""
    if find_spec("matplotlib") is None:
        raise typer.BadParameter("the figure is drawn with matplotlib: pip install 'career_hf[studies]'")

    from ..careers.frames import load_careers
    from ..encoding.checkpoints import load_checkpoint
    from ..explaining.rationales import ORIGINAL, PAPER, Rule, rationales
    from ..figures.rationales import rationale_figure, title

    rows = [
        (split, split["person"][:].index(person))
        for split in load_careers(data).values()
        if person in split["person"][:]
    ]
    if not rows:
        raise typer.BadParameter(f"there is no person '{person}' in {data}")
    career = rows[0][0].select([rows[0][1]])
    model, processor = load_checkpoint(checkpoint)
    found = rationales(
        model,
        career,
        processor,
        {"paper": PAPER, "true": Rule(target="true"), "original": ORIGINAL}[rule.value],
        steps=None if year is None else {"person": [person], "year": [year]},
        max_size=max_size,
        covariates=None if covariates is None else [name for name in covariates.split(",") if name],
        unknown_levels="missing",
    )
    for _, of_year in found.groupby("step", sort=False):
        first = of_year.iloc[0]
        enough = "" if first["complete"] else "; no set that was tried is enough"
        what = f"{first['year']}: {title(first['target'])}, after {title(first['previous'])}"
        whole = f"rank {first['whole_rank']}, probability {first['whole_probability']:.3f} from the whole career"
        start = of_year["rationale_step"] < 0
        table = of_year[["order", "probability", "rank"]].set_index("order")
        table.insert(0, "year", of_year["rationale_year"].astype("str").mask(start, "").to_numpy())
        named = of_year["rationale_occupation"].map(title, na_action="ignore").mask(start, "beginning of the career")
        table.insert(1, "occupation", named.to_numpy())
        show(table, f"{what}; {whole}{enough}")
    output.parent.mkdir(parents=True, exist_ok=True)
    rationale_figure(found, career[0]).savefig(output, dpi=100)
    say(f"{output}; 'probability' and 'rank' are those given the row's year and the rows above it")
