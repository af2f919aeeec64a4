"""What is drawn in shades is what was measured, in its place, at any length."""

import numpy as np
import pytest
import torch

from ostinato.lens import ACTIVATIONS, sigmoid_again
from ostinato.lens.pictures import (
    activations_picture,
    gates_picture,
    gradient_matrix_picture,
    png,
    sigmoid_again_picture,
)


def decay(steps, a=0.7):
    lag = np.arange(steps)[:, None] - np.arange(steps)
    return np.where(lag >= 0, 3.0 * a ** np.maximum(lag, 0), 0.0)


@pytest.mark.parametrize("steps", [1, 5, 60])
def test_the_matrix_is_drawn_relative_to_its_diagonal(steps):
    made = gradient_matrix_picture(decay(steps), title="decay")
    axes, scale = made.axes
    (image,) = axes.get_images()
    shown = np.ma.filled(image.get_array().astype(float), np.nan)
    expected = np.where(decay(steps) > 0, decay(steps) / 3, np.nan)
    np.testing.assert_allclose(shown, expected)
    assert image.get_extent() == [0.5, steps + 0.5, 0.5, steps + 0.5] and image.origin == "lower"
    assert "t" in axes.get_ylabel() and "k" in axes.get_xlabel()
    assert png(made).startswith(b"\x89PNG")
    if steps == 60:
        assert {t.get_text() for t in axes.texts} == {"0.1", "0.01"}
        for level in (0.1, 0.01):
            lines = [np.asarray(line.get_xydata()) for line in axes.get_lines() if line.get_label() == f"_{level:g}"]
            lags = np.concatenate([t - k for k, t in (line.T for line in lines)])
            assert len(lines) == 2 and abs(np.median(lags) - np.log(level) / np.log(0.7)) < 0.6


def test_values_that_meet_a_level_here_and_there_make_no_line():
    values = decay(60)
    values[50, 20:22] = values[50, 50] * 0.2
    made = gradient_matrix_picture(values, title="specks")
    lines = [line for line in made.axes[0].get_lines() if line.get_label() == "_0.1"]
    assert len(lines) == 2 and np.abs(np.subtract(*np.asarray(lines[0].get_xydata()).T)).max() < 8


def test_the_matrix_of_several_rows_is_their_median_and_may_be_absolute():
    rows = torch.stack([torch.tensor(decay(4)) * w for w in (1.0, 2.0, 9.0)], -1)
    rows[:, 3, 1] = rows[3, :, 1] = torch.nan
    made = gradient_matrix_picture(rows, title="", relative=False, unit="nats")
    shown = np.ma.filled(made.axes[0].get_images()[0].get_array(), np.nan)
    assert shown[1, 1] == pytest.approx(6.0) and shown[3, 3] == pytest.approx(15.0) and np.isnan(shown[0, 1])
    assert "nats per unit" in made.axes[1].get_ylabel()


def test_gates_stand_in_the_order_of_their_mean_with_tokens_below():
    values = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.2, 0.4]])
    made = gates_picture({"f": values, "g": values * 2 - 1}, ["a b", "$"], title="gates")
    f, g = made.axes[:2]
    np.testing.assert_allclose(f.get_images()[0].get_array(), [[0.1, 0.2], [0.5, 0.4], [0.9, 0.8]], rtol=1e-6)
    assert f.get_images()[0].get_clim() == (0, 1) and g.get_images()[0].get_clim() == (-1, 1)
    assert [axes.get_ylabel() for axes in (f, g)] == ["f", "g"]
    assert [t.get_text() for t in g.get_xticklabels()] == ["a␣b", r"\$"]
    assert "read at each step" in g.get_xlabel()


@pytest.mark.parametrize(("steps", "units"), [(1, 1), (5, 3), (2000, 64)])
def test_gates_at_any_length(steps, units):
    made = gates_picture({"z": np.random.default_rng(0).random((steps, units))}, ["x"] * steps, title="")
    marks = made.axes[0].get_xticks()
    assert 1 <= len(marks) <= min(steps, 130)
    assert ("one in" in made.axes[0].get_xlabel()) == (steps == 2000)
    assert png(made).startswith(b"\x89PNG")


def test_the_sheet_of_activations_draws_the_functions():
    made = activations_picture()
    assert len(made.axes) == len(ACTIVATIONS)
    for axes, activation in zip(made.axes, ACTIVATIONS):
        value, slope = axes.get_lines()
        a = torch.tensor(np.asarray(value.get_xdata()))
        np.testing.assert_allclose(value.get_ydata(), activation.value(a), rtol=1e-12)
        np.testing.assert_allclose(slope.get_ydata(), activation.slope(a), rtol=1e-12)
        assert value.get_linestyle() == "-" != slope.get_linestyle()
        assert activation.name in axes.get_title() and activation.derivative in axes.get_xlabel()
        flat = [edge for edge in (activation.flat_below, activation.flat_above) if edge is not None]
        hatched = [patch for patch in axes.patches if patch.get_hatch()]
        assert len(hatched) == len(flat)


def test_sigmoid_again_is_drawn_as_computed_and_below_its_bound():
    left, right = sigmoid_again_picture(times=(1, 3)).axes
    once, thrice = left.get_lines()
    a = torch.tensor(np.asarray(thrice.get_xdata()))
    np.testing.assert_allclose(thrice.get_ydata(), sigmoid_again(a, 3)[0], rtol=1e-12)
    slopes, bound = (np.asarray(line.get_ydata()) for line in right.get_lines())
    np.testing.assert_allclose(bound, 0.25 ** np.arange(1, 13))
    assert slopes[0] == pytest.approx(0.25) and (slopes[1:] < bound[1:]).all()
    assert slopes[11] / slopes[10] == pytest.approx(0.2247, rel=1e-3)
