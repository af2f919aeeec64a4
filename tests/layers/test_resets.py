"""`resets` and `lengths` against every piece of every row alone: by the kernels to the bit, and by the reference."""

import hypothesis.strategies as some
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import ostinato
from layers.by_pieces import alone, by_pieces, reference, state_sizes
from layers.pairs import parts
from ostinato.errors import InputError, ShapeError
from tolerance import check

FEATURES, HIDDEN = 3, 5
CELLS = ["lstm", "gru", "elman_relu", "lstm_projected", "gru_reset_before", "slstm", "mingru"]


def build(cell, dtype=torch.float64, **options):
    torch.manual_seed(4)
    if cell == "lstm_projected":
        options["proj_size"] = 2
    layer = ostinato.Recurrent(cell, FEATURES, HIDDEN, dtype=dtype, **options)
    for name, parameter in layer.named_parameters():
        nn.init.normal_(parameter, std=0.4)
        if name.startswith("initial") and cell == "slstm":
            nn.init.uniform_(parameter, 0.5, 1.5)  # its normaliser is never negative, nor zero where c is not
    return layer


def draw_state(layer, rows, dtype=torch.float64):
    return [
        (torch.rand(count, rows, width, dtype=torch.float64) + 0.5).to(dtype) for count, width in state_sizes(layer)
    ]


def together(states):
    return states if states is None or len(states) > 1 else states[0]


def weighted(tensors):
    return sum((t * torch.linspace(-1, 1.4, t.numel(), dtype=t.dtype).view(t.shape)).sum() for t in tensors)


def results(layer, call, x, state):
    """(values, gradients) by name of call(x, state) → (output, states, states after every step), steps first."""
    leaf = x.clone().requires_grad_()
    own = None if state is None else tuple(s.clone().requires_grad_() for s in state)
    output, finals, every = call(leaf, together(own))
    values = {"output": output} | {f"state {k}": s for k, s in enumerate(finals)}
    values |= {f"states {k}": s for k, s in enumerate(every)}
    wanted = {"x": leaf} | {f"start {k}": s for k, s in enumerate(own or ())} | dict(layer.named_parameters())
    total = weighted(values.values()) + 0 * sum(t.sum() for t in wanted.values())
    found = torch.autograd.grad(total, wanted.values())
    return {n: v.detach() for n, v in values.items()}, dict(zip(wanted, found, strict=True))


def joint(layer, lengths, resets):
    """The call that is tested, steps first in what goes in and comes out."""

    def call(x, state):
        turned = x.transpose(0, 1) if layer.batch_first else x
        marks = resets if resets is None or not layer.batch_first else resets.T
        output, finals, every = layer(turned, state, lengths=lengths, resets=marks, return_states=True)
        return output.transpose(0, 1) if layer.batch_first else output, parts(finals), parts(every)

    return call


@some.composite
def batches(draw):
    steps, batch = draw(some.integers(1, 9)), draw(some.integers(1, 5))
    lengths = draw(some.none() | some.lists(some.integers(0, steps), min_size=batch, max_size=batch))
    rate = draw(some.sampled_from([0, 0.15, 0.5, 1]))
    seed = draw(some.integers(0, 1000))
    return steps, batch, lengths, rate, seed


@settings(max_examples=60, deadline=None)
@given(
    batches(),
    some.sampled_from(CELLS),
    some.sampled_from([torch.float64, torch.float32]),
    some.integers(1, 2),
    some.booleans(),
    some.booleans(),
    some.booleans(),
    some.booleans(),
    some.sampled_from([None, 2]),
)
def test_every_piece_is_itself_alone(batch, cell, dtype, layers, both, batch_first, learned, stated, checkpoint):
    """Values, gradients in x and the start to the bit; the reference and the weights' gradients to the tolerance."""
    steps, rows, lengths, rate, seed = batch
    layer = build(
        cell,
        dtype,
        num_layers=layers,
        bidirectional=both,
        batch_first=batch_first,
        learn_initial_state=learned,
        checkpoint=checkpoint,
    )
    torch.manual_seed(seed)
    x = torch.randn(steps, rows, FEATURES, dtype=dtype)
    resets = torch.rand(steps, rows) < rate if rate else None
    state = draw_state(layer, rows, dtype) if stated else None
    found, slopes = results(layer, joint(layer, lengths, resets), x, state)
    for run in (alone, reference):
        values, gradients = results(layer, lambda x, s, run=run: by_pieces(layer, x, s, lengths, resets, run), x, state)
        check("outputs", found, values)
        check("gradients", slopes, gradients)
        if run is alone:
            for name, value in values.items():
                assert torch.equal(found[name], value), name
            for name, gradient in gradients.items():
                assert torch.equal(slopes[name], gradient) or name in dict(layer.named_parameters()), name


