"""The windows after the end of series: what a forecast of the unknown future reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..refusals import listed, refused
from .frequency import written
from .season import usual_context
from .windows import Series, Window
from .years import refuse_past_the_last_year


def ahead_windows(series: Sequence[Series], horizon: int, known: Sequence[str], file: str) -> list[Window]:
    """For each series the window whose first step to forecast is the one after its last value.

    known: the names of the F covariates that are known ahead.

    Raises InputError where one of them is missing at a step to forecast, and where one lies past the year 9999.
    """
    refuse_past_the_last_year(series, horizon, file)
    found = []
    for one in series:
        steps = len(one.values)
        _refuse_missing(one, horizon, known, file)
        found.append(Window(one, steps, usual_context(one.season, horizon, steps), horizon))
    return found


def _refuse_missing(series: Series, horizon: int, known: Sequence[str], file: str) -> None:
    """Refuses a future without a covariate that has to be known ahead, with the first times that lack it."""
    steps = len(series.values)
    given = np.full((horizon, len(known)), np.nan)
    there = series.known[steps : steps + horizon]
    given[: len(there)] = there
    lacking = [name for name, column in zip(known, given.T) if np.isnan(column).any()]
    if not lacking:
        return
    places = np.flatnonzero(np.isnan(given).any(axis=1))
    times = listed(written(series.times_at(steps + places)), 3)
    received = f"none for {series.name} at {times}"
    remedy = "Append rows with these times and values, the target left empty, to a copy of the file, and give it: "
    remedy += "ostinato predict MODEL FILE."
    raise refused(file, listed(lacking), f"given for the {horizon} steps to forecast", received, remedy)
