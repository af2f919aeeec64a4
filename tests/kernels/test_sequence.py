"""Kernels against the reference: every cell of the catalogue and cells composed at random, at every kind of size.

All memory that the kernels are handed is poisoned with NaN, everything they read has NaN around it, and everything they
write has marks around it.
"""

import itertools
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cells.compose import random_cell
from kernels.calls import agree, check, draw, expected, lengths_to_sizes, outputs, same_bits, watched
from ostinato import kernels
from ostinato.cells import Cell, catalogue
from ostinato.errors import ShapeError
from ostinato.kernels.system.target import host
from ostinato.sequence import Needs, SequenceCall, Upstream

pytestmark = pytest.mark.usefixtures("poisoned")
CELLS = catalogue()
DTYPES = {"float32": torch.float32, "float64": torch.float64}
ALL = (True, True, True)


def around(dtype: torch.dtype) -> list[int]:
    """Sizes where a loop over vectors may go wrong: 1, and one, two and three vectors with a number more or less."""
    v = host().lanes(str(dtype).removeprefix("torch."))
    return sorted({1, v - 1, v, v + 1, 2 * v - 1, 2 * v, 2 * v + 1, 3 * v + 1})


def shapes(dtype: torch.dtype) -> list[dict]:
    """Calls in which C, H and P run through all sizes, B up to 17 and T from 1 on, dense and ragged, both ways."""
    n = around(dtype)
    found = []
    for k, H in enumerate(n):
        T, B = (1, 2, 3, 5, 9, 4, 7, 6)[k], (1, 17, 2, 5, 3, 9, 6, 13)[k]
        C, P = n[(3 * k + 1) % len(n)], n[(5 * k + 2) % len(n)]
        call = {"T": T, "B": B, "C": C, "H": H, "P": P, "reverse": k % 4 > 1, "seed": k}
        if k % 2:
            lengths = sorted(((7 * b + k) % T + 1 for b in range(B - 1)), reverse=True)
            call["sizes"] = lengths_to_sizes([T, *lengths])
        found.append(call)
    return found


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_every_cell_at_every_kind_of_size(cell: Cell, dtype: torch.dtype):
    for shape in shapes(dtype):
        check(draw(cell, dtype=dtype, **shape), context=shape)


@pytest.mark.parametrize("name", ["lstm", "gru", "mingru"])
def test_without_biases(name: str):
    bare = CELLS[name].without_bias()
    call = draw(bare, T=4, B=3, H=11)
    check(call)
    zeros = [
        torch.zeros(shape, dtype=torch.float64) if "bias" in n else dict(zip(bare.parameters(1, 1), call.weights))[n]
        for n, shape in CELLS[name].parameters(7, 11).items()
    ]
    same = replace(call, cell=CELLS[name], weights=zeros)
    same_bits(call.forward()[0], same.forward()[0], "biases that are zero")


def test_a_pinned_order_of_gates():
    """The same equations with weights stacked in another order: other kernels, equal results for permuted weights."""
    pinned = Cell(CELLS["lstm"].fn, gates="o f i g")
    call = draw(CELLS["lstm"], T=4, B=3, H=11)
    check(replace(call, cell=pinned))
    order = [CELLS["lstm"].gates["W"].index(g) for g in pinned.gates["W"]]
    assert order == [3, 1, 0, 2]
    weights = [torch.cat([w.chunk(4)[k] for k in order]) for w in call.weights]
    same_bits(replace(call, cell=pinned, weights=weights).forward()[0], call.forward()[0])


def test_the_sizes_are_those_that_matter():
    for dtype in DTYPES.values():
        drawn, n = shapes(dtype), around(dtype)
        assert all({s[k] for s in drawn} == set(n) for k in "CHP"), drawn
        assert {s["B"] for s in drawn} >= {1, 17} and {s["T"] for s in drawn} >= {1, 9}
        kinds = {("sizes" in s, s["reverse"]) for s in drawn}
        assert kinds == set(itertools.product((False, True), repeat=2))


