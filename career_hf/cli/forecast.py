"""`career-hf forecast`: forecasts careers beyond a cutoff, and scores the forecasts where the years were observed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import say, show


if TYPE_CHECKING:
    import pandas as pd

# Every other import stands inside the command, so that `career-hf --help` answers at once.


def forecast(
    model: Annotated[str, typer.Argument(help="Folder or Hub id of a model that was trained up to the cutoff.")],
    data: Annotated[Path, typer.Option(help="Folder of careers, as `prepare` writes it.", exists=True)],
    cutoff: Annotated[int, typer.Option(help="The last year that may be known.")],
    years: Annotated[str, typer.Option(help="Comma-separated; the first three observed after the cutoff.")] = "",
    split: Annotated[str, typer.Option(help="Which careers; all of them if empty.")] = "",
    everyone: Annotated[
        bool, typer.Option("--everyone", help="Also who drops out, with weights; else who is there in the last year.")
    ] = False,
    people: Annotated[int | None, typer.Option(help="Forecast so many, drawn at random.", min=1)] = None,
    samples: Annotated[int, typer.Option(help="Trajectories of each person.", min=2)] = 1000,
    seed: Annotated[int, typer.Option(help="Of the trajectories.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Folder for the forecast and the tables.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw into the folder, too.")] = False,
    person: Annotated[str, typer.Option(help="Whose forecast is drawn; the first person's if empty.")] = "",
    draws: Annotated[int, typer.Option(help="Resamples of people behind the intervals.")] = 1000,
) -> None:
    """Forecast careers beyond a cutoff: probabilities of occupations by year, scored where the years were observed."""
    import torch
    from datasets import concatenate_datasets
    from transformers import AutoModelForCausalLM

    from ..careers.frames import load_careers, to_frame
    from ..encoding.checkpoints import load_processor
    from ..forecasting.forecast import forecast as run
    from ..forecasting.metrics import by_horizon, calibration_by_horizon, prediction_sets, share_forecasts
    from ..forecasting.table import check_states, forecast_table, realised_years
    from ..occupations.labels import NOT_WORKING

    if plot and (output is None or find_spec("matplotlib") is None):
        raise typer.BadParameter("--plot needs --output, and matplotlib: pip install 'career_hf[studies]'")
    splits = load_careers(data)
    if split and split not in splits:
        raise typer.BadParameter(f"the careers have splits {list(splits)}, and none is '{split}'")
    processor = load_processor(model)
    if processor.training_stages and processor.time_covariate and processor.last_trained_year() > cutoff:
        raise typer.BadParameter(
            f"{model} was trained on years up to {processor.last_trained_year()}, so nothing after {cutoff} would be "
            f"a forecast; train with --cutoff {cutoff}"
        )
    everybody = concatenate_datasets(list(splits.values()))
    careers = splits[split] if split else everybody
    later = sorted(year for year in to_frame(careers, kind="arrow")["year"].unique().to_pylist() if year > cutoff)
    goals = [int(year) for year in years.split(",")] if years else later[:3]
    if not goals:
        raise typer.BadParameter(f"nobody is observed after {cutoff}; say which --years to forecast")
    realised = realised_years(careers, cutoff, goals, "observed" if everyone else "survivors", people=people)
    check_states(everybody, cutoff, goals)
    say(realised.ledger)

    occupation_model = AutoModelForCausalLM.from_pretrained(model)
    on_gpu = torch.cuda.is_available()
    occupation_model.to("cuda" if on_gpu else "cpu")  # type: ignore[arg-type]
    result = run(
        occupation_model,
        realised.histories,
        processor,
        years=goals,
        covariates=realised.careers,
        unknown_levels="missing",
        samples=samples,
        trajectories=True,
        seed=seed,
        batch_tokens=40_000 if on_gpu else 4_000,
    )
    if result.attrs["years_placed_at"]:
        say(f"years without training use the latest trained year: {result.attrs['years_placed_at']}")
    states = [state for state in NOT_WORKING if state in result.occupations]
    table = forecast_table(result, realised.rows, watch=states, unknown_occupation=processor.unknown_occupation)
    frequent = table["occupation"].value_counts().index
    labels = [*states, *(label for label in frequent if label not in states)][: max(6, len(states))]
    found: dict[str, Any] = {
        "by_horizon": by_horizon(table, draws, weighted=everyone),
        "prediction_sets": prediction_sets(result, table, seed=seed),
        "calibration": calibration_by_horizon(table, draws=draws),
        "shares": share_forecasts(result, table, labels, weighted=everyone, seed=seed),
    }
    who = "everyone observed, weighted" if everyone else f"people observed in {goals[-1]}"
    show(found["by_horizon"].T, f"Forecasts from {cutoff} of {who}: perplexity with 95% interval by resampling people")
    show(
        found["prediction_sets"].T,
        "Sets that are to hold 90%: size chosen on half of the people, tested on the others",
    )
    show(found["shares"].set_index("occupation"), "Shares of people, with quantiles of chance alone")
    if output is not None:
        result.save(output)
        table.to_parquet(output / "forecast_table.parquet")
        realised.ledger.save(output / "ledger.json")
        for name, frame in found.items():
            frame.to_csv(output / f"{name}.csv", index=name in ("by_horizon", "prediction_sets"))
        if plot:
            _draw(output, result, realised.histories, table, found, person)
        say(f"saved {output}")


def _draw(
    output: Path, result: Any, histories: Any, table: pd.DataFrame, found: dict[str, pd.DataFrame], person: str
) -> None:
    """Writes person.png, shares.png and calibration.png."""
    from ..careers.frames import to_frame
    from ..figures.forecasts import calibration_figure, person_figure, shares_figure

    if person and person not in result.people:
        raise typer.BadParameter(f"person '{person}' is not among the {len(result.people)} who are forecast")
    person = person or result.people[0]
    history = histories[result.people.index(person)]
    own = table[table["person"] == person]
    happened = dict(zip(own["year"], own["occupation"].astype(str), strict=True))
    person_figure(result, person, history, happened).savefig(output / "person.png", dpi=110)
    past = to_frame(histories)[["year", "occupation"]]
    shares = past.groupby("year")["occupation"].value_counts(normalize=True).rename("share").reset_index()
    shares_figure(found["shares"], shares).savefig(output / "shares.png", dpi=110)
    calibration_figure(found["calibration"]).savefig(output / "calibration.png", dpi=110)
