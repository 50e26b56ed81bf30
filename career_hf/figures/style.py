"""The one style of all figures: sizes, colours that can be told apart in grey, and the kinds of plots that recur.

A figure is 8 inches wide and is saved with 150 dots per inch, so that its PNG is 1,200 pixels wide and its letters can
be read when a phone shows it 360 pixels wide. Series differ in luminance, marker, line style and hatch, not in hue
alone. matplotlib is an optional extra: only functions of this file and functions decorated with `styled` import it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import pandas as pd

from ..careers.periods import PER_YEAR, period_label
from ..number_ranges import within_ranges


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

P = ParamSpec("P")
T = TypeVar("T")

WIDTH = 8.0
"""Width of a figure in inches."""
DPI = 150
FONT, SMALL, TINY = 14, 12, 9
"""Points of text, of ticks and legends, and of numbers within the cells of large heat maps."""

NAVY, VERMILION, YELLOW, GREEN, TEAL, PLUM = "#10316B", "#D55E00", "#EDB120", "#1B7837", "#44AA99", "#8A2A5B"
COLOURS = (NAVY, VERMILION, YELLOW, GREEN, TEAL, PLUM)
"""Colours of series: CIE lightness 21, 54, 76, 44, 64 and 32, so that any two differ by 9 or more in grey, and by 18
or more in CIELAB for people without red, green or blue cones (simulated as Machado et al. 2009 do)."""
BLACK, GREY, PALE = "#000000", "#6E6E6E", "#E3E3E3"
"""Colours of truths and references; of secondary marks; of cells and grids in the background."""
GREYS = ("#4D4D4D", "#808080", "#B3B3B3", "#DEDEDE")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (8, 2, 1.5, 2)),
    (0, (1.2, 1.4)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (10, 3)),
)
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "++")

# Numbers of a reliability diagram; its smallest distance from 0 and 1, and its ticks.
RELIABILITY = ("predicted", "observed", "low", "high")
EDGE = 0.001
ODDS_TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)

PARAMETERS: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.labelsize": FONT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": FONT,
    "errorbar.capsize": 4,
    "figure.dpi": DPI,
    "figure.titlesize": FONT,
    "font.family": "DejaVu Sans",
    "font.size": SMALL,
    "grid.color": PALE,
    "hatch.color": "white",
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "lines.linewidth": 2,
    "lines.markersize": 7,
}


@dataclass(frozen=True)
class Look:
    """How one series is drawn everywhere in a figure.

    Args:
        color: Hexadecimal colour.
        marker: Marker of its points.
        linestyle: Style of its lines.
        hatch: Hatch of its areas.
    """

    color: str
    marker: str = "o"
    linestyle: Any = "-"
    hatch: str = ""

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of a line: colour, style and marker."""
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker}

    @property
    def point(self) -> dict[str, Any]:
        """Keywords of points that no line joins."""
        return {"color": self.color, "linestyle": "none", "marker": self.marker}

    @property
    def area(self) -> dict[str, Any]:
        """Keywords of bars and areas: colour, hatch and a white edge."""
        return {"facecolor": self.color, "hatch": self.hatch, "edgecolor": "white", "linewidth": 0.5}