@pytest.mark.parametrize("name", [n for n, c in CELLS.items() if len(c.states) > 1 or c.output_state is None])
def test_states_of_every_step(name: str):
    for sizes in (None, [4, 4, 3, 1]):
        call = draw(CELLS[name], T=4, B=4, sizes=sizes, reverse=sizes is None, histories=True)
        check(call, histories=True)
        several = len(call.d_histories)
        for missing in range(several if several > 1 else 0):
            kept = [None if k == missing else d for k, d in enumerate(call.d_histories)]
            check(replace(call, d_histories=kept), histories=True, context=f"without gradient {missing}")


def test_states_of_every_step_without_gradients():
    call = draw(CELLS["slstm"], T=3, B=2)
    with watched(call) as inside:
        output, finals, histories, kept = inside.forward(keep=False, histories=True)
    assert kept == [] and len(histories) == 3
    agree("outputs", outputs(call, output, finals, histories), expected(call)[0], torch.float64)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_results_that_no_loss_looks_at(cell: Cell):
    call = draw(cell, T=3, B=4, H=9, sizes=[4, 3, 1])
    n = len(call.states)
    check(replace(call, d_output=None), context="no gradient of the output")
    check(replace(call, d_finals=[None] * n), context="none of the final states")
    for k in range(n if n > 1 else 0):
        one = [d if j == k else None for j, d in enumerate(call.d_finals)]
        check(replace(call, d_output=None, d_finals=one), context=f"of final state {k} alone")
    nothing = replace(call, d_output=None, d_finals=[None] * n).gradients()
    for name, d in nothing.items():
        assert not d.any(), f"{name} has a gradient, and nothing arrived"


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "indrnn", "slstm", "lstm_projected"])
def test_only_the_gradients_that_are_asked_for(name: str):
    call = draw(CELLS[name], T=4, B=3, H=11, dtype=torch.float32)
    with watched(call) as inside:
        output, _, _, kept = inside.forward()
        dx, d_states, d_weights = inside.backward(output, kept)
        for needs in itertools.product((False, True), repeat=3):
            x, states, weights = inside.backward(output, kept, needs)
            assert (x is not None) == needs[0] and (len(weights) > 0) == needs[2]
            if needs[0]:
                same_bits(x, dx, f"x {needs}")
            if needs[1]:
                assert len(states) == len(d_states)
            for found, whole in [*zip(states, d_states), *zip(weights, d_weights)]:
                same_bits(found, whole, needs)


# NaN


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_nan_in_the_input_reaches_the_steps_it_should(cell: Cell, reverse: bool):
    T, B, t, b = 6, 5, 3, 2
    call = draw(cell, T=T, B=B, H=11, dtype=torch.float64, reverse=reverse)
    ill = replace(call, x=call.x.clone())
    ill.x[t, b, 1] = float("nan")
    output, finals, _, _ = ill.forward()
    clean = call.forward()
    reached = set(range(t + 1)) if reverse else set(range(t, T))
    for step, row in itertools.product(range(T), range(B)):
        if row == b and step in reached:
            assert output[step, row].isnan().any(), f"lost at step {step}"
        else:
            same_bits(output[step, row], clean[0][step, row], f"step {step}, row {row}")
    wanted = expected(ill)[0]
    assert (output.isnan() == wanted["output"].isnan()).all()
    for name, found, before in zip(cell.states, finals, clean[1]):
        assert (found.isnan() == wanted[f"final {name}"].isnan()).all(), name
        others = [row for row in range(B) if row != b]
        same_bits(found[others], before[others], name)


def test_nan_in_one_row_leaves_the_gradients_of_the_others():
    for name in ("lstm", "gru", "slstm", "elman_relu", "mingru"):
        call = draw(CELLS[name], T=4, B=5, H=9)
        ill = replace(call, x=call.x.clone())
        ill.x[1, 2] = float("nan")
        found, clean = ill.gradients(), call.gradients()
        others = [0, 1, 3, 4]
        same_bits(found["x"][:, others], clean["x"][:, others], name)
        for state in call.cell.states:
            same_bits(found[state][others], clean[state][others], f"{name} {state}")
        assert found["weight_ih"].isnan().any(), name


# No steps, no rows


