"""`career-hf wage-regression`: wages regressed on what careers hold, with and without a model's representations."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import say, show


# Every other import stands inside the command, so that `career-hf --help` answers at once.


def wage_regression(
    data: Annotated[Path, typer.Option(help="Folder of careers with log_wage, as `prepare` writes it.", exists=True)],
    output: Annotated[Path, typer.Option(help="Folder for the tables: text, LaTeX, HTML, CSV.")],
    model: Annotated[
        str,
        typer.Option(help="Folder or Hub id of a model, whose representations are added, and its wage head."),
    ] = "",
    split: Annotated[str, typer.Option(help="Whose wages; 'all' only without a model.")] = "test",
    add: Annotated[
        str, typer.Option(help="Comma-separated blocks, or columns of the careers, to add to Blau and Kahn's.")
    ] = "occupation,lagged occupation",
    leave_out: Annotated[str, typer.Option(help="Comma-separated blocks to leave out.")] = "",
    splits: Annotated[int, typer.Option(help="Of people, for the held-out R^2.", min=2)] = 5,
    draws: Annotated[int, typer.Option(help="Resamples of people behind the intervals.", min=2)] = 1_000,
) -> None:
    """Regress log wages (Eq. 9): coefficients with errors clustered by person, and R^2 on people held out."""
    if find_spec("statsmodels") is None:
        raise typer.BadParameter("coefficients are estimated with statsmodels: pip install 'career_hf[econ]'")

    from datasets import concatenate_datasets

    from ..careers.frames import load_careers
    from ..encoding.checkpoints import load_checkpoint
    from ..models.modeling_wage import CareerForWagePrediction
    from ..representing.cross_fitting import check_not_trained_on
    from ..representing.representations import Timing, representations
    from ..wages.design import BLAU_KAHN, BLOCKS, held, wage_frame
    from ..wages.regression import coefficient_table, estimate, held_out_r2, predict_held_out, save_table
    from ..wages.wage_head import predict_log_wages

    everyone = load_careers(data)
    if split != "all" and split not in everyone:
        raise typer.BadParameter(f"the careers have splits {list(everyone)}, and none is '{split}'")
    careers = concatenate_datasets(list(everyone.values())) if split == "all" else everyone[split]
    h: dict[str, Any] = {}
    timings: tuple[Timing, ...] = ("before", "including")
    loaded: Any = None
    if model:
        loaded, processor = load_checkpoint(model)
        if "train" not in everyone:
            raise typer.BadParameter(f"the careers have splits {list(everyone)}: whom the model saw cannot be checked")
        check_not_trained_on(careers, everyone["train"], processor)
        for timing in timings:
            h[timing] = representations(loaded, careers, processor, timing=timing, unknown_levels="missing")
    frame, ledger = wage_frame(careers, h)
    say(ledger)
    base, missing = held([name for name in BLAU_KAHN if name not in leave_out.split(",")], frame)
    for name in missing:
        say(f"not in these careers: {name} (Blau and Kahn: {BLOCKS[name].stands_for})")
    specifications = {"Blau-Kahn": base}
    for name in [name for name in add.split(",") if name]:
        base = [*base, name]
        specifications[f"+ {name}"] = base
    specifications |= {f"+ h {name}": [*base, f"h {name}"] for name in h}
    if isinstance(loaded, CareerForWagePrediction):
        predicted = predict_log_wages(loaded, careers, processor, unknown_levels="missing")
        frame = frame.assign(wage_head=predicted[frame.index])
        specifications["+ wage head"] = [*base, "wage head"]
    r2 = held_out_r2(predict_held_out(frame, specifications, splits=splits), draws=draws)
    results = estimate(frame, specifications)
    shown = [name for name in results["Blau-Kahn"].params.index if not name.startswith("year_")]
    table = coefficient_table(results, shown)
    save_table(table, output / "coefficients")
    r2.to_csv(output / "r2.csv", index=False, float_format="%.5f")
    say(table.as_text())
    columns = {"within_year": "within year", "within_year_low": "low", "within_year_high": "high"}
    columns |= {"gain": "gain", "r2": "R^2"}
    for years, rows in r2.groupby("years", sort=False):
        size = f"{rows['people'].iloc[0]:,} people, {rows['observations'].iloc[0]:,} person-years"
        table_of_years = rows.set_index("specification")[[*columns]].rename(columns=columns)
        show(table_of_years, f"R^2 within year of people held out, {years}: {size}")
    say(f"{output}/coefficients.txt, .tex, .html, r2.csv")
