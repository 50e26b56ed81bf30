"""What figures of an evaluation draw: positions, intervals and names, not pixels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


pytest.importorskip("matplotlib", reason="the extra `studies` is not installed")

from matplotlib.colors import to_hex  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from career_hf.figures.evaluation import figures, plot_levels, plot_reliability, plot_steps, plot_transitions  # noqa: E402
from career_hf.figures.style import BLACK, COLOURS  # noqa: E402


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def bars(container):
    """Points of an error bar and the ends of its bars, `(points, 2)` along the axis that varies."""
    line, _, (collection,) = container.lines
    return np.column_stack(line.get_data()), np.array(collection.get_segments())


@pytest.fixture
def levels():
    columns = {"perplexity": [20.0, 10.0, 15.0], "low": [19.0, 9.5, 14.0], "high": [22.0, 11.0, 16.0]}
    return pd.DataFrame(columns, index=["chain", "CAREER", "NEMO"])


@pytest.fixture
def kinds():
    rows = [
        {"transition": kind, "model": model, "difference": d, "difference_low": d - 0.1, "difference_high": d + 0.2}
        for kind, d in (("new", -0.3), (None, 9.0), ("stay", 0.1), ("return", -0.5))
        for model, d in (("chain", 0.0), ("CAREER", d), ("NEMO", d / 2))
    ]
    # As in the tables of a report, categories are in the order of Table 4.
    frame = pd.DataFrame(rows)
    return frame.assign(transition=pd.Categorical(frame["transition"], ["first", "stay", "return", "new"]))


@pytest.fixture
def steps():
    rows = [
        {"step": step, "model": model, "n": n, "perplexity": p - step, "low": p - step - 1, "high": p - step + 1}
        for step, n in ((0, 1000), (1, 400), (2, 100), (3, 99))
        for model, p in (("chain", 20.0), ("CAREER", 10.0))
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def curves():
    rows = [
        {
            "model": model,
            "recalibrated": is_so,
            "of": event,
            "predicted": p,
            "observed": p + 0.05,
            "low": p,
            "high": p + 0.1,
        }
        for is_so in (False, True)
        for event in ("stay", "top")
        for model in ("chain", "CAREER", "NEMO")
        for p in (0.2, 0.5, 0.8)
    ]
    return pd.DataFrame(rows)


def test_levels_stand_in_order_with_their_intervals(levels):
    axes = Figure().subplots()
    plot_levels(axes, levels, highlight=["CAREER"])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["CAREER", "NEMO", "chain"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    drawn = {}
    for container in axes.containers:
        points, spans = bars(container)
        color = to_hex(container.lines[0].get_color()).upper()
        drawn |= {point[1]: (point[0], span[:, 0], color) for point, span in zip(points, spans, strict=True)}
    assert set(drawn) == {0, 1, 2}
    for place, model in enumerate(["CAREER", "NEMO", "chain"]):
        value, ends, color = drawn[place]
        row = levels.loc[model]
        assert value == row["perplexity"] and ends == pytest.approx([row["low"], row["high"]])
        assert (color == BLACK) == (model == "CAREER")


def test_transitions_are_ratios_to_the_baseline_in_the_order_of_table_4(kinds):
    axes = Figure().subplots()
    plot_transitions(axes, kinds, "chain")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["stay", "return", "new"]
    assert sorted(labels(axes)) == ["CAREER", "NEMO", "chain"]
    drawn = {container.get_label(): bars(container) for container in axes.containers}
    assert set(drawn) == {"CAREER", "NEMO"}
    points, spans = drawn["CAREER"]
    assert points[:, 1].tolist() == pytest.approx(np.exp([0.1, -0.5, -0.3]).tolist())
    assert spans[:, 1, 1] == pytest.approx(np.exp(np.array([0.1, -0.5, -0.3]) + 0.2))
    # Models stand side by side, each near its own kind.
    assert points[:, 0].round().tolist() == [0, 1, 2] and (drawn["NEMO"][0][:, 0] > points[:, 0]).all()


def test_steps_that_few_people_reach_are_left_out_and_highlighted_models_have_bands(steps):
    axes = Figure().subplots()
    plot_steps(axes, steps, highlight=["CAREER"])
    assert labels(axes) == ["chain", "CAREER (95% interval)"]
    chain, career = axes.lines
    assert chain.get_xdata().tolist() == [0, 1, 2] and chain.get_ydata().tolist() == [20, 19, 18]
    assert career.get_linewidth() > chain.get_linewidth()
    (band,) = axes.collections
    edges = band.get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == (8 - 1, 10 + 1)


def test_reliability_is_drawn_beside_the_diagonal(curves):
    axes = Figure().subplots()
    plot_reliability(axes, curves[(curves["of"] == "stay") & ~curves["recalibrated"]])
    assert labels(axes) == ["chain", "CAREER", "NEMO"]
    diagonal = axes.lines[0]
    assert tuple(diagonal.get_xdata()) == tuple(diagonal.get_ydata()) == axes.get_xlim() == axes.get_ylim()
    for container in axes.containers:
        points, spans = bars(container)
        assert points.tolist() == [pytest.approx([p, p + 0.05]) for p in (0.2, 0.5, 0.8)]
        assert spans[:, :, 1].tolist() == [pytest.approx([p, p + 0.1]) for p in (0.2, 0.5, 0.8)]


def test_a_report_has_four_figures_in_which_a_model_keeps_its_colour(levels, kinds, steps, curves):
    tables = {"summary": levels, "by_transition": kinds, "by_step": steps, "reliability": curves}
    drawn = figures(tables, "chain")
    assert list(drawn) == ["levels", "by_transition", "by_step", "reliability"]
    titles = [axes.get_title() for axes in drawn["reliability"].axes]
    assert (
        titles[0] == "Probability of staying" and titles[3] == "Probability of the likeliest occupation, recalibrated"
    )
    assert len(figures(tables | {"reliability": curves[~curves["recalibrated"]]}, "chain")["reliability"].axes) == 2
    assert "by_transition" not in figures(tables | {"summary": levels.iloc[:1]}, "chain")
    assert all(axes.containers or axes.lines for figure in drawn.values() for axes in figure.axes)
    colours = {
        container.lines[0].get_color()
        for axes in [*drawn["by_transition"].axes, *drawn["reliability"].axes]
        for container in axes.containers
        if container.get_label() == "CAREER"
    }
    career = [line for line in drawn["by_step"].axes[0].lines if line.get_label() == "CAREER"]
    assert colours == {career[0].get_color()}


def test_more_models_than_colours_differ_in_their_markers():
    axes = Figure().subplots()
    rows = [{"step": 0, "model": f"model {i}", "n": 9, "perplexity": 5.0} for i in range(2 * len(COLOURS))]
    plot_steps(axes, pd.DataFrame(rows))
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 2 * len(COLOURS)
