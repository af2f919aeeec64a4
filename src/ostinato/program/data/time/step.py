"""One step of a training and of other data: what a network has learned of days says nothing of weeks.

Letters: L steps of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..findings import many
from ..refusals import refused
from .frequency import LAST, Frequency
from .windows import Series, Window


def in_step(windows: Sequence[Window], trained: Frequency | None, file: str) -> list[Window]:
    """The windows, whose series have the step of the training; None: it is not known, and nothing is compared.

    Raises InputError for a series of another step.
    """
    if trained is None:
        return list(windows)
    found: dict[int, Series] = {}
    for window in windows:
        if id(window.series) not in found:
            found[id(window.series)] = _in_step(window.series, trained, file)
    return [replace(window, series=found[id(window.series)]) for window in windows]


def _in_step(series: Series, trained: Frequency, file: str) -> Series:
    """A series; business days without a weekend among them look like days, and become what the training had."""
    own = series.frequency
    if own is None or (own.unit, own.count) == (trained.unit, trained.count):
        return series
    grid = grid_through(trained, series.times)
    if grid is not None and (np.diff(grid.between(series.times[:1], series.times)) == 1).all():
        return replace(series, frequency=grid)
    expected = f"{step_words(trained)}, as in the training"
    remedy = "Sum or average the rows to that step, or train a model on these data."
    raise refused(file, "one step of the times", expected, step_words(own), remedy)


def step_words(step: Frequency) -> str:
    """As a message says it: `a day`; of whole numbers `1 in whole numbers`."""
    return f"{step.words} in whole numbers" if step.unit == "step" else step.words


def grid_through(step: Frequency, times: np.ndarray) -> Frequency | None:
    """The frequency of a step on whose grid all of some rising times lie; None where there is none.

    Months lie at the day of the first time, or at the last day of a month.
    """
    if (step.unit == "step") != (times.dtype.kind != "M"):
        return None
    for one in _at_days(step, times[0]):
        if np.array_equal(one.advance(np.repeat(times[:1], len(times)), one.between(times[:1], times)), times):
            return one
    return None


def _at_days(step: Frequency, first: np.ndarray) -> list[Frequency]:
    if step.unit != "month":
        return [step]
    day = first.astype("datetime64[D]")
    number = int((day - day.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)) + 1
    return [replace(step, day=number), replace(step, day=LAST)] if number <= 28 else [replace(step, day=LAST)]


def filled_note(windows: Sequence[Window], length: int) -> list[str]:
    """A sentence about the series of which most of the L steps that a forecast reads have no value."""
    names = []
    for window in windows:
        values = replace(window, length=length).values
        if 2 * np.isnan(values).sum() > values.size:
            names.append(window.series.name)
    if not names:
        return []
    whose = names[0] if len(names) == 1 else f"{many(len(names), 'series', 'series')} such as {names[0]}"
    return [f"Of the {many(length, 'step')} that the forecast of {whose} reads, most have no value and are filled."]
