"""What the lens reads of a cell's graph takes steps in proportion to its nodes."""

import pytest
import torch

import ostinato
from cells.drawn import CELLS, chain, reuse, steps_of, turns
from ostinato import lens
from ostinato.cells import Cell
from ostinato.lens.capture import named_values
from ostinato.lens.measures import pascanu, step_vjp

X, H = 3, 4


def evaluated(cell: Cell) -> None:
    weights = [torch.zeros(shape) for shape in cell.parameters(X, H).values()]
    lens.evaluate(cell, weights, torch.zeros(2, X), [torch.zeros(2, H)], [cell.trace.output])


def carried(cell: Cell) -> None:
    named_values.named_values.cache_clear()
    lens.carry(cell)


WALKERS = {
    "carry": carried,
    "evaluate": evaluated,
    "adjoint": lambda cell: step_vjp._plan.__wrapped__(cell),
    "pascanu": lambda cell: pascanu._slope(cell),
}


@pytest.mark.parametrize("walker", WALKERS)
@pytest.mark.parametrize("shape", CELLS)
def test_steps_grow_with_the_nodes(shape: str, walker: str):
    few, more, many = (Cell.from_text(CELLS[shape](n).text) for n in (60, 120, 240))
    a, b, c = (steps_of(lambda cell=cell: WALKERS[walker](cell)) for cell in (few, more, many))
    assert b <= 2.5 * a and c <= 2.5 * b, (a, b, c)


def test_a_long_carry_names_what_is_shared():
    short, long = lens.carry(turns(5))["h"], lens.carry(turns(200))["h"]
    assert "v1" not in short
    assert "; v1 = " in long and len(long) < 8000


def test_pascanu_sees_a_sum_of_sums_once():
    def doubled(W, U, x, h):  # type: ignore[no-untyped-def]
        total = W.h @ x + U.h @ h
        for _ in range(200):
            total = total + total
        return torch.tanh(total)

    assert pascanu._slope(ostinato.cell(doubled)) == 1.0


@pytest.mark.parametrize("make", [chain, turns, reuse], ids=lambda f: f.__name__)
def test_a_long_cell_is_watched(make):
    layer = ostinato.Recurrent(make(150), X, H)
    with lens.watch(layer) as watched:
        layer(torch.randn(4, 2, X))[0].square().sum().backward()
    assert "h" in watched.report().layers[0].gradient.states


def test_the_anomaly_of_a_long_cell_is_one_short_line():
    def long(W, U, b, p, x, h):  # type: ignore[no-untyped-def]
        y = W.a @ x + U.a @ h + b.a
        for _ in range(300):
            y = 0.5 * y + 0.25 * y * y
        return torch.tanh(y) + torch.log(p.w * y)

    layer = ostinato.Recurrent(ostinato.cell(long), X, H)
    with torch.no_grad():
        layer.p_w_l0.zero_()
    with pytest.raises(ostinato.errors.AnomalyError) as error, ostinato.detect_anomaly():
        layer(torch.randn(4, 2, X))[0].sum().backward()
    assert "log(…), becomes infinite" in str(error.value) and len(str(error.value)) < 600
