"""Batches: which rows an update reads."""

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.training.batches import Batches, by_length, shuffled, usual_batch

LENGTHS = np.random.default_rng(0).integers(1, 60, 1025)


def test_every_row_is_read_once_an_epoch_and_a_last_batch_of_one_row_is_allowed():
    batches = Batches(LENGTHS, 32, seed=1)
    assert batches.per_epoch == 33
    for epoch in range(3):
        found = [batches.rows(u) for u in range(33 * epoch, 33 * epoch + 33)]
        assert sorted(map(len, found)) == [1] + [32] * 32
        assert sorted(np.concatenate(found)) == list(range(1025))


def test_the_rows_of_an_update_depend_on_nothing_but_the_seed_and_the_update():
    one, other = Batches(LENGTHS, 32, seed=1), Batches(LENGTHS, 32, seed=1)
    expected = {u: one.rows(u).tolist() for u in range(100)}
    assert all(other.rows(u).tolist() == expected[u] for u in (99, 3, 40, 0, 66))
    assert Batches(LENGTHS, 32, seed=2).rows(0).tolist() != expected[0]
    assert expected[33] != expected[0]


def test_the_order_is_the_same_with_every_version_of_numpy():
    """The raw numbers of Philox are fixed by its definition; these were computed once."""
    assert shuffled(8, 5).tolist() == SHUFFLED


SHUFFLED = [2, 4, 3, 1, 5, 0, 6, 7]


def test_rows_of_a_batch_have_similar_lengths():
    lengths = np.random.default_rng(0).integers(1, 1000, 6400)
    batches = Batches(lengths, 32, seed=0)
    spread = [np.ptp(lengths[batches.rows(u)]) for u in range(batches.per_epoch)]
    assert np.median(spread) < 60  # of 1000: rows in any order have about 940


def test_few_rows_of_different_lengths_are_not_always_in_one_batch_together():
    lengths = np.arange(1, 129)
    batches = Batches(lengths, 16, seed=0)
    found = {tuple(sorted(batches.rows(u))) for u in range(10 * batches.per_epoch)}
    assert len(found) > 40  # 8 if all rows were sorted together


def test_rows_without_gradients_come_with_the_longest_first():
    lengths = np.array([3, 9, 1, 9, 5])
    assert [b.tolist() for b in by_length(lengths, np.arange(5), 2)] == [[1, 3], [4, 0], [2]]


@pytest.mark.parametrize(
    ("lengths", "batch", "message"),
    [
        ([1, 2], 0, r"fit: batch must be at least 1, got 0\. Write --batch 32, say\."),
        ([], 4, r"fit: the training rows must be at least one, got none\. Check the split\."),
    ],
)
def test_no_rows_and_batches_of_none_are_refused(lengths, batch, message):
    with pytest.raises(InputError, match=message):
        Batches(np.array(lengths), batch, 0)


def test_batches_have_more_rows_where_rows_are_short_and_many():
    found = [usual_batch(np.full(count, steps)) for count, steps in ((20_000, 300), (20_000, 40), (20_000, 7))]
    assert found == [32, 64, 256]
    assert usual_batch(np.full(13_000, 7)) == 128
    assert usual_batch(np.full(300, 7)) == usual_batch(np.zeros(0, int)) == 32
