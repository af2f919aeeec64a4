"""Norms, also of what is too small or too large to be squared in its number type."""

import math

import pytest
import torch

from ostinato.lens.capture.row_norms import row_norms


def norms(v):
    return row_norms([v], [len(v)])[0][0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norms_are_those_of_higher_precision(dtype):
    torch.manual_seed(0)
    sizes = [1.0, 0.0, 1e-12, 1e-25, 3e-35, 1e25] + ([1e-200, 1e200] if dtype == torch.float64 else [])
    v = torch.randn(len(sizes), 7, dtype=dtype) * torch.tensor(sizes, dtype=dtype)[:, None]
    expected = [math.hypot(*row) for row in v.tolist()]
    assert norms(v).tolist() == pytest.approx(expected, rel=1e-6, abs=0)
    wide = torch.cat([v, v], 1)  # rows that lie apart
    assert norms(wide[:, 3:10]).tolist() == pytest.approx(
        [math.hypot(*row) for row in wide[:, 3:10].tolist()], rel=1e-6
    )


def test_norms_of_what_is_not_finite_or_not_there():
    v = torch.tensor([[math.inf, 1.0], [math.nan, 1.0], [3.0, 4.0]])
    found = norms(v).tolist()
    assert found[0] == math.inf and math.isnan(found[1]) and found[2] == 5
    assert norms(v[:, :0]).tolist() == [0, 0, 0] and norms(v[:0]).shape == (0,)
