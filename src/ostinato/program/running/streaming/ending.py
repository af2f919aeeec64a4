"""SIGINT and SIGTERM while lines are read: an answer that has begun is finished, then the stream ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STATUS = 128
"""Added to the number of the signal, as shells do: 130 and 143."""
CLOSED = 141
"""The status where the reader of the answers has closed the pipe, as `head` does."""


class StopReading(Exception):
    """Raised by a signal in place of the line that was waited for."""


class Signals:
    """Within the context, the first signal ends the reading of lines; the earlier handlers come back after it."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that came."""
        self._waiting = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers there alone
            self._before = {number: signal.signal(number, self._came) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def status(self) -> int | None:
        """The exit status of the signal that came; None: none came."""
        return None if self.number is None else STATUS + self.number

    def lines(self, source: Iterator[str]) -> Iterator[str]:
        """The lines of a source, up to its end or to a signal."""
        while self.number is None:
            try:
                self._waiting = True
                line = next(source, None)
            except StopReading:
                return
            finally:
                self._waiting = False
            if line is None:
                return
            yield line

    def _came(self, number: int, frame: object) -> None:
        if self.number is not None:  # the second one does not wait for an answer
            raise KeyboardInterrupt
        self.number = number
        if self._waiting:
            self._waiting = False
            raise StopReading
