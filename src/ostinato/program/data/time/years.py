"""The years in which dates can be written, read back and drawn: 1 to 9999, as Python's dates have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..findings import Finding, many
from ..refusals import refused
from .frequency import written
from .windows import Series

FIRST, LAST = np.datetime64("0001-01-01T00:00:00", "s"), np.datetime64("9999-12-31T23:59:59", "s")
WORDS = "in the years 1 to 9999"


def outside(times: np.ndarray) -> np.ndarray:
    """bool [N]: which of the times lie in no such year; none of whole numbers."""
    if times.dtype.kind != "M":
        return np.zeros(times.shape, bool)
    return (times < FIRST) | (times > LAST)


def past_the_last_year(series: Sequence[Series], horizon: int) -> Iterator[Finding]:
    """An error where a model of `horizon` steps could not forecast the steps after the end of a series."""
    for one in series:
        if outside(_ahead(one, horizon)).any():
            end = written(one.times[len(one.values) - 1 : len(one.values)])[0]
            verb = "lies" if horizon == 1 else "lie"
            sentence = f"{many(horizon, 'step')} after {end}, the end of a series, {verb} past the year 9999; "
            yield Finding("error", f"{sentence}leave its last rows out, or count rows as steps with --time none.", 1)
            return


def refuse_past_the_last_year(series: Sequence[Series], horizon: int, file: str) -> None:
    """Raises InputError where the steps after the end of a series cannot be written."""
    for one in series:
        times = _ahead(one, horizon)
        bad = np.flatnonzero(outside(times))
        if len(bad):
            received = f"{written(times[bad[:1]])[0]} for {one.name}"
            remedy = "Leave the last rows out, or train with --time none, where rows count as steps."
            raise refused(file, f"the {many(horizon, 'step')} to forecast", WORDS, received, remedy)


def _ahead(series: Series, horizon: int) -> np.ndarray:
    """[H] the times after the last value."""
    return series.times_at(len(series.values) + np.arange(horizon))
