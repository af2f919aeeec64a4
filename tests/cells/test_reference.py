"""The reference against what is not of our making: torch.nn, each row alone, gradcheck."""

import pytest
import torch
from torch import nn

from cells.compose import random_call, random_cell
from ostinato.cells import catalogue
from ostinato.cells.reference import sequence
from tolerance import check

TORCH = {
    "elman": (nn.RNN, {"nonlinearity": "tanh"}),
    "elman_relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
    "lstm_projected": (nn.LSTM, {"proj_size": 2}),
}
NAMES = ["weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh"]


def torch_layer(name, features=3, hidden=5, **options):
    kind, settings = TORCH[name]
    torch.manual_seed(7)
    layer = kind(features, hidden, **settings, **options).double()
    for p in layer.parameters():
        nn.init.normal_(p, std=0.6)
    return layer


def weights_of(layer, suffix):
    given = dict(layer.named_parameters())
    return [given[n + suffix] for n in NAMES if n + suffix in given]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", list(TORCH))
def test_against_torch(name, bias):
    """Outputs, final states and every gradient; states given, two directions, float64."""
    layer = torch_layer(name, bidirectional=True, bias=bias)
    cell = catalogue()[name] if bias else catalogue()[name].without_bias()
    widths = [cell.width(w, 3, 5, 2 if cell.projected else 0) for w in cell.state_widths]
    x = torch.randn(7, 4, 3, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(2, 4, w, dtype=torch.float64, requires_grad=True) for w in widths]
    expected, last = layer(x, tuple(states) if len(states) > 1 else states[0])
    last = last if isinstance(last, tuple) else (last,)
    outputs, finals = [], []
    for k, suffix in enumerate(("_l0", "_l0_reverse")):
        output, final, _ = sequence(cell, x, [s[k] for s in states], weights_of(layer, suffix), reverse=bool(k))
        outputs.append(output)
        finals.append(final)
    found = {"output": torch.cat(outputs, -1)}
    found.update({s: torch.stack([f[k] for f in finals]) for k, s in enumerate(cell.states)})
    wanted = {"output": expected, **dict(zip(cell.states, last, strict=True))}
    check("outputs", found, wanted)
    leaves = {"x": x, **dict(zip(cell.states, states, strict=True)), **dict(layer.named_parameters())}
    seeds = [torch.randn_like(t) for t in wanted.values()]
    ours = torch.autograd.grad(list(found.values()), list(leaves.values()), seeds)
    theirs = torch.autograd.grad(list(wanted.values()), list(leaves.values()), seeds)
    check("gradients", dict(zip(leaves, ours, strict=True)), dict(zip(leaves, theirs, strict=True)))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", list(TORCH))
def test_packed_against_torch(name, reverse):
    """A PackedSequence: torch runs both directions, of which one is compared."""
    layer, cell = torch_layer(name, bidirectional=True), catalogue()[name]
    lengths = [6, 4, 4, 1]
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths))
    expected, last = layer(packed)
    last = last if isinstance(last, tuple) else (last,)
    suffix = "_l0_reverse" if reverse else "_l0"
    zeros = [torch.zeros(4, s.shape[-1], dtype=torch.float64) for s in last]
    output, finals, _ = sequence(cell, packed.data, zeros, weights_of(layer, suffix), packed.batch_sizes, reverse)
    half = expected.data.chunk(2, -1)[int(reverse)]
    wanted = {"output": half, **{s: t[int(reverse)] for s, t in zip(cell.states, last, strict=True)}}
    check("outputs", {"output": output, **dict(zip(cell.states, finals, strict=True))}, wanted)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", list(catalogue()))
