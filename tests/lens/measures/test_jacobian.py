"""Jacobians of steps and of products of steps, where the answer is known."""

import json
import math

import pytest
import torch

import ostinato
from layers.small import draw
from ostinato.cells import catalogue
from ostinato.errors import InputError
from ostinato.lens import jacobian, step_jacobians
from ostinato.lens.measures.long_matrix_products import frame


@ostinato.cell
def decay(W, p, x, h):
    return W.h @ x + p.a * h


@ostinato.cell
def linear(W, U, x, h):
    return W.h @ x + U.h @ h


def layer_of(cell, hidden=5, scale=1.0, **options):
    torch.manual_seed(4)
    layer = ostinato.Recurrent(cell, 3, hidden, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(scale)
    return layer


def along(run_layer, x, state=None):
    """Autograd through the layer itself, one step at a time: J_t [T, N, N] of row 0."""
    found = []
    for x_t in x.split(1):
        _, new = run_layer(x_t, state)
        parts = (new,) if isinstance(new, torch.Tensor) else new
        old = (
            [torch.zeros_like(s) for s in parts] if state is None else (state if isinstance(state, tuple) else (state,))
        )

        def step(whole, old=old, x_t=x_t):
            pieces = [p.clone() for p in old]
            at = 0
            for p in pieces:
                p[0, 0] = whole[at : at + p.shape[-1]]
                at += p.shape[-1]
            _, after = run_layer(x_t, tuple(pieces) if len(pieces) > 1 else pieces[0])
            return torch.cat([s[0, 0] for s in (after if isinstance(after, tuple) else (after,))])

        found.append(torch.autograd.functional.jacobian(step, torch.cat([s[0, 0] for s in old])))
        state = new
    return torch.stack(found)


@pytest.mark.parametrize("a", [0.5, -0.9, 1.0, 1.25])
def test_a_linear_recurrence_gives_powers_in_float32(a):
    layer = ostinato.Recurrent(decay, 2, 3)
    torch.nn.init.constant_(layer.p_a_l0, a)
    a = layer.p_a_l0[0].item()  # as float32 holds it
    found = jacobian(layer, torch.randn(200, 2, 2), rows=[0, 1], between=(20, 120))
    assert found.rows == (0, 1) and found.between == ((20, 120),) * 2
    for per_step in (found.largest_singular_value_per_step, found.spectral_radius_per_step):
        torch.testing.assert_close(per_step, torch.full((200, 2), abs(a), dtype=torch.float64), rtol=1e-6, atol=0)
    torch.testing.assert_close(
        found.mean_squared_singular_value_per_step, torch.full((200, 2), a * a, dtype=torch.float64), rtol=1e-6, atol=0
    )
    expected = torch.full((2, 3), math.log(abs(a)), dtype=torch.float64)
    torch.testing.assert_close(found.log_singular_values, 100 * expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        found.log_singular_values.exp(), abs(a) ** 100 * torch.ones(2, 3).double(), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(found.lyapunov_exponents_per_step, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(found.condition_number, torch.ones(2, dtype=torch.float64), rtol=1e-9, atol=0)


def test_an_orthogonal_linear_network_has_exponents_0():
    layer = layer_of(linear, 7)
    torch.nn.init.orthogonal_(layer.weight_hh_l0)
    found = jacobian(layer, torch.randn(300, 1, 3, dtype=torch.float64))
    zeros = torch.zeros(1, 7, dtype=torch.float64)
    torch.testing.assert_close(found.lyapunov_exponents_per_step, zeros, rtol=0, atol=1e-13)
    torch.testing.assert_close(found.log_singular_values, zeros, rtol=0, atol=1e-11)
    torch.testing.assert_close(found.log_condition_number, zeros[:, 0], rtol=0, atol=1e-11)
    assert found.pascanu.greatest_slope == 1 and abs(found.pascanu.largest_singular_value_of_u - 1) < 1e-12


@pytest.mark.parametrize("name", list(catalogue()))
def test_one_step_against_autograd(name):
    cell, x, states, weights = draw(name, steps=1, dtype=torch.float64)
    found = step_jacobians(cell, weights, x[0], states)
    sizes = [s.shape[-1] for s in states]
    for row in range(3):

        def step(whole, row=row):
            return torch.cat(cell.step(weights, x[0, row : row + 1], whole[None].split(sizes, 1))[1], 1)[0]

        expected = torch.autograd.functional.jacobian(step, torch.cat([s[row] for s in states]))
        torch.testing.assert_close(found[row], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["lstm", "gru", "slstm", "elman", "lstm_projected"])
def test_a_run_against_autograd_through_the_layer(name):
    layer = layer_of(name, scale=1.5)
    x = torch.randn(12, 2, 3, dtype=torch.float64)
    found, each = jacobian(layer, x), along(layer, x)
    svd = torch.linalg.svdvals(each)
    torch.testing.assert_close(found.largest_singular_value_per_step[:, 0], svd[:, 0])
    torch.testing.assert_close(found.mean_squared_singular_value_per_step[:, 0], svd.square().mean(1))
    radius = torch.linalg.eigvals(each).abs().amax(1)
    torch.testing.assert_close(found.spectral_radius_per_step[:, 0], radius)
    product = torch.linalg.multi_dot([*each[2:7].flip(0)])
    some = jacobian(layer, x, between=(2, 7)).log_singular_values[0]
    large = torch.linalg.svdvals(product).log()
    kept = large > large[0] - 15  # what a plain decomposition of the product still knows
    torch.testing.assert_close(some[kept], large[kept], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_the_largest_exponent_is_forward_sensitivity(name):
    """A tangent vector pushed through the layer by forward-mode differentiation, made length 1 again at each step."""
    layer = layer_of(name, scale=2.0)
    x = torch.randn(150, 1, 3, dtype=torch.float64)
    found = jacobian(layer, x, warm_up=30).lyapunov_exponents_per_step[0]
    assert (found.diff() <= 0).all()
    count = len(layer.cell.states)
    state = tuple(torch.zeros(1, 1, 5, dtype=torch.float64) for _ in range(count))
    tangent = tuple(frame(5 * count, x)[:, 0].view(count, 1, 1, 5).unbind())
    growth = []
    for x_t in x.split(1):

        def step(*parts, x_t=x_t):
            new = layer(x_t, parts if count > 1 else parts[0])[1]
            return new if count > 1 else (new,)

        state, tangent = torch.func.jvp(step, state, tangent)
        length = torch.cat(tangent, -1).norm()
        growth.append(length.log())
        tangent = tuple(t / length for t in tangent)
    torch.testing.assert_close(found[0], torch.stack(growth[30:]).mean(), rtol=1e-9, atol=1e-12)


def test_rows_end_at_their_own_steps_and_the_second_direction_starts_there():
    layer = layer_of("gru", bidirectional=True, num_layers=2)
    x = torch.randn(9, 3, 3, dtype=torch.float64)
    x[5:, 1] = torch.nan
    for direction in (0, 1):
        found = jacobian(layer, x, lengths=[9, 5, 0], rows=(1, 2), depth=0, direction=direction)
        alone = jacobian(layer, x[:5, 1:2], depth=0, direction=direction)
        assert found.largest_singular_value_per_step.isnan().tolist() == [[t >= 5, True] for t in range(9)]
        torch.testing.assert_close(found.largest_singular_value_per_step[:5, :1], alone.largest_singular_value_per_step)
        torch.testing.assert_close(found.log_singular_values[:1], alone.log_singular_values)
        assert found.between == ((0, 5), (0, 0)) and not found.log_singular_values[1].any()
        torch.testing.assert_close(found.lyapunov_exponents_per_step[:1], alone.lyapunov_exponents_per_step)
        assert found.lyapunov_exponents_per_step[1].isnan().all()
    plain = ostinato.Recurrent("gru", 3, 5).double()
    plain.load_state_dict({k.removesuffix("_reverse"): v for k, v in layer.state_dict().items() if "l0_reverse" in k})
    flipped = jacobian(plain, x[:5, 1:2].flip(0))
    torch.testing.assert_close(alone.log_singular_values, flipped.log_singular_values)
    torch.testing.assert_close(alone.spectral_radius_per_step, flipped.spectral_radius_per_step.flip(0))


def test_deeper_layers_read_what_the_one_below_put_out():
    layer = layer_of("lstm", num_layers=2)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    upper = ostinato.Recurrent("lstm", 5, 5).double()
    upper.load_state_dict({k.replace("l1", "l0"): v for k, v in layer.state_dict().items() if "l1" in k})
    lower = ostinato.Recurrent("lstm", 3, 5).double()
    lower.load_state_dict({k: v for k, v in layer.state_dict().items() if "l0" in k})
    torch.testing.assert_close(
        jacobian(layer, x).log_singular_values, jacobian(upper, lower(x)[0].detach()).log_singular_values
    )
    torch.testing.assert_close(jacobian(layer, x, depth=0).log_singular_values, jacobian(lower, x).log_singular_values)


PASCANU = {
    "elman": 1.0,
    "elman_sigmoid": 0.25,
    "elman_relu": 1.0,
    "elman_leaky_relu": 1.0,
    "elman_softplus": 1.0,
    "elman_prelu": "no activation of bounded slope",
    "lstm": "the test is about one state, and the cell lstm has 2: h c",
    "gru": "one product with U, and the cell gru has 3",
    "indrnn": "one product with U, and the cell indrnn has 0",
}


@pytest.mark.parametrize("name", PASCANU)
def test_pascanu(name):
    layer = layer_of(name)
    x = torch.randn(4, 1, 3, dtype=torch.float64)
    found = jacobian(layer, x)
    if isinstance(PASCANU[name], str):
        assert found.pascanu is None and PASCANU[name] in found.pascanu_absent
        return
    assert found.pascanu_absent == "" and found.pascanu.greatest_slope == PASCANU[name]
    largest = torch.linalg.svdvals(layer.weight_hh_l0.detach())[0].item()
    assert math.isclose(found.pascanu.largest_singular_value_of_u, largest, rel_tol=1e-12)
    bound = found.pascanu.bound
    assert found.pascanu.must_vanish == (largest < bound) and found.pascanu.may_explode == (largest > bound)
    # The inequality that the test rests on, at every step of a run.
    assert (found.largest_singular_value_per_step <= PASCANU[name] * largest + 1e-12).all()


def test_pascanu_of_cells_in_which_the_state_takes_another_way():
    @ostinato.cell
    def leaky(W, U, x, h):
        return torch.tanh(W.h @ x + U.h @ h) + 0.5 * h

    @ostinato.cell
    def around(W, U, x, h):
        return torch.tanh(W.h @ x + U.h @ torch.relu(h))

    x = torch.randn(4, 1, 3, dtype=torch.float64)
    for cell in (leaky, around):
        assert "otherwise than by U alone" in jacobian(layer_of(cell), x).pascanu_absent


def test_it_leaves_no_trace():
    layer = layer_of("lstm", num_layers=2, dropout=0.5).requires_grad_(True)
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    before = torch.random.get_rng_state()
    found = jacobian(layer, x)
    assert layer.training and x.grad is None and all(p.grad is None for p in layer.parameters())
    assert torch.equal(before, torch.random.get_rng_state())
    assert not found.log_singular_values.requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 2}, "rows must be between 0 and B - 1 = 1, got 2"),
        ({"rows": 1.5}, r"rows must be a row or a list of rows, got float. Write rows=\[0, 1\]"),
        ({"between": 3}, "between must be two numbers of steps, got 3. Write between="),
        ({"between": (1,)}, r"between must be two numbers of steps, got \(1,\)"),
        ({"rows": []}, "rows must be at least one row, got none"),
        ({"between": (3, 7)}, r"between must be 0 ≤ k ≤ t ≤ 6, the steps of row 0, got \(3, 7\)"),
        ({"warm_up": 6}, "warm_up must be between 0 and 5, fewer than the steps of the longest row, got 6"),
        ({"depth": 2}, "depth must be one of the 2 layers, from 0 to 1 or from -2 to -1, got 2"),
        ({"direction": 1}, "direction must be 0 for a layer of one direction, got 1"),
        (
            {"x": torch.full((6, 2, 3), torch.inf, dtype=torch.float64)},
            "the states and Jacobians must be finite, got inf or NaN in row 0 at step 0",
        ),
    ],
)
def test_refusals(change, message):
    layer = layer_of("elman_relu", num_layers=2, scale=3.0)
    arguments = {"layer": layer, "x": torch.zeros(6, 2, 3, dtype=torch.float64)} | change
    with pytest.raises(InputError, match=f"lens.jacobian: {message}"):
        jacobian(**arguments)


