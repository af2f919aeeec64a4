"""Norms of lines, of the additive path, and of outer products of every step, against plain torch in float64."""

from array import array

import pytest
import torch

from ostinato import kernels

KINDS = [torch.float32, torch.float64]
SIZES = {"dense": [5] * 7, "ragged": [6, 6, 5, 2, 1]}


def first_lines(sizes):
    return array("q", [0, *torch.tensor(sizes).cumsum(0).tolist()])


def small(*shape, dtype):
    """Numbers of very different sizes, whose squares a float32 could not hold."""
    return torch.randn(*shape, dtype=dtype) * torch.logspace(-27, 3, shape[0], dtype=torch.float64).to(dtype)[:, None]


def close(found, expected):
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", KINDS)
def test_norms_of_lines(dtype):
    v = small(50, 21, dtype=dtype)
    norms, _ = kernels.row_norms([v], [50])
    close(norms, v.double().norm(dim=1))


@pytest.mark.parametrize("dtype", KINDS)
def test_norms_of_equal_parts_and_of_differences(dtype):
    v, w, bias = torch.randn(12, 7, dtype=dtype), torch.randn(12, 7, dtype=dtype), torch.randn(12, dtype=dtype)
    norms = kernels.row_norms([v, bias], [4, 3], [w, bias])[0]
    close(norms[:4], (v.double() - w.double()).view(4, 21).norm(dim=1))
    assert norms[4:].tolist() == [0, 0, 0]
    close(kernels.row_norms([v], [2])[0], v.double().view(2, 42).norm(dim=1))


@pytest.mark.parametrize("width", [1, 16, 37])
@pytest.mark.parametrize("dtype", KINDS)
def test_lines_are_copied_bit_for_bit_beside_the_norms(dtype, width):
    v = torch.randn(10, 5, 40, dtype=dtype)
    v[1, 2] = torch.nan
    lines = v.flatten(0, 1)[:, 2 : 2 + width]
    index = torch.tensor([49, 0, 7, 7, 12])
    samples = [kernels.Lines(v, index, 2, width), kernels.Lines(v, index[:0], 2, width)]
    norms, (few, none) = kernels.row_norms([v], [50], samples=samples)
    assert torch.equal(few.nan_to_num(9.0), lines[index].nan_to_num(9.0)) and few.isnan().sum() == 2 * width
    assert none.shape == (0, width) and norms.shape == (50,)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", list(SIZES))
def test_the_additive_path_is_a_loop_over_steps(kind, reverse, dtype):
    sizes = SIZES[kind]
    first = first_lines(sizes)
    adjoint, carry = torch.randn(first[-1], 11, dtype=dtype), torch.rand(first[-1], 33, dtype=dtype)[:, 11:22]
    now = torch.randn(sizes[0], 11, dtype=dtype)
    known = 0 if reverse else 1
    path, every = {n: now[n].double() for n in range(known)}, torch.empty(first[-1], 11, dtype=torch.float64)
    for t in range(len(sizes)) if reverse else reversed(range(len(sizes))):
        for n in range(sizes[t]):
            every[first[t] + n] = path.get(n, adjoint[first[t] + n].double())
            path[n] = every[first[t] + n] * carry[first[t] + n].double()
    found, known = kernels.additive_path_norms(adjoint, carry, first, reverse, now, known)
    close(found, every.norm(dim=1))
    assert known == sizes[-1 if reverse else 0]
    torch.testing.assert_close(now[:known], torch.stack([path[n] for n in range(known)]).to(dtype), rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", list(SIZES))
def test_norms_of_outer_products(kind, reverse, dtype):
    sizes = SIZES[kind]
    first = first_lines(sizes)
    lines = small(first[-1], 40, dtype=dtype)
    columns = (0, 13), (13, 17), (30, 7)
    d = [lines[:, at : at + width] for at, width in columns]
    x, h = torch.randn(first[-1], 9, dtype=dtype), torch.randn(first[-1], 17, dtype=dtype)
    start = torch.randn(sizes[0], 17, dtype=dtype)
    pattern = kernels.Pattern(3, (False, True), ((0, (0, 1)), (1, (2,))))
    expected = [[], []]
    for t, n in enumerate(sizes):
        here, before = slice(first[t], first[t] + n), start[:n].clone()
        u = t + 1 if reverse else t - 1
        if 0 <= u < len(sizes):
            m = min(sizes[u], n)
            before[:m] = h[first[u] : first[u] + m]
        for total, z, parts in ((expected[0], x[here], d[:2]), (expected[1], before, d[2:])):
            total.append(torch.cat([(p[here].double().t() @ z.double()).flatten() for p in parts]).norm())
    operands = [kernels.OuterOperand(x), kernels.OuterOperand(h, start)]
    found = kernels.OuterNorms(pattern, columns, 40, operands, first, reverse)
    expected = torch.stack([torch.stack(e) for e in expected])
    found.run(2, len(sizes), lines[first[2] :].data_ptr())
    assert not found.norms[:, :2].any()
    close(found.norms[:, 2:], expected[:, 2:])
    moved = lines.clone()  # the lines of the first two steps alone are read
    moved[first[2] :] = torch.nan
    found.run(0, 2, moved.data_ptr())
    close(found.norms, expected)
