"""Calls of sizes not seen before: what they share with the sizes before them, and what they cost in Python calls."""

import pytest
import torch
from call_cost import python_calls

import ostinato
from kernels.calls import same_bits
from ostinato.kernels.runtime import api, named_tensors
from ostinato.kernels.runtime.launch_plan import LaunchPlan
from ostinato.kernels.runtime.plan_template import PlanTemplate


def whole_call(layer, T, lengths, training, B=4):
    x = torch.randn(T, B, 5)

    def call():
        with torch.set_grad_enabled(training):
            output = layer(x, lengths=lengths)[0]
        if training:
            output.backward(torch.ones_like(output))

    return call


@pytest.mark.parametrize(
    ("training", "ragged", "most"),
    [(False, False, 80), (True, False, 200), (False, True, 145), (True, True, 310)],
)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_new_size_costs_few_python_calls(kind, training, ragged, most):
    """Before plans shared what does not depend on T and B there were 340 to 450 in inference, twice as many in
    training."""
    layer = getattr(ostinato, kind)(5, 6)
    for T in (11, 12, 60):  # in one chunk of hoisted products, and in several
        whole_call(layer, T, torch.tensor([T, 3, 2, 5]) if ragged else None, training)()
    call = whole_call(layer, 97, torch.tensor([97, 41, 7, 90]) if ragged else None, training)
    new = python_calls(call)
    for _ in range(2 * named_tensors._CALLS_BEFORE_GUARD):
        call()
    assert python_calls(call) < new <= most


@pytest.mark.parametrize(("training", "ragged", "most"), [(False, False, 22), (True, False, 85), (False, True, 50)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_call_that_comes_again_costs_few_python_calls(kind, training, ragged, most):
    """There were 40, 150 and 57 before layers had an inline cache; torch's own are about 10, 40 and 10 of them."""
    call = whole_call(getattr(ostinato, kind)(5, 6), 3, torch.tensor([3, 1, 2, 2]) if ragged else None, training)
    for _ in range(2 * named_tensors._CALLS_BEFORE_GUARD):
        call()
    assert python_calls(call) <= most


def test_all_sizes_of_a_layer_share_one_template_and_change_no_bit():
    api._clear_plans()
    layer, x = ostinato.GRU(5, 6), torch.randn(40, 4, 5)
    whole = layer(x)[0]
    for T in (1, 3, 5, 17, 39):
        for B in (1, 4):
            same_bits(layer(x[:T, :B])[0], whole[:T, :B], f"T={T} B={B}")
    assert api._template.cache_info().currsize == 1


def test_the_own_guard_of_a_plan_is_made_when_its_size_comes_back():
    api._clear_plans()
    layer = ostinato.GRU(5, 6, 2).requires_grad_(False)  # a single layer has an inline cache
    layer(torch.randn(2, 4, 5))
    x, plans, start = torch.randn(9, 4, 5), [], LaunchPlan.launch

    def watched(plan, entries, entry_point):
        plans.append(plan)
        start(plan, entries, entry_point)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LaunchPlan, "launch", watched)
        for _ in range(named_tensors._CALLS_BEFORE_GUARD - 1):
            layer(x)
        assert not plans[-1].guards._passed
        layer(x)
    assert len(plans[-1].guards._passed) == 1


def test_fields_of_a_workspace_do_not_overlap():
    """For plans with few and many rows, of one thread and of several."""
    api._clear_plans()
    layer, plans, start = ostinato.LSTM(5, 6), [], LaunchPlan.__init__

    def watched(plan, template: PlanTemplate, *arguments):
        start(plan, template, *arguments)
        plans.append(plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LaunchPlan, "__init__", watched)
        for T, B in ((1, 1), (3, 5), (70, 9), (9, 70)):
            whole_call(layer, T, None, True, B)()
    assert len(plans) == 8
    for plan in plans:
        fields = [index for index, _ in (*plan.template.row_fields, *plan.template.line_fields)]
        fixed, end = plan.template.fixed_part(0, 1, False)
        offsets = [plan.entries[index] for index in fields if index < plan.compiled.layout.unused]
        assert offsets == sorted(offsets) and len(fixed) == len(plan.entries)
        assert all(n % 64 == 0 and n <= plan.workspace_bytes for n in offsets)
        if plan.template.forwards and plan.partition.T > 4:
            assert min(offsets) >= end * plan.itemsize
