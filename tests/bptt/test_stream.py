"""A stream that has no end: what is kept does not grow, stopping and resuming changes no bit, chunks have any size."""

import io
from itertools import islice

import pytest
import torch
from torch import nn

import ostinato
from bptt.models import Model, cross_entropy, in_chunks, stream

B = 3


class Training:
    """A model, an optimiser with a memory, and a stream; weights after a number of updates."""

    def __init__(self, k1, k2, seed=0):
        self.model = Model(nn.Dropout(0.3), learned=True, seed=seed)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-2)
        self.tbptt = ostinato.TruncatedBPTT(self.model, k1, k2)

    def run(self, chunks, updates=None):
        for x, y, resets in islice(self.tbptt.windows(chunks), updates):
            self.optimiser.zero_grad()
            cross_entropy(self.tbptt(x, resets=resets), y).backward()
            self.optimiser.step()

    def parts(self):
        return {"model": self.model, "optimiser": self.optimiser, "tbptt": self.tbptt}

    def weights(self):
        return [p.detach().clone() for p in self.model.parameters()]


def data(steps=60):
    x, y = stream(steps, B)
    return x, y, torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.1


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (4, 7), (2, 9), (7, 3), (6, 100)])
@pytest.mark.parametrize("after", [1, 5])
def test_stopping_and_resuming_changes_no_bit(k1, k2, after):
    sizes = (5, 11)
    torch.manual_seed(4)
    whole = Training(k1, k2)
    whole.run(in_chunks(data(), sizes))

    torch.manual_seed(4)
    first = Training(k1, k2)
    first.run(in_chunks(data(), sizes), after)
    file = io.BytesIO()
    torch.save({name: part.state_dict() for name, part in first.parts().items()}, file)

    torch.manual_seed(99)  # another process, other weights, other random numbers
    second = Training(k1, k2, seed=7)
    file.seek(0)
    for name, saved in torch.load(file, weights_only=True).items():
        second.parts()[name].load_state_dict(saved)
    second.run(islice(in_chunks(data(), sizes), second.tbptt.chunks_consumed, None))
    assert all(torch.equal(a, b) for a, b in zip(second.weights(), whole.weights()))
    assert not all(torch.equal(a, b) for a, b in zip(first.weights(), whole.weights()))


def test_a_loop_that_was_left_goes_on_with_the_same_iterator():
    torch.manual_seed(4)
    whole = Training(4, 7)
    whole.run(in_chunks(data(), (9,)))
    torch.manual_seed(4)
    broken, chunks = Training(4, 7), in_chunks(data(), (9,))
    for updates in (1, 3, 2, None):
        broken.run(chunks, updates)
    assert all(torch.equal(a, b) for a, b in zip(broken.weights(), whole.weights()))


def test_the_sizes_of_chunks_change_no_bit():
    found = []
    for sizes in ((60,), (1,), (4,), (3, 17)):
        torch.manual_seed(4)
        training = Training(4, 7)
        training.run(in_chunks(data(), sizes))
        found.append(training.weights())
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other))


def test_memory_of_a_chunk_may_be_used_again():
    class Overwritten:
        """Every chunk comes in the same memory."""

        def __iter__(self):
            buffer = [t[:4].clone() for t in data()]
            for first in range(0, 60, 4):
                for own, t in zip(buffer, data()):
                    own.copy_(t[first : first + 4])
                yield tuple(buffer)

    found = []
    for chunks in (in_chunks(data(), (4,)), Overwritten()):
        torch.manual_seed(4)
        training = Training(4, 10)
        training.run(chunks)
        found.append(training.weights())
    assert all(torch.equal(a, b) for a, b in zip(*found))


def test_pieces_have_k1_steps_and_the_form_of_the_chunks():
    x, y = stream(11, B)
    tbptt = ostinato.TruncatedBPTT(Model(), 4, 6)
    pieces = list(tbptt.windows({"x": a, "more": [b, None]} for a, b in in_chunks((x, y), (3, 1))))
    assert [len(p["x"]) for p in pieces] == [4, 4, 3] and pieces[0]["more"][1] is None
    assert torch.equal(torch.cat([p["x"] for p in pieces]), x)
    assert torch.equal(torch.cat([p["more"][0] for p in pieces]), y)


