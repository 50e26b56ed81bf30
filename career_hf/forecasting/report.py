"""Forecasts beyond a cutoff, scored where the years were observed: what `career-hf forecast` prints and saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from datasets import Dataset, DatasetDict

from ..careers.clusters import cluster_name
from ..careers.columns import with_weights
from ..careers.frames import as_careers, as_splits, long_table
from ..careers.ledger import Ledger
from ..careers.periods import Period, period_labels, period_number, period_numbers, time_unit, with_period_labels
from ..encoding.checkpoints import as_ensemble
from ..evaluation.resampling import NOTE, interval_text
from ..figures.forecasts import calibration_figure, shares_figure
from ..figures.style import save
from ..number_ranges import within_ranges
from ..occupations.labels import NOT_WORKING
from ..readable_values import ReadableResult
from .forecast import check_not_trained_after, forecast, years_after
from .metrics import by_horizon, calibration_by_horizon, prediction_sets, share_forecasts, watched
from .result import Forecast
from .shocks import estimate_shocks, known_shares
from .table import check_states, forecast_table, known_occupations, realised_years
from .years import Covariates


if TYPE_CHECKING:
    from matplotlib.figure import Figure

FigureName = Literal["person", "shares", "calibration"]
# Occupations and states whose shares are forecast: all states without work, and the most frequent occupations.
SHARES = 6
# Tables whose index is the year, which is a column of the others.
INDEXED_TABLES = ("by_horizon", "prediction_sets")


@dataclass(frozen=True, repr=False)
class ForecastReport(ReadableResult):
    """Scored forecasts of careers beyond a cutoff.

    Args:
        cutoff: The last year that was known; of other units the number of the period.
        forecast: The forecasts, with trajectories.
        table: The forecast table, one row per person and year that was observed, as `forecast_table` makes it.
        tables: Scores by name: "by_horizon", "prediction_sets", "calibration" (`calibration_by_horizon`) and "shares"
            (`share_forecasts`).
        ledger: Who is not forecast, which years are not scored, and why; how many rows are scored as the unknown
            occupation; and what is not known, or gives pause, about the years that the model was trained on.
        everyone: Whether everybody observed is scored, with weights, or the people observed in the last year.
    """

    cutoff: int
    forecast: Forecast
    table: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    ledger: Ledger
    everyone: bool

    @property
    def unit(self) -> str:
        """What is resampled for intervals: "PSU", "household" or "person"."""
        return cluster_name(self.table.columns)

    @property
    def note(self) -> str:
        """What "too few" means, if there are too few people, households or PSUs for some interval; otherwise empty."""
        frame = self.to_frame()
        ends = {"perplexity": "low"} | {f"AUC {state}": f"AUC {state} low" for state in watched(self.table)}
        return NOTE if any((frame[low].isna() & frame[name].notna()).any() for name, low in ends.items()) else ""

    def to_frame(self) -> pd.DataFrame:
        """The scores overall and in each year, as `by_horizon` makes them."""
        return self.tables["by_horizon"]

    def with_intervals(self) -> pd.DataFrame:
        """`to_frame` for people to read: perplexity and AUCs as text, with their intervals in brackets, or "too few"
        where there are too few people or households for an interval."""
        frame = self.to_frame()
        columns = {"perplexity": ("low", "high", 2)}
        columns |= {name: (f"{name} low", f"{name} high", 3) for name in map("AUC {}".format, watched(self.table))}
        texts = {
            name: [interval_text(*ends, digits) for ends in zip(frame[name], frame[low], frame[high], strict=True)]
            for name, (low, high, digits) in columns.items()
        }
        return frame.assign(**texts).drop(columns=[end for low, high, _ in columns.values() for end in (low, high)])

    @within_ranges
    def figure(self, name: FigureName = "shares", person: str | None = None) -> Figure:
        """A figure of the forecasts.

        Args:
            name: "person" for one person's past, forecast and realised occupations; "shares" for shares of people with
                their fans; "calibration" for the reliability of the likeliest occupation's probability by year.
            person: Identifier of the person whose forecast is drawn; the first one unless given.

        Returns:
            A matplotlib figure that no window shows.

        Raises:
            ValueError: The person is not forecast, or there is no such figure.
        """
        unit = self.forecast.time_unit
        if name == "person":
            person = self.forecast.people[0] if person is None else person
            rows = self.table[self.table["person"] == person]
            return self.forecast.figure(person, dict(zip(rows["year"], rows["occupation"].astype(str), strict=True)))
        if name == "shares":
            past = long_table(self.forecast.require_histories()).select(["year", "occupation"]).to_pandas()
            shares = past.groupby("year")["occupation"].value_counts(normalize=True).rename("share").reset_index()
            return shares_figure(self.tables["shares"], with_period_labels(shares, unit), unit)
        if name == "calibration":
            return calibration_figure(self.tables["calibration"], unit)
        raise ValueError(f"there is no figure {name!r} of forecasts, only {', '.join(get_args(FigureName))}")

    @within_ranges
    def save(self, folder: str | Path, *, figures: bool = False, person: str | None = None) -> None:
        """Saves the forecast, the forecast table, the scores and the ledger, and draws the figures if asked to.

        Args:
            folder: Folder to write to: what `Forecast.save` writes, `forecast_table.parquet`, `ledger.json`, a CSV for
                each of `tables`, and a PNG for each figure.
            figures: Whether to draw; needs matplotlib.
            person: Identifier of the person whose forecast is drawn; the first one unless given.

        Raises:
            ValueError: The person is not forecast.
        """
        folder = Path(folder)
        self.forecast.save(folder)
        self.table.to_parquet(folder / "forecast_table.parquet")
        self.ledger.save(folder / "ledger.json")
        for name, frame in self.tables.items():
            frame.to_csv(folder / f"{name}.csv", index=name in INDEXED_TABLES)
        if figures:
            for name in get_args(FigureName):
                save(self.figure(name, person), folder / f"{name}.png")


@within_ranges
def evaluate_forecast(
    model: Any,
    careers: str | Path | Dataset | DatasetDict,
    *,
    cutoff: Period,
    years: Sequence[Period] | None = None,
    split: str | None = None,
    everyone: bool = False,
    weighted: bool = False,
    people: int | None = None,
    samples: int = 1000,
    seed: int = 0,
    draws: int = 1000,
    covariates: Covariates = "last",
    earlier: Sequence[Any] = (),
    unknown_levels: Literal["error", "missing"] = "missing",
    batch_tokens: int | None = None,
) -> ForecastReport:
    """Forecasts careers beyond a cutoff, and scores the forecasts where the years were observed.

    Nothing after the cutoff is known, unless `covariates` says so. Who is scored depends on who is observed later, and
    so do weights; forecasts do not.

    Args:
        model: An occupation model that was trained up to the cutoff: a folder, a Hub id, a pair (model, processor) or
            what `train` returns. One that is loaded from a folder or the Hub uses a GPU where there is one. Or an
            ensemble: a list of these, or the folder that `train_ensemble` wrote; fans of shares then hold the
            uncertainty of the model too.
        careers: A folder of careers, or careers, with the forecast years.
        cutoff: The last year, or label of a month or quarter, that may be known.
        years: The years, or labels of months or quarters, to forecast; the first three in which somebody is observed
            after the cutoff unless given.
        split: The split whose careers are forecast; all careers without one.
        everyone: Whether everybody is scored who is observed in any of the years, weighted by the inverse probability
            of being observed; otherwise the people who are observed in the last of the years, as in the paper.
        weighted: Whether to use the careers' survey weights; people count with the weight of their last year up to
            the cutoff.
        people: How many people are forecast, drawn at random; all of them unless given.
        samples: Trajectories of each person.
        seed: Random seed of trajectories, and of the split of people that chooses the sizes of prediction sets.
        draws: Resamples of people behind the intervals.
        covariates: "last" if covariates keep their last values before the cutoff, but for the year and `age`; or
            "realised" if forecasts know what they became, as in the paper.
        earlier: Scored forecasts from earlier cutoffs, or folders in which they were saved, each by a model that knew
            nothing after its own cutoff. Their errors up to this cutoff say how large shocks are that hit everybody at
            once (`forecasting.shocks`), and fans of shares then hold these too.
        unknown_levels: What to do with covariate levels that training never saw, as in `processor.encode`.
        batch_tokens: Steps that one call of the model reads at most, as in `forecast`.

    Raises:
        ValueError: There is no such split, weights are asked for and missing, the model was trained on years after the
            cutoff, nobody is observed after
            it or qualifies, a state is observed on one side of the cutoff only, nothing of an earlier forecast was
            known by the cutoff, two are from one cutoff, one shares no label with this one or is damaged, or as in
            `forecast`.
    """
    if not isinstance(careers, Dataset):
        careers = as_splits(careers)
    scored = as_careers(careers, split)
    is_loaded = isinstance(model, str | Path)
    ensemble = as_ensemble(model)
    _, processor = ensemble[0]
    unit = processor.time_unit
    processor.check_unit(time_unit(scored))
    last_known = period_number(cutoff, unit, "cutoff")
    notes = [check_not_trained_after(own, last_known) for _, own in ensemble]
    shocks = None
    if not isinstance(earlier, (list, tuple)):
        raise ValueError(f"earlier is {earlier!r}, and must be a list of scored forecasts, or of their folders")
    if earlier:
        shocks = estimate_shocks(known_shares(earlier, last_known, unit, processor.occupation_labels))
    goals = years_after(scored, last_known) if years is None else period_numbers(years, unit, "years")
    scored = with_weights(scored, weighted)
    realised = realised_years(scored, last_known, goals, "observed" if everyone else "survivors", people=people)
    if weighted:
        rows = realised.rows[realised.rows["weight"] > 0].reset_index(drop=True)
        realised = replace(realised, rows=rows)
        if not len(rows):
            raise ValueError("weighted: whoever could be scored has weight 0 in the last year before the cutoff")
    for note in dict.fromkeys(notes):
        if note is not None:
            realised.ledger.note(note)
    if shocks is not None:
        realised.ledger.note(
            f"fans hold shocks with a standard deviation of {np.sqrt(shocks.variance):.3f} in the log-odds of a share "
            f"after one {unit}, more or less by label, estimated from {shocks.shares} shares after {shocks.cutoffs} "
            f"earlier cutoff{'s' if shocks.cutoffs > 1 else ''}"
        )
    check_states(as_careers(careers), last_known, goals)
    if is_loaded and torch.cuda.is_available():
        for member, _ in ensemble:
            member.to("cuda")
    result = forecast(
        ensemble,
        realised.careers,
        cutoff=cutoff,
        years=period_labels(goals, unit).tolist(),
        covariates=covariates,
        unknown_levels=unknown_levels,
        samples=samples,
        trajectories=True,
        seed=seed,
        batch_tokens=batch_tokens,
    )
    states = [state for state in NOT_WORKING if state in result.occupations]
    table = forecast_table(result, realised.rows, watch=states, unknown_occupation=processor.unknown_occupation)
    unknown = int(table["unknown"].sum())
    if unknown:
        altered = {"to or from the unknown occupation": unknown}
        realised.ledger.record("score forecasts", "forecasts", len(table), len(table), altered=altered)
    frequent = known_occupations(result, table["occupation"]).value_counts().index
    labels = [*states, *(label for label in frequent if label not in states)][: max(SHARES, len(states))]
    if shocks is not None:
        own = sum(label in shocks.of_labels for label in labels)
        realised.ledger.note(
            f"{own} of {len(labels)} labels whose shares are forecast have earlier shares, and so shocks of their "
            "own size"
        )
    tables = {
        "by_horizon": by_horizon(table, draws, weighted=everyone or weighted),
        "prediction_sets": prediction_sets(result, table, seed=seed),
        "calibration": calibration_by_horizon(table, draws=draws),
        "shares": share_forecasts(result, table, labels, everyone or weighted, seed, shocks),
    }
    tables = {name: with_period_labels(frame, unit) for name, frame in tables.items()}
    return ForecastReport(last_known, result, table, tables, realised.ledger, everyone)
