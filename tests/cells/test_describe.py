"""A cell in words and in LaTeX."""

import ast
import math

import pytest
import torch
from torch import exp, sigmoid, tanh

from cells.compose import random_cell
from ostinato.cells import Cell, catalogue, cell
from ostinato.cells.describe import describe, equations
from ostinato.cells.latex import _write, latex
from ostinato.errors import InputError


@pytest.mark.parametrize("name", list(catalogue()))
def test_every_cell_is_described(name):
    c = catalogue()[name]
    d = describe(c, 3, 5, 2)
    assert d.name == name and d.summary.startswith((c.__doc__ or "?")[:20]) and d.summary.endswith(".")
    assert d.source and d.differs and str(d).isprintable() is False and "\n    " + d.equations.split("\n")[0] in str(d)
    assert d.count == sum(math.prod(s) for s in c.parameters(3, 5, 2).values())
    assert eval(formula(d.weights), {"C": 3, "H": 5, "P": 2}) == d.count
    assert all(len(line) <= 120 for line in str(d).splitlines())


def formula(text):
    """4H(C + H + 2) as Python."""
    out = ""
    for mark in text.replace("·", "*"):
        out += f"*{mark}" if out and (out[-1].isalnum() or out[-1] == ")") and (mark in "CHP(") else mark
    return out


def test_the_lstm_in_words():
    page = str(describe(catalogue()["lstm"]))
    assert page.startswith("lstm: The LSTM of today")
    for line in (
        "    i = sigmoid(W.i @ x + b.i + U.i @ h + d.i)",
        "    return h, c",
        "shapes      x [B, C]",
        "            weight_ih [4H, C]",
        "            bias_hh [4H]",
        "gate order  W U b d: i f g o",
        "states      h c",
        "roles       f is the forget gate, i is the input gate",
        "weights     4H(C + H + 2); 329,728 for C = 64, H = 256",
        "PyTorch     differs in nothing: it is torch.nn.LSTM",
    ):
        assert line in page.splitlines()


def test_the_count_is_that_of_torch():
    layer = torch.nn.LSTM(64, 256, proj_size=32)
    assert describe(catalogue()["lstm_projected"], 64, 256, 32).count == sum(p.numel() for p in layer.parameters())
    assert describe(catalogue()["lstm_projected"]).weights == "4H(C + P + 2) + P·H"
    assert describe(catalogue()["lstm_peephole"]).weights == "H(4C + 4H + 7)"


def test_equations_are_the_typed_lines():
    @cell
    def typed(W, U, x, h):
        """A docstring that is not shown."""
        a = W.a @ x  # this comment stays
        return tanh(a + U.a @ h)

    assert equations(typed) == "a = W.a @ x  # this comment stays\nreturn tanh(a + U.a @ h)"
    assert equations(Cell.from_text(typed.text)) == "v1 = tanh(W.a @ x + U.a @ h)\nreturn v1"
    assert equations(cell(lambda W, x, h: W.h @ x + h)) == "return W.h @ x + h"


@pytest.mark.parametrize("describing", [describe, latex])
def test_a_name_of_the_catalogue_is_described_as_its_cell(describing):
    assert describing("gru") == describing(catalogue()["gru"])


@pytest.mark.parametrize("describing", [describe, latex])
def test_a_name_that_the_catalogue_lacks_is_refused_with_the_nearest_one(describing):
    expected = rf"{describing.__name__}: cell must be a cell or one of .*, got 'grue'. Did you mean 'gru'\?"
    with pytest.raises(InputError, match=expected):
        describing("grue")
    with pytest.raises(InputError, match="must be a cell, got int. Write @ostinato.cell above the equations."):
        describing(3)


