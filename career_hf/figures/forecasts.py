"""Figures of forecasts: one person's forecast, the shares of occupations, and the reliability of probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from ..careers.periods import period_label, read_periods
from ..occupations.crosswalks import in_words
from .style import (
    BLACK,
    GREY,
    GREYS,
    NAVY,
    SMALL,
    VERMILION,
    heat_map,
    legend_below,
    new_figure,
    period_axis,
    reliability,
    short,
    styled,
)


if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_OCCUPATIONS = 8
MOST_PAST_YEARS = 8
LONGEST_NAME = 44
# Smaller probabilities are not written, and rows of them not drawn.
LEAST_PROBABILITY = 0.005


class Forecasts(Protocol):
    """The parts of a forecast that figures read: probabilities by person, year and occupation."""

    @property
    def people(self) -> Sequence[str]: ...
    @property
    def years(self) -> np.ndarray: ...
    @property
    def occupations(self) -> Sequence[str]: ...
    @property
    def probability(self) -> np.ndarray: ...


def names_of(labels: Sequence[str]) -> dict[str, str]:
    """Names of labels in figures: those of `in_words`, cut where they are long."""
    return {label: short(name, LONGEST_NAME) for label, name in in_words(labels).items()}


@styled
def person_figure(
    forecast: Forecasts,
    person: str,
    history: Mapping[str, Any],
    realised: Mapping[int, str] | None = None,
    unit: str = "year",
) -> Figure:
    """Draws one person's past and forecast: years across, occupations down, probabilities in the cells.

    Args:
        forecast: Forecast that includes this person.
        person: Identifier of the person.
        history: The person's career up to the forecast: year and occupation.
        realised: Occupation that the person had, by year; drawn as frames.
        unit: What years count; the axis has labels of months or quarters, and says so.

    Returns:
        A matplotlib figure that no window shows. Rows are the occupations of the last years and the likeliest
        of the coming ones; the remaining probability, unless it is negligible, is one row, so that columns sum to one.
    """
    from matplotlib.patches import Rectangle

    place = list(forecast.people).index(person)
    years = forecast.years[place].tolist()
    p = pd.DataFrame(forecast.probability[place], index=years, columns=list(forecast.occupations))
    realised = realised or {}
    past = list(zip(history["year"], history["occupation"], strict=True))[-MOST_PAST_YEARS:]
    likely = p.columns[np.argsort(-p.to_numpy().mean(axis=0), kind="stable")[:MOST_OCCUPATIONS]]
    likely = likely[p[likely].max() >= LEAST_PROBABILITY]
    labels = list(dict.fromkeys([*likely, *(label for _, label in reversed(past))]))
    ahead = p.reindex(columns=labels, fill_value=0).T
    # Built in the order of rows, because two rows may have the same name.
    behind = [[float(label == occupation) for _, occupation in past] for label in labels]
    cells = pd.DataFrame(
        np.hstack([behind, ahead]), columns=[period_label(year, unit) for year in (*(at for at, _ in past), *years)]
    )
    cells.index = [names_of(labels)[label] for label in labels]
    rest = 1 - cells.sum()
    if rest.max() >= LEAST_PROBABILITY or not set(realised.values()) <= set(labels):
        cells.loc["all others"] = rest.where(np.arange(len(rest)) >= len(past), 0)

    width = max(8.0, 4.2 + 0.62 * cells.shape[1])
    figure, axes = new_figure(1.7 + 0.46 * len(cells), width=width)
    # Half of the colours' range, so that dark text can be read on every cell; the past is grey.
    shown = cells.mask(cells == 0)
    heat_map(axes, shown, low=0, high=1.6, form="", letters=28)
    for row, column in np.argwhere(cells.to_numpy()[:, len(past) :] >= LEAST_PROBABILITY):
        text = f"{cells.iat[row, column + len(past)]:.0%}"
        axes.text(column + len(past), row, text, ha="center", va="center", fontsize=SMALL - 1)
    for column, (_, occupation) in enumerate(past):
        cell = (column - 0.5, labels.index(occupation) - 0.5)
        axes.add_patch(Rectangle(cell, 1, 1, facecolor=GREYS[0], edgecolor="white"))
    for column, year in enumerate(years, start=len(past)):
        if year in realised:
            row = labels.index(realised[year]) if realised[year] in labels else len(labels)
            frame: dict[str, Any] = {"fill": False, "edgecolor": VERMILION, "linewidth": 3}
            axes.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, **frame))
    axes.axvline(len(past) - 0.5, color=BLACK, linewidth=1)
    axes.tick_params(axis="x", rotation=45 if cells.shape[1] > 6 else 0)
    if unit != "year":
        axes.set_xlabel(unit)
    framed = "; framed: what happened" if realised else ""
    last = period_label(past[-1][0], unit)
    figure.suptitle(fill(f"Person {person}: observed up to {last}, then probabilities{framed}", int(8 * width)))
    return figure


@styled
def shares_figure(shares: pd.DataFrame, past: pd.DataFrame | None = None, unit: str = "year") -> Figure:
    """Draws forecast shares of occupations with their fans, and what happened, one panel per occupation.

    Args:
        shares: One row per occupation and year: occupation, year, expected, realised, and a column for each quantile
            of the fan, named by its probability. Months and quarters are labels in a column of that name.
        past: Earlier shares of the same people: occupation, year and share.
        unit: The name of the column of years.

    Returns:
        A matplotlib figure that no window shows.
    """
    from matplotlib.ticker import PercentFormatter

    shares = shares.assign(year=_numbers(shares[unit], unit))
    past = None if past is None else past.assign(year=_numbers(past[unit], unit))
    labels = list(shares["occupation"].unique())
    quantiles = sorted((name for name in shares.columns if str(name).startswith("0.")), key=float)
    fans = list(zip(quantiles[: len(quantiles) // 2], reversed(quantiles), strict=False))
    lines = -(-len(labels) // 2)
    figure, panels = new_figure(3.0 * lines + 1.2, lines, min(2, len(labels)), squeeze=False)
    for axes, label in zip(panels.flat, labels, strict=False):
        rows = shares[shares["occupation"] == label]
        if past is not None:
            before = past[past["occupation"] == label]
            axes.plot(before["year"], before["share"], color=GREY, linestyle=":", label="past")
        for darkness, (low, high) in enumerate(fans):
            share = f"{float(high) - float(low):.0%} of draws"
            alpha = 0.2 + 0.15 * darkness
            axes.fill_between(rows["year"], rows[low], rows[high], color=NAVY, alpha=alpha, label=share, linewidth=0)
        axes.plot(rows["year"], rows["expected"], color=NAVY, label="forecast")
        realised = {"color": VERMILION, "marker": "s", "linestyle": "none", "clip_on": False}
        axes.plot(rows["year"], rows["realised"], label="what happened", **realised)
        axes.set_title(fill(names_of(labels)[label], 30))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.locator_params(axis="x", integer=True, nbins=4)
        axes.locator_params(axis="y", nbins=5)
        axes.set_ylim(bottom=0)
        period_axis(axes, unit, most=4)
        axes.grid()
    for axes in panels.flat[len(labels) :]:
        axes.set_visible(False)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle("Shares of people: fans are chance alone, everybody's career drawn once")
    return figure


def _numbers(periods: pd.Series, unit: str) -> np.ndarray:
    """Numbers of periods for an axis, from their labels."""
    return periods.to_numpy() if unit == "year" else read_periods(periods.tolist(), unit)[0]


@styled
def calibration_figure(curves: pd.DataFrame, unit: str = "year") -> Figure:
    """Draws the reliability of the likeliest occupation's probability, one curve per year.

    Args:
        curves: One row per year and bin: year, predicted, observed, low and high.
        unit: The name of the column of years, "month" or "quarter" in other units.

    Returns:
        A matplotlib figure that no window shows.
    """
    figure, axes = new_figure(8.5)
    reliability(axes, curves, series=unit)
    legend_below(axes)
    axes.set_title(f"Probability of the likeliest occupation, by forecast {unit}")
    return figure


__all__ = ["calibration_figure", "names_of", "person_figure", "shares_figure"]
