"""The style of figures: what its plots draw, and that their colours can be told apart in grey."""

from __future__ import annotations

import builtins
from itertools import combinations

import numpy as np
import pandas as pd
import pytest


pytest.importorskip("matplotlib", reason="the extra `studies` is not installed")

from career_hf.figures import plot_training, style  # noqa: E402


ROWS = pd.DataFrame(
    {
        "model": ["CAREER", "CAREER", "chain", "chain"],
        "year": [1983, 1985, 1983, 1985],
        "estimate": [2.0, 3.0, 4.0, 6.0],
        "low": [1.5, 2.0, 3.5, 5.0],
        "high": [2.25, 4.0, 4.5, 8.0],
        "taken_for_granted": [False, True, False, False],
    }
)


def lightness(color):
    """CIE L*, from 0 to 100."""
    return 116 * np.cbrt(style.luminance(color)) - 16


def error_bars(axes):
    """By label: points, and the ends of their bars along the axis that varies."""
    drawn = {}
    for container in axes.containers:
        line, _, (collection,) = container.lines
        points, spans = drawn.setdefault(container.get_label(), ([], []))
        points += line.get_xydata().tolist()
        spans += np.array(collection.get_segments()).tolist()
    return drawn


def test_colours_differ_in_grey_and_their_looks_in_everything_else():
    assert min(abs(lightness(a) - lightness(b)) for a, b in combinations(style.COLOURS, 2)) > 8
    assert min(abs(lightness(a) - lightness(b)) for a, b in combinations(style.COLOURS[:3], 2)) > 20
    assert min(np.diff([lightness(grey) for grey in style.GREYS])) > 15
    names = [f"model {i}" for i in range(3 * len(style.COLOURS))]
    looks = style.looks([*names, *names])
    assert list(looks) == names
    assert len({(look.color, look.marker) for look in looks.values()}) == len(names)
    assert len({(look.color, str(look.linestyle)) for look in looks.values()}) == len(names)
    first = [looks[name] for name in names[: len(style.COLOURS)]]
    for part in ("marker", "linestyle", "hatch"):
        assert len({str(getattr(look, part)) for look in first}) == len(style.COLOURS)


def test_ink_is_read_on_every_colour():
    for color in (*style.COLOURS, *style.GREYS, "#000000", "#ffffff"):
        bright, dark = sorted([style.luminance(color), style.luminance(style.ink_on(color))], reverse=True)
        assert (bright + 0.05) / (dark + 0.05) > 4.5


