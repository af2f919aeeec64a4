"""Packed batches from offsets and nested tensors, against torch's pack_sequence."""

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import ostinato
from ostinato.errors import InputError, ShapeError
from ostinato.packing import from_nested, from_offsets, to_nested, to_offsets

LENGTHS = [3, 5, 1, 5, 3]


def sequences():
    torch.manual_seed(0)
    return [torch.randn(n, 4, dtype=torch.float64) for n in LENGTHS]


def offsets():
    return torch.tensor([0, *torch.tensor(LENGTHS).cumsum(0)])


def test_offsets_are_torchs_packed_sequences_and_come_back():
    rows = torch.cat(sequences()).requires_grad_()
    found, expected = from_offsets(rows, offsets().int()), pack_sequence(sequences(), enforce_sorted=False)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
    for packed in (found, expected):
        back, bounds = to_offsets(packed)
        assert torch.equal(back, rows) and torch.equal(bounds, offsets())
    weights = torch.randn_like(found.data)
    (d,) = torch.autograd.grad((found.data * weights).sum(), rows)
    assert torch.equal(d, to_offsets(PackedSequence(weights, *found[1:]))[0])


def test_sorted_packed_sequences_and_other_orders_of_equal_rows():
    ready = sorted(sequences(), key=len, reverse=True)
    rows, bounds = to_offsets(pack_sequence(ready))
    assert torch.equal(rows, torch.cat(ready)) and bounds.tolist() == [0, 5, 10, 13, 16, 17]
    order = torch.tensor([3, 1, 4, 0, 2])
    other = pack_sequence([sequences()[k] for k in order])
    packed = PackedSequence(other.data, other.batch_sizes, order, torch.argsort(order))
    assert torch.equal(to_offsets(packed)[0], torch.cat(sequences()))


@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_go_through_a_layer(layout):
    layer = ostinato.LSTM(4, 6, bidirectional=True, dtype=torch.float64)
    output, (h, _) = layer(from_nested(torch.nested.nested_tensor(sequences(), layout=layout)))
    nested = to_nested(output)
    assert nested.is_nested and nested.layout == torch.jagged
    for k, (one, x) in enumerate(zip(nested.unbind(), sequences(), strict=True)):
        expected, (last, _) = layer(x)
        assert torch.equal(one, expected) and torch.equal(h[:, k], last)


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        (
            [0.0, 17.0],
            InputError,
            r"offsets must be integers \[B \+ 1\] with B of 1 or more, got",
        ),
        ([0], InputError, r"got torch.int64 of shape \[1\]. Write torch.cat"),
        (
            [0, 3, 16],
            ShapeError,
            r"offsets must be growing from 0 to R = 17, got \[0, 3, 16\]. A PackedS",
        ),
        ([0, 3, 3, 17], ShapeError, r"growing from 0 to R = 17, got \[0, 3, 3, 17\]"),
    ],
)
def test_wrong_offsets_are_refused(wrong, error, message):
    with pytest.raises(error, match=message):
        from_offsets(torch.cat(sequences()), torch.tensor(wrong))


def test_other_arguments_are_refused():
    for call in (to_offsets, to_nested):
        with pytest.raises(InputError, match="packing: packed must be a PackedSequence, got Tensor. Write torch.nn"):
            call(torch.zeros(2, 3, 4))
    with pytest.raises(InputError, match=r"rows must be a tensor \[R, C\], got int"):
        from_offsets(3, [0, 1])
    with pytest.raises(InputError, match=r"offsets must be integers \[B \+ 1\], got None"):
        from_offsets(torch.cat(sequences()), None)


def test_what_is_not_nested_is_refused():
    with pytest.raises(InputError, match=r"nested must be a nested tensor of sequences \[T, C\], got Tensor. Write"):
        from_nested(torch.zeros(2, 3, 4))
