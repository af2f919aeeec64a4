"""Pictures are told apart without colour, names beside lines do not lie on each other, what is drawn was measured."""

import itertools

import matplotlib
import numpy as np
import pytest
import torch

from ostinato.lens import GradientByLag
from ostinato.lens.pictures import STYLES, draw_lines, figure, gradient_by_lag_picture, label_lines, png, svg


def test_styles_differ_in_colour_in_line_and_in_marker():
    for key in ("color", "linestyle", "marker"):
        assert len({str(style[key]) for style in STYLES}) == len(STYLES)


def lightness(colour):
    """CIE L*, which grey print shows, of an sRGB colour."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in matplotlib.colors.to_rgb(colour)]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_lines_stand_out_from_paper_and_shades_rise_in_lightness():
    assert all(lightness(style["color"]) < 72 for style in STYLES)
    shades = [lightness(matplotlib.colormaps["cividis"](x)) for x in np.linspace(0, 1, 64)]
    assert all(low < high for low, high in itertools.pairwise(shades))


@pytest.mark.parametrize("ends", [(0.0, 1.0, 2.0), (1.0, 1.0, 1.0), (0.99, 1.0, 1.0, 1.0), (0.0, 0.01, 5.0, 5.0)])
def test_names_keep_their_distance_and_the_order_of_the_lines(ends):
    _, (axes,) = figure()
    draw_lines(axes, {f"line {index}": ([0, 1], [0.5, end]) for index, end in enumerate(ends)})
    label_lines(axes)
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    in_order = [heights[f"line {index}"] for index in range(len(ends))]
    assert all(above - below >= 0.0649 for below, above in itertools.pairwise(in_order))
    assert max(in_order) <= 1.0


def test_many_names_still_fit():
    _, (axes,) = figure()
    draw_lines(axes, {f"line {index}": ([0, 1], [0.5, 1.0]) for index in range(30)})
    label_lines(axes)
    heights = sorted(text.get_position()[1] for text in axes.texts)
    assert heights[0] >= -1e-9 and heights[-1] <= 1 + 1e-9


def test_the_gradient_picture_leaves_out_zeros_and_is_logarithmic():
    made = gradient_by_lag_picture(
        {"before": {"h": [1.0, 0.1, 0.01], "c": [0.0, 0.2, 0.02]}, "after": {"h": [1.0, 0.5, 0.2]}}, title="reach"
    )
    before, after = made.axes
    assert [axes.get_yscale() for axes in (before, after)] == ["log", "log"]
    assert [list(line.get_xdata()) for line in before.get_lines()] == [[0, 1, 2], [1, 2]]
    assert [text.get_text() for text in before.texts] == ["h", "c"]
    assert [axes.get_title() for axes in (before, after)] == ["before", "after"]
    assert "lag" in after.get_xlabel()


def test_a_measurement_is_drawn_as_its_median_and_the_middle_half_of_its_rows():
    norms = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [0.1, 0.2, 0.3, 0.4, 0.5]])
    made = gradient_by_lag_picture({"": {"gru": GradientByLag((norms,))}}, title="")
    (line,) = made.axes[0].get_lines()
    np.testing.assert_allclose(line.get_ydata(), [3.0, 0.3])
    corners = made.axes[0].collections[0].get_paths()[0].vertices
    assert {2.0, 4.0} <= set(np.round(corners[corners[:, 0] == 0, 1], 6))


def test_relative_curves_start_at_one_and_the_threshold_is_named():
    lines = {"h": [4.0, 2.0, 0.02], "c": [0.0, 0.5, 0.25]}
    made = gradient_by_lag_picture({"": lines}, title="", relative=True, threshold=0.01)
    h, c, level = made.axes[0].get_lines()
    np.testing.assert_allclose(h.get_ydata(), [1.0, 0.5, 0.005])
    np.testing.assert_allclose(c.get_ydata(), [1.0, 0.5])
    assert list(level.get_ydata()) == [0.01, 0.01]
    assert {text.get_text() for text in made.axes[0].texts} == {"h", "c", r"$\epsilon$ = 0.01"}


@pytest.mark.parametrize("rate", [0.999, 0.97, 0.9, 0.5])
def test_the_name_of_a_level_lies_on_no_line(rate):
    lines = {"a": [rate**k for k in range(120)], "b": [0.01 + 0.03 * 0.9**k for k in range(120)]}
    made = gradient_by_lag_picture({"": lines}, title="", relative=True, threshold=0.01)
    made.canvas.draw()
    axes = made.axes[0]
    (name,) = [text for text in axes.texts if "epsilon" in text.get_text()]
    box = name.get_window_extent()
    for line in axes.get_lines():
        if not line.get_label().startswith("_"):
            assert not axes.transData.transform_path(line.get_path()).intersects_bbox(box, filled=False)
    assert box.x0 >= axes.get_window_extent().x0 and box.x1 <= axes.get_window_extent().x1


def test_a_level_curve_is_drawn_level_and_one_step_is_enough():
    made = gradient_by_lag_picture(
        {"a": {"h": [1.0, 1.001]}, "b": {"h": [3.0]}, "c": {"h": [0.0]}}, title="", columns=2
    )
    low, high = made.axes[0].get_ylim()
    assert high / low >= 9.99
    assert len(made.axes) == 3 and [len(axes.get_lines()) for axes in made.axes] == [1, 1, 0]
    assert png(made).startswith(b"\x89PNG")


def test_a_picture_is_the_same_whatever_the_user_has_set():
    def drawn():
        made = gradient_by_lag_picture({"a": {"h": [1.0, 0.5], "c": [1.0, 0.1]}}, title="the same")
        return png(made), svg(made)

    plain = drawn()
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "lines.color": "r", "figure.facecolor": "k"}):
        assert drawn() == plain
        assert matplotlib.rcParams["font.size"] == 20
