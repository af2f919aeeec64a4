"""Streams: states by name, rows that join, leave and fork, memory, and what is refused."""

import threading

import numpy as np
import pytest
import torch

import ostinato
from ostinato.errors import InputError, ShapeError
from ostinato.streaming.runner import ReferenceRunner
from streaming.drawn import drawn_network


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return ostinato.LSTM(5, 7, 2, learn_initial_state=True)


@pytest.fixture
def x():
    return torch.randn(9, 3, 5, generator=torch.Generator().manual_seed(1))


def test_states_have_names_and_continue_where_they_were_saved(layer, x):
    stream = ostinato.stream(layer, rows=3)
    stream.push(x[:4])
    saved = ostinato.State.from_bytes(stream.state().to_bytes())
    assert {name: tuple(v.shape) for name, v in saved.items()} == dict.fromkeys(("0.h", "0.c", "1.h", "1.c"), (3, 7))
    expected = stream.push(x[4:])
    other = ostinato.stream(layer, rows=3)
    other.load(saved)
    assert torch.equal(other.push(x[4:]), expected)


def test_one_row_of_a_state_loads_into_other_rows(layer, x):
    stream = ostinato.stream(layer, rows=3)
    stream.push(x[:4])
    fresh = ostinato.stream(layer, rows=2)
    fresh.load(stream.state(rows=[2]), rows=[1])
    assert torch.equal(fresh.step(x[4, [0, 2]])[1], stream.step(x[4])[2])


def test_a_dict_of_tensors_sets_the_states(layer, x):
    stream, start = ostinato.stream(layer, rows=3), torch.randn(2, 3, 7)
    own = {f"{k}.{name}": s[k] for name, s in zip("hc", (start, start * 2)) for k in range(2)}
    stream.load(own)
    with torch.no_grad():
        assert torch.equal(stream.push(x), layer(x, (start, start * 2))[0])


def test_rows_are_reset_to_the_learned_state(layer, x):
    torch.nn.init.constant_(layer.initial_h_l0, 0.5)
    stream = ostinato.stream(layer, rows=3)
    first = stream.step(x[0])
    stream.reset(rows=[1])
    assert stream.state()["0.h"][1].tolist() == [0.5] * 7
    assert torch.equal(stream.step(x[0])[1], first[1])
    stream.reset()
    assert torch.equal(stream.step(x[0]), first)


def test_forks_begin_as_copies_and_are_independent(layer, x):
    stream = ostinato.stream(layer, rows=3)
    stream.push(x[:4])
    fork = stream.fork(rows=[0, 0, 2, 2])
    expected = stream.step(x[4])
    assert torch.equal(fork.step(x[4, [0, 0, 2, 2]]), expected[[0, 0, 2, 2]])
    assert torch.equal(stream.fork().step(x[5]), stream.step(x[5]))


def test_take_reorders_the_rows(layer, x):
    stream = ostinato.stream(layer, rows=3)
    stream.push(x[:4])
    expected = stream.fork(rows=[2, 2, 0]).step(x[4])
    stream.take([2, 2, 0])
    assert torch.equal(stream.step(x[4]), expected)


def test_rows_join_and_leave_while_others_keep_their_bits(layer, x):
    alone = ostinato.stream(layer, rows=3)
    expected = alone.push(x)
    stream = ostinato.stream(layer, rows=1)
    found = [stream.push(x[:3, :1])]
    assert stream.join(2) == [1, 2]
    found.append(stream.push(x[3:6]))
    stream.leave([1])
    found.append(stream.push(x[6:, [0, 2]]))
    assert torch.equal(torch.cat([y[:, 0] for y in found]), expected[:, 0])
    late = ostinato.stream(layer, rows=1).push(x[3:, 2:])
    assert torch.equal(torch.cat([found[1][:, 2], found[2][:, 1]]), late[:, 0])


def test_a_stream_may_have_no_rows_for_a_while(layer, x):
    stream = ostinato.stream(layer, rows=0)
    assert stream.step(x[0, :0]).shape == (0, 7)
    stream.join(3)
    assert torch.equal(stream.push(x), ostinato.stream(layer, rows=3).push(x))
    stream.leave([0, 1, 2])
    assert stream.rows == 0


def test_torch_numpy_out_and_bound_buffers_give_the_same_bits(layer, x):
    def fresh():
        return ostinato.stream(layer, rows=3)

    expected = fresh().step(x[0])
    array = fresh().step(x[0].numpy())
    assert isinstance(array, np.ndarray) and np.array_equal(array, expected.numpy())
    strided = fresh().step(np.asfortranarray(x[0].numpy()))
    assert np.array_equal(strided, array)
    out = torch.empty(3, 7)
    assert fresh().step(x[0], out=out) is out and torch.equal(out, expected)
    array_out = np.empty((3, 7), "float32")
    assert fresh().step(x[0].numpy(), out=array_out) is array_out and np.array_equal(array_out, array)
    assert torch.equal(fresh().step(x[0].t().contiguous().t()), expected)
    stream = fresh()
    stream.input.copy_(x[0])
    assert stream.step() is stream.output and torch.equal(stream.output, expected)
    assert torch.equal(stream.input, x[0])


