"""The frequency of a series: how far apart its times are, what that is called, and the times before and after.

Months are not equally long, and business days leave the weekend out, so that the difference of two times does not
give the next one: the calendar does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

DAY, HOUR, MINUTE = 86_400, 3_600, 60
LAST = 31
"""As a day of the month: the last one."""


@dataclass(frozen=True)
class Frequency:
    """One step of a series is `count` units long."""

    unit: Literal["step", "second", "business day", "month"]
    """step: the times are int64. All others: the times are datetime64[s]."""
    count: int = 1
    day: int = 1
    """Of months: the day at which all times are, 1 to 28 or `LAST`."""

    @property
    def name(self) -> str:
        """As pandas and Nixtla write it: MS, ME, W, D, B, h, 15min; 1 for whole numbers."""
        if self.unit == "step":
            return str(self.count)
        if self.unit == "business day":
            return _counted(self.count, "B")
        if self.unit == "month":
            units = next((size, letter) for size, letter in ((12, "Y"), (3, "Q"), (1, "M")) if not self.count % size)
            return _counted(self.count // units[0], units[1] + ("E" if self.day == LAST else "S"))
        sizes = ((7 * DAY, "W"), (DAY, "D"), (HOUR, "h"), (MINUTE, "min"), (1, "s"))
        size, letters = next((size, letters) for size, letters in sizes if not self.count % size)
        return _counted(self.count // size, letters)

    @property
    def words(self) -> str:
        """As a sentence says it: `a month`, `15 minutes`."""
        if self.unit == "step":
            return "1" if self.count == 1 else str(self.count)
        nouns = {"Y": "year", "Q": "quarter", "M": "month", "W": "week", "D": "day", "h": "hour", "min": "minute"}
        letters = self.name.lstrip("0123456789")
        plain = letters[0] if letters[0] in "YQM" else letters
        noun = {"B": "business day", "s": "second"}.get(plain) or nouns[plain]
        count = self.name[: len(self.name) - len(letters)]
        return f"{count} {noun}s" if count else f"{'an' if noun == 'hour' else 'a'} {noun}"

    def advance(self, times: np.ndarray, steps: np.ndarray | int) -> np.ndarray:
        """The times `steps` steps later, earlier where negative; both of shape [N], or of one that fits."""
        far = np.asarray(steps, np.int64) * self.count
        if self.unit == "step":
            return np.asarray(times, np.int64) + far
        moments = np.asarray(times).astype("datetime64[s]")
        if self.unit == "second":
            return moments + far.astype("timedelta64[s]")
        days = moments.astype("datetime64[D]")
        hours = moments - days
        if self.unit == "business day":
            return np.busday_offset(days, far, roll="backward") + hours
        months = days.astype("datetime64[M]") + far.astype("timedelta64[M]")
        if self.day == LAST:
            return (months + 1).astype("datetime64[D]") - np.timedelta64(1, "D") + hours
        return months.astype("datetime64[D]") + np.timedelta64(self.day - 1, "D") + hours

    def between(self, start: np.ndarray, times: np.ndarray) -> np.ndarray:
        """int64: steps from `start` to each of the times, which lie on the grid."""
        if self.unit == "step":
            return (np.asarray(times, np.int64) - np.asarray(start, np.int64)) // self.count
        first, moments = np.asarray(start).astype("datetime64[s]"), np.asarray(times).astype("datetime64[s]")
        if self.unit == "second":
            return (moments - first).astype(np.int64) // self.count
        if self.unit == "business day":
            return np.busday_count(first.astype("datetime64[D]"), moments.astype("datetime64[D]")) // self.count
        return (moments.astype("datetime64[M]") - first.astype("datetime64[M]")).astype(np.int64) // self.count

    def grid(self, start: np.ndarray, steps: int) -> np.ndarray:
        """[N] times from `start` on."""
        return self.advance(np.repeat(start, steps), np.arange(steps))


def _counted(count: int, letters: str) -> str:
    return letters if count == 1 else f"{count}{letters}"


def written(times: np.ndarray) -> list[str]:
    """Times as a table has them: whole numbers, dates, or dates with the time of day where one is not midnight."""
    if times.dtype.kind != "M":
        return [str(int(t)) for t in times]
    days = times.astype("datetime64[D]")
    if (days == times).all():
        return [str(day) for day in days]
    return [str(t).replace("T", " ") for t in times.astype("datetime64[s]")]
