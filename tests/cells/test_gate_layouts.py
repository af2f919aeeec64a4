"""Weights moved between vocabularies by gate names: copied, then two steps run, the second with state.

The other side of each comparison is written here in that vocabulary's own layout and order, or is that library itself.
"""

import pytest
import torch
from torch import nn, sigmoid, tanh

from cells.compose import random_call
from ostinato.cells import catalogue
from ostinato.cells.gate_layouts import ORDERS, order, permute, read, write
from ostinato.cells.reference import sequence
from ostinato.errors import InputError, ShapeError

H = 6


def keras_or_haste_elman(t, x, h):
    return (tanh(x @ t["kernel"] + h @ t["recurrent_kernel"] + t["bias"]),)


def keras_lstm(t, x, h, c):
    i, f, g, o = (x @ t["kernel"] + h @ t["recurrent_kernel"] + t["bias"]).chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def haste_lstm(t, x, h, c):
    i, g, f, o = (x @ t["kernel"] + h @ t["recurrent_kernel"] + t["bias"]).chunk(4, -1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def keras_gru(t, x, h):
    xz, xr, xn = (x @ t["kernel"] + t["bias"][0]).chunk(3, -1)
    hz, hr, hn = (h @ t["recurrent_kernel"] + t["bias"][1]).chunk(3, -1)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    return (z * h + (1 - z) * tanh(xn + r * hn),)


def keras_gru_reset_before(t, x, h):
    xz, xr, xn = (x @ t["kernel"] + t["bias"]).chunk(3, -1)
    uz, ur, un = t["recurrent_kernel"].chunk(3, -1)
    z, r = sigmoid(xz + h @ uz), sigmoid(xr + h @ ur)
    return (z * h + (1 - z) * tanh(xn + (r * h) @ un),)


def haste_gru(t, x, h):
    xz, xr, xn = (x @ t["kernel"] + t["bias"]).chunk(3, -1)
    hz, hr, hn = (h @ t["recurrent_kernel"] + t["recurrent_bias"]).chunk(3, -1)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    return (z * h + (1 - z) * tanh(xn + r * hn),)


def flax_lstm(t, x, h, c):
    return keras_lstm(t, x, h, c)


def flax_gru(t, x, h):
    xr, xz, xn = (x @ t["kernel"] + t["bias"]).chunk(3, -1)
    hr, hz, hn = (h @ t["recurrent_kernel"] + t["recurrent_bias"]).chunk(3, -1)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    return ((1 - z) * tanh(xn + r * hn) + z * h,)


def onnx_gates(t, x, h, n):
    wb, rb = t["B"].chunk(2)
    return (x @ t["W"].t() + wb).chunk(n, -1), (h @ t["R"].t() + rb).chunk(n, -1), t["R"].chunk(n), rb.chunk(n)


def onnx_elman(t, x, h):
    (w,), (r,), _, _ = onnx_gates(t, x, h, 1)
    return (tanh(w + r),)


def onnx_gru(t, x, h):
    w, r, _, _ = onnx_gates(t, x, h, 3)
    z, reset = sigmoid(w[0] + r[0]), sigmoid(w[1] + r[1])
    return ((1 - z) * tanh(w[2] + reset * r[2]) + z * h,)


def onnx_gru_reset_before(t, x, h):
    w, r, matrices, biases = onnx_gates(t, x, h, 3)
    z, reset = sigmoid(w[0] + r[0]), sigmoid(w[1] + r[1])
    return ((1 - z) * tanh(w[2] + (reset * h) @ matrices[2].t() + biases[2]) + z * h,)


def onnx_lstm(t, x, h, c, coupled=False):
    w, r, _, _ = onnx_gates(t, x, h, 4)
    i, o, f, g = (a + b for a, b in zip(w, r, strict=True))
    pi, po, pf = t["P"].chunk(3) if "P" in t else (0.0, 0.0, 0.0)
    i, f = sigmoid(i + pi * c), sigmoid(f + pf * c)
    c = (1 - i if coupled else f) * c + i * tanh(g)
    return sigmoid(o + po * c) * tanh(c), c


def onnx_lstm_coupled(t, x, h, c):
    return onnx_lstm(t, x, h, c, coupled=True)


THEIRS = {
    ("keras", "elman"): keras_or_haste_elman,
    ("keras", "lstm"): keras_lstm,
    ("keras", "gru"): keras_gru,
    ("keras", "gru_reset_before"): keras_gru_reset_before,
    ("haste", "lstm"): haste_lstm,
    ("haste", "gru"): haste_gru,
    ("flax", "elman"): keras_or_haste_elman,
    ("flax", "lstm"): flax_lstm,
    ("flax", "gru"): flax_gru,
    ("onnx", "elman"): onnx_elman,
    ("onnx", "gru"): onnx_gru,
    ("onnx", "gru_reset_before"): onnx_gru_reset_before,
    ("onnx", "lstm"): onnx_lstm,
    ("onnx", "lstm_peephole"): onnx_lstm,
    ("onnx", "lstm_coupled"): onnx_lstm_coupled,
}


@pytest.mark.parametrize(("vocabulary", "name"), list(THEIRS))
def test_written_weights_run_two_steps(vocabulary, name):
    cell = catalogue()[name]
    x, states, weights = random_call(cell, steps=2)
    expected, finals, _ = sequence(cell, x, states, weights)
    tensors = write(vocabulary, cell, weights)
    now, outputs = tuple(states), []
    for x_t in x:
        now = THEIRS[vocabulary, name](tensors, x_t, *now)
        outputs.append(now[0])
    torch.testing.assert_close(torch.stack(outputs), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(list(now), finals, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("vocabulary", "name"), list(THEIRS))
def test_read_weights_run_two_steps(vocabulary, name):
    cell = catalogue()[name]
    x, states, weights = random_call(cell, steps=2)
    generator = torch.Generator().manual_seed(3)
    tensors = {
        k: torch.randn(t.shape, generator=generator, dtype=t.dtype) for k, t in write(vocabulary, cell, weights).items()
    }
    now = tuple(states)
    for x_t in x:
        now = THEIRS[vocabulary, name](tensors, x_t, *now)
    _, finals, _ = sequence(cell, x, states, read(vocabulary, cell, tensors))
    torch.testing.assert_close(list(now), finals, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", list(ORDERS["torch"]))
def test_torch(name):
    cell = catalogue()[name]
    size = 4 if cell.projected else 0
    x, states, weights = random_call(cell, steps=2, projected=size)
    kind = nn.LSTM if name.startswith("lstm") else nn.GRU if name == "gru" else nn.RNN
    options = {"proj_size": size} if size else {"nonlinearity": "relu"} if name == "elman_relu" else {}
    layer = kind(4, H, **options).double()
    layer.load_state_dict({f"{k}_l0": t for k, t in write("torch", cell, weights).items()})
    first, state = layer(x[:1], tuple(s[None] for s in states) if len(states) > 1 else states[0][None])
    second, _ = layer(x[1:], state)
    torch.testing.assert_close(
        torch.cat([first, second]), sequence(cell, x, states, weights)[0], rtol=1e-12, atol=1e-12
    )
    again = read("torch", cell, {k.removesuffix("_l0"): t for k, t in layer.state_dict().items()})
    assert all(torch.equal(a, b) for a, b in zip(again, weights, strict=True))


@pytest.mark.parametrize(("vocabulary", "name"), [(v, n) for v in ORDERS for n in ORDERS[v]])
def test_what_is_written_is_read(vocabulary, name):
    cell = catalogue()[name]
    x, states, weights = random_call(cell, projected=4 if cell.projected else 0)
    again = read(vocabulary, cell, write(vocabulary, cell, weights))
    assert [a.shape for a in again] == [w.shape for w in weights]
    expected = sequence(cell, x, states, weights)[0]
    torch.testing.assert_close(sequence(cell, x, states, again)[0], expected, rtol=1e-12, atol=1e-12)


def test_absent_biases_are_zeros():
    cell = catalogue()["lstm"]
    _, _, weights = random_call(cell)
    tensors = write("onnx", cell, weights)
    del tensors["B"]
    assert all((b == 0).all() for b in read("onnx", cell, tensors)[2:])
    layer = nn.LSTM(4, H, bias=False).double()
    bare = read("torch", cell, {k.removesuffix("_l0"): t for k, t in layer.state_dict().items()})
    assert torch.equal(bare[0], layer.weight_ih_l0) and all((b == 0).all() for b in bare[2:])
    haste = write("haste", catalogue()["gru"], random_call(catalogue()["gru"])[2])
    del haste["recurrent_bias"]
    assert (read("haste", catalogue()["gru"], haste)[3] == 0).all()


def test_permute():
    stacked = torch.arange(6.0)
    assert permute(stacked, "ifg", "gif").tolist() == [4, 5, 0, 1, 2, 3]
    assert permute(stacked[None], "ifg", "gif", dim=1).tolist() == [[4, 5, 0, 1, 2, 3]]
    assert permute(stacked, "ifg", ["-g", ".", "i"]).tolist() == [-4, -5, 0, 0, 0, 1]
    assert permute(stacked, ["-f", "g", "."], "gf").tolist() == [2, 3, 0, -1]


def test_refusals():
    with pytest.raises(ShapeError, match=r"permute: size 0 of the tensor must be a multiple of 4, .* i f g o, got 6"):
        permute(torch.zeros(6), "ifgo", "ofgi")
    with pytest.raises(InputError, match="permute: wanted must be names out of i f, got q"):
        permute(torch.zeros(6), "if", "iq")
    with pytest.raises(InputError, match="vocabulary: name must be one of torch, onnx, keras, haste, flax, got 'jax'"):
        order("jax", catalogue()["lstm"])
    with pytest.raises(InputError, match="vocabulary haste: cell must be one of gru, lstm, got slstm"):
        order("haste", catalogue()["slstm"])
