"""The derivative against torch's autograd: every adjoint, its corners included, and whole sequences of every cell."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import clamp, exp, log, maximum, minimum, relu, sigmoid, sqrt, tanh, where
from torch.nn.functional import leaky_relu, softplus

from cells.compose import random_call, random_cell
from cells.interpret import bptt
from ostinato.cells import Cell, catalogue, cell, clip_gradient, mean, norm
from ostinato.cells.derivative import differentiate
from ostinato.cells.operations import COMPARISONS, POINTWISE
from ostinato.cells.operations import OPERATIONS as TABLE
from ostinato.cells.reference import sequence
from tolerance import error

ROWS = torch.tensor(
    [
        [0.0, -0.0, 1.0, -1.0, 0.5, -0.5],
        [0.3, 0.3, -0.7, 2.0, 19.0, -40.0],
        [0.5, 1.0, 0.25, 1.5, 3.0, 0.1],
    ],
    dtype=torch.float64,
)
OTHERS = torch.tensor(
    [
        [0.0, 0.0, 1.0, 1.0, -0.5, -0.5],
        [0.3, -0.3, 2.0, -0.7, 1.0, 3.0],
        [2.0, 0.5, 0.25, 0.1, -3.0, 0.2],
    ],
    dtype=torch.float64,
)
POSITIVE = {"log", "sqrt", "div"}

OPERATIONS = {
    "add": lambda h, c: h + c,
    "sub": lambda h, c: h - c,
    "mul": lambda h, c: h * c,
    "div": lambda h, c: c / h,
    "neg": lambda h, c: -h,
    "sigmoid": lambda h, c: sigmoid(h),
    "tanh": lambda h, c: tanh(h),
    "relu": lambda h, c: relu(h),
    "leaky_relu": lambda h, c: leaky_relu(h, 0.2),
    "softplus": lambda h, c: softplus(h),
    "exp": lambda h, c: exp(h),
    "log": lambda h, c: log(h),
    "sqrt": lambda h, c: sqrt(h),
    "minimum": lambda h, c: minimum(h, c),
    "maximum": lambda h, c: maximum(h, c),
    "clamp": lambda h, c: clamp(h, -0.5, 0.5),
    "where": lambda h, c: where(h > c, h * c, c),
    "mean": lambda h, c: mean(h) * c,
    "norm": lambda h, c: norm(h) * c,
    "clip_gradient": lambda h, c: clip_gradient(h * c, 0.3) * c,
}
MORE = {
    "clamp above": lambda h, c: clamp(h, min=0.3),
    "clamp below": lambda h, c: clamp(h, max=0.3),
    "clamp with its bounds exchanged": lambda h, c: clamp(h, 0.5, -0.5),
    "where not less": lambda h, c: where(h >= c, h, c * c),
    "where less": lambda h, c: where(h < c, h, 0.25),
    "where at most": lambda h, c: where(h <= 0.5, 2.0, c),
    "maximum of one value": lambda h, c: maximum(h, h) * c,
    "a value read three times": lambda h, c: h * h * h + h,
    "numbers": lambda h, c: 1 / (3 + c * c) - (2 - h) * 0.5 + h / 4,
    "norm of a sum": lambda h, c: norm(h + c, 0.3) * norm(c),
    "norm beside its own mean": lambda h, c: norm(h * c) * mean(h * c) + mean(h),
    "norm of a mean": lambda h, c: norm(mean(h)) + norm(c),
    "mean of a mean": lambda h, c: mean(mean(h) * mean(h * c) + 1),
    "mean of a mean, of width H": lambda h, c: mean(mean(h) * c) + h,
    "leaky_relu that falls": lambda h, c: leaky_relu(h, -0.5),
    "sums within a mean": lambda h, c: mean(c + h * 2) * 3,
}


def test_the_table_is_whole():
    differentiable = set(POINTWISE) - COMPARISONS | {"mean", "norm", "clip_gradient"}
    assert {name for name, row in TABLE.items() if row.adjoint} == differentiable == set(OPERATIONS)


@pytest.mark.parametrize("name", [*OPERATIONS, *MORE])
def test_adjoint(name):
    fn = {**OPERATIONS, **MORE}[name]
    states = [ROWS, OTHERS]
    if name in POSITIVE:
        states = [ROWS.abs() + 0.125, OTHERS]
    traced = cell(lambda W, x, h, c: (fn(h, c), 0 * h + W.h @ x, c), name="one_operation")
    assert name.split()[0] in {v.op for v in traced.trace.graph.nodes} or name in MORE
    x, weights = torch.ones(1, 3, 2, dtype=torch.float64), [torch.zeros(6, 2, dtype=torch.float64)]
    seed = torch.linspace(-1, 1.5, 18, dtype=torch.float64).reshape(3, 6)
    nothing = [torch.zeros_like(s) for s in states]
    output, _, _, found, _ = bptt(traced, x, states, weights, seed[None], nothing)
    given = [s.clone().requires_grad_() for s in states]
    expected = fn(*given).expand(3, 6)
    gradients = torch.autograd.grad(expected, given, seed, allow_unused=True)
    assert torch.equal(output[0], expected)
    for a, b in zip(found, gradients, strict=True):
        torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["relu", "leaky_relu", "maximum", "minimum", "clamp", "sigmoid", "tanh", "softplus", "exp"]
)
def test_corners_are_torchs_exactly(name):
    at = torch.tensor([[0.0, -0.0, 0.5, -0.5, 20.0, 25.0]], dtype=torch.float64)
    fn = OPERATIONS[name]
    traced = cell(lambda W, x, h, c: (fn(h, c), 0 * h + W.h @ x, c), name="corner")
    x, weights = torch.ones(1, 1, 2, dtype=torch.float64), [torch.zeros(6, 2, dtype=torch.float64)]
    one = torch.ones_like(at)
    _, _, _, found, _ = bptt(traced, x, [at, at], weights, one[None], [0 * at, 0 * at])
    given = [at.clone().requires_grad_() for _ in range(2)]
    expected = torch.autograd.grad(fn(*given), given, one, allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b, rtol=1e-15, atol=0)


def gradients_agree(c: Cell, seed: int = 0, steps: int = 5):
    size = 4 if c.projected else 0
    x, states, weights = random_call(c, steps=steps, projected=size, seed=seed, requires_grad=True)
    output, finals, _ = sequence(c, x, states, weights)
    generator = torch.Generator().manual_seed(seed)
    seeds = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in (output, *finals)]
    wanted = [(t, s) for t, s in zip((output, *finals), seeds, strict=True) if t.requires_grad]
    leaves = (x, *states, *weights)
    tensors, arriving = [t for t, _ in wanted], [s for _, s in wanted]
    expected = torch.autograd.grad(tensors, leaves, arriving, allow_unused=True)
    with torch.no_grad():
        own_output, own_finals, dx, dstates, dweights = bptt(c, x, states, weights, seeds[0], seeds[1:])
    for a, b in zip((own_output, *own_finals), (output, *finals), strict=True):
        assert error(a, b) <= 1e-12
    largest = max([g.abs().max().item() for g in expected if g is not None], default=0.0)
    for a, b in zip((dx, *dstates, *dweights), expected, strict=True):
        b = torch.zeros_like(a) if b is None else b
        # A gradient that is 0 but for rounding, as that of what norm takes away, has no digits to compare.
        assert error(a, b, largest) <= 1e-10 or (a - b).abs().max() <= 1e-14


@pytest.mark.parametrize("name", list(catalogue()))
def test_backpropagation_through_time_of_every_cell(name):
    gradients_agree(catalogue()[name], steps=9)
    gradients_agree(catalogue()[name].without_bias(), seed=1)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_backpropagation_through_time_of_random_cells(data):
    gradients_agree(random_cell(data.draw))


@pytest.mark.parametrize("seed", range(40))
def test_backpropagation_through_time_of_random_cells_from_seeds(seed):
    gradients_agree(random_cell(seed), seed=seed)


def test_differentiating_twice_adds_nothing():
    trace = catalogue()["gru"].trace
    first = differentiate(trace)
    nodes = len(trace.graph.nodes)
    assert differentiate(trace) == first and len(trace.graph.nodes) == nodes


def test_what_nothing_depends_on_has_gradient_zero():
    @cell
    def forgetful(W, x, h, c):
        return tanh(W.h @ x), c

    derivative = differentiate(forgetful.trace)
    assert derivative.states[0].op == "const" and derivative.states[0].attr == 0.0
    assert derivative.states[1] is derivative.seed_states[1]
    assert derivative.products.keys() == {("W", "h")} and not derivative.vectors


def test_unbounded_sides_of_clamp_ask_nothing():
    @cell
    def one_sided(W, x, h):
        return clamp(W.h @ x + h, max=1.0)

    differentiate(one_sided.trace)
    assert all(abs(v.attr) < 2 for v in one_sided.trace.graph.nodes if v.op == "const")
