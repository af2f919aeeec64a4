"""Memory of streams: none for a step, that of a dropped stream freed, that of the weights shared."""

import gc
import sys
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import ostinato

STEPS = 50_000
STATM = Path("/proc/self/statm")
linux = pytest.mark.skipif(not STATM.exists(), reason="the resident memory is read from /proc")


class Letters(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.rnn, self.head = nn.Embedding(5, 3), ostinato.GRU(3, 4), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.rnn(self.table(x))[0])


def resident():
    """Bytes of this process that are in memory."""
    return int(STATM.read_text().split()[1]) * 4096


def bound(stream):
    return stream.step


def with_out(stream):
    x, y = stream.input.clone(), stream.output.clone()
    return lambda: stream.step(x, out=y)


def fresh(stream):
    x = stream.input.clone()
    return lambda: stream.step(x)


def of_numpy(stream):
    x = stream.input.numpy().copy()
    return lambda: stream.step(x)


def pushed(stream):
    xs, ys = torch.stack([stream.input] * 2), torch.stack([stream.output] * 2)
    return lambda: stream.push(xs, out=ys)


def numbers():
    return ostinato.LSTM(4, 4)


@linux
@pytest.mark.parametrize(
    "way", [bound, *(pytest.param(other, marks=pytest.mark.slow) for other in (with_out, fresh, of_numpy, pushed))]
)
@pytest.mark.parametrize("model", [numbers, Letters])
def test_many_steps_take_no_memory(model, way):
    """In bytes that Python traces, in Python's blocks, and in the memory of the process."""
    call = way(ostinato.stream(model(), rows=2))
    for _ in range(STEPS // 10):
        call()
    gc.collect()
    blocks, before = sys.getallocatedblocks(), resident()
    for _ in range(STEPS):
        call()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 100
    assert resident() - before < 1 << 20
    tracemalloc.start()
    try:
        for _ in range(100):
            call()
        traced = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            call()
        assert tracemalloc.get_traced_memory()[0] - traced < 1000
    finally:
        tracemalloc.stop()


class Recorded(TorchDispatchMode):
    """Collects the operations of torch that are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        self.names.append(str(function))
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize("model", [numbers, Letters])
def test_a_step_calls_no_operation_of_torch(model):
    stream = ostinato.stream(model(), rows=2)
    calls = [bound(stream), with_out(stream), of_numpy(stream)]
    with Recorded() as recorded:
        torch.ones(1)
        for call in calls:
            call()
    assert recorded.names == ["aten.ones.default"]


def wide():
    """16 MB of weights."""
    return ostinato.LSTM(724, 724)


@linux
def test_a_stream_that_is_dropped_or_closed_frees_its_memory_without_the_collector():
    model, kept = wide(), []
    ostinato.stream(model).state()
    gc.disable()
    try:
        before = resident()
        for k in range(12):
            stream = ostinato.stream(model, rows=2)
            gone = weakref.ref(stream)
            stream.step(np.zeros((2, 724), "float32"))
            if k % 2:
                stream.state()
            else:
                stream.fork().join(3)
            if k % 3 == 0:
                stream.close()
                kept.append(stream)
            del stream
            assert k % 3 == 0 or gone() is None
        assert resident() - before < 3 * (16 << 20)
    finally:
        gc.enable()


@linux
def test_forks_share_the_weights_until_one_is_refreshed():
    model = wide()
    stream = ostinato.stream(model)
    before = resident()
    forks = [stream.fork() for _ in range(40)]
    x = torch.ones(1, 724)
    expected = stream.step(x)
    assert all(torch.equal(fork.step(x), expected) for fork in forks)
    assert resident() - before < 32 << 20
    nn.init.zeros_(model.weight_ih_l0)
    forks[0].refresh()
    stream.reset(), forks[0].reset(), forks[1].reset()
    assert torch.equal(stream.step(x), expected) and torch.equal(forks[1].step(x), expected)
    assert not torch.equal(forks[0].step(x), expected)