@pytest.mark.parametrize("name", ["elman", "gru", "lstm", "lstm_projected", "slstm", "indrnn"])
@pytest.mark.parametrize(
    "shape",
    [{"T": 0, "B": 3}, {"T": 4, "B": 0}, {"T": 0, "B": 0}, {"B": 3, "sizes": []}, {"B": 0, "sizes": []}],
    ids=["T=0", "B=0", "T=B=0", "R=0", "R=B=0"],
)
def test_nothing_to_do(name: str, shape: dict):
    several = len(CELLS[name].states) > 1
    call = draw(CELLS[name], H=10, P=6, histories=several, **shape)
    output, finals, histories, kept = call.forward(histories=several)
    wanted = expected(call)[0]
    assert {k: tuple(v.shape) for k, v in outputs(call, output, finals, histories).items()} == {
        k: tuple(v.shape) for k, v in wanted.items()
    }
    for final, start in zip(finals, call.states):
        same_bits(final, start)
        assert final.numel() == 0 or final.data_ptr() != start.data_ptr(), (
            "the final state is the initial state's memory"
        )
    dx, d_states, d_weights = call.backward(output, kept)
    assert dx is not None and dx.shape == call.x.shape
    for found, arrived in zip(d_states, call.d_finals):
        same_bits(found, arrived)
    for d, w in zip(d_weights, call.weights, strict=True):
        assert d.shape == w.shape and not d.any()
    without = replace(call, d_output=None, d_finals=[None] * len(finals), d_histories=[None] * len(histories))
    assert not any(d.any() for d in without.backward(output, kept)[1])


def test_rows_of_no_step():
    """A row that has no step ends where it began, and its gradient passes through."""
    call = draw(CELLS["lstm"], B=5, sizes=[3, 1])
    check(call)
    finals, gradients = call.forward()[1], call.gradients()
    for name, final, start, arrived in zip(call.cell.states, finals, call.states, call.d_finals):
        same_bits(final[3:], start[3:])
        same_bits(gradients[name][3:], arrived[3:])


def test_steps_of_no_row():
    """The last steps of a packed batch may have no rows at all."""
    for reverse in (False, True):
        check(draw(CELLS["gru"], B=4, sizes=[3, 1, 0, 0], reverse=reverse))


@pytest.mark.parametrize("sizes", [[2, 3], [5, 1], [3, -1, 2], [4, 4, 5]])
def test_sizes_that_grow_are_refused(sizes: list[int]):
    call = draw(CELLS["lstm"], B=4, sizes=sizes)
    output, _, _, kept = draw(CELLS["lstm"], B=4, sizes=[4, 1]).forward()
    message = r"kernels: sizes must be rows for each step, never more than in the step before and at most 4, got \["
    with pytest.raises(ShapeError, match=message):
        call.forward()
    with pytest.raises(ShapeError, match=message):
        call.backward(output, kept)


def test_tensors_of_other_sizes_are_refused():
    """A kernel trusts its frame, so what does not fit is refused before."""
    call = draw(CELLS["lstm"], T=4, B=3, C=5, H=9)
    output, _, _, kept = call.forward()
    wrong = [
        ("x", [4, 3, 5], [4, 2, 5], replace(call, x=call.x[:, :2].contiguous())),
        ("weight_ih", [36, 4], [36, 5], replace(call, x=call.x[..., :4].contiguous())),
        ("x", [12, 3, 5], [12, 5], replace(call, x=call.x.view(12, 5))),
        ("state c", [3, 9], [2, 9], replace(call, states=[call.states[0], call.states[1][:2]])),
        ("state c", [3, 9], [3, 8], replace(call, states=[call.states[0], call.states[1][:, :8].contiguous()])),
        ("weight_ih", [36, 5], [35, 5], replace(call, weights=[call.weights[0][:-1], *call.weights[1:]])),
        ("weight_ih", [36, 5], [5, 36], replace(call, weights=[call.weights[0].view(5, 36), *call.weights[1:]])),
        ("weight_ih", [36, 5], [36], replace(call, weights=call.weights[::-1])),
        ("x", [6, 5], [5, 5], replace(draw(CELLS["lstm"], B=3, C=5, H=9, sizes=[3, 2]), sizes=[3, 3])),
    ]
    for name, shape, received, bad in wrong:
        message = re.escape(f"cell lstm: {name} must be of shape {shape}, got {received}. Give tensors of one size")
        with pytest.raises(ShapeError, match=message):
            bad.forward()
        with pytest.raises(ShapeError, match="cell lstm: .* must be of shape"):
            bad.backward(output, kept)