def test_resets_by_hand():
    """A cell that counts its steps: h + 1 from a start of 10."""

    @ostinato.cell
    def count(W, x, h):
        return h + 1 + W.n @ x

    layer = ostinato.Recurrent(count, 1, 1, bidirectional=True, learn_initial_state=True, dtype=torch.float64)
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        layer.initial_h_l0.fill_(10)
        layer.initial_h_l0_reverse.fill_(20)
    resets = torch.zeros(5, 3, dtype=torch.bool)
    resets[2, 0] = resets[0, 1] = resets[4, 2] = True
    x = torch.zeros(5, 3, 1, dtype=torch.float64)
    start = torch.tensor([100.0, 200], dtype=torch.float64).view(2, 1, 1).expand(2, 3, 1)
    output, state = layer(x, start, resets=resets, lengths=[5, 5, 4])
    assert output[:, 0].tolist() == [[101, 202], [102, 201], [11, 23], [12, 22], [13, 21]]
    assert output[:, 1].tolist() == [[11, 25], [12, 24], [13, 23], [14, 22], [15, 21]]
    assert output[:, 2].tolist() == [[101, 204], [102, 203], [103, 202], [104, 201], [0, 0]]
    assert state[:, :, 0].tolist() == [[13, 15, 104], [23, 25, 204]]


def test_a_learned_start_hears_from_every_reset():
    layer = build("gru", learn_initial_state=True)
    x = torch.randn(6, 2, FEATURES, dtype=torch.float64)
    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[2:4, 0] = resets[5, 1] = True
    start = torch.zeros(1, 2, HIDDEN, dtype=torch.float64)

    def starts(resets):
        output, _ = layer(x, start, resets=resets)
        return torch.autograd.grad(output.square().sum(), layer.initial_h_l0)[0]

    each = [torch.zeros_like(resets) for _ in range(3)]
    # Cutting at one reset alone changes what follows it up to the next: each is taken with all others there.
    for one, (t, b) in zip(each, [(2, 0), (3, 0), (5, 1)]):
        one[t, b] = True
    total = torch.zeros(HIDDEN, dtype=torch.float64)
    for t, b, end in ((2, 0, 3), (3, 0, 6), (5, 1, 6)):
        output, _ = layer(x[t:end, b : b + 1])
        total += torch.autograd.grad(output.square().sum(), layer.initial_h_l0)[0]
    check("gradients", {"start": starts(resets)}, {"start": total})


@pytest.mark.parametrize(
    "lengths, marks", [(None, []), (None, [(0, 1)]), (None, [(0, 0), (0, 1)]), ([4, 2], [(3, 1)])], ids=str
)
def test_rows_that_are_not_cut_are_the_call_without_resets(lengths, marks):
    """No reset, resets of whole rows, and resets past the end of a row."""
    layer, x = build("lstm", bidirectional=True), torch.randn(4, 2, FEATURES, dtype=torch.float64)
    resets = torch.zeros(4, 2, dtype=torch.bool)
    state = draw_state(layer, 2)
    kept = [s.clone() for s in state]
    for t, b in marks:
        resets[t, b] = True
        if t == 0:
            for s in kept:
                s[:, b] = 0
    expected, found = layer(x, tuple(kept), lengths=lengths), layer(x, tuple(state), lengths=lengths, resets=resets)
    assert torch.equal(found[0], expected[0])
    assert all(torch.equal(a, b) for a, b in zip(found[1], expected[1], strict=True))


@pytest.mark.parametrize(
    "kind", [torch.clone, torch.Tensor.numpy, torch.Tensor.tolist], ids=["tensor", "array", "list"]
)
@pytest.mark.parametrize("layer", [ostinato.LSTM, ostinato.GRU, ostinato.RNN])
def test_drop_in_layers_take_resets_in_any_form(layer, kind):
    torch.manual_seed(0)
    layer, x = layer(FEATURES, HIDDEN, 2), torch.randn(7, 3, FEATURES)
    resets = torch.rand(7, 3) < 0.4
    found, expected = layer(x, resets=kind(resets)), by_pieces(layer, x, None, None, resets)
    assert torch.equal(found[0], expected[0])
    assert all(torch.equal(a, b) for a, b in zip(parts(found[1]), expected[1], strict=True))
    one, last = layer(x[:, 1], resets=kind(resets[:, 1]))
    assert torch.equal(one, expected[0][:, 1]) and torch.equal(parts(last)[0], expected[1][0][:, 1])