@pytest.mark.parametrize("direction", [0, 1])
def test_rows_with_resets_are_the_pieces_one_by_one(direction):
    layer, x = layer_of("gru", bidirectional=True), torch.randn(9, 2, 3).double()
    resets = torch.zeros(9, 2, dtype=torch.bool)
    resets[4, 1] = True
    found = jacobian(layer, x, resets=resets, rows=1, direction=direction)
    pieces = [jacobian(layer, part[:, [1]], direction=direction) for part in (x[:4], x[4:])]
    for name in ("largest_singular_value_per_step", "spectral_radius_per_step", "mean_squared_singular_value_per_step"):
        expected = torch.cat([getattr(p, name) for p in pieces])
        expected[[3, 8] if direction else 4] = 0.0  # the steps that begin a piece without what came before
        torch.testing.assert_close(getattr(found, name), expected)
    assert (found.log_singular_values == -math.inf).all()
    inside = jacobian(layer, x, resets=resets, rows=1, direction=direction, between=(0, 4))
    first = pieces[1] if direction else pieces[0]
    if direction == 0:
        torch.testing.assert_close(inside.log_singular_values, first.log_singular_values)
    assert found.lyapunov_exponents_per_step.isfinite().all()


def test_the_record_as_a_table_and_as_json():
    layer, x = layer_of("elman"), torch.randn(9, 3, 3).double()
    found = jacobian(layer, x, rows=[0, 2], between=(1, 5))
    text = str(found)
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["row", "σ", "max"] and len(lines) == 4 and "1 … 5" in lines[1]
    assert lines[-1].startswith("Pascanu's test: σ max of U") and ("must vanish" in text or "may explode" in text)
    back = json.loads(found.to_json())
    assert back["rows"] == [0, 2] and back["between"] == [[1, 5], [1, 5]]
    assert back["log_condition_number"] == pytest.approx(found.log_condition_number.tolist())
    gated = jacobian(layer_of("lstm"), x)
    assert gated.table().splitlines()[-1] == f"Pascanu's test: {gated.pascanu_absent}"
    assert json.loads(gated.to_json())["pascanu"] is None
