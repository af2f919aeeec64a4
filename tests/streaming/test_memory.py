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
from torch.autograd.profiler import profile

import ostinato

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("model", [numbers, Letters])
def test_a_step_calls_no_operation_of_torch(model):
    stream = ostinato.stream(model(), rows=2)
    calls = [bound(stream), with_out(stream), of_numpy(stream)]
    with profile() as recorded:
        torch.empty(1)
        for call in calls:
            call()
    assert [event.name for event in recorded.function_events] == ["aten::empty"]


def wide():
    """16 MB of weights."""
    return ostinato.LSTM(724, 724)


def used(stream):
    """The same stream after a step, a fork that grows, and a state, whose digest reads the weights."""
    stream.step(np.zeros((2, 724), "float32"))
    stream.fork().join(3)
    stream.state()
    return stream


def held():
    """Bytes of all plain tensors that anything refers to; those of other tests may be sparse, which have no storage."""
    plain = [found for found in gc.get_objects() if type(found) is torch.Tensor and found.device.type == "cpu"]
    tensors = [t for t in plain if t.layout is torch.strided and not t.is_nested]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize("closed", [False, True], ids=["dropped", "closed"])
def test_a_stream_frees_its_memory_without_the_collector(closed):
    model, kept = wide(), []
    gc.collect()
    gc.disable()
    try:
        before = held()
        for make in (lambda: ostinato.stream(model, rows=2), lambda: used(ostinato.stream(model, rows=2))):
            stream = make()
            assert held() - before > 16 << 20
            gone = weakref.ref(stream)
            if closed:
                stream.close()
                kept.append(stream)
            del stream
            assert closed or gone() is None
            assert held() - before < 1 << 20
    finally:
        gc.enable()


def test_forks_share_the_weights_until_one_is_refreshed():
    model = wide()
    stream = ostinato.stream(model)
    x, before = torch.ones(1, 724), held()
    forks = [stream.fork() for _ in range(8)]
    assert held() - before < 4 << 20
    expected = stream.step(x)
    assert all(torch.equal(fork.step(x), expected) for fork in forks)
    nn.init.zeros_(model.weight_ih_l0)
    forks[0].refresh()
    for one in (stream, *forks[:2]):
        one.reset()
    assert torch.equal(stream.step(x), expected) and torch.equal(forks[1].step(x), expected)
    assert not torch.equal(forks[0].step(x), expected)
