"""Options in a cell's equations, against loops written by hand and torch's own layer norm; and what stays as it was."""

import pickle

import pytest
import torch
from torch.nn.functional import layer_norm

from cells.compose import random_call
from ostinato.cells import Cell, catalogue, cell
from ostinato.cells.noise import draw
from ostinato.cells.reference import sequence
from ostinato.cells.transforms import CellTransform, gate_values, transformed_cell
from ostinato.errors import CellError
from tolerance import check

EVERY = CellTransform(
    layer_norm=True,
    recurrent_dropout=0.25,
    gate_dropout=(("g", 0.5),),
    zoneout=(("c", 0.25), ("h", 0.125)),
    clip_gradient=0.125,
    clip_state=(("c", 0.75),),
)
NOISE = torch.tensor([11, 0, 2, *range(3)])


def lstm_by_hand(parts, x, h, c, o):
    """An LSTM with the options `o`, one line of the papers after the other. Masks from the definition of `noise`."""
    W, U, b, d, p = (parts.get(k, {}) for k in "WUbdp")
    size = h.shape[-1]
    outputs, into, gate, zone_c, zone_h = [], *[torch.ones_like(h)] * 2, *[torch.zeros_like(h)] * 2
    names = sorted([*["gate_g"] * bool(o.gate_dropout), *(f"zone_{s}" for s, _ in o.zoneout)])
    for t in range(len(x)):
        if o.recurrent_dropout:
            (u,) = draw(NOISE, t, 3, [(True, 0, size)], h)
            into = (u >= o.recurrent_dropout).to(h.dtype) / (1 - o.recurrent_dropout)
        uniform = dict(zip(names, draw(NOISE, t, 3, [(False, k, size) for k in range(len(names))], h), strict=True))
        if o.gate_dropout:
            gate = (uniform["gate_g"] >= 0.5).to(h.dtype) / 0.5
        zones = dict(o.zoneout)
        zone_c = (uniform["zone_c"] < zones["c"]).to(h.dtype) if "c" in zones else zone_c
        zone_h = (uniform["zone_h"] < zones["h"]).to(h.dtype) if "h" in zones else zone_h
        sums = {}
        for g in "ifgo":
            own, past = x[t] @ W[g].t(), (h * into) @ U[g].t()
            if o.layer_norm:
                own, past = (layer_norm(v, (size,)) * p[f"norm_{k}_{g}"] for k, v in (("W", own), ("U", past)))
            sums[g] = own + past + b[g] + d[g]
            if o.clip_gradient is not None and sums[g].requires_grad:
                bound = o.clip_gradient
                sums[g].register_hook(lambda grad, bound=bound: grad.clamp(-bound, bound))
        i, f, out = (sums[g].sigmoid() for g in "ifo")
        new = f * c + i * (sums["g"].tanh() * gate)
        if o.clip_state:
            new = new.clamp(-o.clip_state[0][1], o.clip_state[0][1])
        h, c = zone_h * h + (1 - zone_h) * (out * new.tanh()), zone_c * c + (1 - zone_c) * new
        outputs.append(h)
    return torch.stack(outputs), h, c


def alone(**option):
    return pytest.param(CellTransform(**option), id=next(iter(option)))


@pytest.mark.parametrize(
    "options",
    [pytest.param(EVERY, id="all"), *(alone(**{k: getattr(EVERY, k)}) for k in vars(EVERY) if k != "expected_zoneout")],
)
def test_against_a_loop_written_by_hand(options):
    c = transformed_cell(catalogue()["lstm"], options)
    x, states, weights = random_call(c, requires_grad=True)
    output, finals, _ = sequence(c, x, states, weights, noise=NOISE)
    expected = lstm_by_hand(c.split(weights), x, *states, options)
    names, leaves = ["output", *c.states], dict(zip(["x", *c.states, *c.parameters(4, 6)], (x, *states, *weights)))
    check("outputs", dict(zip(names, (output, *finals))), dict(zip(names, expected)))
    seeds = [torch.randn_like(t) for t in expected]
    found = torch.autograd.grad([output, *finals], list(leaves.values()), seeds)
    wanted = torch.autograd.grad(expected, list(leaves.values()), seeds)
    check("gradients", dict(zip(leaves, found)), dict(zip(leaves, wanted)))
    if options != CellTransform(layer_norm=True):
        plain = sequence(transformed_cell(c, CellTransform()), x, states, weights, noise=NOISE)
        assert torch.equal(plain[0], output)