def test_fresh_outputs_never_share_memory(layer, x):
    stream = ostinato.stream(layer, rows=3)
    outputs = [stream.step(x_t) for x_t in x] + [stream.step(x[0].numpy()) for _ in range(3)]
    kept = [torch.as_tensor(y).clone() for y in outputs]
    stream.push(x)
    assert all(torch.equal(torch.as_tensor(y), k) for y, k in zip(outputs, kept))
    assert len({torch.as_tensor(y).data_ptr() for y in outputs}) == len(outputs)


def test_one_row_may_come_without_its_dimension(layer, x):
    stream = ostinato.stream(layer)
    expected = ostinato.stream(layer).push(x[:, :1])
    assert torch.equal(stream.step(x[0, 0]), expected[0, 0])
    assert torch.equal(stream.push(x[1:, 0]), expected[1:, 0])


def test_refresh_takes_new_weights_and_keeps_the_states(layer, x):
    stream = ostinato.stream(layer, rows=3)
    stream.push(x[:4])
    with torch.no_grad():
        layer.weight_ih_l0.mul_(2)
    before = stream.fork().step(x[4])
    saved = stream.state()
    stream.refresh()
    new = ostinato.stream(layer, rows=3)
    with pytest.raises(InputError, match="a state of the same weights, got one of others"):
        new.load(saved)
    new.load(saved, weights="any")
    after = stream.step(x[4])
    assert torch.equal(after, new.step(x[4])) and not torch.equal(after, before)


def test_nan_stays_in_its_row(layer, x):
    bad = x.clone()
    bad[2, 1, 3] = torch.nan
    found = ostinato.stream(layer, rows=3).push(bad)
    assert found[2:, 1].isnan().all()
    assert torch.equal(found[:, [0, 2]], ostinato.stream(layer, rows=3).push(x)[:, [0, 2]])


def test_a_second_call_is_refused_and_streams_of_one_model_are_independent(layer, x):
    """The second call comes out of the first one, from another thread."""
    network = ostinato.stream(layer).network
    stream = ostinato.Stream(network, 3)
    caught = []

    def call():
        try:
            stream.step(x[0])
        except InputError as error:
            caught.append(str(error))
        caught.append(ostinato.Stream(network, 3).step(x[0]))

    read = network.parameters[0].read

    def reading():
        if not caught:
            thread = threading.Thread(target=call)
            thread.start()
            thread.join()
        return read()

    object.__setattr__(network.parameters[0], "read", reading)
    stream.refresh()
    refusal, y = caught
    assert refusal.startswith(
        "Stream.step: the stream must be called by one thread at a time, got a call while another"
    )
    assert torch.equal(y, stream.step(x[0]))


def test_a_closed_stream_refuses_every_call(layer, x):
    with ostinato.stream(layer, rows=3) as stream:
        state = stream.state()
    stream.close()
    calls = [
        lambda: stream.step(x[0]),
        stream.step,
        lambda: stream.push(x),
        stream.state,
        lambda: stream.load(state),
        stream.reset,
        stream.refresh,
        stream.fork,
        lambda: stream.take([0]),
        stream.join,
        lambda: stream.leave([]),
    ]
    for call in calls:
        with pytest.raises(InputError, match="the stream must be open, got one that was closed"):
            call()


