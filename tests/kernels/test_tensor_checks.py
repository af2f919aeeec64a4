"""What kernels are handed by address: each question that is asked of a tensor, and that nothing known is mistaken."""

import re
import weakref
from array import array

import pytest
import torch
from torch import nn

from ostinato import _torch_private, kernels
from ostinato.cells import catalogue
from ostinato.errors import InputError, ShapeError
from ostinato.execution import backends
from ostinato.kernels.runtime.tensor_checks import (
    SizeFreeGuards,
    TensorGuards,
    addresses,
    in_memory,
    lines_in_memory,
    readable_tensor,
    rows_in_memory,
)
from ostinato.sequence import SequenceCall

SHAPE, KIND = (4, 3), torch.float32


def hand(t):
    return readable_tensor("cell c", "x", t, SHAPE, KIND, "Give it.")


def freed(t):
    t.untyped_storage().resize_(0)
    return t


@pytest.mark.parametrize(
    "t, expected",
    [
        (torch.zeros(3, 4), "x must be of shape [4, 3], got [3, 4]. Give it."),
        (
            torch.zeros(SHAPE, dtype=torch.float64),
            "x must be a dense tensor of torch.float32 on the CPU, got torch.float64",
        ),
        (torch.zeros(SHAPE, device="meta"), "got torch.float32, torch.strided, on meta. Give it."),
        (torch.zeros(SHAPE).to_sparse(), "got torch.float32, torch.sparse_coo, on cpu"),
        (torch.zeros(SHAPE).to_mkldnn(), "got torch.float32, torch._mkldnn, on cpu"),
        (freed(torch.zeros(SHAPE)), "x must be a tensor with memory, got [4, 3] without. Its storage was resized"),
        (freed(torch.zeros(5, 3)[1:]), "x must be a tensor with memory, got [4, 3] without."),
    ],
)
def test_what_kernels_cannot_read_is_refused(t, expected):
    with pytest.raises((InputError, ShapeError), match=re.escape(expected)):
        hand(t)
    assert not in_memory(t, KIND) or t.shape != SHAPE


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_refused_and_not_taken_for_a_known_one():
    nested = torch.nested.as_nested_tensor([torch.zeros(2, 3), torch.zeros(1, 3)])
    with pytest.raises(InputError, match="torch.float32, nested, on cpu"):
        hand(nested)
    handover, plain = TensorGuards("cell c", KIND), torch.zeros(SHAPE)
    handover.check(None, [("x", plain, SHAPE)], "")
    assert handover.pass_guards(None, [plain]) and not handover.pass_guards(None, [nested])


def test_what_torch_would_resolve_is_resolved():
    t = torch.randn(SHAPE)
    assert hand(t) is t
    for odd, same in (
        (torch._neg_view(t), -t),
        (torch.complex(t, t).conj().imag, -t),
        (t.t().contiguous().t(), t),
        (t[:1].expand(SHAPE), t[:1].repeat(4, 1)),
        (torch._efficientzerotensor(SHAPE), torch.zeros(SHAPE)),
        (torch._efficientzerotensor((6, 3))[2:], torch.zeros(SHAPE)),
    ):
        found = hand(odd)
        assert torch.equal(found, same) and found.is_contiguous() and in_memory(found, KIND)
    assert not in_memory(torch._neg_view(t), KIND) and not in_memory(torch._efficientzerotensor(SHAPE), KIND)


def test_memory_that_was_given_back_is_noticed_in_every_call():
    """Such a tensor is like one that is known but for its address, which may be a small number and not 0."""
    whole = torch.zeros(5, 3)
    part = whole.view(-1)[3:].view(4, 3)
    assert min(addresses([whole, part])) > 0
    assert addresses([torch.zeros(0, 3)]) == [0]
    freed(whole)
    for t in (whole, part):
        with pytest.raises(InputError, match="kernels: a tensor must be a tensor with memory, got .* without"):
            addresses([t])