def test_expected_zoneout_is_the_mean_over_masks():
    """In one step, where the mean over all masks is known: z · old + (1 - z) · new."""
    plain = catalogue()["gru"]
    c = transformed_cell(plain, CellTransform(expected_zoneout=(("h", 0.25),)))
    x, (h,), weights = random_call(c, steps=1)
    _, (new,) = plain.step(weights, x[0], [h])
    assert c.random == ()
    torch.testing.assert_close(c.step(weights, x[0], [h])[0], 0.25 * h + 0.75 * new, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("option", ["recurrent_dropout", "gate_dropout", "zoneout"])
def test_right_in_expectation(option):
    """One linear step over 20,000 masks: the mean is the plain step's, or that of the expected zoneout."""
    linear = cell(lambda W, U, x, h: W.g @ x + U.g @ h, name="linear")
    kept = cell(lambda W, U, x, h: torch.tanh(W.g @ x + U.g @ h), name="kept")
    value = {"recurrent_dropout": 0.3, "gate_dropout": (("g", 0.3),), "zoneout": (("h", 0.3),)}[option]
    source = linear if option == "recurrent_dropout" else kept
    c = transformed_cell(source, CellTransform(**{option: value}))
    rows = 20_000
    _, (h,), weights = random_call(c, rows=1)
    x = torch.randn(1, 1, 4, dtype=torch.float64)
    noise = torch.tensor([3, 0, 0, *range(rows)])
    output, _, _ = sequence(c, x.expand(1, rows, 4), [h.expand(rows, 6)], weights, noise=noise)
    without = CellTransform(expected_zoneout=value) if option == "zoneout" else CellTransform()
    expected, _ = transformed_cell(source, without).step(weights, x[0], [h])
    spread = output[0].std(0)
    assert (spread > 0).all()
    assert ((output[0].mean(0) - expected[0]).abs() <= 5 * spread / rows**0.5).all()


@pytest.mark.parametrize("name", list(catalogue()))
def test_weights_and_orders_stay(name):
    source = catalogue()[name]
    options = CellTransform(
        layer_norm=True,
        recurrent_dropout=0.5 if "U" in source.letters else 0.0,
        gate_dropout=tuple((g, 0.5) for g in gate_values(source)[:1]),
        zoneout=tuple((s, 0.5) for s in sorted(source.states)),
        clip_gradient=1.0,
        clip_state=((source.states[0], 2.0),),
    )
    for plain in (source, source.without_bias()):
        c = transformed_cell(plain, options)
        shapes = c.parameters(3, 5)
        assert {k: v for k, v in shapes.items() if not k.startswith("p_norm")} == plain.parameters(3, 5)
        assert {k: c.gates[k] for k in plain.gates if k != "p"} == {k: v for k, v in plain.gates.items() if k != "p"}
        assert c.roles == plain.roles and c.states == plain.states and c.name.startswith(plain.name + "_layer_norm")
        assert {k: v for k, v in c.init.items() if "norm" not in k} == plain.init
        gains = [k for k in c.init if "norm" in k]
        products = [(k, n) for k in "WU" for n in plain.gates.get(k, ())]
        assert sorted(gains) == sorted(f"p.norm_{k}_{n}" for k, n in products)
        for again in (Cell.from_text(c.text), pickle.loads(pickle.dumps(c))):
            assert again == c and again.random == c.random and again.gates == c.gates


def test_without_options_a_cell_is_itself():
    c = catalogue()["lstm"]
    assert transformed_cell(c, CellTransform()) is c


def test_clip_gradient_of_products_that_meet_behind_functions_alone():
    """Such a gate has no single pre-activation; each of its products is clamped."""
    apart = cell(lambda W, U, x, h: torch.tanh(W.a @ x) * torch.sigmoid(U.a @ h), name="apart")
    c = transformed_cell(apart, CellTransform(clip_gradient=0.5))
    assert c.equations.count("clip_gradient") == 2


def test_a_vector_of_the_name_of_a_gain_is_refused():
    taken = cell(lambda W, U, p, x, h: torch.tanh(W.h @ x + U.h @ h) * p.norm_W_h, name="taken")
    with pytest.raises(CellError, match=r"its vectors must be free of the name norm_W_h, got p\.norm_W_h\. Give the"):
        transformed_cell(taken, CellTransform(layer_norm=True))
