"""What a plan promises: what forward keeps, where a step is cut, what leaves the loop; and cells made to trip it up."""

import os
import subprocess
import sys

import pytest
import torch
from torch import tanh

import ostinato
from kernels import hazards
from kernels.calls import check, draw, expected, lengths_to_sizes, same_bits
from ostinato.cells import Cell, catalogue
from ostinato.kernels.emit.backward import Backward
from ostinato.kernels.emit.forward import Forward
from ostinato.kernels.planning.cell_program import program
from ostinato.kernels.planning.step_schedule import StepSchedule
from ostinato.kernels.system import compile_cache
from ostinato.kernels.system.target import host

pytestmark = pytest.mark.usefixtures("poisoned")
CELLS = catalogue()


def step(cell: Cell, keep: bool = True) -> StepSchedule:
    return program(cell).forward(keep, histories=False)


def stages(plan: StepSchedule) -> list[int]:
    """The stages that begin with products."""
    return sorted({p.stage for p in plan.loops if p.products})


def product_names(plan: StepSchedule) -> list[str]:
    """The products inside the loop."""
    return sorted(f"{k}.{n}" for p in plan.loops for q in p.products for part in q.operands for k, n in part.weights)


@pytest.mark.parametrize(
    ("name", "most"),
    {"elman": 1, "elman_relu": 1, "gru": 5, "gru_reset_before": 5, "lstm": 6, "lstm_projected": 6, "mingru": 3}.items(),
)
def test_what_forward_keeps(name: str, most: int):
    """In numbers per step, row and unit, beside the input and the output."""
    T, B, H = 6, 5, 16
    call = draw(CELLS[name], T=T, B=B, C=3, H=H, P=16)
    assert sum(t.numel() for t in call.forward()[3]) / (T * B * H) <= most
    assert call.forward(keep=False)[3] == []


def test_where_a_step_is_cut():
    assert stages(step(CELLS["lstm"])) == [1]
    assert stages(step(CELLS["lstm_peephole"])) == [1]
    assert stages(step(CELLS["gru"])) == [1], "reset-after: all products with h are one"
    assert stages(step(CELLS["gru_reset_before"])) == [1, 2], "reset-before: r is needed first"
    assert stages(step(CELLS["mgu"])) == [1, 2]
    assert stages(step(CELLS["lstm_projected"])) == [1, 2]
    for name in ("indrnn", "mingru", "minlstm"):
        assert stages(step(CELLS[name])) == [], name


