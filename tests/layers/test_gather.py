"""`gather_rows`: rows by number, and its gradients of any order."""

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from ostinato.ragged.gather import gather_rows
from ostinato.ragged.segments import layout_for_any, layout_of


def gather():
    """rows [4, 2] → [6, 2], two places without a row."""
    return torch.tensor([2, 4, 0, 1, 3, 4]), torch.tensor([2, 3, 0, 4])


def test_gather_rows_gathers_and_fills_with_zeros():
    index, inverse = gather()
    rows = torch.arange(8.0).view(4, 2)
    spread = torch.tensor([[4.0, 5], [0, 0], [0, 1], [2, 3], [6, 7], [0, 0]])
    assert torch.equal(gather_rows(rows, index, inverse), spread)
    assert torch.equal(gather_rows(spread, inverse, index), rows)


def test_gather_rows_is_differentiable_any_number_of_times():
    index, inverse = gather()
    rows = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    for f in (
        lambda r: gather_rows(r, index, inverse).pow(3),
        lambda r: gather_rows(r[:, :1].expand(4, 6).T, inverse, index).pow(3),
    ):
        assert gradcheck(f, rows, check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(f, rows)
    with forward_ad.dual_level():
        tangent = torch.randn_like(rows)
        out = gather_rows(forward_ad.make_dual(rows.detach(), tangent), index, inverse)
        assert torch.equal(forward_ad.unpack_dual(out).tangent, gather_rows(tangent, index, inverse))


def test_operators_keep_their_word():
    """torch's own checks of a registered operator: its schema, its shapes alone, its gradient under tracers."""
    index, inverse = gather()
    rows = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(torch.ops.ostinato.pick.default, (rows, index, inverse))
    lengths, resets = torch.tensor([2, 0, 3]), torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]) == 1
    for given in ((lengths, resets), (lengths, None), (None, resets)):
        for batch_first in (False, True):
            told = (*given, 4, 3, batch_first, torch.device("cpu"), "layer")
            torch.library.opcheck(torch.ops.ostinato.layout.default, told)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("lengths", [[2, 0, 3], [0, 0, 0], [4, 4, 4]])
def test_a_layout_for_any_lengths_begins_as_the_one_for_these(lengths, resets, batch_first):
    known = torch.tensor(lengths)
    begins = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]) == 1 if resets else None
    told = (known, begins, 4, 3, batch_first, known.device)
    own, fixed = layout_of(*told), layout_for_any(*told, "layer")
    for name in ("sizes", "index", "segment", "source_row", "starts_new"):
        a, b = getattr(own, name), getattr(fixed, name)
        if a is not None:
            assert torch.equal(b[: len(a)], a) and (b[len(a) :] == (12 if name == "index" else 0)).all()
    segments = len(own.source_row)
    assert len(fixed.source_row) == (12 if resets else 3) and len(fixed.sizes) == 4 and len(fixed.index) == 12
    assert torch.equal(fixed.inverse, own.inverse.where(own.inverse < len(own.index), 12))
    assert torch.equal(fixed.last, own.last.where(own.last < segments, own.last + len(fixed.source_row) - segments))
