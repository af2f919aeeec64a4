"""Checkpointing through time: the bits of a call without it.

The truth for bits is the same call without checkpointing, which other tests hold to the reference. Blocks of the
weights' gradients are made short, so that small calls have many of them.
"""

import copy
import pickle
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from layers.short_blocks import forget, short_blocks
from layers.small import CELLS, agree, draw, flat, loss, run
from ostinato import kernels
from ostinato._torch_private import onednn_has_bfloat16
from ostinato.cells import catalogue
from ostinato.errors import InputError
from ostinato.execution import backends, reference_backend
from ostinato.execution.checkpoint import Checkpoint
from ostinato.kernels.runtime import cost_model, row_partition
from ostinato.sequence import SequenceCall

SIZES = torch.tensor([3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1])
SQRT = Checkpoint(0, 0, 1)
KEPT = {
    "dense": {0: [4, 4, 3], 1: [11], 2: [6, 5], 3: [4, 4, 3], 100: [2, 2, 2, 2, 2, 1]},
    "packed": {0: [7, 4], 1: [11], 2: [9, 2], 3: [7, 4], 100: [4, 3, 2, 2]},
    "reverse": {0: [4, 7], 1: [11], 2: [7, 4], 3: [4, 7], 100: [2, 2, 3, 4]},
}
"""Steps of each segment, the last first: of 11 steps, or of SIZES in one direction and the other, where a segment has
the lines of 4, 11 (and so all), 6, 4 and 2 full steps."""


@pytest.fixture(autouse=True)
def blocks():
    with short_blocks():
        yield


@pytest.fixture
def calls(monkeypatch):
    """(steps or rows of x, whether it keeps) of each forward pass, in kernels or in plain torch."""
    made = []

    def watched(forward, call, save, histories):
        made.append((call.x.shape[0] if call.batch_sizes is None else len(call.batch_sizes), save))
        return forward(call, save, histories)

    for module in (kernels, reference_backend):
        monkeypatch.setattr(module, "forward", partial(watched, module.forward))
    return made


def same_bits(found, expected):
    assert len(found) == len(expected)
    for k, (a, b) in enumerate(zip(found, expected)):
        assert torch.equal(a, b), f"tensor {k}: up to {(a - b).abs().max():.1e} apart"


def everything(name, sizes, reverse, checkpoint, histories=True, dtype=torch.float32):
    """All results of a call, then all gradients."""
    cell, x, states, weights = draw(name, steps=11, dtype=dtype, gradients=True)
    if sizes is not None:
        x = torch.cat([x_t[:n] for x_t, n in zip(x.detach(), sizes.tolist())]).requires_grad_()
    results = flat(run(cell, x, states, weights, sizes, reverse, histories, checkpoint=checkpoint))
    return [*results, *torch.autograd.grad(loss(results), [x, *states, *weights])]


@pytest.mark.parametrize("sizes", [None, SIZES], ids=["dense", "packed"])
@pytest.mark.parametrize("name", catalogue())
def test_every_cell_has_the_bits_of_a_call_without(name, sizes, calls):
    for reverse in (False, True):
        expected = everything(name, sizes, reverse, None)
        for count in (0, 1, 2, 3, 100):
            calls.clear()
            same_bits(everything(name, sizes, reverse, Checkpoint(count, 0, 1)), expected)
            kept = [steps for steps, keep in calls if keep]
            assert [steps for steps, keep in calls if not keep] == kept[::-1] and sum(kept) == 11
            assert kept == KEPT["dense" if sizes is None else "reverse" if reverse else "packed"][count]


