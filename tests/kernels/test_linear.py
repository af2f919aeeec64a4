"""Plans and code of a step grow with the nodes of a cell's graph, and chains of thousands of operations compile."""

import pytest
import torch

import ostinato
from cells.drawn import CELLS, chain, numbers, reuse, steps_of, turns
from ostinato.cells import Cell
from ostinato.cells.reference import sequence
from ostinato.kernels.emit.backward import Backward
from ostinato.kernels.emit.forward import Forward
from ostinato.kernels.emit.pointwise import PointwiseEmitter
from ostinato.kernels.planning.cell_program import Program, program
from ostinato.kernels.system.target import host

pytestmark = pytest.mark.slow


def plan(cell: Cell) -> None:
    made = Program(cell)
    made.forward(True, True)
    made.backward(True, True)
    assert made.weight_gradients and len(made.fully_written) == len(cell.parameters(1, 1))


@pytest.mark.parametrize("shape", CELLS)
def test_plans_grow_with_the_nodes(shape: str):
    few, more, many = (Cell.from_text(CELLS[shape](n).text) for n in (60, 120, 240))
    a, b, c = (steps_of(lambda cell=cell: plan(cell)) for cell in (few, more, many))
    assert c - b <= 2.5 * (b - a) + 100, (a, b, c)


def test_a_plan_of_ten_thousand_nodes_takes_twice_the_calls_of_five():
    half, whole = (Cell.from_text(reuse(n).text) for n in (600, 1200))
    assert len(Program(Cell(whole.fn)).trace.graph.nodes) > 10_000
    a, b = (steps_of(lambda cell=cell: plan(cell), lines=False) for cell in (half, whole))
    assert b <= 2.5 * a, (a, b)


def emitted(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """(nodes that are emitted, each time they are; lines of code) of the kernels of a training step."""
    count, emit = 0, PointwiseEmitter._value

    def counted(self, v, stage_nodes):
        nonlocal count
        count += 1
        return emit(self, v, stage_nodes)

    made, target = Program(cell), host()
    with monkeypatch.context() as patch:
        patch.setattr(PointwiseEmitter, "_value", counted)
        kernels = (Forward(made, target, "float32", True, True), Backward(made, target, "float32", False))
        lines = sum(str(kernel.module()).count("\n") for kernel in kernels)
    return count, lines


@pytest.mark.slow
@pytest.mark.parametrize("shape", CELLS)
def test_code_grows_with_the_nodes(shape: str, monkeypatch: pytest.MonkeyPatch):
    # Multiples of four gates: the products of all are tiles of one kind, whose code is there once.
    sizes = [emitted(Cell.from_text(CELLS[shape](n).text), monkeypatch) for n in (80, 160, 320)]
    for a, b, c in zip(*sizes, strict=True):
        assert c - b <= 2.5 * (b - a) + 100, (a, b, c)


@pytest.mark.parametrize("make", [chain, turns, numbers], ids=lambda f: f.__name__)
def test_long_cells_agree_with_the_reference(make):
    cell = make(120 if make is numbers else 1000)
    plans = (program(cell).forward(True, True), program(cell).backward(False))
    assert all(bool(plan.spilled_scalars) == (make is numbers) for plan in plans), (
        "a long number is stored for later stages"
    )
    layer = ostinato.Recurrent(cell, 3, 5).double()
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    output, _ = layer(x)
    weights = [getattr(layer, name) for name in layer._weight_names()[0]]
    expected, _, _ = sequence(cell, x, [torch.zeros(2, 5, dtype=torch.float64)], weights)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-12)
    got = torch.autograd.grad(output.sum(), weights)
    for d, e in zip(got, torch.autograd.grad(expected.sum(), weights), strict=True):
        torch.testing.assert_close(d, e, rtol=1e-8, atol=1e-11)
