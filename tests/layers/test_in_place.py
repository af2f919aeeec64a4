"""Ragged rows read where they lie, against the same rows packed first: one and the same result, to the bit."""

from itertools import product

import numpy as np
import pytest
import torch

import ostinato
from kernels.calls import same_bits
from layers.pairs import parts
from ostinato.errors import ShapeError
from ostinato.kernels import sort_by_length
from ostinato.kernels.runtime import api
from ostinato.layers import base as layers
from ostinato.ragged.segments import cut
from ostinato.ragged_layout import RaggedLayout
from ostinato.sequence import SequenceCall

FEATURES, HIDDEN = 5, 19
OPTIONS = [
    {"cell": "lstm"},
    {"cell": "gru", "batch_first": True},
    {"cell": "elman", "learn_initial_state": True},
    {"cell": "lstm_projected", "proj_size": 7, "bidirectional": True},
    {"cell": "slstm", "num_layers": 2},
    {"cell": "gru_reset_before", "bidirectional": True, "num_layers": 2, "batch_first": True},
]


def results(layer, x, state, lengths, resets):
    """Outputs, final states and all gradients of a call."""
    leaf = x.clone().requires_grad_()
    own = None if state is None else tuple(s.clone().requires_grad_() for s in state)
    layer.zero_grad()
    given = own if own is None or len(own) > 1 else own[0]
    output, final = layer(leaf, given, lengths=lengths, resets=resets)
    values = [output, *parts(final)]
    sum((v * torch.linspace(-1, 1.3, v.numel(), dtype=v.dtype).view(v.shape)).sum() for v in values).backward()
    with torch.no_grad():
        same_bits(output, layer(x, given, lengths=lengths, resets=resets)[0], "without gradients")
    leaves = {"x": leaf, **{f"start {k}": s for k, s in enumerate(own or ())}, **dict(layer.named_parameters())}
    gradients = {f"d {name}": t.grad for name, t in leaves.items() if t.grad is not None}
    return {f"value {k}": v.detach() for k, v in enumerate(values)} | gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: o["cell"])
def test_rows_that_stay_have_the_bits_of_packed_rows(options, dtype, monkeypatch):
    torch.manual_seed(0)
    layer = ostinato.Recurrent(**options, input_size=FEATURES, hidden_size=HIDDEN, dtype=dtype)
    try_in_place, direct_call, stayed = layers.try_in_place, layers.direct_call, []

    def watched(layer, batch, *rest):
        try_in_place(layer, batch, *rest)
        stayed.append(batch.row_layout is not None)

    for (steps, batch), resetting, stated in product([(9, 6), (80, 37), (5, 1)], [False, True], [False, True]):
        shape = (batch, steps) if layer.batch_first else (steps, batch)
        lengths = torch.randint(0, steps + 1, (batch,)) if batch > 1 else torch.tensor([3])
        x = torch.randn(*shape, FEATURES, dtype=dtype)
        past = torch.arange(steps)[:, None] >= lengths
        x[past.T if layer.batch_first else past] = float("nan")
        resets = torch.rand(shape) < 0.1 if resetting else None
        start = [torch.rand_like(s) + 0.5 for s in parts(layer(torch.zeros_like(x))[1])]
        given = (layer, x, start if stated else None, lengths, resets)
        monkeypatch.setattr(layers, "try_in_place", watched)
        found = [results(*given)]
        monkeypatch.setattr(layers, "direct_call", lambda *args: None)
        found.append(results(*given))
        assert stayed and all(stayed)
        monkeypatch.setattr(layers, "try_in_place", lambda *args: None)
        expected = results(*given)
        monkeypatch.setattr(layers, "direct_call", direct_call)
        for each in found:
            assert each.keys() == expected.keys()
            for name, value in each.items():
                same_bits(value, expected[name], name)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [[3, 9, 0, 5, 5, 1, 9], [0], [0, 0], [4], [9, 9], [1] * 40, []])
def test_kernels_sort_rows_as_numpy_does(lengths, batch_first):
    given, wanted = torch.tensor(lengths, dtype=torch.int64), cut(np.array(lengths, np.int64), None, 9, batch_first)
    found = sort_by_length(given, 9, batch_first)
    assert (found is None) == (not wanted.sizes.size) and (found is None or (found[1] is None) == wanted.dense)
    if found is None or found[1] is None:
        return
    sizes, layout = found
    assert sizes.tolist() == layout.sizes.tolist() == wanted.sizes.tolist() and layout.count == wanted.count
    numbers = layout.numbers[: len(lengths) + 2 * layout.count].tolist()
    assert numbers == [*lengths, *wanted.starts.tolist(), *wanted.source_row.tolist()]
    assert (layout.rows, layout.steps, layout.stride) == (len(lengths), 9, wanted.stride) and layout.by_rows
    assert layout.address == layout.numbers.ctypes.data


@pytest.mark.parametrize("lengths", [[3, -1], [10, 2], [2**40], [-(2**40), 9, 9]])
def test_kernels_refuse_lengths_that_cannot_be(lengths):
    assert sort_by_length(torch.tensor(lengths), 9, False) is None


def test_lengths_may_be_written_to_before_backward():
    layer = ostinato.GRU(3, 4)
    x, lengths = torch.randn(6, 2, 3, requires_grad=True), torch.tensor([2, 5])
    output, _ = layer(x, lengths=lengths)
    lengths.fill_(1)
    output.sum().backward()
    assert x.grad[:2, 0].any(1).all() and x.grad[:5, 1].any(1).all()
    assert not x.grad[2:, 0].any() and not x.grad[5:, 1].any()


def test_second_derivatives_of_rows_that_stay():
    torch.manual_seed(1)
    layer = ostinato.LSTM(2, 3, dtype=torch.float64, batch_first=True)
    x = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x, lengths=[2, 4, 0])[0].tanh(), x)


def test_the_layout_of_another_x_is_refused():
    layer, x = ostinato.GRU(3, 4), torch.randn(5, 2, 3)
    layout = RaggedLayout(np.array([2, 5, 1, 0, 1, 0]), np.array([2, 2, 1, 1, 1]), 2, 2, 5, 2)
    cell, weights = layer.cell, [getattr(layer, name).detach() for name in layer._weight_names()[0]]
    sizes, state = torch.tensor([2, 2, 1, 1, 1]), torch.zeros(2, 4)
    api.forward(SequenceCall(cell, x, [state], weights, sizes, rows=layout), False, False)
    message = r"kernels: rows must be x of 10 lines and 2 rows, 2 of which are packed, got \[{}, 2, 3\].* and 2. Give"
    for wrong in ((torch.randn(4, 2, 3), state), (x, torch.zeros(3, 4))):
        with pytest.raises(ShapeError, match=message.format(len(wrong[0]))):
            api.forward(SequenceCall(cell, wrong[0], [wrong[1]], weights, sizes, rows=layout), False, False)
