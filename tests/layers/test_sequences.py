"""Rows that end early: `lengths` against each row run alone and against torch's packed sequences."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import ostinato
from ostinato.errors import InputError
from tolerance import check

FEATURES, HIDDEN, STEPS = 3, 5, 7
LENGTHS = [4, 7, 0, 1, 7, 5]


def build(cell="lstm", dtype=torch.float64, **options):
    torch.manual_seed(3)
    layer = ostinato.Recurrent(cell, FEATURES, HIDDEN, dtype=dtype, **options)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def draw_start(layer, rows):
    """States of the shapes that the layer expects; the normaliser of slstm is never negative."""
    x = torch.zeros(1, FEATURES, dtype=torch.float64)
    _, state = layer(x)
    return [torch.rand(len(s), rows, s.shape[-1], dtype=s.dtype) + 0.5 for s in parts(state)]


def together(starts):
    return starts[0] if len(starts) == 1 else tuple(starts)


def weighted(tensors):
    return sum((t * torch.linspace(-1, 1.4, t.numel(), dtype=t.dtype).view(t.shape)).sum() for t in tensors)


def at_time(t, batch_first):
    return t.transpose(0, 1) if batch_first else t


OPTIONS = [
    {"cell": "lstm", "num_layers": 2, "bidirectional": True},
    {"cell": "gru", "num_layers": 2, "batch_first": True},
    {"cell": "elman", "bidirectional": True, "batch_first": True},
    {"cell": "lstm_projected", "num_layers": 2, "bidirectional": True, "proj_size": 2},
    {"cell": "slstm", "num_layers": 2},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: o["cell"])
def test_a_ragged_batch_is_each_row_alone(options):
    layer = build(**options)
    batch_first = layer.batch_first
    x = torch.randn(STEPS, len(LENGTHS), FEATURES, dtype=torch.float64)
    starts = draw_start(layer, len(LENGTHS))

    def leaves():
        return [s.detach().clone().requires_grad_() for s in starts]

    padded, own = x.clone(), leaves()
    for row, length in enumerate(LENGTHS):
        padded[length:, row] = float("nan")
    padded = at_time(padded, batch_first).contiguous().requires_grad_()
    output, state, states = layer(padded, together(own), lengths=LENGTHS, return_states=True)
    output, states = at_time(output, batch_first), parts(states)
    weighted([output, *parts(state), *states]).backward()
    found = {"output": output, **{f"state {k}": s for k, s in enumerate(parts(state))}}
    found |= {f"states {k}": s for k, s in enumerate(states)}
    gradients = {name: p.grad.clone() for name, p in layer.named_parameters()}
    gradients |= {"x": at_time(padded.grad, batch_first), **{f"start {k}": s.grad for k, s in enumerate(own)}}
    layer.zero_grad()

    rows, alone = [], leaves()
    single = x.clone().requires_grad_()
    for row, length in enumerate(LENGTHS):
        start = [s[:, row : row + 1] for s in alone]
        if length == 0:
            zero = [torch.zeros(STEPS, 1, output.shape[-1], dtype=x.dtype), together(start)]
            rows.append([*zero, tuple(s.new_zeros(len(s), STEPS, 1, s.shape[-1]) for s in start)])
            continue
        y, new, every = layer(at_time(single[:length, row : row + 1], batch_first), together(start), return_states=True)
        rest = STEPS - length
        y = torch.cat([at_time(y, batch_first), y.new_zeros(rest, 1, y.shape[-1])])
        every = tuple(torch.cat([e, e.new_zeros(len(e), rest, 1, e.shape[-1])], 1) for e in parts(every))
        rows.append([y, new, every])
    expected = {"output": torch.cat([r[0] for r in rows], 1)}
    expected |= {f"state {k}": torch.cat([parts(r[1])[k] for r in rows], 1) for k in range(len(starts))}
    expected |= {f"states {k}": torch.cat([r[2][k] for r in rows], 2) for k in range(len(starts))}
    weighted(expected.values()).backward()
    expected_gradients = {name: p.grad for name, p in layer.named_parameters()}
    expected_gradients |= {"x": single.grad, **{f"start {k}": s.grad for k, s in enumerate(alone)}}
    check("outputs", found, expected)
    check("gradients", gradients, expected_gradients)
    for row, length in enumerate(LENGTHS):
        assert not output[length:, row].any() and not at_time(padded.grad, batch_first)[length:, row].any()
        assert not any(s[:, length:, row].any() for s in states)


@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_are_torchs_packed_sequences(batch_first):
    torch.manual_seed(0)
    theirs = nn.GRU(FEATURES, HIDDEN, 2, bidirectional=True, batch_first=batch_first, dtype=torch.float64)
    ours = ostinato.GRU(FEATURES, HIDDEN, 2, bidirectional=True, batch_first=batch_first, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    lengths = [3, 7, 1, 5]
    x = torch.randn(*((4, STEPS) if batch_first else (STEPS, 4)), FEATURES, dtype=torch.float64)
    packed, state = theirs(pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False))
    output, _ = pad_packed_sequence(packed, batch_first, total_length=STEPS)
    found, found_state = ours(x, lengths=lengths)
    check("outputs", {"output": found, "state": found_state}, {"output": output, "state": state})


@pytest.mark.parametrize(
    "kind",
    [tuple, np.array, lambda v: np.array(v, np.uint8), torch.tensor, lambda v: torch.tensor(v, dtype=torch.int32)],
    ids=["tuple", "int64 array", "uint8 array", "tensor", "int32 tensor"],
)
def test_lengths_come_in_any_form(kind):
    layer, x = build(), torch.randn(STEPS, len(LENGTHS), FEATURES, dtype=torch.float64)
    expected, _ = layer(x, lengths=LENGTHS)
    found, _ = layer(x, lengths=kind(LENGTHS))
    assert torch.equal(found, expected) and not found[4:, 0].any()


def test_a_row_has_the_same_bits_alone_and_beside_others():
    layer, x = build(dtype=torch.float32, num_layers=2), torch.randn(STEPS, len(LENGTHS), FEATURES)
    output, (h, c) = layer(x, lengths=LENGTHS)
    alone, (h_alone, c_alone) = layer(x[:5, 5:])
    assert torch.equal(output[:5, 5:], alone)
    assert torch.equal(h[:, 5:], h_alone) and torch.equal(c[:, 5:], c_alone)


def test_full_lengths_are_the_padded_call():
    layer, x = build("gru"), torch.randn(STEPS, 2, FEATURES, dtype=torch.float64)
    for a, b in zip(layer(x, lengths=[STEPS, STEPS]), layer(x), strict=True):
        assert torch.equal(a, b)


def test_one_sequence_without_a_batch():
    layer, x = build("gru", num_layers=2), torch.randn(STEPS, FEATURES, dtype=torch.float64)
    expected, last = layer(x[:4])
    for lengths in (4, [4], torch.tensor(4)):
        output, state, states = layer(x, lengths=lengths, return_states=True)
        assert output.shape == (STEPS, HIDDEN) and not output[4:].any()
        assert torch.equal(output[:4], expected) and torch.equal(state, last)
        assert states.shape == (2, STEPS, HIDDEN) and torch.equal(states[-1], output)


@pytest.mark.parametrize("steps, lengths", [(STEPS, [0, 0]), (0, [0, 0]), (STEPS, []), (0, [])])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_no_steps_at_all(cell, steps, lengths):
    layer = build(cell, num_layers=2)
    x = torch.full((steps, len(lengths), FEATURES), float("nan"), dtype=torch.float64, requires_grad=True)
    start = torch.randn(2, len(lengths), HIDDEN, dtype=torch.float64, requires_grad=True)
    output, state, states = layer(x, start if cell == "gru" else (start, start), lengths=lengths, return_states=True)
    assert output.shape == (steps, len(lengths), HIDDEN) and not output.any()
    assert parts(states)[0].shape == (2, steps, len(lengths), HIDDEN)
    for s in parts(state):
        assert torch.equal(s, start)
    (output.sum() + sum(s.sum() for s in parts(state))).backward()
    assert torch.equal(start.grad, torch.full_like(start, len(parts(state))))
    assert x.grad is None or not x.grad.any()


@pytest.mark.parametrize(
    "lengths, message",
    [
        ([1.0, 2.0], r"Recurrent: lengths must be integers, one for each row, got torch.float32. Give a list"),
        ([True, False], r"lengths must be integers, one for each row, got torch.bool"),
        (["a", "b"], r"lengths must be integers, one for each row, got \['a', 'b'\]"),
        ([[1], [2, 3]], r"lengths must be integers, one for each row, got \[\[1\], \[2, 3\]\]"),
        ([1, 2, 3], r"lengths must be 2 integers, one for each row, got a shape of \[3\]"),
        (4, r"lengths must be 2 integers, one for each row, got a shape of \[\]"),
        ([[1, 2]], r"lengths must be 2 integers, one for each row, got a shape of \[1, 2\]"),
        ([2, 8], r"lengths\[1\] must be between 0 and T = 7, got 8. x has no more steps"),
        ([-1, 3], r"lengths\[0\] must be between 0 and T = 7, got -1"),
    ],
)
def test_wrong_lengths_are_refused(lengths, message):
    with pytest.raises(InputError, match=message):
        build()(torch.randn(STEPS, 2, FEATURES, dtype=torch.float64), lengths=lengths)


def test_a_packed_sequence_takes_no_lengths():
    packed = pack_padded_sequence(torch.randn(STEPS, 2, FEATURES, dtype=torch.float64), [5, 2])
    with pytest.raises(InputError, match="lengths must be None with a PackedSequence, got list. A Packed"):
        build()(packed, lengths=[5, 2])


def test_packed_states_after_every_step():
    layer = build("lstm", num_layers=2, bidirectional=True)
    x, lengths = torch.randn(STEPS, 4, FEATURES, dtype=torch.float64), [3, 7, 1, 5]
    _, _, expected = layer(x, lengths=lengths, return_states=True)
    _, _, found = layer(pack_padded_sequence(x, lengths, enforce_sorted=False), return_states=True)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == (4, STEPS, 4, HIDDEN) and torch.equal(a, b)


def test_arrays_of_any_strides_and_byte_order():
    layer, x = build("gru"), torch.randn(STEPS, 3, FEATURES, dtype=torch.float64)
    expected, _ = layer(x, lengths=[6, 4, 2])
    for array in (np.array([2, 4, 6])[::-1], np.array([6, 4, 2], ">i8"), np.array([6, 0, 4, 0, 2, 0], "<i2")[::2]):
        assert torch.equal(layer(x, lengths=array)[0], expected)
    begins = np.zeros((STEPS, 3), bool)
    begins[2, 1] = begins[5, 0] = True
    expected, _ = layer(x, resets=begins)
    assert torch.equal(layer(x, resets=begins[::-1].copy()[::-1])[0], expected)
    assert torch.equal(layer(x, resets=np.asfortranarray(begins))[0], expected)


@pytest.mark.parametrize("name, values", [("lengths", [[1, 2], [3, 4]]), ("resets", [[[True, False]] * STEPS] * 2)])
def test_values_that_cannot_be_read_are_refused(name, values):
    layer, x = build("gru"), torch.randn(STEPS, 2, FEATURES, dtype=torch.float64)
    message = f"{name} must be a tensor whose values can be read, got a tensor "
    with pytest.raises(InputError, match=f"{message}that torch.func.vmap divides. Give the values as a list"):
        vmap(lambda one: layer(x, **{name: one})[0])(torch.tensor(values))
    with pytest.raises(InputError, match=f"{message}on meta"):
        layer.to("meta")(x.to("meta"), **{name: torch.tensor(values[0], device="meta")})


def test_gradients_of_each_sample_of_a_ragged_batch():
    layer = build("gru")
    x = torch.randn(4, STEPS, 2, FEATURES, dtype=torch.float64)
    parameters = dict(layer.named_parameters())

    def loss(parameters, one):
        return functional_call(layer, parameters, (one,), {"lengths": [3, 6]})[0].square().sum()

    found = vmap(grad(loss), (None, 0))(parameters, x)
    for k in range(len(x)):
        expected = torch.autograd.grad(layer(x[k], lengths=[3, 6])[0].square().sum(), list(parameters.values()))
        check("gradients", {n: g[k] for n, g in found.items()}, dict(zip(found, expected, strict=True)))
