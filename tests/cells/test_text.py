"""A cell as text: the round trip, minimal parentheses, and that reading a text can do nothing but name operations."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import exp, relu, sigmoid, tanh

from cells.compose import random_call, random_cell
from ostinato.cells import Cell, catalogue, cell
from ostinato.cells.reference import sequence
from ostinato.errors import CellError


def same(a, b):
    x, states, weights = random_call(a, projected=4 if a.projected else 0)
    for s, t in zip(sequence(a, x, states, weights), sequence(b, x, states, weights), strict=True):
        assert all(torch.equal(p, q) for p, q in zip(s, t, strict=True))


@pytest.mark.parametrize("name", list(catalogue()))
def test_round_trip_of_the_catalogue(name):
    c = catalogue()[name]
    again = Cell.from_text(c.text)
    assert again.text == c.text and again.gates == c.gates and again.roles == c.roles and again.init == c.init
    same(c, again)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_round_trip_of_random_cells(data):
    c = random_cell(data.draw)
    again = Cell.from_text(c.text)
    assert again.text == c.text and again.gates == c.gates and again.name == c.name
    assert [v.op for v in again.trace.graph.nodes if v.id in again.trace.widths].count("mm") == [
        v.op for v in c.trace.graph.nodes if v.id in c.trace.widths
    ].count("mm")
    same(c, again)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("h + (c + n)", "h + (c + n)"),
        ("(h + c) + n", "h + c + n"),
        ("h - (c - n)", "h - (c - n)"),
        ("(h - c) + n", "h - c + n"),
        ("h * (c * n)", "h * (c * n)"),
        ("h / (c / n)", "h / (c / n)"),
        ("h / (c * n)", "h / (c * n)"),
        ("(h / c) * n", "h / c * n"),
        ("(h + c) * n", "(h + c) * n"),
        ("h + (c * n)", "h + c * n"),
        ("-(h * c) + n", "-(h * c) + n"),
        ("(-h) * c + n", "-h * c + n"),
        ("-(h + c) * n", "-(h + c) * n"),
        ("h - (-c) * n", "h - -c * n"),
        ("h * -2 + c + n", "h * -2 + c + n"),
        ("h - -0.1 + c * n", "h - -0.1 + c * n"),
        ("h * (U.h @ c) + n", "h * (U.h @ c) + n"),
        ("(U.h @ c) * h + n", "U.h @ c * h + n"),
        ("U.h @ (h * c) + n", "U.h @ (h * c) + n"),
        ("-(U.h @ c) * h + n", "-(U.h @ c) * h + n"),
        ("U.h @ (-c) + h * n", "U.h @ -c + h * n"),
        ("U.a @ (U.h @ c) + h * n", "U.a @ (U.h @ c) + h * n"),
        ("where(h + 1 > c * 2, n, h)", "where(h + 1 > c * 2, n, h)"),
        ("clamp(h, 0, 1) + c + n", "clamp(h, min=0.0, max=1.0) + c + n"),
        ("maximum(h, c - n)", "maximum(h, c - n)"),
        ("1e-5 * h + 1e300 * c + n", "1e-05 * h + 1e+300 * c + n"),
    ],
)
def test_parentheses_are_minimal_and_keep_every_association(written, canonical):
    letters = "U, " if "U." in written else ""
    c = Cell.from_text(f"def f({letters}x, h, c, n):\n    return {written}, c, n\n")
    assert c.equations == f"    return {canonical}, c, n"
    assert Cell.from_text(c.text) == c


def test_names_of_lines_avoid_the_states():
    @cell
    def clash(W, x, v1, v2):
        a = tanh(W.h @ x + v1)
        return a * a + v2, a + v1

    assert clash.equations.split("\n")[0] == "    v3 = tanh(W.h @ x + v1)"
    same(clash, Cell.from_text(clash.text))


def test_names_that_functions_have_too():
    @cell(name="tanh")
    def named(W, p, x, sigmoid, relu):
        return exp(-tanh(W.mean @ x)) * sigmoid, relu * p.tanh

    again = Cell.from_text(named.text)
    assert again.gates == {"W": ("mean",), "p": ("tanh",)} and again.states == ("sigmoid", "relu")
    same(named, again)


def test_settings_survive():
    @cell(forget="f", init={"p.b": 2, "p.a": 0.25})
    def kept(W, p, x, h):
        f = sigmoid(W.f @ x)
        return f * h * p.a + relu(p.b * h)

    again = Cell.from_text(kept.text)
    assert again.roles == {"forget": "f"} and again.init == {"p.a": 0.25, "p.b": 2.0}
    assert kept.text.startswith("@cell(forget='f', init={'p.a': 0.25, 'p.b': 2.0})\ndef kept(W, p, x, h):\n")


def test_a_text_written_by_hand():
    c = Cell.from_text(
        "def leaky(W, U, b, x, h, c):\n"
        "    # comments and assigned states are fine\n"
        "    c = 0.9 * c + norm(W.c @ x)\n"
        "    h = tanh(U.h @ h + b.h + c)\n"
        "    return h, c\n"
    )
    assert c.gates == {"W": ("c",), "U": ("h",), "b": ("h",)}
    assert Cell.from_text(c.text) == c


BODY = "def f(W, U, x, h):\n    {}\n"
REFUSED = [
    ("", "must be one def, got nothing"),
    ("1 + 1", "must be one def, got Expr"),
    ("import os\ndef f(W, x, h):\n    return h\n", "must be one def, got Import and FunctionDef"),
    ("async def f(W, x, h):\n    return h\n", "must be one def, got AsyncFunctionDef"),
    ("class f:\n    pass\n", "must be one def, got ClassDef"),
    ("def f(W, x, h:\n", "Python's syntax, got line 1"),
    ("def f(W, x, h):\n    return h\0\n", "Python's syntax"),
    ("def f(W, x, h):\n    return " + "(" * 500 + "h" + ")" * 500 + "\n", "Python's syntax"),
    ("def f(W, x, h):\n    return " + "-" * 100000 + "h\n", "parser refuses|nested too deeply|Python's syntax"),
    ("def f(W, x, h):\n    return h" + " + h" * 20000 + "\n", "parser refuses|nested too deeply"),
    ("@print\ndef f(W, x, h):\n    return h\n", "one decorator, @cell.*got @print"),
    ("@cell\n@cell\ndef f(W, x, h):\n    return h\n", "one decorator"),
    ("@print('injected')\ndef f(W, x, h):\n    return h\n", "one decorator, @cell.*got @print"),
    ("@ostinato.cell()\ndef f(W, x, h):\n    return h\n", "got @ostinato.cell"),
    ("@cell(name='g')\ndef f(W, x, h):\n    return h\n", "knows gates, forget, input and init, got name"),
    ("@cell(**{'gates': 'i'})\ndef f(W, x, h):\n    return h\n", r"got \*\*"),
    ("@cell('i')\ndef f(W, x, h):\n    return h\n", "@cell takes named settings, got 'i'"),
    ("@cell(gates=print('injected'))\ndef f(W, x, h):\n    return h\n", "gates must be a constant, got print"),
    ("@cell(init=[i for i in ''])\ndef f(W, x, h):\n    return h\n", "init must be a constant"),
    ("@cell(gates=3)\ndef f(W, x, h):\n    return h\n", "gates must be a str of names, got int"),
    ("def f(W, x, h=print('injected')):\n    return h\n", "plain arguments"),
    ("def f(W, x, h: print('injected')):\n    return h\n", "without annotations"),
    ("def f(W, x, h) -> print('injected'):\n    return h\n", "plain arguments"),
    ("def f(W, x, *h):\n    return h\n", "plain arguments"),
    ("def f(W, x, h, /):\n    return h\n", "plain arguments"),
    ("def f(W, x, *, h):\n    return h\n", "plain arguments"),
    ("def f(W, h):\n    return h\n", "an argument must be x"),
    (BODY.format("print('injected')"), "holds lines name = ... and then one return"),
    (BODY.format("import os"), "holds lines"),
    (BODY.format("if h > 0: return h"), "holds lines"),
    (BODY.format("h += W.h @ x\n    return h"), "holds lines"),
    (BODY.format("a = b = h\n    return a"), "holds lines"),
    (BODY.format("h.a = h\n    return h"), "holds lines"),
    (BODY.format("a, b = h, h\n    return a"), "holds lines"),
    (BODY.format("return h\n    return h"), "holds lines"),
    (BODY.format("return"), "holds lines"),
    (BODY.format("a = h"), "must end with a return"),
    (BODY.format("W = h\n    return W"), "W is a letter or the input and cannot be assigned"),
    (BODY.format("x = W.h @ x\n    return x"), "x is a letter or the input"),
    (BODY.format("return __import__('os')"), "not part of the notation"),
    (BODY.format("return eval('h')"), "eval.*not part of the notation"),
    (BODY.format("return h.graph"), "h.graph is not part of the notation"),
    (BODY.format("return W.h.letter"), "W.h.letter is not part of the notation"),
    (BODY.format("return W.__class__ @ x"), "does not begin with _, got __class__"),
    (BODY.format("return tanh.__globals__"), "not part of the notation"),
    (BODY.format("return torch.tanh(h)"), "torch.tanh.* is not part of the notation"),
    (BODY.format("return (lambda: h)()"), "not part of the notation"),
    (BODY.format("return [h]"), "not part of the notation"),
    (BODY.format("return h if h > 0 else h"), "not part of the notation"),
    (BODY.format("return h and h"), "not part of the notation"),
    (BODY.format("return not h"), "not part of the notation"),
    (BODY.format("return h ** 2"), "not part of the notation"),
    (BODY.format("return h == h"), "not part of the notation"),
    (BODY.format("return 0 < h < 1"), "not part of the notation"),
    (BODY.format("return h[0]"), "not part of the notation"),
    (BODY.format("return f'{h}'"), "not part of the notation"),
    (BODY.format("return 'h'"), "not part of the notation"),
    (BODY.format("return 1j * h"), "1j is not part of the notation"),
    (BODY.format("return True * h"), "True is not part of the notation"),
    (BODY.format("return (a := h)"), "not part of the notation"),
    (BODY.format("return tanh(*h)"), "not part of the notation"),
    (BODY.format("return tanh(**h)"), "not part of the notation"),
    (BODY.format("return *h, h"), "not part of the notation"),
    (BODY.format("return cos(h)"), "cos.h. is not part of the notation"),
    (BODY.format("return undefined"), "undefined is not part of the notation"),
    (BODY.format("return h * 1e999"), "takes finite numbers, got inf"),
    (BODY.format("return h * " + "9" * 400), "too large|finite"),
    (BODY.format("return h * " + "9" * 5000), "Python's syntax|too large"),
    (BODY.format("return tanh(h, out=h)"), "takes no out="),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_not_the_notation_is_refused(text, message, capsys):
    with pytest.raises(CellError, match=message):
        Cell.from_text(text)
    assert "injected" not in capsys.readouterr().out


@pytest.mark.parametrize("given", [None, b"def f(x, h): return h", 3])
def test_what_is_no_text(given):
    with pytest.raises(CellError, match=r"Cell.from_text: text must be a str, got \w+. Write cell.text."):
        Cell.from_text(given)


def test_a_text_is_read_inside_of_a_tensor_subclass():
    """There torch asks no class what its functions mean: a layer's first call with a subclass reads the cell's text."""
    for name, known in catalogue().items():
        other = known.text.replace(f"def {known.name}(", "def renamed(")
        assert other != known.text
        with torch._C.DisableTorchFunctionSubclass():
            again = Cell.from_text(other)
        assert again.trace.graph.nodes and again.text == other, name
