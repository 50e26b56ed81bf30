"""Figures of forecasts show the numbers that they were given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from forecast_examples import careers_of, cut, model_and_processor

from career_hf.figures.forecasts import (
    LONGEST_NAME,
    MOST_OCCUPATIONS,
    calibration_figure,
    names_of,
    person_figure,
    shares_figure,
)
from career_hf.forecasting.forecast import forecast


pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")


@pytest.fixture(scope="module")
def drawn():
    model, processor = model_and_processor("career")
    careers = cut(careers_of())
    result = forecast(model, careers, processor, years=[1983, 1985], samples=50)
    return result, careers


def cells_of(figure):
    """Rows by their names: texts by column."""
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    texts: dict[str, dict[int, str]] = {name: {} for name in names}
    for text in axes.texts:
        column, row = text.get_position()
        texts[names[int(row)]][int(column)] = text.get_text()
    return [label.get_text() for label in axes.get_xticklabels()], texts


def test_a_persons_figure_has_the_probabilities_of_every_year(drawn):
    result, careers = drawn
    career = careers[1]
    figure = person_figure(result, career["person"], career, {1983: "nurse", 1985: "pilot"})
    years, cells = cells_of(figure)
    past = len(career["year"])
    assert years == [*map(str, career["year"]), "1983", "1985"]
    assert set(cells) == {*result.occupations, "all others"}
    for occupation, p in zip(result.occupations, result.probability[1].T, strict=True):
        expected = {past + i: f"{probability:.0%}" for i, probability in enumerate(p) if probability >= 0.005}
        assert cells[occupation] == expected
    # One grey cell for each past year, one frame for each realised one: of what has no row among all others.
    patches = figure.axes[0].patches
    assert sum(not patch.get_fill() for patch in patches) == 2 and sum(patch.get_fill() for patch in patches) == past
    rows = [round(patch.get_y() + 0.47) for patch in patches if not patch.get_fill()]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [names[row] for row in rows] == ["nurse", "all others"]


def test_columns_of_a_persons_figure_sum_to_one(drawn):
    result, careers = drawn
    many = [f"job{i}" for i in range(30)]
    p = np.random.default_rng(0).dirichlet(np.ones(30), size=(1, 2)).astype(np.float32)
    wide = type(result)(["x"], np.array([[1983, 1985]]), many, p, np.zeros_like(p))
    figure = person_figure(wide, "x", {"year": [1982], "occupation": ["job29"]})
    cells = np.ma.filled(figure.axes[0].images[0].get_array(), 0)
    assert cells.sum(axis=0) == pytest.approx(np.ones(3))
    # The likeliest, the one that was held, and all others.
    assert cells.shape[0] in (MOST_OCCUPATIONS + 1, MOST_OCCUPATIONS + 2)


def test_what_has_no_probability_has_no_row(drawn):
    p = np.array([[[0.7, 0.3, 0.0], [0.6, 0.4, 0.0]]], dtype=np.float32)
    result = type(drawn[0])(["x"], np.array([[1983, 1985]]), ["cook", "nurse", "unknown"], p, np.zeros_like(p))
    figure = person_figure(result, "x", {"year": [1982], "occupation": ["cook"]})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cook", "nurse"]


def test_shares_have_a_panel_each_with_fan_forecast_and_what_happened():
    shares = pd.DataFrame(
        {"occupation": ["cook"] * 2 + ["in_school"] * 2, "year": [1983, 1985] * 2, "expected": [0.2, 0.3, 0.1, 0.1]}
    ).assign(
        realised=0.25, **{q: v for q, v in zip(["0.05", "0.25", "0.75", "0.95"], [0.1, 0.15, 0.3, 0.35], strict=True)}
    )
    past = pd.DataFrame({"occupation": ["cook"], "year": [1982], "share": [0.22]})
    figure = shares_figure(shares, past)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["cook", "in school"]
    before, expected, realised = panels[0].lines
    assert before.get_ydata().tolist() == [0.22] and realised.get_ydata().tolist() == [0.25, 0.25]
    assert expected.get_ydata().tolist() == [0.2, 0.3] and expected.get_xdata().tolist() == [1983, 1985]
    ends = [band.get_paths()[0].vertices[:, 1] for band in panels[0].collections]
    assert [(low.min(), low.max()) for low in ends] == [(0.1, 0.35), (0.15, 0.3)]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["past", "90% of draws", "50% of draws", "forecast", "what happened"]


def test_calibration_has_a_curve_for_each_year():
    curves = pd.DataFrame({"year": [1983, 1983, 1985], "bin": [0, 1, 0], "n": 10, "predicted": [0.2, 0.6, 0.3]})
    curves = curves.assign(observed=0.4, low=0.3, high=0.5)
    axes = calibration_figure(curves).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["1983", "1985"]
    drawn = [container.lines[0].get_xydata().tolist() for container in axes.containers]
    assert drawn == [[[0.2, 0.4], [0.6, 0.4]], [[0.3, 0.4]]]
    assert len({container.lines[0].get_marker() for container in axes.containers}) == 2


def test_names_are_titles_where_labels_are_codes_and_short():
    names = names_of(["313", "in_school"])
    assert names["313"].startswith("313 ") and len(names["313"]) > 6 and names["in_school"] == "in school"
    assert names_of(["a_job"]) == {"a_job": "a job"}
    long = names_of(["x" * 100])["x" * 100]
    assert len(long) == LONGEST_NAME and long.endswith("…")
