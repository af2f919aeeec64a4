"""Random numbers and normalised values inside kernels: the numbers of the reference bit by bit, whatever the call."""

import pytest
import torch
from torch import where

from ostinato import kernels
from ostinato.cells import cell, clip_gradient
from ostinato.cells.noise import later
from ostinato.cells.reference import sequence
from ostinato.errors import ShapeError
from ostinato.kernels.planning.cell_program import program
from ostinato.sequence import SequenceCall


@cell
def drawn(R, S, x, s1, s2, s3, s4, s5, s6):
    """States that are the random numbers themselves; R has more than one group of four."""
    return R.a, R.b, R.c, R.d, R.e, S.f


@cell
def kept(W, U, R, S, x, h):
    return where(R.old < 0.25, h, clip_gradient(W.h @ x + U.h @ where(S.in_ < 0.3, 0.0, h * 2), 0.5))


def noise(rows, seed=0x123456789ABCDEF, step=7, stream=3):
    return torch.tensor([seed, step, stream, *range(rows)])


def forward(cell, x, states, weights, sizes, reverse, histories, n):
    """(output, final states, histories) of the kernels."""
    result = kernels.forward(SequenceCall(cell, x, states, weights, sizes, reverse, n), False, histories)
    return result.output, result.final_states, result.histories


def both(n, steps, rows, width, dtype, reverse=False, sizes=None):
    x = torch.zeros((steps, rows, 1) if sizes is None else (sum(sizes), 1), dtype=dtype)
    states = [torch.zeros(rows, width, dtype=dtype)] * 6
    packed = None if sizes is None else torch.tensor(sizes)
    output, finals, found = forward(drawn, x, states, [], packed, reverse, True, n)
    _, expected_finals, expected = sequence(drawn, x, states, [], sizes, reverse, n)
    return [output, *found, *finals], [*expected, *expected_finals]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [5, 16, 40])
def test_numbers_are_those_of_the_reference(dtype, width):
    for found, expected in (
        both(noise(3), 4, 3, width, dtype),
        both(noise(2, seed=-1, step=2**32 - 2), 4, 2, width, dtype, reverse=True),
        both(torch.tensor([5, 0, 1, 9, 2**31, 4]), 4, 3, width, dtype, sizes=[3, 3, 1]),
        both(noise(4, step=6), 9, 4, width, dtype, sizes=[4, 4, 3, 3, 2, 2, 2, 1, 1]),  # rows end, or enter,
        both(noise(4, step=5), 9, 4, width, dtype, sizes=[4, 4, 3, 3, 2, 2, 2, 1, 1], reverse=True),  # among four steps
    ):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("rows", "width"), [(64, 256), (2, 1024)])  # threads have rows, or units, of their own
def test_threads_share_one_stream_of_numbers(rows, width):
    x, states = torch.zeros(30, rows, 1), [torch.zeros(rows, width)] * 6
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = forward(drawn, x, states, [], None, False, True, noise(rows))
        torch.set_num_threads(2)
        together = forward(drawn, x, states, [], None, False, True, noise(rows))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(alone[2], together[2], strict=True))


def test_a_call_in_two_parts_has_the_bits_of_one():
    torch.manual_seed(0)
    x, h, n = torch.randn(6, 3, 4), torch.randn(3, 19), noise(3)
    weights = [torch.randn(19, 4), torch.randn(19, 19) / 4]
    whole, _, _ = forward(kept, x, [h], weights, None, False, False, n)
    first, (middle,), _ = forward(kept, x[:2], [h], weights, None, False, False, n)
    second, _, _ = forward(kept, x[2:], [middle], weights, None, False, False, later(n, 2))
    assert torch.equal(whole, torch.cat([first, second]))


def test_nothing_drawn_is_kept():
    assert program(kept).saved == [] and program(kept).state_histories == []


@pytest.mark.parametrize("given", [None, torch.zeros(4), torch.zeros(5, dtype=torch.int64)])
def test_noise_of_another_kind_is_refused(given):
    x, h = torch.zeros(2, 1, 1), torch.zeros(1, 4)
    with pytest.raises(
        ShapeError, match=r"kernels: random_state must be an int64 tensor of 3 \+ B = 4 numbers for the cell"
    ):
        forward(drawn, x, [h] * 6, [], None, False, False, given)
