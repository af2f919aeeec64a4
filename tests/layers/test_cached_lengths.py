"""The inline cache of a layer's calls with lengths: in inference alone, and beside the entry of calls without."""

import pytest
import torch

import ostinato
from layers.cached_calls import KINDS, B, C, H, T, flat, same, states_of, uncached
from ostinato.errors import InputError

LENGTHS = ([5, 3, 1], [1, 5, 2], [0, 4, 4], [2, 2, 2], [4, 0, 0])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_with_lengths_from_the_cache_has_the_bits_of_one_that_decides(kind, with_state, batch_first, hits):
    layer = KINDS[kind](batch_first=batch_first)
    shape = (B, T, C) if batch_first else (T, B, C)
    state = states_of(layer) if with_state else None
    with torch.no_grad():
        for _ in range(3):
            layer(torch.randn(shape), state, lengths=torch.tensor(LENGTHS[0]))
        for lengths in map(torch.tensor, LENGTHS):  # others in every call
            x = torch.randn(shape)
            hits.clear()
            found = flat(layer(x, state, lengths=lengths))
            assert len(hits) == 1
            same(found, flat(uncached(layer, x, state, lengths=lengths)))
            for _ in range(2):  # `uncached` was the first of its kind: these prepare an entry, and use it
                layer(x, state, lengths=lengths)


@pytest.fixture
def warm_with_lengths():
    """(layer, x, the result) of calls without gradients that an entry has begun to answer."""
    layer, x = ostinato.GRU(C, H), torch.randn(T, B, C)
    with torch.no_grad():
        for _ in range(4):
            found = flat(layer(x, lengths=torch.tensor([5, 3, 1])))
    return layer, x, found


@pytest.mark.parametrize("lengths", [[5, 3, 1], torch.tensor([5, 0, 3, 0, 1])[::2], torch.tensor([5, 3, 1]).int()])
def test_lengths_of_other_kinds_are_answered_alike(lengths, warm_with_lengths, hits):
    layer, x, expected = warm_with_lengths
    with torch.no_grad():
        same(flat(layer(x, lengths=lengths)), expected)
    int32 = isinstance(lengths, torch.Tensor) and lengths.dtype == torch.int32
    assert len(hits) == (0 if int32 else 1)


@pytest.mark.parametrize("lengths", [[6, 3, 1], [5, -1, 1], [5, 3]])
def test_wrong_lengths_are_refused_beside_an_entry(lengths, warm_with_lengths, hits):
    layer, x, _ = warm_with_lengths
    with torch.no_grad(), pytest.raises(InputError, match="lengths"):
        layer(x, lengths=torch.tensor(lengths))
    assert not hits


def test_rows_without_steps_and_whole_rows_beside_an_entry(warm_with_lengths, hits):
    layer, x, _ = warm_with_lengths
    with torch.no_grad():
        none = torch.zeros(B, dtype=torch.int64)
        found = flat(layer(x, lengths=none))
        assert not hits
        same(found, flat(uncached(layer, x, lengths=none)))
        whole = flat(uncached(layer, x))
        for _ in range(6):
            layer(x, lengths=torch.tensor([5, 3, 1]))
            hits.clear()
            same(flat(layer(x, lengths=torch.tensor([T, T, T]))), whole)
        assert len(hits) == 1  # by the entry of calls without lengths


def test_calls_with_lengths_that_record_gradients_are_not_answered_by_the_cache(warm_with_lengths, hits):
    layer, x, expected = warm_with_lengths
    for _ in range(4):
        found = flat(layer(x, lengths=torch.tensor([5, 3, 1])))
        assert not hits and all(t.requires_grad for t in found)
        same([t.detach() for t in found], expected)
    with torch.no_grad():
        same(flat(layer(x, lengths=torch.tensor([5, 3, 1]))), expected)
    assert len(hits) == 1


def test_packed_weights_and_lengths_change_no_bit(warm_with_lengths, hits):
    layer, x, _ = warm_with_lengths
    lengths = torch.tensor([5, 0, 2])
    x = x.masked_fill(torch.arange(T)[:, None, None] >= lengths[:, None], float("nan"))
    with torch.no_grad():
        for _ in range(2):
            expected = flat(uncached(layer, x, lengths=lengths))
            for _ in range(3):
                same(flat(layer(x, lengths=lengths)), expected)
            with ostinato.prepacked(layer):
                hits.clear()
                for _ in range(3):  # packs, then reads what was packed
                    same(flat(layer(x, lengths=lengths)), expected)
                assert len(hits) == 3
            layer.weight_hh_l0.mul_(1.5)
