"""What the record works out of its numbers, against numbers worked out by hand; and how it is written down."""

import json
import math

import pytest
import torch

from lens.example_reports import example_probe, example_report, powers
from ostinato.lens import Carry, Clipping, Probe, StateHealth, WeightReport


@pytest.mark.parametrize("a", [0.3, 0.5, 0.8, 0.97])
def test_a_probe_that_falls_by_a_constant_factor(a):
    probe = example_probe(powers(a))
    assert probe.reach_steps(0.01).item() == min(39, math.floor(math.log(0.01) / math.log(a)))
    expected = math.log(0.5) / math.log(a)
    assert probe.half_life_steps.item() == pytest.approx(expected) if a**39 <= 0.5 else math.inf
    assert probe.mean_step_gain.item() == pytest.approx(a)
    assert probe.omega.item() == pytest.approx(39 * (a - 1) ** 2)


def test_a_probe_that_rises_again_reaches_to_the_largest_lag_above_the_bound():
    probe = example_probe([[1.0], [0.005], [0.02], [0.001]])
    assert probe.reach_steps(0.01).item() == 2
    assert probe.reach_steps(0.5).item() == 0


def test_runs_of_different_lengths_and_a_run_to_which_nothing_arrives():
    nan = math.nan
    probe = example_probe([[1.0, 1.0, 0.0], [0.9, 0.25, 0.0], [0.8, nan, nan]])
    assert probe.reach_steps(0.1)[:2].tolist() == [2, 1]
    assert probe.half_life_steps[:2].tolist() == [math.inf, 0.5]
    assert probe.reach_steps()[2].isnan() and probe.half_life_steps[2].isnan() and probe.mean_step_gain[2].isnan()


def test_a_gradient_that_stops_dead_has_a_half_life_of_one_step():
    assert example_probe([[1.0], [0.0], [0.0]]).half_life_steps.item() == 1


def test_all_states_together_are_their_root_of_squares():
    norms = torch.tensor([[[3.0], [0.0]], [[4.0], [5.0]]], dtype=torch.float64)
    probe = Probe(("h", "c"), norms, torch.zeros_like(norms))
    assert probe.whole.flatten().tolist() == [5, 5]


def test_what_units_keep():
    mean = torch.tensor([0.0, 0.5, 1.0, -0.5], dtype=torch.float64)
    found = Carry("c", "f", mean, mean[None].abs() ** torch.arange(5)[:, None])
    assert found.time_constant_steps_per_unit.tolist() == pytest.approx([0, -1 / math.log(0.5), math.inf, 0])
    assert found.half_life_steps_per_unit.tolist() == [1, 1, math.inf, 1]


def test_dead_units_are_those_that_do_not_move():
    deviation = torch.tensor([0.0, 1e-9, 0.2, 0.1])
    assert StateHealth("h", deviation, deviation, 0.0, None).dead_units.tolist() == [True, True, False, False]


def test_clip_rate_and_relative_update():
    assert Clipping((2.0, 0.5), (1.0, 0.5)).rate == 0.5
    assert math.isnan(Clipping((), ()).rate)
    assert WeightReport("w", "f", 2.0, None, 0.002).relative_update == 0.001
    assert WeightReport("w", "f", 0.0, None, 0.1).relative_update == math.inf
    assert WeightReport("w", "f", 0.0, None, 0.0).relative_update == 0
    assert WeightReport("w", "f", 2.0, None, None).relative_update is None


def test_the_record_as_json():
    report = example_report(probe=example_probe(torch.cat([powers(1.0, 3), torch.tensor([[0.0], [0.0], [0.0]])], 1)))
    found = json.loads(report.to_json())
    assert found == report.to_dict()
    layer = found["layers"][0]
    assert layer["label"] == "rnn layer 0" and layer["carries"][0]["formula"] == "f"
    assert layer["probe"]["half_life_steps"] == ["inf"] * 3
    assert layer["probe"]["reach_steps_1_percent"] == [2, 2, 2]
    assert len(layer["gradient"]["norms_loss_per_state_unit"][0]) == len(found["quantile_levels"]) == 3
    assert found["weights"][0]["relative_update"] == 0.001 and found["clipping"]["rate"] == 0.5


def test_the_record_as_a_table():
    heading, rule, line = example_report().table().splitlines()
    assert len(rule) >= len(heading.split("gradient")[0]) and "reach 1 %" in heading
    assert line.startswith("rnn layer 0  janet")


def test_a_label_names_direction_and_call():
    assert example_report(reverse=True, call=2, module="").layers[0].label == "Recurrent layer 0, reversed, call 2"