@settings(max_examples=25, deadline=None)
@given(
    name=some.sampled_from(CELLS),
    lengths=some.lists(some.integers(0, 14), min_size=1, max_size=7),
    count=some.integers(1, 9),
    shape=some.sampled_from([{}, {"num_layers": 2}, {"bidirectional": True}]),
    block=some.integers(1, 40),
    threads=some.integers(1, 3),
    seed=some.integers(0, 99),
)
def test_layers_have_the_bits_of_layers_without(name, lengths, count, shape, block, threads, seed):
    torch.manual_seed(seed)
    proj = {"proj_size": 3} if name == "lstm_projected" else {}
    layer = ostinato.Recurrent(name, 4, 5, **shape, **proj)
    x = torch.randn(max(lengths), len(lengths), 4, requires_grad=True)
    start = [torch.rand(s, requires_grad=True) for s in state_shapes(layer, len(lengths))]
    inputs = [x, *start, *layer.parameters()]
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_partition, "BLOCK_ROWS", block)
        patch.setattr(cost_model, "COSTS", replace(cost_model.COSTS, min_macs_per_thread=0))
        found = []
        try:
            for layer.checkpoint, workers in ((None, 1), (count, threads)):
                forget()
                torch.set_num_threads(workers)
                output, state = layer(x, start[0] if len(start) == 1 else tuple(start), lengths=lengths)
                results = [output, *(state if isinstance(state, tuple) else (state,))]
                found.append([*results, *torch.autograd.grad(loss(results), inputs)])
        finally:
            torch.set_num_threads(before)
    same_bits(found[1], found[0])


def state_shapes(layer, rows):
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    widths = [
        layer.cell.width(w, layer.input_size, layer.hidden_size, layer.proj_size) for w in layer.cell.state_widths
    ]
    return [(count, rows, width) for width in widths]


def test_packed_sequences_and_dropout_between_layers():
    layer = ostinato.GRU(4, 5, num_layers=3, dropout=0.5)
    x = torch.randn(11, 3, 4, requires_grad=True)
    for packed in (False, True):
        found = []
        for layer.checkpoint in (None, "sqrt", 5):
            torch.manual_seed(0)
            output, state = layer(pack_padded_sequence(x, [11, 4, 9], enforce_sorted=False) if packed else x)
            output = output if isinstance(output, torch.Tensor) else output.data
            found.append(torch.autograd.grad(loss([output, state]), [x, *layer.parameters()]))
        same_bits(found[1], found[0])
        same_bits(found[2], found[0])


def test_gradients_are_those_of_the_reference():
    found = everything("lstm", None, False, SQRT, dtype=torch.float64)
    cell, x, states, weights = draw("lstm", steps=11, dtype=torch.float64, gradients=True)
    call = reference_backend.run(SequenceCall(cell, x, states, weights), True)
    results = [call.output, *call.final_states, *call.histories]
    agree(found[:4], results)
    agree(found[4:], torch.autograd.grad(loss(results), [x, *states, *weights]), gradients=True)


def test_bfloat16_and_autocast():
    layer, x = ostinato.LSTM(4, 5), torch.randn(11, 3, 4)
    for kind in (torch.bfloat16, torch.float32):
        found, kinds = [], set()
        for layer.checkpoint in (None, "sqrt"):
            with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.float32):
                output = layer.to(kind)(x.to(kind))[0]
            kinds.add(output.dtype)
            assert kinds == {output.dtype}
            assert output.dtype == torch.bfloat16 or (kind == torch.float32 and not onednn_has_bfloat16())
            found.append(torch.autograd.grad(output.float().square().sum(), list(layer.parameters())))
        same_bits(found[1], found[0])


@pytest.mark.parametrize("used", range(4), ids=["output", "last h", "last c", "history of c"])
def test_any_part_of_the_result_may_be_unused(used):
    cell, x, states, weights = draw("lstm", steps=11, gradients=True)
    for inputs in ([x, *states, *weights], [x], [states[1]], weights[:1]):
        found = []
        for checkpoint in (None, SQRT):
            results = flat(run(cell, x, states, weights, None, False, True, checkpoint=checkpoint))
            found.append(torch.autograd.grad(loss([results[used]]), inputs))
        same_bits(found[1], found[0])


@pytest.mark.parametrize("shape", [{"steps": 0}, {"rows": 0}])
def test_no_steps_and_no_rows(shape):
    cell, x, states, weights = draw("lstm", gradients=True, **shape)
    output, finals, _ = run(cell, x, states, weights, checkpoint=SQRT)
    assert output.shape == (*x.shape[:2], 6) and all(torch.equal(a, b) for a, b in zip(finals, states))
    (output.sum() + loss(finals)).backward()
    assert not any(w.grad.any() for w in weights)
    agree([s.grad for s in states], torch.autograd.grad(loss(states), states), gradients=True)