@pytest.mark.parametrize(("kind", "products"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_a_step_back_through_norms_takes_all_means_at_once_and_stores_no_products(kind: str, products: int):
    layer = getattr(ostinato, kind)(3, 5, layer_norm=True)
    made = program(layer.active_cell)
    back = made.backward(d_histories=False)
    assert {s: len(means) for s, means in back.means.items()} == {1: 4 * products}, "two for each of W·x and U·h"
    between = [v.op for p in back.loops for v, s in p.stores if s.kind == "spill"]
    assert "mul" not in between, "a product of two lines that are there anyway is stored between stages"
    assert len(made.lazy_products) == 2 * products, "the gradient of a gain has a line of its own"


def test_products_with_the_same_operand_are_one():
    inner = [q for p in step(CELLS["lstm"]).loops for q in p.products]
    assert [sorted(v.attr[1] for v in q.outputs) for q in inner] == [["f", "g", "i", "o"]]


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_products_with_x_leave_the_loop(cell: Cell):
    for keep in (False, True):
        plan = step(cell, keep)
        ahead = sorted(v.attr[1] for p in plan.hoisted for v in p.outputs)
        assert ahead == sorted(cell.gates.get("W", ()))
        inside = [f"{k}.{n}" for k in "UV" for n in cell.gates.get(k, ())]
        assert product_names(plan) == sorted(inside)


def test_two_buffers_only_where_an_old_state_is_read_after_the_new_one_is_written():
    wanted = {
        "lstm": (True, False),
        "lstm_peephole": (True, False),
        "gru": (True,),
        "elman": (True,),
        "indrnn": (False,),
        "mingru": (False,),
        "minlstm": (False,),
        "lstm_projected": (True, False),
        "slstm": (True, False, False, False),
    }
    for name, pingpong in wanted.items():
        assert step(CELLS[name]).double_buffered == pingpong, name


def test_a_new_shape_is_no_reason_to_compile():
    for name in ("lstm", "slstm"):
        draw(CELLS[name], T=1, B=1, C=1, H=1).gradients()
        before = compile_cache.compiled_count()
        for shape in ({"T": 9, "B": 40, "C": 33, "H": 70}, {"B": 3, "sizes": [3, 2], "reverse": True}, {"B": 20}):
            draw(CELLS[name], **shape).gradients()
        assert compile_cache.compiled_count() == before, name


def test_one_kernel_for_cells_that_differ_in_name_only():
    def other(W, U, b, d, x, h):
        return tanh(W.h @ x + b.h + U.h @ h + d.h)

    call = draw(CELLS["elman"], seed=3)
    call.forward()
    before = compile_cache.compiled_count()
    call.cell = Cell(other)
    call.forward()
    assert compile_cache.compiled_count() == before


def emitted(cell: Cell) -> list[tuple]:
    """All that a compiled kernel and those who call it must agree on."""
    p, target = program.__wrapped__(cell), host()
    kernels = (Forward(p, target, "float32", True, False), Backward(p, target, "float32", False))
    return [
        (k.layout.names, str(k.module()), k.step.double_buffered, p.saved_width, p.state_histories, p.workspace_width)
        for k in kernels
    ]


@pytest.mark.slow
def test_kernels_follow_from_the_canonical_text():
    """Equal cells share kernels, whatever the order in which their equations were traced."""
    made = (
        hazards.means_of_states,
        hazards.two_projections,
        hazards.only_compared,
        hazards.compared_across_stages,
        hazards.nine_gates,
    )
    for cell in (*(CELLS[n] for n in ("lstm", "mingru", "minlstm", "slstm")), *(Cell(f) for f in made)):
        again = Cell.from_text(cell.text)
        assert again == cell and emitted(again) == emitted(cell), cell.name


@pytest.mark.slow
def test_kernels_do_not_depend_on_the_order_of_sets():
    """The same code in processes that hash differently, since one may load what the other has compiled."""
    script = (
        "import hashlib; from kernels.test_plan import CELLS, emitted\n"
        "print(hashlib.sha256(repr([emitted(c) for c in (CELLS['lstm'], CELLS['slstm'])]).encode()).hexdigest())"
    )
    paths = os.pathsep.join(p for p in sys.path if p)
    digests = {
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(digests) == 1


# Cells made to trip a plan up.


@pytest.mark.parametrize("equations", hazards.HAZARDS, ids=[f.__name__ for f in hazards.HAZARDS])
def test_cells_made_to_trip_a_plan_up(equations):
    cell = Cell(equations)
    for shape in (
        {"T": 4, "B": 3, "C": 5, "H": 19, "P": 7},
        {"T": 2, "B": 7, "C": 1, "H": 16, "P": 23},
        {"B": 5, "C": 3, "H": 1, "P": 2, "sizes": lengths_to_sizes([4, 3, 1, 1]), "reverse": True},
        {"T": 3, "B": 1, "C": 9, "H": 9, "P": 9, "reverse": True},
    ):
        check(draw(cell, **shape), context=shape)


def test_buffers_of_cells_that_pass_states_on():
    wanted = {
        hazards.swapped: (False, False),
        hazards.layer_norm: (True,),
        hazards.means_of_states: (True, False),
        hazards.without_matrices: (False,),
    }
    for equations, pingpong in wanted.items():
        found = step(Cell(equations)).double_buffered
        assert found == pingpong, (equations.__name__, found)


def test_a_state_of_its_own_history():
    """A delay line gives back what went in, to the bit."""

    def memory(W, x, h, c):
        return W.h @ x, h

    call = draw(Cell(memory), T=6, B=3, C=4, H=21, dtype=torch.float32)
    output, finals, histories, _ = call.forward(histories=True)
    same_bits(finals[0], output[-1])
    same_bits(finals[1], output[-2])
    same_bits(histories[0][1:], output[:-1])
    same_bits(histories[0][0], call.states[0])


def test_a_cell_of_nothing_but_numbers():
    """No gradient reaches anything."""

    def silent(x, h):
        return 1.5

    call = draw(Cell(silent), T=3, B=2)
    output, finals, _, kept = call.forward()
    same_bits(output, torch.full_like(output, 1.5))
    same_bits(finals[0], torch.full_like(finals[0], 1.5))
    gradients = call.named(call.backward(output, kept))
    assert not any(d.any() for d in gradients.values()) and gradients.keys() == expected(call)[1].keys()
