"""The parts of a shared fit, in one process: shares, the sum of gradients, packed values, which rank is lost."""

import os
import socket
from datetime import timedelta

import numpy as np
import pytest
import torch
from torch import nn

from ostinato.errors import InputError, RankError
from ostinato.program.options import FitOptions
from ostinato.program.tasks.task import Encoded, Stream
from ostinato.program.training import processes, roll_call
from ostinato.program.training.feeds import StreamFeed, feed_of
from ostinato.program.training.nested import packed, unpacked
from ostinato.program.training.reduction import Reduction, Signals
from ostinato.program.training.roll_call import RollCall
from ostinato.program.training.world import Alone, check_same, check_size, share
from program.training.made import Signs, rows


class OneOf(Alone):
    """A rank of several, whose sum adds what the others have sent before."""

    def __init__(self, rank, size, others=()):
        self.rank, self.size, self.others, self.sent = rank, size, others, None

    def sum(self, flat):
        self.sent = flat.clone()
        for other in self.others:
            flat += other


def test_the_shares_of_rows_are_the_batch_and_the_last_may_be_empty():
    task, examples = Signs(), rows(11, 0)
    encoded, options = task.encode(examples), FitOptions(batch=3, seed=2)
    whole = feed_of(task, encoded, options)
    shares = [feed_of(task, encoded, options, OneOf(rank, 4)) for rank in range(4)]
    for update in range(8):
        lengths = whole.batch(update).lengths.tolist()
        parts = [feed.batch(update) for feed in shares]
        assert parts[3] is None
        assert [None if p is None else p.lengths.tolist() for p in parts[:3]] == [
            lengths[r::4] or None for r in range(3)
        ]
        assert len({feed.steps(update) for feed in (whole, *shares)}) == 1


def test_the_shares_of_streams_are_its_columns_in_every_window():
    stream = Stream(np.arange(100, dtype=np.int32), np.array([0, 41]))
    whole = StreamFeed(stream, 5, 4, 3)
    shares = [StreamFeed(stream, 5, 4, 3, share(OneOf(rank, 2))) for rank in range(2)]
    for update in range(2 * whole.per_epoch):
        full, parts = whole.batch(update), [feed.batch(update) for feed in shares]
        for rank, part in enumerate(parts):
            assert torch.equal(part.x["units"], full.x["units"][:, rank::2])
            assert torch.equal(part.resets, full.resets[:, rank::2]) and part.begins == full.begins
        assert sum(part.weight for part in parts) == full.weight
    assert StreamFeed(stream, 5, 4, 3, share(OneOf(6, 7))).batch(0) is None
    task = Signs()
    assert feed_of(task, Encoded([], np.zeros(0), stream), FitOptions(batch=1), OneOf(1, 2)).batch(0) is None


def losses(network, x):
    return network(x).square().mean()


def test_gradients_of_ragged_shares_weighted_by_units_are_those_of_all_rows():
    torch.manual_seed(0)
    network, x = nn.Linear(3, 1), torch.randn(7, 3)
    unused = nn.Parameter(torch.ones(2))
    parameters = [*network.parameters(), unused]
    losses(network, x).backward()
    expected = [p.grad.clone() for p in network.parameters()]
    sent, loss = [], []
    for rank, part in enumerate((x[:5], x[5:], x[:0])):
        network.zero_grad()
        world = OneOf(rank, 3, sent if rank == 2 else ())
        if len(part):
            losses(network, part).backward()
        loss.append(losses(network, part).item() if len(part) else 0.0)
        signals = Signals(world, lambda: world.rank == 1, lambda: True)  # noqa: B023
        found = Reduction(parameters, world, signals)(loss[-1], len(part))
        sent.append(world.sent)
    assert found == (pytest.approx((5 * loss[0] + 2 * loss[1]) / 7, rel=1e-6), 7)
    for p, gradient in zip(network.parameters(), expected):
        assert (p.grad - gradient).abs().max() <= 1e-6 * gradient.abs().max()
    assert unused.grad is None
    assert signals.requested and signals.late
    assert [flat[-2:].tolist() for flat in sent] == [[0, 1], [1, 0], [0, 0]]  # only the clock of rank 0 counts


def test_one_process_asks_for_signals_where_it_needs_them_and_its_gradients_stay():
    asked = []
    signals = Signals(Alone(), lambda: bool(asked), lambda: False)
    p = nn.Parameter(torch.ones(2))
    p.grad = kept = torch.ones(2)
    assert Reduction([p], Alone(), signals)(0.5, 3) == (0.5, 3) and p.grad is kept
    assert not signals.requested
    asked.append(1)
    assert signals.requested and not signals.late


def test_nested_values_are_packed_without_pickle_and_come_back():
    shared = torch.arange(6.0)
    value = {
        "a": (1, [shared[:3], shared[3:]]),
        "b": None,
        "c": "ü",
        "d": np.float64(0.1),
        "e": np.arange(4).reshape(2, 2),
    }
    content = packed(value)
    found = unpacked(content)
    assert b"\x80\x04" not in content and isinstance(found["a"], tuple) and found["d"] == 0.1 and found["c"] == "ü"
    assert [t.tolist() for t in found["a"][1]] == [[0, 1, 2], [3, 4, 5]] and found["b"] is None
    assert isinstance(found["e"], np.ndarray) and found["e"].tolist() == [[0, 1], [2, 3]]
    assert unpacked(packed([1.5, float("inf")])) == [1.5, float("inf")]