REFUSED = {
    "rows of a reset": (lambda s, x: s.reset(rows=[3]), "Stream.reset: rows must be rows from 0 to 2, got 3"),
    "negative rows": (lambda s, x: s.fork(rows=[-1]), "Stream.fork: rows must be rows from 0 to 2, got -1"),
    "rows twice": (lambda s, x: s.leave([0, 0]), "Stream.leave: rows must be indices without a repeated one"),
    "no list": (lambda s, x: s.reset(rows=0), "Stream.reset: rows must be a list of row indices, got 0"),
    "half a row": (lambda s, x: s.reset(rows=[0.5]), "Stream.reset: rows must be a list of row indices, got 0.5"),
    "too few to take": (lambda s, x: s.take([0]), "Stream.take: rows must be 3 indices, got 1"),
    "joins": (lambda s, x: s.join(-1), "Stream.join: count must be a whole number of at least 0, got -1"),
    "a list": (lambda s, x: s.step([1.0]), "Stream.step: x must be a torch tensor or a NumPy array, got list"),
    "a size": (lambda s, x: s.step(x[0, :2]), r"Stream.step: x must be of the sizes \[3, 5\], got \[2, 5\]"),
    "a sequence": (lambda s, x: s.step(x), r"got \[9, 3, 5\]. Several steps at once go to push."),
    "a step": (lambda s, x: s.push(x[0]), r"Stream.push: xs must be of the sizes \[T, 3, 5\], got \[3, 5\]"),
    "a wider type": (lambda s, x: s.step(x[0].double()), "x must be of type torch.float32, got torch.float64"),
    "whole numbers": (lambda s, x: s.step(torch.ones(3, 5, dtype=torch.int64)), "got torch.int64"),
    "an output": (lambda s, x: s.step(x[0], out=torch.empty(3, 6)), r"out must be contiguous \[3, 7\] of type"),
    "a kind": (lambda s, x: s.step(x[0].numpy(), out=torch.empty(3, 7)), "out must be a ndarray, as x is, got Tensor"),
    "a gradient": (lambda s, x: s.step(x[0], out=torch.empty(3, 7, requires_grad=True)), "without requires_grad"),
    "no state": (lambda s, x: s.load(x), "Stream.load: state must be a State or a dict, got Tensor"),
    "other names": (lambda s, x: s.load({"0.h": x[0]}), "must be a dict of the states 0.h, 0.c, 1.h, 1.c, got 0.h"),
    "a width": (lambda s, x: s.load({**s.state(), "1.c": x[0]}), r"1.c must be a tensor \[B, 7\], got \[3, 5\]"),
    "weights": (lambda s, x: s.load(s.state(), weights="all"), 'weights must be "same" or "any", got \'all\''),
    "rows of a state": (
        lambda s, x: s.load(s.state(rows=[0, 1])),
        "0.h must be of 3 rows, or of one for all of them, got 2 rows",
    ),
    "another network": (
        lambda s, x: s.load(ostinato.stream(ostinato.GRU(5, 7)).state()),
        "a state of the same equations and sizes, got one of another network, with 0.h",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_refused_and_nothing_is_lost(layer, x, case):
    stream = ostinato.stream(layer, rows=3)
    stream.push(x[:2])
    call, message = REFUSED[case]
    before = stream.state()
    with pytest.raises((InputError, ShapeError), match=message):
        call(stream, x)
    assert all(torch.equal(value, before[name]) for name, value in stream.state().items())
    assert stream.rows == 3


def test_tokens_outside_of_the_table_are_refused_before_any_state_changes():
    network = drawn_network(3, tokens=True, nodes=12)
    stream = ostinato.Stream(network, 2)
    tokens = torch.tensor([[1, 2], [3, 11]])
    expected = ostinato.Stream(network, 2).push(tokens[:1])
    for call in (lambda: stream.push(tokens), lambda: stream.step(tokens[1]), lambda: stream.step(tokens[1].numpy())):
        with pytest.raises(InputError, match="tokens from 0 to 10"):
            call()
    stream.input.copy_(torch.tensor([1, -1]))
    with pytest.raises(InputError, match="tokens from 0 to 10, got -1"):
        stream.step()
    assert torch.equal(stream.push(tokens[:1]), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:-1], "the checksum must be that of the content"),
        (lambda b: b[:60] + b"x" + b[61:], "the checksum must be that of the content"),
        (lambda b: b"anything else", "data must be what State.to_bytes wrote, got 13 other bytes"),
        (lambda b: b[:8] + b"\x09" + b[9:], "the version must be at most 1, got 9"),
        (lambda b: b.hex(), "data must be bytes, got str"),
    ],
)
def test_bytes_that_are_no_state_are_refused(layer, change, message):
    data = ostinato.stream(layer).state().to_bytes()
    with pytest.raises(InputError, match=message):
        ostinato.State.from_bytes(change(data))


@pytest.mark.parametrize("rows", [-1, 1.5, True, "2"])
def test_rows_are_a_whole_number(layer, rows):
    with pytest.raises(InputError, match="stream: rows must be a whole number of at least 0"):
        ostinato.stream(layer, rows=rows)


def test_saved_bytes_are_the_same_everywhere():
    """Little endian, the version first; a known state has known bytes."""
    state = ostinato.State({"0.h": torch.tensor([[1.0, -2.0]])}, "ab", "cd")
    data = state.to_bytes()
    assert data[:16] == b"OSTSTATE\x01\x00\x00\x00" + len(data[16:-40]).to_bytes(4, "little")
    assert data[-40:-32] == b"\x00\x00\x80?\x00\x00\x00\xc0"
    back = ostinato.State.from_bytes(data)
    assert (back.structure, back.weights, back.rows, repr(back)) == ("ab", "cd", 1, "State(0.h [1, 2])")


def test_without_kernels_too_weights_are_those_of_the_last_refresh(layer, x):
    runner = ReferenceRunner(ostinato.stream(layer).network, 3)
    ys = torch.empty(3, 9, 3, 7)
    for k in range(3):
        runner.reset(None)
        runner.run(x, ys[k], 9)
        if k == 0:
            torch.nn.init.zeros_(layer.weight_hh_l0)
        else:
            runner.refresh()
    assert torch.equal(ys[0], ys[1]) and not torch.equal(ys[1], ys[2])
