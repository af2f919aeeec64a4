"""Pictures are told apart without colour, and names beside lines do not lie on each other."""

import itertools

import pytest

from ostinato.lens.pictures import STYLES, draw_lines, figure, gradient_by_lag_picture, label_lines


def test_styles_differ_in_line_and_in_marker():
    assert len({str(style["linestyle"]) for style in STYLES}) == len(STYLES)
    assert len({style["marker"] for style in STYLES}) == len(STYLES)


@pytest.mark.parametrize("ends", [(0.0, 1.0, 2.0), (1.0, 1.0, 1.0), (0.99, 1.0, 1.0, 1.0), (0.0, 0.01, 5.0, 5.0)])
def test_names_keep_their_distance_and_the_order_of_the_lines(ends):
    _, (axes,) = figure()
    draw_lines(axes, {f"line {index}": ([0, 1], [0.5, end]) for index, end in enumerate(ends)})
    label_lines(axes)
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    in_order = [heights[f"line {index}"] for index in range(len(ends))]
    assert all(above - below >= 0.0649 for below, above in itertools.pairwise(in_order))
    assert max(in_order) <= 1.0


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
