"""What walks a cell's graph takes steps in proportion to its nodes, however often a value is used again."""

import pickle

import pytest
import torch

from cells.drawn import CELLS, chain, choices, reuse, steps_of, turns
from ostinato.cells import Cell
from ostinato.cells.derivative import carries, differentiate
from ostinato.cells.describe import describe
from ostinato.cells.gates import named_gates
from ostinato.cells.latex import latex
from ostinato.cells.text import parse
from ostinato.cells.transforms import CellTransform, gate_values, transformed_cell
from ostinato.execution.routing import autocast_types

pytestmark = pytest.mark.slow


def with_options(cell: Cell) -> Cell:
    dropped = tuple((gate, 0.25) for gate in sorted(gate_values(cell)))
    options = CellTransform(
        layer_norm=True, recurrent_dropout=0.25, gate_dropout=dropped, zoneout=(("h", 0.25),), clip_gradient=1.0
    )
    return transformed_cell.__wrapped__(cell, options)  # without its cache


def one_step(cell: Cell) -> None:
    weights = [torch.zeros(shape) for shape in cell.parameters(3, 4).values()]
    cell.step(weights, torch.zeros(2, 3), [torch.zeros(2, 4)])


def in_text(cell: Cell) -> Cell:
    """The same cell, whose equations are lines of text."""
    return Cell(parse(cell.text)[1], gates=" ".join(cell.trace.order))


WALKERS = {
    "trace": lambda cell: cell.retrace(),
    "text": lambda cell: Cell(cell.fn, gates=" ".join(cell.trace.order)).text,
    "parse": in_text,
    "pickle": lambda cell: hash(pickle.loads(pickle.dumps(cell))),
    "latex": lambda cell: latex(cell),
    "describe": lambda cell: str(describe(cell)),
    "gates": lambda cell: named_gates(cell.trace),
    "options": with_options,
    "derivative": lambda cell: differentiate(cell.retrace()),
    "carries": lambda cell: carries(cell.retrace()),
    "step": lambda cell: one_step(cell),
    "number types": lambda cell: autocast_types(cell.text, torch.bfloat16, (torch.float32,), False),
}


@pytest.mark.parametrize("walker", WALKERS)
@pytest.mark.parametrize("shape", CELLS)
def test_steps_grow_with_the_nodes(shape: str, walker: str):
    few, more, many = (Cell.from_text(CELLS[shape](n).text) for n in (60, 120, 240))
    a, b, c = (steps_of(lambda cell=cell: WALKERS[walker](cell)) for cell in (few, more, many))
    assert c - b <= 2.5 * (b - a) + 100, (a, b, c)


@pytest.mark.parametrize("walker", ["trace", "gates"])
def test_ten_thousand_nodes_take_twice_the_calls_of_five(walker: str):
    half, whole = (Cell.from_text(reuse(n).text) for n in (1750, 3500))
    nodes = len(whole.trace.graph.nodes)
    assert nodes > 10_000 and nodes < 2.2 * len(half.trace.graph.nodes)
    a, b = (steps_of(lambda cell=cell: WALKERS[walker](cell), lines=False) for cell in (half, whole))
    assert b <= 2.5 * a, (a, b)


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_a_text_that_names_what_nests_too_deeply_is_canonical(make):
    cell = make(700)
    again = Cell.from_text(cell.text)
    assert again.text == cell.text and again == cell and hash(again) == hash(cell)
    weights = [torch.rand(shape) for shape in cell.parameters(3, 4).values()]
    x, h = torch.rand(2, 3), torch.rand(2, 4)
    assert torch.equal(cell.step(weights, x, [h])[0], again.step(weights, x, [h])[0])


def test_no_line_of_a_text_nests_more_than_its_parser_bears():
    for cell in (chain(4000), choices(1500), turns(2000)):
        deepest = max(line.count("(") for line in cell.text.splitlines())
        assert deepest < 200 and max(map(len, cell.text.splitlines())) < 4000


def test_what_a_chain_of_comparisons_chooses_is_written_once():
    lengths = [len(choices(n).text) for n in (300, 600, 1200)]
    assert lengths[2] - lengths[1] <= 2.5 * (lengths[1] - lengths[0])


def test_a_long_sum_by_hand_stays_one_line():
    """The text of a cell is what its files, caches and kernels are known by."""
    terms = " + ".join(f"p.v{k}" for k in range(40))
    cell = Cell.from_text(f"def sums(p, x, h):\n    return h + {terms}\n")
    assert cell.equations == f"    return h + {terms}"
