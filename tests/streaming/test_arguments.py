"""Inputs and outputs of a stream as callers have them: arrays of every layout, modes and devices of torch, copies."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import InputError, ShapeError


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return ostinato.LSTM(5, 7)


@pytest.fixture
def x():
    return torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def expected(layer, x):
    return ostinato.stream(layer, rows=2).push(x)


class Letters(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.rnn = nn.Embedding(5, 3), ostinato.GRU(3, 4)

    def forward(self, x):
        return self.rnn(self.table(x))[0]


def test_one_token_may_be_a_number_of_numpy():
    stream = ostinato.stream(Letters())
    expected = stream.fork().step(torch.tensor(3))
    for token in (np.int64(3), np.array(3), np.uint8(3)):
        y = stream.fork().step(token)
        assert y.shape == (4,) and np.array_equal(y, expected)


def test_arrays_of_any_byte_order_layout_and_protection_are_read(layer, x, expected):
    array, ours = x.numpy(), expected.numpy()
    for given in (
        array.astype(array.dtype.newbyteorder()),
        np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
        np.frombuffer(b"x" + array.tobytes(), array.dtype, offset=1).reshape(array.shape),
        np.asfortranarray(array),
        array[::-1].copy()[::-1],
    ):
        assert np.array_equal(ostinato.stream(layer, rows=2).push(given), ours)
        assert np.array_equal(ostinato.stream(layer, rows=2).step(given[0]), ours[0])


def test_a_negated_view_is_read_with_its_sign():
    layer = ostinato.LSTM(1, 4)
    view = torch.tensor([[0.25 + 0.5j]]).conj().imag
    assert view.is_neg() and view.is_contiguous()
    expected = ostinato.stream(layer).step(torch.tensor([[-0.5]]))
    assert torch.equal(ostinato.stream(layer).step(view), expected)
    assert torch.equal(ostinato.stream(layer).push(view.unsqueeze(0))[0], expected)
    out = torch.zeros(1, 1, dtype=torch.complex64).conj().imag
    one = ostinato.LSTM(1, 1)
    with pytest.raises(ShapeError, match="out must be contiguous"):
        ostinato.stream(one).step(torch.ones(1, 1), out=out)


def test_a_stream_made_in_inference_mode_is_used_outside_of_it(layer, x, expected):
    with torch.inference_mode():
        stream = ostinato.stream(layer, rows=1)
        stream.join()
        stream.refresh()
    stream.load(stream.state())
    stream.input.copy_(x[3])
    stream.step()
    stream.take([1, 0])
    stream.reset()
    assert torch.equal(stream.push(x), expected)
    with torch.inference_mode():
        stream.reset([0, 1])
        assert torch.equal(stream.push(x), expected)


def test_torchs_default_device_changes_nothing(layer, x, expected):
    with torch.device("meta"):
        stream = ostinato.stream(layer, rows=2)
        y = stream.push(x)
        stream.join()
        stream.leave([2])
        stream.reset()
    assert stream.input.is_cpu and stream.output.is_cpu
    assert type(stream._runner) is type(ostinato.stream(layer)._runner)
    assert torch.equal(y, expected) and torch.equal(stream.push(x), expected)


def test_states_that_have_gradients_are_loaded_without_them(layer, x):
    start = {name: torch.randn(2, 7, requires_grad=True) for name in ("0.h", "0.c")}
    stream, other = ostinato.stream(layer, rows=2), ostinato.stream(layer, rows=2)
    stream.load({name: value * 2 for name, value in start.items()})
    other.load({name: value.detach() * 2 for name, value in start.items()})
    assert stream.state().to_bytes() == other.state().to_bytes()
    assert not any(value.requires_grad for value in stream.state().values())
    assert torch.equal(stream.push(x), other.push(x))


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_a_copy_is_a_fork(layer, x, expected, way):
    stream = ostinato.stream(layer, rows=2)
    stream.push(x[:2])
    other = way(stream)
    stream.leave([0])
    stream.step(x[0, 1:])
    assert torch.equal(other.push(x[2:]), expected[2:])


def test_a_stream_is_not_pickled(layer):
    with pytest.raises(
        InputError, match="Stream: a stream must be kept in its process, got one to pickle. Save stream"
    ):
        pickle.dumps(ostinato.stream(layer))
