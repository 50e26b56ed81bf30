"""`career-hf evaluate`: scores checkpoints on the same careers and writes the report on them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import say, show


if TYPE_CHECKING:
    import pandas as pd

# Every other import stands inside the command, so that `career-hf --help` answers at once.


def evaluate(
    models: Annotated[list[str], typer.Argument(help="FOLDER or NAME=FOLDER; folders of one NAME are seeds.")],
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True)],
    split: Annotated[str, typer.Option(help="Which careers to score.")] = "test",
    baseline: Annotated[str, typer.Option(help="NAME to compare with; the first if empty.")] = "",
    by: Annotated[str, typer.Option(help="Comma-separated columns of the careers to audit by, such as race.")] = "",
    watch: Annotated[list[str] | None, typer.Option(help="State whose entry is predicted; may be repeated.")] = None,
    recalibrate: Annotated[bool, typer.Option("--recalibrate", help="Fit to validation careers too.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for tables (CSV, LaTeX, HTML), figures and the transition tables.")
    ] = None,
    weighted: Annotated[bool, typer.Option("--weighted", help="Use the careers' survey weights everywhere.")] = False,
    draws: Annotated[int, typer.Option(help="Resamples of people behind the intervals.")] = 1000,
) -> None:
    """Score any number of models on the same careers: perplexity, audits, calibration, differences, with intervals."""
    import pandas as pd
    import torch

    from ..careers.frames import load_careers
    from ..encoding.checkpoints import load_checkpoint
    from ..evaluation.calibration import recalibrate as fit_recalibration
    from ..evaluation.report import report, write_report
    from ..evaluation.transition_table import SCORE_COLUMNS, transition_table

    # What cannot work is said before models are scored, which may take minutes.
    named = [(name or folder, folder) for name, _, folder in (argument.rpartition("=") for argument in models)]
    baseline = baseline or named[0][0]
    if baseline not in dict(named):
        raise typer.BadParameter(f"--baseline '{baseline}' is none of {list(dict(named))}")
    splits = load_careers(data)
    for needed in [split, "validation"] if recalibrate else [split]:
        if needed not in splits:
            raise typer.BadParameter(f"the careers have splits {list(splits)}, and none is '{needed}'")
    if recalibrate and split == "validation":
        raise typer.BadParameter("--recalibrate fits to validation careers, so that others have to be scored")
    careers = splits[split]
    columns = [name for name in by.split(",") if name]
    known = [*careers.column_names, *SCORE_COLUMNS]
    if not set(columns) <= set(known):
        raise typer.BadParameter(f"--by {by}: columns to audit by are {known}")

    if weighted and "weight" not in careers.column_names:
        raise typer.BadParameter("--weighted: the careers have no column 'weight'")

    tables: dict[str, list[pd.DataFrame]] = defaultdict(list)
    recalibrated: dict[str, list[pd.DataFrame]] = defaultdict(list)
    recalibrations = []
    for name, folder in named:
        model, processor = load_checkpoint(folder)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        score = partial(
            transition_table, model, careers, processor, split=split, unknown_levels="missing", watch=watch or ()
        )
        seed = len(tables[name])
        tables[name].append(_written(score(), output, f"{name}_{seed}"))
        if recalibrate:
            fitted = fit_recalibration(model, splits["validation"], processor)
            recalibrations.append({"model": name, "seed": seed, **asdict(fitted)})
            with fitted.of(model):
                recalibrated[name].append(_written(score(), output, f"{name}_{seed}_recalibrated"))

    found = report(tables, baseline, by=columns, recalibrated=recalibrated or None, draws=draws, weighted=weighted)
    if recalibrate:
        found["recalibrations"] = pd.DataFrame(recalibrations)
    scored = f"{split} careers of {data}{', weighted' if weighted else ''}"
    show(found["summary"].T, f"{scored}: perplexity, lower is better; 95% intervals by resampling people")
    show(found["differences"].T, f"Difference of log-perplexity from '{baseline}', same rows")
    show(found["accuracy"].T, "AUC of moving and of entering states; how high the true occupation ranks")
    show(found["calibration"].T, "Expected calibration error of staying and of the likeliest occupation")
    for column in columns:
        show(_side_by_side(found[f"by_{column}"], column), f"Perplexity by {column}, with 95% intervals")
    if output is not None:
        write_report(found, output, baseline)
        say(f"saved {output}")


def _side_by_side(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Sizes of groups, and perplexities of all models with intervals, one row per group."""
    texts = [f"{row.perplexity:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in rows.itertuples()]
    parts = dict(list(rows.assign(text=texts).set_index(column).groupby("model", sort=False)))
    sizes = next(iter(parts.values()))[["n", "people"]]
    return sizes.assign(**{model: part["text"] for model, part in parts.items()})


def _written(table: pd.DataFrame, output: Path | None, name: str) -> pd.DataFrame:
    """The table, which is also a file if there is a folder to write to."""
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        table.to_parquet(output / f"{name.replace('/', '_')}.parquet")
    return table
