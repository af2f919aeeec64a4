"""Blocks of successive origins: their lengths, what they draw, and the coverage of their intervals."""

import numpy as np
import pytest
from scipy import sparse

from ostinato.program.tasks.blocks import Blocks, block_length
from ostinato.program.tasks.forecasting.metrics import blocks_of
from ostinato.program.tasks.intervals import Tally, draws
from program.tasks.made_windows import seasonal, series, windows


def test_every_resample_has_as_many_units_as_there_are_in_whole_blocks():
    blocks = Blocks(np.zeros(60, np.int64), 12)
    found = blocks.weights(np.random.default_rng(0), 200)
    assert found.shape == (200, 60) and (found.sum(1) == 60).all()
    edges = np.diff(np.concatenate([found[:, -1:], found], 1), axis=1)  # around the end, where blocks go on
    assert (np.abs(edges).sum(1) <= 2 * 5).all()  # five blocks begin and end


def test_every_series_keeps_its_share_and_every_unit_is_as_likely_as_another():
    blocks = Blocks(np.repeat([0, 1, 2], [30, 7, 3]), 7)
    found = blocks.weights(np.random.default_rng(0), 20_000)
    assert blocks.apart and (found >= 0).all()
    for part, units in ((slice(30), 30), (slice(30, 37), 7), (slice(37, 40), 3)):
        assert (found[:, part].sum(1) == units).all()
    assert found.mean(0) == pytest.approx(np.ones(40), abs=0.05)
    assert found[:, 30:37].var() > 0.5  # of seven units there are blocks of two


def test_many_series_of_few_origins_are_drawn_whole():
    numbers = np.repeat(np.arange(12), [2] * 11 + [4])
    blocks = Blocks(numbers, 5)
    found = blocks.weights(np.random.default_rng(0), 20_000)
    assert not blocks.apart and (found.sum(1) == 26).all()
    assert found.mean(0) == pytest.approx(np.ones(26), abs=0.12)
    first = found[:, :2]
    assert (np.abs(first[:, 0] - first[:, 1]) <= 1).all()  # only the last block of a resample is cut
    assert found[:, 22:].sum(1).var() > 4


def test_blocks_of_one_unit_draw_units():
    found = Blocks(np.zeros(500, np.int64), 1).weights(np.random.default_rng(0), 2000)
    assert (found.sum(1) == 500).all()
    assert found.var() == pytest.approx(1, abs=0.05)


def test_a_block_is_as_long_as_horizon_or_season():
    assert block_length(2785, 96) == 96 and block_length(36, 12) == 12
    assert block_length(1000, 1) == 10
    assert block_length(100, 12, stride=6) == 5  # the cube root of 100
    assert block_length(1, 12) == 12


def test_the_length_of_the_blocks_that_are_drawn_is_known():
    assert Blocks(np.zeros(60, np.int64), 12).drawn == 12
    assert Blocks(np.zeros(14, np.int64), 12).drawn == 4
    assert Blocks(np.repeat([0, 1], [30, 7]), 12).drawn == 10
    assert Blocks(np.repeat(np.arange(12), [2] * 11 + [4]), 5).drawn == 4
    assert Blocks(np.zeros(2, np.int64), 5).drawn == 1


def test_few_origins_are_drawn_in_at_least_three_blocks():
    found = Blocks(np.zeros(12, np.int64), 12).weights(np.random.default_rng(0), 500)
    edges = np.abs(np.diff(np.concatenate([found[:, -1:], found], 1), axis=1)).sum(1)
    assert (found.sum(1) == 12).all() and edges.max() <= 2 * 3 and edges.min() < edges.max()


def test_windows_are_ordered_by_series_and_origin():
    first, second = series(seasonal(), "a"), series(seasonal(), "b")
    rows = [*windows(second, 100, 102, 12, 6)[::-1], *windows(first, 100, 101, 12, 6)]
    order, blocks = blocks_of(rows, 1)
    assert order.tolist() == [2, 1, 0, 3, 4] and blocks.series.tolist() == [0, 0, 0, 1, 1]


def test_steps_between_origins_shorten_the_blocks():
    rows = windows(series(seasonal()), 100, 195, 12, 12)[::4]
    assert blocks_of(rows, 1)[1].length == 3


def moving(draw, units, steps):
    """Errors of successive origins that share `steps` steps."""
    noise = draw.normal(size=units + steps - 1)
    return 5 + np.convolve(noise, np.ones(steps) / np.sqrt(steps), "valid")


def coverage(length):
    """The share of 150 simulations whose interval holds the true mean."""
    draw, inside = np.random.default_rng(0), 0
    for k in range(150):
        sums = sparse.csr_matrix(np.column_stack([moving(draw, 400, 12), np.ones(400)]))
        blocks = Blocks(np.zeros(400, np.int64), length) if length else None
        tally = Tally(sums, {"mean": (lambda s: s[..., 0] / s[..., 1], False)}, blocks)
        low, high = tally.interval("mean", k)
        inside += low <= 5 <= high
    return inside / 150


def test_intervals_of_overlapping_windows_need_blocks_to_hold_the_truth():
    assert coverage(24) > 0.85
    assert coverage(0) < 0.6


def test_gains_are_paired_in_the_same_blocks():
    draw = np.random.default_rng(1)
    errors = moving(draw, 300, 12)
    blocks = Blocks(np.zeros(300, np.int64), 12)

    def tally(values):
        sums = sparse.csr_matrix(np.column_stack([values, np.ones(300)]))
        return Tally(sums, {"mae": (lambda s: s[..., 0] / s[..., 1], False)}, blocks)

    assert tally(errors).gain(tally(errors + 1), "mae", 0) == pytest.approx((1, 1, 1))


def test_one_origin_has_no_interval():
    tally = Tally(sparse.csr_matrix(np.ones((1, 2))), {"mae": (lambda s: s[..., 0], False)}, Blocks(np.zeros(1), 1))
    assert np.isnan(tally.interval("mae", 0)).all()
    assert np.isnan(tally.gain(tally, "mae", 0)[1:]).all()


def test_the_draws_of_independent_units_are_those_of_earlier_results():
    assert np.concatenate(list(draws(4, 0, 2))).tolist() == [[1, 2, 0, 1], [0, 2, 1, 1]]