def test_what_is_past_a_length_is_not_read():
    layer, x = build("gru", dtype=torch.float32), torch.randn(6, 2, FEATURES)
    x[3:, 1] = float("nan")
    x = x.requires_grad_()
    resets = torch.zeros(6, 2, dtype=torch.bool)
    resets[2] = resets[5] = True
    output, state = layer(x, lengths=[6, 3], resets=resets)
    output.sum().backward()
    assert output.isfinite().all() and state.isfinite().all() and not output[3:, 1].any() and not x.grad[3:, 1].any()
    assert x.grad[:3].all()


def test_dropout_between_layers():
    """Half of the elements between the layers are zeroed in training; none are in evaluation."""
    layer, x = build("gru", num_layers=2, dropout=0.5), torch.randn(6, 4, FEATURES, dtype=torch.float64)
    resets = torch.rand(6, 4) < 0.4
    torch.manual_seed(1)
    first, _ = layer(x, resets=resets)
    torch.manual_seed(1)
    assert torch.equal(layer(x, resets=resets)[0], first)
    layer.eval()
    check("outputs", {"y": layer(x, resets=resets)[0]}, {"y": by_pieces(layer, x, None, None, resets)[0]})
    assert not torch.equal(layer(x, resets=resets)[0], first)


@pytest.mark.parametrize(
    "resets, error, message",
    [
        (
            np.zeros((7, 2), int),
            InputError,
            r"Recurrent: resets must be bools \[T, B\], got torch.int64. Give a bool for",
        ),
        ([[True], [True, False]], InputError, r"resets must be bools \[T, B\], got list."),
        (torch.zeros(2, 7).bool(), ShapeError, r"resets must be of shape \[T, B\] = \[7, 2\], got a shape of \[2, 7\]"),
        (torch.zeros(7).bool(), ShapeError, r"resets must be of shape \[T, B\] = \[7, 2\], got a shape of \[7\]. Give"),
    ],
)
def test_wrong_resets_are_refused(resets, error, message):
    layer, x = build("gru"), torch.randn(7, 2, FEATURES, dtype=torch.float64)
    with pytest.raises(error, match=message):
        layer(x, resets=resets)


def test_refusals_name_the_callers_layout():
    x = torch.randn(2, 7, FEATURES, dtype=torch.float64)
    with pytest.raises(ShapeError, match=r"of shape \[B, T\] = \[2, 7\], got a shape of \[7, 2\]"):
        build("gru", batch_first=True)(x, resets=torch.zeros(7, 2).bool())
    with pytest.raises(ShapeError, match=r"of shape \[T\] = \[7\], got a shape of \[7, 1\]"):
        build("gru", batch_first=True)(x[0], resets=torch.zeros(7, 1).bool())
    packed = pack_padded_sequence(x, [5, 2], batch_first=True)
    with pytest.raises(ShapeError, match=r"resets must be of shape \[T, B\] = \[5, 2\], got a shape of \[2, 5\]"):
        build("gru")(packed, resets=torch.zeros(2, 5).bool())


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_a_packed_sequence_takes_resets_and_comes_back_packed(batch_first, enforce_sorted):
    """The same as padded with `lengths`, outputs, states and gradients."""
    layer = build("lstm", bidirectional=True, batch_first=batch_first)
    lengths = [7, 4, 2] if enforce_sorted else [2, 7, 4]
    x = torch.randn(*((3, 7) if batch_first else (7, 3)), FEATURES, dtype=torch.float64, requires_grad=True)
    resets = torch.rand(x.shape[:2], generator=torch.Generator().manual_seed(3)) < 0.3
    state = tuple(s.detach() for s in draw_state(layer, 3))
    expected = layer(x, state, lengths=lengths, resets=resets, return_states=True)
    packed = pack_padded_sequence(x, lengths, batch_first, enforce_sorted)
    output, *rest = layer(packed, state, resets=resets, return_states=True)
    assert torch.equal(output.batch_sizes, packed.batch_sizes)
    padded, ends = pad_packed_sequence(output, batch_first)
    assert ends.tolist() == lengths and torch.equal(padded, expected[0])
    for a, b in zip([*rest[0], *rest[1]], [*expected[1], *expected[2]], strict=True):
        assert torch.equal(a, b)
    d, d_expected = (torch.autograd.grad(weighted([y]), x)[0] for y in (padded, expected[0]))
    assert torch.equal(d, d_expected)
