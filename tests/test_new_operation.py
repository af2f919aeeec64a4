"""An operation that the notation does not have is added by one row of the table, works everywhere, and goes again."""

import ast
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import ostinato
from export.runtime import LENGTHS, by_reference, call, initial, run
from kernels.calls import check, draw, lengths_to_sizes
from ostinato import cells, export, lens
from ostinato.cells import Cell, cell, latex
from ostinato.cells.operations import OPERATIONS, known
from ostinato.cells.operations.operation import Operation, Setting
from ostinato.errors import CellError
from tolerance import check as close

pytestmark = pytest.mark.slow

TURN = 2 * math.pi


def sine(v, a):
    """Taylor's series after whole turns are taken away: enough for the arguments of these tests."""
    r = v.fma(v.rint(v.mul(a, v.const(1 / TURN))), v.const(-TURN), a)
    square = v.mul(r, r)
    total = v.const(0.0)
    for k in range(29, 0, -2):
        total = v.fma(total, square, v.const((-1) ** (k // 2) / math.factorial(k)))
    return v.mul(total, r)


SIN = Operation(
    name="sin",
    own_line=True,
    function=torch.sin,
    adjoint=lambda y, d, a: (d * torch.sin(a + math.pi / 2),),
    greatest_slope=lambda: 1.0,
    range=(-1.0, 1.0),
    saturated=lambda y: (y < -0.9, y > 0.9),
    latex=r"\sin",
    vector=sine,
    onnx=lambda g, a: g.make("Sin", a),
)
HYPOT = Operation(
    name="hypot",
    operands=2,
    function=torch.hypot,
    adjoint=lambda y, d, a, b: (d * a / y, d * b / y),
    latex=lambda a, b: rf"\sqrt{{{a}^2 + {b}^2}}",
    vector=lambda v, a, b: v.sqrt(v.fma(a, a, v.mul(b, b))),
    onnx=lambda g, a, b: g.make("Sqrt", g.make("Add", g.make("Mul", a, a), g.make("Mul", b, b))),
)
ELU = Operation(
    name="elu",
    own_line=True,
    function=functional.elu,
    settings=(Setting("alpha", 1.0),),
    attr=float,
    adjoint=lambda y, d, a: (torch.where(a > 0, d, d * (y + y.attr)),),
    greatest_slope=lambda alpha: max(1.0, alpha),
    slope=lambda y: torch.where(y > 0, 1.0, y + 0.5),
    latex=lambda a, alpha="1": rf"\mathrm{{ELU}}_{{{alpha}}}\left({a}\right)",
    vector=lambda v, a, alpha: v.select(
        v.gt(a, v.zero), a, v.mul(v.const(alpha), v.sub(v.exp(v.minimum(a, v.zero)), v.const(1.0)))
    ),
    onnx=lambda g, a, alpha: g.make("Elu", a, alpha=alpha),
    rematerialize="always",
)


def with_sin(W, U, b, x, h):
    z = torch.sin(W.z @ x + b.z + U.z @ h)
    return z


def with_hypot(W, U, b, x, h):
    z = torch.hypot(torch.tanh(W.z @ x + U.z @ h), 1 + torch.sigmoid(b.r + W.r @ x))
    return z


def with_elu(W, U, b, x, h):
    z = functional.elu(W.z @ x + b.z + U.z @ h, 0.5)
    return z


CASES = {
    "sin": (SIN, with_sin, "sin(W.z @ x + b.z + U.z @ h)", r"\sin\left(W_z x_t + b_z + U_z h_{t-1}\right)"),
    "hypot": (HYPOT, with_hypot, "hypot(v1, 1 + v2)", r"z_t &= \sqrt{\tanh\left("),
    "elu": (ELU, with_elu, "elu(W.z @ x + b.z + U.z @ h, alpha=0.5)", r"\mathrm{ELU}_{0.5}\left(W_z x_t"),
}


@pytest.fixture(params=CASES)
def added(request, monkeypatch, tmp_path):
    """(the row, a cell with the operation, its text, its LaTeX) while the operation is there."""
    row, equations, text, shown = CASES[request.param]
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "kernels"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPERATIONS, row.name, row)
        yield row, cell(equations), text, shown
    assert row.name not in OPERATIONS


def made(one, **options):
    layer = ostinato.Recurrent(one, 3, 4, **options)
    with torch.no_grad():
        for k, p in enumerate(layer.parameters()):
            p.copy_(torch.linspace(-0.7, 0.8, p.numel()).roll(3 * k).view_as(p))
    return layer


def test_as_text_and_as_latex(added):
    row, one, text, shown = added
    assert text in one.text and row.name in known().split()
    again = Cell.from_text(one.text)
    assert again == one and again.text == one.text
    assert shown in latex(one)
    given = draw(one, H=5)
    first, second = (c.step(given.weights, given.x[0], given.states)[0] for c in (one, again))
    assert torch.equal(first, second)  # on tensors, the text calls the row's function


def test_kernels_forward_and_backward_are_the_reference(added):
    one = added[1]
    for dtype in (torch.float32, torch.float64):
        check(draw(one, T=4, B=3, C=5, H=19, dtype=dtype))
        check(draw(one, T=4, B=3, C=5, H=9, dtype=dtype, sizes=lengths_to_sizes([4, 3, 1]), reverse=True))


def test_the_adjoint_of_the_row_is_the_derivative(added):
    layer = made(added[1], dtype=torch.float64)
    x = torch.linspace(-2, 2, 18, dtype=torch.float64).view(3, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: layer(x)[0], (x, *layer.parameters()))


def test_in_a_cell_that_normalises(monkeypatch, tmp_path):
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPERATIONS, "sin", SIN)

        @cell
        def normalised(W, U, p, x, h):
            return torch.sin(p.g * ostinato.norm(W.h @ x + U.h @ h)) * h

        check(draw(normalised, T=4, B=3, C=5, H=19))


def test_under_the_lens(added):
    row, one, *_ = added
    layer = made(one, dtype=torch.float64)
    x = torch.randn(6, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with lens.watch(layer) as looking:
        output = layer(x)[0]
        output.sum().backward()
    gate = {g.name: g for g in looking.report().layers[0].gates}.get("z")
    before = torch.cat([torch.zeros_like(output[:1]), output[:-1]])
    weights = list(layer.parameters())
    (found,) = lens.evaluate(one, weights, x, [before], [one.trace.output])
    close("outputs", {"output": found.detach()}, {"output": output.detach()})
    test = lens.jacobian(layer, x).pascanu
    if row.name == "hypot":
        assert test is None
        return
    assert test is not None and test.greatest_slope == 1.0
    assert gate is not None and gate.activation == row.name
    y = output.detach()
    if row.name == "sin":
        low, high = ((y < -0.9).double().mean((0, 1)), (y > 0.9).double().mean((0, 1)))
        assert torch.allclose(gate.low_share_per_unit, low) and torch.allclose(gate.high_share_per_unit, high)
        assert gate.histogram_edges[[0, -1]].tolist() == [-1.0, 1.0]
    else:
        assert gate.low_share_per_unit.isnan().all()
        assert gate.mean_square_slope == pytest.approx(float(torch.where(y > 0, 1.0, y + 0.5).square().mean()))


def test_in_onnx(added, tmp_path):
    pytest.importorskip("onnxruntime")
    layer = made(added[1], bidirectional=True)
    export.onnx(layer, tmp_path / "layer.onnx")
    x, states = call(layer)
    found = run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS, **initial(layer, states))
    close("outputs", found, by_reference(layer, x, states, LENGTHS))


def test_settings_are_checked_as_those_of_other_operations():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPERATIONS, "elu", ELU)
        with pytest.raises(CellError, match="elu: alpha must be a finite number, got inf. Write a plain number."):
            cell(lambda W, x, h: functional.elu(W.h @ x + h, math.inf), name="unbounded")
        with pytest.raises(CellError, match="elu: alpha must be a finite number, got a value"):
            cell(lambda W, p, x, h: functional.elu(W.h @ x + h, p.a), name="learned")


@pytest.mark.parametrize("name", CASES)
def test_without_the_row_it_is_refused(name):
    row, equations, *_ = CASES[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OPERATIONS, row.name, row)
        text = cell(equations).text.replace("def with_", "def without_")  # cells are cached by their text
    with pytest.raises(CellError, match=f"torch.{name} is not an operation of a cell"):
        cell(equations)
    with pytest.raises(CellError, match="is not part of the notation"):
        Cell.from_text(text)


@pytest.mark.parametrize("one", lens.ACTIVATIONS, ids=lambda a: a.name)
def test_the_sheet_of_activations_has_the_slopes_of_the_table(one):
    node = one.cell.trace.output
    if one.setting is None:
        row = OPERATIONS[node.op]
        assert row.greatest_slope(*([] if node.attr is None else [node.attr])) == one.greatest_slope


FILES = sorted((Path(cells.__file__).parent / "operations").glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_rows_import_nothing_that_compiles_or_exports(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    assert found <= {"__future__", "collections", "dataclasses", "math", "torch", "typing"} and found > {"__future__"}