def test_a_forest_has_every_estimate_with_its_interval_first_on_top():
    figure, axes = style.new_figure(4)
    style.forest(axes, ROWS, name="year", series="model", hollow="taken_for_granted", reference=0)
    drawn = error_bars(axes)
    for model, rows in ROWS.groupby("model"):
        points, spans = map(np.array, drawn[model])
        assert points[:, 0].tolist() == rows["estimate"].tolist()
        assert points[:, 1].round().tolist() == [0, 1]
        assert spans[:, :, 0].tolist() == rows[["low", "high"]].to_numpy().tolist()
    assert [text.get_text() for text in axes.get_yticklabels()] == ["1983", "1985"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    hollow = [c.lines[0].get_xdata().tolist() for c in axes.containers if c.lines[0].get_markerfacecolor() == "white"]
    assert hollow == [[3.0]]
    assert [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2][-1] == [0, 0]


def test_columns_stand_upright_side_by_side_and_may_be_joined():
    figure, axes = style.new_figure(4)
    style.columns(axes, ROWS, name="year", series="model", joined=True, reference=1)
    drawn = error_bars(axes)
    assert [x for x, _ in drawn["CAREER"][0]] < [x for x, _ in drawn["chain"][0]]
    for model, rows in ROWS.groupby("model"):
        points, spans = map(np.array, drawn[model])
        assert points[:, 0].round().tolist() == [0, 1] and points[:, 1].tolist() == rows["estimate"].tolist()
        assert spans[:, :, 1].tolist() == rows[["low", "high"]].to_numpy().tolist()
    assert all(container.lines[0].get_linestyle() != "None" for container in axes.containers)
    assert axes.lines[-1].get_ydata() == [1, 1]


def test_rows_without_names_are_a_line_each_by_their_index():
    figure, axes = style.new_figure(4)
    style.forest(axes, ROWS.set_axis(["a_b", "c", "a_b", "d"]))
    (points, _) = (
        error_bars(axes)["_nolegend_"] if "_nolegend_" in error_bars(axes) else [*error_bars(axes).values()][0]
    )
    assert [y for _, y in points] == [0, 1, 2, 3]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a b", "c", "a b", "d"]


def test_bands_have_lines_and_the_intervals_of_the_series_that_are_chosen():
    figure, axes = style.new_figure(4)
    style.bands(axes, ROWS, x="year", y="estimate", low="low", high="high", series="model", banded=["chain"])
    career, chain = axes.lines
    assert career.get_xydata().tolist() == [[1983, 2], [1985, 3]] and career.get_label() == "CAREER"
    assert chain.get_ydata().tolist() == [4, 6] and chain.get_linewidth() > career.get_linewidth()
    (band,) = axes.collections
    edges = {tuple(vertex) for vertex in band.get_paths()[0].vertices.tolist()}
    assert {(1983, 3.5), (1985, 5), (1983, 4.5), (1985, 8)} <= edges


def test_reliability_has_every_bin_with_its_interval_and_the_diagonal():
    figure, axes = style.new_figure(4)
    rows = ROWS.assign(predicted=[0.1, 0.6, 0.2, 0.7], observed=ROWS["estimate"] / 10)
    rows = rows.assign(low=rows["low"] / 10, high=rows["high"] / 10)
    style.reliability(axes, rows, series="model")
    drawn = error_bars(axes)
    assert list(drawn) == ["CAREER", "chain"]
    assert drawn["CAREER"][0] == [[0.1, 0.2], [0.6, 0.3]] and drawn["chain"][0] == [[0.2, 0.4], [0.7, 0.6]]
    for model, part in rows.groupby("model"):
        np.testing.assert_allclose(np.array(drawn[model][1])[:, :, 1], part[["low", "high"]].to_numpy())
    diagonal = axes.lines[0]
    assert tuple(diagonal.get_xdata()) == tuple(diagonal.get_ydata()) == axes.get_xlim() == axes.get_ylim()
    assert 0 < axes.get_xlim()[0] < 0.1 and 0.7 < axes.get_xlim()[1] < 1


def test_bins_near_one_do_not_pile_up_in_a_corner_of_a_reliability_diagram():
    """As surveys have probabilities of staying; one bin has no interval, and in one everybody stays."""
    predicted = np.array([0.45, 0.72, 0.82, 0.88, 0.92, 0.94, 0.96, 0.975, 0.986, 0.995])
    rows = pd.DataFrame({"predicted": predicted, "observed": np.r_[predicted[:-1], 1.0], "model": "CAREER"})
    rows = rows.assign(low=rows["observed"] - 0.004, high=(rows["observed"] + 0.004).clip(upper=1))
    rows.loc[0, ["low", "high"]] = np.nan
    figure, axes = style.new_figure(6)
    style.reliability(axes, rows)
    at = axes.transAxes.inverted().transform(axes.transData.transform(rows[["predicted", "predicted"]].to_numpy()))
    assert ((at > 0) & (at < 1)).all()
    # A tenth of the diagram, at the most, is left between neighbours, and none is on top of another.
    assert np.diff(at[:, 0]).min() > 0.03 and at[5, 0] < 0.65
    figure.canvas.draw()


def test_a_learning_curve_has_both_losses_without_the_updates_that_lack_them():
    log = pd.DataFrame({"loss": [3.0, 2.0, np.nan], "eval_nll": [np.nan, 2.5, 2.25]}, index=[1, 2, 4])
    (axes,) = plot_training(log).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"training careers": [[1, 3], [2, 2]], "validation careers": [[2, 2.5], [4, 2.25]]}
    assert len({line.get_linestyle() for line in axes.lines}) == 2 and axes.get_legend() is not None


def test_a_heat_map_writes_what_is_large_enough_in_ink_that_can_be_read():
    table = pd.DataFrame([[0.4, 99.0], [np.nan, 5.0]], index=["a_row", "b"], columns=["c", "d"])
    figure, axes = style.new_figure(4)
    image = style.heat_map(axes, table, low=0, high=100, least=1, bold=table > 50)
    assert {text.get_position(): text.get_text() for text in axes.texts} == {(1, 0): "99", (1, 1): "5"}
    assert [text.get_color() for text in axes.texts] == ["white", style.BLACK]
    assert [text.get_weight() for text in axes.texts] == ["bold", "normal"]
    assert np.ma.filled(image.get_array(), -1).tolist() == [[0.4, 99], [-1, 5]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a row", "b"]


def test_a_figure_is_saved_1200_pixels_wide_with_letters_for_a_phone_and_twice_the_same(tmp_path):
    from PIL import Image

    for name in ("a.png", "b.png"):
        figure, axes = style.new_figure(3)
        style.forest(axes, ROWS, name="year", series="model")
        style.save(figure, tmp_path / name)
        sizes = [text.get_fontsize() for text in [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title]]
        assert min(sizes) >= style.SMALL
    assert Image.open(tmp_path / "a.png").size == (1200, 450)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("career_hf.figures.style.find_spec", lambda name: None)
    original = builtins.__import__
    monkeypatch.setattr(
        builtins,
        "__import__",
        lambda name, *rest: pytest.fail(name) if "matplotlib" in name else original(name, *rest),
    )
    with pytest.raises(ImportError, match=r"pip install 'career_hf\[studies\]'"):
        style.new_figure(3)


def test_an_interval_beside_its_estimate_has_no_bar_on_the_other_side():
    lengths = style.error_lengths(np.array([2.0, 2.0]), np.array([1.5, 2.25]), np.array([2.5, 2.75]))
    assert lengths.tolist() == [[0.5, 0.0], [0.5, 0.75]]