def looks(names: Iterable[Any]) -> dict[Any, Look]:
    """Gives each name a look, in the order of first mention: figures that share the order share the looks.

    Args:
        names: Names of series, repeated ones included.
    """
    count = len(COLOURS)
    return {
        name: Look(
            COLOURS[i % count], MARKERS[(i + i // count) % count], LINES[(i + i // count) % count], HATCHES[i % count]
        )
        for i, name in enumerate(dict.fromkeys(names))
    }


def require_matplotlib() -> None:
    """Raises an error that says how to install matplotlib, if it is not installed.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ImportError("figures are drawn with matplotlib: pip install 'career_hf[studies]'")


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """Makes a function draw in this style, check its arguments and say how to install matplotlib (a decorator).

    Args:
        draw: Function that makes a figure or draws on axes.
    """

    @wraps(draw)
    def draw_in_style(*args: P.args, **kwargs: P.kwargs) -> T:
        require_matplotlib()
        from matplotlib import rc_context

        with rc_context(PARAMETERS):
            return draw(*args, **kwargs)

    return within_ranges(draw_in_style)


@styled
def new_figure(
    height: float, rows: int = 1, columns: int = 1, *, width: float = WIDTH, mosaic: Any = None, **subplots: Any
) -> tuple[Figure, Any]:
    """Makes a figure in this style that no window shows, and its axes.

    Args:
        height: Height in inches.
        rows: Number of panels below each other.
        columns: Number of panels beside each other.
        width: Width in inches; more than 8 only for pictures that cannot be read on a phone anyway.
        mosaic: Layout of named panels, as `Figure.subplot_mosaic` takes it, instead of rows and columns.
        **subplots: Further options of `Figure.subplots` or `Figure.subplot_mosaic`, such as sharex and height_ratios.

    Returns:
        The figure; and its axes, an array of them if there are several, or a dictionary by name for a mosaic.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, **subplots) if mosaic is None else figure.subplot_mosaic(mosaic, **subplots)
    for panel in figure.axes:
        # matplotlib makes ticks when it draws, with the parameters of that time.
        panel.tick_params(labelsize=SMALL)
    return figure, axes


@within_ranges
def save(figure: Figure, path: Path | str) -> None:
    """Saves a figure as PNG, byte for byte the same whenever the same figure is drawn.

    Args:
        figure: A matplotlib figure.
        path: Destination file.
    """
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def words(name: Any, letters: int | None = None) -> str:
    """Writes a label without underscores, broken into lines between words and after slashes.

    Args:
        name: Label.
        letters: Most letters of a line; no limit by default.
    """
    text = str(name).replace("_", " ")
    return text if letters is None else fill(text.replace("/", "/ "), letters).replace("/ ", "/")


def short(text: str, letters: int) -> str:
    """Cuts a long text and ends it with an ellipsis.

    Args:
        text: Text.
        letters: Most letters of the result.
    """
    return text if len(text) <= letters else text[: letters - 1].rstrip(" ,") + "…"


@styled
def forest(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    estimate: str = "estimate",
    low: str = "low",
    high: str = "high",
    name: str | None = None,
    series: str | None = None,
    series_looks: Mapping[Any, Look] | None = None,
    dodge: bool = True,
    hollow: str | None = None,
    reference: float | None = None,
    letters: int | None = 30,
) -> None:
    """Draws estimates with intervals, one line per name, the first on top.

    Args:
        axes: Axes to draw on.
        rows: One row per name and series.
        estimate: Column of estimates.
        low: Column of the intervals' lower ends.
        high: Column of their upper ends.
        name: Column that names the lines, in the order of first mention; by default each row is a line, named by the
            index.
        series: Column that names each row's series; each series has its own look. The caller makes the legend.
        series_looks: Looks of the series; by default `looks` of the column.
        dodge: Whether the series of one name are drawn a little above each other.
        hollow: Column that is true where a marker is hollow.
        reference: Value at which a vertical line is drawn.
        letters: Most letters of a line of a name.
    """
    names, places = _places(rows, name)
    parts = _parts(rows, series, series_looks)
    _intervals(axes, rows, (estimate, low, high), places, parts, dodge=dodge, hollow=hollow, horizontal=True)
    axes.set_yticks(range(len(names)), [words(each, letters) for each in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    if reference is not None:
        axes.axvline(reference, color=BLACK, linewidth=1)
    axes.grid(axis="x", color=PALE)


@styled
def columns(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    estimate: str = "estimate",
    low: str = "low",
    high: str = "high",
    name: str | None = None,
    series: str | None = None,
    series_looks: Mapping[Any, Look] | None = None,
    dodge: bool = True,
    joined: bool = False,
    reference: float | None = None,
    letters: int | None = None,
) -> None:
    """Draws estimates with intervals, one column per name, the first at the left: an upright forest.

    Args:
        axes: Axes to draw on.
        rows: One row per name and series.
        estimate: Column of estimates.
        low: Column of the intervals' lower ends.
        high: Column of their upper ends.
        name: Column that names the columns; by default each row is a column, named by the index.
        series: Column that names each row's series; each series has its own look. The caller makes the legend.
        series_looks: Looks of the series; by default `looks` of the column.
        dodge: Whether the series of one name stand side by side.
        joined: Whether a line joins the points of a series.
        reference: Value at which a horizontal line is drawn.
        letters: Most letters of a line of a name.
    """
    names, places = _places(rows, name)
    parts = _parts(rows, series, series_looks)
    _intervals(axes, rows, (estimate, low, high), places, parts, dodge=dodge, joined=joined)
    axes.set_xticks(range(len(names)), [words(each, letters) for each in names])
    axes.set_xlim(-0.6, len(names) - 0.4)
    if reference is not None:
        axes.axhline(reference, color=BLACK, linewidth=1)
    axes.grid(axis="y", color=PALE)


def _parts(
    rows: pd.DataFrame, series: str | None, series_looks: Mapping[Any, Look] | None
) -> list[tuple[str | None, Look, np.ndarray]]:
    """The label, the look and the mask of rows of each series, in the order of their looks."""
    if series is None:
        look = next(iter((series_looks or looks([None])).values()))
        return [(None, look, np.ones(len(rows), bool))]
    group = rows[series].to_numpy()
    masks = {each: group == each for each in rows[series].unique()}
    by_series = series_looks or looks(masks)
    return [(str(each), look, masks[each]) for each, look in by_series.items() if each in masks]


def _places(rows: pd.DataFrame, name: str | None) -> tuple[list[Any], np.ndarray]:
    """The names in the order of first mention, and the place of every row among them."""
    if name is None:
        return list(rows.index), np.arange(len(rows))
    codes, names = pd.factorize(rows[name])
    return list(names), codes


def _intervals(
    axes: Axes,
    rows: pd.DataFrame,
    columns_read: tuple[str, str, str],
    places: np.ndarray,
    parts: list[tuple[str | None, Look, np.ndarray]],
    *,
    dodge: bool,
    hollow: str | None = None,
    horizontal: bool = False,
    joined: bool = False,
) -> None:
    """Draws the error bars of every series at the places of their names."""
    middle, low, high = (rows[column].to_numpy(float) for column in columns_read)
    span = error_lengths(middle, low, high)
    is_hollow = np.zeros(len(rows), bool) if hollow is None else rows[hollow].to_numpy(bool)
    for i, (label, look, of_series) in enumerate(parts):
        at = places + (0.7 * ((i + 0.5) / len(parts) - 0.5) if dodge else 0.0)
        for mask, fill_color in ((of_series & ~is_hollow, look.color), (of_series & is_hollow, "white")):
            if mask.any():
                style = (look.line if joined else look.point) | {"markerfacecolor": fill_color, "label": label}
                if horizontal:
                    axes.errorbar(middle[mask], at[mask], xerr=span[:, mask], **style)
                else:
                    axes.errorbar(at[mask], middle[mask], yerr=span[:, mask], **style)


@styled
def bands(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    x: str,
    y: str,
    low: str | None = None,
    high: str | None = None,
    series: str | None = None,
    series_looks: Mapping[Any, Look] | None = None,
    banded: Collection[str] | None = None,
    markers: bool = True,
) -> None:
    """Draws one line per series, with its interval as a band.

    Args:
        axes: Axes to draw on.
        rows: One row per x and series.
        x: Column of horizontal positions.
        y: Column of values.
        low: Column of the intervals' lower ends; no bands without it.
        high: Column of their upper ends.
        series: Column that names each row's series; each series has its own look. The caller makes the legend.
        series_looks: Looks of the series; by default `looks` of the column.
        banded: Names of series whose intervals are drawn, with a thicker line; by default all have bands.
        markers: Whether points have markers.
    """
    for label, look, mask in _parts(rows, series, series_looks):
        part, style = rows[mask], look.line | {"label": label}
        if not markers:
            style |= {"marker": "none"}
        if banded is not None and label in banded:
            style |= {"linewidth": 3.2}
        axes.plot(part[x], part[y], **style)
        if low is not None and high is not None and (banded is None or label in banded):
            axes.fill_between(part[x], part[low], part[high], color=look.color, alpha=0.2, linewidth=0)
    if pd.api.types.is_integer_dtype(rows[x]):
        axes.locator_params(axis="x", integer=True)
    axes.grid(color=PALE)


def error_lengths(middle: Any, low: Any, high: Any) -> np.ndarray:
    """`(2, points)` lengths of error bars. Of few draws the whole interval can lie on one side of its estimate, where
    the bar on the other side has no length."""
    return np.maximum(np.vstack([middle - low, high - middle]), 0)


@styled
def reliability(
    axes: Axes,
    curves: pd.DataFrame,
    *,
    series: str | None = "model",
    series_looks: Mapping[Any, Look] | None = None,
) -> None:
    """Draws observed shares against predicted probabilities, bin by bin; on the diagonal the two agree.

    Both axes are log-odds, because most probabilities of staying are near 1, where linear axes would pile up the bins.
    Shares of 0 and 1 are drawn at the edge.

    Args:
        axes: Axes to draw on.
        curves: One row per series and bin: predicted, observed, low and high; bins of too few people have no interval.
        series: Column that names each row's series. The caller makes the legend.
        series_looks: Looks of the series; by default `looks` of the column.
    """
    shown = curves.assign(**{name: curves[name].clip(EDGE, 1 - EDGE) for name in RELIABILITY})
    values = shown[["predicted", "observed"]].to_numpy(dtype=np.float64)
    # Without a step there are no bins.
    ends = (values.min(), values.max()) if len(values) else (0.1, 0.9)
    # A little room around the outermost points, in log-odds.
    odds = np.log(ends) - np.log1p(-np.array(ends)) + np.array([-0.4, 0.4])
    limits = tuple(1 / (1 + np.exp(-odds)))
    axes.plot(limits, limits, color=GREY, linewidth=1, label="_agreement")
    for label, look, mask in _parts(shown, series, series_looks):
        part = shown[mask]
        span = error_lengths(part["observed"], part["low"], part["high"])
        axes.errorbar(part["predicted"], part["observed"], yerr=span, label=label, **look.line)
    axes.set(xlabel="predicted probability", ylabel="share in which it happened", xscale="logit", yscale="logit")
    axes.set(xlim=limits, ylim=limits, xticks=ODDS_TICKS, yticks=ODDS_TICKS)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}".removeprefix("0"))
    axes.minorticks_off()
    axes.set(xlim=limits, ylim=limits)
    axes.set_aspect("equal")
    axes.grid(color=PALE)


def period_axis(axes: Axes, unit: str, most: int = 5) -> None:
    """Says on the x axis that its numbers are months or quarters; a long axis has labels where years begin.

    Args:
        axes: Axes with everything drawn, whose x is the number of a period; an axis of years stays as it is.
        unit: "year", "quarter" or "month".
        most: The largest number of ticks.
    """
    if unit == "year":
        return
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    low, high = axes.get_xlim()
    steps = [step for step in (1, 2, 3, 6) if step < PER_YEAR[unit]]
    steps += [years * PER_YEAR[unit] for years in (1, 2, 5, 10, 20, 50)]
    step = next((step for step in steps if (high - low) / step <= most), steps[-1])
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: period_label(round(number), unit)))
    axes.set_xlabel(unit)