def test_the_end_of_a_stream_is_the_end_of_its_sequences():
    model, (x, _) = Model(), stream(12, B)
    tbptt = ostinato.TruncatedBPTT(model, 4, 6)
    first, second = ([tbptt(a) for a in tbptt.windows([x])] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second)) and len(first) == 3
    assert tbptt.steps == 0 and tbptt.chunks_consumed == 0


def test_the_model_by_itself_is_left_alone():
    model, (x, _) = Model(), stream(12, B)
    alone = model(x)
    tbptt = ostinato.TruncatedBPTT(model, 4, 6)
    tbptt(x[:4])
    assert torch.equal(model(x), alone)
    assert tbptt.steps == 4 and not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    kept = tbptt.state_dict()
    with pytest.raises(IndexError, match="index out of range"):
        tbptt(x[4:8] + 100)  # a call that fails leaves the stream where it stood
    assert tbptt.steps == 4 and tbptt.state_dict()["steps"] == kept["steps"]
    torch.testing.assert_close(torch.cat([tbptt(x[4:8]), tbptt(x[8:12])]), alone[4:])


def test_a_call_without_gradients_is_the_model_in_pieces():
    model, (x, _) = Model(), stream(20, B)
    for k1, k2 in [(4, 9), (5, 2)]:
        tbptt = ostinato.TruncatedBPTT(model, k1, k2)
        with torch.no_grad():
            found = torch.cat([tbptt(a) for a in tbptt.windows([x])])
        torch.testing.assert_close(found, model(x))


class Alive:
    """Bytes that graphs keep for backward: how many now, and the most so far."""

    def __init__(self):
        self.now, self.most = 0, 0

    def pack(self, tensor):
        return Held(self, tensor)

    def unpack(self, held):
        return held.tensor


class Held:
    def __init__(self, count, tensor):
        self.count, self.tensor, self.bytes = count, tensor, tensor.numel() * tensor.element_size()
        count.now += self.bytes
        count.most = max(count.most, count.now)

    def __del__(self):
        self.count.now -= self.bytes


class Narrow(nn.Module):
    """Its outputs are small beside what its layer keeps, so what outputs need does not hide it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = ostinato.GRU(2, 32), nn.Linear(32, 1)

    def forward(self, x):
        return self.head(self.layer(x)[0])


def kept(k1, k2, updates):
    """The most bytes that a graph kept in each window, and those that the stream itself holds after it."""
    tbptt, bytes_of, of_stream = ostinato.TruncatedBPTT(Narrow(), k1, k2), [], []
    for x in tbptt.windows(torch.randn(k1, 2, 2) for _ in range(updates)):
        alive = Alive()
        with torch.autograd.graph.saved_tensors_hooks(alive.pack, alive.unpack):
            loss = tbptt(x).square().sum()
            loss.backward()
        del loss
        assert alive.now == 0
        bytes_of.append(alive.most)
        of_stream.append(sum(t.untyped_storage().nbytes() for t in tensors_in(tbptt)))
    return bytes_of, of_stream


def tensors_in(tbptt):
    yield from tbptt._states.values()
    for part in tbptt._past:
        yield from part.inputs


def test_what_is_kept_does_not_grow_with_the_stream():
    graph, own = kept(5, 20, 200)
    assert len(set(graph[4:])) == 1 and len(set(own[4:])) == 1
    assert own[-1] == (15 * 2 * 2 + 2 * 32) * 4  # the inputs of k2 - k1 steps and one state


def test_what_is_kept_grows_with_k2_alone():
    def most(k1, k2):
        return kept(k1, k2, 6)[0][-1]

    assert most(10, 40) > 1.6 * most(10, 20)
    assert most(5, 40) == pytest.approx(most(40, 40), rel=0.2)
    assert most(400, 20) < 0.3 * most(400, 400)
