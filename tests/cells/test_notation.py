"""What the notation accepts: letters, orders, states, settings, numbers, and how a cell compares and travels."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import clamp, relu, sigmoid, tanh, where
from torch.nn.functional import softplus

import ostinato
from cells.compose import random_call, random_cell
from ostinato.cells import Cell, as_cell, catalogue, cell, mean, norm
from ostinato.cells.gate_order import merge
from ostinato.cells.reference import sequence


def agree_as_text(c):
    """The cell and what its text gives compute the same, bit by bit."""
    again = Cell.from_text(c.text)
    assert again.text == c.text and again.gates == c.gates and again.states == c.states
    size = 4 if c.projected else 0
    x, states, weights = random_call(c, projected=size)
    for a, b in zip(sequence(c, x, states, weights), sequence(again, x, states, weights), strict=True):
        assert all(torch.equal(s, t) for s, t in zip(a, b, strict=True))


def test_letters_gates_and_states():
    c = catalogue()["lstm_peephole"]
    assert c.letters == ("W", "U", "b", "p")
    assert c.gates == {"W": tuple("ifgo"), "U": tuple("ifgo"), "b": tuple("ifgo"), "p": tuple("ifo")}
    assert c.states == ("h", "c") and c.state_widths == ("H", "H")
    assert c.output_state == 0 and c.output_width == "H" and not c.projected
    assert c.arguments == ("W", "U", "b", "p", "x", "h", "c")
    assert c.roles == {"forget": "f", "input": "i"}
    assert repr(c).startswith("Cell(lstm_peephole: W.i W.f") and repr(c).endswith("; states h c)")


def test_parameters_in_torch_names_and_shapes():
    c = catalogue()["lstm_projected"]
    assert c.parameters(3, 5, 2) == {
        "weight_ih": (20, 3),
        "weight_hh": (20, 2),
        "weight_hr": (2, 5),
        "bias_ih": (20,),
        "bias_hh": (20,),
    }
    assert c.parameters(3, 5)["weight_hr"] == (5, 5)
    assert c.state_widths == ("P", "H") and c.output_width == "P"
    assert catalogue()["indrnn"].parameters(3, 5) == {"weight_ih": (5, 3), "bias_ih": (5,), "p_u": (5,)}


@pytest.mark.parametrize("options", [{}, {"proj_size": 2}])
def test_parameters_are_those_of_torch(options):
    torch_layer = torch.nn.LSTM(3, 5, **options)
    own = catalogue()["lstm_projected" if options else "lstm"].parameters(3, 5, options.get("proj_size", 0))
    # torch lists the projection last, this package in the order of the letters
    expected = {name.removesuffix("_l0"): tuple(p.shape) for name, p in torch_layer.named_parameters()}
    assert own == expected


def test_a_vector_beside_a_projection_has_its_width():
    @cell
    def scaled(W, U, V, p, x, h, c):
        c = tanh(W.c @ x + U.c @ h) + p.c * c
        return V.h @ c + p.h * h, c

    assert scaled.parameters(3, 5, 2)["p_c"] == (5,) and scaled.parameters(3, 5, 2)["p_h"] == (2,)


def test_each_letter_stacks_its_names_by_first_use():
    @cell
    def late(W, U, x, h):
        r = sigmoid(U.r @ h)
        return tanh(W.z @ x + U.z @ h) * r + W.n @ x

    assert late.gates == {"W": ("z", "n"), "U": ("r", "z")}
    assert late.trace.order == ("r", "z", "n")
    agree_as_text(late)


def test_the_order_of_letters_in_the_signature_is_free():
    def plain(W, U, b, x, h):
        return tanh(U.a @ h + U.c @ h) + W.b @ x + W.a @ x + b.a

    moved = cell(lambda b, U, W, x, h: plain(W, U, b, x, h), name="plain")
    assert moved == cell(plain) and moved.letters == ("W", "U", "b") and moved.arguments[:3] == ("b", "U", "W")
    assert moved.trace.order == ("b", "a", "c") and "gates" not in moved.text
    agree_as_text(moved)


def test_pinned_order_of_gates():
    @cell(gates="o f")
    def pinned(W, U, b, x, h):
        f = sigmoid(W.f @ x + b.f)
        return f * h + (1 - f) * tanh(U.o @ h + W.o @ x)

    assert pinned.gates == {"W": ("o", "f"), "U": ("o",), "b": ("f",)}
    assert "gates='o f'" in pinned.text
    agree_as_text(pinned)
    agree_as_text(pinned.without_bias())


def test_an_order_that_is_natural_is_not_pinned():
    def plain(W, x, h):
        return W.a @ x + W.b @ x

    assert cell(plain, gates="a b") == cell(plain)
    assert cell(plain, gates="b a") != cell(plain)


def test_without_bias_keeps_the_order():
    @cell(gates="z r")
    def two(W, U, b, d, x, h):
        return tanh(W.r @ x + b.r + U.r @ h) + W.z @ x + b.z + d.z

    bare = two.without_bias()
    assert bare.letters == ("W", "U") and bare.gates == {"W": ("z", "r"), "U": ("r",)}
    assert bare.without_bias() is bare
    agree_as_text(bare)


@pytest.mark.parametrize("name", list(catalogue()))
def test_without_bias_is_a_bias_of_zero(name):
    c = catalogue()[name]
    bare = c.without_bias()
    assert not {"b", "d"} & set(bare.letters) and bare.source == c.source and bare.__doc__ == c.__doc__
    size = 4 if c.projected else 0
    x, states, weights = random_call(c, projected=size)
    names = list(c.parameters(4, 6, size))
    zeroed = [torch.zeros_like(w) if n.startswith("bias") else w for n, w in zip(names, weights, strict=True)]
    kept = [w for n, w in zip(names, weights, strict=True) if not n.startswith("bias")]
    torch.testing.assert_close(sequence(bare, x, states, kept), sequence(c, x, states, zeroed), rtol=1e-12, atol=1e-12)
    assert set(bare.roles.items()) <= set(c.roles.items())
    agree_as_text(bare)


def test_biases_that_stand_alone_read_as_zero():
    @cell
    def odd(W, b, x, h):
        a = where(h > b.t, b.u, 0.5) + torch.minimum(b.v, h) + tanh(b.w) + mean(b.m) * h
        return a + W.h @ x

    agree_as_text(odd)
    agree_as_text(odd.without_bias())


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ([("a", "c"), ("a", "b", "c")], ("a", "b", "c")),
        ([("z", "n"), ("r", "z", "n")], ("r", "z", "n")),
        ([("a",), ("b",)], ("a", "b")),
        ([], ()),
        ([("a", "b"), ("b", "a")], None),
        ([("a", "b"), ("b", "c"), ("c", "a")], None),
    ],
)
def test_merge(orders, expected):
    assert merge(orders) == expected


def test_an_output_that_is_no_state():
    @cell
    def apart(W, U, b, x, h):
        h = tanh(W.h @ x + U.h @ h)
        return sigmoid(U.y @ h + b.y), h

    assert apart.output_state is None and apart.states == ("h",)
    agree_as_text(apart)


def test_an_output_that_is_a_later_state():
    @cell
    def second(W, x, h, c):
        c = 0.5 * c + W.c @ x
        return c, h * 0.5, c

    assert second.output_state == 1
    agree_as_text(second)


def test_numbers_of_numpy_and_from_a_closure():
    a, half = 3, np.float64(0.5)

    @cell
    def scaled(W, x, h):
        return half * (W.h @ x) + h * np.float32(0.25) / a - np.int64(2) * h

    assert "0.5 * (W.h @ x) + h * 0.25 / 3 - 2 * h" in scaled.text
    agree_as_text(scaled)


def gated(k, W, U, x, h):
    return sigmoid(getattr(W, k) @ x + getattr(U, k) @ h)


def test_helper_functions_and_loops():
    @cell
    def helped(W, U, x, h):
        a, b = (gated(k, W, U, x, h) for k in "ab")
        for _ in range(2):
            a = a * b
        return a

    assert helped.gates == {"W": ("a", "b"), "U": ("a", "b")}
    agree_as_text(helped)


def test_a_lambda_and_a_function_of_functions():
    def family(activation, slope):
        return cell(lambda W, U, x, h: activation(W.h @ x + slope * (U.h @ h)), name=f"plain_{activation.__name__}")

    c = family(relu, 0.5)
    assert c.name == "plain_relu" and "v1 = relu(W.h @ x + 0.5 * (U.h @ h))" in c.text
    assert cell(lambda W, x, h: W.h @ x + h).name == "cell"
    agree_as_text(c)


def test_a_cell_typed_at_a_prompt():
    scope = {"cell": cell, "tanh": tanh}
    exec("@cell\ndef prompt(W, U, x, h):\n    return tanh(W.h @ x + U.h @ h)", scope)
    agree_as_text(scope["prompt"])
    assert as_cell(scope["prompt"], "test") is scope["prompt"]


def test_positional_only_arguments():
    @cell
    def strict(W, x, h, /):
        return W.h @ x + h

    agree_as_text(strict)


def test_norm_and_mean():
    @cell
    def normed(W, U, p, b, x, h):
        return tanh(norm(W.h @ x) * p.w + norm(U.h @ h) * p.u + b.h) - mean(h)

    agree_as_text(normed)
    x, states, weights = random_call(normed)
    output, _ = normed.step(weights, x[0], states)
    parts = normed.split(weights)
    own = torch.nn.functional.layer_norm
    expected = torch.tanh(
        own(x[0] @ parts["W"]["h"].t(), (6,)) * parts["p"]["w"]
        + own(states[0] @ parts["U"]["h"].t(), (6,)) * parts["p"]["u"]
        + parts["b"]["h"]
    ) - states[0].mean(-1, keepdim=True)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)


def test_values_that_are_the_same_for_all_units_fill_the_state():
    @cell
    def levelled(W, p, x, h, c, n):
        return mean(h) + mean(W.h @ x), p.c, 0.5

    x, states, weights = random_call(levelled)
    output, new = levelled.step(weights, x[0], states)
    assert output.shape == new[0].shape == new[1].shape == new[2].shape == (3, 6)
    assert torch.equal(new[1], weights[1].expand(3, 6)) and torch.equal(new[2], torch.full((3, 6), 0.5).double())
    agree_as_text(levelled)


def test_an_output_that_is_a_number():
    @cell
    def constant(W, x, h):
        return 0.5, W.h @ x + h

    x, states, weights = random_call(constant)
    assert torch.equal(constant.step(weights, x[0], states)[0], torch.full((3, 6), 0.5).double())
    agree_as_text(constant)


def test_a_projected_output_beside_wider_states():
    @cell
    def narrow(W, U, V, x, c):
        c = tanh(W.c @ x + U.c @ c)
        return V.y @ c, c

    assert narrow.state_widths == ("H",) and narrow.output_width == "P" and narrow.operand_width == "H"
    x, states, weights = random_call(narrow, projected=1)
    assert sequence(narrow, x, states, weights)[0].shape == (5, 3, 1)
    assert sequence(narrow, x[:0], states, weights)[0].shape == (0, 3, 1)


def test_equal_work_is_done_once():
    @cell
    def twice(W, x, h):
        return tanh(W.h @ x) * tanh(W.h @ x) + h

    assert [v.op for v in twice.trace.graph.nodes].count("mm") == 1


def test_a_deep_graph_is_traced_in_no_time():
    @cell
    def deep(W, U, x, h):
        for _ in range(60):
            h = h * h
        return tanh(U.h @ h + W.h @ x)

    agree_as_text(deep)


def test_numbers_are_folded_and_neutral_ones_left_out():
    @cell
    def folded(W, x, h):
        minus = -(W.h @ x)
        return (h + 0) * 1 / 1 - 0 + -minus + clamp(h, -1, 2) + h * (2 - 1)

    assert folded.equations == "    return h + W.h @ x + clamp(h, min=-1.0, max=2.0) + h"


def test_negative_zero_and_zero_are_two_numbers():
    @cell
    def signs(W, x, h):
        a = W.h @ x
        return clamp(a * a / where(h > 0, 0.0 * h, -0.0), -1, 1) + where(h > 1, h, 0.0)

    numbers = [repr(v.attr) for v in signs.trace.graph.nodes if v.op == "const"]
    assert "-0.0" in numbers and "0.0" in numbers
    agree_as_text(signs)


def test_comparing_hashing_copying_pickling():
    c, other = catalogue()["lstm"], catalogue()["gru"]
    again = Cell.from_text(c.text)
    assert c == again and hash(c) == hash(again) and c != other and c != "lstm"
    assert copy.copy(c) is c and copy.deepcopy(c) is c
    for kept in (c, c.without_bias(), random_cell(3), cell(lambda W, x, h: W.h @ x + h)):
        loaded = pickle.loads(pickle.dumps(kept))
        assert loaded == kept and loaded.gates == kept.gates
        assert (loaded.source, loaded.differs, loaded.__doc__) == (kept.source, kept.differs, kept.__doc__)
        agree_as_text(loaded)


def test_a_cell_in_a_cell_is_the_same_equations_with_other_settings():
    c = cell(catalogue()["elman"], name="renamed", source="here")
    assert c.name == "renamed" and c.source == "here" and c.equations == catalogue()["elman"].equations


def test_calling_a_cell_runs_its_equations():
    class Scale:
        def __matmul__(self, v):
            return 2 * v

    class Names:
        h = Scale()

    @cell
    def linear(W, U, x, h):
        return W.h @ x + U.h @ h

    assert linear(Names, Names, x=1.0, h=2.0) == 6.0


def test_the_catalogue_by_attribute():
    assert ostinato.cells.lstm is catalogue()["lstm"] and "gru_reset_before" in dir(ostinato.cells)
    with pytest.raises(AttributeError, match="ostinato.cells has no cell 'lstn'; the catalogue holds elman"):
        ostinato.cells.lstn  # noqa: B018
    assert as_cell("gru", "test") is catalogue()["gru"]
    assert as_cell(lambda W, x, h: W.h @ x + h, "test").letters == ("W",)


def test_softplus_takes_torchs_own_settings():
    @cell
    def soft(W, x, h):
        return softplus(W.h @ x + h, 1, 20) + softplus(h, beta=1.0)

    agree_as_text(soft)
