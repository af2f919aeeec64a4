"""Number types: half precision, autocast, and what is refused."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from layers.small import Net, agree, draw, flat, run
from ostinato.errors import InputError

NN = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [*NN, "lstm_projected"])
def test_autocast_returns_what_torch_nn_returns(name, low):
    if name == "lstm" and low is torch.float16 and not torch.backends.mkldnn.is_available():
        pytest.skip("needs oneDNN")
    layer = NN[name](4, 6) if name in NN else nn.LSTM(4, 6, proj_size=2)
    weights = [p for n, p in layer.named_parameters() if "hr" not in n]
    if name not in NN:
        weights.insert(2, layer.weight_hr_l0)
    cell, x, states, _ = draw(name)
    start = tuple(s[None] for s in states)
    compared = missing = 0
    for x_, kept in ((x, start), (x.to(low), start), (pack_padded_sequence(x, [5, 3, 2]), start)):
        with torch.autocast("cpu", dtype=low), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, on projections without oneDNN
            try:
                output, last = layer(x_, kept if len(kept) > 1 else kept[0])
            except RuntimeError as e:
                assert name == "lstm" and "primitive" in str(e)  # oneDNN has no LSTM of this type on this machine
                missing += 1
                continue
            sizes = getattr(x_, "batch_sizes", None)
            found = run(cell, getattr(x_, "data", x_), states, weights, sizes)
            last = last if isinstance(last, tuple) else (last,)
            expected = [output if sizes is None else output.data, *(s[0] for s in last)]
        assert [t.dtype for t in flat(found)] == [t.dtype for t in expected]
        for a, b in zip(flat(found), expected):
            torch.testing.assert_close(a, b, rtol=0.05, atol=0.02)
        compared += 1
    assert compared + missing == 3 and (compared >= 2 or missing)


def test_autocast_computes_in_float32_and_leaves_float64_alone():
    cell, x, states, weights = draw("gru", gradients=True)
    exact = run(cell, x, states, weights)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(cell, x, states, weights)[0]
    assert torch.equal(found, exact.to(found.dtype))
    inputs = [x, *states, *weights]
    agree(torch.autograd.grad(found.sum(), inputs), torch.autograd.grad(exact.sum(), inputs), gradients=True)
    cell, x, states, weights = draw("gru", dtype=torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(run(cell, x, states, weights)[0], run(cell, x, states, weights)[0].double())


def test_autocast_under_a_transform_computes_in_float32_too():
    cell, x, states, weights = draw("gru")
    exact = flat(run(cell, x, states, weights))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = torch.func.vmap(lambda x: tuple(flat(run(cell, x, states, weights))))(x[None])
    agree([t[0] for t in found], exact)


@pytest.mark.parametrize("name", ["gru", "lstm", "elman"])
def test_autocast_and_compile_agree_on_number_types(name):
    net, x = Net(name), draw(name)[1]
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = compiled(x), net(x)
    assert [t.dtype for t in found] == [t.dtype for t in expected]
    assert all(torch.equal(a, b) for a, b in zip(found, expected))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_types_on_a_cpu_are_computed_in_float32(kind):
    cell, x, states, weights = draw("lstm", dtype=kind, gradients=True)
    found = flat(run(cell, x, states, weights, histories=True))
    exact = flat(run(cell, x.float(), [s.float() for s in states], [w.float() for w in weights], histories=True))
    assert all(a.dtype == kind and torch.equal(a, b.to(kind)) for a, b in zip(found, exact))
    for a, b in zip(torch.autograd.grad(found[0].float().sum(), weights), torch.autograd.grad(exact[0].sum(), weights)):
        assert a.dtype == kind
        torch.testing.assert_close(a, b.to(kind), rtol=2e-2, atol=1e-3)


def test_other_number_types_are_refused():
    cell, x, states, weights = draw("gru")

    def message(*arguments):
        with pytest.raises(InputError) as caught:
            run(cell, *arguments)
        return str(caught.value)

    assert message(x.double(), states, weights) == (
        "ostinato: x, states and weights must be of one number type, that of x (torch.float64), got torch.float32. "
        "Convert x with x.to(dtype) or the layer with layer.to(dtype)."
    )
    assert message(x, states, [w.to("meta") for w in weights]) == (
        "ostinato: x, states and weights must be on one device, that of x (cpu), got meta. "
        "Move x with x.to(device) or the layer with layer.to(device)."
    )
    assert message(x.cfloat(), [s.cfloat() for s in states], [w.cfloat() for w in weights]) == (
        "ostinato: the number type must be float32, float64, bfloat16 or float16, got torch.complex64. "
        "Convert the input and the layer with .to(torch.float32) or .to(torch.float64)."
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "float32, bfloat16 or float16 under autocast, got torch.float64" in message(
            x, states, [w.double() for w in weights]
        )
