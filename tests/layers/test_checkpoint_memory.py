"""Checkpointing through time: the memory that it promises, and the segments that it chooses."""

import math
import re
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

import ostinato
from layers.short_blocks import BLOCK, short_blocks
from layers.small import draw
from ostinato.errors import InputError
from ostinato.execution import backends
from ostinato.execution.checkpoint import Checkpoint, segment_steps
from ostinato.sequence import SequenceCall


@pytest.fixture(autouse=True)
def blocks():
    with short_blocks():
        yield


def saved_bytes(layer, x):
    """What a forward pass keeps for backward beside x and weights, in bytes; and whether the output is there."""
    sizes = {}

    def note(t):
        sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        output, _ = layer(x)
    has_output = output.untyped_storage().data_ptr() in sizes
    for t in (x, output, *layer.parameters()):
        sizes.pop(t.untyped_storage().data_ptr(), None)
    return sum(sizes.values()), has_output


@pytest.mark.parametrize("kind, states", [("LSTM", 2), ("GRU", 1), ("RNN", 1)])
def test_between_forward_and_backward_only_boundaries_are_kept(kind, states):
    layer, x = getattr(ostinato, kind)(2, 6), torch.randn(1000, 3, 2)
    start = 4 * states * 3 * 6  # the zeros that the layer starts from
    everything_kept, with_output = saved_bytes(layer, x)
    assert with_output
    for layer.checkpoint, segments in (("sqrt", 32), (10, 10), (1, 1)):
        found, with_output = saved_bytes(layer, x)
        assert found == start + (segments - 1) * 4 * states * 3 * 6
        assert not with_output
        assert kind == "RNN" or found < 0.02 * everything_kept


def test_one_segment_at_a_time_is_kept_in_backward(monkeypatch):
    earlier = []
    forward = backends.forward

    def watched(call, save, histories):
        assert not any(t() is not None for t in earlier), "what an earlier segment kept is still alive"
        result = forward(call, save, histories)
        earlier.extend(weakref.ref(t) for t in (result.output, *result.saved) if save)
        return result

    monkeypatch.setattr(backends, "forward", watched)
    layer, x = ostinato.LSTM(4, 6, checkpoint=10), torch.randn(60, 3, 4)
    layer(x)[0].sum().backward()
    assert len(earlier) >= 20


@pytest.mark.parametrize("rows", [1, 3, 6, 16])
def test_segments_are_whole_blocks(rows):
    cell, x, states, weights = draw("gru", steps=1, rows=rows)
    block = max(1, BLOCK // rows)
    for steps in (1, 2, 10, 11, 100, 9999, 10_000):
        for count in (0, 1, 2, 7, 99, 10**6):
            call = SequenceCall(cell, x.expand(steps, rows, 4), states, weights)
            found = segment_steps(Checkpoint(count, 0, 1), call)
            wanted = steps / (count or math.ceil(math.sqrt(steps)))
            assert found % block == 0 and wanted <= found < wanted + 1 + block


def bytes_of(steps, T, B, R, boundary, kept):
    """Slow truth: boundaries, and the most that one segment of `steps` steps can hold."""
    cuts = [0, *range(T % steps or steps, T + 1, steps)]
    return boundary * (len(cuts) - 2) + kept * min(R, B * max(b - a for a, b in zip(cuts, cuts[1:])))


@settings(max_examples=150, deadline=None)
@given(some.integers(1, 90), some.integers(1, 9), some.integers(1, 4), some.integers(1, 60_000), some.data())
def test_a_budget_gives_the_longest_segments_that_fit(T, B, calls, budget, data):
    cell, x, states, weights = draw("lstm", steps=T, rows=B)
    sizes = None
    if data.draw(some.booleans()):
        sizes = torch.tensor(sorted(data.draw(some.lists(some.integers(1, B), min_size=T, max_size=T)), reverse=True))
        x = x.flatten(0, 1)[: sizes.sum()]
    R, block = x.shape[:-1].numel(), max(1, BLOCK // B)
    boundary, kept, output = 2 * B * 6 * 4, 6 * 6 * 4, 6 * 4  # i f g o and tanh(c), and c; the output again
    assert kept == 4 * sum(s[-1] for s in backends.saved_shapes(cell, x, states, weights))
    share = budget // calls
    fitting = [n for n in range(block, T + block, block) if bytes_of(n, T, B, R, boundary, kept + output) <= share]
    asked, call = Checkpoint(0, budget, calls), SequenceCall(cell, x, states, weights, sizes)
    if R * kept <= share:
        assert segment_steps(asked, call) == 0
    elif fitting:
        assert segment_steps(asked, call) == max(fitting)
    else:
        with pytest.raises(InputError, match=f"checkpoint: the option must be a budget of at least .*kB for T = {T}"):
            segment_steps(asked, call)


def test_the_budget_that_an_error_names_is_enough():
    layer, x = ostinato.LSTM(4, 6, num_layers=2, checkpoint="1kB"), torch.randn(500, 3, 4)
    message = r"checkpoint: the option must be a budget of at least (\d+kB) for T = 500 and B = 3, got 1kB. One block"
    with pytest.raises(InputError, match=message) as found:
        layer(x)
    layer.checkpoint = re.search(message, str(found.value))[1]
    layer(x)[0].sum().backward()
