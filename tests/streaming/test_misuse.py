"""Streams that are interrupted, copied, made in other modes of torch, or given memory that cannot be used."""

import copy
import gc
import hashlib
import json
import pickle
import struct

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import InputError, OstinatoError, ShapeError
from ostinato.streaming.kernel_runner import KernelRunner


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return ostinato.LSTM(8, 8)


@pytest.fixture
def x():
    return torch.randn(40, 2, 8, generator=torch.Generator().manual_seed(1))


def interrupted(monkeypatch, owner, name, call):
    """Runs a call in which Ctrl-C comes as soon as `name` of `owner` has run."""
    run = getattr(owner, name)

    def with_interrupt(*args):
        run(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(owner, name, with_interrupt)
        call()


def test_after_an_interrupted_push_a_step_writes_one_step(layer, x, monkeypatch):
    """The argument block says one step again; else the kernel would write past the memory of one."""
    stream, other = ostinato.stream(layer, rows=2), ostinato.stream(layer, rows=2)
    if not isinstance(stream._runner, KernelRunner):
        pytest.skip("there are no compiled kernels")
    interrupted(monkeypatch, stream._runner, "call", lambda: stream.push(x[:30]))
    other.push(x[:30])
    guarded = torch.zeros(40, 2, 8)
    stream.step(x[30], out=guarded[0])
    assert torch.equal(guarded[0], other.step(x[30])) and not guarded[1:].any()


@pytest.mark.parametrize("call", ["reset", "state", "refresh", "fork", "join"])
def test_an_interrupted_call_gives_the_stream_back(layer, x, monkeypatch, call):
    stream = ostinato.stream(layer, rows=2)
    names = {"state": "read_states", "fork": "resized", "join": "resized"}
    interrupted(monkeypatch, stream._runner, names.get(call, call), getattr(stream, call))
    assert stream.rows == 2 and tuple(stream.input.shape) == (2, 8)
    assert torch.equal(stream.push(x), ostinato.stream(layer, rows=2).push(x))


def test_buffers_are_not_replaced_by_other_tensors(layer, x):
    stream = ostinato.stream(layer, rows=2)
    with pytest.raises(InputError, match=r"Stream: input must be the stream's own tensor.*stream.input\[:\] = value"):
        stream.input = x[0]
    with pytest.raises(InputError, match="Stream: output must be the stream's own tensor"):
        stream.output = x[0]
    stream.input += x[0]
    expected = ostinato.stream(layer, rows=2).step(x[0])
    assert torch.equal(stream.step(), expected)
    stream.output *= 1
    given = stream.input
    given.data = x[1].clone()
    gc.collect()
    with pytest.raises(InputError, match="input must be the stream's own tensor"):
        stream.input.copy_(x[0])
    stream.reset()
    assert torch.equal(stream.step(), expected)


def test_states_are_copied_and_pickled(layer, x):
    stream = ostinato.stream(layer, rows=2)
    stream.push(x)
    state = stream.state()
    for copied in (copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        stream.load(copied)
        assert copied.to_bytes() == state.to_bytes()


@pytest.mark.parametrize("shift", [-24, -1, 0, 1, 8, 24])
def test_results_may_be_written_where_x_is(layer, x, shift):
    memory = torch.zeros(2000)
    xs, ys = memory[100 : 100 + x.numel()].view(x.shape), memory[100 + shift : 100 + shift + x.numel()].view(x.shape)
    xs.copy_(x)
    assert torch.equal(ostinato.stream(layer, rows=2).push(xs, out=ys), ostinato.stream(layer, rows=2).push(x))


def test_one_number_with_the_other_sign_as_a_view():
    torch.manual_seed(0)
    stream = ostinato.stream(ostinato.GRU(1, 4))
    z = torch.complex(torch.zeros(1, 1), torch.ones(1, 1)).conj()
    assert z.imag.is_neg() and z.imag.is_contiguous()
    y = stream.step(z.imag)
    for x in (torch.tensor([[-1.0]]), z.imag.clone(), z.imag[0]):
        stream.reset()
        assert torch.equal(stream.step(x).view(1, 4), y)


def test_negated_views_of_several_numbers_that_are_contiguous():
    torch.manual_seed(0)
    layer, z = ostinato.GRU(4, 4), torch.randn(2, 4, dtype=torch.complex64)
    x = z.conj().imag.as_strided((2, 4), (4, 1))
    assert x.is_neg() and x.is_contiguous()
    stream = ostinato.stream(layer, rows=2)
    y = stream.step(x)
    stream.reset()
    assert torch.equal(stream.step(x.clone()), y)
    out = torch.zeros(2, 4, dtype=torch.complex64).conj().imag.as_strided((2, 4), (4, 1))
    assert out.is_neg() and out.is_contiguous()
    with pytest.raises(ShapeError, match="out must be contiguous"):
        stream.step(x, out=out)


def _locked():
    array = np.zeros((2, 8), "float32")
    array.flags.writeable = False
    return array


REFUSED = {
    "sparse": (lambda s, x: s.step(x.to_sparse()), r"x must be a dense tensor.*got torch.sparse_coo. Write x.to_dense"),
    "sparse steps": (lambda s, x: s.push(x[None].to_sparse()), "Stream.push: x must be a dense tensor"),
    "nested": (
        lambda s, x: s.step(torch.nested.nested_tensor([x[0]], layout=torch.jagged)),
        "x must be a dense tensor",
    ),
    "nested rows": (lambda s, x: s.push(torch.nested.nested_tensor([x])), "x must be a dense tensor, got nested"),
    "vmap": (lambda s, x: torch.vmap(s.step)(x[None]), "x must be a tensor with memory of its own"),
    "strings": (lambda s, x: s.step(np.array(["a"])), "x must be an array of numbers, got one of <U1"),
    "objects": (lambda s, x: s.step(np.array([None])), "got one of object. Write x.astype"),
    "a mask": (lambda s, x: s.step(np.ma.masked_less(x.numpy(), 0)), r"got a masked one. Write x.filled\(0\)"),
    "read-only": (lambda s, x: s.step(x.numpy(), out=_locked()), "out must be an array that may be written"),
    "big-endian": (lambda s, x: s.step(x.numpy(), out=np.zeros((2, 8), ">f4")), "out must be contiguous .*got .*>f4"),
    "reversed": (lambda s, x: s.step(x.numpy(), out=np.zeros((2, 8), "f4")[:, ::-1]), "out must be .*not contiguous"),
    "a sign": (lambda s, x: s.push(x[None], out=torch._neg_view(torch.zeros(1, 2, 8))), "out must be .*not contiguous"),
    "a mask of rows": (lambda s, x: s.reset([True, False]), r"rows must be a list of row indices, got True. A mask"),
    "a tensor mask": (lambda s, x: s.fork(torch.tensor([True, False])), r"got tensor\(True\). A mask gives"),
    "NumPy's mask": (lambda s, x: s.fork(np.array([False, True])), r"indices, got np.False_. A mask gives"),
    "one row": (lambda s, x: s.reset(torch.tensor(1)), r"rows must be a list of row indices, got tensor\(1\). Write"),
    "too many rows": (lambda s, x: s.join(2**62), "Stream.join: count must be a whole number below 2147483648"),
    "a sparse state": (lambda s, x: s.load({**s.state(), "0.h": x.to_sparse()}), "0.h must be a dense tensor"),
    "a complex state": (lambda s, x: s.load({**s.state(), "0.h": x * 1j}), "0.h must be real numbers on the CPU"),
    "no values": (lambda s, x: s.load({**s.state(), "0.h": x.to("meta")}), "real numbers on the CPU, got .* on meta"),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("case", REFUSED)
def test_what_a_stream_cannot_use_is_refused(layer, x, case):
    stream = ostinato.stream(layer, rows=2)
    call, message = REFUSED[case]
    before = stream.state().to_bytes()
    with pytest.raises((InputError, ShapeError), match=message):
        call(stream, x[0])
    assert stream.state().to_bytes() == before


@pytest.mark.parametrize("count", [np.int64(2), torch.tensor(2)])
def test_numbers_of_rows_may_come_from_numpy_and_torch(layer, count):
    stream = ostinato.stream(layer, rows=count)
    assert stream.join(count) == [2, 3] and type(stream.rows) is int


CHANGES = {
    "other sizes": (lambda m: nn.Parameter(torch.randn(1, 8)), r"weight must be of the sizes \[3, 8\], got \[1, 8\]"),
    "none": (lambda m: None, "weight must be a tensor with values, got none. Make another stream"),
    "meta": (lambda m: nn.Parameter(m.weight.to("meta")), "weight must be a tensor with values"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_refresh_refuses_weights_of_other_sizes_and_keeps_the_old_ones(layer, x, case):
    head = nn.Linear(8, 3)
    stream = ostinato.stream(nn.Sequential(head))
    expected, weights = stream.push(x[:, :1]), stream.state().weights
    change, message = CHANGES[case]
    head.weight = change(head)
    with pytest.raises(OstinatoError, match=f"Stream.refresh: 0.{message}"):
        stream.refresh()
    assert torch.equal(stream.push(x[:, :1]), expected) and stream.state().weights == weights


def sealed(header, body=b"", version=1):
    content = b"OSTSTATE" + struct.pack("<II", version, len(header)) + header + body
    return content + hashlib.sha256(content).digest()


def one_state(*field):
    return json.dumps({"structure": "", "weights": "", "states": [field]}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (sealed(b"{"), "the header must be as to_bytes writes it"),
        (sealed(b"{}"), "the header must be as to_bytes writes it"),
        (sealed(one_state("a", [1, 1], "int8"), bytes(4)), "the header must be as to_bytes writes it"),
        (sealed(one_state("a", [-1, 1], "float32"), bytes(8)), "the header must be as to_bytes writes it"),
        (sealed(one_state("a", [9, 1], "float32"), bytes(8)), "the header must be as to_bytes writes it"),
        (sealed(one_state(), version=0), "the version must be at least 1, got 0. Save the state again"),
    ],
)
def test_bytes_of_another_program_are_refused(data, message):
    with pytest.raises(InputError, match=message):
        ostinato.State.from_bytes(data)


class Doubled(ostinato.GRU):
    """A layer whose forward does more than that of its class."""

    def forward(self, x):
        return super().forward(x)[0] * 2


def patched(layer):
    layer.forward = lambda x, run=layer.forward: run(x)[0] * 2
    return layer


@pytest.mark.parametrize(
    "model",
    [
        Doubled(3, 4),
        nn.Sequential(Doubled(3, 4)),
        patched(ostinato.GRU(3, 4)),
        nn.Sequential(patched(ostinato.GRU(3, 4))),
        nn.Sequential(patched(nn.Linear(3, 4))),
        patched(nn.Sequential(nn.Linear(3, 4))),
    ],
)
def test_layers_with_a_forward_of_their_own_are_refused(model):
    """A stream runs the equations of the class, which are not all that these compute."""
    with pytest.raises(InputError, match="must be a layer with the forward of its class, got one of its own. Write a"):
        ostinato.stream(model)


class Changed(nn.Module):
    """Returns a value that `change` has changed where it is."""

    def __init__(self, change):
        super().__init__()
        self.rnn, self.change = ostinato.GRU(3, 4), change

    def forward(self, x):
        y = self.rnn(x)[0]
        self.change(y)
        return y


def _power(y):
    y **= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_power, "an operation in place"),
        (lambda y: y.relu_(), "an operation in place"),
        (lambda y: nn.functional.leaky_relu(y, 0.1, True), "an operation in place"),
        (lambda y: torch.add(y, 1, out=y), "an unexpected keyword argument 'out'"),
    ],
)
def test_changes_in_place_are_not_left_out(change, message):
    with pytest.raises(InputError, match=message):
        ostinato.stream(Changed(change))
