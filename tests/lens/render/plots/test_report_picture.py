"""The sheet of a report draws what the record holds, in its place, and says why where it holds nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import ostinato
from lens.example_reports import example_probe, example_report, powers
from ostinato import lens
from ostinato.errors import InputError
from ostinato.lens.pictures import field_picture, report_picture, svg
from ostinato.lens.render.plots.panels import FIELDS


@pytest.fixture(scope="module")
def layer():
    torch.manual_seed(0)
    model = ostinato.LSTM(3, 8)
    with lens.watch(model) as looking:
        model(torch.randn(40, 6, 3))[0].square().sum().backward()
    return looking.report().layers[0]


def field(layer, name):
    (axes,) = field_picture(layer, name).axes
    return axes


def lines(axes):
    return {line.get_label(): np.asarray(line.get_xydata()) for line in axes.get_lines()}


def test_gradient_curves_are_the_median_rows(layer):
    found = lines(field(layer, "gradient"))
    assert list(found) == ["h", "c"]
    for state, curve in zip(("h", "c"), layer.gradient.quantiles((0.5,))):
        np.testing.assert_allclose(found[state][:, 1], curve[0])
        assert found[state][:, 0].tolist() == list(range(40))


def test_reach_and_half_life_stand_where_they_were_measured(layer):
    axes = field(layer, "probe")
    found = lines(axes)
    reach, half = layer.probe.reach_steps(0.01), layer.probe.half_life_steps
    assert found["_reach"][0, 0] == reach.sort().values[len(reach) // 2]
    assert found["_half"][0].tolist() == [half.sort().values[len(half) // 2].item(), 0.5]
    assert set(found["_level"][:, 1]) == {0.01}
    middle = layer.probe.ratio_by_lag.median(1).values
    np.testing.assert_allclose(found["gradient"][:, 1], middle[middle >= 1e-8][: len(found["gradient"])])
    assert f"reach {found['_reach'][0, 0]:.0f} of 39 steps (1 %)" in axes.texts[-1].get_text()


def test_a_gradient_that_stays_has_its_level_in_sight():
    axes = field(example_report(probe=example_probe(powers(0.99))).layers[0], "probe")
    low, high = axes.get_ylim()
    assert low < 0.01 < 1 < high
    assert "reach 39 of 39 steps (1 %)    ○ never below half" in axes.texts[-1].get_text()
    assert "_half" not in lines(axes)


def test_the_additive_path_stands_beside_the_whole(layer):
    found = lines(field(layer, "retention"))
    assert list(found) == ["c: whole", "c: additive", "c: kept"]
    probe = layer.probe
    for name, norms in (
        ("c: whole", probe.norms[1]),
        ("c: additive", probe.additive_norms[1]),
    ):
        expected = (norms / norms[0]).quantile(0.5, dim=1, interpolation="nearest")
        np.testing.assert_allclose(found[name][:10, 1], expected[:10])
    kept = layer.carries[1].retention_by_lag_per_unit.quantile(0.5, dim=1, interpolation="nearest")
    np.testing.assert_allclose(found["c: kept"][:10, 1], kept[:10])


def test_what_carries_is_named_and_a_formula_that_is_too_long_is_not_written(layer):
    assert field(layer, "retention").texts[-1].get_text() == "carried over: c by f"
    long = replace(layer, carries=tuple(replace(c, formula="exp(a.f) + " * 20) for c in layer.carries))
    assert field(long, "retention").texts[-1].get_text() == "carried over: h, c"


def test_several_states_that_carry_have_no_third_line_each(layer):
    both = replace(layer, carries=tuple(replace(c, formula="f") for c in layer.carries))
    assert list(lines(field(both, "retention"))) == ["h: whole", "h: additive", "c: whole", "c: additive"]


def test_gates_are_bars_as_high_as_their_shares_and_bands_over_time(layer):
    axes = field(layer, "gates")
    for gate, bars in zip(reversed(layer.gates), axes.containers):
        heights = np.array([bar.get_height() for bar in bars])
        np.testing.assert_allclose(heights / heights.max(), gate.histogram_shares / gate.histogram_shares.max())
    low = float(layer.gates[0].low_share_per_unit.mean())
    assert sum("saturated" in text.get_text() for text in axes.texts) == 4
    assert f"{100 * low:.0f}" in axes.texts[-2].get_text()
    over_time = field(layer, "gates over time")
    medians = [line for line in over_time.get_lines() if len(line.get_xdata()) == 40]
    for row, (gate, line) in enumerate(zip(reversed(layer.gates), medians, strict=True)):
        low, high = gate.histogram_edges[[0, -1]].tolist()
        expected = row + 0.8 * (gate.quantiles_per_step[1] - low) / (high - low)
        np.testing.assert_allclose(line.get_ydata(), expected)


def test_weights_and_states_by_step(layer):
    found = lines(field(layer, "weights"))
    assert list(found) == ["weight_ih_l0", "weight_hh_l0"]
    drawn = found["weight_hh_l0"]
    expected = layer.weight_gradients[1].norms
    np.testing.assert_allclose(drawn[:, 1], expected[drawn[:, 0].astype(int)])
    assert expected[0] == 0 and drawn[0, 0] == 1  # the first step's state is zero, and nothing is learned from it
    low, high = field(layer, "weights").get_xlim()
    assert low < 0 and high > 39
    np.testing.assert_allclose(lines(field(layer, "health"))["c"][:, 1], layer.health[1].rms_per_step)


@pytest.mark.parametrize("name", FIELDS)
def test_an_empty_field_says_why(layer, name):
    empty = replace(
        layer, gradient=None, probe=None, gates=(), health=(), weight_gradients=(), gradient_absent="it was off",
        carries=tuple(replace(c, formula="0") for c in layer.carries),
    )  # fmt: skip
    texts = [text.get_text() for text in field(empty, name).texts if text.get_text()]
    assert any("it was off" in t or "was seen" in t or "carries nothing by itself" in t for t in texts)


def test_nothing_arrives_and_nothing_but_zeros():
    nothing = example_report(probe=example_probe(torch.zeros(5, 2))).layers[0]
    assert "no gradient arrives at the last step of any row" in field(nothing, "probe").texts[0].get_text()
    zeros = replace(nothing.gradient, norms=torch.zeros(1, 5, 2))
    assert field(replace(nothing, gradient=zeros), "gradient").texts[0].get_text() == "nothing but zeros"


def test_a_sheet_has_six_fields_for_each_layer(layer):
    report = replace(example_report(), layers=(layer, replace(layer, depth=1)))
    made = report.picture()
    assert len(made.axes) == 12 and len(report_picture(report, layers=[1], title="one").axes) == 6
    names = [part.get_suptitle() for part in made.subfigs]
    assert names == [f"LSTM layer {k}: lstm, 8 units, 6 rows of 40 steps" for k in (0, 1)]
    with pytest.raises(InputError, match="layers must be numbers of the report's layers, from 0 to 1, got"):
        report_picture(report, layers=[2])
    with pytest.raises(InputError, match="field_picture: name must be one of gradient, probe, .* got 'gate'"):
        field_picture(layer, "gate")
    assert math.isclose(made.get_figheight(), 2 * 9.1) and made.get_suptitle() == ""


def test_a_sheet_says_which_layers_it_leaves_out(layer):
    report = replace(example_report(), layers=tuple(replace(layer, depth=k, carries=()) for k in range(9)))
    assert report_picture(report, title="deep").get_suptitle() == "deep\nthe first 8 of 9 layers"


def test_a_cell_of_many_states_and_long_formulas_fits_its_field():
    torch.manual_seed(0)
    model = ostinato.Recurrent("slstm", 3, 4)
    with lens.watch(model) as looking:
        model(torch.randn(8, 2, 3))[0].square().sum().backward()
    assert svg(field_picture(looking.report().layers[0], "retention")).startswith("<?xml")