def test_packed_rows_are_each_row_alone(name, reverse):
    cell, lengths = catalogue()[name], [5, 3, 2, 2, 0]
    size = 4 if cell.projected else 0
    x, states, weights = random_call(cell, rows=5, projected=size)
    sizes = [sum(n > t for n in lengths) for t in range(5)]
    data = torch.cat([x[t, :n] for t, n in enumerate(sizes)])
    output, finals, histories = sequence(cell, data, states, weights, sizes, reverse)
    starts = [sum(sizes[:t]) for t in range(5)]
    for row, n in enumerate(lengths):
        alone = sequence(cell, x[:n, row : row + 1], [s[row : row + 1] for s in states], weights, reverse=reverse)
        where = [starts[t] + row for t in range(n)]
        found = {"output": output[where], **{s: f[row : row + 1] for s, f in zip(cell.states, finals, strict=True)}}
        found.update({f"every {s}": h[where] for s, h in zip(cell.states, histories, strict=True)})
        wanted = {"output": alone[0][:, 0], **dict(zip(cell.states, alone[1], strict=True))}
        wanted.update({f"every {s}": h[:, 0] for s, h in zip(cell.states, alone[2], strict=True)})
        check("outputs", found, wanted, context=f"row {row}")


@pytest.mark.parametrize("name", list(catalogue()))
def test_whole_is_chunks_and_reverse_is_flipped(name):
    cell = catalogue()[name]
    x, states, weights = random_call(cell, projected=4 if cell.projected else 0)
    output, finals, histories = sequence(cell, x, states, weights)
    first = sequence(cell, x[:2], states, weights)
    second = sequence(cell, x[2:], first[1], weights)
    assert torch.equal(output, torch.cat([first[0], second[0]]))
    assert all(torch.equal(a, b) for a, b in zip(finals, second[1], strict=True))
    assert all(torch.equal(h[-1], f) for h, f in zip(histories, finals, strict=True))
    backwards = sequence(cell, x.flip(0), states, weights, reverse=True)
    assert torch.equal(backwards[0].flip(0), output)
    assert all(torch.equal(a, b) for a, b in zip(finals, backwards[1], strict=True))


@pytest.mark.parametrize("name", list(catalogue()))
def test_gradcheck(name):
    cell = catalogue()[name]
    call = random_call(cell, steps=3, rows=2, features=2, hidden=3, projected=2 if cell.projected else 0, seed=5)
    x, states, weights = call
    leaves = [t.requires_grad_() for t in (x, *states, *weights)]

    def run(x, *rest):
        output, finals, _ = sequence(cell, x, rest[: len(states)], rest[len(states) :])
        return output, *finals

    assert torch.autograd.gradcheck(run, leaves)
    if name in ("elman", "gru", "lstm"):
        assert torch.autograd.gradgradcheck(run, leaves)


@pytest.mark.parametrize("name", list(catalogue()))
def test_no_steps_and_no_rows(name):
    cell = catalogue()[name]
    x, states, weights = random_call(cell, projected=4 if cell.projected else 0)
    width = states[0].shape[-1]
    for sizes, empty in ((None, x[:0]), ([], x[:0, 0])):
        output, finals, histories = sequence(cell, empty, states, weights, sizes)
        assert output.shape == (*empty.shape[:-1], width) and output.dtype == x.dtype
        assert all(torch.equal(a, b) for a, b in zip(finals, states, strict=True))
        assert [h.shape for h in histories] == [(*empty.shape[:-1], s.shape[-1]) for s in states]
    output, finals, _ = sequence(cell, x[:, :0], [s[:0] for s in states], weights)
    assert output.shape == (5, 0, width) and finals[0].shape == (0, width)


@pytest.mark.parametrize("name", list(catalogue()))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_dtype_stays_itself(name, dtype):
    cell = catalogue()[name]
    x, states, weights = random_call(cell, projected=4 if cell.projected else 0, dtype=dtype)
    output, finals, histories = sequence(cell, x, states, weights)
    assert {t.dtype for t in (output, *finals, *histories)} == {dtype}


@pytest.mark.parametrize("seed", range(10))
def test_random_cells_run_under_vmap(seed):
    cell = random_cell(seed)
    x, states, weights = random_call(cell, projected=4 if cell.projected else 0, seed=seed)
    rows = torch.func.vmap(
        lambda x, *s: sequence(cell, x[:, None], [t[None] for t in s], weights)[0][:, 0],
        in_dims=(1, *[0] * len(states)),
    )
    torch.testing.assert_close(rows(x, *states).transpose(0, 1), sequence(cell, x, states, weights)[0])