def test_only_what_is_alike_in_everything_is_known():
    handover, t = TensorGuards("cell c", KIND), torch.randn(SHAPE)
    assert not handover.pass_guards(None, [t])
    handover.check(None, [("x", t, SHAPE)], "")
    assert handover.pass_guards(None, [t]) and handover.pass_guards(None, [torch.randn(SHAPE)])
    others = [
        t.t(),
        torch.randn(3, 4),
        torch.randn(12),
        t.double(),
        torch._neg_view(t),
        torch._efficientzerotensor(SHAPE),
        t.to("meta"),
        t.to_sparse(),
        t.to_mkldnn(),
        t.t().contiguous().t(),
        t[:1].expand(SHAPE),
    ]
    assert [handover.pass_guards(None, [other]) for other in others] == [False] * len(others)
    assert not handover.pass_guards("another list", [t])
    handover.check(None, [("x", nn.Parameter(t), SHAPE)], "")
    assert handover.pass_guards(None, [nn.Parameter(torch.randn(SHAPE))]) and handover.pass_guards(None, [t])


def test_what_is_known_is_bounded_and_holds_no_tensor():
    handover = TensorGuards("cell c", KIND)
    for step in range(30):
        t = torch.randn(40, 3)[step : step + 1].as_strided((1, 3), (step + 3, 1))
        handover.check(None, [("x", t, (1, 3))], "")
    assert len(handover._passed[None]) == 8
    t = torch.randn(SHAPE)
    gone = weakref.ref(t)
    handover.check(None, [("x", t, SHAPE)], "")
    del t
    assert gone() is None


def test_without_torchs_own_check_each_tensor_is_asked(monkeypatch):
    monkeypatch.setattr(_torch_private, "same_kind", lambda tensors: None)
    handover, t = TensorGuards("cell c", KIND), torch.randn(SHAPE)
    assert handover.check(None, [("x", t, SHAPE)], "")[0] is t and not handover.pass_guards(None, [t])


def test_rows_for_the_lens_lie_in_one_piece_each():
    t = torch.randn(SHAPE)
    assert rows_in_memory(t, KIND) and rows_in_memory(t[:, 1:], KIND) and rows_in_memory(t[:1].expand(SHAPE), KIND)
    for other in (t.t(), t[:0], torch._neg_view(t), t.double(), torch._efficientzerotensor(SHAPE)):
        assert not rows_in_memory(other, KIND)


def test_a_guard_of_lines_passes_nothing_that_the_single_checks_refuse():
    t = torch.randn(SHAPE)
    for whole in (False, True):
        for _ in range(4):  # the guard is made at the second request
            assert lines_in_memory([t, torch.randn(SHAPE)], KIND, whole)
        for other in (t.new_empty(3, 4).t(), torch._neg_view(t), t.double(), torch._efficientzerotensor(SHAPE)):
            assert not lines_in_memory([t, other], KIND, whole)
        assert not lines_in_memory([freed(torch.zeros(SHAPE)), t], KIND, whole)
        assert not lines_in_memory([t, freed(torch.zeros(SHAPE))], KIND, whole)
    apart = torch.randn(4, 6)[:, :3]
    assert lines_in_memory([apart], KIND) and not lines_in_memory([apart], KIND, whole=True)
    assert lines_in_memory([torch.tensor(1.0)], KIND, whole=True)


def test_norms_of_what_kernels_cannot_read_are_left_to_torch():
    t, start = torch.randn(SHAPE), torch.randn(2, 3)
    index = torch.arange(2)
    line = index, 0, 3
    assert backends.norms([t], [4]) is not None and backends.norms([t], [2], [t.clone()], [(t, *line)]) is not None
    assert backends.norms([torch._neg_view(t)], [4]) is None and backends.norms([t.t()], [3]) is None
    assert backends.norms([t], [4], [t[:3]]) is None and backends.norms([t], [4], [torch._neg_view(t)]) is None
    assert backends.norms([t], [4], (), [(t.double(), *line)]) is None
    first = array("q", [0, 2, 4])
    assert backends.path(t, t, first, False, t.clone(), 0) is not None
    assert backends.path(t, t.double(), first, False, t.clone(), 0) is None
    assert backends.path(t, t, first, False, t.double(), 0) is None
    d = ((0, (0,)),), ((0, 3),), 3

    def outer(t, start):
        return backends.outer_norms(backends.OuterTask(*d, [(t, start)], first, False))

    assert outer(t, start) is not None
    assert outer(t, torch._neg_view(start)) is None
    wide = torch.randn(4, 6)[:, :3]  # the states before the first step are read with the stride of the rows
    assert outer(wide, start) is None