def test_latex_of_the_lstm():
    assert latex(catalogue()["lstm"]).splitlines() == [
        r"\begin{aligned}",
        r"i_t &= \sigma\left(W_i x_t + b_i + U_i h_{t-1} + d_i\right) \\",
        r"f_t &= \sigma\left(W_f x_t + b_f + U_f h_{t-1} + d_f\right) \\",
        r"g_t &= \tanh\left(W_g x_t + b_g + U_g h_{t-1} + d_g\right) \\",
        r"o_t &= \sigma\left(W_o x_t + b_o + U_o h_{t-1} + d_o\right) \\",
        r"c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\",
        r"h_t &= o_t \odot \tanh\left(c_t\right)",
        r"\end{aligned}",
    ]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("h - (c + h)", r"h_{t-1} - \left(c_{t-1} + h_{t-1}\right)"),
        ("(h - c) * h", r"\left(h_{t-1} - c_{t-1}\right) \odot h_{t-1}"),
        ("h * (c * h)", r"h_{t-1} \odot \left(c_{t-1} \odot h_{t-1}\right)"),
        ("2 * h / (1 + c)", r"\frac{2 \cdot h_{t-1}}{1 + c_{t-1}}"),
        ("-(h + c)", r"-\left(h_{t-1} + c_{t-1}\right)"),
        ("h + -c", r"h_{t-1} + \left(-c_{t-1}\right)"),
        ("h * 1e-5", r"h_{t-1} \cdot 1 \cdot 10^{-5}"),
        ("sqrt(exp(h))", r"\sqrt{\exp\left(h_{t-1}\right)}"),
        ("maximum(h, log(c))", r"\max\left(h_{t-1}, \log\left(c_{t-1}\right)\right)"),
        ("clamp(h, -1, 2)", r"\min\left(\max\left(h_{t-1}, -1\right), 2\right)"),
        ("clamp(h, max=2)", r"\min\left(h_{t-1}, 2\right)"),
        ("leaky_relu(h, 0.2)", r"\mathrm{LeakyReLU}_{0.2}\left(h_{t-1}\right)"),
        ("norm(h) * p.gain", r"\mathrm{norm}\left(h_{t-1}\right) \odot p_{\mathrm{gain}}"),
        (
            "where(h >= c, h, 0.5)",
            r"\begin{cases} h_{t-1} & h_{t-1} \ge c_{t-1} \\ 0.5 & \text{otherwise} \end{cases}",
        ),
        ("U.a @ (h * c)", r"U_a \left(h_{t-1} \odot c_{t-1}\right)"),
    ],
)
def test_latex_of_expressions(written, shown):
    letters = [k for k in "Up" if f"{k}." in written]
    text = f"def f({', '.join([*letters, 'x', 'h', 'c'])}):\n    return {written}, c\n"
    c = Cell.from_text(text)
    assert _write(ast.parse(text).body[0], c).splitlines()[1] == f"h_t &= {shown} \\\\"


def test_names_that_are_assigned_again_get_a_prime():
    @cell
    def again(W, U, x, h, c):
        a = W.a @ x + U.a @ h
        a, gate2 = exp(-a), sigmoid(a)
        c = c * a
        return tanh(c), h * gate2, c

    left = [line.split(" &= ")[0] for line in latex(again).splitlines()[1:-1]]
    assert left == ["a_t", "a'_t", r"\mathrm{gate}_{2,t}", "c_t", "y_t", "h_t"]


def test_lines_that_are_no_equations_show_the_canonical_ones():
    half = 0.5

    @cell
    def looped(W, x, h):
        for _ in range(2):
            h = half * h
        return tanh(W.h @ x + h)

    assert latex(looped) == latex(Cell.from_text(looped.text))
    assert r"0.5 \cdot \left(0.5 \cdot h_{t-1}\right)" in latex(looped)


@pytest.mark.parametrize("seed", range(30))
def test_every_cell_can_be_written(seed):
    c = random_cell(seed)
    assert latex(c).count(r"\left(") == latex(c).count(r"\right)")
    assert eval(formula(describe(c, 3, 5, 2).weights), {"C": 3, "H": 5, "P": 2}) == describe(c, 3, 5, 2).count
