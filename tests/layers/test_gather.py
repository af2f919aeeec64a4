"""`pick`: rows by number, and its gradients of any order."""

import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from ostinato.layers.gather import pick


def gather():
    """rows [4, 2] → [6, 2], two places without a row."""
    return torch.tensor([2, 4, 0, 1, 3, 4]), torch.tensor([2, 3, 0, 4])


def test_pick_gathers_and_fills_with_zeros():
    index, inverse = gather()
    rows = torch.arange(8.0).view(4, 2)
    spread = torch.tensor([[4.0, 5], [0, 0], [0, 1], [2, 3], [6, 7], [0, 0]])
    assert torch.equal(pick(rows, index, inverse), spread)
    assert torch.equal(pick(spread, inverse, index), rows)


def test_pick_is_differentiable_any_number_of_times():
    index, inverse = gather()
    rows = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    for f in (lambda r: pick(r, index, inverse).pow(3), lambda r: pick(r[:, :1].expand(4, 6).T, inverse, index).pow(3)):
        assert gradcheck(f, rows, check_forward_ad=True, check_batched_grad=True)
        assert gradgradcheck(f, rows)
    with forward_ad.dual_level():
        tangent = torch.randn_like(rows)
        out = pick(forward_ad.make_dual(rows.detach(), tangent), index, inverse)
        assert torch.equal(forward_ad.unpack_dual(out).tangent, pick(tangent, index, inverse))