def test_another_number_of_processes_is_refused_with_the_way_to_start_as_many():
    check_size("ostinato train", {"processes": 2}, 2)
    check_size("ostinato train", {}, 1)
    with pytest.raises(InputError) as caught:
        check_size("ostinato train", {}, 2)
    assert str(caught.value) == (
        "ostinato train: the number of processes must be 1, as in that run, got 2. Start it without torchrun."
    )
    with pytest.raises(InputError, match=r"must be 3, .* got 1\. Start it with torchrun --nproc-per-node 3 \(on one m"):
        check_size("ostinato train", {"processes": 3}, 1)


def test_hashes_that_differ_between_ranks_are_named():
    class Gathered(OneOf):
        def gather(self, value):
            return [value, {**value, "network": "other"}]

    check_same(OneOf(0, 1), {"network": "a"})
    with pytest.raises(InputError, match="fit: the network must be the same on all ranks, got others on rank 1. Give"):
        check_same(Gathered(0, 2), {"rows": "r", "network": "a"})


class Store(dict):
    """What a store of torch.distributed has; `gone` after rank 0, which held it."""

    gone = False

    def set(self, key, value):
        self.answer()
        self[key] = value.encode()

    def check(self, keys):
        self.answer()
        return all(key in self for key in keys)

    def get(self, key):
        self.answer()
        return self[key]

    def answer(self):
        if self.gone:
            raise RuntimeError("gone")


LOST = "ostinato train: rank {} of {} must be running, got {}. Start the same torchrun command again."
NO_ANSWER = "no answer: its process has ended, or its machine cannot be reached"


@pytest.fixture
def calls(monkeypatch):
    """A store and a function that makes the roll call of a rank."""
    monkeypatch.setattr(roll_call, "WAIT", 0.05)
    store = Store()
    return store, lambda rank, size: RollCall(store, rank, size)


def test_the_rank_that_says_nothing_is_the_lost_one_and_the_lowest_that_is_left_prints(calls):
    _, of = calls
    ranks = [of(rank, 3) for rank in range(3)]
    ranks[0]._set("end", "")  # rank 0 has lost another one at the same moment
    assert str(ranks[2].lost(RuntimeError("closed"))) == LOST.format(1, 3, NO_ANSWER)
    assert str(ranks[0].lost(RuntimeError("closed"))) == LOST.format(1, 3, NO_ANSWER)
    assert ranks[0].is_lowest("") and not ranks[2].is_lowest("")


def test_an_error_of_another_rank_is_repeated(calls):
    _, of = calls
    first, second = of(0, 2), of(1, 2)
    assert second.is_lowest("data: a word.")  # rank 0 has not ended
    received = "its end with the error 'data: a word'"
    assert str(first.lost(RuntimeError("closed"))) == LOST.format(1, 2, received)
    assert str(first.at_once()) == LOST.format(1, 2, received)
    assert not second.is_lowest("data: a word.")  # now it has


def test_a_connection_that_breaks_between_two_ranks_that_both_run_is_said(calls):
    _, of = calls
    first, second = of(0, 2), of(1, 2)
    second.lost(RuntimeError("closed"))
    assert str(first.lost(RuntimeError("timed\nout"))) == (
        "ostinato train: rank 1 must be reachable, got an error of the connection (timed out). "
        "Start the same torchrun command again."
    )


def test_where_rank_0_took_the_store_with_it_rank_0_is_the_lost_one(calls):
    store, of = calls
    second = of(1, 2)
    store.gone = True
    assert str(second.lost(RuntimeError("closed"))) == LOST.format(0, 2, NO_ANSWER)
    assert second.is_lowest("")


def test_a_process_of_this_machine_that_is_gone_is_found_without_waiting(calls):
    store, of = calls
    first = of(0, 2)
    of(1, 2)
    assert first.at_once() is None
    store.set("process/1", f"{socket.gethostname()} {2**22 + 1}")  # above the largest number of a process
    assert str(first.at_once()) == LOST.format(1, 2, "its end: the process is gone")
    store.set("process/1", f"elsewhere {2**22 + 1}")
    assert first.at_once() is None


def test_ranks_that_do_not_start_are_reported(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(processes, "ANSWER", timedelta(seconds=1))
    for name, value in (("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", str(port))):
        monkeypatch.setenv(name, value)
    with pytest.raises(
        RankError, match=r"ostinato train: the other ranks must be started, got no answer from all .*\."
    ):
        processes.Processes(0, 2, 0, 2)


def test_cores_are_divided_among_the_ranks_of_a_machine_where_the_user_names_no_threads(monkeypatch):
    world = object.__new__(processes.Processes)
    world.local_size = 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(9)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as torchrun sets it
    assert world.threads() == 4
    world.local_size = 100
    assert world.threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert world.threads() == 3
