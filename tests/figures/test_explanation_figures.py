"""Figures of explanations draw the frames that they are given: what-if comparisons and transition matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


pytest.importorskip("matplotlib", reason="the extra `studies` is not installed")

from career_hf.figures.transition_matrices import transition_matrices_figure  # noqa: E402
from career_hf.figures.what_if import MOST_OUTCOMES, what_if_figure  # noqa: E402


def differences_drawn(axes):
    """By series and row: the estimate and the ends of its interval."""
    names = [text.get_text() for text in axes.get_yticklabels()]
    drawn = {}
    for container in axes.containers:
        line, _, (collection,) = container.lines
        for (x, y), span in zip(line.get_xydata(), collection.get_segments(), strict=True):
            drawn[container.get_label(), names[round(y)]] = (x, *span[:, 0])
    return drawn


def test_differences_are_drawn_in_percentage_points_by_outcome_and_year_ahead():
    rows = pd.DataFrame(
        {
            "outcome": ["in_school", "nurse"] * 2,
            "years_ahead": [1, 1, 2, 2],
            "difference": [0.01, -0.02, 0.03, -0.04],
            "low": [0.005, -0.03, 0.02, -0.06],
            "high": [0.02, -0.01, 0.05, -0.03],
        }
    )
    rows.attrs = {"edit": "gender is female", "people": 1234, "reading": "a comparison of predictions"}
    figure = what_if_figure(rows)
    (axes,) = figure.axes
    drawn = differences_drawn(axes)
    assert len(drawn) == 4
    for row in rows.itertuples():
        series = f"{row.years_ahead} year{'s' if row.years_ahead > 1 else ''} ahead"
        expected = pytest.approx([100 * row.difference, 100 * row.low, 100 * row.high])
        assert list(drawn[series, row.outcome.replace("_", " ")]) == expected
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["1 year ahead", "2 years ahead"]
    assert "gender is female: 1,234 people" in figure.get_suptitle()


def test_the_outcomes_that_differ_most_are_drawn():
    many = MOST_OUTCOMES + 5
    rows = pd.DataFrame({"outcome": [f"job {i}" for i in range(many)], "difference": np.linspace(-1, 0, many)})
    axes = what_if_figure(rows.assign(low=-1.0, high=0.0)).axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [f"job {i}" for i in range(MOST_OUTCOMES)]
    assert len(differences_drawn(axes)) == MOST_OUTCOMES and axes.get_legend() is None


def test_matrices_write_their_numbers_and_set_sure_differences_in_bold():
    cells = [
        {
            "previous": a,
            "occupation": b,
            "n": 100,
            "observed": o,
            "implied": i,
            "difference": i - o,
            "low": low,
            "high": h,
        }
        for a, b, o, i, low, h in (
            ("cook", "cook", 0.9, 0.8, -0.2, -0.05),
            ("cook", "nurse", 0.1, 0.2, 0.05, 0.2),
            ("nurse", "cook", 0.0, 0.03, 0.01, 0.05),
            ("nurse", "nurse", 1.0, 0.97, -0.1, 0.1),
        )
    ]
    figure = transition_matrices_figure(pd.DataFrame(cells), "Everybody")
    observed, implied, difference = (axes for axes in figure.axes if axes.images)
    assert [text.get_text() for text in observed.texts] == ["90", "10", "100"]
    assert [text.get_text() for text in implied.texts] == ["80", "20", "3", "97"]
    assert [text.get_text() for text in difference.texts] == ["-10.0", "+10.0", "+3.0", "-3.0"]
    # Three steps are implied from nurse to cook, which is too few to believe the interval.
    assert [text.get_weight() for text in difference.texts] == ["bold", "bold", "normal", "normal"]
    assert [text.get_text() for text in observed.get_yticklabels()] == ["cook (100)", "nurse (100)"]