@styled
def heat_map(
    axes: Axes,
    table: pd.DataFrame,
    *,
    low: float,
    high: float,
    form: str = "{:.0f}",
    least: float = 0.0,
    power: float = 1.0,
    diverging: bool = False,
    bold: pd.DataFrame | None = None,
    size: float = SMALL,
    letters: int | None = 24,
) -> AxesImage:
    """Draws a table as colours, and writes the values that are large enough into their cells.

    Args:
        axes: Axes to draw on.
        table: Values; its index names the rows and its columns the columns. Missing values are white.
        low: Value of the palest colour, or of the most negative one.
        high: Value of the darkest colour.
        form: Format of the values that are written; "" writes none.
        least: Smallest absolute value that is written.
        power: Exponent of the colour scale; 0.5 makes small shares visible.
        diverging: Whether colours tell negative from positive values.
        bold: Table of the same shape that is true where a value is written in bold.
        size: Points of the numbers.
        letters: Most letters of a line of a name.

    Returns:
        The image, for a colour bar.
    """
    from matplotlib.colors import PowerNorm, TwoSlopeNorm

    values = table.to_numpy(float)
    norm = TwoSlopeNorm(0, low, high) if diverging else PowerNorm(power, low, high)
    shown = np.ma.masked_invalid(values)
    image = axes.imshow(shown, cmap="RdBu_r" if diverging else "Blues", norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if form and abs(value) >= least:
            color = ink_on(image.cmap(norm(value)))
            weight = "bold" if bold is not None and bool(bold.iat[row, column]) else "normal"
            text = form.format(value)
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=color, weight=weight)
    axes.set_xticks(range(table.shape[1]), [words(name, letters) for name in table.columns], rotation=90)
    axes.set_yticks(range(len(table)), [words(name, letters) for name in table.index])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


@styled
def legend_below(axes: Axes, ncols: int = 2) -> None:
    """Puts a legend under the axes, where it covers no data.

    Args:
        axes: Axes with labelled series.
        ncols: Number of columns of the legend.
    """
    from matplotlib.transforms import ScaledTranslation

    inches = 0.65 + 0.22 * axes.get_xlabel().count("\n")
    under_label = axes.transAxes + ScaledTranslation(0, -inches, axes.figure.dpi_scale_trans)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=under_label, ncols=ncols)


def luminance(color: Any) -> float:
    """Relative luminance of a colour, from 0 for black to 1 for white (WCAG 2).

    Args:
        color: Any colour of matplotlib.
    """
    from matplotlib.colors import to_rgb

    channels = np.array(to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def ink_on(color: Any) -> str:
    """Black or white, whichever is easier to read on a colour.

    Args:
        color: Any colour of matplotlib.
    """
    # Contrasts with white and black are equal at this luminance (WCAG 2).
    return "white" if luminance(color) < 0.179 else BLACK
