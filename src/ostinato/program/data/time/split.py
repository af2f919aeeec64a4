"""The split of series by time, and the windows of each part.

A part's targets end before the first target of the next part; what a window reads may lie in an earlier part, as it
does when a model is used. Every origin of a part is one window: the stride is 1. Several series are cut at one moment.

Letters: N steps of a series, H steps of a window's future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...options import DataOptions
from ..examples import PARTS
from ..refusals import refused
from .frequency import written
from .windows import Series, Window

UNUSED = -1
"""The part of a step that no window forecasts."""


def cut_by_time(series: Sequence[Series], options: DataOptions, horizon: int) -> list[np.ndarray]:
    """For each series int8 [N]: the part of each step, as its number in `PARTS`.

    The test part is the last `test_share` of all times, or the last `origins` origins whose futures lie in the file;
    the validation part is the `valid_share` before it. A share that holds fewer than H origins gets H where that is
    at most a fifth of all times.
    """
    times = np.unique(np.concatenate([one.times[: len(one.values)] for one in series]))
    if options.origins is not None:
        tested = options.origins + horizon - 1
    else:
        tested = part_steps(options.test_share, len(times), horizon)
    judged = part_steps(options.valid_share, len(times), horizon)
    frequency, last = series[0].spacing, times[-1:]
    test, valid = (frequency.advance(last, 1 - steps)[0] for steps in (tested, tested + judged))
    return [
        np.select([own >= test, own >= valid], [np.int8(2), np.int8(1)], np.int8(0))
        for own in (one.times[: len(one.values)] for one in series)
    ]


def part_steps(share: float, steps: int, horizon: int) -> int:
    """The steps of a part of `share` of all steps."""
    if not share:
        return 0
    return max(round(share * steps), min(2 * horizon - 1, max(horizon, steps // 5)))


def cut_as_given(
    series: Sequence[Series], rows: Sequence[np.ndarray], given: np.ndarray, options: DataOptions, horizon: int
) -> list[np.ndarray]:
    """For each series int8 [N]: the parts that the user gave, by rows of the table.

    given: int8 [R], the part of each row. A validation part that is not given is the end of the training steps.

    Raises InputError where a part does not follow the one before it in time.
    """
    found = [given[own[: len(one.values)]].astype(np.int8) for one, own in zip(series, rows)]
    bounds: dict[int, list] = {0: [], 1: [], 2: []}
    for one, codes in zip(series, found):
        times = one.times[: len(codes)]
        for part, moments in bounds.items():
            moments += [times[codes == part][[0, -1]]] if (codes == part).any() else []
    last = None
    for part, moments in bounds.items():
        if not moments:
            continue
        first = min(pair[0] for pair in moments)
        if last is not None and first <= last:
            end, start = written(np.array([last, first]))
            received = f"{PARTS[part]} from {start} on, and an earlier part up to {end}"
            remedy = "A forecast is judged on times after those of its training."
            raise refused("split", "the parts", "after each other in time: train, valid, test", received, remedy)
        last = max(pair[1] for pair in moments)
    if not bounds[1]:
        train = [_head(one, int((codes == 0).sum())) for one, codes in zip(series, found)]
        inner = cut_by_time([one for one in train if len(one.values)], _only_valid(options), horizon)
        parts = iter(inner)
        for one, codes in zip(train, found):
            if len(one.values):
                codes[codes == 0] = next(parts)
    return found


def _head(series: Series, steps: int) -> Series:
    """The first steps of a series."""
    return replace(series, values=series.values[:steps], past=series.past[:steps])


def _only_valid(options: DataOptions) -> DataOptions:
    """The options of a split without a test part."""
    return replace(options, test_share=0.0, origins=None)


def windows_of(
    series: Series, codes: np.ndarray, horizon: int, length: int, least: int
) -> tuple[list[Window], list[str], int]:
    """(windows, the part of each, origins without a value before or after) of one series.

    least: steps before the first origin; a window reads missing values before the series begins.
    """
    count = len(series.values)
    origins = np.arange(min(least, count), count - horizon + 1)
    filled = np.concatenate([[0], np.cumsum(np.isfinite(series.values).any(axis=1))])
    changes = np.concatenate([[0], np.cumsum(np.diff(codes) != 0)])
    inside = (changes[origins + horizon - 1] == changes[origins]) & (codes[origins] != UNUSED)
    future = filled[origins + horizon] - filled[origins]
    before = filled[origins] - filled[np.maximum(origins - length, 0)]
    full = (future > 0) & (before > 0)
    chosen = origins[inside & full].tolist()
    windows = [Window(series, origin, length, horizon) for origin in chosen]
    return windows, [PARTS[codes[origin]] for origin in chosen], int((inside & ~full).sum())