@pytest.mark.parametrize("bounds", [(0.3, -0.3), (0.0, -0.0), (-0.3, 0.3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_clamp_is_torchs_where_its_bounds_are_crossed_and_where_a_value_is_nan(bounds, dtype):
    """torch takes the upper bound last: clamp(a, 0.3, -0.3) is -0.3 everywhere and has no gradient, NaN stays NaN."""
    low, high = bounds
    cell = Cell.from_text(f"def clamped(W, x, h):\n    return clamp(W.a @ x, min={low}, max={high}) + 0.5 * h\n")
    values = torch.tensor([-1.0, -0.3, -0.0, 0.0, 0.1, 0.3, 2.0, torch.nan], dtype=dtype)
    x, h, W = values.view(1, -1, 1), torch.zeros(8, 1, dtype=dtype), torch.ones(1, 1, dtype=dtype)
    call = SequenceCall(cell, x, [h], [W])
    result = kernels.forward(call, True, False)
    output = result.output
    given = values.clone().requires_grad_()
    expected = given.clamp(low, high)
    assert torch.equal(output.flatten().isnan(), values.isnan())
    assert torch.equal(output.flatten()[:-1], expected[:-1].detach())
    d = torch.arange(1.0, 9.0, dtype=dtype)
    found = kernels.backward(call, result, Upstream(d.view(1, -1, 1), [None], []), Needs(True, False, False))
    assert torch.equal(found.x.flatten(), torch.autograd.grad(expected, given, d)[0])


# Shapes of a size of their own


@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_before", "slstm"])
def test_across_chunks_and_blocks(name: str):
    """Longer than what is multiplied ahead of the loop and than a block of backpropagation, ragged and dense."""
    check(draw(CELLS[name], T=70, B=11, C=3, H=5, dtype=torch.float64))
    lengths = [130, 129, 97, 96, 60, 3, 1]
    check(draw(CELLS[name], B=7, C=3, H=5, sizes=lengths_to_sizes(lengths), reverse=True))
    check(draw(CELLS[name], T=1100, B=1, C=2, H=3))


def test_projections_wider_than_the_state():
    for P in (1, 16, 33):
        check(draw(CELLS["lstm_projected"], H=9, P=P), context=P)


def test_gates_that_saturate():
    """Arguments far beyond where sigmoid and tanh end; what comes out is finite, and so is every gradient."""
    for name in ("lstm", "gru", "slstm", "minlstm"):
        for dtype in DTYPES.values():
            call = draw(CELLS[name], T=4, H=9, dtype=dtype)
            call = replace(call, x=call.x * 300)
            output, finals, _, kept = call.forward()
            assert all(t.isfinite().all() for t in (output, *finals)), name
            assert all(g.isfinite().all() for g in call.gradients().values()), name
            if dtype == torch.float64:  # float32's own rounding of arguments of this size is beyond its tolerance
                agree("outputs", {"output": output}, expected(call)[0], dtype, name)


def test_float32_and_float64_are_what_is_supported():
    for dtype in (torch.float32, torch.float64):
        assert kernels.supported(torch.empty(1, dtype=dtype))
    for dtype in (torch.float16, torch.bfloat16, torch.int64):
        assert not kernels.supported(torch.empty(1, dtype=dtype))
    assert not kernels.supported(torch.empty(1, device="meta"))


# Cells nobody wrote


@pytest.mark.slow
@settings(
    derandomize=True, max_examples=10, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip
@given(st.data())
def test_random_cells(data: st.DataObject):
    cell = random_cell(data.draw)
    sizes = around(torch.float64)
    for reverse in (False, True):
        C, H, P = (data.draw(st.sampled_from(sizes)) for _ in range(3))
        lengths = sorted(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=6)), reverse=True)
        shape = {"T": lengths[0], "B": len(lengths), "C": C, "H": H, "P": P, "reverse": reverse}
        check(draw(cell, **shape, sizes=lengths_to_sizes(lengths)), context=cell.text)
        check(draw(cell, **shape), context=cell.text)