def test_lengths_and_sizes_are_integers_on_the_cpu():
    with pytest.raises(
        InputError, match="kernels: lengths must be a dense tensor of torch.int64 on the CPU, got torch.int32"
    ):
        kernels.sort_by_length(torch.tensor([2, 1], dtype=torch.int32), 3, False)
    spaced = torch.tensor([2, 9, 1, 9])[::2]
    assert kernels.sort_by_length(spaced, 3, False)[0].tolist() == [2, 1]
    cell, (x, h, w, u, b) = catalogue()["elman"], [torch.zeros(n) for n in ((3, 2), (2, 4), (4, 2), (4, 4), (4,))]
    weights = [w, u, b, b.clone()][: len(cell.parameters(2, 4))]
    for sizes in (torch.tensor([2, 1], dtype=torch.int32), torch.tensor([[2, 1]])):
        with pytest.raises(
            InputError, match=r"kernels: sizes must be an int64 tensor \[T\] on the CPU, the rows of each"
        ):
            kernels.forward(SequenceCall(cell, x, [h], weights, sizes), False, False)
    with pytest.raises(ShapeError, match="cell elman: the tensors must be x .* Give each its dimensions"):
        kernels.forward(SequenceCall(cell, x[None], [h[0, 0]], weights), False, False)


def test_guards_of_any_size_compare_all_but_the_sizes():
    guards, weight = SizeFreeGuards(), nn.Parameter(torch.randn(4, 3))
    x = torch.randn(5, 2, 3)
    assert not guards.pass_guards(None, [x], [weight], [(5, 2, 3)])
    guards.add(None, [x], [weight])
    for T, B in ((5, 2), (9, 2), (1, 7)):
        assert guards.pass_guards(None, [torch.randn(T, B, 3)], [weight], [(T, B, 3)])
    assert not guards.pass_guards("another list", [x], [weight], [(5, 2, 3)])
    assert not guards.pass_guards(None, [x], [weight], [(5, 2, 4)])
    assert not guards.pass_guards(None, [x], [nn.Parameter(torch.randn(3, 4))], [(5, 2, 3)])
    assert not guards.pass_guards(None, [x], [torch.randn(4, 3).double()], [(5, 2, 3)])
    larger = torch.randn(6, 2, 3)
    shrunk = larger[:]
    larger.untyped_storage().resize_(4)
    others = [
        torch.randn(2, 6, 3).transpose(0, 1),
        torch.randn(1, 2, 3).expand(6, 2, 3),
        torch.randn(6, 2, 3).double(),
        torch.randn(12, 3),
        torch._neg_view(torch.randn(6, 2, 3)),
        torch._efficientzerotensor((6, 2, 3)),
        torch.empty(6, 2, 3, device="meta"),
        torch.randn(6, 2, 3).to_sparse(),
        shrunk,
    ]
    for t in others:
        assert not guards.pass_guards(None, [t], [weight], [tuple(t.shape)])
    assert guards.pass_guards(None, [torch.randn(6, 2, 3)], [weight], [(6, 2, 3)])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_guards_of_any_size_do_not_ask_a_nested_tensor_for_its_shape():
    guards, plain = SizeFreeGuards(), torch.zeros(SHAPE)
    guards.add(None, [plain], [])
    nested = torch.nested.as_nested_tensor([torch.zeros(2, 3), torch.zeros(1, 3)])
    assert not guards.pass_guards(None, [nested], [], [SHAPE])
