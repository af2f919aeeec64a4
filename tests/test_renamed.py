"""Old names keep working, and say the new ones."""

import json
from dataclasses import fields

import pytest
import torch

import ostinato
from lens.example_reports import example_report
from ostinato import lens
from ostinato.apps import problems as tasks
from ostinato.cells import gate_layouts


@pytest.mark.parametrize(
    ("old", "new"), [("named", "named_values"), ("runs", "replay"), ("Nodes", "NamedValues"), ("Run", "LayerReplay")]
)
def test_old_names_of_the_lens(old, new):
    with pytest.warns(DeprecationWarning, match=rf"ostinato\.lens\.{old} was renamed to ostinato\.lens\.{new}"):
        assert getattr(lens, old) is getattr(lens, new)


def test_a_name_that_never_was_is_refused():
    with pytest.raises(AttributeError, match="module 'ostinato.lens' has no attribute 'runes'"):
        lens.runes  # noqa: B018


def test_old_attributes_of_a_report():
    report = example_report()
    layer, (weight,) = report.layers[0], report.weights
    pairs = [
        (layer.gradient, "norms_loss_per_state_unit", "norms"),
        (layer.probe, "norms_by_lag_loss_per_state_unit", "norms"),
        (layer.probe, "additive_norms_by_lag_loss_per_state_unit", "additive_norms"),
        (layer.probe, "norm_by_lag_loss_per_state_unit", "whole"),
        (layer.weight_gradients[0], "norms_per_step_loss_per_weight_unit", "norms"),
        (weight, "norm_weight_units", "norm"),
        (weight, "gradient_norm_loss_per_weight_unit", "gradient_norm"),
        (weight, "update_norm_weight_units", "update_norm"),
        (report.clipping, "norms_before_loss_per_weight_unit", "norms_before"),
        (report.clipping, "norms_after_loss_per_weight_unit", "norms_after"),
    ]
    for record, old, new in pairs:
        name = type(record).__name__
        with pytest.warns(DeprecationWarning, match=rf"{name}\.{old} was renamed to {name}\.{new};"):
            value = getattr(record, old)
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(getattr(record, new)))


def test_old_attributes_of_a_replay_and_a_matrix():
    layer = ostinato.RNN(3, 4, learn_initial_state=True)
    x, resets = torch.randn(5, 2, 3), torch.zeros(5, 2, dtype=torch.bool)
    resets[2, 1] = True
    (found,) = lens.replay(layer, x, resets=resets)
    names = {"start": "initial_states", "own": "reset_states", "previous": "previous_states"}
    names["begins"] = "segment_start_masks"
    for old, new in names.items():
        with pytest.warns(DeprecationWarning, match=rf"LayerReplay\.{old} was renamed to LayerReplay\.{new};"):
            values = getattr(found, old)
        assert all(torch.equal(a, b) for a, b in zip(values, getattr(found, new), strict=True))
    matrix = lens.gradient_matrix(layer, x, lambda h: h.square().sum(-1))
    with pytest.warns(DeprecationWarning, match=r"GradientMatrix\.norms_loss_per_state_unit was renamed to .*\.norms;"):
        assert matrix.norms_loss_per_state_unit is matrix.norms


def test_old_names_of_exceptions():
    pairs = {"NoKernels": "NoKernelsError", "MissingPackage": "MissingPackageError", "NotFinite": "NotFiniteError"}
    for old, new in pairs.items():
        with pytest.warns(
            DeprecationWarning, match=rf"ostinato\.errors\.{old} was renamed to ostinato\.errors\.{new};"
        ):
            assert getattr(ostinato.errors, old) is getattr(ostinato.errors, new)


def test_the_old_name_of_the_gate_layouts():
    with pytest.warns(DeprecationWarning, match=r"ostinato\.cells\.vocabulary was renamed to .*\.gate_layouts;"):
        assert ostinato.cells.vocabulary is gate_layouts


def test_the_old_name_of_the_chunks_of_a_stream():
    tbptt = ostinato.TruncatedBPTT(ostinato.RNN(2, 3), k1=2, k2=2)
    next(tbptt.windows([torch.zeros(3, 1, 2)]))
    with pytest.warns(DeprecationWarning, match=r"TruncatedBPTT\.chunks was renamed to .*\.chunks_consumed;"):
        assert tbptt.chunks == tbptt.chunks_consumed == 1


def unit_of(record, name):
    return next(field.metadata.get("unit") for field in fields(record) if field.name == name)


def test_keys_in_json_and_units_name_what_attributes_leave_out():
    report = example_report()
    written = json.loads(report.to_json())
    layer = written["layers"][0]
    assert list(layer["probe"])[:3] == [
        "states", "norms_by_lag_loss_per_state_unit", "additive_norms_by_lag_loss_per_state_unit",
    ]  # fmt: skip
    assert "norms_per_step_loss_per_weight_unit" in layer["weight_gradients"][0]
    assert list(written["weights"][0]) == [
        "parameter", "gate", "norm_weight_units", "gradient_norm_loss_per_weight_unit", "update_norm_weight_units",
        "relative_update",
    ]  # fmt: skip
    assert list(written["clipping"])[:2] == ["norms_before_loss_per_weight_unit", "norms_after_loss_per_weight_unit"]
    assert unit_of(lens.Probe, "norms") == unit_of(lens.GradientCurve, "norms") == "loss per unit of the state"
    assert unit_of(lens.WeightReport, "update_norm") == "units of the weight"
    assert unit_of(lens.Probe, "states") is None


def test_the_old_names_of_the_masks_of_a_lag_task():
    examples = tasks.TASKS["adding"].draw(3, 2, torch.Generator())
    for old, new in {"counted": "loss_mask", "judged": "eval_mask"}.items():
        with pytest.warns(DeprecationWarning, match=rf"Examples\.{old} was renamed to Examples\.{new};"):
            assert getattr(examples, old) is getattr(examples, new)
