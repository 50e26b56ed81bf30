"""Figures of forecasts: one person's, the shares of occupations, and whether probabilities mean what they say.

matplotlib is imported where it is used: it is an extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..forecasting.metrics import QUANTILES
from ..forecasting.result import Forecast
from ..occupations.crosswalks import in_words
from .evaluation import COLOURS, plot_reliability


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_OCCUPATIONS = 8
MOST_PAST_YEARS = 8
LONGEST_NAME = 44


def names_of(labels: Sequence[str]) -> dict[str, str]:
    """How figures call labels: `in_words`, cut where they are long."""
    return {
        label: f"{name[: LONGEST_NAME - 1]}…" if len(name) > LONGEST_NAME else name
        for label, name in in_words(labels).items()
    }


def person_figure(
    forecast: Forecast, person: str, history: Mapping[str, Any], realised: Mapping[int, str] | None = None
) -> Figure:
    """One person's past and forecast: years across, occupations down, probabilities in the cells.

    Args:
        forecast: With this person.
        person: Identifier.
        history: The person's career up to the forecast: year and occupation.
        realised: What became of the person, by year; drawn as frames.

    Returns:
        A matplotlib figure that no window shows. Occupations are those of the last years and the likeliest of the
        coming ones; what is left, if it is not next to nothing, is one row, so that columns sum to one.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    place = forecast.people.index(person)
    years, p = forecast.years[place].tolist(), forecast.probability[place]
    realised = realised or {}
    past = list(zip(history["year"], history["occupation"], strict=True))[-MOST_PAST_YEARS:]
    likely = [forecast.occupations[i] for i in np.argsort(-p.mean(axis=0), kind="stable")[:MOST_OCCUPATIONS]]
    labels = list(dict.fromkeys([*likely, *(label for _, label in reversed(past))]))
    codes = [forecast.occupations.index(label) if label in forecast.occupations else None for label in labels]
    cells = np.zeros((len(labels) + 1, len(past) + len(years)))
    for column, (_, label) in enumerate(past):
        cells[labels.index(label), column] = 1
    for row, code in enumerate(codes):
        cells[row, len(past) :] = 0 if code is None else p[:, code]
    cells[-1, len(past) :] = 1 - cells[:-1, len(past) :].sum(axis=0)
    names = [*(names_of(labels)[label] for label in labels), "all others"]
    if cells[-1].max() < 0.005 and set(realised.values()) <= set(labels):
        cells, names = cells[:-1], names[:-1]

    figure = Figure(figsize=(4.6 + 0.62 * cells.shape[1], 1.6 + 0.34 * len(cells)), layout="constrained")
    axes = figure.subplots()
    # Half of the colours' range, so that dark text can be read on every cell; the past is grey.
    axes.imshow(np.ma.masked_equal(cells, 0), cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
    for row, column in np.argwhere(cells[:, len(past) :] >= 0.005):
        axes.text(
            column + len(past), row, f"{cells[row, column + len(past)]:.0%}", ha="center", va="center", fontsize=8
        )
    for column in range(len(past)):
        row = int(cells[:, column].argmax())
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="#5A5A5A", edgecolor="white"))
    for column, year in enumerate(years, start=len(past)):
        if year in realised:
            row = labels.index(realised[year]) if realised[year] in labels else len(labels)
            frame: dict[str, Any] = {"fill": False, "edgecolor": COLOURS[1], "linewidth": 2}
            axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, **frame))
    axes.axvline(len(past) - 0.5, color="black", linewidth=1)
    axes.set_xticks(range(cells.shape[1]), [*(str(year) for year, _ in past), *map(str, years)])
    axes.set_yticks(range(len(cells)), names)
    framed = "; framed: what happened" if realised else ""
    axes.set_title(
        f"Person {person}: observed up to {past[-1][0]}, then probabilities{framed}", fontsize=10, loc="right"
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def shares_figure(shares: pd.DataFrame, past: pd.DataFrame | None = None) -> Figure:
    """Forecast shares of occupations with their fans, and what happened, a panel for each.

    Args:
        shares: What `forecast_evaluation.share_forecasts` returns.
        past: Earlier shares of the same people: occupation, year and share.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    labels = list(shares["occupation"].unique())
    columns = min(3, len(labels))
    figure = Figure(figsize=(4.2 * columns, 3.1 * -(-len(labels) // columns)), layout="constrained")
    panels = figure.subplots(-(-len(labels) // columns), columns, squeeze=False).ravel()
    low, inner_low, inner_high, high = map(str, QUANTILES)
    for axes, label in zip(panels, labels, strict=False):
        rows = shares[shares["occupation"] == label]
        if past is not None:
            before = past[past["occupation"] == label]
            axes.plot(before["year"], before["share"], color="black", linewidth=1.2)
        axes.fill_between(rows["year"], rows[low], rows[high], color=COLOURS[0], alpha=0.2, label="90%", linewidth=0)
        inner = {"color": COLOURS[0], "alpha": 0.35, "label": "50%", "linewidth": 0}
        axes.fill_between(rows["year"], rows[inner_low], rows[inner_high], **inner)
        axes.plot(rows["year"], rows["expected"], color=COLOURS[0], label="forecast")
        axes.plot(
            rows["year"], rows["realised"], "o", color="black", markersize=4, label="what happened", clip_on=False
        )
        axes.set_title(names_of(labels)[label], fontsize=10)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        axes.locator_params(axis="x", integer=True, nbins=6)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    for axes in panels[len(labels) :]:
        axes.set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    figure.suptitle("Shares of people: fans are chance alone, everybody's career drawn once", fontsize=11)
    return figure


def calibration_figure(curves: pd.DataFrame) -> Figure:
    """Reliability of the likeliest occupation's probability, a curve for each year.

    Args:
        curves: What `forecast_evaluation.calibration_by_horizon` returns.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5.6), layout="constrained")
    axes: Axes = figure.subplots()
    plot_reliability(axes, curves.assign(model=curves["year"].astype(str)))
    axes.set_title("Probability of the likeliest occupation, by forecast year", fontsize=11)
    return figure