def test_double_backward():
    cell, x, states, weights = draw("lstm", dtype=torch.float64, gradients=True)
    inputs = [x, *states, *weights]
    found = []
    for checkpoint in (None, SQRT):
        results = flat(run(cell, x, states, weights, checkpoint=checkpoint))
        first = torch.autograd.grad(loss(results), inputs, create_graph=True)
        found.append(torch.autograd.grad(loss(first), inputs))
    same_bits(found[1], found[0])


def test_two_backward_passes_over_one_graph_give_the_same_bits():
    cell, x, states, weights = draw("lstm", steps=11, gradients=True)
    inputs = [x, *states, *weights]
    total = loss(flat(run(cell, x, states, weights, checkpoint=SQRT)))
    same_bits(torch.autograd.grad(total, inputs, retain_graph=True), torch.autograd.grad(total, inputs))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(total, inputs)


def test_a_change_in_place_before_backward_is_noticed():
    cell, x, states, weights = draw("gru", gradients=False)
    weights[0].requires_grad_()
    for changed in (x, states[0], weights[1]):
        total = run(cell, x, states, weights, checkpoint=SQRT)[0].sum()
        changed.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            total.backward()


def test_without_gradients_the_sequence_is_one_call(calls):
    layer, x = ostinato.LSTM(4, 5, checkpoint="sqrt"), torch.randn(40, 3, 4)
    with torch.no_grad():
        layer(x, lengths=[40, 3, 2])
    layer.requires_grad_(False)(x)
    assert calls == [(40, False)] * 2


def test_a_budget_that_holds_everything_costs_nothing(calls):
    layer, x = ostinato.LSTM(4, 6, checkpoint="2GB"), torch.randn(40, 3, 4)
    layer(x)[0].sum().backward()
    assert calls == [(40, True)]
    layer.checkpoint = "10kB"
    layer(x)[0].sum().backward()
    assert len(calls) > 3


def test_the_option_travels_with_the_layer():
    layer = ostinato.Recurrent("gru_reset_before", 4, 5, checkpoint="sqrt")
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert copied.checkpoint == "sqrt" and "checkpoint='sqrt'" in repr(copied)
    assert "checkpoint" not in repr(ostinato.GRU(4, 5)) and "checkpoint=3" in repr(ostinato.GRU(4, 5, checkpoint=3))
    model = torch.nn.Sequential(torch.nn.LSTM(4, 5))
    ostinato.convert(model)
    assert model[0].checkpoint is None
    model[0].checkpoint = 2
    model(torch.randn(7, 3, 4))[0].sum().backward()


# where there are no kernels


@pytest.fixture
def no_kernels(monkeypatch):
    monkeypatch.setattr(backends, "compiled", lambda x: False)
    monkeypatch.setattr(backends, "without_kernels", lambda x: None)
    monkeypatch.setattr("ostinato.layers.torch_layers._machine_has_kernels", lambda: False)


def test_the_reference_runs_in_segments_too(no_kernels, calls):
    layer, x = ostinato.LSTM(4, 5, bidirectional=True).double(), torch.randn(11, 3, 4, dtype=torch.float64)
    x.requires_grad_()
    found = []
    for layer.checkpoint in (None, "sqrt"):
        output, state = layer(x, lengths=[11, 4, 9])
        results = [output, *state]
        found.append([*results, *torch.autograd.grad(loss(results), [x, *layer.parameters()])])
    assert len(calls) > 4
    agree(found[1][:3], found[0][:3])
    agree(found[1][3:], found[0][3:], gradients=True)


def test_a_budget_wants_kernels(no_kernels):
    layer = ostinato.LSTM(4, 5, checkpoint="2GB")
    message = 'checkpoint: the option must be "sqrt" or a number of segments where no kernels run.*got 2000000000 bytes'
    with pytest.raises(InputError, match=message):
        layer(torch.randn(11, 3, 4))


def test_transforms_of_torch_see_the_reference():
    layer, x = ostinato.GRU(4, 5, checkpoint="sqrt").double(), torch.randn(11, 3, 4, dtype=torch.float64)

    def total(x):
        return layer(x)[0].square().sum()

    expected = torch.autograd.grad(total(x.requires_grad_()), x)
    agree([torch.func.grad(total)(x.detach())], expected, gradients=True)
